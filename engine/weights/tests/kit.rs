//! llama.cpp's own files, where the shared folder with them is present: every tensor of every file equals
//! what gguf-py reads, by hashes that `tests/golden/make_blocks.py` took; and a model that we convert has
//! the types, keys and bits that llama.cpp chose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "../../../tests/support/shared.rs"]
mod shared;

use std::collections::BTreeMap;
use std::path::Path;

use eosin_weights::convert::{About, ModelFiles, Recipe, write_bundle};
use eosin_weights::{GgmlType, Gguf, SafetensorsFolder, WeightSource as _};
use sha2::{Digest as _, Sha256};
use shared::shared;

/// Type, shape and hash of each tensor.
type Tensors = BTreeMap<String, (String, Vec<usize>, String)>;

fn sha256(values: &[f32]) -> String {
    format!("{:x}", Sha256::digest(bytemuck::cast_slice::<_, u8>(values)))
}

#[test]
fn every_tensor_equals_gguf_py() {
    let Some(kit) = shared("conformance/kit") else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights/kit_tensors.json");
    let golden = std::fs::read_to_string(golden).unwrap();
    let golden: BTreeMap<String, Tensors> = serde_json::from_str(&golden).unwrap();
    assert_eq!(golden.len(), 6);
    for (file, tensors) in golden {
        let gguf = Gguf::open(&kit.join("gguf").join(&file)).unwrap();
        assert_eq!(gguf.names().len(), tensors.len());
        for (name, (kind, shape, hash)) in tensors {
            let tensor = gguf.tensor(&name).unwrap();
            assert_eq!((tensor.kind.name(), &tensor.shape), (kind.as_str(), &shape), "{file}: {name}");
            assert_eq!(sha256(&tensor.to_f32()), hash, "{file}: {name}");
        }
    }
}

/// Converts the kit's model and compares with llama.cpp's file of the same type.
fn check_conversion(kit: &Path, recipe: Recipe) {
    let source = kit.join("qwen/realhead/model");
    let folder = tempfile::tempdir().unwrap();
    let weights = SafetensorsFolder::open(&source).unwrap();
    let files = ModelFiles::read(&source).unwrap();
    let about = About { name: "Model".to_owned(), ..About::default() };
    let summary = write_bundle(&weights, &files, recipe, &about, folder.path(), &|_| {}).unwrap();
    // The four ways down of the vision tower have rows of 428, which no blocks fit.
    assert_eq!(summary.n_widened, if recipe == Recipe::Q8_0 { 4 } else { 0 }, "{recipe}");

    let ours = Gguf::open(&folder.path().join("weights.gguf")).unwrap();
    let theirs = Gguf::open(&kit.join(format!("gguf/realhead-{recipe}.gguf"))).unwrap();
    for (key, value) in theirs.meta().iter() {
        assert_eq!(ours.meta().get(key).unwrap(), value, "{recipe}: {key}");
    }
    assert_eq!(ours.meta().iter().count(), theirs.meta().iter().count(), "{recipe}");
    assert_eq!(ours.names().len(), theirs.names().len(), "{recipe}");
    for name in theirs.names() {
        let (a, b) = (ours.tensor(name).unwrap(), theirs.tensor(name).unwrap());
        assert_eq!((a.kind, &a.shape), (b.kind, &b.shape), "{recipe}: {name}");
        assert!(a.bytes == b.bytes, "{recipe}: {name} differs in bits");
    }
}

#[test]
fn converted_models_are_those_of_llama_cpp() {
    let Some(kit) = shared("conformance/kit") else { return };
    for recipe in [Recipe::Q8_0, Recipe::Q4_0, Recipe::Q4_K_M, Recipe::Q5_K_M, Recipe::Q6_K] {
        check_conversion(&kit, recipe);
    }
}

#[test]
fn converted_vision_tower_is_that_of_llama_cpp() {
    let Some(kit) = shared("conformance/kit") else { return };
    let source = kit.join("qwen/realhead/model");
    let weights = SafetensorsFolder::open(&source).unwrap();
    let files = ModelFiles::read(&source).unwrap();
    let about = About { name: "Model".to_owned(), ..About::default() };
    let theirs = Gguf::open(&kit.join("gguf/realhead-mmproj-f32.gguf")).unwrap();
    for recipe in [Recipe::F32, Recipe::F16, Recipe::Q8_0] {
        let folder = tempfile::tempdir().unwrap();
        write_bundle(&weights, &files, recipe, &about, folder.path(), &|_| {}).unwrap();
        let ours = Gguf::open(&folder.path().join("mmproj.gguf")).unwrap();
        assert_eq!(ours.names().len(), theirs.names().len());
        for (key, value) in theirs.meta().iter() {
            match key {
                // Written by llama.cpp's converter into both files; samplers read the language model's.
                "general.sampling.penalty_repeat" => {}
                "general.file_type" => assert_eq!(ours.meta().u32(key).unwrap(), recipe.file_type()),
                _ => assert_eq!(ours.meta().get(key).unwrap(), value, "{key}"),
            }
        }
        for name in theirs.names() {
            let (a, b) = (ours.tensor(name).unwrap(), theirs.tensor(name).unwrap());
            assert_eq!(a.shape, b.shape, "{name}");
            let wide_rows = a.shape.len() == 2 && a.n_col().is_multiple_of(32);
            let expected = match recipe {
                _ if a.shape.len() == 1 => GgmlType::F32,
                Recipe::F32 => GgmlType::F32,
                Recipe::Q8_0 if wide_rows => GgmlType::Q8_0,
                _ => GgmlType::F16,
            };
            assert_eq!(a.kind, expected, "{recipe}: {name}");
            if expected == GgmlType::F32 {
                assert!(a.bytes == b.bytes, "{name} differs in bits");
            }
        }
    }
}
