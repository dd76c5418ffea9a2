//! `Workbench`: everything a window needs of slides, in one place.
//!
//! A window's handlers stay under ten lines: parse, call one of these, convert. Held true by the tests below.

use std::path::Path;
use std::sync::Arc;

use eosin_core::{Mpp, Region, RgbTile, SlideId};

use crate::error::{RecentErrors, WorkbenchError};
use crate::feed::{FeedOptions, RequestId, TileAddress, TileFeed, TileResult};
use crate::look::Look;
use crate::preferences::{Preferences, PreferencesFile, SlidePreferences};
use crate::registry::{OpenedSlide, SlideKey, SlideRegistry};
use crate::view::{ViewRect, read_view};

/// Opened slides, their tiles, and what went wrong lately. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Workbench {
    slides: SlideRegistry,
    feed: TileFeed,
    errors: Arc<RecentErrors>,
    preferences: Option<Arc<PreferencesFile>>,
}

impl Workbench {
    /// A workbench without slides.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new(options: FeedOptions) -> std::io::Result<Self> {
        let errors = Arc::new(RecentErrors::default());
        let feed = TileFeed::new(options)?;
        Ok(Self { slides: SlideRegistry::default(), feed, errors, preferences: None })
    }

    /// Remembers recent files and the scales and looks of slides.
    #[must_use]
    pub fn remembering(self, preferences: Arc<PreferencesFile>) -> Self {
        Self { preferences: Some(preferences), ..self }
    }

    /// What is remembered, where something is.
    pub fn preferences(&self) -> Option<&Arc<PreferencesFile>> {
        self.preferences.as_ref()
    }

    /// Opens a slide or picture; may take a moment. A scale that was typed for it before is stated again.
    ///
    /// # Errors
    /// [`WorkbenchError::Slide`]; also kept among the recent errors.
    pub fn open(&self, path: &Path) -> Result<Arc<OpenedSlide>, WorkbenchError> {
        let remembered = |id: &SlideId| self.preferences.as_ref()?.get().slide(id).mpp;
        let opened = self.keep(self.slides.open_with(path, remembered).map_err(WorkbenchError::from))?;
        // That something is not remembered does not keep a slide from opening.
        let _ = self.remember(|preferences| preferences.note_opened(path));
        Ok(opened)
    }

    /// States the scale of a slide, or takes back what was stated; remembered for this slide.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`]; [`WorkbenchError::Preferences`], where it holds until the program ends.
    pub fn state_mpp(&self, key: &SlideKey, mpp: Option<Mpp>) -> Result<Arc<OpenedSlide>, WorkbenchError> {
        let opened = self.slides.restate(key, mpp).ok_or(WorkbenchError::NotOpen)?;
        let id = opened.slide.info().id.clone();
        self.remember(|preferences| {
            let shown = SlidePreferences { mpp, ..preferences.slide(&id) };
            preferences.set_slide(&id, shown);
        })?;
        Ok(opened)
    }

    /// How a slide was shown last.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`].
    pub fn look(&self, key: &SlideKey) -> Result<Look, WorkbenchError> {
        let id = self.slide(key)?.slide.info().id.clone();
        Ok(self.preferences.as_ref().map(|preferences| preferences.get().slide(&id).look).unwrap_or_default())
    }

    /// Remembers how a slide is shown; tiles are asked for with their look.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`], [`WorkbenchError::Preferences`].
    pub fn set_look(&self, key: &SlideKey, look: Look) -> Result<(), WorkbenchError> {
        let id = self.slide(key)?.slide.info().id.clone();
        self.remember(|preferences| {
            let shown = SlidePreferences { look, ..preferences.slide(&id) };
            preferences.set_slide(&id, shown);
        })
    }

    /// The slide of a key.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`].
    pub fn slide(&self, key: &SlideKey) -> Result<Arc<OpenedSlide>, WorkbenchError> {
        self.slides.get(key).ok_or(WorkbenchError::NotOpen)
    }

    /// Closes a slide: withdraws its requests and forgets its tiles.
    pub fn close(&self, key: &SlideKey) {
        self.slides.close(key);
        self.feed.forget(key);
    }

    /// Asks for a tile; `reply` is called exactly once, perhaps before this returns.
    pub fn request_tile(
        &self,
        key: &SlideKey,
        tile: TileAddress,
        reply: impl FnOnce(TileResult) + Send + 'static,
    ) -> Option<RequestId> {
        let opened = match self.slide(key) {
            Ok(opened) => opened,
            Err(error) => {
                reply(Err(error));
                return None;
            }
        };
        let errors = Arc::clone(&self.errors);
        let keep = move |result: TileResult| {
            if let Err(error) = &result {
                errors.push(error);
            }
            reply(result);
        };
        Some(self.feed.request(&opened, tile, keep))
    }

    /// Reads what a view shows, in at most `budget_px` pixels, for a question about it.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`], [`WorkbenchError::EmptyView`], [`WorkbenchError::Slide`].
    pub fn read_view(
        &self,
        key: &SlideKey,
        view: ViewRect,
        budget_px: u64,
    ) -> Result<(Region, RgbTile), WorkbenchError> {
        let opened = self.slide(key)?;
        self.keep(read_view(&opened.slide, view, budget_px))
    }

    /// The tiles.
    pub fn feed(&self) -> &TileFeed {
        &self.feed
    }

    /// What went wrong lately.
    pub fn errors(&self) -> &RecentErrors {
        &self.errors
    }

    fn remember(&self, change: impl FnOnce(&mut Preferences)) -> Result<(), WorkbenchError> {
        match &self.preferences {
            Some(preferences) => self.keep(preferences.change(change).map_err(WorkbenchError::from)),
            None => Ok(()),
        }
    }

    fn keep<T>(&self, result: Result<T, WorkbenchError>) -> Result<T, WorkbenchError> {
        if let Err(error) = &result {
            self.errors.push(error);
        }
        result
    }
}

#[cfg(test)]
mod tests;
