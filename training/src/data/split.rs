//! Divides samples so that no picture is on two sides.
//!
//! Two questions about one picture, or one picture under two names, on both sides of a split make a test of
//! memory: the original files of `PathVLM`-R1 share 437 pictures between training and test. Samples are
//! therefore tied together by the content of every picture they show, and divided tie by tie.
//! [`check_disjoint`] proves it for splits that come from elsewhere. Held true by the properties in
//! `tests/train_data.rs`.

use std::collections::{BTreeMap, HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::order::{Permutation, mix};
use super::picture::PictureError;
use super::{Picture, Sample, Skip, Source, Tally};
use crate::error::TrainError;

/// First 16 bytes of a SHA-256: that two of a billion contents meet is out of the question.
pub type Key = [u8; 16];

/// What makes two pictures the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum By {
    /// [`Sample::group`], which costs nothing.
    Group,
    /// The encoded bytes of every picture.
    #[default]
    Content,
    /// The decoded pixels: finds a picture that was saved in another format without loss.
    Pixels,
}

/// Parts by name, with the share of the samples that each is to have; what is left over is in no part.
pub type Fractions = BTreeMap<String, f64>;

/// Numbers of the samples of each part, rising.
pub type Parts = BTreeMap<String, Vec<u64>>;

impl Picture {
    /// What the picture is known by, whatever its name.
    ///
    /// # Errors
    /// [`PictureError`] where it cannot be read, or decoded for [`By::Pixels`].
    pub fn key(&self, by: By) -> Result<Key, PictureError> {
        Ok(match self {
            Self::Phantom { seed, .. } if by != By::Pixels => key(&[b"phantom", &seed.to_le_bytes()]),
            Self::Tile(tile) => pixels_key(tile),
            _ if by == By::Pixels => pixels_key(&*self.decode()?),
            _ => key(&[&self.encoded()?]),
        })
    }
}

fn pixels_key(tile: &eosin_core::RgbTile) -> Key {
    key(&[&tile.width_px().to_le_bytes(), tile.pixels()])
}

fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}

/// What ties a sample to others: its pictures, or its group where it has none.
///
/// # Errors
/// [`Skip`] where a picture cannot be read.
pub fn keys(sample: &Sample, by: By) -> Result<Vec<Key>, Skip> {
    if by == By::Group || sample.images.is_empty() {
        return Ok(vec![key(&[sample.group.as_bytes()])]);
    }
    let keys = sample.images.iter().map(|picture| picture.key(by));
    keys.collect::<Result<_, _>>()
        .map_err(|error| Skip { id: sample.id.clone(), reason: eosin_core::error_chain(&error) })
}

/// Divides a source by the content of its pictures; samples that cannot be read are in no part.
///
/// Parts come as near to their shares as whole groups allow: no part misses its number by more than its
/// largest group. The same source, fractions and seed give the same parts.
///
/// # Errors
/// [`TrainError::Plan`] where the fractions are none or the source is too large to list.
pub fn by_group(
    source: &dyn Source,
    fractions: &Fractions,
    by: By,
    seed: u64,
    tally: &mut Tally,
) -> Result<Parts, TrainError> {
    let groups = groups(source, by, tally);
    let sizes: Vec<u64> = groups.iter().map(|group| group.len() as u64).collect();
    let owners = divide(&sizes, fractions, seed)?;
    let mut parts: Parts = fractions.keys().map(|name| (name.clone(), Vec::new())).collect();
    for (group, owner) in groups.into_iter().zip(owners) {
        if let Some(part) = owner.and_then(|name| parts.get_mut(name)) {
            part.extend(group);
        }
    }
    parts.values_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// The part that each group of these sizes belongs to; none where the fractions leave something over.
///
/// # Errors
/// [`TrainError::Plan`] where a fraction is negative or all exceed one.
pub fn divide<'a>(
    sizes: &[u64],
    fractions: &'a Fractions,
    seed: u64,
) -> Result<Vec<Option<&'a str>>, TrainError> {
    let total: f64 = fractions.values().sum();
    if fractions.values().any(|share| !share.is_finite() || *share < 0.0) || total > 1.0 + 1e-9 {
        return Err(TrainError::plan("the shares of a split lie between 0 and 1 and add up to 1 at most"));
    }
    let names: Vec<Option<&str>> = fractions.keys().map(|name| Some(name.as_str())).chain([None]).collect();
    let shares: Vec<f64> = fractions.values().copied().chain([(1.0 - total).max(0.0)]).collect();
    let n_sample = sizes.iter().sum();
    let mut wanted: Vec<i128> =
        largest_remainder(&shares, n_sample, seed).into_iter().map(i128::from).collect();
    let mut owners = vec![None; sizes.len()];
    let order = Permutation::new(sizes.len() as u64, seed, 0x7370_6c69);
    // Large groups first, so that small ones can even out what those leave; in seeded order within a size.
    let mut places: Vec<usize> = (0..sizes.len() as u64).map(|place| order.at(place) as usize).collect();
    places.sort_by_key(|&place| std::cmp::Reverse(sizes[place]));
    for place in places {
        let most = (0..wanted.len()).max_by_key(|&part| (wanted[part], std::cmp::Reverse(part)));
        if let Some(part) = most {
            wanted[part] -= i128::from(sizes[place]);
            owners[place] = names[part];
        }
    }
    Ok(owners)
}

