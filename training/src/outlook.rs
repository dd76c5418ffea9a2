//! What a pipeline would do, before it does it: steps, data, parameters, memory, and, where a few steps are
//! tried out, time.
//!
//! Parameters and the memory of weights, gradients and moments follow from the recipe. Activations and time do
//! not: they are measured on real steps of every stage in a folder of its own, from random weights where a
//! stage begins with another's. `tests/train_faults.rs` reads an outlook.

use std::path::Path;

use burn::tensor::Device;
use eosin_weights::inspect::inspect;

use crate::data::Tally;
use crate::error::TrainError;
use crate::metrics::Scalars;
use crate::pipeline::Pipeline;
use crate::recipe::{Kind, ModelRecipe, Plan, Stage, ValidateRecipe};
use crate::watch::Watch;

/// Bytes of a parameter that moves: weight, gradient and two moments, each f32.
const MOVING_BYTES: u64 = 16;

/// What one stage would do.
#[derive(Clone, PartialEq, Debug)]
pub struct Outlook {
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// What it begins from.
    pub from: String,
    /// Steps.
    pub n_step: u64,
    /// Minutes after which it ends in any case; 0 where it does not.
    pub max_minutes: f64,
    /// Samples of a step.
    pub samples_per_step: usize,
    /// Its sources: name, samples, and share of what it reads.
    pub sources: Vec<(String, u64, f64)>,
    /// Rows of its sources that cannot be read.
    pub n_unreadable: usize,
    /// Parameters of its model, where they are known beforehand.
    pub n_parameter: Option<u64>,
    /// Weights, gradients and moments, likewise, where all of it moves.
    pub state_bytes: Option<u64>,
    /// What trying it out found.
    pub measured: Option<Measured>,
}

/// What a few steps found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// Seconds of a step, the first left out.
    pub secs_per_step: f64,
    /// Most memory of the process, where the system tells.
    pub peak_bytes: Option<u64>,
}

impl Outlook {
    /// Seconds of the whole stage, where it was tried out.
    pub fn secs(&self) -> Option<f64> {
        let secs = self.measured?.secs_per_step * self.n_step as f64;
        Some(if self.max_minutes > 0.0 { secs.min(self.max_minutes * 60.0) } else { secs })
    }
}

/// What each stage would do; all sources are opened for it.
///
/// # Errors
/// Sources that are not there.
pub fn outlook(plan: &Plan) -> Result<Vec<Outlook>, TrainError> {
    plan.recipe.stages.iter().map(|stage| of(plan, stage)).collect()
}

fn of(plan: &Plan, stage: &Stage) -> Result<Outlook, TrainError> {
    let mut tally = Tally::default();
    let whole: f64 = stage.data.iter().map(|share| share.weight).sum();
    let mut sources = Vec::with_capacity(stage.data.len());
    for share in &stage.data {
        let recipe = plan.recipe.sources.get(&share.source);
        let recipe =
            recipe.ok_or_else(|| TrainError::plan(format!("there is no source `{}`", share.source)))?;
        let source = recipe.open(&mut tally)?;
        sources.push((share.source.clone(), source.n_sample(), share.weight / whole));
    }
    let root = root(plan, stage);
    let n_parameter = match (root, stage.kind, &plan.recipe.model, &plan.recipe.tokenizer) {
        ("init", Kind::Cpt | Kind::Sft | Kind::Rl, Some(model), Some(words)) => {
            Some(n_parameter(model, words.vocabulary))
        }
        ("init", ..) => None,
        (folder, ..) => folder_parameter(Path::new(folder)),
    };
    Ok(Outlook {
        name: stage.name.clone(),
        kind: stage.kind,
        from: stage.from.clone(),
        n_step: stage.optim.steps,
        max_minutes: stage.optim.max_minutes,
        samples_per_step: stage.optim.samples_per_step,
        sources,
        n_unreadable: tally.skips.len(),
        n_parameter,
        state_bytes: n_parameter.map(|n| n * MOVING_BYTES),
        measured: None,
    })
}

/// Takes `n_step` steps of a stage in `scratch`, which is left as it is.
///
/// # Errors
/// Whatever the stage itself would meet.
pub fn measure(
    plan: &Plan,
    stage: &str,
    n_step: u64,
    scratch: &Path,
    device: &Device,
) -> Result<Measured, TrainError> {
    let stage = plan.stage(stage).ok_or_else(|| TrainError::plan(format!("there is no stage `{stage}`")))?;
    let mut recipe = plan.recipe.clone();
    recipe.exam = None;
    recipe.stages = vec![Stage {
        from: root(plan, stage).to_owned(),
        validate: ValidateRecipe::default(),
        ..stage.clone()
    }];
    let pipeline = Pipeline::create(recipe.resolve()?, scratch)?;
    forget_peak();
    let mut stopwatch = Stopwatch { n_left: n_step + 1, elapsed_secs: Vec::new() };
    pipeline.run(&[], device, &mut stopwatch)?;
    let secs = stopwatch.elapsed_secs;
    let (first, last) = (secs.first().copied().unwrap_or(0.0), secs.last().copied().unwrap_or(0.0));
    // A stage of one step has nothing but its first.
    let secs_per_step = if secs.len() > 1 { (last - first) / (secs.len() - 1) as f64 } else { last };
    Ok(Measured { secs_per_step, peak_bytes: peak_bytes() })
}

/// Stops after some steps and notes when each was done.
struct Stopwatch {
    n_left: u64,
    elapsed_secs: Vec<f64>,
}

impl Watch for Stopwatch {
    fn step(&mut self, _stage: &str, _step: u64, _n_step: u64, scalars: &Scalars) {
        self.n_left = self.n_left.saturating_sub(1);
        self.elapsed_secs.extend(scalars.get("elapsed_secs"));
    }
    fn wants_stop(&mut self) -> bool {
        self.n_left == 0
    }
}

/// `init` or the folder that the first of a stage's forebears begins from.
fn root<'a>(plan: &'a Plan, stage: &'a Stage) -> &'a str {
    let mut from = stage.from.as_str();
    // A stage begins from an earlier one, so this ends.
    while let Some(parent) = plan.stage(from) {
        from = &parent.from;
    }
    from
}

/// Parameters of a VLM of these sizes with tied embeddings, which `Qwen::init` makes.
fn n_parameter(model: &ModelRecipe, n_vocab: usize) -> u64 {
    let (text, vision) = (&model.text, &model.vision);
    let (h, i) = (text.hidden, text.intermediate);
    let kv = h / text.heads * text.kv_heads;
    let attention = h * (h + 2 * kv) + h + 2 * kv + h * h;
    let decoder = n_vocab * h + text.layers * (attention + 3 * h * i + 2 * h) + h;
    let (v, m) = (vision.hidden, vision.intermediate);
    let block = 4 * v * v + 4 * v + 3 * v * m + 2 * m + v + 2 * v;
    let merger = v + (4 * v) * (4 * v) + 4 * v + 4 * v * h + h;
    (decoder + 3 * 2 * 14 * 14 * v + vision.depth * block + merger) as u64
}

fn folder_parameter(folder: &Path) -> Option<u64> {
    let contents = inspect(folder).ok()?;
    Some(contents.weights.iter().map(|file| file.n_parameter).sum())
}

/// Lets the system's mark of the most memory begin anew, where it has one.
fn forget_peak() {
    // Where it cannot be reset the mark is of the whole process, which is never too little.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|n_kib| n_kib * 1024)
}
