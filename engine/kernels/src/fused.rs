//! Steps of a transformer as single operations on the processor, forwards and backwards.
//!
//! Composed of the tensor library's operations, a norm or an attention writes a full-size tensor after each
//! arithmetic step and keeps most of them for the way back; on a processor the time then goes into memory.
//! Here each step is one pass, keeps its inputs only, and computes again what is cheap on the way back (for
//! attention as Dao et al. 2022, "`FlashAttention`", section 3.1). Sums run in an order that does not depend on the
//! number of threads, so that equal seeds give equal models. GPUs have the forward half of some of them, as single
//! launches without gradients: [`takes`] says where to come, [`trains`] where the rest is too. Tests hold each
//! operation and its gradients to the composed form.

mod adamw;
mod attention;
mod flex;
mod lanes;
mod linear;
mod ops;

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{DType, Device, Tensor, TensorData};

pub use adamw::Descent;
pub(crate) use lanes::{exp, softmax, wide};
use ops::{FusedBackend as _, One, Three, Two};

/// Whether the operations of this file run on a device: on the processor, with gradients or without.
pub fn serves(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// Whether norms, rotation and activations take a tensor: 32-bit floats on the processor, or without gradients on
/// a GPU.
pub fn takes<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && (serves(&x.device()) || is_gpu(&x.device()))
}

/// Whether all operations of this file take a tensor, those of training among them: 32-bit floats on the processor.
pub fn trains<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && serves(&x.device())
}

/// Whether a device is a GPU that keeps no record for gradients.
pub(crate) fn is_gpu(device: &Device) -> bool {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    return matches!(device.as_dispatch(), burn::backend::DispatchDevice::Cube(_));
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = device;
        false
    }
}

/// Calls an operation of GPUs with its tensors where the first is on one.
macro_rules! on_gpu {
    ($op:ident, $first:ident $(, $tensor:ident)* $(; $other:expr)*) => {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        if is_gpu(&$first.device()) {
            return gpu_tensor(crate::cube::fused::$op(gpu_primitive($first) $(, gpu_primitive($tensor))* $(, $other)*));
        }
    };
}

/// A tensor of a GPU as its kernels take it.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn gpu_primitive<const D: usize>(tensor: Tensor<D>) -> burn_cubecl::tensor::CubeTensor {
    tensor.try_into_primitive::<burn::backend::Cube>().expect("all tensors of an operation are on one device")
}

/// What a kernel made.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn gpu_tensor<const D: usize>(tensor: burn_cubecl::tensor::CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<burn::backend::Cube>(tensor)
}

/// Which keys a query may see; queries are the last of the keys' sequence.
#[derive(Clone, Debug)]
pub enum Sight {
    /// All.
    All,
    /// Keys up to the query's own place.
    Causal,
    /// Keys up to its own place with its own segment number, or with that of a trunk: `[b][s]`.
    Segments(Arc<[Vec<u32>]>),
    /// Keys up to its own place, from the first of its own sequence on, `[b]`. Those before the first see each other.
    From(Arc<[usize]>),
}

impl Sight {
    /// Number of a segment that all later segments of its row see, too: what their sequences have in common.
    pub const TRUNK: u32 = u32::MAX;
}

/// x · Wᵀ + b.
///
/// # Shapes
/// - `x`: `[m, in]`
/// - `weight`: `[out, in]`
/// - `bias`: `[out]`
/// - returns: `[m, out]`
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::fused_three(x, weight, bias.into_dispatch(), Three::Linear),
        None => Dispatch::fused_two(x, weight, Two::Linear),
    })
}

/// x / √(mean(x²) + ε) · g over the last axis.
///
/// # Shapes
/// - `x`: `[.., d]`
/// - `gain`: `[d]`
/// - returns: as `x`
pub fn rms_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, eps: f64) -> Tensor<D> {
    on_gpu!(rms_norm, x, gain; eps);
    let op = Two::RmsNorm { eps: eps as f32 };
    Tensor::from_dispatch(Dispatch::fused_two(x.into_dispatch(), gain.into_dispatch(), op))
}

/// (x − mean) / √(variance + ε) · g + b over the last axis.
///
/// # Shapes
/// - `x`: `[.., d]`
/// - `gain`, `bias`: `[d]`
/// - returns: as `x`
pub fn layer_norm<const D: usize>(x: Tensor<D>, gain: Tensor<1>, bias: Tensor<1>, eps: f64) -> Tensor<D> {
    on_gpu!(layer_norm, x, gain, bias; eps);
    let op = Three::LayerNorm { eps: eps as f32 };
    let (gain, bias) = (gain.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_three(x.into_dispatch(), gain, bias, op))
}

