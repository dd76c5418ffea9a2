//! Single cells and nuclei, drawn as a pathologist would sketch them.
//!
//! Sizes are those of a 20× field shown small: a lymphocyte is about nine pixels, a bizarre tumour
//! nucleus about twenty. What tells cells apart in life (lobes, granules, an eccentric nucleus) is drawn
//! plainly, since the model that learns from it sees 14-pixel patches.

use std::f32::consts::TAU;

use rand::Rng;

use super::Draw;
use super::canvas::{Blob, Canvas, Ink, cover, magnification, noise};
use super::truth::Localisation;

/// How a nucleus looks.
#[derive(Clone, Copy)]
pub(crate) struct Nucleus {
    pub(crate) blob: Blob,
    /// Nuclear dye.
    pub(crate) dye: f32,
    /// Depth of the chromatin pattern, 0..1.
    pub(crate) clumps: f32,
    /// Nucleoli.
    pub(crate) n_nucleolus: usize,
    /// Chromogen in the nucleus.
    pub(crate) label: f32,
    /// Enlarges the chromatin pattern.
    pub(crate) magnified: f32,
}

impl Nucleus {
    pub(crate) fn regular(angle: f32, scale: f32, rng: &mut Draw) -> Self {
        let radius_px = scale * rng.random_range(4.6..5.3);
        Self {
            blob: Blob { radii_px: [radius_px * 1.12, radius_px * 0.92], angle, dent: 0.0 },
            dye: rng.random_range(0.85..1.0),
            clumps: 0.25,
            n_nucleolus: 0,
            label: 0.0,
            magnified: magnification(scale),
        }
    }

    pub(crate) fn pleomorphic(angle: f32, scale: f32, rng: &mut Draw) -> Self {
        let radius_px = scale * rng.random_range(5.6..9.4);
        let stretch = rng.random_range(0.78..1.0);
        Self {
            blob: Blob {
                radii_px: [radius_px / stretch, radius_px * stretch],
                angle,
                dent: rng.random_range(-0.16..0.16),
            },
            dye: rng.random_range(0.65..1.25),
            clumps: 0.75,
            n_nucleolus: rng.random_range(1..3),
            label: 0.0,
            magnified: magnification(scale),
        }
    }

    pub(crate) fn paint(&self, canvas: &mut Canvas, centre: [f32; 2], rng: &mut Draw) {
        let salt: u32 = rng.random();
        let blob = self.blob;
        let fine = 0.45 / self.magnified;
        let base = if self.label > 0.0 { self.dye * 0.45 } else { self.dye };
        canvas.paint(centre, blob.reach_px(), |x, y| {
            let (distance_px, share) = blob.measure(x, y);
            let grain = noise(x * fine, y * fine, salt) - 0.5;
            let rim = if share > 0.72 { 0.22 } else { 0.0 };
            let dye = base * (1.0 + self.clumps * (grain + rim));
            (cover(distance_px, 1.4), [dye, 0.12, self.label * (1.0 + 0.25 * grain)])
        });
        for _ in 0..self.n_nucleolus {
            let turn = rng.random_range(0.0..TAU);
            let out = rng.random_range(0.0..0.45) * blob.radii_px[0].min(blob.radii_px[1]);
            let place = [centre[0] + out * turn.cos(), centre[1] + out * turn.sin()];
            dot(canvas, place, self.magnified * rng.random_range(1.3..2.0), [base * 1.7, 0.5, self.label]);
        }
    }
}

/// A plain round spot.
pub(crate) fn dot(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, ink: Ink) {
    let blob = Blob::round(radius_px);
    canvas.paint(centre, blob.reach_px(), |x, y| (cover(blob.measure(x, y).0, 1.2), ink));
}

/// A thin nucleus lying along a fibre.
pub(crate) fn spindle(canvas: &mut Canvas, centre: [f32; 2], angle: f32, scale: f32, rng: &mut Draw) {
    let radii_px = [scale * rng.random_range(7.0..10.0), scale * rng.random_range(1.6..2.1)];
    let nucleus = Nucleus {
        blob: Blob { radii_px, angle, dent: 0.0 },
        dye: rng.random_range(0.75..0.95),
        clumps: 0.2,
        n_nucleolus: 0,
        label: 0.0,
        magnified: magnification(scale),
    };
    nucleus.paint(canvas, centre, rng);
}

/// Small, round, dark, hardly any cytoplasm.
pub(crate) fn lymphocyte(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let radius_px = scale * rng.random_range(4.3..5.0);
    dot(canvas, centre, radius_px + 1.2, [0.10, 0.22, 0.0]);
    let nucleus = Nucleus {
        blob: Blob::round(radius_px),
        dye: rng.random_range(1.35..1.6),
        clumps: 0.12,
        n_nucleolus: 0,
        label: 0.0,
        magnified: magnification(scale),
    };
    nucleus.paint(canvas, centre, rng);
}

