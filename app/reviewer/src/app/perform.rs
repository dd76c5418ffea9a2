//! What each command does in this window.

use eframe::egui::{Theme, Ui};
use eosin_workbench::command::{Command, Needs};
use eosin_workbench::texts::Language;
use eosin_workbench::{Look, Stain, StainView, Theme as KeptTheme, Tint};

use super::files::Choice;
use super::{Carry, Cover, Reviewer};
use crate::keys;
use crate::panel::Panel;
use crate::stage::Tool;
use crate::words;

/// Share of the view that an arrow key moves by.
const STEP: f64 = 0.2;
/// Angle of one turn.
const TURN_RAD: f64 = std::f64::consts::PI / 12.0;
/// What a key zooms by.
const ZOOM: f64 = 1.5;

impl Reviewer {
    /// Whether what a command needs is there.
    pub(super) fn ready(&self, command: &Command) -> bool {
        match command.needs {
            Needs::Nothing => true,
            Needs::Slide => self.front().is_some(),
            Needs::Selection => self.front().is_some_and(|tab| tab.selected.is_some()),
            Needs::Answering => self.ask.answering(),
            Needs::Answer => false,
        }
    }

    /// Does what a command says; nothing where what it needs is not there.
    pub fn perform(&mut self, ui: &Ui, id: &str) {
        let ready = keys::command(id).is_some_and(|command| self.ready(command));
        if ready && !self.of_window(ui, id) {
            self.of_slide(ui, id);
        }
    }

    fn of_window(&mut self, ui: &Ui, id: &str) -> bool {
        match id {
            "open" => self.choose(Choice::Files),
            "open-folder" => self.choose(Choice::Folder),
            "close-tab" => self.close(self.front),
            "next-tab" => self.bring((self.front + 1) % self.tabs.len().max(1)),
            "previous-tab" => {
                let n_tab = self.tabs.len().max(1);
                self.bring((self.front + n_tab - 1) % n_tab);
            }
            "tool-pan" => self.tool = Tool::Hand,
            "tool-measure" => self.tool = Tool::Ruler,
            "tool-point" => self.tool = Tool::Point,
            "tool-line" => self.tool = Tool::Line,
            "tool-rectangle" => self.tool = Tool::Rectangle,
            "tool-polygon" => self.tool = Tool::Polygon,
            "tool-freehand" => self.tool = Tool::Freehand,
            "ask" => {
                self.open_panel(Panel::Ask);
                self.ask.focus();
            }
            "stop" => self.ask.stop(),
            "new-chat" => self.ask.begin_anew(),
            "panel-ask" => self.show_panel(Panel::Ask),
            "panel-similar" => self.show_panel(Panel::Search),
            "similar-view" => {
                self.open_panel(Panel::Search);
                self.search.search_view(self.tabs.get(self.front));
            }
            "search-words" => {
                self.open_panel(Panel::Search);
                self.search.focus();
            }
            "index-folder" => {
                self.open_panel(Panel::Search);
                self.choose_for_library();
            }
            "index-slide" => {
                let path = self.front().and_then(|tab| Some(tab.opened.as_ref()?.path.clone()));
                self.open_panel(Panel::Search);
                if let Some(path) = path {
                    self.search.index(path);
                }
            }
            "panel-annotations" => self.show_panel(Panel::Marks),
            "look" => self.show_panel(Panel::Look),
            "slide-information" => self.show_panel(Panel::Slide),
            "sidebar" => self.panel_shown = !self.panel_shown,
            "palette" => self.cover = Some(Cover::Palette),
            "shortcuts" => self.cover = Some(Cover::Shortcuts),
            "set-scale" => self.cover = Some(Cover::Scale),
            "theme" => {
                let theme = if ui.visuals().dark_mode { Theme::Light } else { Theme::Dark };
                ui.ctx().set_theme(theme);
                let kept = if theme == Theme::Light { KeptTheme::Light } else { KeptTheme::Dark };
                self.remember(move |preferences| preferences.theme = kept);
            }
            "language" => {
                let now = words::words(ui.ctx()).language();
                let next = if now == Language::En { Language::Zh } else { Language::En };
                words::speak(ui.ctx(), next);
                self.remember(move |preferences| preferences.language = Some(next));
            }
            _ => return false,
        }
        true
    }

    fn of_slide(&mut self, ui: &Ui, id: &str) {
        let Some(tab) = self.tabs.get_mut(self.front) else { return };
        let middle = tab.viewport.view_px().map(|side| side / 2.0);
        let points_per_px = f64::from(ui.pixels_per_point());
        let mut magnify = |preset: f64| {
            let base = tab.measure().base_magnification();
            // Without a scale the presets are parts of full resolution.
            let screen_px = base.map_or(preset / 40.0, |base| preset / base);
            tab.viewport.zoom_to(screen_px / points_per_px);
        };
        match id {
            "zoom-in" => tab.viewport.glide_zoom(middle, ZOOM),
            "zoom-out" => tab.viewport.glide_zoom(middle, 1.0 / ZOOM),
            "zoom-whole" => tab.viewport.fit(),
            "magnify-1" => magnify(1.25),
            "magnify-2" => magnify(2.5),
            "magnify-5" => magnify(5.0),
            "magnify-10" => magnify(10.0),
            "magnify-20" => magnify(20.0),
            "magnify-40" => magnify(40.0),
            "pan-left" => tab.viewport.step([-STEP, 0.0]),
            "pan-right" => tab.viewport.step([STEP, 0.0]),
            "pan-up" => tab.viewport.step([0.0, -STEP]),
            "pan-down" => tab.viewport.step([0.0, STEP]),
            "rotate-left" => tab.viewport.turn(-TURN_RAD),
            "rotate-right" => tab.viewport.turn(TURN_RAD),
            "rotate-reset" => {
                let turned = tab.viewport.goal().rotation_rad;
                tab.viewport.turn(-turned);
            }
            "look-reset" => tab.set_look(Look::default()),
            "stain-natural" => tab.show_stain(StainView::All),
            "stain-haematoxylin" => tab.show_stain(one(Stain::Haematoxylin)),
            "stain-eosin" => tab.show_stain(one(Stain::Eosin)),
            "stain-dab" => tab.show_stain(one(Stain::Dab)),
            "import-annotations" => self.choose_marks(Carry::In),
            "export-annotations" => self.choose_marks(Carry::Out),
            "minimap" => tab.minimap_shown = !tab.minimap_shown,
            "annotations-visible" => tab.marks_shown = !tab.marks_shown,
            "undo" => tab.marks.undo(),
            "redo" => tab.marks.redo(),
            "delete-annotation" => {
                if let Some(id) = tab.selected.take() {
                    tab.marks.remove(&id);
                }
            }
            _ => {}
        }
        ui.ctx().request_repaint();
    }

    fn open_panel(&mut self, panel: Panel) {
        self.panel = panel;
        self.panel_shown = true;
    }

    fn show_panel(&mut self, panel: Panel) {
        // The same again puts it away.
        if self.panel_shown && self.panel == panel {
            self.panel_shown = false;
        } else {
            self.open_panel(panel);
        }
    }
}

fn one(stain: Stain) -> StainView {
    StainView::One { stain, tint: Tint::Own }
}
