//! Computing activations again gives the gradients of keeping them, for the whole model, for adapters and for frozen
//! parts, in less memory; and short floats in products change a gradient's length and direction little.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/random.rs"]
mod random;

use std::collections::BTreeMap;
use std::time::Instant;

use burn::tensor::{Device, Gradients};
use eosin_model::ModelError;
use eosin_model::linear::Precision;
use eosin_model::lora::{LoraSettings, Part};
use eosin_model::qwen::loss::cross_entropy_sum;
use eosin_model::qwen::{Activations, Config, Qwen, TrainBatch};
use serde_json::json;

const IMAGE_PAD: u32 = 3;

fn config(hidden: usize, n_layer: usize, tied: bool) -> Config {
    Config::from_hf(&json!({
        "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "vocab_size": 200, "hidden_size": hidden, "intermediate_size": hidden * 8 / 3 / 8 * 8,
        "num_hidden_layers": n_layer, "num_attention_heads": hidden / 32, "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": tied, "max_position_embeddings": 2048,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        "image_token_id": IMAGE_PAD, "vision_start_token_id": 1, "vision_end_token_id": 2, "video_token_id": 5,
        "hidden_act": "silu",
        "vision_config": {
            "depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "out_hidden_size": hidden,
            "in_channels": 3, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112,
            "fullatt_block_indexes": [1], "hidden_act": "silu",
        },
    }))
    .unwrap()
}

/// Rows of `n_token` with two pictures among them, the first of which two rows show.
fn batch(config: &Config, n_token: usize) -> TrainBatch {
    let images = vec![random::picture(config, [2, 3], 1), random::picture(config, [5, 4], 2)];
    let image_at = vec![0, 0, 1];
    let mut ids: Vec<Vec<u32>> = Vec::new();
    for (row, image) in image_at.iter().enumerate() {
        let n_image = images[*image].grid.n_token();
        let words = random::numbers(row as u64 + 9).map(|number| 6 + (number % 190) as u32);
        let mut own = vec![7, 1];
        own.extend(vec![IMAGE_PAD; n_image]);
        own.push(2);
        own.extend(words.take(n_token - own.len()));
        ids.push(own);
    }
    // Words only.
    ids.push(random::numbers(77).map(|number| 6 + (number % 190) as u32).take(n_token).collect());
    let taught = ids.iter().map(|ids| (0..ids.len()).map(|idx| idx > ids.len() / 2).collect()).collect();
    TrainBatch { ids, taught, images, segments: None, image_at: Some(image_at) }
}

/// Loss, and sums of gradients by name: of the weights, or of the adapters where there are some.
fn learn(
    model: &Qwen,
    batch: &TrainBatch,
    activations: Activations,
) -> (f32, BTreeMap<String, Vec<f32>>, usize) {
    let (mut sums, mut loss, mut n_piece) = (BTreeMap::<String, Vec<f32>>::new(), 0.0, 0);
    let mut take = |gradients: Gradients| {
        n_piece += 1;
        let own = model.tensors();
        let weights =
            own.iter().filter_map(|tensor| Some((tensor.name.clone(), tensor.gradient(&gradients)?)));
        let adapters = model.adapter_gradients(&gradients).unwrap();
        let adapters = adapters.into_iter().map(|tensor| (tensor.name, tensor.values));
        for (name, values) in weights.chain(adapters) {
            match sums.get_mut(&name) {
                Some(sum) => sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value),
                None => drop(sums.insert(name, values)),
            }
        }
    };
    let result = model.learn::<ModelError>(
        batch,
        activations,
        |scores| {
            let n_taught = scores.places.len();
            let mean = cross_entropy_sum(scores.logits, scores.targets).div_scalar(n_taught as f64);
            loss = mean.clone().into_scalar::<f32>();
            Ok(mean)
        },
        &mut take,
    );
    result.unwrap();
    (loss, sums, n_piece)
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// The length of the difference, relative to the length.
fn apart(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let difference: Vec<f32> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
    length(&difference) / length(expected).max(1e-12)
}

