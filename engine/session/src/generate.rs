//! One model on one device, and the loop that answers questions with it.
//!
//! What a question costs twice is kept: the vision output of the last pictures, by the content of their
//! pixels, and the keys and values of the tokens that two prompts begin with alike. So a second question
//! about the same picture reads only its own words. Tokens that are likely to repeat what was said are read several at
//! once (`generate/lookup.rs`). What was spared is in [`Usage`]. Held true by `tests/cli.rs` (24 greedy tokens of 42
//! cases), `tests/session_reuse.rs` (a second question, fresh and re-used, answers alike) and `tests/session_lookup.rs`.
//!
//! This file is long because the loop that answers is read top to bottom, with what it keeps between questions.

mod lookup;
mod options;
mod words;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use eosin_core::{Conversation, DeviceChoice, Part, RgbTile, Role, Turn};
use eosin_model::prepare::Preprocess;
use eosin_model::qwen::{KvCache, Qwen, mrope_positions};
use eosin_weights::Gguf;
use sha2::{Digest as _, Sha256};

use crate::SessionError;
use crate::bundle::{BundleSource, ModelBundle};
use crate::prompt::{Prompt, PromptMaker, Style, question_with_options};
use crate::sampler::{Sampler, SamplerSettings};
use crate::stream::{Settled, StopReason, StreamEvent, Transcript, Usage};
use crate::tokenizer::Specials;
use lookup::{Lookup, ReadAhead};
use words::Words;

/// Tokens that are read between two looks at whether somebody wants to stop.
const READ_CHUNK: usize = 256;
/// Tokens for which the cache of keys and values has room at first.
const FIRST_ROOM: usize = 512;
/// Most bytes of vision output that are kept.
const MAX_VISION_BYTES: usize = 256 << 20;

/// Says that an answer is not wanted any more; clones say the same.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops the answer within a token, or within a picture while pictures are read.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody stopped it.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the model's end-of-turn tokens do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum EndOfTurn {
    /// They end the answer.
    #[default]
    Stops,
    /// They are tokens like others, to compare with references.
    Ignored,
}

/// Whether tokens that are likely to repeat what was said are read ahead; answers are the same either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PromptLookup {
    /// Where the model's scores do not depend on it.
    #[default]
    On,
    /// Token by token.
    Off,
}

/// What a user wants otherwise than the model's own settings.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AskOptions {
    /// Always the likeliest token.
    pub greedy: bool,
    /// Divides the scores; makes an answer that is greedy by default a drawn one.
    pub temperature: Option<f32>,
    /// Only this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Only tokens that together reach this probability.
    pub top_p: Option<f32>,
    /// Makes tokens that came up less likely.
    pub repetition_penalty: Option<f32>,
    /// Seed of the draw.
    pub seed: Option<u64>,
    /// Tokens made at most.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// What end-of-turn tokens do.
    pub end_of_turn: EndOfTurn,
    /// Fewest pixels of a picture.
    pub min_pixels: Option<u64>,
    /// Most pixels of a picture.
    pub max_pixels: Option<u64>,
    /// Whether likely repetitions are read ahead.
    pub prompt_lookup: PromptLookup,
}

/// A conversation that waits for its next turn.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What was said so far, the question last.
    pub conversation: Conversation,
    /// Options to choose from; they are put behind the question.
    pub choices: Vec<String>,
    /// How to answer; `None`: as the model wants to be asked. A system turn of the conversation goes before.
    pub style: Option<Style>,
    /// What the user wants otherwise.
    pub options: AskOptions,
}

impl Question {
    /// A question about pictures, which come first.
    pub fn about(images: Vec<Arc<RgbTile>>, text: &str) -> Self {
        let mut parts: Vec<Part> = images.into_iter().map(Part::Image).collect();
        parts.push(Part::Text(text.to_owned()));
        let conversation = Conversation { turns: vec![Turn { role: Role::User, parts }] };
        Self { conversation, ..Self::default() }
    }

    /// The conversation as the model is to read it: with options and instructions.
    fn complete(&self, own_style: Style) -> Conversation {
        let mut conversation = self.conversation.clone();
        if let Some(turn) = conversation.turns.last_mut()
            && let Some(Part::Text(text)) =
                turn.parts.iter_mut().rev().find(|part| matches!(part, Part::Text(_)))
        {
            // An empty question stays one, so that it is refused.
            if !self.choices.is_empty() && !text.trim().is_empty() {
                *text = question_with_options(text, &self.choices);
            }
        }
        let has_system = conversation.turns.first().is_some_and(|turn| turn.role == Role::System);
        let system = self.style.unwrap_or(own_style).system(self.choices.len());
        if let (false, Some(system)) = (has_system, system) {
            conversation.turns.insert(0, Turn::text(Role::System, system));
        }
        conversation
    }
}

