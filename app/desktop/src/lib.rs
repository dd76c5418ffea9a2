//! The Tauri window: slides by dialog, drop or argument; questions about the view; answers streamed.
//!
//! All behaviour is in `eosin-workbench` and `eosin-session`: a command here parses, calls and converts. Held
//! true from end to end by `tests/window.rs`.

mod command;
mod dto;
mod protocol;
mod stream;
#[cfg(test)]
mod tokens;

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use eosin_library::AnnotationsOf;
use eosin_workbench::annotation::SharedBook;
use eosin_workbench::chat::Chats;
use eosin_workbench::finder::Finder;
use eosin_workbench::models::ModelShelf;
use eosin_workbench::{
    AnnotationBook, AnnotationShelf, ErrorReport, PreferencesFile, SlideKey, Started, WindowOptions,
    Workbench, start,
};
use tauri::{WebviewUrl, WebviewWindowBuilder};

/// What every command of the window can reach.
struct State {
    workbench: Arc<Workbench>,
    chats: Chats,
    shelf: ModelShelf,
    finder: Finder,
    options: WindowOptions,
    preferences: Arc<PreferencesFile>,
    /// The annotations of all slides.
    marks: AnnotationShelf,
    /// The books of the slides that are open, with their steps to take back.
    books: Mutex<HashMap<SlideKey, SharedBook>>,
    /// Gives the figure up that is being written.
    figure_stop: Mutex<Arc<AtomicBool>>,
    /// What the person should know of the start: a case book that was mended, or that cannot be written.
    news: Vec<ErrorReport>,
    /// What is kept for this run only, where the lasting one cannot be opened.
    _stopgap: Option<tempfile::TempDir>,
}

impl State {
    fn new(options: WindowOptions) -> anyhow::Result<Self> {
        let Started { workbench, chats, finder, preferences, news, stopgap } = start(&options)?;
        let marks = AnnotationShelf::new(&options.annotations());
        let shelf = ModelShelf::new(&options.data_dir);
        let (books, figure_stop) = (Mutex::default(), Mutex::default());
        Ok(Self {
            workbench,
            chats,
            shelf,
            finder,
            options,
            preferences,
            marks,
            books,
            figure_stop,
            news,
            _stopgap: stopgap,
        })
    }
}

impl State {
    /// Where the library finds what somebody marked on a slide.
    fn annotations(&self) -> AnnotationsOf {
        let folder = self.options.annotations();
        // A book that cannot be read marks nothing: the slide is indexed all the same.
        Arc::new(move |slide| {
            let opened = AnnotationBook::open(&folder, slide);
            opened.map(|(book, _)| book.list().cloned().collect()).unwrap_or_default()
        })
    }
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// Where the machine has no display, or its web view does not start.
pub fn run(options: WindowOptions) -> anyhow::Result<()> {
    let state = State::new(options)?;
    let tiles = Arc::clone(&state.workbench);
    tauri::Builder::default()
        .register_asynchronous_uri_scheme_protocol("slide", move |_, request, responder| {
            protocol::serve(&tiles, request.uri().path(), move |response| responder.respond(response));
        })
        .manage(state)
        .invoke_handler(include!(concat!(env!("OUT_DIR"), "/handler.rs")))
        .setup(|app| {
            WebviewWindowBuilder::new(app, "workbench", WebviewUrl::default())
                .title("Eosin")
                .inner_size(1360.0, 860.0)
                .min_inner_size(860.0, 560.0)
                .build()?;
            Ok(())
        })
        .run(tauri::generate_context!())
        .context("cannot open the window; is there a display? Without one, use `eosin ask`")
}
