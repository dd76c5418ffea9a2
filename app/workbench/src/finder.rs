//! Similar images and zero-shot labels, for every window: the library, the model behind it, and what fills it.
//!
//! Nothing is opened before it is needed: the model loads with the first search, label or indexing, on its own
//! thread. One library is open at a time, one indexing runs at a time. Held true by `tests/workbench.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eosin_core::{DeviceChoice, RgbTile, SlideId};
use eosin_library::{
    AnnotationsOf, CLASS_COLOURS, ClassifyOptions, ClipSource, EmbedModel, EmbedWorker, Filter, Heatmap, Hit,
    IndexOptions, IndexProgress, Indexing, ItemId, Library, LibraryError, LibraryStatus, NewSource, Query,
    Recipe, SearchOptions, Source, SourceId, Tally, Thumbnails, classify, open_library, search,
};

use crate::error::WorkbenchError;
use crate::registry::SlideKey;
use crate::view::{ViewRect, read_view};
use crate::workbench::Workbench;

/// Pixels of a view that is looked for: more than any CLIP model takes.
const QUERY_PIXELS: u64 = 512 * 512;
/// Longest side of a map of labels.
const MAP_PX: u32 = 1024;
/// Hits of one slide among those shown, where all slides are looked through.
const MOST_PER_SLIDE: usize = 6;

/// Where the library is and which model it is of.
#[derive(Clone, Debug)]
pub struct FinderOptions {
    /// A folder, or `postgres://…`.
    pub library: String,
    /// The model that places pictures and words in one space.
    pub clip: ClipSource,
    /// The device that it computes on.
    pub device: DeviceChoice,
}

/// What is looked for.
#[derive(Clone, PartialEq, Debug)]
pub enum Wanted {
    /// Something like a part of an opened slide.
    View {
        /// The slide.
        slide: SlideKey,
        /// The part.
        view: ViewRect,
    },
    /// Something that words describe.
    Words(String),
    /// Something like a picture file.
    File(PathBuf),
    /// Something like what was found before.
    Item(ItemId),
}

/// A slide with labels.
#[derive(Clone, PartialEq, Debug)]
pub struct Labels {
    /// Probabilities by field.
    pub heatmap: Heatmap,
    /// The map as a PNG with transparency, of the slide's shape.
    pub png: Vec<u8>,
}

/// Looks for similar images. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Finder {
    options: FinderOptions,
    opened: Mutex<Option<Opened>>,
    indexing: Mutex<Option<Arc<Indexing>>>,
    thumbnails: Thumbnails,
    /// Counts labellings: one that is not the last stops.
    labelling: AtomicU64,
}

/// A library with its model.
#[derive(Clone, Debug)]
struct Opened {
    library: Arc<dyn Library>,
    worker: Arc<EmbedWorker>,
    model: Arc<EmbedModel>,
}

impl Finder {
    /// A finder that opens its library when it is first asked.
    pub fn new(options: FinderOptions) -> Self {
        Self {
            options,
            opened: Mutex::default(),
            indexing: Mutex::default(),
            thumbnails: Thumbnails::default(),
            labelling: AtomicU64::new(0),
        }
    }

    /// Opens model and library, where they are not open. May take seconds; others wait for it.
    fn opened(&self) -> Result<Opened, WorkbenchError> {
        let mut opened = lock(&self.opened);
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let worker = Arc::new(EmbedWorker::spawn(self.options.clip.clone(), self.options.device));
        let model = worker.wait()?;
        let library = open_library(&self.options.library, Some(&model.id))?;
        let fresh = Opened { library, worker, model };
        *opened = Some(fresh.clone());
        Ok(fresh)
    }

    /// The library, for commands that go beyond what a window asks.
    ///
    /// # Errors
    /// [`WorkbenchError::Library`].
    pub fn library(&self) -> Result<Arc<dyn Library>, WorkbenchError> {
        Ok(self.opened()?.library)
    }

    /// The model.
    ///
    /// # Errors
    /// [`WorkbenchError::Library`].
    pub fn model(&self) -> Result<Arc<EmbedModel>, WorkbenchError> {
        Ok(self.opened()?.model)
    }

    /// What is in the library, and its places.
    ///
    /// # Errors
    /// [`WorkbenchError::Library`].
    pub fn status(&self) -> Result<(LibraryStatus, Vec<Source>), WorkbenchError> {
        let library = self.library()?;
        Ok((library.status()?, library.sources()?))
    }

    /// Finds what is most like something, best first. Neighbouring fields look alike, so of each slide only some are
    /// told, unless a slide was chosen.
    ///
    /// # Errors
    /// [`WorkbenchError`]: the slide, the picture, the library.
    pub fn find(
        &self,
        workbench: &Workbench,
        wanted: &Wanted,
        filter: Filter,
        n_hit: usize,
    ) -> Result<Vec<Hit>, WorkbenchError> {
        let Opened { library, worker, .. } = self.opened()?;
        let query = match wanted {
            Wanted::View { slide, view } => {
                let opened = workbench.slide(slide)?;
                Query::Pixels(read_view(&opened.slide, *view, QUERY_PIXELS)?.1)
            }
            Wanted::Words(words) => Query::Words(words.clone()),
            Wanted::File(path) => Query::Pixels(eosin_slide::load_picture(path)?),
            Wanted::Item(item) => {
                let embedding = library.embedding(*item)?;
                Query::Vector(embedding.ok_or(WorkbenchError::NoSuchItem)?)
            }
        };
        let n_per_slide = filter.slide.is_none().then_some(MOST_PER_SLIDE);
        let options = SearchOptions { n_hit, n_per_slide, filter };
        Ok(search(library.as_ref(), &worker, query, &options)?)
    }

