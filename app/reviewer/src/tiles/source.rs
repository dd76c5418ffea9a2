//! Where tiles come from: the workbench's feed, or in tests a drawn slide of any size.

use std::sync::Arc;

use eosin_core::RgbTile;
use eosin_workbench::{
    Look, OpenedSlide, RequestId, Tile, TileAddress, TileFormat, TilePlan, TileResult, Workbench,
    WorkbenchError,
};

/// Place of a tile in its slide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TilePlace {
    /// Level of the plan; the last is base resolution.
    pub level: u32,
    /// Column.
    pub column: u32,
    /// Row.
    pub row: u32,
}

/// Why there are no pixels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TileFault {
    /// Nobody wanted them any more.
    Withdrawn,
    /// They cannot be read.
    Unreadable(String),
}

/// What a request is answered with.
pub type Pixels = Result<Arc<RgbTile>, TileFault>;

/// Takes the pixels; called exactly once, from any thread.
pub type Reply = Box<dyn FnOnce(Pixels) + Send>;

/// Names a request, to withdraw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ticket {
    /// A request to the workbench's feed.
    Feed(RequestId),
    /// A request to a source that counts for itself.
    Number(u64),
}

/// Gives the tiles of one slide. Nothing here may wait: a frame calls it.
pub trait TileSource: Send + Sync {
    /// Which tiles there are.
    fn plan(&self) -> TilePlan;
    /// Asks for a tile as a look shows it; the newest request is served first.
    fn request(&self, place: TilePlace, look: Look, reply: Reply) -> Option<Ticket>;
    /// Withdraws a request that was not answered yet.
    fn withdraw(&self, ticket: Ticket);
}

/// The workbench's feed for one slide.
#[derive(Debug)]
pub struct FeedSource {
    workbench: Arc<Workbench>,
    opened: Arc<OpenedSlide>,
}

impl FeedSource {
    /// The tiles of an opened slide.
    pub fn new(workbench: Arc<Workbench>, opened: Arc<OpenedSlide>) -> Self {
        Self { workbench, opened }
    }
}

impl TileSource for FeedSource {
    fn plan(&self) -> TilePlan {
        self.opened.plan
    }

    fn request(&self, place: TilePlace, look: Look, reply: Reply) -> Option<Ticket> {
        let TilePlace { level, column, row } = place;
        let address = TileAddress { level, column, row, look, format: TileFormat::Rgb };
        let reply = move |result: TileResult| {
            reply(match result {
                Ok(Tile::Rgb(pixels)) => Ok(pixels),
                Ok(Tile::Jpeg(_)) => Err(TileFault::Unreadable("the feed gave the wrong form".to_owned())),
                Err(WorkbenchError::Cancelled) => Err(TileFault::Withdrawn),
                Err(error) => Err(TileFault::Unreadable(error.report().message)),
            });
        };
        self.workbench.request_tile(&self.opened.key, address, reply).map(Ticket::Feed)
    }

    fn withdraw(&self, ticket: Ticket) {
        if let Ticket::Feed(id) = ticket {
            self.workbench.feed().cancel(id);
        }
    }
}
