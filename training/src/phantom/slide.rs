//! A whole slide of six drawn regions, for the tests, the README and the first look of a newcomer.
//!
//! It is drawn at 0.25 µm a pixel while the demonstration learned at 1 µm: a view of 672 base pixels is a
//! training picture. Regions lie in two rows of three with wavy borders on one piece of tissue in clear
//! glass. Held true by `a_slide_shows_its_regions` below.

use std::path::Path;

use eosin_core::{Mpp, RgbTile};
use eosin_slide::{PyramidKind, PyramidOptions, SlideError};
use rand::SeedableRng;

use super::canvas::{Canvas, cover, noise};
use super::scene::{DeadPart, Mitoses, Plan};
use super::stain::Lab;
use super::truth::{Infiltrate, Mark, Nuclei, Pattern, Stain, Truth};
use super::{Draw, Settings};

/// Base pixels per pixel of a training picture.
pub const BASE_PX_PER_TRAINED_PX: u32 = 4;

/// Scale of level 0 in micrometres.
pub const MPP_UM: f64 = 0.25;

/// Size of the slide.
pub const SIZE_PX: [u32; 2] = [4608, 3072];

const COLUMNS: usize = 3;
const ROWS: usize = 2;
const WAVE_PX: f32 = 110.0;
const MARGIN_PX: f32 = 150.0;

/// A slide in memory.
#[derive(Clone, Debug)]
pub struct SlidePhantom {
    /// Its pixels at the finest level.
    pub picture: RgbTile,
    /// Its regions, row by row.
    pub regions: Vec<SlideRegion>,
}

/// One region of a slide.
#[derive(Clone, Debug)]
pub struct SlideRegion {
    /// What it is called.
    pub name: &'static str,
    /// A rectangle that lies wholly inside: x, y, width, height in base pixels.
    pub inner_px: [u32; 4],
    /// What it shows; marks in base pixels.
    pub truth: Truth,
}

