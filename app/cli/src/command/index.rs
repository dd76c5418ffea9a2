//! `eosin index`: what a library of similar images holds, and bringing it up to date.
//!
//! A run can be broken off at any moment, by Ctrl-C, a kill or a power cut, and goes on where it was. Held true by
//! `tests/library.rs`, which kills it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Subcommand;
use eosin_core::SlideId;
use eosin_core::annotation::Annotation;
use eosin_library::{
    AnnotationsOf, Entry, EntryState, IndexOptions, IndexProgress, Indexing, Library, LibraryError,
    NewSource, Recipe, Source, SourceId, Stain, TagOwner, Tally,
};
use eosin_workbench::AnnotationBook;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::command::library::{ClipArgs, LibraryArgs};
use crate::environment;
use crate::printer::{NothingFound, Printer, advised, told, told_by};

const EXAMPLES: &str = "\
Examples:
  eosin index add slides/                          index all slides and pictures in a folder
  eosin index add a.svs b.svs --tag cohort-1 --mpp 1
  eosin index add slides/ --later                  only note the folder; `eosin index build` indexes it
  eosin index build                                take up where it was broken off; new and changed files only
  eosin index status --json
  eosin index tag a.svs --add review --stain ihc
  eosin index remove slides/
  eosin index add slides/ --library postgres://eosin@host/images

Slides are cut into tiles with tissue, small pictures are taken whole, and what was marked on a slide is taken with
its class as a tag. A slide that states no scale is read at --downsample. Ctrl-C stops after the batch at hand.";

/// What was asked of `eosin index`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add folders, slides or pictures, and index them
    Add(AddArgs),
    /// Bring the library up to date with its places
    Build(BuildArgs),
    /// Say what is in the library
    Status(StatusArgs),
    /// Remove places or files from the library; the files themselves stay
    Remove(RemoveArgs),
    /// Put tags on a place or file, or say how it is stained
    Tag(TagArgs),
}

#[derive(clap::Args)]
struct AddArgs {
    /// Folders, with all below them, or files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    library: LibraryArgs,
    #[command(flatten)]
    clip: ClipArgs,
    /// Tag of all that is found there; may be given several times
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Only note the places; `eosin index build` indexes them
    #[arg(long)]
    later: bool,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

/// What is made of a slide.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct RecipeArgs {
    /// µm per pixel of the tiles; coarser slides are read as they are
    #[arg(long, default_value_t = Recipe::default().um_per_px)]
    mpp: f64,
    /// Base pixels per pixel of the tiles, on slides that state no scale
    #[arg(long, default_value_t = Recipe::default().downsample)]
    downsample: f64,
    /// Side of a tile in pixels
    #[arg(long, value_name = "PX", default_value_t = Recipe::default().tile_px)]
    tile_px: u32,
    /// Share of tissue that a tile must have, 0…1
    #[arg(long, value_name = "SHARE", default_value_t = Recipe::default().tissue_share)]
    tissue: f32,
}

impl RecipeArgs {
    /// The recipe asked for.
    ///
    /// # Errors
    /// Values that make no tiles.
    pub(crate) fn recipe(&self) -> anyhow::Result<Recipe> {
        eosin_core::Mpp::new(self.mpp).context("--mpp")?;
        let sound = (1.0..=1000.0).contains(&self.downsample)
            && (16..=4096).contains(&self.tile_px)
            && (0.0..=1.0).contains(&self.tissue);
        if !sound {
            let message = "--downsample must lie in 1…1000, --tile-px in 16…4096, --tissue in 0…1";
            return Err(anyhow::anyhow!(message));
        }
        Ok(Recipe {
            um_per_px: self.mpp,
            downsample: self.downsample,
            tile_px: self.tile_px,
            tissue_share: self.tissue,
            ..Recipe::default()
        })
    }
}

#[derive(clap::Args)]
struct BuildArgs {
    #[command(flatten)]
    library: LibraryArgs,
    #[command(flatten)]
    clip: ClipArgs,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    library: LibraryArgs,
    /// List every file
    #[arg(long)]
    files: bool,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct RemoveArgs {
    /// Places or files, as they were added or found
    #[arg(value_name = "PATH", required_unless_present = "vanished")]
    paths: Vec<PathBuf>,
    /// All files that are no longer there
    #[arg(long)]
    vanished: bool,
    #[command(flatten)]
    library: LibraryArgs,
}

#[derive(clap::Args)]
struct TagArgs {
    /// A place or file of the library
    path: PathBuf,
    /// Tag to put on it; may be given several times
    #[arg(long, value_name = "TAG")]
    add: Vec<String>,
    /// Tag to take away; may be given several times
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
    /// How it is stained: he, ihc, fluorescence, other; `guess` goes back to the guess
    #[arg(long)]
    stain: Option<String>,
    #[command(flatten)]
    library: LibraryArgs,
}

/// Does it.
pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::Add(args) => add(&args, printer),
        Action::Build(args) => {
            let library = args.library.open_existing(printer)?;
            if library.sources().map_err(told)?.is_empty() {
                return Err(advised("the library has no places", "add some with `eosin index add`"));
            }
            build(library, &args.clip, Vec::new(), args.json, printer)
        }
        Action::Status(args) => status(&args, printer),
        Action::Remove(args) => remove(&args, printer),
        Action::Tag(args) => tag(&args, printer),
    }
}

