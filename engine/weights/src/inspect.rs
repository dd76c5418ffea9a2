//! What a file or folder of weights holds, without loading any of it.
//!
//! Only headers are read, so a model of many gigabytes is described at once. `tests/inspect.rs` describes
//! one of each kind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::convert::{About, Recipe};
use crate::cursor::malformed;
use crate::{Gguf, SafetensorsFolder, TorchCheckpoint, WeightError, WeightSource};

/// What a file or folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A folder with a `manifest.toml`.
    Bundle,
    /// A folder as Hugging Face distributes it.
    HuggingFace,
    /// One file of weights.
    File,
}

/// What a file or folder holds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Contents {
    /// What it is.
    pub kind: Kind,
    /// The architecture, from a header, a configuration or the names of tensors.
    pub architecture: Option<String>,
    /// What the model calls itself.
    pub name: Option<String>,
    /// The licence it states.
    pub licence: Option<String>,
    /// The model it says it was made from.
    pub base: Option<String>,
    /// Its files of weights.
    pub weights: Vec<WeightFile>,
    /// Other files of a model that are beside them: tokenizer, template, configurations.
    pub companions: Vec<String>,
}

/// One file of weights, or several that are one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WeightFile {
    /// The file's name, without the folder.
    pub file: String,
    /// `GGUF`, `safetensors` or `torch`.
    pub container: &'static str,
    /// The architecture in its header, or guessed from names of tensors.
    pub architecture: Option<String>,
    /// The mixture of types, as in `Q4_K_M`, where the file states it.
    pub mixture: Option<String>,
    /// Bytes of all tensors.
    pub tensor_bytes: u64,
    /// Elements of all tensors.
    pub n_parameter: u64,
    /// Tensors by type.
    pub types: BTreeMap<&'static str, TypeCount>,
    /// Keys of the header, without long lists.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, Value>,
}

/// Tensors of one type.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct TypeCount {
    /// Tensors.
    pub n_tensor: usize,
    /// Elements.
    pub n_parameter: u64,
    /// Bytes.
    pub n_byte: u64,
}

const COMPANIONS: [&str; 14] = [
    "manifest.toml",
    "card.md",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "generation_config.json",
    "open_clip_config.json",
    "README.md",
    "LICENSE",
];

/// Describes a `.gguf`, `.safetensors` or torch file, an Eosin bundle or a Hugging Face folder.
///
/// # Errors
/// Those of the containers; [`WeightError::Malformed`] where nothing of the kind is there.
pub fn inspect(path: &Path) -> Result<Contents, WeightError> {
    if !path.is_dir() {
        let file = weight_file(path)?;
        let text = |key: &str| file.keys.get(key).and_then(Value::as_str).map(str::to_owned);
        return Ok(Contents {
            kind: Kind::File,
            architecture: file.architecture.clone(),
            name: text("general.name"),
            licence: text("general.license"),
            base: text("general.base_model.0.name"),
            weights: vec![file],
            companions: Vec::new(),
        });
    }
    let kind = if path.join("manifest.toml").is_file() { Kind::Bundle } else { Kind::HuggingFace };
    let weights = folder_weights(path)?;
    let config: Value = fs::read(path.join("config.json"))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Value::Null);
    let stated = |key: &str| weights.iter().find_map(|file| Some(file.keys.get(key)?.as_str()?.to_owned()));
    let about = About::read(path);
    let or_stated =
        |text: String, key: &str| Some(text).filter(|text| !text.is_empty()).or_else(|| stated(key));
    let of_config = config["architectures"][0].as_str().or(config["model_type"].as_str()).map(str::to_owned);
    // A vision tower alone, which GGUF calls `clip`, is not what a folder is about.
    let has_text = |file: &&WeightFile| file.architecture.as_deref() != Some("clip");
    let of_weights =
        || weights.iter().filter(has_text).chain(&weights).find_map(|file| file.architecture.clone());
    Ok(Contents {
        kind,
        architecture: of_config.or_else(of_weights),
        name: stated("general.name").or(Some(about.name)).filter(|name| !name.is_empty()),
        licence: or_stated(about.licence, "general.license"),
        base: or_stated(about.base, "general.base_model.0.name"),
        companions: COMPANIONS
            .iter()
            .filter(|name| path.join(name).is_file())
            .map(|name| (*name).to_owned())
            .collect(),
        weights,
    })
}

