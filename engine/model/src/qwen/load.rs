//! From the tensors of a checkpoint to modules.
//!
//! Shapes are compared with the configuration before anything is built, and a checkpoint must hold exactly
//! the tensors that the model needs. Matrices stay as their file stores them unless dense ones are asked
//! for; on the processor that copies nothing, so that a loaded model takes the memory of its file. Held true
//! by `tests/parity_qwen.rs`, `tests/parity_gguf.rs` and the tests below.

use std::cell::RefCell;
use std::collections::HashSet;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use eosin_kernels::{Arithmetic, PackedMatrix};
use eosin_weights::{GgmlType, Gguf, RawTensor, WeightSource};

use super::Qwen;
use super::config::{Config, TextConfig, VisionConfig};
use super::merger::Merger;
use super::mlp::Mlp;
use super::names::{gguf_name, hf_names};
use super::text::{Decoder, TextAttention, TextBlock};
use super::vision::{Qkv, SplitQkv, VisionAttention, VisionBlock, VisionTower};
use crate::ModelError;
use crate::linear::{Bias, Linear, Weight};
use crate::norm::RmsNorm;

/// How matrices are held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WeightForm {
    /// As their file stores them: small and constant. Products are rounded only where the file is: one whose matrices
    /// all have 16 or 32 bits was chosen for its digits.
    Packed(Arithmetic),
    /// As 32-bit floats that can be trained.
    Dense,
}

/// How a source calls its tensors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Naming {
    HuggingFace,
    Gguf,
}

/// Reads tensors and remembers which.
struct Loader<'a> {
    source: &'a dyn WeightSource,
    naming: Naming,
    form: WeightForm,
    device: &'a Device,
    used: RefCell<HashSet<String>>,
}

impl<'a> Loader<'a> {
    fn new(source: &'a dyn WeightSource, naming: Naming, form: WeightForm, device: &'a Device) -> Self {
        let is_rounded = source
            .names()
            .into_iter()
            .any(|name| source.tensor(name).is_ok_and(|tensor| tensor.kind.is_quantized()));
        let form = match form {
            WeightForm::Packed(_) if !is_rounded => WeightForm::Packed(Arithmetic::Exact),
            form => form,
        };
        Self { source, naming, form, device, used: RefCell::default() }
    }

    /// The source's own name of a tensor, where it has it.
    fn find(&self, name: &str) -> Option<String> {
        let names = match self.naming {
            Naming::HuggingFace => hf_names(name),
            Naming::Gguf => gguf_name(name).into_iter().collect(),
        };
        names.into_iter().find(|name| self.source.contains(name))
    }

