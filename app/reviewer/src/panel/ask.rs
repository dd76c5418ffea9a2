//! Questions about the view: what the model will see, what it says while it says it, and what it took.
//!
//! A thread reads the view, puts the question and passes the events on; a frame takes what has come. Before
//! anything is sent the panel shows the pixels as the model will get them, with their size, tokens and scale,
//! read again when the view has come to rest. Held true by `tests/review.rs`.

mod desk;
mod turn;

use eframe::egui::{
    self, Align, Frame, Key, Layout, Margin, Panel, RichText, ScrollArea, Stroke, TextEdit, TextureHandle,
    TextureOptions, Ui, vec2,
};
use eosin_casebook::{AnswerId, ChatId};
use eosin_session::LoadState;
use eosin_workbench::chat::Ask;
use eosin_workbench::{ErrorReport, PictureSource, SlideKey, ViewRect};

use desk::AnswerPlace;
pub use desk::{AskNews, Desk};
use turn::{Model, Turn, TurnWish};

use crate::icon::{Icon, paint};
use crate::tab::Tab;
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{text, text_with};

/// Seconds for which a view must stand still before it is read for the preview.
const STILL_SECS: f64 = 0.3;
/// Questions that show what can be asked.
const SUGGESTIONS: [&str; 3] =
    ["review.suggestion-describe", "review.suggestion-pattern", "review.suggestion-mitosis"];

/// What the model sees of a view.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// Size that the model takes.
    pub size_px: [u32; 2],
    /// Tokens that the picture becomes.
    pub n_token: usize,
    /// Scale of these pixels.
    pub um_per_px: Option<f64>,
}

impl Seen {
    fn text(&self, ui: &Ui) -> String {
        let [w, h] = self.size_px;
        let tokens = text_with(ui, "ask.tokens", &[("n", &self.n_token.to_string())]);
        let scale = self.um_per_px.map(|um| format!(" · {um:.2} µm/px")).unwrap_or_default();
        format!("{w} × {h} px · {tokens}{scale}")
    }
}

/// The preview of what would be sent.
#[derive(Default)]
struct Preview {
    /// The view that is shown, and when it last moved.
    view: Option<(SlideKey, ViewRect)>,
    moved_secs: f64,
    /// The view that was read last.
    read: Option<(SlideKey, ViewRect)>,
    picture: Option<(TextureHandle, Seen)>,
    refusal: Option<String>,
}

/// What a panel asks of the window.
#[derive(Clone, PartialEq, Debug)]
pub enum AskWish {
    /// Show this place.
    Show(SlideKey, ViewRect),
}

/// The panel.
pub struct AskPanel {
    desk: Desk,
    question: String,
    choices: String,
    turns: Vec<Turn>,
    /// The chat in the case book, once the first question is kept.
    chat: Option<ChatId>,
    preview: Preview,
    /// What could not be kept, to be told by the window.
    report: Option<ErrorReport>,
    /// Puts the cursor into the question in the next frame.
    focus: bool,
}

impl std::fmt::Debug for AskPanel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AskPanel({} turns)", self.turns.len())
    }
}

impl AskPanel {
    /// A panel over a desk.
    pub fn new(desk: Desk) -> Self {
        Self {
            desk,
            question: String::new(),
            choices: String::new(),
            turns: Vec::new(),
            chat: None,
            preview: Preview::default(),
            report: None,
            focus: false,
        }
    }

    /// Puts the cursor into the question.
    pub fn focus(&mut self) {
        self.focus = true;
    }

    /// Whether an answer is being made.
    pub fn answering(&self) -> bool {
        self.desk.answering()
    }

    /// Stops the answer; its text stays.
    pub fn stop(&mut self) {
        self.desk.stop();
    }

    /// The answers so far, for tests.
    pub fn answers(&self) -> Vec<String> {
        self.turns.iter().map(|turn| turn.answer().to_owned()).collect()
    }

    /// Begins a new chat; the old one is in the case book.
    pub fn begin_anew(&mut self) {
        self.desk.stop();
        if !self.desk.answering() {
            self.turns.clear();
            self.chat = None;
        }
    }

    /// What went wrong since one asked last.
    pub fn take_report(&mut self) -> Option<ErrorReport> {
        self.report.take()
    }

