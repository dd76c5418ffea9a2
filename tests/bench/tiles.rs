//! Milliseconds from asking for a tile to having it encoded, beside OpenSlide's own reading of the same pixels.
//!
//! ```text
//! cargo bench … --bench tiles -- [--tiles N] [--json] [SLIDE …]
//! ```
//! `cargo xtask bench tiles` builds and runs it. Without slides it takes those of `EOSIN_SHARED` that OpenSlide
//! opens, where there are some, and a pyramid that it writes itself. Both sides read through handles of their own
//! and in the same random order, in turns, with caches cold to them; OpenSlide reads the pixels that a tile is
//! made of and does nothing more with them. Beside wall time stands processor time of all threads, which another
//! program on the machine changes less.

#![expect(clippy::print_stdout, reason = "a measurement's product is what it prints")]

#[path = "../support/shared.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::time::Instant;

use eosin_core::RgbTile;
use eosin_slide::{PyramidOptions, write_pyramid};
use eosin_workbench::{FeedOptions, OpenedSlide, SlideRegistry, TileAddress, TileFeed};
use openslide_rs::{Address, OpenSlide, Region, Size};
use serde_json::json;
use shared::shared;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Sides of the pyramid that is written here.
const DRAWN_PX: [u32; 2] = [12_000, 9000];
/// The seed of everything random.
const SEED: u64 = 17;

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut n_tile, mut as_json, mut paths) = (200, false, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--tiles" => {
                n_tile = args.next().and_then(|count| count.parse().ok()).expect("--tiles takes a count");
            }
            "--json" => as_json = true,
            _ => paths.push(PathBuf::from(arg)),
        }
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    if paths.is_empty() {
        paths = real_slides();
        let drawn = folder.path().join("drawn.tif");
        draw_pyramid(&drawn);
        paths.push(drawn);
    }
    if !as_json {
        println!(
            "tiles of 512 px, request to JPEG beside OpenSlide's reading; ms, median and 95th percentile"
        );
    }
    let mut all = Times::default();
    for path in &paths {
        let times = measure(path, n_tile);
        times.report(&path.file_name().unwrap_or_default().to_string_lossy(), as_json);
        all.add(times);
    }
    all.report("all slides", as_json);
}

/// Milliseconds of one reading.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    processor: f64,
}

/// Costs of both sides, tile by tile.
#[derive(Default)]
struct Times {
    ours: Vec<Cost>,
    openslide: Vec<Cost>,
}

impl Times {
    fn add(&mut self, other: Self) {
        self.ours.extend(other.ours);
        self.openslide.extend(other.openslide);
    }

    fn report(&self, name: &str, as_json: bool) {
        let n_tile = self.ours.len();
        if !as_json {
            println!("{name}, {n_tile} tiles");
        }
        for (clock, of) in
            [("wall", (|cost| cost.wall) as fn(&Cost) -> f64), ("processor", |cost| cost.processor)]
        {
            let [ours, theirs] = [&self.ours, &self.openslide].map(|costs| {
                let mut sorted: Vec<f64> = costs.iter().map(of).collect();
                sorted.sort_by(f64::total_cmp);
                let at = |share: f64| sorted.get(((n_tile as f64 - 1.0) * share).round() as usize).copied();
                [at(0.5), at(0.95)].map(|ms| ms.unwrap_or(f64::NAN))
            });
            let ratio = ours[1] / theirs[1];
            if as_json {
                let line = json!({
                    "what": "tiles", "slide": name, "clock": clock, "n_tile": n_tile,
                    "ms_median": ours[0], "ms_p95": ours[1],
                    "openslide_ms_median": theirs[0], "openslide_ms_p95": theirs[1], "ratio_p95": ratio,
                });
                println!("{line}");
            } else {
                println!(
                    "  {clock:<10} {:6.2} {:6.2}   OpenSlide {:6.2} {:6.2}   ratio {:.2} {ratio:.2}",
                    ours[0],
                    ours[1],
                    theirs[0],
                    theirs[1],
                    ours[0] / theirs[0]
                );
            }
        }
    }
}

/// What an action costs.
fn cost(action: impl FnOnce()) -> Cost {
    let (clock, processor) = (Instant::now(), processor_ms());
    action();
    Cost { wall: clock.elapsed().as_secs_f64() * 1e3, processor: processor_ms() - processor }
}

/// Milliseconds that all threads of this process have run.
#[cfg(unix)]
#[expect(unsafe_code, reason = "the standard library has no clock of the processor")]
fn processor_ms() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists on every Unix, and the structure is ours to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// Elsewhere there is wall time only.
#[cfg(not(unix))]
fn processor_ms() -> f64 {
    f64::NAN
}

