//! From patches to text tokens: each cell of 2 × 2 patches becomes one.
//!
//! Norm, concatenation of the cell's patches, two linear maps with an exact GELU between (Bai et al. 2025,
//! "Qwen2.5-VL", section 2.1). Held true by `tests/parity_qwen.rs`.

use burn::module::Module;
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};

use super::config::VisionConfig;
use crate::linear::{Bias, Linear};
use crate::norm::RmsNorm;

/// The map from the vision tower's width to the text model's.
#[derive(Module, Debug)]
pub struct Merger {
    /// Before concatenation.
    pub norm: RmsNorm,
    /// `[4 d_vision, 4 d_vision]`.
    pub inner: Linear,
    /// `[d_text, 4 d_vision]`.
    pub outer: Linear,
}

impl Merger {
    /// Random weights.
    pub fn init(config: &VisionConfig, std: f64, device: &Device) -> Self {
        let d_cell = config.d_model * config.cell();
        Self {
            norm: RmsNorm::init(config.d_model, config.rms_eps, device),
            inner: Linear::init([d_cell, d_cell], Bias::With, std, device),
            outer: Linear::init([d_cell, config.d_out], Bias::With, std, device),
        }
    }

    /// # Shapes
    /// - `x`: `[p, d_vision]`, patches cell by cell
    /// - returns: `[p / 4, d_text]`
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [n_patch, d] = x.dims();
        let [_, d_cell] = self.inner.weight.shape();
        let cells = self.norm.forward(x).reshape([n_patch * d / d_cell, d_cell]);
        self.outer.forward(gelu(self.inner.forward(cells)))
    }
}
