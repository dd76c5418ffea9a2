//! softmax(q·kᵀ/√d)·v without a matrix of scores (after Dao et al. 2022, "`FlashAttention`", section 3.1).
//!
//! The queries of all heads that share a key head are rows of one matrix, so that keys and values are read once for
//! them. A cube takes some of the rows and walks over the keys, 32 at a time: scores in shared memory, the largest so
//! far and the sum so far beside them, outputs in registers, rescaled where the largest grows. Keys that no row of the
//! cube may see are not visited. Where there are too few rows to fill a GPU, as in generation, the keys are divided
//! among several cubes, and a second launch joins what they found. Rows of keys and values are read where the
//! cache keeps them. The scalar twin is `dot::attend`; the tests below hold every form to the definition.
#![expect(
    clippy::used_underscore_binding,
    reason = "kernels name their types in an argument that the launch fills"
)]
#![expect(clippy::too_many_lines, reason = "one walk over the keys, in the order in which it happens")]

use burn::backend::TensorMetadata;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::empty_like;

/// Units of a cube along rows, and along keys or channels.
const N_SIDE: usize = 8;
const N_UNIT: usize = N_SIDE * N_SIDE;
/// Keys, and channels, that are in shared memory at a time, and those of a unit.
const N_KEY: usize = 32;
const N_OWN: usize = N_KEY / N_SIDE;
/// Floats from one row to the next in shared memory: odd, so that rows lie in different banks.
const PITCH: usize = N_KEY + 1;
/// Below every score: the largest of none.
const LEAST: f32 = -1e30;
/// Cubes that keep a GPU busy, and the keys that a cube should have at least.
const N_BUSY: usize = 128;
const N_LEAST_KEY: usize = 2 * N_KEY;
/// Channels of a head that outputs in registers are made for.
const N_CHANNEL: usize = 256;

/// What the kernel is compiled for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Form {
    /// Channels of a head.
    d: usize,
    /// Rows of a unit.
    n_row: usize,
    /// Whether queries see keys up to their own place only.
    causal: bool,
    /// Whether keys are divided among cubes.
    divided: bool,
}

/// Sizes inside a kernel.
#[derive(CubeType)]
struct Sizes {
    /// Key heads.
    n_head: usize,
    /// Query heads of a key head.
    group: usize,
    n_query: usize,
    n_key: usize,
    /// Cubes that share the keys of a row.
    n_part: usize,
}

/// Adds the products of 32 channels that are in shared memory.
#[cube]
fn scores_of_tile(
    left: &Shared<[f32]>,
    right: &Shared<[f32]>,
    scores: &mut Array<f32>,
    own_row: usize,
    own_key: usize,
    #[comptime] n_row: usize,
) {
    for channel in 0..N_KEY {
        #[unroll]
        for j in 0..N_OWN {
            let key = right[(own_key + j * N_SIDE) * PITCH + channel];
            #[unroll]
            for i in 0..n_row {
                scores[i * N_OWN + j] += left[(own_row + i * N_SIDE) * PITCH + channel] * key;
            }
        }
    }
}

