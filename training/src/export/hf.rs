//! A Hugging Face folder: weights under the names of released checkpoints, and the small files beside them.
//!
//! Adapters are merged first, so that the folder is a model like any other. Weights are written one tensor at a
//! time, under a temporary name until the file is whole. `tests/train_export.rs` has `transformers` open the folder
//! and compares its scores with ours.

use std::fs;
use std::path::Path;

use eosin_model::qwen::Qwen;
use eosin_weights::convert::ModelFiles;
use eosin_weights::{GgmlType, MemoryTensors, RawTensor, write_safetensors};

use crate::checkpoint::write_synced;
use crate::error::TrainError;

/// How weights are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WeightType {
    /// 32-bit floats: what was trained, exactly.
    #[default]
    F32,
    /// The upper halves of 32-bit floats, rounded: half the size, as checkpoints are usually released.
    Bf16,
}

/// Writes the model and its small files into a folder, which is made where it is not there.
///
/// # Errors
/// [`TrainError::File`] and [`TrainError::Engine`] where a file cannot be written.
pub fn write(
    model: &Qwen,
    files: &ModelFiles,
    weight_type: WeightType,
    dir: &Path,
) -> Result<(), TrainError> {
    fs::create_dir_all(dir).map_err(TrainError::file("create the folder", dir))?;
    let optional = [
        ("tokenizer_config.json", &files.tokenizer_config),
        ("chat_template.jinja", &files.chat_template),
        ("preprocessor_config.json", &files.preprocessor),
        ("generation_config.json", &files.generation),
    ];
    let texts = [("config.json", Some(&files.config)), ("tokenizer.json", Some(&files.tokenizer))];
    let texts = texts.into_iter().chain(optional.map(|(name, text)| (name, text.as_ref())));
    for (name, text) in texts.filter_map(|(name, text)| Some((name, text?))) {
        write_synced(&dir.join(name), text.as_bytes())?;
    }
    write_safetensors(&dir.join("model.safetensors"), &weights(model, weight_type)?)
        .map_err(TrainError::engine("cannot write the weights"))
}

/// The model's weights as a source of tensors, adapters merged.
///
/// # Errors
/// [`TrainError::Engine`] where two parameters have one name, which no model does.
pub fn weights(model: &Qwen, weight_type: WeightType) -> Result<MemoryTensors, TrainError> {
    let kind = match weight_type {
        WeightType::F32 => GgmlType::F32,
        WeightType::Bf16 => GgmlType::Bf16,
    };
    let merged = model.clone().merged();
    let mut weights = MemoryTensors::new();
    for tensor in merged.tensors() {
        let raw = RawTensor::from_f32(&tensor.name, kind, tensor.shape.clone(), &tensor.values())
            .map_err(TrainError::engine("cannot collect the weights"))?;
        weights.insert(&tensor.name, raw);
    }
    Ok(weights)
}
