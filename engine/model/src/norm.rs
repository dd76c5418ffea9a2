//! `RMSNorm`, computed in 32 bits whatever the weights are stored in.
//!
//! Zhang & Sennrich 2019, equation 4: y = x / √(mean(x²) + ε) · g. Held true by `tests/parity_qwen.rs`.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use eosin_kernels::fused;

/// Scales each row to unit mean square, then each channel by its own gain.
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// The gain of each channel, `[d]`.
    pub gain: Param<Tensor<1>>,
    eps: f64,
}

impl RmsNorm {
    /// A norm with the gain given.
    pub fn new(gain: Param<Tensor<1>>, eps: f64) -> Self {
        Self { gain, eps }
    }

    /// A norm whose gain is one everywhere.
    pub fn init(d: usize, eps: f64, device: &Device) -> Self {
        Self::new(Param::from_tensor(Tensor::ones([d], device)), eps)
    }

    /// Normalises the last axis.
    ///
    /// # Shapes
    /// - `x`: `[.., d]`
    /// - returns: the same
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        if fused::takes(&x) && fused::takes(&self.gain.val()) {
            return fused::rms_norm(x, self.gain.val(), self.eps);
        }
        let scale = x.clone().square().mean_dim(D - 1).add_scalar(self.eps).sqrt().recip();
        x * scale * self.gain.val().unsqueeze()
    }
}
