//! How good a shipped model is: questions about phantoms that were never trained on, asked through the
//! session as a user would ask them, scored against the drawn truth.
//!
//! The figures of the card come from here and from nowhere else. Every share carries Wilson's 95 % interval
//! and stands beside chance, a majority guess and a colour histogram. `tests/stages.rs` runs it small.

pub mod answers;
mod baseline;
pub mod session;
pub mod statistics;
pub mod table;
pub mod words;

use std::collections::BTreeMap;

use eosin_core::RgbTile;
use serde::Serialize;

use crate::error::TrainError;
use baseline::Baselines;
pub use statistics::Share;

/// What form an answer has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A letter of several options.
    MultipleChoice,
    /// Yes or no.
    YesNo,
    /// Words.
    Open,
}

/// A question about a picture, with what is right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// What is asked about.
    pub topic: String,
    /// What form the answer has.
    pub form: Form,
    /// The question as the model reads it.
    pub prompt: String,
    /// The options in order, without letters; empty where there are none.
    pub options: Vec<String>,
    /// What is right: the option's text, yes or no, or words.
    pub answer: String,
}

impl Item {
    /// Share of right answers by guessing.
    fn chance(&self) -> f64 {
        match self.form {
            Form::MultipleChoice => 1.0 / self.options.len().max(1) as f64,
            Form::YesNo => 0.5,
            Form::Open => 0.0,
        }
    }

    /// Whether `text` answers rightly: of the last answer block the option's letter counts, or its text, or
    /// both together (SPEC 6.8, steps 1 and 4).
    pub fn is_right(&self, text: &str) -> bool {
        let said = answer_block(text);
        let gold = normal(&self.answer);
        if normal(said) == gold {
            return true;
        }
        let right = self.options.iter().zip('A'..).find(|(option, _)| **option == self.answer);
        right.is_some_and(|(_, letter)| {
            let mut words = said.splitn(2, |c: char| !c.is_alphanumeric());
            let starts = words.next().is_some_and(|word| word.chars().eq([letter]));
            starts && words.next().is_none_or(|rest| normal(rest).is_empty() || normal(rest) == gold)
        })
    }
}

/// What stands in the last answer block, or everything where there is none (SPEC 6.8, step 1).
pub fn answer_block(text: &str) -> &str {
    let Some(start) = text.rfind("<answer>") else { return text.trim() };
    let block = &text[start + "<answer>".len()..];
    block.split("</answer>").next().unwrap_or(block).trim()
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

fn normal(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// What a model said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// All of it, tags included.
    pub text: String,
    /// Tokens of it.
    pub n_token: usize,
}

/// A held-out picture with its questions.
#[derive(Clone, Debug)]
pub struct Case {
    /// Seed of the phantom.
    pub seed: u64,
    /// The picture.
    pub tile: RgbTile,
    /// The questions.
    pub items: Vec<Item>,
}

/// Scores of one group of questions.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Scores {
    /// Right answers of the model.
    pub model: Share,
    /// Share of right answers by guessing.
    pub chance: f64,
    /// Share of right answers of the most frequent answer.
    pub majority: f64,
    /// Share of right answers of the picture with the nearest colours.
    pub colour_histogram: f64,
}

/// The whole result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The model's name.
    pub model: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// The command that gave this report.
    pub command: String,
    /// Split of the phantoms.
    pub split: String,
    /// Index of the first phantom within the split.
    pub first: u64,
    /// Phantoms.
    pub n_phantom: usize,
    /// Training phantoms that the baselines learned from.
    pub n_baseline_phantom: usize,
    /// Decoding: always greedy, no repetition penalty.
    pub decoding: String,
    /// All questions.
    pub overall: Scores,
    /// By form: the four-option questions stand under `multiple-choice`.
    pub by_form: BTreeMap<String, Scores>,
    /// By form and topic, as `multiple-choice/stain`.
    pub by_topic: BTreeMap<String, Scores>,
    /// Share of the answers that keep to the `<think>…</think><answer>…</answer>` contract.
    pub form: Share,
    /// Mean tokens of an answer.
    pub mean_output_tokens: f64,
    /// What the model is.
    pub notice: &'static str,
}

/// One question with its outcomes.
struct Outcome {
    form: Form,
    topic: String,
    right: bool,
    chance: f64,
    majority: bool,
    colours: f64,
}

/// What a report says of itself, before any question is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// The model's name.
    pub model: String,
    /// SHA-256 of its weights.
    pub weights_sha256: String,
    /// The command line.
    pub command: String,
    /// Split of the phantoms.
    pub split: String,
    /// Index of the first phantom within the split.
    pub first: u64,
}

