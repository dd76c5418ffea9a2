//! `eosin bundle`: what a model's files hold, and models made smaller.
//!
//! The work is done in `eosin_weights` (`inspect`, `convert`); here it is parsed and printed. A new bundle
//! is built under a temporary name beside its target and renamed when it is sealed, so that an interrupted
//! run leaves nothing that looks like a model. Held true by `tests/bundle_cli.rs`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use eosin_session::manifest::{BundleKind, Manifest};
use eosin_weights::convert::{About, ModelFiles, Recipe, Summary, size_label, write_bundle};
use eosin_weights::inspect::{Contents, Kind, inspect};
use eosin_weights::{SafetensorsFolder, WeightSource as _};

use crate::printer::{Printer, advised, told};

/// What was asked of `eosin bundle`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say what a file or folder holds: architecture, sizes, types, licence, parameters
    Inspect {
        /// A bundle, a Hugging Face folder, or a .gguf, .safetensors or torch .pt file
        path: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Make a bundle of a Hugging Face Qwen2.5-VL folder, which llama.cpp loads too
    Quantize(QuantizeArgs),
}

#[derive(clap::Args)]
struct QuantizeArgs {
    /// The Hugging Face folder
    folder: PathBuf,
    /// How to store the matrices
    #[arg(long = "type", value_enum, ignore_case = true, default_value = "Q4_K_M")]
    kind: TypeChoice,
    /// The bundle's folder, which must not exist yet
    #[arg(long)]
    out: PathBuf,
    /// The model's name; else that of the folder
    #[arg(long)]
    name: Option<String>,
    /// The licence of the weights; else what the folder's README.md states
    #[arg(long)]
    licence: Option<String>,
}

/// The mixtures, for the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[expect(non_camel_case_types, reason = "these are the names users know from file names")]
pub(crate) enum TypeChoice {
    #[value(name = "F32")]
    F32,
    #[value(name = "F16")]
    F16,
    #[value(name = "Q8_0")]
    Q8_0,
    #[value(name = "Q6_K")]
    Q6_K,
    #[value(name = "Q5_K_M")]
    Q5_K_M,
    #[value(name = "Q4_K_M")]
    Q4_K_M,
    #[value(name = "Q4_0")]
    Q4_0,
}

impl From<TypeChoice> for Recipe {
    fn from(choice: TypeChoice) -> Self {
        match choice {
            TypeChoice::F32 => Self::F32,
            TypeChoice::F16 => Self::F16,
            TypeChoice::Q8_0 => Self::Q8_0,
            TypeChoice::Q6_K => Self::Q6_K,
            TypeChoice::Q5_K_M => Self::Q5_K_M,
            TypeChoice::Q4_K_M => Self::Q4_K_M,
            TypeChoice::Q4_0 => Self::Q4_0,
        }
    }
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::Inspect { path, json } => inspect_path(&path, json, printer),
        Action::Quantize(args) => quantize(args, printer),
    }
}

fn inspect_path(path: &Path, json: bool, printer: &Printer) -> anyhow::Result<()> {
    let mut contents = inspect(path).map_err(told)?;
    if contents.kind == Kind::Bundle {
        // What the bundle says of itself goes first, once its files are known to be those it speaks of.
        let manifest = Manifest::open(path).map_err(told)?;
        let stated = |text: String| Some(text).filter(|text| !text.is_empty());
        contents.name = stated(manifest.name).or(contents.name);
        contents.licence = stated(manifest.licence).or(contents.licence);
        contents.base = stated(manifest.base).or(contents.base);
    }
    if json { printer.json(&contents) } else { printer.piece(&describe(&contents)) }
}

/// The text form: one fact a line, then each file with its types.
fn describe(contents: &Contents) -> String {
    let kind = match contents.kind {
        Kind::Bundle => "Eosin bundle, files as its manifest states them",
        Kind::HuggingFace => "Hugging Face folder",
        Kind::File => "file of weights",
    };
    let unknown = || "not stated".to_owned();
    let mut out = format!("kind          {kind}\n");
    for (label, value) in [
        ("name", &contents.name),
        ("architecture", &contents.architecture),
        ("licence", &contents.licence),
        ("made from", &contents.base),
    ] {
        let value = value.as_deref().map_or_else(unknown, one_line);
        let _ = writeln!(out, "{label:<13} {value}");
    }
    for file in &contents.weights {
        let mixture = file.mixture.as_ref().map(|mixture| format!(", {mixture}")).unwrap_or_default();
        let (size, n_parameter) = (bytes_text(file.tensor_bytes), size_label(file.n_parameter));
        let (name, container) = (one_line(&file.file), file.container);
        let _ = writeln!(out, "\n{name}: {container}{mixture}, {n_parameter} parameters, {size}");
        for (kind, count) in &file.types {
            let (size, n_tensor) = (bytes_text(count.n_byte), count.n_tensor);
            let _ = writeln!(out, "  {kind:<6} {n_tensor:>5} tensors  {size:>9}");
        }
    }
    if !contents.companions.is_empty() {
        let _ = writeln!(out, "\nbeside them   {}", contents.companions.join(", "));
    }
    out
}

