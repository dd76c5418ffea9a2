//! Drawn tissue with known truth: the data of the demonstration model and of the tests.
//!
//! `Phantom::draw(seed, …)` gives the same picture on every run; seeds of different splits never meet
//! (`seed.rs`). The chain is plan → dye amounts → light: `scene.rs` decides what there is, `tissue.rs`
//! and `cells.rs` paint it as dye, `stain.rs` develops it. `truth.rs` says what was drawn; `question.rs`
//! and `words.rs` ask about it and answer. A new subfield is a new stain or painter plus new topics.
//! Nothing here resembles a patient: every picture is made of noise and ellipses.

mod canvas;
mod caption;
mod cells;
mod claim;
pub mod export;
mod question;
mod scene;
mod seed;
pub mod slide;
mod stain;
mod tissue;
mod topic;
mod truth;

use eosin_core::RgbTile;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use claim::{CLAIMS, Claim};
pub use question::{Examiner, Form, LETTERS, Question, Style};
pub use scene::{DeadPart, Mitoses, Plan};
pub use seed::Split;
pub use topic::{Class, Topic};
pub use truth::{Infiltrate, Localisation, Mark, MarkKind, Marker, Nuclei, Pattern, Stain, Truth};

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
    /// Draws the phantom of a seed.
    pub fn draw(seed: u64, settings: &Settings) -> Self {
        let mut rng = Draw::seed_from_u64(seed);
        let plan = Plan::draw(&mut rng);
        plan.develop(settings.size_px, settings, &mut rng)
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
    for claim in &CLAIMS {
        words.extend(claim.questions);
        words.extend([claim.when_true, claim.when_false, claim.draft_true, claim.draft_false]);
    }
    words
}

#[cfg(test)]
mod tests;
