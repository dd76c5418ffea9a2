//! Samples to pairs: a picture cut and normalised, a caption in tokens, in an order that the seed fixes.
//!
//! A place in the run (the cursor) names one sample: each pass over the source is a permutation of its own,
//! computed and not stored, so that a resumed run goes on where it stopped and a source of millions costs
//! no list. What cannot be read leaves its place empty; the step then has one pair less. Held by
//! `tests/train_clip.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use eosin_model::clip::{ClipTokenizer, Config, Preprocess};

use super::augment::AugmentRecipe;
use crate::data::{Permutation, Sample, Skip, Source};

/// A picture with its caption, as the towers take them.
#[derive(Clone, PartialEq)]
pub struct Pair {
    /// The sample it was made of.
    pub id: String,
    /// Samples of one group show the same picture.
    pub group: String,
    /// Labels of the sample.
    pub tags: BTreeMap<String, String>,
    /// The caption in words.
    pub caption: String,
    /// `[3, image_px, image_px]`.
    pub pixels: Vec<f32>,
    /// The caption between start and end token.
    pub ids: Vec<u32>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Pixels and captions may be a patient's: never printed.
        write!(formatter, "Pair({} tokens)", self.ids.len())
    }
}

/// Makes pairs of a source's samples.
#[derive(Clone, Debug)]
pub struct PairReader {
    source: Arc<dyn Source>,
    tokenizer: ClipTokenizer,
    preprocess: Preprocess,
    image_px: u32,
    augment: AugmentRecipe,
    seed: u64,
}

impl PairReader {
    /// A reader for a model of these measures.
    pub fn new(
        source: Arc<dyn Source>,
        tokenizer: ClipTokenizer,
        preprocess: Preprocess,
        config: &Config,
        augment: AugmentRecipe,
        seed: u64,
    ) -> Self {
        Self { source, tokenizer, preprocess, image_px: config.vision.image_px as u32, augment, seed }
    }

    /// The same reader over another source.
    #[must_use]
    pub fn over(&self, source: Arc<dyn Source>) -> Self {
        Self { source, ..self.clone() }
    }

    /// Samples in the source.
    pub fn n_sample(&self) -> u64 {
        self.source.n_sample()
    }

    /// The pair at a place of the training, cut at random.
    ///
    /// # Errors
    /// [`Skip`] where the sample is no usable pair.
    pub fn train_pair(&self, cursor: u64) -> Result<Pair, Skip> {
        let n_sample = self.source.n_sample();
        if n_sample == 0 {
            return Err(Skip { id: format!("place {cursor}"), reason: "the source is empty".into() });
        }
        let (pass, place) = (cursor / n_sample, cursor % n_sample);
        let sample = self.source.sample(Permutation::new(n_sample, self.seed, pass).at(place))?;
        self.pair(&sample, Some(cursor))
    }

    /// A pair by its number in the source, cut as the session cuts pictures.
    ///
    /// # Errors
    /// As [`Self::train_pair`].
    pub fn still_pair(&self, idx: u64) -> Result<Pair, Skip> {
        self.pair(&self.source.sample(idx)?, None)
    }

    fn pair(&self, sample: &Sample, cursor: Option<u64>) -> Result<Pair, Skip> {
        let refuse = |reason: String| Skip { id: sample.id.clone(), reason };
        let [picture] = sample.images.as_slice() else {
            return Err(refuse(format!("a pair has one image, not {}", sample.images.len())));
        };
        let caption = sample.caption().map(str::trim).filter(|caption| !caption.is_empty());
        let caption = caption.ok_or_else(|| refuse("no caption".into()))?;
        let ids = self.tokenizer.encode(caption).map_err(|error| refuse(error.to_string()))?;
        let tile = picture.decode().map_err(|error| refuse(eosin_core::error_chain(&error)))?;
        let pixels = match cursor {
            Some(cursor) => {
                self.preprocess.prepare(&self.augment.apply(&tile, self.image_px, self.seed, cursor))
            }
            None => self.preprocess.prepare(&tile),
        };
        Ok(Pair {
            id: sample.id.clone(),
            group: sample.group.clone(),
            tags: sample.tags.clone(),
            caption: caption.to_owned(),
            pixels,
            ids,
        })
    }
}
