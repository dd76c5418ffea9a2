//! Pictures like the view, or like words; and the library that they come from.
//!
//! Opening the library and its model takes seconds, a search milliseconds, a thumbnail the reading of a slide:
//! all of it on threads that send what they have. Held true by `tests/review.rs`.

mod clerk;

use std::path::PathBuf;

use eframe::egui::{
    self, Align, ComboBox, Key, Layout, Margin, ProgressBar, RichText, ScrollArea, Sense, Stroke, StrokeKind,
    TextEdit, TextureHandle, TextureOptions, Ui, WidgetInfo, accesskit::Role, vec2,
};
use eosin_core::Region;
use eosin_library::{Filter, Hit, IndexProgress, IndexState, Stain};
use eosin_workbench::finder::Wanted;
use eosin_workbench::{ErrorReport, ViewRect};

pub use clerk::{Clerk, SearchNews};

use crate::icon::{Icon, paint};
use crate::tab::Tab;
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{text, text_with};

/// Side of a thumbnail in points.
const THUMB_PX: f32 = 150.0;

/// Among which slides one looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Among {
    #[default]
    All,
    Others,
    This,
}

impl Among {
    const ALL: [(Self, &'static str); 3] = [
        (Self::All, "similar.all-slides"),
        (Self::Others, "similar.other-slides"),
        (Self::This, "similar.this-slide"),
    ];
}

/// Something that was found, with its picture once it is read.
struct Found {
    hit: Hit,
    picture: Option<TextureHandle>,
}

/// What the panel asks of the window.
#[derive(Clone, PartialEq, Debug)]
pub enum SearchWish {
    /// Open a file, there where something was found.
    Open(PathBuf, Option<ViewRect>),
    /// Choose a folder to index.
    ChooseFolder,
}

/// The panel.
pub struct SearchPanel {
    clerk: Clerk,
    words: String,
    among: Among,
    stain: Option<Stain>,
    tag: String,
    found: Vec<Found>,
    searching: bool,
    /// Whether a search has ended since the window opened.
    searched: bool,
    /// Items in the library, once it is open.
    n_item: Option<u64>,
    report: Option<ErrorReport>,
    focus: bool,
}

impl std::fmt::Debug for SearchPanel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SearchPanel({} found)", self.found.len())
    }
}

impl SearchPanel {
    /// A panel over a library.
    pub fn new(clerk: Clerk) -> Self {
        Self {
            clerk,
            words: String::new(),
            among: Among::default(),
            stain: None,
            tag: String::new(),
            found: Vec::new(),
            searching: false,
            searched: false,
            n_item: None,
            report: None,
            focus: false,
        }
    }

    /// Puts the cursor into the words.
    pub fn focus(&mut self) {
        self.focus = true;
    }

    /// What was found, for tests.
    pub fn hits(&self) -> Vec<&Hit> {
        self.found.iter().map(|found| &found.hit).collect()
    }

    /// Whether a search is under way.
    pub fn searching(&self) -> bool {
        self.searching
    }

    /// Whether every picture is there, for tests.
    pub fn all_shown(&self) -> bool {
        self.found.iter().all(|found| found.picture.is_some())
    }

    /// How far the indexing is, where one was begun.
    pub fn progress(&self) -> Option<IndexProgress> {
        self.clerk.progress()
    }

    /// Adds a folder or file to the library and indexes it.
    pub fn index(&mut self, path: PathBuf) {
        self.clerk.index(path);
    }

    /// What went wrong since one asked last.
    pub fn take_report(&mut self) -> Option<ErrorReport> {
        self.report.take()
    }

    /// Takes what the threads have sent.
    pub fn take_news(&mut self, ctx: &egui::Context) {
        for news in self.clerk.news() {
            match news {
                SearchNews::Found { search, result } if search == self.clerk.last_search() => {
                    (self.searching, self.searched) = (false, true);
                    match result {
                        Ok(hits) => {
                            self.found = hits.into_iter().map(|hit| Found { hit, picture: None }).collect();
                        }
                        Err(report) => self.report = Some(report),
                    }
                }
                SearchNews::Thumbnail { search, idx, picture } if search == self.clerk.last_search() => {
                    if let Some(found) = self.found.get_mut(idx) {
                        found.picture = Some(ctx.load_texture("found", picture, TextureOptions::LINEAR));
                    }
                }
                SearchNews::Found { .. } | SearchNews::Thumbnail { .. } => {}
                SearchNews::Status { n_item } => self.n_item = Some(n_item),
                SearchNews::Failed(report) => self.report = Some(report),
            }
        }
    }

    /// Looks for what is like the view.
    pub fn search_view(&mut self, tab: Option<&Tab>) {
        let Some((tab, opened)) = tab.and_then(|tab| Some((tab, tab.opened.as_ref()?))) else { return };
        let wanted = Wanted::View { slide: opened.key.clone(), view: tab.view_rect() };
        self.search(wanted, Some(tab));
    }

