//! Adapters as the `peft` library keeps them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! Maps are named by the ends of their names, which are the same in every version of transformers and match no other
//! map: `layers.0.self_attn.q_proj` is the decoder's, `blocks.0.attn.qkv` the tower's. What is read is what is
//! written, and what `peft` itself writes, as far as it is plain `LoRA`: other methods and per-map ranks are refused.
//! `tests/train_export.rs` has `peft` open the folder and compares scores.

use std::fs;
use std::path::Path;

use eosin_model::lora::{LoraSettings, Part};
use eosin_model::qwen::Qwen;
use eosin_weights::{MemoryTensors, SafetensorsFolder, write_safetensors};
use serde_json::{Value, json};

use crate::checkpoint::write_synced;
use crate::error::TrainError;

/// The settings' file.
pub const CONFIG: &str = "adapter_config.json";
/// The matrices' file.
pub const WEIGHTS: &str = "adapter_model.safetensors";

/// Writes the model's adapters into a folder; `base` is where the model that they adapt is found, by name or path.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Engine`]; [`TrainError::Plan`] where the model has no adapters.
pub fn write(model: &Qwen, settings: &LoraSettings, base: &str, dir: &Path) -> Result<(), TrainError> {
    let adapters = model.adapters().map_err(TrainError::engine("cannot name the adapters"))?;
    if adapters.is_empty() {
        return Err(TrainError::plan("the model has no adapters to write"));
    }
    fs::create_dir_all(dir).map_err(TrainError::file("create the folder", dir))?;
    let config = json!({
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "task_type": null,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": model.adapted_maps(),
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
        "use_rslora": false,
        "use_dora": false,
        "rank_pattern": {},
        "alpha_pattern": {},
    });
    write_synced(&dir.join(CONFIG), super::pretty(&config)?.as_bytes())?;
    let tensors =
        adapters.into_iter().map(|tensor| (tensor.name, tensor.shape.to_vec(), tensor.values)).collect();
    let tensors =
        MemoryTensors::from_f32(tensors).map_err(TrainError::engine("cannot collect the adapters"))?;
    write_safetensors(&dir.join(WEIGHTS), &tensors).map_err(TrainError::engine("cannot write the adapters"))
}

/// Attaches the adapters of a folder to a model, which keeps everything else as it is.
///
/// # Errors
/// [`TrainError::File`]; [`TrainError::Plan`] for methods that are not read; [`TrainError::Engine`] where adapters and
/// model do not fit each other.
pub fn read(model: Qwen, dir: &Path) -> Result<(Qwen, LoraSettings), TrainError> {
    let path = dir.join(CONFIG);
    let text = fs::read(&path).map_err(TrainError::file("read", &path))?;
    let config: Value =
        serde_json::from_slice(&text).map_err(TrainError::engine("cannot read adapter_config.json"))?;
    let settings = settings(&config).map_err(TrainError::plan)?;
    let weights = SafetensorsFolder::open(&dir.join(WEIGHTS))
        .map_err(TrainError::engine("cannot read the adapters"))?;
    let model = model
        .load_adapters(&weights, &settings)
        .map_err(TrainError::engine("the adapters do not fit the model"))?;
    Ok((model, settings))
}

/// The settings of an `adapter_config.json`, or why they cannot be used.
fn settings(config: &Value) -> Result<LoraSettings, String> {
    let is_set = |key: &str| match &config[key] {
        Value::Null | Value::Bool(false) => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    if config["peft_type"] != "LORA" {
        return Err(format!("adapters of type {} are not read, only LORA", config["peft_type"]));
    }
    for key in
        ["use_dora", "use_rslora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out"]
    {
        if is_set(key) {
            return Err(format!("adapters with `{key}` are not read"));
        }
    }
    if config["bias"].as_str().is_some_and(|bias| bias != "none") {
        return Err("adapters that learned biases are not read".to_owned());
    }
    let rank = config["r"].as_u64().ok_or("adapter_config.json has no rank `r`")? as usize;
    let alpha = config["lora_alpha"].as_f64().ok_or("adapter_config.json has no `lora_alpha`")?;
    // Which maps there are, the file of matrices says; the list may be a pattern of any kind.
    let targets = match &config["target_modules"] {
        Value::Array(names) => names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        Value::String(pattern) => vec![pattern.clone()],
        _ => return Err("adapter_config.json has no `target_modules`".to_owned()),
    };
    Ok(LoraSettings { rank, alpha, targets, parts: Part::ALL.to_vec(), seed: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_methods_are_refused_by_name() {
        let plain = json!({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]});
        let found = settings(&plain).unwrap();
        assert_eq!((found.rank, found.alpha, found.targets), (4, 8.0, vec!["q_proj".to_owned()]));
        let check = |key: &str, value: Value, expected: &str| {
            let mut config = plain.clone();
            config[key] = value;
            let error = settings(&config).unwrap_err();
            assert!(error.contains(expected), "{key}: {error}");
        };
        check("peft_type", json!("IA3"), "IA3");
        check("use_dora", json!(true), "use_dora");
        check("use_rslora", json!(true), "use_rslora");
        check("rank_pattern", json!({"q_proj": 2}), "rank_pattern");
        check("bias", json!("all"), "biases");
        check("r", Value::Null, "`r`");
        check("target_modules", Value::Null, "target_modules");
    }
}
