//! Sizes of a CLIP as a recipe states them, and the same as Hugging Face's `config.json` says it.
//!
//! Training, export and session all read the sizes through that one JSON, so that what was trained is what
//! is loaded. `tests/train_clip.rs` opens an exported model and asks it for the same features.

use eosin_model::clip::Config;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::TrainError;

/// Sizes of a CLIP.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipModelRecipe {
    /// Width of the joint space.
    pub embed: usize,
    /// Nonlinearity of both towers: `quick_gelu` (`OpenAI`'s) or `gelu`.
    pub activation: String,
    /// The image tower.
    pub vision: ClipVisionRecipe,
    /// The text tower.
    pub text: ClipTextRecipe,
}

/// Sizes of the image tower.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipVisionRecipe {
    /// Side of the square pictures.
    pub image_px: usize,
    /// Side of a patch.
    pub patch_px: usize,
    /// Width.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
}

/// Sizes of the text tower.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipTextRecipe {
    /// Rows of the token embedding, at most: a vocabulary stops where no pair of tokens occurs twice.
    pub vocabulary: usize,
    /// Longest text in tokens, both ends counted; longer captions are cut.
    pub context: usize,
    /// Width.
    pub hidden: usize,
    /// Width of the MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Heads.
    pub heads: usize,
}

impl ClipModelRecipe {
    /// The model as the `config.json` of a `CLIPModel`, for a vocabulary of `n_vocab` tokens, the last of
    /// which ends texts.
    pub fn to_hf_config(&self, n_vocab: usize) -> Value {
        let Self { embed, activation, vision, text } = self;
        let end_id = n_vocab.saturating_sub(1);
        json!({
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "initializer_factor": 1.0,
            "logit_scale_init_value": 2.6592,
            "projection_dim": embed,
            "torch_dtype": "float32",
            "text_config": {
                "model_type": "clip_text_model",
                "vocab_size": n_vocab,
                "max_position_embeddings": text.context,
                "hidden_size": text.hidden,
                "intermediate_size": text.intermediate,
                "num_hidden_layers": text.layers,
                "num_attention_heads": text.heads,
                "projection_dim": embed,
                "hidden_act": activation,
                "layer_norm_eps": 1e-5,
                "attention_dropout": 0.0,
                "bos_token_id": end_id.saturating_sub(1),
                "eos_token_id": end_id,
                "pad_token_id": end_id,
            },
            "vision_config": {
                "model_type": "clip_vision_model",
                "image_size": vision.image_px,
                "patch_size": vision.patch_px,
                "num_channels": 3,
                "hidden_size": vision.hidden,
                "intermediate_size": vision.intermediate,
                "num_hidden_layers": vision.layers,
                "num_attention_heads": vision.heads,
                "projection_dim": embed,
                "hidden_act": activation,
                "layer_norm_eps": 1e-5,
                "attention_dropout": 0.0,
            },
        })
    }

    /// The same, checked, as the engine reads it.
    ///
    /// # Errors
    /// [`TrainError::Engine`] with the first size that does not fit.
    pub fn to_config(&self, n_vocab: usize) -> Result<Config, TrainError> {
        Config::from_hf(&self.to_hf_config(n_vocab))
            .map_err(TrainError::engine("the sizes of CLIP do not fit together"))
    }
}

/// The `preprocessor_config.json` of a `CLIPImageProcessor` for pictures of this side.
pub(crate) fn preprocessor_config(image_px: usize) -> Value {
    json!({
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",
        "do_convert_rgb": true,
        "do_resize": true,
        "size": { "shortest_edge": image_px },
        "resample": 3,
        "do_center_crop": true,
        "crop_size": { "height": image_px, "width": image_px },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
    })
}

/// The `tokenizer_config.json` of a `CLIPTokenizer`.
pub(crate) fn tokenizer_config(context: usize) -> Value {
    json!({
        "tokenizer_class": "CLIPTokenizer",
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "do_lower_case": true,
        "errors": "replace",
        "model_max_length": context,
    })
}
