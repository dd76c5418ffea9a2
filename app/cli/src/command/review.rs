//! `eosin review [SLIDE…]`: the native slide reviewer.

use crate::command::window::WindowArgs;
use crate::printer::Printer;

const EXAMPLES: &str = "\
Examples:
  eosin review slide.svs            one slide
  eosin review a.svs b.ndpi scans/  several, each in a tab";

/// What was asked of `eosin review`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    window: WindowArgs,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "reviewer")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    eosin_reviewer::review(args.window.options()?)
}

/// Says that this build has no window.
#[cfg(not(feature = "reviewer"))]
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let hint = "ask on the command line with `eosin ask`, or build with `--features reviewer`";
    Err(crate::printer::advised("this build has no native window", hint))
}
