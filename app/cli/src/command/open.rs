//! `eosin open [FILE]…`, and `eosin` alone: the desktop window.

use std::path::PathBuf;

use crate::command::answer::AnswerArgs;
use crate::printer::Printer;
use crate::settings::ModelArgs;

/// What was asked of `eosin open`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Slides and pictures to show, each in its tab
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    answer: AnswerArgs,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "desktop")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let settings = crate::settings::Settings::load(&args.model)?;
    eosin_desktop::run(eosin_desktop::WindowOptions {
        files: args.files,
        model: settings.source(),
        device: settings.device.value,
        answers: args.answer.options(&settings),
        library: crate::environment::data_dir().join("library/default").to_string_lossy().into_owned(),
        clip: eosin_library::ClipSource::Demo,
        data_dir: crate::environment::data_dir(),
    })
}

/// Says that this build has no window.
#[cfg(not(feature = "desktop"))]
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    let hint = "ask on the command line with `eosin ask`, or build with `--features desktop`";
    Err(crate::printer::advised("this build has no window", hint))
}
