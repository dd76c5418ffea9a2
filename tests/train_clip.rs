//! Contrastive training, held to what must not break: loss and gradients are PyTorch's however the batch is
//! cut, one batch overfits, a locked tower does not move, a resumed run is the unbroken one bit for bit, the
//! linear probe is scikit-learn's, and an exported model has the features of the trained one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::DeviceChoice;
use eosin_model::clip::{Clip, Config, ParamRef, TokenBatch};
use eosin_session::embed::ClipBundle;
use eosin_slide::load_picture;
use eosin_training::TrainError;
use eosin_training::clip::Features;
use eosin_training::clip::bundle::{self, About};
use eosin_training::clip::evaluate::{ClipReport, Encoder, Measures, measure, measure_bundle};
use eosin_training::clip::folder::ClipFolder;
use eosin_training::clip::gradient::{Part, slope};
use eosin_training::clip::probe::{Probe, ProbeSettings};
use eosin_training::clip::tissue::Division;
use eosin_training::data::Source;
use eosin_training::folder::FINAL;
use eosin_training::metrics::{self, Kind, Scalars};
use eosin_training::phantom::{Content, Domain, Phantom, PhantomSource, Settings, Split};
use eosin_training::pipeline::Pipeline;
use eosin_training::recipe::{Pace, Plan, Recipe};
use eosin_training::run::Ended;
use eosin_training::watch::{Unwatched, Watch};
use eosin_weights::{SafetensorsFolder, WeightSource as _};
use serde_json::Value;

/// Two stages of a few steps on pictures of four patches.
const TINY: &str = r#"
schema = 2
name = "tiny"
seed = 3

[clip]
embed = 16
activation = "quick_gelu"
vision = { image_px = 28, patch_px = 14, hidden = 32, intermediate = 64, layers = 2, heads = 2 }
text = { vocabulary = 640, context = 24, hidden = 32, intermediate = 64, layers = 2, heads = 2 }

[sources.histology]
phantom = { split = "train", count = 64, content = { kind = "captions" }, domain = "in", image_px = 32 }

[sources.check]
phantom = { split = "validation", count = 40, content = { kind = "captions" }, domain = "in", image_px = 32 }

[[stage]]
name = "clip-1"
kind = "clip"
from = "init"
data = [{ source = "histology" }]
optim = { lr = 3e-3, warmup_steps = 2, steps = 6, samples_per_step = 8, samples_per_part = 3, epsilon = 1e-6 }
validate = { source = "check", every_steps = 3, loss_samples = 24 }
checkpoint = { every_steps = 2 }
clip = { zero_shot_tag = "subfield", read_threads = 2, duplicates = "drop" }

[[stage]]
name = "clip-2"
kind = "clip"
from = "clip-1"
data = [{ source = "histology" }]
optim = { lr = 1e-3, steps = 3, samples_per_step = 8, weight_decay = 0.1 }
clip = { locked = ["image"] }
"#;

fn plan(settings: &[&str]) -> Plan {
    let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Recipe::parse(TINY, Pace::Full, &settings).unwrap().resolve().unwrap()
}

fn final_of(pipeline: &Pipeline, stage: &str) -> PathBuf {
    pipeline.stage_dir(stage).join(FINAL)
}

fn final_weights(pipeline: &Pipeline, stage: &str) -> Vec<u8> {
    fs::read(final_of(pipeline, stage).join("model.safetensors")).unwrap()
}

/// Figures of the first stage.
fn rows_of(pipeline: &Pipeline) -> Vec<metrics::Row> {
    metrics::read(&pipeline.stage_dir("clip-1").join(metrics::METRICS)).unwrap()
}

/// Stops before every step but the first few that it is allowed.
struct StopAfter(u64);

