//! Finds out what a path holds: which container, and what its rows mean.
//!
//! A wrong guess would train on the wrong words, so a guess is made only from what is there (endings, the
//! heading of a table, the names in a row), and where nothing fits the error lists all that was tried.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::Tally;
use super::archive::{TarRows, expand};
use super::files::{Files, Format, Sampling};
use super::folder::FolderRows;
use super::meaning::{Meaning, Names, Reading, keys};
use super::parquet::ParquetRows;
use super::row::{Chain, JsonRows, Rows, files_with};
use super::scan::Layout;
use super::table::TableRows;
use crate::error::TrainError;

/// Rows that are looked at to tell their meaning.
const N_LOOK: u64 = 16;
/// Longest `dataset_info.json` or YAML.
const MAX_LIST_BYTES: u64 = 4 << 20;
/// Endings of files of rows.
const ROW_ENDINGS: [&str; 6] = [".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv"];

/// What a path holds.
pub(crate) enum Found {
    /// Rows and their meaning.
    Rows(Arc<dyn Rows>, Reading),
    /// Further files.
    Several(Vec<Files>),
}

/// Finds the rows of `files`.
pub(crate) fn find(files: &Files, tally: &mut Tally) -> Result<Found, TrainError> {
    let path = &files.path;
    if ends_with(path, &[".yaml", ".yml"]) {
        return yaml(files).map(Found::Several);
    }
    if path.file_name().is_some_and(|name| name == "dataset_info.json") {
        return dataset_info(files, path).map(|files| Found::Several(vec![files]));
    }
    let info = path.join("dataset_info.json");
    if info.is_file() && (files.dataset.is_some() || files.format == Format::Auto) {
        return dataset_info(files, &info).map(|files| Found::Several(vec![files]));
    }
    if files.dataset.is_some() {
        return Err(TrainError::plan(format!("`dataset` needs a dataset_info.json: {}", path.display())));
    }
    let paths = row_files(files)?;
    let rows = open_all(files, &paths, tally)?;
    let names = Names { columns: files.columns.clone(), tags: role_tags(files) };
    let meaning = meaning(files, rows.as_ref(), &names)?;
    let reading = Reading {
        meaning,
        images: images(files, meaning, &paths[0]),
        names,
        tags: files.tags.clone(),
        system: files.system.clone(),
        request: files.request.clone(),
        caption: files.caption.clone(),
    };
    Ok(Found::Rows(rows, reading))
}

