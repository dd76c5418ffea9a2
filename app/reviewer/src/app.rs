//! The window: a bar, tools, the slide, panels, a line of facts.
//!
//! Everything that may take time happens on threads that send [`News`]; a frame takes what has come. Held true
//! by `tests/review.rs`.

mod chrome;
mod perform;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use eframe::egui::{self, CentralPanel, Frame, Margin, Panel as EguiPanel, Ui};
use eosin_core::annotation::AnnotationClass;
use eosin_session::{AskOptions, Worker};
use eosin_workbench::texts::Language;
use eosin_workbench::{ErrorReport, OpenedSlide, SlideKey, Workbench, default_classes};

use crate::keys;
use crate::message::Messages;
use crate::panel::Panel;
use crate::panel::ask::{AskPanel, AskWish, Desk};
use crate::panel::marks::MarksPanel;
use crate::panel::slide::ScaleField;
use crate::panel::{look, search, slide};
use crate::stage::{StageContext, Tool, sketch_keys, stage_ui};
use crate::tab::Tab;
use crate::tiles::{BACK_BYTES, Developer, FRONT_BYTES};
use crate::tokens::{palette, tokens};
use crate::words;

/// Files of a folder that are opened at once.
const MOST_OF_FOLDER: usize = 24;
/// News that may wait for a frame.
const MAX_NEWS: usize = 64;
/// Endings of files that a folder is looked through for.
const ENDINGS: &[&str] = &[
    "svs", "tif", "tiff", "ndpi", "mrxs", "scn", "vms", "vmu", "bif", "svslide", "png", "jpg", "jpeg",
    "webp", "bmp",
];

/// What a thread has to tell.
enum News {
    /// A slide was opened, or not.
    Opened(Result<Arc<OpenedSlide>, ErrorReport>),
    /// Files were chosen in a dialog.
    Chosen(Vec<PathBuf>),
    /// A file was chosen to carry annotations in or out.
    Carry(SlideKey, Carry, PathBuf),
    /// A folder held more files than are opened at once.
    TooMany(usize),
}

/// Which way annotations go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Carry {
    In,
    Out,
}

/// What lies over the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cover {
    /// All commands, to be looked for by name.
    Palette,
    /// The keys.
    Shortcuts,
    /// The scale, typed in.
    Scale,
}

/// What the window is made of.
pub struct Parts {
    /// The application.
    pub workbench: Arc<Workbench>,
    /// The model; without it nothing can be asked.
    pub worker: Option<Arc<Worker>>,
    /// Settings of every answer.
    pub answers: AskOptions,
    /// Where annotations are kept; without it nothing can be drawn.
    pub annotations: Option<PathBuf>,
    /// The language of the words.
    pub language: Language,
}

/// The slide reviewer.
pub struct Reviewer {
    workbench: Arc<Workbench>,
    annotations: Option<PathBuf>,
    developer: Arc<Developer>,
    ctx: egui::Context,
    sender: SyncSender<News>,
    receiver: Receiver<News>,
    tabs: Vec<Tab>,
    front: usize,
    n_opening: usize,
    tool: Tool,
    class: Option<AnnotationClass>,
    classes: Vec<AnnotationClass>,
    panel: Panel,
    panel_shown: bool,
    ask: AskPanel,
    marks: MarksPanel,
    scale: ScaleField,
    messages: Messages,
    cover: Option<Cover>,
    palette_text: String,
}

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reviewer({} tabs)", self.tabs.len())
    }
}

