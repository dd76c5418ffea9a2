//! Event files as `TensorBoard` reads them, written by ourselves: no protobuf library is worth a few tags.
//!
//! The file is a chain of records: length (u64, little endian), masked CRC-32C of the length, the record,
//! masked CRC-32C of the record. A record is one protobuf message `Event`: wall time (field 1, f64), step
//! (2, varint) and either the file's version (3, text) or a summary (5) of values, each with its tag (1) and
//! figure (2, f32). A resumed run cuts its file after the last record of the checkpoint's step. The golden
//! bytes below were made by `TensorBoard` 2.21's own writer.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::TrainError;
use crate::metrics::{Kind, Row};

/// How the name of an event file begins; the readers look for it.
const PREFIX: &str = "events.out.tfevents.";

/// The open event file of a stage.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Opens the event file in `dir`, after cutting what came after `step`, or begins one.
    ///
    /// # Errors
    /// [`TrainError::File`].
    pub fn open(dir: &Path, step: u64) -> Result<Self, TrainError> {
        let now = seconds_now();
        let Some(path) = newest(dir)? else {
            // Readers take the number for the time of the start; a machine's name is nobody's business.
            let path = dir.join(format!("{PREFIX}{:010}.eosin", now as u64));
            let file = File::create_new(&path).map_err(TrainError::file("create", &path))?;
            let mut events = Self { path, file };
            events.write(&version_event(now))?;
            return Ok(events);
        };
        let bytes = fs::read(&path).map_err(TrainError::file("read", &path))?;
        let n_kept = n_kept_byte(&bytes, step);
        let file = OpenOptions::new().append(true).open(&path).map_err(TrainError::file("open", &path))?;
        if n_kept < bytes.len() {
            file.set_len(n_kept as u64).map_err(TrainError::file("write", &path))?;
        }
        let mut events = Self { path, file };
        if n_kept == 0 {
            events.write(&version_event(now))?;
        }
        Ok(events)
    }

    /// Appends the figures of one row; tags are `train/<name>` and `eval/<name>`.
    ///
    /// # Errors
    /// [`TrainError::File`] where the disk refuses.
    pub fn push(&mut self, row: &Row) -> Result<(), TrainError> {
        self.write(&scalar_event(seconds_now(), row))
    }

    fn write(&mut self, event: &[u8]) -> Result<(), TrainError> {
        self.file.write_all(&record(event)).map_err(TrainError::file("write", &self.path))
    }
}

fn seconds_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn newest(dir: &Path) -> Result<Option<PathBuf>, TrainError> {
    let entries = fs::read_dir(dir).map_err(TrainError::file("list", dir))?;
    let mut found = None;
    for entry in entries {
        let path = entry.map_err(TrainError::file("list", dir))?.path();
        let is_events = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        if is_events && found.as_ref().is_none_or(|found| path > *found) {
            found = Some(path);
        }
    }
    Ok(found)
}

/// Bytes up to the first record that is torn, damaged or past `step`.
fn n_kept_byte(bytes: &[u8], step: u64) -> usize {
    let mut rest = bytes;
    while let Some((event, after)) = split_record(rest) {
        if event_step(event).is_none_or(|known| known > step) {
            break;
        }
        rest = after;
    }
    bytes.len() - rest.len()
}

/// The first record and what follows it; `None` where no whole record stands.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*length_crc) != masked_crc(length) {
        return None;
    }
    let n_byte = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (event, rest) = rest.split_at_checked(n_byte)?;
    let (event_crc, rest) = rest.split_first_chunk::<4>()?;
    (u32::from_le_bytes(*event_crc) == masked_crc(event)).then_some((event, rest))
}

/// Step of an event that we wrote: wall time, then perhaps the step; no step is step 0.
fn event_step(event: &[u8]) -> Option<u64> {
    let rest = event.strip_prefix(&[0x09])?.get(8..)?;
    let Some(rest) = rest.strip_prefix(&[0x10]) else { return Some(0) };
    let mut step = 0;
    for (byte_idx, byte) in rest.iter().take(10).enumerate() {
        step |= u64::from(byte & 0x7f) << (7 * byte_idx);
        if byte & 0x80 == 0 {
            return Some(step);
        }
    }
    None
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(event.len() + 16);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&masked_crc(&length).to_le_bytes());
    bytes.extend_from_slice(event);
    bytes.extend_from_slice(&masked_crc(event).to_le_bytes());
    bytes
}

