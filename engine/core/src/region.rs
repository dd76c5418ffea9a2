//! A rectangle of a slide, and the scale it is read at.

use serde::{Deserialize, Serialize};

use crate::{Mpp, SlideId};

/// Scale of the pixels of a [`Region`].
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionScale {
    /// Base pixels per returned pixel; always possible.
    Downsample(f64),
    /// Micrometres per returned pixel; needs a slide that states its scale.
    Mpp(Mpp),
}

/// A rectangle of one slide: placed in base pixels, read at a stated scale.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Region {
    /// Content hash, never a path: file names carry patient names.
    pub slide: SlideId,
    /// Top-left corner at level 0; x right, y down.
    pub origin_base_px: [u32; 2],
    /// Width and height of the pixels returned.
    pub size_px: [u32; 2],
    /// Scale of the pixels returned.
    pub scale: RegionScale,
}
