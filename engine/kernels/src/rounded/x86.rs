//! The steps of the rounded products in the vector registers of x86-64.
//!
//! Three sets: 256-bit vectors without and with an instruction that sums four products of bytes, and 512-bit vectors
//! with it. Without it products of bytes are summed in pairs to 16 bits first, which holds only where the first
//! factor has seven bits; for eight the sign is moved to the other factor.
//!
//! This file is long because each of some forty steps is told for both widths, which are read side by side.

#[allow(clippy::wildcard_imports, reason = "some eighty names of instructions")]
use std::arch::x86_64::*;

use super::vectors::{N_GROUP, Vectors};

/// 256-bit vectors.
#[derive(Clone, Copy)]
pub(super) struct Avx2;
/// 256-bit vectors with sums of four products.
#[derive(Clone, Copy)]
pub(super) struct AvxVnni;
/// 512-bit vectors with sums of four products.
#[derive(Clone, Copy)]
pub(super) struct Avx512;

/// A half as the first of four floats.
#[inline(always)]
unsafe fn half(source: *const u8) -> __m128 {
    // SAFETY: callers are compiled for the instructions and have two bytes.
    unsafe { _mm_cvtph_ps(_mm_cvtsi32_si128(i32::from(source.cast::<u16>().read_unaligned()))) }
}

/// Eight halves, one at every `stride` bytes.
#[inline(always)]
unsafe fn eight_halves(source: *const u8, stride: usize) -> __m128i {
    // SAFETY: callers are compiled for the instructions and have as many bytes.
    unsafe {
        let mut halves = _mm_cvtsi32_si128(i32::from(source.cast::<i16>().read_unaligned()));
        macro_rules! insert {
            ($($idx:literal)*) => {
                $(halves = _mm_insert_epi16::<$idx>(
                    halves,
                    i32::from(source.add($idx * stride).cast::<i16>().read_unaligned()),
                );)*
            };
        }
        insert!(1 2 3 4 5 6 7);
        halves
    }
}

