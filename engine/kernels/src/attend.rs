//! Attention of one new token per sequence over a cache, on the processor.
//!
//! Generation reads all keys and values for a single query per head. As matrix products these are thousands of
//! small ones, each of which first rearranges its keys; here threads share out sequences and heads, and rows are
//! read where the cache keeps them. Other devices have no such operation: the model takes the general path
//! there. Held true by the tests below (every instruction set against the definition).

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::dot;
use crate::path::CpuPath;

/// Products below which a head is not worth handing to another thread.
const N_PRODUCT: usize = 1 << 14;

/// The operation, where there is one.
#[backend_extension(Flex)]
pub(crate) trait DecodeBackend: Backend {
    /// See [`decode_attention`].
    fn decode_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        firsts: Vec<usize>,
    ) -> FloatTensor<Self>;
}

/// softmax(q · kᵀ / √d) · v of one query per head and sequence, which sees the keys from its sequence's first on;
/// `None` where the device has no operation for it or the tensors are not as it wants them.
///
/// # Shapes
/// - `query`: `[b, h, 1, d]`
/// - `key`, `value`: `[b, h_kv, s, d]`, 32-bit floats whose rows lie one after another, as a cache keeps them
/// - `firsts`: `b` numbers below `s`, or none where all keys are seen
/// - returns: `[b, h, 1, d]`
pub fn decode_attention(
    query: &Tensor<4>,
    key: &Tensor<4>,
    value: &Tensor<4>,
    firsts: &[usize],
) -> Option<Tensor<4>> {
    let ([b, h, n_query, d], [b_key, h_kv, n_key, d_key]) = (query.dims(), key.dims());
    let sound = n_query == 1
        && d.is_multiple_of(16)
        && d_key == d
        && key.dims() == value.dims()
        && b_key == b
        && h.is_multiple_of(h_kv)
        && (firsts.is_empty() || firsts.len() == b)
        && firsts.iter().all(|first| *first < n_key)
        && n_key > 0
        && query.device() == Device::flex()
        && [query, key, value].iter().all(|tensor| tensor.dtype() == DType::F32 && !tensor.is_autodiff());
    if !sound {
        return None;
    }
    let [query, key, value] = [query, key, value].map(|tensor| tensor.clone().into_dispatch());
    Some(Tensor::from_dispatch(Dispatch::decode_attention(query, key, value, firsts.to_vec())))
}

/// The numbers of one head of one sequence, where the tensor's rows lie one after another.
struct Heads<'a> {
    values: &'a [f32],
    start: usize,
    strides: [usize; 2],
    d: usize,
}

impl<'a> Heads<'a> {
    /// `None` where rows do not lie one after another.
    fn new(tensor: &'a FlexTensor) -> Option<Self> {
        let layout = tensor.layout();
        let d = layout.shape()[3];
        let strides: Vec<usize> =
            layout.strides().iter().map(|stride| usize::try_from(*stride)).collect::<Result<_, _>>().ok()?;
        let in_order = strides[3] == 1 && strides[2] == d;
        in_order.then(|| Self {
            values: tensor.storage(),
            start: layout.start_offset(),
            strides: [strides[0], strides[1]],
            d,
        })
    }

    fn rows(&self, sample: usize, head: usize, rows: std::ops::Range<usize>) -> &'a [f32] {
        let start = self.start + sample * self.strides[0] + head * self.strides[1];
        &self.values[start + rows.start * self.d..start + rows.end * self.d]
    }
}

