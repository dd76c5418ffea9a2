//! Descriptions of a phantom: the stain, the architecture, the findings, where and how many.
//!
//! A caption is built from clauses, each said only where it holds, in one of a few orders of words. It is
//! the densest text about a picture and opens training; contrastive batches need captions that differ.

use super::Draw;
use super::scene::choose;
use super::topic::Topic;
use super::truth::{
    Arrangement, Background, Change, CytologyFacts, Facts, FishFacts, GrossFacts, Infiltrate, Lesion,
    Localisation, MarkKind, Marker, Nuclei, Organ, Pattern, Signals, SmearCells, SmearDye, Stain,
    TissueFacts, Truth,
};
use rand::Rng;

/// Wordings of the request.
pub(crate) const REQUESTS: [&str; 4] =
    ["Describe the image.", "Describe this region.", "What do you see?", "Give a short description."];

/// The caption.
pub(crate) fn describe(truth: &Truth, rng: &mut Draw) -> String {
    let text = match &truth.facts {
        Facts::Tissue(facts) => tissue(facts, truth, rng),
        Facts::Gross(facts) => gross(facts, rng),
        Facts::Cytology(facts) => cytology(facts, truth, rng),
        Facts::Fish(facts) => fish(facts, truth, rng),
    };
    format!("{text}.")
}

/// One of three words for a number.
fn amount(count: usize, few: usize, many: usize) -> &'static str {
    match count {
        count if count <= few => "few",
        count if count < many => "several",
        _ => "many",
    }
}

fn tissue(facts: &TissueFacts, truth: &Truth, rng: &mut Draw) -> String {
    let stain = match facts.stain {
        Stain::He => choose(&["H&E section", "Histology in H&E"], rng),
        Stain::Dab => choose(&["DAB section", "Immunohistochemistry"], rng),
        Stain::Pas => "PAS section",
        Stain::Trichrome => "Trichrome section",
    };
    let nuclei = match facts.nuclei {
        Nuclei::Regular => "small even nuclei",
        Nuclei::Pleomorphic => "large uneven nuclei",
        Nuclei::Spindle => "spindle nuclei",
        Nuclei::Pyknotic => "nuclear dust",
    };
    let pattern = match (facts.pattern, truth.count(MarkKind::Gland)) {
        (Pattern::Glands, 0 | 1) => "one gland",
        (Pattern::Glands, 2) => "two glands",
        (Pattern::Glands, 3 | 4) => "a few glands",
        (Pattern::Glands, _) => "many glands",
        (Pattern::Sheet, _) => "a solid sheet",
        (Pattern::Stroma, _) => "fibrous stroma",
        (Pattern::Necrosis, _) => "granular necrosis",
    };
    let mut text = format!("{stain}: {pattern} with {nuclei}");
    if let Some(marker) = facts.marker {
        text.push_str(&label(marker));
    }
    let (kind, name) = match facts.infiltrate {
        Infiltrate::Lymphocytes => (MarkKind::Lymphocyte, "lymphocytes"),
        Infiltrate::PlasmaCells => (MarkKind::PlasmaCell, "plasma cells"),
        Infiltrate::Neutrophils => (MarkKind::Neutrophil, "neutrophils"),
        Infiltrate::Eosinophils => (MarkKind::Eosinophil, "eosinophils"),
        Infiltrate::None => (MarkKind::Mitosis, ""),
    };
    if !name.is_empty() {
        text.extend([" and ", amount(truth.count(kind), 20, 45), " ", name]);
    }
    let n_mitosis = truth.count(MarkKind::Mitosis);
    if n_mitosis > 0 {
        text.extend([", ", amount(n_mitosis, 3, 6), " mitoses"]);
    }
    if facts.pattern != Pattern::Necrosis && facts.necrosis_fraction > 0.0 {
        text.push_str(", partly necrotic");
    }
    text
}

fn label(marker: Marker) -> String {
    let place = match marker.localisation {
        Localisation::Negative => return ", all cells negative".to_owned(),
        Localisation::Nuclear => "nuclear",
        Localisation::Membranous => "membranous",
        Localisation::Cytoplasmic => "cytoplasmic",
    };
    let strength = ["no", "weak", "moderate", "strong"][usize::from(marker.grade.min(3))];
    let share = if marker.positive_fraction > 0.5 { "most" } else { "few" };
    format!(", {strength} {place} label in {share} cells")
}

