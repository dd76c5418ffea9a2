//! CLIP against transformers and `open_clip`: pixels, tokens, features, logits, loss and every gradient.
//!
//! The wide cases live outside the repository (`EOSIN_SHARED`, else `../shared`); where they are absent the
//! tests say so and pass on what is committed: a tiny `open_clip` checkpoint with the features that
//! transformers gives for the same numbers (`tests/golden/make_clip.py`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/shared.rs"]
mod shared;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::{DeviceChoice, Hint as _, RgbTile};
use eosin_model::clip::{
    Activation, Clip, ClipError, ClipTokenizer, Config, CropRounding, Encoder, EndOfText, Format, ParamRef,
    Preprocess, Style, TokenBatch, contrastive_loss, logits_per_image, normalize,
};
use eosin_session::embed::{ClipBundle, ClipOptions, EmbedError};
use eosin_slide::load_picture;
use eosin_weights::{SafetensorsFolder, TorchCheckpoint, WeightSource as _};
use serde_json::Value;
use shared::shared;

/// Largest difference of features and logits over the largest value of the reference.
const FEATURE_TOLERANCE: f32 = 2e-4;
/// The same of loss and gradients, each tensor by itself.
const GRADIENT_TOLERANCE: f32 = 1e-3;
/// Largest absolute difference of a pixel value.
const PIXEL_TOLERANCE: f32 = 1e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn floats(tensor: Tensor<2>) -> Vec<f32> {
    tensor.try_into_vec_as::<f32>().unwrap()
}

/// Fails unless two lists agree within `tolerance` of the reference's largest value.
#[track_caller]
fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(expected).fold(0.0_f32, |worst, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
    });
    assert!(worst <= tolerance * largest.max(1e-6), "{what}: off by {worst:e} of {largest:e}");
}

/// One variant of the conformance kit.
struct Kit {
    folder: PathBuf,
    config: Config,
    weights: SafetensorsFolder,
}

/// One of its cases.
struct Case {
    name: String,
    reference: SafetensorsFolder,
    tiles: Vec<RgbTile>,
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

impl Kit {
    fn all() -> Vec<Self> {
        let Some(folder) = shared("conformance/kit/clip") else { return Vec::new() };
        ["b16", "l14"]
            .map(|variant| {
                let folder = folder.join(variant);
                let config = Config::from_hf(&json(&folder.join("model/config.json"))).unwrap();
                let weights = SafetensorsFolder::open(&folder.join("model")).unwrap();
                Self { folder, config, weights }
            })
            .into()
    }

    fn load(&self, device: &Device) -> Clip {
        Clip::load(&self.config, &self.weights, device).unwrap()
    }

    fn preprocess(&self) -> Preprocess {
        let json = json(&self.folder.join("model/preprocessor_config.json"));
        Preprocess::from_hf(&json, &self.config.vision).unwrap()
    }

