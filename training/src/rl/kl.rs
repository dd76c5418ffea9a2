//! How far the policy has moved from a reference, estimated from the sampled tokens alone.
//!
//! Schulman's three estimators of `KL(π‖π_ref)`, with verl's names and clamps: k1 = ln π − ln `π_ref`;
//! k2 = k1²/2; k3 = exp(−k1) + k1 − 1, whose exponent is held within ±20 and whose value within ±10, so
//! that one odd token cannot blow up a step. The estimate is either a term of the loss or is taken off the
//! reward. `tests/train_formulas.rs` holds values and gradients.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// Bound of the exponent of k3.
const EXPONENT_LIMIT: f64 = 20.0;
/// Bound of k3 itself.
const VALUE_LIMIT: f64 = 10.0;

/// Which estimate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// ln π − ln `π_ref`: unbiased, may be negative.
    #[serde(alias = "kl")]
    K1,
    /// Half its square.
    #[serde(alias = "mse")]
    K2,
    /// exp(−k1) + k1 − 1: unbiased and never negative.
    #[default]
    #[serde(alias = "low_var_kl")]
    K3,
}

/// Where the estimate counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// As a term of the loss (GRPO).
    #[default]
    Loss,
    /// Taken off the reward, before advantages.
    Reward,
}

/// What moving away from the reference costs.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KlSettings {
    /// β; at zero no reference is kept at all.
    pub coefficient: f64,
    /// Which estimate.
    pub estimator: Estimator,
    /// Where it counts.
    pub place: Place,
}

/// The estimate for every token, with the policy's gradient.
///
/// # Shapes
/// - `policy`, `reference`: log-probabilities of the sampled tokens, `[b, t]`
/// - returns: `[b, t]`
pub fn estimate(policy: Tensor<2>, reference: Tensor<2>, estimator: Estimator) -> Tensor<2> {
    match estimator {
        Estimator::K1 => policy - reference,
        Estimator::K2 => {
            let difference = policy - reference;
            (difference.clone() * difference).mul_scalar(0.5)
        }
        Estimator::K3 => {
            let exponent = (reference - policy).clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT);
            (exponent.clone().exp() - exponent).sub_scalar(1.0).clamp(-VALUE_LIMIT, VALUE_LIMIT)
        }
    }
}

/// The estimates of one answer's tokens as plain numbers.
///
/// # Panics
/// Where the lengths differ.
pub fn estimates(policy: &[f32], reference: &[f32], estimator: Estimator) -> Vec<f64> {
    assert_eq!(policy.len(), reference.len(), "a reference for every token");
    let one = |(policy, reference): (&f32, &f32)| {
        let difference = f64::from(*policy) - f64::from(*reference);
        match estimator {
            Estimator::K1 => difference,
            Estimator::K2 => 0.5 * difference * difference,
            Estimator::K3 => {
                let exponent = (-difference).clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT);
                (exponent.exp() - exponent - 1.0).clamp(-VALUE_LIMIT, VALUE_LIMIT)
            }
        }
    };
    policy.iter().zip(reference).map(one).collect()
}
