//! Slides from end to end: pixels equal OpenSlide's own, broken files end in one line and exit code 2.
//!
//! The expected levels, scales and pixel hashes lie in `golden/slides.json`, made by `golden/make_slides.py`
//! from OpenSlide itself. Real slides are looked for in `EOSIN_SHARED`, else beside the workspace; without them
//! the slide drawn for `fixtures/slides` and pyramids written here still prove the reading. Hashes hold for the
//! version of OpenSlide that made them; with another one the test says so and compares geometry only.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/shared.rs"]
mod shared;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eosin_core::{Mpp, Region, RegionScale, RgbTile, error_chain};
use eosin_slide::{
    Exposure, OpenCause, PyramidKind, PyramidOptions, Slide, SlideError, library_version, load_picture,
    write_picture_pyramid, write_pyramid,
};
use sha2::{Digest, Sha256};
use shared::shared;

/// Real files that OpenSlide refuses, and the cause that is told.
const REFUSED: [(&str, &str); 7] = [
    ("broken/broken.svs", "neither OpenSlide 3.4.1 nor a picture reader recognises the content"),
    ("broken/empty.svs", "the file is empty"),
    ("broken/not-a-slide.svs", "neither OpenSlide 3.4.1 nor a picture reader recognises the content"),
    ("non-wsi/dicom_test_image.dcm", "DICOM is not read by OpenSlide 3.4.1"),
    ("openslide-python/boxes_0.dcm", "DICOM is not read by OpenSlide 3.4.1"),
    ("openslide-python/boxes_1.dcm", "DICOM is not read by OpenSlide 3.4.1"),
    ("openslide-python/unopenable.tiff", "OpenSlide: Unsupported TIFF compression: 52479"),
];

/// Real files that open and whose pixels do not decode.
const UNREADABLE: [(&str, &str); 1] = [("openslide-python/unreadable.svs", "OpenSlide: Bogus marker length")];

/// Real files that OpenSlide refuses and that open as pictures: format, size, µm per pixel.
type PictureCase = (&'static str, &'static str, [u32; 2], Option<f64>);
const PICTURES: [PictureCase; 3] = [
    ("openslide-python/boxes-no-icc.png", "png", [300, 250], None),
    ("openslide-python/boxes.png", "png", [300, 250], None),
    ("qupath-crops/OS-1-detail.ome.tif", "tiff", [1101, 1101], Some(0.2271)),
];

/// Real files that open as slides.
const GOOD: [&str; 11] = [
    "CMU-1-Small-Region.svs",
    "derived-pathologyatlas/BS25_HE_ds8.tif",
    "derived-pathologyatlas/breast-lobular-carcinoma_HE_fullres_39424_13312.tif",
    "derived-pathologyatlas/crohn-colonoscopic-biopsy_HE1_ds16.tif",
    "derived-pathologyatlas/giardia_HE_ds16.tif",
    "large_image/test_orient1.tif",
    "large_image/yb10kx5k.zstd.tiff",
    "openslide-python/boxes.tiff",
    "openslide-python/small.svs",
    "openslide-python/😐.svs",
    "test3-DAPI-2-(387).ndpi",
];

/// The version that the hashes and messages above come from.
const GOLDEN_VERSION: &str = "3.4.1";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn fixture() -> PathBuf {
    workspace().join("tests/fixtures/slides/drawn.svs")
}

fn eosin(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_eosin")).arg("slide").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exit code 2 and one line that names the file and the cause; a hint may follow.
fn check_failure(output: &Output, name: &str, cause: &str) {
    let stderr = text(&output.stderr);
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
    assert!(output.stdout.is_empty(), "{name}: data on stdout");
    assert!(lines[0].starts_with("error: ") && lines[0].contains(cause), "{name}: {stderr}");
    assert!(lines[0].contains(name), "{name} is not named: {stderr}");
    assert!(lines.len() == 1 || (lines.len() == 2 && lines[1].starts_with("hint: ")), "{name}: {stderr}");
}

/// A picture that compresses well and has no symmetry.
fn drawn(size_px: [u32; 2]) -> RgbTile {
    let [width, height] = size_px;
    let px = |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, ((x + 2 * y) / 8) as u8];
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| px(x, y))).collect();
    RgbTile::new(size_px, pixels).unwrap()
}

