//! Loops over floats, compiled for the widest vectors that the processor has.
//!
//! Bodies are plain Rust in a form that the compiler turns into vector code; `wide!` compiles each for three sets
//! of instructions and picks at run time. Nothing is computed differently between them but the order of sums
//! within a row.

#![expect(unsafe_code, reason = "enters functions compiled for instructions that a `Proof` vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

use super::Descent;

/// Partial sums of a row: as many as the widest vector has lanes.
const N_LANE: usize = 16;

/// Compiles a function for each of the processor's paths.
macro_rules! wide {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $output:ty)? $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($arg: $type),*) $(-> $output)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $output)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $output)? {
                    body($($arg),*)
                }
                #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
                fn avx512($($arg: $type),*) $(-> $output)? {
                    body($($arg),*)
                }
                match $crate::path::CpuPath::best() {
                    $crate::path::CpuPath::Scalar => body($($arg),*),
                    // SAFETY: a path beyond the plain one exists only where the processor reported it.
                    $crate::path::CpuPath::Avx2(_) => unsafe { avx2($($arg),*) },
                    // SAFETY: as above.
                    $crate::path::CpuPath::Avx512(_) => unsafe { avx512($($arg),*) },
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            {
                let _ = $crate::path::CpuPath::best();
                body($($arg),*)
            }
        }
    };
}

pub(crate) use wide;

/// eˣ to about one unit in the last place, for x in −87 … 88; beyond, the value at the end of that range.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; eʳ by its series to the sixth power, 2ⁿ by its bits.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 · 2²³ rounds to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let series = 1.0 / 720.0;
    let series = series * r + 1.0 / 120.0;
    let series = series * r + 1.0 / 24.0;
    let series = series * r + 1.0 / 6.0;
    let series = series * r + 0.5;
    let series = series * r + 1.0;
    let series = series * r + 1.0;
    let bits = (n + ROUND).to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    series * f32::from_bits(bits)
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Σ f(i) over a row, in [`N_LANE`] partial sums.
#[inline(always)]
fn sum<const N: usize>(rows: [&[f32]; N], f: impl Fn([f32; N]) -> f32) -> f32 {
    let n = rows[0].len();
    let chunks = rows.map(|row| row[..n].as_chunks::<N_LANE>().0);
    let mut lanes = [0.0f32; N_LANE];
    let n_chunk = chunks[0].len();
    for i in 0..n_chunk {
        let chunk = chunks.map(|chunks| &chunks[i]);
        for (lane, total) in lanes.iter_mut().enumerate() {
            *total += f(chunk.map(|chunk| chunk[lane]));
        }
    }
    let mut total = 0.0;
    for lane in lanes {
        total += lane;
    }
    for i in n_chunk * N_LANE..n {
        total += f(rows.map(|row| row[i]));
    }
    total
}

#[inline(always)]
fn largest(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; N_LANE];
    let chunks = row.chunks_exact(N_LANE);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

wide! {
    /// silu(gate) · up.
    pub(super) fn gated(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(*gate) * up;
        }
    }
}

wide! {
    /// Gradients of [`gated`] into `d_gate` and `d_up`.
    pub(super) fn gated_backward(gate: &[f32], up: &[f32], grad: &[f32], d_gate: &mut [f32], d_up: &mut [f32]) {
        let inputs = gate.iter().zip(up).zip(grad);
        for ((d_gate, d_up), ((gate, up), grad)) in d_gate.iter_mut().zip(d_up).zip(inputs) {
            let s = sigmoid(*gate);
            let silu = gate * s;
            *d_up = grad * silu;
            *d_gate = grad * up * (s + silu * (1.0 - s));
        }
    }
}

wide! {
    /// x · σ(1.702 x).
    pub(super) fn quick_gelu(x: &[f32], out: &mut [f32]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = x * sigmoid(1.702 * x);
        }
    }
}

