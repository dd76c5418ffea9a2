//! Bands of rows → a file: PNG, JPEG or TIFF, with the scale as resolution.
//!
//! All three encoders take rows as they come; JPEG's asks for them, so it holds the painter. Held true by
//! `figure/tests.rs`.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use flate2::write::ZlibEncoder;
use jpeg_encoder::{
    Encoder, EncodingError, ImageBuffer, JpegColorType, PixelDensity, PixelDensityUnit, SamplingFactor,
    rgb_to_ycbcr,
};
use tiff::encoder::{Rational, TiffEncoder};
use tiff::tags::Tag;

use super::FigureError;
use crate::atomic::{Readers, write_whole};

/// Rows that are painted at once.
const BAND_ROWS: u32 = 512;
/// Rows of a strip of a TIFF; bands hold whole strips.
const STRIP_ROWS: u32 = 64;
/// Quality of figures, above that of tiles: they are printed.
const JPEG_QUALITY: u8 = 95;

/// A format of figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Png,
    Jpeg,
    Tiff,
}

impl Format {
    /// The format that a name's ending says.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            "tif" | "tiff" => Some(Self::Tiff),
            _ => None,
        }
    }
}

/// Paints the given rows into a buffer of exactly their bytes.
type Painter<'a> = dyn FnMut(Range<u32>, &mut [u8]) -> Result<(), FigureError> + 'a;

