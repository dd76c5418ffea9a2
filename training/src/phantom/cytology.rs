//! Smears: single cells, transparent, on clear glass.
//!
//! Cells are told apart by the share that the nucleus takes, by halos, nucleoli and vacuoles; the tint of the
//! cytoplasm is drawn anew for every picture whatever the cells are. Held true by the tests of `phantom.rs`.

use std::f32::consts::TAU;

use rand::Rng;

use super::Draw;
use super::canvas::{Blob, Canvas, Ink, cover, noise};
use super::cells;
use super::scene::choose;
use super::tissue::scatter;
use super::truth::{Arrangement, Background, CytologyFacts, Mark, MarkKind, SmearCells, SmearDye, Tier};

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CytologyPlan {
    tier: Tier,
    facts: CytologyFacts,
}

impl CytologyPlan {
    pub(crate) fn draw(tier: Tier, rng: &mut Draw) -> Self {
        let cells = choose(
            &[
                SmearCells::Squamous,
                SmearCells::Squamous,
                SmearCells::Koilocytes,
                SmearCells::HighGrade,
                SmearCells::Glandular,
            ],
            rng,
        );
        let arrangement = choose(&[Arrangement::Single, Arrangement::Sheet, Arrangement::Cluster], rng);
        let background = match cells {
            // Half of the normal smears are inflamed, none has debris of a tumour.
            SmearCells::Squamous => choose(
                &[Background::Inflammatory, Background::Inflammatory, Background::Clean, Background::Bloody],
                rng,
            ),
            _ => choose(
                &[Background::Clean, Background::Inflammatory, Background::Bloody, Background::Necrotic],
                rng,
            ),
        };
        let dye = choose(&[SmearDye::Papanicolaou, SmearDye::Giemsa], rng);
        Self { tier, facts: CytologyFacts { cells, arrangement, background, dye } }
    }

    pub(crate) fn facts(&self) -> CytologyFacts {
        self.facts
    }

    pub(crate) fn paint(&self, size_px: [usize; 2], scale: f32, rng: &mut Draw) -> (Canvas, Vec<Mark>) {
        let mut canvas = Canvas::new(size_px);
        let mut marks = Vec::new();
        let salt: u32 = rng.random();
        let veil = rng.random_range(0.0..0.10);
        canvas.fill(|x, y| {
            let mucus = veil * noise(x / 40.0, y / 40.0, salt);
            [0.0, 0.02 + mucus, 0.02 + mucus * 0.5]
        });
        let area = (size_px[0] * size_px[1]) as f32 / (168.0 * 168.0 * scale * scale);
        self.background(&mut canvas, area, scale, &mut marks, rng);
        let body_px = scale
            * match self.facts.cells {
                SmearCells::Squamous => rng.random_range(22.0..27.0),
                SmearCells::Koilocytes => rng.random_range(21.0..26.0),
                SmearCells::HighGrade => rng.random_range(10.0..12.0),
                SmearCells::Glandular => rng.random_range(12.5..15.0),
            };
        let is_large = body_px > 18.0 * scale;
        let n_cell = area
            * match (self.facts.arrangement, is_large) {
                (Arrangement::Single, true) => rng.random_range(4.0..7.0),
                (Arrangement::Single, false) => rng.random_range(10.0..20.0),
                (_, true) => rng.random_range(6.0..10.0),
                (_, false) => rng.random_range(14.0..30.0),
            };
        let n_cell = n_cell.round().max(1.0) as usize;
        let places = places(self.facts.arrangement, size_px, n_cell, body_px, rng);
        // Mixed in: normal cells among abnormal ones at the harder tiers.
        let odd = [0.0, 0.12, 0.25][self.tier as usize];
        let tint: f32 = rng.random();
        let depth = rng.random_range(0.22..0.55);
        let dark = rng.random_range(0.8..1.15);
        for centre in places {
            let lone = self.facts.arrangement == Arrangement::Single;
            let kind = if lone && rng.random_bool(odd) { SmearCells::Squamous } else { self.facts.cells };
            let body_px =
                if kind == self.facts.cells { body_px * rng.random_range(0.88..1.1) } else { 23.0 * scale };
            // Either dye of the cytoplasm, or a mixture.
            let lean = (tint + rng.random_range(-0.25..0.25)).clamp(0.0, 1.0);
            let ink = [0.04, depth * lean, depth * (1.0 - lean)];
            SmearCell { kind, body_px, ink, dark, scale }.paint(&mut canvas, centre, rng);
            if (0..2).all(|axis| (0.0..size_px[axis] as f32).contains(&centre[axis])) {
                marks.push(Mark { kind: MarkKind::SmearCell, centre_px: centre, radius_px: body_px });
            }
        }
        (canvas, marks)
    }

