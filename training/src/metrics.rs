//! What a stage says about itself while it runs: one JSON object a line in `metrics.jsonl`, with TRL's names
//! where it has one, so that existing plots read it, and the same figures as a `TensorBoard` event file.
//!
//! Every row has `step` and `kind` (`train` or `eval`); the rest are figures. Rows are only ever appended; a
//! resumed run first cuts off what a killed one wrote past its checkpoint, so that each step stands there
//! once, and a last line torn by the kill goes with it. A figure that is no number is written as `null`.
//! What else a run keeps line by line is in [`lines`]. The tests below and `tests/train_faults.rs` hold it.

pub mod lines;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::TrainError;
use crate::metrics::lines::LineFile;
use crate::tensorboard::EventFile;

/// Name of the rows' file in a stage's directory.
pub const METRICS: &str = "metrics.jsonl";

/// Figures by name, in the order in which they were first set.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Scalars(Vec<(String, f64)>);

/// What a row tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A step of training.
    Train,
    /// A look at samples that are not trained on.
    Eval,
}

/// One row of `metrics.jsonl`.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Steps done.
    pub step: u64,
    /// What it tells of.
    pub kind: Kind,
    /// Its figures.
    pub scalars: Scalars,
}

/// The open `metrics.jsonl` and event file of a stage.
#[derive(Debug)]
pub struct Recorder {
    rows: LineFile,
    events: EventFile,
}

impl Scalars {
    /// No figures yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one figure; a name that is there keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, place)) => *place = value,
            None => self.0.push((name, value)),
        }
    }

    /// [`Scalars::set`] for a chain.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.set(name, value);
        self
    }

    /// Takes over all figures of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (name, value) in other.iter() {
            self.set(name, value);
        }
    }

    /// A figure by name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Names and figures in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for Scalars {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(figures: I) -> Self {
        let mut scalars = Self::new();
        for (name, value) in figures {
            scalars.set(name, value);
        }
        scalars
    }
}

impl Row {
    fn to_json(&self) -> Value {
        let kind = match self.kind {
            Kind::Train => "train",
            Kind::Eval => "eval",
        };
        let mut map = Map::new();
        map.insert("step".into(), self.step.into());
        map.insert("kind".into(), kind.into());
        // What is no number becomes `null`: JSON has no other word for it.
        map.extend(self.scalars.iter().map(|(name, value)| (name.to_owned(), value.into())));
        Value::Object(map)
    }

    /// `None` for what is no row.
    fn from_json(line: &Value) -> Option<Self> {
        let map = line.as_object()?;
        let step = map.get("step")?.as_u64()?;
        let kind = match map.get("kind").and_then(Value::as_str) {
            Some("eval") => Kind::Eval,
            _ => Kind::Train,
        };
        let figures = map.iter().filter(|(name, _)| *name != "step" && *name != "kind");
        let scalars = figures.filter_map(|(name, value)| {
            let value = if value.is_null() { f64::NAN } else { value.as_f64()? };
            Some((name.as_str(), value))
        });
        Some(Self { step, kind, scalars: scalars.collect() })
    }
}

impl Recorder {
    /// Opens the files in `dir` for appending after dropping the rows past `step`.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path, step: u64) -> Result<Self, TrainError> {
        let rows = LineFile::open(&dir.join(METRICS), step)?;
        Ok(Self { rows, events: EventFile::open(dir, step)? })
    }

    /// Appends the figures of a training step.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push(&mut self, step: u64, scalars: &Scalars) -> Result<(), TrainError> {
        self.write(&Row { step, kind: Kind::Train, scalars: scalars.clone() })
    }

    /// Appends the figures of an evaluation.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push_evaluation(&mut self, step: u64, scalars: &Scalars) -> Result<(), TrainError> {
        self.write(&Row { step, kind: Kind::Eval, scalars: scalars.clone() })
    }

    fn write(&mut self, row: &Row) -> Result<(), TrainError> {
        self.rows.push(&row.to_json())?;
        self.events.push(row)
    }
}

/// The rows of a stage's `metrics.jsonl`, oldest first; torn lines are passed over, and a stage that wrote
/// none has none.
///
/// # Errors
/// [`TrainError::File`].
pub fn read(path: &Path) -> Result<Vec<Row>, TrainError> {
    Ok(lines::read(path)?.iter().filter_map(Row::from_json).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn figures(loss: f64) -> Scalars {
        [("loss", loss), ("completions/mean_length", 12.5)].into_iter().collect()
    }

    #[test]
    fn a_resumed_run_has_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(dir.path(), 0).unwrap();
        for step in 1..=5 {
            recorder.push(step, &figures(step as f64)).unwrap();
        }
        recorder.push_evaluation(5, &Scalars::new().with("eval_loss", 0.5)).unwrap();
        drop(recorder);
        let path = dir.path().join(METRICS);
        // A kill in the middle of a line.
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"step\":6,\"ki");
        fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap().len(), 6);
        let mut recorder = Recorder::open(dir.path(), 3).unwrap();
        recorder.push(4, &figures(-4.0)).unwrap();
        let rows = read(&path).unwrap();
        let seen: Vec<(u64, Option<f64>)> =
            rows.iter().map(|row| (row.step, row.scalars.get("loss"))).collect();
        assert_eq!(seen, [(1, Some(1.0)), (2, Some(2.0)), (3, Some(3.0)), (4, Some(-4.0))]);
    }

    #[test]
    fn what_is_no_number_is_null_and_comes_back_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::open(dir.path(), 0).unwrap();
        recorder.push_evaluation(1, &Scalars::new().with("eval_loss", f64::NAN)).unwrap();
        let path = dir.path().join(METRICS);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"step\":1,\"kind\":\"eval\",\"eval_loss\":null}\n");
        let rows = read(&path).unwrap();
        assert_eq!(rows[0].kind, Kind::Eval);
        assert!(rows[0].scalars.get("eval_loss").unwrap().is_nan());
    }
}
