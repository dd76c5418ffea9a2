//! A damaged book becomes a whole one: what can be read is copied row by row into a new file.
//!
//! The damaged file is first copied aside, log included, and never touched again. Then every table is walked in the
//! order of its numbers; where a page cannot be read the walk goes on behind it. A file whose first page is lost
//! is given that of an empty book, because the tables of every book begin at the same pages. The new book's
//! audit trail goes on from the old one, with an entry that says what was lost. Held true by `tests/damage.rs` of this
//! crate.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde_json::json;

use crate::audit::{self, Action, Subject};
use crate::chat::{AnswerId, ChatId, TurnId};
use crate::error::{CaseError, Outcome, at};
use crate::open::{Opening, beside, beside_wal, create_private};
use crate::write::{index, now, salt};
use crate::{picture, schema};

/// Longest jump over numbers that cannot be read.
const MAX_JUMP: i64 = 1 << 40;
/// Faults that the entry of a rebuild names; a book with more is beyond proof.
const MAX_FAULTS: usize = 10_000;

/// Copies the damaged book at `path` aside and puts a whole one in its place. The caller holds the book alone.
pub(crate) fn rebuild(path: &Path) -> Result<Opening, CaseError> {
    let backup = copy_aside(path)?;
    let (work, fresh) = (beside(path, "salvage"), beside(path, "rebuilding"));
    let built = build(path, &backup, &work, &fresh);
    for file in [&work, &beside_wal(&work), &with_ending(&work, "-shm"), &with_ending(&work, "-journal")] {
        let _ = std::fs::remove_file(file);
    }
    let (n_kept, n_lost) = match built {
        Ok(counts) => counts,
        Err(error) => {
            let _ = std::fs::remove_file(&fresh);
            return Err(error);
        }
    };
    // The old log must not meet the new file; the copy aside has it.
    for file in [beside_wal(path), with_ending(path, "-shm")] {
        let _ = std::fs::remove_file(file);
    }
    std::fs::rename(&fresh, path).map_err(at(path))?;
    let _ = std::fs::remove_file(beside(path, "suspect"));
    let head = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY);
    if let Ok(head) = head.map_err(Into::into).and_then(|connection| audit::last(&connection)) {
        audit::write_head(path, head);
    }
    Ok(Opening::Rebuilt { backup, n_kept, n_lost })
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A copy under a name of its own, on the disk before anything else happens.
fn copy_aside(path: &Path) -> Result<PathBuf, CaseError> {
    let time: String = now().chars().filter(char::is_ascii_digit).take(14).collect();
    let backup = (0_u32..1000)
        .map(|copy_idx| if copy_idx == 0 { time.clone() } else { format!("{time}-{copy_idx}") })
        .map(|name| beside(path, &format!("damaged-{name}")))
        .find(|backup| !backup.exists())
        .unwrap_or_else(|| beside(path, "damaged"));
    copy(path, &backup)?;
    if beside_wal(path).exists() {
        copy(&beside_wal(path), &beside_wal(&backup))?;
    }
    Ok(backup)
}

fn copy(from: &Path, to: &Path) -> Result<(), CaseError> {
    create_private(to)?;
    let copied = File::open(from).and_then(|mut source| {
        let mut target = File::options().write(true).truncate(true).open(to)?;
        std::io::copy(&mut source, &mut target)?;
        target.sync_all()
    });
    copied.map_err(|error| {
        let _ = std::fs::remove_file(to);
        at(to)(error)
    })
}

