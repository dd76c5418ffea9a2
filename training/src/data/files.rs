//! The `[data]` table of a recipe: which files, in which format, and which of their rows.
//!
//! [`Files::open`] finds the container (by ending and content), then what its rows mean (by their values),
//! reads every row once and keeps the numbers of those that can be used: a run learns before its first step
//! what it will leave out. Pictures are not read. `tests/train_data.rs` opens every format through it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::detect::{self, Found};
use super::meaning::{Reading, check_files};
use super::order::{Joined, Permutation};
use super::row::Rows;
use super::split::{By, Key, keys};
use super::{Sample, Skip, Source, Tally};
use crate::error::TrainError;

/// Rows that may fail at the start before the format is taken to be the wrong one.
const MAX_FAILED: u64 = 1000;

/// Files of training data and how they are read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// A file, a folder, or shards as `{00000..00323}.tar`.
    pub path: PathBuf,
    /// What the rows mean.
    #[serde(default)]
    pub format: Format,
    /// Entry of a `dataset_info.json`, where the folder has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Folder that the names of pictures are relative to and may not leave; that of the file unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Other names of columns: `messages`, `images`, `system`, `prompt`, `query`, `response`, `history`,
    /// `image`, `caption`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// Separator of a table; found in the heading unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// Words around a class of an image folder, with `{class}` in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Standing instructions for conversations that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// A line added to the last question, such as how to answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Further columns to report by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Only rows whose tags have one of these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keep: BTreeMap<String, Vec<String>>,
    /// Which rows: `all`, `first:N`, `end:N` or `random:N`; N may be a percentage.
    #[serde(default)]
    pub sampling: Sampling,
    /// Decides `random:N`.
    #[serde(default)]
    pub seed: u64,
    /// What makes two pictures the same, and with it the samples' groups.
    #[serde(default)]
    pub group: Group,
    /// What is looked at before the run.
    #[serde(default)]
    pub check: Check,
    /// Whether the first row that cannot be used ends the run.
    #[serde(default)]
    pub strict: bool,
}

/// What the rows of a file mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Told by the rows themselves.
    #[default]
    Auto,
    /// `conversations` of `from` and `value`, with `images`.
    Sharegpt,
    /// The same with one `image`.
    Llava,
    /// `messages` of `role` and `content`.
    Openai,
    /// `query` and `response`, `conversation` or `messages`, with `loss` and `solution`.
    Swift,
    /// `instruction`, `input`, `output`.
    Alpaca,
    /// `image`, `problem`, `solution`; or the list of such files in YAML.
    Pathvlm,
    /// `prompt`, `images`, `reward_model`.
    Verl,
    /// A table with a column of pictures and one of captions.
    Csv,
    /// Tar shards.
    Webdataset,
    /// A folder of classes.
    Imagefolder,
    /// `PathMMU`'s `data.json`.
    Pathmmu,
    /// `PathVQA`'s rows.
    Pathvqa,
    /// `OmniMedVQA`'s question files.
    Omnimedvqa,
    /// `Quilt-1M`'s table.
    Quilt,
    /// `PathGen`'s list.
    Pathgen,
    /// `ARCH`'s captions.
    Arch,
    /// Text without pictures.
    Text,
}

/// Which rows of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sampling {
    /// Every row.
    #[default]
    All,
    /// The first rows.
    First(Amount),
    /// The last rows.
    End(Amount),
    /// Some rows, by the seed, in their order.
    Random(Amount),
}

/// A number of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// So many, or all where there are fewer.
    Rows(u64),
    /// So many of a hundred, rounded up.
    Percent(u64),
}

/// What a sample's group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The hash of its pictures' content, so that one picture under two names is one.
    #[default]
    Content,
    /// The place of its first picture, which costs no reading.
    Path,
}

/// What is looked at before the run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Nothing: faults are met on the way.
    None,
    /// Every row.
    Rows,
    /// Every row, and that its pictures are there.
    #[default]
    Files,
    /// Every picture is decoded.
    Pictures,
}

