//! What can be asked of a phantom: topics, their classes, and how each class is told from the others.
//!
//! All medical wording lives in the tables of `topic/tables.rs`. A class has the name that stands as an option, the findings
//! that prove it, and a short hallmark whose absence rules it out. A topic that is not clear-cut in a
//! phantom has no class there and is not asked.

mod tables;

use serde::Serialize;

use super::truth::{Infiltrate, Localisation, MarkKind, Nuclei, Pattern, Stain, Truth};

/// Something to ask about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
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
    /// Where the brown label sits.
    Localisation,
    /// How strong the label is.
    Grade,
    /// How many glands there are.
    GlandCount,
    /// Which of four findings is present.
    Finding,
    /// Which diagnosis fits best.
    Diagnosis,
}

/// One possible answer of a topic.
#[derive(Clone, Copy, Debug)]
pub struct Class {
    /// The answer, as an option reads.
    pub name: &'static str,
    /// What is seen: sentences without a full stop, the first word capitalised.
    pub findings: &'static [&'static str],
    /// What is seen, in at most five words.
    pub draft: &'static str,
    /// What would have to be seen, as a noun phrase.
    pub hallmark: &'static str,
}

impl Topic {
    /// All topics.
    pub const ALL: [Self; 9] = [
        Self::Stain,
        Self::Pattern,
        Self::Nuclei,
        Self::Infiltrate,
        Self::Localisation,
        Self::Grade,
        Self::GlandCount,
        Self::Finding,
        Self::Diagnosis,
    ];

    /// The possible answers.
    pub fn classes(self) -> &'static [Class] {
        match self {
            Self::Stain => &tables::STAIN,
            Self::Pattern => &tables::PATTERN,
            Self::Nuclei => &tables::NUCLEI,
            Self::Infiltrate => &tables::INFILTRATE,
            Self::Localisation => &tables::LOCALISATION,
            Self::Grade => &tables::GRADE,
            Self::GlandCount => &tables::GLAND_COUNT,
            Self::Finding => &tables::FINDING,
            Self::Diagnosis => &tables::DIAGNOSIS,
        }
    }

    /// Wordings of the question.
    pub fn questions(self) -> &'static [&'static str] {
        match self {
            Self::Stain => &[
                "Which stain is this?",
                "Which stain was used?",
                "How was this section stained?",
                "What stain is shown?",
            ],
            Self::Pattern => &[
                "Which pattern is shown?",
                "What is the main architecture?",
                "Which tissue pattern is seen?",
                "What is the tissue architecture?",
            ],
            Self::Nuclei => &[
                "What do the nuclei look like?",
                "Which nuclei are seen?",
                "How are the nuclei best described?",
            ],
            Self::Infiltrate => &[
                "Which inflammatory cells are seen?",
                "Which inflammatory cell dominates?",
                "What is the main inflammatory cell?",
                "Which cells infiltrate the stroma?",
            ],
            Self::Localisation => &[
                "Where is the brown staining?",
                "Which staining pattern is shown?",
                "How is the marker localised?",
            ],
            Self::Grade => &[
                "What is the staining intensity?",
                "How strong is the staining?",
                "Which intensity grade fits?",
            ],
            Self::GlandCount => {
                &["How many glands are seen?", "How many glands are there?", "What is the number of glands?"]
            }
            Self::Finding => {
                &["Which finding is present?", "Which of these is seen?", "Which feature is present here?"]
            }
            Self::Diagnosis => &[
                "What is the best diagnosis?",
                "Which diagnosis fits best?",
                "What is the most likely diagnosis?",
                "What does this region show?",
            ],
        }
    }

    /// Which class the truth is; none where the topic is not clear-cut.
    pub fn class_of(self, truth: &Truth) -> Option<usize> {
        match self {
            Self::Stain => Some(match truth.stain {
                Stain::He => 0,
                Stain::Dab => 1,
                Stain::Pas => 2,
                Stain::Trichrome => 3,
            }),
            Self::Pattern => Some(match truth.pattern {
                Pattern::Glands => 0,
                Pattern::Sheet => 1,
                Pattern::Stroma => 2,
                Pattern::Necrosis => 3,
            }),
            // Inflammatory cells have nuclei of their own, which would make the question ambiguous.
            Self::Nuclei if truth.infiltrate != Infiltrate::None => None,
            Self::Nuclei => Some(match truth.nuclei {
                Nuclei::Regular => 0,
                Nuclei::Pleomorphic => 1,
                Nuclei::Spindle => 2,
                Nuclei::Pyknotic => 3,
            }),
            Self::Infiltrate => {
                let clear = inflammatory_count(truth) >= 8;
                match truth.infiltrate {
                    Infiltrate::None if truth.stain == Stain::He && truth.pattern == Pattern::Stroma => {
                        Some(0)
                    }
                    Infiltrate::Lymphocytes if clear => Some(1),
                    Infiltrate::PlasmaCells if clear => Some(2),
                    Infiltrate::Neutrophils if clear => Some(3),
                    Infiltrate::Eosinophils if clear => Some(4),
                    _ => None,
                }
            }
            Self::Localisation => truth.marker.map(|marker| match marker.localisation {
                Localisation::Negative => 0,
                Localisation::Nuclear => 1,
                Localisation::Membranous => 2,
                Localisation::Cytoplasmic => 3,
            }),
            Self::Grade => {
                let clear = |fraction: f32| fraction == 0.0 || fraction >= 0.7;
                truth
                    .marker
                    .filter(|marker| clear(marker.positive_fraction))
                    .map(|marker| marker.grade.into())
            }
            Self::GlandCount => match (truth.pattern, truth.count(MarkKind::Gland)) {
                (Pattern::Glands, 1) => Some(1),
                (Pattern::Glands, 2..=4) => Some(2),
                (Pattern::Glands, 6..) => Some(3),
                (Pattern::Sheet | Pattern::Stroma, 0) => Some(0),
                _ => None,
            },
            Self::Finding => findings_of(truth).first().copied(),
            Self::Diagnosis => diagnosis_of(truth),
        }
    }

    /// How often each class is true among phantoms of the training split; `balance` in the tests of
    /// `phantom.rs` measures it again.
    fn shares(self) -> &'static [f32] {
        match self {
            Self::Stain => &[0.54, 0.28, 0.09, 0.09],
            Self::Pattern => &[0.30, 0.36, 0.26, 0.08],
            Self::Nuclei => &[0.14, 0.48, 0.10, 0.08],
            Self::Infiltrate => &[0.041, 0.047, 0.047, 0.049, 0.047],
            Self::Localisation => &[0.077, 0.084, 0.076, 0.045],
            Self::Grade => &[0.077, 0.070, 0.046, 0.043],
            Self::GlandCount => &[0.62, 0.10, 0.10, 0.10],
            Self::Finding => &[0.087, 0.099, 0.104, 0.046, 0.045, 0.048, 0.046],
            Self::Diagnosis => &[0.062, 0.085, 0.099, 0.041, 0.038, 0.038, 0.043, 0.040, 0.080],
        }
    }

    /// The chance with which this topic should be asked of this truth, so that over many phantoms all its
    /// classes are asked about equally often; 0 where it is not clear-cut.
    pub fn fairness(self, truth: &Truth) -> f64 {
        let rarest = self.shares().iter().copied().fold(f32::MAX, f32::min);
        self.class_of(truth).map_or(0.0, |idx| f64::from(rarest / self.shares()[idx]))
    }

    /// Whether a class may stand beside the true one as a wrong option.
    pub fn is_distractor(self, class_idx: usize, truth: &Truth) -> bool {
        match self {
            Self::Finding => !findings_of(truth).contains(&class_idx),
            _ => self.class_of(truth) != Some(class_idx),
        }
    }
}

