//! The stages of a run, one card each.

use eframe::egui::{
    self, Color32, Frame, Margin, ProgressBar, RichText, ScrollArea, Sense, Stroke, Ui, WidgetInfo,
    accesskit::Role, vec2,
};
use eosin_core::duration;

use super::{Progress, RunState, StageState};
use crate::theme;
use crate::tokens::{palette, tokens};

/// Shows the stages; gives the one that was chosen.
pub(super) fn stages_ui(ui: &mut Ui, run: &RunState, shown: usize, follows: bool) -> Option<usize> {
    let mut chosen = None;
    theme::heading(ui, "Stages");
    let words = if follows { "following the one that runs" } else { "click the running one to follow it" };
    ui.label(theme::quiet(ui, words));
    ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = tokens().space.tiny;
        for (idx, stage) in run.stages.iter().enumerate() {
            if card(ui, stage, idx == shown) {
                chosen = Some(idx);
            }
        }
    });
    chosen
}

fn card(ui: &mut Ui, stage: &StageState, shown: bool) -> bool {
    let palette = palette(ui);
    let (ink, words) = match stage.progress {
        Progress::Waiting => (palette.line, "waiting".to_owned()),
        Progress::Running => {
            let left = stage.left_secs.map(|secs| format!("{} left", duration(secs)));
            (palette.accent, left.unwrap_or_else(|| "running".to_owned()))
        }
        Progress::Silent => (palette.danger, "silent".to_owned()),
        Progress::Finished => {
            (palette.good, stage.elapsed_secs.map_or_else(|| "finished".to_owned(), duration))
        }
    };
    let frame = Frame::new()
        .fill(if shown { palette.accent_soft } else { Color32::TRANSPARENT })
        .stroke(Stroke::new(1.0, if shown { palette.accent } else { Color32::TRANSPARENT }))
        .corner_radius(tokens().radius.card)
        .inner_margin(Margin::symmetric(10, 7));
    let inner = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.spacing_mut().item_spacing.y = 3.0;
        theme::row(ui, 20.0, |ui| {
            let (dot, _) = ui.allocate_exact_size(vec2(10.0, 14.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 4.0, ink);
            ui.add(
                egui::Label::new(RichText::new(stage.title()).color(palette.ink))
                    .selectable(false)
                    .truncate(),
            );
        });
        let steps = match stage.n_step {
            Some(n_step) => format!("{} · {} / {n_step}", stage.kind, stage.step),
            None => format!("{} · {}", stage.kind, stage.step),
        };
        theme::row(ui, 16.0, |ui| {
            ui.add(egui::Label::new(theme::quiet(ui, steps)).selectable(false));
            ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(theme::quiet(ui, words.as_str())).selectable(false));
            });
        });
        if matches!(stage.progress, Progress::Running | Progress::Silent) {
            let bar = ProgressBar::new(stage.share as f32).desired_height(4.0).fill(ink);
            ui.add(bar).accessible_name(format!("{}: share done", stage.title()));
        }
    });
    let id = ui.scope_id().with(("stage", &stage.name));
    let response = ui.interact(inner.response.rect, id, Sense::click());
    response.widget_info(|| {
        WidgetInfo::selected(Role::ListBoxOption, true, shown, format!("{}, {words}", stage.title()))
    });
    response.on_hover_cursor(egui::CursorIcon::PointingHand).clicked()
}
