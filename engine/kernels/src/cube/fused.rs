//! Steps of a transformer as single launches: norms, rotation, gated and plain activations, without gradients.
//!
//! Composed of the tensor library's operations each is three to eight launches, and on a fast GPU a small launch
//! costs about what the work in it does. A norm is one cube a row: units add up their shares, and the row is read
//! again from the cache. The rest is one unit an element or pair. The scalar twins are in `fused::lanes`; the
//! tests below hold each to its formula in double precision.

use burn::backend::TensorMetadata;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::{cubes, empty_like};

/// Units of a cube.
const N_UNIT: usize = 128;

/// The sum of one number of every unit, known to all.
#[cube]
fn total(value: f32, shared: &mut Shared<[f32]>) -> f32 {
    let unit = UNIT_POS_X as usize;
    shared[unit] = value;
    sync_cube();
    let mut width = comptime!(N_UNIT / 2).runtime();
    while width > 0 {
        if unit < width {
            let other = shared[unit + width];
            shared[unit] += other;
        }
        sync_cube();
        width /= 2;
    }
    let sum = shared[0];
    // Nobody writes the next sum before all have read this one.
    sync_cube();
    sum
}

#[cube(launch)]
fn rms_norm_rows(x: &Tensor<f32>, gain: &Tensor<f32>, out: &mut Tensor<f32>, n_row: u32, d: u32, eps: f32) {
    let row = (CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) as usize;
    let d = d as usize;
    let start = min(row, n_row as usize - 1) * d;
    let mut shared = Shared::<[f32]>::new_slice(N_UNIT);
    let mut squares = f32::new(0.0_f32);
    let mut i = UNIT_POS_X as usize;
    while i < d {
        squares += x[start + i] * x[start + i];
        i += N_UNIT;
    }
    let scale = f32::new(1.0_f32) / f32::sqrt(total(squares, &mut shared) / f32::cast_from(d) + eps);
    let mut i = UNIT_POS_X as usize;
    while i < d {
        if row < n_row as usize {
            out[start + i] = x[start + i] * scale * gain[i];
        }
        i += N_UNIT;
    }
}

#[cube(launch)]
fn layer_norm_rows(
    x: &Tensor<f32>,
    gain: &Tensor<f32>,
    bias: &Tensor<f32>,
    out: &mut Tensor<f32>,
    n_row: u32,
    d: u32,
    eps: f32,
) {
    let row = (CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) as usize;
    let d = d as usize;
    let start = min(row, n_row as usize - 1) * d;
    let mut shared = Shared::<[f32]>::new_slice(N_UNIT);
    let mut sum = f32::new(0.0_f32);
    let mut i = UNIT_POS_X as usize;
    while i < d {
        sum += x[start + i];
        i += N_UNIT;
    }
    let mean = total(sum, &mut shared) / f32::cast_from(d);
    let mut squares = f32::new(0.0_f32);
    let mut i = UNIT_POS_X as usize;
    while i < d {
        let apart = x[start + i] - mean;
        squares += apart * apart;
        i += N_UNIT;
    }
    let scale = f32::new(1.0_f32) / f32::sqrt(total(squares, &mut shared) / f32::cast_from(d) + eps);
    let mut i = UNIT_POS_X as usize;
    while i < d {
        if row < n_row as usize {
            out[start + i] = (x[start + i] - mean) * scale * gain[i] + bias[i];
        }
        i += N_UNIT;
    }
}

/// The place of this unit among all of them.
#[cube]
fn position() -> usize {
    ((CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) * CUBE_DIM_X + UNIT_POS_X) as usize
}

/// x · σ(factor · x); the exponent stays where its power is finite.
#[cube]
fn sigmoid_times(x: f32, #[comptime] factor: f32) -> f32 {
    let exponent = min(x * f32::new(comptime!(-factor)), f32::new(80.0_f32));
    x / (f32::new(1.0_f32) + f32::exp(exponent))
}

#[cube(launch)]
fn gated_elements(gate: &Tensor<f32>, up: &Tensor<f32>, out: &mut Tensor<f32>, n: u32) {
    let i = position();
    if i < n as usize {
        out[i] = sigmoid_times(gate[i], 1.0_f32) * up[i];
    }
}

#[cube(launch)]
fn quick_gelu_elements(x: &Tensor<f32>, out: &mut Tensor<f32>, n: u32) {
    let i = position();
    if i < n as usize {
        out[i] = sigmoid_times(x[i], 1.702_f32);
    }
}