    /// Takes what the threads have sent.
    pub fn take_news(&mut self, ctx: &egui::Context) {
        for news in self.desk.news() {
            match news {
                AskNews::Preview { view, result } => {
                    // A view that moved on will be read again.
                    if self.preview.read.as_ref() == Some(&view) {
                        match result {
                            Ok((picture, seen)) => {
                                let texture = ctx.load_texture("preview", picture, TextureOptions::LINEAR);
                                self.preview.picture = Some((texture, seen));
                                self.preview.refusal = None;
                            }
                            Err(reason) => {
                                self.preview.picture = None;
                                self.preview.refusal = Some(reason);
                            }
                        }
                    }
                }
                AskNews::Began { place, chat, turn, answer, picture } => {
                    self.chat = chat.or(self.chat);
                    if let Some(asked) = self.turns.get_mut(place.turn) {
                        asked.kept = turn.or(asked.kept);
                        asked.name_answer(place.version, answer);
                        if let Some((picture, seen)) = picture {
                            let texture = ctx.load_texture("asked", picture, TextureOptions::LINEAR);
                            asked.picture = Some((texture, seen));
                        }
                    }
                }
                AskNews::Event { place, event } => {
                    if event.is_last() {
                        self.desk.ended();
                    }
                    if let Some(turn) = self.turns.get_mut(place.turn) {
                        turn.take(place.version, event);
                    }
                }
                AskNews::Unkept(report) => self.report = Some(report),
                AskNews::Refused { place, report } => {
                    self.desk.ended();
                    if let Some(turn) = self.turns.get_mut(place.turn) {
                        turn.fail(place.version, report.message, report.hint);
                    }
                }
            }
        }
    }

