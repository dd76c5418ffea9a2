//! What can be asked of a phantom: topics, their classes, and how each class is told from the others.
//!
//! All medical wording lies in the tables of `topic/tables.rs`. A class has the name that stands as an option, the
//! findings that prove it, and a short hallmark whose absence rules it out. A topic that is not clear-cut in a
//! phantom has no class there and is not asked.

mod tables;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rand::SeedableRng;
use serde::{Deserialize, Serialize};

use super::Draw;
use super::specimen::Specimen;
use super::truth::{
    Arrangement, Background, Change, CytologyFacts, Facts, FishFacts, GrossFacts, Infiltrate, Lesion,
    Localisation, MarkKind, Marker, Nuclei, Organ, Pattern, Signals, SmearCells, Stain, Subfield, Tier,
    TissueFacts, Truth,
};

/// Something to ask about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Which stain.
    Stain,
    /// Which architecture.
    Pattern,
    /// Which kind of nuclei.
    Nuclei,
    /// Which inflammatory cell leads.
    Infiltrate,
    /// Which diagnosis fits best a section.
    Diagnosis,
    /// Where the brown label sits.
    Localisation,
    /// How strong the label is.
    Grade,
    /// How many cells have it.
    Extent,
    /// Where the label sits and in how many cells.
    Reading,
    /// Which organ was cut.
    Organ,
    /// Which lesion it has.
    Lesion,
    /// What has become of a tumour.
    Change,
    /// Which diagnosis fits best a cut surface.
    GrossDiagnosis,
    /// Which cells a smear shows.
    Cells,
    /// How they lie.
    Arrangement,
    /// What lies between them.
    Background,
    /// Which diagnosis fits best a smear.
    CytologyDiagnosis,
    /// How many red signals a nucleus has.
    RedCount,
    /// How many green ones.
    GreenCount,
    /// How many red ones for each green one.
    Ratio,
    /// Which diagnosis fits best the signals.
    FishDiagnosis,
}

/// One possible answer of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// The answer, as an option reads.
    pub name: &'static str,
    /// What is seen: sentences without a full stop, the first word capitalised.
    pub findings: &'static [&'static str],
    /// What proves it, as a noun phrase.
    pub hallmark: &'static str,
}

/// How often each class of a topic is true, by tier.
type Shares = BTreeMap<(Topic, Tier), Vec<f32>>;

impl Topic {
    /// All topics.
    pub const ALL: [Self; 21] = [
        Self::Stain,
        Self::Pattern,
        Self::Nuclei,
        Self::Infiltrate,
        Self::Diagnosis,
        Self::Localisation,
        Self::Grade,
        Self::Extent,
        Self::Reading,
        Self::Organ,
        Self::Lesion,
        Self::Change,
        Self::GrossDiagnosis,
        Self::Cells,
        Self::Arrangement,
        Self::Background,
        Self::CytologyDiagnosis,
        Self::RedCount,
        Self::GreenCount,
        Self::Ratio,
        Self::FishDiagnosis,
    ];

