//! The case book.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use eosin_casebook::{ChatId, ExportOptions, Format, Names};
use eosin_core::error_chain;
use eosin_workbench::WorkbenchError;
use eosin_workbench::texts::Texts;

use super::Managed;
use crate::dto::{AuditDto, ChatSummaryDto, ErrorDto, ExportDto};

/// Chats that are listed at most.
const MOST_CHATS: usize = 200;

/// Chats, the latest first; those that hold the words, where words are given.
#[tauri::command(async)]
pub(crate) fn chats(state: Managed<'_>, words: String) -> Result<Vec<ChatSummaryDto>, ErrorDto> {
    let book = state.chats.book();
    let chats = if words.trim().is_empty() {
        book.chats(MOST_CHATS).map(|chats| chats.into_iter().map(ChatSummaryDto::from).collect())
    } else {
        book.search(&words, MOST_CHATS).map(|found| found.into_iter().map(ChatSummaryDto::from).collect())
    };
    Ok(chats.map_err(WorkbenchError::from)?)
}

/// Gives a chat another title.
#[tauri::command(async)]
pub(crate) fn rename_chat(state: Managed<'_>, id: i64, title: String) -> Result<(), ErrorDto> {
    Ok(state.chats.book().rename(ChatId(id), &title).map_err(WorkbenchError::from)?)
}

/// Deletes a chat; the audit trail keeps that it was there.
#[tauri::command(async)]
pub(crate) fn delete_chat(state: Managed<'_>, id: i64) -> Result<(), ErrorDto> {
    Ok(state.chats.book().delete(ChatId(id)).map_err(WorkbenchError::from)?)
}

/// Writes a chat to a file that the person chooses; nothing where they choose none.
#[tauri::command]
pub(crate) async fn export_chat(state: Managed<'_>, request: ExportDto) -> Result<Option<String>, ErrorDto> {
    let (format, ending) = match request.format.as_str() {
        "pdf" => (Format::Pdf, "pdf"),
        "json" => (Format::Json, "json"),
        _ => (Format::Markdown, "md"),
    };
    let dialog =
        rfd::AsyncFileDialog::new().add_filter(ending, &[ending]).set_file_name(format!("case.{ending}"));
    let Some(file) = dialog.save_file().await else { return Ok(None) };
    let names = if request.names { Names::Shown } else { Names::Hidden };
    let options = ExportOptions {
        names,
        labels: Texts::of(super::settings::language(&state)).document(),
        ..ExportOptions::default()
    };
    let book = state.chats.book();
    book.export(ChatId(request.chat), format, &options, file.path()).map_err(WorkbenchError::from)?;
    Ok(Some(file.path().to_string_lossy().into_owned()))
}

/// Checks the audit trail and everything that it vouches for.
#[tauri::command(async)]
pub(crate) fn verify_audit(state: Managed<'_>) -> AuditDto {
    match state.chats.book().verify() {
        Ok(verified) => AuditDto { whole: true, message: verified.n_entry.to_string() },
        Err(broken) => AuditDto { whole: false, message: error_chain(&broken) },
    }
}
