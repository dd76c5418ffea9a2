//! What a phantom shows, known because it was drawn.
//!
//! Questions, captions and judges read only this, never pixels. Counts come from [`Mark`]s, which are
//! set where something was painted, so that a truth cannot claim what was not drawn.

use serde::Serialize;

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

/// What one phantom shows.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Truth {
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
    /// All that was drawn and can be counted.
    pub marks: Vec<Mark>,
}

impl Truth {
    /// How many of a kind lie with their centre in the picture.
    pub fn count(&self, kind: MarkKind) -> usize {
        self.marks.iter().filter(|mark| mark.kind == kind).count()
    }
}
