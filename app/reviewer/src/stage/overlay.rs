//! What lies over the slide: shapes, ruler, minimap, scale bar, magnifications.

use eframe::egui::{
    self, Align2, Color32, FontId, Painter, Pos2, Rect, RichText, Sense, Shape as Drawing, Stroke,
    StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, accesskit::Role, pos2, vec2,
};
use eosin_core::annotation::{Annotation, BasePoint, Shape};
use eosin_workbench::ViewRect;

use super::{Tool, screen_at};
use crate::icon::{haloed, haloed_dot, plate_text};
use crate::marks::{handles, outline};
use crate::scale::{grouped, presets, zoom_text};
use crate::tab::Tab;
use crate::theme;
use crate::tokens::{palette, tokens};

/// Longest side of the minimap in points.
const MINIMAP_PX: f32 = 168.0;
/// Longest scale bar in points.
const BAR_PX: f64 = 150.0;
/// Distance of what lies over the slide from its edge.
const EDGE_PX: f32 = 12.0;

fn color_of(mark: &Annotation) -> Color32 {
    let own = mark.color.or_else(|| mark.class.as_ref().map(|class| class.color));
    own.map_or(tokens().mark.ink, |[r, g, b]| Color32::from_rgb(r, g, b))
}

fn path(tab: &Tab, rect: Rect, points: &[BasePoint]) -> Vec<Pos2> {
    let mut path: Vec<Pos2> = Vec::with_capacity(points.len());
    for point in points {
        let at = screen_at(tab, rect, *point);
        // Points that fall together on the screen are one.
        if path.last().is_none_or(|last| last.distance(at) >= 0.7) {
            path.push(at);
        }
    }
    path
}

/// The annotations.
pub(super) fn marks(painter: &Painter, rect: Rect, tab: &Tab) {
    if !tab.marks_shown {
        return;
    }
    let seen = tab.viewport.view_rect();
    for mark in tab.marks.list().iter().map(|feature| &feature.annotation) {
        let edited = tab.edited.as_ref().filter(|(id, _)| *id == mark.id).map(|(_, shape)| shape);
        let shape = edited.unwrap_or(&mark.shape);
        let selected = tab.selected.as_ref() == Some(&mark.id);
        if !overlaps(shape, &seen) && !selected {
            continue;
        }
        one_mark(painter, rect, tab, mark, shape, selected);
    }
}

fn overlaps(shape: &Shape, seen: &ViewRect) -> bool {
    let (origin, size) = shape.bounds();
    (0..2).all(|k| {
        origin[k] <= seen.origin_base_px[k] + seen.size_base_px[k]
            && origin[k] + size[k] >= seen.origin_base_px[k]
    })
}

fn one_mark(painter: &Painter, rect: Rect, tab: &Tab, mark: &Annotation, shape: &Shape, selected: bool) {
    let (ink, halo) = (color_of(mark), tokens().mark.halo);
    let width = if selected { 2.6 } else { 1.8 };
    if let Shape::Point { at } = shape {
        haloed_dot(painter, screen_at(tab, rect, *at), if selected { 6.0 } else { 4.5 }, ink, halo);
    } else {
        let points = path(tab, rect, &outline(shape));
        if let (Shape::Rectangle { .. }, true) = (shape, points.len() >= 4) {
            painter.add(Drawing::convex_polygon(points.clone(), ink.gamma_multiply(0.10), Stroke::NONE));
        }
        haloed(painter, points, width, ink, halo);
    }
    if selected {
        for handle in handles(shape) {
            let at = screen_at(tab, rect, handle);
            painter.rect(
                Rect::from_center_size(at, Vec2::splat(9.0)),
                2.0,
                halo,
                Stroke::new(1.8, ink),
                StrokeKind::Middle,
            );
        }
    }
    let name = mark.class.as_ref().map_or(mark.title.as_str(), |class| class.name.as_str());
    let (origin, _) = shape.bounds();
    if !name.is_empty() {
        let at = screen_at(tab, rect, origin) + vec2(6.0, -20.0);
        plate_text(painter, at, name, tokens().text.small, ink, halo);
    }
}

