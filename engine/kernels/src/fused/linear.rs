//! Matrix products into buffers that are given, with any strides, so that nothing is transposed by copying.

#![expect(unsafe_code, reason = "the product of strided matrices takes pointers; extents are checked before")]

use rayon::prelude::*;

use super::lanes;

/// Multiplications from which a product is shared between threads.
const N_PRODUCT: usize = 192 * 192 * 192;

/// Rows whose sum is taken together: fixed, so that the order of sums does not depend on the threads.
const N_ROW: usize = 64;

/// A matrix in a slice: element (i, j) at `start + i · row + j · column`.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) values: &'a [f32],
    pub(super) start: usize,
    pub(super) shape: [usize; 2],
    pub(super) strides: [usize; 2],
}

impl<'a> View<'a> {
    /// A whole slice, row by row.
    pub(super) fn rows(values: &'a [f32], shape: [usize; 2]) -> Self {
        Self { values, start: 0, shape, strides: [shape[1], 1] }
    }

    pub(super) fn transposed(self) -> Self {
        let ([m, n], [row, column]) = (self.shape, self.strides);
        Self { shape: [n, m], strides: [column, row], ..self }
    }

    fn pointer(self) -> *const f32 {
        let last = |n: usize| n.saturating_sub(1);
        let end = self.start + last(self.shape[0]) * self.strides[0] + last(self.shape[1]) * self.strides[1];
        assert!(end < self.values.len(), "a matrix that leaves its slice");
        self.values[self.start..].as_ptr()
    }
}

/// Where a product goes: a matrix of `strides` at a pointer that nobody else writes to.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) pointer: *mut f32,
    pub(super) strides: [usize; 2],
}

// SAFETY: whoever makes a target for several threads gives each its own elements.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    pub(super) fn at(self, offset: usize) -> Self {
        // SAFETY: offsets stay within the buffer that the target was made for.
        Self { pointer: unsafe { self.pointer.add(offset) }, ..self }
    }
}

/// What happens to the numbers that lie where a product goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Replaced,
    AddedTo,
}

/// target = scale · a · b, or target += scale · a · b.
///
/// # Safety
/// `target` must point to writable elements for every (row of `a`, column of `b`).
pub(super) unsafe fn product(
    target: Target,
    before: Before,
    scale: f32,
    a: View<'_>,
    b: View<'_>,
    shared: bool,
) {
    let ([m, depth], [depth_b, n]) = (a.shape, b.shape);
    assert_eq!(depth, depth_b, "matrices that do not fit");
    if m == 0 || n == 0 {
        return;
    }
    let many = shared && m * n * depth >= N_PRODUCT && rayon::current_num_threads() > 1;
    let parallelism = if many { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    let signed = |strides: [usize; 2]| strides.map(|stride| stride as isize);
    let (to, left, right) = (signed(target.strides), signed(a.strides), signed(b.strides));
    // SAFETY: `View::pointer` checked both inputs; the caller vouches for the target.
    unsafe {
        gemm::gemm(
            m,
            n,
            depth,
            target.pointer,
            to[1],
            to[0],
            before == Before::AddedTo,
            a.pointer(),
            left[1],
            left[0],
            b.pointer(),
            right[1],
            right[0],
            1.0_f32,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// a · b as a new matrix; every row starts from `bias` where there is one.
pub(super) fn multiplied(a: View<'_>, b: View<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (m, n) = (a.shape[0], b.shape[1]);
    let mut out: Vec<f32> = Vec::with_capacity(m * n);
    if let Some(bias) = bias {
        for _ in 0..m {
            out.extend_from_slice(bias);
        }
    }
    if a.shape[1] == 0 {
        out.resize(m * n, 0.0);
        return out;
    }
    let before = if bias.is_some() { Before::AddedTo } else { Before::Replaced };
    let target = Target { pointer: out.as_mut_ptr(), strides: [n, 1] };
    // SAFETY: there is room for m · n numbers, and the product writes all of them (on top of the bias, where
    // the vector is full already).
    unsafe {
        product(target, before, 1.0, a, b, true);
        out.set_len(m * n);
    }
    out
}

/// The sum of rows of width `d`.
pub(super) fn row_sum(values: &[f32], d: usize) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = values
        .par_chunks(N_ROW * d)
        .map(|rows| {
            let mut sum = vec![0.0; d];
            lanes::add_rows(rows, &mut sum);
            sum
        })
        .collect();
    total(&parts, d)
}

/// Parts added up in order.
pub(super) fn total<'a>(parts: impl IntoIterator<Item = &'a Vec<f32>>, d: usize) -> Vec<f32> {
    let mut sum = vec![0.0; d];
    for part in parts {
        lanes::add_rows(part, &mut sum);
    }
    sum
}
