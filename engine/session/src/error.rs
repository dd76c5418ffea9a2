//! What can go wrong between a question and its answer.

use std::path::PathBuf;

use eosin_core::Hint;
use eosin_kernels::DeviceError;
use eosin_model::ModelError;
use eosin_weights::WeightError;

use crate::manifest::ManifestError;
use crate::prompt::PromptError;
use crate::sampler::SamplerError;
use crate::template::TemplateError;
use crate::tokenizer::TokenizerError;

/// Why a model could not be opened, or a question not be answered.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The path leads to nothing that is a model.
    #[error("this is no model: {found}: {}", path.display())]
    NotAModel {
        /// What was found instead.
        found: &'static str,
        /// The path given.
        path: PathBuf,
    },
    /// A model of another family.
    #[error("this is a `{found}` model; only Qwen2.5-VL can be asked: {}", path.display())]
    OtherModel {
        /// What its configuration says.
        found: String,
        /// The path given.
        path: PathBuf,
    },
    /// A model that does something else.
    #[error("this model places pictures and words in one space, it does not answer: {}", path.display())]
    NotAsked {
        /// The path given.
        path: PathBuf,
    },
    /// A settings file of the model is no JSON.
    #[error("{name} is no sound JSON: {}", path.display())]
    Json {
        /// Its name.
        name: &'static str,
        /// The model.
        path: PathBuf,
        /// Where it breaks.
        source: serde_json::Error,
    },
    /// The machine has not the memory that the model needs.
    #[error("the model needs about {needed_mib} MiB of memory, {available_mib} MiB are free: {}", path.display())]
    Memory {
        /// What it needs.
        needed_mib: u64,
        /// What is free.
        available_mib: u64,
        /// The path given.
        path: PathBuf,
    },
    /// This build has no demonstration model.
    #[error("this build has no demonstration model")]
    NoDemo,
    /// A picture for a model without eyes.
    #[error("the model was opened without its vision part, so it cannot see the picture")]
    NoVision,
    /// More than the model can hold at once.
    #[error("the question takes {n_prompt} tokens, the model holds {n_context}")]
    Context {
        /// Tokens of the prompt.
        n_prompt: usize,
        /// Tokens that the context holds.
        n_context: usize,
    },
    /// Bounds on pixels that exclude each other.
    #[error("the fewest pixels, {min_pixels}, are more than the most, {max_pixels}")]
    Pixels {
        /// Fewest.
        min_pixels: u64,
        /// Most.
        max_pixels: u64,
    },
    /// The model's scores are no numbers.
    #[error("the model's scores are no numbers: its weights are damaged, or the device computes wrongly")]
    NotNumbers,
    /// Too many questions wait.
    #[error("too many questions are waiting")]
    Busy,
    /// The model was put away.
    #[error("no model is loaded")]
    Unloaded,
    /// The thread that owned the model has ended.
    #[error("the model's thread has ended")]
    Gone,
    /// A bug of this program.
    #[error("a bug of this program stopped the model: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
    /// A question that no prompt can be made of.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Settings without a meaning.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The bundle's manifest or a file of the model's folder.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A weight file.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl Hint for SessionError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotAModel { .. } => {
                Some("give a Hugging Face folder, a .gguf file or an Eosin bundle with `--model`")
            }
            Self::OtherModel { .. } => {
                Some("give a Qwen2.5-VL checkpoint: a Hugging Face folder, or a GGUF file with its mmproj")
            }
            Self::NotAsked { .. } => Some("use it with `eosin embed`"),
            Self::Json { .. } => Some("fetch the model's files again, they may be incomplete"),
            Self::Memory { .. } => Some("close other programs, or take a smaller quantisation of the model"),
            Self::NoDemo => Some("name a model with `--model`"),
            Self::NoVision => Some("give the projector file with `--mmproj`"),
            Self::Context { .. } => Some("use fewer or smaller pictures (`--max-pixels`), or a shorter text"),
            Self::Pixels { .. } => Some("raise `--max-pixels` or lower `--min-pixels`"),
            Self::NotNumbers => Some("compare the checksum of the weights, and try `--device cpu`"),
            Self::Unloaded => Some("choose a model"),
            Self::Busy => Some("wait for an answer, or stop it"),
            Self::Gone | Self::Panic { .. } => {
                Some("run again with RUST_BACKTRACE=1 and report what it says")
            }
            Self::Prompt(source) => source.hint(),
            Self::Tokenizer(source) => source.hint(),
            Self::Template(source) => source.hint(),
            Self::Manifest(source) => source.hint(),
            Self::Weights(source) => source.hint(),
            Self::Model(source) => source.hint(),
            Self::Device(source) => source.hint(),
            Self::Sampler(_) => None,
        }
    }
}
