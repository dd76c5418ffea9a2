//! The pages of a parquet column: header, decompression, levels, values.
//!
//! Encodings are those that pyarrow, pandas, `datasets`, polars and `DuckDB` write by default: plain,
//! dictionary, run lengths and deltas. No length is believed before it is held against the bytes that are
//! there.

use std::io::Read;

use super::schema::{Chunk, Column, Physical};
use super::thrift::{SHORT, read_struct};
use super::{Torn, refuse};
use crate::data::at::FileAt;

/// Longest page, unpacked: a page holds at least one value, and a value may be a large picture.
const MAX_PAGE_BYTES: u64 = 512 << 20;
/// Most values of a page.
const MAX_PAGE_VALUES: u64 = 4 << 20;
/// Longest header of a page: statistics may hold long values.
const MAX_HEADER_BYTES: u64 = 16 << 20;

/// What a page holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Dictionary,
    Data,
    /// With levels outside the compressed part.
    DataV2 {
        definition_bytes: u64,
        repetition_bytes: u64,
        n_row: u64,
        packed: bool,
    },
}

/// Where a page lies and what its header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Of the bytes behind the header.
    pub(super) start: u64,
    pub(super) n_packed: u64,
    n_plain: u64,
    pub(super) n_value: u64,
    encoding: i64,
}

impl Head {
    /// Reads the header at `offset`; none where it is of a kind that holds no values.
    pub(super) fn read(file: &FileAt, offset: u64, end: u64) -> Result<(Option<Self>, u64), Torn> {
        let mut length = 512;
        let (item, n_byte) = loop {
            let now = length.min(end.saturating_sub(offset));
            let bytes = file.read(offset, now).map_err(|_io| Torn("a page cannot be read"))?;
            match read_struct(&bytes) {
                Err(torn) if torn == SHORT && now == length && length < MAX_HEADER_BYTES => length *= 4,
                other => break other?,
            }
        };
        let (n_plain, n_packed) = (item.count(2)?, item.count(3)?);
        let start = offset + n_byte as u64;
        let next =
            start.checked_add(n_packed).filter(|&next| next <= end).ok_or(Torn("a page breaks off"))?;
        if n_plain > MAX_PAGE_BYTES {
            return refuse("a page is too long");
        }
        let (kind, values) = match item.int(1) {
            Some(0) => (Kind::Data, item.field(5)),
            Some(2) => (Kind::Dictionary, item.field(7)),
            Some(3) => {
                let values = item.field(8).ok_or(Torn("a page without its header"))?;
                let packed = !matches!(values.field(7), Some(super::thrift::Item::Bool(false)));
                let kind = Kind::DataV2 {
                    definition_bytes: values.count(5)?,
                    repetition_bytes: values.count(6)?,
                    n_row: values.count(3)?,
                    packed,
                };
                (kind, Some(values))
            }
            _ => return Ok((None, next)),
        };
        let values = values.ok_or(Torn("a page without its header"))?;
        let n_value = values.count(1)?;
        if n_value > MAX_PAGE_VALUES {
            return refuse("a page of too many values");
        }
        let number = if matches!(kind, Kind::DataV2 { .. }) { 4 } else { 2 };
        let encoding = values.int(number).unwrap_or(-1);
        Ok((Some(Self { kind, start, n_packed, n_plain, n_value, encoding }), next))
    }
}

/// Values of a page: those that are there, without the missing ones.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
    /// Where each value lies in `bytes`; for numbers, the eight bytes of it.
    spans: Vec<(u32, u32)>,
    /// Numbers into the dictionary, instead.
    indices: Option<Vec<u32>>,
}

impl Values {
    /// The bytes of a value, from the dictionary where it points there.
    pub(super) fn get<'a>(&'a self, place: usize, dictionary: Option<&'a Self>) -> Option<&'a [u8]> {
        if let Some(indices) = &self.indices {
            return dictionary?.get(*indices.get(place)? as usize, None);
        }
        let &(start, n_byte) = self.spans.get(place)?;
        self.bytes.get(start as usize..start as usize + n_byte as usize)
    }
}

/// A page of values with their levels.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    pub(super) repetition: Vec<u8>,
    pub(super) definition: Vec<u8>,
    pub(super) values: Values,
    /// Entry and value that each row begins with; empty where both are the row's own number.
    starts: Vec<(u32, u32)>,
}

impl Page {
    fn new(repetition: Vec<u8>, definition: Vec<u8>, values: Values, max: u8) -> Self {
        let mut starts = Vec::new();
        let mut n_value = 0;
        for place in 0..repetition.len().max(definition.len()) {
            if repetition.get(place).is_none_or(|level| *level == 0) {
                starts.push((place as u32, n_value));
            }
            n_value += u32::from(definition.get(place).is_none_or(|level| *level == max));
        }
        Self { repetition, definition, values, starts }
    }

