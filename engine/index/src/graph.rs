//! The fast index: candidates by a graph of half-precision vectors (HNSW, Malkov and Yashunin 2016, as `usearch`
//! builds it), then ordered by their exact cosines.
//!
//! Half precision is wrong in the fourth decimal of a cosine, which changes the order of close neighbours; so more
//! candidates are taken than asked for, and their own vectors decide. Few vectors, or few that a filter leaves, are
//! compared one by one. Held true by the tests below, which measure recall against [`FlatIndex`].
//!
//! [`FlatIndex`]: crate::FlatIndex

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use eosin_core::Embedding;
use usearch::{Index, IndexOptions, MetricKind, ScalarKind};

use crate::error::{Damage, IndexError};
use crate::file;
use crate::rows::{RowBuffer, Rows};
use crate::{Neighbour, Space, dot, sort_best_first};

/// Edges of a vertex; twice as many on the lowest layer.
const N_EDGE: usize = 16;
/// Candidates that are looked at when a vertex finds its edges.
const EXPANSION_ADD: usize = 128;
/// Candidates that are looked at in a search.
const EXPANSION_SEARCH: usize = 96;
/// Vectors up to which that width was measured to be enough.
const N_MEASURED: usize = 100_000;
/// Up to so many vectors are compared one by one.
const N_EXACT: usize = 2000;
/// Candidates above those asked for whose order is decided exactly.
const N_SPARE: usize = 22;
/// Vectors that a thread takes at a time when many are added.
const N_AT_ONCE: usize = 64;

/// An index that finds near vectors without comparing all of them.
///
/// ```
/// # use eosin_core::Embedding;
/// # use eosin_index::{Space, VectorIndex};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("index");
/// let tile = |values: [f32; 2]| Embedding::new("m".into(), values.to_vec());
/// let space = Space { model: "m".into(), d_embed: 2 };
/// let index = VectorIndex::new(space.clone())?;
/// index.add(7, &tile([1.0, 0.0])?)?;
/// index.save(&path)?;
/// let again = VectorIndex::open(&path, &space)?;
/// assert_eq!(again.search(&tile([1.0, 0.0])?, 5)?[0].key, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct VectorIndex {
    space: Space,
    inner: Mutex<Inner>,
}

struct Inner {
    graph: Index,
    rows: Rows,
}

impl std::fmt::Debug for VectorIndex {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("VectorIndex").field("space", &self.space).finish_non_exhaustive()
    }
}

impl VectorIndex {
    /// An index without vectors.
    ///
    /// # Errors
    /// [`IndexError::BadDimension`], [`IndexError::Graph`].
    pub fn new(space: Space) -> Result<Self, IndexError> {
        space.check_size()?;
        let graph = new_graph(space.d_embed)?;
        let rows = Rows::new(space.d_embed);
        Ok(Self { space, inner: Mutex::new(Inner { graph, rows }) })
    }

    /// Opens an index file of the same model.
    ///
    /// # Errors
    /// [`IndexError`]: missing, damaged, of another model.
    pub fn open(path: &Path, space: &Space) -> Result<Self, IndexError> {
        let contents = file::read(path)?;
        if contents.space != *space {
            let (indexed, other) = (contents.space.model, space.model.clone());
            return Err(IndexError::OtherModel { indexed, other });
        }
        let damaged =
            |cause: String| IndexError::Damaged { path: path.to_owned(), source: Damage::Graph { cause } };
        let graph = new_graph(space.d_embed)?;
        graph.load_from_buffer(&contents.graph).map_err(|error| damaged(error.to_string()))?;
        drop(contents.graph);
        // What a load takes over from the file.
        graph.change_expansion_add(EXPANSION_ADD);
        graph.change_expansion_search(EXPANSION_SEARCH);
        let keys = &contents.saved.keys;
        if graph.dimensions() != space.d_embed || graph.size() != keys.len() {
            return Err(damaged(format!("{} vertices for {} keys", graph.size(), keys.len())));
        }
        if let Some(key) = keys.iter().find(|key| !graph.contains(**key)) {
            return Err(damaged(format!("the key {key} has no vertex")));
        }
        let rows = Rows::of_file(space.d_embed, contents.saved);
        Ok(Self { space: space.clone(), inner: Mutex::new(Inner { graph, rows }) })
    }

