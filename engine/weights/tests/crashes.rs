//! Inputs that once failed under fuzzing (`tests/fuzz`), and the references as they are: each is read or
//! refused with one line.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use eosin_weights::{Gguf, SafetensorsFolder, TorchCheckpoint, WeightError, WeightSource};

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        items.map(|item| item.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn check(path: &Path, opened: Result<impl WeightSource, WeightError>) {
    match opened {
        Ok(source) => {
            for name in source.names() {
                let tensor = source.tensor(name).unwrap();
                assert_eq!(tensor.to_f32().len(), tensor.n_element(), "{}", path.display());
            }
        }
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains('\n') && text.len() < 2000, "{}: {text:?}", path.display());
        }
    }
}

#[test]
fn whatever_a_file_holds_each_reader_reads_or_refuses_it() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let folders =
        ["golden/weights", "fuzz/crashes/gguf", "fuzz/crashes/pickle", "fuzz/crashes/safetensors_header"];
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| files(&tests.join(folder))).collect();
    assert!(files.len() > 20, "the references are there");
    for path in files {
        let bytes = Bytes::from(fs::read(&path).unwrap());
        check(&path, Gguf::from_bytes(bytes.clone()));
        check(&path, SafetensorsFolder::from_bytes(&bytes));
        check(&path, TorchCheckpoint::from_bytes(&bytes));
    }
}
