//! The text tower: a causal transformer read off at the token that ends the text.
//!
//! Because a position sees only earlier ones, whatever follows the end token cannot change the feature:
//! padding needs no mask, and a batch is computed only up to its last end token instead of the full 77
//! positions. `tests/parity_clip.rs` compares features with transformers, which computes all of them.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::ClipError;
use super::config::{EndOfText, TextConfig};
use super::layer::{
    Attend, Block, ParamRef, StackConfig, Visit, build_linear, build_norm, visit_linear, visit_norm,
};
use super::load::{Initial, Supply};
use crate::linear::{Bias, Linear};

/// Texts as checked token ids, cut behind the last end token and padded to one length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenBatch {
    ids: Vec<i32>,
    n_token: usize,
    /// Position of each text's end token.
    end: Vec<usize>,
}

impl TokenBatch {
    /// Takes one list of ids a text, as [`ClipTokenizer::encode`](super::ClipTokenizer::encode) makes them;
    /// padding behind the end token is allowed.
    ///
    /// # Errors
    /// [`ClipError::Text`] where a text is empty, longer than the context, without an end token, or holds
    /// an id outside the vocabulary, as happens with the tokenizer of another model.
    pub fn new(texts: &[Vec<u32>], config: &TextConfig) -> Result<Self, ClipError> {
        let refuse = |text_idx: usize, cause: String| ClipError::Text { text_idx, cause };
        let mut end = Vec::with_capacity(texts.len());
        for (text_idx, ids) in texts.iter().enumerate() {
            if ids.len() > config.n_context {
                let cause = format!("{} tokens are more than the context of {}", ids.len(), config.n_context);
                return Err(refuse(text_idx, cause));
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= config.n_vocab) {
                let cause = format!("token {id} is outside the model's vocabulary of {}", config.n_vocab);
                return Err(refuse(text_idx, cause));
            }
            let end_id = match config.end_of_text {
                EndOfText::Id(id) => Some(id),
                EndOfText::LargestId => ids.iter().max().copied(),
            };
            let Some(position) = ids.iter().position(|id| Some(*id) == end_id) else {
                return Err(refuse(text_idx, "it has no end token".to_owned()));
            };
            end.push(position);
        }
        let n_token = end.iter().max().map_or(0, |last| last + 1);
        // Whatever padding the caller used, one is put behind the end tokens: it is never looked at.
        let row = |(ids, end): (&Vec<u32>, &usize)| {
            let kept = ids[..=*end].iter().map(|id| *id as i32);
            kept.chain(std::iter::repeat_n(0, n_token - end - 1)).collect::<Vec<_>>()
        };
        let ids = texts.iter().zip(&end).flat_map(row).collect();
        Ok(Self { ids, n_token, end })
    }

    /// Number of texts.
    pub fn n_text(&self) -> usize {
        self.end.len()
    }

    /// Positions computed for each text.
    pub fn n_token(&self) -> usize {
        self.n_token
    }

    /// Ids, `t` a text.
    pub(super) fn ids(&self) -> &[i32] {
        &self.ids
    }

    /// Position of each text's end token.
    pub(super) fn ends(&self) -> &[usize] {
        &self.end
    }

    /// Ids as `[b · t]` and, for each text, its end token's place among them.
    fn tensors(&self, device: &Device) -> (Tensor<1, Int>, Tensor<1, Int>) {
        let rows = self.end.iter().enumerate().map(|(text_idx, end)| (text_idx * self.n_token + end) as i32);
        let rows = rows.collect::<Vec<_>>();
        let ids = Tensor::from_data(TensorData::new(self.ids.clone(), [self.ids.len()]), device);
        let n_row = rows.len();
        (ids, Tensor::from_data(TensorData::new(rows, [n_row]), device))
    }
}

/// The text tower.
#[derive(Module, Debug)]
pub struct TextTower {
    pub(super) token: Param<Tensor<2>>,
    pub(super) position: Param<Tensor<2>>,
    pub(super) blocks: Vec<Block>,
    pub(super) final_norm: LayerNorm,
    pub(super) projection: Linear,
}