impl TryFrom<String> for Sampling {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is none of all, first:N, end:N, random:N (N a number or a percentage)");
        if text == "all" {
            return Ok(Self::All);
        }
        let (kind, amount) = text.split_once(':').ok_or_else(wrong)?;
        let amount = match amount.trim().strip_suffix('%') {
            Some(percent) => {
                percent.trim().parse().ok().filter(|percent| *percent <= 100).map(Amount::Percent)
            }
            None => amount.trim().parse().ok().map(Amount::Rows),
        };
        let amount = amount.ok_or_else(wrong)?;
        match kind.trim() {
            "first" => Ok(Self::First(amount)),
            "end" => Ok(Self::End(amount)),
            "random" => Ok(Self::Random(amount)),
            _ => Err(wrong()),
        }
    }
}

impl From<Sampling> for String {
    fn from(sampling: Sampling) -> Self {
        let (kind, amount) = match sampling {
            Sampling::All => return "all".into(),
            Sampling::First(amount) => ("first", amount),
            Sampling::End(amount) => ("end", amount),
            Sampling::Random(amount) => ("random", amount),
        };
        match amount {
            Amount::Rows(n) => format!("{kind}:{n}"),
            Amount::Percent(n) => format!("{kind}:{n}%"),
        }
    }
}

impl Sampling {
    /// Reduces a list of rows.
    fn apply(self, mut rows: Vec<u64>, seed: u64) -> Vec<u64> {
        let n_row = rows.len();
        let count = |amount| match amount {
            Amount::Rows(n) => usize::try_from(n).unwrap_or(usize::MAX).min(n_row),
            Amount::Percent(percent) => (n_row * percent as usize).div_ceil(100).min(n_row),
        };
        match self {
            Self::All => rows,
            Self::First(amount) => {
                rows.truncate(count(amount));
                rows
            }
            Self::End(amount) => rows.split_off(n_row - count(amount)),
            Self::Random(amount) => {
                let order = Permutation::new(n_row as u64, seed, 0);
                let mut drawn: Vec<u64> =
                    (0..count(amount)).map(|place| rows[order.at(place as u64) as usize]).collect();
                drawn.sort_unstable();
                drawn
            }
        }
    }
}

