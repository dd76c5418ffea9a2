//! What crosses between the window's Rust and its page. Core types are not serialised to the window: these
//! are, and `ui/src/wire.ts` is written from them (the test below fails when it is out of date).

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// An opened slide.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct SlideDto {
    /// Opaque name of the opened slide within this run.
    pub(crate) handle: String,
    /// File name, shown to the person who opened it and nowhere else.
    pub(crate) title: String,
    /// Reader that opened it.
    pub(crate) format: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Side of the tiles that the protocol serves.
    pub(crate) tile_px: u32,
    /// µm per base pixel, where known.
    pub(crate) mpp: Option<f64>,
    pub(crate) magnification: Option<f64>,
}

/// A visible rectangle of a slide, in base pixels.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, TS)]
#[expect(clippy::struct_field_names, reason = "the unit ends a name, as everywhere")]
pub(crate) struct ViewDto {
    pub(crate) x_base_px: u32,
    pub(crate) y_base_px: u32,
    pub(crate) width_base_px: u32,
    pub(crate) height_base_px: u32,
}

/// What the window shows first.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct StartupDto {
    pub(crate) notice: String,
    pub(crate) slide: Option<SlideDto>,
    pub(crate) error: Option<ErrorDto>,
    pub(crate) suggestions: Vec<String>,
}

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

/// An error as a person reads it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ErrorDto {
    /// For tests and logs.
    pub(crate) code: String,
    /// What happened, and where.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
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
mod tests {
    use super::*;

    /// Run with `EOSIN_BINDINGS=write` to bring the page's types up to date.
    #[test]
    fn the_pages_types_are_up_to_date() {
        let config = ts_rs::Config::default();
        let declarations = [
            SlideDto::decl(&config),
            ViewDto::decl(&config),
            StartupDto::decl(&config),
            ModelDto::decl(&config),
            AskDto::decl(&config),
            ErrorDto::decl(&config),
            AnswerEvent::decl(&config),
        ];
        let mut text = String::from("// Written from app/desktop/src/dto.rs by its test; do not edit.\n");
        for declaration in declarations {
            text.extend(["\nexport ", &declaration, "\n"]);
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/wire.ts");
        if std::env::var_os("EOSIN_BINDINGS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "run `EOSIN_BINDINGS=write cargo test -p eosin-desktop dto`");
    }
}
