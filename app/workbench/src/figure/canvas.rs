//! Rows of a figure: the slide's pixels, turned and placed, with annotations and scale bar over them.
//!
//! A band is read in blocks, each averaged to the figure's scale by the slide itself; a turned block is then
//! sampled by a cubic, while quarter turns and upright ones only copy. Held true by `figure/tests.rs`.

use std::ops::Range;

use eosin_core::RgbTile;
use eosin_core::annotation::{BasePoint, Shape};
use eosin_slide::Slide;

use super::ink::{Ink, Paint};
use super::{Corner, FigureError, FigureRequest, lettering};
use crate::annotation::Feature;
use crate::classes::PLAIN_COLOR;
use crate::look::LookTables;

/// Side of the blocks in which a band is read.
const BLOCK_PX: u32 = 1024;
/// Pixels around a block that its cubic looks at.
const MARGIN_PX: f64 = 2.0;

/// Where figure pixels lie on the slide.
#[derive(Clone, Copy, Debug)]
struct Frame {
    center_base: BasePoint,
    downsample: f64,
    half_px: [f64; 2],
    cos: f64,
    sin: f64,
    /// Whether the turn is by right angles only.
    square: bool,
}

impl Frame {
    fn new(request: &FigureRequest) -> Self {
        let degrees = request.rotation_degrees.rem_euclid(360.0);
        let quarter = (degrees / 90.0).round();
        let square = (degrees - quarter * 90.0).abs() < 1e-9;
        let (sin, cos) = if square {
            // Exactly, so that pixels are copied.
            [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0)][quarter as usize % 4]
        } else {
            degrees.to_radians().sin_cos()
        };
        Self {
            center_base: request.center_base_px,
            downsample: request.downsample,
            half_px: request.size_px.map(|side| f64::from(side) / 2.0),
            cos,
            sin,
            square,
        }
    }

    fn base_from_figure(&self, [x, y]: [f64; 2]) -> BasePoint {
        let (x, y) = (x - self.half_px[0], y - self.half_px[1]);
        let turned = [x * self.cos + y * self.sin, y * self.cos - x * self.sin];
        [0, 1].map(|k| self.center_base[k] + turned[k] * self.downsample)
    }

    fn figure_from_base(&self, base: BasePoint) -> [f64; 2] {
        let [x, y] = [0, 1].map(|k| (base[k] - self.center_base[k]) / self.downsample);
        [x * self.cos - y * self.sin + self.half_px[0], y * self.cos + x * self.sin + self.half_px[1]]
    }
}

/// What is drawn over the slide, in figure pixels.
struct Drawing {
    lines: Vec<Vec<[f64; 2]>>,
    paint: Paint,
    radius_px: f64,
}

