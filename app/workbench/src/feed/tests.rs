//! Tiles equal the slide's pixels; equal requests are read once; withdrawn ones are not read.

use std::path::PathBuf;

use eosin_core::RgbTile;
use eosin_slide::{PyramidOptions, write_picture_pyramid};

use super::*;
use crate::registry::SlideRegistry;

/// A smooth picture, which JPEG keeps well.
fn drawn(size_px: [u32; 2]) -> RgbTile {
    let [width, height] = size_px;
    let px = |x: u32, y: u32| [(x * 255 / width) as u8, (y * 255 / height) as u8, ((x + y) / 8) as u8];
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| px(x, y))).collect();
    RgbTile::new(size_px, pixels).unwrap()
}

fn opened(size_px: [u32; 2]) -> (tempfile::TempDir, PathBuf, Arc<OpenedSlide>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drawn.tif");
    write_picture_pyramid(&path, &drawn(size_px), &PyramidOptions::default()).unwrap();
    let slide = SlideRegistry::default().open(&path).unwrap();
    (folder, path, slide)
}

fn feed(n_worker: usize) -> TileFeed {
    TileFeed::new(FeedOptions { n_worker, cache_bytes: 8 << 20, decoded_bytes: 8 << 20 }).unwrap()
}

#[test]
fn tiles_of_every_level_show_their_part() {
    let size_px = [1100, 700];
    let (_folder, _path, slide) = opened(size_px);
    let feed = feed(2);
    let picture = drawn(size_px);
    for level in 0..slide.plan.n_level() {
        let downsample = slide.plan.downsample(level).unwrap();
        let [n_column, n_row] = slide.plan.n_tile(level).unwrap();
        for (column, row) in (0..n_row).flat_map(|row| (0..n_column).map(move |column| (column, row))) {
            let encoded = feed.wait(&slide, TileAddress::jpeg(level, column, row)).unwrap();
            let tile = eosin_slide::decode_picture(encoded.jpeg().unwrap()).unwrap();
            let region = slide.plan.region(&slide.slide.info().id, level, column, row).unwrap();
            assert_eq!(tile.size_px(), region.size_px);
            // The pixel in the middle, against the mean of the picture's pixels that it stands for.
            let [x, y] = tile.size_px().map(|side| side / 2);
            let span = |k: usize, at: u32| {
                let start = region.origin_base_px[k] + at * downsample as u32;
                start..(start + downsample as u32).min(size_px[k])
            };
            for c in 0..3 {
                let rows = span(1, y).flat_map(|row| span(0, x).map(move |column| row * size_px[0] + column));
                let area: Vec<u8> = rows.map(|px| picture.pixels()[px as usize * 3 + c]).collect();
                let want = area.iter().map(|&value| u64::from(value)).sum::<u64>() / area.len() as u64;
                let got = tile.pixels()[((y * tile.width_px() + x) * 3) as usize + c];
                assert!(
                    u64::from(got).abs_diff(want) <= 8,
                    "level {level} ({column}, {row}): {got} for {want}"
                );
            }
        }
    }
    assert!(matches!(feed.wait(&slide, TileAddress::jpeg(99, 0, 0)), Err(WorkbenchError::NoSuchTile { .. })));
}

#[test]
fn the_second_request_comes_from_the_cache() {
    let (_folder, _path, slide) = opened([600, 300]);
    let feed = feed(1);
    let level = slide.plan.n_level() - 1;
    let first = feed.wait(&slide, TileAddress::jpeg(level, 0, 0)).unwrap();
    let second = feed.wait(&slide, TileAddress::jpeg(level, 0, 0)).unwrap();
    let (first, second) = (first.jpeg().unwrap(), second.jpeg().unwrap());
    assert!(Arc::ptr_eq(first, second));
    let stats = feed.stats();
    assert_eq!((stats.n_read, stats.n_cached), (1, 1));
    assert_eq!((stats.cache_bytes, stats.decoded_bytes), (first.len(), 512 * 300 * 3));
    feed.forget(&slide.key);
    assert_eq!((feed.stats().cache_bytes, feed.stats().decoded_bytes), (0, 0));
}

