//! The slide itself: what the pointer does on it, and what is drawn over it.
//!
//! Drag, wheel and double click move and zoom in the hand's mode; other tools draw, and the middle button still
//! moves. Everything over the slide is placed by the same viewport as the tiles, so it turns and zooms with
//! them. Held true by `tests/review.rs`.

mod overlay;
mod sketch;

use eframe::egui::{
    self, CursorIcon, Key, Modifiers, PointerButton, Pos2, Rect, Response, Sense, Ui, WidgetInfo,
    accesskit::Role, pos2,
};
use eosin_core::annotation::{AnnotationClass, AnnotationId, BasePoint, Shape};

pub use sketch::{Sketch, Tool};

use crate::marks::{handles, hit, with_handle};
use crate::tab::Tab;

/// Wheel points that double the scale.
const WHEEL_DOUBLE: f64 = 160.0;
/// A place is meant when the pointer is this near, in points.
pub const NEAR_PX: f64 = 7.0;

/// What the stage knows besides its slide.
#[derive(Debug)]
pub struct StageContext<'a> {
    /// What the pointer does.
    pub tool: &'a mut Tool,
    /// Class of the next shape.
    pub class: &'a Option<AnnotationClass>,
}

/// A handle that is being dragged.
#[derive(Clone, PartialEq, Debug)]
pub struct Grip {
    id: AnnotationId,
    handle: usize,
    shape: Shape,
}

/// Name of the stage for who cannot see it and for tests.
pub const STAGE: &str = "Slide";

/// Shows the slide of a tab in all the room that is left.
pub fn stage_ui(ui: &mut Ui, tab: &mut Tab, context: &mut StageContext<'_>) -> Response {
    let rect = ui.available_rect_before_wrap();
    let response = ui.allocate_rect(rect, Sense::click_and_drag());
    response.widget_info(|| WidgetInfo::labeled(Role::Canvas, true, STAGE));
    tab.viewport.set_view([f64::from(rect.width()), f64::from(rect.height())]);
    let secs = f64::from(ui.input(|input| input.stable_dt)).min(0.1);
    tab.viewport.advance(secs);

    pointer(ui, &response, tab, context);
    if tab.viewport.moves() {
        ui.ctx().request_repaint();
    }

    let painter = ui.painter_at(rect);
    painter.rect_filled(rect, 0.0, crate::tokens::palette(ui).stage);
    tab.drawn = tab.layer.draw(&painter, rect, &tab.viewport);
    overlay::marks(&painter, rect, tab);
    overlay::sketch(&painter, rect, tab);
    overlay::found(&painter, rect, tab);
    overlay::plates(ui, rect, tab, context.tool.hint());
    response
}

/// The place of the slide at a point of the screen.
pub fn base_at(tab: &Tab, rect: Rect, at: Pos2) -> BasePoint {
    tab.viewport.base_from_view([f64::from(at.x - rect.left()), f64::from(at.y - rect.top())])
}

/// The point of the screen where a place of the slide is.
pub fn screen_at(tab: &Tab, rect: Rect, place: BasePoint) -> Pos2 {
    let [x, y] = tab.viewport.view_from_base(place);
    pos2(rect.left() + x as f32, rect.top() + y as f32)
}

fn pointer(ui: &Ui, response: &Response, tab: &mut Tab, context: &mut StageContext<'_>) {
    let rect = response.rect;
    tab.pointer_base_px = response.hover_pos().map(|at| base_at(tab, rect, at));
    zoom(ui, response, tab);
    let tool = *context.tool;
    let moving = response.dragged_by(PointerButton::Middle)
        || (tool == Tool::Hand && tab.grip.is_none() && response.dragged_by(PointerButton::Primary));
    if response.drag_started_by(PointerButton::Primary) && tool == Tool::Hand {
        tab.grip = ui
            .input(|input| input.pointer.press_origin())
            .and_then(|at| grip_at(tab, base_at(tab, rect, at)));
    }
    if moving && tab.grip.is_none() {
        let by = response.drag_delta();
        tab.viewport.drag([f64::from(by.x), f64::from(by.y)]);
        ui.ctx().set_cursor_icon(CursorIcon::Grabbing);
    }
    let threw = response.drag_stopped() && (tool == Tool::Hand && tab.grip.is_none());
    if threw || response.drag_stopped_by(PointerButton::Middle) {
        let speed = ui.input(|input| input.pointer.velocity());
        tab.viewport.throw([f64::from(speed.x), f64::from(speed.y)]);
    }
    match tool {
        Tool::Hand => hand(response, tab),
        tool => draw(ui, response, tab, tool, context.class.as_ref()),
    }
}

fn zoom(ui: &Ui, response: &Response, tab: &mut Tab) {
    let Some(at) = response.hover_pos() else { return };
    let (scroll, pinch, modifiers) =
        ui.input(|input| (input.smooth_scroll_delta(), input.zoom_delta(), input.modifiers));
    let view = [f64::from(at.x - response.rect.left()), f64::from(at.y - response.rect.top())];
    if modifiers.shift && scroll != egui::Vec2::ZERO {
        tab.viewport.drag([f64::from(scroll.x), f64::from(scroll.y)]);
    } else {
        let factor = (f64::from(scroll.y) / WHEEL_DOUBLE).exp2() * f64::from(pinch);
        if (factor - 1.0).abs() > 1e-6 {
            tab.viewport.zoom_at(view, factor);
        }
        if scroll.x != 0.0 {
            tab.viewport.drag([f64::from(scroll.x), 0.0]);
        }
    }
}

