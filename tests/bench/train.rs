//! Seconds and memory of one training step, at the sizes that `train_peers.py` gives to PyTorch.
//!
//! ```text
//! RAYON_NUM_THREADS=2 cargo bench … --bench train -- clip sft grpo --steps 6
//! ```
//! One JSON line a step kind. `cargo xtask bench train` runs both sides and prints their ratios. Weights and
//! data are random: speed does not depend on them.

#![expect(clippy::print_stdout, reason = "a measurement's product is what it prints")]

use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use eosin_core::PatchGrid;
use eosin_model::clip::{self, Clip, TokenBatch};
use eosin_model::prepare::ImageTensor;
use eosin_model::qwen::{Branching, Config, Qwen, RolloutPrompt, RolloutSettings, TrainBatch};
use eosin_training::optim::{AdamW, GradientSum};
use eosin_training::recipe::{Curve, OptimRecipe};
use eosin_training::rl::advantage::{AdvantageSettings, advantages};
use eosin_training::rl::aggregate::{Aggregation, Denominators, aggregate};
use eosin_training::rl::kl::{Estimator, estimate};
use eosin_training::rl::policy::{PolicySettings, policy_loss};
use serde_json::json;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Words of the small Qwen's vocabulary; the last is the picture's placeholder.
const N_VOCAB: usize = 8192;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let n_step = args
        .iter()
        .position(|arg| arg == "--steps")
        .and_then(|idx| args.get(idx + 1))
        .map_or(5, |n_step| n_step.parse().expect("--steps takes a count"));
    for arg in &args {
        match arg.as_str() {
            "clip" => contrastive(n_step),
            "sft" => fine_tuning(n_step),
            "grpo" => reinforcement(n_step),
            _ => {}
        }
    }
}

/// Times `n_step` steps after one that is not counted, and prints the line.
fn report(name: &str, n_param: usize, n_step: usize, mut step: impl FnMut() -> f64) {
    let mut loss = step();
    let (mut secs, cpu) = (Vec::with_capacity(n_step), cpu_secs());
    for _ in 0..n_step {
        let clock = Instant::now();
        loss = step();
        secs.push(clock.elapsed().as_secs_f64());
    }
    let cpu = (cpu_secs() - cpu) / n_step as f64;
    secs.sort_by(f64::total_cmp);
    let line = json!({
        "what": name,
        "params_m": n_param as f64 / 1e6,
        "s_per_step": secs[n_step / 2],
        "best_s": secs[0],
        "cpu_s": cpu,
        "steps": n_step,
        "threads": std::env::var("RAYON_NUM_THREADS").unwrap_or_default(),
        "rss_mb": peak_mib(),
        "loss": loss,
    });
    println!("{line}");
}

/// Processor seconds of all threads so far.
fn cpu_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / 100.0
}

/// Most memory that the process has held.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) / 1024
}

/// The update rule of the peer: `AdamW` at its defaults.
fn optim() -> OptimRecipe {
    OptimRecipe {
        lr: 1e-4,
        lr_floor: 1.0,
        curve: Curve::default(),
        warmup_steps: 0,
        steps: 1000,
        max_minutes: 0.0,
        samples_per_step: 1,
        samples_per_part: 1,
        beta_1: 0.9,
        beta_2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        clip_norm: 1.0,
    }
}

/// Backward pass and update.
fn update<M: Module>(model: M, loss: &Tensor<1>, optimiser: &mut AdamW, optim: &OptimRecipe) -> M {
    let mut gradients = GradientSum::default();
    gradients.add(&mut loss.backward(), &model);
    let norm = gradients.norm();
    let scale = (optim.clip_norm / norm).min(1.0);
    optimiser.step(model, gradients, optim.lr, scale, optim)
}

