//! `eosin train sft`: a recipe in, a run directory with checkpoints and a bundle out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_training::metrics::{StepMetrics, ValidationMetrics};
use eosin_training::recipe::{Plan, Recipe};
use eosin_training::sft::{Run, Start, Watch};

use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train sft --recipe training/recipes/demo-sft.toml --out runs/demo
  eosin train sft --recipe training/recipes/demo-sft.toml --out runs/demo --resume
  eosin train sft --recipe training/recipes/demo-sft.toml --set optim.steps=50 --set seed=2 --out runs/short";

/// What was asked of `eosin train sft`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The recipe; with --resume the run directory's own plan is used where this is left out
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    /// Change one value of the recipe; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// The run directory [default: runs/<name of the recipe>]
    #[arg(long, value_name = "DIR", required_unless_present = "recipe")]
    out: Option<PathBuf>,
    /// Go on from the newest whole checkpoint of the run directory
    #[arg(long)]
    resume: bool,
    /// Only write the bundle of the newest checkpoint
    #[arg(long, requires = "resume")]
    export_only: bool,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let plan = plan(&args)?;
    let dir = args.out.unwrap_or_else(|| PathBuf::from("runs").join(&plan.recipe.name));
    let device = eosin_training::device::select(args.device).map_err(told)?;
    printer.say(format!("training on {}; run directory {}", device.name, dir.display()));
    let mut watch = Progress::new(&plan, printer);
    let start = if args.resume { Start::Resume } else { Start::Fresh };
    let mut run = Run::open(plan, &dir, start, &device.device, &mut watch).map_err(told)?;
    if !args.export_only {
        let outcome = run.train(&mut watch);
        watch.bar.finish_and_clear();
        outcome.map_err(told)?;
    }
    let bundle = dir.join("bundle");
    let recipe = eosin_weights::convert::Recipe::Q8_0;
    eosin_training::export::bundle::write(&run, recipe, &bundle).map_err(told)?;
    let state = run.state();
    printer.say(format!("{} steps, {} tokens; wrote the bundle", state.step, state.n_token));
    printer.line(bundle.display().to_string())
}

fn plan(args: &Args) -> anyhow::Result<Plan> {
    if let Some(recipe) = &args.recipe {
        return Recipe::read(recipe, &args.settings).and_then(Recipe::resolve).map_err(told);
    }
    anyhow::ensure!(args.settings.is_empty(), "--set needs --recipe: a run that is resumed keeps its plan");
    let dir = args.out.as_ref().context("neither --recipe nor --out")?;
    Plan::read(&dir.join("plan.toml")).map_err(told)
}

/// Shows the run on stderr: a bar on a terminal, a line now and then elsewhere.
struct Progress<'a> {
    printer: &'a Printer,
    bar: indicatif::ProgressBar,
    every: u64,
}

impl<'a> Progress<'a> {
    fn new(plan: &Plan, printer: &'a Printer) -> Self {
        // Parts per thousand, because a run may end by the clock as well as by its steps.
        let bar = printer.progress(1000);
        let style =
            indicatif::ProgressStyle::with_template("{wide_bar} {percent} % {elapsed}, {prefix} left  {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self { printer, bar, every: (plan.recipe.optim.steps / 100).clamp(1, 25) }
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            self.printer.say(text);
        } else {
            self.bar.println(text);
        }
    }
}

impl Watch for Progress<'_> {
    fn step(&mut self, metrics: &StepMetrics) {
        let left_secs = metrics.elapsed_secs * (1.0 - metrics.progress) / metrics.progress.max(1e-6);
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left_secs.min(1e7)));
        let text = format!(
            "step {} loss {:.4} accuracy {:.3} norm {:.2} lr {:.1e} {:.0} tokens/s {:.1} pictures/s",
            metrics.step,
            metrics.loss,
            metrics.mean_token_accuracy,
            metrics.grad_norm,
            metrics.learning_rate,
            metrics.tokens_per_second,
            metrics.images_per_second,
        );
        self.bar.set_position((metrics.progress * 1000.0) as u64);
        self.bar.set_prefix(left.to_string());
        self.bar.set_message(text.clone());
        if self.bar.is_hidden() && (metrics.step <= 5 || metrics.step.is_multiple_of(self.every)) {
            self.printer.say(format!("{text} {left} left"));
        }
    }

    fn validation(&mut self, metrics: &ValidationMetrics) {
        self.say(&format!(
            "step {}: validation loss {:.4}, {:.1} % of {} questions right, {:.1} % in form, {:.0} s",
            metrics.step,
            metrics.eval_loss,
            metrics.eval_accuracy * 100.0,
            metrics.eval_questions,
            metrics.eval_format * 100.0,
            metrics.eval_runtime,
        ));
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }
}
