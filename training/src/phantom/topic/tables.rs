//! The classes of every topic: names, findings, drafts and hallmarks.
//!
//! Medical wording and nothing else. Findings are sentences without a full stop; a draft has at most five
//! words, which `every_answer_keeps_the_contract` in `phantom/tests.rs` holds.

use super::Class;

const fn class(
    name: &'static str,
    findings: &'static [&'static str],
    draft: &'static str,
    hallmark: &'static str,
) -> Class {
    Class { name, findings, draft, hallmark }
}

pub(super) const STAIN: [Class; 4] = [
    class(
        "haematoxylin and eosin",
        &["Nuclei are blue and the tissue is pink", "Blue nuclei lie in pink tissue"],
        "Blue nuclei, pink tissue",
        "pink tissue",
    ),
    class(
        "DAB immunohistochemistry",
        &[
            "Blue nuclei lie on a pale ground with brown or no label",
            "The ground is pale, with blue counterstain and brown label or none",
        ],
        "Pale ground, blue counterstain",
        "a pale ground",
    ),
    class(
        "periodic acid-Schiff",
        &["Magenta marks the membranes and mucus", "Magenta tissue surrounds blue nuclei"],
        "Magenta tissue, blue nuclei",
        "magenta colour",
    ),
    class(
        "Masson trichrome",
        &["Collagen is blue and cytoplasm is red", "Blue fibres or red cytoplasm are seen"],
        "Blue collagen, red cytoplasm",
        "blue collagen",
    ),
];

pub(super) const PATTERN: [Class; 4] = [
    class(
        "glands",
        &["Rings of cells surround open lumina", "Epithelium forms rings with a lumen"],
        "Rings around lumina",
        "lumina",
    ),
    class(
        "solid sheet",
        &["Large cells lie side by side without lumina", "Cohesive cells fill the field without lumina"],
        "Cohesive cells, no lumina",
        "cohesive cells",
    ),
    class(
        "fibrous stroma",
        &["Wavy fibres run through the field", "Bundles of fibres fill the field"],
        "Wavy fibres",
        "bundles of fibres",
    ),
    class(
        "necrosis",
        &["Granular debris with nuclear dust fills the field", "Cells have faded to granular debris"],
        "Granular debris, nuclear dust",
        "granular debris",
    ),
];

pub(super) const NUCLEI: [Class; 4] = [
    class(
        "small and regular",
        &["Nuclei are small, oval and alike", "The nuclei are even in size and shape"],
        "Small, even nuclei",
        "even size",
    ),
    class(
        "large and pleomorphic",
        &["Nuclei are large and vary in size and shape", "The nuclei are big, uneven and have nucleoli"],
        "Large, uneven nuclei",
        "variation in size",
    ),
    class(
        "thin spindles",
        &["Nuclei are thin and lie along the fibres", "The nuclei are long and slender"],
        "Long, thin nuclei",
        "slender nuclei",
    ),
    class(
        "pyknotic fragments",
        &["Only dark shrunken fragments of nuclei remain", "The nuclei have shrunk to dark dust"],
        "Dark shrunken fragments",
        "nuclear dust",
    ),
];

pub(super) const INFILTRATE: [Class; 5] = [
    class(
        "none",
        &["Only spindle nuclei lie between the fibres", "The stroma holds no round cells"],
        "Only spindle nuclei",
        "an empty stroma",
    ),
    class(
        "lymphocytes",
        &[
            "Small round dark nuclei with scant cytoplasm lie in the stroma",
            "Many small dark round cells are seen",
        ],
        "Small dark round nuclei",
        "scant cytoplasm",
    ),
    class(
        "plasma cells",
        &[
            "Oval violet cells with eccentric nuclei lie in the stroma",
            "Many cells have an eccentric nucleus and violet cytoplasm",
        ],
        "Eccentric nuclei, violet cytoplasm",
        "eccentric nuclei",
    ),
    class(
        "neutrophils",
        &[
            "Pale cells with lobed nuclei lie in the stroma",
            "Many cells have three or four nuclear lobes and pale cytoplasm",
        ],
        "Lobed nuclei, pale cytoplasm",
        "lobed nuclei",
    ),
    class(
        "eosinophils",
        &[
            "Cells with bright red granules and two lobes lie in the stroma",
            "Many cells are filled with red granules",
        ],
        "Bright red granules",
        "red granules",
    ),
];

pub(super) const LOCALISATION: [Class; 4] = [
    class(
        "negative",
        &["All cells stay blue without brown", "No brown label is seen"],
        "No brown",
        "blue cells only",
    ),
    class(
        "nuclear",
        &["The brown label fills the nuclei", "Nuclei are brown and the cytoplasm is pale"],
        "Brown nuclei",
        "brown nuclei",
    ),
    class(
        "membranous",
        &["The brown label draws the cell borders", "Brown rings outline the cells"],
        "Brown cell borders",
        "brown borders",
    ),
    class(
        "cytoplasmic",
        &[
            "The brown label fills the cytoplasm around blue nuclei",
            "Cytoplasm is brown and nuclei stay blue",
        ],
        "Brown cytoplasm, blue nuclei",
        "brown cytoplasm",
    ),
];

