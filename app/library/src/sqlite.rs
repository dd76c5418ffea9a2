//! A library in a folder: SQLite for all that is known, an index file of its vectors beside it.
//!
//! The database is the truth, vectors included; the index is made from it and brought up to date whenever the two
//! disagree: after a kill, after another program wrote, after a copy without it. A damaged database is put aside and
//! what can be read of it goes into a new one. Held true by `store/tests.rs` and the tests below.

mod rows;
mod salvage;
mod schema;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eosin_core::Embedding;
use eosin_index::{IndexError, Neighbour, Space, VectorIndex};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::error::LibraryError;
use crate::item::{
    Entry, EntryDraft, EntryEnd, EntryId, EntryState, Filter, Hit, ItemId, LibraryStatus, ModelId, NewItem,
    NewSource, Opening, Source, SourceId, TagOwner,
};
use crate::stain::Stain;
use crate::store::{Library, clean_tags, path_text};
pub(crate) use rows::stain_of;
use rows::{floats_to_bytes, refused};

/// The database's name in the folder.
const DATABASE: &str = "library.sqlite";
/// The index's.
const INDEX: &str = "vectors.index";
/// Vectors that are read from the database at a time when the index is made.
const N_AT_ONCE: usize = 4096;
/// Up to so many items that a filter leaves are compared one by one.
const N_EXACT: usize = 20_000;

/// A library in a folder.
pub struct SqliteLibrary {
    folder: PathBuf,
    opening: Opening,
    connection: Mutex<Connection>,
    index: Mutex<Option<Synced>>,
    /// What the last filter let through, and at which state of the database.
    filtered: Mutex<Option<(Filter, [i64; 2], Arc<Vec<u64>>)>>,
}

/// An index, and the state of the database that it tells of.
struct Synced {
    index: Arc<VectorIndex>,
    change: i64,
}

impl std::fmt::Debug for SqliteLibrary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SqliteLibrary").field("opening", &self.opening).finish_non_exhaustive()
    }
}

