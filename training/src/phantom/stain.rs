//! From dye to light: Beer–Lambert absorption, a lamp, a lens and a sensor.
//!
//! Each dye has an optical density per channel (Ruifrok & Johnston 2001 for haematoxylin, eosin and DAB;
//! the others are set by eye); laboratories differ in strength and hue, so both are drawn anew for every
//! phantom. Held true by `brown_rises_with_the_grade` in the tests of `phantom.rs`.

use eosin_core::RgbTile;
use rand::Rng;

use super::canvas::{Canvas, noise};
use super::truth::{SmearDye, Stain};
use super::{Draw, Settings};

/// Optical density per unit of dye, for red, green and blue.
#[derive(Clone, Copy)]
pub(crate) struct Lab {
    /// None where the canvas holds light itself.
    density: Option<[[f32; 3]; 3]>,
    hue_turn: f32,
    lamp: [f32; 3],
    blur: f32,
    noise: f32,
    salt: u32,
}

const HAEMATOXYLIN: [f32; 3] = [0.95, 0.92, 0.42];
const EOSIN: [f32; 3] = [0.10, 0.95, 0.34];
const DAB: [f32; 3] = [0.42, 0.88, 1.25];
const MAGENTA: [f32; 3] = [0.25, 1.15, 0.42];
const ANILINE_BLUE: [f32; 3] = [1.05, 0.50, 0.14];
const FUCHSIN: [f32; 3] = [0.16, 1.05, 0.72];

const PAPANICOLAOU: [[f32; 3]; 3] = [HAEMATOXYLIN, [0.85, 0.34, 0.26], [0.14, 0.62, 0.66]];
const GIEMSA: [[f32; 3]; 3] = [[0.80, 1.00, 0.34], [0.80, 0.62, 0.16], [0.22, 0.66, 0.34]];

impl Lab {
    /// A laboratory's own strengths and hues for a section.
    pub(crate) fn draw(stain: Stain, settings: &Settings, rng: &mut Draw) -> Self {
        let density = match stain {
            Stain::He => [HAEMATOXYLIN, EOSIN, [0.0; 3]],
            // The counterstain of immunohistochemistry is haematoxylin alone: thin and blue-grey.
            Stain::Dab => [[0.85, 0.62, 0.30], [0.16, 0.13, 0.07], DAB],
            Stain::Pas => [[0.95, 0.75, 0.30], [0.10, 0.42, 0.14], MAGENTA],
            Stain::Trichrome => [[0.98, 0.95, 0.70], FUCHSIN, ANILINE_BLUE],
        };
        // The chromogen carries the grade: its strength must not vary as much as a grade.
        let spread = if stain == Stain::Dab { [0.40, 0.45, 0.06] } else { [0.40, 0.45, 0.35] };
        Self::mix(density, spread, settings, rng)
    }

    /// The same for a smear.
    pub(crate) fn smear(dye: SmearDye, settings: &Settings, rng: &mut Draw) -> Self {
        let density = match dye {
            SmearDye::Papanicolaou => PAPANICOLAOU,
            SmearDye::Giemsa => GIEMSA,
        };
        Self::mix(density, [0.30, 0.40, 0.40], settings, rng)
    }

    fn mix(mut density: [[f32; 3]; 3], spread: [f32; 3], settings: &Settings, rng: &mut Draw) -> Self {
        let variation = settings.stain_variation;
        for (dye, spread) in density.iter_mut().zip(spread) {
            let strength = settings.stain_strength * (1.0 + variation * rng.random_range(-spread..spread));
            for channel in dye.iter_mut() {
                *channel *= strength * (1.0 + variation * rng.random_range(-0.12..0.12));
            }
        }
        Self::light(Some(density), 16.0, settings, rng)
    }

    /// A camera that sees the canvas as light: cut surfaces and fluorescence, strength as exposure.
    pub(crate) fn camera(settings: &Settings, rng: &mut Draw) -> Self {
        let mut lab = Self::light(None, 26.0, settings, rng);
        lab.lamp = lab.lamp.map(|channel| channel * settings.stain_strength);
        lab
    }

