//! Region → pixels: which level to read, and how to bring it to the scale that was asked for.
//!
//! The coarsest level that is at least as fine as the result is read and averaged down by area, so that
//! nothing aliases; where even level 0 is too coarse it is interpolated. The corner is kept exact: reading
//! starts on the level pixel that holds it, and the fraction enters the resampling. Reading goes in blocks,
//! so a thumbnail of a huge slide without coarse levels needs time but little memory.
//! Held true by the unit tests below and `tests/slides.rs`.

use eosin_core::{Region, RegionScale, RgbTile};

use crate::error::SlideError;
use crate::resample::{AreaSink, Axis, interpolate};
use crate::slide::{Slide, crop};

/// Most pixels returned in one piece: 64 Mi, 192 MiB.
pub const REGION_PX_MAX: u64 = 64 << 20;
/// Most pixels decoded for one region.
const SOURCE_PX_MAX: u64 = 4 << 30;
/// Longest side decoded for one region: no scanner makes longer ones, but a header may claim it.
const SOURCE_SIDE_PX_MAX: usize = 2 << 20;
/// Side of the blocks in which a large source is read.
const BLOCK_PX: usize = 2048;
/// A level whose downsample exceeds the wanted one by no more than this still counts as fine enough: levels
/// of 2.0005 are meant to be 2.
const LEVEL_SLACK: f64 = 1.005;

impl Slide {
    /// Base pixels per pixel of a scale on this slide.
    ///
    /// # Errors
    /// [`SlideError::NoScale`] for µm on a slide that states no scale, [`SlideError::BadScale`].
    pub fn downsample_of(&self, scale: RegionScale) -> Result<f64, SlideError> {
        let downsample = match scale {
            RegionScale::Downsample(downsample) => downsample,
            RegionScale::Mpp(mpp) => {
                let base = self.info().mpp.ok_or(SlideError::NoScale)?;
                mpp.um_per_px() / base.um_per_px()
            }
        };
        if (1e-3..=1e6).contains(&downsample) {
            Ok(downsample)
        } else {
            Err(SlideError::BadScale { downsample })
        }
    }

    /// Reads a region at its scale, exactly `region.size_px` pixels.
    ///
    /// The region must lie on the slide; it may hang over the right and bottom edge by less than one returned
    /// pixel, as sizes that were rounded do. Transparent pixels are white.
    ///
    /// # Errors
    /// Every variant but `Open`, `Write` and those of associated images.
    pub fn read(&self, region: &Region) -> Result<RgbTile, SlideError> {
        if region.slide != self.info().id {
            return Err(SlideError::WrongSlide);
        }
        let origin = region.origin_base_px.map(f64::from);
        self.read_scaled(origin, region.size_px, self.downsample_of(region.scale)?)
    }

    /// As [`Slide::read`], from a corner that may lie within a base pixel: pieces of a picture that is larger
    /// than one reading join without a seam.
    ///
    /// # Errors
    /// As [`Slide::read`].
    pub fn read_at(
        &self,
        origin_base_px: [f64; 2],
        size_px: [u32; 2],
        downsample: f64,
    ) -> Result<RgbTile, SlideError> {
        let downsample = self.downsample_of(RegionScale::Downsample(downsample))?;
        self.read_scaled(origin_base_px, size_px, downsample)
    }

    /// Reads pixels of one level as they are stored; beyond the slide they are white.
    ///
    /// The corner is in base pixels whatever the level, as in OpenSlide, whose pixels these are; a level that
    /// the installed OpenSlide misreads is averaged from a finer one instead.
    ///
    /// # Errors
    /// [`SlideError::NoSuchLevel`], [`SlideError::EmptyRegion`], [`SlideError::TooLarge`],
    /// [`SlideError::Read`].
    pub fn read_level(
        &self,
        level_idx: usize,
        origin_base_px: [u32; 2],
        size_px: [u32; 2],
    ) -> Result<RgbTile, SlideError> {
        let n_level = self.levels().len();
        if level_idx >= n_level {
            return Err(SlideError::NoSuchLevel { level_idx, n_level });
        }
        check_size(size_px)?;
        if self.reads_level(level_idx) {
            return self.read_source(level_idx, origin_base_px, size_px);
        }
        let level = self.levels()[level_idx];
        let corner = origin_base_px.map(|side| (f64::from(side) / level.downsample).round() as u32);
        let inside = [0, 1].map(|k| level.size_px[k].saturating_sub(corner[k]).min(size_px[k]));
        if inside.contains(&0) {
            return Ok(white(size_px));
        }
        let tile = self.read_scaled(origin_base_px.map(f64::from), inside, level.downsample)?;
        Ok(crop(&tile, [0, 0], size_px))
    }

    /// The whole slide in at most `max_px` pixels a side; never enlarged.
    ///
    /// # Errors
    /// As [`Slide::read`].
    pub fn thumbnail(&self, max_px: u32) -> Result<RgbTile, SlideError> {
        let base_px = self.info().base_px();
        let longest_px = base_px[0].max(base_px[1]);
        if max_px == 0 {
            return Err(SlideError::EmptyRegion { size_px: [0, 0] });
        }
        let downsample = (f64::from(longest_px) / f64::from(max_px)).max(1.0);
        let size_px = base_px.map(|side| ((f64::from(side) / downsample).round() as u32).max(1));
        self.read_scaled([0.0, 0.0], size_px, downsample)
    }

