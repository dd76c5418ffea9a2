//! What is drawn on a slide, with undo: the window's side of the annotations.

use eosin_core::annotation::{Annotation, AnnotationClass, AnnotationId, BasePoint, Shape};

/// Steps that can be taken back.
const MAX_UNDO: usize = 200;

/// The annotations of one slide.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    list: Vec<Annotation>,
    undo: Vec<Vec<Annotation>>,
    redo: Vec<Vec<Annotation>>,
    next: u64,
}

impl Marks {
    /// All of them, the last drawn last.
    pub fn list(&self) -> &[Annotation] {
        &self.list
    }

    /// One by its name.
    pub fn get(&self, id: &AnnotationId) -> Option<&Annotation> {
        self.list.iter().find(|known| known.id == *id)
    }

    /// Adds a shape and names it.
    pub fn add(&mut self, shape: Shape, class: Option<AnnotationClass>) -> Option<AnnotationId> {
        if !shape.is_sound() {
            return None;
        }
        self.keep();
        self.next += 1;
        let id = AnnotationId(format!("mark-{}", self.next));
        let (title, note) = (String::new(), String::new());
        self.list.push(Annotation { id: id.clone(), shape, class, title, note, color: None });
        Some(id)
    }

    /// Puts a changed annotation in the place of the one with its name.
    pub fn put(&mut self, changed: Annotation) {
        let Some(idx) = self.list.iter().position(|known| known.id == changed.id) else { return };
        if self.list[idx] != changed && changed.shape.is_sound() {
            self.keep();
            self.list[idx] = changed;
        }
    }

    /// Removes one.
    pub fn remove(&mut self, id: &AnnotationId) {
        if self.get(id).is_some() {
            self.keep();
            self.list.retain(|known| known.id != *id);
        }
    }

    /// Whether there is something to take back.
    pub fn can_undo(&self) -> bool {
        !self.undo.is_empty()
    }

    /// Whether there is something to do again.
    pub fn can_redo(&self) -> bool {
        !self.redo.is_empty()
    }

    /// Takes the last step back.
    pub fn undo(&mut self) {
        if let Some(before) = self.undo.pop() {
            self.redo.push(std::mem::replace(&mut self.list, before));
        }
    }

    /// Does the step again that was taken back last.
    pub fn redo(&mut self) {
        if let Some(after) = self.redo.pop() {
            self.undo.push(std::mem::replace(&mut self.list, after));
        }
    }

    fn keep(&mut self) {
        if self.undo.len() == MAX_UNDO {
            self.undo.remove(0);
        }
        self.undo.push(self.list.clone());
        self.redo.clear();
    }
}

/// The points of a shape that can be taken hold of.
pub fn handles(shape: &Shape) -> Vec<BasePoint> {
    match shape {
        Shape::Point { at } => vec![*at],
        Shape::Rectangle { origin, size } => {
            let [x, y] = *origin;
            let [w, h] = *size;
            vec![[x, y], [x + w, y], [x + w, y + h], [x, y + h]]
        }
        Shape::Line { points } | Shape::Polygon { points } => points.clone(),
        // Too many to take hold of.
        Shape::Freehand { .. } => Vec::new(),
    }
}

/// The shape with handle `idx` moved to a place.
pub fn with_handle(shape: &Shape, idx: usize, to: BasePoint) -> Shape {
    let mut shape = shape.clone();
    match &mut shape {
        Shape::Point { at } => *at = to,
        Shape::Rectangle { origin, size } => {
            // The corner across stays.
            let across = handles(&Shape::Rectangle { origin: *origin, size: *size })[(idx + 2) % 4];
            *origin = [0, 1].map(|k| to[k].min(across[k]));
            *size = [0, 1].map(|k| (to[k] - across[k]).abs());
        }
        Shape::Line { points } | Shape::Polygon { points } => {
            if let Some(point) = points.get_mut(idx) {
                *point = to;
            }
        }
        Shape::Freehand { .. } => {}
    }
    shape
}

/// The outline as a path; closed shapes end where they begin.
pub fn outline(shape: &Shape) -> Vec<BasePoint> {
    match shape {
        Shape::Point { at } => vec![*at],
        Shape::Line { points } => points.clone(),
        Shape::Rectangle { .. } => closed(handles(shape)),
        Shape::Polygon { points } | Shape::Freehand { points } => closed(points.clone()),
    }
}

fn closed(mut points: Vec<BasePoint>) -> Vec<BasePoint> {
    points.extend(points.first().copied());
    points
}

