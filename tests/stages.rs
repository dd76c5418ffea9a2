//! Training, held to what must not break: one batch overfits, a resumed run is the unbroken one bit for bit,
//! gradients are the loss's slopes, a torn checkpoint costs nothing finished, a misspelt key stops before
//! the first step, and the exported model says what the trained one says. A model of a few thousand
//! weights serves; all of it takes well under a minute.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use eosin_core::DeviceChoice;
use eosin_model::qwen::Qwen;
use eosin_model::qwen::load::WeightForm;
use eosin_session::generate::{AskOptions, Cancel, Question, Session};
use eosin_session::{BundleSource, StreamEvent};
use eosin_training::TrainError;
use eosin_training::batch::{Batch, EncodedRow, Sample};
use eosin_training::checkpoint;
use eosin_training::curriculum::{Curriculum, case, settings};
use eosin_training::export;
use eosin_training::loss::batch_loss;
use eosin_training::metrics::StepMetrics;
use eosin_training::recipe::{Plan, Recipe};
use eosin_training::sft::{Run, Start, Unwatched, Watch};
use eosin_weights::convert;

/// The demonstration's recipe, made tiny.
fn recipe(settings: &[&str]) -> Recipe {
    let tiny = [
        "seed=3",
        "data.image_px=56",
        "data.vocabulary=400",
        "data.vocabulary_phantoms=8",
        "data.draw_threads=2",
        "data.rows_per_image=2",
        "data.turns_per_row=1",
        "model.text.hidden=32",
        "model.text.intermediate=64",
        "model.text.layers=2",
        "model.text.heads=2",
        "model.text.kv_heads=1",
        "model.text.mrope_section=[2, 3, 3]",
        "model.vision.hidden=32",
        "model.vision.intermediate=64",
        "model.vision.depth=2",
        "model.vision.heads=2",
        "model.vision.full_attention_every=2",
        "optim.lr=3e-3",
        "optim.warmup_steps=2",
        "optim.steps=6",
        "optim.max_minutes=0",
        "optim.images_per_step=3",
        "optim.images_per_part=2",
        "validate.every_steps=0",
        "checkpoint.every_steps=2",
        "checkpoint.keep_last=2",
    ];
    let all: Vec<String> = tiny.iter().chain(settings).map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(include_str!("../training/recipes/demo-sft.toml"), &all).unwrap()
}

fn plan(settings: &[&str]) -> Plan {
    recipe(settings).resolve().unwrap()
}

fn open(plan: &Plan, dir: &Path, start: Start) -> Run {
    Run::open(plan.clone(), dir, start, &Device::flex(), &mut Unwatched).unwrap()
}

/// Ends a run after so many steps.
struct StopAt(u64, u64);

impl Watch for StopAt {
    fn step(&mut self, metrics: &StepMetrics) {
        self.1 = metrics.step;
    }
    fn wants_stop(&mut self) -> bool {
        self.1 >= self.0
    }
}

fn weights(run: &Run) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    run.model().named_weights()
}

fn samples(run: &Run, n: u64) -> Vec<Sample> {
    let curriculum = Curriculum::new(&run.plan().recipe, run.encoder().clone());
    (0..n).map(|cursor| curriculum.train_sample(0, cursor).unwrap()).collect()
}

#[test]
fn one_batch_overfits() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(&["optim.steps=60", "optim.lr=1e-2", "optim.lr_floor=1.0"]);
    let mut run = open(&plan, &dir.path().join("run"), Start::Fresh);
    let samples = samples(&run, 2);
    let losses: Vec<f64> = (0..60).map(|_| run.step(&samples, None).unwrap().loss).collect();
    let (first, last) = (losses[0], losses[59]);
    assert!(first > 4.0 && last < 0.25 * first, "{first} → {last}");
}

#[test]
fn a_resumed_run_is_the_unbroken_one_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (whole_dir, broken_dir) = (dir.path().join("whole"), dir.path().join("broken"));
    let plan = plan(&[]);
    let mut whole = open(&plan, &whole_dir, Start::Fresh);
    whole.train(&mut Unwatched).unwrap();
    assert_eq!(whole.state().step, 6);

    let mut broken = open(&plan, &broken_dir, Start::Fresh);
    broken.train(&mut StopAt(3, 0)).unwrap();
    assert_eq!(broken.state().step, 3);
    drop(broken);
    let mut resumed = open(&plan, &broken_dir, Start::Resume);
    assert_eq!(resumed.state().step, 3);
    resumed.train(&mut Unwatched).unwrap();
    assert!(weights(&whole) == weights(&resumed), "the weights differ");
    assert_eq!(whole.state().n_token, resumed.state().n_token);
    let lines = |dir: &Path| {
        let text = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            (
                line["step"].as_u64().unwrap(),
                line["loss"].as_f64().unwrap(),
                line["grad_norm"].as_f64().unwrap(),
            )
        };
        text.lines().map(line).collect::<Vec<_>>()
    };
    assert_eq!(lines(&whole_dir), lines(&broken_dir));
    // Old checkpoints go, the last two stay.
    assert_eq!(fs::read_dir(checkpoint::folder(&whole_dir)).unwrap().count(), 2);
}

