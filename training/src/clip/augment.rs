//! Training pictures cut and turned at random, the same way for the same place in a run.
//!
//! A random part of the picture is resized to what the tower takes, as `open_clip` trains: between 0.9 and
//! 1.0 of the area and of nearly any proportion that fits. Tissue has no up and no left, so flips and
//! quarter turns are allowed where the recipe asks; captions that speak of sides would forbid them. Every
//! draw is a function of the run's seed and of the pair's place. Held by the tests below.

use eosin_core::RgbTile;
use eosin_model::prepare::{Filter, resize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// How training pictures vary.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentRecipe {
    /// Least and largest share of the picture's area that is kept.
    pub crop_area: [f64; 2],
    /// Least and largest proportion (width over height) of what is kept.
    pub crop_ratio: [f64; 2],
    /// Mirror half of the pictures.
    pub flips: bool,
    /// Turn pictures by 0, 90, 180 or 270 degrees.
    pub quarter_turns: bool,
}

impl Default for AugmentRecipe {
    /// `open_clip`'s.
    fn default() -> Self {
        Self { crop_area: [0.9, 1.0], crop_ratio: [3.0 / 4.0, 4.0 / 3.0], flips: false, quarter_turns: false }
    }
}

impl AugmentRecipe {
    /// The first contradiction, if any.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let ordered = |[low, high]: [f64; 2]| low > 0.0 && low <= high;
        if !ordered(self.crop_area) || self.crop_area[1] > 1.0 {
            return Some("augment.crop_area must rise within 0…1");
        }
        if !ordered(self.crop_ratio) || !self.crop_ratio[1].is_finite() {
            return Some("augment.crop_ratio must rise from above 0");
        }
        None
    }

    /// The picture at place `cursor` of a run, `side_px` wide and high.
    pub fn apply(&self, tile: &RgbTile, side_px: u32, seed: u64, cursor: u64) -> RgbTile {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(cursor);
        let ([x, y], size_px) = self.choose(tile.size_px(), &mut rng);
        let cut = cut(tile, [x, y], size_px);
        let pixels = resize(&cut, size_px, [side_px; 2], Filter::Bicubic);
        let mirror = self.flips && rng.random_bool(0.5);
        let turns = if self.quarter_turns { rng.random_range(0..4) } else { 0 };
        let pixels = turn(&pixels, side_px as usize, mirror, turns);
        RgbTile::new([side_px; 2], pixels)
            .unwrap_or_else(|error| unreachable!("turning keeps every pixel: {error}"))
    }

    /// Left upper corner and size of what is kept.
    fn choose(&self, [width, height]: [u32; 2], rng: &mut ChaCha8Rng) -> ([u32; 2], [u32; 2]) {
        let area = f64::from(width) * f64::from(height);
        let [low, high] = self.crop_ratio.map(f64::ln);
        // Ten draws, then the largest part in the middle whose proportion is allowed: torchvision's rule.
        for _ in 0..10 {
            let kept = area * rng.random_range(self.crop_area[0]..=self.crop_area[1]);
            let ratio = rng.random_range(low..=high).exp();
            let w = (kept * ratio).sqrt().round() as u32;
            let h = (kept / ratio).sqrt().round() as u32;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let x = rng.random_range(0..=width - w);
                let y = rng.random_range(0..=height - h);
                return ([x, y], [w, h]);
            }
        }
        let own = f64::from(width) / f64::from(height);
        let ratio = own.clamp(self.crop_ratio[0], self.crop_ratio[1]);
        let w = if own > ratio { (f64::from(height) * ratio).round() as u32 } else { width };
        let h = if own < ratio { (f64::from(width) / ratio).round() as u32 } else { height };
        let (w, h) = (w.clamp(1, width), h.clamp(1, height));
        ([(width - w) / 2, (height - h) / 2], [w, h])
    }
}

