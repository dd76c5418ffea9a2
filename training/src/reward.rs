//! Rewards by name: what a recipe lists, and what an answer earns.
//!
//! A recipe says `rewards = [{ name = "accuracy", weight = 1.0 }, …]`; an answer's reward is the weighted sum,
//! as in TRL, and every part is recorded under its own name. Rules are functions of text and length
//! alone. The one reward that is not (`process`) is asked of a [`crate::judge::Judge`].
//! `tests/train_rewards.rs` holds the tables.

pub mod answer;
pub mod patho_r1;
pub mod pathvlm_r1;
pub mod shape;

use serde::{Deserialize, Serialize};

use crate::data::Task;
use crate::rl::overlong::OverlongSettings;
use patho_r1::Gate;
use shape::{CosineSettings, RepetitionSettings};

/// A reward that a recipe can name. The names of TRL and ms-swift are understood, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 1 where the answer is right by text or letter ([`answer::is_right`]), else 0.
    Accuracy,
    /// Patho-R1's `R_acc`: exactly the right letter.
    #[serde(alias = "patho_r1_accuracy")]
    PathoR1Accuracy,
    /// PathVLM-R1's accuracy as in its paper: letter and content.
    #[serde(alias = "pathvlm_r1_accuracy")]
    PathvlmR1Accuracy,
    /// PathVLM-R1's accuracy as in its code: the whole block.
    #[serde(alias = "pathvlm_r1_accuracy_code")]
    PathvlmR1AccuracyCode,
    /// Patho-R1's `R_fmt`: both blocks once, nothing outside.
    #[serde(alias = "think_format", alias = "patho_r1_format")]
    Format,
    /// PathVLM-R1's form as in its code.
    #[serde(alias = "pathvlm_r1_format")]
    PathvlmR1Format,
    /// DAPO's punishment of long answers, −1…0.
    #[serde(alias = "soft_overlong", alias = "soft_overlong_punishment")]
    SoftOverlong,
    /// Patho-R1's `R_len`: 1 + that.
    Length,
    /// Patho-R1's combined reward for GRPO, 0 or 1.
    #[serde(alias = "patho_r1_grpo")]
    PathoR1Grpo,
    /// Patho-R1's combined reward for DAPO, −1 or 1.
    #[serde(alias = "patho_r1_dapo")]
    PathoR1Dapo,
    /// ms-swift's reward of right and short answers.
    Cosine,
    /// ms-swift's punishment of repetition.
    #[serde(alias = "repetition_penalty")]
    Repetition,
    /// PathVLM-R1's process reward, given by a judge: 0…1.
    Process,
}

/// One entry of a recipe's `rewards`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSettings {
    /// Which.
    pub name: Kind,
    /// What it is multiplied by; at 0 it is only recorded.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether Patho-R1's combined rewards are all or nothing.
    #[serde(default)]
    pub gate: Gate,
    /// Ends of the scale of `cosine`.
    #[serde(default)]
    pub cosine: CosineSettings,
    /// Words of `repetition`.
    #[serde(default)]
    pub repetition: RepetitionSettings,
}

fn one() -> f64 {
    1.0
}

/// An answer to be rewarded.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// All that was said, tags included and without end marks.
    pub text: &'a str,
    /// Tokens, the end mark included.
    pub n_token: usize,
    /// What was asked.
    pub task: &'a Task,
}

impl Kind {
    /// As recipes and records name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::PathoR1Accuracy => "patho-r1-accuracy",
            Self::PathvlmR1Accuracy => "pathvlm-r1-accuracy",
            Self::PathvlmR1AccuracyCode => "pathvlm-r1-accuracy-code",
            Self::Format => "format",
            Self::PathvlmR1Format => "pathvlm-r1-format",
            Self::SoftOverlong => "soft-overlong",
            Self::Length => "length",
            Self::PathoR1Grpo => "patho-r1-grpo",
            Self::PathoR1Dapo => "patho-r1-dapo",
            Self::Cosine => "cosine",
            Self::Repetition => "repetition",
            Self::Process => "process",
        }
    }

    /// Whether it says if the answer is right: dynamic sampling looks at the first such reward.
    pub fn is_accuracy(self) -> bool {
        matches!(
            self,
            Self::Accuracy
                | Self::PathoR1Accuracy
                | Self::PathvlmR1Accuracy
                | Self::PathvlmR1AccuracyCode
                | Self::PathoR1Grpo
                | Self::PathoR1Dapo
        )
    }
}

impl RewardSettings {
    /// A reward with weight 1 and its defaults.
    pub fn of(name: Kind) -> Self {
        Self {
            name,
            weight: 1.0,
            gate: Gate::default(),
            cosine: CosineSettings::default(),
            repetition: RepetitionSettings::default(),
        }
    }

    /// What the rule gives, unweighted; `None` for [`Kind::Process`], which no rule gives.
    pub fn score(&self, answer: &Answer<'_>, overlong: &OverlongSettings) -> Option<f64> {
        let Answer { text, n_token, task } = *answer;
        let punishment = || overlong.punishment(n_token);
        let share = |yes: bool| f64::from(u8::from(yes));
        Some(match self.name {
            Kind::Accuracy => share(answer::is_right(text, task)),
            Kind::PathoR1Accuracy => share(patho_r1::is_letter_right(text, task)),
            Kind::PathvlmR1Accuracy => share(pathvlm_r1::is_letter_and_content_right(text, task)),
            Kind::PathvlmR1AccuracyCode => share(pathvlm_r1::is_block_right(text, task)),
            Kind::Format => share(patho_r1::keeps_form(text)),
            Kind::PathvlmR1Format => share(pathvlm_r1::keeps_form(text)),
            Kind::SoftOverlong => punishment(),
            Kind::Length => 1.0 + punishment(),
            Kind::PathoR1Grpo => patho_r1::grpo(text, task, self.gate),
            Kind::PathoR1Dapo => patho_r1::dapo(text, task, punishment(), self.gate),
            Kind::Cosine => self.cosine.reward(answer::is_right(text, task), n_token, overlong.max_tokens),
            Kind::Repetition => self.repetition.reward(text),
            Kind::Process => return None,
        })
    }
}
