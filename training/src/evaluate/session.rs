//! Asks a bundle through the session, as every front end does.

use std::path::Path;
use std::sync::Arc;

use eosin_core::{Conversation, DeviceChoice, Part, Turn};
use eosin_session::generate::{AskOptions, Cancel, Question, Session};
use eosin_session::{BundleSource, StreamEvent};

use super::Said;
use super::exam::{About, Decoding, Preprocessing, Shown, Subject};
use crate::data::IMAGE_MARK;
use crate::error::TrainError;

/// A bundle that is asked as users ask it: its own template, its own style, one question after another.
#[derive(Debug)]
pub struct Bundle {
    session: Session,
}

impl Bundle {
    /// Opens a bundle, a Hugging Face folder or a GGUF file.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where it cannot be opened.
    pub fn open(path: &Path, device: DeviceChoice) -> Result<Self, TrainError> {
        let source = BundleSource::Files { model: path.to_owned(), mmproj: None };
        let session = Session::open(&source, device).map_err(TrainError::engine("cannot open the bundle"))?;
        Ok(Self { session })
    }
}

impl Subject for Bundle {
    fn about(&self) -> About {
        let info = self.session.info();
        About {
            model: info.name.clone(),
            weights: info.hash.clone(),
            preprocessing: Preprocessing::from(&info.preprocess),
            system: info.style.name().to_owned(),
        }
    }

    fn n_batch(&self) -> usize {
        // Small, so that a cache file is never far behind; the session answers one after another anyhow.
        8
    }

    fn answer(
        &mut self,
        questions: &[Shown<'_>],
        decoding: &Decoding,
        seed: u64,
    ) -> Result<Vec<Said>, TrainError> {
        let options = AskOptions {
            greedy: decoding.is_greedy(),
            temperature: (!decoding.is_greedy()).then_some(decoding.temperature),
            top_k: (!decoding.is_greedy()).then_some(decoding.top_k),
            top_p: (!decoding.is_greedy()).then_some(decoding.top_p),
            repetition_penalty: Some(1.0),
            seed: Some(seed),
            max_tokens: Some(decoding.max_new_tokens),
            ..AskOptions::default()
        };
        let ask = |shown: &Shown<'_>| {
            let conversation = conversation(shown);
            let question = Question { conversation, options: options.clone(), ..Question::default() };
            said(&mut self.session, &question)
        };
        questions.iter().map(ask).collect()
    }
}

/// What was said so far, with pictures in the places of their marks.
fn conversation(shown: &Shown<'_>) -> Conversation {
    let mut pictures = shown.pictures.iter();
    let turn = |message: &crate::data::Message| {
        let mut parts = Vec::new();
        for (idx, text) in message.text.split(IMAGE_MARK).enumerate() {
            if idx > 0 {
                parts.extend(pictures.next().map(|(_, tile)| Part::Image(Arc::clone(tile))));
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.to_owned()));
            }
        }
        Turn { role: message.role, parts }
    };
    Conversation { turns: shown.question.messages.iter().map(turn).collect() }
}

fn said(session: &mut Session, question: &Question) -> Result<Said, TrainError> {
    let mut said = None;
    session
        .answer(question, &Cancel::default(), &mut |event| {
            if let StreamEvent::Done { transcript, .. } = event {
                said = Some(Said { text: transcript.text.clone(), n_token: transcript.token_ids.len() });
            }
        })
        .map_err(TrainError::engine("the model cannot answer"))?;
    said.ok_or_else(|| TrainError::plan("an answer ended without its last event"))
}
