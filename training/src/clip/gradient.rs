//! The gradient of one contrastive step, exact however the batch is cut.
//!
//! The contrastive loss compares every picture with every text of the batch, so that, other than a mean of
//! separate losses, it cannot be added up part by part. Gao et al. 2021 ("Scaling deep contrastive learning
//! batch size under memory limited setup") cut it all the same without changing it: all features first,
//! keeping nothing for a backward pass; then the loss's slope at each feature; then part by part the
//! features again, with their slopes pushed back into the weights. Memory is that of one part, the price is
//! a second forward pass. `tests/train_clip.rs` holds parts of every size to the whole batch, and the whole
//! batch to PyTorch.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use eosin_model::clip::{Clip, TextConfig, TokenBatch, contrastive_loss};

use super::pairs::Pair;
use crate::error::TrainError;
use crate::optim::GradientSum;

/// Pictures with their texts, as the towers take them.
#[derive(Clone, Debug)]
pub struct Part {
    /// `[b, 3, image_px, image_px]`.
    pub images: Tensor<4>,
    /// `b` texts.
    pub texts: TokenBatch,
}

impl Part {
    /// Lays pairs side by side on a device.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where a text does not fit the text tower.
    pub fn new(
        pairs: &[Pair],
        image_px: usize,
        config: &TextConfig,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let ids: Vec<Vec<u32>> = pairs.iter().map(|pair| pair.ids.clone()).collect();
        let texts =
            TokenBatch::new(&ids, config).map_err(TrainError::engine("a caption does not fit the model"))?;
        let pixels: Vec<f32> = pairs.iter().flat_map(|pair| pair.pixels.iter().copied()).collect();
        let images = Tensor::from_data(TensorData::new(pixels, [pairs.len(), 3, image_px, image_px]), device);
        Ok(Self { images, texts })
    }
}

/// The loss of a batch and its gradient in every weight that is trained.
#[derive(Debug)]
pub struct Slope {
    /// Symmetric cross entropy, in nats.
    pub loss: f64,
    /// Gradients by parameter.
    pub gradients: GradientSum,
    /// Share of pictures whose own text is the nearest of the batch.
    pub image_accuracy: f64,
    /// Share of texts whose own picture is the nearest of the batch.
    pub text_accuracy: f64,
}

/// The symmetric loss over all pairs of all parts, and its gradient.
///
/// Towers whose weights ask for no gradient are locked: their features are computed once and nothing is
/// pushed back into them.
///
/// # Panics
/// If there is no part: an empty step is the caller's mistake.
pub fn slope(model: &Clip, parts: &[Part]) -> Slope {
    assert!(!parts.is_empty(), "a step has pairs");
    let mut gradients = GradientSum::default();
    if let [only] = parts {
        let image = model.encode_image(only.images.clone());
        let text = model.encode_text(&only.texts);
        let [image_accuracy, text_accuracy] = accuracies(image.clone().inner(), text.clone().inner());
        let loss = contrastive_loss(image, text, model.logit_scale.val());
        gradients.add(&mut loss.backward(), model);
        return Slope { loss: scalar(loss), gradients, image_accuracy, text_accuracy };
    }
    let still = model.valid();
    let images = parts.iter().map(|part| still.encode_image(part.images.clone().inner())).collect();
    let texts = parts.iter().map(|part| still.encode_text(&part.texts)).collect();
    let (images, texts) = (Tensor::cat(images, 0), Tensor::cat(texts, 0));
    let [image_accuracy, text_accuracy] = accuracies(images.clone(), texts.clone());
    let image = Tensor::from_inner(images).require_grad();
    let text = Tensor::from_inner(texts).require_grad();
    let loss = contrastive_loss(image.clone(), text.clone(), model.logit_scale.val());
    let mut at_features = loss.backward();
    let slopes = [&image, &text].map(|features| features.grad_remove(&mut at_features));
    // What is left over is the gradient of the temperature.
    gradients.add(&mut at_features, model);
    let [image_slope, text_slope] = slopes;
    let (train_vision, train_text) = (is_trained(&model.vision), is_trained(&model.text));
    let mut first = 0;
    for part in parts {
        let n_pair = part.texts.n_text();
        let push = |features: Tensor<2>, slope: &Option<Tensor<2>>| {
            let slope = slope.as_ref()?.clone().narrow(0, first, n_pair);
            Some((features * Tensor::from_inner(slope)).sum())
        };
        let from_image =
            train_vision.then(|| push(model.encode_image(part.images.clone()), &image_slope)).flatten();
        let from_text = train_text.then(|| push(model.encode_text(&part.texts), &text_slope)).flatten();
        for pushed in [from_image, from_text].into_iter().flatten() {
            gradients.add(&mut pushed.backward(), model);
        }
        first += n_pair;
    }
    Slope { loss: scalar(loss), gradients, image_accuracy, text_accuracy }
}

fn scalar(loss: Tensor<1>) -> f64 {
    let loss: f32 = loss.inner().into_scalar();
    f64::from(loss)
}

/// Whether any weight of a tower asks for a gradient.
fn is_trained<M: Module>(tower: &M) -> bool {
    struct Look(bool);
    impl burn::module::ModuleVisitor for Look {
        fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut look = Look(false);
    tower.visit(&mut look);
    look.0
}

/// How many find their partner first, both ways.
fn accuracies(image: Tensor<2>, text: Tensor<2>) -> [f64; 2] {
    use eosin_model::clip::normalize;
    let cosines = normalize(image).matmul(normalize(text).transpose());
    let [n, _] = cosines.dims();
    let values: Vec<f32> = cosines.into_data().iter::<f32>().collect();
    let row = |row: usize, column: usize| values[row * n + column];
    let first = |at: &dyn Fn(usize, usize) -> f32| {
        let own = |idx: &usize| (0..n).all(|other| other == *idx || at(*idx, other) < at(*idx, *idx));
        (0..n).filter(own).count() as f64 / n.max(1) as f64
    };
    [first(&row), first(&|text, image| row(image, text))]
}
