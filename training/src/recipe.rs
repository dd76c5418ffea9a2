//! What a training run was asked to do: one TOML file for a whole pipeline of stages.
//!
//! Unknown keys are refused, so a misspelt one cannot silently train something else. [`Recipe::resolve`]
//! checks the values against each other and gives a [`Plan`], the only thing that the stages read; each
//! stage's part of it ([`StagePlan`]) is kept in the stage's folder, with every default spelt out, and a
//! checkpoint belongs to exactly one. `tests/train_pipeline.rs` proves the refusals.

mod model;
mod source;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clip::ClipModelRecipe;
use crate::error::TrainError;

pub use model::{ModelRecipe, SpecialIds, TextRecipe, VisionRecipe};
pub use source::{Files, PhantomRecipe, SourceRecipe};
pub use stage::{
    CheckpointRecipe, Curve, Keep, Kind, LoraRecipe, OptimRecipe, Part, Share, Stage, TuneSettings,
    ValidateRecipe,
};

/// A pipeline as written by a person.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this format: 2.
    pub schema: u32,
    /// Name of the run and of the models that come out.
    pub name: String,
    /// Seed of the weights, of the order and of every choice.
    pub seed: u64,
    /// Whether the first sample that cannot be used ends the run; otherwise it is left out, counted and listed.
    #[serde(default)]
    pub strict: bool,
    /// The words of a VLM that is trained from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerRecipe>,
    /// Sizes of a VLM that is trained from nothing, and how it sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecipe>,
    /// Sizes and words of a CLIP model that is trained from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipModelRecipe>,
    /// Pictures as the VLM sees them.
    #[serde(default)]
    pub image: ImageRecipe,
    /// Where samples come from, by the names that stages use.
    pub sources: BTreeMap<String, SourceRecipe>,
    /// The stages, in the order in which they run.
    #[serde(rename = "stage")]
    pub stages: Vec<Stage>,
    /// The questions that every finished VLM stage is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exam: Option<ExamRecipe>,
    /// What `--fast` sets: keys and values as `--set` takes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fast: Vec<String>,
}

/// A byte-level BPE vocabulary, trained on the words of the phantoms.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Tokens, special ones included.
    pub vocabulary: usize,
    /// Phantoms whose words it is trained on.
    pub phantoms: u64,
}

/// Bounds of the pictures' areas.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageRecipe {
    /// Fewest pixels; smaller pictures are enlarged.
    pub min_pixels: u64,
    /// Most pixels; larger pictures are made smaller.
    pub max_pixels: u64,
}

impl Default for ImageRecipe {
    fn default() -> Self {
        Self { min_pixels: 3136, max_pixels: 589_824 }
    }
}

/// The questions that every finished VLM stage is asked.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamRecipe {
    /// Sources under `[sources]`, by the name of the table's column.
    pub sources: BTreeMap<String, String>,
    /// Samples of each that are asked.
    pub samples: u64,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Pairs of stages that are compared on the same questions.
    #[serde(default)]
    pub compare: Vec<[String; 2]>,
    /// Source under `[sources]` that the baselines learn from; with none, the table has chance alone.
    #[serde(default)]
    pub baseline: String,
    /// Samples of it.
    #[serde(default)]
    pub baseline_samples: u64,
}

/// A recipe that was checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The checked values.
    pub recipe: Recipe,
}

/// What one stage does, complete: all that its result depends on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePlan {
    /// Version of the program that made the plan.
    pub program: String,
    /// Seed of the pipeline.
    pub seed: u64,
    /// Whether a sample that cannot be used ends the run.
    pub strict: bool,
    /// Hash of the weights and words that the stage starts from; empty for `init`.
    pub parent_sha256: String,
    /// Pictures as the VLM sees them.
    pub image: ImageRecipe,
    /// The stage.
    pub stage: Stage,
    /// Its sources and those of its looks at validation data.
    pub sources: BTreeMap<String, SourceRecipe>,
    /// The words, where the stage belongs to a VLM that began with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerRecipe>,
    /// Sizes of the VLM, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRecipe>,
    /// Sizes and words of the CLIP model, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipModelRecipe>,
}