wide! {
    /// Gradient of [`quick_gelu`].
    pub(super) fn quick_gelu_backward(x: &[f32], grad: &[f32], out: &mut [f32]) {
        for ((out, x), grad) in out.iter_mut().zip(x).zip(grad) {
            let s = sigmoid(1.702 * x);
            *out = grad * (s + 1.702 * x * s * (1.0 - s));
        }
    }
}

wide! {
    /// Rows over their root mean square, times the gain.
    pub(super) fn rms_norm(x: &[f32], gain: &[f32], eps: f32, out: &mut [f32]) {
        let d = gain.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let scale = 1.0 / (sum([x], |[x]| x * x) / d as f32 + eps).sqrt();
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * scale * gain;
            }
        }
    }
}

wide! {
    /// Gradients of [`rms_norm`]: of `x` into `d_x`, of the gain added to `d_gain`.
    pub(super) fn rms_norm_backward(
        x: &[f32], gain: &[f32], grad: &[f32], eps: f32, d_x: &mut [f32], d_gain: &mut [f32],
    ) {
        let d = gain.len();
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d));
        for ((x, grad), d_x) in rows.zip(d_x.chunks_exact_mut(d)) {
            let scale = 1.0 / (sum([x], |[x]| x * x) / d as f32 + eps).sqrt();
            let along = sum([x, grad, gain], |[x, grad, gain]| x * grad * gain);
            let pull = along * scale * scale * scale / d as f32;
            for (((d_x, x), grad), gain) in d_x.iter_mut().zip(x).zip(grad).zip(gain) {
                *d_x = grad * gain * scale - x * pull;
            }
            for ((d_gain, x), grad) in d_gain.iter_mut().zip(x).zip(grad) {
                *d_gain += grad * x * scale;
            }
        }
    }
}

/// Mean and inverse deviation of a row.
#[inline(always)]
fn moments(x: &[f32], eps: f32) -> (f32, f32) {
    let mean = sum([x], |[x]| x) / x.len() as f32;
    let variance = sum([x], |[x]| (x - mean) * (x - mean)) / x.len() as f32;
    (mean, 1.0 / (variance + eps).sqrt())
}

wide! {
    /// Rows to mean zero and variance one, times the gain, plus the bias.
    pub(super) fn layer_norm(x: &[f32], gain: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) {
        let d = gain.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let (mean, scale) = moments(x, eps);
            for (((out, x), gain), bias) in out.iter_mut().zip(x).zip(gain).zip(bias) {
                *out = (x - mean) * scale * gain + bias;
            }
        }
    }
}

wide! {
    /// Gradients of [`layer_norm`]: of `x` into `d_x`, of gain and bias added to `d_gain` and `d_bias`.
    pub(super) fn layer_norm_backward(
        x: &[f32], gain: &[f32], grad: &[f32], eps: f32, d_x: &mut [f32], d_gain: &mut [f32], d_bias: &mut [f32],
    ) {
        let d = gain.len();
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d));
        for ((x, grad), d_x) in rows.zip(d_x.chunks_exact_mut(d)) {
            let (mean, scale) = moments(x, eps);
            let level = sum([grad, gain], |[grad, gain]| grad * gain) / d as f32;
            let along = sum([x, grad, gain], |[x, grad, gain]| (x - mean) * grad * gain) / d as f32;
            let pull = along * scale * scale;
            for (((d_x, x), grad), gain) in d_x.iter_mut().zip(x).zip(grad).zip(gain) {
                *d_x = (grad * gain - level - (x - mean) * pull) * scale;
            }
            for (((d_gain, d_bias), x), grad) in d_gain.iter_mut().zip(&mut *d_bias).zip(x).zip(grad) {
                *d_gain += grad * (x - mean) * scale;
                *d_bias += grad;
            }
        }
    }
}

