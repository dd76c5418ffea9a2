//! Qwen2.5-VL: pictures and words in, scores of the next token out (Bai et al. 2025, arXiv 2502.13923).
//!
//! One definition serves training (dense weights on a device with gradients), and inference (weights packed
//! as their file stores them). What a forward pass needs besides tensors (positions, which tokens see which)
//! is plain data made here. Held true by `tests/parity_qwen.rs` and `tests/parity_gguf.rs`.

pub mod adapt;
pub mod branches;
pub mod cache;
pub mod config;
pub mod load;
pub mod loss;
pub mod merger;
pub mod mlp;
pub mod names;
pub mod recompute;
pub mod rollout;
pub mod rope;
pub mod text;
pub mod vision;
pub mod window;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use eosin_core::PatchGrid;
use eosin_kernels::{Arithmetic, at_work, fused};

pub use branches::Branching;
pub use cache::KvCache;
pub use config::{Config, TextConfig, TokenIds, VisionConfig};
pub use loss::{TokenLoss, TokenScores};
pub use recompute::Activations;
pub use rollout::{Pictures, Rollout, RolloutPrompt, RolloutSettings, Stop};
pub use rope::Positions;
pub use text::Decoder;
pub use vision::VisionTower;

use crate::ModelError;
use crate::attention::Visibility;
use crate::linear::{Linear, Weight};
use crate::prepare::ImageTensor;

/// Tokens of a prompt that pass through the decoder at once: bounds the memory of a long prompt.
const PREFILL_ROWS: usize = 512;

/// Tokens up to which [`Qwen::verify`] scores as [`Qwen::decode`] does.
pub const MAX_VERIFY: usize = 8;

/// A vision tower and a text decoder.
#[derive(Module, Debug)]
pub struct Qwen {
    /// Reads pictures; absent where a text model was loaded alone.
    pub vision: Option<VisionTower>,
    /// Reads and writes words.
    pub text: Decoder,
    #[module(skip)]
    config: Config,
}

/// Samples to learn from, padded on the right to one length.
#[derive(Clone, Debug, Default)]
pub struct TrainBatch {
    /// `[b][t]` tokens; padding may be any token but the image placeholder.
    pub ids: Vec<Vec<u32>>,
    /// `[b][t]`: whether the model is taught to predict this token.
    pub taught: Vec<Vec<bool>>,
    /// The pictures of all samples; in reading order, unless `image_at` says otherwise.
    pub images: Vec<ImageTensor>,
    /// For every place of a picture in reading order its number in `images`, where samples share pictures: each
    /// then passes through the vision tower once, and its gradients add up. `None`: the n-th place shows the
    /// n-th picture.
    pub image_at: Option<Vec<usize>>,
    /// `[b][t]` segment numbers where samples are packed into rows; `None` where a row is one sample.
    pub segments: Option<Vec<Vec<u32>>>,
}

/// M-RoPE positions of one sequence: pictures are laid where their placeholders stand.
///
/// # Errors
/// [`ModelError::ImageTokens`] where placeholders and pictures do not match one to one.
pub fn mrope_positions(ids: &[u32], grids: &[PatchGrid], tokens: &TokenIds) -> Result<Positions, ModelError> {
    let n_placeholder = ids.iter().filter(|id| **id == tokens.image_pad).count();
    let n_token = grids.iter().map(PatchGrid::n_token).sum();
    let mismatch = || ModelError::ImageTokens { n_placeholder, n_token };
    let mut positions = Positions::default();
    let (mut idx, mut grids) = (0, grids.iter());
    while idx < ids.len() {
        if ids[idx] == tokens.image_pad {
            let grid = grids.next().ok_or_else(mismatch)?;
            let span = ids.get(idx..idx + grid.n_token()).ok_or_else(mismatch)?;
            if span.iter().any(|id| *id != tokens.image_pad) {
                return Err(mismatch());
            }
            positions.push_image(grid.merged_rows_columns());
            idx += grid.n_token();
        } else {
            positions.push_text(1);
            idx += 1;
        }
    }
    if grids.next().is_some() { Err(mismatch()) } else { Ok(positions) }
}

/// Tokens as a tensor, `[m]`.
fn id_tensor(ids: impl Iterator<Item = u32>, device: &Device) -> Tensor<1, Int> {
    let ids: Vec<i32> = ids.map(|id| id as i32).collect();
    let n = ids.len();
    Tensor::from_data(TensorData::new(ids, [n]), device)
}

