//! Rows of words in memory that is used again and again.
//!
//! Rows begin on a line of the cache and are an odd number of lines apart: rows of 4 KiB, which widths of models
//! often are, would all fall into the same few places of the first cache and drive each other out.

#![expect(unsafe_code, reason = "lines of the cache are read as the floats or words that they hold")]

use rayon::prelude::*;

/// Words of a line of the cache.
const LINE: usize = 16;

/// A line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u32; LINE]);

impl Line {
    pub(super) const ZERO: Self = Self([0; LINE]);
}

/// The words of some lines.
pub(super) fn words(lines: &[Line]) -> &[u32] {
    // SAFETY: a line is so many words without gaps.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE) }
}

/// The words of some lines.
pub(super) fn words_mut(lines: &mut [Line]) -> &mut [u32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// The floats of some words.
pub(super) fn floats(words: &[u32]) -> &[f32] {
    // SAFETY: both are four bytes of any value.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}

/// The floats of some words.
pub(super) fn floats_mut(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
}

/// A matrix of floats, or of words of two short floats, that changes its shape and keeps its memory.
///
/// What a row holds behind its width is of no meaning, but may be written to up to a multiple of sixteen.
#[derive(Debug, Default)]
pub struct Rows {
    lines: Vec<Line>,
    n_row: usize,
    width: usize,
    stride: usize,
}

impl Rows {
    /// Takes a shape; what the rows hold afterwards is of no meaning.
    pub fn reshape(&mut self, n_row: usize, width: usize) {
        let n_line = width.div_ceil(LINE) | 1;
        (self.n_row, self.width, self.stride) = (n_row, width, n_line * LINE);
        if self.lines.len() < n_row * n_line {
            self.lines.resize(n_row * n_line, Line::ZERO);
        }
    }

    /// How many rows there are.
    pub fn n_row(&self) -> usize {
        self.n_row
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Words from one row to the next.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// A row of floats.
    pub fn row(&self, idx: usize) -> &[f32] {
        floats(&words(&self.lines)[idx * self.stride..][..self.width])
    }

    /// A row of floats.
    pub fn row_mut(&mut self, idx: usize) -> &mut [f32] {
        let (stride, width) = (self.stride, self.width);
        floats_mut(&mut words_mut(&mut self.lines)[idx * stride..][..width])
    }

    pub(super) fn as_ptr(&self) -> *const u32 {
        words(&self.lines).as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u32 {
        words_mut(&mut self.lines).as_mut_ptr()
    }

    /// Calls a function with every row's index and floats, `n_together` rows one after another on one thread.
    pub fn fill(&mut self, n_together: usize, write: impl Fn(usize, &mut [f32]) + Sync) {
        self.for_each_row(n_together, |row, words| write(row, floats_mut(words)));
    }

    /// Calls a function with every row's index and words, `n_row` rows of a thread's work together.
    pub(super) fn for_each_row(&mut self, n_together: usize, write: impl Fn(usize, &mut [u32]) + Sync) {
        let (stride, width, n_row) = (self.stride, self.width, self.n_row);
        if n_row == 0 {
            return;
        }
        let rows = words_mut(&mut self.lines)[..n_row * stride].par_chunks_mut(n_together * stride);
        rows.enumerate().for_each(|(piece, rows)| {
            for (row, words) in rows.chunks_exact_mut(stride).enumerate() {
                write(piece * n_together + row, &mut words[..width]);
            }
        });
    }
}