/// All files of weights in a folder, each once.
fn folder_weights(folder: &Path) -> Result<Vec<WeightFile>, WeightError> {
    let read = |source| WeightError::Read { path: folder.to_owned(), source };
    let mut single = Vec::new();
    let mut has_safetensors = false;
    for item in fs::read_dir(folder).map_err(read)? {
        let path = item.map_err(read)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gguf" | "pt" | "pth") => single.push(path),
            // Others of this ending are settings of a training run, pickled.
            Some("bin") if name.contains("pytorch_model") => single.push(path),
            Some("safetensors") => has_safetensors = true,
            _ => {}
        }
    }
    single.sort();
    let mut files = Vec::new();
    if has_safetensors {
        files.push(weight_file(folder)?);
    }
    for path in single {
        files.push(weight_file(&path)?);
    }
    if files.is_empty() {
        return Err(malformed!("the folder holds no weights").of("model", folder));
    }
    Ok(files)
}

/// Describes one file by its first bytes, or a folder of safetensors.
fn weight_file(path: &Path) -> Result<WeightFile, WeightError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        let source = SafetensorsFolder::open(path)?;
        return describe("*.safetensors".to_owned(), "safetensors", &source);
    }
    let start: Vec<u8> = crate::map::map(path)?.iter().take(4).copied().collect();
    match start.as_slice() {
        b"GGUF" => {
            let source = Gguf::open(path)?;
            let mut file = describe(name, "GGUF", &source)?;
            let meta = source.meta();
            file.architecture = meta.str("general.architecture").ok().map(str::to_owned);
            let mixture = meta.u32("general.file_type").ok().and_then(Recipe::from_file_type);
            file.mixture = mixture.map(|recipe| recipe.name().to_owned());
            file.keys =
                meta.iter().filter_map(|(key, value)| Some((key.to_owned(), value.to_json()?))).collect();
            Ok(file)
        }
        // A zip archive, or a pickle, which is refused with its reason.
        b"PK\x03\x04" | [0x80, ..] => describe(name, "torch", &TorchCheckpoint::open(path)?),
        // By its name it should have been one; the reader says what is wrong.
        _ if path.extension().is_some_and(|extension| extension == "gguf") => {
            describe(name, "GGUF", &Gguf::open(path)?)
        }
        _ => describe(name, "safetensors", &SafetensorsFolder::open(path)?),
    }
}

fn describe(
    file: String,
    container: &'static str,
    source: &dyn WeightSource,
) -> Result<WeightFile, WeightError> {
    let mut types: BTreeMap<&'static str, TypeCount> = BTreeMap::new();
    let (mut n_parameter, mut tensor_bytes) = (0, 0);
    for name in source.names() {
        let tensor = source.tensor(name)?;
        let count = types.entry(tensor.kind.name()).or_default();
        count.n_tensor += 1;
        count.n_parameter += tensor.n_element() as u64;
        count.n_byte += tensor.bytes.len() as u64;
        n_parameter += tensor.n_element() as u64;
        tensor_bytes += tensor.bytes.len() as u64;
    }
    let architecture = guess(source).map(str::to_owned);
    Ok(WeightFile {
        file,
        container,
        architecture,
        mixture: None,
        tensor_bytes,
        n_parameter,
        types,
        keys: BTreeMap::new(),
    })
}

/// The architecture that names of tensors give away.
fn guess(source: &dyn WeightSource) -> Option<&'static str> {
    const SIGNS: [(&str, &str); 5] = [
        ("visual.patch_embed.proj.weight", "Qwen2.5-VL"),
        ("model.visual.patch_embed.proj.weight", "Qwen2.5-VL"),
        ("visual.conv1.weight", "CLIP (open_clip names)"),
        ("vision_model.embeddings.patch_embedding.weight", "CLIP (transformers names)"),
        ("visual.trunk.patch_embed.proj.weight", "CLIP (timm tower)"),
    ];
    SIGNS.into_iter().find(|(name, _)| source.contains(name)).map(|(_, architecture)| architecture)
}
