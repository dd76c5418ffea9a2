//! Cut surfaces of organs on a board, with a lesion.
//!
//! The canvas holds light. Organs and lesions are told apart by texture and outline: their tints are
//! drawn from one palette, so that a nodule may be as red as a haemorrhage and a kidney as pale as a
//! liver. Held true by the tests of `phantom.rs`.

use std::f32::consts::TAU;

use rand::Rng;

use super::Draw;
use super::canvas::{Blob, Canvas, Ink, cover, lattice, noise};
use super::scene::choose;
use super::tissue::scatter;
use super::truth::{Change, GrossFacts, Lesion, Mark, MarkKind, Organ, Tier};

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrossPlan {
    tier: Tier,
    facts: GrossFacts,
}

/// Tints of flesh, from white over tan and yellow to dark red.
const PALETTE: [Ink; 8] = [
    [0.86, 0.80, 0.72],
    [0.78, 0.64, 0.50],
    [0.82, 0.68, 0.38],
    [0.70, 0.46, 0.34],
    [0.66, 0.34, 0.28],
    [0.52, 0.28, 0.20],
    [0.46, 0.16, 0.15],
    [0.58, 0.42, 0.34],
];

const BOARDS: [Ink; 6] = [
    [0.18, 0.34, 0.58],
    [0.22, 0.46, 0.40],
    [0.72, 0.74, 0.76],
    [0.90, 0.90, 0.90],
    [0.08, 0.08, 0.10],
    [0.40, 0.42, 0.45],
];

fn mix(a: Ink, b: Ink, share: f32) -> Ink {
    [0, 1, 2].map(|channel| a[channel] + (b[channel] - a[channel]) * share)
}

fn tint(rng: &mut Draw) -> Ink {
    let base = mix(choose(&PALETTE, rng), choose(&PALETTE, rng), rng.random_range(0.0..0.5));
    let bright = rng.random_range(0.85..1.12);
    base.map(|light| light * bright * rng.random_range(0.96..1.04))
}

impl GrossPlan {
    pub(crate) fn draw(tier: Tier, rng: &mut Draw) -> Self {
        let lesion = choose(
            &[
                Lesion::Nodule,
                Lesion::Infiltrating,
                Lesion::Infiltrating,
                Lesion::Multiple,
                Lesion::Cyst,
                Lesion::Haemorrhage,
                Lesion::Ulcer,
            ],
            rng,
        );
        let organ = if lesion == Lesion::Ulcer {
            Organ::Stomach
        } else {
            choose(&[Organ::Liver, Organ::Kidney, Organ::Lung, Organ::Breast, Organ::Stomach], rng)
        };
        let change = match lesion {
            Lesion::Nodule | Lesion::Infiltrating => {
                choose(&[Change::None, Change::Necrosis, Change::Bleeding, Change::Scar], rng)
            }
            _ => Change::None,
        };
        let lesion_permille = match tier {
            Tier::Easy => rng.random_range(210..290),
            Tier::Medium => rng.random_range(180..250),
            Tier::Hard => rng.random_range(150..215),
        };
        let place = [rng.random_range(0..3), rng.random_range(0..3)];
        let ruler = rng.random_bool(0.4);
        Self { tier, facts: GrossFacts { organ, lesion, change, lesion_permille, place, ruler } }
    }

    pub(crate) fn facts(&self) -> GrossFacts {
        self.facts
    }

