//! Questions, answers and chats as the page sees them.

use eosin_casebook::{Answer, Chat, Figures, Turn};
use eosin_session::{AskOptions, Style};
use eosin_workbench::chat::options_of;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ErrorDto, ViewDto};

/// Where a picture of a question comes from.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum PictureSourceDto {
    /// A part of an opened slide.
    View { slide: String, view: ViewDto },
    /// All of an opened slide.
    Whole { slide: String },
    /// A field of an opened slide, in a field's budget of pixels.
    Tile { slide: String, view: ViewDto },
    /// A picture file.
    File { path: String },
    /// A picture of a kept question.
    Kept {
        #[ts(type = "number")]
        chat: i64,
        #[ts(type = "number")]
        turn: i64,
        index: u32,
    },
}

/// Settings otherwise than the model's own.
#[derive(Clone, Debug, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub(crate) struct SettingsDto {
    pub(crate) greedy: bool,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_k: Option<u32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) seed: Option<u32>,
    pub(crate) max_tokens: Option<u32>,
}

impl SettingsDto {
    /// These over those that the window was started with.
    pub(crate) fn over(&self, own: &AskOptions) -> AskOptions {
        let size = |n: Option<u32>| n.map(|n| n as usize);
        AskOptions {
            greedy: self.greedy || own.greedy && self.temperature.is_none(),
            temperature: self.temperature.or(own.temperature),
            top_k: size(self.top_k).or(own.top_k),
            top_p: self.top_p.or(own.top_p),
            repetition_penalty: self.repetition_penalty.or(own.repetition_penalty),
            seed: self.seed.map(u64::from).or(own.seed),
            max_tokens: size(self.max_tokens).or(own.max_tokens),
            ..own.clone()
        }
    }
}

impl From<&AskOptions> for SettingsDto {
    fn from(options: &AskOptions) -> Self {
        let small = |n: usize| u32::try_from(n).ok();
        Self {
            greedy: options.greedy,
            temperature: options.temperature,
            top_k: options.top_k.and_then(small),
            top_p: options.top_p,
            repetition_penalty: options.repetition_penalty,
            seed: options.seed.and_then(|seed| u32::try_from(seed).ok()),
            max_tokens: options.max_tokens.and_then(small),
        }
    }
}

/// A question.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct AskDto {
    /// The chat; a new one without.
    #[ts(type = "number | null")]
    pub(crate) chat: Option<i64>,
    /// The answer that it follows.
    #[ts(type = "number | null")]
    pub(crate) parent: Option<i64>,
    pub(crate) question: String,
    /// Choices of a multiple-choice question; empty for an open one.
    pub(crate) choices: Vec<String>,
    /// `plain`, `cot` or `cod`; as the model wants to be asked without.
    pub(crate) style: Option<String>,
    /// Instructions in place of the style's own.
    pub(crate) system: Option<String>,
    pub(crate) pictures: Vec<PictureSourceDto>,
    pub(crate) settings: SettingsDto,
}

impl AskDto {
    pub(crate) fn style(&self) -> Option<Style> {
        self.style.as_deref().and_then(Style::from_name)
    }
}

/// A picture as the model sees it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PictureDto {
    /// Address of the picture: exactly the pixels in a preview, a small copy in a chat.
    pub(crate) url: String,
    /// Width and height that the model takes.
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) n_token: u32,
    /// Scale of the pixels that the model takes.
    pub(crate) um_per_px: Option<f64>,
    /// Name of the slide or file.
    pub(crate) title: Option<String>,
    /// Content hash of the slide, where the picture is from one.
    pub(crate) slide_id: Option<String>,
    /// The part of the slide.
    pub(crate) view: Option<ViewDto>,
}

/// What the model will see, before it is asked.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PreviewDto {
    pub(crate) pictures: Vec<PictureDto>,
    /// Tokens that the context holds.
    pub(crate) n_context: u32,
}

/// An answer as it comes. `done` or `failed` is the last event, exactly once.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum AnswerEvent {
    /// The question is on its way; ids are there where it is kept.
    Began {
        #[ts(type = "number | null")]
        chat: Option<i64>,
        #[ts(type = "number | null")]
        turn: Option<i64>,
        #[ts(type = "number | null")]
        answer: Option<i64>,
        /// Names the answer when it is stopped.
        #[ts(type = "number")]
        run: u64,
        pictures: Vec<PictureDto>,
    },
    /// The case book cannot be written; the answer comes nevertheless.
    Unkept { error: ErrorDto },
    /// What is going to happen.
    Planned { n_prompt: u32, n_context: u32, max_tokens: u32 },
    /// The question was read.
    Prefilled { n_token: u32, secs: f32 },
    /// More of the reasoning.
    Reasoning { delta: String },
    /// More of the answer.
    Answer { delta: String },
    /// The end, with what it cost; `reason` as in [`AnswerDto`].
    Done { reason: String, figures: FiguresDto, option_probabilities: Option<Vec<f32>> },
    /// The end, without an answer.
    Failed { error: ErrorDto },
}