/// The attention of one cube's rows; `first` is the first key that its sequence has.
#[cube]
fn attend_rows(
    query: &Tensor<f32>,
    key: &Tensor<f32>,
    value: &Tensor<f32>,
    out: &mut Tensor<f32>,
    sizes: &Sizes,
    first: usize,
    scale: f32,
    #[comptime] form: Form,
) {
    let (d, n_row) = comptime!((form.d, form.n_row));
    let n_chunk = comptime!(form.d.div_ceil(N_KEY));
    let unit = UNIT_POS_X as usize;
    let (own_row, own_key) = (unit / N_SIDE, unit % N_SIDE);
    let (sample, head) = (CUBE_POS_Y as usize / sizes.n_head, CUBE_POS_Y as usize % sizes.n_head);
    let rows = sizes.group * sizes.n_query;
    let first_row = CUBE_POS_X as usize * comptime!(N_SIDE * n_row);
    let before = sizes.n_key - sizes.n_query;
    // Rows follow each other by query, then by head. Which keys some row of this cube sees:
    let last_row = min(first_row + comptime!(N_SIDE * n_row), rows) - 1;
    let mut from = 0usize.runtime();
    if before + first_row / sizes.group >= first {
        from = first;
    }
    let mut end = sizes.n_key;
    if comptime!(form.causal) {
        end = before + last_row / sizes.group + 1;
    }
    // This cube's share of them, in whole tiles.
    let n_tile = (end - from).div_ceil(N_KEY).div_ceil(sizes.n_part);
    let start = from + CUBE_POS_Z as usize * n_tile * N_KEY;
    end = min(end, start + n_tile * N_KEY);

    let mut left = Shared::<[f32]>::new_slice(comptime!(N_SIDE * n_row * PITCH));
    let mut right = Shared::<[f32]>::new_slice(comptime!(N_KEY * PITCH));
    let mut weights = Shared::<[f32]>::new_slice(comptime!(N_SIDE * n_row * PITCH));
    let mut outputs = Array::<f32>::new(comptime!(n_chunk * n_row * N_OWN));
    #[unroll]
    for idx in 0..comptime!(n_chunk * n_row * N_OWN) {
        outputs[idx] = f32::new(0.0_f32);
    }
    let mut largest = Array::<f32>::new(n_row);
    let mut sums = Array::<f32>::new(n_row);
    // The last key that each row sees, and the first.
    let mut lasts = Array::<usize>::new(n_row);
    let mut firsts = Array::<usize>::new(n_row);
    #[unroll]
    for i in 0..n_row {
        largest[i] = f32::new(LEAST);
        sums[i] = f32::new(0.0_f32);
        let place = before + min(first_row + own_row + i * N_SIDE, rows - 1) / sizes.group;
        lasts[i] = sizes.n_key - 1;
        if comptime!(form.causal) {
            lasts[i] = place;
        }
        firsts[i] = select(place < first, 0usize, first);
    }

    let mut tile = start;
    while tile < end {
        let mut scores = Array::<f32>::new(comptime!(n_row * N_OWN));
        #[unroll]
        for idx in 0..comptime!(n_row * N_OWN) {
            scores[idx] = f32::new(0.0_f32);
        }
        for chunk in 0..n_chunk {
            sync_cube();
            #[unroll]
            for part in 0..comptime!(n_row * N_OWN) {
                let (line, channel) = (part * comptime!(N_UNIT / N_KEY) + unit / N_KEY, unit % N_KEY);
                let row = min(first_row + line, rows - 1);
                let at = chunk * N_KEY + channel;
                let place = sample * query.stride(0)
                    + (head * sizes.group + row % sizes.group) * query.stride(1)
                    + row / sizes.group * query.stride(2)
                    + min(at, d - 1) * query.stride(3);
                left[line * PITCH + channel] = select(at < d, query[place] * scale, f32::new(0.0_f32));
            }
            #[unroll]
            for part in 0..comptime!(N_KEY * N_KEY / N_UNIT) {
                let (line, channel) = (part * comptime!(N_UNIT / N_KEY) + unit / N_KEY, unit % N_KEY);
                let at = chunk * N_KEY + channel;
                let place = sample * key.stride(0)
                    + head * key.stride(1)
                    + min(tile + line, sizes.n_key - 1) * key.stride(2)
                    + min(at, d - 1) * key.stride(3);
                right[line * PITCH + channel] = select(at < d, key[place], f32::new(0.0_f32));
            }
            sync_cube();
            scores_of_tile(&left, &right, &mut scores, own_row, own_key, n_row);
        }
        // Forbidden scores take no part in the largest, and weigh nothing.
        #[unroll]
        for i in 0..n_row {
            #[unroll]
            for j in 0..N_OWN {
                let at = tile + own_key + j * N_SIDE;
                let allowed = at < end && at <= lasts[i] && at >= firsts[i];
                weights[(own_row + i * N_SIDE) * PITCH + own_key + j * N_SIDE] =
                    select(allowed, scores[i * N_OWN + j], f32::new(LEAST));
            }
        }
        sync_cube();
        let mut shrink = Array::<f32>::new(n_row);
        #[unroll]
        for i in 0..n_row {
            let mut most = largest[i];
            for at in 0..N_KEY {
                most = max(most, weights[(own_row + i * N_SIDE) * PITCH + at]);
            }
            shrink[i] = f32::exp(max(largest[i] - most, f32::new(-80.0_f32)));
            largest[i] = most;
            sums[i] *= shrink[i];
        }
        sync_cube();
        #[unroll]
        for i in 0..n_row {
            #[unroll]
            for j in 0..N_OWN {
                let at = tile + own_key + j * N_SIDE;
                let allowed = at < end && at <= lasts[i] && at >= firsts[i];
                let weight = f32::exp(max(scores[i * N_OWN + j] - largest[i], f32::new(-100.0_f32)));
                weights[(own_row + i * N_SIDE) * PITCH + own_key + j * N_SIDE] =
                    select(allowed, weight, f32::new(0.0_f32));
            }
        }
        #[unroll]
        for chunk in 0..n_chunk {
            #[unroll]
            for idx in 0..comptime!(n_row * N_OWN) {
                outputs[chunk * comptime!(n_row * N_OWN) + idx] *= shrink[comptime!(idx / N_OWN)];
            }
            #[unroll]
            for part in 0..comptime!(N_KEY * N_KEY / N_UNIT) {
                let (line, channel) = (part * comptime!(N_UNIT / N_KEY) + unit / N_KEY, unit % N_KEY);
                let at = comptime!(chunk * N_KEY) + channel;
                let place = sample * value.stride(0)
                    + head * value.stride(1)
                    + min(tile + line, sizes.n_key - 1) * value.stride(2)
                    + min(at, d - 1) * value.stride(3);
                right[line * PITCH + channel] = value[place];
            }
            sync_cube();
            for at in 0..N_KEY {
                #[unroll]
                for i in 0..n_row {
                    let weight = weights[(own_row + i * N_SIDE) * PITCH + at];
                    if comptime!(chunk == 0) {
                        sums[i] += weight;
                    }
                    #[unroll]
                    for j in 0..N_OWN {
                        outputs[chunk * comptime!(n_row * N_OWN) + i * N_OWN + j] +=
                            weight * right[at * PITCH + own_key + j * N_SIDE];
                    }
                }
            }
            sync_cube();
        }
        tile += N_KEY;
    }

    #[unroll]
    for i in 0..n_row {
        let row = first_row + own_row + i * N_SIDE;
        if row < rows {
            if comptime!(form.divided) {
                // What the parts found: outputs, the sum and the largest.
                let place =
                    ((CUBE_POS_Z * CUBE_COUNT_Y + CUBE_POS_Y) as usize * rows + row) * comptime!(d + 2);
                #[unroll]
                for idx in 0..comptime!(n_chunk * N_OWN) {
                    let at = comptime!(idx / N_OWN * N_KEY + idx % N_OWN * N_SIDE) + own_key;
                    if at < d {
                        out[place + at] =
                            outputs[comptime!(idx / N_OWN * n_row * N_OWN + idx % N_OWN) + i * N_OWN];
                    }
                }
                if own_key == 0 {
                    out[place + d] = sums[i];
                    out[place + d + 1] = largest[i];
                }
            } else {
                let share = f32::new(1.0_f32) / sums[i];
                let place = ((sample * sizes.n_query + row / sizes.group) * sizes.n_head * sizes.group
                    + head * sizes.group
                    + row % sizes.group)
                    * d;
                #[unroll]
                for idx in 0..comptime!(n_chunk * N_OWN) {
                    let at = comptime!(idx / N_OWN * N_KEY + idx % N_OWN * N_SIDE) + own_key;
                    if at < d {
                        out[place + at] =
                            outputs[comptime!(idx / N_OWN * n_row * N_OWN + idx % N_OWN) + i * N_OWN] * share;
                    }
                }
            }
        }
    }
}

