//! `x · Wᵀ` for a few rows of `x`: the scalar twin is `dot::linear_rows`.
//!
//! A line of units, as long as a plane, computes some output features together: its units take the words of the
//! packed rows in turn, so that neighbours read neighbouring words, and each unit multiplies what it unpacked with
//! every row of `x` while it has it in registers. What it reads of `x` serves all features of the line. The sums of
//! the units are added by plane operations where the device has them and its planes are of one size, and through
//! shared memory elsewhere; `packed`'s tests run both where they can.

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::features::Plane;
use cubecl::prelude::*;

use super::arrange;
use super::decode::{Kind, Packed, Quad, float_quad, quad};
use super::{cubes, empty_like};
use crate::ops::Layout;

/// Lines of units in a cube.
const N_LINE: usize = 4;
/// Units of a line where sums are added through shared memory.
pub(super) const N_UNIT: usize = 32;

/// How the units of a line add up their sums.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Adding {
    /// A line is a plane.
    Plane,
    /// By halves through shared memory.
    Shared,
}

/// What the kernel is compiled for, beside the type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Form {
    /// Rows of `x`.
    m: usize,
    /// Output features of a line.
    n_row: usize,
    /// Units of a line.
    n_unit: usize,
    adding: Adding,
}

#[cube(launch)]
fn packed_linear(
    x: &Tensor<f32>,
    words: &Tensor<u32>,
    out: &mut Tensor<f32>,
    rows: u32,
    cols: u32,
    apart: u32,
    #[comptime] form: Form,
    #[comptime] kind: Kind,
) {
    let (m, n_row, n_unit) = comptime!((form.m, form.n_row, form.n_unit));
    let packed = Packed { cols: cols as usize, apart: apart as usize };
    let rows = rows as usize;
    let (unit, line) = (UNIT_POS_X as usize, UNIT_POS_Y as usize);
    let cube = (CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) as usize;
    let first = (cube * N_LINE + line) * n_row;
    let mut sums = Array::<Quad>::new(comptime!(m * n_row));
    #[unroll]
    for idx in 0..comptime!(m * n_row) {
        sums[idx] = Quad::new(f32::new(0.0_f32));
    }
    // Two quads a step: the halves of a word.
    let span = comptime!(kind.span);
    let n_step = packed.cols.div_ceil(8);
    let mut step = unit;
    while step < n_step {
        let low = step / span * comptime!(2 * span) + step % span;
        let high = low + span;
        let mut weights = Array::<Quad>::new(comptime!(2 * n_row));
        #[unroll]
        for idx in 0..n_row {
            // Rows beyond the last are computed again rather than branched around.
            let row = min(first + idx, rows - 1);
            weights[2 * idx] = quad(words, row, low, &packed, kind);
            weights[2 * idx + 1] = quad(words, row, high, &packed, kind);
        }
        #[unroll]
        for idx in 0..m {
            let x_low = float_quad(x, idx, low, packed.cols, comptime!(kind.ragged));
            let x_high = float_quad(x, idx, high, packed.cols, comptime!(kind.ragged));
            #[unroll]
            for row in 0..n_row {
                sums[idx * n_row + row] += weights[2 * row] * x_low + weights[2 * row + 1] * x_high;
            }
        }
        step += n_unit;
    }
    let mut totals = Array::<f32>::new(comptime!(m * n_row));
    #[unroll]
    for idx in 0..comptime!(m * n_row) {
        let sum = sums[idx];
        totals[idx] =
            (sum.extract(0usize) + sum.extract(1usize)) + (sum.extract(2usize) + sum.extract(3usize));
    }
    if comptime!(form.adding == Adding::Plane) {
        #[unroll]
        for idx in 0..comptime!(m * n_row) {
            totals[idx] = plane_sum(totals[idx]);
        }
    } else {
        let mut shared = Shared::<[f32]>::new_slice(comptime!(N_LINE * n_unit * m * n_row));
        let place = (line * n_unit + unit) * comptime!(m * n_row);
        #[unroll]
        for idx in 0..comptime!(m * n_row) {
            shared[place + idx] = totals[idx];
        }
        sync_cube();
        let mut width = comptime!(n_unit / 2).runtime();
        while width > 0 {
            if unit < width {
                #[unroll]
                for idx in 0..comptime!(m * n_row) {
                    let other = shared[place + width * comptime!(m * n_row) + idx];
                    shared[place + idx] += other;
                }
            }
            sync_cube();
            width /= 2;
        }
        #[unroll]
        for idx in 0..comptime!(m * n_row) {
            totals[idx] = shared[line * comptime!(n_unit * m * n_row) + idx];
        }
    }
    #[unroll]
    for idx in 0..comptime!(m * n_row) {
        let row = first + comptime!(idx % n_row);
        if unit == comptime!(idx % n_unit) && row < rows {
            out[comptime!(idx / n_row) * rows + row] = totals[idx];
        }
    }
}

/// How sums are added on a device, and by how many units of a line: by planes where all its planes have one size.
pub(super) fn adding(client: &cubecl::client::Client) -> (Adding, usize) {
    let properties = client.properties();
    let (least, most) = (properties.hardware.plane_size_min, properties.hardware.plane_size_max);
    if properties.features.plane.contains(Plane::Ops) && least == most && (4..=64).contains(&least) {
        (Adding::Plane, least as usize)
    } else {
        (Adding::Shared, N_UNIT)
    }
}

/// Multiplies contiguous activations with packed rows.
pub(super) fn launch(x: CubeTensor, blocks: CubeTensor, layout: Layout) -> CubeTensor {
    let (adding, n_unit) = adding(&x.client);
    launch_adding(x, blocks, layout, adding, n_unit)
}

/// [`launch`] in a form of one's own.
pub(super) fn launch_adding(
    x: CubeTensor,
    blocks: CubeTensor,
    layout: Layout,
    adding: Adding,
    n_unit: usize,
) -> CubeTensor {
    let [m, cols] = x.shape().dims();
    assert_eq!(cols, layout.cols, "activations of another width");
    let out = empty_like(&x, &[m, layout.rows]);
    if m == 0 || layout.rows == 0 {
        return out;
    }
    // As many features as leave the sums in registers.
    let n_row = if m <= 2 { 4 } else { 2 };
    packed_linear::launch(
        &x.client.clone(),
        cubes(layout.rows.div_ceil(N_LINE * n_row), 1),
        CubeDim::new_2d(n_unit as u32, N_LINE as u32),
        x.into_tensor_arg(),
        blocks.into_tensor_arg(),
        out.clone().into_tensor_arg(),
        layout.rows as u32,
        cols as u32,
        arrange::first_apart(layout) as u32,
        Form { m, n_row, n_unit, adding },
        Kind::of(layout),
    );
    out
}
