//! `eosin train monitor RUN`: a window that shows a run while it goes on, or after it has ended.

use std::path::PathBuf;

use crate::printer::Printer;

#[cfg(feature = "reviewer")]
mod folder;
#[cfg(feature = "reviewer")]
mod tail;

const EXAMPLES: &str = "\
Examples:
  eosin train monitor runs/demo

The window follows the stage that runs, and goes on when the run is stopped and resumed.";

/// What was asked of `eosin train monitor`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run directory, or the directory of one stage
    #[arg(value_name = "RUN")]
    dir: PathBuf,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "reviewer")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let run = folder::RunFolder::open(&args.dir)?;
    eosin_reviewer::monitor(Box::new(run), crate::environment::language())
}

/// Says that this build has no window.
#[cfg(not(feature = "reviewer"))]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let hint =
        format!("use `eosin train report {}`, or build with `--features reviewer`", args.dir.display());
    Err(crate::printer::advised("this build has no native window", hint))
}
