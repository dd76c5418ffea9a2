//! Random models and pictures of noise, from numbers that depend on nothing but a seed.

use burn::tensor::Device;
use eosin_core::PatchGrid;
use eosin_model::prepare::ImageTensor;
use eosin_model::qwen::load::WeightForm;
use eosin_model::qwen::{Config, Qwen};
use eosin_weights::MemoryTensors;

/// A model whose matrices are random and `scale` times those of a fresh one. Numbers are its own, since tests that run
/// side by side share the device's.
pub(crate) fn model(config: &Config, seed: u64, scale: f32, device: &Device) -> Qwen {
    let mut weights = Qwen::init(config, &Device::flex()).named_weights();
    for (stream, (_, shape, values)) in (seed..).step_by(7).zip(&mut weights) {
        if shape.len() > 1 {
            // Three uniform numbers are near enough to a normal one.
            let mut numbers = numbers(stream).map(|number| (number % 20_001) as f32 / 10_000.0 - 1.0);
            let mut normal = || numbers.by_ref().take(3).sum::<f32>() * 0.02;
            values.iter_mut().for_each(|value| *value = scale * normal());
        }
    }
    Qwen::load(config, &MemoryTensors::from_f32(weights).unwrap(), WeightForm::Dense, device).unwrap()
}

/// Numbers that look drawn, from a name.
pub(crate) fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 11
    })
}

/// A picture of noise.
#[allow(dead_code, reason = "each test takes what it needs")]
pub(crate) fn picture(config: &Config, [columns, rows]: [u32; 2], seed: u64) -> ImageTensor {
    let grid = PatchGrid::new([columns * 28, rows * 28], 14, 2).unwrap();
    let n = grid.n_patch() * config.vision.as_ref().unwrap().d_patch();
    let patches = numbers(seed).take(n).map(|value| (value % 2000) as f32 / 500.0 - 2.0).collect();
    ImageTensor { patches, grid }
}
