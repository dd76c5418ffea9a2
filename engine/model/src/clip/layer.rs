//! The block that both towers are stacked from: attention and an MLP, each behind a norm and beside the
//! stream.
//!
//! Radford et al. 2021, section 2.4, in the pre-norm form: `x += attention(norm(x)); x += mlp(norm(x))`.
//! Matrices lie as checkpoints store them, `[out, in]`, so that loading moves no element. Every parameter
//! is known by its Hugging Face name, which one constructor asks of a [`Supply`] and one visitor tells:
//! loading, random initialisation, export and the gradient test in `tests/parity_clip.rs` cannot disagree
//! on names.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu, sigmoid};
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

use eosin_kernels::fused::{self, Sight};

use super::ClipError;
use super::config::Activation;
use super::load::{Initial, Supply};
use crate::linear::{Bias, Linear, Weight};

/// Which positions a position may look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attend {
    /// All of them: image patches.
    All,
    /// Itself and earlier ones: text.
    Causal,
}

/// A parameter of any rank, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum ParamRef<'a> {
    /// A vector.
    D1(&'a Param<Tensor<1>>),
    /// A matrix.
    D2(&'a Param<Tensor<2>>),
}

/// Called with the Hugging Face name and each parameter.
pub(crate) type Visit<'a, 'f> = dyn FnMut(&str, ParamRef<'a>) + 'f;

pub(crate) fn build_linear(
    supply: &Supply<'_>,
    name: &str,
    shape: [usize; 2],
    bias: Bias,
    initial: Initial,
) -> Result<Linear, ClipError> {
    let weight = Weight::Dense(supply.matrix(&format!("{name}.weight"), shape, initial)?);
    let bias = match bias {
        Bias::With => Some(supply.vector(&format!("{name}.bias"), shape[0], Initial::Zero)?),
        Bias::Without => None,
    };
    Ok(Linear::new(weight, bias))
}

pub(crate) fn visit_linear<'a>(linear: &'a Linear, name: &str, visit: &mut Visit<'a, '_>) {
    // Packed matrices are constants; CLIP has none.
    if let Weight::Dense(weight) = &linear.weight {
        visit(&format!("{name}.weight"), ParamRef::D2(weight));
    }
    if let Some(bias) = &linear.bias {
        visit(&format!("{name}.bias"), ParamRef::D1(bias));
    }
}

pub(crate) fn build_norm(
    supply: &Supply<'_>,
    name: &str,
    d_model: usize,
    epsilon: f64,
) -> Result<LayerNorm, ClipError> {
    let mut norm = LayerNormConfig::new(d_model).with_epsilon(epsilon).init(supply.device());
    norm.gamma = supply.vector(&format!("{name}.weight"), d_model, Initial::One)?;
    norm.beta = Some(supply.vector(&format!("{name}.bias"), d_model, Initial::Zero)?);
    Ok(norm)
}

pub(crate) fn visit_norm<'a>(norm: &'a LayerNorm, name: &str, visit: &mut Visit<'a, '_>) {
    visit(&format!("{name}.weight"), ParamRef::D1(&norm.gamma));
    if let Some(beta) = &norm.beta {
        visit(&format!("{name}.bias"), ParamRef::D1(beta));
    }
}

/// Measures of a stack of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackConfig {
    pub(crate) d_model: usize,
    pub(crate) n_layer: usize,
    pub(crate) n_head: usize,
    pub(crate) d_mlp: usize,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f64,
}

/// One block.
#[derive(Module, Debug)]
pub(super) struct Block {
    pub(super) norm1: LayerNorm,
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) out: Linear,
    pub(super) norm2: LayerNorm,
    pub(super) fc1: Linear,
    pub(super) fc2: Linear,
    pub(super) n_head: usize,
    #[module(skip)]
    pub(super) activation: Activation,
}

impl Block {
    /// Builds `n_layer` blocks named `<prefix>.encoder.layers.<idx>`.
    pub(crate) fn build_stack(
        supply: &Supply<'_>,
        prefix: &str,
        config: StackConfig,
    ) -> Result<Vec<Self>, ClipError> {
        (0..config.n_layer)
            .map(|idx| Self::build(supply, &format!("{prefix}.encoder.layers.{idx}"), config))
            .collect()
    }

