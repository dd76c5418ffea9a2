//! A matrix that multiplies rows, dense (for training) or packed (as its file stores it).
//!
//! Weights lie as `[out, in]`, the order of every checkpoint, so that loading transposes nothing and a
//! mapped file can be used in place. Held true by `tests/parity_qwen.rs` and `tests/parity_gguf.rs`.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Distribution, Int, Tensor};
use eosin_kernels::{PackedMatrix, fused};

use crate::lora::Adapter;

/// A matrix of `[out, in]`.
#[derive(Module, Debug)]
pub enum Weight {
    /// 32-bit floats that can be trained.
    Dense(Param<Tensor<2>>),
    /// Blocks as stored, which are constants.
    Packed(PackedMatrix),
}

impl Weight {
    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Self::Dense(weight) => weight.lazy_shape().dims(),
            Self::Packed(packed) => [packed.rows(), packed.cols()],
        }
    }

    /// x · Wᵀ.
    ///
    /// # Shapes
    /// - `x`: `[m, in]`
    /// - returns: `[m, out]`
    pub fn multiply(&self, x: Tensor<2>) -> Tensor<2> {
        self.multiply_add(x, None)
    }

    /// x · Wᵀ + b.
    fn multiply_add(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        let y = match self {
            Self::Dense(weight) => {
                let weight = weight.val();
                // On the way back nothing is transposed by copying.
                if x.device().is_autodiff() && fused::takes(&x) && fused::takes(&weight) {
                    return fused::linear(x, weight, bias);
                }
                x.matmul(weight.transpose())
            }
            Self::Packed(packed) => packed.linear(x),
        };
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// Rows of the matrix, as an embedding is read.
    ///
    /// # Shapes
    /// - `ids`: `[m]`, each below `out`
    /// - returns: `[m, in]`
    pub fn rows(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        match self {
            Self::Dense(weight) => weight.val().select(0, ids),
            Self::Packed(packed) => packed.gather(ids),
        }
    }

    /// The same matrix, laid out in memory as its transpose: on the processor, products with few rows then need
    /// not rearrange it each time. Constant; packed matrices and other devices' stay as they are.
    #[must_use]
    pub fn turned(&self) -> Self {
        match self {
            Self::Dense(weight) if weight.val().device() == Device::flex() => {
                let [n_out, n_in] = self.shape();
                let turned = weight.val().transpose().into_data();
                let turned =
                    Tensor::<2>::from_data(turned, &Device::flex()).reshape([n_in, n_out]).transpose();
                Self::Dense(Param::from_tensor(turned).set_require_grad(false))
            }
            _ => self.clone(),
        }
    }

    /// The matrix as 32-bit floats, `[out, in]`.
    pub fn dequantize(&self) -> Tensor<2> {
        match self {
            Self::Dense(weight) => weight.val(),
            Self::Packed(packed) => packed.dequantize(),
        }
    }
}

/// What products with dense matrices are computed in. Weights, sums, norms, attention, the residual stream and the
/// loss stay 32-bit floats, as do gradients when they reach a weight: only the factors are rounded, forwards and
/// backwards. That is worth it where a device multiplies short floats faster; the processor does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Full,
    /// The upper halves of 32-bit floats: their range with 8 bits of precision. Needs no scaling of the loss.
    Bf16,
    /// Half floats: 11 bits of precision and little range; slopes below 6e-8 are lost, so that the loss should be
    /// scaled up and the gradients down again by whoever takes the step.
    F16,
}

impl Precision {
    fn dtype(self) -> Option<DType> {
        match self {
            Self::Full => None,
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// y = x · Wᵀ + b.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Weight,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// What is learned beside a matrix that stays as it is.
    pub adapter: Option<Adapter>,
    /// What the product is computed in, where the matrix is dense.
    #[module(skip)]
    pub precision: Precision,
}

/// Whether a linear map adds a bias.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bias {
    /// It does.
    With,
    /// It does not.
    Without,
}

impl Linear {
    /// Random weights of standard deviation `std`, zero bias.
    pub fn init([n_in, n_out]: [usize; 2], bias: Bias, std: f64, device: &Device) -> Self {
        let weight = Tensor::random([n_out, n_in], Distribution::Normal(0.0, std), device);
        let bias = match bias {
            Bias::With => Some(Param::from_tensor(Tensor::zeros([n_out], device))),
            Bias::Without => None,
        };
        Self::new(Weight::Dense(Param::from_tensor(weight)), bias)
    }

    /// A map of parts that are there.
    pub fn new(weight: Weight, bias: Option<Param<Tensor<1>>>) -> Self {
        Self { weight, bias, adapter: None, precision: Precision::Full }
    }

    /// See [`Weight::turned`]; an adapter is merged into a dense matrix.
    #[must_use]
    pub fn turned(&self) -> Self {
        let map = match self.weight {
            Weight::Dense(_) => self.clone().merged(),
            Weight::Packed(_) => self.clone(),
        };
        let adapter = map.adapter.filter(|adapter| !adapter.is_merged());
        Self { weight: map.weight.turned(), bias: map.bias, adapter, precision: map.precision }
    }

    /// Applies several maps to the same rows: what packed matrices have in common is done once.
    ///
    /// # Shapes
    /// - `x`: `[.., in]`
    /// - returns: `[.., out]` each
    pub fn forward_all<const D: usize, const N: usize>(maps: [&Self; N], x: Tensor<D>) -> [Tensor<D>; N] {
        let packed = maps.map(|map| match &map.weight {
            Weight::Packed(packed) if map.adapter.is_none() => Some(packed),
            _ => None,
        });
        if packed.iter().any(Option::is_none) || x.device().is_autodiff() {
            return maps.map(|map| map.forward(x.clone()));
        }
        let packed = packed.map(|packed| packed.expect("checked above"));
        let mut dims = x.dims();
        let n_row = dims[..D - 1].iter().product::<usize>();
        let rows = x.reshape([n_row, dims[D - 1]]);
        let mut maps = maps.iter();
        PackedMatrix::linear_all(packed, rows).map(|y| {
            let bias = maps.next().and_then(|map| map.bias.as_ref());
            dims[D - 1] = y.dims()[1];
            bias.map_or(y.clone(), |bias| y + bias.val().unsqueeze()).reshape(dims)
        })
    }

    /// Applies the map to the last axis.
    ///
    /// # Shapes
    /// - `x`: `[.., in]`
    /// - returns: `[.., out]`
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let mut dims = x.dims();
        let [n_out, n_in] = self.weight.shape();
        let n_row = dims[..D - 1].iter().product::<usize>();
        let x = x.reshape([n_row, n_in]);
        let adapted = self.adapter.as_ref().and_then(|adapter| adapter.forward(x.clone()));
        let bias = self.bias.as_ref().map(Param::val);
        let mut y = match (self.precision.dtype(), &self.weight) {
            (Some(dtype), Weight::Dense(weight)) => {
                let y = x.cast(dtype).matmul(weight.val().cast(dtype).transpose()).cast(DType::F32);
                bias.map_or(y.clone(), |bias| y + bias.unsqueeze())
            }
            _ => self.weight.multiply_add(x, bias),
        };
        if let Some(adapted) = adapted {
            y = y + adapted;
        }
        dims[D - 1] = n_out;
        y.reshape(dims)
    }
}
