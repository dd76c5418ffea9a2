//! From dye to light: Beer–Lambert absorption, a lamp, a lens and a sensor.
//!
//! Each dye has an optical density per channel (Ruifrok & Johnston 2001 for haematoxylin, eosin and DAB;
//! the others are set by eye); laboratories differ in strength and hue, so both are drawn anew for every
//! phantom. Held true by `brown_rises_with_the_grade` in the tests of `phantom.rs`.

use eosin_core::RgbTile;
use rand::Rng;

use super::canvas::{Canvas, noise};
use super::truth::Stain;
use super::{Draw, Settings};

/// Optical density per unit of dye, for red, green and blue.
#[derive(Clone, Copy)]
pub(crate) struct Lab {
    density: [[f32; 3]; 3],
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

impl Lab {
    /// A laboratory's own strengths and hues.
    pub(crate) fn draw(stain: Stain, settings: &Settings, rng: &mut Draw) -> Self {
        let mut density = match stain {
            Stain::He => [HAEMATOXYLIN, EOSIN, [0.0; 3]],
            // The counterstain of immunohistochemistry is haematoxylin alone: thin and blue-grey.
            Stain::Dab => [[0.85, 0.62, 0.30], [0.16, 0.13, 0.07], DAB],
            Stain::Pas => [[0.95, 0.75, 0.30], [0.10, 0.42, 0.14], MAGENTA],
            Stain::Trichrome => [[0.98, 0.95, 0.70], FUCHSIN, ANILINE_BLUE],
        };
        let variation = settings.stain_variation;
        for (dye_idx, dye) in density.iter_mut().enumerate() {
            // The chromogen carries the grade: its strength must not vary as much as a grade.
            let spread = if dye_idx == 2 && stain == Stain::Dab { 0.06 } else { 0.20 };
            let strength = settings.stain_strength * (1.0 + variation * rng.random_range(-spread..spread));
            for channel in dye.iter_mut() {
                *channel *= strength * (1.0 + variation * rng.random_range(-0.07..0.07));
            }
        }
        let lamp = [0, 1, 2].map(|_| 250.0 - variation * rng.random_range(0.0..9.0));
        Self {
            density,
            lamp,
            blur: settings.blur * rng.random_range(0.5..1.0),
            noise: settings.noise * rng.random_range(0.4..1.0),
            salt: rng.random(),
        }
    }

    /// The picture that the sensor sees.
    pub(crate) fn develop(&self, canvas: Canvas) -> RgbTile {
        let [width_px, height_px] = canvas.size_px();
        let mut light: Vec<[f32; 3]> = canvas
            .into_inks()
            .into_iter()
            .map(|ink| {
                [0, 1, 2].map(|channel| {
                    let density: f32 =
                        ink.iter().zip(&self.density).map(|(amount, dye)| amount * dye[channel]).sum();
                    self.lamp[channel] * (-density.max(0.0) * std::f32::consts::LN_10 * 0.62).exp()
                })
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
