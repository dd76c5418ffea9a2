//! The books of all slides that are open, one for each slide however many windows show it.
//!
//! Held true by the test below.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use eosin_core::SlideId;

use super::{AnnotationBook, AnnotationError, Opening};

/// A book that several threads write in.
pub type SharedBook = Arc<Mutex<AnnotationBook>>;

/// The folder of all books.
#[derive(Debug)]
pub struct AnnotationShelf {
    folder: PathBuf,
    open: Mutex<HashMap<SlideId, Weak<Mutex<AnnotationBook>>>>,
}

impl AnnotationShelf {
    /// A shelf in a folder, which is made with the first edit.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), open: Mutex::default() }
    }

    /// The book of a slide. Who has it already gets the same one; it closes when the last lets it go.
    ///
    /// # Errors
    /// As [`AnnotationBook::open`].
    pub fn book(&self, slide: &SlideId) -> Result<(SharedBook, Opening), AnnotationError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = open.get(slide).and_then(Weak::upgrade) {
            return Ok((book, Opening::Whole));
        }
        let (book, opening) = AnnotationBook::open(&self.folder, slide)?;
        let book = Arc::new(Mutex::new(book));
        open.retain(|_, known| known.strong_count() > 0);
        open.insert(slide.clone(), Arc::downgrade(&book));
        Ok((book, opening))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slide_has_one_book() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = AnnotationShelf::new(folder.path());
        let [a, b] = ["a", "b"].map(|id| SlideId(id.into()));
        let (first, opening) = shelf.book(&a).unwrap();
        assert_eq!(opening, Opening::Fresh);
        assert!(Arc::ptr_eq(&first, &shelf.book(&a).unwrap().0));
        assert!(!Arc::ptr_eq(&first, &shelf.book(&b).unwrap().0));
        drop(first);
        assert_eq!(shelf.book(&a).unwrap().1, Opening::Fresh, "let go and opened again");
    }
}
