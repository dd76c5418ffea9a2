//! `eosin train plan`: what a pipeline would do, what it would take, and how long.

use eosin_core::DeviceChoice;
use eosin_training::outlook::{self, Outlook};

use super::run::Asked;
use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train plan training/recipes/demo/pipeline.toml
  eosin train plan pipeline.toml --measure 3
  eosin train plan pipeline.toml --toml > resolved.toml";

/// What was asked of `eosin train plan`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    asked: Asked,
    /// Take so many steps of every stage in a temporary folder, for time and memory
    #[arg(long, value_name = "STEPS")]
    measure: Option<u64>,
    /// Print the recipe with every default spelt out instead
    #[arg(long)]
    toml: bool,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let plan = args.asked.plan()?;
    if args.toml {
        return printer.piece(&toml::to_string_pretty(&plan.recipe)?);
    }
    let mut stages = outlook::outlook(&plan).map_err(told)?;
    if let Some(n_step) = args.measure {
        let device = eosin_training::device::select(args.device).map_err(told)?;
        let bar = printer.progress(stages.len() as u64);
        for stage in &mut stages {
            // Dropped, and thereby removed, before the next one needs the disk.
            let scratch = tempfile::tempdir()?;
            let found =
                outlook::measure(&plan, &stage.name, n_step, &scratch.path().join("run"), &device.device);
            stage.measured = Some(found.map_err(told)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
    }
    printer.line(format!("{}: {} stages, seed {}", plan.recipe.name, stages.len(), plan.recipe.seed))?;
    for stage in &stages {
        describe(stage, printer)?;
    }
    let whole: Option<f64> = stages.iter().map(Outlook::secs).sum();
    if let Some(secs) = whole {
        printer.line(format!("\nall stages: about {}", duration(secs)))
    } else {
        printer.say(
            "\nActivations and time are found with --measure 3, which takes three steps of every stage.",
        );
        Ok(())
    }
}

fn describe(stage: &Outlook, printer: &Printer) -> anyhow::Result<()> {
    printer.line(format!("\n{} ({}, from {})", stage.name, stage.kind.name(), stage.from))?;
    let n_sample = stage.n_step * stage.samples_per_step as u64;
    let limit = if stage.max_minutes > 0.0 {
        format!(", {} minutes at most", stage.max_minutes)
    } else {
        String::new()
    };
    printer.line(format!(
        "  steps       {} of {} samples: {n_sample} samples{limit}",
        stage.n_step, stage.samples_per_step
    ))?;
    for (name, n, share) in &stage.sources {
        let passes = n_sample as f64 * share / (*n).max(1) as f64;
        printer.line(format!(
            "  data        {name}: {n} samples, {:.0} % of a step, {passes:.2} passes",
            share * 100.0
        ))?;
    }
    if stage.n_unreadable > 0 {
        printer.line(format!("  unreadable  {} rows", stage.n_unreadable))?;
    }
    if let (Some(n_parameter), Some(bytes)) = (stage.n_parameter, stage.state_bytes) {
        let size = eosin_weights::convert::size_label(n_parameter);
        printer.line(format!("  parameters  {size}; {} with gradients and moments", mebibytes(bytes)))?;
    }
    if let Some(measured) = stage.measured {
        let secs = stage.secs().unwrap_or_default();
        let rate = format!("{:.2} s a step, about {} in all", measured.secs_per_step, duration(secs));
        printer.line(format!("  time        {rate}"))?;
        if let Some(bytes) = measured.peak_bytes {
            printer.line(format!("  memory      {} at most", mebibytes(bytes)))?;
        }
    }
    Ok(())
}

fn mebibytes(n_byte: u64) -> String {
    let mebibytes = n_byte as f64 / f64::from(1 << 20);
    if mebibytes >= 1024.0 { format!("{:.1} GiB", mebibytes / 1024.0) } else { format!("{mebibytes:.0} MiB") }
}

fn duration(secs: f64) -> String {
    match secs {
        ..90.0 => format!("{secs:.0} s"),
        90.0..5400.0 => format!("{:.0} min", secs / 60.0),
        _ => format!("{:.1} h", secs / 3600.0),
    }
}
