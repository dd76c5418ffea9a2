//! What can be read of a damaged database goes into a new one; the damaged one is kept beside it.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::error::LibraryError;
use crate::item::Opening;
use crate::sqlite::rows::refused;
use crate::sqlite::{make_private_file, schema};

/// Tables in the order in which they refer to each other, with the columns that are taken over.
const TABLES: [(&str, &str); 5] = [
    ("source", "id, path, recipe"),
    (
        "entry",
        "id, source, path, slide, n_byte, modified_ns, plan_hash, state, reason, base_um_per_px, stain, stain_stated",
    ),
    ("item", "id, entry, key, kind, x, y, width, height, downsample"),
    ("vector", "item, floats"),
    ("tag", "owner, id, name"),
];

/// Puts the database aside and makes another of what can be read.
pub(super) fn rebuild(path: &Path) -> Result<(Connection, Opening), LibraryError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| LibraryError::Io { path, source }
    };
    let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let backup = (0..u32::MAX)
        .map(|n| {
            path.with_extension(if n == 0 {
                format!("{stamp}.broken")
            } else {
                format!("{stamp}-{n}.broken")
            })
        })
        .find(|backup| !backup.exists())
        .unwrap_or_else(|| path.with_extension("broken"));
    for ending in ["", "-wal", "-shm"] {
        let [from, to] = [path, &backup].map(|path| with_ending(path, ending));
        match std::fs::rename(&from, &to) {
            Err(error) if ending.is_empty() => return Err(io(&from)(error)),
            _ => {}
        }
    }
    make_private_file(path).map_err(io(path))?;
    let connection = schema::open(path)?;
    copy(&backup, &connection)?;
    let count = |sql: &str| -> Result<u64, LibraryError> {
        let n: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(refused("count"))?;
        Ok(n as u64)
    };
    let n_kept = count("SELECT count(*) FROM item")?;
    let n_lost = count("SELECT count(*) FROM entry WHERE state = 'partial'")?;
    Ok((connection, Opening::Rebuilt { backup, n_kept, n_lost }))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Copies row by row; where a table breaks off, what came before is kept.
fn copy(backup: &Path, connection: &Connection) -> Result<(), LibraryError> {
    let doing = "rebuild";
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    // A file whose very head is damaged gives nothing.
    let Ok(damaged) = Connection::open_with_flags(backup, flags) else { return Ok(()) };
    connection.execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE").map_err(refused(doing))?;
    for (table, columns) in TABLES {
        copy_table(&damaged, connection, table, columns)?;
    }
    if let Ok(model) =
        damaged.query_row("SELECT value FROM meta WHERE key = 'model'", [], |row| row.get::<_, String>(0))
    {
        connection
            .execute("INSERT OR IGNORE INTO meta (key, value) VALUES ('model', ?1)", [model])
            .map_err(refused(doing))?;
    }
    // Nothing may refer to what is lost. Files that lost items, or may have, are looked at again.
    connection
        .execute_batch(
            "DELETE FROM entry WHERE source NOT IN (SELECT id FROM source);
             DELETE FROM item WHERE entry NOT IN (SELECT id FROM entry);
             DELETE FROM vector WHERE item NOT IN (SELECT id FROM item);
             DELETE FROM item WHERE id NOT IN (SELECT item FROM vector);
             UPDATE entry SET state = 'partial' WHERE state = 'done';
             UPDATE meta SET value = value + 1 WHERE key = 'change';
             COMMIT; PRAGMA foreign_keys = ON;",
        )
        .map_err(refused(doing))
}

fn copy_table(
    damaged: &Connection,
    connection: &Connection,
    table: &str,
    columns: &str,
) -> Result<(), LibraryError> {
    let n_column = columns.split(',').count();
    let marks = vec!["?"; n_column].join(", ");
    let mut insert = connection
        .prepare(&format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"))
        .map_err(refused("rebuild"))?;
    let Ok(mut select) = damaged.prepare(&format!("SELECT {columns} FROM {table}")) else { return Ok(()) };
    let Ok(mut rows) = select.query([]) else { return Ok(()) };
    while let Ok(Some(row)) = rows.next() {
        let values: rusqlite::Result<Vec<Value>> = (0..n_column).map(|column| row.get(column)).collect();
        let Ok(values) = values else { break };
        // A row that breaks a rule of the tables is damaged itself.
        match insert.execute(params_from_iter(values)) {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) => {
                return Err(LibraryError::Full);
            }
            _ => {}
        }
    }
    Ok(())
}
