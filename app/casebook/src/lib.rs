//! The record of every question and answer.
//!
//! A case book is one SQLite file: chats as trees, the pixels that were asked about, what a model was told and
//! what it said, and an audit trail that cannot be changed without being seen. It knows no model and no window:
//! plain data go in and come out.
//!
//! What is asked of it, and which file answers: survive (`open`, `repair`), find again (`search`), prove
//! (`audit`), hand on without names (`export`), ask again (`record`).

mod audit;
mod book;
mod chat;
mod digest;
mod error;
mod export;
mod open;
mod picture;
mod read;
mod repair;
mod schema;
mod search;
mod write;

pub use audit::{Broken, Entry, Verified};
pub use book::CaseBook;
pub use chat::{
    Answer, AnswerEnd, AnswerId, AnswerState, Chat, ChatId, ChatSummary, Figures, Found, NewAnswer, NewImage,
    NewTurn, Picture, PictureHash, Record, Step, Turn, TurnId,
};
pub use error::CaseError;
pub use export::{ExportOptions, Exported, Format, Images, Labels, Names};
pub use open::Opening;
