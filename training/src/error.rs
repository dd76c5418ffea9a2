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
    /// A run directory that holds another run.
    #[error("the run directory already holds a run: {}", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },
    /// `--resume` without anything to resume from.
    #[error("no whole checkpoint to resume from: {}", path.display())]
    NoCheckpoint {
        /// The run directory.
        path: PathBuf,
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
        "the {what} is not a number at step {step} (samples {first_seed}…); last good checkpoint: {last_good}"
    )]
    NotANumber {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The step that failed.
        step: u64,
        /// Seed of the first picture of the failed step.
        first_seed: u64,
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
                Some("compare with training/recipes/demo-sft.toml, which spells out every key")
            }
            Self::RunExists { .. } => Some("add --resume to go on with it, or name another --out directory"),
            Self::NoCheckpoint { .. } => Some("start the run without --resume"),
            Self::Checkpoint { .. } => {
                Some("remove the damaged checkpoint folder; --resume then takes the one before it")
            }
            Self::NotANumber { .. } => Some(
                "lower optim.lr or optim.clip_norm, then go on from the last good checkpoint with --resume",
            ),
            _ => None,
        }
    }
}
