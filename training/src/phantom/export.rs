//! Writes phantoms to a folder: pictures as PNG, one line of JSON each.
//!
//! The folder can be read by this program and by the usual trainers: `samples.jsonl` holds `ShareGPT` rows
//! with the drawn truth beside them, `dataset_info.json` names the columns.

use std::io::Write;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder};
use rayon::prelude::*;
use serde_json::json;

use super::question::Style;
use super::{Domain, Settings, Split};
use crate::error::TrainError;
use crate::sample::Sample;

/// Phantoms drawn in one go, which bounds memory.
const PER_GO: u64 = 64;

/// What is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The split that the seeds come from.
    pub split: Split,
    /// Index of the first phantom within the split.
    pub first_idx: u64,
    /// Number of phantoms.
    pub n_phantom: u64,
    /// Most questions about each.
    pub n_question: usize,
    /// How they are answered.
    pub style: Style,
    /// Width and height in pixels.
    pub size_px: [u32; 2],
    /// Whether they look as those of training.
    pub domain: Domain,
}

impl Order {
    /// How phantom `idx` is drawn.
    fn settings(&self, idx: u64) -> Settings {
        let of_domain = Settings::of_domain(self.domain, self.size_px[0], self.split.seed(idx));
        Settings { size_px: self.size_px, ..of_domain }
    }
}

/// Writes phantoms into `dir`, which is created; `progress` hears how many are done.
///
/// # Errors
/// [`TrainError::File`] naming the file that cannot be written, [`TrainError::Engine`] where the picture
/// cannot be encoded.
pub fn write(dir: &Path, order: &Order, progress: &mut dyn FnMut(u64)) -> Result<(), TrainError> {
    let pictures = dir.join("images");
    std::fs::create_dir_all(&pictures).map_err(TrainError::file("create the folder", &pictures))?;
    let list_path = dir.join("samples.jsonl");
    let list =
        std::fs::File::create(&list_path).map_err(TrainError::file("write the samples", &list_path))?;
    let mut list = std::io::BufWriter::new(list);
    let mut n_done = 0;
    while n_done < order.n_phantom {
        let n_now = PER_GO.min(order.n_phantom - n_done);
        let first_idx = order.first_idx + n_done;
        let rows: Vec<String> = (first_idx..first_idx + n_now)
            .into_par_iter()
            .map(|idx| write_one(&pictures, order, idx))
            .collect::<Result<_, _>>()?;
        for row in rows {
            writeln!(list, "{row}").map_err(TrainError::file("write the samples", &list_path))?;
        }
        n_done += n_now;
        progress(n_done);
    }
    list.flush().map_err(TrainError::file("write the samples", &list_path))?;
    let info_path = dir.join("dataset_info.json");
    let info = json!({"phantoms": {
        "file_name": "samples.jsonl",
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "images": "images"},
    }});
    std::fs::write(&info_path, format!("{info:#}\n")).map_err(TrainError::file("write the file", &info_path))
}

fn write_one(pictures: &Path, order: &Order, idx: u64) -> Result<String, TrainError> {
    let sample = Sample::draw(order.split, idx, &order.settings(idx), order.style, order.n_question);
    let mut names = Vec::with_capacity(sample.images.len());
    for tile in &sample.images {
        let name = format!("{}.png", sample.id);
        let mut bytes = Vec::new();
        image::codecs::png::PngEncoder::new(&mut bytes)
            .write_image(tile.pixels(), tile.width_px(), tile.height_px(), ExtendedColorType::Rgb8)
            .map_err(TrainError::engine("cannot encode a picture"))?;
        let path = pictures.join(&name);
        std::fs::write(&path, bytes).map_err(TrainError::file("write the picture", &path))?;
        names.push(format!("images/{name}"));
    }
    Ok(sample.to_sharegpt(&names).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order {
            split: Split::Validation,
            first_idx: 5,
            n_phantom: 3,
            n_question: 3,
            style: Style::Cot,
            size_px: [140, 112],
            domain: Domain::Out,
        };
        let mut seen = Vec::new();
        write(dir.path(), &order, &mut |n_done| seen.push(n_done)).unwrap();
        assert_eq!(seen, [3]);
        let list = std::fs::read_to_string(dir.path().join("samples.jsonl")).unwrap();
        let rows: Vec<serde_json::Value> =
            list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 3);
        for (row, idx) in rows.iter().zip(5..) {
            let turns = row["conversations"].as_array().unwrap();
            let n_mark: usize =
                turns.iter().map(|turn| turn["value"].as_str().unwrap().matches("<image>").count()).sum();
            assert_eq!(n_mark, row["images"].as_array().unwrap().len(), "as many marks as pictures");
            assert!(
                turns
                    .iter()
                    .enumerate()
                    .all(|(place, turn)| { turn["from"] == if place % 2 == 0 { "human" } else { "gpt" } })
            );
            let picture =
                image::open(dir.path().join(row["images"][0].as_str().unwrap())).unwrap().into_rgb8();
            let sample = Sample::draw(Split::Validation, idx, &order.settings(idx), Style::Cot, 3);
            assert_eq!(picture.as_raw().as_slice(), sample.images[0].pixels());
            let truth = sample.truth.unwrap();
            assert_eq!(row["truth"]["subfield"], truth.subfield.name());
            assert_eq!(row["truth"]["tier"], truth.tier.name());
            assert_eq!(row["truth"]["marks"].as_array().unwrap().len(), truth.marks.len());
        }
    }

    #[test]
    fn a_conversation_shows_its_picture_once() {
        let sample = Sample::draw(Split::Train, 9, &Settings::default(), Style::Cot, 4);
        let conversation = sample.conversation();
        assert_eq!(conversation.images().count(), 1);
        assert_eq!(conversation.turns.len(), sample.questions.len() * 2);
    }
}
