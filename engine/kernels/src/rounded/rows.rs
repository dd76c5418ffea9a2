//! Products with a few rows of activations: a step of generation, or some steps checked at once.
//!
//! Here memory sets the pace: a packed row is read once and unpacked in registers, whether one row of activations
//! waits for it or eight. Every row of activations is summed in the same order however many there are, so that what
//! is computed together equals what is computed one by one, bit for bit.

use super::activations::{SPAN, Span};
use super::kinds::Kind;
use super::vectors::Vectors;
use super::{Factor, Target};

/// Most rows of activations that are multiplied at once.
pub(crate) const N_ROW: usize = 8;

/// Places of a matrix that are read at once.
const N_STREAM: usize = 4;
/// How far ahead weights are fetched, in bytes: processors do not look beyond the page that they read, and more would
/// be fetched for a neighbour's piece.
const AHEAD: usize = 2048;
/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Multiplies packed rows, which begin with row `first` of the result, with all rows of activations.
///
/// # Safety
/// The caller is compiled for the instructions of `V`; `weights` are whole rows of `row_bytes`; `target` takes them.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vectors, K: Kind>(
    weights: &[u8],
    row_bytes: usize,
    first: usize,
    x: &Factor<'_>,
    target: Target,
) {
    for start in (0..x.x.n_row()).step_by(N_ROW) {
        let n = N_ROW.min(x.x.n_row() - start);
        // SAFETY: passed on to the caller.
        unsafe {
            match n {
                1 => some::<V, K, 1>(weights, row_bytes, first, x, start, target),
                2 => some::<V, K, 2>(weights, row_bytes, first, x, start, target),
                3 | 4 => some::<V, K, 4>(weights, row_bytes, first, x, start, target),
                _ => some::<V, K, 8>(weights, row_bytes, first, x, start, target),
            }
        }
    }
}

/// `M` rows of activations from `start` on; where there are fewer, the last is computed again and not kept.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn some<V: Vectors, K: Kind, const M: usize>(
    weights: &[u8],
    row_bytes: usize,
    first: usize,
    x: &Factor<'_>,
    start: usize,
    target: Target,
) {
    let n_row = weights.len() / row_bytes;
    // Where registers hold them; else one place, and one row of it after another.
    let n_together = if M <= 2 { n_row / N_STREAM } else { 0 };
    // SAFETY: passed on to the caller; rows lie within the weights.
    unsafe {
        for row in 0..n_together {
            let rows: [usize; N_STREAM] = std::array::from_fn(|stream| stream * n_together + row);
            products::<V, K, M, N_STREAM>(weights, row_bytes, first, rows, x, start, target);
        }
        for row in N_STREAM * n_together..n_row {
            products::<V, K, M, 1>(weights, row_bytes, first, [row], x, start, target);
        }
    }
}

/// The products of some packed rows, side by side.
///
/// # Safety
/// As [`multiply`]; the rows exist.
#[inline(always)]
unsafe fn products<V: Vectors, K: Kind, const M: usize, const R: usize>(
    weights: &[u8],
    row_bytes: usize,
    first: usize,
    rows: [usize; R],
    x: &Factor<'_>,
    start: usize,
    target: Target,
) {
    let n_whole = row_bytes / K::BYTES;
    let rest = row_bytes % K::BYTES;
    // SAFETY: passed on to the caller; spans lie within their rows.
    unsafe {
        let bytes = rows.map(|row| weights.as_ptr().add(row * row_bytes));
        let mut totals = [[V::splat(0.0); M]; R];
        for span in 0..n_whole {
            let x = spans(x, start, span);
            for stream in 0..R {
                fetch::<V>(bytes[stream].wrapping_add(span * K::BYTES + AHEAD), K::BYTES);
                add::<V, K, M>(bytes[stream].add(span * K::BYTES), x, &mut totals[stream]);
            }
        }
        if rest > 0 {
            let x = spans(x, start, n_whole);
            for stream in 0..R {
                let mut padded = [0_u8; MOST_BYTES];
                std::ptr::copy_nonoverlapping(
                    bytes[stream].add(n_whole * K::BYTES),
                    padded.as_mut_ptr(),
                    rest,
                );
                add::<V, K, M>(padded.as_ptr(), x, &mut totals[stream]);
            }
        }
        for (row, totals) in rows.into_iter().zip(totals) {
            for (offset, total) in totals.into_iter().enumerate().take(x.x.n_row() - start) {
                target.write(start + offset, first + row, V::sum(total));
            }
        }
    }
}

