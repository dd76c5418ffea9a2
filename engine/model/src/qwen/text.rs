//! The text decoder: Qwen2.5 with M-RoPE.
//!
//! Blocks of grouped-query attention and gated MLP (Yang et al. 2024, "Qwen2.5", section 2). The same code
//! trains, reads a prompt and generates; a cache is optional, and logits are computed only for the rows
//! that are asked for. Held true by `tests/parity_qwen.rs`.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use super::cache::KvCache;
use super::config::TextConfig;
use super::mlp::Mlp;
use super::rope::{Positions, Rotation, text_rotation};
use crate::attention::{Mask, Visibility, attend};
use crate::linear::{Bias, Linear, Weight};
use crate::norm::RmsNorm;

/// Grouped-query attention.
#[derive(Module, Debug)]
pub struct TextAttention {
    /// `[h × d_head, d]`.
    pub query: Linear,
    /// `[h_kv × d_head, d]`.
    pub key: Linear,
    /// `[h_kv × d_head, d]`.
    pub value: Linear,
    /// `[d, h × d_head]`.
    pub output: Linear,
}

/// Norm, attention, norm, MLP; both on a residual stream.
#[derive(Module, Debug)]
pub struct TextBlock {
    /// Before the attention.
    pub norm_attention: RmsNorm,
    /// The attention.
    pub attention: TextAttention,
    /// Before the MLP.
    pub norm_mlp: RmsNorm,
    /// The MLP.
    pub mlp: Mlp,
}

/// The whole decoder.
#[derive(Module, Debug)]
pub struct Decoder {
    /// `[v, d]`.
    pub embedding: Weight,
    /// The blocks.
    pub blocks: Vec<TextBlock>,
    /// After the last block.
    pub norm: RmsNorm,
    /// `[v, d]`, where it is not the embedding.
    pub head: Option<Weight>,
    #[module(skip)]
    config: TextConfig,
}

/// What all blocks of one pass share.
pub(super) struct Pass {
    rotation: Rotation<4>,
    mask: Mask,
}

impl TextAttention {
    /// # Shapes
    /// - `x`: `[b, t, d]`
    /// - returns: the same
    #[expect(clippy::many_single_char_names, reason = "shape letters, as everywhere")]
    fn forward(
        &self,
        x: Tensor<3>,
        pass: &Pass,
        d_head: usize,
        cache: Option<(usize, &mut KvCache)>,
    ) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let heads = |y: Tensor<3>| {
            let h = y.dims()[2] / d_head;
            y.reshape([b, t, h, d_head]).swap_dims(1, 2)
        };
        let turned = |y: Tensor<3>| {
            let d = y.dims()[2];
            match pass.rotation.apply_rows(y.reshape([b * t, d / d_head, d_head])) {
                Ok(y) => heads(y.reshape([b, t, d])),
                Err(y) => pass.rotation.apply(heads(y.reshape([b, t, d]))),
            }
        };
        let [query, key, value] = Linear::forward_all([&self.query, &self.key, &self.value], x);
        let (query, key, value) = (turned(query), turned(key), heads(value));
        let [key, value] = match cache {
            Some((layer, cache)) => cache.append(layer, key, value),
            None => [key, value],
        };
        let d_query = query.dims()[1] * d_head;
        self.output.forward(attend(query, key, value, &pass.mask).swap_dims(1, 2).reshape([b, t, d_query]))
    }
}

impl Decoder {
    /// Random weights of standard deviation `std`; maps that return to the residual stream are scaled down
    /// by the root of their number (Radford et al. 2019, section 2.3).
    pub fn init(config: &TextConfig, std: f64, device: &Device) -> Self {
        let d = config.d_model;
        let [d_query, d_key] = [config.n_head, config.n_kv_head].map(|h| h * config.d_head);
        let stds @ [_, std_out] = [std, std / (2.0 * config.n_layer as f64).sqrt()];
        let norm = || RmsNorm::init(d, config.rms_eps, device);
        let block = |_| TextBlock {
            norm_attention: norm(),
            attention: TextAttention {
                query: Linear::init([d, d_query], Bias::With, std, device),
                key: Linear::init([d, d_key], Bias::With, std, device),
                value: Linear::init([d, d_key], Bias::With, std, device),
                output: Linear::init([d_query, d], Bias::Without, std_out, device),
            },
            norm_mlp: norm(),
            mlp: Mlp::init([d, config.d_ffn], Bias::Without, stds, device),
        };
        let table = || Linear::init([d, config.n_vocab], Bias::Without, std, device).weight;
        Self {
            embedding: table(),
            blocks: (0..config.n_layer).map(block).collect(),
            norm: norm(),
            head: (!config.tied).then(table),
            config: config.clone(),
        }
    }