    /// Shows the panel.
    pub fn ui(&mut self, ui: &mut Ui, tab: Option<&Tab>) -> Option<AskWish> {
        self.look_ahead(ui, tab);
        let tokens = tokens();
        let frame = Frame::new().inner_margin(Margin::same(tokens.space.gap as i8)).fill(palette(ui).panel);
        Panel::bottom("composer").frame(frame).resizable(false).show(ui, |ui| self.composer_ui(ui, tab));
        let (mut wish, mut again) = (None, None);
        if self.turns.is_empty() {
            self.empty_ui(ui, tab);
        } else {
            let scroll = ScrollArea::vertical().auto_shrink(false).stick_to_bottom(true);
            scroll.content_margin(Margin::same(tokens.space.gap as i8)).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = tokens.space.small;
                let model = if self.desk.answering() { Model::Busy } else { Model::Idle };
                for (idx, turn) in self.turns.iter_mut().enumerate() {
                    match ui.push_id(idx, |ui| turn.ui(ui, model)).inner {
                        Some(TurnWish::Show) => wish = Some(AskWish::Show(turn.slide.clone(), turn.view)),
                        Some(TurnWish::Again) => again = Some(idx),
                        None => {}
                    }
                    ui.add_space(tokens.space.gap);
                }
            });
            if let Some(idx) = again {
                self.answer_again(idx);
            }
        }
        wish
    }

    fn empty_ui(&mut self, ui: &mut Ui, tab: Option<&Tab>) {
        let palette = palette(ui);
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() * 0.22).max(12.0));
            let (rect, _) = ui.allocate_exact_size(vec2(40.0, 40.0), egui::Sense::hover());
            paint(ui.painter(), rect.shrink(4.0), Icon::Talk, palette.accent);
            ui.label(RichText::new(text(ui, "review.ask-title")).text_style(theme::display()));
            ui.label(RichText::new(text(ui, "review.ask-about")).color(palette.quiet));
            ui.add_space(8.0);
            ui.spacing_mut().item_spacing.y = 6.0;
            for key in SUGGESTIONS {
                let words = text(ui, key);
                let button = egui::Button::new(words).min_size(vec2(260.0, 32.0));
                let ready = tab.is_some() && self.desk.model().is_some();
                if ui.add_enabled(ready, button).clicked() {
                    self.question = words.to_owned();
                    self.send(ui, tab);
                }
            }
        });
    }

    fn composer_ui(&mut self, ui: &mut Ui, tab: Option<&Tab>) {
        let palette = palette(ui);
        self.preview_ui(ui, tab);
        let hint = text(ui, "review.ask-hint");
        let field = TextEdit::multiline(&mut self.question)
            .hint_text(hint)
            .desired_rows(2)
            .desired_width(f32::INFINITY)
            .return_key(Some(egui::KeyboardShortcut::new(egui::Modifiers::SHIFT, Key::Enter)))
            .margin(Margin::symmetric(10, 8));
        let response = ui.add(field).accessible_name(text(ui, "ask.question"));
        if std::mem::take(&mut self.focus) {
            response.request_focus();
        }
        let entered =
            response.has_focus() && ui.input(|input| input.key_pressed(Key::Enter) && !input.modifiers.shift);
        egui::CollapsingHeader::new(theme::quiet(ui, text(ui, "review.choices"))).id_salt("choices").show(
            ui,
            |ui| {
                let field = TextEdit::multiline(&mut self.choices)
                    .hint_text(text(ui, "review.choices-hint"))
                    .desired_rows(3)
                    .desired_width(f32::INFINITY);
                ui.add(field).accessible_name(text(ui, "review.choices"));
            },
        );
        ui.horizontal(|ui| {
            let (words, color) = match self.desk.state() {
                None | Some(LoadState::Unloaded) => (text(ui, "review.no-model").to_owned(), palette.quiet),
                Some(LoadState::Loading) => (text(ui, "review.model-loading").to_owned(), palette.quiet),
                Some(LoadState::Ready(info)) => (format!("{} · {}", info.name, info.device), palette.quiet),
                Some(LoadState::Failed(error)) => (eosin_core::error_chain(&*error), palette.danger),
            };
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if self.desk.answering() {
                    if ui.button(text(ui, "ask.stop")).clicked() {
                        self.desk.stop();
                    }
                } else {
                    let ready = tab.is_some() && self.can_send();
                    let button = theme::primary(ui, text(ui, "ask.send")).min_size(vec2(64.0, 30.0));
                    let clicked = ui.add_enabled(ready, button).clicked();
                    if ready && (clicked || entered) {
                        self.send(ui, tab);
                        response.request_focus();
                    }
                }
                ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                    let label = egui::Label::new(RichText::new(words).small().color(color)).truncate();
                    ui.add(label);
                });
            });
        });
        if matches!(self.desk.state(), Some(LoadState::Loading)) {
            ui.ctx().request_repaint_after_secs(0.3);
        }
    }

    fn can_send(&self) -> bool {
        !self.question.trim().is_empty() && self.desk.model().is_some() && !self.desk.answering()
    }

    /// The pixels that would be sent now.
    fn preview_ui(&self, ui: &mut Ui, tab: Option<&Tab>) {
        let Some(tab) = tab else { return };
        let palette = palette(ui);
        Frame::new()
            .fill(palette.ground)
            .stroke(Stroke::new(1.0, palette.line))
            .corner_radius(tokens().radius.card)
            .inner_margin(Margin::same(6))
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.horizontal(|ui| {
                    let side = vec2(64.0, 48.0);
                    if let Some((texture, _)) = &self.preview.picture {
                        let picture = egui::Image::new(texture)
                            .max_size(side)
                            .corner_radius(tokens().radius.small)
                            .alt_text(text(ui, "review.sees"));
                        ui.add_sized(side, picture);
                    } else {
                        let (rect, _) = ui.allocate_exact_size(side, egui::Sense::hover());
                        ui.painter().rect_filled(rect, tokens().radius.small, palette.stage);
                    }
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 1.0;
                        ui.label(RichText::new(text(ui, "review.sees")).small().color(palette.ink));
                        let moving = self.preview.view != self.preview.read || tab.viewport.moves();
                        let words = match (&self.preview.refusal, &self.preview.picture) {
                            (Some(refusal), _) => refusal.clone(),
                            (None, Some((_, seen))) if !moving => seen.text(ui),
                            _ => "…".to_owned(),
                        };
                        ui.label(theme::quiet(ui, words));
                    });
                });
            });
    }

    /// Has the view read once it has come to rest.
    fn look_ahead(&mut self, ui: &Ui, tab: Option<&Tab>) {
        let Some((tab, opened)) = tab.and_then(|tab| Some((tab, tab.opened.as_ref()?))) else { return };
        let now = ui.input(|input| input.time);
        let view = Some((opened.key.clone(), tab.view_rect()));
        if self.preview.view != view {
            self.preview.view = view;
            self.preview.moved_secs = now;
        }
        if self.preview.view == self.preview.read || self.desk.model().is_none() {
            return;
        }
        if now - self.preview.moved_secs < STILL_SECS {
            ui.ctx().request_repaint_after_secs(STILL_SECS as f32);
        } else if let Some((slide, view)) = &self.preview.view {
            if self.desk.preview(slide, *view) {
                self.preview.read.clone_from(&self.preview.view);
            } else {
                ui.ctx().request_repaint_after_secs(STILL_SECS as f32);
            }
        }
    }

    fn send(&mut self, ui: &Ui, tab: Option<&Tab>) {
        let Some((tab, opened)) = tab.and_then(|tab| Some((tab, tab.opened.as_ref()?))) else { return };
        if !self.can_send() {
            return;
        }
        let question = std::mem::take(&mut self.question).trim().to_owned();
        let choices: Vec<String> =
            self.choices.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let view = tab.view_rect();
        // The answer that is shown is the one that is followed up.
        let (chat, parent) = match self.turns.last().and_then(Turn::shown_answer) {
            Some(answer) => (self.chat, Some(answer)),
            None => (None, None),
        };
        let same = self.turns.last().is_some_and(|last| last.slide == opened.key && last.view == view);
        // The model has seen this view already, and remembers it.
        let pictures = if parent.is_some() && same {
            Vec::new()
        } else {
            vec![PictureSource::View { slide: opened.key.clone(), view }]
        };
        let place = AnswerPlace { turn: self.turns.len(), version: 0 };
        self.turns.push(Turn::new(question.clone(), choices.clone(), opened.key.clone(), view));
        self.desk.ask(place, Ask { chat, parent, question, choices, pictures, ..Ask::default() });
        ui.ctx().request_repaint();
    }

    /// Answers a question once more; its other answers stay.
    fn answer_again(&mut self, idx: usize) {
        let Some((chat, kept)) = self.chat.zip(self.turns[idx].kept) else { return };
        let version = self.turns[idx].begin_version();
        self.desk.again(AnswerPlace { turn: idx, version }, chat, kept);
    }
}

/// Name of an answer in the case book.
type Kept = Option<AnswerId>;
