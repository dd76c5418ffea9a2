//! What can go wrong with a slide, by what the caller can do about it.
//!
//! A message names its own level only; the reader's own words follow as the source, because users of slide
//! viewers ask first for exactly those. Held true by `tests/slides.rs`, which compares whole chains.

use std::path::PathBuf;

use eosin_core::Hint;

/// Why a slide or a part of it cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SlideError {
    /// The file does not open as a slide or picture.
    #[error("cannot open the slide {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The reader's own words.
        source: OpenCause,
    },
    /// The file opened, but pixels of it do not decode.
    #[error("cannot read pixels of the slide {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reader's own words.
        source: ReadCause,
    },
    /// The region leaves the slide by a whole returned pixel or more.
    #[error(
        "a region of {:.0} × {:.0} base px at {origin_base_px:?} leaves the slide, which has {} × {} px",
        size_base_px[0], size_base_px[1], slide_px[0], slide_px[1]
    )]
    OutOfBounds {
        /// Top-left corner in base pixels.
        origin_base_px: [u32; 2],
        /// Width and height in base pixels.
        size_base_px: [f64; 2],
        /// Size of level 0.
        slide_px: [u32; 2],
    },
    /// A region without pixels.
    #[error("a region of {} × {} px is empty", size_px[0], size_px[1])]
    EmptyRegion {
        /// The size asked for.
        size_px: [u32; 2],
    },
    /// More pixels than are returned in one piece.
    #[error("a region of {} × {} px is too large for one piece: at most {limit_px} px", size_px[0], size_px[1])]
    TooLarge {
        /// The size asked for.
        size_px: [u32; 2],
        /// Most pixels returned at once.
        limit_px: u64,
    },
    /// No coarse level, and too many fine pixels to read through.
    #[error(
        "{n_px} px would have to be decoded for this region, because no coarser level exists: at most {limit_px}"
    )]
    TooFine {
        /// Pixels to decode.
        n_px: u64,
        /// Most pixels decoded for one region.
        limit_px: u64,
    },
    /// A downsample that is not a positive number.
    #[error("{downsample} base px per px is no scale")]
    BadScale {
        /// The value asked for.
        downsample: f64,
    },
    /// A scale in µm per pixel was asked of a slide that states none.
    #[error("the slide states no scale")]
    NoScale,
    /// A region made for another slide.
    #[error("the region belongs to another slide")]
    WrongSlide,
    /// A level that the slide does not have.
    #[error("level {level_idx} does not exist: the slide has {n_level}")]
    NoSuchLevel {
        /// The level asked for, counted from 0.
        level_idx: usize,
        /// Number of levels.
        n_level: usize,
    },
    /// An associated image that the file does not hold.
    #[error("no associated image is called {name:?}: the file has {available:?}")]
    NoSuchImage {
        /// The name asked for.
        name: String,
        /// The names there are.
        available: Vec<String>,
    },
    /// An associated image that may show patient data, without the word to show it.
    #[error("the associated image {name:?} may show patient data and stays hidden")]
    HiddenImage {
        /// The name asked for.
        name: String,
    },
    /// A pyramid that could not be written.
    #[error("cannot write the pyramid {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: WriteCause,
    },
}

/// Why a file does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenCause {
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A folder, pipe or device.
    #[error("not a file")]
    NotAFile,
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// No reader knows the content.
    #[error("neither OpenSlide {version} nor a picture reader recognises the content")]
    Unrecognised {
        /// Version of the OpenSlide library in use.
        version: String,
    },
    /// DICOM, which OpenSlide reads from version 4 on.
    #[error("DICOM is not read by OpenSlide {version}")]
    Dicom {
        /// Version of the OpenSlide library in use.
        version: String,
    },
    /// OpenSlide recognises the file and fails.
    #[error("OpenSlide: {message}")]
    OpenSlide {
        /// OpenSlide's own message.
        message: String,
    },
    /// The picture does not decode.
    #[error(transparent)]
    Picture(#[from] image::ImageError),
    /// The picture is larger than what is held in memory.
    #[error("a picture of {} × {} px is too large: at most {limit_px} px", size_px[0], size_px[1])]
    PictureTooLarge {
        /// The size the file states.
        size_px: [u32; 2],
        /// Most pixels of a picture.
        limit_px: u64,
    },
    /// One grey channel a page: the first page alone would be a wrong picture.
    #[error("a fluorescence OME-TIFF with one channel a page is not read")]
    ChannelPages,
    /// A whole slide where a plain picture is wanted.
    #[error("a whole slide, not a plain picture")]
    WholeSlide,
}

