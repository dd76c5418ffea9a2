//! Finding the text of a picture and the picture of a text: Recall@K, both ways.
//!
//! Cosines of everything with everything; a query is a hit at K where something relevant is among the K
//! nearest. In the strict count only the own partner is relevant, so that of two equal captions one is
//! always a miss, as in Patho-CLIP's own script; the other count takes every equal caption, and every text
//! about the same picture, for a hit. Both are given, with Wilson's intervals. The same ranks serve picture
//! to picture within labelled tissue ([`by_label`]). Held by hand-computed cases below.

use serde::Serialize;

use super::features::Features;
use crate::evaluate::Share;

/// The K of the tables.
pub const RANKS: [usize; 4] = [1, 5, 10, 20];

/// What counts as found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relevance {
    /// The own partner only.
    Strict,
    /// Whatever has an equal caption or shows the same picture, too.
    DuplicateAware,
}

/// Recall one way.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Recall {
    /// Share of the queries with a hit among the first 1, 5, 10 and 20.
    pub at: [Share; 4],
    /// Mean of the four, as the papers state it.
    pub mean: f64,
    /// Median place of the first hit, from 1.
    pub median_rank: f64,
}

/// Recall both ways.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Retrieval {
    /// Pairs.
    pub n_pair: usize,
    /// From picture to text.
    pub image_to_text: Recall,
    /// From text to picture.
    pub text_to_image: Recall,
}

/// Recall over pairs: row `i` of both sides belongs together.
///
/// `names` gives each pair's picture group and caption, by which duplicates are told.
///
/// # Panics
/// If the sides are not equally long.
pub fn retrieval(
    images: &Features,
    texts: &Features,
    names: &[[&str; 2]],
    relevance: Relevance,
) -> Retrieval {
    let n = images.n_row();
    assert!(n == texts.n_row() && n == names.len(), "pairs are pairs");
    let cosines = images.normalised().products(&texts.normalised());
    let is_relevant = |a: usize, b: usize| {
        a == b
            || relevance == Relevance::DuplicateAware
                && (names[a][0] == names[b][0] || names[a][1] == names[b][1])
    };
    let way = |score: &dyn Fn(usize, usize) -> f32| {
        Recall::of(
            (0..n).map(|query| first_hit(n, |item| score(query, item), |item| is_relevant(query, item))),
        )
    };
    Retrieval {
        n_pair: n,
        image_to_text: way(&|image, text| cosines[image * n + text]),
        text_to_image: way(&|text, image| cosines[image * n + text]),
    }
}

/// Picture-to-picture search within labelled tissue.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LabelRetrieval {
    /// Queries that had something to find.
    pub n_query: usize,
    /// Share of a query's label among the first K, averaged over queries.
    pub precision_at: [f64; 4],
    /// Share of the queries with a hit among the first K.
    pub recall_at: [Share; 4],
    /// Mean over queries of the average precision over the whole list.
    pub mean_average_precision: f64,
    /// What a random order would give as mean precision: the share of relevant items.
    pub chance: f64,
}

/// Searches each row of `queries` among the rows of `items`; equal labels are relevant.
///
/// `may_meet(query, item)` leaves out what a query must not find, such as itself or its own slide.
pub fn by_label(
    (queries, query_labels): (&Features, &[usize]),
    (items, item_labels): (&Features, &[usize]),
    may_meet: impl Fn(usize, usize) -> bool,
) -> LabelRetrieval {
    let n_item = items.n_row();
    let cosines = queries.normalised().products(&items.normalised());
    let mut found = LabelRetrieval {
        n_query: 0,
        precision_at: [0.0; 4],
        recall_at: [Share::default(); 4],
        mean_average_precision: 0.0,
        chance: 0.0,
    };
    let mut hits = [0_usize; 4];
    for query in 0..queries.n_row() {
        let mut order: Vec<usize> = (0..n_item).filter(|&item| may_meet(query, item)).collect();
        order.sort_by(|&a, &b| cosines[query * n_item + b].total_cmp(&cosines[query * n_item + a]));
        let relevant: Vec<bool> =
            order.iter().map(|&item| item_labels[item] == query_labels[query]).collect();
        let n_relevant = relevant.iter().filter(|hit| **hit).count();
        if n_relevant == 0 {
            continue;
        }
        found.n_query += 1;
        found.chance += n_relevant as f64 / order.len() as f64;
        for (idx, k) in RANKS.into_iter().enumerate() {
            let n_hit = relevant.iter().take(k).filter(|hit| **hit).count();
            found.precision_at[idx] += n_hit as f64 / k.min(order.len()) as f64;
            hits[idx] += usize::from(n_hit > 0);
        }
        let (mut seen, mut sum) = (0, 0.0);
        for (place, _) in relevant.iter().enumerate().filter(|(_, hit)| **hit) {
            seen += 1;
            sum += f64::from(seen) / (place + 1) as f64;
        }
        found.mean_average_precision += sum / n_relevant as f64;
    }
    let n = found.n_query.max(1) as f64;
    found.precision_at = found.precision_at.map(|sum| sum / n);
    found.recall_at = hits.map(|hits| Share::new(hits, found.n_query));
    found.mean_average_precision /= n;
    found.chance /= n;
    found
}

