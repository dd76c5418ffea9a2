//! Files as bytes in memory, without reading them: the one place of this crate that needs `unsafe`.
//!
//! A checkpoint of several gigabytes opens at once, only the pages that are used are read, and all
//! processes share them. The tests of every container go through here.
#![expect(unsafe_code, reason = "mapping a file is unsafe in memmap2: see the note at the call")]

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

use crate::WeightError;

/// The bytes of a regular file, mapped read-only.
pub(crate) fn map(path: &Path) -> Result<Bytes, WeightError> {
    let read = |source| WeightError::Read { path: path.to_owned(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() == 0 {
        // An empty map is an error on most systems, an empty file is merely empty.
        return Ok(Bytes::new());
    }
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only and is handed out only as bytes, of which any value is valid. Should
    // another process change the file meanwhile, readers see changed numbers or, if it is cut short, the
    // system ends this process; nothing in this crate keeps a check that such a change could undo within
    // memory, since every header is copied out of the map when it is read.
    let map = unsafe { Mmap::map(&file) }.map_err(read)?;
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        assert!(matches!(map(&file), Err(WeightError::Read { .. })));
        assert!(matches!(map(folder.path()), Err(WeightError::Read { .. })));
        std::fs::write(&file, b"").unwrap();
        assert_eq!(map(&file).unwrap(), Bytes::new());
        std::fs::write(&file, b"abc").unwrap();
        assert_eq!(map(&file).unwrap(), Bytes::from_static(b"abc"));
    }
}