/// What is known of a loaded model.
#[derive(Clone, PartialEq, Debug)]
pub struct ModelInfo {
    /// A name for people: never a path.
    pub name: String,
    /// What must be said with every answer.
    pub notice: Option<String>,
    /// How the model wants to be asked.
    pub style: Style,
    /// `sha256:…` or `sampled-sha256:…` of the weights.
    pub hash: String,
    /// Tokens that the context holds.
    pub n_context: usize,
    /// Tokens made at most unless the user says otherwise.
    pub max_tokens: usize,
    /// How tokens are chosen unless the user says otherwise.
    pub sampler: SamplerSettings,
    /// Whether it can see.
    pub sees: bool,
    /// How pictures become what the vision tower takes.
    pub preprocess: Preprocess,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// The device that it runs on.
    pub device: DeviceChoice,
    /// The device's name.
    pub device_name: String,
    /// Why this device.
    pub device_why: String,
    /// Time that loading took.
    pub load_secs: f32,
}

/// Names a picture as the vision tower sees it: by its pixels, its size and how it is prepared.
type ImageKey = [u8; 16];

/// What the model has read and not forgotten: one entry a cached token, with the picture it belongs to.
type Slot = (u32, Option<ImageKey>);

/// A picture of a question, with the tokens that it takes.
struct Picture {
    tile: Arc<RgbTile>,
    key: ImageKey,
    grid: eosin_core::PatchGrid,
}

/// A loaded model that answers.
pub struct Session {
    info: ModelInfo,
    maker: PromptMaker,
    end_ids: Vec<u32>,
    qwen: Qwen,
    /// Holds the vision tower's weights: between pictures they need no memory.
    vision_file: Option<Gguf>,
    cache: KvCache,
    /// The tokens that `cache` holds; while an answer is made it may hold more, read ahead.
    slots: Vec<Slot>,
    /// Vision output, the last used at the end.
    seen: VecDeque<(ImageKey, Tensor<2>)>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.info)
    }
}

/// Seconds since then.
fn secs(since: Instant) -> f32 {
    since.elapsed().as_secs_f32()
}

impl Session {
    /// Opens a model and loads it to a device.
    ///
    /// # Errors
    /// [`SessionError`]: the model, the device or the memory.
    pub fn open(source: &BundleSource, choice: DeviceChoice) -> Result<Self, SessionError> {
        let started = Instant::now();
        let mut bundle = ModelBundle::open_source(source)?;
        let selected = eosin_kernels::select(choice)?;
        if selected.choice == DeviceChoice::Cpu {
            bundle.check_memory()?;
        }
        let qwen = bundle.load(&selected.device)?;
        let (tokenizer, template) = bundle.take_words().ok_or(SessionError::Gone)?;
        let info = ModelInfo {
            name: bundle.name.clone(),
            notice: bundle.notice.clone(),
            style: bundle.style,
            hash: bundle.hash.clone(),
            n_context: bundle.n_context,
            max_tokens: bundle.max_tokens,
            sampler: bundle.sampler.clone(),
            sees: qwen.vision.is_some(),
            preprocess: bundle.preprocess.clone(),
            weight_bytes: bundle.weight_bytes(),
            device: selected.choice,
            device_name: selected.name,
            device_why: selected.why,
            load_secs: secs(started),
        };
        let cache = qwen.cache(FIRST_ROOM);
        let maker = PromptMaker::new(tokenizer, template, bundle.config.tokens.image_pad);
        let end_ids = bundle.end_ids.clone();
        let vision_file = bundle.vision_file().cloned();
        Ok(Self { info, maker, end_ids, qwen, vision_file, cache, slots: Vec::new(), seen: VecDeque::new() })
    }

    /// What is known of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Forgets everything that was kept from earlier questions.
    pub fn forget(&mut self) {
        self.cache = self.qwen.cache(FIRST_ROOM);
        self.slots.clear();
        self.seen.clear();
    }

