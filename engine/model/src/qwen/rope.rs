//! Rotary positions: two axes in the vision tower, three (M-RoPE) in the text decoder.
//!
//! Both rotate pairs (j, j + half) of a head's channels by position × frequency (Su et al. 2021, equation
//! 34, in the "rotate half" layout of the released checkpoints). Both assign an axis to each frequency in a
//! way that is the same for both members of a pair, so one table of half a head's width serves both.
//! Held true by the tests below and `tests/parity_qwen.rs`.

use burn::tensor::{Device, Tensor, TensorData};
use eosin_core::PatchGrid;
use eosin_kernels::fused::{self, Angles};

use super::config::{TextConfig, VisionConfig};

/// Cosine and sine of every angle, `[.., half]`, broadcast over heads.
#[derive(Clone, Debug)]
pub struct Rotation<const D: usize> {
    cos: Tensor<D>,
    sin: Tensor<D>,
    /// The same, row by row, for the processor.
    angles: Angles,
}

impl<const D: usize> Rotation<D> {
    fn new(angles: &[f32], shape: [usize; D], device: &Device) -> Self {
        let cos: Vec<f32> = angles.iter().map(|angle| angle.cos()).collect();
        let sin: Vec<f32> = angles.iter().map(|angle| angle.sin()).collect();
        let angles = Angles { cos: cos.as_slice().into(), sin: sin.as_slice().into() };
        let table = |values: Vec<f32>| Tensor::from_data(TensorData::new(values, shape), device);
        Self { cos: table(cos), sin: table(sin), angles }
    }

    /// Rotates rows on the processor, and without gradients on a GPU; gives `x` back elsewhere.
    ///
    /// # Shapes
    /// - `x`: `[rows, h, 2 × half]`, a row for each of the table
    /// - returns: the same
    ///
    /// # Errors
    /// `x` itself, for [`Self::apply`].
    #[expect(clippy::result_large_err, reason = "the tensor itself comes back")]
    pub fn apply_rows(&self, x: Tensor<3>) -> Result<Tensor<3>, Tensor<3>> {
        if fused::trains(&x) {
            return Ok(fused::rotate(x, self.angles.clone()));
        }
        if !fused::takes(&x) {
            return Err(x);
        }
        let dims = self.cos.dims();
        let shape = [dims[..D - 1].iter().product(), dims[D - 1]];
        Ok(fused::rotate_by(x, [self.cos.clone().reshape(shape), self.sin.clone().reshape(shape)]))
    }

    /// Rotates the last axis.
    ///
    /// # Shapes
    /// - `x`: `[.., 2 × half]`, the other axes equal to those of the table or broadcast against them
    /// - returns: the same
    pub fn apply(&self, x: Tensor<D>) -> Tensor<D> {
        let half = self.cos.dims()[D - 1];
        let (a, b) = (x.clone().narrow(D - 1, 0, half), x.narrow(D - 1, half, half));
        let (cos, sin) = (self.cos.clone(), self.sin.clone());
        let rotated_a = a.clone() * cos.clone() - b.clone() * sin.clone();
        let rotated_b = b * cos + a * sin;
        Tensor::cat(vec![rotated_a, rotated_b], D - 1)
    }
}

/// θ^(−2j/d) for j = 0 … d/2 − 1.
fn frequencies(theta: f64, d: usize) -> Vec<f32> {
    (0..d / 2).map(|j| (1.0 / theta.powf(2.0 * j as f64 / d as f64)) as f32).collect()
}

/// Row and column of every patch, in the order in which `prepare` lays patches: cell by cell, each cell
/// row by row.
pub fn patch_positions(grid: &PatchGrid) -> Vec<[u32; 2]> {
    let merge = grid.merge();
    let [cell_rows, cell_columns] = grid.merged_rows_columns();
    let mut positions = Vec::with_capacity(grid.n_patch());
    for cell_row in 0..cell_rows {
        for cell_column in 0..cell_columns {
            for row in 0..merge {
                for column in 0..merge {
                    positions.push([(cell_row * merge + row) as u32, (cell_column * merge + column) as u32]);
                }
            }
        }
    }
    positions
}

/// The rotation of patches: the first half of the frequencies turns with the row, the second with the
/// column; base 10 000.
///
/// # Shapes
/// - `positions`: `p` rows and columns
/// - returns: tables of `[p, 1, d_head / 2]`
pub fn vision_rotation(positions: &[[u32; 2]], config: &VisionConfig, device: &Device) -> Rotation<3> {
    let half = config.d_head() / 2;
    let frequencies = frequencies(10_000.0, half);
    let mut angles = Vec::with_capacity(positions.len() * half);
    for position in positions {
        for axis in position {
            angles.extend(frequencies.iter().map(|frequency| *axis as f32 * frequency));
        }
    }
    Rotation::new(&angles, [positions.len(), 1, half], device)
}

