//! What surrounds the slide: tabs, tools, the line of facts, and what lies over the window.

use eframe::egui::{
    self, Align, Button, Frame, Grid, Key, Layout, Margin, Modal, Panel as EguiPanel, RichText, ScrollArea,
    Sense, Stroke, TextEdit, Ui, vec2,
};
use eosin_workbench::command::Group;

use super::{Cover, Reviewer};
use crate::icon::{BUTTON_PX, Chosen, Icon, icon_button, icon_button_sized, paint};
use crate::keys;
use crate::panel::Panel;
use crate::panel::slide::scale_ui;
use crate::scale::grouped;
use crate::stage::Tool;
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{command_text, text, words};

/// The tools: icon and command.
const TOOLS: [(Tool, Icon, &str); 7] = [
    (Tool::Hand, Icon::Hand, "tool-pan"),
    (Tool::Ruler, Icon::Ruler, "tool-measure"),
    (Tool::Point, Icon::Point, "tool-point"),
    (Tool::Line, Icon::Line, "tool-line"),
    (Tool::Rectangle, Icon::Rectangle, "tool-rectangle"),
    (Tool::Polygon, Icon::Polygon, "tool-polygon"),
    (Tool::Freehand, Icon::Freehand, "tool-freehand"),
];

/// Recent files on the first page.
const MOST_RECENT: usize = 6;

/// Commands in the tool bar under the tools.
const TURNS: [(Icon, &str); 5] = [
    (Icon::Plus, "zoom-in"),
    (Icon::Minus, "zoom-out"),
    (Icon::Fit, "zoom-whole"),
    (Icon::TurnLeft, "rotate-left"),
    (Icon::TurnRight, "rotate-right"),
];

