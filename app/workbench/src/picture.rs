//! The pictures of a question: a view, a region, a whole slide or a file → exactly the pixels that a model sees.
//!
//! A picture is read at the resolution that the model takes, so that what is shown before a question is sent, what
//! the case book keeps and what was answered about are one and the same. Held true by the tests of `chat` and by
//! `tests/window.rs`.

use std::path::PathBuf;
use std::sync::Arc;

use eosin_core::{Region, RegionScale, RgbTile};
use eosin_session::ModelInfo;
use eosin_slide::load_picture;

use crate::encode::encode_jpeg;
use crate::error::WorkbenchError;
use crate::registry::SlideKey;
use crate::view::ViewRect;
use crate::workbench::Workbench;

/// Pixels beyond which nothing is read, whatever the model could take: 1280 tokens of 28 × 28 px.
pub const MOST_PIXELS: u64 = 1280 * 28 * 28;
/// Pixels of each tile of a whole slide: 256 tokens, the size that field images are published in.
const TILE_PIXELS: u64 = 448 * 448;
/// Pictures of one question at most.
pub const MOST_PICTURES: usize = 16;

/// Where a picture comes from.
#[derive(Clone, PartialEq, Debug)]
pub enum PictureSource {
    /// A part of an opened slide: the view, or the box around a region.
    View {
        /// The slide.
        slide: SlideKey,
        /// Which part.
        view: ViewRect,
    },
    /// All of an opened slide, small.
    Whole {
        /// The slide.
        slide: SlideKey,
    },
    /// One tile of a whole slide, in a tile's budget of pixels.
    Tile {
        /// The slide.
        slide: SlideKey,
        /// Which part.
        view: ViewRect,
    },
    /// A picture file.
    File {
        /// Where it is.
        path: PathBuf,
    },
    /// A picture that was asked about before.
    Kept {
        /// Its pixels.
        tile: Arc<RgbTile>,
        /// Where on a slide they were read.
        region: Option<Region>,
        /// Name of the slide or file.
        title: Option<String>,
        /// Scale of the pixels.
        um_per_px: Option<f64>,
    },
}

/// A picture as a model sees it.
#[derive(Clone, PartialEq, Debug)]
pub struct SeenPicture {
    /// The pixels that were read; the model resizes them by less than a patch.
    pub tile: Arc<RgbTile>,
    /// Where on a slide they were read.
    pub region: Option<Region>,
    /// Name of the slide or file, for the person who asks and nobody else.
    pub title: Option<String>,
    /// Width and height that the model takes.
    pub size_px: [u32; 2],
    /// Tokens that the picture becomes.
    pub n_token: usize,
    /// Scale of the pixels that the model takes, where the slide states its own.
    pub um_per_px: Option<f64>,
}

impl SeenPicture {
    /// The part of the slide that was read, in base pixels.
    pub fn view(&self) -> Option<ViewRect> {
        ViewRect::of_region(self.region.as_ref()?)
    }

    /// Scale of the pixels that were read.
    pub fn tile_um_per_px(&self) -> Option<f64> {
        Some(self.um_per_px? * f64::from(self.size_px[0]) / f64::from(self.tile.width_px()))
    }

    /// Exactly what the model sees, as a PNG.
    ///
    /// # Errors
    /// [`WorkbenchError::Unseeable`], [`WorkbenchError::Encode`].
    pub fn png(&self, model: &ModelInfo) -> Result<Vec<u8>, WorkbenchError> {
        let seen = model.preprocess.resized(&self.tile).map_err(|error| unseeable(&error))?;
        png(&seen)
    }
}

/// A small copy of a picture as JPEG, its longest side at most `most_px`.
///
/// # Errors
/// [`WorkbenchError::Encode`].
pub fn small_jpeg(tile: &RgbTile, most_px: u32) -> Result<Vec<u8>, WorkbenchError> {
    let [width, height] = tile.size_px();
    let longest = width.max(height);
    if longest <= most_px {
        return encode_jpeg(tile);
    }
    let small_px =
        [width, height].map(|side| (u64::from(side) * u64::from(most_px) / u64::from(longest)).max(1) as u32);
    let Some(whole) = image::ImageBuffer::<image::Rgb<u8>, _>::from_raw(width, height, tile.pixels()) else {
        return encode_jpeg(tile);
    };
    let small = image::imageops::thumbnail(&whole, small_px[0], small_px[1]);
    match RgbTile::new(small_px, small.into_raw()) {
        Ok(small) => encode_jpeg(&small),
        Err(error) => Err(WorkbenchError::Encode(error.to_string().into())),
    }
}

