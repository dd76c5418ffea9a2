//! The bundle of a finished VLM stage, with a card that says how the model came about.
//!
//! What a stage was taught with decides how its bundle wants to be asked: without a standing instruction where it
//! learned without one. A model that began with nothing and saw phantoms alone may be passed on (MIT); any other
//! carries the licence that its user states. `tests/train_faults.rs` exports from a real run.

use std::path::Path;

use burn::tensor::Device;
use eosin_weights::convert::{About, Recipe, Summary};

use super::NOTICE;
use super::gguf::{self, Label};
use crate::error::TrainError;
use crate::folder::{self, FINAL, Vlm};
use crate::pipeline::Pipeline;

/// Licence of weights that were trained on drawn pictures alone.
const LICENCE: &str = "MIT";

/// Writes a finished stage's model as a new bundle folder.
///
/// # Errors
/// [`TrainError::Plan`] where there is no such stage, or it is not finished; files that cannot be written.
pub fn write(
    pipeline: &Pipeline,
    stage: &str,
    recipe: Recipe,
    licence: Option<&str>,
    dir: &Path,
) -> Result<Summary, TrainError> {
    let chain = chain(pipeline, stage)?;
    let last =
        pipeline.plan.stage(stage).ok_or_else(|| TrainError::plan(format!("there is no stage `{stage}`")))?;
    let vlm =
        Vlm::open(&pipeline.stage_dir(stage).join(FINAL), &pipeline.plan.recipe.image, &Device::flex())?;
    let licence = licence.map_or_else(|| if chain.is_drawn { LICENCE } else { "" }.to_owned(), str::to_owned);
    let name = pipeline.plan.recipe.name.clone();
    let card = format!(
        "# {name}\n\n**A {NOTICE}.**{unseen}\n\n## What it is\n\nA Qwen2.5-VL architecture of {millions:.1} million \
         parameters with a vocabulary of {vocabulary} tokens; stage `{stage}` ({title}) of the pipeline `{name}`. It \
         reasons in `<think>…</think>` and answers in `<answer>…</answer>`; options follow the question as \
         ` /n A. … /n B. …`, and it answers in the words of one of them.\n\n{stages}\n\nWeights: {licence_words}.\n\n\
         ## How good it is\n\nNot measured yet.\n",
        unseen = if chain.is_drawn {
            " It has never seen a photograph of real tissue, and what it says about one means nothing."
        } else {
            ""
        },
        millions = burn::module::Module::num_params(&vlm.model) as f64 / 1e6,
        vocabulary = vlm.encoder.tokenizer().get_vocab_size(true),
        title = last.title(),
        stages = chain.stages.join("\n"),
        licence_words = if licence.is_empty() { "licence not stated" } else { &licence },
    );
    let style = if last.tune().system.is_empty() { "plain" } else { "" };
    let label = Label {
        about: About { name, licence, base: chain.base, card },
        notice: NOTICE.to_owned(),
        style: style.to_owned(),
    };
    gguf::write(&vlm.model, &vlm.files, recipe, &label, dir)
}

/// How a stage's model came about.
struct Chain {
    /// One line a stage, the first first.
    stages: Vec<String>,
    /// The folder's name that the first began from; empty where it began with nothing.
    base: String,
    /// Whether it began with nothing and saw phantoms alone.
    is_drawn: bool,
}

fn chain(pipeline: &Pipeline, stage: &str) -> Result<Chain, TrainError> {
    let (mut stages, mut name, mut is_drawn) = (Vec::new(), stage, true);
    while let Some(stage) = pipeline.plan.stage(name) {
        let Some(finished) = folder::finished(&pipeline.stage_dir(name))? else {
            return Err(TrainError::plan(format!("stage {name} is not finished")));
        };
        let state = &finished.state;
        stages.push(format!(
            "- `{name}` ({}): {} steps, {} tokens, {:.1} minutes",
            stage.title(),
            state.step,
            state.n_token,
            state.elapsed_secs / 60.0
        ));
        let sources = &pipeline.plan.recipe.sources;
        is_drawn &= stage
            .data
            .iter()
            .all(|share| sources.get(&share.source).is_some_and(|source| source.phantom.is_some()));
        name = &stage.from;
    }
    stages.reverse();
    is_drawn &= name == "init";
    let base = if name == "init" {
        String::new()
    } else {
        Path::new(name).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    };
    Ok(Chain { stages, base, is_drawn })
}
