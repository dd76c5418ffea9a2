//! What the page starts with: words, commands, theme, and what to open; and what is remembered of it.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use eosin_session::BundleSource;
use eosin_workbench::command::COMMANDS;
use eosin_workbench::texts::{Language, Texts};
use eosin_workbench::{Preferences, Tab, Theme, WorkbenchError};

use super::Managed;
use crate::State;
use crate::dto::{CommandDto, ErrorDto, FileDto, LanguageDto, StartupDto, TabDto, TextsDto};

/// What the demonstration model knows to answer.
const SUGGESTIONS: &[&str] = &[
    "Describe the image.",
    "What is the best diagnosis?",
    "Which inflammatory cells are seen?",
    "Which organ is this?",
];

/// Recent files that a person sees.
const MOST_RECENT: usize = 12;

/// What the page starts with.
#[tauri::command(async)]
pub(crate) fn startup(state: Managed<'_>) -> StartupDto {
    let demo = state.options.model == BundleSource::Demo;
    let suggestions = if demo { SUGGESTIONS } else { &SUGGESTIONS[..1] };
    let preferences = state.preferences.get();
    let language = language(&state);
    let tabs = preferences.tabs.iter().map(|tab| TabDto {
        path: tab.path.to_string_lossy().into_owned(),
        placement: tab.view.map(Into::into),
    });
    StartupDto {
        texts: words(language),
        languages: Language::ALL
            .map(|language| LanguageDto {
                code: language.code().to_owned(),
                name: language.own_name().to_owned(),
            })
            .to_vec(),
        theme: match preferences.theme {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
        .to_owned(),
        commands: COMMANDS.iter().map(CommandDto::from).collect(),
        files: state.options.files.iter().map(|path| FileDto::of(path)).collect(),
        recent: recent_files(&preferences),
        suggestions: suggestions.iter().map(ToString::to_string).collect(),
        tabs: tabs.collect(),
        active_tab: preferences.active_tab.map(|at| at as u32),
        sidebar_px: preferences.sidebar_px,
        news: state.news.iter().cloned().map(ErrorDto::from).collect(),
    }
}

/// Files opened before that are still there, the last first.
#[tauri::command(async)]
pub(crate) fn recent(state: Managed<'_>) -> Vec<FileDto> {
    recent_files(&state.preferences.get())
}

/// The language of the person: chosen, else that of the system.
pub(super) fn language(state: &crate::State) -> Language {
    state.preferences.get().language.unwrap_or(state.options.language)
}

/// The words of another language, from now on.
#[tauri::command(async)]
pub(crate) fn texts(state: Managed<'_>, language: &str) -> Result<TextsDto, ErrorDto> {
    let language = Language::from_locale(language);
    remember(&state, |preferences| preferences.language = Some(language))?;
    Ok(words(language))
}

/// Light, dark, or as the system is.
#[tauri::command(async)]
pub(crate) fn remember_theme(state: Managed<'_>, theme: &str) -> Result<(), ErrorDto> {
    let theme = match theme {
        "light" => Theme::Light,
        "dark" => Theme::Dark,
        _ => Theme::System,
    };
    remember(&state, |preferences| preferences.theme = theme)
}

/// The open slides and where one looks at them: a window that is killed comes back as it was.
#[tauri::command(async)]
pub(crate) fn remember_tabs(
    state: Managed<'_>,
    tabs: Vec<TabDto>,
    active_tab: Option<u32>,
) -> Result<(), ErrorDto> {
    let tabs = tabs.into_iter().map(|tab| Tab { path: tab.path.into(), view: tab.placement.map(Into::into) });
    let tabs: Vec<Tab> = tabs.collect();
    remember(&state, |preferences| {
        preferences.tabs = tabs;
        preferences.active_tab = active_tab.map(|at| at as usize);
    })
}

/// Width of the side panel.
#[tauri::command(async)]
pub(crate) fn remember_sidebar(state: Managed<'_>, width_px: u32) -> Result<(), ErrorDto> {
    remember(&state, |preferences| preferences.sidebar_px = Some(width_px))
}

fn remember(state: &State, change: impl FnOnce(&mut Preferences)) -> Result<(), ErrorDto> {
    Ok(state.preferences.change(change).map_err(WorkbenchError::from)?)
}

fn recent_files(preferences: &Preferences) -> Vec<FileDto> {
    let there = preferences.recent_files().into_iter().filter(|file| file.exists);
    there.take(MOST_RECENT).map(|file| FileDto::of(&file.path)).collect()
}

fn words(language: Language) -> TextsDto {
    let all = Texts::of(language).all();
    TextsDto {
        language: language.code().to_owned(),
        words: all.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect(),
    }
}
