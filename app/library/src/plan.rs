//! What is to be embedded of a slide or picture: the whole picture, or tiles with tissue, and what was marked on it.
//!
//! Each piece has a key that says all that its vector depends on but the pixels, so that another scale, another
//! class or a moved annotation is another piece, and nothing else is done twice. Held true by `indexing/tests.rs`.

use std::fmt::Write as _;

use eosin_core::SlideInfo;
use eosin_core::annotation::{Annotation, Shape};
use eosin_slide::Slide;
use sha2::{Digest as _, Sha256};

use crate::error::LibraryError;
use crate::item::{ItemKind, Place, Recipe};
use crate::stain::Stain;
use crate::tissue::TissueMask;

/// Changes with everything here or in the tissue mask that makes other pieces of the same slide.
const PLAN_VERSION: u32 = 1;
/// µm per pixel of a ten-fold objective, by which a scale is inferred where only the objective is stated.
const UM_PER_PX_OF_10X: f64 = 1.0;
/// Mask pixels along a tile.
const MASK_PX_PER_TILE: f64 = 12.0;
/// Sides of the mask's picture.
const MASK_SIDE_PX: [f64; 2] = [512.0, 3072.0];

/// Something to be read and embedded.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Piece {
    pub(crate) key: String,
    pub(crate) kind: ItemKind,
    pub(crate) place: Place,
    pub(crate) tags: Vec<String>,
}

/// All of a slide or picture.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct FilePlan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) stain: Stain,
    pub(crate) base_um_per_px: Option<f64>,
}

/// µm per base pixel: stated, or inferred from the objective.
pub(crate) fn base_um_per_px(info: &SlideInfo) -> Option<f64> {
    let inferred = || info.magnification.map(|power| 10.0 * UM_PER_PX_OF_10X / power);
    info.mpp.map(eosin_core::Mpp::um_per_px).or_else(inferred)
}

/// Names what a recipe makes of a file by a model, annotations included.
pub(crate) fn plan_hash(recipe: &Recipe, model_hash: &str, annotations: &[Annotation]) -> String {
    let mut hasher = Sha256::new();
    let recipe = serde_json::to_string(recipe).unwrap_or_default();
    let annotations = serde_json::to_string(annotations).unwrap_or_default();
    for piece in [&PLAN_VERSION.to_string(), &recipe, model_hash, &annotations] {
        hasher.update((piece.len() as u64).to_le_bytes());
        hasher.update(piece.as_bytes());
    }
    hasher.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Looks at a slide and says what is to be embedded of it.
pub(crate) fn plan(
    slide: &Slide,
    recipe: &Recipe,
    annotations: &[Annotation],
) -> Result<FilePlan, LibraryError> {
    let info = slide.info();
    let base_px = info.base_px();
    let base_um_per_px = base_um_per_px(info);
    let n_px = u64::from(base_px[0]) * u64::from(base_px[1]);
    let grid = TileGrid::new(base_px, base_um_per_px, recipe);
    let mut pieces = Vec::new();
    let thumbnail = slide.thumbnail(grid.mask_px(base_px))?;
    let stain = Stain::guess(&thumbnail);
    if info.levels.len() == 1 && n_px <= recipe.picture_px {
        let place = Place { origin_base_px: [0, 0], size_px: base_px, downsample: 1.0 };
        pieces.push(Piece { key: "picture".to_owned(), kind: ItemKind::Picture, place, tags: Vec::new() });
    } else {
        let mask = TissueMask::of(&thumbnail);
        for place in grid.places() {
            if grid.share_of(&mask, &place, base_px) >= recipe.tissue_share {
                let [x, y] = place.origin_base_px;
                let key = format!("tile {x},{y} {}", sides(&place));
                pieces.push(Piece { key, kind: ItemKind::Tile, place, tags: Vec::new() });
            }
        }
    }
    pieces.extend(annotations.iter().filter_map(|annotation| annotation_piece(annotation, base_px, &grid)));
    // One name for one thing: a file that repeats an annotation says it once.
    let mut seen = std::collections::HashSet::new();
    pieces.retain(|piece| seen.insert(piece.key.clone()));
    Ok(FilePlan { pieces, stain, base_um_per_px })
}

fn sides(place: &Place) -> String {
    let [width, height] = place.size_px;
    format!("{width}×{height} 1:{:.4}", place.downsample)
}

/// A square around what was marked, no smaller than a tile.
fn annotation_piece(annotation: &Annotation, base_px: [u32; 2], grid: &TileGrid) -> Option<Piece> {
    if !annotation.shape.is_sound() {
        return None;
    }
    let (origin, size) = annotation.shape.bounds();
    let inside = [0, 1].iter().all(|&k| origin[k] < f64::from(base_px[k]) && origin[k] + size[k] >= 0.0);
    if !inside {
        return None;
    }
    let tile_base_px = f64::from(grid.tile_px) * grid.downsample;
    let least =
        if matches!(annotation.shape, Shape::Point { .. }) { tile_base_px } else { tile_base_px / 2.0 };
    let side = size[0].max(size[1]).max(least);
    let downsample = (side / f64::from(grid.tile_px)).max(grid.downsample.min(1.0));
    let mut origin_base_px = [0; 2];
    let mut size_px = [0; 2];
    for k in 0..2 {
        let slide_px = f64::from(base_px[k]);
        let length = side.min(slide_px);
        let centre = origin[k] + size[k] / 2.0;
        origin_base_px[k] = (centre - length / 2.0).clamp(0.0, slide_px - length).floor() as u32;
        size_px[k] = ((length / downsample).floor() as u32).max(1);
    }
    let place = Place { origin_base_px, size_px, downsample };
    let class = annotation.class.as_ref().map(|class| class.name.clone());
    let [x, y] = origin_base_px;
    let name = class.as_deref().unwrap_or_default();
    let mut key = format!("annotation {} {x},{y} {} {name}", annotation.id.0, sides(&place));
    // Databases refuse some of them, and names come from files.
    key.retain(|letter| !letter.is_control());
    Some(Piece { key, kind: ItemKind::Annotation, place, tags: class.into_iter().collect() })
}

/// Tiles over a slide, in rows; the last of a row ends at the edge.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct TileGrid {
    /// Left edges in base pixels.
    pub(crate) columns: Vec<u32>,
    /// Top edges in base pixels.
    pub(crate) rows: Vec<u32>,
    /// Size of each tile as read.
    pub(crate) size_px: [u32; 2],
    /// Base pixels per pixel read.
    pub(crate) downsample: f64,
    tile_px: u32,
}

