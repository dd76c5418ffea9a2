//! Qwen2.5-VL equals transformers: pixel values, every vision block, hidden states, logits, greedy ids through the
//! cache, loss and every gradient.
//!
//! The golden model (`golden/make_qwen.py`) runs everywhere; the conformance kit, where it is found, adds three
//! checkpoints of 14 cases each. Tolerances are those of [`TOLERANCE`], relative to the largest magnitude of the
//! reference, for 32-bit weights and activations.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic and speak where the program must not"
)]

#[path = "support/kit.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod kit;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::PatchGrid;
use eosin_kernels::Arithmetic;
use eosin_model::attention::Visibility;
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::window::{WindowPlan, windows_of};
use eosin_model::qwen::{Config, Positions, Qwen, TrainBatch, mrope_positions};
use eosin_weights::SafetensorsFolder;
use kit::{References, absolute, argmax, relative};

/// How far results may be from the reference.
struct Tolerance {
    pixels: f32,
    activations: f32,
    gradients: f32,
    /// Greedy ids are decisive where the reference's two best scores are at least this far apart.
    margin: f32,
}

/// On the processor, in 32-bit floats.
const TOLERANCE: Tolerance = Tolerance { pixels: 1e-5, activations: 2e-4, gradients: 1e-3, margin: 1e-3 };

/// A loaded checkpoint.
struct Checkpoint {
    model: Qwen,
    preprocess: Preprocess,
}

impl Checkpoint {
    fn open(folder: &Path, form: WeightForm, device: &Device) -> Self {
        let config = Config::from_hf(&kit::json(&folder.join("config.json"))).unwrap();
        let weights = SafetensorsFolder::open(folder).unwrap();
        let model = Qwen::load(&config, &weights, form, device).unwrap();
        let preprocess = Preprocess::from_hf(&kit::json(&folder.join("preprocessor_config.json"))).unwrap();
        Self { model, preprocess }
    }