/// Why a file is not written: the picture does not come, or the disk does not take it.
enum Fault {
    Figure(FigureError),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FigureError> for Fault {
    fn from(error: FigureError) -> Self {
        Self::Figure(error)
    }
}

impl From<png::EncodingError> for Fault {
    fn from(error: png::EncodingError) -> Self {
        Self::Io(match error {
            png::EncodingError::IoError(error) => error,
            other => io::Error::other(other),
        })
    }
}

impl From<tiff::TiffError> for Fault {
    fn from(error: tiff::TiffError) -> Self {
        Self::Io(match error {
            tiff::TiffError::IoError(error) => error,
            other => io::Error::other(other),
        })
    }
}

/// Writes a picture whose rows `paint` gives, from the first to the last.
pub(super) fn write(
    path: &Path,
    format: Format,
    size_px: [u32; 2],
    um_per_px: Option<f64>,
    paint: &mut Painter<'_>,
) -> Result<(), FigureError> {
    let written = write_whole(path, Readers::AsUsual, |out| match format {
        Format::Png => write_png(out, size_px, um_per_px, paint),
        Format::Jpeg => write_jpeg(out, size_px, um_per_px, paint),
        Format::Tiff => write_tiff(out, size_px, um_per_px, paint),
    });
    written.map_err(|fault| match fault {
        Fault::Figure(error) => error,
        Fault::Io(source) => FigureError::Write { path: path.to_path_buf(), source },
    })
}

/// Hands all bands to `take`, one after the other, in one buffer.
fn bands(
    [width, height]: [u32; 2],
    paint: &mut Painter<'_>,
    mut take: impl FnMut(&[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut buffer = Vec::new();
    for first in (0..height).step_by(BAND_ROWS as usize) {
        let rows = first..(first + BAND_ROWS).min(height);
        buffer.resize(width as usize * rows.len() * 3, 0);
        paint(rows, &mut buffer)?;
        take(&buffer)?;
    }
    Ok(())
}

fn write_png(
    out: &mut BufWriter<&File>,
    size_px: [u32; 2],
    um_per_px: Option<f64>,
    paint: &mut Painter<'_>,
) -> Result<(), Fault> {
    let mut encoder = png::Encoder::new(out, size_px[0], size_px[1]);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let per_metre = um_per_px.map(|um| (1e6 / um).round()).filter(|count| (1.0..=4e9).contains(count));
    encoder.set_pixel_dims(per_metre.map(|count| {
        let count = count as u32;
        png::PixelDimensions { xppu: count, yppu: count, unit: png::Unit::Meter }
    }));
    let mut writer = encoder.write_header()?;
    let mut rows = writer.stream_writer()?;
    bands(size_px, paint, |band| Ok(rows.write_all(band)?))?;
    rows.finish()?;
    Ok(writer.finish()?)
}

fn write_tiff(
    out: &mut BufWriter<&File>,
    size_px: [u32; 2],
    um_per_px: Option<f64>,
    paint: &mut Painter<'_>,
) -> Result<(), Fault> {
    // The encoder goes back once, to say where the directory begins.
    out.seek(SeekFrom::Start(0))?;
    let [width, height] = size_px;
    let mut encoder = TiffEncoder::new(out)?;
    let mut directory = encoder.image_directory()?;
    let (mut offsets, mut lengths) = (Vec::<u32>::new(), Vec::<u32>::new());
    let line_bytes = width as usize * 3;
    let mut differences = Vec::new();
    bands(size_px, paint, |band| {
        for strip in band.chunks(line_bytes * STRIP_ROWS as usize) {
            differences.clear();
            differences.extend_from_slice(strip);
            for line in differences.chunks_exact_mut(line_bytes) {
                for idx in (3..line_bytes).rev() {
                    line[idx] = line[idx].wrapping_sub(line[idx - 3]);
                }
            }
            let mut packed = ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(&differences)?;
            let packed = packed.finish()?;
            let offset = directory.write_data(&packed[..])?;
            // At most 600 MB of pixels, and deflate adds a thousandth where it saves nothing.
            offsets.push(u32::try_from(offset).map_err(io::Error::other)?);
            lengths.push(u32::try_from(packed.len()).map_err(io::Error::other)?);
        }
        Ok(())
    })?;
    directory.write_tag(Tag::ImageWidth, width)?;
    directory.write_tag(Tag::ImageLength, height)?;
    directory.write_tag(Tag::BitsPerSample, &[8_u16, 8, 8][..])?;
    directory.write_tag(Tag::Compression, 8_u16)?; // deflate
    directory.write_tag(Tag::PhotometricInterpretation, 2_u16)?; // RGB
    directory.write_tag(Tag::StripOffsets, &offsets[..])?;
    directory.write_tag(Tag::SamplesPerPixel, 3_u16)?;
    directory.write_tag(Tag::RowsPerStrip, STRIP_ROWS)?;
    directory.write_tag(Tag::StripByteCounts, &lengths[..])?;
    directory.write_tag(Tag::PlanarConfiguration, 1_u16)?;
    directory.write_tag(Tag::Predictor, 2_u16)?; // differences along the line
    let per_centimetre = um_per_px.map(|um| 1e4 / um * 1000.0).filter(|count| (1.0..=4e9).contains(count));
    if let Some(count) = per_centimetre {
        let ratio = || Rational { n: count.round() as u32, d: 1000 };
        directory.write_tag(Tag::XResolution, ratio())?;
        directory.write_tag(Tag::YResolution, ratio())?;
        directory.write_tag(Tag::ResolutionUnit, 3_u16)?;
    }
    Ok(directory.finish()?)
}

fn write_jpeg(
    out: &mut BufWriter<&File>,
    size_px: [u32; 2],
    um_per_px: Option<f64>,
    paint: &mut Painter<'_>,
) -> Result<(), Fault> {
    let mut encoder = Encoder::new(out, JPEG_QUALITY);
    encoder.set_sampling_factor(SamplingFactor::F_1_1);
    let per_centimetre =
        um_per_px.map(|um| (1e4 / um).round()).filter(|count| (1.0..=65_535.0).contains(count));
    if let Some(count) = per_centimetre {
        let density = (count as u16, count as u16);
        encoder.set_density(PixelDensity { density, unit: PixelDensityUnit::Centimeters });
    }
    let rows = JpegRows {
        size_px,
        state: RefCell::new(JpegState { paint, band: Vec::new(), rows: 0..0, fault: None }),
    };
    let encoded = encoder.encode_image(&rows);
    if let Some(fault) = rows.state.into_inner().fault {
        return Err(fault.into());
    }
    encoded.map_err(|error| {
        Fault::Io(match error {
            EncodingError::IoError(error) => error,
            other => io::Error::other(other.to_string()),
        })
    })
}

/// Rows that the encoder asks for; it cannot be told that one does not come, so that is kept.
struct JpegRows<'a, 'p> {
    size_px: [u32; 2],
    state: RefCell<JpegState<'a, 'p>>,
}

struct JpegState<'a, 'p> {
    paint: &'a mut Painter<'p>,
    band: Vec<u8>,
    rows: Range<u32>,
    fault: Option<FigureError>,
}

impl ImageBuffer for &JpegRows<'_, '_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        // The request was checked: no side is longer.
        self.size_px[0] as u16
    }

    fn height(&self) -> u16 {
        self.size_px[1] as u16
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let state = &mut *self.state.borrow_mut();
        let (y, width) = (u32::from(y), self.size_px[0] as usize);
        if !state.rows.contains(&y) {
            let rows = y..(y + BAND_ROWS).min(self.size_px[1]);
            state.band.resize(width * rows.len() * 3, 0);
            if state.fault.is_none() {
                state.fault = (state.paint)(rows.clone(), &mut state.band).err();
            }
            state.rows = rows;
        }
        let from = (y - state.rows.start) as usize * width * 3;
        for px in state.band[from..from + width * 3].as_chunks::<3>().0 {
            let (luma, blue, red) = rgb_to_ycbcr(px[0], px[1], px[2]);
            buffers[0].push(luma);
            buffers[1].push(blue);
            buffers[2].push(red);
        }
    }
}
