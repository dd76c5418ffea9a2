//! A fixed list of questions, put to any subject that answers.
//!
//! Questions come from sources of samples with a task; the last thing the user says is the question. Answers
//! are cached by everything that decides them, so that a second call asks only what is new. A picture that
//! cannot be read costs its questions and nothing else: they are tallied by subset. Held true by
//! `tests/train_evaluate.rs`.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use eosin_core::{RgbTile, Role};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::answers::{self, Answer, Baseline};
use super::baseline::Baselines;
use super::extract::{Asked, understand};
use super::table::DOMAIN;
use super::{Said, keeps_form};
use crate::checkpoint::hex;
use crate::data::{Message, Picture, Skip, Source, Tally, Task};
use crate::error::TrainError;

/// Most bytes of decoded pictures that are kept between batches.
const MAX_TILE_BYTES: usize = 256 << 20;

/// A question with what is right.
#[derive(Clone, Debug)]
pub struct Question {
    /// The sample.
    pub id: String,
    /// Its picture's group.
    pub group: String,
    /// Labels to report by; `domain` and `form` are always there.
    pub tags: BTreeMap<String, String>,
    /// All that was said, the question last.
    pub messages: Vec<Message>,
    /// The pictures, in the order of their marks.
    pub images: Vec<Picture>,
    /// What is right.
    pub task: Task,
}

/// A question with its pictures decoded.
#[derive(Clone, Debug)]
pub struct Shown<'a> {
    /// The question.
    pub question: &'a Question,
    /// Its pictures, each with a name that no other picture of this program has.
    pub pictures: Vec<(Arc<str>, Arc<RgbTile>)>,
}

/// How tokens are chosen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Decoding {
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Divides the scores; 0 takes the likeliest token always.
    pub temperature: f32,
    /// Only the likeliest tokens that together reach this probability.
    pub top_p: f32,
    /// Only this many of the likeliest tokens; 0: all.
    pub top_k: usize,
    /// One run for each seed; greedy decoding has a single run whatever stands here.
    pub seeds: Vec<u64>,
}

impl Default for Decoding {
    /// Greedy, one run, 1024 tokens: what the papers' evaluation code does.
    fn default() -> Self {
        Self { max_new_tokens: 1024, temperature: 0.0, top_p: 1.0, top_k: 0, seeds: vec![0] }
    }
}

impl Decoding {
    /// Greedy with at most so many tokens.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self { max_new_tokens, ..Self::default() }
    }

    /// The contract of PathVLM-R1's revision: five runs at temperature 0.7 and top-p 0.9.
    pub fn repeated() -> Self {
        Self { temperature: 0.7, top_p: 0.9, seeds: (42..=46).collect(), ..Self::default() }
    }

    /// Whether the likeliest token is always taken.
    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0
    }

    /// Runs.
    pub fn n_run(&self) -> usize {
        self.runs().len()
    }

    /// The seeds that are run.
    fn runs(&self) -> Vec<u64> {
        if self.is_greedy() { vec![0] } else { self.seeds.clone() }
    }
}

/// How pictures become what the vision tower takes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Side of a patch.
    pub patch_px: u32,
    /// Patches merged along one side.
    pub merge: u32,
    /// Fewest pixels of a resized picture.
    pub min_pixels: u64,
    /// Most pixels of a resized picture.
    pub max_pixels: u64,
    /// Mean of each channel.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

impl From<&eosin_model::prepare::Preprocess> for Preprocessing {
    fn from(own: &eosin_model::prepare::Preprocess) -> Self {
        Self {
            patch_px: own.patch_px,
            merge: own.merge,
            min_pixels: own.min_pixels,
            max_pixels: own.max_pixels,
            mean: own.mean,
            std: own.std,
        }
    }
}

/// All of a subject that decides its answers.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct About {
    /// A name for people.
    pub model: String,
    /// Hash of its weights.
    pub weights: String,
    /// How pictures are prepared.
    pub preprocessing: Preprocessing,
    /// The standing instruction, or the name of the style that gives it.
    pub system: String,
}

/// Whoever answers.
pub trait Subject {
    /// All of it that decides its answers.
    fn about(&self) -> About;

    /// Questions that it likes to be asked at once.
    fn n_batch(&self) -> usize;

    /// Answers questions, one answer each, in order.
    ///
    /// # Errors
    /// Failures of the model; the exam ends there, with what was answered kept in its cache.
    fn answer(
        &mut self,
        questions: &[Shown<'_>],
        decoding: &Decoding,
        seed: u64,
    ) -> Result<Vec<Said>, TrainError>;
}

/// Everything that decides the figures of an evaluation, as stored with it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Version of this program.
    pub version: String,
    /// The subject.
    #[serde(flatten)]
    pub about: About,
    /// How tokens were chosen.
    pub decoding: Decoding,
    /// Questions.
    pub n_question: usize,
    /// Hash of questions, options and right answers, and of what names their pictures.
    pub data_sha256: String,
}

