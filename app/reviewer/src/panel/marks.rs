//! The shapes on the slide: a list, and what the chosen one is.

use eframe::egui::{
    self, Align, Color32, Frame, Layout, Margin, RichText, ScrollArea, Sense, Stroke, TextEdit, Ui, vec2,
};
use eosin_core::annotation::{Annotation, AnnotationClass, AnnotationId, Shape};
use eosin_workbench::ViewRect;

use crate::icon::{Chosen, Icon, icon_button_sized, paint};
use crate::keys::keys_text;
use crate::marks::kind_text;
use crate::tab::Tab;
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::{command_text, text};

/// What the panel keeps while it is shown.
#[derive(Clone, Debug, Default)]
pub struct MarksPanel {
    /// The note as it is being written, of one annotation.
    note: Option<(AnnotationId, String)>,
    /// The name of a class that is being made.
    new_class: String,
}

impl MarksPanel {
    /// Shows the panel.
    pub fn ui(
        &mut self,
        ui: &mut Ui,
        tab: &mut Tab,
        classes: &mut Vec<AnnotationClass>,
        class: &mut Option<AnnotationClass>,
    ) {
        head_ui(ui, tab);
        ui.add_space(tokens().space.tiny);
        ui.label(theme::quiet(ui, text(ui, "review.next-class")));
        class_row(ui, classes, class);
        self.new_class_ui(ui, classes, class);
        ui.add_space(tokens().space.small);
        if tab.marks.list().is_empty() {
            empty_ui(ui);
            return;
        }
        if let Some(mark) = tab.selected.as_ref().and_then(|id| tab.marks.get(id)).cloned() {
            self.chosen_ui(ui, tab, &mark, classes);
            ui.add_space(tokens().space.small);
        }
        list_ui(ui, tab);
    }

    fn new_class_ui(
        &mut self,
        ui: &mut Ui,
        classes: &mut Vec<AnnotationClass>,
        class: &mut Option<AnnotationClass>,
    ) {
        ui.horizontal(|ui| {
            let hint = text(ui, "review.new-class");
            let edit = TextEdit::singleline(&mut self.new_class).hint_text(hint).desired_width(150.0);
            let response = ui.add(edit).accessible_name(hint);
            let name = self.new_class.trim();
            let fresh = !name.is_empty() && classes.iter().all(|known| known.name != name);
            let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let clicked = ui.add_enabled(fresh, egui::Button::new(text(ui, "review.add"))).clicked();
            if fresh && (entered || clicked) {
                let series = &tokens().light.series;
                let [r, g, b, _] = series[classes.len() % series.len()].to_array();
                let made = AnnotationClass { name: name.to_owned(), color: [r, g, b] };
                classes.push(made.clone());
                *class = Some(made);
                self.new_class.clear();
            }
        });
    }

    fn chosen_ui(&mut self, ui: &mut Ui, tab: &mut Tab, mark: &Annotation, classes: &[AnnotationClass]) {
        let mut changed = mark.clone();
        let mut gone = false;
        theme::card(ui).show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.horizontal(|ui| {
                theme::heading(ui, kind_text(&mark.shape));
                ui.label(theme::quiet(ui, measure_text(tab, mark)));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let (name, keys) =
                        (command_text(ui, "delete-annotation"), keys_text("delete-annotation"));
                    gone = icon_button_sized(ui, Icon::Bin, &name, &keys, Chosen::Action, 26.0).clicked();
                });
            });
            class_row(ui, classes, &mut changed.class);
            let note = match &mut self.note {
                Some((id, note)) if *id == mark.id => note,
                place => &mut place.insert((mark.id.clone(), mark.note.clone())).1,
            };
            let hint = text(ui, "review.note");
            let edit = TextEdit::multiline(note).hint_text(hint).desired_rows(2).desired_width(f32::INFINITY);
            let response = ui.add(edit).accessible_name(hint);
            // One step of undo for a note, not one a letter.
            if response.lost_focus() {
                changed.note.clone_from(note);
            }
        });
        if gone {
            tab.marks.remove(&mark.id);
            tab.selected = None;
        } else {
            tab.marks.put(changed);
        }
    }
}

fn head_ui(ui: &mut Ui, tab: &mut Tab) {
    ui.horizontal(|ui| {
        let title = format!("{}  {}", text(ui, "review.shapes"), tab.marks.list().len());
        theme::heading(ui, &title);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            for (icon, id, ready) in
                [(Icon::Redo, "redo", tab.marks.can_redo()), (Icon::Undo, "undo", tab.marks.can_undo())]
            {
                ui.add_enabled_ui(ready, |ui| {
                    let (name, keys) = (command_text(ui, id), keys_text(id));
                    if icon_button_sized(ui, icon, &name, &keys, Chosen::Action, 28.0).clicked() {
                        if id == "undo" { tab.marks.undo() } else { tab.marks.redo() }
                    }
                });
            }
            ui.checkbox(&mut tab.marks_shown, text(ui, "review.shown"));
        });
    });
}

