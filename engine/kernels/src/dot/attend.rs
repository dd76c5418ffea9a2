//! Attention of one new token per sequence over a cache, a head of keys at a time.
//!
//! A matrix product would first copy the keys into an order that pays for hundreds of queries; here there are as
//! many as share a key head, three or seven. Keys and values are read where they lie, once each.

use super::lanes::Lanes;

/// See [`super::attend_head`], which checked the lengths.
#[inline(always)]
pub(super) fn attend_head<L: Lanes>(d: usize, query: &[f32], keys: &[f32], values: &[f32], out: &mut [f32]) {
    let n_key = keys.len() / d;
    let mut weights = vec![0.0_f32; n_key];
    let scale = 1.0 / (d as f32).sqrt();
    for (query, out) in query.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mut most = f32::NEG_INFINITY;
        for (key, weight) in keys.chunks_exact(d).zip(&mut weights) {
            *weight = dot::<L>(query, key) * scale;
            most = most.max(*weight);
        }
        let mut sum = 0.0;
        for weight in &mut weights {
            *weight = (*weight - most).exp();
            sum += *weight;
        }
        out.fill(0.0);
        for (value, weight) in values.chunks_exact(d).zip(&weights) {
            add_scaled::<L>(out, value, *weight);
        }
        let scale = 1.0 / sum;
        for out in out.iter_mut() {
            *out *= scale;
        }
    }
}

/// Σ a · b, of rows whose length is whole [`Lanes`].
#[inline(always)]
fn dot<L: Lanes>(a: &[f32], b: &[f32]) -> f32 {
    // SAFETY: called only inside functions compiled for the lanes' instructions; chunks are as long as lanes.
    unsafe {
        let mut sum = L::splat(0.0);
        for (a, b) in a.chunks_exact(L::COUNT).zip(b.chunks_exact(L::COUNT)) {
            sum = sum.multiply_add(L::load(a), L::load(b));
        }
        sum.sum()
    }
}

/// out += values · weight, of rows whose length is whole [`Lanes`].
#[inline(always)]
fn add_scaled<L: Lanes>(out: &mut [f32], values: &[f32], weight: f32) {
    // SAFETY: as in `dot`.
    unsafe {
        let weight = L::splat(weight);
        for (out, value) in out.chunks_exact_mut(L::COUNT).zip(values.chunks_exact(L::COUNT)) {
            L::load(out).multiply_add(L::load(value), weight).store(out);
        }
    }
}
