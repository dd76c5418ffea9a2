//! Every path against sums in 64 bits, over odd sizes and extreme values.

use super::attention::{Attention, Places, Seen};
use super::product::{Format, Panels, Product, Way};
use super::rows::Rows;
use super::tile::{Before, Then};
use super::{Activation, Layer, Norm, Workspace, math, run};
use crate::path::CpuPath;

/// Numbers in −1 … 1 that look like chance.
fn draw(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn rows(values: &[f32], width: usize) -> Rows {
    let mut rows = Rows::default();
    rows.reshape(values.len() / width, width);
    for (idx, values) in values.chunks_exact(width).enumerate() {
        rows.row_mut(idx).copy_from_slice(values);
    }
    rows
}

fn read(rows: &Rows) -> Vec<f32> {
    (0..rows.n_row()).flat_map(|idx| rows.row(idx).to_vec()).collect()
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for path in CpuPath::available() {
        for format in [Format::Full, Format::Bf16] {
            let way = Way::new(path, format);
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
    }
    ways
}

/// The distribution of the normal law by its series, or beyond 6 by nothing left.
fn phi(x: f64) -> f64 {
    if x < -12.0 {
        return 0.0;
    }
    if x > 12.0 {
        return 1.0;
    }
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() && n < 500.0 {
        term *= x * x / (2.0 * n + 1.0);
        sum += term;
        n += 1.0;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn then(then: Then, x: f64) -> f64 {
    match then {
        Then::Kept => x,
        Then::Gelu => x * phi(x),
        Then::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
    }
}

#[test]
fn every_path_is_the_sum_of_products() {
    let check = |way: Way, [m, n, k]: [usize; 3], scale: f32, before: Before, what: Then| {
        let scaled = |seed| draw(seed, (m + n) * k).into_iter().map(|x| x * scale).collect::<Vec<_>>();
        let (x, weight) = (scaled(1)[..m * k].to_vec(), draw(2, n * k));
        let (bias, old) = (draw(3, n), draw(4, m * n));
        let panels = Panels::with(way, &weight, [n, k], Some(&bias));
        let mut out = rows(&old, n);
        let x_rows = rows(&x, k);
        panels.multiply(
            Product { before, then: what, ..Product::new(&x_rows, &mut out) },
            &mut Rows::default(),
        );
        let short = matches!(way, Way::Floats(_)).then_some(1.5e-6).unwrap_or(8e-3);
        for (idx, found) in read(&out).into_iter().enumerate() {
            let (row, column) = (idx / n, idx % n);
            let (mut sum, mut size) = (f64::from(bias[column]), 1.0_f64);
            for step in 0..k {
                let product = f64::from(x[row * k + step]) * f64::from(weight[column * k + step]);
                sum += product;
                size += product.abs();
            }
            if before == Before::AddedTo {
                sum += f64::from(old[idx]);
            }
            let expected = then(what, sum);
            let error = (f64::from(found) - expected).abs();
            assert!(
                error <= short * size.sqrt().max(size * 0.3),
                "{way:?} {m} × {n} × {k}, {what:?}: {found} for {expected}"
            );
        }
    };
    for way in ways() {
        for size in [[1, 1, 1], [7, 3, 5], [13, 65, 33], [50, 96, 257], [5, 200, 300], [300, 17, 70]] {
            for before in [Before::Replaced, Before::AddedTo] {
                for what in [Then::Kept, Then::Gelu, Then::QuickGelu] {
                    check(way, size, 1.0, before, what);
                }
            }
        }
        for scale in [1e-38, 1e-20, 1e15, 1e30] {
            check(way, [3, 20, 40], scale, Before::Replaced, Then::Kept);
        }
        check(way, [400, 300, 520], 1.0, Before::Replaced, Then::Kept);
    }
}

#[test]
fn nonlinearities_are_their_definitions() {
    let mut values: Vec<f32> = (-40_000..40_000).map(|i| i as f32 * 5e-4).collect();
    values.extend([0.0, -0.0, 1e-38, -1e-38, 1e-45, 1e30, -1e30, f32::MAX, f32::MIN, 87.5, -87.5]);
    for (what, apply) in
        [(Then::Gelu, math::gelu as fn(&mut [f32])), (Then::QuickGelu, math::quick_gelu as fn(&mut [f32]))]
    {
        let mut found = values.clone();
        apply(&mut found);
        for (x, found) in values.iter().zip(found) {
            let expected = then(what, f64::from(*x));
            let error = (f64::from(found) - expected).abs();
            assert!(error <= 3e-7 * expected.abs().max(1.0), "{what:?} of {x}: {found} for {expected}");
        }
        let mut odd = [f32::INFINITY, f32::NAN];
        apply(&mut odd);
        assert!(odd[0] == f32::INFINITY && odd[1].is_nan(), "{what:?}: {odd:?}");
    }
}

#[test]
fn every_path_attends_as_defined() {
    let check =
        |[n_sample, n_head, n_key, d_head]: [usize; 4], seen: Seen, one: Option<&[usize]>, scale: f32| {
            let d = n_head * d_head;
            let all: Vec<f32> = draw(7, n_sample * n_key * 3 * d).into_iter().map(|x| x * scale).collect();
            let all_rows = rows(&all, 3 * d);
            let places: Vec<Vec<usize>> = (0..n_sample)
                .map(|sample| one.map_or((0..n_key).collect(), |places| vec![places[sample]]))
                .collect();
            let mut query = Rows::default();
            let n_query = places[0].len();
            query.reshape(n_sample * n_query, d);
            let mut expected = Vec::new();
            for sample in 0..n_sample {
                for (idx, place) in places[sample].iter().enumerate() {
                    let row = &all[(sample * n_key + place) * 3 * d..][..d];
                    query.row_mut(sample * n_query + idx).copy_from_slice(row);
                    for head in 0..n_head {
                        let n_seen = if seen == Seen::Causal { place + 1 } else { n_key };
                        let part = |key: usize, which: usize| {
                            &all[(sample * n_key + key) * 3 * d + which * d + head * d_head..][..d_head]
                        };
                        let scores: Vec<f64> = (0..n_seen)
                            .map(|key| {
                                let products = row[head * d_head..][..d_head].iter().zip(part(key, 1));
                                products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
                                    / (d_head as f64).sqrt()
                            })
                            .collect();
                        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let total: f64 = scores.iter().map(|score| (score - top).exp()).sum();
                        expected.extend((0..d_head).map(|i| {
                            let terms = scores.iter().enumerate();
                            terms
                                .map(|(key, score)| (score - top).exp() / total * f64::from(part(key, 2)[i]))
                                .sum::<f64>()
                        }));
                    }
                }
            }
            for path in CpuPath::available() {
                let attention = Attention {
                    query: &query,
                    key_value: &all_rows,
                    key_column: d,
                    n_sample,
                    n_head,
                    d_head,
                    place: one.map_or(Places::All, Places::One),
                    seen,
                };
                let mut out = Rows::default();
                attention.compute(path, &mut out);
                for (found, expected) in read(&out).into_iter().zip(&expected) {
                    let error = (f64::from(found) - expected).abs();
                    assert!(
                        error <= 3e-6 * f64::from(scale) * f64::from(scale.max(1.0)).powi(2),
                        "{path:?} {n_sample} {n_head} {n_key} {d_head} {seen:?}: {found} for {expected}"
                    );
                }
            }
        };
    for size in [[1, 1, 1, 1], [2, 3, 5, 7], [1, 2, 50, 64], [2, 1, 197, 64], [1, 2, 77, 40], [3, 2, 33, 96]]
    {
        for scale in [1.0, 20.0, 1e-20] {
            check(size, Seen::All, None, scale);
            check(size, Seen::Causal, None, scale);
            let places: Vec<usize> = (0..size[0]).map(|sample| (sample * 13 + 4) % size[2]).collect();
            check(size, Seen::Causal, Some(&places), scale);
            check(size, Seen::All, Some(&places), scale);
        }
    }
}

#[test]
fn short_floats_are_rounded_to_the_nearest() {
    for (value, expected) in [
        (1.0, 0x3f80),
        (-2.5, 0xc020),
        (f32::from_bits(0x3f80_8000), 0x3f80),
        (f32::from_bits(0x3f81_8000), 0x3f82),
        (f32::from_bits(0x3f80_8001), 0x3f81),
        (f32::INFINITY, 0x7f80),
        (f32::MAX, 0x7f80),
        (1e-45, 0),
    ] {
        assert_eq!(math::pair([value, 0.0]), expected, "{value}");
        assert_eq!(math::pair([0.0, value]), expected << 16, "{value}");
    }
    assert!(f32::from_bits(math::pair([f32::from_bits(0x7f80_0001), 0.0]) << 16).is_nan());
}

/// The last block computes only what is read: it must be what computing all of it gives.
#[test]
fn a_row_that_is_read_is_that_of_the_whole() {
    let check = |d: usize, n_head: usize, n_position: usize, seen: Seen, format: Format| {
        let layer = |seed: u64| {
            let matrix = |seed, n_out: usize, n_in: usize| {
                Panels::new(&draw(seed, n_out * n_in), [n_out, n_in], Some(&draw(seed + 1, n_out)), format)
            };
            let norm = |seed| Norm { gain: draw(seed, d), bias: draw(seed + 1, d), epsilon: 1e-5 };
            Layer {
                norm1: norm(seed),
                query_key_value: matrix(seed + 10, 3 * d, d),
                out: matrix(seed + 20, d, d),
                norm2: norm(seed + 30),
                fc1: matrix(seed + 40, 4 * d, d),
                fc2: matrix(seed + 50, d, 4 * d),
                n_head,
                activation: Activation::Gelu,
            }
        };
        let layers = [layer(100), layer(200)];
        let input = draw(5, 3 * n_position * d);
        let read_at = [0, n_position / 2, n_position - 1];
        let (mut found, mut workspace) = (Rows::default(), Workspace::default());
        run(&layers, &mut rows(&input, d), &read_at, seen, &mut found, &mut workspace);
        // A block that changes nothing behind them makes the last one an inner one.
        let mut still = layer(300);
        still.out = Panels::new(&vec![0.0; d * d], [d, d], None, format);
        still.fc2 = Panels::new(&vec![0.0; 4 * d * d], [d, 4 * d], None, format);
        let layers: Vec<Layer> = layers.into_iter().chain([still]).collect();
        let mut whole = Rows::default();
        run(&layers, &mut rows(&input, d), &read_at, seen, &mut whole, &mut workspace);
        for (found, whole) in read(&found).into_iter().zip(read(&whole)) {
            assert!(
                (found - whole).abs() <= 2e-4 * whole.abs().max(1.0),
                "{d} {n_position} {seen:?}: {found} for {whole}"
            );
        }
    };
    for seen in [Seen::All, Seen::Causal] {
        check(64, 1, 9, seen, Format::Full);
        check(128, 4, 50, seen, Format::Full);
        check(40, 5, 7, seen, Format::Full);
    }
}
