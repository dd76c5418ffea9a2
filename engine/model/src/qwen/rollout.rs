//! Many answers at once through the cache: what reinforcement learning and evaluation spend their time on.
//!
//! Prompts of unequal length are padded on the left, so that all sequences end in one column and each step
//! appends one: no sequence sees its padding, and each keeps its own M-RoPE positions. A prompt is read once,
//! however many rollouts it has; its keys and values are then copied. Sequences that are done leave the batch
//! when enough of them have gone to pay for the copy. Every sequence draws from a generator of its own, named
//! by the seed, its prompt and its number, so that its tokens do not depend on what else is in the batch
//! (other than by rounding in the last bits of a score). Held true by `tests/train_rollout.rs`.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use eosin_core::PatchGrid;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::cache::KvCache;
use super::{Positions, Qwen, id_tensor, mrope_positions};
use crate::ModelError;
use crate::attention::Visibility;
use crate::draw::{Draw, argmax, log_prob};
use crate::prepare::ImageTensor;

/// Tokens of prompts, padding included, that pass through the decoder at once.
const N_READ: usize = 4096;
/// Patches that pass through the vision tower at once.
const N_PATCH: usize = 8192;
/// Columns of the cache set aside for answers at first; it grows when they are longer.
const N_ROOM: usize = 256;
/// Weights of a decoder up to which a second copy is made that suits generation: 1 GiB.
const N_TURNED: usize = 1 << 28;

/// Pictures after the vision tower, for any number of prompts.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    features: Vec<Tensor<2>>,
    grids: Vec<PatchGrid>,
}

/// A prompt and how many answers are wanted to it.
#[derive(Clone, Debug)]
pub struct RolloutPrompt {
    /// Tokens up to the opened assistant turn, placeholders of the pictures included.
    pub ids: Vec<u32>,
    /// Its pictures in reading order, as numbers into [`Pictures`]; prompts may share them.
    pub pictures: Vec<usize>,
    /// Answers wanted: the group of group-relative methods.
    pub n_rollout: usize,
    /// Names the prompt's own random numbers: the sample's number, say, not its place in the batch.
    pub stream: u64,
}

/// How answers are drawn.
#[derive(Clone, PartialEq, Debug)]
pub struct RolloutSettings {
    /// Tokens of an answer at most, its end included.
    pub max_new_tokens: usize,
    /// Scores are divided by it; `None` takes the likeliest token always.
    pub temperature: Option<f32>,
    /// Only this many of the likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Seed of all draws.
    pub seed: u64,
    /// Tokens that never come, greedy or drawn: those that stand for pictures, above all, since an answer that
    /// holds one has more placeholders than pictures when it is read again.
    pub banned: Vec<u32>,
    /// Tokens that end an answer; the one that comes is part of it.
    pub ends: Vec<u32>,
    /// Sequences that are generated side by side at most: bounds the memory of the cache.
    pub max_rows: usize,
}

/// Why an answer is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// It said so.
    End,
    /// It grew too long, and has no end token.
    Length,
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Rollout {
    /// The tokens, with the end token where it came.
    pub ids: Vec<u32>,
    /// ln p of each token under the model as it is: whole vocabulary, temperature 1. Where the temperature is
    /// 1 and nothing is cut off these are the old log-probabilities of PPO and GRPO; trainers that divide
    /// scores by the temperature first differ at other temperatures.
    pub logprobs: Vec<f32>,
    /// Why it is over.
    pub stop: Stop,
}

impl Rollout {
    /// The tokens without the end token.
    pub fn words(&self) -> &[u32] {
        match self.stop {
            Stop::End => &self.ids[..self.ids.len() - 1],
            Stop::Length => &self.ids,
        }
    }
}

impl Default for RolloutSettings {
    /// Drawn at temperature 1 from the whole vocabulary.
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: Some(1.0),
            top_k: 0,
            top_p: 1.0,
            seed: 0,
            banned: Vec::new(),
            ends: Vec::new(),
            max_rows: 128,
        }
    }
}

