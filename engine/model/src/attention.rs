//! Scaled dot-product attention, as every model here needs it.
//!
//! Queries may have more heads than keys and values; the queries of one key head are then stacked, so that
//! keys are never copied. On the processor an operation of our own goes head by head, some rows at a time, and another
//! serves the few new tokens of a step of generation; on GPUs without gradients one operation does both. Elsewhere
//! queries are taken some hundred rows at a time where scores would grow large. So nowhere is a full score matrix of
//! all heads held. All paths compute
//! softmax(q·kᵀ/√d)·v (Vaswani et al. 2017, equation 1). Held true by the tests below.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use eosin_kernels::fused::{self, Sight};
use eosin_kernels::{Seen, decode_attention, has_tiled_attention, tiled_attention};

/// Query rows taken at once on the general path when no gradient is wanted.
const QUERY_ROWS: usize = 256;

/// What is added to forbidden scores. Every query sees itself, so no row is forbidden altogether. Shader
/// compilers may assume that nothing is infinite; on the processor infinity is the quick way through `exp`.
fn forbidden_score(device: &Device) -> f32 {
    if device.clone().without_autodiff() == Device::flex() { f32::NEG_INFINITY } else { -1e30 }
}

/// Which keys a query may see. Queries are the last of the keys' sequence.
#[derive(Clone, Debug)]
pub enum Visibility {
    /// All keys.
    All,
    /// Keys up to its own place.
    Causal,
    /// Keys up to its own place in its own segment: `[b, s]` segment numbers of all keys. Padding is a
    /// segment of its own; packed samples are one each. A segment numbered [`Sight::TRUNK`] is seen by all later
    /// ones, too: the beginning that several sequences have in common.
    CausalSegments(Vec<Vec<u32>>),
    /// Keys up to its own place, from the first token of its own sequence on: `[b]` first columns of sequences that
    /// are padded on the left. Padding sees padding, which means nothing and is seen by nobody else.
    CausalFrom(Vec<usize>),
}

impl Visibility {
    /// The same for the processor's own attention.
    fn sight(&self) -> Sight {
        match self {
            Self::All => Sight::All,
            Self::Causal => Sight::Causal,
            Self::CausalSegments(segments) => Sight::Segments(segments.as_slice().into()),
            Self::CausalFrom(firsts) => Sight::From(firsts.as_slice().into()),
        }
    }

    /// The same for GPUs' own attention, where it knows it.
    fn seen(&self, device: &Device) -> Option<Seen> {
        match self {
            Self::All => Some(Seen::All),
            Self::Causal => Some(Seen::Causal),
            Self::CausalSegments(_) => None,
            Self::CausalFrom(firsts) => {
                let firsts: Vec<i32> = firsts.iter().map(|first| *first as i32).collect();
                let n = firsts.len();
                Some(Seen::CausalFrom(Tensor::from_data(TensorData::new(firsts, [n]), device)))
            }
        }
    }

    /// Which scores are forbidden; `None` where all are allowed.
    ///
    /// # Shapes
    /// - returns: `b` or one sample × `n_query` × `n_key`, row-major
    fn forbidden(&self, queries: std::ops::Range<usize>, n_key: usize) -> Option<(usize, Vec<bool>)> {
        match self {
            Self::All => None,
            // A single query that is the last key sees everything.
            Self::Causal if queries.start + 1 >= n_key => None,
            Self::Causal => {
                let rows = queries.flat_map(|query| (0..n_key).map(move |key| key > query));
                Some((1, rows.collect()))
            }
            Self::CausalSegments(segments) => {
                let mut forbidden = Vec::with_capacity(segments.len() * queries.len() * n_key);
                for sample in segments {
                    assert_eq!(sample.len(), n_key, "a segment number for every key");
                    for query in queries.clone() {
                        let own = sample[query];
                        forbidden.extend(sample.iter().enumerate().map(|(key, segment)| {
                            key > query || (*segment != own && *segment != Sight::TRUNK)
                        }));
                    }
                }
                Some((segments.len(), forbidden))
            }
            Self::CausalFrom(firsts) => {
                let mut forbidden = Vec::with_capacity(firsts.len() * queries.len() * n_key);
                for first in firsts {
                    for query in queries.clone() {
                        let hidden = if query < *first { 0 } else { *first };
                        forbidden.extend((0..n_key).map(|key| key > query || key < hidden));
                    }
                }
                Some((firsts.len(), forbidden))
            }
        }
    }
}

