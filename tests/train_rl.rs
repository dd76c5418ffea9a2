//! The loop of reinforcement on a model of a few thousand weights: what is rewarded is said more often, the
//! first update has ratio 1 and the gradient of the formula, flat groups teach nothing, dynamic sampling ends,
//! and a run that was broken off goes on as if it had not been.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/chat.rs"]
mod chat;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use chat::{Reply, Server};
use eosin_model::qwen::{Qwen, TrainBatch};
use eosin_training::data::Tally;
use eosin_training::examples::Examples;
use eosin_training::folder::{FINAL, Vlm};
use eosin_training::metrics::{self, Scalars};
use eosin_training::optim::GradientSum;
use eosin_training::pipeline::Pipeline;
use eosin_training::recipe::{Pace, Plan, Recipe, TuneSettings};
use eosin_training::rl::RlSettings;
use eosin_training::rl::aggregate::Aggregation;
use eosin_training::rl::answers::{Question, answer, rollout_settings};
use eosin_training::rl::learn::{Asking, Row, learn, log_probs};
use eosin_training::run::Ended;
use eosin_training::watch::{Unwatched, Watch};

const TINY: &str = r#"
schema = 2
name = "tiny"
seed = 3

[tokenizer]
vocabulary = 400
phantoms = 8

[image]
min_pixels = 3136
max_pixels = 3136

[model.text]
hidden = 32
intermediate = 64
layers = 2
heads = 2
kv_heads = 1
mrope_section = [2, 3, 3]
rope_theta = 10000.0
max_positions = 512

[model.vision]
hidden = 32
intermediate = 64
depth = 2
heads = 2
full_attention_every = 2

[sources.questions]
phantom = { split = "train", count = 40, content = { kind = "conversations", n_question = 1, style = "cot", listing = "lettered" }, domain = "in", image_px = 56 }

# Enough to end answers now and then.
[[stage]]
name = "sft"
kind = "sft"
from = "init"
data = [{ source = "questions" }]
optim = { lr = 1e-2, steps = 25, samples_per_step = 4 }

[[stage]]
name = "rl"
kind = "rl"
from = "sft"
data = [{ source = "questions" }]
optim = { lr = 1e-3, steps = 4, samples_per_step = 3 }
checkpoint = { every_steps = 2, save_total_limit = 2 }

[stage.rl]
algorithm = "grpo"
group = 4
num_iterations = 2
mini_batch = 2
part = 5
rewards = [{ name = "repetition", weight = 1.0, repetition = { n_word = 1, most = -1.0 } }, { name = "soft-overlong", weight = 0.5 }]
rollout = { max_new_tokens = 16, temperature = 1.0, max_rows = 7 }
"#;

/// Random weights come from one generator of the whole process: runs that are compared must not overlap others.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plan(settings: &[&str]) -> Plan {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(TINY, Pace::Full, &settings).unwrap().resolve().unwrap()
}

fn run(pipeline: &Pipeline, watch: &mut dyn Watch) -> Ended {
    pipeline.run(&[], &Device::flex(), watch).unwrap()
}

fn weights(dir: &Path, stage: &str) -> Vec<u8> {
    fs::read(dir.join(stage).join(FINAL).join("model.safetensors")).unwrap()
}

/// Stops after so many steps of the last stage.
struct StopAfter(u64);

impl Watch for StopAfter {
    fn step(&mut self, stage: &str, _step: u64, _n_step: u64, _scalars: &Scalars) {
        self.0 -= u64::from(stage == "rl");
    }
    fn wants_stop(&mut self) -> bool {
        self.0 == 0
    }
}

