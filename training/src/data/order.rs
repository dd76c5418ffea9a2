//! Orders and mixtures of samples that are functions of numbers, not of state.
//!
//! A run that resumes must meet the sample it would have met: the order is therefore computed from seed,
//! epoch and position alone, and a position far into an epoch costs no more than the first. Held true by
//! the properties in `tests/train_data.rs`.

use std::sync::Arc;

use super::split::largest_remainder;
use super::{Sample, Skip, Source};
use crate::error::TrainError;

/// Rounds of the network; four already pass for random, six leave no doubt.
const N_ROUND: u64 = 6;

/// A shuffled order of the numbers below `n`, without a table of them.
///
/// A balanced Feistel network permutes the numbers below a power of four; numbers that fall outside `n` are
/// permuted again until they fall inside (Black & Rogaway, "Ciphers with Arbitrary Finite Domains", 2002,
/// method of cycle walking), on average fewer than four times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permutation {
    n: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// The order of `n` numbers that belongs to a seed and an epoch.
    pub fn new(n: u64, seed: u64, epoch: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        let half_bits = bits.div_ceil(2).max(1);
        Self { n, half_bits, key: mix(mix(seed) ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15)) }
    }

    /// The number at a place; places at or beyond `n` begin anew.
    pub fn at(&self, place: u64) -> u64 {
        if self.n < 2 {
            return 0;
        }
        let mut number = place % self.n;
        loop {
            number = self.round_trip(number);
            if number < self.n {
                return number;
            }
        }
    }

    fn round_trip(&self, number: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for round in 0..N_ROUND {
            let scrambled = mix(self.key ^ mix(right ^ (round << 56))) & mask;
            (left, right) = (right, left ^ scrambled);
        }
        (left << self.half_bits) | right
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea & Flood 2014): every bit depends on every bit.
pub(crate) fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// A source in shuffled order.
#[derive(Clone, Debug)]
pub struct Shuffled {
    source: Arc<dyn Source>,
    order: Permutation,
}

impl Shuffled {
    /// The order of one epoch.
    pub fn new(source: Arc<dyn Source>, seed: u64, epoch: u64) -> Self {
        let order = Permutation::new(source.n_sample(), seed, epoch);
        Self { source, order }
    }
}

impl Source for Shuffled {
    fn n_sample(&self) -> u64 {
        self.source.n_sample()
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        self.source.sample(self.order.at(idx))
    }
}

/// Chosen samples of a source, in the order chosen.
#[derive(Clone, Debug)]
pub struct Subset {
    source: Arc<dyn Source>,
    chosen: Arc<[u64]>,
}

impl Subset {
    /// The samples with these numbers.
    pub fn new(source: Arc<dyn Source>, chosen: impl Into<Arc<[u64]>>) -> Self {
        Self { source, chosen: chosen.into() }
    }
}

impl Source for Subset {
    fn n_sample(&self) -> u64 {
        self.chosen.len() as u64
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        match self.chosen.get(idx as usize) {
            Some(&chosen) => self.source.sample(chosen),
            None => Err(no_sample(idx)),
        }
    }
}

/// One source after another.
#[derive(Clone, Debug)]
pub struct Joined {
    parts: Vec<(u64, Arc<dyn Source>)>,
    n_sample: u64,
}

impl Joined {
    /// All samples of all sources.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn Source>>) -> Self {
        let mut n_sample = 0;
        let parts = sources.into_iter().map(|source| {
            let first = n_sample;
            n_sample += source.n_sample();
            (first, source)
        });
        let parts = parts.collect();
        Self { parts, n_sample }
    }
}

impl Source for Joined {
    fn n_sample(&self) -> u64 {
        self.n_sample
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        // Of sources that begin at one number, all but the last are empty.
        let part = self.parts.partition_point(|(first, _)| *first <= idx).checked_sub(1);
        match part.map(|part| &self.parts[part]) {
            Some((first, source)) if idx < self.n_sample => source.sample(idx - first),
            _ => Err(no_sample(idx)),
        }
    }
}

