//! Asks a bundle through the session, as every front end does.

use std::path::Path;
use std::sync::Arc;

use eosin_core::DeviceChoice;
use eosin_session::generate::{AskOptions, Cancel, Question, Session};
use eosin_session::{BundleSource, StreamEvent};

use super::{Case, Item, Report, Said, Subject, evaluate};
use crate::curriculum::{case, settings_of_size};
use crate::error::TrainError;
use crate::phantom::Split;

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
    let settings = settings_of_size(examination.image_px);
    let info = session.info();
    let subject = Subject {
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
    let mut said = None;
    session
        .answer(&question, &Cancel::default(), &mut |event| {
            if let StreamEvent::Done { transcript, .. } = event {
                said = Some(Said { text: transcript.text.clone(), n_token: transcript.token_ids.len() });
            }
        })
        .map_err(TrainError::engine("the model cannot answer"))?;
    said.ok_or_else(|| TrainError::plan("an answer ended without its last event"))
}