/// Numbers of samples that share a picture, directly or through others.
fn groups(source: &dyn Source, by: By, tally: &mut Tally) -> Vec<Vec<u64>> {
    let mut owner_of: HashMap<Key, usize> = HashMap::new();
    // Each tie points to an older one or to itself.
    let mut ties: Vec<usize> = Vec::new();
    let mut members: Vec<(u64, usize)> = Vec::new();
    for idx in 0..source.n_sample() {
        let keys = source.sample(idx).and_then(|sample| keys(&sample, by));
        let keys = match keys {
            Ok(keys) => keys,
            Err(skip) => {
                tally.skips.push(skip);
                continue;
            }
        };
        let mut tie = ties.len();
        ties.push(tie);
        for key in keys {
            let other = root(&mut ties, *owner_of.entry(key).or_insert(tie));
            let (old, new) = (other.min(tie), other.max(tie));
            ties[new] = old;
            tie = old;
        }
        members.push((idx, tie));
    }
    let mut groups: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (idx, tie) in members {
        groups.entry(root(&mut ties, tie)).or_default().push(idx);
    }
    groups.into_values().collect()
}

fn root(ties: &mut [usize], mut tie: usize) -> usize {
    while ties[tie] != tie {
        ties[tie] = ties[ties[tie]];
        tie = ties[tie];
    }
    tie
}

/// Refuses sets that share a picture, by content.
///
/// # Errors
/// [`TrainError::Plan`] naming the two sets and how many pictures they share.
pub fn check_disjoint(sets: &[(&str, &dyn Source)]) -> Result<(), TrainError> {
    check_disjoint_by(sets, By::Content)
}

/// Refuses sets that share a picture.
///
/// # Errors
/// As [`check_disjoint`].
pub fn check_disjoint_by(sets: &[(&str, &dyn Source)], by: By) -> Result<(), TrainError> {
    let mut seen: Vec<(&str, HashSet<Key>)> = Vec::new();
    for (name, source) in sets {
        let mut own = HashSet::new();
        for idx in 0..source.n_sample() {
            // What cannot be read is in no set.
            if let Ok(keys) = source.sample(idx).and_then(|sample| keys(&sample, by)) {
                own.extend(keys);
            }
        }
        for (other, theirs) in &seen {
            let n_shared = own.intersection(theirs).count();
            if n_shared > 0 {
                return Err(TrainError::plan(format!(
                    "`{other}` and `{name}` share {n_shared} pictures, so neither can test the other"
                )));
            }
        }
        seen.push((name, own));
    }
    Ok(())
}

/// `n` divided in proportion to the weights: whole parts first, then one each to the largest fractions
/// (Hamilton's method); equal fractions are decided by the seed.
pub fn largest_remainder(weights: &[f64], n: u64, seed: u64) -> Vec<u64> {
    let total: f64 = weights.iter().filter(|weight| weight.is_finite() && **weight > 0.0).sum();
    if total <= 0.0 {
        return vec![0; weights.len()];
    }
    let exact =
        |weight: f64| if weight.is_finite() && weight > 0.0 { weight / total * n as f64 } else { 0.0 };
    let mut quotas: Vec<u64> = weights.iter().map(|&weight| exact(weight).floor() as u64).collect();
    let mut rest: Vec<(f64, u64, usize)> = weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| weight.is_finite() && **weight > 0.0)
        .map(|(place, &weight)| {
            // Rounding of the division must not decide between fractions that are equal on paper.
            let fraction = (exact(weight).fract() * 1e9).round();
            (fraction, mix(seed ^ mix(place as u64)), place)
        })
        .collect();
    rest.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let n_left = n.saturating_sub(quotas.iter().sum());
    for (_, _, place) in rest.iter().cycle().take(n_left as usize) {
        quotas[*place] += 1;
    }
    // Rounding may have given one too many.
    let mut n_over = quotas.iter().sum::<u64>().saturating_sub(n);
    for (_, _, place) in rest.iter().rev() {
        if n_over > 0 && quotas[*place] > 0 {
            quotas[*place] -= 1;
            n_over -= 1;
        }
    }
    quotas
}

/// Draws `n` samples in proportion to how often each combination of tags occurs: the strata of the source.
///
/// No more than a stratum has is drawn from it. Samples that cannot be read are not drawn.
pub fn stratify(source: &dyn Source, tags: &[&str], n: u64, seed: u64, tally: &mut Tally) -> Vec<u64> {
    let mut strata: BTreeMap<Vec<String>, Vec<u64>> = BTreeMap::new();
    for idx in 0..source.n_sample() {
        match source.sample(idx) {
            Ok(sample) => {
                let stratum =
                    tags.iter().map(|tag| sample.tags.get(*tag).cloned().unwrap_or_default()).collect();
                strata.entry(stratum).or_default().push(idx);
            }
            Err(skip) => tally.skips.push(skip),
        }
    }
    let sizes: Vec<f64> = strata.values().map(|stratum| stratum.len() as f64).collect();
    let n = n.min(strata.values().map(|stratum| stratum.len() as u64).sum());
    let quotas = largest_remainder(&sizes, n, seed);
    let mut drawn = Vec::with_capacity(n as usize);
    for (place, (stratum, quota)) in strata.values().zip(quotas).enumerate() {
        let order = Permutation::new(stratum.len() as u64, seed, place as u64);
        drawn.extend((0..quota).map(|place| stratum[order.at(place) as usize]));
    }
    drawn.sort_unstable();
    drawn
}
