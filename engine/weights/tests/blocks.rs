//! Blocks against gguf-py: dequantisation of random blocks and the exact quantisers, bit for bit; error
//! bounds for the quantisers that search. References: `tests/golden/make_blocks.py`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use std::path::Path;

use eosin_weights::{GgmlType, Gguf, RawTensor, WeightSource as _, dequantize, quantize};

fn golden() -> Gguf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/weights/blocks.gguf");
    Gguf::open(&path).unwrap()
}

#[test]
fn dequantisation_equals_gguf_py() {
    let golden = golden();
    for kind in GgmlType::ALL.into_iter().filter(|kind| *kind != GgmlType::F32) {
        let blocks = golden.tensor(kind.name()).unwrap();
        let expected = golden.tensor(&format!("{kind}.f32")).unwrap().to_f32();
        assert_eq!(blocks.kind, kind);
        assert!(expected.len() >= 1024, "{kind}");
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&blocks.to_f32()), bits(&expected), "{kind}");
        // One block at a time, from bytes at an odd address.
        let mut shifted = vec![0];
        shifted.extend_from_slice(&blocks.bytes);
        let mut out = vec![0.0; kind.block_len()];
        for (bytes, expected) in
            shifted[1..].chunks_exact(kind.block_bytes()).zip(expected.chunks_exact(kind.block_len()))
        {
            dequantize(kind, bytes, &mut out);
            assert_eq!(bits(&out), bits(expected), "{kind}");
        }
    }
}

#[test]
fn exact_quantisers_equal_gguf_py() {
    let golden = golden();
    let rows = golden.tensor("rows").unwrap().to_f32();
    for kind in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::F16, GgmlType::Bf16] {
        let expected = golden.tensor(&format!("rows.{kind}")).unwrap();
        let mut out = vec![7];
        quantize(kind, &rows, &mut out);
        assert_eq!(out[0], 7, "quantize appends");
        for (block, (ours, theirs)) in out[1..]
            .chunks_exact(kind.block_bytes())
            .zip(expected.bytes.chunks_exact(kind.block_bytes()))
            .enumerate()
        {
            let source = &rows[block * kind.block_len()..][..kind.block_len()];
            assert_eq!(ours, theirs, "{kind}, block {block} of {source:?}");
        }
    }
}

/// Numbers of a bell curve by summing twelve uniform ones; xorshift with a fixed seed.
fn bell(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
}

fn relative_error(kind: GgmlType, values: &[f32]) -> f64 {
    let stored = RawTensor::from_f32("x", kind, vec![values.len() / 256, 256], values).unwrap().to_f32();
    let square = |x: f32| f64::from(x) * f64::from(x);
    let error: f64 = stored.iter().zip(values).map(|(x, y)| square(x - y)).sum();
    (error / values.iter().map(|x| square(*x)).sum::<f64>()).sqrt()
}

#[test]
fn errors_are_as_small_as_the_bits_allow() {
    let values = bell(256 * 512);
    // Bounds a tenth above what ggml's own quantisers reach on such numbers; each extra bit halves it.
    for (kind, bound) in [
        (GgmlType::F32, 0.0),
        (GgmlType::F16, 3e-4),
        (GgmlType::Bf16, 3e-3),
        (GgmlType::Q8_0, 0.0062),
        (GgmlType::Q6K, 0.021),
        (GgmlType::Q5K, 0.040),
        (GgmlType::Q4K, 0.082),
        (GgmlType::Q4_0, 0.100),
    ] {
        let error = relative_error(kind, &values);
        assert!(error <= bound, "{kind}: {error}");
        assert!(error >= bound * 0.4, "{kind}: {error}, a bound that cannot fail is none");
    }
}

#[test]
fn extreme_rows_stay_finite() {
    let mut cases: Vec<(&str, Vec<f32>)> = vec![
        ("zero", vec![0.0; 256]),
        ("constant", vec![0.25; 256]),
        ("negative constant", vec![-0.25; 256]),
        ("tiny", bell(256).iter().map(|x| x * 1e-30).collect()),
        ("large", bell(256).iter().map(|x| x * 1e4).collect()),
        ("positive", bell(256).iter().map(|x| x.abs() + 1.0).collect()),
    ];
    let mut spike = vec![0.0; 256];
    spike[100] = -5.0;
    cases.push(("spike", spike));
    for kind in GgmlType::ALL {
        for (name, values) in &cases {
            let stored = RawTensor::from_f32("x", kind, vec![256], values).unwrap().to_f32();
            let largest = values.iter().fold(0.0_f32, |a, x| a.max(x.abs()));
            for (x, y) in stored.iter().zip(values) {
                let bound = if kind.is_quantized() { 0.13 * largest } else { 0.004 * largest };
                // Halves cannot hold scales below 6e-8, so tiny rows become zero.
                assert!(
                    (x - y).abs() <= bound || *x == 0.0 && largest < 1e-6,
                    "{kind}, {name}: {y} became {x}"
                );
            }
        }
        // Not numbers at all: whatever is stored, nothing panics.
        for wild in [f32::NAN, f32::INFINITY, f32::MAX, f32::MIN] {
            let mut values = bell(256);
            values[3] = wild;
            quantize(kind, &values, &mut Vec::new());
        }
    }
}

#[test]
fn types_turn_into_each_other_in_pieces_as_in_one() {
    // Longer than one task, and not a multiple of it.
    let values = bell(256 * 600);
    for from in GgmlType::ALL {
        let source = RawTensor::from_f32("x", from, vec![600, 256], &values).unwrap();
        for to in GgmlType::ALL {
            let expected = if from == to {
                source.bytes.clone()
            } else {
                RawTensor::from_f32("x", to, vec![600, 256], &source.to_f32()).unwrap().bytes
            };
            assert!(source.to_kind("x", to).unwrap().bytes == expected, "{from} to {to}");
        }
    }
    let narrow = RawTensor::from_f32("x", GgmlType::F32, vec![2, 48], &bell(96)).unwrap();
    assert!(narrow.to_kind("x", GgmlType::Q8_0).is_err());
}

#[test]
fn shapes_must_hold_their_values() {
    let check =
        |kind, shape: Vec<usize>, n| assert!(RawTensor::from_f32("x", kind, shape, &vec![0.0; n]).is_err());
    check(GgmlType::Q4K, vec![2, 128], 256);
    check(GgmlType::Q8_0, vec![33], 33);
    check(GgmlType::F32, vec![4], 3);
    check(GgmlType::F32, vec![usize::MAX, 2], 2);
}
