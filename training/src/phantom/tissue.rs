//! Tissues: fibrous stroma, glands, solid sheets, necrosis, infiltrates.
//!
//! Every function paints a whole canvas and notes each countable thing as a [`Mark`]; mixtures are two
//! canvases laid over one another (`scene.rs`), and so is a slide of many regions (`slide.rs`).

use std::f32::consts::TAU;

use rand::Rng;

use super::Draw;
use super::canvas::{Blob, Canvas, Ink, cover, lattice, magnification, noise};
use super::cells::{self, CellLabel, Nucleus};
use super::truth::{Infiltrate, Localisation, Mark, MarkKind, Marker, Nuclei, Stain};

/// A canvas, what was drawn on it, and how.
pub(crate) struct Painter {
    pub(crate) canvas: Canvas,
    pub(crate) marks: Vec<Mark>,
    pub(crate) stain: Stain,
    /// Enlarges every cell.
    pub(crate) scale: f32,
    /// Direction of the fibres.
    pub(crate) grain: f32,
}

impl Painter {
    pub(crate) fn new(size_px: [usize; 2], stain: Stain, scale: f32, rng: &mut Draw) -> Self {
        let grain = rng.random_range(0.0..TAU);
        Self { canvas: Canvas::new(size_px), marks: Vec::new(), stain, scale, grain }
    }

    fn mark(&mut self, kind: MarkKind, centre_px: [f32; 2], radius_px: f32) {
        let inside = [0, 1]
            .into_iter()
            .all(|axis| (0.0..self.canvas.size_px()[axis] as f32).contains(&centre_px[axis]));
        if inside {
            self.marks.push(Mark { kind, centre_px, radius_px });
        }
    }

    /// Area in pixels of a picture that is not magnified.
    fn area_px(&self) -> f32 {
        let [width, height] = self.canvas.size_px();
        (width * height) as f32 / (self.magnified() * self.magnified())
    }

    pub(crate) fn magnified(&self) -> f32 {
        magnification(self.scale)
    }

    /// Wavy eosinophilic bundles with pale clefts; `n_spindle` nuclei per 10⁴ px² lie along them.
    pub(crate) fn stroma(&mut self, n_spindle: f32, rng: &mut Draw) {
        let (sin, cos) = self.grain.sin_cos();
        let [salt, warp_salt, cleft_salt]: [u32; 3] = rng.random();
        let stain = self.stain;
        let scale = self.scale;
        let warp = move |x: f32, y: f32| 16.0 * (noise(x / 46.0, y / 46.0, warp_salt) - 0.5);
        self.canvas.fill(|x, y| {
            let [u, v] = [(x * cos + y * sin) / scale, (y * cos - x * sin) / scale];
            let v = v + warp(u, v);
            let fibre = noise(u * 0.035, v * 0.24, salt);
            let cleft = noise(u * 0.022, v * 0.13, cleft_salt);
            let open = ((cleft - 0.70) * 9.0).clamp(0.0, 0.85);
            fibre_ink(stain, (0.22 + 0.62 * fibre) * (1.0 - open))
        });
        let n_nucleus = (self.area_px() / 1e4 * n_spindle).round() as usize;
        for centre in scatter(self.canvas.size_px(), n_nucleus, 15.0 * scale, rng) {
            let angle = self.grain + rng.random_range(-0.25..0.25);
            cells::spindle(&mut self.canvas, centre, angle, scale, rng);
            self.mark(MarkKind::SpindleNucleus, centre, 8.0 * scale);
        }
    }

    /// Glands of about `radius_px` at the given places over whatever is there.
    pub(crate) fn glands(
        &mut self,
        places: &[[f32; 2]],
        radius_px: f32,
        nuclei: Nuclei,
        marker: Option<&Marker>,
        rng: &mut Draw,
    ) {
        let labels = LabelDice::of(marker);
        for &centre in places {
            let stretch: f32 = rng.random_range(0.84..1.0);
            let reach = radius_px * rng.random_range(0.92..1.05);
            let outline = Blob {
                radii_px: [reach / stretch.sqrt(), reach * stretch],
                angle: rng.random_range(0.0..TAU),
                dent: if nuclei == Nuclei::Pleomorphic { rng.random_range(-0.14..0.14) } else { 0.03 },
            };
            self.gland(centre, &outline, nuclei, labels, rng);
            self.mark(MarkKind::Gland, centre, reach);
        }
    }

