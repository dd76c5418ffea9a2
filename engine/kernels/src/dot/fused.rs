//! The product of packed rows with one row of activations: a step of generation.
//!
//! Here a weight is used once, so unpacking it first would cost more than the product. The sums over a group of
//! elements are taken apart instead: `Σ (scale · (q − zero) − min) · x = scale · Σ q·x − (scale · zero + min) ·
//! Σ x`, where `Σ x` is the same for every row. That rounds otherwise than the tiled product, by the same
//! order: the tests in `dot` hold both to one tolerance.

use eosin_weights::GgmlType;

use super::lanes::{Bits, Lanes};
use super::unpack::{half_float, part};

/// One product for each packed row.
///
/// # Panics
/// Where the type is a plain float: those have no groups.
#[inline(always)]
pub(super) fn linear_row<L: Lanes>(kind: GgmlType, weights: &[u8], x: &[f32], out: &mut [f32]) {
    match kind {
        GgmlType::Q8_0 => rows::<L, Q8, 34, 32, 32>(weights, x, out),
        GgmlType::Q4_0 => rows::<L, Q4, 18, 32, 32>(weights, x, out),
        GgmlType::Q4K => rows::<L, Q4K, 144, 256, 32>(weights, x, out),
        GgmlType::Q5K => rows::<L, Q5K, 176, 256, 32>(weights, x, out),
        GgmlType::Q6K => rows::<L, Q6K, 210, 256, 16>(weights, x, out),
        GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => panic!("{kind} has no groups"),
    }
}

/// Activations of a block and their sums over groups.
#[derive(Clone, Copy)]
struct Activations<'a, const LEN: usize> {
    x: &'a [f32; LEN],
    sums: &'a [f32],
}

/// What a row has come to: products in lanes, and what is subtracted from their sum.
#[derive(Clone, Copy)]
struct Total<L> {
    products: L,
    offset: f32,
}

/// A type of block.
trait Block<const BYTES: usize, const LEN: usize> {
    fn add<L: Lanes>(block: &[u8; BYTES], x: Activations<'_, LEN>, total: Total<L>) -> Total<L>;
}

#[inline(always)]
fn rows<L: Lanes, B: Block<BYTES, LEN>, const BYTES: usize, const LEN: usize, const GROUP: usize>(
    weights: &[u8],
    x: &[f32],
    out: &mut [f32],
) {
    let mut sums = vec![0.0; x.len() / GROUP];
    for (sum, x) in sums.iter_mut().zip(x.as_chunks::<GROUP>().0) {
        for x in x {
            *sum += x;
        }
    }
    let row_bytes = x.len() / LEN * BYTES;
    for (row, out) in weights.chunks_exact(row_bytes).zip(out) {
        // SAFETY: the caller is compiled for the instructions of `L`, here and below.
        #[expect(unsafe_code, reason = "see above")]
        let mut total = Total { products: unsafe { L::splat(0.0) }, offset: 0.0 };
        let blocks = row.as_chunks::<BYTES>().0.iter().zip(x.as_chunks::<LEN>().0);
        for ((block, x), sums) in blocks.zip(sums.chunks_exact(LEN / GROUP)) {
            total = B::add(block, Activations { x, sums }, total);
        }
        // SAFETY: as above.
        #[expect(unsafe_code, reason = "see above")]
        let products = unsafe { total.products.sum() };
        *out = products - total.offset;
    }
}

/// `total + scale · Σ q·x` over numbers put together from bits.
#[inline(always)]
fn add_group<L: Lanes>(total: L, scale: f32, low: Bits<'_>, high: Option<Bits<'_>>, x: &[f32]) -> L {
    // SAFETY: the caller is compiled for the instructions of `L`, and groups are multiples of 16.
    #[expect(unsafe_code, reason = "see above")]
    unsafe {
        let mut products = L::splat(0.0);
        let mut start = 0;
        while start < x.len() {
            let low = Bits { bytes: &low.bytes[start..], ..low };
            #[expect(
                clippy::manual_map,
                reason = "a closure would be compiled without the vector instructions"
            )]
            let high = match high {
                Some(high) => Some(Bits { bytes: &high.bytes[start..], ..high }),
                None => None,
            };
            products = products.multiply_add(L::bits(low, high), L::load(&x[start..]));
            start += L::COUNT;
        }
        total.multiply_add(L::splat(scale), products)
    }
}

/// Sixteen bytes as floats.
#[inline(always)]
fn sixteen_floats<L: Lanes>(bytes: &[u8; 16], signs: Signs) -> [f32; 16] {
    let mut floats = [0.0; 16];
    let mut start = 0;
    while start < 16 {
        let bytes = &bytes[start..];
        // SAFETY: the caller is compiled for the instructions of `L`; whole lanes remain.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            let lanes = match signs {
                Signs::With => L::signed(bytes),
                Signs::Without => L::bits(Bits { bytes, shift: 0, mask: 255 }, None),
            };
            lanes.store(&mut floats[start..]);
        }
        start += L::COUNT;
    }
    floats
}

/// How bytes are read.
#[derive(Clone, Copy)]
enum Signs {
    With,
    Without,
}

struct Q8;

