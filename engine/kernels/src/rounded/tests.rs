//! Every path is the plain meaning of the rounded numbers, over odd sizes and extreme scales; and what is multiplied
//! together equals what is multiplied one by one.

use eosin_weights::{GgmlType, dequantize};

use super::activations::SPAN;
use super::{Factor, PackedRows, Rounded, Target, multiply};
use crate::path::BytePath;
use crate::testing::{Fill, packed, uniform};

/// Largest error allowed, relative to the sum of the products' magnitudes: what is taken off a group is about as
/// large as what remains, and both are summed in 32-bit floats.
const TOLERANCE: f64 = 1e-5;

fn product(
    path: BytePath,
    kind: GgmlType,
    weights: &[u8],
    n_col: usize,
    x: &[f32],
    piece: usize,
) -> Vec<f32> {
    let row_bytes = kind.row_bytes(n_col).unwrap();
    let (n, m) = (weights.len() / row_bytes, x.len() / n_col);
    let mut out = vec![f32::NAN; n * m];
    let x = Rounded::new(x, n_col);
    let factor = Factor::new(path, kind, &x);
    let target = Target::new(&mut out, n);
    for (idx, bytes) in weights.chunks(piece * row_bytes).enumerate() {
        let rows = PackedRows { kind, bytes, row_bytes, first: idx * piece };
        // SAFETY: the target has room for every row of both.
        unsafe { multiply(path, rows, &factor, target) };
    }
    out
}

/// What the rounded activations stand for.
fn meaning(x: &[f32], n_col: usize) -> Vec<f32> {
    let rounded = Rounded::new(x, n_col);
    let mut values = Vec::new();
    for row in 0..rounded.n_row() {
        for idx in 0..n_col {
            let within = idx % SPAN;
            // SAFETY: both numbers are in range.
            let span = unsafe { rounded.span(row, idx / SPAN) };
            values.push(f32::from(span.numbers[within]) * span.scales[within / 16]);
        }
    }
    values
}

#[test]
fn activations_are_the_nearest_numbers() {
    let check = |x: &[f32], n_col: usize| {
        let values = meaning(x, n_col);
        for (x, values) in x.chunks(n_col).zip(values.chunks(n_col)) {
            for (x, values) in x.chunks(32).zip(values.chunks(32)) {
                let largest = x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
                for (x, value) in x.iter().zip(values) {
                    assert!(
                        (x - value).abs() <= largest / 127.0 * 0.501 + 1e-35,
                        "{x} became {value} of {largest}"
                    );
                }
            }
        }
    };
    for n_col in [1, 31, 32, 33, 256, 300, 2080] {
        check(&uniform(3 * n_col, 3), n_col);
        check(&uniform(n_col, 4).iter().map(|x| x * 1e38).collect::<Vec<_>>(), n_col);
        check(&uniform(n_col, 5).iter().map(|x| x * 1e-30).collect::<Vec<_>>(), n_col);
        check(&uniform(n_col, 6).iter().map(|x| x * 1e-40).collect::<Vec<_>>(), n_col);
        check(&vec![0.0; n_col], n_col);
    }
    // One large channel leaves other blocks alone.
    let mut x = uniform(256, 7);
    x[40] = 1e4;
    check(&x, 256);
}

#[test]
fn products_equal_a_plain_sum() {
    for path in BytePath::available() {
        for kind in GgmlType::ALL.into_iter().filter(|kind| kind.is_quantized()) {
            for fill in Fill::ALL {
                for (n_row, n_block, m) in
                    [(1, 1, 1), (2, 1, 3), (5, 3, 4), (25, 2, 8), (51, 3, 9), (33, 2, 27)]
                {
                    check(path, kind, fill, n_row, n_block * kind.block_len(), m);
                }
            }
        }
        check(path, GgmlType::Q8_0, Fill::Plain, 4, 2080, 13);
        check(path, GgmlType::Q4_0, Fill::Plain, 70, 1312, 1);
        check(path, GgmlType::Q6K, Fill::Plain, 30, 2304, 35);
    }
}

fn check(path: BytePath, kind: GgmlType, fill: Fill, n_row: usize, n_col: usize, m: usize) {
    let bytes = packed(kind, [n_row, n_col], fill, 5);
    let x = uniform(m * n_col, 17);
    let mut weights = vec![0.0; n_row * n_col];
    dequantize(kind, &bytes, &mut weights);
    let out = product(path, kind, &bytes, n_col, &x, 48);
    let x = meaning(&x, n_col);
    let largest = weights.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    for (row, w) in weights.chunks(n_col).enumerate() {
        for (idx, x) in x.chunks(n_col).enumerate() {
            let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let sum: f64 = products.sum();
            let size: f64 = x.iter().map(|x| f64::from(largest) * f64::from(x.abs())).sum();
            let error = (f64::from(out[idx * n_row + row]) - sum).abs();
            assert!(
                error <= TOLERANCE * size,
                "{kind} {path:?} {fill:?} [{n_row}, {n_col}] {m}: {error} of {size}"
            );
        }
    }
}

#[test]
fn floats_are_rounded_like_activations() {
    for path in BytePath::available() {
        for kind in [GgmlType::F16, GgmlType::Bf16, GgmlType::F32] {
            for (n_row, n_col, m) in [(5, 3420, 9), (33, 300, 30), (1, 31, 17)] {
                let bytes = packed(kind, [n_row, n_col], Fill::Plain, 5);
                let mut weights = vec![0.0; n_row * n_col];
                dequantize(kind, &bytes, &mut weights);
                let x = uniform(m * n_col, 17);
                let out = product(path, kind, &bytes, n_col, &x, 48);
                let (weights, x) = (meaning(&weights, n_col), meaning(&x, n_col));
                for (row, w) in weights.chunks(n_col).enumerate() {
                    for (idx, x) in x.chunks(n_col).enumerate() {
                        let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                        let (sum, size) =
                            products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
                        let error = (f64::from(out[idx * n_row + row]) - sum).abs();
                        assert!(error <= 2.0 * TOLERANCE * size, "{kind} {path:?}: {error} of {size}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_few_rows_together_equal_each_alone() {
    for path in BytePath::available() {
        for kind in GgmlType::ALL.into_iter().filter(|kind| kind.is_quantized()) {
            let n_col = 2 * SPAN.max(kind.block_len()) + 32 * usize::from(kind.block_len() == 32);
            let weights = packed(kind, [7, n_col], Fill::Plain, 8);
            let x = uniform(8 * n_col, 9);
            for m in 1..=8 {
                let together = product(path, kind, &weights, n_col, &x[..m * n_col], 48);
                for (x, together) in x.chunks(n_col).zip(together.chunks(7)) {
                    let alone = product(path, kind, &weights, n_col, x, 3);
                    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(together), bits(&alone), "{kind} {path:?} {m}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    for path in BytePath::available() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for m in [1, 20] {
                let weights = packed(GgmlType::Q8_0, [3, 512], Fill::Plain, 8);
                let mut x = uniform(m * 512, 9);
                x[300] = bad;
                let out = product(path, GgmlType::Q8_0, &weights, 512, &x, 48);
                assert!(out[..3].iter().all(|value| value.is_nan()), "{path:?}: {out:?}");
                assert!(out[3..].iter().all(|value| value.is_finite()), "{path:?}: {out:?}");
            }
        }
    }
}
