//! Writing a run to disk so that no moment of a `kill -9` can spoil it, and reading it back.
//!
//! A checkpoint is a folder: weights, moments, and a manifest with their hashes. The folder is written under
//! a temporary name, every file is synced, the manifest last, and only then is it renamed; a folder of
//! the final name with a manifest whose hashes hold is therefore whole. Order and randomness of the data
//! are functions of the step number, so the step is the whole data cursor. `tests/train_pipeline.rs`
//! tears and resumes, `tests/train_faults.rs` kills.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::TrainError;
use crate::optim::AdamW;

const WEIGHTS: &str = "weights.safetensors";
const MOMENTS: &str = "moments.safetensors";
const MANIFEST: &str = "manifest.json";
const BEST: &str = "best";

/// Where a run stands; the part of a checkpoint that is not tensors.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct RunState {
    /// Steps done; also the cursor into the data.
    pub step: u64,
    /// Training time, without validation.
    pub elapsed_secs: f64,
    /// Tokens read.
    pub n_token: u64,
    /// Samples left out so far.
    pub n_skipped: u64,
    /// Best score of a look at validation data so far.
    pub best_score: Option<f64>,
    /// The step of that look.
    pub best_step: u64,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    state: RunState,
    /// Updates of the weights, of which a step may have several.
    n_update: u64,
    plan_sha256: String,
    files: BTreeMap<String, String>,
}

/// Folder of the checkpoints of a run.
pub fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("checkpoints")
}

/// Writes a whole checkpoint and then removes the oldest ones beyond `keep_last`. Gives its folder.
///
/// # Errors
/// [`TrainError::File`]; the checkpoints before it stay as they are.
pub fn write<M: Module>(
    run_dir: &Path,
    module: &M,
    optimiser: &AdamW,
    state: &RunState,
    plan: &str,
    keep_last: usize,
) -> Result<PathBuf, TrainError> {
    let name = format!("step-{:08}", state.step);
    let tensors = [(WEIGHTS, weights(module)), (MOMENTS, moments(optimiser))];
    let whole = write_folder(run_dir, &name, &tensors, (state, optimiser.n_step()), plan)?;
    for old in list(run_dir)?.iter().rev().skip(keep_last) {
        fs::remove_dir_all(old).map_err(TrainError::file("remove the old checkpoint", old))?;
    }
    Ok(whole)
}

