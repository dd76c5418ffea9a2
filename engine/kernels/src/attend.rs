//! Attention of a few new tokens per sequence over a cache, on the processor.
//!
//! Generation reads all keys and values for a single query per head, or for some where proposed tokens are checked;
//! each query is summed by itself, so that tokens checked together come out as they would one by one, bit for bit. As matrix products these are thousands of
//! small ones, each of which first rearranges its keys; here threads share out sequences and heads, and rows are
//! read where the cache keeps them. Other devices have no such operation: the model takes the general path
//! there. Held true by the tests below (every instruction set against the definition).

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::dot::{self, HeadRows};
use crate::path::CpuPath;

/// Products below which a head is not worth handing to another thread.
const N_PRODUCT: usize = 1 << 14;

/// Most queries of a sequence.
const N_QUERY: usize = 8;

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

/// softmax(q · kᵀ / √d) · v of the last few tokens of each sequence, each of which sees the keys from its sequence's
/// first to its own; `None` where the device has no operation for it or the tensors are not as it wants them.
///
/// # Shapes
/// - `query`: `[b, h, t, d]`, 32-bit floats, t ≤ 8
/// - `key`, `value`: `[b, h_kv, s, d]`, floats of 32 or 16 bits whose rows lie one after another, as a cache keeps them
/// - `firsts`: `b` numbers up to `s − t`, or none where all keys are seen
/// - returns: `[b, h, t, d]`
pub fn decode_attention(
    query: &Tensor<4>,
    key: &Tensor<4>,
    value: &Tensor<4>,
    firsts: &[usize],
) -> Option<Tensor<4>> {
    let ([b, h, n_query, d], [b_key, h_kv, n_key, d_key]) = (query.dims(), key.dims());
    let is_plain = |tensor: &Tensor<4>, halves: bool| {
        let dtype = tensor.dtype();
        !tensor.is_autodiff() && (dtype == DType::F32 || (halves && dtype == DType::F16))
    };
    let sound = (1..=N_QUERY).contains(&n_query)
        && n_query <= n_key
        && d.is_multiple_of(16)
        && d_key == d
        && key.dims() == value.dims()
        && b_key == b
        && h.is_multiple_of(h_kv)
        && (firsts.is_empty() || firsts.len() == b)
        && firsts.iter().all(|first| *first + n_query <= n_key)
        && query.device() == Device::flex()
        && key.dtype() == value.dtype()
        && is_plain(query, false)
        && [key, value].into_iter().all(|tensor| is_plain(tensor, true));
    if !sound {
        return None;
    }
    let [query, key, value] = [query, key, value].map(|tensor| tensor.clone().into_dispatch());
    Some(Tensor::from_dispatch(Dispatch::decode_attention(query, key, value, firsts.to_vec())))
}

