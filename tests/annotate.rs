//! `eosin annotate` and `eosin slide figure` through the binary: QuPath's file in, the same annotations out, and
//! drawn where they are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eosin_core::RgbTile;
use eosin_slide::{PyramidOptions, Slide, load_picture, write_picture_pyramid};
use serde_json::Value;

/// As QuPath 0.5 exports: a rectangle with a class, a polygon with a hole and a note, a point of two places.
const QUPATH: &str = r#"{"type":"FeatureCollection","features":[
{"type":"Feature","id":"7d8de6b5-bd11-4a52-93e9-b6a2a4a9a5c4","geometry":{"type":"Polygon","coordinates":[[[100,200],[300,200],[300,250],[100,250],[100,200]]]},"properties":{"objectType":"annotation","classification":{"name":"Tumor","color":[200,0,0]}}},
{"type":"Feature","id":"5b8ae0f8-7f5b-44a8-a9a5-1d2ac5d1b3a0","geometry":{"type":"Polygon","coordinates":[[[10,10],[60,10],[60,60],[10,70],[10,10]],[[20,20],[30,20],[30,30],[20,20]]]},"properties":{"objectType":"annotation","name":"duct","color":[0,0,255],"measurements":{"Circularity":0.5},"metadata":{"ANNOTATION_DESCRIPTION":"see me"}}},
{"type":"Feature","id":"0fb8a2c5-08d9-4b0b-8a3d-d71a1d0c0f55","geometry":{"type":"MultiPoint","coordinates":[[400,20],[420,30]]},"properties":{"objectType":"annotation","classification":{"name":"Immune cells","color":[160,90,160]}}},
{"type":"Feature","geometry":{"type":"Circle"},"properties":{}}]}"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder with a slide of a plain colour in it, and nothing kept yet.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbTile::new([600, 400], [200, 210, 220].repeat(600 * 400)).unwrap();
        let options = PyramidOptions { jpeg_quality: 100, ..PyramidOptions::default() };
        write_picture_pyramid(&folder.path().join("slide.tif"), &picture, &options).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_eosin"))
            .args(args)
            .current_dir(self.folder.path())
            .env("EOSIN_DATA", self.path("data"))
            .output()
            .unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str], cause: &str) {
        let output = self.run(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(cause), "{args:?}: {stderr}");
    }
}

fn px(tile: &RgbTile, x: u32, y: u32) -> [u8; 3] {
    let at = ((y * tile.width_px() + x) * 3) as usize;
    tile.pixels()[at..at + 3].try_into().unwrap()
}

fn features(path: &Path) -> Vec<Value> {
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    value["features"].as_array().unwrap().clone()
}

#[test]
fn annotations_come_in_and_go_out_as_qupath_has_them() {
    let place = Place::new();
    std::fs::write(place.path("in.geojson"), QUPATH).unwrap();
    assert_eq!(place.run(&["annotate", "list", "slide.tif"]).status.code(), Some(1), "nothing yet");

    let output = place.run(&["annotate", "import", "slide.tif", "in.geojson", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let done: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        done,
        serde_json::json!({"added": 4, "replaced": 0, "unchanged": 0, "holed": 1, "split": 1, "refused": 1})
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("feature 3 is left out"));
    let again = place.done(&["annotate", "import", "slide.tif", "in.geojson"]);
    assert!(again.starts_with("0 new, 0 brought up to date, 4 as they were"), "{again}");

    // The slide is known by what is in it, not by its name.
    std::fs::rename(place.path("slide.tif"), place.path("moved.tif")).unwrap();
    let list = place.done(&["annotate", "list", "moved.tif"]);
    let lines: Vec<_> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(lines[0].contains("Tumor") && lines[0].contains("rectangle"), "{list}");
    assert!(lines[0].contains("10000 px², 500 px"), "{list}");
    let rows: Vec<Value> = place
        .done(&["annotate", "list", "moved.tif", "--json"])
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows[0]["box_base_px"], serde_json::json!([100.0, 200.0, 200.0, 50.0]));
    assert_eq!((rows[1]["note"].as_str(), rows[1]["n_hole"].as_u64()), (Some("see me"), Some(1)));

    place.done(&["annotate", "export", "moved.tif", "--out", "out.geojson"]);
    let (before, after) = (features(&place.path("in.geojson")), features(&place.path("out.geojson")));
    assert_eq!(after[0], before[0], "an annotation goes out as it came in");
    assert_eq!(after[1], before[1], "with what only QuPath knows of it");
    assert_eq!(after[2]["geometry"]["coordinates"], serde_json::json!([400, 20]));
    let stdout = place.done(&["annotate", "export", "moved.tif", "--out", "-"]);
    assert_eq!(stdout.as_bytes(), std::fs::read(place.path("out.geojson")).unwrap());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &str| std::fs::metadata(place.path(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("data/annotations"), 0o700);
        let id = Slide::open(&place.path("moved.tif")).unwrap().info().id.clone();
        assert_eq!(mode(&format!("data/annotations/{id}.geojson")), 0o600);
    }
}

