//! Descriptions of a phantom: the stain, the architecture, the nuclei, what lies between.
//!
//! A caption is built from clauses in a fixed order, each said only where it holds. It is the densest
//! text about a picture and opens training.

use super::Draw;
use super::topic::Topic;
use super::truth::{Infiltrate, Localisation, MarkKind, Nuclei, Pattern, Stain, Truth};
use rand::Rng;

/// Wordings of the request.
pub(crate) const REQUESTS: [&str; 4] =
    ["Describe the image.", "Describe this region.", "What do you see?", "Give a short description."];

/// The caption.
pub(crate) fn describe(truth: &Truth) -> String {
    let stain = match truth.stain {
        Stain::He => "H&E",
        Stain::Dab => "DAB",
        Stain::Pas => "PAS",
        Stain::Trichrome => "Trichrome",
    };
    let mut text = format!("{stain}: {}", architecture(truth));
    if let Some(marker) = truth.marker {
        let place = match marker.localisation {
            Localisation::Negative => "negative",
            Localisation::Nuclear => "nuclear staining",
            Localisation::Membranous => "membranous staining",
            Localisation::Cytoplasmic => "cytoplasmic staining",
        };
        text.extend([", ", place]);
        if marker.grade > 0 {
            let share = if marker.positive_fraction > 0.5 { "most" } else { "few" };
            text.extend([
                " ",
                ["0", "1", "2", "3"][usize::from(marker.grade.min(3))],
                "+ in ",
                share,
                " cells",
            ]);
        }
    }
    match truth.infiltrate {
        Infiltrate::None => {}
        Infiltrate::Lymphocytes => text.push_str(", with lymphocytes"),
        Infiltrate::PlasmaCells => text.push_str(", with plasma cells"),
        Infiltrate::Neutrophils => text.push_str(", with neutrophils"),
        Infiltrate::Eosinophils => text.push_str(", with eosinophils"),
    }
    if truth.count(MarkKind::Mitosis) > 0 {
        text.push_str(", with mitoses");
    }
    if truth.pattern != Pattern::Necrosis && truth.necrosis_fraction > 0.0 {
        text.push_str(", partly necrotic");
    }
    text.push('.');
    text
}

fn architecture(truth: &Truth) -> String {
    let nuclei = match truth.nuclei {
        Nuclei::Regular => "small regular nuclei",
        Nuclei::Pleomorphic => "large pleomorphic nuclei",
        Nuclei::Spindle => "spindle nuclei",
        Nuclei::Pyknotic => "pyknotic fragments",
    };
    let pattern = match (truth.pattern, truth.count(MarkKind::Gland)) {
        (Pattern::Glands, 0 | 1) => "one gland",
        (Pattern::Glands, 2..=4) => "a few glands",
        (Pattern::Glands, _) => "many glands",
        (Pattern::Sheet, _) => "a solid sheet",
        (Pattern::Stroma, _) => "fibrous stroma",
        (Pattern::Necrosis, _) => "necrosis",
    };
    format!("{pattern} with {nuclei}")
}

/// What is seen, as sentences.
pub(crate) fn findings(truth: &Truth, rng: &mut Draw) -> Vec<String> {
    classes(truth).map(|class| class.findings[rng.random_range(0..class.findings.len())].to_owned()).collect()
}

/// What is seen, five words at most each.
pub(crate) fn drafts(truth: &Truth) -> Vec<String> {
    classes(truth).map(|class| class.draft.to_owned()).collect()
}

fn classes(truth: &Truth) -> impl Iterator<Item = &'static super::topic::Class> {
    let mut topics = vec![Topic::Stain, Topic::Pattern];
    topics.push(if truth.infiltrate == Infiltrate::None { Topic::Nuclei } else { Topic::Infiltrate });
    if truth.marker.is_some() {
        topics.push(Topic::Localisation);
    }
    topics.into_iter().filter_map(|topic| topic.class_of(truth).map(|idx| &topic.classes()[idx]))
}
