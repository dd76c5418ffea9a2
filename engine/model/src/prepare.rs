//! From a picture to the patches that the vision tower reads.
//!
//! Everything follows the slow image processor of transformers (`Qwen2VLImageProcessorPil`): the size is
//! chosen by `smart_resize`, pixels are resampled by Pillow's bicubic filter on 8-bit integers, then scaled,
//! normalised and cut. Resampling on floats, or with another filter, gives other inputs than the model was
//! trained on. The size rule and the resampling have their tests here; pixel values are compared with the
//! reference in `tests/parity_qwen.rs`.

mod resample;

use eosin_core::{PatchGrid, RgbTile};
use eosin_weights::{Meta, WeightError};
use serde_json::Value;

pub use resample::{Filter, Window, resize, resize_window};

use crate::ModelError;

/// A picture as the vision tower reads it. Only [`Preprocess::prepare`] makes one.
#[derive(Clone, PartialEq)]
pub struct ImageTensor {
    /// `[p, 3 × 2 × 14 × 14]`, row-major: patches cell by cell, each as (channel, frame, row, column).
    pub patches: Vec<f32>,
    /// The grid that the patches came from.
    pub grid: PatchGrid,
}

impl std::fmt::Debug for ImageTensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Pixels are patient data: never printed.
        write!(f, "ImageTensor({} patches)", self.grid.n_patch())
    }
}

/// How pictures become patches.
#[derive(Clone, PartialEq, Debug)]
pub struct Preprocess {
    /// Side of a patch.
    pub patch_px: u32,
    /// Patches merged along one side.
    pub merge: u32,
    /// Frames in a patch: a still picture is repeated.
    pub n_frame: usize,
    /// Fewest pixels of a resized picture.
    pub min_pixels: u64,
    /// Most pixels of a resized picture.
    pub max_pixels: u64,
    /// Mean of each channel, of values 0…1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
}

impl Default for Preprocess {
    /// The values of the released checkpoints.
    fn default() -> Self {
        Self {
            patch_px: 14,
            merge: 2,
            n_frame: 2,
            min_pixels: 56 * 56,
            max_pixels: 12_845_056,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        }
    }
}

const FILE: &str = "preprocessor_config.json";

fn wrong(key: &str, expected: &str) -> ModelError {
    ModelError::WrongKey { key: key.to_owned(), expected: expected.to_owned(), file: FILE }
}

/// Three numbers, one a channel.
fn channels(config: &Value, key: &str, default: [f32; 3]) -> Result<[f32; 3], ModelError> {
    let Some(value) = config.get(key).filter(|value| !value.is_null()) else { return Ok(default) };
    let numbers: Option<Vec<f32>> = value
        .as_array()
        .and_then(|list| list.iter().map(|number| number.as_f64().map(|n| n as f32)).collect());
    let numbers = numbers.and_then(|numbers| <[f32; 3]>::try_from(numbers).ok());
    numbers.filter(|numbers| numbers.iter().all(|n| n.is_finite())).ok_or_else(|| wrong(key, "three numbers"))
}

/// A count within what a picture can have.
fn count(config: &Value, keys: &[&str], default: u64) -> Result<u64, ModelError> {
    for key in keys {
        // `size.shortest_edge` is how newer configurations call the fewest *pixels*.
        let value = key.split('.').try_fold(config, |value, part| value.get(part));
        if let Some(value) = value.filter(|value| !value.is_null()) {
            let count = value.as_u64().filter(|count| (1..1 << 40).contains(count));
            return count.ok_or_else(|| wrong(key, "a positive count"));
        }
    }
    Ok(default)
}

impl Preprocess {
    /// Reads `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`ModelError::WrongKey`].
    pub fn from_hf(config: &Value) -> Result<Self, ModelError> {
        let default = Self::default();
        let small = |keys: &[&str], default: u64| {
            count(config, keys, default).and_then(|n| {
                u32::try_from(n).ok().filter(|n| *n <= 1024).ok_or_else(|| wrong(keys[0], "at most 1024"))
            })
        };
        let preprocess = Self {
            patch_px: small(&["patch_size"], 14)?,
            merge: small(&["merge_size"], 2)?,
            n_frame: small(&["temporal_patch_size"], 2)? as usize,
            min_pixels: count(
                config,
                &["min_pixels", "size.min_pixels", "size.shortest_edge"],
                default.min_pixels,
            )?,
            max_pixels: count(
                config,
                &["max_pixels", "size.max_pixels", "size.longest_edge"],
                default.max_pixels,
            )?,
            mean: channels(config, "image_mean", default.mean)?,
            std: channels(config, "image_std", default.std)?,
        };
        if preprocess.std.iter().any(|std| *std <= 0.0) {
            return Err(wrong("image_std", "three positive numbers"));
        }
        if preprocess.min_pixels > preprocess.max_pixels {
            return Err(wrong("max_pixels", "at least `min_pixels`"));
        }
        Ok(preprocess)
    }

