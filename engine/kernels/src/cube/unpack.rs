//! Packed rows as floats: the scalar twin is `dot::unpack`.
//!
//! A unit unpacks one group; the rows are a range or named by a tensor. An element is `scale · number −
//! minimum`, which a shader compiler may round once where the processor rounds twice.
#![expect(
    clippy::used_underscore_binding,
    reason = "kernels name their types in an argument that the launch fills"
)]

use burn::backend::TensorMetadata;
use burn::backend::cubecl::dtype_to_storage_type;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::decode::{Kind, minimum, number, scale};
use super::{cubes, empty_like};
use crate::ops::{Layout, RowRange};

/// Units of a cube.
const N_UNIT: usize = 64;

/// The place of this unit among all of them.
#[cube]
fn position() -> usize {
    ((CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) * CUBE_DIM_X + UNIT_POS_X) as usize
}

/// Unpacks one group of a packed row into the same place of a row of `out`.
#[cube]
fn write_group(
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    row_start: usize,
    out_start: usize,
    group: usize,
    #[comptime] kind: Kind,
) {
    let groups_of_block = comptime!(kind.block / kind.group);
    let block = row_start + group / groups_of_block * comptime!(kind.bytes);
    let within = group % groups_of_block;
    let factor = scale(words, block, within, kind);
    let offset = minimum(words, block, within, kind);
    for l in 0..comptime!(kind.group) {
        out[out_start + group * comptime!(kind.group) + l] =
            factor * number(words, block, within, l, kind) - offset;
    }
}

#[cube(launch)]
fn packed_range(
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    first: u32,
    n_group: u32,
    row_bytes: u32,
    cols: u32,
    #[comptime] kind: Kind,
) {
    let position = position();
    if position >= n_group as usize {
        terminate!();
    }
    let groups_of_row = cols as usize / comptime!(kind.group);
    let out_row = position / groups_of_row;
    let row_start = (first as usize + out_row) * row_bytes as usize;
    write_group(words, out, row_start, out_row * cols as usize, position % groups_of_row, kind);
}

#[cube(launch)]
fn packed_gather<I: Int>(
    words: &Tensor<u32>,
    ids: &Tensor<I>,
    out: &mut Tensor<f32>,
    n_group: u32,
    row_bytes: u32,
    cols: u32,
    #[comptime] kind: Kind,
    #[define(I)] _dtype: ElemType,
) {
    let position = position();
    if position >= n_group as usize {
        terminate!();
    }
    let groups_of_row = cols as usize / comptime!(kind.group);
    let out_row = position / groups_of_row;
    let row_start = u32::cast_from(ids[out_row]) as usize * row_bytes as usize;
    write_group(words, out, row_start, out_row * cols as usize, position % groups_of_row, kind);
}

/// The rows of a range.
pub(super) fn launch_range(blocks: CubeTensor, layout: Layout, range: RowRange) -> CubeTensor {
    let kind = Kind::of(layout.kind);
    let out = empty_like(&blocks, [range.count, layout.cols]);
    let n_group = range.count * (layout.cols / kind.group);
    if n_group == 0 {
        return out;
    }
    packed_range::launch(
        &blocks.client.clone(),
        cubes(n_group.div_ceil(N_UNIT), 1),
        CubeDim::new_1d(N_UNIT as u32),
        blocks.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        range.start as u32,
        n_group as u32,
        layout.row_bytes() as u32,
        layout.cols as u32,
        kind,
    );
    out
}

/// The rows that contiguous `ids` name. A number out of range gives a row of no meaning: reads are checked
/// against the tensor's end.
pub(super) fn launch_gather(blocks: CubeTensor, ids: CubeTensor, layout: Layout) -> CubeTensor {
    let kind = Kind::of(layout.kind);
    let count = ids.shape()[0];
    let out = empty_like(&blocks, [count, layout.cols]);
    let n_group = count * (layout.cols / kind.group);
    if n_group == 0 {
        return out;
    }
    let dtype = dtype_to_storage_type(ids.dtype);
    packed_gather::launch(
        &blocks.client.clone(),
        cubes(n_group.div_ceil(N_UNIT), 1),
        CubeDim::new_1d(N_UNIT as u32),
        blocks.into_tensor_arg(),
        ids.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        n_group as u32,
        layout.row_bytes() as u32,
        layout.cols as u32,
        kind,
        dtype,
    );
    out
}
