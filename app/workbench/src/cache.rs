//! The least recently used encoded tiles go first; the bound is in bytes.
//!
//! Held true by the unit test below.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

/// Encoded tiles by address, at most `capacity_bytes` together.
#[derive(Debug)]
pub(crate) struct ByteCache<K> {
    capacity_bytes: usize,
    n_byte: usize,
    clock: u64,
    entries: HashMap<K, (Arc<[u8]>, u64)>,
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash> ByteCache<K> {
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        Self { capacity_bytes, n_byte: 0, clock: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    /// The tile, which now counts as used last.
    pub(crate) fn get(&mut self, key: &K) -> Option<Arc<[u8]>> {
        self.clock += 1;
        let (bytes, used) = self.entries.get_mut(key)?;
        self.order.remove(used);
        *used = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(Arc::clone(bytes))
    }

    /// Keeps a tile; one larger than the whole cache is not kept.
    pub(crate) fn insert(&mut self, key: K, bytes: Arc<[u8]>) {
        self.remove(&key);
        if bytes.len() > self.capacity_bytes {
            return;
        }
        while self.n_byte + bytes.len() > self.capacity_bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some((gone, _)) = self.entries.remove(&oldest) {
                self.n_byte -= gone.len();
            }
        }
        self.clock += 1;
        self.n_byte += bytes.len();
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, (bytes, self.clock));
    }

    /// Drops the tiles that do not satisfy `keep`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.entries.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// Bytes of all tiles together.
    pub(crate) fn n_byte(&self) -> usize {
        self.n_byte
    }

    fn remove(&mut self, key: &K) {
        if let Some((bytes, used)) = self.entries.remove(key) {
            self.order.remove(&used);
            self.n_byte -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_the_used_stay() {
        let tile = |n: usize| Arc::<[u8]>::from(vec![0; n]);
        let mut cache = ByteCache::new(10);
        cache.insert(1, tile(4));
        cache.insert(2, tile(4));
        assert!(cache.get(&1).is_some());
        cache.insert(3, tile(4));
        assert!(cache.get(&2).is_none(), "the least recently used goes");
        assert!(cache.get(&1).is_some() && cache.get(&3).is_some());
        cache.insert(1, tile(6));
        assert_eq!(cache.n_byte(), 10);
        cache.insert(4, tile(11));
        assert!(cache.get(&4).is_none());
        cache.retain(|&key| key == 3);
        assert_eq!(cache.n_byte(), 4);
    }
}
