//! The functions between products, as loops that become vector code inside their callers.

#![expect(unsafe_code, reason = "enters functions compiled for instructions that a `Proof` vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

use crate::fused::{exp, wide};

/// x · Φ(x), with Φ the distribution of the normal law, to a few units in the last place of the larger of x and 1.
///
/// The tail beyond |x| is e^(−x²/2) times a polynomial in 1 / (1 + 0.35 |x|), fitted to 7e-8.
#[inline(always)]
pub(super) fn gelu(row: &mut [f32]) {
    for x in row {
        // Far out nothing changes, and infinity times nothing would be no number.
        let size = x.abs().min(20.0);
        let low = if *x < -20.0 { -20.0 } else { *x };
        let t = 1.0 / (1.0 + 0.35 * size);
        let tail = 0.046_383_74;
        let tail = tail * t - 0.191_428_77;
        let tail = tail * t + 0.222_197_3;
        let tail = tail * t - 6.313_455e-5;
        let tail = tail * t + 0.147_022_72;
        let tail = tail * t + 0.136_043_6;
        let tail = tail * t + 0.139_844_63;
        let tail = tail * t * exp(-0.5 * size * size);
        // Whatever is no number stays none.
        *x = if *x > 0.0 { *x - size * tail } else { low * tail };
    }
}

/// x · σ(1.702 x).
#[inline(always)]
pub(super) fn quick_gelu(row: &mut [f32]) {
    for x in row {
        let low = if *x < -60.0 { -60.0 } else { *x };
        *x = low / (1.0 + exp(-1.702 * low));
    }
}

/// Σ f(x), sixteen partial sums at a time.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<16>();
    let mut lanes = [0.0_f32; 16];
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] += f(chunk[i]);
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for x in rest {
        total += f(*x);
    }
    total
}

/// Turns scores into exponentials of their scaled distance from the largest; returns their sum.
#[inline(always)]
pub(super) fn exponentials(scores: &mut [f32], scale: f32) -> f32 {
    let (chunks, rest) = scores.as_chunks::<16>();
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    let mut top = f32::NEG_INFINITY;
    for lane in lanes {
        top = top.max(lane);
    }
    for x in rest {
        top = top.max(*x);
    }
    for x in scores.iter_mut() {
        *x = exp((*x - top) * scale);
    }
    sum(scores, |x| x)
}

wide! {
    /// (x − mean) / √(variance + ε) · gain + bias, as words.
    pub(super) fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], epsilon: f32, out: &mut [u32]) {
        let n = x.len() as f32;
        let mean = sum(x, |x| x) / n;
        let variance = sum(x, |x| (x - mean) * (x - mean)) / n;
        let scale = 1.0 / (variance + epsilon).sqrt();
        for (((out, x), gain), bias) in out.iter_mut().zip(x).zip(gain).zip(bias) {
            *out = ((x - mean) * scale * gain + bias).to_bits();
        }
    }
}

/// Two floats as the pair of short floats that one word holds, rounded to the nearest, ties to even.
#[inline(always)]
pub(super) fn pair([low, high]: [f32; 2]) -> u32 {
    short(low) | short(high) << 16
}

#[inline(always)]
fn short(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // What is no number must not be rounded up to infinity.
    if x.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

wide! {
    /// Floats as words of pairs; a lone last one is paired with zero.
    pub(super) fn pairs(x: &[f32], out: &mut [u32]) {
        let (twos, rest) = x.as_chunks::<2>();
        for (out, two) in out.iter_mut().zip(twos) {
            *out = pair(*two);
        }
        if let [last] = rest {
            out[twos.len()] = pair([*last, 0.0]);
        }
    }
}
