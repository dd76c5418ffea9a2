//! Weight containers, untrusted input: GGUF, safetensors, torch pickles; block quantisation.
//!
//! Everything here takes files that may lie. Lengths, offsets and counts are compared with the size of the
//! file before memory is set aside for them, arithmetic on them is checked, and whatever is refused is
//! refused with one line that names the file and the cause. There is no tensor library here: a tensor is
//! a type, a shape and a slice of the mapped file.

mod atomic;
mod block;
pub mod convert;
mod cursor;
mod error;
mod gguf;
pub mod inspect;
mod kind;
mod map;
mod safetensors;
mod source;
mod torch;

pub use block::{BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0, dequantize, quantize, scale_min_k4};
pub use error::WeightError;
pub use gguf::{Gguf, GgufWriter, Meta, MetaArray, MetaValue};
pub use kind::GgmlType;
pub use safetensors::{SafetensorsFolder, write_safetensors};
pub use source::{MemoryTensors, RawTensor, WeightSource};
pub use torch::TorchCheckpoint;
