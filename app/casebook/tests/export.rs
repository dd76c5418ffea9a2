//! What leaves the record: documents that hold everything, and no name that was not chosen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};

use eosin_casebook::{ExportOptions, Exported, Format, Images, Labels, Names};

fn export(path: &Path, format: Format, options: &ExportOptions) -> Exported {
    let folder = tempfile::tempdir().unwrap();
    let book = sample::open(&folder.path().join("book"));
    let chat = sample::case(&book);
    let exported = book.export(chat, format, options, path).unwrap();
    book.verify().unwrap();
    let entries = book.audit().unwrap();
    let entry = entries.last().unwrap();
    assert_eq!((entry.action.as_str(), entry.chat), ("chat_exported", Some(chat)));
    exported
}

/// Every byte that went out, file names too.
fn everything(folder: &Path) -> String {
    let mut out = String::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let item = item.unwrap().path();
        out += &item.file_name().unwrap().to_string_lossy();
        out.push('\n');
        if item.is_dir() {
            out += &everything(&item);
        } else {
            out += &String::from_utf8_lossy(&std::fs::read(&item).unwrap());
        }
    }
    out
}

/// The words of a PDF, where poppler is installed.
fn words_of(pdf: &Path) -> Option<String> {
    let output = std::process::Command::new("pdftotext").arg(pdf).arg("-").output();
    let Ok(output) = output else {
        eprintln!("skipped: pdftotext is not installed");
        return None;
    };
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn no_name_leaves_unless_it_is_chosen() {
    for format in [Format::Markdown, Format::Json, Format::Pdf] {
        for (names, leaves) in [(Names::Hidden, false), (Names::Shown, true)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("case.out");
            export(&path, format, &ExportOptions { names, ..ExportOptions::default() });
            let mut out = everything(folder.path()).to_lowercase();
            if format == Format::Pdf {
                let Some(words) = words_of(&path) else { continue };
                out += &words.to_lowercase();
            }
            for name in ["smith", "john", "/media/usb", "macro photo"] {
                assert_eq!(out.contains(name), leaves, "{name} in {} with {names:?}", format.name());
            }
        }
    }
}

#[test]
fn a_document_holds_everything_that_was_said() {
    for format in [Format::Markdown, Format::Json, Format::Pdf] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.out");
        let exported = export(&path, format, &ExportOptions::default());
        assert_eq!(exported.document, path);
        let text = match format {
            Format::Pdf => match words_of(&path) {
                Some(words) => words.split_whitespace().collect::<Vec<_>>().join(" "),
                None => continue,
            },
            _ => std::fs::read_to_string(&path).unwrap(),
        };
        let expected = [
            "Which of these best describes",
            "nuclei keep their polarity",
            "第一个视野中核分裂象较多",
            "请用中文回答",
            "Qwen2.5-VL-3B",
            "sha256:9f2c4a6b",
            "18446744073709551614",
            "86.2",
            "research use only",
        ];
        for words in expected {
            // Digits stand in JSON as they are, not as a share.
            let words = if format == Format::Json && words == "86.2" { "0.862" } else { words };
            assert!(text.contains(words), "{words} in {}:\n{text}", format.name());
        }
        if format != Format::Pdf {
            assert_eq!(exported.pictures.len(), 3);
            for picture in &exported.pictures {
                let name = format!("case-images/{}", picture.file_name().unwrap().to_string_lossy());
                assert!(text.contains(&name), "{name}");
                assert_eq!(image::open(picture).unwrap().color(), image::ColorType::Rgb8);
            }
        }
    }
}

#[test]
fn a_json_case_has_every_version_and_every_token() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("case.json");
    export(&path, Format::Json, &ExportOptions { images: Images::LeftOut, ..ExportOptions::default() });
    let case: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((case["format"].as_str(), case["version"].as_u64()), (Some("eosin-case"), Some(1)));
    let turns = case["chat"]["turns"].as_array().unwrap();
    assert_eq!(
        turns.iter().map(|turn| turn["answers"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [1, 2, 1]
    );
    assert_eq!(turns[0]["answers"][0]["prompt_ids"][3], u32::MAX);
    assert_eq!(turns[0]["images"][0]["region"]["origin_base_px"][0], 12_001);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "pictures were left out");
}

#[test]
fn a_refused_export_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let book = sample::open(&folder.path().join("book"));
    let chat = sample::case(&book);
    let n_entry = book.audit().unwrap().len();
    for path in ["nowhere/case.md", "nowhere/case.pdf"] {
        assert!(
            book.export(chat, Format::Markdown, &ExportOptions::default(), &folder.path().join(path))
                .is_err()
        );
    }
    let gone = eosin_casebook::ChatId(99);
    let error =
        book.export(gone, Format::Pdf, &ExportOptions::default(), &folder.path().join("x.pdf")).unwrap_err();
    assert_eq!(error.to_string(), "the case book has no chat 99");
    assert_eq!(book.audit().unwrap().len(), n_entry);
    assert!(!folder.path().join("x.pdf").exists());
}

/// Where `EOSIN_KEEP` names a folder, the report stays there to be looked at.
#[test]
fn a_report_has_pages_of_paper() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var_os("EOSIN_KEEP")
        .map_or_else(|| folder.path().to_owned(), PathBuf::from)
        .join("case.pdf");
    let labels =
        Labels { notice: "仅供研究使用，不得用于诊断。".to_owned(), ..Labels::default() };
    export(&path, Format::Pdf, &ExportOptions { labels, names: Names::Shown, ..ExportOptions::default() });
    export(&path, Format::Pdf, &ExportOptions::default());
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() < 4 << 20, "{} bytes", bytes.len());
}