    /// The entry and the value that a row of the page begins with.
    pub(super) fn find_row(&self, row: u64) -> Option<(usize, usize)> {
        let row = usize::try_from(row).ok()?;
        if self.repetition.is_empty() && self.definition.is_empty() {
            return Some((row, row));
        }
        self.starts.get(row).map(|(place, value)| (*place as usize, *value as usize))
    }
}

/// The levels of a page that has them compressed with its values, or apart.
struct Unpacked {
    repetition: Vec<u8>,
    definition: Vec<u8>,
    rest: Vec<u8>,
    rest_at: usize,
}

fn unpack_levels(file: &FileAt, head: &Head, chunk: &Chunk, column: &Column) -> Result<Unpacked, Torn> {
    let packed = file.read(head.start, head.n_packed).map_err(|_io| Torn("a page cannot be read"))?;
    let n_value = head.n_value as usize;
    if let Kind::DataV2 { definition_bytes, repetition_bytes, packed: is_packed, .. } = head.kind {
        let n_level = repetition_bytes
            .checked_add(definition_bytes)
            .filter(|&n| n <= packed.len() as u64 && n <= head.n_plain);
        let n_level = n_level.ok_or(Torn("levels are longer than their page"))? as usize;
        let (repetition, definition) = packed[..n_level].split_at(repetition_bytes as usize);
        let repetition = levels(repetition, column.max_repetition, n_value)?;
        let definition = levels(definition, column.max_definition, n_value)?;
        let rest = &packed[n_level..];
        let codec = if is_packed { chunk.codec } else { 0 };
        let rest = decompress(codec, rest, head.n_plain - n_level as u64)?;
        return Ok(Unpacked { repetition, definition, rest, rest_at: 0 });
    }
    let rest = decompress(chunk.codec, &packed, head.n_plain)?;
    let mut at = 0;
    let mut read = |max_level: u32| -> Result<Vec<u8>, Torn> {
        if max_level == 0 {
            return Ok(Vec::new());
        }
        let length = rest.get(at..at + 4).ok_or(SHORT)?;
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        let bytes = rest.get(at + 4..).and_then(|rest| rest.get(..length)).ok_or(Torn("levels break off"))?;
        at += 4 + length;
        levels(bytes, max_level, n_value)
    };
    let repetition = read(column.max_repetition)?;
    let definition = read(column.max_definition)?;
    Ok(Unpacked { repetition, definition, rest_at: at, rest })
}

/// How many rows begin in a page.
pub(super) fn count_rows(file: &FileAt, head: &Head, chunk: &Chunk, column: &Column) -> Result<u64, Torn> {
    if column.max_repetition == 0 {
        return Ok(head.n_value);
    }
    if let Kind::DataV2 { n_row, .. } = head.kind {
        return Ok(n_row);
    }
    let levels = unpack_levels(file, head, chunk, column)?;
    Ok(levels.repetition.iter().map(|level| u64::from(*level == 0)).sum())
}

/// Unpacks a page of values.
pub(super) fn read_page(file: &FileAt, head: &Head, chunk: &Chunk, column: &Column) -> Result<Page, Torn> {
    let Unpacked { repetition, definition, rest, rest_at } = unpack_levels(file, head, chunk, column)?;
    let max = column.max_definition as u8;
    let n_there = if column.max_definition == 0 {
        head.n_value as usize
    } else {
        definition.iter().map(|level| usize::from(*level == max)).sum()
    };
    let values = values(rest, rest_at, head.encoding, column.physical, n_there)?;
    Ok(Page::new(repetition, definition, values, max))
}

/// Unpacks a dictionary.
pub(super) fn read_dictionary(
    file: &FileAt,
    head: &Head,
    chunk: &Chunk,
    column: &Column,
) -> Result<Values, Torn> {
    let packed = file.read(head.start, head.n_packed).map_err(|_io| Torn("a page cannot be read"))?;
    let bytes = decompress(chunk.codec, &packed, head.n_plain)?;
    plain(bytes, 0, column.physical, head.n_value as usize)
}