impl Reviewer {
    /// Name, tabs, open, theme.
    pub(super) fn top_bar(&mut self, ui: &mut Ui) {
        let palette = palette(ui);
        let frame = Frame::new().fill(palette.panel).inner_margin(Margin::symmetric(12, 6));
        EguiPanel::top("bar").frame(frame).show(ui, |ui| {
            theme::row(ui, BUTTON_PX, |ui| {
                ui.label(RichText::new("Eosin").text_style(theme::title()).size(17.0).color(palette.accent));
                ui.add_space(tokens().space.small);
                let keys = keys::keys_text("open");
                let name = command_text(ui, "open");
                if icon_button(ui, Icon::Open, &name, &keys, Chosen::Action).clicked() {
                    self.perform(ui, "open");
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let dark = ui.visuals().dark_mode;
                    let icon = if dark { Icon::Sun } else { Icon::Moon };
                    let name = command_text(ui, "theme");
                    if icon_button(ui, icon, &name, "", Chosen::Action).clicked() {
                        self.perform(ui, "theme");
                    }
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| self.tab_strip(ui));
                });
            });
        });
    }

    fn tab_strip(&mut self, ui: &mut Ui) {
        let palette = palette(ui);
        let (mut brought, mut closed) = (None, None);
        ScrollArea::horizontal().id_salt("tabs").show(ui, |ui| {
            ui.spacing_mut().item_spacing.x = 4.0;
            for (idx, tab) in self.tabs.iter().enumerate() {
                let front = idx == self.front;
                let fill = if front { palette.accent_soft } else { palette.panel };
                let line = if front { palette.accent } else { palette.line };
                Frame::new()
                    .fill(fill)
                    .stroke(Stroke::new(1.0, line))
                    .corner_radius(tokens().radius.small)
                    .inner_margin(Margin { left: 8, right: 2, top: 1, bottom: 1 })
                    .show(ui, |ui| {
                        ui.push_id(idx, |ui| {
                            ui.spacing_mut().item_spacing.x = 2.0;
                            let title = RichText::new(short(&tab.title)).color(palette.ink);
                            let button = Button::new(title).frame(false).min_size(vec2(0.0, 26.0));
                            let response = ui.add(button).on_hover_text(&tab.title);
                            if response.clicked() {
                                brought = Some(idx);
                            }
                            if response.middle_clicked() {
                                closed = Some(idx);
                            }
                            let name = format!("{}: {}", command_text(ui, "close-tab"), tab.title);
                            let close = icon_button_sized(ui, Icon::Close, &name, "", Chosen::Action, 24.0);
                            if close.clicked() {
                                closed = Some(idx);
                            }
                        });
                    });
            }
            if self.n_opening > 0 {
                ui.add(egui::Spinner::new().size(14.0).color(palette.accent));
                ui.label(theme::quiet(ui, text(ui, "review.opening")));
            }
        });
        if let Some(idx) = brought {
            self.bring(idx);
        }
        if let Some(idx) = closed {
            self.close(idx);
        }
    }

    /// Tools along the left edge.
    pub(super) fn tool_bar(&mut self, ui: &mut Ui) {
        let frame = Frame::new().fill(palette(ui).panel).inner_margin(Margin::symmetric(6, 8));
        EguiPanel::left("tools").frame(frame).resizable(false).exact_size(46.0).show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(0.0, 3.0);
            let mut wish = None;
            for (tool, icon, id) in TOOLS {
                let (name, keys) = (command_text(ui, id), keys::keys_text(id));
                if icon_button(ui, icon, &name, &keys, Chosen::from(self.tool == tool)).clicked() {
                    wish = Some(id);
                }
            }
            ui.add_space(4.0);
            ui.separator();
            for (icon, id) in TURNS {
                let (name, keys) = (command_text(ui, id), keys::keys_text(id));
                if icon_button(ui, icon, &name, &keys, Chosen::Action).clicked() {
                    wish = Some(id);
                }
            }
            if let Some(id) = wish {
                self.perform(ui, id);
            }
        });
    }

    /// The heads of the panels.
    pub(super) fn panel_tabs(&mut self, ui: &mut Ui) {
        let palette = palette(ui);
        let frame = Frame::new().inner_margin(Margin { left: 12, right: 12, top: 8, bottom: 0 });
        frame.show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = 2.0;
                for panel in Panel::ALL {
                    let (name, keys) = (command_text(ui, panel.command()), keys::keys_text(panel.command()));
                    let chosen = Chosen::from(self.panel == panel);
                    if icon_button(ui, panel.icon(), &name, &keys, chosen).clicked() {
                        self.panel = panel;
                    }
                }
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let name = command_text(ui, self.panel.command());
                    let name = RichText::new(name).text_style(theme::title()).color(palette.ink);
                    ui.add(egui::Label::new(name).truncate().selectable(false));
                });
            });
        });
        ui.add(egui::Separator::default().spacing(9.0));
    }

    /// Notice, and where the pointer is.
    pub(super) fn status_bar(&mut self, ui: &mut Ui) {
        let frame = Frame::new().fill(palette(ui).panel).inner_margin(Margin::symmetric(14, 4));
        EguiPanel::bottom("status").frame(frame).show(ui, |ui| {
            theme::row(ui, 18.0, |ui| {
                ui.label(theme::quiet(ui, text(ui, "notice.research")));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let Some(tab) = self.front() else { return };
                    if tab.drawn.n_missing > 0 {
                        ui.label(theme::quiet(ui, text(ui, "review.loading-tiles")));
                    }
                    let um_per_px = tab.measure().um_per_px();
                    let [w, h] = tab.viewport.base_px();
                    if let Some([x, y]) = tab.pointer_base_px
                        && (0.0..w).contains(&x)
                        && (0.0..h).contains(&y)
                    {
                        let place = match um_per_px {
                            Some(mpp) => format!("{:.3}, {:.3} mm", x * mpp / 1000.0, y * mpp / 1000.0),
                            None => String::new(),
                        };
                        let px = format!("x {}  y {}", grouped(x as u64), grouped(y as u64));
                        ui.label(theme::quiet(ui, place));
                        ui.label(theme::quiet(ui, px));
                    }
                    if um_per_px.is_none() {
                        let words = theme::quiet(ui, text(ui, "review.unscaled"));
                        if ui.add(Button::new(words).small().frame(false)).clicked() {
                            self.cover = Some(Cover::Scale);
                        }
                    }
                });
            });
        });
    }

    /// The page before the first slide.
    pub(super) fn welcome(&mut self, ui: &mut Ui) {
        let palette = palette(ui);
        ui.vertical_centered(|ui| {
            ui.add_space((ui.available_height() * 0.32).max(20.0));
            let (rect, _) = ui.allocate_exact_size(vec2(72.0, 72.0), Sense::hover());
            paint(ui.painter(), rect.shrink(8.0), Icon::Slide, palette.accent);
            ui.add_space(4.0);
            ui.label(RichText::new(text(ui, "review.welcome")).text_style(theme::display()));
            ui.label(RichText::new(text(ui, "review.welcome-hint")).color(palette.quiet));
            ui.add_space(10.0);
            let button = theme::primary(ui, &command_text(ui, "open")).min_size(vec2(200.0, 36.0));
            if ui.add(button).clicked() {
                self.perform(ui, "open");
            }
            ui.add_space(6.0);
            let keys = [("open", "open"), ("palette", "palette"), ("shortcuts", "shortcuts")];
            let line: Vec<String> = keys
                .iter()
                .map(|(id, _)| format!("{}  {}", keys::keys_text(id), command_text(ui, id)))
                .collect();
            ui.label(theme::quiet(ui, line.join("      ")));
            self.recent_ui(ui);
        });
    }

    /// Files that were open lately.
    fn recent_ui(&mut self, ui: &mut Ui) {
        if self.recent.is_empty() {
            return;
        }
        let mut chosen = None;
        ui.add_space(tokens().space.section);
        ui.label(theme::quiet(ui, text(ui, "review.recent")));
        ui.spacing_mut().item_spacing.y = 2.0;
        for file in self.recent.iter().take(MOST_RECENT) {
            let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = short(&name.unwrap_or_default());
            let button = Button::new(name).frame(false).min_size(vec2(260.0, 24.0));
            let response = ui.add_enabled(file.exists, button);
            if response.on_hover_text(file.path.display().to_string()).clicked() {
                chosen = Some(file.path.clone());
            }
        }
        self.open(chosen.as_slice());
    }

    /// What lies over the window.
    pub(super) fn cover_ui(&mut self, ui: &mut Ui) {
        let Some(cover) = self.cover else { return };
        let frame = Frame::window(ui.style()).inner_margin(Margin::same(18));
        let (mut done, mut wish, mut scale) = (false, None, None);
        let response = Modal::new(egui::Id::unique("cover")).frame(frame).show(ui.ctx(), |ui| match cover {
            Cover::Palette => (wish, done) = palette_ui(ui, &mut self.palette_text),
            Cover::Shortcuts => shortcuts_ui(ui),
            Cover::Scale => {
                ui.set_width(360.0);
                if let Some(tab) = self.tabs.get(self.front) {
                    scale = scale_ui(ui, tab, &mut self.scale);
                    done = scale.is_some();
                }
            }
        });
        if done || wish.is_some() || response.should_close() {
            self.cover = None;
            self.palette_text.clear();
        }
        if let Some(scale) = scale {
            self.state_scale(scale);
        }
        if let Some(id) = wish {
            self.perform(ui, id);
        }
    }
}

