//! `x · Wᵀ` for many rows of `x`, a tile of the product at a time: the scalar twin is `dot::tile`.
//!
//! A cube of 64 units computes 64 output features for up to 64 rows: sixteen elements of each are brought into shared
//! memory together, the weights unpacked on the way, and every unit multiplies 8 features by 8 rows from there in
//! registers. So a weight is unpacked once for 64 rows, and the matrix is never unpacked as a whole. Neighbouring
//! units hold neighbouring features, eight apart within a unit, so that neither reading shared memory nor writing
//! the product makes them wait for each other; the pitch of 65 does the same for filling it. Sums are 32-bit floats
//! in the order of the elements.

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::arrange;
use super::decode::{Kind, Packed, float_quad, quad};
use super::empty_like;
use crate::ops::Layout;

/// Units of a cube along rows, and along features.
const N_SIDE: usize = 8;
/// Output features of a unit.
const N_FEATURE: usize = 8;
/// Elements brought in at a time, and the quads they are.
const DEPTH: usize = 16;
const N_QUAD: usize = DEPTH / 4;
/// Floats from one element to the next in shared memory: one more than there are features.
const PITCH: usize = N_SIDE * N_FEATURE + 1;

#[cube(launch)]
fn packed_tile(
    x: &Tensor<f32>,
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    m: u32,
    rows: u32,
    cols: u32,
    apart: u32,
    #[comptime] n_row: usize,
    #[comptime] kind: Kind,
) {
    let packed = Packed { cols: cols as usize, apart: apart as usize };
    let (m, rows) = (m as usize, rows as usize);
    let unit = UNIT_POS_X as usize;
    let (own_row, own_feature) = (unit / N_SIDE, unit % N_SIDE);
    let first_row = CUBE_POS_Y as usize * comptime!(N_SIDE * n_row);
    let first_feature = CUBE_POS_X as usize * comptime!(N_SIDE * N_FEATURE);
    let mut inputs = Shared::<[f32]>::new_slice(comptime!(DEPTH * PITCH));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(DEPTH * PITCH));
    let mut sums = Array::<f32>::new(comptime!(n_row * N_FEATURE));
    #[unroll]
    for idx in 0..comptime!(n_row * N_FEATURE) {
        sums[idx] = f32::new(0.0_f32);
    }
    let n_quad = packed.cols.div_ceil(4);
    let (own_quad, own_line) = (unit % N_QUAD, unit / N_QUAD);
    let mut first_quad = 0usize.runtime();
    while first_quad < n_quad {
        // Quads beyond the last are zero; lines beyond the last are read again and never written out.
        let inside = first_quad + own_quad < n_quad;
        let q = min(first_quad + own_quad, n_quad - 1);
        let factor = select(inside, f32::new(1.0_f32), f32::new(0.0_f32));
        #[unroll]
        for part in 0..comptime!(N_FEATURE * N_SIDE * N_QUAD / 64) {
            let line = own_line + part * comptime!(64 / N_QUAD);
            let row = min(first_feature + line, rows - 1);
            let values = quad(words, row, q, &packed, kind);
            #[unroll]
            for idx in 0..4usize {
                weights[(own_quad * 4 + idx) * PITCH + line] =
                    select(inside, values.extract(idx), f32::new(0.0_f32));
            }
        }
        #[unroll]
        for part in 0..comptime!(n_row * N_SIDE * N_QUAD / 64) {
            let line = own_line + part * comptime!(64 / N_QUAD);
            let row = min(first_row + line, m - 1);
            let values = float_quad(x, row, q, packed.cols, comptime!(kind.ragged));
            #[unroll]
            for idx in 0..4usize {
                inputs[(own_quad * 4 + idx) * PITCH + line] = values.extract(idx) * factor;
            }
        }
        sync_cube();
        for k in 0..DEPTH {
            let mut of_rows = Array::<f32>::new(n_row);
            #[unroll]
            for i in 0..n_row {
                of_rows[i] = inputs[k * PITCH + own_row + i * N_SIDE];
            }
            #[unroll]
            for j in 0..N_FEATURE {
                let weight = weights[k * PITCH + own_feature + j * N_SIDE];
                #[unroll]
                for i in 0..n_row {
                    sums[i * N_FEATURE + j] += of_rows[i] * weight;
                }
            }
        }
        sync_cube();
        first_quad += N_QUAD;
    }
    #[unroll]
    for i in 0..n_row {
        let row = first_row + own_row + i * N_SIDE;
        #[unroll]
        for j in 0..N_FEATURE {
            let feature = first_feature + own_feature + j * N_SIDE;
            if row < m && feature < rows {
                out[row * rows + feature] = sums[i * N_FEATURE + j];
            }
        }
    }
}

/// Multiplies contiguous activations with packed rows.
pub(super) fn launch(x: CubeTensor, blocks: CubeTensor, layout: Layout) -> CubeTensor {
    let [m, cols] = x.shape().dims();
    assert_eq!(cols, layout.cols, "activations of another width");
    let out = empty_like(&x, &[m, layout.rows]);
    if m == 0 || layout.rows == 0 {
        return out;
    }
    // Few rows leave most of a high tile empty.
    let n_row = if m <= 2 * N_SIDE { 2 } else { 8 };
    let n_cube = [layout.rows.div_ceil(N_SIDE * N_FEATURE), m.div_ceil(N_SIDE * n_row)];
    assert!(n_cube.iter().all(|n| *n <= super::N_CUBE), "a product of more tiles than a launch has");
    packed_tile::launch(
        &x.client.clone(),
        CubeCount::Static(n_cube[0] as u32, n_cube[1] as u32, 1),
        CubeDim::new_1d((N_SIDE * N_SIDE) as u32),
        x.into_tensor_arg(),
        blocks.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        m as u32,
        layout.rows as u32,
        cols as u32,
        arrange::first_apart(layout) as u32,
        n_row,
        Kind::of(layout),
    );
    out
}