impl Watch for StopAfter {
    fn step(&mut self, _stage: &str, _step: u64, _n_step: u64, _scalars: &Scalars) {
        self.0 -= 1;
    }
    fn wants_stop(&mut self) -> bool {
        self.0 == 0
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/clip").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

/// The tiny model of the golden file and its ten pairs, cut into parts.
struct Golden {
    model: Clip,
    config: Config,
    device: Device,
    expected: SafetensorsFolder,
}

impl Golden {
    fn open() -> Self {
        let device = Device::flex().autodiff();
        let config = Config::from_hf(&json("loss.config.json")).unwrap();
        let weights = SafetensorsFolder::open(&golden("loss.model.safetensors")).unwrap();
        let model = Clip::load(&config, &weights, &device).unwrap();
        let expected = SafetensorsFolder::open(&golden("loss.expected.safetensors")).unwrap();
        Self { model, config, device, expected }
    }

    fn parts(&self, n_part: usize) -> Vec<Part> {
        let pixels = self.expected.tensor("pixels").unwrap();
        let ids = self.expected.tensor("ids").unwrap().to_f32();
        let ids: Vec<u32> = ids.iter().map(|id| *id as u32).collect();
        let pixels = Tensor::<4>::from_data(TensorData::new(pixels.to_f32(), pixels.shape), &self.device);
        let rows: Vec<Vec<u32>> = ids.chunks_exact(9).map(<[u32]>::to_vec).collect();
        let cut = |first: usize| {
            let n = n_part.min(10 - first);
            let texts = TokenBatch::new(&rows[first..first + n], &self.config.text).unwrap();
            Part { images: pixels.clone().narrow(0, first, n), texts }
        };
        (0..10).step_by(n_part).map(cut).collect()
    }
}

/// Paths of the parameters in the order of their Hugging Face names.
fn by_name(model: &Clip, found: &eosin_training::optim::GradientSum) -> Vec<(String, Option<Vec<f32>>)> {
    let paths = Paths::of(model);
    model
        .named_params()
        .into_iter()
        .map(|(name, param)| {
            let id = match param {
                ParamRef::D1(param) => param.id,
                ParamRef::D2(param) => param.id,
            };
            let path = &paths.0.iter().find(|(other, _)| *other == id).unwrap().1;
            let values = found.get(path).map(|tensor| tensor.clone().try_into_vec_as::<f32>().unwrap());
            (name, values)
        })
        .collect()
}

/// Module path of every parameter.
#[derive(Default)]
struct Paths(Vec<(burn::module::ParamId, String)>, Vec<String>);

impl Paths {
    fn of(model: &Clip) -> Self {
        let mut paths = Self::default();
        model.visit(&mut paths);
        paths
    }
}

impl burn::module::ModuleVisitor for Paths {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.1.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.1.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &burn::module::Param<Tensor<D>>) {
        self.0.push((param.id, self.1.join(".")));
    }
}

#[track_caller]
fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
    });
    assert!(worst <= tolerance * largest.max(1e-4), "{what}: off by {worst:e} of {largest:e}");
}

#[test]
fn loss_and_gradients_are_pytorchs_however_the_batch_is_cut() {
    let golden = Golden::open();
    let expected_loss = golden.expected.tensor("loss").unwrap().to_f32()[0];
    for n_part in [10, 5, 4, 3, 1] {
        let found = slope(&golden.model, &golden.parts(n_part));
        assert!((found.loss as f32 - expected_loss).abs() < 1e-5, "{n_part}: {}", found.loss);
        let params = by_name(&golden.model, &found.gradients);
        assert_eq!(params.len(), 78);
        for (name, values) in params {
            let expected = golden.expected.tensor(&format!("grad.{name}")).unwrap().to_f32();
            close(&values.unwrap(), &expected, 1e-3, &format!("{name} in parts of {n_part}"));
        }
    }
}

#[test]
fn a_locked_tower_has_no_gradient_and_the_others_is_unchanged() {
    let golden = Golden::open();
    for n_part in [10, 4] {
        let free = by_name(&golden.model, &slope(&golden.model, &golden.parts(n_part)).gradients);
        for locked in ["vision_model.", "text_model."] {
            let mut model = golden.model.clone();
            if locked == "vision_model." {
                model.vision = model.vision.no_grad();
            } else {
                model.text = model.text.no_grad();
            }
            let found = by_name(&model, &slope(&model, &golden.parts(n_part)).gradients);
            let projection = if locked == "vision_model." { "visual_projection" } else { "text_projection" };
            for ((name, found), (_, free)) in found.iter().zip(&free) {
                if name.starts_with(locked) || name.starts_with(projection) {
                    assert!(found.is_none(), "{name}");
                } else {
                    close(found.as_ref().unwrap(), free.as_ref().unwrap(), 1e-5, name);
                }
            }
        }
    }
}

