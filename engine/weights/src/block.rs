//! The layouts of quantised blocks, and the way from them to 32-bit floats and back.
//!
//! A file's bytes are these structs, little-endian, without padding: the size assertions are the proof that
//! a mapped tensor can be read in place. Dequantisation repeats the order of operations of ggml, so that it
//! equals gguf-py bit for bit; `tests/blocks.rs` compares both on random blocks of every type.

mod dequantize;
mod quantize;

pub use self::dequantize::{dequantize, scale_min_k4};
pub use self::quantize::quantize;
pub(crate) use self::quantize::quantize_into;

use bytemuck::{Pod, Zeroable};
use half::f16;

/// 32 numbers of 8 bits with one scale: `x = d·q`.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ8_0 {
    /// Scale.
    pub d: f16,
    /// Numbers.
    pub qs: [i8; 32],
}

/// 32 numbers of 4 bits with one scale: `x = d·(q − 8)`.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ4_0 {
    /// Scale.
    pub d: f16,
    /// Element `j` in the low half of byte `j`, element `j + 16` in its high half.
    pub qs: [u8; 16],
}

/// 256 numbers of 4 bits in eight groups of 32: `x = d·sc·q − dmin·m`.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ4K {
    /// Scale of the groups' scales.
    pub d: f16,
    /// Scale of the groups' minima.
    pub dmin: f16,
    /// Eight scales and eight minima of 6 bits, packed as [`scale_min_k4`] reads them.
    pub scales: [u8; 12],
    /// For each 64 elements 32 bytes: the first 32 in the low halves, the next 32 in the high halves.
    pub qs: [u8; 128],
}

/// As [`BlockQ4K`] with a fifth bit for each number.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ5K {
    /// Scale of the groups' scales.
    pub d: f16,
    /// Scale of the groups' minima.
    pub dmin: f16,
    /// Eight scales and eight minima of 6 bits, packed as [`scale_min_k4`] reads them.
    pub scales: [u8; 12],
    /// Bit `g` of byte `l` is the fifth bit of element `l` of group `g`.
    pub qh: [u8; 32],
    /// The lower four bits, laid as in [`BlockQ4K::qs`].
    pub qs: [u8; 128],
}

/// 256 numbers of 6 bits in sixteen groups of 16: `x = d·sc·(q − 32)`.
#[derive(Clone, Copy, PartialEq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct BlockQ6K {
    /// Lower four bits: in each half of 128 elements, byte `l` holds elements `l` and `l + 64`.
    pub ql: [u8; 128],
    /// Upper two bits: in each half, byte `l` holds those of elements `l`, `l + 32`, `l + 64`, `l + 96`.
    pub qh: [u8; 64],
    /// Scale of each group of 16.
    pub scales: [i8; 16],
    /// Scale of the scales.
    pub d: f16,
}

const _: () = assert!(size_of::<BlockQ8_0>() == 34 && align_of::<BlockQ8_0>() == 2);
const _: () = assert!(size_of::<BlockQ4_0>() == 18 && align_of::<BlockQ4_0>() == 2);
const _: () = assert!(size_of::<BlockQ4K>() == 144 && align_of::<BlockQ4K>() == 2);
const _: () = assert!(size_of::<BlockQ5K>() == 176 && align_of::<BlockQ5K>() == 2);
const _: () = assert!(size_of::<BlockQ6K>() == 210 && align_of::<BlockQ6K>() == 2);