/// What an answer took.
#[derive(Clone, Debug, Default, Serialize, TS)]
pub(crate) struct FiguresDto {
    pub(crate) n_prompt: Option<u32>,
    pub(crate) n_generated: Option<u32>,
    pub(crate) n_context: Option<u32>,
    pub(crate) first_token_secs: Option<f64>,
    pub(crate) reasoning_secs: Option<f64>,
    pub(crate) tokens_per_sec: Option<f64>,
    pub(crate) total_secs: Option<f64>,
}

impl From<Figures> for FiguresDto {
    fn from(figures: Figures) -> Self {
        let small = |n: Option<u64>| n.and_then(|n| u32::try_from(n).ok());
        Self {
            n_prompt: small(figures.n_prompt),
            n_generated: small(figures.n_generated),
            n_context: small(figures.n_context),
            first_token_secs: figures.first_token_secs,
            reasoning_secs: figures.reasoning_secs,
            tokens_per_sec: figures.tokens_per_sec,
            total_secs: figures.total_secs,
        }
    }
}

/// A kept answer.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct AnswerDto {
    #[ts(type = "number")]
    pub(crate) id: i64,
    /// `running`, `finished` or `interrupted`.
    pub(crate) state: String,
    /// `end_of_turn`, `stop_string`, `max_tokens`, `context_full`, `cancelled`, `failed`.
    pub(crate) reason: String,
    pub(crate) reasoning: String,
    pub(crate) answer: String,
    pub(crate) option_probabilities: Option<Vec<f32>>,
    pub(crate) error: Option<String>,
    pub(crate) model: String,
    pub(crate) device: String,
    pub(crate) settings: SettingsDto,
    pub(crate) figures: FiguresDto,
}

impl From<&Answer> for AnswerDto {
    fn from(answer: &Answer) -> Self {
        let state = serde_json::to_value(answer.state).ok();
        Self {
            id: answer.id.0,
            state: state.and_then(|state| state.as_str().map(str::to_owned)).unwrap_or_default(),
            reason: answer.reason.clone(),
            reasoning: answer.reasoning.clone(),
            answer: answer.answer.clone(),
            option_probabilities: answer.option_probabilities.clone(),
            error: answer.error.clone(),
            model: answer.model_name.clone(),
            device: answer.device.clone(),
            settings: (&options_of(&answer.settings)).into(),
            figures: answer.figures().into(),
        }
    }
}

/// A kept question with all its answers.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct TurnDto {
    #[ts(type = "number")]
    pub(crate) id: i64,
    #[ts(type = "number | null")]
    pub(crate) parent: Option<i64>,
    pub(crate) question: String,
    pub(crate) choices: Vec<String>,
    pub(crate) style: String,
    pub(crate) system: Option<String>,
    pub(crate) pictures: Vec<PictureDto>,
    /// Ids of this question's versions, this one among them, oldest first.
    #[ts(type = "Array<number>")]
    pub(crate) versions: Vec<i64>,
    pub(crate) answers: Vec<AnswerDto>,
    /// Which of the answers is shown.
    pub(crate) shown: u32,
}

/// The branch of a chat that is shown.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ChatDto {
    #[ts(type = "number")]
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) turns: Vec<TurnDto>,
}

impl ChatDto {
    /// The branch that is shown, with small copies of its pictures from `thumbnail`.
    pub(crate) fn of(chat: &Chat, thumbnail: &dyn Fn(&Turn) -> Vec<PictureDto>) -> Self {
        let turns = chat.shown().into_iter().map(|turn| TurnDto {
            id: turn.id.0,
            parent: turn.parent.map(|parent| parent.0),
            question: turn.question.clone(),
            choices: turn.choices.clone(),
            style: turn.style.clone(),
            system: turn.system.clone(),
            pictures: thumbnail(turn),
            versions: chat.after(turn.parent).map(|version| version.id.0).collect(),
            answers: turn.answers.iter().map(AnswerDto::from).collect(),
            shown: turn
                .shown()
                .and_then(|shown| turn.answers.iter().position(|answer| answer.id == shown.id))
                .unwrap_or_default() as u32,
        });
        Self { id: chat.id.0, title: chat.title.clone(), turns: turns.collect() }
    }
}

/// The declarations of this module's types.
#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        PictureSourceDto::decl(config),
        SettingsDto::decl(config),
        AskDto::decl(config),
        PictureDto::decl(config),
        PreviewDto::decl(config),
        AnswerEvent::decl(config),
        FiguresDto::decl(config),
        AnswerDto::decl(config),
        TurnDto::decl(config),
        ChatDto::decl(config),
    ]
}
