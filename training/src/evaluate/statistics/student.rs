//! The mean of several runs with Student's t interval (Student 1908).
//!
//! The quantile comes from the incomplete beta function by bisection: runs are few and nobody waits for it.

use serde::{Deserialize, Serialize};

/// Mean of runs that differ only in their seed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Mean {
    /// The value of each run, in the order of the seeds.
    pub runs: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Unbiased standard deviation; 0 for a single run.
    pub std: f64,
    /// Ends of the 95 % interval; both the mean itself for a single run, which says nothing of its spread.
    pub interval_95: [f64; 2],
}

impl Mean {
    /// The mean of `runs`.
    pub fn of(runs: Vec<f64>) -> Self {
        let n = runs.len() as f64;
        if runs.is_empty() {
            return Self::default();
        }
        let mean = runs.iter().sum::<f64>() / n;
        if runs.len() == 1 {
            return Self { runs, mean, std: 0.0, interval_95: [mean; 2] };
        }
        let std = (runs.iter().map(|run| (run - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let half = student_t_quantile(0.975, runs.len() - 1) * std / n.sqrt();
        Self { runs, mean, std, interval_95: [mean - half, mean + half] }
    }
}

/// The value that Student's t with so many degrees of freedom stays below with the given probability, from
/// a half to just below 1.
pub fn student_t_quantile(probability: f64, n_degree: usize) -> f64 {
    assert!((0.5..1.0).contains(&probability) && n_degree > 0, "outside of the upper half");
    let degrees = n_degree as f64;
    // P(T ≤ t) = 1 − I(ν / (ν + t²); ν/2, 1/2) / 2 for t ≥ 0.
    let below = |t: f64| 1.0 - 0.5 * incomplete_beta(degrees / (degrees + t * t), 0.5 * degrees, 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    while below(high) < probability {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if below(middle) < probability { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function, by its continued fraction (Abramowitz & Stegun 26.5.8).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast on one side only; the other follows by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    // Evaluated from the far end: 300 steps are more than any a and b met here need.
    let mut fraction = 1.0;
    for step in (1..=300).rev() {
        let m = f64::from(step / 2);
        let term = if step % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        fraction = 1.0 + term / fraction;
    }
    front / fraction
}

/// Logarithm of the gamma function for positive arguments, by Stirling's series after a shift upwards.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 12.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_students_interval() {
        // scipy.stats.t.interval(0.95, 4, mean, sem)
        let mean = Mean::of(vec![0.60, 0.62, 0.61, 0.65, 0.58]);
        assert!((mean.mean - 0.612).abs() < 1e-12 && (mean.std - 0.025_884_358).abs() < 1e-8);
        let [low, high] = mean.interval_95;
        assert!((low - 0.579_860).abs() < 1e-5 && (high - 0.644_140).abs() < 1e-5, "{low} {high}");
        assert!(Mean::of(vec![0.5]).interval_95.iter().all(|end| (end - 0.5).abs() < 1e-12));
        assert_eq!(Mean::of(Vec::new()), Mean::default());
    }

    #[test]
    fn one_degree_is_cauchys() {
        // tan(π · (0.975 − 0.5))
        let expected = (std::f64::consts::PI * 0.475).tan();
        assert!((student_t_quantile(0.975, 1) - expected).abs() < 1e-9);
        assert!(student_t_quantile(0.5, 3).abs() < 1e-9);
    }
}
