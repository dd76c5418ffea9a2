//! A library on a PostgreSQL server with pgvector, for more than one workstation.
//!
//! The same tables as in a folder, in a schema of their own (`eosin`, or `eosin_<name>` where the address ends in
//! `#<name>`); made when the library is first opened. Candidates come from an HNSW index over half-precision
//! vectors and are ordered by their exact products, all by the server. The connection is not encrypted: the server
//! is this machine or one of a trusted network. Held true by `store/tests.rs` against a real server.

mod rows;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use eosin_core::Embedding;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls, Transaction};

use crate::error::LibraryError;
use crate::item::{
    Entry, EntryDraft, EntryEnd, EntryId, EntryState, Filter, Hit, ItemId, LibraryStatus, ModelId, NewItem,
    NewSource, Opening, Source, SourceId, TagOwner,
};
use crate::stain::Stain;
use crate::store::{Library, clean_tags, path_text};

/// Changes with the tables.
const FORMAT: i64 = 1;
/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest half-precision vectors that the server's index takes.
const D_INDEXED_MAX: usize = 4000;

/// A library on a server.
pub struct PostgresLibrary {
    config: Config,
    schema: String,
    place: String,
    opening: Opening,
    client: Mutex<Client>,
}

impl std::fmt::Debug for PostgresLibrary {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the address: it may hold a password.
        formatter.debug_struct("PostgresLibrary").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The server's refusal as an error of ours.
fn refused(doing: &'static str) -> impl Fn(postgres::Error) -> LibraryError {
    move |source| {
        let code = source.code();
        if code == Some(&SqlState::DISK_FULL) {
            return LibraryError::Full;
        }
        if code == Some(&SqlState::LOCK_NOT_AVAILABLE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED) {
            return LibraryError::Locked;
        }
        LibraryError::Database { doing, source: Box::new(source) }
    }
}

impl PostgresLibrary {
    /// Opens the library at an address, `postgres://user:password@host:port/database#name`; makes its tables.
    ///
    /// # Errors
    /// [`LibraryError`]: no such server, no pgvector, a newer format.
    pub fn open(address: &str) -> Result<Self, LibraryError> {
        let bad = |cause: &str| LibraryError::BadPlace { cause: cause.to_owned() };
        let (address, name) = address.split_once('#').unwrap_or((address, ""));
        let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !name.chars().all(plain) || name.len() > 40 {
            return Err(bad("the name behind # may have small letters, digits and _ only"));
        }
        let schema = if name.is_empty() { "eosin".to_owned() } else { format!("eosin_{name}") };
        // The parser's own words may repeat the address with its password.
        let mut config: Config = address.parse().map_err(|_error| bad("the address cannot be read"))?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(PATIENCE);
        }
        config.application_name("eosin");
        let place = place_of(&config, &schema);
        let mut client = connect(&config)?;
        let opening = prepare(&mut client, &schema)?;
        Ok(Self { config, schema, place, opening, client: Mutex::new(client) })
    }

    /// Does something with the connection; one that broke is made again first.
    fn with<T>(&self, work: impl FnOnce(&mut Client) -> Result<T, LibraryError>) -> Result<T, LibraryError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if client.is_closed() {
            *client = connect(&self.config)?;
            set_path(&mut client, &self.schema)?;
        }
        work(&mut client)
    }

    /// One transaction that writes.
    fn write<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, LibraryError>,
    ) -> Result<T, LibraryError> {
        self.with(|client| {
            let mut transaction = client.transaction().map_err(refused(doing))?;
            let outcome = work(&mut transaction)?;
            transaction.commit().map_err(refused(doing))?;
            Ok(outcome)
        })
    }

    fn checked(&self, embedding: &Embedding) -> Result<Option<ModelId>, LibraryError> {
        let Some(model) = self.model() else { return Ok(None) };
        if *embedding.model() == model.hash && embedding.values().len() == model.d_embed {
            return Ok(Some(model));
        }
        Err(LibraryError::OtherModel { indexed: model.name, other: embedding.model().to_string() })
    }
}

