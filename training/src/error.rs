//! What can go wrong while training, in one enum: every stage, the checkpoint and the export share it, so
//! that the command line has one chain to print. `tests/stages.rs` holds the messages that users meet.

use std::path::{Path, PathBuf};

use eosin_core::Hint;

/// Why a training command stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A recipe that is not TOML, or has a key or value that no recipe has.
    #[error("recipe cannot be read: {what}: {}", path.display())]
    Recipe {
        /// First line of the parser's complaint.
        what: String,
        /// The recipe.
        path: PathBuf,
    },
    /// A `--set` that is not `key=value` or names no key of a recipe.
    #[error("`--set {setting}` cannot be applied: {what}")]
    Setting {
        /// The argument as given.
        setting: String,
        /// Why not.
        what: String,
    },
    /// A recipe whose values contradict each other.
    #[error("the recipe cannot be run: {what}")]
    Plan {
        /// The contradiction.
        what: String,
    },
    /// A folder that holds a stage of another plan.
    #[error("the folder holds a stage that was run by another plan: {}", path.display())]
    OtherPlan {
        /// The stage's folder.
        path: PathBuf,
    },
    /// A folder without a run in it.
    #[error("no run lies there: {}", path.display())]
    NoRun {
        /// The folder.
        path: PathBuf,
    },
    /// A sample that cannot be used, where the recipe wants none left out.
    #[error("sample {id} cannot be used: {reason}")]
    Strict {
        /// The sample.
        id: String,
        /// Why not.
        reason: String,
    },
    /// A checkpoint whose files do not match its manifest or the plan.
    #[error("the checkpoint is damaged: {what}: {}", path.display())]
    Checkpoint {
        /// What does not match.
        what: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// The loss or the gradient is no longer a number.
    #[error(
        "the {what} is not a number in stage {stage} at step {step} (samples {ids}); last good checkpoint: {last_good}"
    )]
    NotANumber {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The stage.
        stage: String,
        /// The step that failed.
        step: u64,
        /// Names of the step's samples.
        ids: String,
        /// Name of the newest whole checkpoint, or `none`.
        last_good: String,
    },
    /// A file operation.
    #[error("cannot {action}: {}", path.display())]
    File {
        /// The operation as a verb phrase.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A piece of the engine refused.
    #[error("{what}")]
    Engine {
        /// What was being done.
        what: &'static str,
        /// The engine's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TrainError {
    /// For `map_err`: a failed file operation.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: an error of another crate.
    pub(crate) fn engine<E>(what: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Engine { what, source: source.into() }
    }

    /// A contradiction in the recipe.
    pub(crate) fn plan(what: impl Into<String>) -> Self {
        Self::Plan { what: what.into() }
    }
}

impl Hint for TrainError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Recipe { .. } | Self::Setting { .. } => {
                Some("compare with training/recipes/demo/pipeline.toml, which uses every table")
            }
            Self::OtherPlan { .. } => Some(
                "undo the change of the recipe, remove the stage's folder to run it again, or name another --out",
            ),
            Self::NoRun { .. } => Some("start one with `eosin train run`"),
            Self::Strict { .. } => Some("mend the sample, or set strict=false to leave such samples out"),
            Self::Checkpoint { .. } => {
                Some("remove the damaged folder; `eosin train resume` then takes the one before it")
            }
            Self::NotANumber { .. } => Some(
                "lower the stage's optim.lr or optim.clip_norm; what was checkpointed stays, but another rate is \
                 another plan: copy the last good checkpoint's weights or run the stage again",
            ),
            _ => None,
        }
    }
}