impl Reviewer {
    /// A window without slides.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new(ctx: &egui::Context, parts: Parts) -> std::io::Result<Self> {
        words::speak(ctx, parts.language);
        let (sender, receiver) = sync_channel(MAX_NEWS);
        let desk = Desk::new(Arc::clone(&parts.workbench), parts.worker, parts.answers, ctx.clone());
        Ok(Self {
            workbench: parts.workbench,
            annotations: parts.annotations,
            developer: Arc::new(Developer::new()?),
            ctx: ctx.clone(),
            sender,
            receiver,
            tabs: Vec::new(),
            front: 0,
            n_opening: 0,
            tool: Tool::default(),
            class: None,
            classes: default_classes(),
            panel: Panel::default(),
            panel_shown: true,
            ask: AskPanel::new(desk),
            marks: MarksPanel::default(),
            scale: ScaleField::default(),
            messages: Messages::default(),
            cover: None,
            palette_text: String::new(),
        })
    }

    /// The slide in front.
    pub fn front(&self) -> Option<&Tab> {
        self.tabs.get(self.front)
    }

    /// The slide in front, to change it.
    pub fn front_mut(&mut self) -> Option<&mut Tab> {
        self.tabs.get_mut(self.front)
    }

    /// All tabs.
    pub fn tabs(&self) -> &[Tab] {
        &self.tabs
    }

    /// What waits to be read.
    pub fn messages(&self) -> &[ErrorReport] {
        self.messages.list()
    }

    /// The question panel.
    pub fn ask(&self) -> &AskPanel {
        &self.ask
    }

    /// The threads' share of the tiles.
    pub fn developer(&self) -> &Arc<Developer> {
        &self.developer
    }

    /// Adds a tab and brings it to the front.
    pub fn add_tab(&mut self, tab: Tab) {
        self.tabs.push(tab);
        self.bring(self.tabs.len() - 1);
    }

    /// Brings a tab to the front; those behind keep little.
    pub fn bring(&mut self, idx: usize) {
        self.front = idx.min(self.tabs.len().saturating_sub(1));
        for (idx, tab) in self.tabs.iter_mut().enumerate() {
            if idx == self.front {
                tab.layer.set_capacity(FRONT_BYTES);
            } else {
                tab.layer.rest();
                tab.layer.set_capacity(BACK_BYTES);
            }
        }
    }

    /// Closes a tab.
    pub fn close(&mut self, idx: usize) {
        if idx >= self.tabs.len() {
            return;
        }
        let gone = self.tabs.remove(idx);
        if let Some(opened) = &gone.opened {
            self.workbench.close(&opened.key);
        }
        if idx < self.front || self.front == self.tabs.len() {
            self.front = self.front.saturating_sub(1);
        }
        self.bring(self.front);
    }

    /// Opens files and folders on a thread; each becomes a tab.
    pub fn open(&mut self, paths: Vec<PathBuf>) {
        if paths.is_empty() {
            return;
        }
        let (workbench, sender, ctx) = (Arc::clone(&self.workbench), self.sender.clone(), self.ctx.clone());
        let (files, n_left) = files_of(paths);
        if n_left > 0 {
            let _ = self.sender.try_send(News::TooMany(n_left));
        }
        let n_file = files.len();
        let work = move || {
            for path in files {
                let opened = workbench.open(&path).map_err(|error| error.report());
                // A window that has gone wants no slide.
                if sender.send(News::Opened(opened)).is_err() {
                    return;
                }
                ctx.request_repaint();
            }
        };
        match std::thread::Builder::new().name("eosin-open".to_owned()).spawn(work) {
            Ok(_) => self.n_opening += n_file,
            Err(error) => self.messages.say("thread", format!("cannot open the file: {error}"), None),
        }
    }

    /// Asks for files in the system's dialog, which has a thread of its own.
    fn choose(&mut self, folder: bool) {
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            let dialog = rfd::FileDialog::new();
            let chosen =
                if folder { dialog.pick_folder().map(|folder| vec![folder]) } else { dialog.pick_files() };
            if let Some(paths) = chosen {
                let _ = sender.send(News::Chosen(paths));
                ctx.request_repaint();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("eosin-dialog".to_owned()).spawn(work) {
            self.messages.say("thread", format!("cannot show the dialog: {error}"), None);
        }
    }

    /// Asks for the GeoJSON file that annotations come from or go to.
    fn choose_marks(&mut self, way: Carry) {
        let Some(opened) = self.front().and_then(|tab| tab.opened.as_ref()) else { return };
        let key = opened.key.clone();
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            let dialog = rfd::FileDialog::new().add_filter("GeoJSON", &["geojson", "json"]);
            let chosen = match way {
                Carry::In => dialog.pick_file(),
                Carry::Out => dialog.set_file_name("annotations.geojson").save_file(),
            };
            if let Some(path) = chosen {
                let _ = sender.send(News::Carry(key, way, path));
                ctx.request_repaint();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("eosin-dialog".to_owned()).spawn(work) {
            self.messages.say("thread", format!("cannot show the dialog: {error}"), None);
        }
    }

    fn carry(&mut self, key: &SlideKey, way: Carry, path: &Path) {
        let of_slide = |tab: &&mut Tab| tab.opened.as_ref().is_some_and(|opened| opened.key == *key);
        let Some(tab) = self.tabs.iter_mut().find(of_slide) else { return };
        match way {
            Carry::In => {
                if let Some(done) = tab.marks.import(path) {
                    self.messages.say("imported", format!("annotations taken in: {done}"), None);
                }
            }
            Carry::Out => {
                if tab.marks.export(path) {
                    let message = format!("{} annotations written", tab.marks.list().len());
                    self.messages.say("exported", message, None);
                }
            }
        }
    }

    /// Takes what the threads have sent; also called while the window is hidden.
    pub fn take_news(&mut self) {
        let news: Vec<News> = self.receiver.try_iter().collect();
        for news in news {
            match news {
                News::Opened(result) => {
                    self.n_opening = self.n_opening.saturating_sub(1);
                    match result {
                        Ok(opened) => {
                            let folder = self.annotations.as_deref();
                            self.add_tab(Tab::of_slide(&self.workbench, opened, &self.developer, folder));
                        }
                        Err(report) => self.messages.push(report),
                    }
                }
                News::Chosen(paths) => self.open(paths),
                News::Carry(key, way, path) => self.carry(&key, way, &path),
                News::TooMany(n_left) => {
                    let message = format!("{n_left} more files of the folder were left closed");
                    let hint = "open them one by one, or add the folder to the library".to_owned();
                    self.messages.say("folder", message, Some(hint));
                }
            }
        }
        let ctx = self.ctx.clone();
        self.ask.take_news(&ctx);
    }

    /// Shows the window.
    pub fn ui(&mut self, ui: &mut Ui) {
        self.take_news();
        self.take_drops(ui);
        if let Some(tab) = self.tabs.get_mut(self.front) {
            let writing = ui.ctx().egui_wants_keyboard_input();
            if self.cover.is_none() && !(writing && tab.sketch.is_none()) {
                sketch_keys(ui, tab, self.class.as_ref());
            }
        }
        for command in keys::pressed(ui.ctx()) {
            self.perform(ui, command.id);
        }
        self.top_bar(ui);
        self.status_bar(ui);
        self.side_panel(ui);
        if !self.tabs.is_empty() {
            self.tool_bar(ui);
        }
        let stage = Frame::new().fill(palette(ui).stage);
        CentralPanel::no_frame().frame(stage).show(ui, |ui| match self.tabs.get_mut(self.front) {
            Some(tab) => {
                let mut context = StageContext { tool: &mut self.tool, class: &self.class };
                ui.push_id(self.front, |ui| stage_ui(ui, tab, &mut context));
            }
            None => self.welcome(ui),
        });
        for tab in &mut self.tabs {
            if let Some(report) = tab.marks.take_report() {
                self.messages.push(report);
            }
        }
        self.messages.ui(ui);
        self.cover_ui(ui);
    }

    fn side_panel(&mut self, ui: &mut Ui) {
        let mut shown = self.panel_shown;
        let frame = Frame::new().fill(palette(ui).panel);
        let panel = EguiPanel::right("side").frame(frame).default_size(384.0).size_range(300.0..=620.0);
        panel.show_collapsible(ui, &mut shown, |ui| {
            self.panel_tabs(ui);
            let margin = Margin::same(tokens().space.wide as i8);
            let padded = Frame::new().inner_margin(margin);
            match (self.panel, self.tabs.get_mut(self.front)) {
                (Panel::Ask, tab) => {
                    let wish = self.ask.ui(ui, tab.as_deref());
                    if let Some(AskWish::Show(key, view)) = wish {
                        self.show_place(&key, view);
                    }
                }
                (Panel::Search, _) => {
                    padded.show(ui, search::empty_ui);
                }
                (_, None) => {
                    padded.show(ui, |ui| {
                        ui.label(crate::theme::quiet(ui, words::text(ui, "review.open-first")))
                    });
                }
                (Panel::Marks, Some(tab)) => {
                    padded.show(ui, |ui| self.marks.ui(ui, tab, &mut self.classes, &mut self.class));
                }
                (Panel::Look, Some(tab)) => {
                    padded.show(ui, |ui| look::look_ui(ui, tab));
                }
                (Panel::Slide, Some(tab)) => {
                    padded.show(ui, |ui| slide::slide_ui(ui, tab, &mut self.scale));
                }
            }
        });
        self.panel_shown = shown;
    }

    fn show_place(&mut self, key: &SlideKey, view: eosin_workbench::ViewRect) {
        let of_slide = |tab: &Tab| tab.opened.as_ref().is_some_and(|opened| opened.key == *key);
        if let Some(idx) = self.tabs.iter().position(of_slide) {
            self.bring(idx);
            self.tabs[idx].viewport.show(view);
        } else {
            self.messages.say("not_open", "the slide of this question is closed".to_owned(), None);
        }
    }

    fn take_drops(&mut self, ui: &Ui) {
        let dropped: Vec<PathBuf> =
            ui.input(|input| input.raw.dropped_files.iter().map(|file| file.path().to_owned()).collect());
        self.open(dropped);
    }
}

/// The files to open, and how many of a folder are left out.
fn files_of(paths: Vec<PathBuf>) -> (Vec<PathBuf>, usize) {
    let (mut files, mut n_left) = (Vec::new(), 0);
    for path in paths {
        if !path.is_dir() {
            files.push(path);
            continue;
        }
        let mut found: Vec<PathBuf> = std::fs::read_dir(&path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_file() && is_picture(path))
            .collect();
        found.sort();
        n_left += found.len().saturating_sub(MOST_OF_FOLDER);
        found.truncate(MOST_OF_FOLDER);
        files.extend(found);
    }
    (files, n_left)
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

impl eframe::App for Reviewer {
    fn logic(&mut self, _ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.take_news();
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        self.ui(ui);
    }

    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_through_for_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.SVS", "a.png", "notes.txt", "c"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let lone = folder.path().join("c");
        let (files, n_left) = files_of(vec![folder.path().to_owned(), lone.clone()]);
        let names: Vec<_> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.png", "b.SVS", "c"], "what is named itself is opened whatever its ending");
        assert_eq!(n_left, 0);
        for n in 0..30 {
            std::fs::write(folder.path().join(format!("{n}.tif")), b"x").unwrap();
        }
        let (files, n_left) = files_of(vec![folder.path().to_owned()]);
        assert_eq!((files.len(), n_left), (MOST_OF_FOLDER, 32 - MOST_OF_FOLDER));
    }
}
