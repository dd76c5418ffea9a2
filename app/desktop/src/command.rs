//! What the page may ask for. Each command parses, calls and converts; none knows how anything is done.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::path::Path;
use std::sync::PoisonError;

use eosin_session::BundleSource;
use eosin_workbench::{ErrorReport, SlideKey, ViewQuestion, ViewRect, WorkbenchError};
use tauri::ipc::Channel;

use crate::State;
use crate::dto::{AnswerEvent, AskDto, ErrorDto, ModelDto, SlideDto, StartupDto, ViewDto};
use crate::stream::{self, Running};

type Managed<'a> = tauri::State<'a, State>;

/// Stands in the window before a model says more.
const NOTICE: &str = "Research use only, not for diagnosis. Nothing leaves this machine.";

/// What the demonstration model knows to answer.
const SUGGESTIONS: &[&str] = &[
    "Describe this field.",
    "Which tissue pattern dominates here?",
    "Which inflammatory cell dominates?",
    "Are there mitotic figures?",
];

/// What the window shows first: a slide, where one was given.
#[tauri::command(async)]
pub(crate) fn startup(state: Managed<'_>) -> StartupDto {
    let opened = state.options.file.as_deref().map(|path| open(&state, path));
    let (slide, error) = match opened {
        Some(Ok(slide)) => (Some(slide), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let demo = state.options.model == BundleSource::Demo;
    let suggestions = if demo { SUGGESTIONS } else { &SUGGESTIONS[..1] };
    let suggestions = suggestions.iter().map(ToString::to_string).collect();
    StartupDto { notice: NOTICE.to_owned(), slide, error, suggestions }
}

/// The model, once it is loaded.
#[tauri::command(async)]
pub(crate) fn model(state: Managed<'_>) -> Result<ModelDto, ErrorDto> {
    let info = state.worker.wait().map_err(|error| stream::session_error(&error))?;
    Ok(ModelDto {
        name: info.name.clone(),
        device: info.device_name.clone(),
        notice: info.notice.clone().unwrap_or_else(|| NOTICE.to_owned()),
    })
}

/// Lets the person choose a file; nothing where they choose none.
#[tauri::command]
pub(crate) async fn open_dialog(state: Managed<'_>) -> Result<Option<SlideDto>, ErrorDto> {
    let chosen = rfd::AsyncFileDialog::new().set_title("Open a slide or a picture").pick_file().await;
    chosen.map(|file| open(&state, file.path())).transpose()
}

/// Opens a dropped file.
#[tauri::command(async)]
pub(crate) fn open_path(state: Managed<'_>, path: &str) -> Result<SlideDto, ErrorDto> {
    open(&state, Path::new(path))
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
            view: view_rect(request.view),
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

fn open(state: &State, path: &Path) -> Result<SlideDto, ErrorDto> {
    let opened = state.workbench.open(path)?;
    let info = opened.slide.info();
    let [width_px, height_px] = info.base_px();
    Ok(SlideDto {
        handle: opened.key.0.clone(),
        title: opened.title.clone(),
        format: info.format.clone(),
        width_px,
        height_px,
        tile_px: opened.plan.tile_px(),
        mpp: info.mpp.map(eosin_core::Mpp::um_per_px),
        magnification: info.magnification,
    })
}

fn view_rect(view: ViewDto) -> ViewRect {
    ViewRect {
        origin_base_px: [view.x_base_px, view.y_base_px].map(f64::from),
        size_base_px: [view.width_base_px, view.height_base_px].map(f64::from),
    }
}

impl From<ErrorReport> for ErrorDto {
    fn from(report: ErrorReport) -> Self {
        Self { code: report.code, message: report.message, hint: report.hint }
    }
}

impl From<WorkbenchError> for ErrorDto {
    fn from(error: WorkbenchError) -> Self {
        error.report().into()
    }
}
