//! Conversations into tensors: padding and loss mask, in this one place.
//!
//! A row is one conversation about one picture; rows of the same picture share its vision output but do
//! not see each other. Rows are padded on the right, where a causal decoder cannot look, so no mask is
//! needed and padding changes nothing (`tests/stages.rs` holds that). The loss counts what the assistant
//! says, its end mark included, and nothing else.

use eosin_core::PatchGrid;
use tokenizers::Tokenizer;

use crate::error::TrainError;
use crate::recipe::SpecialIds;

/// One conversation: an optional instruction, then questions and answers. The picture opens the first
/// question.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// What the system turn says; no system turn where empty.
    pub system: String,
    /// Questions and answers.
    pub turns: Vec<[String; 2]>,
}

/// A row in tokens.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EncodedRow {
    /// The tokens, the picture's placeholders included.
    pub ids: Vec<u32>,
    /// Whether the loss counts the token at this place, as something to be predicted.
    pub counts: Vec<bool>,
}

/// Turns rows into tokens as the chat template does (`ChatML`, SPEC 10.5).
#[derive(Clone, Debug)]
pub struct RowEncoder {
    tokenizer: Tokenizer,
    special: SpecialIds,
    newline: Vec<u32>,
}

impl RowEncoder {
    /// An encoder over a tokenizer that has Qwen's special tokens.
    ///
    /// # Errors
    /// [`TrainError::Plan`] naming the special token that lacks.
    pub fn new(tokenizer: Tokenizer) -> Result<Self, TrainError> {
        let special = SpecialIds::find(&tokenizer)?;
        let mut encoder = Self { tokenizer, special, newline: Vec::new() };
        encoder.newline = encoder.words("\n")?;
        Ok(encoder)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Ids of the special tokens.
    pub fn special(&self) -> &SpecialIds {
        &self.special
    }

    /// Tokens of a row with a picture of `n_image_token` tokens; whole turns are left off from the end until
    /// it has at most `max_tokens`. An empty row comes back where not even the first turn fits.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the tokenizer refuses the text.
    pub fn encode(
        &self,
        row: &Row,
        n_image_token: usize,
        max_tokens: usize,
    ) -> Result<EncodedRow, TrainError> {
        let mut encoded = EncodedRow::default();
        if !row.system.is_empty() {
            self.open(&mut encoded, &format!("system\n{}", row.system))?;
            self.close(&mut encoded, false);
        }
        for (idx, [question, answer]) in row.turns.iter().enumerate() {
            let before = encoded.clone();
            if idx == 0 {
                self.open(&mut encoded, "user\n")?;
                encoded.push(&[self.special.vision_start], false);
                encoded.push(&vec![self.special.image_pad; n_image_token], false);
                encoded.push(&[self.special.vision_end], false);
                encoded.push(&self.words(question)?, false);
            } else {
                self.open(&mut encoded, &format!("user\n{question}"))?;
            }
            self.close(&mut encoded, false);
            self.open(&mut encoded, "assistant\n")?;
            encoded.push(&self.words(answer)?, true);
            self.close(&mut encoded, true);
            if encoded.ids.len() > max_tokens {
                return Ok(if idx == 0 { EncodedRow::default() } else { before });
            }
        }
        Ok(encoded)
    }

    /// Tokens of a question that waits for its answer.
    ///
    /// # Errors
    /// As [`RowEncoder::encode`].
    pub fn encode_question(&self, question: &str, n_image_token: usize) -> Result<Vec<u32>, TrainError> {
        let row = Row { system: String::new(), turns: vec![[question.to_owned(), String::new()]] };
        let mut ids = self.encode(&row, n_image_token, usize::MAX)?.ids;
        // Without the end mark and its line break the assistant's turn is open.
        ids.truncate(ids.len() - 1 - self.newline.len());
        Ok(ids)
    }

    fn open(&self, row: &mut EncodedRow, text: &str) -> Result<(), TrainError> {
        row.push(&[self.special.im_start], false);
        row.push(&self.words(text)?, false);
        Ok(())
    }

    fn close(&self, row: &mut EncodedRow, counts: bool) {
        row.push(&[self.special.im_end], counts);
        row.push(&self.newline, false);
    }

    fn words(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(TrainError::engine("the tokenizer refuses the text"))?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl EncodedRow {
    fn push(&mut self, ids: &[u32], counts: bool) {
        self.ids.extend_from_slice(ids);
        self.counts.resize(self.ids.len(), counts);
    }
}

/// A picture and its rows, ready for the model.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Seed of the phantom.
    pub seed: u64,
    /// Patches, `[p, d_patch]` flattened.
    pub patches: Vec<f32>,
    /// How the patches lie.
    pub grid: PatchGrid,
    /// The conversations.
    pub rows: Vec<EncodedRow>,
}

/// Several pictures of one size with all their rows.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Patches of all pictures, `[n_image × p, d_patch]` flattened.
    pub patches: Vec<f32>,
    /// How the patches of each picture lie.
    pub grid: PatchGrid,
    /// Pictures.
    pub n_image: usize,
    /// For each row its picture.
    pub row_image: Vec<usize>,
    /// Tokens, `[b, t]` flattened, padded on the right with `pad`.
    pub ids: Vec<u32>,
    /// Length of every row after padding.
    pub n_column: usize,
    /// Unpadded length of each row.
    pub row_len: Vec<usize>,
    /// Flat places `b × t` whose output predicts a token that counts.
    pub predictors: Vec<u32>,
    /// The token that each of [`Batch::predictors`] should predict.
    pub targets: Vec<u32>,
    /// Seed of the first picture.
    pub first_seed: u64,
}

impl Batch {
    /// Joins samples, which must be pictures of one size with at least one row each.
    pub fn new(samples: &[Sample], pad: u32) -> Self {
        let n_column =
            samples.iter().flat_map(|sample| &sample.rows).map(|row| row.ids.len()).max().unwrap_or(0);
        let mut batch = Self {
            patches: samples.iter().flat_map(|sample| &sample.patches).copied().collect(),
            grid: samples[0].grid,
            n_image: samples.len(),
            row_image: Vec::new(),
            ids: Vec::new(),
            n_column,
            row_len: Vec::new(),
            predictors: Vec::new(),
            targets: Vec::new(),
            first_seed: samples[0].seed,
        };
        for (image_idx, sample) in samples.iter().enumerate() {
            assert_eq!(sample.grid, batch.grid, "pictures of one batch have one size");
            for row in &sample.rows {
                let start = batch.ids.len();
                batch.row_image.push(image_idx);
                batch.row_len.push(row.ids.len());
                batch.ids.extend_from_slice(&row.ids);
                batch.ids.resize(start + n_column, pad);
                for idx in (1..row.ids.len()).filter(|idx| row.counts[*idx]) {
                    batch.predictors.push((start + idx - 1) as u32);
                    batch.targets.push(row.ids[idx]);
                }
            }
        }
        batch
    }

    /// Rows.
    pub fn n_row(&self) -> usize {
        self.row_image.len()
    }

    /// Tokens without padding.
    pub fn n_token(&self) -> usize {
        self.row_len.iter().sum()
    }
}
