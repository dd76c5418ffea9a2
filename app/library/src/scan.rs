//! Which files of a place may be slides or pictures.
//!
//! In a folder the ending decides what is looked at, for a folder holds all kinds of things; a file that somebody
//! named is always looked at. Whether it is one, its content decides later.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Endings of slides and pictures.
const ENDINGS: [&str; 17] = [
    "svs", "tif", "tiff", "ndpi", "mrxs", "scn", "vms", "vmu", "bif", "svslide", "afi", "png", "jpg", "jpeg",
    "webp", "bmp", "btf",
];
/// Endings that are pictures of one piece, mostly.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];
/// Folders deeper than this are a loop of links.
const DEPTH_MAX: usize = 64;

/// A file that may be a slide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) n_byte: u64,
    pub(crate) modified_ns: i64,
}

impl Found {
    /// Looks at a file.
    pub(crate) fn of(path: PathBuf) -> std::io::Result<Self> {
        let meta = std::fs::metadata(&path)?;
        let since = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ns = since.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or_default();
        Ok(Self { path, n_byte: meta.len(), modified_ns })
    }

    /// Whether it is most probably one small picture.
    pub(crate) fn is_picture(&self) -> bool {
        has_ending(&self.path, &PICTURES)
    }
}

/// What a place holds, by path.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) found: Vec<Found>,
    /// What could not be looked into, and why.
    pub(crate) unreadable: Vec<(PathBuf, std::io::Error)>,
}

/// Lists a folder with all below it, or one file.
pub(crate) fn scan(place: &Path) -> Scan {
    let mut scan = Scan::default();
    match std::fs::metadata(place) {
        Ok(meta) if meta.is_dir() => walk(place, 0, &mut HashSet::new(), &mut scan),
        Ok(_) => take(place.to_owned(), &mut scan),
        Err(error) => scan.unreadable.push((place.to_owned(), error)),
    }
    scan.found.sort_by(|a, b| a.path.cmp(&b.path));
    scan.found.dedup_by(|a, b| a.path == b.path);
    scan
}

fn take(path: PathBuf, scan: &mut Scan) {
    match Found::of(path.clone()) {
        Ok(found) => scan.found.push(found),
        Err(error) => scan.unreadable.push((path, error)),
    }
}

fn walk(folder: &Path, depth: usize, seen: &mut HashSet<PathBuf>, scan: &mut Scan) {
    let real = folder.canonicalize().unwrap_or_else(|_gone| folder.to_owned());
    // Links may lead back to where we are.
    if depth > DEPTH_MAX || !seen.insert(real) {
        return;
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return scan.unreadable.push((folder.to_owned(), error)),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    // The JPEG files beside a Hamamatsu table of contents are parts of that slide.
    let parts_of_slide = paths.iter().any(|path| has_ending(path, &["vms", "vmu"]));
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, depth + 1, seen, scan);
        } else if has_ending(&path, &ENDINGS) && !(parts_of_slide && has_ending(&path, &["jpg", "jpeg"])) {
            take(path, scan);
        }
    }
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    endings.iter().any(|known| known.eq_ignore_ascii_case(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slides_and_pictures_are_found_however_deep() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        };
        for name in
            ["b.SVS", "a/deep/c.png", "notes.txt", ".hidden.png", ".git/d.png", "h/s.vms", "h/s-1.jpg"]
        {
            put(name);
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/loop")).unwrap();
        let names = |scan: &Scan| -> Vec<String> {
            let inside =
                |found: &Found| found.path.strip_prefix(folder.path()).unwrap().display().to_string();
            scan.found.iter().map(inside).collect()
        };
        let all = scan(folder.path());
        assert_eq!(names(&all), ["a/deep/c.png", "b.SVS", "h/s.vms"]);
        assert!(all.unreadable.is_empty() && all.found[0].n_byte > 0 && all.found[0].modified_ns > 0);
        assert!(all.found[0].is_picture() && !all.found[1].is_picture());
        // What was named is looked at whatever its ending.
        assert_eq!(names(&scan(&folder.path().join("notes.txt"))), ["notes.txt"]);
        assert_eq!(scan(&folder.path().join("absent")).unreadable.len(), 1);
    }
}
