//! From blocks to floats, in loops of fixed length that a compiler turns into vectors.
//!
//! The meaning of every type is `eosin_weights::dequantize`; products are formed in its order, so the
//! results are equal bit for bit (tests in `dot`). Blocks are read byte by byte: nothing aligns them.

use eosin_weights::{GgmlType, scale_min_k4};

/// Writes the elements that `bytes` stores into `out`; lengths were checked by the caller.
#[inline(always)]
pub(super) fn unpack(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        GgmlType::F32 => blocks::<F32, 4, 1>(bytes, out),
        GgmlType::F16 => blocks::<F16, 2, 1>(bytes, out),
        GgmlType::Bf16 => blocks::<Bf16, 2, 1>(bytes, out),
        GgmlType::Q8_0 => blocks::<Q8_0, 34, 32>(bytes, out),
        GgmlType::Q4_0 => blocks::<Q4_0, 18, 32>(bytes, out),
        GgmlType::Q4K => blocks::<Q4K, 144, 256>(bytes, out),
        GgmlType::Q5K => blocks::<Q5K, 176, 256>(bytes, out),
        GgmlType::Q6K => blocks::<Q6K, 210, 256>(bytes, out),
    }
}

/// A type of block. A trait and not a closure: closures are compiled on their own, without the vector
/// instructions of the function that `unpack` is inlined into.
trait Block<const BYTES: usize, const LEN: usize> {
    fn unpack(block: &[u8; BYTES], out: &mut [f32; LEN]);
}

#[inline(always)]
fn blocks<B: Block<BYTES, LEN>, const BYTES: usize, const LEN: usize>(bytes: &[u8], out: &mut [f32]) {
    for (block, out) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        B::unpack(block, out);
    }
}

/// An IEEE half as a float, without a branch: the exponent is moved into place and re-biased by a
/// multiplication, which also sets subnormals right; infinities and NaNs get the largest exponent.
#[inline(always)]
fn half_float(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    // 2^112 takes a half's exponent bias of 15 to a float's of 127.
    let finite = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    let value = if bits & 0x7c00 == 0x7c00 { special } else { finite };
    f32::from_bits(value | ((bits & 0x8000) << 16))
}

/// A byte range of a block as an array.
#[inline(always)]
fn part<const N: usize>(block: &[u8], start: usize) -> &[u8; N] {
    block[start..].first_chunk().expect("every range lies inside its block")
}

struct F32;

impl Block<4, 1> for F32 {
    #[inline(always)]
    fn unpack(block: &[u8; 4], out: &mut [f32; 1]) {
        out[0] = f32::from_le_bytes(*block);
    }
}

struct F16;

impl Block<2, 1> for F16 {
    #[inline(always)]
    fn unpack(block: &[u8; 2], out: &mut [f32; 1]) {
        out[0] = half_float(*block);
    }
}

struct Bf16;

impl Block<2, 1> for Bf16 {
    #[inline(always)]
    fn unpack(block: &[u8; 2], out: &mut [f32; 1]) {
        out[0] = f32::from_bits(u32::from(u16::from_le_bytes(*block)) << 16);
    }
}

struct Q8_0;

impl Block<34, 32> for Q8_0 {
    #[inline(always)]
    fn unpack(block: &[u8; 34], out: &mut [f32; 32]) {
        let d = half_float(*part(block, 0));
        let qs: &[u8; 32] = part(block, 2);
        for (q, x) in qs.iter().zip(out) {
            *x = d * f32::from(*q as i8);
        }
    }
}

struct Q4_0;

impl Block<18, 32> for Q4_0 {
    #[inline(always)]
    fn unpack(block: &[u8; 18], out: &mut [f32; 32]) {
        let d = half_float(*part(block, 0));
        let qs: &[u8; 16] = part(block, 2);
        let (low, high) = out.split_at_mut(16);
        for (q, x) in qs.iter().zip(low) {
            *x = d * f32::from((q & 15) as i8 - 8);
        }
        for (q, x) in qs.iter().zip(high) {
            *x = d * f32::from((q >> 4) as i8 - 8);
        }
    }
}

struct Q4K;

impl Block<144, 256> for Q4K {
    #[inline(always)]
    fn unpack(block: &[u8; 144], out: &mut [f32; 256]) {
        let (d, dmin) = (half_float(*part(block, 0)), half_float(*part(block, 2)));
        let scales: &[u8; 12] = part(block, 4);
        for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let qs: &[u8; 32] = part(block, 16 + 32 * pair);
            let (low, high) = out.split_at_mut(32);
            let (scale, min) = scale_min(2 * pair, scales, d, dmin);
            for (q, x) in qs.iter().zip(low) {
                *x = scale * f32::from(q & 15) - min;
            }
            let (scale, min) = scale_min(2 * pair + 1, scales, d, dmin);
            for (q, x) in qs.iter().zip(high) {
                *x = scale * f32::from(q >> 4) - min;
            }
        }
    }
}

struct Q5K;

impl Block<176, 256> for Q5K {
    #[inline(always)]
    fn unpack(block: &[u8; 176], out: &mut [f32; 256]) {
        let (d, dmin) = (half_float(*part(block, 0)), half_float(*part(block, 2)));
        let scales: &[u8; 12] = part(block, 4);
        let tops: &[u8; 32] = part(block, 16);
        for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
            let qs: &[u8; 32] = part(block, 48 + 32 * pair);
            let (low, high) = out.split_at_mut(32);
            let (scale, min) = scale_min(2 * pair, scales, d, dmin);
            for ((q, top), x) in qs.iter().zip(tops).zip(low) {
                *x = scale * f32::from((q & 15) | (((top >> (2 * pair)) & 1) << 4)) - min;
            }
            let (scale, min) = scale_min(2 * pair + 1, scales, d, dmin);
            for ((q, top), x) in qs.iter().zip(tops).zip(high) {
                *x = scale * f32::from((q >> 4) | (((top >> (2 * pair + 1)) & 1) << 4)) - min;
            }
        }
    }
}

#[inline(always)]
fn scale_min(group: usize, scales: &[u8; 12], d: f32, dmin: f32) -> (f32, f32) {
    let (scale, min) = scale_min_k4(group, scales);
    (d * f32::from(scale), dmin * f32::from(min))
}

struct Q6K;

impl Block<210, 256> for Q6K {
    #[inline(always)]
    fn unpack(block: &[u8; 210], out: &mut [f32; 256]) {
        let scales: &[u8; 16] = part(block, 192);
        let d = half_float(*part(block, 208));
        for (half, out) in out.as_chunks_mut::<128>().0.iter_mut().enumerate() {
            for (group, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
                // Eight groups of 16: four quarters of 32, each in two groups.
                let (quarter, start) = (group / 2, 16 * (group % 2));
                let lows: &[u8; 16] = part(block, 64 * half + 32 * (quarter % 2) + start);
                let highs: &[u8; 16] = part(block, 128 + 32 * half + start);
                let scale = d * f32::from(scales[8 * half + group] as i8);
                let (low_shift, high_shift) = (4 * (quarter / 2), 2 * quarter);
                for ((low, high), x) in lows.iter().zip(highs).zip(out) {
                    let q = ((low >> low_shift) & 15) | (((high >> high_shift) & 3) << 4);
                    *x = scale * f32::from(q as i8 - 32);
                }
            }
        }
    }
}