    fn gland(&mut self, centre: [f32; 2], outline: &Blob, nuclei: Nuclei, labels: LabelDice, rng: &mut Draw) {
        let regular = nuclei == Nuclei::Regular;
        // The smallest glands have smaller cells, else nothing would be left of their lumen.
        let shrink = if regular { 1.0 } else { (outline.radii_px[0] / (42.0 * self.scale)).clamp(0.72, 1.0) };
        let wall_px = self.scale * shrink * if regular { 15.0 } else { 18.0 };
        let stain = self.stain;
        let salt: u32 = rng.random();
        let wash = labels.wash(rng);
        let magnified = self.magnified();
        let fine = 0.25 / magnified;
        self.canvas.paint(centre, outline.reach_px() + 4.0 * magnified, |x, y| {
            let (distance_px, _) = outline.measure(x, y);
            let ragged = magnified * if regular { 1.5 } else { 4.0 };
            let depth = -distance_px + ragged * (noise(x * fine, y * fine, salt) - 0.5);
            if depth > wall_px {
                return (1.0, lumen_ink(stain, (depth - wall_px) / magnified));
            }
            (cover(distance_px - 1.0, 1.5), wall_ink(stain, depth / magnified, wall_px / magnified, wash))
        });
        // Nuclei sit at the base, away from the lumen; malignant ones pile up.
        let spacing_px = self.scale * shrink * if regular { 11.0 } else { 13.5 };
        let mean_px = (outline.radii_px[0] + outline.radii_px[1]) * 0.5;
        let n_nucleus = (TAU * (mean_px - 0.4 * wall_px) / spacing_px).round().max(5.0) as usize;
        for idx in 0..n_nucleus {
            let wobble = if regular { 0.06 } else { 0.25 };
            let turn = TAU * (idx as f32 + rng.random_range(-wobble..wobble)) / n_nucleus as f32;
            let rim = outline.edge(turn);
            let length = rim[0].hypot(rim[1]).max(1.0);
            let depth_px = self.scale * shrink * if regular { 5.8 } else { rng.random_range(6.0..10.5) };
            let inward = 1.0 - depth_px / length;
            let place = [centre[0] + rim[0] * inward, centre[1] + rim[1] * inward];
            let radial = rim[1].atan2(rim[0]);
            let label = labels.roll(rng);
            if label.at(Localisation::Membranous) > 0.0 {
                self.cell_border(place, 6.8 * self.scale, label.dye);
            }
            let mut nucleus = if regular {
                Nucleus::regular(radial, self.scale, rng)
            } else {
                let turn = radial + rng.random_range(-0.6..0.6);
                let mut nucleus = Nucleus::pleomorphic(turn, self.scale * shrink * 0.88, rng);
                nucleus.dye *= 1.1;
                nucleus
            };
            nucleus.label = label.at(Localisation::Nuclear);
            nucleus.paint(&mut self.canvas, place, rng);
            self.mark(MarkKind::EpithelialNucleus, place, nucleus.blob.radii_px[0]);
        }
    }

    fn cell_border(&mut self, centre: [f32; 2], radius_px: f32, dye: f32) {
        let ring = Blob::round(radius_px);
        let half_px = 1.2 * self.magnified();
        self.canvas.paint(centre, radius_px + half_px + 1.8, |x, y| {
            let distance_px = ring.measure(x, y).0.abs();
            (cover(distance_px - half_px, 1.2), [0.1, 0.1, dye])
        });
    }

