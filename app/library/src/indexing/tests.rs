//! What a run does with files that are new, changed, bad, gone and back; pause, stop and going on.

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use eosin_core::annotation::{AnnotationClass, AnnotationId, Shape};
use eosin_core::{Embedding, RgbTile};

use super::*;
use crate::embed::tests::ColourModel;
use crate::item::{EntryState, Filter, ItemKind, NewSource, Recipe};
use crate::search::{Query, SearchOptions, Thumbnails, search, thumbnail};
use crate::stain::Stain;
use crate::store::open_library;

/// Small pictures are one item, larger ones are cut into tiles.
fn recipe() -> Recipe {
    Recipe { picture_px: 100 * 100, tile_px: 64, ..Recipe::default() }
}

fn paint(path: &Path, size_px: [u32; 2], colour: impl Fn(u32, u32) -> [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_fn(size_px[0], size_px[1], |x, y| image::Rgb(colour(x, y))).save(path).unwrap();
}

const GLASS: [u8; 3] = [245, 244, 246];
const PINK: [u8; 3] = [226, 131, 180];

/// A slide of 4 × 2 tiles, five of them with tissue, each of another colour.
fn slide(path: &Path, seed: u8) {
    paint(path, [256, 128], |x, y| match (x / 64, y / 64) {
        (0, _) | (1..=3, 0) => [200 + (x / 64) as u8 * 9, 110 + seed + (y / 64) as u8 * 20, 190],
        _ => GLASS,
    });
}

fn picture(path: &Path, idx: u8) {
    paint(path, [60, 50], |x, _| [PINK[0], 80 + idx * 12, 250 - x as u8]);
}

/// Pictures, slides and other things.
fn fill(folder: &Path) {
    for idx in 0..6_u8 {
        picture(&folder.join(format!("pictures/{idx}.png")), idx);
    }
    slide(&folder.join("a.png"), 0);
    slide(&folder.join("deep/er/b.tif"), 7);
    paint(&folder.join("glass.png"), [256, 128], |_, _| GLASS);
    std::fs::write(folder.join("broken.svs"), "nothing that anybody reads").unwrap();
    std::fs::write(folder.join("empty.png"), "").unwrap();
    std::fs::write(folder.join("notes.txt"), "not looked at").unwrap();
}

struct Bench {
    _folder: tempfile::TempDir,
    data: std::path::PathBuf,
    place: std::path::PathBuf,
    library: Arc<dyn Library>,
    worker: Arc<EmbedWorker>,
    n_tile: Arc<AtomicUsize>,
}

impl Bench {
    fn new() -> Self {
        Self::paced(Duration::ZERO)
    }

    fn paced(pause: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (data, place) = (folder.path().join("data"), folder.path().join("library"));
        fill(&data);
        let n_tile = Arc::new(AtomicUsize::new(0));
        let counter = n_tile.clone();
        let worker =
            EmbedWorker::spawn_with(move || Ok(Box::new(ColourModel { name: "m", pause, n_tile: counter })));
        let library = open_library(place.to_str().unwrap(), None).unwrap();
        let source = NewSource { path: data.clone(), recipe: recipe(), tags: vec!["cohort".into()] };
        library.add_source(&source).unwrap();
        Self { _folder: folder, data, place, library, worker: Arc::new(worker), n_tile }
    }

    fn start(&self, annotations: Option<AnnotationsOf>) -> Indexing {
        let options = IndexOptions { sources: Vec::new(), annotations };
        Indexing::start(self.library.clone(), self.worker.clone(), options)
    }

    fn run(&self) -> Tally {
        self.start(None).wait().unwrap()
    }

    /// All items: file, key of place, score with a fixed query.
    fn contents(&self) -> Vec<(String, String, i32)> {
        let query = ColourModel::embed("m", &RgbTile::new([1, 1], PINK.to_vec()).unwrap());
        let hits = self.library.nearest(&query, 1000, &Filter::default()).unwrap();
        let mut contents: Vec<_> = hits
            .iter()
            .map(|hit| {
                let file = hit.path.strip_prefix(&self.data).unwrap().display().to_string();
                (file, format!("{:?}", hit.region), (hit.score * 1e5) as i32)
            })
            .collect();
        contents.sort();
        contents
    }
}

fn counts(tally: &Tally) -> [u64; 6] {
    [tally.n_file, tally.n_indexed, tally.n_unchanged, tally.n_skip, tally.n_item, tally.n_vanished]
}

#[test]
fn new_changed_bad_gone_and_back() {
    let bench = Bench::new();
    let tally = bench.run();
    // Six pictures, two slides of five tiles, one slide of glass; a text and an empty file.
    assert_eq!(counts(&tally), [11, 9, 0, 2, 16, 0], "{tally:?}");
    let reasons: Vec<String> = tally.skips.iter().map(|skip| skip.reason.clone()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("recognises")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("empty")), "{reasons:?}");
    let whole = bench.contents();
    assert_eq!(whole.len(), 16);
    let status = bench.library.status().unwrap();
    assert_eq!((status.n_done, status.n_failed, status.n_item), (9, 2, 16));
    assert_eq!((status.tags[0].clone(), status.stains[0].0), (("cohort".to_owned(), 16), Stain::He));

    // Nothing to do, and nothing is embedded.
    let n_tile = bench.n_tile.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(counts(&bench.run()), [11, 0, 9, 2, 0, 0]);
    assert_eq!(bench.n_tile.load(std::sync::atomic::Ordering::SeqCst), n_tile);

    // Another content under the same name; a file that is gone; a bad one that is well now.
    slide(&bench.data.join("a.png"), 31);
    std::fs::remove_file(bench.data.join("pictures/0.png")).unwrap();
    slide(&bench.data.join("empty.png"), 20);
    assert_eq!(counts(&bench.run()), [10, 2, 7, 1, 10, 1]);
    let changed = bench.contents();
    assert_eq!(changed.len(), 20);
    assert_eq!(changed.iter().filter(|item| whole.contains(item)).count(), 10);
    assert_eq!(bench.library.status().unwrap().n_vanished, 1);

    // Back again: known still, nothing to embed.
    picture(&bench.data.join("pictures/0.png"), 0);
    let tally = bench.run();
    assert_eq!((tally.n_item, bench.contents().len()), (0, 21), "{tally:?}");

    // Another recipe makes other tiles of the slides, and keeps the pictures.
    let coarse = Recipe { downsample: 2.0, ..recipe() };
    let source = NewSource { path: bench.data.clone(), recipe: coarse, tags: Vec::new() };
    bench.library.add_source(&source).unwrap();
    let tally = bench.run();
    assert_eq!((tally.n_unchanged, tally.n_indexed), (0, 10));
    assert!(
        bench
            .contents()
            .iter()
            .any(|(file, region, _)| file == "a.png" && region.contains("Downsample(2.0)"))
    );
    assert!(!bench.contents().iter().any(|(_, region, _)| region.contains("Downsample(1.0)")));
}

