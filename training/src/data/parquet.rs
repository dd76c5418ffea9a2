//! Rows of parquet files: of verl, of Hugging Face's `datasets`, of pandas.
//!
//! Written here because the usual crate switches on features that have burn compiled anew, and because a
//! training set is read in a way of its own: a row at a time, anywhere, with pictures of megabytes in some
//! columns. A page is the smallest piece that can be unpacked, so the last few of each column are kept, and
//! a sequential pass unpacks each page once. Where pages begin is found from their headers alone; for lists
//! also from their levels. The format: parquet.apache.org/docs/file-format. Held true by
//! `tests/train_data.rs`, with files of pyarrow.

mod page;
mod schema;
mod thrift;

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Number, Value};

use super::at::FileAt;
use super::row::{Row, Rows, stem};
use super::{Picture, Skip};
use crate::error::TrainError;
use page::{Head, Kind, Page, Values, count_rows, read_dictionary, read_page};
use schema::{Chunk, Column, Physical, Schema};

/// Why a file cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Torn(&'static str);

fn refuse<T>(what: &'static str) -> Result<T, Torn> {
    Err(Torn(what))
}

/// Pages of a column that are kept unpacked.
const N_KEPT: usize = 2;

/// Rows of one file.
#[derive(Debug)]
pub(crate) struct ParquetRows {
    file: FileAt,
    schema: Schema,
    /// For each group, for each column: where its pages are, found when first needed.
    maps: Vec<Vec<OnceLock<Result<ChunkMap, Torn>>>>,
    /// For each column, the pages read last.
    kept: Vec<Mutex<Vec<(usize, usize, Arc<Page>)>>>,
    stem: String,
}

/// Where the pages of a column are within one group.
#[derive(Debug)]
struct ChunkMap {
    /// Header and first row of each page.
    pages: Vec<(Head, u64)>,
    dictionary: Option<Values>,
}

impl ChunkMap {
    fn read(file: &FileAt, chunk: &Chunk, column: &Column, n_row: u64) -> Result<Self, Torn> {
        let mut pages = Vec::new();
        let mut dictionary = None;
        let (mut offset, mut first) = (chunk.start, 0_u64);
        let mut n_value = 0;
        while offset < chunk.end && n_value < chunk.n_value {
            let (head, next) = Head::read(file, offset, chunk.end)?;
            offset = next;
            let Some(head) = head else { continue };
            if head.kind == Kind::Dictionary {
                dictionary = Some(read_dictionary(file, &head, chunk, column)?);
                continue;
            }
            n_value += head.n_value;
            pages.push((head, first));
            first = first.saturating_add(count_rows(file, &head, chunk, column)?);
        }
        if first < n_row {
            return refuse("pages for fewer rows than stated");
        }
        Ok(Self { pages, dictionary })
    }
}

impl ParquetRows {
    /// Reads the footer.
    pub(crate) fn open(path: &Path) -> Result<Self, TrainError> {
        let file = FileAt::open(path).map_err(TrainError::file("open the parquet file", path))?;
        let schema = Schema::read(&file).map_err(|torn| {
            TrainError::plan(format!("the parquet file cannot be read: {torn}: {}", path.display()))
        })?;
        let maps = schema
            .groups
            .iter()
            .map(|_| (0..schema.columns.len()).map(|_| OnceLock::new()).collect())
            .collect();
        let kept = (0..schema.columns.len()).map(|_| Mutex::default()).collect();
        Ok(Self { file, schema, maps, kept, stem: stem(path) })
    }

    fn page(&self, group: usize, column: usize, map: &ChunkMap, page: usize) -> Result<Arc<Page>, Torn> {
        let lock = || self.kept[column].lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            lock().iter().find(|kept| (kept.0, kept.1) == (group, page)).map(|kept| Arc::clone(&kept.2));
        if let Some(found) = found {
            return Ok(found);
        }
        let chunk = &self.schema.groups[group].chunks[column];
        let head = &map.pages[page].0;
        let read = Arc::new(read_page(&self.file, head, chunk, &self.schema.columns[column])?);
        let mut kept = lock();
        if kept.len() >= N_KEPT {
            kept.remove(0);
        }
        kept.push((group, page, Arc::clone(&read)));
        Ok(read)
    }

