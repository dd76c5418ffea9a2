//! From 32-bit floats to stored bytes.
//!
//! `Q8_0` and `Q4_0` equal gguf-py bit for bit (`tests/blocks.rs`). The types of 256 search their scales as
//! ggml's reference does ([`search`]), in its order of operations: a model quantised here is, bit for bit,
//! the one that llama.cpp makes (`tests/kit.rs`).

mod search;

use half::{bf16, f16};

use self::search::{affine, nearest, symmetric};
use super::{BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0, scale_min_k4};
use crate::GgmlType;

/// Appends `values` in a type.
///
/// # Panics
/// Where the values are not whole blocks.
pub fn quantize(kind: GgmlType, values: &[f32], out: &mut Vec<u8>) {
    let n_byte = kind.row_bytes(values.len()).expect("quantisation needs whole blocks");
    let start = out.len();
    out.resize(start + n_byte, 0);
    quantize_into(kind, values, &mut out[start..]);
}

/// Writes `values` in a type over `out`, which has exactly their size.
pub(crate) fn quantize_into(kind: GgmlType, values: &[f32], out: &mut [u8]) {
    assert_eq!(kind.row_bytes(values.len()), Some(out.len()), "{kind}: bytes and elements disagree");
    match kind {
        GgmlType::F32 => each(values, out, f32::to_le_bytes),
        GgmlType::F16 => each(values, out, |x| f16::from_f32(x).to_le_bytes()),
        GgmlType::Bf16 => each(values, out, |x| bf16::from_f32(x).to_le_bytes()),
        GgmlType::Q8_0 => blocks(values, out, q8_0),
        GgmlType::Q4_0 => blocks(values, out, q4_0),
        GgmlType::Q4K => blocks(values, out, q4_k),
        GgmlType::Q5K => blocks(values, out, q5_k),
        GgmlType::Q6K => blocks(values, out, q6_k),
    }
}

fn each<const N: usize>(values: &[f32], out: &mut [u8], convert: impl Fn(f32) -> [u8; N]) {
    for (x, bytes) in values.iter().zip(out.as_chunks_mut::<N>().0) {
        *bytes = convert(*x);
    }
}

fn blocks<B: bytemuck::Pod, const N: usize>(
    values: &[f32],
    out: &mut [u8],
    convert: impl Fn(&[f32; N]) -> B,
) {
    for (x, bytes) in values.as_chunks::<N>().0.iter().zip(out.chunks_exact_mut(size_of::<B>())) {
        bytes.copy_from_slice(bytemuck::bytes_of(&convert(x)));
    }
}

/// One over a scale, or nothing where the scale is nothing.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

fn q8_0(x: &[f32; 32]) -> BlockQ8_0 {
    let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    BlockQ8_0 { d: f16::from_f32(d), qs: x.map(|x| (x * inverse).round() as i8) }
}

fn q4_0(x: &[f32; 32]) -> BlockQ4_0 {
    let largest = x.iter().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
    let d = largest / -8.0;
    let inverse = inverse(d);
    // The shift by 8.5 rounds to the nearest and makes the number positive; the upper end is cut.
    let q = x.map(|x| ((x * inverse + 8.5) as u8).min(15));
    BlockQ4_0 { d: f16::from_f32(d), qs: std::array::from_fn(|j| q[j] | (q[j + 16] << 4)) }
}

/// The scales and minima that [`BlockQ4K`] and [`BlockQ5K`] share.
struct Affine {
    d: f16,
    dmin: f16,
    scales: [u8; 12],
}