/// What both sets of 256-bit vectors have in common.
macro_rules! vectors_256 {
    ($name:ty, zero: $zero:expr, wide: |$bytes:ident| $wide:expr, dot: |$sums:ident, $numbers:ident, $x:ident| $dot:expr, dot_wide: $dot_wide:expr) => {
        impl Vectors for $name {
            const N_BYTE: usize = 32;
            const WIDE_ZERO: f32 = $zero;
            const TILE: usize = 4;

            type Bytes = __m256i;
            type Sums = __m256i;
            type Floats = __m256;
            type Groups = [__m256; 2];

            #[inline(always)]
            unsafe fn load(source: *const u8) -> __m256i {
                // SAFETY: callers are compiled for the instructions and stay within their data; so everywhere here.
                unsafe { _mm256_loadu_si256(source.cast()) }
            }

            #[inline(always)]
            unsafe fn store(bytes: __m256i, target: *mut u8) {
                // SAFETY: see `load`.
                unsafe { _mm256_storeu_si256(target.cast(), bytes) }
            }

            #[inline(always)]
            unsafe fn four(source: *const i8) -> __m256i {
                // SAFETY: see `load`.
                unsafe { _mm256_set1_epi32(source.cast::<i32>().read_unaligned()) }
            }

            #[inline(always)]
            unsafe fn wide($bytes: __m256i) -> __m256i {
                $wide
            }

            #[inline(always)]
            unsafe fn zero() -> __m256i {
                // SAFETY: see `load`.
                unsafe { _mm256_setzero_si256() }
            }

            #[inline(always)]
            unsafe fn dot($sums: __m256i, $numbers: __m256i, $x: __m256i) -> __m256i {
                // SAFETY: see `load`.
                unsafe { $dot }
            }

            #[inline(always)]
            unsafe fn dot_wide($sums: __m256i, $numbers: __m256i, $x: __m256i) -> __m256i {
                // SAFETY: see `load`.
                unsafe { $dot_wide }
            }

            #[inline(always)]
            unsafe fn floats(sums: __m256i) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_cvtepi32_ps(sums) }
            }

            #[inline(always)]
            unsafe fn splat(value: f32) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_set1_ps(value) }
            }

            #[inline(always)]
            unsafe fn load_floats(source: *const f32) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_loadu_ps(source) }
            }

            #[inline(always)]
            unsafe fn store_floats(floats: __m256, target: *mut f32) {
                // SAFETY: see `load`.
                unsafe { _mm256_storeu_ps(target, floats) }
            }

            #[inline(always)]
            unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_mul_ps(a, b) }
            }

            #[inline(always)]
            unsafe fn add_product(total: __m256, a: __m256, b: __m256) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_fmadd_ps(a, b, total) }
            }

            #[inline(always)]
            unsafe fn take_product(total: __m256, a: __m256, b: __m256) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_fnmadd_ps(a, b, total) }
            }

            #[inline(always)]
            unsafe fn product_less(a: __m256, b: __m256, less: __m256) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_fmsub_ps(a, b, less) }
            }

            #[inline(always)]
            unsafe fn sum(floats: __m256) -> f32 {
                // SAFETY: see `load`.
                unsafe {
                    let four = _mm_add_ps(_mm256_castps256_ps128(floats), _mm256_extractf128_ps::<1>(floats));
                    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
                }
            }

            #[inline(always)]
            unsafe fn interleave(rows: *const u8, stride: usize, n_byte: usize, target: *mut u8) {
                for start in (0..n_byte).step_by(32) {
                    // SAFETY: see `load`.
                    unsafe {
                        let mut eight = [_mm256_setzero_si256(); 8];
                        for (row, eight) in eight.iter_mut().enumerate() {
                            *eight = _mm256_loadu_si256(rows.add(row * stride + start).cast());
                        }
                        let mut twos = eight;
                        for pair in 0..4 {
                            let (a, b) = (eight[2 * pair], eight[2 * pair + 1]);
                            twos[2 * pair] = _mm256_unpacklo_epi32(a, b);
                            twos[2 * pair + 1] = _mm256_unpackhi_epi32(a, b);
                        }
                        // Of four rows the numbers i and i + 4.
                        let mut fours = twos;
                        for half in 0..2 {
                            for which in 0..2 {
                                let (a, b) = (twos[4 * half + which], twos[4 * half + 2 + which]);
                                fours[4 * half + 2 * which] = _mm256_unpacklo_epi64(a, b);
                                fours[4 * half + 2 * which + 1] = _mm256_unpackhi_epi64(a, b);
                            }
                        }
                        let target = target.add(8 * start);
                        for four in 0..4 {
                            let (a, b) = (fours[four], fours[four + 4]);
                            let (low, high) = (
                                _mm256_permute2x128_si256::<0x20>(a, b),
                                _mm256_permute2x128_si256::<0x31>(a, b),
                            );
                            _mm256_storeu_si256(target.add(32 * four).cast(), low);
                            _mm256_storeu_si256(target.add(32 * (four + 4)).cast(), high);
                        }
                    }
                }
            }

            #[inline(always)]
            unsafe fn fetch(source: *const u8) {
                // SAFETY: see `load`; nothing is read.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
            }

            #[inline(always)]
            unsafe fn load_groups(source: &[f32; N_GROUP]) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe { [_mm256_loadu_ps(source.as_ptr()), _mm256_loadu_ps(source.as_ptr().add(8))] }
            }

            #[inline(always)]
            unsafe fn store_groups(groups: [__m256; 2], target: &mut [f32; N_GROUP]) {
                // SAFETY: see `load`.
                unsafe {
                    _mm256_storeu_ps(target.as_mut_ptr(), groups[0]);
                    _mm256_storeu_ps(target.as_mut_ptr().add(8), groups[1]);
                }
            }

            #[inline(always)]
            unsafe fn halves(source: *const u8, stride: usize) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe {
                    let floats = _mm256_cvtph_ps(eight_halves(source, stride));
                    let (low, high) = (
                        _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3),
                        _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7),
                    );
                    [_mm256_permutevar8x32_ps(floats, low), _mm256_permutevar8x32_ps(floats, high)]
                }
            }

            #[inline(always)]
            unsafe fn scale_by_half(groups: [__m256; 2], source: *const u8) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe {
                    let factor = _mm256_broadcastss_ps(half(source));
                    [_mm256_mul_ps(groups[0], factor), _mm256_mul_ps(groups[1], factor)]
                }
            }

            #[inline(always)]
            unsafe fn twice(bytes: u64) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe {
                    let bytes = _mm_cvtsi64_si128(bytes as i64);
                    let bytes = _mm_unpacklo_epi8(bytes, bytes);
                    [
                        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)),
                        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes))),
                    ]
                }
            }

            #[inline(always)]
            unsafe fn signed(source: *const u8) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe {
                    [
                        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(source.cast()))),
                        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(source.add(8).cast()))),
                    ]
                }
            }

            #[inline(always)]
            unsafe fn scale(groups: [__m256; 2], factor: f32) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe {
                    let factor = _mm256_set1_ps(factor);
                    [_mm256_mul_ps(groups[0], factor), _mm256_mul_ps(groups[1], factor)]
                }
            }

            #[inline(always)]
            unsafe fn product(a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
                // SAFETY: see `load`.
                unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
            }

            #[inline(always)]
            unsafe fn spread(groups: [__m256; 2], chunk: usize) -> __m256 {
                // SAFETY: see `load`.
                unsafe {
                    let first = 2 * (chunk % 4) as i32;
                    let idx =
                        _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
                    _mm256_permutevar8x32_ps(groups[chunk / 4], idx)
                }
            }

            #[inline(always)]
            unsafe fn take_groups(total: __m256, a: [__m256; 2], b: [__m256; 2]) -> __m256 {
                // SAFETY: see `load`.
                unsafe { _mm256_fnmadd_ps(a[1], b[1], _mm256_fnmadd_ps(a[0], b[0], total)) }
            }

            #[inline(always)]
            unsafe fn q8_0(span: *const u8, chunk: usize) -> __m256i {
                // SAFETY: see `load`.
                unsafe { _mm256_loadu_si256(span.add(34 * chunk + 2).cast()) }
            }

            #[inline(always)]
            unsafe fn q4_0(span: *const u8, chunk: usize) -> __m256i {
                // SAFETY: see `load`.
                unsafe {
                    let both = _mm_loadu_si128(span.add(18 * chunk + 2).cast());
                    let apart = _mm256_set_m128i(_mm_srli_epi16::<4>(both), both);
                    _mm256_and_si256(apart, _mm256_set1_epi8(15))
                }
            }

            #[inline(always)]
            unsafe fn q4_k(span: *const u8, chunk: usize) -> __m256i {
                // SAFETY: see `load`.
                unsafe {
                    let both = _mm256_loadu_si256(span.add(16 + 32 * (chunk / 2)).cast());
                    nibbles_256(both, chunk % 2)
                }
            }

            #[inline(always)]
            unsafe fn q5_k(span: *const u8, chunk: usize) -> __m256i {
                // SAFETY: see `load`.
                unsafe {
                    let both = _mm256_loadu_si256(span.add(48 + 32 * (chunk / 2)).cast());
                    let bit = _mm256_set1_epi8((1_u8 << chunk) as i8);
                    let tops = _mm256_and_si256(_mm256_loadu_si256(span.add(16).cast()), bit);
                    let tops = _mm256_and_si256(_mm256_cmpeq_epi8(tops, bit), _mm256_set1_epi8(16));
                    _mm256_or_si256(nibbles_256(both, chunk % 2), tops)
                }
            }

            #[inline(always)]
            unsafe fn q6_k(span: *const u8, chunk: usize) -> __m256i {
                // SAFETY: see `load`.
                unsafe {
                    let (half, quarter) = (chunk / 4, chunk % 4);
                    let both = _mm256_loadu_si256(span.add(64 * half + 32 * (quarter % 2)).cast());
                    let tops = _mm256_loadu_si256(span.add(128 + 32 * half).cast());
                    let tops = _mm256_srl_epi16(tops, _mm_cvtsi32_si128(2 * quarter as i32));
                    let tops = _mm256_slli_epi16::<4>(_mm256_and_si256(tops, _mm256_set1_epi8(3)));
                    _mm256_or_si256(nibbles_256(both, quarter / 2), tops)
                }
            }
        }
    };
}

