//! Parsing a GGUF header that may lie.
//!
//! Counts are held against the bytes that are left before anything is allocated for them, so a file costs
//! at most a small multiple of its own header. Refused are: other versions, unknown types, names and keys
//! that repeat, shapes that do not fit their type, offsets that are misaligned, leave the file or overlap.
//! `tests/gguf.rs` tries each, and a file cut at every byte.

use std::collections::HashMap;

use super::meta::{ARRAY_ID, MetaArray, MetaValue};
use super::{DEFAULT_ALIGNMENT, Entry};
use crate::GgmlType;
use crate::cursor::{Cursor, Refusal, malformed};
use crate::error::quoted;
use crate::source::n_byte;

/// No key or tensor of a real file has a longer name (ggml itself stops at 64 for tensors).
const MAX_NAME_BYTES: u64 = 256;
/// The longest string of a real file is a chat template of a few kilobytes.
const MAX_STRING_BYTES: u64 = 16 << 20;
/// ggml has four axes.
const MAX_AXES: u32 = 4;

/// A checked header.
pub(super) struct Header {
    pub(super) meta: Vec<(String, MetaValue)>,
    pub(super) entries: Vec<Entry>,
    pub(super) idx_by_name: HashMap<String, usize>,
}

pub(super) fn header(file: &[u8]) -> Result<Header, Refusal> {
    let mut cursor = Cursor::new(file);
    if cursor.array::<4>("the magic number")? != *b"GGUF" {
        return Err(malformed!("it does not begin with `GGUF`"));
    }
    match cursor.u32("the version")? {
        3 => {}
        version if version.swap_bytes() == 3 => {
            return Err(Refusal::Unsupported("big-endian numbers".to_owned()));
        }
        version => return Err(Refusal::Unsupported(format!("version {version} of the format"))),
    }
    let n_tensor = cursor.u64("the number of tensors")?;
    let n_pair = cursor.u64("the number of keys")?;

    let meta = pairs(&mut cursor, n_pair)?;
    let alignment = alignment(&meta)?;
    let described = descriptions(&mut cursor, n_tensor)?;
    // Without tensors there is no data, and then no padding either.
    let data_start = cursor.at().next_multiple_of(alignment as usize).min(file.len());
    let n_data = file.len() - data_start;

    let mut entries = Vec::with_capacity(described.len());
    let mut idx_by_name = HashMap::with_capacity(described.len());
    for Description { name, kind, shape, offset } in described {
        let shown = quoted(&name);
        if !offset.is_multiple_of(u64::from(alignment)) {
            return Err(malformed!(
                "tensor `{shown}` begins at {offset}, which is not a multiple of {alignment}"
            ));
        }
        let n_byte = n_byte(kind, &shape)
            .ok_or_else(|| malformed!("tensor `{shown}` of shape {shape:?} is impossible in {kind}"))?;
        let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(n_byte));
        let Some(end) = end.filter(|end| *end <= n_data) else {
            return Err(malformed!(
                "tensor `{shown}` has {n_byte} bytes at {offset}, the file holds {n_data} bytes of data"
            ));
        };
        if idx_by_name.insert(name.clone(), entries.len()).is_some() {
            return Err(malformed!("tensor `{shown}` occurs twice"));
        }
        entries.push(Entry { name, kind, shape, range: data_start + end - n_byte..data_start + end });
    }
    refuse_overlap(&entries)?;
    Ok(Header { meta, entries, idx_by_name })
}