    /// Reads the metadata of a projector file.
    ///
    /// # Errors
    /// [`ModelError::Metadata`] or [`ModelError::WrongKey`].
    pub fn from_gguf(meta: &Meta) -> Result<Self, ModelError> {
        let mut config = serde_json::Map::new();
        let read = |key: &str| {
            let key = key.to_owned();
            move |source: WeightError| ModelError::Metadata { key, source }
        };
        for (name, key) in [
            ("patch_size", "clip.vision.patch_size"),
            ("merge_size", "clip.vision.spatial_merge_size"),
            ("min_pixels", "clip.vision.image_min_pixels"),
            ("max_pixels", "clip.vision.image_max_pixels"),
        ] {
            if meta.contains(key) {
                config.insert(name.to_owned(), meta.u32(key).map_err(read(key))?.into());
            }
        }
        for (name, key) in [("image_mean", "clip.vision.image_mean"), ("image_std", "clip.vision.image_std")]
        {
            if meta.contains(key) {
                config.insert(name.to_owned(), meta.f32s(key).map_err(read(key))?.into());
            }
        }
        Self::from_hf(&Value::Object(config))
    }

    /// The same with other bounds on the number of pixels: a budget of `n` tokens is `n × 28²` pixels.
    #[must_use]
    pub fn with_pixels(&self, min_pixels: u64, max_pixels: u64) -> Self {
        Self { min_pixels, max_pixels: max_pixels.max(min_pixels), ..self.clone() }
    }

    /// The size that a picture is resized to.
    ///
    /// # Errors
    /// [`ModelError::Aspect`].
    pub fn target_px(&self, size_px: [u32; 2]) -> Result<[u32; 2], ModelError> {
        smart_resize(size_px, self.patch_px * self.merge, [self.min_pixels, self.max_pixels])
    }

    /// The picture as the model sees it: resized, and nothing else.
    ///
    /// # Errors
    /// [`ModelError::Aspect`].
    pub fn resized(&self, tile: &RgbTile) -> Result<RgbTile, ModelError> {
        let target_px = self.target_px(tile.size_px())?;
        let pixels = resize(tile.pixels(), tile.size_px(), target_px, Filter::Bicubic);
        #[expect(
            clippy::expect_used,
            reason = "the filter returns three bytes for every pixel of a size without zeros"
        )]
        Ok(RgbTile::new(target_px, pixels).expect("a whole picture"))
    }

    /// Resizes, normalises and cuts a picture.
    ///
    /// # Errors
    /// [`ModelError::Aspect`].
    pub fn prepare(&self, tile: &RgbTile) -> Result<ImageTensor, ModelError> {
        let target_px = self.target_px(tile.size_px())?;
        let grid = PatchGrid::new(target_px, self.patch_px, self.merge).map_err(ModelError::Grid)?;
        let pixels = resize(tile.pixels(), tile.size_px(), target_px, Filter::Bicubic);
        // Channel by channel every byte has one value: a table instead of a division a pixel.
        let table: [Vec<f32>; 3] = std::array::from_fn(|c| {
            (0..=255u8).map(|byte| ((f64::from(byte) / 255.0) as f32 - self.mean[c]) / self.std[c]).collect()
        });
        let (side, merge) = (self.patch_px as usize, self.merge as usize);
        let row_px = target_px[0] as usize;
        let mut patches = Vec::with_capacity(grid.n_patch() * 3 * self.n_frame * side * side);
        let [cell_rows, cell_columns] = grid.merged_rows_columns();
        for cell_row in 0..cell_rows {
            for cell_column in 0..cell_columns {
                for within in 0..merge * merge {
                    let top = (cell_row * merge + within / merge) * side;
                    let left = (cell_column * merge + within % merge) * side;
                    for (channel, table) in table.iter().enumerate() {
                        for _ in 0..self.n_frame {
                            for row in top..top + side {
                                let start = (row * row_px + left) * 3 + channel;
                                let bytes = pixels[start..].iter().step_by(3).take(side);
                                patches.extend(bytes.map(|byte| table[usize::from(*byte)]));
                            }
                        }
                    }
                }
            }
        }
        Ok(ImageTensor { patches, grid })
    }
}