#[test]
fn a_resumed_run_is_the_unbroken_one_bit_for_bit() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    for (name, settings) in
        [("grpo", &[][..]), ("dapo", &["stage.rl.rl.algorithm=dapo", "stage.rl.rl.filter.metric=reward"][..])]
    {
        let (whole, broken) = (dir.path().join(name), dir.path().join(format!("{name}-broken")));
        assert_eq!(run(&Pipeline::create(plan(settings), &whole).unwrap(), &mut Unwatched), Ended::Finished);
        let pipeline = Pipeline::create(plan(settings), &broken).unwrap();
        assert_eq!(run(&pipeline, &mut StopAfter(3)), Ended::Stopped);
        // A kill after the last checkpoint: step 3 is done again.
        fs::remove_dir_all(broken.join("rl/checkpoints/step-00000003")).unwrap();
        assert_eq!(run(&Pipeline::open(&broken).unwrap(), &mut Unwatched), Ended::Finished);
        assert!(weights(&whole, "sft") == weights(&broken, "sft"), "{name}: the stage before differs");
        assert!(weights(&whole, "rl") == weights(&broken, "rl"), "{name}: the weights differ");
        let text = |dir: &Path| fs::read_to_string(dir.join("rl/completions.jsonl")).unwrap();
        assert_eq!(text(&whole), text(&broken), "{name}");
        assert!(text(&whole).lines().count() >= 4 * 3 * 4);
        let rows = metrics::read(&broken.join("rl").join(metrics::METRICS)).unwrap();
        assert_eq!(rows.iter().map(|row| row.step).collect::<Vec<_>>(), [1, 2, 3, 4]);
        for name in [
            "loss",
            "grad_norm",
            "learning_rate",
            "reward",
            "reward_std",
            "frac_reward_zero_std",
            "entropy",
            "rewards/repetition/mean",
            "rewards/repetition/std",
            "rewards/soft-overlong/mean",
            "completions/mean_length",
            "completions/min_length",
            "completions/max_length",
            "completions/clipped_ratio",
            "clip_ratio/low_mean",
            "clip_ratio/high_mean",
            "clip_ratio/region_mean",
            "num_tokens",
        ] {
            assert!(rows[0].scalars.get(name).is_some_and(f64::is_finite), "{name}");
        }
        assert_eq!(rows[0].scalars.get("kl").is_some(), name == "grpo");
    }
}

