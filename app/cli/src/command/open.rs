//! `eosin open [FILE]`, and `eosin` alone: the desktop window.

use std::path::PathBuf;

use crate::printer::Printer;

/// What was asked of `eosin open`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Slide or picture to show
    pub file: Option<PathBuf>,
}

/// Opens the window; returns when it is closed.
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("this build has no window")
}
