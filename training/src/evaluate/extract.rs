//! From what was said to what was answered, by the papers' rule and by a chain that understands more.
//!
//! The papers' rule takes the last answer block and wants it to be the right text or its letter, whitespace
//! aside. The chain goes on where that fails: after `####`, and without any block the whole text, in which one
//! clear letter or one option's text is looked for, as VLMEvalKit does. Both figures stand in every table, so
//! that a model that knows but does not keep to the form is told from one that does not know.

use crate::data::Task;

use super::words::{WordScores, words};

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
    let region = region(said);
    let exact = answer_block(said).is_some_and(|block| is_exact(block, task));
    match Asked::of(task) {
        Asked::Choice => {
            let letter = letter(region, &task.options);
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

/// Where the answer is looked for: the last block, even an open one; else after the last `####`; else all.
fn region(said: &str) -> &str {
    if let Some(start) = said.rfind("<answer>") {
        let block = &said[start + "<answer>".len()..];
        return block.split("</answer>").next().unwrap_or(block).trim();
    }
    let tail = said.rsplit("####").next().unwrap_or(said);
    // Draft answers close their reasoning right behind the mark.
    let tail = tail.trim().strip_prefix("</think>").unwrap_or(tail).trim();
    if tail.is_empty() { said.trim() } else { tail }
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

/// The option that a text chooses: by its whole text, by a letter in front, by the only letter near the end, by
/// the only option that is named.
fn letter(region: &str, options: &[String]) -> Option<char> {
    let letters: Vec<char> = ('A'..='Z').take(options.len()).collect();
    let said = words(region).join(" ");
    let own = |idx: usize| words(&options[idx]).join(" ");
    if let Some(idx) = (0..letters.len()).find(|idx| !said.is_empty() && said == own(*idx)) {
        return Some(letters[idx]);
    }
    // "B", "B.", "(B) its text", "B: its text"; what follows must be nothing or the option itself.
    let text = region.trim_start_matches(['(', '[', '*', '"', ' ']);
    let mut parts = text.splitn(2, |c: char| !c.is_alphanumeric());
    if let Some(idx) = parts.next().and_then(|word| only_letter(word, &letters)) {
        let rest = words(parts.next().unwrap_or_default()).join(" ");
        if rest.is_empty() || rest == own(idx) {
            return Some(letters[idx]);
        }
    }
    letter_near_the_end(region, &letters).or_else(|| only_option_named(region, options, &letters))
}

fn only_letter(word: &str, letters: &[char]) -> Option<usize> {
    letters.iter().position(|letter| word.chars().eq([*letter]))
}

/// VLMEvalKit's first step: exactly one option letter among the words, and it is one of the last four.
fn letter_near_the_end(region: &str, letters: &[char]) -> Option<char> {
    let spaced = region.replace(['.', '(', ')', '[', ']', ',', ':', ';', '!', '*', '#', '{', '}'], " ");
    let said: Vec<&str> = spaced.split_whitespace().collect();
    let mut found = letters.iter().filter(|letter| said.iter().any(|word| word.chars().eq([**letter])));
    let letter = *found.next().filter(|_| found.next().is_none())?;
    let place = said.iter().position(|word| word.chars().eq([letter]))?;
    (place + 5 > said.len()).then_some(letter)
}

/// VLMEvalKit's second step: exactly one option's text is contained.
fn only_option_named(region: &str, options: &[String], letters: &[char]) -> Option<char> {
    let said = region.to_lowercase();
    let named = |option: &&String| !option.trim().is_empty() && said.contains(&option.trim().to_lowercase());
    let mut found = letters.iter().zip(options).filter(|(_, option)| named(option));
    let (letter, _) = found.next()?;
    found.next().is_none().then_some(*letter)
}

/// Yes or no, where exactly one of them is said.
fn yes_or_no(text: &str) -> Option<bool> {
    let said = words(text);
    let has = |word: &str| said.iter().any(|own| own == word);
    match (has("yes"), has("no")) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        _ => None,
    }
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
        check("<answer>A. glands</answer>", Some("A"), false, false);
        check("<answer>stroma</answer>", Some("A"), false, false);
        // The last block counts; an open one is read, but does not keep to the form.
        check("<answer>glands</answer><answer>stroma</answer>", Some("A"), false, false);
        check("<answer>glands", Some("B"), false, true);
        check("Rings of cells\n#### B", Some("B"), false, true);
        check("Rings\n####</think>glands", Some("B"), false, true);
        check("I think that the answer is B", Some("B"), false, true);
        check("These are glands, clearly", Some("B"), false, true);
        check("glands or stroma", None, false, false);
        check("A, B, C or D", None, false, false);
        check("", None, false, false);
        check("<answer></answer>", None, false, false);
        check(r#"<answer>{"A": "stroma", "B": "glands", "C": "a sheet"}</answer>"#, None, false, false);
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
