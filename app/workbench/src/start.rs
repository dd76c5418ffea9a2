//! What every window is made of, from the data folder: slides, case book, model, library, preferences.
//!
//! Nothing that is missing or damaged keeps a window from opening: it is told, and where it must be, replaced for
//! this run. Held true by the tests below.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosin_casebook::{CaseBook, Opening};
use eosin_core::DeviceChoice;
use eosin_library::ClipSource;
use eosin_session::{AskOptions, BundleSource, Worker};

use crate::chat::Chats;
use crate::error::{ErrorReport, WorkbenchError};
use crate::feed::FeedOptions;
use crate::finder::{Finder, FinderOptions};
use crate::preferences::PreferencesFile;
use crate::texts::Language;
use crate::workbench::Workbench;

/// What a window starts with.
#[derive(Clone, Debug, Default)]
pub struct WindowOptions {
    /// Slides, pictures and folders to show, each file in its tab.
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

impl WindowOptions {
    /// Folder of the annotations.
    pub fn annotations(&self) -> PathBuf {
        self.data_dir.join("annotations")
    }
}

/// What a window stands on.
#[derive(Debug)]
pub struct Started {
    /// Slides and tiles.
    pub workbench: Arc<Workbench>,
    /// Questions, answers and the model.
    pub chats: Chats,
    /// The library of similar images.
    pub finder: Finder,
    /// What is remembered.
    pub preferences: Arc<PreferencesFile>,
    /// What the person should know of the start: what was mended, and what cannot be written.
    pub news: Vec<ErrorReport>,
    /// What is kept for this run only, where the lasting one cannot be opened; goes with this.
    pub stopgap: Option<tempfile::TempDir>,
}

/// Opens what is kept and has the model loaded in the background.
///
/// # Errors
/// [`WorkbenchError::Start`] where the system has no thread, or no folder for a run without its own.
pub fn start(options: &WindowOptions) -> Result<Started, WorkbenchError> {
    let (mut news, mut stopgap) = (Vec::new(), None);
    let preferences = Arc::new(preferences(&options.data_dir, &mut news, &mut stopgap)?);
    let feed =
        |error: std::io::Error| WorkbenchError::Start { what: "the tile feed", cause: Arc::new(error) };
    let workbench = Workbench::new(FeedOptions::default()).map_err(feed)?;
    let workbench = Arc::new(workbench.remembering(Arc::clone(&preferences)));
    let book = case_book(&options.data_dir, &mut news, &mut stopgap)?;
    let worker = Worker::spawn(options.model.clone(), options.device);
    let chats = Chats::new(Arc::clone(&workbench), Arc::new(book), worker);
    let finder = Finder::new(FinderOptions {
        library: options.library.clone(),
        clip: options.clip.clone(),
        device: options.device,
    });
    Ok(Started { workbench, chats, finder, preferences, news, stopgap })
}

/// The case book; where it cannot be opened, one of this run: answers come all the same, and the person knows.
fn case_book(
    data_dir: &Path,
    news: &mut Vec<ErrorReport>,
    stopgap: &mut Option<tempfile::TempDir>,
) -> Result<CaseBook, WorkbenchError> {
    const FILE: &str = "casebook.sqlite";
    match CaseBook::open(&data_dir.join(FILE)) {
        Ok((book, opening)) => {
            if let Opening::Rebuilt { backup, n_kept, n_lost } = opening {
                news.push(ErrorReport {
                    code: "case_book_mended".to_owned(),
                    message: format!(
                        "the case book was damaged: {n_kept} entries could be read and are kept, {n_lost} could not"
                    ),
                    hint: Some(format!("the damaged file is kept: {}", backup.display())),
                });
            }
            Ok(book)
        }
        Err(error) => {
            news.push(WorkbenchError::from(error).report());
            Ok(CaseBook::open(&for_this_run(stopgap)?.join(FILE))?.0)
        }
    }
}

/// What is remembered; where that cannot be read, a file of this run.
fn preferences(
    data_dir: &Path,
    news: &mut Vec<ErrorReport>,
    stopgap: &mut Option<tempfile::TempDir>,
) -> Result<PreferencesFile, WorkbenchError> {
    const FILE: &str = "preferences.json";
    match PreferencesFile::open(&data_dir.join(FILE)) {
        Ok((file, damage)) => {
            news.extend(damage.map(|damage| ErrorReport {
                code: "preferences_mended".to_owned(),
                message: format!("the preferences were damaged and partly forgotten: {}", damage.reason),
                hint: Some(format!("the damaged file is kept: {}", damage.kept_aside.display())),
            }));
            Ok(file)
        }
        Err(error) => {
            news.push(WorkbenchError::from(error).report());
            Ok(PreferencesFile::open(&for_this_run(stopgap)?.join(FILE))?.0)
        }
    }
}

/// The folder of this run, made when it is first needed.
fn for_this_run(stopgap: &mut Option<tempfile::TempDir>) -> Result<&Path, WorkbenchError> {
    if stopgap.is_none() {
        let made = tempfile::tempdir();
        let what = "a folder for this run";
        *stopgap = Some(made.map_err(|error| WorkbenchError::Start { what, cause: Arc::new(error) })?);
    }
    Ok(stopgap.as_ref().map_or(Path::new("."), tempfile::TempDir::path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_starts_on_a_folder_that_cannot_be_used_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("blocked");
        std::fs::write(&blocked, b"a file where a folder should be").unwrap();
        let options = WindowOptions { data_dir: blocked, ..WindowOptions::default() };
        let started = start(&options).unwrap();
        let codes: Vec<&str> = started.news.iter().map(|report| report.code.as_str()).collect();
        assert_eq!(codes, ["preferences", "case_book"]);
        assert!(started.stopgap.is_some());
        assert!(started.chats.book().chats(1).unwrap().is_empty(), "the book of this run works");
        let whole = WindowOptions { data_dir: folder.path().join("whole"), ..WindowOptions::default() };
        let started = start(&whole).unwrap();
        assert!(started.news.is_empty() && started.stopgap.is_none());
    }
}
