//! Changes the scale of pixels: area averaging downwards, Catmull-Rom upwards.
//!
//! Averaging is exact (each source pixel counts by the area it shares with the output pixel) and takes its
//! source in blocks, so that a thumbnail of a huge single-level slide needs little memory. Held true by the
//! unit tests below, which compare with a plain loop over all pairs of pixels.

use std::collections::BTreeMap;

use eosin_core::RgbTile;

/// Where output pixels lie among source pixels, per axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Source coordinate of the left edge of output pixel 0.
    pub(crate) start: f64,
    /// Source pixels per output pixel.
    pub(crate) step: f64,
    /// Output pixels.
    pub(crate) n_out: usize,
    /// Source pixels; what lies beyond is not counted.
    pub(crate) n_source: usize,
}

/// Which source pixels each output pixel covers, and how much of each.
struct Cover {
    /// First source pixel of each output pixel, ascending.
    first: Vec<usize>,
    /// Start of each output pixel's weights, and their end.
    starts: Vec<usize>,
    weights: Vec<f32>,
}

impl Cover {
    fn new(axis: Axis) -> Self {
        let (mut first, mut starts, mut weights) = (Vec::new(), vec![0], Vec::new());
        for out_idx in 0..axis.n_out {
            let left = axis.start + out_idx as f64 * axis.step;
            let right = left + axis.step;
            let from = (left.floor().max(0.0) as usize).min(axis.n_source);
            let to = (right.ceil().max(0.0) as usize).min(axis.n_source).max(from);
            first.push(from);
            weights.extend((from..to).map(|at| {
                let length = right.min((at + 1) as f64) - left.max(at as f64);
                length.max(0.0) as f32
            }));
            starts.push(weights.len());
        }
        Self { first, starts, weights }
    }

    /// Output pixels that may cover some of the source pixels `from..to`.
    fn touched(&self, from: usize, to: usize) -> std::ops::Range<usize> {
        let end_of = |out_idx: usize| self.first[out_idx] + self.starts[out_idx + 1] - self.starts[out_idx];
        let end = self.first.partition_point(|&first| first < to);
        let mut start = self.first.partition_point(|&first| first < from);
        // One before may reach into the span, or two where a sliver of the next begins.
        while start > 0 && end_of(start - 1) > from {
            start -= 1;
        }
        start..end.max(start)
    }

    /// The part of an output pixel's cover that lies in `from..to`: its first source pixel and its weights.
    fn within(&self, out_idx: usize, from: usize, to: usize) -> (usize, &[f32]) {
        let weights = &self.weights[self.starts[out_idx]..self.starts[out_idx + 1]];
        let first = self.first[out_idx];
        let skip = from.saturating_sub(first).min(weights.len());
        let end = to.saturating_sub(first).clamp(skip, weights.len());
        (first + skip, &weights[skip..end])
    }

    fn total(&self, out_idx: usize) -> f32 {
        self.weights[self.starts[out_idx]..self.starts[out_idx + 1]].iter().sum()
    }
}

/// Averages source pixels, given in blocks and in any order, into output pixels.
pub(crate) struct AreaSink {
    columns: Cover,
    rows: Cover,
    sums: Vec<f32>,
}

impl AreaSink {
    pub(crate) fn new(x: Axis, y: Axis) -> Self {
        Self { columns: Cover::new(x), rows: Cover::new(y), sums: vec![0.0; x.n_out * y.n_out * 3] }
    }

    /// Takes a block of source pixels whose corner lies at `origin` of the source.
    pub(crate) fn add(&mut self, origin: [usize; 2], block: &RgbTile) {
        let [width, height] = block.size_px().map(|side| side as usize);
        let [left, top] = origin;
        let n_column = self.columns.first.len();
        let mut line_sum = vec![0.0_f32; width * 3];
        for out_y in self.rows.touched(top, top + height) {
            // Downwards first: whole lines add up fast, and only one line an output row is left to reduce.
            let (first, weights) = self.rows.within(out_y, top, top + height);
            line_sum.fill(0.0);
            for (k, &weight) in weights.iter().enumerate() {
                let at = (first + k - top) * width * 3;
                for (sum, &value) in line_sum.iter_mut().zip(&block.pixels()[at..at + width * 3]) {
                    *sum += weight * f32::from(value);
                }
            }
            for out_x in self.columns.touched(left, left + width) {
                let (first, weights) = self.columns.within(out_x, left, left + width);
                let mut px_sum = [0.0_f32; 3];
                let px = line_sum[(first - left) * 3..].as_chunks::<3>().0;
                for (px, weight) in px.iter().zip(weights) {
                    for c in 0..3 {
                        px_sum[c] += weight * px[c];
                    }
                }
                let at = (out_y * n_column + out_x) * 3;
                for (sum, value) in self.sums[at..at + 3].iter_mut().zip(px_sum) {
                    *sum += value;
                }
            }
        }
    }

    /// The averages; white where no source pixel was given.
    ///
    /// # Shapes
    /// - returns: `n_out(y) × n_out(x) × 3` bytes
    pub(crate) fn finish(self) -> Vec<u8> {
        let n_column = self.columns.first.len();
        let widths: Vec<f32> = (0..n_column).map(|out_x| self.columns.total(out_x)).collect();
        let mut bytes = Vec::with_capacity(self.sums.len());
        for (y, line) in self.sums.chunks_exact((n_column * 3).max(1)).enumerate() {
            let row_height = self.rows.total(y);
            for (px, width) in line.as_chunks::<3>().0.iter().zip(&widths) {
                let area = row_height * width;
                bytes.extend(px.map(|sum| if area > 0.0 { (sum / area + 0.5) as u8 } else { 255 }));
            }
        }
        bytes
    }
}