#[test]
fn annotations_are_items_of_their_class() {
    let bench = Bench::new();
    bench.run();
    let marks = |class: &'static str| -> AnnotationsOf {
        Arc::new(move |_| {
            let class = Some(AnnotationClass { name: class.to_owned(), color: [0; 3] });
            let shape = Shape::Rectangle { origin: [10.0, 10.0], size: [20.0, 20.0] };
            let (id, title, note) = (AnnotationId("1".into()), String::new(), String::new());
            vec![Annotation { id, shape, class, title, note, color: None }]
        })
    };
    let tally = bench.start(Some(marks("Tumor"))).wait().unwrap();
    assert_eq!((tally.n_item, tally.n_indexed), (9, 9), "one on each file, and no tile again");
    let filter =
        |tag: &str| Filter { tags: vec![tag.into()], kind: Some(ItemKind::Annotation), ..Filter::default() };
    let query = ColourModel::embed("m", &RgbTile::new([1, 1], PINK.to_vec()).unwrap());
    assert_eq!(bench.library.nearest(&query, 100, &filter("Tumor")).unwrap().len(), 9);
    // Another class: the item of the old one goes.
    assert_eq!(bench.start(Some(marks("Stroma"))).wait().unwrap().n_item, 9);
    assert!(bench.library.nearest(&query, 100, &filter("Tumor")).unwrap().is_empty());
    assert_eq!(bench.library.nearest(&query, 100, &filter("Stroma")).unwrap().len(), 9);
    // None any more.
    bench.run();
    assert!(bench.library.nearest(&query, 100, &filter("Stroma")).unwrap().is_empty());
}

#[test]
fn a_run_that_is_paused_or_stopped_ends_as_an_unbroken_one() {
    let unbroken = Bench::new();
    unbroken.run();
    let bench = Bench::paced(Duration::from_millis(2));
    // Many small pictures, so that there are many batches.
    for idx in 0..150_u32 {
        for bench in [&bench, &unbroken] {
            let colour = [200, (idx % 100 + 50) as u8, (idx % 7 * 30) as u8];
            paint(&bench.data.join(format!("more/{idx}.png")), [20, 20], |_, _| colour);
        }
    }
    unbroken.run();
    let expected = unbroken.contents();
    assert_eq!(expected.len(), 166);

    let indexing = bench.start(None);
    while indexing.progress().n_done == 0 {
        std::thread::yield_now();
    }
    indexing.pause();
    while indexing.progress().state != IndexState::Paused {
        std::thread::yield_now();
    }
    let paused = indexing.progress();
    assert!(paused.n_done < 166 && paused.secs_left.is_none(), "{paused:?}");
    // A search goes on meanwhile.
    let options = SearchOptions { n_hit: 3, ..SearchOptions::default() };
    let query = Query::Pixels(RgbTile::new([1, 1], PINK.to_vec()).unwrap());
    assert_eq!(search(&*bench.library, &bench.worker, query, &options).unwrap().len(), 3);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(indexing.progress().n_done, paused.n_done);
    indexing.resume();
    while indexing.progress().n_done == paused.n_done {
        std::thread::yield_now();
    }
    indexing.stop();
    let stopped = indexing.wait().unwrap_err();
    assert!(matches!(*stopped, LibraryError::Stopped) && indexing.progress().state == IndexState::Stopped);
    let n_first = indexing.tally().n_item;
    assert!(n_first < 166 && bench.library.status().unwrap().n_item == n_first);
    // Stopped again and again, from a library that is opened anew each time, until all is there.
    for n_round in 0.. {
        assert!(n_round < 200, "it does not come to an end");
        let library = open_library(bench.place.to_str().unwrap(), None).unwrap();
        let indexing = Indexing::start(library, bench.worker.clone(), IndexOptions::default());
        std::thread::sleep(Duration::from_millis(60));
        indexing.stop();
        if indexing.wait().is_ok() {
            break;
        }
    }
    let done = bench.run();
    assert_eq!(done.n_item, 0);
    assert_eq!(bench.contents(), expected);
}

