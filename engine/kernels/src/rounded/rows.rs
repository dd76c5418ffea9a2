//! Products with a few rows of activations: a step of generation, or some steps checked at once.
//!
//! Here memory sets the pace: a packed row is read once and unpacked in registers, whether one row of activations
//! waits for it or eight. Every row of activations is summed in the same order however many there are, so that what
//! is computed together equals what is computed one by one, bit for bit.

use super::Target;
use super::activations::{Rounded, SPAN, Span};
use super::kinds::Kind;
use super::vectors::Vectors;

/// Most rows of activations that are multiplied at once.
pub(super) const N_ROW: usize = 8;

/// How far ahead weights are fetched, in bytes: a page, since processors do not look beyond the one that they read.
const AHEAD: usize = 4096;
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
    x: &Rounded,
    target: Target,
) {
    for start in (0..x.n_row()).step_by(N_ROW) {
        let n = N_ROW.min(x.n_row() - start);
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
    x: &Rounded,
    start: usize,
    target: Target,
) {
    let n_whole = row_bytes / K::BYTES;
    let rest = row_bytes % K::BYTES;
    for (idx, row) in weights.chunks_exact(row_bytes).enumerate() {
        // SAFETY: passed on to the caller; spans lie within the row.
        unsafe {
            let mut totals = [V::splat(0.0); M];
            for span in 0..n_whole {
                for line in (0..K::BYTES).step_by(LINE) {
                    V::fetch(row.as_ptr().wrapping_add(span * K::BYTES + AHEAD + line));
                }
                add::<V, K, M>(row.as_ptr().add(span * K::BYTES), spans(x, start, span), &mut totals);
            }
            if rest > 0 {
                let mut padded = [0_u8; MOST_BYTES];
                padded[..rest].copy_from_slice(&row[n_whole * K::BYTES..]);
                add::<V, K, M>(padded.as_ptr(), spans(x, start, n_whole), &mut totals);
            }
            for (offset, total) in totals.into_iter().enumerate().take(x.n_row() - start) {
                target.write(start + offset, first + idx, V::sum(total));
            }
        }
    }
}

/// The same span of `M` rows of activations; behind the last row, the last again.
///
/// # Safety
/// The span exists.
#[inline(always)]
unsafe fn spans<const M: usize>(x: &Rounded, start: usize, span: usize) -> [Span<'_>; M] {
    // SAFETY: see above; rows are kept in range.
    unsafe {
        let mut spans = [x.span(start, span); M];
        for (idx, own) in spans.iter_mut().enumerate() {
            *own = x.span((start + idx).min(x.n_row() - 1), span);
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
        let [scale, offset] = K::factors::<V>(bytes);
        let mut scales = [scale; M];
        // A span is summed by itself first: adding to the total is then the only step that waits for the span before.
        let mut parts = [V::splat(0.0); M];
        for idx in 0..M {
            scales[idx] = V::product(scale, V::load_groups(x[idx].scales));
            parts[idx] = V::take_groups(parts[idx], offset, V::load_groups(x[idx].sums));
        }
        // Written out: what is not unrolled keeps its sums in memory.
        macro_rules! chunks {
            ($($chunk:literal)*) => {
                $(add_chunk::<V, K, M, $chunk>(bytes, x, &scales, &mut parts);)*
            };
        }
        chunks!(0 1 2 3);
        if SPAN / V::N_BYTE == 8 {
            chunks!(4 5 6 7);
        }
        for idx in 0..M {
            totals[idx] = V::add(totals[idx], parts[idx]);
        }
    }
}

/// Adds the products of one vector of numbers.
///
/// # Safety
/// As [`add`].
#[inline(always)]
unsafe fn add_chunk<V: Vectors, K: Kind, const M: usize, const CHUNK: usize>(
    bytes: *const u8,
    x: [Span<'_>; M],
    scales: &[V::Groups; M],
    parts: &mut [V::Floats; M],
) {
    // SAFETY: passed on to the caller.
    unsafe {
        let numbers = K::numbers::<V>(bytes, CHUNK);
        for idx in 0..M {
            let x = V::load(x[idx].numbers.as_ptr().cast::<u8>().add(CHUNK * V::N_BYTE));
            let sums =
                if K::WIDE { V::dot_wide(V::zero(), numbers, x) } else { V::dot(V::zero(), numbers, x) };
            parts[idx] = V::add_product(parts[idx], V::floats(sums), V::spread(scales[idx], CHUNK));
        }
    }
}