/// Paints bands of a figure.
pub(super) struct Canvas<'a> {
    slide: &'a Slide,
    frame: Frame,
    width_px: u32,
    tables: &'a LookTables,
    drawings: Vec<Drawing>,
    ink: Ink,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(slide: &'a Slide, request: &FigureRequest, tables: &'a LookTables) -> Self {
        let frame = Frame::new(request);
        let radius_px = request.stroke_px.clamp(0.5, 200.0) / 2.0;
        let mut drawings: Vec<Drawing> =
            request.features.iter().map(|feature| outline(feature, &frame, radius_px)).collect();
        if let Some(corner) = request.scale_bar {
            drawings.extend(scale_bar(slide, request, corner));
        }
        let [width_px, height_px] = request.size_px;
        // What the figure does not show costs nothing in any band.
        drawings.retain(|drawing| {
            let reach = drawing.radius_px + 1.0;
            let far = |k: usize, side: u32| {
                let sides = || drawing.lines.iter().flatten().map(|point| point[k]);
                sides().all(|at| at < -reach) || sides().all(|at| at > f64::from(side) + reach)
            };
            !far(0, width_px) && !far(1, height_px)
        });
        Self { slide, frame, width_px, tables, drawings, ink: Ink::default() }
    }

    /// Paints some rows into `band`, which has room for exactly them.
    pub(super) fn paint(&mut self, rows: Range<u32>, band: &mut [u8]) -> Result<(), FigureError> {
        band.fill(255);
        for left in (0..self.width_px).step_by(BLOCK_PX as usize) {
            let columns = left..(left + BLOCK_PX).min(self.width_px);
            self.paint_block(columns, rows.clone(), band)?;
        }
        self.ink.aim(self.width_px, rows);
        for drawing in &self.drawings {
            self.ink.draw(&drawing.lines, drawing.radius_px, drawing.paint, band);
        }
        Ok(())
    }

    fn paint_block(&self, columns: Range<u32>, rows: Range<u32>, band: &mut [u8]) -> Result<(), FigureError> {
        let Self { frame, slide, .. } = self;
        let step = frame.downsample;
        let edges = [columns.start, columns.end].map(f64::from);
        let sides = [rows.start, rows.end].map(f64::from);
        let corners = edges.map(|x| sides.map(|y| frame.base_from_figure([x, y])));
        let corners = corners.as_flattened();
        let margin = if frame.square { 0.0 } else { MARGIN_PX };
        // The grid of pixels to read: its corner, and the part of it that lies on the slide.
        let base_px = slide.info().base_px().map(f64::from);
        let grid = |k: usize| {
            let least = corners.iter().map(|corner| corner[k]).fold(f64::INFINITY, f64::min) - margin * step;
            let most =
                corners.iter().map(|corner| corner[k]).fold(f64::NEG_INFINITY, f64::max) + margin * step;
            let n_px = ((most - least) / step - 1e-6).ceil();
            let first = (-least / step - 1e-9).ceil().max(0.0);
            let end = ((base_px[k] - least) / step - 1e-9).ceil().min(n_px);
            let n_read = (end - first).max(0.0) as u32;
            ((least + first * step).max(0.0), n_read)
        };
        let ((left, width), (top, height)) = (grid(0), grid(1));
        if width == 0 || height == 0 {
            return Ok(());
        }
        let mut source = slide.read_at([left, top], [width, height], step)?;
        self.tables.apply(source.pixels_mut());

        let band_width = self.width_px as usize;
        for y in rows.clone() {
            for x in columns.clone() {
                let base = frame.base_from_figure([f64::from(x) + 0.5, f64::from(y) + 0.5]);
                if !(0..2).all(|k| (0.0..base_px[k]).contains(&base[k])) {
                    continue;
                }
                // Counted from the middle of the first pixel read.
                let at = [(base[0] - left) / step - 0.5, (base[1] - top) / step - 0.5];
                let px = if frame.square { nearest(&source, at) } else { cubic(&source, at) };
                let to = ((y - rows.start) as usize * band_width + x as usize) * 3;
                band[to..to + 3].copy_from_slice(&px);
            }
        }
        Ok(())
    }
}

fn nearest(source: &RgbTile, at: [f64; 2]) -> [u8; 3] {
    let [x, y] = [0, 1].map(|k| (at[k].round().max(0.0) as u32).min(source.size_px()[k] - 1) as usize);
    let from = (y * source.width_px() as usize + x) * 3;
    let pixels = source.pixels();
    [pixels[from], pixels[from + 1], pixels[from + 2]]
}

/// Catmull-Rom; beyond its edges the source repeats them.
fn cubic(source: &RgbTile, at: [f64; 2]) -> [u8; 3] {
    let taps = |k: usize| {
        let base = at[k].floor();
        let t = (at[k] - base) as f32;
        let last = i64::from(source.size_px()[k]) - 1;
        let places = [-1, 0, 1, 2].map(|step| (base as i64 + step).clamp(0, last) as usize);
        let near = |d: f32| (1.5 * d - 2.5) * d * d + 1.0;
        let far = |d: f32| ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
        (places, [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)])
    };
    let ((columns, across), (rows, down)) = (taps(0), taps(1));
    let (pixels, width) = (source.pixels(), source.width_px() as usize);
    let mut sums = [0.0_f32; 3];
    for (row, weight) in rows.into_iter().zip(down) {
        for (column, share) in columns.into_iter().zip(across) {
            let from = (row * width + column) * 3;
            for (sum, value) in sums.iter_mut().zip(&pixels[from..from + 3]) {
                *sum += weight * share * f32::from(*value);
            }
        }
    }
    sums.map(|sum| (sum + 0.5).clamp(0.0, 255.0) as u8)
}