    fn light(density: Option<[[f32; 3]; 3]>, fade: f32, settings: &Settings, rng: &mut Draw) -> Self {
        let variation = settings.stain_variation;
        Self {
            density,
            hue_turn: settings.hue_turn_deg.to_radians(),
            lamp: [0, 1, 2].map(|_| 252.0 - variation * rng.random_range(0.0..fade)),
            blur: settings.blur * rng.random_range(0.5..1.0),
            noise: settings.noise * rng.random_range(0.4..1.0),
            salt: rng.random(),
        }
    }

    /// Turns a colour about the grey axis.
    fn turn(&self, colour: [f32; 3]) -> [f32; 3] {
        let (sin, cos) = self.hue_turn.sin_cos();
        let [along, across] = [(1.0 - cos) / 3.0, sin / 3.0_f32.sqrt()];
        [0, 1, 2].map(|channel: usize| {
            let [next, last] = [colour[(channel + 1) % 3], colour[(channel + 2) % 3]];
            colour[channel] * (cos + along) + next * (along - across) + last * (along + across)
        })
    }

    /// The picture that the sensor sees.
    pub(crate) fn develop(&self, canvas: Canvas) -> RgbTile {
        let [width_px, height_px] = canvas.size_px();
        let mut light: Vec<[f32; 3]> = canvas
            .into_inks()
            .into_iter()
            .map(|ink| {
                let colour = [0, 1, 2].map(|channel| {
                    let Some(dyes) = &self.density else { return self.lamp[channel] * ink[channel] };
                    let density: f32 = ink.iter().zip(dyes).map(|(amount, dye)| amount * dye[channel]).sum();
                    self.lamp[channel] * (-density.max(0.0) * std::f32::consts::LN_10 * 0.62).exp()
                });
                if self.hue_turn == 0.0 { colour } else { self.turn(colour) }
            })
            .collect();
        self.blur_rows(&mut light, width_px);
        self.blur_columns(&mut light, width_px);
        let mut pixels = Vec::with_capacity(light.len() * 3);
        for (idx, colour) in light.iter().enumerate() {
            let [x, y] = [(idx % width_px) as f32, (idx / width_px) as f32];
            // Uneven light over half a field, and a grain that differs by channel.
            let shade = 0.975 + 0.05 * noise(x / 170.0, y / 170.0, self.salt);
            for (channel, value) in colour.iter().enumerate() {
                let salt = self.salt ^ (channel as u32 + 1).wrapping_mul(0x51_7CC1);
                let grain = super::canvas::lattice(x as i32, y as i32, salt) - 0.5;
                pixels.push((value * shade + grain * self.noise).round().clamp(0.0, 255.0) as u8);
            }
        }
        let size_px = [width_px as u32, height_px as u32];
        match RgbTile::new(size_px, pixels) {
            Ok(tile) => tile,
            Err(fault) => unreachable!("a canvas is never empty and gives three bytes a pixel: {fault}"),
        }
    }

    fn blur_rows(&self, light: &mut [[f32; 3]], width_px: usize) {
        for row in light.chunks_exact_mut(width_px) {
            let mut before = row[0];
            for x in 0..width_px {
                let here = row[x];
                let after = row[(x + 1).min(width_px - 1)];
                for channel in 0..3 {
                    let sides = (before[channel] + after[channel]) * 0.5;
                    row[x][channel] += (sides - here[channel]) * self.blur;
                }
                before = here;
            }
        }
    }

    fn blur_columns(&self, light: &mut [[f32; 3]], width_px: usize) {
        let height_px = light.len() / width_px;
        for x in 0..width_px {
            let mut before = light[x];
            for y in 0..height_px {
                let here = light[y * width_px + x];
                let after = light[(y + 1).min(height_px - 1) * width_px + x];
                for channel in 0..3 {
                    let sides = (before[channel] + after[channel]) * 0.5;
                    light[y * width_px + x][channel] += (sides - here[channel]) * self.blur;
                }
                before = here;
            }
        }
    }
}
