//! Keeps what was used lately, encoded or decoded tiles; the bound is in bytes, and the least recently used go first.
//!
//! Held true by the unit test below.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, at most `capacity_bytes` together. Values are handles, cheap to clone.
#[derive(Debug)]
pub(crate) struct ByteCache<K, V> {
    capacity_bytes: usize,
    n_byte: usize,
    clock: u64,
    entries: HashMap<K, Entry<V>>,
    order: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    n_byte: usize,
    used: u64,
}

impl<K: Clone + Eq + Hash, V: Clone> ByteCache<K, V> {
    pub(crate) fn new(capacity_bytes: usize) -> Self {
        Self { capacity_bytes, n_byte: 0, clock: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    /// The value, which now counts as used last.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        entry.used = self.clock;
        self.order.insert(self.clock, key.clone());
        Some(entry.value.clone())
    }

    /// Keeps a value of `n_byte`; one larger than the whole cache is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, n_byte: usize) {
        self.remove(&key);
        if n_byte > self.capacity_bytes {
            return;
        }
        while self.n_byte + n_byte > self.capacity_bytes {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            if let Some(gone) = self.entries.remove(&oldest) {
                self.n_byte -= gone.n_byte;
            }
        }
        self.clock += 1;
        self.n_byte += n_byte;
        self.order.insert(self.clock, key.clone());
        self.entries.insert(key, Entry { value, n_byte, used: self.clock });
    }

    /// Drops the values whose keys do not satisfy `keep`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        let gone: Vec<K> = self.entries.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// Bytes of all values together.
    pub(crate) fn n_byte(&self) -> usize {
        self.n_byte
    }

    fn remove(&mut self, key: &K) {
        if let Some(gone) = self.entries.remove(key) {
            self.order.remove(&gone.used);
            self.n_byte -= gone.n_byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_the_used_stay() {
        let mut cache = ByteCache::new(10);
        cache.insert(1, 'a', 4);
        cache.insert(2, 'b', 4);
        assert_eq!(cache.get(&1), Some('a'));
        cache.insert(3, 'c', 4);
        assert_eq!(cache.get(&2), None, "the least recently used goes");
        assert_eq!((cache.get(&1), cache.get(&3)), (Some('a'), Some('c')));
        cache.insert(1, 'd', 6);
        assert_eq!((cache.get(&1), cache.n_byte()), (Some('d'), 10));
        cache.insert(4, 'e', 11);
        assert_eq!(cache.get(&4), None);
        cache.retain(|&key| key == 3);
        assert_eq!(cache.n_byte(), 4);
    }
}
