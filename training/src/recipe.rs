//! What a training run was asked to do, and the complete, checked plan that comes of it.
//!
//! A [`Recipe`] is TOML that spells out everything that changes a result; unknown keys are refused, so a
//! misspelt one cannot silently train something else. [`Recipe::resolve`] checks the values against each
//! other and gives a [`Plan`], the only thing that the stages read; the run directory keeps it as
//! `plan.toml`. `tests/stages.rs` proves the refusals.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// A training recipe as written by a person.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this format: 1.
    pub schema: u32,
    /// Name of the model that comes out.
    pub name: String,
    /// `sft`.
    pub stage: String,
    /// Seed of the weights, of the order and of every choice of the run.
    pub seed: u64,
    /// The pictures and what is asked about them.
    pub data: DataRecipe,
    /// Sizes of the model.
    pub model: ModelRecipe,
    /// The descent.
    pub optim: OptimRecipe,
    /// Checks on pictures that are never trained on.
    pub validate: ValidateRecipe,
    /// What is kept on disk.
    pub checkpoint: CheckpointRecipe,
}

/// The pictures and what is asked about them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataRecipe {
    /// Phantoms of the training split before they come again; validation and test have splits of their own
    /// that no training index reaches.
    pub phantoms: u64,
    /// Side of the square pictures, a multiple of 28.
    pub image_px: u32,
    /// Conversations about each picture in one step; each attends to the picture and to itself only.
    pub rows_per_image: usize,
    /// Questions and answers in a conversation.
    pub turns_per_row: usize,
    /// Share of the conversations that only describe the picture, at the start of the run and after
    /// `caption_steps`: a description is the densest teacher of the vision tower, questions are what is
    /// asked later.
    pub caption_share: [f64; 2],
    /// Steps over which `caption_share` moves from its first to its second value.
    pub caption_steps: u64,
    /// Most tokens of a conversation; longer ones lose whole turns from the end, never a part of a picture.
    pub max_tokens: usize,
    /// Vocabulary of the tokenizer that is trained on the phantoms' words.
    pub vocabulary: usize,
    /// Phantoms whose words the tokenizer is trained on.
    pub vocabulary_phantoms: usize,
    /// Threads that draw ahead of the training.
    pub draw_threads: usize,
}

/// Sizes of a Qwen2.5-VL model (SPEC 10.1), without the vocabulary, which the tokenizer decides.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRecipe {
    /// The decoder.
    pub text: TextRecipe,
    /// The vision tower.
    pub vision: VisionRecipe,
}

/// Sizes of the decoder.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextRecipe {
    /// Width.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Rotary frequencies for time, row and column; they add up to half a head.
    pub mrope_section: [usize; 3],
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Longest context that the exported model states.
    pub max_positions: usize,
}

/// Sizes of the vision tower.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionRecipe {
    /// Width.
    pub hidden: usize,
    /// Width of the gated MLP.
    pub intermediate: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads.
    pub heads: usize,
    /// Every n-th block sees the whole picture, the others their window only (`clip.vision.n_wa_pattern`).
    pub full_attention_every: usize,
}

/// The descent: `AdamW` with warm-up and cosine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimRecipe {
    /// Highest learning rate.
    pub lr: f64,
    /// Learning rate at the end, as a part of `lr`.
    pub lr_floor: f64,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Where above 0, the schedule also moves with the clock and the run ends after so many minutes of
    /// training. Such a run resumes whole, but not bit for bit: the clock is not repeatable.
    pub max_minutes: f64,
    /// Pictures in a step.
    pub images_per_step: usize,
    /// Pictures that are in memory at once; a step adds up the gradients of several such parts, weighted
    /// by their tokens, so that the division does not change the result beyond rounding.
    pub images_per_part: usize,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay of matrices; vectors have none.
    pub weight_decay: f64,
    /// Longest gradient; longer ones are shortened to it.
    pub clip_norm: f64,
}

/// Checks on pictures that are never trained on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidateRecipe {
    /// Steps between checks; 0 switches them off.
    pub every_steps: u64,
    /// Pictures whose loss is taken.
    pub loss_images: usize,
    /// Pictures whose multiple-choice questions are answered by greedy generation.
    pub answer_images: usize,
    /// Longest answer.
    pub max_new_tokens: usize,
}

/// What is kept on disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointRecipe {
    /// Steps between checkpoints.
    pub every_steps: u64,
    /// Checkpoints that stay; older ones go once a newer one is whole.
    pub keep_last: usize,
}

/// A recipe that was checked: what the stages run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The checked values.
    pub recipe: Recipe,
    /// Version of the program that made the plan.
    pub program: String,
}

