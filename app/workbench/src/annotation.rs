//! Annotations of a slide: kept, undone, and exchanged with QuPath.
//!
//! [`AnnotationBook`] holds those of one slide and saves every edit at once; [`geojson`] is the form of its files
//! and of QuPath's. A [`Feature`] is an annotation with what a file said beyond it, so that nothing of another
//! program's is lost by passing through. Held true by the tests of the modules and by `tests/annotate.rs`.

mod book;
pub mod geojson;
mod shelf;
mod undo;

use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::PathBuf;

use eosin_core::Hint;
use eosin_core::annotation::{Annotation, AnnotationId, BasePoint, Shape};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use book::{AnnotationBook, Edit, Imported, Opening, SaveState};
pub use shelf::{AnnotationShelf, SharedBook};

/// An annotation as a book and a file hold it.
#[derive(Clone, PartialEq, Debug)]
pub struct Feature {
    /// The annotation.
    pub annotation: Annotation,
    /// Whether its author asked that it not be changed.
    pub locked: bool,
    /// Outlines cut out of it; only a polygon has any.
    pub holes: Vec<Vec<BasePoint>>,
    /// What else its file said, in the file's words.
    pub(crate) kept: Kept,
}

/// Parts of a feature that Eosin has no use for and gives back.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Kept {
    /// What QuPath calls it, where that is not `annotation`.
    pub(crate) object_type: Option<String>,
    pub(crate) members: Map<String, Value>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) metadata: Map<String, Value>,
    /// Of the geometry: `plane`, `isEllipse`. True of this outline only.
    pub(crate) geometry: Map<String, Value>,
}

impl From<Annotation> for Feature {
    fn from(annotation: Annotation) -> Self {
        Self { annotation, locked: false, holes: Vec::new(), kept: Kept::default() }
    }
}

impl Feature {
    /// Takes over another annotation; what the file said of the outline goes when the outline changes.
    pub(crate) fn change(&mut self, annotation: Annotation) {
        if annotation.shape != self.annotation.shape {
            self.holes.clear();
            self.kept.geometry.clear();
        }
        self.annotation = annotation;
    }

    /// Points of all its outlines.
    pub(crate) fn n_point(&self) -> usize {
        n_point(&self.annotation.shape) + self.holes.iter().map(Vec::len).sum::<usize>()
    }
}

/// Points of an outline.
pub(crate) fn n_point(shape: &Shape) -> usize {
    match shape {
        Shape::Point { .. } => 1,
        Shape::Rectangle { .. } => 4,
        Shape::Line { points } | Shape::Polygon { points } | Shape::Freehand { points } => points.len(),
    }
}

/// Brings an outline to thousandths of a pixel, as files keep it, so that a book and its file never differ.
pub(crate) fn on_grid(shape: &Shape) -> Shape {
    let point = |point: &BasePoint| point.map(thousandths);
    let all = |points: &[BasePoint]| points.iter().map(point).collect();
    match shape {
        Shape::Point { at } => Shape::Point { at: point(at) },
        Shape::Line { points } => Shape::Line { points: all(points) },
        Shape::Rectangle { origin, size } => Shape::Rectangle { origin: point(origin), size: point(size) },
        Shape::Polygon { points } => Shape::Polygon { points: all(points) },
        Shape::Freehand { points } => Shape::Freehand { points: all(points) },
    }
}

/// The nearest thousandth; never minus zero, which is written otherwise.
pub(crate) fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0 + 0.0
}

/// A new name for an annotation: a random UUID, as QuPath asks for.
pub fn new_annotation_id() -> AnnotationId {
    // Each state is seeded by the operating system; a finished hash of it is 64 random bits.
    let random = || std::hash::RandomState::new().build_hasher().finish().to_le_bytes();
    let seed = [random(), random(), random(), random()].concat();
    uuid_of(&[&seed], 4)
}

/// The name of an annotation whose file gives none: the same whenever it is read.
pub(crate) fn derived_annotation_id(parts: &[&[u8]]) -> AnnotationId {
    // Version 8 of RFC 9562 leaves the content to the maker.
    uuid_of(parts, 8)
}

fn uuid_of(parts: &[&[u8]], version: u8) -> AnnotationId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0f | version << 4;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    let (time, rest) = hex.split_at(8);
    AnnotationId(format!("{time}-{}-{}-{}-{}", &rest[..4], &rest[4..8], &rest[8..12], &rest[12..]))
}

/// Why annotations cannot be had, changed or kept.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The file cannot be read.
    #[error("cannot read the annotations in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any that is read.
    #[error("{n_byte} bytes are too many for annotations, at most {limit}: {}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_byte: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The file holds something else, or is damaged.
    #[error("this is no whole GeoJSON ({reason}): {}", path.display())]
    NotGeoJson {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        reason: String,
    },
    /// The annotations are not on the disk.
    #[error("cannot save the annotations to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No annotation has this name.
    #[error("there is no annotation {}", id.0)]
    NoSuch {
        /// The name.
        id: AnnotationId,
    },
    /// There is one of this name already.
    #[error("there is an annotation {} already", id.0)]
    Taken {
        /// The name.
        id: AnnotationId,
    },
    /// The outline cannot be drawn.
    #[error("this outline cannot be drawn: it needs finite points, two for a line, three for an area")]
    Unsound,
    /// More annotations than a slide may have.
    #[error("a slide may have {limit} annotations at most")]
    TooMany {
        /// The most.
        limit: usize,
    },
}

impl Hint for AnnotationError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space; the annotations are kept in memory and saved with the next edit")
            }
            Self::Write { .. } => Some(
                "the annotations are kept in memory and saved with the next edit; or export them elsewhere",
            ),
            Self::NotGeoJson { .. } => Some("export it from QuPath again, as GeoJSON and uncompressed"),
            Self::TooLarge { .. } | Self::TooMany { .. } => Some("export fewer objects, without detections"),
            Self::Read { .. } | Self::NoSuch { .. } | Self::Taken { .. } | Self::Unsound => None,
        }
    }
}
