//! Tiles for a viewer: asked for by address, read and encoded by worker threads, kept while they fit.
//!
//! The newest request is served first, because it is what the viewer looks at now; equal requests are read
//! once; a request that nobody waits for any more is dropped before it is read. Each request is answered
//! exactly once, from a worker thread or (cached, withdrawn) from the asking one. A panic in a reader becomes
//! an error of that tile. Held true by `feed/tests.rs`.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use eosin_core::RgbTile;
use image::codecs::jpeg::JpegEncoder;

use crate::cache::ByteCache;
use crate::error::WorkbenchError;
use crate::registry::{OpenedSlide, SlideKey};

/// Quality of the tiles shown: no visible loss, a tenth of the bytes.
const JPEG_QUALITY: u8 = 88;

/// An encoded tile, shared with the cache.
pub type TileBytes = Arc<[u8]>;

/// What a request is answered with.
pub type TileResult = Result<TileBytes, WorkbenchError>;

type Reply = Box<dyn FnOnce(TileResult) + Send>;

/// Sizes of a feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedOptions {
    /// Threads that read and encode.
    pub n_worker: usize,
    /// Encoded tiles kept, in bytes.
    pub cache_bytes: usize,
}

impl Default for FeedOptions {
    /// At most four threads, so that the model keeps the rest; 128 MiB are some 1500 tiles.
    fn default() -> Self {
        let n_core = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { n_worker: n_core.clamp(1, 4), cache_bytes: 128 << 20 }
    }
}

/// Names a request, to withdraw it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(u64);

/// What a feed has done since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeedStats {
    /// Tiles read and encoded, failures included.
    pub n_read: u64,
    /// Requests answered from the cache.
    pub n_cached: u64,
    /// Requests that joined an equal one.
    pub n_joined: u64,
    /// Bytes that the cache holds now.
    pub cache_bytes: usize,
}

/// Serves encoded tiles of opened slides.
#[derive(Debug)]
pub struct TileFeed {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Address {
    slide: SlideKey,
    level: u32,
    column: u32,
    row: u32,
}

/// A tile that somebody waits for.
struct Pending {
    opened: Arc<OpenedSlide>,
    /// Place in the queue; none while a worker reads it.
    place: Option<u64>,
    replies: Vec<(RequestId, Reply)>,
}

#[derive(Debug)]
struct State {
    clock: u64,
    /// Tiles to read; the highest place is served first.
    queue: BTreeMap<u64, Address>,
    pending: HashMap<Address, Pending>,
    cache: ByteCache<Address>,
    stats: FeedStats,
    stopping: bool,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pending(place {:?}, {} replies)", self.place, self.replies.len())
    }
}