/// The lower or upper four bits of every byte.
#[inline(always)]
unsafe fn nibbles_256(both: __m256i, upper: usize) -> __m256i {
    // SAFETY: the caller is compiled for AVX2.
    unsafe {
        let shifted = _mm256_srl_epi16(both, _mm_cvtsi32_si128(4 * upper as i32));
        _mm256_and_si256(shifted, _mm256_set1_epi8(15))
    }
}

vectors_256!(
    Avx2,
    zero: 0.0,
    wide: |bytes| bytes,
    dot: |sums, numbers, x| _mm256_add_epi32(
        sums,
        _mm256_madd_epi16(_mm256_maddubs_epi16(numbers, x), _mm256_set1_epi16(1)),
    ),
    dot_wide: Self::dot(sums, _mm256_abs_epi8(numbers), _mm256_sign_epi8(x, numbers))
);

vectors_256!(
    AvxVnni,
    zero: 128.0,
    // SAFETY: see `load`.
    wide: |bytes| unsafe { _mm256_xor_si256(bytes, _mm256_set1_epi8(-128)) },
    dot: |sums, numbers, x| _mm256_dpbusd_avx_epi32(sums, numbers, x),
    dot_wide: Self::dot(sums, numbers, x)
);

/// Two vectors of 256 bits as one.
#[inline(always)]
unsafe fn joined(low: __m256i, high: __m256i) -> __m512i {
    // SAFETY: the caller is compiled for AVX-512.
    unsafe { _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high) }
}