    fn search(&mut self, wanted: Wanted, tab: Option<&Tab>) {
        let slide = tab.and_then(|tab| Some(tab.opened.as_ref()?.slide.info().id.clone()));
        let tags = self.tag.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        let mut filter =
            Filter { stain: self.stain, tags: tags.map(str::to_owned).collect(), ..Filter::default() };
        match self.among {
            Among::All => {}
            Among::Others => filter.except_slide = slide,
            Among::This => filter.slide = slide,
        }
        self.searching = true;
        self.clerk.search(wanted, filter);
    }

    /// Shows the panel.
    pub fn ui(&mut self, ui: &mut Ui, tab: Option<&Tab>) -> Option<SearchWish> {
        if !self.clerk.is_there() {
            empty_ui(ui, "similar.empty", "similar.empty-hint");
            return None;
        }
        let mut wish = None;
        self.query_ui(ui, tab);
        self.library_ui(ui, &mut wish);
        ui.separator();
        if self.searching {
            ui.horizontal(|ui| {
                ui.add(egui::Spinner::new().size(14.0).color(palette(ui).accent));
                ui.label(theme::quiet(ui, text(ui, "similar.searching")));
            });
        }
        if self.found.is_empty() {
            let keys = match (self.searching, self.searched) {
                (true, _) => return wish,
                (false, true) => ("similar.nothing", "similar.nothing-hint"),
                (false, false) => ("similar.ready", "similar.ready-hint"),
            };
            empty_ui(ui, keys.0, keys.1);
            return wish;
        }
        let mut like = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            let gap = tokens().space.small;
            let n_column = ((ui.available_width() + gap) / (THUMB_PX + gap)).floor().max(1.0);
            let width = (ui.available_width() - gap * (n_column - 1.0)) / n_column;
            ui.spacing_mut().item_spacing = vec2(gap, gap);
            for (row, found) in self.found.chunks(n_column as usize).enumerate() {
                ui.horizontal_top(|ui| {
                    for (column, found) in found.iter().enumerate() {
                        let response = found_ui(ui, row * n_column as usize + column, found, width);
                        if response.clicked() {
                            let place = found.hit.region.as_ref().and_then(place_of);
                            wish = Some(SearchWish::Open(found.hit.path.clone(), place));
                        }
                        response.context_menu(|ui| {
                            if ui.button(text(ui, "similar.more-like-short")).clicked() {
                                like = Some(found.hit.item);
                                ui.close();
                            }
                        });
                    }
                });
            }
        });
        if let Some(item) = like {
            self.search(Wanted::Item(item), tab);
        }
        wish
    }

    fn query_ui(&mut self, ui: &mut Ui, tab: Option<&Tab>) {
        let mut go = None;
        ui.horizontal(|ui| {
            let hint = text(ui, "review.search-words");
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let ready = !self.words.trim().is_empty();
                let clicked = ui.add_enabled(ready, egui::Button::new(text(ui, "similar.search"))).clicked();
                let edit = TextEdit::singleline(&mut self.words).hint_text(hint).desired_width(f32::INFINITY);
                let response = ui.add(edit.margin(Margin::symmetric(10, 6))).accessible_name(hint);
                if std::mem::take(&mut self.focus) {
                    response.request_focus();
                }
                let entered = response.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
                if ready && (clicked || entered) {
                    go = Some(Wanted::Words(self.words.trim().to_owned()));
                }
            });
        });
        ui.horizontal(|ui| {
            let ready = tab.is_some_and(|tab| tab.opened.is_some());
            let button = theme::primary(ui, text(ui, "similar.view"));
            if ui.add_enabled(ready, button).clicked() {
                self.search_view(tab);
            }
            let now = Among::ALL.iter().find(|(among, _)| *among == self.among).map_or("", |(_, key)| *key);
            let name = text(ui, "similar.filter-slide");
            let combo = ComboBox::from_id_salt("among").selected_text(text(ui, now)).width(130.0);
            let response = combo.show_ui(ui, |ui| {
                for (among, key) in Among::ALL {
                    ui.selectable_value(&mut self.among, among, text(ui, key));
                }
            });
            response.response.accessible_name(name);
        });
        ui.horizontal(|ui| {
            let name = text(ui, "review.stains");
            let any = text(ui, "similar.any-stain");
            let shown = self.stain.map_or(any, Stain::name);
            let combo = ComboBox::from_id_salt("stain").selected_text(shown).width(112.0);
            let response = combo.show_ui(ui, |ui| {
                ui.selectable_value(&mut self.stain, None, any);
                for stain in Stain::ALL {
                    ui.selectable_value(&mut self.stain, Some(stain), stain.name());
                }
            });
            response.response.accessible_name(name);
            let hint = text(ui, "review.tags");
            let edit = TextEdit::singleline(&mut self.tag).hint_text(hint).desired_width(f32::INFINITY);
            ui.add(edit).accessible_name(hint);
        });
        if let Some(wanted) = go {
            self.search(wanted, tab);
        }
    }

    /// What is in the library, and the indexing that runs.
    fn library_ui(&mut self, ui: &mut Ui, wish: &mut Option<SearchWish>) {
        let palette = palette(ui);
        ui.horizontal(|ui| {
            let words = match self.n_item {
                Some(n_item) => text_with(ui, "similar.items", &[("n", &crate::scale::grouped(n_item))]),
                None => text(ui, "review.library-closed").to_owned(),
            };
            ui.label(theme::quiet(ui, words));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                let button = egui::Button::new(theme::quiet(ui, text(ui, "similar.add-folder")));
                if ui.add(button).clicked() {
                    *wish = Some(SearchWish::ChooseFolder);
                }
            });
        });
        let Some(progress) = self.clerk.progress() else { return };
        if progress.state.is_end() {
            if progress.state == IndexState::Failed {
                ui.label(RichText::new(text(ui, "review.index-failed")).small().color(palette.danger));
            }
            return;
        }
        ui.ctx().request_repaint_after_secs(0.5);
        let share = progress.n_done as f32 / progress.n_total.max(1) as f32;
        let bar = ProgressBar::new(share).desired_height(6.0).fill(palette.accent);
        ui.add(bar).accessible_name(text(ui, "similar.indexing"));
        ui.horizontal(|ui| {
            let left = progress.secs_left.map(|secs| format!(" · {secs:.0} s")).unwrap_or_default();
            let words =
                format!("{} / {} · {:.1}/s{left}", progress.n_done, progress.n_total, progress.tiles_per_sec);
            ui.label(theme::quiet(ui, words));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if ui.button(text(ui, "ask.stop")).clicked() {
                    self.clerk.stop_indexing();
                }
                let paused = progress.state == IndexState::Paused;
                let key = if paused { "similar.resume" } else { "similar.pause" };
                if ui.button(text(ui, key)).clicked() {
                    if paused { self.clerk.resume_indexing() } else { self.clerk.pause_indexing() }
                }
            });
        });
    }
}

