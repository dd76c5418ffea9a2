//! The operations that Eosin adds to the tensor library, as one extension of its backends.
//!
//! Blocks travel as an integer tensor: bytes on the processor, 32-bit words on GPUs, made so by
//! `PackedMatrix`. Each backend has its file, [`crate::flex`] and [`crate::cube`]; what they must agree on is
//! tested in `packed`. Weights are constants: only the activations of a linear layer have a gradient, and
//! it is computed here, on top of unpacking, for all backends at once. Operation fusion is off in this build;
//! where it is switched on, the list below gets `Fusion` and each operation its output's shape.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Slice, TensorMetadata, backend_extension};
use eosin_weights::GgmlType;

/// How the blocks of a tensor are to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    /// The type of the blocks.
    pub(crate) kind: GgmlType,
    /// Rows, each whole blocks.
    pub(crate) rows: usize,
    /// Elements of a row.
    pub(crate) cols: usize,
    /// How products are computed.
    pub(crate) arithmetic: Arithmetic,
}

/// How products with packed weights are computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Arithmetic {
    /// Activations are 32-bit floats, as training needs them.
    #[default]
    Exact,
    /// On the processor, activations are rounded to 8 bits in blocks of 32, and bytes are multiplied: several times as
    /// fast, and as exact as llama.cpp. Weights of 16 or 32 bits are rounded, too, where more than a few rows of
    /// activations make that pay. Elsewhere, and with gradients: as the other.
    Rounded,
}

impl Layout {
    /// A layout with exact products.
    pub(crate) fn new(kind: GgmlType, [rows, cols]: [usize; 2]) -> Self {
        Self { kind, rows, cols, arithmetic: Arithmetic::Exact }
    }

    /// Bytes of one row.
    pub(crate) fn row_bytes(self) -> usize {
        self.cols / self.kind.block_len() * self.kind.block_bytes()
    }
}

/// Some of the rows of a packed matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RowRange {
    /// The first of them.
    pub(crate) start: usize,
    /// How many.
    pub(crate) count: usize,
}

/// Operations on packed blocks.
#[backend_extension(Autodiff, Flex, Cube: cfg(any(feature = "wgpu", feature = "cuda")))]
pub(crate) trait PackedBackend: Backend {
    /// `x · Wᵀ`.
    ///
    /// # Shapes
    /// - `x`: `[m, cols]`, 32-bit floats
    /// - returns: `[m, rows]`
    fn packed_linear(x: FloatTensor<Self>, blocks: IntTensor<Self>, layout: Layout) -> FloatTensor<Self>;

    /// Some rows as floats.
    ///
    /// # Shapes
    /// - returns: `[range.count, cols]`
    fn packed_unpack(blocks: IntTensor<Self>, layout: Layout, range: RowRange) -> FloatTensor<Self>;

    /// The rows with the given numbers as floats.
    ///
    /// # Shapes
    /// - `ids`: `[m]`
    /// - returns: `[m, cols]`
    fn packed_gather(blocks: IntTensor<Self>, ids: IntTensor<Self>, layout: Layout) -> FloatTensor<Self>;
}

/// Floats unpacked at a time on the way back: 16 MiB.
const N_BACKWARD: usize = 1 << 22;

/// The gradient of `x · Wᵀ` with respect to `x`: `dy · W`, unpacking some rows of `W` at a time.
fn linear_backward<B: PackedBackend>(
    grad: &FloatTensor<B>,
    blocks: &IntTensor<B>,
    layout: Layout,
) -> FloatTensor<B> {
    let m = grad.shape()[0];
    let n_row = (N_BACKWARD / layout.cols.max(1)).clamp(1, layout.rows.max(1));
    let mut total: Option<FloatTensor<B>> = None;
    for start in (0..layout.rows).step_by(n_row) {
        let count = n_row.min(layout.rows - start);
        let weights = B::packed_unpack(blocks.clone(), layout, RowRange { start, count });
        let columns = [Slice::from(0..m as isize), Slice::from(start as isize..(start + count) as isize)];
        let part = B::float_matmul(B::float_slice(grad.clone(), &columns), weights);
        total = Some(match total {
            Some(total) => B::float_add(total, part),
            None => part,
        });
    }
    total.expect("a packed matrix has rows")
}

impl<B: PackedBackend, C: CheckpointStrategy> PackedBackend for Autodiff<B, C> {
    fn packed_linear(x: FloatTensor<Self>, blocks: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct PackedLinear;

        impl<B: PackedBackend> Backward<B, 1> for PackedLinear {
            type State = (IntTensor<B>, Layout);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (blocks, layout) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                    linear_backward::<B>(&grad, &blocks, layout)
                });
            }
        }

        let layout = Layout { arithmetic: Arithmetic::Exact, ..layout };
        let (x, node) = x.into_parts();
        match PackedLinear.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((blocks.clone(), layout), B::packed_linear(x, blocks, layout))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::packed_linear(x, blocks, layout)),
        }
    }

    fn packed_unpack(blocks: IntTensor<Self>, layout: Layout, range: RowRange) -> FloatTensor<Self> {
        <Self as burn::backend::AutodiffBackend>::from_inner(B::packed_unpack(blocks, layout, range))
    }

    fn packed_gather(blocks: IntTensor<Self>, ids: IntTensor<Self>, layout: Layout) -> FloatTensor<Self> {
        <Self as burn::backend::AutodiffBackend>::from_inner(B::packed_gather(blocks, ids, layout))
    }
}
