//! Attention head by head, some query rows at a time, so that scores never leave the processor's cache.
//!
//! Nothing of the size of the scores is kept: the way back computes them again, which costs one product in five
//! and saves writing and reading them. With a causal sight, keys after a block's last query are left out.

#![expect(unsafe_code, reason = "heads lie interleaved in memory, and each thread writes those of its own")]

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::flex::{strided, values};
use super::lanes;
use super::linear::{Before, Target, View, product};
use super::{Sight, linear};

/// Query rows taken at once.
const N_ROW: usize = 64;

/// A tensor of `[b, h, t, d]` in any order in memory.
#[derive(Clone, Copy)]
struct Heads<'a> {
    values: &'a [f32],
    start: usize,
    shape: [usize; 4],
    strides: [usize; 4],
}

impl<'a> Heads<'a> {
    fn new(tensor: &'a FlexTensor) -> Self {
        let (start, shape, strides) = strided::<4>(tensor);
        Self { values: values(tensor), start, shape, strides }
    }

    /// Rows `first .. first + n` of one head.
    fn rows(&self, [b, h]: [usize; 2], first: usize, n: usize) -> View<'a> {
        let [sb, sh, st, sd] = self.strides;
        View {
            values: self.values,
            start: self.start + b * sb + h * sh + first * st,
            shape: [n, self.shape[3]],
            strides: [st, sd],
        }
    }
}

/// One block of query rows.
struct Block<'a> {
    sight: &'a Sight,
    sample: usize,
    first: usize,
    n_row: usize,
    /// The keys that any of the rows can see: the first so many.
    n_key: usize,
    /// Keys before the first query's own.
    offset: usize,
}

impl<'a> Block<'a> {
    /// The block that begins with query `first`.
    fn new(sight: &'a Sight, sample: usize, first: usize, n_query: usize, n_key: usize) -> Self {
        let (n_row, offset) = (N_ROW.min(n_query - first), n_key - n_query);
        let n_key = if matches!(sight, Sight::All) { n_key } else { offset + first + n_row };
        Self { sight, sample, first, n_row, n_key, offset }
    }

    /// Scores to probabilities, row by row.
    fn softmax(&self, scores: &mut [f32]) {
        for (row, scores) in scores.chunks_exact_mut(self.n_key).enumerate() {
            let place = self.offset + self.first + row;
            match self.sight {
                Sight::All => lanes::softmax(scores),
                Sight::Causal => {
                    let (seen, hidden) = scores.split_at_mut(place + 1);
                    lanes::softmax(seen);
                    hidden.fill(0.0);
                }
                Sight::From(firsts) => {
                    let (seen, hidden) = scores.split_at_mut(place + 1);
                    hidden.fill(0.0);
                    let first = firsts[self.sample];
                    let (before, seen) = seen.split_at_mut(if place < first { 0 } else { first });
                    before.fill(0.0);
                    lanes::softmax(seen);
                }
                Sight::Segments(segments) => {
                    let numbers = &segments[self.sample];
                    let own = numbers[place];
                    let (seen, hidden) = scores.split_at_mut(place + 1);
                    hidden.fill(0.0);
                    let mask = |seen: &mut [f32], value| {
                        let is_hidden = |number: u32| number != own && number != Sight::TRUNK;
                        for (score, _) in
                            seen.iter_mut().zip(numbers).filter(|(_, number)| is_hidden(**number))
                        {
                            *score = value;
                        }
                    };
                    mask(seen, f32::NEG_INFINITY);
                    lanes::softmax(seen);
                    mask(seen, 0.0);
                }
            }
        }
    }
}

/// The blocks of one head's queries.
fn blocks(sight: &Sight, sample: usize, n_query: usize, n_key: usize) -> impl Iterator<Item = Block<'_>> {
    (0..n_query).step_by(N_ROW).map(move |first| Block::new(sight, sample, first, n_query, n_key))
}

/// The probabilities of a block into `scores`, which is then `n_row × n_key` long.
fn probabilities(block: &Block<'_>, query: View<'_>, key: View<'_>, scores: &mut Vec<f32>) {
    let scale = 1.0 / (query.shape[1] as f32).sqrt();
    scores.resize(block.n_row * block.n_key, 0.0);
    let target = Target { pointer: scores.as_mut_ptr(), strides: [block.n_key, 1] };
    // SAFETY: there is a number for every row and key.
    unsafe { product(target, Before::Replaced, scale, query, key.transposed(), false) };
    block.softmax(scores);
}

