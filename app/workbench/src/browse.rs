//! Slides and pictures among what was dropped: files as they are, folders by what lies in them.
//!
//! Opening tells what a file is; a folder of thousands cannot be opened to find out, so in folders the ending
//! decides. What is looked at is bounded in depth and number, links to folders are not followed (they may lead
//! round in a circle), hidden files and folders are left away. Held true by the tests below.

use std::path::{Path, PathBuf};

/// Endings of what opens, without the dot.
const ENDINGS: [&str; 17] = [
    "svs", "tif", "tiff", "ndpi", "ndpis", "vms", "vmu", "scn", "mrxs", "svslide", "bif", "btf", "png",
    "jpg", "jpeg", "webp", "bmp",
];
/// Files that are listed at most.
const FILES_MAX: usize = 2000;
/// Entries of folders that are looked at.
const ENTRIES_MAX: usize = 50_000;
/// Folders within folders.
const DEPTH_MAX: usize = 6;

/// Files to open.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// The files: those that were named, then those of folders in the order of their names.
    pub files: Vec<PathBuf>,
    /// Whether there are more than are listed.
    pub truncated: bool,
    /// Folders that could not be read.
    pub n_unread: usize,
}

/// Lists what to open of some paths: files as they were given, pictures and slides in folders.
pub fn list_slides(paths: &[PathBuf]) -> Listing {
    let mut listing = Listing::default();
    let mut n_entry = 0;
    for path in paths {
        if path.is_dir() {
            listing.walk(path, 0, &mut n_entry);
        } else if listing.files.len() < FILES_MAX {
            listing.files.push(path.clone());
        } else {
            listing.truncated = true;
        }
    }
    listing
}

impl Listing {
    fn walk(&mut self, folder: &Path, depth: usize, n_entry: &mut usize) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            self.n_unread += 1;
            return;
        };
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            *n_entry += 1;
            if *n_entry > ENTRIES_MAX {
                self.truncated = true;
                break;
            }
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if hidden {
            } else if kind.is_dir() {
                folders.push(path);
            } else if is_listed(&path) && path.is_file() {
                files.push(path);
            }
        }
        // The files of a folder before those of the folders in it.
        files.sort_by_cached_key(|path| natural_key(path));
        folders.sort_by_cached_key(|path| natural_key(path));
        let room = FILES_MAX - self.files.len();
        self.truncated |= files.len() > room;
        self.files.extend(files.into_iter().take(room));
        for folder in folders {
            if depth == DEPTH_MAX || self.files.len() == FILES_MAX || *n_entry > ENTRIES_MAX {
                self.truncated = true;
                return;
            }
            self.walk(&folder, depth + 1, n_entry);
        }
    }
}

fn is_listed(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// Orders names as a person does: without regard to case, and `case 9` before `case 10`.
fn natural_key(path: &Path) -> Vec<(u64, String)> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut parts = Vec::new();
    let mut rest = name.as_str();
    while !rest.is_empty() {
        let words_end = rest.find(|symbol: char| symbol.is_ascii_digit()).unwrap_or(rest.len());
        let (words, tail) = rest.split_at(words_end);
        let digits_end = tail.find(|symbol: char| !symbol.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(digits_end);
        parts.push((0, words.to_owned()));
        if !digits.is_empty() {
            // Longer numbers than any counter makes count as the largest.
            parts.push((digits.parse().unwrap_or(u64::MAX).saturating_add(1), String::new()));
        }
        rest = tail;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listing: &Listing, root: &Path) -> Vec<String> {
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        listing.files.iter().map(name).collect()
    }

    #[test]
    fn folders_are_listed_in_order_and_files_as_given() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/deep")).unwrap();
        std::fs::create_dir(root.join(".hidden")).unwrap();
        for name in [
            "case 10.svs",
            "case 9.SVS",
            "Case 1.ndpi",
            "notes.txt",
            ".x.svs",
            "b/a.png",
            "b/deep/z.tiff",
            ".hidden/y.png",
        ] {
            std::fs::write(root.join(name), b"x").unwrap();
        }
        let listing = list_slides(&[root.to_path_buf()]);
        assert_eq!(
            names(&listing, root),
            ["Case 1.ndpi", "case 9.SVS", "case 10.svs", "b/a.png", "b/deep/z.tiff"]
        );
        assert_eq!((listing.truncated, listing.n_unread), (false, 0));
        let odd = root.join("notes.txt");
        assert_eq!(list_slides(std::slice::from_ref(&odd)).files, [odd], "what is named is tried");
        assert_eq!(list_slides(&[root.join("b/deep/none")]).files.len(), 1, "and its error shown");
    }

    #[test]
    fn what_is_looked_at_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut deep = folder.path().to_path_buf();
        for _ in 0..DEPTH_MAX + 3 {
            deep.push("d");
        }
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("a.png"), b"x").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
        let listing = list_slides(&[folder.path().to_path_buf()]);
        assert_eq!((listing.files.len(), listing.truncated), (0, true));
        for idx in 0..FILES_MAX + 5 {
            std::fs::write(folder.path().join(format!("{idx}.png")), b"").unwrap();
        }
        let listing = list_slides(&[folder.path().to_path_buf()]);
        assert_eq!((listing.files.len(), listing.truncated), (FILES_MAX, true));
    }
}
