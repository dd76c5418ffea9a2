//! `eosin train export`: the model of a finished stage, in the form that others open.
//!
//! A stage leaves a Hugging Face folder; GGUF is made of it. What is written has
//! a temporary name until it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_training::clip::bundle::{self, About};
use eosin_training::clip::folder::ClipFolder;
use eosin_training::export::stage;
use eosin_training::folder::{self, FINAL};
use eosin_training::pipeline::Pipeline;
use eosin_training::recipe::Kind;

use crate::command::bundle::{PartialFolder, TypeChoice};
use crate::printer::{Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin train export runs/demo --stage grpo --to hf --out grpo-hf
  eosin train export runs/demo --stage grpo --to gguf --type Q8_0 --out grpo-bundle
  eosin train export runs/lora --stage sft --to adapter --out sft-adapter";

/// Folder of a stage in which its adapters lie, where it has some.
const ADAPTER: &str = "adapter";

/// The forms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Form {
    /// A Hugging Face folder, which transformers opens
    Hf,
    /// A bundle of GGUF files, which Eosin and llama.cpp open
    Gguf,
    /// The stage's adapters alone, which peft opens
    Adapter,
}

/// What was asked of `eosin train export`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The run directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The stage, which must be finished
    #[arg(long, value_name = "NAME")]
    stage: String,
    /// The form
    #[arg(long, value_enum, value_name = "FORM")]
    to: Form,
    /// The new folder, which must not exist yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How a bundle stores its matrices
    #[arg(long = "type", value_enum, ignore_case = true, default_value = "Q8_0")]
    kind: TypeChoice,
    /// The licence that a bundle states
    #[arg(long)]
    licence: Option<String>,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let pipeline = Pipeline::open(&args.dir).map_err(told)?;
    let dir = pipeline.stage_dir(&args.stage);
    if pipeline.plan.stage(&args.stage).is_none() || folder::finished(&dir).map_err(told)?.is_none() {
        let what = format!("there is no finished stage `{}`", args.stage);
        return Err(advised(what, "`eosin train report` lists the stages and how far they are"));
    }
    let is_clip = pipeline.plan.stage(&args.stage).is_some_and(|stage| stage.kind == Kind::Clip);
    match args.to {
        Form::Gguf if is_clip => clip(&pipeline, &args, printer),
        Form::Hf => copy(&dir.join(FINAL), &args.out, printer),
        Form::Gguf => vlm(&pipeline, &args, printer),
        Form::Adapter if dir.join(ADAPTER).is_dir() => copy(&dir.join(ADAPTER), &args.out, printer),
        Form::Adapter => Err(advised(
            format!("the stage `{}` trained no adapters", args.stage),
            "take `--to hf`, which has all of its weights, or give the stage a `tune.lora` table",
        )),
    }
}

/// Writes the bundle of a VLM.
fn vlm(pipeline: &Pipeline, args: &Args, printer: &Printer) -> anyhow::Result<()> {
    if args.out.exists() {
        let what = format!("{} is already there", args.out.display());
        return Err(advised(what, "choose another folder with `--out`"));
    }
    let part = PartialFolder::beside(&args.out)?;
    stage::write(pipeline, &args.stage, args.kind.into(), args.licence.as_deref(), &part.path)
        .map_err(told)?;
    part.finish(&args.out)?;
    printer.line(args.out.display().to_string())
}

/// Writes the bundle of a CLIP, which has one form: eight bits, and halves where those do not fit.
fn clip(pipeline: &Pipeline, args: &Args, printer: &Printer) -> anyhow::Result<()> {
    if args.out.exists() {
        let what = format!("{} is already there", args.out.display());
        return Err(advised(what, "choose another folder with `--out`"));
    }
    let about = About::of_stage(pipeline, &args.stage).map_err(told)?;
    let device = eosin_training::device::select(DeviceChoice::Cpu).map_err(told)?;
    let folder = pipeline.stage_dir(&args.stage).join(FINAL);
    let clip = ClipFolder::open(&folder, &device.device).map_err(told)?;
    let part = PartialFolder::beside(&args.out)?;
    bundle::write(&clip, &about, None, &part.path).map_err(told)?;
    part.finish(&args.out)?;
    printer.line(args.out.display().to_string())
}

/// Copies the files of a folder.
fn copy(from: &Path, out: &Path, printer: &Printer) -> anyhow::Result<()> {
    if out.exists() {
        let what = format!("{} is already there", out.display());
        return Err(advised(what, "choose another folder with `--out`"));
    }
    let part = PartialFolder::beside(out)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let to = part.path.join(entry.file_name());
            fs::copy(entry.path(), &to).with_context(|| format!("cannot write {}", to.display()))?;
        }
    }
    part.finish(out)?;
    printer.line(out.display().to_string())
}