/// A place that shows a picture which is not there.
fn unknown_image(image: usize, n_image: usize) -> ModelError {
    ModelError::Batch { cause: format!("a place shows picture {image} of {n_image}") }
}

/// A batch, laid out.
struct Lesson {
    visibility: Visibility,
    positions: Vec<Positions>,
    /// Rows of `[b × t]` that predict a taught token.
    rows: Vec<u32>,
    /// The taught tokens.
    targets: Vec<u32>,
    /// Row and column of each taught token.
    places: Vec<[usize; 2]>,
}

/// What predicts the taught tokens of a batch.
struct Taught {
    /// `[m, d]`, after the final norm.
    hidden: Tensor<2>,
    /// `[m]`.
    targets: Tensor<1, Int>,
    /// Row and column of each taught token.
    places: Vec<[usize; 2]>,
}

impl Qwen {
    /// Random weights of standard deviation 0.02, to train from nothing. Seed the device first.
    pub fn init(config: &Config, device: &Device) -> Self {
        const STD: f64 = 0.02;
        Self {
            vision: config.vision.as_ref().map(|vision| VisionTower::init(vision, STD, device)),
            text: Decoder::init(&config.text, STD, device),
            config: config.clone(),
        }
    }

    /// Puts loaded parts together.
    fn new(vision: Option<VisionTower>, text: Decoder, config: &Config) -> Self {
        Self { vision, text, config: config.clone() }
    }

