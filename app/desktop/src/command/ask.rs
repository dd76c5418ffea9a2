//! Questions about what is shown, and their answers.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::sync::PoisonError;

use eosin_workbench::{SlideKey, ViewQuestion};
use tauri::ipc::Channel;

use super::Managed;
use crate::dto::{AnswerEvent, AskDto, ErrorDto, ModelDto};
use crate::stream::{self, Running};

/// The model, once it is loaded.
#[tauri::command(async)]
pub(crate) fn model(state: Managed<'_>) -> Result<ModelDto, ErrorDto> {
    let info = state.worker.wait().map_err(|error| stream::session_error(&error))?;
    Ok(ModelDto {
        name: info.name.clone(),
        device: info.device_name.clone(),
        notice: info.notice.clone().unwrap_or_default(),
    })
}

/// Asks about a view; the answer comes through the channel.
#[tauri::command(async)]
pub(crate) fn ask(
    state: Managed<'_>,
    request: AskDto,
    channel: Channel<AnswerEvent>,
) -> Result<(), ErrorDto> {
    let model = state.worker.wait().map_err(|error| stream::session_error(&error))?;
    let (question, seen) = state.workbench.question(
        &model,
        ViewQuestion {
            slide: SlideKey(request.slide),
            view: request.view.into(),
            text: request.question,
            choices: request.options,
            options: state.options.answers.clone(),
        },
    )?;
    let (cancel, events) = state.worker.ask(question);
    let running = Running { turn: request.turn, cancel };
    *state.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    // A page that has gone hears nothing; the listener goes with this function and ends the answer.
    let _ = channel.send(stream::seen_event(&seen));
    stream::forward(events.into_iter(), &model, &channel);
    Ok(())
}

/// Stops an answer within a token; the text so far stays.
#[tauri::command]
pub(crate) fn stop(state: Managed<'_>, turn: u32) {
    let running = state.running.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = running.as_ref().filter(|running| running.turn == turn) {
        running.cancel.cancel();
    }
}
