//! What the page starts with.

use std::collections::BTreeMap;

use eosin_workbench::TabView;
use eosin_workbench::command::Command;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::{ErrorDto, FileDto};

/// What the page starts with.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct StartupDto {
    pub(crate) texts: TextsDto,
    pub(crate) languages: Vec<LanguageDto>,
    /// `light`, `dark` or `system`.
    pub(crate) theme: String,
    /// The table behind menus, palette, keys and the list of shortcuts.
    pub(crate) commands: Vec<CommandDto>,
    /// Files that the window was started with.
    pub(crate) files: Vec<FileDto>,
    /// Files opened before, the last first.
    pub(crate) recent: Vec<FileDto>,
    pub(crate) suggestions: Vec<String>,
    /// Slides that were open when the window was closed, and which was in front.
    pub(crate) tabs: Vec<TabDto>,
    pub(crate) active_tab: Option<u32>,
    pub(crate) sidebar_px: Option<u32>,
    /// What a person should know of the start.
    pub(crate) news: Vec<ErrorDto>,
}

/// An open slide and where one looks at it.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
pub(crate) struct TabDto {
    pub(crate) path: String,
    pub(crate) placement: Option<PlacementDto>,
}

/// Where a slide is looked at.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, TS)]
pub(crate) struct PlacementDto {
    pub(crate) center_base_px: [f64; 2],
    /// Base pixels per pixel of the screen.
    pub(crate) downsample: f64,
    pub(crate) rotation_degrees: f64,
}

impl From<TabView> for PlacementDto {
    fn from(view: TabView) -> Self {
        let TabView { center_base_px, downsample, rotation_degrees } = view;
        Self { center_base_px, downsample, rotation_degrees }
    }
}

impl From<PlacementDto> for TabView {
    fn from(placement: PlacementDto) -> Self {
        let PlacementDto { center_base_px, downsample, rotation_degrees } = placement;
        Self { center_base_px, downsample, rotation_degrees }
    }
}

/// The words of one language.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct TextsDto {
    /// Its code, as in `lang` of a page.
    pub(crate) language: String,
    /// Text by key.
    pub(crate) words: BTreeMap<String, String>,
}

/// A language of the interface.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct LanguageDto {
    pub(crate) code: String,
    /// Its own name for itself.
    pub(crate) name: String,
}

/// A command of the table.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct CommandDto {
    pub(crate) id: String,
    pub(crate) group: String,
    /// Keys that choose it; the first is shown.
    pub(crate) keys: Vec<String>,
    /// What must be there: `nothing`, `slide`, `selection`, `answering`, `answer`.
    pub(crate) needs: String,
}

impl From<&Command> for CommandDto {
    fn from(command: &Command) -> Self {
        Self {
            id: command.id.to_owned(),
            group: command.group.id().to_owned(),
            keys: command.keys.iter().map(ToString::to_string).collect(),
            needs: command.needs.id().to_owned(),
        }
    }
}

#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        StartupDto::decl(config),
        TextsDto::decl(config),
        LanguageDto::decl(config),
        CommandDto::decl(config),
        TabDto::decl(config),
        PlacementDto::decl(config),
    ]
}
