//! What the commands on libraries share: which library, which CLIP model, where to compute.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eosin_core::DeviceChoice;
use eosin_library::{
    ClipOptions, ClipSource, EmbedModel, EmbedWorker, Filter, ItemKind, Library, Opening, SqliteLibrary,
    Stain, open_library,
};
use eosin_model::clip::Format;
use eosin_slide::Slide;

use crate::environment;
use crate::printer::{Printer, advised, told};
use crate::settings::{ModelArgs, Settings};

/// The library that is used unless another is named.
const DEFAULT_NAME: &str = "default";

/// Which library.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct LibraryArgs {
    /// Library: a name, a folder, or `postgres://user@host/database`; EOSIN_LIBRARY, else `default`
    #[arg(long, value_name = "NAME|DIR|URL")]
    library: Option<String>,
}

impl LibraryArgs {
    /// Where it is: a name lies in the data folder, anything with a slash is a place of its own.
    pub(crate) fn place(&self) -> String {
        let asked = self.library.clone().or_else(|| environment::read(environment::LIBRARY));
        let name = asked.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        if name.contains(['/', '\\']) || name == "." || name == ".." {
            return name;
        }
        environment::data_dir().join("library").join(name).display().to_string()
    }

    /// Opens a library that is there; none is made.
    ///
    /// # Errors
    /// What is not there, or does not open.
    pub(crate) fn open_existing(&self, printer: &Printer) -> anyhow::Result<Arc<dyn Library>> {
        let place = self.place();
        if !place.contains("://") && !SqliteLibrary::exists(Path::new(&place)) {
            let message = format!("there is no library {place}");
            return Err(advised(message, "make one with `eosin index add`"));
        }
        self.open(printer)
    }

    /// Opens it, and says where something was wrong with it.
    ///
    /// # Errors
    /// What does not open.
    pub(crate) fn open(&self, printer: &Printer) -> anyhow::Result<Arc<dyn Library>> {
        let library = open_library(&self.place(), None).map_err(told)?;
        match library.opening() {
            Opening::Fresh | Opening::Whole => {}
            Opening::IndexRebuilt { n_added } => {
                printer.say(format!("brought the index up to date with {n_added} vectors"));
            }
            Opening::Rebuilt { backup, n_kept, n_lost } => printer.warn(format!(
                "the library's database was damaged: {n_kept} items were kept, {n_lost} files will be looked at \
                 again; the damaged file is {}",
                backup.display()
            )),
        }
        Ok(library)
    }
}

/// Which CLIP model, and where it computes.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ClipArgs {
    /// CLIP model: a folder or one weight file; EOSIN_CLIP, else the demonstration
    #[arg(long, value_name = "PATH")]
    clip: Option<PathBuf>,
    /// Where to compute: auto, cpu, wgpu:N or cuda:N
    #[arg(long, value_name = "DEVICE")]
    device: Option<DeviceChoice>,
    /// What the processor multiplies in: f32 or bf16, which is about twice as fast where the processor has it
    #[arg(long, value_name = "PRECISION", value_parser = precision)]
    precision: Option<Format>,
}

/// The format of a name.
pub(crate) fn precision(name: &str) -> Result<Format, String> {
    Format::named(name).ok_or_else(|| "the precisions are f32 and bf16".to_owned())
}

impl ClipArgs {
    /// Opens the model and says which one it is, with the notice that it asks for.
    ///
    /// # Errors
    /// A model or device that cannot be used.
    pub(crate) fn spawn(&self, printer: &Printer) -> anyhow::Result<(Arc<EmbedWorker>, Arc<EmbedModel>)> {
        let settings = Settings::load(&ModelArgs { device: self.device, ..ModelArgs::default() })?;
        let options = ClipOptions { format: self.precision, ..ClipOptions::default() };
        let source = clip_source(self.clip.as_ref());
        let worker = EmbedWorker::spawn_opened(source, options, settings.device.value);
        let model = worker.wait().map_err(told)?;
        let notice = model.notice.as_ref().map(|notice| format!(": {notice}")).unwrap_or_default();
        printer.say(format!("{}, on {}{notice}", model.id.name, model.device));
        Ok((Arc::new(worker), model))
    }
}

/// The CLIP model that was named, else that of the environment, else the demonstration.
pub(crate) fn clip_source(named: Option<&PathBuf>) -> ClipSource {
    let path = named.cloned().or_else(|| environment::read(environment::CLIP).map(PathBuf::from));
    path.map_or(ClipSource::Demo, ClipSource::Path)
}

/// Which items are looked among.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct FilterArgs {
    /// Only what has this tag; may be given several times, then all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Only this stain, by statement or guess: he, ihc, fluorescence or other
    #[arg(long)]
    stain: Option<Stain>,
    /// Only what is of this slide or picture
    #[arg(long = "in", value_name = "FILE", conflicts_with = "not_in")]
    only_in: Option<PathBuf>,
    /// Only what is of other slides than this
    #[arg(long, value_name = "FILE")]
    not_in: Option<PathBuf>,
    /// Only what somebody marked
    #[arg(long)]
    annotations: bool,
}

impl FilterArgs {
    /// The filter asked for.
    ///
    /// # Errors
    /// A slide that does not open.
    pub(crate) fn filter(&self) -> anyhow::Result<Filter> {
        let id = |path: &Option<PathBuf>| -> anyhow::Result<_> {
            let slide = path.as_deref().map(Slide::open).transpose().map_err(told)?;
            Ok(slide.map(|slide| slide.info().id.clone()))
        };
        Ok(Filter {
            tags: self.tag.clone(),
            stain: self.stain,
            slide: id(&self.only_in)?,
            except_slide: id(&self.not_in)?,
            kind: self.annotations.then_some(ItemKind::Annotation),
        })
    }
}
