//! Similar images: what was indexed, found and labelled.
//!
//! ```text
//! folder, slide, annotations ─scan→ Entry ─plan→ regions ─EmbedWorker→ Embedding ─→ Library (SQLite or PostgreSQL)
//! pixels, words, vector ─EmbedWorker→ Embedding ─Library::nearest→ Hit ─thumbnail→ RgbTile
//! slide + class names ─classify→ Heatmap
//! ```
//!
//! [`Library`] is what is kept: sources, their files, their tiles, tags and vectors, of one model. It computes
//! nothing. [`EmbedWorker`] is the one thread that owns the CLIP model; questions of a person go before the batches
//! of [`Indexing`]. Held true by `store/tests.rs` (one list of behaviours for both databases), `indexing/tests.rs`
//! and `tests/library.rs` (through the binary, killed while it indexes).

mod classify;
mod embed;
mod error;
mod heatmap;
mod indexing;
mod item;
mod plan;
mod postgres;
mod scan;
mod search;
mod sqlite;
mod stain;
mod store;
mod tissue;

pub use classify::{CLASS_PROMPTS, ClassifyOptions, classify};
pub use embed::{EmbedModel, EmbedState, EmbedWorker, Embeds};
pub use eosin_session::embed::{ClipOptions, ClipSource};
pub use error::LibraryError;
pub use heatmap::{CLASS_COLOURS, Heatmap, HeatmapTile, HeatmapView};
pub use indexing::{AnnotationsOf, IndexOptions, IndexProgress, IndexState, Indexing, Skip, Tally};
pub use item::{
    Entry, EntryDraft, EntryEnd, EntryId, EntryState, Filter, Hit, ItemId, ItemKind, LibraryStatus, ModelId,
    NewItem, NewSource, Opening, Place, Recipe, Source, SourceId, TagOwner,
};
pub use postgres::PostgresLibrary;
pub use search::{Query, SearchOptions, Thumbnails, search, thumbnail};
pub use sqlite::SqliteLibrary;
pub use stain::Stain;
pub use store::{Library, open_library};
pub use tissue::TissueMask;