#[cube(launch)]
fn rotate_pairs(x: &Tensor<f32>, cos: &Tensor<f32>, sin: &Tensor<f32>, out: &mut Tensor<f32>, n_pair: u32) {
    let pair = position();
    if pair < n_pair as usize {
        let (n_head, half) = (x.shape(1), x.shape(2) / 2);
        let channel = pair % half;
        let head = pair / half % n_head;
        let row = pair / half / n_head;
        let from = row * x.stride(0) + head * x.stride(1);
        let (low, high) = (x[from + channel * x.stride(2)], x[from + (channel + half) * x.stride(2)]);
        let (cosine, sine) = (cos[row * half + channel], sin[row * half + channel]);
        let to = (row * n_head + head) * 2 * half + channel;
        out[to] = low * cosine - high * sine;
        out[to + half] = high * cosine + low * sine;
    }
}

fn dims(tensor: &CubeTensor) -> Vec<usize> {
    tensor.shape().to_vec()
}

/// Rows and their width.
fn rows(tensor: &CubeTensor) -> (usize, usize) {
    let dims = dims(tensor);
    let d = dims.last().copied().unwrap_or(1);
    (dims.iter().product::<usize>() / d.max(1), d)
}

/// Cubes of units for `n` elements.
fn cubes_of_units(n: usize) -> CubeCount {
    assert!(u32::try_from(n).is_ok(), "a tensor of more elements than a launch counts");
    cubes(n.div_ceil(N_UNIT), 1)
}

const UNITS: u32 = N_UNIT as u32;

/// See `fused::rms_norm`.
pub(crate) fn rms_norm(x: CubeTensor, gain: CubeTensor, eps: f64) -> CubeTensor {
    let (x, gain) = (into_contiguous(x), into_contiguous(gain));
    let (out, (n_row, d), client) = (empty_like(&x, &dims(&x)), rows(&x), x.client.clone());
    if n_row * d > 0 {
        let [x, gain, to] = [x, gain, out.clone()].map(CubeTensor::into_tensor_arg);
        let (count, dim) = (cubes(n_row, 1), CubeDim::new_1d(UNITS));
        rms_norm_rows::launch(&client, count, dim, x, gain, to, n_row as u32, d as u32, eps as f32);
    }
    out
}

/// See `fused::layer_norm`.
pub(crate) fn layer_norm(x: CubeTensor, gain: CubeTensor, bias: CubeTensor, eps: f64) -> CubeTensor {
    let [x, gain, bias] = [x, gain, bias].map(into_contiguous);
    let (out, (n_row, d), client) = (empty_like(&x, &dims(&x)), rows(&x), x.client.clone());
    if n_row * d > 0 {
        let [x, gain, bias, to] = [x, gain, bias, out.clone()].map(CubeTensor::into_tensor_arg);
        let (count, dim) = (cubes(n_row, 1), CubeDim::new_1d(UNITS));
        layer_norm_rows::launch(&client, count, dim, x, gain, bias, to, n_row as u32, d as u32, eps as f32);
    }
    out
}

/// See `fused::gated`.
pub(crate) fn gated(gate: CubeTensor, up: CubeTensor) -> CubeTensor {
    let (gate, up) = (into_contiguous(gate), into_contiguous(up));
    assert_eq!(dims(&gate), dims(&up), "a gate for every element");
    let (out, n, client) =
        (empty_like(&gate, &dims(&gate)), gate.shape().num_elements(), gate.client.clone());
    if n > 0 {
        let [gate, up, to] = [gate, up, out.clone()].map(CubeTensor::into_tensor_arg);
        gated_elements::launch(&client, cubes_of_units(n), CubeDim::new_1d(UNITS), gate, up, to, n as u32);
    }
    out
}

/// See `fused::quick_gelu`.
pub(crate) fn quick_gelu(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let (out, n, client) = (empty_like(&x, &dims(&x)), x.shape().num_elements(), x.client.clone());
    if n > 0 {
        let [x, to] = [x, out.clone()].map(CubeTensor::into_tensor_arg);
        quick_gelu_elements::launch(&client, cubes_of_units(n), CubeDim::new_1d(UNITS), x, to, n as u32);
    }
    out
}

