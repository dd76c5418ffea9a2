//! `eosin slide figure`: a region as a picture file with look, annotations and scale bar, of any size.
//!
//! A slide whose file states no scale takes the one that was typed for it in the window. Held true by
//! `tests/annotate.rs`.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;
use eosin_core::RegionScale;
use eosin_workbench::{Corner, FigureRequest, Look, PreferencesFile, StainView, export_figure_watched};

use super::PlaceArgs;
use crate::command::annotate;
use crate::environment;
use crate::printer::{Printer, told};

/// What was asked of `eosin slide figure`.
#[derive(clap::Args)]
pub(crate) struct FigureArgs {
    /// Slide or picture
    file: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// A file ending in .png, .jpg or .tif
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draw a scale bar, bottom right or in the corner that is named
    #[arg(long, value_enum, value_name = "CORNER", num_args = 0..=1, default_missing_value = "bottom-right")]
    scale_bar: Option<CornerArg>,
    /// How it is shown: `contrast=20,gamma=120,stain=h`, or a code as in tile addresses
    #[arg(long, value_name = "LOOK", value_parser = parse_look, default_value = "", allow_hyphen_values = true)]
    look: Look,
    /// Draw the slide's annotations
    #[arg(long)]
    annotations: bool,
    /// Width of their lines in pixels
    #[arg(long, value_name = "PX")]
    stroke: Option<f64>,
    /// Turn clockwise, within the same rectangle
    #[arg(long, value_name = "DEGREES", default_value_t = 0.0, allow_negative_numbers = true)]
    rotate: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum CornerArg {
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

impl From<CornerArg> for Corner {
    fn from(corner: CornerArg) -> Self {
        match corner {
            CornerArg::TopLeft => Self::TopLeft,
            CornerArg::TopRight => Self::TopRight,
            CornerArg::BottomLeft => Self::BottomLeft,
            CornerArg::BottomRight => Self::BottomRight,
        }
    }
}

/// Does it.
pub(super) fn run(args: &FigureArgs, printer: &Printer) -> anyhow::Result<()> {
    let slide = args.place.open(&args.file)?;
    let slide = match slide.info().mpp {
        Some(_) => slide,
        None => {
            // Preferences that cannot be read are told by the window, which writes them.
            let kept = PreferencesFile::open(&environment::data_dir().join("preferences.json"));
            let typed = kept.ok().and_then(|(kept, _)| kept.get().slide(&slide.info().id).mpp);
            slide.restated(typed)
        }
    };
    let scale = match (args.place.mpp, args.place.downsample) {
        (Some(um_per_px), _) => RegionScale::Mpp(eosin_core::Mpp::new(um_per_px).context("--mpp")?),
        (None, downsample) => RegionScale::Downsample(downsample.unwrap_or(1.0)),
    };
    let downsample = slide.downsample_of(scale).map_err(told)?;
    let [left, top, width, height] = args.place.rectangle(slide.info()).map(f64::from);
    let mut request = FigureRequest::region([left, top], [width, height], downsample);
    request.look = args.look;
    request.rotation_degrees = args.rotate;
    request.scale_bar = args.scale_bar.map(Corner::from);
    request.stroke_px = args.stroke.unwrap_or(request.stroke_px);
    if args.annotations {
        request.features = annotate::open_book(&slide, printer)?.features().to_vec();
    }
    let bar = printer.progress(1000);
    let made = export_figure_watched(&slide, &request, &args.out, &mut |share| {
        bar.set_position((share * 1000.0) as u64);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    made.map_err(told)?;
    let [width, height] = request.size_px;
    printer.say(format!("wrote {width} × {height} px to {}", args.out.display()));
    Ok(())
}

/// Settings by name, or a code.
fn parse_look(text: &str) -> Result<Look, String> {
    if let Ok(look) = Look::from_code(text) {
        return Ok(look);
    }
    let mut look = Look::default();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| format!("{part:?} is no NAME=VALUE"))?;
        let out_of_range = || format!("{name} cannot be {value:?}");
        match name {
            "brightness" | "contrast" => {
                let number = value.parse().ok().filter(|number| Look::PERCENT.contains(number));
                let number = number.ok_or_else(out_of_range)?;
                if name == "brightness" { look.brightness = number } else { look.contrast = number }
            }
            "gamma" => {
                let number = value.parse().ok().filter(|number| Look::GAMMA.contains(number));
                look.gamma = number.ok_or_else(out_of_range)?;
            }
            "stain" => look.stain = StainView::from_code(value).ok_or_else(out_of_range)?,
            _ => return Err(format!("no setting is called {name:?}: brightness, contrast, gamma, stain")),
        }
    }
    Ok(look)
}
