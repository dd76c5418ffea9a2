//! `config.json` of a Hugging Face checkpoint.

use serde_json::Value;

use super::{Config, TextConfig, TokenIds, VisionConfig};
use crate::ModelError;

const FILE: &str = "config.json";

/// A JSON object and the path that led to it, for messages.
#[derive(Clone, Copy)]
struct Section<'a> {
    value: &'a Value,
    path: &'static str,
}

impl<'a> Section<'a> {
    fn get(self, key: &str) -> Result<&'a Value, ModelError> {
        // `null` is how transformers writes a setting that is not set.
        self.value
            .get(key)
            .filter(|value| !value.is_null())
            .ok_or_else(|| ModelError::MissingKey { key: format!("{}{key}", self.path), file: FILE })
    }

    fn wrong(self, key: &str, expected: &str) -> ModelError {
        ModelError::WrongKey { key: format!("{}{key}", self.path), expected: expected.to_owned(), file: FILE }
    }

    fn count(self, key: &str) -> Result<usize, ModelError> {
        let count = self.get(key)?.as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| self.wrong(key, "a whole number"))
    }

    fn count_or(self, key: &str, default: usize) -> Result<usize, ModelError> {
        optional(self.count(key), default)
    }

    fn number_or(self, key: &str, default: f64) -> Result<f64, ModelError> {
        let number = self.get(key).and_then(|value| {
            value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
                .ok_or_else(|| self.wrong(key, "a positive number"))
        });
        optional(number, default)
    }

    fn token_or(self, key: &str, default: u32) -> Result<u32, ModelError> {
        let id = self
            .count(key)
            .and_then(|id| u32::try_from(id).ok().ok_or_else(|| self.wrong(key, "a token id")));
        optional(id, default)
    }

    fn counts(self, key: &str) -> Result<Vec<usize>, ModelError> {
        let wrong = || self.wrong(key, "a list of whole numbers");
        let values = self.get(key)?.as_array().ok_or_else(wrong)?;
        values.iter().map(|value| value.as_u64().map(|count| count as usize).ok_or_else(wrong)).collect()
    }

    fn activation(self, key: &str) -> Result<(), ModelError> {
        match self.get(key) {
            Ok(value) if value.as_str() != Some("silu") => Err(self.wrong(key, "`silu`")),
            _ => Ok(()),
        }
    }
}

/// Replaces an absent value; a wrong one stays an error.
fn optional<T>(value: Result<T, ModelError>, default: T) -> Result<T, ModelError> {
    match value {
        Err(ModelError::MissingKey { .. }) => Ok(default),
        other => other,
    }
}

impl Config {
    /// Reads `config.json`, in the layout of the released checkpoints or in that of newer transformers.
    ///
    /// # Errors
    /// [`ModelError::UnknownArchitecture`], [`ModelError::MissingKey`] or [`ModelError::WrongKey`], which
    /// name the key.
    pub fn from_hf(config: &Value) -> Result<Self, ModelError> {
        let top = Section { value: config, path: "" };
        match config.get("model_type").and_then(Value::as_str) {
            Some("qwen2_5_vl") => {}
            found => {
                return Err(ModelError::UnknownArchitecture {
                    found: found.unwrap_or("unnamed").chars().take(80).flat_map(char::escape_debug).collect(),
                    expected: "qwen2_5_vl",
                    file: FILE,
                });
            }
        }
        let text = match config.get("text_config") {
            Some(value) if value.is_object() => Section { value, path: "text_config." },
            _ => top,
        };
        let vision = Section { value: top.get("vision_config")?, path: "vision_config." };
        let text_config = read_text(top, text)?;
        let tokens = TokenIds {
            vision_start: top.token_or("vision_start_token_id", 151_652)?,
            vision_end: top.token_or("vision_end_token_id", 151_653)?,
            image_pad: top.token_or("image_token_id", 151_655)?,
        };
        let vision = read_vision(vision, text_config.d_model)?;
        Self { text: text_config, vision: Some(vision), tokens }.check(FILE)
    }
}