    /// The topics of a subfield; the last is the diagnosis.
    pub fn of(subfield: Subfield) -> &'static [Self] {
        match subfield {
            Subfield::Histopathology => &Self::ALL[..5],
            Subfield::Ihc => &Self::ALL[5..9],
            Subfield::Gross => &Self::ALL[9..13],
            Subfield::Cytology => &Self::ALL[13..17],
            Subfield::Fish => &Self::ALL[17..],
        }
    }

    /// The topic that sums up a subfield.
    pub fn diagnosis_of(subfield: Subfield) -> Self {
        match subfield {
            Subfield::Histopathology => Self::Diagnosis,
            Subfield::Ihc => Self::Reading,
            Subfield::Gross => Self::GrossDiagnosis,
            Subfield::Cytology => Self::CytologyDiagnosis,
            Subfield::Fish => Self::FishDiagnosis,
        }
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stain => "stain",
            Self::Pattern => "pattern",
            Self::Nuclei => "nuclei",
            Self::Infiltrate => "infiltrate",
            Self::Diagnosis => "diagnosis",
            Self::Localisation => "localisation",
            Self::Grade => "grade",
            Self::Extent => "extent",
            Self::Reading => "reading",
            Self::Organ => "organ",
            Self::Lesion => "lesion",
            Self::Change => "change",
            Self::GrossDiagnosis => "gross-diagnosis",
            Self::Cells => "cells",
            Self::Arrangement => "arrangement",
            Self::Background => "background",
            Self::CytologyDiagnosis => "cytology-diagnosis",
            Self::RedCount => "red-count",
            Self::GreenCount => "green-count",
            Self::Ratio => "ratio",
            Self::FishDiagnosis => "fish-diagnosis",
        }
    }

    /// The possible answers.
    pub fn classes(self) -> &'static [Class] {
        match self {
            Self::Stain => &tables::STAIN,
            Self::Pattern => &tables::PATTERN,
            Self::Nuclei => &tables::NUCLEI,
            Self::Infiltrate => &tables::INFILTRATE,
            Self::Diagnosis => &tables::DIAGNOSIS,
            Self::Localisation => &tables::LOCALISATION,
            Self::Grade => &tables::GRADE,
            Self::Extent => &tables::EXTENT,
            Self::Reading => &tables::READING,
            Self::Organ => &tables::ORGAN,
            Self::Lesion => &tables::LESION,
            Self::Change => &tables::CHANGE,
            Self::GrossDiagnosis => &tables::GROSS_DIAGNOSIS,
            Self::Cells => &tables::CELLS,
            Self::Arrangement => &tables::ARRANGEMENT,
            Self::Background => &tables::BACKGROUND,
            Self::CytologyDiagnosis => &tables::CYTOLOGY_DIAGNOSIS,
            Self::RedCount => &tables::RED_COUNT,
            Self::GreenCount => &tables::GREEN_COUNT,
            Self::Ratio => &tables::RATIO,
            Self::FishDiagnosis => &tables::FISH_DIAGNOSIS,
        }
    }

    /// Wordings of the question.
    pub fn questions(self) -> &'static [&'static str] {
        match self {
            Self::Stain => {
                &["Which stain is this?", "Which stain was used?", "How was this section stained?"]
            }
            Self::Pattern => &[
                "Which pattern is shown?",
                "What is the main architecture?",
                "What is the tissue architecture?",
            ],
            Self::Nuclei => &["What do the nuclei look like?", "Which nuclei are seen?"],
            Self::Infiltrate => &[
                "Which inflammatory cells are seen?",
                "Which inflammatory cell dominates?",
                "Which cells infiltrate the stroma?",
            ],
            Self::Localisation => &[
                "Where is the brown staining?",
                "How is the marker localised?",
                "Which staining pattern is shown?",
            ],
            Self::Grade => &["What is the staining intensity?", "How strong is the staining?"],
            Self::Extent => &["How many cells are positive?", "Which share of cells is stained?"],
            Self::Reading => &["How is the marker read?", "Which reaction is shown?"],
            Self::Organ => &["Which organ is this?", "Which organ was cut?"],
            Self::Lesion => &["Which lesion is shown?", "Which lesion is seen?", "What is the lesion?"],
            Self::Change => &["What does the mass show inside?", "Which change has the mass?"],
            Self::Cells => &["Which cells are seen?", "Which cells are shown?"],
            Self::Arrangement => &["How are the cells arranged?", "What is the arrangement of the cells?"],
            Self::Background => &["What is the background?", "Which background is shown?"],
            Self::RedCount => {
                &["How many red signals are in most nuclei?", "How many red signals has a nucleus?"]
            }
            Self::GreenCount => {
                &["How many green signals are in most nuclei?", "How many green signals has a nucleus?"]
            }
            Self::Ratio => &["What is the ratio of red to green?", "What is the red to green ratio?"],
            Self::Diagnosis | Self::GrossDiagnosis | Self::CytologyDiagnosis | Self::FishDiagnosis => &[
                "What is the best diagnosis?",
                "Which diagnosis fits best?",
                "What is the most likely diagnosis?",
            ],
        }
    }

    /// Which class the truth is; none where the topic is not clear-cut.
    pub fn class_of(self, truth: &Truth) -> Option<usize> {
        let found = self.class_of_facts(&truth.facts, truth.tier)?;
        let needs_cells = matches!(self, Self::Infiltrate | Self::Diagnosis)
            && truth.tissue().is_some_and(|facts| facts.infiltrate != Infiltrate::None);
        // Small pictures may hold too few to tell.
        (!needs_cells || leading_count(truth) >= 8).then_some(found)
    }

    /// The same from the facts alone, as if the picture were large enough.
    fn class_of_facts(self, facts: &Facts, tier: Tier) -> Option<usize> {
        match facts {
            Facts::Tissue(facts) => self.class_of_tissue(facts, tier),
            Facts::Gross(facts) => self.class_of_gross(facts),
            Facts::Cytology(facts) => self.class_of_cytology(facts),
            Facts::Fish(facts) => self.class_of_fish(facts),
        }
    }

    fn class_of_tissue(self, facts: &TissueFacts, tier: Tier) -> Option<usize> {
        match (self, facts.marker) {
            // Colours tell the stain at once, so it is asked in the easy tier only.
            (Self::Stain, None) if tier == Tier::Easy => Some(match facts.stain {
                Stain::He | Stain::Dab => 0,
                Stain::Pas => 1,
                Stain::Trichrome => 2,
            }),
            (Self::Pattern, None) => Some(match facts.pattern {
                Pattern::Glands => 0,
                Pattern::Sheet => 1,
                Pattern::Stroma => 2,
                Pattern::Necrosis => 3,
            }),
            // Inflammatory cells have nuclei of their own, which would make the question ambiguous.
            (Self::Nuclei, None) if facts.infiltrate == Infiltrate::None => Some(match facts.nuclei {
                Nuclei::Regular => 0,
                Nuclei::Pleomorphic => 1,
                Nuclei::Spindle => 2,
                Nuclei::Pyknotic => 3,
            }),
            (Self::Infiltrate, None) if facts.stain == Stain::He => match facts.infiltrate {
                Infiltrate::None => (facts.pattern == Pattern::Stroma).then_some(0),
                Infiltrate::Lymphocytes => Some(1),
                Infiltrate::PlasmaCells => Some(2),
                Infiltrate::Neutrophils => Some(3),
                Infiltrate::Eosinophils => Some(4),
            },
            (Self::Diagnosis, None) if facts.stain == Stain::He => diagnosis(facts),
            (_, Some(marker)) => self.class_of_marker(marker),
            _ => None,
        }
    }

    fn class_of_marker(self, marker: Marker) -> Option<usize> {
        let place = match marker.localisation {
            Localisation::Negative => 0,
            Localisation::Nuclear => 1,
            Localisation::Membranous => 2,
            Localisation::Cytoplasmic => 3,
        };
        let is_diffuse = marker.positive_fraction > 0.5;
        match self {
            Self::Localisation => Some(place),
            Self::Grade => Some(marker.grade.into()),
            Self::Extent if place == 0 => Some(0),
            Self::Extent => Some(1 + usize::from(is_diffuse)),
            Self::Reading if place == 0 => Some(0),
            Self::Reading => Some(place * 2 - usize::from(is_diffuse)),
            _ => None,
        }
    }

    fn class_of_gross(self, facts: &GrossFacts) -> Option<usize> {
        let is_tumour = matches!(facts.lesion, Lesion::Nodule | Lesion::Infiltrating);
        match self {
            Self::Organ => Some(match facts.organ {
                Organ::Liver => 0,
                Organ::Kidney => 1,
                Organ::Lung => 2,
                Organ::Breast => 3,
                Organ::Stomach => 4,
            }),
            Self::Lesion => Some(match facts.lesion {
                Lesion::Nodule => 0,
                Lesion::Infiltrating => 1,
                Lesion::Multiple => 2,
                Lesion::Cyst => 3,
                Lesion::Haemorrhage => 4,
                Lesion::Ulcer => 5,
            }),
            Self::Change => is_tumour.then_some(match facts.change {
                Change::None => 0,
                Change::Necrosis => 1,
                Change::Bleeding => 2,
                Change::Scar => 3,
            }),
            Self::GrossDiagnosis => Some(match (facts.lesion, facts.change) {
                (Lesion::Nodule, _) => 0,
                (Lesion::Infiltrating, Change::Necrosis) => 2,
                (Lesion::Infiltrating, _) => 1,
                (Lesion::Multiple, _) => 3,
                (Lesion::Cyst, _) => 4,
                (Lesion::Haemorrhage, _) => 5,
                (Lesion::Ulcer, _) => 6,
            }),
            _ => None,
        }
    }

    fn class_of_cytology(self, facts: &CytologyFacts) -> Option<usize> {
        match self {
            Self::Cells => Some(match facts.cells {
                SmearCells::Squamous => 0,
                SmearCells::Koilocytes => 1,
                SmearCells::HighGrade => 2,
                SmearCells::Glandular => 3,
            }),
            Self::Arrangement => Some(match facts.arrangement {
                Arrangement::Single => 0,
                Arrangement::Sheet => 1,
                Arrangement::Cluster => 2,
            }),
            Self::Background => Some(match facts.background {
                Background::Clean => 0,
                Background::Inflammatory => 1,
                Background::Bloody => 2,
                Background::Necrotic => 3,
            }),
            Self::CytologyDiagnosis => Some(match (facts.cells, facts.background) {
                (SmearCells::Squamous, Background::Inflammatory) => 1,
                (SmearCells::Squamous, _) => 0,
                (SmearCells::Koilocytes, _) => 2,
                (SmearCells::HighGrade, _) => 3,
                (SmearCells::Glandular, _) => 4,
            }),
            _ => None,
        }
    }

    fn class_of_fish(self, facts: &FishFacts) -> Option<usize> {
        match self {
            Self::RedCount => Some(match facts.n_red {
                0 | 1 => 0,
                2 => 1,
                3..=6 => 2,
                _ => 3,
            }),
            Self::GreenCount => Some(match facts.n_green {
                0 | 1 => 0,
                2 => 1,
                _ => 2,
            }),
            Self::Ratio => Some(match facts.signals {
                Signals::Deletion => 0,
                Signals::Amplified => 2,
                _ => 1,
            }),
            Self::FishDiagnosis => Some(match facts.signals {
                Signals::Normal => 0,
                Signals::Amplified => 1,
                Signals::Polysomy => 2,
                Signals::Deletion => 3,
                Signals::Monosomy => 4,
                Signals::Fusion => 5,
            }),
            _ => None,
        }
    }

    /// How often each class is true among phantoms of a tier, measured once on plans of made-up seeds.
    fn shares(self, tier: Tier) -> &'static [f32] {
        static SHARES: OnceLock<Shares> = OnceLock::new();
        SHARES.get_or_init(measure_shares).get(&(self, tier)).map_or(&[], Vec::as_slice)
    }

    /// The chance with which a topic should be asked about a truth, so that over many phantoms all its
    /// classes are asked about equally often; 0 where it is not clear-cut.
    pub fn fairness(self, truth: &Truth) -> f64 {
        let shares = self.shares(truth.tier);
        let rarest = shares.iter().copied().filter(|share| *share > 0.0).fold(f32::MAX, f32::min);
        let of_class = |idx: usize| shares.get(idx).copied().unwrap_or(rarest).max(rarest);
        self.class_of(truth).map_or(0.0, |idx| f64::from(rarest / of_class(idx)).min(1.0))
    }

    /// Whether a class, or what proves it, is to be seen beside the leading one: it may then be neither
    /// a wrong option's refutation nor held against a reader who saw it.
    pub fn is_evident(self, class_idx: usize, truth: &Truth) -> bool {
        if self.class_of(truth) == Some(class_idx) {
            return true;
        }
        let Some(tissue) = truth.tissue() else { return self.is_evident_elsewhere(class_idx, truth) };
        match (self, class_idx) {
            // Glands lie in stroma.
            (Self::Pattern, 2) => tissue.pattern == Pattern::Glands,
            (Self::Pattern | Self::Nuclei, 3) => tissue.necrosis_fraction > 0.0,
            (Self::Nuclei, 2) => matches!(tissue.pattern, Pattern::Stroma | Pattern::Glands),
            (Self::Nuclei, _) => tissue.infiltrate != Infiltrate::None,
            (Self::Infiltrate, 1) | (Self::Diagnosis, 4) => truth.count(MarkKind::Lymphocyte) > 0,
            (Self::Infiltrate, 2) | (Self::Diagnosis, 5) => truth.count(MarkKind::PlasmaCell) > 0,
            (Self::Infiltrate, 3) | (Self::Diagnosis, 6) => truth.count(MarkKind::Neutrophil) > 0,
            (Self::Infiltrate, 4) | (Self::Diagnosis, 7) => truth.count(MarkKind::Eosinophil) > 0,
            _ => false,
        }
    }

    fn is_evident_elsewhere(self, class_idx: usize, truth: &Truth) -> bool {
        match (self, class_idx, &truth.facts) {
            // Stray cells do not make a background but are there.
            (Self::Background, 1, _) => truth.count(MarkKind::Neutrophil) > 0,
            (Self::Background, 2, _) => truth.count(MarkKind::RedCell) > 0,
            // Normal cells are mixed in.
            (Self::Cells, 0, Facts::Cytology(facts)) => {
                truth.tier != Tier::Easy && facts.arrangement == Arrangement::Single
            }
            (Self::Change, 2, Facts::Gross(facts)) => facts.lesion == Lesion::Haemorrhage,
            _ => false,
        }
    }
}