#[test]
fn the_probe_is_scikit_learns() {
    let file = json("probe.json");
    let rows = |key: &str| {
        let rows = file[key].as_array().unwrap();
        let values = rows.iter().flat_map(|row| row.as_array().unwrap()).map(|x| x.as_f64().unwrap() as f32);
        Features::new(rows[0].as_array().unwrap().len(), values.collect())
    };
    let labels = |value: &Value| {
        value.as_array().unwrap().iter().map(|label| label.as_u64().unwrap() as usize).collect::<Vec<_>>()
    };
    let floats =
        |value: &Value| value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    let (train, test) = (rows("train"), rows("test"));
    let (train_labels, test_labels) = (labels(&file["train_labels"]), labels(&file["test_labels"]));
    for case in file["cases"].as_array().unwrap() {
        let c = case["c"].as_f64().unwrap();
        let settings = ProbeSettings { c, tolerance: 1e-10, max_iter: 10_000 };
        let probe = Probe::fit(&train, &train_labels, 4, &settings).unwrap();
        for class in 0..4 {
            let expected = floats(&case["weights"][class]);
            for (found, expected) in probe.weights(class).iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5, "C {c}, class {class}: {found} {expected}");
            }
            // All intercepts may be moved together; scikit-learn's own stopping leaves some play besides.
            let expected = floats(&case["intercepts"]);
            let (found, expected) = [0, 1, 2, 3]
                .map(|other| (probe.intercept(other), expected[other]))
                .into_iter()
                .fold((probe.intercept(class), expected[class]), |(found, expected), (one, other)| {
                    (found - one / 4.0, expected - other / 4.0)
                });
            assert!((found - expected).abs() < 1e-4, "C {c}, class {class}: {found} {expected}");
        }
        let found = probe.predict(&test);
        assert_eq!(found, labels(&case["predictions"]), "C {c}");
        // The script's own settings stop earlier; what they decide is the same here.
        let quick = Probe::fit(&train, &train_labels, 4, &ProbeSettings { c, ..ProbeSettings::default() });
        let found = quick.unwrap().predict(&test);
        let n_right = found.iter().zip(&test_labels).filter(|(a, b)| a == b).count();
        let expected = case["script_accuracy"].as_f64().unwrap();
        assert!((n_right as f64 / 120.0 - expected).abs() < 1e-9, "C {c}: {n_right}");
    }
}

#[test]
fn a_run_that_was_broken_off_ends_as_the_unbroken_one() {
    let [whole, broken] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let whole = Pipeline::create(plan(&[]), whole.path()).unwrap();
    assert_eq!(whole.run(&[], &Device::flex(), &mut Unwatched).unwrap(), Ended::Finished);
    let broken = Pipeline::create(plan(&[]), broken.path()).unwrap();
    let mut n_stop = 0;
    // Stopped after 2, 1, 2, 1… steps, in both stages.
    while broken.run(&[], &Device::flex(), &mut StopAfter(2 - n_stop % 2)).unwrap() == Ended::Stopped {
        n_stop += 1;
    }
    assert!(n_stop > 3, "{n_stop}");
    for stage in ["clip-1", "clip-2"] {
        assert!(final_weights(&whole, stage) == final_weights(&broken, stage), "{stage}");
    }
    let rows = rows_of(&whole);
    let look = rows.iter().rfind(|row| row.kind == Kind::Eval).unwrap();
    for name in ["eval_loss", "eval_recall_i2t@1", "eval_recall_t2i@20", "eval_balanced_accuracy"] {
        assert!(look.scalars.get(name).is_some_and(f64::is_finite), "{name}: {:?}", look.scalars);
    }
    let step = rows.iter().find(|row| row.kind == Kind::Train).unwrap();
    assert!(step.scalars.get("logit_scale").is_some_and(|scale| (scale - 1.0 / 0.07).abs() < 0.01));

    // The second stage starts from the first and does not move the pictures' tower.
    let open = |stage| ClipFolder::open(&final_of(&whole, stage), &Device::flex()).unwrap();
    let tile =
        Phantom::draw(Split::HeldOut.seed(1), &Settings { size_px: [32; 2], ..Settings::default() }).tile;
    let features = |clip: &ClipFolder| {
        let images = clip.images(std::slice::from_ref(&tile)).unwrap();
        (images, Encoder::texts(clip, &["many glands".to_owned()]).unwrap())
    };
    let ((image_1, text_1), (image_2, text_2)) = (features(&open("clip-1")), features(&open("clip-2")));
    assert_eq!(image_1, image_2);
    assert_ne!(text_1, text_2);

    let about = About::of_stage(&whole, "clip-2").unwrap();
    assert!(about.training.contains("clip-1: ") && about.training.contains("clip-2: 24 pairs in 3 steps"));
    assert!(About::of_stage(&whole, "clip-3").is_err());
    export_and_measure(&open("clip-1"), &tile);
    transformers_agree(&open("clip-1"), &final_of(&whole, "clip-1"), tile);
}

