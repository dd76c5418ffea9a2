//! Tiles and texts to [`Embedding`]s: a CLIP model with all that belongs to it.
//!
//! A model may lie in five ways: an Eosin bundle, a Hugging Face folder, an `open_clip` folder, or one
//! weight file of either make; and a demonstration is built into the program. [`ClipBundle::open`] looks at what
//! is there, says what it decided ([`ClipBundle::summary`]) and checks the small files; [`ClipBundle::load`]
//! unpacks the weights onto a device. The name in an embedding is a hash over weights, activation and preprocessing, for a change of
//! any of them moves every vector. Held true by `tests/parity_clip.rs`.
//!
//! This file is long because a CLIP bundle and the model in it belong together, and half of it is the ways to open one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use eosin_core::{DeviceChoice, Embedding, EmbeddingError, Hint, RgbTile};
use eosin_kernels::device::{DeviceError, SelectedDevice, select};
use eosin_model::clip::{
    Activation, Clip, ClipError, ClipTokenizer, Config, CropRounding, Encoder, Format, Preprocess, Style,
    TokenBatch,
};
use eosin_weights::{GgmlType, Gguf, SafetensorsFolder, TorchCheckpoint, WeightError, WeightSource};
use serde_json::Value;

use crate::manifest::{BundleKind, MANIFEST, Manifest, ManifestError, bytes_hash, read_text, weights_hash};

/// Tiles that go through the image tower together: more fill no core better and need more memory.
const TILES_AT_ONCE: usize = 8;
/// Texts that go through the text tower together; they are padded to the longest.
const TEXTS_AT_ONCE: usize = 32;
/// A tokenizer of half a million entries has some 30 MB.
const MAX_TEXT_BYTES: u64 = 64 << 20;

/// Why a CLIP model cannot be opened, or something cannot be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// There is no model where one was looked for.
    #[error("no CLIP model found: {cause}: {}", path.display())]
    NoModel {
        /// What was looked for.
        cause: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// A file of settings is not JSON.
    #[error("not a sound JSON file: {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A bundle's manifest, or another small file.
    #[error("cannot open the model")]
    Manifest {
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A bundle of another kind.
    #[error("this bundle answers questions, it makes no embeddings: {}", path.display())]
    OtherKind {
        /// The bundle.
        path: PathBuf,
    },
    /// The weight file.
    #[error("cannot open the weights")]
    Weights {
        /// What is wrong with it.
        source: WeightError,
    },
    /// The model itself.
    #[error("cannot use the CLIP model")]
    Clip {
        /// What is wrong with it.
        source: ClipError,
    },
    /// The device asked for.
    #[error("cannot use the device")]
    Device {
        /// What is wrong with it.
        source: DeviceError,
    },
    /// The program was built without its demonstration.
    #[error("this program was built without the demonstration CLIP")]
    NoDemo,
    /// A text was to be embedded by a model that came without a tokenizer.
    #[error("the model came without a tokenizer, so that texts cannot be embedded")]
    NoTokenizer,
    /// The device gave no result.
    #[error("the device returned no embeddings: {cause}")]
    Readback {
        /// What it said.
        cause: String,
    },
    /// The result has no direction: the weights are damaged.
    #[error("unusable embedding")]
    Embedding {
        /// What is wrong with it.
        source: EmbeddingError,
    },
}

impl Hint for EmbedError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoModel { .. } => Some(
                "give a folder saved by transformers or open_clip, an Eosin bundle, or one .pt or .safetensors file",
            ),
            Self::NoDemo => Some("name a model with `--model` or `--clip`"),
            Self::Manifest { source } => source.hint(),
            Self::Weights { source } => source.hint(),
            Self::Clip { source } => source.hint(),
            Self::Device { source } => source.hint(),
            Self::NoTokenizer => {
                Some("give one with `--tokenizer`: a tokenizer.json, a merges.txt, or a folder that has them")
            }
            Self::Embedding { .. } => Some("copy the weights again and compare their checksum"),
            Self::Json { .. } | Self::OtherKind { .. } | Self::Readback { .. } => None,
        }
    }
}

