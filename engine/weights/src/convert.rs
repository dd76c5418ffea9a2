//! From a Hugging Face model to the files of an Eosin bundle, which are also what llama.cpp loads.
//!
//! A Qwen2.5-VL checkpoint becomes `weights.gguf` (the language model with its tokenizer) and `mmproj.gguf`
//! (the vision tower), with the tensor names and keys that llama.cpp's own converter writes, and the small
//! files beside them are carried over. It is all names and blocks: no tensor library is needed, and one
//! tensor is in memory at a time. `tests/convert.rs` converts a tiny model; `tests/kit.rs` compares
//! types, keys and bits with files that llama.cpp made.
//!
//! The manifest, which makes the folder a bundle, is written by its owner: call
//! `eosin_session::Manifest::seal` on the folder afterwards.

mod config;
mod files;
mod names;
mod recipe;
mod tokenizer;

pub use self::files::ModelFiles;
pub use self::recipe::Recipe;

use std::fs;
use std::io;
use std::path::Path;

use self::config::Config;
use self::names::{Piece, Planned};
use crate::gguf::{MetaArray, MetaValue};
use crate::{GgufWriter, RawTensor, WeightError, WeightSource};

/// The language model of a bundle.
pub const TEXT_FILE: &str = "weights.gguf";
/// The vision tower of a bundle.
pub const VISION_FILE: &str = "mmproj.gguf";

/// What the files say about the model besides its numbers.
#[derive(Clone, Default, Debug)]
pub struct About {
    /// A name for people, as in `Patho-R1-3B`.
    pub name: String,
    /// The licence of the weights, as the model's card states it; empty where it is unknown.
    pub licence: String,
    /// The model that these weights were made from; empty for none.
    pub base: String,
    /// The text of `card.md`; a few lines are made of the above where it is empty.
    pub card: String,
}

/// What was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Parameters of the language model.
    pub n_text_parameter: u64,
    /// Parameters of the vision tower.
    pub n_vision_parameter: u64,
    /// Bytes of `weights.gguf`.
    pub text_bytes: u64,
    /// Bytes of `mmproj.gguf`.
    pub vision_bytes: u64,
    /// Matrices that had to be stored in a larger type than the recipe's, because their rows are not whole
    /// blocks of it.
    pub n_widened: usize,
}

/// Writes the model files of a bundle into a new folder: `weights.gguf`, `mmproj.gguf`, `tokenizer.json`,
/// and where given `chat_template.jinja`, `preprocessor_config.json`, `generation_config.json`, `card.md`.
///
/// `weights` has Hugging Face names of either generation (`visual.…`/`model.layers.…` or
/// `model.visual.…`/`model.language_model.…`): a [`crate::SafetensorsFolder`], or [`crate::MemoryTensors`]
/// where a training run hands over its own. `progress` is called with the name of each tensor.
///
/// # Errors
/// [`WeightError::Convert`] where the configuration, the tokenizer or the set of tensors is not that of a
/// Qwen2.5-VL model; [`WeightError::Write`], also where the folder is not empty.
pub fn write_bundle(
    weights: &dyn WeightSource,
    files: &ModelFiles,
    recipe: Recipe,
    about: &About,
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<Summary, WeightError> {
    let refuse = |cause: String| WeightError::Convert { cause };
    let config = Config::parse(files).map_err(refuse)?;
    let planned = names::plan(weights, &config).map_err(refuse)?;
    let (text, vision): (Vec<_>, Vec<_>) = planned.into_iter().partition(|planned| !planned.is_vision);

    let write_failed = |source| WeightError::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(write_failed)?;
    if fs::read_dir(folder).map_err(write_failed)?.next().is_some() {
        return Err(write_failed(io::Error::new(io::ErrorKind::AlreadyExists, "the folder is not empty")));
    }

    let mut writer = text_writer(files, &config, recipe, about, &text).map_err(refuse)?;
    let n_widened_text = add(&mut writer, weights, &text, recipe, &config, progress)?;
    writer.write(&folder.join(TEXT_FILE))?;
    let mut writer = vision_writer(&config, recipe, about, &vision);
    let n_widened_vision = add(&mut writer, weights, &vision, recipe, &config, progress)?;
    writer.write(&folder.join(VISION_FILE))?;
    files.write(about, folder)?;

    let size = |file: &str| fs::metadata(folder.join(file)).map(|meta| meta.len()).map_err(write_failed);
    Ok(Summary {
        n_text_parameter: n_parameter(&text),
        n_vision_parameter: n_parameter(&vision),
        text_bytes: size(TEXT_FILE)?,
        vision_bytes: size(VISION_FILE)?,
        n_widened: n_widened_text + n_widened_vision,
    })
}

/// Appends tensors that are read, cut and stored when their turn comes; returns how many had to be widened.
fn add<'a>(
    writer: &mut GgufWriter<'a>,
    weights: &'a dyn WeightSource,
    planned: &'a [Planned],
    recipe: Recipe,
    config: &Config,
    progress: &'a dyn Fn(&str),
) -> Result<usize, WeightError> {
    let mut n_widened = 0;
    for tensor in planned {
        let (kind, widened) = recipe.kind(tensor, config);
        n_widened += usize::from(widened);
        writer.tensor_with(&tensor.name, kind, &tensor.shape, move || {
            progress(&tensor.name);
            let source = weights.tensor(&tensor.source)?;
            if tensor.piece == Piece::Whole {
                return source.to_kind(&tensor.name, kind).map(|stored| stored.bytes);
            }
            let values = tensor.piece.of(source.to_f32(), &source.shape);
            RawTensor::from_f32(&tensor.name, kind, tensor.shape.clone(), &values).map(|stored| stored.bytes)
        })?;
    }
    Ok(n_widened)
}

