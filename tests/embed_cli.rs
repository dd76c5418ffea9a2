//! `eosin embed` as a user meets it: lines of JSON, a table of cosines, errors with advice and exit code 2.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn eosin(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
    command.args(["embed", "--device", "cpu"]).args(args).output().unwrap()
}

fn model() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/clip_open_clip.pt");
    path.display().to_string()
}

/// Merges whose vocabulary is larger than the tiny model's.
fn write_files(folder: &Path) -> [String; 3] {
    let place = |name: &str| folder.join(name);
    let paint = |path: &PathBuf, width: u32, height: u32| {
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 200]))
            .save(path)
            .unwrap();
    };
    let (a, b, merges) = (place("a.png"), place("b.png"), place("merges.txt"));
    paint(&a, 40, 30);
    paint(&b, 33, 70);
    std::fs::write(&merges, "#version: 0.2\n").unwrap();
    [a, b, merges].map(|path| path.display().to_string())
}

#[test]
fn pictures_become_lines_and_tables() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b, _] = write_files(folder.path());
    let output = eosin(&["--model", &model(), &a, &b]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("activation gelu") && talk.contains("open_clip"), "{talk}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>();
    assert_eq!(lines.len(), 2);
    for (line, path) in lines.iter().zip([&a, &b]) {
        assert_eq!(line["image"].as_str().unwrap(), path);
        let values = line["embedding"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
        let length = values.map(|v| v * v).sum::<f64>().sqrt();
        assert!((length - 1.0).abs() < 1e-5);
    }
    assert_eq!(lines[0]["model"], lines[1]["model"]);

    let output = eosin(&["--model", &model(), &a, &b, "--against-image", &a, "--activation", "quick_gelu"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("quick_gelu (as asked)"));
    let table = String::from_utf8(output.stdout).unwrap();
    let rows = table.lines().collect::<Vec<_>>();
    assert_eq!(rows.len(), 3, "{table}");
    assert!(rows[1].starts_with("1.0000\t") && !rows[2].starts_with("1.0000\t"), "{table}");
}

#[test]
fn mistakes_are_told_on_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _, merges] = write_files(folder.path());
    let check = |args: &[&str], expected: &str| {
        let output = eosin(args);
        let talk = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{talk}");
        assert!(output.stdout.is_empty());
        let line = talk.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(line.contains(expected), "{talk} does not say {expected}");
    };
    check(&[], "nothing to embed");
    check(&["--model", &model()], "nothing to embed");
    check(&["--model", &model(), "--activation", "relu", &a], "relu");
    check(&["--model", "absent.pt", &a], "no such file");
    check(&["--model", &model(), "--text", "x"], "without a tokenizer");
    check(&["--model", &model(), "--text", "x", "--tokenizer", &merges], "outside the model's vocabulary");
    check(&["--model", &model(), "absent.png"], "absent.png");
    check(&["--model", &model(), &merges], "merges.txt");
    check(&["--model", &merges, &a], "none of");
}

#[test]
fn without_a_model_the_demonstration_answers_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let [a, _, _] = write_files(folder.path());
    let lines = |args: &[&str]| {
        let output = eosin(args);
        let talk = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{talk}");
        assert!(talk.contains("eosin-demo-clip") && talk.contains("not for diagnosis"), "{talk}");
        String::from_utf8(output.stdout).unwrap()
    };
    // Built in, and from its folder: the same model, by name and by numbers.
    let built_in = lines(&[&a, "--text", "mucosa"]);
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/clip").display().to_string();
    assert_eq!(built_in, lines(&["--model", &demo, &a, "--text", "mucosa"]));
    assert_eq!(built_in.lines().count(), 2);
}
