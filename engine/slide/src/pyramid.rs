//! Writes pyramids: BigTIFF of JPEG tiles that OpenSlide and its kin open.
//!
//! Tiles of level 0 come from the caller row by row; each coarser level is averaged from 2 × 2 pixels on the
//! way, in one band of tiles a level, so that memory stays under the bytes of two tile rows of level 0.
//! The file appears under its name only when it is whole. Layout: TIFF 6.0 sections 15 and 22, Technical Note
//! 2 for JPEG, BigTIFF; level 0 first, coarser levels after it with `NewSubfileType = 1`.
//! Held true by `tests/slides.rs`, which reads such files through OpenSlide.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use eosin_core::{Mpp, RgbTile};
use image::codecs::jpeg::JpegEncoder;
use tiff::encoder::{DirectoryEncoder, Rational, TiffEncoder, TiffKindBig};
use tiff::tags::Tag;

use crate::error::{SlideError, WriteCause};

/// How a pyramid is written.
#[derive(Clone, Debug)]
pub struct PyramidOptions {
    /// Which readers' conventions it follows.
    pub kind: PyramidKind,
    /// Scale of level 0.
    pub mpp: Option<Mpp>,
    /// Side of the tiles: a multiple of 16, 16…4096.
    pub tile_px: u32,
    /// JPEG quality, 1…100.
    pub jpeg_quality: u8,
    /// Extra pictures by name (`label`, `macro`); only an Aperio file can hold them.
    pub associated: Vec<(String, RgbTile)>,
}

/// Conventions of a pyramid.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum PyramidKind {
    /// A plain tiled TIFF; the scale stands in its resolution.
    GenericTiff,
    /// With an Aperio description, which carries scale and objective power.
    Aperio {
        /// Objective power.
        magnification: f64,
    },
}

impl Default for PyramidOptions {
    fn default() -> Self {
        Self {
            kind: PyramidKind::GenericTiff,
            mpp: None,
            tile_px: 256,
            jpeg_quality: 90,
            associated: Vec::new(),
        }
    }
}

/// A tile of level 0 that the writer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TileRequest {
    /// Top-left corner.
    pub origin_base_px: [u32; 2],
    /// Size: a whole tile, less at the right and bottom edge.
    pub size_px: [u32; 2],
}

/// Writes a pyramid of a slide of `base_px`, whose tiles `read_tile` gives, row by row from the top left.
///
/// # Errors
/// [`SlideError::Write`]; the file is then absent, or what it was before.
pub fn write_pyramid(
    path: &Path,
    base_px: [u32; 2],
    options: &PyramidOptions,
    read_tile: &mut dyn FnMut(TileRequest) -> Result<RgbTile, SlideError>,
) -> Result<(), SlideError> {
    let written = check(base_px, options).and_then(|()| write_beside(path, base_px, options, read_tile));
    written.map_err(|source| SlideError::Write { path: path.to_path_buf(), source })
}

/// Writes a pyramid of a picture in memory.
///
/// # Errors
/// [`SlideError::Write`].
pub fn write_picture_pyramid(
    path: &Path,
    picture: &RgbTile,
    options: &PyramidOptions,
) -> Result<(), SlideError> {
    write_pyramid(path, picture.size_px(), options, &mut |request| {
        Ok(cut(picture.pixels(), picture.width_px(), request.origin_base_px, request.size_px))
    })
}

fn check(base_px: [u32; 2], options: &PyramidOptions) -> Result<(), WriteCause> {
    let refuse = |reason| Err(WriteCause::Options { reason });
    if base_px.contains(&0) {
        return refuse("a slide without pixels");
    }
    if !(16..=4096).contains(&options.tile_px) || !options.tile_px.is_multiple_of(16) {
        return refuse("tiles must have a side of 16…4096 px that is a multiple of 16");
    }
    if !(1..=100).contains(&options.jpeg_quality) {
        return refuse("the JPEG quality must lie in 1…100");
    }
    if options.kind == PyramidKind::GenericTiff && !options.associated.is_empty() {
        return refuse("a plain TIFF pyramid cannot hold associated images");
    }
    Ok(())
}

