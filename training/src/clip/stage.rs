//! The contrastive stage, read top to bottom: pairs in, a model out.
//!
//! One step takes `samples_per_step` pairs (cut and normalised ahead of time, in other threads), computes the
//! loss over all of them at once, in parts that fit in memory ([`super::gradient`]), takes one `AdamW` step
//! and brings the temperature back into its range. A look at validation pairs gives loss, recall both ways
//! and, where samples are tagged, accuracy of naming by words. `tests/train_clip.rs` holds all of it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use eosin_model::clip::{Clip, contrastive_loss};

use super::features::Features;
use super::folder::{ClipFolder, named_weights};
use super::gradient::{Part, slope};
use super::pairs::{Pair, PairReader};
use super::retrieval::{Relevance, retrieval};
use super::zero_shot::{Prompts, zero_shot};
use super::{ClipSettings, Duplicates, Tower};
use crate::data::Skip;
use crate::error::TrainError;
use crate::folder;
use crate::metrics::Scalars;
use crate::pipeline::Context;
use crate::run::{Ended, Found, Trainer};
use crate::stream::Stream;
use crate::watch::Watch;

/// Captions from which the words of a model that begins with nothing are learned.
const VOCABULARY_SAMPLES: u64 = 4000;

/// Runs a `clip` stage from where it stands to its end.
///
/// # Errors
/// Failures of the disk, a loss that is no number, and bad samples where the recipe is strict.
pub fn run(context: &Context<'_>, watch: &mut dyn Watch) -> Result<Ended, TrainError> {
    let plan = context.plan;
    let optim = &plan.stage.optim;
    let settings = plan.stage.clip.clone().unwrap_or_default();
    if let Some(refusal) = settings.refusal() {
        return Err(TrainError::plan(format!("stage {}: {refusal}", plan.stage.name)));
    }
    let device = context.training_device();
    let mut clip = open(context, &device)?;
    let model = lock(clip.model.clone(), &settings);
    let mut trainer = Trainer::open(context.dir, plan, model, &device, watch)?;
    // A stage's order and cuts are its own: two stages on one source shall not repeat each other.
    let seed = plan.seed ^ fold(&plan.stage.name);
    let reader = PairReader::new(
        context.data.clone(),
        clip.tokenizer.clone(),
        clip.preprocess.clone(),
        &clip.config,
        settings.augment.clone(),
        seed,
    );

    let per_step = optim.samples_per_step as u64;
    let make: Arc<dyn Fn(u64) -> Result<Result<Pair, Skip>, TrainError> + Send + Sync> = {
        let reader = reader.clone();
        Arc::new(move |cursor| Ok(reader.train_pair(cursor)))
    };
    let start = trainer.step() * per_step;
    let mut stream = Stream::start(start, settings.read_threads, 2 * optim.samples_per_step, &make)?;
    while !trainer.is_over() {
        if watch.wants_stop() {
            trainer.save()?;
            return Ok(Ended::Stopped);
        }
        let since = Instant::now();
        let mut pairs = Vec::with_capacity(optim.samples_per_step);
        for _ in 0..per_step {
            match stream.take()? {
                Ok(pair) => pairs.push(pair),
                Err(skip) => trainer.skip(&skip, watch)?,
            }
        }
        let wait_secs = since.elapsed().as_secs_f64();
        if settings.duplicates == Duplicates::Drop {
            drop_duplicates(&mut pairs);
        }
        if pairs.len() < 2 {
            let what = format!("step {} has no two pairs that can be used", trainer.step() + 1);
            return Err(TrainError::plan(what));
        }
        let ids: Vec<String> = pairs.iter().map(|pair| pair.id.clone()).collect();
        let parts = parts(&pairs, optim.part(), &clip, &device)?;
        let found = slope(&trainer.model, &parts);
        let scalars = Scalars::new()
            .with("image_accuracy", found.image_accuracy)
            .with("text_accuracy", found.text_accuracy)
            .with("logit_scale", scale(&trainer.model))
            .with("pairs", pairs.len() as f64)
            .with("pairs_per_second", pairs.len() as f64 / since.elapsed().as_secs_f64())
            .with("wait_secs", wait_secs);
        let n_token = parts.iter().map(|part| part.texts.n_text() as u64).sum();
        let step = Found { loss: found.loss, gradients: found.gradients, n_token, ids: &ids, scalars, since };
        trainer.descend(step, watch)?;
        trainer.model = trainer.model.clone().clamp_logit_scale();
        if trainer.look_is_due() {
            let (scalars, score) = look(context, &settings, &reader, &clip, &trainer.model)?;
            trainer.looked(&scalars, score, watch)?;
        }
        trainer.save_if_due()?;
    }
    clip.model = trainer.chosen(&device)?;
    let texts: Vec<(&str, &str)> =
        clip.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let weights = named_weights(&clip.model, &clip.config);
    folder::write_final(context.dir, &texts, weights, trainer.finished())?;
    Ok(Ended::Finished)
}

/// The CLIP that the stage begins from.
fn open(context: &Context<'_>, device: &Device) -> Result<ClipFolder, TrainError> {
    if let Some(parent) = &context.parent {
        return ClipFolder::open(parent, device);
    }
    let sizes = context.plan.clip.as_ref().ok_or_else(|| TrainError::plan("the recipe has no [clip]"))?;
    let source = context.data.as_ref();
    let mut captions: Vec<String> = (0..source.n_sample().min(VOCABULARY_SAMPLES))
        .filter_map(|idx| Some(source.sample(idx).ok()?.caption()?.to_owned()))
        .collect();
    if context.plan.sources.values().any(|source| source.phantom.is_some()) {
        // Whatever the dice leave out, or only a later stage shows, is a whole word too.
        captions.extend(crate::phantom::wordings().into_iter().map(str::to_owned));
    }
    ClipFolder::init(sizes, &captions, context.plan.seed, device)
}