#[test]
fn gradients_are_those_of_kept_activations() {
    let device = Device::flex().autodiff();
    let check =
        |name: &str, tied: bool, n_gradient: usize, n_expected: usize, prepare: &dyn Fn(Qwen) -> Qwen| {
            let config = config(64, 3, tied);
            let model = prepare(random::model(&config, 4, 4.0, &device));
            let batch = batch(&config, 40);
            let (loss, kept, n_piece) = learn(&model, &batch, Activations::Kept);
            assert_eq!((n_piece, kept.len()), (1, n_gradient), "{name}");
            let (again, found, n_piece) = learn(&model, &batch, Activations::Recomputed);
            assert!((loss - again).abs() / loss < 1e-5, "{name}: loss {again} for {loss}");
            assert_eq!((n_piece, found.len()), (n_expected, kept.len()), "{name}");
            let mut worst = 0.0_f64;
            for (tensor, expected) in &kept {
                // Maps of keys have biases that softmax does not see: their slope is rounding.
                let distance = apart(&found[tensor], expected);
                assert!(distance < 1e-4 || length(expected) < 1e-5, "{name}: {tensor} is {distance:e} apart");
                if length(expected) >= 1e-5 {
                    worst = worst.max(distance);
                }
            }
            println!("{name}: {} gradients, at most {worst:e} apart, in {n_piece} pieces", kept.len());
        };
    // Vision: 12 a block, patches and 5 of the merger; decoder: 12 a block, embedding and norm.
    let (n_tower, n_merger, n_decoder) = (2 * 12 + 1, 5, 3 * 12 + 2);
    check("tied", true, n_tower + n_merger + n_decoder, 1 + 3 + 1 + 1 + 2 + 1, &|model| model);
    check("untied", false, n_tower + n_merger + n_decoder + 1, 1 + 3 + 1 + 1 + 2 + 1, &|model| model);
    check("merger and decoder", true, n_merger + n_decoder, 1 + 3 + 1 + 1, &|model| {
        model.freeze(&[Part::Tower])
    });
    check("decoder", true, n_decoder, 1 + 3 + 1, &|model| model.freeze(&[Part::Tower, Part::Merger]));
    check("vision alone", true, n_tower + n_merger, 1 + 3 + 1 + 1 + 2 + 1, &|model| {
        model.freeze(&[Part::Decoder])
    });
    let lora = LoraSettings { targets: vec!["layers.2.self_attn.q_proj".into()], ..LoraSettings::default() };
    check("one adapter at the top", true, 2, 1 + 1, &|model| model.with_adapters(&lora).unwrap());
    let everywhere = LoraSettings { parts: Part::ALL.to_vec(), ..LoraSettings::default() };
    // Patches are embedded by no map that has an adapter.
    check("adapters everywhere", true, 2 * (3 * 7 + 2 * 5 + 2), 1 + 3 + 1 + 1 + 2, &|model| {
        model.with_adapters(&everywhere).unwrap()
    });
}

#[test]
fn a_batch_that_teaches_nothing_does_nothing() {
    let config = config(64, 2, true);
    let model = random::model(&config, 4, 4.0, &Device::flex().autodiff());
    let mut batch = batch(&config, 30);
    batch.taught.iter_mut().for_each(|row| row.fill(false));
    for activations in [Activations::Kept, Activations::Recomputed] {
        let (loss, gradients, n_piece) = learn(&model, &batch, activations);
        assert_eq!((loss.to_bits(), gradients.len(), n_piece), (0, 0, 0));
    }
}

/// Highest resident memory since the last call, in MiB, where the system tells.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let peak: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(peak / 1024.0)
}

/// Says what it saves and costs; other tests that run beside it are in the figures, so nothing hangs on them.
#[test]
fn memory_and_time() {
    let config = config(256, 8, true);
    let model = random::model(&config, 4, 2.0, &Device::flex().autodiff());
    let batch = batch(&config, 384);
    for activations in [Activations::Recomputed, Activations::Kept] {
        let before = peak_mib();
        let now = std::fs::read_to_string("/proc/self/statm").ok();
        let resident =
            now.and_then(|now| now.split(' ').nth(1)?.parse::<f64>().ok()).map(|pages| pages / 256.0);
        let clock = Instant::now();
        learn(&model, &batch, activations);
        let secs = clock.elapsed().as_secs_f64();
        if let (Some(_), Some(resident), Some(peak)) = (before, resident, peak_mib()) {
            println!("{activations:?}: {:.0} MiB above {resident:.0} MiB, {secs:.2} s", peak - resident);
        }
    }
}

#[test]
fn short_floats_change_little() {
    let device = Device::flex().autodiff();
    let config = config(64, 2, true);
    let batch = batch(&config, 40);
    let full = random::model(&config, 4, 4.0, &device);
    let (loss, expected, _) = learn(&full, &batch, Activations::Kept);
    for (precision, limit) in [(Precision::Bf16, 0.1), (Precision::F16, 0.02)] {
        let model = full.clone().with_precision(precision);
        for activations in [Activations::Kept, Activations::Recomputed] {
            let (found_loss, found, _) = learn(&model, &batch, activations);
            assert!((found_loss - loss).abs() / loss < 0.01, "{precision:?}: loss {found_loss} for {loss}");
            assert_ne!(found_loss.to_bits(), loss.to_bits(), "{precision:?} is of effect");
            let all = |gradients: &BTreeMap<String, Vec<f32>>| {
                gradients.values().flatten().copied().collect::<Vec<_>>()
            };
            let distance = apart(&all(&found), &all(&expected));
            assert!(distance < limit, "{precision:?}: gradients are {distance} apart");
            println!(
                "{precision:?}, {activations:?}: loss {found_loss} for {loss}, gradients {distance:.4} apart"
            );
        }
        // Weights and their gradients stay what they are.
        assert!(model.named_weights() == full.named_weights());
    }
}