/// The bundle and the Hugging Face folder hold the model that was trained.
fn export_and_measure(clip: &ClipFolder, tile: &eosin_core::RgbTile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle");
    let about = About { name: "tiny-clip".into(), training: "Hardly trained.".into() };
    bundle::write(clip, &about, None, &path).unwrap();
    assert!(bundle::write(clip, &about, None, &path).is_err(), "not empty");
    let embedder = ClipBundle::open(&path).unwrap().load(DeviceChoice::Cpu).unwrap();
    let tiles = std::slice::from_ref(tile);
    let texts = ["Many glands, 日本語 & 3 mitoses.".to_owned(), String::new()];
    let sides = [
        (Encoder::images(&embedder, tiles).unwrap(), clip.images(tiles).unwrap()),
        (Encoder::texts(&embedder, &texts).unwrap(), Encoder::texts(clip, &texts).unwrap()),
    ];
    for (found, expected) in sides {
        let (found, expected) = (found.normalised(), expected.normalised());
        for (found, expected) in found.rows().zip(expected.rows()) {
            let cosine: f32 = found.iter().zip(expected).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.999, "eight bits keep the direction: {cosine}");
        }
    }

    // Two labels that colours tell apart, on drawn tissue.
    let patches = dir.path().join("patches");
    for idx in 0..24 {
        let settings = Settings { size_px: [32; 2], ..Settings::default() };
        let phantom = Phantom::draw(Split::HeldOut.seed(idx), &settings);
        let folder = patches.join(phantom.truth.subfield.name());
        fs::create_dir_all(&folder).unwrap();
        let picture = image::RgbImage::from_raw(32, 32, phantom.tile.into_pixels()).unwrap();
        picture.save(folder.join(format!("{idx:02}.png"))).unwrap();
    }
    fs::write(patches.join("fish").join("broken.png"), b"no picture").unwrap();
    assert!(load_picture(&patches.join("fish").join("broken.png")).is_err());
    let source = PhantomSource {
        split: Split::HeldOut,
        n_sample: 30,
        domain: Domain::In,
        image_px: 32,
        content: Content::Captions,
    };
    let measures = Measures {
        pairs: Some((Arc::new(source) as Arc<dyn Source>, "drawn tissue".into())),
        n_pair: 30,
        tags: vec!["subfield".into(), "absent".into()],
        patches: Some(patches),
        shots: vec![2],
        command: "a test".into(),
        ..Measures::default()
    };
    let check = |report: &ClipReport| {
        let pairs = report.pairs.as_ref().unwrap();
        assert_eq!((pairs.n_pair, pairs.zero_shot.len()), (30, 1));
        assert!(pairs.strict.image_to_text.mean <= pairs.duplicate_aware.image_to_text.mean);
        let tissue = report.tissue.as_ref().unwrap();
        assert_eq!((tissue.n_picture, tissue.n_skipped, tissue.labels.len()), (24, 1, 5));
        assert_eq!(tissue.division, Division::ByName);
        assert_eq!(tissue.features.len(), 4);
        let text = report.to_markdown();
        for part in ["picture to text", "colour histogram", "few shots", "subfield by words"] {
            assert!(text.contains(part), "{text}");
        }
    };
    let in_memory = measure(clip, &measures).unwrap();
    check(&in_memory);
    let shipped = measure_bundle(&path, DeviceChoice::Cpu, &measures).unwrap();
    check(&shipped);
    bundle::state_figures(clip, &about, Some(&shipped), &path).unwrap();
    assert!(ClipBundle::open(&path).is_ok(), "sealed anew");
    assert!(fs::read_to_string(path.join("card.md")).unwrap().contains("Real tissue"));
    if let Some(kept) = std::env::var_os("EOSIN_KEEP_CLIP") {
        copy(&path, Path::new(&kept));
    }
}

