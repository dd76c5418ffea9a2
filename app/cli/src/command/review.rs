//! `eosin review [SLIDE…]`: the native slide reviewer.

use std::path::PathBuf;

use crate::command::answer::AnswerArgs;
use crate::printer::Printer;
use crate::settings::ModelArgs;

const EXAMPLES: &str = "\
Examples:
  eosin review slide.svs            one slide
  eosin review a.svs b.ndpi scans/  several, each in a tab";

/// What was asked of `eosin review`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Slides, pictures and folders to show
    #[arg(value_name = "SLIDE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "reviewer")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let settings = crate::settings::Settings::load(&args.model)?;
    eosin_reviewer::review(eosin_reviewer::ReviewOptions {
        files: args.files,
        model: settings.source(),
        device: settings.device.value,
        answers: args.answer.options(&settings),
        library: crate::environment::data_dir().join("library/default").to_string_lossy().into_owned(),
        clip: eosin_library::ClipSource::Demo,
        data_dir: crate::environment::data_dir(),
        language: crate::environment::language(),
    })
}

/// Says that this build has no window.
#[cfg(not(feature = "reviewer"))]
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let hint = "ask on the command line with `eosin ask`, or build with `--features reviewer`";
    Err(crate::printer::advised("this build has no native window", hint))
}
