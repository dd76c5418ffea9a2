//! `eosin train …`: the only command that knows the training library.

pub(crate) mod evaluate;
pub(crate) mod phantom;

use crate::printer::Printer;

/// What was asked of `eosin train`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Score a model on held-out tasks
    Evaluate(evaluate::Args),
    /// Draw procedural tissue with its truth
    Phantom(phantom::Args),
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.command {
        Command::Evaluate(args) => evaluate::run(args, printer),
        Command::Phantom(args) => phantom::run(args, printer),
    }
}
