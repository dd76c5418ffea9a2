//! What training exports is what others open: a folder for transformers, adapters for peft, GGUF files for llama.cpp.
//!
//! Everything is written and read again here. Where `EOSIN_PYTHON` names a python that has those libraries, they open the
//! files, too (`golden/export/check_*.py`), and their scores and greedy tokens are compared with ours; elsewhere the test
//! says that it skips that part.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests panic and speak where the program must not"
)]

#[path = "support/random.rs"]
mod random;

use std::path::Path;
use std::process::Command;

use burn::tensor::{Device, Tensor};
use eosin_core::RgbTile;
use eosin_kernels::Arithmetic;
use eosin_model::attention::Visibility;
use eosin_model::lora::{LoraSettings, Part};
use eosin_model::prepare::{ImageTensor, Preprocess};
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Pictures, Qwen, RolloutPrompt, RolloutSettings, mrope_positions};
use eosin_training::export::hf::WeightType;
use eosin_training::export::{self, gguf, hf, peft};
use eosin_training::vocabulary;
use eosin_weights::convert::{About, ModelFiles, Recipe};
use eosin_weights::{Gguf, MemoryTensors, SafetensorsFolder, write_safetensors};
use serde_json::{Value, json};

const SPECIAL: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];
const FIRST_SPECIAL: usize = 256;
const TEXT: &str = "Glands, 3 of them:\n  crowded";
const BEFORE: &str = "<|im_start|>user\n";
const AFTER: &str = "What is it?<|im_end|>\n<|im_start|>assistant\n";
const SIDE_PX: u32 = 168;

fn special(name: &str) -> u32 {
    (FIRST_SPECIAL + SPECIAL.iter().position(|own| *own == name).unwrap()) as u32
}