/// The numbers of one head of one sequence, where the tensor's rows lie one after another.
struct Heads<'a> {
    bytes: &'a [u8],
    size: usize,
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
            bytes: tensor.bytes(),
            size: tensor.dtype().size(),
            start: layout.start_offset(),
            strides: [strides[0], strides[1]],
            d,
        })
    }

    fn rows(&self, sample: usize, head: usize, rows: std::ops::Range<usize>) -> HeadRows<'a> {
        let start = self.start + sample * self.strides[0] + head * self.strides[1];
        let bytes =
            &self.bytes[(start + rows.start * self.d) * self.size..(start + rows.end * self.d) * self.size];
        if self.size == 4 {
            HeadRows::Floats(bytemuck::cast_slice(bytes))
        } else {
            HeadRows::Halves(bytemuck::cast_slice(bytes))
        }
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
        let [b, h, t, d] = [query_shape[0], query_shape[1], query_shape[2], query_shape[3]];
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
        let mut out = vec![0.0; b * h * t * d];
        let n_number = t * d;
        let at_least = N_PRODUCT.div_ceil(2 * n_number * n_key);
        out.par_chunks_mut(n_number)
            .zip(query.par_chunks(n_number))
            .with_min_len(at_least)
            .enumerate()
            .for_each(|(idx, (out, query))| {
                let (sample, head) = (idx / h, idx % h / (h / h_kv));
                let first = firsts.get(sample).copied().unwrap_or(0);
                for (token, (out, query)) in out.chunks_exact_mut(d).zip(query.chunks_exact(d)).enumerate() {
                    let rows = first..n_key + 1 + token - t;
                    let (keys, values) =
                        (keys.rows(sample, head, rows.clone()), values.rows(sample, head, rows));
                    dot::attend_head(CpuPath::best(), d, query, keys, values, out);
                }
            });
        FlexTensor::from_data(TensorData::new(out, [b, h, t, d]))
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
        let check = |[b, h, h_kv, t, n_key, d]: [usize; 6], firsts: &[usize], dtype: DType| {
            let query = random([b, h, t, d]);
            // A cache with room behind its rows.
            let [key, value] =
                [(); 2].map(|()| random([b, h_kv, n_key + 5, d]).cast(dtype).narrow(2, 0, n_key));
            let (q, k, v) =
                (read(&query), read(&key.clone().cast(DType::F32)), read(&value.clone().cast(DType::F32)));
            let mut expected = Vec::new();
            for row in 0..b * h * t {
                let (head, token) = (row / t, row % t);
                let kv = head / (h / h_kv) * n_key * d;
                let seen = firsts.get(head / h).copied().unwrap_or(0)..n_key + 1 + token - t;
                let score = |key: usize| -> f64 {
                    let products = (0..d).map(|i| f64::from(q[row * d + i]) * f64::from(k[kv + key * d + i]));
                    products.sum::<f64>() / (d as f64).sqrt()
                };
                let weights: Vec<f64> = seen.clone().map(|key| score(key).exp()).collect();
                let sum: f64 = weights.iter().sum();
                expected.extend((0..d).map(|i| {
                    let value = |(key, weight): (usize, &f64)| weight * f64::from(v[kv + key * d + i]);
                    seen.clone().zip(&weights).map(value).sum::<f64>() / sum
                }));
            }
            let found = read(&decode_attention(&query, &key, &value, firsts).unwrap());
            let worst = |found: &[f32]| {
                found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
            };
            assert!(worst(&found) < 1e-5, "{b} {h} {h_kv} {t} {n_key} {d}: {}", worst(&found));
            // Together as alone.
            for token in 0..t {
                let n_seen = n_key + 1 + token - t;
                let [key, value] = [&key, &value].map(|rows| rows.clone().narrow(2, 0, n_seen));
                let own = query.clone().narrow(2, token, 1);
                let alone = read(&decode_attention(&own, &key, &value, firsts).unwrap());
                for (head, alone) in alone.chunks(d).enumerate() {
                    assert_eq!(alone, &found[(head * t + token) * d..][..d]);
                }
            }
            for path in CpuPath::available() {
                let mut out = vec![0.0; d];
                let first = firsts.first().copied().unwrap_or(0);
                let rows = first * d..(n_key + 1 - t) * d;
                let [keys, values] = [&k, &v].map(|values| HeadRows::Floats(&values[rows.clone()]));
                dot::attend_head(path, d, &q[..d], keys, values, &mut out);
                assert!(worst(&out) < 1e-5, "{path:?}: {}", worst(&out));
                let halves =
                    |values: &[f32]| values.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
                let [keys, values]: [Vec<u16>; 2] = [&k, &v].map(|values| halves(&values[rows.clone()]));
                let mut from_halves = vec![0.0; d];
                let (keys, values) = (HeadRows::Halves(&keys), HeadRows::Halves(&values));
                dot::attend_head(path, d, &q[..d], keys, values, &mut from_halves);
                let close = |(a, b): (&f32, &f32)| (a - b).abs() < 2e-3;
                assert!(out.iter().zip(&from_halves).all(close), "{path:?}: {out:?} {from_halves:?}");
            }
        };
        for dtype in [DType::F32, DType::F16] {
            check([1, 1, 1, 1, 1, 16], &[], dtype);
            check([3, 6, 2, 1, 37, 32], &[], dtype);
            check([3, 6, 2, 1, 37, 32], &[0, 36, 5], dtype);
            check([2, 4, 4, 1, 300, 80], &[17, 0], dtype);
            check([1, 7, 1, 1, 65, 128], &[], dtype);
            check([2, 4, 2, 5, 65, 128], &[], dtype);
            check([2, 4, 2, 8, 20, 16], &[12, 3], dtype);
        }
    }

    #[test]
    fn what_it_cannot_do_is_left_to_others() {
        let device = Device::flex();
        let zeros = |shape: [usize; 4], device: &Device| Tensor::<4>::zeros(shape, device);
        let none = |query: [usize; 4], key: [usize; 4], firsts: &[usize], device: &Device| {
            let key = zeros(key, device);
            assert!(decode_attention(&zeros(query, device), &key, &key.clone(), firsts).is_none());
        };
        none([1, 2, 9, 16], [1, 1, 12, 16], &[], &device);
        none([1, 2, 1, 20], [1, 1, 4, 20], &[], &device);
        none([1, 2, 1, 16], [1, 1, 4, 16], &[4], &device);
        none([1, 2, 1, 16], [1, 1, 4, 16], &[], &device.clone().autodiff());
    }
}