fn add(args: &AddArgs, printer: &Printer) -> anyhow::Result<()> {
    let recipe = args.recipe.recipe()?;
    let mut places = Vec::new();
    for path in &args.paths {
        // By its full name, so that the library means the same wherever it is asked from.
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        places.push(NewSource { path, recipe, tags: args.tag.clone() });
    }
    let library = args.library.open(printer)?;
    let mut sources = Vec::new();
    for place in &places {
        sources.push(library.add_source(place).map_err(told)?);
    }
    if args.later {
        printer.say(format!("noted {} places; `eosin index build` indexes them", sources.len()));
        return Ok(());
    }
    build(library, &args.clip, sources, args.json, printer)
}

fn build(
    library: Arc<dyn Library>,
    clip: &ClipArgs,
    sources: Vec<SourceId>,
    json: bool,
    printer: &Printer,
) -> anyhow::Result<()> {
    let (worker, model) = clip.spawn(printer)?;
    library.claim(&model.id).map_err(told)?;
    let options = IndexOptions { sources, annotations: Some(annotations()) };
    let stop = listen()?;
    let clock = Instant::now();
    let indexing = Indexing::start(library, worker, options);
    let outcome = watch(&indexing, &stop, printer);
    let (tally, secs) = (indexing.tally(), clock.elapsed().as_secs_f64());
    tell(&tally, printer);
    if json {
        let mut value = serde_json::to_value(&tally)?;
        value["secs"] = secs.into();
        printer.json(&value)?;
    }
    match outcome {
        Ok(()) if tally.n_file == 0 => Err(NothingFound.into()),
        Ok(()) => Ok(()),
        Err(error) if matches!(*error, LibraryError::Stopped) => {
            Err(advised("stopped before the end", "`eosin index build` goes on from here"))
        }
        Err(error) => Err(told_by(&*error)),
    }
}

/// What was marked on slides, from the folder that the windows write.
fn annotations() -> AnnotationsOf {
    let folder = environment::data_dir().join("annotations");
    Arc::new(move |slide: &SlideId| -> Vec<Annotation> {
        // A file that cannot be read is the viewer's to tell; its slide is indexed without.
        AnnotationBook::open(&folder, slide)
            .map(|(book, _)| book.list().cloned().collect())
            .unwrap_or_default()
    })
}

/// Ctrl-C asks for a stop; a second one ends the program at once.
fn listen() -> anyhow::Result<Arc<AtomicBool>> {
    const INTERRUPTED: i32 = 130;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag that the first one set.
        flag::register_conditional_shutdown(signal, INTERRUPTED, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("cannot listen to Ctrl-C")?;
    }
    Ok(stop)
}

/// Between two lines where there is no bar.
const QUIET: Duration = Duration::from_secs(20);

fn watch(indexing: &Indexing, stop: &AtomicBool, printer: &Printer) -> Result<(), Arc<LibraryError>> {
    let bar = printer.progress(1000);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:24} {percent:>3} %  {msg}") {
        bar.set_style(style.progress_chars("━━╌"));
    }
    let mut last_told = Instant::now();
    let mut n_told = 0;
    loop {
        let progress = indexing.progress();
        if progress.state.is_end() {
            bar.finish_and_clear();
            return indexing.wait().map(|_tally| ());
        }
        if stop.load(Ordering::SeqCst) {
            indexing.stop();
        }
        let text = line(&progress);
        bar.set_position(progress.n_done * 1000 / progress.n_total.max(1));
        bar.set_message(text.clone());
        if bar.is_hidden() && progress.n_done > n_told && (n_told == 0 || last_told.elapsed() >= QUIET) {
            (last_told, n_told) = (Instant::now(), progress.n_done);
            printer.say(text);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn line(progress: &IndexProgress) -> String {
    let IndexProgress { n_done, n_total, n_file_done, n_file_total, tiles_per_sec, secs_left, .. } = progress;
    let left = secs_left.map(|secs| format!("  {} left", words(secs))).unwrap_or_default();
    format!("{n_done}/{n_total} tiles  {n_file_done}/{n_file_total} files  {tiles_per_sec:.0} tiles/s{left}")
}

fn words(secs: f64) -> String {
    let secs = secs.clamp(0.0, 1e8) as u64;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs.div_ceil(60)),
        _ => format!("{} h {:02} min", secs / 3600, secs % 3600 / 60),
    }
}

/// Reasons that are told one by one.
const N_REASON: usize = 20;

