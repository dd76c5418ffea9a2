//! Where a pipeline's samples come from: drawn phantoms, or files of the formats that people have.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use crate::data::Files;
use crate::data::{Source, Tally};
use crate::error::TrainError;
use crate::phantom::{Content, Domain, PhantomSource, Split};

/// A source of samples as written in a recipe: exactly one of its tables.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceRecipe {
    /// Drawn tissue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phantom: Option<PhantomRecipe>,
    /// Files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
}

/// Drawn tissue with known truth.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhantomRecipe {
    /// Range of seeds; ranges never meet.
    pub split: Split,
    /// Phantoms before they come again.
    pub count: u64,
    /// What is said about each.
    pub content: Content,
    /// How they are stained and photographed.
    pub domain: Domain,
    /// Side of the square pictures.
    pub image_px: u32,
}

impl SourceRecipe {
    pub(crate) fn check(&self, name: &str) -> Result<(), TrainError> {
        let refuse = |what: &str| Err(TrainError::plan(format!("source {name}: {what}")));
        match (&self.phantom, &self.files) {
            (Some(phantom), None) if phantom.count == 0 => refuse("phantom.count must be at least 1"),
            (Some(phantom), None) if !(28..=4096).contains(&phantom.image_px) => {
                refuse("phantom.image_px must lie in 28…4096")
            }
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => refuse("it needs exactly one of the tables `phantom` and `files`"),
        }
    }

    /// Takes relative paths as seen from `folder`.
    pub(crate) fn rebase(&mut self, folder: &Path) {
        if let Some(files) = &mut self.files {
            files.rebase(folder);
        }
    }

    /// The samples; what cannot be read is put into `tally`.
    ///
    /// # Errors
    /// Files that are not there or of no known format.
    pub fn open(&self, tally: &mut Tally) -> Result<Arc<dyn Source>, TrainError> {
        match (&self.phantom, &self.files) {
            (Some(phantom), _) => Ok(Arc::new(PhantomSource {
                split: phantom.split,
                n_sample: phantom.count,
                domain: phantom.domain,
                image_px: phantom.image_px,
                content: phantom.content,
            })),
            (None, Some(files)) => Ok(Arc::from(files.open(tally)?)),
            (None, None) => Err(TrainError::plan("a source has no table")),
        }
    }
}
