//! Patho-R1's rewards, as its section on reinforcement learning states them.
//!
//! `R_fmt` and `R_acc` are 0 or 1. Combined for GRPO: 0.1 `R_fmt` + 0.9 `R_acc`, but only where both are 1, else
//! 0; for DAPO: 0.5 `R_acc` + 0.5 `R_len`, but only where both are 1, else −1. The gates leave the weights
//! without effect, so an ungated sum is on offer too. The paper calls `R_len` "similar to" DAPO's punishment,
//! which is never positive: 1 + punishment is taken, the only reading under which the gate can open.
//! `tests/train_rewards.rs` holds every edge.

use serde::{Deserialize, Serialize};

use crate::data::Task;

const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// Whether a sum of rewards is given in part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// All or nothing, as in the paper.
    #[default]
    Gated,
    /// The weighted sum.
    Graded,
}

/// `R_fmt`: one reasoning block, then one answer block, each tag exactly once and nothing but space outside.
pub fn keeps_form(text: &str) -> bool {
    let text = text.trim();
    TAGS.into_iter().all(|tag| text.matches(tag).count() == 1)
        && text.starts_with(TAGS[0])
        && text.ends_with(TAGS[3])
        && text.split_once(TAGS[1]).is_some_and(|(_, rest)| rest.trim_start().starts_with(TAGS[2]))
}

/// `R_acc`: the answer block is exactly the right letter of A to F. Two answer blocks are no answer.
pub fn is_letter_right(text: &str, task: &Task) -> bool {
    let one = |tag: &str| text.matches(tag).count() == 1;
    let block = text.split_once(TAGS[2]).and_then(|(_, rest)| rest.split_once(TAGS[3]));
    let Some((said, _)) = block.filter(|_| one(TAGS[2]) && one(TAGS[3])) else { return false };
    let mut chars = said.trim().chars();
    let letter = chars.next().filter(|letter| ('A'..='F').contains(letter) && chars.next().is_none());
    letter.is_some() && letter == task.gold_letter
}

/// The reward of GRPO: 0 or 1 where gated.
pub fn grpo(text: &str, task: &Task, gate: Gate) -> f64 {
    let [form, right] = [keeps_form(text), is_letter_right(text, task)].map(|yes| f64::from(u8::from(yes)));
    match gate {
        Gate::Gated => form * right,
        Gate::Graded => 0.1 * form + 0.9 * right,
    }
}

/// The reward of DAPO: −1 or 1 where gated. `punishment` is that of the answer's length, −1…0.
pub fn dapo(text: &str, task: &Task, punishment: f64, gate: Gate) -> f64 {
    let right = is_letter_right(text, task);
    let length = 1.0 + punishment;
    match gate {
        Gate::Gated if right && length >= 1.0 => 1.0,
        Gate::Gated => -1.0,
        Gate::Graded => 0.5 * f64::from(u8::from(right)) + 0.5 * length,
    }
}
