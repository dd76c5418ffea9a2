//! What was spent on the judge, on disk before it is spent.
//!
//! One line for each call, written before the call goes out, and one for the tokens that it turned out to
//! cost. A run that was killed therefore knows of every call that it made, and the recipe's bounds hold over
//! all its resumptions. The file is only appended to; a line torn by a kill is passed over.

use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::JudgeError;
use super::cache::Lines;
use crate::error::TrainError;

/// Name of the file.
pub const LEDGER: &str = "judge-ledger.jsonl";

/// Bounds of what may be spent; 0 is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Budget {
    /// Calls, failed ones included.
    pub max_calls: u64,
    /// Tokens, those of prompts included.
    pub max_total_tokens: u64,
}

/// What was spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    /// Calls, failed ones included.
    pub n_call: u64,
    /// Tokens, those of prompts included.
    pub n_token: u64,
}

/// The open ledger.
#[derive(Debug)]
pub struct Ledger {
    budget: Budget,
    inner: Mutex<(Lines, Spent)>,
}

impl Ledger {
    /// Opens the ledger in `dir`.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path, budget: Budget) -> Result<Self, TrainError> {
        let (lines, rows) = Lines::open(&dir.join(LEDGER))?;
        let mut spent = Spent::default();
        for row in rows {
            let number = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
            spent.n_call += number("calls");
            spent.n_token += number("tokens");
        }
        Ok(Self { budget, inner: Mutex::new((lines, spent)) })
    }

    /// Books a call that is about to be made.
    ///
    /// # Errors
    /// [`JudgeError::Budget`] where it may not be made.
    pub fn call(&self) -> Result<(), JudgeError> {
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (lines, spent) = &mut *inner;
        let Budget { max_calls, max_total_tokens } = self.budget;
        if max_calls > 0 && spent.n_call >= max_calls {
            return Err(JudgeError::Budget { what: format!("{} of {max_calls} calls", spent.n_call) });
        }
        if max_total_tokens > 0 && spent.n_token >= max_total_tokens {
            let what = format!("{} of {max_total_tokens} tokens", spent.n_token);
            return Err(JudgeError::Budget { what });
        }
        lines.push(&json!({"calls": 1})).map_err(books)?;
        spent.n_call += 1;
        Ok(())
    }

    /// Books the tokens of a call.
    ///
    /// # Errors
    /// [`JudgeError::Books`].
    pub fn tokens(&self, n_token: u64) -> Result<(), JudgeError> {
        let mut inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (lines, spent) = &mut *inner;
        lines.push(&json!({"tokens": n_token})).map_err(books)?;
        spent.n_token += n_token;
        Ok(())
    }

    /// What was spent so far, over all resumptions.
    pub fn spent(&self) -> Spent {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner).1
    }
}

pub(super) fn books(source: TrainError) -> JudgeError {
    JudgeError::Books { source: Box::new(source) }
}
