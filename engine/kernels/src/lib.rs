//! Arithmetic on packed weights: one operation, a kernel for each device.
//!
//! This is the only crate that extends the tensor library's backends and the only one that chooses devices.
//! [`PackedMatrix`] is the seam: a model asks for `x · Wᵀ` and does not know how `W` is stored or where it is
//! computed.

mod attend;
pub mod device;
mod packed;

mod company;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
mod cube;
pub mod dense;
pub mod dot;
mod flex;
pub mod fused;
mod ops;
mod path;
mod rounded;
#[cfg(test)]
mod testing;
mod tiled;

pub use attend::decode_attention;
pub use device::{DeviceClass, DeviceError, DeviceReport, SelectedDevice, at_work, probe, select};
pub use ops::Arithmetic;
pub use packed::PackedMatrix;
pub use path::{BytePath, CpuPath};
pub use rounded::peak as peak_byte_products;
pub use tiled::{Seen, has_tiled_attention, tiled_attention};
