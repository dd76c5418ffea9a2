//! Keys and values of the tokens that were read, so that each is computed once.
//!
//! Buffers are set aside in steps and written in place: as long as the cache alone owns a buffer,
//! `slice_assign` copies only the new rows. Forgetting the end of a sequence costs nothing, so that several
//! questions about one picture can share its prefix. Held true by `tests/parity_qwen.rs` (greedy ids go
//! through here) and the tests below.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::TextConfig;

/// Rows by which buffers grow at least.
const STEP: usize = 256;

/// One layer's keys and values, `[b, h_kv, capacity, d_head]`.
#[derive(Clone, Debug)]
struct Layer {
    key: Tensor<4>,
    value: Tensor<4>,
}

/// Keys and values of all layers.
#[derive(Clone, Debug)]
pub struct KvCache {
    layers: Vec<Option<Layer>>,
    n_token: usize,
    capacity: usize,
    shape: [usize; 3],
    dtype: DType,
    device: Device,
}

impl KvCache {
    /// An empty cache for `n_sample` sequences, with room for `n_token` before it grows.
    pub fn new(config: &TextConfig, n_sample: usize, n_token: usize, device: &Device) -> Self {
        Self {
            layers: vec![None; config.n_layer],
            n_token: 0,
            capacity: n_token.next_multiple_of(STEP),
            shape: [n_sample, config.n_kv_head, config.d_head],
            dtype: DType::F32,
            device: device.clone(),
        }
    }

    /// The same, which keeps halves: half the memory and half of what a step of generation reads, for a rounding of
    /// one part in two thousand. Nothing may be cached yet.
    #[must_use]
    pub fn in_halves(self) -> Self {
        assert!(self.layers.iter().all(Option::is_none), "a cache that is in use");
        Self { dtype: DType::F16, ..self }
    }

    /// Tokens that are cached.
    pub fn n_token(&self) -> usize {
        self.n_token
    }

    /// Sequences.
    pub fn n_sample(&self) -> usize {
        self.shape[0]
    }

    /// Bytes that the buffers take once every layer was written.
    pub fn n_byte(&self) -> usize {
        self.layers.len() * 2 * self.dtype.size() * self.capacity * self.shape.iter().product::<usize>()
    }

    /// Forgets all tokens from `n_token` on; a longer length changes nothing.
    pub fn truncate(&mut self, n_token: usize) {
        self.n_token = self.n_token.min(n_token);
    }

