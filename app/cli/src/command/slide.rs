//! `eosin slide`: what a slide says about itself, its pixels, its thumbnail, and pyramids of it.
//!
//! Labels and photographs of the glass may show patient data: they are named, and shown only when asked for by
//! name; the file's free-text properties likewise. Held true by `tests/slides.rs`.

mod figure;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use eosin_core::{Mpp, Region, RegionScale, RgbTile, SlideInfo};
use eosin_slide::{Exposure, PyramidKind, PyramidOptions, Slide};
use image::ImageFormat;

use crate::printer::{Printer, advised, told};

const EXAMPLES: &str = "\
Examples:
  eosin slide info slide.svs
  eosin slide info slide.svs --json | jq .levels
  eosin slide region slide.svs --region 12000,8000,2048,2048 --mpp 1 --out region.png
  eosin slide thumbnail slide.svs --max 1024 --out - > thumbnail.png
  eosin slide figure slide.svs --region 12000,8000,4096,3072 --scale-bar --annotations --out figure.png
  eosin slide pyramid photo.png --mpp 0.25 --out photo.tif

Reads Aperio, Hamamatsu, Leica, MIRAX, Philips, Sakura, Trestle, Ventana and tiled TIFF through OpenSlide;
PNG, JPEG, TIFF, WebP and BMP as slides of one level. Content decides, not the name.";

/// What was asked of `eosin slide`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Levels, scale, magnification, associated images
    Info(InfoArgs),
    /// Pixels of a rectangle
    Region(RegionArgs),
    /// The whole slide, small
    Thumbnail(ThumbnailArgs),
    /// A region as a picture of any size, with scale bar, look and annotations
    Figure(Box<figure::FigureArgs>),
    /// Write a slide or picture as a pyramid that slide viewers open
    Pyramid(PyramidArgs),
}

#[derive(clap::Args)]
struct InfoArgs {
    /// Slide or picture
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also print everything the file states; may hold patient data
    #[arg(long)]
    properties: bool,
    /// Write this associated image to --out; label and macro may show patient data
    #[arg(long, value_name = "NAME", requires = "out")]
    associated: Option<String>,
    /// Where the associated image goes: a file ending in .png or .jpg, or - for PNG on stdout
    #[arg(long, value_name = "FILE", requires = "associated")]
    out: Option<PathBuf>,
}

#[derive(clap::Args)]
struct RegionArgs {
    /// Slide or picture
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// Read the pixels of this level as they are stored
    #[arg(long, conflicts_with_all = ["mpp", "downsample"])]
    level: Option<usize>,
    /// A file ending in .png or .jpg, or - for PNG on stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct ThumbnailArgs {
    /// Slide or picture
    file: PathBuf,
    /// Longest side in pixels
    #[arg(long, value_name = "PX", default_value_t = 1024)]
    max: u32,
    /// A file ending in .png or .jpg, or - for PNG on stdout
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct PyramidArgs {
    /// Slide or picture
    file: PathBuf,
    /// The pyramid to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// µm per pixel of level 0, where the file does not state it
    #[arg(long)]
    mpp: Option<f64>,
    /// Objective power to state
    #[arg(long, default_value_t = 40.0)]
    magnification: f64,
    /// Conventions to follow
    #[arg(long, value_enum, default_value_t = PyramidStyle::Tiff)]
    style: PyramidStyle,
    /// JPEG quality, 1…100
    #[arg(long, default_value_t = 90)]
    quality: u8,
}

#[derive(Clone, Copy, ValueEnum)]
enum PyramidStyle {
    /// Plain tiled TIFF
    Tiff,
    /// With an Aperio description, which carries scale and objective power
    Aperio,
}

/// Where on a slide, and at which scale: the flags that every command on regions shares.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct PlaceArgs {
    /// Rectangle in base pixels: left, top, width, height; without it the whole slide
    #[arg(long, value_name = "X,Y,W,H", value_parser = parse_rectangle)]
    pub(crate) region: Option<[u32; 4]>,
    /// µm per returned pixel
    #[arg(long, conflicts_with = "downsample")]
    pub(crate) mpp: Option<f64>,
    /// Base pixels per returned pixel
    #[arg(long)]
    pub(crate) downsample: Option<f64>,
    /// µm per pixel of level 0, where the file does not state it
    #[arg(long, value_name = "MPP")]
    pub(crate) assume_mpp: Option<f64>,
}

