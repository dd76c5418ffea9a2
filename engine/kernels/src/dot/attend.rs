//! Attention of a new token per sequence over a cache, a head of keys at a time.
//!
//! A matrix product would first copy the keys into an order that pays for hundreds of queries; here there are a few,
//! and keys and values are read where they lie, as floats of 32 or 16 bits.

use super::lanes::Lanes;
use crate::fused::softmax;

/// Keys or values of one head, row by row.
#[derive(Clone, Copy, Debug)]
pub enum HeadRows<'a> {
    /// 32-bit floats.
    Floats(&'a [f32]),
    /// The bits of IEEE halves.
    Halves(&'a [u16]),
}

impl HeadRows<'_> {
    /// Numbers.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Floats(values) => values.len(),
            Self::Halves(values) => values.len(),
        }
    }
}

/// See [`super::attend_head`], which checked the lengths.
#[inline(always)]
pub(super) fn attend_head<L: Lanes>(
    d: usize,
    query: &[f32],
    keys: HeadRows<'_>,
    values: HeadRows<'_>,
    out: &mut [f32],
) {
    let mut weights = vec![0.0_f32; keys.len() / d];
    let scale = 1.0 / (d as f32).sqrt();
    match keys {
        HeadRows::Floats(keys) => scores::<L, f32>(d, query, keys, scale, &mut weights),
        HeadRows::Halves(keys) => scores::<L, u16>(d, query, keys, scale, &mut weights),
    }
    softmax(&mut weights);
    out.fill(0.0);
    match values {
        HeadRows::Floats(values) => add_scaled::<L, f32>(d, values, &weights, out),
        HeadRows::Halves(values) => add_scaled::<L, u16>(d, values, &weights, out),
    }
}

/// A number of a cache.
trait Number: Copy {
    /// # Safety
    /// As [`Lanes::load`].
    unsafe fn load<L: Lanes>(source: &[Self]) -> L;
}

impl Number for f32 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(source: &[Self]) -> L {
        // SAFETY: passed on to the caller.
        unsafe { L::load(source) }
    }
}

impl Number for u16 {
    #[inline(always)]
    unsafe fn load<L: Lanes>(source: &[Self]) -> L {
        // SAFETY: passed on to the caller.
        unsafe { L::halves(source) }
    }
}

/// Σ query · key · `scale` for each key.
#[inline(always)]
fn scores<L: Lanes, N: Number>(d: usize, query: &[f32], keys: &[N], scale: f32, scores: &mut [f32]) {
    for (key, score) in keys.chunks_exact(d).zip(scores) {
        // SAFETY: called only inside functions compiled for the lanes' instructions; chunks are as long as lanes.
        unsafe {
            let mut sum = L::splat(0.0);
            for (a, b) in query.chunks_exact(L::COUNT).zip(key.chunks_exact(L::COUNT)) {
                sum = sum.multiply_add(L::load(a), N::load::<L>(b));
            }
            *score = sum.sum() * scale;
        }
    }
}

/// out += Σ value · weight.
#[inline(always)]
fn add_scaled<L: Lanes, N: Number>(d: usize, values: &[N], weights: &[f32], out: &mut [f32]) {
    for (value, weight) in values.chunks_exact(d).zip(weights) {
        // SAFETY: as in `scores`.
        unsafe {
            let weight = L::splat(*weight);
            for (out, value) in out.chunks_exact_mut(L::COUNT).zip(value.chunks_exact(L::COUNT)) {
                L::load(out).multiply_add(N::load::<L>(value), weight).store(out);
            }
        }
    }
}