/// Two towers of width 192, sixteen pairs of a 224 px picture and 77 tokens.
fn contrastive(n_step: usize) {
    let plain = Device::flex();
    plain.seed(1);
    let device = plain.clone().autodiff();
    let config = clip::Config {
        d_embed: 128,
        vision: clip::VisionConfig {
            d_model: 192,
            n_layer: 6,
            n_head: 3,
            d_mlp: 768,
            image_px: 224,
            patch_px: 16,
            activation: clip::Activation::QuickGelu,
            epsilon: 1e-5,
        },
        text: clip::TextConfig {
            d_model: 192,
            n_layer: 4,
            n_head: 3,
            d_mlp: 768,
            n_context: 77,
            n_vocab: N_VOCAB,
            end_of_text: clip::EndOfText::LargestId,
            activation: clip::Activation::QuickGelu,
            epsilon: 1e-5,
        },
    };
    let mut model = Some(Clip::init(&config, &device));
    let n_param = model.as_ref().map_or(0, Module::num_params);
    let images = Tensor::<4>::random([16, 3, 224, 224], Distribution::Normal(0.0, 1.0), &plain);
    let mut draw = Draw(7);
    let texts: Vec<Vec<u32>> =
        (0..16).map(|_| (0..76).map(|_| draw.below(8000)).chain([8191]).collect()).collect();
    let texts = TokenBatch::new(&texts, &config.text).expect("ids are in range");
    let (mut optimiser, optim) = (AdamW::default(), optim());
    report("clip_b16imgs", n_param, n_step, || {
        let taken = model.take().expect("put back after each step");
        let loss = taken.loss(Tensor::from_inner(images.clone()), &texts);
        let value: f32 = loss.clone().inner().into_scalar();
        model = Some(update(taken, &loss, &mut optimiser, &optim).clamp_logit_scale());
        f64::from(value)
    });
}

/// A Qwen2.5-VL of about ten million parameters.
fn small_qwen() -> Config {
    Config::from_hf(&json!({
        "model_type": "qwen2_5_vl",
        "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 6, "num_attention_heads": 8,
        "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "rope_scaling": { "type": "mrope", "mrope_section": [4, 6, 6] },
        "max_position_embeddings": 4096, "tie_word_embeddings": true, "vocab_size": N_VOCAB,
        "image_token_id": N_VOCAB - 1, "vision_start_token_id": N_VOCAB - 3, "vision_end_token_id": N_VOCAB - 4,
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 6, "hidden_size": 192, "hidden_act": "silu",
            "intermediate_size": 512, "num_heads": 6, "in_channels": 3, "out_hidden_size": 256,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
            "fullatt_block_indexes": [2, 5],
        },
    }))
    .expect("the sizes fit together")
}

/// `n_row` rows of `n_column` tokens, each with its own picture of 224 px.
fn batch(n_row: usize, n_column: usize, draw: &mut Draw) -> TrainBatch {
    let grid = PatchGrid::new([224, 224], 14, 2).expect("whole cells");
    let mut batch = TrainBatch::default();
    for _ in 0..n_row {
        let mut ids: Vec<u32> = (0..n_column).map(|_| 3 + draw.below(N_VOCAB as u32 - 13)).collect();
        ids[4] = N_VOCAB as u32 - 3;
        ids[5..69].fill(N_VOCAB as u32 - 1);
        ids[69] = N_VOCAB as u32 - 4;
        batch.taught.push((0..n_column).map(|token_idx| token_idx >= 80).collect());
        batch.ids.push(ids);
        batch.images.push(ImageTensor { patches: (0..256 * 1176).map(|_| draw.normal()).collect(), grid });
    }
    batch
}

/// Two rows of 256 tokens, 64 of them a picture's, 176 taught.
fn fine_tuning(n_step: usize) {
    let device = Device::flex();
    device.seed(1);
    let device = device.autodiff();
    let mut model = Some(Qwen::init(&small_qwen(), &device));
    let n_param = model.as_ref().map_or(0, Module::num_params);
    let batch = batch(2, 256, &mut Draw(7));
    let (mut optimiser, optim) = (AdamW::default(), optim());
    report("sft_2x256", n_param, n_step, || {
        let taken = model.take().expect("put back after each step");
        let mean = taken.forward_train(&batch).expect("the batch is sound").mean();
        let value: f32 = mean.clone().inner().into_scalar();
        model = Some(update(taken, &mean, &mut optimiser, &optim));
        f64::from(value)
    });
}

