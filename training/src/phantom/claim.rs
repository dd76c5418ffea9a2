//! Statements that hold for a phantom or do not: the stuff of yes-or-no questions.
//!
//! A claim is asked only where its answer is plain: where there is doubt it neither holds nor fails.

use super::truth::{Infiltrate, Localisation, MarkKind, Nuclei, Pattern, Stain, Truth};

/// A statement with its wordings.
pub struct Claim {
    /// Wordings of the question.
    pub questions: &'static [&'static str],
    /// What is seen where it holds: no full stop.
    pub when_true: &'static str,
    /// What is seen where it does not.
    pub when_false: &'static str,
    /// The same in at most five words.
    pub draft_true: &'static str,
    /// The same in at most five words.
    pub draft_false: &'static str,
    /// Share of truths, where it may be asked.
    share: f64,
    holds: fn(&Truth) -> Option<bool>,
}

impl Claim {
    /// Whether it holds; none where it may not be asked.
    pub fn holds(&self, truth: &Truth) -> Option<bool> {
        (self.holds)(truth)
    }

    /// The chance with which it should be asked, so that it is true as often as false.
    pub fn fairness(&self, truth: &Truth) -> f64 {
        let rarer = self.share.min(1.0 - self.share);
        match self.holds(truth) {
            None => 0.0,
            Some(true) => rarer / self.share,
            Some(false) => rarer / (1.0 - self.share),
        }
    }
}

fn he(truth: &Truth) -> bool {
    truth.stain == Stain::He
}

/// Cells of one kind: plainly there, plainly absent, or neither.
fn cells(truth: &Truth, kind: MarkKind, n_least: usize) -> Option<bool> {
    match truth.count(kind) {
        0 => Some(false),
        count if count >= n_least => Some(true),
        _ => None,
    }
}

fn inflamed(truth: &Truth, kind: MarkKind) -> Option<bool> {
    // Asking for plasma cells in a sheet of tumour is too easy to teach anything.
    (he(truth) && truth.infiltrate != Infiltrate::None).then_some(())?;
    cells(truth, kind, 8)
}