    /// Answers a question; the last event is `Done`, unless an error is returned.
    ///
    /// # Errors
    /// [`SessionError`]: the question cannot be answered; nothing was said, or the model broke.
    pub fn answer(
        &mut self,
        question: &Question,
        cancel: &Cancel,
        emit: &mut dyn FnMut(StreamEvent),
    ) -> Result<(), SessionError> {
        let started = Instant::now();
        let options = &question.options;
        let settings = self.settings(options)?;
        let conversation = question.complete(self.info.style);
        let preprocess = self.preprocess_for(options)?;
        let pictures: Vec<Picture> =
            conversation.images().map(|tile| picture(tile, &preprocess)).collect::<Result<_, _>>()?;
        if !pictures.is_empty() && !self.info.sees {
            return Err(SessionError::NoVision);
        }
        let image_tokens: Vec<usize> = pictures.iter().map(|picture| picture.grid.n_token()).collect();
        let prompt = self.maker.prompt(&conversation, &image_tokens)?;
        let (n_prompt, n_context) = (prompt.ids.len(), self.info.n_context);
        if n_prompt >= n_context {
            return Err(SessionError::Context { n_prompt, n_context });
        }
        let asked_tokens = options.max_tokens.unwrap_or(self.info.max_tokens);
        let max_tokens = asked_tokens.min(n_context - n_prompt);
        emit(StreamEvent::Planned { n_prompt, n_context, asked_tokens, max_tokens });

        let mut usage = Usage { n_prompt, n_context, n_image: pictures.len(), ..Usage::default() };
        usage.prepare_secs = secs(started);
        let settled = Settled {
            sampler: settings.clone(),
            max_tokens,
            min_pixels: preprocess.min_pixels,
            max_pixels: preprocess.max_pixels,
        };
        let mut transcript = Transcript { prompt_ids: prompt.ids.clone(), settled, ..Transcript::default() };
        let Some(mut logits) = self.read(&prompt, &pictures, &preprocess, cancel, &mut usage)? else {
            let (reason, transcript) = (StopReason::Cancelled, Arc::new(transcript));
            emit(StreamEvent::Done { reason, usage, transcript });
            return Ok(());
        };
        emit(StreamEvent::Prefilled { n_token: n_prompt, secs: secs(started) });

        let decoding = Instant::now();
        let banned = self.banned();
        let mut sampler = Sampler::new(settings, self.qwen.config().text.n_vocab, banned);
        sampler.observe(&prompt.ids);
        let grids: Vec<_> = pictures.iter().map(|picture| picture.grid).collect();
        let first_position = mrope_positions(&prompt.ids, &grids, &self.qwen.config().tokens)?.next;
        let mut words = Words::new(&options.stop, &prompt);
        let mut ahead = self.read_ahead(options, &prompt);
        let stops = options.end_of_turn == EndOfTurn::Stops;
        let reason = loop {
            if cancel.is_cancelled() {
                break StopReason::Cancelled;
            }
            if transcript.token_ids.len() >= max_tokens {
                break if max_tokens < asked_tokens {
                    StopReason::ContextFull
                } else {
                    StopReason::MaxTokens
                };
            }
            let id = sampler.next(&mut logits);
            transcript.token_ids.push(id);
            if stops && self.end_ids.contains(&id) {
                break StopReason::EndOfTurn;
            }
            let bytes = self.maker.tokenizer().bytes_of(id, Specials::Skip);
            if words.push(bytes, &mut transcript, emit) {
                break StopReason::StopString;
            }
            if transcript.token_ids.len() < max_tokens {
                let at = first_position + (transcript.token_ids.len() - 1) as u32;
                let n_left = max_tokens - transcript.token_ids.len();
                logits = self.scores_after(id, at, n_left, &mut ahead)?;
            }
        };
        self.cache.truncate(self.slots.len());
        words.finish(reason, &mut transcript, emit);
        usage.n_generated = transcript.token_ids.len();
        (usage.n_proposed, usage.n_accepted) = (ahead.n_proposed, ahead.n_accepted);
        usage.decode_secs = secs(decoding);
        if reason != StopReason::Cancelled {
            let scoring = Instant::now();
            transcript.option_probabilities =
                self.option_probabilities(&question.choices, &transcript, first_position, cancel)?;
            usage.score_secs = secs(scoring);
        }
        emit(StreamEvent::Done { reason, usage, transcript: Arc::new(transcript) });
        Ok(())
    }

    /// What reads ahead of this answer.
    fn read_ahead(&self, options: &AskOptions, prompt: &Prompt) -> ReadAhead {
        let serves = options.prompt_lookup == PromptLookup::On && self.qwen.verifies_exactly();
        let placeholder = self.qwen.config().tokens.image_pad;
        ReadAhead::new(serves.then(|| Lookup::new(&prompt.ids, placeholder)))
    }

