//! Plain pictures: PNG, JPEG, TIFF, WebP and BMP, decoded whole.
//!
//! The format is known by its content, never by the name. The orientation that EXIF (or TIFF) states is
//! applied, as the reference loader does; transparency is laid on white, the colour of an empty slide;
//! 16-bit samples are scaled linearly to 8 bits, not stretched. A file that claims more pixels than fit is
//! refused before a byte of it is decoded. Held true by the unit tests below and by `tests/slides.rs`.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use eosin_core::{Mpp, RgbTile};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use tiff::tags::Tag;

use crate::error::{OpenCause, SlideError};
use crate::whole;

/// Most pixels of a picture: 128 Mi, 384 MiB as RGB.
pub const PICTURE_PX_MAX: u64 = 128 << 20;
/// Longest side of a picture.
const SIDE_PX_MAX: u32 = 1 << 20;
/// Most bytes that a decoder may hold.
const DECODER_BYTES_MAX: u64 = 1 << 30;

/// A decoded picture and what its file says of it.
pub(crate) struct Picture {
    pub(crate) tile: RgbTile,
    pub(crate) format: &'static str,
    pub(crate) mpp: Option<Mpp>,
}

/// Reads a plain picture as it is shown: oriented, on white, 8-bit RGB.
///
/// # Errors
/// [`SlideError::Open`] for what is missing, damaged, too large or not a picture.
pub fn load_picture(path: &Path) -> Result<RgbTile, SlideError> {
    let open = |source| SlideError::Open { path: path.to_path_buf(), source };
    let mut file = open_file(path).map_err(open)?;
    // Some slides are pictures from outside: a `.mrxs` is a JPEG of the glass, an `.svs` a TIFF.
    let vendor = whole::detect_vendor(path);
    if vendor.as_deref().is_some_and(|vendor| vendor != "generic-tiff") {
        return Err(open(OpenCause::WholeSlide));
    }
    match decode(&mut file) {
        Ok(Some(picture)) => Ok(picture.tile),
        Err(OpenCause::PictureTooLarge { .. }) if vendor.is_some() => Err(open(OpenCause::WholeSlide)),
        Ok(None) => Err(open(whole::why_unrecognised(path))),
        Err(source) => Err(open(source)),
    }
}

/// Decodes a picture from its encoded bytes, by the same rules as [`load_picture`].
///
/// # Errors
/// [`OpenCause`] for what is damaged, too large or not a picture.
pub fn decode_picture(bytes: &[u8]) -> Result<RgbTile, OpenCause> {
    match decode(&mut std::io::Cursor::new(bytes))? {
        Some(picture) => Ok(picture.tile),
        None => Err(OpenCause::Unrecognised { version: whole::library_version() }),
    }
}

/// Opens a regular, non-empty file; a pipe would block for ever.
pub(crate) fn open_file(path: &Path) -> Result<File, OpenCause> {
    let meta = std::fs::metadata(path)?;
    if !meta.is_file() {
        return Err(OpenCause::NotAFile);
    }
    if meta.len() == 0 {
        return Err(OpenCause::Empty);
    }
    Ok(File::open(path)?)
}

/// The picture, or none where the content is of no known picture format.
pub(crate) fn decode<R: Read + Seek>(source: &mut R) -> Result<Option<Picture>, OpenCause> {
    source.rewind()?;
    let mut source = BufReader::new(source);
    let Some((kind, format)) = guess(&mut source)? else { return Ok(None) };
    let mpp = if kind == ImageFormat::Tiff { inspect_tiff(&mut source)? } else { None };
    source.rewind()?;

    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_PX_MAX);
    limits.max_image_height = Some(SIDE_PX_MAX);
    limits.max_alloc = Some(DECODER_BYTES_MAX);
    let mut reader = ImageReader::with_format(source, kind);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let (width_px, height_px) = decoder.dimensions();
    let n_px = u64::from(width_px) * u64::from(height_px);
    if n_px > PICTURE_PX_MAX || decoder.total_bytes() > DECODER_BYTES_MAX {
        return Err(OpenCause::PictureTooLarge { size_px: [width_px, height_px], limit_px: PICTURE_PX_MAX });
    }
    // A damaged EXIF block costs the orientation, not the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    Ok(Some(Picture { tile: flatten(image)?, format, mpp }))
}