/// Takes the gradients from the towers that shall not move.
fn lock(mut model: Clip, settings: &ClipSettings) -> Clip {
    for tower in &settings.locked {
        match tower {
            Tower::Image => model.vision = model.vision.no_grad(),
            Tower::Text => model.text = model.text.no_grad(),
        }
    }
    model
}

/// Leaves the first of pairs with equal captions or of one group.
fn drop_duplicates(pairs: &mut Vec<Pair>) {
    let (mut captions, mut groups) = (HashSet::new(), HashSet::new());
    pairs.retain(|pair| {
        let known = captions.contains(&pair.caption) || groups.contains(&pair.group);
        captions.insert(pair.caption.clone());
        groups.insert(pair.group.clone());
        !known
    });
}

fn parts(pairs: &[Pair], n_part: usize, clip: &ClipFolder, device: &Device) -> Result<Vec<Part>, TrainError> {
    pairs
        .chunks(n_part.max(1))
        .map(|part| Part::new(part, clip.config.vision.image_px, &clip.config.text, device))
        .collect()
}

/// Factor on cosines.
fn scale(model: &Clip) -> f64 {
    let value: f32 = model.logit_scale.val().inner().into_scalar();
    f64::from(value.exp())
}

/// Loss, recall and naming on validation pairs, without gradients, and the score to choose by.
fn look(
    context: &Context<'_>,
    settings: &ClipSettings,
    reader: &PairReader,
    clip: &ClipFolder,
    model: &Clip,
) -> Result<(Scalars, f64), TrainError> {
    let clock = Instant::now();
    let plan = &context.plan.stage;
    let source =
        context.validation.as_ref().ok_or_else(|| TrainError::plan("there is nothing to look at"))?;
    let reader = reader.over(source.clone());
    let (model, device) = (model.valid(), context.device);
    let mut pairs = Vec::new();
    for idx in 0..(plan.validate.loss_samples as u64).min(source.n_sample()) {
        if let Ok(pair) = reader.still_pair(idx) {
            pairs.push(pair);
        }
    }
    let mut scalars = Scalars::new();
    if pairs.len() < 2 {
        return Ok((scalars, 0.0));
    }
    let (mut images, mut texts) = (Features::default(), Features::default());
    let (mut loss, mut n_loss) = (0.0, 0);
    // Batches as large as those of the training, so that the losses can be compared.
    for batch in pairs.chunks(plan.optim.samples_per_step) {
        let (mut image_parts, mut text_parts) = (Vec::new(), Vec::new());
        for part in parts(batch, plan.optim.part(), clip, device)? {
            image_parts.push(model.encode_image(part.images));
            text_parts.push(model.encode_text(&part.texts));
        }
        let image = burn::tensor::Tensor::cat(image_parts, 0);
        let text = burn::tensor::Tensor::cat(text_parts, 0);
        images.extend(Features::of(image.clone()));
        texts.extend(Features::of(text.clone()));
        if batch.len() == plan.optim.samples_per_step.min(pairs.len()) {
            let value: f32 = contrastive_loss(image, text, model.logit_scale.val()).into_scalar();
            loss += f64::from(value);
            n_loss += 1;
        }
    }
    scalars.set("eval_loss", loss / f64::from(n_loss.max(1)));
    let names: Vec<[&str; 2]> =
        pairs.iter().map(|pair| [pair.group.as_str(), pair.caption.as_str()]).collect();
    let found = retrieval(&images, &texts, &names, Relevance::DuplicateAware);
    let mut score = f64::midpoint(found.image_to_text.mean, found.text_to_image.mean);
    for (way, recall) in [("i2t", &found.image_to_text), ("t2i", &found.text_to_image)] {
        for (k, share) in super::retrieval::RANKS.into_iter().zip(&recall.at) {
            scalars.set(format!("eval_recall_{way}@{k}"), share.share);
        }
    }
    scalars.set("eval_recall", score);
    let tags: Vec<Option<&str>> =
        pairs.iter().map(|pair| pair.tags.get(&settings.zero_shot_tag).map(String::as_str)).collect();
    let classes: BTreeSet<&str> = tags.iter().flatten().copied().collect();
    if classes.len() > 1 {
        let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
        let prompts = Prompts::plain(classes.iter().cloned());
        let texts = clip.texts(&model, &prompts.sentences())?;
        let rows: Vec<usize> = (0..pairs.len()).filter(|&row| tags[row].is_some()).collect();
        let labels: Vec<usize> = rows
            .iter()
            .filter_map(|&row| classes.iter().position(|class| Some(class.as_str()) == tags[row]))
            .collect();
        let found = zero_shot(&images.select(&rows), &labels, &prompts.classifier(&texts), &classes);
        scalars.set("eval_accuracy", found.accuracy.share);
        scalars.set("eval_balanced_accuracy", found.balanced_accuracy);
        score = f64::midpoint(score, found.balanced_accuracy);
    }
    scalars.set("eval_runtime", clock.elapsed().as_secs_f64());
    Ok((scalars, score))
}

/// A number that a name stands for (FNV-1a).
fn fold(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}
