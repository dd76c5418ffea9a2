//! The measures of a CLIP model, read from a Hugging Face `config.json` or from the shapes of `open_clip`
//! weights.
//!
//! Every number that decides how the towers compute is here and checked once, so that loading can compare
//! each tensor with it and the towers need no checks of their own. The activation is the one thing that
//! weights do not tell and that changes every feature: see [`Activation`]. Held by `tests/parity_clip.rs`
//! and below.

use std::fmt;
use std::str::FromStr;

use eosin_weights::WeightSource;
use serde_json::Value;

use super::ClipError;
use super::load::{Names, Style};

/// The nonlinearity between the two matrices of an MLP.
///
/// `OpenAI`'s weights and those derived from them on Hugging Face were trained with the quick form;
/// `open_clip` builds its plain `ViT-…` models with the exact one and does not record which in a
/// checkpoint. Features made with the wrong one look sound and are not, so the choice is always said and
/// can be overridden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// `x · Φ(x)` with the error function.
    Gelu,
    /// `x · σ(1.702 x)`.
    QuickGelu,
}

impl Activation {
    /// The name in `config.json` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::QuickGelu => "quick_gelu",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = ClipError;

    fn from_str(text: &str) -> Result<Self, ClipError> {
        match text {
            "gelu" => Ok(Self::Gelu),
            "quick_gelu" => Ok(Self::QuickGelu),
            _ => Err(ClipError::Config {
                cause: format!("unknown activation `{}`: gelu and quick_gelu are", text.escape_debug()),
            }),
        }
    }
}

/// Which position of a text stands for all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndOfText {
    /// The first token with this id.
    Id(u32),
    /// The first of the largest id: `open_clip`, and Hugging Face configs with the legacy `eos_token_id` 2.
    LargestId,
}

/// Measures of the image tower.
#[derive(Clone, PartialEq, Debug)]
pub struct VisionConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Attention heads of a block.
    pub n_head: usize,
    /// Width inside the MLP.
    pub d_mlp: usize,
    /// Side of the square image.
    pub image_px: usize,
    /// Side of a square patch.
    pub patch_px: usize,
    /// Nonlinearity of the MLPs.
    pub activation: Activation,
    /// Added to the variance in the norms.
    pub epsilon: f64,
}

impl VisionConfig {
    /// Patches along one side.
    pub fn n_patch_side(&self) -> usize {
        self.image_px / self.patch_px
    }

    /// Patches and the class token.
    pub fn n_position(&self) -> usize {
        self.n_patch_side().pow(2) + 1
    }
}

/// Measures of the text tower.
#[derive(Clone, PartialEq, Debug)]
pub struct TextConfig {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layer: usize,
    /// Attention heads of a block.
    pub n_head: usize,
    /// Width inside the MLP.
    pub d_mlp: usize,
    /// Longest text in tokens, both ends counted.
    pub n_context: usize,
    /// Rows of the token embedding.
    pub n_vocab: usize,
    /// Where a text is read off.
    pub end_of_text: EndOfText,
    /// Nonlinearity of the MLPs.
    pub activation: Activation,
    /// Added to the variance in the norms.
    pub epsilon: f64,
}

/// Measures of a whole CLIP model.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Width of the joint space.
    pub d_embed: usize,
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
}

impl Config {
    /// The same model with another activation in both towers.
    #[must_use]
    pub fn with_activation(mut self, activation: Activation) -> Self {
        self.vision.activation = activation;
        self.text.activation = activation;
        self
    }

