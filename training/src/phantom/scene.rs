//! What a phantom is to show, and the painting of it.
//!
//! A [`Plan`] is drawn first and holds the truth in full; painting follows it. The plan's shares are
//! chosen so that within every topic the answers are about equally frequent, which keeps a majority
//! guess at chance. Held true by `answers_are_balanced` in the tests of `phantom.rs`.

use rand::Rng;
use rand::seq::IndexedRandom;

use super::canvas::{cover, magnification, noise};
use super::stain::Lab;
use super::tissue::{Painter, scatter};
use super::truth::{
    Facts, Infiltrate, Localisation, Marker, Nuclei, Pattern, Stain, Subfield, Tier, TissueFacts, Truth,
};
use super::{Draw, Phantom, Settings};

/// What is to be drawn.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How hard it is to read.
    pub tier: Tier,
    /// The stain.
    pub stain: Stain,
    /// The leading architecture.
    pub pattern: Pattern,
    /// Nuclei of the epithelium or of the stroma.
    pub nuclei: Nuclei,
    /// Inflammatory cells between.
    pub infiltrate: Infiltrate,
    /// Whether tumour cells divide.
    pub mitoses: Mitoses,
    /// Whether a part of a sheet has died.
    pub dead_part: DeadPart,
    /// Glands on an area of 168 × 168 px.
    pub n_gland: usize,
    /// The immunohistochemical result.
    pub marker: Option<Marker>,
}

/// Whether dividing cells are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mitoses {
    /// None.
    Absent,
    /// A few in every field.
    Present,
}

/// Whether a sheet has a necrotic part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadPart {
    /// None.
    Absent,
    /// A quarter to two fifths.
    Present,
}

impl Plan {
    /// A plan of H&E without anything special, to be altered.
    pub fn he(pattern: Pattern) -> Self {
        let nuclei = match pattern {
            Pattern::Glands => Nuclei::Regular,
            Pattern::Sheet => Nuclei::Pleomorphic,
            Pattern::Stroma => Nuclei::Spindle,
            Pattern::Necrosis => Nuclei::Pyknotic,
        };
        Self {
            tier: Tier::Easy,
            stain: Stain::He,
            pattern,
            nuclei,
            infiltrate: Infiltrate::None,
            mitoses: Mitoses::Absent,
            dead_part: DeadPart::Absent,
            n_gland: if pattern == Pattern::Glands { 3 } else { 0 },
            marker: None,
        }
    }

    /// A plan by lot.
    pub(crate) fn draw(subfield: Subfield, tier: Tier, rng: &mut Draw) -> Self {
        let mut plan = match (subfield, rng.random_range(0..100)) {
            (Subfield::Ihc, _) => Self::draw_dab(tier, rng),
            (_, 0..80) => Self::draw_he(rng),
            (_, 80..90) => Self::draw_special(Stain::Pas, rng),
            _ => Self::draw_special(Stain::Trichrome, rng),
        };
        plan.tier = tier;
        plan
    }

    /// What will be drawn, but for the necrotic area of a sheet.
    pub(crate) fn facts(&self) -> TissueFacts {
        let necrosis_fraction = match (self.pattern, self.dead_part) {
            (Pattern::Necrosis, _) => 1.0,
            (Pattern::Sheet, DeadPart::Present) => 0.3,
            _ => 0.0,
        };
        TissueFacts {
            stain: self.stain,
            pattern: self.pattern,
            nuclei: self.nuclei,
            infiltrate: self.infiltrate,
            necrosis_fraction,
            marker: self.marker,
        }
    }

