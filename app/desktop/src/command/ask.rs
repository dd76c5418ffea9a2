//! Questions and answers.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::path::PathBuf;

use eosin_casebook::{AnswerId, ChatId, TurnId};
use eosin_workbench::chat::{Ask, RunId};
use eosin_workbench::{PictureSource, SlideKey, WorkbenchError};
use tauri::ipc::Channel;

use super::Managed;
use crate::State;
use crate::dto::{
    AnswerEvent, AskDto, ChatDto, ErrorDto, PictureSourceDto, PreviewDto, SettingsDto, ViewDto,
};
use crate::stream;

/// Asks; the answer comes through the channel.
#[tauri::command(async)]
pub(crate) fn ask(
    state: Managed<'_>,
    request: AskDto,
    channel: Channel<AnswerEvent>,
) -> Result<(), ErrorDto> {
    let ask = Ask {
        chat: request.chat.map(ChatId),
        parent: request.parent.map(AnswerId),
        style: request.style(),
        pictures: sources(&state, &request.pictures)?,
        options: request.settings.over(&state.options.answers),
        question: request.question,
        choices: request.choices,
        system: request.system,
    };
    Ok(state.chats.ask(&ask, &mut stream::to(&channel))?)
}

/// Answers a kept question once more.
#[tauri::command(async)]
pub(crate) fn ask_again(
    state: Managed<'_>,
    chat: i64,
    turn: i64,
    settings: SettingsDto,
    channel: Channel<AnswerEvent>,
) -> Result<(), ErrorDto> {
    let options = settings.over(&state.options.answers);
    Ok(state.chats.again(ChatId(chat), TurnId(turn), &options, &mut stream::to(&channel))?)
}

/// Stops an answer within a token; the text so far stays.
#[tauri::command]
pub(crate) fn stop(state: Managed<'_>, run: u64) {
    state.chats.stop(RunId(run));
}

/// What the model would see of these pictures.
#[tauri::command(async)]
pub(crate) fn preview(state: Managed<'_>, pictures: Vec<PictureSourceDto>) -> Result<PreviewDto, ErrorDto> {
    let (model, seen) = state.chats.preview(&sources(&state, &pictures)?)?;
    let pictures = seen.iter().map(|picture| stream::exact(picture, &model)).collect::<Result<_, _>>()?;
    Ok(PreviewDto { pictures, n_context: model.n_context as u32 })
}

/// The pictures of a question about a whole slide.
#[tauri::command(async)]
pub(crate) fn whole_slide(
    state: Managed<'_>,
    slide: String,
    n_tile: usize,
) -> Result<Vec<PictureSourceDto>, ErrorDto> {
    let sources = state.workbench.whole_slide(&SlideKey(slide), n_tile)?;
    Ok(sources.into_iter().filter_map(source_dto).collect())
}

/// Lets the person choose pictures to ask about.
#[tauri::command]
pub(crate) async fn picture_dialog() -> Vec<String> {
    let files = rfd::AsyncFileDialog::new().pick_files().await.unwrap_or_default();
    files.iter().map(|file| file.path().to_string_lossy().into_owned()).collect()
}

/// A chat, the branch that is shown.
#[tauri::command(async)]
pub(crate) fn chat(state: Managed<'_>, id: i64) -> Result<ChatDto, ErrorDto> {
    let book = state.chats.book();
    let chat = book.chat(ChatId(id)).map_err(WorkbenchError::from)?;
    Ok(ChatDto::of(&chat, &|turn| stream::thumbnails(book, turn)))
}

/// Shows another version of a question, or another of its answers.
#[tauri::command(async)]
pub(crate) fn show_version(
    state: Managed<'_>,
    chat: i64,
    turn: i64,
    answer: Option<i64>,
) -> Result<ChatDto, ErrorDto> {
    let book = state.chats.book();
    book.select(TurnId(turn), answer.map(AnswerId)).map_err(WorkbenchError::from)?;
    self::chat(state, chat)
}

fn sources(state: &State, pictures: &[PictureSourceDto]) -> Result<Vec<PictureSource>, WorkbenchError> {
    pictures.iter().map(|picture| source(state, picture)).collect()
}

fn source(state: &State, picture: &PictureSourceDto) -> Result<PictureSource, WorkbenchError> {
    Ok(match picture {
        PictureSourceDto::View { slide, view } => {
            PictureSource::View { slide: SlideKey(slide.clone()), view: (*view).into() }
        }
        PictureSourceDto::Whole { slide } => PictureSource::Whole { slide: SlideKey(slide.clone()) },
        PictureSourceDto::Tile { slide, view } => {
            PictureSource::Tile { slide: SlideKey(slide.clone()), view: (*view).into() }
        }
        PictureSourceDto::File { path } => PictureSource::File { path: PathBuf::from(path) },
        PictureSourceDto::Kept { chat, turn, index } => {
            state.chats.kept_picture(ChatId(*chat), TurnId(*turn), *index as usize)?
        }
    })
}

fn source_dto(source: PictureSource) -> Option<PictureSourceDto> {
    Some(match source {
        PictureSource::View { slide, view } => {
            PictureSourceDto::View { slide: slide.0, view: ViewDto::of(view) }
        }
        PictureSource::Whole { slide } => PictureSourceDto::Whole { slide: slide.0 },
        PictureSource::Tile { slide, view } => {
            PictureSourceDto::Tile { slide: slide.0, view: ViewDto::of(view) }
        }
        PictureSource::File { path } => PictureSourceDto::File { path: path.to_string_lossy().into_owned() },
        PictureSource::Kept { .. } => return None,
    })
}