    /// Reads the `config.json` of a `CLIPModel`.
    ///
    /// Keys that are absent take the defaults of transformers, because its older versions left those out when
    /// saving.
    ///
    /// # Errors
    /// [`ClipError::Config`] for another kind of model, values of the wrong type and measures that do not fit
    /// together.
    pub fn from_hf(json: &Value) -> Result<Self, ClipError> {
        match json.get("model_type").map(Value::as_str) {
            None | Some(Some("clip")) => {}
            Some(Some(other)) => {
                return Err(invalid(format!("`model_type` is `{}`, not `clip`", other.escape_debug())));
            }
            Some(None) => return Err(invalid("`model_type` is not a string")),
        }
        let vision = Section { json, name: "vision_config" };
        let text = Section { json, name: "text_config" };
        if !vision.present() || !text.present() {
            return Err(invalid(
                "no `vision_config` and `text_config`: this is not the configuration of a CLIP model",
            ));
        }
        if vision.count("num_channels", 3)? != 3 {
            return Err(invalid("the image tower does not take three channels"));
        }
        let end_of_text = match text.count("eos_token_id", 49407)? {
            2 => EndOfText::LargestId,
            id => {
                EndOfText::Id(u32::try_from(id).map_err(|_too_large| invalid("`eos_token_id` is too large"))?)
            }
        };
        let config = Self {
            d_embed: Section { json, name: "" }.count("projection_dim", 512)?,
            vision: VisionConfig {
                d_model: vision.count("hidden_size", 768)?,
                n_layer: vision.count("num_hidden_layers", 12)?,
                n_head: vision.count("num_attention_heads", 12)?,
                d_mlp: vision.count("intermediate_size", 3072)?,
                image_px: vision.count("image_size", 224)?,
                patch_px: vision.count("patch_size", 32)?,
                activation: vision.activation()?,
                epsilon: vision.epsilon()?,
            },
            text: TextConfig {
                d_model: text.count("hidden_size", 512)?,
                n_layer: text.count("num_hidden_layers", 12)?,
                n_head: text.count("num_attention_heads", 8)?,
                d_mlp: text.count("intermediate_size", 2048)?,
                n_context: text.count("max_position_embeddings", 77)?,
                n_vocab: text.count("vocab_size", 49408)?,
                end_of_text,
                activation: text.activation()?,
                epsilon: text.epsilon()?,
            },
        };
        config.checked()
    }

    /// Reads the measures off the tensors of an `open_clip` or `OpenAI` state dict.
    ///
    /// Such a file holds no configuration. The length of the position embedding decides the image size (257
    /// positions of 14 px patches are 224 px, 577 are 336 px); heads are 64 wide in every published model,
    /// which `model_cfg` (from an `open_clip_config.json` beside the weights) may override. The activation
    /// is [`Activation::Gelu`] unless `model_cfg` asks for the quick form.
    ///
    /// # Errors
    /// [`ClipError::NotClip`] where the names are not those of a vision transformer and a text transformer,
    /// [`ClipError::Config`] for shapes that contradict each other.
    pub fn from_open_clip(weights: &dyn WeightSource, model_cfg: Option<&Value>) -> Result<Self, ClipError> {
        let names = Names::detect(weights)?;
        if names.style != Style::OpenClip {
            return Err(invalid(
                "these weights carry the names of Hugging Face and need their `config.json`",
            ));
        }
        let shape = |name: &str, n_axis: usize| -> Result<Vec<usize>, ClipError> {
            let shape = names.shape(name)?;
            if shape.len() == n_axis {
                Ok(shape)
            } else {
                Err(invalid(format!("`{name}` has the shape {shape:?}, expected {n_axis} axes")))
            }
        };
        let option = |section: &str, key: &str| -> Result<Option<usize>, ClipError> {
            match model_cfg.and_then(|cfg| cfg.get(section)).and_then(|cfg| cfg.get(key)) {
                None | Some(Value::Null) => Ok(None),
                Some(value) => positive(value, key).map(Some),
            }
        };
        let quick = model_cfg.and_then(|cfg| cfg.get("quick_gelu")).and_then(Value::as_bool).unwrap_or(false);
        let activation = if quick { Activation::QuickGelu } else { Activation::Gelu };

        let conv = shape("visual.conv1.weight", 4)?;
        let d_vision = conv[0];
        let n_position = shape("visual.positional_embedding", 2)?[0];
        let side = n_position.saturating_sub(1).isqrt();
        if side == 0 || side * side + 1 != n_position {
            return Err(invalid(format!(
                "{n_position} image positions are not a square of patches and a class token"
            )));
        }
        let head_width = option("vision_cfg", "head_width")?.unwrap_or(64);
        let embedding = shape(&format!("{}token_embedding.weight", names.text_prefix), 2)?;
        let (n_vocab, d_text) = (embedding[0], embedding[1]);
        let text_head = match option("text_cfg", "heads")? {
            Some(n_head) => n_head,
            None => d_text / 64,
        };
        let config = Self {
            d_embed: shape("visual.proj", 2)?[1],
            vision: VisionConfig {
                d_model: d_vision,
                n_layer: names.n_block("visual.transformer.resblocks."),
                n_head: d_vision / head_width,
                d_mlp: shape("visual.transformer.resblocks.0.mlp.c_fc.weight", 2)?[0],
                image_px: side
                    .checked_mul(conv[2])
                    .ok_or_else(|| invalid("the image size is out of range"))?,
                patch_px: conv[2],
                activation,
                epsilon: 1e-5,
            },
            text: TextConfig {
                d_model: d_text,
                n_layer: names.n_block(&format!("{}transformer.resblocks.", names.text_prefix)),
                n_head: text_head,
                d_mlp: shape(&format!("{}transformer.resblocks.0.mlp.c_fc.weight", names.text_prefix), 2)?[0],
                n_context: shape(&format!("{}positional_embedding", names.text_prefix), 2)?[0],
                n_vocab,
                end_of_text: EndOfText::LargestId,
                activation,
                epsilon: 1e-5,
            },
        };
        config.checked()
    }

