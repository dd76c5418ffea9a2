//! Which tensor of a Hugging Face checkpoint becomes which tensor of a GGUF file.
//!
//! The table is made from the configuration, so that a missing tensor, one too many and one of the wrong
//! shape are all found before anything is written.

use std::collections::HashMap;

use super::config::Config;
use crate::WeightSource;
use crate::error::quoted;

/// A tensor to be written.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its name in the GGUF file.
    pub(super) name: String,
    /// Its name in the checkpoint.
    pub(super) source: String,
    /// What of that tensor it is.
    pub(super) piece: Piece,
    /// Outermost first.
    pub(super) shape: Vec<usize>,
    /// The layer, where it is in one.
    pub(super) layer: Option<usize>,
    pub(super) is_vision: bool,
}

/// A part of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// All of it.
    Whole,
    /// The first, second or last third of its rows: queries, keys, values.
    Third(usize),
    /// One frame of a patch kernel `[out, channel, frame, y, x]`.
    Frame(usize),
}

impl Piece {
    /// Cuts the piece out of a tensor's values.
    pub(super) fn of(self, values: Vec<f32>, shape: &[usize]) -> Vec<f32> {
        match self {
            Self::Whole => values,
            Self::Third(third) => {
                let n = values.len() / 3;
                values[third * n..][..n].to_vec()
            }
            Self::Frame(frame) => {
                let (n_frame, n_pixel) = (shape[2], shape[3] * shape[4]);
                values.chunks_exact(n_pixel).skip(frame).step_by(n_frame).flatten().copied().collect()
            }
        }
    }
}

/// All tensors of both files, in the order in which they are written.
pub(super) fn plan(weights: &dyn WeightSource, config: &Config) -> Result<Vec<Planned>, String> {
    let names = weights.names();
    let mut source_by_name: HashMap<String, &str> = HashMap::with_capacity(names.len());
    for name in names {
        if let Some(other) = source_by_name.insert(older_name(name), name) {
            return Err(format!("`{}` and `{}` are one tensor by two names", quoted(other), quoted(name)));
        }
    }
    let mut plan = Plan { weights, source_by_name, planned: Vec::new() };
    plan.text(config)?;
    plan.vision(config)?;

    if config.is_tied {
        // Some writers store the shared matrix twice.
        plan.source_by_name.remove("lm_head.weight");
    }
    plan.source_by_name.retain(|name, _| !name.ends_with("rotary_emb.inv_freq"));
    match plan.source_by_name.into_values().min() {
        Some(name) => Err(format!("tensor `{}` has no place in Qwen2.5-VL", quoted(name))),
        None => Ok(plan.planned),
    }
}

/// Newer transformers put both towers under `model.`; the older names are shorter.
fn older_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("model.visual.") {
        format!("visual.{rest}")
    } else if let Some(rest) = name.strip_prefix("model.language_model.") {
        format!("model.{rest}")
    } else {
        name.to_owned()
    }
}

/// All of a tensor, under a name.
fn whole(name: &str) -> [(&str, Piece); 1] {
    [(name, Piece::Whole)]
}

struct Plan<'a> {
    weights: &'a dyn WeightSource,
    source_by_name: HashMap<String, &'a str>,
    planned: Vec<Planned>,
}

/// Where a tensor goes.
struct Place {
    layer: Option<usize>,
    is_vision: bool,
}

