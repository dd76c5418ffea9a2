//! Nearest neighbours among embeddings.
//!
//! [`VectorIndex`] finds candidates in a graph of half-precision vectors and orders them by their exact cosines;
//! [`FlatIndex`] compares with every vector and is what the former is measured against. Both hold vectors of one
//! model and refuse those of another. What a key means is the caller's business. An index can always be made
//! again from the vectors, so that a damaged file costs time and nothing else.

mod error;
mod file;
mod flat;
mod graph;
mod rows;

use std::sync::Arc;

use eosin_core::Embedding;

pub use error::{Damage, IndexError};
pub use file::FORMAT;
pub use flat::FlatIndex;
pub use graph::VectorIndex;

/// Which vectors belong together: the model that made them, and how many coordinates they have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    /// Name that the model's embeddings carry.
    pub model: Arc<str>,
    /// Coordinates of a vector.
    pub d_embed: usize,
}

/// Longer vectors are no embeddings of pictures; a file that claims them is damaged.
const D_EMBED_MAX: usize = 1 << 14;

impl Space {
    /// The space of an embedding.
    ///
    /// ```
    /// # use eosin_index::Space;
    /// let tile = eosin_core::Embedding::new("m".into(), vec![3.0, 4.0])?;
    /// assert_eq!(Space::of(&tile), Space { model: "m".into(), d_embed: 2 });
    /// # Ok::<(), eosin_core::EmbeddingError>(())
    /// ```
    pub fn of(embedding: &Embedding) -> Self {
        Self { model: embedding.model().clone(), d_embed: embedding.values().len() }
    }

    /// Refuses embeddings of another model.
    ///
    /// # Errors
    /// [`IndexError::OtherModel`].
    pub fn check(&self, embedding: &Embedding) -> Result<(), IndexError> {
        if *embedding.model() == self.model && embedding.values().len() == self.d_embed {
            return Ok(());
        }
        Err(IndexError::OtherModel { indexed: self.model.clone(), other: embedding.model().clone() })
    }

    fn check_size(&self) -> Result<(), IndexError> {
        if (1..=D_EMBED_MAX).contains(&self.d_embed) {
            return Ok(());
        }
        Err(IndexError::BadDimension { d_embed: self.d_embed })
    }
}

/// A vector that is near the one that was asked for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Neighbour {
    /// What the vector was added under.
    pub key: u64,
    /// Exact cosine, −1…1.
    pub score: f32,
}

/// Best first; equal scores in the order of their keys, so that a search has one answer.
fn sort_best_first(found: &mut [Neighbour]) {
    found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.key.cmp(&b.key)));
}

/// Product of two vectors of one length, in sixteen sums that a processor keeps in one or two registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_whole, a_rest) = a.as_chunks::<LANES>();
    let (b_whole, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_whole.iter().zip(b_whole) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