/// Place of the first relevant item, from 0; items before it are those with a higher score, or an equal one
/// and a lower number.
fn first_hit(n: usize, score: impl Fn(usize) -> f32, is_relevant: impl Fn(usize) -> bool) -> usize {
    // Not `max_by`, which prefers the last of equals; NaN counts as the worst.
    let worth = |item: usize| if score(item).is_nan() { f32::NEG_INFINITY } else { score(item) };
    let mut best = None;
    for item in (0..n).filter(|&item| is_relevant(item)) {
        if best.is_none_or(|best| worth(item) > worth(best)) {
            best = Some(item);
        }
    }
    let Some(best) = best else { return n };
    (0..n).filter(|&item| worth(item) > worth(best) || (worth(item) >= worth(best) && item < best)).count()
}

impl Recall {
    fn of(places: impl Iterator<Item = usize>) -> Self {
        let mut places: Vec<usize> = places.collect();
        places.sort_unstable();
        let n = places.len();
        let at = RANKS.map(|k| Share::new(places.iter().filter(|&&place| place < k).count(), n));
        let median_rank = match n {
            0 => 0.0,
            _ => (places[(n - 1) / 2] + places[n / 2]) as f64 / 2.0 + 1.0,
        };
        Self { at, mean: at.iter().map(|share| share.share).sum::<f64>() / 4.0, median_rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit vectors at these angles in degrees.
    fn at(angles: &[f32]) -> Features {
        let values = angles.iter().flat_map(|angle| {
            let (sin, cos) = angle.to_radians().sin_cos();
            [cos * 3.0, sin * 3.0]
        });
        Features::new(2, values.collect())
    }

    #[test]
    fn recall_is_counted_by_hand_both_ways() {
        // Pictures at 0, 10, 40; texts at 12, 1, 41. Nearest text of each: 1, 12, 41; of each text: 10, 0, 40.
        let (images, texts) = (at(&[0.0, 10.0, 40.0]), at(&[12.0, 1.0, 41.0]));
        let names = [["a", "x"], ["b", "x"], ["c", "y"]];
        let strict = retrieval(&images, &texts, &names, Relevance::Strict);
        for way in [&strict.image_to_text, &strict.text_to_image] {
            assert_eq!(way.at.map(|share| share.n_right), [1, 3, 3, 3]);
            assert!((way.mean - (1.0 / 3.0 + 3.0) / 4.0).abs() < 1e-12);
            assert!((way.median_rank - 2.0).abs() < 1e-12);
        }
        // The first two captions are the same words.
        let aware = retrieval(&images, &texts, &names, Relevance::DuplicateAware);
        assert_eq!(aware.image_to_text.at[0].n_right, 3);
        assert_eq!(aware.text_to_image.at[0].n_right, 3);
    }

    #[test]
    fn the_two_ways_differ() {
        // Both pictures are nearest to text 0; each text is nearest to its own picture.
        let found =
            retrieval(&at(&[0.0, 20.0]), &at(&[5.0, 60.0]), &[["a", "x"], ["b", "y"]], Relevance::Strict);
        assert_eq!((found.image_to_text.at[0].n_right, found.text_to_image.at[0].n_right), (1, 2));
        let found =
            retrieval(&at(&[0.0, 60.0]), &at(&[5.0, 20.0]), &[["a", "x"], ["b", "y"]], Relevance::Strict);
        assert_eq!((found.image_to_text.at[0].n_right, found.text_to_image.at[0].n_right), (2, 1));
    }

    #[test]
    fn equal_scores_favour_the_lower_number_and_no_number_is_the_worst() {
        let scores = [1.0, 1.0, f32::NAN, 0.5];
        let place = |wanted: usize| first_hit(4, |item| scores[item], |item| item == wanted);
        assert_eq!([place(0), place(1), place(3), place(2)], [0, 1, 2, 3]);
    }

    #[test]
    fn labels_are_found_without_oneself() {
        let features = at(&[0.0, 5.0, 50.0, 55.0]);
        let labels = [0, 0, 1, 0];
        let found = by_label((&features, &labels), (&features, &labels), |a, b| a != b);
        // The third picture has no other of its label.
        assert_eq!(found.n_query, 3);
        assert_eq!(found.recall_at[0].n_right, 2);
        assert!((found.precision_at[0] - 2.0 / 3.0).abs() < 1e-12);
        // Places of the two relevant items: {1, 3}, {1, 3}, {2, 3} of three.
        let expected = (5.0 / 6.0 + 5.0 / 6.0 + f64::midpoint(0.5, 2.0 / 3.0)) / 3.0;
        assert!((found.mean_average_precision - expected).abs() < 1e-12);
        assert!((found.chance - 2.0 / 3.0).abs() < 1e-12);
    }
}
