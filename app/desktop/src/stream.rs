//! From the worker's events to the page's: one thread a turn, until the last event.

use base64::Engine as _;
use eosin_core::{Hint as _, error_chain};
use eosin_session::{Cancel, Channel, ModelInfo, SessionError, StopReason, StreamEvent, Usage};
use eosin_workbench::SeenView;
use tauri::ipc;

use crate::dto::{AnswerEvent, ErrorDto};

/// The answer that is being made.
pub(crate) struct Running {
    pub(crate) turn: u32,
    pub(crate) cancel: Cancel,
}

/// What the page shows of the pixels that the model sees.
pub(crate) fn seen_event(seen: &SeenView) -> AnswerEvent {
    let jpeg = base64::engine::general_purpose::STANDARD.encode(&seen.jpeg);
    AnswerEvent::Seen {
        picture_url: format!("data:image/jpeg;base64,{jpeg}"),
        width_px: seen.size_px[0],
        height_px: seen.size_px[1],
        n_token: u32::try_from(seen.n_token).unwrap_or(u32::MAX),
        um_per_px: seen.um_per_px,
    }
}

/// Passes events on until the last one; a page that has gone ends the answer, because the listener goes.
pub(crate) fn forward(
    events: impl Iterator<Item = StreamEvent>,
    model: &ModelInfo,
    page: &ipc::Channel<AnswerEvent>,
) {
    let mut first_token_secs = 0.0;
    for event in events {
        let event = match event {
            StreamEvent::Planned { .. } => continue,
            StreamEvent::Prefilled { n_token, secs } => {
                first_token_secs = f64::from(secs);
                AnswerEvent::Prefilled { n_token: n_token as u32, secs: f64::from(secs) }
            }
            StreamEvent::Text { channel: Channel::Reasoning, delta } => AnswerEvent::Reasoning { delta },
            StreamEvent::Text { channel: Channel::Answer, delta } => AnswerEvent::Answer { delta },
            StreamEvent::Done { reason, usage, .. } => done(reason, &usage, first_token_secs, model),
            StreamEvent::Failed(error) => AnswerEvent::Failed { error: session_error(&error) },
        };
        if page.send(event).is_err() {
            return;
        }
    }
}

fn done(reason: StopReason, usage: &Usage, first_token_secs: f64, model: &ModelInfo) -> AnswerEvent {
    let reason = match reason {
        StopReason::EndOfTurn | StopReason::StopString => "end",
        StopReason::Cancelled => "stopped",
        StopReason::MaxTokens | StopReason::ContextFull => "length",
    };
    AnswerEvent::Done {
        reason: reason.to_owned(),
        n_token: usage.n_generated as u32,
        token_per_sec: usage.n_generated as f64 / f64::from(usage.decode_secs).max(1e-6),
        first_token_secs,
        device: model.device.to_string(),
    }
}

/// An error of the model as a person reads it.
pub(crate) fn session_error(error: &SessionError) -> ErrorDto {
    ErrorDto { code: "model".to_owned(), message: error_chain(error), hint: error.hint().map(str::to_owned) }
}
