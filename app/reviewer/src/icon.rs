//! Icons, painted: sharp at every size, coloured by the theme, and none of them a letter of some font.
//!
//! Every icon button has a name that is read aloud and shown when the pointer rests on it.

use eframe::egui::{
    self, Color32, Pos2, Rect, Response, Sense, Shape, Stroke, StrokeKind, Ui, Vec2, WidgetInfo,
    accesskit::Role, pos2, vec2,
};

use crate::tokens::{palette, tokens};

/// What a button shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Icon {
    /// Move the slide.
    Hand,
    /// A place.
    Point,
    /// A line.
    Line,
    /// A box.
    Rectangle,
    /// Corners.
    Polygon,
    /// By hand.
    Freehand,
    /// Measure.
    Ruler,
    /// Turn to the left.
    TurnLeft,
    /// Turn to the right.
    TurnRight,
    /// Nearer.
    Plus,
    /// Farther.
    Minus,
    /// The whole slide.
    Fit,
    /// Open a file.
    Open,
    /// Away with it.
    Close,
    /// Day.
    Sun,
    /// Night.
    Moon,
    /// The one before.
    Back,
    /// The next one.
    Forward,
    /// Take back.
    Undo,
    /// Do again.
    Redo,
    /// Delete.
    Bin,
    /// Questions.
    Talk,
    /// Shapes on the slide.
    Marks,
    /// Brightness and stains.
    Sliders,
    /// Look for.
    Lens,
    /// About the slide.
    Slide,
}

/// Whether a button that stands for a choice is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is no choice but an action.
    Action,
}

impl From<bool> for Chosen {
    fn from(chosen: bool) -> Self {
        if chosen { Self::Yes } else { Self::No }
    }
}

/// Side of an icon button in points.
pub const BUTTON_PX: f32 = 34.0;

/// A button with an icon, named `label`; `keys` are told beside the name.
pub fn icon_button(ui: &mut Ui, icon: Icon, label: &str, keys: &str, chosen: Chosen) -> Response {
    icon_button_sized(ui, icon, label, keys, chosen, BUTTON_PX)
}

/// [`icon_button`] of another size.
pub fn icon_button_sized(
    ui: &mut Ui,
    icon: Icon,
    label: &str,
    keys: &str,
    chosen: Chosen,
    side: f32,
) -> Response {
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(side), Sense::click());
    let enabled = ui.is_enabled();
    response.widget_info(|| match chosen {
        Chosen::Action => WidgetInfo::labeled(Role::Button, enabled, label),
        state => WidgetInfo::selected(Role::Button, enabled, state == Chosen::Yes, label),
    });
    if ui.is_rect_visible(rect) {
        let palette = palette(ui);
        let radius = f32::from(tokens().radius.small);
        let lit = response.hovered() || response.has_focus();
        if chosen == Chosen::Yes {
            ui.painter().rect_filled(rect, radius, palette.accent_soft);
        } else if response.hovered() {
            ui.painter().rect_filled(rect, radius, palette.ground);
        }
        if response.has_focus() {
            let stroke = Stroke::new(1.5, palette.accent);
            ui.painter().rect_stroke(rect, radius, stroke, StrokeKind::Inside);
        }
        let ink = match chosen {
            Chosen::Yes => palette.accent,
            _ if lit => palette.ink,
            _ => palette.quiet,
        };
        let ink = if enabled { ink } else { ink.gamma_multiply(0.4) };
        let side = (side * 0.5).clamp(12.0, 18.0);
        paint(ui.painter(), Rect::from_center_size(rect.center(), Vec2::splat(side)), icon, ink);
    }
    if keys.is_empty() {
        response.on_hover_text(label)
    } else {
        response.on_hover_text(format!("{label}  ({keys})"))
    }
}