/// Writes under another name first, so that half a file never bears the right one.
fn write_beside(
    path: &Path,
    base_px: [u32; 2],
    options: &PyramidOptions,
    read_tile: &mut dyn FnMut(TileRequest) -> Result<RgbTile, SlideError>,
) -> Result<(), WriteCause> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let written = write_file(&partial, base_px, options, read_tile)
        .and_then(|()| std::fs::rename(&partial, path).map_err(WriteCause::Io));
    if written.is_err() {
        // The error that stopped the writing matters more than one of clearing up.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_file(
    partial: &Path,
    base_px: [u32; 2],
    options: &PyramidOptions,
    read_tile: &mut dyn FnMut(TileRequest) -> Result<RgbTile, SlideError>,
) -> Result<(), WriteCause> {
    let mut file = BufWriter::new(File::create(partial)?);
    let mut tiff = TiffEncoder::<_, TiffKindBig>::new_generic(&mut file)?;
    let mut directory = tiff.image_directory()?;
    let mut levels = Level::pyramid(base_px, options.tile_px);
    {
        let mut writer = TileWriter { directory: &mut directory, levels: &mut levels, options };
        writer.write_all(base_px, read_tile)?;
    }
    levels[0].write_tags(&mut directory, 0, options)?;
    directory.finish()?;
    for (level_idx, level) in levels.iter().enumerate().skip(1) {
        let mut directory = tiff.image_directory()?;
        level.write_tags(&mut directory, level_idx, options)?;
        directory.finish()?;
    }
    for (name, picture) in &options.associated {
        let mut directory = tiff.image_directory()?;
        write_associated(&mut directory, name, picture)?;
        directory.finish()?;
    }
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}

/// One level while it is written.
struct Level {
    size_px: [u32; 2],
    n_tile: [u32; 2],
    /// Where each tile lies in the file and how long it is, row by row.
    offsets: Vec<u64>,
    lengths: Vec<u64>,
    /// The tile row that is being averaged together; empty at level 0.
    band: Vec<u8>,
}

impl Level {
    /// Levels of half the size each, down to one that fits a tile.
    fn pyramid(base_px: [u32; 2], tile_px: u32) -> Vec<Self> {
        let mut levels = Vec::new();
        let mut size_px = base_px;
        loop {
            let n_band = if levels.is_empty() { 0 } else { size_px[0] as usize * tile_px as usize * 3 };
            let n_tile = size_px.map(|side| side.div_ceil(tile_px));
            let band = vec![255; n_band];
            levels.push(Self { size_px, n_tile, offsets: Vec::new(), lengths: Vec::new(), band });
            if size_px.iter().all(|&side| side <= tile_px) {
                return levels;
            }
            size_px = size_px.map(|side| (side / 2).max(1));
        }
    }

    fn write_tags(
        &self,
        directory: &mut Directory<'_, '_>,
        level_idx: usize,
        options: &PyramidOptions,
    ) -> Result<(), WriteCause> {
        let [width, height] = self.size_px;
        directory.write_tag(Tag::NewSubfileType, u32::from(level_idx > 0))?;
        directory.write_tag(Tag::ImageWidth, width)?;
        directory.write_tag(Tag::ImageLength, height)?;
        directory.write_tag(Tag::BitsPerSample, &[8_u16, 8, 8][..])?;
        directory.write_tag(Tag::Compression, 7_u16)?; // JPEG, whole streams
        directory.write_tag(Tag::PhotometricInterpretation, 6_u16)?; // YCbCr, not subsampled
        directory.write_tag(Tag::SamplesPerPixel, 3_u16)?;
        directory.write_tag(Tag::PlanarConfiguration, 1_u16)?;
        directory.write_tag(Tag::ChromaSubsampling, &[1_u16, 1][..])?;
        directory.write_tag(Tag::TileWidth, options.tile_px)?;
        directory.write_tag(Tag::TileLength, options.tile_px)?;
        directory.write_tag(Tag::TileOffsets, &self.offsets[..])?;
        directory.write_tag(Tag::TileByteCounts, &self.lengths[..])?;
        if let Some(mpp) = options.mpp {
            let per_cm = 10_000.0 / mpp.um_per_px() / f64::from(1_u32 << level_idx.min(31));
            let ratio = || Rational { n: (per_cm * 1000.0).round() as u32, d: 1000 };
            directory.write_tag(Tag::XResolution, ratio())?;
            directory.write_tag(Tag::YResolution, ratio())?;
            directory.write_tag(Tag::ResolutionUnit, 3_u16)?;
        }
        if let PyramidKind::Aperio { magnification } = options.kind {
            let (tile_px, quality) = (options.tile_px, options.jpeg_quality);
            let scale = options.mpp.map(|mpp| format!("|MPP = {}", mpp.um_per_px())).unwrap_or_default();
            let base =
                if level_idx == 0 { format!("|AppMag = {magnification}{scale}") } else { String::new() };
            let text = format!(
                "Aperio Image Library v12.0.0 \r\n{width}x{height} ({tile_px}x{tile_px}) JPEG/RGB Q={quality}{base}"
            );
            directory.write_tag(Tag::ImageDescription, text.as_str())?;
        }
        Ok(())
    }
}