    /// Reads `size_px` pixels of `downsample` base pixels each.
    fn read_scaled(
        &self,
        origin_base_px: [f64; 2],
        size_px: [u32; 2],
        downsample: f64,
    ) -> Result<RgbTile, SlideError> {
        check_size(size_px)?;
        let slide_px = self.info().base_px();
        let size_base_px = size_px.map(|side| f64::from(side) * downsample);
        let fits = |k: usize| {
            let overhang = origin_base_px[k] + size_base_px[k] - f64::from(slide_px[k]);
            // Written so that NaN fits nowhere.
            (0.0..f64::from(slide_px[k])).contains(&origin_base_px[k]) && overhang < downsample.max(1.0)
        };
        if !(fits(0) && fits(1)) {
            let origin_base_px = origin_base_px.map(|side| side as u32);
            return Err(SlideError::OutOfBounds { origin_base_px, size_base_px, slide_px });
        }

        let level_idx = self.level_for(downsample);
        let level = self.levels()[level_idx];
        let step = downsample / level.downsample;
        let enlarges = step < 0.95;
        // Interpolation looks at two pixels beyond; averaging at none.
        let margin = if enlarges { 2.0 } else { 0.0 };
        let plan = |k: usize| {
            let corner = origin_base_px[k] / level.downsample;
            let first = (corner.floor() - margin).max(0.0);
            let n_level_px = f64::from(level.size_px[k]);
            // A level a little shorter than base / downsample still gives its last pixel.
            let first = first.min(n_level_px - 1.0);
            let end = (corner + f64::from(size_px[k]) * step + margin - 1e-6).ceil().min(n_level_px);
            let n_source = (end - first).max(1.0) as usize;
            let axis = Axis { start: corner - first, step, n_out: size_px[k] as usize, n_source };
            (first, axis)
        };
        let ((first_x, x), (first_y, y)) = (plan(0), plan(1));
        let n_px = x.n_source as u64 * y.n_source as u64;
        if n_px > SOURCE_PX_MAX || x.n_source.max(y.n_source) > SOURCE_SIDE_PX_MAX {
            return Err(SlideError::TooFine { n_px, limit_px: SOURCE_PX_MAX });
        }
        let block = |at: [usize; 2], size: [usize; 2]| {
            let base = [first_x + at[0] as f64, first_y + at[1] as f64];
            let base = base.map(|level_px| (level_px * level.downsample).round() as u32);
            self.read_source(level_idx, base, size.map(|side| side as u32))
        };

        let pixels = if enlarges {
            interpolate(&block([0, 0], [x.n_source, y.n_source])?, x, y)
        } else if is_copy(x) && is_copy(y) {
            return block([0, 0], [x.n_out, y.n_out]);
        } else {
            let mut sink = AreaSink::new(x, y);
            for top in (0..y.n_source).step_by(BLOCK_PX) {
                for left in (0..x.n_source).step_by(BLOCK_PX) {
                    let size = [BLOCK_PX.min(x.n_source - left), BLOCK_PX.min(y.n_source - top)];
                    sink.add([left, top], &block([left, top], size)?);
                }
            }
            sink.finish()
        };
        Ok(RgbTile::new(size_px, pixels).expect("the resampler fills the size that was checked"))
    }

    /// The coarsest level that is fine enough.
    fn level_for(&self, downsample: f64) -> usize {
        let fine_enough = |level: &eosin_core::Level| level.downsample <= downsample * LEVEL_SLACK;
        let indexed = self.levels().iter().enumerate();
        let usable = indexed.filter(|(idx, level)| fine_enough(level) && self.reads_level(*idx));
        usable.max_by(|a, b| a.1.downsample.total_cmp(&b.1.downsample)).map_or(0, |(level_idx, _)| level_idx)
    }
}

/// Whether output pixels are source pixels, within a twentieth of one at the far end.
fn is_copy(axis: Axis) -> bool {
    let drift = (axis.step - 1.0).abs() * axis.n_out as f64;
    axis.start.abs() + drift < 0.05 && axis.n_source >= axis.n_out
}

fn white(size_px: [u32; 2]) -> RgbTile {
    let n_byte = size_px[0] as usize * size_px[1] as usize * 3;
    RgbTile::new(size_px, vec![255; n_byte]).expect("the buffer was made for this size, which was checked")
}

fn check_size(size_px: [u32; 2]) -> Result<(), SlideError> {
    let n_px = u64::from(size_px[0]) * u64::from(size_px[1]);
    if n_px == 0 {
        return Err(SlideError::EmptyRegion { size_px });
    }
    if n_px > REGION_PX_MAX {
        return Err(SlideError::TooLarge { size_px, limit_px: REGION_PX_MAX });
    }
    Ok(())
}
