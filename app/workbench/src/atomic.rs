//! Files that are there whole or not at all.
//!
//! A file is written beside its place under another name, brought to the disk, and renamed: a full disk, a crash
//! or a loss of power leaves the old one. Held true by the tests below and those of `annotation`.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Readers {
    /// The user alone: what the program keeps.
    Owner,
    /// Whom the user's settings allow: what was exported.
    AsUsual,
}

/// How a file was when it was last read or written: another one shows that somebody else wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    n_byte: u64,
    inode: u64,
}

impl Stamp {
    /// The stamp of a file; none where it is not there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        #[cfg(unix)]
        let inode = std::os::unix::fs::MetadataExt::ino(&meta);
        #[cfg(not(unix))]
        let inode = 0;
        Some(Self { modified: meta.modified().ok(), n_byte: meta.len(), inode })
    }
}

/// Keeps other programs of ours from writing in a folder while it lives; none where the folder is missing or
/// knows no locks.
pub(crate) fn lock_in(folder: &Path) -> Option<File> {
    let lock = File::options().create(true).append(true).open(folder.join(".lock")).ok()?;
    lock.lock().ok()?;
    Some(lock)
}

/// Writes a file by way of another name.
pub(crate) fn write_whole<E: From<io::Error>>(
    path: &Path,
    readers: Readers,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".eosin-").suffix(".part");
    if let Some(permissions) = permissions(readers) {
        builder.permissions(permissions);
    }
    let part = builder.tempfile_in(folder)?;
    let mut out = BufWriter::with_capacity(64 << 10, part.as_file());
    write(&mut out)?;
    out.flush()?;
    drop(out);
    part.as_file().sync_all()?;
    part.persist(path).map_err(|failed| failed.error)?;
    sync_folder(folder);
    Ok(())
}

/// Makes a folder that only the user may look into, and those above it that are missing.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}

/// Makes `copy` what `path` is now, without a moment in which neither is there.
pub(crate) fn keep_copy(path: &Path, copy: &Path) -> io::Result<()> {
    match std::fs::remove_file(copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A second name costs nothing; some file systems have none.
    std::fs::hard_link(path, copy).or_else(|_no_links| std::fs::copy(path, copy).map(drop))
}

/// Copies a damaged file to a free name beside it, `….damaged-1`, and says which.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1..10_000 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            std::fs::copy(path, &aside)?;
            return Ok(aside);
        }
    }
    Err(io::Error::other("there are ten thousand damaged copies already"))
}

/// A rename counts once the folder is on the disk; where a folder cannot be synchronised, nothing is lost by it.
fn sync_folder(folder: &Path) {
    if cfg!(unix)
        && let Ok(folder) = File::open(folder)
    {
        let _ = folder.sync_all();
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
fn permissions(readers: Readers) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(Permissions::from_mode(match readers {
        Readers::Owner => 0o600,
        // The user's mask takes away what it does not allow.
        Readers::AsUsual => 0o666,
    }))
}

#[cfg(not(unix))]
fn permissions(_readers: Readers) -> Option<Permissions> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write_whole::<io::Error>(&path, Readers::Owner, |out| out.write_all(b"first")).unwrap();
        let failed = write_whole::<io::Error>(&path, Readers::Owner, |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left behind: {names:?}");
        assert!(set_aside(&path).unwrap().ends_with("kept.damaged-1"));
        assert!(set_aside(&path).unwrap().ends_with("kept.damaged-2"));
        keep_copy(&path, &folder.path().join("copy")).unwrap();
        write_whole::<io::Error>(&path, Readers::Owner, |out| out.write_all(b"second")).unwrap();
        assert_eq!(std::fs::read(folder.path().join("copy")).unwrap(), b"first");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
