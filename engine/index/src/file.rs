//! The index file: a header that names the model, the keys, the graph, and the exact vectors.
//!
//! ```text
//! "EOSINIDX"  format: u32  header bytes: u32  SHA-256 of header, keys and graph: 32 bytes
//! header (JSON)   keys: n × u64   graph (usearch)   n × (d × f32, checksum: u64)      all little-endian
//! ```
//!
//! The loader of the graph trusts what it reads, so nothing reaches it whose checksum is not the stated one; no
//! length from the file is believed before it fits the file's own. A file is written under another name, flushed
//! to the disk, and renamed: whoever is killed leaves the old one whole. The checksum guards against accidents;
//! the file lies in a folder that only its owner can write. Held true by the tests of [`VectorIndex`] (cut at every
//! length, every byte of the small parts changed).
//!
//! [`VectorIndex`]: crate::VectorIndex

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Space;
use crate::error::{Damage, IndexError};
use crate::rows::{CHECKSUM_BYTES, RowBuffer, Rows, Saved, checksum};

/// Changes with the layout; files of another format are made anew.
pub const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"EOSINIDX";
/// Magic, format, length of the header, checksum.
const FIXED_BYTES: u64 = 8 + 4 + 4 + 32;
/// A header has some hundred bytes.
const HEADER_BYTES_MAX: u32 = 1 << 16;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    model: Arc<str>,
    d_embed: usize,
    n_vector: u64,
    graph_bytes: u64,
}

impl Header {
    /// Length of the file with a header of `header_bytes`; none where it exceeds every file.
    fn file_bytes(&self, header_bytes: u64) -> Option<u64> {
        let row_bytes = (self.d_embed as u64).checked_mul(4)?.checked_add(CHECKSUM_BYTES as u64)?;
        let per_vector = row_bytes.checked_add(8)?;
        let vectors = self.n_vector.checked_mul(per_vector)?;
        FIXED_BYTES.checked_add(header_bytes)?.checked_add(self.graph_bytes)?.checked_add(vectors)
    }
}

/// What a file holds, its graph not yet loaded.
pub(crate) struct Contents {
    pub(crate) space: Space,
    pub(crate) graph: Vec<u8>,
    pub(crate) saved: Saved,
}

/// Reads and checks all but the vectors, which are checked as they are read.
pub(crate) fn read(path: &Path) -> Result<Contents, IndexError> {
    let failed = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return IndexError::Missing { path: path.to_owned() };
        }
        IndexError::Io { path: path.to_owned(), source }
    };
    let damaged = |source| IndexError::Damaged { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let found_bytes = file.metadata().map_err(failed)?.len();
    if found_bytes < FIXED_BYTES {
        return Err(damaged(Damage::NotAnIndex));
    }
    let mut fixed = [0; FIXED_BYTES as usize];
    file.read_exact(&mut fixed).map_err(failed)?;
    if fixed[..8] != *MAGIC {
        return Err(damaged(Damage::NotAnIndex));
    }
    let number = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let (format, header_bytes) = (number(8), number(12));
    if format != FORMAT {
        return Err(damaged(Damage::OtherFormat { found: format, known: FORMAT }));
    }
    let no_header = |cause: String| damaged(Damage::Header { cause });
    if header_bytes > HEADER_BYTES_MAX || u64::from(header_bytes) > found_bytes - FIXED_BYTES {
        return Err(no_header(format!("{header_bytes} bytes are too many")));
    }
    let mut header_text = vec![0; header_bytes as usize];
    file.read_exact(&mut header_text).map_err(failed)?;
    let header: Header =
        serde_json::from_slice(&header_text).map_err(|error| no_header(error.to_string()))?;
    let space = Space { model: header.model.clone(), d_embed: header.d_embed };
    space.check_size().map_err(|error| no_header(error.to_string()))?;
    let expected_bytes = header.file_bytes(u64::from(header_bytes)).unwrap_or(u64::MAX);
    if expected_bytes != found_bytes {
        return Err(damaged(Damage::Length { found_bytes, expected_bytes }));
    }
    // Both fit the file from here on, and therefore memory as far as the file does.
    let mut keys_bytes = vec![0; header.n_vector as usize * 8];
    file.read_exact(&mut keys_bytes).map_err(failed)?;
    let mut graph = vec![0; header.graph_bytes as usize];
    file.read_exact(&mut graph).map_err(failed)?;
    if seal(&header_text, &keys_bytes, &graph) != fixed[16..] {
        return Err(damaged(Damage::Checksum));
    }
    let keys: Vec<u64> = keys_bytes.as_chunks::<8>().0.iter().map(|key| u64::from_le_bytes(*key)).collect();
    let first_byte = FIXED_BYTES + u64::from(header_bytes) + keys_bytes.len() as u64 + header.graph_bytes;
    Ok(Contents { space, graph, saved: Saved { path: path.to_owned(), file, first_byte, keys } })
}

/// Writes a whole index beside `path` and puts it in its place; gives the vectors as they lie there.
pub(crate) fn write(path: &Path, space: &Space, graph: &[u8], rows: &Rows) -> Result<Saved, IndexError> {
    let failed = |source| IndexError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let keys = rows.keys();
    let header = Header {
        model: space.model.clone(),
        d_embed: space.d_embed,
        n_vector: keys.len() as u64,
        graph_bytes: graph.len() as u64,
    };
    let header = serde_json::to_vec(&header).map_err(|error| failed(error.into()))?;
    let header_bytes = u32::try_from(header.len()).ok().filter(|n_byte| *n_byte <= HEADER_BYTES_MAX);
    let header_bytes = header_bytes.ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    let keys_bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();

    // Readable to its owner alone, as all that the program keeps.
    let beside = tempfile::Builder::new().prefix(".index").tempfile_in(folder).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, beside.as_file());
    let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(failed);
    put(MAGIC)?;
    put(&FORMAT.to_le_bytes())?;
    put(&header_bytes.to_le_bytes())?;
    put(&seal(&header, &keys_bytes, graph))?;
    put(&header)?;
    put(&keys_bytes)?;
    put(graph)?;
    let mut buffer = RowBuffer::default();
    let mut row = Vec::with_capacity(space.d_embed * 4 + CHECKSUM_BYTES);
    for key in &keys {
        rows.read(*key, &mut buffer)?;
        row.clear();
        row.extend(buffer.values.iter().flat_map(|value| value.to_le_bytes()));
        row.extend(checksum(*key, &row).to_le_bytes());
        put(&row)?;
    }
    out.flush().map_err(failed)?;
    drop(out);
    beside.as_file().sync_all().map_err(failed)?;
    beside.persist(path).map_err(|error| failed(error.error))?;
    // The name, too, has to reach the disk; where folders cannot be opened it does by itself.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all().map_err(failed)?;
    }
    let first_byte = FIXED_BYTES + header.len() as u64 + keys_bytes.len() as u64 + graph.len() as u64;
    let file = File::open(path).map_err(failed)?;
    Ok(Saved { path: path.to_owned(), file, first_byte, keys })
}

fn seal(header: &[u8], keys: &[u8], graph: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for piece in [header, keys, graph] {
        hasher.update((piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    }
    hasher.finalize().into()
}
