//! Packed matrices and activations for tests: drawn from a named seed, the same on every machine.

use eosin_weights::GgmlType;

/// What the blocks hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fill {
    /// Scales near one hundredth, numbers of all sizes.
    Plain,
    /// Scales near the largest half.
    Huge,
    /// Scales that are subnormal halves.
    Tiny,
    /// Nothing but zero bytes.
    Zero,
}

impl Fill {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Huge, Self::Tiny, Self::Zero];
}

/// A generator good enough for test data (splitmix64).
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between −1 and 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub(crate) fn uniform(n: usize, seed: u64) -> Vec<f32> {
    let mut draw = Draw(seed);
    (0..n).map(|_| draw.unit()).collect()
}

/// Rows of blocks with random numbers and scales of the wanted size.
pub(crate) fn packed(kind: GgmlType, [rows, cols]: [usize; 2], fill: Fill, seed: u64) -> Vec<u8> {
    let n_block = rows * cols / kind.block_len();
    let mut draw = Draw(seed);
    let size = match fill {
        Fill::Zero => return vec![0; n_block * kind.block_bytes()],
        Fill::Plain => 0.01,
        Fill::Huge => 65_000.0,
        Fill::Tiny => 3e-6,
    };
    let scalar = |draw: &mut Draw| {
        let sign = if draw.next().is_multiple_of(2) { 1.0 } else { -1.0 };
        sign * size * (0.75 + 0.25 * draw.unit().abs())
    };
    let mut bytes = Vec::with_capacity(n_block * kind.block_bytes());
    for _ in 0..n_block {
        match kind {
            GgmlType::F32 => bytes.extend(scalar(&mut draw).to_le_bytes()),
            GgmlType::F16 => bytes.extend(half::f16::from_f32(scalar(&mut draw)).to_le_bytes()),
            GgmlType::Bf16 => bytes.extend(half::bf16::from_f32(scalar(&mut draw)).to_le_bytes()),
            _ => {
                let start = bytes.len();
                bytes.extend((0..kind.block_bytes()).map(|_| draw.next() as u8));
                let scales: &[usize] = match kind {
                    GgmlType::Q6K => &[208],
                    GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
                    _ => &[0],
                };
                for offset in scales {
                    let scale = half::f16::from_f32(scalar(&mut draw)).to_le_bytes();
                    bytes[start + offset..start + offset + 2].copy_from_slice(&scale);
                }
            }
        }
    }
    bytes
}
