//! What a CLIP is worth: retrieval and naming on held-out pairs, linear probes and search on labelled tissue,
//! beside a histogram of colours.
//!
//! The figures on tissue are computed on frozen features that are not brought to unit length, as Patho-CLIP's
//! script does; because L2 makes that unfair to features of small size, a second probe sees every column at
//! mean 0 and spread 1. Each also stands without colours, for stains alone tell much tissue apart. Wilson's
//! intervals count tiles as independent, which tiles of one slide are not: they are too narrow, and the text
//! says so. `tests/train_clip.rs` runs all of it on drawn tissue.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use eosin_core::{DeviceChoice, RgbTile};
use eosin_session::embed::{ClipBundle, Embedder};
use serde::Serialize;

use super::colours::{colours, greys, without_colours};
use super::features::Features;
use super::folder::ClipFolder;
use super::probe::{FewShot, Labelled, few_shot, linear_probe};
use super::retrieval::{LabelRetrieval, RANKS, Relevance, Retrieval, by_label, retrieval};
use super::tissue::{Division, Side, Tissue};
use super::zero_shot::{Prompts, ZeroShot, zero_shot};
use crate::data::{Source, Tally};
use crate::error::TrainError;
use crate::evaluate::Share;

/// Shots of the papers' tables.
pub const SHOTS: [usize; 6] = [2, 8, 16, 32, 64, 128];

/// Something that turns pictures and words into features of one space.
pub trait Encoder {
    /// One row a picture, of any length.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the model fails.
    fn images(&self, tiles: &[RgbTile]) -> Result<Features, TrainError>;

    /// One row a text, of any length.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the model fails or has no words.
    fn texts(&self, texts: &[String]) -> Result<Features, TrainError>;
}

/// On a device without gradients.
impl Encoder for ClipFolder {
    fn images(&self, tiles: &[RgbTile]) -> Result<Features, TrainError> {
        let device = self.model.logit_scale.val().device();
        let mut features = Features::default();
        for tiles in tiles.chunks(32) {
            features.extend(Features::of(self.model.encode_image(self.preprocess.batch(tiles, &device))));
        }
        Ok(features)
    }

    fn texts(&self, texts: &[String]) -> Result<Features, TrainError> {
        Self::texts(self, &self.model, texts)
    }
}

impl Encoder for Embedder {
    fn images(&self, tiles: &[RgbTile]) -> Result<Features, TrainError> {
        let rows =
            self.tile_features(tiles).map_err(TrainError::engine("the model cannot embed the pictures"))?;
        Ok(rows_of(&rows))
    }

    fn texts(&self, texts: &[String]) -> Result<Features, TrainError> {
        let rows = self.embed_texts(texts).map_err(TrainError::engine("the model cannot embed the texts"))?;
        Ok(rows_of(&rows.iter().map(|row| row.values().to_vec()).collect::<Vec<_>>()))
    }
}

fn rows_of(rows: &[Vec<f32>]) -> Features {
    match rows.first().map(Vec::len) {
        Some(d) if d > 0 => Features::new(d, rows.concat()),
        _ => Features::default(),
    }
}

/// All figures of one model.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct ClipReport {
    /// Version of the program.
    pub program: String,
    /// The command that makes the report again.
    pub command: String,
    /// On held-out pairs.
    pub pairs: Option<PairReport>,
    /// On labelled pictures.
    pub tissue: Option<TissueReport>,
}

/// Figures on pairs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PairReport {
    /// What the pairs are.
    pub source: String,
    /// Pairs; chance of Recall@1 is one of so many.
    pub n_pair: usize,
    /// Captions that differ.
    pub n_caption: usize,
    /// Samples that could not be read.
    pub n_skipped: usize,
    /// Only the own partner counts.
    pub strict: Retrieval,
    /// Equal captions count, too.
    pub duplicate_aware: Retrieval,
    /// Naming by words, by the tag that was named.
    pub zero_shot: Vec<(String, ZeroShot)>,
}

/// Figures on labelled pictures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TissueReport {
    /// Name of the folder.
    pub folder: String,
    /// Pictures that could be read.
    pub n_picture: usize,
    /// Files that could not.
    pub n_skipped: usize,
    /// Labels in order.
    pub labels: Vec<String>,
    /// How pictures were divided.
    pub division: Division,
    /// Pictures that were learned from.
    pub n_train: usize,
    /// Pictures that were asked about.
    pub n_test: usize,
    /// Share of the most frequent label among those asked about.
    pub majority: f64,
    /// The model and the histograms.
    pub features: Vec<FeatureReport>,
    /// Naming by words, where prompts were given.
    pub zero_shot: Option<ZeroShot>,
}

