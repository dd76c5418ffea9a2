//! The small files beside a model's weights.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::About;
use crate::gguf::MetaValue;
use crate::{WeightError, atomic};

/// A tokenizer of 150 000 words has some ten megabytes.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The texts of a Hugging Face folder that a bundle needs, as they are in their files.
#[derive(Clone, Default, Debug)]
pub struct ModelFiles {
    /// `config.json`.
    pub config: String,
    /// `tokenizer.json`.
    pub tokenizer: String,
    /// `tokenizer_config.json`, which names the special tokens.
    pub tokenizer_config: Option<String>,
    /// The chat template itself, as in `chat_template.jinja`.
    pub chat_template: Option<String>,
    /// `preprocessor_config.json`.
    pub preprocessor: Option<String>,
    /// `generation_config.json`.
    pub generation: Option<String>,
}

impl ModelFiles {
    /// Reads them from a folder. The template is looked for in `chat_template.jinja`,
    /// `chat_template.json` and `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`WeightError::Read`] for the two that must be there, and for any that is no text or far too large.
    pub fn read(folder: &Path) -> Result<Self, WeightError> {
        let optional = |name: &str| {
            let path = folder.join(name);
            if path.exists() { read_text(&path).map(Some) } else { Ok(None) }
        };
        let chat_template = match optional("chat_template.jinja")? {
            Some(template) => Some(template),
            None => optional("chat_template.json")?.and_then(|text| {
                let value: Value = serde_json::from_str(&text).ok()?;
                Some(value["chat_template"].as_str()?.to_owned())
            }),
        };
        Ok(Self {
            config: read_text(&folder.join("config.json"))?,
            tokenizer: read_text(&folder.join("tokenizer.json"))?,
            tokenizer_config: optional("tokenizer_config.json")?,
            chat_template,
            preprocessor: optional("preprocessor_config.json")?,
            generation: optional("generation_config.json")?,
        })
    }

    /// The chat template, wherever it is.
    pub(super) fn template(&self) -> Result<Option<String>, String> {
        if let Some(template) = &self.chat_template {
            return Ok(Some(template.clone()));
        }
        let Some(text) = &self.tokenizer_config else { return Ok(None) };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("tokenizer_config.json cannot be read: {error}"))?;
        Ok(value["chat_template"].as_str().map(str::to_owned))
    }

    /// What `generation_config.json` says, as the keys that llama.cpp takes its defaults from.
    pub(super) fn sampling(&self) -> Result<Vec<(&'static str, MetaValue)>, String> {
        let Some(text) = &self.generation else { return Ok(Vec::new()) };
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("generation_config.json cannot be read: {error}"))?;
        let floats = [
            ("general.sampling.temp", "temperature"),
            ("general.sampling.top_p", "top_p"),
            ("general.sampling.penalty_repeat", "repetition_penalty"),
        ];
        let floats = floats
            .into_iter()
            .filter_map(|(key, name)| Some((key, MetaValue::F32(value[name].as_f64()? as f32))));
        let top_k = value["top_k"].as_u64().and_then(|k| i32::try_from(k).ok());
        Ok(floats.chain(top_k.map(|k| ("general.sampling.top_k", MetaValue::I32(k)))).collect())
    }

    /// Writes what a bundle keeps of them.
    pub(super) fn write(&self, about: &About, folder: &Path) -> Result<(), WeightError> {
        let template = self.template().unwrap_or_default();
        let card = if about.card.is_empty() { about.short_card() } else { about.card.clone() };
        for (name, text) in [
            ("tokenizer.json", Some(&self.tokenizer)),
            ("chat_template.jinja", template.as_ref()),
            ("preprocessor_config.json", self.preprocessor.as_ref()),
            ("generation_config.json", self.generation.as_ref()),
            ("card.md", Some(&card)),
        ] {
            if let Some(text) = text {
                atomic::write(&folder.join(name), text.as_bytes())?;
            }
        }
        Ok(())
    }
}

impl About {
    /// What a folder says about its model: the name of the folder, and of its `README.md` the licence and
    /// the base that the head states between two lines of dashes.
    pub fn read(folder: &Path) -> Self {
        let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
        let card = read_text(&folder.join("README.md")).unwrap_or_default();
        let head: Vec<&str> = match card.strip_prefix("---") {
            Some(rest) => rest.lines().skip(1).take_while(|line| line.trim_end() != "---").collect(),
            None => Vec::new(),
        };
        let stated = |key: &str| {
            let idx = head
                .iter()
                .position(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
            let value = head[idx][key.len() + 1..].trim();
            // Either behind the colon or as the first item of a list below.
            let value =
                if value.is_empty() { head.get(idx + 1)?.trim().strip_prefix('-')?.trim() } else { value };
            Some(value.trim_matches(['"', '\'', '[', ']']).to_owned())
        };
        let licence =
            stated("license").filter(|licence| licence != "other").or_else(|| stated("license_name"));
        Self {
            name: name.unwrap_or_default(),
            licence: licence.unwrap_or_default(),
            base: stated("base_model").unwrap_or_default(),
            card,
        }
    }

    fn short_card(&self) -> String {
        let or_unknown = |text: &str| if text.is_empty() { "not stated".to_owned() } else { text.to_owned() };
        let (name, base, licence) =
            (or_unknown(&self.name), or_unknown(&self.base), or_unknown(&self.licence));
        format!(
            "# {name}\n\n- Made from: {base}\n- Licence of the weights: {licence}\n\nNot a medical device.\n"
        )
    }
}

fn read_text(path: &Path) -> Result<String, WeightError> {
    let read = |source| WeightError::Read { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(read)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(read(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "not a file of sensible size",
        )));
    }
    fs::read_to_string(path).map_err(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_state_licence_and_base() {
        let check = |card: &str, licence: &str, base: &str| {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("README.md"), card).unwrap();
            let about = About::read(folder.path());
            assert_eq!((about.licence.as_str(), about.base.as_str()), (licence, base), "{card}");
        };
        check(
            "---\nlicense: apache-2.0\nbase_model:\n- Qwen/Qwen2.5-VL-3B\n---\n# x\n",
            "apache-2.0",
            "Qwen/Qwen2.5-VL-3B",
        );
        check("---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research", "");
        check("---\nlicense: \"mit\"\nbase_model: [\"a/b\"]\n", "mit", "a/b");
        check("license: mit\n", "", "");
        check("", "", "");
        check("---", "", "");
    }
}
