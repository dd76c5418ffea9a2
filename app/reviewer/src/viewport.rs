//! Where on the slide the window looks: centre, scale and rotation, and how they move.
//!
//! Pure arithmetic in two frames: `base` (pixels of level 0) and `view` (points from the top-left corner of the
//! area that shows the slide). Zooming keeps the place under the pointer; buttons and keys move over a few
//! frames, the hand and the wheel at once; a slide that was thrown glides on and stops. Held true by the tests
//! below.

use std::f64::consts::TAU;

use eosin_workbench::ViewRect;

/// Points that a base pixel may take at most.
const MOST_SCALE: f64 = 24.0;
/// How much smaller than the view a slide may get.
const LEAST_FIT: f64 = 0.25;
/// Room around a slide that fills the view.
const FIT: f64 = 0.96;
/// Time in which a movement does two thirds of its way.
const EASE_SECS: f64 = 0.055;
/// Time in which a thrown slide loses two thirds of its speed.
const GLIDE_SECS: f64 = 0.18;
/// Points a second under which a thrown slide stands still.
const STILL_PX_PER_SEC: f64 = 12.0;

/// Place, scale and rotation.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pose {
    /// The place in the middle of the view.
    pub center_base_px: [f64; 2],
    /// Points per base pixel.
    pub scale: f64,
    /// Clockwise turn of the slide.
    pub rotation_rad: f64,
}

/// What a viewport is doing.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Motion {
    Still,
    /// To a pose.
    To(Pose),
    /// Zooms while a place stays under a point of the view.
    About {
        base_px: [f64; 2],
        view_px: [f64; 2],
        scale: f64,
    },
    /// Goes on after a throw, in points a second.
    Glide([f64; 2]),
}

/// A window onto a slide.
#[derive(Clone, Debug)]
pub struct Viewport {
    pose: Pose,
    motion: Motion,
    base_px: [f64; 2],
    view_px: [f64; 2],
    /// Fits the slide into the view once the view's size is known.
    unseen: bool,
    /// A place to show then.
    awaited: Option<ViewRect>,
}

impl Viewport {
    /// A view of the whole of a slide.
    pub fn new(base_px: [u32; 2]) -> Self {
        let base_px = base_px.map(f64::from);
        let center_base_px = base_px.map(|side| side / 2.0);
        Self {
            pose: Pose { center_base_px, scale: 1.0, rotation_rad: 0.0 },
            motion: Motion::Still,
            base_px,
            view_px: [1.0, 1.0],
            unseen: true,
            awaited: None,
        }
    }

    /// Tells the size of the view in points.
    pub fn set_view(&mut self, view_px: [f64; 2]) {
        if view_px[0] < 1.0 || view_px[1] < 1.0 {
            return;
        }
        self.view_px = view_px;
        if self.unseen {
            self.unseen = false;
            self.pose = self.fitted(self.pose.rotation_rad);
            if let Some(rect) = self.awaited.take() {
                self.show(rect);
                self.settle();
            }
        }
        self.pose = self.bounded(self.pose);
    }

    /// Where it looks now.
    pub fn pose(&self) -> Pose {
        self.pose
    }

    /// Where it looks when it has come to rest.
    pub fn goal(&self) -> Pose {
        match self.motion {
            Motion::Still | Motion::Glide(_) => self.pose,
            Motion::To(pose) => pose,
            Motion::About { base_px, view_px, scale } => self.about(base_px, view_px, scale),
        }
    }

    /// Whether it will look elsewhere in the next frame.
    pub fn moves(&self) -> bool {
        self.motion != Motion::Still
    }

    /// Moves on by the time of a frame.
    pub fn advance(&mut self, secs: f64) {
        let share = 1.0 - (-secs.max(0.0) / EASE_SECS).exp();
        match self.motion {
            Motion::Still => {}
            Motion::To(goal) => {
                let now = self.pose;
                let turn = shortest_turn(goal.rotation_rad - now.rotation_rad);
                let ratio = goal.scale / now.scale;
                let away = [0, 1].map(|k| goal.center_base_px[k] - now.center_base_px[k]);
                let near = away.iter().all(|side| side.abs() * now.scale < 0.3)
                    && ratio.ln().abs() < 1e-3
                    && turn.abs() < 1e-3;
                if near {
                    self.pose = goal;
                    self.motion = Motion::Still;
                    return;
                }
                self.pose = Pose {
                    center_base_px: [0, 1].map(|k| now.center_base_px[k] + away[k] * share),
                    scale: now.scale * ratio.powf(share),
                    rotation_rad: now.rotation_rad + turn * share,
                };
            }
            Motion::About { base_px, view_px, scale } => {
                let ratio = scale / self.pose.scale;
                let arrived = ratio.ln().abs() < 1e-3;
                let next = if arrived { scale } else { self.pose.scale * ratio.powf(share) };
                self.pose = self.about(base_px, view_px, next);
                if arrived {
                    self.motion = Motion::Still;
                }
            }
            Motion::Glide(speed) => {
                let gone = GLIDE_SECS * (1.0 - (-secs / GLIDE_SECS).exp());
                self.shift(speed.map(|side| side * gone));
                let speed = speed.map(|side| side * (-secs / GLIDE_SECS).exp());
                self.motion = if speed[0].hypot(speed[1]) < STILL_PX_PER_SEC {
                    Motion::Still
                } else {
                    Motion::Glide(speed)
                };
            }
        }
    }

