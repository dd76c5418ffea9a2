//! The tiles of a slide as textures: asked for while they are seen, drawn coarser until they arrive.
//!
//! No frame waits. A frame asks for what it sees and lacks, draws the nearest coarser (or finer) tile that is
//! there in its place, and uploads what arrived, a bounded number of bytes a frame. Pixels are widened to
//! RGBA on a thread of their own. What scrolled away before it came is withdrawn. Textures are kept
//! while they fit, the least recently drawn go first; the one tile that shows the whole slide always stays.
//! Held true by `tests/frames.rs`, whose tiles come late on purpose.

mod developer;
mod source;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use eframe::egui::{self, Color32, ColorImage, Mesh, Pos2, Rect, Shape, TextureHandle, TextureOptions};
use eosin_workbench::{Look, TilePlan};

pub use developer::{Developer, color_image};
pub use source::{FeedSource, Pixels, Reply, Ticket, TileFault, TilePlace, TileSource};

use crate::viewport::Viewport;

/// Requests that may be under way at once.
const MAX_ASKED: usize = 48;
/// Bytes of textures made in one frame.
const UPLOAD_BYTES: usize = 6 << 20;
/// Texture bytes that a slide in front may hold.
pub const FRONT_BYTES: usize = 512 << 20;
/// Texture bytes that a slide in a tab behind may hold.
pub const BACK_BYTES: usize = 48 << 20;
/// How much coarser than the screen a tile may be, in powers of two.
const COARSER: f64 = 0.3;
/// Levels up at which a coarse tile is asked for ahead of fine ones.
const AHEAD: u32 = 2;

/// A tile on the graphics card.
struct Held {
    texture: TextureHandle,
    look: Look,
    /// Frame in which it was drawn last.
    used: u64,
    n_byte: usize,
}

/// A tile on its way.
struct Asked {
    ticket: Option<Ticket>,
    look: Look,
}

/// A tile as the developer's thread hands it over.
struct Developed {
    place: TilePlace,
    look: Look,
    picture: Result<ColorImage, TileFault>,
}

/// What a frame drew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drawn {
    /// Tiles drawn at the wanted level.
    pub n_sharp: usize,
    /// Tiles that are not there yet.
    pub n_missing: usize,
    /// Tiles that cannot be read.
    pub n_broken: usize,
}

/// What a layer holds, for tests and for the curious.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LayerStats {
    /// Textures held.
    pub n_held: usize,
    /// Their bytes.
    pub held_bytes: usize,
    /// Requests under way.
    pub n_asked: usize,
    /// Requests withdrawn so far.
    pub n_withdrawn: u64,
    /// Textures made in the last frame, in bytes.
    pub uploaded_bytes: usize,
}

/// The tiles of one slide.
pub struct TileLayer {
    source: Arc<dyn TileSource>,
    developer: Arc<Developer>,
    plan: TilePlan,
    look: Look,
    capacity_bytes: usize,
    frame: u64,
    held: HashMap<TilePlace, Held>,
    held_bytes: usize,
    asked: HashMap<TilePlace, Asked>,
    broken: HashMap<TilePlace, String>,
    sender: SyncSender<Developed>,
    arrived: Receiver<Developed>,
    /// One that arrived when the frame's bytes were spent.
    waiting: Option<Developed>,
    n_withdrawn: u64,
    uploaded_bytes: usize,
}

impl std::fmt::Debug for TileLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TileLayer({:?})", self.stats())
    }
}

impl TileLayer {
    /// The tiles of a source, none of them there yet.
    pub fn new(source: Arc<dyn TileSource>, developer: Arc<Developer>) -> Self {
        let plan = source.plan();
        // Twice what can be under way: a reply never waits for a frame.
        let (sender, arrived) = sync_channel(4 * MAX_ASKED);
        Self {
            source,
            developer,
            plan,
            look: Look::default(),
            capacity_bytes: FRONT_BYTES,
            frame: 0,
            held: HashMap::new(),
            held_bytes: 0,
            asked: HashMap::new(),
            broken: HashMap::new(),
            sender,
            arrived,
            waiting: None,
            n_withdrawn: 0,
            uploaded_bytes: 0,
        }
    }

