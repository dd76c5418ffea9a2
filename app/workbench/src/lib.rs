//! The application without a window.
//!
//! Entry point: [`Workbench`]. It opens slides under opaque keys ([`SlideRegistry`]), serves their tiles as
//! JPEG to a deep-zoom viewer ([`TileFeed`], laid out by [`TilePlan`]), turns the current view into pixels for
//! a model ([`read_view`]), and keeps the last errors in the form a window shows ([`RecentErrors`]).

pub mod annotation;
mod ask;
mod atomic;
mod browse;
mod cache;
mod classes;
pub mod command;
mod encode;
mod error;
mod feed;
mod look;
pub mod measure;
mod plan;
mod preferences;
mod registry;
pub mod texts;
mod view;
mod workbench;

pub use annotation::{
    AnnotationBook, AnnotationError, AnnotationShelf, Edit, Feature, SaveState, new_annotation_id,
};
pub use ask::{SeenView, ViewQuestion};
pub use browse::{Listing, list_slides};
pub use classes::{PLAIN_COLOR, default_classes};
pub use error::{ErrorReport, RecentErrors, WorkbenchError};
pub use feed::{
    FeedOptions, FeedStats, RequestId, Tile, TileAddress, TileBytes, TileFeed, TileFormat, TileResult,
};
pub use look::{Look, LookError, LookTables, Stain, StainView, Tint};
pub use measure::Measure;
pub use plan::{TILE_PX, TilePlan};
pub use preferences::{
    Preferences, PreferencesDamage, PreferencesError, PreferencesFile, RecentFile, SlidePreferences, Tab,
    TabView, Theme,
};
pub use registry::{OpenedSlide, SlideKey, SlideRegistry};
pub use view::{ViewRect, read_view, region_of_view};
pub use workbench::Workbench;