/// silu(gate) · up, element by element.
pub fn gated<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    on_gpu!(gated, gate, up);
    Tensor::from_dispatch(Dispatch::fused_two(gate.into_dispatch(), up.into_dispatch(), Two::Gated))
}

/// x · σ(1.702 x).
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    on_gpu!(quick_gelu, x);
    Tensor::from_dispatch(Dispatch::fused_one(x.into_dispatch(), One::QuickGelu))
}

/// Cosine and sine of every row's angles, `[rows, half]` each.
#[derive(Clone, Debug)]
pub struct Angles {
    /// Cosines.
    pub cos: Arc<[f32]>,
    /// Sines.
    pub sin: Arc<[f32]>,
}

/// Turns pairs (j, j + half) of every head's channels by the row's angles, on the processor.
///
/// # Shapes
/// - `x`: `[rows, h, 2 × half]`
/// - returns: the same
pub fn rotate(x: Tensor<3>, angles: Angles) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::fused_one(x.into_dispatch(), One::Rotate(angles)))
}

/// [`rotate`] on a GPU, by cosines and sines that lie there; `x` may be part of a larger tensor.
///
/// # Shapes
/// - `cos`, `sin`: `[rows, half]`
///
/// # Panics
/// On other devices.
pub fn rotate_by(x: Tensor<3>, [cos, sin]: [Tensor<2>; 2]) -> Tensor<3> {
    on_gpu!(rotate, x, cos, sin);
    panic!("{:?} is no GPU; {:?}, {:?}", x.device(), cos.dims(), sin.dims())
}

/// softmax(q·kᵀ/√d)·v for each head.
///
/// # Shapes
/// - `query`: `[b, h, t, d]`
/// - `key`, `value`: `[b, h_kv, s, d]`; query head i reads key head i / (h / `h_kv`)
/// - returns: `[b, h, t, d]`, lying in memory as `[b, t, h, d]`
pub fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, sight: Sight) -> Tensor<4> {
    let (key, value) = (key.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_three(query.into_dispatch(), key, value, Three::Attention(sight)))
}

/// −ln softmax(logits)\[target\], one a row.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `m` whole numbers below `v`
/// - returns: `[m]`
///
/// # Panics
/// Where a target is none of these.
pub fn cross_entropy(logits: Tensor<2>, targets: TensorData) -> Tensor<1> {
    let op = One::CrossEntropy(row_numbers(targets));
    Tensor::from_dispatch(Dispatch::fused_one(logits.into_dispatch(), op))
}

/// ln softmax(logits)\[target\] and the entropy of softmax(logits), of each row.
///
/// # Shapes
/// - `logits`: `[m, v]`
/// - `targets`: `m` whole numbers below `v`
/// - returns: `[m, 2]`
///
/// # Panics
/// Where a target is none of these.
pub fn token_scores(logits: Tensor<2>, targets: TensorData) -> Tensor<2> {
    let op = One::TokenScores(row_numbers(targets));
    Tensor::from_dispatch(Dispatch::fused_one(logits.into_dispatch(), op))
}

/// The sum of squares of any tensor without gradients.
pub fn square_sum<const D: usize>(x: Tensor<D>) -> f64 {
    let sum: Tensor<1> = Tensor::from_dispatch(Dispatch::fused_one(x.into_dispatch(), One::SquareSum));
    let values = sum.into_data().try_into_vec::<f32>().expect("the operation gives floats");
    values.into_iter().map(f64::from).sum()
}

/// One step of `AdamW` on flattened tensors without gradients: weight and moments after it. Buffers that
/// nobody else holds are changed in place.
///
/// # Shapes
/// - all: `[n]`
pub fn adamw([weight, gradient, first, second]: [Tensor<1>; 4], descent: Descent) -> [Tensor<1>; 3] {
    let [weight, gradient, first, second] = [weight, gradient, first, second].map(Tensor::<1>::into_dispatch);
    let (weight, first, second) = Dispatch::fused_adamw(weight, gradient, first, second, descent);
    [weight, first, second].map(Tensor::<1>::from_dispatch)
}

fn row_numbers(targets: TensorData) -> Arc<[usize]> {
    let targets = targets.try_into_vec_as::<i64>().expect("targets are whole numbers");
    targets.into_iter().map(|target| usize::try_from(target).expect("targets count from 0")).collect()
}
