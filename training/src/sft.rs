//! Continued pretraining and supervised fine-tuning, read top to bottom: conversations in, a model out.
//!
//! The two differ in their data alone: a caption is what the assistant says about a picture without a question.
//! One step takes `samples_per_step` samples (read ahead, in other threads), lays them out in parts that fit in
//! memory, adds the parts' gradients weighted by the tokens they teach, clips, and takes one `AdamW` step at
//! the scheduled rate. `tests/train_pipeline.rs` holds resumption, overfitting and the bad samples.

use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Gradients;
use eosin_model::ModelError;
use eosin_model::qwen::loss::{cross_entropy_sum, n_likeliest};
use eosin_model::qwen::recompute::TaughtScores;
use eosin_model::qwen::{Activations, Qwen};

use crate::batch::{Encoded, Layout, collate};
use crate::error::TrainError;
use crate::examples::{Examples, Met};
use crate::folder;
use crate::metrics::Scalars;
use crate::optim::GradientSum;
use crate::pipeline::Context;
use crate::run::{Ended, Found, Trainer};
use crate::stream::Stream;
use crate::watch::Watch;

/// Runs a `cpt` or `sft` stage from where it stands to its end.
///
/// # Errors
/// Failures of the disk, a loss that is no number, and bad samples where the recipe is strict.
pub fn run(context: &Context<'_>, watch: &mut dyn Watch) -> Result<Ended, TrainError> {
    let plan = context.plan;
    let (optim, tune) = (&plan.stage.optim, plan.stage.tune());
    let device = context.training_device();
    let vlm = context.open_vlm(&device)?;
    let model = context.prepare(vlm.model.clone(), &device)?;
    let mut trainer = Trainer::open(context.dir, plan, model, &device, watch)?;
    let pad = vlm.encoder.special().end_of_text;
    let activations = if tune.gradient_checkpointing { Activations::Recomputed } else { Activations::Kept };
    let layout = if tune.packing { Layout::Packed { max_tokens: tune.max_tokens } } else { Layout::Padded };
    let examples = Arc::new(Examples::new(&vlm, &tune));

    let per_step = optim.samples_per_step as u64;
    let make: Arc<dyn Fn(u64) -> Result<Met, TrainError> + Send + Sync> = {
        let (examples, data) = (examples.clone(), context.data.clone());
        Arc::new(move |cursor| examples.meet(data.as_ref(), cursor))
    };
    let start = trainer.step() * per_step;
    let mut stream = Stream::start(start, tune.read_threads, 3 * optim.samples_per_step, &make)?;
    while !trainer.is_over() {
        if watch.wants_stop() {
            trainer.save()?;
            return Ok(Ended::Stopped);
        }
        let since = Instant::now();
        let mut samples: Vec<Encoded> = Vec::with_capacity(optim.samples_per_step);
        for _ in 0..per_step {
            match stream.take()? {
                Ok(sample) => samples.push(sample),
                Err(skip) => trainer.skip(&skip, watch)?,
            }
        }
        let wait_secs = since.elapsed().as_secs_f64();
        if samples.is_empty() {
            return Err(TrainError::plan(format!(
                "none of the samples of step {} can be used",
                trainer.step() + 1
            )));
        }
        if tune.group_by_length {
            // Like lengths share a part, so that hardly anything is padding; the sort is stable, hence repeatable.
            samples.sort_by_key(|sample| sample.ids.len());
        }
        let ids: Vec<String> = samples.iter().map(|sample| sample.id.clone()).collect();
        let n_token = samples.iter().map(|sample| sample.ids.len() as u64).sum();
        let n_taught: usize = samples.iter().map(Encoded::n_taught).sum();
        let (mut loss, mut n_right, mut gradients) = (0.0, 0, GradientSum::default());
        for part in samples.chunks(optim.part()) {
            let model = &trainer.model;
            let lose = |TaughtScores { logits, targets, .. }: TaughtScores| -> Result<_, ModelError> {
                n_right += n_likeliest(&logits, &targets);
                let scaled = cross_entropy_sum(logits, targets).div_scalar(n_taught.max(1) as f64);
                let value: f32 = scaled.clone().inner().into_scalar();
                loss += f64::from(value);
                Ok(scaled)
            };
            let mut take = |mut part: Gradients| gradients.add(&mut part, model);
            model
                .learn(&collate(part, layout, pad), activations, lose, &mut take)
                .map_err(TrainError::engine("the model cannot read a batch"))?;
        }
        let scalars = Scalars::new()
            .with("mean_token_accuracy", n_right as f64 / n_taught.max(1) as f64)
            .with("samples_per_second", samples.len() as f64 / since.elapsed().as_secs_f64())
            .with("wait_secs", wait_secs);
        trainer.descend(Found { loss, gradients, n_token, ids: &ids, scalars, since }, watch)?;
        if trainer.look_is_due() {
            let (scalars, score) = look(context, &examples, &trainer.model)?;
            trainer.looked(&scalars, score, watch)?;
        }
        trainer.save_if_due()?;
    }
    let chosen = trainer.chosen(&device)?;
    let model = context.finish(chosen)?.valid();
    folder::write_final(context.dir, &folder::texts(&vlm.files), model.named_weights(), trainer.finished())?;
    Ok(Ended::Finished)
}

/// Loss and answers on validation samples, without gradients, and the score to choose by.
///
/// # Errors
/// Failures of the model.
pub(crate) fn look(
    context: &Context<'_>,
    examples: &Examples,
    model: &Qwen,
) -> Result<(Scalars, f64), TrainError> {
    let clock = Instant::now();
    let (validate, model) = (&context.plan.stage.validate, model.valid());
    let source = context.validation.as_ref().expect("a look is due only where there is a source");
    let (mut sum, mut n_taught, mut scalars) = (0.0, 0, Scalars::new());
    let mut met: Vec<Encoded> = Vec::new();
    for idx in 0..(validate.loss_samples as u64).min(source.n_sample()) {
        if let Ok(sample) = examples.meet(source.as_ref(), idx)? {
            met.push(sample);
        }
    }
    met.sort_by_key(|sample| sample.ids.len());
    for part in met.chunks(context.plan.stage.optim.part().min(32)) {
        let found = model
            .forward_train(&collate(part, Layout::Padded, examples.pad()))
            .map_err(TrainError::engine("the model cannot read a batch"))?;
        let part: f32 = found.sum.into_scalar();
        sum += f64::from(part);
        n_taught += found.n_token;
    }
    let eval_loss = sum / n_taught.max(1) as f64;
    scalars.set("eval_loss", eval_loss);
    let mut score = -eval_loss;
    if validate.answer_samples > 0 {
        let exam = examples.ask(&model, source.as_ref(), validate)?;
        scalars.extend(&exam);
        score = exam.get("eval_accuracy").unwrap_or(0.0);
    }
    scalars.set("eval_runtime", clock.elapsed().as_secs_f64());
    Ok((scalars, score))
}
