//! From a run to files that others open: a Hugging Face folder, and from it the bundle that ships.
//!
//! The folder holds f32 weights under Hugging Face names, so `transformers` opens it; the bundle holds
//! the same weights as GGUF (text and projector), so llama.cpp and our own session open it. The chat
//! template and the sampling defaults written here are the ones that the training used. `tests/stages.rs`
//! asks both forms the same questions.

pub mod gguf;
pub mod hf;
pub mod peft;
pub mod stage;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use crate::error::TrainError;
use crate::recipe::{ImageRecipe, SpecialIds};

/// `ChatML` with Qwen's picture marks and, other than Qwen's own, no default instruction (SPEC 10.5): a small
/// model should not spend a tenth of its context on a sentence that never changes.
pub const CHAT_TEMPLATE: &str = "\
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- if message.content is string -%}
{{- message.content -}}
{%- else -%}
{%- for part in message.content -%}
{%- if part.type == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- elif part.type == 'text' -%}
{{- part.text -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
";

/// Words on every card and manifest of a model that learned from drawn tissue.
pub const NOTICE: &str = "demonstration on drawn tissue, not for diagnosis";

/// How pictures are prepared, within the bounds of a recipe.
pub(crate) fn preprocessor_config(image: &ImageRecipe) -> Value {
    json!({
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": image.min_pixels,
        "max_pixels": image.max_pixels,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
        "do_convert_rgb": true,
        "do_resize": true,
        "do_rescale": true,
        "do_normalize": true,
        "resample": 3,
    })
}

pub(crate) fn generation_config(special: &SpecialIds) -> Value {
    json!({
        "bos_token_id": special.end_of_text,
        "eos_token_id": [special.im_end, special.end_of_text],
        "pad_token_id": special.end_of_text,
        "do_sample": false,
        "repetition_penalty": 1.0,
        "max_new_tokens": 256,
    })
}

pub(crate) fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "bos_token": null,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": null,
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 2048,
    })
}

pub(crate) fn pretty(value: &Value) -> Result<String, TrainError> {
    let mut text = serde_json::to_string_pretty(value).map_err(TrainError::engine("cannot encode a file"))?;
    text.push('\n');
    Ok(text)
}

/// Weights as the bytes of a safetensors file.
pub(crate) fn safetensors_bytes(weights: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Vec<u8>, TrainError> {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .into_iter()
        .map(|(name, shape, values)| {
            (name, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
        })
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(TrainError::engine("cannot encode the weights"))?;
    safetensors::serialize(views, None).map_err(TrainError::engine("cannot encode the weights"))
}
