//! What a subject answered, one row a question, and how rows lie on disk.
//!
//! The file is a cache too: a row is taken up again where the question and everything that decides the
//! answer (`key`) are the same. A torn last line, as a kill leaves it, is not an error.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::words::WordScores;
use crate::error::TrainError;

/// What those would score who do not look.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Baseline {
    /// Guessing among the options.
    pub chance: f64,
    /// The answer that was most often right in training.
    pub majority: f64,
    /// The answer of the training picture with the nearest colours.
    pub colour_histogram: f64,
}

/// One question with what was said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The sample.
    pub id: String,
    /// Its picture: answers of one group are not independent.
    pub group: String,
    /// Labels to report by: `domain`, `subfield`, `tier`, `form`, ….
    pub tags: BTreeMap<String, String>,
    /// Seed of the run; 0 where the likeliest token was always taken.
    pub seed: u64,
    /// Hash of question, weights, preprocessing and decoding.
    pub key: String,
    /// All that was said, tags included.
    pub said: String,
    /// What was understood of it: a letter or words; none where nothing could be understood.
    pub chosen: Option<String>,
    /// What is right.
    pub gold: String,
    /// Right by the papers' rule: the answer block is exactly the right text, or its letter.
    pub exact: bool,
    /// Right by the extraction chain, which also understands answers outside of their block.
    pub lenient: bool,
    /// In the form `<think>…</think><answer>…</answer>`.
    pub in_form: bool,
    /// Tokens of the answer.
    pub n_token: usize,
    /// Word overlap with the right answer, for open questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordScores>,
    /// What those would score who do not look.
    pub baseline: Baseline,
}

impl Answer {
    /// A label, or a dash.
    pub fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("–", String::as_str)
    }
}

/// Reads a file of answers; one that is not there is empty, and a line that cannot be read is left out.
///
/// # Errors
/// [`TrainError::File`] where the file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Answer>, TrainError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainError::file("read the answers", path)(error)),
    };
    let mut answers = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(TrainError::file("read the answers", path))?;
        answers.extend(serde_json::from_slice::<Answer>(&line).ok());
    }
    Ok(answers)
}

/// Writes a whole file of answers in one go: the old one stays until the new one is complete.
///
/// # Errors
/// [`TrainError::File`].
pub fn write(path: &Path, answers: &[Answer]) -> Result<(), TrainError> {
    let partial = path.with_extension("partial");
    let mut text = Vec::new();
    for answer in answers {
        line(&mut text, answer)?;
    }
    let mut file = File::create(&partial).map_err(TrainError::file("write the answers", &partial))?;
    file.write_all(&text).map_err(TrainError::file("write the answers", &partial))?;
    file.sync_all().map_err(TrainError::file("write the answers", &partial))?;
    fs::rename(&partial, path).map_err(TrainError::file("write the answers", path))
}

/// Appends answers, so that a kill costs none that was finished.
///
/// # Errors
/// [`TrainError::File`].
pub fn append(path: &Path, answers: &[Answer]) -> Result<(), TrainError> {
    // The line break comes first: behind a torn line it ends it, elsewhere it is an empty line.
    let mut text = vec![b'\n'];
    for answer in answers {
        line(&mut text, answer)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(TrainError::file("write the answers", path))?;
    file.write_all(&text).map_err(TrainError::file("write the answers", path))
}

fn line(text: &mut Vec<u8>, answer: &Answer) -> Result<(), TrainError> {
    serde_json::to_writer(&mut *text, answer).map_err(TrainError::engine("cannot encode an answer"))?;
    text.push(b'\n');
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer of a given outcome.
    pub(crate) fn answer(id: &str, group: &str, domain: &str, right: bool) -> Answer {
        Answer {
            id: id.into(),
            group: group.into(),
            tags: BTreeMap::from([
                ("domain".to_owned(), domain.to_owned()),
                ("tier".to_owned(), "easy".to_owned()),
            ]),
            seed: 0,
            key: "k".into(),
            said: "<think>a</think><answer>A</answer>".into(),
            chosen: Some("A".into()),
            gold: "A".into(),
            exact: right,
            lenient: right,
            in_form: true,
            n_token: 10,
            words: None,
            baseline: Baseline { chance: 0.25, majority: 0.0, colour_histogram: 1.0 },
        }
    }

    #[test]
    fn answers_survive_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("answers.jsonl");
        assert_eq!(read(&path).unwrap(), []);
        let answers = [answer("1", "a", "in", true), answer("2", "b", "in", false)];
        append(&path, &answers[..1]).unwrap();
        let mut torn = fs::read(&path).unwrap();
        torn.extend_from_slice(b"{\"id\":\"9\",\"gro");
        fs::write(&path, torn).unwrap();
        append(&path, &answers[1..]).unwrap();
        assert_eq!(read(&path).unwrap(), answers);
        write(&path, &answers[1..]).unwrap();
        assert_eq!(read(&path).unwrap(), answers[1..]);
    }
}
