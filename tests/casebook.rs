//! `eosin case` and `eosin audit` on a case book that the library wrote: what they print, what they write, what they
//! find and refuse.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "../app/casebook/tests/support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A data folder with a case in its book.
fn data_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("casebook.sqlite");
    sample::case(&sample::open(&path));
    (folder, path)
}

fn eosin(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
    command
        .args(args)
        .env("EOSIN_DATA", data)
        .env("EOSIN_CONFIG", "/nowhere/config.toml")
        .env_remove("RUST_BACKTRACE");
    command.output().unwrap()
}

/// Exit code, stdout, stderr.
fn outcome(data: &Path, args: &[&str]) -> (i32, String, String) {
    let output = eosin(data, args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn json(data: &Path, args: &[&str]) -> Value {
    let (code, out, err) = outcome(data, args);
    assert_eq!(code, 0, "{args:?}: {err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn cases_are_listed_shown_and_found() {
    let (folder, _) = data_folder();
    let data = folder.path();
    let chats = json(data, &["case", "list", "--json"]);
    assert_eq!((chats[0]["id"].as_i64(), chats[0]["n_turn"].as_u64()), (Some(1), Some(3)));
    let (code, out, _) = outcome(data, &["case", "list"]);
    assert!(code == 0 && out.contains("3 questions, 3 pictures  Colon biopsy"), "{out}");
    let (code, out, _) = outcome(data, &["case", "show", "1"]);
    assert_eq!(code, 0);
    for words in [
        "B. Tubular adenoma with low-grade dysplasia  86.2 %",
        "one of 2 versions",
        "41.6 tokens/s",
        "0.5 µm/px, Smith_John_0417.svs",
        "第一个视野",
        "  | The field shows",
    ] {
        assert!(out.contains(words), "{words}:\n{out}");
    }
    let chat = json(data, &["case", "show", "1", "--json"]);
    assert_eq!(chat["turns"][0]["answers"][0]["token_ids"][3], 151_645);
    for (words, expected) in
        [(&["核分裂象"][..], 0), (&["crowded", "CRYPTS"], 0), (&["坏死"], 0), (&["unicorn"], 1)]
    {
        let mut args = vec!["case", "search"];
        args.extend(words);
        let (code, out, err) = outcome(data, &args);
        assert_eq!((code, out.is_empty()), (expected, expected == 1), "{words:?}: {out}{err}");
    }
    let found = json(data, &["case", "search", "--json", "pencillate"]);
    assert_eq!(found[0]["answer"], 1);
}

#[test]
fn an_exported_case_has_no_names_unless_they_are_chosen() {
    let (folder, _) = data_folder();
    let out = tempfile::tempdir().unwrap();
    for (name, extra, shown) in [
        ("a.md", &[][..], false),
        ("a.json", &[], false),
        ("a.pdf", &[], false),
        ("b.md", &["--names", "shown"], true),
        ("c.md", &["--language", "zh", "--images", "left-out"], false),
        ("d.txt", &["--format", "markdown"], false),
    ] {
        let path = out.path().join(name);
        let mut args = vec!["case", "export", "1", "--out", path.to_str().unwrap()];
        args.extend(extra);
        let (code, stdout, err) = outcome(folder.path(), &args);
        assert_eq!((code, stdout.trim()), (0, path.to_str().unwrap()), "{err}");
        assert_eq!(err.contains("names of slides and folders were left out"), !shown, "{err}");
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes).contains("Smith"), shown, "{name}");
        if name == "c.md" {
            assert!(String::from_utf8(bytes).unwrap().contains("仅供研究使用"));
            assert!(!out.path().join("c-images").exists());
        }
    }
    let path = out.path().join("a.doc");
    let (code, _, err) = outcome(folder.path(), &["case", "export", "1", "--out", path.to_str().unwrap()]);
    assert!(code == 2 && err.contains("hint: end the name in .md, .pdf or .json"), "{err}");
    // Each export is in the trail, which still holds.
    let (_, list, _) = outcome(folder.path(), &["audit", "list"]);
    assert_eq!(list.matches("chat exported").count(), 6, "{list}");
    assert_eq!(outcome(folder.path(), &["audit", "verify"]).0, 0);
}

#[test]
fn the_audit_trail_is_proved_and_its_faults_are_named() {
    let (folder, path) = data_folder();
    let data = folder.path();
    let (code, out, err) = outcome(data, &["audit", "verify"]);
    assert!(code == 0 && out.starts_with("whole: 13 entries"), "{out}{err}");
    assert_eq!(json(data, &["audit", "verify", "--json"])["verified"]["n_entry"], 13);
    let (_, out, _) = outcome(data, &["audit", "list", "--limit", "2", "--json"]);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), lines[1]["action"].as_str()), (2, Some("answer_finished")));
    assert_eq!(lines[1]["prev"], lines[0]["hash"]);
    let attacker = rusqlite::Connection::open(&path).unwrap();
    attacker
        .execute_batch("UPDATE answer SET answer = 'Normal.' WHERE id = 1; DELETE FROM answer WHERE id = 2")
        .unwrap();
    drop(attacker);
    let (code, out, err) = outcome(data, &["audit", "verify"]);
    assert_eq!(code, 2);
    assert_eq!(out, "answer 1 was changed after entry 5\nanswer 2 is missing, which entry 7 recorded\n");
    assert!(err.starts_with("error: the record is not as it was written: 2 faults\nhint: "), "{err}");
    let (code, out, _) = outcome(data, &["audit", "verify", "--json"]);
    let faults: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, faults["whole"].as_bool(), faults["faults"][0]["seq"].as_u64()),
        (2, Some(false), Some(5))
    );
}

