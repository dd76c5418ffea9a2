//! A whole pipeline: stages one after another, each in its own folder, none run twice.
//!
//! `run` is what `resume` is: finished stages are passed over, the one that was broken off goes on from its
//! newest whole checkpoint, the others begin. A stage's plan names its parent by hash, so a changed parent or
//! recipe is noticed and not silently mixed. `tests/train_pipeline.rs` and `tests/train_faults.rs` hold this.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use eosin_model::lora::{self, LoraSettings};
use eosin_model::qwen::Qwen;

use crate::checkpoint::{sha256, write_synced};
use crate::data::{Mixture, Repeated, Source, Tally, check_disjoint};
use crate::error::TrainError;
use crate::evaluate::stages;
use crate::export::peft;
use crate::folder::{self, FINAL, Vlm};
use crate::metrics::lines::SkipLog;
use crate::recipe::{Kind, Plan, Recipe, Stage, StagePlan};
use crate::rl;
use crate::run::Ended;
use crate::watch::Watch;
use crate::{clip, sft, vocabulary};

/// Folder of a stage in which its adapters lie, where it trained some.
pub const ADAPTER: &str = "adapter";
/// Name of the resolved recipe in a run's folder.
pub const RECIPE: &str = "recipe.toml";

/// What a stage is given to run with.
#[derive(Debug)]
pub struct Context<'a> {
    /// All that the result depends on.
    pub plan: &'a StagePlan,
    /// The stage's folder.
    pub dir: &'a Path,
    /// The folder that it begins from; `None` for random weights.
    pub parent: Option<PathBuf>,
    /// The words of a model that begins with nothing.
    pub tokenizer: PathBuf,
    /// Where to compute, without gradients.
    pub device: &'a Device,
    /// What it learns from.
    pub data: Arc<dyn Source>,
    /// What it is looked at with.
    pub validation: Option<Arc<dyn Source>>,
}

impl Context<'_> {
    /// The device with gradients.
    pub fn training_device(&self) -> Device {
        self.device.clone().autodiff()
    }

    /// A model as the stage trains it: frozen parts stand still, adapters are in place.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where an adapter has no place.
    pub fn prepare(&self, model: Qwen, _device: &Device) -> Result<Qwen, TrainError> {
        if let Some(settings) = self.adapters() {
            model.with_adapters(&settings).map_err(TrainError::engine("cannot place the adapters"))
        } else {
            let freeze = &self.plan.stage.tune().freeze;
            Ok(model.freeze(&freeze.iter().map(|part| (*part).into()).collect::<Vec<lora::Part>>()))
        }
    }

    /// The adapters that the stage trains instead of the model: beside the decoder's maps.
    fn adapters(&self) -> Option<LoraSettings> {
        self.plan.stage.tune().lora.map(|lora| LoraSettings {
            rank: lora.rank,
            alpha: lora.alpha,
            targets: lora.targets,
            parts: vec![lora::Part::Decoder],
            seed: self.plan.seed,
        })
    }

    /// The model that the stage leaves: adapters are written to their folder and merged into the weights they
    /// adapt.
    ///
    /// # Errors
    /// [`TrainError::Engine`] and [`TrainError::File`].
    pub fn finish(&self, model: Qwen) -> Result<Qwen, TrainError> {
        if let Some(settings) = self.adapters() {
            let base = self.parent.as_ref().map(|parent| parent.display().to_string()).unwrap_or_default();
            peft::write(&model, &settings, &base, &self.dir.join(ADAPTER))?;
        }
        Ok(model.merged())
    }

    /// The VLM that the stage begins from, on the device given.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the parent is no Qwen2.5-VL.
    pub fn open_vlm(&self, device: &Device) -> Result<Vlm, TrainError> {
        match &self.parent {
            Some(parent) => Vlm::open(parent, &self.plan.image, device),
            None => Vlm::init(self.plan, &self.tokenizer, device),
        }
    }
}

/// A pipeline in its folder.
#[derive(Clone, PartialEq, Debug)]
pub struct Pipeline {
    /// What it does.
    pub plan: Plan,
    /// Where it does it.
    pub dir: PathBuf,
}