/// Fills `fresh` from a copy of the backup at `work`.
fn build(book: &Path, backup: &Path, work: &Path, fresh: &Path) -> Result<(u64, u64), CaseError> {
    let _ = std::fs::remove_file(fresh);
    create_private(fresh)?;
    let built = (|| {
        let mut target = Connection::open(fresh)?;
        schema::settle(&target)?;
        // What belongs to lost rows is kept too, so order and references are put right afterwards.
        target.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF;")?;
        schema::migrate(&mut target)?;
        let source = readable_copy(backup, work, fresh)?;
        let transaction = target.transaction()?;
        let (mut n_kept, mut n_lost) = (0, 0);
        for table in schema::TABLES {
            let tally = match &source {
                Some(source) => copy_table(source, &transaction, table)?,
                None => Tally::default(),
            };
            n_kept += tally.n_kept;
            n_lost += tally.n_lost;
        }
        n_lost += mend(&transaction)?;
        // Where not even the count of a table is left, the second place says at least how many entries there were.
        let n_entry: i64 = transaction.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
        if let audit::Kept::Head(head) = audit::read_head(book) {
            n_lost = n_lost.max(head.seq.saturating_sub(n_entry as u64));
        }
        declare(book, &transaction, backup, n_kept, n_lost)?;
        transaction.commit()?;
        target.close().map_err(|(_, error)| error)?;
        Ok((n_kept, n_lost))
    })();
    let counts = built.map_err(|trouble: crate::error::Trouble| trouble.told(fresh))?;
    File::open(fresh).and_then(|file| file.sync_all()).map_err(at(fresh))?;
    Ok(counts)
}

/// Opens a copy of the backup; where it no longer says what is in it, the pages of an empty book that do are put there.
fn readable_copy(backup: &Path, work: &Path, empty: &Path) -> Outcome<Option<Connection>> {
    let attempt = |schema: Option<&[(u64, Vec<u8>)]>| -> Outcome<Option<Connection>> {
        copy(backup, work)?;
        let _ = std::fs::remove_file(beside_wal(work));
        if beside_wal(backup).exists() {
            copy(&beside_wal(backup), &beside_wal(work))?;
        }
        if let Some(pages) = schema {
            put_schema(work, pages).map_err(at(work))?;
        }
        let Ok(connection) = Connection::open_with_flags(work, OpenFlags::SQLITE_OPEN_READ_WRITE) else {
            return Ok(None);
        };
        // Defensive reading: a page that looks wrong is an error, not a row.
        let settled = connection.execute_batch("PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF;");
        let listed = settled.and_then(|()| {
            connection
                .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'audit'", [], |row| row.get(0))
        });
        Ok(matches!(listed, Ok(1_i64)).then_some(connection))
    };
    if let Some(connection) = attempt(None)? {
        return Ok(Some(connection));
    }
    attempt(Some(&schema_pages(empty)?))
}

/// The pages of an empty book that say where its tables are, each with its number.
fn schema_pages(empty: &Path) -> Outcome<Vec<(u64, Vec<u8>)>> {
    let connection = Connection::open_with_flags(empty, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut query =
        connection.prepare("SELECT pageno FROM dbstat WHERE name IN ('sqlite_schema', 'sqlite_master')")?;
    let numbers: Vec<i64> = query.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let bytes = std::fs::read(empty).map_err(at(empty))?;
    let page = |number: u64| {
        let start = usize::try_from(number - 1).ok()? * schema::PAGE_BYTES;
        Some((number, bytes.get(start..start + schema::PAGE_BYTES)?.to_vec()))
    };
    Ok(numbers
        .into_iter()
        .filter_map(|number| page(u64::try_from(number).ok().filter(|number| *number > 0)?))
        .collect())
}

/// Overwrites a file's schema with that of an empty book: the tables begin at the same pages in every book.
fn put_schema(work: &Path, pages: &[(u64, Vec<u8>)]) -> std::io::Result<()> {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let mut file = File::options().read(true).write(true).open(work)?;
    let n_page = file.metadata()?.len() / schema::PAGE_BYTES as u64;
    for (number, page) in pages.iter().filter(|(number, _)| *number <= n_page) {
        let mut page = page.clone();
        if *number == 1 {
            // The header counts pages, and lists free ones, which are left to themselves.
            page[28..32].copy_from_slice(&u32::try_from(n_page).unwrap_or(u32::MAX).to_be_bytes());
            page[32..40].fill(0);
        }
        file.seek(SeekFrom::Start((number - 1) * schema::PAGE_BYTES as u64))?;
        file.write_all(&page)?;
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    n_kept: u64,
    n_lost: u64,
}

/// Columns of a table, in the order of the new book.
fn columns(connection: &Connection, table: &str) -> Outcome<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let names = query.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<rusqlite::Result<_>>()?)
}