impl DecodeBackend for Flex {
    fn decode_attention(
        query: FlexTensor,
        key: FlexTensor,
        value: FlexTensor,
        firsts: Vec<usize>,
    ) -> FlexTensor {
        let (query_shape, key_shape) = (query.shape(), key.shape());
        let [b, h, d] = [query_shape[0], query_shape[1], query_shape[3]];
        let [h_kv, n_key] = [key_shape[1], key_shape[2]];
        let query = query.to_contiguous();
        let query: &[f32] = query.as_slice().expect("a contiguous tensor of 32-bit floats");
        let in_order = |tensor: FlexTensor| {
            if Heads::new(&tensor).is_some() { tensor } else { tensor.to_contiguous() }
        };
        let (key, value) = (in_order(key), in_order(value));
        let (Some(keys), Some(values)) = (Heads::new(&key), Heads::new(&value)) else {
            unreachable!("rows of a contiguous tensor lie one after another")
        };
        let mut out = vec![0.0; b * h * d];
        let n_number = h / h_kv * d;
        let at_least = N_PRODUCT.div_ceil(2 * n_number * n_key);
        out.par_chunks_mut(n_number)
            .zip(query.par_chunks(n_number))
            .with_min_len(at_least)
            .enumerate()
            .for_each(|(idx, (out, query))| {
                let (sample, head) = (idx / h_kv, idx % h_kv);
                let rows = firsts.get(sample).copied().unwrap_or(0)..n_key;
                let (keys, values) = (keys.rows(sample, head, rows.clone()), values.rows(sample, head, rows));
                dot::attend_head(CpuPath::best(), d, query, keys, values, out);
            });
        FlexTensor::from_data(TensorData::new(out, [b, h, 1, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn every_path_is_the_definition() {
        let device = Device::flex();
        device.seed(3);
        let random = |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
        let read = |tensor: &Tensor<4>| tensor.to_data().try_into_vec::<f32>().unwrap();
        let check = |[b, h, h_kv, n_key, d]: [usize; 5], firsts: &[usize]| {
            let query = random([b, h, 1, d]);
            // A cache with room behind its rows.
            let [key, value] = [(); 2].map(|()| random([b, h_kv, n_key + 5, d]).narrow(2, 0, n_key));
            let (q, k, v) = (read(&query), read(&key), read(&value));
            let mut expected = Vec::new();
            for head in 0..b * h {
                let kv = head / (h / h_kv) * n_key * d;
                let first = firsts.get(head / h).copied().unwrap_or(0);
                let score = |row: usize| -> f64 {
                    let products =
                        (0..d).map(|i| f64::from(q[head * d + i]) * f64::from(k[kv + row * d + i]));
                    products.sum::<f64>() / (d as f64).sqrt()
                };
                let weights: Vec<f64> = (first..n_key).map(|row| score(row).exp()).collect();
                let sum: f64 = weights.iter().sum();
                expected.extend((0..d).map(|i| {
                    let value =
                        |(row, weight): (usize, &f64)| weight * f64::from(v[kv + (first + row) * d + i]);
                    weights.iter().enumerate().map(value).sum::<f64>() / sum
                }));
            }
            let found = read(&decode_attention(&query, &key, &value, firsts).unwrap());
            let worst = |found: &[f32]| {
                found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
            };
            assert!(worst(&found) < 1e-5, "{b} {h} {h_kv} {n_key} {d}: {}", worst(&found));
            for path in CpuPath::available() {
                let mut out = vec![0.0; h / h_kv * d];
                let first = firsts.first().copied().unwrap_or(0);
                let rows = first * d..n_key * d;
                dot::attend_head(path, d, &q[..out.len()], &k[rows.clone()], &v[rows], &mut out);
                assert!(worst(&out) < 1e-5, "{path:?}: {}", worst(&out));
            }
        };
        check([1, 1, 1, 1, 16], &[]);
        check([3, 6, 2, 37, 32], &[]);
        check([3, 6, 2, 37, 32], &[0, 36, 5]);
        check([2, 4, 4, 300, 80], &[17, 0]);
        check([1, 7, 1, 65, 128], &[]);
    }

    #[test]
    fn what_it_cannot_do_is_left_to_others() {
        let device = Device::flex();
        let zeros = |shape: [usize; 4], device: &Device| Tensor::<4>::zeros(shape, device);
        let none = |query: [usize; 4], key: [usize; 4], firsts: &[usize], device: &Device| {
            let key = zeros(key, device);
            assert!(decode_attention(&zeros(query, device), &key, &key.clone(), firsts).is_none());
        };
        none([1, 2, 2, 16], [1, 1, 4, 16], &[], &device);
        none([1, 2, 1, 20], [1, 1, 4, 20], &[], &device);
        none([1, 2, 1, 16], [1, 1, 4, 16], &[4], &device);
        none([1, 2, 1, 16], [1, 1, 4, 16], &[], &device.clone().autodiff());
    }
}
