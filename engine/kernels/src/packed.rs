//! A weight matrix that stays in the blocks it was stored in.
//!
//! A 3B model in four bits is 2 GB; unpacked to 32-bit floats it is 12. So the blocks are what is kept, and
//! every operation unpacks what it needs while it needs it.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{Device, Int, Tensor, TensorData};
use bytes::Bytes;
use eosin_weights::GgmlType;

/// A matrix of `rows` output features by `cols` input features, packed row by row.
#[derive(Clone)]
pub struct PackedMatrix {
    kind: GgmlType,
    rows: usize,
    cols: usize,
    blocks: Bytes,
    device: Device,
}

impl PackedMatrix {
    /// Takes the packed rows, on the processor without copying them.
    ///
    /// # Panics
    /// Where the bytes are not exactly `rows` rows of `cols` elements in this type: readers have checked it.
    pub fn new(kind: GgmlType, [rows, cols]: [usize; 2], bytes: Bytes, device: &Device) -> Self {
        let n_byte = kind.row_bytes(cols).and_then(|row_bytes| row_bytes.checked_mul(rows));
        assert_eq!(n_byte, Some(bytes.len()), "{kind}: {rows} × {cols} does not take these bytes");
        Self { kind, rows, cols, blocks: bytes, device: device.clone().without_autodiff() }
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// How its elements are stored.
    pub fn kind(&self) -> GgmlType {
        self.kind
    }

    /// `x · Wᵀ`, differentiable in `x`; the weights are constants.
    ///
    /// # Shapes
    /// - `x`: `[m, cols]`
    /// - returns: `[m, rows]`
    pub fn linear(&self, x: Tensor<2>) -> Tensor<2> {
        x.matmul(self.dequantize().transpose())
    }

    /// The rows with the given numbers.
    ///
    /// # Shapes
    /// - `ids`: `[m]`, each below `rows`
    /// - returns: `[m, cols]`
    pub fn gather(&self, ids: Tensor<1, Int>) -> Tensor<2> {
        self.dequantize().select(0, ids)
    }

    /// The whole matrix as 32-bit floats.
    ///
    /// # Shapes
    /// - returns: `[rows, cols]`
    pub fn dequantize(&self) -> Tensor<2> {
        let mut values = vec![0.0; self.rows * self.cols];
        eosin_weights::dequantize(self.kind, &self.blocks, &mut values);
        Tensor::from_data(TensorData::new(values, [self.rows, self.cols]), &self.device)
    }
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PackedMatrix {{{} [{}, {}]}}", self.kind, self.rows, self.cols)
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
        Self { device: device.clone().without_autodiff(), ..self }
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
