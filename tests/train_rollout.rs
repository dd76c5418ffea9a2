//! Batched rollouts say what one sequence after the other says: greedy answers, draws from one seed, log-probabilities
//! of a forward pass that is taught the answer; and what is banned never comes. A random model of a few thousand
//! weights serves; its weights are larger than a fresh model's, so that scores lie apart.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/greedy.rs"]
mod answer;
#[path = "support/random.rs"]
mod random;

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use eosin_core::PatchGrid;
use eosin_model::prepare::ImageTensor;
use eosin_model::qwen::{
    Config, Pictures, Qwen, Rollout, RolloutPrompt, RolloutSettings, Stop, TrainBatch, mrope_positions,
};
use random::{model, numbers, picture};
use serde_json::json;

const VISION_START: u32 = 1;
const VISION_END: u32 = 2;
const IMAGE_PAD: u32 = 3;
const END: u32 = 4;

/// A configuration of the shape of the demonstration model.
fn config(n_vocab: usize, hidden: usize, n_layer: usize, vision: usize) -> Config {
    Config::from_hf(&json!({
        "model_type": "qwen2_5_vl",
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "vocab_size": n_vocab, "hidden_size": hidden, "intermediate_size": hidden * 8 / 3,
        "num_hidden_layers": n_layer, "num_attention_heads": hidden / 32, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": true, "max_position_embeddings": 2048,
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        "image_token_id": IMAGE_PAD, "vision_start_token_id": VISION_START, "vision_end_token_id": VISION_END,
        "video_token_id": 5, "hidden_act": "silu",
        "vision_config": {
            "depth": n_layer, "hidden_size": vision, "intermediate_size": vision * 14 / 5,
            "num_heads": vision / 32, "out_hidden_size": hidden, "in_channels": 3, "patch_size": 14,
            "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112,
            "fullatt_block_indexes": [1, 3], "hidden_act": "silu",
        },
    }))
    .unwrap()
}

/// Words, with pictures after the third.
fn prompt(
    n_word: usize,
    pictures: &[usize],
    images: &[ImageTensor],
    n_vocab: usize,
    seed: u64,
) -> RolloutPrompt {
    let words: Vec<u32> =
        numbers(seed).take(n_word).map(|value| 6 + (value % (n_vocab as u64 - 6)) as u32).collect();
    let mut ids = words[..3].to_vec();
    for picture in pictures {
        ids.push(VISION_START);
        ids.extend(vec![IMAGE_PAD; images[*picture].grid.n_token()]);
        ids.push(VISION_END);
    }
    ids.extend(&words[3..]);
    RolloutPrompt { ids, pictures: pictures.to_vec(), n_rollout: 1, stream: seed }
}

struct Bench {
    model: Qwen,
    images: Vec<ImageTensor>,
    pictures: Pictures,
    prompts: Vec<RolloutPrompt>,
}

impl Bench {
    fn new() -> Self {
        let config = config(60, 64, 2, 64);
        let model = model(&config, 11, 6.0, &Device::flex());
        let images: Vec<ImageTensor> = [[2, 3], [5, 4], [3, 3]]
            .iter()
            .zip(0..)
            .map(|(size, seed)| picture(&config, *size, seed))
            .collect();
        let pictures = model.encode_pictures(&images).unwrap();
        let prompt = |n_word, own: &[usize], seed| prompt(n_word, own, &images, 60, seed);
        let prompts = vec![
            prompt(4, &[], 1),
            prompt(9, &[0], 2),
            prompt(30, &[1], 3),
            prompt(5, &[2, 0], 4),
            prompt(17, &[1], 5),
            prompt(6, &[1, 1], 6),
        ];
        Self { model, images, pictures, prompts }
    }

    fn images_of(&self, prompt: &RolloutPrompt) -> Vec<ImageTensor> {
        prompt.pictures.iter().map(|picture| self.images[*picture].clone()).collect()
    }

    /// Likeliest tokens, one prompt and one token at a time.
    fn greedy(&self, prompt: &RolloutPrompt, max_new_tokens: usize) -> Vec<u32> {
        let images = self.images_of(prompt);
        let features = (!images.is_empty()).then(|| self.model.encode_images(&images).unwrap());
        if let [image] = &images[..] {
            let features = features.as_ref().unwrap();
            let question = answer::Question { ids: &prompt.ids, features, grid: image.grid };
            return answer::greedy(&self.model, &question, &[END], max_new_tokens).unwrap();
        }
        let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
        let positions = mrope_positions(&prompt.ids, &grids, &self.model.config().tokens).unwrap();
        let mut cache = self.model.cache(16);
        let mut scores = self.model.prefill(&prompt.ids, features.as_ref(), &positions, &mut cache).unwrap();
        let mut answer = Vec::new();
        loop {
            let best = scores.argmax(0).into_scalar::<i64>() as u32;
            if best == END || answer.len() == max_new_tokens {
                return answer;
            }
            answer.push(best);
            let position = positions.next + answer.len() as u32 - 1;
            scores = self.model.decode(best, position, &mut cache).unwrap();
        }
    }

