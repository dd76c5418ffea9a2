//! One thread that owns the CLIP model: pictures and words in, embeddings out, people before batches.
//!
//! Indexing keeps the model busy for hours; a search must not wait for it. So batches are taken in small pieces, and
//! whatever a person asked is done between two of them. Opening happens on the thread; a panic is an error and the
//! thread lives on. Held true by the tests below.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use eosin_core::{DeviceChoice, Embedding, RgbTile};
use eosin_session::embed::{ClipBundle, ClipOptions, ClipSource, EmbedError, Embedder};

use crate::error::LibraryError;
use crate::item::ModelId;

/// Tiles of a batch between which a person's question is looked for.
const N_PIECE: usize = 8;

/// What is known of a model that is ready.
#[derive(Clone, PartialEq, Debug)]
pub struct EmbedModel {
    /// Its name, as libraries keep it.
    pub id: ModelId,
    /// What must be said with what it finds.
    pub notice: Option<String>,
    /// One line about its measures.
    pub summary: String,
    /// The device that it computes on.
    pub device: String,
    /// Whether words can be embedded.
    pub reads_words: bool,
    /// Factor on cosines before a softmax over classes.
    pub logit_scale: f32,
}

/// What embeds: the CLIP model, or a stand-in of a test.
pub trait Embeds {
    /// What is known of it.
    fn model(&self) -> Result<EmbedModel, EmbedError>;
    /// Embeds tiles of any size, in order.
    fn tiles(&self, tiles: &[RgbTile]) -> Result<Vec<Embedding>, EmbedError>;
    /// Embeds texts, in order.
    fn words(&self, words: &[String]) -> Result<Vec<Embedding>, EmbedError>;
}

/// The CLIP model with what its files say of it.
struct ClipModel {
    embedder: Embedder,
    name: String,
    notice: Option<String>,
    summary: String,
    d_embed: usize,
    reads_words: bool,
}

impl Embeds for ClipModel {
    fn model(&self) -> Result<EmbedModel, EmbedError> {
        let Self { embedder, name, notice, summary, d_embed, reads_words } = self;
        Ok(EmbedModel {
            id: ModelId { name: name.clone(), hash: embedder.model().clone(), d_embed: *d_embed },
            notice: notice.clone(),
            summary: summary.clone(),
            device: embedder.device_name().to_owned(),
            reads_words: *reads_words,
            logit_scale: embedder.logit_scale()?,
        })
    }

    fn tiles(&self, tiles: &[RgbTile]) -> Result<Vec<Embedding>, EmbedError> {
        self.embedder.embed_tiles(tiles)
    }

    fn words(&self, words: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        self.embedder.embed_texts(words)
    }
}

/// How far the model is.
#[derive(Clone, Debug)]
pub enum EmbedState {
    /// Being opened.
    Loading,
    /// Ready.
    Ready(Arc<EmbedModel>),
    /// Could not be opened; everything fails with the same error.
    Failed(Arc<LibraryError>),
}

type Maker = Box<dyn FnOnce() -> Result<Box<dyn Embeds>, EmbedError> + Send>;
type Embedded = Result<Vec<Embedding>, LibraryError>;

enum Work {
    Tiles(Vec<RgbTile>),
    Words(Vec<String>),
}

/// A batch of indexing, done piece by piece.
struct Batch {
    tiles: Vec<RgbTile>,
    embeddings: Vec<Embedding>,
    answer: SyncSender<Embedded>,
}

#[derive(Default)]
struct Inbox {
    /// Another model is to be opened.
    maker: Option<Maker>,
    asked: VecDeque<(Work, SyncSender<Embedded>)>,
    batches: VecDeque<Batch>,
    closing: bool,
    ended: bool,
}

struct Shared {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    state: Mutex<EmbedState>,
    changed: Condvar,
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_state(&self, state: EmbedState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }
}

/// The handle on the thread; share it in an [`Arc`]. Dropping it ends the thread after the piece at hand.
pub struct EmbedWorker {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for EmbedWorker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EmbedWorker").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl EmbedWorker {
    /// Starts the thread and has it open a model; returns at once.
    pub fn spawn(source: ClipSource, device: DeviceChoice) -> Self {
        Self::spawn_opened(source, ClipOptions::default(), device)
    }

