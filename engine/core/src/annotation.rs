//! What a person draws on a slide: shapes in base pixels, with a class, a colour and a note.
//!
//! Plain data, known to the window that edits them, to the library that indexes them and to the command line
//! that carries them in and out. Held true by the test below.

use serde::{Deserialize, Serialize};

/// Name of an annotation: a UUID where it came from us or from QuPath, else what its file called it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct AnnotationId(pub String);

/// A place on a slide in base pixels; x right, y down.
pub type BasePoint = [f64; 2];

/// The outline of an annotation, in base pixels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Shape {
    /// A place.
    Point {
        /// Where.
        at: BasePoint,
    },
    /// A path of at least two points, open: a ruler, where it is straight.
    Line {
        /// The path.
        points: Vec<BasePoint>,
    },
    /// A box along the axes.
    Rectangle {
        /// Its top-left corner.
        origin: BasePoint,
        /// Its width and height, neither negative.
        size: BasePoint,
    },
    /// A closed outline of at least three corners; the first is not repeated.
    Polygon {
        /// The corners.
        points: Vec<BasePoint>,
    },
    /// A closed outline drawn by hand: as a polygon, but of many points.
    Freehand {
        /// The points.
        points: Vec<BasePoint>,
    },
}

impl Shape {
    /// Top-left corner and size of the box around it.
    ///
    /// ```
    /// # use eosin_core::annotation::Shape;
    /// let line = Shape::Line { points: vec![[10.0, 40.0], [30.0, 20.0]] };
    /// assert_eq!(line.bounds(), ([10.0, 20.0], [20.0, 20.0]));
    /// ```
    pub fn bounds(&self) -> (BasePoint, BasePoint) {
        match self {
            Self::Point { at } => (*at, [0.0, 0.0]),
            Self::Rectangle { origin, size } => (*origin, *size),
            Self::Line { points } | Self::Polygon { points } | Self::Freehand { points } => {
                let least = |k: usize| points.iter().map(|point| point[k]).fold(f64::INFINITY, f64::min);
                let most = |k: usize| points.iter().map(|point| point[k]).fold(f64::NEG_INFINITY, f64::max);
                let origin = [least(0), least(1)];
                (origin, [most(0) - origin[0], most(1) - origin[1]])
            }
        }
    }

    /// Whether it can be drawn: finite, with enough points, without a negative side.
    pub fn is_sound(&self) -> bool {
        let finite = |points: &[BasePoint]| points.iter().flatten().all(|side| side.is_finite());
        match self {
            Self::Point { at } => finite(&[*at]),
            Self::Line { points } => points.len() >= 2 && finite(points),
            Self::Rectangle { origin, size } => {
                finite(&[*origin, *size]) && size.iter().all(|side| *side >= 0.0)
            }
            Self::Polygon { points } | Self::Freehand { points } => points.len() >= 3 && finite(points),
        }
    }
}

/// What an annotation marks, as QuPath's classification: a name with a colour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnnotationClass {
    /// `Tumor`, `Stroma`…
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
}

/// Something drawn on a slide.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Annotation {
    /// Its name, unique within a slide.
    pub id: AnnotationId,
    /// Its outline.
    pub shape: Shape,
    /// What it marks.
    #[serde(default)]
    pub class: Option<AnnotationClass>,
    /// A short title, QuPath's `name`.
    #[serde(default)]
    pub title: String,
    /// What the person wrote about it.
    #[serde(default)]
    pub note: String,
    /// Its own colour; the class's without one.
    #[serde(default)]
    pub color: Option<[u8; 3]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_drawn_is_unsound() {
        let check = |shape: Shape, expected: bool| assert_eq!(shape.is_sound(), expected, "{shape:?}");
        check(Shape::Point { at: [1.0, 2.0] }, true);
        check(Shape::Point { at: [f64::NAN, 2.0] }, false);
        check(Shape::Line { points: vec![[0.0, 0.0]] }, false);
        check(Shape::Rectangle { origin: [0.0, 0.0], size: [-1.0, 2.0] }, false);
        check(Shape::Polygon { points: vec![[0.0, 0.0], [1.0, 0.0]] }, false);
        check(Shape::Freehand { points: vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]] }, true);
    }
}
