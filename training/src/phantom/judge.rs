//! Judges the reasoning of an answer against what was drawn: the two sheets of PathVLM-R1's process reward.
//!
//! The paper asks a large model; a drawn picture needs none. The reasoning is cut into clauses, each is searched
//! for the phantom's own findings, hallmarks and names, and what it asserts or denies is compared with the truth.
//! Integrity falls by 0.4 for each of: no image feature named, options not ruled out, no medical criterion given;
//! knowledge by 0.4 for each of: a statement that the drawing contradicts, reasoning that contradicts itself or the
//! answer, a criterion that belongs to another class. The first sheet wants two options ruled out, the second one
//! is content with one. What it cannot read it neither praises nor blames. Held true by `sheets_follow_the_reasoning`
//! in the tests of `phantom.rs`.

use serde::{Deserialize, Serialize};

use super::topic::Topic;
use super::truth::{Subfield, Truth};
use crate::data::Task;

/// What each missing element or error costs.
const COST: f64 = 0.4;

/// Which of the paper's two sheets is filled in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SheetVersion {
    /// At least two options must be ruled out.
    #[default]
    V1,
    /// One is enough.
    V2,
}

/// What was found in one answer.
#[expect(clippy::struct_excessive_bools, reason = "one for each line of the judge's sheet")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sheet {
    /// Something that is seen in the picture is named.
    pub image_features: bool,
    /// Options are ruled out.
    pub elimination: bool,
    /// A criterion is given: what proves what.
    pub medical_knowledge: bool,
    /// Something is asserted or denied that the drawing contradicts.
    pub definition_error: bool,
    /// The reasoning contradicts itself or the answer.
    pub contradiction: bool,
    /// A criterion belongs to another class.
    pub wrong_criterion: bool,
}

impl Sheet {
    /// How many elements are missing, 0 to 3.
    pub fn n_missing(&self) -> u32 {
        [self.image_features, self.elimination, self.medical_knowledge]
            .iter()
            .map(|has| u32::from(!has))
            .sum()
    }

    /// How many kinds of error there are, 0 to 3.
    pub fn n_error(&self) -> u32 {
        [self.definition_error, self.contradiction, self.wrong_criterion]
            .iter()
            .map(|has| u32::from(*has))
            .sum()
    }

    /// Integrity: 1, 0.6, 0.2 or 0.
    pub fn integrity(&self) -> f64 {
        score(self.n_missing())
    }

    /// Knowledge: 1, 0.6, 0.2 or 0.
    pub fn knowledge(&self) -> f64 {
        score(self.n_error())
    }

    /// The mean of both.
    pub fn reward(&self) -> f64 {
        f64::midpoint(self.integrity(), self.knowledge())
    }
}

fn score(n_fault: u32) -> f64 {
    // In fifths, so that 1 − 2 · 0.4 is the number that is written 0.2.
    (10.0 - 10.0 * COST * f64::from(n_fault)).max(0.0).round() / 10.0
}

/// A class of a topic.
type Named = (Topic, usize);

/// Fills in a sheet for an output about a phantom.
pub fn judge(truth: &Truth, task: &Task, output: &str, version: SheetVersion) -> Sheet {
    let output = output.to_lowercase();
    let reasoning = between(&output, "<think>", "</think>").unwrap_or(&output);
    let answer = between(&output, "<answer>", "</answer>").map(bare_answer);
    let options: Vec<String> = task.options.iter().map(|option| option.to_lowercase()).collect();
    let mut reader = Reader { truth, options: &options, sheet: Sheet::default(), ..Reader::new(truth) };
    for clause in reasoning.split(['.', '\n', ';']).map(str::trim).filter(|clause| !clause.is_empty()) {
        reader.read(clause);
    }
    let mut sheet = reader.sheet;
    let n_wanted = match version {
        SheetVersion::V1 => 2.min(options.len().saturating_sub(1)).max(1),
        SheetVersion::V2 => 1,
    };
    sheet.elimination = reader.ruled_out.len() >= n_wanted;
    if let Some(answer) = answer.filter(|answer| !answer.is_empty()) {
        let is_ruled_out = reader.ruled_out.iter().any(|name| name == answer);
        let is_other = !options.is_empty() && reader.concluded.iter().any(|name| name != answer);
        sheet.contradiction |= is_ruled_out || is_other;
    }
    sheet.contradiction |= reader.concluded.iter().any(|name| reader.ruled_out.contains(name));
    sheet.contradiction |= reader.asserted.iter().any(|phrase| reader.denied.contains(phrase));
    sheet
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let start = text.rfind(open)? + open.len();
    let rest = &text[start..];
    Some(&rest[..rest.find(close).unwrap_or(rest.len())])
}

/// The answer without its letter.
fn bare_answer(answer: &str) -> &str {
    let answer = answer.trim();
    match answer.split_once([')', '.']) {
        Some((letter, text)) if letter.len() == 1 && !text.trim().is_empty() => text.trim(),
        _ => answer,
    }
}

