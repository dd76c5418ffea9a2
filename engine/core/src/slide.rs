//! What a slide says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Content hash of a slide, hexadecimal. Never a path: file names carry patient names.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SlideId(pub String);

impl fmt::Display for SlideId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Micrometres per pixel, of both axes together.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Mpp(f64);

/// A scale that no microscope has.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{0} µm per pixel is not a plausible scale: it must lie in 0.01…1000")]
pub struct MppError(f64);

impl Mpp {
    /// A scale between 0.01 and 1000 µm per pixel.
    pub fn new(um_per_px: f64) -> Result<Self, MppError> {
        // The comparison is written so that NaN fails it.
        if (0.01..=1000.0).contains(&um_per_px) { Ok(Self(um_per_px)) } else { Err(MppError(um_per_px)) }
    }

    /// Micrometres per pixel.
    pub fn um_per_px(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Mpp {
    type Error = MppError;
    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<Mpp> for f64 {
    fn from(mpp: Mpp) -> Self {
        mpp.0
    }
}

/// One resolution of a pyramid.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Level {
    /// Width and height in the level's own pixels.
    pub size_px: [u32; 2],
    /// Base pixels per pixel of this level.
    pub downsample: f64,
}

/// An extra picture in a slide file. Label and macro show patient data: hidden unless asked for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AssociatedImage {
    /// The file's own name for it: `label`, `macro`, `thumbnail`.
    pub name: String,
    /// Width and height.
    pub size_px: [u32; 2],
    /// Whether it may show patient data.
    pub sensitive: bool,
}

/// What a slide says about itself, without its name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SlideInfo {
    /// Content hash.
    pub id: SlideId,
    /// Reader that opened it: `aperio`, `generic-tiff`, `png`…
    pub format: String,
    /// Resolutions, finest first; never empty.
    pub levels: Vec<Level>,
    /// Scale of level 0, where the file states a plausible one.
    pub mpp: Option<Mpp>,
    /// Nominal objective power, where stated.
    pub magnification: Option<f64>,
    /// Extra pictures, sensitive ones included by name only.
    pub associated: Vec<AssociatedImage>,
}

impl SlideInfo {
    /// Width and height of level 0.
    pub fn base_px(&self) -> [u32; 2] {
        self.levels[0].size_px
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_scale_is_refused() {
        assert!(Mpp::new(0.25).is_ok());
        for um_per_px in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            assert!(Mpp::new(um_per_px).is_err(), "{um_per_px}");
        }
    }
}
