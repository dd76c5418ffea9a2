//! What can go wrong with a case book, by what the caller can do about it.

use std::path::{Path, PathBuf};

use eosin_core::Hint;
use rusqlite::ErrorCode;

/// Why the case book could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// Another program is writing.
    #[error("another program holds the case book {}", path.display())]
    Locked {
        /// The case book.
        path: PathBuf,
    },
    /// No room on the disk; what was there is unharmed.
    #[error("the disk is full: nothing was written to {}", path.display())]
    Full {
        /// What was to be written.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("the case book is damaged: {}", path.display())]
    Corrupt {
        /// The case book.
        path: PathBuf,
        /// As SQLite says it.
        source: rusqlite::Error,
    },
    /// The file may not be read or written.
    #[error("the case book cannot be written: {}", path.display())]
    Denied {
        /// The case book.
        path: PathBuf,
    },
    /// Written by a later version of the program.
    #[error("the case book has version {found}, this program knows {known}: {}", path.display())]
    Newer {
        /// The file's version.
        found: i64,
        /// The latest version that is known.
        known: i64,
        /// The case book.
        path: PathBuf,
    },
    /// A database, but somebody else's.
    #[error("this is no case book: {}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No such chat, turn, answer or picture.
    #[error("the case book has no {what} {id}")]
    Absent {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// Larger than a case book takes.
    #[error("{what} is larger than a case book takes: {size} of at most {most}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large.
        size: u64,
        /// How large it may be.
        most: u64,
    },
    /// The answer has ended already, or the turn belongs elsewhere.
    #[error("{0}")]
    Misplaced(&'static str),
    /// A document could not be made.
    #[error("the {format} document could not be made: {reason}")]
    Document {
        /// Its format.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// Anything else that SQLite says.
    #[error("the case book failed: {}", path.display())]
    Database {
        /// The case book.
        path: PathBuf,
        /// As SQLite says it.
        source: rusqlite::Error,
    },
}

impl Hint for CaseError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("close the other program, or try again when it has finished"),
            Self::Full { .. } => Some("free some space on the disk and try again"),
            Self::Corrupt { .. } => {
                Some("open it again: it is copied aside and rebuilt from what is readable")
            }
            Self::Denied { .. } => Some("make the file and its folder writable for you"),
            Self::Newer { .. } => Some("use the version of eosin that wrote it, or a later one"),
            Self::Foreign { .. } => Some("choose another file for the case book; this one was left as it is"),
            Self::Absent { what: "chat", .. } => Some("`eosin case list` names the chats"),
            Self::TooLarge { what: "a picture", .. } => Some("ask about a smaller region"),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some space on the disk and try again")
            }
            Self::File { .. }
            | Self::Absent { .. }
            | Self::TooLarge { .. }
            | Self::Misplaced(_)
            | Self::Document { .. }
            | Self::Database { .. } => None,
        }
    }
}

/// Sorts what SQLite says by what the caller can do.
pub(crate) fn sorted(source: rusqlite::Error, path: &Path) -> CaseError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CaseError::Locked { path },
        Some(ErrorCode::DiskFull) => CaseError::Full { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CaseError::Corrupt { path, source },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            CaseError::Denied { path }
        }
        _ => CaseError::Database { path, source },
    }
}

/// An error of a file, with which one.
pub(crate) fn at(path: &Path) -> impl Fn(std::io::Error) -> CaseError {
    let path = path.to_owned();
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull => CaseError::Full { path: path.clone() },
        _ => CaseError::File { path: path.clone(), source },
    }
}

/// What goes wrong inside, before it is known which file it went wrong with.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// SQLite said no.
    Sql(rusqlite::Error),
    /// We did.
    Case(CaseError),
}

/// The outcome of a step inside.
pub(crate) type Outcome<T> = Result<T, Trouble>;

impl Trouble {
    /// The error for the caller.
    pub(crate) fn told(self, path: &Path) -> CaseError {
        match self {
            Self::Sql(source) => sorted(source, path),
            Self::Case(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(source: rusqlite::Error) -> Self {
        Self::Sql(source)
    }
}

impl From<CaseError> for Trouble {
    fn from(error: CaseError) -> Self {
        Self::Case(error)
    }
}
