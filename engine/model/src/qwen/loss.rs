//! The loss of supervised fine-tuning: cross-entropy of the next token, over the tokens that are taught.
//!
//! Logits are computed only for rows whose next token is taught; prompts, pictures and padding cost no row
//! of the vocabulary. The sum and the count are kept apart, so that batches of unequal length can be
//! averaged over tokens across gradient accumulation. Held true by `tests/parity_qwen.rs` (loss and every
//! gradient equal the reference's).

use burn::tensor::{Int, Tensor};

/// A sum of losses and how many tokens it is over.
#[derive(Clone, Debug)]
pub struct TokenLoss {
    /// Sum of −ln p(token), `[1]`, with its graph.
    pub sum: Tensor<1>,
    /// Tokens that are taught.
    pub n_token: usize,
}

impl TokenLoss {
    /// Mean over tokens; a batch that teaches nothing has a loss of zero.
    pub fn mean(&self) -> Tensor<1> {
        self.sum.clone().div_scalar(self.n_token.max(1) as f64)
    }
}

/// −ln p(target), summed: logits are shifted by their largest, so that none overflows.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `[m]`
/// - returns: `[1]`
pub fn cross_entropy_sum(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let shifted = logits.clone() - logits.detach().max_dim(1);
    let log_sum = shifted.clone().exp().sum_dim(1).log();
    (log_sum - shifted.gather(1, targets.unsqueeze_dim::<2>(1))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn extreme_logits_stay_finite() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[1e4, 0.0, -1e4], [0.0, 0.0, 0.0]], &device);
        let targets = Tensor::from_data(TensorData::new(vec![0_i32, 2], [2]), &device);
        let sum: f32 = cross_entropy_sum(logits, targets).into_scalar();
        assert!((sum - 3f32.ln()).abs() < 1e-6, "{sum}");
    }
}
