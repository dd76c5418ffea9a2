//! Conversations into tokens and batches: marks of pictures, loss mask, padding and packing, in this one place.
//!
//! Rows are padded on the right, where a causal decoder cannot look, so padding changes nothing. Packed rows
//! hold several samples, each a segment that sees itself alone and whose positions start anew. The loss counts
//! what the assistant says, its end mark included, and nothing else. A picture's tokens are never cut: a
//! sample that is too long loses whole turns from its end, or is left out. `tests/stages.rs` holds all of this.

use eosin_core::Role;
use eosin_model::prepare::ImageTensor;
use eosin_model::qwen::TrainBatch;
use tokenizers::Tokenizer;

use crate::data::{IMAGE_MARK, Message};
use crate::error::TrainError;
use crate::recipe::SpecialIds;

/// A sample in tokens, with its pictures as the model takes them.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The sample's name.
    pub id: String,
    /// The tokens, the pictures' placeholders included.
    pub ids: Vec<u32>,
    /// Whether the loss counts the token at this place, as something to be predicted.
    pub taught: Vec<bool>,
    /// The pictures, in reading order.
    pub images: Vec<ImageTensor>,
}

/// Turns messages into tokens as the chat template does (`ChatML` with Qwen2.5-VL's picture marks).
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

    /// Tokens of a conversation whose pictures take `image_tokens`; whole turns are left off from the end
    /// until it has at most `max_tokens`. Nothing comes back where no taught turn fits.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the tokenizer refuses the text.
    pub fn encode(
        &self,
        messages: &[Message],
        image_tokens: &[usize],
        system: &str,
        max_tokens: usize,
    ) -> Result<Option<Encoded>, TrainError> {
        let mut row = self.open(messages, system)?;
        let (mut fits, mut next_image) = (None, 0);
        for message in messages {
            next_image += self.turn(&mut row, message, image_tokens.get(next_image..).unwrap_or_default())?;
            if row.ids.len() > max_tokens {
                break;
            }
            if message.taught {
                fits = Some(row.ids.len());
            }
        }
        Ok(fits.map(|n_token| {
            row.ids.truncate(n_token);
            row.taught.truncate(n_token);
            row
        }))
    }

    /// Tokens of a conversation that waits for its next answer: everything up to the last question, and the
    /// opened turn of the assistant.
    ///
    /// # Errors
    /// As [`RowEncoder::encode`].
    pub fn encode_prompt(
        &self,
        messages: &[Message],
        image_tokens: &[usize],
        system: &str,
    ) -> Result<Vec<u32>, TrainError> {
        let n_asked = messages.iter().rposition(|turn| turn.role == Role::User).map_or(0, |idx| idx + 1);
        let mut row = self.open(messages, system)?;
        let mut next_image = 0;
        for message in &messages[..n_asked] {
            next_image += self.turn(&mut row, message, image_tokens.get(next_image..).unwrap_or_default())?;
        }
        row.push(&[self.special.im_start], false);
        row.push(&self.words("assistant\n")?, false);
        Ok(row.ids)
    }

    /// Text of tokens, the special ones left out.
    ///
    /// # Errors
    /// [`TrainError::Engine`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TrainError> {
        self.tokenizer.decode(ids, true).map_err(TrainError::engine("cannot decode an answer"))
    }

    /// A row with its standing instruction.
    fn open(&self, messages: &[Message], system: &str) -> Result<Encoded, TrainError> {
        let mut row = Encoded::default();
        if !system.is_empty() && messages.first().is_none_or(|first| first.role != Role::System) {
            self.turn(&mut row, &Message::new(Role::System, system), &[])?;
        }
        Ok(row)
    }

    /// Adds a turn and says how many pictures it took.
    fn turn(&self, row: &mut Encoded, message: &Message, images: &[usize]) -> Result<usize, TrainError> {
        row.push(&[self.special.im_start], false);
        row.push(&self.words(&format!("{}\n", message.role.name()))?, false);
        let mut n_image = 0;
        for (idx, text) in message.text.split(IMAGE_MARK).enumerate() {
            if idx > 0 {
                let n_token = images.get(n_image).copied().unwrap_or(0);
                row.push(&[self.special.vision_start], false);
                row.push(&vec![self.special.image_pad; n_token], false);
                row.push(&[self.special.vision_end], false);
                n_image += 1;
            }
            if !text.is_empty() {
                row.push(&self.words(text)?, message.taught);
            }
        }
        row.push(&[self.special.im_end], message.taught);
        row.push(&self.newline, false);
        Ok(n_image)
    }

    fn words(&self, text: &str) -> Result<Vec<u32>, TrainError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(TrainError::engine("the tokenizer refuses the text"))?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl Encoded {
    fn push(&mut self, ids: &[u32], taught: bool) {
        self.ids.extend_from_slice(ids);
        self.taught.resize(self.ids.len(), taught);
    }

    /// Tokens that the loss counts; the first of a row has nothing to be predicted from.
    pub fn n_taught(&self) -> usize {
        self.taught.iter().skip(1).filter(|taught| **taught).count()
    }
}

/// How samples share rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Each has its own, padded to the longest.
    Padded,
    /// As many as fit into so many tokens, each seeing itself alone.
    Packed {
        /// Most tokens of a row.
        max_tokens: usize,
    },
}

/// Joins samples into a batch; at least one.
///
/// # Panics
/// Where there is none.
pub fn collate(samples: &[Encoded], layout: Layout, pad: u32) -> TrainBatch {
    assert!(!samples.is_empty(), "a batch has samples");
    let rows: Vec<Vec<&Encoded>> = match layout {
        Layout::Padded => samples.iter().map(|sample| vec![sample]).collect(),
        Layout::Packed { max_tokens } => pack(samples, max_tokens),
    };
    let length = |row: &Vec<&Encoded>| row.iter().map(|sample| sample.ids.len()).sum::<usize>();
    let n_column = rows.iter().map(length).max().unwrap_or(0);
    let mut batch = TrainBatch::default();
    let mut segments = Vec::with_capacity(rows.len());
    for row in &rows {
        let (mut ids, mut taught, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, sample) in row.iter().enumerate() {
            ids.extend_from_slice(&sample.ids);
            let start = taught.len();
            taught.extend_from_slice(&sample.taught);
            // What stands before a segment belongs to another sample and predicts nothing of this one.
            taught[start] = false;
            own.resize(ids.len(), segment as u32);
            batch.images.extend(sample.images.iter().cloned());
        }
        ids.resize(n_column, pad);
        taught.resize(n_column, false);
        own.resize(n_column, row.len() as u32);
        batch.ids.push(ids);
        batch.taught.push(taught);
        segments.push(own);
    }
    batch.segments = (layout != Layout::Padded).then_some(segments);
    batch
}

/// First fit, in order: long enough rows, and the same each time.
fn pack(samples: &[Encoded], max_tokens: usize) -> Vec<Vec<&Encoded>> {
    let mut rows: Vec<(usize, Vec<&Encoded>)> = Vec::new();
    for sample in samples {
        let n_token = sample.ids.len();
        match rows.iter_mut().find(|(used, _)| used + n_token <= max_tokens) {
            Some((used, row)) => {
                *used += n_token;
                row.push(sample);
            }
            None => rows.push((n_token, vec![sample])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}
