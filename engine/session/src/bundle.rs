//! Everything a model brings with it: from a Hugging Face folder, a GGUF file with its projector, an Eosin
//! bundle, or the demonstration built into the program.
//!
//! Only this file opens weights for answering, so nothing unchecked reaches a model: architecture,
//! tokenizer, template, settings and memory are looked at before the first tensor is touched. Held true by
//! the tests below and by `tests/cli.rs` (real folders, damaged ones, missing parts).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use eosin_kernels::Arithmetic;
use eosin_model::ModelError;
use eosin_model::prepare::Preprocess;
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Qwen};
use eosin_weights::{Gguf, SafetensorsFolder, WeightSource};
use serde_json::Value;

use crate::SessionError;
use crate::manifest::{BundleKind, MANIFEST, Manifest, read_text, weights_hash};
use crate::memory;
use crate::prompt::Style;
use crate::sampler::SamplerSettings;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// No settings file is larger.
const MAX_JSON_BYTES: u64 = 64 << 20;
/// Answers are at most this long where neither model nor user says otherwise (Patho-R1's own setting).
const DEFAULT_MAX_TOKENS: usize = 2048;
/// The context of a model that does not state it.
const DEFAULT_CONTEXT: usize = 32_768;

/// Where a model is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum BundleSource {
    /// The demonstration built into the program.
    #[default]
    Demo,
    /// Files of the user.
    Files {
        /// A Hugging Face folder, a GGUF file or a bundle folder.
        model: PathBuf,
        /// The vision part of a GGUF file.
        mmproj: Option<PathBuf>,
    },
}

/// What can be said of a model before it is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModelCard {
    /// A name for people: never a path.
    pub name: String,
    /// Licence of the weights, where the model states it.
    pub licence: Option<String>,
    /// What must be said with every answer.
    pub notice: Option<String>,
    /// `sha256:…` or `sampled-sha256:…` of the weights.
    pub hash: String,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// Bytes that the weights and a conversation of 2048 tokens take.
    pub needed_bytes: u64,
    /// Tokens that the context holds.
    pub n_context: usize,
    /// Whether it can see.
    pub sees: bool,
}

/// Weights, opened and not loaded.
enum Weights {
    HuggingFace(SafetensorsFolder),
    Gguf(Box<GgufPair>),
}

/// A text model and the projector that gives it eyes.
struct GgufPair {
    text: Gguf,
    mmproj: Option<Gguf>,
}

/// A model with all that belongs to it, checked and ready to be loaded to a device.
pub struct ModelBundle {
    /// A name for people: never a path.
    pub name: String,
    /// Licence of the weights, where the model states it.
    pub licence: Option<String>,
    /// What must be said with every answer.
    pub notice: Option<String>,
    /// How the model wants to be asked.
    pub style: Style,
    /// `sha256:…` or `sampled-sha256:…` of the weights.
    pub hash: String,
    /// Sizes.
    pub config: Config,
    /// How pictures become patches.
    pub preprocess: Preprocess,
    /// How tokens are chosen unless the user says otherwise.
    pub sampler: SamplerSettings,
    /// Tokens made at most unless the user says otherwise.
    pub max_tokens: usize,
    /// Tokens that the context holds.
    pub n_context: usize,
    /// Tokens that end an answer.
    pub end_ids: Vec<u32>,
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
    weights: Weights,
    path: PathBuf,
}

impl std::fmt::Debug for ModelBundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelBundle({}, {})", self.name, self.hash)
    }
}

