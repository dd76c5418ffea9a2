//! What parity tests share: the conformance kit and the golden files, and how numbers are compared.
//!
//! The kit is not part of the repository. It is looked for in `EOSIN_SHARED`, else beside the workspace; a test
//! that does not find it says so and passes.

#[path = "shared.rs"]
mod shared;

use std::path::{Path, PathBuf};

use eosin_core::RgbTile;
use safetensors::{Dtype, SafeTensors};
use shared::shared;

/// The workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lie in the workspace").to_owned()
}

/// A folder of the conformance kit, such as `qwen`; `None` where there is no kit, after saying so.
pub(crate) fn kit(part: &str) -> Option<PathBuf> {
    shared(&format!("conformance/kit/{part}"))
}

/// A folder of `tests/golden`.
pub(crate) fn golden(part: &str) -> PathBuf {
    workspace().join("tests/golden").join(part)
}

/// Reads a JSON file.
pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        .unwrap()
}

/// Reference tensors of a case.
pub(crate) struct References(Vec<u8>);

impl References {
    /// Reads a safetensors file.
    pub(crate) fn open(path: &Path) -> Self {
        Self(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn tensors(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    /// Names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors().names().into_iter().map(ToOwned::to_owned).collect()
    }

    /// Whether there is a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors().tensor(name).is_ok()
    }

    /// Shape and 32-bit floats.
    pub(crate) fn floats(&self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let tensors = self.tensors();
        let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(view.dtype(), Dtype::F32, "{name}");
        let values = view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (view.shape().to_vec(), values.collect())
    }

    /// Whole numbers.
    pub(crate) fn integers(&self, name: &str) -> Vec<i64> {
        let tensors = self.tensors();
        let view = tensors.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let data = view.data();
        match view.dtype() {
            Dtype::I64 => data.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect(),
            Dtype::I32 => {
                data.chunks_exact(4).map(|b| i64::from(i32::from_le_bytes(b.try_into().unwrap()))).collect()
            }
            other => panic!("{name} is {other:?}"),
        }
    }
}

/// Largest difference, relative to the largest magnitude of the reference.
pub(crate) fn relative(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "numbers of values differ");
    let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    absolute(found, expected) / largest.max(f32::MIN_POSITIVE)
}

/// Largest difference. A value that is no number is infinitely far.
pub(crate) fn absolute(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "numbers of values differ");
    let far = |(a, b): (&f32, &f32)| if a.is_finite() { (a - b).abs() } else { f32::INFINITY };
    found.iter().zip(expected).map(far).fold(0.0, f32::max)
}

/// Place of the largest value.
pub(crate) fn argmax(values: &[f32]) -> usize {
    let largest = values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    largest.expect("there are values").0
}

/// Opens a picture as the reference's processor does: transparency is laid on white in Pillow's integers.
pub(crate) fn picture(path: &Path) -> RgbTile {
    let image = image::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_rgba8();
    let on_white = |pixel: &image::Rgba<u8>| {
        let [rgb @ .., alpha] = pixel.0.map(u32::from);
        rgb.map(|value| {
            let sum = 128 * (value * alpha + 255 * (255 - alpha)) + (0x80 << 7);
            ((((sum >> 8) + sum) >> 8) >> 7) as u8
        })
    };
    let pixels = image.pixels().flat_map(on_white).collect();
    RgbTile::new([image.width(), image.height()], pixels).unwrap()
}
