//! Activations rounded to 8 bits, as the packed products read them.
//!
//! Each block of 32 has its own scale, so that one large channel costs only its neighbours precision. Beside the
//! numbers stand, for every 16 of them, the scale and the scaled sum: all weight types share one of 16 or 32
//! elements, and what is subtracted from a group of weights comes to a multiple of the activations' sum.

use rayon::prelude::*;

use crate::fused::wide;

/// Elements that packed products work through at a time: a super-block of the K-types, eight blocks of the others.
pub(crate) const SPAN: usize = 256;
/// Elements of a span that share a scale and a sum here.
const GROUP: usize = 16;
/// Scales of a span.
pub(super) const N_GROUP: usize = SPAN / GROUP;
/// Elements that are rounded by one scale.
const BLOCK: usize = 32;
/// Spans that are worth handing to another thread.
const N_PIECE: usize = 64;

/// What begins on a line of the cache: a vector that lies across two takes twice as long to load.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Aligned<T>(pub(super) T);

/// Rows of activations in 8 bits; rows are padded with zeros to whole spans. All rows' first spans come first, then all
/// second ones: a product takes the same span of several rows at once.
#[derive(Debug)]
pub(crate) struct Rounded {
    n_row: usize,
    n_span: usize,
    /// `[n_span, n_row, 256]`.
    numbers: Vec<Aligned<[i8; SPAN]>>,
    /// `[n_span, n_row, 16]`: what a number stands for.
    scales: Vec<Aligned<[f32; N_GROUP]>>,
    /// `[n_span, n_row, 16]`: scale · Σ numbers.
    sums: Vec<Aligned<[f32; N_GROUP]>>,
}

/// A span of a row of activations.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) numbers: &'a [i8; SPAN],
    pub(super) scales: &'a [f32; N_GROUP],
    pub(super) sums: &'a [f32; N_GROUP],
}

impl Rounded {
    /// Rounds rows of `n_col` activations. What is no number or infinite makes its block's products no numbers.
    ///
    /// # Shapes
    /// - `x`: `[m, n_col]`
    ///
    /// # Panics
    /// Where `x` is not whole rows.
    pub(crate) fn new(x: &[f32], n_col: usize) -> Self {
        assert!(n_col > 0 && x.len().is_multiple_of(n_col), "{} activations in rows of {n_col}", x.len());
        let (n_row, n_span) = (x.len() / n_col, n_col.div_ceil(SPAN));
        let mut numbers = vec![Aligned([0; SPAN]); n_row * n_span];
        let [mut scales, mut sums] = [(); 2].map(|()| vec![Aligned([0.0; N_GROUP]); n_row * n_span]);
        let together = n_row.max(1);
        let parts = numbers
            .par_chunks_mut(together)
            .zip(scales.par_chunks_mut(together).zip(sums.par_chunks_mut(together)))
            .enumerate();
        parts.with_min_len(N_PIECE.div_ceil(together)).for_each(|(span, (numbers, (scales, sums)))| {
            let columns = span * SPAN..n_col.min((span + 1) * SPAN);
            let outs = numbers.iter_mut().zip(scales.iter_mut().zip(sums));
            for (x, (numbers, (scales, sums))) in x.chunks_exact(n_col).zip(outs) {
                round(&x[columns.clone()], &mut numbers.0, &mut scales.0, &mut sums.0);
            }
        });
        Self { n_row, n_span, numbers, scales, sums }
    }

    /// Rows.
    pub(super) fn n_row(&self) -> usize {
        self.n_row
    }

    /// Spans of a row.
    pub(super) fn n_span(&self) -> usize {
        self.n_span
    }

    /// # Safety
    /// Both numbers are in range.
    #[inline(always)]
    pub(super) unsafe fn span(&self, row: usize, span: usize) -> Span<'_> {
        let place = span * self.n_row + row;
        // SAFETY: see above.
        unsafe {
            Span {
                numbers: &self.numbers.get_unchecked(place).0,
                scales: &self.scales.get_unchecked(place).0,
                sums: &self.sums.get_unchecked(place).0,
            }
        }
    }

    /// Numbers in the order of [`super::vectors::Vectors::IN_PAIRS`]: of every span the first halves of its even blocks,
    /// their second halves, then both of its odd blocks. `[n_span, n_row, 256]`
    pub(super) fn pairs(&self) -> Vec<Aligned<[i8; SPAN]>> {
        let pairs = |span: &Aligned<[i8; SPAN]>| {
            let halves = span.0.as_chunks::<GROUP>().0;
            let mut pairs = Aligned([0; SPAN]);
            for (idx, half) in pairs.0.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
                *half = halves[idx / 4 + idx % 4 * 4];
            }
            pairs
        };
        self.numbers.iter().map(pairs).collect()
    }

    /// Sums of groups of 16 or 32 activations times `factor`: `[n_span, n_row, n_group]`.
    pub(super) fn group_sums(&self, group: usize, factor: f32) -> Vec<f32> {
        let groups = self.sums.iter().flat_map(|sums| sums.0.chunks_exact(group / GROUP));
        groups.map(|sums| factor * sums.iter().sum::<f32>()).collect()
    }
}

wide! {
    /// Rounds a span.
    fn round(x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
        let outs =
            numbers.chunks_exact_mut(BLOCK).zip(scales.as_chunks_mut::<2>().0).zip(sums.as_chunks_mut::<2>().0);
        for (x, ((numbers, scales), sums)) in x.chunks(BLOCK).zip(outs) {
            if let Some(x) = x.as_array::<BLOCK>() {
                round_block(x, numbers, scales, sums);
            } else {
                let mut padded = [0.0; BLOCK];
                padded[..x.len()].copy_from_slice(x);
                round_block(&padded, numbers, scales, sums);
            }
        }
    }
}

/// Rounds a block to the nearest of 255 numbers; halves to even.
#[inline(always)]
fn round_block(x: &[f32; BLOCK], numbers: &mut [i8], scales: &mut [f32; 2], sums: &mut [f32; 2]) {
    // Adding 1.5 · 2²³ rounds to a whole number and leaves its lowest byte in the sum's bits.
    const ROUND: f32 = 12_582_912.0;
    let (mut largest, mut poison) = (0.0_f32, 0.0_f32);
    for x in x {
        largest = if x.abs() > largest { x.abs() } else { largest };
        // Zero, but for what is infinite or no number: the scale says so, since numbers cannot.
        poison += x * 0.0;
    }
    // Beside anything else a smaller block is nothing, and its inverse would overflow.
    let (scale, inverse) = if largest < 1e-35 { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };
    let mut shifted = [0.0_f32; BLOCK];
    for (shifted, x) in shifted.iter_mut().zip(x) {
        *shifted = x * inverse + ROUND;
    }
    for (number, shifted) in numbers.iter_mut().zip(&shifted) {
        *number = shifted.to_bits() as i8;
    }
    let scale = scale + poison;
    for (half, (sum, out)) in shifted.as_chunks::<GROUP>().0.iter().zip(sums.iter_mut().zip(scales)) {
        let mut total = 0.0;
        for shifted in half {
            total += shifted - ROUND;
        }
        *sum = scale * total;
        *out = scale;
    }
}
