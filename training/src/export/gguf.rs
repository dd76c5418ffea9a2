//! The bundle that ships: GGUF files for llama.cpp and our own session, the small files beside them, a card, and the
//! manifest last, which makes the folder a bundle.
//!
//! `tests/train_export.rs` has llama.cpp open both files and compares its greedy tokens with ours.

use std::path::Path;

use eosin_model::qwen::Qwen;
use eosin_session::manifest::{BundleKind, Manifest};
use eosin_weights::convert::{About, ModelFiles, Recipe, Summary, write_bundle};

use super::hf::{WeightType, weights};
use crate::error::TrainError;

/// What a bundle says of itself besides its numbers.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// Name, licence, base model and card.
    pub about: About,
    /// What whoever opens it must be told, such as that it is no diagnosis.
    pub notice: String,
    /// How it wants to be asked: `plain`, or a style that the session knows.
    pub style: String,
}

/// Writes the model as a new bundle folder, quantised by `recipe`.
///
/// # Errors
/// [`TrainError::Engine`] where a file cannot be written or the folder is not empty.
pub fn write(
    model: &Qwen,
    files: &ModelFiles,
    recipe: Recipe,
    label: &Label,
    dir: &Path,
) -> Result<Summary, TrainError> {
    let weights = weights(model, WeightType::F32)?;
    let summary = write_bundle(&weights, files, recipe, &label.about, dir, &|_| ())
        .map_err(TrainError::engine("cannot write the bundle"))?;
    seal(label, dir)?;
    Ok(summary)
}

/// Lists the folder's files anew, after a card or an evaluation was added.
///
/// # Errors
/// [`TrainError::Engine`] where a file cannot be read.
pub fn seal(label: &Label, dir: &Path) -> Result<(), TrainError> {
    let mut manifest = Manifest::new(&label.about.name, BundleKind::Vlm, &label.about.licence);
    manifest.notice.clone_from(&label.notice);
    manifest.style.clone_from(&label.style);
    manifest.seal(dir).map_err(TrainError::engine("cannot seal the bundle"))?;
    Ok(())
}