/// The lower four bits of 32 bytes, then the upper.
#[inline(always)]
unsafe fn nibbles_512(source: *const u8) -> __m512i {
    // SAFETY: the caller is compiled for AVX-512 and has as many bytes.
    unsafe {
        let both = _mm512_broadcast_i64x4(_mm256_loadu_si256(source.cast()));
        let shifts = joined(_mm256_setzero_si256(), _mm256_set1_epi16(4));
        _mm512_and_si512(_mm512_srlv_epi16(both, shifts), _mm512_set1_epi8(15))
    }
}

/// The lower four bits of 64 bytes, and the upper.
#[inline(always)]
unsafe fn nibbles(both: __m512i) -> [__m512i; 2] {
    // SAFETY: the caller is compiled for AVX-512.
    unsafe {
        let low = _mm512_set1_epi8(15);
        [_mm512_and_si512(both, low), _mm512_and_si512(_mm512_srli_epi16::<4>(both), low)]
    }
}

/// Numbers of a span in pairs, from 128 bytes whose lower bits are an even block in every 32 and their upper an odd.
#[inline(always)]
unsafe fn pairs_of_nibbles(source: *const u8) -> [__m512i; 4] {
    // SAFETY: the caller is compiled for AVX-512 and has as many bytes.
    unsafe {
        let (low, high) = (_mm512_loadu_si512(source.cast()), _mm512_loadu_si512(source.add(64).cast()));
        let [even_first, odd_first] = nibbles(_mm512_shuffle_i64x2::<0b10_00_10_00>(low, high));
        let [even_second, odd_second] = nibbles(_mm512_shuffle_i64x2::<0b11_01_11_01>(low, high));
        [even_first, even_second, odd_first, odd_second]
    }
}

/// Four times eight numbers from each start on.
const fn eights(starts: [i16; 4]) -> [i16; 32] {
    let mut numbers = [0; 32];
    let mut idx = 0;
    while idx < 32 {
        numbers[idx] = starts[idx / 8] + (idx % 8) as i16;
        idx += 1;
    }
    numbers
}

/// Sixteen bytes of a bit, sixteen of the bit after the next, and so on.
const fn bits_of_blocks(first: u64) -> [u64; 8] {
    let mut bits = [0; 8];
    let mut idx = 0;
    while idx < 8 {
        bits[idx] = (first << (idx / 2 * 2)) * 0x0101_0101_0101_0101;
        idx += 1;
    }
    bits
}

impl Vectors for Avx512 {
    const N_BYTE: usize = 64;
    const WIDE_ZERO: f32 = 128.0;
    const TILE: usize = 12;
    const IN_PAIRS: bool = true;

    type Bytes = __m512i;
    type Sums = __m512i;
    type Floats = __m512;
    type Groups = __m512;

    #[inline(always)]
    unsafe fn load(source: *const u8) -> __m512i {
        // SAFETY: callers are compiled for the instructions and stay within their data; so everywhere here.
        unsafe { _mm512_loadu_si512(source.cast()) }
    }

