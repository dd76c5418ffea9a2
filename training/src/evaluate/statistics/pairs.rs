//! Two models on the same questions: `McNemar`'s exact test (`McNemar` 1947; the binomial form).
//!
//! Only questions that one of the two answers rightly say anything. Under the hypothesis that both are
//! equally good each of these falls to either side like a coin.

use serde::{Deserialize, Serialize};

/// How two models did on the questions that both were asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pairs {
    /// Both right.
    pub both: usize,
    /// Only the first right.
    pub only_first: usize,
    /// Only the second right.
    pub only_second: usize,
    /// Neither right.
    pub neither: usize,
}

impl Pairs {
    /// Counts pairs of outcomes.
    pub fn of(outcomes: impl IntoIterator<Item = [bool; 2]>) -> Self {
        let mut pairs = Self::default();
        for outcome in outcomes {
            match outcome {
                [true, true] => pairs.both += 1,
                [true, false] => pairs.only_first += 1,
                [false, true] => pairs.only_second += 1,
                [false, false] => pairs.neither += 1,
            }
        }
        pairs
    }

    /// Questions.
    pub fn n(&self) -> usize {
        self.both + self.only_first + self.only_second + self.neither
    }

    /// Two-sided p of the hypothesis that both are equally good.
    pub fn p(&self) -> f64 {
        exact_mcnemar(self.only_first, self.only_second)
    }
}

/// Two-sided p of `McNemar`'s exact test: twice the smaller tail of a fair coin, at most 1.
pub fn exact_mcnemar(only_first: usize, only_second: usize) -> f64 {
    let n = only_first + only_second;
    // Logarithms, so that thousands of discordant pairs do not underflow before they are summed.
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for k in 1..=only_first.min(only_second) {
        log_term += ((n - k + 1) as f64).ln() - (k as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_is_twice_the_smaller_tail() {
        let check = |first, second, expected: f64| {
            let found = exact_mcnemar(first, second);
            assert!((found - expected).abs() < 1e-12, "{first} {second}: {found}");
        };
        check(0, 0, 1.0);
        check(3, 3, 1.0);
        check(0, 1, 1.0);
        // 2 · 2⁻⁵, and 2 · (1 + 6) · 2⁻⁶, by hand.
        check(0, 5, 0.0625);
        check(5, 1, 0.21875);
    }

    #[test]
    fn pairs_are_counted() {
        let pairs = Pairs::of([[true, true], [true, false], [true, false], [false, true], [false, false]]);
        assert_eq!(pairs, Pairs { both: 1, only_first: 2, only_second: 1, neither: 1 });
        assert_eq!(pairs.n(), 5);
    }
}
