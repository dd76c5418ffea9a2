//! What a library holds, as plain data.

use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::{Embedding, Region, RegionScale, SlideId};
use serde::{Deserialize, Serialize};

use crate::stain::Stain;

/// The model whose embeddings a library holds; those of another are refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModelId {
    /// For people: `eosin-demo-clip`.
    pub name: String,
    /// Name that its embeddings carry.
    pub hash: Arc<str>,
    /// Coordinates of an embedding.
    pub d_embed: usize,
}

/// Number of a source in its library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SourceId(pub i64);

/// Number of a file in its library.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EntryId(pub i64);

/// Number of a tile, picture or annotation in its library; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ItemId(pub i64);

/// What is made of a slide.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// Scale of the tiles; a slide that is coarser is read as it is.
    pub um_per_px: f64,
    /// Base pixels per pixel of a tile where the slide states neither scale nor objective power.
    pub downsample: f64,
    /// Side of a tile.
    pub tile_px: u32,
    /// A tile is kept from this share of tissue on.
    pub tissue_share: f32,
    /// Plain pictures up to this many pixels are one item, larger ones are cut as slides are.
    pub picture_px: u64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self { um_per_px: 0.5, downsample: 1.0, tile_px: 224, tissue_share: 0.4, picture_px: 2048 * 2048 }
    }
}

/// A place that is to be indexed.
#[derive(Clone, PartialEq, Debug)]
pub struct NewSource {
    /// A folder with all below it, or one file.
    pub path: PathBuf,
    /// What is made of its slides.
    pub recipe: Recipe,
    /// Tags of all that is found there.
    pub tags: Vec<String>,
}

/// A place that is indexed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Source {
    /// Its number.
    pub id: SourceId,
    /// A folder with all below it, or one file.
    pub path: PathBuf,
    /// What is made of its slides.
    pub recipe: Recipe,
    /// Tags of all that is found there, sorted.
    pub tags: Vec<String>,
    /// Files known of it.
    pub n_entry: u64,
    /// Tiles, pictures and annotations.
    pub n_item: u64,
}

/// How far a file is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryState {
    /// Begun, and broken off before the end.
    Partial,
    /// All of it is there.
    Done,
    /// Cannot be indexed, for a reason that is kept.
    Failed,
    /// Was there once; its items are kept and not found until it is back.
    Vanished,
}

impl EntryState {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Partial => "partial",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Vanished => "vanished",
        }
    }

    /// What a name stands for; an unknown one for something to be done again.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "done" => Self::Done,
            "failed" => Self::Failed,
            "vanished" => Self::Vanished,
            _ => Self::Partial,
        }
    }
}

/// A file of a source.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The source that it was found by.
    pub source: SourceId,
    /// Where it is.
    pub path: PathBuf,
    /// Content hash; none where it never opened.
    pub slide: Option<SlideId>,
    /// Length when it was indexed.
    pub n_byte: u64,
    /// Time of change when it was indexed, in ns since 1970.
    pub modified_ns: i64,
    /// What was to be made of it, as a hash: another one means that there is something to do.
    pub plan_hash: String,
    /// How far it is.
    pub state: EntryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// µm per base pixel, where known.
    pub base_um_per_px: Option<f64>,
    /// How it is stained: as somebody said, else a guess.
    pub stain: Stain,
    /// Whether somebody said so.
    pub stain_stated: bool,
    /// Its own tags, sorted.
    pub tags: Vec<String>,
    /// Tiles, pictures and annotations.
    pub n_item: u64,
}

/// What is known of a file when its indexing begins.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryDraft {
    /// The source that it was found by.
    pub source: SourceId,
    /// Where it is.
    pub path: PathBuf,
    /// Content hash. One that differs from the known one removes all items.
    pub slide: SlideId,
    /// µm per base pixel, where known.
    pub base_um_per_px: Option<f64>,
    /// How it seems to be stained.
    pub stain: Stain,
}

/// How the indexing of a file ended.
#[derive(Clone, PartialEq, Debug)]
pub struct EntryEnd {
    /// `Done` or `Failed`.
    pub state: EntryState,
    /// Why it failed.
    pub reason: Option<String>,
    /// Length of the file.
    pub n_byte: u64,
    /// Its time of change, in ns since 1970.
    pub modified_ns: i64,
    /// What was made of it, as a hash.
    pub plan_hash: String,
}

