//! Low-rank adapters: W stays as it is, and a product of two thin matrices is learned beside it.
//!
//! y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ with A of `[r, in]`, B of `[out, r]` and s = α / r (Hu et al. 2021, "`LoRA`", section 4.1). B
//! starts at zero, so that an adapted model starts as the one it adapts. The matrix beside it may be dense or
//! packed (Dettmers et al. 2023, "`QLoRA`": a quantised base whose gradient passes through unpacking). Held true by
//! `tests/train_lora.rs`, against the `peft` library.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};

use crate::ModelError;
use crate::linear::{Linear, Weight};

/// What is learned beside one matrix.
#[derive(Module, Debug)]
pub struct Adapter {
    /// A, `[r, in]`.
    pub down: Param<Tensor<2>>,
    /// B, `[out, r]`.
    pub up: Param<Tensor<2>>,
    scale: f64,
    merged: bool,
}

/// How adapters are made.
#[derive(Clone, PartialEq, Debug)]
pub struct LoraSettings {
    /// Width between the two thin matrices.
    pub rank: usize,
    /// The adapter's part is multiplied by α / rank.
    pub alpha: f64,
    /// Names of linear maps as checkpoints end them: `q_proj`, `gate_proj`, `qkv`, …; `all` or `all-linear` for all.
    pub targets: Vec<String>,
    /// Parts of the model in which maps are looked for.
    pub parts: Vec<Part>,
    /// Seed of A.
    pub seed: u64,
}

/// A part of the model that can be left as it is or adapted by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The vision tower without its merger.
    Tower,
    /// From vision tokens to text tokens.
    Merger,
    /// The text decoder with its embeddings.
    Decoder,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Tower, Self::Merger, Self::Decoder];
}

impl Default for LoraSettings {
    /// Rank 8 and α 16 on all maps of the decoder.
    fn default() -> Self {
        let targets = vec!["all-linear".to_owned()];
        Self { rank: 8, alpha: 16.0, targets, parts: vec![Part::Decoder], seed: 0 }
    }
}

impl LoraSettings {
    /// Refuses settings without a meaning.
    ///
    /// # Errors
    /// [`ModelError::Adapter`].
    pub fn check(&self) -> Result<(), ModelError> {
        let refuse = |cause: &str| Err(ModelError::Adapter { cause: cause.to_owned() });
        if self.rank == 0 || self.rank > 4096 {
            return refuse("the rank must be between 1 and 4096");
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return refuse("alpha must be above 0");
        }
        if self.targets.is_empty() || self.parts.is_empty() {
            return refuse("no maps are named");
        }
        Ok(())
    }

    /// Whether the map called `name` (without `.weight`) of `part` is meant.
    pub(crate) fn means(&self, part: Part, name: &str) -> bool {
        let ends_so = |target: &String| {
            ["all", "all-linear"].contains(&target.as_str())
                || name == target
                || name.strip_suffix(target.as_str()).is_some_and(|rest| rest.ends_with('.'))
        };
        self.parts.contains(&part) && self.targets.iter().any(ends_so)
    }
}

impl Adapter {
    /// An adapter that changes nothing yet: A is uniform in ±1/√in, as `peft` makes it (Kaiming with a = √5),
    /// and B is zero. The device's seed decides A.
    pub fn init([n_out, n_in]: [usize; 2], settings: &LoraSettings, device: &Device) -> Self {
        let bound = 1.0 / (n_in as f64).sqrt();
        let down = Tensor::random([settings.rank, n_in], Distribution::Uniform(-bound, bound), device);
        Self::new(down, Tensor::zeros([n_out, settings.rank], device), settings)
    }

    /// An adapter of matrices that are there.
    ///
    /// # Shapes
    /// - `down`: `[r, in]`
    /// - `up`: `[out, r]`
    pub fn new(down: Tensor<2>, up: Tensor<2>, settings: &LoraSettings) -> Self {
        let scale = settings.alpha / settings.rank as f64;
        Self { down: Param::from_tensor(down), up: Param::from_tensor(up), scale, merged: false }
    }

    /// The adapter's part of the result; `None` where the matrix has it in itself already.
    ///
    /// # Shapes
    /// - `x`: `[m, in]`
    /// - returns: `[m, out]`
    pub(crate) fn forward(&self, x: Tensor<2>) -> Option<Tensor<2>> {
        if self.merged {
            return None;
        }
        let low = x.matmul(self.down.val().transpose());
        Some(low.matmul(self.up.val().transpose()).mul_scalar(self.scale))
    }

    /// What the adapter adds to the matrix: s·B·A, `[out, in]`.
    pub fn delta(&self) -> Tensor<2> {
        self.up.val().matmul(self.down.val()).mul_scalar(self.scale)
    }

    /// Whether the matrix has the adapter's part in itself.
    pub fn is_merged(&self) -> bool {
        self.merged
    }
}

impl Linear {
    /// The map with its adapter's part added to the matrix, which then costs nothing more; a packed matrix
    /// becomes a dense one. The adapter stays, so that it can be taken out again.
    #[must_use]
    pub fn merged(self) -> Self {
        self.shifted(true)
    }

    /// The map with its adapter's part taken out of the matrix again: equal to what it was up to rounding.
    #[must_use]
    pub fn unmerged(self) -> Self {
        self.shifted(false)
    }

    fn shifted(mut self, merged: bool) -> Self {
        let Some(adapter) = self.adapter.as_mut().filter(|adapter| adapter.merged != merged) else {
            return self;
        };
        // Constants, wherever the factors are: no graph may hang on a parameter.
        let (base, delta) = (self.weight.dequantize().detach(), adapter.delta().detach());
        let sum = if merged { base + delta } else { base - delta };
        self.weight = Weight::Dense(Param::from_tensor(sum).set_require_grad(false));
        adapter.merged = merged;
        self
    }
}