    /// A small copy of what was found.
    ///
    /// # Errors
    /// [`WorkbenchError::Library`] where its file is gone.
    pub fn thumbnail(&self, hit: &Hit, most_px: u32) -> Result<RgbTile, WorkbenchError> {
        Ok(self.thumbnails.of(hit, most_px)?)
    }

    /// Adds a place to the library and begins to index it in the background.
    ///
    /// # Errors
    /// [`WorkbenchError::Indexing`] while another indexing runs; [`WorkbenchError::Library`].
    pub fn add(&self, path: &Path, annotations: Option<AnnotationsOf>) -> Result<(), WorkbenchError> {
        let Opened { library, .. } = self.opened()?;
        let source = library.add_source(&NewSource {
            path: path.to_owned(),
            recipe: Recipe::default(),
            tags: vec![],
        })?;
        self.index(vec![source], annotations)
    }

    /// Brings places of the library up to date in the background; all of them without names.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn index(
        &self,
        sources: Vec<SourceId>,
        annotations: Option<AnnotationsOf>,
    ) -> Result<(), WorkbenchError> {
        let Opened { library, worker, .. } = self.opened()?;
        let mut indexing = lock(&self.indexing);
        if indexing.as_ref().is_some_and(|running| !running.progress().state.is_end()) {
            return Err(WorkbenchError::Indexing);
        }
        let options = IndexOptions { sources, annotations };
        *indexing = Some(Arc::new(Indexing::start(library, worker, options)));
        Ok(())
    }

    /// Takes a place out of the library; its files stay.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn remove(&self, source: SourceId) -> Result<u64, WorkbenchError> {
        if self.running().is_some_and(|running| !running.progress().state.is_end()) {
            return Err(WorkbenchError::Indexing);
        }
        Ok(self.library()?.remove_source(source)?)
    }

    /// The indexing that runs, or ran last.
    pub fn running(&self) -> Option<Arc<Indexing>> {
        lock(&self.indexing).clone()
    }

    /// How far the indexing is, and what was left out; none where none was begun.
    pub fn progress(&self) -> Option<(IndexProgress, Tally)> {
        let running = self.running()?;
        Some((running.progress(), running.tally()))
    }

    /// Labels a slide with classes. Another call, or [`Self::stop_labels`], ends it.
    ///
    /// # Errors
    /// [`WorkbenchError`]: the slide, the model, too few classes, stopped.
    pub fn label(
        &self,
        workbench: &Workbench,
        slide: &SlideKey,
        classes: &[String],
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Labels, WorkbenchError> {
        let mine = self.labelling.fetch_add(1, Ordering::Relaxed) + 1;
        let Opened { worker, .. } = self.opened()?;
        let opened = workbench.slide(slide)?;
        let cancelled = || self.labelling.load(Ordering::Relaxed) != mine;
        let options = ClassifyOptions::default();
        let heatmap = classify(&opened.slide, &worker, classes, &options, progress, &cancelled)?;
        let png = map(&heatmap)?;
        Ok(Labels { heatmap, png })
    }

    /// Ends a labelling.
    pub fn stop_labels(&self) {
        self.labelling.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Finder {
    fn drop(&mut self) {
        if let Some(running) = &*lock(&self.indexing) {
            running.stop();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map of labels as a PNG: each field in the colour of its class, the opaquer the more probable; the rest clear.
fn map(heatmap: &Heatmap) -> Result<Vec<u8>, WorkbenchError> {
    let longest = f64::from(heatmap.base_px[0].max(heatmap.base_px[1]).max(1));
    let scale = f64::from(MAP_PX) / longest;
    let [width, height] = heatmap.base_px.map(|side| ((f64::from(side) * scale).round() as u32).max(1));
    let mut map = image::RgbaImage::new(width, height);
    let chance = 1.0 / heatmap.classes.len().max(2) as f32;
    for tile in heatmap.tiles() {
        let above = ((tile.probabilities[tile.winner] - chance) / (1.0 - chance)).clamp(0.0, 1.0);
        let [red, green, blue] = CLASS_COLOURS[tile.winner % CLASS_COLOURS.len()];
        let colour = image::Rgba([red, green, blue, (90.0 + 165.0 * above) as u8]);
        let edges = |k: usize, limit: u32| {
            let first = f64::from(tile.origin_base_px[k]) * scale;
            let end = first + heatmap.tile_base_px[k] * scale;
            (first.round() as u32).min(limit)..(end.round() as u32).min(limit)
        };
        for y in edges(1, height) {
            for x in edges(0, width) {
                map.put_pixel(x, y, colour);
            }
        }
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    map.write_to(&mut bytes, image::ImageFormat::Png)
        .map_err(|error| WorkbenchError::Encode(error.to_string().into()))?;
    Ok(bytes.into_inner())
}

/// The colour of a class, as in CSS.
pub fn class_color(class: usize) -> String {
    let [red, green, blue] = CLASS_COLOURS[class % CLASS_COLOURS.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A filter that looks among one slide, or among all others.
pub fn slide_filter(only: Option<String>, except: Option<String>) -> Filter {
    Filter { slide: only.map(SlideId), except_slide: except.map(SlideId), ..Filter::default() }
}

impl From<LibraryError> for WorkbenchError {
    fn from(error: LibraryError) -> Self {
        Self::Library(Arc::new(error))
    }
}
