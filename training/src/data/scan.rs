//! Finds the rows of a JSON file without keeping them: an index of offsets, 16 bytes a row.
//!
//! A list of a million conversations is half a gigabyte of text and ten times that as parsed values; here
//! the file is passed once, counting brackets and quotes only, and each row is parsed when it is asked for.
//! What is between the brackets may still be wrong: the row then says so by itself. Lists may lie up to
//! [`DEPTH`] objects deep, as in `PathMMU`'s subset and split; the keys on the way become the row's place.
//! Held true by the unit tests and by the fuzz target `rows`.

use std::io::{self, BufRead};

/// Deepest list that is found, in objects around it.
const DEPTH: usize = 2;
/// Most different places; a file with more is no list of rows.
const MAX_PLACES: usize = 4096;
/// Longest row; longer ones are refused when they are read.
pub(crate) const MAX_ROW_BYTES: u64 = 128 << 20;

/// Where one row lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) offset: u64,
    pub(crate) n_byte: u32,
    /// Index into [`Index::places`].
    pub(crate) place: u16,
}

/// Where all rows lie.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) rows: Vec<Span>,
    /// Keys on the way to the lists.
    pub(crate) places: Vec<Vec<String>>,
}

/// How a file of JSON is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    /// A row a line.
    Lines,
    /// Lists, at the top or inside objects.
    Lists,
    /// One object whose values are the rows.
    Values,
}

/// Why a file is no list of rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{what} at byte {offset}")]
    Torn { what: &'static str, offset: u64 },
}

impl Index {
    /// Finds the rows; a list that breaks off keeps the rows before the break and says so by the second
    /// value.
    pub(crate) fn scan(source: impl BufRead, layout: Layout) -> Result<(Self, Option<ScanError>), ScanError> {
        let mut scanner = Scanner { source, layout, offset: 0, index: Self::default() };
        let end = match layout {
            Layout::Lines => scanner.lines(),
            Layout::Lists | Layout::Values => scanner.top(),
        };
        match end {
            Ok(()) => Ok((scanner.index, None)),
            Err(ScanError::Io(source)) => Err(source.into()),
            Err(torn) if scanner.index.rows.is_empty() => Err(torn),
            Err(torn) => Ok((scanner.index, Some(torn))),
        }
    }
}

struct Scanner<R> {
    source: R,
    layout: Layout,
    offset: u64,
    index: Index,
}

impl<R: BufRead> Scanner<R> {
    fn peek(&mut self) -> Result<Option<u8>, ScanError> {
        Ok(self.source.fill_buf()?.first().copied())
    }

    fn next(&mut self) -> Result<Option<u8>, ScanError> {
        let byte = self.peek()?;
        if byte.is_some() {
            self.source.consume(1);
            self.offset += 1;
        }
        Ok(byte)
    }

    /// The next byte that is no white space, not taken.
    fn token(&mut self) -> Result<Option<u8>, ScanError> {
        loop {
            match self.peek()? {
                // The byte order mark is no part of JSON, but of files that come from Windows.
                Some(b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf) => self.next()?,
                other => return Ok(other),
            };
        }
    }

    fn torn<T>(&self, what: &'static str) -> Result<T, ScanError> {
        Err(ScanError::Torn { what, offset: self.offset })
    }

    fn push(&mut self, offset: u64, n_byte: u64, place: u16) {
        // What is longer than four gigabytes is refused by its length when it is read.
        let n_byte = u32::try_from(n_byte).unwrap_or(u32::MAX);
        self.index.rows.push(Span { offset, n_byte, place });
    }

    fn place(&mut self, keys: &[String]) -> Result<u16, ScanError> {
        if self.index.places.len() >= MAX_PLACES {
            return self.torn("too many lists");
        }
        self.index.places.push(keys.to_vec());
        Ok((self.index.places.len() - 1) as u16)
    }

    fn lines(&mut self) -> Result<(), ScanError> {
        self.place(&[])?;
        loop {
            let (start, mut n_byte, mut blank, mut ended) = (self.offset, 0_u64, true, false);
            loop {
                let buffer = self.source.fill_buf()?;
                if buffer.is_empty() {
                    ended = true;
                    break;
                }
                let line_end = buffer.iter().position(|&byte| byte == b'\n');
                let n_now = line_end.unwrap_or(buffer.len());
                blank &= buffer[..n_now].iter().all(u8::is_ascii_whitespace);
                n_byte += n_now as u64;
                let n_used = n_now + usize::from(line_end.is_some());
                self.source.consume(n_used);
                self.offset += n_used as u64;
                if line_end.is_some() {
                    break;
                }
            }
            if !blank {
                self.push(start, n_byte, 0);
            }
            if ended {
                return Ok(());
            }
        }
    }

    /// The whole file: a list, or an object.
    fn top(&mut self) -> Result<(), ScanError> {
        match (self.token()?, self.layout) {
            (Some(b'['), _) => self.list(&[])?,
            (Some(b'{'), Layout::Values) => {
                self.place(&[])?;
                self.object(&mut Vec::new())?;
            }
            (Some(b'{'), _) => self.object(&mut Vec::new())?,
            _ => return self.torn("neither a list nor an object"),
        }
        match self.token()? {
            None => Ok(()),
            Some(_) => self.torn("something follows the end"),
        }
    }

    fn list(&mut self, keys: &[String]) -> Result<(), ScanError> {
        let place = self.place(keys)?;
        self.next()?;
        loop {
            match self.token()? {
                Some(b']') => {
                    self.next()?;
                    return Ok(());
                }
                Some(b',') => {
                    self.next()?;
                }
                Some(_) => {
                    let offset = self.offset;
                    self.value()?;
                    self.push(offset, self.offset - offset, place);
                }
                None => return self.torn("the list breaks off"),
            }
        }
    }

