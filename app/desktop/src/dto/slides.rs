//! Slides and places on them.

use std::path::Path;

use eosin_workbench::ViewRect;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// An opened slide.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct SlideDto {
    /// Opaque name of the opened slide within this run.
    pub(crate) handle: String,
    /// Name of its content, the same in every run.
    pub(crate) id: String,
    pub(crate) path: String,
    /// File name, shown to the person who opened it and nowhere else.
    pub(crate) title: String,
    /// Reader that opened it.
    pub(crate) format: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Side of the tiles that the protocol serves.
    pub(crate) tile_px: u32,
    /// µm per base pixel, where known: typed by a person, else as the file states it.
    pub(crate) mpp: Option<f64>,
    /// As the file states it.
    pub(crate) file_mpp: Option<f64>,
    /// Magnification of base pixels, where known.
    pub(crate) magnification: Option<f64>,
    /// Magnifications to choose from; none where no magnification is known.
    pub(crate) presets: Vec<PresetDto>,
    /// How it was shown last: the look's code in tile addresses.
    pub(crate) look: String,
    /// Sizes that the file holds, largest first.
    pub(crate) levels: Vec<LevelDto>,
}

/// One of the sizes that a file holds.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LevelDto {
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Base pixels per pixel.
    pub(crate) downsample: f64,
}

/// A magnification, and what showing it takes.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PresetDto {
    pub(crate) magnification: f64,
    /// Base pixels per pixel of the screen.
    pub(crate) downsample: f64,
    /// Size of the whole slide at this magnification.
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
}

/// What is known of a slide, without what may name a patient.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct InformationDto {
    pub(crate) associated: Vec<AssociatedDto>,
    /// How many more facts the file states; they may hold patient data and are shown when asked for.
    pub(crate) n_property: u32,
}

/// A picture that a file holds beside its slide.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct AssociatedDto {
    pub(crate) name: String,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Whether it may show patient data: a label, a photograph of the glass.
    pub(crate) sensitive: bool,
}

/// A fact that a file states, in its own words.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct PropertyDto {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Slides and pictures among what was dropped.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ListingDto {
    pub(crate) files: Vec<FileDto>,
    /// Whether there are more than are listed.
    pub(crate) truncated: bool,
    /// Folders that could not be read.
    pub(crate) n_unread: u32,
}

/// A file that may be opened.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct FileDto {
    pub(crate) path: String,
    /// Its own name.
    pub(crate) title: String,
    /// The folder that it is in.
    pub(crate) folder: String,
}

impl FileDto {
    /// A file by its path.
    pub(crate) fn of(path: &Path) -> Self {
        let words = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        Self {
            path: path.to_string_lossy().into_owned(),
            title: words(path.file_name()),
            folder: words(path.parent().map(Path::as_os_str)),
        }
    }
}

/// A visible rectangle of a slide, in base pixels.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, TS)]
#[expect(clippy::struct_field_names, reason = "the unit ends a name, as everywhere")]
pub(crate) struct ViewDto {
    pub(crate) x_base_px: u32,
    pub(crate) y_base_px: u32,
    pub(crate) width_base_px: u32,
    pub(crate) height_base_px: u32,
}

impl ViewDto {
    /// A part of a slide; what lies outside the slide's corner is cut off.
    pub(crate) fn of(view: ViewRect) -> Self {
        let [x_base_px, y_base_px] = view.origin_base_px.map(|side| side.max(0.0) as u32);
        let [width_base_px, height_base_px] = view.size_base_px.map(|side| side.max(1.0).round() as u32);
        Self { x_base_px, y_base_px, width_base_px, height_base_px }
    }
}

impl From<ViewDto> for ViewRect {
    fn from(view: ViewDto) -> Self {
        Self {
            origin_base_px: [view.x_base_px, view.y_base_px].map(f64::from),
            size_base_px: [view.width_base_px, view.height_base_px].map(f64::from),
        }
    }
}

#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        SlideDto::decl(config),
        LevelDto::decl(config),
        PresetDto::decl(config),
        InformationDto::decl(config),
        AssociatedDto::decl(config),
        PropertyDto::decl(config),
        ListingDto::decl(config),
        FileDto::decl(config),
        ViewDto::decl(config),
    ]
}
