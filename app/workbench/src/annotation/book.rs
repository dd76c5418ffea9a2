//! The annotations of one slide, on the disk after every edit.
//!
//! An edit is done in memory, then the file is written whole beside the old one and renamed; the old one stays as
//! `.bak`. A save that fails changes nothing of that: the book says so ([`SaveState::Unsaved`]) and saves with
//! the next edit. A damaged file is copied aside, and what can be read of it, filled up from `.bak`, goes on.
//! Another program's edit (a second window, `eosin annotate import`) is taken over before ours is added, under
//! a lock. Held true by `book/tests.rs`.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosin_core::SlideId;
use eosin_core::annotation::{Annotation, AnnotationId};

use super::geojson::{self, FEATURES_MAX, FILE_BYTES_MAX, Reading, Refusal};
use super::undo::{Action, UndoStack};
use super::{AnnotationError, Feature, derived_annotation_id, on_grid};
use crate::atomic::{Readers, Stamp, keep_copy, lock_in, make_folder, set_aside, write_whole};

/// A change that a person makes; one step to take back.
#[derive(Clone, PartialEq, Debug)]
pub enum Edit {
    /// A new annotation, on top of the others.
    Add(Annotation),
    /// The annotation of this name becomes this.
    Change(Annotation),
    /// It goes.
    Remove(AnnotationId),
    /// Several changes as one.
    All(Vec<Edit>),
}

/// Whether what is in memory is on the disk.
#[derive(Clone, Debug)]
pub enum SaveState {
    /// It is.
    Saved,
    /// It is not, because of this; the next edit or [`AnnotationBook::save`] tries again.
    Unsaved(Arc<AnnotationError>),
}

/// What opening a book found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opening {
    /// No annotations yet.
    Fresh,
    /// All of them.
    Whole,
    /// A damaged or missing file: what could be read goes on.
    Repaired {
        /// Copy of the damaged file; none where the file was missing.
        kept_aside: Option<PathBuf>,
        /// Annotations that were read.
        n_kept: usize,
        /// Of these, taken from the older copy.
        n_from_backup: usize,
        /// Features that make no sense.
        n_refused: usize,
        /// What was wrong.
        reason: String,
    },
}

/// What an import did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Imported {
    /// New annotations.
    pub n_added: usize,
    /// Annotations of the same name that changed.
    pub n_replaced: usize,
    /// Annotations that were there already, the same.
    pub n_unchanged: usize,
    /// Annotations with holes: kept, drawn, and left out of their area.
    pub n_holed: usize,
    /// Features of several parts, each of which became an annotation.
    pub n_split: usize,
    /// Features that make no sense.
    pub n_refused: usize,
    /// The first of these, and why.
    pub refused: Vec<Refusal>,
}

/// The annotations of one slide.
#[derive(Debug)]
pub struct AnnotationBook {
    path: PathBuf,
    features: Vec<Feature>,
    undo: UndoStack,
    state: SaveState,
    stamp: Option<Stamp>,
}