/// The format that the first bytes show; the reader is left anywhere.
fn guess<R: Read + Seek>(
    source: &mut BufReader<R>,
) -> Result<Option<(ImageFormat, &'static str)>, OpenCause> {
    let mut head = Vec::with_capacity(64);
    source.take(64).read_to_end(&mut head)?;
    // BigTIFF has its own mark, which `image` reads through the same decoder.
    if head.starts_with(b"II\x2b\0") || head.starts_with(b"MM\0\x2b") {
        return Ok(Some((ImageFormat::Tiff, "tiff")));
    }
    Ok(match image::guess_format(&head) {
        Ok(kind @ ImageFormat::Png) => Some((kind, "png")),
        Ok(kind @ ImageFormat::Jpeg) => Some((kind, "jpeg")),
        Ok(kind @ ImageFormat::Tiff) => Some((kind, "tiff")),
        Ok(kind @ ImageFormat::WebP) => Some((kind, "webp")),
        Ok(kind @ ImageFormat::Bmp) => Some((kind, "bmp")),
        _ => None,
    })
}

/// Scale of a TIFF, and a refusal of pages that are channels.
fn inspect_tiff<R: Read + Seek>(source: &mut R) -> Result<Option<Mpp>, OpenCause> {
    source.rewind()?;
    // What this decoder refuses, the picture decoder refuses with its own words.
    let Ok(mut decoder) = tiff::decoder::Decoder::new(source) else { return Ok(None) };
    let is_ome = decoder.get_tag_ascii_string(Tag::ImageDescription).is_ok_and(|text| text.contains("<OME"));
    let n_sample = decoder.get_tag_u32(Tag::SamplesPerPixel).unwrap_or(1);
    if is_ome && n_sample == 1 && decoder.more_images() {
        return Err(OpenCause::ChannelPages);
    }
    let unit = decoder.get_tag_u32(Tag::ResolutionUnit).unwrap_or(2);
    let per_unit = |decoder: &mut tiff::decoder::Decoder<_>, tag| -> Option<f64> {
        match decoder.find_tag(tag).ok()?? {
            tiff::decoder::ifd::Value::Rational(n, d) => Some(f64::from(n) / f64::from(d)),
            tiff::decoder::ifd::Value::Float(value) => Some(f64::from(value)),
            tiff::decoder::ifd::Value::Double(value) => Some(value),
            _ => None,
        }
    };
    let x = per_unit(&mut decoder, Tag::XResolution);
    let y = per_unit(&mut decoder, Tag::YResolution);
    Ok(whole::mpp_from_resolution(
        x,
        y,
        if unit == 3 {
            "centimeter"
        } else if unit == 2 {
            "inch"
        } else {
            ""
        },
    ))
}

/// 8-bit RGB on white.
fn flatten(image: DynamicImage) -> Result<RgbTile, OpenCause> {
    let size_px = [image.width(), image.height()];
    let pixels = if image.color().has_alpha() {
        let rgba = image.into_rgba8();
        let on_white = |colour: u8, alpha: u8| {
            let (colour, alpha) = (u32::from(colour), u32::from(alpha));
            ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        rgba.pixels().flat_map(|px| [0, 1, 2].map(|c| on_white(px[c], px[3]))).collect()
    } else {
        image.into_rgb8().into_raw()
    };
    // A picture of no pixels is the one thing that `RgbTile` refuses here.
    RgbTile::new(size_px, pixels).map_err(|_empty| OpenCause::Empty)
}

#[cfg(test)]
mod tests;
