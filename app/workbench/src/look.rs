//! How a slide is shown: brightness, contrast, gamma, and views of a single stain.
//!
//! All three settings become one table of 256 entries, the same for each channel. A view of one stain (colour
//! deconvolution, Ruifrok and Johnston 2001) is a sum of three table entries, the amount of that stain, and one
//! look into a table of its colours, into which the settings are folded. So a tile costs about a millisecond and
//! no pixel a logarithm. Looks are part of tile addresses, so they are whole numbers with a short code, and
//! what cannot be written is not read. Held true by `look/tests.rs`, against scikit-image for the stains.

use std::fmt;

use eosin_core::RgbTile;
use serde::{Deserialize, Serialize};

mod stain;

pub use stain::{Stain, StainView, Tint};

/// How pixels are changed before they are shown; the default changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Look {
    /// −100…100: up to half of the range darker or lighter.
    pub brightness: i8,
    /// −100…100: from a quarter of the contrast to four times as much, around mid-grey.
    pub contrast: i8,
    /// Hundredths, 10…500: above 100 the dark parts become lighter.
    pub gamma: u16,
    /// All of the picture, or one stain of it.
    pub stain: StainView,
}

/// A code that no look has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no look has the code {0:?}")]
pub struct LookError(String);

impl Default for Look {
    fn default() -> Self {
        Self { brightness: 0, contrast: 0, gamma: 100, stain: StainView::All }
    }
}

impl Look {
    /// Least and most of brightness and contrast.
    pub const PERCENT: std::ops::RangeInclusive<i8> = -100..=100;
    /// Least and most gamma, in hundredths.
    pub const GAMMA: std::ops::RangeInclusive<u16> = 10..=500;

    /// Whether it leaves pixels as they are.
    pub fn is_neutral(&self) -> bool {
        *self == Self::default()
    }

    /// The nearest look whose settings are within their ranges.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            brightness: self.brightness.clamp(*Self::PERCENT.start(), *Self::PERCENT.end()),
            contrast: self.contrast.clamp(*Self::PERCENT.start(), *Self::PERCENT.end()),
            gamma: self.gamma.clamp(*Self::GAMMA.start(), *Self::GAMMA.end()),
            stain: self.stain,
        }
    }

    /// Its name in a tile address: `brightness.contrast.gamma.stain`.
    ///
    /// ```
    /// # use eosin_workbench::{Look, StainView};
    /// let look = Look { contrast: 20, ..Look::default() };
    /// assert_eq!(look.code(), "0.20.100.all");
    /// assert_eq!(Look::from_code("0.20.100.all"), Ok(look));
    /// ```
    pub fn code(&self) -> String {
        let Self { brightness, contrast, gamma, stain } = self.clamped();
        format!("{brightness}.{contrast}.{gamma}.{}", stain.code())
    }

    /// The look of a code. Each look has one code, so that no tile is kept twice.
    ///
    /// # Errors
    /// [`LookError`] for anything that [`Look::code`] does not write.
    pub fn from_code(code: &str) -> Result<Self, LookError> {
        let parse = || {
            let mut parts = code.split('.');
            let look = Self {
                brightness: parts.next()?.parse().ok()?,
                contrast: parts.next()?.parse().ok()?,
                gamma: parts.next()?.parse().ok()?,
                stain: StainView::from_code(parts.next()?)?,
            };
            // Leading zeros, a plus sign, more parts, values out of range: all of them write another code.
            (look.code() == code).then_some(look)
        };
        parse().ok_or_else(|| LookError(code.chars().take(40).collect()))
    }

    /// Changes the pixels in place.
    pub fn apply(&self, tile: &mut RgbTile) {
        if !self.is_neutral() {
            LookTables::new(*self).apply(tile.pixels_mut());
        }
    }
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code())
    }
}

impl std::str::FromStr for Look {
    type Err = LookError;

    fn from_str(code: &str) -> Result<Self, LookError> {
        Self::from_code(code)
    }
}

/// A look made ready: keep it where many tiles get the same one.
#[derive(Clone)]
pub struct LookTables(Kind);

#[derive(Clone)]
enum Kind {
    Neutral,
    Tone(Box<[u8; 256]>),
    Stain(Box<stain::StainTables>),
}

impl LookTables {
    /// The tables of a look; settings out of range count as the nearest within.
    pub fn new(look: Look) -> Self {
        let look = look.clamped();
        Self(match look.stain {
            StainView::All if look.is_neutral() => Kind::Neutral,
            StainView::All => Kind::Tone(Box::new(tones(look))),
            StainView::One { stain, tint } => {
                Kind::Stain(Box::new(stain::StainTables::new(stain, tint, &tones(look))))
            }
        })
    }

    /// Changes pixels in place.
    ///
    /// # Shapes
    /// - `pixels`: three bytes a pixel, `RGB`
    pub fn apply(&self, pixels: &mut [u8]) {
        match &self.0 {
            Kind::Neutral => {}
            Kind::Tone(table) => {
                for value in pixels {
                    *value = table[usize::from(*value)];
                }
            }
            Kind::Stain(tables) => tables.apply(pixels),
        }
    }
}

impl fmt::Debug for LookTables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Neutral => "LookTables(neutral)",
            Kind::Tone(_) => "LookTables(tone)",
            Kind::Stain(_) => "LookTables(stain)",
        })
    }
}

/// What brightness, contrast and gamma make of each value.
fn tones(look: Look) -> [u8; 256] {
    let contrast = (f32::from(look.contrast) / 50.0).exp2();
    let brightness = f32::from(look.brightness) / 200.0;
    let exponent = 100.0 / f32::from(look.gamma);
    std::array::from_fn(|value| {
        let linear = (value as f32 / 255.0 - 0.5) * contrast + 0.5 + brightness;
        (linear.clamp(0.0, 1.0).powf(exponent) * 255.0).round() as u8
    })
}

#[cfg(test)]
mod tests;