impl TextTower {
    pub(crate) fn build(supply: &Supply<'_>, config: &TextConfig, d_embed: usize) -> Result<Self, ClipError> {
        let &TextConfig { d_model, n_vocab, n_context, epsilon, .. } = config;
        let stack = StackConfig {
            d_model,
            n_layer: config.n_layer,
            n_head: config.n_head,
            d_mlp: config.d_mlp,
            activation: config.activation,
            epsilon,
        };
        let name = "text_model";
        Ok(Self {
            token: supply.matrix(
                &format!("{name}.embeddings.token_embedding.weight"),
                [n_vocab, d_model],
                Initial::Normal(0.02),
            )?,
            position: supply.matrix(
                &format!("{name}.embeddings.position_embedding.weight"),
                [n_context, d_model],
                Initial::Normal(0.01),
            )?,
            blocks: Block::build_stack(supply, name, stack)?,
            final_norm: build_norm(supply, &format!("{name}.final_layer_norm"), d_model, epsilon)?,
            projection: build_linear(
                supply,
                "text_projection",
                [d_embed, d_model],
                Bias::Without,
                Initial::Normal((d_model as f64).powf(-0.5)),
            )?,
        })
    }

    /// Embeds texts; the result is not normalised.
    ///
    /// # Shapes
    /// - `texts`: `b` texts of at most `t` tokens
    /// - returns: `[b, d_embed]`
    ///
    /// # Panics
    /// If there is no text: an empty batch is the caller's mistake.
    pub fn forward(&self, texts: &TokenBatch) -> Tensor<2> {
        let (b, t) = (texts.n_text(), texts.n_token());
        assert!(b > 0, "no texts to embed");
        let token = self.token.val();
        let d = token.dims()[1];
        let (ids, rows) = texts.tensors(&token.device());
        let x = token.select(0, ids).reshape([b, t, d]);
        let x = x + self.position.val().narrow(0, 0, t).unsqueeze();
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, Attend::Causal));
        let end = x.reshape([b * t, d]).select(0, rows);
        self.projection.forward(self.final_norm.forward(end))
    }

    pub(crate) fn visit<'a>(&'a self, visit: &mut Visit<'a, '_>) {
        let name = "text_model";
        visit(&format!("{name}.embeddings.token_embedding.weight"), ParamRef::D2(&self.token));
        visit(&format!("{name}.embeddings.position_embedding.weight"), ParamRef::D2(&self.position));
        Block::visit_stack(&self.blocks, name, visit);
        visit_norm(&self.final_norm, &format!("{name}.final_layer_norm"), visit);
        visit_linear(&self.projection, "text_projection", visit);
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::{Activation, Config};
    use super::*;

    #[test]
    fn batches_are_checked_and_cut_behind_the_last_end_token() {
        let mut config = Config::named("ViT-B-16", Activation::Gelu).unwrap().text;
        config.n_context = 6;
        for end_of_text in [EndOfText::LargestId, EndOfText::Id(49407)] {
            config.end_of_text = end_of_text;
            let texts =
                [vec![49406, 49407], vec![49406, 7, 8, 49407, 49407, 49407], vec![49406, 5, 49407, 0]];
            let batch = TokenBatch::new(&texts, &config).unwrap();
            assert_eq!((batch.n_text(), batch.n_token()), (3, 4));
            assert_eq!(batch.end, [1, 3, 2]);
            assert_eq!(batch.ids[..4], [49406, 49407, 0, 0]);
            let check = |ids: Vec<u32>, expected: &str| {
                let error = TokenBatch::new(&[vec![49406, 49407], ids], &config).unwrap_err().to_string();
                assert!(error.contains(expected) && error.contains("text 2"), "{error}");
            };
            check(vec![], "no end token");
            check(vec![49406, 49408], "token 49408");
            check(vec![1; 7], "7 tokens");
        }
        assert!(TokenBatch::new(&[vec![1, 2]], &config).is_err(), "an end id that does not occur");
    }
}
