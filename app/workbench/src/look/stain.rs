//! One stain of a picture: how much of it each pixel holds, drawn in its colour or in grey.
//!
//! Stains add up in optical density (Beer and Lambert): `−ln(value / 255)` of a pixel is a sum of the stains'
//! vectors, each times its amount. The vectors are those of Ruifrok and Johnston, "Quantification of
//! histochemical staining by color deconvolution" (2001), brought to unit length; the third of a pair of stains
//! stands at right angles to both and takes what neither explains. The inverse is written out as cross
//! products. Amounts below zero are noise and count as none.

use serde::{Deserialize, Serialize};

/// A stain, and the pair that it is told apart in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stain {
    /// Haematoxylin beside eosin.
    Haematoxylin,
    /// Eosin beside haematoxylin.
    Eosin,
    /// Haematoxylin beside DAB.
    HaematoxylinOfDab,
    /// DAB beside haematoxylin.
    Dab,
}

/// How the amount of a stain is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tint {
    /// As if no other stain were there.
    Own,
    /// From white to black.
    Grey,
}

/// All of a picture, or one stain of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StainView {
    /// The picture as scanned.
    #[default]
    All,
    /// One stain.
    One {
        /// Which.
        stain: Stain,
        /// Drawn how.
        tint: Tint,
    },
}

const fn one(stain: Stain, tint: Tint) -> StainView {
    StainView::One { stain, tint }
}

/// Every view and its code.
const CODES: [(StainView, &str); 9] = [
    (StainView::All, "all"),
    (one(Stain::Haematoxylin, Tint::Own), "h"),
    (one(Stain::Haematoxylin, Tint::Grey), "h-grey"),
    (one(Stain::Eosin, Tint::Own), "e"),
    (one(Stain::Eosin, Tint::Grey), "e-grey"),
    (one(Stain::HaematoxylinOfDab, Tint::Own), "hd"),
    (one(Stain::HaematoxylinOfDab, Tint::Grey), "hd-grey"),
    (one(Stain::Dab, Tint::Own), "d"),
    (one(Stain::Dab, Tint::Grey), "d-grey"),
];

impl StainView {
    /// Every view, in the order of a menu.
    pub fn every() -> impl Iterator<Item = Self> {
        CODES.iter().map(|(view, _)| *view)
    }

    /// Its short name in an address.
    pub fn code(self) -> &'static str {
        CODES.iter().find(|(view, _)| *view == self).map_or("all", |(_, code)| code)
    }

    /// The view of a short name.
    pub fn from_code(code: &str) -> Option<Self> {
        CODES.iter().find(|(_, known)| *known == code).map(|(view, _)| *view)
    }
}

impl From<StainView> for String {
    fn from(view: StainView) -> Self {
        view.code().to_owned()
    }
}

impl TryFrom<String> for StainView {
    type Error = String;

    fn try_from(code: String) -> Result<Self, String> {
        Self::from_code(&code).ok_or_else(|| format!("no view of stains has the code {code:?}"))
    }
}

type Vector = [f64; 3];

const HAEMATOXYLIN: Vector = [0.65, 0.70, 0.29];
const EOSIN: Vector = [0.07, 0.99, 0.11];
const DAB: Vector = [0.27, 0.57, 0.78];

/// Amounts told apart: a step changes no channel by more than half a grey value.
const N_AMOUNT: usize = 4096;
/// Fraction of an amount that sums keep, in bits.
const FRACTION_BITS: u32 = 8;

/// Everything that a pixel needs.
#[derive(Clone)]
pub(super) struct StainTables {
    /// Share of the amount that each value of each channel brings.
    parts: [[i32; 256]; 3],
    /// Colour of each amount.
    colours: [[u8; 3]; N_AMOUNT],
}

impl StainTables {
    /// The tables of a stain, whose colours go through `tones` at the end.
    pub(super) fn new(stain: Stain, tint: Tint, tones: &[u8; 256]) -> Self {
        let (own, other) = match stain {
            Stain::Haematoxylin => (HAEMATOXYLIN, EOSIN),
            Stain::Eosin => (EOSIN, HAEMATOXYLIN),
            Stain::HaematoxylinOfDab => (HAEMATOXYLIN, DAB),
            Stain::Dab => (DAB, HAEMATOXYLIN),
        };
        let (own, other) = (unit(own), unit(other));
        let rest = unit(cross(own, other));
        // The row of the inverse matrix that gives the amount of `own`.
        let dual = cross(other, rest);
        let dual = dual.map(|side| side / dot(own, dual));

        // A value of zero counts as one: no density is infinite.
        let density = |value: usize| -(value.max(1) as f64 / 255.0).ln();
        let most = dual.iter().map(|side| side.max(0.0)).sum::<f64>() * density(0);
        let scale = (N_AMOUNT - 1) as f64 / most;
        let fixed = scale * f64::from(1 << FRACTION_BITS);
        let parts = dual.map(|side| std::array::from_fn(|value| (density(value) * side * fixed) as i32));
        let colours = std::array::from_fn(|idx| {
            let amount = idx as f64 / scale;
            let light = match tint {
                Tint::Own => own.map(|side| (-amount * side).exp()),
                Tint::Grey => [(-amount).exp(); 3],
            };
            light.map(|light| tones[(light * 255.0).round() as usize])
        });
        Self { parts, colours }
    }

    pub(super) fn apply(&self, pixels: &mut [u8]) {
        let [red, green, blue] = &self.parts;
        let half = 1 << (FRACTION_BITS - 1);
        for px in pixels.as_chunks_mut::<3>().0 {
            let sum = red[usize::from(px[0])] + green[usize::from(px[1])] + blue[usize::from(px[2])] + half;
            let amount = (sum.max(0) as usize) >> FRACTION_BITS;
            *px = self.colours[amount.min(N_AMOUNT - 1)];
        }
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: Vector, b: Vector) -> Vector {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

fn unit(a: Vector) -> Vector {
    let length = dot(a, a).sqrt();
    a.map(|side| side / length)
}
