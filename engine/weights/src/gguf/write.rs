//! Writing GGUF files, one tensor in memory at a time.
//!
//! Descriptions come first in the file, so sizes must be known before data; they follow from type and
//! shape, and a tensor's bytes are only made when its turn comes. The round trip is in `tests/gguf.rs`.

use std::path::Path;

use bytes::Bytes;

use super::DEFAULT_ALIGNMENT;
use super::meta::{ARRAY_ID, MetaArray, MetaValue};
use crate::atomic::AtomicFile;
use crate::source::n_byte;
use crate::{GgmlType, WeightError};

/// Makes the bytes of one tensor when they are to be written.
type Make<'a> = Box<dyn FnOnce() -> Result<Bytes, WeightError> + 'a>;

struct Pending<'a> {
    name: String,
    kind: GgmlType,
    shape: Vec<usize>,
    n_byte: usize,
    make: Make<'a>,
}

/// A GGUF file to be written.
///
/// ```
/// # use eosin_weights::{GgmlType, Gguf, GgufWriter, WeightSource as _};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("x.gguf");
/// let mut writer = GgufWriter::new();
/// writer.set("general.architecture", "qwen2vl");
/// writer.tensor("output_norm.weight", GgmlType::F32, &[2], vec![0; 8])?;
/// writer.write(&path)?;
/// assert_eq!(Gguf::open(&path)?.tensor("output_norm.weight")?.to_f32(), [0.0, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct GgufWriter<'a> {
    meta: Vec<(String, MetaValue)>,
    tensors: Vec<Pending<'a>>,
}

impl<'a> GgufWriter<'a> {
    /// A file without keys and tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key, replacing an earlier value of it.
    pub fn set(&mut self, key: &str, value: impl Into<MetaValue>) {
        let value = value.into();
        match self.meta.iter_mut().find(|(existing, _)| existing == key) {
            Some((_, existing)) => *existing = value,
            None => self.meta.push((key.to_owned(), value)),
        }
    }

    /// Appends a tensor whose bytes are at hand. `shape` is outermost first.
    ///
    /// # Errors
    /// [`WeightError::Size`] where the bytes are not as many as type and shape ask for.
    pub fn tensor(
        &mut self,
        name: &str,
        kind: GgmlType,
        shape: &[usize],
        bytes: impl Into<Bytes>,
    ) -> Result<(), WeightError> {
        let bytes = bytes.into();
        if n_byte(kind, shape) != Some(bytes.len()) {
            return Err(size_error(name, kind, shape, bytes.len()));
        }
        self.tensor_with(name, kind, shape, move || Ok(bytes))
    }

    /// Appends a tensor whose bytes are made when they are written. `shape` is outermost first.
    ///
    /// # Errors
    /// [`WeightError::Size`] where rows of this length cannot be stored in this type.
    ///
    /// # Panics
    /// If the name is already taken.
    pub fn tensor_with(
        &mut self,
        name: &str,
        kind: GgmlType,
        shape: &[usize],
        make: impl FnOnce() -> Result<Bytes, WeightError> + 'a,
    ) -> Result<(), WeightError> {
        assert!(self.tensors.iter().all(|tensor| tensor.name != name), "tensor `{name}` is written twice");
        let n_byte = n_byte(kind, shape).ok_or_else(|| size_error(name, kind, shape, 0))?;
        let (name, shape, make) = (name.to_owned(), shape.to_vec(), Box::new(make));
        self.tensors.push(Pending { name, kind, shape, n_byte, make });
        Ok(())
    }

    /// Writes the file, under a temporary name until it is whole.
    ///
    /// # Errors
    /// [`WeightError::Write`], [`WeightError::Size`], or what making a tensor failed with.
    pub fn write(self, path: &Path) -> Result<(), WeightError> {
        let header = self.header();
        let mut file = AtomicFile::create(path)?;
        file.write(&header)?;
        let mut n_written = header.len();
        pad(&mut file, &mut n_written)?;
        for Pending { name, kind, shape, n_byte, make } in self.tensors {
            let bytes = make()?;
            if bytes.len() != n_byte {
                return Err(size_error(&name, kind, &shape, bytes.len()));
            }
            file.write(&bytes)?;
            n_written += bytes.len();
            pad(&mut file, &mut n_written)?;
        }
        file.finish()
    }

    fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(b"GGUF");
        out.extend(3_u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.meta.len() as u64).to_le_bytes());
        for (key, value) in &self.meta {
            put_string(&mut out, key);
            out.extend(value.type_id().to_le_bytes());
            put_value(&mut out, value);
        }
        let mut offset = 0_u64;
        for tensor in &self.tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.shape.len() as u32).to_le_bytes());
            for extent in tensor.shape.iter().rev() {
                out.extend((*extent as u64).to_le_bytes());
            }
            out.extend(tensor.kind.id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset = (offset + tensor.n_byte as u64).next_multiple_of(u64::from(DEFAULT_ALIGNMENT));
        }
        out
    }
}

fn size_error(name: &str, kind: GgmlType, shape: &[usize], n_byte: usize) -> WeightError {
    WeightError::Size { name: name.to_owned(), shape: shape.to_vec(), kind, n_byte }
}

/// Fills up to the alignment that a file has unless it says otherwise.
fn pad(file: &mut AtomicFile, n_written: &mut usize) -> Result<(), WeightError> {
    let n = n_written.next_multiple_of(DEFAULT_ALIGNMENT as usize) - *n_written;
    *n_written += n;
    file.write(&[0; DEFAULT_ALIGNMENT as usize][..n])
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &MetaValue) {
    match value {
        MetaValue::U8(x) => out.push(*x),
        MetaValue::I8(x) => out.extend(x.to_le_bytes()),
        MetaValue::U16(x) => out.extend(x.to_le_bytes()),
        MetaValue::I16(x) => out.extend(x.to_le_bytes()),
        MetaValue::U32(x) => out.extend(x.to_le_bytes()),
        MetaValue::I32(x) => out.extend(x.to_le_bytes()),
        MetaValue::F32(x) => out.extend(x.to_le_bytes()),
        MetaValue::Bool(x) => out.push(u8::from(*x)),
        MetaValue::String(x) => put_string(out, x),
        MetaValue::Array(x) => put_array(out, x),
        MetaValue::U64(x) => out.extend(x.to_le_bytes()),
        MetaValue::I64(x) => out.extend(x.to_le_bytes()),
        MetaValue::F64(x) => out.extend(x.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &MetaArray) {
    fn put<T>(out: &mut Vec<u8>, id: u32, values: &[T], put_one: impl Fn(&mut Vec<u8>, &T)) {
        debug_assert_ne!(id, ARRAY_ID);
        out.extend(id.to_le_bytes());
        out.extend((values.len() as u64).to_le_bytes());
        for value in values {
            put_one(out, value);
        }
    }
    match array {
        MetaArray::U8(x) => put(out, 0, x, |out, x| out.push(*x)),
        MetaArray::I8(x) => put(out, 1, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::U16(x) => put(out, 2, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::I16(x) => put(out, 3, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::U32(x) => put(out, 4, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::I32(x) => put(out, 5, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::F32(x) => put(out, 6, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::Bool(x) => put(out, 7, x, |out, x| out.push(u8::from(*x))),
        MetaArray::String(x) => put(out, 8, x, |out, x| put_string(out, x)),
        MetaArray::U64(x) => put(out, 10, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::I64(x) => put(out, 11, x, |out, x| out.extend(x.to_le_bytes())),
        MetaArray::F64(x) => put(out, 12, x, |out, x| out.extend(x.to_le_bytes())),
    }
}