fn target(out: &mut [f32], d: usize) -> Target {
    Target { pointer: out.as_mut_ptr(), strides: [d, 1] }
}

/// softmax(q·kᵀ/√d)·v into `[b, t, h, d]`.
pub(super) fn forward(query: &FlexTensor, key: &FlexTensor, value: &FlexTensor, sight: &Sight) -> Vec<f32> {
    let [query, key, value] = [query, key, value].map(Heads::new);
    let ([b, h, t, d], [_, h_kv, n_key, _]) = (query.shape, key.shape);
    let mut out = vec![0.0; b * t * h * d];
    let whole = target(&mut out, h * d);
    let n_block = t.div_ceil(N_ROW);
    // Blocks of all heads are shared out, the last ones first: they see the most keys.
    (0..b * h * n_block).into_par_iter().rev().for_each_init(Vec::new, |scores, unit| {
        let (sample, head, block) = (unit / (h * n_block), unit / n_block % h, unit % n_block);
        let kv_head = head / (h / h_kv);
        let block = Block::new(sight, sample, block * N_ROW, t, n_key);
        let rows = query.rows([sample, head], block.first, block.n_row);
        probabilities(&block, rows, key.rows([sample, kv_head], 0, block.n_key), scores);
        let target = whole.at(((sample * t + block.first) * h + head) * d);
        let weights = View::rows(scores, [block.n_row, block.n_key]);
        let value = value.rows([sample, kv_head], 0, block.n_key);
        // SAFETY: the rows of this head and block are this unit's alone.
        unsafe { product(target, Before::Replaced, 1.0, weights, value, false) };
    });
    out
}

/// Gradients of query, key and value, each as its input lies if that was `[b, t, h, d]`.
pub(super) fn backward([query, key, value, grad]: [&FlexTensor; 4], sight: &Sight) -> [Vec<f32>; 3] {
    let [query, key, value, grad] = [query, key, value, grad].map(Heads::new);
    let ([b, h, t, d], [_, h_kv, n_key, _]) = (query.shape, key.shape);
    let scale = 1.0 / (d as f32).sqrt();
    let mut d_query = vec![0.0; b * t * h * d];
    let [mut d_key, mut d_value] = [(); 2].map(|()| vec![0.0; b * n_key * h_kv * d]);
    let to_query = target(&mut d_query, h * d);
    let [to_key, to_value] = [target(&mut d_key, h_kv * d), target(&mut d_value, h_kv * d)];
    (0..b * h_kv).into_par_iter().for_each(|unit| {
        let (sample, kv_head) = (unit / h_kv, unit % h_kv);
        let (mut scores, mut d_scores) = (Vec::new(), Vec::new());
        let at_key = (sample * n_key * h_kv + kv_head) * d;
        for head in (h / h_kv) * kv_head..(h / h_kv) * (kv_head + 1) {
            for block in blocks(sight, sample, t, n_key) {
                let rows = query.rows([sample, head], block.first, block.n_row);
                let keys = key.rows([sample, kv_head], 0, block.n_key);
                let values = value.rows([sample, kv_head], 0, block.n_key);
                let grads = grad.rows([sample, head], block.first, block.n_row);
                probabilities(&block, rows, keys, &mut scores);
                let shape = [block.n_row, block.n_key];
                let weights = View::rows(&scores, shape);
                d_scores.resize(scores.len(), 0.0);
                // SAFETY: scores are this unit's; keys and values of this key head, and queries of this head,
                // are written by no other unit.
                unsafe {
                    product(to_value.at(at_key), Before::AddedTo, 1.0, weights.transposed(), grads, false);
                    let target = target(&mut d_scores, block.n_key);
                    product(target, Before::Replaced, 1.0, grads, values.transposed(), false);
                }
                for (p, grad) in scores.chunks_exact(block.n_key).zip(d_scores.chunks_exact_mut(block.n_key))
                {
                    lanes::softmax_backward(p, grad, scale);
                }
                let d_scores = linear::View::rows(&d_scores, shape);
                let at_query = ((sample * t + block.first) * h + head) * d;
                // SAFETY: as above.
                unsafe {
                    product(to_query.at(at_query), Before::Replaced, 1.0, d_scores, keys, false);
                    product(to_key.at(at_key), Before::AddedTo, 1.0, d_scores.transposed(), rows, false);
                }
            }
        }
    });
    [d_query, d_key, d_value]
}
