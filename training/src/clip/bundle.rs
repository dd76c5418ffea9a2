//! From a trained CLIP to the bundle that ships: weights in one small GGUF file, the small files beside them, a
//! card, and the manifest last.
//!
//! Matrices are stored in `Q8_0` where their rows are whole blocks and in halves where not; vectors and the
//! temperature stay in 32 bits. `tests/train_clip.rs` opens the bundle with the session and compares its
//! features with those of the trained weights.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use burn::module::Module;
use eosin_session::manifest::{BundleKind, Manifest};
use eosin_weights::{GgmlType, GgufWriter, RawTensor};

use super::evaluate::ClipReport;
use super::folder::{ClipFolder, named_weights};
use crate::checkpoint::write_synced;
use crate::error::TrainError;
use crate::export::{NOTICE, pretty};
use crate::folder;
use crate::pipeline::Pipeline;

/// Licence of weights that were trained on drawn pictures alone.
const LICENCE: &str = "MIT";

/// What people should know of a bundle besides its numbers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct About {
    /// Its name.
    pub name: String,
    /// How it was trained, in a sentence or more.
    pub training: String,
}

impl About {
    /// What a run says of one of its finished stages and of those it came from.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where there is no such stage, or it is not finished.
    pub fn of_stage(pipeline: &Pipeline, stage: &str) -> Result<Self, TrainError> {
        let mut sentences = Vec::new();
        let mut name = stage;
        while let Some(stage) = pipeline.plan.stage(name) {
            let Some(finished) = folder::finished(&pipeline.stage_dir(name))? else {
                return Err(TrainError::plan(format!("stage {name} is not finished")));
            };
            let state = &finished.state;
            sentences.push(format!(
                "Stage {name}: {} pairs in {} steps, {:.1} minutes.",
                state.n_token,
                state.step,
                state.elapsed_secs / 60.0
            ));
            name = &stage.from;
            if sentences.len() > pipeline.plan.recipe.stages.len() {
                break;
            }
        }
        if sentences.is_empty() {
            return Err(TrainError::plan(format!("there is no stage `{stage}`")));
        }
        if name == "init" {
            sentences.push("It began with random weights, and saw drawn tissue (phantoms) alone.".to_owned());
        }
        sentences.reverse();
        let name = format!("{}-clip", pipeline.plan.recipe.name);
        Ok(Self { name, training: sentences.join(" ") })
    }
}

/// Writes a model as a new bundle folder.
///
/// # Errors
/// [`TrainError::Plan`] where the folder is not empty, [`TrainError::Engine`] where a file cannot be written.
pub fn write(
    clip: &ClipFolder,
    about: &About,
    report: Option<&ClipReport>,
    dir: &Path,
) -> Result<(), TrainError> {
    fs::create_dir_all(dir).map_err(TrainError::file("create the bundle", dir))?;
    if fs::read_dir(dir).map_err(TrainError::file("list the bundle", dir))?.next().is_some() {
        return Err(TrainError::plan(format!("the bundle's folder is not empty: {}", dir.display())));
    }
    let refuse = TrainError::engine("cannot write the weights of the CLIP");
    write_weights(clip, &about.name, &dir.join("weights.gguf")).map_err(refuse)?;
    for (name, text) in &clip.files {
        write_synced(&dir.join(name), text.as_bytes())?;
    }
    state_figures(clip, about, report, dir)
}

/// Writes card and figures into a bundle's folder, and seals it anew.
///
/// # Errors
/// [`TrainError::File`].
pub fn state_figures(
    clip: &ClipFolder,
    about: &About,
    report: Option<&ClipReport>,
    dir: &Path,
) -> Result<(), TrainError> {
    if let Some(report) = report {
        let json = serde_json::to_value(report).map_err(TrainError::engine("cannot encode the report"))?;
        write_synced(&dir.join("evaluation.json"), pretty(&json)?.as_bytes())?;
    }
    write_synced(&dir.join("card.md"), card(clip, about, report).as_bytes())?;
    let mut manifest = Manifest::new(&about.name, BundleKind::Clip, LICENCE);
    NOTICE.clone_into(&mut manifest.notice);
    manifest.seal(dir).map_err(TrainError::engine("cannot seal the bundle"))?;
    Ok(())
}

fn write_weights(clip: &ClipFolder, name: &str, path: &Path) -> Result<(), eosin_weights::WeightError> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "clip");
    writer.set("general.name", name);
    writer.set("general.license", LICENCE);
    for (name, shape, values) in named_weights(&clip.model, &clip.config) {
        let kind = match shape.as_slice() {
            [] | [_] => GgmlType::F32,
            [.., n_col] if GgmlType::Q8_0.row_bytes(*n_col).is_some() => GgmlType::Q8_0,
            _ => GgmlType::F16,
        };
        // A lone number has one axis in GGUF.
        let shape = if shape.is_empty() { vec![1] } else { shape };
        let stored = RawTensor::from_f32(&name, kind, shape.clone(), &values)?;
        writer.tensor(&name, kind, &shape, stored.bytes)?;
    }
    writer.write(path)
}

/// What a person must know of the model.
fn card(clip: &ClipFolder, about: &About, report: Option<&ClipReport>) -> String {
    let mut text = format!(
        "# {name}\n\n**A {NOTICE}.** It places pictures and words in one space, has never seen a photograph of real \
tissue, and what it finds alike in one means nothing by itself.\n\n\
## What it is\n\n\
A CLIP of {millions:.2} million parameters: pictures of {side} × {side} px in patches of {patch} px, \
{vision} + {words} blocks, texts of up to {context} tokens from a vocabulary of {vocabulary}, a joint space of \
{embed} dimensions. {training}\n\n\
Weights: `Q8_0` and halves (GGUF). Licence: {LICENCE}. What was tried: `training/LOG.md`.\n\n",
        name = about.name,
        millions = clip.model.num_params() as f64 / 1e6,
        side = clip.config.vision.image_px,
        patch = clip.config.vision.patch_px,
        vision = clip.config.vision.n_layer,
        words = clip.config.text.n_layer,
        context = clip.config.text.n_context,
        vocabulary = clip.config.text.n_vocab,
        embed = clip.config.d_embed,
        training = about.training,
    );
    text.push_str("## How good it is\n\n");
    match report {
        Some(report) => text.push_str(&report.to_markdown()),
        None => {
            let _ = writeln!(text, "Not measured yet.");
        }
    }
    text
}
