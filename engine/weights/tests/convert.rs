//! Conversion of a tiny model from memory: both generations of names, and everything that can be wrong with
//! a checkpoint. Equality with llama.cpp's own files is in `kit.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

use eosin_core::error_chain;
use eosin_weights::convert::{About, ModelFiles, Recipe, write_bundle};
use eosin_weights::{GgmlType, Gguf, MemoryTensors, WeightError, WeightSource as _};
use serde_json::{Value, json};

const D: usize = 64;
const F: usize = 96;
const D_VISION: usize = 32;
const F_VISION: usize = 36;
const VOCAB: usize = 12;

fn config() -> Value {
    json!({
        "model_type": "qwen2_5_vl", "hidden_size": D, "intermediate_size": F, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCAB, "tie_word_embeddings": false,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}, "eos_token_id": 9,
        "vision_config": {
            "depth": 2, "hidden_size": D_VISION, "intermediate_size": F_VISION, "num_heads": 2, "patch_size": 14,
            "fullatt_block_indexes": [1]
        }
    })
}

fn tokenizer() -> Value {
    json!({
        "added_tokens": [
            {"id": 8, "content": "<|endoftext|>", "special": true},
            {"id": 9, "content": "<|im_end|>", "special": false},
            {"id": 10, "content": "<think>", "special": false}
        ],
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": [["a", "b"]]}
    })
}

fn files(config: &Value) -> ModelFiles {
    ModelFiles {
        config: config.to_string(),
        tokenizer: tokenizer().to_string(),
        chat_template: Some("{{ messages }}".to_owned()),
        ..ModelFiles::default()
    }
}

/// Name, shape, values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// Every tensor of the tiny model by its older name; element `i` of tensor `n` is `n + i / 1024`.
fn tensors() -> Tensors {
    let mut shapes: Vec<(String, Vec<usize>)> = vec![
        ("model.embed_tokens.weight".into(), vec![VOCAB, D]),
        ("model.norm.weight".into(), vec![D]),
        ("lm_head.weight".into(), vec![VOCAB, D]),
        ("visual.patch_embed.proj.weight".into(), vec![D_VISION, 3, 2, 14, 14]),
        ("visual.merger.ln_q.weight".into(), vec![D_VISION]),
        ("visual.merger.mlp.0.weight".into(), vec![4 * D_VISION, 4 * D_VISION]),
        ("visual.merger.mlp.0.bias".into(), vec![4 * D_VISION]),
        ("visual.merger.mlp.2.weight".into(), vec![D, 4 * D_VISION]),
        ("visual.merger.mlp.2.bias".into(), vec![D]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm.weight", vec![D]),
            ("post_attention_layernorm.weight", vec![D]),
            ("self_attn.q_proj.weight", vec![D, D]),
            ("self_attn.q_proj.bias", vec![D]),
            ("self_attn.k_proj.weight", vec![D / 2, D]),
            ("self_attn.k_proj.bias", vec![D / 2]),
            ("self_attn.v_proj.weight", vec![D / 2, D]),
            ("self_attn.v_proj.bias", vec![D / 2]),
            ("self_attn.o_proj.weight", vec![D, D]),
            ("mlp.gate_proj.weight", vec![F, D]),
            ("mlp.up_proj.weight", vec![F, D]),
            ("mlp.down_proj.weight", vec![D, F]),
        ] {
            shapes.push((format!("model.layers.{layer}.{name}"), shape));
        }
        for (name, shape) in [
            ("norm1.weight", vec![D_VISION]),
            ("norm2.weight", vec![D_VISION]),
            ("attn.qkv.weight", vec![3 * D_VISION, D_VISION]),
            ("attn.qkv.bias", vec![3 * D_VISION]),
            ("attn.proj.weight", vec![D_VISION, D_VISION]),
            ("attn.proj.bias", vec![D_VISION]),
            ("mlp.gate_proj.weight", vec![F_VISION, D_VISION]),
            ("mlp.gate_proj.bias", vec![F_VISION]),
            ("mlp.up_proj.weight", vec![F_VISION, D_VISION]),
            ("mlp.up_proj.bias", vec![F_VISION]),
            ("mlp.down_proj.weight", vec![D_VISION, F_VISION]),
            ("mlp.down_proj.bias", vec![D_VISION]),
        ] {
            shapes.push((format!("visual.blocks.{layer}.{name}"), shape));
        }
    }
    let values = |n: usize, shape: &[usize]| {
        (0..shape.iter().product()).map(|i: usize| n as f32 + i as f32 / 1024.0).collect()
    };
    shapes
        .into_iter()
        .enumerate()
        .map(|(n, (name, shape))| (name, shape.clone(), values(n, &shape)))
        .collect()
}

