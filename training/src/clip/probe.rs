//! What a linear classifier reads from frozen features: multinomial logistic regression, and few shots of it.
//!
//! The problem is scikit-learn's, `½‖w‖² + C Σ loss` with the intercept left free, solved by L-BFGS (Liu &
//! Nocedal 1989) until the slope is nil; it is convex, so that the answer does not depend on the solver.
//! `tests/train_clip.rs` compares weights and predictions with scikit-learn's. Few shots follow
//! Patho-CLIP's script: k samples a class without replacement, ten draws, accuracy on the whole test set,
//! population spread.

use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::fmt::Write as _;

use super::features::Features;
use crate::evaluate::Share;

/// Pairs of steps that L-BFGS remembers; scipy's number.
const N_MEMORY: usize = 10;

/// Settings of the regression.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ProbeSettings {
    /// Weight of the loss against the length of the weights.
    pub c: f64,
    /// Most iterations.
    pub max_iter: usize,
    /// Largest part of the slope (of the mean loss) at which the search ends.
    pub tolerance: f64,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { c: 1.0, max_iter: 1000, tolerance: 1e-6 }
    }
}

/// A linear classifier.
#[derive(Clone, PartialEq, Debug)]
pub struct Probe {
    d: usize,
    n_class: usize,
    /// `[n_class, d + 1]`, the intercept last.
    weights: Vec<f64>,
    /// Whether the slope fell below the tolerance.
    pub converged: bool,
}

impl Probe {
    /// Fits a classifier to labelled rows; `None` where there are no two classes or the fit has no numbers.
    ///
    /// # Panics
    /// If there is not one label a row.
    pub fn fit(
        features: &Features,
        labels: &[usize],
        n_class: usize,
        settings: &ProbeSettings,
    ) -> Option<Self> {
        assert_eq!(features.n_row(), labels.len(), "one label a row");
        let first = labels.first()?;
        if labels.iter().all(|label| label == first) || labels.iter().any(|&label| label >= n_class) {
            return None;
        }
        let d = features.d();
        let objective = |weights: &[f64], slope: &mut [f64]| {
            objective(features, labels, n_class, settings.c, weights, slope)
        };
        let (weights, converged) = minimise(vec![0.0; n_class * (d + 1)], settings, objective);
        weights.iter().all(|weight| weight.is_finite()).then_some(Self { d, n_class, weights, converged })
    }

    /// Weights of a class, without the intercept.
    pub fn weights(&self, class: usize) -> &[f64] {
        &self.weights[class * (self.d + 1)..(class + 1) * (self.d + 1) - 1]
    }

    /// Intercept of a class.
    pub fn intercept(&self, class: usize) -> f64 {
        self.weights[(class + 1) * (self.d + 1) - 1]
    }

    /// The class of each row.
    pub fn predict(&self, features: &Features) -> Vec<usize> {
        let score = |row: &[f32], class: usize| {
            self.intercept(class)
                + self.weights(class).iter().zip(row).map(|(w, x)| w * f64::from(*x)).sum::<f64>()
        };
        let best = |row| {
            // The first of equals.
            (0..self.n_class).rev().max_by(|&a, &b| score(row, a).total_cmp(&score(row, b))).unwrap_or(0)
        };
        features.rows().map(best).collect()
    }
}

/// The objective divided by the number of rows, and its slope.
fn objective(
    features: &Features,
    labels: &[usize],
    n_class: usize,
    c: f64,
    weights: &[f64],
    slope: &mut [f64],
) -> f64 {
    let (d, n) = (features.d(), features.n_row() as f64);
    let stride = d + 1;
    slope.fill(0.0);
    let mut loss = 0.0;
    let mut scores = vec![0.0; n_class];
    for (row, &label) in features.rows().zip(labels) {
        for (class, score) in scores.iter_mut().enumerate() {
            let own = &weights[class * stride..(class + 1) * stride];
            *score = own[d] + own.iter().zip(row).map(|(w, x)| w * f64::from(*x)).sum::<f64>();
        }
        let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
        loss += largest + total.ln() - scores[label];
        for (class, score) in scores.iter().enumerate() {
            let share = (score - largest).exp() / total - f64::from(u8::from(class == label));
            let own = &mut slope[class * stride..(class + 1) * stride];
            for (slope, x) in own.iter_mut().zip(row) {
                *slope += share * f64::from(*x);
            }
            own[d] += share;
        }
    }
    let mut length = 0.0;
    for (idx, slope) in slope.iter_mut().enumerate() {
        *slope /= n;
        if idx % stride != d {
            length += weights[idx] * weights[idx];
            *slope += weights[idx] / (c * n);
        }
    }
    loss / n + 0.5 * length / (c * n)
}