/// How many inflammatory cells of the leading kind there are.
fn leading_count(truth: &Truth) -> usize {
    let kind = match truth.tissue().map(|facts| facts.infiltrate) {
        Some(Infiltrate::Lymphocytes) => MarkKind::Lymphocyte,
        Some(Infiltrate::PlasmaCells) => MarkKind::PlasmaCell,
        Some(Infiltrate::Neutrophils) => MarkKind::Neutrophil,
        Some(Infiltrate::Eosinophils) => MarkKind::Eosinophil,
        Some(Infiltrate::None) | None => return 0,
    };
    truth.count(kind)
}

fn diagnosis(facts: &TissueFacts) -> Option<usize> {
    match (facts.pattern, facts.nuclei, facts.infiltrate) {
        (Pattern::Glands, Nuclei::Regular, Infiltrate::None) => Some(0),
        (Pattern::Glands, Nuclei::Pleomorphic, _) => Some(1),
        (Pattern::Sheet, _, _) => Some(2),
        (Pattern::Stroma, _, Infiltrate::None) => Some(3),
        (Pattern::Stroma, _, Infiltrate::Lymphocytes) => Some(4),
        (Pattern::Stroma, _, Infiltrate::PlasmaCells) => Some(5),
        (Pattern::Stroma, _, Infiltrate::Neutrophils) => Some(6),
        (Pattern::Stroma, _, Infiltrate::Eosinophils) => Some(7),
        (Pattern::Necrosis, _, _) => Some(8),
        _ => None,
    }
}

fn measure_shares() -> Shares {
    const N_PLAN: u64 = 2000;
    let mut shares = Shares::new();
    for subfield in Subfield::ALL {
        for tier in Tier::ALL {
            for seed in 0..N_PLAN {
                let facts = Specimen::draw(subfield, tier, &mut Draw::seed_from_u64(seed)).facts();
                for topic in Topic::of(subfield) {
                    if let Some(class_idx) = topic.class_of_facts(&facts, tier) {
                        let counts =
                            shares.entry((*topic, tier)).or_insert_with(|| vec![0.0; topic.classes().len()]);
                        counts[class_idx] += 1.0 / N_PLAN as f32;
                    }
                }
            }
        }
    }
    shares
}

/// Every fixed wording of the topics.
pub(crate) fn wordings() -> Vec<&'static str> {
    let mut words = Vec::new();
    for topic in Topic::ALL {
        words.extend(topic.questions());
        for class in topic.classes() {
            words.extend([class.name, class.hallmark]);
            words.extend(class.findings);
        }
    }
    words
}