impl Recipe {
    /// Reads a recipe and applies `key=value` settings (`stage.sft.optim.lr=1e-3`) to it; `fast` applies the
    /// recipe's own list for a quick run first.
    ///
    /// # Errors
    /// [`TrainError::Recipe`] and [`TrainError::Setting`] with the key that no recipe has.
    pub fn read(path: &Path, pace: Pace, settings: &[String]) -> Result<Self, TrainError> {
        let text = std::fs::read_to_string(path).map_err(TrainError::file("read the recipe", path))?;
        let mut recipe = Self::parse(&text, pace, settings).map_err(|error| match error {
            TrainError::Recipe { what, .. } => TrainError::Recipe { what, path: path.to_owned() },
            other => other,
        })?;
        // Files are named as seen from the recipe.
        // Absolute, because the run's folder keeps the recipe and a resumed run may be started from elsewhere.
        let whole = std::path::absolute(path).map_err(TrainError::file("find", path))?;
        let folder = whole.parent().unwrap_or(Path::new("")).to_owned();
        for source in recipe.sources.values_mut() {
            source.rebase(&folder);
        }
        Ok(recipe)
    }

    /// [`Recipe::read`] from text in memory.
    ///
    /// # Errors
    /// As [`Recipe::read`].
    pub fn parse(text: &str, pace: Pace, settings: &[String]) -> Result<Self, TrainError> {
        let refuse = |error: toml::de::Error| TrainError::Recipe {
            what: said(&error, text),
            path: PathBuf::from("recipe"),
        };
        let mut table: toml::Table = text.parse().map_err(refuse)?;
        // The file itself first, so that a bad `--set` is not blamed on it or the other way round.
        let mut recipe: Self = toml::from_str(text).map_err(refuse)?;
        let quick = if pace == Pace::Fast { recipe.fast.clone() } else { Vec::new() };
        for setting in quick.iter().chain(settings) {
            apply(&mut table, setting)?;
            recipe = table.clone().try_into().map_err(|error: toml::de::Error| TrainError::Setting {
                setting: setting.clone(),
                what: error.message().lines().next().unwrap_or("wrong value").to_owned(),
            })?;
        }
        Ok(recipe)
    }

    /// Checks the values against each other.
    ///
    /// # Errors
    /// [`TrainError::Plan`] with the first contradiction.
    pub fn resolve(self) -> Result<Plan, TrainError> {
        let refuse = |what: String| Err(TrainError::Plan { what });
        if self.schema != 2 {
            return refuse(format!(
                "schema {} is not known to this version, which reads schema 2",
                self.schema
            ));
        }
        if self.stages.is_empty() {
            return refuse("it has no [[stage]]".into());
        }
        if self.image.min_pixels > self.image.max_pixels || self.image.max_pixels > 1 << 26 {
            return refuse("image.min_pixels and image.max_pixels exclude each other".into());
        }
        if let Some(model) = &self.model {
            model.check()?;
        }
        for (name, source) in &self.sources {
            source.check(name)?;
        }
        for (idx, stage) in self.stages.iter().enumerate() {
            stage.check(&self.stages[..idx])?;
            let missing = |name: &&String| !name.is_empty() && !self.sources.contains_key(*name);
            let mut names = stage.data.iter().map(|share| &share.source);
            if let Some(name) = names.find(missing).or(Some(&stage.validate.source).filter(missing)) {
                return refuse(format!("stage {}: there is no source `{name}`", stage.name));
            }
            if stage.from == "init" {
                let has = match stage.kind {
                    Kind::Clip => self.clip.is_some(),
                    _ => self.model.is_some() && self.tokenizer.is_some(),
                };
                if !has {
                    let tables = if stage.kind == Kind::Clip { "[clip]" } else { "[model] and [tokenizer]" };
                    return refuse(format!("stage {} starts from nothing, which needs {tables}", stage.name));
                }
            }
            // A picture must never be cut: the longest that can come has to fit with room for words.
            let (tune, most) = (stage.tune(), self.image.max_pixels / 784);
            if stage.kind != Kind::Clip && most + 16 > tune.max_tokens as u64 {
                return refuse(format!(
                    "stage {}: a picture may take {most} tokens (image.max_pixels), which tune.max_tokens = {} \
                     cannot hold",
                    stage.name, tune.max_tokens
                ));
            }
        }
        if let Some(exam) = &self.exam {
            let baseline = Some(&exam.baseline).filter(|name| !name.is_empty());
            if let Some(name) =
                exam.sources.values().chain(baseline).find(|name| !self.sources.contains_key(*name))
            {
                return refuse(format!("exam: there is no source `{name}`"));
            }
            let known = |name: &String| self.stages.iter().any(|stage| stage.name == *name);
            if let Some(name) = exam.compare.iter().flatten().find(|name| !known(name)) {
                return refuse(format!("exam.compare: there is no stage `{name}`"));
            }
        }
        Ok(Plan { recipe: self })
    }
}

