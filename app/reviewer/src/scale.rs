//! Magnifications and typed scales as people read and write them; lengths are `eosin_workbench::Measure`'s.

use eosin_core::Mpp;
use eosin_workbench::Measure;

/// How large the slide is seen, in words; `screen_px` are those of the display per base pixel.
pub fn zoom_text(measure: &Measure, screen_px_per_base_px: f64) -> String {
    match measure.magnification(1.0 / screen_px_per_base_px) {
        Some(large) if large >= 9.95 => format!("{large:.0}×"),
        Some(middle) if middle >= 0.995 => format!("{middle:.1}×"),
        Some(small) => format!("{small:.2}×"),
        None => {
            let percent = screen_px_per_base_px * 100.0;
            if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
        }
    }
}

/// Scales to offer: their names and screen pixels per base pixel.
pub fn presets(measure: &Measure, base_px: [u32; 2]) -> Vec<(String, f64)> {
    let known = measure.presets(base_px);
    if known.is_empty() {
        return [16, 8, 4, 2, 1].map(|parts| (format!("1:{parts}"), 1.0 / f64::from(parts))).to_vec();
    }
    known.iter().map(|preset| (format!("{}×", preset.magnification), 1.0 / preset.downsample)).collect()
}

/// A typed scale, where it is one that a microscope can have.
pub fn parse_mpp(text: &str) -> Option<Mpp> {
    let text = text.trim().trim_end_matches("µm/px").trim().replace(',', ".");
    Mpp::new(text.parse().ok()?).ok()
}

/// A whole number with thin spaces between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(mpp: f64) -> Measure {
        Measure::with_mpp(Mpp::new(mpp).unwrap())
    }

    #[test]
    fn magnifications_are_those_of_a_microscope() {
        let check = |measure: Measure, screen: f64, expected: &str| {
            assert_eq!(zoom_text(&measure, screen), expected, "{measure:?} {screen}");
        };
        check(known(0.25), 1.0, "40×");
        check(known(0.5), 1.0, "20×");
        check(known(0.25), 0.031_25, "1.2×");
        check(known(0.25), 0.01, "0.40×");
        check(Measure::default(), 0.5, "50 %");
        check(Measure::default(), 0.0123, "1.2 %");
        let names = |measure: Measure| -> Vec<String> {
            presets(&measure, [1000, 1000]).into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(known(0.25)), ["1.25×", "2.5×", "5×", "10×", "20×", "40×"]);
        assert_eq!(names(Measure::default()), ["1:16", "1:8", "1:4", "1:2", "1:1"]);
    }

    #[test]
    fn typed_scales_are_those_of_a_microscope() {
        for (text, expected) in [
            ("0.25", Some(0.25)),
            (" 0,5 µm/px", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("nan", None),
            ("forty", None),
            ("", None),
        ] {
            assert_eq!(parse_mpp(text).map(Mpp::um_per_px), expected, "{text:?}");
        }
        assert_eq!(grouped(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!(grouped(12), "12");
    }
}
