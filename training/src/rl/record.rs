//! What a step of reinforcement leaves on record: figures by TRL's names, and every answer that was drawn.
//!
//! Rewards are recorded over all answers, those of prompts that were left out included, because that is how
//! good the model is; what is learned from is another matter. `tests/train_rl.rs` holds names and values.

use super::advantage::GroupStatistics;
use super::answers::{Answered, JudgeCount, Question};
use super::learn::TokenStatistics;
use super::settings::RlSettings;
use super::share_of_flat;
use crate::metrics::Scalars;
use crate::metrics::lines::{Completion, CompletionLog};

/// A question with its answers, as drawn.
#[derive(Clone, PartialEq, Debug)]
pub struct Drawn {
    /// The sample.
    pub id: String,
    /// The question.
    pub question: String,
    /// The right answer.
    pub gold: String,
    /// The answers.
    pub answers: Vec<Answered>,
    /// Its place among those that were learned from, or none.
    pub kept: Option<usize>,
    /// Advantages of its answers; empty where it was left out.
    pub advantages: Vec<f64>,
}

impl Drawn {
    pub(super) fn of(question: &Question, answers: &[Answered]) -> Self {
        Self {
            id: question.id.clone(),
            question: question.text.clone(),
            gold: question.task.gold.clone(),
            answers: answers.to_vec(),
            kept: None,
            advantages: Vec::new(),
        }
    }
}

impl JudgeCount {
    pub(super) fn add(&mut self, other: Self) {
        self.n_asked += other.n_asked;
        self.n_cached += other.n_cached;
        self.n_failed += other.n_failed;
    }
}

/// Rows of `completions.jsonl`.
pub(super) fn completions(step: u64, drawn: &[Drawn]) -> Vec<Completion> {
    let mut rows = Vec::new();
    for one in drawn {
        for (idx, answer) in one.answers.iter().enumerate() {
            let mut rewards: std::collections::BTreeMap<String, f64> =
                answer.points.iter().map(|(name, points)| ((*name).to_owned(), *points)).collect();
            rewards.insert("reward".into(), answer.reward);
            rows.push(Completion {
                step,
                id: one.id.clone(),
                prompt: one.question.clone(),
                completion: answer.text.clone(),
                gold: one.gold.clone(),
                rewards,
                advantage: one.advantages.get(idx).copied().unwrap_or(0.0),
                n_token: answer.ids.len(),
                clipped: answer.is_cut,
            });
        }
    }
    rows
}

/// Figures of a step.
pub(super) fn figures(drawn: &[Drawn], tokens: &TokenStatistics, settings: &RlSettings) -> Scalars {
    let answers: Vec<&Answered> = drawn.iter().flat_map(|one| &one.answers).collect();
    let rewards: Vec<f64> = answers.iter().map(|one| one.reward).collect();
    let groups: Vec<usize> =
        drawn.iter().enumerate().flat_map(|(idx, one)| vec![idx; one.answers.len()]).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let spreads: Vec<f64> = drawn
        .iter()
        .map(|one| {
            let rewards: Vec<f64> = one.answers.iter().map(|answer| answer.reward).collect();
            GroupStatistics::of(&rewards).std
        })
        .collect();
    let lengths: Vec<f64> = answers.iter().map(|one| one.ids.len() as f64).collect();
    let whole: Vec<f64> = answers.iter().filter(|one| !one.is_cut).map(|one| one.ids.len() as f64).collect();
    let n_cut = answers.iter().filter(|one| one.is_cut).count();
    let mut scalars = Scalars::new()
        .with("reward", mean(&rewards))
        .with("reward_std", mean(&spreads))
        .with("frac_reward_zero_std", share_of_flat(&rewards, &groups));
    let mut rows = completions(0, drawn);
    for row in &mut rows {
        row.rewards.remove("reward");
    }
    scalars.extend(&CompletionLog::summary(&rows));
    scalars.set("completions/mean_length", mean(&lengths));
    scalars.set("completions/min_length", lengths.iter().copied().fold(f64::INFINITY, f64::min));
    scalars.set("completions/max_length", lengths.iter().copied().fold(0.0, f64::max));
    scalars.set("completions/mean_terminated_length", mean(&whole));
    scalars.set("completions/clipped_ratio", n_cut as f64 / answers.len().max(1) as f64);
    let share = |sum: f64| sum / tokens.n_token.max(1.0);
    scalars.set("entropy", share(tokens.entropy));
    if settings.needs_reference() {
        scalars.set("kl", share(tokens.kl));
    }
    scalars.set("approx_kl", share(tokens.approx_kl));
    scalars.set("clip_ratio/low_mean", share(tokens.n_low));
    scalars.set("clip_ratio/high_mean", share(tokens.n_high));
    scalars.set("clip_ratio/region_mean", share(tokens.n_low + tokens.n_high));
    scalars.set("clip_ratio/dual_mean", share(tokens.n_dual));
    scalars
}