fn gross(facts: &GrossFacts, rng: &mut Draw) -> String {
    let organ = match facts.organ {
        Organ::Liver => "liver",
        Organ::Kidney => "kidney",
        Organ::Lung => "lung",
        Organ::Breast => "breast",
        Organ::Stomach => "stomach",
    };
    let lesion = match facts.lesion {
        Lesion::Nodule => "circumscribed nodule",
        Lesion::Infiltrating => "infiltrating mass",
        Lesion::Multiple => "several round nodules",
        Lesion::Cyst => "smooth cyst",
        Lesion::Haemorrhage => "haemorrhage",
        Lesion::Ulcer => "ulcer",
    };
    let size = match facts.lesion_permille {
        0..190 => "small",
        190..235 => "medium",
        _ => "large",
    };
    let row = ["upper", "middle", "lower"][usize::from(facts.place[1].min(2))];
    let column = ["left", "centre", "right"][usize::from(facts.place[0].min(2))];
    let change = match facts.change {
        Change::None => "",
        Change::Necrosis => " with central necrosis",
        Change::Bleeding => " with spots of blood",
        Change::Scar => " with a central scar",
    };
    let ruler = if facts.ruler { ", ruler beside" } else { "" };
    let surface = choose(&["Cut surface of", "Gross picture of"], rng);
    match facts.lesion {
        Lesion::Multiple => format!("{surface} {organ}: {lesion} of {size} size{ruler}"),
        _ => format!("{surface} {organ}: {size} {lesion} in the {row} {column}{change}{ruler}"),
    }
}

fn cytology(facts: &CytologyFacts, truth: &Truth, rng: &mut Draw) -> String {
    let dye = match facts.dye {
        SmearDye::Papanicolaou => "Pap smear",
        SmearDye::Giemsa => "Giemsa smear",
    };
    let cells = match facts.cells {
        SmearCells::Squamous => "normal squamous cells with tiny nuclei",
        SmearCells::Koilocytes => "koilocytes with clear halos",
        SmearCells::HighGrade => "high-grade cells with little cytoplasm",
        SmearCells::Glandular => "glandular cells with nucleoli and vacuoles",
    };
    let arrangement = match facts.arrangement {
        Arrangement::Single => "single",
        Arrangement::Sheet => "in a flat sheet",
        Arrangement::Cluster => "in a crowded cluster",
    };
    let background = match facts.background {
        Background::Clean => "clean",
        Background::Inflammatory => "inflammatory",
        Background::Bloody => "bloody",
        Background::Necrotic => "necrotic",
    };
    let n_cell = match facts.cells {
        SmearCells::Squamous | SmearCells::Koilocytes => amount(truth.count(MarkKind::SmearCell), 5, 8),
        SmearCells::HighGrade | SmearCells::Glandular => amount(truth.count(MarkKind::SmearCell), 13, 21),
    };
    if rng.random_bool(0.5) {
        format!("{dye}: {n_cell} {cells} {arrangement}, {background} background")
    } else {
        format!("{dye} with {background} background: {n_cell} {cells} {arrangement}")
    }
}

fn fish(facts: &FishFacts, truth: &Truth, rng: &mut Draw) -> String {
    let signals = match (facts.signals, facts.n_red) {
        (Signals::Normal, _) => "two red and two green signals",
        (Signals::Amplified, _) => "many red and two green signals",
        (Signals::Polysomy, 3) => "three red and three green signals",
        (Signals::Polysomy, _) => "four red and four green signals",
        (Signals::Deletion, _) => "one red and two green signals",
        (Signals::Monosomy, _) => "one red and one green signal",
        (Signals::Fusion, _) => "one yellow pair, one red and one green signal",
    };
    let n_nucleus = truth.count(MarkKind::ProbedNucleus);
    let count = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let count = match n_nucleus {
        1..=9 => count[n_nucleus - 1],
        _ => "many",
    };
    let strength = if facts.dim { "dim" } else { "bright" };
    match rng.random_range(0..3) {
        0 => format!("FISH of {count} nuclei: {signals} in most nuclei, {strength}"),
        1 => format!("FISH: {strength} probes, {count} blue nuclei with {signals}"),
        _ => format!("Fluorescence: {count} nuclei, most with {signals}, {strength}"),
    }
}

/// What is seen, as sentences: one for each of the topics that matter most, at most `n_most`.
pub(crate) fn findings(truth: &Truth, n_most: usize, rng: &mut Draw) -> Vec<String> {
    Topic::of(truth.subfield)
        .iter()
        .filter_map(|topic| topic.class_of(truth).map(|idx| &topic.classes()[idx]))
        .take(n_most)
        .map(|class| class.findings[rng.random_range(0..class.findings.len())].to_owned())
        .collect()
}

/// What is seen, five words at most each.
pub(crate) fn drafts(truth: &Truth) -> Vec<String> {
    Topic::of(truth.subfield)
        .iter()
        .filter_map(|topic| topic.class_of(truth).map(|idx| topic.classes()[idx].hallmark))
        .take(3)
        .map(super::question::sentence)
        .collect()
}