fn empty_ui(ui: &mut Ui) {
    let palette = palette(ui);
    ui.vertical_centered(|ui| {
        ui.add_space(40.0);
        let (rect, _) = ui.allocate_exact_size(vec2(40.0, 40.0), Sense::hover());
        paint(ui.painter(), rect.shrink(4.0), Icon::Marks, palette.accent);
        ui.label(RichText::new(text(ui, "review.no-shapes")).text_style(theme::display()));
        ui.label(RichText::new(text(ui, "review.no-shapes-hint")).color(palette.quiet));
    });
}

fn color(class: &AnnotationClass) -> Color32 {
    let [r, g, b] = class.color;
    Color32::from_rgb(r, g, b)
}

/// Chips of the classes; the chosen one again takes it away.
fn class_row(ui: &mut Ui, classes: &[AnnotationClass], class: &mut Option<AnnotationClass>) {
    let palette = palette(ui);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(6.0, 6.0);
        for known in classes {
            let chosen = class.as_ref() == Some(known);
            let ink = if chosen { palette.accent } else { palette.ink };
            let galley = ui.painter().layout_no_wrap(
                known.name.clone(),
                egui::FontId::proportional(tokens().text.small),
                ink,
            );
            let (rect, response) = ui.allocate_exact_size(vec2(galley.size().x + 32.0, 26.0), Sense::click());
            response.widget_info(|| {
                egui::WidgetInfo::selected(egui::accesskit::Role::Button, true, chosen, &known.name)
            });
            let border = if chosen || response.hovered() || response.has_focus() {
                palette.accent
            } else {
                palette.line
            };
            let fill = if chosen { palette.accent_soft } else { palette.panel };
            let stroke = Stroke::new(1.0, border);
            ui.painter().rect(rect, 13.0, fill, stroke, egui::StrokeKind::Inside);
            ui.painter().circle_filled(rect.left_center() + vec2(13.0, 0.0), 5.0, color(known));
            ui.painter().galley(rect.left_center() + vec2(23.0, -galley.size().y / 2.0), galley, ink);
            if response.clicked() {
                *class = if chosen { None } else { Some(known.clone()) };
            }
        }
    });
}

fn measure_text(tab: &Tab, mark: &Annotation) -> String {
    let shape = &mark.shape;
    let feature = tab.marks.list().iter().find(|feature| feature.annotation.id == mark.id);
    match shape {
        Shape::Point { .. } => String::new(),
        _ => feature.map(|feature| tab.measure().describe(feature)).unwrap_or_default(),
    }
}

fn list_ui(ui: &mut Ui, tab: &mut Tab) {
    let palette = palette(ui);
    let (mut chosen, mut shown) = (None, None);
    let rows = tab.marks.list().len();
    ScrollArea::vertical().auto_shrink([false, true]).show_rows(ui, 40.0, rows, |ui, range| {
        ui.spacing_mut().item_spacing.y = 0.0;
        for feature in tab.marks.list().iter().rev().skip(range.start).take(range.len()) {
            let mark = &feature.annotation;
            let selected = tab.selected.as_ref() == Some(&mark.id);
            let name = mark.class.as_ref().map_or(text(ui, "review.no-class"), |class| &class.name);
            let fill = if selected { palette.accent_soft } else { Color32::TRANSPARENT };
            let frame = Frame::new()
                .fill(fill)
                .corner_radius(tokens().radius.small)
                .inner_margin(Margin::symmetric(8, 3));
            let inner = frame.show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.set_height(34.0);
                ui.horizontal(|ui| {
                    let ink = mark.class.as_ref().map_or(tokens().mark.ink, color);
                    let (dot, _) = ui.allocate_exact_size(vec2(12.0, 12.0), Sense::hover());
                    ui.painter().circle_filled(dot.center(), 5.0, ink);
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 0.0;
                        ui.add(egui::Label::new(name).selectable(false).truncate());
                        let note =
                            if mark.note.is_empty() { String::new() } else { format!(" · {}", mark.note) };
                        let facts = format!("{} · {}{note}", kind_text(&mark.shape), measure_text(tab, mark));
                        let facts = theme::quiet(ui, facts.replace('\n', " "));
                        ui.add(egui::Label::new(facts).selectable(false).truncate());
                    });
                });
            });
            let response = ui.interact(inner.response.rect, ui.scope_id().with(&mark.id), Sense::click());
            response.widget_info(|| {
                let label = format!("{name}, {}", kind_text(&mark.shape));
                egui::WidgetInfo::selected(egui::accesskit::Role::ListBoxOption, true, selected, label)
            });
            if response.clicked() {
                chosen = Some(mark.id.clone());
            }
            if response.double_clicked() {
                shown = Some(mark.shape.bounds());
            }
        }
    });
    if chosen.is_some() {
        tab.selected = chosen;
    }
    if let Some((origin, size)) = shown {
        // With room around, and a point with what lies near it.
        let room = [0, 1].map(|k| (size[k] * 0.5).max(200.0));
        tab.viewport.show(ViewRect {
            origin_base_px: [0, 1].map(|k| origin[k] - room[k]),
            size_base_px: [0, 1].map(|k| size[k] + 2.0 * room[k]),
        });
    }
}
