//! Adapters are those of the `peft` library: what an adapted model says, its loss, every adapter's gradient, merged
//! matrices, and the names in the file; over dense and over packed matrices. A fresh adapter changes nothing, learning
//! changes nothing but adapters, and merging can be undone.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/kit.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod kit;

use burn::tensor::{Device, Tensor};
use eosin_core::PatchGrid;
use eosin_kernels::Arithmetic;
use eosin_model::attention::Visibility;
use eosin_model::lora::{LoraSettings, Part};
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{
    Config, Pictures, Qwen, RolloutPrompt, RolloutSettings, TrainBatch, mrope_positions,
};
use eosin_weights::SafetensorsFolder;
use kit::{References, relative};

/// Distance from the reference, relative to its largest magnitude, in 32-bit floats.
const TOLERANCE: f32 = 2e-4;

struct Case {
    ids: Vec<u32>,
    taught: Vec<bool>,
    images: Vec<ImageTensor>,
    expected: References,
}

fn case() -> Case {
    let folder = kit::golden("qwen");
    let references = References::open(&folder.join("small.safetensors"));
    let preprocess = Preprocess::from_hf(&kit::json(&folder.join("preprocessor_config.json"))).unwrap();
    let image = preprocess.prepare(&kit::picture(&folder.join("small_0.png"))).unwrap();
    Case {
        ids: references.integers("input_ids").iter().map(|id| *id as u32).collect(),
        taught: references.integers("taught").iter().map(|taught| *taught == 1).collect(),
        images: vec![image],
        expected: References::open(&kit::golden("lora").join("expected.safetensors")),
    }
}

impl Case {
    fn logits(&self, model: &Qwen) -> Vec<f32> {
        let grids: Vec<PatchGrid> = self.images.iter().map(|image| image.grid).collect();
        let positions = mrope_positions(&self.ids, &grids, &model.config().tokens).unwrap();
        let features = model.encode_images(&self.images).unwrap();
        let embeds = model.embed(&self.ids, Some(&features)).unwrap();
        let hidden = model.text.forward(embeds.unsqueeze(), &[positions], Visibility::Causal, None);
        let [_, t, d] = hidden.dims();
        floats(model.text.logits(hidden.reshape([t, d])))
    }

