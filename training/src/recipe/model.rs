//! Sizes of the models that a recipe trains from nothing, as their `config.json` states them.
//!
//! One reader opens released checkpoints and these: the recipe is written out as Hugging Face's configuration
//! and read back. `tests/stages.rs` opens what was written.

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Sizes of a Qwen2.5-VL model, without the vocabulary, which the tokenizer decides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// The decoder.
    pub text: TextRecipe,
    /// The vision tower.
    pub vision: VisionRecipe,
}

/// Sizes of the decoder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecipe {
    /// Width.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Rotary frequencies for time, row and column; they add up to half a head.
    pub mrope_section: [usize; 3],
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Longest context that the exported model states.
    pub max_positions: usize,
}

/// Sizes of the vision tower.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionRecipe {
    /// Width.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads.
    pub heads: usize,
    /// Every n-th block sees the whole picture, the others their window only (`clip.vision.n_wa_pattern`).
    pub full_attention_every: usize,
}

impl ModelRecipe {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let refuse = |what: String| Err(TrainError::Plan { what });
        let Self { text, vision } = self;
        let sizes = [
            ("model.text.hidden", text.hidden),
            ("model.text.intermediate", text.intermediate),
            ("model.text.layers", text.layers),
            ("model.text.heads", text.heads),
            ("model.text.kv_heads", text.kv_heads),
            ("model.vision.hidden", vision.hidden),
            ("model.vision.intermediate", vision.intermediate),
            ("model.vision.depth", vision.depth),
            ("model.vision.heads", vision.heads),
            ("model.vision.full_attention_every", vision.full_attention_every),
        ];
        if let Some((name, value)) = sizes.iter().find(|(_, value)| *value == 0 || *value > 1 << 20) {
            return refuse(format!("{name} = {value} is out of its range"));
        }
        if !text.hidden.is_multiple_of(text.heads) || !text.heads.is_multiple_of(text.kv_heads) {
            return refuse("model.text.hidden must divide into heads, and heads into kv_heads".into());
        }
        let head = text.hidden / text.heads;
        if text.mrope_section.iter().sum::<usize>() * 2 != head {
            return refuse(format!("model.text.mrope_section must add up to {}, half a head", head / 2));
        }
        if !vision.hidden.is_multiple_of(vision.heads) || !(vision.hidden / vision.heads).is_multiple_of(4) {
            return refuse("model.vision.hidden must divide into heads of a multiple of 4".into());
        }
        Ok(())
    }

    /// The model as Qwen2.5-VL's `config.json` says it, for `vocabulary` tokens and the special tokens'
    /// ids (the flat form of the first release).
    pub fn to_hf_config(&self, vocabulary: usize, special: &SpecialIds) -> serde_json::Value {
        let Self { text, vision } = self;
        let full: Vec<usize> =
            (0..vision.depth).filter(|idx| (idx + 1).is_multiple_of(vision.full_attention_every)).collect();
        let vision_config = serde_json::json!({
            "model_type": "qwen2_5_vl",
            "depth": vision.depth,
            "hidden_size": vision.hidden,
            "hidden_act": "silu",
            "intermediate_size": vision.intermediate,
            "num_heads": vision.heads,
            "in_channels": 3,
            "in_chans": 3,
            "out_hidden_size": text.hidden,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
            "fullatt_block_indexes": full,
        });
        serde_json::json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "hidden_size": text.hidden,
            "intermediate_size": text.intermediate,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "num_key_value_heads": text.kv_heads,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": text.rope_theta,
            "rope_scaling": { "type": "mrope", "mrope_section": text.mrope_section },
            "max_position_embeddings": text.max_positions,
            "max_window_layers": text.layers,
            "sliding_window": text.max_positions,
            "use_sliding_window": false,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "tie_word_embeddings": true,
            "vocab_size": vocabulary,
            "torch_dtype": "float32",
            "bos_token_id": special.end_of_text,
            "eos_token_id": special.im_end,
            "pad_token_id": special.end_of_text,
            "vision_start_token_id": special.vision_start,
            "vision_end_token_id": special.vision_end,
            "vision_token_id": special.vision_pad,
            "image_token_id": special.image_pad,
            "video_token_id": special.video_pad,
            "vision_config": vision_config,
        })
    }
}

/// Ids of the tokens that Qwen2.5-VL gives a meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the id of the token of the same name")]
pub struct SpecialIds {
    pub end_of_text: u32,
    pub im_start: u32,
    pub im_end: u32,
    pub vision_start: u32,
    pub vision_end: u32,
    pub vision_pad: u32,
    pub image_pad: u32,
    pub video_pad: u32,
}

impl SpecialIds {
    /// Looks the tokens up by their names.
    ///
    /// # Errors
    /// [`TrainError::Plan`] naming the token that the tokenizer lacks.
    pub fn find(tokenizer: &tokenizers::Tokenizer) -> Result<Self, TrainError> {
        let id = |name: &str| {
            tokenizer.token_to_id(name).ok_or_else(|| TrainError::plan(format!("the tokenizer lacks {name}")))
        };
        Ok(Self {
            end_of_text: id("<|endoftext|>")?,
            im_start: id("<|im_start|>")?,
            im_end: id("<|im_end|>")?,
            vision_start: id("<|vision_start|>")?,
            vision_end: id("<|vision_end|>")?,
            vision_pad: id("<|vision_pad|>")?,
            image_pad: id("<|image_pad|>")?,
            video_pad: id("<|video_pad|>")?,
        })
    }
}
