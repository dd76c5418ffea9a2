//! The bodies of `dot`, compiled for the vector instructions of x86-64.
//!
//! Nothing is computed differently here: the entry points only name instructions, and the vector types are
//! lanes of eight and sixteen floats.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, __m512i, _mm_add_ps, _mm_add_ss, _mm_cvtsi32_si128, _mm_cvtss_f32,
    _mm_loadl_epi64, _mm_loadu_si128, _mm_movehdup_ps, _mm_movehl_ps, _mm256_and_si256,
    _mm256_castps256_ps128, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtph_ps,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps,
    _mm256_or_si256, _mm256_set1_epi32, _mm256_set1_ps, _mm256_slli_epi32, _mm256_srl_epi32,
    _mm256_storeu_ps, _mm256_sub_ps, _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
    _mm512_cvtepu8_epi32, _mm512_cvtph_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_or_si512,
    _mm512_reduce_add_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32, _mm512_srl_epi32,
    _mm512_storeu_ps, _mm512_sub_ps,
};

use eosin_weights::GgmlType;

use super::lanes::{Bits, Lanes};
use super::{HeadRows, attend, tile, unpack};

impl Lanes for __m256 {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: called only from functions compiled for AVX2 and FMA, as are all below.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        debug_assert!(source.len() >= 8);
        // SAFETY: the caller passes at least eight floats.
        unsafe { _mm256_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn halves(source: &[u16]) -> Self {
        debug_assert!(source.len() >= 8);
        // SAFETY: the caller passes at least eight halves.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(source.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, target: &mut [f32]) {
        debug_assert!(target.len() >= 8);
        // SAFETY: the caller passes at least eight floats.
        unsafe { _mm256_storeu_ps(target.as_mut_ptr(), self) }
    }

    #[inline(always)]
    unsafe fn signed(bytes: &[u8]) -> Self {
        // SAFETY: the caller passes at least eight bytes.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight(bytes))) }
    }

    #[inline(always)]
    unsafe fn bits(low: Bits<'_>, high: Option<Bits<'_>>) -> Self {
        // SAFETY: the caller passes at least eight bytes.
        unsafe {
            let mut number = bits_avx2(low);
            if let Some(high) = high {
                number = _mm256_or_si256(number, _mm256_slli_epi32::<4>(bits_avx2(high)));
            }
            _mm256_cvtepi32_ps(number)
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm256_mul_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn subtract(self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm256_sub_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `splat`.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// The first eight bytes of a slice that has at least as many.
#[inline(always)]
unsafe fn eight(bytes: &[u8]) -> __m128i {
    debug_assert!(bytes.len() >= 8);
    // SAFETY: reads eight bytes.
    unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) }
}

#[inline(always)]
unsafe fn bits_avx2(bits: Bits<'_>) -> __m256i {
    // SAFETY: the caller is compiled for AVX2 and passes at least eight bytes.
    unsafe {
        let bytes = _mm256_cvtepu8_epi32(eight(bits.bytes));
        let shifted = _mm256_srl_epi32(bytes, _mm_cvtsi32_si128(bits.shift as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi32(i32::from(bits.mask)))
    }
}

impl Lanes for __m512 {
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: called only from functions compiled for AVX-512, as are all below.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        debug_assert!(source.len() >= 16);
        // SAFETY: the caller passes at least sixteen floats.
        unsafe { _mm512_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn halves(source: &[u16]) -> Self {
        debug_assert!(source.len() >= 16);
        // SAFETY: the caller passes at least sixteen halves.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(source.as_ptr().cast())) }
    }

    #[inline(always)]
    unsafe fn store(self, target: &mut [f32]) {
        debug_assert!(target.len() >= 16);
        // SAFETY: the caller passes at least sixteen floats.
        unsafe { _mm512_storeu_ps(target.as_mut_ptr(), self) }
    }

    #[inline(always)]
    unsafe fn signed(bytes: &[u8]) -> Self {
        // SAFETY: the caller passes at least sixteen bytes.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen(bytes))) }
    }

    #[inline(always)]
    unsafe fn bits(low: Bits<'_>, high: Option<Bits<'_>>) -> Self {
        // SAFETY: the caller passes at least sixteen bytes.
        unsafe {
            let mut number = bits_avx512(low);
            if let Some(high) = high {
                number = _mm512_or_si512(number, _mm512_slli_epi32::<4>(bits_avx512(high)));
            }
            _mm512_cvtepi32_ps(number)
        }
    }

    #[inline(always)]
    unsafe fn multiply(self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm512_mul_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn subtract(self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm512_sub_ps(self, b) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `splat`.
        unsafe { _mm512_reduce_add_ps(self) }
    }
}

/// The first sixteen bytes of a slice that has at least as many.
#[inline(always)]
unsafe fn sixteen(bytes: &[u8]) -> __m128i {
    debug_assert!(bytes.len() >= 16);
    // SAFETY: reads sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline(always)]
unsafe fn bits_avx512(bits: Bits<'_>) -> __m512i {
    // SAFETY: the caller is compiled for AVX-512 and passes at least sixteen bytes.
    unsafe {
        let bytes = _mm512_cvtepu8_epi32(sixteen(bits.bytes));
        let shifted = _mm512_srl_epi32(bytes, _mm_cvtsi32_si128(bits.shift as i32));
        _mm512_and_si512(shifted, _mm512_set1_epi32(i32::from(bits.mask)))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack_avx2(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    unpack::unpack::<__m256>(kind, bytes, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) fn unpack_avx512(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    unpack::unpack::<__m512>(kind, bytes, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn linear_rows_avx2(kind: GgmlType, weights: &[u8], n_col: usize, x: &[f32], out: &mut [f32]) {
    tile::linear_rows::<__m256>(kind, weights, n_col, x, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) fn linear_rows_avx512(kind: GgmlType, weights: &[u8], n_col: usize, x: &[f32], out: &mut [f32]) {
    tile::linear_rows::<__m512>(kind, weights, n_col, x, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn attend_head_avx2(
    d: usize,
    query: &[f32],
    keys: HeadRows<'_>,
    values: HeadRows<'_>,
    out: &mut [f32],
) {
    attend::attend_head::<__m256>(d, query, keys, values, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) fn attend_head_avx512(
    d: usize,
    query: &[f32],
    keys: HeadRows<'_>,
    values: HeadRows<'_>,
    out: &mut [f32],
) {
    attend::attend_head::<__m512>(d, query, keys, values, out);
}
