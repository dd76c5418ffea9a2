//! The command line against the references, and against bad input.
//!
//! The first half holds `eosin ask --json` to the conformance kit: prompts and 24 greedy tokens of
//! transformers (every token whose margin exceeds 1e-3) and of llama.cpp. The latter rounds activations to 8 bits,
//! we do not; on this small random model that decides tokens up to a margin of 0.22, so [`LLAMA_MARGIN`] is more
//! (`parity_gguf` holds the same files to an exact reference). The kit is not part of the repository; where it is
//! absent these tests say so and pass. The second half needs nothing: damaged and
//! lying files, impossible pictures, missing parts end with one line, exit code 2 and no panic.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/shared.rs"]
mod shared;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use shared::shared;

/// The margin from which a token of llama.cpp is decisive: both round activations to 8 bits, each in its own blocks
/// (`parity_gguf.rs` has the distances).
const LLAMA_MARGIN: f64 = 1.0;

/// `eosin` away from the user's own settings.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
    for name in ["EOSIN_DEVICE", "EOSIN_MODEL", "EOSIN_MMPROJ", "EOSIN_MAX_TOKENS", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.env("EOSIN_CONFIG", "/nowhere/config.toml").args(args);
    command
}

fn eosin(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// Runs `eosin` and takes its stdout as one JSON value.
fn eosin_json(args: &[&str]) -> Value {
    let output = eosin(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn read_json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

/// Fails unless the ids agree up to the first reference token whose margin is too small to be decisive.
fn check_greedy(name: &str, ours: &[u64], expected: &[u64], margins: &[f64], least_margin: f64) {
    assert_eq!(ours.len(), expected.len(), "{name}");
    for (idx, margin) in margins.iter().enumerate() {
        if *margin <= least_margin && ours[idx] != expected[idx] {
            eprintln!("{name}: token {idx} is undecided ({margin}), the rest was not compared");
            return;
        }
        assert_eq!(ours[idx], expected[idx], "{name}: token {idx} of {ours:?}, expected {expected:?}");
    }
}

#[test]
fn greedy_tokens_equal_those_of_transformers() {
    for variant in ["tied", "untied", "realhead"] {
        let Some(folder) = shared(&format!("conformance/kit/qwen/{variant}")) else { return };
        let model = folder.join("model");
        let mut n_case = 0;
        for entry in fs::read_dir(folder.join("cases")).unwrap() {
            let messages = entry.unwrap().path().join("case.json");
            let case = read_json(&messages);
            let name = format!("{variant}/{}", case["name"].as_str().unwrap());
            // The file's `images` stand for the bare pictures of its messages.
            let answer = eosin_json(&[
                "ask",
                "--messages",
                messages.to_str().unwrap(),
                "--model",
                model.to_str().unwrap(),
                "--json",
                "--greedy",
                "--max-tokens",
                "24",
                "--ignore-eos",
                "--device",
                "cpu",
            ]);
            assert_eq!(ids(&answer["prompt_ids"]), ids(&case["input_ids"]), "{name}");
            let margins: Vec<f64> =
                case["greedy_margins"].as_array().unwrap().iter().map(|m| m.as_f64().unwrap()).collect();
            check_greedy(&name, &ids(&answer["token_ids"]), &ids(&case["greedy_ids"]), &margins, 1e-3);
            n_case += 1;
        }
        assert_eq!(n_case, 14, "{variant}");
    }
}

#[test]
fn greedy_tokens_on_wgpu_equal_those_of_transformers() {
    let Some(folder) = shared("conformance/kit/qwen/tied") else { return };
    let messages = folder.join("cases/multi_turn_two_images/case.json");
    let model = folder.join("model");
    let output = eosin(&[
        "ask",
        "--messages",
        messages.to_str().unwrap(),
        "--model",
        model.to_str().unwrap(),
        "--json",
        "--greedy",
        "--max-tokens",
        "24",
        "--ignore-eos",
        "--device",
        "wgpu:0",
    ]);
    let stderr = text(&output.stderr);
    if !output.status.success() && (stderr.contains("no device") || stderr.contains("no wgpu support")) {
        eprintln!("skipped: no graphics adapter on this machine");
        return;
    }
    assert!(output.status.success(), "{stderr}");
    let (answer, case): (Value, Value) =
        (serde_json::from_slice(&output.stdout).unwrap(), read_json(&messages));
    let margins: Vec<f64> =
        case["greedy_margins"].as_array().unwrap().iter().map(|m| m.as_f64().unwrap()).collect();
    // Sums are taken in another order than on the processor.
    check_greedy("wgpu", &ids(&answer["token_ids"]), &ids(&case["greedy_ids"]), &margins, 1e-2);
}

#[test]
fn greedy_tokens_equal_those_of_llama_cpp() {
    let Some(folder) = shared("conformance/kit/gguf") else { return };
    let Some(cases) = shared("conformance/kit/qwen/realhead/cases") else { return };
    let bytes = fs::read(folder.join("refs.safetensors")).unwrap();
    let refs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mmproj = folder.join("realhead-mmproj-f32.gguf");
    let mut n_case = 0;
    for name in refs.names() {
        let Some(key) = name.strip_suffix(".greedy") else { continue };
        let (kind, case) = key.split_once('.').unwrap();
        let words = |suffix: &str| {
            let data = refs.tensor(&format!("{key}.{suffix}")).unwrap();
            let n_byte = data.data().len() / data.shape().iter().product::<usize>();
            (data.data().to_vec(), n_byte)
        };
        let (greedy, n_byte) = words("greedy");
        let expected: Vec<u64> = greedy
            .chunks(n_byte)
            .map(|bytes| bytes.iter().rev().fold(0, |id, byte| id << 8 | u64::from(*byte)))
            .collect();
        let (margins, _) = words("margin");
        let margins: Vec<f64> =
            margins.chunks(4).map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap()))).collect();
        let model = folder.join(format!("realhead-{kind}.gguf"));
        let messages = cases.join(case).join("case.json");
        let n_token = expected.len().to_string();
        // llama.cpp allows 8…4096 image tokens whatever the model says; the cases were chosen to fit both.
        let answer = eosin_json(&[
            "ask",
            "--messages",
            messages.to_str().unwrap(),
            "--model",
            model.to_str().unwrap(),
            "--mmproj",
            mmproj.to_str().unwrap(),
            "--json",
            "--greedy",
            "--max-tokens",
            &n_token,
            "--ignore-eos",
            "--device",
            "cpu",
        ]);
        check_greedy(key, &ids(&answer["token_ids"]), &expected, &margins, LLAMA_MARGIN);
        n_case += 1;
    }
    assert!(n_case >= 35, "{n_case}");
}

