//! A handful of floats side by side: what the bodies of `dot` are written in.
//!
//! Loops over bytes are left to no optimiser: it unrolls those of fixed length before it looks for vectors, and
//! finds none afterwards. So the few steps from packed numbers to sums are named here, once for plain arrays,
//! which are their meaning, and in `x86` for vector registers.

use super::unpack::half_float;

/// Floats side by side.
///
/// Methods are unsafe because those of the vector types are only sound inside a function compiled for the
/// instructions; the array's are sound everywhere.
pub(super) trait Lanes: Copy {
    /// How many floats: 8 or 16.
    const COUNT: usize;

    /// All the same.
    unsafe fn splat(value: f32) -> Self;

    /// The first [`Lanes::COUNT`] floats of a slice that has at least as many.
    unsafe fn load(source: &[f32]) -> Self;

    /// The first [`Lanes::COUNT`] halves of a slice that has at least as many.
    unsafe fn halves(source: &[u16]) -> Self;

    /// Into the first [`Lanes::COUNT`] floats of a slice that has at least as many.
    unsafe fn store(self, target: &mut [f32]);

    /// Signed bytes, of which there are at least [`Lanes::COUNT`].
    unsafe fn signed(bytes: &[u8]) -> Self;

    /// Whole numbers put together from the bits of two rows of bytes, each at least [`Lanes::COUNT`] long.
    unsafe fn bits(low: Bits<'_>, high: Option<Bits<'_>>) -> Self;

    /// `self · b`.
    unsafe fn multiply(self, b: Self) -> Self;

    /// `self − b`.
    unsafe fn subtract(self, b: Self) -> Self;

    /// `self + a · b`, rounded once where the processor can.
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;

    /// The sum of all lanes.
    unsafe fn sum(self) -> f32;
}

/// Some bits of every byte: shifted down, then masked. Those of a second row stand above the four of the first.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) shift: u32,
    pub(super) mask: u8,
}

impl Lanes for [f32; 8] {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        let mut lanes = [0.0; 8];
        lanes.copy_from_slice(&source[..8]);
        lanes
    }

    #[inline(always)]
    unsafe fn halves(source: &[u16]) -> Self {
        let mut lanes = [0.0; 8];
        for (lane, bits) in lanes.iter_mut().zip(&source[..8]) {
            *lane = half_float(bits.to_le_bytes());
        }
        lanes
    }

    #[inline(always)]
    unsafe fn store(self, target: &mut [f32]) {
        target[..8].copy_from_slice(&self);
    }

    #[inline(always)]
    unsafe fn signed(bytes: &[u8]) -> Self {
        let mut lanes = [0.0; 8];
        for (lane, byte) in lanes.iter_mut().zip(&bytes[..8]) {
            *lane = f32::from(*byte as i8);
        }
        lanes
    }

    #[inline(always)]
    unsafe fn bits(low: Bits<'_>, high: Option<Bits<'_>>) -> Self {
        let mut lanes = [0.0; 8];
        for (idx, lane) in lanes.iter_mut().enumerate() {
            let mut number = (low.bytes[idx] >> low.shift) & low.mask;
            if let Some(high) = high {
                number |= ((high.bytes[idx] >> high.shift) & high.mask) << 4;
            }
            *lane = f32::from(number);
        }
        lanes
    }

    #[inline(always)]
    unsafe fn multiply(mut self, b: Self) -> Self {
        for (lane, b) in self.iter_mut().zip(b) {
            *lane *= b;
        }
        self
    }

    #[inline(always)]
    unsafe fn subtract(mut self, b: Self) -> Self {
        for (lane, b) in self.iter_mut().zip(b) {
            *lane -= b;
        }
        self
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, a: Self, b: Self) -> Self {
        for (lane, (a, b)) in self.iter_mut().zip(a.into_iter().zip(b)) {
            *lane += a * b;
        }
        self
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let mut four = [0.0; 4];
        for (idx, lane) in four.iter_mut().enumerate() {
            *lane = self[idx] + self[idx + 4];
        }
        (four[0] + four[2]) + (four[1] + four[3])
    }
}
