//! The plain data of the case book: chats are trees of turns and answers.
//!
//! A turn is a question with its pictures; its parent is the answer that it follows, so that an edited question
//! is a sibling and nothing said later is lost. A turn has an answer for every time it was asked.

use std::fmt;
use std::sync::Arc;

use eosin_core::{Region, RgbTile};
use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// Names a chat of one case book; never used twice.
    ChatId
}
id! {
    /// Names a turn of one case book; never used twice.
    TurnId
}
id! {
    /// Names an answer of one case book; never used twice.
    AnswerId
}

/// SHA-256 of a picture's size and pixels, hexadecimal: the same whatever file they came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PictureHash(pub String);

impl fmt::Display for PictureHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A question as it is asked.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NewTurn {
    /// What was typed.
    pub question: String,
    /// Options to choose from; empty for an open question.
    pub choices: Vec<String>,
    /// How the model was to answer, by the name that the session gives it; empty: as the model likes.
    pub style: String,
    /// Standing instructions.
    pub system: Option<String>,
    /// What the question is about, in the order in which the model reads it.
    pub images: Vec<NewImage>,
}

/// A picture of a question: the pixels that the model is given, and where they are from.
#[derive(Clone, PartialEq, Debug)]
pub struct NewImage {
    /// The pixels; kept without loss, once for each content.
    pub pixels: Arc<RgbTile>,
    /// Where in which slide.
    pub region: Option<Region>,
    /// The slide's name for people. May name a patient: leaves the record only when chosen.
    pub slide_title: Option<String>,
    /// Scale of `pixels`.
    pub um_per_px: Option<f64>,
    /// The size after the model's own resizing.
    pub seen_size_px: Option<[u32; 2]>,
    /// Tokens that it takes in the model's context.
    pub n_token: Option<u32>,
}

impl NewImage {
    /// Pixels of which nothing else is known.
    pub fn of(pixels: Arc<RgbTile>) -> Self {
        Self { pixels, region: None, slide_title: None, um_per_px: None, seen_size_px: None, n_token: None }
    }
}

/// What is about to answer, and how.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NewAnswer {
    /// The model's name for people.
    pub model_name: String,
    /// The hash of its weights.
    pub model_hash: String,
    /// The device that it runs on.
    pub device: String,
    /// Everything that decides which tokens come.
    pub settings: serde_json::Value,
    /// The seed of sampling; none where tokens are not drawn.
    pub seed: Option<u64>,
}

/// How an answer ended.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AnswerEnd {
    /// Why it ended, by the name that the session gives it.
    pub reason: String,
    /// The words as the model made them, tags included.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// The answer proper.
    pub answer: String,
    /// Ids of the prompt.
    pub prompt_ids: Vec<u32>,
    /// Ids made.
    pub token_ids: Vec<u32>,
    /// What it took; see [`Figures`] for the keys that exports show.
    pub usage: serde_json::Value,
    /// A probability for each choice, where it was measured.
    pub option_probabilities: Option<Vec<f32>>,
    /// Why there is no answer, or only a part of one.
    pub error: Option<String>,
}

/// The figures of `usage` that are shown; all optional, so that an older record is still read.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Figures {
    /// Tokens of the prompt.
    pub n_prompt: Option<u64>,
    /// Tokens made.
    pub n_generated: Option<u64>,
    /// Tokens that the context holds.
    pub n_context: Option<u64>,
    /// Time from question to first token.
    pub first_token_secs: Option<f64>,
    /// Speed of making tokens.
    pub tokens_per_sec: Option<f64>,
    /// Time that the reasoning took.
    pub reasoning_secs: Option<f64>,
    /// Time from question to end.
    pub total_secs: Option<f64>,
}

/// How far an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerState {
    /// Being made, by a program that is alive.
    Running,
    /// Ended as its `reason` says.
    Finished,
    /// The program that made it went away; what it had said is kept.
    Interrupted,
}

impl AnswerState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
        }
    }

    /// An unknown name is that of no answer that still runs.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "running" => Self::Running,
            "finished" => Self::Finished,
            _ => Self::Interrupted,
        }
    }
}

/// A picture of a recorded question, without its pixels: [`crate::CaseBook::pixels`] has them.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Picture {
    /// Names the pixels.
    pub hash: PictureHash,
    /// Width and height of the pixels.
    pub size_px: [u32; 2],
    /// Where in which slide.
    pub region: Option<Region>,
    /// The slide's name for people.
    pub slide_title: Option<String>,
    /// Scale of the pixels.
    pub um_per_px: Option<f64>,
    /// The size after the model's own resizing.
    pub seen_size_px: Option<[u32; 2]>,
    /// Tokens that it takes in the model's context.
    pub n_token: Option<u32>,
}