impl SqliteLibrary {
    /// Opens the library in a folder; an absent one is made, readable to its owner alone.
    ///
    /// # Errors
    /// [`LibraryError`]: locked, newer, a folder that cannot be used.
    pub fn open(folder: &Path) -> Result<Self, LibraryError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| LibraryError::Io { path, source }
        };
        make_private_folder(folder).map_err(io(folder))?;
        let path = folder.join(DATABASE);
        let fresh = !path.exists();
        make_private_file(&path).map_err(io(&path))?;
        let mut opening = if fresh { Opening::Fresh } else { Opening::Whole };
        let connection = match schema::open(&path) {
            Ok(connection) => connection,
            Err(LibraryError::Damaged { .. }) => {
                let (connection, salvaged) = salvage::rebuild(&path)?;
                opening = salvaged;
                connection
            }
            Err(error) => return Err(error),
        };
        let library = Self {
            folder: folder.to_owned(),
            opening,
            connection: Mutex::new(connection),
            index: Mutex::new(None),
            filtered: Mutex::new(None),
        };
        let n_added = library.synced()?.1;
        let opening = match library.opening.clone() {
            Opening::Whole if n_added > 0 => Opening::IndexRebuilt { n_added },
            opening => opening,
        };
        Ok(Self { opening, ..library })
    }

    /// Whether there is a library in a folder; opening it would make one.
    pub fn exists(folder: &Path) -> bool {
        folder.join(DATABASE).is_file()
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction that writes.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, LibraryError>,
    ) -> Result<T, LibraryError> {
        let mut connection = self.connection();
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(refused(doing))?;
        let outcome = work(&transaction)?;
        transaction.commit().map_err(refused(doing))?;
        Ok(outcome)
    }

    /// The index, brought up to the state of the database; and how many vectors that took.
    fn synced(&self) -> Result<(Option<Arc<VectorIndex>>, u64), LibraryError> {
        let Some(model) = self.model() else { return Ok((None, 0)) };
        let mut slot = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let change = rows::counter(&self.connection(), "change")?;
        if let Some(synced) = &*slot
            && synced.change == change
        {
            return Ok((Some(synced.index.clone()), 0));
        }
        let index = match slot.take() {
            Some(synced) => synced.index,
            None => Arc::new(self.open_index(&model)?),
        };
        let n_added = self.catch_up(&index, &model)?;
        *slot = Some(Synced { index: index.clone(), change });
        Ok((Some(index), n_added))
    }

    /// The index of the folder, or an empty one where it cannot be used.
    fn open_index(&self, model: &ModelId) -> Result<VectorIndex, LibraryError> {
        let space = Space { model: model.hash.clone(), d_embed: model.d_embed };
        let opened = VectorIndex::open(&self.folder.join(INDEX), &space);
        Ok(match opened {
            Ok(index) => index,
            Err(IndexError::BadDimension { d_embed }) => {
                return Err(IndexError::BadDimension { d_embed }.into());
            }
            // Missing, damaged, of another model or format: all of it can be made again.
            Err(_unusable) => VectorIndex::new(space)?,
        })
    }

    /// Adds to the index what it lacks and removes what is gone.
    fn catch_up(&self, index: &VectorIndex, model: &ModelId) -> Result<u64, LibraryError> {
        let known = rows::item_ids(&self.connection())?;
        let indexed = index.keys();
        for gone in indexed.iter().filter(|key| known.binary_search(key).is_err()) {
            index.remove(*gone)?;
        }
        let lacking: Vec<u64> =
            known.iter().copied().filter(|id| indexed.binary_search(id).is_err()).collect();
        for ids in lacking.chunks(N_AT_ONCE) {
            let vectors = rows::vectors(&self.connection(), ids, model.d_embed)?;
            let vectors: Vec<(u64, &[f32])> =
                vectors.iter().map(|(id, values)| (*id, values.as_slice())).collect();
            index.add_many(&vectors, &model.hash)?;
        }
        Ok(lacking.len() as u64)
    }

    /// Makes the index again after its file failed under it.
    fn rebuild_index(&self) -> Result<Option<Arc<VectorIndex>>, LibraryError> {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let path = self.folder.join(INDEX);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LibraryError::Io { path, source: error });
            }
            _ => {}
        }
        Ok(self.synced()?.0)
    }

    /// The items that a filter lets through, ascending.
    fn filtered(&self, filter: &Filter) -> Result<Arc<Vec<u64>>, LibraryError> {
        let connection = self.connection();
        let state = [rows::counter(&connection, "change")?, rows::counter(&connection, "labels")?];
        let mut last = self.filtered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last_filter, last_state, ids)) = &*last
            && last_filter == filter
            && *last_state == state
        {
            return Ok(ids.clone());
        }
        let ids = Arc::new(rows::filtered_ids(&connection, filter)?);
        *last = Some((filter.clone(), state, ids.clone()));
        Ok(ids)
    }

    #[expect(clippy::unused_self, reason = "belongs to the store whose index it asks")]
    fn neighbours(
        &self,
        index: &VectorIndex,
        query: &Embedding,
        n: usize,
        allowed: Option<&[u64]>,
    ) -> Result<Vec<Neighbour>, LibraryError> {
        Ok(match allowed {
            None => index.search(query, n)?,
            Some(ids) if ids.len() <= N_EXACT.max(n) => index.search_among(query, n, ids.iter().copied())?,
            Some(ids) => index.search_where(query, n, |key| ids.binary_search(&key).is_ok())?,
        })
    }

    fn find(
        &self,
        index: &VectorIndex,
        query: &Embedding,
        n: usize,
        allowed: Option<&[u64]>,
    ) -> Result<Vec<Hit>, LibraryError> {
        let mut n_wanted = n;
        loop {
            let neighbours = self.neighbours(index, query, n_wanted, allowed)?;
            let hits = rows::hits(&self.connection(), &neighbours, n)?;
            // Some may have vanished; then more are looked for, a few times.
            if hits.len() >= n || neighbours.len() < n_wanted || n_wanted > n.saturating_mul(100) {
                return Ok(hits);
            }
            n_wanted = n_wanted.saturating_mul(5);
        }
    }
}

