//! One pass forward and back, keeping what the way back needs, or computing it again block by block.
//!
//! A training step's memory is mostly what its blocks computed on the way forward. With
//! [`Activations::Recomputed`] only the input of each block is kept; on the way back each block runs once more, with a
//! graph of its own, which is freed before the next (Chen et al. 2016, "Training deep nets with sublinear memory
//! cost", section 4.1, a segment for each block). That costs a second forward pass and gives the same gradients.
//! They come in pieces, one for each block, because no graph spans the whole. Where nothing below a block learns,
//! the way back ends there. Held true by `tests/train_recompute.rs`.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Int, Tensor};
use eosin_core::PatchGrid;

use super::{Lesson, Qwen, Taught, TrainBatch};
use crate::ModelError;
use crate::prepare::ImageTensor;

/// What becomes of what the blocks computed on the way forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Activations {
    /// It is kept.
    #[default]
    Kept,
    /// It is computed again on the way back.
    Recomputed,
}

/// Scores of the taught tokens, of which a loss is made.
#[derive(Clone, Debug)]
pub struct TaughtScores {
    /// `[m, v]`, with its graph.
    pub logits: Tensor<2>,
    /// The taught tokens, `[m]`.
    pub targets: Tensor<1, Int>,
    /// Row and column of each of them in the batch, row by row.
    pub places: Vec<[usize; 2]>,
}

impl Qwen {
    /// Runs a batch forward, makes a loss of it and goes back: `take` is called with gradients, once or, where
    /// activations are recomputed, once for each block; a parameter's gradient is the sum over all calls. The model
    /// must be on a device with gradients. A batch that teaches nothing calls neither.
    ///
    /// # Shapes
    /// - `loss`: returns `[1]`
    ///
    /// # Errors
    /// As [`Self::forward_train`]; whatever `loss` says.
    pub fn learn<E: From<ModelError>>(
        &self,
        batch: &TrainBatch,
        activations: Activations,
        loss: impl FnOnce(TaughtScores) -> Result<Tensor<1>, E>,
        take: &mut dyn FnMut(Gradients),
    ) -> Result<(), E> {
        let scores = |Taught { hidden, targets, places }: Taught| TaughtScores {
            logits: self.text.logits(hidden),
            targets,
            places,
        };
        if activations == Activations::Kept {
            if let Some(taught) = self.forward_taught(batch)? {
                take(loss(scores(taught))?.backward());
            }
            return Ok(());
        }
        let lesson = self.lesson(batch)?;
        if lesson.rows.is_empty() {
            return Ok(());
        }
        let kept = Kept::new(&self.valid(), batch, &lesson)?;
        let embeds = Tensor::<3>::from_inner(kept.text[0].clone());
        let pass = self.text.pass(&embeds, &lesson.positions, lesson.visibility.clone(), 0);

        // From the loss down to the last block's output.
        let top = leaf(kept.last);
        let taught = Self::taught(self.text.norm.forward(top.clone()), lesson);
        let mut gradients = loss(scores(taught))?.backward();
        let mut slope = slope_of(&top, &mut gradients);
        take(gradients);

        let vision_learns = self.vision.as_ref().is_some_and(learns);
        let embeds_learn = vision_learns || learns(&self.text.embedding);
        for (layer, input) in kept.text.into_iter().enumerate().rev() {
            if !embeds_learn && !self.text.blocks[..=layer].iter().any(learns) {
                return Ok(());
            }
            let input = leaf(input);
            let output = self.text.block(layer, input.clone(), &pass, None);
            slope = back(output, slope, &input, take);
        }
        let shown = kept.features;
        let features = shown.clone().filter(|_| vision_learns).map(leaf);
        if features.is_none() && !learns(&self.text.embedding) {
            return Ok(());
        }
        let shown = features.clone().or(shown.map(Tensor::from_inner));
        let placed = self.place_features(batch, shown)?;
        let embeds = self.batch_embeds(batch, placed.as_ref())?;
        let mut gradients = (embeds * Tensor::from_inner(slope)).sum().backward();
        let slope = features.as_ref().map(|features| slope_of(features, &mut gradients));
        take(gradients);
        if let Some(slope) = slope {
            self.learn_vision(&batch.images, kept.vision, slope, take);
        }
        Ok(())
    }