impl TileGrid {
    pub(crate) fn new(base_px: [u32; 2], base_um_per_px: Option<f64>, recipe: &Recipe) -> Self {
        let wanted = base_um_per_px.map_or(recipe.downsample, |base| recipe.um_per_px / base);
        // A slide that is coarser than asked is not enlarged: the model does that itself.
        let downsample = if wanted.is_finite() { wanted.max(1.0) } else { 1.0 };
        let tile_px = recipe.tile_px.max(16);
        let axis = |k: usize| {
            let available = ((f64::from(base_px[k]) / downsample).floor() as u32).max(1);
            let size_px = tile_px.min(available);
            let step = f64::from(size_px) * downsample;
            let last = f64::from(base_px[k]) - step;
            let n_whole = ((f64::from(base_px[k]) / step).floor() as u32).max(1);
            let mut origins: Vec<u32> =
                (0..n_whole).map(|idx| (f64::from(idx) * step).round() as u32).collect();
            let rest = f64::from(base_px[k]) - f64::from(n_whole) * step;
            if rest > step / 4.0 {
                origins.push(last.max(0.0).floor() as u32);
            }
            (origins, size_px)
        };
        let ((columns, width), (rows, height)) = (axis(0), axis(1));
        Self { columns, rows, size_px: [width, height], downsample, tile_px }
    }

    /// The tiles, row by row.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.rows.iter().flat_map(|y| self.columns.iter().map(|x| self.place([*x, *y])))
    }

    fn place(&self, origin_base_px: [u32; 2]) -> Place {
        Place { origin_base_px, size_px: self.size_px, downsample: self.downsample }
    }

    /// Longest side of the picture that a mask of these tiles is made from.
    pub(crate) fn mask_px(&self, base_px: [u32; 2]) -> u32 {
        let longest = f64::from(base_px[0].max(base_px[1]));
        let tile_base_px = f64::from(self.tile_px) * self.downsample;
        (longest / tile_base_px * MASK_PX_PER_TILE).clamp(MASK_SIDE_PX[0], MASK_SIDE_PX[1]) as u32
    }

    /// Share of tissue on a tile.
    pub(crate) fn share_of(&self, mask: &TissueMask, place: &Place, base_px: [u32; 2]) -> f32 {
        let share = |k: usize, length: f64| length / f64::from(base_px[k]);
        let origin = [0, 1].map(|k| share(k, f64::from(place.origin_base_px[k])));
        let size = [0, 1].map(|k| share(k, f64::from(self.size_px[k]) * self.downsample));
        mask.share_of(origin, size)
    }
}