#[test]
fn a_torn_checkpoint_costs_only_what_came_after_the_last_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run");
    let plan = plan(&[]);
    open(&plan, &dir, Start::Fresh).train(&mut StopAt(4, 0)).unwrap();
    let folder = checkpoint::folder(&dir);
    // A kill in the middle of a write leaves a folder of the temporary name, without a manifest…
    let partial = folder.join(".partial-step-00000005");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("weights.safetensors"), b"half of i").unwrap();
    let resumed = open(&plan, &dir, Start::Resume);
    assert_eq!(resumed.state().step, 4);
    // … and a disk that lies leaves a whole name with wrong bytes.
    let newest = folder.join("step-00000004/weights.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let mut notes = Notes(Vec::new());
    let mut resumed = Run::open(plan.clone(), &dir, Start::Resume, &Device::flex(), &mut notes).unwrap();
    assert_eq!(resumed.state().step, 2);
    assert!(notes.0.iter().any(|note| note.contains("differs from its hash")), "{:?}", notes.0);
    resumed.train(&mut Unwatched).unwrap();
    assert_eq!(resumed.state().step, 6);
}

struct Notes(Vec<String>);

impl Watch for Notes {
    fn note(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(&plan(&[]), &dir.path().join("run"), Start::Fresh);
    let pad = run.encoder().special().end_of_text;
    let batch = Batch::new(&samples(&run, 2), pad);
    let device = Device::flex().autodiff();
    let mean_loss = |model: &Qwen| {
        let loss = batch_loss(model, &batch, &device);
        loss.sum.div_scalar(loss.n_target as f64)
    };
    let model = run.model().clone();
    let gradients = mean_loss(&model).backward();
    // Along its own gradient, with a step that moves the loss well above the rounding of f32.
    for tensor in model.tensors() {
        let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
        let gradient = tensor.gradient(&gradients).expect("every weight learns");
        let length = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        assert!(length > 0.0, "{name} has no gradient");
        let step = 2e-4 / length;
        let moved = |sign: f64| {
            let change = |(value, gradient): (&f32, &f32)| {
                (f64::from(*value) + sign * step * f64::from(*gradient) / length) as f32
            };
            let weights = model.named_weights().into_iter().map(|(other, shape, mut values)| {
                if other == name {
                    values = values.iter().zip(&gradient).map(change).collect();
                }
                (other, shape, values)
            });
            let weights = eosin_weights::MemoryTensors::from_f32(weights.collect()).unwrap();
            let model = Qwen::load(run.config(), &weights, WeightForm::Dense, &device).unwrap();
            let loss: f32 = mean_loss(&model).inner().into_scalar();
            f64::from(loss)
        };
        let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
        let error = (slope - length).abs() / length.max(1e-2);
        assert!(error < 0.05, "{name} {shape:?}: slope {slope}, gradient {length}");
    }
}

#[test]
fn padding_and_parts_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(&plan(&[]), &dir.path().join("run"), Start::Fresh);
    let pad = run.encoder().special().end_of_text;
    let samples = samples(&run, 3);
    let model = run.model().valid();
    let device = Device::flex();
    let sum = |samples: &[Sample]| {
        let sum: f32 = batch_loss(&model, &Batch::new(samples, pad), &device).sum.into_scalar();
        f64::from(sum)
    };
    let together = sum(&samples);
    let rows = samples.iter().flat_map(|sample| {
        sample.rows.iter().map(|row| Sample { rows: vec![row.clone()], ..sample.clone() })
    });
    let apart: f64 = rows.map(|sample| sum(&[sample])).sum();
    assert!((together - apart).abs() / together < 1e-5, "{together} and {apart}");
    let asks_nothing =
        EncodedRow { counts: vec![false; samples[0].rows[0].ids.len()], ..samples[0].rows[0].clone() };
    let batch = Batch::new(&[Sample { rows: vec![asks_nothing], ..samples[0].clone() }], pad);
    assert!(batch.targets.is_empty());
}

