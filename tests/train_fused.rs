//! The processor's fused operations against the same written in the tensor library's operations: values and the
//! gradient of every input, at sizes that are no multiple of any vector or block, and the update of `AdamW`.

use burn::tensor::activation::{sigmoid, silu, softmax};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor, TensorData};
use eosin_kernels::fused::{self, Angles, Descent, Sight};

fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let device = Device::flex();
    device.seed(seed);
    Tensor::random(shape, Distribution::Normal(0.0, 1.5), &device)
}

fn read<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    for (idx, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 2e-5 * largest, "{what} at {idx}: {a} for {b}");
    }
}

/// Output and gradients of both forms on the same three inputs.
#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
#[track_caller]
fn check<const A: usize, const B: usize, const C: usize, const O: usize>(
    what: &str,
    inputs: (Tensor<A>, Tensor<B>, Tensor<C>),
    fused: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
    composed: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
) {
    let run = |form: &dyn Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>| {
        let a = Tensor::from_inner(inputs.0.clone()).require_grad();
        let b = Tensor::from_inner(inputs.1.clone()).require_grad();
        let c = Tensor::from_inner(inputs.2.clone()).require_grad();
        let out = form(a.clone(), b.clone(), c.clone());
        // Weighs every output differently, so that no gradient is a sum that hides its parts.
        let weight = Tensor::from_inner(random(out.dims(), 99));
        let gradients = (out.clone() * weight).sum().backward();
        let gradient = |values: Option<Vec<f32>>| values.unwrap_or_default();
        [
            read(&out),
            gradient(a.grad(&gradients).map(|grad| read(&grad))),
            gradient(b.grad(&gradients).map(|grad| read(&grad))),
            gradient(c.grad(&gradients).map(|grad| read(&grad))),
        ]
    };
    let (found, expected) = (run(&fused), run(&composed));
    for (part, (found, expected)) in
        ["value", "first", "second", "third"].iter().zip(found.iter().zip(&expected))
    {
        close(found, expected, &format!("{what}, {part}"));
    }
}

#[test]
fn norms_gates_and_products() {
    for [m, d, n] in [[1, 5, 3], [7, 16, 2], [33, 67, 129], [300, 192, 40]] {
        let (x, gain, bias) = (random([m, d], 1), random([d], 2), random([d], 3));
        check(
            "rms norm",
            (x.clone(), gain.clone(), bias.clone()),
            |x, gain, bias| fused::rms_norm(x, gain, 1e-5) + bias.unsqueeze(),
            |x, gain, bias| {
                let scale = x.clone().square().mean_dim(1).add_scalar(1e-5).sqrt().recip();
                x * scale * gain.unsqueeze() + bias.unsqueeze()
            },
        );
        check(
            "layer norm",
            (x.clone(), gain, bias),
            |x, gain, bias| fused::layer_norm(x, gain, bias, 1e-5),
            |x, gain, bias| {
                let centred = x.clone() - x.mean_dim(1);
                let scale = centred.clone().square().mean_dim(1).add_scalar(1e-5).sqrt().recip();
                centred * scale * gain.unsqueeze() + bias.unsqueeze()
            },
        );
        let up = random([m, d], 4);
        check(
            "gate",
            (x.clone(), up, x.clone()),
            |x, up, z| fused::gated(x, up) + fused::quick_gelu(z),
            |x, up, z| silu(x) * up + z.clone() * sigmoid(z * 1.702),
        );
        let (weight, bias) = (random([n, d], 5), random([n], 6));
        check(
            "linear",
            (x, weight, bias),
            |x, weight, bias| {
                fused::linear(x.clone(), weight.clone(), Some(bias)) + fused::linear(x, weight, None)
            },
            |x, weight, bias| x.matmul(weight.transpose()) * 2.0 + bias.unsqueeze(),
        );
    }
}

#[test]
fn rotations() {
    for [rows, h, half] in [[1, 1, 2], [9, 3, 20], [70, 8, 16]] {
        let angles = random([rows, half], 7);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let table = Angles { cos: read(&cos).as_slice().into(), sin: read(&sin).as_slice().into() };
        let x = random([rows, h, 2 * half], 8);
        check(
            "rotation",
            (x.clone(), x.clone(), x),
            |x, y, z| fused::rotate(x, table.clone()) + y * z,
            |x, y, z| {
                let on = |table: &Tensor<2>| Tensor::from_inner(table.clone()).reshape([rows, 1, half]);
                let (a, b) = (x.clone().narrow(2, 0, half), x.narrow(2, half, half));
                let turned_a = a.clone() * on(&cos) - b.clone() * on(&sin);
                Tensor::cat(vec![turned_a, b * on(&cos) + a * on(&sin)], 2) + y * z
            },
        );
    }
}

