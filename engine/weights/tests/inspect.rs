//! One of each kind is described; what is none is refused.

use std::fs;
use std::path::PathBuf;

use eosin_core::error_chain;
use eosin_weights::inspect::{Kind, inspect};
use eosin_weights::{GgmlType, GgufWriter};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights").join(name)
}

#[test]
fn files_are_described_by_their_first_bytes() {
    let check = |name: &str, container: &str, n_tensor: usize, n_parameter: u64| {
        let contents = inspect(&golden(name)).unwrap();
        assert_eq!(contents.kind, Kind::File);
        let [file] = &contents.weights[..] else { panic!("{contents:?}") };
        assert_eq!((file.file.as_str(), file.container), (name, container));
        assert_eq!(file.types.values().map(|count| count.n_tensor).sum::<usize>(), n_tensor, "{name}");
        assert_eq!(file.n_parameter, n_parameter, "{name}");
        assert!(file.tensor_bytes > 0);
    };
    check("expected.safetensors", "safetensors", 10, 15 + 4 + 4 + 3 + 1 + 48 + 10 + 48 + 4);
    check("state.pt", "torch", 10, 15 + 4 + 4 + 3 + 1 + 48 + 10 + 48 + 4);
    check("blocks.gguf", "GGUF", 19, inspect(&golden("blocks.gguf")).unwrap().weights[0].n_parameter);
}

#[test]
fn folders_are_described_with_their_companions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let text = error_chain(&inspect(path).unwrap_err());
    assert!(text.contains("the folder holds no weights"), "{text}");

    fs::copy(golden("expected.safetensors"), path.join("model.safetensors")).unwrap();
    fs::write(path.join("config.json"), r#"{"architectures":["CLIPModel"]}"#).unwrap();
    fs::write(path.join("README.md"), "---\nlicense: mit\n---\n").unwrap();
    let contents = inspect(path).unwrap();
    assert_eq!(contents.kind, Kind::HuggingFace);
    assert_eq!(contents.architecture.as_deref(), Some("CLIPModel"));
    assert_eq!(contents.licence.as_deref(), Some("mit"));
    assert_eq!(contents.companions, ["config.json", "README.md"]);

    let mut writer = GgufWriter::new();
    writer.set("general.architecture", "qwen2vl");
    writer.set("general.file_type", 15);
    writer.tensor("w", GgmlType::Q8_0, &[32], vec![0; 34]).unwrap();
    writer.write(&path.join("weights.gguf")).unwrap();
    fs::write(path.join("manifest.toml"), "format = 1\n").unwrap();
    let contents = inspect(path).unwrap();
    assert_eq!(contents.kind, Kind::Bundle);
    assert_eq!(contents.weights.len(), 2);
    assert_eq!(contents.weights[1].mixture.as_deref(), Some("Q4_K_M"));
    assert_eq!(contents.weights[1].types["Q8_0"].n_byte, 34);

    fs::write(path.join("weights.gguf"), b"").unwrap();
    assert!(error_chain(&inspect(path).unwrap_err()).contains("the magic number needs 4 bytes"));
}
