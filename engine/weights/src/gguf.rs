//! GGUF, the container of llama.cpp: reading and writing version 3.
//!
//! Format: "GGUF" file specification of ggml (magic, counts, typed key-value pairs, tensor descriptions,
//! aligned data). The header is copied out and checked once; tensors stay in the mapped file.
//! `tests/gguf.rs` cuts and corrupts files, `tests/kit.rs` compares every tensor of llama.cpp's own files.

mod meta;
mod read;
mod write;

pub use self::meta::{Meta, MetaArray, MetaValue};
pub use self::write::GgufWriter;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::map::Mapping;
use crate::{GgmlType, RawTensor, WeightError, WeightSource};

/// Bytes that the data of tensors is aligned to where a file does not say.
pub(crate) const DEFAULT_ALIGNMENT: u32 = 32;

/// One tensor of an open file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: GgmlType,
    /// Outermost first.
    pub(crate) shape: Vec<usize>,
    /// Place of the elements in the file.
    pub(crate) range: std::ops::Range<usize>,
}

/// An open GGUF file.
#[derive(Clone, Debug)]
pub struct Gguf {
    path: PathBuf,
    bytes: Bytes,
    mapping: Mapping,
    meta: Meta,
    entries: Vec<Entry>,
    idx_by_name: HashMap<String, usize>,
}

impl Gguf {
    /// Opens a file by mapping it and checking its header.
    ///
    /// # Errors
    /// [`WeightError::Read`], [`WeightError::Malformed`] or [`WeightError::Unsupported`].
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        let (bytes, mapping) = crate::map::map_with_hold(path)?;
        Ok(Self { mapping, ..Self::parse(bytes, path)? })
    }

    /// Gives the memory that holds the file's pages back to the system. Tensors stay: what is read again comes from the
    /// file, or from what the system keeps of it.
    pub fn release(&self) {
        self.mapping.release();
    }

    /// Reads a file that is already in memory.
    ///
    /// # Errors
    /// As [`Gguf::open`]; the file is called `<memory>`.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, WeightError> {
        Self::parse(bytes, Path::new("<memory>"))
    }

    fn parse(bytes: Bytes, path: &Path) -> Result<Self, WeightError> {
        let header = read::header(&bytes).map_err(|refusal| refusal.of("GGUF", path))?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            mapping: Mapping::default(),
            meta: Meta::new(header.meta, path),
            entries: header.entries,
            idx_by_name: header.idx_by_name,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key-value pairs.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Size of the file.
    pub fn n_byte(&self) -> usize {
        self.bytes.len()
    }
}

impl WeightSource for Gguf {
    fn names(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.idx_by_name.contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<RawTensor, WeightError> {
        let Some(idx) = self.idx_by_name.get(name) else {
            return Err(WeightError::MissingTensor { name: name.to_owned(), path: self.path.clone() });
        };
        let entry = &self.entries[*idx];
        RawTensor::new(name, entry.kind, entry.shape.clone(), self.bytes.slice(entry.range.clone()))
    }
}