/// A visibility laid out once for all layers of a forward pass.
#[derive(Clone, Debug)]
pub struct Mask {
    visibility: Visibility,
    /// Forbidden scores of all queries at once, `[b or 1, 1, t, s]`, where that is small or inevitable.
    bias: Option<Tensor<4>>,
    /// The visibility as the processor's own attention takes it; `None` elsewhere.
    sight: Option<Sight>,
    /// The visibility as the attention of GPUs takes it, where that serves.
    seen: Option<Seen>,
}

impl Mask {
    /// Lays out which of `n_key` keys each of the last `n_query` may see.
    pub fn new(visibility: Visibility, n_query: usize, n_key: usize, device: &Device) -> Self {
        let sight = fused::serves(device).then(|| visibility.sight());
        let seen = if has_tiled_attention(device) { visibility.seen(device) } else { None };
        let mut mask = Self { visibility, bias: None, sight, seen };
        let general = mask.sight.is_none() && mask.seen.is_none();
        if general && (device.is_autodiff() || n_query <= QUERY_ROWS) {
            mask.bias = mask.bias(n_key - n_query..n_key, n_key, device);
        }
        mask
    }

    fn bias(&self, queries: std::ops::Range<usize>, n_key: usize, device: &Device) -> Option<Tensor<4>> {
        let n_query = queries.len();
        let (n_sample, forbidden) = self.visibility.forbidden(queries, n_key)?;
        let score = forbidden_score(device);
        let bias: Vec<f32> =
            forbidden.into_iter().map(|forbidden| if forbidden { score } else { 0.0 }).collect();
        Some(Tensor::from_data(TensorData::new(bias, [n_sample, 1, n_query, n_key]), device))
    }
}

/// softmax(q·kᵀ/√d)·v for each head.
///
/// # Shapes
/// - `query`: `[b, h, t, d]`
/// - `key`, `value`: `[b, h_kv, s, d]`, `h` a multiple of `h_kv`; query head i reads key head i / (h / `h_kv`)
/// - returns: `[b, h, t, d]`
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: &Mask) -> Tensor<4> {
    let (device, n_query, n_key) = (query.device(), query.dims()[2], key.dims()[2]);
    let firsts: Option<&[usize]> = match &mask.visibility {
        Visibility::All | Visibility::Causal => Some(&[]),
        Visibility::CausalFrom(firsts) => Some(firsts),
        Visibility::CausalSegments(_) => None,
    };
    // An operation of its own for a few new tokens, each of which sees those before it.
    let in_order = n_query == 1 || !matches!(mask.visibility, Visibility::All);
    if in_order
        && let Some(attended) = firsts.and_then(|firsts| decode_attention(&query, &key, &value, firsts))
    {
        return attended;
    }
    if let Some(attended) = mask.seen.as_ref().and_then(|seen| tiled_attention(&query, &key, &value, seen)) {
        return attended;
    }
    if let Some(sight) = &mask.sight {
        let dtype = query.dtype();
        let [query, key, value] =
            [query, key, value].map(|x| if fused::takes(&x) { x } else { x.cast(DType::F32) });
        let out = fused::attention(query, key, value, sight.clone());
        return if dtype == DType::F32 { out } else { out.cast(dtype) };
    }
    if device.is_autodiff() || n_query <= QUERY_ROWS {
        // Where tensors are not as a GPU's attention wants them, nothing was laid out for the general way.
        let bias = match &mask.seen {
            Some(_) => mask.bias(n_key - n_query..n_key, n_key, &device),
            None => mask.bias.clone(),
        };
        return attend_rows(query, &key, &value, bias);
    }
    let rows = (0..n_query).step_by(QUERY_ROWS).map(|start| {
        let n_row = QUERY_ROWS.min(n_query - start);
        let first = n_key - n_query + start;
        let bias = mask.bias(first..first + n_row, n_key, &device);
        attend_rows(query.clone().narrow(2, start, n_row), &key, &value, bias)
    });
    Tensor::cat(rows.collect(), 2)
}