    /// From the pictures' tokens down to their patches.
    fn learn_vision(
        &self,
        images: &[ImageTensor],
        mut kept: Vec<Tensor<2>>,
        mut slope: Tensor<2>,
        take: &mut dyn FnMut(Gradients),
    ) {
        let vision = self.vision.as_ref().expect("there are features, hence a tower");
        let (patches, grids) = self.patches(images, &self.device());
        let layout = vision.layout(&patches, &grids);
        let last = leaf(kept.pop().expect("the last block's output was kept"));
        slope = back(vision.merge(last.clone(), &layout), slope, &last, take);
        for (layer, input) in kept.into_iter().enumerate().rev() {
            if !learns(&vision.patch_embed) && !vision.blocks[..=layer].iter().any(learns) {
                return;
            }
            let input = leaf(input);
            let output = vision.blocks[layer].forward(input.clone(), &layout);
            slope = back(output, slope, &input, take);
        }
        if learns(&vision.patch_embed) {
            take((vision.embed(patches, &layout) * Tensor::from_inner(slope)).sum().backward());
        }
    }

    /// All patches of pictures, and how they lie.
    pub(super) fn patches(&self, images: &[ImageTensor], device: &Device) -> (Tensor<2>, Vec<PatchGrid>) {
        let d_patch = self.config.vision.as_ref().map_or(1, super::VisionConfig::d_patch);
        let values: Vec<f32> = images.iter().flat_map(|image| image.patches.iter().copied()).collect();
        let n_patch = values.len() / d_patch;
        let patches = Tensor::from_data(burn::tensor::TensorData::new(values, [n_patch, d_patch]), device);
        (patches, images.iter().map(|image| image.grid).collect())
    }
}

/// The input of every block, without graphs.
struct Kept {
    /// Of the decoder's blocks, `[b, t, d]`.
    text: Vec<Tensor<3>>,
    /// After the decoder's last block.
    last: Tensor<3>,
    /// The pictures' tokens.
    features: Option<Tensor<2>>,
    /// Of the tower's blocks, and after the last, `[p, d]`.
    vision: Vec<Tensor<2>>,
}

impl Kept {
    /// The way forward of a model without gradients.
    fn new(model: &Qwen, batch: &TrainBatch, lesson: &Lesson) -> Result<Self, ModelError> {
        let (mut features, mut vision) = (None, Vec::new());
        if !batch.images.is_empty() {
            let tower = model.vision.as_ref().ok_or(ModelError::Absent { part: "a vision tower" })?;
            let (patches, grids) = model.patches(&batch.images, &model.device());
            let layout = tower.layout(&patches, &grids);
            let mut x = tower.embed(patches, &layout);
            for block in &tower.blocks {
                vision.push(x.clone());
                x = block.forward(x, &layout);
            }
            vision.push(x.clone());
            features = Some(tower.merge(x, &layout));
        }
        let placed = model.place_features(batch, features.clone())?;
        let mut x = model.batch_embeds(batch, placed.as_ref())?;
        let pass = model.text.pass(&x, &lesson.positions, lesson.visibility.clone(), 0);
        let mut text = Vec::with_capacity(model.text.blocks.len());
        for layer in 0..model.text.blocks.len() {
            text.push(x.clone());
            x = model.text.block(layer, x, &pass, None);
        }
        Ok(Self { text, last: x, features, vision })
    }
}

/// A tensor that a graph begins with.
fn leaf<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(tensor).require_grad()
}

/// The slope of the loss at a leaf; zero where nothing came of it.
fn slope_of<const D: usize>(leaf: &Tensor<D>, gradients: &mut Gradients) -> Tensor<D> {
    leaf.grad_remove(gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

/// From the slope at a piece's output to that at its input.
fn back<const D: usize, const E: usize>(
    output: Tensor<D>,
    slope: Tensor<D>,
    input: &Tensor<E>,
    take: &mut dyn FnMut(Gradients),
) -> Tensor<E> {
    let mut gradients = (output * Tensor::from_inner(slope)).sum().backward();
    let slope = slope_of(input, &mut gradients);
    take(gradients);
    slope
}

/// Whether a part has parameters that take gradients.
fn learns<M: Module>(module: &M) -> bool {
    struct Ask(bool);
    impl ModuleVisitor for Ask {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0 |= param.is_require_grad();
        }
    }
    let mut ask = Ask(false);
    module.visit(&mut ask);
    ask.0
}
