//! The pixels of what a viewer shows: view → region → picture.
//!
//! A view may hang over the edges of the slide; what is asked about is the slide's part of it, at base
//! resolution or coarser, so that it fits a budget of pixels. Held true by the property test below.

use eosin_core::{Region, RegionScale, RgbTile, SlideInfo};
use eosin_slide::Slide;

use crate::error::WorkbenchError;

/// A rectangle on the screen's slide, in base pixels; may leave the slide on any side.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ViewRect {
    /// Top-left corner.
    pub origin_base_px: [f64; 2],
    /// Width and height.
    pub size_base_px: [f64; 2],
}

impl ViewRect {
    /// The part of the slide that a region covers; none where its scale is not relative to the slide.
    pub fn of_region(region: &Region) -> Option<Self> {
        let RegionScale::Downsample(downsample) = region.scale else { return None };
        Some(Self {
            origin_base_px: region.origin_base_px.map(f64::from),
            size_base_px: region.size_px.map(|side| f64::from(side) * downsample),
        })
    }
}

/// The region that a view shows, in at most `budget_px` pixels.
///
/// # Errors
/// [`WorkbenchError::EmptyView`] where the view and the slide share no pixel.
pub fn region_of_view(info: &SlideInfo, view: ViewRect, budget_px: u64) -> Result<Region, WorkbenchError> {
    let base_px = info.base_px().map(f64::from);
    let start = [0, 1].map(|k| view.origin_base_px[k].floor().clamp(0.0, base_px[k]));
    let end = [0, 1].map(|k| (view.origin_base_px[k] + view.size_base_px[k]).ceil().clamp(0.0, base_px[k]));
    let size = [0, 1].map(|k| end[k] - start[k]);
    // Written so that NaN, which a window may send, is refused.
    if !(size[0] >= 1.0 && size[1] >= 1.0) {
        return Err(WorkbenchError::EmptyView);
    }
    let budget_px = budget_px.max(1) as f64;
    let mut downsample = (size[0] * size[1] / budget_px).sqrt().max(1.0);
    // A side is one pixel at least, so a thread-like view needs its long side alone within the budget.
    downsample = downsample.max(size[0].max(size[1]) / budget_px);
    let size_px = size.map(|side| ((side / downsample).floor() as u32).max(1));
    Ok(Region {
        slide: info.id.clone(),
        origin_base_px: start.map(|side| side as u32),
        size_px,
        scale: RegionScale::Downsample(downsample),
    })
}

/// Reads what a view shows, in at most `budget_px` pixels.
///
/// # Errors
/// As [`region_of_view`] and [`Slide::read`].
pub fn read_view(slide: &Slide, view: ViewRect, budget_px: u64) -> Result<(Region, RgbTile), WorkbenchError> {
    let region = region_of_view(slide.info(), view, budget_px)?;
    let tile = slide.read(&region)?;
    Ok((region, tile))
}

#[cfg(test)]
mod tests {
    use eosin_core::{Level, SlideId};
    use proptest::prelude::*;

    use super::*;

    fn info(base_px: [u32; 2]) -> SlideInfo {
        SlideInfo {
            id: SlideId("x".into()),
            format: "png".into(),
            levels: vec![Level { size_px: base_px, downsample: 1.0 }],
            mpp: None,
            magnification: None,
            associated: Vec::new(),
        }
    }

    #[test]
    fn a_view_is_clipped_and_kept_within_its_budget() {
        let check = |origin: [f64; 2], size: [f64; 2], budget_px, expected: Option<([u32; 2], [u32; 2])>| {
            let view = ViewRect { origin_base_px: origin, size_base_px: size };
            let got = region_of_view(&info([1000, 500]), view, budget_px);
            assert_eq!(got.ok().map(|region| (region.origin_base_px, region.size_px)), expected, "{view:?}");
        };
        check([10.0, 20.0], [30.0, 40.0], 1 << 20, Some(([10, 20], [30, 40])));
        check([-50.0, -50.0], [2000.0, 2000.0], 1 << 20, Some(([0, 0], [1000, 500])));
        check([0.0, 0.0], [1000.0, 500.0], 125_000, Some(([0, 0], [500, 250])));
        check([1000.0, 0.0], [10.0, 10.0], 100, None);
        check([-20.0, 0.0], [10.0, 10.0], 100, None);
        check([f64::NAN, 0.0], [10.0, 10.0], 100, None);
        check([0.0, 0.0], [f64::INFINITY, 10.0], 1 << 20, Some(([0, 0], [1000, 10])));
        check([0.0, 0.0], [0.0, 10.0], 100, None);
    }

    proptest! {
        #[test]
        fn a_view_fits_the_slide_and_the_budget(
            base in (1_u32..5000, 1_u32..5000), x in -100.0..5000.0, y in -100.0..5000.0,
            w in 0.1..9000.0, h in 0.1..9000.0, budget_px in 1_u64..100_000,
        ) {
            let info = info([base.0, base.1]);
            let view = ViewRect { origin_base_px: [x, y], size_base_px: [w, h] };
            let Ok(region) = region_of_view(&info, view, budget_px) else { return Ok(()) };
            let RegionScale::Downsample(downsample) = region.scale else { unreachable!("views have no mpp") };
            let n_px = u64::from(region.size_px[0]) * u64::from(region.size_px[1]);
            prop_assert!(n_px <= budget_px, "{n_px}");
            for k in 0..2 {
                let end = f64::from(region.origin_base_px[k]) + f64::from(region.size_px[k]) * downsample;
                prop_assert!(end - f64::from(info.base_px()[k]) < downsample);
            }
        }
    }
}
