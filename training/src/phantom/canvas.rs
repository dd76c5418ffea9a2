//! Pictures as three amounts a pixel, painted with soft shapes: dyes, or light itself.
//!
//! Tissue is drawn as amounts of nuclear dye, counterstain and chromogen because dyes mix by absorption
//! (Beer–Lambert), which colours do not: where a nucleus overlaps a fibre the result is darker, not
//! an average. `stain.rs` turns amounts into light. Held true by the tests of `phantom.rs`.

/// Amounts of nuclear dye, counterstain and chromogen.
pub(crate) type Ink = [f32; 3];

/// Dye amounts of a picture, row-major.
#[derive(Clone)]
pub(crate) struct Canvas {
    size_px: [usize; 2],
    inks: Vec<Ink>,
}

impl Canvas {
    pub(crate) fn new(size_px: [usize; 2]) -> Self {
        Self { size_px, inks: vec![[0.0; 3]; size_px[0] * size_px[1]] }
    }

    pub(crate) fn size_px(&self) -> [usize; 2] {
        self.size_px
    }

    pub(crate) fn into_inks(self) -> Vec<Ink> {
        self.inks
    }

    /// Sets every pixel; the closure gets the pixel's place.
    pub(crate) fn fill(&mut self, mut ink: impl FnMut(f32, f32) -> Ink) {
        let width_px = self.size_px[0];
        for (y, row) in self.inks.chunks_exact_mut(width_px).enumerate() {
            for (x, out) in row.iter_mut().enumerate() {
                *out = ink(x as f32, y as f32);
            }
        }
    }

    /// Paints within `reach_px` of a centre; the closure gives coverage 0..1 and dye, which replaces what
    /// lies below as far as it covers.
    pub(crate) fn paint(
        &mut self,
        centre: [f32; 2],
        reach_px: f32,
        mut brush: impl FnMut(f32, f32) -> (f32, Ink),
    ) {
        let [x_range, y_range] = self.reach(centre, reach_px);
        for y in y_range {
            for x in x_range.clone() {
                let (cover, ink) = brush(x as f32 - centre[0], y as f32 - centre[1]);
                if cover > 0.0 {
                    let out = &mut self.inks[y * self.size_px[0] + x];
                    for (below, above) in out.iter_mut().zip(ink) {
                        *below += (above - *below) * cover.min(1.0);
                    }
                }
            }
        }
    }

    /// Adds within `reach_px` of a centre, as light adds and transparent cells upon one another do.
    pub(crate) fn add(&mut self, centre: [f32; 2], reach_px: f32, mut brush: impl FnMut(f32, f32) -> Ink) {
        let [x_range, y_range] = self.reach(centre, reach_px);
        for y in y_range {
            for x in x_range.clone() {
                let ink = brush(x as f32 - centre[0], y as f32 - centre[1]);
                for (below, above) in self.inks[y * self.size_px[0] + x].iter_mut().zip(ink) {
                    *below += above;
                }
            }
        }
    }

    /// Multiplies within `reach_px` of a centre.
    pub(crate) fn dim(&mut self, centre: [f32; 2], reach_px: f32, mut brush: impl FnMut(f32, f32) -> Ink) {
        let [x_range, y_range] = self.reach(centre, reach_px);
        for y in y_range {
            for x in x_range.clone() {
                let share = brush(x as f32 - centre[0], y as f32 - centre[1]);
                for (below, share) in self.inks[y * self.size_px[0] + x].iter_mut().zip(share) {
                    *below *= share;
                }
            }
        }
    }

    /// Columns and rows within `reach_px` of a centre.
    fn reach(&self, centre: [f32; 2], reach_px: f32) -> [std::ops::Range<usize>; 2] {
        [0, 1].map(|axis| {
            let side = self.size_px[axis] as f32;
            let low = (centre[axis] - reach_px).floor().clamp(0.0, side) as usize;
            let high = (centre[axis] + reach_px + 1.0).ceil().clamp(0.0, side) as usize;
            low..high
        })
    }

