//! The threads that search, read thumbnails and begin to index.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use eframe::egui::{self, ColorImage};
use eosin_library::{AnnotationsOf, Filter, Hit, IndexProgress};
use eosin_workbench::finder::{Finder, Wanted};
use eosin_workbench::{ErrorReport, Workbench};

use crate::tiles::color_image;

/// Hits of one search.
const N_HIT: usize = 24;
/// Longest side of a thumbnail in pixels.
const THUMB_PX: u32 = 240;
/// News that may wait for a frame.
const MAX_NEWS: usize = 64;

/// What a thread has to tell.
pub enum SearchNews {
    /// A search has ended.
    Found {
        /// Which search.
        search: u64,
        /// What it found.
        result: Result<Vec<Hit>, ErrorReport>,
    },
    /// A picture of something found.
    Thumbnail {
        /// Of which search.
        search: u64,
        /// Its place among the hits.
        idx: usize,
        /// The picture.
        picture: ColorImage,
    },
    /// What is in the library.
    Status {
        /// Tiles, pictures and annotations.
        n_item: u64,
    },
    /// Something else failed.
    Failed(ErrorReport),
}

/// The way to the library.
pub struct Clerk {
    workbench: Arc<Workbench>,
    finder: Option<Arc<Finder>>,
    /// Folder in which what is marked on slides is found, for indexing.
    annotations: Option<PathBuf>,
    ctx: egui::Context,
    sender: SyncSender<SearchNews>,
    receiver: Receiver<SearchNews>,
    last: Arc<AtomicU64>,
}

impl Clerk {
    /// A clerk over a library; without one nothing is found.
    pub fn new(
        workbench: Arc<Workbench>,
        finder: Option<Arc<Finder>>,
        annotations: Option<PathBuf>,
        ctx: egui::Context,
    ) -> Self {
        let (sender, receiver) = sync_channel(MAX_NEWS);
        let last = Arc::new(AtomicU64::new(0));
        Self { workbench, finder, annotations, ctx, sender, receiver, last }
    }

    /// Whether there is a library.
    pub fn is_there(&self) -> bool {
        self.finder.is_some()
    }

    /// What has come.
    pub fn news(&self) -> Vec<SearchNews> {
        self.receiver.try_iter().collect()
    }

    /// The number of the search that was begun last; the others count no more.
    pub fn last_search(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Searches; an earlier search is given up.
    pub fn search(&self, wanted: Wanted, filter: Filter) {
        let search = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (workbench, last) = (Arc::clone(&self.workbench), Arc::clone(&self.last));
        self.work("eosin-search", move |finder, tell| {
            let current = || last.load(Ordering::Relaxed) == search;
            let result = finder.find(&workbench, &wanted, filter, N_HIT).map_err(|error| error.report());
            let hits = result.clone().unwrap_or_default();
            tell(SearchNews::Found { search, result });
            tell_status(finder, tell);
            for (idx, hit) in hits.iter().enumerate() {
                if !current() {
                    return;
                }
                // A file that has gone shows no picture; its name and score stand there all the same.
                if let Ok(tile) = finder.thumbnail(hit, THUMB_PX) {
                    tell(SearchNews::Thumbnail { search, idx, picture: color_image(&tile) });
                }
            }
        });
    }

    /// Adds a place to the library and indexes it in the background.
    pub fn index(&self, path: PathBuf) {
        let folder = self.annotations.clone();
        self.work("eosin-index", move |finder, tell| {
            let marked: Option<AnnotationsOf> = folder.map(|folder| {
                let marked: AnnotationsOf = Arc::new(move |slide| {
                    // A book that cannot be read marks nothing: the slide is indexed all the same.
                    let opened = eosin_workbench::AnnotationBook::open(&folder, slide);
                    opened.map(|(book, _)| book.list().cloned().collect()).unwrap_or_default()
                });
                marked
            });
            match finder.add(&path, marked) {
                Ok(()) => tell_status(finder, tell),
                Err(error) => tell(SearchNews::Failed(error.report())),
            }
        });
    }

    /// How far the indexing is, where one was begun.
    pub fn progress(&self) -> Option<IndexProgress> {
        self.finder.as_ref()?.progress().map(|(progress, _)| progress)
    }

    /// Pauses the indexing.
    pub fn pause_indexing(&self) {
        if let Some(running) = self.finder.as_ref().and_then(|finder| finder.running()) {
            running.pause();
        }
    }

    /// Goes on with it.
    pub fn resume_indexing(&self) {
        if let Some(running) = self.finder.as_ref().and_then(|finder| finder.running()) {
            running.resume();
        }
    }

    /// Ends the indexing; what is done is kept.
    pub fn stop_indexing(&self) {
        if let Some(running) = self.finder.as_ref().and_then(|finder| finder.running()) {
            running.stop();
        }
    }

    fn work(&self, name: &str, work: impl FnOnce(&Finder, &mut dyn FnMut(SearchNews)) + Send + 'static) {
        let Some(finder) = self.finder.clone() else { return };
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let job = move || {
            work(&finder, &mut |news| {
                // A window that has gone wants nothing.
                let _ = sender.send(news);
                ctx.request_repaint();
            });
        };
        if let Err(error) = std::thread::Builder::new().name(name.to_owned()).spawn(job) {
            let message = format!("cannot search: {error}");
            let report = ErrorReport { code: "thread".to_owned(), message, hint: None };
            let _ = self.sender.try_send(SearchNews::Failed(report));
        }
    }
}

fn tell_status(finder: &Finder, tell: &mut dyn FnMut(SearchNews)) {
    if let Ok((status, _)) = finder.status() {
        tell(SearchNews::Status { n_item: status.n_item });
    }
}
