//! How far a run is, how fast, and what came of it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::LibraryError;

/// The speed is that of the last so many seconds.
const WINDOW: Duration = Duration::from_secs(30);
/// Reasons that are kept; the others are counted.
const N_SKIP_MAX: usize = 1000;

/// How a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IndexState {
    /// The model is opened, the files are listed.
    #[default]
    Starting,
    /// Tiles are embedded.
    Running,
    /// Waiting to be resumed.
    Paused,
    /// All is done.
    Done,
    /// Ended by [`stop`](crate::Indexing::stop).
    Stopped,
    /// Ended by an error: [`wait`](crate::Indexing::wait) tells it.
    Failed,
}

impl IndexState {
    /// Whether the run is over.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Stopped | Self::Failed)
    }
}

/// How far a run is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct IndexProgress {
    /// How it stands.
    pub state: IndexState,
    /// Tiles and pictures embedded and stored.
    pub n_done: u64,
    /// Tiles and pictures to be embedded in all; an estimate until every slide was looked at.
    pub n_total: u64,
    /// Files done, unchanged and skipped ones included.
    pub n_file_done: u64,
    /// Files in all.
    pub n_file_total: u64,
    /// Files skipped for a reason.
    pub n_skipped: u64,
    /// Tiles a second, lately.
    pub tiles_per_sec: f64,
    /// Time left by that speed, where one can tell.
    pub secs_left: Option<f64>,
}

/// A file, or a part of one, that was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Skip {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Tally {
    /// Files found.
    pub n_file: u64,
    /// Files that needed nothing.
    pub n_unchanged: u64,
    /// Files indexed, anew or again.
    pub n_indexed: u64,
    /// Tiles and pictures embedded.
    pub n_item: u64,
    /// Files that were there once and are gone.
    pub n_vanished: u64,
    /// Files, or tiles of them, left out.
    pub n_skip: u64,
    /// The first thousand of them.
    pub skips: Vec<Skip>,
}

/// Counts and clocks of a run.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) tally: Tally,
    n_file_done: u64,
    /// Tiles known to be needed, of the files that were looked at.
    n_planned: u64,
    /// Bytes of slides looked at, and of those not yet.
    looked_bytes: u64,
    /// Tiles of the slides that were looked at, those unchanged left out.
    n_of_looked: u64,
    ahead_bytes: u64,
    /// Pictures not looked at yet: one tile each.
    n_picture_ahead: u64,
    started: bool,
    paused: bool,
    recent: VecDeque<(Instant, u64)>,
    outcome: Option<Result<(), Arc<LibraryError>>>,
    stopped: bool,
}

impl Meter {
    /// Files were listed: slides of so many bytes in all, and pictures.
    pub(crate) fn listed(&mut self, n_file: u64, slide_bytes: u64, n_picture: u64) {
        self.tally.n_file += n_file;
        self.ahead_bytes += slide_bytes;
        self.n_picture_ahead += n_picture;
        self.started = true;
    }

    /// A file was looked at and needs so many tiles; none for one that needs nothing.
    pub(crate) fn planned(&mut self, slide_bytes: Option<u64>, n_tile: u64) {
        match slide_bytes {
            Some(n_byte) => {
                self.ahead_bytes = self.ahead_bytes.saturating_sub(n_byte);
                self.looked_bytes += n_byte;
                self.n_of_looked += n_tile;
            }
            None => self.n_picture_ahead = self.n_picture_ahead.saturating_sub(1),
        }
        self.n_planned += n_tile;
    }

    pub(crate) fn unchanged(&mut self) {
        self.tally.n_unchanged += 1;
        self.n_file_done += 1;
    }

    pub(crate) fn vanished(&mut self, n_file: u64) {
        self.tally.n_vanished += n_file;
    }

    pub(crate) fn skip(&mut self, path: PathBuf, reason: String) {
        self.tally.n_skip += 1;
        if self.tally.skips.len() < N_SKIP_MAX {
            self.tally.skips.push(Skip { path, reason });
        }
    }

    /// A whole file was left out.
    pub(crate) fn skip_file(&mut self, path: PathBuf, reason: String) {
        self.n_file_done += 1;
        self.skip(path, reason);
    }

    /// Tiles that were planned do not come.
    pub(crate) fn lost(&mut self, n_tile: u64) {
        self.n_planned = self.n_planned.saturating_sub(n_tile);
    }

    pub(crate) fn stored(&mut self, n_tile: u64, n_file: u64) {
        if self.recent.is_empty() {
            // The first batch pays for warming up and is no measure of the others.
            self.recent.push_back((Instant::now(), self.tally.n_item));
        }
        self.tally.n_item += n_tile;
        self.tally.n_indexed += n_file;
        self.n_file_done += n_file;
        let now = Instant::now();
        self.recent.push_back((now, self.tally.n_item));
        while self.recent.len() > 2 && self.recent.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.recent.pop_front();
        }
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    pub(crate) fn go(&mut self) {
        if self.paused {
            // The clock of the speed starts anew.
            self.recent.clear();
        }
        self.paused = false;
    }

    pub(crate) fn end(&mut self, outcome: Result<(), LibraryError>, stopped: bool) {
        self.stopped = stopped && outcome.is_ok();
        let outcome = if self.stopped { Err(LibraryError::Stopped) } else { outcome };
        self.outcome = Some(outcome.map_err(Arc::new));
    }

    pub(crate) fn outcome(&self) -> Option<Result<(), Arc<LibraryError>>> {
        self.outcome.clone()
    }

    pub(crate) fn progress(&self) -> IndexProgress {
        let state = match &self.outcome {
            Some(Ok(())) => IndexState::Done,
            Some(Err(_)) if self.stopped => IndexState::Stopped,
            Some(Err(_)) => IndexState::Failed,
            None if self.paused => IndexState::Paused,
            None if self.started => IndexState::Running,
            None => IndexState::Starting,
        };
        let n_done = self.tally.n_item;
        // Slides that nobody looked at yet are expected to have as many tiles for their size as those before.
        let n_ahead = match self.looked_bytes {
            0 => 0.0,
            looked_bytes => self.n_of_looked as f64 * self.ahead_bytes as f64 / looked_bytes as f64,
        };
        let n_total = match state {
            IndexState::Done => n_done,
            _ => (self.n_planned + self.n_picture_ahead + n_ahead as u64).max(n_done),
        };
        let tiles_per_sec = match (self.recent.front(), self.recent.back()) {
            (Some((first, n_first)), Some((last, n_last))) if last > first => {
                (n_last - n_first) as f64 / (*last - *first).as_secs_f64()
            }
            _ => 0.0,
        };
        let running = state == IndexState::Running && tiles_per_sec > 0.0;
        IndexProgress {
            state,
            n_done,
            n_total,
            n_file_done: self.n_file_done,
            n_file_total: self.tally.n_file,
            n_skipped: self.tally.n_skip,
            tiles_per_sec,
            secs_left: running.then(|| (n_total - n_done) as f64 / tiles_per_sec),
        }
    }
}