#[test]
fn a_judge_is_asked_once_for_each_answer_even_by_a_resumed_run() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let server = Server::start(vec![Reply::Say(r#"{"integrity_score": 0.6, "knowledge_score": 1.0}"#)]);
    let judge = format!(
        "stage.rl.rl.judge={{ endpoint = {{ url = \"{}\", model = \"m\", max_calls = 1000 }} }}",
        server.url
    );
    let settings = [
        judge.as_str(),
        "stage.rl.rl.rewards=[{name=\"process\"}, {name=\"soft-overlong\"}]",
        "stage.rl.optim.steps=3",
    ];
    let pipeline = Pipeline::create(plan(&settings), dir.path()).unwrap();
    assert_eq!(run(&pipeline, &mut StopAfter(2)), Ended::Stopped);
    let n_call = server.n_call();
    assert!(n_call > 0 && n_call <= 2 * 3 * 4, "{n_call} calls");
    // The second step is done again, and its verdicts are known.
    fs::remove_dir_all(dir.path().join("rl/checkpoints/step-00000002")).unwrap();
    assert_eq!(run(&Pipeline::open(dir.path()).unwrap(), &mut StopAfter(2)), Ended::Stopped);
    assert_eq!(server.n_call(), n_call);
    let rows = metrics::read(&dir.path().join("rl").join(metrics::METRICS)).unwrap();
    let figure = |name: &str| rows[1].scalars.get(name).unwrap();
    assert_eq!((figure("judge/asked"), figure("judge/cached")), (0.0, 12.0));
    assert!((figure("rewards/process/mean") - 0.8).abs() < 1e-9);
    // The picture went along.
    let body = server.bodies.lock().unwrap()[0].to_string();
    assert!(body.contains("data:image/png;base64,"));
}

#[test]
fn dynamic_sampling_stops_where_nothing_varies() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    // A model that knows nothing is never right.
    let settings = [
        "stage.rl.rl.algorithm=dapo",
        "stage.rl.rl.rewards=[{name=\"accuracy\"}]",
        "stage.rl.rl.filter.max_num_gen_batches=2",
    ];
    let pipeline = Pipeline::create(plan(&settings), &dir.path().join("stop")).unwrap();
    let error = pipeline.run(&[], &Device::flex(), &mut Unwatched).unwrap_err().to_string();
    assert!(error.contains("after 2 batches") && error.contains("0 of 6 prompts"), "{error}");
    // Where the recipe says so, the step is passed over instead, and the weights stay.
    let patient =
        [settings.as_slice(), &["stage.rl.rl.filter.exhausted=take-kept", "stage.rl.optim.steps=1"]].concat();
    let path = dir.path().join("patient");
    let pipeline = Pipeline::create(plan(&patient), &path).unwrap();
    assert_eq!(run(&pipeline, &mut Unwatched), Ended::Finished);
    let rows = metrics::read(&path.join("rl").join(metrics::METRICS)).unwrap();
    assert_eq!(rows[0].scalars.get("frac_reward_zero_std"), Some(1.0));
    assert_eq!(rows[0].scalars.get("sampling/kept"), Some(0.0));
}

/// A tiny model with its words, and questions to it.
struct Bench {
    model: Qwen,
    examples: Examples,
    questions: Vec<Question>,
}

fn bench(dir: &Path) -> Bench {
    let plan = plan(&["stage.rl.optim.steps=1"]);
    let pipeline = Pipeline::create(plan.clone(), dir).unwrap();
    run(&pipeline, &mut Unwatched);
    let device = Device::flex().autodiff();
    let vlm = Vlm::open(&dir.join("rl").join(FINAL), &plan.recipe.image, &device).unwrap();
    let examples = Examples::new(&vlm, &TuneSettings::default());
    let source = pipeline.source("questions", &mut Tally::default()).unwrap();
    let questions = (0..3)
        .map(|idx| {
            let prompt = examples.prompt(source.as_ref(), idx).unwrap().unwrap();
            Question {
                id: prompt.sample.id,
                text: String::new(),
                asking: Asking { ids: prompt.ids, images: prompt.images },
                task: prompt.sample.task.unwrap_or_default(),
                tiles: Vec::new(),
            }
        })
        .collect();
    Bench { model: vlm.model, examples, questions }
}

fn settings(text: &str) -> RlSettings {
    serde_json::from_str(text).unwrap()
}

fn rows(bench: &Bench, settings: &RlSettings, advantages: &[f64]) -> (Vec<Asking>, Vec<Row>) {
    let shown: Vec<&Question> = bench.questions.iter().collect();
    let tokenizer = bench.examples.encoder().tokenizer();
    let groups = answer(&bench.model, tokenizer, &shown, &[1, 2, 3], settings, 9).unwrap();
    let askings = bench.questions.iter().map(|question| question.asking.clone()).collect();
    let mut rows = Vec::new();
    for (asking, group) in groups.into_iter().enumerate() {
        for one in group {
            let advantage = advantages[rows.len() % advantages.len()];
            rows.push(Row {
                asking,
                ids: one.ids,
                counts: true,
                advantage,
                old: Vec::new(),
                reference: Vec::new(),
            });
        }
    }
    (askings, rows)
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().iter::<f32>().collect()
}

#[test]
fn the_first_update_has_ratio_one_and_the_formula_s_gradient() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let bench = bench(dir.path());
    let settings = settings(
        r#"{"algorithm": "dr_grpo", "group": 4, "aggregation": "token-mean", "rollout": {"max_new_tokens": 6}}"#,
    );
    let (askings, mut rows) = rows(&bench, &settings, &[1.0, -0.5, 0.25, -0.75]);
    let n_token: usize = rows.iter().map(|row| row.ids.len()).sum();
    let learned = learn(&bench.model, &askings, &rows, &settings).unwrap();
    // With ρ = 1 the loss is −ΣA over tokens, and the gradient that of −ΣA·ln p.
    let expected = -rows.iter().map(|row| row.advantage * row.ids.len() as f64).sum::<f64>() / n_token as f64;
    assert!((learned.loss - expected).abs() < 1e-5, "{} but {expected}", learned.loss);
    assert!(learned.statistics.approx_kl.abs() < 1e-6 && learned.statistics.n_low < 0.5);
    assert!((learned.statistics.n_token - n_token as f64).abs() < 0.5);

    // Old log-probabilities taken beforehand, without gradients, make no difference beyond rounding, and
    // neither do parts.
    let old = log_probs(&bench.model.valid(), &askings, &rows, &settings).unwrap();
    for (row, old) in rows.iter_mut().zip(old) {
        assert_eq!(row.ids.len(), old.len());
        assert!(old.iter().all(|value| *value < 0.0));
        row.old = old;
    }
    for part in [0, 1, 5] {
        let settings = RlSettings { part, ..settings.clone() };
        let again = learn(&bench.model, &askings, &rows, &settings).unwrap();
        assert!((again.loss - expected).abs() < 1e-4, "in parts of {part}: {}", again.loss);
        let path = "text.blocks.0.mlp.down.weight.values";
        let paths = [path, "text.norm.gain"];
        let mut n_compared = 0;
        for path in paths {
            let (Some(one), Some(other)) = (learned.gradients.get(path), again.gradients.get(path)) else {
                continue;
            };
            n_compared += 1;
            for (one, other) in values(one).iter().zip(values(other)) {
                assert!((one - other).abs() < 1e-4 * one.abs().max(0.1), "{path}: {one} {other}");
            }
        }
        assert!(n_compared > 0, "no gradient was compared");
        assert!((again.gradients.norm() - learned.gradients.norm()).abs() < 1e-3 * learned.gradients.norm());
    }
    // Rows of their own, each with its whole prompt, say the same as branches of one prompt.
    let n_column = rows.iter().map(|row| askings[row.asking].ids.len() + row.ids.len()).max().unwrap();
    let mut batch = TrainBatch { image_at: Some(Vec::new()), ..TrainBatch::default() };
    for asking in &askings {
        batch.images.extend(asking.images.iter().cloned());
    }
    for row in &rows {
        let prompt = &askings[row.asking].ids;
        let mut ids = [prompt.as_slice(), &row.ids].concat();
        let mut taught = vec![false; prompt.len()];
        taught.resize(ids.len(), true);
        ids.resize(n_column, bench.examples.pad());
        taught.resize(n_column, false);
        batch.ids.push(ids);
        batch.taught.push(taught);
        batch.image_at.as_mut().unwrap().push(row.asking);
    }
    let apart = bench.model.token_log_probs(&batch, 1.0).unwrap();
    let old: Vec<f32> = rows.iter().flat_map(|row| row.old.clone()).collect();
    let found = values(&apart.log_probs);
    assert_eq!(found.len(), old.len());
    assert!(found.iter().zip(&old).all(|(one, other)| (one - other).abs() < 1e-4));
    // Their gradient, too: −ΣA·ln p / n.
    let weights: Vec<f32> =
        rows.iter().flat_map(|row| vec![-row.advantage as f32 / n_token as f32; row.ids.len()]).collect();
    let weights = Tensor::<1>::from_floats(weights.as_slice(), &bench.model.device());
    let mut gradients = GradientSum::default();
    gradients.add(&mut (apart.log_probs * weights).sum().backward(), &bench.model);
    assert!((gradients.norm() - learned.gradients.norm()).abs() < 1e-3 * learned.gradients.norm());
    for path in ["text.blocks.0.mlp.down.weight.values", "text.norm.gain"] {
        if let (Some(one), Some(other)) = (learned.gradients.get(path), gradients.get(path)) {
            for (one, other) in values(one).iter().zip(values(other)) {
                assert!((one - other).abs() < 1e-4 * one.abs().max(0.1), "{path}: {one} {other}");
            }
        }
    }
}

