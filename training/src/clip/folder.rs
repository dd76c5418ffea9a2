//! A CLIP with its words and small files, as a stage begins from it and leaves it: a Hugging Face folder.
//!
//! What a stage ends with is what `transformers` opens as a `CLIPModel` with its `CLIPTokenizer`, and any such
//! folder can be what a stage begins from. `tests/train_clip.rs` opens what was written and compares
//! features.

use std::fs;
use std::path::Path;

use burn::tensor::Device;
use eosin_model::clip::{Clip, ClipTokenizer, Config, CropRounding, ParamRef, Preprocess, TokenBatch};
use eosin_weights::SafetensorsFolder;
use serde_json::Value;

use super::features::Features;
use super::model::{ClipModelRecipe, preprocessor_config, tokenizer_config};
use super::tokenizer::Merges;
use crate::error::TrainError;
use crate::export::pretty;
use crate::folder::drawn_from;

/// Small files that are carried from folder to folder, `config.json` first.
const FILES: [&str; 7] = [
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
];

/// A tensor by its Hugging Face name: shape and values.
pub type NamedWeights = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A CLIP with all that belongs to it.
#[derive(Debug)]
pub struct ClipFolder {
    /// The model.
    pub model: Clip,
    /// Its measures.
    pub config: Config,
    /// Its words.
    pub tokenizer: ClipTokenizer,
    /// How pictures are prepared for it.
    pub preprocess: Preprocess,
    /// The small files by name.
    pub files: Vec<(String, String)>,
}

impl ClipFolder {
    /// A model with random weights and words learned from captions.
    ///
    /// # Errors
    /// Sizes that do not fit together, or a vocabulary too small for all bytes.
    pub fn init(
        sizes: &ClipModelRecipe,
        captions: &[String],
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let merges = Merges::train(captions, sizes.text.vocabulary)?;
        let n_vocab = merges.n_vocab();
        let config = sizes.to_config(n_vocab)?;
        let files = [
            ("config.json", pretty(&sizes.to_hf_config(n_vocab))?),
            ("preprocessor_config.json", pretty(&preprocessor_config(sizes.vision.image_px))?),
            ("vocab.json", merges.to_vocab_json()?),
            ("merges.txt", merges.to_merges_txt()),
            ("tokenizer_config.json", pretty(&tokenizer_config(sizes.text.context))?),
        ];
        Ok(Self {
            model: drawn_from(seed, device, || Clip::init(&config, device)),
            tokenizer: merges.tokenizer(config.text.n_context)?,
            preprocess: Preprocess::standard(&config.vision, CropRounding::Down),
            config,
            files: files.map(|(name, text)| (name.to_owned(), text)).to_vec(),
        })
    }

    /// Opens a Hugging Face folder of a `CLIPModel`.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where a file lacks, [`TrainError::Engine`] where one is no CLIP's.
    pub fn open(dir: &Path, device: &Device) -> Result<Self, TrainError> {
        let mut files = Vec::new();
        for name in FILES {
            let path = dir.join(name);
            if path.is_file() {
                files.push((
                    name.to_owned(),
                    fs::read_to_string(&path).map_err(TrainError::file("read", &path))?,
                ));
            }
        }
        let text =
            |wanted: &str| files.iter().find(|(name, _)| name == wanted).map(|(_, text)| text.as_str());
        let json = |text: &str| -> Result<Value, TrainError> {
            serde_json::from_str(text).map_err(TrainError::engine("cannot read the small files of the CLIP"))
        };
        let lacks =
            |what: &str| TrainError::plan(format!("the CLIP folder has no {what}: {}", dir.display()));
        let config = Config::from_hf(&json(text("config.json").ok_or_else(|| lacks("config.json"))?)?)
            .map_err(TrainError::engine("cannot read the config.json of the CLIP"))?;
        let n_context = config.text.n_context;
        let tokenizer = match (text("tokenizer.json"), text("vocab.json"), text("merges.txt")) {
            (Some(json), ..) => ClipTokenizer::from_json(json.as_bytes(), n_context),
            (None, Some(vocab), Some(merges)) => {
                ClipTokenizer::from_vocab_and_merges(vocab, merges, n_context)
            }
            _ => return Err(lacks("tokenizer.json, nor vocab.json with merges.txt")),
        }
        .map_err(TrainError::engine("cannot read the tokenizer of the CLIP"))?;
        let preprocess = match text("preprocessor_config.json") {
            Some(text) => Preprocess::from_hf(&json(text)?, &config.vision)
                .map_err(TrainError::engine("cannot read the preprocessor_config.json of the CLIP"))?,
            None => Preprocess::standard(&config.vision, CropRounding::Down),
        };
        let weights = SafetensorsFolder::open(dir)
            .map_err(TrainError::engine("cannot read the weights of the CLIP"))?;
        let model =
            Clip::load(&config, &weights, device).map_err(TrainError::engine("cannot load the CLIP"))?;
        Ok(Self { model, config, tokenizer, preprocess, files })
    }

    /// Features of texts under `model`, which is this one at some step of its training.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where a text cannot be encoded.
    pub fn texts(&self, model: &Clip, texts: &[String]) -> Result<Features, TrainError> {
        let mut features = Features::default();
        for texts in texts.chunks(64) {
            let ids = texts.iter().map(|text| self.tokenizer.encode(text)).collect::<Result<Vec<_>, _>>();
            let batch = ids.and_then(|ids| TokenBatch::new(&ids, &self.config.text));
            let batch = batch.map_err(TrainError::engine("cannot encode a text for the CLIP"))?;
            features.extend(Features::of(model.encode_text(&batch)));
        }
        Ok(features)
    }
}

/// Every weight under its Hugging Face name and in its shape there.
pub fn named_weights(model: &Clip, config: &Config) -> NamedWeights {
    let patch_px = config.vision.patch_px;
    let own = |(name, param): (String, ParamRef<'_>)| {
        let (mut shape, values) = match param {
            ParamRef::D1(param) => floats(param.val()),
            ParamRef::D2(param) => floats(param.val()),
        };
        if name == "logit_scale" {
            shape = Vec::new();
        } else if name == "vision_model.embeddings.patch_embedding.weight" {
            shape = vec![shape[0], 3, patch_px, patch_px];
        }
        (name, shape, values)
    };
    model.named_params().into_iter().map(own).collect()
}

fn floats<const D: usize>(tensor: burn::tensor::Tensor<D>) -> (Vec<usize>, Vec<f32>) {
    let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
    (tensor.dims().to_vec(), tensor.into_data().iter::<f32>().collect())
}
