//! Classes that annotations may have, before a person makes others: names and colours as QuPath's.
//!
//! Held true by the test below.

use eosin_core::annotation::AnnotationClass;

/// Name and colour of the classes that a new installation offers, in the order of its list.
const CLASSES: [(&str, [u8; 3]); 9] = [
    ("Tumor", [200, 0, 0]),
    ("Stroma", [150, 200, 150]),
    ("Immune cells", [160, 90, 160]),
    ("Necrosis", [50, 50, 50]),
    ("Other", [255, 200, 0]),
    ("Region*", [0, 0, 180]),
    ("Ignore*", [180, 180, 180]),
    ("Positive", [250, 62, 62]),
    ("Negative", [112, 112, 225]),
];

/// Colour of an annotation that has neither one of its own nor a class.
pub const PLAIN_COLOR: [u8; 3] = [220, 40, 40];

/// The classes that a new installation offers.
pub fn default_classes() -> Vec<AnnotationClass> {
    CLASSES.iter().map(|(name, color)| AnnotationClass { name: (*name).to_owned(), color: *color }).collect()
}

/// A colour for a class whose file gives none: the known one, else one that follows from the name.
pub(crate) fn color_of_class(name: &str) -> [u8; 3] {
    if let Some((_, color)) = CLASSES.iter().find(|(known, _)| *known == name) {
        return *color;
    }
    // FNV-1a; the bytes land between dark and light, so that the outline shows on any tissue.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    [16, 32, 48].map(|shift| 40 + ((hash >> shift) as u8 % 176))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_known_or_follow_from_the_name() {
        assert_eq!(color_of_class("Tumor"), [200, 0, 0]);
        assert_eq!(color_of_class("Gland"), color_of_class("Gland"));
        assert_ne!(color_of_class("Gland"), color_of_class("Vessel"));
        assert_eq!(default_classes().len(), CLASSES.len());
    }
}