/// The nearest size, width and height, whose sides are multiples of `unit_px` and whose area lies within
/// `[min, max]` pixels. Halves round to the even multiple, as Python rounds.
///
/// # Errors
/// [`ModelError::Aspect`] for a picture more than 200 times as long as wide.
pub fn smart_resize(
    [width_px, height_px]: [u32; 2],
    unit_px: u32,
    [min_pixels, max_pixels]: [u64; 2],
) -> Result<[u32; 2], ModelError> {
    let (short, long) = (width_px.min(height_px), width_px.max(height_px));
    if short == 0 || f64::from(long) / f64::from(short) > 200.0 {
        return Err(ModelError::Aspect { width_px, height_px });
    }
    let sides = [width_px, height_px].map(f64::from);
    let unit = f64::from(unit_px);
    let rounded = sides.map(|side| (side / unit).round_ties_even() * unit);
    let area: f64 = sides.iter().product();
    let rounded_area: f64 = rounded.iter().product();
    let result = if rounded_area > max_pixels as f64 {
        let shrink = (area / max_pixels as f64).sqrt();
        sides.map(|side| ((side / shrink / unit).floor() * unit).max(unit))
    } else if rounded_area < min_pixels as f64 {
        let grow = (min_pixels as f64 / area).sqrt();
        sides.map(|side| (side * grow / unit).ceil() * unit)
    } else {
        rounded
    };
    Ok(result.map(|side| (side as u32).max(unit_px)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_reference() {
        let check = |max: u64, [h, w]: [u32; 2], expected: [u32; 2], n_token: usize| {
            let size = smart_resize([w, h], 28, [3136, max]).unwrap();
            assert_eq!(size, [expected[1], expected[0]], "{h} × {w}");
            assert_eq!(PatchGrid::new(size, 14, 2).unwrap().n_token(), n_token, "{h} × {w}");
        };
        let released = 12_845_056;
        check(released, [768, 768], [756, 756], 729);
        check(released, [672, 672], [672, 672], 576);
        check(released, [224, 224], [224, 224], 64);
        check(released, [1000, 800], [1008, 812], 1044);
        check(released, [70, 42], [56, 56], 4);
        check(released, [20, 30], [56, 84], 6);
        check(released, [10_000, 8000], [4004, 3192], 16_302);
        check(65_536, [768, 768], [252, 252], 81);
        check(65_536, [672, 672], [252, 252], 81);
        check(65_536, [1536, 1024], [308, 196], 77);
        assert!(smart_resize([20, 4000], 28, [3136, released]).is_ok());
        assert!(matches!(smart_resize([20, 4001], 28, [3136, released]), Err(ModelError::Aspect { .. })));
        assert!(matches!(smart_resize([0, 4], 28, [3136, released]), Err(ModelError::Aspect { .. })));
    }

    #[test]
    fn both_spellings_of_the_bounds_are_read() {
        let check = |text: &str, expected: [u64; 2]| {
            let preprocess = Preprocess::from_hf(&serde_json::from_str(text).unwrap()).unwrap();
            assert_eq!([preprocess.min_pixels, preprocess.max_pixels], expected, "{text}");
        };
        check("{}", [3136, 12_845_056]);
        check(r#"{"min_pixels": 784, "max_pixels": 65536}"#, [784, 65_536]);
        check(r#"{"size": {"shortest_edge": 784, "longest_edge": 65536}}"#, [784, 65_536]);
        for text in [
            r#"{"min_pixels": "1"}"#,
            r#"{"image_std": [1, 0, 1]}"#,
            r#"{"patch_size": 100000}"#,
            r#"{"min_pixels": 100, "max_pixels": 10}"#,
            r#"{"image_mean": [1, 2]}"#,
        ] {
            assert!(Preprocess::from_hf(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn patches_lie_cell_by_cell() {
        // Each pixel says where it is: red its patch row, green its patch column.
        let size_px = [84, 56];
        let pixels = (0..56u8).flat_map(|y| (0..84u8).flat_map(move |x| [y / 14, x / 14, 0])).collect();
        let preprocess = Preprocess { mean: [0.0; 3], std: [1.0 / 255.0; 3], ..Preprocess::default() };
        let image = preprocess.prepare(&RgbTile::new(size_px, pixels).unwrap()).unwrap();
        assert_eq!(image.patches.len(), image.grid.n_patch() * 1176);
        let whole = |value: f32| value.round() as i32;
        let places: Vec<[i32; 2]> =
            image.patches.chunks(1176).map(|patch| [whole(patch[0]), whole(patch[2 * 196])]).collect();
        let first_cell = [[0, 0], [0, 1], [1, 0], [1, 1]];
        assert_eq!(places[..4], first_cell);
        assert_eq!(places[4], [0, 2]);
        assert_eq!(places[12], [2, 0]);
        // Both frames are the same picture.
        assert!(image.patches.chunks(1176).all(|patch| patch[..196] == patch[196..392]));
    }
}
