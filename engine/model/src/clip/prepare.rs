//! From a picture to the pixels that the image tower was trained on.
//!
//! Resize until the shorter side fits, cut out the centre, scale to 0…1, subtract the mean and divide by
//! the spread. The resize is Pillow's, bit for bit ([`resize_window`]), for features shift visibly with any
//! other; only the pixels that survive the cut are computed. `tests/parity_clip.rs` compares pixel values
//! with transformers' PIL processor.

use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::RgbTile;
use rayon::prelude::*;
use serde_json::Value;

use super::ClipError;
use super::config::VisionConfig;
use crate::prepare::{Filter, Window, resize_window};

/// Which way half a pixel goes when the cut cannot be centred exactly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CropRounding {
    /// Towards the origin: transformers.
    Down,
    /// To the even neighbour: torchvision, and so `open_clip`.
    HalfToEven,
}

/// How a picture is brought to the size it is read at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resize {
    /// Not at all.
    Keep,
    /// The shorter side to this, the longer in proportion.
    ShortestEdge(u32),
    /// Width and height to these.
    Exact([u32; 2]),
}

/// The preprocessing of one model.
#[derive(Clone, PartialEq, Debug)]
pub struct Preprocess {
    resize: Resize,
    /// Width and height of the cut.
    crop_px: [u32; 2],
    rounding: CropRounding,
    mean: [f32; 3],
    spread: [f32; 3],
}

/// Largest side that is prepared: far above every model, far below any overflow.
const MAX_SIDE_PX: u64 = 16_384;

/// `OpenAI`'s statistics, which all CLIP models inherited.
const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const SPREAD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

impl Preprocess {
    /// `OpenAI`'s preprocessing at the model's image size.
    pub fn standard(config: &VisionConfig, rounding: CropRounding) -> Self {
        let side_px = config.image_px as u32;
        Self {
            resize: Resize::ShortestEdge(side_px),
            crop_px: [side_px; 2],
            rounding,
            mean: MEAN,
            spread: SPREAD,
        }
    }

    /// Reads a `preprocessor_config.json` of a CLIP model.
    ///
    /// # Errors
    /// [`ClipError::Preprocess`] for steps that Eosin does not do and for a result of another size than the
    /// model takes.
    pub fn from_hf(json: &Value, config: &VisionConfig) -> Result<Self, ClipError> {
        let mut preprocess = Self::standard(config, CropRounding::Down);
        let flag = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or(true);
        for key in ["do_rescale", "do_normalize"] {
            if !flag(key) {
                return Err(refused(format!("`{key}` is off")));
            }
        }
        match json.get("resample") {
            None | Some(Value::Null) => {}
            Some(value) if value.as_u64() == Some(3) => {}
            Some(_) => return Err(refused("`resample` is not 3 (bicubic)")),
        }
        match json.get("rescale_factor") {
            None | Some(Value::Null) => {}
            Some(value) if value.as_f64().is_some_and(|factor| (factor * 255.0 - 1.0).abs() < 1e-6) => {}
            Some(_) => return Err(refused("`rescale_factor` is not 1/255")),
        }
        preprocess.resize = match json.get("size") {
            _ if !flag("do_resize") => Resize::Keep,
            None | Some(Value::Null) => preprocess.resize,
            Some(size @ Value::Number(_)) => Resize::ShortestEdge(side(Some(size), "size")?),
            Some(size) if size.get("shortest_edge").is_some() => {
                Resize::ShortestEdge(side(size.get("shortest_edge"), "size.shortest_edge")?)
            }
            Some(size) => Resize::Exact(pair(size, "size")?),
        };
        preprocess.crop_px = match (flag("do_center_crop"), json.get("crop_size")) {
            (true, None | Some(Value::Null)) => preprocess.crop_px,
            (true, Some(size @ Value::Number(_))) => [side(Some(size), "crop_size")?; 2],
            (true, Some(size)) => pair(size, "crop_size")?,
            (false, _) => match preprocess.resize {
                Resize::Exact(size_px) => size_px,
                Resize::ShortestEdge(_) | Resize::Keep => {
                    return Err(refused(
                        "`do_center_crop` is off, so that pictures keep their own proportions",
                    ));
                }
            },
        };
        preprocess.mean = triple(json, "image_mean", MEAN)?;
        preprocess.spread = triple(json, "image_std", SPREAD)?;
        preprocess.checked(config)
    }

    /// Reads the `preprocess_cfg` of an `open_clip_config.json`.
    ///
    /// # Errors
    /// As [`Self::from_hf`].
    pub fn from_open_clip(json: &Value, config: &VisionConfig) -> Result<Self, ClipError> {
        let mut preprocess = Self::standard(config, CropRounding::HalfToEven);
        for (key, expected) in [("interpolation", "bicubic"), ("resize_mode", "shortest")] {
            if let Some(found) = json.get(key).and_then(Value::as_str)
                && found != expected
            {
                return Err(refused(format!("`{key}` is `{}`, not `{expected}`", found.escape_debug())));
            }
        }
        preprocess.mean = triple(json, "mean", MEAN)?;
        preprocess.spread = triple(json, "std", SPREAD)?;
        preprocess.checked(config)
    }