/// The shape that is being drawn, and the ruler.
pub(super) fn sketch(painter: &Painter, rect: Rect, tab: &Tab) {
    let mark = &tokens().mark;
    if let Some(sketch) = &tab.sketch {
        let points = path(tab, rect, &sketch.path());
        let ink = if sketch.tool() == Tool::Ruler { mark.measure } else { mark.ink };
        for at in points.iter().take(if sketch.tool() == Tool::Freehand { 1 } else { usize::MAX }) {
            haloed_dot(painter, *at, 3.0, ink, mark.halo);
        }
        haloed(painter, points, 2.0, ink, mark.halo);
        if sketch.tool() == Tool::Ruler {
            let ends = sketch.path();
            ruler(painter, rect, tab, [ends[0], ends[ends.len() - 1]]);
        }
    } else if let Some(ends) = tab.ruler {
        ruler(painter, rect, tab, ends);
    }
}

fn ruler(painter: &Painter, rect: Rect, tab: &Tab, ends: [BasePoint; 2]) {
    let mark = &tokens().mark;
    let [from, to] = ends.map(|end| screen_at(tab, rect, end));
    haloed(painter, vec![from, to], 2.0, mark.measure, mark.halo);
    let across = (to - from).normalized().rot90() * 6.0;
    for end in [from, to] {
        haloed(painter, vec![end - across, end + across], 2.0, mark.measure, mark.halo);
    }
    let length = (ends[1][0] - ends[0][0]).hypot(ends[1][1] - ends[0][1]);
    let text = tab.measure().length_text(length);
    plate_text(painter, from.lerp(to, 0.5) + vec2(10.0, -24.0), &text, 14.0, mark.measure, mark.halo);
}

/// What a search or an answer points at.
pub(super) fn found(painter: &Painter, rect: Rect, tab: &Tab) {
    let Some(ViewRect { origin_base_px, size_base_px }) = tab.found else { return };
    let shape = Shape::Rectangle { origin: origin_base_px, size: size_base_px };
    let mark = &tokens().mark;
    haloed(painter, path(tab, rect, &outline(&shape)), 2.0, mark.found, mark.halo);
}

/// Minimap, scale bar, magnifications, and what the tool waits for.
pub(super) fn plates(ui: &mut Ui, rect: Rect, tab: &mut Tab, hint: &str) {
    let inner = rect.shrink(EDGE_PX);
    minimap(ui, inner, tab);
    scale_bar(ui, inner, tab);
    zoom_plate(ui, inner, tab);
    if !hint.is_empty() {
        note(ui, pos2(inner.center().x, inner.top()), hint);
    }
    if tab.drawn.n_broken > 0 {
        let text = format!("{} tiles cannot be read", tab.drawn.n_broken);
        note(ui, pos2(inner.center().x, inner.top() + 34.0), &text);
    }
}

fn note(ui: &Ui, top: Pos2, text: &str) {
    let palette = palette(ui);
    let galley =
        ui.painter().layout_no_wrap(text.to_owned(), FontId::proportional(tokens().text.small), palette.ink);
    let rect = Rect::from_center_size(top + vec2(0.0, galley.size().y / 2.0 + 6.0), galley.size());
    ui.painter().add(theme::plate(ui).paint(rect));
    ui.painter().galley(rect.min, galley, palette.ink);
}

/// A plate in a corner, as large as what is in it was in the frame before.
fn corner(ui: &mut Ui, name: &str, inner: Rect, align: Align2, add: impl FnOnce(&mut Ui)) {
    let id = ui.scope_id().with(name);
    let size = ui.data(|data| data.get_temp::<Vec2>(id)).unwrap_or(vec2(120.0, 40.0));
    let rect = align.align_size_within_rect(size, inner);
    let mut child = ui.new_child(UiBuilder::new().max_rect(rect).id_salt(name));
    let response = theme::plate(&child).show(&mut child, add).response;
    if response.rect.size() != size {
        ui.data_mut(|data| data.insert_temp(id, response.rect.size()));
        ui.ctx().request_repaint();
    }
}

