//! The packed operations on GPUs: wgpu and CUDA share one set of kernels.
//!
//! Few rows of activations are multiplied word by word as the blocks are read; many (a prompt, an image) in tiles,
//! whose weights are unpacked into shared memory. No matrix is ever unpacked as a whole for a product. What only a
//! real GPU proves is speed: on a software rasteriser these kernels are tested for their values alone.

mod arrange;
pub(crate) mod attention;
mod decode;
pub(crate) mod fused;
mod linear;
#[cfg(test)]
mod tests;
mod tile;
mod unpack;

use burn::backend::{Cube, TensorMetadata as _};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeDevice;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::CubeCount;

use crate::ops::{Layout, PackedBackend, RowRange};

pub(crate) use arrange::{rows, words};

/// Rows of activations up to which they are multiplied one by one with every word that is read.
const N_DIRECT: usize = 8;
/// The least number of cubes along one dimension that every interface grants.
const N_CUBE: usize = 65_535;

impl PackedBackend for Cube {
    fn packed_linear(x: CubeTensor, blocks: CubeTensor, layout: Layout) -> CubeTensor {
        assert_eq!(x.dtype, DType::F32, "packed products take 32-bit floats");
        let x = into_contiguous(x);
        if x.shape()[0] <= N_DIRECT {
            linear::launch(x, blocks, layout)
        } else {
            tile::launch(x, blocks, layout)
        }
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

/// An uninitialised tensor of floats beside another.
fn empty_like(tensor: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let shape = Shape::from(shape.to_vec());
    empty_device_contiguous_dtype(tensor.client.clone(), tensor.device.clone(), shape, DType::F32)
}

/// Cubes for `n` pieces of work, folded into two dimensions, and `depth` in the third.
fn cubes(n: usize, depth: usize) -> CubeCount {
    let x = n.clamp(1, N_CUBE);
    CubeCount::Static(x as u32, n.div_ceil(x) as u32, depth as u32)
}