    pub(crate) fn paint(&self, size_px: [usize; 2], scale: f32, rng: &mut Draw) -> (Canvas, Vec<Mark>) {
        let mut canvas = Canvas::new(size_px);
        let mut marks = Vec::new();
        let [width, height] = size_px.map(|side| side as f32);
        let side_px = width.min(height);
        let flesh = tint(rng);
        self.organ(&mut canvas, flesh, scale, rng);
        let radius_px = side_px * self.facts.lesion_permille as f32 / 1000.0 * scale.min(1.2);
        let margin = 0.17 * side_px;
        let centre = [0, 1].map(|axis| {
            let room = [width, height][axis] - 2.0 * margin;
            let column = f32::from(self.facts.place[axis]);
            let raw = margin + room * (column + rng.random_range(0.3..0.7)) / 3.0;
            // Not cut by the frame by more than a third.
            let keep = (radius_px * 0.75).min([width, height][axis] * 0.45);
            raw.clamp(keep, [width, height][axis] - keep)
        });
        // Harder lesions differ less from their surroundings.
        let stand_out = [1.0, 0.75, 0.5][self.tier as usize];
        let mut own = tint(rng);
        for _ in 0..6 {
            let apart: f32 = own.iter().zip(flesh).map(|(a, b)| (a - b).abs()).sum();
            if apart > 0.45 {
                break;
            }
            own = tint(rng);
        }
        let own = mix(flesh, own, stand_out);
        if self.facts.lesion == Lesion::Multiple {
            let mut places = scatter(size_px, rng.random_range(4..8), radius_px * 1.05, rng);
            places.retain(|place| inside(*place, size_px, radius_px * 0.3));
            if places.len() < 2 {
                places = vec![[width * 0.3, height * 0.35], [width * 0.68, height * 0.62]];
            }
            for place in places {
                let reach_px = radius_px * rng.random_range(0.30..0.48);
                self.nodule(&mut canvas, place, reach_px, own, flesh, rng);
                marks.push(Mark { kind: MarkKind::Lesion, centre_px: place, radius_px: reach_px });
            }
        } else {
            match self.facts.lesion {
                Lesion::Nodule => self.nodule(&mut canvas, centre, radius_px, own, flesh, rng),
                Lesion::Infiltrating => infiltrating(&mut canvas, centre, radius_px, own, rng),
                Lesion::Cyst => cyst(&mut canvas, centre, radius_px, own, flesh, rng),
                Lesion::Haemorrhage => haemorrhage(&mut canvas, centre, radius_px, own, rng),
                Lesion::Ulcer | Lesion::Multiple => ulcer(&mut canvas, centre, radius_px, own, flesh, rng),
            }
            marks.push(Mark { kind: MarkKind::Lesion, centre_px: centre, radius_px });
        }
        self.change(&mut canvas, centre, radius_px, own, rng);
        self.glare(&mut canvas, rng);
        if self.facts.ruler {
            ruler(&mut canvas, rng);
        }
        marks.retain(|mark| inside(mark.centre_px, size_px, 0.0));
        (canvas, marks)
    }

