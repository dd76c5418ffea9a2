//! Tiles for a viewer: asked for by address, read and encoded by worker threads, kept while they fit.
//!
//! The newest request is served first, because it is what the viewer looks at now; equal requests are read
//! once; a request that nobody waits for any more is dropped before it is read. Each request is answered
//! exactly once, from a worker thread or (cached, withdrawn) from the asking one. A panic in a reader becomes
//! an error of that tile. A second cache keeps tiles decoded and as scanned, so that another look at the same
//! place (a slider that moves) reads nothing. Held true by `feed/tests.rs`.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use eosin_core::RgbTile;

use crate::cache::ByteCache;
use crate::encode::encode_jpeg;
use crate::error::WorkbenchError;
use crate::look::{Look, LookTables};
use crate::registry::{OpenedSlide, SlideKey};

/// Looks whose tables are kept ready.
const N_LOOK: usize = 8;

/// An encoded tile, shared with the cache.
pub type TileBytes = Arc<[u8]>;

/// The form in which a tile is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TileFormat {
    /// Encoded, for a web view.
    Jpeg,
    /// Pixels, for a window that uploads textures itself.
    Rgb,
}

/// Which tile of a slide, and how it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TileAddress {
    /// Level as in OpenSeadragon: 0 is one pixel, the last is base resolution.
    pub level: u32,
    /// Column of the tile.
    pub column: u32,
    /// Row of the tile.
    pub row: u32,
    /// How its pixels are changed.
    pub look: Look,
    /// How they come.
    pub format: TileFormat,
}

impl TileAddress {
    /// A tile as scanned, encoded.
    pub fn jpeg(level: u32, column: u32, row: u32) -> Self {
        Self { level, column, row, look: Look::default(), format: TileFormat::Jpeg }
    }

    /// A tile as scanned, as pixels.
    pub fn rgb(level: u32, column: u32, row: u32) -> Self {
        Self { format: TileFormat::Rgb, ..Self::jpeg(level, column, row) }
    }

    /// The same tile in another look.
    #[must_use]
    pub fn with_look(self, look: Look) -> Self {
        Self { look, ..self }
    }
}

/// A tile in the form that was asked for, shared with the caches.
#[derive(Clone, Debug)]
pub enum Tile {
    /// A JPEG.
    Jpeg(TileBytes),
    /// Pixels.
    Rgb(Arc<RgbTile>),
}

impl Tile {
    /// The JPEG, where that was asked for.
    pub fn jpeg(&self) -> Option<&TileBytes> {
        match self {
            Self::Jpeg(bytes) => Some(bytes),
            Self::Rgb(_) => None,
        }
    }

    /// The pixels, where they were asked for.
    pub fn rgb(&self) -> Option<&Arc<RgbTile>> {
        match self {
            Self::Rgb(pixels) => Some(pixels),
            Self::Jpeg(_) => None,
        }
    }
}

/// What a request is answered with.
pub type TileResult = Result<Tile, WorkbenchError>;

type Reply = Box<dyn FnOnce(TileResult) + Send>;

/// Sizes of a feed.
#[derive(Clone, Copy, Debug)]
pub struct FeedOptions {
    /// Threads that read and encode.
    pub n_worker: usize,
    /// Encoded tiles kept, in bytes.
    pub cache_bytes: usize,
    /// Decoded tiles kept, in bytes.
    pub decoded_bytes: usize,
}

impl Default for FeedOptions {
    /// At most four threads, so that the model keeps the rest; 128 MiB are some 1500 encoded tiles, 96 MiB are
    /// 128 decoded ones, three screens.
    fn default() -> Self {
        let n_core = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { n_worker: n_core.clamp(1, 4), cache_bytes: 128 << 20, decoded_bytes: 96 << 20 }
    }
}

/// Names a request, to withdraw it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(u64);

/// What a feed has done since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FeedStats {
    /// Tiles read from slides, failures included.
    pub n_read: u64,
    /// Tiles made of decoded ones that were kept.
    pub n_redrawn: u64,
    /// Requests answered from the caches at once.
    pub n_cached: u64,
    /// Requests that joined an equal one.
    pub n_joined: u64,
    /// Bytes that the cache of encoded tiles holds now.
    pub cache_bytes: usize,
    /// Bytes that the cache of decoded tiles holds now.
    pub decoded_bytes: usize,
}

/// Serves tiles of opened slides.
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
    tile: TileAddress,
}