fn cut(tile: &RgbTile, [x, y]: [u32; 2], [w, h]: [u32; 2]) -> Vec<u8> {
    let stride = tile.width_px() as usize * 3;
    let (start, len) = (x as usize * 3, w as usize * 3);
    (y as usize..(y + h) as usize)
        .flat_map(|row| &tile.pixels()[row * stride + start..row * stride + start + len])
        .copied()
        .collect()
}

/// A square picture mirrored left to right and then turned clockwise by quarters.
fn turn(pixels: &[u8], side: usize, mirror: bool, quarters: u32) -> Vec<u8> {
    if !mirror && quarters == 0 {
        return pixels.to_vec();
    }
    let last = side - 1;
    let mut turned = Vec::with_capacity(pixels.len());
    for row in 0..side {
        for column in 0..side {
            let (y, x) = match quarters {
                0 => (row, column),
                1 => (last - column, row),
                2 => (last - row, last - column),
                _ => (column, last - row),
            };
            let x = if mirror { last - x } else { x };
            let at = (y * side + x) * 3;
            turned.extend_from_slice(&pixels[at..at + 3]);
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise([width, height]: [u32; 2]) -> RgbTile {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let pixels = (0..width * height * 3).map(|_| rng.random()).collect();
        RgbTile::new([width, height], pixels).unwrap()
    }

    #[test]
    fn what_is_kept_lies_in_the_picture_and_in_the_bounds() {
        let recipe = AugmentRecipe { crop_area: [0.3, 1.0], ..AugmentRecipe::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for size in [[100, 100], [300, 100], [1, 1], [2, 500], [64, 63]] {
            for _ in 0..200 {
                let ([x, y], [w, h]) = recipe.choose(size, &mut rng);
                assert!(w > 0 && h > 0 && x + w <= size[0] && y + h <= size[1], "{size:?}");
                if size == [100, 100] {
                    let share = f64::from(w * h) / 1e4;
                    assert!((0.29..=1.0).contains(&share), "{share}");
                }
            }
        }
        // Too long for any allowed proportion: the middle.
        let narrow = recipe.choose([1000, 100], &mut rng);
        assert_eq!(narrow, ([433, 0], [133, 100]));
    }

    #[test]
    fn a_place_in_the_run_always_gives_the_same_picture() {
        let recipe = AugmentRecipe { flips: true, quarter_turns: true, ..AugmentRecipe::default() };
        let tile = noise([40, 30]);
        let at = |seed, cursor| recipe.apply(&tile, 16, seed, cursor);
        assert_eq!(at(1, 5), at(1, 5));
        assert_ne!(at(1, 5), at(1, 6));
        assert_ne!(at(1, 5), at(2, 5));
    }

    #[test]
    fn turns_are_turns() {
        let at = |values: [u8; 4]| values.iter().flat_map(|&value| [value; 3]).collect::<Vec<_>>();
        let picture = at([1, 2, 3, 4]);
        let check =
            |mirror, quarters, expected| assert_eq!(turn(&picture, 2, mirror, quarters), at(expected));
        check(false, 0, [1, 2, 3, 4]);
        check(false, 1, [3, 1, 4, 2]);
        check(false, 2, [4, 3, 2, 1]);
        check(false, 3, [2, 4, 1, 3]);
        check(true, 0, [2, 1, 4, 3]);
        check(true, 1, [4, 2, 3, 1]);
    }

    #[test]
    fn contradictions_are_told() {
        let with =
            |crop_area, crop_ratio| AugmentRecipe { crop_area, crop_ratio, ..AugmentRecipe::default() };
        assert_eq!(AugmentRecipe::default().refusal(), None);
        assert!(with([0.0, 1.0], [1.0, 1.0]).refusal().is_some());
        assert!(with([0.5, 1.1], [1.0, 1.0]).refusal().is_some());
        assert!(with([0.9, 0.5], [1.0, 1.0]).refusal().is_some());
        assert!(with([0.5, 1.0], [f64::NAN, 1.0]).refusal().is_some());
    }
}
