//! Contrastive training, and what a CLIP is worth afterwards.
//!
//! A stage reads pairs of a picture and a caption and pulls the two towers together over the whole batch
//! ([`gradient`]); the first stage of Patho-CLIP starts from a general model or from nothing, the second from
//! the first. Evaluation is that of the papers: retrieval both ways, naming by words alone, linear probes of
//! few shots, each beside a histogram of colours, which sees no shapes. `tests/train_clip.rs` holds loss and
//! gradients to PyTorch, the probe to scikit-learn, and resumption to the unbroken run.

pub mod augment;
pub mod bundle;
pub mod colours;
pub mod evaluate;
pub mod features;
pub mod folder;
pub mod gradient;
pub mod model;
pub mod pairs;
pub mod probe;
pub mod retrieval;
mod stage;
pub mod tissue;
pub mod tokenizer;
pub mod zero_shot;

use serde::{Deserialize, Serialize};

pub use augment::AugmentRecipe;
pub use features::Features;
pub use model::ClipModelRecipe;
pub use stage::run;

/// What a `clip` stage does beyond what all stages do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClipSettings {
    /// Towers that do not move.
    pub locked: Vec<Tower>,
    /// How training pictures vary.
    pub augment: AugmentRecipe,
    /// What is done with pairs of one step that say the same.
    pub duplicates: Duplicates,
    /// Tag of the validation samples that is named by words alone at every look; none where empty.
    pub zero_shot_tag: String,
    /// Threads that read ahead.
    pub read_threads: usize,
}

impl Default for ClipSettings {
    fn default() -> Self {
        Self {
            locked: Vec::new(),
            augment: AugmentRecipe::default(),
            duplicates: Duplicates::Keep,
            zero_shot_tag: String::new(),
            read_threads: 1,
        }
    }
}

/// One of the two towers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tower {
    /// Pictures, with their projection.
    Image,
    /// Words, with theirs.
    Text,
}

/// What is done with pairs of one step that have equal captions or show the same picture: the loss would
/// push apart what belongs together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// They stay, as in the papers.
    #[default]
    Keep,
    /// All but the first leave the step.
    Drop,
}

impl ClipSettings {
    /// The first value that cannot be used, if any.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.locked.contains(&Tower::Image) && self.locked.contains(&Tower::Text) {
            return Some("clip.locked leaves nothing to train");
        }
        if !(1..=64).contains(&self.read_threads) {
            return Some("clip.read_threads must lie in 1…64");
        }
        self.augment.refusal()
    }
}
