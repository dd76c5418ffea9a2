//! The `rl` table of a recipe: the algorithm by name, and every number that it sets, each of which may be
//! overridden.
//!
//! What a person writes is short; what is kept in the run's folder is complete. `tests/train_rl.rs` holds the
//! presets and that a complete table reads back as itself.

use serde::{Deserialize, Serialize};

use super::advantage::{AdvantageSettings, Scale};
use super::aggregate::Aggregation;
use super::filter::{Exhausted, FilterSettings, Metric};
use super::kl::{Estimator, KlSettings, Place};
use super::overlong::OverlongSettings;
use super::policy::{PolicySettings, Ratio};
use crate::judge::JudgeSettings;
use crate::reward::{Kind, RewardSettings};

/// A set of defaults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Shao et al. 2024: means within answers, k3 distance in the loss (β 0.04 as in PathVLM-R1).
    #[default]
    Grpo,
    /// Yu et al. 2025: wider upper bound, mean over all tokens, dynamic sampling, no reference.
    Dapo,
    /// Liu et al. 2025: no division by spread or length.
    DrGrpo,
}

/// How answers are drawn.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RolloutRecipe {
    /// Longest answer in tokens, its end mark included.
    pub max_new_tokens: usize,
    /// Scores are divided by it, in drawing and in the loss.
    pub temperature: f32,
    /// Only this many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1: all.
    pub top_p: f32,
    /// Answers written side by side at most.
    pub max_rows: usize,
}

impl Default for RolloutRecipe {
    fn default() -> Self {
        Self { max_new_tokens: 512, temperature: 1.0, top_k: 0, top_p: 1.0, max_rows: 64 }
    }
}

/// How a model is reinforced; complete.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Asked")]
pub struct RlSettings {
    /// Whose defaults.
    pub algorithm: Algorithm,
    /// Answers to each prompt.
    pub group: usize,
    /// Times that each step's answers are learned from.
    pub num_iterations: usize,
    /// Prompts of one update; 0: all of the step.
    pub mini_batch: usize,
    /// Answers that are in memory at once while learning; 0: all of an update.
    pub part: usize,
    /// Prompts asked at a time where prompts are left out; 0: as many as a step has.
    pub gen_batch: usize,
    /// Leaves answers that met the length limit out of the loss.
    pub mask_truncated: bool,
    /// Reward of entropy in the loss.
    pub entropy: f64,
    /// Judge's questions under way at a time.
    pub judge_parallel: usize,
    /// How answers are drawn.
    pub rollout: RolloutRecipe,
    /// What answers earn.
    pub rewards: Vec<RewardSettings>,
    /// How rewards become advantages.
    pub advantage: AdvantageSettings,
    /// How far an update may go.
    pub policy: PolicySettings,
    /// What a token's loss is divided by.
    pub aggregation: Aggregation,
    /// What moving away from where the stage began costs.
    pub kl: KlSettings,
    /// Which prompts are left out.
    pub filter: FilterSettings,
    /// From which length on answers are punished, where a reward says so.
    pub overlong: OverlongSettings,
    /// Who gives the reward `process`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judge: Option<JudgeSettings>,
}