    /// As [`EmbedWorker::spawn`], with what is asked of the model beyond its place.
    pub fn spawn_opened(source: ClipSource, options: ClipOptions, device: DeviceChoice) -> Self {
        Self::spawn_with(move || open(&source, &options, device))
    }

    /// As [`EmbedWorker::spawn`], with something else that embeds; it is made on the thread.
    pub fn spawn_with(maker: impl FnOnce() -> Result<Box<dyn Embeds>, EmbedError> + Send + 'static) -> Self {
        let inbox = Inbox { maker: Some(Box::new(maker)), ..Inbox::default() };
        let shared = Arc::new(Shared {
            inbox: Mutex::new(inbox),
            arrived: Condvar::new(),
            state: Mutex::new(EmbedState::Loading),
            changed: Condvar::new(),
        });
        let for_thread = shared.clone();
        let started =
            std::thread::Builder::new().name("eosin-clip".to_owned()).spawn(move || serve(&for_thread));
        if started.is_err() {
            shared.inbox().ended = true;
            shared.set_state(EmbedState::Failed(Arc::new(LibraryError::Gone)));
        }
        Self { shared }
    }

    /// Has the thread open another model in place of the present one; returns at once.
    pub fn load(&self, source: ClipSource, device: DeviceChoice) {
        self.shared.set_state(EmbedState::Loading);
        self.shared.inbox().maker = Some(Box::new(move || open(&source, &ClipOptions::default(), device)));
        self.shared.arrived.notify_all();
    }

