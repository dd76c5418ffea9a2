//! Attention of one head of one sample: some queries at a time against all keys, whose scores stay in the cache.
//!
//! Keys are laid out as panels once a head, values too; then a head is two products with a softmax between, whose
//! division waits until the values are summed. Nothing as large as all scores is ever written.

#![expect(
    unsafe_code,
    reason = "products of pieces of rows, and heads of one row written by several threads"
)]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::factors::{Avx2, Avx512};
use super::factors::{Factors, Plain, panel};
use super::math;
use super::rows::{Line, Rows, words, words_mut};
use super::tile::{Before, Job, Then, multiply};
use crate::path::CpuPath;

/// Queries taken at once: four tiles of the widest kind.
const N_QUERY: usize = 24;

/// Which keys a query may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// All keys of its sample.
    All,
    /// Those up to its own place.
    Causal,
}

/// What is attended to: rows of `n_sample` samples one after another, heads beside each other in a row.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    /// One row a query; heads begin at column 0.
    pub(super) query: &'a Rows,
    /// One row a key; keys begin at the first column, values `d_model` later.
    pub(super) key_value: &'a Rows,
    pub(super) key_column: usize,
    pub(super) n_sample: usize,
    pub(super) n_head: usize,
    pub(super) d_head: usize,
    /// The place in its sample of every query of a sample; all samples have as many.
    pub(super) place: Places<'a>,
    pub(super) seen: Seen,
}

/// Where queries stand among the keys of their sample.
#[derive(Clone, Copy)]
pub(super) enum Places<'a> {
    /// There is one for every key.
    All,
    /// There is one a sample, here.
    One(&'a [usize]),
}

/// Where results go.
#[derive(Clone, Copy)]
struct Out {
    pointer: *mut f32,
    stride: usize,
}

