//! What the page starts with: words, commands, theme, and what to open.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use eosin_session::BundleSource;
use eosin_workbench::command::COMMANDS;
use eosin_workbench::texts::{Language, Texts};

use super::Managed;
use crate::dto::{CommandDto, ErrorDto, FileDto, LanguageDto, StartupDto, TextsDto};

/// What the demonstration model knows to answer.
const SUGGESTIONS: &[&str] = &[
    "Describe the image.",
    "What is the best diagnosis?",
    "Which inflammatory cells are seen?",
    "Which organ is this?",
];

/// What the page starts with.
#[tauri::command(async)]
pub(crate) fn startup(state: Managed<'_>) -> StartupDto {
    let demo = state.options.model == BundleSource::Demo;
    let suggestions = if demo { SUGGESTIONS } else { &SUGGESTIONS[..1] };
    StartupDto {
        texts: words(Language::default()),
        languages: Language::ALL
            .map(|language| LanguageDto {
                code: language.code().to_owned(),
                name: language.own_name().to_owned(),
            })
            .to_vec(),
        theme: "system".to_owned(),
        commands: COMMANDS.iter().map(CommandDto::from).collect(),
        files: state.options.files.iter().map(|path| FileDto::of(path)).collect(),
        recent: Vec::new(),
        suggestions: suggestions.iter().map(ToString::to_string).collect(),
        news: state.news.iter().cloned().map(ErrorDto::from).collect(),
    }
}

/// The words of another language, from now on.
#[tauri::command(async)]
pub(crate) fn texts(language: &str) -> TextsDto {
    words(Language::from_locale(language))
}

fn words(language: Language) -> TextsDto {
    let all = Texts::of(language).all();
    TextsDto {
        language: language.code().to_owned(),
        words: all.into_iter().map(|(key, text)| (key.to_owned(), text.to_owned())).collect(),
    }
}