impl RolloutSettings {
    /// Refuses settings without a meaning.
    fn check(&self, n_vocab: usize) -> Result<(), ModelError> {
        let refuse = |cause: &str| Err(ModelError::Batch { cause: cause.to_owned() });
        // Written so that a value that is no number fails.
        if self.temperature.is_some_and(|value| !(value > 0.0 && value.is_finite())) {
            return refuse("the temperature of rollouts must be above 0");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top-p of rollouts must be above 0 and at most 1");
        }
        if self.max_new_tokens == 0 || self.max_rows == 0 {
            return refuse("rollouts need room for at least one token and one row");
        }
        let mut banned: Vec<u32> =
            self.banned.iter().copied().filter(|id| (*id as usize) < n_vocab).collect();
        banned.sort_unstable();
        banned.dedup();
        if banned.len() == n_vocab {
            return refuse("rollouts need a token that is not banned");
        }
        Ok(())
    }

    /// The token after scores, and ln p of it.
    fn choose(&self, logits: &mut [f32], rng: &mut ChaCha8Rng) -> (u32, f32) {
        let banned: Vec<(u32, f32)> = self
            .banned
            .iter()
            .filter_map(|id| {
                logits.get_mut(*id as usize).map(|logit| (*id, std::mem::replace(logit, f32::NEG_INFINITY)))
            })
            .collect();
        let id = match self.temperature {
            None => argmax(logits),
            Some(temperature) => {
                Draw { temperature, top_k: self.top_k, top_p: self.top_p }.pick(logits, rng.random())
            }
        };
        // Backwards, so that an id that was named twice gets its first value.
        for (id, logit) in banned.into_iter().rev() {
            logits[id as usize] = logit;
        }
        (id, log_prob(logits, id))
    }
}

/// A sequence that is being written.
struct Writer {
    /// Its place among the results.
    place: usize,
    /// Column of its first token.
    first: usize,
    /// Position of its next token.
    position: u32,
    rng: ChaCha8Rng,
    rollout: Rollout,
    done: bool,
}

impl Writer {
    /// Chooses the next token.
    fn push(&mut self, logits: &mut [f32], settings: &RolloutSettings) {
        let (id, log_prob) = settings.choose(logits, &mut self.rng);
        self.rollout.ids.push(id);
        self.rollout.logprobs.push(log_prob);
        if settings.ends.contains(&id) {
            self.rollout.stop = Stop::End;
            self.done = true;
        } else {
            self.done = self.rollout.ids.len() >= settings.max_new_tokens;
        }
    }
}

/// The generator of rollout `number` of a prompt.
fn generator(seed: u64, stream: u64, number: usize) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..24].copy_from_slice(&(number as u64).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// A prompt ready to be read.
struct Reading<'a> {
    prompt: &'a RolloutPrompt,
    positions: Positions,
}

impl Qwen {
    /// Reads pictures once for all the prompts that show them.
    ///
    /// # Errors
    /// [`ModelError::Absent`] where the model has no vision tower.
    pub fn encode_pictures(&self, images: &[ImageTensor]) -> Result<Pictures, ModelError> {
        if self.device().is_autodiff() {
            return self.valid().encode_pictures(images);
        }
        let mut pictures = Pictures::default();
        let mut rest = images;
        while !rest.is_empty() {
            let mut n_patch = 0;
            let n_fit = rest.iter().take_while(|image| {
                n_patch += image.grid.n_patch();
                n_patch <= N_PATCH
            });
            let (now, later) = rest.split_at(n_fit.count().max(1));
            let features = self.encode_images(now)?;
            let mut start = 0;
            for image in now {
                let n_token = image.grid.n_token();
                pictures.push(features.clone().narrow(0, start, n_token), image.grid);
                start += n_token;
            }
            rest = later;
        }
        Ok(pictures)
    }

    /// Answers to prompts: prompt by prompt, each prompt's `n_rollout` one after another. The model may be on a
    /// device with gradients; none are kept.
    ///
    /// # Errors
    /// [`ModelError::ImageTokens`] where a prompt's placeholders and pictures disagree;
    /// [`ModelError::TokenRange`]; [`ModelError::Batch`] for settings without a meaning and empty prompts.
    pub fn rollout(
        &self,
        prompts: &[RolloutPrompt],
        pictures: &Pictures,
        settings: &RolloutSettings,
    ) -> Result<Vec<Rollout>, ModelError> {
        if self.device().is_autodiff() {
            return self.valid().rollout(prompts, pictures, settings);
        }
        settings.check(self.config().text.n_vocab)?;
        if self.text.num_params() <= N_TURNED && self.device() == Device::flex() {
            let turned = Self { vision: None, text: self.text.turned(), config: self.config.clone() };
            return turned.roll_out(prompts, pictures, settings);
        }
        self.roll_out(prompts, pictures, settings)
    }