fn convert(tensors: Tensors, files: &ModelFiles, recipe: Recipe) -> Result<tempfile::TempDir, WeightError> {
    let folder = tempfile::tempdir().unwrap();
    let weights = MemoryTensors::from_f32(tensors).unwrap();
    let about = About { name: "tiny".to_owned(), licence: "mit".to_owned(), ..About::default() };
    write_bundle(&weights, files, recipe, &about, folder.path(), &|_| {}).map(|_| folder)
}

#[test]
fn every_element_arrives() {
    for newer in [false, true] {
        let renamed = tensors().into_iter().map(|(name, shape, values)| {
            let name = match name.strip_prefix("model.") {
                _ if !newer => name,
                Some(rest) => format!("model.language_model.{rest}"),
                None if name.starts_with("visual.") => format!("model.{name}"),
                None => name,
            };
            (name, shape, values)
        });
        let folder = convert(renamed.collect(), &files(&config()), Recipe::F32).unwrap();
        let text = Gguf::open(&folder.path().join("weights.gguf")).unwrap();
        let vision = Gguf::open(&folder.path().join("mmproj.gguf")).unwrap();
        let sum = |gguf: &Gguf| -> f64 {
            let of =
                |name: &str| gguf.tensor(name).unwrap().to_f32().iter().map(|x| f64::from(*x)).sum::<f64>();
            gguf.names().into_iter().map(of).sum()
        };
        let expected: f64 = tensors().iter().flat_map(|(.., values)| values).map(|x| f64::from(*x)).sum();
        // All are multiples of 1/1024, so the sums are exact.
        assert_eq!((sum(&text) + sum(&vision)).to_bits(), expected.to_bits());

        let source = tensors();
        let of = |name: &str| source.iter().find(|tensor| tensor.0 == name).map(|tensor| &tensor.2).unwrap();
        let qkv = of("visual.blocks.1.attn.qkv.weight");
        assert_eq!(
            vision.tensor("v.blk.1.attn_k.weight").unwrap().to_f32(),
            qkv[D_VISION * D_VISION..][..D_VISION * D_VISION]
        );
        let (patch, frame) =
            (of("visual.patch_embed.proj.weight"), vision.tensor("v.patch_embd.weight.1").unwrap());
        assert_eq!(frame.shape, [D_VISION, 3, 14, 14]);
        // Output 1, channel 2, second frame, row 3, column 4.
        let ours = frame.to_f32()[((3 + 2) * 14 + 3) * 14 + 4];
        let theirs = patch[(((3 + 2) * 2 + 1) * 14 + 3) * 14 + 4];
        assert_eq!(ours.to_bits(), theirs.to_bits());
        assert_eq!(text.tensor("output.weight").unwrap().to_f32(), *of("lm_head.weight"));
    }
}