/// What one kind of features gives on labelled pictures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FeatureReport {
    /// Of what.
    pub name: String,
    /// Logistic regression on the features as they are.
    pub probe: Option<Share>,
    /// The same with every column at mean 0 and spread 1 over the training pictures.
    pub probe_standardised: Option<Share>,
    /// The label of the training picture with the nearest direction.
    pub nearest: Share,
    /// Search for pictures of the same label on the other side of the division.
    pub search: LabelRetrieval,
    /// The same over all pictures but those of the query's own slide, for labels with several slides.
    pub search_across_slides: Option<LabelRetrieval>,
    /// Probes of few shots.
    pub few_shot: Vec<FewShot>,
}

/// What is to be measured.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// Held-out pairs, and what they are.
    pub pairs: Option<(std::sync::Arc<dyn Source>, String)>,
    /// Pairs of them that are read.
    pub n_pair: u64,
    /// Tags that are named by words alone.
    pub tags: Vec<String>,
    /// Folder of labelled pictures.
    pub patches: Option<PathBuf>,
    /// Prompt file for them.
    pub prompts: Option<PathBuf>,
    /// Shots of the few-shot probes; none where empty.
    pub shots: Vec<usize>,
    /// The command that makes the report again.
    pub command: String,
}

/// Opens a bundle, or any folder or file that the session opens as a CLIP, and measures it.
///
/// # Errors
/// [`TrainError::Engine`] where it cannot be opened; as [`measure`].
pub fn measure_bundle(
    path: &Path,
    device: DeviceChoice,
    measures: &Measures,
) -> Result<ClipReport, TrainError> {
    let embedder = ClipBundle::open(path)
        .and_then(|bundle| bundle.load(device))
        .map_err(TrainError::engine("cannot open the CLIP"))?;
    measure(&embedder, measures)
}

/// Measures a model.
///
/// # Errors
/// Folders that cannot be read; failures of the model.
pub fn measure(encoder: &dyn Encoder, measures: &Measures) -> Result<ClipReport, TrainError> {
    let pairs = match &measures.pairs {
        Some((source, name)) => {
            Some(on_pairs(encoder, source.as_ref(), name, measures.n_pair, &measures.tags)?)
        }
        None => None,
    };
    let prompts = match &measures.prompts {
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(TrainError::file("read the prompts", path))?;
            let json =
                serde_json::from_str(&text).map_err(TrainError::engine("the prompt file is not JSON"))?;
            Some(Prompts::parse(&json)?)
        }
        None => None,
    };
    let tissue = match &measures.patches {
        Some(folder) => Some(on_tissue(encoder, folder, prompts.as_ref(), &measures.shots)?),
        None => None,
    };
    Ok(ClipReport {
        program: format!("eosin {}", env!("CARGO_PKG_VERSION")),
        command: measures.command.clone(),
        pairs,
        tissue,
    })
}

