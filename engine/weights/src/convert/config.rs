//! The numbers of a Qwen2.5-VL `config.json` that GGUF files repeat.
//!
//! Both forms in circulation are read: all at the top (2025) and under `text_config` with
//! `rope_parameters` (later transformers). Missing numbers are named, never guessed, except where
//! transformers itself has a default that every released model uses.

use serde_json::Value;

use super::ModelFiles;

/// Numbers of the language model, with those of the vision tower.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) n_layer: usize,
    pub(super) n_position: usize,
    pub(super) n_vocab: usize,
    pub(super) d_text: usize,
    pub(super) d_feed_forward: usize,
    pub(super) n_head: usize,
    pub(super) n_kv_head: usize,
    pub(super) d_head: usize,
    pub(super) rms_epsilon: f32,
    pub(super) rope_theta: f32,
    /// Halves of the head that time, height and width take, and a fourth that images do not have.
    pub(super) rope_sections: [u32; 4],
    /// Whether the embedding also makes the logits.
    pub(super) is_tied: bool,
    pub(super) vision: Vision,
}

/// Numbers of the vision tower.
#[derive(Debug)]
pub(super) struct Vision {
    pub(super) n_block: usize,
    pub(super) d_hidden: usize,
    pub(super) d_feed_forward: usize,
    pub(super) n_head: usize,
    pub(super) n_channel: usize,
    pub(super) patch_px: usize,
    pub(super) n_frame: usize,
    pub(super) merge: usize,
    /// Each block of this number sees the whole picture, the others their window.
    pub(super) full_attention_every: usize,
    pub(super) rms_epsilon: f32,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}

/// No model has more layers, wider rows, more words or longer texts; and products of three do not overflow.
const MAX_NUMBER: u64 = 1 << 21;

fn number(object: &Value, key: &str) -> Result<usize, String> {
    match object[key].as_u64() {
        Some(number @ 1..=MAX_NUMBER) => Ok(number as usize),
        _ if object[key].is_null() => Err(format!("the configuration has no `{key}`")),
        _ => Err(format!("the configuration's `{key}` is no sensible number")),
    }
}

fn number_or(object: &Value, key: &str, default: usize) -> Result<usize, String> {
    if object[key].is_null() { Ok(default) } else { number(object, key) }
}

fn float_or(object: &Value, key: &str, default: f32) -> f32 {
    object[key].as_f64().map_or(default, |x| x as f32)
}

fn numbers(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|x| x.as_u64().and_then(|x| u32::try_from(x).ok())).collect()
}

/// Three channels of a list, or the means and deviations that all CLIP-like models use.
fn channels(value: &Value, default: [f32; 3]) -> [f32; 3] {
    let list = value.as_array().map(|list| list.iter().filter_map(Value::as_f64).map(|x| x as f32));
    list.and_then(|list| list.collect::<Vec<_>>().try_into().ok()).unwrap_or(default)
}

impl Config {
    pub(super) fn parse(files: &ModelFiles) -> Result<Self, String> {
        let root: Value = serde_json::from_str(&files.config).map_err(|error| {
            format!("config.json cannot be read: {}", crate::error::quoted(&error.to_string()))
        })?;
        let model_type = root["model_type"].as_str().unwrap_or("no type");
        if model_type != "qwen2_5_vl" {
            return Err(format!(
                "config.json describes `{}`, expected `qwen2_5_vl`",
                crate::error::quoted(model_type)
            ));
        }
        let text = if root["text_config"].is_object() { &root["text_config"] } else { &root };
        let (d_text, n_head) = (number(text, "hidden_size")?, number(text, "num_attention_heads")?);
        let d_head = number_or(text, "head_dim", d_text / n_head)?;
        if d_head * n_head != d_text {
            return Err(format!("{n_head} heads of {d_head} do not make the width {d_text}"));
        }
        let rope = if text["rope_parameters"].is_object() {
            &text["rope_parameters"]
        } else {
            &text["rope_scaling"]
        };
        let rope_theta = float_or(text, "rope_theta", float_or(rope, "rope_theta", 1e6));
        let sections = numbers(&rope["mrope_section"]).unwrap_or_default();
        let [time, height, width] = sections[..] else {
            return Err("the configuration has no `mrope_section` of three numbers".to_owned());
        };
        let is_tied = root["tie_word_embeddings"].as_bool().or(text["tie_word_embeddings"].as_bool());
        Ok(Self {
            n_layer: number(text, "num_hidden_layers")?,
            n_position: number_or(text, "max_position_embeddings", 128_000)?,
            n_vocab: number(text, "vocab_size")?,
            d_text,
            d_feed_forward: number(text, "intermediate_size")?,
            n_head,
            n_kv_head: number(text, "num_key_value_heads")?,
            d_head,
            rms_epsilon: float_or(text, "rms_norm_eps", 1e-6),
            rope_theta,
            rope_sections: [time, height, width, 0],
            is_tied: is_tied.unwrap_or(false),
            vision: Vision::parse(&root["vision_config"], files)?,
        })
    }
}

impl Vision {
    fn parse(vision: &Value, files: &ModelFiles) -> Result<Self, String> {
        let n_block = number(vision, "depth")?;
        let full = numbers(&vision["fullatt_block_indexes"]).unwrap_or_default();
        let full_attention_every = full.first().map_or(n_block + 1, |first| *first as usize + 1);
        // The file can only say "each n-th".
        let regular = (0..n_block).filter(|block| (block + 1).is_multiple_of(full_attention_every));
        if !regular.map(|block| block as u32).eq(full.iter().copied()) {
            return Err("the blocks of full attention are not each n-th, which GGUF cannot say".to_owned());
        }
        let preprocessor: Value =
            files.preprocessor.as_deref().map_or(Ok(Value::Null), serde_json::from_str).map_err(|error| {
                format!(
                    "preprocessor_config.json cannot be read: {}",
                    crate::error::quoted(&error.to_string())
                )
            })?;
        Ok(Self {
            n_block,
            d_hidden: number(vision, "hidden_size")?,
            d_feed_forward: number(vision, "intermediate_size")?,
            n_head: number(vision, "num_heads")?,
            n_channel: number_or(vision, "in_channels", number_or(vision, "in_chans", 3)?)?,
            patch_px: number(vision, "patch_size")?,
            n_frame: number_or(vision, "temporal_patch_size", 2)?,
            merge: number_or(vision, "spatial_merge_size", 2)?,
            full_attention_every,
            rms_epsilon: float_or(vision, "rms_norm_eps", 1e-6),
            mean: channels(&preprocessor["image_mean"], [0.481_454_66, 0.457_827_5, 0.408_210_73]),
            std: channels(&preprocessor["image_std"], [0.268_629_54, 0.261_302_6, 0.275_777_1]),
        })
    }
}
