//! Pipelines, held to what must not break: one batch overfits, a resumed run is the unbroken one bit for bit,
//! gradients are the loss's slopes, packing and padding change nothing, a torn checkpoint costs nothing
//! finished, a misspelt key stops before the first step. Models of a few thousand weights serve.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::Device;
use eosin_model::qwen::Qwen;
use eosin_model::qwen::load::WeightForm;
use eosin_training::TrainError;
use eosin_training::batch::{Encoded, Layout, collate};
use eosin_training::checkpoint;
use eosin_training::data::Tally;
use eosin_training::examples::Examples;
use eosin_training::folder::{self, FINAL, Vlm};
use eosin_training::metrics::{self, Scalars};
use eosin_training::optim::GradientSum;
use eosin_training::pipeline::Pipeline;
use eosin_training::recipe::{Pace, Plan, Recipe, TuneSettings};
use eosin_training::run::Ended;
use eosin_training::watch::{Unwatched, Watch};
use eosin_weights::SafetensorsFolder;

/// Two stages of a few steps on pictures of four tokens.
const TINY: &str = r#"
schema = 2
name = "tiny"
seed = 3
fast = ["stage.cpt.optim.steps=2"]

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

[sources.captions]
phantom = { split = "train", count = 1000, content = { kind = "captions" }, domain = "in", image_px = 56 }

[sources.talks]
phantom = { split = "train", count = 1000, content = { kind = "conversations", n_question = 2, style = "cot", listing = "lettered" }, domain = "in", image_px = 56 }

[sources.check]
phantom = { split = "validation", count = 8, content = { kind = "conversations", n_question = 1, style = "cot", listing = "lettered" }, domain = "in", image_px = 56 }

[[stage]]
name = "cpt"
kind = "cpt"
from = "init"
data = [{ source = "captions" }]
optim = { lr = 3e-3, warmup_steps = 2, steps = 5, samples_per_step = 4, samples_per_part = 2 }
checkpoint = { every_steps = 2, save_total_limit = 2 }

[[stage]]
name = "sft"
kind = "sft"
from = "cpt"
data = [{ source = "talks", weight = 3 }, { source = "captions" }]
optim = { lr = 3e-3, curve = "linear", steps = 4, samples_per_step = 3 }
validate = { source = "check", every_steps = 2, loss_samples = 4, keep = "best" }
checkpoint = { every_steps = 2 }
tune = { packing = true, max_tokens = 300, read_threads = 2 }
"#;

fn plan(settings: &[&str]) -> Plan {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(TINY, Pace::Full, &settings).unwrap().resolve().unwrap()
}

fn run(pipeline: &Pipeline, watch: &mut dyn Watch) -> Ended {
    pipeline.run(&[], &Device::flex(), watch).unwrap()
}

fn final_weights(pipeline: &Pipeline, stage: &str) -> Vec<u8> {
    fs::read(pipeline.stage_dir(stage).join(FINAL).join("model.safetensors")).unwrap()
}

/// Stops before every step of a stage but the first few that it is allowed.
struct StopAfter {
    n_left: u64,
    notes: Vec<String>,
}

impl StopAfter {
    fn new(n_left: u64) -> Self {
        Self { n_left, notes: Vec::new() }
    }
}

impl Watch for StopAfter {
    fn step(&mut self, _stage: &str, _step: u64, _n_step: u64, _scalars: &Scalars) {
        self.n_left -= 1;
    }
    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }
    fn wants_stop(&mut self) -> bool {
        self.n_left == 0
    }
}

/// A fresh model of the tiny sizes and its first samples.
fn vlm(dir: &Path, device: &Device) -> (Vlm, Vec<Encoded>) {
    let pipeline = Pipeline::create(plan(&["stage.cpt.optim.steps=1"]), dir).unwrap();
    run(&pipeline, &mut StopAfter::new(1));
    let plan = pipeline.plan.stage_plan(&pipeline.plan.recipe.stages[0], "");
    let vlm = Vlm::init(&plan, &dir.join("tokenizer.json"), device).unwrap();
    let examples = Examples::new(&vlm, &TuneSettings::default());
    let source = pipeline.source("talks", &mut Tally::default()).unwrap();
    let samples = (0..3).map(|idx| examples.meet(source.as_ref(), idx).unwrap().unwrap()).collect();
    (vlm, samples)
}