/// Retrieval and naming on the first pairs of a source.
///
/// # Errors
/// Failures of the model.
pub fn on_pairs(
    encoder: &dyn Encoder,
    source: &dyn Source,
    name: &str,
    n_pair: u64,
    tags: &[String],
) -> Result<PairReport, TrainError> {
    let (mut images, mut texts) = (Features::default(), Features::default());
    let mut met = Vec::new();
    let mut n_skipped = 0;
    let n_pair = n_pair.min(source.n_sample());
    let mut idx = 0;
    while idx < n_pair {
        let (mut tiles, mut captions) = (Vec::new(), Vec::new());
        while idx < n_pair && tiles.len() < 64 {
            let found = source.sample(idx).ok().and_then(|sample| {
                let [picture] = sample.images.as_slice() else { return None };
                let caption = sample.caption()?.trim().to_owned();
                Some((picture.decode().ok()?, caption, sample.group.clone(), sample.tags))
            });
            idx += 1;
            match found {
                Some((tile, caption, group, tags)) => {
                    tiles.push(RgbTile::clone(&tile));
                    captions.push(caption.clone());
                    met.push((group, caption, tags));
                }
                None => n_skipped += 1,
            }
        }
        images.extend(encoder.images(&tiles)?);
        texts.extend(encoder.texts(&captions)?);
    }
    let names: Vec<[&str; 2]> = met.iter().map(|(group, caption, _)| [group.as_str(), caption]).collect();
    let mut named = Vec::new();
    for tag in tags {
        let rows: Vec<usize> = (0..met.len()).filter(|&row| met[row].2.contains_key(tag)).collect();
        let classes: BTreeSet<&String> = rows.iter().map(|&row| &met[row].2[tag]).collect();
        if classes.len() < 2 {
            continue;
        }
        let classes: Vec<String> = classes.into_iter().cloned().collect();
        let labels: Vec<usize> =
            rows.iter().map(|&row| classes.binary_search(&met[row].2[tag]).unwrap_or(0)).collect();
        let prompts = Prompts::plain(classes.iter().cloned());
        let classifier = prompts.classifier(&encoder.texts(&prompts.sentences())?);
        named.push((tag.clone(), zero_shot(&images.select(&rows), &labels, &classifier, &classes)));
    }
    Ok(PairReport {
        source: name.to_owned(),
        n_pair: met.len(),
        n_caption: names.iter().map(|[_, caption]| caption).collect::<BTreeSet<_>>().len(),
        n_skipped,
        strict: retrieval(&images, &texts, &names, Relevance::Strict),
        duplicate_aware: retrieval(&images, &texts, &names, Relevance::DuplicateAware),
        zero_shot: named,
    })
}

/// Probes, search and naming on a folder of labelled pictures.
///
/// # Errors
/// A folder without two labels, or with nothing that can be read; failures of the model.
pub fn on_tissue(
    encoder: &dyn Encoder,
    folder: &Path,
    prompts: Option<&Prompts>,
    shots: &[usize],
) -> Result<TissueReport, TrainError> {
    let mut tissue = Tissue::list(folder)?;
    let mut tally = Tally::default();
    let tiles = tissue.load(&mut tally);
    let (division, sides) = tissue.divide();
    let on = |side: Side| (0..tiles.len()).filter(|&row| sides[row] == Some(side)).collect::<Vec<_>>();
    let (train, test) = (on(Side::Train), on(Side::Test));
    if train.is_empty() || test.is_empty() {
        return Err(TrainError::plan(format!("the folder cannot be divided: {}", folder.display())));
    }
    let grey: Vec<RgbTile> = tiles.iter().map(without_colours).collect();
    let kinds = [
        ("this model", encoder.images(&tiles)?),
        ("this model, in grey", encoder.images(&grey)?),
        ("colour histogram", colours(&tiles)),
        ("grey histogram", greys(&tiles)),
    ];
    let split = Split { tissue: &tissue, train: &train, test: &test };
    let features = kinds.iter().map(|(name, features)| split.report(name, features, shots)).collect();
    let mut counts = vec![0_usize; tissue.labels.len()];
    test.iter().for_each(|&row| counts[tissue.patches[row].label] += 1);
    let named = match prompts {
        Some(prompts) => Some(name_tissue(encoder, prompts, &tissue, &kinds[0].1)?),
        None => None,
    };
    Ok(TissueReport {
        folder: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        n_picture: tiles.len(),
        n_skipped: tally.skips.len(),
        division,
        n_train: train.len(),
        n_test: test.len(),
        majority: counts.iter().copied().max().unwrap_or(0) as f64 / test.len() as f64,
        features,
        zero_shot: named,
        labels: tissue.labels,
    })
}

/// Names pictures whose label the prompts know.
fn name_tissue(
    encoder: &dyn Encoder,
    prompts: &Prompts,
    tissue: &Tissue,
    images: &Features,
) -> Result<ZeroShot, TrainError> {
    let classes: Vec<String> = prompts.classes.iter().map(|(class, _)| class.clone()).collect();
    let known: Vec<(usize, usize)> = tissue
        .patches
        .iter()
        .enumerate()
        .filter_map(|(row, patch)| {
            Some((row, classes.iter().position(|class| *class == tissue.labels[patch.label])?))
        })
        .collect();
    if known.is_empty() {
        return Err(TrainError::plan("the prompt file knows none of the folder's labels"));
    }
    let (rows, labels): (Vec<usize>, Vec<usize>) = known.into_iter().unzip();
    let classifier = prompts.classifier(&encoder.texts(&prompts.sentences())?);
    Ok(zero_shot(&images.select(&rows), &labels, &classifier, &classes))
}

