//! Rows of a folder whose subfolders are classes, as `ImageFolder` of torchvision has them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::archive::PICTURE_ENDINGS;
use super::row::{Row, Rows};
use super::{Picture, Skip};
use crate::error::TrainError;

/// Deepest folder of a class.
const MAX_DEPTH: usize = 4;

/// One row a picture, with its class.
#[derive(Debug)]
pub(crate) struct FolderRows {
    root: PathBuf,
    classes: Vec<String>,
    /// Class and path below the root.
    files: Vec<(u32, PathBuf)>,
}

impl FolderRows {
    /// Lists the pictures of every class, by name, so that the order is the same everywhere.
    pub(crate) fn open(root: &Path) -> Result<Self, TrainError> {
        let mut classes = Vec::new();
        let mut files = Vec::new();
        for folder in entries(root)?.into_iter().filter(|path| path.is_dir()) {
            let class = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if class.starts_with('.') {
                continue;
            }
            let n_before = files.len();
            collect(root, &folder, classes.len() as u32, MAX_DEPTH, &mut files)?;
            if files.len() > n_before {
                classes.push(class);
            }
        }
        Ok(Self { root: root.to_owned(), classes, files })
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let items = std::fs::read_dir(folder).map_err(TrainError::file("list the folder", folder))?;
    let mut paths: Vec<PathBuf> = items.filter_map(|item| Some(item.ok()?.path())).collect();
    paths.sort();
    Ok(paths)
}

fn collect(
    root: &Path,
    folder: &Path,
    class: u32,
    depth: usize,
    files: &mut Vec<(u32, PathBuf)>,
) -> Result<(), TrainError> {
    for path in entries(folder)? {
        if path.is_dir() {
            if depth > 1 {
                collect(root, &path, class, depth - 1, files)?;
            }
            continue;
        }
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if PICTURE_ENDINGS.contains(&ending.as_str())
            && let Ok(below) = path.strip_prefix(root)
        {
            files.push((class, below.to_owned()));
        }
    }
    Ok(())
}

impl Rows for FolderRows {
    fn n_row(&self) -> u64 {
        self.files.len() as u64
    }

    fn name(&self, idx: u64) -> String {
        self.files
            .get(idx as usize)
            .map_or_else(|| format!("row {idx}"), |(_, path)| path.to_string_lossy().into_owned())
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        let missing = || Skip { id: self.name(idx), reason: "no such row".into() };
        let (class, path) = self.files.get(idx as usize).ok_or_else(missing)?;
        let class = self.classes.get(*class as usize).ok_or_else(missing)?;
        let mut row = Row::default();
        let image = row.hold(Picture::File(self.root.join(path)));
        row.value.insert("image".into(), image);
        row.value.insert("class".into(), Value::String(class.clone()));
        Ok(row)
    }
}
