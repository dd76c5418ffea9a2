//! Slides: by dialog, drop, argument or from a folder; and what is known of them.

#![expect(clippy::needless_pass_by_value, reason = "Tauri hands the arguments of commands over by value")]

use std::path::{Path, PathBuf};

use eosin_workbench::SlideKey;

use super::Managed;
use crate::State;
use crate::dto::{ErrorDto, FileDto, LevelDto, SlideDto};

/// Endings of files that are listed of a folder; a file that is opened by name may have any.
const ENDINGS: &[&str] = &[
    "svs", "ndpi", "mrxs", "scn", "bif", "tif", "tiff", "vms", "vmu", "svslide", "dcm", "png", "jpg", "jpeg",
    "webp", "bmp",
];

/// Files listed of a folder, and folders looked into: more is no choice for a person.
const MOST_FILES: usize = 2000;

/// Lets the person choose files; none where they choose none.
#[tauri::command]
pub(crate) async fn open_dialog() -> Vec<String> {
    let chosen = rfd::AsyncFileDialog::new().set_title("Eosin").pick_files().await;
    chosen.unwrap_or_default().iter().map(|file| file.path().to_string_lossy().into_owned()).collect()
}

/// Lets the person choose a folder.
#[tauri::command]
pub(crate) async fn folder_dialog() -> Option<String> {
    let chosen = rfd::AsyncFileDialog::new().set_title("Eosin").pick_folder().await?;
    Some(chosen.path().to_string_lossy().into_owned())
}

/// Opens a slide or a picture.
#[tauri::command(async)]
pub(crate) fn open_path(state: Managed<'_>, path: &str) -> Result<SlideDto, ErrorDto> {
    open(&state, Path::new(path))
}

/// Closes a slide; its tiles are forgotten.
#[tauri::command(async)]
pub(crate) fn close_slide(state: Managed<'_>, handle: String) {
    state.workbench.close(&SlideKey(handle));
}

/// The slides and pictures among these files and inside these folders, by name. A file that was named stands as it
/// is: opening it tells what is wrong with it.
#[tauri::command(async)]
pub(crate) fn list_files(paths: Vec<String>) -> Vec<FileDto> {
    let mut found = Vec::new();
    for path in paths.iter().map(PathBuf::from) {
        if path.is_dir() { list_folder(&path, &mut found) } else { found.push(path) }
    }
    found.iter().map(|path| FileDto::of(path)).collect()
}

/// Slides under a folder, breadth first, in the order of their names; links are not followed.
fn list_folder(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut folders = std::collections::VecDeque::from([folder.to_owned()]);
    let mut n_folder = 0;
    while let Some(folder) = folders.pop_front() {
        n_folder += 1;
        if n_folder > MOST_FILES || found.len() >= MOST_FILES {
            return;
        }
        let mut entries: Vec<_> = std::fs::read_dir(&folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            let hidden = entry.file_name().to_string_lossy().starts_with('.');
            if hidden {
                continue;
            }
            let path = entry.path();
            let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            if kind.is_dir() {
                // A MIRAX slide is a file beside a folder of its own name: the folder holds no other slide.
                if !path.with_extension("mrxs").is_file() {
                    folders.push_back(path);
                }
            } else if ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
                && found.len() < MOST_FILES
            {
                found.push(path);
            }
        }
    }
}

fn open(state: &State, path: &Path) -> Result<SlideDto, ErrorDto> {
    let opened = state.workbench.open(path)?;
    let info = opened.slide.info();
    let [width_px, height_px] = info.base_px();
    let levels = info.levels.iter().map(|level| LevelDto {
        width_px: level.size_px[0],
        height_px: level.size_px[1],
        downsample: level.downsample,
    });
    Ok(SlideDto {
        handle: opened.key.0.clone(),
        id: info.id.0.clone(),
        path: path.to_string_lossy().into_owned(),
        title: opened.title.clone(),
        format: info.format.clone(),
        width_px,
        height_px,
        tile_px: opened.plan.tile_px(),
        mpp: info.mpp.map(eosin_core::Mpp::um_per_px),
        magnification: info.magnification,
        levels: levels.collect(),
    })
}
