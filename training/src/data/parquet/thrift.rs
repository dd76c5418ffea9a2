//! Thrift's compact protocol, as far as parquet's headers use it.
//!
//! A header is read into a tree of values whose numbers name their fields. Every element of a list costs at
//! least one byte of input and depth is bounded, so a header costs a bounded multiple of its own length.

use super::Torn;

/// Deepest nesting; parquet's own is four.
const MAX_DEPTH: usize = 16;

/// A value of a header.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Bool(bool),
    Int(i64),
    Bytes(Vec<u8>),
    List(Vec<Item>),
    Struct(Vec<(i16, Item)>),
    /// A double or a map, which nothing here needs.
    Other,
}

impl Item {
    /// A field of a structure.
    pub(super) fn field(&self, number: i16) -> Option<&Self> {
        match self {
            Self::Struct(fields) => fields.iter().find(|(own, _)| *own == number).map(|(_, item)| item),
            _ => None,
        }
    }

    /// A number of a structure.
    pub(super) fn int(&self, number: i16) -> Option<i64> {
        match self.field(number)? {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// A number that counts something.
    pub(super) fn count(&self, number: i16) -> Result<u64, Torn> {
        self.int(number).and_then(|value| u64::try_from(value).ok()).ok_or(Torn("a header lacks a count"))
    }

    /// A list of a structure; empty where it is absent.
    pub(super) fn list(&self, number: i16) -> &[Self] {
        match self.field(number) {
            Some(Self::List(items)) => items,
            _ => &[],
        }
    }

    /// The words of a field.
    pub(super) fn text(&self, number: i16) -> Option<String> {
        match self.field(number)? {
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

/// Reads one structure; returns it with the number of bytes that it took.
pub(super) fn read_struct(bytes: &[u8]) -> Result<(Item, usize), Torn> {
    let mut reader = Reader { bytes, at: 0 };
    let item = reader.structure(0)?;
    Ok((item, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is said when a header is longer than the bytes at hand; the caller may then fetch more.
pub(super) const SHORT: Torn = Torn("a header breaks off");

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Torn> {
        let byte = *self.bytes.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, Torn> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Torn("a header has a number without end"))
    }

    fn zigzag(&mut self) -> Result<i64, Torn> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn structure(&mut self, depth: usize) -> Result<Item, Torn> {
        if depth > MAX_DEPTH {
            return Err(Torn("a header is nested too deep"));
        }
        let mut fields = Vec::new();
        let mut number = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(Item::Struct(fields));
            }
            number = match head >> 4 {
                0 => self.zigzag()? as i16,
                step => number.wrapping_add(i16::from(step)),
            };
            let item = match head & 0x0f {
                1 => Item::Bool(true),
                2 => Item::Bool(false),
                kind => self.item(kind, depth)?,
            };
            fields.push((number, item));
        }
    }

    fn item(&mut self, kind: u8, depth: usize) -> Result<Item, Torn> {
        match kind {
            1 | 2 => Ok(Item::Bool(self.byte()? == 1)),
            3 => Ok(Item::Int(i64::from(self.byte()? as i8))),
            4..=6 => Ok(Item::Int(self.zigzag()?)),
            7 => {
                self.skip(8)?;
                Ok(Item::Other)
            }
            8 => {
                let n_byte = self.varint()?;
                let start = self.at;
                self.skip(n_byte)?;
                Ok(Item::Bytes(self.bytes[start..self.at].to_vec()))
            }
            9 | 10 => {
                let head = self.byte()?;
                let n_item = match head >> 4 {
                    15 => self.varint()?,
                    n => u64::from(n),
                };
                // An element has at least a byte, so this many cannot follow.
                if n_item > (self.bytes.len() - self.at) as u64 {
                    return Err(SHORT);
                }
                let mut items = Vec::new();
                for _ in 0..n_item {
                    items.push(self.item(head & 0x0f, depth + 1)?);
                }
                Ok(Item::List(items))
            }
            11 => {
                let n_pair = self.varint()?;
                if n_pair > (self.bytes.len() - self.at) as u64 {
                    return Err(SHORT);
                }
                if n_pair > 0 {
                    let kinds = self.byte()?;
                    for _ in 0..n_pair {
                        self.item(kinds >> 4, depth + 1)?;
                        self.item(kinds & 0x0f, depth + 1)?;
                    }
                }
                Ok(Item::Other)
            }
            12 => self.structure(depth + 1),
            _ => Err(Torn("a header has a field of no known kind")),
        }
    }

    fn skip(&mut self, n_byte: u64) -> Result<(), Torn> {
        if n_byte > (self.bytes.len() - self.at) as u64 {
            return Err(SHORT);
        }
        self.at += n_byte as usize;
        Ok(())
    }
}
