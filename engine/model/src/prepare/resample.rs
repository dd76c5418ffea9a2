//! Pillow's resampling of 8-bit pictures, bit for bit.
//!
//! Two passes, along rows and along columns, each with weights in fixed point of 22 bits and a
//! result rounded to 8 bits. When a picture shrinks the filter widens with it (antialiasing). The order of
//! passes, the rounding of weights and the rounding between passes all show in the result, which is why a
//! general image library does not serve here. Reference outputs of Pillow are at the end, larger ones in
//! `tests/parity_qwen.rs`.

use std::ops::Range;

use rayon::prelude::*;

/// Bits after the point of a weight: with 8 bits of pixel and 2 of headroom they fill 32.
const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The shape of the filter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    /// Keys' cubic with a = −0.5, over four pixels.
    Bicubic,
}

impl Filter {
    /// Half the width of the filter, in pixels of the smaller picture.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
        }
    }

    /// The weight at a distance from the centre (Keys 1981, equation 4).
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// Where an output pixel looks, and with what weights.
struct Tap {
    start: usize,
    weights: Vec<i32>,
}

/// The taps of some of the `n_out` output pixels along one axis.
fn taps(n_in: u32, n_out: u32, wanted: Range<u32>, filter: Filter) -> Vec<Tap> {
    if n_in == n_out {
        return wanted.map(|idx| Tap { start: idx as usize, weights: vec![1 << PRECISION_BITS] }).collect();
    }
    let scale = f64::from(n_in) / f64::from(n_out);
    let filter_scale = scale.max(1.0);
    let support = filter.support() * filter_scale;
    let inverse = 1.0 / filter_scale;
    let tap = |out: u32| {
        let centre = (f64::from(out) + 0.5) * scale;
        // Truncation towards zero, then clamping, in this order.
        let start = ((centre - support + 0.5) as i64).max(0);
        let end = ((centre + support + 0.5) as i64).min(i64::from(n_in));
        let mut weights: Vec<f64> =
            (start..end).map(|x| filter.weight((x as f64 - centre + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            for weight in &mut weights {
                *weight /= sum;
            }
        }
        let fixed = |weight: &f64| {
            let scaled = weight * f64::from(1u32 << PRECISION_BITS);
            (if *weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
        };
        Tap { start: start as usize, weights: weights.iter().map(fixed).collect() }
    };
    wanted.map(tap).collect()
}

/// The input pixels that any of the taps reads.
fn span(taps: &[Tap]) -> Range<usize> {
    let start = taps.iter().map(|tap| tap.start).min().unwrap_or(0);
    let end = taps.iter().map(|tap| tap.start + tap.weights.len()).max().unwrap_or(0);
    start..end
}

/// Rounds a sum of weighted bytes to a byte.
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Half a unit, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// The part of a resampled picture that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Left and top, in pixels of the resampled picture.
    pub origin_px: [u32; 2],
    /// Width and height.
    pub size_px: [u32; 2],
}

/// Resamples an `RGB` picture, row-major, three bytes a pixel.
///
/// # Panics
/// Where `pixels` is not `from_px` large, or a side is zero.
pub fn resize(pixels: &[u8], from_px: [u32; 2], to_px: [u32; 2], filter: Filter) -> Vec<u8> {
    resize_window(pixels, from_px, to_px, Window { origin_px: [0, 0], size_px: to_px }, filter)
}

/// A part of what [`resize`] gives, without computing the rest: a picture of one row by a million columns
/// would fill terabytes when its short side is brought to 224.
///
/// # Panics
/// As [`resize`], and where the window leaves the resampled picture.
pub fn resize_window(
    pixels: &[u8],
    from_px: [u32; 2],
    to_px: [u32; 2],
    window: Window,
    filter: Filter,
) -> Vec<u8> {
    let [from_w, from_h] = from_px;
    assert!(from_px.iter().chain(&to_px).all(|side| *side > 0), "a picture has pixels");
    assert_eq!(pixels.len(), from_w as usize * from_h as usize * 3, "three bytes a pixel");
    let axis = |idx: usize| {
        let (start, len) = (window.origin_px[idx], window.size_px[idx]);
        assert!(start.checked_add(len).is_some_and(|end| end <= to_px[idx]), "a window lies in its picture");
        taps(from_px[idx], to_px[idx], start..start + len, filter)
    };
    let (across, down) = (axis(0), axis(1));
    if across.is_empty() || down.is_empty() {
        return Vec::new();
    }
    let (columns, rows) = (span(&across), span(&down));
    let from_w = from_w as usize;
    if is_vertical_first(from_px, to_px) {
        let short = vertical(pixels, from_w, columns.clone(), 0, &down);
        horizontal(&short, columns.len(), columns.start, &across)
    } else {
        let read = &pixels[rows.start * from_w * 3..rows.end * from_w * 3];
        let narrow = horizontal(read, from_w, 0, &across);
        vertical(&narrow, across.len(), 0..across.len(), rows.start, &down)
    }
}

/// Which pass runs first. Pillow up to 12 always resampled rows first; Pillow 13 begins with columns where
/// that loses more than twice as many of them (found by trying some ten thousand sizes). The two orders
/// differ by one step of 255 here and there, because pixels are rounded between the passes.
fn is_vertical_first([from_w, from_h]: [u32; 2], [to_w, to_h]: [u32; 2]) -> bool {
    let [lost_columns, lost_rows] =
        [(from_w, to_w), (from_h, to_h)].map(|(from, to)| i64::from(from) - i64::from(to));
    lost_rows > 0 && lost_rows > 2 * lost_columns
}

/// The pass along rows, each of `n_column` pixels, the first of which the taps know as `first_column`.
fn horizontal(pixels: &[u8], n_column: usize, first_column: usize, taps: &[Tap]) -> Vec<u8> {
    let n_row = pixels.len() / (n_column * 3);
    let mut out = vec![0; taps.len() * 3 * n_row];
    out.par_chunks_exact_mut(taps.len() * 3).zip(pixels.par_chunks_exact(n_column * 3)).for_each(
        |(out, row)| {
            for (out, tap) in out.chunks_exact_mut(3).zip(taps) {
                let mut sums = [HALF; 3];
                let read = &row[(tap.start - first_column) * 3..];
                for (pixel, weight) in read.chunks_exact(3).zip(&tap.weights) {
                    for (sum, byte) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(*byte) * weight;
                    }
                }
                out.copy_from_slice(&sums.map(to_byte));
            }
        },
    );
    out
}

/// The pass along some columns of rows of `n_column` pixels, the first of which the taps know as `first_row`.
fn vertical(
    pixels: &[u8],
    n_column: usize,
    columns: Range<usize>,
    first_row: usize,
    taps: &[Tap],
) -> Vec<u8> {
    let row_len = columns.len() * 3;
    let mut out = vec![0; row_len * taps.len()];
    out.par_chunks_exact_mut(row_len).zip(taps).for_each(|(out, tap)| {
        let mut sums = vec![HALF; row_len];
        let read = &pixels[(tap.start - first_row) * n_column * 3..];
        for (row, weight) in read.chunks_exact(n_column * 3).zip(&tap.weights) {
            for (sum, byte) in sums.iter_mut().zip(&row[columns.start * 3..columns.end * 3]) {
                *sum += i32::from(*byte) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = to_byte(sum);
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a linear congruential generator, as the reference was made from.
    fn noise(n: usize) -> Vec<u8> {
        let mut state = 12_345_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    /// The 64-bit FNV-1a hash.
    fn hash(bytes: &[u8]) -> u64 {
        bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
    }

    #[test]
    fn pictures_equal_those_of_pillow_byte_for_byte() {
        // Pillow 13.0.0: `Image.frombytes("RGB", from, noise).resize(to, Image.BICUBIC).tobytes()`.
        let check = |[from_w, from_h]: [u32; 2], to_px: [u32; 2], expected: u64| {
            let pixels = noise((from_w * from_h * 3) as usize);
            let found = resize(&pixels, [from_w, from_h], to_px, Filter::Bicubic);
            assert_eq!(hash(&found), expected, "{from_w} × {from_h} to {to_px:?}: {:?}", &found[..18]);
        };
        check([5, 4], [3, 2], 0x9af6_f64d_b323_b7f6);
        check([3, 2], [5, 4], 0x59d8_8f57_b7cd_9ca9);
        check([40, 30], [28, 28], 0x2440_c5aa_c9b5_0780);
        check([30, 41], [56, 84], 0x5767_d79d_4f68_983b);
        check([133, 250], [140, 252], 0x9cc2_34e3_3e3b_1028);
        check([28, 17], [28, 56], 0x5a76_47be_fabd_bdbc);
        check([300, 20], [28, 28], 0x8d64_05c5_2330_d632);
        check([1, 1], [28, 28], 0x579c_a3b4_35f2_5725);
        // Columns first, and on either side of the bound between the orders.
        check([50, 61], [56, 56], 0x00f9_0f75_fd0a_39f6);
        check([61, 50], [56, 56], 0x31d1_d553_bafa_5097);
        check([42, 55], [40, 39], 0x075c_87c3_17a0_3bd4);
        check([40, 61], [30, 41], 0xfe33_86f5_db52_a4da);
        check([40, 61], [30, 40], 0x6af1_6271_2df7_33e1);
    }

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        for (from_px, to_px) in [([61, 37], [90, 55]), ([61, 99], [44, 40]), ([40, 41], [40, 41])] {
            let pixels = noise((from_px[0] * from_px[1] * 3) as usize);
            let whole = resize(&pixels, from_px, to_px, Filter::Bicubic);
            let (origin_px, size_px) = ([9_u32, 17], [31_u32, 20]);
            let window = Window { origin_px, size_px };
            let part = resize_window(&pixels, from_px, to_px, window, Filter::Bicubic);
            let row_len = size_px[0] as usize * 3;
            for (row_idx, row) in part.chunks_exact(row_len).enumerate() {
                let start =
                    ((row_idx + origin_px[1] as usize) * to_px[0] as usize + origin_px[0] as usize) * 3;
                assert_eq!(row, &whole[start..start + row_len], "{from_px:?} to {to_px:?}, row {row_idx}");
            }
            assert_eq!(part.len(), row_len * size_px[1] as usize);
        }
        let long = vec![7; 100_000 * 3];
        let window = Window { origin_px: [11_000_000, 0], size_px: [224, 224] };
        let part = resize_window(&long, [100_000, 1], [22_400_000, 224], window, Filter::Bicubic);
        assert_eq!(part, vec![7; 224 * 224 * 3]);
    }
}