impl Recipe {
    /// Reads a recipe and applies `key=value` settings (`optim.lr=1e-3`) to it.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] and [`TrainError::Setting`] with the key that no recipe has.
    pub fn read(path: &Path, settings: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::file("read the recipe", path))?;
        Self::parse(&text, settings).map_err(|error| match error {
            TrainError::Recipe { what, .. } => TrainError::Recipe { what, path: path.to_owned() },
            other => other,
        })
    }

    /// [`Recipe::read`] from text in memory.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(text: &str, settings: &[String]) -> Result<Self, TrainError> {
        let refuse = |error: toml::de::Error| TrainError::Recipe {
            what: error.message().lines().next().unwrap_or("not TOML").to_owned(),
            path: "recipe".into(),
        };
        let mut table: toml::Table = text.parse().map_err(refuse)?;
        // The file itself first, so that a bad `--set` is not blamed on it or the other way round.
        let mut recipe: Self = table.clone().try_into().map_err(refuse)?;
        for setting in settings {
            apply(&mut table, setting)?;
            recipe = table.clone().try_into().map_err(|error: toml::de::Error| TrainError::Setting {
                setting: setting.clone(),
                what: error.message().lines().next().unwrap_or("wrong value").to_owned(),
            })?;
        }
        Ok(recipe)
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// [`TrainError::Plan`] with the first contradiction.
    pub fn resolve(self) -> Result<Plan, TrainError> {
        let refuse = |what: String| Err(TrainError::Plan { what });
        if self.schema != 1 {
            return refuse(format!(
                "schema {} is not known to this version, which reads schema 1",
                self.schema
            ));
        }
        if self.stage != "sft" {
            return refuse(format!("stage `{}` is not known: this version runs `sft`", self.stage));
        }
        let data = &self.data;
        if data.image_px == 0 || !data.image_px.is_multiple_of(28) || data.image_px > 2800 {
            return refuse("data.image_px must be a multiple of 28 up to 2800".into());
        }
        let positive = [
            ("data.phantoms", data.phantoms as usize),
            ("data.rows_per_image", data.rows_per_image),
            ("data.turns_per_row", data.turns_per_row),
            ("data.draw_threads", data.draw_threads),
            ("data.vocabulary_phantoms", data.vocabulary_phantoms),
            ("optim.images_per_step", self.optim.images_per_step),
            ("optim.images_per_part", self.optim.images_per_part),
            ("checkpoint.keep_last", self.checkpoint.keep_last),
            ("optim.steps", self.optim.steps as usize),
            ("checkpoint.every_steps", self.checkpoint.every_steps as usize),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(format!("{name} must be at least 1"));
        }
        if data.caption_share.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return refuse("data.caption_share must lie in 0…1".into());
        }
        self.model.check()?;
        let optim = &self.optim;
        let in_range = [
            ("optim.lr", optim.lr > 0.0 && optim.lr < 1.0),
            ("optim.lr_floor", (0.0..=1.0).contains(&optim.lr_floor)),
            ("optim.beta_1", (0.0..1.0).contains(&optim.beta_1)),
            ("optim.beta_2", (0.0..1.0).contains(&optim.beta_2)),
            ("optim.epsilon", optim.epsilon > 0.0),
            ("optim.weight_decay", (0.0..=1.0).contains(&optim.weight_decay)),
            ("optim.clip_norm", optim.clip_norm > 0.0),
            ("optim.max_minutes", optim.max_minutes >= 0.0),
        ];
        if let Some((name, _)) = in_range.iter().find(|(_, ok)| !ok) {
            return refuse(format!("{name} is out of its range"));
        }
        Ok(Plan { recipe: self, program: format!("eosin {}", env!("CARGO_PKG_VERSION")) })
    }
}

impl ModelRecipe {
    fn check(&self) -> Result<(), TrainError> {
        let refuse = |what: String| Err(TrainError::Plan { what });
        let Self { text, vision } = self;
        let sizes = [
            ("model.text.hidden", text.hidden),
            ("model.text.intermediate", text.intermediate),
            ("model.text.layers", text.layers),
            ("model.text.heads", text.heads),
            ("model.text.kv_heads", text.kv_heads),
            ("model.vision.hidden", vision.hidden),
            ("model.vision.intermediate", vision.intermediate),
            ("model.vision.depth", vision.depth),
            ("model.vision.heads", vision.heads),
            ("model.vision.full_attention_every", vision.full_attention_every),
        ];
        if let Some((name, value)) = sizes.iter().find(|(_, value)| *value == 0 || *value > 1 << 20) {
            return refuse(format!("{name} = {value} is out of its range"));
        }
        if !text.hidden.is_multiple_of(text.heads) || !text.heads.is_multiple_of(text.kv_heads) {
            return refuse("model.text.hidden must divide into heads, and heads into kv_heads".into());
        }
        let head = text.hidden / text.heads;
        if text.mrope_section.iter().sum::<usize>() * 2 != head {
            return refuse(format!("model.text.mrope_section must add up to {}, half a head", head / 2));
        }
        if !vision.hidden.is_multiple_of(vision.heads) || !(vision.hidden / vision.heads).is_multiple_of(4) {
            return refuse("model.vision.hidden must divide into heads of a multiple of 4".into());
        }
        Ok(())
    }