impl Pipeline {
    /// A pipeline that will run, or runs, in `dir`; the resolved recipe is written there.
    ///
    /// # Errors
    /// Failures of the disk.
    pub fn create(plan: Plan, dir: &Path) -> Result<Self, TrainError> {
        std::fs::create_dir_all(dir).map_err(TrainError::file("create the run directory", dir))?;
        // A recipe that contradicts what was run here must not take its place.
        for stage in &plan.recipe.stages {
            let stage_dir = dir.join(&stage.name);
            let Ok(found) = std::fs::read_to_string(stage_dir.join("plan.toml")) else { continue };
            let parent = toml::from_str::<StagePlan>(&found).map(|before| before.parent_sha256);
            let same = parent.is_ok_and(|parent| {
                plan.stage_plan(stage, &parent).to_toml().is_ok_and(|text| text == found)
            });
            if !same {
                return Err(TrainError::OtherPlan { path: stage_dir });
            }
        }
        let text =
            toml::to_string_pretty(&plan.recipe).map_err(|error| TrainError::plan(error.to_string()))?;
        write_synced(&dir.join(RECIPE), text.as_bytes())?;
        Ok(Self { plan, dir: dir.to_owned() })
    }

    /// The pipeline that runs in `dir`.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] where there is none.
    pub fn open(dir: &Path) -> Result<Self, TrainError> {
        let path = dir.join(RECIPE);
        if !path.exists() {
            return Err(TrainError::NoRun { path: dir.to_owned() });
        }
        let plan = Recipe::read(&path, crate::recipe::Pace::Full, &[])?.resolve()?;
        Ok(Self { plan, dir: dir.to_owned() })
    }

    /// Folder of a stage.
    pub fn stage_dir(&self, stage: &str) -> PathBuf {
        self.dir.join(stage)
    }

