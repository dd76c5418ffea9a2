//! From rewarded answers to gradients.
//!
//! An update takes all its answers together; parts of them pass through the model, as many as fit into memory,
//! like lengths side by side and answers behind a prompt that they share, and each part's share is added up under the denominators of the whole, so that
//! the division changes nothing beyond rounding. A picture passes through the tower once a part, however many
//! answers show it. Logits are computed at places of answers only. `tests/train_rl.rs` holds gradients and ratios.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData};
use eosin_model::prepare::ImageTensor;
use eosin_model::qwen::{Branching, Qwen};

use super::aggregate::{Denominators, aggregate};
use super::kl::{self, Place};
use super::policy::policy_loss;
use super::settings::RlSettings;
use crate::error::TrainError;
use crate::optim::GradientSum;

/// What was asked: the same for all answers of a group.
#[derive(Clone, Debug)]
pub struct Asking {
    /// Tokens up to the opened turn of the assistant.
    pub ids: Vec<u32>,
    /// The pictures among them.
    pub images: Vec<ImageTensor>,
}

/// An answer to learn from.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Number of its prompt.
    pub asking: usize,
    /// Its tokens, the end mark included.
    pub ids: Vec<u32>,
    /// Whether the loss counts it; an answer that was cut off may be left out.
    pub counts: bool,
    /// How much better it was than the others.
    pub advantage: f64,
    /// ln p of its tokens when it was drawn; empty where the model has not moved since.
    pub old: Vec<f32>,
    /// ln p of its tokens where the stage began; empty where that does not matter.
    pub reference: Vec<f32>,
}

impl Row {
    fn n_counted(&self) -> usize {
        if self.counts { self.ids.len() } else { 0 }
    }
}

/// Sums over the tokens that were learned from.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct TokenStatistics {
    /// Tokens.
    pub n_token: f64,
    /// Entropy of the distributions that they were drawn from.
    pub entropy: f64,
    /// −ln ρ: how far the policy moved since they were drawn.
    pub approx_kl: f64,
    /// Estimated distance from where the stage began.
    pub kl: f64,
    /// Tokens at the lower bound.
    pub n_low: f64,
    /// Tokens at the upper bound.
    pub n_high: f64,
    /// Tokens at the dual clip.
    pub n_dual: f64,
}

impl TokenStatistics {
    /// Adds those of another part or update.
    pub fn add(&mut self, other: &Self) {
        self.n_token += other.n_token;
        self.entropy += other.entropy;
        self.approx_kl += other.approx_kl;
        self.kl += other.kl;
        self.n_low += other.n_low;
        self.n_high += other.n_high;
        self.n_dual += other.n_dual;
    }
}

/// Loss and gradients of an update.
#[derive(Debug)]
pub struct Learned {
    /// The loss.
    pub loss: f64,
    /// Its gradients.
    pub gradients: GradientSum,
    /// Tokens that passed through the decoder, padding left out.
    pub n_token: u64,
    /// What is read off beside it.
    pub statistics: TokenStatistics,
}

