//! Slides that are missing, broken, damaged or taken away while open.

use std::sync::mpsc;

use eosin_core::RgbTile;
use eosin_slide::{PyramidOptions, write_picture_pyramid};

use super::*;

fn workbench() -> Workbench {
    Workbench::new(FeedOptions { n_worker: 1, cache_bytes: 1 << 20, decoded_bytes: 1 << 20 }).unwrap()
}

fn tile(bench: &Workbench, key: &SlideKey, level: u32, column: u32, row: u32) -> TileResult {
    let (sender, answer) = mpsc::sync_channel(1);
    bench
        .request_tile(key, TileAddress::jpeg(level, column, row), move |result| sender.send(result).unwrap());
    answer.recv().unwrap()
}

fn noise(size_px: [u32; 2]) -> RgbTile {
    let mut state = 7_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    RgbTile::new(size_px, (0..size_px[0] * size_px[1] * 3).map(|_| next()).collect()).unwrap()
}

#[test]
fn a_broken_file_is_told_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.svs");
    std::fs::write(&path, b"no slide at all").unwrap();
    let bench = workbench();
    let report = bench.open(&path).unwrap_err().report();
    assert_eq!(report.code, "slide_open");
    assert!(report.message.contains("broken.svs") && report.message.contains("OpenSlide"), "{report:?}");
    assert!(report.hint.is_some());
    assert_eq!(bench.errors().list(), [report]);
    let missing = bench.open(&folder.path().join("absent.svs")).unwrap_err().report();
    assert!(missing.message.contains("No such file"), "{missing:?}");
}

#[test]
fn keys_are_opaque_and_end_with_the_slide() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Patient Name.tif");
    write_picture_pyramid(&path, &noise([300, 200]), &PyramidOptions::default()).unwrap();
    let bench = workbench();
    let opened = bench.open(&path).unwrap();
    let again = bench.open(&path).unwrap();
    assert_ne!(opened.key, again.key);
    assert!(!opened.key.0.contains("Patient") && !format!("{opened:?}").contains("Patient"));
    assert!(tile(&bench, &opened.key, 0, 0, 0).is_ok());
    bench.close(&opened.key);
    assert!(matches!(tile(&bench, &opened.key, 0, 0, 0), Err(WorkbenchError::NotOpen)));
    assert!(tile(&bench, &again.key, 0, 0, 0).is_ok());
    let view = ViewRect { origin_base_px: [-10.0, 50.0], size_base_px: [110.0, 100.0] };
    let (region, pixels) = bench.read_view(&again.key, view, 2500).unwrap();
    assert_eq!((region.origin_base_px, pixels.size_px()), ([0, 50], [50, 50]));
}

#[test]
fn a_slide_taken_away_or_damaged_while_open_gives_errors_and_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slide.tif");
    write_picture_pyramid(&path, &noise([2048, 1024]), &PyramidOptions::default()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let bench = workbench();
    let opened = bench.open(&path).unwrap();
    let last = opened.plan.n_level() - 1;

    // Tiles in the middle of the file are overwritten; those at its start stay.
    let mut damaged = whole.clone();
    let middle = whole.len() / 3;
    damaged[middle..middle + whole.len() / 6].fill(0);
    std::fs::write(&path, &damaged).unwrap();
    let slides = [bench.open(&path).unwrap(), opened];
    for opened in &slides {
        let results: Vec<_> = [0, 1, 2, 3].map(|column| tile(&bench, &opened.key, last, column, 0)).into();
        assert!(results[0].is_ok(), "the first tile lies before the damage");
    }
    let fresh = &slides[0];
    let results: Vec<_> = (0..2)
        .flat_map(|row| (0..4).map(move |column| (column, row)))
        .map(|(column, row)| tile(&bench, &fresh.key, last, column, row))
        .collect();
    assert!(results.iter().any(Result::is_err), "the damage shows");
    assert!(results.iter().filter(|result| result.is_ok()).count() >= 2, "and costs no more than its tiles");
    assert!(bench.errors().list().iter().any(|report| report.code == "slide_read"));

    std::fs::remove_file(&path).unwrap();
    for opened in &slides {
        for column in 0..4 {
            match tile(&bench, &opened.key, last, column, 1) {
                Ok(_) => {}
                Err(error) => {
                    let report = error.report();
                    assert_eq!(report.code, "slide_gone");
                    assert!(report.hint.unwrap().contains("put the file back"));
                }
            }
        }
    }
}

#[test]
fn a_typed_scale_and_a_look_are_remembered_by_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.tif");
    write_picture_pyramid(&path, &noise([300, 200]), &PyramidOptions::default()).unwrap();
    let preferences = || {
        let (file, damage) = PreferencesFile::open(&folder.path().join("preferences.json")).unwrap();
        assert_eq!(damage, None);
        Arc::new(file)
    };
    let bench = workbench().remembering(preferences());
    let opened = bench.open(&path).unwrap();
    assert_eq!((opened.slide.info().mpp, opened.file_mpp), (None, None));
    let mpp = Mpp::new(0.5).unwrap();
    let restated = bench.state_mpp(&opened.key, Some(mpp)).unwrap();
    assert_eq!(restated.slide.info().mpp, Some(mpp));
    assert_eq!(bench.slide(&opened.key).unwrap().slide.info().mpp, Some(mpp));
    let look = Look { gamma: 150, ..Look::default() };
    bench.set_look(&opened.key, look).unwrap();
    drop(bench);

    // Another run, another name of the same file.
    let moved = folder.path().join("moved.tif");
    std::fs::rename(&path, &moved).unwrap();
    let bench = workbench().remembering(preferences());
    let opened = bench.open(&moved).unwrap();
    assert_eq!((opened.slide.info().mpp, bench.look(&opened.key).unwrap()), (Some(mpp), look));
    let files = bench.preferences().unwrap().get().recent_files();
    let known: Vec<_> = files.iter().map(|file| (file.path.clone(), file.exists)).collect();
    assert_eq!(known, [(moved, true), (path, false)]);
    assert_eq!(bench.state_mpp(&opened.key, None).unwrap().slide.info().mpp, None);
    assert!(matches!(bench.state_mpp(&SlideKey("x".into()), None), Err(WorkbenchError::NotOpen)));
}