impl AnnotationBook {
    /// Opens the annotations of a slide in a folder, which is made with the first edit.
    ///
    /// # Errors
    /// [`AnnotationError::Read`] and [`AnnotationError::TooLarge`] for a file that is there and cannot be read:
    /// it must not be written over.
    pub fn open(folder: &Path, slide: &SlideId) -> Result<(Self, Opening), AnnotationError> {
        let path = folder.join(format!("{}.geojson", file_stem(slide)));
        let mut book = Self {
            path,
            features: Vec::new(),
            undo: UndoStack::default(),
            state: SaveState::Saved,
            stamp: None,
        };
        let opening = book.load()?;
        Ok((book, opening))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All annotations, the topmost last.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &Annotation> {
        self.features.iter().map(|feature| &feature.annotation)
    }

    /// All annotations with what their files said beyond them.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The annotation of a name.
    pub fn get(&self, id: &AnnotationId) -> Option<&Feature> {
        self.features.iter().find(|feature| feature.annotation.id == *id)
    }

    /// Whether all is on the disk.
    pub fn state(&self) -> &SaveState {
        &self.state
    }

    /// Steps that can be taken back.
    pub fn n_undo(&self) -> usize {
        self.undo.n_done()
    }

    /// Steps that can be done again.
    pub fn n_redo(&self) -> usize {
        self.undo.n_undone()
    }

    /// Changes something and saves it. A failed save is no error of the edit: [`AnnotationBook::state`] has it.
    ///
    /// # Errors
    /// [`AnnotationError::NoSuch`], [`AnnotationError::Taken`], [`AnnotationError::Unsound`],
    /// [`AnnotationError::TooMany`]; then nothing has changed.
    pub fn apply(&mut self, edit: Edit) -> Result<&SaveState, AnnotationError> {
        let _lock = self.take_over();
        let mut step = Vec::new();
        let mut draft = Draft::new(&self.features);
        draft.plan(edit, &mut step)?;
        if !step.is_empty() {
            self.undo.act(&mut self.features, step);
            self.write();
        }
        Ok(&self.state)
    }

    /// Takes the last step back and saves; false where there is none.
    pub fn undo(&mut self) -> bool {
        let _lock = self.take_over();
        let done = self.undo.undo(&mut self.features);
        if done {
            self.write();
        }
        done
    }

    /// Does again what was taken back last, and saves; false where there is nothing.
    pub fn redo(&mut self) -> bool {
        let _lock = self.take_over();
        let done = self.undo.redo(&mut self.features);
        if done {
            self.write();
        }
        done
    }

    /// Tries again to save what is not on the disk.
    pub fn save(&mut self) -> &SaveState {
        if matches!(self.state, SaveState::Unsaved(_)) {
            let _lock = self.take_over();
            self.write();
        }
        &self.state
    }

    /// Takes over what another program has saved meanwhile; true where there was something. The steps to take
    /// back then end here.
    pub fn refresh(&mut self) -> bool {
        let before = self.stamp;
        let _lock = self.take_over();
        self.stamp != before
    }

    /// Adds the annotations of a GeoJSON file as one step. Those whose names are known here are replaced.
    ///
    /// # Errors
    /// [`AnnotationError::Read`], [`AnnotationError::TooLarge`], [`AnnotationError::NotGeoJson`],
    /// [`AnnotationError::TooMany`]; then nothing has changed.
    pub fn import(&mut self, file: &Path) -> Result<Imported, AnnotationError> {
        let bytes = read_bounded(file).map_err(|fault| fault.at(file))?;
        let Reading { features, refused, n_refused, n_holed, n_split, fault } = geojson::read(&bytes);
        if let Some(reason) = fault {
            return Err(AnnotationError::NotGeoJson { path: file.to_path_buf(), reason });
        }
        let _lock = self.take_over();
        let mut imported = Imported { n_holed, n_split, n_refused, refused, ..Imported::default() };
        let places: HashMap<AnnotationId, usize> =
            self.features.iter().enumerate().map(|(at, known)| (known.annotation.id.clone(), at)).collect();
        let mut step = Vec::new();
        for feature in features {
            match places.get(&feature.annotation.id) {
                Some(&at) if self.features[at] == feature => imported.n_unchanged += 1,
                Some(&at) => {
                    imported.n_replaced += 1;
                    step.push(Action::Replace(at, Box::new(feature)));
                }
                None => {
                    step.push(Action::Insert(self.features.len() + imported.n_added, Box::new(feature)));
                    imported.n_added += 1;
                }
            }
        }
        if self.features.len() + imported.n_added > FEATURES_MAX {
            return Err(AnnotationError::TooMany { limit: FEATURES_MAX });
        }
        if !step.is_empty() {
            self.undo.act(&mut self.features, step);
            self.write();
        }
        Ok(imported)
    }

    /// Writes all annotations to a GeoJSON file that QuPath reads.
    ///
    /// # Errors
    /// [`AnnotationError::Write`].
    pub fn export(&self, file: &Path) -> Result<(), AnnotationError> {
        write_whole(file, Readers::AsUsual, |out| geojson::write(&self.features, out))
            .map_err(|source| AnnotationError::Write { path: file.to_path_buf(), source })
    }

    fn backup(&self) -> PathBuf {
        self.path.with_extension("geojson.bak")
    }

    /// Reads the file, or what is left of it.
    fn load(&mut self) -> Result<Opening, AnnotationError> {
        self.stamp = Stamp::of(&self.path);
        let reading = match read_bounded(&self.path) {
            Ok(bytes) => geojson::read(&bytes),
            Err(Unread::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                // Only a removal leaves the copy alone: a save never does.
                let backup =
                    read_bounded(&self.backup()).map(|bytes| geojson::read(&bytes)).unwrap_or_default();
                if backup.features.is_empty() {
                    self.features = Vec::new();
                    return Ok(Opening::Fresh);
                }
                let n_kept = backup.features.len();
                self.features = backup.features;
                self.write();
                return Ok(Opening::Repaired {
                    kept_aside: None,
                    n_kept,
                    n_from_backup: n_kept,
                    n_refused: backup.n_refused,
                    reason: "the file is missing".into(),
                });
            }
            Err(fault) => return Err(fault.at(&self.path)),
        };
        self.features = reading.features;
        if reading.fault.is_none() && reading.n_refused == 0 {
            return Ok(Opening::Whole);
        }
        let reason = reading.fault.or_else(|| reading.refused.first().map(|refusal| refusal.reason.clone()));
        let read_error = |source| AnnotationError::Read { path: self.path.clone(), source };
        let kept_aside = set_aside(&self.path).map_err(read_error)?;
        // At most the last edit lies between the two: what one lacks, the other has.
        let backup = read_bounded(&self.backup()).map(|bytes| geojson::read(&bytes)).unwrap_or_default();
        let known: HashSet<_> = self.list().map(|annotation| annotation.id.clone()).collect();
        let missing: Vec<_> =
            backup.features.into_iter().filter(|old| !known.contains(&old.annotation.id)).collect();
        let n_from_backup = missing.len();
        self.features.extend(missing);
        // The damaged file must not become the copy of the last whole one.
        let _ = std::fs::remove_file(&self.path);
        self.write();
        Ok(Opening::Repaired {
            kept_aside: Some(kept_aside),
            n_kept: self.features.len(),
            n_from_backup,
            n_refused: reading.n_refused,
            reason: reason.unwrap_or_default(),
        })
    }

    /// Keeps other programs out, and takes over what they saved since we last looked. Where our own state is
    /// not on the disk, theirs is copied aside rather than lost.
    fn take_over(&mut self) -> Option<File> {
        let lock = self.path.parent().and_then(lock_in);
        let now = Stamp::of(&self.path);
        if now.is_none() || now == self.stamp {
            return lock;
        }
        if matches!(self.state, SaveState::Unsaved(_)) {
            let _ = set_aside(&self.path);
            self.stamp = now;
        } else {
            let ours = std::mem::take(&mut self.features);
            if self.load().is_ok() {
                self.undo = UndoStack::default();
            } else {
                self.features = ours;
            }
        }
        lock
    }

    fn write(&mut self) {
        let written = (|| {
            if let Some(folder) = self.path.parent() {
                make_folder(folder)?;
            }
            if self.path.exists() {
                keep_copy(&self.path, &self.backup())?;
            }
            write_whole(&self.path, Readers::Owner, |out| geojson::write(&self.features, out))
        })();
        self.state = match written {
            Ok(()) => {
                self.stamp = Stamp::of(&self.path);
                SaveState::Saved
            }
            Err(source) => {
                SaveState::Unsaved(Arc::new(AnnotationError::Write { path: self.path.clone(), source }))
            }
        };
    }
}

/// Plans the actions of an edit on the list as the earlier ones of the same edit will have left it.
struct Draft<'a> {
    features: std::borrow::Cow<'a, [Feature]>,
}

