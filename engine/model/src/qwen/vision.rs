//! The vision tower: patches in, text-width tokens out.
//!
//! A linear patch embedding (the reference's 3-D convolution with stride = kernel), blocks of windowed
//! attention with a few of whole-picture attention, and the merger (Bai et al. 2025, section 2.1). Several
//! pictures go through together; see `window.rs` for how they are batched. Held true by
//! `tests/parity_qwen.rs`, block by block.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use eosin_core::PatchGrid;

use super::config::VisionConfig;
use super::merger::Merger;
use super::mlp::Mlp;
use super::rope::{Rotation, patch_positions, vision_rotation};
use super::window::{Run, WindowPlan};
use crate::attention::{Mask, Visibility, attend};
use crate::linear::{Bias, Linear};
use crate::norm::RmsNorm;

/// Query, key and value maps, each its own matrix.
#[derive(Module, Debug)]
pub struct SplitQkv {
    /// `[d, d]`.
    pub query: Linear,
    /// `[d, d]`.
    pub key: Linear,
    /// `[d, d]`.
    pub value: Linear,
}

/// The query, key and value maps, as their file stores them: joining packed matrices would copy them.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "some dozens of values, and the module derive takes no box")]
pub enum Qkv {
    /// One matrix of `[3 d, d]`: queries, keys, values.
    Fused(Linear),
    /// One matrix each, as in GGUF files.
    Split(SplitQkv),
}

/// Attention within windows or whole pictures.
#[derive(Module, Debug)]
pub struct VisionAttention {
    /// Inputs of the attention.
    pub qkv: Qkv,
    /// `[d, d]`.
    pub output: Linear,
    n_head: usize,
}

/// Norm, attention, norm, MLP; both on a residual stream.
#[derive(Module, Debug)]
pub struct VisionBlock {
    /// Before the attention.
    pub norm_attention: RmsNorm,
    /// The attention.
    pub attention: VisionAttention,
    /// Before the MLP.
    pub norm_mlp: RmsNorm,
    /// The MLP.
    pub mlp: Mlp,
    whole_picture: bool,
}

/// The whole tower.
#[derive(Module, Debug)]
pub struct VisionTower {
    /// `[d, 3 × 2 × 14 × 14]`.
    pub patch_embed: Linear,
    /// The blocks.
    pub blocks: Vec<VisionBlock>,
    /// The map to text tokens.
    pub merger: Merger,
    #[module(skip)]
    config: VisionConfig,
}

/// What all blocks of one forward pass share.
pub(super) struct Layout {
    plan: WindowPlan,
    rotation: Rotation<3>,
    /// Places of patches, picture by picture, and back; `None` where nothing moves.
    gather: Option<[Tensor<1, Int>; 2]>,
}

/// An index tensor.
fn indices(values: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.map(|value| value as i32).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}

/// Each cell's patches, for cells in the order given.
fn patches_of(cells: &[u32], cell: usize) -> impl Iterator<Item = u32> {
    cells.iter().flat_map(move |idx| (0..cell as u32).map(move |i| idx * cell as u32 + i))
}

impl Layout {
    fn new(grids: &[PatchGrid], config: &VisionConfig, device: &Device) -> Self {
        let plan = WindowPlan::new(grids, config.window());
        let natural: Vec<[u32; 2]> = grids.iter().flat_map(patch_positions).collect();
        let positions: Vec<[u32; 2]> =
            patches_of(&plan.order, config.cell()).map(|idx| natural[idx as usize]).collect();
        let rotation = vision_rotation(&positions, config, device);
        let gather = plan.pictures_order.as_ref().map(|order| {
            let mut back = vec![0; order.len()];
            for (i, place) in order.iter().enumerate() {
                back[*place as usize] = i as u32;
            }
            [order, &back].map(|order| indices(patches_of(order, config.cell()), device))
        });
        Self { plan, rotation, gather }
    }
}

impl VisionAttention {
    /// Random weights; `std_out` for the map that returns to the residual stream.
    fn init(config: &VisionConfig, [std, std_out]: [f64; 2], device: &Device) -> Self {
        let d = config.d_model;
        Self {
            qkv: Qkv::Fused(Linear::init([d, 3 * d], Bias::With, std, device)),
            output: Linear::init([d, d], Bias::With, std_out, device),
            n_head: config.n_head,
        }
    }

    /// Puts loaded parts together.
    pub fn new(qkv: Qkv, output: Linear, config: &VisionConfig) -> Self {
        Self { qkv, output, n_head: config.n_head }
    }

    /// Queries and keys, rotated, and values: `[p, h, d_head]` each.
    fn project(&self, x: Tensor<2>, rotation: &Rotation<3>) -> [Tensor<3>; 3] {
        let ([n_patch, d], h) = (x.dims(), self.n_head);
        let (query_key, value) = match &self.qkv {
            Qkv::Fused(qkv) => {
                let qkv = qkv.forward(x);
                (qkv.clone().narrow(1, 0, 2 * d), qkv.narrow(1, 2 * d, d))
            }
            Qkv::Split(split) => {
                let [query, key, value] = Linear::forward_all([&split.query, &split.key, &split.value], x);
                (Tensor::cat(vec![query, key], 1), value)
            }
        };
        // Queries and keys turn together, as if there were twice the heads.
        let query_key = query_key.reshape([n_patch, 2 * h, d / h]);
        let query_key = rotation.apply_rows(query_key).unwrap_or_else(|query_key| rotation.apply(query_key));
        let query = query_key.clone().narrow(1, 0, h);
        [query, query_key.narrow(1, h, h), value.reshape([n_patch, h, d / h])]
    }

