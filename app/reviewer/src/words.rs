//! The words of the window, in the language that was chosen: out of the workbench's catalogue.

use eframe::egui;
use eosin_workbench::texts::{Language, Texts};

fn id() -> egui::Id {
    egui::Id::unique("eosin-words")
}

/// Chooses the language of a context's windows.
pub fn speak(ctx: &egui::Context, language: Language) {
    ctx.data_mut(|data| data.insert_temp(id(), language));
}

/// The words to use.
pub fn words(ctx: &egui::Context) -> Texts {
    Texts::of(ctx.data(|data| data.get_temp(id())).unwrap_or_default())
}

/// The text of a key.
pub fn text(ui: &egui::Ui, key: &'static str) -> &'static str {
    words(ui.ctx()).find(key).unwrap_or(key)
}

/// The text of a key with its places filled in.
pub fn text_with(ui: &egui::Ui, key: &'static str, values: &[(&str, &str)]) -> String {
    words(ui.ctx()).with(key, values)
}

/// The name of a command.
pub fn command_text(ui: &egui::Ui, id: &str) -> String {
    words(ui.ctx()).get(&format!("command.{id}"))
}
