//! The image tower: a vision transformer whose class token, projected, is the image.
//!
//! Patches do not overlap, so the convolution that embeds them is a matrix product of flattened patches; a
//! class token goes first, learned positions are added, and the norm *before* the blocks (absent in other
//! vision transformers, misspelt `pre_layrnorm` in Hugging Face's names) steadies training.
//! `tests/parity_clip.rs` compares features with transformers.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::Tensor;

use super::ClipError;
use super::config::VisionConfig;
use super::layer::{
    Attend, Block, ParamRef, StackConfig, Visit, build_linear, build_norm, visit_linear, visit_norm,
};
use super::load::{Initial, Supply};
use crate::linear::{Bias, Linear, Weight};

/// The image tower.
#[derive(Module, Debug)]
pub struct VisionTower {
    pub(super) patch: Linear,
    pub(super) class_token: Param<Tensor<1>>,
    pub(super) position: Param<Tensor<2>>,
    pub(super) pre_norm: LayerNorm,
    pub(super) blocks: Vec<Block>,
    pub(super) post_norm: LayerNorm,
    pub(super) projection: Linear,
    image_px: usize,
    patch_px: usize,
}

impl VisionTower {
    pub(crate) fn build(
        supply: &Supply<'_>,
        config: &VisionConfig,
        d_embed: usize,
    ) -> Result<Self, ClipError> {
        let &VisionConfig { d_model, patch_px, image_px, epsilon, .. } = config;
        let spread = Initial::Normal((d_model as f64).powf(-0.5));
        let stack = StackConfig {
            d_model,
            n_layer: config.n_layer,
            n_head: config.n_head,
            d_mlp: config.d_mlp,
            activation: config.activation,
            epsilon,
        };
        let name = "vision_model";
        Ok(Self {
            patch: Linear::new(
                Weight::Dense(supply.matrix_of_kernel(
                    &format!("{name}.embeddings.patch_embedding.weight"),
                    [d_model, 3, patch_px, patch_px],
                    Initial::Normal(0.02),
                )?),
                None,
            ),
            class_token: supply.vector(&format!("{name}.embeddings.class_embedding"), d_model, spread)?,
            position: supply.matrix(
                &format!("{name}.embeddings.position_embedding.weight"),
                [config.n_position(), d_model],
                spread,
            )?,
            pre_norm: build_norm(supply, &format!("{name}.pre_layrnorm"), d_model, epsilon)?,
            blocks: Block::build_stack(supply, name, stack)?,
            post_norm: build_norm(supply, &format!("{name}.post_layernorm"), d_model, epsilon)?,
            projection: build_linear(supply, "visual_projection", [d_embed, d_model], Bias::Without, spread)?,
            image_px,
            patch_px,
        })
    }

    /// Side of the images it takes.
    pub fn image_px(&self) -> usize {
        self.image_px
    }

    /// Embeds prepared images; the result is not normalised.
    ///
    /// # Shapes
    /// - `images`: `[b, 3, image_px, image_px]`, as [`Preprocess`](super::Preprocess) makes them
    /// - returns: `[b, d_embed]`
    ///
    /// # Panics
    /// If the images have another shape: they come from the model's own `Preprocess`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let [b, channels, height, width] = images.dims();
        assert_eq!([channels, height, width], [3, self.image_px, self.image_px], "images of another size");
        let (side, patch) = (self.image_px / self.patch_px, self.patch_px);
        let patches = images.reshape([b, 3, side, patch, side, patch]).permute([0, 2, 4, 1, 3, 5]).reshape([
            b,
            side * side,
            3 * patch * patch,
        ]);
        let patches = self.patch.forward(patches);
        let [_, _, d] = patches.dims();
        let class = self.class_token.val().reshape([1, 1, d]).expand([b, 1, d]);
        let x = Tensor::cat(vec![class, patches], 1);
        let x = self.pre_norm.forward(x + self.position.val().unsqueeze());
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, Attend::All));
        let class = x.narrow(1, 0, 1).reshape([b, d]);
        self.projection.forward(self.post_norm.forward(class))
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut Visit<'a, '_>) {
        let name = "vision_model";
        visit(&format!("{name}.embeddings.class_embedding"), ParamRef::D1(&self.class_token));
        visit_linear(&self.patch, &format!("{name}.embeddings.patch_embedding"), visit);
        visit(&format!("{name}.embeddings.position_embedding.weight"), ParamRef::D2(&self.position));
        visit_norm(&self.pre_norm, &format!("{name}.pre_layrnorm"), visit);
        Block::visit_stack(&self.blocks, name, visit);
        visit_norm(&self.post_norm, &format!("{name}.post_layernorm"), visit);
        visit_linear(&self.projection, "visual_projection", visit);
    }
}