/// Where a CLIP model is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum ClipSource {
    /// The demonstration built into the program.
    #[default]
    Demo,
    /// A folder, or one weight file.
    Path(PathBuf),
}

/// How a file of weights is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Container {
    Safetensors,
    Torch,
    Gguf,
}

/// What was asked about a model beyond its place.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClipOptions {
    /// Overrides the activation that the files state or imply.
    pub activation: Option<Activation>,
    /// A `tokenizer.json`, a list of merges, or a folder with either, for models that came without.
    pub tokenizer: Option<PathBuf>,
    /// What the processor multiplies in; unless asked for, 32-bit floats, or bf16 where the file stores that. Vectors
    /// of one model in either are compared with one another: their cosine is above 0.999.
    pub format: Option<Format>,
}

/// Where the activation was learnt from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActivationSource {
    /// The caller.
    Asked,
    /// `config.json` or `open_clip_config.json`.
    Stated,
    /// Nothing states it: what `open_clip` does with such a file.
    Implied,
}

/// What can be done about words.
#[derive(Clone, Debug)]
enum Words {
    /// There is no tokenizer.
    Absent,
    /// They can be embedded.
    Ready(Box<ClipTokenizer>),
    /// The tokenizer beside the weights is not usable: perhaps it is another model's. Pictures need none, so
    /// this is told when a text comes.
    Unusable(String),
}

/// A CLIP model found and checked, its weights still on disk.
pub struct ClipBundle {
    weights: Box<dyn WeightSource>,
    style: Style,
    config: Config,
    activation_source: ActivationSource,
    preprocess: Preprocess,
    words: Words,
    model: Arc<str>,
    name: String,
    notice: Option<String>,
    format: Format,
}

impl std::fmt::Debug for ClipBundle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClipBundle").field("config", &self.config).finish_non_exhaustive()
    }
}

impl ClipBundle {
    /// Opens a model with what its files say of it.
    ///
    /// # Errors
    /// [`EmbedError`]: nothing there, damaged, or no CLIP.
    pub fn open(path: &Path) -> Result<Self, EmbedError> {
        Self::open_with(path, &ClipOptions::default())
    }