impl Plan<'_> {
    /// Takes a tensor of the checkpoint after a look at its shape.
    fn take(
        &mut self,
        source: &str,
        expected: &[usize],
        pieces: &[(&str, Piece)],
        place: &Place,
    ) -> Result<(), String> {
        let Some(original) = self.source_by_name.remove(source) else {
            return Err(format!("the checkpoint has no tensor `{source}`"));
        };
        let shape = self.weights.tensor(original).map_err(|error| error.to_string())?.shape;
        if shape != expected {
            return Err(format!(
                "tensor `{source}` has shape {shape:?}, the configuration asks for {expected:?}"
            ));
        }
        for (name, piece) in pieces {
            let shape = match piece {
                Piece::Whole => shape.clone(),
                Piece::Third(_) => [&[shape[0] / 3], &shape[1..]].concat(),
                Piece::Frame(_) => [&shape[..2], &shape[3..]].concat(),
            };
            let (name, source, piece) = ((*name).to_owned(), original.to_owned(), *piece);
            let Place { layer, is_vision } = *place;
            self.planned.push(Planned { name, source, piece, shape, layer, is_vision });
        }
        Ok(())
    }

    fn text(&mut self, config: &Config) -> Result<(), String> {
        let d = config.d_text;
        let d_kv = config.n_kv_head * config.d_head;
        let place = Place { layer: None, is_vision: false };
        self.take("model.embed_tokens.weight", &[config.n_vocab, d], &whole("token_embd.weight"), &place)?;
        self.take("model.norm.weight", &[d], &whole("output_norm.weight"), &place)?;
        if !config.is_tied {
            self.take("lm_head.weight", &[config.n_vocab, d], &whole("output.weight"), &place)?;
        }
        for layer in 0..config.n_layer {
            let f = config.d_feed_forward;
            let table: [(&str, &[usize], &str); 12] = [
                ("input_layernorm.weight", &[d], "attn_norm.weight"),
                ("self_attn.q_proj.weight", &[d, d], "attn_q.weight"),
                ("self_attn.q_proj.bias", &[d], "attn_q.bias"),
                ("self_attn.k_proj.weight", &[d_kv, d], "attn_k.weight"),
                ("self_attn.k_proj.bias", &[d_kv], "attn_k.bias"),
                ("self_attn.v_proj.weight", &[d_kv, d], "attn_v.weight"),
                ("self_attn.v_proj.bias", &[d_kv], "attn_v.bias"),
                ("self_attn.o_proj.weight", &[d, d], "attn_output.weight"),
                ("post_attention_layernorm.weight", &[d], "ffn_norm.weight"),
                ("mlp.gate_proj.weight", &[f, d], "ffn_gate.weight"),
                ("mlp.up_proj.weight", &[f, d], "ffn_up.weight"),
                ("mlp.down_proj.weight", &[d, f], "ffn_down.weight"),
            ];
            let place = Place { layer: Some(layer), is_vision: false };
            for (source, expected, name) in table {
                let name = format!("blk.{layer}.{name}");
                self.take(&format!("model.layers.{layer}.{source}"), expected, &whole(&name), &place)?;
            }
        }
        Ok(())
    }

    fn vision(&mut self, config: &Config) -> Result<(), String> {
        let vision = &config.vision;
        let (d, f) = (vision.d_hidden, vision.d_feed_forward);
        let place = Place { layer: None, is_vision: true };
        if vision.n_frame != 2 {
            return Err(format!("patches of {} frames cannot be stored, only of 2", vision.n_frame));
        }
        self.take(
            "visual.patch_embed.proj.weight",
            &[d, vision.n_channel, 2, vision.patch_px, vision.patch_px],
            &[("v.patch_embd.weight", Piece::Frame(0)), ("v.patch_embd.weight.1", Piece::Frame(1))],
            &place,
        )?;
        for block in 0..vision.n_block {
            let place = Place { layer: Some(block), is_vision: true };
            for (end, expected) in [("weight", &[3 * d, d][..]), ("bias", &[3 * d])] {
                let names = ["q", "k", "v"].map(|part| format!("v.blk.{block}.attn_{part}.{end}"));
                let pieces: Vec<_> = names
                    .iter()
                    .enumerate()
                    .map(|(third, name)| (name.as_str(), Piece::Third(third)))
                    .collect();
                self.take(&format!("visual.blocks.{block}.attn.qkv.{end}"), expected, &pieces, &place)?;
            }
            let table: [(&str, &[usize], &str); 10] = [
                ("norm1.weight", &[d], "ln1.weight"),
                ("norm2.weight", &[d], "ln2.weight"),
                ("attn.proj.weight", &[d, d], "attn_out.weight"),
                ("attn.proj.bias", &[d], "attn_out.bias"),
                ("mlp.gate_proj.weight", &[f, d], "ffn_gate.weight"),
                ("mlp.gate_proj.bias", &[f], "ffn_gate.bias"),
                ("mlp.up_proj.weight", &[f, d], "ffn_up.weight"),
                ("mlp.up_proj.bias", &[f], "ffn_up.bias"),
                ("mlp.down_proj.weight", &[d, f], "ffn_down.weight"),
                ("mlp.down_proj.bias", &[d], "ffn_down.bias"),
            ];
            for (source, expected, name) in table {
                let name = format!("v.blk.{block}.{name}");
                self.take(&format!("visual.blocks.{block}.{source}"), expected, &whole(&name), &place)?;
            }
        }
        let d_merged = d * vision.merge * vision.merge;
        let table: [(&str, &[usize], &str); 5] = [
            ("ln_q.weight", &[d], "v.post_ln.weight"),
            ("mlp.0.weight", &[d_merged, d_merged], "mm.0.weight"),
            ("mlp.0.bias", &[d_merged], "mm.0.bias"),
            ("mlp.2.weight", &[config.d_text, d_merged], "mm.2.weight"),
            ("mlp.2.bias", &[config.d_text], "mm.2.bias"),
        ];
        for (source, expected, name) in table {
            self.take(&format!("visual.merger.{source}"), expected, &whole(name), &place)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_where_they_lie() {
        let check = |piece: Piece, shape: &[usize], expected: &[f32]| {
            let values = (0..shape.iter().product()).map(|x| x as f32).collect();
            assert_eq!(piece.of(values, shape), expected);
        };
        check(Piece::Whole, &[2], &[0.0, 1.0]);
        check(Piece::Third(1), &[6, 1], &[2.0, 3.0]);
        // One output, two channels, two frames of 1 × 2 pixels.
        check(Piece::Frame(0), &[1, 2, 2, 1, 2], &[0.0, 1.0, 4.0, 5.0]);
        check(Piece::Frame(1), &[1, 2, 2, 1, 2], &[2.0, 3.0, 6.0, 7.0]);
    }
}
