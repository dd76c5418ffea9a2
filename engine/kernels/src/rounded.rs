//! Products with packed rows on the processor, of activations that are rounded to 8 bits first.
//!
//! Rounding costs each activation half a percent of the largest in its block, as it does in llama.cpp, and makes
//! products four times as fast: bytes are multiplied and summed by the instruction made for it. Whoever trains, or
//! wants every digit, takes [`crate::dot`] instead. One body is compiled for each [`BytePath`]; the path is chosen at
//! run time. The tests at the end hold every path against the plain meaning of the rounded numbers.
#![expect(unsafe_code, reason = "enters functions compiled for instructions that a `Proof` vouches for")]
#![expect(clippy::inline_always, reason = "what is not inlined is compiled without the vector instructions")]

mod activations;
mod kinds;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panel;
mod rows;
mod task;
mod vectors;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::cell::RefCell;
use std::marker::PhantomData;

use eosin_weights::GgmlType;

pub(crate) use activations::Rounded;
use activations::{Aligned, SPAN, Span};

use crate::dot;
use crate::path::{BytePath, CpuPath};
use kinds::{Kind, Q4, Q4K, Q5K, Q6K, Q8};
use panel::{Panels, Source};
pub(crate) use rows::N_ROW;
use task::Task;
use vectors::Vectors;

/// Where results go: element (row of activations, packed row) of a matrix that several threads write their own
/// columns of.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pointer: *mut f32,
    /// Elements of a row of the result.
    width: usize,
}

// SAFETY: whoever makes a target for several threads gives each its own columns.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// A target for all of a matrix whose rows have `width` elements.
    pub(crate) fn new(out: &mut [f32], width: usize) -> Self {
        Self { pointer: out.as_mut_ptr(), width }
    }

    /// # Safety
    /// The element exists.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: see above.
        unsafe { self.pointer.add(row * self.width + column) }
    }

    /// # Safety
    /// The element exists and is written by nobody else.
    #[inline(always)]
    unsafe fn write(self, row: usize, column: usize, value: f32) {
        // SAFETY: see above.
        unsafe { self.at(row, column).write(value) }
    }
}

/// Whether there are rounded products of a type with `m` rows of activations. Weights of 16 and 32 bits are rounded
/// while many rows wait for them; for a few rows that would cost more than the product.
pub(crate) fn serves(kind: GgmlType, m: usize) -> bool {
    kind.is_quantized() || m > rows::N_ROW
}

thread_local! {
    /// Unpacked weights, kept from product to product.
    static PANELS: RefCell<Panels> = RefCell::new(Panels::default());
}

/// Some packed rows of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct PackedRows<'a> {
    pub(crate) kind: GgmlType,
    pub(crate) bytes: &'a [u8],
    /// Bytes of a row.
    pub(crate) row_bytes: usize,
    /// The number of the first.
    pub(crate) first: usize,
}

/// Rows of activations as a type of weights takes them.
pub(crate) struct Factor<'a> {
    x: &'a Rounded,
    /// For many rows: for every group what is taken off with its sum. `[n_span, m, n_group]`
    below: Vec<f32>,
    /// For a few rows, where the type's numbers come in pairs: those of `x` in their order. `[n_span, m, 256]`
    pairs: Vec<Aligned<[i8; SPAN]>>,
}

impl<'a> Factor<'a> {
    /// Prepares activations once for all rows of a matrix.
    pub(crate) fn new(path: BytePath, kind: GgmlType, x: &'a Rounded) -> Self {
        // SAFETY: the task asks for nothing.
        unsafe { task::run(path, Preparation { kind, x }) }
    }

    /// A span of a row, numbers in the order in which a few rows are multiplied.
    ///
    /// # Safety
    /// Both numbers are in range.
    #[inline(always)]
    unsafe fn span(&self, row: usize, span: usize) -> Span<'_> {
        // SAFETY: see above; pairs are as many as numbers.
        unsafe {
            let own = self.x.span(row, span);
            if self.pairs.is_empty() {
                return own;
            }
            Span { numbers: &self.pairs.get_unchecked(span * self.x.n_row() + row).0, ..own }
        }
    }
}

/// Products of some packed rows with all rows of activations.
///
/// # Safety
/// `target` has a row for each row of activations and a column for each packed row up to the last of these, which
/// nobody else writes meanwhile.
///
/// # Panics
/// Where bytes and rows disagree, and where [`serves`] denies.
pub(crate) unsafe fn multiply(path: BytePath, weights: PackedRows<'_>, x: &Factor<'_>, target: Target) {
    let PackedRows { kind, bytes, row_bytes, .. } = weights;
    let span_bytes = SPAN / kind.block_len() * kind.block_bytes();
    let n_span = row_bytes.div_ceil(span_bytes);
    assert!(
        row_bytes > 0 && bytes.len().is_multiple_of(row_bytes) && n_span == x.x.n_span(),
        "{kind}: bytes and rows"
    );
    // SAFETY: lengths are checked above; the rest is the caller's.
    unsafe { task::run(path, Products { weights, x, target }) }
}

/// Asks for what [`Factor::new`] does.
struct Preparation<'a> {
    kind: GgmlType,
    x: &'a Rounded,
}

