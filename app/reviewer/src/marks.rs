//! What is drawn on a slide: the workbench's book of annotations, and the geometry of taking hold of shapes.
//!
//! A slide whose book cannot be opened is shown without one: what is there must not be written over.

use std::path::Path;

use eosin_core::annotation::{Annotation, AnnotationClass, AnnotationId, BasePoint, Shape};
use eosin_core::{Hint as _, SlideId, error_chain};
use eosin_workbench::annotation::Opening;
use eosin_workbench::{
    AnnotationBook, AnnotationError, Edit, ErrorReport, Feature, SaveState, new_annotation_id,
};

/// The annotations of one slide.
#[derive(Debug, Default)]
pub struct Marks {
    book: Option<AnnotationBook>,
    /// What went wrong and was not told yet.
    report: Option<ErrorReport>,
}

impl Marks {
    /// Opens the annotations of a slide.
    pub fn open(folder: &Path, slide: &SlideId) -> Self {
        match AnnotationBook::open(folder, slide) {
            Ok((book, opening)) => {
                let report = match opening {
                    Opening::Fresh | Opening::Whole => None,
                    Opening::Repaired { n_kept, reason, .. } => Some(ErrorReport {
                        code: "annotations_repaired".to_owned(),
                        message: format!("the annotations were damaged: {reason}"),
                        hint: Some(format!("{n_kept} could be read; the damaged file was kept beside them")),
                    }),
                };
                Self { book: Some(book), report }
            }
            Err(error) => Self { book: None, report: Some(report_of(&error)) },
        }
    }

    /// Whether anything can be drawn.
    pub fn writable(&self) -> bool {
        self.book.is_some()
    }

    /// All of them, the last drawn last.
    pub fn list(&self) -> &[Feature] {
        self.book.as_ref().map_or(&[], AnnotationBook::features)
    }

    /// One by its name.
    pub fn get(&self, id: &AnnotationId) -> Option<&Annotation> {
        Some(&self.book.as_ref()?.get(id)?.annotation)
    }

    /// Adds a shape and names it.
    pub fn add(&mut self, shape: Shape, class: Option<AnnotationClass>) -> Option<AnnotationId> {
        let id = new_annotation_id();
        let (title, note) = (String::new(), String::new());
        let mark = Annotation { id: id.clone(), shape, class, title, note, color: None };
        self.apply(Edit::Add(mark)).then_some(id)
    }

    /// Puts a changed annotation in the place of the one with its name.
    pub fn put(&mut self, changed: Annotation) {
        if self.get(&changed.id).is_some_and(|known| *known != changed) {
            self.apply(Edit::Change(changed));
        }
    }

    /// Removes one.
    pub fn remove(&mut self, id: &AnnotationId) {
        self.apply(Edit::Remove(id.clone()));
    }

    /// Whether there is something to take back.
    pub fn can_undo(&self) -> bool {
        self.book.as_ref().is_some_and(|book| book.n_undo() > 0)
    }

    /// Whether there is something to do again.
    pub fn can_redo(&self) -> bool {
        self.book.as_ref().is_some_and(|book| book.n_redo() > 0)
    }

    /// Takes the last step back.
    pub fn undo(&mut self) {
        if let Some(book) = &mut self.book {
            book.undo();
        }
        self.look_at_state();
    }

    /// Does the step again that was taken back last.
    pub fn redo(&mut self) {
        if let Some(book) = &mut self.book {
            book.redo();
        }
        self.look_at_state();
    }

    /// Takes over the annotations of a GeoJSON file; says what it did.
    pub fn import(&mut self, file: &Path) -> Option<String> {
        match self.book.as_mut()?.import(file) {
            Ok(done) => Some(format!(
                "{} new, {} changed, {} the same, {} not understood",
                done.n_added, done.n_replaced, done.n_unchanged, done.n_refused
            )),
            Err(error) => {
                self.report = Some(report_of(&error));
                None
            }
        }
    }

    /// Writes them to a GeoJSON file; says whether it did.
    pub fn export(&mut self, file: &Path) -> bool {
        let Some(book) = &self.book else { return false };
        match book.export(file) {
            Ok(()) => true,
            Err(error) => {
                self.report = Some(report_of(&error));
                false
            }
        }
    }

    /// What went wrong since one asked last.
    pub fn take_report(&mut self) -> Option<ErrorReport> {
        self.report.take()
    }

    fn apply(&mut self, edit: Edit) -> bool {
        let Some(book) = &mut self.book else { return false };
        let done = match book.apply(edit) {
            Ok(_) => true,
            Err(error) => {
                self.report = Some(report_of(&error));
                false
            }
        };
        self.look_at_state();
        done
    }

    /// An edit that is not on the disk is told: the person may make room, and the next edit saves both.
    fn look_at_state(&mut self) {
        if let Some(SaveState::Unsaved(error)) = self.book.as_ref().map(AnnotationBook::state) {
            self.report = Some(report_of(error));
        }
    }
}

fn report_of(error: &AnnotationError) -> ErrorReport {
    ErrorReport {
        code: "annotation".to_owned(),
        message: error_chain(error),
        hint: error.hint().map(str::to_owned),
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
        let folder = tempfile::tempdir().unwrap();
        let mut marks = Marks::open(folder.path(), &SlideId("s".into()));
        let id = marks.add(square(), None).unwrap();
        let mut changed = marks.get(&id).unwrap().clone();
        changed.note = "mitosis?".to_owned();
        marks.put(changed.clone());
        marks.put(changed);
        marks.remove(&id);
        assert!(marks.list().is_empty());
        marks.undo();
        assert_eq!(marks.list()[0].annotation.note, "mitosis?");
        marks.undo();
        assert_eq!(marks.list()[0].annotation.note, "", "putting the same again was no step");
        marks.undo();
        assert!(marks.list().is_empty() && !marks.can_undo());
        marks.redo();
        marks.redo();
        assert_eq!(marks.list()[0].annotation.note, "mitosis?");
        assert!(marks.take_report().is_none());
        assert!(marks.add(Shape::Line { points: vec![] }, None).is_none(), "what cannot be drawn is refused");
        assert!(marks.take_report().is_some());
        let again = Marks::open(folder.path(), &SlideId("s".into()));
        assert_eq!(again.list(), marks.list(), "every step is on the disk");
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
    }

    #[test]
    fn a_corner_is_moved_and_the_one_across_stays() {
        let moved = with_handle(&square(), 0, [200.0, 10.0]);
        assert_eq!(moved, Shape::Rectangle { origin: [110.0, 10.0], size: [90.0, 60.0] });
    }
}