/// Labelled pictures, divided.
struct Split<'a> {
    tissue: &'a Tissue,
    train: &'a [usize],
    test: &'a [usize],
}

impl Split<'_> {
    fn report(&self, name: &str, features: &Features, shots: &[usize]) -> FeatureReport {
        let n_class = self.tissue.labels.len();
        let label = |&row: &usize| self.tissue.patches[row].label;
        let train_labels: Vec<usize> = self.train.iter().map(label).collect();
        let test_labels: Vec<usize> = self.test.iter().map(label).collect();
        let (train, test) = (features.select(self.train), features.select(self.test));
        let learn = Labelled { features: &train, labels: &train_labels };
        let ask = Labelled { features: &test, labels: &test_labels };
        let [even_train, even_test] = standardised(&train, &test);
        let probe_standardised = linear_probe(
            Labelled { features: &even_train, ..learn },
            Labelled { features: &even_test, ..ask },
            n_class,
        );
        let search = by_label((&test, &test_labels), (&train, &train_labels), |_, _| true);
        let nearest = Share::new(search.recall_at[0].n_right, search.n_query);
        FeatureReport {
            name: name.to_owned(),
            probe: linear_probe(learn, ask, n_class),
            probe_standardised,
            nearest,
            search,
            search_across_slides: self.across_slides(features),
            few_shot: shots.iter().map(|&n_shot| few_shot(learn, ask, n_class, n_shot)).collect(),
        }
    }

    /// Search from each slide of a label in the others, among everything that is not of the query's slide.
    fn across_slides(&self, features: &Features) -> Option<LabelRetrieval> {
        let patches = &self.tissue.patches;
        let several = |label: usize| {
            let slides = patches.iter().filter(|patch| patch.label == label && !patch.slide.is_empty());
            slides.map(|patch| patch.slide.as_str()).collect::<BTreeSet<_>>().len() > 1
        };
        let labels: Vec<usize> = patches.iter().map(|patch| patch.label).collect();
        let rows: Vec<usize> = (0..patches.len()).filter(|&row| several(labels[row])).collect();
        if rows.is_empty() {
            return None;
        }
        let row_labels: Vec<usize> = rows.iter().map(|&row| labels[row]).collect();
        let queries = features.select(&rows);
        Some(by_label((&queries, &row_labels), (features, &labels), |query, item| {
            patches[rows[query]].slide != patches[item].slide
        }))
    }
}

/// Both sides with the training side's columns at mean 0 and spread 1; constant columns become 0.
fn standardised(train: &Features, test: &Features) -> [Features; 2] {
    let (d, n) = (train.d(), train.n_row().max(1) as f64);
    let mean_of = |of: &dyn Fn(f64, usize) -> f64| {
        let mut sums = vec![0.0; d];
        for row in train.rows() {
            for (column, (sum, value)) in sums.iter_mut().zip(row).enumerate() {
                *sum += of(f64::from(*value), column);
            }
        }
        sums.into_iter().map(|sum| sum / n).collect::<Vec<f64>>()
    };
    let mean = mean_of(&|value, _| value);
    let spread: Vec<f64> =
        mean_of(&|value, column| (value - mean[column]).powi(2)).into_iter().map(f64::sqrt).collect();
    let even = |column: usize, value: f32| {
        if spread[column] > 1e-9 { ((f64::from(value) - mean[column]) / spread[column]) as f32 } else { 0.0 }
    };
    [train, test].map(|side| {
        let values =
            side.rows().flat_map(|row| row.iter().enumerate().map(|(column, value)| even(column, *value)));
        Features::new(d.max(1), values.collect())
    })
}

impl ClipReport {
    /// The figures as a card states them.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("Measured by\n\n    {}\n\nIntervals are Wilson's, 95 %.\n\n", self.command);
        if let Some(pairs) = &self.pairs {
            pairs.write(&mut text);
        }
        if let Some(tissue) = &self.tissue {
            tissue.write(&mut text);
        }
        text
    }
}

