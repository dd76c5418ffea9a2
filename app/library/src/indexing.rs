//! Brings a library up to date with its places, in the background.
//!
//! Two threads: one looks at files, reads and decodes tiles, the other has them embedded and stores them, so that
//! neither waits for the other longer than it must. A file is begun, filled in batches, and ended; whoever is killed
//! between two batches goes on after the last one. What is unchanged (content, time, scale, model, annotations) is
//! not read again. A bad file is skipped with its reason and stops nothing. Held true by `indexing/tests.rs` and by
//! `tests/library.rs`, which kills it.

mod progress;
mod reader;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use eosin_core::SlideId;
use eosin_core::annotation::Annotation;

use crate::embed::{EmbedModel, EmbedWorker};
use crate::error::LibraryError;
use crate::item::{EntryId, NewItem, SourceId};
use crate::store::Library;
use progress::Meter;
pub use progress::{IndexProgress, IndexState, Skip, Tally};
use reader::{Parcel, Reader};

/// Parcels that wait for the model: one being embedded, one ready.
const N_WAITING: usize = 2;

/// Gives the annotations of a slide, empty for none.
pub type AnnotationsOf = Arc<dyn Fn(&SlideId) -> Vec<Annotation> + Send + Sync>;

/// What is to be brought up to date.
#[derive(Clone, Default)]
pub struct IndexOptions {
    /// These places; empty: all.
    pub sources: Vec<SourceId>,
    /// What was marked on slides, to be indexed as well.
    pub annotations: Option<AnnotationsOf>,
}

impl std::fmt::Debug for IndexOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IndexOptions").field("sources", &self.sources).finish_non_exhaustive()
    }
}

/// What the threads and the handle all see.
#[derive(Debug)]
pub(crate) struct Shared {
    wish: Mutex<Wish>,
    wished: Condvar,
    meter: Mutex<Meter>,
    ended: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Go,
    Pause,
    Stop,
}

impl Shared {
    fn wish(&self, wish: Wish) {
        let mut own = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        // A stop is not taken back.
        if *own != Wish::Stop {
            *own = wish;
        }
        drop(own);
        self.wished.notify_all();
    }

    /// Waits while the run is paused; says whether it goes on.
    fn goes_on(&self) -> bool {
        let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
        while *wish == Wish::Pause {
            self.meter(Meter::pause);
            wish = self.wished.wait(wish).unwrap_or_else(PoisonError::into_inner);
        }
        self.meter(Meter::go);
        *wish == Wish::Go
    }