/// Selects, edits, and zooms by double click.
fn hand(response: &Response, tab: &mut Tab) {
    let rect = response.rect;
    let place = response.interact_pointer_pos().map(|at| base_at(tab, rect, at));
    if let (Some(grip), Some(place)) = (tab.grip.clone(), place) {
        let shape = with_handle(&grip.shape, grip.handle, place);
        if response.dragged() {
            tab.edited = Some((grip.id.clone(), shape.clone()));
        }
        if response.drag_stopped() {
            if let Some(mut changed) = tab.marks.get(&grip.id).cloned() {
                changed.shape = shape;
                tab.marks.put(changed);
            }
            tab.edited = None;
        }
    }
    if !response.dragged() {
        tab.grip = None;
    }
    if response.double_clicked()
        && let Some(at) = response.interact_pointer_pos()
    {
        let view = [f64::from(at.x - rect.left()), f64::from(at.y - rect.top())];
        tab.viewport.glide_zoom(view, 2.0);
    } else if response.clicked()
        && let Some(place) = place
    {
        let near = tab.base_near();
        let mut marks = tab.marks.list().iter().rev().map(|feature| &feature.annotation);
        let found = marks.find(|mark| hit(&mark.shape, place, near));
        tab.selected = found.map(|mark| mark.id.clone());
        response.request_focus();
    }
}

/// The handle of the selected shape under a place.
fn grip_at(tab: &Tab, place: BasePoint) -> Option<Grip> {
    let mark = tab.marks.get(tab.selected.as_ref()?)?;
    let near = tab.base_near() * 1.3;
    let handle =
        handles(&mark.shape).iter().position(|at| (at[0] - place[0]).hypot(at[1] - place[1]) <= near)?;
    Some(Grip { id: mark.id.clone(), handle, shape: mark.shape.clone() })
}

fn draw(ui: &Ui, response: &Response, tab: &mut Tab, tool: Tool, class: Option<&AnnotationClass>) {
    if response.hovered() {
        ui.ctx().set_cursor_icon(CursorIcon::Crosshair);
    }
    if tab.sketch.as_ref().is_some_and(|sketch| sketch.tool() != tool) {
        tab.sketch = None;
    }
    let rect = response.rect;
    let near = tab.base_near();
    // A movement of a point or more is one; for what is drawn by hand each of them counts.
    let fine = near / NEAR_PX * 1.5;
    let pressed = ui.input(|input| input.pointer.press_origin()).map(|at| base_at(tab, rect, at));
    let here = response.interact_pointer_pos().or(response.hover_pos()).map(|at| base_at(tab, rect, at));
    match tool {
        Tool::Point => {
            if response.clicked()
                && let Some(place) = here
            {
                tab.finish(Sketch::begin(tool, place), class, near);
            }
        }
        Tool::Polygon => {
            if let (Some(sketch), Some(place)) = (&mut tab.sketch, here) {
                sketch.move_to(place, fine);
            }
            if response.clicked()
                && let Some(place) = here
            {
                match tab.sketch.take() {
                    None => tab.sketch = Some(Sketch::begin(tool, place)),
                    Some(sketch) if response.double_clicked() || sketch.closes_at(place, near) => {
                        tab.finish(sketch, class, near);
                    }
                    Some(mut sketch) => {
                        sketch.corner(place, near);
                        tab.sketch = Some(sketch);
                    }
                }
            }
        }
        _ => {
            if response.drag_started_by(PointerButton::Primary)
                && let Some(place) = pressed
            {
                tab.sketch = Some(Sketch::begin(tool, place));
            }
            if let (Some(sketch), Some(place)) = (&mut tab.sketch, here) {
                sketch.move_to(place, fine);
            }
            if response.drag_stopped_by(PointerButton::Primary)
                && let Some(sketch) = tab.sketch.take()
            {
                tab.finish(sketch, class, near);
            }
        }
    }
}

/// Enter closes a polygon, Esc gives up; returns whether the key was for the sketch.
pub fn sketch_keys(ui: &Ui, tab: &mut Tab, class: Option<&AnnotationClass>) {
    let taken = |key: Key| ui.input_mut(|input| input.consume_key(Modifiers::NONE, key));
    if tab.sketch.is_some() {
        if taken(Key::Escape) {
            tab.sketch = None;
        } else if taken(Key::Enter)
            && let Some(sketch) = tab.sketch.take()
        {
            let near = tab.base_near();
            tab.finish(sketch, class, near);
        }
    } else if (tab.ruler.is_some() || tab.selected.is_some() || tab.found.is_some()) && taken(Key::Escape) {
        tab.ruler = None;
        tab.selected = None;
        tab.found = None;
    }
}
