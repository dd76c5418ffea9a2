//! Safetensors: one file, or a folder whose index spreads the tensors over several.
//!
//! Format: length of a JSON header (8 bytes), the header, the data. The header is parsed here rather than
//! by the `safetensors` crate, because a repeated name must be refused (JSON maps keep the last), and
//! because tensors of a type that is not read, such as a stored list of positions, should fail when they
//! are asked for and not when the file is opened. `tests/safetensors.rs` corrupts every part.

mod header;
mod write;

pub use self::write::write_safetensors;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::header::{Entry, Unique};
use crate::cursor::{Refusal, malformed};
use crate::error::quoted;
use crate::{RawTensor, WeightError, WeightSource};

const CONTAINER: &str = "safetensors";
/// The index of a model of thousands of tensors has some hundred kilobytes.
const MAX_INDEX_BYTES: usize = 64 << 20;

/// The tensors of one safetensors file or of a folder of them.
#[derive(Clone, Debug)]
pub struct SafetensorsFolder {
    path: PathBuf,
    shards: Vec<Shard>,
    /// Names in the order of the files, each with its shard and entry.
    places: Vec<(String, usize, usize)>,
    idx_by_name: HashMap<String, usize>,
}

/// What is read of an index; the total size it also states is of no use.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: Unique<String>,
}

#[derive(Clone, Debug)]
struct Shard {
    path: PathBuf,
    data: Bytes,
    entries: Vec<Entry>,
}

impl SafetensorsFolder {
    /// Opens a file, or a folder by its `model.safetensors.index.json`, its `model.safetensors` or the one
    /// file of that kind it has.
    ///
    /// # Errors
    /// [`WeightError::Read`] or [`WeightError::Malformed`].
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        if !path.is_dir() {
            let is_index =
                path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".index.json"));
            return if is_index { Self::open_index(path, path) } else { Self::open_single(path, path) };
        }
        let index = path.join("model.safetensors.index.json");
        if index.is_file() {
            return Self::open_index(path, &index);
        }
        let single = path.join("model.safetensors");
        if single.is_file() {
            Self::open_single(path, &single)
        } else {
            Self::open_single(path, &only_file(path)?)
        }
    }

    /// Reads one file that is already in memory.
    ///
    /// # Errors
    /// [`WeightError::Malformed`]; the file is called `<memory>`.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, WeightError> {
        let path = Path::new("<memory>");
        Self::assemble(path, vec![Shard::parse(bytes, path)?], None)
    }

    fn open_single(path: &Path, file: &Path) -> Result<Self, WeightError> {
        Self::assemble(path, vec![Shard::parse(&crate::map::map(file)?, file)?], None)
    }

    fn open_index(path: &Path, index: &Path) -> Result<Self, WeightError> {
        let refuse = |refusal: Refusal| refusal.of("safetensors index", index);
        let bytes = crate::map::map(index)?;
        if bytes.len() > MAX_INDEX_BYTES {
            let n_byte = bytes.len();
            return Err(refuse(malformed!("it has {n_byte} bytes, at most {MAX_INDEX_BYTES} are sensible")));
        }
        let parsed: Result<Index, _> = serde_json::from_slice(&bytes);
        let Index { weight_map } =
            parsed.map_err(|error| refuse(malformed!("{}", quoted(&error.to_string()))))?;
        let mut shard_by_file = BTreeMap::new();
        for (_, file) in &weight_map.0 {
            // A name with a path in it could reach any file of the machine.
            let plain = Path::new(file).file_name().is_some_and(|name| name == file.as_str());
            if !plain || file.contains('\\') {
                return Err(refuse(malformed!("`{}` is no plain file name", quoted(file))));
            }
            let n_shard = shard_by_file.len();
            shard_by_file.entry(file.as_str()).or_insert(n_shard);
        }
        let folder = index.parent().unwrap_or(Path::new("."));
        let mut files: Vec<(&str, usize)> = shard_by_file.iter().map(|(file, idx)| (*file, *idx)).collect();
        files.sort_by_key(|(_, idx)| *idx);
        let shards = files.into_iter().map(|(file, _)| {
            let file = folder.join(file);
            Shard::parse(&crate::map::map(&file)?, &file)
        });
        let shards = shards.collect::<Result<Vec<_>, _>>()?;
        let wanted = weight_map.0.iter().map(|(name, file)| (name.clone(), shard_by_file[file.as_str()]));
        Self::assemble(path, shards, Some(wanted.collect()))
    }

    /// Joins files; `wanted` says where each name should be, without it all names of all files are taken.
    fn assemble(
        path: &Path,
        shards: Vec<Shard>,
        wanted: Option<Vec<(String, usize)>>,
    ) -> Result<Self, WeightError> {
        let mut places = Vec::new();
        match wanted {
            None => {
                for (shard_idx, shard) in shards.iter().enumerate() {
                    let names = shard.entries.iter().enumerate();
                    places.extend(names.map(|(idx, entry)| (entry.name.clone(), shard_idx, idx)));
                }
            }
            Some(wanted) => {
                let idx_by_name: Vec<HashMap<&str, usize>> = shards.iter().map(Shard::idx_by_name).collect();
                for (name, shard_idx) in wanted {
                    let Some(idx) = idx_by_name[shard_idx].get(name.as_str()) else {
                        return Err(WeightError::MissingTensor {
                            name,
                            path: shards[shard_idx].path.clone(),
                        });
                    };
                    places.push((name, shard_idx, *idx));
                }
            }
        }
        let idx_by_name = places.iter().enumerate().map(|(idx, (name, ..))| (name.clone(), idx)).collect();
        Ok(Self { path: path.to_owned(), shards, places, idx_by_name })
    }

    /// The file or folder that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Shard {
    fn parse(bytes: &Bytes, path: &Path) -> Result<Self, WeightError> {
        let (start, entries) = header::parse(bytes).map_err(|refusal| refusal.of(CONTAINER, path))?;
        Ok(Self { path: path.to_owned(), data: bytes.slice(start..), entries })
    }

    fn idx_by_name(&self) -> HashMap<&str, usize> {
        self.entries.iter().enumerate().map(|(idx, entry)| (entry.name.as_str(), idx)).collect()
    }
}