    /// Writes the index to a file; whoever is killed meanwhile leaves the old one whole.
    ///
    /// # Errors
    /// [`IndexError::Io`]: a full disk, a folder that cannot be written; the old file stays as it was.
    pub fn save(&self, path: &Path) -> Result<(), IndexError> {
        let mut inner = self.lock();
        let mut bytes = vec![0; inner.graph.serialized_length()];
        inner.graph.save_to_buffer(&mut bytes).map_err(graph_error)?;
        let saved = file::write(path, &self.space, &bytes, &inner.rows)?;
        inner.rows = Rows::of_file(self.space.d_embed, saved);
        Ok(())
    }

    /// The model and measure of the vectors.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Number of vectors.
    pub fn n_vector(&self) -> usize {
        self.lock().rows.len()
    }

    /// All keys, ascending.
    pub fn keys(&self) -> Vec<u64> {
        self.lock().rows.keys()
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`], [`IndexError::Occupied`], [`IndexError::Graph`].
    pub fn add(&self, key: u64, embedding: &Embedding) -> Result<(), IndexError> {
        self.add_many(&[(key, embedding.values())], embedding.model())
    }

    /// Adds many vectors of one model, on all cores.
    ///
    /// # Errors
    /// As [`Self::add`]; those before the failing one may be in.
    pub fn add_many(&self, vectors: &[(u64, &[f32])], model: &str) -> Result<(), IndexError> {
        let other = || IndexError::OtherModel { indexed: self.space.model.clone(), other: model.into() };
        if *model != *self.space.model || vectors.iter().any(|(_, values)| values.len() != self.space.d_embed)
        {
            return Err(other());
        }
        let mut inner = self.lock();
        let mut sorted: Vec<u64> = vectors.iter().map(|(key, _)| *key).collect();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
        let known = sorted.iter().copied().find(|key| inner.rows.contains(*key));
        if let Some(key) = twice.or(known) {
            return Err(IndexError::Occupied { key });
        }
        let n_needed = inner.graph.size() + vectors.len();
        if n_needed > inner.graph.capacity() {
            inner.graph.reserve(n_needed + n_needed / 2 + 64).map_err(graph_error)?;
        }
        let n_thread = std::thread::available_parallelism().map_or(1, usize::from);
        let n_thread = n_thread.min(vectors.len().div_ceil(N_AT_ONCE)).max(1);
        let graph = &inner.graph;
        let add = |vectors: &[(u64, &[f32])]| {
            vectors.iter().try_for_each(|(key, values)| graph.add(*key, values).map_err(graph_error))
        };
        if n_thread == 1 {
            add(vectors)?;
        } else {
            let next = std::sync::atomic::AtomicUsize::new(0);
            let take = || {
                let at = next.fetch_add(N_AT_ONCE, std::sync::atomic::Ordering::Relaxed);
                vectors
                    .get(at..)
                    .filter(|rest| !rest.is_empty())
                    .map(|rest| &rest[..rest.len().min(N_AT_ONCE)])
            };
            let work = || {
                while let Some(vectors) = take() {
                    add(vectors)?;
                }
                Ok(())
            };
            std::thread::scope(|scope| {
                let threads: Vec<_> = (1..n_thread).map(|_| scope.spawn(work)).collect();
                let own = work();
                threads.into_iter().fold(own, |outcome, thread| {
                    let other = thread.join().unwrap_or_else(|_panic| {
                        Err(IndexError::Graph { cause: "a thread of it panicked".to_owned() })
                    });
                    outcome.and(other)
                })
            })?;
        }
        for (key, values) in vectors {
            inner.rows.add(*key, values);
        }
        Ok(())
    }

    /// Takes a vector out; says whether it was there.
    ///
    /// # Errors
    /// [`IndexError::Graph`].
    pub fn remove(&self, key: u64) -> Result<bool, IndexError> {
        let mut inner = self.lock();
        if !inner.rows.remove(key) {
            return Ok(false);
        }
        inner.graph.remove(key).map_err(graph_error)?;
        Ok(true)
    }

    /// The `n` nearest, best first.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`]; [`IndexError::Damaged`] and [`IndexError::Io`] where the file has suffered since
    /// it was opened: make the index again.
    pub fn search(&self, query: &Embedding, n: usize) -> Result<Vec<Neighbour>, IndexError> {
        self.space.check(query)?;
        let inner = self.lock();
        if inner.rows.len() <= N_EXACT.max(n) {
            return inner.exact(query.values(), n, inner.rows.keys().into_iter());
        }
        inner.graph.change_expansion_search(width(inner.rows.len()));
        let found = inner.graph.search(query.values(), n + n / 2 + N_SPARE).map_err(graph_error)?;
        inner.exact(query.values(), n, found.keys.into_iter())
    }