#[track_caller]
fn check_alike(got: &RgbTile, want: &RgbTile, bound: u8) {
    assert_eq!(got.size_px(), want.size_px());
    let worst = got.pixels().iter().zip(want.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst <= Some(bound), "{worst:?} exceeds {bound}");
}

fn hash(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[test]
fn slides_equal_what_openslide_says_of_them() {
    let golden = std::fs::read(workspace().join("tests/golden/slides.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&golden).unwrap();
    assert_eq!(golden["openslide"], GOLDEN_VERSION);
    let same_version = library_version() == GOLDEN_VERSION;
    if !same_version {
        println!("skipped: pixel hashes, which are of OpenSlide {GOLDEN_VERSION}");
    }
    let real = shared("data/slides");
    let (mut n_slide, mut n_region) = (0, 0);
    for (name, expected) in golden["slides"].as_object().unwrap() {
        let path =
            if name == "drawn.svs" { Some(fixture()) } else { real.as_ref().map(|dir| dir.join(name)) };
        let Some(path) = path else { continue };
        if expected.get("open_error").is_some() {
            continue;
        }
        n_slide += 1;
        let slide = Slide::open(&path).unwrap();
        let info = slide.info();
        assert_eq!(info.format, expected["format"], "{name}");
        assert_eq!(info.mpp.map(Mpp::um_per_px), expected["mpp"].as_f64(), "{name}");
        assert_eq!(info.magnification, expected["magnification"].as_f64(), "{name}");
        let levels = expected["levels"].as_array().unwrap();
        assert_eq!(info.levels.len(), levels.len(), "{name}");
        for (level, expected) in info.levels.iter().zip(levels) {
            let [width, height] = level.size_px;
            assert_eq!(*expected, serde_json::json!([width, height, level.downsample]), "{name}");
        }
        if !same_version {
            continue;
        }
        for region in expected["regions"].as_array().unwrap() {
            let number = |idx: usize| region[idx].as_u64().unwrap() as u32;
            let tile = slide.read_level(number(0) as usize, [number(1), number(2)], [number(3), number(4)]);
            assert_eq!(hash(tile.unwrap().pixels()), region[5], "{name} {region}");
            n_region += 1;
        }
        for (image, expected) in expected["associated"].as_object().unwrap() {
            let tile = slide.associated(image, Exposure::PatientData).unwrap();
            assert_eq!(
                *expected,
                serde_json::json!([tile.width_px(), tile.height_px(), hash(tile.pixels())])
            );
        }
    }
    println!("{n_slide} slides, {n_region} regions");
    assert!(n_slide >= 1);
}

#[test]
fn every_real_file_ends_as_expected() {
    let Some(folder) = shared("data/slides") else { return };
    if library_version() != GOLDEN_VERSION {
        println!("skipped: expectations of OpenSlide {GOLDEN_VERSION}");
        return;
    }
    let mut seen = BTreeSet::from(["MANIFEST.tsv"]);
    let look = |name: &str| {
        let path = folder.join(name);
        eosin(&["thumbnail", path.to_str().unwrap(), "--max", "64", "--out", "-"])
    };
    for (name, cause) in REFUSED.iter().chain(&UNREADABLE) {
        seen.insert(name);
        check_failure(&look(name), name, cause);
    }
    for name in GOOD.iter().chain(PICTURES.iter().map(|case| &case.0)) {
        seen.insert(name);
        let output = look(name);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{name}");
        let tile = eosin_slide::decode_picture(&output.stdout).unwrap();
        let longest_px = tile.width_px().max(tile.height_px());
        assert_eq!(longest_px, if name.contains("small") || name.contains('😐') { 16 } else { 64 }, "{name}");
    }
    for (name, format, size_px, mpp) in PICTURES {
        let slide = Slide::open(&folder.join(name)).unwrap();
        assert_eq!((slide.info().format.as_str(), slide.info().base_px()), (format, size_px), "{name}");
        let close = |got: Mpp| mpp.is_some_and(|want| (got.um_per_px() - want).abs() < 1e-4);
        assert!(slide.info().mpp.map_or(mpp.is_none(), close), "{name}: {:?}", slide.info().mpp);
    }
    let mut folders = vec![folder.clone()];
    while let Some(folder_now) = folders.pop() {
        for entry in std::fs::read_dir(folder_now).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
                assert!(seen.contains(name), "{name} has no expectation");
            }
        }
    }
}

#[test]
fn levels_that_openslide_misreads_are_averaged() {
    let Some(folder) = shared("data/slides") else { return };
    for (name, level_idx) in [("large_image/test_orient1.tif", 1), ("large_image/test_orient1.tif", 2)] {
        let slide = Slide::open(&folder.join(name)).unwrap();
        let info = slide.info();
        let level = info.levels[level_idx];
        let whole = slide.read_level(0, [0, 0], info.base_px()).unwrap();
        let factor = level.downsample as usize;
        let width = info.base_px()[0] as usize;
        let mean = |x: usize, y: usize, c: usize| {
            let at =
                |dx, dy| usize::from(whole.pixels()[((y * factor + dy) * width + x * factor + dx) * 3 + c]);
            let sum: usize = (0..factor).flat_map(|dy| (0..factor).map(move |dx| at(dx, dy))).sum();
            ((sum * 2 + factor * factor) / (2 * factor * factor)) as u8
        };
        let [columns, rows] = level.size_px.map(|side| side as usize);
        let px = |y: usize| (0..columns).flat_map(move |x| [0, 1, 2].map(|c| (x, y, c)));
        let want = (0..rows).flat_map(px).map(|(x, y, c)| mean(x, y, c)).collect();
        let got = slide.read_level(level_idx, [0, 0], level.size_px).unwrap();
        check_alike(&got, &RgbTile::new(level.size_px, want).unwrap(), 1);
    }
}

#[test]
fn a_written_pyramid_reads_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let picture = drawn([1000, 611]);
    let label = drawn([60, 40]);
    let mpp = Some(Mpp::new(0.25).unwrap());
    let associated = vec![("label".to_owned(), label.clone())];
    for (kind, associated, format, magnification) in [
        (PyramidKind::GenericTiff, Vec::new(), "generic-tiff", None),
        (PyramidKind::Aperio { magnification: 40.0 }, associated, "aperio", Some(40.0)),
    ] {
        let path = folder.path().join(format!("{format}.tif"));
        let options = PyramidOptions { kind, mpp, associated, tile_px: 128, jpeg_quality: 95 };
        write_picture_pyramid(&path, &picture, &options).unwrap();
        let slide = Slide::open(&path).unwrap();
        let info = slide.info();
        assert_eq!((info.format.as_str(), info.magnification), (format, magnification));
        assert!((info.mpp.unwrap().um_per_px() - 0.25).abs() < 1e-6, "{:?}", info.mpp);
        let sizes: Vec<_> = info.levels.iter().map(|level| level.size_px).collect();
        assert_eq!(sizes, [[1000, 611], [500, 305], [250, 152], [125, 76]]);
        check_alike(&slide.read_level(0, [0, 0], [1000, 611]).unwrap(), &picture, 20);
        for (level_idx, size_px) in sizes.into_iter().enumerate().skip(1) {
            let want = drawn(size_px);
            let got = slide.read_level(level_idx, [0, 0], size_px).unwrap();
            // The third channel is not drawn to scale.
            let two = |tile: &RgbTile| {
                let px = tile.pixels().chunks_exact(3).flat_map(|px| [px[0], px[1], 0]).collect();
                RgbTile::new(size_px, px).unwrap()
            };
            check_alike(&two(&got), &two(&want), 12);
        }
        if format == "aperio" {
            let hidden = slide.associated("label", Exposure::TissueOnly).unwrap_err();
            assert!(matches!(hidden, SlideError::HiddenImage { .. }));
            check_alike(&slide.associated("label", Exposure::PatientData).unwrap(), &label, 0);
            assert!(matches!(
                slide.associated("macro", Exposure::PatientData),
                Err(SlideError::NoSuchImage { .. })
            ));
        }
    }
    let names: BTreeSet<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing half-written stays: {names:?}");
}