    fn organ(&self, canvas: &mut Canvas, flesh: Ink, scale: f32, rng: &mut Draw) {
        let [width, height] = canvas.size_px().map(|side| side as f32);
        let [salt, second, third]: [u32; 3] = rng.random();
        let board = choose(&BOARDS, rng).map(|light| light * rng.random_range(0.85..1.1));
        let board_noise: u32 = rng.random();
        let reach = rng.random_range(0.50..0.62);
        let outline = Blob {
            radii_px: [width * reach * rng.random_range(0.98..1.12), height * reach],
            angle: rng.random_range(-0.3..0.3),
            dent: match self.facts.organ {
                Organ::Kidney => 0.10,
                Organ::Liver => -0.06,
                _ => rng.random_range(-0.04..0.04),
            },
        };
        let second_tint = tint(rng);
        let organ = self.facts.organ;
        let grain: f32 = rng.random_range(0.0..TAU);
        let (sin, cos) = grain.sin_cos();
        let light_from: f32 = rng.random_range(0.0..TAU);
        let (light_y, light_x) = light_from.sin_cos();
        canvas.fill(|x, y| {
            let [u, v] = [x - width * 0.5, y - height * 0.5];
            let (distance_px, share) = outline.measure(u, v);
            let [p, q] = [u / scale, v / scale];
            let surface = match organ {
                Organ::Liver => {
                    // Fine lobules and a few vessels.
                    let fine = noise(p / 3.2, q / 3.2, salt) - 0.5;
                    let (near, _) = worley(p / 26.0, q / 26.0, second);
                    let ring_px = (near - 0.10) * 26.0;
                    let rim = cover(ring_px.abs() - 0.6, 1.2);
                    let lit = flesh.map(|light| light * (1.0 + 0.14 * fine + 0.18 * rim));
                    mix(lit, [0.10, 0.04, 0.04], 0.8 * cover(ring_px, 1.4))
                }
                Organ::Kidney => {
                    let turn = v.atan2(u) + 0.15 * noise(p / 20.0, q / 20.0, third);
                    let wedge = (turn * 4.0 + grain).cos();
                    let is_pyramid = cover(-(wedge * 7.0) + 1.5, 4.0)
                        * cover((share - 0.72) * 60.0, 5.0)
                        * cover((0.24 - share) * 60.0, 5.0);
                    let stripe = 0.88 + 0.24 * noise(turn * 30.0, share * 2.0, salt);
                    let fine = 1.0 + 0.10 * (noise(p / 2.6, q / 2.6, salt) - 0.5);
                    let cortex = flesh.map(|light| light * fine);
                    let pyramid = flesh.map(|light| light * 0.62 * stripe);
                    let sinus = mix(flesh, [0.90, 0.82, 0.62], 0.65);
                    mix(mix(cortex, pyramid, is_pyramid), sinus, cover((share - 0.22) * 60.0, 6.0))
                }
                Organ::Lung => {
                    // Round holes of unequal size between thin walls.
                    let (near, next) = worley(p / 6.5, q / 6.5, salt);
                    let size = 0.24 + 0.26 * noise(p / 12.0, q / 12.0, second);
                    let open = cover((near - size) * 6.5, 1.6) * cover(0.5 - (next - near) * 6.5, 1.2);
                    let fine = 1.08 + 0.12 * (noise(p / 2.4, q / 2.4, third) - 0.5);
                    flesh.map(|light| (light * fine * (1.0 - 0.60 * open)).min(1.0))
                }
                Organ::Breast => {
                    let (near, next) = worley(p / 19.0, q / 19.0, salt);
                    let strand = cover((next - near) * 11.0 - 1.2, 1.6);
                    let bulge = 1.10 - 0.45 * near;
                    mix(flesh.map(|light| (light * bulge).min(1.0)), [0.90, 0.87, 0.82], 0.85 * strand)
                }
                Organ::Stomach => {
                    let along = p * cos + q * sin;
                    let across = q * cos - p * sin
                        + 13.0 * noise(along / 34.0, 0.4, second)
                        + 5.0 * noise(p / 15.0, q / 15.0, third);
                    let fold = (across / 15.0 * TAU).sin();
                    flesh.map(|light| {
                        (light * (1.0 + 0.26 * fold + 0.10 * (across / 15.0 * TAU).cos())).min(1.0)
                    })
                }
            };
            // The capsule and a rounded edge.
            let edge = ((share - 0.93) * 9.0).clamp(0.0, 0.5);
            let shade = 1.0 + 0.10 * (u * light_x + v * light_y) / width - edge * 0.5;
            let board = board.map(|light| light * (0.96 + 0.08 * noise(x / 2.0, y / 2.0, board_noise)));
            mix(
                board,
                second_blush(surface, second_tint, noise(p / 60.0, q / 60.0, third))
                    .map(|light| light * shade),
                cover(distance_px, 2.0),
            )
        });
    }

    fn nodule(
        &self,
        canvas: &mut Canvas,
        centre: [f32; 2],
        radius_px: f32,
        own: Ink,
        flesh: Ink,
        rng: &mut Draw,
    ) {
        let outline = Blob {
            radii_px: [radius_px * rng.random_range(1.0..1.1), radius_px * rng.random_range(0.9..1.0)],
            angle: rng.random_range(0.0..TAU),
            dent: rng.random_range(-0.03..0.03),
        };
        let salt: u32 = rng.random();
        let whorl: f32 = rng.random_range(0.0..TAU);
        let has_capsule = self.facts.lesion == Lesion::Nodule;
        let capsule = if mean(flesh) > 0.5 { flesh.map(|light| light * 0.55) } else { [0.88, 0.84, 0.78] };
        let capsule_px = (radius_px * 0.07).max(2.0);
        canvas.paint(centre, outline.reach_px() + 2.0, |x, y| {
            let (distance_px, share) = outline.measure(x, y);
            let turn = y.atan2(x) * 2.0 + whorl + share * 7.0;
            let stripe = 1.0 + 0.10 * turn.sin() + 0.12 * (noise(x / 4.0, y / 4.0, salt) - 0.5);
            let bulge = 1.06 - 0.16 * share * share - 0.06 * (x + y) / radius_px;
            let inner = own.map(|light| (light * stripe * bulge).min(1.0));
            let on_capsule = if has_capsule {
                cover((distance_px + capsule_px * 0.7).abs() - capsule_px * 0.5, 1.4)
            } else {
                0.0
            };
            (cover(distance_px, 1.6), mix(inner, capsule, 0.9 * on_capsule))
        });
    }

