//! What crosses between the window's Rust and its page. Core types are not serialised to the window: these
//! are, and `ui/src/wire.ts` is written from them (the test below fails when it is out of date).
//!
//! A type is added to its module's `declarations`, a module to the list below.

mod annotations;
mod ask;
mod cases;
mod figure;
mod models;
mod settings;
mod similar;
mod slides;

pub(crate) use annotations::{AnnotationDto, AnnotationsDto, ClassDto, EditDto, ImportedDto};
pub(crate) use ask::{AnswerEvent, AskDto, ChatDto, PictureDto, PictureSourceDto, PreviewDto, SettingsDto};
pub(crate) use cases::{AuditDto, ChatSummaryDto, ExportDto};
pub(crate) use figure::{CornerDto, FigureDto};
pub(crate) use models::{DeviceDto, ModelEntryDto, ModelSourceDto, ModelStateDto};
pub(crate) use settings::{CommandDto, LanguageDto, StartupDto, TabDto, TextsDto};
pub(crate) use similar::{
    FaultDto, HitDto, IndexProgressDto, LabelDto, LabelEvent, LabelsDto, LibraryDto, QueryDto, SearchDto,
    SearchResultDto, SourceDto,
};
pub(crate) use slides::{
    AssociatedDto, FileDto, InformationDto, LevelDto, ListingDto, PresetDto, PropertyDto, SlideDto, ViewDto,
};

use eosin_workbench::{ErrorReport, WorkbenchError};
use serde::Serialize;
use ts_rs::TS;

/// An error as a person reads it.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ErrorDto {
    /// For tests and logs.
    pub(crate) code: String,
    /// What happened, and where.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl From<ErrorReport> for ErrorDto {
    fn from(report: ErrorReport) -> Self {
        Self { code: report.code, message: report.message, hint: report.hint }
    }
}

impl From<WorkbenchError> for ErrorDto {
    fn from(error: WorkbenchError) -> Self {
        error.report().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with `EOSIN_BINDINGS=write` to bring the page's types up to date.
    #[test]
    fn the_pages_types_are_up_to_date() {
        let config = ts_rs::Config::default();
        let declarations = [
            vec![ErrorDto::decl(&config)],
            slides::declarations(&config),
            annotations::declarations(&config),
            figure::declarations(&config),
            settings::declarations(&config),
            ask::declarations(&config),
            cases::declarations(&config),
            models::declarations(&config),
            similar::declarations(&config),
        ];
        let mut text = String::from("// Written from app/desktop/src/dto.rs by its test; do not edit.\n");
        for declaration in declarations.iter().flatten() {
            text.extend(["\nexport ", declaration, "\n"]);
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/wire.ts");
        if std::env::var_os("EOSIN_BINDINGS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "run `EOSIN_BINDINGS=write cargo test -p eosin-desktop dto`");
    }
}