/// The small files of a model: in a folder, or in memory.
enum Files<'a> {
    Folder(&'a Path),
    Memory(&'a [(&'a str, &'static [u8])]),
}

impl Files<'_> {
    fn text(&self, name: &str) -> Result<Option<String>, SessionError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                if path.is_file() { Ok(Some(read_text(&path, MAX_JSON_BYTES)?)) } else { Ok(None) }
            }
            Self::Memory(files) => {
                let file = files.iter().find(|(own, _)| *own == name);
                Ok(file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()))
            }
        }
    }

    /// A JSON file, `Null` where it is missing.
    fn json(&self, name: &'static str) -> Result<Value, SessionError> {
        let Some(text) = self.text(name)? else { return Ok(Value::Null) };
        let path = if let Self::Folder(folder) = self { folder.join(name) } else { PathBuf::from(name) };
        serde_json::from_str(&text).map_err(|source| SessionError::Json { name, path, source })
    }

    /// The chat template, by the places that transformers looks in, newest first.
    fn template(&self) -> Result<Option<ChatTemplate>, SessionError> {
        let config = self.json("tokenizer_config.json")?;
        let source = match self.text("chat_template.jinja")? {
            Some(source) => Some(source),
            None => chosen_template(&self.json("chat_template.json")?["chat_template"])
                .or_else(|| chosen_template(&config["chat_template"])),
        };
        let Some(source) = source else { return Ok(None) };
        let mut special_tokens = Vec::new();
        for name in ["bos_token", "eos_token", "pad_token", "unk_token"] {
            // A token is its literal, or an object that holds it.
            let token = &config[name];
            if let Some(literal) = token.as_str().or(token["content"].as_str()) {
                special_tokens.push((name.to_owned(), literal.to_owned()));
            }
        }
        Ok(Some(ChatTemplate::new(&source, &special_tokens)?))
    }
}

/// A template is text, or one of several by name.
fn chosen_template(value: &Value) -> Option<String> {
    let by_name = |name: &str| {
        let entry = value.as_array()?.iter().find(|entry| entry["name"] == name)?;
        entry["template"].as_str().map(str::to_owned)
    };
    value.as_str().map(str::to_owned).or_else(|| by_name("default"))
}

/// A file's own words, as far as they are fit for a line.
fn line(words: &str) -> Option<String> {
    let fit: String = words.trim().chars().filter(|c| !c.is_control()).take(80).collect();
    Some(fit).filter(|fit| !fit.is_empty())
}

/// The licence that a model card states in its front matter.
fn card_licence(readme: &str) -> Option<String> {
    let matter = readme.strip_prefix("---")?.split("\n---").next()?;
    let stated =
        |key: &str| matter.lines().find_map(|own| line(own.strip_prefix(key)?.trim().trim_matches('"')));
    stated("license_name:").or_else(|| stated("license:"))
}

/// One id or a list of ids.
fn ids(value: &Value) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(one).collect(),
        value => one(value).into_iter().collect(),
    }
}

/// A positive count, where the key has one.
fn count(value: &Value) -> Option<usize> {
    value.as_u64().filter(|n| *n > 0).map(|n| n as usize)
}

impl ModelBundle {
    /// Opens what a source points at.
    pub fn open_source(source: &BundleSource) -> Result<Self, SessionError> {
        match source {
            BundleSource::Demo => Self::demo(),
            BundleSource::Files { model, mmproj } => Self::open(model, mmproj.as_deref()),
        }
    }

    /// Opens a Hugging Face folder, a GGUF file (with the projector that gives it eyes) or a bundle folder.
    ///
    /// # Errors
    /// [`SessionError`], which names what is missing or wrong and where.
    pub fn open(model: &Path, mmproj: Option<&Path>) -> Result<Self, SessionError> {
        let not_a_model = |found| SessionError::NotAModel { found, path: model.to_owned() };
        if model.is_dir() {
            if model.join(MANIFEST).is_file() {
                return Self::open_bundle(model);
            }
            if model.join("config.json").is_file() {
                return Self::open_hugging_face(model);
            }
            return Err(not_a_model("the folder has neither config.json nor manifest.toml"));
        }
        if !model.exists() {
            return Err(not_a_model("there is no such file or folder"));
        }
        let is_gguf = model.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        if !is_gguf {
            return Err(not_a_model("a model file must be a .gguf; of safetensors give the folder"));
        }
        let text = Gguf::open(model)?;
        let mmproj_gguf = mmproj.map(Gguf::open).transpose()?;
        let files: Vec<PathBuf> = std::iter::once(model).chain(mmproj).map(Path::to_owned).collect();
        let hash = weights_hash(&files)?;
        Self::from_gguf(text, mmproj_gguf, hash, &Files::Memory(&[]), model)
    }

    /// The demonstration built into the program.
    #[cfg(not(eosin_demo))]
    pub fn demo() -> Result<Self, SessionError> {
        Err(SessionError::NoDemo)
    }

