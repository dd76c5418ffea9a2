//! Lengths, areas and magnifications, as a person reads them.
//!
//! One place for the window, the reviewer and figures, so that they never disagree. The magnification of a view
//! is `10 / µm per pixel`: what an objective shows on a scanner whose 40× has 0.25 µm per pixel, as nearly all
//! have. Where a slide states no scale but an objective, base resolution counts as that objective's; where it
//! states neither, there are pixels and no magnification. Held true by the tests below.

use eosin_core::annotation::{BasePoint, Shape};
use eosin_core::{Mpp, SlideInfo};

use crate::annotation::Feature;

/// Magnifications that a person chooses from.
pub const PRESETS: [f64; 6] = [1.25, 2.5, 5.0, 10.0, 20.0, 40.0];

/// µm per pixel of a view at magnification 1.
const UM_PER_PX_AT_1: f64 = 10.0;

/// What lengths on a slide mean.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Measure {
    mpp: Option<Mpp>,
    magnification: Option<f64>,
}

/// A magnification and what showing it takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Preset {
    /// The magnification.
    pub magnification: f64,
    /// Base pixels per pixel of the screen; below 1 the slide has less to show than the preset asks for.
    pub downsample: f64,
    /// Width and height of the whole slide at this magnification.
    pub size_px: [u32; 2],
}

/// A bar of round length.
#[derive(Clone, PartialEq, Debug)]
pub struct ScaleBar {
    /// Length in base pixels.
    pub length_base_px: f64,
    /// Length on the screen or in the figure.
    pub length_px: f64,
    /// `200 µm`, `1 mm`, `500 px`.
    pub text: String,
}

impl Measure {
    /// What a slide states, or a person stated for it.
    pub fn of(info: &SlideInfo) -> Self {
        Self { mpp: info.mpp, magnification: info.magnification }
    }

    /// A slide of a known scale.
    pub fn with_mpp(mpp: Mpp) -> Self {
        Self { mpp: Some(mpp), magnification: None }
    }

    /// µm per base pixel, where known.
    pub fn um_per_px(&self) -> Option<f64> {
        self.mpp.map(Mpp::um_per_px)
    }

    /// Magnification of base resolution, where known.
    pub fn base_magnification(&self) -> Option<f64> {
        self.um_per_px().map(|um_per_px| UM_PER_PX_AT_1 / um_per_px).or(self.magnification)
    }

    /// Magnification of a view of `downsample` base pixels per pixel, where known.
    pub fn magnification(&self, downsample: f64) -> Option<f64> {
        self.base_magnification().map(|base| base / downsample)
    }

    /// Base pixels per pixel that show a magnification, where known.
    pub fn downsample_for(&self, magnification: f64) -> Option<f64> {
        self.base_magnification().map(|base| base / magnification)
    }

    /// The presets of a slide of `base_px`; none where no magnification is known.
    pub fn presets(&self, base_px: [u32; 2]) -> Vec<Preset> {
        let preset = |magnification| {
            let downsample = self.downsample_for(magnification)?;
            let size_px = base_px.map(|side| ((f64::from(side) / downsample).round() as u32).max(1));
            Some(Preset { magnification, downsample, size_px })
        };
        PRESETS.into_iter().filter_map(preset).collect()
    }

    /// The longest round bar of at most `most_px` pixels in a view of `downsample` base pixels per pixel.
    pub fn scale_bar(&self, downsample: f64, most_px: f64) -> ScaleBar {
        let unit_per_base_px = self.um_per_px().unwrap_or(1.0);
        let most = most_px * downsample * unit_per_base_px;
        // 1, 2 or 5 times a power of ten; a bar of pixels has one at least.
        let least_power = if self.mpp.is_some() { -3 } else { 0 };
        let power = (most.max(f64::MIN_POSITIVE).log10().floor() as i32).max(least_power);
        let unit = 10_f64.powi(power);
        let length = [5.0, 2.0, 1.0].map(|step| step * unit).into_iter().find(|length| *length <= most);
        let length = length.unwrap_or(unit);
        let length_base_px = length / unit_per_base_px;
        let text = if self.mpp.is_some() { um_text(length) } else { format!("{length} px") };
        ScaleBar { length_base_px, length_px: length_base_px / downsample, text }
    }

