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
mod tab;
mod theme;
pub mod tiles;
mod tokens;
mod viewport;
mod words;

use std::sync::Arc;

use anyhow::Context as _;
use eframe::egui;
use eosin_workbench::texts::Language;
use eosin_workbench::{Started, WindowOptions, start};

pub use app::{Parts, Reviewer};
pub use fonts::Lettering;
pub use stage::{STAGE, Tool};
pub use tab::Tab;
pub use theme::install;
pub use viewport::{Pose, Viewport};

/// Opens the reviewer's window and returns when it is closed.
///
/// # Errors
/// Where the machine has no display, or no graphics that wgpu can use.
pub fn review(options: WindowOptions) -> anyhow::Result<()> {
    let Started { workbench, chats, finder, preferences: _, news, stopgap: _stopgap } = start(&options)?;
    let parts = Parts {
        workbench,
        finder: Some(Arc::new(finder)),
        chats: Some(Arc::new(chats)),
        answers: options.answers.clone(),
        annotations: Some(options.annotations()),
        language: options.language,
        news,
    };
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