/// Asks every question of every case and scores the answers.
///
/// # Errors
/// What `ask` returns.
pub fn evaluate(
    subject: Subject,
    cases: impl Iterator<Item = Case>,
    training: impl Iterator<Item = Case>,
    mut ask: impl FnMut(&Case, &Item) -> Result<Said, TrainError>,
) -> Result<Report, TrainError> {
    let mut baselines = Baselines::default();
    let mut n_baseline_phantom = 0;
    for case in training {
        baselines.learn(&case.tile, &case.items);
        n_baseline_phantom += 1;
    }
    let (mut outcomes, mut n_form, mut n_token, mut n_phantom) = (Vec::new(), 0, 0, 0);
    for case in cases {
        n_phantom += 1;
        for item in &case.items {
            let said = ask(&case, item)?;
            n_form += usize::from(keeps_form(&said.text));
            n_token += said.n_token;
            outcomes.push(Outcome {
                form: item.form,
                topic: item.topic.clone(),
                right: item.is_right(&said.text),
                chance: item.chance(),
                majority: baselines.majority_is_right(item),
                colours: baselines.colours_score(&case.tile, item),
            });
        }
    }
    let group = |key: &dyn Fn(&Outcome) -> String| {
        let mut groups: BTreeMap<String, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &outcomes {
            groups.entry(key(outcome)).or_default().push(outcome);
        }
        groups.into_iter().map(|(name, group)| (name, scores(&group))).collect::<BTreeMap<_, _>>()
    };
    Ok(Report {
        model: subject.model,
        weights_sha256: subject.weights_sha256,
        command: subject.command,
        split: subject.split,
        first: subject.first,
        n_phantom,
        n_baseline_phantom,
        decoding: "greedy, no repetition penalty".into(),
        overall: scores(&outcomes.iter().collect::<Vec<_>>()),
        by_form: group(&|outcome| name(outcome.form).to_owned()),
        by_topic: group(&|outcome| format!("{}/{}", name(outcome.form), outcome.topic)),
        form: Share::new(n_form, outcomes.len()),
        mean_output_tokens: n_token as f64 / outcomes.len().max(1) as f64,
        notice: crate::export::NOTICE,
    })
}

fn name(form: Form) -> &'static str {
    match form {
        Form::MultipleChoice => "multiple-choice",
        Form::YesNo => "yes-no",
        Form::Open => "open",
    }
}

fn scores(outcomes: &[&Outcome]) -> Scores {
    let mean = |value: &dyn Fn(&Outcome) -> f64| {
        outcomes.iter().map(|outcome| value(outcome)).sum::<f64>() / outcomes.len().max(1) as f64
    };
    Scores {
        model: Share::of(outcomes.iter().map(|outcome| outcome.right)),
        chance: mean(&|outcome| outcome.chance),
        majority: mean(&|outcome| f64::from(u8::from(outcome.majority))),
        colour_histogram: mean(&|outcome| outcome.colours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(form: Form, answer: &str) -> Item {
        let options = ["stroma", "glands", "a sheet", "necrosis"].map(str::to_owned).to_vec();
        let options = if form == Form::MultipleChoice { options } else { Vec::new() };
        let letters = ["A", "B", "C", "D"];
        let answer = options
            .iter()
            .zip(letters)
            .find(|(_, letter)| *letter == answer)
            .map_or(answer, |(option, _)| option)
            .to_owned();
        Item { topic: "pattern".into(), form, prompt: String::new(), options: options.clone(), answer }
    }

    #[test]
    fn answers_are_read_from_their_block() {
        let check = |form, answer, text: &str, expected| {
            assert_eq!(item(form, answer).is_right(text), expected, "{text}");
        };
        let choice = Form::MultipleChoice;
        check(choice, "B", "<think>x</think><answer>B</answer>", true);
        check(choice, "B", "<think>A?</think><answer> B. glands </answer>", true);
        check(choice, "B", "<answer>A</answer><answer>glands</answer>", true);
        check(choice, "B", "<think>B</think><answer>A</answer>", false);
        check(choice, "B", "<think>B</think>", false);
        check(choice, "B", "", false);
        check(choice, "B", "<answer>B. stroma</answer>", false);
        check(choice, "B", "<answer>Best is B</answer>", false);
        check(Form::YesNo, "yes", "<answer>Yes.</answer>", true);
        check(Form::YesNo, "no", "<answer>not sure</answer>", false);
        check(Form::Open, "plasma cells", "<answer>Plasma  cells</answer>", true);
    }

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

    #[test]
    fn baselines_stand_beside_the_model() {
        let tile = |value: u8| RgbTile::new([2, 2], vec![value; 12]).unwrap();
        let case = |value, answer: &str| Case {
            seed: u64::from(value),
            tile: tile(value),
            items: vec![item(Form::MultipleChoice, answer)],
        };
        let subject = Subject {
            model: "m".into(),
            weights_sha256: String::new(),
            command: String::new(),
            split: "test".into(),
            first: 0,
        };
        let training = [case(10, "A"), case(12, "A"), case(200, "B")];
        let cases = [case(11, "A"), case(201, "B"), case(202, "B"), case(203, "C")];
        let say =
            |_: &Case, _: &Item| Ok(Said { text: "<think>t</think><answer>B</answer>".into(), n_token: 5 });
        let report = evaluate(subject, cases.into_iter(), training.into_iter(), say).unwrap();
        let scores = &report.by_topic["multiple-choice/pattern"];
        assert_eq!((scores.model.n_right, scores.model.n), (2, 4));
        assert!((scores.chance - 0.25).abs() < 1e-9);
        assert!((scores.majority - 0.25).abs() < 1e-9);
        assert!((scores.colour_histogram - 0.75).abs() < 1e-9);
        assert!((report.mean_output_tokens - 5.0).abs() < 1e-9);
        assert_eq!(report.form.n_right, 4);
    }
}
