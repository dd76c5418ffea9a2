//! `eosin annotate`: the annotations of a slide, in and out as GeoJSON, and a list of them.
//!
//! They are those of the window: kept by the slide's content in the data folder, so that a slide that was moved or
//! renamed has its own. Held true by `tests/annotate.rs`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use eosin_core::annotation::Shape;
use eosin_slide::Slide;
use eosin_workbench::annotation::{Opening, geojson};
use eosin_workbench::measure::{area_px2, length_px};
use eosin_workbench::{AnnotationBook, Feature, Measure, SaveState};
use serde_json::json;

use crate::environment;
use crate::printer::{NothingFound, Printer, told, told_by};

const EXAMPLES: &str = "\
Examples:
  eosin annotate import slide.svs from-qupath.geojson
  eosin annotate list slide.svs
  eosin annotate export slide.svs --out for-qupath.geojson
  eosin annotate export slide.svs --out - | jq '.features | length'

In QuPath: File > Export objects as GeoJSON (uncompressed), and drag a .geojson file onto an open image.";

/// What was asked of `eosin annotate`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add the annotations of a GeoJSON file; those that are there already are brought up to date
    Import(ImportArgs),
    /// Write the annotations as GeoJSON that QuPath reads
    Export(ExportArgs),
    /// List class, outline and size of each annotation
    List(ListArgs),
}

#[derive(clap::Args)]
struct ImportArgs {
    /// Slide or picture that is annotated
    slide: PathBuf,
    /// GeoJSON, as QuPath exports it
    file: PathBuf,
    /// Print what was done as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct ExportArgs {
    /// Slide or picture that is annotated
    slide: PathBuf,
    /// File to write, or - for stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct ListArgs {
    /// Slide or picture that is annotated
    slide: PathBuf,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Does it.
pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::Import(args) => import(&args, printer),
        Action::Export(args) => export(&args, printer),
        Action::List(args) => list(&args, printer),
    }
}

/// Opens the annotations of a slide, and says what had to be repaired.
pub(crate) fn open_book(slide: &Slide, printer: &Printer) -> anyhow::Result<AnnotationBook> {
    let folder = environment::data_dir().join("annotations");
    let (book, opening) = AnnotationBook::open(&folder, &slide.info().id).map_err(told)?;
    if let Opening::Repaired { kept_aside, n_kept, reason, .. } = opening {
        let aside = kept_aside.map(|path| format!("; the damaged file is {}", path.display()));
        printer.warn(format!(
            "warning: the annotations were damaged ({reason}); {n_kept} were kept{}",
            aside.unwrap_or_default()
        ));
    }
    Ok(book)
}

fn open(path: &Path, printer: &Printer) -> anyhow::Result<(Slide, AnnotationBook)> {
    let slide = Slide::open(path).map_err(told)?;
    let book = open_book(&slide, printer)?;
    Ok((slide, book))
}

fn import(args: &ImportArgs, printer: &Printer) -> anyhow::Result<()> {
    let (_, mut book) = open(&args.slide, printer)?;
    let done = book.import(&args.file).map_err(told)?;
    if let SaveState::Unsaved(error) = book.state() {
        return Err(told_by(error.as_ref()));
    }
    for refusal in &done.refused {
        printer.warn(format!("warning: feature {} is left out: {}", refusal.feature_idx, refusal.reason));
    }
    if args.json {
        return printer.json(&json!({
            "added": done.n_added,
            "replaced": done.n_replaced,
            "unchanged": done.n_unchanged,
            "holed": done.n_holed,
            "split": done.n_split,
            "refused": done.n_refused,
        }));
    }
    let mut line = format!(
        "{} new, {} brought up to date, {} as they were",
        done.n_added, done.n_replaced, done.n_unchanged
    );
    for (n, what) in [
        (done.n_refused, "left out"),
        (done.n_split, "of several parts, each an annotation now"),
        (done.n_holed, "with holes"),
    ] {
        if n > 0 {
            line.push_str(&format!("; {n} {what}"));
        }
    }
    printer.line(line)
}

fn export(args: &ExportArgs, printer: &Printer) -> anyhow::Result<()> {
    let (_, book) = open(&args.slide, printer)?;
    if book.features().is_empty() {
        return Err(NothingFound.into());
    }
    if args.out.as_os_str() == "-" {
        let mut bytes = Vec::new();
        geojson::write(book.features(), &mut bytes)?;
        return printer.bytes(&bytes);
    }
    book.export(&args.out).map_err(told)?;
    printer.say(format!("wrote {} annotations to {}", book.features().len(), args.out.display()));
    Ok(())
}

fn list(args: &ListArgs, printer: &Printer) -> anyhow::Result<()> {
    let (slide, book) = open(&args.slide, printer)?;
    if book.features().is_empty() {
        return Err(NothingFound.into());
    }
    let measure = Measure::of(slide.info());
    for feature in book.features() {
        if args.json {
            printer.json(&described(feature, &measure))?;
            continue;
        }
        let annotation = &feature.annotation;
        let class = annotation.class.as_ref().map_or("-", |class| class.name.as_str());
        let (kind, size) = (kind_of(&annotation.shape), measure.describe(feature));
        let title =
            if annotation.title.is_empty() { String::new() } else { format!("  {}", annotation.title) };
        printer.line(format!("{}  {class:<14} {kind:<9} {size}{title}", annotation.id.0))?;
    }
    Ok(())
}

fn described(feature: &Feature, measure: &Measure) -> serde_json::Value {
    let annotation = &feature.annotation;
    let (origin, size) = annotation.shape.bounds();
    let um_per_px = measure.um_per_px();
    let length = length_px(&annotation.shape);
    let area = area_px2(feature);
    json!({
        "id": annotation.id,
        "shape": kind_of(&annotation.shape),
        "class": annotation.class.as_ref().map(|class| &class.name),
        "title": annotation.title,
        "note": annotation.note,
        "color": annotation.color,
        "box_base_px": [origin[0], origin[1], size[0], size[1]],
        "length_px": length,
        "area_px2": area,
        "length_um": length.zip(um_per_px).map(|(length, um)| length * um),
        "area_um2": area.zip(um_per_px).map(|(area, um)| area * um * um),
        "n_hole": feature.holes.len(),
    })
}

fn kind_of(shape: &Shape) -> &'static str {
    match shape {
        Shape::Point { .. } => "point",
        Shape::Line { .. } => "line",
        Shape::Rectangle { .. } => "rectangle",
        Shape::Polygon { .. } => "polygon",
        Shape::Freehand { .. } => "freehand",
    }
}
