//! The window: a bar, tools, the slide, panels, a line of facts.
//!
//! Everything that may take time happens on threads that send [`News`]; a frame takes what has come. Held true
//! by `tests/review.rs`.

mod chrome;
mod files;
mod perform;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use eframe::egui::{self, CentralPanel, Frame, Margin, Panel as EguiPanel, Ui};
use eosin_core::annotation::AnnotationClass;
use eosin_session::AskOptions;
use eosin_workbench::chat::Chats;
use eosin_workbench::finder::Finder;
use eosin_workbench::texts::Language;
use eosin_workbench::{
    ErrorReport, OpenedSlide, Preferences, RecentFile, SlideKey, Theme, ViewRect, Workbench, default_classes,
};

use crate::keys;
use crate::message::Messages;
use crate::panel::Panel;
use crate::panel::ask::{AskPanel, AskWish, Desk};
use crate::panel::marks::MarksPanel;
use crate::panel::search::{Clerk, SearchPanel, SearchWish};
use crate::panel::slide::{ScaleField, ScaleWish};
use crate::panel::{look, slide};
use crate::stage::{StageContext, Tool, sketch_keys, stage_ui};
use crate::tab::Tab;
use crate::tiles::{BACK_BYTES, Developer, FRONT_BYTES};
use crate::tokens::{palette, tokens};
use crate::words;

/// News that may wait for a frame.
const MAX_NEWS: usize = 64;

/// What a thread has to tell.
enum News {
    /// A slide was opened, or not.
    Opened(Result<Arc<OpenedSlide>, ErrorReport>),
    /// Files were chosen in a dialog.
    Chosen(Vec<PathBuf>),
    /// A folder was chosen for the library.
    ToIndex(PathBuf),
    /// A file was chosen to carry annotations in or out.
    Carry(SlideKey, Carry, PathBuf),
    /// Something could not be remembered.
    Unremembered(ErrorReport),
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
    /// Questions, answers and the model; without them nothing can be asked.
    pub chats: Option<Arc<Chats>>,
    /// The library of similar images; without it nothing is found.
    pub finder: Option<Arc<Finder>>,
    /// Settings of every answer.
    pub answers: AskOptions,
    /// Where annotations are kept; without it nothing can be drawn.
    pub annotations: Option<PathBuf>,
    /// The language of the words, where none was chosen before.
    pub language: Language,
    /// What the person should know of the start.
    pub news: Vec<ErrorReport>,
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
    /// Classes that are remembered.
    n_class_kept: usize,
    recent: Vec<RecentFile>,
    panel: Panel,
    panel_shown: bool,
    ask: AskPanel,
    search: SearchPanel,
    /// A place to show in a file that is being opened.
    awaited: Option<(PathBuf, ViewRect)>,
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
        let kept = parts.workbench.preferences().map(|file| file.get());
        let recent = kept.as_ref().map(Preferences::recent_files).unwrap_or_default();
        let classes = kept.as_ref().map_or_else(default_classes, |kept| kept.classes.clone());
        words::speak(ctx, kept.as_ref().and_then(|kept| kept.language).unwrap_or(parts.language));
        if let Some(kept) = &kept {
            ctx.set_theme(match kept.theme {
                Theme::System => egui::ThemePreference::System,
                Theme::Light => egui::ThemePreference::Light,
                Theme::Dark => egui::ThemePreference::Dark,
            });
        }
        let mut messages = Messages::default();
        for report in parts.news {
            messages.push(report);
        }
        let (sender, receiver) = sync_channel(MAX_NEWS);
        let desk = Desk::new(parts.chats, parts.answers, ctx.clone());
        let (bench, marks) = (Arc::clone(&parts.workbench), parts.annotations.clone());
        let clerk = Clerk::new(bench, parts.finder, marks, ctx.clone());
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
            n_class_kept: classes.len(),
            classes,
            recent,
            panel: Panel::default(),
            panel_shown: true,
            ask: AskPanel::new(desk),
            search: SearchPanel::new(clerk),
            awaited: None,
            marks: MarksPanel::default(),
            scale: ScaleField::default(),
            messages,
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

