//! How a kernel reads packed rows: four neighbouring elements, a *quad*, at a time.
//!
//! On the device everything is a 32-bit word, laid out by `arrange.rs`, and the low bits of a quad always lie in
//! one word: its bytes, or the same half of its bytes. So a quad costs one read (five-bit and six-bit types have a
//! second word with the high bits), and neighbouring units read neighbouring words. The quads at `q` and
//! `q + Kind::span` are the two halves of the same word, which is how the products take them.
//!
//! An element is `scale · number − minimum`, as in `dot::unpack`. Types are told apart while a kernel is compiled,
//! so that each type has its own.

use cubecl::prelude::*;
use eosin_weights::GgmlType;

use super::arrange;
use crate::ops::Layout;

/// Four neighbouring elements.
pub(super) type Quad = Vector<f32, Const<4>>;

/// The layout facts that a kernel is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Kind {
    /// Which type: its number in a GGUF file.
    pub(super) id: u32,
    /// Quads of a block.
    pub(super) block: usize,
    /// Words of a block, without a scale that lies apart.
    words: usize,
    /// Quads between the two halves of a word.
    pub(super) span: usize,
    /// Whether rows end within a quad, or a word holds the end of one row and the start of the next: plain floats
    /// of unusual widths.
    pub(super) ragged: bool,
}

impl Kind {
    pub(super) fn of(layout: Layout) -> Self {
        let kind = layout.kind;
        let span = match kind {
            GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => 1,
            GgmlType::Q8_0 | GgmlType::Q4_0 => 4,
            GgmlType::Q4K | GgmlType::Q5K => 8,
            GgmlType::Q6K => 16,
        };
        Self {
            id: kind.id(),
            block: (kind.block_len() / 4).max(1),
            words: arrange::body_bytes(kind) / 4,
            span,
            ragged: !layout.cols.is_multiple_of(8),
        }
    }
}

// Numbers of types in a GGUF file, for matching inside kernels; a test compares them with `GgmlType::id`.
const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q8_0: u32 = 8;
#[cfg(test)]
const Q4_K: u32 = 12;
const Q5_K: u32 = 13;
const Q6_K: u32 = 14;

/// A packed matrix inside a kernel, but for its words.
#[derive(CubeType, Clone, Copy)]
pub(super) struct Packed {
    /// Elements of a row.
    pub(super) cols: usize,
    /// The word from which on scales lie that were taken out of their blocks.
    pub(super) apart: usize,
}

/// An IEEE half as a float. Subnormals are scaled as whole numbers: shaders may flush them otherwise.
#[cube]
fn half_float(bits: u32) -> f32 {
    let exponent = (bits >> 10u32) & 31u32;
    let mantissa = bits & 1023u32;
    let mut magnitude = f32::cast_from(mantissa) * f32::new(0.000_000_059_604_645_f32);
    if exponent != 0u32 {
        let mut wide = exponent + 112u32;
        if exponent == 31u32 {
            wide = 255u32;
        }
        magnitude = f32::reinterpret((wide << 23u32) | (mantissa << 13u32));
    }
    if (bits & 32_768u32) != 0u32 {
        magnitude = f32::new(0.0_f32) - magnitude;
    }
    magnitude
}

/// One of the two halves in a word.
#[cube]
fn half_of(word: u32, idx: usize) -> f32 {
    half_float((word >> ((idx % 2) as u32 * 16u32)) & 65_535u32)
}

/// A byte of a word, less a bias. A byte becomes a float as the last bits of 2²³, which costs no conversion: those
/// run at a fraction of the rate of additions on some processors.
#[cube]
fn byte_less(word: u32, #[comptime] idx: u32, #[comptime] bias: u32) -> f32 {
    let bits = ((word >> comptime!(idx * 8)) & 255u32) | 0x4b00_0000u32;
    f32::reinterpret(bits) - f32::new(comptime!(8_388_608.0 + bias as f32))
}

/// The bytes of a word, less a bias.
#[cube]
fn bytes_less(word: u32, #[comptime] bias: u32) -> Quad {
    let mut quad = Quad::new(f32::new(0.0_f32));
    quad.insert(0usize, byte_less(word, 0u32, bias));
    quad.insert(1usize, byte_less(word, 1u32, bias));
    quad.insert(2usize, byte_less(word, 2u32, bias));
    quad.insert(3usize, byte_less(word, 3u32, bias));
    quad
}

/// The six bits of a scale (`which` = 0) or a minimum (1) of group `group` of a four-bit or five-bit block: the
/// first four groups' in six bits of a byte each, the others' low bits in the third word and their high bits above
/// those of the first four.
#[cube]
fn six_bits(words: &Tensor<u32>, block: usize, group: usize, #[comptime] which: usize) -> f32 {
    let shift = (group % 4) as u32 * 8u32;
    let first = words[block + 1 + which] >> shift;
    let mut six = first & 63u32;
    if group >= 4 {
        let low = (words[block + 3] >> (shift + comptime!(which as u32 * 4))) & 15u32;
        six = low | (((first >> 6u32) & 3u32) << 4u32);
    }
    f32::cast_from(six)
}

