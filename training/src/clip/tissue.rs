//! Labelled pictures in a folder: real tissue to probe a CLIP with.
//!
//! Either `labels*.csv` with the columns `file`, `label` and optionally `slide`, `case`, `x`, `y`, or `train/` and
//! `test/` with a folder a class, or folders of classes alone. Pictures of one slide look alike whatever they
//! show, so slides must not cross from training to test; where a label has one slide only (then the label *is*
//! the slide), its tiles are cut in two halves by place with a gap between, and the report says so. Held by the
//! tests below.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use eosin_core::RgbTile;
use eosin_slide::load_picture;
use serde::Serialize;

use crate::data::Tally;
use crate::error::TrainError;

/// Most pictures of a folder that are read; more would not fit in memory.
const MAX_PICTURES: usize = 50_000;

/// One picture of the folder.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch {
    /// Where it lies.
    pub path: PathBuf,
    /// Index of its label.
    pub label: usize,
    /// The slide that it was cut from; empty where unknown.
    pub slide: String,
    /// Where on the slide, where known.
    pub place: Option<[f64; 2]>,
    /// What the folder's owner made it for, where the owner says so.
    pub given: Option<Side>,
}

/// Which side of a division a picture is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// It is learned from.
    Train,
    /// It is asked about.
    Test,
}

/// How pictures were divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Division {
    /// As the folder is.
    Given,
    /// No slide is on both sides.
    BySlide,
    /// Slides are cut in two, with a gap between the halves: labels with one slide cannot be divided otherwise.
    ByPlace,
    /// By the names of the files, nothing else being known.
    ByName,
}

/// The pictures of a folder.
#[derive(Clone, PartialEq, Debug)]
pub struct Tissue {
    /// Labels in order.
    pub labels: Vec<String>,
    /// The pictures, sorted by path.
    pub patches: Vec<Patch>,
}

impl Tissue {
    /// Lists a folder; nothing is decoded.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where there are no two labels.
    pub fn list(folder: &Path) -> Result<Self, TrainError> {
        let tables = files(folder)?.into_iter().filter(|path| {
            path.extension().is_some_and(|extension| extension == "csv")
                && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("labels"))
        });
        // The table may lie beside the folder of pictures, as pathologyatlas's does.
        let table = tables.chain(beside(folder)?).next();
        let mut rows = match &table {
            Some(table) => from_table(table, folder)?,
            None => from_folders(folder)?,
        };
        rows.sort_by(|a, b| a.1.path.cmp(&b.1.path));
        rows.truncate(MAX_PICTURES);
        let labels: BTreeSet<String> = rows.iter().map(|(label, _)| label.clone()).collect();
        let labels: Vec<String> = labels.into_iter().collect();
        if labels.len() < 2 {
            return Err(TrainError::plan(format!("the folder has no two labels: {}", folder.display())));
        }
        let patches = rows
            .into_iter()
            .map(|(label, patch)| Patch { label: labels.binary_search(&label).unwrap_or_default(), ..patch });
        Ok(Self { patches: patches.collect(), labels })
    }

    /// Decodes all pictures; those that cannot be are taken out and tallied.
    pub fn load(&mut self, tally: &mut Tally) -> Vec<RgbTile> {
        let mut tiles = Vec::with_capacity(self.patches.len());
        self.patches.retain(|patch| match load_picture(&patch.path) {
            Ok(tile) => {
                tiles.push(tile);
                true
            }
            Err(error) => {
                let name = patch.path.file_name().map(|name| name.to_string_lossy().into_owned());
                tally.skip(name.unwrap_or_default(), eosin_core::error_chain(&error));
                false
            }
        });
        tiles
    }

    /// Divides the pictures; pictures without a side fall into the gap.
    pub fn divide(&self) -> (Division, Vec<Option<Side>>) {
        if self.patches.iter().all(|patch| patch.given.is_some()) {
            return (Division::Given, self.patches.iter().map(|patch| patch.given).collect());
        }
        let mut slides: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        for patch in &self.patches {
            slides.entry(patch.label).or_default().insert(&patch.slide);
        }
        let shared = |slide: &str| slides.values().filter(|own| own.contains(slide)).count() > 1;
        let divisible = slides.values().all(|own| own.len() > 1 && !own.iter().any(|slide| shared(slide)));
        if divisible {
            // The first half of each label's slides, in order of their names.
            let side = |patch: &Patch| {
                let own = &slides[&patch.label];
                let place = own.iter().position(|slide| *slide == patch.slide).unwrap_or(0);
                Some(if place < own.len().div_ceil(2) { Side::Train } else { Side::Test })
            };
            return (Division::BySlide, self.patches.iter().map(side).collect());
        }
        let placed = self.patches.iter().all(|patch| patch.place.is_some());
        let mut sides = vec![None; self.patches.len()];
        let mut groups: BTreeMap<(usize, &str), Vec<usize>> = BTreeMap::new();
        for (row, patch) in self.patches.iter().enumerate() {
            groups.entry((patch.label, &patch.slide)).or_default().push(row);
        }
        for mut rows in groups.into_values() {
            if placed {
                let axis = long_axis(rows.iter().filter_map(|&row| self.patches[row].place));
                let at = |row: usize| self.patches[row].place.map_or(0.0, |place| place[axis]);
                rows.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
            }
            let n = rows.len();
            // A tenth between the halves is nobody's, where places are known.
            let gap = if placed { n / 20 } else { 0 };
            for (rank, row) in rows.into_iter().enumerate() {
                sides[row] = match rank {
                    rank if rank + gap < n.div_ceil(2) => Some(Side::Train),
                    rank if rank >= n.div_ceil(2) + gap => Some(Side::Test),
                    _ => None,
                };
            }
        }
        (if placed { Division::ByPlace } else { Division::ByName }, sides)
    }
}

