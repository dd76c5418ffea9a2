//! Whole slides through OpenSlide.
//!
//! OpenSlide marks a handle as dead after the first tile that does not decode. One damaged tile must not
//! take the whole slide away, so the file is then opened again, if it is still the same file.
//! Held true by `tests/slides.rs` (`unreadable.svs`, damaged and replaced pyramids).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use eosin_core::{AssociatedImage, Level, Mpp, RgbTile, SlideId, SlideInfo};
use openslide_rs::errors::OpenSlideError;
use openslide_rs::{Address, OpenSlide, Region, Size};

use crate::error::{OpenCause, ReadCause};
use crate::{id, picture, raw, skew};

/// Scales of level 0 that a microscope can have; readers report others from stray TIFF tags.
const MPP_PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.05..=10.0;
/// Objective powers that are believed.
const MAGNIFICATION_PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.5..=200.0;
/// Most pixels of an associated image.
const ASSOCIATED_PX_MAX: u64 = 64 << 20;

/// An open whole slide.
pub(crate) struct Whole {
    path: PathBuf,
    id: SlideId,
    companion: String,
    readable: Vec<bool>,
    handle: RwLock<Arc<OpenSlide>>,
}

impl Whole {
    /// Opens what OpenSlide recognises; none where it does not.
    pub(crate) fn open(path: &Path, file: &mut File) -> Result<Option<(Self, SlideInfo)>, OpenCause> {
        raw::quieten_libtiff();
        let handle = match open_quietly(path) {
            Ok(handle) => handle,
            Err(OpenSlideError::UnsupportedFile(_)) => return Ok(None),
            Err(error) => return Err(OpenCause::OpenSlide { message: message_of(&error) }),
        };
        let property = |name: &str| handle.property_value(name).ok();
        let format = property("openslide.vendor").unwrap_or_else(|| "openslide".into());
        // These slides are several files, and the one that is named may be a mere table of contents.
        let companion = match format.as_str() {
            "mirax" | "hamamatsu" => property("openslide.quickhash-1").unwrap_or_default(),
            _ => String::new(),
        };
        let id = id::hash_file(file, &companion)?;
        let levels = handle.all_level_dimensions().iter().zip(handle.all_level_downsamples());
        let levels: Vec<Level> = levels
            .map(|(size, &downsample)| Level { size_px: [size.w, size.h], downsample })
            .take_while(|level| level.size_px.iter().all(|&side| side > 0) && level.downsample >= 1.0)
            .collect();
        if levels.is_empty() {
            return Err(OpenCause::OpenSlide { message: "the slide has no pixels".into() });
        }
        let readable = skew::readable_levels(file, &levels, &property);
        let names = handle.associated_image_names().unwrap_or_default();
        let associated = names.into_iter().map(|name| {
            let size_px = handle.associated_image_dimensions(&name).map_or([0, 0], |size| [size.w, size.h]);
            // What is not known to be harmless may be a photograph of the label.
            AssociatedImage { sensitive: name != "thumbnail", name, size_px }
        });
        let info = SlideInfo {
            id: id.clone(),
            format,
            levels,
            mpp: mpp_of(&property),
            magnification: property("openslide.objective-power")
                .and_then(|text| text.trim().parse().ok())
                .filter(|power| MAGNIFICATION_PLAUSIBLE.contains(power)),
            associated: associated.collect(),
        };
        let handle = RwLock::new(Arc::new(handle));
        Ok(Some((Self { path: path.to_path_buf(), id, companion, readable, handle }, info)))
    }

    /// Pixels of a level from a corner in base pixels, on white.
    pub(crate) fn read(
        &self,
        level_idx: usize,
        origin_base_px: [u32; 2],
        size_px: [u32; 2],
    ) -> Result<RgbTile, ReadCause> {
        let region = Region {
            size: Size { w: size_px[0], h: size_px[1] },
            level: level_idx as u32,
            // The C function counts the corner in base pixels whatever the level, and so does this crate.
            address: Address { x: origin_base_px[0], y: origin_base_px[1] },
        };
        let argb = self.with_handle(|handle| handle.read_region(&region))?;
        on_white(size_px, &argb)
    }

    /// Whether OpenSlide reads a level rightly.
    pub(crate) fn reads_level(&self, level_idx: usize) -> bool {
        self.readable[level_idx]
    }

