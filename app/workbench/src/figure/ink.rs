//! Lines with soft edges: a pixel takes as much of the colour as lies within half a pixel of the line's edge.
//!
//! All lines of a drawing first make one mask, so that where they cross or join nothing is painted twice. Only the
//! part of the mask that was touched is looked at. Held true by the tests below.

use std::ops::Range;

/// A colour and how much of what is below it hides.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Paint {
    pub(super) color: [u8; 3],
    /// 0…1.
    pub(super) opacity: f32,
}

/// Draws into bands of a figure.
#[derive(Debug, Default)]
pub(super) struct Ink {
    width: usize,
    first_row: i64,
    n_row: usize,
    /// Cover of each pixel, 0…255; all zero between drawings.
    mask: Vec<u8>,
}

/// Columns and rows of the mask that a drawing touched; none as long as the end is no larger than the start.
struct Touched {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Ink {
    /// Chooses the band that is drawn into.
    pub(super) fn aim(&mut self, width_px: u32, rows: Range<u32>) {
        self.width = width_px as usize;
        self.first_row = i64::from(rows.start);
        self.n_row = rows.len();
        self.mask.clear();
        self.mask.resize(self.width * self.n_row, 0);
    }

    /// Draws lines of `radius_px` with round ends; a line of one point is a dot.
    pub(super) fn draw(&mut self, lines: &[Vec<[f64; 2]>], radius_px: f64, paint: Paint, band: &mut [u8]) {
        let mut touched = Touched { left: usize::MAX, right: 0, top: usize::MAX, bottom: 0 };
        for line in lines {
            match line.as_slice() {
                [] => {}
                [dot] => self.segment(*dot, *dot, radius_px, &mut touched),
                points => {
                    for pair in points.windows(2) {
                        self.segment(pair[0], pair[1], radius_px, &mut touched);
                    }
                }
            }
        }
        for row in touched.top..touched.bottom {
            let at = row * self.width;
            let span = at + touched.left..at + touched.right;
            let pixels = band[span.start * 3..span.end * 3].as_chunks_mut::<3>().0;
            for (cover, px) in self.mask[span].iter_mut().zip(pixels) {
                if *cover > 0 {
                    let share = paint.opacity * f32::from(*cover) / 255.0;
                    for (value, color) in px.iter_mut().zip(paint.color) {
                        let mixed = f32::from(*value) + (f32::from(color) - f32::from(*value)) * share;
                        *value = (mixed + 0.5) as u8;
                    }
                    *cover = 0;
                }
            }
        }
    }

    fn segment(&mut self, a: [f64; 2], b: [f64; 2], radius: f64, touched: &mut Touched) {
        let reach = radius + 0.5;
        let along = [b[0] - a[0], b[1] - a[1]];
        let length2 = along[0] * along[0] + along[1] * along[1];
        let first = ((a[1].min(b[1]) - reach).floor() as i64).max(self.first_row);
        let end = ((a[1].max(b[1]) + reach).ceil() as i64).min(self.first_row + self.n_row as i64);
        for y in first..end {
            let middle = y as f64 + 0.5;
            // The part of the line that can reach this row, and the columns that it can reach.
            let (from, to) = if along[1].abs() < 1e-9 {
                (0.0, 1.0)
            } else {
                let ends = [-reach, reach].map(|off| (middle + off - a[1]) / along[1]);
                (ends[0].min(ends[1]).max(0.0), ends[0].max(ends[1]).min(1.0))
            };
            if from > to {
                continue;
            }
            let ends = [from, to].map(|t| a[0] + t * along[0]);
            let left = (ends[0].min(ends[1]) - reach).floor().max(0.0) as usize;
            let right = ((ends[0].max(ends[1]) + reach).ceil().max(0.0) as usize).min(self.width);
            if left >= right {
                continue;
            }
            let row = (y - self.first_row) as usize;
            for x in left..right {
                let off = [x as f64 + 0.5 - a[0], middle - a[1]];
                let t = if length2 > 0.0 {
                    ((off[0] * along[0] + off[1] * along[1]) / length2).clamp(0.0, 1.0)
                } else {
                    0.0
                };
                let distance = (off[0] - t * along[0]).hypot(off[1] - t * along[1]);
                let cover = ((reach - distance).clamp(0.0, 1.0) * 255.0).round() as u8;
                let place = &mut self.mask[row * self.width + x];
                *place = (*place).max(cover);
            }
            touched.left = touched.left.min(left);
            touched.right = touched.right.max(right);
            touched.top = touched.top.min(row);
            touched.bottom = touched.bottom.max(row + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(lines: &[Vec<[f64; 2]>], radius: f64, rows: Range<u32>) -> Vec<u8> {
        let mut ink = Ink::default();
        ink.aim(40, rows.clone());
        let mut band = vec![255; 40 * rows.len() * 3];
        ink.draw(lines, radius, Paint { color: [0; 3], opacity: 1.0 }, &mut band);
        assert!(ink.mask.iter().all(|&cover| cover == 0), "the mask is clean again");
        band.chunks_exact(3).map(|px| px[0]).collect()
    }

    #[test]
    fn lines_have_the_area_that_they_should() {
        let check = |lines: &[Vec<[f64; 2]>], radius: f64, area: f64| {
            let got: f64 = drawn(lines, radius, 0..40).iter().map(|&v| 1.0 - f64::from(v) / 255.0).sum();
            assert!((got - area).abs() < area * 0.03 + 0.2, "{lines:?}: {got} for {area}");
        };
        let ends = |radius: f64| std::f64::consts::PI * radius * radius;
        check(&[vec![[20.0, 20.0]]], 6.0, ends(6.0));
        check(&[vec![[10.0, 20.0], [30.0, 20.0]]], 2.0, 80.0 + ends(2.0));
        check(&[vec![[10.0, 8.0], [30.0, 31.0]]], 1.5, 3.0 * 20.0_f64.hypot(23.0) + ends(1.5));
        check(&[vec![[20.3, 5.0], [20.3, 35.0]]], 0.5, 30.0 + ends(0.5));
        // A line drawn twice is one line.
        check(&[vec![[10.0, 20.0], [30.0, 20.0], [10.0, 20.0]]], 2.0, 80.0 + ends(2.0));
        // Half of it outside.
        check(&[vec![[0.0, -50.0], [0.0, 90.0]]], 3.0, 120.0);
    }

    #[test]
    fn bands_join_without_a_seam() {
        let lines = [vec![[3.0, 2.0], [37.5, 38.0], [5.0, 30.0]], vec![[30.0, 10.0]]];
        let whole = drawn(&lines, 2.7, 0..40);
        let parts: Vec<u8> =
            [0..7, 7..8, 8..40].into_iter().flat_map(|rows| drawn(&lines, 2.7, rows)).collect();
        assert_eq!(whole, parts);
    }

    #[test]
    fn far_and_odd_places_cost_nothing() {
        let far = [vec![[-1e12, 5.0], [1e12, 5.0]], vec![[f64::NAN, 1.0], [2.0, 2.0]], vec![[1e300, 1e300]]];
        assert_eq!(drawn(&far[..1], 1.0, 0..40)[5 * 40 + 20], 0);
        drawn(&far[1..], 1.0, 0..40);
    }
}