fn connect(config: &Config) -> Result<Client, LibraryError> {
    config.connect(NoTls).map_err(refused("connect"))
}

fn set_path(client: &mut Client, schema: &str) -> Result<(), LibraryError> {
    // The extension's own types are where its database has them.
    client.batch_execute(&format!("SET search_path TO {schema}, public")).map_err(refused("open"))
}

/// Host and database without user and password.
fn place_of(config: &Config, schema: &str) -> String {
    let host = match config.get_hosts().first() {
        Some(postgres::config::Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(postgres::config::Host::Unix(path)) => path.display().to_string(),
        #[cfg(not(unix))]
        Some(_) => String::new(),
        None => "localhost".to_owned(),
    };
    format!("PostgreSQL {host}/{} ({schema})", config.get_dbname().unwrap_or("postgres"))
}

/// Makes what is lacking, once, however many open the library at a time.
fn prepare(client: &mut Client, schema: &str) -> Result<Opening, LibraryError> {
    let doing = "make its tables";
    let has = |client: &mut Client, sql: &str, name: &str| -> Result<bool, LibraryError> {
        client.query_opt(sql, &[&name]).map(|row| row.is_some()).map_err(refused(doing))
    };
    if !has(client, "SELECT 1 FROM pg_available_extensions WHERE name = $1", "vector")? {
        return Err(LibraryError::NoVectors);
    }
    if !has(client, "SELECT 1 FROM pg_extension WHERE extname = $1", "vector")? {
        client.batch_execute("CREATE EXTENSION IF NOT EXISTS vector").map_err(refused("load pgvector"))?;
    }
    let exists = has(client, "SELECT 1 FROM pg_namespace WHERE nspname = $1", schema)?;
    if !exists {
        let mut transaction = client.transaction().map_err(refused(doing))?;
        // Two that come at the same time wait for each other; the number stands for this program.
        transaction.batch_execute("SELECT pg_advisory_xact_lock(1164929129)").map_err(refused(doing))?;
        let made = transaction
            .query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema])
            .map_err(refused(doing))?
            .is_some();
        if !made {
            transaction.batch_execute(&rows::tables(schema, FORMAT)).map_err(refused(doing))?;
        }
        transaction.commit().map_err(refused(doing))?;
    }
    set_path(client, schema)?;
    let row =
        client.query_one("SELECT number FROM meta WHERE key = 'format'", &[]).map_err(refused("open"))?;
    let format: i64 = row.get(0);
    if format != FORMAT {
        return Err(LibraryError::Newer { format, known: FORMAT });
    }
    Ok(if exists { Opening::Whole } else { Opening::Fresh })
}

impl Library for PostgresLibrary {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn opening(&self) -> Opening {
        self.opening.clone()
    }

    fn model(&self) -> Option<ModelId> {
        self.with(rows::model).ok().flatten()
    }

    fn claim(&self, model: &ModelId) -> Result<(), LibraryError> {
        let doing = "name its model";
        let own = self.write(doing, |tx| {
            tx.batch_execute("LOCK TABLE meta IN SHARE ROW EXCLUSIVE MODE").map_err(refused(doing))?;
            if let Some(own) = rows::model(tx)? {
                return Ok(own);
            }
            let text = serde_json::to_string(model).unwrap_or_default();
            tx.execute("INSERT INTO meta (key, text) VALUES ('model', $1)", &[&text]).map_err(refused(doing))?;
            // The length of a vector is known from here on.
            let d_embed = model.d_embed;
            let column = format!("ALTER TABLE item ADD COLUMN floats vector({d_embed}) NOT NULL");
            tx.batch_execute(&column).map_err(refused(doing))?;
            if d_embed <= D_INDEXED_MAX {
                let index = format!(
                    "CREATE INDEX item_by_vector ON item USING hnsw ((floats::halfvec({d_embed})) halfvec_ip_ops) \
                     WITH (m = 16, ef_construction = 128)"
                );
                tx.batch_execute(&index).map_err(refused(doing))?;
            }
            Ok(model.clone())
        })?;
        if own.hash == model.hash && own.d_embed == model.d_embed {
            return Ok(());
        }
        Err(LibraryError::OtherModel { indexed: own.name, other: model.name.clone() })
    }