/// Interpolates by the Catmull-Rom cubic (a = −0.5); beyond its edges the source repeats them.
///
/// # Shapes
/// - returns: `n_out(y) × n_out(x) × 3` bytes
pub(crate) fn interpolate(source: &RgbTile, x: Axis, y: Axis) -> Vec<u8> {
    let width = source.width_px() as usize;
    let columns: Vec<_> = (0..x.n_out).map(|idx| taps(x, idx)).collect();
    // A row of the source, stretched to the output's width.
    let stretch = |row: usize| -> Vec<f32> {
        let line = &source.pixels()[row * width * 3..(row + 1) * width * 3];
        let blend = |(at, weights): &([usize; 4], [f32; 4])| {
            [0, 1, 2].map(|c| (0..4).map(|k| weights[k] * f32::from(line[at[k] * 3 + c])).sum::<f32>())
        };
        columns.iter().flat_map(blend).collect()
    };
    // Rows are used by neighbouring outputs: the last few are kept, no more.
    let mut held: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    let mut bytes = Vec::with_capacity(x.n_out * y.n_out * 3);
    for idx in 0..y.n_out {
        let (at, weights) = taps(y, idx);
        held.retain(|&row, _| row >= at[0]);
        for row in at {
            held.entry(row).or_insert_with(|| stretch(row));
        }
        let [first, second, third, fourth] = at.map(|row| held[&row].as_slice());
        for i in 0..x.n_out * 3 {
            let value = weights[0] * first[i]
                + weights[1] * second[i]
                + weights[2] * third[i]
                + weights[3] * fourth[i];
            bytes.push((value + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    bytes
}

/// Four source pixels around the centre of an output pixel, and their weights (Keys 1981, a = −0.5).
fn taps(axis: Axis, out_idx: usize) -> ([usize; 4], [f32; 4]) {
    let centre = axis.start + (out_idx as f64 + 0.5) * axis.step - 0.5;
    let base = centre.floor();
    let t = centre - base;
    let last = axis.n_source as i64 - 1;
    let at = [-1, 0, 1, 2].map(|k| (base as i64 + k).clamp(0, last) as usize);
    let near = |d: f64| (1.5 * d - 2.5) * d * d + 1.0;
    let far = |d: f64| ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0;
    (at, [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)].map(|weight| weight as f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, height: usize) -> RgbTile {
        let pixels = (0..width * height * 3).map(|i| (i * i * 31 + i * 7) as u8).collect();
        RgbTile::new([width as u32, height as u32], pixels).unwrap()
    }

    /// Mean over all pairs of pixels, weighted by shared area.
    fn plain(source: &RgbTile, x: Axis, y: Axis) -> Vec<u8> {
        let share = |axis: Axis, out: usize, at: usize| {
            let left = axis.start + out as f64 * axis.step;
            (((at + 1) as f64).min(left + axis.step) - (at as f64).max(left)).max(0.0)
        };
        let mut bytes = Vec::new();
        for out_y in 0..y.n_out {
            for out_x in 0..x.n_out {
                for c in 0..3 {
                    let (mut sum, mut area) = (0.0, 0.0);
                    for at_y in 0..y.n_source {
                        for at_x in 0..x.n_source {
                            let weight = share(x, out_x, at_x) * share(y, out_y, at_y);
                            sum += weight * f64::from(source.pixels()[(at_y * x.n_source + at_x) * 3 + c]);
                            area += weight;
                        }
                    }
                    bytes.push((sum / area + 0.5) as u8);
                }
            }
        }
        bytes
    }

    #[test]
    fn blocks_average_as_the_whole_does() {
        for (start, step) in [(0.0, 2.0), (0.25, 1.3), (0.9, 3.7), (0.0, 1.0), (0.5, 0.97)] {
            let source = drawn(37, 23);
            let n_out = |n: usize| ((n as f64 - start) / step) as usize;
            let x = Axis { start, step, n_out: n_out(37), n_source: 37 };
            let y = Axis { start, step, n_out: n_out(23), n_source: 23 };
            let mut sink = AreaSink::new(x, y);
            for block_y in (0..23).step_by(8) {
                for block_x in (0..37).step_by(10) {
                    let (w, h) = (10.min(37 - block_x), 8.min(23 - block_y));
                    let rows = (block_y..block_y + h).flat_map(|row| {
                        source.pixels()[(row * 37 + block_x) * 3..(row * 37 + block_x + w) * 3].to_vec()
                    });
                    let block = RgbTile::new([w as u32, h as u32], rows.collect()).unwrap();
                    sink.add([block_x, block_y], &block);
                }
            }
            let (got, want) = (sink.finish(), plain(&source, x, y));
            assert_eq!(got.len(), want.len());
            let worst = got.iter().zip(&want).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(1), "start {start} step {step}: {worst:?}");
        }
    }

    #[test]
    fn interpolation_keeps_what_it_must() {
        let flat = RgbTile::new([5, 4], vec![90; 60]).unwrap();
        let x = Axis { start: 0.3, step: 0.4, n_out: 11, n_source: 5 };
        let y = Axis { start: 0.0, step: 0.5, n_out: 8, n_source: 4 };
        assert!(interpolate(&flat, x, y).iter().all(|&value| value == 90));
        let source = drawn(6, 5);
        let same = |n| Axis { start: 0.0, step: 1.0, n_out: n, n_source: n };
        assert_eq!(interpolate(&source, same(6), same(5)), source.pixels());
    }
}