    /// The measures of a published model: `ViT-B-32`, `ViT-B-16`, `ViT-L-14` or `ViT-L-14-336`.
    pub fn named(name: &str, activation: Activation) -> Option<Self> {
        let (image_px, patch_px, large) = match name {
            "ViT-B-32" => (224, 32, false),
            "ViT-B-16" => (224, 16, false),
            "ViT-L-14" => (224, 14, true),
            "ViT-L-14-336" => (336, 14, true),
            _ => return None,
        };
        let (d_vision, n_layer, d_text) = if large { (1024, 24, 768) } else { (768, 12, 512) };
        Some(Self {
            d_embed: d_text,
            vision: VisionConfig {
                d_model: d_vision,
                n_layer,
                n_head: d_vision / 64,
                d_mlp: 4 * d_vision,
                image_px,
                patch_px,
                activation,
                epsilon: 1e-5,
            },
            text: TextConfig {
                d_model: d_text,
                n_layer: 12,
                n_head: d_text / 64,
                d_mlp: 4 * d_text,
                n_context: 77,
                n_vocab: 49408,
                end_of_text: EndOfText::LargestId,
                activation,
                epsilon: 1e-5,
            },
        })
    }

    fn checked(self) -> Result<Self, ClipError> {
        let (vision, text) = (&self.vision, &self.text);
        for (what, d_model, n_head, n_layer) in [
            ("image", vision.d_model, vision.n_head, vision.n_layer),
            ("text", text.d_model, text.n_head, text.n_layer),
        ] {
            if n_head == 0 || !d_model.is_multiple_of(n_head) {
                return Err(invalid(format!(
                    "{d_model} channels of the {what} tower do not divide into {n_head} heads"
                )));
            }
            if n_layer == 0 {
                return Err(invalid(format!("the {what} tower has no blocks")));
            }
        }
        if vision.patch_px > vision.image_px || !vision.image_px.is_multiple_of(vision.patch_px) {
            let VisionConfig { image_px, patch_px, .. } = vision;
            return Err(invalid(format!(
                "an image of {image_px} px is not a whole number of {patch_px} px patches"
            )));
        }
        if text.n_context < 2 {
            return Err(invalid("a context of fewer than two tokens holds no text"));
        }
        if let EndOfText::Id(id) = text.end_of_text
            && id as usize >= text.n_vocab
        {
            return Err(invalid(format!(
                "`eos_token_id` {id} is outside the vocabulary of {}",
                text.n_vocab
            )));
        }
        Ok(self)
    }
}

/// Largest measure that is believed: wide of every model, far from overflow in any product of three.
const MAX_MEASURE: u64 = 1 << 20;

fn invalid(cause: impl Into<String>) -> ClipError {
    ClipError::Config { cause: cause.into() }
}

fn positive(value: &Value, key: &str) -> Result<usize, ClipError> {
    match value.as_u64() {
        Some(count @ 1..=MAX_MEASURE) => Ok(count as usize),
        _ => Err(invalid(format!("`{key}` is not a whole number from 1 to {MAX_MEASURE}"))),
    }
}