    /// The sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.text.norm.gain.lazy_device()
    }

    /// Whether activations are rounded before they are multiplied.
    fn is_rounded(&self) -> bool {
        let is_rounded = |map: &Linear| match &map.weight {
            Weight::Packed(packed) => {
                packed.arithmetic() == Arithmetic::Rounded && packed.kind().is_quantized()
            }
            Weight::Dense(_) => false,
        };
        self.text.blocks.first().is_some_and(|block| is_rounded(&block.mlp.gate))
    }

    /// An empty cache with room for `n_token` of one sequence before it grows.
    pub fn cache(&self, n_token: usize) -> KvCache {
        let cache = KvCache::new(&self.config.text, 1, n_token, &self.device());
        // Where products are rounded to 8 bits, keys and values lose nothing in 16.
        if self.is_rounded() && fused::serves(&self.device()) { cache.in_halves() } else { cache }
    }

    /// Text-width tokens of several pictures, one after another.
    ///
    /// # Shapes
    /// - returns: `[n_token, d_text]`, the sum of the pictures' tokens
    ///
    /// # Errors
    /// [`ModelError::Absent`] where the model has no vision tower.
    pub fn encode_images(&self, images: &[ImageTensor]) -> Result<Tensor<2>, ModelError> {
        let vision = self.vision.as_ref().ok_or(ModelError::Absent { part: "a vision tower" })?;
        let (patches, grids) = self.patches(images, &self.device());
        Ok(at_work(&self.device(), || vision.forward(patches, &grids)))
    }

    /// Text-width tokens of one picture: `[n_token, d_text]`.
    ///
    /// # Errors
    /// As [`Self::encode_images`].
    pub fn encode_image(&self, image: &ImageTensor) -> Result<Tensor<2>, ModelError> {
        self.encode_images(std::slice::from_ref(image))
    }

    /// Embeds tokens and puts picture tokens in the place of placeholders.
    ///
    /// # Shapes
    /// - `ids`: `m` tokens
    /// - `features`: `[k, d]` for `k` placeholders among them
    /// - returns: `[m, d]`
    ///
    /// # Errors
    /// [`ModelError::TokenRange`]; [`ModelError::ImageTokens`] where the numbers differ.
    pub fn embed(&self, ids: &[u32], features: Option<&Tensor<2>>) -> Result<Tensor<2>, ModelError> {
        let (n_vocab, device) = (self.config.text.n_vocab, self.device());
        if let Some(id) = ids.iter().find(|id| **id as usize >= n_vocab) {
            return Err(ModelError::TokenRange { id: *id, n_vocab });
        }
        let is_image = |id: u32| id == self.config.tokens.image_pad;
        let n_placeholder = ids.iter().filter(|id| is_image(**id)).count();
        let n_token = features.map_or(0, |features| features.dims()[0]);
        if n_placeholder != n_token {
            return Err(ModelError::ImageTokens { n_placeholder, n_token });
        }
        let words = self.text.embed(id_tensor(ids.iter().copied(), &device));
        let Some(features) = features.filter(|_| n_token > 0) else { return Ok(words) };
        // One gather from words and pictures together, which gradients pass through.
        let mut next = ids.len() as u32;
        let places = ids.iter().enumerate().map(|(idx, id)| {
            if is_image(*id) {
                next += 1;
                next - 1
            } else {
                idx as u32
            }
        });
        let places = id_tensor(places, &device);
        Ok(Tensor::cat(vec![words, features.clone()], 0).select(0, places))
    }

    /// Reads the tokens of a prompt that are not cached yet and scores the token after the last.
    ///
    /// # Shapes
    /// - `ids`: the whole prompt; its first `cache.n_token()` tokens are not read again
    /// - `features`: tokens of the pictures among the tokens that are read
    /// - `positions`: of the whole prompt
    /// - returns: `[v]`
    ///
    /// # Errors
    /// As [`Self::embed`]; [`ModelError::Batch`] where nothing is left to read.
    pub fn prefill(
        &self,
        ids: &[u32],
        features: Option<&Tensor<2>>,
        positions: &Positions,
        cache: &mut KvCache,
    ) -> Result<Tensor<1>, ModelError> {
        let start = cache.n_token();
        if start >= ids.len() || positions.n_token() != ids.len() {
            let cause = format!("{} tokens, {} positions, {start} cached", ids.len(), positions.n_token());
            return Err(ModelError::Batch { cause });
        }
        at_work(&self.device(), || {
            let embeds = self.embed(&ids[start..], features)?;
            let ([n_token, d], positions) = (embeds.dims(), positions.tail(start));
            let mut last = None;
            for row in (0..n_token).step_by(PREFILL_ROWS) {
                let n_row = PREFILL_ROWS.min(n_token - row);
                let rows = embeds.clone().narrow(0, row, n_row).unsqueeze::<3>();
                let positions = positions.tail(row).head(n_row);
                let hidden = self.text.forward(rows, &[positions], Visibility::Causal, Some(&mut *cache));
                last = Some(hidden.narrow(1, n_row - 1, 1).reshape([1, d]));
            }
            let last = last.expect("at least one token is left to read");
            Ok(self.text.logits(last).reshape([self.config.text.n_vocab]))
        })
    }

    /// Reads one token after those cached and scores the next.
    ///
    /// # Shapes
    /// - `position`: on all axes: [`Positions::next`] after the prompt, then one more each time
    /// - returns: `[v]`
    ///
    /// # Errors
    /// [`ModelError::TokenRange`].
    pub fn decode(&self, id: u32, position: u32, cache: &mut KvCache) -> Result<Tensor<1>, ModelError> {
        Ok(self.verify(&[id], position, cache)?.reshape([self.config.text.n_vocab]))
    }

    /// Reads several tokens of text after those cached and scores what comes after each of them: where they were
    /// guessed, this says how far the guess was right, and [`KvCache::truncate`] forgets the rest. Where
    /// [`Self::verifies_exactly`] says so, up to [`MAX_VERIFY`] tokens are scored as by as many calls of
    /// [`Self::decode`], bit for bit.
    ///
    /// # Shapes
    /// - `ids`: `n` tokens, at least one
    /// - `position`: of the first, as for [`Self::decode`]; the others follow it
    /// - returns: `[n, v]`
    ///
    /// # Errors
    /// [`ModelError::TokenRange`]; [`ModelError::Batch`] where there is no token.
    pub fn verify(&self, ids: &[u32], position: u32, cache: &mut KvCache) -> Result<Tensor<2>, ModelError> {
        let TextConfig { n_vocab, d_model, .. } = self.config.text;
        if let Some(id) = ids.iter().copied().find(|id| *id as usize >= n_vocab) {
            return Err(ModelError::TokenRange { id, n_vocab });
        }
        if ids.is_empty() {
            return Err(ModelError::Batch { cause: "no token to read".to_owned() });
        }
        let scores = || {
            let embeds = self.text.embed(id_tensor(ids.iter().copied(), &self.device())).unsqueeze::<3>();
            let positions = [Positions::text(position, ids.len())];
            let hidden = self.text.forward(embeds, &positions, Visibility::Causal, Some(cache));
            self.text.logits(hidden.reshape([ids.len(), d_model]))
        };
        Ok(at_work(&self.device(), scores))
    }

    /// Whether [`Self::verify`] gives what [`Self::decode`] gives. The processor's packed products and its attention
    /// over a cache treat each row as if it were alone; dense products, and other devices', choose their ways by the
    /// number of rows, and differ in the last bits.
    pub fn verifies_exactly(&self) -> bool {
        let is_packed = |weight: &Weight| matches!(weight, Weight::Packed(_));
        let is_plain = |linear: &Linear| is_packed(&linear.weight) && linear.adapter.is_none();
        let Decoder { embedding, head, blocks, .. } = &self.text;
        // Heads that attention over a cache takes.
        self.config.text.d_head.is_multiple_of(16)
            && self.device() == Device::flex()
            && is_packed(embedding)
            && head.as_ref().is_none_or(is_packed)
            && blocks.iter().all(|block| {
                let (attention, mlp) = (&block.attention, &block.mlp);
                let maps = [&attention.query, &attention.key, &attention.value, &attention.output];
                maps.into_iter().chain([&mlp.gate, &mlp.up, &mlp.down]).all(is_plain)
            })
    }

    /// The loss of a batch, with its graph where the weights are on a device with gradients.
    ///
    /// # Errors
    /// [`ModelError::Batch`] where lengths differ; as [`Self::embed`] and [`mrope_positions`].
    pub fn forward_train(&self, batch: &TrainBatch) -> Result<TokenLoss, ModelError> {
        let Some(Taught { hidden, targets, places }) = self.forward_taught(batch)? else {
            return Ok(TokenLoss { sum: Tensor::zeros([1], &self.device()), n_token: 0, n_right: 0 });
        };
        let logits = self.text.logits(hidden);
        let n_right = loss::n_likeliest(&logits, &targets);
        Ok(TokenLoss { sum: loss::cross_entropy_sum(logits, targets), n_token: places.len(), n_right })
    }

    /// ln p of every taught token and the entropy at its place, with their graphs: what losses of reinforcement
    /// learning are made of. Scores are divided by `temperature` first, as those were that answers were drawn
    /// from; 1 leaves them as they are.
    ///
    /// # Errors
    /// As [`Self::forward_train`].
    pub fn token_log_probs(&self, batch: &TrainBatch, temperature: f32) -> Result<TokenScores, ModelError> {
        let Some(Taught { hidden, targets, places }) = self.forward_taught(batch)? else {
            let none = || Tensor::zeros([0], &self.device());
            return Ok(TokenScores { log_probs: none(), entropy: none(), places: Vec::new() });
        };
        let mut logits = self.text.logits(hidden);
        if temperature.to_bits() != 1.0_f32.to_bits() {
            logits = logits.div_scalar(temperature);
        }
        let [log_probs, entropy] = loss::log_probs_and_entropy(logits, targets);
        Ok(TokenScores { log_probs, entropy, places })
    }

    /// Runs the decoder over a batch and keeps the rows that predict a taught token; `None` where nothing is
    /// taught.
    fn forward_taught(&self, batch: &TrainBatch) -> Result<Option<Taught>, ModelError> {
        let lesson = self.lesson(batch)?;
        if lesson.rows.is_empty() {
            return Ok(None);
        }
        let embeds = self.batch_embeds(batch, self.batch_features(batch)?.as_ref())?;
        let hidden = self.text.forward(embeds, &lesson.positions, lesson.visibility.clone(), None);
        Ok(Some(Self::taught(hidden, lesson)))
    }

    /// Checks a batch and says where everything in it stands.
    fn lesson(&self, batch: &TrainBatch) -> Result<Lesson, ModelError> {
        let (b, t) = (batch.ids.len(), batch.ids.first().map_or(0, Vec::len));
        let segments = batch.segments.as_deref().unwrap_or_default();
        let sound = t > 0
            && batch.taught.len() == b
            && (batch.segments.is_none() || segments.len() == b)
            && batch.ids.iter().all(|row| row.len() == t)
            && batch.taught.iter().all(|row| row.len() == t)
            && segments.iter().all(|row| row.len() == t);
        if !sound {
            return Err(ModelError::Batch { cause: format!("{b} samples are not all of length {t}") });
        }
        let visibility = match &batch.segments {
            // Padding on the right is never seen by what stands left of it.
            None => Visibility::Causal,
            Some(segments) => Visibility::CausalSegments(segments.clone()),
        };
        let positions = self.batch_positions(batch)?;
        let (mut rows, mut targets, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (sample, (ids, taught)) in batch.ids.iter().zip(&batch.taught).enumerate() {
            for token_idx in (1..t).filter(|token_idx| taught[*token_idx]) {
                rows.push((sample * t + token_idx - 1) as u32);
                targets.push(ids[token_idx]);
                places.push([sample, token_idx]);
            }
        }
        Ok(Lesson { visibility, positions, rows, targets, places })
    }

    /// The rows of the decoder's output, `[b, t, d]`, that predict a taught token.
    fn taught(hidden: Tensor<3>, lesson: Lesson) -> Taught {
        let ([b, t, d], device) = (hidden.dims(), hidden.device());
        let rows = id_tensor(lesson.rows.into_iter(), &device);
        Taught {
            hidden: hidden.reshape([b * t, d]).select(0, rows),
            targets: id_tensor(lesson.targets.into_iter(), &device),
            places: lesson.places,
        }
    }

    /// Tokens of the pictures in the order of their places, `[k, d]`.
    fn batch_features(&self, batch: &TrainBatch) -> Result<Option<Tensor<2>>, ModelError> {
        if batch.images.is_empty() {
            return Ok(None);
        }
        let features = self.encode_images(&batch.images)?;
        self.place_features(batch, Some(features))
    }

    /// Tokens of the pictures, each picture's once, in the order of their places.
    fn place_features(
        &self,
        batch: &TrainBatch,
        features: Option<Tensor<2>>,
    ) -> Result<Option<Tensor<2>>, ModelError> {
        let Some(image_at) = &batch.image_at else { return Ok(features) };
        let Some(features) = features else { return Ok(None) };
        let mut start = 0;
        let spans: Vec<std::ops::Range<u32>> = batch
            .images
            .iter()
            .map(|image| {
                start += image.grid.n_token() as u32;
                start - image.grid.n_token() as u32..start
            })
            .collect();
        let mut rows = Vec::new();
        for image in image_at {
            let span = spans.get(*image).cloned().ok_or_else(|| unknown_image(*image, spans.len()))?;
            rows.extend(span);
        }
        Ok(Some(features.select(0, id_tensor(rows.into_iter(), &self.device()))))
    }

    /// A batch as the decoder reads it, `[b, t, d]`; `features` are the pictures' tokens in their places.
    fn batch_embeds(
        &self,
        batch: &TrainBatch,
        features: Option<&Tensor<2>>,
    ) -> Result<Tensor<3>, ModelError> {
        let embeds = self.embed(&batch.ids.concat(), features)?;
        Ok(embeds.reshape([batch.ids.len(), batch.ids[0].len(), self.config.text.d_model]))
    }

    /// Positions of each row; a packed sample starts anew at zero.
    fn batch_positions(&self, batch: &TrainBatch) -> Result<Vec<Positions>, ModelError> {
        let tokens = &self.config.tokens;
        let in_order: Vec<usize> = (0..batch.images.len()).collect();
        let image_at = batch.image_at.as_deref().unwrap_or(&in_order);
        if let Some(image) = image_at.iter().find(|image| **image >= batch.images.len()) {
            return Err(unknown_image(*image, batch.images.len()));
        }
        let mut grids = image_at.iter().map(|image| batch.images[*image].grid);
        let mut rows = Vec::with_capacity(batch.ids.len());
        for (row, ids) in batch.ids.iter().enumerate() {
            let own = vec![0; ids.len()];
            let segments = batch.segments.as_ref().map_or(&own, |segments| &segments[row]);
            let mut start = 0;
            let mut parts = Vec::new();
            for part in segments.chunk_by(|a, b| a == b) {
                let ids = &ids[start..start + part.len()];
                let mut n_left = ids.iter().filter(|id| **id == tokens.image_pad).count();
                let mut own = Vec::new();
                while n_left > 0 {
                    let Some(grid) = grids.next().filter(|grid| grid.n_token() <= n_left) else {
                        let n_token = own.iter().map(PatchGrid::n_token).sum();
                        return Err(ModelError::ImageTokens { n_placeholder: n_left + n_token, n_token });
                    };
                    n_left -= grid.n_token();
                    own.push(grid);
                }
                parts.push(mrope_positions(ids, &own, tokens)?);
                start += part.len();
            }
            rows.push(Positions::packed(&parts));
        }
        Ok(rows)
    }
}