    fn cases(&self) -> Vec<Case> {
        ["squares", "nonsquare", "modes", "random"].map(|name| Case::open(&self.folder, name)).into()
    }
}

impl Case {
    fn open(variant: &Path, name: &str) -> Self {
        let folder = variant.join("cases").join(name);
        let case = json(&folder.join("case.json"));
        let strings = |key: &str| {
            let list = case[key].as_array().unwrap().iter();
            list.map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let tiles = strings("images").iter().map(|file| load_picture(&folder.join(file)).unwrap()).collect();
        let ids = case["input_ids"].as_array().unwrap().iter().map(ids).collect();
        Self {
            name: format!("{}/{name}", variant.file_name().unwrap().display()),
            reference: SafetensorsFolder::open(&folder.join("ref.safetensors")).unwrap(),
            tiles,
            texts: strings("texts"),
            ids,
        }
    }

    fn reference(&self, name: &str) -> Vec<f32> {
        self.reference.tensor(name).unwrap().to_f32()
    }

    fn pixels(&self, device: &Device) -> Tensor<4> {
        let raw = self.reference.tensor("pixel_values").unwrap();
        Tensor::from_data(TensorData::new(raw.to_f32(), raw.shape), device)
    }
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn pixels_are_those_of_the_reference() {
    for kit in Kit::all() {
        let preprocess = kit.preprocess();
        for case in kit.cases() {
            let found = case.tiles.iter().flat_map(|tile| preprocess.prepare(tile)).collect::<Vec<_>>();
            let expected = case.reference("pixel_values");
            assert_eq!(found.len(), expected.len(), "{}", case.name);
            let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0.0_f32, f32::max);
            assert!(worst <= PIXEL_TOLERANCE, "{}: off by {worst}", case.name);
        }
    }
}

#[test]
fn features_and_logits_are_those_of_the_reference() {
    for kit in Kit::all() {
        let device = Device::flex();
        let model = kit.load(&device);
        for case in kit.cases() {
            compare_features(&kit, &model, &case, &device);
        }
    }
}

fn compare_features(kit: &Kit, model: &Clip, case: &Case, device: &Device) {
    let image = model.encode_image(case.pixels(device));
    let text = model.encode_text(&TokenBatch::new(&case.ids, &kit.config.text).unwrap());
    let check = |found: Tensor<2>, name: &str| {
        close(&floats(found), &case.reference(name), FEATURE_TOLERANCE, &format!("{} {name}", case.name));
    };
    check(image.clone(), "image_features");
    check(text.clone(), "text_features");
    check(normalize(image.clone()), "image_embeds");
    check(normalize(text.clone()), "text_embeds");
    check(logits_per_image(image, text, model.logit_scale.val()), "logits_per_image");
}

/// What embeds without gradients, in floats and in short floats.
#[test]
fn the_encoder_gives_the_features_of_the_reference() {
    for kit in Kit::all() {
        let device = Device::flex();
        for format in [Format::Full, Format::Bf16] {
            let encoder = Encoder::new(kit.load(&device), &kit.config, format);
            let mut worst = 1.0_f32;
            for case in kit.cases() {
                let image = encoder.encode_image(case.pixels(&device));
                let text = encoder.encode_text(&TokenBatch::new(&case.ids, &kit.config.text).unwrap());
                let mut check = |found: Tensor<2>, name: &str| {
                    let (d, found, expected) = (found.dims()[1], floats(found), case.reference(name));
                    if format == Format::Full {
                        close(&found, &expected, FEATURE_TOLERANCE, &format!("{} {name}", case.name));
                    }
                    for (found, expected) in found.chunks_exact(d).zip(expected.chunks_exact(d)) {
                        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                        let sizes = (dot(found, found) * dot(expected, expected)).sqrt();
                        worst = worst.min(dot(found, expected) / sizes);
                    }
                };
                check(image, "image_features");
                check(text, "text_features");
            }
            eprintln!("{}: cosine with the reference at least {worst}", format.name());
            assert!(worst > 0.999, "{}: {worst}", format.name());
        }
    }
}

/// More samples than go through the towers together, and a model whose widths fit no vector.
#[test]
fn the_encoder_is_the_module() {
    let mut config = Config::named("ViT-B-32", Activation::Gelu).unwrap();
    (config.d_embed, config.text.n_vocab, config.text.end_of_text) = (20, 50, EndOfText::LargestId);
    (config.vision.d_model, config.vision.n_head, config.vision.d_mlp, config.vision.n_layer) =
        (36, 3, 50, 2);
    (config.text.d_model, config.text.n_head, config.text.d_mlp, config.text.n_layer) = (24, 2, 40, 3);
    for activation in [Activation::Gelu, Activation::QuickGelu] {
        let device = Device::flex();
        device.seed(9);
        let config = config.clone().with_activation(activation);
        let model = Clip::init(&config, &device);
        let encoder = Encoder::new(model.clone(), &config, Format::Full);
        let images = formula_pixels(23, 224, &device);
        close(
            &floats(encoder.encode_image(images.clone())),
            &floats(model.encode_image(images)),
            2e-5,
            "images",
        );
        let texts: Vec<Vec<u32>> = (0..40_u32).map(|text| (0..text % 9).chain([49]).collect()).collect();
        let texts = TokenBatch::new(&texts, &config.text).unwrap();
        close(&floats(encoder.encode_text(&texts)), &floats(model.encode_text(&texts)), 2e-5, "texts");
    }
}

#[test]
fn loss_and_gradients_are_those_of_the_reference() {
    for kit in Kit::all() {
        let device = Device::flex().autodiff();
        let model = kit.load(&device);
        let case = Case::open(&kit.folder, "nonsquare");
        let pixels = case.pixels(&device);
        let n_pair = pixels.dims()[0];
        let batch = TokenBatch::new(&case.ids[..n_pair], &kit.config.text).unwrap();
        let loss = model.loss(pixels, &batch);
        let found = loss.clone().try_into_vec_as::<f32>().unwrap();
        close(&found, &case.reference("clip_loss"), GRADIENT_TOLERANCE, "loss");
        let gradients = loss.backward();
        let params = model.named_params();
        let mut n_checked = 0;
        for (name, param) in &params {
            let found = match param {
                ParamRef::D1(param) => param.val().grad(&gradients).map(Tensor::into_data),
                ParamRef::D2(param) => param.val().grad(&gradients).map(Tensor::into_data),
            };
            let found =
                found.unwrap_or_else(|| panic!("no gradient of {name}")).try_into_vec::<f32>().unwrap();
            let expected = case.reference(&format!("grad.{name}"));
            if name.ends_with("k_proj.bias") {
                // A key's bias adds the same to all scores of a query: its gradient is rounding noise
                // around zero.
                assert!(found.iter().all(|value| value.abs() < 1e-4), "{name}");
            } else {
                close(&found, &expected, GRADIENT_TOLERANCE, &format!("{} {name}", case.name));
            }
            n_checked += 1;
        }
        let stored = case.reference.names().into_iter().filter(|name| name.starts_with("grad.")).count();
        assert_eq!(n_checked, stored, "every parameter of the reference is one of ours");
        assert_eq!(n_checked, kit.weights.names().len());
    }
}

#[test]
fn tokens_are_those_of_the_reference() {
    for kit in Kit::all() {
        let n_context = kit.config.text.n_context;
        let read = |name: &str| std::fs::read_to_string(kit.folder.join("model").join(name)).unwrap();
        let tokenizers = [
            ClipTokenizer::from_json(read("tokenizer.json").as_bytes(), n_context).unwrap(),
            ClipTokenizer::from_vocab_and_merges(&read("vocab.json"), &read("merges.txt"), n_context)
                .unwrap(),
        ];
        for tokenizer in &tokenizers {
            let cases = json(&kit.folder.join("tokenizer_cases.json"));
            for case in cases.as_array().unwrap() {
                let text = case["text"].as_str().unwrap();
                assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
            }
            for case in kit.cases() {
                let unpadded = TokenBatch::new(&case.ids, &kit.config.text).unwrap();
                let encoded =
                    case.texts.iter().map(|text| tokenizer.encode(text).unwrap()).collect::<Vec<_>>();
                for (found, expected) in encoded.iter().zip(&case.ids) {
                    assert_eq!(*found, expected[..found.len()], "{}", case.name);
                }
                assert_eq!(TokenBatch::new(&encoded, &kit.config.text).unwrap(), unpadded, "{}", case.name);
            }
        }
    }
}

#[test]
fn the_published_vocabulary_gives_the_known_ids() {
    let Some(folder) = shared("data/tokenizers/clip") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let merges = read("merges.txt");
    let tokenizers = [
        ClipTokenizer::from_vocab_and_merges(&read("vocab.json"), &merges, 77).unwrap(),
        ClipTokenizer::from_merges(&merges, 77).unwrap(),
    ];
    for tokenizer in tokenizers {
        for file in ["golden_encodings.dev.json", "golden_encodings.json"] {
            let path = folder.join(file);
            if !path.exists() {
                continue;
            }
            for case in json(&path).as_array().unwrap() {
                let text = case["text"].as_str().unwrap();
                assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
            }
        }
    }
}

/// The pixels of `make_clip.py`.
fn formula_pixels(n: usize, side: usize, device: &Device) -> Tensor<4> {
    let values = (0..n * 3 * side * side).map(|idx| ((idx * 7919 % 1009) as f64 / 504.5 - 1.0) as f32);
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), [n, 3, side, side]), device)
}