fn read_text(top: Section<'_>, text: Section<'_>) -> Result<TextConfig, ModelError> {
    text.activation("hidden_act")?;
    let (d_model, n_head) = (text.count("hidden_size")?, text.count("num_attention_heads")?);
    if n_head == 0 {
        return Err(text.wrong("num_attention_heads", "a positive count"));
    }
    // Newer transformers write `rope_parameters`, which also holds the base.
    let (rope_key, rope) = ["rope_scaling", "rope_parameters"]
        .into_iter()
        .find_map(|key| text.get(key).ok().map(|value| (key, value)))
        .ok_or_else(|| ModelError::MissingKey { key: format!("{}rope_scaling", text.path), file: FILE })?;
    let rope = Section { value: rope, path: "rope_scaling." };
    for key in ["type", "rope_type"] {
        let kind = rope.value.get(key).and_then(Value::as_str);
        if kind.is_some_and(|kind| !matches!(kind, "mrope" | "default")) {
            return Err(text.wrong(&format!("{rope_key}.{key}"), "`mrope` or `default`"));
        }
    }
    let section = rope.counts("mrope_section")?;
    let mrope_section =
        section.try_into().ok().ok_or_else(|| rope.wrong("mrope_section", "a list of three counts"))?;
    let rope_theta = match text.get("rope_theta") {
        Ok(_) => text.number_or("rope_theta", 1e6)?,
        Err(_) => rope.number_or("rope_theta", 1e6)?,
    };
    // The released checkpoints carry this at the top even where the rest moved into `text_config`.
    let tied = [top, text].into_iter().find_map(|section| section.value.get("tie_word_embeddings"));
    Ok(TextConfig {
        n_vocab: text.count("vocab_size")?,
        d_model,
        d_ffn: text.count("intermediate_size")?,
        n_layer: text.count("num_hidden_layers")?,
        n_head,
        n_kv_head: text.count_or("num_key_value_heads", n_head)?,
        d_head: text.count_or("head_dim", d_model / n_head)?,
        rms_eps: text.number_or("rms_norm_eps", 1e-6)?,
        rope_theta,
        mrope_section,
        tied: tied.and_then(Value::as_bool).unwrap_or(false),
    })
}

fn read_vision(vision: Section<'_>, d_text: usize) -> Result<VisionConfig, ModelError> {
    vision.activation("hidden_act")?;
    let patch_px = vision.count_or("patch_size", 14)?;
    Ok(VisionConfig {
        n_layer: vision.count("depth")?,
        d_model: vision.count("hidden_size")?,
        d_ffn: vision.count("intermediate_size")?,
        n_head: vision.count("num_heads")?,
        d_out: vision.count_or("out_hidden_size", d_text)?,
        n_channel: vision.count_or("in_channels", 3).and_then(|n| vision.count_or("in_chans", n))?,
        patch_px,
        n_frame: vision.count_or("temporal_patch_size", 2)?,
        merge: vision.count_or("spatial_merge_size", 2)?,
        window_px: vision.count_or("window_size", 112)?,
        full_attention: vision.counts("fullatt_block_indexes")?,
        // Fixed in the reference: no key carries it.
        rms_eps: 1e-6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flat() -> Value {
        json!({
            "model_type": "qwen2_5_vl", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 300, "rope_theta": 1e6,
            "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": true,
            "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
            "vision_start_token_id": 1, "vision_end_token_id": 2, "image_token_id": 3,
            "vision_config": {"depth": 2, "hidden_size": 32, "intermediate_size": 40, "num_heads": 2,
                "out_hidden_size": 64, "fullatt_block_indexes": [1], "window_size": 112, "patch_size": 14}
        })
    }

    #[test]
    fn both_layouts_read_the_same() {
        let old = Config::from_hf(&flat()).unwrap();
        let mut new = flat();
        let text: serde_json::Map<_, _> = [
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "hidden_act",
            "num_attention_heads",
            "num_key_value_heads",
            "vocab_size",
            "rms_norm_eps",
        ]
        .into_iter()
        .map(|key| (key.to_owned(), new.as_object_mut().unwrap().remove(key).unwrap()))
        .collect();
        new["text_config"] = Value::Object(text);
        new.as_object_mut().unwrap().remove("rope_scaling");
        new.as_object_mut().unwrap().remove("rope_theta");
        new["text_config"]["rope_parameters"] =
            json!({"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6});
        assert_eq!(Config::from_hf(&new).unwrap(), old);
        let vision = old.vision.unwrap();
        assert_eq!((old.text.d_head, vision.d_head(), vision.d_patch(), vision.window()), (16, 16, 1176, 4));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let check = |pointer: &str, value: Value, expected: &str| {
            let mut config = flat();
            *config.pointer_mut(pointer).unwrap() = value;
            let message = Config::from_hf(&config).unwrap_err().to_string();
            assert!(message.contains(expected), "{pointer}: {message}");
        };
        check("/model_type", json!("llava"), "`llava`");
        check("/hidden_size", json!("64"), "`hidden_size`");
        check("/hidden_size", Value::Null, "no key `hidden_size`");
        check("/num_attention_heads", json!(0), "`num_attention_heads`");
        check("/num_key_value_heads", json!(3), "`num_key_value_heads`");
        check("/rope_scaling/type", json!("yarn"), "`rope_scaling.type`");
        check("/rope_scaling/mrope_section", json!([2, 3]), "`rope_scaling.mrope_section`");
        check("/rope_scaling/mrope_section", json!([2, 3, 4]), "mrope_section");
        check("/vision_config/out_hidden_size", json!(65), "out_hidden_size");
        check("/vision_config/num_heads", json!(3), "num_heads");
        check("/vision_config/fullatt_block_indexes", json!(1), "fullatt_block_indexes");
        check("/vision_config", json!({}), "`vision_config.");
        check("/image_token_id", json!(300), "image_token_id");
        check("/hidden_act", json!("gelu"), "hidden_act");
    }
}