impl PlaceArgs {
    /// Opens the slide, with the scale that was assumed.
    ///
    /// # Errors
    /// What does not open, an implausible scale.
    pub(crate) fn open(&self, path: &Path) -> anyhow::Result<Slide> {
        let slide = Slide::open(path).map_err(told)?;
        Ok(match self.assume_mpp {
            Some(um_per_px) => slide.with_mpp(Mpp::new(um_per_px).context("--assume-mpp")?),
            None => slide,
        })
    }

    /// The region asked for; without a scale at `scale`.
    ///
    /// # Errors
    /// A scale that the slide cannot give, an empty rectangle.
    pub(crate) fn region(&self, slide: &Slide, scale: RegionScale) -> anyhow::Result<Region> {
        let scale = match (self.mpp, self.downsample) {
            (Some(um_per_px), _) => RegionScale::Mpp(Mpp::new(um_per_px).context("--mpp")?),
            (None, Some(downsample)) => RegionScale::Downsample(downsample),
            (None, None) => scale,
        };
        let downsample = slide.downsample_of(scale).map_err(told)?;
        let [left, top, width, height] = self.rectangle(slide.info());
        // A part of a returned pixel is left away rather than read from beyond the rectangle.
        let count = |side: u32| ((f64::from(side) / downsample + 1e-6).floor() as u32).max(side.min(1));
        let size_px = [count(width), count(height)];
        Ok(Region { slide: slide.info().id.clone(), origin_base_px: [left, top], size_px, scale })
    }

    fn rectangle(&self, info: &SlideInfo) -> [u32; 4] {
        let [width, height] = info.base_px();
        self.region.unwrap_or([0, 0, width, height])
    }
}

fn parse_rectangle(text: &str) -> Result<[u32; 4], String> {
    let numbers: Result<Vec<u32>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let four = numbers.ok().and_then(|numbers| <[u32; 4]>::try_from(numbers).ok());
    four.ok_or_else(|| "four whole numbers are needed: left,top,width,height in base pixels".to_owned())
}

/// Does it.
pub(crate) fn run(args: Args, printer: &Printer) -> anyhow::Result<()> {
    match args.action {
        Action::Info(args) => info(&args, printer),
        Action::Region(args) => region(&args, printer),
        Action::Thumbnail(args) => {
            let slide = Slide::open(&args.file).map_err(told)?;
            write(&slide.thumbnail(args.max).map_err(told)?, &args.out, printer)
        }
        Action::Figure(args) => figure::run(&args, printer),
        Action::Pyramid(args) => pyramid(&args, printer),
    }
}

fn info(args: &InfoArgs, printer: &Printer) -> anyhow::Result<()> {
    let slide = Slide::open(&args.file).map_err(told)?;
    if let (Some(name), Some(out)) = (&args.associated, &args.out) {
        // Naming it is asking for it.
        let picture = slide.associated(name, Exposure::PatientData).map_err(told)?;
        return write(&picture, out, printer);
    }
    let info = slide.info();
    if args.json {
        let mut value = serde_json::to_value(info)?;
        if args.properties {
            let pairs = slide.properties().into_iter().map(|(name, text)| (name, text.into()));
            value["properties"] = serde_json::Value::Object(pairs.collect());
        }
        return printer.json(&value);
    }
    let [width, height] = info.base_px();
    printer.line(format!("format         {}", info.format))?;
    printer.line(format!("size           {width} × {height} px"))?;
    printer.line(match info.mpp {
        Some(mpp) => format!("scale          {:.4} µm per px", mpp.um_per_px()),
        None => "scale          not stated".to_owned(),
    })?;
    printer.line(match info.magnification {
        Some(power) => format!("magnification  {power}×"),
        None => "magnification  not stated".to_owned(),
    })?;
    for (level_idx, level) in info.levels.iter().enumerate() {
        let [width, height] = level.size_px;
        printer.line(format!(
            "level {level_idx:<8} {width} × {height} px, downsample {:.4}",
            level.downsample
        ))?;
    }
    for image in &info.associated {
        let [width, height] = image.size_px;
        let note = if image.sensitive { ", hidden: may show patient data" } else { "" };
        printer.line(format!("image          {}, {width} × {height} px{note}", image.name))?;
    }
    printer.line(format!("id             {}", info.id))?;
    if args.properties {
        for (name, text) in slide.properties() {
            printer.line(format!("{name} = {}", text.escape_debug()))?;
        }
    }
    Ok(())
}