fn version_event(wall_secs: f64) -> Vec<u8> {
    let mut event = head(wall_secs, 0);
    field(&mut event, 3, b"brain.Event:2");
    event
}

fn scalar_event(wall_secs: f64, row: &Row) -> Vec<u8> {
    let mut summary = Vec::new();
    for (name, figure) in row.scalars.iter() {
        let tag = match row.kind {
            Kind::Train => format!("train/{name}"),
            Kind::Eval => format!("eval/{}", name.strip_prefix("eval_").unwrap_or(name)),
        };
        let mut value = Vec::new();
        field(&mut value, 1, tag.as_bytes());
        value.push(2 << 3 | 5);
        value.extend_from_slice(&(figure as f32).to_le_bytes());
        field(&mut summary, 1, &value);
    }
    let mut event = head(wall_secs, row.step);
    field(&mut event, 5, &summary);
    event
}

fn head(wall_secs: f64, step: u64) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend_from_slice(&wall_secs.to_le_bytes());
    if step > 0 {
        event.push(2 << 3);
        varint(&mut event, step);
    }
    event
}

/// A field of known length: text or a message.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// CRC-32C, rotated right by 15 and shifted by a constant, so that a checksum may itself be summed up.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bytewise by a table.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut entry = 0;
    while entry < 256 {
        let (mut crc, mut bit) = (entry as u32, 0);
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[entry] = crc;
        entry += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::hex;

    fn row(step: u64, kind: Kind) -> Row {
        Row { step, kind, scalars: [("loss", 0.5), ("eval_accuracy", 0.25)].into_iter().collect() }
    }

    #[test]
    fn checksums_are_castagnoli() {
        // RFC 3720, appendix B.4.
        let ascending: Vec<u8> = (0..32).collect();
        let cases: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, expected) in cases {
            assert_eq!(crc32c(bytes), expected);
        }
    }

    #[test]
    fn bytes_are_those_that_readers_know() {
        let version = record(&version_event(1.5));
        let train = record(&scalar_event(2.0, &row(300, Kind::Train)));
        let eval = record(&scalar_event(2.0, &row(300, Kind::Eval)));
        assert_eq!(
            hex(&version),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        assert_eq!(
            hex(&train),
            concat!(
                "3d000000000000006049f1ec09000000000000004010ac022a2f0a110a0a747261696e2f6c6f737315000000",
                "3f0a1a0a13747261696e2f6576616c5f6163637572616379150000803e603624ba",
            )
        );
        assert_eq!(
            hex(&eval),
            concat!(
                "36000000000000004f578cef09000000000000004010ac022a280a100a096576616c2f6c6f7373150000003f",
                "0a140a0d6576616c2f6163637572616379150000803e2bb061ce",
            )
        );
    }

    #[test]
    fn a_resumed_run_cuts_its_file_after_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::open(dir.path(), 0).unwrap();
        for step in [1, 127, 128, 300] {
            events.push(&row(step, Kind::Train)).unwrap();
        }
        let path = events.path.clone();
        let whole = fs::read(&path).unwrap();
        let steps = |path: &Path| {
            let bytes = fs::read(path).unwrap();
            let (mut rest, mut steps) = (bytes.as_slice(), Vec::new());
            while let Some((event, after)) = split_record(rest) {
                steps.push(event_step(event).unwrap());
                rest = after;
            }
            assert!(rest.is_empty());
            steps
        };
        assert_eq!(steps(&path), [0, 1, 127, 128, 300]);
        for (kept_byte, step, expected) in [
            (whole.len(), 300, vec![0, 1, 127, 128, 300]),
            (whole.len(), 128, vec![0, 1, 127, 128]),
            (whole.len() - 3, 300, vec![0, 1, 127, 128]),
            (9, 300, vec![0]),
            (0, 300, vec![0]),
        ] {
            fs::write(&path, &whole[..kept_byte]).unwrap();
            drop(EventFile::open(dir.path(), step).unwrap());
            assert_eq!(steps(&path), expected, "{kept_byte} bytes, step {step}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
