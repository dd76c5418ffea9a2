//! What an answer says: the one parser of the crate, for rewards and for examinations.
//!
//! The authors of PathVLM-R1 found that their first parser credited "A" to answers that merely listed the
//! options, and threw the update away. This one therefore takes a letter only where it is named as the
//! answer (`answer: B`, `{"answer": "B"}`), where it is marked (`B) …`, `(B)`), or where it stands alone,
//! and only where no second letter does the same: a list of options is no answer. Rewards stop there.
//! An examination goes on as `VLMEvalKit` does ([`choose`]): a lone letter among the last words, known
//! phrases of refusal, the text of exactly one option. Nothing ever guesses. `tests/train_rewards.rs` holds it.

use serde_json::Value;

use crate::data::Task;

/// Letters that count where a question names no options (Patho-R1 allows A to F).
const DEFAULT_OPTIONS: usize = 6;

/// Words after which a letter is the answer, most telling first.
const FIELDS: [&[&str]; 2] = [&["answer", "final_answer"], &["option", "choice"]];

/// Words that follow a letter and no article.
const AFTER_LETTER: [&str; 8] = ["or", "and", "because", "since", "as", "is", "with", "for"];

/// Phrases of refusal that `VLMEvalKit` knows.
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];

/// A letter found in an answer, or why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Letter {
    /// Exactly this one.
    One(char),
    /// Several: an enumeration, or a contradiction.
    Several,
    /// None that is named, marked or alone.
    Missing,
}

/// What was chosen among options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// This option.
    Letter(char),
    /// The question was refused.
    Refused,
}

/// The part of a text that is its answer: the last answer block, else what follows `####`, else all of it.
pub fn answer_text(text: &str) -> &str {
    const OPEN: &str = "<answer>";
    // ASCII case folding keeps byte positions.
    let folded = text.to_ascii_lowercase();
    if let Some(start) = folded.rfind(OPEN) {
        let start = start + OPEN.len();
        let end = folded[start..].find("</answer>").map_or(text.len(), |length| start + length);
        return text[start..end].trim();
    }
    text.rsplit_once("####").map_or(text, |(_, answer)| answer).trim()
}

/// Whether `text` answers rightly: the right text, or the right letter with nothing that contradicts it.
pub fn is_right(text: &str, task: &Task) -> bool {
    let said = answer_text(text);
    let words = normal(said);
    let gold = normal(&task.gold);
    if words.is_empty() {
        return false;
    }
    if words == gold {
        return true;
    }
    let Some(gold_letter) = task.gold_letter.filter(|_| !task.options.is_empty()) else {
        return (gold == "yes" || gold == "no") && yes_or_no(said) == Some(gold == "yes");
    };
    let option = option_text(task, gold_letter);
    if words == option || words == format!("{} {option}", gold_letter.to_ascii_lowercase()) {
        return true;
    }
    if letter(said, task.options.len()) != Letter::One(gold_letter) {
        return false;
    }
    // "B. stroma" where B is glands says two things.
    leading_letter(said).is_none_or(|(_, rest)| {
        let rest = normal(rest);
        rest.is_empty() || rest == option || rest.starts_with(&format!("{option} "))
    })
}

/// Yes or no, where exactly one of the two words occurs.
pub fn yes_or_no(said: &str) -> Option<bool> {
    let words = normal(said);
    let has = |word| words.split(' ').any(|other| other == word);
    (has("yes") != has("no")).then(|| has("yes"))
}

/// The letter that an answer names, among `n_option` (0: as many as a question may have).
pub fn letter(said: &str, n_option: usize) -> Letter {
    let said = said.trim();
    let last = last_letter(n_option);
    if said.starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str::<Value>(said)
    {
        return json_letter(&value, last);
    }
    for fields in FIELDS {
        match one_of(named_letters(said, fields, last)) {
            Letter::Missing => {}
            found => return found,
        }
    }
    if let Some(alone) = alone(said, last) {
        return Letter::One(alone);
    }
    one_of(marked_letters(said, last))
}