impl<'a> Preparation<'a> {
    fn of_kind<V: Vectors, K: Kind>(self) -> Factor<'a> {
        let x = self.x;
        let mut factor = Factor { x, below: Vec::new(), pairs: Vec::new() };
        if x.n_row() > rows::N_ROW {
            factor.below = x.group_sums(K::GROUP, kinds::zero::<V, K>().unwrap_or(1.0));
        } else if V::IN_PAIRS && K::IN_PAIRS {
            factor.pairs = x.pairs();
        }
        factor
    }
}

impl<'a> Task for Preparation<'a> {
    type Output = Factor<'a>;

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) -> Factor<'a> {
        match self.kind {
            // Floats are rounded to signed bytes.
            GgmlType::Q8_0 | GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => self.of_kind::<V, Q8>(),
            GgmlType::Q4_0 => self.of_kind::<V, Q4>(),
            GgmlType::Q4K => self.of_kind::<V, Q4K>(),
            GgmlType::Q5K => self.of_kind::<V, Q5K>(),
            GgmlType::Q6K => self.of_kind::<V, Q6K>(),
        }
    }
}

/// Asks for what [`multiply`] does, and as much of its caller.
struct Products<'a> {
    weights: PackedRows<'a>,
    x: &'a Factor<'a>,
    target: Target,
}

impl Task for Products<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) {
        let Self { weights, x, target } = self;
        // SAFETY: passed on to the caller.
        unsafe {
            match weights.kind {
                GgmlType::Q8_0 => of_kind::<V, Q8>(weights, x, target),
                GgmlType::Q4_0 => of_kind::<V, Q4>(weights, x, target),
                GgmlType::Q4K => of_kind::<V, Q4K>(weights, x, target),
                GgmlType::Q5K => of_kind::<V, Q5K>(weights, x, target),
                GgmlType::Q6K => of_kind::<V, Q6K>(weights, x, target),
                GgmlType::F32 | GgmlType::F16 | GgmlType::Bf16 => of_floats::<V>(weights, x, target),
            }
        }
    }
}

/// What one thread multiplies and adds at most on a path, operands in registers: the roof of products, in operations
/// a second.
pub fn peak(path: BytePath) -> f64 {
    let begun = std::time::Instant::now();
    let mut n_operation = 0.0;
    while begun.elapsed().as_secs_f64() < 0.1 {
        // SAFETY: the task asks for nothing.
        n_operation += unsafe { task::run(path, Peak) };
    }
    n_operation / begun.elapsed().as_secs_f64()
}

/// Sums of products in twelve vectors; says how many operations these were.
struct Peak;

impl Task for Peak {
    type Output = f64;

    #[inline(always)]
    unsafe fn run<V: Vectors>(self) -> f64 {
        const N: usize = 1000;
        // Products for each look at memory.
        const N_X: usize = 8;
        // Numbers of their own for every sum, and others in every round as far as the compiler knows: nothing of a
        // product can be computed beforehand.
        let numbers = [[3_u8; 64]; 12];
        // SAFETY: passed on to the caller; a vector has at most 64 bytes.
        unsafe {
            let mut sums = [V::zero(); 12];
            for _ in 0..N {
                let numbers = std::hint::black_box(&numbers);
                for x in &numbers[..N_X] {
                    let x = V::load(x.as_ptr());
                    for (sum, numbers) in sums.iter_mut().zip(numbers) {
                        *sum = V::dot(*sum, V::load(numbers.as_ptr()), x);
                    }
                }
            }
            for sum in sums {
                std::hint::black_box(V::sum(V::floats(sum)));
            }
        }
        (N * N_X * 12 * V::N_BYTE * 2) as f64
    }
}

/// # Safety
/// As [`Task::run`] of [`Products`].
#[inline(always)]
unsafe fn of_floats<V: Vectors>(weights: PackedRows<'_>, x: &Factor<'_>, target: Target) {
    let PackedRows { kind, bytes, row_bytes, first } = weights;
    let n_col = row_bytes / kind.block_bytes();
    assert!(x.x.n_row() > rows::N_ROW, "{kind} has no groups");
    let mut floats = vec![0.0; bytes.len() / kind.block_bytes()];
    dot::unpack(CpuPath::best(), kind, bytes, &mut floats);
    // SAFETY: passed on to the caller.
    unsafe { in_panels::<V, _>(&Rounded::new(&floats, n_col), first, x, target) }
}

/// # Safety
/// As [`Task::run`] of [`Products`].
#[inline(always)]
unsafe fn in_panels<V: Vectors, S: Source>(weights: &S, first: usize, x: &Factor<'_>, target: Target) {
    // Taken out and put back: a closure would be compiled without the vector instructions.
    let mut panels = PANELS.take();
    // SAFETY: passed on to the caller.
    unsafe { panel::multiply::<V, S>(weights, first, x, target, &mut panels) }
    PANELS.set(panels);
}

/// # Safety
/// As [`Task::run`] of [`Products`].
#[inline(always)]
unsafe fn of_kind<V: Vectors, K: Kind>(weights: PackedRows<'_>, x: &Factor<'_>, target: Target) {
    let PackedRows { bytes, row_bytes, first, .. } = weights;
    // SAFETY: passed on to the caller.
    unsafe {
        if x.x.n_row() <= rows::N_ROW {
            return rows::multiply::<V, K>(bytes, row_bytes, first, x, target);
        }
        in_panels::<V, _>(&panel::Packed::<K> { bytes, row_bytes, kind: PhantomData }, first, x, target);
    }
}

#[cfg(test)]
mod tests;