    fn images(&self, folder: &Path, names: &[String]) -> Vec<ImageTensor> {
        let prepare = |name: &String| self.preprocess.prepare(&kit::picture(&folder.join(name))).unwrap();
        names.iter().map(prepare).collect()
    }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// The worst distance of each kind of result, printed at the end.
#[derive(Default)]
struct Worst(std::collections::BTreeMap<String, f32>);

impl Worst {
    fn check(&mut self, kind: &str, case: &str, distance: f32, limit: f32) {
        let worst = self.0.entry(kind.to_owned()).or_default();
        *worst = worst.max(distance);
        assert!(distance <= limit, "{case}: {kind} is {distance:e} from the reference, limit {limit:e}");
    }
}

fn ids_of(references: &References, name: &str) -> Vec<u32> {
    references.integers(name).into_iter().map(|id| id as u32).collect()
}

/// Vision tower: every block in the reference's order, and the merged output.
fn check_vision(
    model: &Qwen,
    images: &[ImageTensor],
    references: &References,
    case: &str,
    worst: &mut Worst,
) {
    let (vision, config) = (model.vision.as_ref().unwrap(), model.config().vision.as_ref().unwrap());
    let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
    let plan = WindowPlan::new(&grids, config.window());
    let mut n_before = 0;
    let mut reference_order = Vec::new();
    for grid in &grids {
        let cells = windows_of(grid, config.window()).concat();
        reference_order.extend(cells.into_iter().map(|cell| cell + n_before));
        n_before += grid.n_token() as u32;
    }
    if references.contains("window_index") {
        assert_eq!(ids_of(references, "window_index"), reference_order, "{case}");
    }
    let values: Vec<f32> = images.iter().flat_map(|image| image.patches.clone()).collect();
    let shape = [values.len() / config.d_patch(), config.d_patch()];
    let patches = Tensor::from_data(TensorData::new(values, shape), &model.device());
    let d_cell = config.d_model * config.cell();
    let out = vision.forward_observed(patches, &grids, |layer, x| {
        let name = format!("vision_blocks.{layer}");
        if references.contains(&name) {
            let ours = floats(x.clone());
            let row = |cell: u32| &ours[plan.place[cell as usize] as usize * d_cell..][..d_cell];
            let reordered: Vec<f32> = reference_order.iter().flat_map(|cell| row(*cell).to_vec()).collect();
            let distance = relative(&reordered, &references.floats(&name).1);
            worst.check("vision blocks", case, distance, TOLERANCE.activations);
        }
    });
    let distance = relative(&floats(out), &references.floats("vision_out").1);
    worst.check("vision output", case, distance, TOLERANCE.activations);
}

/// Greedy generation through the cache; the reference's ids are fed, so that one tie does not hide the rest.
fn check_greedy(
    model: &Qwen,
    ids: &[u32],
    images: &[ImageTensor],
    expected: &[u32],
    margins: &[f32],
    case: &str,
) -> usize {
    let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
    let positions = mrope_positions(ids, &grids, &model.config().tokens).unwrap();
    let features = (!images.is_empty()).then(|| model.encode_images(images).unwrap());
    let mut cache = model.cache(ids.len() + 4);
    let mut logits = model.prefill(ids, features.as_ref(), &positions, &mut cache).unwrap();
    let mut n_decisive = 0;
    for (step, (id, margin)) in expected.iter().zip(margins).enumerate() {
        let found = argmax(&floats(logits)) as u32;
        if *margin > TOLERANCE.margin {
            assert_eq!(found, *id, "{case}: token {step}, margin {margin}");
            n_decisive += 1;
        }
        logits = model.decode(*id, positions.next + step as u32, &mut cache).unwrap();
    }
    // Forgetting the answer and reading the last word again changes nothing: a prefix can be shared.
    cache.truncate(ids.len() - 1);
    let again = argmax(&floats(model.prefill(ids, None, &positions, &mut cache).unwrap())) as u32;
    assert!(margins[0] <= TOLERANCE.margin || again == expected[0], "{case}: after truncation");
    n_decisive
}

/// Shape and values of the reference's gradient by name.
type Gradient<'a> = dyn Fn(&str) -> Option<(Vec<usize>, Vec<f32>)> + 'a;

/// Loss and gradients of one sample on a device with gradients.
fn check_training(
    model: &Qwen,
    batch: &TrainBatch,
    loss: f32,
    gradient: &Gradient<'_>,
    case: &str,
    worst: &mut Worst,
) -> usize {
    let mean = model.forward_train(batch).unwrap().mean();
    let found: f32 = mean.clone().into_scalar();
    worst.check("loss", case, (found - loss).abs() / loss, TOLERANCE.gradients);
    let gradients = mean.backward();
    let mut n_compared = 0;
    for tensor in model.tensors() {
        let Some((shape, expected)) = gradient(&tensor.name) else {
            panic!("{case}: no reference for {}", tensor.name)
        };
        assert_eq!(tensor.shape, shape, "{}", tensor.name);
        let found =
            tensor.gradient(&gradients).unwrap_or_else(|| panic!("{case}: no gradient of {}", tensor.name));
        let kind =
            format!("gradients of {}", if tensor.name.starts_with("visual.") { "vision" } else { "text" });
        worst.check(
            &kind,
            &format!("{case} {}", tensor.name),
            relative(&found, &expected),
            TOLERANCE.gradients,
        );
        n_compared += 1;
    }
    n_compared
}

/// All cases of one checkpoint of the conformance kit.
fn check_kit(variant: &str) {
    let Some(kit) = kit::kit("qwen") else { return };
    let folder = kit.join(variant);
    let checkpoint =
        Checkpoint::open(&folder.join("model"), WeightForm::Packed(Arithmetic::Exact), &Device::flex());
    let model = &checkpoint.model;
    let (mut worst, mut n_case, mut n_decisive, mut n_gradient) = (Worst::default(), 0, 0, 0);
    let mut cases: Vec<_> =
        std::fs::read_dir(folder.join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    for path in cases {
        let case = path.file_name().unwrap().to_string_lossy().into_owned();
        let (info, references) =
            (kit::json(&path.join("case.json")), References::open(&path.join("ref.safetensors")));
        let names: Vec<String> = serde_json::from_value(info["images"].clone()).unwrap();
        let images = checkpoint.images(&path, &names);
        let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
        let ids = ids_of(&references, "input_ids");
        if !images.is_empty() {
            let thw: Vec<i64> = grids.iter().flat_map(|grid| grid.thw().map(|n| n as i64)).collect();
            assert_eq!(references.integers("image_grid_thw"), thw, "{case}");
            let values: Vec<f32> = images.iter().flat_map(|image| image.patches.clone()).collect();
            let distance = absolute(&values, &references.floats("pixel_values").1);
            worst.check("pixel values", &case, distance, TOLERANCE.pixels);
            check_vision(model, &images, &references, &case, &mut worst);
        }
        let positions = mrope_positions(&ids, &grids, &model.config().tokens).unwrap();
        let axes: Vec<i64> = positions.axes.iter().flatten().map(|position| i64::from(*position)).collect();
        assert_eq!(references.integers("position_ids"), axes, "{case}");
        assert_eq!(info["rope_delta"].as_i64(), Some(positions.delta()), "{case}");

        check_text(model, &ids, &images, &positions, &references, &case, &mut worst);
        let greedy: Vec<u32> = serde_json::from_value(info["greedy_ids"].clone()).unwrap();
        let margins: Vec<f32> = serde_json::from_value(info["greedy_margins"].clone()).unwrap();
        n_decisive += check_greedy(model, &ids, &images, &greedy, &margins, &case);

        if references.contains("grad.model.norm.weight") {
            let device = Device::flex().autodiff();
            let trained = Checkpoint::open(&folder.join("model"), WeightForm::Dense, &device).model;
            let taught = references.integers("sft_labels").iter().map(|label| *label >= 0).collect();
            let ids = ids_of(&references, "sft_input_ids");
            let batch = TrainBatch { ids: vec![ids], taught: vec![taught], images, ..TrainBatch::default() };
            let loss = references.floats("sft_loss").1[0];
            let gradient = |name: &str| Some(references.floats(&format!("grad.{name}")));
            n_gradient += check_training(&trained, &batch, loss, &gradient, &case, &mut worst);
        } else if references.contains("sft_loss") {
            let taught = references.integers("sft_labels").iter().map(|label| *label >= 0).collect();
            let ids = ids_of(&references, "sft_input_ids");
            let batch = TrainBatch { ids: vec![ids], taught: vec![taught], images, ..TrainBatch::default() };
            let (found, expected) =
                (model.forward_train(&batch).unwrap().mean(), references.floats("sft_loss").1[0]);
            let distance = (found.into_scalar::<f32>() - expected).abs() / expected;
            worst.check("loss", &case, distance, TOLERANCE.gradients);
        }
        n_case += 1;
    }
    assert!(n_case >= 14 && n_decisive > 300, "{variant}: {n_case} cases, {n_decisive} decisive ids");
    println!(
        "{variant}: {n_case} cases, {n_decisive} decisive greedy ids, {n_gradient} gradients, worst {:?}",
        worst.0
    );
}

/// Hidden state of the last token after each layer, and logits.
fn check_text(
    model: &Qwen,
    ids: &[u32],
    images: &[ImageTensor],
    positions: &Positions,
    references: &References,
    case: &str,
    worst: &mut Worst,
) {
    let features = (!images.is_empty()).then(|| model.encode_images(images).unwrap());
    let embeds = model.embed(ids, features.as_ref()).unwrap();
    let [t, d] = embeds.dims();
    let mut last = vec![floats(embeds.clone().narrow(0, t - 1, 1))];
    let hidden = model.text.forward_observed(
        embeds.reshape([1, t, d]),
        std::slice::from_ref(positions),
        Visibility::Causal,
        None,
        |_, x| last.push(floats(x.clone().narrow(1, t - 1, 1))),
    );
    // The reference shows the last layer after the final norm.
    *last.last_mut().unwrap() = floats(hidden.clone().narrow(1, t - 1, 1));
    for (layer, found) in last.iter().enumerate() {
        let distance = relative(found, &references.floats(&format!("layer_last.{layer}")).1);
        worst.check("hidden states", case, distance, TOLERANCE.activations);
    }
    let all = floats(model.text.logits(hidden.reshape([t, d])));
    let n_vocab = model.config().text.n_vocab;
    let distance = relative(&all[(t - 1) * n_vocab..], &references.floats("logits_last").1);
    worst.check("logits", case, distance, TOLERANCE.activations);
    if references.contains("logits_all") {
        worst.check(
            "logits",
            case,
            relative(&all, &references.floats("logits_all").1),
            TOLERANCE.activations,
        );
    }
}

#[test]
fn the_kit_with_tied_embeddings() {
    check_kit("tied");
}

#[test]
fn the_kit_with_an_output_matrix() {
    check_kit("untied");
}

#[test]
fn the_kit_with_heads_of_the_released_size() {
    check_kit("realhead");
}

/// One case of the golden model.
struct Golden {
    ids: Vec<u32>,
    n_prompt: usize,
    taught: Vec<bool>,
    images: Vec<ImageTensor>,
    references: References,
}

impl Golden {
    fn open(checkpoint: &Checkpoint, case: &str, n_image: usize) -> Self {
        let folder = kit::golden("qwen");
        let references = References::open(&folder.join(format!("{case}.safetensors")));
        let names: Vec<String> = (0..n_image).map(|idx| format!("{case}_{idx}.png")).collect();
        Self {
            ids: ids_of(&references, "input_ids"),
            n_prompt: references.integers("n_prompt")[0] as usize,
            taught: references.integers("taught").iter().map(|taught| *taught == 1).collect(),
            images: checkpoint.images(&folder, &names),
            references,
        }
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

#[test]
fn the_golden_model_packed_and_dense() {
    let mut worst = Worst::default();
    for form in [WeightForm::Packed(Arithmetic::Exact), WeightForm::Dense] {
        let checkpoint = Checkpoint::open(&kit::golden("qwen"), form, &Device::flex());
        let model = &checkpoint.model;
        for (case, n_image) in [("small", 1), ("mixed", 2)] {
            let golden = Golden::open(&checkpoint, case, n_image);
            let references = &golden.references;
            if references.contains("pixel_values") {
                let distance = absolute(&golden.images[0].patches, &references.floats("pixel_values").1);
                worst.check("pixel values", case, distance, TOLERANCE.pixels);
            }
            check_vision(model, &golden.images, references, case, &mut worst);
            let grids: Vec<PatchGrid> = golden.images.iter().map(|image| image.grid).collect();
            let positions = mrope_positions(&golden.ids, &grids, &model.config().tokens).unwrap();
            let axes: Vec<i64> =
                positions.axes.iter().flatten().map(|position| i64::from(*position)).collect();
            assert_eq!(references.integers("position_ids"), axes, "{case}");
            assert_eq!(references.integers("rope_delta"), [positions.delta()], "{case}");
            let features = model.encode_images(&golden.images).unwrap();
            let embeds = model.embed(&golden.ids, Some(&features)).unwrap();
            let hidden = model.text.forward(embeds.unsqueeze(), &[positions], Visibility::Causal, None);
            let [_, t, d] = hidden.dims();
            let logits = floats(model.text.logits(hidden.reshape([t, d])));
            let distance = relative(&logits, &references.floats("logits").1);
            worst.check("logits", case, distance, TOLERANCE.activations);
            let (greedy, margins) = (ids_of(references, "greedy"), references.floats("margin").1);
            check_greedy(model, &golden.ids[..golden.n_prompt], &golden.images, &greedy, &margins, case);
        }
    }
    println!("golden: worst {:?}", worst.0);
}

#[test]
fn the_golden_model_trained() {
    let checkpoint = Checkpoint::open(&kit::golden("qwen"), WeightForm::Dense, &Device::flex().autodiff());
    let mut worst = Worst::default();
    for (case, n_image) in [("small", 1), ("mixed", 2)] {
        let golden = Golden::open(&checkpoint, case, n_image);
        let parts = ["visual", "text"].map(|part| {
            References::open(&kit::golden("qwen").join(format!("{case}.gradients.{part}.safetensors")))
        });
        let gradient =
            |name: &str| parts.iter().find(|part| part.contains(name)).map(|part| part.floats(name));
        let loss = golden.references.floats("loss").1[0];
        let n_compared =
            check_training(&checkpoint.model, &golden.batch(), loss, &gradient, case, &mut worst);
        assert_eq!(n_compared, parts.iter().map(|part| part.names().len()).sum::<usize>(), "{case}");
    }
    println!("golden training: worst {:?}", worst.0);
}

/// Padding and packing change no sample's loss.
#[test]
fn samples_of_a_batch_do_not_see_each_other() {
    let checkpoint = Checkpoint::open(&kit::golden("qwen"), WeightForm::Dense, &Device::flex());
    let cases = [("small", 1), ("mixed", 2)].map(|(case, n_image)| Golden::open(&checkpoint, case, n_image));
    let loss = |batch: &TrainBatch| {
        let loss = checkpoint.model.forward_train(batch).unwrap();
        (loss.sum.into_scalar::<f32>(), loss.n_token)
    };
    let alone = cases.each_ref().map(|case| loss(&case.batch()));
    let expected = (alone[0].0 + alone[1].0, alone[0].1 + alone[1].1);
    let images: Vec<ImageTensor> = cases.iter().flat_map(|case| case.images.clone()).collect();
    let n_token = cases.iter().map(|case| case.ids.len()).max().unwrap() + 3;
    let padded = TrainBatch {
        ids: cases
            .iter()
            .map(|case| [case.ids.clone(), vec![0; n_token - case.ids.len()]].concat())
            .collect(),
        taught: cases
            .iter()
            .map(|case| [case.taught.clone(), vec![false; n_token - case.ids.len()]].concat())
            .collect(),
        images: images.clone(),
        ..TrainBatch::default()
    };
    let segment = |number: usize| vec![number as u32; cases[number].ids.len()];
    let packed = TrainBatch {
        ids: vec![[&cases[0].ids[..], &cases[1].ids[..], &[0; 4]].concat()],
        taught: vec![[&cases[0].taught[..], &cases[1].taught[..], &[false; 4]].concat()],
        images,
        segments: Some(vec![[segment(0), segment(1), vec![2; 4]].concat()]),
        image_at: None,
    };
    for (name, batch) in [("padded", &padded), ("packed", &packed)] {
        let found = loss(batch);
        assert_eq!(found.1, expected.1, "{name}");
        assert!((found.0 - expected.0).abs() / expected.0 < 1e-5, "{name}: {found:?}, alone {expected:?}");
    }
    let mut unsound = padded.clone();
    unsound.ids[0].pop();
    assert!(checkpoint.model.forward_train(&unsound).is_err());
    let mut unsound = padded;
    unsound.images.pop();
    assert!(checkpoint.model.forward_train(&unsound).is_err());
}

/// The golden model on a graphics processor, where there is one; a software rasteriser serves too.
///
/// Sums run in another order there, exponentials are the driver's own, and a driver may multiply in fewer than 32
/// bits: 2e-3 of the largest value.
#[test]
fn the_golden_model_on_a_graphics_processor() {
    const GPU: f32 = 2e-3;
    let selected = match eosin_kernels::select(eosin_core::DeviceChoice::Wgpu(0)) {
        Ok(selected) => selected,
        Err(error) => {
            println!("skipped: no graphics processor ({})", eosin_core::error_chain(&error));
            return;
        }
    };
    let device = selected.device;
    let mut worst = Worst::default();
    for form in [WeightForm::Dense, WeightForm::Packed(Arithmetic::Exact)] {
        let checkpoint = Checkpoint::open(&kit::golden("qwen"), form, &device);
        let model = &checkpoint.model;
        let golden = Golden::open(&checkpoint, "small", 1);
        let features = model.encode_images(&golden.images).unwrap();
        let distance = relative(&floats(features.clone()), &golden.references.floats("vision_out").1);
        worst.check("vision output", "small", distance, GPU);
        let grids = [golden.images[0].grid];
        let prompt = &golden.ids[..golden.n_prompt];
        let positions = mrope_positions(prompt, &grids, &model.config().tokens).unwrap();
        let mut cache = model.cache(32);
        let logits = floats(model.prefill(prompt, Some(&features), &positions, &mut cache).unwrap());
        let (n_vocab, expected) = (model.config().text.n_vocab, golden.references.floats("logits").1);
        let distance =
            relative(&logits, &expected[(golden.n_prompt - 1) * n_vocab..golden.n_prompt * n_vocab]);
        worst.check("logits", "small", distance, GPU);
        let greedy = ids_of(&golden.references, "greedy");
        let logits = floats(model.decode(greedy[0], positions.next, &mut cache).unwrap());
        assert_eq!(argmax(&logits) as u32, greedy[1], "the second id, through the cache");
    }
    println!("{}: worst {:?}", selected.name, worst.0);
}
