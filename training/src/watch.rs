//! Whoever looks on while a pipeline runs: the command line with its progress bars, or a test. Stages tell
//! it what they did and ask it whether to go on; they print nothing themselves.

use crate::metrics::Scalars;

/// What a stage tells, and the one thing it asks.
pub trait Watch {
    /// A stage begins or goes on at `step` of `n_step`.
    fn stage(&mut self, _stage: &str, _step: u64, _n_step: u64) {}
    /// A step was taken.
    fn step(&mut self, _stage: &str, _step: u64, _n_step: u64, _scalars: &Scalars) {}
    /// Samples that are not trained on were looked at.
    fn evaluation(&mut self, _stage: &str, _step: u64, _scalars: &Scalars) {}
    /// Something else that a person wants to know.
    fn note(&mut self, _text: &str) {}
    /// Asked before every step; `true` writes a checkpoint and ends the run early, to be resumed later.
    fn wants_stop(&mut self) -> bool {
        false
    }
}

/// Looks at nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}