    /// The demonstration built into the program.
    #[cfg(eosin_demo)]
    pub fn demo() -> Result<Self, SessionError> {
        macro_rules! demo {
            ($name:literal) => {
                ($name, include_bytes!(concat!("../../../assets/demo/vlm/", $name)).as_slice())
            };
        }
        let files = [
            demo!("weights.gguf"),
            demo!("mmproj.gguf"),
            demo!("tokenizer.json"),
            demo!("chat_template.jinja"),
            demo!("preprocessor_config.json"),
            demo!("generation_config.json"),
        ];
        let manifest = Manifest::from_text(include_str!("../../../assets/demo/vlm/manifest.toml"))?;
        // Part of the binary: nothing to verify, and no copy is made.
        let [text, mmproj] =
            [files[0].1, files[1].1].map(|bytes| Gguf::from_bytes(bytes::Bytes::from_static(bytes)));
        let hash = crate::manifest::bytes_hash(&[files[0].1, files[1].1]);
        let mut bundle =
            Self::from_gguf(text?, Some(mmproj?), hash, &Files::Memory(&files), Path::new("demo"))?;
        bundle.describe(manifest);
        Ok(bundle)
    }

    /// Opens an Eosin bundle, whose every file is checked against its manifest.
    fn open_bundle(folder: &Path) -> Result<Self, SessionError> {
        let manifest = Manifest::open(folder)?;
        if manifest.kind == BundleKind::Clip {
            return Err(SessionError::NotAsked { path: folder.to_owned() });
        }
        manifest.states("weights.gguf")?;
        let mut files = vec![folder.join("weights.gguf")];
        let mmproj = folder.join("mmproj.gguf");
        if mmproj.is_file() {
            manifest.states("mmproj.gguf")?;
            files.push(mmproj);
        }
        let text = Gguf::open(&files[0])?;
        let mmproj = files.get(1).map(|path| Gguf::open(path)).transpose()?;
        let hash = weights_hash(&files)?;
        let mut bundle = Self::from_gguf(text, mmproj, hash, &Files::Folder(folder), folder)?;
        bundle.describe(manifest);
        Ok(bundle)
    }

    /// Takes over what a manifest says of the model.
    fn describe(&mut self, manifest: Manifest) {
        self.style = Style::from_name(&manifest.style).unwrap_or_default();
        self.name = manifest.name;
        self.licence = Some(manifest.licence).filter(|licence| !licence.is_empty());
        self.notice = Some(manifest.notice).filter(|notice| !notice.is_empty());
    }

    fn open_hugging_face(folder: &Path) -> Result<Self, SessionError> {
        let files = Files::Folder(folder);
        let json = files.json("config.json")?;
        let kind = json["model_type"].as_str().unwrap_or("unknown");
        if kind == "clip" {
            return Err(SessionError::NotAsked { path: folder.to_owned() });
        }
        if kind != "qwen2_5_vl" {
            let found = kind.chars().take(80).flat_map(char::escape_debug).collect();
            return Err(SessionError::OtherModel { found, path: folder.to_owned() });
        }
        let config = Config::from_hf(&json)?;
        let tokenizer = Tokenizer::open(folder)?;
        let weights = SafetensorsFolder::open(folder)?;
        let generation = files.json("generation_config.json")?;
        let mut end_ids = ids(&generation["eos_token_id"]);
        end_ids.extend(ids(&json["eos_token_id"]));
        let text = if json["text_config"].is_object() { &json["text_config"] } else { &json };
        let n_context = count(&text["max_position_embeddings"]).or(count(&json["max_position_embeddings"]));
        let mut shards: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
            .collect();
        shards.sort();
        Ok(Self {
            name: "Qwen2.5-VL".to_owned(),
            licence: files.text("README.md")?.as_deref().and_then(card_licence),
            notice: None,
            style: Style::Plain,
            hash: weights_hash(&shards)?,
            preprocess: Preprocess::from_hf(&files.json("preprocessor_config.json")?)?,
            sampler: SamplerSettings::from_generation_config(&generation),
            max_tokens: count(&generation["max_new_tokens"]).unwrap_or(DEFAULT_MAX_TOKENS),
            n_context: n_context.unwrap_or(DEFAULT_CONTEXT),
            end_ids: with_known_ends(end_ids, &tokenizer),
            tokenizer: Some(tokenizer),
            template: files.template()?,
            config,
            weights: Weights::HuggingFace(weights),
            path: folder.to_owned(),
        })
    }