/// Whether a pipeline runs as written or in minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As written.
    Full,
    /// With the recipe's own `fast` settings: every stage, hardly any steps.
    Fast,
}

impl Plan {
    /// The stage of a name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.recipe.stages.iter().find(|stage| stage.name == name)
    }

    /// All that the result of a stage depends on, its parent named by hash.
    pub fn stage_plan(&self, stage: &Stage, parent_sha256: &str) -> StagePlan {
        let recipe = &self.recipe;
        let used = |name: &String| {
            stage.data.iter().any(|share| share.source == *name) || stage.validate.source == *name
        };
        let is_clip = stage.kind == Kind::Clip;
        StagePlan {
            program: format!("eosin {}", env!("CARGO_PKG_VERSION")),
            seed: recipe.seed,
            strict: recipe.strict,
            parent_sha256: parent_sha256.to_owned(),
            image: recipe.image.clone(),
            stage: stage.clone(),
            sources: recipe
                .sources
                .iter()
                .filter(|(name, _)| used(name))
                .map(|(name, source)| (name.clone(), source.clone()))
                .collect(),
            tokenizer: recipe.tokenizer.clone().filter(|_| !is_clip),
            model: recipe.model.clone().filter(|_| !is_clip),
            clip: recipe.clip.clone().filter(|_| is_clip),
        }
    }
}

impl StagePlan {
    /// The plan as TOML, for the stage's folder.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, TrainError> {
        toml::to_string_pretty(self).map_err(|error| TrainError::plan(error.to_string()))
    }
}

/// A parser's complaint with its line, on one line.
fn said(error: &toml::de::Error, text: &str) -> String {
    let what = error.message().lines().next().unwrap_or("not TOML");
    match error.span() {
        Some(span) => {
            let line = text[..span.start.min(text.len())].matches('\n').count() + 1;
            format!("{what} (line {line})")
        }
        None => what.to_owned(),
    }
}

/// Sets `a.b.c=value`; the value is TOML, or text where it is not. In a list of tables the entry is the one of
/// that `name`: `stage.sft.optim.lr=1e-3`. Tables and keys that have defaults may be absent; a key that no
/// recipe has is refused when the whole is read again.
fn apply(table: &mut toml::Table, setting: &str) -> Result<(), TrainError> {
    let refuse = |what: &str| TrainError::Setting { setting: setting.to_owned(), what: what.to_owned() };
    let (key, value) = setting.split_once('=').ok_or_else(|| refuse("it is not key=value"))?;
    let value: toml::Value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (path, last) = key.trim().rsplit_once('.').unwrap_or(("", key.trim()));
    let mut place = table;
    let mut names = path.split('.').filter(|name| !name.is_empty());
    while let Some(name) = names.next() {
        let next = place.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        place = match next {
            toml::Value::Table(table) => table,
            toml::Value::Array(list) => {
                let entry = names.next().ok_or_else(|| refuse("name the entry of the list"))?;
                let own =
                    |item: &&mut toml::Value| item.get("name").and_then(toml::Value::as_str) == Some(entry);
                list.iter_mut()
                    .find(own)
                    .and_then(toml::Value::as_table_mut)
                    .ok_or_else(|| refuse("the list has no entry of that name"))?
            }
            _ => return Err(refuse("the recipe has no such key")),
        };
    }
    // `optim.lr=1` is meant as 1.0.
    let value = match (place.get(last), value) {
        (Some(toml::Value::Float(_)), toml::Value::Integer(whole)) => toml::Value::Float(whole as f64),
        (_, value) => value,
    };
    place.insert(last.to_owned(), value);
    Ok(())
}
