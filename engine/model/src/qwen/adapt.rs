//! Which parts of the model learn, and adapters under the names that `peft` gives them.
//!
//! Every linear map has one canonical name (that of its tensor without `.weight`), by which settings choose it and
//! files name its adapter: `base_model.model.<name>.lora_A.weight` and `…lora_B.weight`, where the name is that of the
//! newer transformers (`model.language_model.layers.…`, `model.visual.…`); the older names are read as well. Held true
//! by `tests/train_lora.rs`.

use burn::module::{Module, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use eosin_weights::WeightSource;

use super::Qwen;
use super::mlp::Mlp;
use super::names::hf_names;
use super::vision::Qkv;
use crate::ModelError;
use crate::linear::{Linear, Precision};
use crate::lora::{Adapter, LoraSettings, Part};

/// What `peft` puts before the name of a map.
const PREFIX: &str = "base_model.model.";

/// Shows every linear map with its part and its name.
fn each_linear(model: &mut Qwen, visit: &mut dyn FnMut(Part, String, &mut Linear)) {
    fn each_mlp(part: Part, name: &str, mlp: &mut Mlp, visit: &mut dyn FnMut(Part, String, &mut Linear)) {
        for (leaf, linear) in
            [("gate_proj", &mut mlp.gate), ("up_proj", &mut mlp.up), ("down_proj", &mut mlp.down)]
        {
            visit(part, format!("{name}.mlp.{leaf}"), linear);
        }
    }
    if let Some(vision) = &mut model.vision {
        for (layer, block) in vision.blocks.iter_mut().enumerate() {
            let name = format!("visual.blocks.{layer}");
            match &mut block.attention.qkv {
                Qkv::Fused(qkv) => visit(Part::Tower, format!("{name}.attn.qkv"), qkv),
                Qkv::Split(split) => {
                    for (leaf, linear) in
                        [("q", &mut split.query), ("k", &mut split.key), ("v", &mut split.value)]
                    {
                        visit(Part::Tower, format!("{name}.attn.{leaf}"), linear);
                    }
                }
            }
            visit(Part::Tower, format!("{name}.attn.proj"), &mut block.attention.output);
            each_mlp(Part::Tower, &name, &mut block.mlp, visit);
        }
        visit(Part::Merger, "visual.merger.mlp.0".to_owned(), &mut vision.merger.inner);
        visit(Part::Merger, "visual.merger.mlp.2".to_owned(), &mut vision.merger.outer);
    }
    for (layer, block) in model.text.blocks.iter_mut().enumerate() {
        let name = format!("model.layers.{layer}");
        let attention = &mut block.attention;
        for (leaf, linear) in [
            ("q_proj", &mut attention.query),
            ("k_proj", &mut attention.key),
            ("v_proj", &mut attention.value),
            ("o_proj", &mut attention.output),
        ] {
            visit(Part::Decoder, format!("{name}.self_attn.{leaf}"), linear);
        }
        each_mlp(Part::Decoder, &name, &mut block.mlp, visit);
    }
}

/// An adapter's tensor with its name in `peft`'s files.
#[derive(Clone, PartialEq, Debug)]
pub struct AdapterTensor {
    /// `base_model.model.….lora_A.weight`.
    pub name: String,
    /// `[r, in]` or `[out, r]`.
    pub shape: [usize; 2],
    /// Row-major.
    pub values: Vec<f32>,
}

impl Qwen {
    /// The model with these parts left as they are: their parameters, adapters included, take no gradient.
    #[must_use]
    pub fn freeze(mut self, parts: &[Part]) -> Self {
        if let Some(vision) = &mut self.vision {
            if parts.contains(&Part::Tower) {
                vision.patch_embed = vision.patch_embed.clone().no_grad();
                vision.blocks = vision.blocks.clone().no_grad();
            }
            if parts.contains(&Part::Merger) {
                vision.merger = vision.merger.clone().no_grad();
            }
        }
        if parts.contains(&Part::Decoder) {
            self.text = self.text.no_grad();
        }
        self
    }

    /// The model with fresh adapters beside the maps that the settings name, and nothing else to learn. It computes
    /// what it did before, until they have learned.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] where the settings name no map, or have no meaning.
    pub fn with_adapters(self, settings: &LoraSettings) -> Result<Self, ModelError> {
        settings.check()?;
        let device = self.device();
        let mut model = self.freeze(&Part::ALL);
        device.seed(settings.seed);
        let mut n_adapter = 0;
        each_linear(&mut model, &mut |part, name, linear| {
            if settings.means(part, &name) {
                linear.adapter = Some(Adapter::init(linear.weight.shape(), settings, &device));
                n_adapter += 1;
            }
        });
        if n_adapter == 0 {
            let cause = format!("no linear map is called {}", settings.targets.join(" or "));
            return Err(ModelError::Adapter { cause });
        }
        Ok(model)
    }

    /// The model with adapters of a file in `peft`'s names beside the maps it names, and nothing else to learn.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`], [`ModelError::ExtraTensors`] or
    /// [`ModelError::Weights`], which name the tensor.
    pub fn load_adapters(
        self,
        source: &dyn WeightSource,
        settings: &LoraSettings,
    ) -> Result<Self, ModelError> {
        settings.check()?;
        let device = self.device();
        let mut model = self.freeze(&Part::ALL);
        let (mut used, mut failure) = (0, None);
        each_linear(&mut model, &mut |_, name, linear| {
            let [n_out, n_in] = linear.weight.shape();
            let own = hf_names(&name)
                .into_iter()
                .map(|name| format!("{PREFIX}{name}"))
                .find(|name| source.contains(&format!("{name}.lora_A.weight")));
            let Some(own) = own else { return };
            let read = |leaf: &str, shape: [usize; 2]| {
                matrix(source, &format!("{own}.{leaf}.weight"), shape)
                    .map(|values| Tensor::from_data(TensorData::new(values, shape), &device))
            };
            let rank = settings.rank;
            match read("lora_A", [rank, n_in]).and_then(|down| Ok((down, read("lora_B", [n_out, rank])?))) {
                Ok((down, up)) => {
                    linear.adapter = Some(Adapter::new(down, up, settings));
                    used += 2;
                }
                Err(error) => failure = Some(error),
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let n_tensor = source.names().len();
        if used == 0 || used < n_tensor {
            let cause = format!("{} of {n_tensor} tensors belong to no linear map", n_tensor - used);
            return Err(ModelError::Adapter { cause });
        }
        Ok(model)
    }

    /// The adapters under `peft`'s names.
    ///
    /// # Errors
    /// [`ModelError::Adapter`] where the vision tower came from a GGUF file and is adapted: its queries, keys and
    /// values are maps of their own there, for which `peft` has no names.
    pub fn adapters(&self) -> Result<Vec<AdapterTensor>, ModelError> {
        self.adapter_tensors(|param| Some(param.val()))
    }

    /// The gradients of the adapters that took part in a loss, under `peft`'s names.
    ///
    /// # Errors
    /// As [`Self::adapters`].
    pub fn adapter_gradients(&self, gradients: &Gradients) -> Result<Vec<AdapterTensor>, ModelError> {
        self.adapter_tensors(|param| param.val().grad(gradients))
    }

    fn adapter_tensors(
        &self,
        read: impl Fn(&Param<Tensor<2>>) -> Option<Tensor<2>>,
    ) -> Result<Vec<AdapterTensor>, ModelError> {
        let (mut tensors, mut unnamed) = (Vec::new(), false);
        each_linear(&mut self.clone(), &mut |_, name, linear| {
            let Some(adapter) = &linear.adapter else { return };
            unnamed |= [".attn.q", ".attn.k", ".attn.v"].iter().any(|leaf| name.ends_with(leaf));
            let name = hf_names(&name).into_iter().nth(1).unwrap_or(name);
            for (leaf, param) in [("lora_A", &adapter.down), ("lora_B", &adapter.up)] {
                let Some(tensor) = read(param) else { continue };
                let (shape, values) = (tensor.dims(), tensor.into_data().convert::<f32>());
                let values = values.try_into_vec().expect("values were converted to f32");
                tensors.push(AdapterTensor { name: format!("{PREFIX}{name}.{leaf}.weight"), shape, values });
            }
        });
        if unnamed {
            let cause = "queries, keys and values of a GGUF projector have no names in an adapter file";
            return Err(ModelError::Adapter { cause: cause.to_owned() });
        }
        Ok(tensors)
    }

    /// Names of the adapted maps that are the same in every version of transformers: `layers.0.self_attn.q_proj`.
    pub fn adapted_maps(&self) -> Vec<String> {
        let mut names = Vec::new();
        each_linear(&mut self.clone(), &mut |_, name, linear| {
            if linear.adapter.is_some() {
                let short = name.strip_prefix("model.").or_else(|| name.strip_prefix("visual."));
                names.push(short.unwrap_or(&name).to_owned());
            }
        });
        names
    }

    /// The model with the products of its blocks and its merger computed in another precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        each_linear(&mut self, &mut |_, _, linear| linear.precision = precision);
        self
    }

    /// The model with its adapters' parts added to the matrices: as fast as without, and exported as any model is.
    /// Packed matrices become dense.
    #[must_use]
    pub fn merged(mut self) -> Self {
        each_linear(&mut self, &mut |_, _, linear| *linear = linear.clone().merged());
        self
    }

    /// The model with its adapters' parts taken out of the matrices again.
    #[must_use]
    pub fn unmerged(mut self) -> Self {
        each_linear(&mut self, &mut |_, _, linear| *linear = linear.clone().unmerged());
        self
    }
}

/// A matrix of an adapter file.
fn matrix(source: &dyn WeightSource, name: &str, shape: [usize; 2]) -> Result<Vec<f32>, ModelError> {
    if !source.contains(name) {
        return Err(ModelError::MissingTensor { name: name.to_owned() });
    }
    let weights = |source| ModelError::Weights { name: name.to_owned(), source };
    let raw = source.tensor(name).map_err(weights)?;
    if raw.shape != shape {
        let (expected, found) = (shape.to_vec(), raw.shape);
        return Err(ModelError::TensorShape { name: name.to_owned(), expected, found });
    }
    Ok(raw.to_f32())
}
