//! One scenario, every backend: products, rows and gradients equal those of the unpacked matrix.

use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use bytes::Bytes;
use eosin_core::DeviceChoice;
use eosin_weights::{GgmlType, dequantize};

use super::{PackedMatrix, parts};
use crate::ops::{Arithmetic, Layout};
use crate::testing::{Fill, packed, uniform};

/// Largest error allowed on a device, relative to the sum of the products' magnitudes: sums in another order,
/// and on GPUs products rounded once or twice as their compilers like.
struct Bench {
    device: Device,
    product: f64,
    /// Relative to the largest magnitude in a block of weights: `scale · number − minimum` may be fused.
    element: f64,
}

/// The processor, and the first wgpu adapter where there is one.
fn benches() -> Vec<Bench> {
    let mut benches = vec![Bench { device: Device::flex(), product: 4e-6, element: 0.0 }];
    match crate::select(DeviceChoice::Wgpu(0)) {
        Ok(selected) => {
            eprintln!("packed: also on {}", selected.name);
            benches.push(Bench { device: selected.device, product: 1e-5, element: 1e-6 });
        }
        Err(error) => eprintln!("packed: skipped on wgpu: {error}"),
    }
    benches
}

/// A matrix and its elements; cut into parts of at most `max_bytes`.
fn matrix(kind: GgmlType, shape: [usize; 2], max_bytes: usize, device: &Device) -> (PackedMatrix, Vec<f32>) {
    let [rows, cols] = shape;
    let bytes = Bytes::from(packed(kind, shape, Fill::Plain, 3));
    let mut values = vec![0.0; rows * cols];
    dequantize(kind, &bytes, &mut values);
    let layout = Layout::new(kind, [rows, cols]);
    let mut matrix = PackedMatrix::new(kind, shape, bytes.clone(), device);
    matrix.parts = parts(layout, &bytes, device, max_bytes);
    (matrix, values)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// The shapes of one type: odd numbers of rows, one and several blocks, one and many rows of activations.
fn shapes(kind: GgmlType) -> Vec<([usize; 2], usize)> {
    let n_col = kind.block_len().max(32);
    let mut shapes = vec![([1, n_col], 1), ([5, 3 * n_col], 3), ([67, 2 * n_col], 11)];
    if kind.block_len() == 1 {
        shapes.push(([7, 37], 2));
    }
    shapes
}

#[test]
fn products_equal_those_of_the_unpacked_matrix() {
    for bench in benches() {
        for kind in GgmlType::ALL {
            for (shape, m) in shapes(kind) {
                for max_bytes in [usize::MAX, 2 * kind.row_bytes(shape[1]).unwrap()] {
                    check_linear(&bench, kind, shape, m, max_bytes);
                }
            }
        }
    }
}

fn check_linear(bench: &Bench, kind: GgmlType, shape: [usize; 2], m: usize, max_bytes: usize) {
    let [rows, cols] = shape;
    let (matrix, weights) = matrix(kind, shape, max_bytes, &bench.device);
    let x = uniform(m * cols, 23);
    let input = Tensor::<2>::from_data(TensorData::new(x.clone(), [m, cols]), &bench.device);
    let y = read(matrix.linear(input));
    assert_eq!(y.len(), m * rows);
    for (idx, x) in x.chunks(cols).enumerate() {
        for (row, w) in weights.chunks(cols).enumerate() {
            let products = w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
            let error = (f64::from(y[idx * rows + row]) - sum).abs();
            assert!(
                error <= bench.product * size,
                "{kind} {shape:?} {m} {max_bytes} on {:?}: {error} of {size}",
                bench.device
            );
        }
    }
}

#[test]
fn rounded_products_are_near_the_exact_ones_and_the_same_together_or_alone() {
    let device = Device::flex();
    for kind in GgmlType::ALL {
        for (m, n_col) in [(1, 256), (3, 512), (40, 768)] {
            let exact = [70, 11].map(|rows| matrix(kind, [rows, n_col], usize::MAX, &device).0);
            let rounded = exact.clone().map(|matrix| matrix.with_arithmetic(Arithmetic::Rounded));
            let x = Tensor::<2>::from_data(TensorData::new(uniform(m * n_col, 23), [m, n_col]), &device);
            let together = PackedMatrix::linear_all(rounded.each_ref(), x.clone()).map(read);
            for ((exact, rounded), together) in exact.iter().zip(&rounded).zip(together) {
                let alone = read(rounded.linear(x.clone()));
                assert_eq!(alone, together, "{kind}");
                let exact = read(exact.linear(x.clone()));
                let size = exact.iter().map(|x| x * x).sum::<f32>().sqrt();
                let error = exact.iter().zip(&alone).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
                assert!(error < 0.02 * size, "{kind} {m}: {error} of {size}");
                assert_eq!(error > 0.0, crate::rounded::serves(kind, m), "{kind} {m}: {error}");
            }
            // With gradients nothing is rounded.
            let x = Tensor::<2>::from_inner(x).require_grad();
            assert_eq!(
                read(rounded[0].linear(x.clone()).inner()),
                read(exact[0].linear(x.inner())),
                "{kind}"
            );
        }
    }
}

#[test]
fn rows_equal_those_of_the_unpacked_matrix() {
    for bench in benches() {
        for kind in GgmlType::ALL {
            let cols = 2 * kind.block_len().max(5);
            let row_bytes = kind.row_bytes(cols).unwrap();
            for max_bytes in [usize::MAX, 4 * row_bytes] {
                let (matrix, weights) = matrix(kind, [11, cols], max_bytes, &bench.device);
                let ids = [10_i32, 0, 3, 4, 4, 7];
                let numbers = Tensor::<1, Int>::from_data(ids, &bench.device);
                let wanted: Vec<_> =
                    ids.iter().flat_map(|id| &weights[*id as usize * cols..][..cols]).copied().collect();
                close(&bench, &read(matrix.gather(numbers)), &wanted, kind);
                close(&bench, &read(matrix.dequantize()), &weights, kind);
            }
        }
    }
}

fn close(bench: &Bench, ours: &[f32], theirs: &[f32], kind: GgmlType) {
    assert_eq!(ours.len(), theirs.len());
    let size = theirs.iter().fold(0.0_f64, |size, x| size.max(f64::from(x.abs())));
    for (a, b) in ours.iter().zip(theirs) {
        let error = (f64::from(*a) - f64::from(*b)).abs();
        assert!(error <= bench.element * size, "{kind} on {:?}: {a} for {b}", bench.device);
    }
}

#[test]
fn the_gradient_equals_that_of_the_unpacked_matrix() {
    for bench in benches() {
        let device = bench.device.clone().autodiff();
        for kind in [GgmlType::F16, GgmlType::Q8_0, GgmlType::Q4K, GgmlType::Q6K] {
            let [rows, cols, m] = [13, 512, 4];
            let row_bytes = kind.row_bytes(cols).unwrap();
            for max_bytes in [usize::MAX, 6 * row_bytes] {
                let (matrix, _) = matrix(kind, [rows, cols], max_bytes, &device.clone().without_autodiff());
                let x = Tensor::<2>::from_data(TensorData::new(uniform(m * cols, 5), [m, cols]), &device);
                let dy = Tensor::<2>::from_data(TensorData::new(uniform(m * rows, 6), [m, rows]), &device);
                let gradient = |product: &dyn Fn(Tensor<2>) -> Tensor<2>| {
                    let x = x.clone().require_grad();
                    let gradients = (product(x.clone()) * dy.clone()).sum().backward();
                    read(x.grad(&gradients).unwrap())
                };
                let ours = gradient(&|x| matrix.linear(x));
                let theirs = gradient(&|x| x.matmul(matrix.dequantize().transpose()));
                let bench = Bench { device: device.clone(), product: 0.0, element: 1e-5 };
                close(&bench, &ours, &theirs, kind);
                assert!(ours.iter().any(|x| x.abs() > 1e-3), "the gradient is not empty");
            }
        }
    }
}

#[test]
fn a_matrix_is_a_constant_module_and_moves() {
    use burn::module::Module;
    let (matrix, weights) = matrix(GgmlType::Q4K, [9, 256], 300, &Device::flex());
    assert_eq!(matrix.num_params(), 0);
    assert_eq!(matrix.bytes().len(), 9 * 144);
    for bench in benches() {
        let moved = matrix.clone().train().to_device(&bench.device).valid();
        assert_eq!(moved.devices(), std::slice::from_ref(&bench.device));
        close(&bench, &read(moved.dequantize()), &weights, GgmlType::Q4K);
    }
}

#[test]
fn the_processor_reads_the_bytes_where_they_lie() {
    let bytes = Bytes::from(packed(GgmlType::Q6K, [6, 512], Fill::Plain, 9));
    let matrix = PackedMatrix::new(GgmlType::Q6K, [6, 512], bytes.clone(), &Device::flex());
    let blocks = matrix.parts[0].blocks.clone().try_into_primitive::<burn::backend::Flex>().unwrap();
    assert_eq!(blocks.bytes().as_ptr(), bytes.as_ptr());
}

#[test]
fn activations_of_other_types_are_widened() {
    let (matrix, _) = matrix(GgmlType::Q8_0, [3, 64], usize::MAX, &Device::flex());
    let x = Tensor::<2>::random([2, 64], Distribution::Default, &Device::flex()).cast(DType::F16);
    let (half, single) = (matrix.linear(x.clone()), matrix.linear(x.cast(DType::F32)));
    assert_eq!(half.dtype(), DType::F32);
    assert_eq!(read(half), read(single));
}

#[test]
#[should_panic(expected = "row 11 of a matrix with 11 rows")]
fn a_row_that_is_not_there_is_refused_on_the_processor() {
    let (matrix, _) = matrix(GgmlType::Q8_0, [11, 32], usize::MAX, &Device::flex());
    let _ = matrix.gather(Tensor::from_data([11_i32], &Device::flex()));
}