/// [`attend`] with all scores at once.
fn attend_rows(query: Tensor<4>, key: &Tensor<4>, value: &Tensor<4>, bias: Option<Tensor<4>>) -> Tensor<4> {
    let dims @ [b, h, t, d_head] = query.dims();
    let [_, h_kv, n_key, _] = key.dims();
    // The queries of one key head lie one after another: `[b, h_kv, group × t, d_head]`.
    let n_row = h / h_kv * t;
    let stacked = query.mul_scalar(1.0 / (d_head as f64).sqrt()).reshape([b, h_kv, n_row, d_head]);
    let mut scores = stacked.matmul(key.clone().transpose());
    if let Some(bias) = bias {
        scores = (scores.reshape([b, h, t, n_key]) + bias).reshape([b, h_kv, n_row, n_key]);
    }
    softmax(scores, 3).matmul(value.clone()).reshape(dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    /// The definition, one query at a time.
    #[expect(clippy::many_single_char_names, reason = "shape letters, as everywhere")]
    fn naive(query: &Tensor<4>, key: &Tensor<4>, value: &Tensor<4>, visibility: &Visibility) -> Vec<f32> {
        let ([b, h, t, d], [_, h_kv, s, _]) = (query.dims(), key.dims());
        let read = |tensor: &Tensor<4>| tensor.to_data().try_into_vec_f32();
        let (q, k, v) = (read(query), read(key), read(value));
        let mut out = vec![0.0; b * h * t * d];
        for sample in 0..b {
            for head in 0..h {
                for query_idx in 0..t {
                    let place = s - t + query_idx;
                    let allowed = |key_idx: usize| match visibility {
                        Visibility::All => true,
                        Visibility::Causal => key_idx <= place,
                        Visibility::CausalSegments(segments) => {
                            let [own, other] = [place, key_idx].map(|idx| segments[sample][idx]);
                            key_idx <= place && (other == own || other == Sight::TRUNK)
                        }
                        Visibility::CausalFrom(firsts) => {
                            key_idx <= place && (key_idx >= firsts[sample] || place < firsts[sample])
                        }
                    };
                    let at = ((sample * h + head) * t + query_idx) * d;
                    let kv = (sample * h_kv + head / (h / h_kv)) * s * d;
                    let score = |key_idx: usize| -> f64 {
                        (0..d).map(|i| f64::from(q[at + i]) * f64::from(k[kv + key_idx * d + i])).sum::<f64>()
                            / (d as f64).sqrt()
                    };
                    let weights: Vec<f64> =
                        (0..s).map(|j| if allowed(j) { score(j).exp() } else { 0.0 }).collect();
                    let sum: f64 = weights.iter().sum();
                    for i in 0..d {
                        let mean: f64 =
                            weights.iter().enumerate().map(|(j, w)| w * f64::from(v[kv + j * d + i])).sum();
                        out[at + i] = (mean / sum) as f32;
                    }
                }
            }
        }
        out
    }

    trait Read {
        fn try_into_vec_f32(self) -> Vec<f32>;
    }
    impl Read for TensorData {
        fn try_into_vec_f32(self) -> Vec<f32> {
            self.as_slice::<f32>().unwrap().to_vec()
        }
    }

    #[test]
    fn every_path_is_the_definition() {
        let check = |visibility: Visibility, [b, h, h_kv, t, s, d]: [usize; 6]| {
            let plain = Device::flex();
            plain.seed(7);
            let random =
                |shape: [usize; 4]| Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &plain);
            let (q, k, v) = (random([b, h, t, d]), random([b, h_kv, s, d]), random([b, h_kv, s, d]));
            let expected = naive(&q, &k, &v, &visibility);
            let gpu = eosin_kernels::select(eosin_core::DeviceChoice::Wgpu(0)).ok().map(|gpu| gpu.device);
            for device in [plain.clone(), plain.clone().autodiff()].into_iter().chain(gpu) {
                let on = |tensor: &Tensor<4>| Tensor::<4>::from_data(tensor.to_data(), &device);
                let mask = Mask::new(visibility.clone(), t, s, &device);
                let found = attend(on(&q), on(&k), on(&v), &mask).into_data().try_into_vec_f32();
                let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 2e-5, "{visibility:?} on {device:?}: {worst}");
            }
            // The general path in pieces, as graphics processors run it.
            let mask = Mask { visibility: visibility.clone(), bias: None, sight: None, seen: None };
            let rows = (0..t).step_by(3).map(|start| {
                let n_row = 3.min(t - start);
                let first = s - t + start;
                let bias = mask.bias(first..first + n_row, s, &plain);
                attend_rows(q.clone().narrow(2, start, n_row), &k, &v, bias)
            });
            let found = Tensor::cat(rows.collect(), 2).into_data().try_into_vec_f32();
            let worst = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-5, "{visibility:?} in pieces: {worst}");
        };
        check(Visibility::All, [2, 3, 3, 5, 5, 8]);
        check(Visibility::Causal, [1, 4, 2, 7, 7, 8]);
        check(Visibility::Causal, [2, 6, 2, 4, 9, 4]);
        check(Visibility::Causal, [1, 4, 2, 1, 9, 4]);
        check(Visibility::Causal, [1, 4, 2, 20, 33, 4]);
        check(Visibility::All, [2, 3, 3, 20, 20, 8]);
        let segments = vec![vec![0, 0, 0, 1, 1, 1, 1], vec![9, 9, 2, 2, 2, 2, 3]];
        check(Visibility::CausalSegments(segments.clone()), [2, 4, 2, 7, 7, 8]);
        check(Visibility::CausalSegments(segments), [2, 4, 1, 3, 7, 8]);
        // Two sequences after a common beginning.
        let trunk = Sight::TRUNK;
        let segments = vec![vec![trunk, trunk, 0, 0, 1, 1, 1], vec![trunk, trunk, trunk, 0, 1, 2, 2]];
        check(Visibility::CausalSegments(segments), [2, 4, 2, 7, 7, 8]);
        let segments = vec![(0..30).map(|token| token / 7).collect()];
        check(Visibility::CausalSegments(segments), [1, 4, 1, 24, 30, 8]);
        check(Visibility::CausalFrom(vec![0, 3, 12]), [3, 4, 2, 13, 13, 8]);
        check(Visibility::CausalFrom(vec![5, 0]), [2, 4, 2, 1, 9, 4]);
        check(Visibility::CausalFrom(vec![5, 0]), [2, 4, 2, 1, 9, 16]);
        check(Visibility::Causal, [2, 4, 2, 1, 9, 16]);
        check(Visibility::Causal, [2, 4, 2, 7, 9, 16]);
        check(Visibility::CausalFrom(vec![5, 0]), [2, 4, 2, 3, 9, 16]);
        check(Visibility::CausalFrom(vec![70, 0]), [2, 4, 2, 100, 130, 16]);
        check(Visibility::Causal, [1, 4, 2, 200, 230, 16]);
    }
}