    /// Adds the values that one column has in a row.
    fn add(&self, group: usize, column: usize, row_in_group: u64, row: &mut Row) -> Result<(), Torn> {
        let about = &self.schema.columns[column];
        let n_row = self.schema.groups[group].n_row;
        let chunk = &self.schema.groups[group].chunks[column];
        let map = self.maps[group][column].get_or_init(|| ChunkMap::read(&self.file, chunk, about, n_row));
        let map = map.as_ref().map_err(|torn| *torn)?;
        // Of pages that begin with one row, all but the last hold a part of the row before.
        let first = map.pages.partition_point(|(_, first)| *first <= row_in_group);
        let mut page_idx = first.checked_sub(1).ok_or(Torn("a row before the first page"))?;
        let page = self.page(group, column, map, page_idx)?;
        let n_before = row_in_group - map.pages[page_idx].1;
        let Some((mut place, mut value)) = page.find_row(n_before) else {
            return refuse("a row that no page has");
        };
        let mut page = page;
        let mut counters = vec![0_usize; about.max_repetition as usize + 1];
        let mut is_first = true;
        loop {
            let n_entry = if about.max_repetition > 0 { page.repetition.len() } else { place + 1 };
            while place < n_entry {
                let repetition = page.repetition.get(place).copied().unwrap_or(0);
                if repetition == 0 && !is_first {
                    return Ok(());
                }
                let definition =
                    page.definition.get(place).map_or(about.max_definition, |level| u32::from(*level));
                if is_first {
                    counters.fill(0);
                } else {
                    counters[usize::from(repetition)] += 1;
                    counters[usize::from(repetition) + 1..].fill(0);
                }
                is_first = false;
                let there = definition == about.max_definition;
                let bytes = if there {
                    value += 1;
                    let bytes = page.values.get(value - 1, map.dictionary.as_ref());
                    Some(bytes.ok_or(Torn("a value is missing"))?)
                } else {
                    None
                };
                let item = bytes.map_or(Value::Null, |bytes| item(bytes, about, row));
                insert(&mut row.value, about, definition, &counters, item)?;
                place += 1;
            }
            page_idx += 1;
            // A row may go on in the next page.
            if about.max_repetition == 0 || page_idx >= map.pages.len() {
                return Ok(());
            }
            page = self.page(group, column, map, page_idx)?;
            (place, value) = (0, 0);
        }
    }
}

impl Rows for ParquetRows {
    fn n_row(&self) -> u64 {
        self.schema.n_row
    }

    fn name(&self, idx: u64) -> String {
        format!("{}:{idx}", self.stem)
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        let refuse = |reason: String| Skip { id: self.name(idx), reason };
        // Of groups that begin with one row, all but the last are empty.
        let group = self.schema.groups.partition_point(|group| group.first <= idx).checked_sub(1);
        let group = group.filter(|_| idx < self.schema.n_row).ok_or_else(|| refuse("no such row".into()))?;
        let mut row = Row::default();
        for column in 0..self.schema.columns.len() {
            let added = self.add(group, column, idx - self.schema.groups[group].first, &mut row);
            added.map_err(|torn| {
                let names = self.schema.columns[column].steps.iter().filter_map(|step| step.name.as_deref());
                let name = names.collect::<Vec<_>>().join(".");
                refuse(format!("cannot read the column `{}`: {torn}", name.escape_debug()))
            })?;
        }
        Ok(row)
    }
}

/// Puts a value to its place in the row, making lists and objects on the way.
fn insert(
    row: &mut Map<String, Value>,
    column: &Column,
    definition: u32,
    counters: &[usize],
    item: Value,
) -> Result<(), Torn> {
    const MAX_ITEMS: usize = 1 << 20;
    let Some((first, rest)) = column.steps.split_first() else { return refuse("a column without a name") };
    let name = first.name.as_deref().unwrap_or_default();
    let mut slot = row.entry(name).or_insert(Value::Null);
    let steps = std::iter::once(first).chain(rest);
    for step in steps {
        if let (Some(name), false) = (&step.name, std::ptr::eq(step, first)) {
            if !slot.is_object() {
                *slot = Value::Object(Map::new());
            }
            let Value::Object(fields) = slot else { return refuse("a field outside an object") };
            slot = fields.entry(name.as_str()).or_insert(Value::Null);
        }
        if step.repeated {
            if !slot.is_array() {
                *slot = Value::Array(Vec::new());
            }
            let Value::Array(items) = slot else { return refuse("an element outside a list") };
            if definition < step.definition {
                // The list is there and has nothing in it.
                return Ok(());
            }
            let place = counters[step.repetition as usize];
            if place >= MAX_ITEMS {
                return refuse("a list of too many elements");
            }
            while items.len() <= place {
                items.push(Value::Null);
            }
            slot = &mut items[place];
        } else if definition < step.definition {
            return Ok(());
        }
    }
    *slot = item;
    Ok(())
}

/// A value as JSON; bytes that are no text are held beside the row, as pictures are.
fn item(bytes: &[u8], column: &Column, row: &mut Row) -> Value {
    let word = || {
        let mut word = [0; 8];
        let n = bytes.len().min(8);
        word[..n].copy_from_slice(&bytes[..n]);
        word
    };
    match column.physical {
        Physical::Boolean => Value::Bool(bytes.first().is_some_and(|byte| *byte != 0)),
        Physical::Int32 if bytes.len() == 4 => {
            Value::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        Physical::Int32 | Physical::Int64 => Value::from(i64::from_le_bytes(word())),
        Physical::Float => {
            let [a, b, c, d, ..] = word();
            Number::from_f64(f64::from(f32::from_le_bytes([a, b, c, d]))).map_or(Value::Null, Value::Number)
        }
        Physical::Double => Number::from_f64(f64::from_le_bytes(word())).map_or(Value::Null, Value::Number),
        Physical::Int96 | Physical::Fixed(_) => Value::Null,
        Physical::Bytes if column.is_text => Value::String(String::from_utf8_lossy(bytes).into_owned()),
        Physical::Bytes => row.hold(Picture::Bytes(bytes.into())),
    }
}
