//! `eosin train report`: what a run measured, as one page and as Markdown.

use std::path::PathBuf;

use eosin_training::report;

use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train report runs/demo

The page needs nothing else and fetches nothing. It can be made while the run goes on.";

/// What was asked of `eosin train report`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    for path in report::write(&args.dir).map_err(told)? {
        printer.line(path.display().to_string())?;
    }
    Ok(())
}