    fn rollout(&self, prompts: &[RolloutPrompt], settings: &RolloutSettings) -> Vec<Rollout> {
        self.model.rollout(prompts, &self.pictures, settings).unwrap()
    }
}

fn settings(temperature: Option<f32>) -> RolloutSettings {
    RolloutSettings {
        max_new_tokens: 40,
        temperature,
        ends: vec![END],
        seed: 5,
        ..RolloutSettings::default()
    }
}

#[test]
fn greedy_answers_are_those_of_one_sequence_after_the_other() {
    let bench = Bench::new();
    let expected: Vec<Vec<u32>> = bench.prompts.iter().map(|prompt| bench.greedy(prompt, 40)).collect();
    for max_rows in [1, 2, 4, 100] {
        let settings = RolloutSettings { max_rows, ..settings(None) };
        let found = bench.rollout(&bench.prompts, &settings);
        let words: Vec<Vec<u32>> = found.iter().map(|rollout| rollout.words().to_vec()).collect();
        assert_eq!(words, expected, "{max_rows} rows");
        for Rollout { ids, logprobs, stop } in &found {
            assert_eq!(ids.len(), logprobs.len());
            assert_eq!(*stop == Stop::End, ids.last() == Some(&END));
            assert!(*stop == Stop::End || ids.len() == 40);
        }
    }
    // Answers of different kinds were compared.
    let n_token: std::collections::BTreeSet<u32> = expected.concat().into_iter().collect();
    assert!(n_token.len() > 8, "{n_token:?}");
}

#[test]
fn one_seed_is_one_answer_whatever_else_is_in_the_batch() {
    let bench = Bench::new();
    let groups: Vec<RolloutPrompt> =
        bench.prompts.iter().map(|prompt| RolloutPrompt { n_rollout: 5, ..prompt.clone() }).collect();
    let settings = RolloutSettings { top_k: 30, top_p: 0.95, ..settings(Some(1.3)) };
    let together = bench.rollout(&groups, &settings);
    assert_eq!(together.len(), 30);
    assert!(together.iter().any(|rollout| rollout.stop == Stop::End), "some end early, so that some leave");
    let check = |order: &[usize], max_rows| {
        let prompts: Vec<RolloutPrompt> = order.iter().map(|idx| groups[*idx].clone()).collect();
        let found = bench.rollout(&prompts, &RolloutSettings { max_rows, ..settings.clone() });
        for (place, idx) in order.iter().enumerate() {
            for number in 0..5 {
                let (found, expected) = (&found[place * 5 + number], &together[idx * 5 + number]);
                assert_eq!(found.ids, expected.ids, "prompt {idx}, rollout {number}, {max_rows} rows");
                for (a, b) in found.logprobs.iter().zip(&expected.logprobs) {
                    assert!((a - b).abs() < 1e-4, "prompt {idx}: {a} for {b}");
                }
            }
        }
    };
    check(&[0, 1, 2, 3, 4, 5], 1);
    check(&[5, 2, 0], 7);
    check(&[3], 100);
    // Rollouts of one prompt differ, and so do seeds.
    assert_ne!(together[0].ids, together[1].ids);
    let other = bench.rollout(&groups, &RolloutSettings { seed: 6, ..settings.clone() });
    assert_ne!(other[0].ids, together[0].ids);
}