#[test]
fn keys_tell_what_llama_cpp_asks_for() {
    let folder = convert(tensors(), &files(&config()), Recipe::Q8_0).unwrap();
    let text = Gguf::open(&folder.path().join("weights.gguf")).unwrap();
    let meta = text.meta();
    assert_eq!(meta.str("general.architecture").unwrap(), "qwen2vl");
    assert_eq!(meta.str("general.license").unwrap(), "mit");
    assert_eq!(meta.u32s("qwen2vl.rope.dimension_sections").unwrap(), [2, 3, 3, 0]);
    assert_eq!(meta.u32("tokenizer.ggml.eos_token_id").unwrap(), 9);
    assert_eq!(meta.u32("tokenizer.ggml.bos_token_id").unwrap(), 8);
    assert_eq!(meta.strings("tokenizer.ggml.merges").unwrap(), ["a b"]);
    assert_eq!(meta.strings("tokenizer.ggml.tokens").unwrap()[2..5], ["ab", "[PAD3]", "[PAD4]"]);
    assert_eq!(meta.u32s("tokenizer.ggml.token_type").unwrap(), [1, 1, 1, 5, 5, 5, 5, 5, 3, 3, 4, 5]);
    assert_eq!(meta.str("tokenizer.chat_template").unwrap(), "{{ messages }}");
    assert_eq!(text.tensor("blk.0.ffn_down.weight").unwrap().kind, GgmlType::Q8_0);
    let vision = Gguf::open(&folder.path().join("mmproj.gguf")).unwrap();
    assert_eq!(vision.meta().u32("clip.vision.n_wa_pattern").unwrap(), 2);
    // Rows of 36 are no whole blocks of 32.
    assert_eq!(vision.tensor("v.blk.0.ffn_down.weight").unwrap().kind, GgmlType::F16);
    assert_eq!(vision.tensor("v.patch_embd.weight").unwrap().kind, GgmlType::F16);
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_written() {
    let check = |change: &dyn Fn(&mut Value, &mut Tensors), expected: &str| {
        let (mut config, mut tensors) = (config(), tensors());
        change(&mut config, &mut tensors);
        let text = error_chain(&convert(tensors, &files(&config), Recipe::F16).unwrap_err());
        assert_eq!(text, format!("cannot convert the model: {expected}"));
    };
    check(
        &|config, _| config["model_type"] = json!("llama"),
        "config.json describes `llama`, expected `qwen2_5_vl`",
    );
    check(&|config, _| config["hidden_size"] = json!(null), "the configuration has no `hidden_size`");
    check(
        &|config, _| config["hidden_size"] = json!(0),
        "the configuration's `hidden_size` is no sensible number",
    );
    check(
        &|config, _| config["num_hidden_layers"] = json!(1_u64 << 60),
        "the configuration's `num_hidden_layers` is no sensible number",
    );
    check(&|config, _| config["num_attention_heads"] = json!(5), "5 heads of 12 do not make the width 64");
    check(
        &|config, _| config["rope_scaling"] = json!(null),
        "the configuration has no `mrope_section` of three numbers",
    );
    check(
        &|config, _| config["vision_config"]["fullatt_block_indexes"] = json!([0, 5]),
        "the blocks of full attention are not each n-th, which GGUF cannot say",
    );
    check(
        &|config, _| config["num_hidden_layers"] = json!(3),
        "the checkpoint has no tensor `model.layers.2.input_layernorm.weight`",
    );
    check(
        &|config, _| config["num_hidden_layers"] = json!(1),
        "tensor `model.layers.1.input_layernorm.weight` has no place in Qwen2.5-VL",
    );
    check(
        &|config, _| config["vocab_size"] = json!(13),
        "tensor `model.embed_tokens.weight` has shape [12, 64], the configuration asks for [13, 64]",
    );
    check(
        &|_, tensors| tensors.push(("model.language_model.norm.weight".into(), vec![1], vec![0.0])),
        "`model.norm.weight` and `model.language_model.norm.weight` are one tensor by two names",
    );
    check(
        &|config, tensors| {
            config["vocab_size"] = json!(9);
            for (name, shape, values) in tensors.iter_mut() {
                if name == "model.embed_tokens.weight" || name == "lm_head.weight" {
                    shape[0] = 9;
                    values.truncate(9 * D);
                }
            }
        },
        "token `<|im_end|>` has no row in the embedding",
    );
}

#[test]
fn a_tied_model_may_store_its_matrix_twice_and_a_used_folder_is_refused() {
    let mut config = config();
    config["tie_word_embeddings"] = json!(true);
    let folder = convert(tensors(), &files(&config), Recipe::Q4_K_M).unwrap();
    let text = Gguf::open(&folder.path().join("weights.gguf")).unwrap();
    assert!(!text.contains("output.weight"));
    // Rows of 64 fit no block of 256.
    assert_eq!(text.tensor("token_embd.weight").unwrap().kind, GgmlType::Q8_0);

    let weights = MemoryTensors::from_f32(tensors()).unwrap();
    let again =
        write_bundle(&weights, &files(&config), Recipe::F16, &About::default(), folder.path(), &|_| {});
    assert!(error_chain(&again.unwrap_err()).ends_with(": the folder is not empty"));
}
