//! From stored bytes to 32-bit floats: the meaning of every type, written plainly.
//!
//! This is the reference that kernels are held against, and it equals gguf-py bit for bit
//! (`tests/blocks.rs`), so the products are formed in ggml's order.

use bytemuck::Pod;
use half::{bf16, f16};

use super::{BlockQ4_0, BlockQ4K, BlockQ5K, BlockQ6K, BlockQ8_0};
use crate::GgmlType;

/// Writes the elements that `bytes` stores into `out`.
///
/// # Panics
/// Where `out` is not whole blocks or `bytes` is not exactly its size in this type: callers have checked
/// both when they read the file.
pub fn dequantize(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(kind.row_bytes(out.len()), Some(bytes.len()), "{kind}: bytes and elements disagree");
    match kind {
        GgmlType::F32 => each(bytes, out, |x: &[u8; 4]| f32::from_le_bytes(*x)),
        GgmlType::F16 => each(bytes, out, |x: &[u8; 2]| f16::from_le_bytes(*x).to_f32()),
        GgmlType::Bf16 => each(bytes, out, |x: &[u8; 2]| bf16::from_le_bytes(*x).to_f32()),
        GgmlType::Q8_0 => blocks(bytes, out, q8_0),
        GgmlType::Q4_0 => blocks(bytes, out, q4_0),
        GgmlType::Q4K => blocks(bytes, out, q4_k),
        GgmlType::Q5K => blocks(bytes, out, q5_k),
        GgmlType::Q6K => blocks(bytes, out, q6_k),
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn(&[u8; N]) -> f32) {
    for (source, target) in bytes.as_chunks::<N>().0.iter().zip(out) {
        *target = convert(source);
    }
}

/// Copies each block out of the bytes before use: a safetensors file or an archive need not align them.
fn blocks<B: Pod, const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn(&B, &mut [f32; N])) {
    let sources = bytes.chunks_exact(size_of::<B>());
    for (source, target) in sources.zip(out.as_chunks_mut::<N>().0) {
        convert(&bytemuck::pod_read_unaligned(source), target);
    }
}

fn q8_0(block: &BlockQ8_0, out: &mut [f32; 32]) {
    let d = block.d.to_f32();
    for (q, x) in block.qs.iter().zip(out) {
        *x = d * f32::from(*q);
    }
}

fn q4_0(block: &BlockQ4_0, out: &mut [f32; 32]) {
    let d = block.d.to_f32();
    for (j, byte) in block.qs.iter().enumerate() {
        out[j] = d * f32::from((byte & 15) as i8 - 8);
        out[j + 16] = d * f32::from((byte >> 4) as i8 - 8);
    }
}

/// The 6-bit scale and minimum of group `group` (0 to 7) of a [`BlockQ4K`] or [`BlockQ5K`].
#[inline]
pub fn scale_min_k4(group: usize, scales: &[u8; 12]) -> (u8, u8) {
    if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let low = scales[group + 4];
        ((low & 15) | ((scales[group - 4] >> 6) << 4), (low >> 4) | ((scales[group] >> 6) << 4))
    }
}

fn q4_k(block: &BlockQ4K, out: &mut [f32; 256]) {
    let (d, dmin) = (block.d.to_f32(), block.dmin.to_f32());
    for group in 0..8 {
        let (scale, min) = scale_min_k4(group, &block.scales);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = 4 * (group % 2);
        let bytes = &block.qs[group / 2 * 32..][..32];
        for (byte, x) in bytes.iter().zip(&mut out[group * 32..][..32]) {
            *x = scale * f32::from((byte >> shift) & 15) - min;
        }
    }
}

fn q5_k(block: &BlockQ5K, out: &mut [f32; 256]) {
    let (d, dmin) = (block.d.to_f32(), block.dmin.to_f32());
    for group in 0..8 {
        let (scale, min) = scale_min_k4(group, &block.scales);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = 4 * (group % 2);
        let bytes = block.qs[group / 2 * 32..][..32].iter().zip(&block.qh);
        for ((low, high), x) in bytes.zip(&mut out[group * 32..][..32]) {
            let q = ((low >> shift) & 15) | (((high >> group) & 1) << 4);
            *x = scale * f32::from(q) - min;
        }
    }
}

fn q6_k(block: &BlockQ6K, out: &mut [f32; 256]) {
    let d = block.d.to_f32();
    for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        let (low, high) = (&block.ql[half * 64..][..64], &block.qh[half * 32..][..32]);
        for (element, x) in out.iter_mut().enumerate() {
            let (l, quarter) = (element % 32, element / 32);
            let low = (low[l + 32 * (quarter % 2)] >> (4 * (quarter / 2))) & 15;
            let high = (high[l] >> (2 * quarter)) & 3;
            let q = (low | (high << 4)) as i8 - 32;
            let scale = block.scales[half * 8 + element / 16];
            *x = d * f32::from(scale) * f32::from(q);
        }
    }
}
