//! Where on a slide there is tissue, from a small picture of it.
//!
//! Glass is bright and grey, tissue has colour: Otsu's threshold on the difference of a pixel's channels tells them
//! apart, held between bounds so that a slide of glass alone, or of tissue alone, is not cut in two by its noise. Pen
//! is taken out by colours that no stain has (green), or not as strong (blue, red, black). On a dark slide, signal
//! is what shines. The bounds were measured on real tiles with and without tissue and pen; `tests/library.rs` holds
//! the mask to them where those are present, the tests below to drawn ones.

use eosin_core::RgbTile;

use crate::stain::Stain;

/// Bounds of the threshold on the difference of a pixel's brightest and darkest channel.
const COLOUR_BOUNDS: [u8; 2] = [12, 28];
/// Bounds of the threshold on brightness, on a dark slide.
const SIGNAL_BOUNDS: [u8; 2] = [15, 60];

/// Share of signal around a pixel from which on it counts as tissue, on a dark slide.
const SIGNAL_NEAR: f32 = 0.08;

/// Tissue on the pixels of a small picture of a slide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TissueMask {
    size_px: [u32; 2],
    /// Sums of tissue pixels above and left of each corner, `(width + 1) × (height + 1)`.
    sums: Vec<u32>,
}

impl TissueMask {
    /// The mask of a slide's thumbnail.
    pub fn of(thumbnail: &RgbTile) -> Self {
        let pixels = thumbnail.pixels().as_chunks::<3>().0;
        let dark = Stain::guess(thumbnail) == Stain::Fluorescence;
        let measure = |px: &[u8; 3]| if dark { brightest(px) } else { brightest(px) - darkest(px) };
        let [low, high] = if dark { SIGNAL_BOUNDS } else { COLOUR_BOUNDS };
        let threshold = otsu(pixels.iter().filter(|px| dark || !is_pen(px)).map(measure)).clamp(low, high);
        let is_tissue = |px: &[u8; 3]| measure(px) > threshold && (dark || !is_pen(px));

        let mask = Self::of_pixels(thumbnail.size_px(), pixels.iter().map(is_tissue));
        if !dark {
            return mask;
        }
        // Nuclei shine and what lies between them does not: tissue is also what has some of them near.
        let [width, height] = thumbnail.size_px();
        let near = (0..height).flat_map(|y| (0..width).map(move |x| [x, y]));
        let near = near.map(|at| mask.share_around(at) > SIGNAL_NEAR);
        Self::of_pixels([width, height], near)
    }

    /// The mask of pixels, row by row.
    fn of_pixels(size_px: [u32; 2], mut tissue: impl Iterator<Item = bool>) -> Self {
        let row_len = size_px[0] as usize + 1;
        let mut sums = vec![0; row_len * (size_px[1] as usize + 1)];
        for y in 0..size_px[1] as usize {
            let mut n_in_row = 0;
            for x in 0..size_px[0] as usize {
                n_in_row += u32::from(tissue.next() == Some(true));
                sums[(y + 1) * row_len + x + 1] = sums[y * row_len + x + 1] + n_in_row;
            }
        }
        Self { size_px, sums }
    }

    /// Share of tissue in a small square around a pixel.
    fn share_around(&self, at: [u32; 2]) -> f32 {
        const REACH: u32 = 4;
        let first = at.map(|side| side.saturating_sub(REACH));
        let end = [0, 1].map(|k| (at[k] + REACH + 1).min(self.size_px[k]));
        self.count(first, end) as f32 / ((end[0] - first[0]) * (end[1] - first[1])) as f32
    }

    /// Tissue pixels from a corner to the one opposite, which is left out.
    fn count(&self, first: [u32; 2], end: [u32; 2]) -> u32 {
        let at = |x: u32, y: u32| self.sums[y as usize * (self.size_px[0] as usize + 1) + x as usize];
        at(end[0], end[1]) + at(first[0], first[1]) - at(first[0], end[1]) - at(end[0], first[1])
    }

    /// Share of tissue of the whole.
    pub fn share(&self) -> f32 {
        self.share_of([0.0, 0.0], [1.0, 1.0])
    }

    /// Share of tissue in a rectangle; corner and size as shares of the slide's width and height.
    pub fn share_of(&self, origin: [f64; 2], size: [f64; 2]) -> f32 {
        let edges = |k: usize| {
            let side_px = f64::from(self.size_px[k]);
            let first = (origin[k] * side_px).floor().clamp(0.0, side_px - 1.0) as u32;
            let end = ((origin[k] + size[k]) * side_px).ceil().clamp(0.0, side_px) as u32;
            (first, end.max(first + 1))
        };
        let ((left, right), (top, bottom)) = (edges(0), edges(1));
        // Sums of a whole picture fit, for a thumbnail has some million pixels.
        self.count([left, top], [right, bottom]) as f32 / ((right - left) * (bottom - top)) as f32
    }
}

fn brightest(px: &[u8; 3]) -> u8 {
    px[0].max(px[1]).max(px[2])
}

fn darkest(px: &[u8; 3]) -> u8 {
    px[0].min(px[1]).min(px[2])
}