/// What has been read so far.
struct Reader<'a> {
    truth: &'a Truth,
    options: &'a [String],
    sheet: Sheet,
    /// Options that were ruled out, each once.
    ruled_out: Vec<String>,
    /// Names that were settled on.
    concluded: Vec<String>,
    asserted: Vec<&'static str>,
    denied: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    fn new(truth: &'a Truth) -> Self {
        Self {
            truth,
            options: &[],
            sheet: Sheet::default(),
            ruled_out: Vec::new(),
            concluded: Vec::new(),
            asserted: Vec::new(),
            denied: Vec::new(),
        }
    }

    fn read(&mut self, clause: &str) {
        if let Some(rest) = clause.strip_prefix("hallmark of ") {
            if let Some((name, criterion)) = rest.split_once(':') {
                self.criterion(name.trim(), criterion.trim());
                self.conclude(name.trim());
            }
            return;
        }
        if let Some((criterion, name)) = [" means ", " mean ", " proves ", " prove ", " defines "]
            .iter()
            .find_map(|verb| clause.split_once(verb))
        {
            self.criterion(name.trim(), criterion.trim());
            self.conclude(name.trim());
            return;
        }
        if let Some(rest) = clause.strip_prefix("not ") {
            let (name, lack) = rest.split_once(", for lack of ").unwrap_or((rest, ""));
            self.rule_out(name.trim(), lack.trim());
            return;
        }
        for opening in ["this fits ", "fits ", "best match: ", "the answer is "] {
            if let Some(name) = clause.strip_prefix(opening) {
                self.conclude(name.trim());
                return;
            }
        }
        self.statement(clause);
    }

    /// A criterion must be one of the named class.
    fn criterion(&mut self, name: &str, criterion: &str) {
        let named = self.named(name);
        if named.is_empty() {
            return;
        }
        self.sheet.medical_knowledge = true;
        let belongs = named.iter().any(|(topic, idx)| {
            let class = &topic.classes()[*idx];
            criterion.contains(&class.hallmark.to_lowercase())
                || class.findings.iter().any(|finding| criterion.contains(&finding.to_lowercase()))
        });
        self.sheet.wrong_criterion |= !belongs;
        self.assert_phrases(criterion, true);
    }

    fn rule_out(&mut self, name: &str, lack: &str) {
        let is_option = self.options.is_empty() || self.options.iter().any(|option| option == name);
        if is_option && !self.named(name).is_empty() && !self.ruled_out.iter().any(|old| old == name) {
            self.ruled_out.push(name.to_owned());
        }
        if lack.is_empty() {
            return;
        }
        let named = self.named(name);
        let belongs = named.iter().any(|(topic, idx)| topic.classes()[*idx].hallmark.to_lowercase() == lack);
        self.sheet.wrong_criterion |= !named.is_empty() && !belongs;
        self.assert_phrases(lack, false);
    }

    fn conclude(&mut self, name: &str) {
        let is_option = self.options.is_empty() || self.options.iter().any(|option| option == name);
        if is_option && !self.named(name).is_empty() {
            self.concluded.push(name.to_owned());
        }
    }

    /// A sentence about the picture.
    fn statement(&mut self, clause: &str) {
        // A whole finding may hold a "without" of its own.
        let is_finding = phrases().any(|(phrase, _)| phrase.to_lowercase() == clause);
        let denies =
            !is_finding && ["no ", "not ", "without ", "lack"].iter().any(|word| clause.contains(word));
        if self.assert_phrases(clause, !denies) && !denies {
            self.sheet.image_features = true;
        }
    }

    /// Compares every known phrase of a clause with the drawing; says whether there was one.
    fn assert_phrases(&mut self, clause: &str, is_seen: bool) -> bool {
        let mut has_any = false;
        let mut found: Vec<(&'static str, Vec<Named>)> = Vec::new();
        for (phrase, named) in phrases() {
            let lower = phrase.to_lowercase();
            if clause == lower || (phrase.split(' ').count() > 1 && clause.contains(&lower)) {
                match found.iter_mut().find(|(old, _)| *old == phrase) {
                    Some((_, all)) => all.push(named),
                    None => found.push((phrase, vec![named])),
                }
            }
        }
        // A phrase within a longer one that was found too says nothing of its own.
        let whole: Vec<&'static str> = found.iter().map(|(phrase, _)| *phrase).collect();
        for (phrase, named) in found {
            let is_part = whole.iter().any(|other| {
                other.len() > phrase.len() && other.to_lowercase().contains(&phrase.to_lowercase())
            });
            if is_part {
                continue;
            }
            has_any = true;
            let own: Vec<&Named> =
                named.iter().filter(|(topic, _)| is_of(*topic, self.truth.subfield)).collect();
            let can_tell: Vec<&&Named> = own
                .iter()
                .filter(|(topic, _)| topic.class_of(self.truth).is_some() || own.len() == 1)
                .collect();
            let is_evident = can_tell.iter().any(|(topic, idx)| topic.is_evident(*idx, self.truth));
            let is_leading = can_tell.iter().any(|(topic, idx)| topic.class_of(self.truth) == Some(*idx));
            let is_askable = can_tell.iter().any(|(topic, _)| topic.class_of(self.truth).is_some());
            if is_seen {
                self.asserted.push(phrase);
                self.sheet.definition_error |= !is_evident && (is_askable || own.is_empty());
            } else {
                self.denied.push(phrase);
                self.sheet.definition_error |= is_leading;
            }
        }
        has_any
    }

    /// Classes of that name in the picture's subfield.
    fn named(&self, name: &str) -> Vec<Named> {
        Topic::of(self.truth.subfield)
            .iter()
            .flat_map(|topic| {
                topic.classes().iter().enumerate().map(|(idx, class)| (*topic, idx, class.name))
            })
            .filter(|(_, _, own)| own.to_lowercase() == name)
            .map(|(topic, idx, _)| (topic, idx))
            .collect()
    }
}

fn is_of(topic: Topic, subfield: Subfield) -> bool {
    Topic::of(subfield).contains(&topic)
}

/// Everything that can be said to be seen, with the class that it speaks for.
fn phrases() -> impl Iterator<Item = (&'static str, Named)> {
    Topic::ALL.into_iter().flat_map(|topic| {
        topic.classes().iter().enumerate().flat_map(move |(idx, class)| {
            class
                .findings
                .iter()
                .copied()
                .chain(std::iter::once(class.hallmark))
                .map(move |phrase| (phrase, (topic, idx)))
        })
    })
}
