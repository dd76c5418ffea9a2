//! Training data from files: every format, every refusal, splits, orders and the store of pictures.
//!
//! The files are written here, as small as shows the point; the parquet ones come from pyarrow
//! (`golden/data/make_parquet.py`), because a reader tested against its own writer proves nothing.
//!
//! This file is long because every format and every refusal has its case.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/shared.rs"]
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosin_core::{RgbTile, Role};
use eosin_training::data::split::{self, By};
use eosin_training::data::{
    Check, Files, Format, Group, ImageStore, Joined, Message, Mixture, Permutation, Picture, Sample,
    Shuffled, Skip, Source, Subset, Tally, check_disjoint,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::shared;
use tempfile::TempDir;

/// A folder with four pictures of one colour each, in `images/` and beside.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("images")).unwrap();
        for (name, shade) in [("a", 10), ("b", 20), ("c", 30), ("d", 40)] {
            let bytes = png(shade);
            std::fs::write(dir.path().join(format!("{name}.png")), &bytes).unwrap();
            std::fs::write(dir.path().join(format!("images/{name}.png")), &bytes).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn png(shade: u8) -> Vec<u8> {
    encode(&image::RgbImage::from_pixel(4, 3, image::Rgb([shade; 3])).into(), image::ImageFormat::Png)
}

fn encode(image: &image::DynamicImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn open(files: &Files) -> (Box<dyn Source>, Tally) {
    let mut tally = Tally::default();
    let source = files.open(&mut tally).unwrap();
    (source, tally)
}

fn samples(source: &dyn Source) -> Vec<Sample> {
    (0..source.n_sample()).map(|idx| source.sample(idx).unwrap()).collect()
}

fn said(sample: &Sample) -> Vec<String> {
    sample.messages.iter().map(|turn| format!("{}:{}", &turn.role.name()[..1], turn.text)).collect()
}

/// Opens one row, under no name that would tell its format, and compares turns, shades and answer.
fn check_row(row: &Value, turns: &[&str], shades: &[u8], gold: Option<&str>) {
    let folder = Folder::new();
    for (name, text) in [
        ("rows.jsonl", format!("{row}\n")),
        ("list.json", format!("[\n{row}\n]")),
        ("lines.json", format!("{row}\n{row}\n")),
    ] {
        let (source, tally) = open(&Files::new(folder.write(name, text)));
        assert_eq!(tally.skips, [], "{name} {row}");
        let sample = source.sample(0).unwrap();
        assert_eq!(said(&sample), turns, "{name} {row}");
        let found: Vec<u8> = sample.images.iter().map(|image| image.decode().unwrap().pixels()[0]).collect();
        assert_eq!(found, shades, "{row}");
        assert_eq!(sample.task.as_ref().map(|task| task.gold.as_str()), gold, "{row}");
        assert!(sample.check().is_ok());
    }
}

#[test]
fn rows_of_conversations_become_samples() {
    let ask = "<image>What?";
    check_row(
        &json!({"id": 7, "conversations": [{"from": "human", "value": ask}, {"from": "gpt", "value": "Gland."}], "images": ["a.png"]}),
        &["u:<image>What?", "a:Gland."],
        &[10],
        None,
    );
    check_row(
        &json!({"id": "x", "image": "images/b.png", "conversations": [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": "<think>t</think><answer>B</answer>"}]}),
        &["u:<image>\nQ", "a:<think>t</think><answer>B</answer>"],
        &[20],
        Some("B"),
    );
    check_row(
        &json!({"system": "Be brief.", "conversations": [
            {"from": "human", "value": "<image><image>1"}, {"from": "gpt", "value": "2"},
            {"from": "human", "value": "3"}, {"from": "gpt", "value": "4"}], "images": ["a.png", "./images/../c.png"]}),
        &["s:Be brief.", "u:<image><image>1", "a:2", "u:3", "a:4"],
        &[10, 30],
        None,
    );
    check_row(
        &json!({"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": [
            {"type": "image", "image": "a.png"}, {"type": "text", "text": "Q"}]}, {"role": "assistant", "content": "A"}]}),
        &["s:S", "u:<image>Q", "a:A"],
        &[10],
        None,
    );
    let inline = format!("data:image/png;base64,{}", base64(&png(77)));
    check_row(
        &json!({"messages": [{"role": "user", "content": [
            {"type": "text", "text": "Q "}, {"type": "image_url", "image_url": {"url": inline}}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A"}]}]}),
        &["u:Q <image>", "a:A"],
        &[77],
        None,
    );
    // A mark for a picture beside the messages, and no marks at all as ms-swift allows.
    check_row(
        &json!({"messages": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Q"}]}], "images": [{"path": "d.png"}], "solution": "yes"}),
        &["u:<image>Q"],
        &[40],
        Some("yes"),
    );
    check_row(
        &json!({"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "images": ["d.png", "a.png"]}),
        &["u:<image><image>Q", "a:A"],
        &[40, 10],
        None,
    );
    check_row(
        &json!({"query": "Q", "response": "A", "history": [["q", "a"]], "images": ["b.png"]}),
        &["u:<image>q", "a:a", "u:Q", "a:A"],
        &[20],
        None,
    );
    check_row(
        &json!({"conversation": [{"human": "Q", "assistant": "A"}, {"human": "R", "assistant": "B"}], "system": "S"}),
        &["s:S", "u:Q", "a:A", "u:R", "a:B"],
        &[],
        None,
    );
    check_row(
        &json!({"instruction": "Do", "input": "this", "output": "Done", "system": "", "history": []}),
        &["u:Do\nthis", "a:Done"],
        &[],
        None,
    );
    check_row(&json!({"text": "Stroma is tissue."}), &["a:Stroma is tissue."], &[], None);
}

#[test]
fn rows_of_questions_and_captions_become_samples() {
    let problem = "What?\nOptions:\nA) one\nB) two";
    let solution = "<think>x</think><answer>B) two</answer>";
    check_row(
        &json!({"image": "a.png", "problem": problem, "solution": solution}),
        &[&format!("u:<image>{problem}"), &format!("a:{solution}")],
        &[10],
        Some("B) two"),
    );
    check_row(
        &json!({"data_source": "p", "prompt": [{"role": "user", "content": "<image>Q"}], "images": [{"path": "c.png"}],
            "ability": "path", "reward_model": {"style": "rule", "ground_truth": "C"}, "extra_info": {"split": "train", "index": 3}}),
        &["u:<image>Q"],
        &[30],
        Some("C"),
    );
    check_row(
        &json!({"dataset": "D", "question_id": "D_1", "question_type": "T", "question": "Q", "gt_answer": "two",
            "image_path": "images/d.png", "option_A": "one", "option_B": "two", "modality_type": "M"}),
        &["u:<image>Q\nOptions:\nA) one\nB) two", "a:B) two"],
        &[40],
        Some("B) two"),
    );
    check_row(
        &json!({"image": "a.png", "question": "Is it?", "answer": "yes"}),
        &["u:<image>Is it?", "a:yes"],
        &[10],
        Some("yes"),
    );
    check_row(&json!({"file_name": "b.png", "text": "Glands."}), &["u:<image>", "a:Glands."], &[20], None);
}

#[test]
fn the_answer_is_known_with_its_letter_and_its_options() {
    let folder = Folder::new();
    let row = json!({"image": "a.png", "problem": "Q\nOptions:\nA) one\nB) two", "solution": "<think> why </think><answer>B) two</answer>"});
    let (source, _) = open(&Files::new(folder.write("r.jsonl", row.to_string())));
    let task = source.sample(0).unwrap().task.unwrap();
    assert_eq!(task.gold_letter, Some('B'));
    assert_eq!(task.options, ["one", "two"]);
    assert_eq!(task.reasoning.as_deref(), Some("why"));
}

#[test]
fn a_turn_may_be_left_out_of_the_loss() {
    let folder = Folder::new();
    let row = json!({"messages": [
        {"role": "user", "content": "1", "loss": true}, {"role": "assistant", "content": "2", "loss": false},
        {"role": "user", "content": "3"}, {"role": "assistant", "content": "4", "loss": 1.0},
        {"role": "user", "content": "5"}, {"role": "assistant", "content": "6", "loss": null}]});
    let (source, _) = open(&Files::new(folder.write("r.jsonl", row.to_string())));
    let taught: Vec<bool> = source.sample(0).unwrap().messages.iter().map(|turn| turn.taught).collect();
    assert_eq!(taught, [false, false, false, true, false, true]);
}

#[test]
fn a_list_of_data_sets_names_columns_and_speakers() {
    let folder = Folder::new();
    folder.write("d/rows.json", json!([{"talk": [{"who": "Q", "what": "<image>1"}, {"who": "A", "what": "2"}], "pics": ["../a.png"]}]).to_string());
    folder.write("d/dataset_info.json", json!({
        "mine": {"file_name": "rows.json", "formatting": "sharegpt", "columns": {"messages": "talk", "images": "pics"},
            "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "Q", "assistant_tag": "A"}},
        "far": {"hf_hub_url": "somebody/something"},
        "plain": {"file_name": "plain.json", "columns": {"prompt": "ask", "query": "more", "response": "say"}},
    }).to_string());
    folder.write("d/plain.json", json!([{"ask": "a", "more": "b", "say": "c"}]).to_string());
    let named = |name: &str| Files {
        dataset: Some(name.into()),
        images: Some(folder.path("")),
        ..Files::new(folder.path("d"))
    };
    let mut tally = Tally::default();
    let source = named("mine").open(&mut tally);
    assert!(source.unwrap_err().to_string().contains("outside its folder"));
    folder.write(
        "d/rows.json",
        json!([{"talk": [{"who": "Q", "what": "<image>1"}, {"who": "A", "what": "2"}], "pics": ["a.png"]}])
            .to_string(),
    );
    let (source, _) = open(&named("mine"));
    assert_eq!(said(&source.sample(0).unwrap()), ["u:<image>1", "a:2"]);
    let (source, _) = open(&named("plain"));
    assert_eq!(said(&source.sample(0).unwrap()), ["u:a\nb", "a:c"]);
    let refused = |files: Files| files.open(&mut Tally::default()).unwrap_err().to_string();
    assert!(refused(named("far")).contains("not fetched"));
    assert!(refused(named("absent")).contains("no data set is called `absent`"));
    let all = refused(Files::new(folder.path("d")));
    assert!(all.contains("state `dataset`, one of far, mine, plain"), "{all}");
}

#[test]
fn phantoms_written_to_a_folder_are_read_back() {
    use eosin_training::phantom::{Domain, Split, Style, export};
    let dir = tempfile::tempdir().unwrap();
    let order = export::Order {
        split: Split::Validation,
        first_idx: 0,
        n_phantom: 3,
        n_question: 2,
        style: Style::Cot,
        size_px: [56, 56],
        domain: Domain::In,
    };
    export::write(dir.path(), &order, &mut |_| {}).unwrap();
    let (source, tally) = open(&Files::new(dir.path()));
    assert_eq!((source.n_sample(), tally.skips.len()), (3, 0));
    let sample = source.sample(1).unwrap();
    assert_eq!((sample.messages.len(), sample.images.len()), (4, 1));
    assert_eq!(sample.images[0].decode().unwrap().size_px(), [56, 56]);
}

#[test]
fn tables_of_pictures_and_captions_are_read() {
    let folder = Folder::new();
    let check = |name: &str, text: &str, files: &dyn Fn(Files) -> Files, captions: &[&str]| {
        let (source, tally) = open(&files(Files::new(folder.write(name, text))));
        assert_eq!(tally.skips, [], "{text}");
        let found: Vec<String> =
            samples(&*source).iter().map(|sample| sample.caption().unwrap().to_owned()).collect();
        assert_eq!(found, captions, "{text}");
        assert!(source.sample(0).unwrap().images[0].decode().is_ok());
    };
    check(
        "a.csv",
        "image_path,caption\na.png,One\nb.png,\"Two, \"\"quoted\"\"\nand broken\"\n",
        &|files| files,
        &["One", "Two, \"quoted\"\nand broken"],
    );
    check("b.tsv", "filepath\ttitle\r\na.png\tOne, two\r\n", &|files| files, &["One, two"]);
    check("c.csv", "\u{feff}image_path;caption\na.png;One, two\n", &|files| files, &["One, two"]);
    check(
        "d.csv",
        "p|c|n\na.png|One|1\n",
        &|mut files| {
            files.separator = Some('|');
            files.columns = [("image".into(), "p".into()), ("caption".into(), "c".into())].into();
            files
        },
        &["One"],
    );
    check(
        "lookup.csv",
        ",caption,image_path,subset,split,magnification\n0,One,a.png,quilt,train,1.0\n1,Two,b.png,pubmed,val,\n",
        &|mut files| {
            files.format = Format::Quilt;
            files.keep = [("split".into(), vec!["val".into()])].into();
            files
        },
        &["Two"],
    );
}

#[test]
fn shards_and_folders_of_classes_are_read() {
    let folder = Folder::new();
    for shard in 0..2 {
        let mut tar = tar::Builder::new(Vec::new());
        for row in 0..2 {
            let key = format!("{shard:05}{row:04}");
            let place = json!({"caption": "in json", "key": key, "width": 4, "height": 3, "original_path": "x.jpg", "source": "s"});
            append(&mut tar, &format!("{key}.png"), &png(50 + shard * 2 + row));
            append(&mut tar, &format!("{key}.json"), place.to_string().as_bytes());
            if row == 0 {
                append(&mut tar, &format!("{key}.txt"), b"in text\n");
            }
        }
        folder.write(&format!("shards/{shard:05}.tar"), tar.into_inner().unwrap());
    }
    for path in ["shards", "shards/{00000..00001}.tar"] {
        let (source, tally) = open(&Files::new(folder.path(path)));
        assert_eq!(tally.skips, []);
        let found: Vec<(String, u8)> = samples(&*source)
            .iter()
            .map(|sample| {
                (sample.caption().unwrap().to_owned(), sample.images[0].decode().unwrap().pixels()[0])
            })
            .collect();
        let expected = [("in text", 50), ("in json", 51), ("in text", 52), ("in json", 53)];
        assert_eq!(found, expected.map(|(text, shade)| (text.to_owned(), shade)), "{path}");
    }
    for (class, shade) in [("lung_aca", 1), ("lung_aca", 2), ("lung_n", 3)] {
        folder.write(&format!("classes/{class}/{shade}.png"), png(shade));
    }
    folder.write("classes/lung_n/notes.txt", "no picture");
    let files = Files { caption: Some("tissue of {class}.".into()), ..Files::new(folder.path("classes")) };
    let (source, _) = open(&files);
    let found: Vec<(String, String)> = samples(&*source)
        .iter()
        .map(|sample| (sample.caption().unwrap().to_owned(), sample.tags["class"].clone()))
        .collect();
    let expected = [
        ("tissue of lung aca.", "lung_aca"),
        ("tissue of lung aca.", "lung_aca"),
        ("tissue of lung n.", "lung_n"),
    ];
    assert_eq!(found, expected.map(|(caption, class)| (caption.to_owned(), class.to_owned())));
}

fn append(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
}

#[test]
fn the_public_sets_are_read_as_they_lie() {
    let folder = Folder::new();
    let item = |image: &str| json!({"No": 1, "img": image, "question": "Q?", "options": ["A) one", "B) two"], "answer": "B) two", "explanation": "e"});
    let all = json!({"PubMed": {"val": [item("a.png")], "test": [item("b.png"), item("absent.png")]}, "EduContent": {"val": [item("c.png")]}});
    let path = folder.write("data.json", all.to_string());
    let (source, tally) = open(&Files::new(&path));
    assert_eq!((source.n_sample(), tally.skips.len()), (3, 1), "a missing picture is reported, not fatal");
    assert!(tally.skips[0].reason.starts_with("no such image"), "{:?}", tally.skips);
    let sample = source.sample(1).unwrap();
    assert_eq!((sample.tags["subset"].as_str(), sample.tags["split"].as_str()), ("PubMed", "test"));
    assert_eq!(sample.task.unwrap().gold_letter, Some('B'));
    let keep = [("split".to_owned(), vec!["val".to_owned()])].into();
    assert_eq!(open(&Files { keep, ..Files::new(&path) }).0.n_sample(), 2);

    folder.write("TCGA-1/12_34.jpg", encode(&image::RgbImage::new(4, 4).into(), image::ImageFormat::Jpeg));
    let rows = json!([{"wsi_id": "TCGA-1", "position": ["12", "34"], "caption": "One", "file_id": "f"}, {"WSI_id": "TCGA-1", "position": [12, 34], "caption": "Two", "file_id": "f"}]);
    let (source, tally) = open(&Files::new(folder.write("PathGen.json", rows.to_string())));
    assert_eq!((source.n_sample(), tally.skips.len()), (2, 0), "{:?}", tally.skips);
    let arch = json!({"0": {"figure_id": "1", "letter": "A", "caption": "One", "uuid": "a"}, "1": {"caption": "Two", "uuid": "b"}});
    let files = Files { format: Format::Arch, ..Files::new(folder.write("captions.json", arch.to_string())) };
    let (source, _) = open(&files);
    assert_eq!(
        samples(&*source).iter().map(|sample| sample.caption().unwrap().to_owned()).collect::<Vec<_>>(),
        ["One", "Two"]
    );
}

#[test]
fn parts_of_files_are_chosen_by_their_sampling() {
    let folder = Folder::new();
    let rows: Vec<Value> =
        (0..10).map(|row| json!({"image": "a.png", "problem": format!("{row}"), "solution": "s"})).collect();
    folder.write("rows.json", Value::from(rows).to_string());
    let chosen = |sampling: &str| -> String {
        let list = format!("datasets:\n  - json_path: rows.json\n    sampling_strategy: {sampling}\n");
        let (source, _) = open(&Files::new(folder.write("list.yaml", list)));
        samples(&*source).iter().map(|sample| sample.messages[0].text.replace("<image>", "")).collect()
    };
    for (sampling, expected) in [
        ("all", "0123456789"),
        ("first:3", "012"),
        ("\"end:25%\"", "789"),
        ("first:99", "0123456789"),
        ("end:0", ""),
    ] {
        assert_eq!(chosen(sampling), expected, "{sampling}");
    }
    let some = chosen("random:40%");
    assert_eq!((some.len(), &some), (4, &chosen("random:40%")), "the same each time");
    assert!(some.chars().collect::<BTreeSet<_>>().len() == 4 && some != "0123");
    for wrong in ["most", "first:x", "end:-1", "random:101%"] {
        let list = format!("datasets:\n- json_path: rows.json\n  sampling_strategy: {wrong}\n");
        let error = Files::new(folder.write("list.yaml", list)).open(&mut Tally::default()).unwrap_err();
        assert!(error.to_string().contains("line 3"), "{wrong}: {error}");
    }
    // Lists that name themselves end.
    folder.write("loop.yaml", "datasets:\n- json_path: loop.yaml\n");
    assert!(Files::new(folder.path("loop.yaml")).open(&mut Tally::default()).is_err());
}

#[test]
fn what_cannot_be_used_is_skipped_with_its_reason() {
    let folder = Folder::new();
    folder.write("broken.png", &png(1)[..40]);
    folder.write("text.png", "no picture at all");
    let good = json!({"conversations": [{"from": "human", "value": "<image>Q"}, {"from": "gpt", "value": "A"}], "images": ["a.png"]});
    let talk = |turns: &[(&str, &str)], images: &[&str]| {
        let turns: Vec<Value> = turns.iter().map(|(who, what)| json!({"from": who, "value": what})).collect();
        json!({"conversations": turns, "images": images}).to_string()
    };
    let (ask, say) = (("human", "<image>Q"), ("gpt", "A"));
    let cases: Vec<(String, &str)> = vec![
        (talk(&[ask, say], &[]), "1 image marks but 0 images"),
        (talk(&[("human", "Q"), say], &["a.png"]), "0 image marks but 1 images"),
        (talk(&[("human", "<image><image>"), say], &["a.png"]), "2 image marks but 1 images"),
        (talk(&[ask, say], &["absent.png"]), "no such image"),
        (talk(&[ask, say], &["../a.png"]), "outside its folder"),
        (talk(&[ask, say], &["/etc/passwd"]), "outside its folder"),
        (talk(&[ask, say], &["https://example.org/a.png"]), "never opened"),
        (talk(&[ask, say], &["broken.png"]), "cannot decode"),
        (talk(&[ask, say], &["text.png"]), "cannot decode"),
        (talk(&[ask, say], &["images"]), "no such image"),
        (talk(&[say, ask], &["a.png"]), "turn 0 is the assistant's"),
        (talk(&[ask, ask], &["a.png"]), "turn 1 is the user's"),
        (talk(&[ask], &["a.png"]), "ends with a question"),
        (talk(&[], &[]), "no messages"),
        (talk(&[ask, say, ("system", "S")], &["a.png"]), "system turn"),
        (talk(&[("tool", "x"), say], &[]), "no speaker is called `tool`"),
        (json!({"conversations": [1], "images": []}).to_string(), "turn 0 is no object"),
        (json!({"conversations": [{"value": "x"}]}).to_string(), "does not say who speaks"),
        (json!({"conversations": [{"from": "human"}]}).to_string(), "without content"),
        (json!({"conversations": "x"}).to_string(), "is no list"),
        (json!({"other": 1}).to_string(), "no `conversations` among `other`"),
        (json!({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A"}], "images": [5]}).to_string(), "neither a name nor bytes"),
        (json!({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A"}], "images": ["data:image/png;base64,@@@"]}).to_string(), "base64 is broken"),
        (json!({"conversations": [{"from": "human", "value": "<image>"}, {"from": "gpt", "value": "A"}], "images": ["data:,x"]}).to_string(), "no base64"),
        ("{\"conversations\": [".to_owned(), "not JSON"),
        ("[1, 2]".to_owned(), "not an object"),
        ("{\"conversations\": \"\u{0}".to_owned(), "not JSON"),
    ];
    let mut text = format!("{good}\n\n");
    for (row, _) in &cases {
        writeln!(text, "{row}").unwrap();
    }
    let files = Files { check: Check::Pictures, ..Files::new(folder.write("rows.jsonl", &text)) };
    let (source, tally) = open(&files);
    assert_eq!((source.n_sample(), tally.skips.len()), (1, cases.len()));
    for ((row, expected), skip) in cases.iter().zip(&tally.skips) {
        assert!(skip.reason.contains(expected), "{row}: {skip:?}");
        assert!(!skip.reason.contains('\n') && skip.reason.len() < 400, "one line: {skip:?}");
        assert!(skip.id.starts_with("rows:"), "{skip:?}");
    }
    let strict = Files { strict: true, ..files.clone() };
    let mut tally = Tally::default();
    let error = strict.open(&mut tally).unwrap_err().to_string();
    assert!(error.contains("`strict` is set: 1 image marks but 0 images"), "{error}");
    assert_eq!(tally.skips.len(), 1, "the first ends it");
    // Unchecked, the same faults are met on the way.
    let (source, tally) = open(&Files { check: Check::None, ..files });
    assert_eq!((source.n_sample(), tally.skips.len()), (cases.len() as u64 + 1, 0));
    assert!(source.sample(1).unwrap_err().reason.contains("1 image marks"));
    assert!(source.sample(999).is_err());
}

#[test]
fn files_that_are_not_what_they_say_are_refused_in_one_line() {
    let folder = Folder::new();
    let mut tar = tar::Builder::new(Vec::new());
    append(&mut tar, "0.png", &png(1));
    append(&mut tar, "0.txt", b"one");
    append(&mut tar, "1.png", &png(2));
    let tar = tar.into_inner().unwrap();
    let cases: Vec<(PathBuf, &str)> = vec![
        (folder.path("absent.json"), "cannot open the rows"),
        (folder.path("absent.csv"), "cannot open the table"),
        (folder.path("absent.parquet"), "cannot open the parquet file"),
        (folder.path("absent.tar"), "cannot open the shard"),
        (folder.write("empty.json", ""), "neither a list nor an object"),
        (folder.write("empty.csv", ""), "no heading"),
        (folder.write("word.json", "hello"), "neither a list nor an object"),
        (folder.write("empty.jsonl", "\n"), "there are no rows"),
        (folder.write("numbers.json", "[1, 2]"), "no row can be read: not an object"),
        (
            folder.write("odd.jsonl", "{\"a\": 1, \"b\": 2}\n"),
            "the first row has `a`, `b`; tried sharegpt (conversations)",
        ),
        (folder.write("odd.csv", "a,b\n1,2\n"), "pairs (image, caption)"),
        (folder.write("bad.tar", vec![7; 2000]), "cannot read the shard"),
        (folder.write("bad.parquet", "PAR1 not at all PAR1"), "parquet"),
        (folder.write("short.parquet", "PAR1"), "parquet"),
        (folder.write("empty/readme.txt", "x").parent().unwrap().to_owned(), "nor subfolders of pictures"),
        (folder.path("{9..1}.tar"), "has to rise"),
        (folder.write("l.yaml", "datasets:\n- json_path: x.json\n  other: 1\n"), "unknown name `other`"),
        (folder.write("m.yaml", "x\n"), "has no name"),
        (folder.write("n.yaml", ""), "names no `json_path`"),
        (
            folder.write("allbad.jsonl", "{\"conversations\": 1}\n{\"conversations\": 2}\n"),
            "none of the first 2 rows can be used",
        ),
    ];
    for (path, expected) in cases {
        let error = Files::new(&path).open(&mut Tally::default()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains('\n') && error.len() < 1000, "{error}");
    }
    // What is whole before a break is kept.
    let torn = folder.write("torn.tar", &tar[..tar.len() - 1024 - 512]);
    let (source, tally) = open(&Files { check: Check::None, ..Files::new(&torn) });
    assert!(source.n_sample() >= 1, "{tally:?}");
    let cut = folder.write("cut.tar", &tar[..512 + 512 + 512 + 512 + 512 + 20]);
    let (source, tally) = open(&Files::new(cut));
    assert_eq!((source.n_sample(), tally.skips.len()), (1, 1), "{tally:?}");
    assert!(tally.skips[0].reason.contains("breaks off"), "{tally:?}");
    let list = folder.write("torn.json", "[{\"text\": \"one\"}, {\"text\": \"two");
    let (source, tally) = open(&Files::new(list));
    assert_eq!((source.n_sample(), tally.skips.len()), (1, 1));
    assert!(tally.skips[0].reason.contains("ends early"), "{tally:?}");
}

#[test]
fn the_recipes_table_refuses_what_it_does_not_know() {
    let parse = |text: &str| toml_from(text);
    let files =
        parse("path = 'x.json'\nformat = 'llava'\nsampling = 'first:5%'\ncheck = 'rows'\ngroup = 'path'")
            .unwrap();
    assert_eq!((files.format, files.check, files.group), (Format::Llava, Check::Rows, Group::Path));
    for wrong in [
        "format = 'auto'",
        "path = 'x'\nformats = 'auto'",
        "path = 'x'\nformat = 'arrow'",
        "path = 'x'\nsampling = 'half'",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    let again: Files = serde_json::from_value(serde_json::to_value(&files).unwrap()).unwrap();
    assert_eq!(again, files);
    assert_eq!(files.below(Path::new("/r")).path, Path::new("/r/x.json"));
}

/// Through JSON, which the test crate has: the derive is the same.
fn toml_from(text: &str) -> Result<Files, serde_json::Error> {
    let pairs = text.lines().map(|line| {
        let (key, value) = line.split_once('=').unwrap();
        (key.trim().to_owned(), Value::from(value.trim().trim_matches('\'')))
    });
    serde_json::from_value(Value::Object(pairs.collect()))
}

#[test]
fn pictures_decode_within_limits() {
    use eosin_training::data::DecodeLimits;
    let folder = Folder::new();
    let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([200, 0, 0, 0]));
    let half = image::RgbaImage::from_pixel(2, 2, image::Rgba([0, 0, 0, 128]));
    for (image, expected) in [(clear, 255), (half, 127)] {
        let bytes = encode(&image.into(), image::ImageFormat::Png);
        assert_eq!(Picture::Bytes(bytes.into()).decode().unwrap().pixels()[1], expected, "on white");
    }
    let picture = Picture::Bytes(png(9).into());
    let limits = |max_bytes, max_px| DecodeLimits { max_bytes, max_px };
    assert!(picture.decode_within(&limits(1000, 12)).is_ok());
    assert!(
        picture.decode_within(&limits(1000, 11)).unwrap_err().to_string().contains("4 × 3 px is too large")
    );
    assert!(picture.decode_within(&limits(10, 12)).unwrap_err().to_string().contains("too long"));
    // A heading that claims a gigapixel picture.
    let mut huge = png(9);
    huge[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    assert!(Picture::Bytes(huge.into()).decode().is_err());
    for bytes in [vec![], png(9)[..30].to_vec(), b"GIF89a".to_vec()] {
        assert!(Picture::Bytes(bytes.into()).decode().is_err());
    }
    let path = folder.path("a.png");
    let span = |offset, n_byte| Picture::Span { path: path.clone(), offset, n_byte };
    let n_byte = std::fs::metadata(&path).unwrap().len();
    assert_eq!(span(0, n_byte).decode().unwrap().pixels()[0], 10);
    for (offset, n_byte) in [(1, n_byte), (u64::MAX, 1), (0, u64::MAX), (0, 0)] {
        assert!(span(offset, n_byte).decode().is_err(), "{offset} {n_byte}");
    }
    assert!(Picture::File(folder.path("images")).decode().is_err());
    let phantom = Picture::Phantom {
        seed: 5,
        settings: eosin_training::phantom::Settings { size_px: [56, 84], ..Default::default() },
    };
    assert_eq!(phantom.decode().unwrap().size_px(), [56, 84]);
    assert_eq!(phantom.decode().unwrap(), phantom.decode().unwrap());
}

#[test]
fn the_store_keeps_what_was_used_last_within_its_bound() {
    let folder = Folder::new();
    let picture = |name: &str| Picture::File(folder.path(name));
    // Two pictures of 36 bytes fit.
    let store = ImageStore::new(80);
    let first = store.tile(&picture("a.png")).unwrap();
    store.tile(&picture("b.png")).unwrap();
    assert_eq!((store.n_hit(), store.n_miss(), store.n_byte()), (0, 2, 72));
    assert!(Arc::ptr_eq(&first, &store.tile(&picture("a.png")).unwrap()));
    store.tile(&picture("c.png")).unwrap();
    assert_eq!((store.n_hit(), store.n_miss(), store.n_byte()), (1, 3, 72));
    store.tile(&picture("a.png")).unwrap();
    assert_eq!(store.n_hit(), 2, "a was used after b, so b left");
    store.tile(&picture("b.png")).unwrap();
    assert_eq!(store.n_miss(), 4);
    assert!(store.tile(&picture("absent.png")).is_err());
    let bytes = Picture::Bytes(png(3).into());
    let again = Picture::Bytes(png(3).into());
    assert!(Arc::ptr_eq(&store.tile(&bytes).unwrap(), &store.tile(&again).unwrap()), "known by content");
    let none = ImageStore::new(0);
    none.tile(&picture("a.png")).unwrap();
    assert_eq!(none.n_byte(), 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for name in ["a.png", "b.png", "c.png", "d.png"].iter().cycle().take(40) {
                    store.tile(&picture(name)).unwrap();
                    assert!(store.n_byte() <= 80);
                }
            });
        }
    });
}

/// Samples whose groups and pictures are given.
#[derive(Debug)]
struct Made(Vec<(Vec<u8>, &'static str)>);

impl Source for Made {
    fn n_sample(&self) -> u64 {
        self.0.len() as u64
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let missing = || Skip { id: idx.to_string(), reason: "none".into() };
        let (shades, tag) = self.0.get(idx as usize).ok_or_else(missing)?;
        let tile = |&shade: &u8| Picture::Tile(Arc::new(RgbTile::new([1, 1], vec![shade; 3]).unwrap()));
        Ok(Sample {
            id: idx.to_string(),
            group: idx.to_string(),
            messages: vec![
                Message::new(Role::User, "<image>".repeat(shades.len())),
                Message::new(Role::Assistant, "x"),
            ],
            images: shades.iter().map(tile).collect(),
            task: None,
            tags: BTreeMap::from([("tag".to_owned(), (*tag).to_owned())]),
        })
    }
}

fn made(shades: impl IntoIterator<Item = Vec<u8>>) -> Made {
    Made(shades.into_iter().map(|shades| (shades, "")).collect())
}

#[test]
fn a_picture_under_two_names_is_one_group() {
    let folder = Folder::new();
    let row = |image: &str| json!({"image": image, "question": "Q", "answer": "A"});
    let rows = [row("a.png"), row("images/a.png"), row("b.png")].map(|row| row.to_string()).join("\n");
    let path = folder.write("r.jsonl", rows);
    let groups = |group| {
        let (source, _) = open(&Files { group, ..Files::new(&path) });
        samples(&*source).into_iter().map(|sample| sample.group).collect::<Vec<_>>()
    };
    let by_content = groups(Group::Content);
    assert!(by_content[0] == by_content[1] && by_content[0] != by_content[2]);
    let by_path = groups(Group::Path);
    assert!(by_path[0] != by_path[1]);
    let (source, _) = open(&Files::new(&path));
    let source: Arc<dyn Source> = source.into();
    let (left, right) = (Subset::new(source.clone(), [0]), Subset::new(source.clone(), [1, 2]));
    let error = check_disjoint(&[("train", &left), ("test", &right)]).unwrap_err().to_string();
    assert!(error.contains("`train` and `test` share 1 pictures"), "{error}");
    check_disjoint(&[("train", &left), ("test", &Subset::new(source, [2]))]).unwrap();
    // Another encoding of the same pixels is found by pixels only.
    let tile = image::RgbImage::from_pixel(4, 3, image::Rgb([10; 3]));
    let bmp = Picture::Bytes(encode(&tile.into(), image::ImageFormat::Bmp).into());
    let file = Picture::File(folder.path("a.png"));
    assert_ne!(bmp.key(By::Content).unwrap(), file.key(By::Content).unwrap());
    assert_eq!(bmp.key(By::Pixels).unwrap(), file.key(By::Pixels).unwrap());
}

#[test]
fn quotas_go_to_the_largest_remainders() {
    let check = |weights: &[f64], n, expected: &[u64]| {
        assert_eq!(split::largest_remainder(weights, n, 1), expected, "{weights:?} {n}");
    };
    check(&[5.0, 3.0, 2.0], 10, &[5, 3, 2]);
    check(&[0.47, 0.16, 0.158, 0.12, 0.061, 0.031], 10, &[5, 2, 1, 1, 1, 0]);
    check(&[1.0, 0.0, f64::NAN, -1.0], 3, &[3, 0, 0, 0]);
    check(&[], 3, &[]);
    check(&[0.0], 3, &[0]);
    let tied: BTreeSet<Vec<u64>> =
        (0..20).map(|seed| split::largest_remainder(&[1.0, 1.0, 1.0], 4, seed)).collect();
    assert_eq!(tied.len(), 3, "ties are decided by the seed");
    // 60 : 30 : 10 of two tags each.
    let source = Made(
        (0..100)
            .map(|idx: u8| {
                (
                    vec![idx],
                    if idx < 60 {
                        "a"
                    } else if idx < 90 {
                        "b"
                    } else {
                        "c"
                    },
                )
            })
            .collect(),
    );
    let drawn = split::stratify(&source, &["tag"], 11, 7, &mut Tally::default());
    let count = |from, to| drawn.iter().filter(|idx| (from..to).contains(*idx)).count();
    assert_eq!((count(0, 60), count(60, 90), count(90, 100)), (7, 3, 1));
    assert_eq!(drawn, split::stratify(&source, &["tag"], 11, 7, &mut Tally::default()));
    assert_ne!(drawn, split::stratify(&source, &["tag"], 11, 8, &mut Tally::default()));
    assert_eq!(split::stratify(&source, &["tag"], 1000, 7, &mut Tally::default()).len(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_permutation_meets_every_number_once(n in 0_u64..600, seed: u64, epoch in 0_u64..4) {
        let order = Permutation::new(n, seed, epoch);
        let met: BTreeSet<u64> = (0..n).map(|place| order.at(place)).collect();
        prop_assert_eq!(met, (0..n).collect());
    }

    #[test]
    fn splits_share_no_picture_and_lose_no_sample(
        shades in prop::collection::vec(prop::collection::vec(0_u8..60, 1..3), 1..80),
        seed: u64,
    ) {
        let source: Arc<dyn Source> = Arc::new(made(shades));
        let fractions = BTreeMap::from([("test".to_owned(), 0.2), ("train".to_owned(), 0.7), ("validation".to_owned(), 0.1)]);
        let parts = split::by_group(&*source, &fractions, By::Content, seed, &mut Tally::default()).unwrap();
        let again = split::by_group(&*source, &fractions, By::Content, seed, &mut Tally::default()).unwrap();
        prop_assert_eq!(&parts, &again);
        let all: BTreeSet<u64> = parts.values().flatten().copied().collect();
        prop_assert_eq!(all.len() as u64, source.n_sample());
        let sets: Vec<(&str, Subset)> =
            parts.iter().map(|(name, part)| (name.as_str(), Subset::new(source.clone(), part.clone()))).collect();
        let sets: Vec<(&str, &dyn Source)> = sets.iter().map(|(name, set)| (*name, set as &dyn Source)).collect();
        prop_assert!(check_disjoint(&sets).is_ok());
    }

    #[test]
    fn parts_miss_their_shares_by_no_more_than_a_group(sizes in prop::collection::vec(1_u64..6, 1..200), seed: u64) {
        let fractions = BTreeMap::from([("a".to_owned(), 0.5), ("b".to_owned(), 0.3)]);
        let owners = split::divide(&sizes, &fractions, seed).unwrap();
        let total: u64 = sizes.iter().sum();
        let mut got: HashMap<Option<&str>, u64> = HashMap::new();
        for (size, owner) in sizes.iter().zip(owners) {
            *got.entry(owner).or_default() += size;
        }
        for (owner, share) in [(Some("a"), 0.5), (Some("b"), 0.3), (None, 0.2)] {
            let n = *got.get(&owner).unwrap_or(&0) as f64;
            prop_assert!((n - share * total as f64).abs() <= 6.0, "{owner:?}: {n} of {total}");
        }
    }

    #[test]
    fn remainders_add_up(weights in prop::collection::vec(0.0_f64..5.0, 1..20), n in 0_u64..10_000, seed: u64) {
        let quotas = split::largest_remainder(&weights, n, seed);
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            prop_assert_eq!(quotas.iter().sum::<u64>(), n);
            for (weight, quota) in weights.iter().zip(quotas) {
                prop_assert!((weight / total * n as f64 - quota as f64).abs() < 1.0 + 1e-6);
            }
        }
    }

    #[test]
    fn mixtures_keep_their_proportions_in_every_block(
        n_a in 1_u8..50, n_b in 1_u8..50, weight in 0.1_f64..10.0, seed: u64, block in 0_u64..5,
    ) {
        let source = |n: u8| -> Arc<dyn Source> { Arc::new(made((0..n).map(|shade| vec![shade]))) };
        let mixture = Mixture::new(vec![(source(n_a), weight), (source(n_b), 1.0)], seed).unwrap();
        let from_a = (0..Mixture::BLOCK).filter(|place| mixture.place(block * Mixture::BLOCK + place).0 == 0).count();
        let expected = weight / (weight + 1.0) * Mixture::BLOCK as f64;
        prop_assert!((from_a as f64 - expected).abs() <= 1.0);
        // Every sample of a source comes once before any comes twice.
        let numbers: Vec<u64> = (0..).map(|idx| mixture.place(idx)).filter(|place| place.0 == 0).map(|place| place.1).take(usize::from(n_a)).collect();
        prop_assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), usize::from(n_a));
    }

    /// Rows of noise are read or refused; nothing panics.
    #[test]
    fn damaged_files_never_panic(place in 0.0_f64..1.0, byte: u8, cut in 0.0_f64..1.0, which in 0_usize..7) {
        let dir = tempfile::tempdir().unwrap();
        let (name, mut bytes) = damaged(which);
        let at = ((bytes.len() - 1) as f64 * place) as usize;
        bytes[at] = byte;
        if cut < 0.5 {
            bytes.truncate((bytes.len() as f64 * cut * 2.0) as usize);
        }
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let files = Files { check: Check::None, ..Files::new(path) };
        if let Ok(source) = files.open(&mut Tally::default()) {
            for idx in 0..source.n_sample().min(10) {
                if let Ok(sample) = source.sample(idx) {
                    for image in &sample.images {
                        let _ = image.decode();
                    }
                }
            }
        }
    }
}

fn damaged(which: usize) -> (&'static str, Vec<u8>) {
    let row = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "\\u0041 \"Q\""}]}, {"role": "assistant", "content": "A"}], "loss": 1});
    match which {
        0 => ("a.jsonl", format!("{row}\n{row}\n").into_bytes()),
        1 => ("a.json", json!({"s": {"val": [row]}}).to_string().into_bytes()),
        2 => ("a.csv", b"image,caption\n\"a\",\"b\n\"\"c\"\n".to_vec()),
        3 => {
            let mut tar = tar::Builder::new(Vec::new());
            append(&mut tar, "0.png", &png(1));
            append(&mut tar, "0.json", b"{}");
            ("a.tar", tar.into_inner().unwrap())
        }
        4 => ("a.parquet", std::fs::read(golden("pathvqa.parquet")).unwrap()),
        5 => ("a.parquet", std::fs::read(golden("pages.parquet")).unwrap()),
        _ => ("a.parquet", std::fs::read(golden("verl.parquet")).unwrap()),
    }
}

#[test]
fn orders_and_joins_are_functions_of_numbers() {
    let source: Arc<dyn Source> = Arc::new(made((0..50).map(|shade| vec![shade])));
    let order = |seed, epoch| -> Vec<String> {
        samples(&Shuffled::new(source.clone(), seed, epoch)).into_iter().map(|sample| sample.id).collect()
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    // A million million numbers cost no table.
    assert!(Permutation::new(1 << 40, 3, 0).at(12_345_678_901) < 1 << 40);
    assert!(Permutation::new(u64::MAX, 3, 0).at(5) < u64::MAX);
    let empty: Arc<dyn Source> = Arc::new(made([]));
    let joined = Joined::new([empty.clone(), source.clone(), empty.clone(), source.clone()]);
    assert_eq!(joined.n_sample(), 100);
    assert_eq!((joined.sample(0).unwrap().id, joined.sample(99).unwrap().id), ("0".into(), "49".into()));
    assert!(joined.sample(100).is_err());
    for parts in [vec![], vec![(source.clone(), 0.0)], vec![(source.clone(), f64::NAN)], vec![(empty, 1.0)]] {
        assert!(Mixture::new(parts, 0).is_err());
    }
    let mixture = Mixture::new(vec![(source.clone(), 3.0), (source, 1.0)], 9).unwrap();
    assert_eq!(mixture.n_sample(), 100);
    assert!(mixture.sample(99).is_ok());
}

#[test]
fn a_large_list_is_indexed_and_not_kept() {
    let folder = Folder::new();
    let long = "x".repeat(2000);
    let mut text = String::from("[");
    for row in 0..2000 {
        let comma = if row == 0 { "" } else { ",\n" };
        write!(text, "{comma}{{\"text\": \"{row} {long}\"}}").unwrap();
    }
    text.push(']');
    let (source, _) = open(&Files { check: Check::None, ..Files::new(folder.write("long.json", text)) });
    assert_eq!(source.n_sample(), 2000);
    assert!(source.sample(1999).unwrap().messages[0].text.starts_with("1999 x"));
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in bytes.chunks(3) {
        let word =
            part.iter().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = char::from(LETTERS[(word >> (18 - 6 * place)) as usize & 63]);
            text.push(if place <= part.len() { letter } else { '=' });
        }
    }
    text
}

/// A file of pyarrow.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/data").join(name)
}

fn shades(sample: &Sample) -> Vec<u8> {
    sample.images.iter().map(|image| image.decode().unwrap().pixels()[0]).collect()
}

#[test]
fn parquet_of_pyarrow_is_read() {
    // Groups of three rows; row 5 has no answer.
    let (source, tally) = open(&Files::new(golden("pathvqa.parquet")));
    assert_eq!((source.n_sample(), tally.skips.len()), (6, 1));
    assert!(
        tally.skips[0].id == "pathvqa:5" && tally.skips[0].reason.contains("`answer` is no text"),
        "{tally:?}"
    );
    // Backwards, as an order would.
    for (idx, n) in [0_u8, 1, 2, 3, 4, 6].into_iter().enumerate().rev() {
        let sample = source.sample(idx as u64).unwrap();
        let answer = ["yes", "no", "liver"][usize::from(n) % 3];
        assert_eq!(said(&sample), [format!("u:<image>question {n}?"), format!("a:{answer}")]);
        assert_eq!(shades(&sample), [100 + n]);
    }

    let (source, tally) = open(&Files::new(golden("verl.parquet")));
    assert_eq!((source.n_sample(), tally.skips.len()), (6, 0), "{tally:?}");
    for n in 0..6 {
        let sample = source.sample(u64::from(n)).unwrap();
        let images: Vec<u8> = (0..n % 3).map(|place| 10 * n + place).collect();
        assert_eq!(shades(&sample), images, "{n}");
        let asked = format!("u:{}question {n}", "<image>".repeat(images.len()));
        let expected = if n % 2 == 0 { vec![asked] } else { vec!["s:Be brief.".to_owned(), asked] };
        assert_eq!(said(&sample), expected);
        assert_eq!(sample.task.unwrap().gold_letter, None, "no options, so a word");
        assert_eq!(
            (&*sample.tags["index"], &*sample.tags["split"], &*sample.tags["data_source"]),
            (&*n.to_string(), "train", "made")
        );
    }

    // Many small pages without a dictionary, one after another and from four threads in any order.
    let files = Files { tags: vec!["flag".into()], ..Files::new(golden("pages.parquet")) };
    let (source, tally) = open(&files);
    assert_eq!((source.n_sample(), tally.skips.len()), (60, 0), "{tally:?}");
    let check = |n: u64| {
        let sample = source.sample(n).unwrap();
        let expected = format!("caption {n} {}", "x".repeat(n as usize));
        assert_eq!((sample.caption().unwrap(), shades(&sample)), (expected.trim(), vec![n as u8]));
        let tag = |name: &str| sample.tags[name].clone();
        assert_eq!((tag("magnification"), tag("flag")), (n.to_string(), n.is_multiple_of(3).to_string()));
    };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let check = &check;
            scope.spawn(move || (0..60).for_each(|place| check(Permutation::new(60, seed, 0).at(place))));
        }
    });

    let (source, _) = open(&Files::new(golden("deltas.parquet")));
    assert_eq!(source.n_sample(), 300);
    for n in [0_i64, 1, 31, 32, 33, 128, 129, 299] {
        let sample = source.sample(n as u64).unwrap();
        assert_eq!(sample.messages[0].text, format!("text {n}"));
        assert_eq!(sample.tags["index"], ((n * n * 37) % 1000 - 500).to_string());
        assert_eq!(sample.tags["class"], if n % 2 == 0 { "a" } else { "b" });
    }
    let refused = |name: &str| Files::new(golden(name)).open(&mut Tally::default()).unwrap_err().to_string();
    assert!(refused("other.parquet").contains("the first row has `a`, `b`"), "{}", refused("other.parquet"));
    assert!(refused("gzip.parquet").contains("compressed by gzip"), "{}", refused("gzip.parquet"));
}

/// Real tissue outside the repository: 570 tiles in a table of labels.
#[test]
fn real_tiles_are_read_where_they_are() {
    let Some(path) = shared("data/patches/pathologyatlas/labels.dev.csv") else { return };
    let files = Files { tags: vec!["case".into()], ..Files::new(path) };
    let (source, tally) = open(&files);
    assert_eq!((source.n_sample(), tally.skips.len()), (570, 0), "{:?}", tally.skips.first());
    let store = ImageStore::new(1 << 20);
    for idx in (0..570).step_by(57) {
        let sample = source.sample(idx).unwrap();
        assert_eq!(store.tile(&sample.images[0]).unwrap().size_px(), [256, 256]);
        assert!(sample.caption().unwrap().starts_with("a histopathology image of "));
    }
    let source: Arc<dyn Source> = source.into();
    let fractions = BTreeMap::from([("test".to_owned(), 0.2), ("train".to_owned(), 0.8)]);
    let parts = split::by_group(&*source, &fractions, By::Content, 1, &mut Tally::default()).unwrap();
    assert_eq!((parts["test"].len(), parts["train"].len()), (114, 456));
    let [test, train] = ["test", "train"].map(|name| Subset::new(source.clone(), parts[name].clone()));
    check_disjoint(&[("test", &test), ("train", &train)]).unwrap();
}
