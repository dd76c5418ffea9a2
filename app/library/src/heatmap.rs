//! Classes over a slide: probabilities of each tile, shares, a picture, rows for spreadsheets and programs.

use std::fmt::Write as _;

use eosin_core::{RgbTile, SlideId};
use eosin_slide::Slide;
use serde::Serialize;

use crate::error::LibraryError;

/// Colours of the first classes, told apart by most colour-blind people too (Okabe and Ito 2008); later classes
/// begin again.
pub const CLASS_COLOURS: [[u8; 3]; 8] = [
    [213, 94, 0],
    [0, 114, 178],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [240, 228, 66],
    [90, 90, 90],
];

/// What a picture of a heatmap shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HeatmapView {
    /// On each tile the colour of its most probable class, the stronger the more probable.
    #[default]
    Winner,
    /// On each tile the colour of one class, as strong as it is probable.
    Class(usize),
}

/// Probabilities of classes on the tiles of a slide. Tiles without tissue have none.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Heatmap {
    /// The slide.
    pub slide: SlideId,
    /// Size of the slide in base pixels.
    pub base_px: [u32; 2],
    /// The classes, as they were named.
    pub classes: Vec<String>,
    /// Left edges of the columns of tiles, in base pixels.
    pub columns: Vec<u32>,
    /// Top edges of the rows of tiles, in base pixels.
    pub rows: Vec<u32>,
    /// Size of a tile in base pixels.
    pub tile_base_px: [f64; 2],
    /// µm per pixel as the model saw it, where known.
    pub um_per_px: Option<f64>,
    /// Row by row; none where there is no tissue or the tile cannot be read.
    #[serde(skip)]
    pub probabilities: Vec<Option<Vec<f32>>>,
    /// Share of the tiles with tissue where each class is the most probable.
    pub shares: Vec<f32>,
    /// Tiles with tissue.
    pub n_tile: usize,
    /// Tiles with tissue that cannot be read.
    pub n_unreadable: usize,
}

/// A tile with tissue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HeatmapTile<'a> {
    /// Top-left corner in base pixels.
    pub origin_base_px: [u32; 2],
    /// Probability of each class.
    pub probabilities: &'a [f32],
    /// The most probable class.
    pub winner: usize,
}

impl Heatmap {
    /// The tiles that have probabilities, row by row.
    pub fn tiles(&self) -> impl Iterator<Item = HeatmapTile<'_>> {
        self.probabilities.iter().enumerate().filter_map(|(idx, probabilities)| {
            let n_column = self.columns.len();
            let origin_base_px = [*self.columns.get(idx % n_column)?, *self.rows.get(idx / n_column)?];
            let probabilities = probabilities.as_deref()?;
            Some(HeatmapTile { origin_base_px, probabilities, winner: winner(probabilities)? })
        })
    }

    /// The share of tiles where each class is the most probable.
    pub(crate) fn count_shares(&mut self) {
        let mut counts = vec![0_usize; self.classes.len()];
        for tile in self.tiles() {
            counts[tile.winner] += 1;
        }
        let n: usize = counts.iter().sum();
        self.shares = counts.iter().map(|count| *count as f32 / n.max(1) as f32).collect();
    }

    /// The heatmap over a picture of the slide, of any size.
    pub fn over(&self, thumbnail: RgbTile, view: HeatmapView) -> RgbTile {
        let size_px = thumbnail.size_px();
        let [width, height] = size_px.map(|side| side as usize);
        let mut pixels = thumbnail.into_pixels();
        let scale = [0, 1].map(|k| f64::from(size_px[k]) / f64::from(self.base_px[k].max(1)));
        // The thumbnail in grey beneath, so that its own colours are not taken for classes.
        for px in pixels.as_chunks_mut::<3>().0 {
            let [red, green, blue] = px.map(f32::from);
            let grey = (0.299 * red + 0.587 * green + 0.114 * blue) as u8;
            *px = [grey; 3];
        }
        for tile in self.tiles() {
            let (class, strength) = match view {
                HeatmapView::Winner => {
                    // From chance upwards: what is barely more probable than the others is barely seen.
                    let chance = 1.0 / self.classes.len().max(2) as f32;
                    let above = (tile.probabilities[tile.winner] - chance) / (1.0 - chance);
                    (tile.winner, 0.2 + 0.55 * above.clamp(0.0, 1.0))
                }
                HeatmapView::Class(class) => {
                    (class, 0.75 * tile.probabilities.get(class).copied().unwrap_or(0.0))
                }
            };
            let colour = CLASS_COLOURS[class % CLASS_COLOURS.len()];
            let edges = |k: usize, limit: usize| {
                let first = f64::from(tile.origin_base_px[k]) * scale[k];
                let end = first + self.tile_base_px[k] * scale[k];
                (first.round() as usize).min(limit)..(end.round() as usize).min(limit)
            };
            for y in edges(1, height) {
                for x in edges(0, width) {
                    let at = (y * width + x) * 3;
                    for (value, own) in pixels[at..at + 3].iter_mut().zip(colour) {
                        let mixed = f32::from(*value) * (1.0 - strength) + f32::from(own) * strength;
                        *value = mixed.round() as u8;
                    }
                }
            }
        }
        RgbTile::new(size_px, pixels).expect("the size is the thumbnail's own")
    }

    /// The heatmap over the slide as a PNG file, its longest side `max_px`.
    ///
    /// # Errors
    /// [`LibraryError::Slide`] where the slide does not read.
    pub fn png(&self, slide: &Slide, max_px: u32, view: HeatmapView) -> Result<Vec<u8>, LibraryError> {
        let picture = self.over(slide.thumbnail(max_px)?, view);
        let mut bytes = std::io::Cursor::new(Vec::new());
        let [width, height] = picture.size_px();
        let (colour, format) = (image::ExtendedColorType::Rgb8, image::ImageFormat::Png);
        image::write_buffer_with_format(&mut bytes, picture.pixels(), width, height, colour, format)
            .map_err(|source| LibraryError::Encode { source })?;
        Ok(bytes.into_inner())
    }

    /// One row a tile: corner and size in base pixels, the most probable class, the probability of each.
    pub fn csv(&self) -> String {
        let mut text = "x,y,width,height,class".to_owned();
        for class in &self.classes {
            let _infallible = write!(text, ",{}", csv_field(class));
        }
        text.push('\n');
        let [width, height] = self.tile_base_px;
        for tile in self.tiles() {
            let [x, y] = tile.origin_base_px;
            let class = csv_field(&self.classes[tile.winner]);
            let _infallible = write!(text, "{x},{y},{width:.0},{height:.0},{class}");
            for probability in tile.probabilities {
                let _infallible = write!(text, ",{probability:.5}");
            }
            text.push('\n');
        }
        text
    }
}