    /// Runs all stages that are not finished, or those named in `only`.
    ///
    /// # Errors
    /// What a stage returns; stages finished before stay.
    pub fn run(&self, only: &[String], device: &Device, watch: &mut dyn Watch) -> Result<Ended, TrainError> {
        if let Some(name) = only.iter().find(|name| self.plan.stage(name).is_none()) {
            return Err(TrainError::plan(format!("there is no stage `{name}`")));
        }
        let tokenizer = self.tokenizer()?;
        for stage in &self.plan.recipe.stages {
            if !only.is_empty() && !only.contains(&stage.name) {
                continue;
            }
            if self.run_stage(stage, &tokenizer, device, watch)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        stages::examine(self, device, watch)?;
        Ok(Ended::Finished)
    }

    fn run_stage(
        &self,
        stage: &Stage,
        tokenizer: &Path,
        device: &Device,
        watch: &mut dyn Watch,
    ) -> Result<Ended, TrainError> {
        let dir = self.stage_dir(&stage.name);
        let parent = self.parent(stage)?;
        let parent_sha256 = match &parent {
            Some(parent) => hash_folder(parent)?,
            None => String::new(),
        };
        let plan = self.plan.stage_plan(stage, &parent_sha256);
        if let Some(finished) = folder::finished(&dir)? {
            if finished.plan_sha256 == sha256(plan.to_toml()?.as_bytes()) {
                watch.note(&format!("{}: finished before", stage.name));
                return Ok(Ended::Finished);
            }
            return Err(TrainError::OtherPlan { path: dir });
        }
        let mut tally = Tally::default();
        let data = self.data(stage, &mut tally)?;
        let validation = match stage.validate.source.as_str() {
            "" => None,
            name => Some(self.source(name, &mut tally)?),
        };
        if let Some(skip) = tally.skips.first() {
            if self.plan.recipe.strict {
                return Err(TrainError::Strict { id: skip.id.clone(), reason: skip.reason.clone() });
            }
            watch.note(&format!("{}: {} rows of its sources cannot be read", stage.name, tally.skips.len()));
            std::fs::create_dir_all(&dir).map_err(TrainError::file("create the stage's folder", &dir))?;
            SkipLog::open(&dir)?.push_all(&tally)?;
        }
        if let Some(validation) = &validation
            && !stage.data.iter().any(|share| self.is_drawn(&share.source))
            && !self.is_drawn(&stage.validate.source)
        {
            // A picture on both sides would flatter every look; seeds of drawn ones cannot meet.
            check_disjoint(&[
                ("the training data", data.as_ref()),
                (stage.validate.source.as_str(), validation.as_ref()),
            ])?;
        }
        let context = Context {
            plan: &plan,
            dir: &dir,
            parent,
            tokenizer: tokenizer.to_owned(),
            device,
            data,
            validation,
        };
        match stage.kind {
            Kind::Clip => clip::run(&context, watch),
            Kind::Cpt | Kind::Sft => sft::run(&context, watch),
            Kind::Rl => rl::run(&context, watch),
        }
    }

    /// Where a stage begins.
    fn parent(&self, stage: &Stage) -> Result<Option<PathBuf>, TrainError> {
        if stage.from == "init" {
            return Ok(None);
        }
        if self.plan.stage(&stage.from).is_some() {
            let dir = self.stage_dir(&stage.from);
            if folder::finished(&dir)?.is_none() {
                return Err(TrainError::plan(format!(
                    "stage {} begins from {}, which is not finished",
                    stage.name, stage.from
                )));
            }
            return Ok(Some(dir.join(FINAL)));
        }
        let path = PathBuf::from(&stage.from);
        if path.is_dir() {
            Ok(Some(path))
        } else {
            Err(TrainError::plan(format!(
                "stage {}: from = \"{}\" is neither `init`, nor a stage, nor a folder",
                stage.name, stage.from
            )))
        }
    }

    /// Whether a source draws its samples.
    fn is_drawn(&self, source: &str) -> bool {
        self.plan.recipe.sources.get(source).is_some_and(|source| source.phantom.is_some())
    }

    /// The sources of a stage, mixed by their weights and shuffled anew each time round. Drawn samples alone come
    /// as they are numbered: each is new, and strata follow one another evenly.
    fn data(&self, stage: &Stage, tally: &mut Tally) -> Result<Arc<dyn Source>, TrainError> {
        if let [only] = stage.data.as_slice()
            && self.is_drawn(&only.source)
        {
            return Ok(Arc::new(Repeated::new(self.source(&only.source, tally)?)));
        }
        let mut parts = Vec::with_capacity(stage.data.len());
        for share in &stage.data {
            parts.push((self.source(&share.source, tally)?, share.weight));
        }
        Mixture::new(parts, self.plan.recipe.seed).map(|mixture| Arc::new(mixture) as Arc<dyn Source>)
    }

    /// A source by its name.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where there is none of that name; failures to open it.
    pub fn source(&self, name: &str, tally: &mut Tally) -> Result<Arc<dyn Source>, TrainError> {
        let source = self.plan.recipe.sources.get(name);
        source.ok_or_else(|| TrainError::plan(format!("there is no source `{name}`")))?.open(tally)
    }

    /// The tokenizer of the pipeline, trained where it is not there yet.
    fn tokenizer(&self) -> Result<PathBuf, TrainError> {
        let path = self.dir.join("tokenizer.json");
        let starts_from_nothing = |stage: &Stage| stage.from == "init" && stage.kind != Kind::Clip;
        if let (Some(recipe), true) =
            (&self.plan.recipe.tokenizer, self.plan.recipe.stages.iter().any(starts_from_nothing))
            && !path.exists()
        {
            let tokenizer = vocabulary::train(recipe)?;
            let text =
                tokenizer.to_string(true).map_err(TrainError::engine("cannot encode the tokenizer"))?;
            let partial = self.dir.join(".partial-tokenizer.json");
            write_synced(&partial, text.as_bytes())?;
            std::fs::rename(&partial, &path).map_err(TrainError::file("finish the tokenizer", &path))?;
        }
        Ok(path)
    }
}

/// Names a model folder by its content.
fn hash_folder(dir: &Path) -> Result<String, TrainError> {
    if let Some(stage_dir) = dir.parent()
        && dir.ends_with(FINAL)
        && let Some(finished) = folder::finished(stage_dir)?
    {
        return Ok(finished.weights_sha256);
    }
    // A foreign folder may be large: its small files and the sizes of the others name it well enough.
    let mut names: Vec<PathBuf> = std::fs::read_dir(dir)
        .map_err(TrainError::file("list the folder", dir))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .collect();
    names.sort();
    let mut facts = Vec::new();
    for path in names {
        let length = path.metadata().map_err(TrainError::file("read", &path))?.len();
        facts.extend_from_slice(format!("{:?} {length}\n", path.file_name()).as_bytes());
        if length < 1 << 24 {
            facts.extend(std::fs::read(&path).map_err(TrainError::file("read", &path))?);
        }
    }
    Ok(sha256(&facts))
}