    /// Puts a model together from GGUF files; what `files` has goes before what the metadata say.
    fn from_gguf(
        text: Gguf,
        mmproj: Option<Gguf>,
        hash: String,
        files: &Files<'_>,
        path: &Path,
    ) -> Result<Self, SessionError> {
        let meta = text.meta();
        let config = Config::from_gguf(&text, mmproj.as_ref()).map_err(|error| match error {
            ModelError::UnknownArchitecture { found, .. } => {
                SessionError::OtherModel { found, path: path.to_owned() }
            }
            error => error.into(),
        })?;
        // The file's own name for the model, as far as it is fit for a line.
        let name = if meta.contains("general.name") { meta.str("general.name")? } else { "" };
        let name = line(name).unwrap_or_else(|| "Qwen2.5-VL".to_owned());
        let tokenizer = match files.text("tokenizer.json")? {
            Some(json) => Tokenizer::from_json_text(&json)?,
            None => gguf_tokenizer(&text)?,
        };
        let generation = files.json("generation_config.json")?;
        let mut end_ids = ids(&generation["eos_token_id"]);
        if meta.contains("tokenizer.ggml.eos_token_id") {
            end_ids.push(meta.u32("tokenizer.ggml.eos_token_id")?);
        }
        let template = match files.template()? {
            Some(template) => Some(template),
            None if meta.contains("tokenizer.chat_template") => {
                Some(ChatTemplate::new(meta.str("tokenizer.chat_template")?, &[])?)
            }
            None => None,
        };
        let preprocess = match (files.json("preprocessor_config.json")?, &mmproj) {
            (Value::Null, Some(mmproj)) => Preprocess::from_gguf(mmproj.meta())?,
            (Value::Null, None) => Preprocess::default(),
            (json, _) => Preprocess::from_hf(&json)?,
        };
        let n_context = if meta.contains("qwen2vl.context_length") {
            meta.u32("qwen2vl.context_length")? as usize
        } else {
            DEFAULT_CONTEXT
        };
        let licence =
            if meta.contains("general.license") { line(meta.str("general.license")?) } else { None };
        Ok(Self {
            name,
            licence,
            notice: None,
            style: Style::Plain,
            hash,
            preprocess,
            sampler: SamplerSettings::from_generation_config(&generation),
            max_tokens: count(&generation["max_new_tokens"]).unwrap_or(DEFAULT_MAX_TOKENS),
            n_context: n_context.max(1),
            end_ids: with_known_ends(end_ids, &tokenizer),
            tokenizer: Some(tokenizer),
            template,
            config,
            weights: Weights::Gguf(Box::new(GgufPair { text, mmproj })),
            path: path.to_owned(),
        })
    }

    /// Bytes that the weights take in memory: as many as in their files.
    pub fn weight_bytes(&self) -> u64 {
        match &self.weights {
            Weights::HuggingFace(folder) => {
                let names = folder.names();
                names
                    .iter()
                    .filter_map(|name| folder.tensor(name).ok())
                    .map(|raw| raw.bytes.len() as u64)
                    .sum()
            }
            Weights::Gguf(pair) => (pair.text.n_byte() + pair.mmproj.as_ref().map_or(0, Gguf::n_byte)) as u64,
        }
    }

    /// Bytes that the weights and a short conversation take.
    pub fn needed_bytes(&self) -> u64 {
        let text = &self.config.text;
        let kv_bytes = 2 * 4 * text.n_layer * text.n_kv_head * text.d_head * self.n_context.min(2048);
        self.weight_bytes() + kv_bytes as u64 + (64 << 20)
    }

    /// Fails where the machine has less free memory than the weights and a short conversation take.
    pub fn check_memory(&self) -> Result<(), SessionError> {
        memory::check(self.needed_bytes(), memory::available_bytes(), &self.path)
    }

    /// What is known of it without loading it.
    pub fn card(&self) -> ModelCard {
        let sees = match &self.weights {
            Weights::HuggingFace(_) => true,
            Weights::Gguf(pair) => pair.mmproj.is_some(),
        };
        ModelCard {
            name: self.name.clone(),
            licence: self.licence.clone(),
            notice: self.notice.clone(),
            hash: self.hash.clone(),
            weight_bytes: self.weight_bytes(),
            needed_bytes: self.needed_bytes(),
            n_context: self.n_context,
            sees,
        }
    }