    /// Scores what comes after a token that was chosen: reads it at position `at`, and what may follow it, unless it
    /// was read ahead. `n_left` tokens are wanted after it at most.
    fn scores_after(
        &mut self,
        id: u32,
        at: u32,
        n_left: usize,
        ahead: &mut ReadAhead,
    ) -> Result<Vec<f32>, SessionError> {
        let scores = if let Some(scores) = ahead.take(id) {
            scores
        } else {
            // What was read ahead and not chosen is forgotten.
            self.cache.truncate(self.slots.len());
            let copied = ahead.propose(n_left - 1);
            let ids: Vec<u32> = [id].into_iter().chain(copied.iter().copied()).collect();
            let scores = floats(self.qwen.verify(&ids, at, &mut self.cache)?.into_data());
            let n_vocab = (scores.len() / ids.len()).max(1);
            let mut rows = scores.chunks_exact(n_vocab).map(<[f32]>::to_vec);
            let first = rows.next().unwrap_or_default();
            ahead.put(&copied, rows);
            first
        };
        self.slots.push((id, None));
        checked(scores)
    }

    /// How likely the model held each option where it answered; empty where it chose none of them.
    ///
    /// `first_position` is that of the first token after the prompt. What was kept of the tokens from the option on
    /// is forgotten: another option was read in its place.
    fn option_probabilities(
        &mut self,
        choices: &[String],
        transcript: &Transcript,
        first_position: u32,
        cancel: &Cancel,
    ) -> Result<Vec<f32>, SessionError> {
        let Some(place) = options::Place::find(&transcript.text, choices) else { return Ok(Vec::new()) };
        let tokenizer = self.maker.tokenizer();
        let bytes: Vec<&[u8]> =
            transcript.token_ids.iter().map(|id| tokenizer.bytes_of(*id, Specials::Skip)).collect();
        let end = self.end_ids.first().copied();
        let Some(scored) = options::tokens(&place, &transcript.text, &bytes, end, tokenizer)? else {
            return Ok(Vec::new());
        };
        // Scores after the common beginning: its last token is read once more.
        let n_prompt = transcript.prompt_ids.len();
        let n_common = n_prompt + scored.n_kept;
        let ids = || transcript.prompt_ids.iter().chain(&transcript.token_ids).copied();
        let (Some(last), true) = (ids().nth(n_common - 1), self.cache.n_token() + 1 >= n_common) else {
            return Ok(Vec::new());
        };
        let position = |token_idx: usize| first_position + token_idx as u32 - n_prompt as u32;
        self.keep(n_common - 1);
        let first = numbers(self.qwen.decode(last, position(n_common - 1), &mut self.cache)?)?;
        self.slots.push((last, None));
        let mut logs = Vec::with_capacity(choices.len());
        for option in &scored.options {
            let mut log = 0.0;
            let mut scores = first.clone();
            for (idx, id) in option.iter().enumerate() {
                if cancel.is_cancelled() {
                    self.keep(n_common);
                    return Ok(Vec::new());
                }
                log += options::ln_probability(&scores, *id);
                if idx + 1 < option.len() && n_common + idx + 1 < self.info.n_context {
                    scores = numbers(self.qwen.decode(*id, position(n_common + idx), &mut self.cache)?)?;
                }
            }
            self.cache.truncate(n_common);
            logs.push(log);
        }
        Ok(options::normalised(&logs))
    }

    /// Forgets what was read after the first tokens.
    fn keep(&mut self, n_token: usize) {
        self.cache.truncate(n_token);
        self.slots.truncate(n_token);
    }

    /// The user's wishes over the model's settings.
    fn settings(&self, options: &AskOptions) -> Result<SamplerSettings, SessionError> {
        let own = &self.info.sampler;
        let settings = SamplerSettings {
            temperature: if options.greedy { None } else { options.temperature.or(own.temperature) },
            top_k: options.top_k.unwrap_or(own.top_k),
            top_p: options.top_p.unwrap_or(own.top_p),
            repetition_penalty: options.repetition_penalty.unwrap_or(own.repetition_penalty),
            seed: options.seed.unwrap_or(own.seed),
        };
        // A temperature of zero is how many programs say greedy.
        let greedy = settings.temperature == Some(0.0);
        let settings = SamplerSettings { temperature: settings.temperature.filter(|_| !greedy), ..settings };
        settings.check()?;
        Ok(settings)
    }