/// A recorded question with all its answers, oldest first.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Turn {
    /// Its name.
    pub id: TurnId,
    /// The answer that it follows; none where it opens the chat.
    pub parent: Option<AnswerId>,
    /// When it was asked, UTC, RFC 3339.
    pub at: String,
    /// What was typed.
    pub question: String,
    /// Options to choose from.
    pub choices: Vec<String>,
    /// How the model was to answer.
    pub style: String,
    /// Standing instructions.
    pub system: Option<String>,
    /// What it is about.
    pub images: Vec<Picture>,
    /// Every answer it was given.
    pub answers: Vec<Answer>,
    /// The answer that is shown; the latest where none was chosen.
    pub selected: Option<AnswerId>,
}

impl Turn {
    /// The answer that is shown.
    pub fn shown(&self) -> Option<&Answer> {
        self.answers.iter().find(|answer| Some(answer.id) == self.selected).or(self.answers.last())
    }
}

/// A recorded answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer {
    /// Its name.
    pub id: AnswerId,
    /// How far it is.
    pub state: AnswerState,
    /// When it was begun, UTC, RFC 3339.
    pub at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// The model's name for people.
    pub model_name: String,
    /// The hash of its weights.
    pub model_hash: String,
    /// The device that it ran on.
    pub device: String,
    /// Everything that decided which tokens came.
    pub settings: serde_json::Value,
    /// The seed of sampling.
    pub seed: Option<u64>,
    /// Why it ended; empty while it runs.
    pub reason: String,
    /// The words as the model made them; empty for an interrupted answer.
    pub text: String,
    /// The reasoning, as far as it came.
    pub reasoning: String,
    /// The answer proper, as far as it came.
    pub answer: String,
    /// Ids of the prompt.
    pub prompt_ids: Vec<u32>,
    /// Ids made.
    pub token_ids: Vec<u32>,
    /// What it took.
    pub usage: serde_json::Value,
    /// A probability for each choice, where it was measured.
    pub option_probabilities: Option<Vec<f32>>,
    /// Why there is no answer, or only a part of one.
    pub error: Option<String>,
    /// The turn that was shown after this answer, where there are several.
    pub selected_turn: Option<TurnId>,
}

impl Answer {
    /// The figures of `usage`, as far as it has them.
    pub fn figures(&self) -> Figures {
        Figures::deserialize(&self.usage).unwrap_or_default()
    }
}

/// A chat of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChatSummary {
    /// Its name.
    pub id: ChatId,
    /// Its title. May name a patient.
    pub title: String,
    /// When it was begun, UTC, RFC 3339.
    pub at: String,
    /// When something was last asked or answered in it.
    pub last_at: String,
    /// Questions.
    pub n_turn: u64,
    /// Answers.
    pub n_answer: u64,
    /// Pictures that were asked about, each counted once.
    pub n_image: u64,
}

/// A whole chat, every branch of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Chat {
    /// Its name.
    pub id: ChatId,
    /// Its title. May name a patient.
    pub title: String,
    /// When it was begun, UTC, RFC 3339.
    pub at: String,
    /// The turn that opens what is shown, where there are several.
    pub selected_turn: Option<TurnId>,
    /// All turns, oldest first.
    pub turns: Vec<Turn>,
}

impl Chat {
    /// The turns that follow an answer (or open the chat), oldest first: versions of one question.
    pub fn after(&self, parent: Option<AnswerId>) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.parent == parent)
    }

    /// The branch that is shown, from its first turn on.
    pub fn shown(&self) -> Vec<&Turn> {
        let mut path: Vec<&Turn> = Vec::new();
        let (mut parent, mut selected) = (None, self.selected_turn);
        loop {
            let chosen = self.after(parent).find(|turn| Some(turn.id) == selected);
            let Some(turn) = chosen.or_else(|| self.after(parent).last()) else { break };
            // A damaged book may hold a circle.
            if path.iter().any(|other| other.id == turn.id) {
                break;
            }
            path.push(turn);
            let Some(answer) = turn.shown() else { break };
            (parent, selected) = (Some(answer.id), answer.selected_turn);
        }
        path
    }
}

/// A place where words were found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Found {
    /// The chat.
    pub chat: ChatId,
    /// The chat's title.
    pub title: String,
    /// The turn; none where the title was found.
    pub turn: Option<TurnId>,
    /// The answer; none where the words are in the question.
    pub answer: Option<AnswerId>,
    /// When it was said, UTC, RFC 3339.
    pub at: String,
    /// The words around.
    pub snippet: String,
}

/// One question of a [`Record`] with the answer that the next one follows.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The question, without its answers.
    pub turn: Turn,
    /// The pixels of its pictures, in their order.
    pub pixels: Vec<Arc<RgbTile>>,
    /// The answer on the path.
    pub answer: Answer,
}

/// All that is needed to ask again: every question up to the one whose answer was asked for, which is the last.
///
/// The answer of the last step has the settings, the seed and the model's hash to ask with, and the `token_ids`
/// that must come again.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// The chat.
    pub chat: ChatId,
    /// From the first question to the one to ask again; never empty.
    pub path: Vec<Step>,
}

impl Record {
    /// The answer that was asked for.
    pub fn answer(&self) -> &Answer {
        // The only maker, `CaseBook::record`, puts the answer's own turn in before it returns.
        &self.path[self.path.len() - 1].answer
    }
}
