//! `eosin train evaluate-clip`: what a CLIP is worth, on held-out drawn pairs and on labelled pictures.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use eosin_core::DeviceChoice;
use eosin_training::clip::bundle::{self, About};
use eosin_training::clip::evaluate::{Measures, SHOTS, measure_bundle};
use eosin_training::clip::folder::ClipFolder;
use eosin_training::clip::probe::to_csv;
use eosin_training::data::Source;
use eosin_training::folder::FINAL;
use eosin_training::phantom::{Content, Domain, PhantomSource, Split};
use eosin_training::pipeline::Pipeline;

use crate::printer::{Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin train evaluate-clip --model assets/demo/clip --pairs 600
  eosin train evaluate-clip --model assets/demo/clip --patches tissue/ --shots --json clip.json
  eosin train evaluate-clip --model clip-bundle --pairs 600 --patches tissue/ --state runs/demo --stage clip-2";

/// What was asked of `eosin train evaluate-clip`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The CLIP: a bundle, a Hugging Face or `open_clip` folder, or one weight file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Held-out drawn pairs for retrieval and naming
    #[arg(long, default_value_t = 0, value_name = "N")]
    pairs: u64,
    /// Side of the drawn pictures
    #[arg(long, default_value_t = 168, value_name = "PX")]
    image_px: u32,
    /// Pictures as another laboratory would stain and photograph them
    #[arg(long)]
    out_of_domain: bool,
    /// Folder of labelled pictures: labels*.csv, train/ and test/ with a folder a class, or folders of classes
    #[arg(long, value_name = "DIR")]
    patches: Option<PathBuf>,
    /// Prompt file (CONCH's form) by which the labelled pictures are named
    #[arg(long, value_name = "FILE", requires = "patches")]
    prompts: Option<PathBuf>,
    /// Also probe with 2 to 128 shots a class, ten draws each
    #[arg(long, requires = "patches")]
    shots: bool,
    /// Write the few-shot table as CSV
    #[arg(long, value_name = "FILE", requires = "shots")]
    csv: Option<PathBuf>,
    /// Also write all figures to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run directory that the bundle came from: state the figures in its card and seal it anew
    #[arg(long, value_name = "RUN", requires = "stage")]
    state: Option<PathBuf>,
    /// Stage of that run
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Where to compute: auto, cpu, wgpu[:N] or cuda[:N]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: DeviceChoice,
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    if args.pairs == 0 && args.patches.is_none() {
        return Err(advised("there is nothing to measure on", "give `--pairs N`, `--patches DIR`, or both"));
    }
    let command = typed(&args);
    let pairs = (args.pairs > 0).then(|| {
        let (domain, name) = if args.out_of_domain {
            (Domain::Out, "held-out drawn tissue of another laboratory")
        } else {
            (Domain::In, "held-out drawn tissue")
        };
        let source = PhantomSource {
            split: Split::HeldOut,
            n_sample: args.pairs,
            domain,
            image_px: args.image_px,
            content: Content::Captions,
        };
        (Arc::new(source) as Arc<dyn Source>, name.to_owned())
    });
    let measures = Measures {
        pairs,
        n_pair: args.pairs,
        tags: vec!["subfield".to_owned()],
        patches: args.patches,
        prompts: args.prompts,
        shots: if args.shots { SHOTS.to_vec() } else { Vec::new() },
        command,
    };
    let report = measure_bundle(&args.model, args.device, &measures).map_err(told)?;
    printer.line(report.to_markdown())?;
    if let Some(path) = &args.json {
        let mut text = serde_json::to_string_pretty(&report)?;
        text.push('\n');
        std::fs::write(path, text)
            .with_context(|| format!("cannot write the report to {}", path.display()))?;
    }
    if let (Some(path), Some(tissue)) = (&args.csv, &report.tissue) {
        let rows = tissue.features.first().map(|row| row.few_shot.as_slice()).unwrap_or_default();
        std::fs::write(path, to_csv(&tissue.folder, rows))
            .with_context(|| format!("cannot write the table to {}", path.display()))?;
    }
    if let (Some(dir), Some(stage)) = (&args.state, &args.stage) {
        let pipeline = Pipeline::open(dir).map_err(told)?;
        let about = About::of_stage(&pipeline, stage).map_err(told)?;
        let device = eosin_training::device::select(DeviceChoice::Cpu).map_err(told)?;
        let clip = ClipFolder::open(&pipeline.stage_dir(stage).join(FINAL), &device.device).map_err(told)?;
        bundle::state_figures(&clip, &about, Some(&report), &args.model).map_err(told)?;
    }
    Ok(())
}

/// As it would be typed again; folders by their own name, never by a path of this machine.
fn typed(args: &Args) -> String {
    let name =
        |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut text = format!("eosin train evaluate-clip --model {}", name(&args.model));
    if args.pairs > 0 {
        let _ = write!(text, " --pairs {} --image-px {}", args.pairs, args.image_px);
    }
    if args.out_of_domain {
        text += " --out-of-domain";
    }
    for (flag, path) in [("patches", &args.patches), ("prompts", &args.prompts)] {
        if let Some(path) = path {
            let _ = write!(text, " --{flag} {}", name(path));
        }
    }
    if args.shots {
        text += " --shots";
    }
    text
}
