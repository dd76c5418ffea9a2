//! A guess at how a picture is stained, from its colours alone.
//!
//! Measured on the real tiles in `tests/library.rs`: on H&E nearly every coloured pixel has less green than red and
//! blue; on immunohistochemistry (haematoxylin and DAB) hardly one, but brown or blue ones; fluorescence is dark.
//! Blood smears and other stains lie between and are called other. It is a guess and says so wherever it is shown.

use std::fmt;
use std::str::FromStr;

use eosin_core::RgbTile;
use serde::{Deserialize, Serialize};

/// How something is stained.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stain {
    /// Haematoxylin and eosin.
    He,
    /// Immunohistochemistry with a brown chromogen (DAB).
    Ihc,
    /// Fluorescence, on a dark ground.
    Fluorescence,
    /// Anything else, or nothing to see.
    #[default]
    Other,
}

impl Stain {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::He, Self::Ihc, Self::Fluorescence, Self::Other];

    /// As it is stored and typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::He => "he",
            Self::Ihc => "ihc",
            Self::Fluorescence => "fluorescence",
            Self::Other => "other",
        }
    }

    /// The guess for a picture.
    pub fn guess(tile: &RgbTile) -> Self {
        let (mut n_px, mut n_dark, mut n_colour, mut n_pink, mut n_brown, mut n_blue) = (0, 0, 0, 0, 0, 0);
        let pixels = tile.pixels().as_chunks::<3>().0;
        // Some ten thousand pixels tell as much as all.
        for [red, green, blue] in pixels.iter().step_by((pixels.len() >> 15).max(1)) {
            let [red, green, blue] = [*red, *green, *blue].map(i32::from);
            let (most, least) = (red.max(green).max(blue), red.min(green).min(blue));
            n_px += 1;
            n_dark += i32::from(most < DARK);
            if most < DARK || most - least < COLOURED {
                continue;
            }
            n_colour += 1;
            n_pink += i32::from(green < red - 8 && green < blue - 8);
            n_brown += i32::from(blue < green - 3 && green < red && red - blue > 35);
            n_blue += i32::from(blue > red + 8 && blue > green);
        }
        let share = |n: i32, of: i32| f64::from(n) / f64::from(of.max(1));
        if share(n_dark, n_px) > 0.8 {
            Self::Fluorescence
        } else if share(n_colour, n_px) < 0.002 {
            Self::Other
        } else if share(n_pink, n_colour) > 0.65 {
            Self::He
        } else if share(n_pink, n_colour) < 0.1 && share(n_brown + n_blue, n_colour) > 0.2 {
            Self::Ihc
        } else {
            Self::Other
        }
    }
}

/// A pixel whose brightest channel is below is dark.
const DARK: i32 = 60;
/// A pixel whose channels differ by as much has a colour.
const COLOURED: i32 = 20;

impl fmt::Display for Stain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no stain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no stain: he, ihc, fluorescence or other")]
pub struct StainError(String);

impl FromStr for Stain {
    type Err = StainError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "he" | "h&e" => Ok(Self::He),
            "ihc" | "dab" => Ok(Self::Ihc),
            "fluorescence" | "if" => Ok(Self::Fluorescence),
            "other" => Ok(Self::Other),
            _ => Err(StainError(text.chars().take(40).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_tell_the_stain() {
        let check = |colours: &[[u8; 3]], expected: Stain| {
            let pixels: Vec<u8> = colours.iter().flat_map(|colour| colour.repeat(64 * 16)).collect();
            let tile = RgbTile::new([64, 16 * colours.len() as u32], pixels).unwrap();
            assert_eq!(Stain::guess(&tile), expected, "{colours:?}");
        };
        let white = [244, 243, 245];
        check(&[white, [220, 150, 190], [120, 70, 150]], Stain::He);
        check(&[white, [120, 85, 50], [150, 160, 190]], Stain::Ihc);
        check(&[white, [150, 160, 190]], Stain::Ihc);
        check(&[[3, 3, 9], [4, 4, 10], [2, 2, 8], [5, 5, 9], [6, 6, 9], [20, 30, 180]], Stain::Fluorescence);
        check(&[white], Stain::Other);
        check(&[white, [60, 170, 120]], Stain::Other);
    }

    #[test]
    fn names_are_read_back() {
        for stain in Stain::ALL {
            assert_eq!(stain.name().parse(), Ok(stain));
        }
        assert!("purple".parse::<Stain>().is_err());
    }
}
