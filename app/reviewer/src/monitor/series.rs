//! A curve that never grows beyond a bound: when it is full, neighbours become their mean.
//!
//! What is no number stays out of the means and breaks the curve nowhere. Held true by the tests below.

/// Points that a curve has at most.
pub const MOST_POINTS: usize = 2048;

/// A figure over the steps.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Step and mean of the values that stand for it.
    points: Vec<[f64; 2]>,
    /// Values that a point stands for.
    stride: u32,
    /// Values of the point that is being made: how many, sum of steps, sum of values.
    open: (u32, f64, f64),
    last: f64,
}

impl Default for Series {
    fn default() -> Self {
        Self { points: Vec::new(), stride: 1, open: (0, 0.0, 0.0), last: f64::NAN }
    }
}

impl Series {
    /// Adds a value; what is no number is remembered as the last value and not drawn.
    pub fn push(&mut self, step: f64, value: f64) {
        self.last = value;
        if !value.is_finite() || !step.is_finite() {
            return;
        }
        let (n, steps, values) = self.open;
        self.open = (n + 1, steps + step, values + value);
        if self.open.0 == self.stride {
            self.points.push(mean(self.open));
            self.open = (0, 0.0, 0.0);
        }
        if self.points.len() == MOST_POINTS {
            let pair = |pair: &[[f64; 2]]| [0, 1].map(|k| f64::midpoint(pair[0][k], pair[1][k]));
            self.points = self.points.chunks_exact(2).map(pair).collect();
            self.stride *= 2;
        }
    }

    /// Drops what came at `step` and after it: a run that goes on from a checkpoint writes it again.
    pub fn cut(&mut self, step: f64) {
        self.points.retain(|point| point[0] < step);
        self.open = (0, 0.0, 0.0);
        self.last = self.points.last().map_or(f64::NAN, |point| point[1]);
    }

    /// The points.
    pub fn points(&self) -> Vec<[f64; 2]> {
        let open = (self.open.0 > 0).then(|| mean(self.open));
        self.points.iter().copied().chain(open).collect()
    }

    /// The points, each leaning on those before it: `weight` is the share of the past, 0…1.
    pub fn smoothed(&self, weight: f64) -> Vec<[f64; 2]> {
        let (mut sum, mut norm) = (0.0, 0.0);
        self.points()
            .into_iter()
            .map(|[step, value]| {
                sum = sum * weight + value;
                norm = norm * weight + 1.0;
                [step, sum / norm]
            })
            .collect()
    }

    /// The last value, whatever it was.
    pub fn last(&self) -> Option<f64> {
        (!self.is_empty() || self.last.is_finite()).then_some(self.last)
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.open.0 == 0
    }

    /// Points held.
    pub fn n_point(&self) -> usize {
        self.points.len()
    }
}

fn mean((n, steps, values): (u32, f64, f64)) -> [f64; 2] {
    [steps / f64::from(n), values / f64::from(n)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_is_bounded_and_keeps_its_shape() {
        let mut series = Series::default();
        for step in 0..100_000 {
            series.push(f64::from(step), f64::from(step) * 2.0);
        }
        assert!(series.n_point() <= MOST_POINTS);
        let points = series.points();
        assert!(points.windows(2).all(|pair| pair[0][0] < pair[1][0]));
        assert!(points.iter().all(|[step, value]| (value - step * 2.0).abs() < 1e-6));
        assert!(points.last().is_some_and(|last| last[0] > 99_000.0), "the newest is there");
        assert_eq!(series.last(), Some(199_998.0));
    }

    #[test]
    fn what_is_no_number_breaks_nothing() {
        let mut series = Series::default();
        series.push(1.0, f64::NAN);
        assert!(series.is_empty());
        series.push(2.0, 4.0);
        series.push(3.0, f64::INFINITY);
        assert_eq!(series.points(), [[2.0, 4.0]]);
        assert!(series.last().is_some_and(f64::is_infinite));
    }

    #[test]
    fn a_resumed_run_begins_again_where_it_was_cut() {
        let mut series = Series::default();
        for step in 1..=5 {
            series.push(f64::from(step), f64::from(step));
        }
        series.cut(4.0);
        series.push(4.0, -4.0);
        assert_eq!(series.points(), [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, -4.0]]);
        assert_eq!(series.smoothed(0.0), series.points());
        let smooth = series.smoothed(0.5);
        assert!(smooth[3][1] > -4.0 && smooth[3][1] < 3.0);
    }
}