    /// The `n` nearest among those that `keep` lets through, best first.
    ///
    /// Good where a good part of all is let through; where it is a small part, [`Self::search_among`] is exact and
    /// faster.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn search_where(
        &self,
        query: &Embedding,
        n: usize,
        keep: impl Fn(u64) -> bool,
    ) -> Result<Vec<Neighbour>, IndexError> {
        self.space.check(query)?;
        let inner = self.lock();
        if inner.rows.len() <= N_EXACT.max(n) {
            return inner.exact(query.values(), n, inner.rows.keys().into_iter().filter(|key| keep(*key)));
        }
        inner.graph.change_expansion_search(width(inner.rows.len()));
        let found =
            inner.graph.filtered_search(query.values(), n + n / 2 + N_SPARE, keep).map_err(graph_error)?;
        inner.exact(query.values(), n, found.keys.into_iter())
    }

    /// The `n` nearest of the given keys, compared one by one.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn search_among(
        &self,
        query: &Embedding,
        n: usize,
        keys: impl IntoIterator<Item = u64>,
    ) -> Result<Vec<Neighbour>, IndexError> {
        self.space.check(query)?;
        self.lock().exact(query.values(), n, keys.into_iter())
    }

    /// The vector of a key.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub fn embedding(&self, key: u64) -> Result<Option<Embedding>, IndexError> {
        let mut buffer = RowBuffer::default();
        if self.lock().rows.read(key, &mut buffer)?.is_none() {
            return Ok(None);
        }
        Ok(Embedding::new(self.space.model.clone(), buffer.values).ok())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic of one search must not take the index away from all others.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The `n` best of some keys by their own vectors; unknown keys are passed over.
    fn exact(
        &self,
        query: &[f32],
        n: usize,
        keys: impl Iterator<Item = u64>,
    ) -> Result<Vec<Neighbour>, IndexError> {
        let mut buffer = RowBuffer::default();
        let mut found = Vec::new();
        for key in keys {
            if self.rows.read(key, &mut buffer)?.is_some() {
                found.push(Neighbour { key, score: dot(query, &buffer.values) });
            }
        }
        sort_best_first(&mut found);
        found.truncate(n);
        Ok(found)
    }
}

fn new_graph(d_embed: usize) -> Result<Index, IndexError> {
    let options = IndexOptions {
        dimensions: d_embed,
        metric: MetricKind::IP,
        quantization: ScalarKind::F16,
        connectivity: N_EDGE,
        expansion_add: EXPANSION_ADD,
        expansion_search: EXPANSION_SEARCH,
        multi: false,
    };
    Index::new(&options).map_err(graph_error)
}

/// Vertices looked at for one search: more in a larger graph, which would lose its recall otherwise.
fn width(n_vector: usize) -> usize {
    let growth = (n_vector as f64 / N_MEASURED as f64).powf(0.75).clamp(1.0, 10.0);
    (EXPANSION_SEARCH as f64 * growth) as usize
}

fn graph_error(error: impl std::fmt::Display) -> IndexError {
    IndexError::Graph { cause: error.to_string() }
}

#[cfg(test)]
mod tests;
