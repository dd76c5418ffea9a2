//! The judge of the reasoning: PathVLM-R1's process reward.
//!
//! A judge reads picture, question, right answer and everything the model wrote, and says how whole the
//! reasoning is and how sound its knowledge is: two scores that each start at 1 and lose 0.4 for every fault,
//! and the reward is their mean. [`endpoint`] asks any chat server that speaks `OpenAI`'s protocol, which
//! costs money and may fail; so there are a ledger that bounds what is spent, a cache so that nothing is
//! paid twice, and a choice of what a failure means. [`offline`] checks the reasoning of drawn pictures against
//! what was drawn, without any network. `tests/train_judge.rs` holds all of it, over loopback.

pub mod cache;
pub mod criteria;
pub mod endpoint;
pub mod ledger;
pub mod offline;

use std::path::Path;
use std::sync::Arc;

use eosin_core::RgbTile;
use serde::{Deserialize, Serialize};

use crate::data::Task;
use crate::error::TrainError;
use crate::phantom::SheetVersion;
pub use criteria::Criteria;
pub use endpoint::EndpointSettings;

/// What a judge is shown.
#[derive(Clone, Copy, Debug)]
pub struct JudgeRequest<'a> {
    /// The pictures of the question.
    pub images: &'a [Arc<RgbTile>],
    /// The question with its options.
    pub question: &'a str,
    /// What a right answer is and, where the picture was drawn, what it shows.
    pub task: &'a Task,
    /// Everything that the model wrote.
    pub output: &'a str,
}

/// Where a verdict comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It was found now.
    Asked,
    /// It was found before and kept.
    Cached,
    /// Nobody answered, and the recipe counts that as zero.
    Failed,
}

/// What a judge says of an answer.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verdict {
    /// How whole the reasoning is: 0…1.
    pub integrity: f64,
    /// How sound its knowledge is: 0…1.
    pub knowledge: f64,
    /// Where the verdict comes from.
    pub origin: Origin,
}

impl Verdict {
    /// A verdict by scores, each held within 0…1.
    pub fn new(integrity: f64, knowledge: f64) -> Self {
        // A score that is no number is none.
        let held = |score: f64| if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
        Self { integrity: held(integrity), knowledge: held(knowledge), origin: Origin::Asked }
    }

    /// A verdict by counted faults: 0.4 off for each.
    pub fn of_faults(n_missing: usize, n_error: usize) -> Self {
        Self::new(deducted(n_missing), deducted(n_error))
    }

    /// What the recipe may count where nobody answered.
    pub fn failed() -> Self {
        Self { origin: Origin::Failed, ..Self::new(0.0, 0.0) }
    }

    /// The process reward: the mean of both.
    pub fn reward(&self) -> f64 {
        f64::midpoint(self.integrity, self.knowledge)
    }
}

/// 1 less 0.4 for each of `n_fault`, never below 0; rounded so that 1 − 2 × 0.4 is 0.2.
fn deducted(n_fault: usize) -> f64 {
    (10.0 - 4.0 * n_fault as f64).max(0.0) / 10.0
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The server did not answer, or not with a verdict, however often it was asked.
    #[error("the judge gave no verdict after {n_try} tries: {what}")]
    Failed {
        /// Times that it was asked.
        n_try: usize,
        /// What was wrong last.
        what: String,
    },
    /// The server will not answer: a wrong key, address or model.
    #[error("the judge cannot be asked: {what}")]
    Refused {
        /// How it refused.
        what: String,
    },
    /// The recipe's budget is spent.
    #[error("the judge's budget is spent: {what}")]
    Budget {
        /// Which bound, and what was used of it.
        what: String,
    },
    /// A picture's truth is needed and not known.
    #[error("the offline judge can only judge drawn pictures")]
    NoTruth,
    /// Ledger or cache cannot be read or written.
    #[error("cannot keep the judge's books")]
    Books {
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
}

/// Somebody who reads reasoning.
pub trait Judge: Send + Sync + std::fmt::Debug {
    /// Judges one answer.
    ///
    /// # Errors
    /// [`JudgeError`]; a judge that counts failures as zero gives [`Verdict::failed`] instead of
    /// [`JudgeError::Failed`].
    fn score(&self, request: &JudgeRequest<'_>) -> Result<Verdict, JudgeError>;

    /// Whether it looks at pictures; they are not decoded for one that does not.
    fn looks(&self) -> bool {
        true
    }
}

/// How the drawn truth is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfflineSettings {
    /// Version of the criteria.
    pub criteria: SheetVersion,
}

/// Which judge a recipe wants.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgeSettings {
    /// The drawn truth; no network.
    Offline(OfflineSettings),
    /// A chat server; the only thing in a run that uses the network, and only because the recipe names it.
    Endpoint(EndpointSettings),
}

impl JudgeSettings {
    /// The judge, with its books in `dir`.
    ///
    /// # Errors
    /// Settings without a meaning; books that cannot be read.
    pub fn open(&self, dir: &Path) -> Result<Box<dyn Judge>, TrainError> {
        match self {
            Self::Offline(settings) => Ok(Box::new(offline::Offline::new(settings))),
            Self::Endpoint(settings) => Ok(Box::new(endpoint::Endpoint::open(settings, dir)?)),
        }
    }
}

/// Judges several answers, `n_parallel` at a time, in order.
///
/// # Errors
/// The first that [`Judge::score`] returns.
pub fn score_all(
    judge: &dyn Judge,
    requests: &[JudgeRequest<'_>],
    n_parallel: usize,
) -> Result<Vec<Verdict>, JudgeError> {
    let mut verdicts = Vec::with_capacity(requests.len());
    for batch in requests.chunks(n_parallel.max(1)) {
        let found = std::thread::scope(|scope| {
            let waiting: Vec<_> =
                batch.iter().map(|request| scope.spawn(move || judge.score(request))).collect();
            waiting
                .into_iter()
                .map(|handle| {
                    handle.join().unwrap_or_else(|_panic| {
                        Err(JudgeError::Failed { n_try: 1, what: "its thread ended".into() })
                    })
                })
                .collect::<Vec<_>>()
        });
        for verdict in found {
            verdicts.push(verdict?);
        }
    }
    Ok(verdicts)
}
