//! Packed rows as floats: the scalar twin is `dot::unpack`.
//!
//! A unit unpacks one quad; the rows are a range or named by a tensor. An element is `scale · number −
//! minimum`, which a shader compiler may round once where the processor rounds twice.
#![expect(
    clippy::used_underscore_binding,
    reason = "kernels name their types in an argument that the launch fills"
)]

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::arrange;
use super::decode::{Kind, Packed, quad};
use super::{cubes, empty_like};
use crate::ops::{Layout, RowRange};

/// Units of a cube.
const N_UNIT: usize = 64;

/// The place of this unit among all of them.
#[cube]
fn position() -> usize {
    ((CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) * CUBE_DIM_X + UNIT_POS_X) as usize
}

/// Unpacks one quad of a packed row into the same place of a row of `out`.
#[cube]
fn write_quad(
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    row: usize,
    out_row: usize,
    q: usize,
    packed: &Packed,
    #[comptime] kind: Kind,
) {
    let values = quad(words, row, q, packed, kind);
    #[unroll]
    for idx in 0..4usize {
        if comptime!(!kind.ragged) || q * 4 + idx < packed.cols {
            out[out_row * packed.cols + q * 4 + idx] = values.extract(idx);
        }
    }
}

#[cube(launch)]
fn packed_range(
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    first: u32,
    n_quad: u32,
    cols: u32,
    apart: u32,
    #[comptime] kind: Kind,
) {
    let position = position();
    if position >= n_quad as usize {
        terminate!();
    }
    let packed = Packed { cols: cols as usize, apart: apart as usize };
    let quads_of_row = packed.cols.div_ceil(4);
    let row = position / quads_of_row;
    write_quad(words, out, first as usize + row, row, position % quads_of_row, &packed, kind);
}

#[cube(launch)]
fn packed_gather<I: Int>(
    words: &Tensor<u32>,
    ids: &Tensor<I>,
    out: &mut Tensor<f32>,
    n_quad: u32,
    cols: u32,
    apart: u32,
    #[comptime] kind: Kind,
    #[define(I)] _dtype: ElemType,
) {
    let position = position();
    if position >= n_quad as usize {
        terminate!();
    }
    let packed = Packed { cols: cols as usize, apart: apart as usize };
    let quads_of_row = packed.cols.div_ceil(4);
    let row = position / quads_of_row;
    let id = u32::cast_from(ids[row]) as usize;
    write_quad(words, out, id, row, position % quads_of_row, &packed, kind);
}

/// The rows of a range.
pub(super) fn launch_range(blocks: CubeTensor, layout: Layout, range: RowRange) -> CubeTensor {
    let out = empty_like(&blocks, &[range.count, layout.cols]);
    let n_quad = range.count * layout.cols.div_ceil(4);
    if n_quad == 0 {
        return out;
    }
    packed_range::launch(
        &blocks.client.clone(),
        cubes(n_quad.div_ceil(N_UNIT), 1),
        CubeDim::new_1d(N_UNIT as u32),
        blocks.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        range.start as u32,
        n_quad as u32,
        layout.cols as u32,
        arrange::first_apart(layout) as u32,
        Kind::of(layout),
    );
    out
}

/// The rows that contiguous `ids` name. A number out of range gives a row of no meaning: reads are checked
/// against the tensor's end.
pub(super) fn launch_gather(blocks: CubeTensor, ids: CubeTensor, layout: Layout) -> CubeTensor {
    let count = ids.shape()[0];
    let out = empty_like(&blocks, &[count, layout.cols]);
    let n_quad = count * layout.cols.div_ceil(4);
    if n_quad == 0 {
        return out;
    }
    let dtype = dtype_to_storage_type(ids.dtype);
    packed_gather::launch(
        &blocks.client.clone(),
        cubes(n_quad.div_ceil(N_UNIT), 1),
        CubeDim::new_1d(N_UNIT as u32),
        blocks.into_tensor_arg(),
        ids.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        n_quad as u32,
        layout.cols as u32,
        arrange::first_apart(layout) as u32,
        Kind::of(layout),
        dtype,
    );
    out
}
