//! `eosin train …`: the only command that knows the training library.

pub(crate) mod clip_evaluate;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod monitor;
pub(crate) mod phantom;
pub(crate) mod plan;
mod progress;
pub(crate) mod report;
pub(crate) mod run;

use crate::printer::Printer;

/// What was asked of `eosin train`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Say what a pipeline would do, and what it would take
    Plan(plan::Args),
    /// Run a pipeline: every stage that is not finished, then the report
    Run(run::RunArgs),
    /// Go on with a run that was stopped, killed or broken
    Resume(run::ResumeArgs),
    /// Watch a run in a window while it goes on
    Monitor(monitor::Args),
    /// Write the report of a run: one page, and the same in Markdown
    Report(report::Args),
    /// Take the model of a finished stage out of a run
    Export(export::Args),
    /// Score a model on held-out tasks
    Evaluate(evaluate::Args),
    /// Measure a CLIP on held-out pairs and on labelled pictures
    EvaluateClip(clip_evaluate::Args),
    /// Draw procedural tissue with its truth
    Phantom(phantom::Args),
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.command {
        Command::Plan(args) => plan::run(args, printer),
        Command::Run(args) => run::run(args, printer),
        Command::Resume(args) => run::resume(args, printer),
        Command::Monitor(args) => monitor::run(args, printer),
        Command::Report(args) => report::run(args, printer),
        Command::Export(args) => export::run(args, printer),
        Command::Evaluate(args) => evaluate::run(args, printer),
        Command::EvaluateClip(args) => clip_evaluate::run(args, printer),
        Command::Phantom(args) => phantom::run(args, printer),
    }
}
