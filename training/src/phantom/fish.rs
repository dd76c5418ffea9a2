//! Fluorescence in situ hybridisation: blue nuclei in the dark with red and green signals.
//!
//! Light adds, so that a red signal upon a green one is yellow. What tells the classes apart is how many
//! signals a nucleus holds and how they lie, not how much red a picture has: their size and brightness
//! differ from picture to picture by more than their number. Held true by `fish_signals_can_be_counted` in the
//! tests of `phantom.rs`.

use std::f32::consts::TAU;

use rand::Rng;

use super::Draw;
use super::canvas::{Blob, Canvas, Ink, cover, noise};
use super::scene::choose;
use super::tissue::scatter;
use super::truth::{FishFacts, Mark, MarkKind, Signals, Tier};

/// What is to be drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FishPlan {
    tier: Tier,
    facts: FishFacts,
}

/// Light of one signal colour.
#[derive(Clone, Copy)]
struct Probe {
    kind: MarkKind,
    light: Ink,
}

impl FishPlan {
    pub(crate) fn draw(tier: Tier, rng: &mut Draw) -> Self {
        let signals = choose(
            &[
                Signals::Normal,
                Signals::Amplified,
                Signals::Polysomy,
                Signals::Deletion,
                Signals::Monosomy,
                Signals::Fusion,
            ],
            rng,
        );
        let copies = if signals == Signals::Polysomy { rng.random_range(3..5) } else { 2 };
        let (n_red, n_green) = match signals {
            Signals::Amplified => (7, 2),
            Signals::Deletion => (1, 2),
            Signals::Monosomy => (1, 1),
            _ => (copies, copies),
        };
        let dim = rng.random_bool([0.25, 0.5, 0.6][tier as usize]);
        Self { tier, facts: FishFacts { signals, n_red, n_green, dim } }
    }

    pub(crate) fn facts(&self) -> FishFacts {
        self.facts
    }

    /// Red, green and fused signals of one nucleus.
    fn counts(&self, rng: &mut Draw) -> [usize; 3] {
        // A minority of nuclei differs, as in life.
        let odd = rng.random_bool([0.0, 0.12, 0.22][self.tier as usize]);
        match self.facts.signals {
            Signals::Normal if odd => [2, 1, 0],
            _ if odd => [2, 2, 0],
            Signals::Amplified => {
                let most = if self.tier == Tier::Hard { 9 } else { 12 };
                [rng.random_range(7..most + 1), 2, 0]
            }
            Signals::Fusion => [1, 1, 1],
            _ => [self.facts.n_red.into(), self.facts.n_green.into(), 0],
        }
    }