    /// How pictures are prepared for this question.
    fn preprocess_for(&self, options: &AskOptions) -> Result<Preprocess, SessionError> {
        let own = &self.info.preprocess;
        let max_pixels = options.max_pixels.unwrap_or(own.max_pixels);
        // One bound alone moves the other out of its way; two that exclude each other are a mistake.
        let min_pixels = options.min_pixels.unwrap_or(own.min_pixels.min(max_pixels));
        if min_pixels > max_pixels && options.max_pixels.is_some() {
            return Err(SessionError::Pixels { min_pixels, max_pixels });
        }
        Ok(own.with_pixels(min_pixels, max_pixels))
    }

    /// Ids that are never drawn: rows without a token, and control tokens that do not end an answer.
    fn banned(&self) -> impl Fn(u32) -> bool + use<> {
        let tokenizer = self.maker.tokenizer();
        let control: Vec<u32> = tokenizer.control_ids().filter(|id| !self.end_ids.contains(id)).collect();
        let known: Vec<bool> = (0..tokenizer.n_id() as u32).map(|id| tokenizer.knows(id)).collect();
        move |id| !known.get(id as usize).copied().unwrap_or(false) || control.contains(&id)
    }

    /// Reads a prompt, as far as it is not read yet, and scores what comes next; `None` if cancelled.
    fn read(
        &mut self,
        prompt: &Prompt,
        pictures: &[Picture],
        preprocess: &Preprocess,
        cancel: &Cancel,
        usage: &mut Usage,
    ) -> Result<Option<Vec<f32>>, SessionError> {
        let slots = slots(prompt, pictures);
        let n_reused = n_common(&self.slots, &slots, &prompt.image_spans);
        self.cache.truncate(n_reused);
        self.slots.truncate(n_reused);
        usage.n_reused = n_reused;

        // Only pictures whose tokens are read again need their vision output.
        let mut features: Vec<Option<Tensor<2>>> = Vec::with_capacity(pictures.len());
        for (picture, span) in pictures.iter().zip(&prompt.image_spans) {
            if span.end <= n_reused {
                usage.n_image_reused += 1;
                features.push(None);
                continue;
            }
            if cancel.is_cancelled() {
                return Ok(None);
            }
            features.push(Some(self.see(picture, preprocess, usage)?));
        }

        let reading = Instant::now();
        let grids: Vec<_> = pictures.iter().map(|picture| picture.grid).collect();
        let positions = mrope_positions(&prompt.ids, &grids, &self.qwen.config().tokens)?;
        let mut logits = None;
        let mut from = n_reused;
        while from < prompt.ids.len() {
            if cancel.is_cancelled() {
                return Ok(None);
            }
            let to = (from + READ_CHUNK).min(prompt.ids.len());
            let features = features_between(&features, &prompt.image_spans, from..to);
            let (ids, positions) = (&prompt.ids[..to], positions.head(to));
            logits = Some(self.qwen.prefill(ids, features.as_ref(), &positions, &mut self.cache)?);
            self.slots.extend_from_slice(&slots[from..to]);
            from = to;
        }
        let logits = logits.map(numbers).transpose()?;
        usage.prefill_secs = secs(reading);
        Ok(logits)
    }

    /// The vision output of a picture, kept or made.
    fn see(
        &mut self,
        picture: &Picture,
        preprocess: &Preprocess,
        usage: &mut Usage,
    ) -> Result<Tensor<2>, SessionError> {
        if let Some(idx) = self.seen.iter().position(|(key, _)| *key == picture.key)
            && let Some(kept) = self.seen.remove(idx)
        {
            usage.n_image_reused += 1;
            self.seen.push_back(kept.clone());
            return Ok(kept.1);
        }
        let preparing = Instant::now();
        let image = preprocess.prepare(&picture.tile)?;
        usage.prepare_secs += secs(preparing);
        let seeing = Instant::now();
        let features = self.qwen.encode_image(&image)?;
        if let Some(file) = &self.vision_file {
            file.release();
        }
        usage.vision_secs += secs(seeing);
        self.seen.push_back((picture.key, features.clone()));
        let n_byte = |features: &Tensor<2>| 4 * features.dims().iter().product::<usize>();
        let mut total: usize = self.seen.iter().map(|(_, features)| n_byte(features)).sum();
        while total > MAX_VISION_BYTES
            && self.seen.len() > 1
            && let Some((_, oldest)) = self.seen.pop_front()
        {
            total -= n_byte(&oldest);
        }
        Ok(features)
    }
}