#[cube(launch)]
fn attend(
    query: &Tensor<f32>,
    key: &Tensor<f32>,
    value: &Tensor<f32>,
    out: &mut Tensor<f32>,
    group: u32,
    n_part: u32,
    scale: f32,
    #[comptime] form: Form,
) {
    let (n_query, n_key) = (query.shape(2), key.shape(2));
    let (group, n_part) = (group as usize, n_part as usize);
    let sizes = Sizes { n_head: key.shape(1), group, n_query, n_key, n_part };
    attend_rows(query, key, value, out, &sizes, 0usize.runtime(), scale, form);
}

#[cube(launch)]
fn attend_from<I: Int>(
    query: &Tensor<f32>,
    key: &Tensor<f32>,
    value: &Tensor<f32>,
    firsts: &Tensor<I>,
    out: &mut Tensor<f32>,
    group: u32,
    n_part: u32,
    scale: f32,
    #[comptime] form: Form,
    #[define(I)] _dtype: ElemType,
) {
    let (n_query, n_key) = (query.shape(2), key.shape(2));
    let (group, n_part) = (group as usize, n_part as usize);
    let sizes = Sizes { n_head: key.shape(1), group, n_query, n_key, n_part };
    let first = u32::cast_from(firsts[CUBE_POS_Y as usize / sizes.n_head]) as usize;
    attend_rows(query, key, value, out, &sizes, first, scale, form);
}