    fn roll_out(
        &self,
        prompts: &[RolloutPrompt],
        pictures: &Pictures,
        settings: &RolloutSettings,
    ) -> Result<Vec<Rollout>, ModelError> {
        let mut readings = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            if prompt.ids.is_empty() {
                return Err(ModelError::Batch { cause: "a prompt has no tokens".to_owned() });
            }
            let grids = pictures.grids(&prompt.pictures)?;
            let positions = mrope_positions(&prompt.ids, &grids, &self.config().tokens)?;
            readings.push(Reading { prompt, positions });
        }
        // All rollouts as (reading, number), cut into batches that fit; a prompt on a border is read twice.
        let wanted: Vec<(usize, usize)> = (0..prompts.len())
            .flat_map(|prompt| (0..prompts[prompt].n_rollout).map(move |number| (prompt, number)))
            .collect();
        let mut results: Vec<Option<Rollout>> = vec![None; wanted.len()];
        for (start, batch) in (0..).step_by(settings.max_rows).zip(wanted.chunks(settings.max_rows)) {
            self.write(&readings, pictures, settings, start, batch, &mut results)?;
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// Writes one batch of rollouts into their places, the first of which is `start`.
    fn write(
        &self,
        readings: &[Reading<'_>],
        pictures: &Pictures,
        settings: &RolloutSettings,
        start: usize,
        batch: &[(usize, usize)],
        results: &mut [Option<Rollout>],
    ) -> Result<(), ModelError> {
        let mut read: Vec<usize> = batch.iter().map(|(prompt, _)| *prompt).collect();
        read.dedup();
        let own: Vec<&Reading<'_>> = read.iter().map(|prompt| &readings[*prompt]).collect();
        let (mut cache, logits) = self.read(&own, pictures)?;
        let n_column = cache.n_token();
        let rows: Vec<usize> = batch
            .iter()
            .map(|(prompt, _)| read.binary_search(prompt).expect("every prompt was read"))
            .collect();
        if rows.len() != read.len() {
            cache = cache.select(&rows, 0, n_column + settings.max_new_tokens.min(N_ROOM));
        }
        let mut writers: Vec<Writer> = batch
            .iter()
            .enumerate()
            .map(|(idx, (prompt, number))| {
                let Reading { prompt, positions } = &readings[*prompt];
                Writer {
                    place: start + idx,
                    first: n_column - prompt.ids.len(),
                    position: positions.next,
                    rng: generator(settings.seed, prompt.stream, *number),
                    rollout: Rollout { ids: Vec::new(), logprobs: Vec::new(), stop: Stop::Length },
                    done: false,
                }
            })
            .collect();
        let n_vocab = self.config().text.n_vocab;
        let logits = floats(logits);
        // Each rollout of a prompt draws from the same scores.
        writers.par_iter_mut().zip(&rows).for_each(|(writer, row)| {
            let mut logits = logits[row * n_vocab..(row + 1) * n_vocab].to_vec();
            writer.push(&mut logits, settings);
        });
        loop {
            Self::dismiss(&mut writers, &mut cache, results);
            if writers.iter().all(|writer| writer.done) {
                break;
            }
            let mut logits = floats(self.append(&writers, &mut cache));
            writers.par_iter_mut().zip(logits.par_chunks_exact_mut(n_vocab)).for_each(|(writer, logits)| {
                writer.position += 1;
                if !writer.done {
                    writer.push(logits, settings);
                }
            });
        }
        for writer in writers {
            results[writer.place] = Some(writer.rollout);
        }
        Ok(())
    }

    /// Reads prompts side by side, padded on the left.
    ///
    /// # Shapes
    /// - returns: a cache of one row for each prompt, and `[b, v]`, the scores of each first token
    fn read(
        &self,
        readings: &[&Reading<'_>],
        pictures: &Pictures,
    ) -> Result<(KvCache, Tensor<2>), ModelError> {
        let config = self.config();
        let (b, d) = (readings.len(), config.text.d_model);
        let n_column = readings.iter().map(|reading| reading.prompt.ids.len()).max().unwrap_or(0);
        let pad = u32::from(config.tokens.image_pad == 0);
        let mut ids = Vec::with_capacity(b * n_column);
        let (mut positions, mut firsts, mut features) = (Vec::new(), Vec::new(), Vec::new());
        for Reading { prompt, positions: own } in readings {
            let first = n_column - prompt.ids.len();
            ids.extend(std::iter::repeat_n(pad, first));
            ids.extend(&prompt.ids);
            positions.push(Positions::packed([&Positions::text(0, first), own]));
            firsts.push(first);
            features.extend(prompt.pictures.iter().map(|picture| pictures.features[*picture].clone()));
        }
        let features = if features.is_empty() { None } else { Some(Tensor::cat(features, 0)) };
        let embeds = self.embed(&ids, features.as_ref())?.reshape([b, n_column, d]);
        let mut cache = KvCache::new(&config.text, b, n_column + N_ROOM, &self.device());
        let n_pass = (N_READ / b).max(16);
        let mut last = None;
        for start in (0..n_column).step_by(n_pass) {
            let n_token = n_pass.min(n_column - start);
            let positions: Vec<Positions> =
                positions.iter().map(|own| own.tail(start).head(n_token)).collect();
            let part = embeds.clone().narrow(1, start, n_token);
            let hidden = self.text.forward(part, &positions, seen_from(firsts.clone()), Some(&mut cache));
            last = Some(hidden.narrow(1, n_token - 1, 1).reshape([b, d]));
        }
        let last = last.expect("a prompt has tokens");
        Ok((cache, self.text.logits(last)))
    }

    /// Reads the newest token of every sequence.
    ///
    /// # Shapes
    /// - returns: `[b, v]`
    fn append(&self, writers: &[Writer], cache: &mut KvCache) -> Tensor<2> {
        let (b, d) = (writers.len(), self.config().text.d_model);
        let newest =
            writers.iter().map(|writer| *writer.rollout.ids.last().expect("a first token was chosen"));
        let embeds = self.text.embed(id_tensor(newest, &self.device())).reshape([b, 1, d]);
        let positions: Vec<Positions> =
            writers.iter().map(|writer| Positions::text(writer.position, 1)).collect();
        let firsts = writers.iter().map(|writer| writer.first).collect();
        let hidden = self.text.forward(embeds, &positions, seen_from(firsts), Some(cache));
        self.text.logits(hidden.reshape([b, d]))
    }

    /// Lets sequences that are done leave, where a quarter of the batch is: the copy then costs less than going
    /// on with them.
    fn dismiss(writers: &mut Vec<Writer>, cache: &mut KvCache, results: &mut [Option<Rollout>]) {
        let n_done = writers.iter().filter(|writer| writer.done).count();
        if n_done * 4 < writers.len() || n_done == writers.len() || n_done == 0 {
            return;
        }
        let stay: Vec<usize> = (0..writers.len()).filter(|row| !writers[*row].done).collect();
        let mut left = Vec::with_capacity(stay.len());
        for writer in writers.drain(..) {
            if writer.done {
                results[writer.place] = Some(writer.rollout);
            } else {
                left.push(writer);
            }
        }
        // Columns that were only there for longer prompts go, too.
        let first = left.iter().map(|writer| writer.first).min().unwrap_or(0);
        for writer in &mut left {
            writer.first -= first;
        }
        *cache = cache.select(&stay, first, cache.n_token() - first + N_ROOM);
        *writers = left;
    }
}

impl Pictures {
    /// Adds a picture that was read already.
    ///
    /// # Shapes
    /// - `features`: `[n_token, d]`
    pub fn push(&mut self, features: Tensor<2>, grid: PatchGrid) {
        self.features.push(if features.is_autodiff() { features.inner() } else { features });
        self.grids.push(grid);
    }

    /// Number of pictures.
    pub fn len(&self) -> usize {
        self.grids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.grids.is_empty()
    }

    fn grids(&self, numbers: &[usize]) -> Result<Vec<PatchGrid>, ModelError> {
        let grid = |number: &usize| {
            let cause = || format!("a prompt shows picture {number} of {}", self.grids.len());
            self.grids.get(*number).copied().ok_or_else(|| ModelError::Batch { cause: cause() })
        };
        numbers.iter().map(grid).collect()
    }
}

/// What sequences with these first columns see.
fn seen_from(firsts: Vec<usize>) -> Visibility {
    if firsts.iter().all(|first| *first == 0) { Visibility::Causal } else { Visibility::CausalFrom(firsts) }
}

/// Values of a tensor in row-major order.
fn floats(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("values were converted to f32")
}
