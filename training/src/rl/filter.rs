//! Dynamic sampling: prompts whose answers all fare alike teach nothing and are asked no further
//! (Yu et al. 2025, "DAPO", section 3.2, with the bookkeeping of verl's recipe).
//!
//! A prompt is kept where its answers' metric varies, or where it has only one answer. Batches of prompts
//! are asked until enough are kept; more than enough are cut off, and after too many batches the run stops
//! rather than wait forever on prompts that are too easy or too hard.

use serde::{Deserialize, Serialize};

use super::advantage::GroupStatistics;

/// What must vary within a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Whether the answer is right.
    #[default]
    #[serde(alias = "acc")]
    Accuracy,
    /// The reward before what is taken off for moving away from the reference.
    #[serde(alias = "seq_reward")]
    Reward,
    /// The reward after that.
    #[serde(alias = "seq_final_reward")]
    FinalReward,
}

/// What happens when too many batches were asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exhausted {
    /// The run stops with an error, as in verl.
    #[default]
    Stop,
    /// The step is taken with what was kept, or passed over where that is nothing.
    TakeKept,
}

/// Whether and how prompts are left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterSettings {
    /// Whether prompts are left out at all.
    pub enabled: bool,
    /// What must vary.
    pub metric: Metric,
    /// Batches of prompts that one step may ask; 0 for no limit.
    pub max_num_gen_batches: usize,
    /// What happens then.
    pub exhausted: Exhausted,
}

impl Default for FilterSettings {
    fn default() -> Self {
        Self { enabled: false, metric: Metric::Accuracy, max_num_gen_batches: 10, exhausted: Exhausted::Stop }
    }
}

/// What to do after a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Enough prompts are kept.
    Full,
    /// Ask another batch.
    Again,
    /// The limit is reached with too few.
    Exhausted,
}

/// The prompts kept so far in one step.
#[derive(Debug)]
pub struct Kept<G> {
    settings: FilterSettings,
    n_wanted: usize,
    groups: Vec<G>,
    n_seen: usize,
    n_batch: usize,
}

impl<G> Kept<G> {
    /// None yet, of `n_wanted`.
    pub fn new(settings: FilterSettings, n_wanted: usize) -> Self {
        Self { settings, n_wanted, groups: Vec::new(), n_seen: 0, n_batch: 0 }
    }

    /// Takes a batch of prompts, each with the metric of its answers; what is more than wanted is cut off.
    pub fn offer(&mut self, batch: impl IntoIterator<Item = (G, Vec<f64>)>) -> Verdict {
        self.n_batch += 1;
        for (group, metric) in batch {
            self.n_seen += 1;
            if !self.settings.enabled || metric.len() == 1 || !GroupStatistics::of(&metric).is_flat() {
                self.groups.push(group);
            }
        }
        if self.groups.len() >= self.n_wanted {
            self.groups.truncate(self.n_wanted);
            return Verdict::Full;
        }
        let limit = self.settings.max_num_gen_batches;
        if limit > 0 && self.n_batch >= limit { Verdict::Exhausted } else { Verdict::Again }
    }

    /// Prompts kept, at most as many as wanted.
    pub fn into_groups(self) -> Vec<G> {
        self.groups
    }

    /// Prompts kept so far.
    pub fn n_kept(&self) -> usize {
        self.groups.len()
    }

    /// Prompts asked so far.
    pub fn n_seen(&self) -> usize {
        self.n_seen
    }

    /// Batches asked so far.
    pub fn n_batch(&self) -> usize {
        self.n_batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(limit: usize) -> FilterSettings {
        FilterSettings { enabled: true, max_num_gen_batches: limit, ..FilterSettings::default() }
    }

    #[test]
    fn only_prompts_that_vary_are_kept_and_surplus_is_cut() {
        let mut kept = Kept::new(settings(10), 2);
        let all_right = (1, vec![1.0, 1.0]);
        let all_wrong = (2, vec![0.0, 0.0]);
        let mixed = |name| (name, vec![1.0, 0.0]);
        assert_eq!(kept.offer([all_right.clone(), all_wrong.clone(), mixed(3)]), Verdict::Again);
        assert_eq!((kept.n_kept(), kept.n_seen()), (1, 3));
        assert_eq!(kept.offer([mixed(4), mixed(5), mixed(6)]), Verdict::Full);
        assert_eq!(kept.into_groups(), [3, 4]);

        // A prompt with one answer is kept whatever it is; a filter that is off keeps all.
        let mut kept = Kept::new(settings(10), 1);
        assert_eq!(kept.offer([(7, vec![0.0])]), Verdict::Full);
        let mut kept = Kept::new(FilterSettings::default(), 2);
        assert_eq!(kept.offer([all_right, all_wrong]), Verdict::Full);
    }

    #[test]
    fn the_limit_ends_the_asking() {
        let mut kept = Kept::new(settings(2), 1);
        assert_eq!(kept.offer([(0, vec![0.0, 0.0])]), Verdict::Again);
        assert_eq!(kept.offer([(0, vec![1.0, 1.0])]), Verdict::Exhausted);
        // Enough in the last batch is enough.
        let mut kept = Kept::new(settings(1), 1);
        assert_eq!(kept.offer([(0, vec![0.0, 1.0])]), Verdict::Full);
        let mut kept = Kept::new(settings(0), 1);
        assert!((0..50).all(|_| kept.offer([(0, vec![0.0, 0.0])]) == Verdict::Again));
    }
}
