//! `eosin open [FILE]`, and `eosin` alone: the desktop window.

use std::path::PathBuf;

use eosin_core::DeviceChoice;

use crate::printer::Printer;

/// What was asked of `eosin open`.
#[derive(clap::Args, Default)]
pub struct Args {
    /// Slide or picture to show
    pub file: Option<PathBuf>,
    /// Hugging Face folder, .gguf file or bundle that answers; the demonstration model otherwise
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Vision part of a .gguf model
    #[arg(long, value_name = "GGUF", requires = "model")]
    pub mmproj: Option<PathBuf>,
    /// auto, cpu, wgpu:N or cuda:N
    #[arg(long, default_value_t)]
    pub device: DeviceChoice,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<usize>,
}

/// Opens the window; returns when it is closed.
#[cfg(feature = "desktop")]
pub fn run(args: Args, _printer: &Printer) -> anyhow::Result<()> {
    use eosin_session::BundleSource;
    let Args { file, model, mmproj, device, max_tokens } = args;
    let model = model.map_or(BundleSource::Demo, |model| BundleSource::Files { model, mmproj });
    eosin_desktop::run(eosin_desktop::WindowOptions { file, model, device, max_tokens })
}

/// Says that this build has no window.
#[cfg(not(feature = "desktop"))]
pub fn run(_args: Args, _printer: &Printer) -> anyhow::Result<()> {
    anyhow::bail!("this build has no window: build it with the feature `desktop`, or use `eosin ask`")
}