impl Library for SqliteLibrary {
    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn opening(&self) -> Opening {
        self.opening.clone()
    }

    fn model(&self) -> Option<ModelId> {
        rows::model(&self.connection()).ok().flatten()
    }

    fn claim(&self, model: &ModelId) -> Result<(), LibraryError> {
        self.write("name its model", |tx| {
            let Some(own) = rows::model(tx)? else {
                let text = serde_json::to_string(model).unwrap_or_default();
                tx.execute("INSERT INTO meta (key, value) VALUES ('model', ?1)", [text])
                    .map_err(refused("name its model"))?;
                return Ok(());
            };
            if own.hash == model.hash && own.d_embed == model.d_embed {
                return Ok(());
            }
            Err(LibraryError::OtherModel { indexed: own.name, other: model.name.clone() })
        })
    }

    fn add_source(&self, source: &NewSource) -> Result<SourceId, LibraryError> {
        let doing = "add a place";
        let path = path_text(&source.path)?;
        let recipe = serde_json::to_string(&source.recipe).unwrap_or_default();
        self.write(doing, |tx| {
            let id: i64 = tx
                .query_row(
                    "INSERT INTO source (path, recipe) VALUES (?1, ?2) \
                     ON CONFLICT (path) DO UPDATE SET recipe = excluded.recipe RETURNING id",
                    params![path, recipe],
                    |row| row.get(0),
                )
                .map_err(refused(doing))?;
            rows::add_tags(tx, TagOwner::Source(SourceId(id)), &clean_tags(&source.tags))?;
            Ok(SourceId(id))
        })
    }

    fn sources(&self) -> Result<Vec<Source>, LibraryError> {
        rows::sources(&self.connection())
    }

    fn remove_source(&self, source: SourceId) -> Result<u64, LibraryError> {
        let doing = "remove a place";
        self.write(doing, |tx| {
            let n_item: i64 = tx
                .query_row(
                    "SELECT count(*) FROM item JOIN entry ON entry.id = item.entry WHERE entry.source = ?1",
                    [source.0],
                    |row| row.get(0),
                )
                .map_err(refused(doing))?;
            let n = tx.execute("DELETE FROM source WHERE id = ?1", [source.0]).map_err(refused(doing))?;
            if n == 0 {
                return Err(LibraryError::Unknown { what: "place" });
            }
            rows::count_up(tx, "change")?;
            Ok(n_item as u64)
        })
    }

    fn entries(&self, source: Option<SourceId>) -> Result<Vec<Entry>, LibraryError> {
        rows::entries(&self.connection(), source)
    }