impl PairReport {
    fn write(&self, text: &mut String) {
        let _ = write!(
            text,
            "### Retrieval\n\n{} pairs ({} different captions) of {}. Chance of Recall@1: {:.2} %.\n\n\
| | @1 | @5 | @10 | @20 | mean |\n|---|---|---|---|---|---|\n",
            self.n_pair,
            self.n_caption,
            self.source,
            100.0 / self.n_pair.max(1) as f64,
        );
        let ways = [
            ("picture to text, equal captions count", &self.duplicate_aware.image_to_text),
            ("text to picture, equal captions count", &self.duplicate_aware.text_to_image),
            ("picture to text, own partner only", &self.strict.image_to_text),
            ("text to picture, own partner only", &self.strict.text_to_image),
        ];
        for (name, recall) in ways {
            let cells: Vec<String> = recall
                .at
                .iter()
                .map(|share| {
                    let [low, high] = share.interval_95.map(|end| end * 100.0);
                    format!("{:.1} % ({low:.1}–{high:.1})", share.share * 100.0)
                })
                .collect();
            let _ = writeln!(text, "| {name} | {} | {:.1} % |", cells.join(" | "), recall.mean * 100.0);
        }
        for (tag, found) in &self.zero_shot {
            let _ = write!(
                text,
                "\nNaming the {tag} by words alone ({} classes): {}, mean over classes {:.1} %.\n",
                found.classes.len(),
                found.accuracy.to_words(),
                found.balanced_accuracy * 100.0,
            );
        }
        text.push('\n');
    }
}

impl TissueReport {
    fn write(&self, text: &mut String) {
        let division = match self.division {
            Division::Given => "divided as the folder is",
            Division::BySlide => "no slide on both sides",
            Division::ByPlace => {
                "each slide cut in two halves with a gap between, for most labels have one slide only: the figures \
say how well a slide is recognised, not a disease"
            }
            Division::ByName => "halves by file name, nothing being known of slides",
        };
        let _ = write!(
            text,
            "### Real tissue\n\n{} pictures of {} labels (`{}`), {} to learn from and {} to ask about; {division}. Most \
frequent label: {:.1} %. Tiles of a slide are alike, so the intervals are too narrow.\n\n\
| features | linear probe | columns made even | nearest picture | precision@5 | mean average precision |\n\
|---|---|---|---|---|---|\n",
            self.n_picture,
            self.labels.len(),
            self.folder,
            self.n_train,
            self.n_test,
            self.majority * 100.0,
        );
        let words =
            |share: &Option<Share>| share.map_or_else(|| "failed".to_owned(), |share| share.to_words());
        for row in &self.features {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {:.1} % | {:.1} % |",
                row.name,
                words(&row.probe),
                words(&row.probe_standardised),
                row.nearest.to_words(),
                row.search.precision_at[1] * 100.0,
                row.search.mean_average_precision * 100.0,
            );
        }
        for row in &self.features {
            if let Some(found) = &row.search_across_slides {
                let _ = write!(
                    text,
                    "\nFrom one slide to another of the same label, {}: {} first hits right of {} (chance {:.1} %), mean \
average precision {:.1} %.\n",
                    row.name,
                    found.recall_at[0].n_right,
                    found.n_query,
                    found.chance * 100.0,
                    found.mean_average_precision * 100.0,
                );
            }
        }
        let few: Vec<&FeatureReport> = self.features.iter().filter(|row| !row.few_shot.is_empty()).collect();
        if let Some(first) = few.first() {
            let shots: Vec<String> = first.few_shot.iter().map(|row| row.n_shot.to_string()).collect();
            let _ = write!(
                text,
                "\nProbes of few shots a label, mean and spread of ten draws:\n\n| features | {} |\n|---{}|\n",
                shots.join(" | "),
                "|---".repeat(shots.len()),
            );
            for row in few {
                let cells: Vec<String> = row
                    .few_shot
                    .iter()
                    .map(|found| format!("{:.1} ± {:.1}", found.mean, found.std))
                    .collect();
                let _ = writeln!(text, "| {} | {} |", row.name, cells.join(" | "));
            }
        }
        if let Some(found) = &self.zero_shot {
            let _ = write!(text, "\nNaming by words alone: {}.\n", found.accuracy.to_words());
        }
        text.push('\n');
        let k: Vec<String> = RANKS.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "Precision and recall at {} are in `evaluation.json`.\n", k.join(", "));
    }
}
