//! The tasks themselves, each a short list of commands.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::machine::{self, Need};
use crate::tidy;

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Build products live outside the clone, so that a second clone, and CI's next run, start warm.
fn target_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return PathBuf::from(folder);
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from)?;
        Some(home.join(".cache"))
    });
    cache.map_or_else(|| root().join("target"), |folder| folder.join("eosin/target"))
}

fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).env("CARGO_TARGET_DIR", target_dir());
    command
}

fn step(name: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("xtask: {name}");
    let begun = Instant::now();
    let status = command.status().map_err(|error| format!("{name}: cannot start: {error}"))?;
    let secs = begun.elapsed().as_secs();
    if status.success() {
        eprintln!("xtask: {name}: done in {secs} s");
        Ok(())
    } else {
        Err(format!("{name} failed after {secs} s ({status})"))
    }
}

/// Builds the binary and returns its path.
///
/// The whole workspace is selected, so that dependencies are compiled with the same features as for the
/// tests, once.
pub(crate) fn build() -> Result<PathBuf, String> {
    machine::prepare(Need::Build)?;
    step("build", &mut cargo(&["build", "--workspace", "--bin", "eosin"]))?;
    Ok(target_dir().join("debug/eosin"))
}

/// Opens the window, or asks the demonstration question where there is no display.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let eosin = build()?;
    if !args.is_empty() {
        return step("eosin", Command::new(eosin).args(args));
    }
    let slide = target_dir().join("demo-slide.tif");
    if !slide.exists() {
        step(
            "draw the demonstration slide",
            Command::new(&eosin).args(["train", "phantom", "--slide"]).arg(&slide),
        )?;
    }
    let display = ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if display {
        step("eosin open", Command::new(eosin).arg("open").arg(&slide))
    } else {
        eprintln!("xtask: no display here: asking on the command line");
        let question = ["ask", "Which tissue pattern dominates here?", "--region", "640,640,672,672"];
        step("eosin ask", Command::new(eosin).args(question).arg("--slide").arg(&slide))
    }
}

/// The checks that run no program, cheapest first.
pub(crate) fn check() -> Result<(), String> {
    machine::prepare(Need::Build)?;
    step("fmt", &mut cargo(&["fmt", "--all", "--check"]))?;
    tidy::check(&root())?;
    // `cuda` is switched on here so that the optional device is type-checked without a toolkit.
    step(
        "clippy",
        &mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "eosin/cuda",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    if machine::succeeds(&mut cargo(&["deny", "--version"])) {
        step(
            "licences and sources",
            &mut cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]),
        )?;
    } else {
        eprintln!("xtask: licences and sources: skipped, cargo-deny is not installed");
    }
    Ok(())
}

/// Everything that must hold before a change lands.
pub(crate) fn test() -> Result<(), String> {
    machine::prepare(Need::Test)?;
    check()?;
    // Software Vulkan, so that a machine without a GPU tests the GPU code, and one with a GPU tests the same.
    let mut tests = cargo(&["test", "--workspace", "--no-fail-fast"]);
    if let Some(driver) = software_vulkan() {
        tests.env("VK_ICD_FILENAMES", driver);
    }
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        let folder = target_dir().join("runtime");
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        tests.env("XDG_RUNTIME_DIR", folder);
    }
    step("tests", &mut tests)
}

fn software_vulkan() -> Option<PathBuf> {
    let entries = std::fs::read_dir("/usr/share/vulkan/icd.d").ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("lvp_icd"))
    })
}

/// Speed of this machine beside the peers that are found on it: of what the first argument says.
pub(crate) fn bench(args: &[String]) -> Result<(), String> {
    match args.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("peers", args)) => bench_peers(args),
        Some(("kernels", args)) => {
            let mut command = Command::new(bench_program("kernels")?);
            step("bench kernels", command.args(args).env("RAYON_NUM_THREADS", "1"))
        }
        Some(("train", args)) => bench_train(args),
        Some(("tiles", args)) => step("bench tiles", Command::new(bench_program("tiles")?).args(args)),
        Some(("search", args)) => bench_search(args),
        Some(("index", args)) => bench_index(args),
        _ => Err("bench takes peers, kernels, train, tiles, search or index, and what they take".to_owned()),
    }
}

/// Answering and embedding beside llama.cpp and ONNX Runtime; the table goes into `PERFORMANCE.md`.
fn bench_peers(args: &[String]) -> Result<(), String> {
    let (eosin, program) = (build()?, bench_program("peers")?);
    let mut command = Command::new("python3");
    command.arg(root().join("tests/bench/peers.py")).arg("--eosin").arg(eosin);
    command.args(["--bench", &program, "--write"]).arg(root().join("PERFORMANCE.md"));
    step("bench peers", command.args(args))
}

/// Training steps beside `PyTorch`'s.
fn bench_train(args: &[String]) -> Result<(), String> {
    let program = bench_program("train")?;
    let script = root().join("tests/bench/train_peers.py");
    step("bench train", Command::new("python3").arg(script).args(["--eosin", &program]).args(args))
}

/// Searches among vectors, by time and by recall.
fn bench_search(args: &[String]) -> Result<(), String> {
    step("bench search", Command::new(bench_program("search")?).args(args))
}

/// Tiles a second of an indexing run beside ONNX Runtime's.
fn bench_index(args: &[String]) -> Result<(), String> {
    let eosin = build()?;
    let script = root().join("tests/bench/index_peers.py");
    step("bench index", Command::new("python3").arg(script).arg("--eosin").arg(eosin).args(args))
}

/// Builds a bench in the profile of everything else, so that nothing is compiled twice; cargo says where it lies.
fn bench_program(name: &str) -> Result<String, String> {
    machine::prepare(Need::Build)?;
    eprintln!("xtask: build the bench");
    let output =
        cargo(&["build", "--workspace", "--bench", name, "--message-format", "json-render-diagnostics"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .map_err(|error| format!("build the bench: cannot start: {error}"))?;
    if !output.status.success() {
        return Err(format!("build the bench failed ({})", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let program = messages
        .lines()
        .filter(|line| line.contains("\"kind\":[\"bench\"]"))
        .find_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next());
    program.map(str::to_owned).ok_or_else(|| "build the bench: cargo named no program".to_owned())
}

/// Draws the window's main states.
pub(crate) fn screenshots() -> Result<(), String> {
    machine::prepare(Need::Test)?;
    let mut tests =
        cargo(&["test", "--workspace", "--test", "window", "--test", "window_stage", "--", "--nocapture"]);
    step("screenshots", tests.env("EOSIN_SCREENSHOTS", root().join("assets/screenshots")))
}
