//! Products with many rows of activations: prompts and pictures.
//!
//! As many packed rows as a vector has floats are unpacked into a panel, in which four neighbouring numbers of each
//! row stand side by side; a tile of it and some rows of activations is then nothing but sums of products in
//! registers, with scales applied once for every group. A panel stays in the second cache while all activations pass
//! it, and activations stay there while some panels pass them.

use std::marker::PhantomData;

use super::activations::{Aligned, Rounded, SPAN};
use super::kinds::{Kind, Q8, zero};
use super::rows::{MOST_BYTES, fetch};
use super::vectors::{N_GROUP, Vectors};
use super::{Factor, Target};

/// Bytes of the panels that are unpacked together: about half of a second cache.
const N_BYTE: usize = 1 << 19;
/// Most rows of a panel.
const MOST_ROWS: usize = 16;

/// Packed rows, unpacked.
#[derive(Default)]
pub(super) struct Panels {
    /// `[n_panel, n_span, 64, n_row, 4]`.
    numbers: Vec<Aligned<[u8; SPAN]>>,
    /// `[n_panel, n_span, n_group, n_row]`.
    scales: Vec<Aligned<[f32; N_GROUP]>>,
    /// The same, where groups have offsets of their own.
    offsets: Vec<Aligned<[f32; N_GROUP]>>,
}

/// Packed rows of a panel.
pub(super) const fn panel_rows<V: Vectors>() -> usize {
    V::N_BYTE / 4
}

/// Groups of a span.
const fn n_group<K: Kind>() -> usize {
    SPAN / K::GROUP
}

/// Rows of weights, span by span.
pub(super) trait Source {
    /// What their numbers mean.
    type Kind: Kind;

    /// Rows.
    fn n_row(&self) -> usize;

    /// Numbers, scales and offsets of a span of a row.
    ///
    /// # Safety
    /// The caller is compiled for the instructions of `V`; both numbers are in range.
    unsafe fn read<V: Vectors>(&self, row: usize, span: usize, unpacked: &mut Unpacked);
}

/// A span, unpacked; as [`Aligned`].
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Unpacked {
    numbers: [u8; SPAN],
    scales: [f32; N_GROUP],
    offsets: [f32; N_GROUP],
}

impl Unpacked {
    const ZERO: Self = Self { numbers: [0; SPAN], scales: [0.0; N_GROUP], offsets: [0.0; N_GROUP] };
}

/// Packed rows as they lie in their file.
pub(super) struct Packed<'a, K> {
    pub(super) bytes: &'a [u8],
    pub(super) row_bytes: usize,
    pub(super) kind: PhantomData<K>,
}

impl<K: Kind> Source for Packed<'_, K> {
    type Kind = K;

    #[inline(always)]
    fn n_row(&self) -> usize {
        self.bytes.len() / self.row_bytes
    }

    #[inline(always)]
    unsafe fn read<V: Vectors>(&self, row: usize, span: usize, unpacked: &mut Unpacked) {
        let bytes = &self.bytes[row * self.row_bytes + span * K::BYTES..(row + 1) * self.row_bytes];
        let mut padded;
        let source = if bytes.len() >= K::BYTES {
            bytes.as_ptr()
        } else {
            padded = [0_u8; MOST_BYTES];
            padded[..bytes.len()].copy_from_slice(bytes);
            padded.as_ptr()
        };
        // SAFETY: passed on to the caller; the source is a whole span.
        unsafe {
            // The same place of the next panel, which lies far enough ahead.
            fetch::<V>(bytes.as_ptr().wrapping_add(panel_rows::<V>() * self.row_bytes), K::BYTES);
            let [scale, offset] = K::factors::<V>(source);
            V::store_groups(scale, &mut unpacked.scales);
            V::store_groups(offset, &mut unpacked.offsets);
            let mut chunk = 0;
            while chunk < SPAN / V::N_BYTE {
                let to = unpacked.numbers.as_mut_ptr().add(chunk * V::N_BYTE);
                V::store(K::numbers::<V>(source, chunk), to);
                chunk += 1;
            }
        }
    }
}

/// Floats, rounded as activations are.
impl Source for Rounded {
    type Kind = Q8;

    #[inline(always)]
    fn n_row(&self) -> usize {
        Self::n_row(self)
    }

