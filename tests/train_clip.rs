//! Contrastive training, held to what must not break: loss and gradients are PyTorch's however the batch is
//! cut, one batch overfits, a locked tower does not move, a resumed run is the unbroken one bit for bit, the
//! linear probe is scikit-learn's, and an exported model has the features of the trained one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use eosin_model::clip::{Clip, Config, ParamRef, TokenBatch};
use eosin_training::clip::Features;
use eosin_training::clip::gradient::{Part, slope};
use eosin_training::clip::probe::{Probe, ProbeSettings};
use eosin_weights::{SafetensorsFolder, WeightSource as _};
use serde_json::Value;

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