#[test]
fn a_recipe_says_what_it_means_or_is_refused() {
    let source = include_str!("../training/recipes/demo-sft.toml");
    let refusal = |text: &str, settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        match Recipe::parse(text, &settings).and_then(Recipe::resolve) {
            Ok(_) => panic!("taken: {settings:?}"),
            Err(error) => error.to_string(),
        }
    };
    let check = |settings: &[&str], expected: &str| {
        let found = refusal(source, settings);
        assert!(found.contains(expected), "{found}");
        assert!(!found.contains('\n'), "{found}");
    };
    assert!(Recipe::parse(source, &[]).and_then(Recipe::resolve).is_ok());
    let misspelt = source.replace("warmup_steps", "warmup_step");
    assert!(refusal(&misspelt, &[]).contains("warmup_step"));
    assert!(refusal("schema = [", &[]).contains("recipe cannot be read"));
    check(&["optim.learning_rate=1"], "no such key");
    check(&["optim.lr"], "not key=value");
    check(&["optim.steps=many"], "--set optim.steps=many");
    check(&["schema=2"], "schema 2");
    check(&["stage=grpo"], "stage `grpo`");
    check(&["data.image_px=100"], "multiple of 28");
    check(&["optim.lr=-1"], "optim.lr");
    check(&["optim.images_per_step=0"], "optim.images_per_step");
    check(&["model.text.mrope_section=[1, 1, 1]"], "mrope_section");
    check(&["model.vision.heads=7"], "model.vision.hidden");
}

#[test]
fn a_directory_is_not_trained_over_and_nan_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("run");
    let plan = plan(&[]);
    let started = |start| Run::open(plan.clone(), &dir, start, &Device::flex(), &mut Unwatched);
    assert!(matches!(started(Start::Resume), Err(TrainError::NoCheckpoint { .. })));
    let mut run = started(Start::Fresh).unwrap();
    assert!(matches!(started(Start::Fresh), Err(TrainError::RunExists { .. })));
    run.train(&mut StopAt(2, 0)).unwrap();
    let mut samples = samples(&run, 1);
    samples[0].patches[7] = f32::NAN;
    let before = weights(&run);
    match run.step(&samples, None) {
        Err(TrainError::NotANumber { step: 3, last_good, .. }) => assert_eq!(last_good, "step-00000002"),
        other => panic!("{other:?}"),
    }
    assert!(before == weights(&run), "a broken step changes nothing");
}

#[test]
fn what_is_exported_says_what_was_trained() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = open(&plan(&["optim.steps=30", "optim.lr=1e-2"]), &dir.path().join("run"), Start::Fresh);
    let samples = samples(&run, 2);
    for _ in 0..30 {
        run.step(&samples, None).unwrap();
    }
    let case = case(eosin_training::phantom::Split::Validation.seed(1), &settings(&run.plan().recipe.data));
    let curriculum = Curriculum::new(&run.plan().recipe, run.encoder().clone());
    let model = run.model().valid();
    let expected: Vec<String> = case
        .items
        .iter()
        .map(|item| curriculum.answer(&model, &case.tile, &item.prompt, 24).unwrap())
        .collect();
    assert!(expected.iter().any(|text| !text.is_empty()));

    let agreement = |recipe, name: &str| {
        let folder = dir.path().join(name);
        export::bundle::write(&run, recipe, &folder).unwrap();
        let source = BundleSource::Files { model: folder, mmproj: None };
        let mut session = Session::open(&source, DeviceChoice::Cpu).unwrap();
        let mut n_same = 0;
        for (item, expected) in case.items.iter().zip(&expected) {
            let mut question = Question::about(vec![case.tile.clone().into()], &item.prompt);
            let options = AskOptions { greedy: true, max_tokens: Some(24), ..AskOptions::default() };
            question.options = options;
            let mut text = None;
            let answered = session.answer(&question, &Cancel::default(), &mut |event| {
                if let StreamEvent::Done { transcript, .. } = event {
                    text = Some(transcript.text.clone());
                }
            });
            answered.unwrap();
            n_same += usize::from(text.as_ref() == Some(expected));
        }
        n_same
    };
    let n_item = case.items.len();
    assert_eq!(agreement(convert::Recipe::F32, "f32"), n_item, "32 bits change nothing");
    let n_same = agreement(convert::Recipe::Q8_0, "q8");
    // Eight bits may tip a close call; most answers must stay.
    assert!(n_same * 3 >= n_item * 2, "{n_same} of {n_item}");
}

#[test]
fn a_hugging_face_folder_opens_as_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    let run = open(&plan(&[]), &dir.path().join("run"), Start::Fresh);
    let folder = dir.path().join("hf");
    export::write_hf_folder(&run, &folder).unwrap();
    let weights = eosin_weights::SafetensorsFolder::open(&folder).unwrap();
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let config = eosin_model::qwen::Config::from_hf(&config).unwrap();
    let device = Device::flex();
    let model = Qwen::load(&config, &weights, WeightForm::Dense, &device).unwrap();
    let batch = Batch::new(&samples(&run, 1), run.encoder().special().end_of_text);
    let loss = |model: &Qwen| -> Tensor<1> { batch_loss(model, &batch, &device).sum };
    let (first, second): (f32, f32) = (loss(&run.model().valid()).into_scalar(), loss(&model).into_scalar());
    assert!((first - second).abs() <= 1e-6 * first.abs(), "{first} and {second}");
}