#[test]
fn a_case_is_renamed_copied_and_deleted() {
    let (folder, _) = data_folder();
    let data = folder.path();
    assert_eq!(outcome(data, &["case", "rename", "1", "Polyp"]).0, 0);
    assert!(outcome(data, &["case", "list"]).1.contains("Polyp"));
    let copy = folder.path().join("copy.sqlite");
    assert_eq!(outcome(data, &["case", "backup", copy.to_str().unwrap()]).0, 0);
    let (code, _, err) = outcome(data, &["case", "delete", "1"]);
    assert!(code == 2 && err.contains("hint: say --yes"), "{err}");
    assert_eq!(outcome(data, &["case", "delete", "1", "--yes"]).0, 0);
    assert_eq!(outcome(data, &["case", "list"]).0, 1);
    let (code, _, err) = outcome(data, &["case", "show", "1"]);
    assert!(
        code == 2 && err.contains("error: the case book has no chat 1\nhint: `eosin case list`"),
        "{err}"
    );
    assert_eq!(outcome(data, &["audit", "verify"]).0, 0);
    let copy = copy.to_str().unwrap();
    assert!(outcome(data, &["case", "show", "1", "--book", copy]).1.contains("Polyp"));
    assert_eq!(outcome(data, &["audit", "verify", "--book", copy]).0, 0);
}

#[test]
fn what_is_not_there_is_not_made_and_what_is_damaged_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for args in [&["case", "list"][..], &["case", "show", "1"], &["audit", "verify"], &["audit", "list"]] {
        let (code, out, err) = outcome(&data, args);
        assert_eq!((code, out.as_str(), err.as_str()), (1, "", "there is no case book yet\n"), "{args:?}");
    }
    assert!(!data.exists());
    assert_eq!(outcome(&data, &["case", "list", "--book", "/nowhere/book"]).0, 2);
    let (folder, path) = data_folder();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..4096].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let (code, out, err) = outcome(folder.path(), &["case", "list"]);
    assert!(code == 0 && out.contains("Colon biopsy"), "{out}{err}");
    assert!(err.contains("has been rebuilt") && err.contains("casebook.sqlite.damaged-"), "{err}");
    let (code, out, _) = outcome(folder.path(), &["audit", "verify"]);
    assert!(code == 0 && out.starts_with("whole: 14 entries"), "{out}");
}

/// The whole way on the command line: asked and kept, found again, re-run from the record with the same tokens, handed on.
#[test]
fn a_question_is_kept_and_re_run_from_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let picture = data.join("Smith_John.png");
    let tissue = image::RgbImage::from_fn(224, 224, |x, y| {
        let cell = (x / 14 + y / 12) % 4 == 0;
        image::Rgb(if cell { [110, 60, 140] } else { [225, 150, 195] })
    });
    tissue.save(&picture).unwrap();
    let image = picture.to_str().unwrap();
    let asked = [
        "ask",
        "Describe the image.",
        "--image",
        image,
        "--keep",
        "--temperature",
        "0.8",
        "--json",
        "--device",
        "cpu",
    ];
    let (code, out, err) = outcome(data, &asked);
    if err.contains("no demonstration model") {
        return eprintln!("skipped: this build has no demonstration model");
    }
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("kept as case 1"), "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let chat = json(data, &["case", "show", "1", "--json"]);
    let kept = &chat["turns"][0]["answers"][0];
    assert_eq!(kept["token_ids"], answer["token_ids"]);
    assert!(kept["seed"].is_u64(), "a drawn answer has its seed: {kept}");
    // The picture is not needed any more.
    std::fs::remove_file(&picture).unwrap();
    let rerun = json(data, &["case", "rerun", &kept["id"].to_string(), "--json", "--device", "cpu"]);
    assert_eq!((&rerun["same"], &rerun["same_model"]), (&Value::Bool(true), &Value::Bool(true)), "{rerun}");
    let pdf = data.join("case.pdf");
    assert_eq!(outcome(data, &["case", "export", "1", "--out", pdf.to_str().unwrap()]).0, 0);
    assert!(std::fs::read(&pdf).unwrap().starts_with(b"%PDF"));
    let markdown = data.join("case.md");
    assert_eq!(outcome(data, &["case", "export", "1", "--out", markdown.to_str().unwrap()]).0, 0);
    assert!(!std::fs::read_to_string(&markdown).unwrap().contains("Smith"), "no name leaves the record");
    assert_eq!(outcome(data, &["audit", "verify"]).0, 0);
}
