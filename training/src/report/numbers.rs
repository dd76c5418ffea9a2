//! Figures as people read them.

/// About three digits, without zeros that say nothing; very small and very large ones with a power of ten.
pub(super) fn compact(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "no number".into();
    }
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.1e}");
        return text.replace(".0e", "e").replace('-', "−");
    }
    let digits: usize = match size {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text =
        if size >= 10_000.0 { return count(value.round() as i64) } else { format!("{value:.digits$}") };
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    text.replace('-', "−")
}

/// Digits in groups of three, parted by narrow spaces.
pub(super) fn count(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut text = String::from(if value < 0 { "−" } else { "" });
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A large number for a tile: `830`, `1.2 M`.
pub(super) fn rounded(value: f64) -> String {
    match value {
        value if value >= 1e9 => format!("{:.1} G", value / 1e9),
        value if value >= 1e6 => format!("{:.1} M", value / 1e6),
        value if value >= 1e4 => format!("{:.0} k", value / 1e3),
        value => count(value as i64),
    }
}

/// A share as a percentage with one decimal, without its sign.
pub(super) fn percent(share: f64) -> String {
    format!("{:.1}", share * 100.0)
}

/// As tables state it.
pub(super) fn p_value(p: f64) -> String {
    if p < 0.001 { "< 0.001".into() } else { format!("{p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.1234, "0.123"),
            (2.0, "2"),
            (12.34, "12.3"),
            (-345.6, "−346"),
            (1e-6, "1e−6"),
            (2.5e-4, "2.5e−4"),
            (12_345.0, "12\u{202f}345"),
            (3.2e7, "3.2e7"),
            (f64::NAN, "no number"),
        ] {
            assert_eq!(compact(value), expected);
        }
        for (value, expected) in [(830.0, "830"), (45_600.0, "46 k"), (1.23e6, "1.2 M"), (4e9, "4.0 G")] {
            assert_eq!(rounded(value), expected);
        }
        assert_eq!(count(-1_234_567), "−1\u{202f}234\u{202f}567");
    }
}
