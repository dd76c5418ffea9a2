//! What goes wrong in the workbench, and the form in which a window shows it.
//!
//! A window gets a code, one line and a hint, never an error type; the last few are kept, so that a panel can
//! show them after they flew by. Held true by the unit tests below and in `feed`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use eosin_casebook::CaseError;
use eosin_core::{Hint, error_chain};
use eosin_library::LibraryError;
use eosin_session::SessionError;
use eosin_slide::{ReadCause, SlideError};
use serde::Serialize;

use crate::annotation::AnnotationError;
use crate::figure::FigureError;
use crate::preferences::PreferencesError;

/// Why the workbench does not give what was asked. Cheap to clone: several requests may share it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WorkbenchError {
    /// The slide fails.
    #[error(transparent)]
    Slide(#[from] Arc<SlideError>),
    /// No opened slide has this key.
    #[error("this slide is not open")]
    NotOpen,
    /// The slide has no such tile.
    #[error("level {level} has no tile in column {column}, row {row}")]
    NoSuchTile {
        /// Level of the deep zoom.
        level: u32,
        /// Column of the tile.
        column: u32,
        /// Row of the tile.
        row: u32,
    },
    /// The view shows nothing of the slide.
    #[error("the view lies outside the slide")]
    EmptyView,
    /// The model cannot take a view of this shape.
    #[error("the model cannot see this view: {0}")]
    Unseeable(Arc<str>),
    /// The model, or a question to it, fails.
    #[error(transparent)]
    Session(Arc<SessionError>),
    /// The case book fails.
    #[error(transparent)]
    Case(Arc<CaseError>),
    /// The library fails.
    #[error(transparent)]
    Library(Arc<LibraryError>),
    /// The library has no such item.
    #[error("this picture is no longer in the library")]
    NoSuchItem,
    /// Two indexings would be in each other's way.
    #[error("the library is being filled")]
    Indexing,
    /// The chat has no such question.
    #[error("the chat has no such question")]
    NoSuchQuestion,
    /// More pictures than a question takes.
    #[error("a question about {n} pictures: at most {most} are sent")]
    TooManyPictures {
        /// Pictures chosen.
        n: usize,
        /// Pictures allowed.
        most: usize,
    },
    /// Something that the program keeps for the user cannot be written.
    #[error("cannot keep {what}: {cause}")]
    Keep {
        /// What it is.
        what: &'static str,
        /// Why.
        cause: Arc<str>,
    },
    /// The system lacks something that a window cannot do without.
    #[error("cannot start {what}: {cause}")]
    Start {
        /// What it is.
        what: &'static str,
        /// Why.
        cause: Arc<std::io::Error>,
    },
    /// Nobody waits for the answer any more.
    #[error("the request was withdrawn")]
    Cancelled,
    /// The tile does not encode.
    #[error("a tile does not encode: {0}")]
    Encode(Arc<str>),
    /// Annotations fail.
    #[error(transparent)]
    Annotation(#[from] Arc<AnnotationError>),
    /// What is remembered cannot be read or saved.
    #[error(transparent)]
    Preferences(#[from] Arc<PreferencesError>),
    /// A figure is not made.
    #[error(transparent)]
    Figure(#[from] Arc<FigureError>),
    /// A bug: the work stopped without an answer.
    #[error("reading a tile failed unexpectedly")]
    Bug,
}

impl From<SlideError> for WorkbenchError {
    fn from(error: SlideError) -> Self {
        Self::Slide(Arc::new(error))
    }
}

impl From<CaseError> for WorkbenchError {
    fn from(error: CaseError) -> Self {
        Self::Case(Arc::new(error))
    }
}

impl From<AnnotationError> for WorkbenchError {
    fn from(error: AnnotationError) -> Self {
        Self::Annotation(Arc::new(error))
    }
}

impl From<FigureError> for WorkbenchError {
    fn from(error: FigureError) -> Self {
        Self::Figure(Arc::new(error))
    }
}

impl From<PreferencesError> for WorkbenchError {
    fn from(error: PreferencesError) -> Self {
        Self::Preferences(Arc::new(error))
    }
}

impl Hint for WorkbenchError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Slide(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Case(error) => error.hint(),
            Self::Library(error) => error.hint(),
            Self::NoSuchItem => Some("search again"),
            Self::Indexing => Some("wait until it is done, or stop it"),
            Self::NoSuchQuestion => Some("open the chat again"),
            Self::TooManyPictures { .. } => Some("remove some of them"),
            Self::Keep { .. } => Some("look whether the disk is full, and who may write to the data folder"),
            Self::Annotation(error) => error.hint(),
            Self::Preferences(error) => error.hint(),
            Self::Figure(error) => error.hint(),
            Self::NotOpen => Some("open it again"),
            Self::EmptyView => Some("move the slide into view"),
            Self::Unseeable(_) => Some("choose a view that is less long and thin"),
            Self::Bug => Some("please report it with the steps that led to it"),
            Self::Start { .. } | Self::NoSuchTile { .. } | Self::Cancelled | Self::Encode(_) => None,
        }
    }
}

impl WorkbenchError {
    /// A short name that stays the same when wording changes.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Slide(error) => match error.as_ref() {
                SlideError::Open { .. } => "slide_open",
                SlideError::Read { source: ReadCause::Gone, .. } => "slide_gone",
                SlideError::Read { .. } => "slide_read",
                SlideError::OutOfBounds { .. } | SlideError::EmptyRegion { .. } => "region_bounds",
                SlideError::TooLarge { .. } | SlideError::TooFine { .. } => "region_size",
                SlideError::BadScale { .. } | SlideError::NoScale => "region_scale",
                SlideError::HiddenImage { .. } => "hidden_image",
                SlideError::Write { .. } => "slide_write",
                SlideError::WrongSlide | SlideError::NoSuchLevel { .. } | SlideError::NoSuchImage { .. } => {
                    "slide_request"
                }
            },
            Self::Session(error) => match error.as_ref() {
                SessionError::Unloaded => "no_model",
                SessionError::Memory { .. } => "memory",
                SessionError::Context { .. } => "context",
                _ => "model",
            },
            Self::Case(_) => "case_book",
            Self::Library(error) => match error.as_ref() {
                LibraryError::Stopped => "cancelled",
                _ => "library",
            },
            Self::NoSuchItem => "no_such_item",
            Self::Indexing => "indexing",
            Self::NoSuchQuestion => "no_such_question",
            Self::TooManyPictures { .. } => "too_many_pictures",
            Self::Keep { .. } => "keep",
            Self::Annotation(error) => match error.as_ref() {
                AnnotationError::Read { .. } => "annotation_read",
                AnnotationError::TooLarge { .. } | AnnotationError::NotGeoJson { .. } => "annotation_file",
                AnnotationError::Write { .. } => "annotation_save",
                AnnotationError::NoSuch { .. }
                | AnnotationError::Taken { .. }
                | AnnotationError::Unsound
                | AnnotationError::TooMany { .. } => "annotation_edit",
            },
            Self::Preferences(_) => "preferences",
            Self::Figure(error) => match error.as_ref() {
                FigureError::Stopped => "cancelled",
                FigureError::Write { .. } => "figure_save",
                FigureError::Slide(_) => "slide_read",
                FigureError::Size { .. } | FigureError::View | FigureError::Format { .. } => "figure_request",
            },
            Self::Start { .. } => "start",
            Self::NotOpen => "not_open",
            Self::NoSuchTile { .. } => "no_such_tile",
            Self::EmptyView => "empty_view",
            Self::Unseeable(_) => "unseeable",
            Self::Cancelled => "cancelled",
            Self::Encode(_) => "encode",
            Self::Bug => "bug",
        }
    }

    /// The form in which it crosses to a window.
    pub fn report(&self) -> ErrorReport {
        ErrorReport {
            code: self.code().to_owned(),
            message: error_chain(self),
            hint: self.hint().map(str::to_owned),
        }
    }
}