type Directory<'a, 'f> = DirectoryEncoder<'a, &'f mut BufWriter<File>, TiffKindBig>;

/// Cuts, encodes and stores tiles of all levels at once.
struct TileWriter<'w, 'a, 'f> {
    directory: &'w mut Directory<'a, 'f>,
    levels: &'w mut [Level],
    options: &'w PyramidOptions,
}

impl TileWriter<'_, '_, '_> {
    fn write_all(
        &mut self,
        base_px: [u32; 2],
        read_tile: &mut dyn FnMut(TileRequest) -> Result<RgbTile, SlideError>,
    ) -> Result<(), WriteCause> {
        let [n_column, n_row] = self.levels[0].n_tile;
        for row in 0..n_row {
            for column in 0..n_column {
                let request = self.tile_at(0, [column, row]);
                let origin_base_px = request.origin_base_px;
                let tile = read_tile(request)
                    .map_err(|source| WriteCause::Source { origin_base_px, source: Box::new(source) })?;
                let (got_px, want_px) = (tile.size_px(), request.size_px);
                if got_px != want_px {
                    return Err(WriteCause::TileSize { origin_base_px, got_px, want_px });
                }
                self.put(0, [column, row], &tile)?;
            }
            self.close_row(0, row)?;
        }
        debug_assert_eq!(base_px, self.levels[0].size_px, "levels are made from the base");
        Ok(())
    }

    /// Corner and size of a tile, in its own level's pixels.
    fn tile_at(&self, level_idx: usize, at: [u32; 2]) -> TileRequest {
        let tile_px = self.options.tile_px;
        let origin_base_px = at.map(|idx| idx * tile_px);
        let level_px = self.levels[level_idx].size_px;
        let size_px = [0, 1].map(|k| tile_px.min(level_px[k] - origin_base_px[k]));
        TileRequest { origin_base_px, size_px }
    }

    /// Stores a tile and averages it into the band of the next level.
    fn put(&mut self, level_idx: usize, at: [u32; 2], tile: &RgbTile) -> Result<(), WriteCause> {
        let tile_px = self.options.tile_px;
        let whole = pad(tile, tile_px);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, self.options.jpeg_quality).encode(
            &whole,
            tile_px,
            tile_px,
            image::ExtendedColorType::Rgb8,
        )?;
        let offset = self.directory.write_data(&jpeg[..])?;
        let level = &mut self.levels[level_idx];
        level.offsets.push(offset);
        level.lengths.push(jpeg.len() as u64);

        let Some(next) = self.levels.get_mut(level_idx + 1) else { return Ok(()) };
        let half = tile_px / 2;
        let (left, top) = (at[0] * half, at[1] % 2 * half);
        let room = [next.size_px[0].saturating_sub(left), next.size_px[1].saturating_sub(at[1] * half)];
        let width = next.size_px[0] as usize;
        let [n_column, n_row] = [0, 1].map(|k| tile.size_px()[k].div_ceil(2).min(room[k]) as usize);
        let stride = tile_px as usize * 3;
        for y in 0..n_row {
            let target = ((top as usize + y) * width + left as usize) * 3;
            for x in 0..n_column {
                for c in 0..3 {
                    // The padded tile repeats its edge, so an odd last column averages with itself.
                    let from = 2 * y * stride + 2 * x * 3 + c;
                    let sum: u32 = [from, from + 3, from + stride, from + stride + 3]
                        .iter()
                        .map(|&idx| u32::from(whole[idx]))
                        .sum();
                    next.band[target + x * 3 + c] = ((sum + 2) / 4) as u8;
                }
            }
        }
        Ok(())
    }

    /// Emits the next level's tile row, when its lower half or the last row is there.
    fn close_row(&mut self, level_idx: usize, row: u32) -> Result<(), WriteCause> {
        let is_last = row + 1 == self.levels[level_idx].n_tile[1];
        let next_idx = level_idx + 1;
        if next_idx == self.levels.len() || (row.is_multiple_of(2) && !is_last) {
            return Ok(());
        }
        let next_row = row / 2;
        if next_row >= self.levels[next_idx].n_tile[1] {
            return Ok(());
        }
        for column in 0..self.levels[next_idx].n_tile[0] {
            let request = self.tile_at(next_idx, [column, next_row]);
            let level = &self.levels[next_idx];
            let tile = cut(&level.band, level.size_px[0], [request.origin_base_px[0], 0], request.size_px);
            self.put(next_idx, [column, next_row], &tile)?;
        }
        self.close_row(next_idx, next_row)
    }
}