    /// Shows the slide otherwise; what is there is drawn until the new tiles come.
    pub fn set_look(&mut self, look: Look) {
        if look != self.look {
            self.rest();
            self.look = look;
            self.broken.clear();
        }
    }

    /// How the slide is shown.
    pub fn look(&self) -> Look {
        self.look
    }

    /// Bounds the bytes of the textures.
    pub fn set_capacity(&mut self, bytes: usize) {
        self.capacity_bytes = bytes;
        self.evict();
    }

    /// Withdraws all that is under way: the slide is not in front any more.
    pub fn rest(&mut self) {
        self.withdraw_but(&HashSet::new());
    }

    /// Tries tiles again that could not be read.
    pub fn retry(&mut self) {
        self.broken.clear();
    }

    /// Why a tile could not be read, where one could not.
    pub fn fault(&self) -> Option<&str> {
        self.broken.values().next().map(String::as_str)
    }

    /// What it holds.
    pub fn stats(&self) -> LayerStats {
        LayerStats {
            n_held: self.held.len(),
            held_bytes: self.held_bytes,
            n_asked: self.asked.len(),
            n_withdrawn: self.n_withdrawn,
            uploaded_bytes: self.uploaded_bytes,
        }
    }

    /// The tile that shows the whole slide, once it is there.
    pub fn overview(&self) -> Option<&TextureHandle> {
        self.held.get(&self.root()).map(|held| &held.texture)
    }

    /// Draws what the viewport sees into `rect`.
    pub fn draw(&mut self, painter: &egui::Painter, rect: Rect, viewport: &Viewport) -> Drawn {
        self.frame += 1;
        self.take_in(painter.ctx());
        let level = self.level_for(viewport.pose().scale * f64::from(painter.pixels_per_point()));
        let seen = self.seen(level, viewport);
        let mut drawn = Drawn::default();
        let mut under = HashSet::new();
        let mut over = Vec::new();
        for place in &seen {
            if let Some(held) = self.held.get(place) {
                drawn.n_sharp += 1;
                if held.look != self.look {
                    under.extend(self.nearest_coarser(*place));
                }
                over.push(*place);
                continue;
            }
            if self.broken.contains_key(place) {
                drawn.n_broken += 1;
            } else {
                drawn.n_missing += 1;
            }
            under.extend(self.nearest_coarser(*place));
            over.extend(self.finer(*place));
        }
        let mut under: Vec<TilePlace> = under.into_iter().collect();
        // Coarse first, so that the finest that is there lies on top.
        under.sort_unstable();
        for place in under.into_iter().chain(over) {
            if let Some(held) = self.held.get_mut(&place) {
                held.used = self.frame;
                let texture = held.texture.id();
                painter.add(Shape::mesh(mesh(&self.plan, place, texture, rect, viewport)));
            }
        }
        self.ask(seen, level, viewport, painter.ctx());
        self.evict();
        drawn
    }

    /// The level whose pixels are about as large as the screen's.
    fn level_for(&self, screen_px_per_base_px: f64) -> u32 {
        let last = self.plan.n_level() - 1;
        let steps = ((1.0 / screen_px_per_base_px).log2() + COARSER).floor();
        last - (steps.clamp(0.0, f64::from(last)) as u32)
    }

    /// The finest level that is one tile.
    fn root(&self) -> TilePlace {
        let level = (0..self.plan.n_level()).rev().find(|level| self.plan.n_tile(*level) == Some([1, 1]));
        TilePlace { level: level.unwrap_or(0), column: 0, row: 0 }
    }