/// Attention with all scores at once and forbidden ones at −10⁹.
#[expect(clippy::many_single_char_names, reason = "shape letters, as everywhere")]
fn composed_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, sight: &Sight) -> Tensor<4> {
    let ([b, h, t, d], [_, h_kv, s, _]) = (query.dims(), key.dims());
    let spread =
        |x: Tensor<4>| x.reshape([b, h_kv, 1, s, d]).expand([b, h_kv, h / h_kv, s, d]).reshape([b, h, s, d]);
    let scores = query.matmul(spread(key).transpose()) * (d as f64).powf(-0.5);
    let mut hidden = Vec::new();
    for sample in 0..b {
        for place in s - t..s {
            hidden.extend((0..s).map(|key| match sight {
                Sight::All => false,
                Sight::Causal => key > place,
                Sight::Segments(numbers) => key > place || numbers[sample][key] != numbers[sample][place],
                Sight::From(firsts) => key > place || (key < firsts[sample] && place >= firsts[sample]),
            }));
        }
    }
    let hidden = Tensor::<4, Bool>::from_data(TensorData::new(hidden, [b, 1, t, s]), &scores.device());
    softmax(scores.mask_fill(hidden.expand([b, h, t, s]), -1e9), 3).matmul(spread(value))
}

#[test]
fn attention() {
    let check_one = |[b, h, h_kv, t, s, d]: [usize; 6], sight: Sight| {
        // Laid out as the models have them: heads beside one another in a row of positions.
        let heads = |h: usize, t: usize, seed| random([b, t, h, d], seed);
        check(
            &format!("{sight:?} {b} {h} {h_kv} {t} {s} {d}"),
            (heads(h, t, 10), heads(h_kv, s, 11), heads(h_kv, s, 12)),
            |q, k, v| {
                fused::attention(q.swap_dims(1, 2), k.swap_dims(1, 2), v.swap_dims(1, 2), sight.clone())
            },
            |q, k, v| composed_attention(q.swap_dims(1, 2), k.swap_dims(1, 2), v.swap_dims(1, 2), &sight),
        );
    };
    check_one([2, 3, 3, 5, 5, 8], Sight::All);
    check_one([1, 2, 1, 197, 197, 12], Sight::All);
    check_one([2, 4, 2, 130, 130, 16], Sight::Causal);
    check_one([1, 6, 2, 70, 90, 20], Sight::Causal);
    let numbers: Vec<Vec<u32>> = vec![(0..75).map(|i| i / 20).collect(), (0..75).map(|i| i / 33).collect()];
    check_one([2, 4, 1, 75, 75, 8], Sight::Segments(numbers.as_slice().into()));
    check_one([2, 4, 2, 70, 90, 8], Sight::From([0, 83].as_slice().into()));
}

#[test]
fn losses_of_tokens() {
    for [m, v] in [[1, 3], [5, 16], [40, 1031]] {
        let logits = random([m, v], 20) * 3.0;
        let targets: Vec<i32> = (0..m).map(|row| ((row * 7 + 1) % v) as i32).collect();
        let targets = TensorData::new(targets, [m]);
        let composed = |logits: Tensor<2>| {
            let targets = Tensor::<1, Int>::from_data(targets.clone(), &logits.device()).reshape([m, 1]);
            let log_p = burn::tensor::activation::log_softmax(logits, 1);
            let entropy = -(log_p.clone().exp() * log_p.clone()).sum_dim(1);
            Tensor::cat(vec![log_p.gather(1, targets), entropy], 1)
        };
        let unused = random([1], 1);
        check(
            "scores of tokens",
            (logits.clone(), unused.clone(), unused.clone()),
            |logits, a, b| fused::token_scores(logits, targets.clone()) + (a * b).unsqueeze(),
            |logits, a, b| composed(logits) + (a * b).unsqueeze(),
        );
        check(
            "cross-entropy",
            (logits, unused.clone(), unused),
            |logits, a, b| fused::cross_entropy(logits, targets.clone()) + a * b,
            |logits, a, b| -composed(logits).narrow(1, 0, 1).reshape([m]) + a * b,
        );
    }
}

#[test]
fn the_update_of_adamw() {
    let n = 70_001;
    let [weight, gradient, first, second] = [31, 32, 33, 34].map(|seed| random([n], seed));
    let second = second.square();
    let descent =
        Descent { scale: 0.7, betas: [0.9, 0.98], rate: 1e-2, correction: 1.3, epsilon: 1e-8, keep: 0.999 };
    let inputs = [weight, gradient, first, second];
    let [weights, gradients, firsts, seconds] = inputs.clone().map(|tensor| read(&tensor));
    let found = fused::adamw(inputs.clone(), descent).map(|tensor| read(&tensor));
    let mut expected = [(); 3].map(|()| Vec::with_capacity(n));
    for idx in 0..n {
        let gradient = f64::from(gradients[idx]) * 0.7;
        let first = f64::from(firsts[idx]) * 0.9 + gradient * 0.1;
        let second = f64::from(seconds[idx]) * 0.98 + gradient * gradient * 0.02;
        let weight = f64::from(weights[idx]) * 0.999 - first * 1e-2 / ((second * 1.3).sqrt() + 1e-8);
        expected[0].push(weight as f32);
        expected[1].push(first as f32);
        expected[2].push(second as f32);
    }
    for (what, (found, expected)) in ["weight", "first", "second"].iter().zip(found.iter().zip(&expected)) {
        close(found, expected, what);
    }
    // Tensors that others hold stay as they were.
    assert_eq!(read(&inputs[0]), weights);
    let sum: f64 = gradients.iter().map(|gradient| f64::from(*gradient).powi(2)).sum();
    assert!((fused::square_sum(inputs[1].clone()) / sum - 1.0).abs() < 1e-6);
    assert!(fused::square_sum(Tensor::<1>::from_floats([f32::NAN], &Device::flex())).is_nan());
}
