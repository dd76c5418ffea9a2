//! Opening a case book: a new one is made private, an older one is brought forward, a damaged one is copied aside
//! and rebuilt, and answers whose makers were killed are ended with what they had said.
//!
//! Every table of words is checked on opening. The pictures, which are most of the bytes, are not: each is checked
//! against its hash when it is read, and all of them once damage was met (a file `.suspect` beside the book says
//! so). Held true by `tests/damage.rs` and `tests/kill.rs` of this crate.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::audit::{self, Action, Subject};
use crate::book::{CaseBook, Inner};
use crate::digest::hex;
use crate::error::{CaseError, Outcome, Trouble, at, sorted};
use crate::{repair, schema, write};

/// How long another program may take for its change.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was found where the case book is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opening {
    /// Nothing: a new book was made.
    Fresh,
    /// A whole book.
    Whole,
    /// A damaged book: it was copied aside, and what could be read is in a new one.
    Rebuilt {
        /// The damaged book as it was found.
        backup: PathBuf,
        /// Rows that were saved.
        n_kept: u64,
        /// Rows that were not, at most.
        n_lost: u64,
    },
}

/// What a look at the file says.
pub(crate) enum Condition {
    Empty,
    Sound,
    Damaged,
}

/// The path of a file that belongs to the book: its name with an ending.
pub(crate) fn beside(book: &Path, ending: &str) -> PathBuf {
    let mut name = book.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    book.with_file_name(name)
}

/// Makes a file that only its owner may read, unless it is there.
pub(crate) fn create_private(path: &Path) -> Result<(), CaseError> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(at(path))?;
    Ok(())
}

/// Makes a folder that only its owner may enter, unless it is there.
fn create_folder(path: &Path) -> Result<(), CaseError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(at(path))
}

impl CaseBook {
    /// Opens the book at `path`, or makes it.
    pub fn open(path: &Path) -> Result<(Self, Opening), CaseError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_folder(folder)?;
        }
        create_private(path)?;
        let guard = guard(path)?;
        shared(&guard, path)?;
        let mut opening = Opening::Whole;
        let mut connection = match look(path)? {
            (Condition::Sound, Some(connection)) => connection,
            (Condition::Empty, Some(connection)) => {
                opening = Opening::Fresh;
                connection
            }
            (_, connection) => {
                drop(connection);
                exclusive(&guard, path)?;
                // Somebody else may have rebuilt it in the meantime.
                if matches!(look(path)?.0, Condition::Damaged) {
                    opening = repair::rebuild(path)?;
                }
                let _ = guard.unlock();
                shared(&guard, path)?;
                connect(path).map_err(|trouble| trouble.told(path))?
            }
        };
        prepare(&mut connection, path).map_err(|trouble| trouble.told(path))?;
        let inner = Inner {
            connection,
            owner: hex(&write::salt()),
            alive: None,
            written: HashMap::new(),
            _open: guard,
        };
        let book = Self { path: path.to_owned(), inner: Mutex::new(inner) };
        book.begin()?;
        Ok((book, opening))
    }

    /// The first entry of a new book; the second place's, where somebody took it away; ends of orphaned answers.
    fn begin(&self) -> Result<(), CaseError> {
        let mut inner = self.lock();
        let count = |query: &str| inner.connection.query_row(query, [], |row| row.get::<_, i64>(0));
        let counted = count("SELECT count(*) FROM audit")
            .and_then(|n_entry| Ok((n_entry, count("SELECT count(*) FROM answer WHERE state = 'running'")?)));
        let (n_entry, n_running) = counted.map_err(|error| self.told(error.into()))?;
        let missing = audit::read_head(&self.path) == audit::Kept::Absent;
        let first = match (n_entry, missing) {
            (0, _) => Some(Action::BookBegun),
            (_, true) => Some(Action::HeadMissing),
            (_, false) => None,
        };
        if let Some(action) = first {
            let detail = serde_json::json!({ "version": schema::VERSION });
            self.writing(&mut inner, |transaction| {
                // Two programs may make the same book at once.
                let n_now: i64 = transaction.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
                if n_now == n_entry {
                    audit::append(transaction, action, Subject::default(), None, detail)?;
                }
                Ok(())
            })?;
        }
        if n_running > 0 {
            write::end_orphans(&mut inner, self)?;
        }
        Ok(())
    }
}

/// A connection that waits for others.
pub(crate) fn connect(path: &Path) -> Outcome<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    schema::settle(&connection)?;
    Ok(connection)
}

