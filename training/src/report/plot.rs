//! A small plot as SVG: lines, dots and a band over the steps. It has no colours of its own; the page's
//! style gives them by class, so that one drawing serves light, dark and paper.
//!
//! A line is drawn twice: as it was measured, thin, and smoothed on top; the axis fits the smoothed one, so
//! that a single wild step does not flatten the rest. Long runs are thinned to a few hundred points.

use std::fmt::Write as _;

use super::numbers::compact;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 190.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 24.0;
/// Most points of a drawn line.
const N_POINT: usize = 240;

/// How a series is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mark {
    /// A smoothed line over what was measured.
    Smoothed,
    /// The line as it is.
    Line,
    /// Dots joined by a thin line: few and far between.
    Dots,
}

/// One figure over the steps.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) label: String,
    pub(super) mark: Mark,
    pub(super) points: Vec<(f64, f64)>,
}

/// What the values may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Range {
    /// As wide as the values.
    Fit,
    /// From zero.
    Zero,
    /// 0 to 1.
    Share,
}

/// A plot with its words.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) title: String,
    pub(super) about: &'static str,
    pub(super) range: Range,
    pub(super) series: Vec<Series>,
    /// Lower and upper edge over the steps.
    pub(super) band: Vec<(f64, [f64; 2])>,
}

impl Plot {
    /// The drawing, without title and legend.
    pub(super) fn svg(&self) -> String {
        let shown: Vec<Vec<(f64, f64)>> = self.series.iter().map(Series::shown).collect();
        let steps = self.series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
        let [first, last] = ends(steps).unwrap_or([0.0, 1.0]);
        let [first, last] = if last > first { [first, last] } else { [first - 0.5, last + 0.5] };
        let edges = thin(&self.band, |edges| edges.1.iter().all(|edge| edge.is_finite()));
        let values = shown.iter().flatten().map(|point| point.1);
        let values = values.chain(edges.iter().flat_map(|edge| edge.1));
        let values = values.chain(self.series.iter().flat_map(Series::ordinary));
        let (ticks, [low, high]) = self.axis(ends(values.filter(|value| value.is_finite())));
        let x = |step: f64| LEFT + (step - first) / (last - first) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM);
        let place = |point: &(f64, f64)| (x(point.0), y(point.1));
        let mut svg = format!(
            "<svg class=\"plot\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over the steps\">",
            self.title
        );
        for tick in &ticks {
            let at = y(*tick);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{:.0}\"/><text class=\"tick\" x=\"{:.0}\" y=\"{:.1}\" \
text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 3.5,
                tick_label(*tick, ticks[1] - ticks[0])
            );
        }
        for step in nice_ticks(first, last, 5).0.into_iter().filter(|step| (first..=last).contains(step)) {
            let _ = write!(
                svg,
                "<text class=\"tick\" x=\"{:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
                x(step),
                HEIGHT - 8.0,
                compact(step)
            );
        }
        // An inner drawing cuts off what leaves the axes.
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let _ = write!(
            svg,
            "<svg x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height}\" viewBox=\"{LEFT} {TOP} {width} {height}\">"
        );
        if !edges.is_empty() {
            let upper = edges.iter().map(|(step, edges)| (x(*step), y(edges[1])));
            let lower = edges.iter().rev().map(|(step, edges)| (x(*step), y(edges[0])));
            let _ = write!(svg, "<path class=\"band s0\" d=\"{}Z\"/>", path(upper.chain(lower)));
        }
        for (idx, (series, shown)) in self.series.iter().zip(&shown).enumerate() {
            if series.mark == Mark::Smoothed {
                let raw = thin(&series.points, |_| true);
                let _ = write!(svg, "<path class=\"raw s{idx}\" d=\"{}\"/>", path(raw.iter().map(place)));
            }
            let _ = write!(svg, "<path class=\"line s{idx}\" d=\"{}\"/>", path(shown.iter().map(place)));
            if series.mark == Mark::Dots || shown.len() == 1 {
                for point in shown.iter().filter(|point| point.1.is_finite()) {
                    let (step, value) = (compact(point.0), compact(point.1));
                    let (cx, cy) = place(point);
                    let _ = write!(
                        svg,
                        "<circle class=\"dot s{idx}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.6\"><title>{value} at step \
{step}</title></circle>"
                    );
                }
            }
        }
        svg.push_str("</svg></svg>");
        svg
    }

    /// Ticks and ends of the value axis.
    fn axis(&self, ends: Option<[f64; 2]>) -> (Vec<f64>, [f64; 2]) {
        let [low, high] = ends.unwrap_or([0.0, 1.0]);
        let [low, high] = match self.range {
            Range::Share => return (vec![0.0, 0.25, 0.5, 0.75, 1.0], [-0.02, 1.02]),
            Range::Zero => [low.min(0.0), high],
            Range::Fit => [low, high],
        };
        let [low, high] = if high - low > 1e-12 * high.abs().max(1e-12) {
            [low, high]
        } else {
            let margin = if high == 0.0 { 1.0 } else { 0.1 * high.abs() };
            [low - if low == 0.0 && self.range == Range::Zero { 0.0 } else { margin }, high + margin]
        };
        nice_ticks(low, high, 4)
    }
}

