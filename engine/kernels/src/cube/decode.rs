//! How a kernel reads a block: the scale and minimum of a group, and the numbers in it.
//!
//! An element is `scale · number − minimum`, as in `dot::unpack`; a group is the elements that share both.
//! A plain float is a group of one with scale 1. Types are told apart while a kernel is compiled, so that
//! each type has its own.

use cubecl::prelude::*;
use eosin_weights::GgmlType;

/// The layout facts a kernel is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Kind {
    /// Elements that share a scale.
    pub(super) group: usize,
    /// Elements of a block.
    pub(super) block: usize,
    /// Bytes of a block.
    pub(super) bytes: usize,
    /// Which type: its number in a GGUF file.
    pub(super) id: u32,
}

impl Kind {
    pub(super) fn of(kind: GgmlType) -> Self {
        let group = match kind {
            GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => 1,
            GgmlType::Q6K => 16,
            GgmlType::Q8_0 | GgmlType::Q4_0 | GgmlType::Q4K | GgmlType::Q5K => 32,
        };
        Self { group, block: kind.block_len(), bytes: kind.block_bytes(), id: kind.id() }
    }
}

// Numbers of types in a GGUF file, for matching inside kernels; a test compares them with `GgmlType::id`.
const F32: u32 = 0;
const F16: u32 = 1;
const Q4_0: u32 = 2;
const Q8_0: u32 = 8;
const Q4_K: u32 = 12;
const Q5_K: u32 = 13;
const Q6_K: u32 = 14;

/// One byte of the blocks.
#[cube]
fn byte(words: &Tensor<u32>, offset: usize) -> u32 {
    (words[offset / 4] >> ((offset % 4) as u32 * 8u32)) & 255u32
}

/// Two bytes at an even offset.
#[cube]
fn pair(words: &Tensor<u32>, offset: usize) -> u32 {
    (words[offset / 4] >> ((offset % 4) as u32 * 8u32)) & 65_535u32
}

/// A byte as a signed number.
#[cube]
fn signed(byte: u32) -> f32 {
    f32::cast_from(i32::cast_from(byte ^ 128u32) - 128i32)
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
    if bits >= 32_768u32 {
        magnitude = f32::new(0.0_f32) - magnitude;
    }
    magnitude
}

/// The factor before the numbers of a group.
#[cube]
pub(super) fn scale(words: &Tensor<u32>, block: usize, group: usize, #[comptime] kind: Kind) -> f32 {
    if comptime!(kind.id == Q8_0 || kind.id == Q4_0) {
        half_float(pair(words, block))
    } else if comptime!(kind.id == Q4_K || kind.id == Q5_K) {
        // The upper four groups' scales have their high bits elsewhere; indices stay inside the block.
        let mut six = byte(words, block + 4 + group) & 63u32;
        if group >= 4 {
            let low = byte(words, block + 8 + group) & 15u32;
            six = low | ((byte(words, block + group) >> 6u32) << 4u32);
        }
        half_float(pair(words, block)) * f32::cast_from(six)
    } else if comptime!(kind.id == Q6_K) {
        half_float(pair(words, block + 208)) * signed(byte(words, block + 192 + group))
    } else {
        f32::new(1.0_f32)
    }
}

/// What is subtracted from every element of a group.
#[cube]
pub(super) fn minimum(words: &Tensor<u32>, block: usize, group: usize, #[comptime] kind: Kind) -> f32 {
    if comptime!(kind.id == Q4_K || kind.id == Q5_K) {
        let mut six = byte(words, block + 8 + group) & 63u32;
        if group >= 4 {
            let low = byte(words, block + 8 + group) >> 4u32;
            six = low | ((byte(words, block + 4 + group) >> 6u32) << 4u32);
        }
        half_float(pair(words, block + 2)) * f32::cast_from(six)
    } else {
        f32::new(0.0_f32)
    }
}

/// The number of element `l` of a group.
#[cube]
pub(super) fn number(
    words: &Tensor<u32>,
    block: usize,
    group: usize,
    l: usize,
    #[comptime] kind: Kind,
) -> f32 {
    if comptime!(kind.id == Q8_0) {
        signed(byte(words, block + 2 + l))
    } else if comptime!(kind.id == Q4_0) {
        let q = (byte(words, block + 2 + l % 16) >> ((l / 16) as u32 * 4u32)) & 15u32;
        f32::cast_from(q) - f32::new(8.0_f32)
    } else if comptime!(kind.id == Q4_K) {
        let q = (byte(words, block + 16 + group / 2 * 32 + l) >> ((group % 2) as u32 * 4u32)) & 15u32;
        f32::cast_from(q)
    } else if comptime!(kind.id == Q5_K) {
        let low = (byte(words, block + 48 + group / 2 * 32 + l) >> ((group % 2) as u32 * 4u32)) & 15u32;
        let high = (byte(words, block + 16 + l) >> (group as u32)) & 1u32;
        f32::cast_from(low | (high << 4u32))
    } else if comptime!(kind.id == Q6_K) {
        // Eight groups of 16 in each half of the block: quarters of 32, two groups to a quarter.
        let half = group / 8;
        let quarter = group % 8 / 2;
        let within = group % 2 * 16 + l;
        let lows = byte(words, block + half * 64 + quarter % 2 * 32 + within);
        let highs = byte(words, block + 128 + half * 32 + within);
        let low = (lows >> ((quarter / 2) as u32 * 4u32)) & 15u32;
        let high = (highs >> (quarter as u32 * 2u32)) & 3u32;
        f32::cast_from(low | (high << 4u32)) - f32::new(32.0_f32)
    } else if comptime!(kind.id == F32) {
        f32::reinterpret(words[block / 4])
    } else if comptime!(kind.id == F16) {
        half_float(pair(words, block))
    } else {
        f32::reinterpret(pair(words, block) << 16u32)
    }
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
            assert_eq!(Kind::of(kind).id, id, "{kind}");
        }
    }
}