    /// The search panel.
    pub fn search(&mut self) -> &mut SearchPanel {
        &mut self.search
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
                            let mut tab = Tab::of_slide(&self.workbench, opened, &self.developer, folder);
                            if let Some((_, place)) = self.awaited.take_if(|(path, _)| tab.is_of(path)) {
                                tab.point_at(place);
                            }
                            self.add_tab(tab);
                        }
                        Err(report) => self.messages.push(report),
                    }
                }
                News::Chosen(paths) => self.open(&paths),
                News::ToIndex(path) => self.search.index(path),
                News::Carry(key, way, path) => self.carry(&key, way, &path),
                News::Unremembered(report) => self.messages.push(report),
            }
        }
        let ctx = self.ctx.clone();
        self.ask.take_news(&ctx);
        self.search.take_news(&ctx);
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
        // What lies over the window has its own keys.
        if self.cover.is_none() {
            for command in keys::pressed(ui.ctx(), |command| self.ready(command)) {
                self.perform(ui, command.id);
            }
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
        if let Some(report) = self.ask.take_report() {
            self.messages.push(report);
        }
        if let Some(report) = self.search.take_report() {
            self.messages.push(report);
        }
        self.keep_up(ui);
        self.messages.ui(ui);
        self.cover_ui(ui);
    }

    fn side_panel(&mut self, ui: &mut Ui) {
        let mut shown = self.panel_shown;
        let frame = Frame::new().fill(palette(ui).panel);
        let panel = EguiPanel::right("side").frame(frame).default_size(384.0).size_range(300.0..=620.0);
        panel.show_collapsible(ui, &mut shown, |ui| {
            self.panel_tabs(ui);
            let side = tokens().space.wide as i8;
            let margin = Margin { left: side, right: side, top: 2, bottom: side };
            let padded = Frame::new().inner_margin(margin);
            match (self.panel, self.tabs.get_mut(self.front)) {
                (Panel::Ask, tab) => {
                    let wish = self.ask.ui(ui, tab.as_deref());
                    if let Some(AskWish::Show(key, view)) = wish {
                        self.show_place(&key, view);
                    }
                }
                (Panel::Search, tab) => {
                    let wish = padded.show(ui, |ui| self.search.ui(ui, tab.as_deref())).inner;
                    match wish {
                        Some(SearchWish::Open(path, place)) => self.open_at(path, place),
                        Some(SearchWish::ChooseFolder) => self.choose_for_library(),
                        None => {}
                    }
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
                    let wish = padded.show(ui, |ui| slide::slide_ui(ui, tab, &mut self.scale)).inner;
                    if let Some(wish) = wish {
                        self.state_scale(wish);
                    }
                }
            }
        });
        self.panel_shown = shown;
    }

    fn state_scale(&mut self, wish: ScaleWish) {
        let mpp = match wish {
            ScaleWish::Typed(mpp) => Some(mpp),
            ScaleWish::Stated => None,
        };
        let Some(tab) = self.tabs.get_mut(self.front) else { return };
        if let Err(error) = tab.state_mpp(&self.workbench, mpp) {
            self.messages.push(error.report());
        }
    }

    /// Remembers something between runs, on a thread: disks are slow.
    fn remember(&self, change: impl FnOnce(&mut Preferences) + Send + 'static) {
        let Some(file) = self.workbench.preferences().cloned() else { return };
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let work = move || {
            if let Err(error) = file.change(change) {
                let report = eosin_workbench::WorkbenchError::from(error).report();
                let _ = sender.send(News::Unremembered(report));
                ctx.request_repaint();
            }
        };
        // What is not remembered is no reason to stop.
        let _ = std::thread::Builder::new().name("eosin-remember".to_owned()).spawn(work);
    }

    /// Remembers how slides are shown and what was open, once the pointer lets go.
    fn keep_up(&mut self, ui: &Ui) {
        if ui.input(|input| input.pointer.any_down()) {
            return;
        }
        for (key, look) in self.tabs.iter_mut().filter_map(Tab::look_to_keep) {
            let workbench = Arc::clone(&self.workbench);
            let work = move || workbench.set_look(&key, look);
            // Kept for the next time; the slide is shown so already.
            let _ = std::thread::Builder::new().name("eosin-remember".to_owned()).spawn(work);
        }
        if self.classes.len() != self.n_class_kept {
            self.n_class_kept = self.classes.len();
            let classes = self.classes.clone();
            self.remember(move |preferences| preferences.classes = classes);
        }
    }

    fn show_place(&mut self, key: &SlideKey, view: ViewRect) {
        let of_slide = |tab: &Tab| tab.opened.as_ref().is_some_and(|opened| opened.key == *key);
        if let Some(idx) = self.tabs.iter().position(of_slide) {
            self.bring(idx);
            self.tabs[idx].viewport.show(view);
        } else {
            self.messages.say("not_open", "the slide of this question is closed".to_owned(), None);
        }
    }
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