/// The one safetensors file of a folder.
fn only_file(folder: &Path) -> Result<PathBuf, WeightError> {
    let read = |source| WeightError::Read { path: folder.to_owned(), source };
    let mut found = Vec::new();
    for item in std::fs::read_dir(folder).map_err(read)? {
        let path = item.map_err(read)?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") && path.is_file() {
            found.push(path);
        }
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(malformed!("the folder has no file of this kind").of(CONTAINER, folder)),
        n => Err(malformed!("the folder has {n} files of this kind and no index").of(CONTAINER, folder)),
    }
}

impl WeightSource for SafetensorsFolder {
    fn names(&self) -> Vec<&str> {
        // Tensors of other types are left out: whoever lists names wants to read them.
        let readable =
            self.places.iter().filter(|(_, shard, entry)| self.shards[*shard].entries[*entry].kind.is_ok());
        readable.map(|(name, ..)| name.as_str()).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.idx_by_name.contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<RawTensor, WeightError> {
        let Some(idx) = self.idx_by_name.get(name) else {
            return Err(WeightError::MissingTensor { name: name.to_owned(), path: self.path.clone() });
        };
        let (_, shard_idx, entry_idx) = &self.places[*idx];
        let shard = &self.shards[*shard_idx];
        let entry = &shard.entries[*entry_idx];
        match &entry.kind {
            Ok(kind) => {
                RawTensor::new(name, *kind, entry.shape.clone(), shard.data.slice(entry.range.clone()))
            }
            Err(dtype) => {
                let what = format!("tensor `{}` of type {}", quoted(name), quoted(dtype));
                Err(Refusal::Unsupported(what).of(CONTAINER, &shard.path))
            }
        }
    }
}