    fn change(&self, canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, own: Ink, rng: &mut Draw) {
        let [salt, fine]: [u32; 2] = rng.random();
        match self.facts.change {
            Change::None => {}
            Change::Necrosis => {
                // Crumbly: grains of light and dark within a map-like border.
                let base =
                    mix(own, choose(&[[0.84, 0.76, 0.46], [0.66, 0.60, 0.48], [0.52, 0.40, 0.26]], rng), 0.8);
                canvas.paint(centre, radius_px * 0.75, |x, y| {
                    let away = x.hypot(y) - radius_px * (0.36 + 0.32 * noise(x / 9.0, y / 9.0, salt));
                    let grain = 0.66 + 0.62 * noise(x / 1.6, y / 1.6, fine);
                    (cover(away, 2.0), base.map(|light| (light * grain).min(1.0)))
                });
            }
            Change::Bleeding => {
                let blood = [rng.random_range(0.25..0.42), 0.05, 0.06];
                for _ in 0..rng.random_range(7..12) {
                    let [turn, out] =
                        [rng.random_range(0.0..TAU), radius_px * 0.75 * rng.random::<f32>().sqrt()];
                    let place = [centre[0] + out * turn.cos(), centre[1] + out * turn.sin()];
                    let spot_px = radius_px * rng.random_range(0.06..0.13) + 1.0;
                    canvas.paint(place, spot_px * 1.8, |x, y| {
                        let away = x.hypot(y) - spot_px * (0.7 + 0.6 * noise(x / 2.5, y / 2.5, salt));
                        (0.9 * cover(away, 1.8), blood)
                    });
                }
            }
            Change::Scar => {
                let n_arm = rng.random_range(5..8) as f32;
                let first: f32 = rng.random_range(0.0..TAU);
                let white = if mean(own) > 0.66 { [0.42, 0.36, 0.32] } else { [0.93, 0.90, 0.86] };
                canvas.paint(centre, radius_px * 0.8, |x, y| {
                    let turn = y.atan2(x) + 0.5 * (noise(x / 10.0, y / 10.0, salt) - 0.5);
                    let out = x.hypot(y);
                    let arm = ((turn - first) * n_arm * 0.5).sin().abs() / (n_arm * 0.5) * out;
                    let thick_px = radius_px * 0.085 * (1.0 - out / (radius_px * 0.72)).max(0.0) + 0.2;
                    let core = cover(out - radius_px * 0.13, 2.0);
                    let reach = cover(out - radius_px * 0.66, 3.0);
                    (0.95 * (cover(arm - thick_px, 1.4) * reach).max(core), white)
                });
            }
        }
    }

    /// Wet spots that shine.
    fn glare(&self, canvas: &mut Canvas, rng: &mut Draw) {
        let n_glare = [2, 5, 9][self.tier as usize];
        let size_px = canvas.size_px();
        for _ in 0..rng.random_range(0..n_glare) {
            let place = size_px.map(|side| rng.random_range(0.0..side as f32));
            let blob = Blob {
                radii_px: [rng.random_range(1.5..5.0), rng.random_range(0.8..1.8)],
                angle: rng.random_range(0.0..TAU),
                dent: 0.1,
            };
            canvas.paint(place, blob.reach_px() + 1.0, |x, y| {
                (0.8 * cover(blob.measure(x, y).0, 1.5), [0.97; 3])
            });
        }
    }
}

fn mean(ink: Ink) -> f32 {
    (ink[0] + ink[1] + ink[2]) / 3.0
}

/// Patches of another tint over an organ.
fn second_blush(surface: Ink, other: Ink, patch: f32) -> Ink {
    mix(surface, other, 0.5 * ((patch - 0.45) * 2.0).clamp(0.0, 0.6))
}

