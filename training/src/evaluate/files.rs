//! Files of public benchmarks as questions: `PathMMU`, `PathVQA`, `OmniMedVQA` and whatever `data/` reads.
//!
//! A picture that is not there costs its questions, counted by subset, and not the evaluation: of `PathMMU`
//! two subsets come with all of their pictures and three do not. Questions are tied together by the content of
//! their pictures, so that the bootstrap over pictures knows one under two names.

use super::exam::Exam;
use crate::data::split::{By, keys};
use crate::data::{Check, Files, Group, Picture, Sample, Skip, Source, Tally};
use crate::error::TrainError;

/// A source whose samples are grouped by content, where their pictures are there.
#[derive(Debug)]
struct ByContent(Box<dyn Source>);

impl Source for ByContent {
    fn n_sample(&self) -> u64 {
        self.0.n_sample()
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let mut sample = self.0.sample(idx)?;
        let is_there = |picture: &Picture| !matches!(picture, Picture::File(path) if !path.is_file());
        if !sample.images.is_empty() && sample.images.iter().all(is_there) {
            let keys = keys(&sample, By::Content)?;
            sample.group = crate::checkpoint::hex(&keys.concat());
        }
        Ok(sample)
    }
}

impl Exam {
    /// Adds the questions of files, at most `limit`, under the name of a domain. Rows that cannot be used and
    /// questions whose pictures are missing are tallied.
    ///
    /// # Errors
    /// What [`Files::open`] returns: the file cannot be read, or none of its rows.
    pub fn add_files(&mut self, domain: &str, files: &Files, limit: u64) -> Result<(), TrainError> {
        let mut tally = Tally::default();
        let source = open(files, &mut tally)?;
        for skip in tally.skips {
            self.skip(domain, &skip.id, skip.reason);
        }
        self.add(domain, &source, limit);
        Ok(())
    }

    /// Lets the baselines learn from files, at most `limit` rows.
    ///
    /// # Errors
    /// As [`Exam::add_files`].
    pub fn learn_files(&mut self, files: &Files, limit: u64) -> Result<(), TrainError> {
        let source = open(files, &mut Tally::default())?;
        self.learn(&source, limit);
        Ok(())
    }
}

fn open(files: &Files, tally: &mut Tally) -> Result<ByContent, TrainError> {
    // Pictures that are missing are looked for where their subset is known.
    let files = Files { check: Check::Rows, group: Group::Path, ..files.clone() };
    Ok(ByContent(files.open(tally)?))
}
