//! A tensor of a checkpoint: a strided view into a storage, checked to stay inside it.

use bytes::Bytes;

use super::pickle::{Element, Pickle, Tensor};
use crate::cursor::{Refusal, malformed};
use crate::error::quoted;
use crate::{GgmlType, RawTensor};

/// A checked view.
#[derive(Clone, Debug)]
pub(super) struct View {
    element: Element,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// Whether elements follow each other without gaps in the order of the shape.
    is_contiguous: bool,
    n_element: usize,
    /// The storage from the view's first element on.
    bytes: Bytes,
}

impl View {
    /// Finds a tensor's storage and checks that every element lies in it.
    pub(super) fn resolve(
        name: &str,
        tensor: &Tensor,
        pickle: &Pickle<'_>,
        member: impl FnOnce(&str) -> Result<Option<Bytes>, Refusal>,
    ) -> Result<Self, Refusal> {
        let shown = quoted(name);
        let storage = pickle.storage(tensor.storage);
        let key = pickle.key(storage);
        let bytes = member(key)?
            .ok_or_else(|| malformed!("tensor `{shown}` is in member `{}`, which is missing", quoted(key)))?;
        let element = storage.element;
        if storage.n_element.checked_mul(element.n_byte()) != Some(bytes.len()) {
            let (n_element, n_byte) = (storage.n_element, bytes.len());
            return Err(malformed!("tensor `{shown}` claims {n_element} elements in {n_byte} bytes"));
        }
        let leaves = || malformed!("tensor `{shown}` leaves its storage");
        let Tensor { offset, shape, strides, .. } = tensor.clone();
        let n_element =
            shape.iter().try_fold(1_usize, |n, extent| n.checked_mul(*extent)).ok_or_else(leaves)?;
        // A view of no elements may point anywhere; any other ends before its storage does.
        let mut end = offset;
        if n_element > 0 {
            for (extent, stride) in shape.iter().zip(&strides) {
                let span = (extent - 1).checked_mul(*stride).and_then(|span| span.checked_add(end));
                end = span.ok_or_else(leaves)?;
            }
            end = end.checked_add(1).ok_or_else(leaves)?;
        }
        // Repeating elements (stride 0) would make memory out of nothing.
        if end > storage.n_element || n_element > storage.n_element {
            return Err(leaves());
        }
        let is_contiguous = n_element == 0 || is_contiguous(&shape, &strides);
        Ok(Self {
            element,
            shape,
            strides,
            is_contiguous,
            n_element,
            bytes: bytes.slice(offset * element.n_byte()..),
        })
    }

    /// Whether these are weights rather than integers.
    pub(super) fn is_float(&self) -> bool {
        !matches!(self.element, Element::Other(_))
    }

    /// The elements in the order of the shape: in place where they lie so, else gathered.
    pub(super) fn read(&self, name: &str) -> Result<RawTensor, Refusal> {
        let n_byte = self.element.n_byte();
        let bytes = if self.is_contiguous {
            self.bytes.slice(..self.n_element * n_byte)
        } else {
            self.gather(n_byte)
        };
        let (kind, bytes) = match self.element {
            Element::F32 => (GgmlType::F32, bytes),
            Element::F16 => (GgmlType::F16, bytes),
            Element::Bf16 => (GgmlType::Bf16, bytes),
            Element::F64 => {
                let narrow = |x: &[u8; 8]| (f64::from_le_bytes(*x) as f32).to_le_bytes();
                (GgmlType::F32, bytes.as_chunks().0.iter().flat_map(narrow).collect())
            }
            Element::Other(n_byte) => {
                let what = format!("tensor `{}` of integers of {n_byte} bytes", quoted(name));
                return Err(Refusal::Unsupported(what));
            }
        };
        Ok(RawTensor { kind, shape: self.shape.clone(), bytes })
    }

    fn gather(&self, n_byte: usize) -> Bytes {
        let mut out = Vec::with_capacity(self.n_element * n_byte);
        let mut place = vec![0; self.shape.len()];
        for _ in 0..self.n_element {
            let at: usize = place.iter().zip(&self.strides).map(|(place, stride)| place * stride).sum();
            out.extend_from_slice(&self.bytes[at * n_byte..][..n_byte]);
            // Count up like a clock, innermost axis first.
            for (place, extent) in place.iter_mut().zip(&self.shape).rev() {
                *place += 1;
                if *place < *extent {
                    break;
                }
                *place = 0;
            }
        }
        Bytes::from(out)
    }
}

/// For a view of at least one element, whose extents have a product that fits.
fn is_contiguous(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    for (extent, stride) in shape.iter().zip(strides).rev() {
        // The stride of an axis of one is never used.
        if *extent > 1 && *stride != expected {
            return false;
        }
        expected *= extent.max(&1);
    }
    true
}
