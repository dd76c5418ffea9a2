//! The native windows: slide reviewer and training monitor, for machines where a web view is poor or absent.
//!
//! Entry points: [`review`] and [`monitor`]. Each opens one window (egui on wgpu) on the thread that calls it
//! and returns when it is closed. What they show comes from `eosin-workbench`, and for the monitor from
//! whatever implements [`monitor::MonitorSource`]: this crate knows no training. [`Reviewer`] is the window's
//! content without the window, for tests.

#![expect(unreachable_pub, reason = "behind the façade below, `pub` says: for the other files of it")]

mod app;
mod fonts;
mod icon;
mod keys;
pub mod marks;
mod message;
pub mod monitor;
mod panel;
pub mod scale;
mod stage;
mod start;
mod tab;
mod theme;
pub mod tiles;
mod tokens;
mod viewport;
mod words;

use std::path::PathBuf;

use anyhow::Context as _;
use eframe::egui;
use eosin_core::DeviceChoice;
use eosin_library::ClipSource;
use eosin_session::{AskOptions, BundleSource};
use eosin_workbench::texts::Language;

pub use app::{Parts, Reviewer};
pub use fonts::Lettering;
pub use stage::{STAGE, Tool};
pub use tab::Tab;
pub use theme::install;
pub use viewport::{Pose, Viewport};

/// What the reviewer starts with.
#[derive(Clone, Debug, Default)]
pub struct ReviewOptions {
    /// Slides, pictures and folders to show.
    pub files: Vec<PathBuf>,
    /// Model that answers.
    pub model: BundleSource,
    /// Device that it runs on.
    pub device: DeviceChoice,
    /// Settings of every answer, otherwise than the model's own.
    pub answers: AskOptions,
    /// Where the library of similar images is: a folder, or `postgres://…`.
    pub library: String,
    /// The model behind it.
    pub clip: ClipSource,
    /// Where case book, annotations and preferences are kept.
    pub data_dir: PathBuf,
    /// Language of the words, where none was chosen before.
    pub language: Language,
}

/// Opens the reviewer's window and returns when it is closed.
///
/// # Errors
/// Where the machine has no display, or no graphics that wgpu can use.
pub fn review(options: ReviewOptions) -> anyhow::Result<()> {
    let (parts, _stopgap) = start::parts(&options)?;
    open_window("Eosin", [1360.0, 860.0], move |ctx| {
        let mut reviewer = Reviewer::new(ctx, parts)?;
        reviewer.open(&options.files);
        Ok(Box::new(reviewer))
    })
}

/// Opens the monitor's window over a run and returns when it is closed.
///
/// # Errors
/// As [`review`].
pub fn monitor(source: Box<dyn monitor::MonitorSource>, language: Language) -> anyhow::Result<()> {
    open_window("Eosin: training", [1360.0, 860.0], move |ctx| {
        words::speak(ctx, language);
        Ok(Box::new(monitor::Monitor::new(ctx, source)?))
    })
}

/// Opens a window; `make` makes what is in it.
fn open_window(
    title: &str,
    size: [f32; 2],
    make: impl FnOnce(&egui::Context) -> std::io::Result<Box<dyn eframe::App>>,
) -> anyhow::Result<()> {
    let viewport = egui::ViewportBuilder::default()
        .with_title(title)
        .with_app_id("eosin")
        .with_inner_size(size)
        .with_min_inner_size([760.0, 480.0]);
    let options = eframe::NativeOptions { viewport, ..eframe::NativeOptions::default() };
    let creator: eframe::AppCreator<'_> = Box::new(move |creation| {
        install(&creation.egui_ctx, Lettering::System);
        Ok(make(&creation.egui_ctx)?)
    });
    eframe::run_native("eosin", options, creator)
        // Its error is not `Sync`; its words are what counts.
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("cannot open the window; is there a display? Without one, use `eosin ask` and `eosin slide`")
}