    /// An associated image, on white.
    pub(crate) fn associated(&self, name: &str, size_px: [u32; 2]) -> Result<RgbTile, ReadCause> {
        if u64::from(size_px[0]) * u64::from(size_px[1]) > ASSOCIATED_PX_MAX {
            return Err(ReadCause::ImageTooLarge { size_px });
        }
        let (size, argb) = self.with_handle(|handle| handle.read_associated_buffer(name))?;
        on_white([size.w, size.h], &argb)
    }

    /// Everything the file states, as OpenSlide names it, sorted.
    pub(crate) fn properties(&self) -> Vec<(String, String)> {
        let handle = self.handle();
        let names = handle.property_names().unwrap_or_default();
        let value_of = |name: String| handle.property_value(&name).ok().map(|value| (name, value));
        let mut pairs: Vec<_> = names.into_iter().filter_map(value_of).collect();
        pairs.sort();
        pairs
    }

    fn handle(&self) -> Arc<OpenSlide> {
        Arc::clone(&self.handle.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_handle<T>(
        &self,
        action: impl Fn(&OpenSlide) -> Result<T, OpenSlideError>,
    ) -> Result<T, ReadCause> {
        let handle = self.handle();
        action(&handle).map_err(|error| {
            if matches!(error, OpenSlideError::LibraryError(_)) {
                self.revive(&handle);
            }
            ReadCause::OpenSlide { message: message_of(&error) }
        })
    }

    /// Opens the file again after `dead` failed, unless it is gone, another one, or already open again.
    fn revive(&self, dead: &Arc<OpenSlide>) {
        let mut current = self.handle.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, dead) {
            return;
        }
        let same = || -> Option<OpenSlide> {
            let mut file = picture::open_file(&self.path).ok()?;
            let id = id::hash_file(&mut file, &self.companion).ok()?;
            if id == self.id { open_quietly(&self.path).ok() } else { None }
        };
        if let Some(handle) = same() {
            *current = Arc::new(handle);
        }
    }
}

/// Scale of level 0 by the reader, else by the TIFF's resolution (which OpenSlide 3 leaves to the caller).
fn mpp_of(property: &dyn Fn(&str) -> Option<String>) -> Option<Mpp> {
    let number = |name: &str| property(name)?.trim().parse::<f64>().ok();
    let stated = mean(number("openslide.mpp-x"), number("openslide.mpp-y")).and_then(plausible);
    stated.or_else(|| {
        let unit = property("tiff.ResolutionUnit").unwrap_or_default();
        mpp_from_resolution(number("tiff.XResolution"), number("tiff.YResolution"), &unit)
    })
}

/// Scale from pixels per `inch` or `centimeter`, where a microscope can have it.
pub(crate) fn mpp_from_resolution(x: Option<f64>, y: Option<f64>, unit: &str) -> Option<Mpp> {
    let um_per_unit = match unit {
        "inch" => 25_400.0,
        "centimeter" => 10_000.0,
        _ => return None,
    };
    let um = |per_unit: f64| um_per_unit / per_unit;
    mean(x.map(um), y.map(um)).and_then(plausible)
}

fn mean(x: Option<f64>, y: Option<f64>) -> Option<f64> {
    match (x, y) {
        (Some(x), Some(y)) => Some(f64::midpoint(x, y)),
        (one, other) => one.or(other),
    }
}

fn plausible(um_per_px: f64) -> Option<Mpp> {
    if MPP_PLAUSIBLE.contains(&um_per_px) { Mpp::new(um_per_px).ok() } else { None }
}

/// Premultiplied ARGB, a native `u32` a pixel, to RGB on white.
fn on_white(size_px: [u32; 2], argb: &[u8]) -> Result<RgbTile, ReadCause> {
    let mut pixels = vec![0; argb.len() / 4 * 3];
    let (fours, rest) = argb.as_chunks::<16>();
    let (twelves, rest_out) = pixels.as_chunks_mut::<12>();
    for (four, twelve) in fours.iter().zip(twelves) {
        let px: [u32; 4] = std::array::from_fn(|idx| {
            u32::from_ne_bytes([four[idx * 4], four[idx * 4 + 1], four[idx * 4 + 2], four[idx * 4 + 3]])
        });
        if px[0] & px[1] & px[2] & px[3] >= 0xff00_0000 {
            // Opaque, as nearly all are: four pixels of 24 bits are three words, and no byte is touched alone.
            let [a, b, c, d] = px.map(|px| (px << 8).swap_bytes());
            let words = [a | b << 24, b >> 8 | c << 16, c >> 16 | d << 8];
            for (to, word) in twelve.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                *to = word.to_le_bytes();
            }
        } else {
            blend(&px, twelve);
        }
    }
    for (px, to) in rest.as_chunks::<4>().0.iter().zip(rest_out.as_chunks_mut::<3>().0) {
        blend(&[u32::from_ne_bytes(*px)], to);
    }
    let n_px = size_px[0] as usize * size_px[1] as usize;
    RgbTile::new(size_px, pixels).map_err(|_size| ReadCause::ShortRead { n_byte: argb.len(), n_px })
}

