//! `eosin completions SHELL`: a script that teaches a shell the command line.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::printer::Printer;

/// What was asked of `eosin completions`.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  eosin completions bash > ~/.local/share/bash-completion/completions/eosin"
)]
pub struct Args {
    /// The shell
    pub shell: Shell,
}

/// Prints the script.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::Cli::command(), "eosin", &mut script);
    printer.bytes(&script)
}