/// All commands by name; gives the one that was chosen, and whether it is to be closed.
fn palette_ui(ui: &mut Ui, typed: &mut String) -> (Option<&'static str>, bool) {
    ui.set_width(460.0);
    let mut wish = None;
    let hint = text(ui, "review.palette-hint");
    let edit = TextEdit::singleline(typed).hint_text(hint).desired_width(f32::INFINITY);
    let response = ui.add(edit.margin(Margin::symmetric(10, 8))).accessible_name(hint);
    response.request_focus();
    let entered = ui.input(|input| input.key_pressed(Key::Enter));
    let looked_for = typed.to_lowercase();
    let found: Vec<(&'static str, String)> = keys::known()
        .map(|command| (command.id, command_text(ui, command.id)))
        .filter(|(id, name)| name.to_lowercase().contains(&looked_for) || id.contains(&looked_for))
        .collect();
    ScrollArea::vertical().max_height(360.0).auto_shrink([false, true]).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        for (idx, (id, name)) in found.iter().enumerate() {
            let first = idx == 0 && !looked_for.is_empty();
            let button = Button::selectable(first, name.as_str())
                .right_text(theme::quiet(ui, keys::keys_text(id)))
                .min_size(vec2(ui.available_width(), 28.0));
            if ui.add(button).clicked() || (first && entered) {
                wish = Some(*id);
            }
        }
        if found.is_empty() {
            ui.label(theme::quiet(ui, text(ui, "review.palette-none")));
        }
    });
    (wish, entered)
}

/// All keys, by group.
fn shortcuts_ui(ui: &mut Ui) {
    ui.set_width(560.0);
    let title = command_text(ui, "shortcuts");
    ui.label(RichText::new(title).text_style(theme::display()));
    ScrollArea::vertical().max_height(460.0).auto_shrink([false, true]).show(ui, |ui| {
        for group in Group::ALL {
            let commands: Vec<_> =
                keys::known().filter(|command| command.group == group && !command.keys.is_empty()).collect();
            if commands.is_empty() {
                continue;
            }
            ui.add_space(tokens().space.small);
            theme::heading(ui, &words(ui.ctx()).get(&format!("group.{}", group.id())));
            ui.spacing_mut().interact_size.y = 18.0;
            Grid::new(group.id()).num_columns(2).min_col_width(230.0).spacing([24.0, 4.0]).show(ui, |ui| {
                for command in commands {
                    let keys: Vec<String> = command.keys.iter().map(|keys| keys::pretty(keys)).collect();
                    ui.label(RichText::new(keys.join("   ")).monospace().color(palette(ui).accent));
                    ui.label(command_text(ui, command.id));
                    ui.end_row();
                }
            });
        }
    });
}

/// A file's name, short enough for a tab; its end tells slides apart as well as its beginning.
fn short(title: &str) -> String {
    let letters: Vec<char> = title.chars().collect();
    if letters.len() <= 26 {
        return title.to_owned();
    }
    let start: String = letters[..14].iter().collect();
    let end: String = letters[letters.len() - 10..].iter().collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(short("slide.svs"), "slide.svs");
        assert_eq!(short("TCGA-AB-1234-01Z-00-DX1.0123456789.svs"), "TCGA-AB-1234-0…456789.svs");
        assert_eq!(short(&"病".repeat(40)).chars().count(), 25);
    }
}