/// The axis along which places reach further: 0 for x.
fn long_axis(places: impl Iterator<Item = [f64; 2]>) -> usize {
    let mut ends = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
    for place in places {
        for (ends, at) in ends.iter_mut().zip(place) {
            *ends = [ends[0].min(at), ends[1].max(at)];
        }
    }
    usize::from(ends[1][1] - ends[1][0] > ends[0][1] - ends[0][0])
}

/// A table beside a folder without one, that speaks of its files.
fn beside(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else { return Ok(Vec::new()) };
    let wanted = format!("labels.{}.csv", name.to_string_lossy());
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    Ok(files(parent)?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy() == wanted))
        .collect())
}

fn from_table(table: &Path, folder: &Path) -> Result<Vec<(String, Patch)>, TrainError> {
    let text = fs::read_to_string(table).map_err(TrainError::file("read the labels", table))?;
    let mut lines = text.lines();
    let head: Vec<&str> =
        lines.next().unwrap_or_default().trim_start_matches('\u{feff}').split(',').collect();
    let column = |name: &str| head.iter().position(|column| column.trim() == name);
    let (Some(file), Some(label)) = (column("file"), column("label")) else {
        let what = "the table of labels has no columns `file` and `label`";
        return Err(TrainError::plan(format!("{what}: {}", table.display())));
    };
    let base = table.parent().unwrap_or(Path::new(""));
    let mut rows = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        let cell = |column: Option<usize>| column.and_then(|column| cells.get(column)).copied().unwrap_or("");
        let number = |name: &str| cell(column(name)).parse::<f64>().ok().filter(|value| value.is_finite());
        let path = base.join(cell(Some(file)));
        // A table may speak of more folders than the one that was asked for.
        if cell(Some(file)).is_empty() || cell(Some(label)).is_empty() || !path.starts_with(folder) {
            continue;
        }
        let slide =
            if cell(column("slide")).is_empty() { cell(column("case")) } else { cell(column("slide")) };
        let patch = Patch {
            path,
            label: 0,
            slide: slide.to_owned(),
            place: number("x").zip(number("y")).map(|(x, y)| [x, y]),
            given: None,
        };
        rows.push((cell(Some(label)).to_owned(), patch));
    }
    Ok(rows)
}

