//! What the rounded products are written in: bytes side by side, and the floats that their products come to.
//!
//! A vector of bytes has four for each of its floats, since that is what processors sum at once. Loops over bytes are
//! left to no optimiser; each step is named here, once for plain arrays, which are its meaning, and in `x86` and `neon`
//! for registers. Methods are unsafe because those of vector types are sound only inside functions compiled for their
//! instructions, and because they read from pointers; extents are checked where the products begin.

use crate::dot::half_float;

/// Scales of a span of 256 elements, sixteen elements each.
pub(super) const N_GROUP: usize = 16;

/// A set of instructions.
pub(super) trait Vectors: Copy {
    /// Bytes of a vector: 32 or 64.
    const N_BYTE: usize;
    /// What [`Self::wide`] adds to numbers that take all eight bits, because the first factor of a product has no
    /// sign: it is taken off with the sums.
    const WIDE_ZERO: f32;
    /// Rows of activations that a tile of many holds in registers.
    const TILE: usize;
    /// Whether four-bit numbers of a span come apart faster in pairs of blocks: the first halves of its even blocks
    /// in one vector, their second halves in the next, then those of its odd blocks. Sums of both halves are then
    /// scaled together.
    const IN_PAIRS: bool = false;

    /// Bytes side by side.
    type Bytes: Copy;
    /// 32-bit sums side by side, a quarter as many.
    type Sums: Copy;
    /// As many floats.
    type Floats: Copy;
    /// Sixteen floats: one for every sixteen elements of a span.
    type Groups: Copy;

    unsafe fn load(source: *const u8) -> Self::Bytes;
    unsafe fn store(bytes: Self::Bytes, target: *mut u8);
    /// Four bytes, over and over.
    unsafe fn four(source: *const i8) -> Self::Bytes;

    /// Signed bytes as the first factor of [`Self::dot_wide`].
    unsafe fn wide(bytes: Self::Bytes) -> Self::Bytes;
    unsafe fn zero() -> Self::Sums;
    /// `sums` + products of numbers below 128 with signed bytes, by fours.
    unsafe fn dot(sums: Self::Sums, numbers: Self::Bytes, x: Self::Bytes) -> Self::Sums;
    /// The same for numbers from [`Self::wide`].
    unsafe fn dot_wide(sums: Self::Sums, numbers: Self::Bytes, x: Self::Bytes) -> Self::Sums;
    unsafe fn floats(sums: Self::Sums) -> Self::Floats;

