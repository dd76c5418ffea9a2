//! One stage of a pipeline: where it starts, what it reads, how it descends, what it keeps.
//!
//! Every kind of stage has the same tables for data, descent, checks and checkpoints, and one table of its
//! own (`clip`, `tune` or `rl`). Values that are left out have the defaults written here, and the plan in the
//! run directory spells all of them out.

use serde::{Deserialize, Serialize};

use crate::clip::ClipSettings;
use crate::error::TrainError;
use crate::rl::RlSettings;

/// What a stage does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Contrastive training of a CLIP model on pairs.
    Clip,
    /// Continued pretraining of the VLM: the loss is on the caption alone.
    Cpt,
    /// Supervised fine-tuning of the VLM: the loss is on the assistant's turns.
    Sft,
    /// Reinforcement of the VLM by verifiable rewards.
    Rl,
}

impl Kind {
    /// The name in recipes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Cpt => "cpt",
            Self::Sft => "sft",
            Self::Rl => "rl",
        }
    }
}

/// A stage as written in a recipe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name, that of its folder, and what later stages call it by.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What the papers and people call the model that comes out, for tables; the name where left out.
    #[serde(default)]
    pub title: String,
    /// Where its weights come from: `init`, the name of an earlier stage, or a Hugging Face folder.
    pub from: String,
    /// What it learns from.
    pub data: Vec<Share>,
    /// The descent.
    pub optim: OptimRecipe,
    /// Looks at data that is never trained on.
    #[serde(default)]
    pub validate: ValidateRecipe,
    /// What is kept on disk.
    #[serde(default)]
    pub checkpoint: CheckpointRecipe,
    /// Of a `clip` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipSettings>,
    /// Of `cpt` and `sft` stages, and how an `rl` stage lays out and freezes its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tune: Option<TuneSettings>,
    /// Of an `rl` stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rl: Option<RlSettings>,
}

/// A source of the recipe and how often it comes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Its name under `[sources]`.
    pub source: String,
    /// How often it comes, beside the others.
    #[serde(default = "one")]
    pub weight: f64,
}

/// The descent: `AdamW` with warm-up and a curve.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimRecipe {
    /// Highest learning rate.
    pub lr: f64,
    /// Learning rate at the end, as a part of `lr`; a constant curve has none.
    #[serde(default)]
    pub lr_floor: f64,
    /// How the rate falls after the warm-up.
    #[serde(default)]
    pub curve: Curve,
    /// Steps of linear warm-up.
    #[serde(default)]
    pub warmup_steps: u64,
    /// Steps of the stage.
    pub steps: u64,
    /// Where above 0, the curve also moves with the clock and the stage ends after so many minutes of
    /// training. Such a stage resumes whole, but not bit for bit: the clock is not repeatable.
    #[serde(default)]
    pub max_minutes: f64,
    /// Samples in a step.
    pub samples_per_step: usize,
    /// Samples that are in memory at once; a step adds up the gradients of several such parts, weighted by
    /// what they teach, so that the division does not change the result beyond rounding. 0: all.
    #[serde(default)]
    pub samples_per_part: usize,
    /// Decay of the first moment.
    #[serde(default = "beta_1")]
    pub beta_1: f64,
    /// Decay of the second moment.
    #[serde(default = "beta_2")]
    pub beta_2: f64,
    /// Added to the root of the second moment.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Decoupled weight decay of matrices; vectors have none.
    #[serde(default)]
    pub weight_decay: f64,
    /// Longest gradient; longer ones are shortened to it.
    #[serde(default = "one")]
    pub clip_norm: f64,
}

/// How a learning rate falls after its warm-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// Half a cosine, down to the floor.
    #[default]
    Cosine,
    /// A straight line, down to the floor.
    Linear,
    /// Not at all.
    Constant,
}

/// Looks at data that is never trained on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidateRecipe {
    /// Source that is looked at; none where empty.
    pub source: String,
    /// Steps between looks; 0: at the end only.
    pub every_steps: u64,
    /// Samples whose loss is taken.
    pub loss_samples: usize,
    /// Samples whose last question is answered by greedy generation.
    pub answer_samples: usize,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Which weights the stage ends with.
    pub keep: Keep,
}

/// Which weights a stage ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Those of its last step.
    #[default]
    Last,
    /// Those of the best look: highest accuracy, or lowest loss where nothing is answered.
    Best,
}

impl Default for ValidateRecipe {
    fn default() -> Self {
        Self {
            source: String::new(),
            every_steps: 0,
            loss_samples: 64,
            answer_samples: 0,
            max_new_tokens: 128,
            keep: Keep::Last,
        }
    }
}

/// What is kept on disk.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointRecipe {
    /// Steps between checkpoints.
    pub every_steps: u64,
    /// Checkpoints that stay; older ones go once a newer one is whole.
    pub save_total_limit: usize,
}

impl Default for CheckpointRecipe {
    fn default() -> Self {
        Self { every_steps: 50, save_total_limit: 2 }
    }
}

