//! Reads pieces of a file by their place, from several threads at once.
//!
//! A shared cursor would tear when two threads seek; positional reads have none. No length that a file
//! states is allocated before it is held against the file's own length. `tests/train_data.rs` reads every
//! format through it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// An open file that is read by offset.
#[derive(Debug)]
pub(crate) struct FileAt {
    file: File,
    n_byte: u64,
    path: PathBuf,
}

impl FileAt {
    /// Opens a regular file; a pipe would block for ever.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::other("not a file"));
        }
        Ok(Self { file: File::open(path)?, n_byte: meta.len(), path: path.to_owned() })
    }

    /// Length when it was opened.
    pub(crate) fn n_byte(&self) -> u64 {
        self.n_byte
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `n_byte` bytes from `offset` on; an error where the file has fewer.
    pub(crate) fn read(&self, offset: u64, n_byte: u64) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(n_byte).filter(|&end| end <= self.n_byte);
        if end.is_none() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it says"));
        }
        let mut bytes = vec![0; n_byte as usize];
        self.fill(&mut bytes, offset)?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn fill(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(windows)]
    fn fill(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(&self.file, bytes, offset)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    bytes = &mut bytes[n..];
                    offset += n as u64;
                }
            }
        }
        Ok(())
    }
}
