//! What the slide says of itself, and the scale where it says none.

use eframe::egui::{self, Grid, RichText, TextEdit, Ui};

use eosin_core::Mpp;

use crate::scale::{grouped, parse_mpp};
use crate::tab::Tab;
use crate::theme;
use crate::tokens::{palette, tokens};
use crate::words::text;

/// What is being typed.
#[derive(Clone, Debug, Default)]
pub struct ScaleField {
    typed: String,
}

/// What is to be done with the scale.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ScaleWish {
    /// Use this one.
    Typed(Mpp),
    /// Use the file's.
    Stated,
}

/// Shows the panel.
pub fn slide_ui(ui: &mut Ui, tab: &Tab, field: &mut ScaleField) -> Option<ScaleWish> {
    theme::heading(ui, text(ui, "review.slide"));
    let quiet = |ui: &mut Ui, key: &'static str| {
        let words = theme::quiet(ui, text(ui, key));
        ui.label(words);
    };
    let spacing = [tokens().space.wide, 6.0];
    ui.spacing_mut().interact_size.y = 18.0;
    Grid::new("slide-facts").num_columns(2).spacing(spacing).show(ui, |ui| {
        quiet(ui, "review.name");
        ui.add(egui::Label::new(&tab.title).truncate());
        ui.end_row();
        let [w, h] = tab.base_px();
        quiet(ui, "review.size");
        ui.label(format!("{} × {} px", grouped(w.into()), grouped(h.into())));
        ui.end_row();
        if let Some(mpp) = tab.measure().um_per_px() {
            ui.label("");
            let mm = [w, h].map(|side| format!("{:.1}", f64::from(side) * mpp / 1000.0));
            ui.label(format!("{} × {} mm", mm[0], mm[1]));
            ui.end_row();
        }
        if let Some(opened) = &tab.opened {
            let info = opened.slide.info();
            quiet(ui, "review.format");
            ui.label(&info.format);
            ui.end_row();
            quiet(ui, "review.levels");
            let levels: Vec<String> =
                info.levels.iter().map(|level| format!("{:.0}", level.downsample)).collect();
            ui.label(levels.join(" · "));
            ui.end_row();
        }
        quiet(ui, "review.objective");
        let power = tab.opened.as_ref().and_then(|opened| opened.slide.info().magnification);
        ui.label(power.map_or_else(|| "–".to_owned(), |power| format!("{power}×")));
        ui.end_row();
        quiet(ui, "review.scale");
        ui.label(tab.measure().um_per_px().map_or_else(|| "–".to_owned(), |mpp| format!("{mpp:.4} µm/px")));
        ui.end_row();
    });
    ui.reset_style();
    ui.add_space(tokens().space.gap);
    scale_ui(ui, tab, field)
}

/// The scale, typed in.
pub fn scale_ui(ui: &mut Ui, tab: &Tab, field: &mut ScaleField) -> Option<ScaleWish> {
    let mut wish = None;
    let heading = theme::heading(ui, text(ui, "review.own-scale"));
    ui.label(theme::quiet(ui, text(ui, "review.own-scale-why")));
    ui.horizontal(|ui| {
        let edit = TextEdit::singleline(&mut field.typed).hint_text("0.25").desired_width(90.0);
        let response = ui.add(edit).labelled_by(heading.id);
        ui.label("µm/px");
        let typed = parse_mpp(&field.typed);
        let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
        let clicked = ui.add_enabled(typed.is_some(), egui::Button::new(text(ui, "review.use"))).clicked();
        if let (true, Some(mpp)) = (entered || clicked, typed) {
            wish = Some(ScaleWish::Typed(mpp));
        }
        if tab.scale_is_typed() && ui.button(text(ui, "review.as-stated")).clicked() {
            wish = Some(ScaleWish::Stated);
            field.typed.clear();
        }
    });
    if !field.typed.trim().is_empty() && parse_mpp(&field.typed).is_none() {
        let words = RichText::new(text(ui, "review.no-scale")).small().color(palette(ui).danger);
        ui.label(words);
    }
    wish
}
