//! How much better an answer was than the others to the same prompt.
//!
//! There is no value network: the answers of one prompt are each other's baseline, A = (r − μ)/(σ + ε) with
//! the unbiased σ (Shao et al. 2024, section 4.1.2). Libraries differ in ε (verl 1e-6, TRL and VLM-R1 1e-4) and in
//! what σ is taken over. Liu et al. 2025 ("Dr.GRPO") leave σ away, because it lends weight to prompts that
//! are almost always or almost never solved. A prompt with one answer has nothing to compare: verl takes
//! μ = 0 and σ = 1 there, so the reward itself is the advantage. `tests/train_formulas.rs` holds the values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Spreads below this are those of equal rewards.
const ZERO_STD: f64 = 1e-8;

/// What the deviations from the mean are divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// The standard deviation of the prompt's own answers.
    #[default]
    Group,
    /// The standard deviation of all answers of the step.
    Batch,
    /// Nothing (Dr.GRPO).
    None,
}

/// How rewards become advantages.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdvantageSettings {
    /// What the deviations are divided by.
    pub scale: Scale,
    /// Added to the standard deviation: 1e-6 in verl, 1e-4 in TRL.
    pub epsilon: f64,
}

impl Default for AdvantageSettings {
    fn default() -> Self {
        Self { scale: Scale::Group, epsilon: 1e-6 }
    }
}

/// Mean and spread of the rewards of one prompt.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GroupStatistics {
    /// Mean.
    pub mean: f64,
    /// Unbiased standard deviation; zero for a single answer.
    pub std: f64,
    /// Answers.
    pub n: usize,
}

impl GroupStatistics {
    /// Of the values given.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len();
        if n == 0 {
            return Self { mean: 0.0, std: 0.0, n };
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let square: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = if n > 1 { (square / (n - 1) as f64).sqrt() } else { 0.0 };
        Self { mean, std, n }
    }

    /// Whether all answers were rewarded alike, so that they teach nothing.
    pub fn is_flat(&self) -> bool {
        self.std < ZERO_STD
    }
}

/// Advantage of every answer.
///
/// - `rewards`: one for each answer
/// - `groups`: for each answer a number that names its prompt
///
/// # Panics
/// Where the lengths differ.
pub fn advantages(rewards: &[f64], groups: &[usize], settings: &AdvantageSettings) -> Vec<f64> {
    assert_eq!(rewards.len(), groups.len(), "a group for every reward");
    let statistics = group_statistics(rewards, groups);
    let batch_std = GroupStatistics::of(rewards).std;
    rewards
        .iter()
        .zip(groups)
        .map(|(reward, group)| {
            let of_group = &statistics[group];
            let (mean, std) = if of_group.n == 1 { (0.0, 1.0) } else { (of_group.mean, of_group.std) };
            let centred = reward - mean;
            match settings.scale {
                Scale::Group => centred / (std + settings.epsilon),
                Scale::Batch => centred / (batch_std + settings.epsilon),
                Scale::None => centred,
            }
        })
        .collect()
}

/// Mean and spread of every prompt's rewards, by the prompt's number.
pub fn group_statistics(rewards: &[f64], groups: &[usize]) -> BTreeMap<usize, GroupStatistics> {
    let mut by_group: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (reward, group) in rewards.iter().zip(groups) {
        by_group.entry(*group).or_default().push(*reward);
    }
    by_group.into_iter().map(|(group, rewards)| (group, GroupStatistics::of(&rewards))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_within_their_prompt() {
        let check = |rewards: &[f64], groups: &[usize], scale, expected: &[f64]| {
            let found = advantages(rewards, groups, &AdvantageSettings { scale, epsilon: 1e-6 });
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        // Unbiased deviation of 1, 0, 0, 0 is one half.
        check(&[1.0, 0.0, 0.0, 0.0], &[7; 4], Scale::Group, &[1.5, -0.5, -0.5, -0.5]);
        check(&[1.0, 0.0, 0.0, 0.0], &[7; 4], Scale::None, &[0.75, -0.25, -0.25, -0.25]);
        // Groups may lie mixed.
        check(&[1.0, 5.0, 0.0, 5.0], &[0, 1, 0, 1], Scale::None, &[0.5, 0.0, -0.5, 0.0]);
        // All alike teach nothing; one alone keeps its reward.
        check(&[1.0, 1.0], &[0, 0], Scale::Group, &[0.0, 0.0]);
        check(&[3.0], &[0], Scale::Group, &[3.0]);
        check(&[], &[], Scale::Batch, &[]);
        // Deviation of 0, 2, 4, 6 over the whole batch: √(20/3).
        let std = (20.0_f64 / 3.0).sqrt();
        check(&[0.0, 2.0, 4.0, 6.0], &[0, 0, 1, 1], Scale::Batch, &[-1.0, 1.0, -1.0, 1.0].map(|a| a / std));
    }
}
