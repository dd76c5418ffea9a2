//! The database's tables, and how it is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::LibraryError;
use crate::sqlite::rows::refused;

/// "EoLi": tells our files from other SQLite databases.
const APPLICATION_ID: i64 = 0x456f_4c69;
/// Changes with the tables.
const FORMAT: i64 = 1;
/// How long another program's transaction is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Larger databases are not read through at each opening; damage shows when it is met.
const CHECKED_BYTES: u64 = 64 << 20;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('change', 0), ('labels', 0);
CREATE TABLE source (id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, recipe TEXT NOT NULL);
CREATE TABLE entry (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source INTEGER NOT NULL REFERENCES source ON DELETE CASCADE,
    path TEXT NOT NULL,
    slide TEXT,
    n_byte INTEGER NOT NULL DEFAULT 0,
    modified_ns INTEGER NOT NULL DEFAULT 0,
    plan_hash TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,
    reason TEXT,
    base_um_per_px REAL,
    stain TEXT NOT NULL,
    stain_stated TEXT,
    UNIQUE (source, path)
);
CREATE INDEX entry_by_slide ON entry (slide);
CREATE TABLE item (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entry INTEGER NOT NULL REFERENCES entry ON DELETE CASCADE,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
    downsample REAL NOT NULL,
    UNIQUE (entry, key)
);
CREATE TABLE vector (item INTEGER PRIMARY KEY REFERENCES item ON DELETE CASCADE, floats BLOB NOT NULL);
-- Owners are 'source', 'entry' and 'item'.
CREATE TABLE tag (name TEXT NOT NULL, owner TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (owner, id, name))
    WITHOUT ROWID;
CREATE INDEX tag_by_name ON tag (name, owner, id);
CREATE TRIGGER source_tags AFTER DELETE ON source BEGIN DELETE FROM tag WHERE owner = 'source' AND id = old.id; END;
CREATE TRIGGER entry_tags AFTER DELETE ON entry BEGIN DELETE FROM tag WHERE owner = 'entry' AND id = old.id; END;
CREATE TRIGGER item_tags AFTER DELETE ON item BEGIN DELETE FROM tag WHERE owner = 'item' AND id = old.id; END;
";

/// Opens a database that exists, be it empty; looks for damage where that is quick.
pub(super) fn open(path: &Path) -> Result<Connection, LibraryError> {
    let doing = "open";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(refused(doing))?;
    connection.busy_timeout(PATIENCE).map_err(refused(doing))?;
    let pragma = |name: &str| -> Result<i64, LibraryError> {
        connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(refused(doing))
    };
    // A log that is written ahead survives a kill at any moment and lets readers go on; the second setting keeps
    // the file sound after a power cut, too, which may cost the last seconds.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
        .map_err(refused(doing))?;
    let n_table: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(refused(doing))?;
    if n_table == 0 {
        let batch = format!(
            "BEGIN IMMEDIATE; {TABLES} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; \
             COMMIT;"
        );
        connection.execute_batch(&batch).map_err(refused(doing))?;
        return Ok(connection);
    }
    let format = pragma("user_version")?;
    if pragma("application_id")? != APPLICATION_ID {
        let cause = "the database in it is another program's".to_owned();
        return Err(LibraryError::BadPlace { cause });
    }
    if format != FORMAT {
        return Err(LibraryError::Newer { format, known: FORMAT });
    }
    let n_byte = std::fs::metadata(path).map_or(0, |meta| meta.len());
    if n_byte <= CHECKED_BYTES {
        let verdict: String =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(refused(doing))?;
        if verdict != "ok" {
            return Err(LibraryError::Damaged { source: verdict.into() });
        }
    }
    Ok(connection)
}
