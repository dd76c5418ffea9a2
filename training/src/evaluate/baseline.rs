//! What a model that does not really look would score: the figures beside which ours must stand.
//!
//! Chance picks an option at random. The majority answers what is most often right for that question among
//! training phantoms and among the options given. The colour histogram answers what was right for the
//! training phantom whose colours are nearest: it sees colours, but no shapes. All three see training
//! phantoms only.

use std::collections::BTreeMap;

use eosin_core::RgbTile;

use super::Item;

/// Levels of each colour channel in a histogram.
const N_LEVEL: usize = 6;

/// A colour histogram, shares of pixels by `N_LEVEL`³ colours.
pub(crate) type Histogram = Vec<f32>;

/// Shares of pixels by colour.
pub(crate) fn histogram(tile: &RgbTile) -> Histogram {
    let mut counts = vec![0.0_f32; N_LEVEL * N_LEVEL * N_LEVEL];
    let (pixels, _) = tile.pixels().as_chunks::<3>();
    for pixel in pixels {
        let [r, g, b] = pixel.map(|value| usize::from(value) * N_LEVEL / 256);
        counts[(r * N_LEVEL + g) * N_LEVEL + b] += 1.0;
    }
    let n_pixel = pixels.len() as f32;
    for count in &mut counts {
        *count /= n_pixel;
    }
    counts
}

/// What training phantoms teach without looking at shapes.
#[derive(Debug, Default)]
pub(crate) struct Baselines {
    /// Topic → answer → how often right.
    answers: BTreeMap<String, BTreeMap<String, usize>>,
    /// Colours of each training phantom and its answers by topic.
    pictures: Vec<(Histogram, BTreeMap<String, String>)>,
}

impl Baselines {
    /// Learns one training phantom.
    pub(crate) fn learn(&mut self, tile: &RgbTile, items: &[Item]) {
        let mut own = BTreeMap::new();
        for item in items {
            let answer = &item.answer;
            *self.answers.entry(item.topic.clone()).or_default().entry(answer.clone()).or_default() += 1;
            own.insert(item.topic.clone(), answer.clone());
        }
        self.pictures.push((histogram(tile), own));
    }

    /// Whether the most frequent answer of the topic, among the options, is right.
    pub(crate) fn majority_is_right(&self, item: &Item) -> bool {
        let Some(counts) = self.answers.get(&item.topic) else { return false };
        let count = |answer: &str| counts.get(answer).copied().unwrap_or(0);
        let candidates: Vec<&str> = if item.options.is_empty() {
            counts.keys().map(String::as_str).collect()
        } else {
            item.options.iter().map(String::as_str).collect()
        };
        // The first of equals, so that the figure does not depend on luck.
        let best = candidates.iter().rev().max_by_key(|answer| count(answer));
        best.is_some_and(|best| *best == item.answer)
    }

    /// Share of a right answer that copying from the nearest picture's colours earns: 1 or 0, or chance where
    /// that picture's answer is none of the options.
    pub(crate) fn colours_score(&self, tile: &RgbTile, item: &Item) -> f64 {
        let own = histogram(tile);
        let distance = |other: &Histogram| own.iter().zip(other).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let nearest = self
            .pictures
            .iter()
            .filter_map(|(colours, answers)| Some((distance(colours), answers.get(&item.topic)?)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match nearest {
            Some((_, answer)) if item.options.is_empty() || item.options.contains(answer) => {
                f64::from(u8::from(*answer == item.answer))
            }
            _ => item.chance(),
        }
    }
}
