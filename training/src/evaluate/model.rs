//! Asks a model in memory many questions at once, as a pipeline does after each of its stages.
//!
//! Questions of like length are read and answered side by side through the engine's rollouts; a picture that
//! several questions are about is looked at once. What comes out is what the session says of the same weights
//! (`tests/train_evaluate.rs` asks both).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use eosin_core::PatchGrid;
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::{Pictures, Qwen, RolloutPrompt, RolloutSettings};
use rayon::prelude::*;

use super::Said;
use super::exam::{About, Decoding, Preprocessing, Shown, Subject};
use crate::batch::RowEncoder;
use crate::error::TrainError;

/// Questions that are answered side by side.
const N_BATCH: usize = 48;
/// Most numbers of vision output that are kept for later questions about the same pictures: 256 MiB.
const MAX_KEPT: usize = 64 << 20;

/// A model in memory with its words.
#[derive(Debug)]
pub struct Model<'a> {
    qwen: Qwen,
    encoder: &'a RowEncoder,
    preprocess: &'a Preprocess,
    about: About,
    /// Vision output of pictures by name.
    seen: HashMap<Arc<str>, (Tensor<2>, PatchGrid)>,
    n_kept: usize,
    n_batch: usize,
}

impl<'a> Model<'a> {
    /// A model to be asked, which may be on a device with gradients; none are kept.
    pub fn new(qwen: &Qwen, encoder: &'a RowEncoder, preprocess: &'a Preprocess) -> Self {
        let qwen = if qwen.device().is_autodiff() { qwen.valid() } else { qwen.clone() };
        let about = About { preprocessing: Preprocessing::from(preprocess), ..About::default() };
        Self { qwen, encoder, preprocess, about, seen: HashMap::new(), n_kept: 0, n_batch: N_BATCH }
    }

    /// With a name for people and the hash of its weights, without which its answers cannot be told from
    /// another model's when they are taken up again.
    #[must_use]
    pub fn named(mut self, name: &str, weights: &str) -> Self {
        name.clone_into(&mut self.about.model);
        weights.clone_into(&mut self.about.weights);
        self
    }

    /// With a standing instruction before every question.
    #[must_use]
    pub fn instructed(mut self, system: &str) -> Self {
        system.clone_into(&mut self.about.system);
        self
    }

    /// With another number of questions side by side, which bounds memory.
    #[must_use]
    pub fn in_batches(mut self, n_batch: usize) -> Self {
        self.n_batch = n_batch.max(1);
        self
    }

    /// Looks at those pictures that were not seen before.
    fn look(&mut self, questions: &[Shown<'_>]) -> Result<(), TrainError> {
        if self.n_kept > MAX_KEPT {
            self.seen.clear();
            self.n_kept = 0;
        }
        let mut fresh = BTreeMap::new();
        for (name, tile) in questions.iter().flat_map(|shown| &shown.pictures) {
            if !self.seen.contains_key(name) {
                fresh.insert(Arc::clone(name), Arc::clone(tile));
            }
        }
        let preprocess = self.preprocess;
        let images: Vec<ImageTensor> = fresh
            .par_iter()
            .map(|(_, tile)| preprocess.prepare(tile))
            .collect::<Result<_, _>>()
            .map_err(TrainError::engine("cannot prepare a picture for the model"))?;
        // As many at once as questions are: a picture of a question is no larger a burden than its tokens.
        let mut names = fresh.into_keys();
        for images in images.chunks(8) {
            let features =
                self.qwen.encode_images(images).map_err(TrainError::engine("the model cannot see"))?;
            let mut start = 0;
            for image in images {
                let n_token = image.grid.n_token();
                let own = features.clone().narrow(0, start, n_token);
                start += n_token;
                self.n_kept += own.dims().iter().product::<usize>();
                if let Some(name) = names.next() {
                    self.seen.insert(name, (own, image.grid));
                }
            }
        }
        Ok(())
    }
}

impl Subject for Model<'_> {
    fn about(&self) -> About {
        self.about.clone()
    }

    fn n_batch(&self) -> usize {
        self.n_batch
    }

    fn answer(
        &mut self,
        questions: &[Shown<'_>],
        decoding: &Decoding,
        seed: u64,
    ) -> Result<Vec<Said>, TrainError> {
        self.look(questions)?;
        let (mut pictures, mut places) = (Pictures::default(), HashMap::new());
        let mut prompts = Vec::with_capacity(questions.len());
        for shown in questions {
            let (mut own, mut image_tokens) = (Vec::new(), Vec::new());
            for (name, _) in &shown.pictures {
                let (features, grid) = &self.seen[name];
                image_tokens.push(grid.n_token());
                own.push(*places.entry(Arc::clone(name)).or_insert_with(|| {
                    pictures.push(features.clone(), *grid);
                    pictures.len() - 1
                }));
            }
            let messages = &shown.question.messages;
            let ids = self.encoder.encode_prompt(messages, &image_tokens, &self.about.system)?;
            let stream = stream(&shown.question.id);
            prompts.push(RolloutPrompt { ids, pictures: own, n_rollout: 1, stream });
        }
        let special = self.encoder.special();
        let settings = RolloutSettings {
            max_new_tokens: decoding.max_new_tokens,
            temperature: (!decoding.is_greedy()).then_some(decoding.temperature),
            top_k: decoding.top_k,
            top_p: decoding.top_p,
            seed,
            // An answer that holds a picture's placeholder could not be read again.
            banned: vec![
                special.vision_start,
                special.vision_end,
                special.vision_pad,
                special.image_pad,
                special.video_pad,
            ],
            ends: vec![special.im_end, special.end_of_text],
            max_rows: self.n_batch,
        };
        let rollouts = self
            .qwen
            .rollout(&prompts, &pictures, &settings)
            .map_err(TrainError::engine("the model cannot answer"))?;
        let said = |rollout: &eosin_model::qwen::Rollout| {
            let text = self
                .encoder
                .tokenizer()
                .decode(rollout.words(), false)
                .map_err(TrainError::engine("cannot decode an answer"))?;
            Ok(Said { text, n_token: rollout.ids.len() })
        };
        rollouts.iter().map(said).collect()
    }
}

/// Names a question's random numbers: by the question, so that its draws do not depend on its neighbours.
fn stream(id: &str) -> u64 {
    // FNV-1a.
    id.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