/// Paints an icon into a square.
#[expect(clippy::too_many_lines, reason = "one short arm an icon")]
pub fn paint(painter: &egui::Painter, rect: Rect, icon: Icon, ink: Color32) {
    let side = rect.width() / 16.0;
    let at = |x: f32, y: f32| pos2(rect.left() + x * side, rect.top() + y * side);
    // Large icons are drawn as finely as small ones.
    let stroke = Stroke::new((side * 1.5).clamp(1.2, 2.2), ink);
    let line = |points: &[(f32, f32)]| {
        painter.add(Shape::line(points.iter().map(|(x, y)| at(*x, *y)).collect(), stroke));
    };
    let closed = |points: &[(f32, f32)]| {
        painter.add(Shape::closed_line(points.iter().map(|(x, y)| at(*x, *y)).collect(), stroke));
    };
    let ring = |x: f32, y: f32, radius: f32| {
        painter.circle_stroke(at(x, y), radius * side, stroke);
    };
    let dot = |x: f32, y: f32, radius: f32| {
        painter.circle_filled(at(x, y), radius * side, ink);
    };
    // Part of a circle from one angle to another, in turns of the clock from three o'clock.
    let arc = |x: f32, y: f32, radius: f32, from: f32, to: f32| {
        let points = (0..=20).map(|k| {
            let angle = (from + (to - from) * k as f32 / 20.0) * std::f32::consts::TAU;
            at(x + radius * angle.cos(), y + radius * angle.sin())
        });
        painter.add(Shape::line(points.collect(), stroke));
    };
    match icon {
        Icon::Hand => {
            // Four arrows: the slide moves.
            line(&[(8.0, 1.0), (8.0, 15.0)]);
            line(&[(1.0, 8.0), (15.0, 8.0)]);
            for (tip, a, b) in [
                ((8.0, 1.0), (5.8, 3.4), (10.2, 3.4)),
                ((8.0, 15.0), (5.8, 12.6), (10.2, 12.6)),
                ((1.0, 8.0), (3.4, 5.8), (3.4, 10.2)),
                ((15.0, 8.0), (12.6, 5.8), (12.6, 10.2)),
            ] {
                line(&[a, tip, b]);
            }
        }
        Icon::Point => {
            ring(8.0, 8.0, 5.5);
            dot(8.0, 8.0, 2.0);
        }
        Icon::Line => {
            line(&[(3.0, 13.0), (13.0, 3.0)]);
            dot(3.0, 13.0, 1.9);
            dot(13.0, 3.0, 1.9);
        }
        Icon::Rectangle => closed(&[(2.0, 3.5), (14.0, 3.5), (14.0, 12.5), (2.0, 12.5)]),
        Icon::Polygon => closed(&[(8.0, 1.5), (14.5, 6.5), (12.0, 14.0), (4.0, 14.0), (1.5, 6.5)]),
        Icon::Freehand => {
            // A pencil and the line it leaves.
            closed(&[(5.2, 10.8), (12.2, 2.4), (14.2, 4.2), (7.2, 12.4), (4.6, 13.0)]);
            let wave = (0..=14).map(|k| {
                let along = k as f32 / 14.0;
                at(1.2 + along * 8.0, 15.0 - 0.9 * (along * 9.0).sin() * (1.0 - along * 0.4))
            });
            painter.add(Shape::line(wave.collect(), stroke));
        }
        Icon::Ruler => {
            closed(&[(1.5, 11.0), (11.0, 1.5), (14.5, 5.0), (5.0, 14.5)]);
            for k in 0..3 {
                let along = 3.2 + 2.6 * k as f32;
                line(&[(along + 1.0, 11.5 - along), (along + 2.6, 13.1 - along)]);
            }
        }
        Icon::TurnLeft | Icon::TurnRight => {
            // A turned sheet under a bent arrow.
            let mirror = |x: f32| if icon == Icon::TurnRight { x } else { 16.0 - x };
            let bend = (0..=18).map(|k| {
                let angle = (0.52 + 0.38 * k as f32 / 18.0) * std::f32::consts::TAU;
                at(mirror(8.0 + 6.2 * angle.cos()), 8.2 + 6.2 * angle.sin())
            });
            painter.add(Shape::line(bend.collect(), stroke));
            line(&[(mirror(14.4), 1.6), (mirror(13.6), 5.2), (mirror(10.0), 4.6)]);
            closed(&[(4.4, 8.4), (11.6, 8.4), (11.6, 14.6), (4.4, 14.6)]);
        }
        Icon::Plus => {
            line(&[(8.0, 3.0), (8.0, 13.0)]);
            line(&[(3.0, 8.0), (13.0, 8.0)]);
        }
        Icon::Minus => line(&[(3.0, 8.0), (13.0, 8.0)]),
        Icon::Fit => {
            for (x, y) in [(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)] {
                let spot = |a: f32, b: f32| (8.0 - x * a, 8.0 - y * b);
                line(&[spot(6.0, 2.4), spot(6.0, 6.0), spot(2.4, 6.0)]);
            }
        }
        Icon::Open => {
            line(&[(1.5, 13.0), (1.5, 3.0), (6.0, 3.0), (7.6, 5.0), (13.5, 5.0), (13.5, 7.4)]);
            closed(&[(1.5, 13.0), (4.0, 7.4), (15.2, 7.4), (12.6, 13.0)]);
        }
        Icon::Close => {
            line(&[(3.5, 3.5), (12.5, 12.5)]);
            line(&[(12.5, 3.5), (3.5, 12.5)]);
        }
        Icon::Sun => {
            ring(8.0, 8.0, 3.0);
            for k in 0..8 {
                let angle = k as f32 / 8.0 * std::f32::consts::TAU;
                let (sin, cos) = angle.sin_cos();
                line(&[(8.0 + 5.0 * cos, 8.0 + 5.0 * sin), (8.0 + 7.0 * cos, 8.0 + 7.0 * sin)]);
            }
        }
        Icon::Moon => {
            arc(8.0, 8.0, 6.0, 0.02, 0.73);
            arc(11.6, 4.6, 5.0, 0.19, 0.56);
        }
        Icon::Back => line(&[(10.0, 3.5), (5.5, 8.0), (10.0, 12.5)]),
        Icon::Forward => line(&[(6.0, 3.5), (10.5, 8.0), (6.0, 12.5)]),
        Icon::Undo | Icon::Redo => {
            let mirror = |x: f32| if icon == Icon::Redo { 16.0 - x } else { x };
            line(&[(mirror(5.5), 2.5), (mirror(2.0), 6.0), (mirror(5.5), 9.5)]);
            let bend = (0..=16).map(|k| {
                let angle = (-0.25 + 0.5 * k as f32 / 16.0) * std::f32::consts::TAU;
                at(mirror(10.0 + 3.8 * angle.cos()), 9.8 + 3.8 * angle.sin())
            });
            let start = [at(mirror(2.0), 6.0)].into_iter();
            painter.add(Shape::line(start.chain(bend).chain([at(mirror(7.0), 13.6)]).collect(), stroke));
        }
        Icon::Bin => {
            line(&[(2.5, 4.0), (13.5, 4.0)]);
            line(&[(6.0, 4.0), (6.0, 2.0), (10.0, 2.0), (10.0, 4.0)]);
            line(&[(3.8, 4.0), (4.6, 14.0), (11.4, 14.0), (12.2, 4.0)]);
        }
        Icon::Talk => closed(&[
            (2.0, 2.5),
            (14.0, 2.5),
            (14.0, 11.0),
            (8.0, 11.0),
            (4.5, 14.2),
            (4.5, 11.0),
            (2.0, 11.0),
        ]),
        Icon::Marks => {
            closed(&[(2.0, 5.0), (9.0, 2.0), (14.0, 7.5), (10.0, 14.0), (3.5, 12.0)]);
            for (x, y) in [(2.0, 5.0), (9.0, 2.0), (14.0, 7.5), (10.0, 14.0), (3.5, 12.0)] {
                dot(x, y, 1.6);
            }
        }
        Icon::Sliders => {
            for (y, x) in [(3.5, 10.5), (8.0, 5.0), (12.5, 9.0)] {
                line(&[(1.5, y), (14.5, y)]);
                dot(x, y, 2.1);
            }
        }
        Icon::Lens => {
            ring(6.8, 6.8, 4.8);
            line(&[(10.4, 10.4), (14.5, 14.5)]);
        }
        Icon::Slide => {
            closed(&[(4.0, 1.5), (12.0, 1.5), (12.0, 14.5), (4.0, 14.5)]);
            line(&[(4.0, 5.0), (12.0, 5.0)]);
            ring(8.0, 9.6, 2.2);
        }
    }
}

/// A line with a light edge, seen on any tissue.
pub fn haloed(painter: &egui::Painter, points: Vec<Pos2>, width: f32, ink: Color32, halo: Color32) {
    painter.add(Shape::line(points.clone(), Stroke::new(width + 2.0, halo.gamma_multiply(0.75))));
    painter.add(Shape::line(points, Stroke::new(width, ink)));
}

/// A small disc with a light edge.
pub fn haloed_dot(painter: &egui::Painter, at: Pos2, radius: f32, ink: Color32, halo: Color32) {
    painter.circle_filled(at, radius + 1.5, halo);
    painter.circle_filled(at, radius, ink);
}

/// Text on a plate of the halo's colour, anchored at a point.
pub fn plate_text(painter: &egui::Painter, at: Pos2, text: &str, size: f32, ink: Color32, halo: Color32) {
    let galley = painter.layout_no_wrap(text.to_owned(), egui::FontId::proportional(size), ink);
    let rect = Rect::from_min_size(at, galley.size()).expand2(vec2(5.0, 2.0));
    painter.rect_filled(rect, 4.0, halo.gamma_multiply(0.9));
    painter.galley(at, galley, ink);
}
