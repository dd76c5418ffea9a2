//! The loss of supervised fine-tuning: cross-entropy of the next token, over the tokens that are taught.
//!
//! Logits are computed only for rows whose next token is taught; prompts, pictures and padding cost no row
//! of the vocabulary. The sum and the count are kept apart, so that batches of unequal length can be
//! averaged over tokens across gradient accumulation. Held true by `tests/parity_qwen.rs` (loss and every
//! gradient equal the reference's).

use burn::tensor::{Int, Tensor};
use eosin_kernels::fused;

/// A sum of losses and how many tokens it is over.
#[derive(Clone, Debug)]
pub struct TokenLoss {
    /// Sum of −ln p(token), `[1]`, with its graph.
    pub sum: Tensor<1>,
    /// Tokens that are taught.
    pub n_token: usize,
    /// Those of them that were the likeliest.
    pub n_right: usize,
}

/// What the model thinks of each taught token, with its graph.
#[derive(Clone, Debug)]
pub struct TokenScores {
    /// ln p(token), `[m]`.
    pub log_probs: Tensor<1>,
    /// Entropy of the distribution that the token was predicted from, in nats, `[m]`.
    pub entropy: Tensor<1>,
    /// Row and column of each token in the batch, row by row.
    pub places: Vec<[usize; 2]>,
}

impl TokenLoss {
    /// Mean over tokens; a batch that teaches nothing has a loss of zero.
    pub fn mean(&self) -> Tensor<1> {
        self.sum.clone().div_scalar(self.n_token.max(1) as f64)
    }
}

/// How many targets are the likeliest token of their row.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `[m]`
pub fn n_likeliest(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> usize {
    let [m, _] = logits.dims();
    let likeliest = logits.clone().detach().argmax(1).reshape([m]);
    let n: i64 = likeliest.equal(targets.clone()).int().sum().into_scalar();
    n as usize
}

/// −ln p(target), summed: logits are shifted by their largest, so that none overflows.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `[m]`
/// - returns: `[1]`
pub fn cross_entropy_sum(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    if fused::trains(&logits) {
        return fused::cross_entropy(logits, targets.into_data()).sum();
    }
    let shifted = logits.clone() - logits.detach().max_dim(1);
    let log_sum = shifted.clone().exp().sum_dim(1).log();
    (log_sum - shifted.gather(1, targets.unsqueeze_dim::<2>(1))).sum()
}

/// ln p(target) and the entropy −Σ p ln p of each row, both of which gradients pass through.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `[m]`
/// - returns: `[m]` twice
pub fn log_probs_and_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> [Tensor<1>; 2] {
    let [m, _] = logits.dims();
    if fused::trains(&logits) {
        let scores = fused::token_scores(logits, targets.into_data());
        return [0, 1].map(|column| scores.clone().narrow(1, column, 1).reshape([m]));
    }
    let shifted = logits.clone() - logits.detach().max_dim(1);
    let weights = shifted.clone().exp();
    let sum = weights.clone().sum_dim(1);
    let log_sum = sum.clone().log();
    // H = ln Σ eᶻ − Σ p z.
    let entropy = log_sum.clone() - (weights / sum * shifted.clone()).sum_dim(1);
    let log_probs = shifted.gather(1, targets.unsqueeze_dim::<2>(1)) - log_sum;
    [log_probs.reshape([m]), entropy.reshape([m])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn entropy_and_log_probs_are_their_definitions() {
        let device = Device::flex().autodiff();
        let weights = [[8.0_f32, 4.0, 2.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]];
        let logits = Tensor::<2>::from_floats(weights.map(|row| row.map(f32::ln)), &device).require_grad();
        let targets = Tensor::from_data(TensorData::new(vec![1_i32, 4], [2]), &device);
        let [log_probs, entropy] = log_probs_and_entropy(logits.clone(), targets);
        let read = |tensor: &Tensor<1>| tensor.to_data().try_into_vec::<f32>().unwrap();
        let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-5, "{a} for {b}");
        close(read(&log_probs)[0], 0.25_f32.ln());
        close(read(&log_probs)[1], 0.2_f32.ln());
        // 1/2 · 1 + 1/4 · 2 + 1/8 · 3 + 2/16 · 4 bits.
        close(read(&entropy)[0], 1.875 * 2.0_f32.ln());
        close(read(&entropy)[1], 5.0_f32.ln());
        // ∂H/∂z = −p (ln p + H); zero where all are equal.
        let slope =
            logits.grad(&entropy.sum().backward()).unwrap().into_data().try_into_vec::<f32>().unwrap();
        close(slope[0], -0.5 * (0.5_f32.ln() + 1.875 * 2.0_f32.ln()));
        close(slope[7], 0.0);
    }

    #[test]
    fn extreme_logits_stay_finite() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], &device);
        let targets = Tensor::from_data(TensorData::new(vec![0_i32, 2], [2]), &device);
        let sum: f32 = cross_entropy_sum(logits, targets).into_scalar();
        assert!((sum - 3f32.ln()).abs() < 1e-6, "{sum}");
    }
}