#[test]
fn log_probs_are_those_of_a_pass_that_is_taught_the_answers() {
    let mut bench = Bench::new();
    let groups: Vec<RolloutPrompt> =
        bench.prompts.iter().map(|prompt| RolloutPrompt { n_rollout: 3, ..prompt.clone() }).collect();
    // A placeholder in an answer would be a picture that is not there.
    let settings = RolloutSettings { banned: vec![IMAGE_PAD], ..settings(Some(1.0)) };
    let rollouts = bench.rollout(&groups, &settings);
    let rows: Vec<(&RolloutPrompt, &Rollout)> =
        groups.iter().flat_map(|group| std::iter::repeat_n(group, 3)).zip(&rollouts).collect();
    let n_column = rows.iter().map(|(prompt, rollout)| prompt.ids.len() + rollout.ids.len()).max().unwrap();
    let taught = |prompt: &RolloutPrompt, rollout: &Rollout| {
        let ids = [&prompt.ids[..], &rollout.ids].concat();
        let taught: Vec<bool> = (0..ids.len()).map(|idx| idx >= prompt.ids.len()).collect();
        (ids, taught)
    };
    let mut batch = TrainBatch {
        images: bench.images.clone(),
        image_at: Some(rows.iter().flat_map(|(prompt, _)| prompt.pictures.clone()).collect()),
        ..TrainBatch::default()
    };
    // The same rows padded to one length, and packed two by two.
    let mut packed = TrainBatch { segments: Some(Vec::new()), ..batch.clone() };
    for (idx, (prompt, rollout)) in rows.iter().enumerate() {
        let (mut ids, mut taught) = taught(prompt, rollout);
        if idx % 2 == 0 {
            packed.ids.push(Vec::new());
            packed.taught.push(Vec::new());
            packed.segments.as_mut().unwrap().push(Vec::new());
        }
        packed.ids.last_mut().unwrap().extend(&ids);
        packed.taught.last_mut().unwrap().extend(&taught);
        packed.segments.as_mut().unwrap().last_mut().unwrap().extend(vec![idx as u32; ids.len()]);
        ids.resize(n_column, 0);
        taught.resize(n_column, false);
        batch.ids.push(ids);
        batch.taught.push(taught);
    }
    let n_packed = packed.ids.iter().map(Vec::len).max().unwrap();
    for row in 0..packed.ids.len() {
        packed.ids[row].resize(n_packed, 0);
        packed.taught[row].resize(n_packed, false);
        packed.segments.as_mut().unwrap()[row].resize(n_packed, u32::MAX);
    }
    let expected: Vec<f32> = rollouts.iter().flat_map(|rollout| rollout.logprobs.clone()).collect();
    let mut worst = 0.0_f32;
    let device = Device::flex().autodiff();
    bench.model = model(&config(60, 64, 2, 64), 11, 6.0, &device);
    for (name, batch) in [("padded", &batch), ("packed", &packed)] {
        let scores = bench.model.token_log_probs(batch, 1.0).unwrap();
        assert_eq!(scores.places.len(), expected.len(), "{name}");
        let loss: f32 = bench.model.forward_train(batch).unwrap().sum.into_scalar();
        let read = |tensor: &Tensor<1>| tensor.to_data().try_into_vec::<f32>().unwrap();
        let found = read(&scores.log_probs);
        assert!((loss + found.iter().sum::<f32>()).abs() / loss < 1e-5, "{name}: the loss is their sum");
        for (found, expected) in found.iter().zip(&expected) {
            worst = worst.max((found - expected).abs());
        }
        assert!(worst < 1e-4, "{name}: {worst}");
        assert!(
            read(&scores.entropy).iter().all(|entropy| (-1e-5..60_f32.ln() + 1e-5).contains(entropy)),
            "{name}"
        );
        // Gradients reach both towers, pictures that are shown often included.
        let gradients = (scores.log_probs.sum() + scores.entropy.sum()).backward();
        for tensor in bench.model.tensors() {
            let gradient = tensor.gradient(&gradients).unwrap_or_default();
            assert!(gradient.iter().any(|value| *value != 0.0), "{name}: {} has no gradient", tensor.name);
        }
    }
    println!("{} tokens, log-probabilities at most {worst:e} from a taught pass", expected.len());
    // At another temperature: from the same scores, divided.
    let cold = bench.model.token_log_probs(&batch, 0.5).unwrap();
    let warm = bench.model.token_log_probs(&batch, 1.0).unwrap();
    let mean = |tensor: Tensor<1>| tensor.mean().into_scalar::<f32>();
    assert!(mean(cold.entropy) < mean(warm.entropy));
}

