//! From a sample to what a VLM reads: pictures decoded and prepared, conversation in tokens.
//!
//! Everything that makes one sample unusable ends here as a [`Skip`]; only failures of our own pieces are
//! errors. Stages read ahead with this in other threads, so it holds no model.

use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::Qwen;

use crate::batch::{Encoded, RowEncoder};
use crate::data::{Sample, Skip, Source};
use crate::error::TrainError;
use crate::evaluate::model::Model;
use crate::evaluate::stages::look;
use crate::folder::Vlm;
use crate::metrics::Scalars;
use crate::recipe::{TuneSettings, ValidateRecipe};

/// A sample that can be trained on, or why not.
pub type Met = Result<Encoded, Skip>;

/// Turns samples into what a VLM reads.
#[derive(Clone, Debug)]
pub struct Examples {
    encoder: RowEncoder,
    preprocess: Preprocess,
    system: String,
    max_tokens: usize,
}

/// A question that waits for its answer.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The sample that asks it.
    pub sample: Sample,
    /// Its tokens, up to the opened turn of the assistant.
    pub ids: Vec<u32>,
    /// Its pictures.
    pub images: Vec<ImageTensor>,
}

impl Examples {
    /// For a model with its words.
    pub fn new(vlm: &Vlm, tune: &TuneSettings) -> Self {
        Self {
            encoder: vlm.encoder.clone(),
            preprocess: vlm.preprocess.clone(),
            system: tune.system.clone(),
            max_tokens: tune.max_tokens,
        }
    }

    /// Token that fills rows up.
    pub fn pad(&self) -> u32 {
        self.encoder.special().end_of_text
    }

    /// The tokenizer with the chat's form.
    pub fn encoder(&self) -> &RowEncoder {
        &self.encoder
    }

    /// Sample `cursor` of a source.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the tokenizer breaks.
    pub fn meet(&self, source: &dyn Source, cursor: u64) -> Result<Met, TrainError> {
        let sample = match source.sample(cursor) {
            Ok(sample) => sample,
            Err(skip) => return Ok(Err(skip)),
        };
        let images = match self.see(&sample) {
            Ok(images) => images,
            Err(skip) => return Ok(Err(skip)),
        };
        let image_tokens: Vec<usize> = images.iter().map(|image| image.grid.n_token()).collect();
        let encoded = self.encoder.encode(&sample.messages, &image_tokens, &self.system, self.max_tokens)?;
        let Some(mut encoded) = encoded else {
            let reason = format!("no answer of it fits into {} tokens", self.max_tokens);
            return Ok(Err(Skip { id: sample.id, reason }));
        };
        // Turns that did not fit may have taken their pictures with them.
        let n_token = encoded.ids.iter().filter(|id| **id == self.encoder.special().image_pad).count();
        let mut seen = 0;
        encoded.images = images
            .into_iter()
            .take_while(|image| {
                seen += image.grid.n_token();
                seen <= n_token
            })
            .collect();
        encoded.id = sample.id;
        Ok(Ok(encoded))
    }

    /// The question of sample `cursor` of a source.
    ///
    /// # Errors
    /// As [`Examples::meet`].
    pub fn prompt(&self, source: &dyn Source, cursor: u64) -> Result<Result<Prompt, Skip>, TrainError> {
        let sample = match source.sample(cursor) {
            Ok(sample) => sample,
            Err(skip) => return Ok(Err(skip)),
        };
        let images = match self.see(&sample) {
            Ok(images) => images,
            Err(skip) => return Ok(Err(skip)),
        };
        let image_tokens: Vec<usize> = images.iter().map(|image| image.grid.n_token()).collect();
        let ids = self.encoder.encode_prompt(&sample.messages, &image_tokens, &self.system)?;
        if ids.len() > self.max_tokens {
            let reason = format!("its question has {} tokens of at most {}", ids.len(), self.max_tokens);
            return Ok(Err(Skip { id: sample.id, reason }));
        }
        Ok(Ok(Prompt { sample, ids, images }))
    }

    fn see(&self, sample: &Sample) -> Result<Vec<ImageTensor>, Skip> {
        sample.check()?;
        let refuse = |reason: String| Skip { id: sample.id.clone(), reason };
        sample
            .images
            .iter()
            .map(|picture| {
                let tile = picture.decode().map_err(|error| refuse(eosin_core::error_chain(&error)))?;
                self.preprocess.prepare(&tile).map_err(|error| refuse(eosin_core::error_chain(&error)))
            })
            .collect()
    }

    /// Greedy answers to the last questions of a source's first samples.
    ///
    /// # Errors
    /// Failures of the model.
    pub fn ask(
        &self,
        model: &Qwen,
        source: &dyn Source,
        validate: &ValidateRecipe,
    ) -> Result<Scalars, TrainError> {
        if validate.answer_samples == 0 {
            return Ok(Scalars::new());
        }
        let mut model = Model::new(model, &self.encoder, &self.preprocess).instructed(&self.system);
        look(&mut model, source, validate.answer_samples as u64, validate.max_new_tokens)
    }
}