    fn stopped(&self) -> bool {
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) == Wish::Stop
    }

    pub(crate) fn meter<T>(&self, action: impl FnOnce(&mut Meter) -> T) -> T {
        action(&mut self.meter.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A run that brings a library up to date. Dropping it stops the run after the batch at hand; nothing is lost.
#[derive(Debug)]
pub struct Indexing {
    shared: Arc<Shared>,
}

impl Indexing {
    /// Starts the run; returns at once.
    pub fn start(library: Arc<dyn Library>, worker: Arc<EmbedWorker>, options: IndexOptions) -> Self {
        let shared = Arc::new(Shared {
            wish: Mutex::new(Wish::Go),
            wished: Condvar::new(),
            meter: Mutex::new(Meter::default()),
            ended: Condvar::new(),
        });
        let for_thread = shared.clone();
        let started = std::thread::Builder::new().name("eosin-index".to_owned()).spawn(move || {
            let outcome = caught(|| run(&library, &worker, options, &for_thread));
            for_thread.meter(|meter| meter.end(outcome, for_thread.stopped()));
            for_thread.ended.notify_all();
        });
        if started.is_err() {
            shared.meter(|meter| meter.end(Err(LibraryError::Gone), false));
        }
        Self { shared }
    }

    /// How far it is, without waiting.
    pub fn progress(&self) -> IndexProgress {
        self.shared.meter(|meter| meter.progress())
    }

    /// What came of it so far.
    pub fn tally(&self) -> Tally {
        self.shared.meter(|meter| meter.tally.clone())
    }

    /// Has it wait after the batch at hand.
    pub fn pause(&self) {
        self.shared.wish(Wish::Pause);
    }

    /// Has it go on.
    pub fn resume(&self) {
        self.shared.wish(Wish::Go);
    }

    /// Has it end after the batch at hand; returns at once.
    pub fn stop(&self) {
        self.shared.wish(Wish::Stop);
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What ended it early: a full disk, a locked database, a model that fails. [`LibraryError::Stopped`] after
    /// [`Indexing::stop`].
    pub fn wait(&self) -> Result<Tally, Arc<LibraryError>> {
        let mut meter = self.shared.meter.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = meter.outcome() {
                return outcome.map(|()| meter.tally.clone());
            }
            meter = self.shared.ended.wait(meter).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The storing thread, from the beginning to the end.
fn run(
    library: &Arc<dyn Library>,
    worker: &EmbedWorker,
    options: IndexOptions,
    shared: &Arc<Shared>,
) -> Result<(), LibraryError> {
    let model = worker.wait()?;
    library.claim(&model.id)?;
    let (parcels, arrived) = sync_channel(N_WAITING - 1);
    let reader = Reader { library: library.clone(), model: model.clone(), options, shared: shared.clone() };
    let reading =
        std::thread::Builder::new().name("eosin-tiles".to_owned()).spawn(move || read(&reader, &parcels));
    let reading = reading.map_err(|_no_thread| LibraryError::Gone)?;
    let stored = store(&**library, worker, &model, &arrived, shared);
    // A reader that still wants to send finds nobody, and ends.
    drop(arrived);
    let read = reading.join().unwrap_or(Err(LibraryError::Gone));
    // What was stored is there in any case; the index is written even where the run ended early.
    let flushed = library.flush();
    stored.and(read).and(flushed)
}

fn read(reader: &Reader, parcels: &SyncSender<Parcel>) -> Result<(), LibraryError> {
    caught(|| reader.run(parcels))
}

/// Embeds and stores what the reader sends.
fn store(
    library: &dyn Library,
    worker: &EmbedWorker,
    model: &EmbedModel,
    parcels: &Receiver<Parcel>,
    shared: &Shared,
) -> Result<(), LibraryError> {
    while let Ok(parcel) = parcels.recv() {
        if !shared.goes_on() {
            return Ok(());
        }
        let Parcel { pieces, tiles, ends } = parcel;
        let n_tile = tiles.len() as u64;
        let embeddings = worker.embed_batch(tiles)?;
        if embeddings.iter().any(|embedding| *embedding.model() != model.id.hash) {
            // Somebody gave the worker another model meanwhile.
            let other =
                embeddings.first().map_or_else(String::new, |embedding| embedding.model().to_string());
            return Err(LibraryError::OtherModel { indexed: model.id.name.clone(), other });
        }
        let mut of_entry: Vec<(EntryId, Vec<NewItem>)> = Vec::new();
        for ((entry, piece), embedding) in pieces.into_iter().zip(embeddings) {
            let item =
                NewItem { key: piece.key, kind: piece.kind, place: piece.place, tags: piece.tags, embedding };
            match of_entry.last_mut() {
                Some((last, items)) if *last == entry => items.push(item),
                _ => of_entry.push((entry, vec![item])),
            }
        }
        for (entry, items) in &of_entry {
            library.add_items(*entry, items)?;
        }
        for (entry, end) in &ends {
            library.end_entry(*entry, end)?;
        }
        shared.meter(|meter| meter.stored(n_tile, ends.len() as u64));
    }
    Ok(())
}

/// Turns a panic, which is a bug, into an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, LibraryError>) -> Result<T, LibraryError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(LibraryError::Panic { message: message.unwrap_or_else(|| "no message".to_owned()) })
    })
}

#[cfg(test)]
mod tests;