/// Brings a sound file forward and lets readers and writers work side by side.
fn prepare(connection: &mut Connection, path: &Path) -> Outcome<()> {
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    if schema::version(connection)? > schema::VERSION {
        let found = schema::version(connection)?;
        return Err(CaseError::Newer { found, known: schema::VERSION, path: path.to_owned() }.into());
    }
    schema::migrate(connection)
}

/// Looks at a file, and gives the connection that it looked through.
fn look(path: &Path) -> Result<(Condition, Option<Connection>), CaseError> {
    let looked = connect(path).and_then(|connection| Ok((examine(&connection, path)?, connection)));
    match looked {
        Ok((condition, connection)) => Ok((condition, Some(connection))),
        Err(Trouble::Case(error)) => Err(error),
        Err(Trouble::Sql(error)) => match sorted(error, path) {
            CaseError::Corrupt { .. } => Ok((Condition::Damaged, None)),
            error => Err(error),
        },
    }
}

/// Whether a file can be worked with. An error of SQLite that speaks of damage is damage.
pub(crate) fn examine(connection: &Connection, path: &Path) -> Outcome<Condition> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let ours = schema::TABLES.iter().filter(|name| tables.iter().any(|table| table == *name)).count();
    if tables.is_empty() {
        return Ok(Condition::Empty);
    }
    // One wrong field of a header that is otherwise ours is damage; a file with none of our tables is not ours.
    if ours == 0 {
        return Err(CaseError::Foreign { path: path.to_owned() }.into());
    }
    let found = schema::version(connection)?;
    if found > schema::VERSION && number("PRAGMA application_id")? == schema::APPLICATION_ID {
        return Err(CaseError::Newer { found, known: schema::VERSION, path: path.to_owned() }.into());
    }
    if number("PRAGMA application_id")? != schema::APPLICATION_ID || ours < schema::TABLES.len() {
        return Ok(Condition::Damaged);
    }
    let suspect = beside(path, "suspect");
    if suspect.exists() {
        let sound = check(connection, "PRAGMA quick_check(1)")? && pictures_are_sound(connection)?;
        if sound {
            let _ = std::fs::remove_file(suspect);
        }
        return Ok(if sound { Condition::Sound } else { Condition::Damaged });
    }
    // All that is in the log counts as being in the file; a file cut off shows by its length.
    let wal = beside_wal(path);
    let logged = std::fs::metadata(wal).is_ok_and(|meta| meta.len() > 0);
    let bytes = number("PRAGMA page_count")? * number("PRAGMA page_size")?;
    if !logged && std::fs::metadata(path).is_ok_and(|meta| (meta.len() as i64) < bytes) {
        return Ok(Condition::Damaged);
    }
    for table in tables.iter().filter(|table| *table != "image") {
        // Shadow tables of the index are among them; the table of the index itself has no pages.
        if !table.contains('\'')
            && table != "words"
            && !check(connection, &format!("PRAGMA quick_check('{table}')"))?
        {
            return Ok(Condition::Damaged);
        }
    }
    Ok(Condition::Sound)
}

/// The log that SQLite keeps beside a file.
pub(crate) fn beside_wal(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn check(connection: &Connection, pragma: &str) -> Outcome<bool> {
    Ok(connection.query_row(pragma, [], |row| row.get::<_, String>(0))? == "ok")
}

fn pictures_are_sound(connection: &Connection) -> Outcome<bool> {
    let mut all = connection.prepare("SELECT hash, png FROM image")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let pixels = crate::picture::decode(row.get_ref(1)?.as_blob().unwrap_or_default());
        if pixels.is_none_or(|pixels| {
            crate::picture::hash(&pixels).0 != row.get::<_, String>(0).unwrap_or_default()
        }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The file that everybody who has the book open holds locked.
fn guard(path: &Path) -> Result<File, CaseError> {
    let path = beside(path, "lock");
    create_private(&path)?;
    File::options().read(true).write(true).open(&path).map_err(at(&path))
}

fn shared(guard: &File, path: &Path) -> Result<(), CaseError> {
    patiently(path, || guard.try_lock_shared())
}

fn exclusive(guard: &File, path: &Path) -> Result<(), CaseError> {
    let _ = guard.unlock();
    patiently(path, || guard.try_lock())
}

/// Tries for a while; a file system that knows no locks has nobody to wait for.
fn patiently(path: &Path, lock: impl Fn() -> Result<(), std::fs::TryLockError>) -> Result<(), CaseError> {
    let began = Instant::now();
    while matches!(lock(), Err(std::fs::TryLockError::WouldBlock)) {
        if began.elapsed() > PATIENCE {
            return Err(CaseError::Locked { path: path.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