/// Has some bytes fetched that are soon asked for.
///
/// # Safety
/// The caller is compiled for the instructions of `V`; any address will do.
#[inline(always)]
pub(super) unsafe fn fetch<V: Vectors>(source: *const u8, n_byte: usize) {
    for line in (0..n_byte).step_by(LINE) {
        // SAFETY: passed on to the caller.
        unsafe { V::fetch(source.wrapping_add(line)) }
    }
}

/// The same span of `M` rows of activations; behind the last row, the last again.
///
/// # Safety
/// The span exists.
#[inline(always)]
unsafe fn spans<'a, const M: usize>(x: &'a Factor<'_>, start: usize, span: usize) -> [Span<'a>; M] {
    // SAFETY: see above; rows are kept in range.
    unsafe {
        let mut spans = [x.span(start, span); M];
        for (idx, own) in spans.iter_mut().enumerate() {
            *own = x.span((start + idx).min(x.x.n_row() - 1), span);
        }
        spans
    }
}

/// Bytes of the largest span.
pub(super) const MOST_BYTES: usize = 272;

/// Adds the products of one span.
///
/// # Safety
/// As [`multiply`]; `bytes` are a whole span.
#[inline(always)]
unsafe fn add<V: Vectors, K: Kind, const M: usize>(
    bytes: *const u8,
    x: [Span<'_>; M],
    totals: &mut [V::Floats; M],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let factors = K::factors::<V>(bytes);
        if V::IN_PAIRS && K::IN_PAIRS {
            add_pairs::<V, K, M>(bytes, factors, x, totals);
        } else {
            add_chunks::<V, K, M>(bytes, factors, x, totals);
        }
    }
}

/// What a span of weights is scaled by with a row's; takes off what offsets come to.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn begin<V: Vectors>(
    [scale, offset]: [V::Groups; 2],
    x: Span<'_>,
    total: &mut V::Floats,
) -> V::Groups {
    // SAFETY: passed on to the caller.
    unsafe {
        *total = V::take_groups(*total, offset, V::load_groups(x.sums));
        V::product(scale, V::load_groups(x.scales))
    }
}

/// [`add`] of numbers in pairs.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn add_pairs<V: Vectors, K: Kind, const M: usize>(
    bytes: *const u8,
    factors: [V::Groups; 2],
    x: [Span<'_>; M],
    totals: &mut [V::Floats; M],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let [even_first, even_second, odd_first, odd_second] = K::pairs::<V>(bytes);
        for (x, total) in x.into_iter().zip(totals) {
            let [even_scales, odd_scales] = V::spread_pairs(begin::<V>(factors, x, total));
            let x = x.numbers.as_ptr().cast::<u8>();
            let even = V::dot(V::zero(), even_first, V::load(x));
            let even = V::dot(even, even_second, V::load(x.add(V::N_BYTE)));
            let odd = V::dot(V::zero(), odd_first, V::load(x.add(2 * V::N_BYTE)));
            let odd = V::dot(odd, odd_second, V::load(x.add(3 * V::N_BYTE)));
            *total = V::add_product(*total, V::floats(even), even_scales);
            *total = V::add_product(*total, V::floats(odd), odd_scales);
        }
    }
}

/// [`add`] of numbers in order.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn add_chunks<V: Vectors, K: Kind, const M: usize>(
    bytes: *const u8,
    factors: [V::Groups; 2],
    x: [Span<'_>; M],
    totals: &mut [V::Floats; M],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let mut scales = [factors[0]; M];
        for idx in 0..M {
            scales[idx] = begin::<V>(factors, x[idx], &mut totals[idx]);
        }
        // Written out: what is not unrolled keeps its sums in memory.
        macro_rules! chunks {
            ($($chunk:literal)*) => {
                $(
                    let numbers = K::numbers::<V>(bytes, $chunk);
                    for idx in 0..M {
                        let x = V::load(x[idx].numbers.as_ptr().cast::<u8>().add($chunk * V::N_BYTE));
                        let sums = if K::WIDE {
                            V::dot_wide(V::zero(), numbers, x)
                        } else {
                            V::dot(V::zero(), numbers, x)
                        };
                        let scales = V::spread(scales[idx], $chunk);
                        totals[idx] = V::add_product(totals[idx], V::floats(sums), scales);
                    }
                )*
            };
        }
        chunks!(0 1 2 3);
        if SPAN / V::N_BYTE == 8 {
            chunks!(4 5 6 7);
        }
    }
}
