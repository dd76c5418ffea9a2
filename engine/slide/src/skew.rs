//! Finds the levels that OpenSlide 3 misreads.
//!
//! OpenSlide 3 hands most TIFF tiles to libtiff's picture reader, and newer versions of that (4.5, in Debian
//! 12) shrink the request where a tile is larger than the whole level: rows come skewed or shifted, and the
//! rest is memory that nobody wrote. JPEG tiles in colour take another way and are right. Such levels are at
//! most one tile wide or high, so they are averaged from the next finer one at little cost.
//! Held true by `tests/slides.rs` (`test_orient1.tif`, `boxes.tiff`).

use std::fs::File;
use std::io::{BufReader, Seek};

use eosin_core::Level;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

const JPEG: u32 = 7;
const RGB: u32 = 2;
const YCBCR: u32 = 6;

/// For each level, whether OpenSlide reads it rightly.
pub(crate) fn readable_levels(
    file: &mut File,
    levels: &[Level],
    property: &dyn Fn(&str) -> Option<String>,
) -> Vec<bool> {
    let exceeds = |level_idx: usize, level: &Level| {
        let side =
            |name: &str| property(&format!("openslide.level[{level_idx}].{name}"))?.parse::<u32>().ok();
        side("tile-width").is_some_and(|tile_px| tile_px > level.size_px[0])
            || side("tile-height").is_some_and(|tile_px| tile_px > level.size_px[1])
    };
    let suspect: Vec<bool> = levels.iter().enumerate().map(|(idx, level)| exceeds(idx, level)).collect();
    if !suspect.contains(&true) {
        return vec![true; levels.len()];
    }
    let direct_px = colour_jpeg_sizes(file);
    let pairs = levels.iter().zip(suspect);
    pairs.map(|(level, suspect)| !suspect || direct_px.contains(&level.size_px)).collect()
}

/// Sizes of the pages that are tiles of JPEG in colour; as far as they can be listed.
fn colour_jpeg_sizes(file: &mut File) -> Vec<[u32; 2]> {
    /// More pages than any pyramid has; a file may chain them for ever.
    const N_PAGE_MAX: usize = 256;
    let mut sizes = Vec::new();
    if file.rewind().is_err() {
        return sizes;
    }
    let Ok(mut decoder) = Decoder::new(BufReader::new(file)) else { return sizes };
    for _page in 0..N_PAGE_MAX {
        let compression = decoder.get_tag_u32(Tag::Compression).unwrap_or(1);
        let colour = decoder.get_tag_u32(Tag::PhotometricInterpretation).unwrap_or(0);
        if let (JPEG, RGB | YCBCR, Ok((width, height))) = (compression, colour, decoder.dimensions()) {
            sizes.push([width, height]);
        }
        if !decoder.more_images() || decoder.next_image().is_err() {
            break;
        }
    }
    sizes
}
