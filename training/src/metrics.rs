//! What a run says about itself: one JSON object a line in `metrics.jsonl`, with TRL's names where it has
//! one, so that existing plots read it. Lines are only ever appended; a resumed run first cuts off what a
//! killed one wrote past its last checkpoint, so that each step stands there once.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;

use crate::error::TrainError;

/// One training step.
#[derive(Clone, Debug, Serialize)]
pub struct StepMetrics {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean loss of a token that counts, in nats.
    pub loss: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Length of the gradient before clipping.
    pub grad_norm: f64,
    /// Share of the loss's tokens that were predicted right.
    pub mean_token_accuracy: f64,
    /// Tokens read so far, pictures and padding left out.
    pub num_tokens: u64,
    /// Tokens a second in this step.
    pub tokens_per_second: f64,
    /// Pictures a second in this step.
    pub images_per_second: f64,
    /// Share of the run that is over.
    pub progress: f64,
    /// Training time so far.
    pub elapsed_secs: f64,
    /// Seconds that the step waited for pictures.
    pub wait_secs: f64,
}

/// One look at the validation pictures.
#[derive(Clone, Debug, Serialize)]
pub struct ValidationMetrics {
    /// Steps done.
    pub step: u64,
    /// Mean loss of a token that counts, in nats.
    pub eval_loss: f64,
    /// Share of the multiple-choice questions answered right by greedy generation.
    pub eval_accuracy: f64,
    /// Questions asked.
    pub eval_questions: usize,
    /// Share of the answers that keep to the form.
    pub eval_format: f64,
    /// Seconds it took.
    pub eval_runtime: f64,
}

/// The open `metrics.jsonl` of a run.
#[derive(Debug)]
pub struct MetricsFile {
    file: File,
}

impl MetricsFile {
    /// Opens the file for appending after dropping the lines past `step`.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(path: &Path, step: u64) -> Result<Self, TrainError> {
        if path.exists() {
            let reader = BufReader::new(File::open(path).map_err(TrainError::file("read", path))?);
            let mut kept = String::new();
            for line in reader.lines() {
                let line = line.map_err(TrainError::file("read", path))?;
                let known = serde_json::from_str::<serde_json::Value>(&line)
                    .ok()
                    .and_then(|value| value.get("step").and_then(serde_json::Value::as_u64));
                if known.is_some_and(|known| known <= step) {
                    kept.push_str(&line);
                    kept.push('\n');
                }
            }
            let partial = path.with_extension("jsonl.partial");
            fs::write(&partial, kept).map_err(TrainError::file("write", &partial))?;
            fs::rename(&partial, path).map_err(TrainError::file("write", path))?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(TrainError::file("open", path))?;
        Ok(Self { file })
    }

    /// Appends one line.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the disk refuses.
    pub fn push(&mut self, line: &impl Serialize) -> Result<(), TrainError> {
        let mut text =
            serde_json::to_string(line).map_err(TrainError::engine("cannot encode the metrics"))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(TrainError::engine("cannot write the metrics"))
    }
}
