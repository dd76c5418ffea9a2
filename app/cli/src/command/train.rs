//! `eosin train …`: the only command that knows the training library.

pub(crate) mod evaluate;
pub(crate) mod phantom;
pub(crate) mod sft;

use crate::printer::Printer;

/// What was asked of `eosin train`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Supervised fine-tuning by a recipe
    Sft(sft::Args),
    /// Score a model on held-out tasks
    Evaluate(evaluate::Args),
    /// Draw procedural tissue with its truth
    Phantom(phantom::Args),
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.command {
        Command::Sft(args) => sft::run(args, printer),
        Command::Evaluate(args) => evaluate::run(args, printer),
        Command::Phantom(args) => phantom::run(args, printer),
    }
}