/// Why pixels of an open file do not come.
#[derive(Debug, thiserror::Error)]
pub enum ReadCause {
    /// The file was taken away while it was open.
    #[error("the file is gone")]
    Gone,
    /// OpenSlide fails.
    #[error("OpenSlide: {message}")]
    OpenSlide {
        /// OpenSlide's own message.
        message: String,
    },
    /// The reader returned another number of bytes than the region has.
    #[error("the reader returned {n_byte} bytes for {n_px} px")]
    ShortRead {
        /// Bytes returned.
        n_byte: usize,
        /// Pixels asked for.
        n_px: usize,
    },
    /// The associated image is larger than what is held in memory.
    #[error("an associated image of {} × {} px is too large", size_px[0], size_px[1])]
    ImageTooLarge {
        /// The size the file states.
        size_px: [u32; 2],
    },
}

/// Why a pyramid is not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteCause {
    /// The operating system refuses.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The TIFF encoder refuses.
    #[error(transparent)]
    Tiff(#[from] tiff::TiffError),
    /// A tile does not encode.
    #[error(transparent)]
    Picture(#[from] image::ImageError),
    /// The caller's tile does not come.
    #[error("the tile at {origin_base_px:?} does not come")]
    Source {
        /// Corner of the tile.
        origin_base_px: [u32; 2],
        /// Why.
        source: Box<SlideError>,
    },
    /// The caller's tile has another size than was asked for.
    #[error("the tile at {origin_base_px:?} has {got_px:?} px instead of {want_px:?}")]
    TileSize {
        /// Corner of the tile.
        origin_base_px: [u32; 2],
        /// Size returned.
        got_px: [u32; 2],
        /// Size asked for.
        want_px: [u32; 2],
    },
    /// Options that no TIFF can hold.
    #[error("{reason}")]
    Options {
        /// What is wrong with them.
        reason: &'static str,
    },
}

impl Hint for SlideError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source: OpenCause::Unrecognised { .. } | OpenCause::Empty, .. } => {
                Some("check that the file was copied whole; `eosin slide --help` lists the formats")
            }
            Self::Open { source: OpenCause::Dicom { .. }, .. } => {
                Some("convert it to a pyramidal TIFF, or install OpenSlide 4")
            }
            Self::Open { source: OpenCause::WholeSlide, .. } => Some("give it as a slide with a region"),
            Self::Open { source: OpenCause::PictureTooLarge { .. }, .. } => {
                Some("convert it to a pyramidal TIFF, which is read piece by piece")
            }
            Self::Read { source: ReadCause::Gone, .. } => {
                Some("put the file back or connect its drive again; the slide goes on from there")
            }
            Self::Read { .. } => Some("the file is damaged there; try another region or copy it again"),
            Self::TooLarge { .. } | Self::TooFine { .. } => Some("ask for a smaller region or read finer"),
            Self::NoScale => {
                Some("ask by downsample, or state the scale of level 0 with `--assume-mpp 0.25`")
            }
            Self::HiddenImage { .. } => Some("ask for it by name with `--associated`"),
            Self::OutOfBounds { .. }
            | Self::EmptyRegion { .. }
            | Self::BadScale { .. }
            | Self::WrongSlide
            | Self::NoSuchLevel { .. }
            | Self::NoSuchImage { .. }
            | Self::Open { .. }
            | Self::Write { .. } => None,
        }
    }
}
