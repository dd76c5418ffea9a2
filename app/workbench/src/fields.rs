//! Fields of a whole slide that are worth a look: tissue, far from one another.
//!
//! A model that is asked about a whole slide sees it small, and a few fields at the magnification of published
//! images. The fields are chosen by rule, not by a model: the densest first, then always the one farthest from
//! those chosen, weighed by its tissue. Held true by the tests below.

use eosin_core::RgbTile;
use eosin_library::TissueMask;
use eosin_slide::Slide;

use crate::error::WorkbenchError;
use crate::view::ViewRect;

/// Side of a field where the slide states its scale, µm: a field image at 20×.
const FIELD_UM: f64 = 448.0 * 0.5;
/// Side of a field where it does not, in base pixels.
const FIELD_PX: f64 = 896.0;
/// Longest side of the picture in which tissue is looked for.
const OVERVIEW_PX: u32 = 1024;
/// Share of tissue from which on a field is worth a look.
const LEAST_SHARE: f64 = 0.1;

/// At most `n_field` fields of a slide, best first.
///
/// # Errors
/// [`WorkbenchError::Slide`] where the overview cannot be read.
pub(crate) fn fields(slide: &Slide, n_field: usize) -> Result<Vec<ViewRect>, WorkbenchError> {
    let base_px = slide.info().base_px().map(f64::from);
    let side = slide.info().mpp.map_or(FIELD_PX, |mpp| FIELD_UM / mpp.um_per_px());
    let side = side.min(base_px[0]).min(base_px[1]).max(1.0);
    let overview = slide.thumbnail(OVERVIEW_PX)?;
    // A field of a huge slide may be less than a pixel of the overview: cells are two pixels at least.
    let scale = f64::from(overview.width_px()) / base_px[0];
    let cell_px = ((side * scale).round() as usize).max(2);
    let shares = shares(&overview, cell_px);
    let chosen = spread(&shares, n_field);
    Ok(chosen
        .into_iter()
        .map(|[column, row]| {
            let centre = [column, row].map(|cell| (cell as f64 + 0.5) * cell_px as f64 / scale);
            let origin = [0, 1].map(|k| (centre[k] - side / 2.0).clamp(0.0, base_px[k] - side));
            ViewRect { origin_base_px: origin, size_base_px: [side, side] }
        })
        .collect())
}

/// Tissue of a cell: its place and its share.
type Cell = ([usize; 2], f64);

/// The cells of an overview that hold tissue.
fn shares(overview: &RgbTile, cell_px: usize) -> Vec<Cell> {
    let mask = TissueMask::of(overview);
    let [width, height] = overview.size_px().map(|side| side as usize);
    let places = (0..(height / cell_px).max(1))
        .flat_map(|row| (0..(width / cell_px).max(1)).map(move |column| [column, row]));
    let share = |[column, row]: [usize; 2]| {
        let of = |cells: usize, side: usize| (cells * cell_px) as f64 / side as f64;
        f64::from(mask.share_of([of(column, width), of(row, height)], [of(1, width), of(1, height)]))
    };
    places.map(|place| (place, share(place))).filter(|(_, share)| *share >= LEAST_SHARE).collect()
}

/// At most `n` cells: the fullest, then always the one that is farthest from all chosen, weighed by its share.
fn spread(cells: &[Cell], n: usize) -> Vec<[usize; 2]> {
    let mut chosen: Vec<[usize; 2]> = Vec::new();
    while chosen.len() < n {
        let worth = |(place, share): &Cell| {
            let gap = |other: &[usize; 2]| {
                (0..2).map(|k| (place[k] as f64 - other[k] as f64).powi(2)).sum::<f64>().sqrt()
            };
            share * chosen.iter().map(gap).fold(f64::INFINITY, f64::min).min(1e6)
        };
        let Some(best) = cells.iter().max_by(|a, b| worth(a).total_cmp(&worth(b))) else { break };
        if worth(best) <= 0.0 {
            break;
        }
        chosen.push(best.0);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_tissue_and_lie_apart() {
        // Two pink blocks on white glass, 8 × 4 cells of 4 px.
        let [width, height] = [32_usize, 16];
        let mut pixels = vec![245_u8; width * height * 3];
        for y in 0..4 {
            for x in (0..8).chain(24..32) {
                pixels[(y * width + x) * 3..][..3].copy_from_slice(&[220, 130, 180]);
            }
        }
        let overview = RgbTile::new([32, 16], pixels).unwrap();
        let cells = shares(&overview, 4);
        assert_eq!(cells.iter().map(|cell| cell.0).collect::<Vec<_>>(), [[0, 0], [1, 0], [6, 0], [7, 0]]);
        let chosen = spread(&cells, 3);
        assert_eq!(chosen.len(), 3);
        assert!(chosen[0][0].abs_diff(chosen[1][0]) >= 6, "{chosen:?}");
        // No more than there are, none twice.
        assert_eq!(spread(&cells, 9).len(), 4);
        assert!(spread(&[], 3).is_empty());
    }
}
