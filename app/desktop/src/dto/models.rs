//! Models as the page sees them.

use eosin_session::BundleSource;
use eosin_workbench::models::ModelEntry;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::ErrorDto;

/// Where a model is.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ModelSourceDto {
    /// The demonstration built into the program.
    Demo,
    /// Files of the user.
    Files { model: String, mmproj: Option<String> },
}

impl From<&BundleSource> for ModelSourceDto {
    fn from(source: &BundleSource) -> Self {
        match source {
            BundleSource::Demo => Self::Demo,
            BundleSource::Files { model, mmproj } => Self::Files {
                model: model.to_string_lossy().into_owned(),
                mmproj: mmproj.as_ref().map(|path| path.to_string_lossy().into_owned()),
            },
        }
    }
}

impl From<ModelSourceDto> for BundleSource {
    fn from(source: ModelSourceDto) -> Self {
        match source {
            ModelSourceDto::Demo => Self::Demo,
            ModelSourceDto::Files { model, mmproj } => {
                Self::Files { model: model.into(), mmproj: mmproj.map(Into::into) }
            }
        }
    }
}

/// A model that can be chosen.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ModelEntryDto {
    pub(crate) source: ModelSourceDto,
    /// The model's own name; the file's where it cannot be opened.
    pub(crate) name: String,
    /// Where it lies; nothing for what is built in.
    pub(crate) place: Option<String>,
    pub(crate) licence: Option<String>,
    pub(crate) notice: Option<String>,
    #[ts(type = "number | null")]
    pub(crate) weight_bytes: Option<u64>,
    #[ts(type = "number | null")]
    pub(crate) needed_bytes: Option<u64>,
    /// Whether that much is free now.
    pub(crate) fits: Option<bool>,
    pub(crate) n_context: Option<u32>,
    pub(crate) sees: Option<bool>,
    /// Why it cannot be chosen.
    pub(crate) error: Option<ErrorDto>,
}

impl From<ModelEntry> for ModelEntryDto {
    fn from(entry: ModelEntry) -> Self {
        let place = match &entry.source {
            BundleSource::Demo => None,
            BundleSource::Files { model, .. } => Some(model.clone()),
        };
        let file_name = place.as_ref().and_then(|path| path.file_name());
        let own_name = file_name.map(|name| name.to_string_lossy().into_owned());
        let (card, error) = match entry.card {
            Ok(card) => (Some(card), None),
            Err(report) => (None, Some(report.into())),
        };
        Self {
            source: (&entry.source).into(),
            name: card.as_ref().map(|card| card.name.clone()).or(own_name).unwrap_or_default(),
            place: place.map(|path| path.to_string_lossy().into_owned()),
            licence: card.as_ref().and_then(|card| card.licence.clone()),
            notice: card.as_ref().and_then(|card| card.notice.clone()),
            weight_bytes: card.as_ref().map(|card| card.weight_bytes),
            needed_bytes: card.as_ref().map(|card| card.needed_bytes),
            fits: entry.fits,
            n_context: card.as_ref().map(|card| card.n_context as u32),
            sees: card.as_ref().map(|card| card.sees),
            error,
        }
    }
}

/// A device that can be chosen.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct DeviceDto {
    /// `cpu`, `wgpu:0`, `cuda:0`; `auto` for the best.
    pub(crate) choice: String,
    pub(crate) name: String,
}

/// How far the model is.
#[derive(Clone, Debug, Serialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ModelStateDto {
    /// Being opened.
    Loading,
    /// Ready for questions.
    Ready {
        name: String,
        device: String,
        /// What must stand beside its answers.
        notice: Option<String>,
        sees: bool,
        n_context: u32,
        /// `plain`, `cot` or `cod`: how it wants to be asked.
        style: String,
        /// How tokens are chosen unless the person says otherwise; 0 is greedy.
        temperature: f32,
        max_tokens: u32,
        load_secs: f32,
    },
    /// Could not be opened.
    Failed { error: ErrorDto },
    /// Put away.
    Unloaded,
}

/// The declarations of this module's types.
#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        ModelSourceDto::decl(config),
        ModelEntryDto::decl(config),
        DeviceDto::decl(config),
        ModelStateDto::decl(config),
    ]
}