/// An oval violet cell whose clock-face nucleus lies at one end, beside a pale hof.
pub(crate) fn plasma_cell(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let angle = rng.random_range(0.0..TAU);
    let [long_px, short_px] = [scale * rng.random_range(9.2..10.4), scale * rng.random_range(6.2..6.9)];
    let (sin, cos) = angle.sin_cos();
    let body = Blob { radii_px: [long_px, short_px], angle, dent: 0.0 };
    canvas.paint(centre, body.reach_px(), |x, y| (cover(body.measure(x, y).0, 1.4), [0.42, 0.62, 0.0]));
    dot(canvas, [centre[0] - 0.5 * cos, centre[1] - 0.5 * sin], scale * 3.0, [0.10, 0.30, 0.0]);
    let nucleus_at = [centre[0] - 0.46 * long_px * cos, centre[1] - 0.46 * long_px * sin];
    let radius_px = scale * 4.2;
    dot(canvas, nucleus_at, radius_px, [0.85, 0.15, 0.0]);
    let first = rng.random_range(0.0..TAU);
    for hour in 0..5 {
        let turn = first + TAU * hour as f32 / 5.0;
        let place =
            [nucleus_at[0] + 0.66 * radius_px * turn.cos(), nucleus_at[1] + 0.66 * radius_px * turn.sin()];
        dot(canvas, place, scale * 1.25, [1.75, 0.1, 0.0]);
    }
}

/// A pale cell with a nucleus of three to four dark lobes.
pub(crate) fn neutrophil(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let radius_px = scale * rng.random_range(6.8..7.6);
    let fine = 1.1 / magnification(scale);
    let salt: u32 = rng.random();
    let body = Blob::round(radius_px);
    canvas.paint(centre, body.reach_px(), |x, y| {
        let granule = if noise(x * fine, y * fine, salt) > 0.74 { 0.28 } else { 0.06 };
        (cover(body.measure(x, y).0, 1.4), [0.02, granule, 0.0])
    });
    let n_lobe = rng.random_range(3..5);
    let first = rng.random_range(0.0..TAU);
    let ring_px = 0.46 * radius_px;
    for lobe in 0..n_lobe {
        let turn = first + lobe as f32 * 1.35;
        let place = [centre[0] + ring_px * turn.cos(), centre[1] + ring_px * turn.sin()];
        dot(canvas, place, scale * rng.random_range(2.0..2.4), [1.65, 0.1, 0.0]);
    }
}

/// A cell full of coarse orange-red granules with a nucleus of two lobes.
pub(crate) fn eosinophil(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let radius_px = scale * rng.random_range(6.9..7.7);
    let fine = 0.9 / magnification(scale);
    let salt: u32 = rng.random();
    let body = Blob::round(radius_px);
    canvas.paint(centre, body.reach_px(), |x, y| {
        let granule = if noise(x * fine, y * fine, salt) > 0.5 { 1.75 } else { 1.15 };
        (cover(body.measure(x, y).0, 1.4), [0.0, granule, 0.0])
    });
    let turn = rng.random_range(0.0..TAU);
    let apart_px = 0.40 * radius_px;
    for side in [-1.0, 1.0] {
        let place = [centre[0] + side * apart_px * turn.cos(), centre[1] + side * apart_px * turn.sin()];
        dot(canvas, place, scale * rng.random_range(2.5..2.9), [1.4, 0.1, 0.0]);
    }
}

/// A cleared cell with condensed chromosomes: a plate, two parting plates, or a ragged clump.
pub(crate) fn mitosis(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let body = Blob { dent: 0.04, ..Blob::round(scale * rng.random_range(11.0..12.5)) };
    canvas.paint(centre, body.reach_px(), |x, y| (cover(body.measure(x, y).0, 2.0), [0.03, 0.10, 0.0]));
    let magnified = magnification(scale);
    let fine = 0.8 / magnified;
    let angle = rng.random_range(0.0..TAU);
    let (sin, cos) = angle.sin_cos();
    let plates: &[f32] = match rng.random_range(0..3) {
        0 => &[0.0],
        1 => &[-3.6, 3.6],
        _ => &[-1.4, 0.3, 1.6],
    };
    for &shift in plates {
        let at = [centre[0] - shift * scale * sin, centre[1] + shift * scale * cos];
        let turn = if plates.len() == 3 { angle + shift } else { angle };
        let plate = Blob {
            radii_px: [scale * rng.random_range(6.2..7.4), scale * rng.random_range(1.9..2.4)],
            angle: turn,
            dent: 0.05,
        };
        let salt: u32 = rng.random();
        canvas.paint(at, plate.reach_px() + 1.5 * magnified, |x, y| {
            let ragged = (noise(x * fine, y * fine, salt) - 0.5) * 2.2 * magnified;
            (cover(plate.measure(x, y).0 + ragged, 1.0), [2.3, 0.1, 0.0])
        });
    }
}

/// A shrunken, dark, shapeless remnant, sometimes broken to dust.
pub(crate) fn pyknosis(canvas: &mut Canvas, centre: [f32; 2], scale: f32, rng: &mut Draw) {
    let n_piece = rng.random_range(1..4);
    for _ in 0..n_piece {
        let place = centre.map(|at| at + scale * rng.random_range(-3.5..3.5));
        dot(canvas, place, scale * rng.random_range(1.2..2.5), [1.35, 0.5, 0.0]);
    }
}

/// Where the label of one cell goes.
#[derive(Clone, Copy)]
pub(crate) struct CellLabel {
    pub(crate) localisation: Localisation,
    /// Chromogen of a stained cell; 0 for one that is not.
    pub(crate) dye: f32,
}

impl CellLabel {
    pub(crate) const UNLABELLED: Self = Self { localisation: Localisation::Negative, dye: 0.0 };

    /// Chromogen if the label sits at `place`, else none.
    pub(crate) fn at(self, place: Localisation) -> f32 {
        if self.localisation == place { self.dye } else { 0.0 }
    }
}