/// Writes files and, last, their manifest, under a temporary name; then gives the folder its own.
fn write_folder(
    run_dir: &Path,
    name: &str,
    tensors: &[(&str, Tensors)],
    (state, n_update): (&RunState, u64),
    plan: &str,
) -> Result<PathBuf, TrainError> {
    let parent = folder(run_dir);
    let (partial, whole) = (parent.join(format!(".partial-{name}")), parent.join(name));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(TrainError::file("remove the torn checkpoint", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(TrainError::file("create the checkpoint", &partial))?;
    let mut files = BTreeMap::new();
    for (file, tensors) in tensors {
        let bytes = to_safetensors(tensors)?;
        files.insert((*file).to_owned(), sha256(&bytes));
        write_synced(&partial.join(file), &bytes)?;
    }
    let manifest =
        Manifest { format: 2, state: state.clone(), n_update, plan_sha256: sha256(plan.as_bytes()), files };
    let text =
        serde_json::to_vec_pretty(&manifest).map_err(TrainError::engine("cannot encode the manifest"))?;
    write_synced(&partial.join(MANIFEST), &text)?;
    sync_folder(&partial)?;
    if whole.exists() {
        // The same step written twice: a run that was resumed from before it.
        fs::remove_dir_all(&whole).map_err(TrainError::file("replace the checkpoint", &whole))?;
    }
    fs::rename(&partial, &whole).map_err(TrainError::file("finish the checkpoint", &whole))?;
    sync_folder(&parent)?;
    Ok(whole)
}

/// Keeps the weights of the best look, in place of those kept before.
///
/// # Errors
/// [`TrainError::File`]; the best before it stay as they are.
pub fn write_best<M: Module>(
    run_dir: &Path,
    module: &M,
    state: &RunState,
    plan: &str,
) -> Result<(), TrainError> {
    write_folder(run_dir, BEST, &[(WEIGHTS, weights(module))], (state, 0), plan).map(|_| ())
}

/// Puts the weights of the best look into `module`; `None` where there was no look.
///
/// # Errors
/// As [`read`].
pub fn read_best<M: Module>(
    run_dir: &Path,
    module: M,
    plan: &str,
    device: &Device,
) -> Result<Option<M>, TrainError> {
    let folder = folder(run_dir).join(BEST);
    if !folder.exists() {
        return Ok(None);
    }
    read(&folder, module, Some(plan), device).map(|(module, ..)| Some(module))
}

/// The newest checkpoint whose hashes hold; damaged ones are passed over and named to `report`.
///
/// # Errors
/// [`TrainError::File`] where the folder cannot be listed.
pub fn newest(run_dir: &Path, mut report: impl FnMut(&TrainError)) -> Result<Option<PathBuf>, TrainError> {
    for candidate in list(run_dir)?.into_iter().rev() {
        match read_manifest(&candidate).and_then(|manifest| check_hashes(&candidate, &manifest)) {
            Ok(()) => return Ok(Some(candidate)),
            Err(error) => report(&error),
        }
    }
    Ok(None)
}

/// Puts a checkpoint's weights into `module` and gives the optimiser and the state that go with them.
///
/// # Errors
/// [`TrainError::Checkpoint`] where a file is torn, a parameter lacks, or the plan is another one.
pub fn read<M: Module>(
    checkpoint: &Path,
    module: M,
    plan: Option<&str>,
    device: &Device,
) -> Result<(M, AdamW, RunState), TrainError> {
    let damaged = |what: String| TrainError::Checkpoint { what, path: checkpoint.to_owned() };
    let manifest = read_manifest(checkpoint)?;
    if plan.is_some_and(|plan| sha256(plan.as_bytes()) != manifest.plan_sha256) {
        return Err(damaged("it was written by another plan".into()));
    }
    check_hashes(checkpoint, &manifest)?;
    let mut load = Load { path: Vec::new(), tensors: from_safetensors(checkpoint, WEIGHTS)?, missing: None };
    let module = module.map(&mut load);
    if let Some(missing) = load.missing {
        return Err(damaged(format!("it lacks a fitting {missing}")));
    }
    let inner = device.clone().inner();
    let kept = if manifest.files.contains_key(MOMENTS) {
        from_safetensors(checkpoint, MOMENTS)?
    } else {
        Tensors::new()
    };
    let moments = kept.into_iter().map(|(name, (shape, values))| {
        (name, Tensor::<1>::from_data(TensorData::new(values, shape), &inner))
    });
    Ok((module, AdamW::from_tensors(manifest.n_update, moments), manifest.state))
}

/// Whole checkpoint folders, oldest first.
fn list(run_dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let parent = folder(run_dir);
    if !parent.exists() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&parent).map_err(TrainError::file("list the checkpoints", &parent))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(TrainError::file("list the checkpoints", &parent))?.path();
        let is_step =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("step-"));
        if is_step && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read_manifest(checkpoint: &Path) -> Result<Manifest, TrainError> {
    let path = checkpoint.join(MANIFEST);
    let text = fs::read(&path).map_err(TrainError::file("read the manifest", &path))?;
    serde_json::from_slice(&text).map_err(|error| TrainError::Checkpoint { what: error.to_string(), path })
}

fn check_hashes(checkpoint: &Path, manifest: &Manifest) -> Result<(), TrainError> {
    for (name, hash) in &manifest.files {
        let path = checkpoint.join(name);
        let bytes = fs::read(&path).map_err(TrainError::file("read the checkpoint", &path))?;
        if sha256(&bytes) != *hash {
            return Err(TrainError::Checkpoint { what: "a file differs from its hash".into(), path });
        }
    }
    Ok(())
}

/// Hexadecimal SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes a file and waits until the disk has it.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut file = File::create(path).map_err(TrainError::file("create", path))?;
    file.write_all(bytes).map_err(TrainError::file("write", path))?;
    file.sync_all().map_err(TrainError::file("write", path))
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), TrainError> {
    // A folder can be opened and synced on Unix only; elsewhere the rename itself is what there is.
    #[cfg(unix)]
    File::open(path).and_then(|folder| folder.sync_all()).map_err(TrainError::file("sync", path))?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// All float parameters of a module by path, as f32.
pub(crate) fn weights<M: Module>(module: &M) -> Tensors {
    let mut save = Save { path: Vec::new(), tensors: Tensors::new() };
    module.visit(&mut save);
    save.tensors
}

fn moments(optimiser: &AdamW) -> Tensors {
    optimiser
        .to_tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let shape = tensor.dims().to_vec();
            (name, (shape, to_f32(tensor)))
        })
        .collect()
}

/// Values of a tensor that training keeps in f32.
pub(crate) fn to_f32<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

struct Save {
    path: Vec<String>,
    tensors: Tensors,
}

impl ModuleVisitor for Save {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val().inner();
        self.tensors.insert(self.path.join("."), (value.dims().to_vec(), to_f32(value)));
    }
}

struct Load {
    path: Vec<String>,
    tensors: Tensors,
    missing: Option<String>,
}

impl ModuleMapper for Load {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let (id, old, mapper) = param.consume();
        let device = old.device().inner();
        let tensor = match self.tensors.remove(&path) {
            Some((shape, values)) if shape == old.dims() => {
                let new = Tensor::<D>::from_data(TensorData::new(values, shape), &device);
                let new = if old.is_autodiff() { Tensor::from_inner(new) } else { new };
                if old.is_require_grad() { new.require_grad() } else { new }
            }
            _ => {
                self.missing.get_or_insert(path);
                old
            }
        };
        Param::from_mapped_value(id, tensor, mapper)
    }
}

fn to_safetensors(tensors: &Tensors) -> Result<Vec<u8>, TrainError> {
    let bytes: BTreeMap<&str, (&[usize], Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| {
            (name.as_str(), (shape.as_slice(), values.iter().flat_map(|value| value.to_le_bytes()).collect()))
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, (shape, bytes))| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(TrainError::engine("cannot encode the weights"))?;
    safetensors::serialize(views, None).map_err(TrainError::engine("cannot encode the weights"))
}

fn from_safetensors(checkpoint: &Path, name: &str) -> Result<Tensors, TrainError> {
    let path = checkpoint.join(name);
    let bytes = fs::read(&path).map_err(TrainError::file("read the checkpoint", &path))?;
    let damaged = |what: String| TrainError::Checkpoint { what, path: path.clone() };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| damaged(error.to_string()))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(damaged(format!("{name} is not f32")));
        }
        let (words, _) = view.data().as_chunks::<4>();
        let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        tensors.insert(name, (view.shape().to_vec(), values));
    }
    Ok(tensors)
}
