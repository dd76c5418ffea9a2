//! Faults done to real runs of the real program: killed at any moment, interrupted, a checkpoint torn, the disk
//! full, samples that cannot be used, a loss that is no number. Nothing finished is lost, `resume` goes on,
//! and on the CPU the weights at the end are those of the run that nothing happened to, bit for bit.
//!
//! Models of a few thousand weights serve; all of it takes well under a minute.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Two stages of a VLM on pictures of four tokens.
const PIPELINE: &str = r#"
schema = 2
name = "tiny"
seed = 3
fast = ["stage.cpt.optim.steps=2", "stage.sft.optim.steps=1"]

[tokenizer]
vocabulary = 400
phantoms = 8

[image]
min_pixels = 3136
max_pixels = 3136

[model.text]
hidden = 32
intermediate = 64
layers = 2
heads = 2
kv_heads = 1
mrope_section = [2, 3, 3]
rope_theta = 10000.0
max_positions = 512

[model.vision]
hidden = 32
intermediate = 64
depth = 2
heads = 2
full_attention_every = 2

[sources.talks]
phantom = { split = "train", count = 1000, content = { kind = "conversations", n_question = 1, style = "cot", listing = "lettered" }, domain = "in", image_px = 56 }

[[stage]]
name = "cpt"
kind = "cpt"
from = "init"
data = [{ source = "talks" }]
optim = { lr = 3e-3, warmup_steps = 2, steps = 8, samples_per_step = 2 }
checkpoint = { every_steps = 2, save_total_limit = 2 }

[[stage]]
name = "sft"
kind = "sft"
from = "cpt"
data = [{ source = "talks" }]
optim = { lr = 3e-3, steps = 6, samples_per_step = 2 }
checkpoint = { every_steps = 2, save_total_limit = 2 }
"#;

/// Longest wait for anything, on a busy machine with two cores.
const PATIENCE: Duration = Duration::from_mins(1);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eosin"));
    command.env_remove("RUST_BACKTRACE").env("EOSIN_CONFIG", "/nowhere/config.toml");
    command.args(["train"]).args(args).stdin(Stdio::null());
    command
}

fn eosin(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed(args: &[&str]) -> String {
    let output = eosin(args);
    assert!(output.status.success(), "{args:?}: {}", said(&output));
    said(&output)
}

/// Ends with exit code 2 and one line that says all of `words`; gives everything that was said.
fn refuse(output: &Output, words: &[&str]) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in `{error}`\n{said}");
    }
    said
}

/// A folder with a recipe in it.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(recipe: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pipeline.toml"), recipe).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The command that runs the pipeline in the folder `run`.
    fn run(&self, further: &[&str]) -> Command {
        let mut command = command(&["run", &self.text("pipeline.toml"), "--out", &self.text("run")]);
        command.args(further);
        command
    }

    /// Starts the pipeline.
    fn start(&self) -> Child {
        self.run(&[]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn resume(&self) -> String {
        succeed(&["resume", &self.text("run")])
    }

    fn checkpoints(&self, stage: &str) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.path("run").join(stage).join("checkpoints")) else {
            return Vec::new();
        };
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        found.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("step-"));
        found.sort();
        found
    }
}