    /// A tensor by canonical name, of the shape given.
    fn raw(&self, name: &str, shape: &[usize]) -> Result<RawTensor, ModelError> {
        let own = self.find(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
        self.raw_by_own_name(&own, shape)
    }

    fn raw_by_own_name(&self, own: &str, shape: &[usize]) -> Result<RawTensor, ModelError> {
        let weights = |source| ModelError::Weights { name: own.to_owned(), source };
        let raw = self.source.tensor(own).map_err(weights)?;
        if raw.shape != shape {
            return Err(ModelError::TensorShape {
                name: own.to_owned(),
                expected: shape.to_vec(),
                found: raw.shape,
            });
        }
        self.used.borrow_mut().insert(own.to_owned());
        Ok(raw)
    }

    fn vector(&self, name: &str, n: usize) -> Result<Param<Tensor<1>>, ModelError> {
        let values = self.raw(name, &[n])?.to_f32();
        Ok(Param::from_data(TensorData::new(values, [n]), self.device))
    }

    /// A matrix whose file may fold its columns into several axes.
    fn weight(&self, name: &str, shape: &[usize]) -> Result<Weight, ModelError> {
        let raw = self.raw(name, shape)?;
        let dims = [shape[0], shape[1..].iter().product()];
        Ok(self.matrix(&raw, dims))
    }

    fn matrix(&self, raw: &RawTensor, dims: [usize; 2]) -> Weight {
        match (self.form, raw.kind) {
            // Folded axes may leave rows that are no whole blocks: those matrices are small.
            (WeightForm::Packed(arithmetic), kind)
                if kind != GgmlType::F32 && kind.row_bytes(dims[1]).is_some() =>
            {
                let matrix = PackedMatrix::new(kind, dims, raw.bytes.clone(), self.device);
                Weight::Packed(matrix.with_arithmetic(arithmetic))
            }
            (WeightForm::Packed(_), GgmlType::F32) => Weight::Dense(self.constant(raw, dims)),
            _ => Weight::Dense(Param::from_data(TensorData::new(raw.to_f32(), dims), self.device)),
        }
    }

    /// Floats in place, where they are aligned for it; a parameter that takes no gradient.
    fn constant(&self, raw: &RawTensor, dims: [usize; 2]) -> Param<Tensor<2>> {
        let aligned =
            bytemuck::try_cast_slice::<u8, f32>(&raw.bytes).is_ok() && cfg!(target_endian = "little");
        let data = if aligned {
            let bytes =
                burn::tensor::Bytes::from_shared(raw.bytes.clone(), burn::tensor::AllocationProperty::File);
            TensorData::from_bytes(bytes, dims, burn::tensor::DType::F32)
        } else {
            TensorData::new(raw.to_f32(), dims)
        };
        Param::from_data(data, self.device).set_require_grad(false)
    }

    fn linear(&self, name: &str, [n_in, n_out]: [usize; 2], bias: Bias) -> Result<Linear, ModelError> {
        let weight = self.weight(&format!("{name}.weight"), &[n_out, n_in])?;
        let bias = match bias {
            Bias::With => Some(self.vector(&format!("{name}.bias"), n_out)?),
            Bias::Without => None,
        };
        Ok(Linear::new(weight, bias))
    }

    fn norm(&self, name: &str, d: usize, eps: f64) -> Result<RmsNorm, ModelError> {
        Ok(RmsNorm::new(self.vector(&format!("{name}.weight"), d)?, eps))
    }

    fn mlp(&self, name: &str, [d, d_ffn]: [usize; 2], bias: Bias) -> Result<Mlp, ModelError> {
        Ok(Mlp {
            gate: self.linear(&format!("{name}.mlp.gate_proj"), [d, d_ffn], bias)?,
            up: self.linear(&format!("{name}.mlp.up_proj"), [d, d_ffn], bias)?,
            down: self.linear(&format!("{name}.mlp.down_proj"), [d_ffn, d], bias)?,
        })
    }

    fn decoder(&self, config: &TextConfig) -> Result<Decoder, ModelError> {
        let (d, eps) = (config.d_model, config.rms_eps);
        let [d_query, d_key] = [config.n_head, config.n_kv_head].map(|h| h * config.d_head);
        let block = |layer: usize| -> Result<TextBlock, ModelError> {
            let name = format!("model.layers.{layer}");
            let projection =
                |part: &str, dims, bias| self.linear(&format!("{name}.self_attn.{part}"), dims, bias);
            Ok(TextBlock {
                norm_attention: self.norm(&format!("{name}.input_layernorm"), d, eps)?,
                attention: TextAttention {
                    query: projection("q_proj", [d, d_query], Bias::With)?,
                    key: projection("k_proj", [d, d_key], Bias::With)?,
                    value: projection("v_proj", [d, d_key], Bias::With)?,
                    output: projection("o_proj", [d_query, d], Bias::Without)?,
                },
                norm_mlp: self.norm(&format!("{name}.post_attention_layernorm"), d, eps)?,
                mlp: self.mlp(&name, [d, config.d_ffn], Bias::Without)?,
            })
        };
        let table = |name: &str| self.weight(name, &[config.n_vocab, d]);
        let head = if config.tied { None } else { Some(table("lm_head.weight")?) };
        if config.tied {
            // Some checkpoints store the tied matrix twice.
            self.used.borrow_mut().extend(self.find("lm_head.weight"));
        }
        let embedding = table("model.embed_tokens.weight")?;
        let blocks = (0..config.n_layer).map(block).collect::<Result<_, _>>()?;
        Ok(Decoder::new(embedding, blocks, self.norm("model.norm", d, eps)?, head, config))
    }

    fn tower(&self, config: &VisionConfig) -> Result<VisionTower, ModelError> {
        let (d, eps) = (config.d_model, config.rms_eps);
        let block = |layer: usize| -> Result<VisionBlock, ModelError> {
            let name = format!("visual.blocks.{layer}");
            let fused = format!("{name}.attn.qkv");
            let qkv = if self.naming == Naming::HuggingFace || self.find(&format!("{fused}.weight")).is_some()
            {
                Qkv::Fused(self.linear(&fused, [d, 3 * d], Bias::With)?)
            } else {
                let part = |part: &str| self.linear(&format!("{name}.attn.{part}"), [d, d], Bias::With);
                Qkv::Split(SplitQkv { query: part("q")?, key: part("k")?, value: part("v")? })
            };
            let output = self.linear(&format!("{name}.attn.proj"), [d, d], Bias::With)?;
            let norms =
                [self.norm(&format!("{name}.norm1"), d, eps)?, self.norm(&format!("{name}.norm2"), d, eps)?];
            let mlp = self.mlp(&name, [d, config.d_ffn], Bias::With)?;
            Ok(VisionBlock::new(layer, norms, VisionAttention::new(qkv, output, config), mlp, config))
        };
        let d_cell = d * config.cell();
        let patch_embed = Linear::new(self.patch_embed(config)?, None);
        let blocks = (0..config.n_layer).map(block).collect::<Result<_, _>>()?;
        let merger = Merger {
            norm: self.norm("visual.merger.ln_q", d, eps)?,
            inner: self.linear("visual.merger.mlp.0", [d_cell, d_cell], Bias::With)?,
            outer: self.linear("visual.merger.mlp.2", [d_cell, config.d_out], Bias::With)?,
        };
        Ok(VisionTower::new(patch_embed, blocks, merger, config))
    }

    /// The patch embedding: one tensor, or in GGUF files one for each frame of a patch.
    fn patch_embed(&self, config: &VisionConfig) -> Result<Weight, ModelError> {
        let (d, side, c, n_frame) = (config.d_model, config.patch_px, config.n_channel, config.n_frame);
        if self.naming == Naming::HuggingFace {
            return self.weight("visual.patch_embed.proj.weight", &[d, c, n_frame, side, side]);
        }
        let area = side * side;
        let mut values = vec![0.0; d * config.d_patch()];
        for frame in 0..n_frame {
            let own = if frame == 0 {
                "v.patch_embd.weight".to_owned()
            } else {
                format!("v.patch_embd.weight.{frame}")
            };
            let half = self.raw_by_own_name(&own, &[d, c, side, side])?.to_f32();
            for (place, pixels) in half.chunks_exact(area).enumerate() {
                let start = (place * n_frame + frame) * area;
                values[start..start + area].copy_from_slice(pixels);
            }
        }
        Ok(Weight::Dense(Param::from_data(TensorData::new(values, [d, config.d_patch()]), self.device)))
    }

    /// Refuses tensors that found no place.
    fn finish(self) -> Result<(), ModelError> {
        let used = self.used.into_inner();
        // Tables of angles, which older writers stored.
        let is_derived = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "rope_freqs.weight";
        let mut extra =
            self.source.names().into_iter().filter(|name| !used.contains(*name) && !is_derived(name));
        match extra.next() {
            None => Ok(()),
            Some(name) => {
                let name = name.chars().take(80).flat_map(char::escape_debug).collect();
                Err(ModelError::ExtraTensors { name, n_tensor: 1 + extra.count() })
            }
        }
    }
}

impl Qwen {
    /// Loads a Hugging Face checkpoint.
    ///
    /// # Errors
    /// [`ModelError::MissingTensor`], [`ModelError::TensorShape`], [`ModelError::ExtraTensors`] or
    /// [`ModelError::Weights`], which name the tensor.
    pub fn load(
        config: &Config,
        source: &dyn WeightSource,
        form: WeightForm,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let loader = Loader::new(source, Naming::HuggingFace, form, device);
        let vision = config.vision.as_ref().map(|vision| loader.tower(vision)).transpose()?;
        let text = loader.decoder(&config.text)?;
        loader.finish()?;
        Ok(Self::new(vision, text, config))
    }

