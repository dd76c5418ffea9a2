//! Rows of `WebDataset` shards: tar files whose members of one name make one sample.
//!
//! A shard is passed once for the places of its members; pictures stay in the tar and are read by offset.
//! Members belong together where the name up to the first dot of the file name is the same and they follow
//! one another, as in `000010003.jpg`, `000010003.json`, `000010003.txt`. A shard that breaks off keeps its
//! whole members.

use std::io::BufReader;
use std::path::Path;

use serde_json::{Map, Value};

use super::at::FileAt;
use super::row::{Row, Rows, open, stem};
use super::{Picture, Skip, Tally};
use crate::error::TrainError;

/// Endings that are pictures.
pub(crate) const PICTURE_ENDINGS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp", "jpe"];
/// Longest text or JSON member.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Where a member's bytes lie.
type Place = (u64, u64);

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    picture: Option<Place>,
    text: Option<Place>,
    json: Option<Place>,
    class: Option<Place>,
}

/// Rows of one shard.
#[derive(Debug)]
pub(crate) struct TarRows {
    file: FileAt,
    entries: Vec<Entry>,
    stem: String,
}

impl TarRows {
    /// Finds the members of a shard.
    pub(crate) fn open(path: &Path, tally: &mut Tally) -> Result<Self, TrainError> {
        let file = FileAt::open(path).map_err(TrainError::file("open the shard", path))?;
        let mut archive = tar::Archive::new(BufReader::new(open(path)?));
        let members = archive.entries_with_seek().map_err(TrainError::file("read the shard", path))?;
        let stem = stem(path);
        let mut entries: Vec<Entry> = Vec::new();
        let mut n_member = 0_u64;
        #[expect(
            clippy::explicit_counter_loop,
            reason = "it counts what was read before the shard broke off"
        )]
        for member in members {
            let member = match member {
                Ok(member) => member,
                Err(error) if n_member == 0 => {
                    return Err(TrainError::File {
                        action: "read the shard",
                        path: path.to_owned(),
                        source: error,
                    });
                }
                Err(error) => {
                    tally.skip(
                        stem.clone(),
                        format!("the shard breaks off after {n_member} members: {error}"),
                    );
                    break;
                }
            };
            n_member += 1;
            if !member.header().entry_type().is_file() {
                continue;
            }
            let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
            let place = (member.raw_file_position(), member.size());
            if place.0.checked_add(place.1).is_none_or(|end| end > file.n_byte()) {
                tally.skip(stem.clone(), format!("the shard breaks off inside its member {name}"));
                break;
            }
            insert(&mut entries, &name, place);
        }
        Ok(Self { file, entries, stem })
    }

    fn text(&self, place: Place, idx: u64) -> Result<String, Skip> {
        let refuse = |reason: String| Skip { id: self.name(idx), reason };
        if place.1 > MAX_TEXT_BYTES {
            return Err(refuse(format!("a text of more than {MAX_TEXT_BYTES} bytes")));
        }
        let bytes = self.file.read(place.0, place.1);
        let bytes = bytes.map_err(|error| refuse(format!("cannot read the shard: {error}")))?;
        String::from_utf8(bytes).map_err(|_broken| refuse("a text that is not UTF-8".into()))
    }
}

/// Adds a member to the sample it belongs to.
fn insert(entries: &mut Vec<Entry>, name: &str, place: Place) {
    let file_at = name.rfind('/').map_or(0, |slash| slash + 1);
    let Some(dot) = name[file_at..].find('.').filter(|&dot| dot > 0) else { return };
    let (key, ending) = (&name[..file_at + dot], name[file_at + dot + 1..].to_ascii_lowercase());
    if entries.last().is_none_or(|entry| &*entry.key != key) {
        entries.push(Entry { key: key.into(), picture: None, text: None, json: None, class: None });
    }
    let Some(entry) = entries.last_mut() else { return };
    let slot = match ending.as_str() {
        "txt" | "caption" | "text" => &mut entry.text,
        "json" => &mut entry.json,
        "cls" => &mut entry.class,
        ending if PICTURE_ENDINGS.contains(&ending.rsplit('.').next().unwrap_or(ending)) => {
            &mut entry.picture
        }
        _ => return,
    };
    slot.get_or_insert(place);
}

impl Rows for TarRows {
    fn n_row(&self) -> u64 {
        self.entries.len() as u64
    }

    fn name(&self, idx: u64) -> String {
        let key = self.entries.get(idx as usize).map_or("?", |entry| &entry.key);
        format!("{}:{key}", self.stem)
    }

    fn row(&self, idx: u64) -> Result<Row, Skip> {
        let refuse = |reason: String| Skip { id: self.name(idx), reason };
        let entry = self.entries.get(idx as usize).ok_or_else(|| refuse("no such row".into()))?;
        let mut row = Row::default();
        if let Some(place) = entry.json {
            let text = self.text(place, idx)?;
            row.value = serde_json::from_str::<Map<String, Value>>(&text)
                .map_err(|error| refuse(format!("not JSON: {error}")))?;
        }
        if let Some(place) = entry.text {
            let text = self.text(place, idx)?.trim().to_owned();
            row.value.insert("caption".into(), Value::String(text));
        }
        if let Some(place) = entry.class {
            let text = self.text(place, idx)?.trim().to_owned();
            row.value.insert("label".into(), Value::String(text));
        }
        let Some((offset, n_byte)) = entry.picture else {
            return Err(refuse("no image in the shard".into()));
        };
        let path = self.file.path().to_owned();
        let image = row.hold(Picture::Span { path, offset, n_byte });
        row.value.insert("image".into(), image);
        Ok(row)
    }
}

/// The files that a name with one brace range means: `{00000..00323}.tar` with as many digits as written.
/// Other names mean themselves.
pub(crate) fn expand(name: &str) -> Result<Vec<String>, String> {
    const MAX_FILES: u64 = 100_000;
    let Some((before, rest)) = name.split_once('{') else { return Ok(vec![name.to_owned()]) };
    let Some((range, after)) = rest.split_once('}') else { return Ok(vec![name.to_owned()]) };
    let Some((first_text, last_text)) = range.split_once("..") else { return Ok(vec![name.to_owned()]) };
    let (Ok(first), Ok(last)) = (first_text.parse::<u64>(), last_text.parse::<u64>()) else {
        return Err(format!("`{{{range}}}` is no range of numbers"));
    };
    if first > last || last - first >= MAX_FILES {
        return Err(format!("`{{{range}}}` has to rise, by less than {MAX_FILES}"));
    }
    let width = first_text.len();
    let mut names = Vec::new();
    for number in first..=last {
        for after in expand(after)? {
            names.push(format!("{before}{number:0width$}{after}"));
            if names.len() as u64 > MAX_FILES {
                return Err(format!("{name} means more than {MAX_FILES} files"));
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_shards_is_spelt_out() {
        let check = |name: &str, expected: Option<&[&str]>| {
            let names = expand(name).ok();
            assert_eq!(
                names.as_deref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>()),
                expected.map(<[_]>::to_vec),
                "{name}"
            );
        };
        check("a.tar", Some(&["a.tar"]));
        check("{008..010}.tar", Some(&["008.tar", "009.tar", "010.tar"]));
        check("x/{0..1}-{1..2}.tar", Some(&["x/0-1.tar", "x/0-2.tar", "x/1-1.tar", "x/1-2.tar"]));
        check("{a..b}.tar", None);
        check("{2..1}.tar", None);
        check("{0..99999999}.tar", None);
    }
}