    fn draw_he(rng: &mut Draw) -> Self {
        let pattern = match rng.random_range(0..100) {
            0..32 => Pattern::Glands,
            32..50 => Pattern::Sheet,
            50..86 => Pattern::Stroma,
            _ => Pattern::Necrosis,
        };
        let mut plan = Self::he(pattern);
        let kinds = [
            Infiltrate::Lymphocytes,
            Infiltrate::PlasmaCells,
            Infiltrate::Neutrophils,
            Infiltrate::Eosinophils,
        ];
        match pattern {
            Pattern::Glands => {
                plan.draw_glands(rng);
                if plan.n_gland < 4 && rng.random_bool(0.35) {
                    plan.infiltrate = choose(&kinds, rng);
                }
                if plan.nuclei == Nuclei::Pleomorphic && rng.random_bool(0.4) {
                    plan.mitoses = Mitoses::Present;
                }
            }
            Pattern::Sheet => {
                if rng.random_bool(0.6) {
                    plan.mitoses = Mitoses::Present;
                }
                if rng.random_bool(0.4) {
                    plan.dead_part = DeadPart::Present;
                }
            }
            Pattern::Stroma => {
                if rng.random_bool(0.8) {
                    plan.infiltrate = choose(&kinds, rng);
                }
            }
            Pattern::Necrosis => {}
        }
        plan
    }

    fn draw_dab(tier: Tier, rng: &mut Draw) -> Self {
        let mut plan = Self::he(Pattern::Sheet);
        plan.stain = Stain::Dab;
        if rng.random_bool(0.3) {
            plan.pattern = Pattern::Glands;
            plan.draw_glands(rng);
        }
        let localisation = choose(
            &[
                Localisation::Negative,
                Localisation::Nuclear,
                Localisation::Membranous,
                Localisation::Cytoplasmic,
            ],
            rng,
        );
        // In glands the borders of neighbouring cells are too close for a fair cytoplasmic picture.
        let localisation = match (plan.pattern, localisation) {
            (Pattern::Glands, Localisation::Cytoplasmic) => Localisation::Nuclear,
            (_, other) => other,
        };
        let grade = if localisation == Localisation::Negative { 0 } else { rng.random_range(1..4) };
        // A weak label in a few cells is for the harder tiers.
        let few_chance = if grade == 1 { [0.0, 0.3, 0.5][tier as usize] } else { 0.5 };
        let positive_fraction = match grade {
            0 => 0.0,
            _ if rng.random_bool(few_chance) => rng.random_range(0.15..0.32),
            _ => rng.random_range(0.75..1.0),
        };
        plan.marker = Some(Marker { localisation, grade, positive_fraction });
        plan
    }

    fn draw_special(stain: Stain, rng: &mut Draw) -> Self {
        let mut plan = Self::he(choose(&[Pattern::Glands, Pattern::Sheet, Pattern::Stroma], rng));
        plan.stain = stain;
        if plan.pattern == Pattern::Glands {
            plan.draw_glands(rng);
        }
        plan
    }

    fn draw_glands(&mut self, rng: &mut Draw) {
        self.n_gland = choose(&[1, 1, 1, 2, 3, 4, 7, 8, 8], rng);
        self.nuclei = choose(&[Nuclei::Regular, Nuclei::Pleomorphic], rng);
    }

    /// Paints the plan.
    pub(crate) fn paint(&self, size_px: [usize; 2], settings: &Settings, rng: &mut Draw) -> (Painter, Truth) {
        let scale = settings.scale * rng.random_range(0.92..1.08);
        let mut painter = Painter::new(size_px, self.stain, scale, rng);
        let mut necrosis_fraction = 0.0;
        match self.pattern {
            Pattern::Glands => self.paint_glands(&mut painter, rng),
            Pattern::Sheet => necrosis_fraction = self.paint_sheet(&mut painter, rng),
            Pattern::Stroma => {
                let n_spindle = if self.infiltrate == Infiltrate::None { 9.0 } else { 4.0 };
                painter.stroma(n_spindle, rng);
                let density = if self.infiltrate == Infiltrate::Lymphocytes { 26.0 } else { 17.0 };
                self.paint_infiltrate(&mut painter, density, &[], rng);
            }
            Pattern::Necrosis => {
                painter.necrosis(rng);
                necrosis_fraction = 1.0;
            }
        }
        let subfield = if self.stain == Stain::Dab { Subfield::Ihc } else { Subfield::Histopathology };
        let truth = Truth {
            subfield,
            tier: self.tier,
            facts: Facts::Tissue(TissueFacts { necrosis_fraction, ..self.facts() }),
            marks: std::mem::take(&mut painter.marks),
        };
        (painter, truth)
    }