    /// Lays another canvas over this one with its corner at `origin_px`, as far as `mask` says (0..1, of a
    /// place on this canvas). What hangs over the edge is cut.
    pub(crate) fn lay_over(&mut self, other: &Self, origin_px: [usize; 2], mask: impl Fn(f32, f32) -> f32) {
        let [width_px, height_px] = self.size_px;
        let n_row = other.size_px[1].min(height_px.saturating_sub(origin_px[1]));
        let n_column = other.size_px[0].min(width_px.saturating_sub(origin_px[0]));
        for row in 0..n_row {
            let y = origin_px[1] + row;
            for column in 0..n_column {
                let x = origin_px[0] + column;
                let cover = mask(x as f32, y as f32).clamp(0.0, 1.0);
                let out = &mut self.inks[y * width_px + x];
                for (below, above) in out.iter_mut().zip(other.inks[row * other.size_px[0] + column]) {
                    *below += (above - *below) * cover;
                }
            }
        }
    }
}

/// A rounded shape: an ellipse with a three-fold and a two-fold dent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    pub(crate) radii_px: [f32; 2],
    pub(crate) angle: f32,
    /// Depth of the three-fold dent, a share of the radius.
    pub(crate) dent: f32,
}

impl Blob {
    pub(crate) fn round(radius_px: f32) -> Self {
        Self { radii_px: [radius_px; 2], angle: 0.0, dent: 0.0 }
    }

    pub(crate) fn reach_px(&self) -> f32 {
        self.radii_px[0].max(self.radii_px[1]) * (1.0 + self.dent.abs()) + 1.0
    }

    /// Signed distance to the edge in pixels, negative inside (exact for a circle, near enough else),
    /// and the share of the radius, 0 in the centre and 1 at the edge.
    pub(crate) fn measure(&self, x: f32, y: f32) -> (f32, f32) {
        let (sin, cos) = self.angle.sin_cos();
        let [u, v] = [(x * cos + y * sin) / self.radii_px[0], (y * cos - x * sin) / self.radii_px[1]];
        let share = (u * u + v * v).sqrt();
        let edge = if share > 1e-3 {
            1.0 + self.dent * u * (u * u - 3.0 * v * v) / (share * share * share)
        } else {
            1.0
        };
        let share = share / edge;
        ((share - 1.0) * self.radii_px[0].min(self.radii_px[1]), share)
    }

    /// The edge in a direction, as an offset from the centre.
    pub(crate) fn edge(&self, turn: f32) -> [f32; 2] {
        let (sin, cos) = turn.sin_cos();
        let radius = 1.0 + self.dent * cos * (cos * cos - 3.0 * sin * sin);
        let [u, v] = [cos * radius * self.radii_px[0], sin * radius * self.radii_px[1]];
        let (sin, cos) = self.angle.sin_cos();
        [u * cos - v * sin, u * sin + v * cos]
    }
}

/// By how much textures and lines grow with the cells: whole steps, so that the small jitter of a cell's
/// size leaves them alone.
pub(crate) fn magnification(scale: f32) -> f32 {
    scale.round().max(1.0)
}

/// Coverage of a pixel at a signed distance from an edge that is `soft_px` wide.
pub(crate) fn cover(distance_px: f32, soft_px: f32) -> f32 {
    (0.5 - distance_px / soft_px).clamp(0.0, 1.0)
}

/// A pseudo-random number in 0..1 of a lattice point.
pub(crate) fn lattice(x: i32, y: i32, salt: u32) -> f32 {
    let mut hash = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ salt;
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(0x2C1B_3C6D);
    hash ^= hash >> 12;
    hash = hash.wrapping_mul(0x297A_2D39);
    hash ^= hash >> 15;
    (hash >> 8) as f32 / 16_777_216.0
}

/// Smooth value noise in 0..1 with features about one unit wide.
pub(crate) fn noise(x: f32, y: f32, salt: u32) -> f32 {
    let [floor_x, floor_y] = [x.floor(), y.floor()];
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let [tx, ty] = [smooth(x - floor_x), smooth(y - floor_y)];
    let [ix, iy] = [floor_x as i32, floor_y as i32];
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let top = mix(lattice(ix, iy, salt), lattice(ix.wrapping_add(1), iy, salt), tx);
    let below = iy.wrapping_add(1);
    let bottom = mix(lattice(ix, below, salt), lattice(ix.wrapping_add(1), below, salt), tx);
    mix(top, bottom, ty)
}
