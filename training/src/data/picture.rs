//! From an encoded picture to pixels, within limits.
//!
//! The pixels are those that the finished model will be asked about: the decoder is the program's own, which
//! applies the stated orientation and lays transparency on white. A file that is too long is not read and
//! one that states too many pixels is not decoded, so a hundred damaged files cost a hundred lines in
//! `skipped.jsonl` and not the run. Held true by `tests/train_data.rs`.

use std::io::{Cursor, Read};
use std::sync::Arc;

use eosin_core::RgbTile;
use eosin_slide::{OpenCause, decode_picture};

use super::Picture;
use super::at::FileAt;
use crate::phantom::Phantom;

/// What a picture may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Longest encoded file.
    pub max_bytes: u64,
    /// Most pixels.
    pub max_px: u64,
}

impl Default for DecodeLimits {
    /// 256 MiB encoded, 64 Mi pixels: 8192 × 8192, far above any patch.
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_px: 64 << 20 }
    }
}

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file is not there or cannot be read.
    #[error("cannot read the image")]
    Read(#[from] std::io::Error),
    /// The encoded picture is longer than allowed.
    #[error("an image of {n_byte} bytes is too long: at most {limit_bytes}")]
    TooLong {
        /// Length.
        n_byte: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// The picture has more pixels than allowed.
    #[error("an image of {} × {} px is too large: at most {limit_px} px", size_px[0], size_px[1])]
    TooLarge {
        /// Width and height as the file states them.
        size_px: [u32; 2],
        /// The limit.
        limit_px: u64,
    },
    /// The bytes are no picture, or a damaged one.
    #[error("cannot decode the image")]
    Decode(#[from] OpenCause),
    /// The decoder failed in a way of its own.
    #[error("the image's decoder gave up")]
    Decoder,
}

impl Picture {
    /// The pixels, within the usual limits.
    ///
    /// # Errors
    /// [`PictureError`] naming what is wrong with the picture, without its name.
    pub fn decode(&self) -> Result<Arc<RgbTile>, PictureError> {
        self.decode_within(&DecodeLimits::default())
    }

    /// The pixels, within limits.
    ///
    /// # Errors
    /// As [`Picture::decode`].
    pub fn decode_within(&self, limits: &DecodeLimits) -> Result<Arc<RgbTile>, PictureError> {
        match self {
            Self::Tile(tile) => Ok(Arc::clone(tile)),
            Self::Phantom { seed, settings } => Ok(Arc::new(Phantom::draw(*seed, settings).tile)),
            Self::File(_) | Self::Bytes(_) | Self::Span { .. } => {
                let bytes = self.encoded_within(limits)?;
                check_size(&bytes, limits)?;
                // Decoders are large and their input is anybody's: one that panics costs its picture.
                let tile = std::panic::catch_unwind(|| decode_picture(&bytes));
                Ok(Arc::new(tile.map_err(|_panic| PictureError::Decoder)??))
            }
        }
    }

    /// The encoded bytes; empty for pictures that have none (phantoms and pixels).
    ///
    /// # Errors
    /// [`PictureError::Read`] and [`PictureError::TooLong`].
    pub fn encoded(&self) -> Result<Arc<[u8]>, PictureError> {
        self.encoded_within(&DecodeLimits::default())
    }

    fn encoded_within(&self, limits: &DecodeLimits) -> Result<Arc<[u8]>, PictureError> {
        let allow = |n_byte: u64| {
            let limit_bytes = limits.max_bytes;
            if n_byte > limit_bytes { Err(PictureError::TooLong { n_byte, limit_bytes }) } else { Ok(()) }
        };
        match self {
            Self::File(path) => {
                let meta = std::fs::metadata(path)?;
                if !meta.is_file() {
                    return Err(OpenCause::NotAFile.into());
                }
                allow(meta.len())?;
                let mut bytes = Vec::with_capacity(meta.len() as usize);
                std::fs::File::open(path)?.take(limits.max_bytes).read_to_end(&mut bytes)?;
                Ok(bytes.into())
            }
            Self::Bytes(bytes) => {
                allow(bytes.len() as u64)?;
                Ok(Arc::clone(bytes))
            }
            Self::Span { path, offset, n_byte } => {
                allow(*n_byte)?;
                Ok(FileAt::open(path)?.read(*offset, *n_byte)?.into())
            }
            Self::Phantom { .. } | Self::Tile(_) => Ok(Arc::from([])),
        }
    }
}

/// Refuses by the stated size, before a pixel is decoded.
fn check_size(bytes: &[u8], limits: &DecodeLimits) -> Result<(), PictureError> {
    if bytes.is_empty() {
        return Err(OpenCause::Empty.into());
    }
    let reader = image::ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    // What this cannot read, the decoder refuses with its own words.
    let Ok((width_px, height_px)) = reader.into_dimensions() else { return Ok(()) };
    if u64::from(width_px) * u64::from(height_px) > limits.max_px {
        return Err(PictureError::TooLarge { size_px: [width_px, height_px], limit_px: limits.max_px });
    }
    Ok(())
}
