//! A shape while it is being drawn: pointer in, finished shape out.

use eosin_core::annotation::{BasePoint, Shape};

/// What the pointer does on the slide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tool {
    /// Moves the slide, selects and edits shapes.
    #[default]
    Hand,
    /// Marks a place.
    Point,
    /// Draws a line.
    Line,
    /// Draws a box.
    Rectangle,
    /// Draws corner after corner.
    Polygon,
    /// Draws by hand.
    Freehand,
    /// Measures a distance.
    Ruler,
}

impl Tool {
    /// All, in the order of the tool bar.
    pub const ALL: [Self; 7] =
        [Self::Hand, Self::Point, Self::Line, Self::Rectangle, Self::Polygon, Self::Freehand, Self::Ruler];

    /// What to do with it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Hand => "",
            Self::Point => "Click to mark a place",
            Self::Line => "Drag to draw a line",
            Self::Rectangle => "Drag to draw a rectangle",
            Self::Polygon => "Click the corners; Enter or a double click closes, Esc gives up",
            Self::Freehand => "Drag around the region",
            Self::Ruler => "Drag to measure; Esc clears",
        }
    }
}

/// A shape that is not finished.
#[derive(Clone, PartialEq, Debug)]
pub struct Sketch {
    tool: Tool,
    points: Vec<BasePoint>,
    /// Where the pointer is.
    pointer: BasePoint,
}

impl Sketch {
    /// Begins at a place.
    pub fn begin(tool: Tool, at: BasePoint) -> Self {
        Self { tool, points: vec![at], pointer: at }
    }

    /// The tool that draws it.
    pub fn tool(&self) -> Tool {
        self.tool
    }

    /// The pointer moved; `near` is the distance in base pixels that is no movement.
    pub fn move_to(&mut self, place: BasePoint, near: f64) {
        self.pointer = place;
        if self.tool == Tool::Freehand {
            let last = self.points.last().copied().unwrap_or(place);
            if (last[0] - place[0]).hypot(last[1] - place[1]) >= near {
                self.points.push(place);
            }
        }
    }

    /// Sets a corner of a polygon.
    pub fn corner(&mut self, place: BasePoint, near: f64) {
        let again =
            self.points.last().is_some_and(|last| (last[0] - place[0]).hypot(last[1] - place[1]) < near);
        if !again {
            self.points.push(place);
        }
    }

    /// Whether a click here closes the polygon.
    pub fn closes_at(&self, place: BasePoint, near: f64) -> bool {
        let first = self.points[0];
        self.points.len() >= 3 && (first[0] - place[0]).hypot(first[1] - place[1]) <= near
    }

    /// The path to show.
    pub fn path(&self) -> Vec<BasePoint> {
        let first = self.points[0];
        match self.tool {
            Tool::Rectangle => {
                let [a, b] = [first, self.pointer];
                vec![a, [b[0], a[1]], b, [a[0], b[1]], a]
            }
            Tool::Freehand => self.points.clone(),
            _ => self.points.iter().copied().chain([self.pointer]).collect(),
        }
    }

    /// The shape, where there is enough of it; `near` is the size in base pixels that is too small to mean.
    pub fn finish(self, near: f64) -> Option<Shape> {
        let Self { tool, points, pointer } = self;
        let first = points[0];
        let far = (pointer[0] - first[0]).hypot(pointer[1] - first[1]) >= near;
        let shape = match tool {
            Tool::Hand => return None,
            Tool::Point => Shape::Point { at: first },
            Tool::Line | Tool::Ruler if far => Shape::Line { points: vec![first, pointer] },
            Tool::Rectangle if far => Shape::Rectangle {
                origin: [0, 1].map(|k| first[k].min(pointer[k])),
                size: [0, 1].map(|k| (first[k] - pointer[k]).abs()),
            },
            Tool::Polygon => Shape::Polygon { points },
            Tool::Freehand => Shape::Freehand { points },
            Tool::Line | Tool::Ruler | Tool::Rectangle => return None,
        };
        shape.is_sound().then_some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_becomes_a_shape() {
        let drawn = |tool: Tool, path: &[BasePoint]| {
            let mut sketch = Sketch::begin(tool, path[0]);
            for place in &path[1..] {
                sketch.move_to(*place, 2.0);
                if tool == Tool::Polygon {
                    sketch.corner(*place, 2.0);
                }
            }
            sketch.finish(2.0)
        };
        let square = [[10.0, 10.0], [50.0, 10.0], [50.0, 40.0]];
        assert_eq!(
            drawn(Tool::Rectangle, &square),
            Some(Shape::Rectangle { origin: [10.0, 10.0], size: [40.0, 30.0] })
        );
        assert_eq!(drawn(Tool::Line, &square), Some(Shape::Line { points: vec![square[0], square[2]] }));
        assert_eq!(drawn(Tool::Polygon, &square), Some(Shape::Polygon { points: square.to_vec() }));
        assert_eq!(drawn(Tool::Freehand, &square), Some(Shape::Freehand { points: square.to_vec() }));
        assert_eq!(drawn(Tool::Point, &square[..1]), Some(Shape::Point { at: square[0] }));
        // A click where a drag is meant draws nothing.
        for tool in [Tool::Rectangle, Tool::Line, Tool::Polygon, Tool::Freehand, Tool::Hand] {
            assert_eq!(drawn(tool, &square[..1]), None, "{tool:?}");
        }
    }

    #[test]
    fn a_polygon_closes_at_its_first_corner() {
        let mut sketch = Sketch::begin(Tool::Polygon, [0.0, 0.0]);
        assert!(!sketch.closes_at([0.0, 0.0], 5.0));
        sketch.corner([50.0, 0.0], 5.0);
        sketch.corner([51.0, 0.0], 5.0);
        sketch.corner([50.0, 50.0], 5.0);
        assert!(sketch.closes_at([3.0, 0.0], 5.0));
        assert_eq!(sketch.path().len(), 4, "three corners and the pointer");
    }
}