/// How a model is reinforced, as asked for.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    algorithm: Algorithm,
    group: Option<usize>,
    num_iterations: Option<usize>,
    mini_batch: usize,
    part: usize,
    gen_batch: usize,
    mask_truncated: bool,
    entropy: f64,
    judge_parallel: Option<usize>,
    rollout: RolloutRecipe,
    rewards: Option<Vec<RewardSettings>>,
    advantage: AskedAdvantage,
    policy: AskedPolicy,
    aggregation: Option<Aggregation>,
    kl: AskedKl,
    filter: AskedFilter,
    overlong: Option<OverlongSettings>,
    judge: Option<JudgeSettings>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AskedAdvantage {
    scale: Option<Scale>,
    epsilon: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AskedPolicy {
    clip_low: Option<f64>,
    clip_high: Option<f64>,
    clip_dual: Option<f64>,
    ratio: Ratio,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AskedKl {
    coefficient: Option<f64>,
    estimator: Estimator,
    place: Place,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AskedFilter {
    enabled: Option<bool>,
    metric: Metric,
    max_num_gen_batches: Option<usize>,
    exhausted: Exhausted,
}

impl Algorithm {
    /// The numbers by which the algorithms differ: policy, aggregation, scale, β, whether prompts are left out.
    fn defaults(self) -> (PolicySettings, Aggregation, Scale, f64, bool) {
        let usual = PolicySettings::default();
        match self {
            Self::Grpo => (usual, Aggregation::SeqMeanTokenMean, Scale::Group, 0.04, false),
            Self::Dapo => {
                let policy = PolicySettings { clip_high: 0.28, clip_dual: 10.0, ..usual };
                (policy, Aggregation::TokenMean, Scale::Group, 0.0, true)
            }
            Self::DrGrpo => (usual, Aggregation::TokenSumOverBudget, Scale::None, 0.0, false),
        }
    }
}

impl TryFrom<Asked> for RlSettings {
    type Error = String;

    fn try_from(asked: Asked) -> Result<Self, String> {
        let (policy, aggregation, scale, beta, filters) = asked.algorithm.defaults();
        let max_new_tokens = asked.rollout.max_new_tokens;
        let settings = Self {
            algorithm: asked.algorithm,
            group: asked.group.unwrap_or(8),
            num_iterations: asked.num_iterations.unwrap_or(1),
            mini_batch: asked.mini_batch,
            part: asked.part,
            gen_batch: asked.gen_batch,
            mask_truncated: asked.mask_truncated,
            entropy: asked.entropy,
            judge_parallel: asked.judge_parallel.unwrap_or(4),
            rollout: asked.rollout,
            // PathVLM-R1's: right and well formed, unweighted.
            rewards: asked.rewards.unwrap_or_else(|| {
                vec![RewardSettings::of(Kind::Accuracy), RewardSettings::of(Kind::Format)]
            }),
            advantage: AdvantageSettings {
                scale: asked.advantage.scale.unwrap_or(scale),
                epsilon: asked.advantage.epsilon.unwrap_or(AdvantageSettings::default().epsilon),
            },
            policy: PolicySettings {
                clip_low: asked.policy.clip_low.unwrap_or(policy.clip_low),
                clip_high: asked.policy.clip_high.unwrap_or(policy.clip_high),
                clip_dual: asked.policy.clip_dual.unwrap_or(policy.clip_dual),
                ratio: asked.policy.ratio,
            },
            aggregation: asked.aggregation.unwrap_or(aggregation),
            kl: KlSettings {
                coefficient: asked.kl.coefficient.unwrap_or(beta),
                estimator: asked.kl.estimator,
                place: asked.kl.place,
            },
            filter: FilterSettings {
                enabled: asked.filter.enabled.unwrap_or(filters),
                metric: asked.filter.metric,
                max_num_gen_batches: asked
                    .filter
                    .max_num_gen_batches
                    .unwrap_or(FilterSettings::default().max_num_gen_batches),
                exhausted: asked.filter.exhausted,
            },
            // The shares of 2048 and 512, which the papers' decoding suggests.
            overlong: asked.overlong.unwrap_or(OverlongSettings {
                max_tokens: max_new_tokens,
                cache_tokens: max_new_tokens / 4,
                factor: 1.0,
            }),
            judge: asked.judge,
        };
        settings.check()?;
        Ok(settings)
    }
}

impl Default for RlSettings {
    fn default() -> Self {
        Self::try_from(Asked::default()).expect("the defaults fit together")
    }
}

impl RlSettings {
    fn check(&self) -> Result<(), String> {
        let refuse = |what: &str| Err(what.to_owned());
        if self.group == 0 || self.num_iterations == 0 || self.judge_parallel == 0 {
            return refuse("group, num_iterations and judge_parallel are at least 1");
        }
        let rollout = &self.rollout;
        if rollout.max_new_tokens == 0 || rollout.max_rows == 0 {
            return refuse("rollout.max_new_tokens and rollout.max_rows are at least 1");
        }
        if !(rollout.temperature > 0.0 && rollout.temperature.is_finite()) {
            return refuse("rollout.temperature is above 0");
        }
        if !(rollout.top_p > 0.0 && rollout.top_p <= 1.0) {
            return refuse("rollout.top_p is above 0 and at most 1");
        }
        if self.rewards.is_empty() {
            return refuse("rewards names no reward");
        }
        let mut names: Vec<&str> = self.rewards.iter().map(|reward| reward.name.name()).collect();
        names.sort_unstable();
        if let Some((twice, _)) =
            names.iter().zip(names.iter().skip(1)).find(|(first, second)| first == second)
        {
            return Err(format!("rewards names {twice} twice"));
        }
        if self.rewards.iter().any(|reward| !reward.weight.is_finite()) {
            return refuse("the weight of a reward is a number");
        }
        let asks = self.rewards.iter().any(|reward| reward.name == Kind::Process);
        if asks && self.judge.is_none() {
            return refuse("the reward `process` needs a `judge`");
        }
        let sound = |value: f64| value.is_finite() && value >= 0.0;
        if !sound(self.kl.coefficient) || !sound(self.advantage.epsilon) || !self.entropy.is_finite() {
            return refuse("kl.coefficient, advantage.epsilon and entropy are numbers, not negative");
        }
        if self.filter.metric == Metric::FinalReward
            && self.kl.place == Place::Reward
            && self.needs_reference()
        {
            return refuse("filter.metric = final-reward cannot see a distance that is taken off the reward");
        }
        self.policy.check()
    }

    /// Whether the model that the stage began from is needed.
    pub fn needs_reference(&self) -> bool {
        self.kl.coefficient > 0.0
    }

    /// Whether answers of advantage 0 still move the weights.
    pub(crate) fn moves_without_advantage(&self) -> bool {
        (self.kl.coefficient > 0.0 && self.kl.place == Place::Loss) || self.entropy != 0.0
    }
}