    /// A length in base pixels: `12.3 µm`, `4.56 mm`, `789 px`.
    pub fn length_text(&self, base_px: f64) -> String {
        match self.um_per_px() {
            Some(um_per_px) => um_text(significant(base_px * um_per_px)),
            None => format!("{} px", significant(base_px)),
        }
    }

    /// An area in square base pixels: `12.3 µm²`, `4.56 mm²`, `789 px²`.
    pub fn area_text(&self, base_px2: f64) -> String {
        match self.um_per_px() {
            Some(um_per_px) => {
                let um2 = base_px2 * um_per_px * um_per_px;
                // A hundredth of a square millimetre is where millimetres become the shorter way to say it.
                if um2 < 1e4 {
                    format!("{} µm²", significant(um2))
                } else {
                    format!("{} mm²", significant(um2 / 1e6))
                }
            }
            None => format!("{} px²", significant(base_px2)),
        }
    }

    /// What an annotation measures, in words: a length, an area and its outline, or the place of a point.
    pub fn describe(&self, feature: &Feature) -> String {
        let shape = &feature.annotation.shape;
        match (length_px(shape), area_px2(feature)) {
            (Some(length), Some(area)) => format!("{}, {}", self.area_text(area), self.length_text(length)),
            (Some(length), None) => self.length_text(length),
            _ => match shape.bounds().0 {
                [x, y] if self.mpp.is_some() => format!("{}, {}", self.length_text(x), self.length_text(y)),
                [x, y] => format!("{x:.0}, {y:.0} px"),
            },
        }
    }
}

/// Length of a line or of an outline, in base pixels; none for a point.
pub fn length_px(shape: &Shape) -> Option<f64> {
    let path = |points: &[BasePoint]| points.windows(2).map(|pair| distance(pair[0], pair[1])).sum::<f64>();
    match shape {
        Shape::Point { .. } => None,
        Shape::Line { points } => Some(path(points)),
        Shape::Rectangle { size, .. } => Some(2.0 * (size[0] + size[1])),
        Shape::Polygon { points } | Shape::Freehand { points } => {
            let closing =
                points.first().zip(points.last()).map_or(0.0, |(first, last)| distance(*first, *last));
            Some(path(points) + closing)
        }
    }
}

/// Area within an outline and outside its holes, in square base pixels; none for points and lines.
pub fn area_px2(feature: &Feature) -> Option<f64> {
    let outer = match &feature.annotation.shape {
        Shape::Point { .. } | Shape::Line { .. } => return None,
        Shape::Rectangle { size, .. } => size[0] * size[1],
        Shape::Polygon { points } | Shape::Freehand { points } => ring_area(points),
    };
    let holes: f64 = feature.holes.iter().map(|hole| ring_area(hole)).sum();
    Some((outer - holes).max(0.0))
}

/// The surveyor's formula, around the first point so that far corners keep their digits.
fn ring_area(points: &[BasePoint]) -> f64 {
    let Some(&[x, y]) = points.first() else { return 0.0 };
    let twice: f64 = points
        .windows(2)
        .map(|pair| (pair[0][0] - x) * (pair[1][1] - y) - (pair[1][0] - x) * (pair[0][1] - y))
        .sum();
    twice.abs() / 2.0
}

fn distance(a: BasePoint, b: BasePoint) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Micrometres, or millimetres from 1000 of them on.
fn um_text(um: f64) -> String {
    if um < 1.0 {
        format!("{} nm", significant(um * 1000.0))
    } else if um < 1000.0 {
        format!("{} µm", significant(um))
    } else {
        format!("{} mm", significant(um / 1000.0))
    }
}