impl Series {
    /// What the axis has to hold: the line that is read.
    fn shown(&self) -> Vec<(f64, f64)> {
        match self.mark {
            Mark::Smoothed => thin(&smooth(&self.points), |_| true),
            Mark::Line => thin(&self.points, |_| true),
            Mark::Dots => self.points.clone(),
        }
    }

    /// Ends of what is measured mostly, the most unusual fiftieths left out.
    fn ordinary(&self) -> Vec<f64> {
        let mut values: Vec<f64> =
            self.points.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let n_cut = values.len().div_ceil(50).min(values.len().saturating_sub(1) / 2);
        let kept = &values[n_cut..values.len() - n_cut];
        kept.first().into_iter().chain(kept.last()).copied().collect()
    }

    /// Last value that is a number.
    pub(super) fn last(&self) -> Option<f64> {
        self.points.iter().rev().map(|point| point.1).find(|value| value.is_finite())
    }
}

/// Round values that hold both ends, about `n` steps apart, and the ends of the axis.
fn nice_ticks(low: f64, high: f64, n: usize) -> (Vec<f64>, [f64; 2]) {
    let rough = (high - low) / n as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999).unwrap_or(10.0);
    let step = factor * power;
    let first = (low / step + 1e-9).floor() as i64;
    let last = (high / step - 1e-9).ceil() as i64;
    let ticks: Vec<f64> = (first..=last).map(|idx| idx as f64 * step).collect();
    let ends = [first as f64 * step, last as f64 * step];
    (ticks, ends)
}

/// A tick with as many decimals as tell it from its neighbours.
fn tick_label(tick: f64, step: f64) -> String {
    if !(1e-5..1e5).contains(&step) {
        return compact(tick);
    }
    let digits = (0..7).find(|digits| {
        let scaled = step * 10f64.powi(*digits);
        (scaled - scaled.round()).abs() < 1e-6
    });
    let digits = digits.unwrap_or(7) as usize;
    format!("{tick:.digits$}").replace('-', "−")
}

fn ends(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.fold(None, |ends, value| match ends {
        None => Some([value, value]),
        Some([low, high]) => Some([low.min(value), high.max(value)]),
    })
}