/// Compares both activations with the committed features and returns ours.
fn compare_golden(weights: &TorchCheckpoint, config: &Config, device: &Device) -> [Vec<f32>; 2] {
    let golden = json(&golden("clip_open_clip.json"));
    let texts = golden["texts"].as_array().unwrap().iter().map(ids).collect::<Vec<_>>();
    [Activation::Gelu, Activation::QuickGelu].map(|activation| {
        let config = config.clone().with_activation(activation);
        let model = Clip::load(&config, weights, device).unwrap();
        let image = floats(model.encode_image(formula_pixels(2, 32, device)));
        let text = floats(model.encode_text(&TokenBatch::new(&texts, &config.text).unwrap()));
        let expected = |name: &str| {
            let rows = golden["features"][activation.name()][name].as_array().unwrap().iter();
            rows.flat_map(|row| row.as_array().unwrap())
                .map(|v| v.as_f64().unwrap() as f32)
                .collect::<Vec<_>>()
        };
        close(&image, &expected("image_features"), FEATURE_TOLERANCE, activation.name());
        close(&text, &expected("text_features"), FEATURE_TOLERANCE, activation.name());
        [image, text].concat()
    })
}

#[test]
fn an_open_clip_checkpoint_gives_the_same_features_and_the_activation_matters() {
    let weights = TorchCheckpoint::open(&golden("clip_open_clip.pt")).unwrap();
    assert_eq!(Style::detect(&weights).unwrap(), Style::OpenClip);
    let config = Config::from_open_clip(&weights, None).unwrap();
    assert_eq!(config.text.end_of_text, EndOfText::LargestId);
    assert_eq!((config.vision.image_px, config.vision.patch_px, config.vision.n_head), (32, 8, 1));
    assert_eq!(config.vision.activation, Activation::Gelu, "what open_clip assumes");
    let features = compare_golden(&weights, &config, &Device::flex());
    let apart = features[0].iter().zip(&features[1]).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(apart > 10.0 * FEATURE_TOLERANCE, "the two activations differ by {apart}");
}

