//! Files as bytes in memory, without reading them: the one place of this crate that needs `unsafe`.
//!
//! A checkpoint of several gigabytes opens at once, only the pages that are used are read, and all
//! processes share them. The tests of every container go through here.
#![expect(unsafe_code, reason = "mapping a file is unsafe in memmap2: see the note at the call")]

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::Mmap;

use crate::WeightError;

/// A hold on a mapped file beside its bytes; empty where the bytes are no map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping(Option<Arc<Mmap>>);

impl Mapping {
    /// Gives the pages back to the system, which reads them again from the file, or from what it keeps of it, when
    /// somebody looks at them.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Some(map) = &self.0 {
            // SAFETY: the map is of a file, shared and read-only: what is dropped comes back as it was. Failing changes
            // nothing.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

/// The bytes of a map, which live as long as somebody holds it.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The bytes of a regular file, mapped read-only.
pub(crate) fn map(path: &Path) -> Result<Bytes, WeightError> {
    Ok(map_with_hold(path)?.0)
}

/// The same, with a hold on the map.
pub(crate) fn map_with_hold(path: &Path) -> Result<(Bytes, Mapping), WeightError> {
    let read = |source| WeightError::Read { path: path.to_owned(), source };
    // Asked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    if metadata.len() == 0 {
        // An empty map is an error on most systems, an empty file is merely empty.
        return Ok((Bytes::new(), Mapping::default()));
    }
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read-only and is handed out only as bytes, of which any value is valid. Should
    // another process change the file meanwhile, readers see changed numbers or, if it is cut short, the
    // system ends this process; nothing in this crate keeps a check that such a change could undo within
    // memory, since every header is copied out of the map when it is read.
    let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(read)?);
    Ok((Bytes::from_owner(Shared(map.clone())), Mapping(Some(map))))
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

    #[test]
    fn released_pages_come_back_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        let content: Vec<u8> = (0..100_000_u32).map(|n| (n * 7) as u8).collect();
        std::fs::write(&file, &content).unwrap();
        let (bytes, hold) = map_with_hold(&file).unwrap();
        assert_eq!(bytes, content);
        hold.release();
        assert_eq!(bytes, content);
        drop(hold);
        assert_eq!(bytes.slice(70_000..), content[70_000..]);
        Mapping::default().release();
    }
}
