//! `eosin classify`: which of some named classes the tiles of a slide are most like. Held true by
//! `tests/library.rs`.

use std::path::PathBuf;

use anyhow::Context as _;
use eosin_core::Mpp;
use eosin_library::{ClassifyOptions, Heatmap, HeatmapView, classify};
use eosin_slide::Slide;

use crate::command::index::RecipeArgs;
use crate::command::library::ClipArgs;
use crate::printer::{Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin classify s.svs --class \"tumour\" --class \"normal mucosa\" --class \"fat\"
  eosin classify s.svs --class tumour --class stroma --heatmap map.png
  eosin classify s.svs --class tumour --class stroma --csv > tiles.csv
  eosin classify s.svs --class tumour --class stroma --json | jq .shares

Every class is compared with the others named, and with nothing else: probabilities say which of them a tile is most
like, not that it is one of them. `{}` in a --prompt stands for the class.";

/// What was asked of `eosin classify`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Slide or picture
    slide: PathBuf,
    /// A class, in words; give at least two
    #[arg(long, value_name = "WORDS", required = true)]
    class: Vec<String>,
    /// Sentence for a class; may be given several times, their embeddings are averaged
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// µm per pixel of level 0, where the file does not state it
    #[arg(long, value_name = "MPP")]
    assume_mpp: Option<f64>,
    /// Write the classes over a picture of the slide, as PNG
    #[arg(long, value_name = "FILE")]
    heatmap: Option<PathBuf>,
    /// Longest side of the heatmap in pixels
    #[arg(long, value_name = "PX", default_value_t = 2048)]
    max: u32,
    /// Show the probability of this class alone in the heatmap
    #[arg(long, value_name = "CLASS")]
    show: Option<String>,
    /// Print one row a tile as CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    clip: ClipArgs,
}

/// Does it.
pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    if args.class.len() < 2 {
        return Err(advised(
            "one class alone is always the most probable",
            "name at least two with `--class`",
        ));
    }
    let view = match &args.show {
        None => HeatmapView::Winner,
        Some(show) => {
            let class = args.class.iter().position(|class| class == show);
            HeatmapView::Class(class.with_context(|| format!("`{show}` is none of the classes"))?)
        }
    };
    if let Some(prompt) = args.prompt.iter().find(|prompt| !prompt.contains("{}")) {
        return Err(advised(format!("the prompt names no class: {prompt}"), "put `{}` where the class goes"));
    }
    let mut options = ClassifyOptions { recipe: args.recipe.recipe()?, ..ClassifyOptions::default() };
    if !args.prompt.is_empty() {
        options.prompts.clone_from(&args.prompt);
    }
    let mut slide = Slide::open(&args.slide).map_err(told)?;
    if let Some(um_per_px) = args.assume_mpp {
        slide = slide.with_mpp(Mpp::new(um_per_px).context("--assume-mpp")?);
    }
    let (worker, _model) = args.clip.spawn(printer)?;
    let bar = printer.progress(0);
    let mut progress = |n_done: usize, n_total: usize| {
        bar.set_length(n_total as u64);
        bar.set_position(n_done as u64);
    };
    let outcome = classify(&slide, &worker, &args.class, &options, &mut progress, &|| false);
    bar.finish_and_clear();
    let heatmap = outcome.map_err(told)?;
    if let Some(out) = &args.heatmap {
        let bytes = heatmap.png(&slide, args.max, view).map_err(told)?;
        std::fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))?;
        printer.say(format!("wrote {}", out.display()));
    }
    if heatmap.n_unreadable > 0 {
        printer.say(format!("{} tiles cannot be read", heatmap.n_unreadable));
    }
    if args.json {
        return printer.json(&Answer { tiles: tiles(&heatmap), heatmap: &heatmap });
    }
    if args.csv {
        return printer.piece(&heatmap.csv());
    }
    for (class, share) in heatmap.classes.iter().zip(&heatmap.shares) {
        printer.line(format!("{share:.4}\t{class}"))?;
    }
    printer.say(format!("shares of {} tiles with tissue", heatmap.n_tile));
    Ok(())
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    heatmap: &'a Heatmap,
    tiles: Vec<TileRow<'a>>,
}

/// A tile for those who need no grid.
#[derive(serde::Serialize)]
struct TileRow<'a> {
    x: u32,
    y: u32,
    class: &'a str,
    probabilities: &'a [f32],
}

fn tiles(heatmap: &Heatmap) -> Vec<TileRow<'_>> {
    let row = |tile: eosin_library::HeatmapTile<'_>| (tile.origin_base_px, tile.winner);
    let places = heatmap.tiles().map(row);
    let probabilities = heatmap.probabilities.iter().flatten();
    places
        .zip(probabilities)
        .map(|(([x, y], winner), probabilities)| TileRow {
            x,
            y,
            class: &heatmap.classes[winner],
            probabilities,
        })
        .collect()
}
