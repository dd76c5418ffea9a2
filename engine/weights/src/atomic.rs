//! Files that are either whole or absent.
//!
//! Weights are written beside their final name and renamed at the end, so that a full disk or a stopped
//! program never leaves half a model under a name that something else would open.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::WeightError;

/// A file under construction; removed again unless [`AtomicFile::finish`] is reached.
pub(crate) struct AtomicFile {
    target: PathBuf,
    temporary: PathBuf,
    writer: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Starts a file that will replace `target`.
    pub(crate) fn create(target: &Path) -> Result<Self, WeightError> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let temporary = target.with_file_name(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&temporary)
            .map_err(|source| WeightError::Write { path: target.to_owned(), source })?;
        let writer = Some(BufWriter::with_capacity(1 << 20, file));
        Ok(Self { target: target.to_owned(), temporary, writer })
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WeightError> {
        let writer = self.writer.as_mut().expect("present until `finish` consumes the file");
        writer.write_all(bytes).map_err(|source| WeightError::Write { path: self.target.clone(), source })
    }

    /// Gives the file its name, once all of it is on the disk.
    pub(crate) fn finish(mut self) -> Result<(), WeightError> {
        let writer = self.writer.take().expect("present until `finish` consumes the file");
        writer
            .into_inner()
            .map_err(std::io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.target))
            .map_err(|source| WeightError::Write { path: self.target.clone(), source })
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        // After a rename there is nothing of this name, and then this fails as it should.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes a whole small file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), WeightError> {
    let mut file = AtomicFile::create(path)?;
    file.write(bytes)?;
    file.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut file = AtomicFile::create(&path).unwrap();
        file.write(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        write(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