#[test]
fn another_look_at_a_tile_reads_nothing() {
    let (_folder, _path, slide) = opened([600, 300]);
    let feed = feed(1);
    let level = slide.plan.n_level() - 1;
    let plain = feed.wait(&slide, TileAddress::rgb(level, 0, 0)).unwrap();
    let dark = Look { brightness: -40, ..Look::default() };
    for look in [dark, Look { gamma: 150, ..dark }, dark] {
        let address = TileAddress::rgb(level, 0, 0).with_look(look);
        let shown = feed.wait(&slide, address).unwrap();
        let mut expected = plain.rgb().unwrap().as_ref().clone();
        look.apply(&mut expected);
        assert!(shown.rgb().unwrap().as_ref() == &expected, "{look}");
        feed.wait(&slide, TileAddress { format: TileFormat::Jpeg, ..address }).unwrap();
    }
    let again = feed.wait(&slide, TileAddress::rgb(level, 0, 0)).unwrap();
    assert!(Arc::ptr_eq(plain.rgb().unwrap(), again.rgb().unwrap()), "the tile as scanned stays as it is");
    let stats = feed.stats();
    // Three looks as pixels and two of them as JPEG; the third JPEG and the last tile were kept.
    assert_eq!((stats.n_read, stats.n_redrawn, stats.n_cached), (1, 5, 2));
}

/// Holds the feed's only worker inside a reply, until the sender is used or dropped.
fn hold(feed: &TileFeed, slide: &Arc<OpenedSlide>) -> mpsc::SyncSender<()> {
    let (release, held) = mpsc::sync_channel::<()>(1);
    let (inside, entered) = mpsc::sync_channel(1);
    feed.request(slide, TileAddress::jpeg(0, 0, 0), move |_| {
        inside.send(()).unwrap();
        let _ = held.recv();
    });
    entered.recv().unwrap();
    release
}

#[test]
fn equal_requests_join_and_withdrawn_ones_are_not_read() {
    let (_folder, _path, slide) = opened([1100, 700]);
    let feed = feed(1);
    let level = slide.plan.n_level() - 1;
    let release = hold(&feed, &slide);

    let (sender, answers) = mpsc::sync_channel(16);
    let ask = |column: u32, row: u32| {
        let sender = sender.clone();
        feed.request(&slide, TileAddress::jpeg(level, column, row), move |result| {
            sender.send((column, row, result)).unwrap();
        })
    };
    ask(0, 0);
    ask(0, 0);
    let lonely = ask(1, 0);
    ask(2, 0);
    let shared = ask(2, 0);
    ask(0, 1);
    feed.cancel(lonely);
    feed.cancel(shared);
    feed.cancel(shared);
    for expected in [(1, 0), (2, 0)] {
        let (column, row, result) = answers.try_recv().unwrap();
        assert_eq!((column, row), expected);
        assert!(matches!(result, Err(WorkbenchError::Cancelled)));
    }
    drop(release);
    let order: Vec<_> = (0..4)
        .map(|_| {
            let (column, row, result) = answers.recv().unwrap();
            assert!(result.is_ok());
            (column, row)
        })
        .collect();
    assert_eq!(order, [(0, 1), (2, 0), (0, 0), (0, 0)], "the newest first");
    let stats = feed.stats();
    assert_eq!((stats.n_read, stats.n_joined), (1 + 3, 2));
}

#[test]
fn closing_and_dropping_answer_what_waits() {
    let (_folder, _path, slide) = opened([1100, 700]);
    let feed = feed(1);
    let level = slide.plan.n_level() - 1;
    let (sender, answers) = mpsc::sync_channel(16);
    let ask = |column: u32| {
        let sender = sender.clone();
        feed.request(&slide, TileAddress::jpeg(level, column, 0), move |result| sender.send(result).unwrap());
    };
    let release = hold(&feed, &slide);
    ask(0);
    ask(1);
    feed.forget(&slide.key);
    assert!((0..2).all(|_| matches!(answers.recv(), Ok(Err(WorkbenchError::Cancelled)))));
    ask(2);
    // The worker ends only once it is let go, while the feed is being dropped.
    let releaser = std::thread::Builder::new()
        .name("releaser".into())
        .spawn(move || {
            let last = answers.recv();
            drop(release);
            last
        })
        .unwrap();
    drop(feed);
    assert!(matches!(releaser.join().unwrap(), Ok(Err(WorkbenchError::Cancelled))));
}

#[test]
fn a_reply_that_panics_does_not_end_the_worker() {
    let (_folder, _path, slide) = opened([64, 64]);
    let feed = feed(1);
    feed.request(&slide, TileAddress::jpeg(0, 0, 0), |_| panic!("a caller's bug"));
    // The same tile, so that it cannot be served before the panic.
    feed.wait(&slide, TileAddress::jpeg(0, 0, 0)).unwrap();
    feed.wait(&slide, TileAddress::jpeg(1, 0, 0)).unwrap();
}
