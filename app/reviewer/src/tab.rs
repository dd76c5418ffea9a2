//! One slide that is open: where one looks, its tiles, what is drawn on it, how it is shown.

use std::path::Path;
use std::sync::Arc;

use eosin_core::Mpp;
use eosin_core::annotation::{AnnotationClass, AnnotationId, BasePoint, Shape};
use eosin_workbench::{Look, Measure, OpenedSlide, SlideKey, StainView, ViewRect, Workbench, WorkbenchError};

use crate::marks::Marks;
use crate::stage::{Grip, NEAR_PX, Sketch, Tool};
use crate::tiles::{Developer, Drawn, FeedSource, TileLayer, TileSource};
use crate::viewport::Viewport;

/// A slide in its tab.
#[derive(Debug)]
pub struct Tab {
    /// The slide, where it came from a file.
    pub opened: Option<Arc<OpenedSlide>>,
    /// Its name, for the person in front of the window.
    pub title: String,
    /// Where one looks.
    pub viewport: Viewport,
    /// Its tiles.
    pub layer: TileLayer,
    /// What the last frame drew.
    pub drawn: Drawn,
    /// What is drawn on it.
    pub marks: Marks,
    /// Whether that is shown.
    pub marks_shown: bool,
    /// Whether the minimap is shown.
    pub minimap_shown: bool,
    /// The shape under the hand.
    pub selected: Option<AnnotationId>,
    /// A shape that is being drawn.
    pub sketch: Option<Sketch>,
    /// A handle that is being dragged.
    pub grip: Option<Grip>,
    /// What the dragged handle makes of its shape.
    pub edited: Option<(AnnotationId, Shape)>,
    /// The ends of the ruler.
    pub ruler: Option<[BasePoint; 2]>,
    /// A place that a search or an answer points at.
    pub found: Option<ViewRect>,
    /// The place under the pointer.
    pub pointer_base_px: Option<BasePoint>,
    /// What the file says of its scale.
    stated: Measure,
    /// The look that is remembered for this slide.
    look_kept: Look,
}

impl Tab {
    /// The tab of an opened slide.
    ///
    /// Its annotations are kept in the folder `annotations`; without one nothing can be drawn.
    pub fn of_slide(
        workbench: &Arc<Workbench>,
        opened: Arc<OpenedSlide>,
        developer: &Arc<Developer>,
        annotations: Option<&Path>,
    ) -> Self {
        let source = Arc::new(FeedSource::new(Arc::clone(workbench), Arc::clone(&opened)));
        let stated = Measure::of(opened.slide.info());
        let mut tab = Self::of_source(source, developer, opened.title.clone(), stated);
        tab.set_look(workbench.look(&opened.key).unwrap_or_default());
        tab.look_kept = tab.layer.look();
        if let Some(folder) = annotations {
            tab.marks = Marks::open(folder, &opened.slide.info().id);
        }
        tab.opened = Some(opened);
        tab
    }

    /// The tab of any source of tiles.
    pub fn of_source(
        source: Arc<dyn TileSource>,
        developer: &Arc<Developer>,
        title: String,
        stated: Measure,
    ) -> Self {
        let base_px = source.plan().base_px();
        Self {
            opened: None,
            title,
            viewport: Viewport::new(base_px),
            layer: TileLayer::new(source, Arc::clone(developer)),
            drawn: Drawn::default(),
            marks: Marks::default(),
            marks_shown: true,
            minimap_shown: true,
            selected: None,
            sketch: None,
            grip: None,
            edited: None,
            ruler: None,
            found: None,
            pointer_base_px: None,
            stated,
            look_kept: Look::default(),
        }
    }

    /// The scale to go by: what was typed in goes before what the file states.
    pub fn measure(&self) -> Measure {
        self.stated
    }

    /// Whether the scale was typed in.
    pub fn scale_is_typed(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.slide.info().mpp != opened.file_mpp)
    }

    /// States the scale, or takes back what was stated; remembered for this slide.
    ///
    /// # Errors
    /// As [`Workbench::state_mpp`]; the scale then holds until the program ends.
    pub fn state_mpp(&mut self, workbench: &Workbench, mpp: Option<Mpp>) -> Result<(), WorkbenchError> {
        let Some(key) = self.opened.as_ref().map(|opened| opened.key.clone()) else { return Ok(()) };
        let stated = workbench.state_mpp(&key, mpp);
        // Also where it could not be remembered.
        if let Ok(opened) = workbench.slide(&key) {
            self.stated = Measure::of(opened.slide.info());
            self.opened = Some(opened);
        }
        stated.map(|_| ())
    }

    /// The look to remember, where it is another than the one remembered.
    pub fn look_to_keep(&mut self) -> Option<(SlideKey, Look)> {
        let look = self.layer.look();
        let key = self.opened.as_ref()?.key.clone();
        (look != std::mem::replace(&mut self.look_kept, look)).then_some((key, look))
    }

    /// Whether it shows this file.
    pub fn is_of(&self, path: &Path) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.path == *path)
    }

    /// Shows a place with a little around it, and marks it.
    pub fn point_at(&mut self, place: ViewRect) {
        let room = place.size_base_px.map(|side| side * 0.5);
        self.viewport.show(ViewRect {
            origin_base_px: [0, 1].map(|k| place.origin_base_px[k] - room[k]),
            size_base_px: [0, 1].map(|k| place.size_base_px[k] + 2.0 * room[k]),
        });
        self.found = Some(place);
    }

    /// Size of the slide.
    pub fn base_px(&self) -> [u32; 2] {
        self.viewport.base_px().map(|side| side as u32)
    }

    /// The part of the slide that is shown.
    pub fn view_rect(&self) -> ViewRect {
        self.viewport.view_rect()
    }

    /// Shows the slide brighter, darker, or one stain of it.
    pub fn set_look(&mut self, look: Look) {
        self.layer.set_look(look.clamped());
    }

    /// Shows one stain with the brightness that was chosen.
    pub fn show_stain(&mut self, stain: StainView) {
        self.set_look(Look { stain, ..self.layer.look() });
    }

    /// What is near on the screen, in base pixels.
    pub fn base_near(&self) -> f64 {
        NEAR_PX / self.viewport.pose().scale
    }

    /// Ends a drawing: the ruler lies where it was drawn, shapes are kept and selected.
    pub fn finish(&mut self, sketch: Sketch, class: Option<&AnnotationClass>, near: f64) {
        let tool = sketch.tool();
        let Some(shape) = sketch.finish(near * 0.6) else { return };
        match (tool, &shape) {
            (Tool::Ruler, Shape::Line { points }) => self.ruler = Some([points[0], points[1]]),
            _ => self.selected = self.marks.add(shape, class.cloned()),
        }
    }
}