impl<'a> Draft<'a> {
    fn new(features: &'a [Feature]) -> Self {
        Self { features: features.into() }
    }

    fn plan(&mut self, edit: Edit, step: &mut Vec<Action>) -> Result<(), AnnotationError> {
        match edit {
            Edit::All(edits) => {
                // Only where one edit may depend on another is the list copied.
                let _ = self.features.to_mut();
                for edit in edits {
                    self.plan(edit, step)?;
                }
                return Ok(());
            }
            Edit::Add(annotation) => {
                let annotation = sound(annotation)?;
                if self.place(&annotation.id).is_some() {
                    return Err(AnnotationError::Taken { id: annotation.id });
                }
                if self.features.len() >= FEATURES_MAX {
                    return Err(AnnotationError::TooMany { limit: FEATURES_MAX });
                }
                self.push(Action::Insert(self.features.len(), Box::new(annotation.into())), step);
            }
            Edit::Change(annotation) => {
                let annotation = sound(annotation)?;
                let at = self.place(&annotation.id);
                let at = at.ok_or_else(|| AnnotationError::NoSuch { id: annotation.id.clone() })?;
                let mut feature = self.features[at].clone();
                feature.change(annotation);
                if feature != self.features[at] {
                    self.push(Action::Replace(at, Box::new(feature)), step);
                }
            }
            Edit::Remove(id) => {
                let at = self.place(&id).ok_or(AnnotationError::NoSuch { id })?;
                self.push(Action::Delete(at), step);
            }
        }
        Ok(())
    }