    /// Moves the slide with the hand, by points.
    pub fn drag(&mut self, by_view_px: [f64; 2]) {
        self.motion = Motion::Still;
        self.shift(by_view_px);
    }

    /// Lets the slide go at a speed in points a second.
    pub fn throw(&mut self, view_px_per_sec: [f64; 2]) {
        if view_px_per_sec[0].hypot(view_px_per_sec[1]) > 8.0 * STILL_PX_PER_SEC {
            self.motion = Motion::Glide(view_px_per_sec);
        }
    }

    /// Moves the view by a share of its size, over a few frames.
    pub fn step(&mut self, shares: [f64; 2]) {
        let goal = self.goal();
        let away = rotate([0, 1].map(|k| shares[k] * self.view_px[k] / goal.scale), -goal.rotation_rad);
        let center_base_px = [0, 1].map(|k| goal.center_base_px[k] + away[k]);
        self.motion = Motion::To(self.bounded(Pose { center_base_px, ..goal }));
    }

    /// Zooms at once; the place under `view_px` stays.
    pub fn zoom_at(&mut self, view_px: [f64; 2], factor: f64) {
        let base_px = self.base_from_view(view_px);
        self.motion = Motion::Still;
        self.pose = self.about(base_px, view_px, self.pose.scale * factor);
    }

    /// Zooms over a few frames; the place under `view_px` stays.
    pub fn glide_zoom(&mut self, view_px: [f64; 2], factor: f64) {
        let from = match self.motion {
            Motion::About { scale, .. } => scale,
            _ => self.pose.scale,
        };
        let scale = self.bounded_scale(from * factor);
        self.motion = Motion::About { base_px: self.base_from_view(view_px), view_px, scale };
    }

    /// Zooms to a scale in points per base pixel; the middle stays.
    pub fn zoom_to(&mut self, scale: f64) {
        let goal = Pose { scale, ..self.goal() };
        self.motion = Motion::To(self.bounded(goal));
    }

    /// Shows the whole slide.
    pub fn fit(&mut self) {
        self.motion = Motion::To(self.fitted(self.goal().rotation_rad));
    }

    /// Shows a rectangle of the slide with a little room around.
    pub fn show(&mut self, rect: ViewRect) {
        if self.unseen {
            self.awaited = Some(rect);
            return;
        }
        let rotation_rad = self.goal().rotation_rad;
        let size = bounding(rect.size_base_px, rotation_rad);
        let scale = (0..2).map(|k| self.view_px[k] / size[k].max(1.0)).fold(f64::INFINITY, f64::min);
        let center_base_px = [0, 1].map(|k| rect.origin_base_px[k] + rect.size_base_px[k] / 2.0);
        let pose = Pose { center_base_px, scale: scale * FIT, rotation_rad };
        self.motion = Motion::To(self.bounded(pose));
    }

    /// Brings a place into the middle.
    pub fn center_on(&mut self, base_px: [f64; 2]) {
        self.motion = Motion::Still;
        self.pose = self.bounded(Pose { center_base_px: base_px, ..self.pose });
    }

    /// Turns the slide clockwise by an angle, over a few frames.
    pub fn turn(&mut self, by_rad: f64) {
        let goal = self.goal();
        let rotation_rad = (goal.rotation_rad + by_rad).rem_euclid(TAU);
        self.motion = Motion::To(Pose { rotation_rad, ..goal });
    }

    /// Turns the slide to an angle at once.
    pub fn set_rotation(&mut self, rad: f64) {
        self.pose.rotation_rad = rad.rem_euclid(TAU);
        self.motion = Motion::Still;
    }

    /// Comes to rest now: for what must not wait for a movement.
    pub fn settle(&mut self) {
        self.pose = self.goal();
        self.motion = Motion::Still;
    }