    /// A cohesive sheet of large cells; returns the centres of its cells.
    pub(crate) fn sheet(&mut self, nuclei: Nuclei, marker: Option<&Marker>, rng: &mut Draw) -> Vec<[f32; 2]> {
        let spacing_px = self.scale * if nuclei == Nuclei::Pleomorphic { 20.5 } else { 16.5 };
        let salt: u32 = rng.random();
        let labels = LabelDice::of(marker);
        let [width, height] = self.canvas.size_px();
        let [columns, rows] = [width, height].map(|side| (side as f32 / spacing_px) as usize + 3);
        let mosaic = Mosaic { spacing_px, salt, columns };
        let cell_labels: Vec<CellLabel> = (0..columns * rows).map(|_| labels.roll(rng)).collect();
        let wash = labels.wash(rng);
        let stain = self.stain;
        let magnified = self.magnified();
        let fine = 0.3 / magnified;
        self.canvas.fill(|x, y| {
            let (cell_idx, border_px) = mosaic.nearest(x, y);
            let label = cell_labels.get(cell_idx).copied().unwrap_or(CellLabel::UNLABELLED);
            let grain = noise(x * fine, y * fine, salt) - 0.5;
            let mut ink = cytoplasm_ink(stain, grain, wash);
            let on_border = cover(border_px - 1.3 * magnified, 1.5);
            ink[2] += label.at(Localisation::Cytoplasmic) * (1.0 + 0.3 * grain) * (1.0 - on_border * 0.4);
            if label.at(Localisation::Membranous) > 0.0 {
                ink[2] += label.dye * cover(border_px - 2.4 * magnified, 1.6);
            } else {
                ink[1] *= 1.0 - 0.45 * on_border;
            }
            ink
        });
        let mut centres = Vec::new();
        for row in 0..rows {
            for column in 0..columns {
                let centre = mosaic.centre(column as i32 - 1, row as i32 - 1);
                let mut nucleus = match nuclei {
                    Nuclei::Pleomorphic => Nucleus::pleomorphic(rng.random_range(0.0..TAU), self.scale, rng),
                    _ => Nucleus::regular(rng.random_range(0.0..TAU), self.scale, rng),
                };
                nucleus.label = cell_labels[row * columns + column].at(Localisation::Nuclear);
                if marker.is_some() {
                    nucleus.dye *= 0.8;
                }
                nucleus.paint(&mut self.canvas, centre, rng);
                self.mark(MarkKind::EpithelialNucleus, centre, nucleus.blob.radii_px[0]);
                centres.push(centre);
            }
        }
        centres
    }

    /// Puts dividing cells in the place of others.
    pub(crate) fn mitoses(&mut self, places: &[[f32; 2]], rng: &mut Draw) {
        for &centre in places {
            cells::mitosis(&mut self.canvas, centre, self.scale, rng);
            self.mark(MarkKind::Mitosis, centre, 11.0 * self.scale);
        }
    }

    /// Smudged pink granular debris with ghosts of cells and dust of nuclei.
    pub(crate) fn necrosis(&mut self, rng: &mut Draw) {
        let [salt, coarse_salt]: [u32; 2] = rng.random();
        let stain = self.stain;
        let scale = self.scale;
        let magnified = self.magnified();
        self.canvas.fill(|x, y| {
            // Seen closely, grains of square noise would line up; they are shifted against one another.
            let shift = |a: f32, b: f32| {
                if magnified > 1.0 { 14.0 * noise(a / 9.0, b / 9.0, coarse_salt) } else { 0.0 }
            };
            let [x, y] = [x + shift(x, y), y + shift(y, x)];
            let fine = noise(x * 0.55 / scale, y * 0.55 / scale, salt);
            let coarse = noise(x * 0.06 / scale, y * 0.06 / scale, coarse_salt);
            let amount = 0.30 + 0.55 * fine * fine + 0.35 * coarse;
            let mut ink = fibre_ink(stain, amount);
            if stain == Stain::Trichrome {
                ink = [0.05, amount * 0.9, 0.0];
            }
            ink[0] += 0.10 * coarse;
            ink
        });
        let size_px = self.canvas.size_px();
        let n_ghost = (self.area_px() / 1e4 * 7.0) as usize;
        for centre in scatter(size_px, n_ghost, 16.0 * scale, rng) {
            let ghost = Blob { dent: 0.08, ..Blob::round(scale * rng.random_range(6.5..8.5)) };
            self.canvas.paint(centre, ghost.reach_px() + magnified, |x, y| {
                let edge_px = ghost.measure(x, y).0.abs();
                (0.55 * cover(edge_px - 0.8 * magnified, 1.4), [0.18, 0.95, 0.0])
            });
        }
        let n_dust = (self.area_px() / 1e4 * 9.0) as usize;
        for centre in scatter(size_px, n_dust, 9.0 * scale, rng) {
            cells::pyknosis(&mut self.canvas, centre, scale, rng);
            self.mark(MarkKind::PyknoticNucleus, centre, 3.0 * scale);
        }
    }