/// An error as a window shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ErrorReport {
    /// Short stable name.
    pub code: String,
    /// One line: what, where, why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The last errors, oldest first; one that repeats is kept once.
#[derive(Debug, Default)]
pub struct RecentErrors {
    reports: Mutex<VecDeque<ErrorReport>>,
}

impl RecentErrors {
    /// Reports kept.
    pub const CAPACITY: usize = 32;

    /// Keeps an error, unless it is one of withdrawn requests, which are no news.
    pub fn push(&self, error: &WorkbenchError) {
        if matches!(error, WorkbenchError::Cancelled) {
            return;
        }
        let report = error.report();
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        // A damaged slide fails once a tile: its one message moves to the end.
        reports.retain(|old| *old != report);
        if reports.len() == Self::CAPACITY {
            reports.pop_front();
        }
        reports.push_back(report);
    }

    /// The errors kept, oldest first.
    pub fn list(&self) -> Vec<ErrorReport> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_withdrawn_requests_do_not_fill_the_list() {
        let recent = RecentErrors::default();
        for _ in 0..3 {
            recent.push(&WorkbenchError::NotOpen);
            recent.push(&WorkbenchError::Cancelled);
            recent.push(&WorkbenchError::EmptyView);
        }
        let codes: Vec<_> = recent.list().into_iter().map(|report| report.code).collect();
        assert_eq!(codes, ["not_open", "empty_view"]);
        for column in 0..100 {
            recent.push(&WorkbenchError::NoSuchTile { level: 1, column, row: 0 });
        }
        assert_eq!(recent.list().len(), RecentErrors::CAPACITY);
        let json = serde_json::to_value(WorkbenchError::NotOpen.report()).unwrap();
        assert_eq!(json["hint"], "open it again");
    }
}