/// Sources in fixed proportions.
///
/// Samples come in blocks of [`Mixture::BLOCK`]; within a block every source has its share to the nearest
/// sample, spread by the seed. Each source is met in shuffled order and again from its beginning, in
/// another order, when it is used up. The length is the sum of all lengths, so a weight above a source's
/// own share repeats its samples and one below leaves some for later epochs.
#[derive(Clone, Debug)]
pub struct Mixture {
    sources: Vec<Arc<dyn Source>>,
    /// For each place of a block, the source and how many places of the same source come before it.
    pattern: Vec<(usize, u64)>,
    /// Places of each source in a block.
    shares: Vec<u64>,
    n_sample: u64,
    seed: u64,
}

impl Mixture {
    /// Places in a block.
    pub const BLOCK: u64 = 1024;

    /// Mixes sources by weight; the weights need not add up to one.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where no source is left, a weight is no positive number or a source is empty.
    pub fn new(parts: Vec<(Arc<dyn Source>, f64)>, seed: u64) -> Result<Self, TrainError> {
        let total: f64 = parts.iter().map(|(_, weight)| weight).sum();
        if parts.is_empty() || !parts.iter().all(|(_, weight)| weight.is_finite() && *weight > 0.0) {
            return Err(TrainError::plan("a mixture needs sources, and weights above 0"));
        }
        if parts.iter().any(|(source, _)| source.n_sample() == 0) {
            return Err(TrainError::plan("a source of the mixture has no samples"));
        }
        let weights: Vec<f64> = parts.iter().map(|(_, weight)| weight / total).collect();
        let mut shares = largest_remainder(&weights, Self::BLOCK, seed);
        // A source with the smallest weight still has a place, taken from the largest.
        for place in 0..shares.len() {
            if shares[place] == 0
                && let Some(most) = (0..shares.len()).max_by_key(|&other| shares[other])
                && shares[most] > 1
            {
                shares[most] -= 1;
                shares[place] += 1;
            }
        }
        if shares.contains(&0) {
            return Err(TrainError::plan(format!("a mixture holds at most {} sources", Self::BLOCK)));
        }
        let laid: Vec<usize> = shares
            .iter()
            .enumerate()
            .flat_map(|(source, &n)| std::iter::repeat_n(source, n as usize))
            .collect();
        let order = Permutation::new(Self::BLOCK, seed, 0x6d69_7874);
        let mut before = vec![0; shares.len()];
        let pattern = (0..Self::BLOCK).map(|place| {
            let source = laid[order.at(place) as usize];
            before[source] += 1;
            (source, before[source] - 1)
        });
        let pattern = pattern.collect();
        let n_sample = parts.iter().map(|(source, _)| source.n_sample()).sum();
        let sources = parts.into_iter().map(|(source, _)| source).collect();
        Ok(Self { sources, pattern, shares, n_sample, seed })
    }

    /// The source of a place and the number within it.
    pub fn place(&self, idx: u64) -> (usize, u64) {
        let (block, place) = (idx / Self::BLOCK, (idx % Self::BLOCK) as usize);
        let (source, before) = self.pattern[place];
        let ordinal = block * self.shares[source] + before;
        let n = self.sources[source].n_sample();
        let order = Permutation::new(n, self.seed ^ mix(source as u64), ordinal / n);
        (source, order.at(ordinal % n))
    }
}

impl Source for Mixture {
    fn n_sample(&self) -> u64 {
        self.n_sample
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let (source, number) = self.place(idx);
        self.sources[source].sample(number)
    }
}

/// A source that begins again, in its own order, where it ends.
#[derive(Clone, Debug)]
pub struct Repeated {
    source: Arc<dyn Source>,
}

impl Repeated {
    /// Walks round and round a source.
    pub fn new(source: Arc<dyn Source>) -> Self {
        Self { source }
    }
}

impl Source for Repeated {
    fn n_sample(&self) -> u64 {
        self.source.n_sample()
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        self.source.sample(idx % self.source.n_sample().max(1))
    }
}

fn no_sample(idx: u64) -> Skip {
    Skip { id: format!("sample {idx}"), reason: "no such sample".into() }
}