/// Loss and gradients of one update over `rows`.
///
/// # Errors
/// [`TrainError::Engine`] where the model refuses a batch.
pub fn learn(
    model: &Qwen,
    askings: &[Asking],
    rows: &[Row],
    settings: &RlSettings,
) -> Result<Learned, TrainError> {
    let n_tokens: Vec<usize> = rows.iter().map(Row::n_counted).collect();
    let whole = Denominators::of(&n_tokens, settings.rollout.max_new_tokens);
    let teaches =
        |row: &&Row| row.n_counted() > 0 && (row.advantage != 0.0 || settings.moves_without_advantage());
    let rows: Vec<&Row> = rows.iter().filter(teaches).collect();
    let mut learned = Learned {
        loss: 0.0,
        gradients: GradientSum::default(),
        n_token: 0,
        statistics: TokenStatistics::default(),
    };
    for bundles in parts(&rows, askings, settings.part) {
        let scores = read(model, askings, &rows, &bundles, settings.rollout.temperature)?;
        let part: Vec<&Row> = bundles.iter().flatten().map(|idx| rows[*idx]).collect();
        let part = part.as_slice();
        let device = scores.log_probs.device();
        let grid = Grid::of(part);
        let policy = grid.lay(scores.log_probs, &device);
        let entropy = grid.lay(scores.entropy, &device);
        let mask = grid.mask(part, &device);
        let old = if part.iter().all(|row| row.old.is_empty()) {
            policy.clone().detach()
        } else {
            grid.values(part, |row| &row.old, &device)
        };
        let advantages: Vec<f32> = part.iter().map(|row| row.advantage as f32).collect();
        let advantages = Tensor::from_data(TensorData::new(advantages, [part.len(), 1]), &device);
        let clipped = policy_loss(policy.clone(), old, advantages, mask.clone(), &settings.policy);
        let mut losses = clipped.loss;
        let count = |values: Tensor<2>| -> f64 {
            let sum: f32 = (values * mask.clone()).detach().inner().sum().into_scalar();
            f64::from(sum)
        };
        let mut statistics = TokenStatistics {
            n_token: count(mask.clone()),
            entropy: count(entropy.clone()),
            approx_kl: -count(clipped.log_ratio),
            kl: 0.0,
            n_low: count(clipped.is_clipped_low.float()),
            n_high: count(clipped.is_clipped_high.float()),
            n_dual: count(clipped.is_clipped_dual.float()),
        };
        if settings.needs_reference() {
            let reference = grid.values(part, |row| &row.reference, &device);
            let distance = kl::estimate(policy, reference, settings.kl.estimator);
            statistics.kl = count(distance.clone());
            if settings.kl.place == Place::Loss {
                losses = losses + distance.mul_scalar(settings.kl.coefficient);
            }
        }
        if settings.entropy != 0.0 {
            losses = losses - entropy.mul_scalar(settings.entropy);
        }
        let loss = aggregate(losses, mask.clone(), settings.aggregation, &whole);
        let value: f32 = loss.clone().inner().into_scalar();
        learned.loss += f64::from(value);
        learned.gradients.add(&mut loss.backward(), model);
        learned.statistics.add(&statistics);
        learned.n_token += scores.n_token;
    }
    Ok(learned)
}

/// ln p of every token of every answer under a model, without gradients, in the order of `rows`.
///
/// # Errors
/// [`TrainError::Engine`] where the model refuses a batch.
pub fn log_probs(
    model: &Qwen,
    askings: &[Asking],
    rows: &[Row],
    settings: &RlSettings,
) -> Result<Vec<Vec<f32>>, TrainError> {
    let all: Vec<&Row> = rows.iter().collect();
    let mut found = vec![Vec::new(); rows.len()];
    for part in parts(&all, askings, settings.part) {
        let read = read(model, askings, &all, &part, settings.rollout.temperature)?;
        let values: Vec<f32> = read.log_probs.into_data().iter::<f32>().collect();
        let mut start = 0;
        for idx in part.iter().flatten() {
            let n_token = rows[*idx].ids.len();
            found[*idx] = values[start..start + n_token].to_vec();
            start += n_token;
        }
    }
    Ok(found)
}

/// What a model thinks of the answers of a part.
struct Read {
    /// ln p of every token, answer after answer, `[m]`.
    log_probs: Tensor<1>,
    /// Entropy at its place, `[m]`.
    entropy: Tensor<1>,
    /// Tokens that passed through the decoder.
    n_token: u64,
}

/// Reads bundles of answers, each behind its prompt.
fn read(
    model: &Qwen,
    askings: &[Asking],
    rows: &[&Row],
    part: &[Vec<usize>],
    temperature: f32,
) -> Result<Read, TrainError> {
    let mut images = Vec::new();
    let mut first_image: BTreeMap<usize, usize> = BTreeMap::new();
    let mut batch = Vec::with_capacity(part.len());
    for bundle in part {
        let number = rows[bundle[0]].asking;
        let asking = &askings[number];
        let first = *first_image.entry(number).or_insert_with(|| {
            images.extend(asking.images.iter().cloned());
            images.len() - asking.images.len()
        });
        batch.push(Branching {
            ids: asking.ids.clone(),
            images: (first..first + asking.images.len()).collect(),
            branches: bundle.iter().map(|idx| rows[*idx].ids.clone()).collect(),
        });
    }
    let n_token = batch.iter().map(|row| row.n_token() as u64).sum();
    let [log_probs, entropy] = model
        .branch_log_probs(&batch, images, temperature)
        .map_err(TrainError::engine("the model cannot read its answers"))?;
    Ok(Read { log_probs, entropy, n_token })
}

