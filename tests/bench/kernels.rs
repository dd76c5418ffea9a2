//! Products with packed weights beside what the machine can do: gigabytes a second for one row of activations, billions
//! of operations for many.
//!
//! One thread (`RAYON_NUM_THREADS=1`). `cargo xtask bench kernels` runs it so; with `EOSIN_CPU=avx2` and the like it runs another path than the
//! best. The roofs are measured in the same run: bytes read from memory by plain sums in several streams, and products
//! with operands in registers. Best of some runs, since whatever else the machine does only adds time.

#![expect(clippy::print_stdout, reason = "a measurement's product is what it prints")]

#[path = "support/roof.rs"]
mod roof;

use std::time::Instant;

use burn::tensor::{Device, Tensor, TensorData};
use eosin_kernels::{Arithmetic, BytePath, PackedMatrix, peak_byte_products};
use eosin_weights::{GgmlType, RawTensor};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows and columns whose weights come from memory: some hundred megabytes in every type.
const LARGE: [usize; 2] = [65_536, 11_008];
/// Rows and columns of one matrix of a model.
const MATRIX: [usize; 2] = [2048, 11_008];
/// Rows of activations of a prompt.
const N_PROMPT: usize = 512;
/// Times that each product is computed.
const N_RUN: usize = 5;

/// Numbers of one size that follow no pattern.
fn uniform(n: usize) -> Vec<f32> {
    let mut state = 17_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// A matrix whose rows repeat.
fn matrix(kind: GgmlType, [rows, cols]: [usize; 2]) -> PackedMatrix {
    const N_DISTINCT: usize = 64;
    let some = RawTensor::from_f32("weights", kind, vec![N_DISTINCT, cols], &uniform(N_DISTINCT * cols))
        .expect("columns are whole blocks");
    let bytes: Vec<u8> =
        some.bytes.iter().copied().cycle().take(some.bytes.len() / N_DISTINCT * rows).collect();
    PackedMatrix::new(kind, [rows, cols], bytes.into(), &Device::flex())
}

/// Seconds of the fastest product.
fn best_secs(matrix: &PackedMatrix, m: usize) -> f64 {
    let x = TensorData::new(uniform(m * matrix.cols()), [m, matrix.cols()]);
    let x = Tensor::<2>::from_data(x, &Device::flex());
    let run = || {
        let begun = Instant::now();
        let _ = matrix.linear(x.clone()).into_data();
        begun.elapsed().as_secs_f64()
    };
    (0..N_RUN).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let path = BytePath::best();
    let (bytes, operations) = (roof::read_bytes_per_sec(1), peak_byte_products(path));
    println!("{}: {:.1} GB/s read, {:.0} GOP/s of bytes", path.name(), bytes / 1e9, operations / 1e9);
    println!("| type | GB/s, one row | of the roof | GOP/s, {N_PROMPT} rows | of the roof | exact |");
    println!("|---|---|---|---|---|---|");
    for kind in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::Q4K, GgmlType::Q5K, GgmlType::Q6K] {
        let large = matrix(kind, LARGE).with_arithmetic(Arithmetic::Rounded);
        let n_byte = kind.row_bytes(LARGE[1]).expect("whole blocks") * LARGE[0];
        let read = n_byte as f64 / best_secs(&large, 1);
        drop(large);
        let exact = matrix(kind, MATRIX);
        let rounded = exact.clone().with_arithmetic(Arithmetic::Rounded);
        let n_operation = 2.0 * (N_PROMPT * MATRIX[0] * MATRIX[1]) as f64;
        let [rounded, exact] = [rounded, exact].map(|matrix| n_operation / best_secs(&matrix, N_PROMPT));
        println!(
            "| {kind} | {:.1} | {:.0} % | {:.0} | {:.0} % | {:.0} |",
            read / 1e9,
            100.0 * read / bytes,
            rounded / 1e9,
            100.0 * rounded / operations,
            exact / 1e9
        );
    }
}
