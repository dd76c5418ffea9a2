//! `x · Wᵀ` for a few rows of `x`: the scalar twin is `dot::linear_rows`.
//!
//! One cube computes one output feature: its units take groups of the packed row in turn, keep a sum for each
//! row of `x`, and add their sums up in shared memory, by halves. That needs no plane operations, which
//! software rasterisers lack, so that one kernel serves and is tested everywhere.

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::decode::{Kind, minimum, number, scale};
use super::{cubes, empty_like};
use crate::ops::Layout;

/// Units of a cube: two planes of most GPUs, and fewer than every interface's limit.
const N_UNIT: usize = 64;

#[cube(launch)]
fn packed_linear(
    x: &Tensor<f32>,
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    rows: u32,
    row_bytes: u32,
    cols: u32,
    #[comptime] m: usize,
    #[comptime] kind: Kind,
) {
    let row = (CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) as usize;
    let unit = UNIT_POS_X as usize;
    let cols = cols as usize;
    let group_len = comptime!(kind.group);
    let groups_of_block = comptime!(kind.block / kind.group);
    let mut sums = Array::<f32>::new(m);
    #[unroll]
    for idx in 0..m {
        sums[idx] = f32::new(0.0_f32);
    }
    if row < rows as usize {
        let start = row * row_bytes as usize;
        let n_group = cols / group_len;
        let mut group = unit;
        while group < n_group {
            let block = start + group / groups_of_block * comptime!(kind.bytes);
            let within = group % groups_of_block;
            let factor = scale(words, block, within, kind);
            let offset = minimum(words, block, within, kind);
            for l in 0..group_len {
                let weight = factor * number(words, block, within, l, kind) - offset;
                #[unroll]
                for idx in 0..m {
                    sums[idx] += weight * x[idx * cols + group * group_len + l];
                }
            }
            group += comptime!(N_UNIT);
        }
    }
    let mut shared = Shared::<[f32]>::new_slice(comptime!(N_UNIT * m));
    #[unroll]
    for idx in 0..m {
        shared[unit * m + idx] = sums[idx];
    }
    sync_cube();
    let mut width = comptime!(N_UNIT / 2).runtime();
    while width > 0 {
        if unit < width {
            #[unroll]
            for idx in 0..m {
                let other = shared[(unit + width) * m + idx];
                shared[unit * m + idx] += other;
            }
        }
        sync_cube();
        width /= 2;
    }
    if row < rows as usize && unit < m {
        out[unit * rows as usize + row] = shared[unit];
    }
}

/// Multiplies contiguous activations with packed rows.
pub(super) fn launch(x: CubeTensor, blocks: CubeTensor, layout: Layout) -> CubeTensor {
    let [m, cols] = x.shape().dims();
    assert_eq!(cols, layout.cols, "activations of another width");
    let out = empty_like(&x, [m, layout.rows]);
    if m == 0 || layout.rows == 0 {
        return out;
    }
    packed_linear::launch(
        &x.client.clone(),
        cubes(layout.rows, 1),
        CubeDim::new_1d(N_UNIT as u32),
        x.into_tensor_arg(),
        blocks.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        layout.rows as u32,
        layout.row_bytes() as u32,
        cols as u32,
        m,
        Kind::of(layout.kind),
    );
    out
}
