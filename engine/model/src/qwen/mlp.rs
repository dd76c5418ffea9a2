//! The gated MLP of both towers: down(silu(gate(x)) · up(x)) (Shazeer 2020, "`SwiGLU`").
//!
//! Held true by `tests/parity_qwen.rs`.

use burn::module::Module;
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

use eosin_kernels::fused;

use crate::linear::{Bias, Linear};

/// Three linear maps.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[d_ffn, d]`, through the activation.
    pub gate: Linear,
    /// `[d_ffn, d]`.
    pub up: Linear,
    /// `[d, d_ffn]`.
    pub down: Linear,
}

impl Mlp {
    /// Random weights; `std_out` for the map that returns to the residual stream.
    pub fn init([d, d_ffn]: [usize; 2], bias: Bias, [std, std_out]: [f64; 2], device: &Device) -> Self {
        Self {
            gate: Linear::init([d, d_ffn], bias, std, device),
            up: Linear::init([d, d_ffn], bias, std, device),
            down: Linear::init([d_ffn, d], bias, std_out, device),
        }
    }

    /// See [`crate::linear::Weight::turned`].
    #[must_use]
    pub fn turned(&self) -> Self {
        Self { gate: self.gate.turned(), up: self.up.turned(), down: self.down.turned() }
    }

    /// # Shapes
    /// - `x`: `[.., d]`
    /// - returns: the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], x);
        let inner =
            if fused::takes(&gate) && fused::takes(&up) { fused::gated(gate, up) } else { silu(gate) * up };
        self.down.forward(inner)
    }
}
