//! The handle on a case book: one connection behind a lock, and one way to write.
//!
//! Every change is a transaction that begins by taking the write lock, so that two programs that share a book
//! never see half a change, nor two entries of the audit trail with one number. What one answer writes while it
//! runs is not audited; its beginning and its end are.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::audit;
use crate::chat::AnswerId;
use crate::error::{CaseError, Outcome, Trouble};

/// The record of every question and answer, in one file.
///
/// ```
/// # use eosin_casebook::*;
/// let folder = tempfile::tempdir()?;
/// let (book, opening) = CaseBook::open(&folder.path().join("casebook.sqlite"))?;
/// assert_eq!(opening, Opening::Fresh);
/// let chat = book.new_chat("A polyp")?;
/// let turn = book.add_turn(chat, None, &NewTurn { question: "Is it an adenoma?".into(), ..NewTurn::default() })?;
/// let answer = book.begin_answer(turn, &NewAnswer::default())?;
/// book.finish_answer(answer, &AnswerEnd { answer: "Yes".into(), ..AnswerEnd::default() })?;
/// assert_eq!(book.chat(chat)?.shown()[0].shown().map(|answer| answer.answer.as_str()), Some("Yes"));
/// assert!(book.verify().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CaseBook {
    pub(crate) path: PathBuf,
    pub(crate) inner: Mutex<Inner>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) connection: Connection,
    /// Names this handle in the answers that it makes.
    pub(crate) owner: String,
    /// Held while this handle makes answers: who gets the lock knows that they are made no longer.
    pub(crate) alive: Option<Alive>,
    /// When the progress of an answer was last written.
    pub(crate) written: HashMap<AnswerId, Instant>,
    /// Held shared by everybody who has the book open, so that nobody rebuilds it under another's feet.
    pub(crate) _open: File,
}

/// The file that says that an owner lives.
#[derive(Debug)]
pub(crate) struct Alive {
    pub(crate) path: PathBuf,
    pub(crate) _lock: File,
}

impl Drop for Alive {
    fn drop(&mut self) {
        // One that stays is found unlocked, and removed, by the next who opens the book.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl CaseBook {
    /// Where the book is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves no half change: the transaction was rolled back.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, all from one moment.
    pub(crate) fn reading<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Result<T, CaseError> {
        let mut inner = self.lock();
        let outcome = (|| {
            let transaction = inner.connection.transaction()?;
            read(&transaction)
        })();
        outcome.map_err(|trouble| self.told(trouble))
    }

    /// Reads for long, all from one moment, through a connection of its own: whoever answers meanwhile is not held up.
    pub(crate) fn reading_aside<T>(
        &self,
        read: impl FnOnce(&Connection) -> Outcome<T>,
    ) -> Result<T, CaseError> {
        let outcome = (|| {
            let mut connection = crate::open::connect(&self.path)?;
            let transaction = connection.transaction()?;
            read(&transaction)
        })();
        outcome.map_err(|trouble| self.told(trouble))
    }

    /// Changes all or nothing, then writes down in the second place how long the audit trail is.
    pub(crate) fn writing<T>(
        &self,
        inner: &mut Inner,
        write: impl FnOnce(&Transaction<'_>) -> Outcome<T>,
    ) -> Result<T, CaseError> {
        let outcome = (|| {
            let transaction = inner.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })();
        let value = outcome.map_err(|trouble| self.told(trouble))?;
        audit::keep_head(&self.path, &inner.connection);
        Ok(value)
    }

    /// Refuses to write a document or a copy over the book itself.
    pub(crate) fn spare(&self, path: &Path) -> Result<(), CaseError> {
        let same = path == self.path
            || path.canonicalize().is_ok_and(|path| self.path.canonicalize().is_ok_and(|book| book == path));
        if same {
            Err(CaseError::Misplaced("that is the case book itself: choose another name"))
        } else {
            Ok(())
        }
    }

    /// The error for the caller; damage is also marked beside the file, so that the next opening looks at all of it.
    pub(crate) fn told(&self, trouble: Trouble) -> CaseError {
        let error = trouble.told(&self.path);
        if matches!(error, CaseError::Corrupt { .. }) {
            let _ = std::fs::write(crate::open::beside(&self.path, "suspect"), b"");
        }
        error
    }
}