/// Joins what the cubes of a row found, a unit for each channel.
#[cube(launch)]
fn join_parts(
    parts: &Tensor<f32>,
    out: &mut Tensor<f32>,
    n_head: u32,
    group: u32,
    n_query: u32,
    n_part: u32,
    n_channel: u32,
    d: u32,
) {
    let position = ((CUBE_POS_X + CUBE_POS_Y * CUBE_COUNT_X) * CUBE_DIM_X + UNIT_POS_X) as usize;
    let (d, group, n_head, n_query) = (d as usize, group as usize, n_head as usize, n_query as usize);
    if position < n_channel as usize {
        // As `out` lies: sample, query, head, channel.
        let (channel, row) = (position % d, position / d);
        let (head, place) = (row % (n_head * group), row / (n_head * group));
        let (query, sample) = (place % n_query, place / n_query);
        let rows = group * n_query;
        let line = (sample * n_head + head / group) * rows + query * group + head % group;
        let stride = n_channel as usize / d;
        let mut largest = f32::new(LEAST);
        for part in 0..n_part as usize {
            largest = max(largest, parts[(part * stride + line) * (d + 2) + d + 1]);
        }
        let (mut sum, mut total) = (f32::new(0.0_f32), f32::new(0.0_f32));
        for part in 0..n_part as usize {
            let from = (part * stride + line) * (d + 2);
            let share = f32::exp(max(parts[from + d + 1] - largest, f32::new(-100.0_f32)));
            sum += parts[from + d] * share;
            total += parts[from + channel] * share;
        }
        out[position] = total / sum;
    }
}

/// Which keys a query may see.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for a launch")]
pub(crate) enum Seen {
    /// All.
    All,
    /// Those up to its own place.
    Causal,
    /// Those up to its own place from a sequence's first on; what lies before the first sees itself.
    From(CubeTensor),
}

/// Whether heads of `d` channels fit.
pub(crate) fn fits(d: usize) -> bool {
    (1..=N_CHANNEL).contains(&d)
}

/// softmax(q·kᵀ/√d)·v for each head. Tensors may be parts of larger ones.
///
/// # Shapes
/// - `query`: `[b, h, t, d]`
/// - `key`, `value`: `[b, h_kv, s, d]`
/// - `Seen::From`: `[b]` whole numbers
/// - returns: `[b, h, t, d]`, lying as `[b, t, h, d]`
pub(crate) fn launch(query: CubeTensor, key: CubeTensor, value: CubeTensor, seen: Seen) -> CubeTensor {
    let n_tile = key.shape()[2].div_ceil(N_KEY);
    let [b, h, t, _] = query.shape().dims();
    let n_row = if h / key.shape()[1].max(1) * t <= 2 * N_SIDE { 1 } else { 4 };
    let n_cube = (h / key.shape()[1].max(1) * t).div_ceil(N_SIDE * n_row) * b * key.shape()[1];
    // Parts for a GPU that would stand idle, none of them too small.
    let n_part = (N_BUSY / n_cube.max(1)).min(n_tile * N_KEY / N_LEAST_KEY).max(1);
    launch_parts(query, key, value, seen, n_row, n_part)
}

