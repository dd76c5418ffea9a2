//! Plain data of the program: no I/O, no tensor library, no unsafe.
//!
//! Everything that travels between crates and carries no behaviour of its own lives here, so that a
//! slide reader need not know of models, nor a model of slides.

pub mod annotation;
mod conversation;
mod device;
mod embedding;
mod hint;
mod image;
mod region;
mod slide;
mod words;

pub use conversation::{Conversation, Part, Role, Turn};
pub use device::{DeviceChoice, DeviceChoiceError};
pub use embedding::{Embedding, EmbeddingError};
pub use hint::{Hint, error_chain};
pub use image::{GridError, PatchGrid, RgbTile, TileError};
pub use region::{Region, RegionScale};
pub use slide::{AssociatedImage, Level, Mpp, MppError, SlideId, SlideInfo};
pub use words::duration;
