//! The case book as the page sees it.

use eosin_casebook::{ChatSummary, Found};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// A chat of the list.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ChatSummaryDto {
    #[ts(type = "number")]
    pub(crate) id: i64,
    pub(crate) title: String,
    /// When something was last said in it, UTC, RFC 3339.
    pub(crate) last_at: String,
    pub(crate) n_turn: u32,
    pub(crate) n_image: u32,
    /// The words that were searched for, with those around them.
    pub(crate) snippet: Option<String>,
}

impl From<ChatSummary> for ChatSummaryDto {
    fn from(chat: ChatSummary) -> Self {
        Self {
            id: chat.id.0,
            title: chat.title,
            last_at: chat.last_at,
            n_turn: chat.n_turn as u32,
            n_image: chat.n_image as u32,
            snippet: None,
        }
    }
}

impl From<Found> for ChatSummaryDto {
    fn from(found: Found) -> Self {
        Self {
            id: found.chat.0,
            title: found.title,
            last_at: found.at,
            n_turn: 0,
            n_image: 0,
            snippet: Some(found.snippet),
        }
    }
}

/// What to write of a chat.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct ExportDto {
    #[ts(type = "number")]
    pub(crate) chat: i64,
    /// `markdown`, `pdf` or `json`.
    pub(crate) format: String,
    /// Whether names of slides may leave the record.
    pub(crate) names: bool,
}

/// What the audit trail's check came to.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct AuditDto {
    pub(crate) whole: bool,
    pub(crate) message: String,
}

/// The declarations of this module's types.
#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![ChatSummaryDto::decl(config), ExportDto::decl(config), AuditDto::decl(config)]
}
