//! What the page may ask for. Each command parses, calls and converts; none knows how anything is done.
//!
//! **To add a command**: write it in a module of `command/` with `#[tauri::command(async)]` and put its path into
//! `command/list.txt`. From that one line `build.rs` makes its place in the handler and its permission; a command
//! that is not in the list cannot be called.

pub(crate) mod annotations;
pub(crate) mod ask;
pub(crate) mod cases;
pub(crate) mod figure;
pub(crate) mod models;
pub(crate) mod settings;
pub(crate) mod similar;
pub(crate) mod slides;

/// What every command is handed.
pub(crate) type Managed<'a> = tauri::State<'a, crate::State>;
