//! Pixels into the case book and out of it: kept as PNG, without loss, once for each content.
//!
//! A picture is named by the hash of its pixels, not of its file, so that the name holds whatever encoder wrote
//! it, and what comes out can be checked against its name. Held true by the property test below.

use eosin_core::RgbTile;
use image::codecs::png::{CompressionType, FilterType, PngDecoder, PngEncoder};
use image::{ExtendedColorType, ImageDecoder as _, ImageEncoder as _};
use sha2::{Digest as _, Sha256};

use crate::chat::PictureHash;
use crate::digest::hex;
use crate::error::CaseError;

/// Most pixels of a picture: far more than any model sees.
pub(crate) const MAX_PX: u64 = 64 << 20;

/// Names pixels.
pub(crate) fn hash(tile: &RgbTile) -> PictureHash {
    let mut hasher = Sha256::new();
    hasher.update(tile.width_px().to_le_bytes());
    hasher.update(tile.height_px().to_le_bytes());
    hasher.update(tile.pixels());
    PictureHash(hex(&hasher.finalize()))
}

/// Refuses what is larger than a case book takes.
pub(crate) fn check_size(size_px: [u32; 2]) -> Result<(), CaseError> {
    let size = u64::from(size_px[0]) * u64::from(size_px[1]);
    if size > MAX_PX {
        return Err(CaseError::TooLarge { what: "a picture", size, most: MAX_PX });
    }
    Ok(())
}

/// Pixels as PNG.
pub(crate) fn encode(tile: &RgbTile) -> Result<Vec<u8>, CaseError> {
    check_size(tile.size_px())?;
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(tile.pixels(), tile.width_px(), tile.height_px(), ExtendedColorType::Rgb8)
        .map_err(|error| CaseError::Document { format: "PNG", reason: error.to_string() })?;
    Ok(bytes)
}

/// Pixels of a PNG of ours; anything else, however damaged, is none.
pub(crate) fn decode(png: &[u8]) -> Option<RgbTile> {
    let decoder = PngDecoder::new(std::io::Cursor::new(png)).ok()?;
    let (width_px, height_px) = decoder.dimensions();
    let size_px = [width_px, height_px];
    check_size(size_px).ok()?;
    if decoder.color_type() != image::ColorType::Rgb8 {
        return None;
    }
    let mut pixels = vec![0; usize::try_from(decoder.total_bytes()).ok()?];
    decoder.read_image(&mut pixels).ok()?;
    RgbTile::new(size_px, pixels).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pixels_come_back_as_they_went_in(width_px in 1_u32..20, height_px in 1_u32..20, seed in any::<u64>()) {
            let pixels = (0..u64::from(width_px * height_px * 3)).map(|i| (seed.wrapping_mul(i * i + 1) >> 24) as u8);
            let tile = RgbTile::new([width_px, height_px], pixels.collect()).unwrap();
            let png = encode(&tile).unwrap();
            let back = decode(&png);
            prop_assert_eq!(back.as_ref(), Some(&tile));
            // The name tells a picture from the same bytes in another shape.
            let turned = RgbTile::new([height_px, width_px], tile.pixels().to_vec()).unwrap();
            prop_assert_eq!(hash(&tile) == hash(&turned), width_px == height_px);
            // No cut or changed file brings the decoder down.
            let mut broken = png.clone();
            broken[seed as usize % png.len()] ^= 0x55;
            let _ = decode(&broken);
            let _ = decode(&png[..seed as usize % png.len()]);
        }
    }

    #[test]
    fn a_huge_picture_is_refused() {
        assert!(check_size([8192, 8192]).is_ok());
        for size_px in [[8193, 8192], [u32::MAX, u32::MAX]] {
            assert!(matches!(check_size(size_px), Err(CaseError::TooLarge { .. })), "{size_px:?}");
        }
    }
}