/// The tags of `dataset_info.json` travel among the columns.
fn role_tags(files: &Files) -> BTreeMap<String, String> {
    let tags = files.columns.iter().filter(|(name, _)| name.ends_with("_tag"));
    tags.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn ends_with(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The files of rows that a path means: itself, its shards, or those in the folder.
fn row_files(files: &Files) -> Result<Vec<PathBuf>, TrainError> {
    let path = &files.path;
    if !path.is_dir() {
        if path.exists() {
            return Ok(vec![path.clone()]);
        }
        let names = expand(&path.to_string_lossy()).map_err(TrainError::plan)?;
        return Ok(names.into_iter().map(PathBuf::from).collect());
    }
    if files.format == Format::Imagefolder {
        return Ok(vec![path.clone()]);
    }
    let kinds: &[&[&str]] = match files.format {
        Format::Webdataset => &[&[".tar"]],
        Format::Csv | Format::Quilt => &[&[".csv", ".tsv"]],
        _ => &[&[".tar"], &[".parquet"], &[".jsonl", ".ndjson"], &[".json"], &[".csv", ".tsv"]],
    };
    // Files of one kind: a folder often has the same rows as JSON and as a table.
    for endings in kinds {
        let found = files_with(path, endings);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    // `datasets` of Hugging Face keep their parquet one folder below.
    let found = files_with(&path.join("data"), &[".parquet"]);
    if !found.is_empty() {
        return Ok(found);
    }
    if files.format == Format::Auto {
        return Ok(vec![path.clone()]);
    }
    Err(TrainError::plan(format!(
        "the folder has no files ending in .tar, {}: {}",
        ROW_ENDINGS.join(", "),
        path.display()
    )))
}

fn open_all(files: &Files, paths: &[PathBuf], tally: &mut Tally) -> Result<Arc<dyn Rows>, TrainError> {
    let mut parts: Vec<Arc<dyn Rows>> = Vec::new();
    for path in paths {
        parts.push(open_one(files, path, tally)?);
    }
    if parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return Ok(part);
    }
    Ok(Arc::new(Chain::new(parts)))
}

fn open_one(files: &Files, path: &Path, tally: &mut Tally) -> Result<Arc<dyn Rows>, TrainError> {
    if path.is_dir() {
        let rows = FolderRows::open(path)?;
        if rows.n_row() == 0 {
            return Err(TrainError::plan(format!(
                "the folder has neither files ending in .tar, {} nor subfolders of pictures: {}",
                ROW_ENDINGS.join(", "),
                path.display()
            )));
        }
        return Ok(Arc::new(rows));
    }
    let layout = (files.format == Format::Arch).then_some(Layout::Values);
    if ends_with(path, &[".tar"]) || files.format == Format::Webdataset {
        return Ok(Arc::new(TarRows::open(path, tally)?));
    }
    if ends_with(path, &[".parquet"]) {
        return Ok(Arc::new(ParquetRows::open(path)?));
    }
    if ends_with(path, &[".csv", ".tsv"]) || matches!(files.format, Format::Csv | Format::Quilt) {
        let separator = match files.separator {
            None if ends_with(path, &[".tsv"]) => Some(b'\t'),
            None => None,
            Some(separator) => Some(
                u8::try_from(separator)
                    .map_err(|_wide| TrainError::plan("`separator` has to be a single ASCII character"))?,
            ),
        };
        return Ok(Arc::new(TableRows::open(path, separator, tally)?));
    }
    Ok(Arc::new(JsonRows::open(path, layout, tally)?))
}

/// What the rows mean: as stated, or as the first rows tell.
fn meaning(files: &Files, rows: &dyn Rows, names: &Names) -> Result<Meaning, TrainError> {
    let stated = match files.format {
        Format::Auto => None,
        Format::Sharegpt | Format::Llava => Some(Meaning::Sharegpt),
        Format::Openai => Some(Meaning::Openai),
        Format::Alpaca => Some(Meaning::Alpaca),
        Format::Pathvlm => Some(Meaning::Pathvlm),
        Format::Verl => Some(Meaning::Verl),
        Format::Csv | Format::Webdataset | Format::Imagefolder | Format::Quilt => Some(Meaning::Pairs),
        Format::Pathmmu => Some(Meaning::Pathmmu),
        Format::Pathvqa => Some(Meaning::Pathvqa),
        Format::Omnimedvqa => Some(Meaning::Omnimedvqa),
        Format::Pathgen => Some(Meaning::Pathgen),
        Format::Arch => Some(Meaning::Arch),
        Format::Text => Some(Meaning::Text),
        // Its rows come in three shapes, told apart by their values.
        Format::Swift => None,
    };
    if let Some(meaning) = stated {
        return Ok(meaning);
    }
    let mut first = None;
    let mut reason = String::new();
    for idx in 0..rows.n_row().min(N_LOOK) {
        match rows.row(idx) {
            Ok(row) => {
                if let Some(meaning) = Meaning::of(&row, names) {
                    return Ok(meaning);
                }
                first.get_or_insert_with(|| keys(&row));
            }
            Err(skip) if reason.is_empty() => reason = skip.reason,
            Err(_) => {}
        }
    }
    let what = match first {
        Some(first) => format!("the first row has {first}"),
        None if reason.is_empty() => "there are no rows".into(),
        None => format!("no row can be read: {reason}"),
    };
    let tried = Meaning::TOLD_BY.iter().map(|(meaning, name, keys)| match meaning {
        Meaning::Pairs => "pairs (image, caption)".to_owned(),
        _ => format!("{name} ({})", keys.join(", ")),
    });
    let tried: Vec<String> = tried.collect();
    Err(TrainError::plan(format!(
        "the format cannot be told, {what}; tried {}; state `format` or `columns`: {}",
        tried.join(", "),
        files.path.display()
    )))
}

/// The folder of the pictures.
fn images(files: &Files, meaning: Meaning, path: &Path) -> PathBuf {
    if let Some(images) = &files.images {
        return images.clone();
    }
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    match meaning {
        Meaning::Pathmmu | Meaning::Arch => folder.join("images"),
        _ => folder.to_owned(),
    }
}

fn read_list(path: &Path) -> Result<String, TrainError> {
    let meta = std::fs::metadata(path).map_err(TrainError::file("read the list", path))?;
    if meta.len() > MAX_LIST_BYTES {
        return Err(TrainError::plan(format!("the list is too long to be one: {}", path.display())));
    }
    std::fs::read_to_string(path).map_err(TrainError::file("read the list", path))
}

/// One entry of LLaMA-Factory's list of data sets.
fn dataset_info(files: &Files, path: &Path) -> Result<Files, TrainError> {
    let refuse = |what: String| Err(TrainError::plan(format!("{what}: {}", path.display())));
    let info: BTreeMap<String, Value> = match serde_json::from_str(&read_list(path)?) {
        Ok(info) => info,
        Err(error) => return refuse(format!("the list of data sets is not JSON: {error}")),
    };
    let name = match (&files.dataset, info.len()) {
        (Some(name), _) => name.as_str(),
        (None, 1) => info.keys().next().map_or("", String::as_str),
        (None, _) => {
            let names: Vec<&str> = info.keys().take(20).map(String::as_str).collect();
            return refuse(format!("state `dataset`, one of {}", names.join(", ")));
        }
    };
    let Some(entry) = info.get(name) else {
        return refuse(format!("no data set is called `{name}`"));
    };
    let Some(file_name) = entry.get("file_name").and_then(Value::as_str) else {
        return refuse(format!("`{name}` names no file; data sets on the network are not fetched"));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let file = match super::place::inside(folder, file_name) {
        Ok(file) => file,
        Err(reason) => return refuse(reason),
    };
    let mut columns = files.columns.clone();
    for (key, value) in ["columns", "tags"].iter().filter_map(|key| entry.get(*key)?.as_object()).flatten() {
        if let Some(value) = value.as_str() {
            columns.entry(key.clone()).or_insert_with(|| value.to_owned());
        }
    }
    let format = match (files.format, entry.get("formatting").and_then(Value::as_str)) {
        (Format::Auto, Some("sharegpt")) => Format::Sharegpt,
        (Format::Auto, Some("alpaca") | None) if !columns.contains_key("messages") => {
            // Pretraining sets are alpaca rows with a prompt and nothing else.
            match columns.get("prompt") {
                Some(prompt) if !columns.contains_key("response") && prompt == "text" => Format::Text,
                _ => Format::Alpaca,
            }
        }
        (Format::Auto, Some(other)) => {
            return refuse(format!(
                "`{name}` has the formatting `{other}`, which is neither alpaca nor sharegpt"
            ));
        }
        (stated, _) => stated,
    };
    let images = files.images.clone().or_else(|| Some(folder.to_owned()));
    Ok(Files { path: file, format, columns, images, dataset: None, ..files.clone() })
}

/// The list of files that `PathVLM`-R1 trains on: `json_path` and `sampling_strategy` under `datasets`.
///
/// Only this shape is read, which needs no YAML beyond names and values on lines.
fn yaml(files: &Files) -> Result<Vec<Files>, TrainError> {
    let path = &files.path;
    let text = read_list(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let refuse = |line: usize, what: &str| {
        TrainError::plan(format!("line {} of the list of files {what}: {}", line + 1, path.display()))
    };
    let mut parts: Vec<Files> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or(line).trim();
        if line.is_empty() || line.starts_with('#') || line == "datasets:" || line == "---" {
            continue;
        }
        let (is_item, line) = match line.strip_prefix('-') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if is_item {
            parts.push(Files { path: PathBuf::new(), ..files.clone() });
        }
        if line.is_empty() {
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(|| refuse(number, "has no name"))?;
        let value = value.trim().trim_matches(['"', '\'']);
        let part = parts.last_mut().ok_or_else(|| refuse(number, "belongs to no file"))?;
        match key.trim() {
            "json_path" | "path" => part.path = folder.join(value),
            "sampling_strategy" => {
                part.sampling = Sampling::try_from(value.to_owned())
                    .map_err(|what| refuse(number, &format!("is wrong: {what}")))?;
            }
            other => return Err(refuse(number, &format!("has the unknown name `{other}`"))),
        }
    }
    if parts.is_empty() || parts.iter().any(|part| part.path.as_os_str().is_empty()) {
        return Err(TrainError::plan(format!("the list of files names no `json_path`: {}", path.display())));
    }
    Ok(parts)
}