    /// Loads a text model and its projector from GGUF files; `config` says whether there is a projector.
    ///
    /// # Errors
    /// As [`Self::load`]; [`ModelError::Absent`] where the configuration has a vision tower and `mmproj` is
    /// not given.
    pub fn load_gguf(
        config: &Config,
        text: &Gguf,
        mmproj: Option<&Gguf>,
        form: WeightForm,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let vision = match &config.vision {
            Some(vision) => {
                let mmproj =
                    mmproj.ok_or(ModelError::Absent { part: "the projector of its vision tower" })?;
                let loader = Loader::new(mmproj, Naming::Gguf, form, device);
                let tower = loader.tower(vision)?;
                loader.finish()?;
                Some(tower)
            }
            None => None,
        };
        let loader = Loader::new(text, Naming::Gguf, form, device);
        let decoder = loader.decoder(&config.text)?;
        loader.finish()?;
        Ok(Self::new(vision, decoder, config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qwen::config::TokenIds;
    use eosin_weights::MemoryTensors;

    type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

    fn config() -> Config {
        Config {
            text: TextConfig {
                n_vocab: 11,
                d_model: 16,
                d_ffn: 20,
                n_layer: 1,
                n_head: 4,
                n_kv_head: 2,
                d_head: 4,
                rms_eps: 1e-6,
                rope_theta: 1e4,
                mrope_section: [1, 1, 0],
                tied: false,
            },
            vision: Some(VisionConfig {
                n_layer: 1,
                d_model: 8,
                d_ffn: 12,
                n_head: 2,
                d_out: 16,
                n_channel: 3,
                patch_px: 14,
                n_frame: 2,
                merge: 2,
                window_px: 112,
                full_attention: vec![0],
                rms_eps: 1e-6,
            }),
            tokens: TokenIds { vision_start: 1, vision_end: 2, image_pad: 3 },
        }
    }

    fn load(config: &Config, tensors: Tensors, form: WeightForm) -> Result<Qwen, ModelError> {
        Qwen::load(config, &MemoryTensors::from_f32(tensors).unwrap(), form, &Device::flex())
    }

    #[test]
    fn every_weight_survives_both_naming_schemes() {
        let config = config();
        let weights = Qwen::init(&config, &Device::flex()).named_weights();
        let newer = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
            let names = hf_names(&name);
            (names.get(1).filter(|_| name != "lm_head.weight").unwrap_or(&name).clone(), shape, values)
        };
        for form in [WeightForm::Packed(Arithmetic::Exact), WeightForm::Dense] {
            assert_eq!(load(&config, weights.clone(), form).unwrap().named_weights(), weights, "{form:?}");
            let renamed: Tensors = weights.clone().into_iter().map(newer).collect();
            assert_eq!(
                load(&config, renamed, form).unwrap().named_weights(),
                weights,
                "{form:?}, newer names"
            );
        }
    }

    #[test]
    fn a_tensor_that_does_not_fit_is_named() {
        let weights = Qwen::init(&config(), &Device::flex()).named_weights();
        let check = |change: &dyn Fn(&mut Config, &mut Tensors), expected: &str| {
            let (mut config, mut weights) = (config(), weights.clone());
            change(&mut config, &mut weights);
            let message =
                load(&config, weights, WeightForm::Packed(Arithmetic::Exact)).unwrap_err().to_string();
            assert!(message.contains(expected), "{expected}: {message}");
        };
        let find =
            |weights: &Tensors, name: &str| weights.iter().position(|tensor| tensor.0 == name).unwrap();
        for name in
            ["visual.patch_embed.proj.weight", "model.layers.0.self_attn.q_proj.bias", "lm_head.weight"]
        {
            check(
                &|_, weights| drop(weights.remove(find(weights, name))),
                &format!("lack the tensor `{name}`"),
            );
            check(
                &|_, weights| {
                    let idx = find(weights, name);
                    weights[idx].1.insert(0, 1);
                },
                &format!("`{name}` has shape [1, "),
            );
        }
        check(&|_, weights| weights.push(("lora_A".to_owned(), vec![1], vec![0.0])), "1 tensors");
        check(
            &|config, _| config.text.d_ffn = 21,
            "mlp.gate_proj.weight` has shape [20, 16], expected [21, 16]",
        );
        check(&|config, _| config.vision = None, "no place for");
        // A second copy of a tied matrix is no error.
        let mut tied = config();
        tied.text.tied = true;
        assert!(load(&tied, weights.clone(), WeightForm::Packed(Arithmetic::Exact)).is_ok());
    }
}
