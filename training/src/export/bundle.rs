//! The bundle that ships: GGUF files, the small files beside them, a card, and the manifest last.

use std::fmt::Write as _;
use std::path::Path;

use eosin_session::manifest::{BundleKind, Manifest};
use eosin_weights::MemoryTensors;
use eosin_weights::convert::{About, ModelFiles, Recipe, Summary, write_bundle};

use super::{CHAT_TEMPLATE, NOTICE, generation_config, preprocessor_config, pretty, tokenizer_config};
use crate::checkpoint::write_synced;
use crate::error::TrainError;
use crate::evaluate::Report;
use crate::sft::Run;

/// Licence of weights that were trained on drawn pictures alone.
const LICENCE: &str = "MIT";

/// Writes the run's model as a new bundle folder, quantised by `recipe`.
///
/// # Errors
/// [`TrainError::Engine`] where a file cannot be written or the folder is not empty.
pub fn write(run: &Run, recipe: Recipe, dir: &Path) -> Result<Summary, TrainError> {
    let special = run.encoder().special();
    let tokenizer = run.encoder().tokenizer();
    let plan = run.plan();
    let n_vocab = tokenizer.get_vocab_size(true);
    let files = ModelFiles {
        config: pretty(&plan.recipe.model.to_hf_config(n_vocab, special))?,
        tokenizer: tokenizer.to_string(true).map_err(TrainError::engine("cannot encode the tokenizer"))?,
        tokenizer_config: Some(pretty(&tokenizer_config())?),
        chat_template: Some(CHAT_TEMPLATE.to_owned()),
        preprocessor: Some(pretty(&preprocessor_config(plan))?),
        generation: Some(pretty(&generation_config(special))?),
    };
    let about = About {
        name: plan.recipe.name.clone(),
        licence: LICENCE.to_owned(),
        base: String::new(),
        card: card(run, None),
    };
    let weights = MemoryTensors::from_f32(run.model().named_weights())
        .map_err(TrainError::engine("cannot collect the weights"))?;
    let summary = write_bundle(&weights, &files, recipe, &about, dir, &|_| ())
        .map_err(TrainError::engine("cannot write the bundle"))?;
    seal(&plan.recipe.name, dir)?;
    Ok(summary)
}

/// Puts the figures of an evaluation into a bundle's folder and card, and seals it anew.
///
/// # Errors
/// [`TrainError::File`].
pub fn state_figures(run: &Run, report: &Report, dir: &Path) -> Result<(), TrainError> {
    let text = serde_json::to_value(report).map_err(TrainError::engine("cannot encode the report"))?;
    write_synced(&dir.join("evaluation.json"), pretty(&text)?.as_bytes())?;
    write_synced(&dir.join("card.md"), card(run, Some(report)).as_bytes())?;
    seal(&run.plan().recipe.name, dir)
}

fn seal(name: &str, dir: &Path) -> Result<(), TrainError> {
    let mut manifest = Manifest::new(name, BundleKind::Vlm, LICENCE);
    NOTICE.clone_into(&mut manifest.notice);
    "plain".clone_into(&mut manifest.style);
    manifest.seal(dir).map_err(TrainError::engine("cannot seal the bundle"))?;
    Ok(())
}

/// What a person must know of the model.
fn card(run: &Run, report: Option<&Report>) -> String {
    use burn::module::Module;
    let state = run.state();
    let recipe = &run.plan().recipe;
    let mut text = format!(
        "# {name}\n\n**A {NOTICE}.** It has never seen a photograph of real tissue, and what it says about one means \
nothing.\n\n\
## What it is\n\n\
A Qwen2.5-VL architecture of {millions:.1} million parameters with a vocabulary of {vocabulary} tokens, trained \
from nothing on procedurally drawn tissue (phantoms): {n_picture} pictures of {side} × {side} px in {step} steps, \
{n_token} tokens, {minutes:.0} minutes on two processor cores. It reasons in `<think>…</think>` and answers in \
`<answer>…</answer>`; options follow the question as ` /n A. … /n B. …`, and it answers in the words of one of \
them.\n\n\
Weights: `Q8_0` (GGUF) and its projector. Licence: {LICENCE}. Recipe: `training/recipes/demo-sft.toml`; what was \
tried: `training/LOG.md`.\n\n",
        name = recipe.name,
        millions = run.model().num_params() as f64 / 1e6,
        vocabulary = run.encoder().tokenizer().get_vocab_size(true),
        n_picture = state.step * recipe.optim.images_per_step as u64,
        side = recipe.data.image_px,
        step = state.step,
        n_token = state.n_token,
        minutes = state.elapsed_secs / 60.0,
    );
    text.push_str("## How good it is\n\n");
    let Some(report) = report else {
        text.push_str("Not measured yet.\n");
        return text;
    };
    let _ = write!(
        text,
        "Measured on {} phantoms of the {} split, whose seeds no training index reaches, by\n\n    {}\n\n\
Decoding: {}. Baselines learned from {} training phantoms. Intervals are Wilson's, 95 %.\n\n\
| questions | model | chance | majority | nearest colours |\n|---|---|---|---|---|\n",
        report.n_phantom, report.split, report.command, report.decoding, report.n_baseline_phantom
    );
    let mut row = |name: &str, scores: &crate::evaluate::Scores| {
        let _ = writeln!(
            text,
            "| {name} | {} | {:.1} % | {:.1} % | {:.1} % |",
            scores.model.to_words(),
            scores.chance * 100.0,
            scores.majority * 100.0,
            scores.colour_histogram * 100.0
        );
    };
    for (name, scores) in &report.by_form {
        row(&format!("**{name}**"), scores);
    }
    for (name, scores) in &report.by_topic {
        if name.starts_with("multiple-choice/") {
            row(name, scores);
        }
    }
    let _ = write!(
        text,
        "\nAnswers in the form of the contract: {}. Mean length of an answer: {:.1} tokens.\n",
        report.form.to_words(),
        report.mean_output_tokens
    );
    text
}