/// The option that an answer chooses, by the whole chain of an examination; `None` counts as wrong.
pub fn choose(text: &str, options: &[String]) -> Option<Choice> {
    let said = answer_text(text);
    match letter(said, options.len()) {
        Letter::One(letter) => return Some(Choice::Letter(letter)),
        // Whoever lists options has not chosen; guessing on would bring the old fault back.
        Letter::Several => return None,
        Letter::Missing => {}
    }
    if REFUSALS.iter().any(|phrase| said.contains(phrase)) {
        return Some(Choice::Refused);
    }
    let last = last_letter(options.len());
    let words: Vec<&str> = said
        .split(|c: char| c.is_whitespace() || ".()[],:;!*#{}".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let mut places = ('A'..=last)
        .filter_map(|letter| Some((letter, words.iter().position(|word| is_letter(word, letter))?)));
    match (places.next(), places.next()) {
        // One letter, among the last four words.
        (Some((letter, place)), None) if place + 5 > words.len() => return Some(Choice::Letter(letter)),
        (None, None) if words.contains(&"Z") => return Some(Choice::Refused),
        (None, _) => {
            if let Letter::One(letter) = one_of(bold_letters(said, last)) {
                return Some(Choice::Letter(letter));
            }
        }
        _ => {}
    }
    let folded = said.to_lowercase();
    let mut named = options
        .iter()
        .zip('A'..)
        .filter(|(option, _)| !option.trim().is_empty() && folded.contains(&option.trim().to_lowercase()));
    match (named.next(), named.next()) {
        (Some((_, letter)), None) => Some(Choice::Letter(letter)),
        _ => None,
    }
}

/// Lower-case words without punctuation; signs that change a grade (`2+`, `10 %`) stay.
pub fn normal(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !(c.is_alphanumeric() || c == '+' || c == '%'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// Text of an option without its letter, as [`normal`] gives it.
pub(super) fn option_text(task: &Task, letter: char) -> String {
    let idx = (letter as usize).wrapping_sub('A' as usize);
    task.options.get(idx).map_or_else(String::new, |option| normal(option))
}

/// A letter that opens a text with its separator, and what follows: `(B) text`, `B. text`, `B: text`.
pub(super) fn leading_letter(said: &str) -> Option<(char, &str)> {
    let said = said.trim_start().trim_start_matches(['(', '[', '*', '"']);
    let letter = said.chars().next().filter(char::is_ascii_uppercase)?;
    let rest = &said[1..];
    let opens = rest.is_empty() || rest.starts_with([')', '.', ':', ']', ',', '*', '"']);
    opens.then(|| (letter, rest.trim_start_matches([')', '.', ':', ']', ',', '*', '"'])))
}

fn last_letter(n_option: usize) -> char {
    let n_option = if n_option == 0 { DEFAULT_OPTIONS } else { n_option.min(26) };
    char::from(b'A' + (n_option - 1) as u8)
}

fn is_letter(word: &str, letter: char) -> bool {
    let mut chars = word.chars();
    chars.next() == Some(letter) && chars.next().is_none()
}

fn one_of(letters: impl IntoIterator<Item = char>) -> Letter {
    letters.into_iter().fold(Letter::Missing, |found, letter| match found {
        Letter::Missing => Letter::One(letter),
        Letter::One(other) if other == letter => found,
        _ => Letter::Several,
    })
}

/// A text that is one letter and punctuation.
fn alone(said: &str, last: char) -> Option<char> {
    let mut words = said.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let word = words.next().filter(|_| words.next().is_none())?;
    ('A'..=last).find(|letter| is_letter(word, *letter))
}

fn json_letter(value: &Value, last: char) -> Letter {
    let Value::Object(fields) = value else { return Letter::Several };
    for names in FIELDS {
        let found = fields.iter().filter(|(key, _)| names.contains(&key.to_lowercase().as_str())).map(
            |(_, value)| value.as_str().map_or(Letter::Several, |said| letter(said, letter_count(last))),
        );
        let mut all = Letter::Missing;
        for one in found {
            all = match (all, one) {
                (Letter::Missing, one) => one,
                (all, one) if all == one => all,
                _ => Letter::Several,
            };
        }
        if all != Letter::Missing {
            return all;
        }
    }
    // An object without such a field is a list of options or something else that chooses nothing.
    Letter::Several
}

fn letter_count(last: char) -> usize {
    last as usize - 'A' as usize + 1
}

/// Letters that follow one of the words, with or without "is", a colon and marks between.
fn named_letters(said: &str, fields: &[&str], last: char) -> Vec<char> {
    let folded = said.to_ascii_lowercase();
    let mut letters = Vec::new();
    for field in fields {
        for (start, _) in folded.match_indices(field) {
            let before = said[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let rest = said[start + field.len()..].trim_start_matches(['"', '\'', '*', '_']);
            let opened = rest.trim_start();
            // "answers", "optional": another word.
            if opened.len() == rest.len() && !rest.starts_with([':', '=', '(', '[']) {
                continue;
            }
            let value = opened.strip_prefix("is ").unwrap_or(opened);
            let value = value.trim_start_matches([':', '=']).trim_start();
            let value = value.trim_start_matches(['(', '[', '"', '\'', '*', ' ']);
            let mut chars = value.chars();
            let Some(letter) = chars.next().filter(|letter| ('A'..=last).contains(letter)) else { continue };
            let rest = chars.as_str();
            let ends = !rest.starts_with(|c: char| c.is_alphanumeric() || c == '\'' || c == '-');
            // "The answer is A carcinoma": an article, unless the sentence goes on otherwise.
            let next = rest.strip_prefix(' ').and_then(|rest| rest.split_whitespace().next());
            let is_article = letter == 'A'
                && next.is_some_and(|word| {
                    word.starts_with(|c: char| c.is_lowercase()) && !AFTER_LETTER.contains(&word)
                });
            if ends && !is_article {
                letters.push(letter);
            }
        }
    }
    letters
}

/// Letters that are marked as options: `B)` anywhere, `B.` and `B:` where a line begins.
fn marked_letters(said: &str, last: char) -> Vec<char> {
    let mut letters = Vec::new();
    for line in said.lines() {
        let mut before = None;
        for (place, c) in line.char_indices() {
            let after = line[place + c.len_utf8()..].chars().next();
            let begins = !before.is_some_and(|before: char| before.is_alphanumeric() || before == '\'');
            let opens_line = line[..place].trim_matches(['(', '[', '*', '"', '-', ' ', '\t']).is_empty();
            let separated = match after {
                Some(')' | ']') => true,
                Some('.' | ':') => opens_line,
                // "A, B" and "A/B" are enumerations: each letter counts, so that together they are several.
                Some(',' | '/' | ';') => opens_line || !letters.is_empty(),
                _ => false,
            };
            if begins && separated && ('A'..=last).contains(&c) {
                letters.push(c);
            }
            before = Some(c);
        }
    }
    letters
}

/// Letters in "answer is **X**" and its like.
fn bold_letters(said: &str, last: char) -> Vec<char> {
    let folded = said.to_ascii_lowercase();
    folded
        .match_indices("answer is **")
        .filter_map(|(start, mark)| {
            let rest = &said[start + mark.len()..];
            let letter = rest.chars().next()?.to_ascii_uppercase();
            (rest[1..].starts_with("**") && ('A'..=last).contains(&letter)).then_some(letter)
        })
        .collect()
}
