//! What a library can do, whatever keeps it.
//!
//! Stores compute no embedding and open no slide. Every method is one transaction: whoever is killed has all of it
//! or nothing. Held true by `store/tests.rs`, one list of behaviours that every store goes through.

use std::path::Path;
use std::sync::Arc;

use eosin_core::Embedding;

use crate::error::LibraryError;
use crate::item::{
    Entry, EntryDraft, EntryEnd, EntryId, Filter, Hit, ItemId, LibraryStatus, ModelId, NewItem, NewSource,
    Opening, Source, SourceId, TagOwner,
};
use crate::postgres::PostgresLibrary;
use crate::sqlite::SqliteLibrary;
use crate::stain::Stain;

/// A store of sources, files, items, tags and vectors of one model.
///
/// All methods may be called from any thread; none waits for a model.
pub trait Library: Send + Sync + std::fmt::Debug {
    /// Where it is, for people; never with a password.
    fn place(&self) -> String;

    /// How it was found.
    fn opening(&self) -> Opening;

    /// The model whose embeddings it holds; none while nobody claimed it.
    fn model(&self) -> Option<ModelId>;

    /// Takes the library for a model, if it is nobody's.
    ///
    /// # Errors
    /// [`LibraryError::OtherModel`].
    fn claim(&self, model: &ModelId) -> Result<(), LibraryError>;

    /// Adds a place, or gives a known one another recipe; tags are added to those it has.
    fn add_source(&self, source: &NewSource) -> Result<SourceId, LibraryError>;

    /// All places, in the order of their adding.
    fn sources(&self) -> Result<Vec<Source>, LibraryError>;

    /// Removes a place with all that came by it; says how many items that were.
    fn remove_source(&self, source: SourceId) -> Result<u64, LibraryError>;

    /// The files of a place or of all, by path.
    fn entries(&self, source: Option<SourceId>) -> Result<Vec<Entry>, LibraryError>;

    /// Begins a file, or goes on with it: the items it has stay, unless its content is another.
    fn begin_entry(&self, draft: &EntryDraft) -> Result<EntryId, LibraryError>;

    /// Ends a file. One that never opened has no draft: see [`Library::fail_entry`].
    fn end_entry(&self, entry: EntryId, end: &EntryEnd) -> Result<(), LibraryError>;

    /// Notes a file that cannot be indexed; the items that it may have go.
    fn fail_entry(&self, source: SourceId, path: &Path, end: &EntryEnd) -> Result<EntryId, LibraryError>;

    /// Notes files that are no longer there, or are there again (`Done` with what was known).
    fn mark_vanished(&self, vanished: &[EntryId], back: &[EntryId]) -> Result<(), LibraryError>;

    /// Removes files with all their items; says how many items that were.
    fn remove_entries(&self, entries: &[EntryId]) -> Result<u64, LibraryError>;

    /// The keys of a file's items, sorted.
    fn item_keys(&self, entry: EntryId) -> Result<Vec<String>, LibraryError>;

    /// Adds items to a file; one whose key is there already is passed over.
    ///
    /// # Errors
    /// [`LibraryError::OtherModel`].
    fn add_items(&self, entry: EntryId, items: &[NewItem]) -> Result<(), LibraryError>;

    /// Removes items of a file by their keys.
    fn remove_items(&self, entry: EntryId, keys: &[String]) -> Result<(), LibraryError>;

    /// Replaces the tags of a place, file or item.
    fn set_tags(&self, owner: TagOwner, tags: &[String]) -> Result<(), LibraryError>;

    /// Says how a file is stained; none goes back to the guess.
    fn set_stain(&self, entry: EntryId, stain: Option<Stain>) -> Result<(), LibraryError>;

    /// The `n` nearest items, best first, exact scores.
    ///
    /// # Errors
    /// [`LibraryError::OtherModel`]; none for an empty library, which has nothing near.
    fn nearest(&self, query: &Embedding, n: usize, filter: &Filter) -> Result<Vec<Hit>, LibraryError>;

    /// The vector of an item, for "more like this".
    fn embedding(&self, item: ItemId) -> Result<Option<Embedding>, LibraryError>;

    /// What is in it.
    fn status(&self) -> Result<LibraryStatus, LibraryError>;

    /// Writes what would have to be made again at the next start. Nothing is lost without it.
    fn flush(&self) -> Result<(), LibraryError>;
}

/// Opens the library at a place: `postgres://…` (or `postgresql://…`), else a folder, which is made.
///
/// With a model the library is claimed for it; without, it opens whatever its model is.
///
/// # Errors
/// [`LibraryError`]: of another model, locked, newer, not to be reached.
pub fn open_library(place: &str, model: Option<&ModelId>) -> Result<Arc<dyn Library>, LibraryError> {
    let library: Arc<dyn Library> = if place.starts_with("postgres://") || place.starts_with("postgresql://")
    {
        Arc::new(PostgresLibrary::open(place)?)
    } else {
        Arc::new(SqliteLibrary::open(Path::new(place))?)
    };
    if let Some(model) = model {
        library.claim(model)?;
    }
    Ok(library)
}

/// A path as a database keeps it.
pub(crate) fn path_text(path: &Path) -> Result<&str, LibraryError> {
    path.to_str().ok_or_else(|| LibraryError::NoText { path: path.to_owned() })
}

/// Tags as they are kept: on one line, without empty ones, sorted, each once.
pub(crate) fn clean_tags(tags: &[String]) -> Vec<String> {
    let mut tags: Vec<String> =
        tags.iter().map(|tag| clean_text(tag).split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    tags.retain(|tag| !tag.is_empty());
    tags.sort();
    tags.dedup();
    tags
}

/// Text without control characters, which some databases refuse.
pub(crate) fn clean_text(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests;
