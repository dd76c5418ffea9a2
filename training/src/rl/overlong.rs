//! Soft punishment of answers that come near the length limit (Yu et al. 2025, "DAPO", equation 13).
//!
//! Nothing up to `max_tokens − cache_tokens`, then falling in a line to −1 at `max_tokens`, −1 above. verl
//! adds it to the reward of the answer's last token, scaled by a factor. Patho-R1 wants a length reward that
//! is 1 for an answer of proper length; since the punishment is never positive, that is 1 + punishment.

use serde::{Deserialize, Serialize};

/// From which length on answers are punished.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OverlongSettings {
    /// Longest answer, in tokens.
    pub max_tokens: usize,
    /// Tokens below the longest answer over which the punishment grows.
    pub cache_tokens: usize,
    /// What the punishment is multiplied by.
    pub factor: f64,
}

impl Default for OverlongSettings {
    /// The lengths that the Patho-R1 card's decoding suggests; the paper names none.
    fn default() -> Self {
        Self { max_tokens: 2048, cache_tokens: 512, factor: 1.0 }
    }
}

impl OverlongSettings {
    /// Punishment of an answer of `n_token` tokens, its end mark included: −`factor`…0.
    pub fn punishment(&self, n_token: usize) -> f64 {
        let expected = self.max_tokens.saturating_sub(self.cache_tokens);
        if n_token <= expected {
            return 0.0;
        }
        let over = (n_token - expected) as f64 / self.cache_tokens.max(1) as f64;
        -over.min(1.0) * self.factor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_falls_between_the_two_lengths() {
        let check = |settings: OverlongSettings, n_token, expected: f64| {
            let found = settings.punishment(n_token);
            assert!((found - expected).abs() < 1e-12, "{n_token}: {found}");
        };
        let usual = OverlongSettings::default();
        for (n_token, expected) in
            [(0, 0.0), (1536, 0.0), (1537, -1.0 / 512.0), (1792, -0.5), (2048, -1.0), (2049, -1.0)]
        {
            check(usual, n_token, expected);
        }
        check(OverlongSettings { factor: 0.5, ..usual }, 2048, -0.5);
        // Without a cache the limit is a cliff; a cache longer than the limit begins at once.
        check(OverlongSettings { cache_tokens: 0, ..usual }, 2048, 0.0);
        check(OverlongSettings { cache_tokens: 0, ..usual }, 2049, -1.0);
        check(OverlongSettings { max_tokens: 4, cache_tokens: 8, factor: 1.0 }, 4, -0.5);
    }
}
