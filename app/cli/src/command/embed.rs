//! `eosin embed`: pictures and words as vectors, or the cosines between them.
//!
//! Vectors go out as one JSON object a line, in the order of the arguments, so that other programs can read
//! them; `--against` prints cosines instead, as a table for people. What was decided about the model is
//! said on stderr. Held true by `tests/embed_cli.rs`.

use std::path::PathBuf;

use anyhow::Context as _;
use eosin_core::{DeviceChoice, Embedding};
use eosin_model::clip::{Activation, Format};
use eosin_session::embed::{ClipBundle, ClipOptions, ClipSource, Embedder};

use crate::command::library::precision;
use crate::environment;
use crate::printer::{Printer, advised, told};
use crate::settings::{ModelArgs, Settings};

const EXAMPLES: &str = "\
Examples:
  eosin embed tile.png --against \"tumour\"                  with the demonstration CLIP
  eosin embed --model clip/ tile1.png tile2.png             one JSON line for each picture
  eosin embed --model clip/ --text \"benign colonic mucosa\"
  eosin embed --model clip/ tile.png --against \"tumour\" --against \"normal tissue\"
  eosin embed --model PathoCLIP-B.pt --tokenizer merges.txt --activation gelu tile.png

A model is a folder saved by transformers or open_clip, an Eosin bundle, or one .pt or .safetensors file.
Weights from OpenAI need `--activation quick_gelu` where their file does not say so.";

/// What was asked of `eosin embed`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Pictures to embed
    #[arg(value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// The CLIP model: a folder, or one weight file; EOSIN_CLIP, else the demonstration
    #[arg(long, short)]
    model: Option<PathBuf>,
    /// A text to embed; may be given several times
    #[arg(long, short, value_name = "TEXT")]
    text: Vec<String>,
    /// Print cosines with this text instead of vectors; may be given several times
    #[arg(long, short, value_name = "TEXT")]
    against: Vec<String>,
    /// Print cosines with this picture instead of vectors; may be given several times
    #[arg(long, value_name = "IMAGE")]
    against_image: Vec<PathBuf>,
    /// A tokenizer.json, a list of merges, or a folder with either
    #[arg(long, value_name = "PATH")]
    tokenizer: Option<PathBuf>,
    /// Activation of the model, where its files say nothing or are wrong
    #[arg(long, value_parser = ["gelu", "quick_gelu"])]
    activation: Option<String>,
    /// Where to compute: auto, cpu, wgpu:N or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// What the processor multiplies in: f32 or bf16, which is about twice as fast where the processor has it
    #[arg(long, value_name = "PRECISION", value_parser = precision)]
    precision: Option<Format>,
}

/// Pictures that are held decoded at a time: some hundred MB when they are large.
const IMAGES_AT_ONCE: usize = 8;

/// Does it.
pub fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    if args.images.is_empty() && args.text.is_empty() {
        return Err(advised("there is nothing to embed", "name pictures, or give words with `--text`"));
    }
    let activation = args.activation.as_deref().map(str::parse::<Activation>).transpose().map_err(told)?;
    let options = ClipOptions { activation, tokenizer: args.tokenizer, format: args.precision };
    let path = args.model.or_else(|| environment::read(environment::CLIP).map(PathBuf::from));
    let source = path.map_or(ClipSource::Demo, ClipSource::Path);
    let bundle = ClipBundle::open_source_with(&source, &options).map_err(told)?;
    printer.say(bundle.summary());
    if let Some(notice) = bundle.notice() {
        printer.say(format!("{}: {notice}", bundle.name()));
    }
    let settings = Settings::load(&ModelArgs { device: args.device, ..ModelArgs::default() })?;
    let embedder = bundle.load(settings.device.value).map_err(told)?;
    printer.say(format!("computing on {}", embedder.device_name()));

    if args.against.is_empty() && args.against_image.is_empty() {
        each_image(&embedder, &args.images, &mut |source, embedding| {
            print_vector(printer, &source, &embedding)
        })?;
        for (text, embedding) in args.text.iter().zip(embedder.embed_texts(&args.text).map_err(told)?) {
            print_vector(printer, &Source::Text(text), &embedding)?;
        }
        return Ok(());
    }

    let mut columns = Vec::new();
    each_image(&embedder, &args.against_image, &mut |source, embedding| {
        columns.push((source.label(), embedding));
        Ok(())
    })?;
    if !args.against.is_empty() {
        let embeddings = embedder.embed_texts(&args.against).map_err(told)?;
        columns.extend(args.against.iter().cloned().zip(embeddings));
    }
    let mut rows = Vec::new();
    each_image(&embedder, &args.images, &mut |source, embedding| {
        rows.push((source.label(), embedding));
        Ok(())
    })?;
    if !args.text.is_empty() {
        let embeddings = embedder.embed_texts(&args.text).map_err(told)?;
        rows.extend(args.text.iter().cloned().zip(embeddings));
    }
    print_table(printer, &rows, &columns)
}

/// What a vector is of.
enum Source<'a> {
    Image(&'a PathBuf),
    Text(&'a str),
}

impl Source<'_> {
    fn label(&self) -> String {
        match self {
            Self::Image(path) => path.display().to_string(),
            Self::Text(text) => (*text).to_owned(),
        }
    }
}

/// Decodes and embeds pictures a few at a time, in order.
fn each_image(
    embedder: &Embedder,
    paths: &[PathBuf],
    found: &mut dyn FnMut(Source<'_>, Embedding) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for paths in paths.chunks(IMAGES_AT_ONCE) {
        let tiles = paths.iter().map(|path| eosin_slide::load_picture(path).map_err(told));
        let tiles = tiles.collect::<anyhow::Result<Vec<_>>>()?;
        for (path, embedding) in paths.iter().zip(embedder.embed_tiles(&tiles).map_err(told)?) {
            found(Source::Image(path), embedding)?;
        }
    }
    Ok(())
}

/// One line of output.
#[derive(serde::Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    model: &'a str,
    embedding: &'a [f32],
}

fn print_vector(printer: &Printer, source: &Source<'_>, embedding: &Embedding) -> anyhow::Result<()> {
    let (image, text) = match source {
        Source::Image(_) => (Some(source.label()), None),
        Source::Text(text) => (None, Some(*text)),
    };
    printer.json(&Line { image, text, model: embedding.model(), embedding: embedding.values() })
}

/// Cosines with four decimals under the names of what they are with; tab-separated, the row's name last.
fn print_table(
    printer: &Printer,
    rows: &[(String, Embedding)],
    columns: &[(String, Embedding)],
) -> anyhow::Result<()> {
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let names = columns.iter().map(|(name, _)| one_line(name)).collect::<Vec<_>>();
    printer.line(format!("{}\t", names.join("\t")))?;
    for (name, row) in rows {
        let cosines =
            columns.iter().map(|(_, column)| row.cosine(column).map(|cosine| format!("{cosine:.4}")));
        let cosines = cosines.collect::<Result<Vec<_>, _>>().context("cannot compare the vectors")?;
        printer.line(format!("{}\t{}", cosines.join("\t"), one_line(name)))?;
    }
    Ok(())
}