fn inside(place: [f32; 2], size_px: [usize; 2], margin_px: f32) -> bool {
    (0..2).all(|axis| place[axis] >= margin_px && place[axis] < size_px[axis] as f32 - margin_px)
}

/// Distances to the nearest and the second nearest point of a jittered lattice.
fn worley(x: f32, y: f32, salt: u32) -> (f32, f32) {
    let [column, row] = [x.floor() as i32, y.floor() as i32];
    let (mut near, mut next) = (f32::MAX, f32::MAX);
    for row in row - 1..=row + 1 {
        for column in column - 1..=column + 1 {
            let at = [
                column as f32 + 0.15 + 0.7 * lattice(column, row, salt),
                row as f32 + 0.15 + 0.7 * lattice(column, row, salt ^ 0xABCD),
            ];
            let away = (at[0] - x).hypot(at[1] - y);
            if away < near {
                next = near;
                near = away;
            } else if away < next {
                next = away;
            }
        }
    }
    (near, next)
}

/// A star of tissue that reaches into its surroundings.
fn infiltrating(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, own: Ink, rng: &mut Draw) {
    let [salt, fine]: [u32; 2] = rng.random();
    let n_spike = rng.random_range(9..15) as f32;
    let first: f32 = rng.random_range(0.0..TAU);
    canvas.paint(centre, radius_px * 1.5, |x, y| {
        let turn = y.atan2(x);
        let out = x.hypot(y);
        let [cos, sin] = [turn.cos(), turn.sin()];
        let lump = noise(2.0 * cos + 7.0, 2.0 * sin + 7.0, salt) - 0.5;
        // Warped, so that the spikes stand unevenly.
        let warp = 3.0 * (noise(1.6 * cos + 3.0, 1.6 * sin + 5.0, salt) - 0.5);
        let spike = (0.5 + 0.5 * (turn * n_spike + first + warp).sin()).powi(3);
        let length = 0.5 + noise(5.0 * cos + 3.0, 5.0 * sin + 9.0, fine);
        let edge_px = radius_px * (0.68 + 0.42 * lump + 0.42 * spike * length);
        let ragged = radius_px * 0.16 * (noise(x / 5.0, y / 5.0, fine) - 0.5);
        let grain = 0.90 + 0.20 * noise(x / 3.2, y / 3.2, fine) + 0.06 * lump;
        (cover(out - edge_px + ragged, 3.5), own.map(|light| (light * grain).min(1.0)))
    });
}

/// A hollow: a thin bright wall, the far side lit, the near side in shadow.
fn cyst(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, own: Ink, flesh: Ink, rng: &mut Draw) {
    let outline = Blob {
        radii_px: [radius_px * rng.random_range(0.95..1.1), radius_px * rng.random_range(0.85..1.0)],
        angle: rng.random_range(0.0..TAU),
        dent: rng.random_range(-0.04..0.04),
    };
    let light_from: f32 = rng.random_range(0.0..TAU);
    let (light_y, light_x) = light_from.sin_cos();
    let wall_px = (radius_px * 0.06).max(1.8);
    let wall = mix(flesh, [0.93, 0.90, 0.84], 0.7);
    canvas.paint(centre, outline.reach_px() + 2.0, |x, y| {
        let (distance_px, share) = outline.measure(x, y);
        let slope = (x * light_x + y * light_y) / radius_px;
        // Inside it is smooth: no grain, only the shade of a bowl.
        let shade = 0.50 + 0.50 * share.powi(3) * (0.5 + slope) + 0.10 * slope;
        let inner = own.map(|light| (light * shade.clamp(0.2, 1.1)).min(1.0));
        (cover(distance_px, 1.5), mix(inner, wall, cover(-distance_px - wall_px, 1.2)))
    });
    let out = -0.42 * radius_px;
    let glare = Blob { radii_px: [radius_px * 0.16, radius_px * 0.07], angle: light_from + 1.57, dent: 0.0 };
    canvas.paint([centre[0] - out * light_x, centre[1] - out * light_y], glare.reach_px() + 1.0, |x, y| {
        (0.85 * cover(glare.measure(x, y).0, 2.0), [0.96; 3])
    });
}

