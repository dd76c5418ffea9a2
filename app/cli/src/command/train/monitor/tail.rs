//! The new lines of a file that grows, and of one that was cut and grew again.
//!
//! A resumed run rewrites its files without the lines past the checkpoint. So what stands before the place read
//! last is looked at each time: where it is another, the file is read from its beginning. A look reads a bounded
//! number of bytes; a line that is torn or still being written waits. Held true by the tests below.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes read in one look.
const LOOK_BYTES: u64 = 8 << 20;
/// Bytes before the place read last that are compared.
const TRACE_BYTES: usize = 64;
/// A longer line is passed over.
const LINE_BYTES: usize = 4 << 20;

/// A file that is read as it grows.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    /// End of the last whole line read.
    place: u64,
    /// What stands before it.
    trace: Vec<u8>,
}

/// What a look found.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// The file is another than before: all that was read of it is void.
    pub(super) anew: bool,
    /// New lines, without their ends.
    pub(super) lines: Vec<String>,
    /// Whether there is more to read at once.
    pub(super) more: bool,
}

impl Tail {
    /// A file that may not be there yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), place: 0, trace: Vec::new() }
    }

    /// Begins at the last `bytes` of the file: for files of which only the newest counts.
    pub(super) fn from_end(path: &Path, bytes: u64) -> Self {
        let len = std::fs::metadata(path).map_or(0, |meta| meta.len());
        Self { path: path.to_owned(), place: len.saturating_sub(bytes), trace: Vec::new() }
    }

    /// Reads on. A file that is not there has no lines.
    ///
    /// # Errors
    /// As the system's.
    pub(super) fn look(&mut self) -> std::io::Result<Look> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let anew = self.place > 0;
                (self.place, self.trace) = (0, Vec::new());
                return Ok(Look { anew, ..Look::default() });
            }
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        let anew = !self.continues(&mut file, len)?;
        if anew {
            (self.place, self.trace) = (0, Vec::new());
        }
        file.seek(SeekFrom::Start(self.place))?;
        let mut bytes = Vec::new();
        file.take(LOOK_BYTES).read_to_end(&mut bytes)?;
        let read = bytes.len() as u64;
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            if read == LOOK_BYTES {
                // No line is that long: it is passed over.
                self.place += read;
                self.trace = bytes[bytes.len() - TRACE_BYTES..].to_vec();
                return Ok(Look { anew, more: true, ..Look::default() });
            }
            return Ok(Look { anew, ..Look::default() });
        };
        let whole = &bytes[..=end];
        self.place += whole.len() as u64;
        self.trace.extend_from_slice(&whole[whole.len().saturating_sub(TRACE_BYTES)..]);
        let start = self.trace.len().saturating_sub(TRACE_BYTES);
        self.trace.drain(..start);
        let lines = whole
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && line.len() <= LINE_BYTES)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        Ok(Look { anew, lines, more: self.place < len })
    }

    /// Whether the file still holds, before the place read last, what was read there.
    fn continues(&self, file: &mut File, len: u64) -> std::io::Result<bool> {
        if self.place > len {
            return Ok(false);
        }
        let mut before = vec![0; self.trace.len()];
        file.seek(SeekFrom::Start(self.place - self.trace.len() as u64))?;
        file.read_exact(&mut before)?;
        Ok(before == self.trace)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_come_once_and_a_cut_file_comes_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        let mut tail = Tail::new(&path);
        let check = |tail: &mut Tail, anew: bool, expected: &[&str]| {
            let look = tail.look().unwrap();
            assert_eq!((look.anew, look.lines.as_slice()), (anew, expected.map_owned().as_slice()));
        };
        check(&mut tail, false, &[]);
        let append = |text: &str| {
            let mut file = File::options().create(true).append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("one\ntwo\nthr");
        check(&mut tail, false, &["one", "two"]);
        check(&mut tail, false, &[]);
        append("ee\n\nfour\n");
        check(&mut tail, false, &["three", "four"]);
        // Cut at a checkpoint and grown past the old end before the next look.
        std::fs::write(&path, "one\ntwo\nTHREE\nFOUR\nFIVE\n").unwrap();
        check(&mut tail, true, &["one", "two", "THREE", "FOUR", "FIVE"]);
        std::fs::write(&path, "one\n").unwrap();
        check(&mut tail, true, &["one"]);
        std::fs::remove_file(&path).unwrap();
        check(&mut tail, true, &[]);
        check(&mut tail, false, &[]);
    }

    #[test]
    fn the_end_of_a_long_file_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows");
        std::fs::write(&path, "a\n".repeat(1000) + "last\n").unwrap();
        let look = Tail::from_end(&path, 10).look().unwrap();
        assert_eq!(look.lines.last().map(String::as_str), Some("last"));
        assert!(look.lines.len() <= 5);
    }

    trait Owned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl Owned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(ToString::to_string).collect()
        }
    }
}