#[test]
fn answers_without_advantage_teach_nothing_unless_distance_counts() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let bench = bench(dir.path());
    let dapo = settings(r#"{"algorithm": "dapo", "group": 2, "rollout": {"max_new_tokens": 5}}"#);
    let (askings, flat) = rows(&bench, &dapo, &[0.0]);
    let learned = learn(&bench.model, &askings, &flat, &dapo).unwrap();
    assert!(learned.gradients.norm() == 0.0 && learned.loss == 0.0);
    // An answer that was cut off and is left out teaches nothing either, and does not count.
    let (_, mut cut) = rows(&bench, &dapo, &[1.0]);
    for row in &mut cut {
        row.counts = false;
    }
    assert!(learn(&bench.model, &askings, &cut, &dapo).unwrap().gradients.norm() == 0.0);
    // At the start the distance is zero and flat, too; away from it there is a way back.
    let grpo = settings(r#"{"algorithm": "grpo", "group": 2, "rollout": {"max_new_tokens": 5}}"#);
    let mut away = flat.clone();
    let here = log_probs(&bench.model.valid(), &askings, &flat, &grpo).unwrap();
    for (row, here) in away.iter_mut().zip(&here) {
        row.reference = here.clone();
    }
    let still = learn(&bench.model, &askings, &away, &grpo).unwrap();
    assert!(still.gradients.norm() < 1e-5, "{}", still.gradients.norm());
    for row in &mut away {
        row.reference.iter_mut().for_each(|value| *value -= 1.0);
    }
    let moved = learn(&bench.model, &askings, &away, &grpo).unwrap();
    assert!(moved.gradients.norm() > 1e-3 && moved.statistics.kl > 0.0);
}

#[test]
fn answers_depend_on_seed_and_prompt_and_hold_no_picture_tokens() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    let bench = bench(dir.path());
    let settings = settings(r#"{"group": 3, "rollout": {"max_new_tokens": 12, "temperature": 3.0}}"#);
    let tokenizer = bench.examples.encoder().tokenizer();
    let shown: Vec<&Question> = bench.questions.iter().collect();
    let ask = |shown: &[&Question], streams: &[u64], seed| {
        answer(&bench.model, tokenizer, shown, streams, &settings, seed).unwrap()
    };
    let all = ask(&shown, &[1, 2, 3], 5);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|group| group.len() == 3));
    // The same alone, in another place, and not with another seed.
    assert_eq!(ask(&shown[2..], &[3], 5)[0], all[2]);
    assert_ne!(ask(&shown, &[1, 2, 3], 6), all);
    let rollout = rollout_settings(&settings, tokenizer, 0);
    assert_eq!((rollout.banned.len(), rollout.ends.len()), (5, 2));
    for one in all.iter().flatten() {
        assert!(one.ids.iter().all(|id| !rollout.banned.contains(id)));
        assert_eq!(one.is_cut, !rollout.ends.contains(one.ids.last().unwrap()));
        assert!(one.ids.len() <= 12);
    }
}