/// A picture as PNG, quickly.
pub(crate) fn png(tile: &RgbTile) -> Result<Vec<u8>, WorkbenchError> {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive);
    let [width, height] = tile.size_px();
    image::ImageEncoder::write_image(encoder, tile.pixels(), width, height, image::ExtendedColorType::Rgb8)
        .map_err(|error| WorkbenchError::Encode(error.to_string().into()))?;
    Ok(bytes)
}

fn unseeable(error: &dyn std::error::Error) -> WorkbenchError {
    WorkbenchError::Unseeable(error.to_string().into())
}

impl Workbench {
    /// Reads a picture as `model` will see it.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`], [`WorkbenchError::EmptyView`], [`WorkbenchError::Slide`], and
    /// [`WorkbenchError::Unseeable`] for a shape that the model does not take.
    pub fn see(&self, model: &ModelInfo, source: &PictureSource) -> Result<SeenPicture, WorkbenchError> {
        let budget_px = model.preprocess.max_pixels.min(MOST_PIXELS);
        match source {
            PictureSource::View { slide, view } => self.see_view(model, slide, *view, budget_px),
            PictureSource::Tile { slide, view } => {
                self.see_view(model, slide, *view, budget_px.min(TILE_PIXELS))
            }
            PictureSource::Whole { slide } => {
                let base_px = self.slide(slide)?.slide.info().base_px().map(f64::from);
                let view = ViewRect { origin_base_px: [0.0, 0.0], size_base_px: base_px };
                self.see_view(model, slide, view, budget_px)
            }
            PictureSource::File { path } => {
                let tile = load_picture(path)?;
                let title = path.file_name().map(|name| name.to_string_lossy().into_owned());
                seen(model, Arc::new(tile), None, title, None)
            }
            PictureSource::Kept { tile, region, title, um_per_px } => {
                seen(model, tile.clone(), region.clone(), title.clone(), *um_per_px)
            }
        }
    }

    fn see_view(
        &self,
        model: &ModelInfo,
        slide: &SlideKey,
        view: ViewRect,
        budget_px: u64,
    ) -> Result<SeenPicture, WorkbenchError> {
        let (region, tile) = self.read_view(slide, view, budget_px)?;
        let opened = self.slide(slide)?;
        let um_per_px = opened.slide.info().mpp.map(|mpp| match region.scale {
            RegionScale::Downsample(downsample) => mpp.um_per_px() * downsample,
            RegionScale::Mpp(mpp) => mpp.um_per_px(),
        });
        seen(model, Arc::new(tile), Some(region), Some(opened.title.clone()), um_per_px)
    }

    /// The parts of a whole slide that a question about it shows: all of it, and `n_tile` fields of tissue that lie
    /// far from one another.
    ///
    /// # Errors
    /// [`WorkbenchError::NotOpen`], [`WorkbenchError::Slide`].
    pub fn whole_slide(&self, slide: &SlideKey, n_tile: usize) -> Result<Vec<PictureSource>, WorkbenchError> {
        let opened = self.slide(slide)?;
        let fields = crate::fields::fields(&opened.slide, n_tile)?;
        let tiles = fields.into_iter().map(|view| PictureSource::Tile { slide: slide.clone(), view });
        Ok(std::iter::once(PictureSource::Whole { slide: slide.clone() }).chain(tiles).collect())
    }
}

/// Measures a picture for a model; `um_per_px` is that of the pixels read.
fn seen(
    model: &ModelInfo,
    tile: Arc<RgbTile>,
    region: Option<Region>,
    title: Option<String>,
    um_per_px: Option<f64>,
) -> Result<SeenPicture, WorkbenchError> {
    let size_px = model.preprocess.target_px(tile.size_px()).map_err(|error| unseeable(&error))?;
    let unit_px = model.preprocess.patch_px * model.preprocess.merge;
    let n_token = (size_px[0] / unit_px) as usize * (size_px[1] / unit_px) as usize;
    let um_per_px = um_per_px.map(|um_per_px| um_per_px * f64::from(tile.width_px()) / f64::from(size_px[0]));
    Ok(SeenPicture { tile, region, title, size_px, n_token, um_per_px })
}