/// What an item is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    /// A whole picture.
    Picture,
    /// A tile of a slide.
    Tile,
    /// What somebody marked on a slide.
    Annotation,
}

impl ItemKind {
    /// As it is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Picture => "picture",
            Self::Tile => "tile",
            Self::Annotation => "annotation",
        }
    }

    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "picture" => Self::Picture,
            "annotation" => Self::Annotation,
            _ => Self::Tile,
        }
    }
}

/// Where an item is on its slide or picture.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Top-left corner in base pixels.
    pub origin_base_px: [u32; 2],
    /// Size as it is read.
    pub size_px: [u32; 2],
    /// Base pixels per pixel read.
    pub downsample: f64,
}

impl Place {
    /// The same as a region of a slide.
    pub fn region(&self, slide: &SlideId) -> Region {
        let Self { origin_base_px, size_px, downsample } = *self;
        Region { slide: slide.clone(), origin_base_px, size_px, scale: RegionScale::Downsample(downsample) }
    }
}

/// Something embedded, to be kept.
#[derive(Clone, PartialEq, Debug)]
pub struct NewItem {
    /// Says what it is of; one per file.
    pub key: String,
    /// What it is of.
    pub kind: ItemKind,
    /// Where.
    pub place: Place,
    /// Its own tags, beside those of its file and source.
    pub tags: Vec<String>,
    /// Its vector.
    pub embedding: Embedding,
}

/// What tags are put on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TagOwner {
    /// All that is found in a place.
    Source(SourceId),
    /// A slide or picture.
    Entry(EntryId),
    /// A tile or annotation.
    Item(ItemId),
}

/// Which items are looked among; empty: among all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// All of these tags.
    pub tags: Vec<String>,
    /// This stain.
    pub stain: Option<Stain>,
    /// This slide alone.
    pub slide: Option<SlideId>,
    /// Every slide but this.
    pub except_slide: Option<SlideId>,
    /// This kind alone.
    pub kind: Option<ItemKind>,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Something that was found.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Hit {
    /// Its number.
    pub item: ItemId,
    /// Exact cosine with what was asked for, −1…1.
    pub score: f32,
    /// What it is of.
    pub kind: ItemKind,
    /// The source that it came by.
    pub source: SourceId,
    /// The file that it is of.
    pub entry: EntryId,
    /// Where that file is.
    pub path: PathBuf,
    /// Content hash of the file.
    pub slide: Option<SlideId>,
    /// Where on the slide; none for a whole picture.
    pub region: Option<Region>,
    /// µm per pixel as it was seen, where known.
    pub um_per_px: Option<f64>,
    /// Tags of item, file and source, sorted.
    pub tags: Vec<String>,
    /// How it is stained: as somebody said, else a guess.
    pub stain: Stain,
    /// Whether somebody said so.
    pub stain_stated: bool,
}

/// How a library was found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// It was not there; it is empty.
    #[default]
    Fresh,
    /// All as it was left.
    Whole,
    /// The index of vectors was missing, old or damaged, and was brought up to date from the database.
    IndexRebuilt {
        /// Vectors that were added to the index.
        n_added: u64,
    },
    /// The database was damaged: what could be read is kept, the damaged file too.
    Rebuilt {
        /// The damaged file.
        backup: PathBuf,
        /// Items kept.
        n_kept: u64,
        /// Files that must be indexed again.
        n_lost: u64,
    },
}

/// What is in a library.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LibraryStatus {
    /// Where it is, without a password.
    pub place: String,
    /// Its model; none while it is empty.
    pub model: Option<ModelId>,
    /// Places.
    pub n_source: u64,
    /// Files whose indexing is complete.
    pub n_done: u64,
    /// Files whose indexing was broken off.
    pub n_partial: u64,
    /// Files that cannot be indexed.
    pub n_failed: u64,
    /// Files that are no longer there.
    pub n_vanished: u64,
    /// Tiles, pictures and annotations.
    pub n_item: u64,
    /// Number of items by tag, by name.
    pub tags: Vec<(String, u64)>,
    /// Number of files by stain, most first.
    pub stains: Vec<(Stain, u64)>,
}