    /// Inflammatory cells of one leading kind, `density` per 10⁴ px², off the `avoid` discs.
    pub(crate) fn infiltrate(
        &mut self,
        kind: Infiltrate,
        density: f32,
        avoid: &[([f32; 2], f32)],
        rng: &mut Draw,
    ) {
        let n_cell = (self.area_px() / 1e4 * density).round() as usize;
        let apart_px = self.scale * if kind == Infiltrate::Lymphocytes { 10.0 } else { 15.0 };
        for centre in scatter(self.canvas.size_px(), n_cell, apart_px, rng) {
            let hits = |(place, reach_px): &([f32; 2], f32)| {
                (place[0] - centre[0]).hypot(place[1] - centre[1]) < reach_px + 6.0 * self.scale
            };
            if avoid.iter().any(hits) {
                continue;
            }
            let scale = self.scale;
            let (kind, brush): (_, CellBrush) = match kind {
                Infiltrate::None => continue,
                Infiltrate::Lymphocytes => (MarkKind::Lymphocyte, cells::lymphocyte),
                Infiltrate::PlasmaCells => (MarkKind::PlasmaCell, cells::plasma_cell),
                Infiltrate::Neutrophils => (MarkKind::Neutrophil, cells::neutrophil),
                Infiltrate::Eosinophils => (MarkKind::Eosinophil, cells::eosinophil),
            };
            brush(&mut self.canvas, centre, scale, rng);
            self.mark(kind, centre, 7.0 * scale);
        }
    }
}

/// Paints one cell at a place, enlarged.
type CellBrush = fn(&mut Canvas, [f32; 2], f32, &mut Draw);

/// Decides cell by cell whether it is labelled.
#[derive(Clone, Copy)]
struct LabelDice {
    localisation: Localisation,
    dye: f32,
    positive_fraction: f32,
    is_stained: bool,
}

impl LabelDice {
    fn of(marker: Option<&Marker>) -> Self {
        let (localisation, grade, positive_fraction) = marker
            .map_or((Localisation::Negative, 0, 0.0), |marker| {
                (marker.localisation, marker.grade, marker.positive_fraction)
            });
        // Steps are wider than the spread of a laboratory, so that neighbouring grades do not meet.
        let dye = [0.0, 0.30, 0.75, 1.60][usize::from(grade.min(3))];
        Self { localisation, dye, positive_fraction, is_stained: marker.is_some() }
    }

    fn roll(&self, rng: &mut Draw) -> CellLabel {
        // Both numbers are drawn always, so that a fraction changes which cells are brown and nothing else.
        let [chance, spread]: [f32; 2] = rng.random();
        let dye = if chance < self.positive_fraction { self.dye * (0.92 + 0.16 * spread) } else { 0.0 };
        CellLabel { localisation: self.localisation, dye }
    }

    /// Background wash of the reagent; none without immunohistochemistry.
    fn wash(&self, rng: &mut Draw) -> f32 {
        let wash = rng.random_range(0.0..0.03);
        if self.is_stained { wash } else { 0.0 }
    }
}

/// Cells that tile the plane: a jittered lattice and its nearest centres.
struct Mosaic {
    spacing_px: f32,
    salt: u32,
    columns: usize,
}

impl Mosaic {
    fn centre(&self, column: i32, row: i32) -> [f32; 2] {
        let jitter = |salt: u32| 0.44 * (lattice(column, row, self.salt ^ salt) - 0.5);
        let shift = if row.rem_euclid(2) == 0 { 0.25 } else { -0.25 };
        [
            (column as f32 + 0.5 + shift + jitter(0x1111)) * self.spacing_px,
            (row as f32 + 0.5 + jitter(0x2222)) * self.spacing_px,
        ]
    }

