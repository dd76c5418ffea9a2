//! Which tiles a slide has at which level of a deep zoom.
//!
//! Levels halve from the whole slide (the last level) down to one pixel (level 0), as OpenSeadragon counts
//! them; they need not be levels of the file. Held true by the property test below: the tiles of a level
//! cover its pixels once, and each can be read from the slide.

use eosin_core::{Region, RegionScale, SlideId};

/// Side of the tiles that a viewer is served.
pub const TILE_PX: u32 = 512;

/// Deep zoom of one slide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TilePlan {
    base_px: [u32; 2],
    tile_px: u32,
}

impl TilePlan {
    /// The plan of a slide of `base_px` in tiles of [`TILE_PX`].
    pub fn new(base_px: [u32; 2]) -> Self {
        Self::with_tile(base_px, TILE_PX)
    }

    /// The plan in tiles of another side.
    ///
    /// # Panics
    /// For a slide or a tile without pixels.
    pub fn with_tile(base_px: [u32; 2], tile_px: u32) -> Self {
        assert!(!base_px.contains(&0) && tile_px > 0, "a plan needs pixels");
        Self { base_px, tile_px }
    }

    /// Width and height of level 0 of the slide, which is the last level of the plan.
    pub fn base_px(&self) -> [u32; 2] {
        self.base_px
    }

    /// Side of a whole tile.
    pub fn tile_px(&self) -> u32 {
        self.tile_px
    }

    /// Number of levels: `⌈log2(longest side)⌉ + 1`.
    pub fn n_level(&self) -> u32 {
        let longest_px = self.base_px[0].max(self.base_px[1]);
        // Bits that the largest coordinate needs: the power of two that covers the side.
        u32::BITS - (longest_px - 1).leading_zeros() + 1
    }

    /// Base pixels per pixel of a level; none where the level does not exist.
    pub fn downsample(&self, level: u32) -> Option<f64> {
        let steps = self.n_level().checked_sub(level + 1)?;
        Some((1_u64 << steps) as f64)
    }

    /// Width and height of a level, rounded up.
    pub fn level_px(&self, level: u32) -> Option<[u32; 2]> {
        let downsample = self.downsample(level)? as u64;
        Some(self.base_px.map(|side| u64::from(side).div_ceil(downsample) as u32))
    }

    /// Columns and rows of tiles.
    pub fn n_tile(&self, level: u32) -> Option<[u32; 2]> {
        Some(self.level_px(level)?.map(|side| side.div_ceil(self.tile_px)))
    }

    /// The region of the slide that a tile shows; none where there is no such tile.
    pub fn region(&self, slide: &SlideId, level: u32, column: u32, row: u32) -> Option<Region> {
        let [n_column, n_row] = self.n_tile(level)?;
        if column >= n_column || row >= n_row {
            return None;
        }
        let level_px = self.level_px(level)?;
        let downsample = self.downsample(level)?;
        let corner = [column * self.tile_px, row * self.tile_px];
        let size_px = [0, 1].map(|k| self.tile_px.min(level_px[k] - corner[k]));
        let origin_base_px = corner.map(|side| (f64::from(side) * downsample) as u32);
        Some(Region {
            slide: slide.clone(),
            origin_base_px,
            size_px,
            scale: RegionScale::Downsample(downsample),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn levels_are_those_of_openseadragon() {
        let check = |base_px: [u32; 2], n_level: u32, first_px: [u32; 2]| {
            let plan = TilePlan::new(base_px);
            assert_eq!((plan.n_level(), plan.level_px(0)), (n_level, Some(first_px)), "{base_px:?}");
            assert_eq!(plan.level_px(n_level - 1), Some(base_px));
            assert_eq!(plan.level_px(n_level), None);
        };
        check([1, 1], 1, [1, 1]);
        check([2, 1], 2, [1, 1]);
        check([3, 1], 3, [1, 1]);
        check([512, 512], 10, [1, 1]);
        check([513, 512], 11, [1, 1]);
        check([100_000, 3], 18, [1, 1]);
        check([u32::MAX, u32::MAX], 33, [1, 1]);
    }

    proptest! {
        #[test]
        fn tiles_cover_a_level_once(
            width in 1_u32..3000, height in 1_u32..3000, tile_px in 1_u32..700, back in 0_u32..13,
        ) {
            let plan = TilePlan::with_tile([width, height], tile_px.max(width.max(height) / 40));
            let level = plan.n_level().saturating_sub(1 + back);
            let downsample = plan.downsample(level).unwrap();
            let [n_column, n_row] = plan.n_tile(level).unwrap();
            let level_px = plan.level_px(level).unwrap();
            let id = SlideId("x".into());
            // One axis at a time: a tile is the product of its spans.
            let span = |k: usize, column: u32, row: u32| {
                let region = plan.region(&id, level, column, row).unwrap();
                let start = f64::from(region.origin_base_px[k]) / downsample;
                // Exact, and within the slide but for less than one pixel.
                assert!(start.fract().abs() < 1e-9);
                let end_base = f64::from(region.origin_base_px[k]) + f64::from(region.size_px[k]) * downsample;
                assert!(end_base - f64::from([width, height][k]) < downsample);
                assert!(region.origin_base_px[k] < [width, height][k]);
                (start as u32, region.size_px[k])
            };
            let mut next = 0;
            for column in 0..n_column {
                let (start, n_px) = span(0, column, 0);
                prop_assert_eq!(start, next);
                next += n_px;
            }
            prop_assert_eq!(next, level_px[0]);
            next = 0;
            for row in 0..n_row {
                let (start, n_px) = span(1, 0, row);
                prop_assert_eq!(start, next);
                next += n_px;
            }
            prop_assert_eq!(next, level_px[1]);
            prop_assert!(plan.region(&id, level, n_column, 0).is_none());
            prop_assert!(plan.region(&id, level, 0, n_row).is_none());
        }
    }
}