/// One tower's part of a `config.json`, with the `…_config_dict` of old files laid over it as transformers
/// does.
struct Section<'a> {
    json: &'a Value,
    name: &'static str,
}

impl Section<'_> {
    fn present(&self) -> bool {
        self.json.get(self.name).is_some_and(Value::is_object)
    }

    fn get(&self, key: &str) -> Option<&Value> {
        if self.name.is_empty() {
            return self.json.get(key);
        }
        let inside = |section: &str| self.json.get(section).and_then(|section| section.get(key));
        inside(&format!("{}_dict", self.name)).or_else(|| inside(self.name))
    }

    fn count(&self, key: &str, default: usize) -> Result<usize, ClipError> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => positive(value, key),
        }
    }

    fn activation(&self) -> Result<Activation, ClipError> {
        match self.get("hidden_act") {
            None | Some(Value::Null) => Ok(Activation::QuickGelu),
            Some(value) => value.as_str().ok_or_else(|| invalid("`hidden_act` is not a string"))?.parse(),
        }
    }

    fn epsilon(&self) -> Result<f64, ClipError> {
        match self.get("layer_norm_eps") {
            None | Some(Value::Null) => Ok(1e-5),
            Some(value) => value
                .as_f64()
                .filter(|epsilon| *epsilon > 0.0 && *epsilon < 1.0)
                .ok_or_else(|| invalid("`layer_norm_eps` is not a number between 0 and 1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn absent_keys_take_the_defaults_of_transformers() {
        let config = Config::from_hf(&json!({"vision_config": {}, "text_config": {}})).unwrap();
        assert_eq!(config.vision, Config::named("ViT-B-32", Activation::QuickGelu).unwrap().vision);
        assert_eq!(config.text.end_of_text, EndOfText::Id(49407));
        let legacy = json!({"vision_config": {}, "text_config": {"eos_token_id": 2}});
        assert_eq!(
            Config::from_hf(&legacy).unwrap(),
            Config::named("ViT-B-32", Activation::QuickGelu).unwrap()
        );
    }

    #[test]
    fn an_old_dict_overrides_its_section() {
        let json = json!({
            "vision_config": {"hidden_size": 768}, "text_config": {},
            "vision_config_dict": {"hidden_size": 1024, "num_attention_heads": 16, "hidden_act": "gelu"},
        });
        let vision = Config::from_hf(&json).unwrap().vision;
        assert_eq!((vision.d_model, vision.n_head, vision.activation), (1024, 16, Activation::Gelu));
    }

    #[test]
    fn other_configurations_are_refused_with_the_cause() {
        let check = |json: Value, expected: &str| {
            let error = Config::from_hf(&json).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        };
        let with = |vision: Value, text: Value| json!({"vision_config": vision, "text_config": text});
        check(json!({}), "not the configuration of a CLIP model");
        check(json!([]), "not the configuration of a CLIP model");
        check(json!({"model_type": "qwen2_5_vl"}), "`qwen2_5_vl`");
        check(json!({"model_type": 3}), "not a string");
        check(with(json!({"hidden_size": 0}), json!({})), "`hidden_size`");
        check(with(json!({"hidden_size": -1}), json!({})), "`hidden_size`");
        check(with(json!({"hidden_size": 1.5}), json!({})), "`hidden_size`");
        check(with(json!({"hidden_size": u64::MAX}), json!({})), "`hidden_size`");
        check(with(json!({"num_attention_heads": 7}), json!({})), "7 heads");
        check(with(json!({"patch_size": 15}), json!({})), "15 px patches");
        check(with(json!({"patch_size": 448}), json!({})), "448 px patches");
        check(with(json!({"num_channels": 1}), json!({})), "three channels");
        check(with(json!({"hidden_act": "relu"}), json!({})), "`relu`");
        check(with(json!({"layer_norm_eps": 0}), json!({})), "`layer_norm_eps`");
        check(with(json!({}), json!({"eos_token_id": 49408})), "outside the vocabulary");
        check(with(json!({}), json!({"max_position_embeddings": 1})), "two tokens");
    }
}
