//! What a VLM stage begins from and ends with: a Hugging Face folder.
//!
//! A stage's `final/` is an ordinary checkpoint folder that `transformers` opens, and any such folder of a
//! Qwen2.5-VL can be what a stage begins from: there is one way in and one way out. The folder is written
//! under a temporary name, its manifest last, and renamed, so that a `final/` that is there is whole.
//! `tests/train_pipeline.rs` chains stages through it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use eosin_model::prepare::Preprocess;
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Qwen};
use eosin_weights::SafetensorsFolder;
use eosin_weights::convert::ModelFiles;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::batch::RowEncoder;
use crate::checkpoint::{RunState, sha256, sync_folder, write_synced};
use crate::error::TrainError;
use crate::export;
use crate::recipe::{ImageRecipe, StagePlan};
use crate::vocabulary;

/// Name of the folder in which a stage leaves its model.
pub const FINAL: &str = "final";
const WEIGHTS: &str = "model.safetensors";
const MANIFEST: &str = "stage.json";

/// A VLM with its words and the small files that go with it.
#[derive(Debug)]
pub struct Vlm {
    /// The model.
    pub model: Qwen,
    /// Its tokenizer with the chat's form.
    pub encoder: RowEncoder,
    /// How pictures are prepared for it.
    pub preprocess: Preprocess,
    /// The folder's small files, as they will be written again.
    pub files: ModelFiles,
}

/// What is known of a finished stage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Version of this file: 1.
    pub format: u32,
    /// Name of the stage.
    pub stage: String,
    /// Where it ended.
    pub state: RunState,
    /// Hash of the plan that it ran by.
    pub plan_sha256: String,
    /// Hash of its weights.
    pub weights_sha256: String,
}

impl Vlm {
    /// A model with random weights, of the sizes and with the words of a plan.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where the plan has no sizes, or they do not fit together.
    pub fn init(plan: &StagePlan, tokenizer: &Path, device: &Device) -> Result<Self, TrainError> {
        let sizes = plan.model.as_ref().ok_or_else(|| TrainError::plan("the recipe has no [model]"))?;
        let encoder = RowEncoder::new(vocabulary::open(tokenizer)?)?;
        let n_vocab = encoder.tokenizer().get_vocab_size(true);
        let json = sizes.to_hf_config(n_vocab, encoder.special());
        let files = ModelFiles {
            config: export::pretty(&json)?,
            tokenizer: encoder
                .tokenizer()
                .to_string(true)
                .map_err(TrainError::engine("cannot encode the tokenizer"))?,
            tokenizer_config: Some(export::pretty(&export::tokenizer_config())?),
            chat_template: Some(export::CHAT_TEMPLATE.to_owned()),
            preprocessor: Some(export::pretty(&export::preprocessor_config(&plan.image))?),
            generation: Some(export::pretty(&export::generation_config(encoder.special()))?),
        };
        let config =
            Config::from_hf(&json).map_err(TrainError::engine("the model's sizes do not fit together"))?;
        let model = drawn_from(plan.seed, device, || Qwen::init(&config, device));
        Ok(Self { model, encoder, preprocess: bounded(&plan.image), files })
    }

    /// Opens a Hugging Face folder; pictures are bounded as the plan says.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the folder is no Qwen2.5-VL.
    pub fn open(dir: &Path, image: &ImageRecipe, device: &Device) -> Result<Self, TrainError> {
        let files = ModelFiles::read(dir)
            .map_err(TrainError::engine("cannot read the folder that the stage begins from"))?;
        let json: Value = serde_json::from_str(&files.config)
            .map_err(TrainError::engine("cannot read the model's config.json"))?;
        let config =
            Config::from_hf(&json).map_err(TrainError::engine("cannot read the model's config.json"))?;
        let weights =
            SafetensorsFolder::open(dir).map_err(TrainError::engine("cannot read the model's weights"))?;
        let model = Qwen::load(&config, &weights, WeightForm::Dense, device)
            .map_err(TrainError::engine("cannot load the model"))?;
        let encoder = RowEncoder::new(vocabulary::open(&dir.join("tokenizer.json"))?)?;
        let own = match &files.preprocessor {
            Some(text) => serde_json::from_str(text)
                .map_err(TrainError::engine("cannot read preprocessor_config.json"))
                .and_then(|json| {
                    Preprocess::from_hf(&json)
                        .map_err(TrainError::engine("cannot read preprocessor_config.json"))
                })?,
            None => Preprocess::default(),
        };
        let preprocess = own.with_pixels(image.min_pixels, image.max_pixels);
        Ok(Self { model, encoder, preprocess, files })
    }
}

/// Reads what a finished stage says of itself; `None` where it is not finished.
///
/// # Errors
/// [`TrainError::Checkpoint`] where the folder was changed since.
pub fn finished(stage_dir: &Path) -> Result<Option<Finished>, TrainError> {
    let path = stage_dir.join(FINAL).join(MANIFEST);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(TrainError::file("read", &path))?;
    let finished = serde_json::from_slice(&text)
        .map_err(|error| TrainError::Checkpoint { what: error.to_string(), path })?;
    Ok(Some(finished))
}

/// Leaves a stage's model in its `final/`: `texts` by name, and weights in Hugging Face's names.
///
/// # Errors
/// [`TrainError::File`]; there is then no `final/`.
pub fn write_final(
    stage_dir: &Path,
    texts: &[(&str, &str)],
    weights: Vec<(String, Vec<usize>, Vec<f32>)>,
    mut about: Finished,
) -> Result<PathBuf, TrainError> {
    let (partial, whole) = (stage_dir.join(".partial-final"), stage_dir.join(FINAL));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(TrainError::file("remove the torn folder", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(TrainError::file("create the folder", &partial))?;
    for (name, text) in texts {
        write_synced(&partial.join(name), text.as_bytes())?;
    }
    let bytes = export::safetensors_bytes(weights)?;
    write_synced(&partial.join(WEIGHTS), &bytes)?;
    about.weights_sha256 = sha256(&bytes);
    let manifest =
        serde_json::to_vec_pretty(&about).map_err(TrainError::engine("cannot encode the manifest"))?;
    write_synced(&partial.join(MANIFEST), &manifest)?;
    sync_folder(&partial)?;
    if whole.exists() {
        fs::remove_dir_all(&whole).map_err(TrainError::file("replace the folder", &whole))?;
    }
    fs::rename(&partial, &whole).map_err(TrainError::file("finish the folder", &whole))?;
    sync_folder(stage_dir)?;
    Ok(whole)
}

/// The folder's small files by name.
pub fn texts(files: &ModelFiles) -> Vec<(&'static str, &str)> {
    let optional = [
        ("tokenizer_config.json", &files.tokenizer_config),
        ("chat_template.jinja", &files.chat_template),
        ("preprocessor_config.json", &files.preprocessor),
        ("generation_config.json", &files.generation),
    ];
    let mut texts =
        vec![("config.json", files.config.as_str()), ("tokenizer.json", files.tokenizer.as_str())];
    texts.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text.as_deref()?))));
    texts
}

/// Draws random weights from a seed. burn has one generator for the whole process, so two models that are drawn at
/// the same time would take numbers from each other: one after the other.
pub(crate) fn drawn_from<M>(seed: u64, device: &Device, draw: impl FnOnce() -> M) -> M {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    device.seed(seed);
    draw()
}

fn bounded(image: &ImageRecipe) -> Preprocess {
    Preprocess::default().with_pixels(image.min_pixels, image.max_pixels)
}