    fn batch(&self) -> TrainBatch {
        TrainBatch {
            ids: vec![self.ids.clone()],
            taught: vec![self.taught.clone()],
            images: self.images.clone(),
            ..TrainBatch::default()
        }
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

fn base(form: WeightForm, device: &Device) -> Qwen {
    let folder = kit::golden("qwen");
    let config = Config::from_hf(&kit::json(&folder.join("config.json"))).unwrap();
    Qwen::load(&config, &SafetensorsFolder::open(&folder).unwrap(), form, device).unwrap()
}

/// The settings of the golden adapters.
fn settings() -> LoraSettings {
    LoraSettings { rank: 2, alpha: 6.0, parts: Part::ALL.to_vec(), ..LoraSettings::default() }
}

fn adapted(form: WeightForm, device: &Device) -> Qwen {
    let file = SafetensorsFolder::open(&kit::golden("lora").join("adapter_model.safetensors")).unwrap();
    base(form, device).load_adapters(&file, &settings()).unwrap()
}

#[test]
fn adapters_are_those_of_peft() {
    let case = case();
    let (_, logits) = case.expected.floats("logits");
    let loss = case.expected.floats("loss").1[0];
    for form in [WeightForm::Dense, WeightForm::Packed(Arithmetic::Exact)] {
        let model = adapted(form, &Device::flex().autodiff());
        let distance = relative(&case.logits(&model), &logits);
        assert!(distance < TOLERANCE, "{form:?}: logits are {distance:e} off");
        let found = model.forward_train(&case.batch()).unwrap().mean();
        let found_loss: f32 = found.clone().into_scalar();
        assert!((found_loss - loss).abs() / loss < 1e-5, "{form:?}: loss {found_loss} for {loss}");
        // Every adapter's gradient, by the name that peft gives it.
        let gradients = found.backward();
        let mut worst = 0.0_f32;
        let found = model.adapter_gradients(&gradients).unwrap();
        assert_eq!(found.len(), 2 * (2 * 7 + 2 * 5 + 2), "{form:?}");
        for tensor in &found {
            let (shape, expected) = case.expected.floats(&format!("gradient.{}", tensor.name));
            assert_eq!(shape, tensor.shape, "{}", tensor.name);
            let distance = relative(&tensor.values, &expected);
            assert!(distance < 1e-3, "{form:?}: gradient of {} is {distance:e} off", tensor.name);
            worst = worst.max(distance);
        }
        // The base takes none.
        assert!(model.tensors().iter().all(|tensor| tensor.gradient(&gradients).is_none()), "{form:?}");
        println!(
            "{form:?}: logits {distance:e}, loss {:e}, gradients {worst:e}",
            (found_loss - loss).abs() / loss
        );

        // Merged, the model says the same, its matrices are peft's, and it can be undone.
        let before = model.named_weights();
        let merged = model.merged();
        let distance = relative(&case.logits(&merged), &logits);
        assert!(distance < TOLERANCE, "{form:?} merged: {distance:e}");
        let weights = merged.named_weights();
        for (name, own) in [
            (
                "model.language_model.layers.1.self_attn.k_proj.weight",
                "model.layers.1.self_attn.k_proj.weight",
            ),
            ("model.visual.blocks.0.attn.qkv.weight", "visual.blocks.0.attn.qkv.weight"),
        ] {
            let (_, expected) = case.expected.floats(&format!("merged.{name}"));
            let (_, _, found) = weights.iter().find(|(name, ..)| name == own).unwrap();
            assert!(relative(found, &expected) < 1e-6, "{form:?}: {name}");
        }
        for ((name, _, before), (_, _, after)) in before.iter().zip(merged.unmerged().named_weights()) {
            assert!(relative(&after, before) < 1e-6, "{form:?}: {name} after merging and unmerging");
        }
    }
}

#[test]
fn a_fresh_adapter_changes_nothing() {
    let case = case();
    for form in [WeightForm::Dense, WeightForm::Packed(Arithmetic::Exact)] {
        let plain = case.logits(&base(form, &Device::flex().autodiff()));
        let check = |settings: &LoraSettings, n_map: usize| {
            let model = base(form, &Device::flex().autodiff()).with_adapters(settings).unwrap();
            assert_eq!(model.adapted_maps().len(), n_map, "{settings:?}");
            assert!(relative(&case.logits(&model), &plain) < 1e-6, "{form:?}, {settings:?}");
            // B learns first; A has no slope while B is zero.
            let gradients = model.forward_train(&case.batch()).unwrap().mean().backward();
            for tensor in model.adapter_gradients(&gradients).unwrap() {
                let is_flat = tensor.values.iter().all(|value| *value == 0.0);
                assert_eq!(is_flat, tensor.name.contains("lora_A"), "{}", tensor.name);
            }
        };
        check(&LoraSettings::default(), 14);
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        check(&LoraSettings { targets: names(&["q_proj", "v_proj"]), ..LoraSettings::default() }, 4);
        let all = Part::ALL.to_vec();
        check(&LoraSettings { targets: names(&["gate_proj", "qkv"]), parts: all, ..settings() }, 6);
        check(&LoraSettings { parts: vec![Part::Merger], ..settings() }, 2);
    }
    for (settings, expected) in [
        (LoraSettings { targets: vec!["proj".to_owned()], ..LoraSettings::default() }, "no linear map"),
        (LoraSettings { rank: 0, ..LoraSettings::default() }, "rank"),
        (LoraSettings { alpha: f64::NAN, ..LoraSettings::default() }, "alpha"),
    ] {
        let error = base(WeightForm::Dense, &Device::flex()).with_adapters(&settings).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn adapters_go_to_a_file_and_come_back() {
    let case = case();
    let model = adapted(WeightForm::Dense, &Device::flex());
    let written = model.adapters().unwrap();
    let file = References::open(&kit::golden("lora").join("adapter_model.safetensors"));
    let mut names: Vec<&str> = written.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut expected = file.names();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for tensor in &written {
        assert_eq!(
            (tensor.shape.to_vec(), tensor.values.clone()),
            file.floats(&tensor.name),
            "{}",
            tensor.name
        );
    }
    // Rollouts of an adapted model are those of the merged one.
    let prompt = RolloutPrompt { ids: case.ids[..2].to_vec(), pictures: vec![], n_rollout: 3, stream: 1 };
    let roll = |model: &Qwen| {
        let settings = RolloutSettings { max_new_tokens: 20, ..RolloutSettings::default() };
        model.rollout(std::slice::from_ref(&prompt), &Pictures::default(), &settings).unwrap()
    };
    let expected = roll(&model.clone().merged());
    for found in [roll(&model), roll(&adapted(WeightForm::Packed(Arithmetic::Exact), &Device::flex()))] {
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.ids, expected.ids);
        }
    }
    let plain = roll(&base(WeightForm::Dense, &Device::flex()));
    assert_ne!(plain[0].ids, expected[0].ids, "the adapters are of use");
}

#[test]
fn frozen_parts_take_no_gradient() {
    let case = case();
    let check = |parts: &[Part]| {
        let model = base(WeightForm::Dense, &Device::flex().autodiff()).freeze(parts);
        let gradients = model.forward_train(&case.batch()).unwrap().mean().backward();
        for tensor in model.tensors() {
            let part = if tensor.name.starts_with("visual.merger") {
                Part::Merger
            } else if tensor.name.starts_with("visual") {
                Part::Tower
            } else {
                Part::Decoder
            };
            assert_eq!(
                tensor.gradient(&gradients).is_some(),
                !parts.contains(&part),
                "{parts:?}: {}",
                tensor.name
            );
        }
    };
    check(&[]);
    check(&[Part::Tower]);
    check(&[Part::Tower, Part::Merger]);
    check(&[Part::Decoder]);
}