#[test]
fn the_session_embeds_pictures_and_words() {
    for kit in Kit::all() {
        let bundle = ClipBundle::open(&kit.folder.join("model")).unwrap();
        assert!(bundle.summary().contains(bundle.config().vision.activation.name()));
        let embedder = bundle.load(DeviceChoice::Cpu).unwrap();
        for case in kit.cases() {
            let images = embedder.embed_tiles(&case.tiles).unwrap();
            let texts = embedder.embed_texts(&case.texts).unwrap();
            let flat = |embeddings: &[eosin_core::Embedding]| {
                embeddings.iter().flat_map(|one| one.values().to_vec()).collect::<Vec<_>>()
            };
            close(&flat(&images), &case.reference("image_embeds"), FEATURE_TOLERANCE, &case.name);
            close(&flat(&texts), &case.reference("text_embeds"), FEATURE_TOLERANCE, &case.name);
            let scale = embedder.logit_scale().unwrap();
            let logits = images.iter().flat_map(|image| texts.iter().map(move |text| (image, text)));
            let logits = logits.map(|(image, text)| scale * image.cosine(text).unwrap()).collect::<Vec<_>>();
            close(&logits, &case.reference("logits_per_image"), FEATURE_TOLERANCE, &case.name);
        }
        assert!(embedder.embed_tiles(&[]).unwrap().is_empty());
        assert!(embedder.embed_texts::<&str>(&[]).unwrap().is_empty());
        let odd = ["", "\u{0}", "<|endoftext|>", "🔬", &"word ".repeat(10_000)];
        assert_eq!(embedder.embed_texts(&odd).unwrap().len(), odd.len());
        let extreme = [[1, 1], [1, 3000], [3000, 1]]
            .map(|[w, h]: [u32; 2]| RgbTile::new([w, h], vec![90; (w * h * 3) as usize]).unwrap());
        assert_eq!(embedder.embed_tiles(&extreme).unwrap().len(), 3);
    }
}

#[test]
fn embeddings_of_other_settings_cannot_be_mixed() {
    let path = golden("clip_open_clip.pt");
    let tile = RgbTile::new([40, 30], vec![128; 40 * 30 * 3]).unwrap();
    let embed = |activation| {
        let options = ClipOptions { activation, ..ClipOptions::default() };
        let embedder = ClipBundle::open_with(&path, &options).unwrap().load(DeviceChoice::Cpu).unwrap();
        assert!(matches!(embedder.embed_texts(&["a"]), Err(EmbedError::NoTokenizer)));
        embedder.embed_tiles(std::slice::from_ref(&tile)).unwrap().remove(0)
    };
    let (implied, asked, quick) =
        (embed(None), embed(Some(Activation::Gelu)), embed(Some(Activation::QuickGelu)));
    assert_eq!(implied, asked);
    assert!(implied.cosine(&quick).is_err());
}