/// Three digits that count; more before the point are kept.
fn significant(value: f64) -> f64 {
    if value.abs() < 1e-9 || !value.is_finite() {
        return 0.0;
    }
    let power = 2 - (value.abs().log10().floor() as i32);
    let power = power.max(0);
    let unit = 10_f64.powi(power);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use eosin_core::annotation::Annotation;

    use super::*;
    use crate::annotation::new_annotation_id;

    fn of(mpp: Option<f64>, magnification: Option<f64>) -> Measure {
        Measure { mpp: mpp.map(|um| Mpp::new(um).unwrap()), magnification }
    }

    fn drawn(shape: Shape, holes: Vec<Vec<BasePoint>>) -> Feature {
        let annotation = Annotation {
            id: new_annotation_id(),
            shape,
            class: None,
            title: String::new(),
            note: String::new(),
            color: None,
        };
        Feature { holes, ..Feature::from(annotation) }
    }

    #[test]
    fn presets_are_true_sizes() {
        let check = |mpp, magnification, at: f64, downsample: Option<f64>, size_px: [u32; 2]| {
            let presets = of(mpp, magnification).presets([40_000, 20_000]);
            let preset = presets.iter().find(|preset| (preset.magnification - at).abs() < 1e-9);
            assert_eq!(preset.map(|preset| preset.downsample), downsample);
            if let Some(preset) = preset {
                assert_eq!(preset.size_px, size_px);
            }
        };
        check(Some(0.25), None, 40.0, Some(1.0), [40_000, 20_000]);
        check(Some(0.25), None, 1.25, Some(32.0), [1250, 625]);
        check(Some(0.5), None, 40.0, Some(0.5), [80_000, 40_000]);
        check(None, Some(20.0), 5.0, Some(4.0), [10_000, 5000]);
        // A scale says more than the name of an objective.
        check(Some(0.25), Some(20.0), 40.0, Some(1.0), [40_000, 20_000]);
        check(None, None, 40.0, None, [0, 0]);
        assert_eq!(of(Some(0.25), None).magnification(2.0), Some(20.0));
    }

    #[test]
    fn bars_are_round_and_fit() {
        let check = |mpp: Option<f64>, downsample: f64, text: &str| {
            let bar = of(mpp, None).scale_bar(downsample, 140.0);
            assert_eq!(bar.text, text, "{mpp:?} {downsample}");
            assert!(bar.length_px <= 140.0 + 1e-9 && bar.length_px > 140.0 / 2.51, "{bar:?}");
            assert!((bar.length_px * downsample - bar.length_base_px).abs() < 1e-6);
        };
        check(Some(0.25), 1.0, "20 µm");
        check(Some(0.25), 4.0, "100 µm");
        check(Some(0.25), 64.0, "2 mm");
        check(Some(0.25), 0.05, "1 µm");
        check(Some(0.25), 0.01, "200 nm");
        check(Some(10.0), 1.0, "1 mm");
        check(None, 1.0, "100 px");
        check(None, 7.0, "500 px");
        // Deep inside a pixel the bar is one pixel, however long that is.
        assert_eq!(of(None, None).scale_bar(0.001, 140.0).text, "1 px");
    }

    #[test]
    fn shapes_have_lengths_and_areas() {
        let check = |mpp, shape: Shape, holes: Vec<Vec<BasePoint>>, expected: &str| {
            assert_eq!(of(mpp, None).describe(&drawn(shape, holes)), expected);
        };
        let line = || Shape::Line { points: vec![[0.0, 0.0], [30.0, 40.0]] };
        check(None, line(), vec![], "50 px");
        check(Some(0.25), line(), vec![], "12.5 µm");
        check(Some(100.0), line(), vec![], "5 mm");
        let square = |left: f64, side: f64| {
            vec![[left, left], [left + side, left], [left + side, left + side], [left, left + side]]
        };
        check(Some(0.5), Shape::Polygon { points: square(1e6, 100.0) }, vec![], "2500 µm², 200 µm");
        check(Some(0.5), Shape::Polygon { points: square(0.0, 1000.0) }, vec![], "0.25 mm², 2 mm");
        let holes = vec![square(10.0, 10.0), square(50.0, 20.0)];
        check(None, Shape::Freehand { points: square(0.0, 100.0) }, holes, "9500 px², 400 px");
        check(None, Shape::Rectangle { origin: [5.0, 5.0], size: [2.0, 3.0] }, vec![], "6 px², 10 px");
        check(None, Shape::Point { at: [12.3, 4.0] }, vec![], "12, 4 px");
        check(Some(0.25), Shape::Point { at: [4000.0, 40.0] }, vec![], "1 mm, 10 µm");
        let mut backwards = square(0.0, 10.0);
        backwards.reverse();
        check(None, Shape::Polygon { points: backwards }, vec![], "100 px², 40 px");
    }

    #[test]
    fn three_digits_count() {
        let check = |value: f64, expected: &str| assert_eq!(significant(value).to_string(), expected);
        check(1234.5, "1235");
        check(12.345, "12.3");
        check(0.012_345, "0.0123");
        check(0.0, "0");
        check(f64::NAN, "0");
        check(99.96, "100");
    }
}
