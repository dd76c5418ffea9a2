//! What can go wrong with an index, by what the caller can do about it.

use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::Hint;

/// Why an index cannot be opened, saved or asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no index file: make the index from the vectors.
    #[error("there is no index file {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written: make the index again from the vectors.
    #[error("the index file is damaged {}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Damage,
    },
    /// The file cannot be read or written.
    #[error("cannot use the index file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Vectors of two models have nothing to do with each other.
    #[error("the index holds embeddings of the model {indexed}, these are of {other}")]
    OtherModel {
        /// The model of the index.
        indexed: Arc<str>,
        /// The model of what was brought.
        other: Arc<str>,
    },
    /// Vectors without coordinates, or with too many.
    #[error("vectors of {d_embed} coordinates cannot be indexed")]
    BadDimension {
        /// Coordinates of a vector.
        d_embed: usize,
    },
    /// A key was added twice.
    #[error("the key {key} is in the index already")]
    Occupied {
        /// The key.
        key: u64,
    },
    /// The graph of neighbours fails, mostly for want of memory.
    #[error("the graph of neighbours fails: {cause}")]
    Graph {
        /// Its own words.
        cause: String,
    },
}

impl Hint for IndexError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } | Self::Damaged { .. } => Some("make the index again from its vectors"),
            Self::OtherModel { .. } => Some("use the model that the index was made with, or another index"),
            Self::Io { .. } | Self::BadDimension { .. } | Self::Occupied { .. } | Self::Graph { .. } => None,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Another kind of file.
    #[error("it does not begin as an index file does")]
    NotAnIndex,
    /// Written by another version of the program.
    #[error("it has the format {found}, this program writes {known}")]
    OtherFormat {
        /// The file's format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The header cannot be read.
    #[error("its header cannot be read: {cause}")]
    Header {
        /// What the parser said.
        cause: String,
    },
    /// Cut short, or longer than its header says.
    #[error("it has {found_bytes} bytes and should have {expected_bytes}")]
    Length {
        /// Bytes there are.
        found_bytes: u64,
        /// Bytes by the header.
        expected_bytes: u64,
    },
    /// Bytes changed since it was written.
    #[error("its checksum is another")]
    Checksum,
    /// One vector changed since it was written.
    #[error("the vector {row_idx} has another checksum")]
    Vector {
        /// Its position.
        row_idx: usize,
    },
    /// The graph does not load, or is not that of the keys.
    #[error("its graph does not load: {cause}")]
    Graph {
        /// Why.
        cause: String,
    },
}
