//! Matrices laid out for products, and products cut into pieces that threads share out.

#![expect(unsafe_code, reason = "pieces of one product are written by several threads, each to its own")]

use std::ops::Range;

use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::factors::{Avx2, Avx512, Avx512Bf16};
use super::factors::{Plain, panel};
use super::math;
use super::rows::{Line, Rows, words, words_mut};
use super::tile::{Before, Job, Then, multiply};
use crate::path::CpuPath;

/// Rows of a piece: their factors stay in the second cache.
const N_ROW: usize = 264;
/// Pieces for every thread, so that one that is held up leaves little behind.
const N_PIECE: usize = 6;
/// Multiplications below which a piece is not worth handing over.
const N_PRODUCT: usize = 1 << 20;

/// What a matrix's numbers are kept and multiplied as; sums are 32-bit floats always.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// 32-bit floats.
    #[default]
    Full,
    /// The upper halves of 32-bit floats ("bf16"), both of the matrix and of what it multiplies, where the processor can
    /// multiply them; elsewhere as [`Format::Full`].
    Bf16,
}

impl Format {
    /// The name that options give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Full, Self::Bf16].into_iter().find(|format| format.name() == name)
    }
}

/// The instructions to multiply with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    Floats(CpuPath),
    #[cfg(target_arch = "x86_64")]
    Pairs(CpuPath),
}

impl Way {
    pub(super) fn new(path: CpuPath, format: Format) -> Self {
        #[cfg(target_arch = "x86_64")]
        if format == Format::Bf16
            && matches!(path, CpuPath::Avx512(_))
            && is_x86_feature_detected!("avx512bf16")
        {
            return Self::Pairs(path);
        }
        let _ = format;
        Self::Floats(path)
    }

    /// Columns of a panel.
    pub(super) fn panel(self) -> usize {
        match self {
            Self::Floats(CpuPath::Scalar) => panel::<Plain>(),
            #[cfg(target_arch = "x86_64")]
            Self::Floats(CpuPath::Avx2(_)) => panel::<Avx2>(),
            #[cfg(target_arch = "x86_64")]
            Self::Floats(CpuPath::Avx512(_)) => panel::<Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(_) => panel::<Avx512Bf16>(),
        }
    }

    /// Words of so many numbers of a row.
    pub(super) fn depth(self, n: usize) -> usize {
        match self {
            Self::Floats(_) => n,
            #[cfg(target_arch = "x86_64")]
            Self::Pairs(_) => n.div_ceil(2),
        }
    }

    fn is_pairs(self) -> bool {
        !matches!(self, Self::Floats(_))
    }