/// An annotation as lines in the figure; a point as a dot.
fn outline(feature: &Feature, frame: &Frame, radius_px: f64) -> Drawing {
    let annotation = &feature.annotation;
    let path = |points: &[BasePoint]| -> Vec<[f64; 2]> {
        points.iter().map(|point| frame.figure_from_base(*point)).collect()
    };
    let ring = |points: &[BasePoint]| {
        let mut path = path(points);
        path.extend(path.first().copied());
        path
    };
    let mut lines = match &annotation.shape {
        Shape::Point { at } => vec![path(&[*at])],
        Shape::Line { points } => vec![path(points)],
        Shape::Rectangle { origin: [left, top], size: [width, height] } => {
            let (right, bottom) = (left + width, top + height);
            vec![ring(&[[*left, *top], [right, *top], [right, bottom], [*left, bottom]])]
        }
        Shape::Polygon { points } | Shape::Freehand { points } => vec![ring(points)],
    };
    lines.extend(feature.holes.iter().map(|hole| ring(hole)));
    let dot = matches!(annotation.shape, Shape::Point { .. });
    let color = annotation.color.or(annotation.class.as_ref().map(|class| class.color));
    let paint = Paint { color: color.unwrap_or(PLAIN_COLOR), opacity: 1.0 };
    Drawing { lines, paint, radius_px: if dot { radius_px * 3.0 } else { radius_px } }
}

/// A bar with its length over it, on a light plate so that it shows on any tissue.
fn scale_bar(slide: &Slide, request: &FigureRequest, corner: Corner) -> Vec<Drawing> {
    let bar = request.bar(slide.info());
    let [width, height] = request.size_px.map(f64::from);
    let letter_px = (width.min(height) / 26.0).clamp(10.0, 400.0);
    let (pad, thick) = (letter_px * 0.5, letter_px * 0.28);
    let text_px = lettering::width(&bar.text) * letter_px;
    let inner = bar.length_px.max(text_px);
    let plate = [inner + 2.0 * pad, letter_px * 1.55 + thick + 2.0 * pad];
    let margin = letter_px * 0.6;
    let left = match corner {
        Corner::TopLeft | Corner::BottomLeft => margin,
        Corner::TopRight | Corner::BottomRight => width - margin - plate[0],
    };
    let top = match corner {
        Corner::TopLeft | Corner::TopRight => margin,
        Corner::BottomLeft | Corner::BottomRight => height - margin - plate[1],
    };
    let middle = left + plate[0] / 2.0;
    let line = |x: [f64; 2], y: f64| vec![[x[0], y], [x[1], y]];
    // A thick line with round ends is a plate.
    let plate_line = if plate[0] > plate[1] {
        line([left + plate[1] / 2.0, left + plate[0] - plate[1] / 2.0], top + plate[1] / 2.0)
    } else {
        vec![[middle, top + plate[0] / 2.0], [middle, top + plate[1] - plate[0] / 2.0]]
    };
    let radius_px = plate[0].min(plate[1]) / 2.0;
    let bar_y = top + plate[1] - pad - thick / 2.0;
    let half = (bar.length_px - thick).max(0.0) / 2.0;
    let black = Paint { color: [0, 0, 0], opacity: 1.0 };
    vec![
        Drawing { lines: vec![plate_line], paint: Paint { color: [255; 3], opacity: 0.8 }, radius_px },
        Drawing {
            lines: vec![line([middle - half, middle + half], bar_y)],
            paint: black,
            radius_px: thick / 2.0,
        },
        Drawing {
            lines: lettering::write(&bar.text, [middle - text_px / 2.0, top + pad], letter_px),
            paint: black,
            radius_px: letter_px * 0.065,
        },
    ]
}
