//! The packed operations on the processor: threads over rows around the bodies of [`crate::dot`].
//!
//! Rows are cut into more pieces than there are threads, so that one busy core does not hold up the rest.
//! Blocks are read where they lie, in the mapped file. Tested through `packed` on every backend.

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

use crate::company;
use crate::dot;
use crate::ops::{Arithmetic, Layout, PackedBackend, RowRange};
use crate::path::{BytePath, CpuPath};
use crate::rounded::{self, Factor, PackedRows, Rounded, Target};

/// Pieces of work for each thread.
const N_PIECE: usize = 8;
/// Multiplications below which a piece is not worth handing to another thread.
const N_PRODUCT: usize = 1 << 16;
/// Rows of the result written together: one cache line of each row of its transpose.
const N_TOGETHER: usize = 16;
/// Rows that `dot` unpacks together, and those of a panel of `rounded`: pieces are multiples of both.
const N_ROW: usize = 48;

impl PackedBackend for Flex {
    fn packed_linear(x: FlexTensor, blocks: FlexTensor, layout: Layout) -> FlexTensor {
        assert_eq!(x.dtype(), DType::F32, "packed products take 32-bit floats");
        let x = x.to_contiguous();
        let x: &[f32] = x.as_slice().expect("a contiguous tensor of 32-bit floats");
        let Layout { kind, rows, cols, arithmetic } = layout;
        assert!(cols > 0 && x.len().is_multiple_of(cols), "{} activations in rows of {cols}", x.len());
        let m = x.len() / cols;
        let weights = bytes(&blocks, layout);
        if arithmetic == Arithmetic::Rounded && rounded::serves(kind, m) {
            let [out] = rounded_products(x, [(weights, layout)]);
            return tensor(out, [m, rows]);
        }
        let mut out = vec![0.0; rows * m];
        if !out.is_empty() {
            let n_row = piece(rows, cols * m);
            let path = CpuPath::best();
            out.par_chunks_mut(n_row * m)
                .zip(weights.par_chunks(n_row * layout.row_bytes()))
                .for_each(|(out, weights)| dot::linear_rows(path, kind, weights, cols, x, out));
        }
        tensor(transposed(out, m), [m, rows])
    }

    fn packed_unpack(blocks: FlexTensor, layout: Layout, range: RowRange) -> FlexTensor {
        let row_bytes = layout.row_bytes();
        let rows = &bytes(&blocks, layout)[range.start * row_bytes..(range.start + range.count) * row_bytes];
        let mut out = vec![0.0; range.count * layout.cols];
        if !out.is_empty() {
            let n_row = piece(range.count, layout.cols);
            out.par_chunks_mut(n_row * layout.cols)
                .zip(rows.par_chunks(n_row * row_bytes))
                .for_each(|(out, rows)| dot::unpack(CpuPath::best(), layout.kind, rows, out));
        }
        tensor(out, [range.count, layout.cols])
    }

    fn packed_gather(blocks: FlexTensor, ids: FlexTensor, layout: Layout) -> FlexTensor {
        let row_bytes = layout.row_bytes();
        let weights = bytes(&blocks, layout);
        let ids = ids.into_data().to_i64();
        let mut out = vec![0.0; ids.len() * layout.cols];
        for (id, out) in ids.iter().zip(out.chunks_exact_mut(layout.cols.max(1))) {
            let row = usize::try_from(*id).ok().filter(|row| *row < layout.rows);
            let row = row.unwrap_or_else(|| panic!("row {id} of a matrix with {} rows", layout.rows));
            dot::unpack(CpuPath::best(), layout.kind, &weights[row * row_bytes..][..row_bytes], out);
        }
        tensor(out, [ids.len(), layout.cols])
    }
}

