//! The contrastive objective: each image shall find its own text among the batch's, and each text its image.
//!
//! Radford et al. 2021, figure 3 (symmetric `InfoNCE`). The temperature is a parameter, stored as its
//! logarithm and kept between 0 and ln 100 by [`clamp_logit_scale`](super::Clip::clamp_logit_scale) after
//! each step, without which training diverges (same paper, section 2.5). Loss and every gradient are held
//! to transformers by `tests/parity_clip.rs`.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Features brought to unit length.
///
/// # Shapes
/// - `features`: `[b, d_embed]`
/// - returns: the same
pub fn normalize(features: Tensor<2>) -> Tensor<2> {
    let length = features.clone().square().sum_dim(1).sqrt();
    features / length
}

/// Scaled cosines of every image with every text.
///
/// # Shapes
/// - `image_features`: `[b_image, d_embed]`, of any length
/// - `text_features`: `[b_text, d_embed]`, of any length
/// - `logit_scale`: `[1]`, the logarithm of the inverse temperature
/// - returns: `[b_image, b_text]`
pub fn logits_per_image(
    image_features: Tensor<2>,
    text_features: Tensor<2>,
    logit_scale: Tensor<1>,
) -> Tensor<2> {
    let cosines = normalize(image_features).matmul(normalize(text_features).transpose());
    cosines * logit_scale.exp().unsqueeze()
}

/// Mean of the two cross entropies, images over texts and texts over images, pair `i` being row `i` of both.
///
/// # Shapes
/// - `image_features`, `text_features`: `[b, d_embed]`, of any length
/// - `logit_scale`: `[1]`
/// - returns: `[1]`
///
/// # Panics
/// If there are not as many images as texts: pairs are pairs.
pub fn contrastive_loss(
    image_features: Tensor<2>,
    text_features: Tensor<2>,
    logit_scale: Tensor<1>,
) -> Tensor<1> {
    assert_eq!(image_features.dims(), text_features.dims(), "images and texts come in pairs");
    let logits = logits_per_image(image_features, text_features, logit_scale);
    let [b, _] = logits.dims();
    let pairs = Tensor::<1, Int>::arange(0..b as i64, &logits.device()).reshape([b, 1]);
    let own = |logits: Tensor<2>| log_softmax(logits, 1).gather(1, pairs.clone()).mean();
    (own(logits.clone()) + own(logits.transpose())) * -0.5
}
