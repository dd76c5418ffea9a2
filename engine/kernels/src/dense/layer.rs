//! The blocks of a transformer in the pre-norm form as one operation: `x += attention(norm(x)); x += mlp(norm(x))`.
//!
//! Between two products everything is one pass over memory that is kept from block to block and from call to call.
//! Query, key and value are one product. Of the last block only the rows that will be read are computed: a tower is
//! read off at one position, whose query sees all keys, and nothing else of that block reaches the result.

use super::attention::{Attention, Places, Seen};
use super::math;
use super::product::{Panels, Product};
use super::rows::Rows;
use super::tile::{Before, Then};
use crate::path::CpuPath;

/// Rows that a thread brings to mean zero and variance one at once.
const N_TOGETHER: usize = 16;

/// The nonlinearity of an MLP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// x · Φ(x).
    Gelu,
    /// x · σ(1.702 x).
    QuickGelu,
}

/// Rows to mean zero and variance one, times a gain, plus a bias.
#[derive(Clone, Debug)]
pub struct Norm {
    /// A number a column.
    pub gain: Vec<f32>,
    /// A number a column.
    pub bias: Vec<f32>,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Norm {
    /// Normalises every row.
    pub fn apply(&self, x: &Rows, out: &mut Rows) {
        out.reshape(x.n_row(), x.width());
        out.for_each_row(N_TOGETHER, |row, to| {
            math::layer_norm(x.row(row), &self.gain, &self.bias, self.epsilon, to);
        });
    }
}

/// A block.
#[derive(Debug)]
pub struct Layer {
    /// Before attention.
    pub norm1: Norm,
    /// Query, key and value, one below the other: `[3 d, d]`.
    pub query_key_value: Panels,
    /// `[d, d]`.
    pub out: Panels,
    /// Before the MLP.
    pub norm2: Norm,
    /// `[d_mlp, d]`.
    pub fc1: Panels,
    /// `[d, d_mlp]`.
    pub fc2: Panels,
    /// Heads, which divide the width.
    pub n_head: usize,
    /// Between the MLP's matrices.
    pub activation: Activation,
}

/// Memory that blocks work in.
#[derive(Debug, Default)]
pub struct Workspace {
    normed: Rows,
    query: Rows,
    query_key_value: Rows,
    mixed: Rows,
    hidden: Rows,
    pairs: Rows,
    kept: Rows,
}

impl Panels {
    /// x · Wᵀ + b.
    ///
    /// # Shapes
    /// - `x`: `[m, in]`
    /// - `out`: `[m, out]`
    ///
    /// # Panics
    /// Where `x` has another width.
    pub fn linear(&self, x: &Rows, out: &mut Rows, workspace: &mut Workspace) {
        out.reshape(x.n_row(), self.shape()[0]);
        self.multiply(Product::new(x, out), &mut workspace.pairs);
    }
}

/// Runs samples through blocks and keeps one row of each.
///
/// # Shapes
/// - `x`: `[n_sample · t, d]`, taken as working memory
/// - `read`: for every sample the position that will be read
/// - `out`: `[n_sample, d]`
///
/// # Panics
/// Where shapes disagree.
pub fn run(
    layers: &[Layer],
    x: &mut Rows,
    read: &[usize],
    seen: Seen,
    out: &mut Rows,
    workspace: &mut Workspace,
) {
    let n_sample = read.len();
    assert!(n_sample > 0 && x.n_row().is_multiple_of(n_sample), "as many rows a sample");
    let n_position = x.n_row() / n_sample;
    assert!(read.iter().all(|place| *place < n_position), "positions of the sample");
    let Some((last, before)) = layers.split_last() else {
        return select(x, read, out);
    };
    for layer in before {
        layer.forward(x, n_sample, seen, workspace);
    }
    last.forward_read(x, read, seen, out, workspace);
}

/// The rows that are read, one a sample.
fn select(x: &Rows, read: &[usize], out: &mut Rows) {
    out.reshape(read.len(), x.width());
    let n_position = x.n_row() / read.len();
    for (sample, place) in read.iter().enumerate() {
        out.row_mut(sample).copy_from_slice(x.row(sample * n_position + place));
    }
}

impl Layer {
    /// All rows, in place.
    fn forward(&self, x: &mut Rows, n_sample: usize, seen: Seen, workspace: &mut Workspace) {
        let d = x.width();
        let Workspace { normed, query_key_value, mixed, pairs, .. } = workspace;
        self.norm1.apply(x, normed);
        query_key_value.reshape(x.n_row(), 3 * d);
        self.query_key_value.multiply(Product::new(normed, query_key_value), pairs);
        let attention = Attention {
            query: query_key_value,
            key_value: query_key_value,
            key_column: d,
            n_sample,
            n_head: self.n_head,
            d_head: d / self.n_head,
            place: Places::All,
            seen,
        };
        attention.compute(CpuPath::best(), mixed);
        self.finish(x, workspace);
    }

    /// The rows that are read, from all.
    fn forward_read(&self, x: &Rows, read: &[usize], seen: Seen, out: &mut Rows, workspace: &mut Workspace) {
        let d = x.width();
        select(x, read, out);
        let Workspace { normed, query, query_key_value, mixed, pairs, kept, .. } = workspace;
        self.norm1.apply(x, normed);
        let key_column = if self.query_key_value.splits_at(d) {
            select(normed, read, kept);
            query.reshape(read.len(), d);
            let product = Product { columns: Some(0..d), ..Product::new(kept, query) };
            self.query_key_value.multiply(product, pairs);
            query_key_value.reshape(x.n_row(), 2 * d);
            let product = Product { columns: Some(d..3 * d), ..Product::new(normed, query_key_value) };
            self.query_key_value.multiply(product, pairs);
            0
        } else {
            query_key_value.reshape(x.n_row(), 3 * d);
            self.query_key_value.multiply(Product::new(normed, query_key_value), pairs);
            select(query_key_value, read, query);
            d
        };
        let attention = Attention {
            query,
            key_value: query_key_value,
            key_column,
            n_sample: read.len(),
            n_head: self.n_head,
            d_head: d / self.n_head,
            place: Places::One(read),
            seen,
        };
        attention.compute(CpuPath::best(), mixed);
        self.finish(out, workspace);
    }

    /// What follows attention, whose result is in the workspace.
    fn finish(&self, x: &mut Rows, workspace: &mut Workspace) {
        let Workspace { normed, mixed, hidden, pairs, .. } = workspace;
        self.out.multiply(Product { before: Before::AddedTo, ..Product::new(mixed, x) }, pairs);
        self.norm2.apply(x, normed);
        hidden.reshape(x.n_row(), self.fc1.shape()[0]);
        let then = match self.activation {
            Activation::Gelu => Then::Gelu,
            Activation::QuickGelu => Then::QuickGelu,
        };
        self.fc1.multiply(Product { then, ..Product::new(normed, hidden) }, pairs);
        self.fc2.multiply(Product { before: Before::AddedTo, ..Product::new(hidden, x) }, pairs);
    }
}
