//! The slides that are open, each under a key that says nothing about it.
//!
//! A viewer names a slide in the addresses of its tiles; these may end in logs and caches, so they carry a
//! counter and no file name. Held true by the tests of `workbench`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use eosin_core::{Mpp, SlideId};
use eosin_slide::{Slide, SlideError};
use serde::{Deserialize, Serialize};

use crate::plan::TilePlan;

/// Name of an opened slide within this run: opaque, safe in an address.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SlideKey(pub String);

/// A slide that is open.
pub struct OpenedSlide {
    /// Its key.
    pub key: SlideKey,
    /// The file's name, for the person who opened it and nobody else.
    pub title: String,
    /// Where the file lies, likewise.
    pub path: PathBuf,
    /// The slide, with the scale that a person typed where one did.
    pub slide: Slide,
    /// The scale that the file states.
    pub file_mpp: Option<Mpp>,
    /// Its tiles.
    pub plan: TilePlan,
}

impl std::fmt::Debug for OpenedSlide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the title: file names carry patient names, and debug text ends in logs.
        write!(f, "OpenedSlide({}, {:?})", self.key.0, self.slide)
    }
}

/// All slides that are open.
#[derive(Debug, Default)]
pub struct SlideRegistry {
    next: AtomicU64,
    slides: RwLock<HashMap<SlideKey, Arc<OpenedSlide>>>,
}

impl SlideRegistry {
    /// Opens a slide under a new key. Takes as long as the reader needs: not for the thread of a window.
    ///
    /// # Errors
    /// [`SlideError::Open`].
    pub fn open(&self, path: &Path) -> Result<Arc<OpenedSlide>, SlideError> {
        self.open_with(path, |_| None)
    }

    /// As [`SlideRegistry::open`], with the scale that somebody stated for this slide.
    ///
    /// # Errors
    /// [`SlideError::Open`].
    pub fn open_with(
        &self,
        path: &Path,
        mpp_of: impl FnOnce(&SlideId) -> Option<Mpp>,
    ) -> Result<Arc<OpenedSlide>, SlideError> {
        let slide = Slide::open(path)?;
        let file_mpp = slide.info().mpp;
        let typed = mpp_of(&slide.info().id);
        let slide = if typed.is_some() { slide.restated(typed) } else { slide };
        let title = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let key = SlideKey(format!("s{}", self.next.fetch_add(1, Ordering::Relaxed)));
        let plan = TilePlan::new(slide.info().base_px());
        let opened = Arc::new(OpenedSlide {
            key: key.clone(),
            title,
            path: path.to_path_buf(),
            slide,
            file_mpp,
            plan,
        });
        self.slides.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&opened));
        Ok(opened)
    }

    /// The slide of a key.
    pub fn get(&self, key: &SlideKey) -> Option<Arc<OpenedSlide>> {
        self.slides.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// States the scale of a slide anew, or takes back what was stated. Tiles do not depend on it and stay.
    pub fn restate(&self, key: &SlideKey, mpp: Option<Mpp>) -> Option<Arc<OpenedSlide>> {
        let mut slides = self.slides.write().unwrap_or_else(PoisonError::into_inner);
        let known = slides.get_mut(key)?;
        let file_mpp = known.file_mpp;
        let restated = OpenedSlide {
            key: key.clone(),
            title: known.title.clone(),
            path: known.path.clone(),
            slide: known.slide.restated(mpp.or(file_mpp)),
            file_mpp,
            plan: known.plan,
        };
        *known = Arc::new(restated);
        Some(Arc::clone(known))
    }

    /// Forgets a slide; its file closes when the last reader is done.
    pub fn close(&self, key: &SlideKey) -> Option<Arc<OpenedSlide>> {
        self.slides.write().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}