#[test]
fn pictures_need_no_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(golden("clip_open_clip.pt"), folder.path().join("any name.pt")).unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let bundle = ClipBundle::open(folder.path()).unwrap();
    assert!(!bundle.has_tokenizer());
    let embedder = bundle.load(DeviceChoice::Cpu).unwrap();
    assert!(embedder.embed_tiles(&[RgbTile::new([1, 1], vec![0; 3]).unwrap()]).is_ok());
    assert!(embedder.embed_texts::<&str>(&[]).is_ok());
    let error = embedder.embed_texts(&["a"]).unwrap_err();
    assert!(eosin_core::error_chain(&error).contains("tokenizer.json"), "{error}");
    let options = ClipOptions { tokenizer: Some(folder.path().to_owned()), ..ClipOptions::default() };
    assert!(ClipBundle::open_with(folder.path(), &options).is_err(), "asked for, it must be usable");
}

#[test]
fn unusable_models_are_refused_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let check = |path: &Path, expected: &str| {
        let error = ClipBundle::open(path).unwrap_err();
        let chain = eosin_core::error_chain(&error);
        assert!(chain.contains(expected), "{chain} does not say {expected}");
        assert!(!chain.contains('\n'));
    };
    check(&at("absent"), "no such file");
    check(folder.path(), "no weights");
    std::fs::write(at("a.txt"), "x").unwrap();
    check(&at("a.txt"), "none of .safetensors");
    for name in ["empty.pt", "empty.safetensors", "empty.gguf"] {
        std::fs::write(at(name), "").unwrap();
        check(&at(name), name);
    }
    check(folder.path(), "several weight files");
    let bytes = std::fs::read(golden("clip_open_clip.pt")).unwrap();
    std::fs::write(at("cut.pt"), &bytes[..bytes.len() / 2]).unwrap();
    check(&at("cut.pt"), "cut.pt");

    let other = tempfile::tempdir().unwrap();
    let write = |name: &str, header: &str, n_byte: usize| {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + n_byte, 0);
        std::fs::write(other.path().join(name), bytes).unwrap();
    };
    let path = other.path().join("model.safetensors");
    write("model.safetensors", "{}", 0);
    check(&path, "no tensors");
    let tensor = |name: &str| format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    write("model.safetensors", &tensor("visual.trunk.cls_token"), 4);
    check(&path, "timm");
    write("model.safetensors", &tensor("visual.attnpool.c_proj.bias"), 4);
    check(&path, "ResNet");
    write("model.safetensors", &tensor("model.embed_tokens.weight"), 4);
    check(&path, "class token");
    write("model.safetensors", &tensor("visual.class_embedding"), 4);
    check(&path, "visual.conv1.weight");
    write("model.safetensors", &tensor("vision_model.embeddings.class_embedding"), 4);
    check(&path, "config.json");
    std::fs::write(other.path().join("config.json"), "{").unwrap();
    check(&path, "config.json");
    std::fs::write(other.path().join("config.json"), r#"{"model_type":"bert"}"#).unwrap();
    check(&path, "`bert`");
    std::fs::write(other.path().join("config.json"), r#"{"vision_config":{},"text_config":{}}"#).unwrap();
    let bundle = ClipBundle::open(&path).unwrap();
    let chain = eosin_core::error_chain(&bundle.load(DeviceChoice::Cpu).unwrap_err());
    assert!(chain.contains("vision_model.embeddings.patch_embedding.weight"), "{chain}");
}

#[test]
fn weights_of_another_shape_are_refused() {
    let weights = TorchCheckpoint::open(&golden("clip_open_clip.pt")).unwrap();
    let fits = Config::from_open_clip(&weights, None).unwrap();
    let check = |change: &dyn Fn(&mut Config), expected: &str| {
        let mut config = fits.clone();
        change(&mut config);
        let error = Clip::load(&config, &weights, &Device::flex()).unwrap_err();
        assert!(eosin_core::error_chain(&error).contains(expected), "{error} does not say {expected}");
        assert!(error.hint().is_some());
    };
    check(&|config| config.vision.d_mlp = 128, "[96, 64], expected [128, 64]");
    check(&|config| config.vision.image_px = 64, "`visual.positional_embedding`");
    check(&|config| config.text.n_vocab = 49408, "`token_embedding.weight`");
    check(&|config| config.d_embed = 512, "`visual.proj`");
    check(&|config| config.text.n_layer = 2, "transformer.resblocks.1.");
    assert!(Clip::load(&fits, &weights, &Device::flex()).is_ok());
}

#[test]
fn the_temperature_stays_in_its_range() {
    let config = Config::from_open_clip(&TorchCheckpoint::open(&golden("clip_open_clip.pt")).unwrap(), None);
    let device = Device::flex();
    let mut model = Clip::init(&config.unwrap(), &device);
    let value = |model: &Clip| model.logit_scale.val().try_into_vec_as::<f32>().unwrap()[0];
    assert!((value(&model) - 2.6592).abs() < 1e-4, "ln(1 / 0.07)");
    for (set, expected) in [(-1.0, 0.0), (2.0, 2.0), (9.0, 100.0_f32.ln())] {
        model.logit_scale = model.logit_scale.map(|scale| scale.full_like(set));
        model = model.clamp_logit_scale();
        assert!((value(&model) - expected).abs() < 1e-5);
    }
}

#[test]
fn a_text_does_not_depend_on_its_neighbours() {
    let tokenizer = ClipTokenizer::from_merges("#version: 0.2\n", 77).unwrap();
    let mut config = Config::named("ViT-B-16", Activation::QuickGelu).unwrap();
    config.text.n_vocab = 514;
    config.text.n_layer = 2;
    config.vision.n_layer = 1;
    let device = Device::flex();
    device.seed(5);
    let model = Clip::init(&config, &device);
    let texts = [
        "",
        " \n",
        "a",
        "Ki-67 35 %",
        "🔬",
        "\u{0}",
        &"mitosis ".repeat(1000),
        "<|endoftext|> after the end",
    ];
    let ids = texts.map(|text| tokenizer.encode(text).unwrap());
    assert!(ids.iter().all(|ids| ids.len() <= 77 && ids.last() == Some(&tokenizer.end_id())));
    let encode = |ids: &[Vec<u32>]| floats(model.encode_text(&TokenBatch::new(ids, &config.text).unwrap()));
    let together = encode(&ids);
    let alone = ids.iter().flat_map(|ids| encode(std::slice::from_ref(ids))).collect::<Vec<_>>();
    assert!(together.iter().all(|value| value.is_finite()));
    close(&alone, &together, FEATURE_TOLERANCE, "alone");
    assert_eq!(ids[0], ids[1], "white space is no text");
}

#[test]
fn pairs_that_match_have_no_loss() {
    let device = Device::flex();
    let eye = Tensor::<2>::eye(4, &device);
    let loss = |texts: Tensor<2>| {
        let scale = Tensor::from_data([100.0_f32.ln()], &device);
        contrastive_loss(eye.clone() * 3.0, texts, scale).try_into_vec_as::<f32>().unwrap()[0]
    };
    assert!(loss(eye.clone()) < 1e-6);
    assert!((loss(eye.clone().flip([0])) - 100.0).abs() < 1e-3, "every pair wrong by the whole scale");
    assert!((loss(Tensor::ones([4, 4], &device)) - 4.0_f32.ln()).abs() < 1e-4, "nothing told apart");
}

#[test]
fn a_random_model_of_a_published_size_has_its_shapes() {
    for (name, n_position) in [("ViT-B-32", 50), ("ViT-B-16", 197), ("ViT-L-14", 257), ("ViT-L-14-336", 577)]
    {
        let config = Config::named(name, Activation::QuickGelu).unwrap();
        assert_eq!(config.vision.n_position(), n_position, "{name}");
        let preprocess = Preprocess::standard(&config.vision, CropRounding::HalfToEven);
        let tile = RgbTile::new([30, 20], vec![0; 1800]).unwrap();
        assert_eq!(preprocess.prepare(&tile).len(), 3 * config.vision.image_px.pow(2));
    }
    assert!(Config::named("RN50", Activation::Gelu).is_none());
}

#[test]
fn a_gpu_gives_the_same_features() {
    let selected = match eosin_kernels::select(DeviceChoice::Wgpu(0)) {
        Ok(selected) => selected,
        Err(error) => {
            eprintln!("skipped: {error}");
            return;
        }
    };
    let weights = TorchCheckpoint::open(&golden("clip_open_clip.pt")).unwrap();
    compare_golden(&weights, &Config::from_open_clip(&weights, None).unwrap(), &selected.device);
    for kit in Kit::all().into_iter().take(1) {
        let model = kit.load(&selected.device);
        compare_features(&kit, &model, &Case::open(&kit.folder, "squares"), &selected.device);
    }
}

#[test]
fn errors_carry_advice() {
    let error = ClipError::NotClip { cause: String::new() };
    assert!(error.hint().unwrap().contains("visual."));
}