/// Where each token of one sequence stands on the temporal, row and column axis.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Positions {
    /// `[3][t]`.
    pub axes: [Vec<u32>; 3],
    /// The first free position after the last token.
    pub next: u32,
}

impl Positions {
    /// Positions of `n_token` words that start at `start`.
    pub fn text(start: u32, n_token: usize) -> Self {
        let mut positions = Self { next: start, ..Self::default() };
        positions.push_text(n_token);
        positions
    }

    /// Number of tokens.
    pub fn n_token(&self) -> usize {
        self.axes[0].len()
    }

    /// Next position minus number of tokens: what the reference calls `rope_delta`.
    pub fn delta(&self) -> i64 {
        i64::from(self.next) - self.n_token() as i64
    }

    /// Appends words: all axes advance together.
    pub fn push_text(&mut self, n_token: usize) {
        for axis in &mut self.axes {
            axis.extend((0..n_token).map(|i| self.next + i as u32));
        }
        self.next += n_token as u32;
    }

    /// Appends a still picture of merged `rows` × `columns`: time stands, the other axes count from the
    /// next position; what follows starts after the largest.
    pub fn push_image(&mut self, [rows, columns]: [usize; 2]) {
        for row in 0..rows {
            for column in 0..columns {
                self.axes[0].push(self.next);
                self.axes[1].push(self.next + row as u32);
                self.axes[2].push(self.next + column as u32);
            }
        }
        self.next += rows.max(columns) as u32;
    }

    /// The tokens from `start` on, as needed when the first `start` are cached.
    #[must_use]
    pub fn tail(&self, start: usize) -> Self {
        Self { axes: self.axes.clone().map(|axis| axis[start..].to_vec()), next: self.next }
    }

    /// The first `n_token` tokens.
    #[must_use]
    pub fn head(&self, n_token: usize) -> Self {
        Self { axes: self.axes.clone().map(|axis| axis[..n_token].to_vec()), next: self.next }
    }

    /// The sequence lengthened to `n_token` by padding, whose positions mean nothing.
    #[must_use]
    pub fn padded(&self, n_token: usize) -> Self {
        let mut padded = self.clone();
        padded.push_text(n_token.saturating_sub(self.n_token()));
        padded
    }

    /// Several sequences one after another, each with its own positions (packing).
    pub fn packed<'a>(sequences: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut packed = Self::default();
        for sequence in sequences {
            for (axis, more) in packed.axes.iter_mut().zip(&sequence.axes) {
                axis.extend(more);
            }
            packed.next = sequence.next;
        }
        packed
    }
}

/// The rotation of text tokens: frequency j turns with the axis whose section holds j.
///
/// # Shapes
/// - `positions`: `b` sequences of `t` tokens
/// - returns: tables of `[b, 1, t, d_head / 2]`
pub fn text_rotation(positions: &[Positions], config: &TextConfig, device: &Device) -> Rotation<4> {
    let half = config.d_head / 2;
    let n_token = positions.first().map_or(0, Positions::n_token);
    let frequencies = frequencies(config.rope_theta, config.d_head);
    let axis_of: Vec<usize> =
        config.mrope_section.iter().enumerate().flat_map(|(axis, n)| std::iter::repeat_n(axis, *n)).collect();
    let mut angles = Vec::with_capacity(positions.len() * n_token * half);
    for sequence in positions {
        assert_eq!(sequence.n_token(), n_token, "sequences of a batch have one length");
        for token_idx in 0..n_token {
            let angle =
                |(frequency, axis): (&f32, &usize)| sequence.axes[*axis][token_idx] as f32 * frequency;
            angles.extend(frequencies.iter().zip(&axis_of).map(angle));
        }
    }
    Rotation::new(&angles, [positions.len(), 1, n_token, half], device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_advances_by_its_longer_side() {
        let mut positions = Positions::text(0, 3);
        positions.push_image([2, 3]);
        positions.push_text(1);
        assert_eq!(positions.axes[0], [0, 1, 2, 3, 3, 3, 3, 3, 3, 6]);
        assert_eq!(positions.axes[1], [0, 1, 2, 3, 3, 3, 4, 4, 4, 6]);
        assert_eq!(positions.axes[2], [0, 1, 2, 3, 4, 5, 3, 4, 5, 6]);
        assert_eq!(positions.delta(), -3);
        assert_eq!(positions.tail(8).axes, [vec![3, 6], vec![4, 6], vec![5, 6]]);
        assert_eq!((positions.padded(12).n_token(), positions.padded(4).n_token()), (12, 10));
    }

    #[test]
    fn patches_are_listed_cell_by_cell() {
        let grid = PatchGrid::new([56, 28], 14, 2).unwrap();
        let expected = [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]];
        assert_eq!(patch_positions(&grid), expected);
    }
}
