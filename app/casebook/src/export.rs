//! A case as a document to hand on: Markdown, PDF or JSON.
//!
//! Unless names are chosen, nothing that may name a patient goes out: the chat is stripped of them in one place
//! (`names`), before any writer sees it. A document is written beside its place and moved there when it is whole
//! and the audit trail has said that it leaves. Markdown and PDF show the branch that is shown, JSON has all.
//! Held true by `tests/export.rs` of this crate.

mod json;
mod labels;
mod markdown;
mod names;
mod pdf;
mod phrase;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use eosin_core::RgbTile;
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use labels::Labels;

use crate::audit::{self, Action, Head, Subject};
use crate::book::CaseBook;
use crate::chat::{Chat, ChatId, PictureHash};
use crate::digest::hex;
use crate::error::{CaseError, Outcome, at};
use crate::open::beside;
use crate::write::now;
use crate::{picture, read};

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

impl Names {
    fn name(self) -> &'static str {
        match self {
            Self::Hidden => "hidden",
            Self::Shown => "shown",
        }
    }
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

/// What an export wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exported {
    /// The document.
    pub document: PathBuf,
    /// The pictures beside it.
    pub pictures: Vec<PathBuf>,
}

/// All that a writer needs; it may print everything in here.
struct Case {
    /// Stripped of names, unless they are shown.
    chat: Chat,
    /// Pixels of all pictures that go out; a damaged one is not among them.
    pixels: BTreeMap<PictureHash, RgbTile>,
    /// How pictures are named in the folder beside the document.
    folder: String,
    /// When it leaves.
    exported_at: String,
    /// The end of the audit trail before it leaves.
    head: Head,
    names: Names,
    labels: Labels,
}

impl Case {
    /// Where a picture is, seen from the document; a name that is a hash tells nobody's.
    fn place(&self, hash: &PictureHash) -> Option<String> {
        self.pixels.contains_key(hash).then(|| format!("{}/{}", self.folder, picture_file(hash)))
    }
}

fn picture_file(hash: &PictureHash) -> String {
    // A damaged book may hold anything for a hash; what is no hash is no file name.
    let name: String = hash.0.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    format!("{name}.png")
}

impl CaseBook {
    /// Writes a chat as a document; the audit trail says that it left, and its digest.
    pub fn export(
        &self,
        chat: ChatId,
        format: Format,
        options: &ExportOptions,
        path: &Path,
    ) -> Result<Exported, CaseError> {
        self.spare(path)?;
        let case = self.reading(|connection| {
            let whole = read::whole(connection, chat)?;
            let mut pixels = BTreeMap::new();
            if options.images == Images::Included {
                for image in whole.turns.iter().flat_map(|turn| &turn.images) {
                    // What is damaged is said to be missing in the document; the rest goes out.
                    if let Ok(tile) = read::pixels(connection, &image.hash) {
                        pixels.insert(image.hash.clone(), tile);
                    }
                }
            }
            Outcome::Ok(Case {
                chat: names::stripped(whole, options.names, &options.labels),
                pixels,
                folder: folder_name(path),
                exported_at: now(),
                head: audit::last(connection)?,
                names: options.names,
                labels: options.labels.clone(),
            })
        })?;
        let bytes = match format {
            Format::Markdown => markdown::write(&case).into_bytes(),
            Format::Json => json::write(&case).into_bytes(),
            Format::Pdf => pdf::write(&case)?,
        };
        let mut placed = Placed::default();
        if format != Format::Pdf {
            placed.pictures(path, &case)?;
        }
        let unfinished = beside(path, "unfinished");
        placed.write(&unfinished, &bytes)?;
        let detail = json!({
            "format": format.name(),
            "images": case.pixels.len(),
            "names": options.names.name(),
        });
        let digest = Some(hex(&Sha256::digest(&bytes)));
        self.writing(&mut self.lock(), |transaction| {
            audit::append(transaction, Action::ChatExported, Subject::of(chat), digest, detail)
        })?;
        std::fs::rename(&unfinished, path).map_err(at(path))?;
        placed.stay();
        Ok(Exported { document: path.to_owned(), pictures: std::mem::take(&mut placed.pictures) })
    }
}

/// The folder beside a document: named after it.
fn folder_name(path: &Path) -> String {
    format!("{}-images", path.file_stem().unwrap_or_default().to_string_lossy())
}

/// What was put into the world so far; taken back unless it stays.
#[derive(Default)]
struct Placed {
    files: Vec<PathBuf>,
    folder: Option<PathBuf>,
    pictures: Vec<PathBuf>,
}

impl Placed {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CaseError> {
        self.files.push(path.to_owned());
        std::fs::write(path, bytes).map_err(at(path))
    }

    fn pictures(&mut self, document: &Path, case: &Case) -> Result<(), CaseError> {
        if case.pixels.is_empty() {
            return Ok(());
        }
        let folder = document.with_file_name(&case.folder);
        if !folder.is_dir() {
            std::fs::create_dir(&folder).map_err(at(&folder))?;
            self.folder = Some(folder.clone());
        }
        for (hash, tile) in &case.pixels {
            let path = folder.join(picture_file(hash));
            // Encoded anew: a file that holds pixels and nothing else.
            let png = picture::encode(tile)?;
            if path.exists() {
                std::fs::write(&path, &png).map_err(at(&path))?;
            } else {
                self.write(&path, &png)?;
            }
            self.pictures.push(path);
        }
        Ok(())
    }

    fn stay(&mut self) {
        self.files.clear();
        self.folder = None;
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
