//! From what was said to what was answered, by the papers' rule and by a chain that understands more.
//!
//! The papers' rule takes the last answer block and wants it to be the right text or its letter, whitespace
//! aside. The chain goes on where that fails, and is the one that rewards use (`reward/answer.rs`): after `####`,
//! and without any block in the whole text, one clear letter or one option's text is looked for. Both figures
//! stand in every table, so that a model that knows but does not keep to the form is told from one that does
//! not know.

use super::words::{WordScores, words};
use crate::data::Task;
use crate::reward::answer::{Choice, answer_text, choose, normal, yes_or_no};

/// What form an answer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// One of several options.
    Choice,
    /// Yes or no.
    YesNo,
    /// Words.
    Open,
}

impl Asked {
    /// What a task asks for.
    pub fn of(task: &Task) -> Self {
        if !task.options.is_empty() {
            Self::Choice
        } else if yes_or_no(&task.gold).is_some() && words(&task.gold).len() == 1 {
            Self::YesNo
        } else {
            Self::Open
        }
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::YesNo => "yes-no",
            Self::Open => "open",
        }
    }
}

/// An answer, understood.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Understood {
    /// The letter, `Yes` or `No`, or the words; none where nothing could be understood.
    pub chosen: Option<String>,
    /// Right by the papers' rule.
    pub exact: bool,
    /// Right by the chain.
    pub lenient: bool,
    /// Word overlap, where words were asked for.
    pub words: Option<WordScores>,
}

/// Understands what was said to a task.
pub fn understand(said: &str, task: &Task) -> Understood {
    let region = answer_text(said);
    let exact = answer_block(said).is_some_and(|block| is_exact(block, task));
    match Asked::of(task) {
        Asked::Choice => {
            let letter = letter(said, region, &task.options);
            let lenient = exact || (letter.is_some() && letter == right_letter(task));
            Understood { chosen: letter.map(String::from), exact, lenient, words: None }
        }
        Asked::YesNo => {
            let chosen = yes_or_no(region);
            let lenient = exact || (chosen.is_some() && chosen == yes_or_no(&task.gold));
            let chosen = chosen.map(|yes| if yes { "Yes" } else { "No" }.to_owned());
            Understood { chosen, exact, lenient, words: None }
        }
        Asked::Open => {
            let scores = WordScores::of(region, &task.gold);
            let chosen = (!region.is_empty()).then(|| region.to_owned());
            Understood { chosen, exact, lenient: exact || scores.exact_match > 0.5, words: Some(scores) }
        }
    }
}

/// The letter of the right option.
pub fn right_letter(task: &Task) -> Option<char> {
    let by_text = || {
        let place = task.options.iter().position(|option| tidy(option) == tidy(&task.gold))?;
        ('A'..='Z').nth(place)
    };
    task.gold_letter.or_else(by_text)
}

/// What stands in the last answer block that was closed; none where there is none.
pub fn answer_block(said: &str) -> Option<&str> {
    let end = said.rfind("</answer>")?;
    let start = said[..end].rfind("<answer>")? + "<answer>".len();
    Some(said[start..end].trim())
}

/// The right text or its letter and nothing else, runs of whitespace taken as one.
fn is_exact(block: &str, task: &Task) -> bool {
    let block = tidy(block);
    let mut letters = block.chars();
    let only = letters.next().filter(|_| letters.next().is_none());
    block == tidy(&task.gold)
        || (!task.options.is_empty() && only.is_some() && only == right_letter(task))
        || right_letter(task)
            .and_then(|letter| task.options.get((letter as usize).checked_sub('A' as usize)?))
            .is_some_and(|option| block == tidy(option))
}

fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The option that a text chooses: by its whole text, else by the chain; a letter whose text is that of
/// another option says two things and chooses nothing.
fn letter(said: &str, region: &str, options: &[String]) -> Option<char> {
    let text = normal(region);
    let own: Vec<String> = options.iter().map(|option| normal(option)).collect();
    let at = |idx: usize| ('A'..='Z').nth(idx);
    if let Some(idx) = own.iter().position(|own| !text.is_empty() && text == *own) {
        return at(idx);
    }
    let Some(Choice::Letter(letter)) = choose(said, options) else { return None };
    let contradicts = |(idx, own): (usize, &String)| {
        at(idx) != Some(letter) && text == format!("{} {own}", letter.to_ascii_lowercase())
    };
    (!own.iter().enumerate().any(contradicts)).then_some(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(gold: &str) -> Task {
        let options = ["stroma", "glands", "a sheet", "necrosis"].map(str::to_owned).to_vec();
        Task { gold: gold.into(), options, ..Task::default() }
    }

    #[test]
    fn choices_are_understood() {
        let check = |said: &str, chosen: Option<&str>, exact, lenient| {
            let found = understand(said, &task("glands"));
            assert_eq!(
                (found.chosen.as_deref(), found.exact, found.lenient),
                (chosen, exact, lenient),
                "{said}"
            );
        };
        check("<think>x</think><answer>glands</answer>", Some("B"), true, true);
        check("<think>x</think><answer> B </answer>", Some("B"), true, true);
        check("<answer>B.</answer>", Some("B"), false, true);
        check("<answer>Glands</answer>", Some("B"), false, true);
        check("<answer>B. glands</answer>", Some("B"), false, true);
        check("<answer>(B) glands</answer>", Some("B"), false, true);
        check("<answer>A. glands</answer>", None, false, false);
        check("<answer>stroma</answer>", Some("A"), false, false);
        // The last block counts; an open one is read, but does not keep to the form.
        check("<answer>glands</answer><answer>stroma</answer>", Some("A"), false, false);
        check("<answer>glands", Some("B"), false, true);
        check("Rings of cells\n#### B", Some("B"), false, true);
        check("I think that the answer is B", Some("B"), false, true);
        check("These are glands, clearly", Some("B"), false, true);
        check("glands or stroma", None, false, false);
        check("A, B, C or D", None, false, false);
        check("", None, false, false);
        check("<answer></answer>", None, false, false);
        check(r#"<answer>{"A": "stroma", "B": "glands", "C": "a sheet"}</answer>"#, None, false, false);
        check("A) stroma B) glands C) a sheet D) necrosis", None, false, false);
        check("<answer>A) stroma</answer> or rather <answer>B) glands</answer>", Some("B"), false, true);
    }

    #[test]
    fn golds_may_be_letters_or_lettered() {
        let with = |gold: &str, letter, said: &str| {
            let task = Task { gold_letter: letter, ..task(gold) };
            let found = understand(&format!("<answer>{said}</answer>"), &task);
            (found.exact, found.lenient)
        };
        assert_eq!(with("B) glands", Some('B'), "B) glands"), (true, true));
        assert_eq!(with("B) glands", Some('B'), "glands"), (true, true));
        assert_eq!(with("B) glands", Some('B'), "B"), (true, true));
        assert_eq!(with("B", Some('B'), "C"), (false, false));
    }

    #[test]
    fn yes_and_no_exclude_each_other() {
        let check = |said: &str, gold: &str, exact, lenient| {
            let task = Task { gold: gold.into(), ..Task::default() };
            assert_eq!(Asked::of(&task), Asked::YesNo);
            let found = understand(said, &task);
            assert_eq!((found.exact, found.lenient), (exact, lenient), "{said}");
        };
        check("<answer>Yes</answer>", "Yes", true, true);
        check("<answer>yes, it is.</answer>", "Yes", false, true);
        check("<answer>No</answer>", "Yes", false, false);
        check("<answer>Yes and no</answer>", "Yes", false, false);
        check("Not sure", "No", false, false);
    }

    #[test]
    fn open_answers_have_words() {
        let task = Task { gold: "plasma cells".into(), ..Task::default() };
        assert_eq!(Asked::of(&task), Asked::Open);
        let found = understand("<answer>many plasma cells</answer>", &task);
        assert!(!found.exact && !found.lenient && (found.words.unwrap().recall - 1.0).abs() < 1e-12);
        assert!(understand("Plasma  cells.", &task).lenient);
    }
}