    fn place(&self, id: &AnnotationId) -> Option<usize> {
        self.features.iter().position(|feature| feature.annotation.id == *id)
    }

    fn push(&mut self, action: Action, step: &mut Vec<Action>) {
        if let std::borrow::Cow::Owned(features) = &mut self.features {
            action.clone().act(features);
        }
        step.push(action);
    }
}

fn sound(mut annotation: Annotation) -> Result<Annotation, AnnotationError> {
    if !annotation.shape.is_sound() {
        return Err(AnnotationError::Unsound);
    }
    annotation.shape = on_grid(&annotation.shape);
    Ok(annotation)
}

/// The name of a slide's file: its id, which is hexadecimal, else a hash of whatever it is.
fn file_stem(slide: &SlideId) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !slide.0.is_empty() && slide.0.len() <= 128 && slide.0.bytes().all(plain) {
        return slide.0.clone();
    }
    derived_annotation_id(&[slide.0.as_bytes()]).0
}

/// Why a file is not in memory.
enum Unread {
    Io(io::Error),
    TooLarge(u64),
}

impl Unread {
    fn at(self, path: &Path) -> AnnotationError {
        let path = path.to_path_buf();
        match self {
            Self::Io(source) => AnnotationError::Read { path, source },
            Self::TooLarge(n_byte) => AnnotationError::TooLarge { path, n_byte, limit: FILE_BYTES_MAX },
        }
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, Unread> {
    let meta = std::fs::metadata(path).map_err(Unread::Io)?;
    if !meta.is_file() {
        return Err(Unread::Io(io::Error::other("not a file")));
    }
    if meta.len() > FILE_BYTES_MAX {
        return Err(Unread::TooLarge(meta.len()));
    }
    let mut bytes = Vec::new();
    // One byte more than is read shows a file that grew.
    let mut file = File::open(path).map_err(Unread::Io)?.take(FILE_BYTES_MAX + 1);
    file.read_to_end(&mut bytes).map_err(Unread::Io)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Unread::TooLarge(bytes.len() as u64));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