fn decompress(codec: i64, packed: &[u8], n_plain: u64) -> Result<Vec<u8>, Torn> {
    match codec {
        0 => Ok(packed.to_vec()),
        1 => {
            let stated = snap::raw::decompress_len(packed).map_err(|_broken| Torn("a page is damaged"))?;
            // Three bytes give 64 at most.
            if stated as u64 != n_plain || stated > 64 * packed.len() + 64 {
                return refuse("a page is not as long as it says");
            }
            snap::raw::Decoder::new().decompress_vec(packed).map_err(|_broken| Torn("a page is damaged"))
        }
        6 => {
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(packed)
                .map_err(|_broken| Torn("a page is damaged"))?;
            let mut bytes = Vec::new();
            let read = decoder.by_ref().take(n_plain + 1).read_to_end(&mut bytes);
            match read {
                Ok(n) if n as u64 == n_plain => Ok(bytes),
                _ => refuse("a page is damaged"),
            }
        }
        2 => refuse("compressed by gzip, which is not read; write it with snappy or zstd"),
        4 => refuse("compressed by brotli, which is not read; write it with snappy or zstd"),
        5 | 7 => refuse("compressed by LZ4, which is not read; write it with snappy or zstd"),
        _ => refuse("compressed in a way that is not known"),
    }
}

/// Runs and packed bits, of a known number of values.
fn run_lengths(bytes: &[u8], bits: u32, n_value: usize) -> Result<Vec<u32>, Torn> {
    if bits > 32 {
        return refuse("numbers of too many bits");
    }
    let mut values = Vec::with_capacity(n_value);
    let mut at = 0;
    let width = bits.div_ceil(8) as usize;
    while values.len() < n_value {
        let mut head = 0_u64;
        let mut shift = 0;
        loop {
            let byte = *bytes.get(at).ok_or(Torn("a run breaks off"))?;
            at += 1;
            head |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 35 {
                return refuse("a run without end");
            }
        }
        let n_left = n_value - values.len();
        if head & 1 == 0 {
            let bytes = bytes.get(at..at + width).ok_or(Torn("a run breaks off"))?;
            at += width;
            let value = bytes.iter().rev().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
            let n_run = usize::try_from(head >> 1).unwrap_or(usize::MAX);
            if n_run == 0 {
                return refuse("a run of nothing");
            }
            values.resize(values.len() + n_run.min(n_left), value);
        } else {
            let n_byte = (head >> 1).saturating_mul(u64::from(bits));
            let n_packed = (head >> 1).saturating_mul(8);
            if n_packed == 0 {
                return refuse("a run of nothing");
            }
            // The last group may be cut short by writers.
            let n_there = (bytes.len() - at) as u64;
            let bytes = &bytes[at..at + n_byte.min(n_there) as usize];
            at += bytes.len();
            let n_now = n_packed.min(n_left as u64) as usize;
            if (n_now as u64 * u64::from(bits)).div_ceil(8) > bytes.len() as u64 {
                return refuse("a run breaks off");
            }
            values.extend((0..n_now).map(|place| bits_at(bytes, place * bits as usize, bits) as u32));
        }
    }
    Ok(values)
}

/// `bits` bits from `first` on, the lowest first; what lies behind the end counts as 0.
fn bits_at(bytes: &[u8], first: usize, bits: u32) -> u64 {
    let mut value = 0_u64;
    let mut n_done = 0;
    while n_done < bits {
        let at = first + n_done as usize;
        let byte = u64::from(bytes.get(at / 8).copied().unwrap_or(0) >> (at % 8));
        let n_now = (8 - (at % 8) as u32).min(bits - n_done);
        value |= (byte & ((1 << n_now) - 1)) << n_done;
        n_done += n_now;
    }
    value
}

fn levels(bytes: &[u8], max_level: u32, n_value: usize) -> Result<Vec<u8>, Torn> {
    if max_level == 0 {
        return Ok(Vec::new());
    }
    let bits = u32::BITS - max_level.leading_zeros();
    let levels = run_lengths(bytes, bits, n_value)?;
    if levels.iter().any(|level| *level > max_level) {
        return refuse("a level deeper than its column");
    }
    Ok(levels.into_iter().map(|level| level as u8).collect())
}

