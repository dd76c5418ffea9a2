//! A training run while it goes on: stages, curves, what the model wrote, what was left out.
//!
//! The run itself comes from a [`MonitorSource`], asked on a thread of its own now and then; a frame draws the
//! last [`RunState`] it gave. Curves are bounded whatever the run's length ([`Series`]). Held true by
//! `tests/monitor.rs`.

mod charts;
mod samples;
mod series;
mod stages;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eframe::egui::{self, Align, CentralPanel, Frame, Layout, Margin, Panel, RichText, Theme, Ui, vec2};

pub use series::{MOST_POINTS, Series};

use crate::icon::{BUTTON_PX, Chosen, Icon, icon_button, paint};
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{command_text, text};

/// Time between two looks at the run.
const PAUSE: Duration = Duration::from_millis(700);

/// A run as it stands.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RunState {
    /// Its name.
    pub name: String,
    /// Its stages in order.
    pub stages: Vec<StageState>,
    /// What went wrong when it was last looked at.
    pub fault: Option<String>,
}

/// How far a stage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// Not begun.
    #[default]
    Waiting,
    /// Steps are being taken.
    Running,
    /// Begun, and silent for a while: stopped, killed, or in a long step.
    Silent,
    /// Its model is there.
    Finished,
}

/// A stage of a run.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct StageState {
    /// Its name.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// `clip`, `cpt`, `sft`, `rl`.
    pub kind: String,
    /// How far it is.
    pub progress: Progress,
    /// Steps taken.
    pub step: u64,
    /// Steps to take, where known.
    pub n_step: Option<u64>,
    /// Share done, 0…1.
    pub share: f64,
    /// Time that it has taken.
    pub elapsed_secs: Option<f64>,
    /// Time that it will take, where one can tell.
    pub left_secs: Option<f64>,
    /// Curves by name; those that begin with `eval_` are of samples that are not trained on.
    pub curves: Vec<(String, Series)>,
    /// What the model wrote of late, newest first.
    pub samples: Vec<Sample>,
    /// Samples left out.
    pub n_skipped: usize,
    /// The last of them, with their reasons.
    pub skipped: Vec<(String, String)>,
}

impl StageState {
    /// A curve by name.
    pub fn curve(&self, name: &str) -> Option<&Series> {
        self.curves.iter().find(|(known, _)| known == name).map(|(_, series)| series)
    }

    fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }
}

/// Something that the model wrote.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Sample {
    /// The step that it served.
    pub step: u64,
    /// The question.
    pub prompt: String,
    /// What the model wrote.
    pub completion: String,
    /// The right answer.
    pub gold: String,
    /// Points by reward.
    pub rewards: Vec<(String, f64)>,
}

/// Looks at a run.
pub trait MonitorSource: Send {
    /// How the run stands now. Called on a thread, over and over; may read, should not read all each time.
    fn look(&mut self) -> RunState;
}

/// The thread that looks, and what it saw last.
#[derive(Debug)]
struct Watcher {
    last: Arc<Mutex<Arc<RunState>>>,
    ended: Arc<AtomicBool>,
}