/// One picture with its score and where it is from.
fn found_ui(ui: &mut Ui, idx: usize, found: &Found, width: f32) -> egui::Response {
    let palette = palette(ui);
    let size = vec2(width, width * 0.72 + 38.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let hit = &found.hit;
    let name = hit.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let score = format!("{:.0} %", hit.score.max(0.0) * 100.0);
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, format!("{}: {name}, {score}", idx + 1)));
    let line = if response.hovered() || response.has_focus() { palette.accent } else { palette.line };
    let radius = f32::from(tokens().radius.small);
    let painter = ui.painter_at(rect);
    painter.rect(rect, radius, palette.ground, Stroke::new(1.0, line), StrokeKind::Inside);
    let area = egui::Rect::from_min_size(rect.min, vec2(width, width * 0.72)).shrink(4.0);
    if let Some(texture) = &found.picture {
        let fitted = texture.size_vec2() * (area.size() / texture.size_vec2()).min_elem();
        let place = egui::Rect::from_center_size(area.center(), fitted);
        egui::Image::new(texture).corner_radius(radius).paint_at(ui, place);
    } else {
        painter.rect_filled(area, radius, palette.stage);
    }
    let scale = hit.um_per_px.map(|um| format!(" · {um:.2} µm/px")).unwrap_or_default();
    let tags = if hit.tags.is_empty() { String::new() } else { format!(" · {}", hit.tags.join(", ")) };
    let small = egui::FontId::proportional(tokens().text.small);
    for (k, (words, ink)) in [(format!("{score}{scale}{tags}"), palette.ink), (name.clone(), palette.quiet)]
        .into_iter()
        .enumerate()
    {
        let galley = painter.layout_no_wrap(words, small.clone(), ink);
        painter.galley(egui::pos2(rect.left() + 7.0, area.bottom() + 3.0 + 16.0 * k as f32), galley, ink);
    }
    response
        .on_hover_text(format!("{name}\n{score}{scale}{tags}"))
        .on_hover_cursor(egui::CursorIcon::PointingHand)
}

/// The part of a slide that a region covers.
fn place_of(region: &Region) -> Option<ViewRect> {
    ViewRect::of_region(region)
}

/// A page that says what could be here.
fn empty_ui(ui: &mut Ui, title: &'static str, hint: &'static str) {
    let palette = palette(ui);
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.18).max(12.0));
        let (rect, _) = ui.allocate_exact_size(vec2(40.0, 40.0), Sense::hover());
        paint(ui.painter(), rect.shrink(4.0), Icon::Lens, palette.accent);
        ui.label(RichText::new(text(ui, title)).text_style(theme::display()));
        ui.label(RichText::new(text(ui, hint)).color(palette.quiet));
    });
}
