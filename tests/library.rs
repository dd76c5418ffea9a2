//! A library through the binary: filled, killed while it is filled, searched by picture, region and words, labelled.
//!
//! Pictures are drawn, and real tiles and slides are taken where the shared data are present. The demonstration CLIP
//! answers, so that nothing has to be installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/shared.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::shared;

#[cfg(unix)]
#[path = "support/postgres.rs"]
mod postgres_server;

/// Where the program keeps what it keeps, and what it is asked there.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
        command.args(args).env("EOSIN_DATA", self.path("data")).env("EOSIN_DEVICE", "cpu");
        command.env_remove("EOSIN_LIBRARY").env_remove("EOSIN_CLIP");
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a command that succeeds says on stdout.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {talk}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Hits of a search, one a line.
    fn hits(&self, args: &[&str]) -> Vec<Value> {
        let text = self.ok(&[&["search", "--json"], args].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Draws tissue: cells of one colour on a ground of another, both told by `seed`.
fn draw(path: &Path, size_px: [u32; 2], seed: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spacing = 9 + seed % 7;
    image::RgbImage::from_fn(size_px[0], size_px[1], |x, y| {
        let (dx, dy) = (x % spacing, y % spacing);
        let nucleus = dx * dx + dy * dy < (4 + seed % 3) * (4 + seed % 3);
        let [red, green, blue] = if nucleus { [110, 70, 150] } else { [225, 150 + (seed * 5 % 40), 190] };
        image::Rgb([red - (seed * 11 % 50), green, blue].map(|value| value as u8))
    })
    .save(path)
    .unwrap();
}

/// Ten pictures, a slide of drawn tissue beside glass, and two files that are none.
fn fill(folder: &Path) {
    for idx in 0..10 {
        draw(&folder.join(format!("pictures/{idx}.png")), [120, 100], idx);
    }
    draw(&folder.join("slide.png"), [2300, 1000], 3);
    let mut slide = image::open(folder.join("slide.png")).unwrap().to_rgb8();
    for (x, _, px) in slide.enumerate_pixels_mut() {
        if x > 1200 {
            *px = image::Rgb([245, 244, 246]);
        }
    }
    slide.save(folder.join("slide.png")).unwrap();
    std::fs::write(folder.join("broken.svs"), "not a slide").unwrap();
    std::fs::write(folder.join("notes.txt"), "not looked at").unwrap();
}

#[test]
fn a_library_is_filled_searched_and_kept_up_to_date() {
    let home = Home::new();
    let data = home.path("images");
    fill(&data);
    let [images, slide, picture] =
        [&data, &data.join("slide.png"), &data.join("pictures/4.png")].map(|path| text(path));
    let empty = home.run(&["search", "tissue"]);
    assert_eq!(empty.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("eosin index add"));

    let output = home.run(&["index", "add", &images, "--tag", "cohort 1", "--json"]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{talk}");
    assert!(talk.contains("eosin-demo-clip") && talk.contains("not for diagnosis"), "{talk}");
    assert!(
        talk.contains("skipped") && talk.contains("broken.svs: cannot open the slide: neither"),
        "{talk}"
    );
    let tally: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((tally["n_file"].as_u64(), tally["n_indexed"].as_u64()), (Some(12), Some(11)), "{tally}");
    let again = home.json(&["index", "build", "--json"]);
    assert_eq!((again["n_item"].as_u64(), again["n_unchanged"].as_u64()), (Some(0), Some(11)));

    // The picture itself is the most like itself.
    let hits = home.hits(&["--image", &picture, "--top", "3"]);
    assert_eq!(hits.len(), 3);
    assert_eq!(hits[0]["path"].as_str().unwrap(), picture);
    assert!(hits[0]["score"].as_f64().unwrap() > 0.999);
    assert_eq!(hits[0]["tags"][0], "cohort 1");
    assert_eq!(home.hits(&["pink", "tissue", "--top", "4"]).len(), 4);
    let region = home.hits(&["--slide", &slide, "--region", "0,0,448,448", "--not-in", &slide]);
    assert!(region.iter().all(|hit| hit["path"].as_str().unwrap() != slide));
    let table = home.ok(&["search", "--image", &picture, "--top", "1"]);
    assert!(table.starts_with("1.0000\t-\t") && table.contains("cohort 1"), "{table}");

    // Tags and stains that somebody put on.
    home.ok(&["index", "tag", &picture, "--add", "review", "--stain", "ihc"]);
    let tagged = home.hits(&["tissue", "--tag", "review", "--stain", "ihc"]);
    assert_eq!((tagged.len(), tagged[0]["stain_stated"].as_bool()), (1, Some(true)));
    assert_eq!(home.run(&["search", "tissue", "--tag", "nobody"]).status.code(), Some(1));

    let status = home.json(&["index", "status", "--files", "--json"]);
    assert_eq!((status["n_failed"].as_u64(), status["sources"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(status["model"]["name"], "eosin-demo-clip");
    // Gone, noticed, removed.
    std::fs::remove_file(&picture).unwrap();
    assert_eq!(home.json(&["index", "build", "--json"])["n_vanished"].as_u64(), Some(1));
    assert!(home.hits(&["tissue"]).iter().all(|hit| hit["path"].as_str().unwrap() != picture));
    home.ok(&["index", "remove", "--vanished"]);
    home.ok(&["index", "remove", &slide]);
    home.ok(&["index", "remove", &images]);
    assert_eq!(home.json(&["index", "status", "--json"])["n_item"].as_u64(), Some(0));
    let unknown = home.run(&["index", "remove", &images]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn a_slide_is_labelled_by_words_alone() {
    let home = Home::new();
    let slide = home.path("slide.png");
    fill(&home.path("."));
    let slide = text(&slide);
    let map = text(&home.path("map.png"));
    let classes = ["--class", "glands", "--class", "muscle, smooth", "--tile-px", "100"];
    let ask = |more: &[&str]| home.ok(&[&["classify", &slide], &classes[..], more].concat());
    let shares = ask(&["--heatmap", &map, "--max", "500"]);
    let sum: f64 = shares.lines().map(|line| line.split('\t').next().unwrap().parse::<f64>().unwrap()).sum();
    assert!((sum - 1.0).abs() < 0.01 && shares.lines().count() == 2, "{shares}");
    let picture = image::open(&map).unwrap().to_rgb8();
    assert_eq!(picture.width(), 500);
    // Tissue is on the left: coloured there, grey on the right.
    let coloured = |x: u32| picture.get_pixel(x, 100).0.windows(2).any(|pair| pair[0].abs_diff(pair[1]) > 3);
    assert!(coloured(50) && !coloured(450));
    let csv = ask(&["--csv"]);
    assert!(csv.starts_with("x,y,width,height,class,glands,\"muscle, smooth\"\n"), "{csv}");
    let json: Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    let tiles = json["tiles"].as_array().unwrap();
    assert_eq!(tiles.len(), csv.lines().count() - 1);
    assert!(tiles.iter().all(|tile| tile["x"].as_u64().unwrap() < 1200));
    let check = |args: &[&str], expected: &str| {
        let output = home.run(&[&["classify", &slide], args].concat());
        let talk = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && talk.contains(expected), "{talk}");
    };
    check(&["--class", "one"], "at least two");
    check(&["--class", "a", "--class", "b", "--prompt", "no name"], "prompt");
    check(&["--class", "a", "--class", "b", "--show", "c"], "none of the classes");
    check(&["--class", "a", "--class", "b", "--tissue", "2"], "--tissue");
}

/// Everything in a library by file and place, with its score for one question.
fn contents(home: &Home, library: &[&str]) -> Vec<(String, i64)> {
    let query = ["search", "--json", "--top", "10000", "a section of tissue"];
    let text = home.ok(&[&query[..], library].concat());
    let mut items: Vec<(String, i64)> = text
        .lines()
        .map(|line| {
            let hit: Value = serde_json::from_str(line).unwrap();
            // Vectors of a tile may differ in their last bits by the tiles that were beside it in its batch.
            let score = (hit["score"].as_f64().unwrap() * 2e3).round() as i64;
            (format!("{} {}", hit["path"], hit["region"]), score)
        })
        .collect();
    items.sort();
    items
}

/// Ends a program as a power cut would.
fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Killed again and again at different moments; what is left goes on to the same end as an unbroken run.
fn is_killed_and_goes_on(home: &Home, data: &Path, library: &[&str], unbroken: &[&str]) {
    let data = text(data);
    let tile = ["--tile-px", "64"];
    let started = Instant::now();
    home.ok(&[&["index", "add", &data], &tile[..], unbroken].concat());
    let whole = started.elapsed();
    let expected = contents(home, unbroken);
    assert!(expected.len() > 100, "{}", expected.len());

    home.ok(&[&["index", "add", &data, "--later"], &tile[..], library].concat());
    let build = [&["index", "build"], library].concat();
    let n_item =
        || home.json(&[&["index", "status", "--json"], library].concat())["n_item"].as_u64().unwrap();
    let (mut n_kill, mut n_before) = (0, 0);
    for round in 0_u32.. {
        assert!(round < 200, "it does not come to an end: {n_before}");
        let started = Instant::now();
        let mut child = home.command(&build).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later from round to round, so that every part of a run is hit once, and every run gets somewhere; in steps
        // of what a whole run takes, however fast the machine is.
        let patience = whole.mul_f64(0.05 * f64::from(round + 1));
        let outcome = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() > patience {
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if let Some(status) = outcome {
            assert!(status.success());
            break;
        }
        kill(child);
        n_kill += 1;
        let n_now = n_item();
        assert!(n_now >= n_before, "items were lost: {n_before}, then {n_now}");
        n_before = n_now;
    }
    assert!(n_kill >= 3, "the run was over before it was killed: {n_kill}");
    let found = contents(home, library);
    assert_eq!(found.len(), expected.len());
    for ((item, score), (expected_item, expected_score)) in found.iter().zip(&expected) {
        assert_eq!(item, expected_item);
        assert!((score - expected_score).abs() <= 1, "{item}: {score}, {expected_score}");
    }
    eprintln!("killed {n_kill} times, {} items", found.len());
}

#[test]
fn a_killed_run_goes_on() {
    let home = Home::new();
    let data = home.path("images");
    for idx in 0..60 {
        draw(&data.join(format!("{idx}.png")), [90, 80], idx);
    }
    draw(&data.join("z.png"), [2200, 2100], 5);
    is_killed_and_goes_on(&home, &data, &["--library", "killed"], &["--library", "unbroken"]);
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on_with_a_server() {
    let Some(server) = postgres_server::Server::start() else { return };
    let home = Home::new();
    let data = home.path("images");
    for idx in 0..140 {
        draw(&data.join(format!("{idx}.png")), [90, 80], idx);
    }
    let killed = format!("{}#killed", server.address());
    is_killed_and_goes_on(&home, &data, &["--library", &killed], &["--library", "in-a-folder"]);
}

#[test]
fn a_damaged_library_is_told_and_rebuilt() {
    let home = Home::new();
    let data = home.path("images");
    for idx in 0..20 {
        draw(&data.join(format!("{idx}.png")), [90, 80], idx);
    }
    home.ok(&["index", "add", &text(&data)]);
    let expected = contents(&home, &[]);
    let folder = home.path("data/library/default");
    std::fs::write(folder.join("vectors.index"), "gone").unwrap();
    assert_eq!(contents(&home, &[]), expected);
    let database = folder.join("library.sqlite");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x5a);
    std::fs::write(&database, &bytes).unwrap();
    let output = home.run(&["index", "status"]);
    let talk = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && talk.contains("was damaged") && talk.contains(".broken"), "{talk}");
    home.ok(&["index", "build"]);
    assert_eq!(contents(&home, &[]).len(), expected.len());
}

/// Real tiles and slides: built, searched, killed meanwhile.
#[test]
fn real_slides_and_tiles_are_indexed_and_survive_a_kill() {
    let (Some(slides), Some(tiles)) = (shared("data/slides"), shared("data/patches/pathologyatlas/dev"))
    else {
        return;
    };
    let home = Home::new();
    let (slides, tiles) = (text(&slides), text(&tiles));
    home.ok(&["index", "add", &slides, &tiles, "--later", "--tile-px", "256"]);
    let mut child =
        home.command(&["index", "build"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1500));
        if child.try_wait().unwrap().is_none() {
            kill(child);
        }
        child =
            home.command(&["index", "build"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    }
    kill(child);
    let tally = home.json(&["index", "build", "--json"]);
    let status = home.json(&["index", "status", "--files", "--json"]);
    assert!(status["n_done"].as_u64().unwrap() > 570, "{status}");
    assert!(tally["n_skip"].as_u64().unwrap() >= 5, "broken ones are told: {tally}");
    // Stains as their folders and slides say.
    let files = status["files"].as_array().unwrap();
    let (mut n_right, mut n_known) = (0, 0);
    for file in files.iter().filter(|file| file["state"] == "done") {
        let path = file["path"].as_str().unwrap();
        let expected = match () {
            () if path.contains("_IHC_") => "ihc",
            () if path.contains("DAPI") => "fluorescence",
            () if path.contains("_HE") || path.contains("CMU-1") => "he",
            () => continue,
        };
        n_known += 1;
        n_right += u32::from(file["stain"] == expected);
        if file["stain"] != expected {
            eprintln!("{} for {expected}: {path}", file["stain"]);
        }
    }
    eprintln!("stains: {n_right} of {n_known} right");
    assert!(n_known > 570 && n_right * 100 >= n_known * 98, "{n_right} of {n_known}");
    // A tile finds itself, then others; words find something; filters hold.
    let own = format!("{tiles}/colon_crohn_HE");
    let tile = std::fs::read_dir(own).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let hits = home.hits(&["--image", &text(&tile), "--top", "20"]);
    let scores: Vec<f64> = hits.iter().map(|hit| hit["score"].as_f64().unwrap()).collect();
    assert!(hits[0]["path"].as_str().unwrap() == text(&tile) && scores[0] > 0.99, "{tile:?}: {hits:?}");
    let n_same = hits.iter().filter(|hit| hit["path"].as_str().unwrap().contains("crohn")).count();
    eprintln!("of 20 nearest of a Crohn tile, {n_same} are Crohn");
    assert!(home.hits(&["mucosa", "--stain", "ihc"]).iter().all(|hit| hit["stain"] == "ihc"));
    let slide = format!("{slides}/CMU-1-Small-Region.svs");
    let inside = home.hits(&["--slide", &slide, "--region", "500,500,512,512", "--in", &slide]);
    assert!(!inside.is_empty() && inside.iter().all(|hit| hit["region"].is_object()));
    let apart = home.hits(&[
        "--slide",
        &slide,
        "--region",
        "500,500,512,512",
        "--not-in",
        &slide,
        "--per-slide",
        "1",
    ]);
    let mut ids: Vec<&str> = apart.iter().map(|hit| hit["slide"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), apart.len());
}
