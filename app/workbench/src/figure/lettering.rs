//! The few letters of a scale bar, as strokes: digits, the point, and the letters of its units.
//!
//! A font for a dozen signs would be a file to find or to carry; strokes are drawn by what draws annotations.
//! Letters stand in a box of height 1 with the base line at 1; `µ` and `p` reach below it. Held true by the
//! test below.

/// A part of a letter.
enum Stroke {
    /// Through points.
    Line(&'static [[f64; 2]]),
    /// Around a middle, from one angle to another in degrees; 0 is right, 90 is down.
    Arc { middle: [f64; 2], radii: [f64; 2], from: f64, to: f64 },
}

use Stroke::{Arc, Line};

const fn arc(middle: [f64; 2], radii: [f64; 2], from: f64, to: f64) -> Stroke {
    Arc { middle, radii, from, to }
}

/// Space between letters.
const GAP: f64 = 0.2;
/// Steps of an arc.
const N_STEP: u32 = 24;

/// Width and strokes of a letter; an unknown one is a space.
fn letter(symbol: char) -> (f64, &'static [Stroke]) {
    const ZERO: &[Stroke] = &[arc([0.3, 0.5], [0.28, 0.48], 0.0, 360.0)];
    const ONE: &[Stroke] = &[Line(&[[0.06, 0.24], [0.32, 0.02], [0.32, 1.0]])];
    const TWO: &[Stroke] =
        &[arc([0.3, 0.3], [0.27, 0.28], 190.0, 395.0), Line(&[[0.521, 0.461], [0.03, 1.0], [0.58, 1.0]])];
    const THREE: &[Stroke] =
        &[arc([0.28, 0.26], [0.25, 0.24], 205.0, 450.0), arc([0.28, 0.74], [0.29, 0.24], 270.0, 515.0)];
    const FOUR: &[Stroke] = &[Line(&[[0.44, 1.0], [0.44, 0.02], [0.02, 0.7], [0.6, 0.7]])];
    const FIVE: &[Stroke] =
        &[Line(&[[0.53, 0.02], [0.12, 0.02], [0.07, 0.454]]), arc([0.28, 0.67], [0.3, 0.31], 225.0, 505.0)];
    const SIX: &[Stroke] = &[
        arc([0.3, 0.68], [0.27, 0.3], 0.0, 360.0),
        Line(&[[0.46, 0.02], [0.27, 0.17], [0.12, 0.38], [0.03, 0.66]]),
    ];
    const SEVEN: &[Stroke] = &[Line(&[[0.03, 0.02], [0.58, 0.02], [0.2, 1.0]])];
    const EIGHT: &[Stroke] =
        &[arc([0.3, 0.26], [0.23, 0.24], 0.0, 360.0), arc([0.3, 0.74], [0.28, 0.24], 0.0, 360.0)];
    const NINE: &[Stroke] = &[
        arc([0.3, 0.32], [0.27, 0.3], 0.0, 360.0),
        Line(&[[0.57, 0.34], [0.48, 0.62], [0.33, 0.83], [0.14, 0.98]]),
    ];
    const POINT: &[Stroke] = &[Line(&[[0.06, 0.97], [0.06, 1.0]])];
    const MICRO: &[Stroke] = &[
        Line(&[[0.05, 0.36], [0.05, 1.3]]),
        arc([0.28, 0.74], [0.23, 0.26], 0.0, 180.0),
        Line(&[[0.51, 0.36], [0.51, 1.0]]),
    ];
    const EM: &[Stroke] = &[
        Line(&[[0.05, 0.36], [0.05, 1.0]]),
        arc([0.22, 0.56], [0.17, 0.2], 180.0, 360.0),
        Line(&[[0.39, 0.56], [0.39, 1.0]]),
        arc([0.56, 0.56], [0.17, 0.2], 180.0, 360.0),
        Line(&[[0.73, 0.56], [0.73, 1.0]]),
    ];
    const EN: &[Stroke] = &[
        Line(&[[0.05, 0.36], [0.05, 1.0]]),
        arc([0.27, 0.58], [0.22, 0.22], 180.0, 360.0),
        Line(&[[0.49, 0.58], [0.49, 1.0]]),
    ];
    const PE: &[Stroke] = &[Line(&[[0.05, 0.36], [0.05, 1.3]]), arc([0.29, 0.68], [0.24, 0.32], 0.0, 360.0)];
    const EX: &[Stroke] = &[Line(&[[0.04, 0.38], [0.44, 1.0]]), Line(&[[0.44, 0.38], [0.04, 1.0]])];
    match symbol {
        '0' => (0.6, ZERO),
        '1' => (0.4, ONE),
        '2' => (0.6, TWO),
        '3' => (0.6, THREE),
        '4' => (0.62, FOUR),
        '5' => (0.6, FIVE),
        '6' => (0.6, SIX),
        '7' => (0.6, SEVEN),
        '8' => (0.6, EIGHT),
        '9' => (0.6, NINE),
        '.' => (0.12, POINT),
        'µ' => (0.56, MICRO),
        'm' => (0.78, EM),
        'n' => (0.54, EN),
        'p' => (0.55, PE),
        'x' => (0.48, EX),
        _ => (0.16, &[]),
    }
}

/// Width of a text whose letters are 1 high.
pub(super) fn width(text: &str) -> f64 {
    let widths: f64 = text.chars().map(|symbol| letter(symbol).0 + GAP).sum();
    (widths - GAP).max(0.0)
}

/// The lines of a text from a top-left corner.
pub(super) fn write(text: &str, corner: [f64; 2], height_px: f64) -> Vec<Vec<[f64; 2]>> {
    let mut lines = Vec::new();
    let mut left = corner[0];
    for symbol in text.chars() {
        let (width, strokes) = letter(symbol);
        let place = |[x, y]: [f64; 2]| [left + x * height_px, corner[1] + y * height_px];
        for stroke in strokes {
            lines.push(match stroke {
                Line(points) => points.iter().map(|point| place(*point)).collect(),
                Arc { middle, radii, from, to } => (0..=N_STEP)
                    .map(|step| {
                        let angle = (from + (to - from) * f64::from(step) / f64::from(N_STEP)).to_radians();
                        place([middle[0] + radii[0] * angle.cos(), middle[1] + radii[1] * angle.sin()])
                    })
                    .collect(),
            });
        }
        left += (width + GAP) * height_px;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stay_in_their_boxes() {
        let every = "0123456789.µmnpx ";
        for symbol in every.chars() {
            let text = symbol.to_string();
            let lines = write(&text, [0.0, 0.0], 1.0);
            assert_eq!(lines.is_empty(), symbol == ' ', "{symbol}");
            for [x, y] in lines.into_iter().flatten() {
                assert!((-0.01..=width(&text) + 0.01).contains(&x), "{symbol}: {x}");
                assert!((0.0..=1.31).contains(&y), "{symbol}: {y}");
            }
        }
        assert!((width("20 µm") - (0.6 + 0.6 + 0.16 + 0.56 + 0.78 + 4.0 * GAP)).abs() < 1e-9);
        assert!(width("") == 0.0);
    }
}
