//! Every path equals the plain meaning, over odd sizes, extreme scales and empty blocks.

use eosin_weights::{GgmlType, dequantize};

use super::{linear_rows, unpack};
use crate::path::CpuPath;
use crate::testing::{Fill, packed, uniform};

/// Largest error allowed, relative to the sum of the products' magnitudes: 2¹⁶ additions of 32-bit floats in
/// another order.
const TOLERANCE: f64 = 4e-6;

#[test]
fn unpacking_equals_the_reference_bit_for_bit() {
    for path in CpuPath::available() {
        for kind in GgmlType::ALL {
            for fill in Fill::ALL {
                for n_block in [1, 2, 7, 33] {
                    let n_col = n_block * kind.block_len();
                    let bytes = packed(kind, [1, n_col], fill, 11);
                    let (mut ours, mut theirs) = (vec![0.0; n_col], vec![0.0; n_col]);
                    unpack(path, kind, &bytes, &mut ours);
                    dequantize(kind, &bytes, &mut theirs);
                    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(&ours), bits(&theirs), "{kind} {path:?} {fill:?} {n_block}");
                }
            }
        }
    }
}

#[test]
fn every_half_is_converted_as_the_reference_does() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    for path in CpuPath::available() {
        let (mut ours, mut theirs) = (vec![0.0; 1 << 16], vec![0.0; 1 << 16]);
        unpack(path, GgmlType::F16, &bytes, &mut ours);
        dequantize(GgmlType::F16, &bytes, &mut theirs);
        for (bits, (a, b)) in ours.iter().zip(&theirs).enumerate() {
            assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()), "{bits:#x}: {a} {b} {path:?}");
        }
    }
}

#[test]
fn products_equal_a_plain_sum() {
    for path in CpuPath::available() {
        for kind in GgmlType::ALL {
            for fill in Fill::ALL {
                for (n_row, n_block, m) in [(1, 1, 1), (2, 1, 3), (5, 3, 4), (25, 2, 1), (51, 3, 7)] {
                    check(path, kind, fill, n_row, n_block * kind.block_len(), m);
                }
            }
        }
        for (n_col, m) in [(3, 2), (31, 5), (513, 9), (1176, 2), (3420, 1)] {
            check(path, GgmlType::F16, Fill::Plain, 26, n_col, m);
            check(path, GgmlType::F32, Fill::Plain, 3, n_col, m);
        }
        check(path, GgmlType::Q8_0, Fill::Plain, 4, 2080, 13);
        check(path, GgmlType::Q6K, Fill::Plain, 30, 2304, 33);
    }
}

fn check(path: CpuPath, kind: GgmlType, fill: Fill, n_row: usize, n_col: usize, m: usize) {
    let bytes = packed(kind, [n_row, n_col], fill, 5);
    let x = uniform(m * n_col, 17);
    let mut weights = vec![0.0; n_row * n_col];
    dequantize(kind, &bytes, &mut weights);
    let mut out = vec![f32::NAN; n_row * m];
    linear_rows(path, kind, &bytes, n_col, &x, &mut out);
    for (row, w) in weights.chunks(n_col).enumerate() {
        for (idx, x) in x.chunks(n_col).enumerate() {
            let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            let error = (f64::from(out[row * m + idx]) - sum).abs();
            assert!(
                error <= TOLERANCE * size,
                "{kind} {path:?} {fill:?} [{n_row}, {n_col}] {m}: {error} of {size}"
            );
        }
    }
}