/// L-BFGS with a line search that keeps the strong Wolfe conditions by bisection.
fn minimise(
    mut place: Vec<f64>,
    settings: &ProbeSettings,
    objective: impl Fn(&[f64], &mut [f64]) -> f64,
) -> (Vec<f64>, bool) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut slope = vec![0.0; place.len()];
    let mut value = objective(&place, &mut slope);
    let mut memory: Vec<(Vec<f64>, Vec<f64>, f64)> = Vec::new();
    for _ in 0..settings.max_iter {
        if slope.iter().all(|part| part.abs() <= settings.tolerance) {
            return (place, true);
        }
        let mut direction: Vec<f64> = slope.iter().map(|part| -part).collect();
        let mut factors = Vec::with_capacity(memory.len());
        for (step, change, inverse) in memory.iter().rev() {
            let factor = inverse * dot(step, &direction);
            direction.iter_mut().zip(change).for_each(|(part, change)| *part -= factor * change);
            factors.push(factor);
        }
        if let Some((step, change, _)) = memory.last() {
            let scale = dot(step, change) / dot(change, change);
            direction.iter_mut().for_each(|part| *part *= scale);
        }
        for ((step, change, inverse), factor) in memory.iter().zip(factors.into_iter().rev()) {
            let back = inverse * dot(change, &direction);
            direction.iter_mut().zip(step).for_each(|(part, step)| *part += (factor - back) * step);
        }
        let downhill = dot(&slope, &direction);
        if downhill >= 0.0 || !downhill.is_finite() {
            if memory.is_empty() {
                return (place, false);
            }
            memory.clear();
            continue;
        }
        let first = if memory.is_empty() { 1.0 / dot(&slope, &slope).sqrt().max(1.0) } else { 1.0 };
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, first);
        let mut new_slope = vec![0.0; place.len()];
        let mut accepted = None;
        for _ in 0..60 {
            let new: Vec<f64> = place.iter().zip(&direction).map(|(at, way)| at + length * way).collect();
            let new_value = objective(&new, &mut new_slope);
            let along = dot(&new_slope, &direction);
            // Close to the bottom the values differ by rounding alone; the slope still tells (Hager & Zhang 2005).
            let is_lower = new_value <= value + 1e-4 * length * downhill;
            let is_level = new_value <= value + 1e-12 * value.abs() && along <= -0.9998 * downhill;
            // Both are false where there are no numbers, which shortens the step.
            if !is_lower && !is_level {
                high = length;
            } else if along < 0.9 * downhill {
                low = length;
                accepted = Some((new, new_value, new_slope.clone()));
            } else {
                accepted = Some((new, new_value, new_slope.clone()));
                break;
            }
            length = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * length };
        }
        // Rounding leaves nothing to gain any more.
        let Some((new, new_value, new_slope)) = accepted else { return (place, false) };
        let step: Vec<f64> = new.iter().zip(&place).map(|(new, old)| new - old).collect();
        let change: Vec<f64> = new_slope.iter().zip(&slope).map(|(new, old)| new - old).collect();
        let curvature = dot(&step, &change);
        if curvature > 1e-14 * dot(&change, &change) {
            if memory.len() == N_MEMORY {
                memory.remove(0);
            }
            memory.push((step, change, 1.0 / curvature));
        }
        (place, value, slope) = (new, new_value, new_slope);
    }
    (place, false)
}

/// Accuracies of few-shot probes with one number of shots.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FewShot {
    /// Samples of each class.
    pub n_shot: usize,
    /// Accuracy of each draw in percent; 0 where the fit failed.
    pub accuracies: Vec<f64>,
    /// Mean over the draws that did not fail.
    pub mean: f64,
    /// Their spread, divided by their number and not by one less.
    pub std: f64,
    /// The worst of them.
    pub min: f64,
    /// The best of them.
    pub max: f64,
}

/// Labelled rows to learn from or to be asked about.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// One row a sample.
    pub features: &'a Features,
    /// Its class.
    pub labels: &'a [usize],
}

