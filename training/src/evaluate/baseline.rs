//! What a model that does not really look would score: the figures beside which ours must stand.
//!
//! Chance picks an option at random. The majority answers what was most often right in training for that
//! topic, among the options given. The colour histogram answers what was right for the training picture whose
//! colours are nearest: it sees colours, but no shapes. All three see training pictures only.

use std::collections::BTreeMap;

use eosin_core::RgbTile;

use super::answers::Baseline;
use super::extract::Asked;
use super::words::words;
use crate::data::Task;

/// Levels of each colour channel in a histogram.
const N_LEVEL: usize = 6;

/// Shares of pixels by colour, `N_LEVEL`³ of them.
pub(crate) fn histogram(tile: &RgbTile) -> Vec<f32> {
    let mut counts = vec![0.0_f32; N_LEVEL * N_LEVEL * N_LEVEL];
    let (pixels, _) = tile.pixels().as_chunks::<3>();
    for pixel in pixels {
        let [r, g, b] = pixel.map(|value| usize::from(value) * N_LEVEL / 256);
        counts[(r * N_LEVEL + g) * N_LEVEL + b] += 1.0;
    }
    let n_pixel = pixels.len().max(1) as f32;
    for count in &mut counts {
        *count /= n_pixel;
    }
    counts
}

/// A training picture: its colours, and what was right about it by topic.
#[derive(Clone, Debug)]
struct Seen {
    colours: Vec<f32>,
    golds: BTreeMap<String, String>,
}

/// What training samples teach without looking at shapes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baselines {
    /// Topic → answer → how often right.
    counts: BTreeMap<String, BTreeMap<String, usize>>,
    /// Group → its picture.
    pictures: BTreeMap<String, Seen>,
}

impl Baselines {
    /// Learns the right answer to a question of a topic about a picture.
    pub(crate) fn learn(&mut self, group: &str, colours: Vec<f32>, topic: &str, gold: &str) {
        let gold = normal(gold);
        *self.counts.entry(topic.to_owned()).or_default().entry(gold.clone()).or_default() += 1;
        let seen = self.pictures.entry(group.to_owned());
        let seen = seen.or_insert_with(|| Seen { colours, golds: BTreeMap::new() });
        seen.golds.insert(topic.to_owned(), gold);
    }

    /// Whether nothing was learned.
    pub(crate) fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// What is earned on a question without looking.
    pub(crate) fn guess(&self, topic: &str, task: &Task, colours: Option<&[f32]>) -> Baseline {
        let chance = match Asked::of(task) {
            Asked::Choice => 1.0 / task.options.len() as f64,
            Asked::YesNo => 0.5,
            Asked::Open => 0.0,
        };
        let options: Vec<String> = task.options.iter().map(|option| normal(option)).collect();
        let gold = right(task);
        Baseline {
            chance,
            majority: self.majority(topic, &options, &gold).unwrap_or(chance),
            colour_histogram: colours
                .and_then(|colours| self.nearest(topic, &options, &gold, colours))
                .unwrap_or(chance),
        }
    }

    /// 1 where the most frequent answer of the topic, among the options, is right.
    fn majority(&self, topic: &str, options: &[String], gold: &str) -> Option<f64> {
        let counts = self.counts.get(topic)?;
        let count = |answer: &String| counts.get(answer).copied().unwrap_or(0);
        let best = if options.is_empty() {
            counts.keys().rev().max_by_key(|answer| count(answer))
        } else {
            // The first of equals, so that the figure does not depend on luck.
            options.iter().rev().max_by_key(|answer| count(answer))
        };
        best.filter(|best| count(best) > 0).map(|best| f64::from(u8::from(best == gold)))
    }

    /// 1 where what was right for the nearest picture is right here. That picture must have an answer to the
    /// topic, or where none has, an answer to anything that is an option here.
    fn nearest(&self, topic: &str, options: &[String], gold: &str, colours: &[f32]) -> Option<f64> {
        let distance =
            |seen: &Seen| seen.colours.iter().zip(colours).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let may_be = |answer: &&String| options.is_empty() || options.contains(answer);
        let closest = |answer: &dyn Fn(&Seen) -> Option<String>| {
            let all = self.pictures.values().filter_map(|seen| Some((distance(seen), answer(seen)?)));
            all.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, answer)| answer)
        };
        let on_topic = closest(&|seen| seen.golds.get(topic).filter(may_be).cloned());
        let answer = on_topic.or_else(|| {
            if options.is_empty() {
                return None;
            }
            closest(&|seen| seen.golds.values().find(may_be).cloned())
        })?;
        Some(f64::from(u8::from(answer == gold)))
    }
}

/// The right answer as an option's words, where there are options.
fn right(task: &Task) -> String {
    let option = super::extract::right_letter(task)
        .and_then(|letter| task.options.get((letter as usize).checked_sub('A' as usize)?));
    normal(option.unwrap_or(&task.gold))
}

fn normal(text: &str) -> String {
    words(text).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_use_training_pictures_only() {
        let mut baselines = Baselines::default();
        let colours = |value: u8| histogram(&RgbTile::new([2, 2], vec![value; 12]).unwrap());
        for (group, value, gold) in [("a", 10, "stroma"), ("b", 12, "stroma"), ("c", 200, "glands")] {
            baselines.learn(group, colours(value), "pattern", gold);
        }
        let task = |gold: &str| Task {
            gold: gold.into(),
            options: ["Stroma", "Glands", "A sheet", "Necrosis"].map(str::to_owned).to_vec(),
            ..Task::default()
        };
        let check = |topic, gold, value, [chance, majority, colour_histogram]: [f64; 3]| {
            let found = baselines.guess(topic, &task(gold), Some(&colours(value)));
            assert_eq!(found, Baseline { chance, majority, colour_histogram }, "{topic} {gold} {value}");
        };
        check("pattern", "Stroma", 11, [0.25, 1.0, 1.0]);
        check("pattern", "Glands", 201, [0.25, 0.0, 1.0]);
        check("pattern", "Necrosis", 201, [0.25, 0.0, 0.0]);
        // Nobody learned this topic: the picture's other answer is copied, the majority can only guess.
        check("else", "Glands", 201, [0.25, 0.25, 1.0]);
        let ignorant = Baselines::default().guess("pattern", &task("Glands"), None);
        assert!((ignorant.majority - 0.25).abs() < 1e-12);
    }
}