fn n_parameter(planned: &[Planned]) -> u64 {
    planned.iter().map(|tensor| tensor.shape.iter().product::<usize>() as u64).sum()
}

/// Keys of the language model, as llama.cpp's converter writes them.
fn text_writer<'a>(
    files: &ModelFiles,
    config: &Config,
    recipe: Recipe,
    about: &About,
    planned: &[Planned],
) -> Result<GgufWriter<'a>, String> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "qwen2vl");
    writer.set("general.type", "model");
    general(&mut writer, about, planned);
    for (key, value) in files.sampling()? {
        writer.set(key, value);
    }
    for (key, value) in [
        ("block_count", config.n_layer),
        ("context_length", config.n_position),
        ("embedding_length", config.d_text),
        ("feed_forward_length", config.d_feed_forward),
        ("attention.head_count", config.n_head),
        ("attention.head_count_kv", config.n_kv_head),
    ] {
        writer.set(&format!("qwen2vl.{key}"), value as u32);
    }
    let sections = MetaArray::I32(config.rope_sections.iter().map(|n| *n as i32).collect());
    writer.set("qwen2vl.rope.dimension_sections", MetaValue::Array(sections));
    writer.set("qwen2vl.rope.freq_base", config.rope_theta);
    writer.set("qwen2vl.attention.layer_norm_rms_epsilon", config.rms_epsilon);
    // The tokenizer must name every row of the embedding, used or not.
    for (key, value) in tokenizer::keys(files, config.n_vocab)? {
        writer.set(key, value);
    }
    if let Some(template) = files.template()? {
        writer.set("tokenizer.chat_template", template);
    }
    writer.set("general.quantization_version", 2);
    writer.set("general.file_type", recipe.file_type());
    Ok(writer)
}

/// Keys of the vision tower.
fn vision_writer<'a>(config: &Config, recipe: Recipe, about: &About, planned: &[Planned]) -> GgufWriter<'a> {
    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "clip");
    writer.set("general.type", "mmproj");
    general(&mut writer, about, planned);
    writer.set("general.file_type", recipe.of_vision().file_type());
    writer.set("general.quantization_version", 2);
    writer.set("clip.has_vision_encoder", true);
    writer.set("clip.projector_type", "qwen2.5vl_merger");
    writer.set("clip.use_silu", true);
    let vision = &config.vision;
    for (key, value) in [
        ("projection_dim", config.d_text),
        // llama.cpp asks for a size and then takes pictures of any.
        ("image_size", 560),
        ("patch_size", vision.patch_px),
        ("embedding_length", vision.d_hidden),
        ("feed_forward_length", vision.d_feed_forward),
        ("block_count", vision.n_block),
        ("attention.head_count", vision.n_head),
        ("n_wa_pattern", vision.full_attention_every),
        ("spatial_merge_size", vision.merge),
    ] {
        writer.set(&format!("clip.vision.{key}"), value as u32);
    }
    writer.set("clip.vision.attention.layer_norm_epsilon", vision.rms_epsilon);
    writer.set("clip.vision.image_mean", MetaValue::Array(MetaArray::F32(vision.mean.to_vec())));
    writer.set("clip.vision.image_std", MetaValue::Array(MetaArray::F32(vision.std.to_vec())));
    writer
}

/// Keys that both files have.
fn general(writer: &mut GgufWriter<'_>, about: &About, planned: &[Planned]) {
    if !about.name.is_empty() {
        writer.set("general.name", about.name.as_str());
    }
    if !about.licence.is_empty() {
        writer.set("general.license", about.licence.as_str());
    }
    if !about.base.is_empty() {
        writer.set("general.base_model.count", 1);
        writer.set("general.base_model.0.name", about.base.as_str());
    }
    writer.set("general.size_label", size_label(n_parameter(planned)));
}

/// A number of parameters in two digits: `3.1B`, `670M`.
pub fn size_label(n_parameter: u64) -> String {
    let (scale, unit) = match n_parameter {
        0..1_000_000 => (1e3, "K"),
        1_000_000..1_000_000_000 => (1e6, "M"),
        1_000_000_000..1_000_000_000_000 => (1e9, "B"),
        _ => (1e12, "T"),
    };
    let value = n_parameter as f64 / scale;
    let n_decimal = usize::from(value.round() < 10.0);
    format!("{value:.n_decimal$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_labels_have_two_digits() {
        let check = |n, expected: &str| assert_eq!(size_label(n), expected);
        check(4_460_000, "4.5M");
        check(3_085_938_688, "3.1B");
        check(668_000_000, "668M");
        check(9_960_000, "10M");
        check(7_000, "7.0K");
    }
}
