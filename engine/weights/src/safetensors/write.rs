//! Writing one safetensors file, one tensor in memory at a time.

use std::path::Path;

use serde_json::json;

use super::CONTAINER;
use crate::atomic::AtomicFile;
use crate::cursor::Refusal;
use crate::{GgmlType, WeightError, WeightSource};

/// Writes every tensor of a source, under a temporary name until the file is whole.
///
/// # Errors
/// [`WeightError::Write`]; [`WeightError::Unsupported`] where a tensor is in blocks, which the format does
/// not know.
pub fn write_safetensors(path: &Path, source: &dyn WeightSource) -> Result<(), WeightError> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let mut end = 0;
    for name in source.names() {
        let tensor = source.tensor(name)?;
        let dtype = match tensor.kind {
            GgmlType::F32 => "F32",
            GgmlType::F16 => "F16",
            GgmlType::Bf16 => "BF16",
            kind => {
                let what = format!("tensor `{name}` in {kind}");
                return Err(Refusal::Unsupported(what).of(CONTAINER, path));
            }
        };
        let start = end;
        end += tensor.bytes.len();
        let entry = json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(name.to_owned(), entry);
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // Spaces up to a multiple of 8, so that mapped floats are aligned.
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut file = AtomicFile::create(path)?;
    file.write(&(header.len() as u64).to_le_bytes())?;
    file.write(&header)?;
    for name in source.names() {
        file.write(&source.tensor(name)?.bytes)?;
    }
    file.finish()
}
