//! Annotations and their classes.

use eosin_core::annotation::{Annotation, AnnotationClass, AnnotationId, Shape};
use eosin_workbench::annotation::Imported;
use eosin_workbench::{Feature, Measure, new_annotation_id};
use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::ErrorDto;

/// An outline in base pixels.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ShapeDto {
    Point { at: [f64; 2] },
    Line { points: Vec<[f64; 2]> },
    Rectangle { origin: [f64; 2], size: [f64; 2] },
    Polygon { points: Vec<[f64; 2]> },
    Freehand { points: Vec<[f64; 2]> },
}

/// What an annotation marks.
#[derive(Clone, Debug, Serialize, Deserialize, TS)]
pub(crate) struct ClassDto {
    pub(crate) name: String,
    pub(crate) color: [u8; 3],
}

/// An annotation as it is shown.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct AnnotationDto {
    pub(crate) id: String,
    pub(crate) shape: ShapeDto,
    /// Outlines cut out of it.
    pub(crate) holes: Vec<Vec<[f64; 2]>>,
    pub(crate) class: Option<ClassDto>,
    pub(crate) title: String,
    pub(crate) note: String,
    /// Its own colour; the class's without one.
    pub(crate) color: Option<[u8; 3]>,
    /// Whether its author asked that it not be changed.
    pub(crate) locked: bool,
    /// Its length or area in words.
    pub(crate) measured: String,
}

impl AnnotationDto {
    /// An annotation of a book.
    pub(crate) fn of(feature: &Feature, measure: &Measure) -> Self {
        let annotation = feature.annotation.clone();
        Self {
            id: annotation.id.0,
            shape: annotation.shape.into(),
            holes: feature.holes.clone(),
            class: annotation.class.map(ClassDto::from),
            title: annotation.title,
            note: annotation.note,
            color: annotation.color,
            locked: feature.locked,
            measured: measure.describe(feature),
        }
    }
}

/// An annotation as the page wants it.
#[derive(Clone, Debug, Deserialize, TS)]
pub(crate) struct DraftDto {
    /// None for a new one.
    pub(crate) id: Option<String>,
    pub(crate) shape: ShapeDto,
    pub(crate) class: Option<ClassDto>,
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) color: Option<[u8; 3]>,
}

impl From<DraftDto> for Annotation {
    fn from(draft: DraftDto) -> Self {
        Self {
            id: draft.id.map_or_else(new_annotation_id, AnnotationId),
            shape: draft.shape.into(),
            class: draft.class.map(AnnotationClass::from),
            title: draft.title,
            note: draft.note,
            color: draft.color,
        }
    }
}

/// A change that a person makes: one step to take back.
#[derive(Clone, Debug, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum EditDto {
    Add { annotation: DraftDto },
    Change { annotations: Vec<DraftDto> },
    Remove { ids: Vec<String> },
}

/// What is new of a slide's annotations since the page last heard of them.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct AnnotationsDto {
    /// New ones and changed ones.
    pub(crate) changed: Vec<AnnotationDto>,
    pub(crate) removed: Vec<String>,
    /// Steps that can be taken back, and done again.
    pub(crate) n_undo: u32,
    pub(crate) n_redo: u32,
    /// Why they are not on the disk, where they are not.
    pub(crate) unsaved: Option<ErrorDto>,
    /// What a person should know of how they were found: a damaged file was repaired.
    pub(crate) mended: Option<ErrorDto>,
    /// What an import did.
    pub(crate) imported: Option<ImportedDto>,
}

/// What an import did.
#[derive(Clone, Debug, Serialize, TS)]
pub(crate) struct ImportedDto {
    pub(crate) n_added: u32,
    pub(crate) n_replaced: u32,
    pub(crate) n_unchanged: u32,
    pub(crate) n_refused: u32,
    /// Why the first of these makes no sense.
    pub(crate) refused: Option<String>,
}

impl From<Imported> for ImportedDto {
    fn from(imported: Imported) -> Self {
        Self {
            n_added: imported.n_added as u32,
            n_replaced: imported.n_replaced as u32,
            n_unchanged: imported.n_unchanged as u32,
            n_refused: imported.n_refused as u32,
            refused: imported.refused.into_iter().next().map(|refusal| refusal.reason),
        }
    }
}

impl From<Shape> for ShapeDto {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Point { at } => Self::Point { at },
            Shape::Line { points } => Self::Line { points },
            Shape::Rectangle { origin, size } => Self::Rectangle { origin, size },
            Shape::Polygon { points } => Self::Polygon { points },
            Shape::Freehand { points } => Self::Freehand { points },
        }
    }
}

impl From<ShapeDto> for Shape {
    fn from(shape: ShapeDto) -> Self {
        match shape {
            ShapeDto::Point { at } => Self::Point { at },
            ShapeDto::Line { points } => Self::Line { points },
            ShapeDto::Rectangle { origin, size } => Self::Rectangle { origin, size },
            ShapeDto::Polygon { points } => Self::Polygon { points },
            ShapeDto::Freehand { points } => Self::Freehand { points },
        }
    }
}

impl From<AnnotationClass> for ClassDto {
    fn from(class: AnnotationClass) -> Self {
        Self { name: class.name, color: class.color }
    }
}

impl From<ClassDto> for AnnotationClass {
    fn from(class: ClassDto) -> Self {
        Self { name: class.name, color: class.color }
    }
}

#[cfg(test)]
pub(super) fn declarations(config: &ts_rs::Config) -> Vec<String> {
    vec![
        ShapeDto::decl(config),
        ClassDto::decl(config),
        AnnotationDto::decl(config),
        DraftDto::decl(config),
        EditDto::decl(config),
        AnnotationsDto::decl(config),
        ImportedDto::decl(config),
    ]
}
