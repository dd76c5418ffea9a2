//! Asks a bundle through the session, as every front end does.

use std::path::Path;
use std::sync::Arc;

use eosin_core::{Conversation, DeviceChoice, Part, Turn};
use eosin_session::generate::{AskOptions, Cancel, Question, Session};
use eosin_session::{BundleSource, StreamEvent};

use super::exam::{About, Decoding, Preprocessing, Shown, Subject};
use super::{Case, Form, Item, Report, Said, evaluate};
use crate::data::IMAGE_MARK;
use crate::error::TrainError;
use crate::phantom::{self, Examiner, Phantom, Question as Asked, Settings, Split, Style};

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

/// What to ask whom.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Split whose phantoms are shown.
    pub split: Split,
    /// Index of the first.
    pub first: u64,
    /// How many.
    pub n_phantom: u64,
    /// Training phantoms that the baselines learn from.
    pub n_baseline: u64,
    /// Side of the pictures.
    pub image_px: u32,
    /// Device.
    pub device: DeviceChoice,
    /// The command line, for the report.
    pub command: String,
}

/// Asks every clear-cut question about every phantom; `progress` hears how many phantoms are done.
///
/// # Errors
/// [`TrainError::Engine`] where the bundle cannot be opened or an answer fails.
pub fn examine(
    bundle: &Path,
    examination: &Examination,
    mut progress: impl FnMut(u64),
) -> Result<Report, TrainError> {
    let source = BundleSource::Files { model: bundle.to_owned(), mmproj: None };
    let mut session =
        Session::open(&source, examination.device).map_err(TrainError::engine("cannot open the bundle"))?;
    let settings = Settings { size_px: [examination.image_px; 2], ..Settings::default() };
    let info = session.info();
    let subject = super::card::Subject {
        model: info.name.clone(),
        weights_sha256: info.hash.clone(),
        command: examination.command.clone(),
        split: examination.split.name().to_owned(),
        first: examination.first,
    };
    let cases = (0..examination.n_phantom).map(|idx| {
        progress(idx);
        case(examination.split.seed(examination.first + idx), &settings)
    });
    let training = (0..examination.n_baseline).map(|idx| case(Split::Train.seed(idx), &settings));
    evaluate(subject, cases, training, |case, item| ask(&mut session, case, item))
}

fn ask(session: &mut Session, case: &Case, item: &Item) -> Result<Said, TrainError> {
    let mut question = Question::about(vec![Arc::new(case.tile.clone())], &item.prompt);
    question.options = AskOptions {
        greedy: true,
        repetition_penalty: Some(1.0),
        max_tokens: Some(160),
        ..AskOptions::default()
    };
    said(session, &question)
}

/// A phantom with every question that is clear-cut there: each topic as a four-option question, one yes-or-no
/// question, and each topic open.
pub fn case(seed: u64, settings: &Settings) -> Case {
    let phantom = Phantom::draw(seed, settings);
    let mut examiner = Examiner::new(&phantom.truth, Style::Cot, seed);
    let topics = examiner.fair_topics();
    let mut questions: Vec<Asked> = Vec::new();
    questions.extend(topics.iter().filter_map(|topic| examiner.choice(*topic)));
    questions.extend(examiner.yes_no());
    questions.extend(topics.iter().filter_map(|topic| examiner.open(*topic)));
    let items = questions.into_iter().filter_map(item).collect();
    Case { seed, tile: phantom.tile, items }
}

/// A question as the evaluation scores it; captions have no single right answer.
fn item(question: Asked) -> Option<Item> {
    let form = match question.form {
        phantom::Form::Choice => Form::MultipleChoice,
        phantom::Form::YesNo => Form::YesNo,
        phantom::Form::Open | phantom::Form::Reasoning => Form::Open,
        phantom::Form::Caption => return None,
    };
    // Yes-or-no questions have no topic of their own: the question itself is it.
    let topic = question.topic.map_or_else(
        || question.user.clone(),
        |topic| {
            serde_json::to_value(topic)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_default()
        },
    );
    let options = question.options.iter().map(|option| (*option).to_owned()).collect();
    Some(Item { topic, form, prompt: question.user, options, answer: question.gold })
}