// SAFETY: every head of a sample writes to columns of its own.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Attention<'_> {
    /// softmax(q · kᵀ / √d) · v of all heads; a row a query.
    pub(super) fn compute(&self, path: CpuPath, out: &mut Rows) {
        out.reshape(self.query.n_row(), self.n_head * self.d_head);
        assert!(self.query.width() >= out.width(), "queries of another width");
        assert!(self.key_value.width() >= self.key_column + 2 * out.width(), "keys of another width");
        let to = Out { pointer: out.as_mut_ptr().cast(), stride: out.stride() };
        let n_unit = self.n_sample * self.n_head;
        let one = |unit| ROOM.with_borrow_mut(|room| self.one(path, unit, to, room));
        if rayon::current_num_threads() == 1 {
            (0..n_unit).for_each(one);
        } else {
            (0..n_unit).into_par_iter().with_max_len(1).for_each(one);
        }
    }

    fn one(&self, path: CpuPath, unit: usize, out: Out, room: &mut Room) {
        match path {
            CpuPath::Scalar => self.head::<Plain>(unit, out, room),
            // SAFETY: a path beyond the plain one exists only where the processor reported it.
            #[cfg(target_arch = "x86_64")]
            CpuPath::Avx2(_) => unsafe { head_avx2(self, unit, out, room) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            CpuPath::Avx512(_) => unsafe { head_avx512(self, unit, out, room) },
        }
    }

    /// One head of one sample.
    #[inline(always)]
    fn head<F: Factors>(&self, unit: usize, out: Out, room: &mut Room) {
        let (sample, head) = (unit / self.n_head, unit % self.n_head);
        let (n_key, d) = (self.key_value.n_row() / self.n_sample, self.d_head);
        let n_query = self.query.n_row() / self.n_sample;
        let keys = sample * n_key..(sample + 1) * n_key;
        let key_column = self.key_column + head * d;
        room.lay_out_keys(self.key_value, keys.clone(), key_column..key_column + d, panel::<F>());
        let value_column = key_column + self.n_head * d;
        room.lay_out_values(self.key_value, keys, value_column..value_column + d, panel::<F>());
        let scale = 1.0 / (d as f32).sqrt();
        for first in (0..n_query).step_by(N_QUERY) {
            let n_row = N_QUERY.min(n_query - first);
            let query_row = sample * n_query + first;
            room.scores.reshape(n_row, n_key);
            room.mixed.reshape(n_row, d);
            // SAFETY: within the rows of queries, as asserted in `compute`.
            let queries = unsafe { self.query.as_ptr().add(query_row * self.query.stride() + head * d) };
            let scores = Job {
                x: queries,
                x_stride: self.query.stride(),
                depth: d,
                panels: words(&room.keys).as_ptr(),
                bias: std::ptr::null(),
                out: room.scores.as_mut_ptr().cast(),
                out_stride: room.scores.stride(),
                n_column: n_key.next_multiple_of(16),
                before: Before::Replaced,
                then: Then::Kept,
            };
            // SAFETY: compiled for `F` by the caller; panels and rows are as large as the job says.
            unsafe { multiply::<F>(&scores, 0..n_row, 0..n_key.div_ceil(panel::<F>())) };
            for row in 0..n_row {
                let place = match self.place {
                    Places::All => first + row,
                    Places::One(places) => places[sample],
                };
                let n_seen = if self.seen == Seen::All { n_key } else { place + 1 };
                let scores = room.scores.row_mut(row);
                room.sums[row] = math::exponentials(&mut scores[..n_seen], scale);
                scores[n_seen..].fill(0.0);
            }
            let mixed = Job {
                x: room.scores.as_ptr(),
                x_stride: room.scores.stride(),
                depth: n_key,
                panels: words(&room.values).as_ptr(),
                out: room.mixed.as_mut_ptr().cast(),
                out_stride: room.mixed.stride(),
                n_column: d.next_multiple_of(16),
                ..scores
            };
            // SAFETY: as above.
            unsafe { multiply::<F>(&mixed, 0..n_row, 0..d.div_ceil(panel::<F>())) };
            for row in 0..n_row {
                let scale = 1.0 / room.sums[row];
                // SAFETY: this head's columns of this query's row.
                let to = unsafe {
                    std::slice::from_raw_parts_mut(
                        out.pointer.add((query_row + row) * out.stride + head * d),
                        d,
                    )
                };
                for (to, value) in to.iter_mut().zip(room.mixed.row(row)) {
                    *to = value * scale;
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn head_avx2(attention: &Attention<'_>, unit: usize, out: Out, room: &mut Room) {
    attention.head::<Avx2>(unit, out, room);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
fn head_avx512(attention: &Attention<'_>, unit: usize, out: Out, room: &mut Room) {
    attention.head::<Avx512>(unit, out, room);
}

thread_local! {
    /// Kept by its thread: fresh memory would be cleared by the system for every head.
    static ROOM: RefCell<Room> = RefCell::default();
}

/// What a thread needs for a head.
#[derive(Default)]
struct Room {
    /// `[panels][d][panel width]`.
    keys: Vec<Line>,
    /// `[panels][keys][panel width]`.
    values: Vec<Line>,
    scores: Rows,
    mixed: Rows,
    sums: [f32; N_QUERY],
}

impl Room {
    /// Keys as the columns of a product.
    #[inline(always)]
    fn lay_out_keys(&mut self, from: &Rows, rows: Range<usize>, columns: Range<usize>, panel: usize) {
        let d = columns.len();
        let n_word = rows.len().next_multiple_of(panel) * d;
        let keys = fitted(&mut self.keys, n_word);
        for (idx, row) in rows.enumerate() {
            let to = &mut keys[idx / panel * panel * d..][..panel * d];
            let key = &from.row(row)[columns.clone()];
            for (to, value) in to.chunks_exact_mut(panel).zip(key) {
                to[idx % panel] = value.to_bits();
            }
        }
    }

    /// Values as the steps of a product.
    #[inline(always)]
    fn lay_out_values(&mut self, from: &Rows, rows: Range<usize>, columns: Range<usize>, panel: usize) {
        let (n_key, d) = (rows.len(), columns.len());
        let n_word = d.next_multiple_of(panel) * n_key;
        let values = fitted(&mut self.values, n_word);
        for (idx, row) in rows.enumerate() {
            let value = &from.row(row)[columns.clone()];
            for (panel_idx, piece) in value.chunks(panel).enumerate() {
                let to = &mut values[(panel_idx * n_key + idx) * panel..][..piece.len()];
                for (to, value) in to.iter_mut().zip(piece) {
                    *to = value.to_bits();
                }
            }
        }
    }
}

/// As many words of some lines, more of which are taken where there are too few.
fn fitted(lines: &mut Vec<Line>, n_word: usize) -> &mut [u32] {
    if lines.len() * 16 < n_word {
        lines.resize(n_word.div_ceil(16), Line::ZERO);
    }
    words_mut(lines)
}
