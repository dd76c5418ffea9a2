//! Shares with their uncertainty, and whether two models differ.
//!
//! Wilson's interval takes questions as independent; the bootstrap over pictures does not, and several
//! questions are about one picture, so both are stated. Two models are compared on the same questions by
//! `McNemar`'s exact test. Values of scipy and statsmodels' formulas hold all of it
//! (`tests/golden/statistics`, read by `tests/train_evaluate.rs`).

mod bootstrap;
mod pairs;
mod student;

use serde::{Deserialize, Serialize};

pub use bootstrap::{ClusterBootstrap, N_DRAW};
pub use pairs::{Pairs, exact_mcnemar};
pub use student::{Mean, student_t_quantile};

/// Half width of a 95 % interval in standard errors.
const Z: f64 = 1.959_963_984_540_054;

/// A share of right answers and Wilson's 95 % interval around it (Wilson 1927).
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Share {
    /// Right answers.
    pub n_right: usize,
    /// Questions.
    pub n: usize,
    /// `n_right / n`; 0 where nothing was asked.
    pub share: f64,
    /// Lower and upper end.
    pub interval_95: [f64; 2],
}

impl Share {
    /// The share of `n_right` in `n`.
    pub fn new(n_right: usize, n: usize) -> Self {
        if n == 0 {
            return Self { interval_95: [0.0, 1.0], ..Self::default() };
        }
        let (count, share) = (n as f64, n_right as f64 / n as f64);
        let denominator = 1.0 + Z * Z / count;
        let centre = (share + Z * Z / (2.0 * count)) / denominator;
        let half = Z / denominator * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        let interval_95 = [(centre - half).max(0.0), (centre + half).min(1.0)];
        Self { n_right, n, share, interval_95 }
    }

    /// The share of `true`.
    pub fn of(outcomes: impl IntoIterator<Item = bool>) -> Self {
        let (mut n_right, mut n) = (0, 0);
        for right in outcomes {
            n_right += usize::from(right);
            n += 1;
        }
        Self::new(n_right, n)
    }

    /// As a card states it: `81.3 % (79.0–83.4, n = 1200)`.
    pub fn to_words(&self) -> String {
        let [low, high] = self.interval_95.map(|end| end * 100.0);
        format!("{:.1} % ({low:.1}–{high:.1}, n = {})", self.share * 100.0, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // Values of R's binom.confint(method = "wilson").
        for (n_right, n, low, high) in
            [(8, 10, 0.4902, 0.9433), (0, 20, 0.0, 0.1611), (50, 100, 0.4038, 0.5962)]
        {
            let [found_low, found_high] = Share::new(n_right, n).interval_95;
            assert!((found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4, "{n_right}/{n}");
        }
        let [low, high] = Share::new(0, 0).interval_95;
        assert!(low <= 0.0 && high >= 1.0, "nothing asked says nothing");
    }
}
