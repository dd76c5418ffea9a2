//! From logits to the next token, in transformers' order: repetition penalty, temperature, top-k, top-p.
//!
//! Greedy decoding is the argmax after the penalty, the lowest id among equals, and nothing is forbidden in
//! it, so that it can be held against a reference. Sampling draws from a named seed and never draws tokens
//! that stand for nothing. Held true by the unit tests (shares worked out by hand from each rule) and,
//! for greedy decoding, by `tests/cli.rs`.

use eosin_model::draw::{Draw, argmax};
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// How tokens are chosen.
#[derive(Clone, PartialEq, Debug)]
pub struct SamplerSettings {
    /// `None`: greedy. Otherwise logits are divided by it.
    pub temperature: Option<f32>,
    /// Only this many of the likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Above 1, tokens that have come up become less likely; acts in greedy decoding as well.
    pub repetition_penalty: f32,
    /// Seed of the draw.
    pub seed: u64,
}

/// Settings that make no sense.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{name} must be {range}, but is {value}")]
pub struct SamplerError {
    name: &'static str,
    range: &'static str,
    value: f32,
}

impl Default for SamplerSettings {
    /// Greedy, without a penalty.
    fn default() -> Self {
        Self { temperature: None, top_k: 0, top_p: 1.0, repetition_penalty: 1.0, seed: 0 }
    }
}

impl SamplerSettings {
    /// What a model's `generation_config.json` asks for; keys it leaves out take transformers' defaults
    /// (`do_sample` false, temperature 1, top-k 50, top-p 1, no penalty).
    pub fn from_generation_config(config: &Value) -> Self {
        let number = |key: &str| config[key].as_f64().map(|value| value as f32);
        let sample = config["do_sample"].as_bool().unwrap_or(false);
        Self {
            temperature: sample.then(|| number("temperature").unwrap_or(1.0)),
            top_k: if sample { config["top_k"].as_u64().unwrap_or(50) as usize } else { 0 },
            top_p: if sample { number("top_p").unwrap_or(1.0) } else { 1.0 },
            repetition_penalty: number("repetition_penalty").unwrap_or(1.0),
            seed: 0,
        }
    }

    /// Refuses values without a meaning.
    pub fn check(&self) -> Result<(), SamplerError> {
        // Written so that a value that is no number fails.
        if let Some(value) = self.temperature
            && !(value > 0.0 && value.is_finite())
        {
            return Err(SamplerError { name: "the temperature", range: "above 0", value });
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(SamplerError { name: "top-p", range: "above 0 and at most 1", value: self.top_p });
        }
        let value = self.repetition_penalty;
        if !(value > 0.0 && value.is_finite()) {
            return Err(SamplerError { name: "the repetition penalty", range: "above 0", value });
        }
        Ok(())
    }
}

/// Chooses tokens one after another.
#[derive(Debug)]
pub struct Sampler {
    settings: SamplerSettings,
    rng: ChaCha8Rng,
    /// Ids that are never drawn, as a mask over the vocabulary.
    banned: Vec<bool>,
    /// Ids that have come up, as a mask over the vocabulary.
    seen: Vec<bool>,
}