    fn checked(self, config: &VisionConfig) -> Result<Self, ClipError> {
        let [width, height] = self.crop_px.map(|side_px| side_px as usize);
        if [width, height] == [config.image_px; 2] {
            Ok(self)
        } else {
            let takes = config.image_px;
            Err(refused(format!("it makes {width} × {height} px, and the model takes {takes} × {takes} px")))
        }
    }

    /// Pixel values of one picture, `[3, height, width]`.
    pub fn prepare(&self, tile: &RgbTile) -> Vec<f32> {
        let [width, height] = tile.size_px();
        let full = match self.resize {
            Resize::Keep => [width, height],
            Resize::Exact(size_px) => size_px,
            Resize::ShortestEdge(side_px) => {
                // Division before truncation as Python does it: in double precision.
                let long = |long: u32, short: u32| {
                    (f64::from(side_px) * f64::from(long) / f64::from(short)).min(f64::from(u32::MAX)) as u32
                };
                if width <= height { [side_px, long(height, width)] } else { [long(width, height), side_px] }
            }
        };
        let pixels = resize_and_crop(tile, full, self.crop_px, self.rounding);
        let n_pixel = pixels.len() / 3;
        let mut values = Vec::with_capacity(pixels.len());
        for channel in 0..3 {
            let (mean, spread) = (self.mean[channel], self.spread[channel]);
            // 1/255 is rounded to a float first, as numpy does.
            let one = |byte: u8| (f32::from(byte) * (1.0 / 255.0) - mean) / spread;
            values.extend((0..n_pixel).map(|idx| one(pixels[idx * 3 + channel])));
        }
        values
    }

    /// Pixel values of several pictures, prepared on all cores.
    ///
    /// # Shapes
    /// - returns: `[b, 3, height, width]`
    pub fn batch(&self, tiles: &[RgbTile], device: &Device) -> Tensor<4> {
        let values = tiles.par_iter().flat_map_iter(|tile| self.prepare(tile)).collect::<Vec<_>>();
        let [width, height] = self.crop_px.map(|side_px| side_px as usize);
        Tensor::from_data(TensorData::new(values, [tiles.len(), 3, height, width]), device)
    }
}

fn refused(cause: impl Into<String>) -> ClipError {
    ClipError::Preprocess { cause: cause.into() }
}

fn side(value: Option<&Value>, key: &str) -> Result<u32, ClipError> {
    match value.and_then(Value::as_u64) {
        Some(side_px @ 1..=MAX_SIDE_PX) => Ok(side_px as u32),
        _ => Err(refused(format!("`{key}` is not a whole number of pixels from 1 to {MAX_SIDE_PX}"))),
    }
}

/// Width and height of a `{height, width}`.
fn pair(value: &Value, key: &str) -> Result<[u32; 2], ClipError> {
    Ok([
        side(value.get("width"), &format!("{key}.width"))?,
        side(value.get("height"), &format!("{key}.height"))?,
    ])
}