    #[inline(always)]
    unsafe fn read<V: Vectors>(&self, row: usize, span: usize, unpacked: &mut Unpacked) {
        // SAFETY: passed on to the caller.
        unsafe {
            let own = self.span(row, span);
            unpacked.scales = *own.scales;
            let mut chunk = 0;
            while chunk < SPAN / V::N_BYTE {
                let from = own.numbers.as_ptr().cast::<u8>().add(chunk * V::N_BYTE);
                V::store(V::wide(V::load(from)), unpacked.numbers.as_mut_ptr().add(chunk * V::N_BYTE));
                chunk += 1;
            }
        }
    }
}

/// Multiplies rows of weights, which begin with row `first` of the result, with all rows of activations.
///
/// # Safety
/// The caller is compiled for the instructions of `V`; weights and activations have equally many spans; `target` takes
/// them.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vectors, S: Source>(
    weights: &S,
    first: usize,
    factor: &Factor<'_>,
    target: Target,
    panels: &mut Panels,
) {
    let n_row = const { panel_rows::<V>() };
    let Factor { x, below, .. } = factor;
    let n_span = x.n_span();
    let n_panel = (N_BYTE / (n_span * SPAN * n_row)).max(1);
    for start_row in (0..weights.n_row()).step_by(n_panel * n_row) {
        let n = (weights.n_row() - start_row).min(n_panel * n_row);
        let first = first + start_row;
        // SAFETY: passed on to the caller.
        unsafe {
            panels.unpack::<V, S>(weights, start_row, n, n_span);
            let mut start = 0;
            while start < x.n_row() {
                let left = x.n_row() - start;
                let tile = Tile { panels, x, below, start, first, n, target };
                start += match left {
                    12.. if V::TILE >= 12 => tile.run::<V, S::Kind, 12>(),
                    8.. if V::TILE >= 8 => tile.run::<V, S::Kind, 8>(),
                    4.. => tile.run::<V, S::Kind, 4>(),
                    2.. => tile.run::<V, S::Kind, 2>(),
                    _ => tile.run::<V, S::Kind, 1>(),
                };
            }
        }
    }
}

impl Panels {
    /// Unpacks `n` rows from `start_row` on; missing ones of the last panel are zeros.
    ///
    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn unpack<V: Vectors, S: Source>(
        &mut self,
        weights: &S,
        start_row: usize,
        n: usize,
        n_span: usize,
    ) {
        let (n_row, n_group) = (const { panel_rows::<V>() }, n_group::<S::Kind>());
        let n_panel = n.div_ceil(n_row);
        let has_offsets = zero::<V, S::Kind>().is_none();
        // What a place takes, in spans and in as many floats as a span has groups.
        let n_scale = n_group * n_row / N_GROUP;
        self.numbers.resize(n_panel * n_span * n_row, Aligned([0; SPAN]));
        self.scales.resize(n_panel * n_span * n_scale, Aligned([0.0; N_GROUP]));
        if has_offsets {
            self.offsets.resize(n_panel * n_span * n_scale, Aligned([0.0; N_GROUP]));
        }
        let mut unpacked = [Unpacked::ZERO; MOST_ROWS];
        for place in 0..n_panel * n_span {
            let (panel, span) = (place / n_span, place % n_span);
            for (row, unpacked) in unpacked[..n_row].iter_mut().enumerate() {
                let idx = panel * n_row + row;
                if idx < n {
                    // SAFETY: passed on to the caller.
                    unsafe { weights.read::<V>(start_row + idx, span, unpacked) }
                } else {
                    *unpacked = Unpacked::ZERO;
                }
            }
            let first = unpacked.as_ptr();
            // SAFETY: passed on to the caller; there are `n_row` rows, and a place has room for what they hold.
            unsafe {
                let numbers = self.numbers[place * n_row..][..n_row].as_mut_ptr().cast();
                V::interleave((&raw const (*first).numbers).cast(), size_of::<Unpacked>(), SPAN, numbers);
                let scales = &mut self.scales[place * n_scale..][..n_scale];
                side_by_side::<V>(&raw const (*first).scales, n_group, scales);
                if has_offsets {
                    let offsets = &mut self.offsets[place * n_scale..][..n_scale];
                    side_by_side::<V>(&raw const (*first).offsets, n_group, offsets);
                }
            }
        }
    }
}

