//! What all stages share: a model that learns, step by step, in a folder that can be killed at any moment.
//!
//! A [`Trainer`] holds model, optimiser and state. A stage's loop asks it whether the run is over, hands it
//! the gradients of a step, and lets it write checkpoints; what a step is made of is the stage's own business.
//! Everything random in a stage is a function of the recipe's seed and the step, so that a resumed run is the
//! unbroken one (`tests/train_pipeline.rs`); a loss that is no number stops the run and changes nothing.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;

use crate::checkpoint::{self, RunState, sha256};
use crate::error::TrainError;
use crate::folder::Finished;
use crate::metrics::lines::LineFile;
use crate::metrics::{Recorder, Scalars};
use crate::optim::schedule::Progress;
use crate::optim::{AdamW, GradientSum};
use crate::recipe::{Keep, StagePlan};
use crate::watch::Watch;

/// How a stage ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its model lies in `final/`.
    Finished,
    /// Somebody stopped it; a checkpoint was written.
    Stopped,
}

/// What a step found.
#[derive(Debug)]
pub struct Found<'a> {
    /// Mean loss of the step.
    pub loss: f64,
    /// Gradients of that loss, of all parts together.
    pub gradients: GradientSum,
    /// Tokens read, or pairs where there are no tokens.
    pub n_token: u64,
    /// Names of the samples of the step, for the message where it breaks.
    pub ids: &'a [String],
    /// Further figures.
    pub scalars: Scalars,
    /// When the step began.
    pub since: Instant,
}

/// A model that learns.
#[derive(Debug)]
pub struct Trainer<M> {
    /// The model, on a device with gradients.
    pub model: M,
    plan: StagePlan,
    plan_text: String,
    dir: PathBuf,
    optimiser: AdamW,
    state: RunState,
    recorder: Recorder,
    skipped: LineFile,
    last_good: Option<PathBuf>,
}

impl<M: Module> Trainer<M> {
    /// Opens a stage's folder: a new one begins with `model`, another goes on from its newest whole checkpoint.
    ///
    /// # Errors
    /// [`TrainError::RunExists`] where the folder belongs to another plan; failures of the disk.
    pub fn open(
        dir: &Path,
        plan: &StagePlan,
        model: M,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Self, TrainError> {
        let plan_text = plan.to_toml()?;
        let plan_path = dir.join("plan.toml");
        std::fs::create_dir_all(dir).map_err(TrainError::file("create the stage's folder", dir))?;
        match std::fs::read_to_string(&plan_path) {
            Ok(found) if found != plan_text => {
                return Err(TrainError::OtherPlan { path: dir.to_owned() });
            }
            Ok(_) => {}
            Err(_) => checkpoint::write_synced(&plan_path, plan_text.as_bytes())?,
        }
        let (mut model, mut optimiser, mut state) = (model, AdamW::default(), RunState::default());
        let newest = checkpoint::newest(dir, |damage| watch.note(&eosin_core::error_chain(damage)))?;
        if let Some(newest) = &newest {
            (model, optimiser, state) = checkpoint::read(newest, model, Some(&plan_text), device)?;
        }
        let recorder = Recorder::open(dir, state.step)?;
        let skipped = LineFile::open(&dir.join("skipped.jsonl"), state.step)?;
        watch.stage(&plan.stage.name, state.step, plan.stage.optim.steps);
        Ok(Self {
            model,
            plan: plan.clone(),
            plan_text,
            dir: dir.to_owned(),
            optimiser,
            state,
            recorder,
            skipped,
            last_good: newest,
        })
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.state.step
    }

    /// Where the stage stands.
    pub fn state(&self) -> &RunState {
        &self.state
    }

    /// The stage's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the stage does.
    pub fn plan(&self) -> &StagePlan {
        &self.plan
    }

    /// Whether all steps are done or the time is spent.
    pub fn is_over(&self) -> bool {
        self.progress().is_over(&self.plan.stage.optim)
    }

    /// Learning rate of the step that begins here.
    pub fn learning_rate(&self) -> f64 {
        self.progress().learning_rate(&self.plan.stage.optim)
    }

    fn progress(&self) -> Progress {
        Progress { step: self.state.step, elapsed_secs: self.state.elapsed_secs }
    }

    /// Takes a step of the descent, clipped, and writes its figures down.
    ///
    /// # Errors
    /// [`TrainError::NotANumber`], and the model is as before; failures of the disk.
    pub fn descend(&mut self, found: Found<'_>, watch: &mut dyn Watch) -> Result<(), TrainError> {
        let norm = self.update(found.loss, found.gradients, found.ids)?;
        let scalars = Scalars::new()
            .with("loss", found.loss)
            .with("grad_norm", norm.length)
            .with("learning_rate", norm.learning_rate);
        self.advance(scalars, &found.scalars, found.n_token, found.since, watch)
    }

    /// One update of the weights, of which a step of reinforcement may take several.
    ///
    /// # Errors
    /// [`TrainError::NotANumber`], and the model is as before.
    pub fn update(
        &mut self,
        loss: f64,
        gradients: GradientSum,
        ids: &[String],
    ) -> Result<Update, TrainError> {
        let optim = &self.plan.stage.optim;
        let length = gradients.norm();
        let broken =
            if loss.is_finite() { (!length.is_finite()).then_some("gradient norm") } else { Some("loss") };
        if let Some(what) = broken {
            let last_good = self.last_good.as_deref().and_then(Path::file_name);
            let last_good =
                last_good.map_or_else(|| "none".into(), |name| name.to_string_lossy().into_owned());
            let shown = ids.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let ids = if ids.len() > 8 { format!("{shown}, and {} more", ids.len() - 8) } else { shown };
            return Err(TrainError::NotANumber {
                what,
                stage: self.plan.stage.name.clone(),
                step: self.state.step + 1,
                ids,
                last_good,
            });
        }
        let learning_rate = self.learning_rate();
        let scale = (optim.clip_norm / length.max(f64::MIN_POSITIVE)).min(1.0);
        self.model = self.optimiser.step(self.model.clone(), gradients, learning_rate, scale, optim);
        Ok(Update { length, learning_rate })
    }

    /// Ends a step: counts it, writes its figures, and a checkpoint where one is due.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn advance(
        &mut self,
        mut scalars: Scalars,
        further: &Scalars,
        n_token: u64,
        since: Instant,
        watch: &mut dyn Watch,
    ) -> Result<(), TrainError> {
        let secs = since.elapsed().as_secs_f64();
        self.state.step += 1;
        self.state.elapsed_secs += secs;
        self.state.n_token += n_token;
        scalars.extend(further);
        scalars.set("num_tokens", self.state.n_token as f64);
        scalars.set("tokens_per_second", n_token as f64 / secs.max(1e-9));
        scalars.set("progress", self.progress().share(&self.plan.stage.optim));
        scalars.set("elapsed_secs", self.state.elapsed_secs);
        self.recorder.push(self.state.step, &scalars)?;
        watch.step(&self.plan.stage.name, self.state.step, self.plan.stage.optim.steps, &scalars);
        Ok(())
    }