    fn paint_glands(&self, painter: &mut Painter, rng: &mut Draw) {
        painter.stroma(5.0, rng);
        let size_px = painter.canvas.size_px();
        let field_px = 168.0 * painter.magnified();
        let area = (size_px[0] * size_px[1]) as f32 / (field_px * field_px);
        // A picture the size of a training crop gets exactly n_gland; a larger field as many per area.
        let n_gland = if area < 2.5 { self.n_gland } else { (self.n_gland as f32 * area).round() as usize };
        let room_px = if area < 2.5 {
            (size_px[0].min(size_px[1]) as f32, (size_px[0] * size_px[1]) as f32)
        } else {
            (field_px, field_px * field_px)
        };
        let widest_px = [0.40, 0.36, 0.30, 0.27, 0.25, 0.20, 0.172, 0.165, 0.155][self.n_gland.min(8)];
        let radius_px = (widest_px * room_px.1.sqrt()).min(0.45 * room_px.0) * rng.random_range(0.92..1.0);
        let margin_px = if area < 2.5 { radius_px * 0.85 } else { 0.0 };
        let places = pack(size_px, n_gland, radius_px * 2.06, margin_px, rng);
        painter.glands(&places, radius_px, self.nuclei, self.marker.as_ref(), rng);
        if self.mitoses == Mitoses::Present {
            let rims: Vec<[f32; 2]> = places
                .iter()
                .flat_map(|centre| {
                    let first = rng.random_range(0.0..std::f32::consts::TAU);
                    let n_each = if places.len() < 3 { 3 } else { 2 };
                    (0..n_each)
                        .map(|idx| {
                            let turn = first + 2.1 * idx as f32;
                            let out = radius_px - 9.0 * painter.scale;
                            [centre[0] + out * turn.cos(), centre[1] + out * turn.sin()]
                        })
                        .collect::<Vec<_>>()
                })
                .filter(|place| within(size_px, *place, 10.0))
                .collect();
            painter.mitoses(&rims, rng);
        }
        let discs: Vec<([f32; 2], f32)> = places.iter().map(|&place| (place, radius_px * 1.05)).collect();
        let density = if self.infiltrate == Infiltrate::Lymphocytes { 40.0 } else { 26.0 };
        self.paint_infiltrate(painter, density, &discs, rng);
    }

    /// The leading cells, and a minority of others at the harder tiers.
    fn paint_infiltrate(
        &self,
        painter: &mut Painter,
        density: f32,
        avoid: &[([f32; 2], f32)],
        rng: &mut Draw,
    ) {
        if self.infiltrate == Infiltrate::None {
            return;
        }
        let minority = [0.0, 0.14, 0.26][self.tier as usize];
        let density = density * [1.0, 0.9, 0.8][self.tier as usize] * rng.random_range(0.85..1.25);
        let others = [
            Infiltrate::Lymphocytes,
            Infiltrate::PlasmaCells,
            Infiltrate::Neutrophils,
            Infiltrate::Eosinophils,
        ];
        let other = choose(&others, rng);
        if other != self.infiltrate && minority > 0.0 {
            painter.infiltrate(other, density * minority, avoid, rng);
        }
        painter.infiltrate(self.infiltrate, density * (1.0 - minority), avoid, rng);
    }