/// Scales or offsets of the rows of a place side by side, once for each group that has its own.
///
/// # Safety
/// As [`multiply`]; the first of as many [`Unpacked`] as a panel has rows; `target` holds `n_group` for each.
#[inline(always)]
unsafe fn side_by_side<V: Vectors>(
    first: *const [f32; N_GROUP],
    n_group: usize,
    target: &mut [Aligned<[f32; N_GROUP]>],
) {
    let n_row = const { panel_rows::<V>() };
    let mut all = [Aligned([0.0_f32; N_GROUP]); MOST_ROWS];
    // SAFETY: passed on to the caller.
    unsafe {
        V::interleave(
            first.cast(),
            size_of::<Unpacked>(),
            size_of::<[f32; N_GROUP]>(),
            all.as_mut_ptr().cast(),
        );
    }
    // Groups of 32 elements share what two groups of 16 have.
    let step = N_GROUP / n_group;
    for group in 0..n_group {
        // SAFETY: both hold as many rows of floats, `target` as the caller says.
        unsafe {
            let from = all.as_ptr().cast::<f32>().add(group * step * n_row);
            let to = target.as_mut_ptr().cast::<f32>().add(group * n_row);
            V::store_floats(V::load_floats(from), to);
        }
    }
}

/// Some rows of activations beside all panels.
#[derive(Clone, Copy)]
struct Tile<'a> {
    panels: &'a Panels,
    x: &'a Rounded,
    below: &'a [f32],
    /// The first of the rows of activations.
    start: usize,
    /// The first row of the result, and how many.
    first: usize,
    n: usize,
    target: Target,
}

impl Tile<'_> {
    /// `M` rows of activations; says how many these were.
    ///
    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn run<V: Vectors, K: Kind, const M: usize>(self) -> usize {
        let n_row = const { panel_rows::<V>() };
        for panel in 0..self.n.div_ceil(n_row) {
            // SAFETY: passed on to the caller.
            let totals = unsafe { self.products::<V, K, M>(panel) };
            let first = panel * n_row;
            let n = n_row.min(self.n - first);
            for (idx, total) in totals.into_iter().enumerate() {
                // SAFETY: these elements of the result are this tile's.
                unsafe {
                    if n == n_row {
                        V::store_floats(total, self.target.at(self.start + idx, self.first + first));
                    } else {
                        let mut floats = [0.0_f32; MOST_ROWS];
                        V::store_floats(total, floats.as_mut_ptr());
                        for (row, value) in floats.into_iter().enumerate().take(n) {
                            self.target.write(self.start + idx, self.first + first + row, value);
                        }
                    }
                }
            }
        }
        M
    }

    /// # Safety
    /// As [`multiply`].
    #[inline(always)]
    unsafe fn products<V: Vectors, K: Kind, const M: usize>(self, panel: usize) -> [V::Floats; M] {
        let (n_row, n_group, n_span) = (const { panel_rows::<V>() }, n_group::<K>(), self.x.n_span());
        // SAFETY: passed on to the caller; every pointer stays within its panel or row.
        unsafe {
            let mut totals = [V::splat(0.0); M];
            for span in 0..n_span {
                let place = panel * n_span + span;
                let mut x = [self.x.span(self.start, span); M];
                for (idx, x) in x.iter_mut().enumerate() {
                    *x = self.x.span(self.start + idx, span);
                }
                let below = self.below.as_ptr().add((span * self.x.n_row() + self.start) * n_group);
                let mut numbers = self.panels.numbers.as_ptr().cast::<u8>().add(place * SPAN * n_row);
                for group in 0..n_group {
                    let mut sums = [V::zero(); M];
                    let mut four = 0;
                    while four < K::GROUP / 4 {
                        let w = V::load(numbers);
                        numbers = numbers.add(V::N_BYTE);
                        for idx in 0..M {
                            let x = V::four(x[idx].numbers.as_ptr().add(group * K::GROUP + 4 * four));
                            sums[idx] =
                                if K::WIDE { V::dot_wide(sums[idx], w, x) } else { V::dot(sums[idx], w, x) };
                        }
                        four += 1;
                    }
                    let at = place * n_group + group;
                    let scale = V::load_floats(self.panels.scales.as_ptr().cast::<f32>().add(at * n_row));
                    for idx in 0..M {
                        let below = *below.add(idx * n_group + group);
                        let own = V::splat(x[idx].scales[group * K::GROUP / 16]);
                        let sum = V::floats(sums[idx]);
                        if zero::<V, K>().is_some() {
                            let product = V::product_less(sum, own, V::splat(below));
                            totals[idx] = V::add_product(totals[idx], product, scale);
                        } else {
                            let offset =
                                V::load_floats(self.panels.offsets.as_ptr().cast::<f32>().add(at * n_row));
                            totals[idx] = V::add_product(totals[idx], V::multiply(sum, own), scale);
                            totals[idx] = V::take_product(totals[idx], offset, V::splat(below));
                        }
                    }
                }
            }
            totals
        }
    }
}