impl Files {
    /// Files that say themselves what they are.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: Format::Auto,
            dataset: None,
            images: None,
            columns: BTreeMap::new(),
            separator: None,
            caption: None,
            system: None,
            request: None,
            tags: Vec::new(),
            keep: BTreeMap::new(),
            sampling: Sampling::All,
            seed: 0,
            group: Group::Content,
            check: Check::Files,
            strict: false,
        }
    }

    /// The same files with relative paths taken from `folder`, such as that of the recipe.
    #[must_use]
    pub fn below(&self, folder: &Path) -> Self {
        let images = self.images.as_ref().map(|images| folder.join(images));
        Self { path: folder.join(&self.path), images, ..self.clone() }
    }

    /// Takes relative paths as seen from `folder`.
    pub fn rebase(&mut self, folder: &Path) {
        *self = self.below(folder);
    }

    /// Finds the samples; what is left out goes to the tally.
    ///
    /// # Errors
    /// [`TrainError::File`] where a file cannot be read, [`TrainError::Plan`] where the format is not known
    /// or no row can be used, and for the first unusable row where `strict` asks for it.
    pub fn open(&self, tally: &mut Tally) -> Result<Box<dyn Source>, TrainError> {
        self.open_nested(tally, 0)
    }

    /// Lists of files may name lists, to a depth that no honest one needs.
    fn open_nested(&self, tally: &mut Tally, depth: usize) -> Result<Box<dyn Source>, TrainError> {
        const MAX_DEPTH: usize = 4;
        let n_before = tally.skips.len();
        match detect::find(self, tally)? {
            Found::Several(parts) if depth < MAX_DEPTH => {
                let mut sources: Vec<Arc<dyn Source>> = Vec::new();
                for part in parts {
                    sources.push(part.open_nested(tally, depth + 1)?.into());
                }
                Ok(Box::new(Joined::new(sources)))
            }
            Found::Several(_) => {
                Err(TrainError::plan(format!("lists of files name each other: {}", self.path.display())))
            }
            Found::Rows(rows, reading) => {
                self.refuse_first(tally, n_before)?;
                let picked = self.pick(rows.as_ref(), &reading, tally, n_before)?;
                Ok(Box::new(Picked::new(rows, reading, picked, self.group)))
            }
        }
    }

    fn refuse_first(&self, tally: &Tally, n_before: usize) -> Result<(), TrainError> {
        match tally.skips.get(n_before) {
            Some(Skip { id, reason }) if self.strict => {
                Err(TrainError::plan(format!("`{id}` cannot be used, and `strict` is set: {reason}")))
            }
            _ => Ok(()),
        }
    }

    /// The numbers of the rows that are asked for and can be used.
    fn pick(
        &self,
        rows: &dyn Rows,
        reading: &Reading,
        tally: &mut Tally,
        n_before: usize,
    ) -> Result<Vec<u64>, TrainError> {
        let n_row = rows.n_row();
        if self.check == Check::None && self.keep.is_empty() {
            return Ok(self.sampling.apply((0..n_row).collect(), self.seed));
        }
        let mut usable = Vec::new();
        let mut n_other = 0_u64;
        for idx in 0..n_row {
            let sample = rows.row(idx).and_then(|row| reading.sample(&rows.name(idx), &row));
            let sample = sample.and_then(|sample| self.look_at(sample));
            match sample {
                Ok(sample) if self.wants(&sample) => usable.push(idx),
                Ok(_) => n_other += 1,
                Err(skip) => {
                    tally.skips.push(skip);
                    self.refuse_first(tally, n_before)?;
                }
            }
            if idx + 1 == MAX_FAILED.min(n_row) && usable.is_empty() && n_other == 0 {
                let why = tally.skips.last().map_or("", |skip| skip.reason.as_str());
                return Err(TrainError::plan(format!(
                    "none of the first {} rows can be used; the last because: {why}: {}",
                    idx + 1,
                    self.path.display()
                )));
            }
        }
        if usable.is_empty() {
            let why =
                if n_other > 0 { "no row has the tags that `keep` asks for" } else { "there are no rows" };
            return Err(TrainError::plan(format!("{why}: {}", self.path.display())));
        }
        Ok(self.sampling.apply(usable, self.seed))
    }

    fn look_at(&self, sample: Sample) -> Result<Sample, Skip> {
        if self.check >= Check::Files {
            check_files(&sample)?;
        }
        if self.check == Check::Pictures {
            for picture in &sample.images {
                let decoded = picture.decode();
                decoded.map_err(|error| Skip {
                    id: sample.id.clone(),
                    reason: eosin_core::error_chain(&error),
                })?;
            }
        }
        Ok(sample)
    }

    fn wants(&self, sample: &Sample) -> bool {
        self.keep.iter().all(|(tag, values)| sample.tags.get(tag).is_some_and(|value| values.contains(value)))
    }
}

/// The rows that were picked, as samples.
#[derive(Debug)]
struct Picked {
    rows: Arc<dyn Rows>,
    reading: Reading,
    numbers: Vec<u64>,
    /// Hashes of contents, made when first asked for; empty where groups are paths.
    groups: Box<[OnceLock<Key>]>,
}

impl Picked {
    fn new(rows: Arc<dyn Rows>, reading: Reading, picked: Vec<u64>, group: Group) -> Self {
        let n_group = if group == Group::Content { picked.len() } else { 0 };
        let groups = (0..n_group).map(|_| OnceLock::new()).collect();
        Self { rows, reading, numbers: picked, groups }
    }
}

impl Source for Picked {
    fn n_sample(&self) -> u64 {
        self.numbers.len() as u64
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let missing = || Skip { id: format!("sample {idx}"), reason: "no such sample".into() };
        let row = *self.numbers.get(idx as usize).ok_or_else(missing)?;
        let mut sample = self.reading.sample(&self.rows.name(row), &self.rows.row(row)?)?;
        if let Some(group) = self.groups.get(idx as usize)
            && !sample.images.is_empty()
        {
            let key = if let Some(key) = group.get() {
                *key
            } else {
                let keys = keys(&sample, By::Content)?;
                let key = super::digest_key(&keys);
                *group.get_or_init(|| key)
            };
            sample.group = crate::checkpoint::hex(&key);
        }
        Ok(sample)
    }
}