    unsafe fn splat(value: f32) -> Self::Floats;
    unsafe fn load_floats(source: *const f32) -> Self::Floats;
    unsafe fn store_floats(floats: Self::Floats, target: *mut f32);
    unsafe fn multiply(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `total` + a · b.
    unsafe fn add_product(total: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `total` − a · b.
    unsafe fn take_product(total: Self::Floats, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a · b − `less`.
    unsafe fn product_less(a: Self::Floats, b: Self::Floats, less: Self::Floats) -> Self::Floats;
    unsafe fn sum(floats: Self::Floats) -> f32;

    /// Lays rows, which begin `stride` apart, side by side: four bytes of each, as many rows as a vector has floats,
    /// then the next four. `n_byte` of each row, a multiple of [`Self::N_BYTE`].
    #[inline(always)]
    unsafe fn interleave(rows: *const u8, stride: usize, n_byte: usize, target: *mut u8) {
        let n_row = Self::N_BYTE / 4;
        for four in 0..n_byte / 4 {
            for row in 0..n_row {
                // SAFETY: callers have as many bytes in each row, and room for all of them.
                unsafe {
                    let bytes = rows.add(row * stride + 4 * four).cast::<[u8; 4]>().read();
                    target.add(4 * (four * n_row + row)).cast::<[u8; 4]>().write(bytes);
                }
            }
        }
    }

    /// Has the line of memory fetched that is asked for soon; any address will do.
    #[inline(always)]
    unsafe fn fetch(_: *const u8) {}

    unsafe fn load_groups(source: &[f32; N_GROUP]) -> Self::Groups;
    unsafe fn store_groups(groups: Self::Groups, target: &mut [f32; N_GROUP]);
    /// Eight halves, one at every `stride` bytes, each twice.
    unsafe fn halves(source: *const u8, stride: usize) -> Self::Groups;
    /// Eight bytes without sign, the lowest first, each twice.
    unsafe fn twice(bytes: u64) -> Self::Groups;
    /// Sixteen bytes with sign.
    unsafe fn signed(source: *const u8) -> Self::Groups;
    unsafe fn scale(groups: Self::Groups, factor: f32) -> Self::Groups;
    /// The same by a half at any address.
    unsafe fn scale_by_half(groups: Self::Groups, source: *const u8) -> Self::Groups;
    unsafe fn product(a: Self::Groups, b: Self::Groups) -> Self::Groups;
    /// Each group's float in the places of its elements, for the vector of bytes number `chunk` of a span.
    unsafe fn spread(groups: Self::Groups, chunk: usize) -> Self::Floats;
    /// `total` − a · b, sixteen products added to whatever places.
    unsafe fn take_groups(total: Self::Floats, a: Self::Groups, b: Self::Groups) -> Self::Floats;

    /// The numbers of a span from `chunk · N_BYTE` on; see `kinds` for what they mean.
    unsafe fn q8_0(span: *const u8, chunk: usize) -> Self::Bytes;
    unsafe fn q4_0(span: *const u8, chunk: usize) -> Self::Bytes;
    unsafe fn q4_k(span: *const u8, chunk: usize) -> Self::Bytes;
    unsafe fn q5_k(span: *const u8, chunk: usize) -> Self::Bytes;
    unsafe fn q6_k(span: *const u8, chunk: usize) -> Self::Bytes;

    /// The numbers of a span where they come [in pairs](Self::IN_PAIRS).
    unsafe fn q4_0_pairs(_: *const u8) -> [Self::Bytes; 4] {
        unreachable!("{NO_PAIRS}")
    }
    unsafe fn q4_k_pairs(_: *const u8) -> [Self::Bytes; 4] {
        unreachable!("{NO_PAIRS}")
    }
    unsafe fn q5_k_pairs(_: *const u8) -> [Self::Bytes; 4] {
        unreachable!("{NO_PAIRS}")
    }
    /// Each group's float in the places of its elements, for the even blocks and for the odd.
    unsafe fn spread_pairs(_: Self::Groups) -> [Self::Floats; 2] {
        unreachable!("{NO_PAIRS}")
    }
}

const NO_PAIRS: &str = "vectors that read numbers in order";

/// Arrays: the meaning of all steps.
#[derive(Clone, Copy)]
pub(super) struct Plain;

/// Bytes of a [`Plain`] vector.
const N: usize = 32;

/// Numbers of a span, one by one.
#[inline(always)]
unsafe fn numbers(span: *const u8, chunk: usize, n_byte: usize, number: fn(&[u8], usize) -> u8) -> [u8; N] {
    // SAFETY: callers pass a whole span.
    let span = unsafe { std::slice::from_raw_parts(span, n_byte) };
    let mut out = [0; N];
    for (idx, out) in out.iter_mut().enumerate() {
        *out = number(span, chunk * N + idx);
    }
    out
}

impl Vectors for Plain {
    const N_BYTE: usize = N;
    const WIDE_ZERO: f32 = 128.0;
    const TILE: usize = 4;

    type Bytes = [u8; N];
    type Sums = [i32; 8];
    type Floats = [f32; 8];
    type Groups = [f32; N_GROUP];

    #[inline(always)]
    unsafe fn load(source: *const u8) -> [u8; N] {
        // SAFETY: callers pass as many bytes; so everywhere below.
        unsafe { source.cast::<[u8; N]>().read() }
    }

    #[inline(always)]
    unsafe fn store(bytes: [u8; N], target: *mut u8) {
        // SAFETY: see `load`.
        unsafe { target.cast::<[u8; N]>().write(bytes) }
    }

    #[inline(always)]
    unsafe fn four(source: *const i8) -> [u8; N] {
        // SAFETY: see `load`.
        let four = unsafe { source.cast::<[u8; 4]>().read() };
        let mut bytes = [0; N];
        for bytes in bytes.as_chunks_mut::<4>().0 {
            *bytes = four;
        }
        bytes
    }

    #[inline(always)]
    unsafe fn wide(bytes: [u8; N]) -> [u8; N] {
        bytes.map(|byte| byte ^ 0x80)
    }

    #[inline(always)]
    unsafe fn zero() -> [i32; 8] {
        [0; 8]
    }

    #[inline(always)]
    unsafe fn dot(mut sums: [i32; 8], numbers: [u8; N], x: [u8; N]) -> [i32; 8] {
        for (sum, (numbers, x)) in
            sums.iter_mut().zip(numbers.as_chunks::<4>().0.iter().zip(x.as_chunks::<4>().0))
        {
            for (number, x) in numbers.iter().zip(x) {
                *sum += i32::from(*number) * i32::from(*x as i8);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn dot_wide(sums: [i32; 8], numbers: [u8; N], x: [u8; N]) -> [i32; 8] {
        // SAFETY: nothing is read by pointer.
        unsafe { Self::dot(sums, numbers, x) }
    }

    #[inline(always)]
    unsafe fn floats(sums: [i32; 8]) -> [f32; 8] {
        sums.map(|sum| sum as f32)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    unsafe fn load_floats(source: *const f32) -> [f32; 8] {
        // SAFETY: see `load`.
        unsafe { source.cast::<[f32; 8]>().read() }
    }

    #[inline(always)]
    unsafe fn store_floats(floats: [f32; 8], target: *mut f32) {
        // SAFETY: see `load`.
        unsafe { target.cast::<[f32; 8]>().write(floats) }
    }

    #[inline(always)]
    unsafe fn multiply(a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn add_product(total: [f32; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| total[i] + a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn take_product(total: [f32; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| total[i] - a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn product_less(a: [f32; 8], b: [f32; 8], less: [f32; 8]) -> [f32; 8] {
        std::array::from_fn(|i| a[i] * b[i] - less[i])
    }

    #[inline(always)]
    unsafe fn sum(floats: [f32; 8]) -> f32 {
        floats.iter().sum()
    }

    #[inline(always)]
    unsafe fn load_groups(source: &[f32; N_GROUP]) -> [f32; N_GROUP] {
        *source
    }

    #[inline(always)]
    unsafe fn store_groups(groups: [f32; N_GROUP], target: &mut [f32; N_GROUP]) {
        *target = groups;
    }

    #[inline(always)]
    unsafe fn scale_by_half(groups: [f32; N_GROUP], source: *const u8) -> [f32; N_GROUP] {
        // SAFETY: see `load`.
        let factor = half_float(unsafe { source.cast::<[u8; 2]>().read() });
        groups.map(|group| group * factor)
    }

    #[inline(always)]
    unsafe fn halves(source: *const u8, stride: usize) -> [f32; N_GROUP] {
        // SAFETY: see `load`.
        std::array::from_fn(|i| half_float(unsafe { source.add(i / 2 * stride).cast::<[u8; 2]>().read() }))
    }

    #[inline(always)]
    unsafe fn twice(bytes: u64) -> [f32; N_GROUP] {
        let bytes = bytes.to_le_bytes();
        std::array::from_fn(|i| f32::from(bytes[i / 2]))
    }

    #[inline(always)]
    unsafe fn signed(source: *const u8) -> [f32; N_GROUP] {
        // SAFETY: see `load`.
        unsafe { source.cast::<[i8; N_GROUP]>().read() }.map(f32::from)
    }

    #[inline(always)]
    unsafe fn scale(groups: [f32; N_GROUP], factor: f32) -> [f32; N_GROUP] {
        groups.map(|group| group * factor)
    }

    #[inline(always)]
    unsafe fn product(a: [f32; N_GROUP], b: [f32; N_GROUP]) -> [f32; N_GROUP] {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn spread(groups: [f32; N_GROUP], chunk: usize) -> [f32; 8] {
        std::array::from_fn(|i| groups[2 * chunk + i / 4])
    }

    #[inline(always)]
    unsafe fn take_groups(mut total: [f32; 8], a: [f32; N_GROUP], b: [f32; N_GROUP]) -> [f32; 8] {
        for (i, total) in total.iter_mut().enumerate() {
            *total -= a[i] * b[i];
            *total -= a[i + 8] * b[i + 8];
        }
        total
    }

    #[inline(always)]
    unsafe fn q8_0(span: *const u8, chunk: usize) -> [u8; N] {
        // SAFETY: see `load`; so in all below.
        unsafe { numbers(span, chunk, 272, |span, idx| span[34 * (idx / 32) + 2 + idx % 32]) }
    }

    #[inline(always)]
    unsafe fn q4_0(span: *const u8, chunk: usize) -> [u8; N] {
        // SAFETY: as above.
        unsafe {
            numbers(span, chunk, 144, |span, idx| {
                let within = idx % 32;
                (span[18 * (idx / 32) + 2 + within % 16] >> (4 * (within / 16))) & 15
            })
        }
    }

    #[inline(always)]
    unsafe fn q4_k(span: *const u8, chunk: usize) -> [u8; N] {
        // SAFETY: as above.
        unsafe {
            numbers(span, chunk, 144, |span, idx| {
                (span[16 + 32 * (idx / 64) + idx % 32] >> (4 * (idx / 32 % 2))) & 15
            })
        }
    }

    #[inline(always)]
    unsafe fn q5_k(span: *const u8, chunk: usize) -> [u8; N] {
        // SAFETY: as above.
        unsafe {
            numbers(span, chunk, 176, |span, idx| {
                let low = (span[48 + 32 * (idx / 64) + idx % 32] >> (4 * (idx / 32 % 2))) & 15;
                low | (((span[16 + idx % 32] >> (idx / 32)) & 1) << 4)
            })
        }
    }

    #[inline(always)]
    unsafe fn q6_k(span: *const u8, chunk: usize) -> [u8; N] {
        // SAFETY: as above.
        unsafe {
            numbers(span, chunk, 210, |span, idx| {
                let (half, quarter, within) = (idx / 128, idx / 32 % 4, idx % 32);
                let low = (span[64 * half + 32 * (quarter % 2) + within] >> (4 * (quarter / 2))) & 15;
                low | (((span[128 + 32 * half + within] >> (2 * quarter)) & 3) << 4)
            })
        }
    }
}