/// What the regions show, row by row.
fn plans() -> [(&'static str, Plan); COLUMNS * ROWS] {
    let stroma = |infiltrate| Plan { infiltrate, ..Plan::he(Pattern::Stroma) };
    let glands = |nuclei| Plan { nuclei, n_gland: 5, ..Plan::he(Pattern::Glands) };
    [
        ("benign glands", glands(Nuclei::Regular)),
        ("inflamed stroma rich in plasma cells", stroma(Infiltrate::PlasmaCells)),
        ("solid carcinoma with mitoses", Plan { mitoses: Mitoses::Present, ..Plan::he(Pattern::Sheet) }),
        ("adenocarcinoma", glands(Nuclei::Pleomorphic)),
        ("acute inflammation", stroma(Infiltrate::Neutrophils)),
        ("necrosis", Plan { dead_part: DeadPart::Absent, ..Plan::he(Pattern::Necrosis) }),
    ]
}

/// Draws the slide of a seed.
pub fn draw(seed: u64) -> SlidePhantom {
    // One usual laboratory: the slide is looked at as a whole.
    let settings =
        Settings { scale: BASE_PX_PER_TRAINED_PX as f32, stain_variation: 0.35, ..Settings::default() };
    let mut rng = Draw::seed_from_u64(seed);
    let lab = Lab::draw(Stain::He, &settings, &mut rng);
    let size_px = SIZE_PX.map(|side| side as usize);
    let cell_px = [size_px[0] / COLUMNS, size_px[1] / ROWS];
    let reach_px = WAVE_PX as usize;
    let salt = seed as u32 ^ 0x5_11DE;
    let mut slide = Canvas::new(size_px);
    let mut regions = Vec::new();
    for (idx, (name, plan)) in plans().into_iter().enumerate() {
        let place = [idx % COLUMNS, idx / COLUMNS];
        let low = [0, 1].map(|axis| (place[axis] * cell_px[axis]).saturating_sub(reach_px));
        let high = [0, 1].map(|axis| ((place[axis] + 1) * cell_px[axis] + reach_px).min(size_px[axis]));
        let mut rng = Draw::seed_from_u64(seed);
        rng.set_stream(2 + idx as u64);
        let (painter, mut truth) = plan.paint([high[0] - low[0], high[1] - low[1]], &settings, &mut rng);
        slide.lay_over(&painter.canvas, low, |x, y| region_cover(place, cell_px, salt, x, y));
        let inner_px = inner(place, cell_px);
        truth.marks = inner_marks(truth.marks, low, inner_px);
        regions.push(SlideRegion { name, inner_px, truth });
    }
    slide.lay_over(&Canvas::new(size_px), [0, 0], |x, y| 1.0 - tissue_cover(size_px, salt, x, y));
    SlidePhantom { picture: lab.develop(slide), regions }
}

/// Draws the slide of a seed and writes it as a pyramid that `OpenSlide` reads.
///
/// # Errors
/// [`SlideError::Write`].
pub fn write(path: &Path, seed: u64) -> Result<Vec<SlideRegion>, SlideError> {
    let slide = draw(seed);
    let options = PyramidOptions {
        kind: PyramidKind::Aperio { magnification: 40.0 },
        mpp: Mpp::new(MPP_UM).ok(),
        ..PyramidOptions::default()
    };
    eosin_slide::write_picture_pyramid(path, &slide.picture, &options)?;
    Ok(slide.regions)
}

/// Coverage of one cell of the layout: all that lies right of and below its wavy borders. Later cells are
/// laid over it, so that no seam of clear glass is left between neighbours.
fn region_cover(place: [usize; 2], cell_px: [usize; 2], salt: u32, x: f32, y: f32) -> f32 {
    let wave = |salt: u32| WAVE_PX * (noise(x / 260.0, y / 260.0, salt) - 0.5);
    let at = [x + wave(salt), y + wave(salt ^ 0xFFFF)];
    let from = |axis: usize| match place[axis] {
        0 => 1.0,
        cell => cover((cell * cell_px[axis]) as f32 - at[axis], 8.0),
    };
    from(0) * from(1)
}

/// Coverage of the tissue on the glass.
fn tissue_cover(size_px: [usize; 2], salt: u32, x: f32, y: f32) -> f32 {
    let [width_px, height_px] = size_px.map(|side| side as f32);
    let edge_px = x.min(width_px - x).min(y.min(height_px - y));
    let wavy = 190.0 * (noise(x / 420.0, y / 420.0, salt ^ 0xE06E) - 0.5);
    cover(MARGIN_PX - edge_px + wavy, 10.0)
}

/// A rectangle that neither the waves of the borders nor the edge of the tissue reach.
fn inner(place: [usize; 2], cell_px: [usize; 2]) -> [u32; 4] {
    let [x_range, y_range] = [0, 1].map(|axis| {
        let last = [COLUMNS, ROWS][axis] - 1;
        let glass_px = (MARGIN_PX + 100.0) as usize;
        let wave_px = (WAVE_PX * 0.5) as usize + 12;
        let low = place[axis] * cell_px[axis] + if place[axis] == 0 { glass_px } else { wave_px };
        let high = (place[axis] + 1) * cell_px[axis] - if place[axis] == last { glass_px } else { wave_px };
        low as u32..high as u32
    });
    [x_range.start, y_range.start, x_range.end - x_range.start, y_range.end - y_range.start]
}

/// Marks of a region's canvas in base pixels, as far as they lie in its inner rectangle.
fn inner_marks(marks: Vec<Mark>, origin_px: [usize; 2], inner_px: [u32; 4]) -> Vec<Mark> {
    let [x_px, y_px, width_px, height_px] = inner_px.map(|side| side as f32);
    marks
        .into_iter()
        .map(|mark| {
            let [x, y] = mark.centre_px;
            Mark { centre_px: [x + origin_px[0] as f32, y + origin_px[1] as f32], ..mark }
        })
        .filter(|mark| {
            let [x, y] = mark.centre_px;
            (x_px..x_px + width_px).contains(&x) && (y_px..y_px + height_px).contains(&y)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::{MarkKind, Split};

    #[test]
    fn a_slide_shows_its_regions() {
        let slide = draw(Split::Demo.seed(0));
        assert_eq!(slide.picture.size_px(), SIZE_PX);
        let mean = |[x_px, y_px, width_px, height_px]: [u32; 4]| -> [f64; 3] {
            let mut sum = [0.0; 3];
            let mut n_pixel = 0.0;
            for y in (y_px..y_px + height_px).step_by(7) {
                for x in (x_px..x_px + width_px).step_by(7) {
                    let at = (y as usize * SIZE_PX[0] as usize + x as usize) * 3;
                    for (total, value) in sum.iter_mut().zip(&slide.picture.pixels()[at..at + 3]) {
                        *total += f64::from(*value);
                    }
                    n_pixel += 1.0;
                }
            }
            sum.map(|total| total / n_pixel)
        };
        // Glass is clear; tissue is not; a sheet of nuclei is bluer and darker than debris.
        assert!(mean([0, 0, 40, 40]).into_iter().all(|value| value > 225.0));
        let colours: Vec<[f64; 3]> = slide.regions.iter().map(|region| mean(region.inner_px)).collect();
        assert!(colours.iter().all(|colour| colour[1] < 200.0), "{colours:?}");
        let [sheet, necrosis] = [colours[2], colours[5]];
        assert!(sheet[0] < necrosis[0] - 20.0, "{sheet:?} {necrosis:?}");
        for (region_idx, kind) in [
            (0, MarkKind::Gland),
            (1, MarkKind::PlasmaCell),
            (2, MarkKind::Mitosis),
            (3, MarkKind::Gland),
            (4, MarkKind::Neutrophil),
            (5, MarkKind::PyknoticNucleus),
        ] {
            let region = &slide.regions[region_idx];
            assert!(region.truth.count(kind) >= 3, "{}: too few {kind:?}", region.name);
        }
    }

    #[test]
    fn inner_rectangles_hold_a_view_and_do_not_meet() {
        let view_px = 168 * BASE_PX_PER_TRAINED_PX;
        let cell_px = [SIZE_PX[0] as usize / COLUMNS, SIZE_PX[1] as usize / ROWS];
        for idx in 0..COLUMNS * ROWS {
            let [x_px, y_px, width_px, height_px] = inner([idx % COLUMNS, idx / COLUMNS], cell_px);
            assert!(width_px >= view_px && height_px >= view_px);
            assert!(x_px + width_px <= SIZE_PX[0] && y_px + height_px <= SIZE_PX[1]);
        }
    }
}