/// One update of GRPO: four answers of 64 tokens to one question of 128 with a picture, rewards at random, the
/// clipped loss with a reference model's divergence, one descent. As in training, the old log-probabilities are those
/// that the rollout found when it drew, and the question is read once for all its answers.
fn reinforcement(n_step: usize) {
    const N_ANSWER: usize = 4;
    const N_NEW: usize = 64;
    const N_PROMPT: usize = 128;
    let device = Device::flex();
    device.seed(1);
    let device = device.autodiff();
    let policy = Qwen::init(&small_qwen(), &device);
    let reference = policy.valid();
    let n_param = policy.num_params();
    let mut policy = Some(policy);
    let mut draw = Draw(7);
    let question = batch(1, N_PROMPT, &mut draw);
    let prompts =
        [RolloutPrompt { ids: question.ids[0].clone(), pictures: vec![0], n_rollout: N_ANSWER, stream: 0 }];
    let (mut optimiser, optim) = (AdamW::default(), OptimRecipe { lr: 1e-5, ..optim() });
    let mut seed = 0;
    report("grpo_G4_64new", n_param, n_step, || {
        seed += 1;
        let taken = policy.take().expect("put back after each step");
        let settings = RolloutSettings {
            max_new_tokens: N_NEW,
            seed,
            banned: (N_VOCAB as u32 - 4..N_VOCAB as u32).collect(),
            ..RolloutSettings::default()
        };
        let pictures = taken.encode_pictures(&question.images).expect("the model sees");
        let answers = taken.rollout(&prompts, &pictures, &settings).expect("the prompt is sound");
        let asked = [Branching {
            ids: question.ids[0].clone(),
            images: vec![0],
            branches: answers.iter().map(|answer| answer.ids.clone()).collect(),
        }];
        let old: Vec<f32> = answers.iter().flat_map(|answer| &answer.logprobs).copied().collect();
        let shape = [N_ANSWER, N_NEW];
        let constant = |values: Vec<f32>, shape: [usize; 2]| {
            Tensor::<2>::from_data(TensorData::new(values, shape), &device)
        };
        let scores = |model: &Qwen| {
            let read = model.branch_log_probs(&asked, question.images.clone(), 1.0);
            let [log_probs, _entropy] = read.expect("the batch is sound");
            log_probs.reshape(shape)
        };
        let far = Tensor::from_inner(scores(&reference));
        let rewards: Vec<f64> = (0..N_ANSWER).map(|_| draw.uniform()).collect();
        let advantages = advantages(&rewards, &[0; N_ANSWER], &AdvantageSettings::default());
        let advantages =
            constant(advantages.into_iter().map(|advantage| advantage as f32).collect(), [N_ANSWER, 1]);
        let mask = constant(vec![1.0; N_ANSWER * N_NEW], shape);
        let near = scores(&taken);
        let clipped = policy_loss(
            near.clone(),
            constant(old, shape),
            advantages,
            mask.clone(),
            &PolicySettings::default(),
        );
        let losses = clipped.loss + estimate(near, far, Estimator::K3).mul_scalar(0.04);
        let sizes = Denominators::of(&[N_NEW; N_ANSWER], N_NEW);
        let loss = aggregate(losses, mask, Aggregation::TokenMean, &sizes);
        let value: f32 = loss.clone().inner().into_scalar();
        policy = Some(update(taken, &loss, &mut optimiser, &optim));
        f64::from(value)
    });
}

/// A small generator (splitmix64, Steele et al. 2014): the same numbers everywhere.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        (radius * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }
}