    /// Where a place of the slide is in the view.
    pub fn view_from_base(&self, base_px: [f64; 2]) -> [f64; 2] {
        let pose = self.pose;
        let away = [0, 1].map(|k| (base_px[k] - pose.center_base_px[k]) * pose.scale);
        let turned = rotate(away, pose.rotation_rad);
        [0, 1].map(|k| turned[k] + self.view_px[k] / 2.0)
    }

    /// Which place of the slide is at a point of the view.
    pub fn base_from_view(&self, view_px: [f64; 2]) -> [f64; 2] {
        base_from_view(&self.pose, self.view_px, view_px)
    }

    /// The box around what the view shows, in base pixels; it may leave the slide.
    pub fn view_rect(&self) -> ViewRect {
        let size = bounding(self.view_px.map(|side| side / self.pose.scale), self.pose.rotation_rad);
        ViewRect {
            origin_base_px: [0, 1].map(|k| self.pose.center_base_px[k] - size[k] / 2.0),
            size_base_px: size,
        }
    }

    /// The corners of the view on the slide, clockwise from the top left.
    pub fn corners(&self) -> [[f64; 2]; 4] {
        let [w, h] = self.view_px;
        [[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]].map(|corner| self.base_from_view(corner))
    }

    /// Size of the slide.
    pub fn base_px(&self) -> [f64; 2] {
        self.base_px
    }

    /// Size of the view in points.
    pub fn view_px(&self) -> [f64; 2] {
        self.view_px
    }

    /// The scale at which the whole slide is seen.
    pub fn fit_scale(&self) -> f64 {
        self.fitted(self.pose.rotation_rad).scale
    }

    fn shift(&mut self, by_view_px: [f64; 2]) {
        let by = rotate(by_view_px.map(|side| side / self.pose.scale), -self.pose.rotation_rad);
        let center_base_px = [0, 1].map(|k| self.pose.center_base_px[k] - by[k]);
        self.pose = self.bounded(Pose { center_base_px, ..self.pose });
    }

    /// The pose of a scale at which `base_px` is seen at `view_px`.
    fn about(&self, base_px: [f64; 2], view_px: [f64; 2], scale: f64) -> Pose {
        let scale = self.bounded_scale(scale);
        let from_middle = [0, 1].map(|k| (view_px[k] - self.view_px[k] / 2.0) / scale);
        let away = rotate(from_middle, -self.pose.rotation_rad);
        let center_base_px = [0, 1].map(|k| base_px[k] - away[k]);
        self.bounded(Pose { center_base_px, scale, rotation_rad: self.pose.rotation_rad })
    }

    fn fitted(&self, rotation_rad: f64) -> Pose {
        let size = bounding(self.base_px, rotation_rad);
        let scale = (0..2).map(|k| self.view_px[k] / size[k].max(1.0)).fold(f64::INFINITY, f64::min);
        let center_base_px = self.base_px.map(|side| side / 2.0);
        // A small picture is not blown up to fill the view.
        Pose { center_base_px, scale: (scale * FIT).min(4.0), rotation_rad }
    }

    fn bounded_scale(&self, scale: f64) -> f64 {
        let least = (self.fit_scale() * LEAST_FIT).min(MOST_SCALE);
        if scale.is_finite() { scale.clamp(least, MOST_SCALE) } else { least }
    }

    /// The middle of the view stays on the slide.
    fn bounded(&self, pose: Pose) -> Pose {
        let center_base_px = [0, 1].map(|k| {
            let side = pose.center_base_px[k];
            if side.is_finite() { side.clamp(0.0, self.base_px[k]) } else { self.base_px[k] / 2.0 }
        });
        Pose { center_base_px, scale: self.bounded_scale(pose.scale), ..pose }
    }
}

fn base_from_view(pose: &Pose, size_view_px: [f64; 2], view_px: [f64; 2]) -> [f64; 2] {
    let from_middle = [0, 1].map(|k| (view_px[k] - size_view_px[k] / 2.0) / pose.scale);
    let away = rotate(from_middle, -pose.rotation_rad);
    [0, 1].map(|k| pose.center_base_px[k] + away[k])
}

/// Turns a vector clockwise, as seen where y points down.
fn rotate([x, y]: [f64; 2], rad: f64) -> [f64; 2] {
    let (sin, cos) = rad.sin_cos();
    [x * cos - y * sin, x * sin + y * cos]
}

/// Width and height of the box around a turned rectangle.
fn bounding([w, h]: [f64; 2], rad: f64) -> [f64; 2] {
    let (sin, cos) = (rad.sin().abs(), rad.cos().abs());
    [w * cos + h * sin, w * sin + h * cos]
}

