//! The report of a run: one HTML page that needs nothing else, and the same in Markdown.
//!
//! Both are made anew from what lies in the run's folder, whether the run is finished or not: the recipe,
//! and of each stage its plan, its figures, its completions and the samples left out; and the results table
//! (`evaluation.json`). Nothing is fetched and nothing runs in the page: the plots are drawings (SVG) with
//! the page's own style, which follows the reader's light or dark setting and the printer.
//! `tests/train_report.rs` reads both.

mod charts;
mod folder;
mod numbers;
mod page;
mod plot;
mod results;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::TrainError;

pub use folder::{Run, Said, Stage};

/// What every page says of what it shows.
pub const NOTICE: &str = "For research only, not for diagnosis: the models that these figures describe are \
no medical device, and figures on drawn tissue say nothing about patients.";

/// Writes `report.html` and `report.md` into the folder of a run and gives their paths.
///
/// # Errors
/// [`TrainError::NoRun`] where the folder holds no run; failures of the disk.
pub fn write(dir: &Path) -> Result<[PathBuf; 2], TrainError> {
    let run = Run::read(dir)?;
    let paths = [dir.join("report.html"), dir.join("report.md")];
    for (path, text) in paths.iter().zip([to_html(&run), to_markdown(&run)]) {
        // Whole or not at all: a reader may have the page open while it is made anew.
        let partial = path.with_extension("partial");
        fs::write(&partial, text).map_err(TrainError::file("write the report", &partial))?;
        fs::rename(&partial, path).map_err(TrainError::file("write the report", path))?;
    }
    Ok(paths)
}

/// The report as one HTML page.
pub fn to_html(run: &Run) -> String {
    page::page(run)
}

/// The report as Markdown.
pub fn to_markdown(run: &Run) -> String {
    words::markdown(run)
}
