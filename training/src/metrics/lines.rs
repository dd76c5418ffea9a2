//! Files of one JSON object a line that a run appends to: metrics, completions, samples left out.
//!
//! Lines are written whole, in one call, so that only a last line can be torn; reading passes over it. Lines
//! that belong to a step are cut at the checkpoint when a run goes on, because it writes them again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Skip, Tally};
use crate::error::TrainError;
use crate::metrics::Scalars;

/// Name of the completions' file in a stage's directory.
pub const COMPLETIONS: &str = "completions.jsonl";
/// Name of the file of samples left out.
pub const SKIPPED: &str = "skipped.jsonl";

/// An open file of lines that each have a `step`.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
}

/// What a model wrote in a rollout, and what it earned.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Completion {
    /// The step that it served.
    pub step: u64,
    /// The sample.
    pub id: String,
    /// The last question as the model read it, without template and picture.
    pub prompt: String,
    /// What the model wrote.
    pub completion: String,
    /// The right answer.
    pub gold: String,
    /// Points by reward, and `reward` for their weighted sum.
    pub rewards: Points,
    /// What the update made of it.
    pub advantage: f64,
    /// Length in tokens.
    pub n_token: usize,
    /// Whether the limit of length ended it.
    pub clipped: bool,
}

/// Points by name.
pub type Points = std::collections::BTreeMap<String, f64>;

/// The open `completions.jsonl` of a stage.
#[derive(Debug)]
pub struct CompletionLog(LineFile);

/// The open `skipped.jsonl` of a stage: every sample stands there once, however often it was met.
#[derive(Debug)]
pub struct SkipLog {
    path: PathBuf,
    file: File,
    known: BTreeSet<String>,
}

impl LineFile {
    /// Opens the file for appending after dropping the lines past `step` and what is no line.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        keep(path, |line| line.get("step").and_then(Value::as_u64).is_some_and(|known| known <= step))?;
        Ok(Self { file: append(path)?, path: path.to_owned() })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push(&mut self, line: &impl Serialize) -> Result<(), TrainError> {
        write_line(&mut self.file, &self.path, line)
    }
}

impl CompletionLog {
    /// Opens the log in `dir` after dropping what came after `step`.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path, step: u64) -> Result<Self, TrainError> {
        LineFile::open(&dir.join(COMPLETIONS), step).map(Self)
    }

    /// Appends one completion.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push(&mut self, completion: &Completion) -> Result<(), TrainError> {
        self.0.push(completion)
    }

    /// Mean and spread of a batch's points as TRL names them: `rewards/<name>/mean` and `rewards/<name>/std`.
    /// The spread is the sample's (divided by n - 1), as `torch.std` has it.
    pub fn summary(completions: &[Completion]) -> Scalars {
        let mut scalars = Scalars::new();
        let names: BTreeSet<&String> = completions.iter().flat_map(|one| one.rewards.keys()).collect();
        for name in names {
            let points: Vec<f64> =
                completions.iter().filter_map(|one| one.rewards.get(name)).copied().collect();
            let mean = points.iter().sum::<f64>() / points.len() as f64;
            let square: f64 = points.iter().map(|point| (point - mean).powi(2)).sum();
            scalars.set(format!("rewards/{name}/mean"), mean);
            scalars.set(format!("rewards/{name}/std"), (square / (points.len().max(2) - 1) as f64).sqrt());
        }
        scalars
    }
}

impl SkipLog {
    /// Opens the log in `dir`; what it holds already is not written again.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        let path = dir.join(SKIPPED);
        keep(&path, |line| line.get("id").is_some())?;
        let known = read_skipped(&path)?.into_iter().map(|skip| skip.id).collect();
        Ok(Self { file: append(&path)?, path, known })
    }

    /// Lists one sample; gives whether it is new.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push(&mut self, skip: &Skip) -> Result<bool, TrainError> {
        if !self.known.insert(skip.id.clone()) {
            return Ok(false);
        }
        // Step 0: it stays, whichever step a resumed run goes on from.
        let line = serde_json::json!({ "step": 0, "id": skip.id, "reason": skip.reason });
        write_line(&mut self.file, &self.path, &line).map(|()| true)
    }

    /// Lists all samples of a tally.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push_all(&mut self, tally: &Tally) -> Result<(), TrainError> {
        for skip in &tally.skips {
            self.push(skip)?;
        }
        Ok(())
    }

    /// Samples listed so far.
    pub fn n_skip(&self) -> usize {
        self.known.len()
    }
}