/// Where `EOSIN_PYTHON` names a Python with torch and transformers, they open the folder and must agree.
fn transformers_agree(clip: &ClipFolder, folder: &Path, tile: eosin_core::RgbTile) {
    let Some(python) = std::env::var_os("EOSIN_PYTHON") else {
        eprintln!("skipped: EOSIN_PYTHON names no Python with transformers");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let picture = dir.path().join("picture.png");
    let texts =
        ["Many glands with 3 mitoses.", "", "日本語 & Größe", &"nuclei ".repeat(60)].map(str::to_owned);
    let ids: Vec<Vec<u32>> = texts.iter().map(|text| clip.tokenizer.encode(text).unwrap()).collect();
    let rows = |features: Features| features.rows().map(<[f32]>::to_vec).collect::<Vec<_>>();
    let expected = serde_json::json!({
        "picture": picture,
        "texts": texts,
        "ids": ids,
        "image_features": rows(clip.images(std::slice::from_ref(&tile)).unwrap()),
        "text_features": rows(Encoder::texts(clip, &texts).unwrap()),
        "logit_scale": clip.model.logit_scale.val().try_into_vec_as::<f32>().unwrap()[0],
    });
    let size = tile.size_px();
    image::RgbImage::from_raw(size[0], size[1], tile.into_pixels()).unwrap().save(&picture).unwrap();
    let path = dir.path().join("expected.json");
    fs::write(&path, expected.to_string()).unwrap();
    let script = golden("check_clip_export.py");
    let done = std::process::Command::new(python).arg(script).arg(folder).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    eprintln!("{said}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn one_batch_overfits() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        "sources.histology.phantom.count=8",
        "stage.clip-1.optim.steps=100",
        "stage.clip-1.optim.lr=4e-3",
        "stage.clip-1.validate.every_steps=0",
        "stage.clip-1.clip.duplicates=keep",
    ];
    let pipeline = Pipeline::create(plan(&settings), dir.path()).unwrap();
    pipeline.run(&["clip-1".to_owned()], &Device::flex(), &mut Unwatched).unwrap();
    let rows = rows_of(&pipeline);
    let loss: Vec<f64> =
        rows.iter().filter(|row| row.kind == Kind::Train).filter_map(|row| row.scalars.get("loss")).collect();
    assert!(loss[0] > 1.8, "{loss:?}");
    assert!(loss[loss.len() - 1] < 0.25, "{loss:?}");
}

#[test]
fn a_loss_that_is_no_number_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        "stage.clip-1.optim.lr=0.9",
        "stage.clip-1.optim.clip_norm=1e30",
        "stage.clip-1.optim.warmup_steps=0",
        "stage.clip-1.optim.steps=60",
        "stage.clip-1.validate.every_steps=0",
    ];
    let pipeline = Pipeline::create(plan(&settings), dir.path()).unwrap();
    match pipeline.run(&["clip-1".to_owned()], &Device::flex(), &mut Unwatched) {
        Err(TrainError::NotANumber { stage, .. }) => assert_eq!(stage, "clip-1"),
        // A rate that does not break this arithmetic must at least keep the temperature in its range.
        other => {
            assert_eq!(other.unwrap(), Ended::Finished);
            let rows = rows_of(&pipeline);
            for scale in rows.iter().filter_map(|row| row.scalars.get("logit_scale")) {
                assert!((0.999..=100.1).contains(&scale), "{scale}");
            }
        }
    }
}

#[test]
fn unusable_recipes_are_refused_with_the_cause() {
    let check = |settings: &[&str], expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let error = Recipe::parse(TINY, Pace::Full, &settings)
            .and_then(Recipe::resolve)
            .and_then(|plan| Pipeline::create(plan, dir.path()))
            .and_then(|pipeline| pipeline.run(&[], &Device::flex(), &mut Unwatched))
            .unwrap_err();
        let text = eosin_core::error_chain(&error);
        assert!(text.contains(expected), "{text} does not say {expected}");
    };
    check(&["stage.clip-1.clip.locked=[\"image\", \"text\"]"], "leaves nothing to train");
    check(&["stage.clip-1.clip.read_threads=0"], "read_threads");
    check(&["clip.text.vocabulary=100"], "514 tokens");
    check(&["clip.vision.patch_px=13"], "13 px patches");
    check(&["clip.activation=relu"], "relu");
}
