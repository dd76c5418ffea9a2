//! The fused operations on the processor's tensors: threads over rows around the loops of `lanes`.

#![expect(clippy::many_single_char_names, reason = "shape letters, and a, b, c as the trait has them")]

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::{DType, TensorData};
use rayon::prelude::*;

use super::linear::{View, multiplied, row_sum, total};
use super::ops::{FusedBackend, One, Three, Two};
use super::{Descent, adamw, attention, lanes};

/// Numbers of one piece of work: fixed, so that the order of sums does not depend on the threads.
const N_PIECE: usize = 1 << 14;

/// The storage of a tensor of 32-bit floats.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    assert_eq!(tensor.dtype(), DType::F32, "fused operations take 32-bit floats");
    tensor.storage()
}

/// First element, shape and strides.
pub(super) fn strided<const D: usize>(tensor: &FlexTensor) -> (usize, [usize; D], [usize; D]) {
    let layout = tensor.layout();
    let stride = |axis: usize| usize::try_from(layout.strides()[axis]).expect("no tensor here is flipped");
    (layout.start_offset(), layout.shape().dims(), std::array::from_fn(stride))
}

/// A tensor whose numbers lie one after another, copied only where they do not.
pub(super) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() }
}

/// The numbers of a contiguous tensor.
pub(super) fn numbers(tensor: &FlexTensor) -> &[f32] {
    let start = tensor.layout().start_offset();
    &values(tensor)[start..start + tensor.layout().num_elements()]
}

fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
}

/// A gradient that nobody asked for.
fn nothing() -> FlexTensor {
    tensor(Vec::new(), &[0])
}

fn shape(tensor: &FlexTensor) -> Vec<usize> {
    tensor.layout().shape().to_vec()
}

/// Whole rows of width `d` in a piece.
fn piece(d: usize) -> usize {
    (N_PIECE / d.max(1)).max(1) * d
}

/// [b, h, t, d] over numbers that lie as [b, t, h, d].
fn heads(values: Vec<f32>, like: &FlexTensor) -> FlexTensor {
    let [b, h, t, d] = like.layout().shape().dims();
    let tensor = tensor(values, &[b, t, h, d]);
    let layout = tensor.layout().transpose(1, 2);
    tensor.with_layout(layout)
}

/// The rows of a matrix, which may lie in any order.
fn matrix(tensor: &FlexTensor) -> View<'_> {
    let (start, shape, strides) = strided::<2>(tensor);
    View { values: values(tensor), start, shape, strides }
}

fn linear_backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    grad: &FlexTensor,
    wanted: [bool; 2],
) -> (FlexTensor, FlexTensor) {
    let (inputs, weights, grads) = (matrix(x), matrix(weight), matrix(grad));
    let dx = if wanted[0] { tensor(multiplied(grads, weights, None), &shape(x)) } else { nothing() };
    let dw = if wanted[1] {
        tensor(multiplied(grads.transposed(), inputs, None), &shape(weight))
    } else {
        nothing()
    };
    (dx, dw)
}

impl FusedBackend for Flex {
    fn fused_one(a: FlexTensor, op: One) -> FlexTensor {
        let a = contiguous(a);
        let x = numbers(&a);
        match op {
            One::QuickGelu => {
                let mut out = vec![0.0; x.len()];
                out.par_chunks_mut(N_PIECE)
                    .zip(x.par_chunks(N_PIECE))
                    .for_each(|(out, x)| lanes::quick_gelu(x, out));
                tensor(out, &shape(&a))
            }
            One::Rotate(angles) => rotated(&a, &angles, 1.0),
            One::CrossEntropy(targets) => {
                let [m, v] = a.layout().shape().dims();
                assert_eq!(targets.len(), m, "a target for every row");
                let mut out = vec![0.0; m];
                let rows = x.par_chunks(v).zip(targets.par_iter());
                out.par_iter_mut().zip(rows).for_each(|(out, (row, target))| {
                    *out = lanes::log_sum_exp(row) - row[*target];
                });
                tensor(out, &[m])
            }
            One::TokenScores(targets) => {
                let [m, v] = a.layout().shape().dims();
                assert_eq!(targets.len(), m, "a target for every row");
                let mut out = vec![0.0; 2 * m];
                let rows = x.par_chunks(v).zip(targets.par_iter());
                out.par_chunks_mut(2).zip(rows).for_each(|(out, (row, target))| {
                    let [log_sum, entropy] = lanes::log_sum_and_entropy(row);
                    out.copy_from_slice(&[row[*target] - log_sum, entropy]);
                });
                tensor(out, &[m, 2])
            }
            One::SquareSum => {
                let parts: Vec<f32> = x.par_chunks(N_PIECE).map(lanes::square_sum).collect();
                let sum: f64 = parts.into_iter().map(f64::from).sum();
                let high = sum as f32;
                let low = if high.is_finite() { (sum - f64::from(high)) as f32 } else { 0.0 };
                tensor(vec![high, low], &[2])
            }
        }
    }