fn from_folders(folder: &Path) -> Result<Vec<(String, Patch)>, TrainError> {
    let given = [("train", Side::Train), ("test", Side::Test)].map(|(name, side)| (folder.join(name), side));
    let mut rows = Vec::new();
    if given.iter().all(|(folder, _)| folder.is_dir()) {
        for (folder, side) in given {
            rows.extend(classes(&folder, Some(side))?);
        }
    } else {
        rows = classes(folder, None)?;
    }
    Ok(rows)
}

fn classes(folder: &Path, given: Option<Side>) -> Result<Vec<(String, Patch)>, TrainError> {
    let mut rows = Vec::new();
    for class in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let label = class.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for path in files(&class)? {
            let patch = Patch { path, label: 0, slide: String::new(), place: None, given };
            rows.push((label.clone(), patch));
        }
    }
    Ok(rows)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_file()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let entries = fs::read_dir(folder).map_err(TrainError::file("list the folder", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(TrainError::file("list the folder", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patches(rows: &[(usize, &str, Option<[f64; 2]>)]) -> Tissue {
        let patches = rows.iter().enumerate().map(|(idx, (label, slide, place))| Patch {
            path: format!("{idx:03}").into(),
            label: *label,
            slide: (*slide).to_owned(),
            place: *place,
            given: None,
        });
        Tissue { labels: vec!["a".into(), "b".into()], patches: patches.collect() }
    }

    #[test]
    fn slides_do_not_cross_where_labels_have_several() {
        let tissue =
            patches(&[(0, "s1", None), (0, "s2", None), (1, "s3", None), (1, "s4", None), (1, "s4", None)]);
        let (division, sides) = tissue.divide();
        assert_eq!(division, Division::BySlide);
        use Side::{Test, Train};
        assert_eq!(sides, [Train, Test, Train, Test, Test].map(Some));
    }

    #[test]
    fn a_label_of_one_slide_is_cut_by_place_with_a_gap() {
        let rows: Vec<_> = (0..80)
            .map(|idx| (idx % 2, if idx % 2 == 0 { "s" } else { "t" }, Some([f64::from(idx as u8), 3.0])))
            .collect();
        let tissue = patches(&rows);
        let (division, sides) = tissue.divide();
        assert_eq!(division, Division::ByPlace);
        for label in 0..2 {
            let at = |side| {
                let rows = (0..80).filter(move |row| row % 2 == label);
                rows.filter(|&row| sides[row] == side).collect::<Vec<_>>()
            };
            let (train, test, gap) = (at(Some(Side::Train)), at(Some(Side::Test)), at(None));
            assert_eq!((train.len(), test.len(), gap.len()), (18, 18, 4));
            assert!(train.iter().max() < gap.iter().min() && gap.iter().max() < test.iter().min());
        }
    }

    #[test]
    fn folders_and_tables_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("dev");
        for class in ["x", "y"] {
            fs::create_dir_all(folder.join(class)).unwrap();
            fs::write(folder.join(class).join("1.png"), b"no picture").unwrap();
        }
        let mut tissue = Tissue::list(&folder).unwrap();
        assert_eq!((tissue.labels.len(), tissue.patches.len()), (2, 2));
        let mut tally = Tally::default();
        assert!(tissue.load(&mut tally).is_empty());
        assert_eq!(tally.skips.len(), 2);
        fs::write(
            dir.path().join("labels.dev.csv"),
            "file,label,slide,x,y\ndev/x/1.png,one,s,1,2\ndev/y/1.png,two,s,3,4\nother/1.png,three,s,1,1\n",
        )
        .unwrap();
        let tissue = Tissue::list(&folder).unwrap();
        assert_eq!(tissue.labels, ["one", "two"]);
        assert_eq!(tissue.patches[1].place, Some([3.0, 4.0]));
        fs::write(dir.path().join("labels.dev.csv"), "path\n").unwrap();
        assert!(Tissue::list(&folder).unwrap_err().to_string().contains("`file` and `label`"));
    }
}
