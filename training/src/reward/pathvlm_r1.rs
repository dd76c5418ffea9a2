//! PathVLM-R1's rule rewards, in the form of its paper and in that of its published code, which differ.
//!
//! Paper: the answer counts only where letter and content are both right. Code: the last answer block,
//! white space collapsed, equals the solution's block, case and punctuation included. The form in the code
//! is a pattern that ignores case and lets other tags stand inside the blocks.
//! `tests/train_rewards.rs` holds every edge.

use super::answer::{answer_text, leading_letter, normal, option_text};
use crate::data::Task;

/// The layout as the code's pattern has it: a thinking block, space, an answer block, and nothing else.
pub fn keeps_form(text: &str) -> bool {
    const THINK: [&str; 2] = ["<think>", "</think>"];
    const ANSWER: [&str; 2] = ["<answer>", "</answer>"];
    let text = text.trim().to_ascii_lowercase();
    let Some(inner) = text.strip_prefix(THINK[0]).and_then(|text| text.strip_suffix(ANSWER[1])) else {
        return false;
    };
    inner
        .match_indices(THINK[1])
        .any(|(place, _)| inner[place + THINK[1].len()..].trim_start().starts_with(ANSWER[0]))
}

/// Accuracy as in the code: the last closed answer block is the right one, white space aside.
pub fn is_block_right(text: &str, task: &Task) -> bool {
    let Some((before, _)) = text.rsplit_once("</answer>") else { return false };
    let Some((_, said)) = before.rsplit_once("<answer>") else { return false };
    let collapse = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let gold = collapse(&task.gold);
    !gold.is_empty() && collapse(said) == gold
}

/// Accuracy as in the paper: the right letter and the right content, both.
pub fn is_letter_and_content_right(text: &str, task: &Task) -> bool {
    let Some(gold_letter) = task.gold_letter else {
        return !task.gold.is_empty() && normal(answer_text(text)) == normal(&task.gold);
    };
    if !text.contains("<answer>") {
        return false;
    }
    leading_letter(answer_text(text)).is_some_and(|(letter, rest)| {
        letter == gold_letter && !normal(rest).is_empty() && normal(rest) == option_text(task, gold_letter)
    })
}
