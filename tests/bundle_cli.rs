//! `eosin bundle` on references that are in the repository: what it prints, what it writes, what it refuses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

fn bundle(args: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
    command.arg("bundle").args(args).env("EOSIN_CONFIG", "/nowhere/config.toml").env_remove("RUST_BACKTRACE");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The tiny checkpoint of the references as a Hugging Face folder with a tokenizer of its own.
fn checkpoint() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "preprocessor_config.json"] {
        fs::copy(golden("qwen").join(name), folder.path().join(name)).unwrap();
    }
    let added = [(2, "<|endoftext|>"), (3, "<|im_end|>")];
    let added = added.map(|(id, content)| json!({ "id": id, "content": content, "special": true }));
    let model = json!({ "type": "BPE", "vocab": { "a": 0, "b": 1 }, "merges": [] });
    let tokenizer = json!({ "model": model, "added_tokens": added });
    fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    fs::write(
        folder.path().join("README.md"),
        "---\nlicense: mit\nbase_model: nobody/nothing\n---\n# tiny\n",
    )
    .unwrap();
    folder
}

#[test]
fn a_checkpoint_becomes_a_bundle_that_tells_what_it_is() {
    let (source, folder) = (checkpoint(), tempfile::tempdir().unwrap());
    let out = folder.path().join("tiny");
    let quantize = [
        Path::new("quantize"),
        source.path(),
        Path::new("--type"),
        Path::new("q8_0"),
        Path::new("--out"),
        &out,
    ];
    let output = bundle(&quantize);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim_end(), out.display().to_string());
    let mut names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let expected = [
        "card.md",
        "manifest.toml",
        "mmproj.gguf",
        "preprocessor_config.json",
        "tokenizer.json",
        "weights.gguf",
    ];
    assert_eq!(names, expected);
    // Nothing else is left beside it.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let output = bundle(&[Path::new("inspect"), &out, Path::new("--json")]);
    let contents: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(contents["kind"], "bundle");
    assert_eq!(contents["architecture"], "qwen2vl");
    assert_eq!(contents["licence"], "mit");
    assert_eq!(contents["base"], "nobody/nothing");
    assert_eq!(contents["weights"][1]["mixture"], "Q8_0");
    assert!(contents["weights"][1]["types"]["Q8_0"]["n_tensor"].as_u64().unwrap() > 0);

    let output = bundle(&[Path::new("inspect"), &out]);
    for expected in
        ["Eosin bundle", "licence       mit", "weights.gguf: GGUF, Q8_0, ", "mmproj.gguf: GGUF, Q8_0, "]
    {
        assert!(text(&output.stdout).contains(expected), "{}", text(&output.stdout));
    }

    let again = bundle(&quantize);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).ends_with("is already there\nhint: choose another folder with `--out`\n"));

    // A changed file is noticed.
    fs::write(out.join("card.md"), "another").unwrap();
    let output = bundle(&[Path::new("inspect"), &out]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: the bundle's file card.md is not the one"));
}

#[test]
fn bad_input_ends_with_one_line() {
    let check = |args: &[&Path], expected: &str| {
        let output = bundle(args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty());
        let lines: Vec<&str> = stderr.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines[0].contains(expected), "{stderr}");
        assert!(lines[1..].iter().all(|line| line.starts_with("hint: ")), "{stderr}");
    };
    let inspect = Path::new("inspect");
    check(&[inspect, &golden("weights/evil_system.pt")], "refused: the pickle asks for `posix.system`");
    check(&[inspect, &golden("make_torch.py")], "not a sound safetensors file");
    check(&[inspect, Path::new("/nowhere")], "cannot read /nowhere");
    check(&[inspect, &golden("../fixtures/nothing")], "cannot read");

    let (source, folder) = (checkpoint(), tempfile::tempdir().unwrap());
    fs::write(source.path().join("config.json"), r#"{"model_type":"clip"}"#).unwrap();
    let out = folder.path().join("x");
    let quantize = [Path::new("quantize"), source.path(), Path::new("--out"), &out];
    check(&quantize, "cannot convert the model: config.json describes `clip`, expected `qwen2_5_vl`");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
