//! What went wrong, told where it is seen and taken away by who has read it.

use eframe::egui::{self, Align2, Frame, Margin, RichText, Stroke, Ui, vec2};
use eosin_workbench::ErrorReport;

use crate::icon::{Chosen, Icon, icon_button_sized};
use crate::tokens::{palette, tokens};
use crate::words::text;

/// Messages shown at once.
const MOST: usize = 3;

/// The messages that wait to be read, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    reports: Vec<ErrorReport>,
}

impl Messages {
    /// Tells an error; the same one is told once.
    pub fn push(&mut self, report: ErrorReport) {
        self.reports.retain(|known| *known != report);
        self.reports.push(report);
        if self.reports.len() > MOST {
            self.reports.remove(0);
        }
    }

    /// Tells something in words of our own.
    pub fn say(&mut self, code: &str, message: String, hint: Option<String>) {
        self.push(ErrorReport { code: code.to_owned(), message, hint });
    }

    /// Those that wait.
    pub fn list(&self) -> &[ErrorReport] {
        &self.reports
    }

    /// Shows them over the slide.
    pub fn ui(&mut self, ui: &Ui) {
        let mut read = None;
        for (idx, report) in self.reports.iter().enumerate() {
            let id = egui::Id::unique("eosin-message").with(idx);
            let up = -44.0 - 96.0 * idx as f32;
            egui::Area::new(id)
                .order(egui::Order::Foreground)
                .anchor(Align2::LEFT_BOTTOM, vec2(64.0, up))
                .accessible_name(report.message.clone())
                .show(ui.ctx(), |ui| {
                    if card(ui, report) {
                        read = Some(idx);
                    }
                });
        }
        if let Some(idx) = read {
            self.reports.remove(idx);
        }
    }
}

/// One message; returns whether it was read.
fn card(ui: &mut Ui, report: &ErrorReport) -> bool {
    let (palette, tokens) = (palette(ui), tokens());
    let mut read = false;
    Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.danger))
        .corner_radius(tokens.radius.card)
        .shadow(ui.visuals().popup_shadow)
        .inner_margin(Margin::symmetric(14, 10))
        .show(ui, |ui| {
            ui.set_max_width(520.0);
            ui.horizontal_top(|ui| {
                ui.vertical(|ui| {
                    ui.set_max_width(450.0);
                    ui.spacing_mut().item_spacing.y = tokens.space.tiny;
                    ui.label(RichText::new(&report.message).color(palette.danger));
                    if let Some(hint) = &report.hint {
                        ui.label(RichText::new(hint).small().color(palette.quiet));
                    }
                });
                let label = text(ui, "notice.dismiss");
                read = icon_button_sized(ui, Icon::Close, label, "", Chosen::Action, 26.0).clicked();
            });
        });
    read
}