#[test]
fn a_pyramid_that_fails_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    let refuse = |options: &PyramidOptions, size_px: [u32; 2], tile_px: [u32; 2]| {
        let error = write_pyramid(&path, size_px, options, &mut |_| Ok(drawn(tile_px))).unwrap_err();
        assert!(error_chain(&error).contains("slide.tif"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    };
    let plain = PyramidOptions::default();
    refuse(&plain, [300, 300], [10, 10]);
    refuse(&plain, [0, 300], [10, 10]);
    refuse(&PyramidOptions { tile_px: 100, ..plain.clone() }, [300, 300], [100, 100]);
    refuse(&PyramidOptions { jpeg_quality: 0, ..plain.clone() }, [300, 300], [256, 256]);
    refuse(&PyramidOptions { associated: vec![("label".into(), drawn([1, 1]))], ..plain }, [9, 9], [9, 9]);
}

#[test]
fn a_region_has_the_size_and_the_place_that_was_asked_for() {
    let slide = Slide::open(&fixture()).unwrap();
    let base = slide.read_level(0, [0, 0], [700, 520]).unwrap();
    let read = |origin_base_px: [u32; 2], size_px: [u32; 2], scale: RegionScale| {
        slide.read(&Region { slide: slide.info().id.clone(), origin_base_px, size_px, scale })
    };
    let mpp = |um: f64| RegionScale::Mpp(Mpp::new(um).unwrap());
    // A pixel of the picture, and the mean of a square of it.
    let mean = |left: u32, top: u32, side: u32, c: usize| {
        let px = (top..top + side).flat_map(|y| (left..left + side).map(move |x| y * 700 + x));
        let sum: u32 = px.map(|px| u32::from(base.pixels()[px as usize * 3 + c])).sum();
        (sum / (side * side)) as u8
    };
    // At base resolution the pixels are those of level 0; 0.5 µm is the slide's own scale.
    for scale in [RegionScale::Downsample(1.0), mpp(0.5)] {
        let tile = read([33, 44], [100, 80], scale).unwrap();
        check_alike(&tile, &slide.read_level(0, [33, 44], [100, 80]).unwrap(), 0);
    }
    // A level's own scale on its own grid gives its own pixels.
    let tile = read([40, 80], [90, 70], mpp(1.0)).unwrap();
    check_alike(&tile, &slide.read_level(1, [40, 80], [90, 70]).unwrap(), 0);
    // Between levels, pixels are means of what they cover: here of 3 × 3.
    let tile = read([30, 60], [50, 40], RegionScale::Downsample(3.0)).unwrap();
    let n_far = (0..50 * 40).filter(|px| {
        let (x, y) = (px % 50, px / 50);
        let want = mean(30 + x * 3, 60 + y * 3, 3, 1);
        tile.pixels()[(px * 3 + 1) as usize].abs_diff(want) > 24
    });
    // Averaged from level 1, whose pixels do not lie on that grid: edges of discs may differ.
    assert!(n_far.count() < 60);
    // Finer than the base: interpolated, with the base pixels' colours at their centres.
    let tile = read([100, 100], [90, 60], RegionScale::Downsample(1.0 / 3.0)).unwrap();
    for (x, y) in [(1, 1), (16, 13), (88, 58)] {
        let want = base.pixels()[((100 + y / 3) * 700 + 100 + x / 3) as usize * 3];
        assert!(tile.pixels()[((y * 90 + x) * 3) as usize].abs_diff(want) <= 1);
    }
    // The edges: less than one returned pixel may hang over.
    assert!(read([0, 0], [176, 131], RegionScale::Downsample(3.99)).is_ok());
    let outside =
        |origin, size, scale| matches!(read(origin, size, scale), Err(SlideError::OutOfBounds { .. }));
    assert!(outside([0, 0], [701, 1], RegionScale::Downsample(1.0)));
    assert!(outside([700, 0], [1, 1], RegionScale::Downsample(1.0)));
    assert!(outside([0, 0], [1000, 10], mpp(0.5)));
    assert!(outside([0, 0], [u32::MAX / 256, 1], RegionScale::Downsample(1e6)));
    assert!(matches!(read([0, 0], [0, 5], mpp(0.5)), Err(SlideError::EmptyRegion { .. })));
    assert!(matches!(read([0, 0], [u32::MAX; 2], mpp(0.5)), Err(SlideError::TooLarge { .. })));
    for downsample in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let scale = RegionScale::Downsample(downsample);
        assert!(matches!(read([0, 0], [5, 5], scale), Err(SlideError::BadScale { .. })));
    }
    let other = Region {
        slide: eosin_core::SlideId("another".into()),
        origin_base_px: [0, 0],
        size_px: [1, 1],
        scale: mpp(0.5),
    };
    assert!(matches!(slide.read(&other), Err(SlideError::WrongSlide)));
    assert!(matches!(slide.read_level(3, [0, 0], [1, 1]), Err(SlideError::NoSuchLevel { .. })));
    // Level reads are white beyond the slide.
    assert!(slide.read_level(0, [690, 510], [20, 20]).unwrap().pixels().ends_with(&[255; 3]));
    for max_px in [1, 64, 400, 5000] {
        let [width, height] = slide.thumbnail(max_px).unwrap().size_px();
        assert_eq!(width, max_px.min(700));
        assert!((f64::from(height) - f64::from(width) * 520.0 / 700.0).abs() <= 0.5 || height == 1);
    }
}