/// Quad `q` of row `row`. Beyond the end of a ragged row stand zeros.
#[cube]
pub(super) fn quad(
    words: &Tensor<u32>,
    row: usize,
    q: usize,
    packed: &Packed,
    #[comptime] kind: Kind,
) -> Quad {
    if comptime!(kind.id == F32 || kind.id == F16 || kind.id > Q6_K) {
        plain_quad(words, row, q, packed, kind)
    } else {
        let number = row * (packed.cols / comptime!(4 * kind.block)) + q / comptime!(kind.block);
        let block = number * comptime!(kind.words);
        let q = q % comptime!(kind.block);
        if comptime!(kind.id == Q8_0) {
            let scale = half_of(words[packed.apart + number / 2], number);
            bytes_less(words[block + q] ^ 0x8080_8080u32, 128u32) * Quad::new(scale)
        } else if comptime!(kind.id == Q4_0) {
            let scale = half_of(words[packed.apart + number / 2], number);
            let low = (words[block + q % 4] >> ((q / 4) as u32 * 4u32)) & 0x0f0f_0f0fu32;
            bytes_less(low, 8u32) * Quad::new(scale)
        } else if comptime!(kind.id == Q6_K) {
            // Halves of 32 quads; in each, four rows of eight share a row of high bits.
            let (half, line, word) = (q / 32, q % 32 / 8, q % 8);
            let low = words[block + half * 16 + line % 2 * 8 + word] >> ((line / 2) as u32 * 4u32);
            let high = words[block + 32 + half * 8 + word] >> (line as u32 * 2u32);
            let number_of = (low & 0x0f0f_0f0fu32) | ((high & 0x0303_0303u32) << 4u32);
            let group = ((words[block + 48 + q / 16] >> ((q / 4 % 4) as u32 * 8u32)) & 255u32) ^ 128u32;
            let scale = half_of(words[packed.apart + number / 2], number)
                * (f32::cast_from(group) - f32::new(128.0_f32));
            bytes_less(number_of, 32u32) * Quad::new(scale)
        } else {
            let (group, word) = (q / 8, q % 8);
            let mut numbers = (words[block + comptime!(kind.words - 32) + group / 2 * 8 + word]
                >> ((group % 2) as u32 * 4u32))
                & 0x0f0f_0f0fu32;
            if comptime!(kind.id == Q5_K) {
                let high = (words[block + 4 + word] >> (group as u32)) & 0x0101_0101u32;
                numbers |= high << 4u32;
            }
            let factors = words[block];
            let scale = half_of(factors, 0) * six_bits(words, block, group, 0usize);
            let minimum = half_of(factors, 1) * six_bits(words, block, group, 1usize);
            bytes_less(numbers, 0u32) * Quad::new(scale) - Quad::new(minimum)
        }
    }
}

/// One plain float of two bytes out of its word.
#[cube]
fn short_float(bits: u32, #[comptime] kind: Kind) -> f32 {
    if comptime!(kind.id == F16) { half_float(bits) } else { f32::reinterpret(bits << 16u32) }
}

/// One plain float of a matrix by its place.
#[cube]
fn plain_float(words: &Tensor<u32>, place: usize, #[comptime] kind: Kind) -> f32 {
    if comptime!(kind.id == F32) {
        f32::reinterpret(words[place])
    } else {
        short_float((words[place / 2] >> ((place % 2) as u32 * 16u32)) & 65_535u32, kind)
    }
}

#[cube]
fn plain_quad(words: &Tensor<u32>, row: usize, q: usize, packed: &Packed, #[comptime] kind: Kind) -> Quad {
    let mut quad = Quad::new(f32::new(0.0_f32));
    if comptime!(kind.ragged) {
        #[unroll]
        for idx in 0..4usize {
            if q * 4 + idx < packed.cols {
                quad.insert(idx, plain_float(words, row * packed.cols + q * 4 + idx, kind));
            }
        }
    } else if comptime!(kind.id == F32) {
        let start = row * packed.cols + q * 4;
        #[unroll]
        for idx in 0..4usize {
            quad.insert(idx, f32::reinterpret(words[start + idx]));
        }
    } else {
        let start = row * (packed.cols / 2) + q * 2;
        #[unroll]
        for idx in 0..2usize {
            let word = words[start + idx];
            quad.insert(2 * idx, short_float(word & 65_535u32, kind));
            quad.insert(2 * idx + 1, short_float(word >> 16u32, kind));
        }
    }
    quad
}

/// Four neighbouring elements of a row of plain floats; zeros beyond the end of a ragged row.
#[cube]
pub(super) fn float_quad(
    x: &Tensor<f32>,
    row: usize,
    q: usize,
    cols: usize,
    #[comptime] ragged: bool,
) -> Quad {
    let start = row * cols + q * 4;
    let mut quad = Quad::new(f32::new(0.0_f32));
    #[unroll]
    for idx in 0..4usize {
        if comptime!(ragged) {
            if q * 4 + idx < cols {
                quad.insert(idx, x[start + idx]);
            }
        } else {
            quad.insert(idx, x[start + idx]);
        }
    }
    quad
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_types_are_those_of_the_file_format() {
        for (id, kind) in [
            (F32, GgmlType::F32),
            (F16, GgmlType::F16),
            (Q4_0, GgmlType::Q4_0),
            (Q8_0, GgmlType::Q8_0),
            (Q4_K, GgmlType::Q4K),
            (Q5_K, GgmlType::Q5K),
            (Q6_K, GgmlType::Q6K),
        ] {
            assert_eq!(Kind::of(Layout::new(kind, [1, 256])).id, id, "{kind}");
        }
        assert!(GgmlType::Bf16.id() > Q6_K);
    }
}
