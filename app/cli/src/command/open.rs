//! `eosin open [FILE]…`, and `eosin` alone: the desktop window.

use crate::command::window::WindowArgs;
use crate::printer::Printer;

/// What was asked of `eosin open`.
#[derive(clap::Args, Default)]
pub struct Args {
    #[command(flatten)]
    window: WindowArgs,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "desktop")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    eosin_desktop::run(args.window.options()?)
}

/// Says that this build has no window.
#[cfg(not(feature = "desktop"))]
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let hint = "ask on the command line with `eosin ask`, or build with `--features desktop`";
    Err(crate::printer::advised("this build has no window", hint))
}
