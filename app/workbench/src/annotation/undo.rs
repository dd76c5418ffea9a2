//! What was done to a list of features, backwards and forwards, within bounds.
//!
//! A step is the list of actions that takes it back; taking it back gives the list that does it again. The oldest
//! steps are forgotten when there are too many, or when they hold too many points. Held true by `book/tests.rs`.

use std::collections::VecDeque;

use super::Feature;

/// Most steps that can be taken back.
const STEPS_MAX: usize = 1000;
/// Most points that all steps together hold.
const POINTS_MAX: usize = 4 << 20;

/// A change at one place of the list.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Insert(usize, Box<Feature>),
    Replace(usize, Box<Feature>),
    Delete(usize),
}

impl Action {
    /// Does it; returns what takes it back. Places are those of the list as it then is.
    pub(super) fn act(self, features: &mut Vec<Feature>) -> Self {
        match self {
            Self::Insert(at, feature) => {
                let at = at.min(features.len());
                features.insert(at, *feature);
                Self::Delete(at)
            }
            Self::Replace(at, feature) => {
                let old = std::mem::replace(&mut features[at], *feature);
                Self::Replace(at, Box::new(old))
            }
            Self::Delete(at) => Self::Insert(at, Box::new(features.remove(at))),
        }
    }

    fn n_point(&self) -> usize {
        match self {
            // Names and notes count for a few.
            Self::Insert(_, feature) | Self::Replace(_, feature) => feature.n_point() + 16,
            Self::Delete(_) => 1,
        }
    }
}

/// Steps that can be taken back, and those that were.
#[derive(Debug, Default)]
pub(super) struct UndoStack {
    done: VecDeque<Vec<Action>>,
    undone: Vec<Vec<Action>>,
    n_point: usize,
}

impl UndoStack {
    /// Does a step and remembers it; what had been taken back is forgotten.
    pub(super) fn act(&mut self, features: &mut Vec<Feature>, step: Vec<Action>) {
        let back = act_all(features, step);
        self.undone.clear();
        self.done.push_back(back);
        self.n_point = self.done.iter().flatten().map(Action::n_point).sum();
        while self.done.len() > STEPS_MAX || (self.n_point > POINTS_MAX && self.done.len() > 1) {
            let Some(gone) = self.done.pop_front() else { break };
            self.n_point -= gone.iter().map(Action::n_point).sum::<usize>();
        }
    }

    /// Takes the last step back; false where there is none.
    pub(super) fn undo(&mut self, features: &mut Vec<Feature>) -> bool {
        let Some(step) = self.done.pop_back() else { return false };
        self.undone.push(act_all(features, step));
        true
    }

    /// Does again what was taken back; false where there is nothing.
    pub(super) fn redo(&mut self, features: &mut Vec<Feature>) -> bool {
        let Some(step) = self.undone.pop() else { return false };
        self.done.push_back(act_all(features, step));
        true
    }

    pub(super) fn n_done(&self) -> usize {
        self.done.len()
    }

    pub(super) fn n_undone(&self) -> usize {
        self.undone.len()
    }
}

/// Does all actions of a step; returns those that take it back, last first.
fn act_all(features: &mut Vec<Feature>, step: Vec<Action>) -> Vec<Action> {
    let mut back: Vec<Action> = step.into_iter().map(|action| action.act(features)).collect();
    back.reverse();
    back
}
