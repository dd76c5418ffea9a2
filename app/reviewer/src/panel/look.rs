//! Brightness, contrast, gamma and single stains of the slide in front.

use eframe::egui::{self, Grid, Slider, Ui};
use eosin_workbench::{Look, Stain, StainView, Tint};

use crate::tab::Tab;
use crate::theme;
use crate::tokens::tokens;
use crate::words::text;

/// The views that are offered, and the keys of their words.
const STAINS: [(&str, StainView); 5] = [
    ("review.stain-all", StainView::All),
    ("review.stain-haematoxylin", StainView::One { stain: Stain::Haematoxylin, tint: Tint::Own }),
    ("review.stain-eosin", StainView::One { stain: Stain::Eosin, tint: Tint::Own }),
    ("review.stain-haematoxylin-dab", StainView::One { stain: Stain::HaematoxylinOfDab, tint: Tint::Own }),
    ("review.stain-dab", StainView::One { stain: Stain::Dab, tint: Tint::Own }),
];

/// The tint of a view; the whole picture has none.
fn tint_of(view: StainView) -> Tint {
    match view {
        StainView::All => Tint::Own,
        StainView::One { tint, .. } => tint,
    }
}

fn with_tint(view: StainView, tint: Tint) -> StainView {
    match view {
        StainView::All => StainView::All,
        StainView::One { stain, .. } => StainView::One { stain, tint },
    }
}

/// Shows the panel.
pub fn look_ui(ui: &mut Ui, tab: &mut Tab) {
    let mut look = tab.layer.look();
    theme::heading(ui, text(ui, "review.light"));
    Grid::new("light").num_columns(2).spacing([tokens().space.gap, tokens().space.small]).show(ui, |ui| {
        let label = ui.label(text(ui, "review.brightness"));
        ui.add(Slider::new(&mut look.brightness, Look::PERCENT)).labelled_by(label.id);
        ui.end_row();
        let label = ui.label(text(ui, "review.contrast"));
        ui.add(Slider::new(&mut look.contrast, Look::PERCENT)).labelled_by(label.id);
        ui.end_row();
        let label = ui.label(text(ui, "review.gamma"));
        let mut gamma = f64::from(look.gamma) / 100.0;
        let range = f64::from(*Look::GAMMA.start()) / 100.0..=f64::from(*Look::GAMMA.end()) / 100.0;
        ui.add(Slider::new(&mut gamma, range).logarithmic(true).fixed_decimals(2)).labelled_by(label.id);
        look.gamma = (gamma * 100.0).round() as u16;
        ui.end_row();
    });
    ui.add_space(tokens().space.gap);
    theme::heading(ui, text(ui, "review.stains"));
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = tokens().space.tiny;
        let tint = tint_of(look.stain);
        for (key, view) in STAINS {
            let chosen = with_tint(look.stain, Tint::Own) == view;
            if ui.radio(chosen, text(ui, key)).clicked() {
                look.stain = with_tint(view, tint);
            }
        }
        let mut grey = tint_of(look.stain) == Tint::Grey;
        let enabled = look.stain != StainView::All;
        let response = ui.add_enabled(enabled, egui::Checkbox::new(&mut grey, text(ui, "review.stain-grey")));
        if response.changed() {
            look.stain = with_tint(look.stain, if grey { Tint::Grey } else { Tint::Own });
        }
    });
    ui.add_space(tokens().space.gap);
    if ui.add_enabled(!look.is_neutral(), egui::Button::new(text(ui, "review.reset"))).clicked() {
        look = Look::default();
    }
    tab.set_look(look);
}
