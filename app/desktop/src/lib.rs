//! The Tauri window: slides by dialog, drop or argument; questions about the view; answers streamed.
//!
//! All behaviour is in `eosin-workbench` and `eosin-session`: a command here parses, calls and converts. Held
//! true from end to end by `tests/window.rs`.

mod command;
mod dto;
mod protocol;
mod stream;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_session::{AskOptions, BundleSource, Worker};
use eosin_workbench::{FeedOptions, Workbench};
use tauri::{WebviewUrl, WebviewWindowBuilder};

use crate::stream::Running;

/// What the window starts with.
#[derive(Clone, Debug, Default)]
pub struct WindowOptions {
    /// Slides and pictures to show, each in its tab.
    pub files: Vec<PathBuf>,
    /// Model that answers.
    pub model: BundleSource,
    /// Device that it runs on.
    pub device: DeviceChoice,
    /// Settings of every answer, otherwise than the model's own.
    pub answers: AskOptions,
}

/// What every command of the window can reach.
struct State {
    workbench: Arc<Workbench>,
    worker: Worker,
    options: WindowOptions,
    /// The answer that is being made.
    running: Mutex<Option<Running>>,
}

/// Opens the window and returns when it is closed.
///
/// # Errors
/// Where the machine has no display, or its web view does not start.
pub fn run(options: WindowOptions) -> anyhow::Result<()> {
    let workbench = Arc::new(Workbench::new(FeedOptions::default()).context("cannot start the tile feed")?);
    let tiles = Arc::clone(&workbench);
    let worker = Worker::spawn(options.model.clone(), options.device);
    let state = State { workbench, worker, options, running: Mutex::new(None) };
    tauri::Builder::default()
        .register_asynchronous_uri_scheme_protocol("slide", move |_, request, responder| {
            protocol::serve(&tiles, request.uri().path(), move |response| responder.respond(response));
        })
        .manage(state)
        .invoke_handler(include!(concat!(env!("OUT_DIR"), "/handler.rs")))
        .setup(|app| {
            WebviewWindowBuilder::new(app, "workbench", WebviewUrl::default())
                .title("Eosin")
                .inner_size(1360.0, 860.0)
                .min_inner_size(860.0, 560.0)
                .build()?;
            Ok(())
        })
        .run(tauri::generate_context!())
        .context("cannot open the window; is there a display? Without one, use `eosin ask`")
}
