//! `eosin search`: what in a library looks like a picture, a region of a slide, or words. Held true by
//! `tests/library.rs`.

use std::path::PathBuf;

use eosin_core::{Mpp, RegionScale, RgbTile};
use eosin_library::{Hit, Query, Recipe, SearchOptions, search};

use crate::command::library::{ClipArgs, FilterArgs, LibraryArgs};
use crate::command::slide::PlaceArgs;
use crate::printer::{NothingFound, Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin search --image crypt.png                            what looks like a picture
  eosin search --slide s.svs --region 12000,8000,448,448 --not-in s.svs
  eosin search \"mucosa with giant cells\" --stain he --top 5  what words describe
  eosin search --image a.png --tag cohort-1 --per-slide 2 --json | jq .path

Prints score, µm per pixel, stain (a guess where marked ?), tags, file and region, best first; one JSON object a line
with --json. Scores are cosines, to be compared with each other within one search and with nothing else.
Exit code 1: nothing was found.";

/// What was asked of `eosin search`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Words that describe what is looked for
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Picture to look for the like of
    #[arg(long, value_name = "FILE", conflicts_with = "words")]
    image: Option<PathBuf>,
    /// Slide to look for the like of, or of a region of it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["words", "image"])]
    slide: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Most hits
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// Most hits of one slide
    #[arg(long, value_name = "N")]
    per_slide: Option<usize>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    library: LibraryArgs,
    #[command(flatten)]
    clip: ClipArgs,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Most hits of a search.
const TOP_MAX: usize = 10_000;

/// Does it.
pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    if !(1..=TOP_MAX).contains(&args.top) {
        return Err(anyhow::anyhow!("--top must lie in 1…{TOP_MAX}"));
    }
    let query = match (&args.image, &args.slide) {
        (Some(image), _) => Query::Pixels(eosin_slide::load_picture(image).map_err(told)?),
        (None, Some(slide)) => Query::Pixels(read_region(&args.place, slide)?),
        (None, None) if args.words.is_empty() => {
            let hint = "give words, `--image`, or `--slide` with `--region`";
            return Err(advised("there is nothing to look for", hint));
        }
        (None, None) => Query::Words(args.words.join(" ")),
    };
    let filter = args.filter.filter()?;
    let library = args.library.open_existing(printer)?;
    let status = library.status().map_err(told)?;
    if status.n_item == 0 {
        let message = format!("the library is empty: {}", status.place);
        return Err(advised(message, "add slides or pictures with `eosin index add`"));
    }
    let (worker, model) = args.clip.spawn(printer)?;
    library.claim(&model.id).map_err(told)?;
    let options = SearchOptions { n_hit: args.top, n_per_slide: args.per_slide, filter };
    let hits = search(&*library, &worker, query, &options).map_err(told)?;
    if hits.is_empty() {
        return Err(NothingFound.into());
    }
    for hit in &hits {
        if args.json {
            printer.json(hit)?;
        } else {
            printer.line(row(hit))?;
        }
    }
    Ok(())
}

/// The region of a slide as tiles are read: at the scale of the recipe, where the slide states one.
fn read_region(place: &PlaceArgs, path: &std::path::Path) -> anyhow::Result<RgbTile> {
    let slide = place.open(path)?;
    let info = slide.info();
    let wanted = Recipe::default().um_per_px;
    let fine = info.mpp.is_some_and(|base| base.um_per_px() < wanted);
    let scale = match Mpp::new(wanted) {
        Ok(mpp) if fine => RegionScale::Mpp(mpp),
        _ => RegionScale::Downsample(1.0),
    };
    slide.read(&place.region(&slide, scale)?).map_err(told)
}

fn row(hit: &Hit) -> String {
    let scale = hit.um_per_px.map_or_else(|| "-".to_owned(), |um_per_px| format!("{um_per_px:.2}"));
    let guess = if hit.stain_stated { "" } else { "?" };
    let tags = if hit.tags.is_empty() { "-".to_owned() } else { hit.tags.join(",") };
    let region = hit.region.as_ref().map_or_else(String::new, |region| {
        let [left, top] = region.origin_base_px;
        let downsample = match region.scale {
            RegionScale::Downsample(downsample) => downsample,
            RegionScale::Mpp(_) => 1.0,
        };
        let [width, height] = region.size_px.map(|side| (f64::from(side) * downsample).round());
        format!("\t{left},{top},{width},{height}")
    });
    format!("{:.4}\t{scale}\t{}{guess}\t{tags}\t{}{region}", hit.score, hit.stain, hit.path.display())
}
