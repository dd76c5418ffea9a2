//! A region or a view as a picture file, larger than any screen: with its look, annotations and a scale bar.
//!
//! The figure is painted in bands and each band goes to the encoder before the next is read, so that memory
//! follows the width and not the area. PNG, JPEG or TIFF by the name's ending; the scale is written as the file's
//! resolution; nothing else is written into it, no name and no date. The file appears when it is whole.
//! Held true by `figure/tests.rs`.

mod canvas;
mod encode;
mod ink;
mod lettering;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use eosin_core::{Hint, SlideInfo};
use eosin_slide::{Slide, SlideError};

use crate::annotation::Feature;
use crate::look::{Look, LookTables};
use crate::measure::{Measure, ScaleBar};
use canvas::Canvas;

/// Most pixels of a figure.
pub const FIGURE_PX_MAX: u64 = 200_000_000;
/// Longest side; no JPEG is longer.
const SIDE_PX_MAX: u32 = 65_000;
/// Scales that are drawn: beyond them there is nothing to see.
const DOWNSAMPLE: std::ops::RangeInclusive<f64> = 1.0 / 64.0..=1e5;

/// A corner of a figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Corner {
    /// Top left.
    TopLeft,
    /// Top right.
    TopRight,
    /// Bottom left.
    BottomLeft,
    /// Bottom right.
    BottomRight,
}

/// What a figure shows and how.
#[derive(Clone, PartialEq, Debug)]
pub struct FigureRequest {
    /// Place of the figure's middle on the slide; parts beyond the slide are white.
    pub center_base_px: [f64; 2],
    /// Base pixels per pixel of the figure.
    pub downsample: f64,
    /// Width and height of the figure.
    pub size_px: [u32; 2],
    /// Turned clockwise by so much.
    pub rotation_degrees: f64,
    /// Brightness, contrast, gamma, stain.
    pub look: Look,
    /// Annotations drawn in, each in its colour.
    pub features: Vec<Feature>,
    /// Width of their lines in the figure.
    pub stroke_px: f64,
    /// Where a scale bar stands, if one is wanted.
    pub scale_bar: Option<Corner>,
}

impl FigureRequest {
    /// A rectangle of the slide at a scale, upright, as scanned, without anything drawn in.
    pub fn region(origin_base_px: [f64; 2], size_base_px: [f64; 2], downsample: f64) -> Self {
        let size_px = size_base_px.map(|side| ((side / downsample - 1e-6).ceil() as u32).max(1));
        // Of the pixels, which may reach a little beyond the rectangle.
        let center = |k: usize| origin_base_px[k] + f64::from(size_px[k]) * downsample / 2.0;
        Self::view([center(0), center(1)], downsample, size_px)
    }

    /// What a viewer shows around a place, upright, as scanned, without anything drawn in.
    pub fn view(center_base_px: [f64; 2], downsample: f64, size_px: [u32; 2]) -> Self {
        let stroke_px = (f64::from(size_px[0].min(size_px[1])) / 400.0).max(1.5);
        let (look, features) = (Look::default(), Vec::new());
        let (rotation_degrees, scale_bar) = (0.0, None);
        Self { center_base_px, downsample, size_px, rotation_degrees, look, features, stroke_px, scale_bar }
    }

    /// The same figure with `factor` times as many pixels a side; lines become as much wider.
    #[must_use]
    pub fn enlarged(self, factor: f64) -> Self {
        let size_px = self.size_px.map(|side| ((f64::from(side) * factor).round() as u32).max(1));
        Self { size_px, downsample: self.downsample / factor, stroke_px: self.stroke_px * factor, ..self }
    }

    fn check(&self) -> Result<(), FigureError> {
        let [width, height] = self.size_px;
        let n_px = u64::from(width) * u64::from(height);
        if n_px == 0 || n_px > FIGURE_PX_MAX || width.max(height) > SIDE_PX_MAX {
            return Err(FigureError::Size { size_px: self.size_px });
        }
        let numbers = [self.center_base_px[0], self.center_base_px[1], self.rotation_degrees, self.stroke_px];
        if !numbers.iter().all(|number| number.is_finite()) || !DOWNSAMPLE.contains(&self.downsample) {
            return Err(FigureError::View);
        }
        Ok(())
    }

    /// The scale bar that the figure of a slide gets: a fifth of its width at most.
    fn bar(&self, info: &SlideInfo) -> ScaleBar {
        Measure::of(info).scale_bar(self.downsample, f64::from(self.size_px[0]) * 0.2)
    }
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// No pixels, or too many.
    #[error(
        "a figure of {} × {} px cannot be made: at most {FIGURE_PX_MAX} px and {SIDE_PX_MAX} a side",
        size_px[0], size_px[1]
    )]
    Size {
        /// The size asked for.
        size_px: [u32; 2],
    },
    /// Numbers that are no view.
    #[error("this is no view of a slide")]
    View,
    /// The name's ending says no format.
    #[error("no picture format is known by the ending of {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The slide fails.
    #[error(transparent)]
    Slide(#[from] SlideError),
    /// The file cannot be written.
    #[error("cannot write the figure {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Who watched it being made ended it.
    #[error("the figure was given up")]
    Stopped,
}

impl Hint for FigureError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Size { .. } => Some("choose a smaller region or a coarser scale"),
            Self::Format { .. } => Some("end the name in .png, .jpg or .tif"),
            Self::Slide(error) => error.hint(),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space or choose another place")
            }
            Self::View | Self::Write { .. } | Self::Stopped => None,
        }
    }
}

/// Writes a figure.
///
/// # Errors
/// [`FigureError`]; the file is then absent, or what it was before.
pub fn export_figure(slide: &Slide, request: &FigureRequest, path: &Path) -> Result<(), FigureError> {
    export_figure_watched(slide, request, path, &mut |_| ControlFlow::Continue(()))
}

/// As [`export_figure`]; `watch` hears the share that is done, 0…1, and may end it.
///
/// # Errors
/// As [`export_figure`], and [`FigureError::Stopped`].
pub fn export_figure_watched(
    slide: &Slide,
    request: &FigureRequest,
    path: &Path,
    watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<(), FigureError> {
    request.check()?;
    let format = encode::Format::of(path).ok_or_else(|| FigureError::Format { path: path.to_path_buf() })?;
    let um_per_px = slide.info().mpp.map(|mpp| mpp.um_per_px() * request.downsample);
    let tables = LookTables::new(request.look);
    let mut canvas = Canvas::new(slide, request, &tables);
    encode::write(path, format, request.size_px, um_per_px, &mut |rows, band| {
        let share = f64::from(rows.start) / f64::from(request.size_px[1]);
        if watch(share).is_break() {
            return Err(FigureError::Stopped);
        }
        canvas.paint(rows, band)
    })
}

#[cfg(test)]
mod tests;
