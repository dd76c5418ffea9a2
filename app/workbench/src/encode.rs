//! Pictures as JPEG: tiles for the viewer, and what a question showed.
//!
//! The encoder is `jpeg-encoder`, several times as fast as the one of `image`. Colour keeps its full
//! resolution: half the information of a stained section is in it, and halving it saves little time. Held true
//! by the tests of `feed` and of `encode`.

use eosin_core::RgbTile;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

use crate::error::WorkbenchError;

/// Quality of the tiles shown: no visible loss, a tenth of the bytes.
const JPEG_QUALITY: u8 = 88;

/// The picture as JPEG.
///
/// # Errors
/// [`WorkbenchError::Encode`], for a side that no JPEG has.
pub fn encode_jpeg(tile: &RgbTile) -> Result<Vec<u8>, WorkbenchError> {
    let refuse = |text: String| WorkbenchError::Encode(text.into());
    let [width, height] = tile.size_px().map(|side| u16::try_from(side).ok());
    let (Some(width), Some(height)) = (width, height) else {
        return Err(refuse(format!("{:?} px are more than a JPEG holds", tile.size_px())));
    };
    let mut bytes = Vec::with_capacity(tile.pixels().len() / 8 + 1024);
    let mut encoder = Encoder::new(&mut bytes, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    encoder
        .encode(tile.pixels(), width, height, ColorType::Rgb)
        .map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_survive_and_giants_are_refused() {
        let size_px = [97, 33];
        let pixels =
            (0..97 * 33).flat_map(|px: u32| [(px % 97) as u8 * 2, (px / 97) as u8 * 7, 90]).collect();
        let tile = RgbTile::new(size_px, pixels).unwrap();
        let back = eosin_slide::decode_picture(&encode_jpeg(&tile).unwrap()).unwrap();
        assert_eq!(back.size_px(), size_px);
        let worst = back.pixels().iter().zip(tile.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(12), "{worst:?}");
        let long = RgbTile::new([70_000, 1], vec![0; 210_000]).unwrap();
        assert_eq!(encode_jpeg(&long).unwrap_err().code(), "encode");
    }
}
