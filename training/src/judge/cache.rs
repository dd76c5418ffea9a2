//! Verdicts kept on disk, so that nothing is paid twice: not by a resumed run, and not within one.
//!
//! A verdict is found by the hash of all that it depends on: criteria, model, pictures, question, right
//! answer and everything the model wrote. Only hashes and scores are written, no words. The file is only
//! appended to; a line torn by a kill is passed over, and the next one begins anew. Two threads that want the same
//! verdict ask once: the second waits for the first.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::ledger::books;
use super::{Criteria, JudgeError, JudgeRequest, Origin, Verdict};
use crate::error::TrainError;

/// Name of the file.
pub const VERDICTS: &str = "judge-verdicts.jsonl";

/// A file of JSON lines that is only appended to.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Opens a file and gives the lines that can be read.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Value>), TrainError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(TrainError::file("read", path)(error)),
        };
        let rows = bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let rows = rows.collect();
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.map_err(TrainError::file("open", path))?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // What a kill tore ends here, so that the next line is whole.
            file.write_all(b"\n").map_err(TrainError::file("write", path))?;
        }
        Ok((Self { path: path.to_owned(), file }, rows))
    }

    /// Appends a line in one piece.
    pub(super) fn push(&mut self, row: &Value) -> Result<(), TrainError> {
        let line = format!("{row}\n");
        self.file.write_all(line.as_bytes()).map_err(TrainError::file("write", &self.path))
    }
}

/// The open cache.
#[derive(Debug)]
pub struct Cache {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    lines: Lines,
    known: HashMap<String, Verdict>,
    under_way: HashSet<String>,
}

impl Cache {
    /// Opens the cache in `dir`.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        let (lines, rows) = Lines::open(&dir.join(VERDICTS))?;
        let known = rows
            .iter()
            .filter_map(|row| {
                let score = |name: &str| row.get(name)?.as_f64();
                let verdict = Verdict::new(score("integrity")?, score("knowledge")?);
                Some((row.get("key")?.as_str()?.to_owned(), Verdict { origin: Origin::Cached, ..verdict }))
            })
            .collect();
        let inner = Inner { lines, known, under_way: HashSet::new() };
        Ok(Self { inner: Mutex::new(inner), changed: Condvar::new() })
    }

    /// The verdict of `key`, by asking where it is not known. What `ask` fails at is not kept.
    ///
    /// # Errors
    /// What `ask` returns; [`JudgeError::Books`].
    pub fn get(
        &self,
        key: &str,
        ask: impl FnOnce() -> Result<Verdict, JudgeError>,
    ) -> Result<Verdict, JudgeError> {
        let mut inner = self.lock();
        loop {
            if let Some(verdict) = inner.known.get(key) {
                return Ok(*verdict);
            }
            if inner.under_way.insert(key.to_owned()) {
                break;
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        drop(inner);
        let leave = Leave { cache: self, key };
        let verdict = ask()?;
        let row = json!({"key": key, "integrity": verdict.integrity, "knowledge": verdict.knowledge});
        let mut inner = self.lock();
        inner.lines.push(&row).map_err(books)?;
        inner.known.insert(key.to_owned(), Verdict { origin: Origin::Cached, ..verdict });
        drop(inner);
        drop(leave);
        Ok(verdict)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next one ask, however the asking ends.
struct Leave<'a> {
    cache: &'a Cache,
    key: &'a str,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.cache.lock().under_way.remove(self.key);
        self.cache.changed.notify_all();
    }
}

/// Hash of all that a verdict depends on.
pub fn key(criteria: Criteria, model: &str, request: &JudgeRequest<'_>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // Lengths keep the parts apart.
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(criteria.name().as_bytes());
    part(model.as_bytes());
    part(&(request.images.len() as u64).to_le_bytes());
    for image in request.images {
        part(&image.width_px().to_le_bytes());
        part(image.pixels());
    }
    for text in [request.question, &request.task.gold, request.output] {
        part(text.as_bytes());
    }
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write;
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