#[test]
fn what_is_rewarded_is_said_more_often() {
    let (_alone, dir) = (alone(), tempfile::tempdir().unwrap());
    // Nothing said twice: short answers and unlike words.
    let settings = [
        "stage.rl.optim.steps=40",
        "stage.rl.optim.lr=1e-2",
        "stage.rl.optim.samples_per_step=2",
        "stage.rl.rl.group=8",
        "stage.rl.rl.algorithm=dr_grpo",
        "stage.rl.rl.mini_batch=0",
        "stage.rl.rl.num_iterations=1",
        "stage.rl.rl.rewards=[{name=\"soft-overlong\"}]",
        "stage.rl.rl.overlong={max_tokens=16, cache_tokens=16}",
        "stage.rl.rl.part=0",
        "stage.rl.checkpoint.every_steps=40",
    ];
    let pipeline = Pipeline::create(plan(&settings), dir.path()).unwrap();
    assert_eq!(run(&pipeline, &mut Unwatched), Ended::Finished);
    let rows = metrics::read(&dir.path().join("rl").join(metrics::METRICS)).unwrap();
    let mean = |rows: &[metrics::Row]| {
        rows.iter().map(|row| row.scalars.get("reward").unwrap()).sum::<f64>() / rows.len() as f64
    };
    let (first, last) = (mean(&rows[..5]), mean(&rows[35..]));
    assert!(last > first + 0.4, "{first} → {last}");
}

#[test]
fn presets_are_the_papers_and_every_number_may_be_overridden() {
    let grpo = RlSettings::default();
    assert_eq!(grpo.aggregation, Aggregation::SeqMeanTokenMean);
    assert!((grpo.kl.coefficient - 0.04).abs() < 1e-12 && !grpo.filter.enabled);
    let dapo = settings(
        r#"{"algorithm": "dapo", "policy": {"clip_low": 0.1}, "filter": {"max_num_gen_batches": 3}}"#,
    );
    assert_eq!((dapo.policy.clip_low, dapo.policy.clip_high, dapo.policy.clip_dual), (0.1, 0.28, 10.0));
    assert_eq!((dapo.filter.enabled, dapo.filter.max_num_gen_batches), (true, 3));
    assert!(dapo.kl.coefficient == 0.0 && !dapo.needs_reference());
    assert_eq!((dapo.overlong.max_tokens, dapo.overlong.cache_tokens), (512, 128));
    // What the plan keeps is complete, and reads back as itself.
    for settings in [grpo, dapo, settings(r#"{"algorithm": "dr_grpo"}"#)] {
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(self::settings(&text), settings);
    }
    let refused = |text: &str| serde_json::from_str::<RlSettings>(text).unwrap_err().to_string();
    assert!(refused(r#"{"grup": 4}"#).contains("grup"));
    assert!(refused(r#"{"rewards": []}"#).contains("no reward"));
    assert!(refused(r#"{"rewards": [{"name": "process"}]}"#).contains("judge"));
    assert!(refused(r#"{"rewards": [{"name": "format"}, {"name": "think_format"}]}"#).contains("twice"));
    assert!(refused(r#"{"rollout": {"temperature": 0}}"#).contains("temperature"));
    assert!(refused(r#"{"policy": {"clip_dual": 0.5}}"#).contains("clip_dual"));
}
