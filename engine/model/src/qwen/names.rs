//! What each parameter is called in checkpoints: the one translation table.
//!
//! The canonical names are those of the released Hugging Face checkpoints (`visual.*`, `model.*`,
//! `lm_head.weight`). Newer transformers nest them under `model.visual.` and `model.language_model.`; GGUF
//! files have names of their own. Held true by the tests below, `tests/parity_qwen.rs` (gradients by name)
//! and `tests/parity_gguf.rs`.

use burn::module::Param;
use burn::tensor::{Gradients, Tensor};

use super::Qwen;
use super::mlp::Mlp;
use super::vision::Qkv;
use crate::linear::{Linear, Weight};

/// Names under which a Hugging Face checkpoint may hold the tensor that is canonically called `name`.
pub fn hf_names(name: &str) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    if let Some(rest) = name.strip_prefix("visual.") {
        names.push(format!("model.visual.{rest}"));
    } else if let Some(rest) = name.strip_prefix("model.") {
        names.push(format!("model.language_model.{rest}"));
        names.push(format!("language_model.model.{rest}"));
    } else if name == "lm_head.weight" {
        names.push("language_model.lm_head.weight".to_owned());
    }
    names
}

/// The name of the same tensor in a GGUF file, text model or projector. The projector splits
/// `attn.qkv`: ask for `attn.q`, `attn.k` and `attn.v`.
pub fn gguf_name(name: &str) -> Option<String> {
    const WHOLE: [(&str, &str); 8] = [
        ("model.embed_tokens.weight", "token_embd.weight"),
        ("model.norm.weight", "output_norm.weight"),
        ("lm_head.weight", "output.weight"),
        ("visual.merger.ln_q.weight", "v.post_ln.weight"),
        ("visual.merger.mlp.0.weight", "mm.0.weight"),
        ("visual.merger.mlp.0.bias", "mm.0.bias"),
        ("visual.merger.mlp.2.weight", "mm.2.weight"),
        ("visual.merger.mlp.2.bias", "mm.2.bias"),
    ];
    const TEXT: [(&str, &str); 9] = [
        ("input_layernorm", "attn_norm"),
        ("post_attention_layernorm", "ffn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    const VISION: [(&str, &str); 10] = [
        ("norm1", "ln1"),
        ("norm2", "ln2"),
        ("attn.qkv", "attn_qkv"),
        ("attn.q", "attn_q"),
        ("attn.k", "attn_k"),
        ("attn.v", "attn_v"),
        ("attn.proj", "attn_out"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
    ];
    if let Some((_, gguf)) = WHOLE.iter().find(|(hf, _)| *hf == name) {
        return Some((*gguf).to_owned());
    }
    let (rest, prefix, table) =
        match (name.strip_prefix("model.layers."), name.strip_prefix("visual.blocks.")) {
            (Some(rest), _) => (rest, "blk", &TEXT[..]),
            (_, Some(rest)) => (rest, "v.blk", &VISION[..]),
            _ => return None,
        };
    let (layer, rest) = rest.split_once('.')?;
    let (part, leaf) = rest.rsplit_once('.')?;
    let (_, gguf) = table.iter().find(|(hf, _)| *hf == part)?;
    Some(format!("{prefix}.{layer}.{gguf}.{leaf}"))
}

/// The values behind a name.
#[derive(Clone, Copy, Debug)]
enum Slot<'a> {
    Vector(&'a Param<Tensor<1>>),
    Matrix(&'a Weight),
}

/// A parameter under its canonical name.
#[derive(Clone, Debug)]
pub struct NamedTensor<'a> {
    /// The name in a Hugging Face checkpoint.
    pub name: String,
    /// The shape there, outermost first.
    pub shape: Vec<usize>,
    /// Rows in order: three matrices where the model keeps apart what checkpoints join.
    slots: Vec<Slot<'a>>,
}

/// A float tensor's values in row-major order.
fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("values were converted to f32")
}

impl NamedTensor<'_> {
    /// The values as 32-bit floats, row-major.
    pub fn values(&self) -> Vec<f32> {
        let values = self.slots.iter().flat_map(|slot| match slot {
            Slot::Vector(param) => read(param.val()),
            Slot::Matrix(weight) => read(weight.dequantize()),
        });
        values.collect()
    }

    /// The gradients, row-major; `None` where the parameter is packed or took no part in the loss.
    pub fn gradient(&self, gradients: &Gradients) -> Option<Vec<f32>> {
        let mut values = Vec::new();
        for slot in &self.slots {
            match slot {
                Slot::Vector(param) => values.extend(read(param.val().grad(gradients)?)),
                Slot::Matrix(Weight::Dense(param)) => values.extend(read(param.val().grad(gradients)?)),
                Slot::Matrix(Weight::Packed(_)) => return None,
            }
        }
        Some(values)
    }
}

/// Collects named tensors.
struct Walk<'a>(Vec<NamedTensor<'a>>);

impl<'a> Walk<'a> {
    fn vector(&mut self, name: String, param: &'a Param<Tensor<1>>) {
        let shape = param.lazy_shape().to_vec();
        self.0.push(NamedTensor { name, shape, slots: vec![Slot::Vector(param)] });
    }