#[test]
fn a_broken_run_ends_as_the_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let whole = Pipeline::create(plan(&[]), &dir.path().join("whole")).unwrap();
    assert_eq!(run(&whole, &mut Unwatched), Ended::Finished);
    let broken_dir = dir.path().join("broken");
    let broken = Pipeline::create(plan(&[]), &broken_dir).unwrap();
    // Between checkpoints, in the middle of both stages, and at the end of one.
    for n_step in [1, 2, 2, 1, 2] {
        let again = Pipeline::open(&broken_dir).unwrap();
        assert_eq!(again, broken);
        assert_eq!(run(&again, &mut StopAfter::new(n_step)), Ended::Stopped);
    }
    assert_eq!(run(&broken, &mut Unwatched), Ended::Finished);
    for stage in ["cpt", "sft"] {
        assert!(final_weights(&whole, stage) == final_weights(&broken, stage), "{stage}");
        let losses = |pipeline: &Pipeline| -> Vec<(u64, Option<f64>)> {
            let rows = metrics::read(&pipeline.stage_dir(stage).join("metrics.jsonl")).unwrap();
            rows.into_iter().map(|row| (row.step, row.scalars.get("loss"))).collect()
        };
        assert_eq!(losses(&whole), losses(&broken), "{stage}");
    }
    // Once finished, nothing is done again; another plan is not mixed in.
    let mut watch = StopAfter::new(u64::MAX);
    run(&whole, &mut watch);
    assert_eq!(watch.notes, ["cpt: finished before", "sft: finished before"]);
    let refused = Pipeline::create(plan(&["stage.sft.optim.lr=1e-3"]), &dir.path().join("whole"));
    assert!(matches!(refused, Err(TrainError::OtherPlan { .. })), "{refused:?}");
}

#[test]
fn a_torn_checkpoint_costs_only_what_came_after_the_last_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::create(plan(&[]), dir.path()).unwrap();
    run(&pipeline, &mut StopAfter::new(4));
    let folder = checkpoint::folder(&pipeline.stage_dir("cpt"));
    // A kill in the middle of a write leaves a folder of the temporary name, without a manifest…
    let partial = folder.join(".partial-step-00000005");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("weights.safetensors"), b"half of i").unwrap();
    // … and a disk that lies leaves a whole name with wrong bytes.
    let newest = folder.join("step-00000004/weights.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let mut watch = StopAfter::new(u64::MAX);
    assert_eq!(run(&pipeline, &mut watch), Ended::Finished);
    assert!(watch.notes.iter().any(|note| note.contains("differs from its hash")), "{:?}", watch.notes);
    let whole = dir.path().join("whole");
    let unbroken = Pipeline::create(plan(&[]), &whole).unwrap();
    run(&unbroken, &mut Unwatched);
    assert!(final_weights(&pipeline, "sft") == final_weights(&unbroken, "sft"));
}

#[test]
fn one_batch_overfits() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        "stage.cpt.optim.steps=80",
        "stage.cpt.optim.lr=1e-2",
        "stage.cpt.optim.curve=constant",
        "sources.captions.phantom.count=4",
    ];
    let pipeline = Pipeline::create(plan(&settings), dir.path()).unwrap();
    pipeline.run(&["cpt".into()], &Device::flex(), &mut Unwatched).unwrap();
    let rows = metrics::read(&pipeline.stage_dir("cpt").join("metrics.jsonl")).unwrap();
    let last = rows.last().unwrap().scalars.clone();
    assert!(last.get("loss").unwrap() < 0.1, "{last:?}");
    assert!(last.get("mean_token_accuracy").unwrap() > 0.98, "{last:?}");
}

#[test]
fn packing_padding_and_parts_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (vlm, samples) = vlm(dir.path(), &Device::flex());
    let pad = vlm.encoder.special().end_of_text;
    let sum = |samples: &[Encoded], layout| {
        let loss = vlm.model.forward_train(&collate(samples, layout, pad)).unwrap();
        let sum: f32 = loss.sum.into_scalar();
        (f64::from(sum), loss.n_token)
    };
    let (together, n_token) = sum(&samples, Layout::Padded);
    let apart: f64 = samples.chunks(1).map(|sample| sum(sample, Layout::Padded).0).sum();
    assert!((together - apart).abs() / together < 1e-5, "{together} and {apart}");
    let (packed, n_packed) = sum(&samples, Layout::Packed { max_tokens: 4096 });
    assert_eq!(n_packed, n_token);
    assert!((together - packed).abs() / together < 1e-5, "{together} and {packed}");
    assert_eq!(n_token, samples.iter().map(Encoded::n_taught).sum::<usize>());
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    let device = Device::flex().autodiff();
    let (vlm, samples) = vlm(dir.path(), &device);
    let batch = collate(&samples[..2], Layout::Padded, vlm.encoder.special().end_of_text);
    let mean_loss = |model: &Qwen| model.forward_train(&batch).unwrap().mean();
    let gradients = mean_loss(&vlm.model).backward();
    let config = vlm.model.config().clone();
    // Along its own gradient, with a step that moves the loss well above the rounding of f32.
    for tensor in vlm.model.tensors() {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let gradient = tensor.gradient(&gradients).expect("every weight learns");
        let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(length > 0.0, "{name} has no gradient");
        let step = 2e-4 / length;
        let moved = |sign: f64| {
            let change = |(value, gradient): (&f32, &f32)| {
                (f64::from(*value) + sign * step * f64::from(*gradient) / length) as f32
            };
            let weights = vlm.model.named_weights().into_iter().map(|(other, shape, mut values)| {
                if other == name {
                    values = values.iter().zip(&gradient).map(change).collect();
                }
                (other, shape, values)
            });
            let weights = eosin_weights::MemoryTensors::from_f32(weights.collect()).unwrap();
            let model = Qwen::load(&config, &weights, WeightForm::Dense, &device).unwrap();
            let loss: f32 = mean_loss(&model).inner().into_scalar();
            f64::from(loss)
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let error = (slope - length).abs() / length.max(1e-2);
        assert!(error < 0.05, "{name} {shape:?}: slope {slope}, gradient {length}");
    }
}

