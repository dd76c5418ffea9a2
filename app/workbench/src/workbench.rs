//! `Workbench`: everything a window needs of slides, in one place.
//!
//! A window's handlers stay under ten lines: parse, call one of these, convert. Held true by the tests below.

use std::path::Path;
use std::sync::Arc;

use eosin_core::{Region, RgbTile};

use crate::error::{RecentErrors, WorkbenchError};
use crate::feed::{FeedOptions, RequestId, TileAddress, TileFeed, TileResult};
use crate::registry::{OpenedSlide, SlideKey, SlideRegistry};
use crate::view::{ViewRect, read_view};

/// Opened slides, their tiles, and what went wrong lately. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Workbench {
    slides: SlideRegistry,
    feed: TileFeed,
    errors: Arc<RecentErrors>,
}

impl Workbench {
    /// A workbench without slides.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new(options: FeedOptions) -> std::io::Result<Self> {
        let errors = Arc::new(RecentErrors::default());
        Ok(Self { slides: SlideRegistry::default(), feed: TileFeed::new(options)?, errors })
    }

    /// Opens a slide or picture; may take a moment.
    ///
    /// # Errors
    /// [`WorkbenchError::Slide`]; also kept among the recent errors.
    pub fn open(&self, path: &Path) -> Result<Arc<OpenedSlide>, WorkbenchError> {
        self.keep(self.slides.open(path).map_err(WorkbenchError::from))
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

    fn keep<T>(&self, result: Result<T, WorkbenchError>) -> Result<T, WorkbenchError> {
        if let Err(error) = &result {
            self.errors.push(error);
        }
        result
    }
}

#[cfg(test)]
mod tests;