    /// Puts loaded parts together.
    pub fn new(
        embedding: Weight,
        blocks: Vec<TextBlock>,
        norm: RmsNorm,
        head: Option<Weight>,
        config: &TextConfig,
    ) -> Self {
        Self { embedding, blocks, norm, head, config: config.clone() }
    }

    /// The same decoder for generation: see [`Weight::turned`]. Embeddings are read by rows and stay; an output
    /// matrix that is tied to them gets a copy of its own.
    #[must_use]
    pub fn turned(&self) -> Self {
        let block = |block: &TextBlock| TextBlock {
            norm_attention: block.norm_attention.clone(),
            attention: TextAttention {
                query: block.attention.query.turned(),
                key: block.attention.key.turned(),
                value: block.attention.value.turned(),
                output: block.attention.output.turned(),
            },
            norm_mlp: block.norm_mlp.clone(),
            mlp: block.mlp.turned(),
        };
        Self {
            embedding: self.embedding.clone(),
            blocks: self.blocks.iter().map(block).collect(),
            norm: self.norm.clone(),
            head: Some(self.head.as_ref().unwrap_or(&self.embedding).turned()),
            config: self.config.clone(),
        }
    }

    /// The sizes.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// Embeds tokens.
    ///
    /// # Shapes
    /// - `ids`: `[m]`, each below `v`
    /// - returns: `[m, d]`
    pub fn embed(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        self.embedding.rows(ids)
    }

    /// Reads embedded tokens, after those in `cache` where there is one.
    ///
    /// # Shapes
    /// - `embeds`: `[b, t, d]`
    /// - `positions`: `b` sequences of `t`
    /// - `visibility`: over the cached tokens and these `t`
    /// - returns: `[b, t, d]`, after the final norm
    pub fn forward(
        &self,
        embeds: Tensor<3>,
        positions: &[Positions],
        visibility: Visibility,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        self.forward_observed(embeds, positions, visibility, cache, |_, _| {})
    }

    /// [`Self::forward`], showing the stream after each block to `observe`: block number and `[b, t, d]`.
    pub fn forward_observed(
        &self,
        embeds: Tensor<3>,
        positions: &[Positions],
        visibility: Visibility,
        mut cache: Option<&mut KvCache>,
        mut observe: impl FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let t = embeds.dims()[1];
        let n_cached = cache.as_deref().map_or(0, KvCache::n_token);
        let pass = self.pass(&embeds, positions, visibility, n_cached);
        let mut x = embeds;
        for layer in 0..self.blocks.len() {
            x = self.block(layer, x, &pass, cache.as_deref_mut());
            observe(layer, &x);
        }
        if let Some(cache) = cache {
            cache.advance(t);
        }
        self.norm.forward(x)
    }

    /// What all blocks share when they read `embeds` after `n_cached` tokens.
    pub(super) fn pass(
        &self,
        embeds: &Tensor<3>,
        positions: &[Positions],
        visibility: Visibility,
        n_cached: usize,
    ) -> Pass {
        let ([b, t, _], device) = (embeds.dims(), embeds.device());
        assert_eq!(positions.len(), b, "positions for every sequence");
        Pass {
            rotation: text_rotation(positions, &self.config, &device),
            mask: Mask::new(visibility, t, n_cached + t, &device),
        }
    }

    /// One block's step of the stream, `[b, t, d]`.
    pub(super) fn block(
        &self,
        layer: usize,
        x: Tensor<3>,
        pass: &Pass,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let block = &self.blocks[layer];
        let normed = block.norm_attention.forward(x.clone());
        let cache = cache.map(|cache| (layer, cache));
        let x = x + block.attention.forward(normed, pass, self.config.d_head, cache);
        x.clone() + block.mlp.forward(block.norm_mlp.forward(x))
    }

    /// Scores of the vocabulary for the rows given, and no others: for a long prompt the full table would
    /// be larger than the model.
    ///
    /// # Shapes
    /// - `hidden`: `[m, d]`, after the final norm
    /// - returns: `[m, v]`
    pub fn logits(&self, hidden: Tensor<2>) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding).multiply(hidden)
    }
}
