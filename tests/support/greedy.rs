//! Greedy answers, one sequence and one token at a time: what batched rollouts are held to.

use burn::tensor::Tensor;
use eosin_core::PatchGrid;
use eosin_model::ModelError;
use eosin_model::qwen::{Qwen, mrope_positions};

/// A prompt with one picture.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Tokens up to the opened assistant turn, placeholders of the picture included.
    pub(crate) ids: &'a [u32],
    /// Output of the vision tower for the picture, `[n_token, d]`.
    pub(crate) features: &'a Tensor<2>,
    /// How its patches lie.
    pub(crate) grid: PatchGrid,
}

/// Likeliest tokens after the prompt, without the one of `ends` that closed it.
///
/// # Errors
/// As [`Qwen::prefill`].
pub(crate) fn greedy(
    model: &Qwen,
    question: &Question<'_>,
    ends: &[u32],
    max_new_tokens: usize,
) -> Result<Vec<u32>, ModelError> {
    let positions = mrope_positions(question.ids, &[question.grid], &model.config().tokens)?;
    let mut cache = model.cache(question.ids.len() + max_new_tokens);
    let mut scores = model.prefill(question.ids, Some(question.features), &positions, &mut cache)?;
    let mut answer = Vec::new();
    loop {
        let best: i64 = scores.argmax(0).into_scalar();
        let best = best as u32;
        if ends.contains(&best) || answer.len() == max_new_tokens {
            return Ok(answer);
        }
        let position = positions.next + answer.len() as u32;
        answer.push(best);
        scores = model.decode(best, position, &mut cache)?;
    }
}