    fn build(supply: &Supply<'_>, name: &str, config: StackConfig) -> Result<Self, ClipError> {
        let StackConfig { d_model, n_layer, d_mlp, epsilon, .. } = config;
        // The spreads of the original code: what a block adds shrinks with depth, so that the stream's
        // variance does not grow with the number of blocks.
        let inner = Initial::Normal((d_model as f64).powf(-0.5));
        let outer = Initial::Normal((d_model as f64).powf(-0.5) * (2.0 * n_layer as f64).powf(-0.5));
        let wide = Initial::Normal((2.0 * d_model as f64).powf(-0.5));
        let square = |part: &str, initial| {
            build_linear(supply, &format!("{name}.self_attn.{part}_proj"), [d_model; 2], Bias::With, initial)
        };
        Ok(Self {
            norm1: build_norm(supply, &format!("{name}.layer_norm1"), d_model, epsilon)?,
            query: square("q", inner)?,
            key: square("k", inner)?,
            value: square("v", inner)?,
            out: square("out", outer)?,
            norm2: build_norm(supply, &format!("{name}.layer_norm2"), d_model, epsilon)?,
            fc1: build_linear(supply, &format!("{name}.mlp.fc1"), [d_mlp, d_model], Bias::With, wide)?,
            fc2: build_linear(supply, &format!("{name}.mlp.fc2"), [d_model, d_mlp], Bias::With, outer)?,
            n_head: config.n_head,
            activation: config.activation,
        })
    }

    /// # Shapes
    /// - `x`: `[b, t, d]`
    /// - returns: the same
    pub(crate) fn forward(&self, x: Tensor<3>, attend: Attend) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let d_head = d / self.n_head;
        // The matrices see one long list of positions: one multiplication a matrix, however many images.
        let x = x.reshape([b * t, d]);
        let normed = self.norm1.forward(x.clone());
        let heads = |y: Tensor<2>| y.reshape([b, t, self.n_head, d_head]).swap_dims(1, 2);
        let query = heads(self.query.forward(normed.clone()));
        let key = heads(self.key.forward(normed.clone()));
        let value = heads(self.value.forward(normed));
        let options = AttentionModuleOptions {
            scale: None, // 1 / √d_head
            softcap: None,
            is_causal: attend == Attend::Causal,
        };
        let mixed = if query.device().is_autodiff() && fused::takes(&query) {
            let sight = if attend == Attend::Causal { Sight::Causal } else { Sight::All };
            fused::attention(query, key, value, sight)
        } else {
            attention(query, key, value, None, None, options)
        };
        let x = x + self.out.forward(mixed.swap_dims(1, 2).reshape([b * t, d]));
        let hidden = self.fc1.forward(self.norm2.forward(x.clone()));
        let x = x + self.fc2.forward(activate(hidden, self.activation));
        x.reshape([b, t, d])
    }

    pub(crate) fn visit_stack<'a>(stack: &'a [Self], prefix: &str, visit: &mut Visit<'a, '_>) {
        for (idx, block) in stack.iter().enumerate() {
            let name = format!("{prefix}.encoder.layers.{idx}");
            visit_norm(&block.norm1, &format!("{name}.layer_norm1"), visit);
            let parts = [("q", &block.query), ("k", &block.key), ("v", &block.value), ("out", &block.out)];
            for (part, linear) in parts {
                visit_linear(linear, &format!("{name}.self_attn.{part}_proj"), visit);
            }
            visit_norm(&block.norm2, &format!("{name}.layer_norm2"), visit);
            visit_linear(&block.fc1, &format!("{name}.mlp.fc1"), visit);
            visit_linear(&block.fc2, &format!("{name}.mlp.fc2"), visit);
        }
    }
}

fn activate(x: Tensor<2>, activation: Activation) -> Tensor<2> {
    match activation {
        Activation::QuickGelu if fused::takes(&x) => fused::quick_gelu(x),
        Activation::QuickGelu => x.clone() * sigmoid(x * 1.702),
        // Some backends give GELU the derivative of its tanh approximation; composed, it has its own.
        Activation::Gelu if x.device().is_autodiff() => {
            let phi = ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
            x * phi
        }
        Activation::Gelu => gelu(x),
    }
}