    /// See [`multiply`].
    ///
    /// # Safety
    /// As there, but for the instructions.
    pub(super) unsafe fn multiply(self, job: &Job, rows: Range<usize>, panels: Range<usize>) {
        // SAFETY: the caller's promise; a path beyond the plain one exists only where the processor reported it, and
        // pairs only where `new` asked for them.
        unsafe {
            match self {
                Self::Floats(CpuPath::Scalar) => multiply::<Plain>(job, rows, panels),
                #[cfg(target_arch = "x86_64")]
                Self::Floats(CpuPath::Avx2(_)) => multiply_avx2(job, rows, panels),
                #[cfg(target_arch = "x86_64")]
                Self::Floats(CpuPath::Avx512(_)) => multiply_avx512(job, rows, panels),
                #[cfg(target_arch = "x86_64")]
                Self::Pairs(_) => multiply_pairs(job, rows, panels),
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn multiply_avx2(job: &Job, rows: Range<usize>, panels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { multiply::<Avx2>(job, rows, panels) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
unsafe fn multiply_avx512(job: &Job, rows: Range<usize>, panels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { multiply::<Avx512>(job, rows, panels) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")]
unsafe fn multiply_pairs(job: &Job, rows: Range<usize>, panels: Range<usize>) {
    // SAFETY: the caller's promise.
    unsafe { multiply::<Avx512Bf16>(job, rows, panels) }
}

/// A constant matrix of `[out, in]` laid out for products, with its bias.
///
/// Panels of some columns of the result lie one after another, each step of the sum beside the next: a product reads
/// them in the order in which they lie.
#[derive(Debug)]
pub struct Panels {
    pub(super) way: Way,
    lines: Vec<Line>,
    /// Padded to whole panels.
    bias: Option<Vec<f32>>,
    n_out: usize,
    n_in: usize,
}

impl Panels {
    /// Lays out a matrix of `[out, in]` and the bias that goes with it.
    ///
    /// # Panics
    /// Where lengths disagree.
    pub fn new(weight: &[f32], shape: [usize; 2], bias: Option<&[f32]>, format: Format) -> Self {
        Self::with(Way::new(CpuPath::best(), format), weight, shape, bias)
    }

    pub(super) fn with(way: Way, weight: &[f32], [n_out, n_in]: [usize; 2], bias: Option<&[f32]>) -> Self {
        assert_eq!(weight.len(), n_out * n_in, "a matrix of another shape");
        assert!(bias.is_none_or(|bias| bias.len() == n_out), "a bias of another length");
        let (panel, depth) = (way.panel(), way.depth(n_in));
        let n_panel = n_out.div_ceil(panel);
        let mut lines = vec![Line::ZERO; (n_panel * panel * depth).div_ceil(16)];
        if n_in > 0 && n_out > 0 {
            let panels = words_mut(&mut lines).par_chunks_exact_mut(panel * depth);
            panels.zip(weight.par_chunks(panel * n_in)).for_each(|(to, rows)| {
                for (column, row) in rows.chunks_exact(n_in).enumerate() {
                    if way.is_pairs() {
                        for (step, two) in row.chunks(2).enumerate() {
                            to[step * panel + column] =
                                math::pair([two[0], two.get(1).copied().unwrap_or(0.0)]);
                        }
                    } else {
                        for (step, value) in row.iter().enumerate() {
                            to[step * panel + column] = value.to_bits();
                        }
                    }
                }
            });
        }
        let bias = bias.map(|bias| {
            let mut bias = bias.to_vec();
            bias.resize(n_panel * panel, 0.0);
            bias
        });
        Self { way, lines, bias, n_out, n_in }
    }

    /// `[out, in]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.n_out, self.n_in]
    }

    /// Memory that it takes.
    pub fn n_byte(&self) -> usize {
        size_of_val(&self.lines[..])
    }

    /// Whether some columns of the result can be computed by themselves.
    pub(super) fn splits_at(&self, column: usize) -> bool {
        column.is_multiple_of(self.way.panel())
    }

    /// Computes a product.
    ///
    /// `pairs` is where factors are kept as short floats, if the matrix is of those.
    pub(super) fn multiply(&self, product: Product<'_>, pairs: &mut Rows) {
        let Product { x, columns, before, then, out } = product;
        let Range { start, end } = columns.unwrap_or(0..self.n_out);
        assert!(
            self.splits_at(start) && (end == self.n_out || self.splits_at(end)),
            "columns of whole panels"
        );
        assert_eq!((x.width(), out.width()), (self.n_in, end - start), "rows of another width");
        assert_eq!(x.n_row(), out.n_row(), "another number of rows");
        let (panel, depth) = (self.way.panel(), self.way.depth(self.n_in));
        let x = if self.way.is_pairs() {
            pairs.reshape(x.n_row(), depth);
            pairs.for_each_row(16, |row, words| math::pairs(x.row(row), words));
            &*pairs
        } else {
            x
        };
        let job = Job {
            x: x.as_ptr(),
            x_stride: x.stride(),
            depth,
            panels: words(&self.lines)[start * depth..].as_ptr(),
            bias: self.bias.as_ref().map_or(std::ptr::null(), |bias| bias[start..].as_ptr()),
            out: out.as_mut_ptr().cast(),
            out_stride: out.stride(),
            n_column: (end - start).next_multiple_of(16),
            before,
            then,
        };
        let (n_row, n_panel) = (x.n_row(), (end - start).div_ceil(panel));
        if n_row == 0 || n_panel == 0 {
            return;
        }
        let n_thread = rayon::current_num_threads();
        let n_part = n_row.div_ceil(N_ROW);
        // Weights are read once for every part, so that rows are cut only where they are many.
        let n_wanted = if n_thread == 1 { 1 } else { (n_thread * N_PIECE).div_ceil(n_part) };
        let n_worthwhile = (n_row / n_part * depth * panel * n_panel / N_PRODUCT).max(1);
        let n_group = n_wanted.min(n_panel).min(n_worthwhile);
        let piece = |idx: usize| {
            let (part, group) = (idx / n_group, idx % n_group);
            let rows = part * n_row / n_part..(part + 1) * n_row / n_part;
            let panels = group * n_panel / n_group..(group + 1) * n_panel / n_group;
            // SAFETY: extents were compared above, and every piece has rows or panels of its own. Panels of the last
            // columns are whole, as are rows of `out` up to a multiple of sixteen.
            unsafe { self.way.multiply(&job, rows, panels) }
        };
        if n_part * n_group == 1 || n_thread == 1 {
            (0..n_part * n_group).for_each(piece);
        } else {
            (0..n_part * n_group).into_par_iter().with_max_len(1).for_each(piece);
        }
    }
}

/// x · Wᵀ + b and what is done with it.
pub(super) struct Product<'a> {
    pub(super) x: &'a Rows,
    /// All, or whole panels of them; `out` has these alone.
    pub(super) columns: Option<Range<usize>>,
    pub(super) before: Before,
    pub(super) then: Then,
    pub(super) out: &'a mut Rows,
}

impl<'a> Product<'a> {
    /// All columns, which replace what is there.
    pub(super) fn new(x: &'a Rows, out: &'a mut Rows) -> Self {
        Self { x, columns: None, before: Before::Replaced, then: Then::Kept, out }
    }
}
