//! A histogram of colours, and its like in grey: features that see no shapes.
//!
//! Stains alone tell much tissue apart, so a figure on real tissue means something only beside these. The
//! grey one knows how dark a picture is and nothing else; a model that is shown grey pictures must beat it
//! by shapes.

use eosin_core::RgbTile;

use super::features::Features;

/// Levels of each channel in the colour histogram.
const N_LEVEL: usize = 8;
/// Levels of the grey histogram.
const N_GREY: usize = 64;

/// Shares of pixels by 8 × 8 × 8 colours.
pub fn colours(tiles: &[RgbTile]) -> Features {
    histogram(tiles, N_LEVEL.pow(3), |pixel| {
        let [r, g, b] = pixel.map(|value| usize::from(value) * N_LEVEL / 256);
        (r * N_LEVEL + g) * N_LEVEL + b
    })
}

/// Shares of pixels by 64 greys.
pub fn greys(tiles: &[RgbTile]) -> Features {
    histogram(tiles, N_GREY, |pixel| usize::from(grey(pixel)) * N_GREY / 256)
}

/// The picture without colours.
pub fn without_colours(tile: &RgbTile) -> RgbTile {
    let (pixels, _) = tile.pixels().as_chunks::<3>();
    let pixels = pixels.iter().flat_map(|pixel| [grey(*pixel); 3]).collect();
    RgbTile::new(tile.size_px(), pixels)
        .unwrap_or_else(|error| unreachable!("as many pixels as before: {error}"))
}

/// Luma as in JPEG, in 16-bit fixed point.
fn grey([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 32768) >> 16) as u8
}

fn histogram(tiles: &[RgbTile], n_bin: usize, bin: impl Fn([u8; 3]) -> usize) -> Features {
    let mut values = vec![0.0; tiles.len() * n_bin];
    for (tile, row) in tiles.iter().zip(values.chunks_exact_mut(n_bin)) {
        let (pixels, _) = tile.pixels().as_chunks::<3>();
        let share = 1.0 / pixels.len() as f32;
        for pixel in pixels {
            row[bin(*pixel)] += share;
        }
    }
    Features::new(n_bin, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_one_and_grey_keeps_light() {
        let tile = RgbTile::new([2, 1], vec![255, 0, 0, 200, 200, 200]).unwrap();
        for features in [colours(std::slice::from_ref(&tile)), greys(std::slice::from_ref(&tile))] {
            assert!((features.row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert_eq!(features.row(0).iter().filter(|share| **share > 0.4).count(), 2);
        }
        assert_eq!(without_colours(&tile).pixels(), [76, 76, 76, 200, 200, 200]);
    }
}
