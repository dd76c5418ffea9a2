//! From losses of tokens to the loss of a step.
//!
//! What a token weighs decides how long answers fare: averaging within answers first (GRPO) makes the
//! tokens of long answers light; averaging over all tokens (DAPO) or dividing by a constant (Dr.GRPO) does
//! not. A step is computed in parts that fit in memory, so every function takes the denominators of the
//! **whole** step and gives a part's share: the shares add up to the loss of the step, and so do their
//! gradients. Dividing by a part's own token count instead would weigh parts wrongly. Names as in verl.
//! `tests/train_formulas.rs` compares with `PyTorch` and checks that parts add up.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// What a token's loss is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the step (DAPO).
    #[default]
    TokenMean,
    /// Sum within an answer, mean over answers.
    SeqMeanTokenSum,
    /// Mean within an answer, mean over answers (GRPO).
    SeqMeanTokenMean,
    /// Sum over all tokens, divided by a constant length: verl's reading of Dr.GRPO, which does not average
    /// over answers.
    SeqMeanTokenSumNorm,
    /// Sum over all tokens, divided by answers × constant length: TRL's reading of Dr.GRPO.
    #[serde(alias = "dr_grpo")]
    TokenSumOverBudget,
}

/// Sizes of the whole step, over all its parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Denominators {
    /// Tokens that count.
    pub n_token: usize,
    /// Answers with at least one token that counts.
    pub n_answer: usize,
    /// The constant length of Dr.GRPO: the longest answer allowed.
    pub max_tokens: usize,
}

impl Denominators {
    /// Of answers with so many counting tokens each.
    pub fn of(n_tokens: &[usize], max_tokens: usize) -> Self {
        Self {
            n_token: n_tokens.iter().sum(),
            n_answer: n_tokens.iter().filter(|n_token| **n_token > 0).count(),
            max_tokens,
        }
    }
}

/// The share of one part in the loss of its step.
///
/// # Shapes
/// - `values`: losses of tokens, `[b, t]`
/// - `mask`: 1 where a token counts, else 0, `[b, t]`
/// - returns: `[1]`
pub fn aggregate(
    values: Tensor<2>,
    mask: Tensor<2>,
    aggregation: Aggregation,
    whole: &Denominators,
) -> Tensor<1> {
    let n_answer = whole.n_answer.max(1) as f64;
    let n_max = whole.max_tokens.max(1) as f64;
    let masked = values * mask.clone();
    match aggregation {
        Aggregation::TokenMean => masked.sum().div_scalar(whole.n_token.max(1) as f64),
        Aggregation::SeqMeanTokenSum => masked.sum().div_scalar(n_answer),
        Aggregation::SeqMeanTokenMean => {
            // An answer without counting tokens has a sum of zero; the divisor only must not be zero.
            let n_token = mask.sum_dim(1).clamp_min(1.0);
            (masked.sum_dim(1) / n_token).sum().div_scalar(n_answer)
        }
        Aggregation::SeqMeanTokenSumNorm => masked.sum().div_scalar(n_max),
        Aggregation::TokenSumOverBudget => masked.sum().div_scalar(n_answer * n_max),
    }
}
