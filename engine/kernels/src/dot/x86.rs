//! The bodies of `dot`, compiled for the vector instructions of x86-64.
//!
//! Nothing is computed differently here: the entry points only name instructions, and the vector types are
//! lanes of eight and sixteen floats.

use std::arch::x86_64::{
    __m256, __m512, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps,
    _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_reduce_add_ps, _mm512_setzero_ps,
};

use eosin_weights::GgmlType;

use super::lanes::Lanes;
use super::{tile, unpack};

impl Lanes for __m256 {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: called only from functions compiled for AVX2 and FMA, as are all below.
        unsafe { _mm256_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        debug_assert!(source.len() >= 8);
        // SAFETY: the caller passes at least eight floats.
        unsafe { _mm256_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { _mm256_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `zero`.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self), _mm256_extractf128_ps::<1>(self));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

impl Lanes for __m512 {
    const COUNT: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: called only from functions compiled for AVX-512, as are all below.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        debug_assert!(source.len() >= 16);
        // SAFETY: the caller passes at least sixteen floats.
        unsafe { _mm512_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { _mm512_fmadd_ps(a, b, self) }
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `zero`.
        unsafe { _mm512_reduce_add_ps(self) }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn unpack_avx2(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    unpack::unpack(kind, bytes, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) fn unpack_avx512(kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    unpack::unpack(kind, bytes, out);
}

#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn linear_rows_avx2(kind: GgmlType, weights: &[u8], n_col: usize, x: &[f32], out: &mut [f32]) {
    tile::linear_rows::<__m256>(kind, weights, n_col, x, out);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub(super) fn linear_rows_avx512(kind: GgmlType, weights: &[u8], n_col: usize, x: &[f32], out: &mut [f32]) {
    tile::linear_rows::<__m512>(kind, weights, n_col, x, out);
}
