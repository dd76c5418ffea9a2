//! Rows as they lie on disk, before anything is known of what they mean.
//!
//! Every container (JSON, parquet, CSV, tar, folders) gives its rows in this one shape, an object of named
//! values, so that what a row means is decided once, in `meaning.rs`, and not once a container.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::at::FileAt;
use super::scan::{Index, Layout, MAX_ROW_BYTES};
use super::{Picture, Skip, Tally};
use crate::error::TrainError;

/// Starts a string that stands for a picture held beside the row; no text from a file begins with NUL.
const HELD: &str = "\0held:";

/// One row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// Named values.
    pub(crate) value: Map<String, Value>,
    /// Pictures that the container itself holds; values point to them by [`Row::hold`].
    pub(crate) held: Vec<Picture>,
    /// Keys around the list that the row lies in.
    pub(crate) place: Vec<String>,
}

impl Row {
    /// Keeps a picture beside the row; the value stands for it.
    pub(crate) fn hold(&mut self, picture: Picture) -> Value {
        self.held.push(picture);
        Value::String(format!("{HELD}{}", self.held.len() - 1))
    }

    /// The picture that a value stands for, where it stands for one.
    pub(crate) fn held(&self, text: &str) -> Option<&Picture> {
        self.held.get(text.strip_prefix(HELD)?.parse::<usize>().ok()?)
    }
}

/// Rows by number.
pub(crate) trait Rows: Send + Sync + std::fmt::Debug {
    /// How many there are.
    fn n_row(&self) -> u64;

    /// Row `idx`.
    fn row(&self, idx: u64) -> Result<Row, Skip>;

    /// What to call row `idx`.
    fn name(&self, idx: u64) -> String;
}

/// Rows of a JSON file, found by their offsets.
#[derive(Debug)]
pub(crate) struct JsonRows {
    file: FileAt,
    index: Index,
    stem: String,
}

impl JsonRows {
    /// Finds the rows of a file.
    pub(crate) fn open(path: &Path, layout: Option<Layout>, tally: &mut Tally) -> Result<Self, TrainError> {
        let file = FileAt::open(path).map_err(TrainError::file("open the rows", path))?;
        let layout = match layout {
            Some(layout) => layout,
            None => guess_layout(path)?,
        };
        let source = BufReader::with_capacity(1 << 18, open(path)?);
        let stem = stem(path);
        let (index, torn) = Index::scan(source, layout).map_err(|error| {
            TrainError::plan(format!("the rows cannot be read: {error}: {}", path.display()))
        })?;
        if let Some(torn) = torn {
            tally.skip(stem.clone(), format!("the file ends early: {torn}"));
        }
        Ok(Self { file, index, stem })
    }
}

impl Rows for JsonRows {
    fn n_row(&self) -> u64 {
        self.index.rows.len() as u64
    }

    fn name(&self, idx: u64) -> String {
        format!("{}:{idx}", self.stem)
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        let refuse = |reason: String| Skip { id: self.name(idx), reason };
        let span = self.index.rows.get(idx as usize).ok_or_else(|| refuse("no such row".into()))?;
        if u64::from(span.n_byte) > MAX_ROW_BYTES {
            return Err(refuse(format!("a row of more than {MAX_ROW_BYTES} bytes")));
        }
        let bytes = self.file.read(span.offset, u64::from(span.n_byte));
        let bytes = bytes.map_err(|error| refuse(format!("cannot read the row: {error}")))?;
        let place = self.index.places.get(usize::from(span.place)).cloned().unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(value)) => Ok(Row { value, held: Vec::new(), place }),
            Ok(_) => Err(refuse("not an object".into())),
            Err(error) => Err(refuse(format!("not JSON: {error}"))),
        }
    }
}

/// A list or nested lists in `.json`, rows by line in `.jsonl`; some call the latter `.json` too.
fn guess_layout(path: &Path) -> Result<Layout, TrainError> {
    let lines = path.extension().is_some_and(|name| {
        let name = name.to_string_lossy().to_ascii_lowercase();
        name == "jsonl" || name == "ndjson"
    });
    if lines {
        return Ok(Layout::Lines);
    }
    let source = BufReader::new(open(path)?);
    let mut lines = std::io::Read::take(source, MAX_ROW_BYTES)
        .split(b'\n')
        .filter(|line| line.as_ref().map_or(true, |line| !line.trim_ascii().is_empty()));
    let mut next = || lines.next().transpose().map_err(TrainError::file("read the rows", path));
    let first = next()?.unwrap_or_default();
    let Ok(row) = serde_json::from_slice::<Map<String, Value>>(first.trim_ascii()) else {
        return Ok(Layout::Lists);
    };
    // A whole object in the first line and another after it: every line is one. A file of a single line is
    // a row where it has what a row has.
    let follows = next()?.is_some_and(|line| line.trim_ascii().starts_with(b"{"));
    let is_row = ROW_KEYS.iter().any(|key| row.contains_key(*key));
    Ok(if follows || is_row { Layout::Lines } else { Layout::Lists })
}

/// Names that rows have and lists of rows do not.
const ROW_KEYS: [&str; 11] = [
    "conversations",
    "messages",
    "image",
    "images",
    "prompt",
    "instruction",
    "query",
    "question",
    "problem",
    "text",
    "caption",
];

pub(crate) fn open(path: &Path) -> Result<File, TrainError> {
    File::open(path).map_err(TrainError::file("open the rows", path))
}

/// The file's name without its folder and ending, to call rows by.
pub(crate) fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "rows".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Rows of several files, one file after the other.
#[derive(Debug)]
pub(crate) struct Chain {
    parts: Vec<(u64, Arc<dyn Rows>)>,
    n_row: u64,
}

impl Chain {
    pub(crate) fn new(parts: Vec<Arc<dyn Rows>>) -> Self {
        let mut n_row = 0;
        let parts = parts.into_iter().map(|part| {
            let first = n_row;
            n_row += part.n_row();
            (first, part)
        });
        let parts = parts.collect();
        Self { parts, n_row }
    }

    fn find(&self, idx: u64) -> Option<(&dyn Rows, u64)> {
        let part = self.parts.partition_point(|(first, _)| *first <= idx).checked_sub(1)?;
        let (first, rows) = &self.parts[part];
        Some((rows.as_ref(), idx - first))
    }
}

impl Rows for Chain {
    fn n_row(&self) -> u64 {
        self.n_row
    }

    fn name(&self, idx: u64) -> String {
        self.find(idx).map_or_else(|| format!("row {idx}"), |(rows, idx)| rows.name(idx))
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        match self.find(idx) {
            Some((rows, idx)) if idx < rows.n_row() => rows.row(idx),
            _ => Err(Skip { id: format!("row {idx}"), reason: "no such row".into() }),
        }
    }
}

/// Files with one of the endings directly in a folder, by name.
pub(crate) fn files_with(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let Ok(items) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = items
        .filter_map(|item| Some(item.ok()?.path()))
        .filter(|path| path.is_file())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
            !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    files.sort();
    files
}