fn region(args: &RegionArgs, printer: &Printer) -> anyhow::Result<()> {
    let slide = args.place.open(&args.file)?;
    let tile = if let Some(level_idx) = args.level {
        let [left, top, width, height] = args.place.rectangle(slide.info());
        let levels = &slide.info().levels;
        let downsample = levels.get(level_idx).map_or(1.0, |level| level.downsample);
        let size_px =
            [width, height].map(|side| ((f64::from(side) / downsample).round() as u32).max(side.min(1)));
        slide.read_level(level_idx, [left, top], size_px).map_err(told)?
    } else {
        let region = args.place.region(&slide, RegionScale::Downsample(1.0))?;
        slide.read(&region).map_err(told)?
    };
    write(&tile, &args.out, printer)
}

fn pyramid(args: &PyramidArgs, printer: &Printer) -> anyhow::Result<()> {
    let slide = Slide::open(&args.file).map_err(told)?;
    let stated = args.mpp.map(Mpp::new).transpose().context("--mpp")?;
    let kind = match args.style {
        PyramidStyle::Tiff => PyramidKind::GenericTiff,
        PyramidStyle::Aperio => PyramidKind::Aperio { magnification: args.magnification },
    };
    let mpp = stated.or(slide.info().mpp);
    let options = PyramidOptions { kind, mpp, jpeg_quality: args.quality, ..PyramidOptions::default() };
    let base_px = slide.info().base_px();
    let n_tile: u64 = base_px.map(|side| u64::from(side.div_ceil(options.tile_px))).iter().product();
    let bar = printer.progress(n_tile);
    let written = eosin_slide::write_pyramid(&args.out, base_px, &options, &mut |request| {
        bar.inc(1);
        slide.read_level(0, request.origin_base_px, request.size_px)
    });
    bar.finish_and_clear();
    written.map_err(told)?;
    printer.say(format!("wrote {} × {} px to {}", base_px[0], base_px[1], args.out.display()));
    Ok(())
}

/// Writes a picture: the ending chooses the format, `-` is PNG on stdout.
fn write(tile: &RgbTile, out: &Path, printer: &Printer) -> anyhow::Result<()> {
    let to_stdout = out.as_os_str() == "-";
    let format =
        match out.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).as_deref() {
            _ if to_stdout => ImageFormat::Png,
            Some("png") => ImageFormat::Png,
            Some("jpg" | "jpeg") => ImageFormat::Jpeg,
            _ => {
                let message = format!("no picture format is known by the ending of {}", out.display());
                return Err(advised(
                    message,
                    "end the name in .png or .jpg, or write PNG to stdout with `-`",
                ));
            }
        };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let [width, height] = tile.size_px();
    let colour = image::ExtendedColorType::Rgb8;
    let encoded = image::write_buffer_with_format(&mut bytes, tile.pixels(), width, height, colour, format);
    encoded.context("the picture does not encode")?;
    if to_stdout {
        return printer.bytes(bytes.get_ref());
    }
    std::fs::write(out, bytes.get_ref()).with_context(|| format!("cannot write {}", out.display()))?;
    printer.say(format!("wrote {width} × {height} px to {}", out.display()));
    Ok(())
}
