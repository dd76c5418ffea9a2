//! GGUF files made by llama.cpp answer as llama.cpp answers.
//!
//! Five quantisations of one checkpoint and its projector, seven prompts each. llama.cpp multiplies 4- and 8-bit
//! weights by activations rounded to 8 bits; Eosin keeps activations as 32-bit floats, so logits differ by that
//! rounding: up to 2 % of the largest. Greedy ids must agree wherever llama.cpp's two best scores are more than 0.1
//! apart.

#[path = "support/kit.rs"]
mod kit;

use burn::tensor::Device;
use eosin_core::PatchGrid;
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Qwen, mrope_positions};
use eosin_weights::Gguf;
use kit::{References, argmax, relative};

/// Largest distance of logits, relative to the largest of llama.cpp's.
const LOGITS: f32 = 2e-2;
/// Margin from which a greedy id is decisive.
const MARGIN: f32 = 0.1;
const CASES: [&str; 7] =
    ["square224", "text_only", "landscape", "gray", "two_images", "multi_turn", "multi_turn_two_images"];

fn check(kind: &str) {
    let (Some(folder), Some(cases)) = (kit::kit("gguf"), kit::kit("qwen/realhead/cases")) else { return };
    let text = Gguf::open(&folder.join(format!("realhead-{kind}.gguf"))).unwrap();
    let mmproj = Gguf::open(&folder.join("realhead-mmproj-f32.gguf")).unwrap();
    let config = Config::from_gguf(&text, Some(&mmproj)).unwrap();
    let from_hf =
        Config::from_hf(&kit::json(&kit::kit("qwen/realhead/model").unwrap().join("config.json"))).unwrap();
    assert_eq!(config, from_hf, "both files describe one model");
    let model = Qwen::load_gguf(&config, &text, Some(&mmproj), WeightForm::Packed, &Device::flex()).unwrap();
    // The bounds on pixels are not in the metadata; the kit's own are smaller than the default.
    let preprocess = Preprocess::from_gguf(mmproj.meta()).unwrap().with_pixels(3136, 28 * 28 * 96);
    let references = References::open(&folder.join("refs.safetensors"));
    let (mut worst, mut n_decisive, mut n_equal, mut n_id) = (0.0_f32, 0, 0, 0);
    for case in CASES {
        let path = cases.join(case);
        let info = kit::json(&path.join("case.json"));
        let names: Vec<String> = serde_json::from_value(info["images"].clone()).unwrap();
        let images: Vec<ImageTensor> =
            names.iter().map(|name| preprocess.prepare(&kit::picture(&path.join(name))).unwrap()).collect();
        let grids: Vec<PatchGrid> = images.iter().map(|image| image.grid).collect();
        let ids: Vec<u32> = serde_json::from_value(info["input_ids"].clone()).unwrap();
        let positions = mrope_positions(&ids, &grids, &config.tokens).unwrap();
        let features = (!images.is_empty()).then(|| model.encode_images(&images).unwrap());
        let mut cache = model.cache(ids.len() + 24);
        let mut logits = model.prefill(&ids, features.as_ref(), &positions, &mut cache).unwrap();
        let name = |what: &str| format!("{kind}.{case}.{what}");
        let (greedy, margins) = (references.integers(&name("greedy")), references.floats(&name("margin")).1);
        for (step, (id, margin)) in greedy.iter().zip(&margins).enumerate() {
            let values: Vec<f32> = logits.into_data().try_into_vec().unwrap();
            if step == 0 {
                let distance = relative(&values, &references.floats(&name("logits")).1);
                assert!(distance <= LOGITS, "{kind} {case}: logits are {distance} off");
                worst = worst.max(distance);
            }
            let found = argmax(&values) as i64;
            if *margin > MARGIN {
                assert_eq!(found, *id, "{kind} {case}: token {step}, margin {margin}");
                n_decisive += 1;
            }
            n_equal += usize::from(found == *id);
            n_id += 1;
            logits = model.decode(*id as u32, positions.next + step as u32, &mut cache).unwrap();
        }
    }
    assert!(n_decisive > 100, "{n_decisive} decisive ids");
    println!("{kind}: logits within {worst:.1e}, {n_decisive} decisive ids equal, {n_equal} of all {n_id}");
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
