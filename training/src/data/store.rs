//! Decoded pictures that are likely to be asked for again, in bounded memory.
//!
//! An epoch over a small set decodes the same pictures again and again; an epoch over a large one must not
//! fill the machine. The store keeps what was used last up to a number of bytes of pixels. Decoding happens
//! outside its lock, so threads decode side by side; two that miss the same picture at once decode it twice,
//! which costs time and nothing else. Held true by `tests/train_data.rs`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eosin_core::RgbTile;

use super::picture::{DecodeLimits, PictureError};
use super::{Picture, digest};

/// What a picture is known by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key {
    File(PathBuf),
    Span(PathBuf, u64),
    Digest(String),
}

/// A cache of decoded pictures, shared between threads.
#[derive(Debug)]
pub struct ImageStore {
    max_bytes: usize,
    limits: DecodeLimits,
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    tiles: HashMap<Key, (Arc<RgbTile>, u64)>,
    /// Last use → picture, the oldest first.
    order: BTreeMap<u64, Key>,
    n_use: u64,
    n_byte: usize,
}

impl ImageStore {
    /// A store of at most `max_bytes` of pixels; 0 keeps nothing.
    pub fn new(max_bytes: usize) -> Self {
        Self::within(max_bytes, DecodeLimits::default())
    }

    /// A store with limits of its own for each picture.
    pub fn within(max_bytes: usize, limits: DecodeLimits) -> Self {
        let kept = Mutex::default();
        Self { max_bytes, limits, kept, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// The pixels of a picture, decoded now or earlier.
    ///
    /// # Errors
    /// As [`Picture::decode`]; failures are not kept.
    pub fn tile(&self, picture: &Picture) -> Result<Arc<RgbTile>, PictureError> {
        let key = match picture {
            Picture::File(path) => Key::File(path.clone()),
            Picture::Span { path, offset, .. } => Key::Span(path.clone(), *offset),
            Picture::Bytes(bytes) => Key::Digest(digest([bytes.as_ref()])),
            Picture::Phantom { seed, settings } => Key::Digest(format!("{seed} {settings:?}")),
            Picture::Tile(tile) => return Ok(Arc::clone(tile)),
        };
        if let Some(tile) = self.lock().find(&key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(tile);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let tile = picture.decode_within(&self.limits)?;
        self.lock().keep(key, &tile, self.max_bytes);
        Ok(tile)
    }

    /// How often a picture was at hand.
    pub fn n_hit(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// How often a picture had to be decoded.
    pub fn n_miss(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Bytes of pixels that are kept now.
    pub fn n_byte(&self) -> usize {
        self.lock().n_byte
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing under the lock can leave it half changed in a way that matters: at worst a picture is
        // decoded again.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn find(&mut self, key: &Key) -> Option<Arc<RgbTile>> {
        self.n_use += 1;
        let now = self.n_use;
        let (tile, last_use) = self.tiles.get_mut(key)?;
        let tile = Arc::clone(tile);
        let before = std::mem::replace(last_use, now);
        if let Some(key) = self.order.remove(&before) {
            self.order.insert(now, key);
        }
        Some(tile)
    }

    fn keep(&mut self, key: Key, tile: &Arc<RgbTile>, max_bytes: usize) {
        let n_byte = tile.pixels().len();
        // A picture larger than the store would empty it for nothing.
        if n_byte > max_bytes || self.tiles.contains_key(&key) {
            return;
        }
        while self.n_byte + n_byte > max_bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some((tile, _)) = self.tiles.remove(&oldest) {
                self.n_byte -= tile.pixels().len();
            }
        }
        self.n_use += 1;
        self.n_byte += n_byte;
        self.order.insert(self.n_use, key.clone());
        self.tiles.insert(key, (Arc::clone(tile), self.n_use));
    }
}