/// See `fused::rotate`. The rows of `x` may lie in any order.
///
/// # Shapes
/// - `cos`, `sin`: `[rows, half]`
pub(crate) fn rotate(x: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
    let (cos, sin) = (into_contiguous(cos), into_contiguous(sin));
    let [n_row, _, width] = x.shape().dims();
    assert_eq!(
        (dims(&cos), dims(&sin)),
        (vec![n_row, width / 2], vec![n_row, width / 2]),
        "an angle for every pair"
    );
    let (out, n_pair, client) = (empty_like(&x, &dims(&x)), x.shape().num_elements() / 2, x.client.clone());
    if n_pair > 0 {
        let [x, cos, sin, to] = [x, cos, sin, out.clone()].map(CubeTensor::into_tensor_arg);
        let (count, dim) = (cubes_of_units(n_pair), CubeDim::new_1d(UNITS));
        rotate_pairs::launch(&client, count, dim, x, cos, sin, to, n_pair as u32);
    }
    out
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};

    use crate::cube::tests::device;
    use crate::fused;
    use crate::testing::uniform;

    /// Compares with numbers in double precision, relative to the largest of them.
    fn close(name: &str, found: &[f32], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len(), "{name}");
        let size = wanted.iter().fold(1e-30_f64, |size, x| size.max(x.abs()));
        for (found, wanted) in found.iter().zip(wanted) {
            assert!(
                (f64::from(*found) - wanted).abs() <= 3e-6 * size,
                "{name}: {found} for {wanted} of {size}"
            );
        }
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_into_vec::<f32>().unwrap()
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|x| f64::from(*x)).collect()
    }

    #[test]
    fn norms_equal_their_formulas() {
        let Some(device) = device() else { return };
        let tensor =
            |values: &[f32], shape| Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), &device);
        for (n_row, d, scale) in [(1, 1, 1.0), (3, 37, 1e-3), (2, 128, 1e4), (5, 1000, 1.0), (70, 96, 1e-12)]
        {
            let x: Vec<f32> = uniform(n_row * d, 3).iter().map(|x| x * scale + scale).collect();
            let (gain, bias) = (uniform(d, 4), uniform(d, 5));
            let [gains, biases] = [&gain, &bias].map(|x| tensor(x, [1, d]).reshape([d]));
            let (mut rms, mut layer) = (Vec::new(), Vec::new());
            for row in wide(&x).chunks(d) {
                let mean = row.iter().sum::<f64>() / d as f64;
                let square = row.iter().map(|x| x * x).sum::<f64>() / d as f64;
                let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / d as f64;
                for ((x, g), b) in row.iter().zip(wide(&gain)).zip(wide(&bias)) {
                    rms.push(x / (square + 1e-6).sqrt() * g);
                    layer.push((x - mean) / (variance + 1e-5).sqrt() * g + b);
                }
            }
            let input = tensor(&x, [n_row, d]);
            assert!(fused::takes(&input));
            close("rms", &read(fused::rms_norm(input.clone(), gains.clone(), 1e-6)), &rms);
            close("layer", &read(fused::layer_norm(input, gains, biases, 1e-5)), &layer);
        }
    }

    #[test]
    fn activations_and_rotation_equal_their_formulas() {
        let Some(device) = device() else { return };
        for (n, scale) in [(1, 1.0), (77, 8.0), (1000, 200.0), (129, 1e-30)] {
            let [a, b] = [6, 7].map(|seed| uniform(n, seed).iter().map(|x| x * scale).collect::<Vec<_>>());
            let [x, y] = [&a, &b].map(|x| Tensor::<1>::from_data(TensorData::new(x.clone(), [n]), &device));
            let sigmoid = |x: f64, factor: f64| x / (1.0 + (-factor * x).exp());
            let gated: Vec<f64> =
                wide(&a).iter().zip(wide(&b)).map(|(gate, up)| sigmoid(*gate, 1.0) * up).collect();
            let gelu: Vec<f64> = wide(&a).iter().map(|x| sigmoid(*x, 1.702)).collect();
            close("gated", &read(fused::gated(x.clone(), y)), &gated);
            close("gelu", &read(fused::quick_gelu(x)), &gelu);
        }
        for [rows, h, half] in [[1, 1, 1], [5, 3, 8], [130, 2, 40]] {
            let (x, angles) = (uniform(rows * 2 * h * 2 * half, 8), uniform(rows * half, 9));
            let table =
                |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [rows, half]), &device);
            let tables = [
                table(angles.iter().map(|a| (9.0 * a).cos()).collect()),
                table(angles.iter().map(|a| (9.0 * a).sin()).collect()),
            ];
            // Every other head, so that rows do not follow each other.
            let input = Tensor::<3>::from_data(TensorData::new(x.clone(), [rows, 2 * h, 2 * half]), &device);
            let found = read(fused::rotate_by(input.narrow(1, h, h), tables));
            let mut wanted = Vec::new();
            for row in 0..rows {
                for head in h..2 * h {
                    let head = wide(&x[(row * 2 * h + head) * 2 * half..][..2 * half]);
                    let angle = |j: usize| f64::from(9.0 * angles[row * half + j % half]);
                    wanted.extend(
                        (0..half).map(|j| head[j] * angle(j).cos() - head[j + half] * angle(j).sin()),
                    );
                    wanted.extend(
                        (0..half).map(|j| head[j + half] * angle(j).cos() + head[j] * angle(j).sin()),
                    );
                }
            }
            close("rotate", &found, &wanted);
        }
    }
}