    fn begin_entry(&self, draft: &EntryDraft) -> Result<EntryId, LibraryError> {
        let doing = "begin a file";
        let path = path_text(&draft.path)?;
        self.write(doing, |tx| {
            let known: Option<(i64, Option<String>)> = tx
                .query_row(
                    "SELECT id, slide FROM entry WHERE source = ?1 AND path = ?2",
                    params![draft.source.0, path],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .optional()
                .map_err(refused(doing))?;
            if let Some((id, slide)) = &known
                && slide.as_deref() != Some(draft.slide.0.as_str())
            {
                tx.execute("DELETE FROM item WHERE entry = ?1", [id]).map_err(refused(doing))?;
                rows::count_up(tx, "change")?;
            }
            let id = tx
                .query_row(
                    "INSERT INTO entry (source, path, slide, state, base_um_per_px, stain) \
                     VALUES (?1, ?2, ?3, 'partial', ?4, ?5) ON CONFLICT (source, path) DO UPDATE SET \
                     slide = excluded.slide, state = 'partial', reason = NULL, \
                     base_um_per_px = excluded.base_um_per_px, stain = excluded.stain RETURNING id",
                    params![draft.source.0, path, draft.slide.0, draft.base_um_per_px, draft.stain.name()],
                    |row| row.get(0),
                )
                .map_err(refused(doing))?;
            rows::count_up(tx, "labels")?;
            Ok(EntryId(id))
        })
    }

    fn end_entry(&self, entry: EntryId, end: &EntryEnd) -> Result<(), LibraryError> {
        let doing = "end a file";
        self.write(doing, |tx| {
            let n = tx
                .execute(
                    "UPDATE entry SET state = ?2, reason = ?3, n_byte = ?4, modified_ns = ?5, plan_hash = ?6 \
                     WHERE id = ?1",
                    params![
                        entry.0,
                        end.state.name(),
                        end.reason,
                        end.n_byte as i64,
                        end.modified_ns,
                        end.plan_hash
                    ],
                )
                .map_err(refused(doing))?;
            if n == 0 { Err(LibraryError::Unknown { what: "file" }) } else { Ok(()) }
        })
    }

    fn fail_entry(&self, source: SourceId, path: &Path, end: &EntryEnd) -> Result<EntryId, LibraryError> {
        let doing = "note a file";
        let path = path_text(path)?;
        self.write(doing, |tx| {
            let id: i64 = tx
                .query_row(
                    "INSERT INTO entry (source, path, state, reason, n_byte, modified_ns, plan_hash, stain) \
                     VALUES (?1, ?2, 'failed', ?3, ?4, ?5, ?6, 'other') ON CONFLICT (source, path) DO UPDATE SET \
                     slide = NULL, state = 'failed', reason = excluded.reason, n_byte = excluded.n_byte, \
                     modified_ns = excluded.modified_ns, plan_hash = excluded.plan_hash RETURNING id",
                    params![source.0, path, end.reason, end.n_byte as i64, end.modified_ns, end.plan_hash],
                    |row| row.get(0),
                )
                .map_err(refused(doing))?;
            if tx.execute("DELETE FROM item WHERE entry = ?1", [id]).map_err(refused(doing))? > 0 {
                rows::count_up(tx, "change")?;
            }
            Ok(EntryId(id))
        })
    }

    fn mark_vanished(&self, vanished: &[EntryId], back: &[EntryId]) -> Result<(), LibraryError> {
        let doing = "note what is gone";
        self.write(doing, |tx| {
            for (entries, state) in [(vanished, EntryState::Vanished), (back, EntryState::Done)] {
                for entry in entries {
                    tx.execute("UPDATE entry SET state = ?2 WHERE id = ?1", params![entry.0, state.name()])
                        .map_err(refused(doing))?;
                }
            }
            rows::count_up(tx, "labels")
        })
    }

    fn remove_entries(&self, entries: &[EntryId]) -> Result<u64, LibraryError> {
        let doing = "remove a file";
        self.write(doing, |tx| {
            let mut n_item = 0;
            for entry in entries {
                n_item +=
                    tx.execute("DELETE FROM item WHERE entry = ?1", [entry.0]).map_err(refused(doing))?;
                tx.execute("DELETE FROM entry WHERE id = ?1", [entry.0]).map_err(refused(doing))?;
            }
            rows::count_up(tx, "change")?;
            Ok(n_item as u64)
        })
    }

    fn item_keys(&self, entry: EntryId) -> Result<Vec<String>, LibraryError> {
        rows::item_keys(&self.connection(), entry)
    }

    fn add_items(&self, entry: EntryId, items: &[NewItem]) -> Result<(), LibraryError> {
        let doing = "add items";
        let Some(model) = self.model() else { return Err(LibraryError::Empty) };
        for item in items {
            if *item.embedding.model() != model.hash || item.embedding.values().len() != model.d_embed {
                let other = item.embedding.model().to_string();
                return Err(LibraryError::OtherModel { indexed: model.name, other });
            }
        }
        let index = self.synced()?.0;
        let (added, change) = self.write(doing, |tx| {
            let added = rows::add_items(tx, entry, items)?;
            rows::count_up(tx, "change")?;
            Ok((added, rows::counter(tx, "change")?))
        })?;
        // The index follows at once where nobody else wrote meanwhile; else the next search catches up.
        let mut slot = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(index), Some(synced)) = (index, &mut *slot)
            && synced.change + 1 == change
        {
            let vectors: Vec<(u64, &[f32])> =
                added.iter().map(|(id, item_idx)| (*id, items[*item_idx].embedding.values())).collect();
            index.add_many(&vectors, &model.hash)?;
            synced.change = change;
        }
        Ok(())
    }