fn triple(json: &Value, key: &str, default: [f32; 3]) -> Result<[f32; 3], ClipError> {
    let Some(value) = json.get(key).filter(|value| !value.is_null()) else {
        return Ok(default);
    };
    let values = value.as_array().map(|values| values.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    match values.as_deref() {
        Some(&[r, g, b]) if key.ends_with("mean") || r.min(g).min(b) > 0.0 => {
            Ok([r as f32, g as f32, b as f32])
        }
        _ => Err(refused(format!("`{key}` is not three numbers that can be used"))),
    }
}

/// The centre of a resized picture: `full` is its whole size, `crop` what is computed of it.
///
/// Where the resized picture is smaller than the cut, black is put around it.
fn resize_and_crop(tile: &RgbTile, full: [u32; 2], crop: [u32; 2], rounding: CropRounding) -> Vec<u8> {
    let [(left, x, width), (top, y, height)] = [0, 1].map(|idx| cut(full[idx], crop[idx], rounding));
    let window = Window { origin_px: [x, y], size_px: [width, height] };
    let inner = resize_window(tile.pixels(), tile.size_px(), full, window, Filter::Bicubic);
    if [width, height] == crop {
        return inner;
    }
    let [crop_len, inner_len, left, top] = [crop[0] * 3, width * 3, left * 3, top].map(|n| n as usize);
    let mut pixels = vec![0; crop_len * crop[1] as usize];
    for (row_idx, row) in inner.chunks_exact(inner_len).enumerate() {
        let start = (top + row_idx) * crop_len + left;
        pixels[start..start + inner_len].copy_from_slice(row);
    }
    pixels
}

/// Along one axis: black pixels before the picture, the first pixel kept, and how many are.
fn cut(full: u32, crop: u32, rounding: CropRounding) -> (u32, u32, u32) {
    let slack = i64::from(full) - i64::from(crop);
    let first = match rounding {
        CropRounding::HalfToEven if slack.rem_euclid(4) == 3 => slack.div_euclid(2) + 1,
        CropRounding::Down | CropRounding::HalfToEven => slack.div_euclid(2),
    };
    // Both fit: the picture and the cut are at most `u32::MAX` long.
    ((-first).max(0) as u32, first.max(0) as u32, full.min(crop))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::config::{Activation, Config};
    use super::*;

    fn vision() -> VisionConfig {
        Config::named("ViT-B-16", Activation::Gelu).unwrap().vision
    }

    fn noise(width: u32, height: u32) -> RgbTile {
        let mut state = 17_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let pixels = (0..width * height * 3).map(|_| next()).collect();
        RgbTile::new([width, height], pixels).unwrap()
    }

    #[test]
    fn a_picture_of_the_right_size_is_kept() {
        let tile = noise(224, 224);
        assert_eq!(resize_and_crop(&tile, [224; 2], [224; 2], CropRounding::Down), tile.pixels());
        let one = RgbTile::new([1, 1], vec![10, 20, 30]).unwrap();
        assert_eq!(resize_and_crop(&one, [2, 2], [2, 2], CropRounding::Down), [10, 20, 30].repeat(4));
    }

    #[test]
    fn half_a_pixel_goes_where_the_reference_puts_it() {
        let first = |full, rounding| cut(full, 224, rounding).1;
        // torchvision rounds (full − 224) / 2 to even; transformers cuts it.
        for (full, down, even) in
            [(224, 0, 0), (225, 0, 0), (226, 1, 1), (227, 1, 2), (229, 2, 2), (231, 3, 4)]
        {
            assert_eq!(first(full, CropRounding::Down), down, "{full}");
            assert_eq!(first(full, CropRounding::HalfToEven), even, "{full}");
        }
    }

    #[test]
    fn black_surrounds_a_picture_smaller_than_the_cut() {
        let tile = RgbTile::new([2, 1], vec![255; 6]).unwrap();
        let pixels = resize_and_crop(&tile, [2, 1], [5, 3], CropRounding::Down);
        let lit = (0..15).filter(|idx| pixels[idx * 3] == 255).collect::<Vec<_>>();
        assert_eq!(lit, [7, 8], "second row, behind ⌈3/2⌉ black columns");
    }

    #[test]
    fn extreme_pictures_are_prepared_without_their_full_size() {
        let preprocess = Preprocess::standard(&vision(), CropRounding::Down);
        for size_px in [[1, 1], [1, 100_000], [100_000, 1], [2, 400], [400, 2]] {
            let tile = RgbTile::new(size_px, vec![255; (size_px[0] * size_px[1] * 3) as usize]).unwrap();
            let values = preprocess.prepare(&tile);
            assert_eq!(values.len(), 3 * 224 * 224);
            let white = (1.0 - MEAN[0]) / SPREAD[0];
            assert!(values[..224 * 224].iter().all(|value| (value - white).abs() < 1e-5), "{size_px:?}");
        }
    }

    #[test]
    fn configurations_are_followed_or_refused() {
        let standard = Preprocess::standard(&vision(), CropRounding::Down);
        for json in [
            json!({}),
            json!({"size": 224, "crop_size": 224}),
            json!({
                "size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, "resample": 3,
                "image_mean": MEAN, "image_std": SPREAD, "rescale_factor": 0.003_921_568_627_45,
            }),
        ] {
            assert_eq!(Preprocess::from_hf(&json, &vision()).unwrap(), standard, "{json}");
        }
        let check = |json: Value, expected: &str| {
            let error = Preprocess::from_hf(&json, &vision()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        };
        check(json!({"crop_size": 336}), "336 × 336");
        check(json!({"size": 0}), "`size`");
        check(json!({"size": "large"}), "`size.width`");
        check(json!({"size": {"shortest_edge": 1e9}}), "`size.shortest_edge`");
        check(json!({"resample": 2}), "bicubic");
        check(json!({"do_normalize": false}), "`do_normalize`");
        check(json!({"rescale_factor": 1.0}), "1/255");
        check(json!({"image_mean": [0.5]}), "`image_mean`");
        check(json!({"image_std": [0.5, 0.0, 0.5]}), "`image_std`");
        let open = |json| Preprocess::from_open_clip(&json, &vision());
        assert_eq!(open(json!({})).unwrap(), Preprocess::standard(&vision(), CropRounding::HalfToEven));
        assert!(open(json!({"interpolation": "bilinear"})).is_err());
        assert!(open(json!({"resize_mode": "squash"})).is_err());
    }
}
