//! What can go wrong with a library, by what the caller can do about it.

use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::Hint;
use eosin_index::IndexError;
use eosin_session::embed::EmbedError;
use eosin_slide::SlideError;

/// Why a library cannot be opened, filled or asked.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The library holds embeddings of another model.
    #[error("the library was made with the model {indexed}; embeddings of {other} do not belong in it")]
    OtherModel {
        /// The library's model.
        indexed: String,
        /// The one that was brought.
        other: String,
    },
    /// Nothing was indexed yet, so that there is nothing to compare with.
    #[error("the library is empty")]
    Empty,
    /// Made by a newer program.
    #[error("the library has format {format}; this program knows format {known}")]
    Newer {
        /// Its format.
        format: i64,
        /// Ours.
        known: i64,
    },
    /// Another program holds the database.
    #[error("the library is locked by another program")]
    Locked,
    /// The disk is full.
    #[error("there is no room left for the library")]
    Full,
    /// The database was damaged while it was open.
    #[error("the library's database is damaged")]
    Damaged {
        /// The database's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database refuses for another reason.
    #[error("the library's database refuses to {doing}")]
    Database {
        /// What was tried.
        doing: &'static str,
        /// The database's own words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database has no vectors.
    #[error("the server has no extension `vector`")]
    NoVectors,
    /// The connection string is not usable.
    #[error("the library's place is not usable: {cause}")]
    BadPlace {
        /// What is wrong with it, without a password.
        cause: String,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A name that is no text cannot be kept.
    #[error("the name is not valid UTF-8: {}", path.display())]
    NoText {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nothing of this name or number is in the library.
    #[error("there is no such {what} in the library")]
    Unknown {
        /// What was looked for.
        what: &'static str,
    },
    /// The index of vectors.
    #[error("the index of vectors fails")]
    Index {
        /// Why.
        source: IndexError,
    },
    /// The CLIP model.
    #[error("the CLIP model fails")]
    Embed {
        /// Why.
        source: Arc<EmbedError>,
    },
    /// The CLIP model cannot be opened.
    #[error(transparent)]
    NotLoaded(Arc<LibraryError>),
    /// A slide or picture.
    #[error("cannot use the picture")]
    Slide {
        /// Why.
        source: SlideError,
    },
    /// A picture that is to be written does not encode.
    #[error("the picture does not encode")]
    Encode {
        /// Why.
        source: image::ImageError,
    },
    /// No class was named.
    #[error("there is no class to tell apart")]
    NoClass,
    /// Nothing on the slide looks like tissue.
    #[error("no tissue was found on the slide")]
    NoTissue,
    /// A bug of this program.
    #[error("a bug of this program: {message}")]
    Panic {
        /// The panic's words.
        message: String,
    },
    /// The thread of the model has ended.
    #[error("the thread of the CLIP model has ended")]
    Gone,
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl Hint for LibraryError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OtherModel { .. } => {
                Some("use the model that the library was made with, or another library")
            }
            Self::Empty => Some("add a folder or slide with `eosin index add`"),
            Self::Newer { .. } => Some("update this program"),
            Self::Locked => Some("close the other program, or wait until it has finished"),
            Self::Full => Some("make room on the disk, and go on: nothing that was stored is lost"),
            Self::Damaged { .. } => Some("open the library again: what can be read is then rebuilt"),
            Self::NoVectors => Some("install pgvector for this server (Debian: postgresql-15-pgvector)"),
            Self::BadPlace { .. } => Some("give a folder, or postgres://user@host/database"),
            Self::Index { source } => source.hint(),
            Self::Embed { source } => source.hint(),
            Self::NotLoaded(error) => error.hint(),
            Self::Slide { source } => source.hint(),
            Self::NoClass => Some("name at least one class"),
            Self::NoTissue => Some("lower the share of tissue that a tile must have"),
            Self::Database { .. }
            | Self::Io { .. }
            | Self::NoText { .. }
            | Self::Unknown { .. }
            | Self::Encode { .. }
            | Self::Panic { .. }
            | Self::Gone
            | Self::Stopped => None,
        }
    }
}

impl From<IndexError> for LibraryError {
    fn from(source: IndexError) -> Self {
        Self::Index { source }
    }
}

impl From<SlideError> for LibraryError {
    fn from(source: SlideError) -> Self {
        Self::Slide { source }
    }
}
