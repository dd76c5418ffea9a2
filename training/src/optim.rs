//! `AdamW` with decoupled decay, gradient clipping and token-weighted accumulation.
//!
//! Written here and not taken from burn because its state must go to disk and come back bit for bit under
//! names that outlive a process (burn keys it by random parameter ids). It is plain tensor
//! arithmetic on every device but the processor, where it is one pass over memory (`tests/train_fused.rs`).
//! `tests/train_pipeline.rs` holds the resume; the unit test below holds the formula (Loshchilov & Hutter 2019,
//! algorithm 2, with the decay scaled by the learning rate as in PyTorch).

pub mod schedule;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
use eosin_kernels::fused::{self, Descent};

use crate::recipe::OptimRecipe;

/// Sums of gradients by the path of their parameter, flattened.
#[derive(Debug, Default)]
pub struct GradientSum {
    sums: BTreeMap<String, Tensor<1>>,
}

impl GradientSum {
    /// Adds the gradients of one part of a step.
    pub fn add<M: Module>(&mut self, gradients: &mut Gradients, module: &M) {
        module.visit(&mut Collect { path: Vec::new(), gradients, sums: &mut self.sums });
    }

    /// Length of all gradients together; NaN where one is not a number.
    pub fn norm(&self) -> f64 {
        self.sums
            .values()
            .map(|sum| {
                if fused::trains(sum) {
                    return fused::square_sum(sum.clone());
                }
                let square: f32 = (sum.clone() * sum.clone()).sum().into_scalar();
                f64::from(square)
            })
            .sum::<f64>()
            .sqrt()
    }

    /// Gradient of the parameter at `path`, flattened.
    pub fn get(&self, path: &str) -> Option<&Tensor<1>> {
        self.sums.get(path)
    }
}

struct Collect<'a> {
    path: Vec<String>,
    gradients: &'a mut Gradients,
    sums: &'a mut BTreeMap<String, Tensor<1>>,
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let Some(gradient) = param.val().grad_remove(self.gradients) else { return };
        let flat = flatten(gradient);
        let path = self.path.join(".");
        let sum = match self.sums.remove(&path) {
            Some(sum) => sum + flat,
            None => flat,
        };
        self.sums.insert(path, sum);
    }
}

/// The two moments of every parameter, by its path.
#[derive(Debug, Default)]
pub struct AdamW {
    moments: BTreeMap<String, Moments>,
    n_step: u64,
}

#[derive(Debug)]
struct Moments {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl AdamW {
    /// Takes one step and gives the changed module back.
    ///
    /// `scale` multiplies every gradient first; the caller folds clipping into it.
    pub fn step<M: Module>(
        &mut self,
        module: M,
        gradients: GradientSum,
        lr: f64,
        scale: f64,
        optim: &OptimRecipe,
    ) -> M {
        self.n_step += 1;
        let n_step = self.n_step as i32;
        let correction = [1.0 - optim.beta_1.powi(n_step), 1.0 - optim.beta_2.powi(n_step)];
        module.map(&mut Step {
            path: Vec::new(),
            gradients,
            moments: &mut self.moments,
            lr,
            scale,
            correction,
            optim,
        })
    }

    /// Steps taken.
    pub fn n_step(&self) -> u64 {
        self.n_step
    }

    /// The moments as `path.first` and `path.second`, flattened, for a checkpoint.
    pub fn to_tensors(&self) -> Vec<(String, Tensor<1>)> {
        self.moments
            .iter()
            .flat_map(|(path, moments)| {
                [
                    (format!("{path}.first"), moments.first.clone()),
                    (format!("{path}.second"), moments.second.clone()),
                ]
            })
            .collect()
    }

    /// The state that [`AdamW::to_tensors`] gave after `n_step` steps.
    pub fn from_tensors(n_step: u64, tensors: impl IntoIterator<Item = (String, Tensor<1>)>) -> Self {
        let mut firsts = BTreeMap::new();
        let mut seconds = BTreeMap::new();
        for (name, tensor) in tensors {
            if let Some(path) = name.strip_suffix(".first") {
                firsts.insert(path.to_owned(), tensor);
            } else if let Some(path) = name.strip_suffix(".second") {
                seconds.insert(path.to_owned(), tensor);
            }
        }
        let moments = firsts
            .into_iter()
            .filter_map(|(path, first)| {
                let second = seconds.remove(&path)?;
                Some((path, Moments { first, second }))
            })
            .collect();
        Self { moments, n_step }
    }
}

struct Step<'a> {
    path: Vec<String>,
    gradients: GradientSum,
    moments: &'a mut BTreeMap<String, Moments>,
    lr: f64,
    scale: f64,
    correction: [f64; 2],
    optim: &'a OptimRecipe,
}

impl Step<'_> {
    /// The same update in one pass, on the processor.
    fn step_fused(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
        keep: f64,
    ) -> (Tensor<1>, Moments) {
        let optim = self.optim;
        let Moments { first, second } = moments.unwrap_or_else(|| {
            let zeros = || weight.zeros_like();
            Moments { first: zeros(), second: zeros() }
        });
        let descent = Descent {
            scale: self.scale as f32,
            betas: [optim.beta_1 as f32, optim.beta_2 as f32],
            rate: (self.lr / self.correction[0]) as f32,
            correction: (1.0 / self.correction[1]) as f32,
            epsilon: optim.epsilon as f32,
            keep: keep as f32,
        };
        let [weight, first, second] = fused::adamw([weight, gradient, first, second], descent);
        (weight, Moments { first, second })
    }
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let path = self.path.join(".");
        let Some(gradient) = self.gradients.sums.remove(&path) else { return param };
        let (id, tensor, mapper) = param.consume();
        let requires_grad = tensor.is_require_grad();
        let shape = tensor.dims();
        let weight = flatten(tensor.inner());
        let optim = self.optim;
        // Vectors (norms, biases) do not decay: SPEC 11.6.
        let keep = if D >= 2 { 1.0 - self.lr * optim.weight_decay } else { 1.0 };
        if fused::trains(&weight) && fused::trains(&gradient) {
            let moments = self.moments.remove(&path);
            let (weight, moments) = self.step_fused(weight, gradient, moments, keep);
            self.moments.insert(path, moments);
            let tensor = Tensor::<D>::from_inner(weight.reshape(shape));
            let tensor = if requires_grad { tensor.require_grad() } else { tensor };
            return Param::from_mapped_value(id, tensor, mapper);
        }
        let gradient = gradient.mul_scalar(self.scale);
        let square = gradient.clone() * gradient.clone();
        let (first, second) = match self.moments.remove(&path) {
            Some(old) => (
                old.first.mul_scalar(optim.beta_1) + gradient.mul_scalar(1.0 - optim.beta_1),
                old.second.mul_scalar(optim.beta_2) + square.mul_scalar(1.0 - optim.beta_2),
            ),
            None => (gradient.mul_scalar(1.0 - optim.beta_1), square.mul_scalar(1.0 - optim.beta_2)),
        };
        let root = second.clone().mul_scalar(1.0 / self.correction[1]).sqrt().add_scalar(optim.epsilon);
        let change = first.clone().mul_scalar(self.lr / self.correction[0]) / root;
        let weight = weight.mul_scalar(keep) - change;
        self.moments.insert(path, Moments { first, second });
        let mut tensor = Tensor::<D>::from_inner(weight.reshape(shape));
        if requires_grad {
            tensor = tensor.require_grad();
        }
        Param::from_mapped_value(id, tensor, mapper)
    }
}

fn flatten<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let n_element = tensor.shape().num_elements();
    tensor.reshape([n_element])
}
