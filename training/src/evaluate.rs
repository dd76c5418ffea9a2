//! How good a model is: questions with known answers, asked of a model in memory or of a shipped bundle, scored
//! by the papers' rule and by a chain that understands more, with intervals and paired tests.
//!
//! `Exam → Subject → Answer… → Table` is the road. Every share stands beside chance, a majority guess and a colour
//! histogram; everything that decides a figure is stored with it. `tests/train_evaluate.rs` holds the figures.

pub mod answers;
mod baseline;
pub mod exam;
pub mod extract;
pub mod figures;
mod files;
pub mod model;
pub mod session;
pub mod stages;
pub mod statistics;
pub mod store;
pub mod table;
pub mod words;

pub use statistics::Share;

/// What a model said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// All of it, tags included.
    pub text: String,
    /// Tokens of it.
    pub n_token: usize,
}

/// Whether a text keeps to the contract: one reasoning block, then one answer block, nothing outside.
pub fn keeps_form(text: &str) -> bool {
    let once = |tag: &str| text.matches(tag).count() == 1;
    let text = text.trim();
    ["<think>", "</think>", "<answer>", "</answer>"].into_iter().all(once)
        && text.starts_with("<think>")
        && text.ends_with("</answer>")
        && text.split_once("</think>").is_some_and(|(_, rest)| rest.trim_start().starts_with("<answer>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_two_blocks_and_nothing_else() {
        let check = |text: &str, expected| assert_eq!(keeps_form(text), expected, "{text}");
        check("<think>a</think><answer>b</answer>", true);
        check("<think>a</think>\n<answer>b</answer>\n", true);
        check("<think>a</think>so<answer>b</answer>", false);
        check("<answer>b</answer><think>a</think>", false);
        check("<think>a</think><answer>b", false);
        check("<think>a<think></think><answer>b</answer>", false);
    }
}
