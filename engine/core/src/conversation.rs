//! What was said, and the pictures it was said about.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::RgbTile;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Standing instructions.
    System,
    /// The person who asks.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name that chat templates use.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// A piece of a turn, in the order in which the model reads it.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture, shared because later turns repeat it.
    Image(Arc<RgbTile>),
}

/// What one speaker said.
#[derive(Clone, PartialEq, Debug)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// Words and pictures in order.
    pub parts: Vec<Part>,
}

impl Turn {
    /// A turn of words alone.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }
}

/// All turns, oldest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Conversation {
    /// The turns.
    pub turns: Vec<Turn>,
}

impl Conversation {
    /// The pictures of all turns, in reading order.
    pub fn images(&self) -> impl Iterator<Item = &Arc<RgbTile>> {
        self.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Image(tile) => Some(tile),
            Part::Text(_) => None,
        })
    }
}