/// Mean over the steps around each, a twelfth of the run, without the highest and lowest eighths: a single
/// wild step is no trend. The window is symmetric, so that nothing looks later than it was.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let half = points.len() / 25;
    if half == 0 {
        return points.to_vec();
    }
    let mean = |idx: usize| {
        // Narrower towards the ends, so that the window stays around its step.
        let reach = half.min(idx).min(points.len() - 1 - idx);
        let window = points[idx - reach..=idx + reach].iter().map(|point| point.1);
        let mut values: Vec<f64> = window.filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let n_cut = values.len().div_ceil(8).min(values.len().saturating_sub(1) / 2);
        let kept = &values[n_cut..values.len() - n_cut];
        if kept.is_empty() { f64::NAN } else { kept.iter().sum::<f64>() / kept.len() as f64 }
    };
    points.iter().enumerate().map(|(idx, point)| (point.0, mean(idx))).collect()
}

/// At most [`N_POINT`] points, evenly; the last always stays.
fn thin<T: Copy>(points: &[T], wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let every = points.len().div_ceil(N_POINT).max(1);
    let is_drawn = |idx: usize| idx.is_multiple_of(every) || idx + 1 == points.len();
    let kept = points.iter().enumerate().filter(|(idx, point)| is_drawn(*idx) && wanted(point));
    kept.map(|(_, point)| *point).collect()
}

/// A path through points; what is no number interrupts it.
fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let (mut text, mut pen) = (String::new(), 'M');
    for (x, y) in points {
        if x.is_finite() && y.is_finite() {
            // Far outside is as good as outside, and short.
            let _ = write!(text, "{pen}{x:.1} {:.1}", y.clamp(-2.0 * HEIGHT, 3.0 * HEIGHT));
            pen = 'L';
        } else {
            pen = 'M';
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        for (low, high, expected) in [
            (0.0, 1.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
            (0.3, 4.1, vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            (-3.0, 9.0, vec![-5.0, 0.0, 5.0, 10.0]),
        ] {
            let (ticks, ends) = nice_ticks(low, high, 4);
            assert_eq!(ticks, expected, "{low} to {high}");
            assert!(ends[0] <= low && ends[1] >= high);
        }
    }

    #[test]
    fn ticks_tell_each_other_apart() {
        for (tick, step, expected) in [
            (0.0, 1.0, "0"),
            (0.75, 0.25, "0.75"),
            (-0.005, 0.005, "−0.005"),
            (0.0015, 5e-4, "0.0015"),
            (2000.0, 500.0, "2000"),
            (2.5e-6, 2.5e-6, "2.5e−6"),
        ] {
            assert_eq!(tick_label(tick, step), expected);
        }
    }

    #[test]
    fn a_wild_step_is_no_trend() {
        let mut points: Vec<(f64, f64)> = (0..100).map(|step| (f64::from(step), 1.0)).collect();
        points[50].1 = 1e6;
        points[20].1 = f64::NAN;
        assert!(
            smooth(&points)
                .iter()
                .all(|point| (point.1 - 1.0).abs() < 1e-12 || (point.0 - 20.0).abs() < 1e-9)
        );
    }

    #[test]
    fn a_drawing_survives_any_figures() {
        let check = |points: Vec<(f64, f64)>, n_line: usize| {
            let series = Series { label: "loss".into(), mark: Mark::Smoothed, points };
            let plot = Plot {
                // Without the letter that is counted below.
                title: "reward".to_owned(),
                about: "",
                range: Range::Fit,
                series: vec![series],
                band: Vec::new(),
            };
            let svg = plot.svg();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert_eq!(svg.matches('L').count(), n_line, "{svg}");
        };
        check(Vec::new(), 0);
        check(vec![(1.0, 2.0)], 0);
        check(vec![(1.0, 0.0), (2.0, 0.0)], 2);
        check(vec![(1.0, f64::NAN), (2.0, f64::INFINITY)], 0);
        check(vec![(1.0, 1.0), (2.0, 3.0), (3.0, f64::NAN), (4.0, 2.0), (5.0, 1.0)], 4);
        check((0..10_000).map(|step| (f64::from(step), 1.0)).collect(), 2 * (10_000 / 42 + 1));
    }
}
