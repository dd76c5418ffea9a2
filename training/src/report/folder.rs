//! What lies in a run's folder, read leniently: a report must be possible of a run that broke.
//!
//! The order of the stages is the recipe's; folders of stages that it does not name come last.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Table as Toml;

use crate::data::Skip;
use crate::error::TrainError;
use crate::evaluate::answers::{self, Answer};
use crate::evaluate::stages;
use crate::evaluate::store::{ANSWERS, EVALUATION};
use crate::evaluate::table::{DOMAIN, Table};
use crate::metrics::{self, Kind, METRICS, Row, lines};

/// Names under which a run's folder keeps its recipe.
const RECIPES: [&str; 3] = ["recipe.toml", "pipeline.toml", "plan.toml"];

/// A run as its folder tells it.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its seed.
    pub seed: Option<i64>,
    /// The recipe as it lies there.
    pub recipe: String,
    /// Its stages in order.
    pub stages: Vec<Stage>,
    /// Results, with the stage's name where they are not the whole run's.
    pub tables: Vec<(String, Table)>,
}

/// A stage as its folder tells it.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What people call it; empty where it has no other name.
    pub title: String,
    /// `clip`, `cpt`, `sft` or `rl`.
    pub kind: String,
    /// What it begins from.
    pub from: String,
    /// Steps that it was planned to take.
    pub n_step: Option<u64>,
    /// Version of the program that made its plan.
    pub program: Option<String>,
    /// Whether its `final/` is there.
    pub finished: bool,
    /// Its figures, oldest first.
    pub rows: Vec<Row>,
    /// Some of what was said in rollouts.
    pub said: Vec<Said>,
    /// Samples that were left out, each once.
    pub skipped: Vec<Skip>,
}

/// Something that a model wrote, worth showing.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Said {
    /// When: the step that it served, or the exam.
    pub occasion: String,
    /// The question, where it is known.
    pub prompt: String,
    /// What the model wrote.
    pub completion: String,
    /// The right answer.
    pub gold: String,
    /// Points by reward.
    pub rewards: Vec<(String, f64)>,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// [`TrainError::File`] where it cannot be listed, [`TrainError::NoRun`] where it holds no run.
    pub fn read(dir: &Path) -> Result<Self, TrainError> {
        let mut run = Self::default();
        for name in RECIPES {
            if let Ok(text) = fs::read_to_string(dir.join(name)) {
                run.recipe = text;
                break;
            }
        }
        let recipe: Toml = run.recipe.parse().unwrap_or_default();
        let folder = || dir.canonicalize().ok().and_then(|dir| Some(dir.file_name()?.to_str()?.to_owned()));
        run.name = text(&recipe, "name").or_else(folder).unwrap_or_else(|| "run".into());
        run.seed = recipe.get("seed").and_then(toml::Value::as_integer);
        let planned = recipe.get("stage").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let mut seen = BTreeSet::new();
        for plan in planned.iter().filter_map(toml::Value::as_table) {
            let Some(name) = text(plan, "name") else { continue };
            run.stages.push(Stage::read(&dir.join(&name), &name, Some(plan))?);
            seen.insert(name);
        }
        for folder in folders(dir)? {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if folder.join(METRICS).exists() && !seen.contains(&name) {
                run.stages.push(Stage::read(&folder, &name, None)?);
            }
        }
        if run.stages.is_empty() && dir.join(METRICS).exists() {
            run.stages.push(Stage::read(dir, &run.name, Some(&recipe))?);
        }
        if run.stages.is_empty() {
            return Err(TrainError::NoRun { path: dir.to_owned() });
        }
        run.tables.extend(table(dir).map(|table| (String::new(), table)));
        for stage in &run.stages {
            run.tables.extend(table(&dir.join(&stage.name)).map(|table| (stage.title().to_owned(), table)));
        }
        Ok(run)
    }

    /// Samples that were left out, in all stages.
    pub fn n_skipped(&self) -> usize {
        self.stages.iter().map(|stage| stage.skipped.len()).sum()
    }
}

impl Stage {
    fn read(dir: &Path, name: &str, plan: Option<&Toml>) -> Result<Self, TrainError> {
        let own: Toml = fs::read_to_string(dir.join("plan.toml"))
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        // A stage's plan has its table under `stage`; a recipe's entry is that table.
        let resolved = own.get("stage").and_then(toml::Value::as_table);
        let tables: Vec<&Toml> = resolved.into_iter().chain(plan).collect();
        let find = |key: &str| tables.iter().find_map(|table| text(table, key)).unwrap_or_default();
        let n_step = tables.iter().find_map(|table| table.get("optim")?.get("steps")?.as_integer());
        let kind = find("kind");
        let mut known = BTreeSet::new();
        let mut skipped = lines::read_skipped(&dir.join(lines::SKIPPED))?;
        skipped.retain(|skip| known.insert(skip.id.clone()));
        let mut said = chosen(&lines::read(&dir.join(lines::COMPLETIONS))?);
        said.extend(examined(&answers::read(&dir.join(stages::FOLDER).join(ANSWERS))?));
        Ok(Self {
            name: name.to_owned(),
            title: find("title"),
            kind: if kind.is_empty() { find("stage") } else { kind },
            from: find("from"),
            n_step: n_step.and_then(|n_step| u64::try_from(n_step).ok()),
            program: text(&own, "program"),
            finished: dir.join("final").is_dir(),
            rows: metrics::read(&dir.join(METRICS))?,
            said,
            skipped,
        })
    }

