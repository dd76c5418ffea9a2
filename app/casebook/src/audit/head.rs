//! The second place: number and hash of the last entry, in a file beside the case book.
//!
//! A chain says nothing about an end that was cut off. This file is written after each transaction, and only
//! forward: never when the book does not hold what it says, so that a shortened or exchanged book stays
//! detectable. It may be behind the book (a kill between the two), which is no fault.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _};

use crate::open::{beside, create_private};

/// Number and hash of an entry; number 0 is before the first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

/// The file's ending after the book's name.
const ENDING: &str = "audit-head";
/// More than a whole file has.
const MOST_BYTES: u64 = 256;

/// What the second place says: nothing where there is none, or something that is no head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    Absent,
    Unreadable,
    Head(Head),
}

/// Reads the second place.
pub(crate) fn read_head(book: &Path) -> Kept {
    File::open(beside(book, ENDING)).map_or(Kept::Absent, |mut file| read(&mut file))
}

fn read(file: &mut File) -> Kept {
    let mut text = String::new();
    if file.take(MOST_BYTES).read_to_string(&mut text).is_err() {
        return Kept::Unreadable;
    }
    if text.is_empty() {
        return Kept::Absent;
    }
    let mut words = text.split_whitespace();
    let (Some(seq), Some(hash), None) =
        (words.next().and_then(|word| word.parse().ok()), words.next(), words.next())
    else {
        return Kept::Unreadable;
    };
    let hash = hash.to_owned();
    if hash.len() == 64 { Kept::Head(Head { seq, hash }) } else { Kept::Unreadable }
}

/// Moves the second place forward to the book's last entry. A failure is no error of the caller's, whose words are
/// kept: the next change tries again, and until then the end is unguarded.
pub(crate) fn keep_head(book: &Path, connection: &Connection) {
    let Ok(last) = super::last(connection) else { return };
    let _ = locked(book, |file| {
        let forward = match read(file) {
            Kept::Absent => true,
            Kept::Unreadable => false,
            Kept::Head(kept) => {
                let hash = "SELECT hash FROM audit WHERE id = ?1";
                let own: Option<String> =
                    connection.query_row(hash, [kept.seq as i64], |row| row.get(0)).optional().ok().flatten();
                kept.seq < last.seq && own == Some(kept.hash)
            }
        };
        if forward { put(file, &last) } else { Ok(()) }
    });
}

/// Sets the second place, whatever it says: for a new book, a copy, and a rebuilt one that has declared its losses.
#[expect(clippy::needless_pass_by_value, reason = "made for it")]
pub(crate) fn write_head(book: &Path, head: Head) {
    let _ = locked(book, |file| put(file, &head));
}

fn locked(book: &Path, then: impl FnOnce(&mut File) -> std::io::Result<()>) -> std::io::Result<()> {
    let path = beside(book, ENDING);
    let _ = create_private(&path);
    let mut file = File::options().read(true).write(true).open(&path)?;
    // Two programs that finish at once: the later entry wins, because both look before they write.
    file.lock()?;
    then(&mut file)
}

/// One small write over what is there: the width is fixed, so that no rest of an older one stays.
fn put(file: &mut File, head: &Head) -> std::io::Result<()> {
    let line = format!("{:020} {:64}\n", head.seq, head.hash);
    file.rewind()?;
    file.write_all(line.as_bytes())?;
    file.set_len(line.len() as u64)
}