/// Answers in bundles behind their prompts, and bundles in parts of about `part` answers (0: one part).
///
/// A bundle shares its prompt, but its attention grows with the square of its length: it takes answers, short
/// ones first, up to four times the prompt's length. Like lengths lie side by side, so that hardly anything is padding.
fn parts(rows: &[&Row], askings: &[Asking], part: usize) -> Vec<Vec<Vec<usize>>> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|idx| (rows[*idx].asking, rows[*idx].ids.len()));
    let mut bundles: Vec<(usize, Vec<usize>)> = Vec::new();
    for idx in order {
        let (asking, n_answer) = (rows[idx].asking, rows[idx].ids.len());
        let n_trunk = askings[asking].ids.len();
        match bundles.last_mut() {
            Some((n_token, bundle))
                if rows[bundle[0]].asking == asking
                    && *n_token + n_answer <= 5 * n_trunk
                    && (part == 0 || bundle.len() < part) =>
            {
                *n_token += n_answer;
                bundle.push(idx);
            }
            _ => bundles.push((n_trunk + n_answer, vec![idx])),
        }
    }
    bundles.sort_by_key(|(n_token, _)| *n_token);
    let mut parts: Vec<Vec<Vec<usize>>> = Vec::new();
    let mut n_here = 0;
    for (_, bundle) in bundles {
        match parts.last_mut() {
            Some(last) if part == 0 || n_here + bundle.len() <= part => {
                n_here += bundle.len();
                last.push(bundle);
            }
            _ => {
                n_here = bundle.len();
                parts.push(vec![bundle]);
            }
        }
    }
    parts
}

/// Answers of unequal length laid side by side.
struct Grid {
    n_tokens: Vec<usize>,
    n_column: usize,
}

impl Grid {
    fn of(rows: &[&Row]) -> Self {
        let n_tokens: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        let n_column = n_tokens.iter().copied().max().unwrap_or(0);
        Self { n_tokens, n_column }
    }

    fn shape(&self) -> [usize; 2] {
        [self.n_tokens.len(), self.n_column]
    }

    /// # Shapes
    /// - `flat`: `[m]`, answer after answer
    /// - returns: `[b, t]`, with zeros where an answer is over
    fn lay(&self, flat: Tensor<1>, device: &Device) -> Tensor<2> {
        let zero = flat.dims()[0] as i32;
        let mut places = Vec::with_capacity(self.n_tokens.len() * self.n_column);
        let mut start = 0;
        for n_token in &self.n_tokens {
            places
                .extend((0..self.n_column).map(|idx| if idx < *n_token { start + idx as i32 } else { zero }));
            start += *n_token as i32;
        }
        let n_place = places.len();
        let places: Tensor<1, Int> = Tensor::from_data(TensorData::new(places, [n_place]), device);
        let padded = Tensor::cat(vec![flat, Tensor::zeros([1], device)], 0);
        padded.select(0, places).reshape(self.shape())
    }

    /// 1 where a token of an answer counts, `[b, t]`.
    fn mask(&self, rows: &[&Row], device: &Device) -> Tensor<2> {
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| (0..self.n_column).map(|idx| f32::from(u8::from(idx < row.n_counted()))))
            .collect();
        Tensor::from_data(TensorData::new(values, self.shape()), device)
    }

    /// Kept numbers of every token, `[b, t]`.
    fn values<'a>(
        &self,
        rows: &[&'a Row],
        of: impl Fn(&'a Row) -> &'a Vec<f32>,
        device: &Device,
    ) -> Tensor<2> {
        let values: Vec<f32> = rows
            .iter()
            .flat_map(|row| (0..self.n_column).map(|idx| of(row).get(idx).copied().unwrap_or(0.0)))
            .collect();
        Tensor::from_data(TensorData::new(values, self.shape()), device)
    }
}