/// Whether a place is on a shape, or within one that is closed; `near` is in base pixels.
pub fn hit(shape: &Shape, place: BasePoint, near: f64) -> bool {
    let (origin, size) = shape.bounds();
    if (0..2).any(|k| place[k] < origin[k] - near || place[k] > origin[k] + size[k] + near) {
        return false;
    }
    let path = outline(shape);
    if let [only] = path.as_slice() {
        return (only[0] - place[0]).hypot(only[1] - place[1]) <= near;
    }
    let on_edge = path.windows(2).any(|edge| distance(place, edge[0], edge[1]) <= near);
    on_edge || (!matches!(shape, Shape::Line { .. }) && within(&path, place))
}

/// Distance of a place from a line segment.
fn distance(place: BasePoint, from: BasePoint, to: BasePoint) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let length2 = along[0] * along[0] + along[1] * along[1];
    let dot = (place[0] - from[0]) * along[0] + (place[1] - from[1]) * along[1];
    let share = if length2 > 0.0 { (dot / length2).clamp(0.0, 1.0) } else { 0.0 };
    (place[0] - from[0] - along[0] * share).hypot(place[1] - from[1] - along[1] * share)
}

/// Whether a closed path goes round a place.
fn within(path: &[BasePoint], place: BasePoint) -> bool {
    let crossings = path.windows(2).filter(|edge| {
        let [a, b] = [edge[0], edge[1]];
        (a[1] > place[1]) != (b[1] > place[1])
            && place[0] < (b[0] - a[0]) * (place[1] - a[1]) / (b[1] - a[1]) + a[0]
    });
    crossings.count() % 2 == 1
}

/// Length of a line, or of the edge of a closed shape; in base pixels.
pub fn length(shape: &Shape) -> f64 {
    outline(shape).windows(2).map(|edge| (edge[1][0] - edge[0][0]).hypot(edge[1][1] - edge[0][1])).sum()
}

/// Area of a closed shape, in square base pixels.
pub fn area(shape: &Shape) -> Option<f64> {
    if matches!(shape, Shape::Point { .. } | Shape::Line { .. }) {
        return None;
    }
    let twice: f64 =
        outline(shape).windows(2).map(|edge| edge[0][0] * edge[1][1] - edge[1][0] * edge[0][1]).sum();
    Some(twice.abs() / 2.0)
}

/// What people call a shape.
pub fn kind_text(shape: &Shape) -> &'static str {
    match shape {
        Shape::Point { .. } => "Point",
        Shape::Line { .. } => "Line",
        Shape::Rectangle { .. } => "Rectangle",
        Shape::Polygon { .. } => "Polygon",
        Shape::Freehand { .. } => "Freehand",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Shape {
        Shape::Rectangle { origin: [10.0, 20.0], size: [100.0, 50.0] }
    }

    #[test]
    fn steps_are_taken_back_and_done_again() {
        let mut marks = Marks::default();
        let id = marks.add(square(), None).unwrap();
        let mut changed = marks.get(&id).unwrap().clone();
        changed.note = "mitosis?".to_owned();
        marks.put(changed.clone());
        marks.put(changed);
        marks.remove(&id);
        assert!(marks.list().is_empty());
        marks.undo();
        assert_eq!(marks.list()[0].note, "mitosis?");
        marks.undo();
        assert_eq!(marks.list()[0].note, "", "putting the same again was no step");
        marks.undo();
        assert!(marks.list().is_empty() && !marks.can_undo());
        marks.redo();
        marks.redo();
        assert_eq!(marks.list()[0].note, "mitosis?");
        assert!(marks.add(Shape::Line { points: vec![] }, None).is_none(), "what cannot be drawn is refused");
    }

    #[test]
    fn shapes_are_hit_where_they_are() {
        let check = |shape: &Shape, place: BasePoint, expected: bool| {
            assert_eq!(hit(shape, place, 3.0), expected, "{shape:?} {place:?}");
        };
        check(&square(), [50.0, 40.0], true);
        check(&square(), [8.0, 40.0], true);
        check(&square(), [5.0, 40.0], false);
        let line = Shape::Line { points: vec![[0.0, 0.0], [100.0, 100.0]] };
        check(&line, [50.0, 52.0], true);
        check(&line, [50.0, 60.0], false);
        let l_shape = Shape::Polygon {
            points: vec![[0.0, 0.0], [100.0, 0.0], [100.0, 20.0], [20.0, 20.0], [20.0, 100.0], [0.0, 100.0]],
        };
        check(&l_shape, [10.0, 90.0], true);
        check(&l_shape, [60.0, 60.0], false);
        assert_eq!(area(&l_shape), Some(100.0 * 20.0 + 20.0 * 80.0));
        assert_eq!(area(&line), None);
        assert!((length(&line) - 100.0 * 2_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn a_corner_is_moved_and_the_one_across_stays() {
        let moved = with_handle(&square(), 0, [200.0, 10.0]);
        assert_eq!(moved, Shape::Rectangle { origin: [110.0, 10.0], size: [90.0, 60.0] });
    }
}