    /// How far the model is, without waiting.
    pub fn state(&self) -> EmbedState {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the model is open, or cannot be opened.
    ///
    /// # Errors
    /// [`LibraryError::NotLoaded`].
    pub fn wait(&self) -> Result<Arc<EmbedModel>, LibraryError> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                EmbedState::Ready(model) => return Ok(model.clone()),
                EmbedState::Failed(error) => return Err(LibraryError::NotLoaded(error.clone())),
                EmbedState::Loading => {}
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Embeds pictures that a person asked about, before all batches; waits for the result.
    ///
    /// # Errors
    /// [`LibraryError::Embed`], [`LibraryError::NotLoaded`], [`LibraryError::Panic`], [`LibraryError::Gone`].
    pub fn embed_tiles(&self, tiles: Vec<RgbTile>) -> Result<Vec<Embedding>, LibraryError> {
        self.ask(Work::Tiles(tiles))
    }

    /// Embeds words that a person asked about, before all batches; waits for the result.
    ///
    /// # Errors
    /// As [`EmbedWorker::embed_tiles`].
    pub fn embed_words(&self, words: Vec<String>) -> Result<Vec<Embedding>, LibraryError> {
        self.ask(Work::Words(words))
    }

    /// Embeds a batch of tiles when nobody asks for anything else; waits for the result.
    ///
    /// # Errors
    /// As [`EmbedWorker::embed_tiles`].
    pub fn embed_batch(&self, tiles: Vec<RgbTile>) -> Result<Vec<Embedding>, LibraryError> {
        let embeddings = Vec::with_capacity(tiles.len());
        self.send(|inbox, answer| inbox.batches.push_back(Batch { tiles, embeddings, answer }))
    }

    fn ask(&self, work: Work) -> Embedded {
        self.send(|inbox, answer| inbox.asked.push_back((work, answer)))
    }

    fn send(&self, put: impl FnOnce(&mut Inbox, SyncSender<Embedded>)) -> Embedded {
        let (answer, answered) = sync_channel(1);
        {
            let mut inbox = self.shared.inbox();
            if inbox.ended {
                return Err(LibraryError::Gone);
            }
            put(&mut inbox, answer);
        }
        self.shared.arrived.notify_all();
        answered.recv().unwrap_or(Err(LibraryError::Gone))
    }
}

impl Drop for EmbedWorker {
    fn drop(&mut self) {
        self.shared.inbox().closing = true;
        self.shared.arrived.notify_all();
    }
}

fn open(
    source: &ClipSource,
    options: &ClipOptions,
    device: DeviceChoice,
) -> Result<Box<dyn Embeds>, EmbedError> {
    let bundle = ClipBundle::open_source_with(source, options)?;
    let (name, notice, summary) =
        (bundle.name().to_owned(), bundle.notice().map(str::to_owned), bundle.summary());
    let (d_embed, reads_words) = (bundle.config().d_embed, bundle.has_tokenizer());
    let embedder = bundle.load(device)?;
    Ok(Box::new(ClipModel { embedder, name, notice, summary, d_embed, reads_words }))
}

/// What the thread does next.
enum Next {
    Load(Maker),
    Asked(Work, SyncSender<Embedded>),
    Batch(Batch),
}

fn serve(shared: &Shared) {
    let mut model: Result<Box<dyn Embeds>, Arc<LibraryError>> = Err(Arc::new(LibraryError::Gone));
    while let Some(next) = take(shared) {
        match next {
            Next::Load(maker) => {
                // The old model goes first: two may not fit.
                drop(std::mem::replace(&mut model, Err(Arc::new(LibraryError::Gone))));
                let opened = caught(|| maker().and_then(|model| Ok((model.model()?, model))));
                model = match opened {
                    Ok((known, opened)) => {
                        shared.set_state(EmbedState::Ready(Arc::new(known)));
                        Ok(opened)
                    }
                    Err(error) => {
                        let error = Arc::new(error);
                        shared.set_state(EmbedState::Failed(error.clone()));
                        Err(error)
                    }
                };
            }
            Next::Asked(work, answer) => {
                let _nobody_waits = answer.send(embed(&model, &work));
            }
            Next::Batch(mut batch) => {
                let n_left = batch.tiles.len().saturating_sub(N_PIECE);
                let rest = batch.tiles.split_off(batch.tiles.len() - n_left);
                match embed(&model, &Work::Tiles(std::mem::replace(&mut batch.tiles, rest))) {
                    Ok(embeddings) => batch.embeddings.extend(embeddings),
                    Err(error) => {
                        let _nobody_waits = batch.answer.send(Err(error));
                        continue;
                    }
                }
                if batch.tiles.is_empty() {
                    let _nobody_waits = batch.answer.send(Ok(batch.embeddings));
                } else {
                    shared.inbox().batches.push_front(batch);
                }
            }
        }
    }
    let mut inbox = shared.inbox();
    inbox.ended = true;
    // Their senders go, and whoever waits is told.
    (inbox.asked, inbox.batches) = (VecDeque::new(), VecDeque::new());
}

/// Waits for something to do; none when the handle is gone.
fn take(shared: &Shared) -> Option<Next> {
    let mut inbox = shared.inbox();
    loop {
        if inbox.closing {
            return None;
        }
        if let Some(maker) = inbox.maker.take() {
            return Some(Next::Load(maker));
        }
        if let Some((work, answer)) = inbox.asked.pop_front() {
            return Some(Next::Asked(work, answer));
        }
        if let Some(batch) = inbox.batches.pop_front() {
            return Some(Next::Batch(batch));
        }
        inbox = shared.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
    }
}

fn embed(model: &Result<Box<dyn Embeds>, Arc<LibraryError>>, work: &Work) -> Embedded {
    let model = model.as_ref().map_err(|error| LibraryError::NotLoaded(error.clone()))?;
    caught(|| match work {
        Work::Tiles(tiles) => model.tiles(tiles),
        Work::Words(words) => model.words(words),
    })
}

/// Turns a panic, which is a bug, into an error.
fn caught<T>(work: impl FnOnce() -> Result<T, EmbedError>) -> Result<T, LibraryError> {
    let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
        LibraryError::Panic { message: message.unwrap_or_else(|| "no message".to_owned()) }
    })?;
    outcome.map_err(|source| LibraryError::Embed { source: Arc::new(source) })
}

#[cfg(test)]
pub(crate) mod tests;
