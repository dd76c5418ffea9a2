//! Questions and answers.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ErrorDto, ViewDto};

/// The model that answers.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ModelDto {
    pub(crate) name: String,
    pub(crate) device: String,
    /// What must stand beside its answers.
    pub(crate) notice: String,
}

/// A question about a view.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct AskDto {
    /// Number of the turn, chosen by the page: names it when it is stopped.
    pub(crate) turn: u32,
    /// Handle of the slide.
    pub(crate) slide: String,
    pub(crate) view: ViewDto,
    pub(crate) question: String,
    /// Choices of a multiple-choice question; empty for an open one.
    pub(crate) options: Vec<String>,
}

/// An answer as it comes. `done` or `failed` is the last event, exactly once.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum AnswerEvent {
    /// Exactly the pixels that the model sees.
    Seen { picture_url: String, width_px: u32, height_px: u32, n_token: u32, um_per_px: Option<f64> },
    /// The question was read.
    Prefilled { n_token: u32, secs: f64 },
    /// More of the reasoning.
    Reasoning { delta: String },
    /// More of the answer.
    Answer { delta: String },
    /// The end, with what it cost; `reason` is `end`, `stopped` or `length`.
    Done { reason: String, n_token: u32, token_per_sec: f64, first_token_secs: f64, device: String },
    /// The end, without an answer.
    Failed { error: ErrorDto },
}

#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![ModelDto::decl(config), AskDto::decl(config), AnswerEvent::decl(config)]
}