/// How conversations become rows of tokens, and what of the model moves.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TuneSettings {
    /// Most tokens of a sample; longer ones lose whole turns from the end, never a part of a picture.
    pub max_tokens: usize,
    /// Standing instruction before every conversation that has none; none where empty.
    pub system: String,
    /// Whether several samples share a row, each seeing itself alone.
    pub packing: bool,
    /// Whether samples of like length share a part of a step.
    pub group_by_length: bool,
    /// Parts that do not move.
    pub freeze: Vec<Part>,
    /// Low-rank adapters instead of the weights themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraRecipe>,
    /// Computes activations twice instead of keeping them.
    pub gradient_checkpointing: bool,
    /// Threads that read ahead.
    pub read_threads: usize,
}

impl Default for TuneSettings {
    fn default() -> Self {
        Self {
            max_tokens: 2048,
            system: String::new(),
            packing: false,
            group_by_length: true,
            freeze: Vec::new(),
            lora: None,
            gradient_checkpointing: false,
            read_threads: 1,
        }
    }
}

/// Parts of a VLM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The vision tower, its merger left out.
    Tower,
    /// The merger of the vision tower (the projector).
    Merger,
    /// The text decoder.
    Decoder,
}

impl From<Part> for eosin_model::lora::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Tower => Self::Tower,
            Part::Merger => Self::Merger,
            Part::Decoder => Self::Decoder,
        }
    }
}

/// Low-rank adapters (Hu et al. 2021, arXiv 2106.09685).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraRecipe {
    /// Rank.
    pub rank: usize,
    /// Scale; the adapters' product counts `alpha / rank`.
    pub alpha: f64,
    /// Names of the linear maps that get one, such as `q_proj`; `all` for every one of the decoder.
    pub targets: Vec<String>,
}

fn one() -> f64 {
    1.0
}

fn beta_1() -> f64 {
    0.9
}

fn beta_2() -> f64 {
    0.98
}

fn epsilon() -> f64 {
    1e-8
}

impl OptimRecipe {
    /// Samples of a part, of which a step may have several.
    pub fn part(&self) -> usize {
        if self.samples_per_part == 0 { self.samples_per_step } else { self.samples_per_part }
    }
}

impl Stage {
    /// What people call the model that comes out.
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// How rows are laid out.
    pub fn tune(&self) -> TuneSettings {
        self.tune.clone().unwrap_or_default()
    }

    /// Checks the values against each other; `earlier` are the stages before this one.
    pub(crate) fn check(&self, earlier: &[Self]) -> Result<(), TrainError> {
        let refuse = |what: String| Err(TrainError::plan(format!("stage {}: {what}", self.name)));
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name == "init" || !self.name.chars().all(sound) {
            return refuse("a name is made of letters, digits, - and _, and is not `init`".into());
        }
        if earlier.iter().any(|other| other.name == self.name) {
            return refuse("another stage has this name".into());
        }
        if let Some(parent) = earlier.iter().find(|other| other.name == self.from)
            && (parent.kind == Kind::Clip) != (self.kind == Kind::Clip)
        {
            return refuse(format!("it cannot start from `{}`, which is another sort of model", self.from));
        }
        if self.data.is_empty() {
            return refuse("`data` names no source".into());
        }
        if self.data.iter().any(|share| !share.weight.is_finite() || share.weight <= 0.0) {
            return refuse("the weight of a source must be above 0".into());
        }
        let own = [
            ("clip", self.clip.is_some(), self.kind == Kind::Clip),
            ("tune", self.tune.is_some(), self.kind != Kind::Clip),
            ("rl", self.rl.is_some(), self.kind == Kind::Rl),
        ];
        if let Some((table, ..)) = own.iter().find(|(_, given, fits)| *given && !fits) {
            return refuse(format!("a {} stage has no table `{table}`", self.kind.name()));
        }
        let (optim, tune) = (&self.optim, self.tune());
        let in_range = [
            ("optim.lr", optim.lr > 0.0 && optim.lr < 1.0),
            ("optim.lr_floor", (0.0..=1.0).contains(&optim.lr_floor)),
            ("optim.steps", optim.steps > 0),
            ("optim.samples_per_step", optim.samples_per_step > 0),
            ("optim.beta_1", (0.0..1.0).contains(&optim.beta_1)),
            ("optim.beta_2", (0.0..1.0).contains(&optim.beta_2)),
            ("optim.epsilon", optim.epsilon > 0.0),
            ("optim.weight_decay", (0.0..=1.0).contains(&optim.weight_decay)),
            ("optim.clip_norm", optim.clip_norm > 0.0),
            ("optim.max_minutes", optim.max_minutes >= 0.0),
            ("checkpoint.every_steps", self.checkpoint.every_steps > 0),
            ("checkpoint.save_total_limit", self.checkpoint.save_total_limit > 0),
            ("tune.max_tokens", tune.max_tokens > 0),
            ("tune.read_threads", (1..=64).contains(&tune.read_threads)),
            ("tune.lora.rank", tune.lora.as_ref().is_none_or(|lora| lora.rank > 0)),
        ];
        if let Some((name, _)) = in_range.iter().find(|(_, ok)| !ok) {
            return refuse(format!("{name} is out of its range"));
        }
        let all = [Part::Tower, Part::Merger, Part::Decoder];
        if all.iter().all(|part| tune.freeze.contains(part)) && tune.lora.is_none() {
            return refuse("tune.freeze leaves nothing to train".into());
        }
        Ok(())
    }
}