    fn fused_one_backward(a: FlexTensor, grad: FlexTensor, op: One) -> FlexTensor {
        let (a, grad) = (contiguous(a), contiguous(grad));
        let (x, dy) = (numbers(&a), numbers(&grad));
        match op {
            One::QuickGelu => {
                let mut out = vec![0.0; x.len()];
                let inputs = x.par_chunks(N_PIECE).zip(dy.par_chunks(N_PIECE));
                out.par_chunks_mut(N_PIECE)
                    .zip(inputs)
                    .for_each(|(out, (x, dy))| lanes::quick_gelu_backward(x, dy, out));
                tensor(out, &shape(&a))
            }
            One::Rotate(angles) => rotated(&grad, &angles, -1.0),
            One::CrossEntropy(targets) => {
                let [_, v] = a.layout().shape().dims();
                let mut out = vec![0.0; x.len()];
                let rows = x.par_chunks(v).zip(targets.par_iter()).zip(dy.par_iter());
                out.par_chunks_mut(v).zip(rows).for_each(|(out, ((row, target), dy))| {
                    lanes::scaled_softmax(row, *dy, out);
                    out[*target] -= dy;
                });
                tensor(out, &shape(&a))
            }
            One::TokenScores(targets) => {
                let [_, v] = a.layout().shape().dims();
                let mut out = vec![0.0; x.len()];
                let rows = x.par_chunks(v).zip(targets.par_iter()).zip(dy.par_chunks(2));
                out.par_chunks_mut(v).zip(rows).for_each(|(out, ((row, target), dy))| {
                    lanes::token_scores_backward(row, dy[0], dy[1], out);
                    out[*target] += dy[0];
                });
                tensor(out, &shape(&a))
            }
            One::SquareSum => unreachable!("a sum of squares is read, not descended"),
        }
    }

    fn fused_adamw(
        weight: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        descent: Descent,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        adamw::step(weight, gradient, first, second, &descent)
    }

    fn fused_two(a: FlexTensor, b: FlexTensor, op: Two) -> FlexTensor {
        match op {
            Two::Linear => {
                let (x, w) = (matrix(&a), matrix(&b));
                let shape = [x.shape[0], w.shape[0]];
                tensor(multiplied(x, w.transposed(), None), &shape)
            }
            Two::RmsNorm { eps } => {
                let (a, b) = (contiguous(a), contiguous(b));
                let (x, gain) = (numbers(&a), numbers(&b));
                let mut out = vec![0.0; x.len()];
                let n = piece(gain.len());
                out.par_chunks_mut(n)
                    .zip(x.par_chunks(n))
                    .for_each(|(out, x)| lanes::rms_norm(x, gain, eps, out));
                tensor(out, &shape(&a))
            }
            Two::Gated => {
                let (a, b) = (contiguous(a), contiguous(b));
                let (gate, up) = (numbers(&a), numbers(&b));
                assert_eq!(gate.len(), up.len(), "a gate for every number");
                let mut out = vec![0.0; gate.len()];
                let inputs = gate.par_chunks(N_PIECE).zip(up.par_chunks(N_PIECE));
                out.par_chunks_mut(N_PIECE)
                    .zip(inputs)
                    .for_each(|(out, (gate, up))| lanes::gated(gate, up, out));
                tensor(out, &shape(&a))
            }
        }
    }

    fn fused_two_backward(
        a: FlexTensor,
        b: FlexTensor,
        grad: FlexTensor,
        op: Two,
        wanted: [bool; 2],
    ) -> (FlexTensor, FlexTensor) {
        match op {
            Two::Linear => linear_backward(&a, &b, &grad, wanted),
            Two::RmsNorm { eps } => {
                let (a, b, grad) = (contiguous(a), contiguous(b), contiguous(grad));
                let (x, gain, dy) = (numbers(&a), numbers(&b), numbers(&grad));
                let mut d_x = vec![0.0; x.len()];
                let (d, n) = (gain.len(), piece(gain.len()));
                let inputs = x.par_chunks(n).zip(dy.par_chunks(n));
                let parts: Vec<Vec<f32>> = d_x
                    .par_chunks_mut(n)
                    .zip(inputs)
                    .map(|(d_x, (x, dy))| {
                        let mut d_gain = vec![0.0; d];
                        lanes::rms_norm_backward(x, gain, dy, eps, d_x, &mut d_gain);
                        d_gain
                    })
                    .collect();
                (tensor(d_x, &shape(&a)), tensor(total(&parts, d), &[d]))
            }
            Two::Gated => {
                let (a, b, grad) = (contiguous(a), contiguous(b), contiguous(grad));
                let (gate, up, dy) = (numbers(&a), numbers(&b), numbers(&grad));
                let [mut d_gate, mut d_up] = [(); 2].map(|()| vec![0.0; gate.len()]);
                let inputs = gate.par_chunks(N_PIECE).zip(up.par_chunks(N_PIECE)).zip(dy.par_chunks(N_PIECE));
                d_gate.par_chunks_mut(N_PIECE).zip(d_up.par_chunks_mut(N_PIECE)).zip(inputs).for_each(
                    |((d_gate, d_up), ((gate, up), dy))| {
                        lanes::gated_backward(gate, up, dy, d_gate, d_up);
                    },
                );
                (tensor(d_gate, &shape(&a)), tensor(d_up, &shape(&b)))
            }
        }
    }