    /// Opens a model and overrides what its files say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with(path: &Path, options: &ClipOptions) -> Result<Self, EmbedError> {
        let (file, container, manifest) = find_weights(path)?;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let open = |file: &Path| -> Result<Box<dyn WeightSource>, WeightError> {
            Ok(match container {
                Container::Safetensors => Box::new(SafetensorsFolder::open(file)?),
                Container::Torch => Box::new(TorchCheckpoint::open(file)?),
                Container::Gguf => Box::new(Gguf::open(file)?),
            })
        };
        let weights = open(&file).map_err(|source| EmbedError::Weights { source })?;
        let files = weight_files(&file, container)?;
        let hash = weights_hash(&files).map_err(|source| EmbedError::Manifest { source })?;
        let bundle = Self::assemble(weights, &hash, SmallFiles::Folder(folder), options)?;
        Ok(bundle.described(manifest))
    }

    /// Opens what a source points at.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_source(source: &ClipSource) -> Result<Self, EmbedError> {
        Self::open_source_with(source, &ClipOptions::default())
    }

    /// Opens what a source points at and overrides what its files say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_source_with(source: &ClipSource, options: &ClipOptions) -> Result<Self, EmbedError> {
        match source {
            ClipSource::Demo => Self::demo(options),
            ClipSource::Path(path) => Self::open_with(path, options),
        }
    }

    /// The demonstration built into the program.
    #[cfg(not(eosin_demo_clip))]
    fn demo(_options: &ClipOptions) -> Result<Self, EmbedError> {
        Err(EmbedError::NoDemo)
    }

    /// The demonstration built into the program.
    #[cfg(eosin_demo_clip)]
    fn demo(options: &ClipOptions) -> Result<Self, EmbedError> {
        macro_rules! demo {
            ($name:literal) => {
                ($name, include_bytes!(concat!("../../../assets/demo/clip/", $name)).as_slice())
            };
        }
        const WEIGHTS: &[u8] = include_bytes!("../../../assets/demo/clip/weights.gguf");
        let files = [
            demo!("config.json"),
            demo!("preprocessor_config.json"),
            demo!("tokenizer_config.json"),
            demo!("vocab.json"),
            demo!("merges.txt"),
        ];
        // Part of the binary: nothing to verify, and no copy is made.
        let weights = Gguf::from_bytes(bytes::Bytes::from_static(WEIGHTS));
        let weights = weights.map_err(|source| EmbedError::Weights { source })?;
        let manifest = Manifest::from_text(include_str!("../../../assets/demo/clip/manifest.toml"));
        let manifest = manifest.map_err(|source| EmbedError::Manifest { source })?;
        let hash = bytes_hash(&[WEIGHTS]);
        let bundle = Self::assemble(Box::new(weights), &hash, SmallFiles::Memory(&files), options)?;
        Ok(bundle.described(Some(manifest)))
    }

    /// Puts a model together from its weights and the small files beside them.
    fn assemble(
        weights: Box<dyn WeightSource>,
        hash: &str,
        files: SmallFiles<'_>,
        options: &ClipOptions,
    ) -> Result<Self, EmbedError> {
        let clip = |source| EmbedError::Clip { source };
        let style = Style::detect(&*weights).map_err(clip)?;
        let (config, mut activation_source, preprocess) = match style {
            Style::HuggingFace => {
                let Some(json) = files.json("config.json")? else {
                    let cause = "these weights need their config.json beside them";
                    return Err(EmbedError::NoModel { cause, path: files.path("") });
                };
                let config = Config::from_hf(&json).map_err(clip)?;
                let preprocess = match files.json("preprocessor_config.json")? {
                    Some(json) => Preprocess::from_hf(&json, &config.vision).map_err(clip)?,
                    None => Preprocess::standard(&config.vision, CropRounding::Down),
                };
                (config, ActivationSource::Stated, preprocess)
            }
            Style::OpenClip => {
                let json = files.json("open_clip_config.json")?;
                let part = |key| json.as_ref().and_then(|json| json.get(key));
                let config = Config::from_open_clip(&*weights, part("model_cfg")).map_err(clip)?;
                let preprocess = match part("preprocess_cfg") {
                    Some(json) => Preprocess::from_open_clip(json, &config.vision).map_err(clip)?,
                    None => Preprocess::standard(&config.vision, CropRounding::HalfToEven),
                };
                let stated = part("model_cfg").is_some_and(|cfg| cfg.get("quick_gelu").is_some());
                let source = if stated { ActivationSource::Stated } else { ActivationSource::Implied };
                (config, source, preprocess)
            }
        };
        let config = match options.activation {
            Some(activation) => {
                activation_source = ActivationSource::Asked;
                config.with_activation(activation)
            }
            None => config,
        };
        let words = match &options.tokenizer {
            Some(path) => {
                let Some(tokenizer) = read_tokenizer(path, config.text.n_context)? else {
                    let cause = "there is no tokenizer.json, vocab.json with merges.txt, or list of merges";
                    return Err(EmbedError::NoModel { cause, path: path.clone() });
                };
                Words::Ready(Box::new(tokenizer))
            }
            None => match files.tokenizer(config.text.n_context) {
                Ok(Some(tokenizer)) => Words::Ready(Box::new(tokenizer)),
                Ok(None) => Words::Absent,
                Err(EmbedError::Clip { source: ClipError::Tokenizer { cause } }) => Words::Unusable(cause),
                Err(error) => return Err(error),
            },
        };
        let measures = format!("{config:?} {preprocess:?}");
        let model = bytes_hash(&[b"clip", hash.as_bytes(), measures.as_bytes()]).into();
        let name = format!("CLIP {}/{}", config.vision.image_px, config.vision.patch_px);
        let format = options.format.unwrap_or_else(|| stored_format(&*weights));
        let notice = None;
        Ok(Self { weights, style, config, activation_source, preprocess, words, model, name, notice, format })
    }

    /// Takes over what a manifest says of the model.
    fn described(mut self, manifest: Option<Manifest>) -> Self {
        if let Some(Manifest { name, notice, .. }) = manifest {
            self.name = name;
            self.notice = Some(notice).filter(|notice| !notice.is_empty());
        }
        self
    }

    /// A name for people: never a path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What must be said with what the model finds.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// The measures of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The activation used, and how it was learnt.
    pub fn activation(&self) -> (Activation, ActivationSource) {
        (self.config.vision.activation, self.activation_source)
    }

    /// The name that its embeddings carry.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// Whether texts can be embedded.
    pub fn has_tokenizer(&self) -> bool {
        matches!(self.words, Words::Ready(_))
    }

    /// One line about what was found and decided.
    pub fn summary(&self) -> String {
        let Config { d_embed, vision, text } = &self.config;
        let names = match self.style {
            Style::HuggingFace => "Hugging Face",
            Style::OpenClip => "open_clip",
        };
        let source = match self.activation_source {
            ActivationSource::Asked => "as asked",
            ActivationSource::Stated => "as its configuration states",
            ActivationSource::Implied => {
                "as open_clip assumes; its file does not tell, see `--activation` for OpenAI's weights"
            }
        };
        let products =
            if self.format == Format::Bf16 { ", products in bf16 where the processor has it" } else { "" };
        format!(
            "CLIP ({names}): {image_px} px in {patch_px} px patches, {n_vision} + {n_text} blocks, \
             {d_embed} dimensions, activation {activation} ({source}){products}",
            image_px = vision.image_px,
            patch_px = vision.patch_px,
            n_vision = vision.n_layer,
            n_text = text.n_layer,
            activation = vision.activation,
        )
    }

    /// Unpacks the weights onto a device.
    ///
    /// # Errors
    /// Where the device cannot be had or a tensor is missing or of another shape.
    pub fn load(self, choice: DeviceChoice) -> Result<Embedder, EmbedError> {
        let SelectedDevice { device, name, .. } =
            select(choice).map_err(|source| EmbedError::Device { source })?;
        let clip = Clip::load(&self.config, &*self.weights, &device);
        let clip = clip.map_err(|source| EmbedError::Clip { source })?;
        Ok(Embedder {
            encoder: Encoder::new(clip, &self.config, self.format),
            config: self.config,
            preprocess: self.preprocess,
            words: self.words,
            model: self.model,
            device,
            device_name: name,
        })
    }
}