fn pairs(cursor: &mut Cursor<'_>, n_pair: u64) -> Result<Vec<(String, MetaValue)>, Refusal> {
    // A pair takes at least 13 bytes: the length of its key, its type, one byte of value.
    let n_pair = count(cursor, n_pair, 13, "keys")?;
    let mut pairs = Vec::with_capacity(n_pair);
    let mut seen = std::collections::HashSet::with_capacity(n_pair);
    for _ in 0..n_pair {
        let key = string(cursor, MAX_NAME_BYTES, "a key")?;
        let shown = quoted(&key);
        let id = cursor.u32("the type of a value")?;
        let value = value(cursor, id, &shown)?;
        if !seen.insert(key.clone()) {
            return Err(malformed!("key `{shown}` occurs twice"));
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn alignment(meta: &[(String, MetaValue)]) -> Result<u32, Refusal> {
    match meta.iter().find(|(key, _)| key == "general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        // The bound keeps padding small; real files have 32 or 64.
        Some((_, MetaValue::U32(x))) if x.is_power_of_two() && (8..=65536).contains(x) => Ok(*x),
        Some(_) => Err(malformed!("`general.alignment` is no power of two from 8 to 65536")),
    }
}

struct Description {
    name: String,
    kind: GgmlType,
    shape: Vec<usize>,
    offset: u64,
}

fn descriptions(cursor: &mut Cursor<'_>, n_tensor: u64) -> Result<Vec<Description>, Refusal> {
    // A description takes at least 24 bytes: the length of its name, its axes, type and offset.
    let n_tensor = count(cursor, n_tensor, 24, "tensors")?;
    let mut described = Vec::with_capacity(n_tensor);
    for _ in 0..n_tensor {
        let name = string(cursor, MAX_NAME_BYTES, "a tensor's name")?;
        let shown = quoted(&name);
        let n_axis = cursor.u32("the number of axes")?;
        if n_axis > MAX_AXES {
            return Err(malformed!("tensor `{shown}` has {n_axis} axes, at most {MAX_AXES} are possible"));
        }
        let mut shape = Vec::with_capacity(n_axis as usize);
        for _ in 0..n_axis {
            let extent = cursor.u64("the extent of an axis")?;
            let extent = usize::try_from(extent).ok().filter(|extent| *extent > 0);
            shape.push(extent.ok_or_else(|| malformed!("tensor `{shown}` has an impossible extent"))?);
        }
        // Files name the fastest axis first.
        shape.reverse();
        let id = cursor.u32("the type of a tensor")?;
        let kind = GgmlType::from_id(id).ok_or_else(|| {
            Refusal::Unsupported(format!("tensor `{shown}` of ggml type {} ({id})", foreign_name(id)))
        })?;
        described.push(Description { name, kind, shape, offset: cursor.u64("the offset of a tensor")? });
    }
    Ok(described)
}

/// Names of types that files in circulation have and Eosin does not read.
fn foreign_name(id: u32) -> &'static str {
    match id {
        3 => "Q4_1",
        6 => "Q5_0",
        7 => "Q5_1",
        10 => "Q2_K",
        11 => "Q3_K",
        16..=23 | 29 => "IQ",
        24..=27 => "an integer",
        28 => "F64",
        _ => "unknown",
    }
}

/// Two tensors in one place are a lie about one of them.
fn refuse_overlap(entries: &[Entry]) -> Result<(), Refusal> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| entry.range.start);
    for pair in sorted.windows(2) {
        if pair[1].range.start < pair[0].range.end {
            let names = (quoted(&pair[0].name), quoted(&pair[1].name));
            return Err(malformed!("tensors `{}` and `{}` overlap", names.0, names.1));
        }
    }
    Ok(())
}

/// A count out of the file, if that many items of at least `n_byte` bytes can follow.
fn count(cursor: &Cursor<'_>, n: u64, n_byte: u64, what: &str) -> Result<usize, Refusal> {
    let n_left = cursor.n_left() as u64;
    if n > n_left / n_byte {
        return Err(malformed!("it claims {n} {what}, but has only {n_left} bytes left"));
    }
    Ok(n as usize)
}

