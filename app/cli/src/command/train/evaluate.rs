//! `eosin train evaluate`: questions about phantoms that were never trained on, scored against their truth.

use std::path::PathBuf;

use eosin_core::DeviceChoice;
use eosin_training::evaluate::Report;
use eosin_training::evaluate::session::{Examination, examine};
use eosin_training::phantom::Split;

use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train evaluate --bundle assets/demo --seeds test --count 200 --json evaluation.json
  eosin train evaluate --bundle runs/demo/bundle --seeds validation --count 20";

/// Which phantoms are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Seeds {
    /// Never looked at during training
    Test,
    /// Looked at during training, to choose checkpoints
    Validation,
}

/// What was asked of `eosin train evaluate`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The bundle folder
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Which phantoms are shown
    #[arg(long, value_enum, default_value = "test")]
    seeds: Seeds,
    /// Number of phantoms; every clear-cut question about each is asked
    #[arg(long, default_value_t = 100, value_name = "N")]
    count: u64,
    /// Index of the first phantom
    #[arg(long, default_value_t = 0, value_name = "N")]
    first: u64,
    /// Training phantoms that the baselines learn from
    #[arg(long, default_value_t = 500, value_name = "N")]
    baseline_count: u64,
    /// Side of the pictures
    #[arg(long, default_value_t = 168, value_name = "PX")]
    image_px: u32,
    /// Also write the report to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    let split = match args.seeds {
        Seeds::Test => Split::HeldOut,
        Seeds::Validation => Split::Validation,
    };
    let seeds = match args.seeds {
        Seeds::Test => "test",
        Seeds::Validation => "validation",
    };
    // As it would be typed again; the folder is named as the repository has it, never by an absolute path.
    let folder = args.bundle.file_name().map_or("bundle".into(), |name| name.to_string_lossy().into_owned());
    let command = format!(
        "eosin train evaluate --bundle assets/{folder} --seeds {seeds} --first {} --count {} --baseline-count {}",
        args.first, args.count, args.baseline_count
    );
    let examination = Examination {
        split,
        first: args.first,
        n_phantom: args.count,
        n_baseline: args.baseline_count,
        image_px: args.image_px,
        device: args.device,
        command,
    };
    let bar = printer.progress(args.count);
    let report = examine(&args.bundle, &examination, |n_done| bar.set_position(n_done)).map_err(told)?;
    bar.finish_and_clear();
    show(&report, printer)?;
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        std::fs::write(path, text).map_err(|error| {
            anyhow::Error::new(error).context(format!("cannot write the report to {}", path.display()))
        })?;
    }
    Ok(())
}

fn show(report: &Report, printer: &Printer) -> anyhow::Result<()> {
    let line = |name: &str, scores: &eosin_training::evaluate::Scores| {
        printer.line(format!(
            "{name}\t{}\tchance {:.1} %\tmajority {:.1} %\tnearest colours {:.1} %",
            scores.model.to_words(),
            scores.chance * 100.0,
            scores.majority * 100.0,
            scores.colour_histogram * 100.0
        ))
    };
    line("all", &report.overall)?;
    for (name, scores) in report.by_form.iter().chain(&report.by_topic) {
        line(name, scores)?;
    }
    printer.line(format!("in form\t{}", report.form.to_words()))?;
    printer.line(format!("mean answer\t{:.1} tokens", report.mean_output_tokens))?;
    printer.say(report.notice);
    Ok(())
}
