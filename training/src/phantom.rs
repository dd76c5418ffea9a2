//! Drawn tissue with known truth: the data of the demonstration model and of the tests.
//!
//! `Phantom::draw(seed, …)` gives the same picture on every run; seeds of different splits never meet
//! (`seed.rs`). The chain is plan → dye amounts → light: `scene.rs` decides what there is, `tissue.rs`
//! and `cells.rs` paint it as dye, `stain.rs` develops it. `truth.rs` says what was drawn; `question.rs`
//! and `topic/tables.rs` ask about it and answer. A new subfield is a new painter plus new topics.
//! Nothing here resembles a patient: every picture is made of noise and ellipses.

mod canvas;
mod caption;
mod cells;
mod cytology;
pub mod export;
mod fish;
mod gross;
mod judge;
mod question;
mod scene;
mod seed;
pub mod slide;
mod source;
mod specimen;
mod stain;
mod tissue;
mod topic;
mod truth;

use eosin_core::RgbTile;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use judge::{Sheet, SheetVersion, judge};
pub use question::{Examiner, Form, LETTERS, Listing, Question, Style};
pub use scene::{DeadPart, Mitoses, Plan};
pub use seed::Split;
pub use source::{Content, PhantomSource};
pub use topic::{Class, Topic};
pub use truth::{
    Arrangement, Background, Change, CytologyFacts, Domain, Facts, FishFacts, GrossFacts, Infiltrate, Lesion,
    Localisation, Mark, MarkKind, Marker, Nuclei, Organ, Pattern, Signals, SmearCells, SmearDye, Stain,
    Subfield, Tier, TissueFacts, Truth,
};

/// The random numbers of a drawing.
pub(crate) type Draw = ChaCha8Rng;

/// How phantoms are drawn and photographed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Settings {
    /// Width and height in pixels.
    pub size_px: [u32; 2],
    /// Enlarges every cell; 1 is the scale that the demonstration learns.
    pub scale: f32,
    /// Strength of all dyes; 1 is usual.
    pub stain_strength: f32,
    /// How much laboratories differ, 0 (not at all) to 1.
    pub stain_variation: f32,
    /// Blur of the lens, 0 to 1.
    pub blur: f32,
    /// Grain of the sensor, in grey levels from end to end.
    pub noise: f32,
    /// Turns all hues, in degrees; 0 in the laboratory of training.
    pub hue_turn_deg: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            size_px: [168, 168],
            scale: 1.0,
            stain_strength: 1.0,
            stain_variation: 1.0,
            blur: 0.45,
            noise: 12.0,
            hue_turn_deg: 0.0,
        }
    }
}

/// A picture of tissue that was drawn, and what it shows.
#[derive(Clone, Debug)]
pub struct Phantom {
    /// The picture.
    pub tile: RgbTile,
    /// What it shows.
    pub truth: Truth,
}

impl Phantom {
    /// Draws the phantom of a seed, which says subfield and tier too.
    pub fn draw(seed: u64, settings: &Settings) -> Self {
        let (subfield, tier) = Split::stratum(seed);
        Self::draw_kind(subfield, tier, seed, settings)
    }

    /// Draws a phantom of a stated subfield and tier.
    pub fn draw_kind(subfield: Subfield, tier: Tier, seed: u64, settings: &Settings) -> Self {
        let mut rng = Draw::seed_from_u64(seed);
        let specimen = specimen::Specimen::draw(subfield, tier, &mut rng);
        specimen.develop(subfield, tier, settings, &mut rng)
    }

    /// Draws a stated plan.
    pub fn draw_plan(plan: &Plan, seed: u64, settings: &Settings) -> Self {
        plan.develop(settings.size_px, settings, &mut Draw::seed_from_u64(seed))
    }
}

/// Every fixed wording of questions and answers, for the vocabulary.
pub(crate) fn wordings() -> Vec<&'static str> {
    let mut words = topic::wordings();
    words.extend(caption::REQUESTS);
    words.extend(question::WHY);
    words.extend(question::JOINTS);
    words
}

#[cfg(test)]
mod tests;
