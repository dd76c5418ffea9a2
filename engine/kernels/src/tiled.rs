//! Attention on GPUs without gradients, and which devices have it.
//!
//! The model's own attention asks here first; what this cannot do goes the general way. Held true by the tests of
//! `cube::attention` and of the model's attention.

use burn::tensor::{Device, Int, Tensor};

/// Which keys a query may see; queries are the last of the keys' sequence.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for a pass")]
pub enum Seen {
    /// All.
    All,
    /// Keys up to its own place.
    Causal,
    /// Keys up to its own place, from the first of its own sequence on: `[b]` first columns of sequences that are
    /// padded on the left. Padding sees padding.
    CausalFrom(Tensor<1, Int>),
}

/// Whether a device has the operation: GPUs that keep no record for gradients.
pub fn has_tiled_attention(device: &Device) -> bool {
    crate::fused::is_gpu(device)
}

/// softmax(q·kᵀ/√d)·v for each head without a matrix of scores; `None` where the device has no operation for it or
/// the tensors are not as it wants them.
///
/// # Shapes
/// - `query`: `[b, h, t, d]`, 32-bit floats; parts of a larger tensor need not be copied first
/// - `key`, `value`: `[b, h_kv, s, d]`, likewise; query head i reads key head i / (h / `h_kv`)
/// - returns: `[b, h, t, d]`, lying in memory as `[b, t, h, d]`
pub fn tiled_attention(
    query: &Tensor<4>,
    key: &Tensor<4>,
    value: &Tensor<4>,
    seen: &Seen,
) -> Option<Tensor<4>> {
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    {
        use crate::cube::attention;
        use crate::fused::{gpu_primitive, gpu_tensor};

        let ([_, h, n_query, d], [_, h_kv, n_key, _]) = (query.dims(), key.dims());
        let sound =
            [query, key, value].iter().all(|x| crate::fused::takes(x) && has_tiled_attention(&x.device()))
                && attention::fits(d)
                && h.is_multiple_of(h_kv)
                && n_query <= n_key;
        if !sound {
            return None;
        }
        let seen = match seen {
            Seen::All => attention::Seen::All,
            Seen::Causal => attention::Seen::Causal,
            Seen::CausalFrom(firsts) => {
                attention::Seen::From(firsts.clone().try_into_primitive::<burn::backend::Cube>().ok()?)
            }
        };
        let [query, key, value] = [query, key, value].map(|x| gpu_primitive(x.clone()));
        Some(gpu_tensor(attention::launch(query, key, value, seen)))
    }
    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    {
        let _ = (query, key, value, seen);
        None
    }
}
