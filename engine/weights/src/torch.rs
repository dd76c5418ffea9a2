//! Checkpoints of `torch.save`: a zip archive of raw storages and a pickle that says what they are.
//!
//! A pickle is a program, and python would run it. Here a small machine ([`pickle`]) knows only the
//! instructions that a dictionary of tensors needs and a closed list of names; anything else, above all
//! the usual attacks through `os.system` and its kin, is refused by its name. The archive is read by
//! [`zip`], which gives slices of the mapped file. `tests/torch.rs` holds both against files that torch
//! wrote and against attacks.

mod pickle;
mod tensor;
mod zip;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::pickle::{Pickle, Value};
use self::tensor::View;
use self::zip::Archive;
use crate::cursor::{Refusal, malformed};
use crate::error::quoted;
use crate::{RawTensor, WeightError, WeightSource};

const CONTAINER: &str = "torch";

/// The state dict of an open checkpoint: a bare one, or the one under `state_dict`, `model_state_dict` or
/// `model` of a training checkpoint. The prefix `module.`, left by data-parallel training, is cut.
#[derive(Clone, Debug)]
pub struct TorchCheckpoint {
    path: PathBuf,
    tensors: Vec<(String, View)>,
    idx_by_name: HashMap<String, usize>,
}

impl TorchCheckpoint {
    /// Opens a file by mapping it and reading its pickle.
    ///
    /// # Errors
    /// [`WeightError::Read`], [`WeightError::Malformed`], [`WeightError::Unsupported`], or
    /// [`WeightError::Global`] where the pickle asks for code.
    pub fn open(path: &Path) -> Result<Self, WeightError> {
        Self::parse(&crate::map::map(path)?, path)
    }

    /// Reads a checkpoint that is already in memory.
    ///
    /// # Errors
    /// As [`TorchCheckpoint::open`]; the file is called `<memory>`.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self, WeightError> {
        Self::parse(bytes, Path::new("<memory>"))
    }

    fn parse(bytes: &Bytes, path: &Path) -> Result<Self, WeightError> {
        let tensors = state_dict(bytes).map_err(|refusal| refusal.of(CONTAINER, path))?;
        let idx_by_name = tensors.iter().enumerate().map(|(idx, (name, _))| (name.clone(), idx)).collect();
        Ok(Self { path: path.to_owned(), tensors, idx_by_name })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn state_dict(bytes: &Bytes) -> Result<Vec<(String, View)>, Refusal> {
    if bytes.first() == Some(&0x80) {
        return Err(Refusal::Unsupported("a bare pickle, as torch wrote before 1.6".to_owned()));
    }
    let archive = Archive::parse(bytes)?;
    let folder = archive
        .names()
        .find_map(|name| name.strip_suffix("data.pkl"))
        .ok_or_else(|| malformed!("the archive has no `data.pkl`"))?
        .to_owned();
    if archive.contains(&format!("{folder}constants.pkl")) {
        return Err(Refusal::Unsupported("a TorchScript program".to_owned()));
    }
    if archive.get(&format!("{folder}byteorder"))?.is_some_and(|order| order[..] != *b"little") {
        return Err(Refusal::Unsupported("big-endian numbers".to_owned()));
    }
    let program = archive.get(&format!("{folder}data.pkl"))?.unwrap_or_default();
    let pickle = Pickle::run(&program)?;
    let pairs = find_state_dict(&pickle)?;

    let mut tensors = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (key, value) in pairs {
        // Training checkpoints hold other things between the tensors, such as a version; they are no names.
        let (Some(name), Value::Tensor(idx)) = (pickle.text(*key), *value) else { continue };
        let name = name.strip_prefix("module.").unwrap_or(name);
        if !seen.insert(name) {
            return Err(malformed!("tensor `{}` occurs twice", quoted(name)));
        }
        let view = View::resolve(name, pickle.tensor(idx), &pickle, |key| {
            archive.get(&format!("{folder}data/{key}"))
        })?;
        tensors.push((name.to_owned(), view));
    }
    if tensors.is_empty() {
        return Err(malformed!("it holds no dictionary of tensors"));
    }
    Ok(tensors)
}

/// The dictionary with the weights: one inside the root under a usual name, or the root itself.
fn find_state_dict<'a>(pickle: &'a Pickle<'_>) -> Result<&'a [(Value, Value)], Refusal> {
    let root = pickle.dict(pickle.root()).ok_or_else(|| malformed!("its root is no dictionary"))?;
    for wanted in ["state_dict", "model_state_dict", "model"] {
        let found = root.iter().find(|(key, _)| pickle.text(*key) == Some(wanted));
        if let Some(inner) = found.and_then(|(_, value)| pickle.dict(*value)) {
            return Ok(inner);
        }
    }
    Ok(root)
}

impl WeightSource for TorchCheckpoint {
    fn names(&self) -> Vec<&str> {
        // Tensors of integers are left out: whoever lists names wants to read them as weights.
        self.tensors.iter().filter(|(_, view)| view.is_float()).map(|(name, _)| name.as_str()).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.idx_by_name.contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<RawTensor, WeightError> {
        match self.idx_by_name.get(name) {
            Some(idx) => self.tensors[*idx].1.read(name).map_err(|refusal| refusal.of(CONTAINER, &self.path)),
            None => Err(WeightError::MissingTensor { name: name.to_owned(), path: self.path.clone() }),
        }
    }
}
