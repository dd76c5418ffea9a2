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
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use eosin_casebook::{CaseBook, Opening};
use eosin_core::DeviceChoice;
use eosin_library::{AnnotationsOf, ClipSource};
use eosin_session::{AskOptions, BundleSource, Worker};
use eosin_workbench::annotation::SharedBook;
use eosin_workbench::chat::Chats;
use eosin_workbench::finder::{Finder, FinderOptions};
use eosin_workbench::models::ModelShelf;
use eosin_workbench::texts::Language;
use eosin_workbench::{
    AnnotationBook, AnnotationShelf, ErrorReport, FeedOptions, PreferencesFile, SlideKey, Workbench,
    WorkbenchError,
};
use tauri::{WebviewUrl, WebviewWindowBuilder};

/// What the window starts with.
#[derive(Clone, Debug, Default)]
pub struct WindowOptions {
    /// Slides and pictures to show, each in its tab.
    pub files: Vec<PathBuf>,
    /// Model that answers.
    pub model: BundleSource,
    /// Device that it runs on.
    pub device: DeviceChoice,
    /// Settings of every answer, otherwise than the model's own.
    pub answers: AskOptions,
    /// Where the library of similar images is: a folder, or `postgres://…`.
    pub library: String,
    /// The model behind it.
    pub clip: ClipSource,
    /// The language of the person, as the system says, until another is chosen.
    pub language: Language,
    /// Folder of what is kept: case book, library, annotations, preferences.
    pub data_dir: PathBuf,
}

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
    /// The case book of this run where the lasting one cannot be opened.
    _stopgap: Option<tempfile::TempDir>,
}

impl State {
    fn new(options: WindowOptions) -> anyhow::Result<Self> {
        let mut news = Vec::new();
        let preferences = Arc::new(open_preferences(&options.data_dir, &mut news)?);
        let workbench = Workbench::new(FeedOptions::default()).context("cannot start the tile feed")?;
        let workbench = Arc::new(workbench.remembering(Arc::clone(&preferences)));
        let marks = AnnotationShelf::new(&options.data_dir.join("annotations"));
        let mut stopgap = None;
        let book = match CaseBook::open(&options.data_dir.join("casebook.sqlite")) {
            Ok((book, opening)) => {
                news.extend(opening_report(&opening));
                book
            }
            Err(error) => {
                // The window stays useful: answers come, are kept until it closes, and the person knows.
                news.push(WorkbenchError::from(error).report());
                let folder = tempfile::tempdir().context("neither the case book nor a folder for it")?;
                let (book, _) = CaseBook::open(&folder.path().join("casebook.sqlite"))?;
                stopgap = Some(folder);
                book
            }
        };
        let worker = Worker::spawn(options.model.clone(), options.device);
        let chats = Chats::new(Arc::clone(&workbench), Arc::new(book), worker);
        let shelf = ModelShelf::new(&options.data_dir);
        let finder = Finder::new(FinderOptions {
            library: options.library.clone(),
            clip: options.clip.clone(),
            device: options.device,
        });
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
        let folder = self.options.data_dir.join("annotations");
        // A book that cannot be read marks nothing: the slide is indexed all the same.
        Arc::new(move |slide| {
            let opened = AnnotationBook::open(&folder, slide);
            opened.map(|(book, _)| book.list().cloned().collect()).unwrap_or_default()
        })
    }
}

/// What a person should know of how the case book was found.
fn opening_report(opening: &Opening) -> Option<ErrorReport> {
    let Opening::Rebuilt { backup, n_kept, n_lost } = opening else { return None };
    Some(ErrorReport {
        code: "case_book_mended".to_owned(),
        message: format!(
            "the case book was damaged: {n_kept} entries could be read and are kept, {n_lost} could not"
        ),
        hint: Some(format!("the damaged file is kept: {}", backup.display())),
    })
}

/// What is remembered; where that cannot be read, a file of this run only, so that the window stays useful.
fn open_preferences(data_dir: &Path, news: &mut Vec<ErrorReport>) -> anyhow::Result<PreferencesFile> {
    match PreferencesFile::open(&data_dir.join("preferences.json")) {
        Ok((file, None)) => Ok(file),
        Ok((file, Some(damage))) => {
            news.push(ErrorReport {
                code: "preferences_mended".to_owned(),
                message: format!("the preferences were damaged and partly forgotten: {}", damage.reason),
                hint: Some(format!("the damaged file is kept: {}", damage.kept_aside.display())),
            });
            Ok(file)
        }
        Err(error) => {
            news.push(WorkbenchError::from(error).report());
            let stopgap = std::env::temp_dir().join(format!("eosin-{}", std::process::id()));
            Ok(PreferencesFile::open(&stopgap.join("preferences.json"))?.0)
        }
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