#[cfg(test)]
mod tests {
    use eosin_core::annotation::{AnnotationClass, AnnotationId};

    use super::*;

    #[test]
    fn tiles_cover_a_slide_and_stay_on_it() {
        let check = |base_px: [u32; 2],
                     base: Option<f64>,
                     columns: &[u32],
                     rows: &[u32],
                     size_px: [u32; 2]| {
            let grid = TileGrid::new(base_px, base, &Recipe::default());
            assert_eq!((&*grid.columns, &*grid.rows, grid.size_px), (columns, rows, size_px), "{base_px:?}");
            for place in grid.places() {
                for (k, side) in base_px.into_iter().enumerate() {
                    let end =
                        f64::from(place.origin_base_px[k]) + f64::from(place.size_px[k]) * place.downsample;
                    assert!(end < f64::from(side) + place.downsample, "{place:?}");
                }
            }
        };
        check([896, 448], Some(0.25), &[0, 448], &[0], [224, 224]);
        check([1000, 700], Some(0.25), &[0, 448], &[0, 252], [224, 224]);
        check([1000, 700], None, &[0, 224, 448, 672, 776], &[0, 224, 448], [224, 224]);
        check([100, 300], Some(0.5), &[0], &[0, 76], [100, 224]);
        // Coarser than asked: read as it is.
        check([224, 224], Some(8.0), &[0], &[0], [224, 224]);
        check([1, 1], Some(0.25), &[0], &[0], [1, 1]);
    }

    #[test]
    fn a_mark_is_cut_out_with_its_surroundings() {
        let grid = TileGrid::new([10_000, 8_000], Some(0.25), &Recipe::default());
        let piece = |shape: Shape, class: Option<&str>| {
            let class = class.map(|name| AnnotationClass { name: name.to_owned(), color: [0; 3] });
            let (id, title, note) = (AnnotationId("a".into()), String::new(), String::new());
            let annotation = Annotation { id, shape, class, title, note, color: None };
            annotation_piece(&annotation, [10_000, 8_000], &grid)
        };
        let point = piece(Shape::Point { at: [5000.0, 10.0] }, Some("Tumor")).unwrap();
        assert_eq!((point.place.origin_base_px, point.place.size_px), ([4776, 0], [224, 224]));
        assert_eq!(point.tags, ["Tumor"]);
        let large = Shape::Rectangle { origin: [100.0, 100.0], size: [4480.0, 10.0] };
        let large = piece(large, None).unwrap();
        assert_eq!((large.place.size_px, large.place.downsample), ([224, 224], 20.0));
        assert!(piece(Shape::Point { at: [-5.0, 10.0] }, None).is_none());
        assert!(piece(Shape::Line { points: vec![] }, None).is_none());
        let everything = Shape::Rectangle { origin: [-50.0, -50.0], size: [20_000.0, 20_000.0] };
        let everything = piece(everything, None).unwrap();
        assert_eq!(everything.place.origin_base_px, [0, 0]);
    }

    #[test]
    fn another_recipe_model_or_mark_is_another_plan() {
        let recipe = Recipe::default();
        let hash = plan_hash(&recipe, "m", &[]);
        assert_eq!(hash, plan_hash(&recipe, "m", &[]));
        assert_ne!(hash, plan_hash(&recipe, "n", &[]));
        assert_ne!(hash, plan_hash(&Recipe { um_per_px: 1.0, ..recipe }, "m", &[]));
        let mark = Annotation {
            id: AnnotationId("a".into()),
            shape: Shape::Point { at: [1.0, 1.0] },
            class: None,
            title: String::new(),
            note: String::new(),
            color: None,
        };
        assert_ne!(hash, plan_hash(&recipe, "m", &[mark]));
    }
}