fn string(cursor: &mut Cursor<'_>, max_bytes: u64, what: &str) -> Result<String, Refusal> {
    let n = cursor.u64("the length of a string")?;
    if n > max_bytes {
        return Err(malformed!("{what} has {n} bytes, at most {max_bytes} are sensible"));
    }
    let bytes = cursor.take(n, what)?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(malformed!("{what} is not UTF-8: {error}")),
    }
}

fn boolean(cursor: &mut Cursor<'_>, key: &str) -> Result<bool, Refusal> {
    match cursor.u8("a bool")? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(malformed!("key `{key}` has a bool of value {byte}")),
    }
}

fn value(cursor: &mut Cursor<'_>, id: u32, key: &str) -> Result<MetaValue, Refusal> {
    Ok(match id {
        0 => MetaValue::U8(cursor.u8("a value")?),
        1 => MetaValue::I8(cursor.u8("a value")? as i8),
        2 => MetaValue::U16(cursor.u16("a value")?),
        3 => MetaValue::I16(cursor.u16("a value")? as i16),
        4 => MetaValue::U32(cursor.u32("a value")?),
        5 => MetaValue::I32(cursor.u32("a value")? as i32),
        6 => MetaValue::F32(f32::from_bits(cursor.u32("a value")?)),
        7 => MetaValue::Bool(boolean(cursor, key)?),
        8 => MetaValue::String(string(cursor, MAX_STRING_BYTES, "a value")?),
        ARRAY_ID => MetaValue::Array(array(cursor, key)?),
        10 => MetaValue::U64(cursor.u64("a value")?),
        11 => MetaValue::I64(cursor.u64("a value")? as i64),
        12 => MetaValue::F64(f64::from_bits(cursor.u64("a value")?)),
        id => return Err(malformed!("key `{key}` has the unknown type {id}")),
    })
}

fn array(cursor: &mut Cursor<'_>, key: &str) -> Result<MetaArray, Refusal> {
    let id = cursor.u32("the type of an array")?;
    let n = cursor.u64("the length of an array")?;
    Ok(match id {
        0 => MetaArray::U8(numbers(cursor, n, u8::from_le_bytes)?),
        1 => MetaArray::I8(numbers(cursor, n, i8::from_le_bytes)?),
        2 => MetaArray::U16(numbers(cursor, n, u16::from_le_bytes)?),
        3 => MetaArray::I16(numbers(cursor, n, i16::from_le_bytes)?),
        4 => MetaArray::U32(numbers(cursor, n, u32::from_le_bytes)?),
        5 => MetaArray::I32(numbers(cursor, n, i32::from_le_bytes)?),
        6 => MetaArray::F32(numbers(cursor, n, f32::from_le_bytes)?),
        7 => {
            let n = count(cursor, n, 1, "elements of an array")?;
            MetaArray::Bool((0..n).map(|_| boolean(cursor, key)).collect::<Result<_, _>>()?)
        }
        8 => {
            let n = count(cursor, n, 8, "strings of an array")?;
            let strings = (0..n).map(|_| string(cursor, MAX_STRING_BYTES, "a value"));
            MetaArray::String(strings.collect::<Result<_, _>>()?)
        }
        10 => MetaArray::U64(numbers(cursor, n, u64::from_le_bytes)?),
        11 => MetaArray::I64(numbers(cursor, n, i64::from_le_bytes)?),
        12 => MetaArray::F64(numbers(cursor, n, f64::from_le_bytes)?),
        ARRAY_ID => return Err(Refusal::Unsupported(format!("an array of arrays under `{key}`"))),
        id => return Err(malformed!("key `{key}` has an array of the unknown type {id}")),
    })
}

fn numbers<T, const N: usize>(
    cursor: &mut Cursor<'_>,
    n: u64,
    convert: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, Refusal> {
    let n_byte =
        n.checked_mul(N as u64).ok_or_else(|| malformed!("an array of {n} elements is impossible"))?;
    let bytes = cursor.take(n_byte, "an array")?;
    Ok(bytes.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect())
}