    pub(crate) fn paint(&self, size_px: [usize; 2], scale: f32, rng: &mut Draw) -> (Canvas, Vec<Mark>) {
        let mut canvas = Canvas::new(size_px);
        let mut marks = Vec::new();
        let tier = self.tier as usize;
        let salt: u32 = rng.random();
        let glow: Ink = [0, 1, 2].map(|_| rng.random_range(0.0..[0.03, 0.05, 0.08][tier]));
        canvas.fill(|x, y| glow.map(|light| 0.015 + light * (0.4 + noise(x / 30.0, y / 30.0, salt))));
        let area = (size_px[0] * size_px[1]) as f32 / (168.0 * 168.0 * scale * scale);
        let n_nucleus =
            ((rng.random_range([5..8, 6..10, 8..13][tier].clone()) as f32) * area).round().max(1.0);
        let radius_px = scale * [24.0, 21.5, 19.5][tier] * rng.random_range(0.92..1.08);
        let apart_px = radius_px * [2.15, 1.95, 1.7][tier];
        let dapi = {
            let bright = rng.random_range(0.40..0.75);
            [rng.random_range(0.02..0.22), rng.random_range(0.05..0.28), 1.0].map(|light: f32| light * bright)
        };
        let strength =
            if self.facts.dim { rng.random_range(0.60..0.72) } else { rng.random_range(0.85..1.1) };
        let spot_px = scale * rng.random_range(2.0..2.9);
        let [red, green] = [
            Probe {
                kind: MarkKind::RedSignal,
                light: [1.0, rng.random_range(0.05..0.30), rng.random_range(0.0..0.25)],
            },
            Probe {
                kind: MarkKind::GreenSignal,
                light: [rng.random_range(0.05..0.25), 1.0, rng.random_range(0.0..0.25)],
            },
        ]
        .map(|probe| Probe { light: probe.light.map(|light| light * strength), ..probe });
        let mut note = |kind, centre_px: [f32; 2], radius_px| {
            if (0..2).all(|axis| (0.0..size_px[axis] as f32).contains(&centre_px[axis])) {
                marks.push(Mark { kind, centre_px, radius_px });
            }
        };
        // Dirt that shines but lies outside nuclei or is too large to be a signal.
        for centre in scatter(size_px, (area * [0.0, 3.0, 7.0][tier]) as usize, 20.0, rng) {
            let light = if rng.random_bool(0.5) { red.light } else { green.light };
            spot(&mut canvas, centre, spot_px * rng.random_range(1.8..3.0), light.map(|light| light * 0.25));
        }
        for centre in
            super::tissue::scatter_within(size_px, n_nucleus as usize, apart_px, 0.45 * radius_px, rng)
        {
            let blob = Blob {
                radii_px: [radius_px * rng.random_range(0.95..1.12), radius_px * rng.random_range(0.85..1.0)],
                angle: rng.random_range(0.0..TAU),
                dent: rng.random_range(-0.04..0.04),
            };
            let salt: u32 = rng.random();
            canvas.add(centre, blob.reach_px() + 2.0, |x, y| {
                let grain = 0.75 + 0.5 * noise(x * 0.22 / scale, y * 0.22 / scale, salt);
                let inside = cover(blob.measure(x, y).0, 2.5);
                dapi.map(|light| light * grain * inside)
            });
            note(MarkKind::ProbedNucleus, centre, radius_px);
            let [n_red, n_green, n_fused] = self.counts(rng);
            let places = spread(n_red + n_green + n_fused, 0.78 * blob.radii_px[1], 2.55 * spot_px, rng);
            for (idx, offset) in places.into_iter().enumerate() {
                let place = [centre[0] + offset[0], centre[1] + offset[1]];
                if idx < n_fused {
                    let turn: f32 = rng.random_range(0.0..TAU);
                    let beside = [0.8 * spot_px * turn.cos(), 0.8 * spot_px * turn.sin()];
                    spot(&mut canvas, place, spot_px, red.light);
                    spot(&mut canvas, [place[0] + beside[0], place[1] + beside[1]], spot_px, green.light);
                    note(MarkKind::FusedSignal, place, spot_px);
                } else {
                    let probe = if idx < n_fused + n_red { red } else { green };
                    spot(&mut canvas, place, spot_px * rng.random_range(0.9..1.1), probe.light);
                    note(probe.kind, place, spot_px);
                }
            }
        }
        (canvas, marks)
    }
}

/// A soft point of light; the blue of the nucleus under it is drowned.
fn spot(canvas: &mut Canvas, centre: [f32; 2], radius_px: f32, light: Ink) {
    let glow = |x: f32, y: f32| {
        let away = (x * x + y * y) / (radius_px * radius_px);
        (-0.9 * away * away).exp()
    };
    canvas.dim(centre, radius_px * 2.2, |x, y| [1.0, 1.0, 1.0 - 0.75 * glow(x, y)]);
    canvas.add(centre, radius_px * 2.2, |x, y| light.map(|light| light * glow(x, y)));
}

/// Offsets within a disc, as far apart as there is room.
fn spread(n_place: usize, reach_px: f32, apart_px: f32, rng: &mut Draw) -> Vec<[f32; 2]> {
    let mut places: Vec<[f32; 2]> = Vec::with_capacity(n_place);
    let mut apart_px = apart_px;
    for attempt in 1.. {
        if places.len() == n_place {
            break;
        }
        let [turn, out] = [rng.random_range(0.0..TAU), reach_px * rng.random::<f32>().sqrt()];
        let place = [out * turn.cos(), out * turn.sin()];
        if places.iter().all(|other| (other[0] - place[0]).hypot(other[1] - place[1]) >= apart_px) {
            places.push(place);
        }
        if attempt % 60 == 0 {
            apart_px *= 0.93;
        }
    }
    places
}