    /// What people call it.
    pub fn title(&self) -> &str {
        if self.title.is_empty() { &self.name } else { &self.title }
    }

    /// A figure over the steps, what is no number included.
    pub fn series(&self, kind: Kind, name: &str) -> Vec<(f64, f64)> {
        let rows = self.rows.iter().filter(|row| row.kind == kind);
        rows.filter_map(|row| Some((row.step as f64, row.scalars.get(name)?))).collect()
    }

    /// Last value of a figure.
    pub fn last(&self, kind: Kind, name: &str) -> Option<f64> {
        self.rows.iter().rev().filter(|row| row.kind == kind).find_map(|row| row.scalars.get(name))
    }

    /// Names of all figures of a kind, in the order in which they first came up.
    pub fn names(&self, kind: Kind) -> Vec<&str> {
        let (mut names, mut known) = (Vec::new(), BTreeSet::new());
        for row in self.rows.iter().filter(|row| row.kind == kind) {
            names.extend(row.scalars.iter().map(|(name, _)| name).filter(|name| known.insert(*name)));
        }
        names
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.rows.last().map_or(0, |row| row.step)
    }

    /// Its best look at samples that are not trained on: the figure's name, the value and the step.
    pub fn best(&self) -> Option<(&str, f64, u64)> {
        let names = self.names(Kind::Eval);
        let higher =
            |name: &&&str| name.contains("accuracy") || name.contains("recall") || name.contains("reward");
        let name = names.iter().find(higher).or_else(|| names.iter().find(|name| name.contains("loss")))?;
        let sign = if higher(&name) { 1.0 } else { -1.0 };
        let found = self.series(Kind::Eval, name).into_iter().filter(|(_, value)| value.is_finite());
        let (step, value) =
            found.max_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)).then(b.0.total_cmp(&a.0)))?;
        Some((name, value, step as u64))
    }

    /// Reasons for which samples were left out, with their number, commonest first. What follows the last
    /// colon names the case and not the reason.
    pub fn skip_reasons(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for skip in &self.skipped {
            let reason = skip.reason.rsplit_once(": ").map_or(skip.reason.as_str(), |(reason, _)| reason);
            *counts.entry(reason).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect();
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        counts
    }
}

fn text(table: &Toml, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_owned)
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = fs::read_dir(dir).map_err(TrainError::file("list the run directory", dir))?;
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    found.sort();
    Ok(found)
}

/// A table that cannot be read is one that is not there: the run's figures are still worth a page.
fn table(dir: &Path) -> Option<Table> {
    serde_json::from_slice(&fs::read(dir.join(EVALUATION)).ok()?).ok()
}

/// The first completion, and of the last step the best and the worst.
fn chosen(lines: &[Value]) -> Vec<Said> {
    let all: Vec<(u64, Said)> = lines.iter().filter_map(said).collect();
    let Some(last) = all.last().map(|(step, _)| *step) else { return Vec::new() };
    let reward = |said: &Said| {
        let whole = said.rewards.iter().find(|(name, _)| name == "reward").map(|(_, points)| *points);
        whole.unwrap_or_else(|| said.rewards.iter().map(|(_, points)| points).sum())
    };
    let latest = || all.iter().filter(|(step, _)| *step == last).map(|(_, said)| said);
    let best = latest().max_by(|a, b| reward(a).total_cmp(&reward(b)));
    let worst = latest().min_by(|a, b| reward(a).total_cmp(&reward(b)));
    let mut chosen: Vec<Said> = Vec::new();
    for said in all.first().map(|(_, said)| said).into_iter().chain(best).chain(worst) {
        if !chosen.contains(said) {
            chosen.push(said.clone());
        }
    }
    chosen
}

fn said(line: &Value) -> Option<(u64, Said)> {
    let words = |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let points = line.get("rewards").and_then(Value::as_object);
    let points = points.into_iter().flatten();
    let mut rewards: Vec<(String, f64)> =
        points.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect();
    rewards.extend(line.get("reward").and_then(Value::as_f64).map(|points| ("reward".to_owned(), points)));
    let step = line.get("step")?.as_u64()?;
    let completion = line.get("completion")?.as_str()?.to_owned();
    let occasion = format!("step {step}");
    Some((step, Said { occasion, prompt: words("prompt"), completion, gold: words("gold"), rewards }))
}

/// A right and a wrong answer of the exam.
fn examined(answers: &[Answer]) -> Vec<Said> {
    let find = |right: bool| answers.iter().find(|answer| answer.exact == right);
    let shown = |answer: &Answer| Said {
        occasion: format!("exam, {}", answer.tag(DOMAIN)),
        prompt: String::new(),
        completion: answer.said.clone(),
        gold: answer.gold.clone(),
        rewards: vec![("right".to_owned(), f64::from(u8::from(answer.exact)))],
    };
    find(true).into_iter().chain(find(false)).map(shown).collect()
}