/// Ten draws of `n_shot` samples a class; draw `s` has the seed 42 + s, from 1.
pub fn few_shot(train: Labelled<'_>, test: Labelled<'_>, n_class: usize, n_shot: usize) -> FewShot {
    let mut accuracies = Vec::with_capacity(10);
    for draw in 1..=10 {
        let mut rng = ChaCha8Rng::seed_from_u64(42 + draw);
        let mut rows = Vec::new();
        for class in 0..n_class {
            let own: Vec<usize> = (0..train.labels.len()).filter(|&row| train.labels[row] == class).collect();
            rows.extend(sample(&mut rng, own.len(), n_shot.min(own.len())).iter().map(|idx| own[idx]));
        }
        let labels: Vec<usize> = rows.iter().map(|&row| train.labels[row]).collect();
        let share = accuracy(&train.features.select(&rows), &labels, test, n_class);
        accuracies.push(share.map_or(0.0, |share| share.share * 100.0));
    }
    let whole: Vec<f64> = accuracies.iter().copied().filter(|accuracy| *accuracy > 0.0).collect();
    let n = whole.len().max(1) as f64;
    let mean = whole.iter().sum::<f64>() / n;
    let std = (whole.iter().map(|accuracy| (accuracy - mean).powi(2)).sum::<f64>() / n).sqrt();
    let (min, max) =
        whole.iter().fold((f64::INFINITY, 0.0_f64), |(min, max), &value| (min.min(value), max.max(value)));
    let min = if min.is_finite() { min } else { 0.0 };
    FewShot { n_shot, accuracies, mean, std, min, max }
}

/// Accuracy on `test` of a probe that learned from all of `train`.
pub fn linear_probe(train: Labelled<'_>, test: Labelled<'_>, n_class: usize) -> Option<Share> {
    accuracy(train.features, train.labels, test, n_class)
}

fn accuracy(features: &Features, labels: &[usize], test: Labelled<'_>, n_class: usize) -> Option<Share> {
    let probe = Probe::fit(features, labels, n_class, &ProbeSettings::default())?;
    let predicted = probe.predict(test.features);
    Some(Share::of(predicted.iter().zip(test.labels).map(|(found, label)| found == label)))
}

/// The rows of the script's table: one line a number of shots.
pub fn to_csv(dataset: &str, rows: &[FewShot]) -> String {
    let draws: Vec<String> = (1..=10).map(|draw| format!("acc_subset_{draw}")).collect();
    let mut text = format!("dataset,shot,{},mean_acc,std_acc,min_acc,max_acc\n", draws.join(","));
    for row in rows {
        let accuracies: Vec<String> =
            row.accuracies.iter().map(|accuracy| format!("{accuracy:.4}")).collect();
        let name = dataset.replace(['"', ',', '\n', '\r'], " ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{name},{},{},{:.4},{:.4},{:.4},{:.4}",
            row.n_shot,
            accuracies.join(","),
            row.mean,
            row.std,
            row.min,
            row.max
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    /// Three clouds that overlap a little.
    fn clouds(seed: u64, n: usize) -> (Features, Vec<usize>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<usize> = (0..n).map(|idx| idx % 3).collect();
        let values = labels.iter().flat_map(|&label| {
            let centre = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]][label];
            centre.map(|centre| centre + rng.random_range(-1.0..1.0_f32))
        });
        (Features::new(2, values.collect()), labels)
    }

    #[test]
    fn the_slope_is_that_of_the_objective() {
        let (features, labels) = clouds(1, 12);
        let weights: Vec<f64> = (0..9).map(|idx| f64::from(idx) * 0.3 - 1.0).collect();
        let mut slope = vec![0.0; 9];
        let mut unused = vec![0.0; 9];
        objective(&features, &labels, 3, 0.7, &weights, &mut slope);
        for idx in 0..9 {
            let mut at = |step: f64| {
                let mut moved = weights.clone();
                moved[idx] += step;
                objective(&features, &labels, 3, 0.7, &moved, &mut unused)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - slope[idx]).abs() < 1e-6, "{idx}");
        }
    }

    #[test]
    fn clouds_are_told_apart() {
        let (features, labels) = clouds(1, 300);
        let probe = Probe::fit(&features, &labels, 3, &ProbeSettings::default()).unwrap();
        assert!(probe.converged);
        let (test, expected) = clouds(2, 300);
        let n_right = probe.predict(&test).iter().zip(&expected).filter(|(a, b)| a == b).count();
        assert!(n_right > 270, "{n_right}");
        assert!(Probe::fit(&features, &vec![1; 300], 3, &ProbeSettings::default()).is_none(), "one class");
    }

    #[test]
    fn few_shots_are_drawn_without_replacement_and_repeat() {
        let (features, labels) = clouds(1, 90);
        let (test, expected) = clouds(2, 90);
        let train = Labelled { features: &features, labels: &labels };
        let test = Labelled { features: &test, labels: &expected };
        let found = few_shot(train, test, 3, 2);
        assert_eq!(found, few_shot(train, test, 3, 2));
        assert!(found.std > 0.0 && found.min < found.max);
        // More shots than there are: all ten draws are the whole set, hence equal up to the order of sums.
        let all = few_shot(train, test, 3, 128);
        assert!(all.std < 1e-9, "{}", all.std);
        let csv = to_csv("a,b", &[found, all]);
        assert_eq!(csv.lines().count(), 3);
        assert!(csv.lines().all(|line| line.split(',').count() == 16), "{csv}");
    }
}
