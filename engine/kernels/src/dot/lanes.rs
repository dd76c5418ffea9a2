//! A handful of floats that are multiplied together: what the product's body is written in.

/// Floats side by side.
///
/// Methods are unsafe because those of the vector types are only sound inside a function compiled for the
/// instructions; the array's are sound everywhere.
pub(super) trait Lanes: Copy {
    /// How many floats.
    const COUNT: usize;

    /// All zero.
    unsafe fn zero() -> Self;

    /// The first [`Lanes::COUNT`] floats of a slice that has at least as many.
    unsafe fn load(source: &[f32]) -> Self;

    /// `self + a · b`, rounded once where the processor can.
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;

    /// The sum of all lanes.
    unsafe fn sum(self) -> f32;
}

impl Lanes for [f32; 8] {
    const COUNT: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        [0.0; 8]
    }

    #[inline(always)]
    unsafe fn load(source: &[f32]) -> Self {
        let mut lanes = [0.0; 8];
        lanes.copy_from_slice(&source[..8]);
        lanes
    }

    #[inline(always)]
    unsafe fn multiply_add(mut self, a: Self, b: Self) -> Self {
        for lane in 0..8 {
            self[lane] += a[lane] * b[lane];
        }
        self
    }

    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        let [a, b, c, d, e, f, g, h] = self;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}
