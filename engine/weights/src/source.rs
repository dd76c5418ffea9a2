//! What every container offers: tensors by name, as the bytes they are stored in.

use bytes::Bytes;
use rayon::prelude::*;

use crate::{GgmlType, WeightError, block};

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
        // 256 blocks at a time: long enough to pay for a task, short enough to spread one matrix.
        let (n_element, n_byte) = (256 * self.kind.block_len(), 256 * self.kind.block_bytes());
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