#[test]
fn what_makes_no_sense_is_one_line_and_changes_nothing() {
    let place = Place::new();
    std::fs::write(place.path("half.geojson"), &QUPATH[..700]).unwrap();
    std::fs::write(place.path("text.geojson"), "no GeoJSON").unwrap();
    for name in ["half.geojson", "text.geojson"] {
        place.refused(&["annotate", "import", "slide.tif", name], "no whole GeoJSON");
    }
    place.refused(&["annotate", "import", "slide.tif", "absent.geojson"], "cannot read");
    place.refused(&["annotate", "import", "absent.tif", "half.geojson"], "cannot open the slide");
    assert_eq!(place.run(&["annotate", "list", "slide.tif"]).status.code(), Some(1));
    assert_eq!(place.run(&["annotate", "export", "slide.tif", "--out", "o"]).status.code(), Some(1));

    // A damaged file of our own is told, kept aside, and what is whole of it is used.
    std::fs::write(place.path("in.geojson"), QUPATH).unwrap();
    place.done(&["annotate", "import", "slide.tif", "in.geojson"]);
    let id = Slide::open(&place.path("slide.tif")).unwrap().info().id.clone();
    let kept = place.path(&format!("data/annotations/{id}.geojson"));
    let whole = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, &whole[..whole.len() / 2]).unwrap();
    let output = place.run(&["annotate", "list", "slide.tif"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged"), "{output:?}");
    assert!(!output.stdout.is_empty());
    let aside = place.path(&format!("data/annotations/{id}.geojson.damaged-1"));
    assert_eq!(std::fs::read(aside).unwrap(), &whole[..whole.len() / 2]);
}

#[test]
fn figures_show_look_annotations_and_scale() {
    let place = Place::new();
    std::fs::write(place.path("in.geojson"), QUPATH).unwrap();
    place.done(&["annotate", "import", "slide.tif", "in.geojson"]);
    let figure = |name: &str, extra: &[&str]| {
        let args =
            [&["slide", "figure", "slide.tif", "--out", name, "--region", "0,100,400,200"], extra].concat();
        place.done(&args);
        load_picture(&place.path(name)).unwrap()
    };
    let plain = figure("plain.png", &[]);
    assert_eq!((plain.size_px(), px(&plain, 200, 100)), ([400, 200], [200, 210, 220]));
    let annotated = figure("annotated.tif", &["--annotations", "--stroke", "3"]);
    assert_eq!(px(&annotated, 200, 100), [200, 0, 0], "the upper edge of the rectangle");
    assert_eq!(px(&annotated, 200, 120), [200, 210, 220], "and nothing within it");
    let large = figure("large.png", &["--downsample", "0.25", "--annotations"]);
    assert_eq!(large.size_px(), [1600, 800]);
    assert_eq!(px(&large, 800, 400), [200, 0, 0]);
    let dark = figure("dark.png", &["--look", "brightness=-50"]);
    assert_eq!(dark, figure("code.png", &["--look", "-50.0.100.all"]));
    assert_eq!(px(&dark, 5, 5), [136, 146, 156]);
    let bar = figure("bar.jpg", &["--scale-bar", "--assume-mpp", "0.5"]);
    assert!(bar.pixels().chunks_exact(3).any(|px| px.iter().all(|&value| value < 30)), "a black bar");
    assert!(plain.pixels().iter().all(|&value| value >= 200), "and none where none was asked for");
    let scaled = Slide::open(&{
        figure("scaled.tif", &["--assume-mpp", "0.5", "--mpp", "1"]);
        place.path("scaled.tif")
    });
    assert!((scaled.unwrap().info().mpp.unwrap().um_per_px() - 1.0).abs() < 1e-3);

    let args = |extra: &[&'static str]| [&["slide", "figure", "slide.tif"], extra].concat();
    place.refused(&args(&["--out", "a.gif"]), "no picture format");
    place.refused(&args(&["--out", "a.png", "--downsample", "0.02"]), "cannot be made");
    place.refused(&args(&["--out", "a.png", "--mpp", "1"]), "states no scale");
    place.refused(&args(&["--out", "a.png", "--look", "hue=3"]), "no setting is called");
}