    /// The index of the cell at a place (of a lattice that starts at −1, −1) and the distance to its border.
    fn nearest(&self, x: f32, y: f32) -> (usize, f32) {
        let [column, row] = [x, y].map(|at| (at / self.spacing_px).floor() as i32);
        let (mut best, mut second, mut best_at) = (f32::MAX, f32::MAX, (0, 0));
        for row in row - 1..=row + 1 {
            for column in column - 1..=column + 1 {
                let centre = self.centre(column, row);
                let distance = (centre[0] - x).hypot(centre[1] - y);
                if distance < best {
                    second = best;
                    best = distance;
                    best_at = (column, row);
                } else if distance < second {
                    second = distance;
                }
            }
        }
        let [column, row] = [best_at.0 + 1, best_at.1 + 1].map(|at| at.max(0) as usize);
        (row * self.columns + column.min(self.columns - 1), (second - best) * 0.5)
    }
}

/// Up to `n_place` places at least `apart_px` from one another.
pub(crate) fn scatter(size_px: [usize; 2], n_place: usize, apart_px: f32, rng: &mut Draw) -> Vec<[f32; 2]> {
    scatter_within(size_px, n_place, apart_px, 0.0, rng)
}

/// The same, `margin_px` off the frame.
pub(crate) fn scatter_within(
    size_px: [usize; 2],
    n_place: usize,
    apart_px: f32,
    margin_px: f32,
    rng: &mut Draw,
) -> Vec<[f32; 2]> {
    // A grid of occupied cells keeps a large slide from costing the square of its cells.
    let columns = (size_px[0] as f32 / apart_px) as usize + 1;
    let rows = (size_px[1] as f32 / apart_px) as usize + 1;
    let mut grid: Vec<Option<[f32; 2]>> = vec![None; columns * rows];
    let mut places = Vec::with_capacity(n_place);
    for _ in 0..n_place * 8 {
        if places.len() == n_place {
            break;
        }
        let place = size_px.map(|side| {
            let margin_px = margin_px.min(side as f32 * 0.45);
            rng.random_range(margin_px..side as f32 - margin_px)
        });
        let [column, row] = place.map(|at| (at / apart_px) as usize);
        let crowded = (row.saturating_sub(1)..=(row + 1).min(rows - 1)).any(|row| {
            (column.saturating_sub(1)..=(column + 1).min(columns - 1)).any(|column| {
                grid[row * columns + column]
                    .is_some_and(|other| (other[0] - place[0]).hypot(other[1] - place[1]) < apart_px)
            })
        });
        if !crowded {
            grid[row * columns + column] = Some(place);
            places.push(place);
        }
    }
    places
}

fn fibre_ink(stain: Stain, amount: f32) -> Ink {
    match stain {
        Stain::He => [0.04, amount, 0.0],
        Stain::Dab => [0.04, amount * 1.5, 0.0],
        Stain::Pas => [0.03, amount * 1.1, 0.10 * amount],
        Stain::Trichrome => [0.02, 0.05, amount * 1.25],
    }
}

fn lumen_ink(stain: Stain, depth_px: f32) -> Ink {
    // The brush border: a thin line where the wall ends; PAS makes it magenta.
    let border = cover(depth_px - 2.2, 1.5);
    match stain {
        Stain::Pas => [0.0, 0.0, 1.1 * border],
        _ => [0.0, 0.30 * border, 0.0],
    }
}

fn wall_ink(stain: Stain, depth_px: f32, wall_px: f32, wash: f32) -> Ink {
    let apical = (depth_px / wall_px).clamp(0.0, 1.0);
    match stain {
        Stain::He => [0.12, 0.42 + 0.10 * apical, 0.0],
        Stain::Dab => [0.06, 0.25, wash],
        Stain::Pas => [0.08, 0.35, if depth_px < 2.0 { 0.9 } else { 0.30 * apical }],
        Stain::Trichrome => [0.10, 0.62, 0.0],
    }
}

fn cytoplasm_ink(stain: Stain, grain: f32, wash: f32) -> Ink {
    match stain {
        Stain::He => [0.16, 0.42 + 0.12 * grain, 0.0],
        Stain::Dab => [0.07, 0.30 + 0.1 * grain, wash],
        Stain::Pas => [0.10, 0.45 + 0.1 * grain, 0.22 + 0.25 * grain],
        Stain::Trichrome => [0.10, 0.60 + 0.15 * grain, 0.0],
    }
}
