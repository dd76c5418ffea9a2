//! Several continuations of one prompt in one row: the prompt passes through the decoder once.
//!
//! A group of answers to a question repeats picture and question as often as there are answers, which is most of
//! what reinforcement learning would compute. Here the prompt is a trunk that every branch sees, while branches do not
//! see each other and each counts its positions from the trunk's end; values and gradients are those of
//! separate rows up to rounding. `tests/train_rl.rs` compares both.

use burn::tensor::Tensor;
use eosin_core::PatchGrid;
use eosin_kernels::fused::Sight;

use super::loss::log_probs_and_entropy;
use super::{Positions, Qwen, TrainBatch, id_tensor, mrope_positions};
use crate::ModelError;
use crate::attention::Visibility;
use crate::prepare::ImageTensor;

/// A prompt and what may follow it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Branching {
    /// Tokens of the prompt, placeholders of the pictures included.
    pub ids: Vec<u32>,
    /// Its pictures in reading order, as numbers among the pictures that go with all rows.
    pub images: Vec<usize>,
    /// Continuations of at least one token each.
    pub branches: Vec<Vec<u32>>,
}

impl Branching {
    /// Tokens that pass through the decoder: a branch's last token predicts nothing and stays out.
    pub fn n_token(&self) -> usize {
        self.ids.len() + self.branches.iter().map(|branch| branch.len().saturating_sub(1)).sum::<usize>()
    }
}

impl Qwen {
    /// ln p of every token of every branch, and the entropy at its place, with their graphs; scores are divided
    /// by `temperature` first.
    ///
    /// # Shapes
    /// - returns: `[m]` twice, row by row, branch by branch
    ///
    /// # Errors
    /// [`ModelError::Batch`] for prompts and branches without tokens and for unknown pictures; as
    /// [`Self::embed`].
    pub fn branch_log_probs(
        &self,
        rows: &[Branching],
        images: Vec<ImageTensor>,
        temperature: f32,
    ) -> Result<[Tensor<1>; 2], ModelError> {
        let device = self.device();
        let tokens = &self.config.tokens;
        let refuse = |cause: &str| ModelError::Batch { cause: cause.to_owned() };
        let n_column = rows.iter().map(Branching::n_token).max().unwrap_or(0);
        let pad = u32::from(tokens.image_pad == 0);
        let (mut ids, mut segments, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut predictors, mut targets, mut image_at) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            if row.ids.is_empty() || row.branches.iter().any(Vec::is_empty) {
                return Err(refuse("a prompt or an answer has no tokens"));
            }
            let grids: Option<Vec<PatchGrid>> =
                row.images.iter().map(|image| Some(images.get(*image)?.grid)).collect();
            let grids = grids.ok_or_else(|| refuse("a prompt shows a picture that is not there"))?;
            let trunk = mrope_positions(&row.ids, &grids, tokens)?;
            let (first, n_trunk, next) = (ids.len(), row.ids.len(), trunk.next);
            ids.extend(&row.ids);
            let mut own = vec![Sight::TRUNK; n_trunk];
            let mut parts = vec![trunk];
            for (number, branch) in row.branches.iter().enumerate() {
                predictors.push((first + n_trunk - 1) as u32);
                predictors.extend((ids.len()..ids.len() + branch.len() - 1).map(|place| place as u32));
                targets.extend(branch);
                let (_, read) = branch.split_last().expect("a branch has tokens");
                ids.extend(read);
                own.resize(own.len() + read.len(), number as u32);
                parts.push(Positions::text(next, read.len()));
            }
            // Padding is a branch of its own.
            let n_pad = n_column - own.len();
            ids.resize(first + n_column, pad);
            own.resize(n_column, row.branches.len() as u32);
            parts.push(Positions::text(0, n_pad));
            segments.push(own);
            positions.push(Positions::packed(&parts));
            image_at.extend(&row.images);
        }
        if targets.is_empty() {
            let none = || Tensor::zeros([0], &device);
            return Ok([none(), none()]);
        }
        let pictures = TrainBatch { images, image_at: Some(image_at), ..TrainBatch::default() };
        let features = self.batch_features(&pictures)?;
        let d = self.config.text.d_model;
        let embeds = self.embed(&ids, features.as_ref())?.reshape([rows.len(), n_column, d]);
        let visibility = Visibility::CausalSegments(segments);
        let hidden = self.text.forward(embeds, &positions, visibility, None);
        let hidden = hidden.reshape([rows.len() * n_column, d]);
        let hidden = hidden.select(0, id_tensor(predictors.into_iter(), &device));
        let mut logits = self.text.logits(hidden);
        if temperature.to_bits() != 1.0_f32.to_bits() {
            logits = logits.div_scalar(temperature);
        }
        Ok(log_probs_and_entropy(logits, id_tensor(targets.into_iter(), &device)))
    }
}
