//! The JSON header of a safetensors file, checked against the file.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use crate::GgmlType;
use crate::cursor::{Cursor, Refusal, malformed};
use crate::error::quoted;
use crate::source::n_byte;

/// The limit of the format's own library.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// One tensor of a file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The type, or its name where it is not read.
    pub(super) kind: Result<GgmlType, String>,
    pub(super) shape: Vec<usize>,
    /// Place in the data, which begins after the header.
    pub(super) range: Range<usize>,
}

/// A JSON object in its order, refused if a key repeats.
pub(super) struct Unique<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Unique<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut pairs, mut seen) = (Vec::new(), HashSet::new());
                while let Some((key, value)) = map.next_entry::<String, T>()? {
                    if !seen.insert(key.clone()) {
                        return Err(serde::de::Error::custom(format!("`{key}` occurs twice")));
                    }
                    pairs.push((key, value));
                }
                Ok(Unique(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// What the header says under one key: a tensor, or the free text under `__metadata__`.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Value {
    Tensor { dtype: String, shape: Vec<u64>, data_offsets: [u64; 2] },
    Other(serde::de::IgnoredAny),
}

/// Where the data begins, and the tensors in the order of their data.
pub(super) fn parse(file: &[u8]) -> Result<(usize, Vec<Entry>), Refusal> {
    let mut cursor = Cursor::new(file);
    let n_header = cursor.u64("the length of the header")?;
    if n_header > MAX_HEADER_BYTES {
        return Err(malformed!(
            "its header claims {n_header} bytes, at most {MAX_HEADER_BYTES} are possible"
        ));
    }
    let header = cursor.take(n_header, "the header")?;
    let Unique(pairs): Unique<Value> = serde_json::from_slice(header)
        .map_err(|error| malformed!("the header cannot be read: {}", quoted(&error.to_string())))?;
    let (start, n_data) = (cursor.at(), cursor.n_left());

    let mut entries = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match value {
            Value::Tensor { dtype, shape, data_offsets } => {
                entries.push(entry(name, dtype, &shape, data_offsets, n_data)?);
            }
            Value::Other(_) if name == "__metadata__" => {}
            Value::Other(_) => return Err(malformed!("`{}` describes no tensor", quoted(&name))),
        }
    }
    entries.sort_by_key(|entry| (entry.range.start, entry.range.end));
    // The format allows no gaps: a byte that belongs to nothing means that a length is wrong.
    let mut end = 0;
    for entry in &entries {
        if entry.range.start != end {
            let name = quoted(&entry.name);
            return Err(malformed!(
                "tensor `{name}` begins at {}, not at {end} where the last one ends",
                entry.range.start
            ));
        }
        end = entry.range.end;
    }
    if end != n_data {
        return Err(malformed!("its tensors need {end} bytes of data, the file has {n_data}"));
    }
    Ok((start, entries))
}

fn entry(
    name: String,
    dtype: String,
    shape: &[u64],
    [begin, end]: [u64; 2],
    n_data: usize,
) -> Result<Entry, Refusal> {
    let shown = quoted(&name);
    let shape: Option<Vec<usize>> = shape.iter().map(|extent| usize::try_from(*extent).ok()).collect();
    let shape = shape.ok_or_else(|| malformed!("tensor `{shown}` has an impossible extent"))?;
    if begin > end || end > n_data as u64 {
        return Err(malformed!(
            "tensor `{shown}` lies at {begin} to {end}, the file has {n_data} bytes of data"
        ));
    }
    let range = begin as usize..end as usize;
    let kind = match dtype.as_str() {
        "F32" => Ok(GgmlType::F32),
        "F16" => Ok(GgmlType::F16),
        "BF16" => Ok(GgmlType::Bf16),
        _ => Err(dtype),
    };
    if let Ok(kind) = kind
        && n_byte(kind, &shape) != Some(range.len())
    {
        return Err(malformed!(
            "tensor `{shown}` of shape {shape:?} in {kind} cannot have {} bytes",
            range.len()
        ));
    }
    Ok(Entry { name, kind, shape, range })
}