#[test]
fn a_seed_repeats_a_draw_and_a_stop_string_ends_it() {
    // The demonstration serves where the references are absent.
    let model = shared("conformance/kit/qwen/tied/model");
    let model: Vec<&str> = model.iter().flat_map(|model| ["--model", model.to_str().unwrap()]).collect();
    let ask = |more: &[&str]| {
        let args = ["ask", "What is a granuloma?", "--json", "--max-tokens", "12", "--device", "cpu"];
        eosin_json(&[&args[..], &model, more].concat())
    };
    let draw = |seed: &str| ids(&ask(&["--temperature", "3", "--top-k", "0", "--seed", seed])["token_ids"]);
    assert_eq!(draw("7"), draw("7"));
    assert_ne!(draw("7"), draw("8"));
    let whole = ask(&["--greedy", "--ignore-eos"])["text"].as_str().unwrap().to_owned();
    let stop: String = whole.chars().skip(6).take(2).collect();
    let cut = ask(&["--greedy", "--ignore-eos", "--stop", &stop]);
    assert_eq!(cut["stop_reason"], "stop_string");
    assert_eq!(cut["text"].as_str().unwrap(), whole.split(&stop).next().unwrap());
    assert_eq!(ask(&["--greedy", "--ignore-eos"])["stop_reason"], "max_tokens");
}