/// The lines of a file that are JSON; none where there is no file.
///
/// # Errors
/// [`TrainError::File`].
pub fn read(path: &Path) -> Result<Vec<Value>, TrainError> {
    let Some(bytes) = bytes(path)? else { return Ok(Vec::new()) };
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// The completions of a stage, oldest first.
///
/// # Errors
/// [`TrainError::File`].
pub fn read_completions(path: &Path) -> Result<Vec<Completion>, TrainError> {
    Ok(read(path)?.into_iter().filter_map(|line| serde_json::from_value(line).ok()).collect())
}

/// The samples that a stage left out.
///
/// # Errors
/// [`TrainError::File`].
pub fn read_skipped(path: &Path) -> Result<Vec<Skip>, TrainError> {
    Ok(read(path)?.into_iter().filter_map(|line| serde_json::from_value(line).ok()).collect())
}

fn bytes(path: &Path) -> Result<Option<Vec<u8>>, TrainError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(TrainError::file("read", path)(error)),
    }
}

/// Rewrites a file without the lines that are not wanted or are torn; nothing is written where all stay.
fn keep(path: &Path, wanted: impl Fn(&Value) -> bool) -> Result<(), TrainError> {
    let Some(bytes) = bytes(path)? else { return Ok(()) };
    let mut kept = Vec::with_capacity(bytes.len());
    // A line without its end was torn, even where what is left of it happens to be JSON.
    for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        if serde_json::from_slice(line).is_ok_and(|line| wanted(&line)) {
            kept.extend_from_slice(line);
        }
    }
    if kept.len() == bytes.len() {
        return Ok(());
    }
    let partial = path.with_extension("jsonl.partial");
    fs::write(&partial, kept).map_err(TrainError::file("write", &partial))?;
    fs::rename(&partial, path).map_err(TrainError::file("write", path))
}

fn append(path: &Path) -> Result<File, TrainError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(TrainError::file("open", path))
}

fn write_line(file: &mut File, path: &Path, line: &impl Serialize) -> Result<(), TrainError> {
    let mut text = serde_json::to_string(line).map_err(TrainError::engine("cannot encode a line"))?;
    text.push('\n');
    file.write_all(text.as_bytes()).map_err(TrainError::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_left_out_is_listed_once_even_by_a_resumed_run() {
        let dir = tempfile::tempdir().unwrap();
        let skip = |id: &str| Skip { id: id.into(), reason: "no picture".into() };
        let mut log = SkipLog::open(dir.path()).unwrap();
        assert!(log.push(&skip("a")).unwrap());
        assert!(!log.push(&skip("a")).unwrap());
        let path = dir.path().join(SKIPPED);
        let mut text = fs::read_to_string(&path).unwrap();
        text.push_str("{\"id\":\"b\",\"reason\":\"\"}");
        fs::write(&path, text).unwrap();
        let mut log = SkipLog::open(dir.path()).unwrap();
        assert_eq!(log.n_skip(), 1, "the torn line is gone");
        log.push_all(&Tally { skips: vec![skip("a"), skip("b")] }).unwrap();
        assert_eq!(read_skipped(&path).unwrap(), [skip("a"), skip("b")]);
    }

    #[test]
    fn completions_come_back_and_are_summed_up() {
        let dir = tempfile::tempdir().unwrap();
        let completion = |step, reward| Completion {
            step,
            id: "p1".into(),
            prompt: "Which?".into(),
            completion: "<answer>A</answer>".into(),
            gold: "A".into(),
            rewards: Points::from([("accuracy".to_owned(), reward)]),
            advantage: 0.5,
            n_token: 3,
            clipped: false,
        };
        let (first, second) = (completion(1, 0.0), completion(2, 2.0));
        let mut log = CompletionLog::open(dir.path(), 0).unwrap();
        log.push(&first).unwrap();
        log.push(&second).unwrap();
        let path = dir.path().join(COMPLETIONS);
        assert_eq!(read_completions(&path).unwrap(), [first.clone(), second.clone()]);
        let summary = CompletionLog::summary(&[first.clone(), second]);
        assert_eq!(summary.get("rewards/accuracy/mean"), Some(1.0));
        assert_eq!(summary.get("rewards/accuracy/std"), Some(2f64.sqrt()));
        drop(CompletionLog::open(dir.path(), 1).unwrap());
        assert_eq!(read_completions(&path).unwrap(), [first]);
    }
}