#[test]
fn searches_by_picture_and_words_show_what_they_found() {
    let bench = Bench::new();
    bench.run();
    let run = |query: Query, options: SearchOptions| {
        search(&*bench.library, &bench.worker, query, &options).unwrap()
    };
    let options = || SearchOptions { n_hit: 8, ..SearchOptions::default() };
    let picture = eosin_slide::load_picture(&bench.data.join("pictures/3.png")).unwrap();
    let hits = run(Query::Pixels(picture.clone()), options());
    assert!(hits[0].path.ends_with("pictures/3.png") && hits[0].score > 0.999 && hits[0].region.is_none());
    assert_eq!(thumbnail(&hits[0], 600).unwrap(), picture);
    let words = run(Query::Words("tissue that is pink".into()), options());
    assert_eq!(words.len(), 8);
    let one_each = run(Query::Words("pink".into()), SearchOptions { n_per_slide: Some(1), ..options() });
    let mut slides: Vec<_> = one_each.iter().map(|hit| hit.slide.clone()).collect();
    slides.sort_by_key(|slide| slide.as_ref().map(|slide| slide.0.clone()));
    slides.dedup();
    assert_eq!((one_each.len(), slides.len()), (8, 8));
    // A tile of a slide comes as it was seen, or smaller; from slides that stay open between two of them.
    let tile = words.iter().find(|hit| hit.region.is_some()).unwrap();
    let thumbnails = Thumbnails::default();
    for (max_px, expected) in [(64, [64, 64]), (500, [64, 64]), (16, [16, 16])] {
        assert_eq!(thumbnails.of(tile, max_px).unwrap().size_px(), expected);
    }
    let again = bench.library.embedding(tile.item).unwrap().unwrap();
    assert_eq!(run(Query::Vector(again), options())[0].item, tile.item);
    // The same file by a second source is told once.
    let source = NewSource { path: tile.path.clone(), recipe: recipe(), tags: Vec::new() };
    bench.library.add_source(&source).unwrap();
    bench.run();
    let told = run(Query::Words("pink".into()), SearchOptions { n_hit: 100, ..SearchOptions::default() });
    assert_eq!((told.len(), bench.library.status().unwrap().n_item), (16, 21));
    // A file that is another one by now is not shown for what it was.
    slide(&tile.path, 90);
    assert!(matches!(thumbnails.of(tile, 64), Err(LibraryError::Slide { .. })));
}

#[test]
fn failures_of_the_model_and_another_model_end_the_run() {
    let bench = Bench::new();
    bench.run();
    let other = Arc::new(ColourModel::worker("n"));
    let indexing = Indexing::start(bench.library.clone(), other, IndexOptions::default());
    assert!(matches!(*indexing.wait().unwrap_err(), LibraryError::OtherModel { .. }));
    assert_eq!(indexing.progress().state, IndexState::Failed);
    let absent = crate::ClipSource::Path("/nowhere".into());
    let absent = Arc::new(EmbedWorker::spawn(absent, eosin_core::DeviceChoice::Cpu));
    let indexing = Indexing::start(bench.library.clone(), absent, IndexOptions::default());
    assert!(matches!(*indexing.wait().unwrap_err(), LibraryError::NotLoaded(_)));
}

/// A place that is not there takes nothing away but for the time being.
#[test]
fn a_place_that_is_not_there_is_told() {
    let bench = Bench::new();
    bench.run();
    let away = bench.data.with_file_name("away");
    std::fs::rename(&bench.data, &away).unwrap();
    let tally = bench.run();
    assert_eq!((tally.n_skip, tally.n_vanished, tally.n_file), (1, 11, 0), "{tally:?}");
    let query: Embedding = ColourModel::embed("m", &RgbTile::new([1, 1], PINK.to_vec()).unwrap());
    assert!(bench.library.nearest(&query, 5, &Filter::default()).unwrap().is_empty());
    std::fs::rename(&away, &bench.data).unwrap();
    assert_eq!(bench.run().n_item, 0);
    assert_eq!(bench.contents().len(), 16);
    let states = bench.library.entries(None).unwrap().into_iter().map(|entry| entry.state);
    assert_eq!(states.filter(|state| *state == EntryState::Done).count(), 9);
}
