//! Training data as every stage reads it: samples of pictures and messages, from wherever they come.
//!
//! A [`Source`] gives samples by number, so that order, splits and resumption are the stage's business and
//! not the reader's. Pictures stay encoded until [`Picture::decode`] is called: a hundred thousand of them
//! cost their names, not their pixels. What cannot be used is a [`Skip`], collected in a [`Tally`], not an
//! end of the run. Formats on disk are readers in `data/`: a container gives rows (`row.rs`), `meaning.rs`
//! makes samples of them, and [`Files`] is the recipe's table that puts both together.

mod archive;
mod at;
mod detect;
mod files;
mod folder;
mod meaning;
mod order;
mod parquet;
mod picture;
mod place;
mod question;
mod row;
mod scan;
pub mod split;
mod store;
mod table;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::{RgbTile, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::hex;
use crate::phantom::{Settings, Truth};

pub use files::{Amount, Check, Files, Format, Group, Sampling};
pub(crate) use order::mix;
pub use order::{Joined, Mixture, Permutation, Repeated, Shuffled, Subset};
pub use picture::{DecodeLimits, PictureError};
pub use split::check_disjoint;
pub use store::ImageStore;

/// Marks the place of a picture in a message.
pub const IMAGE_MARK: &str = "<image>";

/// Pictures and what was said about them.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Unique within its source.
    pub id: String,
    /// Samples of one group stay in one split: the hash of the picture's content, or the phantom's seed.
    pub group: String,
    /// The conversation, oldest first; `<image>` marks stand where the pictures go, in order.
    pub messages: Vec<Message>,
    /// The pictures.
    pub images: Vec<Picture>,
    /// What a right answer to the last question is; needed for rewards and for evaluation.
    pub task: Option<Task>,
    /// Labels to report by, such as `subfield`, `tier`, `form` and `domain`.
    pub tags: BTreeMap<String, String>,
}

/// One turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
    /// Whether the loss counts it; only an assistant's turn may be.
    pub taught: bool,
}

/// A question with a known answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Task {
    /// The whole right answer, as it should stand between `<answer>` and `</answer>`.
    pub gold: String,
    /// Right option, where there are options.
    pub gold_letter: Option<char>,
    /// The options without their letters, in order; empty for other questions.
    pub options: Vec<String>,
    /// A reference of the reasoning, where one is known.
    pub reasoning: Option<String>,
    /// What the picture shows, where it was drawn.
    pub truth: Option<Arc<Truth>>,
}

/// A picture that is not decoded yet.
#[derive(Clone, Debug)]
pub enum Picture {
    /// A file.
    File(PathBuf),
    /// A file in memory, as parquet rows hold them.
    Bytes(Arc<[u8]>),
    /// Bytes inside a larger file, as in a tar.
    Span {
        /// The larger file.
        path: PathBuf,
        /// First byte.
        offset: u64,
        /// Length in bytes.
        n_byte: u64,
    },
    /// To be drawn.
    Phantom {
        /// Seed, which names the split too.
        seed: u64,
        /// How it is drawn.
        settings: Settings,
    },
    /// Pixels at hand.
    Tile(Arc<RgbTile>),
}

/// Why one sample was left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The sample, or the row or file where it should have been.
    pub id: String,
    /// Why, in words.
    pub reason: String,
}

/// What was left out, counted and listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// One entry a sample, in the order met.
    pub skips: Vec<Skip>,
}

impl Tally {
    /// Notes that a sample was left out.
    pub fn skip(&mut self, id: impl Into<String>, reason: impl Into<String>) {
        self.skips.push(Skip { id: id.into(), reason: reason.into() });
    }
}

/// Samples by number.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// How many there are.
    fn n_sample(&self) -> u64;

    /// Sample `idx`; the same each time.
    ///
    /// # Errors
    /// [`Skip`] where the sample cannot be used.
    fn sample(&self, idx: u64) -> Result<Sample, Skip>;
}

impl Message {
    /// A turn that the loss counts where the assistant speaks.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), taught: role == Role::Assistant }
    }
}

impl Sample {
    /// A picture with its caption, for contrastive training and continued pretraining.
    pub fn pair(id: impl Into<String>, group: impl Into<String>, image: Picture, caption: &str) -> Self {
        let messages = vec![Message::new(Role::User, IMAGE_MARK), Message::new(Role::Assistant, caption)];
        Self {
            id: id.into(),
            group: group.into(),
            messages,
            images: vec![image],
            task: None,
            tags: BTreeMap::new(),
        }
    }

    /// What the assistant says last: the caption of a pair.
    pub fn caption(&self) -> Option<&str> {
        self.messages.iter().rev().find(|turn| turn.role == Role::Assistant).map(|turn| turn.text.as_str())
    }

    /// Checks that marks and pictures match one to one and that there is something to say.
    ///
    /// # Errors
    /// [`Skip`] naming both numbers.
    pub fn check(&self) -> Result<(), Skip> {
        let n_mark: usize = self.messages.iter().map(|turn| turn.text.matches(IMAGE_MARK).count()).sum();
        let refuse = |reason: String| Err(Skip { id: self.id.clone(), reason });
        if n_mark != self.images.len() {
            return refuse(format!("{n_mark} image marks but {} images", self.images.len()));
        }
        if self.messages.is_empty() {
            return refuse("no messages".into());
        }
        Ok(())
    }
}

/// Hexadecimal digest of some contents, one after the other.
fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

/// One key for several: the key itself where it is alone.
fn digest_key(keys: &[split::Key]) -> split::Key {
    match keys {
        [key] => *key,
        keys => {
            let mut key = split::Key::default();
            key.copy_from_slice(&Sha256::digest(keys.concat())[..16]);
            key
        }
    }
}