    fn add_source(&self, source: &NewSource) -> Result<SourceId, LibraryError> {
        let doing = "add a place";
        let path = path_text(&source.path)?;
        let recipe = serde_json::to_string(&source.recipe).unwrap_or_default();
        self.write(doing, |tx| {
            let row = tx
                .query_one(
                    "INSERT INTO source (path, recipe) VALUES ($1, $2) \
                     ON CONFLICT (path) DO UPDATE SET recipe = excluded.recipe RETURNING id",
                    &[&path, &recipe],
                )
                .map_err(refused(doing))?;
            let id = SourceId(row.get(0));
            rows::add_tags(tx, TagOwner::Source(id), &clean_tags(&source.tags))?;
            Ok(id)
        })
    }

    fn sources(&self) -> Result<Vec<Source>, LibraryError> {
        self.with(rows::sources)
    }

    fn remove_source(&self, source: SourceId) -> Result<u64, LibraryError> {
        let doing = "remove a place";
        self.write(doing, |tx| {
            let row = tx
                .query_one(
                    "SELECT count(*) FROM item JOIN entry ON entry.id = item.entry WHERE entry.source = $1",
                    &[&source.0],
                )
                .map_err(refused(doing))?;
            let n_item: i64 = row.get(0);
            match tx.execute("DELETE FROM source WHERE id = $1", &[&source.0]).map_err(refused(doing))? {
                0 => Err(LibraryError::Unknown { what: "place" }),
                _ => Ok(n_item as u64),
            }
        })
    }

    fn entries(&self, source: Option<SourceId>) -> Result<Vec<Entry>, LibraryError> {
        self.with(|client| rows::entries(client, source))
    }

    fn begin_entry(&self, draft: &EntryDraft) -> Result<EntryId, LibraryError> {
        let doing = "begin a file";
        let path = path_text(&draft.path)?;
        self.write(doing, |tx| {
            tx.execute(
                "DELETE FROM item USING entry WHERE item.entry = entry.id AND entry.source = $1 AND entry.path = $2 \
                 AND entry.slide IS DISTINCT FROM $3",
                &[&draft.source.0, &path, &draft.slide.0],
            )
            .map_err(refused(doing))?;
            let row = tx
                .query_one(
                    "INSERT INTO entry (source, path, slide, state, base_um_per_px, stain) \
                     VALUES ($1, $2, $3, 'partial', $4, $5) ON CONFLICT (source, path) DO UPDATE SET \
                     slide = excluded.slide, state = 'partial', reason = NULL, \
                     base_um_per_px = excluded.base_um_per_px, stain = excluded.stain RETURNING id",
                    &[&draft.source.0, &path, &draft.slide.0, &draft.base_um_per_px, &draft.stain.name()],
                )
                .map_err(refused(doing))?;
            Ok(EntryId(row.get(0)))
        })
    }

