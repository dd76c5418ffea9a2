//! Seeds of phantoms, cut into ranges that cannot meet.
//!
//! The upper eight bits of a seed name the split and the lower 56 bits count within it, so that a
//! held-out picture cannot be trained on by any choice of index. Held true by `splits_never_meet`.

use serde::{Deserialize, Serialize};

use super::truth::{Subfield, Tier};

/// What a range of seeds may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Supervised training.
    Train,
    /// Captions: contrastive training and continued pretraining.
    Pretrain,
    /// Reinforcement: never seen by supervised training.
    Reinforce,
    /// Choosing the best checkpoint while training.
    Validation,
    /// The figure on the card; never looked at before.
    HeldOut,
    /// Slides and pictures of the documentation.
    Demo,
}

/// Bits that count within a split.
const INDEX_BITS: u32 = 56;

impl Split {
    /// All splits.
    pub const ALL: [Self; 6] =
        [Self::Train, Self::Pretrain, Self::Reinforce, Self::Validation, Self::HeldOut, Self::Demo];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Pretrain => "pretrain",
            Self::Reinforce => "reinforce",
            Self::Validation => "validation",
            Self::HeldOut => "held-out",
            Self::Demo => "demo",
        }
    }

    /// The seed of a phantom of this split. Indices wrap after 2⁵⁶, within the split.
    pub fn seed(self, idx: u64) -> u64 {
        let split_bits = match self {
            Self::Train => 1_u64,
            Self::Validation => 2,
            Self::HeldOut => 3,
            Self::Demo => 4,
            Self::Pretrain => 5,
            Self::Reinforce => 6,
        };
        (split_bits << INDEX_BITS) | (idx & ((1 << INDEX_BITS) - 1))
    }

    /// The split that a seed belongs to; none for a seed made by hand.
    pub fn of(seed: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.seed(0) >> INDEX_BITS == seed >> INDEX_BITS)
    }

    /// The subfield and the tier of a seed: they alternate, so that any run of fifteen seeds has each once.
    pub fn stratum(seed: u64) -> (Subfield, Tier) {
        let idx = Self::index(seed);
        let [subfield, tier] = [idx % 5, idx / 5 % 3].map(|at| at as usize);
        (Subfield::ALL[subfield], Tier::ALL[tier])
    }

    /// The index of a seed within its split.
    pub fn index(seed: u64) -> u64 {
        seed & ((1 << INDEX_BITS) - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn splits_never_meet() {
        let indices = [0, 1, 77, (1 << 56) - 1, 1 << 56, u64::MAX];
        let mut owner: HashSet<u64> = HashSet::new();
        for split in Split::ALL {
            let seeds: HashSet<u64> = indices.into_iter().map(|idx| split.seed(idx)).collect();
            assert!(seeds.iter().all(|&seed| Split::of(seed) == Some(split)));
            assert!(owner.is_disjoint(&seeds));
            owner.extend(seeds);
        }
        assert_eq!(Split::of(42), None);
        assert_eq!(Split::index(Split::HeldOut.seed(42)), 42);
    }
}