    fn fused_three(a: FlexTensor, b: FlexTensor, c: FlexTensor, op: Three) -> FlexTensor {
        match op {
            Three::Linear => {
                let c = contiguous(c);
                let (x, w) = (matrix(&a), matrix(&b));
                let shape = [x.shape[0], w.shape[0]];
                tensor(multiplied(x, w.transposed(), Some(numbers(&c))), &shape)
            }
            Three::LayerNorm { eps } => {
                let (a, b, c) = (contiguous(a), contiguous(b), contiguous(c));
                let (x, gain, bias) = (numbers(&a), numbers(&b), numbers(&c));
                let mut out = vec![0.0; x.len()];
                let n = piece(gain.len());
                out.par_chunks_mut(n)
                    .zip(x.par_chunks(n))
                    .for_each(|(out, x)| lanes::layer_norm(x, gain, bias, eps, out));
                tensor(out, &shape(&a))
            }
            Three::Attention(sight) => heads(attention::forward(&a, &b, &c, &sight), &a),
        }
    }

    fn fused_three_backward(
        a: FlexTensor,
        b: FlexTensor,
        c: FlexTensor,
        grad: FlexTensor,
        op: Three,
        wanted: [bool; 3],
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        match op {
            Three::Linear => {
                let grad = contiguous(grad);
                let (dx, dw) = linear_backward(&a, &b, &grad, [wanted[0], wanted[1]]);
                let n = c.layout().num_elements();
                let dc = if wanted[2] { tensor(row_sum(numbers(&grad), n), &[n]) } else { nothing() };
                (dx, dw, dc)
            }
            Three::LayerNorm { eps } => {
                let (a, b, grad) = (contiguous(a), contiguous(b), contiguous(grad));
                let (x, gain, dy) = (numbers(&a), numbers(&b), numbers(&grad));
                let mut d_x = vec![0.0; x.len()];
                let (d, n) = (gain.len(), piece(gain.len()));
                let inputs = x.par_chunks(n).zip(dy.par_chunks(n));
                let parts: Vec<[Vec<f32>; 2]> = d_x
                    .par_chunks_mut(n)
                    .zip(inputs)
                    .map(|(d_x, (x, dy))| {
                        let [mut d_gain, mut d_bias] = [(); 2].map(|()| vec![0.0; d]);
                        lanes::layer_norm_backward(x, gain, dy, eps, d_x, &mut d_gain, &mut d_bias);
                        [d_gain, d_bias]
                    })
                    .collect();
                let [d_gain, d_bias] = [0, 1].map(|i| total(parts.iter().map(|part| &part[i]), d));
                (tensor(d_x, &shape(&a)), tensor(d_gain, &[d]), tensor(d_bias, &[d]))
            }
            Three::Attention(sight) => {
                let [da, db, dc] = attention::backward([&a, &b, &c, &grad], &sight);
                (heads(da, &a), heads(db, &b), heads(dc, &c))
            }
        }
    }
}

/// Every head of every row turned by the row's angles, forwards or backwards.
fn rotated(x: &FlexTensor, angles: &super::Angles, direction: f32) -> FlexTensor {
    let [n_row, h, d] = x.layout().shape().dims();
    let half = d / 2;
    assert_eq!(angles.cos.len(), n_row * half, "angles for every row");
    let values = numbers(x);
    let mut out = vec![0.0; values.len()];
    let n = piece(h * d);
    let n_angle = n / (h * d) * half;
    let tables = angles.cos.par_chunks(n_angle).zip(angles.sin.par_chunks(n_angle));
    out.par_chunks_mut(n).zip(values.par_chunks(n)).zip(tables).for_each(|((out, x), (cos, sin))| {
        lanes::rotate(x, cos, sin, half, h, direction, out);
    });
    tensor(out, &[n_row, h, d])
}
