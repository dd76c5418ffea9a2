//! Pictures like the view, or like words.

use eframe::egui::{self, RichText, Sense, Ui, vec2};

use crate::icon::{Icon, paint};
use crate::theme;
use crate::tokens::palette;
use crate::words::text;

/// Shows the panel while there is no library.
pub fn empty_ui(ui: &mut Ui) {
    let palette = palette(ui);
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.22).max(12.0));
        let (rect, _) = ui.allocate_exact_size(vec2(40.0, 40.0), Sense::hover());
        paint(ui.painter(), rect.shrink(4.0), Icon::Lens, palette.accent);
        ui.label(RichText::new(text(ui, "review.no-library")).text_style(theme::display()));
        ui.label(RichText::new(text(ui, "review.no-library-hint")).color(palette.quiet));
        ui.add_space(6.0);
        ui.label(egui::RichText::new("eosin index add FOLDER").monospace());
    });
}
