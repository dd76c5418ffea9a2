//! Rows of numbers that stand for pictures or texts, and what is done with them before comparing.

use burn::tensor::Tensor;

/// One row for each picture or text.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Features {
    d: usize,
    values: Vec<f32>,
}

impl Features {
    /// Rows of `d` numbers, one after another.
    ///
    /// # Panics
    /// If the values are not whole rows: they come from one model.
    pub fn new(d: usize, values: Vec<f32>) -> Self {
        assert!(d > 0 && values.len().is_multiple_of(d), "features are whole rows");
        Self { d, values }
    }

    /// The rows of a matrix, fetched from its device.
    pub fn of(rows: Tensor<2>) -> Self {
        let [_, d] = rows.dims();
        Self::new(d, rows.into_data().iter::<f32>().collect())
    }

    /// Rows.
    pub fn n_row(&self) -> usize {
        self.values.len().checked_div(self.d).unwrap_or(0)
    }

    /// Numbers in a row.
    pub fn d(&self) -> usize {
        self.d
    }

    /// One row.
    pub fn row(&self, idx: usize) -> &[f32] {
        &self.values[idx * self.d..(idx + 1) * self.d]
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.d.max(1))
    }

    /// Appends the rows of another model call.
    ///
    /// # Panics
    /// If they are of another width.
    pub fn extend(&mut self, more: Self) {
        assert!(self.d == 0 || self.d == more.d || more.d == 0, "features of one model");
        self.d = self.d.max(more.d);
        self.values.extend(more.values);
    }

    /// Some of the rows, in the order asked.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        Self { d: self.d, values: rows.iter().flat_map(|&row| self.row(row)).copied().collect() }
    }

    /// Every row brought to unit length; rows of zeros stay.
    #[must_use]
    pub fn normalised(&self) -> Self {
        let mut values = Vec::with_capacity(self.values.len());
        for row in self.rows() {
            let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            let length = if length > 0.0 { length } else { 1.0 };
            values.extend(row.iter().map(|value| (f64::from(*value) / length) as f32));
        }
        Self { d: self.d, values }
    }

    /// Products of every row with every row of `other`, row-major `[self, other]`.
    pub fn products(&self, other: &Self) -> Vec<f32> {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        self.rows().flat_map(|row| other.rows().map(move |column| dot(row, column))).collect()
    }
}