/// What came of an exam.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// Everything that decides the figures.
    pub settings: Settings,
    /// The answers: run by run, each in the order of the questions.
    pub answers: Vec<Answer>,
    /// Questions that were not asked.
    pub tally: Tally,
    /// How many of these there are by subset.
    pub n_missing: BTreeMap<String, usize>,
}

/// A fixed list of questions.
#[derive(Debug, Default)]
pub struct Exam {
    questions: Vec<Question>,
    baselines: Baselines,
    /// What those score who do not look, by question: the same whoever is asked.
    guesses: OnceLock<Vec<Baseline>>,
    shelf: Mutex<Shelf>,
    tally: Tally,
    n_missing: BTreeMap<String, usize>,
}

impl Exam {
    /// Adds the questions of a source, at most `limit`, under the name of a domain. Samples without a task,
    /// and those that cannot be read, are tallied.
    pub fn add(&mut self, domain: &str, source: &dyn Source, limit: u64) {
        self.add_range(domain, source, 0..limit);
    }

    /// As [`Exam::add`], for samples of these numbers; those that the source does not have are not missed.
    pub fn add_range(&mut self, domain: &str, source: &dyn Source, range: Range<u64>) {
        self.guesses.take();
        for idx in range.start..range.end.min(source.n_sample()) {
            let sample = match source.sample(idx) {
                Ok(sample) => sample,
                Err(skip) => {
                    self.skip(domain, &skip.id, skip.reason);
                    continue;
                }
            };
            if let Err(skip) = sample.check() {
                self.skip(domain, &skip.id, skip.reason);
                continue;
            }
            let n_asked =
                sample.messages.iter().rposition(|turn| turn.role == Role::User).map(|last| last + 1);
            let (Some(task), Some(n_asked)) = (sample.task, n_asked) else {
                self.skip(domain, &sample.id, "no question with a known answer".into());
                continue;
            };
            let mut question = Question {
                id: sample.id,
                group: sample.group,
                tags: sample.tags,
                messages: sample.messages,
                images: sample.images,
                task,
            };
            question.messages.truncate(n_asked);
            question.tags.insert(DOMAIN.to_owned(), domain.to_owned());
            question
                .tags
                .entry("form".to_owned())
                .or_insert_with(|| Asked::of(&question.task).name().to_owned());
            if let Some(path) = question.images.iter().find_map(absent_file) {
                let subset = subset(&question).to_owned();
                self.skip(&subset, &question.id, format!("the picture is missing: {}", path.display()));
                continue;
            }
            self.questions.push(question);
        }
    }

    /// Lets the baselines learn from training samples, at most `limit`.
    pub fn learn(&mut self, source: &dyn Source, limit: u64) {
        self.guesses.take();
        // Decoding dominates and bears running side by side; learning keeps the order.
        let learned: Vec<_> = (0..source.n_sample().min(limit))
            .into_par_iter()
            .filter_map(|idx| {
                let sample = source.sample(idx).ok()?;
                let task = sample.task?;
                let tile = decode(sample.images.first()?).ok()?;
                let key = topic(&sample.tags, &sample.messages, &task);
                Some((sample.group, super::baseline::histogram(&tile), key, task.gold))
            })
            .collect();
        for (group, colours, key, gold) in learned {
            self.baselines.learn(&group, colours, &key, &gold);
        }
    }

    /// The questions.
    pub fn questions(&self) -> &[Question] {
        &self.questions
    }

    /// What was left out so far.
    pub fn skipped(&self) -> &[Skip] {
        &self.tally.skips
    }

