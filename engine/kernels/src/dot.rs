//! Products with packed rows on the processor.
//!
//! One body, written without instructions in mind, is compiled once for each [`CpuPath`]; the path is chosen
//! at run time. Weights are unpacked exactly as `eosin_weights::dequantize` does, a few hundred elements at a
//! time into a buffer that stays in the first cache, and multiplied by activations that remain 32-bit floats:
//! other engines round the activations to 8 bits here, this one does not. The tests at the end hold every path
//! against a plain sum in 64 bits.
#![expect(unsafe_code, reason = "enters functions compiled for instructions that a `Proof` vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

mod attend;
mod fused;
mod lanes;
mod tile;
mod unpack;
#[cfg(target_arch = "x86_64")]
mod x86;

use eosin_weights::GgmlType;

pub use attend::HeadRows;
pub(crate) use unpack::half_float;

use crate::path::CpuPath;

/// Writes the elements that `bytes` stores into `out`, equal to `eosin_weights::dequantize` bit for bit.
///
/// # Panics
/// Where bytes and elements disagree.
pub fn unpack(path: CpuPath, kind: GgmlType, bytes: &[u8], out: &mut [f32]) {
    assert_eq!(kind.row_bytes(out.len()), Some(bytes.len()), "{kind}: bytes and elements disagree");
    match path {
        CpuPath::Scalar => unpack::unpack::<[f32; 8]>(kind, bytes, out),
        // SAFETY: a `Proof` exists only where the processor reported these instructions.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx2(_proof) => unsafe { x86::unpack_avx2(kind, bytes, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512(_proof) => unsafe { x86::unpack_avx512(kind, bytes, out) },
    }
}

/// Products of every packed row with every row of `x`.
///
/// # Shapes
/// - `weights`: `n` packed rows of `n_col` elements
/// - `x`: `[m, n_col]`
/// - `out`: `[n, m]`, the transpose of what a linear layer returns, so that rows can be split over threads
///
/// # Panics
/// Where the lengths disagree.
pub fn linear_rows(path: CpuPath, kind: GgmlType, weights: &[u8], n_col: usize, x: &[f32], out: &mut [f32]) {
    if out.is_empty() {
        return;
    }
    assert!(n_col > 0 && x.len().is_multiple_of(n_col), "{} activations in rows of {n_col}", x.len());
    let m = x.len() / n_col;
    assert!(m > 0 && out.len().is_multiple_of(m), "{} results for {m} rows", out.len());
    let n_byte = kind.row_bytes(n_col).map(|row_bytes| row_bytes * (out.len() / m));
    assert_eq!(n_byte, Some(weights.len()), "{kind}: bytes and rows disagree");
    match path {
        CpuPath::Scalar => tile::linear_rows::<[f32; 8]>(kind, weights, n_col, x, out),
        // SAFETY: a `Proof` exists only where the processor reported these instructions.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx2(_proof) => unsafe { x86::linear_rows_avx2(kind, weights, n_col, x, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512(_proof) => unsafe { x86::linear_rows_avx512(kind, weights, n_col, x, out) },
    }
}

/// softmax(q · kᵀ / √d) · v for a query that sees all of the keys.
///
/// # Shapes
/// - `query`, `out`: `[d]`, `d` a multiple of 16
/// - `keys`, `values`: `[n_key, d]`, at least one row
///
/// # Panics
/// Where the lengths disagree.
pub fn attend_head(
    path: CpuPath,
    d: usize,
    query: &[f32],
    keys: HeadRows<'_>,
    values: HeadRows<'_>,
    out: &mut [f32],
) {
    assert!(d > 0 && d.is_multiple_of(16), "heads of {d}");
    assert!(keys.len() > 0 && keys.len().is_multiple_of(d), "{} numbers of keys in rows of {d}", keys.len());
    assert_eq!(
        (keys.len(), query.len(), out.len()),
        (values.len(), d, d),
        "keys and values, query and result"
    );
    match path {
        CpuPath::Scalar => attend::attend_head::<[f32; 8]>(d, query, keys, values, out),
        // SAFETY: a `Proof` exists only where the processor reported these instructions.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx2(_proof) => unsafe { x86::attend_head_avx2(d, query, keys, values, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        CpuPath::Avx512(_proof) => unsafe { x86::attend_head_avx512(d, query, keys, values, out) },
    }
}

#[cfg(test)]
mod tests;