/// Slides of the shared data that have tiles enough.
fn real_slides() -> Vec<PathBuf> {
    let Some(slides) = shared("data/slides") else { return Vec::new() };
    let names = [
        "CMU-1-Small-Region.svs",
        "derived-pathologyatlas/BS25_HE_ds8.tif",
        "derived-pathologyatlas/breast-lobular-carcinoma_HE_fullres_39424_13312.tif",
        "derived-pathologyatlas/crohn-colonoscopic-biopsy_HE1_ds16.tif",
        "derived-pathologyatlas/giardia_HE_ds16.tif",
        "test3-DAPI-2-(387).ndpi",
    ];
    names.map(|name| slides.join(name)).into_iter().filter(|path| path.is_file()).collect()
}

/// Tiles of all levels larger than one tile, in random order.
fn tiles_of(opened: &OpenedSlide, n_tile: usize) -> Vec<[u32; 3]> {
    let plan = &opened.plan;
    let levels = (0..plan.n_level()).filter(|&level| {
        plan.level_px(level).is_some_and(|size_px| size_px[0].max(size_px[1]) > plan.tile_px())
    });
    let mut tiles: Vec<_> = levels
        .flat_map(|level| {
            let [n_column, n_row] = plan.n_tile(level).unwrap_or_default();
            (0..n_row).flat_map(move |row| (0..n_column).map(move |column| [level, column, row]))
        })
        .collect();
    let mut state = SEED;
    for end in (1..tiles.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tiles.swap(end, (state >> 33) as usize % (end + 1));
    }
    tiles.truncate(n_tile);
    tiles
}

fn measure(path: &Path, n_tile: usize) -> Times {
    let opened = SlideRegistry::default().open(path).expect("the slide opens");
    // One worker, and nothing kept: every request is a reading.
    let options = FeedOptions { n_worker: 1, cache_bytes: 0, decoded_bytes: 0 };
    let feed = TileFeed::new(options).expect("a thread starts");
    let openslide = OpenSlide::new(path).expect("OpenSlide opens it");
    let mut times = Times::default();
    for (idx, [level, column, row]) in tiles_of(&opened, n_tile).into_iter().enumerate() {
        let ours = || {
            cost(|| {
                drop(feed.wait(&opened, TileAddress::jpeg(level, column, row)).expect("the tile is there"));
            })
        };
        let theirs = || {
            let region = openslide_region(&opened, level, column, row);
            cost(|| drop(openslide.read_region(&region).expect("OpenSlide reads it")))
        };
        // Who goes first finds the file's pages colder: in turns.
        let (ours, theirs) = if idx.is_multiple_of(2) {
            let ours = ours();
            (ours, theirs())
        } else {
            let theirs = theirs();
            (ours(), theirs)
        };
        times.ours.push(ours);
        times.openslide.push(theirs);
    }
    times
}

/// The pixels that a tile is made of: of the coarsest level that is fine enough.
fn openslide_region(opened: &OpenedSlide, level: u32, column: u32, row: u32) -> Region {
    let info = opened.slide.info();
    let region = opened.plan.region(&info.id, level, column, row).expect("the tile exists");
    let downsample = opened.plan.downsample(level).expect("the level exists");
    let fine_enough = info.levels.iter().rposition(|level| level.downsample <= downsample * 1.005);
    let level_idx = fine_enough.unwrap_or(0);
    let step = downsample / info.levels[level_idx].downsample;
    let [w, h] = region.size_px.map(|side| (f64::from(side) * step).round() as u32);
    let [x, y] = region.origin_base_px;
    Region { address: Address { x, y }, level: level_idx as u32, size: Size { w, h } }
}

/// Writes a pyramid whose tiles are as hard to decode as tissue: soft blots and grain.
fn draw_pyramid(path: &Path) {
    let options = PyramidOptions { jpeg_quality: 85, ..PyramidOptions::default() };
    let mut state = SEED as u32;
    write_pyramid(path, DRAWN_PX, &options, &mut |request| {
        let [left, top] = request.origin_base_px;
        let [width, height] = request.size_px;
        let mut pixels = Vec::with_capacity((width * height * 3) as usize);
        for y in top..top + height {
            for x in left..left + width {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let grain = (state >> 28) as f32 - 8.0;
                let (u, v) = (x as f32 * 0.045, y as f32 * 0.052);
                let blot = (u.sin() * v.cos() + (u * 0.31 + v * 0.17).sin()) * 38.0;
                pixels.extend(
                    [215.0, 165.0, 205.0].map(|base: f32| (base + blot + grain).clamp(0.0, 255.0) as u8),
                );
            }
        }
        Ok(RgbTile::new([width, height], pixels).expect("the buffer has the size"))
    })
    .expect("the pyramid can be written");
}
