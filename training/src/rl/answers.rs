//! Answers to prompts, and what they earn.
//!
//! A step's prompts are walked through in order; where dynamic sampling needs more, the rest is drawn at random
//! from the whole source. Which prompts those are, and every token of the answers, is a function of the
//! recipe's seed and the step alone. Tokens that stand for pictures cannot be drawn: an answer that held one
//! would have more placeholders than pictures when it is read again. `tests/train_rl.rs` holds all of this.

use std::collections::BTreeMap;
use std::sync::Arc;

use eosin_core::RgbTile;
use eosin_model::qwen::Qwen;
use eosin_model::qwen::rollout::{RolloutPrompt, RolloutSettings, Stop};
use tokenizers::Tokenizer;

use super::learn::Asking;
use super::settings::RlSettings;
use crate::data::Task;
use crate::error::TrainError;
use crate::judge::{Judge, JudgeRequest, Origin, score_all};
use crate::reward::{Answer, Kind};

/// Tokens of pictures and films, which no answer may hold.
const VISION_TOKENS: [&str; 5] =
    ["<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"];

/// Tokens that end an answer.
const END_TOKENS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

/// A question to reinforce with.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sample.
    pub id: String,
    /// The last question as a person reads it.
    pub text: String,
    /// The prompt in tokens, with its pictures.
    pub asking: Asking,
    /// What a right answer is.
    pub task: Task,
    /// The pictures as a judge sees them; empty where none looks.
    pub tiles: Vec<Arc<RgbTile>>,
}

/// An answer with what it earned.
#[derive(Clone, PartialEq, Debug)]
pub struct Answered {
    /// Its tokens, the end mark included.
    pub ids: Vec<u32>,
    /// Its text, without the end mark.
    pub text: String,
    /// Whether the length limit ended it.
    pub is_cut: bool,
    /// Points by reward, unweighted.
    pub points: BTreeMap<&'static str, f64>,
    /// Their weighted sum.
    pub reward: f64,
}

/// How answers are drawn, for a tokenizer with Qwen's special tokens.
pub fn rollout_settings(settings: &RlSettings, tokenizer: &Tokenizer, seed: u64) -> RolloutSettings {
    let ids = |names: &[&str]| names.iter().filter_map(|name| tokenizer.token_to_id(name)).collect();
    let rollout = &settings.rollout;
    RolloutSettings {
        max_new_tokens: rollout.max_new_tokens,
        temperature: Some(rollout.temperature),
        top_k: rollout.top_k,
        top_p: rollout.top_p,
        seed,
        banned: ids(&VISION_TOKENS),
        ends: ids(&END_TOKENS),
        max_rows: rollout.max_rows,
    }
}

/// Answers to each question, `settings.group` of them, with the points that rules give.
///
/// `streams` names each question's own random numbers.
///
/// # Errors
/// [`TrainError::Engine`] where the model or the tokenizer refuses.
pub fn answer(
    model: &Qwen,
    tokenizer: &Tokenizer,
    questions: &[&Question],
    streams: &[u64],
    settings: &RlSettings,
    seed: u64,
) -> Result<Vec<Vec<Answered>>, TrainError> {
    let mut images = Vec::new();
    let mut prompts = Vec::with_capacity(questions.len());
    for (question, stream) in questions.iter().zip(streams) {
        let first = images.len();
        images.extend(question.asking.images.iter().cloned());
        prompts.push(RolloutPrompt {
            ids: question.asking.ids.clone(),
            pictures: (first..images.len()).collect(),
            n_rollout: settings.group,
            stream: *stream,
        });
    }
    let refuse = "the model cannot answer its prompts";
    let pictures = model.encode_pictures(&images).map_err(TrainError::engine(refuse))?;
    let rollouts = model
        .rollout(&prompts, &pictures, &rollout_settings(settings, tokenizer, seed))
        .map_err(TrainError::engine(refuse))?;
    let mut rollouts = rollouts.into_iter();
    let mut answered = Vec::with_capacity(questions.len());
    for question in questions {
        let mut group = Vec::with_capacity(settings.group);
        for rollout in rollouts.by_ref().take(settings.group) {
            let text = tokenizer
                .decode(rollout.words(), true)
                .map_err(TrainError::engine("cannot decode an answer"))?;
            let mut one = Answered {
                is_cut: rollout.stop == Stop::Length,
                ids: rollout.ids,
                text,
                points: BTreeMap::new(),
                reward: 0.0,
            };
            let answer = Answer { text: &one.text, n_token: one.ids.len(), task: &question.task };
            let points: BTreeMap<&'static str, f64> = settings
                .rewards
                .iter()
                .filter_map(|reward| Some((reward.name.name(), reward.score(&answer, &settings.overlong)?)))
                .collect();
            one.points = points;
            one.sum(settings);
            group.push(one);
        }
        answered.push(group);
    }
    Ok(answered)
}

impl Answered {
    /// Sums the points up anew.
    fn sum(&mut self, settings: &RlSettings) {
        self.reward = settings
            .rewards
            .iter()
            .filter_map(|reward| Some(reward.weight * self.points.get(reward.name.name())?))
            .sum();
    }

    /// Whether it is right, by the first reward that says so; none of them: its whole reward.
    pub fn accuracy(&self, settings: &RlSettings) -> f64 {
        settings
            .rewards
            .iter()
            .find(|reward| reward.name.is_accuracy())
            .and_then(|reward| self.points.get(reward.name.name()).copied())
            .unwrap_or(self.reward)
    }
}

/// What the judge was asked in a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JudgeCount {
    /// Verdicts found now.
    pub n_asked: usize,
    /// Verdicts that were known.
    pub n_cached: usize,
    /// Answers that nobody judged.
    pub n_failed: usize,
}

/// Adds the judge's points where the recipe wants them.
///
/// # Errors
/// [`TrainError::Engine`] where there is no verdict, and the recipe does not count that as zero.
pub fn judge_answers(
    judge: &dyn Judge,
    questions: &[&Question],
    groups: &mut [Vec<Answered>],
    settings: &RlSettings,
) -> Result<JudgeCount, TrainError> {
    let mut count = JudgeCount::default();
    if !settings.rewards.iter().any(|reward| reward.name == Kind::Process) {
        return Ok(count);
    }
    let mut requests = Vec::new();
    for (question, group) in questions.iter().zip(groups.iter()) {
        for one in group {
            requests.push(JudgeRequest {
                images: &question.tiles,
                question: &question.text,
                task: &question.task,
                output: &one.text,
            });
        }
    }
    let verdicts = score_all(judge, &requests, settings.judge_parallel)
        .map_err(TrainError::engine("the reasoning cannot be judged"))?;
    for (one, verdict) in groups.iter_mut().flatten().zip(verdicts) {
        match verdict.origin {
            Origin::Asked => count.n_asked += 1,
            Origin::Cached => count.n_cached += 1,
            Origin::Failed => count.n_failed += 1,
        }
        one.points.insert(Kind::Process.name(), verdict.reward());
        one.sum(settings);
    }
    Ok(count)
}

/// Number of the question in the source: the walk of batch 0 is in order, further batches are drawn at random.
pub fn cursor(seed: u64, step: u64, batch: u64, idx: u64, n_per_step: u64, n_sample: u64) -> u64 {
    let n_sample = n_sample.max(1);
    if batch == 0 { (step * n_per_step + idx) % n_sample } else { mix(&[seed, step, batch, idx]) % n_sample }
}

/// One number out of several, every bit of which depends on every bit of them.
pub fn mix(values: &[u64]) -> u64 {
    values.iter().fold(0, |hash, value| crate::data::mix(hash ^ value))
}