    fn end_entry(&self, entry: EntryId, end: &EntryEnd) -> Result<(), LibraryError> {
        let doing = "end a file";
        self.write(doing, |tx| {
            let n = tx
                .execute(
                    "UPDATE entry SET state = $2, reason = $3, n_byte = $4, modified_ns = $5, plan_hash = $6 \
                     WHERE id = $1",
                    &[
                        &entry.0,
                        &end.state.name(),
                        &end.reason,
                        &(end.n_byte as i64),
                        &end.modified_ns,
                        &end.plan_hash,
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
            let row = tx
                .query_one(
                    "INSERT INTO entry (source, path, state, reason, n_byte, modified_ns, plan_hash, stain) \
                     VALUES ($1, $2, 'failed', $3, $4, $5, $6, 'other') ON CONFLICT (source, path) DO UPDATE SET \
                     slide = NULL, state = 'failed', reason = excluded.reason, n_byte = excluded.n_byte, \
                     modified_ns = excluded.modified_ns, plan_hash = excluded.plan_hash RETURNING id",
                    &[&source.0, &path, &end.reason, &(end.n_byte as i64), &end.modified_ns, &end.plan_hash],
                )
                .map_err(refused(doing))?;
            let id: i64 = row.get(0);
            tx.execute("DELETE FROM item WHERE entry = $1", &[&id]).map_err(refused(doing))?;
            Ok(EntryId(id))
        })
    }

    fn mark_vanished(&self, vanished: &[EntryId], back: &[EntryId]) -> Result<(), LibraryError> {
        let doing = "note what is gone";
        self.write(doing, |tx| {
            for (entries, state) in [(vanished, EntryState::Vanished), (back, EntryState::Done)] {
                let ids: Vec<i64> = entries.iter().map(|entry| entry.0).collect();
                tx.execute("UPDATE entry SET state = $2 WHERE id = ANY($1)", &[&ids, &state.name()])
                    .map_err(refused(doing))?;
            }
            Ok(())
        })
    }

    fn remove_entries(&self, entries: &[EntryId]) -> Result<u64, LibraryError> {
        let doing = "remove a file";
        let ids: Vec<i64> = entries.iter().map(|entry| entry.0).collect();
        self.write(doing, |tx| {
            let n_item =
                tx.execute("DELETE FROM item WHERE entry = ANY($1)", &[&ids]).map_err(refused(doing))?;
            tx.execute("DELETE FROM entry WHERE id = ANY($1)", &[&ids]).map_err(refused(doing))?;
            Ok(n_item)
        })
    }

    fn item_keys(&self, entry: EntryId) -> Result<Vec<String>, LibraryError> {
        self.with(|client| rows::item_keys(client, entry))
    }

    fn add_items(&self, entry: EntryId, items: &[NewItem]) -> Result<(), LibraryError> {
        if self.model().is_none() {
            return Err(LibraryError::Empty);
        }
        for item in items {
            self.checked(&item.embedding)?;
        }
        self.write("add items", |tx| rows::add_items(tx, entry, items))
    }

    fn remove_items(&self, entry: EntryId, keys: &[String]) -> Result<(), LibraryError> {
        let doing = "remove items";
        self.write(doing, |tx| {
            tx.execute("DELETE FROM item WHERE entry = $1 AND key = ANY($2)", &[&entry.0, &keys])
                .map_err(refused(doing))?;
            Ok(())
        })
    }

    fn set_tags(&self, owner: TagOwner, tags: &[String]) -> Result<(), LibraryError> {
        self.write("set tags", |tx| {
            rows::clear_tags(tx, owner)?;
            rows::add_tags(tx, owner, &clean_tags(tags))
        })
    }

    fn set_stain(&self, entry: EntryId, stain: Option<Stain>) -> Result<(), LibraryError> {
        let doing = "set a stain";
        let name = stain.map(Stain::name);
        self.write(doing, |tx| {
            let n = tx
                .execute("UPDATE entry SET stain_stated = $2 WHERE id = $1", &[&entry.0, &name])
                .map_err(refused(doing))?;
            if n == 0 { Err(LibraryError::Unknown { what: "file" }) } else { Ok(()) }
        })
    }

    fn nearest(&self, query: &Embedding, n: usize, filter: &Filter) -> Result<Vec<Hit>, LibraryError> {
        let Some(model) = self.checked(query)? else { return Ok(Vec::new()) };
        self.with(|client| rows::nearest(client, query, n, filter, &model))
    }

    fn embedding(&self, item: ItemId) -> Result<Option<Embedding>, LibraryError> {
        let Some(model) = self.model() else { return Ok(None) };
        self.with(|client| rows::embedding(client, item, &model))
    }

    fn status(&self) -> Result<LibraryStatus, LibraryError> {
        let (place, model) = (self.place(), self.model());
        self.with(|client| rows::status(client, place, model))
    }

    fn flush(&self) -> Result<(), LibraryError> {
        // The server keeps its index itself; fresh statistics make it use it.
        self.with(|client| client.batch_execute("ANALYZE item, entry, tag").map_err(refused("tidy up")))
    }
}
