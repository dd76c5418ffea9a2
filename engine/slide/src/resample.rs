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

/// Shares of one source pixel in output pixels.
struct Shares {
    /// `(output index, length shared)`, grouped by source pixel.
    lengths: Vec<(u32, f32)>,
    /// Start of each source pixel's group.
    starts: Vec<usize>,
    /// Sum of the lengths per output pixel.
    totals: Vec<f32>,
}

impl Shares {
    fn new(axis: Axis) -> Self {
        let mut lengths = Vec::new();
        let mut starts = Vec::with_capacity(axis.n_source + 1);
        let mut totals = vec![0.0; axis.n_out];
        for source_idx in 0..axis.n_source {
            starts.push(lengths.len());
            let (left, right) = (source_idx as f64, (source_idx + 1) as f64);
            let first = ((left - axis.start) / axis.step).floor().max(0.0) as usize;
            for (out_idx, total) in totals.iter_mut().enumerate().skip(first) {
                let out_left = axis.start + out_idx as f64 * axis.step;
                if out_left >= right {
                    break;
                }
                let length = (right.min(out_left + axis.step) - left.max(out_left)) as f32;
                // Slivers from rounding would only cost time.
                if length > 1e-6 {
                    lengths.push((out_idx as u32, length));
                    *total += length;
                }
            }
        }
        starts.push(lengths.len());
        Self { lengths, starts, totals }
    }

    fn of(&self, source_idx: usize) -> &[(u32, f32)] {
        &self.lengths[self.starts[source_idx]..self.starts[source_idx + 1]]
    }
}

/// Averages source pixels, given in blocks and in any order, into output pixels.
pub(crate) struct AreaSink {
    columns: Shares,
    rows: Shares,
    sums: Vec<f32>,
    row: Vec<f32>,
}

impl AreaSink {
    pub(crate) fn new(x: Axis, y: Axis) -> Self {
        let (columns, rows) = (Shares::new(x), Shares::new(y));
        Self { columns, rows, sums: vec![0.0; x.n_out * y.n_out * 3], row: vec![0.0; x.n_out * 3] }
    }

    /// Takes a block of source pixels whose corner lies at `origin` of the source.
    pub(crate) fn add(&mut self, origin: [usize; 2], block: &RgbTile) {
        let width = block.width_px() as usize;
        let n_row = self.row.len();
        let spans = |shares: &[(u32, f32)]| shares.first().map(|share| share.0 as usize);
        // Output columns that this block touches: only these are cleared and added.
        let touched = (0..width).filter_map(|x| spans(self.columns.of(origin[0] + x)));
        let Some(first) = touched.min() else { return };
        let last = (0..width)
            .filter_map(|x| self.columns.of(origin[0] + x).last())
            .map(|share| share.0 as usize)
            .max()
            .unwrap_or(first);
        let range = first * 3..(last + 1) * 3;
        for (y, line) in block.pixels().chunks_exact(width * 3).enumerate() {
            let row_shares = self.rows.of(origin[1] + y);
            if row_shares.is_empty() {
                continue;
            }
            self.row[range.clone()].fill(0.0);
            for (x, px) in line.as_chunks::<3>().0.iter().enumerate() {
                for &(out_idx, length) in self.columns.of(origin[0] + x) {
                    let at = out_idx as usize * 3;
                    for (sum, &value) in self.row[at..at + 3].iter_mut().zip(px) {
                        *sum += length * f32::from(value);
                    }
                }
            }
            for &(out_idx, length) in row_shares {
                let at = out_idx as usize * n_row;
                let sums = &mut self.sums[at..at + n_row][range.clone()];
                for (sum, value) in sums.iter_mut().zip(&self.row[range.clone()]) {
                    *sum += length * value;
                }
            }
        }
    }

    /// The averages; white where no source pixel was given.
    ///
    /// # Shapes
    /// - returns: `n_out(y) × n_out(x) × 3` bytes
    pub(crate) fn finish(self) -> Vec<u8> {
        let n_column = self.columns.totals.len();
        let mut bytes = Vec::with_capacity(self.sums.len());
        for (y, line) in self.sums.chunks_exact((n_column * 3).max(1)).enumerate() {
            for (x, px) in line.as_chunks::<3>().0.iter().enumerate() {
                let area = self.rows.totals[y] * self.columns.totals[x];
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
