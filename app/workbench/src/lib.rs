//! The application without a window.
//!
//! Entry point: [`Workbench`]. It opens slides under opaque keys ([`SlideRegistry`]), serves their tiles as
//! JPEG to a deep-zoom viewer ([`TileFeed`], laid out by [`TilePlan`]), turns views into exactly the pixels that a
//! model sees ([`PictureSource`] → [`SeenPicture`]), and keeps the last errors in the form a window shows
//! ([`RecentErrors`]). [`chat::Chats`] asks, answers and keeps; [`models`] are to choose from; [`command`] and
//! [`texts`] are what every window says and offers.

pub mod annotation;
mod atomic;
mod browse;
mod cache;
pub mod chat;
mod classes;
pub mod command;
mod encode;
mod error;
mod feed;
mod fields;
mod figure;
pub mod finder;
mod look;
pub mod measure;
pub mod models;
mod picture;
mod plan;
mod preferences;
mod registry;
mod start;
pub mod texts;
mod view;
mod workbench;

pub use annotation::{
    AnnotationBook, AnnotationError, AnnotationShelf, Edit, Feature, SaveState, new_annotation_id,
};
pub use browse::{Listing, list_slides};
pub use classes::{PLAIN_COLOR, default_classes};
pub use encode::encode_jpeg;
pub use error::{ErrorReport, RecentErrors, WorkbenchError};
pub use feed::{
    FeedOptions, FeedStats, RequestId, Tile, TileAddress, TileBytes, TileFeed, TileFormat, TileResult,
};
pub use figure::{Corner, FIGURE_PX_MAX, FigureError, FigureRequest, export_figure, export_figure_watched};
pub use look::{Look, LookError, LookTables, Stain, StainView, Tint};
pub use measure::Measure;
pub use picture::{MOST_PICTURES, MOST_PIXELS, PictureSource, SeenPicture, small_jpeg};
pub use plan::{TILE_PX, TilePlan};
pub use preferences::{
    Preferences, PreferencesDamage, PreferencesError, PreferencesFile, RecentFile, SlidePreferences, Tab,
    TabView, Theme,
};
pub use registry::{OpenedSlide, SlideKey, SlideRegistry};
pub use start::{Started, WindowOptions, start};
pub use view::{ViewRect, read_view, region_of_view};
pub use workbench::Workbench;
