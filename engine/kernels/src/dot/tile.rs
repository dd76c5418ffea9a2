//! The product of packed rows with activations, cut so that what is read often stays near.
//!
//! Packed rows and activations both run along the summed dimension, so no transposing or packing is needed:
//! a tile of three unpacked rows and four rows of activations is one pass of vector multiply-adds into twelve
//! registers. 24 rows of 512 columns are unpacked at a time (48 KiB, the second cache), so that long prompts
//! read their activations from memory once for 24 rows and not for each.

use eosin_weights::GgmlType;

use super::fused;
use super::lanes::Lanes;
use super::unpack::unpack;

/// Packed rows unpacked together.
const N_ROW: usize = 24;
/// Columns unpacked together: a whole number of blocks of every type.
const N_COL: usize = 512;
/// Unpacked rows and rows of activations in one tile.
const TILE: [usize; 2] = [3, 4];

/// See [`super::linear_rows`], which checked the lengths.
#[inline(always)]
pub(super) fn linear_rows<L: Lanes>(
    kind: GgmlType,
    weights: &[u8],
    n_col: usize,
    x: &[f32],
    out: &mut [f32],
) {
    let m = x.len() / n_col;
    if m == 1 && kind.is_quantized() {
        return fused::linear_row::<L>(kind, weights, x, out);
    }
    let row_bytes = n_col / kind.block_len() * kind.block_bytes();
    let mut buffer = vec![0.0_f32; N_ROW * N_COL.min(n_col)];
    out.fill(0.0);
    for (weights, out) in weights.chunks(N_ROW * row_bytes).zip(out.chunks_mut(N_ROW * m)) {
        for start in (0..n_col).step_by(N_COL) {
            let width = N_COL.min(n_col - start);
            let bytes = start / kind.block_len() * kind.block_bytes()
                ..(start + width) / kind.block_len() * kind.block_bytes();
            for (row, out) in weights.chunks_exact(row_bytes).zip(buffer.chunks_exact_mut(width)) {
                unpack::<L>(kind, &row[bytes.clone()], out);
            }
            let unpacked = &buffer[..out.len() / m * width];
            for first in (0..m).step_by(TILE[1]) {
                let x = Columns { x, n_col, start, width, first };
                match m - first {
                    1 => columns::<L, 1>(x, m, unpacked, out),
                    2 => columns::<L, 2>(x, m, unpacked, out),
                    3 => columns::<L, 3>(x, m, unpacked, out),
                    _ => columns::<L, 4>(x, m, unpacked, out),
                }
            }
        }
    }
}

/// A rectangle of the activations.
#[derive(Clone, Copy)]
struct Columns<'a> {
    x: &'a [f32],
    n_col: usize,
    start: usize,
    width: usize,
    first: usize,
}

/// Adds the products of all unpacked rows with `M` rows of activations.
#[inline(always)]
fn columns<L: Lanes, const M: usize>(x: Columns<'_>, m: usize, unpacked: &[f32], out: &mut [f32]) {
    let Columns { x, n_col, start, width, first } = x;
    let mut xs: [&[f32]; M] = [&[]; M];
    for row in 0..M {
        xs[row] = &x[(first + row) * n_col + start..][..width];
    }
    let n = unpacked.len() / width;
    let mut row = 0;
    while row + TILE[0] <= n {
        let mut ws: [&[f32]; TILE[0]] = [&[]; TILE[0]];
        for offset in 0..TILE[0] {
            ws[offset] = &unpacked[(row + offset) * width..][..width];
        }
        let sums = tile::<L, { TILE[0] }, M>(ws, xs);
        for offset in 0..TILE[0] {
            add(&mut out[(row + offset) * m + first..][..M], &sums[offset]);
        }
        row += TILE[0];
    }
    while row < n {
        let sums = tile::<L, 1, M>([&unpacked[row * width..][..width]], xs);
        add(&mut out[row * m + first..][..M], &sums[0]);
        row += 1;
    }
}

#[inline(always)]
fn add(totals: &mut [f32], sums: &[f32]) {
    for (total, sum) in totals.iter_mut().zip(sums) {
        *total += sum;
    }
}

/// The `N · M` sums of products of slices of equal length.
#[inline(always)]
fn tile<L: Lanes, const N: usize, const M: usize>(w: [&[f32]; N], x: [&[f32]; M]) -> [[f32; M]; N] {
    let len = w[0].len();
    let whole = len - len % L::COUNT;
    let mut sums = [[0.0; M]; N];
    // Plain loops over arrays: closures (`from_fn`, `map`) would be compiled on their own, without the vector
    // instructions. One activation vector at a time: twelve sums, three weights and it fill sixteen registers.
    // SAFETY: the caller is compiled for the instructions of `L`, and every slice is `len` long.
    #[expect(unsafe_code, reason = "see above")]
    unsafe {
        let mut totals = [[L::splat(0.0); M]; N];
        let mut k = 0;
        while k < whole {
            let mut ws = [L::splat(0.0); N];
            for i in 0..N {
                ws[i] = L::load(w[i].get_unchecked(k..k + L::COUNT));
            }
            for j in 0..M {
                let x = L::load(x[j].get_unchecked(k..k + L::COUNT));
                for i in 0..N {
                    totals[i][j] = totals[i][j].multiply_add(ws[i], x);
                }
            }
            k += L::COUNT;
        }
        for i in 0..N {
            for j in 0..M {
                sums[i][j] = totals[i][j].sum();
            }
        }
    }
    for k in whole..len {
        for i in 0..N {
            for j in 0..M {
                sums[i][j] += w[i][k] * x[j][k];
            }
        }
    }
    sums
}