#[test]
fn what_is_no_number_stops_the_run_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::create(plan(&[]), dir.path()).unwrap();
    run(&pipeline, &mut StopAfter::new(2));
    let stage = &pipeline.plan.recipe.stages[0];
    let stage_plan = pipeline.plan.stage_plan(stage, "");
    let device = Device::flex().autodiff();
    let vlm = Vlm::init(&stage_plan, &dir.path().join("tokenizer.json"), &device).unwrap();
    let stage_dir = pipeline.stage_dir("cpt");
    let mut trainer =
        eosin_training::run::Trainer::open(&stage_dir, &stage_plan, vlm.model, &device, &mut Unwatched)
            .unwrap();
    let before = trainer.model.named_weights();
    let ids: Vec<String> = (0..10).map(|idx| format!("sample-{idx}")).collect();
    let error = trainer.update(f64::NAN, GradientSum::default(), &ids).unwrap_err();
    let text = error.to_string();
    for expected in ["loss is not a number", "stage cpt at step 3", "sample-0", "2 more", "step-00000002"] {
        assert!(text.contains(expected), "{text}");
    }
    assert!(before == trainer.model.named_weights());
}

#[test]
fn a_final_folder_opens_as_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::create(plan(&[]), dir.path()).unwrap();
    run(&pipeline, &mut Unwatched);
    let path = pipeline.stage_dir("sft").join(FINAL);
    let weights = SafetensorsFolder::open(&path).unwrap();
    let vlm = Vlm::open(&path, &pipeline.plan.recipe.image, &Device::flex()).unwrap();
    let bytes = final_weights(&pipeline, "sft");
    drop(weights);
    let texts = folder::texts(&vlm.files);
    let about = folder::finished(&pipeline.stage_dir("sft")).unwrap().unwrap();
    let copy = dir.path().join("copy");
    fs::create_dir(&copy).unwrap();
    let written = folder::write_final(&copy, &texts, vlm.model.valid().named_weights(), about).unwrap();
    assert!(bytes == fs::read(written.join("model.safetensors")).unwrap());
}

#[test]
fn a_recipe_says_what_it_means_or_is_refused() {
    let refusal = |text: &str, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        match Recipe::parse(text, Pace::Full, &settings).and_then(Recipe::resolve) {
            Ok(_) => panic!("taken: {settings:?}"),
            Err(error) => error.to_string(),
        }
    };
    let check = |settings: &[&str], expected: &str| {
        let found = refusal(TINY, settings);
        assert!(found.contains(expected), "{found}");
        assert!(!found.contains('\n'), "{found}");
    };
    let fast = Recipe::parse(TINY, Pace::Fast, &[]).unwrap();
    assert_eq!(fast.stages[0].optim.steps, 2);
    let misspelt = TINY.replace("warmup_steps", "warmup_step");
    assert!(refusal(&misspelt, &[]).contains("warmup_step"));
    assert!(refusal("schema = [", &[]).contains("recipe cannot be read"));
    check(&["optim.learning_rate=1"], "optim");
    check(&["stage.sft.optim.learning_rate=1"], "learning_rate");
    check(&["stage.nope.optim.lr=1"], "no entry of that name");
    check(&["seed"], "not key=value");
    check(&["stage.cpt.optim.steps=many"], "--set stage.cpt.optim.steps=many");
    check(&["schema=1"], "schema 1");
    check(&["stage.cpt.kind=dpo"], "dpo");
    check(&["stage.cpt.optim.lr=-1"], "optim.lr");
    check(&["stage.cpt.optim.samples_per_step=0"], "optim.samples_per_step");
    check(&["stage.sft.from=nowhere", "stage.sft.data=[]"], "names no source");
    check(&["stage.sft.data=[{source=\"nothing\"}]"], "no source `nothing`");
    check(&["stage.sft.name=cpt"], "another stage has this name");
    check(&["stage.sft.rl.x=1"], "rl");
    check(&["stage.sft.tune.max_tokens=10"], "a picture may take 4 tokens");
    check(&["stage.sft.tune.freeze=[\"tower\", \"merger\", \"decoder\"]"], "nothing to train");
    check(&["model.text.mrope_section=[1, 1, 1]"], "mrope_section");
    check(&["model.vision.heads=7"], "model.vision.hidden");
    check(&["sources.captions.phantom.count=0"], "source captions");
}