    /// Calls itself at most [`DEPTH`] times.
    fn object(&mut self, keys: &mut Vec<String>) -> Result<(), ScanError> {
        self.next()?;
        loop {
            match self.token()? {
                Some(b'}') => {
                    self.next()?;
                    return Ok(());
                }
                Some(b',') => {
                    self.next()?;
                }
                Some(b'"') => {
                    let key = self.key()?;
                    if self.token()? != Some(b':') {
                        return self.torn("a key without a value");
                    }
                    self.next()?;
                    let first = self.token()?;
                    keys.push(key);
                    self.entry(first, keys)?;
                    keys.pop();
                }
                _ => return self.torn("no JSON"),
            }
        }
    }

    /// A value inside an object: a list of rows, an object with such lists, a row, or nothing of use.
    fn entry(&mut self, first: Option<u8>, keys: &mut Vec<String>) -> Result<(), ScanError> {
        match (first, self.layout) {
            (Some(b'['), Layout::Lists) => self.list(keys),
            (Some(b'{'), Layout::Lists) if keys.len() < DEPTH => self.object(keys),
            (Some(b'{'), Layout::Values) => {
                let offset = self.offset;
                self.value()?;
                self.push(offset, self.offset - offset, 0);
                Ok(())
            }
            _ => self.value(),
        }
    }

    /// A key, its first bytes only: keys name subsets and splits.
    fn key(&mut self) -> Result<String, ScanError> {
        const MAX_KEY_BYTES: usize = 256;
        self.next()?;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                None => return self.torn("a string without end"),
                Some(b'"') => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Some(byte) => {
                    let byte = if byte == b'\\' { self.next()?.unwrap_or(b'"') } else { byte };
                    if bytes.len() < MAX_KEY_BYTES {
                        bytes.push(byte);
                    }
                }
            }
        }
    }

    /// Passes one value, however deep, without going into itself.
    fn value(&mut self) -> Result<(), ScanError> {
        let (mut depth, mut in_string) = (0_u64, false);
        let start = self.offset;
        loop {
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return if depth == 0 && !in_string && self.offset > start {
                    Ok(())
                } else {
                    self.torn("a row breaks off")
                };
            }
            let mut n_used = 0;
            let mut done = false;
            let mut escaped = false;
            for &byte in buffer {
                if in_string {
                    if byte == b'\\' {
                        escaped = true;
                        n_used += 1;
                        break;
                    }
                    n_used += 1;
                    if byte == b'"' {
                        in_string = false;
                        done = depth == 0;
                    }
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' if depth == 0 => {
                            done = true;
                            break;
                        }
                        b'}' | b']' => {
                            depth -= 1;
                            done = depth == 0;
                        }
                        b',' if depth == 0 => {
                            done = true;
                            break;
                        }
                        _ => {}
                    }
                    n_used += 1;
                }
                if done {
                    break;
                }
            }
            self.source.consume(n_used);
            self.offset += n_used as u64;
            if escaped && self.next()?.is_none() {
                return self.torn("a row breaks off");
            }
            if done {
                // A bracket or comma where a value should be; to go on would find it again for ever.
                return if self.offset > start { Ok(()) } else { self.torn("no JSON") };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str, layout: Layout) -> Result<(Vec<String>, bool), String> {
        let (index, torn) = Index::scan(text.as_bytes(), layout).map_err(|error| error.to_string())?;
        let rows = index.rows.iter().map(|span| {
            let place = index.places[usize::from(span.place)].join("/");
            let text = &text[span.offset as usize..span.offset as usize + span.n_byte as usize];
            format!("{place}:{}", text.trim())
        });
        Ok((rows.collect(), torn.is_some()))
    }

    #[test]
    fn rows_are_found_by_their_brackets() {
        let check = |text: &str, layout, expected: &[&str]| {
            let (rows, torn) = rows(text, layout).unwrap();
            assert_eq!(rows, expected, "{text}");
            assert!(!torn, "{text}");
        };
        check("[]", Layout::Lists, &[]);
        check(" [1, {\"a\": \"]}\\\"\"} ,\n[2]]\n", Layout::Lists, &[":1", ":{\"a\": \"]}\\\"\"}", ":[2]"]);
        check(
            "{\"s\": {\"val\": [{\"a\": 1}], \"n\": 3}, \"t\": [4]}",
            Layout::Lists,
            &["s/val:{\"a\": 1}", "t:4"],
        );
        check("{\"7\": {\"u\": [1]}, \"8\": {}}", Layout::Values, &[":{\"u\": [1]}", ":{}"]);
        check("{\"a\":1}\n\n  \n{\"b\"\n", Layout::Lines, &[":{\"a\":1}", ":{\"b\""]);
        check("\u{feff}[5]", Layout::Lists, &[":5"]);
    }

    #[test]
    fn a_break_keeps_what_came_before() {
        for (text, n_row) in [("[{\"a\":1},{\"b\":", 1), ("[1] x", 1), ("{\"a\": [1, 2", 2)] {
            let (rows, torn) = rows(text, Layout::Lists).unwrap();
            assert!(torn && rows.len() == n_row, "{text}: {rows:?}");
        }
        for text in ["", "x", "[\"", "{\"a", "{1}", "[}", "{\"a\": }", "{\"a\": [}]}"] {
            assert!(rows(text, Layout::Lists).is_err(), "{text}");
        }
    }
}