impl Affine {
    /// Searches eight groups of 32 whose numbers go up to `max_q`, starting from `max_q + first` steps.
    fn search(x: &[f32; 256], max_q: f32, first: f32, n_step: u32) -> Self {
        let mut found = [(0.0, 0.0); 8];
        for (group, found) in x.as_chunks::<32>().0.iter().zip(&mut found) {
            // Large elements matter more; the root mean square keeps small ones from being ignored.
            let rms = (group.iter().map(|x| x * x).sum::<f32>() / 32.0).sqrt();
            let weights = group.map(|x| rms + x.abs());
            *found = affine(group, &weights, max_q, first, n_step);
        }
        let max_scale = found.iter().fold(0.0_f32, |max, (scale, _)| max.max(*scale));
        let max_min = found.iter().fold(0.0_f32, |max, (_, min)| max.max(*min));
        let six_bits = |x: f32, max: f32| {
            let inverse = if max > 0.0 { 63.0 / max } else { 0.0 };
            nearest(inverse * x).min(63.0) as u8
        };
        let mut scales = [0; 12];
        for (group, (scale, min)) in found.into_iter().enumerate() {
            let (scale, min) = (six_bits(scale, max_scale), six_bits(min, max_min));
            if group < 4 {
                scales[group] |= scale;
                scales[group + 4] |= min;
            } else {
                scales[group + 4] = (scale & 15) | ((min & 15) << 4);
                scales[group - 4] |= (scale >> 4) << 6;
                scales[group] |= (min >> 4) << 6;
            }
        }
        Self { d: f16::from_f32(max_scale / 63.0), dmin: f16::from_f32(max_min / 63.0), scales }
    }

    /// The numbers of all elements under the scales as they are stored.
    fn numbers(&self, x: &[f32; 256], max_q: f32) -> [u8; 256] {
        let mut q = [0; 256];
        for (group, (x, q)) in x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0).enumerate() {
            let (scale, min) = scale_min_k4(group, &self.scales);
            let (scale, min) = (self.d.to_f32() * f32::from(scale), self.dmin.to_f32() * f32::from(min));
            if scale != 0.0 {
                *q = x.map(|x| nearest((x + min) / scale).clamp(0.0, max_q) as u8);
            }
        }
        q
    }
}

/// The lower four bits of 256 numbers: of each 64 the first 32 in low halves, the rest in high halves.
fn pack_low(q: &[u8; 256]) -> [u8; 128] {
    std::array::from_fn(|byte| {
        let first = byte / 32 * 64 + byte % 32;
        (q[first] & 15) | ((q[first + 32] & 15) << 4)
    })
}

fn q4_k(x: &[f32; 256]) -> BlockQ4K {
    let shared = Affine::search(x, 15.0, -1.0, 20);
    let qs = pack_low(&shared.numbers(x, 15.0));
    BlockQ4K { d: shared.d, dmin: shared.dmin, scales: shared.scales, qs }
}

fn q5_k(x: &[f32; 256]) -> BlockQ5K {
    let shared = Affine::search(x, 31.0, -0.5, 15);
    let q = shared.numbers(x, 31.0);
    let qh =
        std::array::from_fn(|l| (0..8).fold(0, |byte, group| byte | ((q[group * 32 + l] >> 4) << group)));
    BlockQ5K { d: shared.d, dmin: shared.dmin, scales: shared.scales, qh, qs: pack_low(&q) }
}

fn q6_k(x: &[f32; 256]) -> BlockQ6K {
    let found: [f32; 16] = std::array::from_fn(|group| symmetric(&x.as_chunks::<16>().0[group], 32.0));
    let largest = found.iter().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
    if largest.abs() < search::NOTHING {
        return bytemuck::Zeroable::zeroed();
    }
    let inverse = -128.0 / largest;
    let d = f16::from_f32(1.0 / inverse);
    let scales = found.map(|scale| nearest(inverse * scale).clamp(-128.0, 127.0) as i8);
    let q: [u8; 256] = std::array::from_fn(|element| {
        let scale = d.to_f32() * f32::from(scales[element / 16]);
        // Where a group has no scale its number does not matter; the middle is ggml's choice for zero.
        let q = if scale == 0.0 { 0.0 } else { nearest(x[element] / scale).clamp(-32.0, 31.0) };
        (q as i8 + 32) as u8
    });
    let ql = std::array::from_fn(|byte| {
        let first = byte / 64 * 128 + byte % 64;
        (q[first] & 15) | ((q[first + 64] & 15) << 4)
    });
    let qh = std::array::from_fn(|byte| {
        let first = byte / 32 * 128 + byte % 32;
        (0..4).fold(0, |bits, quarter| bits | ((q[first + 32 * quarter] >> 4) << (2 * quarter)))
    });
    BlockQ6K { ql, qh, scales, d }
}