    /// Notes a sample that was left out; an error where the recipe is strict.
    ///
    /// # Errors
    /// [`TrainError::Strict`].
    pub fn skip(&mut self, skip: &crate::data::Skip, watch: &mut dyn Watch) -> Result<(), TrainError> {
        if self.plan.strict {
            return Err(TrainError::Strict { id: skip.id.clone(), reason: skip.reason.clone() });
        }
        self.state.n_skipped += 1;
        if self.state.n_skipped <= 3 {
            watch.note(&format!("left out {}: {}", skip.id, skip.reason));
        }
        let row = serde_json::json!({"step": self.state.step + 1, "id": skip.id, "reason": skip.reason});
        self.skipped.push(&row)
    }

    /// Whether validation data should be looked at now.
    pub fn look_is_due(&self) -> bool {
        let validate = &self.plan.stage.validate;
        !validate.source.is_empty()
            && (self.is_over()
                || (validate.every_steps > 0 && self.state.step.is_multiple_of(validate.every_steps)))
    }

    /// Writes down what a look at validation data found; `score` is better the higher. The best so far is kept
    /// where the recipe asks for it.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn looked(&mut self, scalars: &Scalars, score: f64, watch: &mut dyn Watch) -> Result<(), TrainError> {
        self.recorder.push_evaluation(self.state.step, scalars)?;
        watch.evaluation(&self.plan.stage.name, self.state.step, scalars);
        if self.state.best_score.is_none_or(|best| score > best) {
            self.state.best_score = Some(score);
            self.state.best_step = self.state.step;
            if self.plan.stage.validate.keep == Keep::Best {
                checkpoint::write_best(&self.dir, &self.model, &self.state, &self.plan_text)?;
            }
        }
        Ok(())
    }

    /// Writes a checkpoint where one is due.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn save_if_due(&mut self) -> Result<(), TrainError> {
        if self.is_over() || self.state.step.is_multiple_of(self.plan.stage.checkpoint.every_steps) {
            self.save()?;
        }
        Ok(())
    }

    /// Writes a checkpoint now.
    ///
    /// # Errors
    /// Failures of the disk; the checkpoints before it stay as they are.
    pub fn save(&mut self) -> Result<(), TrainError> {
        let limit = self.plan.stage.checkpoint.save_total_limit;
        let saved =
            checkpoint::write(&self.dir, &self.model, &self.optimiser, &self.state, &self.plan_text, limit)?;
        self.last_good = Some(saved);
        Ok(())
    }

    /// The weights that the stage ends with: its last, or its best where the recipe says so.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] where the best were damaged since.
    pub fn chosen(&self, device: &Device) -> Result<M, TrainError> {
        if self.plan.stage.validate.keep == Keep::Best
            && self.state.best_step != self.state.step
            && let Some(best) = checkpoint::read_best(&self.dir, self.model.clone(), &self.plan_text, device)?
        {
            return Ok(best);
        }
        Ok(self.model.clone())
    }

    /// What `final/` says of the stage.
    pub fn finished(&self) -> Finished {
        Finished {
            format: 1,
            stage: self.plan.stage.name.clone(),
            state: self.state.clone(),
            plan_sha256: sha256(self.plan_text.as_bytes()),
            weights_sha256: String::new(),
        }
    }
}

/// What an update of the weights was like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Update {
    /// Length of the gradient before clipping.
    pub length: f64,
    /// Learning rate.
    pub learning_rate: f64,
}
