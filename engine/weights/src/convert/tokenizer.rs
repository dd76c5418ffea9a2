//! A `tokenizer.json` of byte-level BPE as the keys that GGUF files carry.

use serde_json::Value;

use super::ModelFiles;
use crate::error::quoted;
use crate::gguf::{MetaArray, MetaValue};

/// ggml's kinds of tokens.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Keys and values under `tokenizer.ggml`, with a token for each of `n_vocab` rows of the embedding.
pub(super) fn keys(files: &ModelFiles, n_vocab: usize) -> Result<Vec<(&'static str, MetaValue)>, String> {
    let tokenizer = parse(&files.tokenizer, "tokenizer.json")?;
    let model = &tokenizer["model"];
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
        return Err("the tokenizer is not byte-level BPE".to_owned());
    }
    let vocab = model["vocab"].as_object().ok_or("tokenizer.json has no vocabulary")?;
    let mut tokens = vec![None; n_vocab];
    let mut place = |id: &Value, token: &str, kind: i32| {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < n_vocab);
        let id = id.ok_or_else(|| format!("token `{}` has no row in the embedding", quoted(token)))?;
        tokens[id] = Some((token.to_owned(), kind));
        Ok::<(), String>(())
    };
    for (token, id) in vocab {
        place(id, token, NORMAL)?;
    }
    let added = tokenizer["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    for item in added {
        let token = item["content"].as_str().ok_or("an added token has no content")?;
        // Only the marked ones are special to the tokenizer, but all that look so steer the model.
        let looks_special = token.starts_with("<|") && token.ends_with("|>");
        let is_control = item["special"].as_bool().unwrap_or(false) || looks_special;
        place(&item["id"], token, if is_control { CONTROL } else { USER_DEFINED })?;
    }
    let (texts, kinds) = tokens
        .into_iter()
        .enumerate()
        .map(|(id, token)| token.unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED)))
        .unzip();

    let mut keys = vec![
        ("tokenizer.ggml.model", MetaValue::from("gpt2")),
        ("tokenizer.ggml.pre", MetaValue::from("qwen2")),
        ("tokenizer.ggml.tokens", MetaValue::Array(MetaArray::String(texts))),
        ("tokenizer.ggml.token_type", MetaValue::Array(MetaArray::I32(kinds))),
        ("tokenizer.ggml.merges", MetaValue::Array(MetaArray::String(merges(&model["merges"])?))),
    ];
    let settings = match &files.tokenizer_config {
        Some(text) => parse(text, "tokenizer_config.json")?,
        None => Value::Null,
    };
    let config = parse(&files.config, "config.json")?;
    for (key, name, fallback) in [
        ("tokenizer.ggml.bos_token_id", "bos", Some("<|endoftext|>")),
        ("tokenizer.ggml.eos_token_id", "eos", Some("<|im_end|>")),
        ("tokenizer.ggml.padding_token_id", "pad", Some("<|endoftext|>")),
    ] {
        // Either the token itself or an object about it.
        let special = &settings[format!("{name}_token")];
        let special = special.as_str().or(special["content"].as_str());
        let id_of = |token: &str| {
            let item = added.iter().find(|item| item["content"].as_str() == Some(token));
            item.map(|item| &item["id"]).or(vocab.get(token)).and_then(Value::as_u64)
        };
        let stated = || {
            let id = &config[format!("{name}_token_id")];
            let id = if id.is_null() { &config["text_config"][format!("{name}_token_id")] } else { id };
            id.as_u64().or(id[0].as_u64())
        };
        let id = special.and_then(id_of).or_else(stated).or_else(|| fallback.and_then(id_of));
        if let Some(id) = id.and_then(|id| u32::try_from(id).ok()).filter(|id| (*id as usize) < n_vocab) {
            keys.push((key, MetaValue::U32(id)));
        }
    }
    let is_set = |key: &str| MetaValue::Bool(settings[key].as_bool().unwrap_or(false));
    keys.push(("tokenizer.ggml.add_bos_token", is_set("add_bos_token")));
    keys.push(("tokenizer.ggml.add_eos_token", is_set("add_eos_token")));
    Ok(keys)
}

/// Merges are pairs in newer files and two words in older ones.
fn merges(value: &Value) -> Result<Vec<String>, String> {
    let merges = value.as_array().ok_or("tokenizer.json has no merges")?;
    let text = |merge: &Value| match merge {
        Value::String(text) => Some(text.clone()),
        Value::Array(pair) if pair.len() == 2 => Some(format!("{} {}", pair[0].as_str()?, pair[1].as_str()?)),
        _ => None,
    };
    merges
        .iter()
        .map(|merge| text(merge).ok_or_else(|| "a merge of tokenizer.json is no pair".to_owned()))
        .collect()
}

fn parse(text: &str, file: &str) -> Result<Value, String> {
    serde_json::from_str(text)
        .map_err(|error| format!("{file} cannot be read: {}", quoted(&error.to_string())))
}