    fn background(&self, canvas: &mut Canvas, area: f32, scale: f32, marks: &mut Vec<Mark>, rng: &mut Draw) {
        let size_px = canvas.size_px();
        // A little of the others does not make a background.
        let stray = [0.0, 2.0, 4.0][self.tier as usize];
        let wanted = |kind, many: f32| area * if self.facts.background == kind { many } else { stray };
        let n_red = wanted(Background::Bloody, rng.random_range(30.0..60.0)) as usize;
        for centre in scatter(size_px, n_red, 8.0 * scale, rng) {
            let disc = Blob::round(scale * rng.random_range(5.0..5.8));
            canvas.paint(centre, disc.reach_px(), |x, y| {
                let (distance_px, share) = disc.measure(x, y);
                (cover(distance_px, 1.3), [0.02, 0.05, 0.25 + 0.40 * share * share])
            });
            marks.push(Mark { kind: MarkKind::RedCell, centre_px: centre, radius_px: 5.4 * scale });
        }
        let n_white = wanted(Background::Inflammatory, rng.random_range(18.0..34.0)) as usize;
        for centre in scatter(size_px, n_white, 12.0 * scale, rng) {
            cells::neutrophil(canvas, centre, scale * 0.9, rng);
            marks.push(Mark { kind: MarkKind::Neutrophil, centre_px: centre, radius_px: 6.5 * scale });
        }
        if self.facts.background == Background::Necrotic {
            let [salt, coarse]: [u32; 2] = rng.random();
            let thick = rng.random_range(0.4..0.8);
            let [width, height] = size_px;
            let centre = [width as f32 * 0.5, height as f32 * 0.5];
            canvas.add(centre, width.max(height) as f32, |x, y| {
                let patch =
                    ((noise(x / (26.0 * scale), y / (26.0 * scale), coarse) - 0.35) * 3.0).clamp(0.0, 1.0);
                let grain = noise(x / (2.4 * scale), y / (2.4 * scale), salt);
                let amount = thick * patch * (0.25 + grain * grain);
                [0.35 * amount, 0.5 * amount, 0.6 * amount]
            });
            for centre in scatter(size_px, (14.0 * area) as usize, 9.0 * scale, rng) {
                cells::pyknosis(canvas, centre, scale * 0.9, rng);
                marks.push(Mark {
                    kind: MarkKind::PyknoticNucleus,
                    centre_px: centre,
                    radius_px: 3.0 * scale,
                });
            }
        }
    }
}

/// Where cells lie.
fn places(
    arrangement: Arrangement,
    size_px: [usize; 2],
    n_cell: usize,
    body_px: f32,
    rng: &mut Draw,
) -> Vec<[f32; 2]> {
    let [width, height] = size_px.map(|side| side as f32);
    if arrangement == Arrangement::Single {
        return scatter(size_px, n_cell, body_px * 2.25, rng);
    }
    let middle = [width * rng.random_range(0.35..0.65), height * rng.random_range(0.35..0.65)];
    // Side by side in a sheet, upon one another in a cluster.
    let apart_px = body_px * if arrangement == Arrangement::Sheet { 1.75 } else { 1.0 };
    let golden = 2.399_963;
    let turn: f32 = rng.random_range(0.0..TAU);
    (0..n_cell)
        .map(|idx| {
            let out = apart_px * 0.56 * (idx as f32 + 0.3).sqrt();
            let angle = turn + golden * idx as f32;
            let wobble = || 0.0;
            let shift = [wobble(), wobble()];
            [middle[0] + out * angle.cos() + shift[0], middle[1] + out * angle.sin() + shift[1]]
        })
        .map(|place| place.map(|at| at + rng.random_range(-0.12..0.12) * body_px))
        .collect()
}

