//! The names of all environment variables that the command line reads, and the one it sets.

use std::path::PathBuf;

/// Device to use: `auto`, `cpu`, `wgpu:N`, `cuda:N`.
pub(crate) const DEVICE: &str = "EOSIN_DEVICE";
/// Model to ask: a folder or a GGUF file.
pub(crate) const MODEL: &str = "EOSIN_MODEL";
/// Vision part of a GGUF model.
pub(crate) const MMPROJ: &str = "EOSIN_MMPROJ";
/// Most tokens of an answer.
pub(crate) const MAX_TOKENS: &str = "EOSIN_MAX_TOKENS";
/// Settings file to read instead of the user's own.
pub(crate) const CONFIG: &str = "EOSIN_CONFIG";
/// CLIP model for embeddings, search and labels: a folder or one weight file.
pub(crate) const CLIP: &str = "EOSIN_CLIP";
/// Library of similar images: a name, a folder, or the address of a server.
pub(crate) const LIBRARY: &str = "EOSIN_LIBRARY";

/// Folder for everything the program keeps, instead of the user's own.
pub(crate) const DATA: &str = "EOSIN_DATA";
/// The user's data folder, as the desktop names it.
const XDG_DATA: &str = "XDG_DATA_HOME";

/// Where the program keeps what it keeps: case book, library, annotations, preferences.
pub(crate) fn data_dir() -> PathBuf {
    let own = |folder: PathBuf| folder.join("eosin");
    read(DATA)
        .map(PathBuf::from)
        .or_else(|| read(XDG_DATA).map(|folder| own(folder.into())))
        .or_else(|| read("APPDATA").map(|folder| own(folder.into())))
        .or_else(|| std::env::home_dir().map(|home| own(home.join(".local/share"))))
        .unwrap_or_else(|| own(PathBuf::from(".")))
}

/// The language of the words in windows, as the system's locale says.
#[cfg(feature = "reviewer")]
pub(crate) fn language() -> eosin_workbench::texts::Language {
    let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(read);
    eosin_workbench::texts::Language::from_locale(&locale.unwrap_or_default())
}

/// The value of a variable, unless it is unset or empty.
pub(crate) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Asks Mesa's drivers not to look for a compositor where no session runs (a server, a container): they
/// would say on stderr, in words of their own and once for each look, that there is none.
///
/// Called first in `main`, before any thread starts.
#[expect(unsafe_code, reason = "changes the environment, once, while there is one thread")]
pub(crate) fn hush_drivers_without_session() {
    const NO_SELECTION: &str = "NODEVICE_SELECT";
    let headless = cfg!(target_os = "linux") && read("XDG_RUNTIME_DIR").is_none();
    if headless && read(NO_SELECTION).is_none() {
        // SAFETY: `main` calls this before anything else, so that no other thread can read the environment.
        unsafe { std::env::set_var(NO_SELECTION, "1") };
    }
}