/// A tokenizer of bytes and nothing else, in the form of Qwen's.
fn tokenizer() -> Value {
    let is_shown = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256;
    let mut vocabulary = serde_json::Map::new();
    for byte in 0..256_u32 {
        let code = if is_shown(&byte) {
            byte
        } else {
            next += 1;
            next - 1
        };
        vocabulary.insert(char::from_u32(code).unwrap().to_string(), json!(byte));
    }
    let added = SPECIAL.iter().enumerate().map(|(idx, name)| {
        json!({"id": FIRST_SPECIAL + idx, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    let words = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": false}, bytes]},
        "post_processor": bytes, "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "vocab": vocabulary, "merges": []},
    })
}

fn files(tied: bool) -> ModelFiles {
    let config = json!({
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
        "vocab_size": FIRST_SPECIAL + SPECIAL.len(), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-6, "rope_theta": 1e4,
        "tie_word_embeddings": tied, "max_position_embeddings": 2048, "hidden_act": "silu", "torch_dtype": "float32",
        "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        "bos_token_id": special("<|endoftext|>"), "eos_token_id": special("<|im_end|>"),
        "image_token_id": special("<|image_pad|>"), "video_token_id": special("<|video_pad|>"),
        "vision_start_token_id": special("<|vision_start|>"), "vision_end_token_id": special("<|vision_end|>"),
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 2, "hidden_size": 64, "intermediate_size": 96, "num_heads": 2,
            "out_hidden_size": 64, "in_channels": 3, "in_chans": 3, "patch_size": 14, "temporal_patch_size": 2,
            "spatial_merge_size": 2, "window_size": 112, "fullatt_block_indexes": [1], "hidden_act": "silu",
            "tokens_per_second": 2,
        },
    });
    let pixels = u64::from(SIDE_PX * SIDE_PX);
    let preprocessor = json!({
        "image_processor_type": "Qwen2VLImageProcessor", "min_pixels": pixels, "max_pixels": pixels, "patch_size": 14,
        "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.481_454_66, 0.457_827_5, 0.408_210_73],
        "image_std": [0.268_629_54, 0.261_302_58, 0.275_777_11],
    });
    ModelFiles {
        config: config.to_string(),
        tokenizer: tokenizer().to_string(),
        tokenizer_config: Some(
            json!({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
                "bos_token": null, "unk_token": null, "add_prefix_space": false})
            .to_string(),
        ),
        chat_template: Some(export::CHAT_TEMPLATE.to_owned()),
        preprocessor: Some(preprocessor.to_string()),
        generation: Some(json!({"eos_token_id": special("<|im_end|>"), "do_sample": false}).to_string()),
    }
}

/// A picture that needs no resizing.
fn tile() -> RgbTile {
    let side = SIDE_PX as usize;
    let level = |x: usize, y: usize, c: usize| {
        let wave = ((x * (c + 2)) as f32 / 17.0).sin() * (y as f32 / (9.0 + c as f32)).cos();
        (128.0 + 110.0 * wave) as u8
    };
    let bytes = (0..side * side * 3).map(|i| level(i / 3 % side, i / 3 / side, i % 3)).collect();
    RgbTile::new([SIDE_PX, SIDE_PX], bytes).unwrap()
}

struct Bench {
    model: Qwen,
    files: ModelFiles,
    image: ImageTensor,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(tied: bool) -> Self {
        let files = files(tied);
        let config = Config::from_hf(&serde_json::from_str(&files.config).unwrap()).unwrap();
        let model = random::model(&config, 5, 5.0, &Device::flex());
        let preprocessor: Value = serde_json::from_str(files.preprocessor.as_ref().unwrap()).unwrap();
        let image = Preprocess::from_hf(&preprocessor).unwrap().prepare(&tile()).unwrap();
        Self { model, files, image, dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn encode(&self, text: &str) -> Vec<u32> {
        let path = self.path("tokenizer.json");
        std::fs::write(&path, &self.files.tokenizer).unwrap();
        vocabulary::open(&path).unwrap().encode_fast(text, false).unwrap().get_ids().to_vec()
    }

    /// The prompt around the picture.
    fn ids(&self) -> Vec<u32> {
        let mut ids = self.encode(BEFORE);
        ids.push(special("<|vision_start|>"));
        ids.extend(vec![special("<|image_pad|>"); self.image.grid.n_token()]);
        ids.push(special("<|vision_end|>"));
        ids.extend(self.encode(AFTER));
        ids
    }

    /// Writes what python compares with: inputs and our scores.
    fn write_expected(&self, model: &Qwen, path: &Path) {
        let ids = self.ids();
        let positions = mrope_positions(&ids, &[self.image.grid], &model.config().tokens).unwrap();
        let features = model.encode_image(&self.image).unwrap();
        let embeds: Tensor<3> = model.embed(&ids, Some(&features)).unwrap().unsqueeze();
        let hidden = model.text.forward(embeds, &[positions], Visibility::Causal, None);
        let [_, t, d] = hidden.dims();
        let logits = model.text.logits(hidden.reshape([t, d]));
        let [_, v] = logits.dims();
        let logits: Vec<f32> = logits.into_data().try_into_vec().unwrap();
        let as_floats = |ids: &[u32]| ids.iter().map(|id| *id as f32).collect::<Vec<f32>>();
        let n_patch = self.image.grid.n_patch();
        let thw = self.image.grid.thw().map(|side| side as u32);
        let text = self.encode(TEXT);
        let tensors = vec![
            ("input_ids".to_owned(), vec![t], as_floats(&ids)),
            ("pixel_values".to_owned(), vec![n_patch, 1176], self.image.patches.clone()),
            ("grid_thw".to_owned(), vec![1, 3], as_floats(&thw)),
            ("logits".to_owned(), vec![t, v], logits),
            ("text_ids".to_owned(), vec![text.len()], as_floats(&text)),
        ];
        write_safetensors(path, &MemoryTensors::from_f32(tensors).unwrap()).unwrap();
    }

    /// Our likeliest tokens after a prompt, with the picture where it has placeholders.
    fn greedy(model: &Qwen, ids: &[u32], image: &ImageTensor) -> Vec<u32> {
        let pictures = model.encode_pictures(std::slice::from_ref(image)).unwrap();
        let shows = ids.contains(&special("<|image_pad|>"));
        let own = if shows { vec![0] } else { vec![] };
        let prompt = RolloutPrompt { ids: ids.to_vec(), pictures: own, n_rollout: 1, stream: 0 };
        let settings =
            RolloutSettings { max_new_tokens: 24, temperature: None, ..RolloutSettings::default() };
        let pictures = if shows { pictures } else { Pictures::default() };
        model.rollout(&[prompt], &pictures, &settings).unwrap().remove(0).ids
    }
}

/// Runs a script of `golden/export` and returns what it says; `None` where no python is named.
fn python(script: &str, arguments: &[&Path], text: &[&str]) -> Option<Value> {
    let Some(python) = std::env::var_os("EOSIN_PYTHON") else {
        println!("skipped {script}: no EOSIN_PYTHON");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/export").join(script);
    let output = Command::new(python)
        .arg(&script)
        .args(arguments)
        .args(text)
        .env("HF_HUB_OFFLINE", "1")
        .env("CUDA_VISIBLE_DEVICES", "")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_str(said.lines().last().unwrap()).unwrap())
}

#[test]
fn a_folder_for_transformers() {
    for tied in [true, false] {
        let bench = Bench::new(tied);
        let [folder, expected] = ["hf", "expected.safetensors"].map(|name| bench.path(name));
        hf::write(&bench.model, &bench.files, WeightType::F32, &folder).unwrap();
        let weights = SafetensorsFolder::open(&folder).unwrap();
        let read = Qwen::load(bench.model.config(), &weights, WeightForm::Dense, &Device::flex()).unwrap();
        assert!(read.named_weights() == bench.model.named_weights(), "tied {tied}");
        bench.write_expected(&bench.model, &expected);
        if let Some(found) = python("check_hf.py", &[&folder, &expected], &[TEXT]) {
            println!("transformers, tied {tied}: {found}");
            assert!(found["logits"].as_f64().unwrap() < 1e-4, "{found}");
            assert_eq!(found["tokenizer"], true, "{found}");
        }
        // Rounded to half the size, it is still nearly the same.
        let small = bench.path("bf16");
        hf::write(&bench.model, &bench.files, WeightType::Bf16, &small).unwrap();
        let n_byte = |folder: &Path| std::fs::metadata(folder.join("model.safetensors")).unwrap().len();
        assert!(n_byte(&small) < n_byte(&folder) * 55 / 100);
        let weights = SafetensorsFolder::open(&small).unwrap();
        let read = Qwen::load(bench.model.config(), &weights, WeightForm::Dense, &Device::flex()).unwrap();
        for ((name, _, before), (_, _, after)) in bench.model.named_weights().iter().zip(read.named_weights())
        {
            let is_near = |(a, b): (&f32, &f32)| (a - b).abs() <= a.abs() / 256.0;
            assert!(before.iter().zip(&after).all(is_near), "{name}");
        }
    }
}

#[test]
fn adapters_for_peft() {
    let bench = Bench::new(true);
    let [base, folder, expected] = ["base", "peft", "expected.safetensors"].map(|name| bench.path(name));
    hf::write(&bench.model, &bench.files, WeightType::F32, &base).unwrap();
    let settings =
        LoraSettings { rank: 3, alpha: 12.0, parts: Part::ALL.to_vec(), ..LoraSettings::default() };
    let fresh = bench.model.clone().with_adapters(&settings).unwrap();
    // Adapters that do something: numbers in the place of zeros.
    let tensors = fresh.adapters().unwrap();
    let names = || tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape.to_vec()));
    let filled: Vec<(String, Vec<usize>, Vec<f32>)> = names()
        .zip(100..)
        .map(|((name, shape), stream)| {
            let n = shape.iter().product();
            let values = random::numbers(stream).take(n).map(|number| (number % 2001) as f32 / 5e3 - 0.2);
            (name, shape, values.collect())
        })
        .collect();
    let source = MemoryTensors::from_f32(filled).unwrap();
    let model = bench.model.clone().load_adapters(&source, &settings).unwrap();
    peft::write(&model, &settings, "base", &folder).unwrap();
    let (read, found) = peft::read(bench.model.clone(), &folder).unwrap();
    assert!(read.adapters().unwrap() == model.adapters().unwrap());
    assert_eq!((found.rank, found.alpha.to_bits()), (3, 12.0_f64.to_bits()));
    bench.write_expected(&model, &expected);
    if let Some(found) = python("check_peft.py", &[&base, &folder, &expected], &[]) {
        println!("peft: {found}");
        assert!(
            found["adapted"].as_f64().unwrap() < 1e-4 && found["merged"].as_f64().unwrap() < 1e-4,
            "{found}"
        );
    }
    // Exported as a model, the adapters are in its matrices.
    let merged = bench.path("merged");
    hf::write(&model, &bench.files, WeightType::F32, &merged).unwrap();
    if let Some(found) = python("check_hf.py", &[&merged, &expected], &[TEXT]) {
        println!("transformers, merged: {found}");
        assert!(found["logits"].as_f64().unwrap() < 1e-4, "{found}");
    }
    let error = peft::write(&bench.model, &settings, "base", &folder).unwrap_err();
    assert!(error.to_string().contains("no adapters"), "{error}");
}

#[test]
fn a_bundle_for_llama_cpp() {
    for (tied, recipe) in [(true, Recipe::F32), (false, Recipe::F32), (true, Recipe::Q8_0)] {
        let bench = Bench::new(tied);
        let folder = bench.path("bundle");
        let about = About { name: "tiny".into(), licence: "MIT".into(), ..About::default() };
        let label = gguf::Label { about, notice: "a test".into(), style: "plain".into() };
        gguf::write(&bench.model, &bench.files, recipe, &label, &folder).unwrap();
        let [text, mmproj] = ["weights.gguf", "mmproj.gguf"].map(|name| folder.join(name));
        let open = |path: &Path| Gguf::open(path).unwrap();
        let form = WeightForm::Packed(Arithmetic::Exact);
        let read =
            Qwen::load_gguf(bench.model.config(), &open(&text), Some(&open(&mmproj)), form, &Device::flex())
                .unwrap();
        let (plain, seen) = (bench.encode(TEXT), bench.ids());
        let answers = [&plain, &seen].map(|ids| Bench::greedy(&read, ids, &bench.image));
        if recipe == Recipe::F32 {
            let own = [&plain, &seen].map(|ids| Bench::greedy(&bench.model, ids, &bench.image));
            assert_eq!(answers, own, "tied {tied}");
        }
        let picture = bench.path("picture.png");
        let tile = tile();
        image::save_buffer(&picture, tile.pixels(), SIDE_PX, SIDE_PX, image::ColorType::Rgb8).unwrap();
        let case = bench.path("case.json");
        let said = json!({"ids": plain, "greedy": answers[0], "before": BEFORE, "after": AFTER,
            "picture": picture, "seen": answers[1]});
        std::fs::write(&case, said.to_string()).unwrap();
        if let Some(found) = python("check_gguf.py", &[&text, &mmproj, &case], &[]) {
            println!("llama.cpp, tied {tied}, {}: {found}", recipe.name());
            // llama.cpp rounds activations to 8 bits where weights are, so that near ties may fall otherwise there.
            let least = if recipe == Recipe::F32 { 24 } else { 4 };
            assert!(
                found["text"].as_u64().unwrap() >= least && found["picture"].as_u64().unwrap() >= least,
                "{found}"
            );
        }
    }
}