impl TileFeed {
    /// Starts the worker threads.
    ///
    /// # Errors
    /// When the system starts no thread at all.
    pub fn new(options: FeedOptions) -> std::io::Result<Self> {
        let state = State {
            clock: 0,
            queue: BTreeMap::new(),
            pending: HashMap::new(),
            cache: ByteCache::new(options.cache_bytes),
            stats: FeedStats::default(),
            stopping: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new() });
        let mut workers = Vec::new();
        for worker_idx in 0..options.n_worker.max(1) {
            let shared = Arc::clone(&shared);
            let builder = std::thread::Builder::new().name(format!("eosin-tile-{worker_idx}"));
            match builder.spawn(move || serve(&shared)) {
                Ok(worker) => workers.push(worker),
                Err(error) if workers.is_empty() => return Err(error),
                // Fewer threads are slower, not wrong.
                Err(_) => break,
            }
        }
        Ok(Self { shared, workers })
    }

    /// Asks for a tile; `reply` is called exactly once, perhaps before this returns.
    pub fn request(
        &self,
        opened: &Arc<OpenedSlide>,
        level: u32,
        column: u32,
        row: u32,
        reply: impl FnOnce(TileResult) + Send + 'static,
    ) -> RequestId {
        let address = Address { slide: opened.key.clone(), level, column, row };
        let mut state = self.shared.lock();
        state.clock += 1;
        let place = state.clock;
        let id = RequestId(place);
        if let Some(bytes) = state.cache.get(&address) {
            state.stats.n_cached += 1;
            drop(state);
            reply(Ok(bytes));
            return id;
        }
        let State { pending, queue, stats, .. } = &mut *state;
        let entry = pending.entry(address.clone());
        stats.n_joined += u64::from(matches!(entry, std::collections::hash_map::Entry::Occupied(_)));
        let tile = entry.or_insert_with(|| Pending {
            opened: Arc::clone(opened),
            place: Some(place),
            replies: Vec::new(),
        });
        tile.replies.push((id, Box::new(reply)));
        // Whoever asks again looks at it now: to the front.
        if let Some(old) = &mut tile.place {
            queue.remove(old);
            *old = place;
            queue.insert(place, address);
        }
        drop(state);
        self.shared.work.notify_one();
        id
    }

    /// Asks for a tile and waits for it.
    ///
    /// # Errors
    /// As the reader's, or [`WorkbenchError::Cancelled`].
    pub fn wait(&self, opened: &Arc<OpenedSlide>, level: u32, column: u32, row: u32) -> TileResult {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.request(opened, level, column, row, move |result| {
            // The receiver waits below until this is sent.
            let _ = sender.send(result);
        });
        receiver.recv().unwrap_or(Err(WorkbenchError::Bug))
    }

    /// Withdraws a request, which is then answered with [`WorkbenchError::Cancelled`]; one that was answered
    /// already is left alone. A tile that nobody else waits for is not read, unless it is being read.
    pub fn cancel(&self, id: RequestId) {
        let mut state = self.shared.lock();
        let State { pending, queue, .. } = &mut *state;
        let mut withdrawn = None;
        pending.retain(|_, tile| {
            if let Some(at) = tile.replies.iter().position(|reply| reply.0 == id) {
                withdrawn = Some(tile.replies.remove(at).1);
            }
            match tile.place {
                Some(place) if tile.replies.is_empty() => {
                    queue.remove(&place);
                    false
                }
                _ => true,
            }
        });
        drop(state);
        if let Some(reply) = withdrawn {
            reply(Err(WorkbenchError::Cancelled));
        }
    }

    /// Withdraws all requests of a slide and forgets its tiles.
    pub fn forget(&self, slide: &SlideKey) {
        let mut state = self.shared.lock();
        state.cache.retain(|address| address.slide != *slide);
        let replies = state.withdraw(|address| address.slide == *slide);
        drop(state);
        for reply in replies {
            reply(Err(WorkbenchError::Cancelled));
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> FeedStats {
        let state = self.shared.lock();
        FeedStats { cache_bytes: state.cache.n_byte(), ..state.stats }
    }
}

impl Drop for TileFeed {
    /// Answers what still waits and ends the workers after the tiles they read.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        let replies = state.withdraw(|_| true);
        drop(state);
        self.shared.work.notify_all();
        for reply in replies {
            reply(Err(WorkbenchError::Cancelled));
        }
        for worker in self.workers.drain(..) {
            // A reply may hold the last reference to the feed: a thread cannot wait for itself.
            if worker.thread().id() != std::thread::current().id() {
                let _ = worker.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes away the requests of some tiles, also of those being read.
    fn withdraw(&mut self, which: impl Fn(&Address) -> bool) -> Vec<Reply> {
        let Self { pending, queue, .. } = self;
        let mut replies = Vec::new();
        pending.retain(|address, tile| {
            if !which(address) {
                return true;
            }
            if let Some(place) = tile.place {
                queue.remove(&place);
            }
            replies.extend(tile.replies.drain(..).map(|reply| reply.1));
            false
        });
        replies
    }
}

/// The life of a worker.
fn serve(shared: &Shared) {
    let mut state = shared.lock();
    loop {
        if state.stopping {
            return;
        }
        let Some((_, address)) = state.queue.pop_last() else {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let Some(tile) = state.pending.get_mut(&address) else { continue };
        tile.place = None;
        let opened = Arc::clone(&tile.opened);
        state.stats.n_read += 1;
        drop(state);

        let read = catch_unwind(AssertUnwindSafe(|| read_tile(&opened, &address)));
        let result = read.unwrap_or(Err(WorkbenchError::Bug));

        state = shared.lock();
        // A slide that was closed meanwhile has no pending tile, and its tiles are not kept.
        if let Some(tile) = state.pending.remove(&address) {
            if let Ok(bytes) = &result {
                state.cache.insert(address, Arc::clone(bytes));
            }
            drop(state);
            for (_, reply) in tile.replies {
                // A caller that panics must not end the thread that serves the others.
                let _ = catch_unwind(AssertUnwindSafe(|| reply(result.clone())));
            }
            drop(opened);
            state = shared.lock();
        }
    }
}

fn read_tile(opened: &OpenedSlide, address: &Address) -> TileResult {
    let Address { level, column, row, .. } = *address;
    let id = &opened.slide.info().id;
    let region = opened.plan.region(id, level, column, row);
    let region = region.ok_or(WorkbenchError::NoSuchTile { level, column, row })?;
    encode(&opened.slide.read(&region)?)
}

/// The tile as JPEG.
pub(crate) fn encode(tile: &RgbTile) -> TileResult {
    let mut bytes = Vec::with_capacity(tile.pixels().len() / 8);
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode(tile.pixels(), tile.width_px(), tile.height_px(), image::ExtendedColorType::Rgb8)
        .map_err(|error| WorkbenchError::Encode(error.to_string().into()))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests;
