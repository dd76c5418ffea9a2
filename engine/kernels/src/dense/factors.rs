//! What the tile multiplies: vectors of the processor's instructions, and how factors lie in memory.
//!
//! Everything is counted in words of four bytes, so that one tile serves both formats: a word is a float, or two
//! short floats (bf16) that belong to neighbouring steps of a sum.

#![expect(unsafe_code, reason = "loads and stores through pointers that the tile's caller vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, __m512bh, _mm256_add_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
    _mm256_storeu_ps, _mm512_add_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_storeu_ps,
};

/// A way to multiply.
///
/// # Safety of all methods
/// The processor has the instructions, and pointers reach as many words as a vector has.
pub(super) trait Factors {
    /// Partial sums.
    type Sum: Copy;
    /// Factors of as many sums.
    type Factor: Copy;
    /// Sums in a vector.
    const COUNT: usize;
    /// Vectors of a row of the widest tile.
    const WIDE: usize;
    /// Rows of the highest tile: as many as leave room for the factors in the registers.
    const HIGH: usize;
    /// Steps of a sum before the tile goes on to other rows: what it reads of the weights then stays in the first
    /// cache.
    const DEEP: usize;

    unsafe fn zero() -> Self::Sum;
    unsafe fn splat(word: *const u32) -> Self::Factor;
    unsafe fn load(words: *const u32) -> Self::Factor;
    unsafe fn add_product(sum: Self::Sum, x: Self::Factor, w: Self::Factor) -> Self::Sum;
    unsafe fn add_floats(sum: Self::Sum, floats: *const f32) -> Self::Sum;
    unsafe fn store(sum: Self::Sum, floats: *mut f32);
}

/// Columns of a panel.
pub(super) const fn panel<F: Factors>() -> usize {
    F::COUNT * F::WIDE
}

/// What every processor has.
pub(super) struct Plain;

impl Factors for Plain {
    type Sum = [f32; 8];
    type Factor = [f32; 8];
    const COUNT: usize = 8;
    const WIDE: usize = 2;
    /// Sixteen vectors of four floats on x86-64, thirty-two elsewhere.
    const HIGH: usize = if cfg!(target_arch = "x86_64") { 3 } else { 6 };
    const DEEP: usize = 128;

    #[inline(always)]
    unsafe fn zero() -> [f32; 8] {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn splat(word: *const u32) -> [f32; 8] {
        // SAFETY: see the trait; as are all below.
        [unsafe { *word.cast() }; 8]
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> [f32; 8] {
        // SAFETY: an array of floats asks for no more than a word's alignment.
        unsafe { words.cast::<[f32; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn add_product(mut sum: [f32; 8], x: [f32; 8], w: [f32; 8]) -> [f32; 8] {
        for i in 0..8 {
            // One instruction where it belongs to every processor of the kind, a call elsewhere.
            sum[i] =
                if cfg!(target_arch = "aarch64") { x[i].mul_add(w[i], sum[i]) } else { sum[i] + x[i] * w[i] };
        }
        sum
    }

    #[inline(always)]
    unsafe fn add_floats(mut sum: [f32; 8], floats: *const f32) -> [f32; 8] {
        for (i, sum) in sum.iter_mut().enumerate() {
            // SAFETY: see the trait.
            *sum += unsafe { *floats.add(i) };
        }
        sum
    }

    #[inline(always)]
    unsafe fn store(sum: [f32; 8], floats: *mut f32) {
        // SAFETY: see the trait.
        unsafe { floats.cast::<[f32; 8]>().write(sum) }
    }
}

/// Vectors of 256 bits.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Factors for Avx2 {
    type Sum = __m256;
    type Factor = __m256;
    const COUNT: usize = 8;
    const WIDE: usize = 2;
    const HIGH: usize = 6;
    const DEEP: usize = 128;

    #[inline(always)]
    unsafe fn zero() -> __m256 {
        // SAFETY: see the trait; as are all below.
        unsafe { _mm256_set1_ps(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(word: *const u32) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_set1_ps(*word.cast()) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_loadu_ps(words.cast()) }
    }

    #[inline(always)]
    unsafe fn add_product(sum: __m256, x: __m256, w: __m256) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_fmadd_ps(x, w, sum) }
    }

    #[inline(always)]
    unsafe fn add_floats(sum: __m256, floats: *const f32) -> __m256 {
        // SAFETY: see the trait.
        unsafe { _mm256_add_ps(sum, _mm256_loadu_ps(floats)) }
    }

    #[inline(always)]
    unsafe fn store(sum: __m256, floats: *mut f32) {
        // SAFETY: see the trait.
        unsafe { _mm256_storeu_ps(floats, sum) }
    }
}

/// Vectors of 512 bits.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512;

/// Both ways to multiply vectors of 512 bits have the same sums.
#[cfg(target_arch = "x86_64")]
macro_rules! sums_of_512_bits {
    () => {
        type Sum = __m512;
        const COUNT: usize = 16;
        const WIDE: usize = 4;
        const HIGH: usize = 6;
        const DEEP: usize = 128;

        #[inline(always)]
        unsafe fn zero() -> __m512 {
            // SAFETY: see the trait; as are all below.
            unsafe { _mm512_set1_ps(0.0) }
        }

        #[inline(always)]
        unsafe fn add_floats(sum: __m512, floats: *const f32) -> __m512 {
            // SAFETY: see the trait.
            unsafe { _mm512_add_ps(sum, _mm512_loadu_ps(floats)) }
        }

        #[inline(always)]
        unsafe fn store(sum: __m512, floats: *mut f32) {
            // SAFETY: see the trait.
            unsafe { _mm512_storeu_ps(floats, sum) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
impl Factors for Avx512 {
    sums_of_512_bits!();
    type Factor = __m512;

    #[inline(always)]
    unsafe fn splat(word: *const u32) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_set1_ps(*word.cast()) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_loadu_ps(words.cast()) }
    }

    #[inline(always)]
    unsafe fn add_product(sum: __m512, x: __m512, w: __m512) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_fmadd_ps(x, w, sum) }
    }
}

/// Pairs of short floats in vectors of 512 bits.
#[cfg(target_arch = "x86_64")]
pub(super) struct Avx512Bf16;

#[cfg(target_arch = "x86_64")]
impl Factors for Avx512Bf16 {
    sums_of_512_bits!();
    type Factor = __m512bh;

    #[inline(always)]
    unsafe fn splat(word: *const u32) -> __m512bh {
        // SAFETY: see the trait; both types are 512 bits of any value.
        unsafe { std::mem::transmute(_mm512_set1_epi32(*word.cast())) }
    }

    #[inline(always)]
    unsafe fn load(words: *const u32) -> __m512bh {
        // SAFETY: see the trait; both types are 512 bits of any value.
        unsafe { std::mem::transmute(_mm512_loadu_ps(words.cast())) }
    }

    #[inline(always)]
    unsafe fn add_product(sum: __m512, x: __m512bh, w: __m512bh) -> __m512 {
        // SAFETY: see the trait.
        unsafe { _mm512_dpbf16_ps(sum, x, w) }
    }
}
