//! A weight matrix that stays in the blocks it was stored in.
//!
//! A 3B model in four bits is 2 GB; unpacked to 32-bit floats it is 12. So the blocks are what is kept: on the
//! processor the very pages of the mapped file, on a GPU its words, cut into several tensors where one would
//! be larger than the device binds at once. What each operation means is the same everywhere, and the tests at
//! the end hold every backend against unpacking and multiplying.

use burn::backend::{Dispatch, DispatchDevice, Flex};
use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{AllocationProperty, DType, Device, Int, Tensor, TensorData};
use bytes::Bytes;
use eosin_weights::GgmlType;

use crate::ops::{Arithmetic, Layout, PackedBackend as _, RowRange};
use crate::rounded;

/// A matrix of `rows` output features by `cols` input features, packed row by row.
#[derive(Clone)]
pub struct PackedMatrix {
    layout: Layout,
    parts: Vec<Part>,
    /// Without autodiff: the weights are constants.
    device: Device,
}

const ON_PROCESSOR: &str = "a tensor of the processor's device is one of its backend";

/// Consecutive rows in one tensor of the device.
#[derive(Clone)]
struct Part {
    layout: Layout,
    blocks: Tensor<1, Int>,
}

impl PackedMatrix {
    /// Takes the packed rows, on the processor without copying them.
    ///
    /// # Panics
    /// Where the bytes are not exactly `rows` rows of `cols` elements in this type: readers have checked it.
    #[expect(clippy::needless_pass_by_value, reason = "the processor keeps the bytes, GPUs copy them")]
    pub fn new(kind: GgmlType, [rows, cols]: [usize; 2], bytes: Bytes, device: &Device) -> Self {
        let n_byte = kind.row_bytes(cols).and_then(|row_bytes| row_bytes.checked_mul(rows));
        assert_eq!(n_byte, Some(bytes.len()), "{kind}: {rows} × {cols} does not take these bytes");
        let layout = Layout::new(kind, [rows, cols]);
        let device = device.clone().without_autodiff();
        let parts = parts(layout, &bytes, &device, max_part_bytes(&device));
        Self { layout, parts, device }
    }

    /// The same matrix, whose products are computed so from now on.
    #[must_use]
    pub fn with_arithmetic(mut self, arithmetic: Arithmetic) -> Self {
        self.layout.arithmetic = arithmetic;
        for part in &mut self.parts {
            part.layout.arithmetic = arithmetic;
        }
        self
    }

    /// How products are computed.
    pub fn arithmetic(&self) -> Arithmetic {
        self.layout.arithmetic
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.layout.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.layout.cols
    }

    /// How its elements are stored.
    pub fn kind(&self) -> GgmlType {
        self.layout.kind
    }

    /// Where its blocks lie, without autodiff.
    pub fn device(&self) -> Device {
        self.device.clone()
    }

    /// `x · Wᵀ`, differentiable in `x`; the weights are constants.
    ///
    /// Activations are rounded where [`Self::with_arithmetic`] asked for it; otherwise every product is of two 32-bit
    /// floats.
    ///
    /// # Shapes
    /// - `x`: `[m, cols]`
    /// - returns: `[m, rows]`
    ///
    /// # Panics
    /// Where `x` has another width.
    pub fn linear(&self, x: Tensor<2>) -> Tensor<2> {
        let [_, width] = x.dims();
        assert_eq!(width, self.cols(), "activations of another width");
        let x = if x.dtype() == DType::F32 { x } else { x.cast(DType::F32) };
        let product = |part: &Part, x: Tensor<2>| {
            let blocks = part.blocks.clone().into_dispatch();
            Tensor::from_dispatch(Dispatch::packed_linear(x.into_dispatch(), blocks, part.layout))
        };
        match self.parts.as_slice() {
            [part] => product(part, x),
            parts => Tensor::cat(parts.iter().map(|part| product(part, x.clone())).collect(), 1),
        }
    }

    /// [`Self::linear`] by several matrices at once: activations are rounded once, and threads meet once.
    ///
    /// # Panics
    /// Where `x` has another width than one of them.
    pub fn linear_all<const N: usize>(matrices: [&Self; N], x: Tensor<2>) -> [Tensor<2>; N] {
        let together = |matrix: &&Self| {
            matrix.layout.arithmetic == Arithmetic::Rounded
                && rounded::serves(matrix.kind(), x.dims()[0])
                && matrix.cols() == x.dims()[1]
        };
        if x.dtype() != DType::F32 || x.device() != Device::flex() || !matrices.iter().all(together) {
            return matrices.map(|matrix| matrix.linear(x.clone()));
        }
        let primitive = |tensor: &Part| tensor.blocks.clone().try_into_primitive::<Flex>();
        let blocks = matrices.map(|matrix| (primitive(&matrix.parts[0]).expect(ON_PROCESSOR), matrix.layout));
        let x = x.try_into_primitive::<Flex>().expect(ON_PROCESSOR);
        crate::flex::linear_all(&x, &blocks).map(Tensor::from_primitive::<Flex>)
    }