    /// # Shapes
    /// - `x`: `[p, d]`
    /// - returns: the same
    fn forward(&self, x: Tensor<2>, layout: &Layout, whole_picture: bool) -> Tensor<2> {
        let ([n_patch, d], device) = (x.dims(), x.device());
        let mut qkv = self.project(x, &layout.rotation);
        let gather = layout.gather.as_ref().filter(|_| whole_picture);
        if let Some([order, _]) = gather {
            qkv = qkv.map(|part| part.select(0, order.clone()));
        }
        let runs = if whole_picture { &layout.plan.pictures } else { &layout.plan.windows };
        let mut start = 0;
        let mut outputs = Vec::with_capacity(runs.len());
        for Run { n_set, n_patch } in runs {
            let n_row = n_set * n_patch;
            let [query, key, value] = qkv.clone().map(|part| {
                let part = if n_row == part.dims()[0] { part } else { part.narrow(0, start, n_row) };
                part.reshape([*n_set, *n_patch, self.n_head, d / self.n_head]).swap_dims(1, 2)
            });
            let mask = Mask::new(Visibility::All, *n_patch, *n_patch, &device);
            outputs.push(attend(query, key, value, &mask).swap_dims(1, 2).reshape([n_row, d]));
            start += n_row;
        }
        assert_eq!(start, n_patch, "windows cover every patch once");
        let mut output = if outputs.len() == 1 { outputs.remove(0) } else { Tensor::cat(outputs, 0) };
        if let Some([_, back]) = gather {
            output = output.select(0, back.clone());
        }
        self.output.forward(output)
    }
}

impl VisionBlock {
    /// Puts loaded parts together; `layer` decides what the attention spans.
    pub fn new(
        layer: usize,
        [norm_attention, norm_mlp]: [RmsNorm; 2],
        attention: VisionAttention,
        mlp: Mlp,
        config: &VisionConfig,
    ) -> Self {
        let whole_picture = config.full_attention.contains(&layer);
        Self { norm_attention, attention, norm_mlp, mlp, whole_picture }
    }

    pub(super) fn forward(&self, x: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let attended =
            self.attention.forward(self.norm_attention.forward(x.clone()), layout, self.whole_picture);
        let x = x + attended;
        x.clone() + self.mlp.forward(self.norm_mlp.forward(x))
    }
}

impl VisionTower {
    /// Random weights of standard deviation `std`; maps that return to the residual stream are scaled down
    /// by the root of their number (Radford et al. 2019, section 2.3).
    pub fn init(config: &VisionConfig, std: f64, device: &Device) -> Self {
        let d = config.d_model;
        let stds = [std, std / (2.0 * config.n_layer as f64).sqrt()];
        let block = |layer| {
            let norms = [(); 2].map(|()| RmsNorm::init(d, config.rms_eps, device));
            let attention = VisionAttention::init(config, stds, device);
            VisionBlock::new(
                layer,
                norms,
                attention,
                Mlp::init([d, config.d_ffn], Bias::With, stds, device),
                config,
            )
        };
        Self {
            patch_embed: Linear::init([config.d_patch(), d], Bias::Without, std, device),
            blocks: (0..config.n_layer).map(block).collect(),
            merger: Merger::init(config, std, device),
            config: config.clone(),
        }
    }

    /// Puts loaded parts together.
    pub fn new(patch_embed: Linear, blocks: Vec<VisionBlock>, merger: Merger, config: &VisionConfig) -> Self {
        Self { patch_embed, blocks, merger, config: config.clone() }
    }

    /// Tokens of several pictures, picture by picture, cells row by row.
    ///
    /// # Shapes
    /// - `patches`: `[p, 1176]`, the pictures' patches one after another
    /// - returns: `[p / 4, d_text]`
    ///
    /// # Panics
    /// Where `patches` has not as many rows as the grids have patches.
    pub fn forward(&self, patches: Tensor<2>, grids: &[PatchGrid]) -> Tensor<2> {
        self.forward_observed(patches, grids, |_, _| {})
    }

    /// [`Self::forward`], showing the stream after each block to `observe`: block number and `[p, d]`,
    /// whose cells stand in the order of [`WindowPlan::order`].
    pub fn forward_observed(
        &self,
        patches: Tensor<2>,
        grids: &[PatchGrid],
        mut observe: impl FnMut(usize, &Tensor<2>),
    ) -> Tensor<2> {
        let layout = self.layout(&patches, grids);
        let mut x = self.embed(patches, &layout);
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &layout);
            observe(layer, &x);
        }
        self.merge(x, &layout)
    }

    /// What all blocks share for these patches of these pictures.
    pub(super) fn layout(&self, patches: &Tensor<2>, grids: &[PatchGrid]) -> Layout {
        let n_patch: usize = grids.iter().map(PatchGrid::n_patch).sum();
        assert_eq!(patches.dims()[0], n_patch, "a row for every patch");
        Layout::new(grids, &self.config, &patches.device())
    }

    /// Patches as the blocks read them: embedded, in the order of windows, `[p, d]`.
    pub(super) fn embed(&self, patches: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let ([n_patch, _], device) = (patches.dims(), patches.device());
        let (cell, d) = (self.config.cell(), self.config.d_model);
        let order = indices(layout.plan.order.iter().copied(), &device);
        let cells = self.patch_embed.forward(patches).reshape([n_patch / cell, cell * d]);
        cells.select(0, order).reshape([n_patch, d])
    }

    /// The stream after the last block as text-width tokens, picture by picture: `[p / 4, d_text]`.
    pub(super) fn merge(&self, x: Tensor<2>, layout: &Layout) -> Tensor<2> {
        let place = indices(layout.plan.place.iter().copied(), &x.device());
        self.merger.forward(x).select(0, place)
    }
}
