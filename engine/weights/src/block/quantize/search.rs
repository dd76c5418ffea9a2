//! The searches for a group's scale that ggml's reference quantisers make (SPEC of the blocks: weighted
//! least squares over a few candidate grids).
//!
//! For a fixed choice of integers the best scale (and minimum) is a linear least-squares problem; for a
//! fixed scale the best integers follow by rounding. So: try a handful of scales around the obvious one,
//! round, solve for scale and minimum, keep what has the least weighted error. `tests/blocks.rs` bounds
//! the errors that remain.

/// Magnitudes below this are nothing: their inverse would overflow.
pub(super) const NOTHING: f32 = 1e-15;

/// The nearest integer, ties to even, of a number below 2²² in magnitude; larger ones stay large, and are
/// clamped by the caller.
///
/// Adding 1.5 · 2²³ leaves no bits for a fraction, so that the addition itself rounds. The standard
/// `round_ties_even` is a call to the C library on processors without SSE 4.1, and the searches round some
/// twenty times for each element.
#[inline]
pub(super) fn nearest(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

/// Fits `x ≈ scale·q − min` with `q` from 0 to `max_q` and a minimum that is not negative.
///
/// Candidates spread the range over `max_q + first + 0.1·step` steps. Returns scale and minimum.
pub(super) fn affine<const N: usize>(
    x: &[f32; N],
    weights: &[f32; N],
    max_q: f32,
    first: f32,
    n_step: u32,
) -> (f32, f32) {
    let mut low = x.iter().copied().fold(0.0_f32, f32::min);
    let high = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Written so that values that are not numbers end here too.
    if high.partial_cmp(&low) != Some(std::cmp::Ordering::Greater) {
        return (0.0, -low);
    }
    let sum_w: f32 = weights.iter().sum();
    let sum_x: f32 = weights.iter().zip(x).map(|(w, x)| w * x).sum();
    let round = |inverse: f32, low: f32| x.map(|x| nearest(inverse * (x - low)).clamp(0.0, max_q));
    let error = |scale: f32, low: f32, q: &[f32; N]| {
        let terms = weights.iter().zip(x).zip(q).map(|((w, x), q)| {
            let off = scale * q + low - x;
            w * off * off
        });
        terms.sum::<f32>()
    };

    let inverse = max_q / (high - low);
    let mut scale = 1.0 / inverse;
    let mut least = error(scale, low, &round(inverse, low));
    for step in 0..=n_step {
        // As in ggml, later candidates spread from the best minimum so far.
        let q = round((max_q + first + 0.1 * step as f32) / (high - low), low);
        let (mut sum_q, mut power, mut moment) = (0.0, 0.0, 0.0);
        for ((w, x), q) in weights.iter().zip(x).zip(&q) {
            sum_q += w * q;
            power += w * q * q;
            moment += w * q * x;
        }
        let determinant = sum_w * power - sum_q * sum_q;
        if determinant <= 0.0 {
            continue;
        }
        let mut fitted =
            ((sum_w * moment - sum_x * sum_q) / determinant, (power * sum_x - sum_q * moment) / determinant);
        if fitted.1 > 0.0 {
            fitted = (moment / power, 0.0);
        }
        let fitted_error = error(fitted.0, fitted.1, &q);
        if fitted_error < least {
            (scale, low) = fitted;
            least = fitted_error;
        }
    }
    (scale, -low)
}

/// Fits `x ≈ scale·q` with `q` from `−max_q` to `max_q − 1`, weighted by `x²`. Returns the scale, which is
/// negative where the largest element is positive: the range reaches one further below zero.
pub(super) fn symmetric<const N: usize>(x: &[f32; N], max_q: f32) -> f32 {
    let largest = x.iter().fold(0.0_f32, |largest, x| if x.abs() > largest.abs() { *x } else { largest });
    if largest.abs() < NOTHING {
        return 0.0;
    }
    let sums = |inverse: f32| {
        let (mut moment, mut power) = (0.0, 0.0);
        for x in x {
            let q = nearest(inverse * x).clamp(-max_q, max_q - 1.0);
            let w = x * x;
            moment += w * x * q;
            power += w * q * q;
        }
        (moment, power)
    };
    let (moment, power) = sums(-max_q / largest);
    let mut scale = if power == 0.0 { 0.0 } else { moment / power };
    let mut best = scale * moment;
    for step in (-9..=9).filter(|step| *step != 0) {
        let (moment, power) = sums(-(max_q + 0.1 * step as f32) / largest);
        if power > 0.0 && moment * moment > best * power {
            scale = moment / power;
            best = scale * moment;
        }
    }
    scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rounds_as_the_standard_does() {
        for sixteenth in -10_000..10_000 {
            let x = sixteenth as f32 / 16.0;
            assert_eq!(nearest(x).to_bits(), (x.round_ties_even() + 0.0).to_bits(), "{x}");
        }
        for x in [1e9, -1e9, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(nearest(x).clamp(-128.0, 127.0).to_bits(), x.clamp(-128.0, 127.0).to_bits(), "{x}");
        }
        assert!(nearest(f32::NAN).is_nan());
    }
}