fn values(bytes: Vec<u8>, at: usize, encoding: i64, physical: Physical, n: usize) -> Result<Values, Torn> {
    match (encoding, physical) {
        (0, _) => plain(bytes, at, physical, n),
        // Numbers into the dictionary, under their old name and their new one.
        (2 | 8, _) => {
            if n == 0 {
                return Ok(Values::default());
            }
            let bits = *bytes.get(at).ok_or(SHORT)?;
            let indices = run_lengths(&bytes[at + 1..], u32::from(bits), n)?;
            Ok(Values { indices: Some(indices), ..Values::default() })
        }
        (3, Physical::Boolean) => {
            let rest = bytes.get(at + 4..).ok_or(SHORT)?;
            numbers(run_lengths(rest, 1, n)?.into_iter().map(i64::from))
        }
        (5, Physical::Int32 | Physical::Int64) => {
            let (deltas, _) = deltas(bytes.get(at..).ok_or(SHORT)?, n)?;
            numbers(deltas.into_iter())
        }
        (6, Physical::Bytes) => {
            let rest = bytes.get(at..).ok_or(SHORT)?;
            let (lengths, n_used) = deltas(rest, n)?;
            let mut start = at + n_used;
            let mut spans = Vec::with_capacity(n);
            for length in lengths {
                let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len() - start);
                let length = length.ok_or(Torn("a value breaks off"))?;
                spans.push((start as u32, length as u32));
                start += length;
            }
            Ok(Values { bytes, spans, indices: None })
        }
        _ => refuse("values in an encoding that is not read; write them plain or with a dictionary"),
    }
}

/// Numbers as eight bytes each, so that all values are bytes.
#[expect(clippy::unnecessary_wraps, reason = "all readers of values give the same")]
fn numbers(values: impl Iterator<Item = i64>) -> Result<Values, Torn> {
    let bytes: Vec<u8> = values.flat_map(i64::to_le_bytes).collect();
    let spans = (0..bytes.len() / 8).map(|place| (place as u32 * 8, 8)).collect();
    Ok(Values { bytes, spans, indices: None })
}

fn plain(bytes: Vec<u8>, at: usize, physical: Physical, n: usize) -> Result<Values, Torn> {
    let rest = bytes.get(at..).ok_or(SHORT)?;
    let width = match physical {
        Physical::Boolean => {
            if n.div_ceil(8) > rest.len() {
                return refuse("values break off");
            }
            return numbers((0..n).map(|place| bits_at(rest, place, 1) as i64));
        }
        Physical::Bytes => {
            let mut spans = Vec::with_capacity(n.min(rest.len() / 4));
            let mut start = at;
            for _ in 0..n {
                let length = bytes.get(start..start + 4).ok_or(Torn("a value breaks off"))?;
                let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
                start += 4;
                if length as usize > bytes.len() - start {
                    return refuse("a value breaks off");
                }
                spans.push((start as u32, length));
                start += length as usize;
            }
            return Ok(Values { bytes, spans, indices: None });
        }
        Physical::Int32 | Physical::Float => 4,
        Physical::Int64 | Physical::Double => 8,
        Physical::Int96 => 12,
        Physical::Fixed(width) => width,
    };
    if n.checked_mul(width).is_none_or(|n_byte| n_byte > rest.len()) {
        return refuse("values break off");
    }
    let spans = (0..n).map(|place| ((at + place * width) as u32, width as u32)).collect();
    Ok(Values { bytes, spans, indices: None })
}

/// Differences in blocks of their own widths; returns the numbers and how many bytes they took.
fn deltas(bytes: &[u8], n_wanted: usize) -> Result<(Vec<i64>, usize), Torn> {
    let mut at = 0;
    let varint = |at: &mut usize| -> Result<u64, Torn> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.get(*at).ok_or(SHORT)?;
            *at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        refuse("a number without end")
    };
    let zigzag = |value: u64| (value >> 1) as i64 ^ -((value & 1) as i64);
    let block = varint(&mut at)? as usize;
    let n_part = varint(&mut at)? as usize;
    let n_total = varint(&mut at)? as usize;
    let mut value = zigzag(varint(&mut at)?);
    if n_part == 0
        || n_part > 512
        || block == 0
        || block > 1 << 16
        || !block.is_multiple_of(n_part)
        || n_total < n_wanted
    {
        return refuse("differences of impossible measures");
    }
    let per_part = block / n_part;
    let n_total = n_total.min(n_wanted);
    let mut values = Vec::with_capacity(n_total);
    if n_total > 0 {
        values.push(value);
    }
    while values.len() < n_total {
        let least = zigzag(varint(&mut at)?);
        let widths = bytes.get(at..at + n_part).ok_or(SHORT)?;
        at += n_part;
        for &bits in widths {
            if values.len() >= n_total {
                break;
            }
            if bits > 64 {
                return refuse("differences of too many bits");
            }
            let n_byte = (per_part * usize::from(bits)).div_ceil(8);
            let part = bytes.get(at..at + n_byte).ok_or(SHORT)?;
            at += n_byte;
            for place in 0..per_part.min(n_total - values.len()) {
                let delta = bits_at(part, place * usize::from(bits), u32::from(bits)) as i64;
                value = value.wrapping_add(least).wrapping_add(delta);
                values.push(value);
            }
        }
    }
    Ok((values, at))
}
