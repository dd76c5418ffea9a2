//! Qwen2.5-VL and CLIP as burn modules: weights and tensors in, tensors out.
//!
//! No file paths here, and no tokenizer but CLIP's, which is a part of that model. A model
//! is built from a configuration and a source of named tensors; it runs on the device it was loaded to,
//! with gradients where that device has them.

pub mod attention;
pub mod clip;
pub mod draw;
mod error;
pub mod linear;
pub mod lora;
pub mod norm;
pub mod prepare;
pub mod qwen;

pub use error::ModelError;
