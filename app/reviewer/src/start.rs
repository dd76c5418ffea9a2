//! What a window is made of, from the data folder: slides, case book, model, preferences.
//!
//! Nothing that is missing or damaged keeps the window from opening: it is told and, where it must be, replaced
//! for this run.

use std::sync::Arc;

use anyhow::Context as _;
use eosin_casebook::{CaseBook, Opening};
use eosin_session::Worker;
use eosin_workbench::chat::Chats;
use eosin_workbench::finder::{Finder, FinderOptions};
use eosin_workbench::{ErrorReport, FeedOptions, PreferencesFile, Workbench, WorkbenchError};

use crate::ReviewOptions;
use crate::app::Parts;

/// The parts, and the folder of a case book for this run where the lasting one cannot be opened.
pub(crate) fn parts(options: &ReviewOptions) -> anyhow::Result<(Parts, Option<tempfile::TempDir>)> {
    let mut news = Vec::new();
    let mut workbench = Workbench::new(FeedOptions::default()).context("cannot start the tile feed")?;
    match PreferencesFile::open(&options.data_dir.join("preferences.json")) {
        Ok((file, damage)) => {
            news.extend(damage.map(|damage| damage_report(&damage)));
            workbench = workbench.remembering(Arc::new(file));
        }
        Err(error) => news.push(WorkbenchError::from(error).report()),
    }
    let workbench = Arc::new(workbench);
    let (book, stopgap) = case_book(options, &mut news)?;
    let worker = Worker::spawn(options.model.clone(), options.device);
    let chats = Chats::new(Arc::clone(&workbench), Arc::new(book), worker);
    let finder = Finder::new(FinderOptions {
        library: options.library.clone(),
        clip: options.clip.clone(),
        device: options.device,
    });
    let parts = Parts {
        workbench,
        finder: Some(Arc::new(finder)),
        chats: Some(Arc::new(chats)),
        answers: options.answers.clone(),
        annotations: Some(options.data_dir.join("annotations")),
        language: options.language,
        news,
    };
    Ok((parts, stopgap))
}

fn case_book(
    options: &ReviewOptions,
    news: &mut Vec<ErrorReport>,
) -> anyhow::Result<(CaseBook, Option<tempfile::TempDir>)> {
    match CaseBook::open(&options.data_dir.join("casebook.sqlite")) {
        Ok((book, opening)) => {
            if let Opening::Rebuilt { backup, n_kept, n_lost } = opening {
                news.push(ErrorReport {
                    code: "case_book_mended".to_owned(),
                    message: format!(
                        "the case book was damaged: {n_kept} entries are kept, {n_lost} could not be read"
                    ),
                    hint: Some(format!("the damaged file is kept: {}", backup.display())),
                });
            }
            Ok((book, None))
        }
        Err(error) => {
            // Answers come all the same, and are kept until the window closes.
            news.push(WorkbenchError::from(error).report());
            let folder = tempfile::tempdir().context("neither the case book nor a folder for it")?;
            let (book, _) = CaseBook::open(&folder.path().join("casebook.sqlite"))?;
            Ok((book, Some(folder)))
        }
    }
}

fn damage_report(damage: &eosin_workbench::PreferencesDamage) -> ErrorReport {
    ErrorReport {
        code: "preferences_damaged".to_owned(),
        message: format!(
            "the preferences were damaged ({}); what could not be read is as at first",
            damage.reason
        ),
        hint: Some(format!("the damaged file is kept: {}", damage.kept_aside.display())),
    }
}
