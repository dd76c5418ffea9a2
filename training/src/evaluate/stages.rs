//! The exam of a pipeline: every finished VLM stage answers the same questions, and the table compares them.
//!
//! Answers lie in each stage's folder and are taken up again, so the exam may be held after every stage and on
//! every resume: a stage is opened only where questions, decoding or weights are new. A failing exam costs no
//! training. `tests/train_pipeline.rs` runs it as part of a pipeline.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;

use super::answers::Answer;
use super::exam::{Decoding, Exam, Outcome};
use super::model::Model;
use super::store::{ANSWERS, Evaluation, SCORES};
use super::table::{Rule, Table};
use crate::data::{Source, Tally};
use crate::error::TrainError;
use crate::folder::{self, FINAL, Vlm};
use crate::metrics::Scalars;
use crate::pipeline::Pipeline;
use crate::recipe::{ExamRecipe, Kind, Stage};
use crate::watch::Watch;

/// Folder of a stage in which its answers and scores lie.
pub const FOLDER: &str = "evaluation";

/// Holds the exam of a pipeline and writes its table beside the stages; `None` where the recipe has none, or
/// nothing to be asked is finished.
///
/// # Errors
/// Failures of a source, a model or the disk.
pub fn examine(
    pipeline: &Pipeline,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Option<Table>, TrainError> {
    let Some(recipe) = &pipeline.plan.recipe.exam else { return Ok(None) };
    let exam = open(pipeline, recipe, watch)?;
    let decoding = Decoding::greedy(recipe.max_new_tokens);
    let mut variants: Vec<(String, Vec<Answer>)> = Vec::new();
    let mut titles: BTreeMap<&str, String> = BTreeMap::new();
    for stage in &pipeline.plan.recipe.stages {
        if stage.kind == Kind::Clip {
            continue;
        }
        if watch.wants_stop() {
            return Ok(None);
        }
        if let Some(answers) = examine_stage(pipeline, stage, &exam, &decoding, device, watch)? {
            titles.insert(&stage.name, title(stage).to_owned());
            variants.push((title(stage).to_owned(), answers));
        }
    }
    if variants.is_empty() {
        return Ok(None);
    }
    let title = |name: &String| titles.get(name.as_str()).cloned();
    let pairs: Vec<[String; 2]> =
        recipe.compare.iter().filter_map(|[first, second]| Some([title(first)?, title(second)?])).collect();
    let table = Table::of(Rule::Exact, &variants, &pairs);
    table.write(&pipeline.dir)?;
    Ok(Some(table))
}

/// Greedy answers to the questions of a source's first samples, for a look in the middle of a stage:
/// `eval_accuracy` by the papers' rule, `eval_lenient`, `eval_format` and `eval_completion_length`.
///
/// # Errors
/// Failures of the model.
pub fn look(
    model: &mut Model<'_>,
    source: &dyn Source,
    n_sample: u64,
    max_new_tokens: usize,
) -> Result<Scalars, TrainError> {
    let mut exam = Exam::default();
    exam.add("validation", source, n_sample);
    let outcome = exam.ask(model, &Decoding::greedy(max_new_tokens), None, &mut |_| ())?;
    let n = outcome.answers.len().max(1) as f64;
    let mean = |value: &dyn Fn(&Answer) -> f64| outcome.answers.iter().map(value).sum::<f64>() / n;
    let share = |right: bool| f64::from(u8::from(right));
    Ok(Scalars::new()
        .with("eval_accuracy", mean(&|answer| share(answer.exact)))
        .with("eval_lenient", mean(&|answer| share(answer.lenient)))
        .with("eval_format", mean(&|answer| share(answer.in_form)))
        .with("eval_completion_length", mean(&|answer| answer.n_token as f64)))
}

/// What tables call a stage.
fn title(stage: &Stage) -> &str {
    if stage.title.is_empty() { &stage.name } else { &stage.title }
}

/// The questions of a recipe.
fn open(pipeline: &Pipeline, recipe: &ExamRecipe, watch: &mut dyn Watch) -> Result<Exam, TrainError> {
    let (mut exam, mut tally) = (Exam::default(), Tally::default());
    for (column, name) in &recipe.sources {
        exam.add(column, pipeline.source(name, &mut tally)?.as_ref(), recipe.samples);
    }
    if !recipe.baseline.is_empty() {
        let source = pipeline.source(&recipe.baseline, &mut tally)?;
        exam.learn(source.as_ref(), recipe.baseline_samples);
    }
    if !tally.skips.is_empty() {
        watch.note(&format!("exam: {} rows of its sources cannot be read", tally.skips.len()));
    }
    Ok(exam)
}

/// The answers of a stage, `None` where it is not finished.
fn examine_stage(
    pipeline: &Pipeline,
    stage: &Stage,
    exam: &Exam,
    decoding: &Decoding,
    device: &Device,
    watch: &mut dyn Watch,
) -> Result<Option<Vec<Answer>>, TrainError> {
    let stage_dir = pipeline.stage_dir(&stage.name);
    let Some(finished) = folder::finished(&stage_dir)? else { return Ok(None) };
    let dir = stage_dir.join(FOLDER);
    let system = stage.tune().system;
    let is_current = |evaluation: &Evaluation| {
        let settings = &evaluation.settings;
        settings.about.weights == finished.weights_sha256
            && settings.about.system == system
            && settings.decoding == *decoding
            && settings.version == env!("CARGO_PKG_VERSION")
            && settings.data_sha256 == exam.sha256()
    };
    if dir.join(SCORES).is_file()
        && let Ok((evaluation, answers)) = Evaluation::read(&dir)
        && is_current(&evaluation)
    {
        return Ok(Some(answers));
    }
    std::fs::create_dir_all(&dir).map_err(TrainError::file("create the folder", &dir))?;
    let vlm = Vlm::open(&stage_dir.join(FINAL), &pipeline.plan.recipe.image, device)?;
    let model = Model::new(&vlm.model, &vlm.encoder, &vlm.preprocess);
    let mut model = model.named(&stage.name, &finished.weights_sha256).instructed(&system);
    let n_question = exam.questions().len() as u64;
    let name = format!("{} exam", stage.name);
    watch.stage(&name, 0, n_question);
    let outcome = exam.ask(&mut model, decoding, Some(&dir.join(ANSWERS)), &mut |n_done| {
        watch.step(&name, n_done as u64, n_question, &Scalars::new());
    })?;
    let evaluation = Evaluation::of(title(stage), &outcome);
    evaluation.write(&dir, &outcome)?;
    tell(stage, &evaluation, &dir, &outcome, finished.state.step, watch);
    Ok(Some(outcome.answers))
}

/// Says how a stage did.
fn tell(
    stage: &Stage,
    evaluation: &Evaluation,
    dir: &Path,
    outcome: &Outcome,
    step: u64,
    watch: &mut dyn Watch,
) {
    let mut scalars = Scalars::new();
    let mut words = Vec::new();
    for (domain, scores) in &evaluation.scores.domains {
        let all = &scores.all;
        words.push(format!("{domain} {}", all.exact.share.to_words()));
        scalars.set(format!("exam/{domain}/accuracy"), all.exact.share.share);
        scalars.set(format!("exam/{domain}/format"), all.in_form.share);
        scalars.set(format!("exam/{domain}/mean_length"), all.mean_output_tokens);
    }
    watch.evaluation(&stage.name, step, &scalars);
    watch.note(&format!("{}: {}", stage.name, words.join(", ")));
    if !outcome.tally.skips.is_empty() {
        let n_skip = outcome.tally.skips.len();
        watch.note(&format!("{}: {n_skip} questions could not be asked: {}", stage.name, dir.display()));
    }
}
