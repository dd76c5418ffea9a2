//! The figures of a bundle's card: questions about phantoms that were never trained on, asked through the
//! session as a user would ask them.

use std::collections::BTreeMap;

use eosin_core::RgbTile;
use serde::Serialize;

use super::baseline::histogram;
use super::statistics::Share;
use super::words::words;
use super::{Said, keeps_form};
use crate::error::TrainError;

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
    /// both together.
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

/// What stands in the last answer block, or everything where there is none.
fn answer_block(text: &str) -> &str {
    let Some(start) = text.rfind("<answer>") else { return text.trim() };
    let block = &text[start + "<answer>".len()..];
    block.split("</answer>").next().unwrap_or(block).trim()
}

fn normal(text: &str) -> String {
    words(text).join(" ")
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

/// What training phantoms teach without looking at shapes.
#[derive(Debug, Default)]
struct Baselines {
    /// Topic → answer → how often right.
    answers: BTreeMap<String, BTreeMap<String, usize>>,
    /// Colours of each training phantom and its answers by topic.
    pictures: Vec<(Vec<f32>, BTreeMap<String, String>)>,
}

impl Baselines {
    /// Learns one training phantom.
    fn learn(&mut self, tile: &RgbTile, items: &[Item]) {
        let mut own = BTreeMap::new();
        for item in items {
            let answer = &item.answer;
            *self.answers.entry(item.topic.clone()).or_default().entry(answer.clone()).or_default() += 1;
            own.insert(item.topic.clone(), answer.clone());
        }
        self.pictures.push((histogram(tile), own));
    }

    /// Whether the most frequent answer of the topic, among the options, is right.
    fn majority_is_right(&self, item: &Item) -> bool {
        let Some(counts) = self.answers.get(&item.topic) else { return false };
        let count = |answer: &str| counts.get(answer).copied().unwrap_or(0);
        let candidates: Vec<&str> = if item.options.is_empty() {
            counts.keys().map(String::as_str).collect()
        } else {
            item.options.iter().map(String::as_str).collect()
        };
        // The first of equals, so that the figure does not depend on luck.
        let best = candidates.iter().rev().max_by_key(|answer| count(answer));
        best.is_some_and(|best| *best == item.answer)
    }

    /// Share of a right answer that copying from the nearest picture's colours earns: 1 or 0, or chance where
    /// that picture's answer is none of the options.
    fn colours_score(&self, tile: &RgbTile, item: &Item) -> f64 {
        let own = histogram(tile);
        let distance = |other: &Vec<f32>| own.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let nearest = self
            .pictures
            .iter()
            .filter_map(|(colours, answers)| Some((distance(colours), answers.get(&item.topic)?)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, answer)) if item.options.is_empty() || item.options.contains(answer) => {
                f64::from(u8::from(*answer == item.answer))
            }
            _ => item.chance(),
        }
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