/// Copies the rows that can be read, both ways into every gap.
fn copy_table(source: &Connection, target: &Connection, table: &str) -> Outcome<Tally> {
    let wanted = columns(target, table)?;
    let there = columns(source, table).unwrap_or_default();
    // A book of an older version has fewer columns.
    let columns: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|name| there.iter().any(|own| own == name)).collect();
    let list = columns.join(", ");
    let marks = vec!["?"; columns.len()].join(", ");
    let mut insert = target.prepare(&format!("INSERT OR IGNORE INTO {table} ({list}) VALUES ({marks})"))?;
    let mut tally = Tally::default();
    let mut keep = |values: &[Value]| -> Outcome<()> {
        match insert.execute(params_from_iter(values)) {
            Ok(1) => tally.n_kept += 1,
            // A row that no book can hold (a wrong type, a number twice) was no row of ours.
            Ok(_) => tally.n_lost += 1,
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                tally.n_lost += 1;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    };
    let mut lost = 0_u64;
    let forward = format!("SELECT {list} FROM {table} WHERE id > ?1 AND id < ?2 ORDER BY id");
    let backward = format!("SELECT {list} FROM {table} WHERE id > ?1 AND id < ?2 ORDER BY id DESC");
    let mut after = 0;
    loop {
        let Some(stuck) = walk(source, &forward, after, i64::MAX, &mut keep)? else { break };
        // Behind `stuck` something cannot be read: look for the next number that can.
        let mut jump = 1;
        let beyond = loop {
            if jump > MAX_JUMP {
                break None;
            }
            let probe = format!("SELECT id FROM {table} WHERE id > ?1 ORDER BY id LIMIT 1");
            let probed = source.query_row(&probe, [stuck + jump], |row| row.get::<_, i64>(0));
            match probed {
                Ok(id) => break Some(id),
                Err(rusqlite::Error::QueryReturnedNoRows) => break None,
                Err(_) => jump *= 2,
            }
        };
        let end = beyond.unwrap_or_else(|| highest(source, table).max(stuck) + 1);
        let from_behind = walk(source, &backward, stuck, end, &mut keep)?;
        let reached = from_behind.unwrap_or(stuck + 1);
        lost += u64::try_from(reached - stuck - 1).unwrap_or(0);
        let Some(beyond) = beyond else { break };
        after = beyond - 1;
        if after <= stuck {
            after = stuck + 1;
        }
    }
    tally.n_lost += lost;
    // Numbers are never given twice, whether their rows are still there or not.
    let next = highest(source, table);
    target.execute(
        "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
        rusqlite::params![table, next],
    )?;
    Ok(tally)
}

/// The highest number that a table ever gave, as far as the file says.
fn highest(source: &Connection, table: &str) -> i64 {
    let query = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    source.query_row(query, [table], |row| row.get::<_, i64>(0)).unwrap_or(0).clamp(0, MAX_JUMP)
}

/// Reads rows until the end (nothing) or until one cannot be read (the number of the last that could).
fn walk(
    source: &Connection,
    query: &str,
    after: i64,
    before: i64,
    keep: &mut impl FnMut(&[Value]) -> Outcome<()>,
) -> Outcome<Option<i64>> {
    let downwards = query.ends_with("DESC");
    let mut last = if downwards { before } else { after };
    let Ok(mut query) = source.prepare(query) else { return Ok(Some(last)) };
    let n_column = query.column_count();
    let Ok(mut rows) = query.query([after, before]) else { return Ok(Some(last)) };
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(last)),
        };
        let mut values = Vec::with_capacity(n_column);
        for column_idx in 0..n_column {
            let Ok(value) = row.get_ref(column_idx) else { return Ok(Some(last)) };
            values.push(match value {
                // Words with a damaged letter are still words.
                ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Real(number) => Value::Real(number),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            });
        }
        let Some(Value::Integer(id)) = values.first() else { return Ok(Some(last)) };
        let id = *id;
        // A damaged page may lead in a circle.
        if (downwards && id >= last) || (!downwards && id <= last) {
            return Ok(Some(last));
        }
        last = id;
        keep(&values)?;
    }
}