    fn remove_items(&self, entry: EntryId, keys: &[String]) -> Result<(), LibraryError> {
        let doing = "remove items";
        self.write(doing, |tx| {
            for key in keys {
                tx.execute("DELETE FROM item WHERE entry = ?1 AND key = ?2", params![entry.0, key])
                    .map_err(refused(doing))?;
            }
            rows::count_up(tx, "change")
        })
    }

    fn set_tags(&self, owner: TagOwner, tags: &[String]) -> Result<(), LibraryError> {
        self.write("set tags", |tx| {
            rows::clear_tags(tx, owner)?;
            rows::add_tags(tx, owner, &clean_tags(tags))?;
            rows::count_up(tx, "labels")
        })
    }

    fn set_stain(&self, entry: EntryId, stain: Option<Stain>) -> Result<(), LibraryError> {
        let doing = "set a stain";
        self.write(doing, |tx| {
            let name = stain.map(Stain::name);
            let n = tx
                .execute("UPDATE entry SET stain_stated = ?2 WHERE id = ?1", params![entry.0, name])
                .map_err(refused(doing))?;
            if n == 0 {
                return Err(LibraryError::Unknown { what: "file" });
            }
            rows::count_up(tx, "labels")
        })
    }

    fn nearest(&self, query: &Embedding, n: usize, filter: &Filter) -> Result<Vec<Hit>, LibraryError> {
        let Some(model) = self.model() else { return Ok(Vec::new()) };
        if *query.model() != model.hash || query.values().len() != model.d_embed {
            let other = query.model().to_string();
            return Err(LibraryError::OtherModel { indexed: model.name, other });
        }
        let Some(index) = self.synced()?.0 else { return Ok(Vec::new()) };
        let allowed = if filter.is_empty() { None } else { Some(self.filtered(filter)?) };
        let allowed = allowed.as_deref().map(Vec::as_slice);
        match self.find(&index, query, n, allowed) {
            Err(LibraryError::Index { source: IndexError::Damaged { .. } | IndexError::Io { .. } }) => {
                let Some(index) = self.rebuild_index()? else { return Ok(Vec::new()) };
                self.find(&index, query, n, allowed)
            }
            outcome => outcome,
        }
    }

    fn embedding(&self, item: ItemId) -> Result<Option<Embedding>, LibraryError> {
        let Some(model) = self.model() else { return Ok(None) };
        let vectors = rows::vectors(&self.connection(), &[item.0 as u64], model.d_embed)?;
        Ok(vectors.into_iter().next().and_then(|(_, values)| Embedding::new(model.hash, values).ok()))
    }

    fn status(&self) -> Result<LibraryStatus, LibraryError> {
        let model = self.model();
        rows::status(&self.connection(), self.place(), model)
    }

    fn flush(&self) -> Result<(), LibraryError> {
        if let Some(index) = self.synced()?.0 {
            index.save(&self.folder.join(INDEX))?;
        }
        Ok(())
    }
}

/// Makes a folder that only its owner may enter; one that is there stays as it is.
fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Makes a file that only its owner may read, before SQLite would make it readable to all.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome.map(|_file| ()),
    }
}

/// Stores the vectors of items; the index is left to catch up. For those who copy libraries.
fn insert_vector(tx: &Transaction<'_>, item: i64, values: &[f32]) -> Result<(), LibraryError> {
    tx.prepare("INSERT INTO vector (item, floats) VALUES (?1, ?2)")
        .and_then(|mut insert| insert.execute(params![item, floats_to_bytes(values)]))
        .map_err(refused("add a vector"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