    /// The rows with the given numbers.
    ///
    /// # Shapes
    /// - `ids`: `[m]`, each below `rows`
    /// - returns: `[m, cols]`
    ///
    /// # Panics
    /// On the processor where a number is out of range; GPUs return a row without meaning.
    pub fn gather(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        let rows = |part: &Part, ids: Tensor<1, Int>| -> Tensor<2> {
            let blocks = part.blocks.clone().into_dispatch();
            Tensor::from_dispatch(Dispatch::packed_gather(blocks, ids.into_dispatch(), part.layout))
        };
        if let [part] = self.parts.as_slice() {
            return rows(part, ids);
        }
        // Every part answers for all ids, clamped into it; those of other parts are masked away.
        let mut first = 0;
        let mut total: Option<Tensor<2>> = None;
        for part in &self.parts {
            let last = first + part.layout.rows as i64 - 1;
            let inside = ids.clone().greater_equal_elem(first).bool_and(ids.clone().lower_equal_elem(last));
            let local = ids.clone().clamp(first, last).sub_scalar(first);
            let found = rows(part, local).mask_fill(inside.bool_not().unsqueeze_dim::<2>(1), 0.0);
            total = Some(match total {
                Some(total) => total + found,
                None => found,
            });
            first = last + 1;
        }
        total.unwrap_or_else(|| Tensor::zeros([ids.dims()[0], self.cols()], &self.device))
    }

    /// The whole matrix as 32-bit floats.
    ///
    /// # Shapes
    /// - returns: `[rows, cols]`
    pub fn dequantize(&self) -> Tensor<2> {
        let parts = self.parts.iter().map(|part| {
            let range = RowRange { start: 0, count: part.layout.rows };
            let blocks = part.blocks.clone().into_dispatch();
            Tensor::from_dispatch(Dispatch::packed_unpack(blocks, part.layout, range))
        });
        let mut parts: Vec<Tensor<2>> = parts.collect();
        if parts.len() == 1 { parts.swap_remove(0) } else { Tensor::cat(parts, 0) }
    }

    /// The packed rows, read back from the device.
    fn bytes(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.layout.rows * self.layout.row_bytes());
        for part in &self.parts {
            let data = part.blocks.clone().into_data();
            let bytes = data.as_bytes();
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            if !is_processor(&self.device) {
                all.extend(crate::cube::rows(bytes, part.layout));
                continue;
            }
            all.extend_from_slice(&bytes[..part.layout.rows * part.layout.row_bytes()]);
        }
        all.into()
    }
}

/// What the largest tensor may take on a device: GPUs bind no more at once, and address it with 32 bits.
fn max_part_bytes(device: &Device) -> usize {
    match device.as_dispatch() {
        #[cfg(any(feature = "wgpu", feature = "cuda"))]
        DispatchDevice::Cube(device) => crate::cube::max_tensor_bytes(device).min(1 << 30),
        _ => usize::MAX,
    }
}

fn is_processor(device: &Device) -> bool {
    matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// The rows in as few tensors as the device allows.
fn parts(layout: Layout, bytes: &Bytes, device: &Device, max_bytes: usize) -> Vec<Part> {
    let row_bytes = layout.row_bytes();
    let n_row = (max_bytes / row_bytes.max(1)).clamp(1, layout.rows.max(1));
    let starts = (0..layout.rows.max(1)).step_by(n_row);
    let part = |start: usize| {
        let layout = Layout { rows: n_row.min(layout.rows - start), ..layout };
        let rows = bytes.slice(start * row_bytes..(start + layout.rows) * row_bytes);
        Part { layout, blocks: blocks(rows, layout.kind, device) }
    };
    starts.map(part).collect()
}

/// Bytes on the processor, in place; elsewhere 32-bit words, laid out for the device's kernels.
fn blocks(rows: Bytes, kind: GgmlType, device: &Device) -> Tensor<1, Int> {
    if is_processor(device) {
        let n = rows.len();
        let bytes = burn::tensor::Bytes::from_shared(rows, AllocationProperty::File);
        return Tensor::from_data(TensorData::from_bytes(bytes, [n], DType::U8), (device, DType::U8));
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    {
        let words = crate::cube::words(&rows, kind);
        let n = words.len();
        Tensor::from_data(TensorData::new(words, [n]), (device, DType::U32))
    }
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    unreachable!("{kind}: this build has no device but the processor")
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix {{{} [{}, {}]}}", self.kind(), self.rows(), self.cols())
    }
}

/// A constant of the module it is in: visited by nothing, trained by nothing, moved with its module.
impl Module for PackedMatrix {
    fn visit<Visitor: ModuleVisitor>(&self, _visitor: &mut Visitor) {}

    fn map<Mapper: ModuleMapper>(self, _mapper: &mut Mapper) -> Self {
        self
    }

    fn collect_devices(&self, mut devices: Devices) -> Devices {
        if !devices.contains(&self.device) {
            devices.push(self.device.clone());
        }
        devices
    }

    fn to_device(self, device: &Device) -> Self {
        if self.device == *device {
            return self;
        }
        let moved = Self::new(self.kind(), [self.rows(), self.cols()], self.bytes(), device);
        moved.with_arithmetic(self.layout.arithmetic)
    }

    fn fork(self, device: &Device) -> Self {
        self.to_device(device)
    }

    fn materialize(self) -> Self {
        self
    }

    fn valid(&self) -> Self {
        self.clone()
    }

    fn train(self) -> Self {
        self
    }
}

impl ModuleDisplayDefault for PackedMatrix {
    fn content(&self, content: Content) -> Option<Content> {
        content.add_formatted(&format!("{self:?}")).optional()
    }
}

impl ModuleDisplay for PackedMatrix {}

#[cfg(test)]
mod tests;