impl Watcher {
    fn start(ctx: egui::Context, mut source: Box<dyn MonitorSource>) -> std::io::Result<Self> {
        let last = Arc::new(Mutex::new(Arc::new(RunState::default())));
        let ended = Arc::new(AtomicBool::new(false));
        let (out, stop) = (Arc::clone(&last), Arc::clone(&ended));
        std::thread::Builder::new().name("eosin-monitor".to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let state = source.look();
                let mut last = out.lock().unwrap_or_else(PoisonError::into_inner);
                if **last != state {
                    *last = Arc::new(state);
                    ctx.request_repaint();
                }
                drop(last);
                std::thread::sleep(PAUSE);
            }
        })?;
        Ok(Self { last, ended })
    }

    fn state(&self) -> Arc<RunState> {
        Arc::clone(&self.last.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// The monitor's window.
#[derive(Debug)]
pub struct Monitor {
    watcher: Watcher,
    /// The stage that the person chose; without one the stage that runs is shown.
    chosen: Option<String>,
    /// Steps over which curves are smoothed.
    smooth: f64,
    samples_shown: bool,
}

impl Monitor {
    /// A window over a run.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new(ctx: &egui::Context, source: Box<dyn MonitorSource>) -> std::io::Result<Self> {
        let watcher = Watcher::start(ctx.clone(), source)?;
        Ok(Self { watcher, chosen: None, smooth: 0.6, samples_shown: true })
    }

    /// What was seen last.
    pub fn state(&self) -> Arc<RunState> {
        self.watcher.state()
    }

    /// Shows the window.
    pub fn ui(&mut self, ui: &mut Ui) {
        let run = self.watcher.state();
        let running = run.stages.iter().position(|stage| stage.progress == Progress::Running);
        let begun = run.stages.iter().rposition(|stage| stage.progress != Progress::Waiting);
        let chosen = self.chosen.as_ref().and_then(|name| run.stages.iter().position(|s| s.name == *name));
        let shown = chosen.or(running).or(begun).unwrap_or(0);
        self.bar(ui, &run);
        let palette = palette(ui);
        let side = Frame::new().fill(palette.panel).inner_margin(Margin::same(tokens().space.gap as i8));
        Panel::left("stages").frame(side).default_size(248.0).size_range(200.0..=360.0).show(ui, |ui| {
            if let Some(idx) = stages::stages_ui(ui, &run, shown, self.chosen.is_none()) {
                // The one that runs is followed, so that the next stage shows when its turn has come.
                self.chosen =
                    Some(idx).filter(|idx| Some(*idx) != running).map(|idx| run.stages[idx].name.clone());
            }
        });
        let Some(stage) = run.stages.get(shown) else {
            CentralPanel::no_frame()
                .frame(Frame::new().fill(palette.ground))
                .show(ui, |ui| empty_ui(ui, &run));
            return;
        };
        if !stage.samples.is_empty() || !stage.skipped.is_empty() {
            let panel = Panel::right("samples").frame(side).default_size(360.0).size_range(260.0..=620.0);
            panel.show_collapsible(ui, &mut self.samples_shown, |ui| samples::samples_ui(ui, stage));
        }
        let ground = Frame::new().fill(palette.ground).inner_margin(Margin::same(tokens().space.gap as i8));
        CentralPanel::no_frame().frame(ground).show(ui, |ui| {
            charts::charts_ui(ui, stage, &mut self.smooth);
        });
    }

    #[expect(clippy::unused_self, reason = "a part of the window, as the others are")]
    fn bar(&mut self, ui: &mut Ui, run: &RunState) {
        let palette = palette(ui);
        let frame = Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(14, 7));
        Panel::top("bar").frame(frame).show(ui, |ui| {
            theme::row(ui, BUTTON_PX, |ui| {
                ui.label(RichText::new("Eosin").text_style(theme::title()).size(17.0).color(palette.accent));
                ui.label(RichText::new(&run.name).text_style(theme::title()));
                let n_done = run.stages.iter().filter(|s| s.progress == Progress::Finished).count();
                ui.label(theme::quiet(ui, format!("{n_done} of {} stages finished", run.stages.len())));
                if let Some(fault) = &run.fault {
                    ui.label(RichText::new(fault).small().color(palette.danger));
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let icon = if ui.visuals().dark_mode { Icon::Sun } else { Icon::Moon };
                    let name = command_text(ui, "theme");
                    if icon_button(ui, icon, &name, "", Chosen::Action).clicked() {
                        let theme = if ui.visuals().dark_mode { Theme::Light } else { Theme::Dark };
                        ui.ctx().set_theme(theme);
                    }
                    ui.label(theme::quiet(ui, text(ui, "review.research")));
                });
            });
        });
    }
}

fn empty_ui(ui: &mut Ui, run: &RunState) {
    let palette = palette(ui);
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.32).max(20.0));
        let (rect, _) = ui.allocate_exact_size(vec2(56.0, 56.0), egui::Sense::hover());
        paint(ui.painter(), rect.shrink(8.0), Icon::Sliders, palette.accent);
        let title = if run.name.is_empty() { "Looking at the run…" } else { "No stage has begun" };
        ui.label(RichText::new(title).text_style(theme::display()));
        if let Some(fault) = &run.fault {
            ui.label(RichText::new(fault).color(palette.danger));
        }
    });
}

impl eframe::App for Monitor {
    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.ui(ui);
    }
}

/// About three digits; very small and very large ones with a power of ten.
fn compact(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "no number".to_owned();
    }
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.1e}");
    }
    let digits: usize = match size {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, expected) in
            [(0.0, "0.000"), (1.234, "1.23"), (123.4, "123"), (2e-5, "2.0e-5"), (f64::NAN, "no number")]
        {
            assert_eq!(compact(value), expected);
        }
    }
}
