//! The library as the page sees it.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::ViewDto;

/// A place that is indexed.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct SourceDto {
    #[ts(type = "number")]
    pub(crate) id: i64,
    pub(crate) title: String,
    pub(crate) path: String,
    pub(crate) n_item: u32,
}

/// What is in the library.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LibraryDto {
    pub(crate) model: String,
    /// What happened when it was opened, where that is news.
    pub(crate) notice: Option<String>,
    pub(crate) n_item: u32,
    pub(crate) n_done: u32,
    pub(crate) tags: Vec<String>,
    /// Names of stains, as in `choice.stain.NAME`.
    pub(crate) stains: Vec<String>,
    pub(crate) sources: Vec<SourceDto>,
}

/// A file that could not be indexed.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct FaultDto {
    pub(crate) title: String,
    pub(crate) reason: String,
}

/// How far the indexing is.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct IndexProgressDto {
    /// `running`, `paused`, `done`, `stopped` or `failed`.
    pub(crate) state: String,
    pub(crate) n_done: u32,
    pub(crate) n_total: u32,
    /// Files that were there already, unchanged.
    pub(crate) n_skipped: u32,
    pub(crate) n_fault: u32,
    pub(crate) faults: Vec<FaultDto>,
    pub(crate) tiles_per_sec: Option<f64>,
    pub(crate) secs_left: Option<f64>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// What is looked for.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum QueryDto {
    /// A part of an opened slide.
    View { slide: String, view: ViewDto },
    /// Words.
    Words { words: String },
    /// A picture file.
    File { path: String },
    /// Something that was found before.
    Item {
        #[ts(type = "number")]
        item: i64,
    },
}

/// A search.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct SearchDto {
    pub(crate) query: QueryDto,
    pub(crate) tags: Vec<String>,
    pub(crate) stain: Option<String>,
    pub(crate) only_slide: Option<String>,
    pub(crate) except_slide: Option<String>,
    pub(crate) n: u32,
}

/// Something that was found.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct HitDto {
    #[ts(type = "number")]
    pub(crate) item: i64,
    /// Cosine, −1…1.
    pub(crate) score: f32,
    pub(crate) title: String,
    pub(crate) path: String,
    pub(crate) slide_id: Option<String>,
    /// Where on the slide; none for a whole picture.
    pub(crate) view: Option<ViewDto>,
    pub(crate) um_per_px: Option<f64>,
    pub(crate) tags: Vec<String>,
    pub(crate) stain: String,
    /// Whether somebody said so; else it is a guess.
    pub(crate) stain_stated: bool,
    /// Address of a small copy.
    pub(crate) url: String,
}

/// What a search came to.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct SearchResultDto {
    pub(crate) hits: Vec<HitDto>,
    pub(crate) model: String,
    pub(crate) secs: f64,
}

/// How far the labelling of a slide is.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LabelEvent {
    pub(crate) n_done: u32,
    pub(crate) n_total: u32,
}

/// A class of a labelled slide.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LabelDto {
    pub(crate) name: String,
    /// As in CSS.
    pub(crate) color: String,
    /// Of the tissue, 0…1.
    pub(crate) share: f64,
}

/// A slide with labels.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LabelsDto {
    /// Handle of the slide.
    pub(crate) slide: String,
    pub(crate) model: String,
    pub(crate) n_tile: u32,
    pub(crate) classes: Vec<LabelDto>,
    /// Address of the picture that lies over the slide.
    pub(crate) url: String,
}

/// The declarations of this module's types.
#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        SourceDto::decl(config),
        LibraryDto::decl(config),
        FaultDto::decl(config),
        IndexProgressDto::decl(config),
        QueryDto::decl(config),
        SearchDto::decl(config),
        HitDto::decl(config),
        SearchResultDto::decl(config),
        LabelEvent::decl(config),
        LabelDto::decl(config),
        LabelsDto::decl(config),
    ]
}