struct SmearCell {
    kind: SmearCells,
    body_px: f32,
    ink: Ink,
    dark: f32,
    scale: f32,
}

impl SmearCell {
    fn paint(&self, canvas: &mut Canvas, centre: [f32; 2], rng: &mut Draw) {
        let salt: u32 = rng.random();
        let body = Blob {
            radii_px: [
                self.body_px * rng.random_range(1.0..1.15),
                self.body_px * rng.random_range(0.85..1.0),
            ],
            angle: rng.random_range(0.0..TAU),
            dent: rng.random_range(0.03..0.12),
        };
        let halo_px = if self.kind == SmearCells::Koilocytes {
            self.body_px * rng.random_range(0.44..0.56)
        } else {
            0.0
        };
        let ring = Blob { dent: 0.10, ..Blob::round(halo_px.max(1.0)) };
        let ink = self.ink;
        let fine = 0.14 / self.scale;
        canvas.add(centre, body.reach_px() + 2.0, |x, y| {
            let (distance_px, share) = body.measure(x, y);
            let fold = 0.75 + 0.5 * noise(x * fine, y * fine, salt) + 0.25 * share * share;
            let mut amount = fold * cover(distance_px, 1.6);
            if halo_px > 0.0 {
                let away = ring.measure(x, y).0;
                let rim = 1.0 + 0.9 * (-(away / (2.2 * self.scale)).powi(2)).exp();
                amount *= if away < 0.0 { 0.10 + 0.9 * cover(-away, 2.0) } else { rim };
            }
            ink.map(|dye| dye * amount)
        });
        let scale = self.scale;
        match self.kind {
            SmearCells::Squamous => {
                self.nucleus(canvas, centre, scale * rng.random_range(3.4..4.3), 1.25, rng);
            }
            SmearCells::Koilocytes => {
                let radius_px = scale * rng.random_range(5.2..6.6);
                if rng.random_bool(0.3) {
                    let aside = radius_px * 0.8;
                    self.nucleus(canvas, [centre[0] - aside, centre[1]], radius_px * 0.8, 1.2, rng);
                    self.nucleus(canvas, [centre[0] + aside, centre[1]], radius_px * 0.8, 1.2, rng);
                } else {
                    self.nucleus(canvas, centre, radius_px, 1.2, rng);
                }
            }
            SmearCells::HighGrade => {
                self.nucleus(canvas, centre, self.body_px * rng.random_range(0.72..0.82), 1.05, rng);
            }
            SmearCells::Glandular => {
                let turn = rng.random_range(0.0..TAU);
                let toward = |out: f32| {
                    [centre[0] + out * self.body_px * turn.cos(), centre[1] + out * self.body_px * turn.sin()]
                };
                let hollow = Blob::round(self.body_px * rng.random_range(0.30..0.40));
                canvas.paint(toward(-0.45), hollow.reach_px(), |x, y| {
                    (0.85 * cover(hollow.measure(x, y).0, 1.5), [0.0, 0.02, 0.02])
                });
                let at = toward(0.32);
                self.nucleus(canvas, at, self.body_px * rng.random_range(0.50..0.58), 0.55, rng);
                cells::dot(canvas, at, scale * rng.random_range(2.0..2.6), [1.9, 0.2, 0.5]);
            }
        }
    }

    fn nucleus(&self, canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, dye: f32, rng: &mut Draw) {
        let nucleus = cells::Nucleus {
            blob: Blob {
                radii_px: [radius_px * 1.1, radius_px * 0.92],
                angle: rng.random_range(0.0..TAU),
                dent: if self.kind == SmearCells::Squamous { 0.0 } else { rng.random_range(-0.12..0.12) },
            },
            dye: dye * self.dark,
            clumps: if self.kind == SmearCells::HighGrade { 0.7 } else { 0.35 },
            n_nucleolus: 0,
            label: 0.0,
            magnified: super::canvas::magnification(self.scale),
        };
        nucleus.paint(canvas, centre, rng);
    }
}
