//! What both windows are started with, the page's and the native one: files, model, library, settings of answers.

use std::path::PathBuf;

use crate::command::answer::AnswerArgs;
use crate::command::library::LibraryArgs;
use crate::settings::ModelArgs;

/// What was asked of a window.
#[derive(clap::Args, Default)]
pub struct WindowArgs {
    /// Slides, pictures and folders to show, each file in its tab
    #[arg(value_name = "SLIDE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) library: LibraryArgs,
    /// CLIP model behind similar images: a folder or one weight file; EOSIN_CLIP, else the demonstration
    #[arg(long, value_name = "PATH")]
    pub(crate) clip: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

#[cfg(any(feature = "desktop", feature = "reviewer"))]
impl WindowArgs {
    /// All of it, settled.
    ///
    /// # Errors
    /// Settings that cannot be read.
    pub(crate) fn options(self) -> anyhow::Result<eosin_workbench::WindowOptions> {
        let settings = crate::settings::Settings::load(&self.model)?;
        Ok(eosin_workbench::WindowOptions {
            model: settings.source(),
            device: settings.device.value,
            answers: self.answer.options(&settings),
            library: self.library.place(),
            clip: crate::command::library::clip_source(self.clip.as_ref()),
            files: self.files,
            language: crate::environment::language(),
            data_dir: crate::environment::data_dir(),
        })
    }
}
