//! Where an evaluation lies on disk: answers, settings and scores in one folder; tables beside them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::answers::{self, Answer};
use super::exam::{Outcome, Settings};
use super::table::{Table, Variant};
use crate::error::TrainError;

/// One row a question; the cache that `--reuse` takes up.
pub const ANSWERS: &str = "answers.jsonl";
/// Settings and scores.
pub const SCORES: &str = "scores.json";
/// The table of several subjects, and the figures that a bundle keeps.
pub const EVALUATION: &str = "evaluation.json";
/// What was not asked, and why.
pub const SKIPPED: &str = "skipped.jsonl";

/// Settings and scores of one subject, as they lie in `scores.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Evaluation {
    /// Everything that decides the figures.
    pub settings: Settings,
    /// Questions that could not be asked, by subset: pictures that are missing, rows that cannot be read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub n_missing: BTreeMap<String, usize>,
    /// The scores.
    pub scores: Variant,
}

impl Evaluation {
    /// The scores of an outcome.
    pub fn of(name: &str, outcome: &Outcome) -> Self {
        Self {
            settings: outcome.settings.clone(),
            n_missing: outcome.n_missing.clone(),
            scores: Variant::of(name, &outcome.answers),
        }
    }

    /// Reads the folder of an evaluation: its scores and its answers.
    ///
    /// # Errors
    /// [`TrainError::File`] where a file is missing, [`TrainError::Engine`] where it is none of ours.
    pub fn read(dir: &Path) -> Result<(Self, Vec<Answer>), TrainError> {
        let path = dir.join(SCORES);
        let text = fs::read_to_string(&path).map_err(TrainError::file("read the evaluation", &path))?;
        let own = serde_json::from_str(&text)
            .map_err(TrainError::engine("a file is not an evaluation of this program"))?;
        Ok((own, answers::read(&dir.join(ANSWERS))?))
    }

    /// Writes an outcome into a folder, which is created.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn write(&self, dir: &Path, outcome: &Outcome) -> Result<(), TrainError> {
        fs::create_dir_all(dir).map_err(TrainError::file("create the folder", dir))?;
        answers::write(&dir.join(ANSWERS), &outcome.answers)?;
        let mut skipped = String::new();
        for skip in &outcome.tally.skips {
            let row = serde_json::to_string(skip).map_err(TrainError::engine("cannot encode a row"))?;
            skipped.push_str(&row);
            skipped.push('\n');
        }
        put(&dir.join(SKIPPED), &skipped)?;
        // Last: where it lies, the rest is whole.
        put(&dir.join(SCORES), &pretty(self)?)
    }
}

impl Table {
    /// Writes `table.md`, `evaluation.json` and `table.csv` into a folder, which is created.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn write(&self, dir: &Path) -> Result<(), TrainError> {
        fs::create_dir_all(dir).map_err(TrainError::file("create the folder", dir))?;
        put(&dir.join("table.md"), &self.to_markdown())?;
        put(&dir.join("table.csv"), &self.to_csv())?;
        put(&dir.join(EVALUATION), &pretty(self)?)
    }
}

fn pretty<T: Serialize>(value: &T) -> Result<String, TrainError> {
    let mut text =
        serde_json::to_string_pretty(value).map_err(TrainError::engine("cannot encode figures"))?;
    text.push('\n');
    Ok(text)
}

fn put(path: &Path, text: &str) -> Result<(), TrainError> {
    fs::write(path, text).map_err(TrainError::file("write the file", path))
}