wide! {
    /// Turns every head of every row; `direction` is 1 forwards and −1 backwards.
    pub(super) fn rotate(x: &[f32], cos: &[f32], sin: &[f32], half: usize, n_head: usize, direction: f32, out: &mut [f32]) {
        let d_row = 2 * half * n_head;
        let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for ((x, out), (cos, sin)) in x.chunks_exact(d_row).zip(out.chunks_exact_mut(d_row)).zip(tables) {
            for (x, out) in x.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half)) {
                let ((a, b), (out_a, out_b)) = (x.split_at(half), out.split_at_mut(half));
                for j in 0..half {
                    let sin = sin[j] * direction;
                    out_a[j] = a[j] * cos[j] - b[j] * sin;
                    out_b[j] = b[j] * cos[j] + a[j] * sin;
                }
            }
        }
    }
}

wide! {
    /// A row of scores to probabilities.
    pub(crate) fn softmax(row: &mut [f32]) {
        let top = largest(row);
        for x in row.iter_mut() {
            *x = exp(*x - top);
        }
        let scale = 1.0 / sum([row], |[x]| x);
        for x in row.iter_mut() {
            *x *= scale;
        }
    }
}

wide! {
    /// Gradient of the softmax of a row: `grad` becomes p · (grad − Σ p · grad) · `scale`.
    pub(super) fn softmax_backward(p: &[f32], grad: &mut [f32], scale: f32) {
        let along = sum([p, grad], |[p, grad]| p * grad);
        for (grad, p) in grad.iter_mut().zip(p) {
            *grad = p * (*grad - along) * scale;
        }
    }
}

wide! {
    /// ln Σ eˣ.
    pub(super) fn log_sum_exp(row: &[f32]) -> f32 {
        let top = largest(row);
        top + sum([row], |[x]| exp(x - top)).ln()
    }
}

wide! {
    /// softmax(x) · `scale`.
    pub(super) fn scaled_softmax(row: &[f32], scale: f32, out: &mut [f32]) {
        let top = largest(row);
        for (out, x) in out.iter_mut().zip(row) {
            *out = exp(*x - top);
        }
        let scale = scale / sum([&*out], |[x]| x);
        for x in out.iter_mut() {
            *x *= scale;
        }
    }
}

wide! {
    /// The update of `adamw`.
    pub(super) fn adamw(weight: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], descent: &Descent) {
        let Descent { scale, betas: [beta_1, beta_2], rate, correction, epsilon, keep } = *descent;
        let moments = first.iter_mut().zip(second);
        for ((weight, gradient), (first, second)) in weight.iter_mut().zip(gradient).zip(moments) {
            let gradient = gradient * scale;
            *first = *first * beta_1 + gradient * (1.0 - beta_1);
            *second = *second * beta_2 + gradient * gradient * (1.0 - beta_2);
            let root = (*second * correction).sqrt() + epsilon;
            *weight = *weight * keep - *first * rate / root;
        }
    }
}

wide! {
    /// Σ x².
    pub(super) fn square_sum(x: &[f32]) -> f32 {
        sum([x], |[x]| x * x)
    }
}

wide! {
    /// ln Σ eˣ and the entropy of softmax(x).
    pub(super) fn log_sum_and_entropy(row: &[f32]) -> [f32; 2] {
        let top = largest(row);
        let total = sum([row], |[x]| exp(x - top));
        // H = ln Σ eᶻ − Σ p z.
        let mean = sum([row], |[x]| exp(x - top) * (x - top)) / total;
        [top + total.ln(), total.ln() - mean]
    }
}

wide! {
    /// Gradient by the logits of `along` · ln p(target) + `across` · H, but for the target's own `along`.
    pub(super) fn token_scores_backward(row: &[f32], along: f32, across: f32, out: &mut [f32]) {
        let [log_sum, entropy] = log_sum_and_entropy(row);
        for (out, x) in out.iter_mut().zip(row) {
            let log_p = x - log_sum;
            *out = -exp(log_p) * (along + across * (log_p + entropy));
        }
    }
}

wide! {
    /// Adds each row to `out`.
    pub(super) fn add_rows(rows: &[f32], out: &mut [f32]) {
        for row in rows.chunks_exact(out.len()) {
            for (out, x) in out.iter_mut().zip(row) {
                *out += x;
            }
        }
    }
}
