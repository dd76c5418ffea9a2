//! The judge of drawn pictures: what the reasoning says is held against what was drawn.
//!
//! It asks what the paper's judge asks (are the picture's features described, are options ruled out, is
//! knowledge named; is anything said that is not so), but answers from the truth of the phantom, so that a whole
//! recipe runs without a network and without a cost. How a sheet is filled in is `phantom/judge.rs`.

use super::{Judge, JudgeError, JudgeRequest, OfflineSettings, Verdict};
use crate::phantom::judge;

/// The offline judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline {
    settings: OfflineSettings,
}

impl Offline {
    /// A judge by one version of the criteria.
    pub fn new(settings: &OfflineSettings) -> Self {
        Self { settings: *settings }
    }
}

impl Judge for Offline {
    fn score(&self, request: &JudgeRequest<'_>) -> Result<Verdict, JudgeError> {
        let truth = request.task.truth.as_deref().ok_or(JudgeError::NoTruth)?;
        let sheet = judge(truth, request.task, request.output, self.settings.criteria);
        Ok(Verdict::new(sheet.integrity(), sheet.knowledge()))
    }

    fn looks(&self) -> bool {
        false
    }
}