    /// Tiles of a level that the view touches, nearest to its middle first.
    fn seen(&self, level: u32, viewport: &Viewport) -> Vec<TilePlace> {
        let (Some(downsample), Some(n_tile)) = (self.plan.downsample(level), self.plan.n_tile(level)) else {
            return Vec::new();
        };
        let side = f64::from(self.plan.tile_px()) * downsample;
        let rect = viewport.view_rect();
        let range = |k: usize| {
            let first = (rect.origin_base_px[k] / side).floor().max(0.0) as u32;
            let end = ((rect.origin_base_px[k] + rect.size_base_px[k]) / side).ceil().max(0.0) as u32;
            first..end.min(n_tile[k])
        };
        let middle = viewport.pose().center_base_px;
        let mut seen: Vec<(f64, TilePlace)> = range(1)
            .flat_map(|row| range(0).map(move |column| TilePlace { level, column, row }))
            .map(|place| {
                let at = [place.column, place.row].map(|place| (f64::from(place) + 0.5) * side);
                ((at[0] - middle[0]).hypot(at[1] - middle[1]), place)
            })
            .collect();
        seen.sort_by(|a, b| a.0.total_cmp(&b.0));
        seen.into_iter().map(|(_, place)| place).collect()
    }

    fn nearest_coarser(&self, place: TilePlace) -> Option<TilePlace> {
        (1..=place.level).filter_map(|up| parent(place, up)).find(|coarser| self.held.contains_key(coarser))
    }