    fn paint_sheet(&self, painter: &mut Painter, rng: &mut Draw) -> f32 {
        let size_px = painter.canvas.size_px();
        let cells = painter.sheet(self.nuclei, self.marker.as_ref(), rng);
        let turn = rng.random_range(0.0..std::f32::consts::TAU);
        let (sin, cos) = turn.sin_cos();
        let [half_x, half_y] = size_px.map(|side| side as f32 * 0.5);
        let reach_px = half_x * cos.abs() + half_y * sin.abs();
        let share = rng.random_range(0.28..0.40);
        let salt: u32 = rng.random();
        let far_px = reach_px * (1.0 - 2.0 * share);
        let is_dead = self.dead_part == DeadPart::Present;
        let magnified = magnification(painter.scale);
        let dead = move |x: f32, y: f32| {
            let along = (x - half_x) * cos + (y - half_y) * sin;
            let wave_px = 30.0 * magnified;
            let wavy = 22.0 * magnified * (noise(x / wave_px, y / wave_px, salt) - 0.5);
            if is_dead { cover(far_px - along - wavy, 5.0) } else { 0.0 }
        };
        if self.mitoses == Mitoses::Present {
            let alive: Vec<[f32; 2]> = cells
                .into_iter()
                .filter(|&[x, y]| within(size_px, [x, y], 11.0) && dead(x, y) == 0.0)
                .collect();
            let field_px = 168.0 * magnified;
            let per_field = (size_px[0] * size_px[1]) as f32 / (field_px * field_px);
            let n_mitosis = ((rng.random_range(3..7) as f32) * per_field).round().max(2.0) as usize;
            let chosen: Vec<[f32; 2]> = alive.choose_multiple(rng, n_mitosis).copied().collect();
            painter.mitoses(&chosen, rng);
        }
        if !is_dead {
            return 0.0;
        }
        let mut other = Painter::new(size_px, self.stain, painter.scale, rng);
        other.necrosis(rng);
        painter.canvas.lay_over(&other.canvas, [0, 0], dead);
        painter.marks.retain(|mark| dead(mark.centre_px[0], mark.centre_px[1]) < 0.5);
        painter
            .marks
            .extend(other.marks.iter().filter(|mark| dead(mark.centre_px[0], mark.centre_px[1]) >= 0.5));
        let [width, height] = size_px;
        let n_dead =
            (0..width * height).filter(|idx| dead((idx % width) as f32, (idx / width) as f32) >= 0.5).count();
        n_dead as f32 / (width * height) as f32
    }

    /// Draws and develops the plan.
    pub(crate) fn develop(&self, size_px: [u32; 2], settings: &Settings, rng: &mut Draw) -> Phantom {
        let lab = Lab::draw(self.stain, settings, rng);
        let (painter, truth) = self.paint(size_px.map(|side| side as usize), settings, rng);
        Phantom { tile: lab.develop(painter.canvas), truth }
    }
}

fn within(size_px: [usize; 2], place: [f32; 2], margin_px: f32) -> bool {
    [0, 1].into_iter().all(|axis| place[axis] > margin_px && place[axis] < size_px[axis] as f32 - margin_px)
}

/// One of several.
pub(crate) fn choose<T: Copy>(from: &[T], rng: &mut Draw) -> T {
    from[rng.random_range(0..from.len())]
}

/// Places for discs that must not touch: by lot, and the best of many tries where it is tight.
fn pack(size_px: [usize; 2], n_disc: usize, apart_px: f32, margin_px: f32, rng: &mut Draw) -> Vec<[f32; 2]> {
    if margin_px <= 0.0 {
        return scatter(size_px, n_disc, apart_px, rng);
    }
    let mut best: Vec<[f32; 2]> = Vec::new();
    for _ in 0..40 {
        let mut places: Vec<[f32; 2]> = Vec::with_capacity(n_disc);
        for _ in 0..n_disc * 40 {
            if places.len() == n_disc {
                return places;
            }
            let place = size_px.map(|side| {
                let side = side as f32;
                let low = margin_px.min(side * 0.5 - 0.5);
                rng.random_range(low..side - low)
            });
            if places.iter().all(|other| (other[0] - place[0]).hypot(other[1] - place[1]) >= apart_px) {
                places.push(place);
            }
        }
        if places.len() > best.len() {
            best = places;
        }
    }
    best
}