/// Rows of a stage's figures.
fn rows(run: &Path, stage: &str) -> Vec<Value> {
    let text = fs::read_to_string(run.join(stage).join("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What a run leaves: hashes of its models, and step, loss and gradient of each row.
#[derive(PartialEq, Debug)]
struct Left(BTreeMap<String, (String, Vec<(Value, Value, Value)>)>);

fn left(run: &Path) -> Left {
    let of = |stage: &str| {
        let weights = fs::read(run.join(stage).join("final/model.safetensors")).unwrap();
        let figures = |row: &Value| (row["step"].clone(), row["loss"].clone(), row["grad_norm"].clone());
        let rows: Vec<_> = rows(run, stage).iter().map(figures).collect();
        (stage.to_owned(), (sha256(&weights), rows))
    };
    Left(["cpt", "sft"].map(of).into())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// What the run leaves to which nothing happens; it is run once.
fn unbroken() -> &'static Left {
    static LEFT: OnceLock<Left> = OnceLock::new();
    LEFT.get_or_init(|| {
        let desk = Desk::new(PIPELINE);
        let output = desk.run(&[]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(Path::new(page.trim()).ends_with("report.html") && Path::new(page.trim()).exists(), "{page}");
        left(&desk.path("run"))
    })
}

/// Waits until something is so while the program runs; `false` where it ended before.
fn wait(child: &mut Child, is_so: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "nothing happens");
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.try_wait().unwrap().is_none()
}

#[test]
fn a_run_that_is_killed_three_times_ends_as_the_unbroken_one() {
    let desk = Desk::new(PIPELINE);
    let run = desk.path("run");
    // Before the first checkpoint, while one is written, and in the middle of the second stage.
    let moments: [(&str, Box<dyn Fn() -> bool>); 3] = [
        ("before the first checkpoint", Box::new(|| !rows(&desk.path("run"), "cpt").is_empty())),
        (
            "beside a checkpoint",
            Box::new(|| {
                let folder = desk.path("run").join("cpt/checkpoints");
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(".partial"))
                    || desk.checkpoints("cpt").len() > 1
            }),
        ),
        ("in the second stage", Box::new(|| rows(&desk.path("run"), "sft").len() >= 3)),
    ];
    for (moment, is_so) in moments {
        let mut child = desk.start();
        assert!(wait(&mut child, is_so), "it ended before it could be killed {moment}");
        // SIGKILL: nothing of the program runs after it.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(!run.join("sft/final").exists());
    desk.resume();
    assert_eq!(left(&run), *unbroken());
    export(&desk);
    // What is finished is not run again.
    let before = fs::metadata(run.join("sft/final/model.safetensors")).unwrap().modified().unwrap();
    desk.resume();
    assert_eq!(fs::metadata(run.join("sft/final/model.safetensors")).unwrap().modified().unwrap(), before);
}

/// Takes the model out in both forms.
fn export(desk: &Desk) {
    let (run, hf, gguf) = (desk.text("run"), desk.text("hf"), desk.text("gguf"));
    succeed(&["export", &run, "--stage", "sft", "--to", "hf", "--out", &hf]);
    let weights = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
    assert!(weights(Path::new(&hf)) == weights(&desk.path("run/sft/final")));
    succeed(&["export", &run, "--stage", "cpt", "--to", "gguf", "--type", "F32", "--out", &gguf]);
    assert!(fs::read_to_string(desk.path("gguf/manifest.toml")).is_ok_and(|text| text.contains("tiny")));
    let again = eosin(&["export", &run, "--stage", "sft", "--to", "hf", "--out", &hf]);
    refuse(&again, &["already there"]);
    let adapter = desk.text("adapter");
    refuse(
        &eosin(&["export", &run, "--stage", "sft", "--to", "adapter", "--out", &adapter]),
        &["no adapters"],
    );
    refuse(
        &eosin(&["export", &run, "--stage", "rl", "--to", "hf", "--out", &adapter]),
        &["no finished stage `rl`"],
    );
}

#[cfg(unix)]
#[test]
fn an_interrupt_writes_a_checkpoint_and_says_how_to_go_on() {
    let desk = Desk::new(PIPELINE);
    let mut child = desk.start();
    assert!(wait(&mut child, || !rows(&desk.path("run"), "cpt").is_empty()), "it ended before");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert!(output.status.success() && text.contains("eosin train resume"), "{text}");
    let n_step = rows(&desk.path("run"), "cpt").len();
    assert!(desk.checkpoints("cpt").last().unwrap().ends_with(format!("step-{n_step:08}")), "{n_step} steps");
    assert!(desk.path("run/report.html").exists());
    desk.resume();
    assert_eq!(left(&desk.path("run")), *unbroken());
}

#[test]
fn a_torn_checkpoint_costs_what_came_after_the_one_before() {
    let desk = Desk::new(PIPELINE);
    let mut child = desk.start();
    assert!(wait(&mut child, || desk.checkpoints("cpt").len() > 1), "it ended before");
    child.kill().unwrap();
    child.wait().unwrap();
    let checkpoints = desk.checkpoints("cpt");
    let newest = checkpoints.last().unwrap().join("weights.safetensors");
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let text = desk.resume();
    assert!(text.contains("differs from its hash"), "{text}");
    assert_eq!(left(&desk.path("run")), *unbroken());
}

/// A disk of so little room that the second checkpoint does not fit; then it is given more.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_the_run_and_room_lets_it_go_on() {
    let desk = Desk::new(PIPELINE);
    fs::create_dir(desk.path("run")).unwrap();
    let script = r#"
        set -e
        mount -t tmpfs -o size=1400k none "$RUN"
        set +e
        "$EOSIN" train run "$RECIPE" --out "$RUN" > "$TALK/out" 2> "$TALK/full"
        echo $? > "$TALK/code"
        ls "$RUN/cpt/checkpoints" > "$TALK/checkpoints"
        mount -o remount,size=64m "$RUN"
        "$EOSIN" train resume "$RUN" > "$TALK/out" 2> "$TALK/resumed"
        cp -r "$RUN/cpt" "$RUN/sft" "$TALK"
    "#;
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-c", script]).env("EOSIN", env!("CARGO_BIN_EXE_eosin"));
    command.env("RUN", desk.path("run")).env("RECIPE", desk.path("pipeline.toml"));
    let talk = desk.path("talk");
    fs::create_dir(&talk).unwrap();
    let output = command.env("TALK", &talk).output();
    let read = |name: &str| fs::read_to_string(talk.join(name)).unwrap_or_default();
    if !talk.join("code").exists() {
        eprintln!("skipped: no small disk can be mounted here ({output:?})");
        return;
    }
    let full = read("full");
    assert_eq!(read("code").trim(), "2", "{full}");
    assert!(full.contains("No space left on device"), "{full}");
    assert!(
        read("checkpoints").lines().any(|name| name.starts_with("step-")),
        "{full}{}",
        read("checkpoints")
    );
    assert!(talk.join("sft/final/model.safetensors").exists(), "{}", read("resumed"));
    assert_eq!(left(&talk), *unbroken());
}

/// A disk that refuses large files, by the limit that any user may set.
#[cfg(unix)]
#[test]
fn a_disk_that_refuses_ends_the_run_with_a_line() {
    let desk = Desk::new(PIPELINE);
    let script = "trap '' XFSZ; ulimit -f 100; exec \"$EOSIN\" train run \"$RECIPE\" --out \"$RUN\"";
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("EOSIN", env!("CARGO_BIN_EXE_eosin"));
    command.env("RUN", desk.path("run")).env("RECIPE", desk.path("pipeline.toml"));
    refuse(&command.output().unwrap(), &["File too large", "weights.safetensors"]);
    assert!(desk.checkpoints("cpt").is_empty(), "nothing that is not whole has a whole one's name");
    desk.resume();
    assert_eq!(left(&desk.path("run")), *unbroken());
}

/// A recipe of one stage that reads rows with pictures beside them.
fn files(desk: &Desk, rows: &[Value]) -> String {
    let text = rows.iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat();
    fs::write(desk.path("rows.jsonl"), text).unwrap();
    let head = PIPELINE.split("[sources.talks]").next().unwrap().replace("fast = ", "# ");
    format!(
        "{head}\n[sources.rows]\nfiles = {{ path = \"rows.jsonl\" }}\n\n[[stage]]\nname = \"sft\"\nkind = \"sft\"\nfrom = \"init\"\n\
data = [{{ source = \"rows\" }}]\noptim = {{ lr = 1e-3, steps = 8, samples_per_step = 4 }}\n"
    )
}

#[test]
fn bad_samples_are_left_out_counted_and_listed_or_refused() {
    let desk = Desk::new("");
    let picture = |name: &str| {
        let pixels = image::RgbImage::from_fn(56, 56, |x, y| image::Rgb([(x * 4) as u8, (y * 4) as u8, 90]));
        pixels.save(desk.path(name)).unwrap();
    };
    picture("good.png");
    fs::write(desk.path("corrupt.png"), b"\x89PNG\r\n\x1a\nand then nothing of the kind").unwrap();
    let row = |images: &[&str]| {
        json!({
            "messages": [
                {"role": "user", "content": "<image>Which tissue is this?"},
                {"role": "assistant", "content": "<think>It is drawn.</think><answer>None</answer>"},
            ],
            "images": images,
        })
    };
    let rows = [
        row(&["good.png"]),
        row(&["corrupt.png"]),
        row(&["good.png"]),
        row(&["missing.png"]),
        row(&["good.png"]),
        row(&["good.png", "good.png"]),
        row(&["good.png"]),
        row(&["good.png"]),
    ];
    let recipe = files(&desk, &rows);
    fs::write(desk.path("pipeline.toml"), recipe).unwrap();
    // Named as seen from here, and still found by a run that goes on from elsewhere.
    let output =
        command(&["run", "pipeline.toml", "--out", "run"]).current_dir(desk.dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let kept = fs::read_to_string(desk.path("run/recipe.toml")).unwrap();
    assert!(kept.contains(&desk.text("rows.jsonl")), "{kept}");
    let text = fs::read_to_string(desk.path("run/sft/skipped.jsonl")).unwrap();
    let listed: BTreeMap<String, String> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: Value| {
            (line["id"].as_str().unwrap().to_owned(), line["reason"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(listed.len(), 3, "{listed:#?}");
    assert!(
        listed.values().any(|reason| reason.contains("1 image mark") && reason.contains("2 images")),
        "{listed:#?}"
    );
    let report = fs::read_to_string(desk.path("run/report.md")).unwrap();
    assert!(report.contains("left out because"), "{report}");
    // The same data where nothing may be left out.
    let recipe = desk.text("pipeline.toml");
    let output = eosin(&["run", &recipe, "--out", &desk.text("strict"), "--set", "strict=true"]);
    refuse(&output, &["cannot be used"]);
    assert!(!desk.path("strict/sft/final").exists());
}

#[test]
fn a_loss_that_is_no_number_stops_with_step_samples_and_checkpoint() {
    let desk = Desk::new(PIPELINE);
    let mut child = desk.start();
    assert!(wait(&mut child, || !desk.checkpoints("cpt").is_empty()), "it ended before");
    child.kill().unwrap();
    child.wait().unwrap();
    let newest = desk.checkpoints("cpt").pop().unwrap();
    let name = newest.file_name().unwrap().to_str().unwrap().to_owned();
    let step: u64 = name.strip_prefix("step-").unwrap().parse().unwrap();
    // One weight becomes infinite, and the manifest agrees: as if the descent had gone there.
    let path = newest.join("weights.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let n_header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + n_header..12 + n_header].copy_from_slice(&f32::INFINITY.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let manifest = newest.join("manifest.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    json["files"]["weights.safetensors"] = sha256(&bytes).into();
    fs::write(&manifest, serde_json::to_vec(&json).unwrap()).unwrap();
    let output = eosin(&["resume", &desk.text("run")]);
    let wanted = format!("at step {}", step + 1);
    let text = refuse(&output, &["is not a number", "stage cpt", &wanted, "samples ", &name]);
    assert!(text.contains("hint: "), "{text}");
    assert_eq!(rows(&desk.path("run"), "cpt").len() as u64, step, "a step that failed was not taken");
    assert!(!desk.path("run/cpt/final").exists());
}

#[test]
fn the_other_commands_and_misspelt_words() {
    let desk = Desk::new(PIPELINE);
    let recipe = desk.text("pipeline.toml");
    let output = eosin(&["plan", &recipe, "--fast", "--measure", "1"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", said(&output));
    for words in [
        "tiny: 2 stages, seed 3",
        "cpt (cpt, from init)",
        "sft (sft, from cpt)",
        "2 of 2 samples",
        "talks: 1000 samples",
        "parameters",
        "all stages: about",
    ] {
        assert!(text.contains(words), "`{words}` is not in\n{text}");
    }
    refuse(&eosin(&["run", &recipe, "--set", "stage.cpt.optim.learning_rate=1"]), &["learning_rate"]);
    refuse(&eosin(&["run", &recipe, "--out", &desk.text("run"), "--only", "nobody"]), &["nobody"]);
    refuse(&eosin(&["resume", &desk.text("nowhere")]), &["nowhere"]);
    refuse(&eosin(&["report", &desk.text("nowhere")]), &["nowhere"]);
    refuse(&eosin(&["plan", &desk.text("nowhere.toml")]), &["nowhere.toml"]);
}