impl Sampler {
    /// A sampler over a vocabulary of `n_id` rows that never draws what `banned` says.
    pub fn new(settings: SamplerSettings, n_id: usize, banned: impl Fn(u32) -> bool) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(settings.seed);
        let banned = (0..n_id as u32).map(banned).collect();
        Self { settings, rng, banned, seen: vec![false; n_id] }
    }

    /// Tells which ids have come up, those of the prompt included.
    pub fn observe(&mut self, ids: &[u32]) {
        for id in ids {
            if let Some(seen) = self.seen.get_mut(*id as usize) {
                *seen = true;
            }
        }
    }

    /// Chooses the next id and observes it.
    ///
    /// # Shapes
    /// - `logits`: `[v]`, of the last position; changed in place
    pub fn next(&mut self, logits: &mut [f32]) -> u32 {
        self.penalise(logits);
        let id = match self.settings.temperature {
            None => argmax(logits),
            Some(temperature) => self.draw(logits, temperature),
        };
        self.observe(&[id]);
        id
    }

    /// Keskar et al. 2019 (CTRL), as transformers does it: each seen token once, towards less likely.
    fn penalise(&self, logits: &mut [f32]) {
        let penalty = self.settings.repetition_penalty;
        for (logit, _) in logits.iter_mut().zip(&self.seen).filter(|(_, seen)| **seen) {
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }

    fn draw(&mut self, logits: &mut [f32], temperature: f32) -> u32 {
        for (logit, banned) in logits.iter_mut().zip(&self.banned) {
            if *banned {
                *logit = f32::NEG_INFINITY;
            }
        }
        let draw = Draw { temperature, top_k: self.settings.top_k, top_p: self.settings.top_p };
        draw.pick(logits, self.rng.random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(temperature: f32, top_k: usize, top_p: f32, repetition_penalty: f32) -> SamplerSettings {
        SamplerSettings { temperature: Some(temperature), top_k, top_p, repetition_penalty, seed: 1 }
    }

    /// The share of each id in many draws.
    fn shares(settings: SamplerSettings, logits: &[f32], seen: &[u32], banned: &[u32]) -> Vec<f64> {
        const N_DRAW: u32 = 20_000;
        let mut shares = vec![0.0; logits.len()];
        let mut sampler = Sampler::new(settings, logits.len(), |id| banned.contains(&id));
        for _ in 0..N_DRAW {
            sampler.seen.fill(false);
            sampler.observe(seen);
            shares[sampler.next(&mut logits.to_vec()) as usize] += 1.0 / f64::from(N_DRAW);
        }
        shares
    }

    #[test]
    fn draws_follow_the_expected_shares() {
        // ln of 8:4:2:1:1 sixteenths.
        let logits: Vec<f32> = [8.0, 4.0, 2.0, 1.0, 1.0].map(|weight: f32| weight.ln()).to_vec();
        let check = |settings: SamplerSettings, seen: &[u32], banned: &[u32], expected: [f64; 5]| {
            let total: f64 = expected.iter().sum();
            for (share, expected) in shares(settings.clone(), &logits, seen, banned).iter().zip(expected) {
                assert!((share - expected / total).abs() < 0.015, "{settings:?}: {share} for {expected}");
                assert!(expected > 0.0 || *share == 0.0, "{settings:?} drew what it must not");
            }
        };
        check(settings(1.0, 0, 1.0, 1.0), &[], &[], [8.0, 4.0, 2.0, 1.0, 1.0]);
        check(settings(0.5, 0, 1.0, 1.0), &[], &[], [64.0, 16.0, 4.0, 1.0, 1.0]);
        check(settings(1.0, 2, 1.0, 1.0), &[], &[], [8.0, 4.0, 0.0, 0.0, 0.0]);
        // The fourth and the fifth are equal, so both stay.
        check(settings(1.0, 4, 1.0, 1.0), &[], &[], [8.0, 4.0, 2.0, 1.0, 1.0]);
        check(settings(1.0, 0, 0.49, 1.0), &[], &[], [8.0, 0.0, 0.0, 0.0, 0.0]);
        check(settings(1.0, 0, 0.51, 1.0), &[], &[], [8.0, 4.0, 0.0, 0.0, 0.0]);
        check(settings(1.0, 0, 1e-6, 1.0), &[], &[], [8.0, 0.0, 0.0, 0.0, 0.0]);
        check(settings(1.0, 0, 1.0, 1.0), &[], &[0, 2], [0.0, 4.0, 0.0, 1.0, 1.0]);
        // ln 8 / 3 = ln 2.
        check(settings(1.0, 0, 1.0, 3.0), &[0], &[], [2.0, 4.0, 2.0, 1.0, 1.0]);
        // The penalty comes before the temperature, the temperature before top-p.
        check(settings(0.5, 0, 0.74, 3.0), &[0], &[], [4.0, 16.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_penalty_lowers_negative_logits_too() {
        let mut sampler =
            Sampler::new(SamplerSettings { repetition_penalty: 2.0, ..Default::default() }, 3, |_| false);
        sampler.observe(&[0]);
        assert_eq!(sampler.next(&mut [-1.0, -1.5, -3.0]), 1);
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals_and_forbids_nothing() {
        let mut sampler = Sampler::new(SamplerSettings::default(), 4, |_| true);
        assert_eq!(sampler.next(&mut [1.0, 7.0, 7.0, f32::NAN]), 1);
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let draw = |seed| {
            let settings = SamplerSettings { seed, ..settings(1.0, 0, 1.0, 1.0) };
            let mut sampler = Sampler::new(settings, 64, |_| false);
            (0..32).map(|_| sampler.next(&mut [0.0; 64])).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn settings_come_from_the_model() {
        let config = serde_json::json!({"do_sample": true, "temperature": 1e-6, "repetition_penalty": 1.05});
        let settings = SamplerSettings::from_generation_config(&config);
        assert_eq!(
            (settings.temperature, settings.top_k, settings.repetition_penalty),
            (Some(1e-6), 50, 1.05)
        );
        assert_eq!(SamplerSettings::from_generation_config(&Value::Null), SamplerSettings::default());
        for bad in [
            settings_with(f32::NAN, 1.0),
            settings_with(0.0, 1.0),
            settings_with(1.0, 0.0),
            settings_with(1.0, 1.5),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
        assert!(settings.check().is_ok());
    }

    fn settings_with(temperature: f32, top_p: f32) -> SamplerSettings {
        settings(temperature, 0, top_p, 1.0)
    }
}
