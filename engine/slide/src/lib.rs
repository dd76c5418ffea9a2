//! Slides and pictures behind one safe type: open, read regions, write pyramids.
//!
//! Whole-slide formats come through OpenSlide, plain pictures through `image`; the caller sees a [`Slide`]
//! with levels either way. Coordinates of regions are base pixels (level 0), sizes are returned pixels.

mod error;
mod id;
mod picture;
mod pyramid;
mod raw;
mod read;
mod resample;
mod skew;
mod slide;
mod whole;

pub use error::{OpenCause, ReadCause, SlideError, WriteCause};
pub use picture::{PICTURE_PX_MAX, decode_picture, load_picture};
pub use pyramid::{PyramidKind, PyramidOptions, TileRequest, write_picture_pyramid, write_pyramid};
pub use read::REGION_PX_MAX;
pub use slide::{Exposure, Slide};
pub use whole::library_version;

/// Slides are shared between the threads that serve tiles.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Slide>();
};
