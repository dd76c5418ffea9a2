//! What a phantom shows, known because it was drawn.
//!
//! Questions, captions and judges read only this, never pixels. Counts come from [`Mark`]s, which are
//! set where something was painted, so that a truth cannot claim what was not drawn.

use serde::{Deserialize, Serialize};

/// The five kinds of pathology pictures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subfield {
    /// Sections in H&E or a special stain.
    Histopathology,
    /// Sections with a brown immune label.
    Ihc,
    /// Cut surfaces of organs, seen by the naked eye.
    Gross,
    /// Smears of single cells.
    Cytology,
    /// Fluorescent probes in dark nuclei.
    Fish,
}

/// How hard a picture is to read, and how long its reasoning.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// One plain finding.
    Easy,
    /// Some confusers; the alternatives are ruled out.
    Medium,
    /// Weak, crowded or mixed; several findings are weighed.
    Hard,
}

/// Whether pictures look as those of training.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// The laboratory of training.
    In,
    /// Another one: paler, bluer, blurred, larger.
    Out,
}

impl Subfield {
    /// All subfields, in the order in which seeds go through them.
    pub const ALL: [Self; 5] = [Self::Histopathology, Self::Ihc, Self::Gross, Self::Cytology, Self::Fish];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Histopathology => "histopathology",
            Self::Ihc => "ihc",
            Self::Gross => "gross",
            Self::Cytology => "cytology",
            Self::Fish => "fish",
        }
    }
}

impl Tier {
    /// All tiers, easiest first.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Medium, Self::Hard];

    /// The name in files.
    pub fn name(self) -> &'static str {
        ["easy", "medium", "hard"][self as usize]
    }
}

impl Domain {
    /// The name in files.
    pub fn name(self) -> &'static str {
        ["in", "out"][self as usize]
    }
}

/// How the section was stained.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stain {
    /// Haematoxylin and eosin.
    He,
    /// Immunohistochemistry: brown DAB over blue haematoxylin.
    Dab,
    /// Periodic acid–Schiff: magenta.
    Pas,
    /// Masson's trichrome: blue collagen, red cytoplasm.
    Trichrome,
}

/// The leading architecture.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Rings of epithelium around lumina.
    Glands,
    /// A solid sheet of tumour cells.
    Sheet,
    /// Fibrous stroma.
    Stroma,
    /// Necrosis.
    Necrosis,
}

/// The leading kind of nuclei of the tissue itself, inflammatory cells aside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nuclei {
    /// Small, round, all alike.
    Regular,
    /// Large, of unlike size and shape.
    Pleomorphic,
    /// Thin spindles.
    Spindle,
    /// Shrunken fragments and ghosts.
    Pyknotic,
}

/// The inflammatory cell that clearly leads.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Infiltrate {
    /// No inflammatory cells at all.
    None,
    /// Lymphocytes.
    Lymphocytes,
    /// Plasma cells.
    PlasmaCells,
    /// Neutrophils.
    Neutrophils,
    /// Eosinophils.
    Eosinophils,
}

/// Where the brown label sits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Localisation {
    /// Nowhere.
    Negative,
    /// In nuclei.
    Nuclear,
    /// On cell borders.
    Membranous,
    /// In cytoplasm.
    Cytoplasmic,
}

/// An immunohistochemical result.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Marker {
    /// Where the label sits.
    pub localisation: Localisation,
    /// Intensity of the stained cells, 0 to 3 (`0`, `1+`, `2+`, `3+`).
    pub grade: u8,
    /// Share of tumour cells that are stained, 0 to 1.
    pub positive_fraction: f32,
}

/// A thing that was drawn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// A gland with its lumen.
    Gland,
    /// A dividing cell.
    Mitosis,
    /// A lymphocyte.
    Lymphocyte,
    /// A plasma cell.
    PlasmaCell,
    /// A neutrophil.
    Neutrophil,
    /// An eosinophil.
    Eosinophil,
    /// A nucleus of epithelium or tumour.
    EpithelialNucleus,
    /// A spindle nucleus of stroma.
    SpindleNucleus,
    /// A shrunken dead nucleus.
    PyknoticNucleus,
    /// A lesion of an organ, or one of several.
    Lesion,
    /// A cell of a smear.
    SmearCell,
    /// A red blood cell.
    RedCell,
    /// A nucleus with fluorescent probes.
    ProbedNucleus,
    /// A red signal.
    RedSignal,
    /// A green signal.
    GreenSignal,
    /// A red and a green signal that lie together.
    FusedSignal,
}

/// Where a thing was drawn.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Mark {
    /// What.
    pub kind: MarkKind,
    /// Its centre, in pixels from the upper left.
    pub centre_px: [f32; 2],
    /// About half its width.
    pub radius_px: f32,
}

