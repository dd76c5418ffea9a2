//! The clipped policy loss (Schulman et al. 2017, equation 7), with DAPO's two bounds and the dual clip.
//!
//! ρ = `π(token)/π_old(token)`, from log-probabilities whose difference is held within ±20. A token's loss is
//! max(−Aρ, −A·clip(ρ, 1 − `clip_low`, 1 + `clip_high`)); where A < 0 it is at most −A·`clip_dual` (Ye et al.
//! 2020), so that a token that became far likelier than it was cannot dominate. Where a bound rules the loss
//! is a constant, hence without gradient. PathVLM-R1 writes one ratio for the whole answer; TRL offers the
//! geometric mean of its tokens' ratios (Zheng et al. 2025, "GSPO"). `tests/train_formulas.rs` holds losses and gradients
//! against `PyTorch` and against finite differences.

use burn::tensor::{Bool, Tensor};
use serde::{Deserialize, Serialize};

/// Bound of ln ρ, as in verl.
const LOG_RATIO_LIMIT: f64 = 20.0;

/// What one ratio is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ratio {
    /// A token.
    #[default]
    Token,
    /// The whole answer: the geometric mean of its tokens' ratios, as TRL and GSPO have it.
    Sequence,
    /// The whole answer: the product of its tokens' ratios, as PathVLM-R1's objective is written.
    SequenceProduct,
}

/// How far one update may move the policy.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySettings {
    /// ε below 1.
    pub clip_low: f64,
    /// ε above 1: larger than `clip_low` in DAPO, so that unlikely tokens may grow.
    pub clip_high: f64,
    /// c of the dual clip, above 1; 0 leaves it out. 3 by default in verl, 10 in its DAPO recipe.
    pub clip_dual: f64,
    /// What one ratio is of.
    pub ratio: Ratio,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self { clip_low: 0.2, clip_high: 0.2, clip_dual: 3.0, ratio: Ratio::Token }
    }
}

impl PolicySettings {
    /// Why these values cannot be trained with.
    ///
    /// # Errors
    /// A sentence for a person.
    pub fn check(&self) -> Result<(), String> {
        let sound = |clip: f64| clip.is_finite() && clip >= 0.0;
        if !sound(self.clip_low) || self.clip_low > 1.0 || !sound(self.clip_high) {
            return Err("clip_low lies between 0 and 1, and clip_high is not negative".into());
        }
        if self.clip_dual != 0.0 && (!self.clip_dual.is_finite() || self.clip_dual <= 1.0) {
            return Err("clip_dual is above 1, or 0 to leave it out".into());
        }
        Ok(())
    }
}

/// The loss of every token, and what is read off beside it (without gradient).
#[derive(Debug)]
pub struct PolicyLoss {
    /// Loss of every token, `[b, t]`; places outside the mask are not zeroed.
    pub loss: Tensor<2>,
    /// ln ρ, `[b, t]`.
    pub log_ratio: Tensor<2>,
    /// Where ρ lies below its bound and A is negative, `[b, t]`.
    pub is_clipped_low: Tensor<2, Bool>,
    /// Where ρ lies above its bound and A is positive, `[b, t]`.
    pub is_clipped_high: Tensor<2, Bool>,
    /// Where the dual clip rules, `[b, t]`.
    pub is_clipped_dual: Tensor<2, Bool>,
}

/// The clipped loss of every token.
///
/// # Shapes
/// - `policy`: log-probabilities of the sampled tokens, `[b, t]`, with their graph
/// - `old`: the same when they were sampled, `[b, t]`
/// - `advantages`: `[b, 1]`
/// - `mask`: 1 for tokens of the answer, else 0, `[b, t]`
pub fn policy_loss(
    policy: Tensor<2>,
    old: Tensor<2>,
    advantages: Tensor<2>,
    mask: Tensor<2>,
    settings: &PolicySettings,
) -> PolicyLoss {
    let [b, t] = policy.dims();
    let token_ratio = policy - old;
    let log_ratio = match settings.ratio {
        Ratio::Token => token_ratio,
        Ratio::Sequence => {
            let n_token = mask.clone().sum_dim(1).clamp_min(1.0);
            ((token_ratio * mask).sum_dim(1) / n_token).expand([b, t])
        }
        Ratio::SequenceProduct => (token_ratio * mask).sum_dim(1).expand([b, t]),
    };
    let log_ratio = log_ratio.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT);
    let ratio = log_ratio.clone().exp();
    let advantages = advantages.expand([b, t]);
    let free = -advantages.clone() * ratio.clone();
    let ratio = ratio.detach();
    let bounded =
        -advantages.clone() * ratio.clone().clamp(1.0 - settings.clip_low, 1.0 + settings.clip_high);
    // Where the bounded loss is the larger one, ρ lies outside its bounds: there it is constant.
    let mut loss = free.clone().mask_where(bounded.clone().greater(free.detach()), bounded);
    let is_negative = advantages.clone().lower_elem(0.0);
    let is_clipped_dual = if settings.clip_dual > 0.0 {
        let most = advantages.clone().mul_scalar(-settings.clip_dual);
        let is_over = loss.clone().detach().greater(most.clone()).bool_and(is_negative.clone());
        loss = loss.mask_where(is_over.clone(), most);
        is_over
    } else {
        is_negative.clone().bool_and(is_negative.clone().bool_not())
    };
    PolicyLoss {
        loss,
        log_ratio: log_ratio.detach(),
        is_clipped_low: ratio.clone().lower_elem(1.0 - settings.clip_low).bool_and(is_negative),
        is_clipped_high: ratio.greater_elem(1.0 + settings.clip_high).bool_and(advantages.greater_elem(0.0)),
        is_clipped_dual,
    }
}