/// All claims.
pub const CLAIMS: [Claim; 15] = [
    Claim {
        questions: &["Are mitoses present?", "Are there mitoses?", "Do you see mitotic figures?"],
        when_true: "Dark chromosome plates lie in cleared cells",
        when_false: "No dark plates with a clear halo are seen",
        draft_true: "Dark plates, clear halo",
        draft_false: "No dark plates",
        share: 0.50,
        holds: |truth| {
            (he(truth) && truth.nuclei == Nuclei::Pleomorphic).then(|| cells(truth, MarkKind::Mitosis, 2))?
        },
    },
    Claim {
        questions: &["Is there necrosis?", "Is necrosis present?", "Do you see necrosis?"],
        when_true: "Granular debris with nuclear dust is seen",
        when_false: "No granular debris is seen and all cells are intact",
        draft_true: "Granular debris",
        draft_false: "No debris, intact cells",
        share: 0.22,
        holds: |truth| he(truth).then_some(truth.necrosis_fraction > 0.2),
    },
    Claim {
        questions: &["Are glands present?", "Are there glands?", "Do the cells form glands?"],
        when_true: "Rings of cells surround open lumina",
        when_false: "No ring of cells and no lumen is seen",
        draft_true: "Rings around lumina",
        draft_false: "No lumina",
        share: 0.30,
        holds: |truth| Some(truth.pattern == Pattern::Glands),
    },
    Claim {
        questions: &["Is the stroma inflamed?", "Is there inflammation?", "Are inflammatory cells present?"],
        when_true: "Many inflammatory cells lie in the stroma",
        when_false: "The stroma holds only spindle nuclei",
        draft_true: "Many inflammatory cells",
        draft_false: "Only spindle nuclei",
        share: 0.52,
        holds: |truth| {
            let has_stroma = matches!(truth.pattern, Pattern::Stroma | Pattern::Glands);
            let count = super::topic::inflammatory_count(truth);
            let clear = count == 0 || count >= 8;
            (he(truth) && has_stroma && clear).then_some(count > 0)
        },
    },
    Claim {
        questions: &["Are lymphocytes present?", "Are there lymphocytes?"],
        when_true: "Small round dark nuclei with scant cytoplasm are seen",
        when_false: "No small round dark cells are seen",
        draft_true: "Small dark round nuclei",
        draft_false: "No small dark cells",
        share: 0.25,
        holds: |truth| inflamed(truth, MarkKind::Lymphocyte),
    },
    Claim {
        questions: &["Are plasma cells present?", "Are there plasma cells?"],
        when_true: "Violet cells with eccentric nuclei are seen",
        when_false: "No violet cells with eccentric nuclei are seen",
        draft_true: "Eccentric nuclei",
        draft_false: "No eccentric nuclei",
        share: 0.25,
        holds: |truth| inflamed(truth, MarkKind::PlasmaCell),
    },
    Claim {
        questions: &["Are neutrophils present?", "Are there neutrophils?"],
        when_true: "Pale cells with lobed nuclei are seen",
        when_false: "No pale cells with lobed nuclei are seen",
        draft_true: "Lobed nuclei",
        draft_false: "No lobed nuclei",
        share: 0.25,
        holds: |truth| inflamed(truth, MarkKind::Neutrophil),
    },
    Claim {
        questions: &["Are eosinophils present?", "Are there eosinophils?"],
        when_true: "Cells with bright red granules are seen",
        when_false: "No cells with bright red granules are seen",
        draft_true: "Bright red granules",
        draft_false: "No red granules",
        share: 0.25,
        holds: |truth| inflamed(truth, MarkKind::Eosinophil),
    },
    Claim {
        questions: &["Is this immunohistochemistry?", "Is this a DAB stain?"],
        when_true: "The ground is pale with blue counterstain",
        when_false: "The tissue itself is coloured, not pale",
        draft_true: "Pale ground, blue counterstain",
        draft_false: "Tissue itself coloured",
        share: 0.28,
        holds: |truth| Some(truth.stain == Stain::Dab),
    },
    Claim {
        questions: &["Is this an H&E stain?", "Is this stained with haematoxylin and eosin?"],
        when_true: "Nuclei are blue and the tissue is pink",
        when_false: "The colours are not blue and pink",
        draft_true: "Blue nuclei, pink tissue",
        draft_false: "Other colours",
        share: 0.54,
        holds: |truth| Some(he(truth)),
    },
    Claim {
        questions: &["Do the cells form a solid sheet?", "Is the growth solid?"],
        when_true: "Cohesive cells fill the field without lumina",
        when_false: "No sheet of cohesive cells is seen",
        draft_true: "Cohesive cells, no lumina",
        draft_false: "No cohesive sheet",
        share: 0.36,
        holds: |truth| Some(truth.pattern == Pattern::Sheet),
    },
    Claim {
        questions: &["Is the marker positive?", "Is the staining positive?", "Are the cells positive?"],
        when_true: "A brown label is seen",
        when_false: "All cells stay blue without brown",
        draft_true: "Brown label",
        draft_false: "No brown",
        share: 0.73,
        holds: |truth| truth.marker.map(|marker| marker.localisation != Localisation::Negative),
    },
    Claim {
        questions: &["Are more than half of the cells positive?", "Do most cells stain?"],
        when_true: "Most cells are brown",
        when_false: "Only a few cells or none are brown",
        draft_true: "Most cells brown",
        draft_false: "Few cells brown",
        share: 0.56,
        holds: |truth| truth.marker.map(|marker| marker.positive_fraction > 0.5),
    },
    Claim {
        questions: &["Is the staining nuclear?", "Does the marker stain nuclei?"],
        when_true: "The brown label fills the nuclei",
        when_false: "The nuclei stay blue",
        draft_true: "Brown nuclei",
        draft_false: "Blue nuclei",
        share: 0.30,
        holds: |truth| truth.marker.map(|marker| marker.localisation == Localisation::Nuclear),
    },
    Claim {
        questions: &[
            "Are the nuclei pleomorphic?",
            "Is there nuclear pleomorphism?",
            "Is nuclear atypia present?",
        ],
        when_true: "Nuclei are large and vary in size and shape",
        when_false: "Nuclei are small and regular",
        draft_true: "Large, uneven nuclei",
        draft_false: "Small, even nuclei",
        share: 0.75,
        holds: |truth| {
            let is_epithelium = matches!(truth.pattern, Pattern::Glands | Pattern::Sheet);
            is_epithelium.then_some(truth.nuclei == Nuclei::Pleomorphic)
        },
    },
];
