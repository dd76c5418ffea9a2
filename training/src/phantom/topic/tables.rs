//! The classes of every topic: names, findings, hallmarks.
//!
//! Medical wording and nothing else. Findings are sentences without a full stop; a hallmark is a noun phrase of at
//! most five words which proves its class, and a name has at most four words; `every_answer_keeps_the_contract`
//! in `phantom/tests.rs` holds that. Words are shared between topics where they can be: the
//! demonstration's vocabulary is small.

use super::Class;

const fn class(name: &'static str, findings: &'static [&'static str], hallmark: &'static str) -> Class {
    Class { name, findings, hallmark }
}

pub(super) const STAIN: [Class; 3] = [
    class(
        "haematoxylin and eosin",
        &["Nuclei are blue and the tissue is pink", "Blue nuclei lie in pink tissue"],
        "pink tissue",
    ),
    class(
        "periodic acid-Schiff",
        &["Magenta marks the membranes and mucus", "Magenta tissue surrounds blue nuclei"],
        "magenta tissue",
    ),
    class(
        "Masson trichrome",
        &["Collagen is blue and cytoplasm is red", "Blue fibres or red cytoplasm are seen"],
        "blue collagen",
    ),
];

pub(super) const PATTERN: [Class; 4] = [
    class(
        "glands",
        &["Rings of cells surround open lumina", "The cells form rings with a lumen"],
        "open lumina",
    ),
    class(
        "solid sheet",
        &["Large cells lie side by side without lumina", "Cohesive cells fill the field without lumina"],
        "cohesive cells",
    ),
    class(
        "fibrous stroma",
        &["Wavy fibres run through the field", "Bundles of fibres fill the field"],
        "bundles of fibres",
    ),
    class(
        "necrosis",
        &["Granular debris with nuclear dust fills the field", "Cells have faded to granular debris"],
        "granular debris",
    ),
];

pub(super) const NUCLEI: [Class; 4] = [
    class(
        "small and regular",
        &["Nuclei are small, oval and alike", "The nuclei are even in size and shape"],
        "even nuclei",
    ),
    class(
        "large and pleomorphic",
        &["Nuclei are large and vary in size and shape", "The nuclei are large, uneven and have nucleoli"],
        "uneven nuclei",
    ),
    class(
        "thin spindles",
        &["Nuclei are thin and lie along the fibres", "The nuclei are long and thin"],
        "spindle nuclei",
    ),
    class(
        "pyknotic fragments",
        &["Only dark shrunken fragments of nuclei remain", "The nuclei have shrunk to dark dust"],
        "nuclear dust",
    ),
];

pub(super) const INFILTRATE: [Class; 5] = [
    class(
        "no inflammatory cells",
        &["Only spindle nuclei lie between the fibres", "The stroma holds no round cells"],
        "bare stroma",
    ),
    class(
        "lymphocytes",
        &["Small round dark nuclei lie in the stroma", "Many small dark round cells are seen"],
        "small dark round cells",
    ),
    class(
        "plasma cells",
        &[
            "Violet cells with eccentric nuclei lie in the stroma",
            "Many violet cells have an eccentric nucleus",
        ],
        "eccentric nuclei",
    ),
    class(
        "neutrophils",
        &["Pale cells with lobed nuclei lie in the stroma", "Many pale cells have three or four lobes"],
        "lobed nuclei",
    ),
    class(
        "eosinophils",
        &["Cells with red granules lie in the stroma", "Many cells are filled with red granules"],
        "red granules",
    ),
];

pub(super) const DIAGNOSIS: [Class; 9] = [
    class(
        "benign glands",
        &["Rings of small even nuclei surround open lumina", "The glands have even nuclei in one row"],
        "even glands",
    ),
    class(
        "adenocarcinoma",
        &["Rings of large uneven nuclei surround open lumina", "The glands have crowded uneven nuclei"],
        "uneven glands",
    ),
    class(
        "solid carcinoma",
        &[
            "Cohesive cells with large uneven nuclei form a sheet",
            "Large uneven cells fill the field without lumina",
        ],
        "a sheet of uneven cells",
    ),
    class(
        "fibrous scar",
        &["Wavy fibres with spindle nuclei fill the field", "Only fibres and spindle nuclei are seen"],
        "bare fibres",
    ),
    class(
        "chronic inflammation",
        &["Small dark round cells crowd the stroma", "The stroma is rich in lymphocytes"],
        "many lymphocytes",
    ),
    class(
        "plasma cell inflammation",
        &["Cells with eccentric nuclei crowd the stroma", "The stroma is rich in plasma cells"],
        "many plasma cells",
    ),
    class(
        "acute inflammation",
        &["Pale cells with lobed nuclei crowd the stroma", "The stroma is rich in neutrophils"],
        "many neutrophils",
    ),
    class(
        "eosinophilic inflammation",
        &["Cells with red granules crowd the stroma", "The stroma is rich in eosinophils"],
        "many eosinophils",
    ),
    class(
        "tissue necrosis",
        &["Granular debris with nuclear dust fills the field", "All cells have faded to granular debris"],
        "debris without cells",
    ),
];

pub(super) const LOCALISATION: [Class; 4] = [
    class("negative", &["All cells stay blue without brown", "No brown label is seen"], "a fully blue field"),
    class(
        "nuclear",
        &["The brown label fills the nuclei", "Nuclei are brown and the cytoplasm is pale"],
        "brown nuclei",
    ),
    class(
        "membranous",
        &["The brown label draws the cell borders", "Brown rings outline the cells"],
        "brown borders",
    ),
    class(
        "cytoplasmic",
        &[
            "The brown label fills the cytoplasm around blue nuclei",
            "Cytoplasm is brown and nuclei stay blue",
        ],
        "brown cytoplasm",
    ),
];

pub(super) const GRADE: [Class; 4] = [
    class(
        "no staining",
        &["All cells stay blue without brown", "No brown label is seen"],
        "a fully blue field",
    ),
    class("weak, 1+", &["The label is pale brown", "Only weak, pale staining is seen"], "a pale label"),
    class(
        "moderate, 2+",
        &["The label is medium brown", "Moderate brown staining is seen"],
        "a medium brown label",
    ),
    class("strong, 3+", &["The label is dark brown", "Strong, dark staining is seen"], "a dark label"),
];

pub(super) const EXTENT: [Class; 3] = [
    class("no cells", &["All cells stay blue without brown", "No brown label is seen"], "a fully blue field"),
    class(
        "few cells",
        &["Brown cells are scattered among blue cells", "Only some cells are brown"],
        "mostly blue cells",
    ),
    class("most cells", &["Nearly all cells are brown", "Hardly any cell stays blue"], "mostly brown cells"),
];

pub(super) const READING: [Class; 7] = [
    class(
        "negative reaction",
        &["All cells stay blue without brown", "No brown label is seen"],
        "a fully blue field",
    ),
    class(
        "diffuse nuclear reaction",
        &["Most nuclei are brown", "Nearly all cells have brown nuclei"],
        "most nuclei brown",
    ),
    class(
        "focal nuclear reaction",
        &["A few nuclei are brown", "Only some cells have brown nuclei"],
        "few nuclei brown",
    ),
    class(
        "diffuse membranous reaction",
        &["Most cell borders are brown", "Nearly all cells have brown borders"],
        "most borders brown",
    ),
    class(
        "focal membranous reaction",
        &["A few cell borders are brown", "Only some cells have brown borders"],
        "few borders brown",
    ),
    class(
        "diffuse cytoplasmic reaction",
        &["Most cells have brown cytoplasm", "Nearly all cytoplasm is brown"],
        "most cytoplasm brown",
    ),
    class(
        "focal cytoplasmic reaction",
        &["A few cells have brown cytoplasm", "Only some cytoplasm is brown"],
        "few cytoplasm brown",
    ),
];

pub(super) const ORGAN: [Class; 5] = [
    class(
        "liver",
        &["The cut surface is even with small vessels", "A smooth surface with few vessels is seen"],
        "smooth tissue with vessels",
    ),
    class(
        "kidney",
        &["A cortex surrounds dark striped pyramids", "Striped pyramids point to a pale sinus"],
        "striped pyramids",
    ),
    class(
        "lung",
        &["The cut surface is a sponge of fine holes", "Fine holes fill the tissue like a sponge"],
        "spongy tissue",
    ),
    class(
        "breast",
        &["White strands divide lobules of fat", "Lobules lie between white strands"],
        "lobules and strands",
    ),
    class(
        "stomach",
        &["Parallel folds run over the surface", "The surface has wavy parallel folds"],
        "parallel folds",
    ),
];

pub(super) const LESION: [Class; 6] = [
    class(
        "circumscribed nodule",
        &["One round nodule has a sharp border and a capsule", "A capsule surrounds one round mass"],
        "one mass with capsule",
    ),
    class(
        "infiltrating mass",
        &["A mass reaches into the tissue with spikes", "The border of the mass is irregular with spikes"],
        "an irregular spiky border",
    ),
    class(
        "multiple nodules",
        &["Several round nodules without capsule are scattered", "Scattered round nodules are seen"],
        "several round nodules",
    ),
    class(
        "cyst",
        &["A thin wall surrounds a smooth hollow", "A smooth hollow with a thin wall is seen"],
        "a hollow with thin wall",
    ),
    class(
        "haemorrhage",
        &[
            "Blood spreads between the tissue in blotches",
            "Blotches without border and drops of blood are seen",
        ],
        "blotches of blood",
    ),
    class(
        "ulcer",
        &["A crater with a raised edge is seen", "A raised edge surrounds a granular floor"],
        "a crater with raised edge",
    ),
];

pub(super) const CHANGE: [Class; 4] = [
    class(
        "uniform cut surface",
        &["The mass is uniform from border to centre", "The cut surface of the mass is even"],
        "an even mass",
    ),
    class(
        "central necrosis",
        &["The centre of the mass is crumbly and granular", "A crumbly area fills the centre"],
        "a crumbly centre",
    ),
    class(
        "focal bleeding",
        &["Dark red spots lie in the mass", "The mass has several spots of blood"],
        "spots of blood",
    ),
    class(
        "central scar",
        &["A star of thin strands marks the centre", "Thin strands meet in the centre of the mass"],
        "a star in the centre",
    ),
];

pub(super) const GROSS_DIAGNOSIS: [Class; 7] = [
    class(
        "benign tumour",
        &["The mass is round with a capsule", "One round mass has a sharp border"],
        "a sharp border",
    ),
    class(
        "carcinoma",
        &[
            "The mass reaches into the tissue without necrosis",
            "Spikes reach into the tissue and the centre is solid",
        ],
        "spikes without necrosis",
    ),
    class(
        "necrotic carcinoma",
        &[
            "The mass has spikes and a crumbly centre",
            "Spikes reach into the tissue and the centre is crumbly",
        ],
        "spikes with necrosis",
    ),
    class(
        "metastases",
        &["Several round nodules are scattered in the organ", "Scattered round nodules replace the tissue"],
        "scattered nodules",
    ),
    class(
        "simple cyst",
        &["A hollow with a thin smooth wall is seen", "A thin wall surrounds a smooth hollow"],
        "a smooth thin wall",
    ),
    class(
        "haematoma",
        &["Blood without a wall spreads in the tissue", "Blotches of blood lie in the tissue"],
        "blood without wall",
    ),
    class(
        "peptic ulcer",
        &["A crater breaks through the folds", "A crater with a raised edge lies among folds"],
        "a crater among folds",
    ),
];

pub(super) const CELLS: [Class; 4] = [
    class(
        "normal squamous cells",
        &["Large flat cells have tiny nuclei", "The cytoplasm is wide and the nuclei are tiny"],
        "tiny nuclei",
    ),
    class(
        "koilocytes",
        &["Clear halos surround large nuclei", "Large flat cells have a halo around the nucleus"],
        "clear halos",
    ),
    class(
        "high-grade squamous cells",
        &["Small cells are nearly all nucleus", "Dark nuclei leave little cytoplasm"],
        "little cytoplasm",
    ),
    class(
        "malignant glandular cells",
        &["Cells have eccentric nuclei with nucleoli and vacuoles", "Nucleoli and vacuoles mark the cells"],
        "nucleoli and vacuoles",
    ),
];

pub(super) const ARRANGEMENT: [Class; 3] = [
    class("single cells", &["The cells lie apart", "All cells are single"], "cells lying apart"),
    class("flat sheet", &["The cells lie side by side", "The cells form one flat layer"], "one flat layer"),
    class(
        "crowded cluster",
        &["The cells lie upon one another", "The cells overlap in a ball"],
        "overlapping cells",
    ),
];

pub(super) const BACKGROUND: [Class; 4] = [
    class(
        "clean background",
        &["Nothing lies between the cells", "The glass between the cells is clear"],
        "clear glass",
    ),
    class(
        "inflammatory background",
        &["Many neutrophils lie between the cells", "Lobed nuclei lie between the cells"],
        "many neutrophils",
    ),
    class(
        "bloody background",
        &["Many red cells lie between the cells", "Pale round discs of blood lie between the cells"],
        "many red cells",
    ),
    class(
        "necrotic background",
        &["Granular debris lies between the cells", "Debris and nuclear dust surround the cells"],
        "granular debris",
    ),
];

pub(super) const CYTOLOGY_DIAGNOSIS: [Class; 5] = [
    class(
        "negative for malignancy",
        &["Large flat cells with tiny nuclei are seen", "Only normal flat cells are seen"],
        "normal cells, few neutrophils",
    ),
    class(
        "reactive inflammation",
        &["Normal flat cells lie among many neutrophils", "Neutrophils surround cells with tiny nuclei"],
        "normal cells among neutrophils",
    ),
    class(
        "LSIL",
        &["Large flat cells have halos", "Halos surround large nuclei in wide cells"],
        "halos in wide cells",
    ),
    class(
        "HSIL",
        &["Small cells have dark nuclei and little cytoplasm", "Dark nuclei fill small cells"],
        "dark nuclei filling cells",
    ),
    class(
        "adenocarcinoma",
        &["Cells with nucleoli and vacuoles are seen", "Eccentric nuclei have one large nucleolus"],
        "one large nucleolus",
    ),
];

pub(super) const RED_COUNT: [Class; 4] = [
    class(
        "one red",
        &["Most nuclei hold one red signal", "One red signal lies in each nucleus"],
        "one red signal",
    ),
    class(
        "two red",
        &["Most nuclei hold two red signals", "Two red signals lie in each nucleus"],
        "two red signals",
    ),
    class(
        "three or four red",
        &["Most nuclei hold three or four red signals", "Three or four red signals lie in each nucleus"],
        "a few red signals",
    ),
    class(
        "seven or more red",
        &["Most nuclei hold many red signals", "Many red signals crowd each nucleus"],
        "many red signals",
    ),
];

pub(super) const GREEN_COUNT: [Class; 3] = [
    class(
        "one green",
        &["Most nuclei hold one green signal", "One green signal lies in each nucleus"],
        "one green signal",
    ),
    class(
        "two green",
        &["Most nuclei hold two green signals", "Two green signals lie in each nucleus"],
        "two green signals",
    ),
    class(
        "three or four green",
        &["Most nuclei hold three or four green signals", "Three or four green signals lie in each nucleus"],
        "a few green signals",
    ),
];

pub(super) const RATIO: [Class; 3] = [
    class(
        "below one",
        &["There are fewer red signals than green", "Green signals outnumber the red"],
        "fewer red than green",
    ),
    class(
        "about one",
        &["There are as many red signals as green", "Red and green signals are equal"],
        "as many red as green",
    ),
    class(
        "above two",
        &["There are far more red signals than green", "Red signals outnumber the green"],
        "far more red than green",
    ),
];

pub(super) const FISH_DIAGNOSIS: [Class; 6] = [
    class(
        "normal copy number",
        &[
            "Two red and two green signals lie apart in each nucleus",
            "Most nuclei hold two red and two green signals",
        ],
        "two red, two green",
    ),
    class(
        "gene amplification",
        &[
            "Many red signals but two green lie in each nucleus",
            "Most nuclei hold many red and two green signals",
        ],
        "many red, two green",
    ),
    class(
        "polysomy",
        &[
            "Three or four red and green signals lie in each nucleus",
            "Both signals are gained in most nuclei",
        ],
        "red and green gained",
    ),
    class(
        "gene deletion",
        &["One red and two green signals lie in each nucleus", "Most nuclei have lost one red signal"],
        "one red, two green",
    ),
    class(
        "monosomy",
        &[
            "One red and one green signal lie in each nucleus",
            "Most nuclei have lost one red and one green signal",
        ],
        "one red, one green",
    ),
    class(
        "gene fusion",
        &["A red and a green signal lie together and look yellow", "One yellow pair lies in each nucleus"],
        "one yellow pair",
    ),
];