pub(super) const GRADE: [Class; 4] = [
    class(
        "0",
        &["No brown label is seen", "All cells stay blue without brown"],
        "No brown",
        "blue cells only",
    ),
    class("1+", &["The label is pale brown", "Only weak, pale staining is seen"], "Pale brown", "pale brown"),
    class(
        "2+",
        &["The label is medium brown", "Moderate brown staining is seen"],
        "Medium brown",
        "medium brown",
    ),
    class("3+", &["The label is dark brown", "Strong, dark staining is seen"], "Dark brown", "dark brown"),
];

pub(super) const GLAND_COUNT: [Class; 4] = [
    class(
        "no gland",
        &["No ring of cells and no lumen is seen", "There is no lumen"],
        "No lumen",
        "no lumen",
    ),
    class(
        "one gland",
        &["A single ring with one lumen is seen", "There is one large lumen"],
        "One lumen",
        "one lumen",
    ),
    class(
        "two to four glands",
        &["A few rings with lumina are seen", "There are a few lumina"],
        "A few lumina",
        "a few lumina",
    ),
    class(
        "more than five glands",
        &["Many small rings with lumina are seen", "There are many small lumina"],
        "Many small lumina",
        "many lumina",
    ),
];

pub(super) const FINDING: [Class; 7] = [
    class(
        "mitoses",
        &["Dark chromosome plates lie in cleared cells", "Dividing cells show dark plates and a clear halo"],
        "Dark plates, clear halo",
        "chromosome plates",
    ),
    class(
        "necrosis",
        &["Granular debris with nuclear dust is seen", "A part has faded to granular debris"],
        "Granular debris, nuclear dust",
        "granular debris",
    ),
    class(
        "glands",
        &["Rings of cells surround open lumina", "Epithelium forms rings with a lumen"],
        "Rings around lumina",
        "lumina",
    ),
    class(
        "lymphocytes",
        &[
            "Small round dark nuclei with scant cytoplasm lie in the stroma",
            "Many small dark round cells are seen",
        ],
        "Small dark round nuclei",
        "scant cytoplasm",
    ),
    class(
        "plasma cells",
        &[
            "Oval violet cells with eccentric nuclei lie in the stroma",
            "Many cells have an eccentric nucleus and violet cytoplasm",
        ],
        "Eccentric nuclei, violet cytoplasm",
        "eccentric nuclei",
    ),
    class(
        "neutrophils",
        &[
            "Pale cells with lobed nuclei lie in the stroma",
            "Many cells have three or four nuclear lobes and pale cytoplasm",
        ],
        "Lobed nuclei, pale cytoplasm",
        "lobed nuclei",
    ),
    class(
        "eosinophils",
        &[
            "Cells with bright red granules and two lobes lie in the stroma",
            "Many cells are filled with red granules",
        ],
        "Bright red granules",
        "red granules",
    ),
];

pub(super) const DIAGNOSIS: [Class; 9] = [
    class(
        "benign glands",
        &["Rings of small regular nuclei surround open lumina", "The glands have even nuclei in one row"],
        "Lumina, small even nuclei",
        "even glands",
    ),
    class(
        "adenocarcinoma",
        &["Rings of large uneven nuclei surround open lumina", "The glands have crowded pleomorphic nuclei"],
        "Lumina, large uneven nuclei",
        "uneven glands",
    ),
    class(
        "solid carcinoma",
        &[
            "Cohesive large cells with pleomorphic nuclei form a sheet",
            "Large uneven cells fill the field without lumina",
        ],
        "Sheet, large uneven nuclei",
        "a sheet of cells",
    ),
    class(
        "fibrous scar",
        &["Wavy fibres with spindle nuclei fill the field", "Only fibres and spindle nuclei are seen"],
        "Fibres, spindle nuclei",
        "bare fibres",
    ),
    class(
        "chronic inflammation",
        &["Small round dark nuclei crowd the stroma", "The stroma is rich in lymphocytes"],
        "Stroma, many lymphocytes",
        "lymphocytes",
    ),
    class(
        "plasma cell inflammation",
        &["Oval violet cells with eccentric nuclei crowd the stroma", "The stroma is rich in plasma cells"],
        "Stroma, many plasma cells",
        "plasma cells",
    ),
    class(
        "acute inflammation",
        &["Pale cells with lobed nuclei crowd the stroma", "The stroma is rich in neutrophils"],
        "Stroma, many neutrophils",
        "neutrophils",
    ),
    class(
        "eosinophilic inflammation",
        &["Cells with bright red granules crowd the stroma", "The stroma is rich in eosinophils"],
        "Stroma, many eosinophils",
        "eosinophils",
    ),
    class(
        "tissue necrosis",
        &["Granular debris with nuclear dust fills the field", "Cells have faded to granular debris"],
        "Granular debris, nuclear dust",
        "granular debris",
    ),
];