/// A CLIP model on its device.
#[derive(Debug)]
pub struct Embedder {
    encoder: Encoder,
    config: Config,
    preprocess: Preprocess,
    words: Words,
    model: Arc<str>,
    device: Device,
    device_name: String,
}

impl Embedder {
    /// The name that its embeddings carry.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The device it computes on.
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// Factor on cosines before a softmax over texts: exp of the learnt scale.
    ///
    /// # Errors
    /// [`EmbedError::Readback`] where the device fails.
    pub fn logit_scale(&self) -> Result<f32, EmbedError> {
        let values = read_floats(self.encoder.logit_scale().unsqueeze())?;
        Ok(values.first().copied().unwrap_or(0.0).exp())
    }

    /// Embeds tiles of any size and shape, in order.
    ///
    /// # Errors
    /// [`EmbedError::Readback`] where the device fails, [`EmbedError::Embedding`] for damaged weights.
    pub fn embed_tiles(&self, tiles: &[RgbTile]) -> Result<Vec<Embedding>, EmbedError> {
        let mut embeddings = Vec::with_capacity(tiles.len());
        for tiles in tiles.chunks(TILES_AT_ONCE) {
            let pixels = self.preprocess.batch(tiles, &self.device);
            self.collect(self.encoder.encode_image(pixels), &mut embeddings)?;
        }
        Ok(embeddings)
    }

