//! Figures.

use serde::Deserialize;
use ts_rs::TS;

/// What a figure shows, and how.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct FigureDto {
    pub(crate) center_base_px: [f64; 2],
    /// Base pixels per pixel of the figure.
    pub(crate) downsample: f64,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    pub(crate) rotation_degrees: f64,
    /// The look's code in tile addresses.
    pub(crate) look: String,
    /// Whether annotations are drawn in.
    pub(crate) annotations: bool,
    pub(crate) scale_bar: Option<CornerDto>,
    /// Ending of the name that is proposed: `png`, `jpg`, `tif`.
    pub(crate) ending: String,
}

/// A corner of a figure.
#[derive(Clone, Copy, Debug, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CornerDto {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![FigureDto::decl(config), CornerDto::decl(config)]
}
