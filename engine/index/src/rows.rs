//! The exact vectors of an index by their keys: those of the file stay there and are read one by one, new ones
//! wait in memory until the next save.
//!
//! A million vectors of 512 coordinates are 2 GB; a search looks at some dozens of them. Each is stored with a
//! checksum of its own, looked at when it is read, so that opening need not read them all.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::error::{Damage, IndexError};

/// Bytes behind each vector.
pub(crate) const CHECKSUM_BYTES: usize = 8;

/// Vectors that lie in a file.
#[derive(Debug)]
pub(crate) struct Saved {
    /// Where errors are said to be.
    pub(crate) path: PathBuf,
    /// Open for reading; stays the same file when another takes its name.
    pub(crate) file: File,
    /// Where the first vector begins.
    pub(crate) first_byte: u64,
    /// Their keys, in the order of the file.
    pub(crate) keys: Vec<u64>,
}

/// Where a vector is.
#[derive(Clone, Copy, Debug)]
enum Place {
    File(usize),
    Memory(usize),
}

/// Exact vectors by key.
#[derive(Debug)]
pub(crate) struct Rows {
    d_embed: usize,
    places: HashMap<u64, Place>,
    saved: Option<Saved>,
    fresh: Vec<f32>,
}

impl Rows {
    pub(crate) fn new(d_embed: usize) -> Self {
        Self { d_embed, places: HashMap::new(), saved: None, fresh: Vec::new() }
    }

    /// The vectors of a file alone.
    pub(crate) fn of_file(d_embed: usize, saved: Saved) -> Self {
        let places =
            saved.keys.iter().enumerate().map(|(row_idx, key)| (*key, Place::File(row_idx))).collect();
        Self { d_embed, places, saved: Some(saved), fresh: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn contains(&self, key: u64) -> bool {
        self.places.contains_key(&key)
    }

    /// All keys, ascending.
    pub(crate) fn keys(&self) -> Vec<u64> {
        let mut keys: Vec<u64> = self.places.keys().copied().collect();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn add(&mut self, key: u64, values: &[f32]) {
        self.places.insert(key, Place::Memory(self.fresh.len() / self.d_embed));
        self.fresh.extend_from_slice(values);
    }

    /// Forgets a vector; says whether it was there.
    pub(crate) fn remove(&mut self, key: u64) -> bool {
        self.places.remove(&key).is_some()
    }

    /// Copies a vector; none for an unknown key.
    pub(crate) fn read(&self, key: u64, buffer: &mut RowBuffer) -> Result<Option<()>, IndexError> {
        buffer.values.clear();
        match self.places.get(&key) {
            None => return Ok(None),
            Some(Place::Memory(row_idx)) => {
                let first = row_idx * self.d_embed;
                buffer.values.extend_from_slice(&self.fresh[first..first + self.d_embed]);
            }
            Some(Place::File(row_idx)) => {
                let saved = self.saved.as_ref().expect("a row is in a file only where there is one");
                let n_byte = self.d_embed * 4 + CHECKSUM_BYTES;
                buffer.bytes.resize(n_byte, 0);
                let offset = saved.first_byte + *row_idx as u64 * n_byte as u64;
                read_at(&saved.file, &mut buffer.bytes, offset)
                    .map_err(|source| IndexError::Io { path: saved.path.clone(), source })?;
                let (values, stated) = buffer.bytes.split_at(self.d_embed * 4);
                if checksum(key, values).to_le_bytes() != *stated {
                    let source = Damage::Vector { row_idx: *row_idx };
                    return Err(IndexError::Damaged { path: saved.path.clone(), source });
                }
                buffer.values.extend(values.as_chunks::<4>().0.iter().map(|px| f32::from_le_bytes(*px)));
            }
        }
        Ok(Some(()))
    }
}

/// Room for one vector, kept between reads.
#[derive(Debug, Default)]
pub(crate) struct RowBuffer {
    /// What was read last.
    pub(crate) values: Vec<f32>,
    bytes: Vec<u8>,
}

/// Tells a changed vector, or one under another key: eight bytes at a time, each step a bijection of the state, so
/// that a change of one word always shows. No seal against intent.
pub(crate) fn checksum(key: u64, bytes: &[u8]) -> u64 {
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let state =
        words.iter().fold(mix(bytes.len() as u64, key), |state, word| mix(state, u64::from_le_bytes(*word)));
    rest.iter().fold(state, |state, byte| mix(state, u64::from(*byte)))
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        let n_byte = std::os::windows::fs::FileExt::seek_read(file, buffer, offset)?;
        if n_byte == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[n_byte..];
        offset += n_byte as u64;
    }
    Ok(())
}