fn launch_parts(
    query: CubeTensor,
    key: CubeTensor,
    value: CubeTensor,
    seen: Seen,
    n_row: usize,
    n_part: usize,
) -> CubeTensor {
    let ([b, h, t, d], [b_key, n_head, n_key, d_key]) = (query.shape().dims(), key.shape().dims());
    assert_eq!((b_key, d_key, key.shape()), (b, d, value.shape()), "keys and values of other queries");
    assert!(h.is_multiple_of(n_head) && t <= n_key && fits(d), "heads that do not fit");
    let (group, client) = (h / n_head, query.client.clone());
    let out = empty_like(&query, &[b, t, h, d]);
    let mut result = out.clone();
    result.meta.swap(1, 2);
    if b * h * t == 0 {
        return result;
    }
    let rows = group * t;
    let n_block = rows.div_ceil(N_SIDE * n_row);
    assert!(b * n_head <= super::N_CUBE && n_block <= super::N_CUBE, "more heads than a launch has");
    let form = Form { d, n_row, causal: !matches!(seen, Seen::All), divided: n_part > 1 };
    let found = if n_part > 1 { empty_like(&query, &[n_part, b * h * t, d + 2]) } else { out.clone() };
    let count = CubeCount::Static(n_block as u32, (b * n_head) as u32, n_part as u32);
    let dim = CubeDim::new_1d(N_UNIT as u32);
    let scale = (1.0 / (d as f64).sqrt()) as f32;
    let [query, key, value, to] = [query, key, value, found.clone()].map(CubeTensor::into_tensor_arg);
    let (n_group, parts) = (group as u32, n_part as u32);
    match seen {
        Seen::All | Seen::Causal => {
            attend::launch(&client, count, dim, query, key, value, to, n_group, parts, scale, form);
        }
        Seen::From(firsts) => {
            let dtype = burn::backend::cubecl::dtype_to_storage_type(firsts.dtype);
            let firsts = firsts.into_tensor_arg();
            attend_from::launch(
                &client, count, dim, query, key, value, firsts, to, n_group, parts, scale, form, dtype,
            );
        }
    }
    if n_part > 1 {
        let n_channel = b * h * t * d;
        join_parts::launch(
            &client,
            super::cubes(n_channel.div_ceil(N_UNIT), 1),
            CubeDim::new_1d(N_UNIT as u32),
            found.into_tensor_arg(),
            out.into_tensor_arg(),
            n_head as u32,
            n_group,
            t as u32,
            parts,
            n_channel as u32,
            d as u32,
        );
    }
    result
}

#[cfg(test)]
mod tests {
    use burn::backend::Cube;
    use burn::tensor::{Int, Tensor, TensorData};

    use super::{Seen, launch, launch_parts};
    use crate::cube::tests::{device, read};
    use crate::testing::uniform;

    /// Which keys the query at a place sees.
    #[derive(Clone, Debug)]
    enum Sees {
        All,
        Causal,
        From(Vec<i32>),
    }

