//! A bootstrap that draws pictures, not questions (Efron & Tibshirani 1993, percentile interval).
//!
//! Answers about one picture stand or fall together, so that treating them as independent makes intervals
//! too narrow. Each draw takes as many pictures as there are, with replacement, each with all its questions.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws behind every stated interval.
pub const N_DRAW: usize = 2000;

/// Sums by picture, from which intervals are drawn.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ClusterBootstrap {
    /// Sum of the values and number of questions of each picture.
    clusters: Vec<[f64; 2]>,
}

impl ClusterBootstrap {
    /// Gathers `(picture, value)` pairs.
    pub fn new<'a>(values: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut clusters: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
        for (group, value) in values {
            let sums = clusters.entry(group).or_default();
            sums[0] += value;
            sums[1] += 1.0;
        }
        Self { clusters: clusters.into_values().collect() }
    }

    /// Pictures.
    pub fn n_cluster(&self) -> usize {
        self.clusters.len()
    }

    /// Ends of the 95 % interval of the mean over questions; all there is where nothing was asked.
    pub fn interval_95(&self, n_draw: usize, seed: u64) -> [f64; 2] {
        if self.clusters.is_empty() || n_draw == 0 {
            return [0.0, 1.0];
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut means: Vec<f64> = (0..n_draw)
            .map(|_| {
                let mut sums = [0.0; 2];
                for _ in 0..self.clusters.len() {
                    let cluster = self.clusters[rng.random_range(0..self.clusters.len())];
                    sums[0] += cluster[0];
                    sums[1] += cluster[1];
                }
                sums[0] / sums[1]
            })
            .collect();
        means.sort_by(f64::total_cmp);
        [quantile(&means, 0.025), quantile(&means, 0.975)]
    }
}

/// Quantile of sorted values by linear interpolation, as numpy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        let check = |values: &[f64], share, expected: f64| {
            assert!((quantile(values, share) - expected).abs() < 1e-12, "{values:?} {share}");
        };
        check(&[1.0, 2.0, 3.0, 4.0], 0.5, 2.5);
        check(&[1.0, 2.0, 3.0, 4.0], 0.025, 1.075);
        check(&[7.0], 0.975, 7.0);
    }

    #[test]
    fn questions_about_one_picture_widen_the_interval() {
        let width = |n_per_picture: usize| {
            let names: Vec<String> = (0..240).map(|idx| format!("{}", idx / n_per_picture)).collect();
            // All questions of a picture come out alike.
            let values = names.iter().map(|name| (name.as_str(), f64::from(u8::from(name.len() % 2 == 0))));
            let bootstrap = ClusterBootstrap::new(values);
            assert_eq!(bootstrap.n_cluster(), 240 / n_per_picture);
            let [low, high] = bootstrap.interval_95(N_DRAW, 5);
            let again = bootstrap.interval_95(N_DRAW, 5);
            assert!(again.map(f64::to_bits) == [low, high].map(f64::to_bits), "the seed decides");
            high - low
        };
        assert!(width(4) > 1.3 * width(1));
    }
}