fn scale_bar(ui: &mut Ui, inner: Rect, tab: &Tab) {
    let bar = tab.measure().scale_bar(1.0 / tab.viewport.pose().scale, BAR_PX);
    let ink = palette(ui).ink;
    corner(ui, "scale-bar", inner, Align2::LEFT_BOTTOM, |ui| {
        ui.spacing_mut().item_spacing.y = 3.0;
        ui.label(RichText::new(&bar.text).small().color(ink));
        let (rect, _) = ui.allocate_exact_size(vec2(bar.length_px as f32, 6.0), Sense::hover());
        let stroke = Stroke::new(2.0, ink);
        let corners = [rect.left_top(), rect.left_bottom(), rect.right_bottom(), rect.right_top()];
        ui.painter().add(Drawing::line(corners.to_vec(), stroke));
    });
}

fn zoom_plate(ui: &mut Ui, inner: Rect, tab: &mut Tab) {
    let measure = tab.measure();
    let points_per_px = f64::from(ui.pixels_per_point());
    let now = tab.viewport.goal().scale * points_per_px;
    let base_px = tab.base_px();
    corner(ui, "zoom-plate", inner, Align2::RIGHT_BOTTOM, |ui| {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 2.0;
            ui.spacing_mut().button_padding = vec2(7.0, 3.0);
            let fit = ui.add(egui::Button::new(RichText::new("Fit").small()).frame_when_inactive(false));
            if fit.on_hover_text("The whole slide  (0)").clicked() {
                tab.viewport.fit();
            }
            for (name, screen_px) in presets(&measure, base_px) {
                let chosen = (now / screen_px).ln().abs() < 0.02;
                let size = base_px.map(|side| grouped((f64::from(side) * screen_px) as u64));
                let text = RichText::new(&name).small();
                let button = egui::Button::selectable(chosen, text);
                let level = format!("{name}: the slide at {} × {} px", size[0], size[1]);
                if ui.add(button).on_hover_text(level).clicked() {
                    tab.viewport.zoom_to(screen_px / points_per_px);
                }
            }
            ui.separator();
            let zoom = zoom_text(&measure, tab.viewport.pose().scale * points_per_px);
            ui.add_sized(
                vec2(44.0, 18.0),
                egui::Label::new(RichText::new(zoom).strong().color(palette(ui).ink)).selectable(false),
            );
        });
    });
}

fn minimap(ui: &mut Ui, inner: Rect, tab: &mut Tab) {
    if !tab.minimap_shown || inner.width() < 480.0 || inner.height() < 320.0 {
        return;
    }
    let [w, h] = tab.viewport.base_px();
    let per_base = f64::from(MINIMAP_PX) / w.max(h);
    let size = vec2((w * per_base) as f32, (h * per_base) as f32).max(Vec2::splat(24.0));
    let outer = Align2::RIGHT_TOP.align_size_within_rect(size + Vec2::splat(8.0), inner);
    let rect = outer.shrink(4.0);
    let palette = palette(ui);
    let radius = f32::from(tokens().radius.small);
    let response = ui.interact(outer, ui.scope_id().with("minimap"), Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, "Minimap"));
    let painter = ui.painter_at(outer);
    painter.rect(outer, radius, palette.panel, Stroke::new(1.0, palette.line), StrokeKind::Inside);
    if let Some(texture) = tab.layer.overview() {
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        painter.image(texture.id(), rect, whole, Color32::WHITE);
    }
    let on_map = |place: BasePoint| {
        pos2(rect.left() + (place[0] * per_base) as f32, rect.top() + (place[1] * per_base) as f32)
    };
    let mut corners: Vec<Pos2> = tab.viewport.corners().into_iter().map(on_map).collect();
    corners.push(corners[0]);
    let inside = painter.with_clip_rect(outer.shrink(1.0));
    let mark = &tokens().mark;
    let seen = Rect::from_points(&corners);
    if seen.contains_rect(rect.shrink(2.0)) {
        // All of it is seen: a rectangle would say nothing.
    } else if seen.width().max(seen.height()) < 9.0 {
        // Too small to be seen as a rectangle.
        haloed_dot(&inside, seen.center(), 4.0, palette.accent, mark.halo);
    } else {
        haloed(&inside, corners, 1.8, palette.accent, mark.halo);
    }
    if (response.clicked() || response.dragged())
        && let Some(at) = response.interact_pointer_pos()
    {
        let place = [f64::from(at.x - rect.left()) / per_base, f64::from(at.y - rect.top()) / per_base];
        tab.viewport.center_on(place);
        ui.ctx().request_repaint();
    }
}
