//! The product of some rows with some panels: sums in registers, weights in the first cache.
//!
//! A tile of `HIGH` rows and `WIDE` vectors is summed over `DEEP` steps; then the tile below it, which reads the same
//! weights. While that goes on, the weights that come next are fetched. What is done to a finished sum (the bias,
//! GELU, adding to what is there) happens while it is still in the first cache.

#![expect(unsafe_code, reason = "reads and writes through pointers that `product` made from checked slices")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]
#![expect(clippy::needless_range_loop, reason = "indices below constants, which the compiler unrolls")]

use std::ops::Range;

use super::factors::{Factors, panel};
use super::math;

/// What happens to the numbers where a product goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// They are replaced.
    Replaced,
    /// The product is added to them.
    AddedTo,
}

/// What is done to finished sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// Nothing.
    Kept,
    /// x · Φ(x).
    Gelu,
    /// x · σ(1.702 x).
    QuickGelu,
}

/// A product: where its factors are and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Job {
    /// Rows of factors, in words.
    pub(super) x: *const u32,
    pub(super) x_stride: usize,
    /// Words of a row that count.
    pub(super) depth: usize,
    /// The first panel: `[panels][depth][panel width]`.
    pub(super) panels: *const u32,
    /// What every row starts from, a number a column, or null.
    pub(super) bias: *const f32,
    pub(super) out: *mut f32,
    pub(super) out_stride: usize,
    /// Columns from the first panel on, a multiple of sixteen; all of them are written.
    pub(super) n_column: usize,
    pub(super) before: Before,
    pub(super) then: Then,
}

// SAFETY: whoever shares a job between threads gives each its own rows and panels of `out`.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}

/// Computes some rows and panels of a job.
///
/// # Safety
/// The processor has the instructions of `F`; the job's pointers reach all of these rows and panels; nobody else
/// writes to or reads from what is written.
#[inline(always)]
pub(super) unsafe fn multiply<F: Factors>(job: &Job, rows: Range<usize>, panels: Range<usize>) {
    let n_tile = rows.len().div_ceil(F::HIGH);
    // Even heights: 14 rows are 5 + 5 + 4, not 6 + 6 + 2.
    let tile_rows = |tile: usize| rows.start + tile * rows.len() / n_tile;
    for panel_idx in panels {
        let first_column = panel_idx * panel::<F>();
        let width = panel::<F>().min(job.n_column - first_column);
        let mut start = 0;
        while start < job.depth {
            let n_step = F::DEEP.min(job.depth - start);
            let part = Part { start, n_step, is_last: start + n_step == job.depth };
            // SAFETY: within the panel.
            let weights = unsafe { job.panels.add((panel_idx * job.depth + start) * panel::<F>()) };
            let n_line = n_step * panel::<F>() / LINE;
            for tile in 0..n_tile {
                let rows = tile_rows(tile)..tile_rows(tile + 1);
                // The next part lies behind this one; beyond the last panel, fetching is without effect.
                fetch(
                    weights.wrapping_add(n_step * panel::<F>()),
                    tile * n_line / n_tile..(tile + 1) * n_line / n_tile,
                );
                // SAFETY: the caller's promise; a panel's columns are `width` and padding.
                unsafe {
                    if width == panel::<F>() {
                        high::<F, true>(job, rows, first_column, weights, part);
                    } else {
                        for chunk in (0..width).step_by(16) {
                            high::<F, false>(
                                job,
                                rows.clone(),
                                first_column + chunk,
                                weights.add(chunk),
                                part,
                            );
                        }
                    }
                }
            }
            start += n_step;
        }
    }
}

/// Words of a line of the cache.
const LINE: usize = 16;

/// Asks for lines to be brought into the first cache.
#[inline(always)]
fn fetch(from: *const u32, lines: Range<usize>) {
    #[cfg(target_arch = "x86_64")]
    for line in lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: fetching reads nothing, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(line * LINE).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, lines);
}

/// Some steps of a sum.
#[derive(Clone, Copy)]
struct Part {
    start: usize,
    n_step: usize,
    is_last: bool,
}

/// Picks the tile of as many rows.
#[inline(always)]
unsafe fn high<F: Factors, const IS_WIDE: bool>(
    job: &Job,
    rows: Range<usize>,
    column: usize,
    weights: *const u32,
    part: Part,
) {
    macro_rules! pick {
        ($($n_row:literal)*) => {
            match rows.len() {
                $($n_row if $n_row <= F::HIGH => {
                    // SAFETY: the caller's promise; sixteen columns are one or two vectors.
                    unsafe {
                        match (IS_WIDE, F::COUNT) {
                            (true, 16) => tile::<F, $n_row, 4>(job, rows.start, column, weights, part),
                            (false, 16) => tile::<F, $n_row, 1>(job, rows.start, column, weights, part),
                            _ => tile::<F, $n_row, 2>(job, rows.start, column, weights, part),
                        }
                    }
                })*
                _ => {}
            }
        };
    }
    pick!(1 2 3 4 5 6);
}

/// One tile: `M` rows by `N` vectors.
#[inline(always)]
unsafe fn tile<F: Factors, const M: usize, const N: usize>(
    job: &Job,
    row: usize,
    column: usize,
    weights: *const u32,
    part: Part,
) {
    // SAFETY: rows, steps and columns are the job's.
    unsafe {
        let mut sums = [[F::zero(); N]; M];
        let mut rows = [job.x; M];
        for (i, x) in rows.iter_mut().enumerate() {
            *x = job.x.add((row + i) * job.x_stride + part.start);
        }
        let mut weights = weights;
        for step in 0..part.n_step {
            let mut w = [F::load(weights); N];
            for j in 1..N {
                w[j] = F::load(weights.add(j * F::COUNT));
            }
            weights = weights.add(panel::<F>());
            for i in 0..M {
                let x = F::splat(rows[i].add(step));
                for j in 0..N {
                    sums[i][j] = F::add_product(sums[i][j], x, w[j]);
                }
            }
        }
        let out = job.out.add(row * job.out_stride + column);
        for i in 0..M {
            for j in 0..N {
                let to = out.add(i * job.out_stride + j * F::COUNT);
                let mut sum = sums[i][j];
                if part.start == 0 && !job.bias.is_null() {
                    sum = F::add_floats(sum, job.bias.add(column + j * F::COUNT));
                }
                if part.start > 0 || job.before == Before::AddedTo {
                    sum = F::add_floats(sum, to);
                }
                F::store(sum, to);
            }
        }
        if part.is_last && job.then != Then::Kept {
            for i in 0..M {
                let row = std::slice::from_raw_parts_mut(out.add(i * job.out_stride), N * F::COUNT);
                match job.then {
                    Then::Kept => {}
                    Then::Gelu => math::gelu(row),
                    Then::QuickGelu => math::quick_gelu(row),
                }
            }
        }
    }
}
