//! Supervised fine-tuning, read top to bottom: pictures with conversations in, checkpoints out.
//!
//! One step draws `images_per_step` phantoms (ahead of time, in other threads), runs them through the
//! model in parts that fit in memory, adds the parts' gradients weighted by their tokens, clips, and takes
//! one `AdamW` step at the scheduled rate. Everything random is a function of the recipe's seed and the
//! step, so that a resumed run is the unbroken one (`tests/stages.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use eosin_model::qwen::{Config, Qwen};

use crate::batch::{Batch, RowEncoder, Sample};
use crate::checkpoint::{self, RunState};
use crate::curriculum::Curriculum;
use crate::error::TrainError;
use crate::loss::batch_loss;
use crate::metrics::{MetricsFile, StepMetrics, ValidationMetrics};
use crate::optim::schedule::Progress;
use crate::optim::{AdamW, GradientSum};
use crate::recipe::Plan;
use crate::stream::Stream;
use crate::vocabulary;

/// Whoever looks on: the command line with its progress bar, or a test.
pub trait Watch {
    /// A step was taken.
    fn step(&mut self, _metrics: &StepMetrics) {}
    /// The validation pictures were looked at.
    fn validation(&mut self, _metrics: &ValidationMetrics) {}
    /// Something else that a person wants to know.
    fn note(&mut self, _text: &str) {}
    /// Asked before every step; `true` writes a checkpoint and ends the run early, to be resumed later.
    fn wants_stop(&mut self) -> bool {
        false
    }
}

/// Looks at nothing.
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {}

/// How a run starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// In an empty run directory.
    Fresh,
    /// From the newest whole checkpoint of the run directory.
    Resume,
}

/// A run between two steps.
#[derive(Debug)]
pub struct Run {
    plan: Plan,
    plan_text: String,
    dir: PathBuf,
    device: Device,
    encoder: RowEncoder,
    config: Config,
    model: Qwen,
    optimiser: AdamW,
    state: RunState,
}