    /// Features of tiles before they are brought to unit length, as linear probes are fed.
    ///
    /// # Errors
    /// [`EmbedError::Readback`] where the device fails.
    pub fn tile_features(&self, tiles: &[RgbTile]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let mut features = Vec::with_capacity(tiles.len());
        for tiles in tiles.chunks(TILES_AT_ONCE) {
            let values = read_floats(self.encoder.encode_image(self.preprocess.batch(tiles, &self.device)))?;
            features.extend(values.chunks_exact(self.config.d_embed).map(<[f32]>::to_vec));
        }
        Ok(features)
    }

    /// Embeds texts, in order; those longer than the context are cut.
    ///
    /// # Errors
    /// [`EmbedError::NoTokenizer`]; as [`Self::embed_tiles`]; [`EmbedError::Clip`] where the tokenizer is
    /// another model's.
    pub fn embed_texts<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Embedding>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let clip = |source| EmbedError::Clip { source };
        let tokenizer = match &self.words {
            Words::Ready(tokenizer) => tokenizer,
            Words::Absent => return Err(EmbedError::NoTokenizer),
            Words::Unusable(cause) => return Err(clip(ClipError::Tokenizer { cause: cause.clone() })),
        };
        let mut embeddings = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            let ids = texts.iter().map(|text| tokenizer.encode(text.as_ref()));
            let ids = ids.collect::<Result<Vec<_>, _>>().map_err(clip)?;
            let batch = TokenBatch::new(&ids, &self.config.text).map_err(clip)?;
            self.collect(self.encoder.encode_text(&batch), &mut embeddings)?;
        }
        Ok(embeddings)
    }

    fn collect(&self, features: Tensor<2>, embeddings: &mut Vec<Embedding>) -> Result<(), EmbedError> {
        for values in read_floats(features)?.chunks_exact(self.config.d_embed) {
            let embedding = Embedding::new(self.model.clone(), values.to_vec());
            embeddings.push(embedding.map_err(|source| EmbedError::Embedding { source })?);
        }
        Ok(())
    }
}

/// The format that loses nothing of how a file stores the image tower's matrices.
fn stored_format(weights: &dyn WeightSource) -> Format {
    let names = weights.names();
    let matrix = names.iter().find(|name| {
        name.contains("vis") && (name.ends_with("mlp.fc1.weight") || name.ends_with("mlp.c_fc.weight"))
    });
    let kind = matrix.and_then(|name| weights.tensor(name).ok()).map(|tensor| tensor.kind);
    if kind == Some(GgmlType::Bf16) { Format::Bf16 } else { Format::Full }
}

fn read_floats(tensor: Tensor<2>) -> Result<Vec<f32>, EmbedError> {
    tensor.try_into_vec_as::<f32>().map_err(|error| EmbedError::Readback { cause: error.to_string() })
}

/// The weights of the model at `path`, which is what the container's `open` takes: a folder only for
/// safetensors.
fn find_weights(path: &Path) -> Result<(PathBuf, Container, Option<Manifest>), EmbedError> {
    let none = |cause| EmbedError::NoModel { cause, path: path.to_owned() };
    if path.is_file() {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let container = match extension.to_ascii_lowercase().as_str() {
            "safetensors" => Container::Safetensors,
            "pt" | "pth" | "bin" | "ckpt" => Container::Torch,
            "gguf" => Container::Gguf,
            _ => return Err(none("the file is none of .safetensors, .pt, .pth, .bin, .ckpt and .gguf")),
        };
        return Ok((path.to_owned(), container, None));
    }
    if !path.is_dir() {
        return Err(none("there is no such file or folder"));
    }
    let mut manifest = None;
    if path.join(MANIFEST).is_file() {
        let found = Manifest::open(path).map_err(|source| EmbedError::Manifest { source })?;
        if found.kind != BundleKind::Clip {
            return Err(EmbedError::OtherKind { path: path.to_owned() });
        }
        manifest = Some(found);
    }
    if ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| path.join(name).is_file()) {
        return Ok((path.to_owned(), Container::Safetensors, manifest));
    }
    for (name, container) in [
        ("open_clip_model.safetensors", Container::Safetensors),
        ("weights.gguf", Container::Gguf),
        ("open_clip_pytorch_model.bin", Container::Torch),
        ("pytorch_model.bin", Container::Torch),
    ] {
        let file = path.join(name);
        if file.is_file() {
            return Ok((file, container, manifest));
        }
    }
    let mut checkpoints = Vec::new();
    for file in list(path)? {
        if file.extension().is_some_and(|extension| extension == "pt" || extension == "safetensors") {
            checkpoints.push(file);
        }
    }
    match <[PathBuf; 1]>::try_from(checkpoints) {
        Ok([file]) => find_weights(&file).map(|(file, container, _)| (file, container, manifest)),
        Err(files) if files.is_empty() => Err(none("the folder holds no weights")),
        Err(_many) => Err(none("the folder holds several weight files; give one of them")),
    }
}