    /// Loads the weights to a device.
    pub fn load(&self, device: &Device) -> Result<Qwen, SessionError> {
        // Answers may differ in a late digit from those of exact products, and come several times as fast.
        let form = WeightForm::Packed(Arithmetic::Rounded);
        Ok(match &self.weights {
            Weights::HuggingFace(folder) => Qwen::load(&self.config, folder, form, device)?,
            Weights::Gguf(pair) => {
                Qwen::load_gguf(&self.config, &pair.text, pair.mmproj.as_ref(), form, device)?
            }
        })
    }

    /// The file of the vision tower, where it is one of its own.
    pub(crate) fn vision_file(&self) -> Option<&Gguf> {
        match &self.weights {
            Weights::Gguf(pair) => pair.mmproj.as_ref(),
            Weights::HuggingFace(_) => None,
        }
    }

    /// Gives the tokenizer and the template away, once.
    pub(crate) fn take_words(&mut self) -> Option<(Tokenizer, Option<ChatTemplate>)> {
        Some((self.tokenizer.take()?, self.template.take()))
    }
}

/// The tokenizer that a GGUF file carries in its metadata.
fn gguf_tokenizer(text: &Gguf) -> Result<Tokenizer, SessionError> {
    let meta = text.meta();
    let kind = meta.str("tokenizer.ggml.model")?;
    let split = if meta.contains("tokenizer.ggml.pre") { meta.str("tokenizer.ggml.pre")? } else { "qwen2" };
    if kind != "gpt2" || split != "qwen2" {
        let kind = format!("{kind}/{split}").chars().take(80).flat_map(char::escape_debug).collect();
        return Err(crate::tokenizer::TokenizerError::OtherKind { kind }.into());
    }
    let kinds = if meta.contains("tokenizer.ggml.token_type") {
        meta.u32s("tokenizer.ggml.token_type")?
    } else {
        Vec::new()
    };
    let [tokens, merges] = ["tokenizer.ggml.tokens", "tokenizer.ggml.merges"].map(|key| meta.strings(key));
    Ok(Tokenizer::from_gguf(tokens?, &kinds, merges?)?)
}

/// The stated ends of an answer and those that every model of this family has.
fn with_known_ends(mut end_ids: Vec<u32>, tokenizer: &Tokenizer) -> Vec<u32> {
    end_ids.extend(["<|im_end|>", "<|endoftext|>"].iter().filter_map(|literal| tokenizer.added_id(literal)));
    end_ids.sort_unstable();
    end_ids.dedup();
    end_ids
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_model_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: &Path, part: &str| {
            let error = ModelBundle::open(path, None).unwrap_err();
            let text = eosin_core::error_chain(&error);
            assert!(text.contains(part), "{text}");
            assert!(eosin_core::Hint::hint(&error).is_some(), "{text}");
        };
        check(folder.path(), "neither config.json nor manifest.toml");
        check(&folder.path().join("absent"), "no such file");
        let file = folder.path().join("x.bin");
        std::fs::write(&file, "GGUF").unwrap();
        check(&file, ".gguf");
        let config = folder.path().join("config.json");
        for (text, part) in [
            ("{", "no sound JSON"),
            (r#"{"model_type": "qwen3_vl"}"#, "`qwen3_vl`"),
            (r#"{"model_type": "clip"}"#, "does not answer"),
            (r#"{"model_type": "qwen2_5_vl"}"#, "config.json"),
        ] {
            std::fs::write(&config, text).unwrap();
            check(folder.path(), part);
        }
    }

    #[test]
    fn settings_come_in_several_forms() {
        assert_eq!(ids(&json!([1, 2])), [1, 2]);
        assert_eq!(ids(&json!(7)), [7]);
        assert!(ids(&Value::Null).is_empty());
        assert_eq!(chosen_template(&json!("x")), Some("x".into()));
        let several = json!([{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]);
        assert_eq!(chosen_template(&several), Some("d".into()));
        assert_eq!(chosen_template(&json!(3)), None);
    }
}