impl Block<34, 32> for Q8 {
    #[inline(always)]
    fn add<L: Lanes>(block: &[u8; 34], x: Activations<'_, 32>, mut total: Total<L>) -> Total<L> {
        let qs: &[u8; 32] = part(block, 2);
        // SAFETY: the caller is compiled for the instructions of `L`; whole lanes remain.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            let mut products = L::splat(0.0);
            let mut start = 0;
            while start < 32 {
                products = products.multiply_add(L::signed(&qs[start..]), L::load(&x.x[start..]));
                start += L::COUNT;
            }
            total.products = total.products.multiply_add(L::splat(half_float(*part(block, 0))), products);
        }
        total
    }
}

struct Q4;

impl Block<18, 32> for Q4 {
    #[inline(always)]
    fn add<L: Lanes>(block: &[u8; 18], x: Activations<'_, 32>, mut total: Total<L>) -> Total<L> {
        let scale = half_float(*part(block, 0));
        let bytes: &[u8; 16] = part(block, 2);
        let (low, high) = (Bits { bytes, shift: 0, mask: 15 }, Bits { bytes, shift: 4, mask: 15 });
        total.products = add_group(total.products, scale, low, None, &x.x[..16]);
        total.products = add_group(total.products, scale, high, None, &x.x[16..]);
        total.offset += scale * 8.0 * x.sums[0];
        total
    }
}

/// The scales and then the minima of the eight groups of [`Q4K`] or [`Q5K`], without `d` and `dmin`: as
/// `eosin_weights::scale_min_k4`, four at a time.
#[inline(always)]
fn scales_k4<L: Lanes>(block: &[u8]) -> [f32; 16] {
    let word = |start: usize| u32::from_le_bytes(*part(block, start));
    let [a, b, c] = [word(4), word(8), word(12)];
    let six = [
        a & 0x3f3f_3f3f,
        (c & 0x0f0f_0f0f) | ((a >> 2) & 0x3030_3030),
        b & 0x3f3f_3f3f,
        ((c >> 4) & 0x0f0f_0f0f) | ((b >> 2) & 0x3030_3030),
    ];
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(six) {
        *bytes = word.to_le_bytes();
    }
    sixteen_floats::<L>(&bytes, Signs::Without)
}

/// The numbers of a group of [`Q4K`] or [`Q5K`] that share `scale` and `minimum`.
#[inline(always)]
fn add_k4<L: Lanes>(
    block: &[u8],
    lows: usize,
    tops: Option<&[u8; 32]>,
    x: Activations<'_, 256>,
    mut total: Total<L>,
) -> Total<L> {
    let (d, dmin) = (half_float(*part(block, 0)), half_float(*part(block, 2)));
    let scales = scales_k4::<L>(block);
    let mut offset = 0.0;
    let mut idx = 0;
    while idx < 8 {
        let bytes: &[u8; 32] = part(block, lows + 32 * (idx / 2));
        let low = Bits { bytes, shift: 4 * (idx as u32 % 2), mask: 15 };
        #[expect(clippy::manual_map, reason = "a closure would be compiled without the vector instructions")]
        let high = match tops {
            Some(tops) => Some(Bits { bytes: tops, shift: idx as u32, mask: 1 }),
            None => None,
        };
        let x_group = &x.x[32 * idx..][..32];
        total.products = add_group(total.products, d * scales[idx], low, high, x_group);
        offset += scales[8 + idx] * x.sums[idx];
        idx += 1;
    }
    total.offset += dmin * offset;
    total
}

struct Q4K;

impl Block<144, 256> for Q4K {
    #[inline(always)]
    fn add<L: Lanes>(block: &[u8; 144], x: Activations<'_, 256>, total: Total<L>) -> Total<L> {
        add_k4(block, 16, None, x, total)
    }
}

struct Q5K;

impl Block<176, 256> for Q5K {
    #[inline(always)]
    fn add<L: Lanes>(block: &[u8; 176], x: Activations<'_, 256>, total: Total<L>) -> Total<L> {
        add_k4(block, 48, Some(part(block, 16)), x, total)
    }
}

struct Q6K;

impl Block<210, 256> for Q6K {
    #[inline(always)]
    fn add<L: Lanes>(block: &[u8; 210], x: Activations<'_, 256>, mut total: Total<L>) -> Total<L> {
        let d = half_float(*part(block, 208));
        let scales = sixteen_floats::<L>(part(block, 192), Signs::With);
        let mut offset = 0.0;
        let mut idx = 0;
        while idx < 16 {
            // Eight groups in each half of the block: quarters of 32, two groups to a quarter.
            let (half, quarter, start) = (idx / 8, idx % 8 / 2, 16 * (idx % 2));
            let lows: &[u8; 16] = part(block, 64 * half + 32 * (quarter % 2) + start);
            let highs: &[u8; 16] = part(block, 128 + 32 * half + start);
            let low = Bits { bytes: lows, shift: 4 * (quarter as u32 / 2), mask: 15 };
            let high = Some(Bits { bytes: highs, shift: 2 * quarter as u32, mask: 3 });
            total.products = add_group(total.products, d * scales[idx], low, high, &x.x[16 * idx..][..16]);
            offset += scales[idx] * x.sums[idx];
            idx += 1;
        }
        total.offset += 32.0 * d * offset;
        total
    }
}