/// An organ as its cut surface shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Organ {
    /// Smooth, with small vessels.
    Liver,
    /// A cortex around striped pyramids.
    Kidney,
    /// A sponge of fine holes.
    Lung,
    /// Lobules of fat between white strands.
    Breast,
    /// Parallel folds.
    Stomach,
}

/// What is wrong with an organ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lesion {
    /// One round nodule with a capsule.
    Nodule,
    /// A mass with spikes and without a border.
    Infiltrating,
    /// Several round nodules without capsules.
    Multiple,
    /// A hollow with a thin wall.
    Cyst,
    /// A ragged blotch of blood.
    Haemorrhage,
    /// A crater with a rolled edge.
    Ulcer,
}

/// What has become of a tumour.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Nothing.
    None,
    /// A crumbly pale centre.
    Necrosis,
    /// Spots of blood.
    Bleeding,
    /// A white star in the centre.
    Scar,
}

/// The cells of a smear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmearCells {
    /// Large polygons with tiny nuclei.
    Squamous,
    /// The same with a halo around a larger nucleus.
    Koilocytes,
    /// Small, nearly all nucleus.
    HighGrade,
    /// Eccentric nuclei with a nucleolus, and vacuoles.
    Glandular,
}

/// How the cells of a smear lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrangement {
    /// Apart.
    Single,
    /// Side by side.
    Sheet,
    /// Upon one another.
    Cluster,
}

/// What lies between the cells of a smear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Background {
    /// Nothing.
    Clean,
    /// Neutrophils.
    Inflammatory,
    /// Red cells.
    Bloody,
    /// Debris.
    Necrotic,
}

/// What the probes show in most nuclei.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signals {
    /// Two red, two green.
    Normal,
    /// Many red, two green.
    Amplified,
    /// Three or four of each.
    Polysomy,
    /// One red, two green.
    Deletion,
    /// One red, one green.
    Monosomy,
    /// One pair lies together and looks yellow.
    Fusion,
}

/// Facts of a section.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct TissueFacts {
    /// The stain.
    pub stain: Stain,
    /// The leading architecture: at least 60 % of the area.
    pub pattern: Pattern,
    /// The leading kind of nuclei.
    pub nuclei: Nuclei,
    /// The leading inflammatory cell.
    pub infiltrate: Infiltrate,
    /// Share of the area that is necrotic, 0 to 1.
    pub necrosis_fraction: f32,
    /// The immunohistochemical result, where the stain is one.
    pub marker: Option<Marker>,
}

/// Facts of a cut surface.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct GrossFacts {
    /// The organ.
    pub organ: Organ,
    /// The lesion.
    pub lesion: Lesion,
    /// What has become of it; `None` where the lesion is no tumour.
    pub change: Change,
    /// Radius of the lesion in thousandths of the picture's shorter side.
    pub lesion_permille: u32,
    /// Where its centre lies: column and row of three by three.
    pub place: [u8; 2],
    /// Whether a ruler lies beside it.
    pub ruler: bool,
}

/// Facts of a smear.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct CytologyFacts {
    /// The cells.
    pub cells: SmearCells,
    /// How they lie.
    pub arrangement: Arrangement,
    /// What lies between.
    pub background: Background,
    /// The dye.
    pub dye: SmearDye,
}

/// How a smear was stained.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmearDye {
    /// Papanicolaou.
    Papanicolaou,
    /// Giemsa.
    Giemsa,
}

/// Facts of a field of fluorescent nuclei.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct FishFacts {
    /// What the probes show in most nuclei.
    pub signals: Signals,
    /// Red signals of most nuclei, those in fused pairs too; the least where it varies.
    pub n_red: u8,
    /// Green signals of most nuclei, those in fused pairs too.
    pub n_green: u8,
    /// Whether the signals are dim.
    pub dim: bool,
}

/// What the picture shows, by subfield.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Facts {
    /// A section.
    Tissue(TissueFacts),
    /// A cut surface.
    Gross(GrossFacts),
    /// A smear.
    Cytology(CytologyFacts),
    /// Fluorescent nuclei.
    Fish(FishFacts),
}

/// What one phantom shows.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Truth {
    /// Kind of picture.
    pub subfield: Subfield,
    /// How hard it is to read.
    pub tier: Tier,
    /// What was drawn.
    pub facts: Facts,
    /// All that was drawn and can be counted.
    pub marks: Vec<Mark>,
}

impl Truth {
    /// How many of a kind lie with their centre in the picture.
    pub fn count(&self, kind: MarkKind) -> usize {
        self.marks.iter().filter(|mark| mark.kind == kind).count()
    }

    /// The facts of a section, where it is one.
    pub fn tissue(&self) -> Option<&TissueFacts> {
        match &self.facts {
            Facts::Tissue(facts) => Some(facts),
            _ => None,
        }
    }
}
