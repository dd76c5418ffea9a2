//! Rows of CSV and TSV files, by their offsets.
//!
//! Quoting as in RFC 4180: a field that begins with `"` ends at the next single `"`, so captions may hold
//! separators, quotes (doubled) and line breaks. Written here rather than taken from a crate because the
//! usual one switches on a feature of serde that has everything else compiled anew. Held true by the unit
//! tests and `tests/train_data.rs`.

use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};

use super::at::FileAt;
use super::row::{Row, Rows, open, stem};
use super::scan::MAX_ROW_BYTES;
use super::{Skip, Tally};
use crate::error::TrainError;

/// Longest heading.
const MAX_HEAD_BYTES: u64 = 1 << 20;

/// Rows of a table with a heading.
#[derive(Debug)]
pub(crate) struct TableRows {
    file: FileAt,
    /// Offset and length of each row.
    spans: Vec<(u64, u32)>,
    columns: Vec<String>,
    separator: u8,
    stem: String,
}

impl TableRows {
    /// Finds the rows; the separator is the one that divides the heading most often, unless it is given.
    pub(crate) fn open(path: &Path, separator: Option<u8>, tally: &mut Tally) -> Result<Self, TrainError> {
        let file = FileAt::open(path).map_err(TrainError::file("open the table", path))?;
        let source = BufReader::with_capacity(1 << 18, open(path)?);
        let (mut spans, closed) = find_records(source).map_err(TrainError::file("read the table", path))?;
        let stem = stem(path);
        if !closed {
            tally.skip(stem.clone(), "a quote is opened and never closed; the rows after it are one");
        }
        if spans.is_empty() {
            return Err(TrainError::plan(format!("the table has no heading: {}", path.display())));
        }
        let (offset, n_byte) = spans.remove(0);
        if u64::from(n_byte) > MAX_HEAD_BYTES {
            return Err(TrainError::plan(format!("the table's heading is too long: {}", path.display())));
        }
        let head = file.read(offset, u64::from(n_byte)).map_err(TrainError::file("read the table", path))?;
        let head = String::from_utf8_lossy(&head).trim_start_matches('\u{feff}').to_owned();
        let separator = separator.unwrap_or_else(|| {
            let count = |separator: u8| split(&head, separator).len();
            [b'\t', b',', b';'].into_iter().rev().max_by_key(|&separator| count(separator)).unwrap_or(b',')
        });
        let columns = split(&head, separator);
        Ok(Self { file, spans, columns, separator, stem })
    }
}

impl Rows for TableRows {
    fn n_row(&self) -> u64 {
        self.spans.len() as u64
    }

    fn name(&self, idx: u64) -> String {
        format!("{}:{idx}", self.stem)
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        let refuse = |reason: String| Skip { id: self.name(idx), reason };
        let &(offset, n_byte) = self.spans.get(idx as usize).ok_or_else(|| refuse("no such row".into()))?;
        if u64::from(n_byte) > MAX_ROW_BYTES {
            return Err(refuse(format!("a row of more than {MAX_ROW_BYTES} bytes")));
        }
        let bytes = self.file.read(offset, u64::from(n_byte));
        let bytes = bytes.map_err(|error| refuse(format!("cannot read the row: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_broken| refuse("not UTF-8".into()))?;
        let fields = split(&text, self.separator);
        if fields.len() != self.columns.len() {
            return Err(refuse(format!("{} fields under {} headings", fields.len(), self.columns.len())));
        }
        let named = self.columns.iter().cloned().zip(fields.into_iter().map(Value::String));
        Ok(Row { value: named.collect::<Map<_, _>>(), ..Row::default() })
    }
}

/// Offset and length of every record that is not blank, and whether the last quote was closed.
fn find_records(mut source: impl BufRead) -> std::io::Result<(Vec<(u64, u32)>, bool)> {
    let mut spans = Vec::new();
    let (mut offset, mut start, mut in_quotes, mut blank) = (0_u64, 0_u64, false, true);
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        for &byte in buffer {
            offset += 1;
            match byte {
                // A doubled quote leaves and enters again, which comes to the same.
                b'"' => (in_quotes, blank) = (!in_quotes, false),
                b'\n' if !in_quotes => {
                    if !blank {
                        spans.push((start, u32::try_from(offset - 1 - start).unwrap_or(u32::MAX)));
                    }
                    (start, blank) = (offset, true);
                }
                byte => blank &= byte.is_ascii_whitespace() && byte != b'\t',
            }
        }
        let n = buffer.len();
        source.consume(n);
    }
    if !blank {
        spans.push((start, u32::try_from(offset - start).unwrap_or(u32::MAX)));
    }
    Ok((spans, !in_quotes))
}

/// The fields of one record.
fn split(record: &str, separator: u8) -> Vec<String> {
    let separator = char::from(separator);
    let record = record.trim_end_matches(['\r', '\n']);
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut letters = record.chars().peekable();
    let (mut in_quotes, mut at_start) = (false, true);
    while let Some(letter) = letters.next() {
        match letter {
            '"' if in_quotes && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' if in_quotes => in_quotes = false,
            '"' if at_start => in_quotes = true,
            letter if letter == separator && !in_quotes => {
                fields.push(std::mem::take(&mut field));
                at_start = true;
                continue;
            }
            letter => field.push(letter),
        }
        at_start = false;
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_may_hold_separators_quotes_and_line_breaks() {
        let check = |text: &str, expected: &[&[&str]]| {
            let (spans, _) = find_records(text.as_bytes()).unwrap();
            let records: Vec<Vec<String>> = spans
                .iter()
                .map(|&(offset, n)| split(&text[offset as usize..offset as usize + n as usize], b','))
                .collect();
            assert_eq!(records, expected, "{text:?}");
        };
        check("a,b\r\nc,d", &[&["a", "b"], &["c", "d"]]);
        check("\"a,\"\"b\"\"\n\",c\n\n,\n", &[&["a,\"b\"\n", "c"], &["", ""]]);
        check("5\" objective,x\"y\"\n", &[&["5\" objective", "x\"y\""]]);
        assert!(!find_records(&b"a,\"b\nc"[..]).unwrap().1);
    }
}