/// The largest; none for no classes.
fn winner(probabilities: &[f32]) -> Option<usize> {
    let indexed = probabilities.iter().enumerate();
    // The first of equals.
    indexed
        .fold(None, |best: Option<(usize, f32)>, (idx, value)| match best {
            Some((_, most)) if most >= *value => best,
            _ => Some((idx, *value)),
        })
        .map(|(idx, _)| idx)
}

/// A field of a spreadsheet: quoted where it must be, and never the beginning of a formula.
fn csv_field(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let formula = text.starts_with(['=', '+', '-', '@']);
    if text.contains([',', '"']) || formula {
        let escaped = text.replace('"', "\"\"");
        return if formula { format!("\"'{escaped}\"") } else { format!("\"{escaped}\"") };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heatmap() -> Heatmap {
        let mut heatmap = Heatmap {
            slide: SlideId("0".repeat(32)),
            base_px: [200, 100],
            classes: vec!["tumour".into(), "stroma, loose".into()],
            columns: vec![0, 100],
            rows: vec![0],
            tile_base_px: [100.0, 100.0],
            um_per_px: Some(0.5),
            probabilities: vec![Some(vec![0.25, 0.75]), None],
            shares: Vec::new(),
            n_tile: 1,
            n_unreadable: 0,
        };
        heatmap.count_shares();
        heatmap
    }

    #[test]
    fn the_picture_shows_classes_where_there_is_tissue() {
        let heatmap = heatmap();
        assert_eq!(heatmap.shares, [0.0, 1.0]);
        let thumbnail = || RgbTile::new([20, 10], vec![200; 600]).unwrap();
        let at = |tile: &RgbTile, x: usize| tile.pixels()[x * 3..x * 3 + 3].to_vec();
        let winner = heatmap.over(thumbnail(), HeatmapView::Winner);
        let [_, _, blue] = CLASS_COLOURS[1];
        assert!(at(&winner, 3)[0] < 120 && at(&winner, 3)[2] > 150 && blue > 150, "{:?}", at(&winner, 3));
        assert_eq!(at(&winner, 15), [200; 3], "no tissue, no colour");
        let first = heatmap.over(thumbnail(), HeatmapView::Class(0));
        assert!(at(&first, 3)[0] > 190 && at(&first, 3)[2] < 200);
        // A class that does not exist colours nothing and breaks nothing.
        assert_eq!(at(&heatmap.over(thumbnail(), HeatmapView::Class(9)), 3), [200; 3]);
    }

    #[test]
    fn rows_can_be_read_by_a_spreadsheet() {
        let lines: Vec<String> = heatmap().csv().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "x,y,width,height,class,tumour,\"stroma, loose\"");
        assert_eq!(lines[1], "0,0,100,100,\"stroma, loose\",0.25000,0.75000");
        assert_eq!(lines.len(), 2);
        assert_eq!(csv_field("=1+1"), "\"'=1+1\"");
    }
}