/// Blood between the tissue: blotches without an edge, and drops around them.
fn haemorrhage(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, own: Ink, rng: &mut Draw) {
    let [salt, fine]: [u32; 2] = rng.random();
    // Fresh, clotted or old.
    let blood = mix(choose(&[[0.44, 0.06, 0.07], [0.22, 0.05, 0.06], [0.48, 0.24, 0.12]], rng), own, 0.25);
    canvas.paint(centre, radius_px * 1.45, |x, y| {
        let out = x.hypot(y) / radius_px;
        let patch = noise(x / (radius_px * 0.30), y / (radius_px * 0.30), salt) * 0.65
            + noise(x / (radius_px * 0.12), y / (radius_px * 0.12), fine) * 0.35;
        let amount = ((patch - 0.12 - 0.40 * out * out) * 4.5).clamp(0.0, 1.0);
        let clot = 0.85 + 0.3 * patch;
        (0.93 * amount, blood.map(|light| light * clot))
    });
    for _ in 0..rng.random_range(8..16) {
        let [turn, out] = [rng.random_range(0.0..TAU), radius_px * rng.random_range(0.9..1.45)];
        let drop_px = rng.random_range(1.2..3.0);
        let place = [centre[0] + out * turn.cos(), centre[1] + out * turn.sin()];
        canvas.paint(place, drop_px + 2.0, |x, y| (0.8 * cover(x.hypot(y) - drop_px, 1.6), blood));
    }
}

/// A crater: a thick rolled edge, lit on one side, and a granular floor.
fn ulcer(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, own: Ink, flesh: Ink, rng: &mut Draw) {
    let outline = Blob {
        radii_px: [radius_px * rng.random_range(0.95..1.1), radius_px * rng.random_range(0.8..0.95)],
        angle: rng.random_range(0.0..TAU),
        dent: rng.random_range(-0.07..0.07),
    };
    let salt: u32 = rng.random();
    let light_from: f32 = rng.random_range(0.0..TAU);
    let (light_y, light_x) = light_from.sin_cos();
    canvas.paint(centre, outline.reach_px() + 2.0, |x, y| {
        let (distance_px, share) = outline.measure(x, y);
        let slope = (x * light_x + y * light_y) / radius_px;
        let edge = 0.66 + 0.10 * noise(x / 6.0, y / 6.0, salt);
        if share < edge {
            let grain = 0.38 + 0.55 * noise(x / 2.2, y / 2.2, salt);
            let shadow = if share > edge - 0.14 { 0.6 } else { 1.0 };
            return (1.0, own.map(|light| light * grain * shadow));
        }
        let roll = ((share - edge) / (1.0 - edge) * std::f32::consts::PI).sin();
        let lit = 1.0 + 0.25 * roll - 0.32 * slope * (1.0 - 2.0 * (share - edge) / (1.0 - edge));
        (cover(distance_px, 2.0), flesh.map(|light| (light * lit).clamp(0.0, 1.0)))
    });
}

/// A strip with marks along the lower or the left edge.
fn ruler(canvas: &mut Canvas, rng: &mut Draw) {
    let [width, height] = canvas.size_px().map(|side| side as f32);
    let thick_px = (width.min(height) * 0.075).max(3.0);
    let step_px = rng.random_range(4.5..6.5);
    let is_low = rng.random_bool(0.5);
    let paper: Ink = choose(&[[0.95, 0.95, 0.92], [0.90, 0.84, 0.40], [0.78, 0.80, 0.82]], rng);
    let reach_px = width.max(height);
    canvas.paint([0.0, 0.0], reach_px, |x, y| {
        let [along, depth] = if is_low { [x, height - y] } else { [y, x] };
        let tick = (along / step_px).round();
        let length = if tick as i32 % 5 == 0 { 0.8 } else { 0.45 };
        let on_tick =
            cover((along - tick * step_px).abs() - 0.4, 1.0) * cover(thick_px * (1.0 - length) - depth, 1.0);
        (cover(depth - thick_px, 1.0), mix(paper, [0.08; 3], on_tick))
    });
}