    /// The model as Qwen2.5-VL's `config.json` says it, for `vocabulary` tokens and the special tokens'
    /// ids (SPEC 10.1, 10.6; the flat form of the first release).
    pub fn to_hf_config(&self, vocabulary: usize, special: &SpecialIds) -> serde_json::Value {
        let Self { text, vision } = self;
        let full: Vec<usize> =
            (0..vision.depth).filter(|idx| (idx + 1).is_multiple_of(vision.full_attention_every)).collect();
        let vision_config = serde_json::json!({
            "model_type": "qwen2_5_vl",
            "depth": vision.depth,
            "hidden_size": vision.hidden,
            "hidden_act": "silu",
            "intermediate_size": vision.intermediate,
            "num_heads": vision.heads,
            "in_channels": 3,
            "in_chans": 3,
            "out_hidden_size": text.hidden,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
            "tokens_per_second": 2,
            "window_size": 112,
            "fullatt_block_indexes": full,
        });
        serde_json::json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "hidden_size": text.hidden,
            "intermediate_size": text.intermediate,
            "num_hidden_layers": text.layers,
            "num_attention_heads": text.heads,
            "num_key_value_heads": text.kv_heads,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-6,
            "rope_theta": text.rope_theta,
            "rope_scaling": { "type": "mrope", "mrope_section": text.mrope_section },
            "max_position_embeddings": text.max_positions,
            "max_window_layers": text.layers,
            "sliding_window": text.max_positions,
            "use_sliding_window": false,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "tie_word_embeddings": true,
            "vocab_size": vocabulary,
            "torch_dtype": "float32",
            "bos_token_id": special.end_of_text,
            "eos_token_id": special.im_end,
            "pad_token_id": special.end_of_text,
            "vision_start_token_id": special.vision_start,
            "vision_end_token_id": special.vision_end,
            "vision_token_id": special.vision_pad,
            "image_token_id": special.image_pad,
            "video_token_id": special.video_pad,
            "vision_config": vision_config,
        })
    }
}

/// Ids of the tokens that Qwen2.5-VL gives a meaning (SPEC 10.5).
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the id of the token of the same name")]
pub struct SpecialIds {
    pub end_of_text: u32,
    pub im_start: u32,
    pub im_end: u32,
    pub vision_start: u32,
    pub vision_end: u32,
    pub vision_pad: u32,
    pub image_pad: u32,
    pub video_pad: u32,
}

impl SpecialIds {
    /// Looks the tokens up by their names.
    ///
    /// # Errors
    /// [`TrainError::Plan`] naming the token that the tokenizer lacks.
    pub fn find(tokenizer: &tokenizers::Tokenizer) -> Result<Self, TrainError> {
        let id = |name: &str| {
            tokenizer.token_to_id(name).ok_or_else(|| TrainError::plan(format!("the tokenizer lacks {name}")))
        };
        Ok(Self {
            end_of_text: id("<|endoftext|>")?,
            im_start: id("<|im_start|>")?,
            im_end: id("<|im_end|>")?,
            vision_start: id("<|vision_start|>")?,
            vision_end: id("<|vision_end|>")?,
            vision_pad: id("<|vision_pad|>")?,
            image_pad: id("<|image_pad|>")?,
            video_pad: id("<|video_pad|>")?,
        })
    }
}

impl Plan {
    /// The plan as TOML, for the run directory.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string_pretty(self).map_err(|error| TrainError::plan(error.to_string()))
    }

    /// Reads `plan.toml` of a run directory.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] where it is not a plan.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::file("read the plan", path))?;
        toml::from_str(&text).map_err(|error| TrainError::Recipe {
            what: error.message().lines().next().unwrap_or("not TOML").to_owned(),
            path: path.to_owned(),
        })
    }
}

/// Sets `a.b.c=value`; the value is TOML, or text where it is not.
fn apply(table: &mut toml::Table, setting: &str) -> Result<(), TrainError> {
    let refuse = |what: &str| TrainError::Setting { setting: setting.to_owned(), what: what.to_owned() };
    let (key, value) = setting.split_once('=').ok_or_else(|| refuse("it is not key=value"))?;
    let value: toml::Value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (path, last) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let mut place = table;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        place = place
            .get_mut(name)
            .and_then(toml::Value::as_table_mut)
            .ok_or_else(|| refuse("the recipe has no such key"))?;
    }
    let old = place.get_mut(last).ok_or_else(|| refuse("the recipe has no such key"))?;
    // `optim.lr=1` is meant as 1.0.
    *old = match (&*old, value) {
        (toml::Value::Float(_), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
        (_, value) => value,
    };
    Ok(())
}
