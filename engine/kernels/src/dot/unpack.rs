//! From blocks to floats.
//!
//! The meaning of every type is `eosin_weights::dequantize`; products are formed in its order and nothing is
//! fused, so the results are equal bit for bit (tests in `dot`). Blocks are read byte by byte: nothing aligns
//! them. No closures here: they would be compiled on their own, without the vector instructions of the
//! function that all this is inlined into.

use eosin_weights::{GgmlType, scale_min_k4};

use super::lanes::{Bits, Lanes};

/// Writes the elements that `bytes` stores into `out`; lengths were checked by the caller.
#[inline(always)]
pub(super) fn unpack<L: Lanes>(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    match kind {
        GgmlType::F32 => floats(bytes, out),
        GgmlType::F16 => halves(bytes, out),
        GgmlType::Bf16 => brain_floats(bytes, out),
        GgmlType::Q8_0 => blocks::<L, Q8, 34, 32>(bytes, out),
        GgmlType::Q4_0 => blocks::<L, Q4, 18, 32>(bytes, out),
        GgmlType::Q4K => blocks::<L, Q4K, 144, 256>(bytes, out),
        GgmlType::Q5K => blocks::<L, Q5K, 176, 256>(bytes, out),
        GgmlType::Q6K => blocks::<L, Q6K, 210, 256>(bytes, out),
    }
}

#[inline(always)]
fn floats(bytes: &[u8], out: &mut [f32]) {
    for (bytes, x) in bytes.as_chunks::<4>().0.iter().zip(out) {
        *x = f32::from_le_bytes(*bytes);
    }
}

#[inline(always)]
fn halves(bytes: &[u8], out: &mut [f32]) {
    for (bytes, x) in bytes.as_chunks::<2>().0.iter().zip(out) {
        *x = half_float(*bytes);
    }
}

#[inline(always)]
fn brain_floats(bytes: &[u8], out: &mut [f32]) {
    for (bytes, x) in bytes.as_chunks::<2>().0.iter().zip(out) {
        *x = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
    }
}

/// An IEEE half as a float, without a branch: the exponent is moved into place and re-biased by a
/// multiplication, which also sets subnormals right; infinities and NaNs get the largest exponent.
#[inline(always)]
pub(crate) fn half_float(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    // 2^112 takes a half's exponent bias of 15 to a float's of 127.
    let finite = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    let value = if bits & 0x7c00 == 0x7c00 { special } else { finite };
    f32::from_bits(value | ((bits & 0x8000) << 16))
}

/// A type of block.
trait Block<const BYTES: usize, const LEN: usize> {
    fn unpack<L: Lanes>(block: &[u8; BYTES], out: &mut [f32; LEN]);
}

#[inline(always)]
fn blocks<L: Lanes, B: Block<BYTES, LEN>, const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
) {
    for (block, out) in bytes.as_chunks::<BYTES>().0.iter().zip(out.as_chunks_mut::<LEN>().0) {
        B::unpack::<L>(block, out);
    }
}

/// A byte range of a block as an array.
#[inline(always)]
pub(super) fn part<const N: usize>(block: &[u8], start: usize) -> &[u8; N] {
    block[start..].first_chunk().expect("every range lies inside its block")
}

/// How the numbers of a group become elements: `scale · (number − zero) − minimum`.
#[derive(Clone, Copy)]
struct Group {
    scale: f32,
    zero: f32,
    /// `None` where the type has no minimum: subtracting zero would turn −0 into 0.
    minimum: Option<f32>,
}

/// Where the bits of a group's numbers lie: `bytes` are those of its first element.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    low: Bits<'a>,
    high: Option<Bits<'a>>,
}

/// Writes a group whose length is a multiple of 16.
#[inline(always)]
fn write_group<L: Lanes>(numbers: Numbers<'_>, group: Group, out: &mut [f32]) {
    let mut start = 0;
    while start < out.len() {
        let low = Bits { bytes: &numbers.low.bytes[start..], ..numbers.low };
        #[expect(clippy::manual_map, reason = "a closure would be compiled without the vector instructions")]
        let high = match numbers.high {
            Some(high) => Some(Bits { bytes: &high.bytes[start..], ..high }),
            None => None,
        };
        // SAFETY: the caller is compiled for the instructions of `L`; 16 bytes and floats remain.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            let number = L::bits(low, high).subtract(L::splat(group.zero));
            let mut x = L::splat(group.scale).multiply(number);
            if let Some(minimum) = group.minimum {
                x = x.subtract(L::splat(minimum));
            }
            x.store(&mut out[start..]);
        }
        start += L::COUNT;
    }
}