impl Address {
    /// The address of the pixels as scanned, which all looks are made from.
    fn scanned(&self) -> Self {
        let TileAddress { level, column, row, .. } = self.tile;
        Self { slide: self.slide.clone(), tile: TileAddress::rgb(level, column, row) }
    }
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
    encoded: ByteCache<Address, TileBytes>,
    /// As scanned only: other looks are made of these.
    decoded: ByteCache<Address, Arc<RgbTile>>,
    /// Tables of the looks used last, newest last.
    looks: Vec<(Look, Arc<LookTables>)>,
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
            encoded: ByteCache::new(options.cache_bytes),
            decoded: ByteCache::new(options.decoded_bytes),
            looks: Vec::new(),
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
        tile: TileAddress,
        reply: impl FnOnce(TileResult) + Send + 'static,
    ) -> RequestId {
        let tile = TileAddress { look: tile.look.clamped(), ..tile };
        let address = Address { slide: opened.key.clone(), tile };
        let mut state = self.shared.lock();
        state.clock += 1;
        let place = state.clock;
        let id = RequestId(place);
        if let Some(tile) = state.cached(&address) {
            state.stats.n_cached += 1;
            drop(state);
            reply(Ok(tile));
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
    pub fn wait(&self, opened: &Arc<OpenedSlide>, tile: TileAddress) -> TileResult {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.request(opened, tile, move |result| {
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
        state.encoded.retain(|address| address.slide != *slide);
        state.decoded.retain(|address| address.slide != *slide);
        let replies = state.withdraw(|address| address.slide == *slide);
        drop(state);
        for reply in replies {
            reply(Err(WorkbenchError::Cancelled));
        }
    }

    /// What was done so far.
    pub fn stats(&self) -> FeedStats {
        let state = self.shared.lock();
        let (cache_bytes, decoded_bytes) = (state.encoded.n_byte(), state.decoded.n_byte());
        FeedStats { cache_bytes, decoded_bytes, ..state.stats }
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
    /// A tile that is there without any work.
    fn cached(&mut self, address: &Address) -> Option<Tile> {
        match address.tile.format {
            TileFormat::Jpeg => self.encoded.get(address).map(Tile::Jpeg),
            TileFormat::Rgb if address.tile.look.is_neutral() => self.decoded.get(address).map(Tile::Rgb),
            TileFormat::Rgb => None,
        }
    }

    /// The tables of a look, which are made once while it is in use.
    fn tables(&mut self, look: Look) -> Arc<LookTables> {
        if let Some(idx) = self.looks.iter().position(|known| known.0 == look) {
            let known = self.looks.remove(idx);
            self.looks.push(known);
        } else {
            if self.looks.len() == N_LOOK {
                self.looks.remove(0);
            }
            self.looks.push((look, Arc::new(LookTables::new(look))));
        }
        Arc::clone(&self.looks[self.looks.len() - 1].1)
    }

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
        let scanned = address.scanned();
        let kept = state.decoded.get(&scanned);
        match kept {
            Some(_) => state.stats.n_redrawn += 1,
            None => state.stats.n_read += 1,
        }
        let tables = state.tables(address.tile.look);
        drop(state);

        let made = catch_unwind(AssertUnwindSafe(|| {
            let pixels = kept.map_or_else(|| read_tile(&opened, address.tile).map(Arc::new), Ok);
            // What was read is kept even where it does not encode.
            let drawn = pixels.clone().and_then(|pixels| draw(pixels, address.tile, &tables));
            (pixels.ok(), drawn)
        }));
        let (pixels, result) = made.unwrap_or((None, Err(WorkbenchError::Bug)));

        state = shared.lock();
        // A slide that was closed meanwhile has no pending tile, and its tiles are not kept.
        if let Some(tile) = state.pending.remove(&address) {
            if let Some(pixels) = pixels {
                let n_byte = pixels.pixels().len();
                state.decoded.insert(scanned, pixels, n_byte);
            }
            if let Ok(Tile::Jpeg(bytes)) = &result {
                state.encoded.insert(address, Arc::clone(bytes), bytes.len());
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

fn read_tile(opened: &OpenedSlide, tile: TileAddress) -> Result<RgbTile, WorkbenchError> {
    let TileAddress { level, column, row, .. } = tile;
    let id = &opened.slide.info().id;
    let region = opened.plan.region(id, level, column, row);
    let region = region.ok_or(WorkbenchError::NoSuchTile { level, column, row })?;
    Ok(opened.slide.read(&region)?)
}

/// The tile in its look and format.
fn draw(mut pixels: Arc<RgbTile>, tile: TileAddress, tables: &LookTables) -> TileResult {
    if !tile.look.is_neutral() {
        // The cache keeps the pixels as scanned: this is a copy.
        tables.apply(Arc::make_mut(&mut pixels).pixels_mut());
    }
    Ok(match tile.format {
        TileFormat::Jpeg => Tile::Jpeg(encode_jpeg(&pixels)?.into()),
        TileFormat::Rgb => Tile::Rgb(pixels),
    })
}

#[cfg(test)]
mod tests;
