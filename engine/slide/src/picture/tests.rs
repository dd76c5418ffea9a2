//! Pictures made here, in every format and of every awkward kind.

use std::io::Cursor;

use image::{DynamicImage, GenericImage, ImageBuffer, Luma, Rgb, Rgba};

use super::*;

fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn drawn() -> DynamicImage {
    let mut image = DynamicImage::new_rgb8(5, 3);
    image.put_pixel(4, 0, Rgba([200, 10, 30, 255]));
    image
}

#[test]
fn every_format_is_known_by_its_content() {
    for (format, name) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Jpeg, "jpeg"),
        (ImageFormat::Tiff, "tiff"),
        (ImageFormat::WebP, "webp"),
        (ImageFormat::Bmp, "bmp"),
    ] {
        let bytes = encode(&drawn(), format);
        let picture = decode(&mut Cursor::new(&bytes)).unwrap().unwrap();
        assert_eq!((picture.format, picture.tile.size_px()), (name, [5, 3]));
        if format != ImageFormat::Jpeg {
            assert_eq!(picture.tile.pixels()[12..15], [200, 10, 30], "{name}");
        }
        // Every cut of the file is refused or decoded, but never a panic.
        for n_byte in 0..bytes.len() {
            let _ = decode(&mut Cursor::new(&bytes[..n_byte]));
        }
    }
    assert!(decode(&mut Cursor::new(b"just words")).unwrap().is_none());
}

#[test]
fn transparency_is_white_and_sixteen_bits_are_scaled() {
    let half = ImageBuffer::from_pixel(1, 1, Rgba([100_u8, 0, 255, 128]));
    let tile = decode_picture(&encode(&half.into(), ImageFormat::Png)).unwrap();
    assert_eq!(tile.pixels(), [177, 127, 255]);
    let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(1, 1, Luma([0x8080]));
    let tile = decode_picture(&encode(&deep.into(), ImageFormat::Png)).unwrap();
    assert_eq!(tile.pixels(), [0x80; 3]);
}

#[test]
fn the_orientation_that_exif_states_is_applied() {
    let mut jpeg = encode(&drawn(), ImageFormat::Jpeg);
    // APP1 with one EXIF entry: orientation 6, a quarter turn clockwise.
    let exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    jpeg.splice(2..2, exif.iter().copied());
    assert_eq!(decode_picture(&jpeg).unwrap().size_px(), [3, 5]);
}

#[test]
fn a_claim_of_too_many_pixels_is_refused_before_decoding() {
    // A PNG header of 100 000 × 100 000 px and no data.
    let mut png = encode(&drawn(), ImageFormat::Png);
    png[16..20].copy_from_slice(&100_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&100_000_u32.to_be_bytes());
    assert!(decode_picture(&png).is_err());
    let mut bmp = encode(&drawn(), ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&60_000_u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&60_000_u32.to_le_bytes());
    assert!(matches!(decode_picture(&bmp), Err(OpenCause::PictureTooLarge { .. } | OpenCause::Picture(_))));
}

#[test]
fn a_tiff_states_its_scale_and_channel_pages_are_refused() {
    use tiff::encoder::{Rational, TiffEncoder, colortype};
    use tiff::tags::ResolutionUnit;

    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    let mut image = encoder.new_image::<colortype::RGB8>(2, 1).unwrap();
    image.resolution(ResolutionUnit::Centimeter, Rational { n: 40_000, d: 1 });
    image.write_data(&[1, 2, 3, 4, 5, 6]).unwrap();
    let picture = decode(&mut bytes).unwrap().unwrap();
    assert_eq!(picture.mpp.map(Mpp::um_per_px), Some(0.25));

    let mut bytes = Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    for _page in 0..2 {
        let mut image = encoder.new_image::<colortype::Gray8>(2, 1).unwrap();
        image.encoder().write_tag(Tag::ImageDescription, "<OME/>").unwrap();
        image.write_data(&[1, 2]).unwrap();
    }
    assert!(matches!(decode(&mut bytes), Err(OpenCause::ChannelPages)));
    let colour = ImageBuffer::from_pixel(1, 1, Rgb([9_u8, 8, 7]));
    assert_eq!(decode_picture(&encode(&colour.into(), ImageFormat::Tiff)).unwrap().pixels(), [9, 8, 7]);
}