#[test]
fn what_is_banned_never_comes() {
    let bench = Bench::new();
    let groups: Vec<RolloutPrompt> =
        bench.prompts.iter().map(|prompt| RolloutPrompt { n_rollout: 8, ..prompt.clone() }).collect();
    let free = bench.rollout(&groups, &settings(Some(3.0)));
    let banned = vec![VISION_START, VISION_END, IMAGE_PAD, 5];
    assert!(free.iter().any(|rollout| rollout.ids.iter().any(|id| banned.contains(id))), "the ban is of use");
    for temperature in [Some(3.0), None] {
        let settings = RolloutSettings { banned: banned.clone(), ..settings(temperature) };
        let found = bench.rollout(&groups, &settings);
        assert!(!found.iter().any(|rollout| rollout.ids.iter().any(|id| banned.contains(id))));
    }
    // Every token but one banned: only that one comes, with its own probability.
    let settings = RolloutSettings { banned: (0..60).filter(|id| *id != 7).collect(), ..settings(Some(1.0)) };
    let found = bench.rollout(&groups[..1], &settings);
    assert_eq!(found[0].ids, vec![7; 40]);
    assert!(found[0].logprobs.iter().all(|logprob| *logprob < -0.01));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bench = Bench::new();
    let check = |prompt: &RolloutPrompt, settings: &RolloutSettings, expected: &str| {
        let error = bench.model.rollout(std::slice::from_ref(prompt), &bench.pictures, settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    };
    let (sound, good) = (&bench.prompts[1], settings(None));
    check(&RolloutPrompt { pictures: vec![], ..sound.clone() }, &good, "image tokens");
    check(&RolloutPrompt { pictures: vec![7], ..sound.clone() }, &good, "shows picture 7 of 3");
    check(&RolloutPrompt { ids: vec![], ..sound.clone() }, &good, "no tokens");
    check(
        &RolloutPrompt { ids: vec![60], pictures: vec![], ..sound.clone() },
        &good,
        "outside the vocabulary",
    );
    check(sound, &settings(Some(f32::NAN)), "temperature");
    check(sound, &RolloutSettings { top_p: 0.0, ..good.clone() }, "top-p");
    check(sound, &RolloutSettings { max_new_tokens: 0, ..good.clone() }, "at least one token");
    check(sound, &RolloutSettings { banned: (0..60).collect(), ..good.clone() }, "not banned");
}

/// Processor time that this process has used, in seconds: other than the clock on the wall it says something on a
/// busy machine, too.
fn used_secs() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |idx: usize| fields.get(idx)?.parse::<f64>().ok();
    // User and system time, in hundredths.
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// Tokens for each second on the wall and of processor time.
fn speeds(run: impl FnOnce() -> usize) -> [f64; 2] {
    let (clock, used) = (Instant::now(), used_secs());
    let n_token = run() as f64;
    let used = used.zip(used_secs()).map_or(f64::NAN, |(before, after)| after - before);
    [n_token / clock.elapsed().as_secs_f64(), n_token / used.max(0.01)]
}

/// Says how fast it is on a model of the demonstration's size; it fails only where batches do not pay at all, as
/// timing on a busy machine proves little.
#[test]
fn batches_pay() {
    let config = config(1280, 192, 4, 160);
    let model = model(&config, 3, 2.0, &Device::flex().autodiff()).valid();
    let images = vec![picture(&config, [6, 6], 1)];
    let pictures = model.encode_pictures(&images).unwrap();
    let one = prompt(40, &[0], &images, 1280, 9);
    let features = model.encode_images(&images).unwrap();
    let question = answer::Question { ids: &one.ids, features: &features, grid: images[0].grid };
    let alone = speeds(|| answer::greedy(&model, &question, &[], 256).unwrap().len());
    let n_million = model.num_params() as f64 / 1e6;
    println!(
        "{n_million:.1} million weights; one at a time: {:.0} tokens/s, {:.0} each processor second",
        alone[0], alone[1]
    );
    let mut best = 0.0_f64;
    for n_rollout in [1_usize, 16, 64] {
        let settings = RolloutSettings { max_new_tokens: 64, ..RolloutSettings::default() };
        let n_group = n_rollout.min(8);
        let group = |stream| RolloutPrompt { n_rollout: n_group, stream, ..one.clone() };
        let prompts: Vec<RolloutPrompt> = (0..(n_rollout / n_group) as u64).map(group).collect();
        let found = speeds(|| {
            let rollouts = model.rollout(&prompts, &pictures, &settings).unwrap();
            rollouts.iter().map(|rollout| rollout.ids.len()).sum()
        });
        let times = [found[0] / alone[0], found[1] / alone[1]];
        println!(
            "{n_rollout} rows: {:.0} tokens/s, {:.0} each processor second; {:.1} and {:.1} times",
            found[0], found[1], times[0], times[1]
        );
        best = best.max(times[0]);
    }
    assert!(best > 1.5, "batches are {best} times as fast as one sequence at a time");
}
