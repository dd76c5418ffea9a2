//! The thread that turns pixels as they come into pixels as the graphics card takes them.
//!
//! A frame must not do it, and neither must the feed's threads, which read the next tile meanwhile.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use eframe::egui::ColorImage;
use eosin_core::RgbTile;

use super::source::{Pixels, TileFault};

type Deliver = Box<dyn FnOnce(Result<ColorImage, TileFault>) + Send>;

struct Job {
    pixels: Pixels,
    deliver: Deliver,
}

#[derive(Default)]
struct Queue {
    /// As long as there are requests under way, which layers bound.
    jobs: VecDeque<Job>,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

/// The thread; dropping it ends it.
pub struct Developer {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Developer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Developer")
    }
}

impl Developer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn new() -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("eosin-texture".to_owned()).spawn(move || serve(&for_thread))?;
        Ok(Self { shared })
    }

    /// Develops pixels; `deliver` is called once, from the thread. Never waits.
    pub fn develop(
        &self,
        pixels: Pixels,
        deliver: impl FnOnce(Result<ColorImage, TileFault>) + Send + 'static,
    ) {
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.jobs.push_back(Job { pixels, deliver: Box::new(deliver) });
        drop(queue);
        self.shared.work.notify_one();
    }
}

impl Drop for Developer {
    fn drop(&mut self) {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.shared.work.notify_all();
    }
}

fn serve(shared: &Shared) {
    loop {
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let job = loop {
            if queue.closing {
                return;
            }
            match queue.jobs.pop_front() {
                Some(job) => break job,
                None => queue = shared.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        let Job { pixels, deliver } = job;
        // A panic is a bug of ours, and must not be the end of all tiles.
        let _ = catch_unwind(AssertUnwindSafe(|| deliver(pixels.map(|tile| color_image(&tile)))));
    }
}

/// A picture as egui takes it.
pub fn color_image(tile: &RgbTile) -> ColorImage {
    ColorImage::from_rgb(tile.size_px().map(|side| side as usize), tile.pixels())
}
