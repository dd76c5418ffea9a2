//! One token out of scores, in transformers' order: temperature, top-k, top-p.
//!
//! What the session's sampler and batched rollouts share. Randomness comes in as one number, so that whoever
//! draws decides what a seed means. Held true by the tests of the session's sampler (shares worked out by
//! hand from each rule) and the tests below.

/// Which of the likely tokens may be drawn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Draw {
    /// Scores are divided by it; above 0.
    pub temperature: f32,
    /// Only this many of the likeliest tokens and those that equal the last of them; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    pub top_p: f32,
}

impl Draw {
    /// Draws a token: `uniform` in `[0, 1)` picks its place in the distribution. Values that are no number are
    /// never drawn, nor are those at −∞, by which a caller forbids tokens; where nothing is left, the lowest
    /// id comes back.
    ///
    /// # Shapes
    /// - `logits`: `[v]`
    pub fn pick(&self, logits: &[f32], uniform: f64) -> u32 {
        let best = argmax(logits);
        let most = logits[best as usize];
        if most == f32::NEG_INFINITY {
            return best;
        }
        let weight = |id: u32| f64::from(((logits[id as usize] - most) / self.temperature).exp());
        let can_come = |id: &u32| logits[*id as usize] > f32::NEG_INFINITY;
        let mut order: Vec<u32> = (0..logits.len() as u32).filter(can_come).collect();
        // Nothing is cut off: the order does not matter, and sorting a vocabulary costs more than all else.
        if self.top_p < 1.0 || (self.top_k > 0 && self.top_k < order.len()) {
            self.cut(logits, &mut order);
        }
        let mut weights: Vec<f64> = order.iter().map(|id| weight(*id)).collect();
        if self.top_p < 1.0 {
            // A token stays while those before it have not reached top-p; the first always stays.
            let (total, mut before) = (weights.iter().sum::<f64>(), 0.0);
            let stays = |weight: &&f64| {
                let stays = before < f64::from(self.top_p) * total;
                before += **weight;
                stays
            };
            let n_kept = weights.iter().take_while(stays).count();
            weights.truncate(n_kept.max(1));
        }
        let mut left = uniform * weights.iter().sum::<f64>();
        for (id, weight) in order.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        // Rounding may leave a trace of `left`.
        order[weights.len() - 1]
    }

    /// Keeps the `top_k` likeliest and sorts them, likeliest first, the lower id among equals.
    fn cut(&self, logits: &[f32], order: &mut Vec<u32>) {
        let falling =
            |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then_with(|| a.cmp(b));
        let k = self.top_k;
        if k > 0 && k < order.len() {
            order.select_nth_unstable_by(k - 1, falling);
            // All that equal the k-th stay, as in transformers.
            let least = logits[order[k - 1] as usize];
            let equals: Vec<u32> =
                order[k..].iter().copied().filter(|id| logits[*id as usize] >= least).collect();
            order.truncate(k);
            order.extend(equals);
        }
        order.sort_unstable_by(falling);
    }
}

/// The id of the largest score, the lowest among equals; values that are no number never win.
pub fn argmax(logits: &[f32]) -> u32 {
    let mut best = (0, f32::NEG_INFINITY);
    for (id, logit) in logits.iter().enumerate() {
        if *logit > best.1 {
            best = (id, *logit);
        }
    }
    best.0 as u32
}

/// ln p(`id`) under softmax of the scores as they are.
///
/// # Shapes
/// - `logits`: `[v]`
pub fn log_prob(logits: &[f32], id: u32) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from((logit - most).exp())).sum();
    (f64::from(logits[id as usize] - most) - sum.ln()) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_distribution_decides() {
        // ln of 8:4:2:1:1 sixteenths, in another order.
        let logits: Vec<f32> = [1.0, 8.0, f32::NAN, 4.0, 2.0, 1.0].map(|weight: f32| weight.ln()).to_vec();
        let check = |temperature, top_k, top_p, uniform: f64, expected: u32| {
            let draw = Draw { temperature, top_k, top_p };
            assert_eq!(draw.pick(&logits, uniform), expected, "{draw:?} at {uniform}");
        };
        // Ids in order: 1/16, 8/16, 4/16, 2/16, 1/16.
        check(1.0, 0, 1.0, 0.0, 0);
        check(1.0, 0, 1.0, 0.07, 1);
        check(1.0, 0, 1.0, 0.57, 3);
        check(1.0, 0, 1.0, 0.999, 5);
        // Likeliest first where something is cut off.
        check(1.0, 2, 1.0, 0.0, 1);
        check(1.0, 2, 1.0, 0.66, 1);
        check(1.0, 2, 1.0, 0.67, 3);
        check(1.0, 0, 0.74, 0.999, 3);
        check(1.0, 0, 1e-6, 0.999, 1);
        check(0.5, 2, 1.0, 0.79, 1);
        check(0.5, 2, 1.0, 0.81, 3);
        assert_eq!(Draw { temperature: 1.0, top_k: 0, top_p: 1.0 }.pick(&[f32::NEG_INFINITY; 3], 0.5), 0);
    }

    #[test]
    fn log_probs_are_those_of_softmax() {
        let logits: Vec<f32> = [8.0, 4.0, 2.0, 1.0, 1.0].map(|weight: f32| weight.ln() + 300.0).to_vec();
        for (id, share) in [8.0, 4.0, 2.0, 1.0, 1.0].into_iter().enumerate() {
            assert!((log_prob(&logits, id as u32) - (share / 16.0_f32).ln()).abs() < 1e-5);
        }
    }
}
