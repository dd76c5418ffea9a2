//! The models a person can choose from: the demonstration, installed bundles, and files chosen before.
//!
//! Bundles lie in `models/` of the data folder; models elsewhere are remembered by path in `models.json`. Each is
//! looked at without being loaded: licence, size, and the memory that it needs beside what is free. One that cannot
//! be opened is listed with the reason. Held true by the tests below.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use eosin_core::{Hint as _, error_chain};
use eosin_session::{BundleSource, ModelBundle, ModelCard, memory};
use serde::{Deserialize, Serialize};

use crate::atomic::{Readers, write_whole};
use crate::error::{ErrorReport, WorkbenchError};

/// Folder of installed bundles in the data folder.
const FOLDER: &str = "models";
/// File of remembered paths in the data folder.
const REMEMBERED: &str = "models.json";
/// No such file is larger.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Paths remembered at most.
const MOST_REMEMBERED: usize = 32;

/// A model elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Remembered {
    model: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mmproj: Option<PathBuf>,
}

/// A model that can be chosen.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// How to open it.
    pub source: BundleSource,
    /// What it says of itself, or why it cannot be opened.
    pub card: Result<ModelCard, ErrorReport>,
    /// Whether its memory is free now; unknown where the system does not say.
    pub fits: Option<bool>,
}

/// The models of a data folder.
#[derive(Clone, Debug)]
pub struct ModelShelf {
    folder: PathBuf,
}

impl ModelShelf {
    /// The shelf of a data folder, which need not exist.
    pub fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.to_owned() }
    }

    /// Every model there is to choose, the demonstration first. Opens each: not for the thread of a window.
    pub fn list(&self) -> Vec<ModelEntry> {
        let mut sources = vec![BundleSource::Demo];
        let mut add = |model: PathBuf, mmproj: Option<PathBuf>| {
            let source = BundleSource::Files { model, mmproj };
            if !sources.contains(&source) {
                sources.push(source);
            }
        };
        let entries = fs::read_dir(self.folder.join(FOLDER)).into_iter().flatten().flatten();
        let mut installed: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        installed.sort();
        for path in installed {
            let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
            // A projector is no model of its own.
            if path.is_dir() || is_gguf && !is_projector(&path) {
                let mmproj = if is_gguf { projector_beside(&path) } else { None };
                add(path, mmproj);
            }
        }
        for remembered in self.remembered() {
            add(remembered.model, remembered.mmproj);
        }
        sources.into_iter().map(entry).collect()
    }

    /// Remembers a model elsewhere; the one used last comes first.
    ///
    /// # Errors
    /// [`WorkbenchError::Keep`] where the data folder cannot be written.
    pub fn remember(&self, source: &BundleSource) -> Result<(), WorkbenchError> {
        let BundleSource::Files { model, mmproj } = source else { return Ok(()) };
        if model.starts_with(self.folder.join(FOLDER)) {
            return Ok(());
        }
        let chosen = Remembered { model: model.clone(), mmproj: mmproj.clone() };
        let mut all = self.remembered();
        all.retain(|old| *old != chosen);
        all.insert(0, chosen);
        all.truncate(MOST_REMEMBERED);
        self.write(&all)
    }

    /// Forgets a model elsewhere; its files stay.
    ///
    /// # Errors
    /// As [`Self::remember`].
    pub fn forget(&self, source: &BundleSource) -> Result<(), WorkbenchError> {
        let BundleSource::Files { model, .. } = source else { return Ok(()) };
        let mut all = self.remembered();
        all.retain(|old| old.model != *model);
        self.write(&all)
    }

    fn remembered(&self) -> Vec<Remembered> {
        let path = self.folder.join(REMEMBERED);
        if !fs::metadata(&path).is_ok_and(|meta| meta.len() <= MAX_FILE_BYTES) {
            return Vec::new();
        }
        // A list that cannot be read is no loss: its models can be chosen again.
        fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn write(&self, all: &[Remembered]) -> Result<(), WorkbenchError> {
        let path = self.folder.join(REMEMBERED);
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            write_whole(&path, Readers::Owner, |file| file.write_all(&serde_json::to_vec_pretty(all)?))
        };
        write().map_err(|error| WorkbenchError::Keep {
            what: "the list of models",
            cause: error.to_string().into(),
        })
    }
}

/// Looks at a model without loading it.
pub fn entry(source: BundleSource) -> ModelEntry {
    let card = ModelBundle::open_source(&source).map(|bundle| bundle.card()).map_err(|error| ErrorReport {
        code: "model".to_owned(),
        message: error_chain(&error),
        hint: error.hint().map(str::to_owned),
    });
    let needed = card.as_ref().ok().map(|card| card.needed_bytes);
    let fits = needed.zip(memory::available_bytes()).map(|(needed, free)| needed <= free);
    ModelEntry { source, card, fits }
}

/// The vision part that belongs to a GGUF file: the only projector beside it.
pub fn projector_beside(model: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(model.parent()?).ok()?.flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| is_projector(path)).collect();
    if found.len() == 1 { found.pop() } else { None }
}

/// Whether a file is a projector, by the name that they all have.
fn is_projector(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.contains("mmproj") && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gguf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_listed_with_what_is_wrong_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = ModelShelf::new(folder.path());
        let models = folder.path().join(FOLDER);
        fs::create_dir_all(models.join("broken")).unwrap();
        fs::write(models.join("a.gguf"), b"no").unwrap();
        fs::write(models.join("a-mmproj-f16.gguf"), b"no").unwrap();
        fs::write(models.join("notes.txt"), b"no").unwrap();
        let elsewhere = BundleSource::Files { model: "/nowhere/x.gguf".into(), mmproj: None };
        shelf.remember(&elsewhere).unwrap();
        shelf.remember(&elsewhere).unwrap();
        let list = shelf.list();
        let paths: Vec<_> = list
            .iter()
            .map(|entry| match &entry.source {
                BundleSource::Demo => ("demo".to_owned(), false),
                BundleSource::Files { model, mmproj } => {
                    (model.file_name().unwrap().to_string_lossy().into_owned(), mmproj.is_some())
                }
            })
            .collect();
        let expected = [("demo", false), ("a.gguf", true), ("broken", false), ("x.gguf", false)];
        assert_eq!(paths, expected.map(|(name, has)| (name.to_owned(), has)));
        assert!(list[1..].iter().all(|entry| entry.card.is_err()), "{list:?}");
        shelf.forget(&elsewhere).unwrap();
        assert_eq!(shelf.list().len(), 3);
    }

    #[test]
    fn a_damaged_list_is_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(REMEMBERED), b"{").unwrap();
        assert_eq!(ModelShelf::new(folder.path()).list().len(), 1);
    }
}