/// A picture with its name and the tokens that it will take; nothing large is computed.
fn picture(tile: &Arc<RgbTile>, preprocess: &Preprocess) -> Result<Picture, SessionError> {
    let target_px = preprocess.target_px(tile.size_px())?;
    let grid = eosin_core::PatchGrid::new(target_px, preprocess.patch_px, preprocess.merge)
        .map_err(eosin_model::ModelError::Grid)?;
    let mut hasher = Sha256::new();
    for n in [tile.width_px(), tile.height_px(), target_px[0], target_px[1]] {
        hasher.update(n.to_le_bytes());
    }
    hasher.update(tile.pixels());
    let mut key = ImageKey::default();
    key.copy_from_slice(&hasher.finalize()[..16]);
    Ok(Picture { tile: tile.clone(), key, grid })
}

/// One entry a token of the prompt.
fn slots(prompt: &Prompt, pictures: &[Picture]) -> Vec<Slot> {
    let mut slots: Vec<Slot> = prompt.ids.iter().map(|id| (*id, None)).collect();
    for (span, picture) in prompt.image_spans.iter().zip(pictures) {
        for slot in &mut slots[span.clone()] {
            slot.1 = Some(picture.key);
        }
    }
    slots
}

/// How many tokens two prompts begin with alike: at least one is left to read, and no picture is cut.
fn n_common(kept: &[Slot], wanted: &[Slot], image_spans: &[Range<usize>]) -> usize {
    let n_alike = kept.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let n_alike = n_alike.min(wanted.len().saturating_sub(1));
    let cut = image_spans.iter().find(|span| span.start < n_alike && n_alike < span.end);
    cut.map_or(n_alike, |span| span.start)
}

/// The vision output that belongs to the tokens of a range, in order.
fn features_between(
    features: &[Option<Tensor<2>>],
    image_spans: &[Range<usize>],
    range: Range<usize>,
) -> Option<Tensor<2>> {
    let mut parts = Vec::new();
    for (features, span) in features.iter().zip(image_spans) {
        let (from, to) = (span.start.max(range.start), span.end.min(range.end));
        if let Some(features) = features
            && from < to
        {
            parts.push(features.clone().narrow(0, from - span.start, to - from));
        }
    }
    if parts.is_empty() { None } else { Some(Tensor::cat(parts, 0)) }
}

/// Scores out of the device, refused if they are no numbers.
fn numbers(logits: Tensor<1>) -> Result<Vec<f32>, SessionError> {
    checked(floats(logits.into_data()))
}

/// Nothing where they cannot be read.
fn floats(data: TensorData) -> Vec<f32> {
    data.convert::<f32>().try_into_vec::<f32>().unwrap_or_default()
}

fn checked(scores: Vec<f32>) -> Result<Vec<f32>, SessionError> {
    if scores.is_empty() || scores.iter().any(|value| value.is_nan()) {
        return Err(SessionError::NotNumbers);
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_beginning_ends_before_a_picture_that_differs() {
        let key = |n: u8| Some([n; 16]);
        let kept = [(1, None), (9, key(1)), (9, key(1)), (2, None), (3, None)];
        let picture = 1..3;
        let check = |wanted: &[Slot], expected: usize| {
            assert_eq!(n_common(&kept, wanted, std::slice::from_ref(&picture)), expected);
        };
        check(&kept, 4);
        check(&[(1, None), (9, key(2)), (9, key(2)), (2, None)], 1);
        check(&[(1, None), (9, key(1)), (9, key(1)), (2, None), (7, None)], 4);
        // The last token is always read; it must not leave half a picture behind.
        check(&kept[..3], 1);
        check(&[], 0);
    }

    #[test]
    fn options_and_instructions_are_added_once() {
        let mut question = Question::about(vec![], "Which?");
        question.choices = vec!["x".into(), "y".into()];
        let complete = question.complete(Style::ChainOfThought);
        assert_eq!(complete.turns.len(), 2);
        assert_eq!(complete.turns[0].role, Role::System);
        assert_eq!(complete.turns[1], Turn::text(Role::User, "Which? /n A. x /n B. y"));
        question.style = Some(Style::Plain);
        assert_eq!(question.complete(Style::ChainOfThought).turns.len(), 1);
        question.conversation.turns.insert(0, Turn::text(Role::System, "own"));
        question.style = Some(Style::ChainOfDraft);
        assert_eq!(question.complete(Style::Plain).turns[0], Turn::text(Role::System, "own"));
    }
}
