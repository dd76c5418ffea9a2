//! From a question to what was found, and to its pictures.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use eosin_core::{Embedding, Mpp, Region, RegionScale, RgbTile};
use eosin_slide::Slide;

use crate::embed::EmbedWorker;
use crate::error::LibraryError;
use crate::item::{Filter, Hit};
use crate::scan::Found;
use crate::store::Library;

/// What is looked for.
#[derive(Clone, Debug)]
pub enum Query {
    /// Something that looks like this.
    Pixels(RgbTile),
    /// Something that these words describe.
    Words(String),
    /// Something near this.
    Vector(Embedding),
}

/// How it is looked for.
#[derive(Clone, PartialEq, Debug)]
pub struct SearchOptions {
    /// Most hits.
    pub n_hit: usize,
    /// Most hits of one slide: neighbouring tiles look alike and would take all places.
    pub n_per_slide: Option<usize>,
    /// Which items are looked among.
    pub filter: Filter,
}

impl Default for SearchOptions {
    fn default() -> Self {
        Self { n_hit: 24, n_per_slide: None, filter: Filter::default() }
    }
}

/// Items beyond those asked for that are looked through for hits of other slides.
const N_LOOKED_MAX: usize = 20_000;

/// Finds what is most like a query, best first. The same place of the same slide is told once, though it may have
/// come into the library by several sources.
///
/// # Errors
/// [`LibraryError`]: a library of another model, a model that does not read words.
pub fn search(
    library: &dyn Library,
    worker: &EmbedWorker,
    query: Query,
    options: &SearchOptions,
) -> Result<Vec<Hit>, LibraryError> {
    let embedded = match query {
        Query::Pixels(tile) => worker.embed_tiles(vec![tile])?,
        Query::Words(words) => worker.embed_words(vec![words])?,
        Query::Vector(embedding) => vec![embedding],
    };
    let query = embedded.into_iter().next().ok_or(LibraryError::Gone)?;
    let mut n_looked = options.n_hit;
    loop {
        let found = library.nearest(&query, n_looked, &options.filter)?;
        let complete = found.len() < n_looked || n_looked >= N_LOOKED_MAX;
        let hits = thin(found, options);
        if hits.len() >= options.n_hit || complete {
            return Ok(hits);
        }
        n_looked = n_looked.saturating_mul(4).min(N_LOOKED_MAX);
    }
}

fn thin(found: Vec<Hit>, options: &SearchOptions) -> Vec<Hit> {
    let mut places = HashSet::new();
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut hits = Vec::new();
    for hit in found {
        let slide =
            hit.slide.as_ref().map_or_else(|| hit.path.display().to_string(), |slide| slide.0.clone());
        let place = (slide.clone(), hit.region.as_ref().map(|region| format!("{region:?}")));
        if !places.insert(place) {
            continue;
        }
        let count = counts.entry(slide).or_default();
        if options.n_per_slide.is_some_and(|most| *count >= most) {
            continue;
        }
        *count += 1;
        hits.push(hit);
        if hits.len() == options.n_hit {
            break;
        }
    }
    hits
}

/// The pixels of a hit, at most `max_px` a side; opens its slide.
///
/// # Errors
/// [`LibraryError::Slide`] where the file is gone or another one by now.
pub fn thumbnail(hit: &Hit, max_px: u32) -> Result<RgbTile, LibraryError> {
    read_hit(&Slide::open(&hit.path)?, hit, max_px)
}

fn read_hit(slide: &Slide, hit: &Hit, max_px: u32) -> Result<RgbTile, LibraryError> {
    if hit.slide.as_ref().is_some_and(|known| *known != slide.info().id) {
        return Err(eosin_slide::SlideError::WrongSlide.into());
    }
    let Some(region) = &hit.region else { return Ok(slide.thumbnail(max_px)?) };
    let downsample = slide.downsample_of(region.scale)?;
    let longest = f64::from(region.size_px[0].max(region.size_px[1]));
    let shrink = (longest / f64::from(max_px.max(1))).max(1.0);
    let size_px = region.size_px.map(|side| ((f64::from(side) / shrink).floor() as u32).max(1));
    let scale = RegionScale::Downsample(downsample * shrink);
    Ok(slide.read(&Region { size_px, scale, ..region.clone() })?)
}

/// Slides that stay open while their hits are drawn.
const N_OPEN: usize = 4;

/// Pictures of hits, with the last slides kept open between them.
#[derive(Debug, Default)]
pub struct Thumbnails {
    open: Mutex<VecDeque<OpenSlide>>,
}

/// A slide, and which file it was.
#[derive(Debug)]
struct OpenSlide {
    found: Found,
    slide: Arc<Slide>,
}

impl Thumbnails {
    /// The pixels of a hit, at most `max_px` a side.
    ///
    /// # Errors
    /// As [`thumbnail`].
    pub fn of(&self, hit: &Hit, max_px: u32) -> Result<RgbTile, LibraryError> {
        read_hit(&*self.slide(&hit.path)?, hit, max_px)
    }

    fn slide(&self, path: &Path) -> Result<Arc<Slide>, LibraryError> {
        let io = |source| LibraryError::Io { path: path.to_owned(), source };
        let found = Found::of(path.to_owned()).map_err(io)?;
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // The same file, not another under its name.
        if let Some(open) = lock().iter().find(|open| open.found == found) {
            return Ok(open.slide.clone());
        }
        // Not under the lock: other slides need not wait for this one.
        let slide = Arc::new(Slide::open(path)?);
        let mut open = lock();
        open.retain(|open| open.found.path != path);
        open.truncate(N_OPEN - 1);
        open.push_front(OpenSlide { found, slide: slide.clone() });
        Ok(slide)
    }
}

impl Hit {
    /// The scale that the item was seen at.
    pub fn mpp(&self) -> Option<Mpp> {
        self.um_per_px.and_then(|um_per_px| Mpp::new(um_per_px).ok())
    }
}