fn tell(tally: &Tally, printer: &Printer) {
    for skip in tally.skips.iter().take(N_REASON) {
        printer.say(format!("skipped {}: {}", skip.path.display(), skip.reason));
    }
    if tally.n_skip as usize > N_REASON {
        printer.say(format!("and {} more", tally.n_skip as usize - N_REASON));
    }
    printer.say(format!(
        "{} files: {} indexed with {} tiles and pictures, {} unchanged, {} skipped, {} gone",
        tally.n_file, tally.n_indexed, tally.n_item, tally.n_unchanged, tally.n_skip, tally.n_vanished
    ));
}

fn status(args: &StatusArgs, printer: &Printer) -> anyhow::Result<()> {
    let library = args.library.open_existing(printer)?;
    let status = library.status().map_err(told)?;
    let sources = library.sources().map_err(told)?;
    let entries = if args.files { library.entries(None).map_err(told)? } else { Vec::new() };
    if args.json {
        let mut value = serde_json::to_value(&status)?;
        value["sources"] = serde_json::to_value(&sources)?;
        if args.files {
            value["files"] = serde_json::to_value(&entries)?;
        }
        return printer.json(&value);
    }
    printer.line(format!("library        {}", status.place))?;
    let model = status.model.as_ref().map_or("none yet", |model| model.name.as_str());
    printer.line(format!("model          {model}"))?;
    printer.line(format!(
        "files          {} done, {} begun, {} skipped, {} gone",
        status.n_done, status.n_partial, status.n_failed, status.n_vanished
    ))?;
    printer.line(format!("items          {}", status.n_item))?;
    for (stain, n) in &status.stains {
        printer.line(format!("stain (guess)  {stain}: {n} files"))?;
    }
    for (tag, n) in &status.tags {
        printer.line(format!("tag            {tag}: {n} items"))?;
    }
    for Source { path, n_entry, n_item, .. } in &sources {
        printer.line(format!("place          {n_entry} files, {n_item} items: {}", path.display()))?;
    }
    for Entry { path, state, n_item, stain, stain_stated, reason, .. } in &entries {
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let guess = if *stain_stated { "" } else { "?" };
        printer.line(format!("{}\t{n_item}\t{stain}{guess}\t{}{reason}", state.name(), path.display()))?;
    }
    Ok(())
}

/// A path as the library has it: by its full name where the file is still there.
fn full_name(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_gone| std::path::absolute(path)).unwrap_or_else(|_odd| path.to_owned())
}

fn remove(args: &RemoveArgs, printer: &Printer) -> anyhow::Result<()> {
    let library = args.library.open_existing(printer)?;
    let sources = library.sources().map_err(told)?;
    let entries = library.entries(None).map_err(told)?;
    let mut n_item = 0;
    for path in &args.paths {
        let path = full_name(path);
        if let Some(source) = sources.iter().find(|source| source.path == path) {
            n_item += library.remove_source(source.id).map_err(told)?;
            continue;
        }
        let own: Vec<_> = entries.iter().filter(|entry| entry.path == path).map(|entry| entry.id).collect();
        if own.is_empty() {
            return Err(not_in_library(&path));
        }
        n_item += library.remove_entries(&own).map_err(told)?;
    }
    if args.vanished {
        let gone = entries.iter().filter(|entry| entry.state == EntryState::Vanished);
        n_item += library.remove_entries(&gone.map(|entry| entry.id).collect::<Vec<_>>()).map_err(told)?;
    }
    library.flush().map_err(told)?;
    printer.say(format!("removed {n_item} items"));
    Ok(())
}

fn not_in_library(path: &Path) -> anyhow::Error {
    advised(format!("this is not in the library: {}", path.display()), "see `eosin index status --files`")
}

fn tag(args: &TagArgs, printer: &Printer) -> anyhow::Result<()> {
    let library = args.library.open_existing(printer)?;
    let path = full_name(&args.path);
    let source = library.sources().map_err(told)?.into_iter().find(|source| source.path == path);
    let entries = library.entries(None).map_err(told)?;
    let own: Vec<&Entry> = match &source {
        Some(source) => entries.iter().filter(|entry| entry.source == source.id).collect(),
        None => entries.iter().filter(|entry| entry.path == path).collect(),
    };
    let owners: Vec<(TagOwner, Vec<String>)> = match &source {
        Some(source) => vec![(TagOwner::Source(source.id), source.tags.clone())],
        None => own.iter().map(|entry| (TagOwner::Entry(entry.id), entry.tags.clone())).collect(),
    };
    if owners.is_empty() {
        return Err(not_in_library(&path));
    }
    let stain = match args.stain.as_deref() {
        None => None,
        Some("guess") => Some(None),
        Some(name) => Some(Some(name.parse::<Stain>()?)),
    };
    for (owner, mut tags) in owners {
        tags.retain(|tag| !args.remove.contains(tag));
        tags.extend(args.add.iter().cloned());
        library.set_tags(owner, &tags).map_err(told)?;
    }
    if let Some(stain) = stain {
        for entry in &own {
            library.set_stain(entry.id, stain).map_err(told)?;
        }
    }
    printer.say("done");
    Ok(())
}
