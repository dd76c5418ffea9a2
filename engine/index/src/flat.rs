//! The exact index: every vector is compared.
//!
//! The reference that the graph's recall is measured against, and the better choice for some thousand vectors.

use eosin_core::Embedding;

use crate::{IndexError, Neighbour, Space, dot, sort_best_first};

/// Vectors in memory, compared one by one.
///
/// ```
/// # use eosin_core::Embedding;
/// # use eosin_index::{FlatIndex, Space};
/// let tile = |values: [f32; 2]| Embedding::new("m".into(), values.to_vec());
/// let mut index = FlatIndex::new(Space { model: "m".into(), d_embed: 2 })?;
/// index.add(7, &tile([1.0, 0.0])?)?;
/// index.add(8, &tile([0.0, 1.0])?)?;
/// let found = index.search(&tile([0.6, 0.8])?, 1)?;
/// assert_eq!((found[0].key, found[0].score), (8, 0.8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlatIndex {
    space: Space,
    keys: Vec<u64>,
    values: Vec<f32>,
}

impl FlatIndex {
    /// An index without vectors.
    ///
    /// # Errors
    /// [`IndexError::BadDimension`].
    pub fn new(space: Space) -> Result<Self, IndexError> {
        space.check_size()?;
        Ok(Self { space, keys: Vec::new(), values: Vec::new() })
    }

    /// Number of vectors.
    pub fn n_vector(&self) -> usize {
        self.keys.len()
    }

    /// Adds a vector; a key may be used once.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn add(&mut self, key: u64, embedding: &Embedding) -> Result<(), IndexError> {
        self.space.check(embedding)?;
        self.keys.push(key);
        self.values.extend_from_slice(embedding.values());
        Ok(())
    }

    /// The `n` nearest, best first.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn search(&self, query: &Embedding, n: usize) -> Result<Vec<Neighbour>, IndexError> {
        self.space.check(query)?;
        let rows = self.keys.iter().zip(self.values.chunks_exact(self.space.d_embed));
        let mut found: Vec<Neighbour> =
            rows.map(|(key, row)| Neighbour { key: *key, score: dot(query.values(), row) }).collect();
        if n < found.len() && n > 0 {
            found.select_nth_unstable_by(n - 1, |a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
        }
        found.truncate(n);
        sort_best_first(&mut found);
        Ok(found)
    }
}
