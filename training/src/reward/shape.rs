//! Rewards for the shape of an answer, by the names and defaults of ms-swift: `cosine` (Yeo et al. 2025:
//! right answers are worth more when short, wrong ones less bad when long) and `repetition` (the share of
//! n-grams that came before).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Rewards at the two ends of the length scale.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineSettings {
    /// A right answer of no length.
    pub right_short: f64,
    /// A right answer of the longest length.
    pub right_long: f64,
    /// A wrong answer of no length.
    pub wrong_short: f64,
    /// A wrong answer of the longest length.
    pub wrong_long: f64,
}

impl Default for CosineSettings {
    fn default() -> Self {
        Self { right_short: 1.0, right_long: 0.5, wrong_short: -0.5, wrong_long: 0.0 }
    }
}

impl CosineSettings {
    /// Reward of an answer of `n_token` tokens of at most `max_tokens`.
    pub fn reward(&self, is_right: bool, n_token: usize, max_tokens: usize) -> f64 {
        let [short, long] =
            if is_right { [self.right_short, self.right_long] } else { [self.wrong_short, self.wrong_long] };
        let share = (n_token as f64 / max_tokens.max(1) as f64).min(1.0);
        long + 0.5 * (short - long) * (1.0 + (share * std::f64::consts::PI).cos())
    }
}

/// How repetition is punished.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RepetitionSettings {
    /// Words of an n-gram.
    pub n_word: usize,
    /// Reward of a text that is one n-gram over and over.
    pub most: f64,
}

impl Default for RepetitionSettings {
    fn default() -> Self {
        Self { n_word: 3, most: -1.0 }
    }
}

impl RepetitionSettings {
    /// The punishment of a text: `most` × share of its n-grams that came before.
    pub fn reward(&self, text: &str) -> f64 {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        if self.n_word == 0 || words.len() < self.n_word {
            return 0.0;
        }
        let n_gram = words.len() - self.n_word + 1;
        let unique: HashSet<&[String]> = words.windows(self.n_word).collect();
        (1.0 - unique.len() as f64 / n_gram as f64) * self.most
    }
}