#[test]
fn pictures_are_slides_of_one_level() {
    let folder = tempfile::tempdir().unwrap();
    for (size_px, max_px, small_px) in
        [([1, 1], 64, [1, 1]), ([2000, 10], 100, [100, 1]), ([7, 1400], 140, [1, 140])]
    {
        let picture = drawn(size_px);
        let path = folder.path().join("picture.svs");
        let [width, height] = size_px;
        image::save_buffer_with_format(
            &path,
            picture.pixels(),
            width,
            height,
            image::ExtendedColorType::Rgb8,
            image::ImageFormat::Png,
        )
        .unwrap();
        let slide = Slide::open(&path).unwrap();
        assert_eq!((slide.info().format.as_str(), slide.info().levels.len()), ("png", 1));
        assert_eq!(slide.info().mpp, None);
        assert!(slide.properties().is_empty());
        check_alike(&slide.read_level(0, [0, 0], size_px).unwrap(), &picture, 0);
        check_alike(&load_picture(&path).unwrap(), &picture, 0);
        assert_eq!(slide.thumbnail(max_px).unwrap().size_px(), small_px);
        let id = slide.info().id.clone();
        let scale = RegionScale::Mpp(Mpp::new(0.5).unwrap());
        let region = Region { slide: id, origin_base_px: [0, 0], size_px: [1, 1], scale };
        assert!(matches!(slide.read(&region), Err(SlideError::NoScale)));
        let slide = slide.with_mpp(Mpp::new(0.5).unwrap());
        assert!(slide.read(&region).is_ok());
    }
    let whole = load_picture(&fixture()).unwrap_err();
    assert!(matches!(whole, SlideError::Open { source: OpenCause::WholeSlide, .. }), "{whole:?}");
    assert!(load_picture(folder.path()).is_err());
}

