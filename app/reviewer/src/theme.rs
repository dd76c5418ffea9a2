//! How egui looks with our tokens, by day and by night.

use eframe::egui::{
    self, Color32, CornerRadius, FontFamily, FontId, Frame, Margin, Shadow, Stroke, Style, TextStyle, Theme,
    style::WidgetVisuals, vec2,
};

use crate::fonts::{self, Lettering};
use crate::tokens::{Palette, Tokens, palette, tokens};

/// Name of the text style of titles.
pub const TITLE: &str = "title";
/// Name of the text style of the titles of empty pages.
pub const DISPLAY: &str = "display";

/// Dresses the windows of a context; they follow the system's theme until told otherwise.
pub fn install(ctx: &egui::Context, lettering: Lettering) {
    fonts::install(ctx, lettering);
    let tokens = tokens();
    for (theme, palette) in [(Theme::Light, &tokens.light), (Theme::Dark, &tokens.dark)] {
        ctx.style_mut_of(theme, |style| dress(style, palette, tokens));
    }
}

/// The text style of titles.
pub fn title() -> TextStyle {
    TextStyle::Name(TITLE.into())
}

/// The text style of the titles of empty pages.
pub fn display() -> TextStyle {
    TextStyle::Name(DISPLAY.into())
}

/// A plate on the stage: readable on any tissue.
pub fn plate(ui: &egui::Ui) -> Frame {
    let (palette, tokens) = (palette(ui), tokens());
    Frame::new()
        .fill(palette.panel.gamma_multiply(0.93))
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(tokens.radius.card)
        .inner_margin(Margin::symmetric(8, 5))
}

/// A card in a panel.
pub fn card(ui: &egui::Ui) -> Frame {
    let (palette, tokens) = (palette(ui), tokens());
    Frame::new()
        .fill(palette.panel)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(tokens.radius.card)
        .inner_margin(Margin::same(10))
}

/// A button for the main action of a panel.
pub fn primary(ui: &egui::Ui, text: &str) -> egui::Button<'static> {
    let palette = palette(ui);
    egui::Button::new(egui::RichText::new(text).color(palette.accent_ink)).fill(palette.accent)
}

/// A row of a fixed height, everything in its middle.
pub fn row<R>(ui: &mut egui::Ui, height: f32, add: impl FnOnce(&mut egui::Ui) -> R) -> R {
    let size = vec2(ui.available_width(), height);
    let layout = egui::Layout::left_to_right(egui::Align::Center);
    ui.allocate_ui_with_layout(size, layout, |ui| {
        ui.set_min_height(height);
        ui.spacing_mut().interact_size.y = ui.spacing().interact_size.y.min(height);
        add(ui)
    })
    .inner
}

/// Text that stands back.
pub fn quiet(ui: &egui::Ui, text: impl Into<String>) -> egui::RichText {
    egui::RichText::new(text).small().color(palette(ui).quiet)
}

/// The title of a section.
pub fn heading(ui: &mut egui::Ui, text: &str) -> egui::Response {
    ui.label(egui::RichText::new(text).text_style(title()).color(palette(ui).ink))
}

fn dress(style: &mut Style, palette: &Palette, tokens: &Tokens) {
    let proportional = |size: f32| FontId::new(size, FontFamily::Proportional);
    let strong = |size: f32| FontId::new(size, FontFamily::Name(fonts::STRONG.into()));
    let text = tokens.text;
    style.text_styles = [
        (TextStyle::Small, proportional(text.small)),
        (TextStyle::Body, proportional(text.body)),
        (TextStyle::Button, proportional(text.body)),
        (TextStyle::Heading, strong(text.display)),
        (TextStyle::Monospace, FontId::new(text.small, FontFamily::Monospace)),
        (title(), strong(text.body)),
        (display(), strong(text.display)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(tokens.space.small, tokens.space.small);
    spacing.button_padding = vec2(10.0, 5.0);
    spacing.interact_size = vec2(32.0, 28.0);
    spacing.menu_margin = Margin::same(6);
    spacing.slider_width = 140.0;
    style.interaction.selectable_labels = true;
    let visuals = &mut style.visuals;
    visuals.panel_fill = palette.panel;
    visuals.window_fill = palette.panel;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.window_corner_radius = CornerRadius::same(tokens.radius.card);
    visuals.menu_corner_radius = CornerRadius::same(tokens.radius.card);
    let shade = Shadow { offset: [0, 6], blur: 20, spread: 0, color: Color32::from_black_alpha(60) };
    visuals.window_shadow = shade;
    visuals.popup_shadow = shade;
    visuals.extreme_bg_color = palette.ground;
    visuals.faint_bg_color = palette.ground;
    visuals.code_bg_color = palette.ground;
    visuals.text_edit_bg_color = Some(palette.ground);
    visuals.weak_text_color = Some(palette.quiet);
    visuals.hyperlink_color = palette.accent;
    visuals.warn_fg_color = palette.danger;
    visuals.error_fg_color = palette.danger;
    visuals.selection.bg_fill = palette.accent_soft;
    visuals.selection.stroke = Stroke::new(1.5, palette.accent);
    visuals.slider_trailing_fill = true;
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.collapsing_header_frame = false;
    visuals.indent_has_left_vline = false;
    let corner_radius = CornerRadius::same(tokens.radius.small);
    let widget = |fill: Color32, border: Color32, ink: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, border),
        corner_radius,
        fg_stroke: Stroke::new(1.0, ink),
        expansion: 0.0,
    };
    visuals.widgets.noninteractive = widget(palette.panel, palette.line, palette.ink);
    visuals.widgets.inactive = widget(palette.panel, palette.line, palette.ink);
    visuals.widgets.hovered = widget(palette.accent_soft, palette.accent, palette.ink);
    visuals.widgets.active = widget(palette.accent_soft, palette.accent, palette.accent);
    visuals.widgets.open = widget(palette.accent_soft, palette.accent, palette.ink);
    // The rail of a slider must be seen on the panel.
    visuals.widgets.inactive.bg_fill = palette.line;
}