    /// The tiles of the next finer level that lie in `place` and are there: what was seen before zooming out.
    fn finer(&self, place: TilePlace) -> impl Iterator<Item = TilePlace> {
        let TilePlace { level, column, row } = place;
        (0..4)
            .map(move |k| TilePlace { level: level + 1, column: 2 * column + k % 2, row: 2 * row + k / 2 })
            .filter(|finer| self.held.contains_key(finer))
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// Asks for what is seen and not there, and withdraws what is not wanted any more.
    fn ask(&mut self, seen: Vec<TilePlace>, level: u32, viewport: &Viewport, ctx: &egui::Context) {
        // A view that is flying past sees coarse tiles only: fine ones would be withdrawn unread.
        let mut wanted = vec![self.root()];
        if level > AHEAD {
            let coarse = self.seen(level - AHEAD, viewport);
            wanted.extend(coarse.into_iter().filter(|coarse| coarse.level > self.root().level));
        }
        wanted.extend(seen);
        let lacking = |place: &TilePlace| {
            !self.broken.contains_key(place) && self.held.get(place).is_none_or(|held| held.look != self.look)
        };
        wanted.retain(lacking);
        wanted.truncate(MAX_ASKED);
        let keep: HashSet<TilePlace> = wanted.iter().copied().collect();
        self.withdraw_but(&keep);
        // The newest request is served first, so the most wanted is asked for last.
        for place in wanted.into_iter().rev() {
            if !self.asked.contains_key(&place) {
                self.request(place, ctx);
            }
        }
    }

    fn request(&mut self, place: TilePlace, ctx: &egui::Context) {
        let (developer, sender, ctx) = (Arc::clone(&self.developer), self.sender.clone(), ctx.clone());
        let look = self.look;
        let reply: Reply = Box::new(move |pixels| {
            // Whoever withdrew it has forgotten it already.
            if matches!(pixels, Err(TileFault::Withdrawn)) {
                return;
            }
            developer.develop(pixels, move |picture| {
                // A layer that has gone wants nothing; one that is full will ask again.
                let _ = sender.try_send(Developed { place, look, picture });
                ctx.request_repaint();
            });
        });
        let ticket = self.source.request(place, look, reply);
        self.asked.insert(place, Asked { ticket, look });
    }

    fn withdraw_but(&mut self, keep: &HashSet<TilePlace>) {
        let gone: Vec<TilePlace> = self.asked.keys().filter(|asked| !keep.contains(asked)).copied().collect();
        for place in gone {
            self.n_withdrawn += 1;
            if let Some(ticket) = self.asked.remove(&place).and_then(|asked| asked.ticket) {
                self.source.withdraw(ticket);
            }
        }
    }

    /// Makes textures of what arrived, as far as the frame's bytes go.
    fn take_in(&mut self, ctx: &egui::Context) {
        self.uploaded_bytes = 0;
        while let Some(developed) = self.waiting.take().or_else(|| self.arrived.try_recv().ok()) {
            let Developed { place, look, picture } = developed;
            match picture {
                Ok(picture) => {
                    let n_byte = picture.pixels.len() * 4;
                    if self.uploaded_bytes > 0 && self.uploaded_bytes + n_byte > UPLOAD_BYTES {
                        self.waiting = Some(Developed { place, look, picture: Ok(picture) });
                        ctx.request_repaint();
                        return;
                    }
                    self.uploaded_bytes += n_byte;
                    self.answered(place, look);
                    if look == self.look {
                        self.hold(ctx, place, picture);
                    }
                }
                Err(TileFault::Withdrawn) => self.answered(place, look),
                Err(TileFault::Unreadable(reason)) => {
                    self.answered(place, look);
                    if look == self.look {
                        self.broken.insert(place, reason);
                    }
                }
            }
        }
    }

    fn answered(&mut self, place: TilePlace, look: Look) {
        if self.asked.get(&place).is_some_and(|asked| asked.look == look) {
            self.asked.remove(&place);
        }
    }

    fn hold(&mut self, ctx: &egui::Context, place: TilePlace, picture: ColorImage) {
        let n_byte = picture.pixels.len() * 4;
        let texture = ctx.load_texture("tile", picture, TextureOptions::LINEAR);
        let held = Held { texture, look: self.look, used: self.frame, n_byte };
        self.held_bytes += n_byte;
        if let Some(old) = self.held.insert(place, held) {
            self.held_bytes -= old.n_byte;
        }
    }

    /// Drops the least recently drawn until the rest fits; what this frame drew stays.
    fn evict(&mut self) {
        if self.held_bytes <= self.capacity_bytes {
            return;
        }
        let root = self.root();
        let mut old: Vec<(u64, TilePlace)> = self
            .held
            .iter()
            .filter(|(place, held)| **place != root && held.used < self.frame)
            .map(|(place, held)| (held.used, *place))
            .collect();
        old.sort_unstable();
        for (_, place) in old {
            if self.held_bytes <= self.capacity_bytes {
                return;
            }
            if let Some(gone) = self.held.remove(&place) {
                self.held_bytes -= gone.n_byte;
            }
        }
    }
}

impl Drop for TileLayer {
    fn drop(&mut self) {
        self.rest();
    }
}

/// The tile `up` levels coarser that shows the same place.
fn parent(place: TilePlace, up: u32) -> Option<TilePlace> {
    let level = place.level.checked_sub(up)?;
    let shift = |place: u32| place.checked_shr(up).unwrap_or(0);
    Some(TilePlace { level, column: shift(place.column), row: shift(place.row) })
}

/// Two triangles that show a tile where the viewport sees it; turned with the slide.
fn mesh(
    plan: &TilePlan,
    place: TilePlace,
    texture: egui::TextureId,
    rect: Rect,
    viewport: &Viewport,
) -> Mesh {
    let downsample = plan.downsample(place.level).unwrap_or(1.0);
    let level_px = plan.level_px(place.level).unwrap_or([1, 1]);
    let base_px = viewport.base_px();
    let corner = [place.column, place.row].map(|place| place * plan.tile_px());
    // Start and end in base pixels, and the share of the texture that lies within the slide: the last pixel of
    // a coarse level hangs over the edge.
    let spans = [0, 1].map(|k| {
        let start = f64::from(corner[k]) * downsample;
        let size = f64::from(plan.tile_px().min(level_px[k].saturating_sub(corner[k]))) * downsample;
        let end = (start + size).min(base_px[k]);
        (start, end, ((end - start) / size.max(1e-9)) as f32)
    });
    let [(left, right, u), (top, bottom, v)] = spans;
    let corners = [
        ([left, top], [0.0, 0.0]),
        ([right, top], [u, 0.0]),
        ([right, bottom], [u, v]),
        ([left, bottom], [0.0, v]),
    ];
    let mut mesh = Mesh::with_texture(texture);
    for (base, uv) in corners {
        let [x, y] = viewport.view_from_base(base);
        let pos = Pos2::new((f64::from(rect.left()) + x) as f32, (f64::from(rect.top()) + y) as f32);
        mesh.vertices.push(egui::epaint::Vertex { pos, uv: uv.into(), color: Color32::WHITE });
    }
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(0, 2, 3);
    mesh
}