impl Run {
    /// Opens a run directory: a fresh one gets the plan, the tokenizer and the model's `config.json`.
    ///
    /// # Errors
    /// A directory that holds another run, or nothing to resume from; failures of the disk.
    pub fn open(
        plan: Plan,
        dir: &Path,
        start: Start,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Self, TrainError> {
        let plan_path = dir.join("plan.toml");
        let plan_text = plan.to_toml()?;
        if start == Start::Fresh {
            if plan_path.exists() {
                return Err(TrainError::RunExists { path: dir.to_owned() });
            }
            std::fs::create_dir_all(dir).map_err(TrainError::file("create the run directory", dir))?;
            let tokenizer = vocabulary::train(&plan.recipe.data)?;
            let path = dir.join("tokenizer.json");
            tokenizer.save(&path, true).map_err(TrainError::engine("cannot write the tokenizer"))?;
            checkpoint::write_synced(&plan_path, plan_text.as_bytes())?;
        } else if !plan_path.exists() {
            return Err(TrainError::NoCheckpoint { path: dir.to_owned() });
        }
        let encoder = RowEncoder::new(vocabulary::open(&dir.join("tokenizer.json"))?)?;
        let config = model_config(&plan, &encoder)?;
        device.seed(plan.recipe.seed);
        let device = device.clone().autodiff();
        let model = Qwen::init(&config, &device);
        let mut run = Self {
            plan,
            plan_text,
            dir: dir.to_owned(),
            device,
            encoder,
            config,
            model,
            optimiser: AdamW::default(),
            state: RunState::default(),
        };
        if start == Start::Resume {
            let newest = checkpoint::newest(dir, |damage| watch.note(&eosin_core::error_chain(damage)))?;
            if let Some(newest) = newest {
                let plan = Some(run.plan_text.as_str());
                (run.model, run.optimiser, run.state) =
                    checkpoint::read(&newest, run.model, plan, &run.device)?;
            } else {
                watch.note("no checkpoint was whole: starting from the first step");
            }
        }
        Ok(run)
    }

    /// What the run does.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The model as it stands.
    pub fn model(&self) -> &Qwen {
        &self.model
    }

    /// Sizes of the model.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The tokenizer with its special tokens.
    pub fn encoder(&self) -> &RowEncoder {
        &self.encoder
    }

    /// Where the run stands.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// Trains until the schedule or the watcher ends it; a checkpoint is written at the end.
    ///
    /// # Errors
    /// Failures of the disk, and [`TrainError::NotANumber`].
    pub fn train(&mut self, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let recipe = self.plan.recipe.clone();
        let optim = &recipe.optim;
        let mut metrics = MetricsFile::open(&self.dir.join("metrics.jsonl"), self.state.step)?;
        let curriculum = Arc::new(Curriculum::new(&recipe, self.encoder.clone()));
        let per_step = optim.images_per_step as u64;
        let make: Arc<dyn Fn(u64) -> Result<Sample, TrainError> + Send + Sync> = {
            let curriculum = curriculum.clone();
            Arc::new(move |cursor: u64| curriculum.train_sample(cursor / per_step, cursor))
        };
        let start = self.state.step * per_step;
        let mut stream = Stream::start(start, recipe.data.draw_threads, 3 * optim.images_per_step, &make)?;
        let mut last_good = None;
        while !self.progress().is_over(optim) && !watch.wants_stop() {
            let clock = Instant::now();
            let samples = (0..per_step).map(|_| stream.take()).collect::<Result<Vec<_>, _>>()?;
            let wait_secs = clock.elapsed().as_secs_f64();
            let mut line = self.step(&samples, last_good.as_deref())?;
            let step_secs = clock.elapsed().as_secs_f64();
            self.state.elapsed_secs += step_secs;
            line.wait_secs = wait_secs;
            line.elapsed_secs = self.state.elapsed_secs;
            line.tokens_per_second = (self.state.n_token - line.num_tokens) as f64 / step_secs;
            line.num_tokens = self.state.n_token;
            line.images_per_second = samples.len() as f64 / step_secs;
            line.progress = self.progress().share(optim);
            metrics.push(&line)?;
            watch.step(&line);
            let over = self.progress().is_over(optim);
            let every = recipe.validate.every_steps;
            if every > 0 && (over || self.state.step.is_multiple_of(every)) {
                let found = self.validate(&curriculum)?;
                let best = self.state.best_accuracy.unwrap_or(0.0).max(found.eval_accuracy);
                self.state.best_accuracy = Some(best);
                metrics.push(&found)?;
                watch.validation(&found);
            }
            if over || self.state.step.is_multiple_of(recipe.checkpoint.every_steps) {
                last_good = Some(self.save()?);
            }
        }
        if last_good.is_none() || watch.wants_stop() {
            self.save()?;
        }
        Ok(())
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn save(&self) -> Result<PathBuf, TrainError> {
        let keep_last = self.plan.recipe.checkpoint.keep_last;
        checkpoint::write(&self.dir, &self.model, &self.optimiser, &self.state, &self.plan_text, keep_last)
    }

    fn progress(&self) -> Progress {
        Progress { step: self.state.step, elapsed_secs: self.state.elapsed_secs }
    }

    /// One step over samples in hand; the caller fills in the clock's figures.
    ///
    /// # Errors
    /// [`TrainError::NotANumber`]; the model is then as before the step.
    pub fn step(&mut self, samples: &[Sample], last_good: Option<&Path>) -> Result<StepMetrics, TrainError> {
        let optim = &self.plan.recipe.optim;
        let pad = self.encoder.special().end_of_text;
        let lr = self.progress().learning_rate(optim);
        let mut batches: Vec<Batch> = Vec::new();
        for part in samples.chunks(optim.images_per_part) {
            batches.push(Batch::new(part, pad));
        }
        let n_target: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let (mut sum, mut n_right, mut gradients) = (0.0, 0, GradientSum::default());
        for batch in &batches {
            let loss = batch_loss(&self.model, batch, &self.device);
            let scaled = loss.sum.div_scalar(n_target as f64);
            let part: f32 = scaled.clone().inner().into_scalar();
            sum += f64::from(part);
            n_right += loss.n_right;
            gradients.add(&mut scaled.backward(), &self.model);
        }
        let norm = gradients.norm();
        let broken =
            if sum.is_finite() { Some("gradient norm").filter(|_| !norm.is_finite()) } else { Some("loss") };
        if let Some(what) = broken {
            let last_good = last_good
                .map(Path::to_owned)
                .or_else(|| checkpoint::newest(&self.dir, |_| ()).ok().flatten())
                .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
                .unwrap_or_else(|| "none".into());
            let first_seed = samples.first().map_or(0, |sample| sample.seed);
            return Err(TrainError::NotANumber { what, step: self.state.step + 1, first_seed, last_good });
        }
        let scale = (optim.clip_norm / norm.max(f64::MIN_POSITIVE)).min(1.0);
        self.model = self.optimiser.step(self.model.clone(), gradients, lr, scale, optim);
        let before = self.state.n_token;
        self.state.step += 1;
        self.state.n_token += batches.iter().map(|batch| batch.n_token() as u64).sum::<u64>();
        Ok(StepMetrics {
            step: self.state.step,
            loss: sum,
            learning_rate: lr,
            grad_norm: norm,
            mean_token_accuracy: n_right as f64 / n_target as f64,
            num_tokens: before,
            tokens_per_second: 0.0,
            images_per_second: 0.0,
            progress: 0.0,
            elapsed_secs: 0.0,
            wait_secs: 0.0,
        })
    }

    /// Loss and answers on validation pictures, without gradients.
    fn validate(&self, curriculum: &Curriculum) -> Result<ValidationMetrics, TrainError> {
        let clock = Instant::now();
        let settings = &self.plan.recipe.validate;
        let model = self.model.valid();
        let device = self.device.clone().inner();
        let pad = self.encoder.special().end_of_text;
        let (mut sum, mut n_target) = (0.0, 0);
        let samples = (0..settings.loss_images as u64)
            .map(|idx| curriculum.validation_sample(idx))
            .collect::<Result<Vec<_>, _>>()?;
        for part in samples.chunks(self.plan.recipe.optim.images_per_part) {
            let loss = batch_loss(&model, &Batch::new(part, pad), &device);
            let part: f32 = loss.sum.into_scalar();
            sum += f64::from(part);
            n_target += loss.n_target;
        }
        let answers = curriculum.ask(&model, settings)?;
        Ok(ValidationMetrics {
            step: self.state.step,
            eval_loss: sum / n_target.max(1) as f64,
            eval_accuracy: answers.accuracy(),
            eval_questions: answers.n_question,
            eval_format: answers.n_form as f64 / answers.n_question.max(1) as f64,
            eval_runtime: clock.elapsed().as_secs_f64(),
        })
    }
}

/// The model's sizes, through the same reader that opens released checkpoints.
pub(crate) fn model_config(plan: &Plan, encoder: &RowEncoder) -> Result<Config, TrainError> {
    let n_vocab = encoder.tokenizer().get_vocab_size(true);
    let json = plan.recipe.model.to_hf_config(n_vocab, encoder.special());
    Config::from_hf(&json).map_err(TrainError::engine("the model's sizes do not fit together"))
}