/// `x · Wᵀ` of rounded activations, for several matrices whose rows threads share out together.
pub(crate) fn linear_all<const N: usize>(
    x: &FlexTensor,
    matrices: &[(FlexTensor, Layout); N],
) -> [FlexTensor; N] {
    let x = x.to_contiguous();
    let x: &[f32] = x.as_slice().expect("a contiguous tensor of 32-bit floats");
    let weights: [(&[u8], Layout); N] = std::array::from_fn(|idx| {
        let (blocks, layout) = &matrices[idx];
        (bytes(blocks, *layout), *layout)
    });
    let m = x.len() / weights.first().map_or(1, |(_, layout)| layout.cols).max(1);
    let mut outs = rounded_products(x, weights).into_iter();
    std::array::from_fn(|idx| {
        tensor(outs.next().expect("a product for every matrix"), [m, weights[idx].1.rows])
    })
}

/// Some packed rows and where their products go.
struct Piece<'a> {
    rows: PackedRows<'a>,
    factor: &'a Factor<'a>,
    target: Target,
}

/// `x · Wᵀ` of rounded activations, for each matrix.
#[expect(unsafe_code, reason = "threads write their own columns of the results")]
fn rounded_products<const N: usize>(x: &[f32], matrices: [(&[u8], Layout); N]) -> [Vec<f32>; N] {
    let Some(cols) = matrices.first().map(|(_, layout)| layout.cols).filter(|cols| *cols > 0) else {
        return matrices.map(|_| Vec::new());
    };
    let (m, path) = (x.len() / cols, BytePath::best());
    let mut outs = matrices.map(|(_, layout)| vec![0.0; layout.rows * m]);
    if m == 0 {
        return outs;
    }
    let x = Rounded::new(x, cols);
    let factors = matrices.map(|(_, layout)| Factor::new(path, layout.kind, &x));
    let n_row = piece(matrices.iter().map(|(_, layout)| layout.rows).sum(), cols * m);
    let mut pieces = Vec::new();
    for (((weights, layout), factor), out) in matrices.iter().zip(&factors).zip(&mut outs) {
        let (target, row_bytes) = (Target::new(out, layout.rows), layout.row_bytes());
        pieces.extend(weights.chunks(n_row * row_bytes).enumerate().map(|(idx, bytes)| {
            let rows = PackedRows { kind: layout.kind, bytes, row_bytes, first: idx * n_row };
            Piece { rows, factor, target }
        }));
    }
    let run = |piece: &Piece<'_>| {
        // SAFETY: the target has m rows and a column for each packed row, and these rows' columns are this thread's.
        unsafe { rounded::multiply(path, piece.rows, piece.factor, piece.target) }
    };
    if m <= rounded::N_ROW {
        company::share(&pieces, run);
    } else {
        pieces.par_iter().for_each(run);
    }
    outs
}

/// Row numbers of any integer type as one type.
trait RowNumbers {
    fn to_i64(self) -> Vec<i64>;
}

impl RowNumbers for TensorData {
    fn to_i64(self) -> Vec<i64> {
        self.try_into_vec_as::<i64>().expect("row numbers are integers")
    }
}

/// All the bytes of the packed rows.
fn bytes(blocks: &FlexTensor, layout: Layout) -> &[u8] {
    assert_eq!(blocks.dtype(), DType::U8, "blocks on the processor are bytes");
    let bytes = blocks.bytes();
    assert_eq!(bytes.len(), layout.rows * layout.row_bytes(), "blocks of another matrix");
    bytes
}

/// Rows of one piece of work, where a row costs `n_product` multiplications.
fn piece(rows: usize, n_product: usize) -> usize {
    let even = rows.div_ceil(rayon::current_num_threads() * N_PIECE);
    let worthwhile = N_PRODUCT.div_ceil(n_product.max(1));
    even.max(worthwhile).next_multiple_of(N_ROW)
}

/// `[rows, m]` as `[m, rows]`.
fn transposed(values: Vec<f32>, m: usize) -> Vec<f32> {
    if m <= 1 || values.len() == m {
        return values;
    }
    let rows = values.len() / m;
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(N_TOGETHER * rows).enumerate().for_each(|(piece, out)| {
        for (row, values) in values.chunks_exact(m).enumerate() {
            let values = &values[piece * N_TOGETHER..];
            for (out, value) in out.chunks_exact_mut(rows).zip(values) {
                out[row] = *value;
            }
        }
    });
    out
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
