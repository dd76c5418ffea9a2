//! What every container offers: tensors by name, as the bytes they are stored in.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;
use rayon::prelude::*;

use crate::{GgmlType, WeightError, block};

/// Blocks that one core converts at a time: enough to pay for a task, few enough to spread one matrix.
const TASK_BLOCKS: usize = 256;

/// Elements that one core converts from type to type at a time: a multiple of every type's block, so that
/// tasks divide both sides alike.
const TASK_ELEMENTS: usize = TASK_BLOCKS * 256;

/// One tensor as its file stores it.
///
/// The bytes are a slice of the mapped file: nothing is copied until someone computes with them.
#[derive(Clone, Debug)]
pub struct RawTensor {
    /// How elements are stored.
    pub kind: GgmlType,
    /// Extent of each axis, outermost first, as torch prints it.
    pub shape: Vec<usize>,
    /// The elements, row by row.
    pub bytes: Bytes,
}

impl RawTensor {
    /// Puts the parts together if the bytes are exactly as many as shape and type ask for.
    ///
    /// # Errors
    /// [`WeightError::Size`] otherwise; `name` is only for that message.
    pub fn new(name: &str, kind: GgmlType, shape: Vec<usize>, bytes: Bytes) -> Result<Self, WeightError> {
        if n_byte(kind, &shape) == Some(bytes.len()) {
            Ok(Self { kind, shape, bytes })
        } else {
            let (name, n_byte) = (crate::error::quoted(name), bytes.len());
            Err(WeightError::Size { name, shape, kind, n_byte })
        }
    }

    /// Stores floats in a type, on all cores.
    ///
    /// # Errors
    /// [`WeightError::Size`] where the shape does not hold that many elements or its rows are not whole
    /// blocks of the type; `name` is only for that message.
    pub fn from_f32(
        name: &str,
        kind: GgmlType,
        shape: Vec<usize>,
        values: &[f32],
    ) -> Result<Self, WeightError> {
        let n_byte = n_byte(kind, &shape).filter(|_| n_byte(GgmlType::F32, &shape) == Some(4 * values.len()));
        let Some(n_byte) = n_byte else {
            let (name, n_byte) = (crate::error::quoted(name), 4 * values.len());
            return Err(WeightError::Size { name, shape, kind, n_byte });
        };
        let mut out = vec![0; n_byte];
        let (n_element, n_byte) = (TASK_BLOCKS * kind.block_len(), TASK_BLOCKS * kind.block_bytes());
        out.par_chunks_mut(n_byte)
            .zip(values.par_chunks(n_element))
            .for_each(|(out, values)| block::quantize_into(kind, values, out));
        Ok(Self { kind, shape, bytes: Bytes::from(out) })
    }

    /// The same elements in another type, on all cores, without all of them as floats at once.
    ///
    /// # Errors
    /// [`WeightError::Size`] where rows are not whole blocks of that type; `name` is only for that message.
    pub fn to_kind(&self, name: &str, kind: GgmlType) -> Result<Self, WeightError> {
        if self.kind == kind {
            return Ok(self.clone());
        }
        let Some(n_byte) = n_byte(kind, &self.shape) else {
            let (name, shape, n_byte) = (crate::error::quoted(name), self.shape.clone(), self.bytes.len());
            return Err(WeightError::Size { name, shape, kind, n_byte });
        };
        let mut out = vec![0; n_byte];
        let bytes_of = |kind: GgmlType| TASK_ELEMENTS / kind.block_len() * kind.block_bytes();
        out.par_chunks_mut(bytes_of(kind)).zip(self.bytes.par_chunks(bytes_of(self.kind))).for_each_init(
            || vec![0.0; TASK_ELEMENTS],
            |values, (out, bytes)| {
                let values = &mut values[..out.len() / kind.block_bytes() * kind.block_len()];
                block::dequantize(self.kind, bytes, values);
                block::quantize_into(kind, values, out);
            },
        );
        Ok(Self { kind, shape: self.shape.clone(), bytes: Bytes::from(out) })
    }

    /// Number of elements; 1 for a shape without axes.
    pub fn n_element(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements in the innermost axis; 1 for a shape without axes.
    pub fn n_col(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// The elements as 32-bit floats, on all cores.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut out = vec![0.0; self.n_element()];
        let (n_element, n_byte) =
            (TASK_BLOCKS * self.kind.block_len(), TASK_BLOCKS * self.kind.block_bytes());
        out.par_chunks_mut(n_element)
            .zip(self.bytes.par_chunks(n_byte))
            .for_each(|(out, bytes)| block::dequantize(self.kind, bytes, out));
        out
    }
}

/// Bytes of a tensor, where its rows are whole blocks and the number fits.
pub(crate) fn n_byte(kind: GgmlType, shape: &[usize]) -> Option<usize> {
    let (n_col, outer) = shape.split_last().map_or((1, shape), |(last, outer)| (*last, outer));
    outer.iter().try_fold(kind.row_bytes(n_col)?, |n_byte, n| n_byte.checked_mul(*n))
}

/// Tensors by name.
pub trait WeightSource: Send + Sync {
    /// The names of all tensors, in the order of the file.
    fn names(&self) -> Vec<&str>;

    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// One tensor.
    ///
    /// # Errors
    /// [`WeightError::MissingTensor`] where there is none of this name.
    fn tensor(&self, name: &str) -> Result<RawTensor, WeightError>;
}

/// Tensors that a program made, as a source like any file.
#[derive(Clone, Debug, Default)]
pub struct MemoryTensors {
    tensors: Vec<(String, RawTensor)>,
    idx_by_name: HashMap<String, usize>,
}

impl MemoryTensors {
    /// No tensors yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes named 32-bit floats, shapes outermost first.
    ///
    /// # Errors
    /// [`WeightError::Size`] where a shape does not hold its values.
    pub fn from_f32(tensors: Vec<(String, Vec<usize>, Vec<f32>)>) -> Result<Self, WeightError> {
        let mut all = Self::new();
        for (name, shape, values) in tensors {
            // Without a copy: these may be all the weights of a model.
            let bytes = Bytes::from_owner(FloatBytes(values));
            all.insert(&name, RawTensor::new(&name, GgmlType::F32, shape, bytes)?);
        }
        Ok(all)
    }

    /// Adds a tensor, replacing one of the same name.
    pub fn insert(&mut self, name: &str, tensor: RawTensor) {
        if let Some(idx) = self.idx_by_name.get(name) {
            self.tensors[*idx].1 = tensor;
        } else {
            self.idx_by_name.insert(name.to_owned(), self.tensors.len());
            self.tensors.push((name.to_owned(), tensor));
        }
    }
}

/// Floats seen as bytes. Eosin runs on little-endian machines only, as the assertion says.
struct FloatBytes(Vec<f32>);

const _: () =
    assert!(cfg!(target_endian = "little"), "weights are read in place, which needs their byte order");

impl AsRef<[u8]> for FloatBytes {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

impl WeightSource for MemoryTensors {
    fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn contains(&self, name: &str) -> bool {
        self.idx_by_name.contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<RawTensor, WeightError> {
        match self.idx_by_name.get(name) {
            Some(idx) => Ok(self.tensors[*idx].1.clone()),
            None => Err(WeightError::MissingTensor {
                name: name.to_owned(),
                path: Path::new("<memory>").to_owned(),
            }),
        }
    }
}