    #[inline(always)]
    unsafe fn store(bytes: __m512i, target: *mut u8) {
        // SAFETY: see `load`.
        unsafe { _mm512_storeu_si512(target.cast(), bytes) }
    }

    #[inline(always)]
    unsafe fn four(source: *const i8) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_set1_epi32(source.cast::<i32>().read_unaligned()) }
    }

    #[inline(always)]
    unsafe fn wide(bytes: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_xor_si512(bytes, _mm512_set1_epi8(-128)) }
    }

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn dot(sums: __m512i, numbers: __m512i, x: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { _mm512_dpbusd_epi32(sums, numbers, x) }
    }

    #[inline(always)]
    unsafe fn dot_wide(sums: __m512i, numbers: __m512i, x: __m512i) -> __m512i {
        // SAFETY: see `load`.
        unsafe { Self::dot(sums, numbers, x) }
    }

    #[inline(always)]
    unsafe fn floats(sums: __m512i) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load_floats(source: *const f32) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store_floats(floats: __m512, target: *mut f32) {
        // SAFETY: see `load`.
        unsafe { _mm512_storeu_ps(target, floats) }
    }

    #[inline(always)]
    unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn add_product(total: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_fmadd_ps(a, b, total) }
    }

    #[inline(always)]
    unsafe fn take_product(total: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_fnmadd_ps(a, b, total) }
    }

    #[inline(always)]
    unsafe fn product_less(a: __m512, b: __m512, less: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_fmsub_ps(a, b, less) }
    }

    #[inline(always)]
    unsafe fn sum(floats: __m512) -> f32 {
        // SAFETY: see `load`.
        unsafe { _mm512_reduce_add_ps(floats) }
    }

    #[inline(always)]
    unsafe fn interleave(rows: *const u8, stride: usize, n_byte: usize, target: *mut u8) {
        for start in (0..n_byte).step_by(64) {
            // SAFETY: see `load`.
            unsafe {
                let mut rows_16 = [_mm512_setzero_si512(); 16];
                for (row, own) in rows_16.iter_mut().enumerate() {
                    *own = _mm512_loadu_si512(rows.add(row * stride + start).cast());
                }
                let mut twos = rows_16;
                for pair in 0..8 {
                    let (a, b) = (rows_16[2 * pair], rows_16[2 * pair + 1]);
                    twos[2 * pair] = _mm512_unpacklo_epi32(a, b);
                    twos[2 * pair + 1] = _mm512_unpackhi_epi32(a, b);
                }
                // Of four rows, the numbers i, i + 4, i + 8 and i + 12.
                let mut fours = twos;
                for quarter in 0..4 {
                    for which in 0..2 {
                        let (a, b) = (twos[4 * quarter + which], twos[4 * quarter + 2 + which]);
                        fours[4 * quarter + 2 * which] = _mm512_unpacklo_epi64(a, b);
                        fours[4 * quarter + 2 * which + 1] = _mm512_unpackhi_epi64(a, b);
                    }
                }
                let target = target.add(16 * start);
                for idx in 0..4 {
                    let (a, b, c, d) = (fours[idx], fours[idx + 4], fours[idx + 8], fours[idx + 12]);
                    // Of eight rows, the numbers i and i + 8, and those four further.
                    let (first, second) =
                        (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
                    let (third, fourth) =
                        (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
                    // Of all rows.
                    let target = target.add(64 * idx);
                    _mm512_storeu_si512(target.cast(), _mm512_shuffle_i32x4::<0x88>(first, third));
                    _mm512_storeu_si512(target.add(256).cast(), _mm512_shuffle_i32x4::<0x88>(second, fourth));
                    _mm512_storeu_si512(target.add(512).cast(), _mm512_shuffle_i32x4::<0xdd>(first, third));
                    _mm512_storeu_si512(target.add(768).cast(), _mm512_shuffle_i32x4::<0xdd>(second, fourth));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn fetch(source: *const u8) {
        // SAFETY: see `load`; nothing is read.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
    }

    #[inline(always)]
    unsafe fn load_groups(source: &[f32; N_GROUP]) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_loadu_ps(source.as_ptr()) }
    }

    #[inline(always)]
    unsafe fn store_groups(groups: __m512, target: &mut [f32; N_GROUP]) {
        // SAFETY: see `load`.
        unsafe { _mm512_storeu_ps(target.as_mut_ptr(), groups) }
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8, stride: usize) -> __m512 {
        // SAFETY: see `load`; a span of blocks of 18 bytes has 144.
        unsafe {
            let halves = if stride == 18 {
                // Picked out of whole vectors: one by one they would cost half as much as the products.
                let idx = _mm512_castsi256_si512(_mm256_setr_epi16(
                    0, 0, 9, 9, 18, 18, 27, 27, 36, 36, 45, 45, 54, 54, 63, 63,
                ));
                let (low, high) =
                    (_mm512_loadu_si512(source.cast()), _mm512_loadu_si512(source.add(64).cast()));
                _mm512_castsi512_si256(_mm512_permutex2var_epi16(low, idx, high))
            } else {
                let halves = eight_halves(source, stride);
                _mm256_set_m128i(_mm_unpackhi_epi16(halves, halves), _mm_unpacklo_epi16(halves, halves))
            };
            _mm512_cvtph_ps(halves)
        }
    }

    #[inline(always)]
    unsafe fn scale_by_half(groups: __m512, source: *const u8) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_mul_ps(groups, _mm512_broadcastss_ps(half(source))) }
    }

    #[inline(always)]
    unsafe fn twice(bytes: u64) -> __m512 {
        // SAFETY: see `load`.
        unsafe {
            let bytes = _mm_cvtsi64_si128(bytes as i64);
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi8(bytes, bytes)))
        }
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(source.cast()))) }
    }

    #[inline(always)]
    unsafe fn scale(groups: __m512, factor: f32) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_mul_ps(groups, _mm512_set1_ps(factor)) }
    }

    #[inline(always)]
    unsafe fn product(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn spread(groups: __m512, chunk: usize) -> __m512 {
        // SAFETY: see `load`.
        unsafe {
            let within = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
            let idx = _mm512_add_epi32(_mm512_set1_epi32(4 * chunk as i32), within);
            _mm512_permutexvar_ps(idx, groups)
        }
    }

    #[inline(always)]
    unsafe fn take_groups(total: __m512, a: __m512, b: __m512) -> __m512 {
        // SAFETY: see `load`.
        unsafe { _mm512_fnmadd_ps(a, b, total) }
    }

    #[inline(always)]
    unsafe fn q8_0(span: *const u8, chunk: usize) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let first = span.add(68 * chunk + 2);
            joined(_mm256_loadu_si256(first.cast()), _mm256_loadu_si256(first.add(34).cast()))
        }
    }

    #[inline(always)]
    unsafe fn q4_0(span: *const u8, chunk: usize) -> __m512i {
        // SAFETY: see `load`; a span has 144 bytes.
        unsafe {
            let order = _mm512_set_epi16(
                17, 16, 15, 14, 13, 12, 11, 10, 17, 16, 15, 14, 13, 12, 11, 10, 8, 7, 6, 5, 4, 3, 2, 1, 8, 7,
                6, 5, 4, 3, 2, 1,
            );
            let at = |start: usize| _mm512_loadu_si512(span.add(start).cast());
            let from = |start: i16| _mm512_add_epi16(order, _mm512_set1_epi16(start));
            let twice = match chunk {
                0 => _mm512_permutexvar_epi16(order, at(0)),
                1 => _mm512_permutex2var_epi16(at(0), from(18), at(64)),
                2 => _mm512_permutexvar_epi16(from(4), at(64)),
                _ => _mm512_permutexvar_epi16(from(14), at(80)),
            };
            let half = _mm256_set_m128i(_mm_set1_epi16(4), _mm_setzero_si128());
            _mm512_and_si512(_mm512_srlv_epi16(twice, joined(half, half)), _mm512_set1_epi8(15))
        }
    }

    #[inline(always)]
    unsafe fn q4_k(span: *const u8, chunk: usize) -> __m512i {
        // SAFETY: see `load`.
        unsafe { nibbles_512(span.add(16 + 32 * chunk)) }
    }

    #[inline(always)]
    unsafe fn q5_k(span: *const u8, chunk: usize) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let low = nibbles_512(span.add(48 + 32 * chunk));
            let tops = _mm512_broadcast_i64x4(_mm256_loadu_si256(span.add(16).cast()));
            let bit = |shift: usize| _mm256_set1_epi8((1_u8 << shift) as i8);
            let has = _mm512_test_epi8_mask(tops, joined(bit(2 * chunk), bit(2 * chunk + 1)));
            _mm512_mask_add_epi8(low, has, low, _mm512_set1_epi8(16))
        }
    }

    #[inline(always)]
    unsafe fn q6_k(span: *const u8, chunk: usize) -> __m512i {
        // SAFETY: see `load`.
        unsafe {
            let (half, upper) = (chunk / 2, chunk % 2);
            let both = _mm512_loadu_si512(span.add(64 * half).cast());
            let shifted = _mm512_srl_epi16(both, _mm_cvtsi32_si128(4 * upper as i32));
            let low = _mm512_and_si512(shifted, _mm512_set1_epi8(15));
            let tops = _mm512_broadcast_i64x4(_mm256_loadu_si256(span.add(128 + 32 * half).cast()));
            // Two bits of each byte, at 4·upper in the first half and two above in the second, come to stand at four.
            let tops = if upper == 0 {
                _mm512_sllv_epi16(tops, joined(_mm256_set1_epi16(4), _mm256_set1_epi16(2)))
            } else {
                _mm512_srlv_epi16(tops, joined(_mm256_setzero_si256(), _mm256_set1_epi16(2)))
            };
            _mm512_or_si512(low, _mm512_and_si512(tops, _mm512_set1_epi8(0x30)))
        }
    }

    #[inline(always)]
    unsafe fn q4_0_pairs(span: *const u8) -> [__m512i; 4] {
        // Words of the blocks 0, 2, 4 and 6, and of 1, 3, 5 and 7 from the eighth word on.
        const EVEN: [i16; 32] = eights([1, 19, 37, 55]);
        const ODD: [i16; 32] = eights([2, 20, 38, 56]);
        // SAFETY: see `load`; a span has 144 bytes.
        unsafe {
            let (low, high) = (_mm512_loadu_si512(span.cast()), _mm512_loadu_si512(span.add(64).cast()));
            let even = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(EVEN.as_ptr().cast()), high);
            let (low, high) =
                (_mm512_loadu_si512(span.add(16).cast()), _mm512_loadu_si512(span.add(80).cast()));
            let odd = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(ODD.as_ptr().cast()), high);
            let ([even_first, even_second], [odd_first, odd_second]) = (nibbles(even), nibbles(odd));
            [even_first, even_second, odd_first, odd_second]
        }
    }

    #[inline(always)]
    unsafe fn q4_k_pairs(span: *const u8) -> [__m512i; 4] {
        // SAFETY: see `load`.
        unsafe { pairs_of_nibbles(span.add(16)) }
    }

    #[inline(always)]
    unsafe fn q5_k_pairs(span: *const u8) -> [__m512i; 4] {
        // Of each byte the bit of its block.
        const OF_EVEN: [u64; 8] = bits_of_blocks(1);
        const OF_ODD: [u64; 8] = bits_of_blocks(2);
        // SAFETY: see `load`.
        unsafe {
            let mut numbers = pairs_of_nibbles(span.add(48));
            for (idx, numbers) in numbers.iter_mut().enumerate() {
                let tops = _mm512_broadcast_i32x4(_mm_loadu_si128(span.add(16 + idx % 2 * 16).cast()));
                let bits = if idx < 2 { &OF_EVEN } else { &OF_ODD };
                let has = _mm512_test_epi8_mask(tops, _mm512_loadu_si512(bits.as_ptr().cast()));
                *numbers = _mm512_mask_add_epi8(*numbers, has, *numbers, _mm512_set1_epi8(16));
            }
            numbers
        }
    }

    #[inline(always)]
    unsafe fn spread_pairs(groups: __m512) -> [__m512; 2] {
        // SAFETY: see `load`.
        unsafe {
            let even = _mm512_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12);
            let odd = _mm512_setr_epi32(2, 2, 2, 2, 6, 6, 6, 6, 10, 10, 10, 10, 14, 14, 14, 14);
            [_mm512_permutexvar_ps(even, groups), _mm512_permutexvar_ps(odd, groups)]
        }
    }
}
