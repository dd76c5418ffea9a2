//! A slide of any size that is drawn and not stored: rings and speckles in the colours of H&E, tile by tile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use eosin_core::RgbTile;
use eosin_reviewer::tiles::{Reply, Ticket, TileFault, TilePlace, TileSource};
use eosin_workbench::{Look, TilePlan};

/// How long a tile takes.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as it is drawn.
    Fast,
    /// So long each, besides.
    Slow(Duration),
    /// No tile comes at all.
    Never,
}

struct Queue {
    waiting: BTreeMap<u64, (TilePlace, Reply)>,
    closing: bool,
}

/// The slide and the threads that draw it.
pub struct DrawnSlide {
    plan: TilePlan,
    next: AtomicU64,
    pub n_asked: AtomicUsize,
    pub n_drawn: Arc<AtomicUsize>,
    shared: Arc<(Mutex<Queue>, Condvar)>,
}

impl DrawnSlide {
    pub fn new(base_px: [u32; 2], pace: Pace) -> Arc<Self> {
        let plan = TilePlan::new(base_px);
        let queue = Queue { waiting: BTreeMap::new(), closing: false };
        let shared = Arc::new((Mutex::new(queue), Condvar::new()));
        let n_drawn = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let (shared, n_drawn) = (Arc::clone(&shared), Arc::clone(&n_drawn));
            let work = move || serve(&shared, plan, pace, &n_drawn);
            std::thread::Builder::new().name("drawn-tile".into()).spawn(work).unwrap();
        }
        Arc::new(Self { plan, next: AtomicU64::new(1), n_asked: AtomicUsize::new(0), n_drawn, shared })
    }
}

impl Drop for DrawnSlide {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap().closing = true;
        self.shared.1.notify_all();
    }
}

fn serve(shared: &(Mutex<Queue>, Condvar), plan: TilePlan, pace: Pace, n_drawn: &AtomicUsize) {
    loop {
        let mut queue = shared.0.lock().unwrap();
        let (place, reply) = loop {
            if queue.closing {
                return;
            }
            match queue.waiting.pop_last() {
                Some((_, asked)) if !matches!(pace, Pace::Never) => break asked,
                Some((number, asked)) => {
                    queue.waiting.insert(number, asked);
                    queue = shared.1.wait(queue).unwrap();
                }
                None => queue = shared.1.wait(queue).unwrap(),
            }
        };
        drop(queue);
        if let Pace::Slow(pause) = pace {
            std::thread::sleep(pause);
        }
        n_drawn.fetch_add(1, Ordering::Relaxed);
        reply(Ok(Arc::new(draw(plan, place))));
    }
}

impl TileSource for DrawnSlide {
    fn plan(&self) -> TilePlan {
        self.plan
    }

    fn request(&self, place: TilePlace, _look: Look, reply: Reply) -> Option<Ticket> {
        self.n_asked.fetch_add(1, Ordering::Relaxed);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.shared.0.lock().unwrap().waiting.insert(number, (place, reply));
        self.shared.1.notify_one();
        Some(Ticket::Number(number))
    }

    fn withdraw(&self, ticket: Ticket) {
        let Ticket::Number(number) = ticket else { return };
        let asked = self.shared.0.lock().unwrap().waiting.remove(&number);
        if let Some((_, reply)) = asked {
            reply(Err(TileFault::Withdrawn));
        }
    }
}

/// A tile: what it shows follows from the place in base pixels, so that levels fit each other.
fn draw(plan: TilePlan, place: TilePlace) -> RgbTile {
    let downsample = plan.downsample(place.level).unwrap();
    let level_px = plan.level_px(place.level).unwrap();
    let corner = [place.column, place.row].map(|at| at * plan.tile_px());
    let size = [0, 1].map(|k| plan.tile_px().min(level_px[k] - corner[k]));
    let [base_w, base_h] = plan.base_px().map(f64::from);
    let mut pixels = Vec::with_capacity((size[0] * size[1] * 3) as usize);
    for y in 0..size[1] {
        for x in 0..size[0] {
            let bx = f64::from(corner[0] + x) * downsample;
            let by = f64::from(corner[1] + y) * downsample;
            let (u, v) = (bx / base_w - 0.5, by / base_h - 0.5);
            let radius = (u * u + v * v).sqrt();
            let ripple = ((bx / 900.0).sin() + (by / 1300.0).cos()) * 0.03;
            let inside = radius + ripple < 0.42;
            // Nuclei: dark where a coarse hash says so, smaller than a coarse pixel from far away.
            let (cell_x, cell_y) = ((bx / 40.0) as u64, (by / 40.0) as u64);
            let hash = cell_x.wrapping_mul(0x9e37_79b9).wrapping_add(cell_y.wrapping_mul(0x85eb_ca6b));
            let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35) >> 7;
            let off = ((bx / 40.0).fract() - 0.5).hypot((by / 40.0).fract() - 0.5);
            let nucleus = inside && downsample < 32.0 && hash % 9 == 0 && off < 0.32;
            let gland = ((radius + ripple) * 30.0).sin() > 0.55;
            pixels.extend(match (inside, nucleus, gland) {
                (false, ..) => [244, 242, 245],
                (true, true, _) => [92, 62, 140],
                (true, false, true) => [214, 130, 178],
                (true, false, false) => [236, 186, 208],
            });
        }
    }
    RgbTile::new(size, pixels).unwrap()
}