/// Lays pixels on white. They are premultiplied already, so that the share of white is all that is missing.
fn blend(argb: &[u32], rgb: &mut [u8]) {
    for (px, to) in argb.iter().zip(rgb.as_chunks_mut::<3>().0) {
        let [alpha, colours @ ..] = px.to_be_bytes();
        *to = colours.map(|colour| colour.saturating_add(255 - alpha));
    }
}

/// OpenSlide's own message, without the wrapper's prefix and without the path.
fn message_of(error: &OpenSlideError) -> String {
    match error {
        OpenSlideError::LibraryError(message) => message.clone(),
        OpenSlideError::MissingFile(_) => "the file is gone".into(),
        other => other.to_string(),
    }
}

/// Version of the OpenSlide library that is loaded.
pub fn library_version() -> String {
    OpenSlide::version().unwrap_or_else(|_no_answer| "of unknown version".into())
}

/// The reader that OpenSlide would use; none where it does not recognise the file.
pub(crate) fn detect_vendor(path: &Path) -> Option<String> {
    raw::quieten_libtiff();
    let _quiet = raw::QuietGlib::new();
    OpenSlide::detect_vendor(path).ok()
}

fn open_quietly(path: &Path) -> Result<OpenSlide, OpenSlideError> {
    let _quiet = raw::QuietGlib::new();
    OpenSlide::new(path)
}

/// What to say of a file that nothing recognises.
pub(crate) fn why_unrecognised(path: &Path) -> OpenCause {
    let version = library_version();
    let mut head = [0; 132];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    if read.is_ok() && head.ends_with(b"DICM") {
        OpenCause::Dicom { version }
    } else {
        OpenCause::Unrecognised { version }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparency_is_laid_on_white() {
        let argb = |px: u32| px.to_ne_bytes();
        let bytes: Vec<u8> = [0xff_10_20_30, 0, 0x80_40_00_80].into_iter().flat_map(argb).collect();
        let tile = on_white([3, 1], &bytes).unwrap();
        assert_eq!(tile.pixels(), [0x10, 0x20, 0x30, 255, 255, 255, 0xbf, 0x7f, 0xff]);
        assert!(on_white([2, 1], &bytes).is_err());
        // Four at a time and the rest alone give the same, opaque or not.
        for n_px in 1..11 {
            let px =
                |idx: u32| if idx % 5 == 3 { 0x80_40_00_80 } else { 0xff_00_00_00 | (idx * 0x00_11_07_03) };
            let bytes: Vec<u8> = (0..n_px).flat_map(|idx| argb(px(idx))).collect();
            let want: Vec<u8> =
                (0..n_px).flat_map(|idx| on_white([1, 1], &argb(px(idx))).unwrap().into_pixels()).collect();
            assert_eq!(on_white([n_px, 1], &bytes).unwrap().pixels(), want, "{n_px}");
        }
    }

    #[test]
    fn only_a_plausible_scale_is_believed() {
        let check = |pairs: &[(&str, &str)], expected: Option<f64>| {
            let property =
                |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            assert_eq!(mpp_of(&property).map(Mpp::um_per_px), expected, "{pairs:?}");
        };
        check(&[("openslide.mpp-x", "0.25"), ("openslide.mpp-y", "0.25")], Some(0.25));
        check(&[("openslide.mpp-x", "0.5")], Some(0.5));
        check(&[("openslide.mpp-x", "352.7"), ("openslide.mpp-y", "352.7")], None);
        check(&[("openslide.mpp-x", "nan")], None);
        check(&[("openslide.mpp-x", "0")], None);
        check(&[("tiff.XResolution", "40000"), ("tiff.ResolutionUnit", "centimeter")], Some(0.25));
        check(&[("tiff.XResolution", "50800"), ("tiff.ResolutionUnit", "inch")], Some(0.5));
        check(&[("tiff.XResolution", "28.34"), ("tiff.ResolutionUnit", "centimeter")], None);
        check(&[("tiff.XResolution", "40000"), ("tiff.ResolutionUnit", "none")], None);
        check(&[("tiff.XResolution", "0"), ("tiff.ResolutionUnit", "inch")], None);
    }
}
