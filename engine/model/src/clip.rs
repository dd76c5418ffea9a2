//! CLIP: one space for pictures and words (Radford et al. 2021), as Patho-CLIP, PLIP and `open_clip` use it.
//!
//! Two towers that meet only in their last matrix. Weights come under Hugging Face's names or
//! `open_clip`'s, from any container; measures come from a `config.json` or from the tensors' shapes
//! ([`Config`]). Pictures enter through [`Preprocess`] and texts through [`ClipTokenizer`], which are part
//! of the model as much as its weights are. `tests/parity_clip.rs` compares all of it with transformers.

mod config;
mod encoder;
mod layer;
mod load;
mod loss;
mod prepare;
mod text;
mod tokenize;
mod vision;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use eosin_core::Hint;
use eosin_weights::{WeightError, WeightSource};

pub use config::{Activation, Config, EndOfText, TextConfig, VisionConfig};
pub use encoder::Encoder;
pub use eosin_kernels::dense::Format;
pub use layer::ParamRef;
pub use load::Style;
pub use loss::{contrastive_loss, logits_per_image, normalize};
pub use prepare::{CropRounding, Preprocess};
pub use text::{TextTower, TokenBatch};
pub use tokenize::ClipTokenizer;
pub use vision::VisionTower;

use load::{Initial, Names, Supply};

/// ln 100: the inverse temperature stays at or below 100.
pub const LOGIT_SCALE_MAX: f32 = 4.605_170_2;

/// Why a CLIP model cannot be loaded or used.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The measures are missing, contradictory or of another model.
    #[error("unusable CLIP configuration: {cause}")]
    Config {
        /// The first thing wrong.
        cause: String,
    },
    /// The tensors' names are not those of a CLIP model.
    #[error("these are not the weights of a CLIP with two transformers: {cause}")]
    NotClip {
        /// What was looked for or met.
        cause: String,
    },
    /// A tensor is absent or cannot be read.
    #[error("cannot load the CLIP weights")]
    Weights {
        /// What the container said.
        source: WeightError,
    },
    /// A tensor has another shape than the configuration asks for.
    #[error("tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// The tensor, as the file names it.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// The preprocessor configuration cannot be followed.
    #[error("unusable image preprocessing: {cause}")]
    Preprocess {
        /// The first thing wrong.
        cause: String,
    },
    /// The tokenizer cannot be built.
    #[error("unusable CLIP tokenizer: {cause}")]
    Tokenizer {
        /// The first thing wrong.
        cause: String,
    },
    /// A text cannot be embedded.
    #[error("text {} cannot be embedded: {cause}", text_idx + 1)]
    Text {
        /// Which of the texts given.
        text_idx: usize,
        /// What is wrong with it.
        cause: String,
    },
}

impl Hint for ClipError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotClip { .. } => {
                Some("a CLIP model has `visual.…` (open_clip) or `vision_model.…` (Hugging Face) tensors")
            }
            Self::Shape { .. } => {
                Some("the configuration belongs to another model: use the files saved together")
            }
            Self::Weights { source } => source.hint(),
            Self::Text { .. } => Some("use the tokenizer that was saved with the model"),
            Self::Tokenizer { .. } => {
                Some("give a tokenizer.json, or a folder with vocab.json and merges.txt")
            }
            Self::Config { .. } | Self::Preprocess { .. } => None,
        }
    }
}

/// A CLIP model.
#[derive(Module, Debug)]
pub struct Clip {
    /// Pictures to features.
    pub vision: VisionTower,
    /// Words to features.
    pub text: TextTower,
    /// `[1]`: logarithm of the factor on cosines.
    pub logit_scale: Param<Tensor<1>>,
}

impl Clip {
    /// A model with random weights, for training from nothing and for speed measurements.
    ///
    /// Seed the device first (`device.seed`) to get the same weights again.
    pub fn init(config: &Config, device: &Device) -> Self {
        let built = Self::build(&Supply::random(device), config);
        built.unwrap_or_else(|error| unreachable!("random weights are of every shape: {error}"))
    }

    /// Loads weights that carry Hugging Face's or `open_clip`'s names.
    ///
    /// Prefixes that wrappers leave before every name (`module.`, `state_dict.`) are dropped.
    ///
    /// # Errors
    /// [`ClipError::NotClip`], [`ClipError::Weights`] for a missing tensor, [`ClipError::Shape`].
    pub fn load(config: &Config, weights: &dyn WeightSource, device: &Device) -> Result<Self, ClipError> {
        Self::build(&Supply::from_source(Names::detect(weights)?, device), config)
    }

    fn build(supply: &Supply<'_>, config: &Config) -> Result<Self, ClipError> {
        Ok(Self {
            vision: VisionTower::build(supply, &config.vision, config.d_embed)?,
            text: TextTower::build(supply, &config.text, config.d_embed)?,
            logit_scale: supply.vector("logit_scale", 1, Initial::Value((1.0_f64 / 0.07).ln()))?,
        })
    }

    /// Features of prepared images, not normalised.
    ///
    /// # Shapes
    /// - `images`: `[b, 3, image_px, image_px]`
    /// - returns: `[b, d_embed]`
    pub fn encode_image(&self, images: Tensor<4>) -> Tensor<2> {
        self.vision.forward(images)
    }

    /// Features of texts, not normalised.
    ///
    /// # Shapes
    /// - returns: `[b, d_embed]`
    pub fn encode_text(&self, texts: &TokenBatch) -> Tensor<2> {
        self.text.forward(texts)
    }

    /// The contrastive loss of `b` pairs.
    ///
    /// # Shapes
    /// - `images`: `[b, 3, image_px, image_px]`
    /// - `texts`: `b` texts
    /// - returns: `[1]`
    pub fn loss(&self, images: Tensor<4>, texts: &TokenBatch) -> Tensor<1> {
        contrastive_loss(self.encode_image(images), self.encode_text(texts), self.logit_scale.val())
    }

    /// Brings the temperature back into its range; call after each optimiser step.
    #[must_use]
    pub fn clamp_logit_scale(mut self) -> Self {
        self.logit_scale = self.logit_scale.map(|scale| {
            let trained = scale.is_require_grad();
            if !scale.is_autodiff() {
                return scale.clamp(0.0, LOGIT_SCALE_MAX);
            }
            // Outside the graph: the next step must begin at the parameter, not at this operation.
            let scale = Tensor::from_inner(scale.inner().clamp(0.0, LOGIT_SCALE_MAX));
            if trained { scale.require_grad() } else { scale }
        });
        self
    }

    /// Every parameter with its Hugging Face name.
    ///
    /// The patch kernel is given as the matrix `[d, 3 · patch · patch]` that it is used as.
    pub fn named_params(&self) -> Vec<(String, ParamRef<'_>)> {
        let mut params = vec![("logit_scale".to_owned(), ParamRef::D1(&self.logit_scale))];
        let mut visit = |name: &str, param| params.push((name.to_owned(), param));
        self.vision.visit(&mut visit);
        self.text.visit(&mut visit);
        params
    }
}
