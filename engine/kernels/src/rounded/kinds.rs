//! The types of packed weights, as the rounded products see them.
//!
//! Everything is told of a span of 256 elements: a super-block of the K-types, eight blocks of the others. An element
//! is `scale · number − offset` with a number of at most eight bits without sign, and sixteen neighbours share scale
//! and offset. So one product serves all types: `Σ w·x = Σ over groups of scale · Σ number·x − offset · Σ x`.

use super::vectors::Vectors;

/// A type of packed weights.
pub(super) trait Kind: Copy {
    /// Bytes of a span.
    const BYTES: usize;
    /// Elements that share scale and offset: 16 or 32.
    const GROUP: usize;
    /// Whether numbers take all eight bits.
    const WIDE: bool;
    /// Whether numbers can be read in pairs where [`Vectors::IN_PAIRS`].
    const IN_PAIRS: bool;
    /// What is taken off every number of narrow types; the offset is as many scales. `None` where groups have offsets
    /// of their own.
    const ZERO: Option<f32>;

    /// Numbers of a span from `chunk · N_BYTE` on.
    ///
    /// # Safety
    /// `span` has [`Self::BYTES`], and the caller is compiled for the instructions of `V`.
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes;

    /// Numbers of a span in the order of [`Vectors::IN_PAIRS`].
    ///
    /// # Safety
    /// As [`Self::numbers`].
    unsafe fn pairs<V: Vectors>(span: *const u8) -> [V::Bytes; 4];

    /// Scales and offsets of a span.
    ///
    /// # Safety
    /// As [`Self::numbers`].
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2];
}

/// What is taken off every number: see [`Kind::ZERO`].
#[inline(always)]
pub(super) fn zero<V: Vectors, K: Kind>() -> Option<f32> {
    if K::WIDE { Some(V::WIDE_ZERO) } else { K::ZERO }
}

/// A number at any address.
#[inline(always)]
unsafe fn read<T: Copy>(source: *const u8) -> T {
    // SAFETY: callers stay within the span; so everywhere below.
    unsafe { source.cast::<T>().read_unaligned() }
}

/// Signed bytes.
#[derive(Clone, Copy)]
pub(super) struct Q8;

impl Kind for Q8 {
    const BYTES: usize = 8 * 34;
    const GROUP: usize = 32;
    const WIDE: bool = true;
    const IN_PAIRS: bool = false;
    const ZERO: Option<f32> = None;

    #[inline(always)]
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes {
        // SAFETY: passed on to the caller, here and below.
        unsafe { V::wide(V::q8_0(span, chunk)) }
    }

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(_: *const u8) -> [V::Bytes; 4] {
        unreachable!("numbers that lie in order")
    }

    #[inline(always)]
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
        // SAFETY: as above.
        unsafe {
            let scale = V::halves(span, 34);
            [scale, V::scale(scale, V::WIDE_ZERO)]
        }
    }
}

/// Four bits around eight.
#[derive(Clone, Copy)]
pub(super) struct Q4;

impl Kind for Q4 {
    const BYTES: usize = 8 * 18;
    const GROUP: usize = 32;
    const WIDE: bool = false;
    const IN_PAIRS: bool = true;
    const ZERO: Option<f32> = Some(8.0);

    #[inline(always)]
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes {
        // SAFETY: as above.
        unsafe { V::q4_0(span, chunk) }
    }

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(span: *const u8) -> [V::Bytes; 4] {
        // SAFETY: as above.
        unsafe { V::q4_0_pairs(span) }
    }

    #[inline(always)]
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
        // SAFETY: as above.
        unsafe {
            let scale = V::halves(span, 18);
            [scale, V::scale(scale, 8.0)]
        }
    }
}

/// Scales and minima of six bits, for 32 elements each: as `eosin_weights::scale_min_k4`, four at a time, each twice.
#[inline(always)]
unsafe fn factors_k4<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
    // SAFETY: as above.
    let [a, b, c] = [4, 8, 12].map(|start| u32::from_le(unsafe { read(span.add(start)) }));
    let scales = [a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | ((a >> 2) & 0x3030_3030)];
    let minima = [b & 0x3f3f_3f3f, ((c >> 4) & 0x0f0f_0f0f) | ((b >> 2) & 0x3030_3030)];
    let joined = |[low, high]: [u32; 2]| u64::from(low) | (u64::from(high) << 32);
    // SAFETY: as above.
    unsafe {
        [
            V::scale_by_half(V::twice(joined(scales)), span),
            V::scale_by_half(V::twice(joined(minima)), span.add(2)),
        ]
    }
}

/// Four bits with a minimum.
#[derive(Clone, Copy)]
pub(super) struct Q4K;

impl Kind for Q4K {
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const WIDE: bool = false;
    const IN_PAIRS: bool = true;
    const ZERO: Option<f32> = None;

    #[inline(always)]
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes {
        // SAFETY: as above.
        unsafe { V::q4_k(span, chunk) }
    }

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(span: *const u8) -> [V::Bytes; 4] {
        // SAFETY: as above.
        unsafe { V::q4_k_pairs(span) }
    }

    #[inline(always)]
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
        // SAFETY: as above.
        unsafe { factors_k4::<V>(span) }
    }
}

/// Five bits with a minimum.
#[derive(Clone, Copy)]
pub(super) struct Q5K;

impl Kind for Q5K {
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const WIDE: bool = false;
    const IN_PAIRS: bool = true;
    const ZERO: Option<f32> = None;

    #[inline(always)]
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes {
        // SAFETY: as above.
        unsafe { V::q5_k(span, chunk) }
    }

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(span: *const u8) -> [V::Bytes; 4] {
        // SAFETY: as above.
        unsafe { V::q5_k_pairs(span) }
    }

    #[inline(always)]
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
        // SAFETY: as above.
        unsafe { factors_k4::<V>(span) }
    }
}

/// Six bits around 32.
#[derive(Clone, Copy)]
pub(super) struct Q6K;

impl Kind for Q6K {
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const WIDE: bool = false;
    const IN_PAIRS: bool = false;
    const ZERO: Option<f32> = Some(32.0);

    #[inline(always)]
    unsafe fn numbers<V: Vectors>(span: *const u8, chunk: usize) -> V::Bytes {
        // SAFETY: as above.
        unsafe { V::q6_k(span, chunk) }
    }

    #[inline(always)]
    unsafe fn pairs<V: Vectors>(_: *const u8) -> [V::Bytes; 4] {
        unreachable!("numbers that lie in order")
    }

    #[inline(always)]
    unsafe fn factors<V: Vectors>(span: *const u8) -> [V::Groups; 2] {
        // SAFETY: as above.
        unsafe {
            let scale = V::scale_by_half(V::signed(span.add(192)), span.add(208));
            [scale, V::scale(scale, 32.0)]
        }
    }
}
