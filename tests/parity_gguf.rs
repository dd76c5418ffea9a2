//! GGUF files made by llama.cpp: what they hold is computed as transformers computes it, and the answers are
//! those of llama.cpp.
//!
//! Five quantisations of one checkpoint and its projector, seven prompts each, against two references. The golden
//! file (`golden/make_gguf.py`) is transformers in 32-bit floats on the weights that gguf-py unpacks: it shows whether
//! files are read right, to the tolerance of `parity_qwen.rs`. llama.cpp's own logits differ more, because it rounds
//! activations to 8 bits (in blocks of 32, for K-quants of 256) before it multiplies: it is itself up to 5 % of the
//! largest logit away from the 8-bit file's exact result, and this small random model forgives nothing. Both forms are
//! tested: unpacked to dense floats, and packed as they are run.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic and speak where the program must not"
)]

#[path = "support/kit.rs"]
#[allow(dead_code, reason = "each test uses its part")]
mod kit;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use eosin_core::PatchGrid;
use eosin_kernels::Arithmetic;
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Qwen, mrope_positions};
use eosin_weights::Gguf;
use kit::{References, argmax, relative};

/// Largest distances of logits, relative to the largest of the reference, and the margin from which a greedy id is
/// decisive.
struct Tolerance {
    logits: f32,
    margin: f32,
}

/// Against transformers, dense or packed with exact products: activations are 32-bit floats.
const EXACT: Tolerance = Tolerance { logits: 2e-4, margin: 1e-2 };
/// Where either side rounds activations to 8 bits.
const LLAMA: Tolerance = Tolerance { logits: 1e-1, margin: 1.0 };
const CASES: [&str; 7] =
    ["square224", "text_only", "landscape", "gray", "two_images", "multi_turn", "multi_turn_two_images"];

/// Logits after the prompt and greedy ids of one case; the reference's ids are fed.
struct Answers {
    logits: Vec<f32>,
    greedy: Vec<u32>,
    n_decisive: usize,
}

/// Answers while the reference's own ids are fed, so that one tie does not hide the rest.
fn answer(model: &Qwen, preprocess: &Preprocess, path: &Path, expected: &Answers) -> Answers {
    let info = kit::json(&path.join("case.json"));
    let names: Vec<String> = serde_json::from_value(info["images"].clone()).unwrap();
    let images: Vec<ImageTensor> =
        names.iter().map(|name| preprocess.prepare(&kit::picture(&path.join(name))).unwrap()).collect();
    let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
    let ids: Vec<u32> = serde_json::from_value(info["input_ids"].clone()).unwrap();
    let positions = mrope_positions(&ids, &grids, &model.config().tokens).unwrap();
    let features = (!images.is_empty()).then(|| model.encode_images(&images).unwrap());
    let mut cache = model.cache(ids.len() + 24);
    let read = |logits: Tensor<1>| -> Vec<f32> { logits.into_data().try_into_vec().unwrap() };
    let first = read(model.prefill(&ids, features.as_ref(), &positions, &mut cache).unwrap());
    let mut greedy = vec![argmax(&first) as u32];
    for (step, id) in expected.greedy[..expected.greedy.len() - 1].iter().enumerate() {
        let logits = model.decode(*id, positions.next + step as u32, &mut cache).unwrap();
        greedy.push(argmax(&read(logits)) as u32);
    }
    Answers { logits: first, greedy, n_decisive: 0 }
}

/// What a reference says, with the ids that it leaves no doubt about.
fn expected(references: &References, name: &str, margin: f32) -> (Answers, Vec<bool>) {
    let greedy = references.integers(&format!("{name}.greedy")).into_iter().map(|id| id as u32).collect();
    let decisive: Vec<bool> =
        references.floats(&format!("{name}.margin")).1.into_iter().map(|found| found > margin).collect();
    let n_decisive = decisive.iter().filter(|decisive| **decisive).count();
    (Answers { logits: references.floats(&format!("{name}.logits")).1, greedy, n_decisive }, decisive)
}

fn check(kind: &str) {
    let (Some(folder), Some(cases)) = (kit::kit("gguf"), kit::kit("qwen/realhead/cases")) else { return };
    let text = Gguf::open(&folder.join(format!("realhead-{kind}.gguf"))).unwrap();
    let mmproj = Gguf::open(&folder.join("realhead-mmproj-f32.gguf")).unwrap();
    let config = Config::from_gguf(&text, Some(&mmproj)).unwrap();
    let from_hf = Config::from_hf(&kit::json(&cases.join("../model/config.json"))).unwrap();
    assert_eq!(config, from_hf, "both files describe one model");
    // The bounds on pixels are not in the metadata; the kit's own are smaller than the default.
    let preprocess = Preprocess::from_gguf(mmproj.meta()).unwrap().with_pixels(3136, 28 * 28 * 96);
    let transformers = References::open(&kit::golden("gguf.safetensors"));
    let llama = References::open(&folder.join("refs.safetensors"));
    for (name, form, references, tolerance) in [
        ("dense, transformers", WeightForm::Dense, &transformers, EXACT),
        ("packed, transformers", WeightForm::Packed(Arithmetic::Exact), &transformers, EXACT),
        ("packed, llama.cpp", WeightForm::Packed(Arithmetic::Exact), &llama, LLAMA),
        ("rounded, transformers", WeightForm::Packed(Arithmetic::Rounded), &transformers, LLAMA),
        ("rounded, llama.cpp", WeightForm::Packed(Arithmetic::Rounded), &llama, LLAMA),
    ] {
        let model = Qwen::load_gguf(&config, &text, Some(&mmproj), form, &Device::flex()).unwrap();
        let (mut worst, mut n_decisive, mut n_equal, mut n_id) = (0.0_f32, 0, 0, 0);
        for case in CASES {
            let (expected, decisive) = expected(references, &format!("{kind}.{case}"), tolerance.margin);
            let found = answer(&model, &preprocess, &cases.join(case), &expected);
            let distance = relative(&found.logits, &expected.logits);
            worst = worst.max(distance);
            assert!(distance <= tolerance.logits, "{kind} {name} {case}: logits are {distance} off");
            for (step, (found, expected)) in found.greedy.iter().zip(&expected.greedy).enumerate() {
                n_equal += usize::from(found == expected);
                n_id += 1;
                assert!(found == expected || !decisive[step], "{kind} {name} {case}: token {step}");
            }
            n_decisive += expected.n_decisive;
        }
        assert!(n_decisive > 60, "{n_decisive} decisive ids");
        println!(
            "{kind} {name}: logits within {worst:.1e}, {n_decisive} decisive ids equal, {n_equal} of all {n_id}"
        );
    }
}

#[test]
fn q8_0() {
    check("Q8_0");
}

#[test]
fn q4_0() {
    check("Q4_0");
}

#[test]
fn q4_k_m() {
    check("Q4_K_M");
}

#[test]
fn q5_k_m() {
    check("Q5_K_M");
}

#[test]
fn q6_k() {
    check("Q6_K");
}
