//! What can go wrong between weights, configuration and tensors.
//!
//! Configurations and tensors come from files that others wrote, so whatever does not fit is named: the key
//! and its file, or the tensor and the shape it should have had. Tests: `tests/parity_qwen.rs`.

use eosin_core::Hint;
use eosin_weights::WeightError;

/// Why a model could not be built or an input could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A setting is absent.
    #[error("no key `{key}` in {file}")]
    MissingKey {
        /// Dotted path of the key.
        key: String,
        /// The file it was looked for in, by kind (`config.json`), not by path.
        file: &'static str,
    },
    /// A setting is of another kind, or out of range.
    #[error("key `{key}` in {file} must be {expected}")]
    WrongKey {
        /// Dotted path of the key.
        key: String,
        /// What was expected of it.
        expected: String,
        /// The file, by kind.
        file: &'static str,
    },
    /// A model of another make.
    #[error("this is a `{found}` model in {file}, expected {expected}")]
    UnknownArchitecture {
        /// What the file says.
        found: String,
        /// What can be read.
        expected: &'static str,
        /// The file, by kind.
        file: &'static str,
    },
    /// The weights lack a tensor.
    #[error("the weights lack the tensor `{name}`")]
    MissingTensor {
        /// Its name in the first naming scheme tried.
        name: String,
    },
    /// A tensor does not fit the configuration.
    #[error("the tensor `{name}` has shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Shape the configuration asks for.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// The weights hold tensors that this model has no place for.
    #[error("the weights hold {n_tensor} tensors that this model has no place for, first of them `{name}`")]
    ExtraTensors {
        /// The first of them.
        name: String,
        /// How many there are.
        n_tensor: usize,
    },
    /// The weights could not be read.
    #[error("cannot read the tensor `{name}`")]
    Weights {
        /// Its name.
        name: String,
        /// What the container said.
        source: WeightError,
    },
    /// The metadata could not be read.
    #[error("cannot read the model's size `{key}`")]
    Metadata {
        /// The key.
        key: String,
        /// What the container said.
        source: WeightError,
    },
    /// A picture too long and thin to be seen by the model.
    #[error("a picture of {width_px} × {height_px} px is more than 200 times as long as wide")]
    Aspect {
        /// Width.
        width_px: u32,
        /// Height.
        height_px: u32,
    },
    /// A picture that fits no whole number of patches.
    #[error("cannot cut the picture into patches")]
    Grid(#[source] eosin_core::GridError),
    /// Placeholders of the prompt and pictures disagree.
    #[error("the prompt has {n_placeholder} image tokens, its pictures make {n_token}")]
    ImageTokens {
        /// Placeholder tokens in the prompt.
        n_placeholder: usize,
        /// Tokens that the pictures merge into.
        n_token: usize,
    },
    /// A token that the vocabulary has no row for.
    #[error("token {id} is outside the vocabulary of {n_vocab}")]
    TokenRange {
        /// The token.
        id: u32,
        /// Rows of the embedding.
        n_vocab: usize,
    },
    /// A batch whose parts do not fit each other.
    #[error("the batch is not sound: {cause}")]
    Batch {
        /// What does not fit.
        cause: String,
    },
    /// Adapters that cannot be attached.
    #[error("the adapters do not fit the model: {cause}")]
    Adapter {
        /// What does not fit.
        cause: String,
    },
    /// A model without the part that was asked for.
    #[error("the model was loaded without {part}")]
    Absent {
        /// `a vision tower`, …
        part: &'static str,
    },
}

impl Hint for ModelError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MissingKey { .. } | Self::WrongKey { .. } => {
                Some("fetch the model's files again, or name another folder")
            }
            Self::UnknownArchitecture { .. } => Some(
                "give a Qwen2.5-VL or CLIP checkpoint: a Hugging Face folder, or a GGUF file with its mmproj",
            ),
            Self::MissingTensor { .. } | Self::TensorShape { .. } | Self::ExtraTensors { .. } => {
                Some("config and weights must come from the same checkpoint; a LoRA must be merged first")
            }
            Self::Weights { source, .. } | Self::Metadata { source, .. } => source.hint(),
            Self::Aspect { .. } => Some("cut the picture into shorter pieces"),
            Self::ImageTokens { .. } => Some("leave room for all image tokens when a prompt is shortened"),
            Self::Absent { .. } => Some("give the projector file with `--mmproj`"),
            Self::Adapter { .. } => {
                Some("targets are names such as `q_proj`, `gate_proj`, `qkv` or `all-linear`")
            }
            Self::Grid(_) | Self::TokenRange { .. } | Self::Batch { .. } => None,
        }
    }
}