    /// Hash of questions, options and right answers, and of what names their pictures.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for question in &self.questions {
            let task = &question.task;
            let row = json!([asked(question), task.gold, task.gold_letter.map(String::from), task.options]);
            hash.update(row.to_string());
            hash.update(b"\n");
        }
        hex(&hash.finalize())
    }

    /// Asks a subject everything, and scores it. Answers lie in `cache`, where one is named: those that are
    /// there already are not asked for again, new ones are added as they come. `progress` hears how many
    /// answers there are.
    ///
    /// # Errors
    /// What the subject returns; a cache that cannot be read or written.
    pub fn ask(
        &self,
        subject: &mut dyn Subject,
        decoding: &Decoding,
        cache: Option<&Path>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Outcome, TrainError> {
        let about = subject.about();
        let mut known: HashMap<String, (String, usize)> = HashMap::new();
        if let Some(path) = cache {
            let rows = answers::read(path)?;
            known.extend(rows.into_iter().map(|row| (row.key, (row.said, row.n_token))));
        }
        let mut outcome = Outcome {
            settings: Settings {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                about: about.clone(),
                decoding: decoding.clone(),
                n_question: self.questions.len(),
                data_sha256: self.sha256(),
            },
            answers: Vec::new(),
            tally: self.tally.clone(),
            n_missing: self.n_missing.clone(),
        };
        let mut n_done = 0;
        for seed in decoding.runs() {
            let keys: Vec<String> =
                self.questions.iter().map(|question| key(&about, decoding, seed, question)).collect();
            let mut said: Vec<Option<Said>> = keys
                .iter()
                .map(|key| {
                    known.get(key).map(|(text, n_token)| Said { text: text.clone(), n_token: *n_token })
                })
                .collect();
            n_done += said.iter().flatten().count();
            progress(n_done);
            // Questions of like length share a batch, so that little of it is padding.
            let mut open: Vec<usize> = (0..said.len()).filter(|idx| said[*idx].is_none()).collect();
            open.sort_by_key(|idx| (length(&self.questions[*idx]), *idx));
            for batch in open.chunks(subject.n_batch().max(1)) {
                let shown = self.shelf().show(batch.iter().map(|idx| &self.questions[*idx]));
                let (mut places, mut asked) = (Vec::new(), Vec::new());
                for (idx, shown) in batch.iter().zip(shown) {
                    match shown {
                        Ok(shown) => {
                            places.push(*idx);
                            asked.push(shown);
                        }
                        Err(reason) => {
                            let question = &self.questions[*idx];
                            *outcome.n_missing.entry(subset(question).to_owned()).or_default() += 1;
                            outcome.tally.skip(&question.id, reason);
                        }
                    }
                }
                if asked.is_empty() {
                    continue;
                }
                let texts = subject.answer(&asked, decoding, seed)?;
                if texts.len() != asked.len() {
                    return Err(TrainError::plan("the subject did not answer every question"));
                }
                let mut rows = Vec::with_capacity(texts.len());
                for (idx, text) in places.into_iter().zip(texts) {
                    rows.push(self.score(idx, seed, &keys[idx], &text));
                    said[idx] = Some(text);
                }
                if let Some(path) = cache {
                    answers::append(path, &rows)?;
                }
                n_done += rows.len();
                progress(n_done);
            }
            for (idx, said) in said.iter().enumerate() {
                if let Some(said) = said {
                    outcome.answers.push(self.score(idx, seed, &keys[idx], said));
                }
            }
        }
        // In order and once each, without what other settings left behind.
        if let Some(path) = cache {
            answers::write(path, &outcome.answers)?;
        }
        Ok(outcome)
    }

    /// What those score who do not look.
    fn guesses(&self) -> &[Baseline] {
        self.guesses.get_or_init(|| {
            let guess = |question: &Question| {
                let topic = topic(&question.tags, &question.messages, &question.task);
                let picture = question.images.first().filter(|_| !self.baselines.is_empty());
                let colours = picture.and_then(|picture| self.shelf().colours(picture));
                (topic, colours)
            };
            let seen: Vec<_> = self.questions.iter().map(guess).collect();
            let both = self.questions.par_iter().zip(seen);
            both.map(|(question, (topic, colours))| {
                self.baselines.guess(&topic, &question.task, colours.as_deref().map(Vec::as_slice))
            })
            .collect()
        })
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        // A shelf has no state that a panic could leave half done and wrong.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn score(&self, idx: usize, seed: u64, key: &str, said: &Said) -> Answer {
        let question = &self.questions[idx];
        let task = &question.task;
        let understood = understand(&said.text, task);
        Answer {
            id: question.id.clone(),
            group: question.group.clone(),
            tags: question.tags.clone(),
            seed,
            key: key.to_owned(),
            said: said.text.clone(),
            chosen: understood.chosen,
            gold: task.gold.clone(),
            exact: understood.exact,
            lenient: understood.lenient,
            in_form: keeps_form(&said.text),
            n_token: said.n_token,
            words: understood.words,
            baseline: self.guesses()[idx],
        }
    }

    pub(super) fn skip(&mut self, subset: &str, id: &str, reason: String) {
        *self.n_missing.entry(subset.to_owned()).or_default() += 1;
        self.tally.skip(id, reason);
    }
}

/// Decoded pictures and their colours, kept as long as they fit.
#[derive(Debug, Default)]
struct Shelf {
    tiles: HashMap<Arc<str>, Arc<RgbTile>>,
    n_byte: usize,
    colours: HashMap<Arc<str>, Arc<Vec<f32>>>,
}