/// The files whose bytes are the model: one, or the shards that an index names.
fn weight_files(file: &Path, container: Container) -> Result<Vec<PathBuf>, EmbedError> {
    if !file.is_dir() {
        return Ok(vec![file.to_owned()]);
    }
    let single = file.join("model.safetensors");
    if container != Container::Safetensors || !file.join("model.safetensors.index.json").is_file() {
        return Ok(vec![single]);
    }
    let mut files = list(file)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "safetensors"));
    Ok(files)
}

/// Files of a folder, sorted.
fn list(folder: &Path) -> Result<Vec<PathBuf>, EmbedError> {
    let failed =
        |source| EmbedError::Manifest { source: ManifestError::Io { path: folder.to_owned(), source } };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The small files of a model: in a folder, or in memory.
#[derive(Clone, Copy)]
enum SmallFiles<'a> {
    Folder(&'a Path),
    #[cfg_attr(not(eosin_demo_clip), expect(dead_code, reason = "the demonstration alone is in memory"))]
    Memory(&'a [(&'a str, &'static [u8])]),
}

impl SmallFiles<'_> {
    /// Where errors are said to be.
    fn path(self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) if name.is_empty() => folder.to_owned(),
            Self::Folder(folder) => folder.join(name),
            Self::Memory(_) => PathBuf::from(name),
        }
    }

    /// A text file, where there is one.
    fn text(self, name: &str) -> Result<Option<String>, EmbedError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                if !path.is_file() {
                    return Ok(None);
                }
                read_text(&path, MAX_TEXT_BYTES).map(Some).map_err(|source| EmbedError::Manifest { source })
            }
            Self::Memory(files) => {
                let file = files.iter().find(|(own, _)| *own == name);
                Ok(file.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()))
            }
        }
    }

    fn json(self, name: &str) -> Result<Option<Value>, EmbedError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|source| EmbedError::Json { path: self.path(name), source })
    }

    /// The tokenizer, if there is one.
    fn tokenizer(self, n_context: usize) -> Result<Option<ClipTokenizer>, EmbedError> {
        let built = if let Some(json) = self.text("tokenizer.json")? {
            ClipTokenizer::from_json(json.as_bytes(), n_context)
        } else if let (Some(vocab), Some(merges)) = (self.text("vocab.json")?, self.text("merges.txt")?) {
            ClipTokenizer::from_vocab_and_merges(&vocab, &merges, n_context)
        } else if let Some(original) = self.text("bpe_simple_vocab_16e6.txt")? {
            ClipTokenizer::from_merges(&original, n_context)
        } else {
            return Ok(None);
        };
        built.map(Some).map_err(|source| EmbedError::Clip { source })
    }
}

/// The tokenizer at a path or in a folder, if there is one.
fn read_tokenizer(path: &Path, n_context: usize) -> Result<Option<ClipTokenizer>, EmbedError> {
    if path.is_dir() {
        return SmallFiles::Folder(path).tokenizer(n_context);
    }
    let text = read_text(path, MAX_TEXT_BYTES).map_err(|source| EmbedError::Manifest { source })?;
    let built = if path.extension().is_some_and(|extension| extension == "txt") {
        ClipTokenizer::from_merges(&text, n_context)
    } else {
        ClipTokenizer::from_json(text.as_bytes(), n_context)
    };
    built.map(Some).map_err(|source| EmbedError::Clip { source })
}