/// Puts references right: what belongs to a lost row gets a place holder, and pictures are held against their names.
fn mend(connection: &Connection) -> Outcome<u64> {
    let ids = |query: &str| -> Outcome<Vec<i64>> {
        let mut query = connection.prepare(query)?;
        let ids = query.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    };
    let mut n_lost = 0;
    for id in ids("SELECT id FROM image")? {
        let (hash, png): (String, Vec<u8>) =
            connection.query_row("SELECT hash, png FROM image WHERE id = ?1", [id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        if picture::decode(&png).is_none_or(|pixels| picture::hash(&pixels).0 != hash) {
            connection.execute("DELETE FROM image WHERE id = ?1", [id])?;
            n_lost += 1;
        }
    }
    // A turn that is lost was in some chat; which one, the audit trail may know.
    for turn in ids("SELECT DISTINCT turn FROM answer UNION SELECT DISTINCT turn FROM turn_image
                     EXCEPT SELECT id FROM turn")?
    {
        let known = "SELECT chat FROM audit WHERE turn = ?1 AND chat IS NOT NULL LIMIT 1";
        let chat: i64 = connection.query_row(known, [turn], |row| row.get(0)).unwrap_or(0);
        let chat = if chat > 0 { chat } else { spare_chat(connection)? };
        connection.execute(
            "INSERT INTO turn (id, chat, at, question, choices, style, salt) VALUES (?1, ?2, ?3, '', '[]', '', ?4)",
            rusqlite::params![turn, chat, now(), salt()],
        )?;
    }
    for chat in ids("SELECT DISTINCT chat FROM turn EXCEPT SELECT id FROM chat")? {
        connection.execute(
            "INSERT INTO chat (id, at, title, salt) VALUES (?1, ?2, ?3, ?4)",
            rusqlite::params![chat, now(), LOST_TITLE, salt()],
        )?;
    }
    // A question whose parent is lost opens its chat.
    connection.execute("UPDATE turn SET parent = NULL WHERE parent NOT IN (SELECT id FROM answer)", [])?;
    words(connection)?;
    Ok(n_lost)
}

/// The title of a chat whose own was lost.
const LOST_TITLE: &str = "(recovered)";

fn spare_chat(connection: &Connection) -> Outcome<i64> {
    let query = "SELECT id FROM chat WHERE title = ?1 LIMIT 1";
    if let Ok(id) = connection.query_row(query, [LOST_TITLE], |row| row.get(0)) {
        return Ok(id);
    }
    connection.execute(
        "INSERT INTO chat (at, title, salt) VALUES (?1, ?2, ?3)",
        rusqlite::params![now(), LOST_TITLE, salt()],
    )?;
    Ok(connection.last_insert_rowid())
}

/// Makes the searched copy anew.
fn words(connection: &Connection) -> Outcome<()> {
    let mut rows = connection.prepare(
        "SELECT id, NULL, NULL, title FROM chat
         UNION ALL SELECT turn.chat, turn.id, NULL, question || char(10)
            || coalesce((SELECT group_concat(value, char(10)) FROM json_each(turn.choices)), '') || char(10)
            || coalesce((SELECT group_concat(slide_title, char(10)) FROM turn_image WHERE turn = turn.id), '')
            FROM turn WHERE json_valid(turn.choices)
         UNION ALL SELECT turn.chat, turn.id, answer.id, answer.answer || char(10) || answer.reasoning
            FROM answer JOIN turn ON turn.id = answer.turn WHERE answer.state <> 'running'",
    )?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let (turn, answer): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(2)?);
        let text: String = row.get(3)?;
        index(connection, ChatId(row.get(0)?), turn.map(TurnId), answer.map(AnswerId), text.trim())?;
    }
    Ok(())
}

/// The entry that says what was lost, so that the trail can be verified from here on.
fn declare(book: &Path, connection: &Connection, backup: &Path, n_kept: u64, n_lost: u64) -> Outcome<()> {
    let kept = audit::read_head(book);
    let faults = audit::faults(connection, &kept)?.faults;
    let faults: Vec<String> = faults.into_iter().take(MAX_FAULTS).map(|fault| fault.what).collect();
    let backup = backup.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let detail = json!({ "backup": backup, "faults": faults, "n_kept": n_kept, "n_lost": n_lost });
    audit::append(connection, Action::Rebuilt, Subject::default(), None, detail)
}