/// Fills a tile up to a square by repeating its last column and row, which compresses without a seam.
fn pad(tile: &RgbTile, tile_px: u32) -> Vec<u8> {
    let [width, height] = tile.size_px().map(|side| side as usize);
    let side = tile_px as usize;
    let mut bytes = Vec::with_capacity(side * side * 3);
    for y in 0..side {
        let at = y.min(height - 1) * width * 3;
        let line = &tile.pixels()[at..at + width * 3];
        bytes.extend_from_slice(line);
        for _ in width..side {
            bytes.extend_from_slice(&line[(width - 1) * 3..]);
        }
    }
    bytes
}

/// A rectangle of `width_px`-wide pixels that holds it wholly.
fn cut(pixels: &[u8], width_px: u32, origin_px: [u32; 2], size_px: [u32; 2]) -> RgbTile {
    let [left, top] = origin_px.map(|side| side as usize);
    let [width, height] = size_px.map(|side| side as usize);
    let line = |y: usize| {
        let at = (y * width_px as usize + left) * 3;
        &pixels[at..at + width * 3]
    };
    let bytes = (top..top + height).flat_map(line).copied().collect();
    RgbTile::new(size_px, bytes).expect("the rectangle lies inside and is not empty")
}

fn write_associated(
    directory: &mut Directory<'_, '_>,
    name: &str,
    picture: &RgbTile,
) -> Result<(), WriteCause> {
    let [width, height] = picture.size_px();
    let offset = directory.write_data(picture.pixels())?;
    directory.write_tag(Tag::NewSubfileType, 1_u32)?;
    directory.write_tag(Tag::ImageWidth, width)?;
    directory.write_tag(Tag::ImageLength, height)?;
    directory.write_tag(Tag::BitsPerSample, &[8_u16, 8, 8][..])?;
    directory.write_tag(Tag::Compression, 1_u16)?;
    directory.write_tag(Tag::PhotometricInterpretation, 2_u16)?;
    let text = format!("Aperio Image Library v12.0.0 \n{name} {width}x{height}");
    directory.write_tag(Tag::ImageDescription, text.as_str())?;
    directory.write_tag(Tag::StripOffsets, offset)?;
    directory.write_tag(Tag::SamplesPerPixel, 3_u16)?;
    directory.write_tag(Tag::RowsPerStrip, height)?;
    directory.write_tag(Tag::StripByteCounts, picture.pixels().len() as u64)?;
    directory.write_tag(Tag::PlanarConfiguration, 1_u16)?;
    Ok(())
}