/// Colours of pens: green to cyan at all, blue and red stronger than stains make them, black; black also pads the
/// edges of some scans.
fn is_pen(px: &[u8; 3]) -> bool {
    let (most, least) = (i32::from(brightest(px)), i32::from(darkest(px)));
    let colour = most - least;
    if most < 60 && colour < 25 {
        return true;
    }
    let saturation = f64::from(colour) / f64::from(most.max(1));
    if saturation < 0.2 {
        return false;
    }
    let [red, green, blue] = px.map(i32::from);
    let turn = |a: i32, b: i32| f64::from(a - b) / f64::from(colour);
    let hue_degrees = 60.0
        * if most == red {
            turn(green, blue).rem_euclid(6.0)
        } else if most == green {
            2.0 + turn(blue, red)
        } else {
            4.0 + turn(red, green)
        };
    match hue_degrees {
        75.0..190.0 => true,
        190.0..235.0 => saturation > 0.5,
        hue if !(10.0..335.0).contains(&hue) => saturation > 0.6,
        _ => false,
    }
}

/// The value that parts two classes best (Otsu 1979): the largest variance between them.
fn otsu(values: impl Iterator<Item = u8>) -> u8 {
    let mut counts = [0_u64; 256];
    for value in values {
        counts[usize::from(value)] += 1;
    }
    let n: u64 = counts.iter().sum();
    let total: u64 = counts.iter().zip(0..).map(|(count, value)| count * value).sum();
    let (mut n_low, mut sum_low, mut best, mut best_variance) = (0, 0, 0, 0.0);
    for (count, value) in counts.iter().zip(0..=u8::MAX) {
        n_low += count;
        sum_low += count * u64::from(value);
        if n_low == 0 || n_low == n {
            continue;
        }
        let (low, high) = (n_low as f64, (n - n_low) as f64);
        let apart = sum_low as f64 / low - (total - sum_low) as f64 / high;
        let variance = low * high * apart * apart;
        if variance > best_variance {
            (best, best_variance) = (value, variance);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLASS: [u8; 3] = [243, 242, 244];
    const TISSUE: [u8; 3] = [205, 130, 180];

    /// A picture of 4 × 1 fields of 8 × 8 px, with a little noise.
    fn fields(colours: [[u8; 3]; 4]) -> RgbTile {
        let mut pixels = Vec::new();
        for y in 0..8_usize {
            for x in 0..32_usize {
                pixels.extend(colours[x / 8].map(|value| value.saturating_sub((x * 7 + y * 5) as u8 % 4)));
            }
        }
        RgbTile::new([32, 8], pixels).unwrap()
    }

    #[test]
    fn tissue_is_kept_and_glass_and_pen_are_not() {
        let check = |colours: [[u8; 3]; 4], expected: [f32; 4]| {
            let mask = TissueMask::of(&fields(colours));
            let shares = [0.0, 0.25, 0.5, 0.75].map(|left| mask.share_of([left, 0.0], [0.25, 1.0]));
            let same = shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-6);
            assert!(same, "{shares:?} of {colours:?}");
            assert!((mask.share() - expected.iter().sum::<f32>() / 4.0).abs() < 1e-6);
        };
        let (green, blue, red, black) = ([60, 150, 110], [40, 110, 190], [190, 40, 50], [20, 20, 20]);
        check([GLASS, TISSUE, GLASS, TISSUE], [0.0, 1.0, 0.0, 1.0]);
        check([GLASS; 4], [0.0; 4]);
        check([TISSUE; 4], [1.0; 4]);
        check([TISSUE, green, blue, red], [1.0, 0.0, 0.0, 0.0]);
        check([black, GLASS, [110, 80, 50], [140, 150, 185]], [0.0, 0.0, 1.0, 1.0]);
        // Fluorescence: what shines.
        let dark = [3, 3, 5];
        check([dark, dark, [5, 5, 9], dark], [0.0; 4]);
    }

    #[test]
    fn what_shines_and_its_surroundings_are_tissue() {
        let dark = [3, 3, 5];
        let mask = TissueMask::of(&fields([dark, dark, dark, [9, 20, 55]]));
        assert!(
            mask.share_of([0.75, 0.0], [0.25, 1.0]) > 0.99 && mask.share_of([0.0, 0.0], [0.5, 1.0]) < 0.01
        );
        let near = mask.share_of([0.5, 0.0], [0.25, 1.0]);
        assert!((0.3..0.6).contains(&near), "{near}");
    }

    #[test]
    fn the_threshold_parts_two_heaps() {
        let values =
            |heaps: [(u8, usize); 2]| heaps.into_iter().flat_map(|(at, n)| std::iter::repeat_n(at, n));
        assert!((5..90).contains(&otsu(values([(5, 100), (90, 30)]))));
        assert_eq!(otsu(std::iter::empty()), 0);
        assert_eq!(otsu(values([(7, 100), (7, 1)])), 0);
    }

    #[test]
    fn a_rectangle_beyond_the_edge_is_cut() {
        let mask = TissueMask::of(&fields([GLASS, GLASS, GLASS, TISSUE]));
        assert!((mask.share_of([0.9, 0.9], [3.0, 3.0]) - 1.0).abs() < 1e-6);
        assert!((mask.share_of([2.0, 2.0], [0.1, 0.1]) - 1.0).abs() < 1e-6);
        assert!(mask.share_of([-1.0, -1.0], [1.1, 1.1]) < 0.1);
    }
}
