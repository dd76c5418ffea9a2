//! From the chat's events to the page's, and pictures to addresses that the page can show.

use base64::Engine as _;
use eosin_casebook::{CaseBook, Figures, Turn};
use eosin_core::{Hint as _, RgbTile, error_chain};
use eosin_session::{Channel, ModelInfo, SessionError, StreamEvent};
use eosin_workbench::chat::{ChatEvent, rate};
use eosin_workbench::{SeenPicture, ViewRect, WorkbenchError, small_jpeg};
use tauri::ipc;

use crate::dto::{AnswerEvent, ErrorDto, PictureDto, ViewDto};

/// Longest side of the small copies in a chat.
const SMALL_PX: u32 = 320;

/// Passes what happens on to the page. A page that has gone hears nothing; its answer is kept all the same.
pub(crate) fn to(page: &ipc::Channel<AnswerEvent>) -> impl FnMut(ChatEvent) {
    let page = page.clone();
    let begun = std::time::Instant::now();
    let (mut first_token, mut answered) = (None, None);
    move |event| {
        let secs = begun.elapsed().as_secs_f64();
        let event = match event {
            ChatEvent::Began { chat, turn, answer, run, pictures } => AnswerEvent::Began {
                chat: chat.map(|id| id.0),
                turn: turn.map(|id| id.0),
                answer: answer.map(|id| id.0),
                run: run.0,
                pictures: pictures.iter().filter_map(|picture| small(picture).ok()).collect(),
            },
            ChatEvent::Unkept(report) => AnswerEvent::Unkept { error: report.into() },
            ChatEvent::Stream(StreamEvent::Planned { n_prompt, n_context, max_tokens, .. }) => {
                AnswerEvent::Planned {
                    n_prompt: n_prompt as u32,
                    n_context: n_context as u32,
                    max_tokens: max_tokens as u32,
                }
            }
            ChatEvent::Stream(StreamEvent::Prefilled { n_token, secs }) => {
                AnswerEvent::Prefilled { n_token: n_token as u32, secs }
            }
            ChatEvent::Stream(StreamEvent::Text { channel, delta }) => {
                first_token.get_or_insert(secs);
                match channel {
                    Channel::Reasoning => AnswerEvent::Reasoning { delta },
                    Channel::Answer => {
                        answered.get_or_insert(secs);
                        AnswerEvent::Answer { delta }
                    }
                }
            }
            ChatEvent::Stream(StreamEvent::Done { reason, usage, transcript }) => {
                let reasoned = !transcript.reasoning.is_empty();
                let figures = Figures {
                    n_prompt: Some(usage.n_prompt as u64),
                    n_generated: Some(usage.n_generated as u64),
                    n_context: Some(usage.n_context as u64),
                    first_token_secs: first_token,
                    tokens_per_sec: rate(usage.n_generated, usage.decode_secs).map(f64::from),
                    reasoning_secs: first_token
                        .filter(|_| reasoned)
                        .map(|first| answered.unwrap_or(secs) - first),
                    total_secs: Some(secs),
                };
                let probabilities = &transcript.option_probabilities;
                AnswerEvent::Done {
                    reason: reason.name().to_owned(),
                    figures: figures.into(),
                    option_probabilities: (!probabilities.is_empty()).then(|| probabilities.clone()),
                }
            }
            ChatEvent::Stream(StreamEvent::Failed(error)) => {
                AnswerEvent::Failed { error: session_error(&error) }
            }
        };
        let _ = page.send(event);
    }
}

/// A picture with exactly the pixels that the model sees.
pub(crate) fn exact(picture: &SeenPicture, model: &ModelInfo) -> Result<PictureDto, WorkbenchError> {
    Ok(picture_dto(picture, data_url("image/png", &picture.png(model)?)))
}

/// A picture with a small copy to show.
fn small(picture: &SeenPicture) -> Result<PictureDto, WorkbenchError> {
    Ok(picture_dto(picture, small_url(&picture.tile)?))
}

fn picture_dto(picture: &SeenPicture, url: String) -> PictureDto {
    PictureDto {
        url,
        width_px: picture.size_px[0],
        height_px: picture.size_px[1],
        n_token: u32::try_from(picture.n_token).unwrap_or(u32::MAX),
        um_per_px: picture.um_per_px,
        title: picture.title.clone(),
        slide_id: picture.region.as_ref().map(|region| region.slide.0.clone()),
        view: picture.view().map(ViewDto::of),
    }
}

/// The pictures of a kept question with small copies to show; one that is missing is shown empty.
pub(crate) fn thumbnails(book: &CaseBook, turn: &Turn) -> Vec<PictureDto> {
    let one = |image: &eosin_casebook::Picture| {
        let pixels = book.pixels(&image.hash);
        let url = pixels.ok().and_then(|pixels| small_url(&pixels).ok()).unwrap_or_default();
        let size_px = image.seen_size_px.unwrap_or(image.size_px);
        let view = image.region.as_ref().and_then(ViewRect::of_region);
        PictureDto {
            url,
            width_px: size_px[0],
            height_px: size_px[1],
            n_token: image.n_token.unwrap_or_default(),
            um_per_px: image
                .um_per_px
                .map(|um_per_px| um_per_px * f64::from(image.size_px[0]) / f64::from(size_px[0])),
            title: image.slide_title.clone(),
            slide_id: image.region.as_ref().map(|region| region.slide.0.clone()),
            view: view.map(ViewDto::of),
        }
    };
    turn.images.iter().map(one).collect()
}

/// A small copy as an address.
pub(crate) fn small_url(tile: &RgbTile) -> Result<String, WorkbenchError> {
    Ok(data_url("image/jpeg", &small_jpeg(tile, SMALL_PX)?))
}

/// Bytes as an address.
pub(crate) fn data_url(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// An error of the model as a person reads it.
pub(crate) fn session_error(error: &SessionError) -> ErrorDto {
    ErrorDto { code: "model".to_owned(), message: error_chain(error), hint: error.hint().map(str::to_owned) }
}
