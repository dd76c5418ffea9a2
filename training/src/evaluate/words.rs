//! Open answers against a reference: exact match, recall and F1 over words, as Quilt-VQA is scored.
//!
//! Words are lower-cased and freed of punctuation. F1 is over word counts (Rajpurkar et al. 2016). No judge
//! is asked: what these figures cannot see is a right answer in other words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Overlap of an answer with its reference, each 0 to 1; means of these over several answers have the same
/// shape.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WordScores {
    /// 1 where the words are the same in the same order.
    pub exact_match: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Share of the reference's words that were said.
    pub recall: f64,
}

impl WordScores {
    /// Scores `said` against `gold`.
    pub fn of(said: &str, gold: &str) -> Self {
        let (said, gold) = (words(said), words(gold));
        let exact_match = f64::from(u8::from(said == gold));
        if said.is_empty() || gold.is_empty() {
            return Self { exact_match, f1: exact_match, recall: exact_match };
        }
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for word in &said {
            *left.entry(word).or_default() += 1;
        }
        let mut n_common = 0;
        for word in &gold {
            if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
                *count -= 1;
                n_common += 1;
            }
        }
        let recall = f64::from(n_common) / gold.len() as f64;
        let f1 = 2.0 * f64::from(n_common) / (said.len() + gold.len()) as f64;
        Self { exact_match, f1, recall }
    }

    /// The mean of several; none where there are none.
    pub fn mean(scores: impl IntoIterator<Item = Self>) -> Option<Self> {
        let (mut sum, mut n) = (Self::default(), 0.0);
        for score in scores {
            sum.exact_match += score.exact_match;
            sum.f1 += score.f1;
            sum.recall += score.recall;
            n += 1.0;
        }
        (n > 0.0).then(|| Self { exact_match: sum.exact_match / n, f1: sum.f1 / n, recall: sum.recall / n })
    }
}

/// Lower-case words without punctuation.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_counted_by_words() {
        let check = |said, gold, [exact_match, f1, recall]: [f64; 3]| {
            let found = WordScores::of(said, gold);
            assert!((found.exact_match - exact_match).abs() < 1e-12, "{said}");
            assert!(
                (found.f1 - f1).abs() < 1e-12 && (found.recall - recall).abs() < 1e-12,
                "{said}: {found:?}"
            );
        };
        check("Plasma cells.", "plasma  cells", [1.0, 1.0, 1.0]);
        check("many plasma cells", "plasma cells", [0.0, 0.8, 1.0]);
        check("plasma", "plasma cells", [0.0, 2.0 / 3.0, 0.5]);
        // A word said once cannot match twice.
        check("a", "a a", [0.0, 2.0 / 3.0, 0.5]);
        check("", "necrosis", [0.0, 0.0, 0.0]);
        check("necrosis", "stroma", [0.0, 0.0, 0.0]);
    }

    #[test]
    fn nothing_has_no_mean() {
        assert_eq!(WordScores::mean([]), None);
        let scores = [WordScores { exact_match: 1.0, f1: 1.0, recall: 1.0 }, WordScores::default()];
        assert!((WordScores::mean(scores).unwrap().f1 - 0.5).abs() < 1e-12);
    }
}
