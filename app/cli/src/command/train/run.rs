//! `eosin train run` and `eosin train resume`: a pipeline in, models and a report out.

use std::path::{Path, PathBuf};

use eosin_core::DeviceChoice;
use eosin_training::pipeline::Pipeline;
use eosin_training::recipe::{Pace, Recipe};
use eosin_training::report;
use eosin_training::run::Ended;

use super::progress::Progress;
use crate::printer::{Printer, told};

const RUN_EXAMPLES: &str = "\
Examples:
  eosin train run training/recipes/demo/pipeline.toml --fast
  eosin train run pipeline.toml --out runs/first --set seed=2 --set stage.sft.optim.lr=1e-3
  eosin train run pipeline.toml --only sft --only grpo

Stages that are finished are not run again. Ctrl-C finishes the step and writes a checkpoint.";

const RESUME_EXAMPLES: &str = "\
Examples:
  eosin train resume runs/demo

A run that was killed goes on from its newest whole checkpoint; on the CPU it ends as if it had not been.";

/// A pipeline as written, and what to change in it.
#[derive(clap::Args)]
pub struct Asked {
    /// The pipeline
    #[arg(value_name = "PIPELINE.toml")]
    pub recipe: PathBuf,
    /// Take the recipe's own settings for a quick run
    #[arg(long)]
    pub fast: bool,
    /// Change one value of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

impl Asked {
    /// The checked plan.
    pub(super) fn plan(&self) -> anyhow::Result<eosin_training::recipe::Plan> {
        let pace = if self.fast { Pace::Fast } else { Pace::Full };
        Recipe::read(&self.recipe, pace, &self.settings).and_then(Recipe::resolve).map_err(told)
    }
}

/// What was asked of `eosin train run`.
#[derive(clap::Args)]
#[command(after_help = RUN_EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    asked: Asked,
    /// The run directory [default: runs/<name of the pipeline>, with -fast where --fast is given]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Run this stage only, as far as what it begins from is finished; may be repeated
    #[arg(long, value_name = "STAGE")]
    only: Vec<String>,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// What was asked of `eosin train resume`.
#[derive(clap::Args)]
#[command(after_help = RESUME_EXAMPLES)]
pub struct ResumeArgs {
    /// The run directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Run this stage only; may be repeated
    #[arg(long, value_name = "STAGE")]
    only: Vec<String>,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Begins a run, or goes on with it where its directory holds it already.
pub fn run(args: RunArgs, printer: &Printer) -> anyhow::Result<()> {
    let plan = args.asked.plan()?;
    let pace = if args.asked.fast { "-fast" } else { "" };
    let dir = args.out.unwrap_or_else(|| Path::new("runs").join(format!("{}{pace}", plan.recipe.name)));
    let pipeline = Pipeline::create(plan, &dir).map_err(told)?;
    go(&pipeline, &args.only, args.device, printer)
}

/// Goes on with a run.
pub fn resume(args: ResumeArgs, printer: &Printer) -> anyhow::Result<()> {
    go(&Pipeline::open(&args.dir).map_err(told)?, &args.only, args.device, printer)
}

fn go(pipeline: &Pipeline, only: &[String], choice: DeviceChoice, printer: &Printer) -> anyhow::Result<()> {
    let device = eosin_training::device::select(choice).map_err(told)?;
    let dir = &pipeline.dir;
    printer.say(format!("training on {}; run directory {}", device.name, dir.display()));
    let mut watch = Progress::new(printer)?;
    let outcome = pipeline.run(only, &device.device, &mut watch);
    watch.end();
    // Also of a run that was stopped or broke: that is when one wants to see its curves.
    let report = report::write(dir);
    let ended = outcome.map_err(told)?;
    let [page, _] = report.map_err(told)?;
    if ended == Ended::Stopped {
        printer.say(format!(
            "stopped; a checkpoint was written. Go on with: eosin train resume {}",
            dir.display()
        ));
    }
    printer.line(page.display().to_string())
}
