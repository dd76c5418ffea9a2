//! `Slide`: a whole slide or a plain picture behind one type.
//!
//! OpenSlide is asked first, because some of its formats look like pictures from outside (a `.mrxs` is a JPEG
//! with a folder beside it); what it does not know may be a picture. Names and endings decide nothing.
//! Held true by `tests/slides.rs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosin_core::{Level, Mpp, RgbTile, SlideInfo};

use crate::error::{OpenCause, ReadCause, SlideError};
use crate::whole::{self, Whole};
use crate::{id, picture};

/// An open slide. Reads take `&self` and may come from any thread.
pub struct Slide {
    path: PathBuf,
    info: SlideInfo,
    source: Arc<Source>,
}

enum Source {
    Whole(Whole),
    Picture(RgbTile),
}

/// Which associated images may be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exposure {
    /// Those that show tissue only.
    TissueOnly,
    /// Labels and photographs of the glass too: they show names and numbers of patients.
    PatientData,
}

impl Slide {
    /// Opens a slide or picture by its content.
    ///
    /// # Errors
    /// [`SlideError::Open`] with the reader's own words.
    pub fn open(path: &Path) -> Result<Self, SlideError> {
        let open = |source| SlideError::Open { path: path.to_path_buf(), source };
        let (source, info) = open_source(path).map_err(open)?;
        Ok(Self { path: path.to_path_buf(), info, source: Arc::new(source) })
    }

    /// States the scale of level 0 where the file does not, or states it wrongly.
    #[must_use]
    pub fn with_mpp(mut self, mpp: Mpp) -> Self {
        self.info.mpp = Some(mpp);
        self
    }

    /// The same open slide with another scale of level 0, or with none; both read through one handle.
    #[must_use]
    pub fn restated(&self, mpp: Option<Mpp>) -> Self {
        let info = SlideInfo { mpp, ..self.info.clone() };
        Self { path: self.path.clone(), info, source: Arc::clone(&self.source) }
    }

    /// What the slide says about itself, without its name.
    pub fn info(&self) -> &SlideInfo {
        &self.info
    }

    /// Everything the file states, as the reader names it, sorted by name; empty for a picture.
    ///
    /// May hold patient data (comments, file names, dates): show it only where it was asked for.
    pub fn properties(&self) -> Vec<(String, String)> {
        match self.source.as_ref() {
            Source::Whole(whole) => whole.properties(),
            Source::Picture(_) => Vec::new(),
        }
    }

    /// Reads an associated image: `thumbnail`, `label`, `macro`.
    ///
    /// # Errors
    /// [`SlideError::NoSuchImage`], [`SlideError::HiddenImage`] for one that may show patient data without
    /// [`Exposure::PatientData`], [`SlideError::Read`].
    pub fn associated(&self, name: &str, exposure: Exposure) -> Result<RgbTile, SlideError> {
        let Some(image) = self.info.associated.iter().find(|image| image.name == name) else {
            let available = self.info.associated.iter().map(|image| image.name.clone()).collect();
            return Err(SlideError::NoSuchImage { name: name.to_owned(), available });
        };
        if image.sensitive && exposure == Exposure::TissueOnly {
            return Err(SlideError::HiddenImage { name: name.to_owned() });
        }
        match self.source.as_ref() {
            Source::Whole(whole) => {
                whole.associated(name, image.size_px).map_err(|source| self.read_error(source))
            }
            Source::Picture(_) => {
                Err(SlideError::NoSuchImage { name: name.to_owned(), available: Vec::new() })
            }
        }
    }

    pub(crate) fn levels(&self) -> &[Level] {
        &self.info.levels
    }

    /// Whether the pixels of a level can be had as they are stored.
    pub(crate) fn reads_level(&self, level_idx: usize) -> bool {
        match self.source.as_ref() {
            Source::Whole(whole) => whole.reads_level(level_idx),
            Source::Picture(_) => true,
        }
    }

    /// Pixels of a level, from a corner in base pixels; white beyond the slide.
    pub(crate) fn read_source(
        &self,
        level_idx: usize,
        origin_base_px: [u32; 2],
        size_px: [u32; 2],
    ) -> Result<RgbTile, SlideError> {
        match self.source.as_ref() {
            Source::Whole(whole) => {
                whole.read(level_idx, origin_base_px, size_px).map_err(|source| self.read_error(source))
            }
            Source::Picture(tile) => Ok(crop(tile, origin_base_px, size_px)),
        }
    }

    fn read_error(&self, source: ReadCause) -> SlideError {
        // Whatever the reader says then, this is why.
        let source = if self.path.exists() { source } else { ReadCause::Gone };
        SlideError::Read { path: self.path.clone(), source }
    }
}

impl std::fmt::Debug for Slide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the path: file names carry patient names.
        write!(f, "Slide({})", self.info.id)
    }
}

fn open_source(path: &Path) -> Result<(Source, SlideInfo), OpenCause> {
    let mut file = picture::open_file(path)?;
    let picture = match Whole::open(path, &mut file)? {
        // One tile that is larger than the slide: no pyramid, and the picture reader has it right.
        Some((whole, info)) if !whole.reads_level(0) => match picture::decode(&mut file) {
            Ok(Some(picture)) => Some(picture),
            Ok(None) | Err(_) => return Ok((Source::Whole(whole), info)),
        },
        Some((whole, info)) => return Ok((Source::Whole(whole), info)),
        None => picture::decode(&mut file)?,
    };
    let Some(picture) = picture else { return Err(whole::why_unrecognised(path)) };
    let info = SlideInfo {
        id: id::hash_file(&mut file, "")?,
        format: picture.format.to_owned(),
        levels: vec![Level { size_px: picture.tile.size_px(), downsample: 1.0 }],
        mpp: picture.mpp,
        magnification: None,
        associated: Vec::new(),
    };
    Ok((Source::Picture(picture.tile), info))
}

/// A rectangle of a picture; white beyond its edges.
pub(crate) fn crop(tile: &RgbTile, origin_px: [u32; 2], size_px: [u32; 2]) -> RgbTile {
    let [width, height] = size_px.map(|side| side as usize);
    let [left, top] = origin_px.map(|side| side as usize);
    let source_width = tile.width_px() as usize;
    let mut pixels = vec![255; width * height * 3];
    let n_column = source_width.saturating_sub(left).min(width);
    let rows = tile.pixels().chunks_exact(source_width * 3).skip(top);
    if n_column > 0 {
        for (to, from) in pixels.chunks_exact_mut(width * 3).zip(rows) {
            to[..n_column * 3].copy_from_slice(&from[left * 3..(left + n_column) * 3]);
        }
    }
    RgbTile::new(size_px, pixels).expect("the buffer was made for this size, which the caller checked")
}