/// All classes of [`Topic::Finding`] that a picture shows, the one to ask about first.
fn findings_of(truth: &Truth) -> Vec<usize> {
    let mut found = Vec::new();
    if truth.stain != Stain::He {
        return found;
    }
    let at_least = |kind, n_least| truth.count(kind) >= n_least;
    if at_least(MarkKind::Mitosis, 2) {
        found.push(0);
    }
    if truth.necrosis_fraction > 0.2 {
        found.push(1);
    }
    for (kind, class_idx) in [
        (MarkKind::Lymphocyte, 3),
        (MarkKind::PlasmaCell, 4),
        (MarkKind::Neutrophil, 5),
        (MarkKind::Eosinophil, 6),
    ] {
        if at_least(kind, 8) {
            found.push(class_idx);
        }
    }
    if at_least(MarkKind::Gland, 1) {
        found.push(2);
    }
    found
}

pub(crate) fn inflammatory_count(truth: &Truth) -> usize {
    [MarkKind::Lymphocyte, MarkKind::PlasmaCell, MarkKind::Neutrophil, MarkKind::Eosinophil]
        .into_iter()
        .map(|kind| truth.count(kind))
        .sum()
}

fn diagnosis_of(truth: &Truth) -> Option<usize> {
    if truth.stain != Stain::He {
        return None;
    }
    match (truth.pattern, truth.nuclei, truth.infiltrate) {
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

/// Every fixed wording of the topics.
pub(crate) fn wordings() -> Vec<&'static str> {
    let mut words = Vec::new();
    for topic in Topic::ALL {
        words.extend(topic.questions());
        for class in topic.classes() {
            words.extend([class.name, class.draft, class.hallmark]);
            words.extend(class.findings);
        }
    }
    words
}
