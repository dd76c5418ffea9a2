//! The packed operations on GPUs: wgpu and CUDA share one set of kernels.
//!
//! Blocks lie on the device as 32-bit words and are addressed by byte, since blocks of 34 or 210 bytes align
//! with nothing. Few rows of activations are multiplied block by block without unpacking the matrix; many
//! (a prompt, an image) unpack some rows at a time and use the tensor library's product. What only a real
//! GPU proves is speed: on a software rasteriser these kernels are tested for their values alone.

mod decode;
mod linear;
mod unpack;

use burn::backend::ops::FloatTensorOps as _;
use burn::backend::{Cube, TensorMetadata as _};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::CubeCount;

use crate::ops::{Layout, PackedBackend, RowRange};

/// Rows of activations up to which blocks are multiplied without unpacking the matrix first.
const N_DIRECT: usize = 8;
/// Floats unpacked at a time for more rows: 64 MiB.
const N_UNPACKED: usize = 1 << 24;
/// The least number of cubes along one dimension that every interface grants.
const N_CUBE: usize = 65_535;

impl PackedBackend for Cube {
    fn packed_linear(x: CubeTensor, blocks: CubeTensor, layout: Layout) -> CubeTensor {
        assert_eq!(x.dtype, DType::F32, "packed products take 32-bit floats");
        let m = x.shape()[0];
        if m <= N_DIRECT {
            return linear::launch(into_contiguous(x), blocks, layout);
        }
        let n_row = (N_UNPACKED / layout.cols.max(1)).clamp(1, layout.rows.max(1));
        let mut parts = Vec::new();
        for start in (0..layout.rows).step_by(n_row) {
            let range = RowRange { start, count: n_row.min(layout.rows - start) };
            let weights = Self::packed_unpack(blocks.clone(), layout, range);
            parts.push(Self::float_matmul(x.clone(), Self::float_transpose(weights)));
        }
        if parts.len() == 1 { parts.swap_remove(0) } else { Self::float_cat(parts, 1) }
    }

    fn packed_unpack(blocks: CubeTensor, layout: Layout, range: RowRange) -> CubeTensor {
        unpack::launch_range(blocks, layout, range)
    }

    fn packed_gather(blocks: CubeTensor, ids: CubeTensor, layout: Layout) -> CubeTensor {
        unpack::launch_gather(blocks, into_contiguous(ids), layout)
    }
}

/// The largest number of bytes that one tensor on the device may have.
pub(crate) fn max_tensor_bytes(device: &CubeDevice) -> usize {
    let client = device.client();
    usize::try_from(client.properties().memory.max_page_size).unwrap_or(usize::MAX)
}

/// An uninitialised matrix beside a tensor.
fn empty_like(tensor: &CubeTensor, shape: [usize; 2]) -> CubeTensor {
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), Shape::new(shape), DType::F32)
}

/// Cubes for `n` pieces of work, folded into two dimensions, and `depth` in the third.
fn cubes(n: usize, depth: usize) -> CubeCount {
    let x = n.clamp(1, N_CUBE);
    CubeCount::Static(x as u32, n.div_ceil(x) as u32, depth as u32)
}
