//! The content hash of a slide file.
//!
//! A slide has gigabytes and must open at once, so a large file is sampled: its length, its first and last
//! mebibyte and 64 blocks between. Two scans never share the samples (each holds compressed tissue), and an
//! edit of the headers changes the head or the tail. It names a slide; it is no seal against tampering.
//! Held true by the unit tests below.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use eosin_core::SlideId;
use sha2::{Digest, Sha256};

/// Files up to this length are hashed whole.
const WHOLE_BYTES: u64 = 8 << 20;
/// Length of the head and of the tail.
const END_BYTES: u64 = 1 << 20;
/// Blocks sampled between head and tail.
const N_BLOCK: u64 = 64;
/// Length of one block.
const BLOCK_BYTES: u64 = 64 << 10;
/// Changes whenever the definition does, so that old and new ids never meet.
const DOMAIN: &[u8] = b"eosin slide id 1\0";

/// Hashes the length and the content (sampled above 8 MiB) of a file, and `companion` beside it.
///
/// SHA-256 over: the domain text, the length as 8 bytes little-endian, the whole content, or (above 8 MiB)
/// the first MiB, 64 blocks of 64 KiB that start at `1 MiB + i · (length − 2 MiB − 64 KiB) / 63`, and the last
/// MiB; then `companion`, which stands for the other files of a slide of several files. The id is the first
/// 16 bytes in hexadecimal.
pub(crate) fn hash_file(file: &mut File, companion: &str) -> io::Result<SlideId> {
    let n_byte = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(n_byte.to_le_bytes());
    if n_byte <= WHOLE_BYTES {
        hash_span(file, 0, n_byte, &mut hash)?;
    } else {
        hash_span(file, 0, END_BYTES, &mut hash)?;
        let room = n_byte - 2 * END_BYTES - BLOCK_BYTES;
        for block_idx in 0..N_BLOCK {
            // Quotient and remainder apart, so that no product overflows.
            let per = N_BLOCK - 1;
            let offset = room / per * block_idx + room % per * block_idx / per;
            hash_span(file, END_BYTES + offset, BLOCK_BYTES, &mut hash)?;
        }
        hash_span(file, n_byte - END_BYTES, END_BYTES, &mut hash)?;
    }
    hash.update(companion.as_bytes());
    let digest = hash.finalize();
    let half = digest[..16].iter().fold(0_u128, |number, &byte| number << 8 | u128::from(byte));
    Ok(SlideId(format!("{half:032x}")))
}

fn hash_span(file: &mut File, offset: u64, n_byte: u64, hash: &mut Sha256) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    let mut left = n_byte;
    let mut buffer = vec![0; (64 << 10).min(n_byte as usize)];
    while left > 0 {
        let n_want = (buffer.len() as u64).min(left) as usize;
        file.read_exact(&mut buffer[..n_want])?;
        hash.update(&buffer[..n_want]);
        left -= n_want as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn id_of(content: &[u8], companion: &str) -> SlideId {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        hash_file(&mut file, companion).unwrap()
    }

    #[test]
    fn every_part_that_is_sampled_counts() {
        let n_byte = WHOLE_BYTES as usize + (1 << 20);
        let plain = vec![7_u8; n_byte];
        let id = id_of(&plain, "");
        assert_eq!(id, id_of(&plain, ""));
        assert_eq!(id.0.len(), 32);
        let first_block = END_BYTES as usize;
        let last_block = n_byte - (END_BYTES + 1) as usize;
        for at in [0, END_BYTES as usize - 1, first_block, last_block, n_byte - 1] {
            let mut other = plain.clone();
            other[at] = 8;
            assert_ne!(id, id_of(&other, ""), "byte {at}");
        }
        assert_ne!(id, id_of(&plain[1..], ""), "length");
        assert_ne!(id, id_of(&plain, "sidecar"), "companion");
        assert_ne!(id_of(b"", ""), id_of(b"\0", ""));
    }
}