/// 32 signed bytes.
struct Q8;

impl Block<34, 32> for Q8 {
    #[inline(always)]
    fn unpack<L: Lanes>(block: &[u8; 34], out: &mut [f32; 32]) {
        let d = half_float(*part(block, 0));
        let qs: &[u8; 32] = part(block, 2);
        let mut start = 0;
        while start < 32 {
            // SAFETY: the caller is compiled for the instructions of `L`; 16 bytes and floats remain.
            #[expect(unsafe_code, reason = "see above")]
            unsafe {
                L::splat(d).multiply(L::signed(&qs[start..])).store(&mut out[start..]);
            }
            start += L::COUNT;
        }
    }
}

/// The lower and the upper halves of 16 bytes.
struct Q4;

impl Block<18, 32> for Q4 {
    #[inline(always)]
    fn unpack<L: Lanes>(block: &[u8; 18], out: &mut [f32; 32]) {
        let group = Group { scale: half_float(*part(block, 0)), zero: 8.0, minimum: None };
        let bytes: &[u8; 16] = part(block, 2);
        let (low, high) = out.split_at_mut(16);
        write_group::<L>(Numbers { low: Bits { bytes, shift: 0, mask: 15 }, high: None }, group, low);
        write_group::<L>(Numbers { low: Bits { bytes, shift: 4, mask: 15 }, high: None }, group, high);
    }
}

/// Eight groups of 32, two to 32 bytes.
struct Q4K;

impl Block<144, 256> for Q4K {
    #[inline(always)]
    fn unpack<L: Lanes>(block: &[u8; 144], out: &mut [f32; 256]) {
        for (idx, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let bytes: &[u8; 32] = part(block, 16 + 32 * (idx / 2));
            let low = Bits { bytes, shift: 4 * (idx as u32 % 2), mask: 15 };
            write_group::<L>(Numbers { low, high: None }, group_k4(block, idx), out);
        }
    }
}

/// As [`Q4K`], with the fifth bits of all groups in 32 bytes.
struct Q5K;

impl Block<176, 256> for Q5K {
    #[inline(always)]
    fn unpack<L: Lanes>(block: &[u8; 176], out: &mut [f32; 256]) {
        let tops: &[u8; 32] = part(block, 16);
        for (idx, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let bytes: &[u8; 32] = part(block, 48 + 32 * (idx / 2));
            let low = Bits { bytes, shift: 4 * (idx as u32 % 2), mask: 15 };
            let high = Some(Bits { bytes: tops, shift: idx as u32, mask: 1 });
            write_group::<L>(Numbers { low, high }, group_k4(block, idx), out);
        }
    }
}

/// The scale and minimum of a group of [`Q4K`] or [`Q5K`].
#[inline(always)]
fn group_k4(block: &[u8], idx: usize) -> Group {
    let (d, dmin) = (half_float(*part(block, 0)), half_float(*part(block, 2)));
    let (scale, minimum) = scale_min_k4(idx, part(block, 4));
    Group { scale: d * f32::from(scale), zero: 0.0, minimum: Some(dmin * f32::from(minimum)) }
}

/// Sixteen groups of 16: in each half of the block four quarters of 32, two groups to a quarter.
struct Q6K;

impl Block<210, 256> for Q6K {
    #[inline(always)]
    fn unpack<L: Lanes>(block: &[u8; 210], out: &mut [f32; 256]) {
        let scales: &[u8; 16] = part(block, 192);
        let d = half_float(*part(block, 208));
        for (idx, out) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let (half, quarter, start) = (idx / 8, idx % 8 / 2, 16 * (idx % 2));
            let lows: &[u8; 16] = part(block, 64 * half + 32 * (quarter % 2) + start);
            let highs: &[u8; 16] = part(block, 128 + 32 * half + start);
            let low = Bits { bytes: lows, shift: 4 * (quarter as u32 / 2), mask: 15 };
            let high = Some(Bits { bytes: highs, shift: 2 * quarter as u32, mask: 3 });
            let group = Group { scale: d * f32::from(scales[idx] as i8), zero: 32.0, minimum: None };
            write_group::<L>(Numbers { low, high }, group, out);
        }
    }
}