    #[test]
    fn every_form_equals_the_definition() {
        let Some(device) = device() else { return };
        let check = |sees: Sees, [b, h, h_kv, t, s, d]: [usize; 6], size: f32| {
            // Queries lie as a projection leaves them, keys and values as the beginning of a longer cache.
            let (n_room, sized) =
                (s + 3, |n, seed| uniform(n, seed).iter().map(|x| x * size).collect::<Vec<_>>());
            let (q, k, v) =
                (sized(b * t * h * d, 1), sized(b * h_kv * n_room * d, 2), uniform(b * h_kv * n_room * d, 3));
            let tensor = |values: &[f32], shape: [usize; 4]| {
                Tensor::<4>::from_data(TensorData::new(values.to_vec(), shape), &device)
            };
            let query = tensor(&q, [b, t, h, d]).swap_dims(1, 2);
            let [key, value] = [&k, &v].map(|x| tensor(x, [b, h_kv, n_room, d]).narrow(2, 0, s));
            let mut wanted = Vec::new();
            for (sample, place, head) in (0..b * t * h).map(|i| (i / h / t, i / h % t, i % h)) {
                let (row, own) = (&q[((sample * t + place) * h + head) * d..][..d], s - t + place);
                let kv = (sample * h_kv + head / (h / h_kv)) * n_room * d;
                let sees_key = |at: usize| match &sees {
                    Sees::All => true,
                    Sees::Causal => at <= own,
                    Sees::From(firsts) => {
                        at <= own && (at >= firsts[sample] as usize || own < firsts[sample] as usize)
                    }
                };
                let score = |at: usize| {
                    let products = row.iter().zip(&k[kv + at * d..][..d]);
                    products.map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>() / (d as f64).sqrt()
                };
                let seen: Vec<(usize, f64)> =
                    (0..s).filter(|at| sees_key(*at)).map(|at| (at, score(at))).collect();
                let most = seen.iter().fold(f64::NEG_INFINITY, |most, (_, score)| most.max(*score));
                let weights: Vec<(usize, f64)> =
                    seen.iter().map(|(at, score)| (*at, (score - most).exp())).collect();
                let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
                wanted.extend((0..d).map(|i| {
                    weights.iter().map(|(at, weight)| weight * f64::from(v[kv + at * d + i])).sum::<f64>()
                        / sum
                }));
            }
            let primitive = |x: &Tensor<4>| x.clone().try_into_primitive::<Cube>().unwrap();
            let seen = || match &sees {
                Sees::All => Seen::All,
                Sees::Causal => Seen::Causal,
                Sees::From(firsts) => {
                    let firsts = Tensor::<1, Int>::from_data(firsts.as_slice(), &device);
                    Seen::From(firsts.try_into_primitive::<Cube>().unwrap())
                }
            };
            // Scores of hundreds carry the rounding of their products into the exponent.
            let allowed = 2e-5 * f64::from(size.max(1.0).powi(2));
            for (n_row, n_part) in [(0, 0), (1, 1), (4, 1), (1, 3), (4, 2)] {
                let [query, key, value] = [&query, &key, &value].map(primitive);
                let found = match n_row {
                    0 => launch(query, key, value, seen()),
                    _ => launch_parts(query, key, value, seen(), n_row, n_part),
                };
                let found = Tensor::<4>::from_primitive::<Cube>(found).swap_dims(1, 2);
                assert_eq!(found.dims(), [b, t, h, d]);
                let found = read::<4>(found.try_into_primitive::<Cube>().unwrap());
                let worst =
                    found.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
                assert!(
                    worst < allowed,
                    "{sees:?} {b} {h} {h_kv} {t} {s} {d} × {size}, {n_row} {n_part}: {worst}"
                );
            }
        };
        // A step of generation, windows, prompts; odd sizes; heads narrower and wider than a tile.
        check(Sees::Causal, [1, 16, 2, 1, 300, 64], 1.0);
        check(Sees::All, [3, 2, 2, 64, 64, 80], 1.0);
        check(Sees::Causal, [2, 6, 2, 37, 70, 16], 1.0);
        check(Sees::Causal, [1, 1, 1, 1, 1, 1], 1.0);
        check(Sees::All, [1, 3, 1, 5, 33, 130], 1.0);
        check(Sees::From(vec![0, 5, 66]), [3, 4, 2, 9, 70, 16], 1.0);
        check(Sees::From(vec![40]), [1, 2, 1, 70, 70, 64], 1.0);
        check(Sees::Causal, [1, 4, 2, 20, 50, 64], 30.0);
        check(Sees::All, [1, 2, 2, 8, 40, 16], 1e-20);
    }
}
