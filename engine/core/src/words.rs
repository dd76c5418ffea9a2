//! Figures in words, the same wherever people read them.

/// Two units at most.
///
/// ```
/// # use eosin_core::duration;
/// let words = [4.2, 30.0, 750.0, 3900.0, f64::NAN].map(duration);
/// assert_eq!(words, ["4.2 s", "30 s", "12 min 30 s", "1 h 05 min", "–"]);
/// ```
pub fn duration(secs: f64) -> String {
    if !secs.is_finite() || secs < 0.0 {
        return "–".to_owned();
    }
    let whole = secs.round() as u64;
    match whole {
        0..10 => format!("{secs:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_two_units_at_most() {
        for (secs, expected) in [
            (4.2, "4.2 s"),
            (4.21, "4.2 s"),
            (59.6, "1 min 00 s"),
            (750.0, "12 min 30 s"),
            (3900.0, "1 h 05 min"),
            (-1.0, "–"),
        ] {
            assert_eq!(duration(secs), expected);
        }
    }
}
