//! From a batch to its loss: vision tower, splice, decoder, cross-entropy over what the assistant says.
//!
//! Logits are computed at predicting places only; the rest of the sequence never meets the vocabulary.
//! `tests/stages.rs` compares the gradients with finite differences.

use burn::tensor::{Device, Int, Tensor, TensorData};
use eosin_model::attention::Visibility;
use eosin_model::qwen::loss::cross_entropy_sum;
use eosin_model::qwen::{Config, Positions, Qwen, VisionTower};

use crate::batch::Batch;

/// The loss of one batch and what is read off beside it.
#[derive(Debug)]
pub struct BatchLoss {
    /// Sum over the predicted tokens of −ln p, `[1]`.
    pub sum: Tensor<1>,
    /// Tokens predicted.
    pub n_target: usize,
    /// Predicted tokens that were the likeliest.
    pub n_right: usize,
}

/// Runs the model over a batch.
///
/// # Panics
/// Where the model has no vision tower; a [`crate::recipe::Recipe`] always makes one.
pub fn batch_loss(model: &Qwen, batch: &Batch, device: &Device) -> BatchLoss {
    let vision = model.vision.as_ref().expect("a trained model has a vision tower");
    let hidden = forward(model, vision, batch, device);
    let n_target = batch.targets.len();
    let hidden = hidden.select(0, indices(&batch.predictors, device));
    let logits = model.text.logits(hidden);
    let targets = indices(&batch.targets, device);
    let right = logits.clone().inner().argmax(1).reshape([n_target]).equal(targets.clone().inner());
    let n_right: i64 = right.int().sum().into_scalar();
    let sum = cross_entropy_sum(logits, targets);
    BatchLoss { sum, n_target, n_right: n_right as usize }
}

/// Outputs of the decoder at every place.
///
/// # Shapes
/// - returns: `[b × t, d]`
fn forward(model: &Qwen, vision: &VisionTower, batch: &Batch, device: &Device) -> Tensor<2> {
    let config = model.config();
    let words = model.text.embed(indices(&batch.ids, device));
    let [n_place, d] = words.dims();
    let embeds = if batch.patches.is_empty() {
        words
    } else {
        let [_, d_patch] = vision.patch_embed.weight.shape();
        let n_patch = batch.patches.len() / d_patch;
        let patches = TensorData::new(batch.patches.clone(), [n_patch, d_patch]);
        let features = vision.forward(Tensor::from_data(patches, device), &vec![batch.grid; batch.n_image]);
        Tensor::cat(vec![words, features], 0).select(0, indices(&splice(config, batch), device))
    };
    let embeds = embeds.reshape([batch.n_row(), batch.n_column, d]);
    let positions: Vec<Positions> = (0..batch.n_row()).map(|row| row_positions(config, batch, row)).collect();
    model.text.forward(embeds, &positions, Visibility::Causal, None).reshape([n_place, d])
}

/// For every place its row in `[words; picture tokens]`.
fn splice(config: &Config, batch: &Batch) -> Vec<u32> {
    let n_image_token = batch.grid.n_token();
    let n_place = batch.ids.len();
    let mut index = Vec::with_capacity(n_place);
    for (row, ids) in batch.ids.chunks(batch.n_column).enumerate() {
        let mut next = n_place + batch.row_image[row] * n_image_token;
        for id in ids {
            if *id == config.tokens.image_pad {
                index.push(next as u32);
                next += 1;
            } else {
                index.push(index.len() as u32);
            }
        }
    }
    index
}

fn row_positions(config: &Config, batch: &Batch, row: usize) -> Positions {
    let ids = &batch.ids[row * batch.n_column..(row + 1) * batch.n_column];
    let first = ids.iter().position(|id| *id == config.tokens.image_pad).unwrap_or(batch.n_column);
    let mut positions = Positions::text(0, first);
    if first < batch.n_column {
        positions.push_image(batch.grid.merged_rows_columns());
    }
    positions.padded(batch.n_column)
}

fn indices(values: &[u32], device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.iter().map(|value| *value as i32).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
