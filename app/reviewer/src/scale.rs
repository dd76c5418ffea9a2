//! Scales as people read them: magnifications, scale bars, distances. Pure; held true by the tests below.

use eosin_core::Mpp;

/// Magnifications that are offered, as on a microscope's turret.
pub const PRESETS: [f64; 6] = [1.25, 2.5, 5.0, 10.0, 20.0, 40.0];

/// µm per pixel at which one calls a scan 1×: 0.25 µm are 40×.
const UM_PER_PX_AT_1X: f64 = 10.0;

/// What a base pixel measures, as far as it is known.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Calibration {
    /// µm per base pixel.
    pub mpp: Option<f64>,
    /// Objective of the scanner, where the file states it.
    pub objective: Option<f64>,
}

impl Calibration {
    /// Magnification at which a base pixel is a pixel of the screen.
    pub fn base_magnification(&self) -> Option<f64> {
        self.objective.or_else(|| Some(UM_PER_PX_AT_1X / self.mpp?))
    }

    /// How large the slide is seen, in words; `screen_px` are those of the display per base pixel.
    pub fn zoom_text(&self, screen_px_per_base_px: f64) -> String {
        match self.base_magnification() {
            Some(base) => {
                let magnification = base * screen_px_per_base_px;
                match magnification {
                    large if large >= 9.95 => format!("{large:.0}×"),
                    middle if middle >= 0.995 => format!("{middle:.1}×"),
                    small => format!("{small:.2}×"),
                }
            }
            None => {
                let percent = screen_px_per_base_px * 100.0;
                if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.1} %") }
            }
        }
    }

    /// Scales to offer: their names and screen pixels per base pixel.
    pub fn presets(&self) -> Vec<(String, f64)> {
        match self.base_magnification() {
            Some(base) => PRESETS
                .iter()
                .filter(|preset| **preset <= base * 1.05)
                .map(|preset| (format!("{preset}×"), preset / base))
                .collect(),
            None => [16, 8, 4, 2, 1].map(|parts| (format!("1:{parts}"), 1.0 / f64::from(parts))).to_vec(),
        }
    }

    /// A distance of so many base pixels, in words.
    pub fn distance_text(&self, base_px: f64) -> String {
        match self.mpp {
            Some(mpp) => micrometres(base_px * mpp),
            None => format!("{base_px:.0} px"),
        }
    }

    /// An area of so many square base pixels, in words.
    pub fn area_text(&self, base_px: f64) -> String {
        match self.mpp {
            Some(mpp) => {
                let um2 = base_px * mpp * mpp;
                if um2 >= 1e5 { format!("{:.3} mm²", um2 / 1e6) } else { format!("{um2:.0} µm²") }
            }
            None => format!("{base_px:.0} px²"),
        }
    }

    /// The longest round bar of at most `most_points`: its length in points and its words.
    pub fn bar(&self, points_per_base_px: f64, most_points: f64) -> (f64, String) {
        let unit_per_point = self.mpp.unwrap_or(1.0) / points_per_base_px;
        let most = most_points * unit_per_point;
        let power = 10_f64.powf(most.log10().floor());
        let length = [5.0, 2.0, 1.0].into_iter().map(|step| step * power).find(|length| *length <= most);
        let length = length.unwrap_or(power);
        let text = match self.mpp {
            Some(_) if length >= 1000.0 => format!("{} mm", length / 1000.0),
            Some(_) => format!("{} µm", tidy(length)),
            None => format!("{} px", tidy(length)),
        };
        (length / unit_per_point, text)
    }
}

/// A typed scale, where it is one that a microscope can have.
pub fn parse_mpp(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches("µm/px").trim().replace(',', ".");
    Mpp::new(text.parse().ok()?).ok().map(Mpp::um_per_px)
}

fn micrometres(um: f64) -> String {
    match um {
        far if far >= 1000.0 => format!("{:.2} mm", far / 1000.0),
        middle if middle >= 100.0 => format!("{middle:.0} µm"),
        near => format!("{near:.1} µm"),
    }
}

/// Without the dust of binary fractions.
fn tidy(length: f64) -> f64 {
    (length * 1e6).round() / 1e6
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

    fn known(mpp: f64) -> Calibration {
        Calibration { mpp: Some(mpp), objective: None }
    }

    #[test]
    fn magnifications_are_those_of_a_microscope() {
        let check = |calibration: Calibration, screen: f64, expected: &str| {
            assert_eq!(calibration.zoom_text(screen), expected, "{calibration:?} {screen}");
        };
        check(known(0.25), 1.0, "40×");
        check(known(0.5), 1.0, "20×");
        check(known(0.25), 0.031_25, "1.2×");
        check(known(0.25), 0.01, "0.40×");
        check(Calibration { mpp: Some(0.2528), objective: Some(40.0) }, 0.5, "20×");
        check(Calibration::default(), 0.5, "50 %");
        check(Calibration::default(), 0.0123, "1.2 %");
        let names = |calibration: Calibration| -> Vec<String> {
            calibration.presets().into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(known(0.25)), ["1.25×", "2.5×", "5×", "10×", "20×", "40×"]);
        assert_eq!(names(known(0.5)), ["1.25×", "2.5×", "5×", "10×", "20×"]);
        assert_eq!(names(Calibration::default()), ["1:16", "1:8", "1:4", "1:2", "1:1"]);
    }

    #[test]
    fn bars_are_round_and_fit() {
        let check = |calibration: Calibration, points: f64, expected: &str| {
            let (length, text) = calibration.bar(points, 160.0);
            assert_eq!(text, expected, "{points}");
            assert!(length <= 160.0 + 1e-9 && length > 160.0 / 2.6, "{length}");
        };
        check(known(0.25), 1.0, "20 µm");
        check(known(0.25), 0.01, "2 mm");
        check(known(0.25), 20.0, "2 µm");
        check(Calibration::default(), 1.0, "100 px");
        check(Calibration::default(), 0.004, "20000 px");
    }

    #[test]
    fn distances_and_typed_scales() {
        assert_eq!(known(0.25).distance_text(100.0), "25.0 µm");
        assert_eq!(known(0.25).distance_text(10_000.0), "2.50 mm");
        assert_eq!(Calibration::default().distance_text(123.4), "123 px");
        assert_eq!(known(0.25).area_text(1e6), "62500 µm²");
        for (text, expected) in [
            ("0.25", Some(0.25)),
            (" 0,5 µm/px", Some(0.5)),
            ("0", None),
            ("-1", None),
            ("nan", None),
            ("forty", None),
            ("", None),
        ] {
            assert_eq!(parse_mpp(text), expected, "{text:?}");
        }
        assert_eq!(grouped(1_234_567), "1\u{2009}234\u{2009}567");
        assert_eq!(grouped(12), "12");
    }
}