/// Text out of a file, safe for a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

fn bytes_text(n_byte: u64) -> String {
    match n_byte {
        0..1_000_000 => format!("{:.1} kB", n_byte as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", n_byte as f64 / 1e6),
        _ => format!("{:.2} GB", n_byte as f64 / 1e9),
    }
}

fn quantize(args: QuantizeArgs, printer: &Printer) -> anyhow::Result<()> {
    let QuantizeArgs { folder, kind, out, name, licence } = args;
    make(&Order { folder: &folder, kind, out: &out, name, licence, notice: "" }, printer)
}

/// A bundle to be made of a Hugging Face folder.
pub(crate) struct Order<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// How matrices are stored.
    pub(crate) kind: TypeChoice,
    /// The bundle, which must not exist yet.
    pub(crate) out: &'a Path,
    /// Its name; else that of the folder.
    pub(crate) name: Option<String>,
    /// The licence of the weights; else what the folder's README.md states.
    pub(crate) licence: Option<String>,
    /// What whoever opens it must be told.
    pub(crate) notice: &'a str,
}

/// Makes it, and prints where it lies.
pub(crate) fn make(order: &Order<'_>, printer: &Printer) -> anyhow::Result<()> {
    let &Order { folder, kind, out, .. } = order;
    if out.exists() {
        return Err(advised(
            format!("{} is already there", out.display()),
            "choose another folder with `--out`",
        ));
    }
    let weights = SafetensorsFolder::open(folder).map_err(told)?;
    let files = ModelFiles::read(folder).map_err(told)?;
    let mut about = About::read(folder);
    about.name = order.name.clone().unwrap_or(about.name);
    about.licence = order.licence.clone().unwrap_or(about.licence);

    let part = PartialFolder::beside(out)?;
    let bar = printer.progress(weights.names().len() as u64);
    let progress = |_: &str| bar.inc(1);
    let recipe = Recipe::from(kind);
    let summary = write_bundle(&weights, &files, recipe, &about, &part.path, &progress).map_err(told)?;
    bar.finish_and_clear();
    let licence = if about.licence.is_empty() { "not stated" } else { &about.licence };
    let mut manifest = Manifest::new(&about.name, BundleKind::Vlm, licence);
    manifest.base = about.base;
    order.notice.clone_into(&mut manifest.notice);
    manifest.seal(&part.path).map_err(told)?;
    part.finish(out)?;

    let Summary { n_text_parameter, n_vision_parameter, text_bytes, vision_bytes, n_widened } = summary;
    printer.say(format!(
        "{recipe}: language model {} parameters in {}, vision tower {} in {}",
        size_label(n_text_parameter),
        bytes_text(text_bytes),
        size_label(n_vision_parameter),
        bytes_text(vision_bytes),
    ));
    if n_widened > 0 {
        printer.say(format!(
            "{n_widened} matrices are stored in a larger type: their rows are not whole blocks"
        ));
    }
    printer.line(out.display().to_string())
}

/// A folder under a temporary name, removed again unless it is finished.
pub(crate) struct PartialFolder {
    /// Where it lies until then.
    pub(crate) path: PathBuf,
}

impl PartialFolder {
    /// A new one beside `target`.
    pub(crate) fn beside(target: &Path) -> anyhow::Result<Self> {
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let path = target.with_file_name(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| cannot_write(target, &error))?;
        }
        fs::create_dir(&path).map_err(|error| cannot_write(target, &error))?;
        Ok(Self { path })
    }

    /// Gives it its name.
    pub(crate) fn finish(self, target: &Path) -> anyhow::Result<()> {
        fs::rename(&self.path, target).map_err(|error| cannot_write(target, &error))
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        // After the rename there is nothing of this name, and then this fails as it should.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn cannot_write(target: &Path, error: &std::io::Error) -> anyhow::Error {
    advised(format!("cannot write {}: {error}", target.display()), "check the folder with `--out`")
}
