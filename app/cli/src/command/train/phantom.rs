//! `eosin train phantom`: drawn tissue with its truth, as a folder of pictures or as one slide.

use std::path::{Path, PathBuf};

use eosin_training::phantom::export::{self, Order};
use eosin_training::phantom::{Domain, Split, Style, slide};

use crate::printer::{Printer, told};

const EXAMPLES: &str = "\
Examples:
  eosin train phantom --out phantoms --count 100
  eosin train phantom --out held-out --count 20 --split held-out --size 252,168
  eosin train phantom --out elsewhere --count 100 --split held-out --domain out
  eosin train phantom --slide demo-slide.tif";

/// What was asked of `eosin train phantom`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write pictures, questions, answers and truth into this folder
    #[arg(long, value_name = "DIR", required_unless_present = "slide")]
    out: Option<PathBuf>,
    /// Write one slide of six regions instead
    #[arg(long, value_name = "FILE", conflicts_with = "out")]
    slide: Option<PathBuf>,
    /// How many pictures
    #[arg(long, default_value_t = 100, value_name = "N")]
    count: u64,
    /// Which picture of the split comes first; for a slide, which slide
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Whose seeds to draw from: training never sees validation or held-out ones
    #[arg(long, default_value = "train", value_name = "SPLIT")]
    split: SplitArg,
    /// In the laboratory of training, or in another: paler, blurred, larger, of another hue
    #[arg(long, default_value = "in", value_name = "DOMAIN")]
    domain: DomainArg,
    /// Width and height of the pictures in pixels
    #[arg(long, default_value = "168,168", value_parser = size, value_name = "W,H")]
    size: [u32; 2],
    /// Most questions about each picture
    #[arg(long, default_value_t = 4, value_name = "N")]
    questions: usize,
    /// How answers reason: full sentences or drafts of five words
    #[arg(long, default_value = "cot", value_name = "STYLE")]
    style: StyleArg,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum SplitArg {
    Train,
    Pretrain,
    Reinforce,
    Validation,
    HeldOut,
    Demo,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DomainArg {
    In,
    Out,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StyleArg {
    Cot,
    Cod,
}

/// Reads `W,H`.
fn size(text: &str) -> Result<[u32; 2], String> {
    let side = |text: &str| text.trim().parse::<u32>().ok().filter(|side| (16..=4096).contains(side));
    let sides = text.split_once(',').and_then(|(width, height)| Some([side(width)?, side(height)?]));
    sides.ok_or_else(|| "two sides of 16 to 4096 pixels are needed, for example 168,168".to_owned())
}

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    if let Some(path) = &args.slide {
        return write_slide(path, args.seed, printer);
    }
    let dir = args.out.unwrap_or_default();
    let split = match args.split {
        SplitArg::Train => Split::Train,
        SplitArg::Pretrain => Split::Pretrain,
        SplitArg::Reinforce => Split::Reinforce,
        SplitArg::Validation => Split::Validation,
        SplitArg::HeldOut => Split::HeldOut,
        SplitArg::Demo => Split::Demo,
    };
    let style = match args.style {
        StyleArg::Cot => Style::Cot,
        StyleArg::Cod => Style::Cod,
    };
    let order = Order {
        split,
        first_idx: args.seed,
        n_phantom: args.count,
        n_question: args.questions,
        style,
        size_px: args.size,
        domain: match args.domain {
            DomainArg::In => Domain::In,
            DomainArg::Out => Domain::Out,
        },
    };
    let bar = printer.progress(args.count);
    let written = export::write(&dir, &order, &mut |n_done| bar.set_position(n_done));
    bar.finish_and_clear();
    written.map_err(told)?;
    printer.say(format!("wrote {} phantoms to {}", args.count, dir.display()));
    Ok(())
}

fn write_slide(path: &Path, seed: u64, printer: &Printer) -> anyhow::Result<()> {
    let regions = slide::write(path, Split::Demo.seed(seed)).map_err(told)?;
    printer.say(format!("wrote {}", path.display()));
    for region in regions {
        let [left, top, width, height] = region.inner_px;
        printer.line(format!("{left},{top},{width},{height}  {}", region.name))?;
    }
    Ok(())
}