#[test]
fn the_demonstration_answers_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let picture = picture(folder.path(), "a.png", 224, 224);
    let output = eosin(&["ask", "Describe this field.", "--image", &picture, "--max-tokens", "64"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    assert!(!stdout.trim().is_empty() && !stdout.contains('<'), "{stdout}");
    assert!(stderr.contains("not for diagnosis"), "{stderr}");
    let answer =
        eosin_json(&["ask", "Describe this field.", "--image", &picture, "--json", "--max-tokens", "8"]);
    assert!(answer["notice"].as_str().unwrap().contains("not for diagnosis"));
}

#[test]
fn the_doctor_knows_devices_and_origins() {
    let report = eosin_json(&["doctor", "--json", "--device", "cpu"]);
    assert_eq!(report["chosen_device"]["choice"], "cpu");
    assert_eq!(report["settings"]["device"]["origin"], "flag");
    assert_eq!(report["settings"]["model"]["origin"], "default");
    assert!(report["devices"].as_array().unwrap().iter().any(|device| device["choice"] == "cpu"));
    assert!(report["memory"]["total_bytes"].is_u64());
    let output = eosin(&["doctor"]);
    assert!(output.status.success() && text(&output.stdout).contains("chosen"));
}

#[test]
fn completions_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = eosin(&["completions", shell]);
        assert!(output.status.success() && text(&output.stdout).contains("doctor"), "{shell}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Writes a grey picture and gives its path.
fn picture(folder: &Path, name: &str, width: u32, height: u32) -> String {
    let path = folder.join(name);
    image::RgbImage::from_pixel(width, height, image::Rgb([200, 160, 190])).save(&path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Fails unless `eosin` refuses in one line that contains `part`, with exit code 2 and without a panic.
fn check_refused(args: &[&str], part: &str) {
    let output = eosin(args);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(stdout.is_empty(), "{args:?}: {stdout}");
    assert!(!stderr.contains("panicked") && !stderr.contains("bug"), "{args:?}: {stderr}");
    let told: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(told.len(), 1, "{args:?}: {stderr}");
    assert!(told[0].contains(part), "{args:?}: {stderr} should say {part}");
    let rest = stderr.lines().filter(|line| !line.starts_with("error:"));
    // Beside the error there is talk of what was done before, and at most one hint.
    assert!(rest.clone().filter(|line| line.starts_with("hint:")).count() <= 1, "{stderr}");
    assert!(rest.count() <= 3, "{stderr}");
}

#[test]
fn questions_that_cannot_be_asked_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let long = picture(folder.path(), "long.png", 402, 2);
    let broken = folder.path().join("broken.png");
    fs::write(&broken, &fs::read(&long).unwrap()[..40]).unwrap();
    let messages = folder.path().join("messages.json");
    let messages = messages.to_str().unwrap();
    let check = |args: &[&str], part: &str| check_refused(&[&["ask"], args].concat(), part);
    check(&[""], "the question is empty");
    check(&[" \n"], "the question is empty");
    check(&["q", "--image", "/nowhere.png"], "nowhere.png");
    check(&["q", "--image", broken.to_str().unwrap()], "broken.png");
    check(&["q", "--slide", broken.to_str().unwrap()], "broken.png");
    check(&["q", "--region", "0,0,10,10"], "no slide");
    check(&["q", "--options", "one"], "--options");
    check(&["--messages", "/nowhere.json"], "nowhere.json");
    for (text, part) in [
        ("{", "no sound JSON"),
        ("3", "messages"),
        (r#"[{"role": "user"}]"#, "content"),
        (r#"[{"role": "user", "content": [{"type": "image", "image": "https://x/y.png"}]}]"#, "network"),
    ] {
        fs::write(messages, text).unwrap();
        check(&["--messages", messages], part);
    }
    if let Some(model) = shared("conformance/kit/qwen/tied/model") {
        let model = model.to_str().unwrap();
        check(&["q", "--image", &long, "--model", model, "--device", "cpu"], "200 times");
        check(&["q", "--model", model, "--device", "cuda:77"], "cuda:77");
        check(&["q", "--model", model, "--device", "wgpu:77"], "wgpu:77");
        check(&["q", "--model", model, "--temperature", "-1", "--device", "cpu"], "temperature");
        check(&["q", "--model", model, "--top-p", "2", "--device", "cpu"], "top-p");
        check(&["q", "--model", model, "--min-pixels", "9000", "--max-pixels", "8000"], "pixels");
        fs::write(messages, r#"[{"role": "assistant", "content": "x"}]"#).unwrap();
        check(&["--messages", messages, "--model", model], "last turn");
        // The smallest picture there is, and the largest question.
        let one = picture(folder.path(), "one.png", 1, 1);
        let args =
            ["ask", "q", "--image", &one, "--model", model, "--max-tokens", "1", "--json", "--device", "cpu"];
        assert_eq!(eosin_json(&args)["usage"]["images"], 1);
        fs::write(messages, json!([{"role": "user", "content": "1".repeat(200_000)}]).to_string()).unwrap();
        check(&["--messages", messages, "--model", model, "--device", "cpu"], "128000");
    }
}

/// One scenario for every set of instructions that this processor has: those it lacks fall back to lesser ones.
#[test]
fn every_path_of_the_processor_answers_alike() {
    let folder = tempfile::tempdir().unwrap();
    let image = picture(folder.path(), "seen.png", 112, 84);
    // The demonstration is sure of its words. The kit's random models are of their first alone: where sums differ in
    // their last digit, an activation may be rounded the other way, and they forgive nothing.
    let mut models = vec![vec!["--max-tokens".to_owned(), "6".to_owned()]];
    if let Some(kit) = shared("conformance/kit/gguf") {
        for kind in ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K"] {
            let path = |name: &str| kit.join(name).to_str().unwrap().to_owned();
            let (model, mmproj) = (path(&format!("realhead-{kind}.gguf")), path("realhead-mmproj-f32.gguf"));
            let args = ["--max-tokens", "1", "--model", &model, "--mmproj", &mmproj];
            models.push(args.map(str::to_owned).to_vec());
        }
    }
    for model in models {
        let answer = |path: &str| -> Value {
            let mut ask =
                command(&["ask", "What is seen?", "--image", &image, "--device", "cpu", "--greedy"]);
            ask.arg("--json").args(&model).env("EOSIN_CPU", path);
            let output = ask.output().unwrap();
            assert!(output.status.success(), "{path}: {}", text(&output.stderr));
            serde_json::from_slice::<Value>(&output.stdout).unwrap()["token_ids"].clone()
        };
        let best = answer("avx512-vnni");
        assert!(!best.as_array().unwrap().is_empty());
        for path in ["scalar", "avx2", "avx-vnni", "avx512"] {
            assert_eq!(answer(path), best, "{path} {model:?}");
        }
    }
}

#[test]
fn models_that_are_none_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let check = |model: &Path, part: &str| {
        check_refused(&["ask", "q", "--device", "cpu", "--model", model.to_str().unwrap()], part);
    };
    check(Path::new("/nowhere"), "no such file");
    check(folder.path(), "config.json");
    let gguf = folder.path().join("m.gguf");
    for bytes in [&b""[..], b"GGUF", b"not a model at all, but long enough to be read as one", &lying_gguf()]
    {
        fs::write(&gguf, bytes).unwrap();
        check(&gguf, "m.gguf");
    }
    let config = folder.path().join("config.json");
    for (text, part) in [
        ("", "no sound JSON"),
        ("[]", "unknown"),
        (r#"{"model_type": "llama"}"#, "`llama`"),
        (r#"{"model_type": "clip"}"#, "eosin embed"),
        (r#"{"model_type": "qwen2_5_vl", "hidden_size": -1}"#, "config.json"),
    ] {
        fs::write(&config, text).unwrap();
        let output = eosin(&["ask", "q", "--device", "cpu", "--model", folder.path().to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let stderr = text_of(&output);
        assert!(stderr.contains(part) && !stderr.contains("bug"), "{text}: {stderr}");
    }
}

fn text_of(output: &Output) -> String {
    text(&output.stderr)
}

/// A GGUF head that promises 2⁶⁰ tensors and keys.
fn lying_gguf() -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend((1u64 << 60).to_le_bytes());
    bytes.extend((1u64 << 60).to_le_bytes());
    bytes.extend([0xFF; 64]);
    bytes
}

#[test]
fn damaged_checkpoints_are_refused() {
    let Some(model) = shared("conformance/kit/qwen/tied/model") else { return };
    let folder = tempfile::tempdir().unwrap();
    let fresh = || {
        for entry in fs::read_dir(&model).unwrap() {
            let entry = entry.unwrap();
            fs::write(folder.path().join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
        }
    };
    let file = |name: &str| folder.path().join(name);
    let check = |part: &str| {
        check_refused(&["ask", "q", "--device", "cpu", "--model", folder.path().to_str().unwrap()], part);
        fresh();
    };
    fresh();
    for name in ["tokenizer.json", "vocab.json"] {
        fs::remove_file(file(name)).unwrap();
    }
    check("no tokenizer");
    fs::write(file("tokenizer.json"), "{\"model\": {\"type\": \"Unigram\"}}").unwrap();
    check("Unigram");
    fs::write(file("tokenizer.json"), &fs::read(file("tokenizer.json")).unwrap()[..1000]).unwrap();
    check("tokenizer");
    fs::remove_file(file("model.safetensors")).unwrap();
    check("safetensors");
    for n_byte in [0, 7, 100, 500_000] {
        let whole = fs::read(file("model.safetensors")).unwrap();
        fs::write(file("model.safetensors"), &whole[..n_byte]).unwrap();
        check("model.safetensors");
    }
    let mut lying = u64::MAX.to_le_bytes().to_vec();
    lying.extend(b"{}");
    fs::write(file("model.safetensors"), lying).unwrap();
    check("model.safetensors");
    for (from, to) in [
        ("\"hidden_size\": 128", "\"hidden_size\": 256"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
    ] {
        let config = fs::read_to_string(file("config.json")).unwrap();
        assert!(config.contains(from));
        fs::write(file("config.json"), config.replacen(from, to, 1)).unwrap();
        check("");
    }
    fs::write(file("chat_template.json"), json!({"chat_template": "{% if %}"}).to_string()).unwrap();
    check("chat template");
    fs::write(file("preprocessor_config.json"), r#"{"patch_size": 0}"#).unwrap();
    check("patch_size");
    let endless = json!({"chat_template": "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}"});
    fs::write(file("chat_template.json"), endless.to_string()).unwrap();
    check("chat template");
}

#[test]
fn a_model_too_large_for_the_memory_is_refused() {
    let Some(model) = shared("conformance/kit/qwen/tied/model") else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "chat_template.json", "preprocessor_config.json"] {
        fs::write(folder.path().join(name), fs::read(model.join(name)).unwrap()).unwrap();
    }
    // 4 TiB of weights in a file of holes: as large as its head says, and larger than any memory.
    let n_byte = 4_u64 << 40;
    let head = json!({"x": {"dtype": "F32", "shape": [n_byte / 4], "data_offsets": [0, n_byte]}}).to_string();
    let path = folder.path().join("model.safetensors");
    let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
    bytes.extend(head.as_bytes());
    fs::write(&path, &bytes).unwrap();
    if fs::File::options().write(true).open(&path).unwrap().set_len(bytes.len() as u64 + n_byte).is_err() {
        eprintln!("skipped: the disk has no room for a file of holes");
        return;
    }
    check_refused(&["ask", "q", "--device", "cpu", "--model", folder.path().to_str().unwrap()], "memory");
}

#[test]
fn a_model_without_eyes_says_so() {
    let Some(folder) = shared("conformance/kit/gguf") else { return };
    let dir = tempfile::tempdir().unwrap();
    let picture = picture(dir.path(), "a.png", 56, 56);
    let model = folder.join("realhead-Q8_0.gguf");
    let model = model.to_str().unwrap();
    check_refused(&["ask", "q", "--model", model, "--image", &picture, "--device", "cpu"], "vision part");
    // The projector in place of the model, and the model in place of the projector.
    let mmproj = folder.join("realhead-mmproj-f32.gguf");
    check_refused(&["ask", "q", "--model", mmproj.to_str().unwrap(), "--device", "cpu"], "`clip`");
    check_refused(&["ask", "q", "--model", model, "--mmproj", model, "--device", "cpu"], "`qwen2vl`");
    // Words alone can be asked about without eyes.
    let args = ["ask", "q", "--model", model, "--max-tokens", "2", "--json", "--device", "cpu"];
    assert!(!ids(&eosin_json(&args)["token_ids"]).is_empty());
}
