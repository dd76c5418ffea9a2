//! One item of training data, wherever it came from: pictures and the conversation about them.
//!
//! Splits are made by `group`, never by item, so that two conversations about one picture cannot land on
//! both sides. The shape on disk is that of `ShareGPT` rows (SPEC 13.4), which the usual trainers read too.
//! Held true by the tests of `phantom/export.rs`.

use std::sync::Arc;

use eosin_core::{Conversation, Part, RgbTile, Role, Turn};
use serde_json::{Value, json};

use crate::phantom::{Examiner, Phantom, Question, Settings, Split, Style, Truth};

/// Pictures and a conversation about them.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Unique name.
    pub id: String,
    /// Where it came from.
    pub source: &'static str,
    /// What it may be used for.
    pub split: Split,
    /// Items of one group stay in one split: the picture's seed or content hash.
    pub group: String,
    /// Questions and answers, oldest first.
    pub questions: Vec<Question>,
    /// The pictures, shown before the first question.
    pub images: Vec<Arc<RgbTile>>,
    /// What the picture shows, where it was drawn.
    pub truth: Option<Truth>,
}

impl Sample {
    /// The sample of phantom `idx` of a split, with at most `n_question` questions.
    pub fn draw(split: Split, idx: u64, settings: &Settings, style: Style, n_question: usize) -> Self {
        let seed = split.seed(idx);
        let Phantom { tile, truth } = Phantom::draw(seed, settings);
        let questions = Examiner::new(&truth, style, seed).conversation(n_question);
        let id = format!("phantom-{}-{:06}", split.name(), Split::index(seed));
        Self {
            group: id.clone(),
            id,
            source: "phantom",
            split,
            questions,
            images: vec![Arc::new(tile)],
            truth: Some(truth),
        }
    }

    /// The conversation as a model reads it.
    pub fn conversation(&self) -> Conversation {
        let mut turns = Vec::with_capacity(self.questions.len() * 2);
        for (idx, question) in self.questions.iter().enumerate() {
            let mut parts = Vec::new();
            if idx == 0 {
                parts.extend(self.images.iter().cloned().map(Part::Image));
            }
            parts.push(Part::Text(question.user.clone()));
            turns.push(Turn { role: Role::User, parts });
            turns.push(Turn::text(Role::Assistant, question.assistant.clone()));
        }
        Conversation { turns }
    }

    /// A `ShareGPT` row whose pictures lie at `image_paths`, one for each picture.
    pub fn to_sharegpt(&self, image_paths: &[String]) -> Value {
        let mut conversations = Vec::with_capacity(self.questions.len() * 2);
        for (idx, question) in self.questions.iter().enumerate() {
            let pictures = if idx == 0 { "<image>".repeat(self.images.len()) } else { String::new() };
            conversations.push(json!({"from": "human", "value": format!("{pictures}{}", question.user)}));
            conversations.push(json!({"from": "gpt", "value": question.assistant}));
        }
        json!({
            "id": self.id,
            "source": self.source,
            "split": self.split.name(),
            "group": self.group,
            "conversations": conversations,
            "images": image_paths,
            "questions": self.questions,
            "truth": self.truth,
        })
    }
}