    /// A cache of the sequences `rows` of this one, in that order and as often as they are named, from column
    /// `first` on, with room for `n_room` tokens in all before it grows. Rollouts of one prompt start so from
    /// one reading of it, and sequences that are done leave a batch so.
    ///
    /// # Panics
    /// Where a row or `first` is outside the cache.
    #[must_use]
    pub fn select(&self, rows: &[usize], first: usize, n_room: usize) -> Self {
        let [_, h, d] = self.shape;
        let (b, n_token) = (rows.len(), self.n_token - first);
        let capacity = n_room.max(n_token).next_multiple_of(STEP);
        let index: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::new(index, [b]), &self.device);
        let copy = |buffer: &Tensor<4>| {
            let own = buffer.clone().narrow(2, first, n_token).select(0, index.clone());
            Tensor::zeros([b, h, capacity, d], (&self.device, self.dtype))
                .slice_assign([0..b, 0..h, 0..n_token, 0..d], own)
        };
        let layer = |layer: &Layer| Layer { key: copy(&layer.key), value: copy(&layer.value) };
        Self {
            layers: self.layers.iter().map(|own| own.as_ref().map(layer)).collect(),
            n_token,
            capacity,
            shape: [b, h, d],
            dtype: self.dtype,
            device: self.device.clone(),
        }
    }

    /// Makes room for `n_more` tokens.
    fn reserve(&mut self, n_more: usize) {
        let needed = self.n_token + n_more;
        if needed <= self.capacity {
            return;
        }
        // A quarter more each time, so that copying stays a small share of a long generation.
        self.capacity = needed.max(self.capacity + self.capacity / 4).next_multiple_of(STEP);
        let ([b, h, d], n_token, capacity) = (self.shape, self.n_token, self.capacity);
        for layer in self.layers.iter_mut().flatten() {
            for buffer in [&mut layer.key, &mut layer.value] {
                let old = buffer.clone().narrow(2, 0, n_token);
                *buffer = Tensor::zeros([b, h, capacity, d], (&self.device, self.dtype))
                    .slice_assign([0..b, 0..h, 0..n_token, 0..d], old);
            }
        }
    }

    /// Appends one layer's rows and returns all of its rows. Every layer of a pass appends before
    /// [`Self::advance`] counts the tokens.
    ///
    /// # Shapes
    /// - `key`, `value`: `[b, h_kv, t, d_head]`
    /// - returns: `[b, h_kv, n_token + t, d_head]` twice
    pub(super) fn append(&mut self, layer: usize, key: Tensor<4>, value: Tensor<4>) -> [Tensor<4>; 2] {
        let [b, h, n_more, d] = key.dims();
        assert_eq!([b, h, d], self.shape, "a cache serves one model and one batch");
        self.reserve(n_more);
        let (start, end, capacity) = (self.n_token, self.n_token + n_more, self.capacity);
        let empty = || Tensor::zeros([b, h, capacity, d], (&self.device, self.dtype));
        let [key, value] =
            [key, value].map(|rows| if rows.dtype() == self.dtype { rows } else { rows.cast(self.dtype) });
        // Taken out, so that the buffers have one owner while they are written.
        let Layer { key: keys, value: values } =
            self.layers[layer].take().unwrap_or_else(|| Layer { key: empty(), value: empty() });
        let keys = keys.slice_assign([0..b, 0..h, start..end, 0..d], key);
        let values = values.slice_assign([0..b, 0..h, start..end, 0..d], value);
        let rows = [keys.clone().narrow(2, 0, end), values.clone().narrow(2, 0, end)];
        self.layers[layer] = Some(Layer { key: keys, value: values });
        rows
    }

    /// Counts `n_more` tokens as cached.
    pub(super) fn advance(&mut self, n_more: usize) {
        self.n_token += n_more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn rows_survive_growth_and_truncation() {
        let device = Device::flex();
        let config = TextConfig {
            n_vocab: 8,
            d_model: 8,
            d_ffn: 8,
            n_layer: 1,
            n_head: 4,
            n_kv_head: 2,
            d_head: 4,
            rms_eps: 1e-6,
            rope_theta: 1e4,
            mrope_section: [1, 1, 0],
            tied: true,
        };
        let mut cache = KvCache::new(&config, 1, 10, &device);
        let mut expected: Option<Tensor<4>> = None;
        for n_more in [1, 200, 1, 300, 7, 1000] {
            let rows = Tensor::random([1, 2, n_more, 4], Distribution::Default, &device);
            let all = match expected.take() {
                Some(before) => Tensor::cat(vec![before, rows.clone()], 2),
                None => rows.clone(),
            };
            let [keys, values] = cache.append(0, rows.clone(), rows * 2.0);
            cache.advance(n_more);
            assert_eq!(keys.to_data(), all.to_data());
            assert_eq!(values.to_data(), (all.clone() * 2.0).to_data());
            expected = Some(all);
        }
        assert_eq!(cache.n_token(), 1509);
        cache.truncate(100);
        let rows = Tensor::zeros([1, 2, 1, 4], &device);
        let [keys, _] = cache.append(0, rows.clone(), rows.clone());
        let before = expected.unwrap().narrow(2, 0, 100);
        let all = Tensor::cat(vec![before, rows], 2);
        assert_eq!(keys.to_data(), all.to_data());
        cache.advance(1);

        let mut copies = cache.select(&[0, 0, 0], 40, 70);
        assert_eq!((copies.n_token(), copies.n_sample()), (61, 3));
        let rows = Tensor::random([3, 2, 1, 4], Distribution::Default, &device);
        let [keys, _] = copies.append(0, rows.clone(), rows.clone());
        let before = all.narrow(2, 40, 61).repeat_dim(0, 3);
        assert_eq!(keys.to_data(), Tensor::cat(vec![before, rows], 2).to_data());
    }
}