impl Shelf {
    /// Decodes what the questions show, side by side.
    fn show<'a>(&mut self, questions: impl Iterator<Item = &'a Question>) -> Vec<Result<Shown<'a>, String>> {
        let questions: Vec<&Question> = questions.collect();
        let mut wanted: BTreeMap<Arc<str>, &Picture> = BTreeMap::new();
        for picture in questions.iter().flat_map(|question| &question.images) {
            wanted.insert(name(picture), picture);
        }
        let missing: Vec<_> = wanted.iter().filter(|(name, _)| !self.tiles.contains_key(*name)).collect();
        let fresh: Vec<(Arc<str>, Result<Arc<RgbTile>, String>)> =
            missing.into_par_iter().map(|(name, picture)| (name.clone(), decode(picture))).collect();
        let mut failed: HashMap<Arc<str>, String> = HashMap::new();
        for (name, tile) in fresh {
            match tile {
                Ok(tile) => {
                    self.n_byte += tile.pixels().len();
                    self.tiles.insert(name, tile);
                }
                Err(reason) => {
                    failed.insert(name, reason);
                }
            }
        }
        let shown = questions
            .into_iter()
            .map(|question| {
                let mut pictures = Vec::with_capacity(question.images.len());
                for picture in &question.images {
                    let name = name(picture);
                    match self.tiles.get(&name) {
                        Some(tile) => pictures.push((name, Arc::clone(tile))),
                        None => return Err(failed.get(&name).cloned().unwrap_or_default()),
                    }
                }
                Ok(Shown { question, pictures })
            })
            .collect();
        if self.n_byte > MAX_TILE_BYTES {
            self.tiles.clear();
            self.n_byte = 0;
        }
        shown
    }

    fn colours(&mut self, picture: &Picture) -> Option<Arc<Vec<f32>>> {
        let name = name(picture);
        if let Some(known) = self.colours.get(&name) {
            return Some(Arc::clone(known));
        }
        let tile = self.tiles.get(&name).cloned().or_else(|| decode(picture).ok())?;
        let colours = Arc::new(super::baseline::histogram(&tile));
        self.colours.insert(name, Arc::clone(&colours));
        Some(colours)
    }
}

/// The subset that what is missing is counted under.
fn subset(question: &Question) -> &str {
    question.tags.get("subset").or_else(|| question.tags.get(DOMAIN)).map_or("", String::as_str)
}

fn absent_file(picture: &Picture) -> Option<&Path> {
    match picture {
        Picture::File(path) | Picture::Span { path, .. } if !path.is_file() => Some(path),
        _ => None,
    }
}

/// The pixels of a picture, or why there are none.
fn decode(picture: &Picture) -> Result<Arc<RgbTile>, String> {
    picture.decode().map_err(|error| eosin_core::error_chain(&error))
}

/// A name that pictures share only where they are one.
fn name(picture: &Picture) -> Arc<str> {
    match picture {
        Picture::File(path) => format!("file {}", path.display()),
        Picture::Bytes(bytes) => format!("bytes {:p} {}", bytes.as_ptr(), bytes.len()),
        Picture::Span { path, offset, n_byte } => format!("span {offset} {n_byte} {}", path.display()),
        Picture::Phantom { seed, settings } => format!("phantom {seed} {settings:?}"),
        Picture::Tile(tile) => format!("tile {:p}", Arc::as_ptr(tile)),
    }
    .into()
}

/// What baselines know a question by: its topic where it is labelled, else its words without the options.
fn topic(tags: &BTreeMap<String, String>, messages: &[Message], task: &Task) -> String {
    if let Some(topic) = tags.get("topic").filter(|topic| *topic != "none") {
        return format!("{} {topic}", Asked::of(task).name());
    }
    let asked = messages.iter().rev().find(|turn| turn.role == Role::User).map_or("", |turn| &turn.text);
    let end =
        task.options.iter().filter_map(|option| asked.find(option.as_str())).min().unwrap_or(asked.len());
    super::words::words(&asked[..end]).join(" ")
}

/// What a question is, for hashes: all that is said and what names its pictures.
fn asked(question: &Question) -> serde_json::Value {
    let said: Vec<_> = question.messages.iter().map(|turn| json!([turn.role.name(), turn.text])).collect();
    let drawn: Vec<String> = question
        .images
        .iter()
        .map(|picture| match picture {
            // One seed drawn otherwise is another picture; files are named by their group, their hash.
            Picture::Phantom { .. } => name(picture).to_string(),
            _ => String::new(),
        })
        .collect();
    json!([question.id, question.group, drawn, said])
}

fn key(about: &About, decoding: &Decoding, seed: u64, question: &Question) -> String {
    let decoding = Decoding { seeds: vec![seed], ..decoding.clone() };
    // The name is for people; the weights decide.
    let about = About { model: String::new(), ..about.clone() };
    let all = json!([about, decoding, asked(question)]);
    hex(&Sha256::digest(all.to_string())[..12])
}

fn length(question: &Question) -> usize {
    question.messages.iter().map(|turn| turn.text.len()).sum()
}
