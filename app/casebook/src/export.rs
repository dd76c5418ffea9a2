//! A case as a document to hand on: Markdown, PDF or JSON.
//!
//! Unless names are chosen, nothing that may name a patient goes out: no slide names, no paths.

use std::path::{Path, PathBuf};

use crate::book::CaseBook;
use crate::chat::ChatId;
use crate::error::CaseError;

/// What kind of document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text with pictures beside it.
    Markdown,
    /// A report on A4.
    Pdf,
    /// Everything, for machines, with pictures beside it.
    Json,
}

impl Format {
    /// By the ending of a file's name.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "md" | "markdown" => Some(Self::Markdown),
            "pdf" => Some(Self::Pdf),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The name in messages and in the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "Markdown",
            Self::Pdf => "PDF",
            Self::Json => "JSON",
        }
    }
}

/// Whether names of slides may leave the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Names {
    /// They stay: slide names and paths are left out, also where texts repeat them.
    #[default]
    Hidden,
    /// They go out.
    Shown,
}

/// Whether the pictures go with the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Images {
    /// They do.
    #[default]
    Included,
    /// Only their hashes, sizes and places do.
    LeftOut,
}

/// What an export holds.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ExportOptions {
    /// Whether names of slides may leave the record.
    pub names: Names,
    /// Whether the pictures go with the words.
    pub images: Images,
    /// The document's own words.
    pub labels: Labels,
}

/// The document's own words; English unless filled otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Labels {
    /// What is said about use, at the top.
    pub notice: String,
}

impl Default for Labels {
    fn default() -> Self {
        Self { notice: "For research only, not for diagnosis.".to_owned() }
    }
}

/// What an export wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// The document.
    pub document: PathBuf,
    /// The pictures beside it.
    pub pictures: Vec<PathBuf>,
}

impl CaseBook {
    /// Writes a chat as a document; the audit trail says that it left, and its digest.
    pub fn export(
        &self,
        _chat: ChatId,
        format: Format,
        _options: &ExportOptions,
        _path: &Path,
    ) -> Result<Exported, CaseError> {
        Err(CaseError::Document { format: format.name(), reason: "not written yet".to_owned() })
    }
}