/// The same turn the short way round.
fn shortest_turn(rad: f64) -> f64 {
    (rad + TAU / 2.0).rem_euclid(TAU) - TAU / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewport() -> Viewport {
        let mut viewport = Viewport::new([100_000, 80_000]);
        viewport.set_view([1000.0, 600.0]);
        viewport
    }

    fn near(a: [f64; 2], b: [f64; 2], within: f64) -> bool {
        (0..2).all(|k| (a[k] - b[k]).abs() <= within)
    }

    fn settle(viewport: &mut Viewport) -> usize {
        (0..400)
            .find(|_| {
                viewport.advance(1.0 / 60.0);
                !viewport.moves()
            })
            .expect("it comes to rest")
    }

    #[test]
    fn a_new_view_shows_all_of_the_slide() {
        let viewport = viewport();
        let rect = viewport.view_rect();
        assert!(rect.origin_base_px.iter().all(|side| *side <= 0.0), "{rect:?}");
        assert!(rect.size_base_px[0] >= 100_000.0 && rect.size_base_px[1] >= 80_000.0, "{rect:?}");
        let mut small = Viewport::new([40, 30]);
        small.set_view([1000.0, 600.0]);
        assert!(small.pose().scale <= 4.0, "a thumbnail is not blown up");
    }

    #[test]
    fn view_and_base_are_each_others_inverse() {
        let mut viewport = viewport();
        for turn in [0.0, 0.7, 3.0, 5.5] {
            viewport.set_rotation(turn);
            for point in [[0.0, 0.0], [1000.0, 600.0], [123.0, 456.0]] {
                let there = viewport.base_from_view(point);
                assert!(near(viewport.view_from_base(there), point, 1e-6), "{turn} {point:?}");
            }
        }
    }

    #[test]
    fn zooming_keeps_the_place_under_the_pointer() {
        for turn in [0.0, 1.1] {
            let mut viewport = viewport();
            viewport.set_rotation(turn);
            viewport.zoom_to(0.1);
            viewport.settle();
            let pointer = [700.0, 200.0];
            let place = viewport.base_from_view(pointer);
            viewport.zoom_at(pointer, 1.7);
            assert!(near(viewport.base_from_view(pointer), place, 1e-6), "at once");
            viewport.glide_zoom(pointer, 2.0);
            while viewport.moves() {
                viewport.advance(1.0 / 60.0);
                assert!(near(viewport.base_from_view(pointer), place, 1e-6), "in every frame");
            }
            assert!((viewport.pose().scale - 0.1 * 1.7 * 2.0).abs() < 1e-6);
        }
    }

    #[test]
    fn movements_end_where_they_should() {
        let mut viewport = viewport();
        viewport.show(ViewRect { origin_base_px: [5000.0, 7000.0], size_base_px: [500.0, 200.0] });
        assert!(settle(&mut viewport) < 60, "within a second");
        assert!(near(viewport.pose().center_base_px, [5250.0, 7100.0], 1e-6));
        let rect = viewport.view_rect();
        assert!(rect.size_base_px[0] >= 500.0 && rect.size_base_px[0] < 530.0, "{rect:?}");
        viewport.turn(-0.5);
        settle(&mut viewport);
        assert!((viewport.pose().rotation_rad - (TAU - 0.5)).abs() < 1e-9);
        viewport.throw([3000.0, 0.0]);
        let before = viewport.pose().center_base_px;
        settle(&mut viewport);
        assert!(viewport.pose().center_base_px[0] < before[0], "it glided on");
    }

    #[test]
    fn it_never_leaves_the_slide_nor_breaks() {
        let mut viewport = viewport();
        for _ in 0..200 {
            viewport.zoom_at([0.0, 0.0], 3.0);
        }
        assert!((viewport.pose().scale - MOST_SCALE).abs() < 1e-9);
        viewport.drag([1e12, -1e12]);
        assert!(near(viewport.pose().center_base_px, [0.0, 80_000.0], 1e-6));
        viewport.zoom_at([f64::NAN, 0.0], f64::NAN);
        for _ in 0..200 {
            viewport.zoom_at([500.0, 300.0], 0.3);
        }
        assert!(viewport.pose().scale > 0.0 && viewport.pose().center_base_px.iter().all(|s| s.is_finite()));
        viewport.set_view([0.0, 0.0]);
        assert!(near(viewport.view_px(), [1000.0, 600.0], 1e-9), "a hidden view keeps its size");
    }
}
