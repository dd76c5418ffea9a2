//! What the page starts with.

use std::collections::BTreeMap;

use eosin_workbench::command::Command;
use serde::Serialize;
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
    /// What the person should know of the start.
    pub(crate) news: Vec<ErrorDto>,
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
    ]
}
