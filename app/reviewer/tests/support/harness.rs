//! A window without a window: on software Vulkan, by accessible names, and a picture of it where one wants to look.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses its own part")]

#[path = "../../../../tests/support/shared.rs"]
mod shared;

pub(crate) use shared::shared;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub mod drawn;

pub use eframe::egui::{self, Theme};
pub use egui_kittest::kittest::Queryable;
pub use egui_kittest::{Harness, SnapshotOptions};
use eosin_casebook::CaseBook;
use eosin_core::DeviceChoice;
use eosin_library::ClipSource;
use eosin_reviewer::{Lettering, Parts, Reviewer};
use eosin_session::{AskOptions, BundleSource, Worker};
use eosin_workbench::chat::Chats;
use eosin_workbench::finder::{Finder, FinderOptions};
use eosin_workbench::texts::Language;
use eosin_workbench::{FeedOptions, PreferencesFile, Workbench};

/// What a window holds on to.
pub struct Held {
    pub reviewer: Option<Reviewer>,
    pub parts: Option<Parts>,
    pub folder: tempfile::TempDir,
}

pub type Window = Harness<'static, Held>;

impl Held {
    pub fn open(&mut self, paths: Vec<PathBuf>) {
        self.get().open(&paths);
    }

    pub fn get(&mut self) -> &mut Reviewer {
        self.reviewer.as_mut().expect("the first frame makes it")
    }
}

/// Whether a picture can be made here: the harness panics without an adapter.
pub fn adapter() -> bool {
    let probe = std::panic::catch_unwind(|| {
        let mut harness = Harness::builder().with_size([16.0, 16.0]).wgpu().build_ui(|_| {});
        harness.render().is_ok()
    });
    let there = probe.unwrap_or(false);
    if !there {
        println!("no graphics adapter, not even a software one: skipped");
    }
    there
}

/// Whether a window can be asked questions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    None,
    Demo,
}

fn parts(folder: &std::path::Path, model: Model) -> Parts {
    let preferences = PreferencesFile::open(&folder.join("preferences.json")).unwrap().0;
    let workbench = Workbench::new(FeedOptions { n_worker: 2, ..FeedOptions::default() }).unwrap();
    let workbench = Arc::new(workbench.remembering(Arc::new(preferences)));
    let chats = (model == Model::Demo).then(|| {
        let book = CaseBook::open(&folder.join("casebook.sqlite")).unwrap().0;
        let worker = Worker::spawn(BundleSource::Demo, DeviceChoice::Cpu);
        Arc::new(Chats::new(Arc::clone(&workbench), Arc::new(book), worker))
    });
    let finder = (model == Model::Demo).then(|| {
        let library = folder.join("library").to_string_lossy().into_owned();
        Arc::new(Finder::new(FinderOptions { library, clip: ClipSource::Demo, device: DeviceChoice::Cpu }))
    });
    Parts {
        workbench,
        chats,
        finder,
        answers: AskOptions { greedy: true, ..AskOptions::default() },
        annotations: Some(folder.join("annotations")),
        language: Language::En,
        news: Vec::new(),
    }
}

/// A window of the size of a small screen.
pub fn window(theme: Theme) -> Option<Window> {
    window_with(theme, Model::None)
}

pub fn window_with(theme: Theme, model: Model) -> Option<Window> {
    if !adapter() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let parts = parts(folder.path(), model);
    let held = Held { reviewer: None, parts: Some(parts), folder };
    let harness = Harness::builder()
        .with_size([1160.0, 740.0])
        .with_step_dt(1.0 / 60.0)
        .with_max_steps(240)
        .with_context_setup(|ctx| eosin_reviewer::install(ctx, Lettering::BuiltIn))
        .wgpu()
        .build_ui_state(
            move |ui, held: &mut Held| {
                let reviewer = held.reviewer.get_or_insert_with(|| {
                    let parts = held.parts.take().expect("made once");
                    let reviewer = Reviewer::new(ui.ctx(), parts).unwrap();
                    ui.ctx().set_theme(theme);
                    reviewer
                });
                whole(ui, |ui| reviewer.ui(ui));
            },
            held,
        );
    Some(harness)
}

/// Runs what is given in all of the picture: the harness leaves a margin that no window has.
pub fn whole(ui: &mut egui::Ui, add: impl FnOnce(&mut egui::Ui)) {
    let rect = ui.ctx().content_rect();
    ui.set_clip_rect(rect);
    let mut child = ui.new_child(egui::UiBuilder::new().max_rect(rect));
    add(&mut child);
}

/// The one threshold of all pictures: drivers differ in how they round the edges of letters.
fn threshold() -> SnapshotOptions {
    SnapshotOptions::new().threshold(1.2).max_failed_pixels(60)
}

/// Holds the window against the picture of this name, and writes it where one wants to look.
#[track_caller]
pub fn picture<State>(window: &mut Harness<'_, State>, name: &str) {
    save(window, name);
    window.snapshot_options(name, &threshold());
}

/// Runs frames until a condition holds.
#[track_caller]
pub fn until(window: &mut Window, what: &str, mut holds: impl FnMut(&mut Window) -> bool) {
    let begun = Instant::now();
    loop {
        window.step();
        if holds(window) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Runs frames until the slide in front is all there and nothing moves.
#[track_caller]
pub fn settle(window: &mut Window) {
    until(window, "a slide in front, all of its tiles there", |window| {
        let reviewer = window.state_mut().get();
        reviewer
            .front()
            .is_some_and(|tab| !tab.viewport.moves() && tab.drawn.n_missing == 0 && tab.drawn.n_sharp > 0)
    });
    for _ in 0..30 {
        window.step();
    }
}

/// Writes a picture to the folder that `EOSIN_PICTURES` names; for looking at.
pub fn save<State>(window: &mut Harness<'_, State>, name: &str) {
    let Some(folder) = std::env::var_os("EOSIN_PICTURES") else { return };
    let picture = window.render().unwrap();
    picture.save(PathBuf::from(folder).join(format!("{name}.png"))).unwrap();
}