    fn matrix(&mut self, name: String, weight: &'a Weight) {
        self.0.push(NamedTensor { name, shape: weight.shape().to_vec(), slots: vec![Slot::Matrix(weight)] });
    }

    fn linear(&mut self, name: &str, linear: &'a Linear) {
        self.matrix(format!("{name}.weight"), &linear.weight);
        if let Some(bias) = &linear.bias {
            self.vector(format!("{name}.bias"), bias);
        }
    }

    fn joined(&mut self, name: &str, parts: [&'a Linear; 3]) {
        let [mut n_row, mut n_col] = [0, 0];
        for part in parts {
            let [rows, cols] = part.weight.shape();
            n_row += rows;
            n_col = cols;
        }
        let slots = parts.iter().map(|part| Slot::Matrix(&part.weight)).collect();
        self.0.push(NamedTensor { name: format!("{name}.weight"), shape: vec![n_row, n_col], slots });
        let slots = parts.iter().filter_map(|part| part.bias.as_ref().map(Slot::Vector)).collect();
        self.0.push(NamedTensor { name: format!("{name}.bias"), shape: vec![n_row], slots });
    }

    fn mlp(&mut self, name: &str, mlp: &'a Mlp) {
        for (part, linear) in [("gate_proj", &mlp.gate), ("up_proj", &mlp.up), ("down_proj", &mlp.down)] {
            self.linear(&format!("{name}.mlp.{part}"), linear);
        }
    }
}

impl Qwen {
    /// Every parameter under its canonical name, vision tower first. Values are read one tensor at a time,
    /// so that an export needs no second copy of the model.
    pub fn tensors(&self) -> Vec<NamedTensor<'_>> {
        let mut walk = Walk(Vec::new());
        if let (Some(vision), Some(config)) = (&self.vision, &self.config().vision) {
            let side = config.patch_px;
            walk.matrix("visual.patch_embed.proj.weight".to_owned(), &vision.patch_embed.weight);
            if let Some(last) = walk.0.last_mut() {
                last.shape = vec![config.d_model, config.n_channel, config.n_frame, side, side];
            }
            for (layer, block) in vision.blocks.iter().enumerate() {
                let name = format!("visual.blocks.{layer}");
                walk.vector(format!("{name}.norm1.weight"), &block.norm_attention.gain);
                walk.vector(format!("{name}.norm2.weight"), &block.norm_mlp.gain);
                match &block.attention.qkv {
                    Qkv::Fused(qkv) => walk.linear(&format!("{name}.attn.qkv"), qkv),
                    Qkv::Split(split) => {
                        walk.joined(&format!("{name}.attn.qkv"), [&split.query, &split.key, &split.value]);
                    }
                }
                walk.linear(&format!("{name}.attn.proj"), &block.attention.output);
                walk.mlp(&name, &block.mlp);
            }
            walk.vector("visual.merger.ln_q.weight".to_owned(), &vision.merger.norm.gain);
            walk.linear("visual.merger.mlp.0", &vision.merger.inner);
            walk.linear("visual.merger.mlp.2", &vision.merger.outer);
        }
        walk.matrix("model.embed_tokens.weight".to_owned(), &self.text.embedding);
        for (layer, block) in self.text.blocks.iter().enumerate() {
            let name = format!("model.layers.{layer}");
            walk.vector(format!("{name}.input_layernorm.weight"), &block.norm_attention.gain);
            walk.vector(format!("{name}.post_attention_layernorm.weight"), &block.norm_mlp.gain);
            let attention = &block.attention;
            for (part, linear) in [
                ("q_proj", &attention.query),
                ("k_proj", &attention.key),
                ("v_proj", &attention.value),
                ("o_proj", &attention.output),
            ] {
                walk.linear(&format!("{name}.self_attn.{part}"), linear);
            }
            walk.mlp(&name, &block.mlp);
        }
        walk.vector("model.norm.weight".to_owned(), &self.text.norm.gain);
        if let Some(head) = &self.text.head {
            walk.matrix("lm_head.weight".to_owned(), head);
        }
        walk.0
    }

    /// Every parameter by canonical name: shape and values, for export. Use [`Self::tensors`] where the model
    /// is too large to be held twice.
    pub fn named_weights(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        self.tensors()
            .into_iter()
            .map(|tensor| (tensor.name.clone(), tensor.shape.clone(), tensor.values()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_llama_cpp() {
        let check =
            |name: &str, expected: &str| assert_eq!(gguf_name(name).as_deref(), Some(expected), "{name}");
        check("model.layers.12.self_attn.o_proj.weight", "blk.12.attn_output.weight");
        check("model.layers.0.self_attn.k_proj.bias", "blk.0.attn_k.bias");
        check("model.layers.3.post_attention_layernorm.weight", "blk.3.ffn_norm.weight");
        check("visual.blocks.7.attn.v.bias", "v.blk.7.attn_v.bias");
        check("visual.blocks.31.mlp.down_proj.weight", "v.blk.31.ffn_down.weight");
        check("visual.merger.mlp.2.bias", "mm.2.bias");
        check("lm_head.weight", "output.weight");
        assert_eq!(gguf_name("model.layers.0.unknown.weight"), None);
        assert_eq!(hf_names("model.norm.weight")[1], "model.language_model.norm.weight");
    }
}