#[test]
fn a_cut_or_damaged_slide_is_an_error_and_never_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(fixture()).unwrap();
    let path = folder.path().join("cut.svs");
    let (mut n_refused, mut n_unread) = (0, 0);
    let mut look = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        match Slide::open(&path) {
            Err(error) => {
                assert!(error_chain(&error).contains("cut.svs"));
                n_refused += 1;
            }
            Ok(slide) => n_unread += usize::from(slide.thumbnail(700).is_err()),
        }
    };
    for n_byte in (0..whole.len()).step_by(whole.len() / 40) {
        look(&whole[..n_byte]);
    }
    // Tiles overwritten, directories left as they are.
    for start in (16..whole.len() - 8000).step_by(whole.len() / 20) {
        let mut damaged = whole.clone();
        damaged[start..start + 2000].fill(0x55);
        look(&damaged);
    }
    assert!(n_refused >= 40 && n_unread >= 10, "{n_refused} refused, {n_unread} unread");
}

#[test]
fn libraries_below_do_not_print() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("odd.svs");
    // A property without a value, of which GLib complains on standard error.
    let mut odd = std::fs::read(fixture()).unwrap();
    let at = odd.windows(8).position(|bytes| bytes == b"AppMag =").unwrap();
    odd[at + 7] = b' ';
    std::fs::write(&path, odd).unwrap();
    let output = eosin(&["info", path.to_str().unwrap()]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn the_command_line_tells_what_was_asked() {
    let path = fixture();
    let file = path.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();

    let info = eosin(&["info", file, "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((value["format"].as_str(), value["mpp"].as_f64()), (Some("aperio"), Some(0.5)));
    assert_eq!(value["levels"][2]["size_px"], serde_json::json!([175, 130]));
    assert!(value.get("properties").is_none() && !text(&info.stdout).contains("drawn"), "no name, no text");
    let info = text(&eosin(&["info", file, "--properties"]).stdout);
    assert!(info.contains("20×") && info.contains("aperio.AppMag = 20"), "{info}");

    let png = out("region.png");
    let region = ["region", file, "--region", "100,50,200,100", "--downsample", "2", "--out", &png];
    assert_eq!(eosin(&region).status.code(), Some(0));
    assert_eq!(load_picture(Path::new(&png)).unwrap().size_px(), [100, 50]);
    let level = ["region", file, "--region", "100,50,200,100", "--level", "2", "--out", "-"];
    assert_eq!(eosin_slide::decode_picture(&eosin(&level).stdout).unwrap().size_px(), [50, 25]);
    let tif = out("copy.tif");
    assert_eq!(eosin(&["pyramid", file, "--out", &tif]).status.code(), Some(0));
    assert_eq!(Slide::open(Path::new(&tif)).unwrap().info().mpp, Some(Mpp::new(0.5).unwrap()));

    let refuse = |args: &[&str], name: &str, cause: &str| check_failure(&eosin(args), name, cause);
    refuse(&["info", "absent.svs"], "absent.svs", "No such file");
    refuse(&["info", folder.path().to_str().unwrap()], "", "not a file");
    refuse(&["thumbnail", file, "--out", "x.gif"], "x.gif", "no picture format");
    refuse(&["thumbnail", file, "--max", "0", "--out", "-"], "", "is empty");
    refuse(&["region", file, "--region", "690,0,20,20", "--out", "-"], "", "leaves the slide");
    refuse(&["region", file, "--level", "9", "--out", "-"], "", "level 9 does not exist");
    refuse(&["region", &tif, "--mpp", "0", "--out", "-"], "", "--mpp");
    refuse(&["info", file, "--associated", "label", "--out", "-"], "label", "no associated image");
    let png_region = ["region", png.as_str(), "--mpp", "1", "--out", "-"];
    refuse(&png_region, "", "states no scale");
    assert_eq!(eosin(&[&png_region[..], &["--assume-mpp", "0.5"]].concat()).status.code(), Some(0));
    assert_eq!(eosin(&["region", file, "--region", "1,2,3", "--out", "-"]).status.code(), Some(2));
}
