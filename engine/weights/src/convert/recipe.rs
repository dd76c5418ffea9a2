//! Which type each tensor is stored in.
//!
//! The mixtures are llama.cpp's (`Q4_K_M` spends six bits on the matrices that suffer most: values and the
//! way down of some layers, and the output). One deviation: where rows are not whole blocks of 256,
//! llama.cpp falls back to `Q5_0` and `Q5_1`, which Eosin does not read; here the fallback is `Q8_0`, and
//! F16 where rows are not whole blocks of 32 either. `tests/kit.rs` compares with llama.cpp's files.

use std::fmt;
use std::str::FromStr;

use super::config::Config;
use super::names::Planned;
use crate::GgmlType;

/// A mixture of types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(non_camel_case_types, reason = "these are the names users know from file names")]
pub enum Recipe {
    /// Everything in 32 bits.
    F32,
    /// Matrices in halves.
    F16,
    /// 8.5 bits.
    Q8_0,
    /// 4.5 bits, the simple kind.
    Q4_0,
    /// 4.5 bits, sensitive matrices 6.6.
    Q4_K_M,
    /// 5.5 bits, sensitive matrices 6.6.
    Q5_K_M,
    /// 6.6 bits.
    Q6_K,
}

impl Recipe {
    /// Every mixture.
    pub const ALL: [Self; 7] =
        [Self::F32, Self::F16, Self::Q8_0, Self::Q4_0, Self::Q4_K_M, Self::Q5_K_M, Self::Q6_K];

    /// The name in file names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_K_M => "Q4_K_M",
            Self::Q5_K_M => "Q5_K_M",
            Self::Q6_K => "Q6_K",
        }
    }

    /// The number under `general.file_type`.
    pub fn file_type(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4_K_M => 15,
            Self::Q5_K_M => 17,
            Self::Q6_K => 18,
        }
    }

    /// The mixture under a `general.file_type`, where it is known.
    pub fn from_file_type(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|recipe| recipe.file_type() == number)
    }

    /// The mixture of the vision tower: small beside the language model and sensitive, so never below 8
    /// bits.
    pub(super) fn of_vision(self) -> Self {
        match self {
            Self::F32 | Self::Q8_0 => self,
            Self::F16 | Self::Q4_0 | Self::Q4_K_M | Self::Q5_K_M | Self::Q6_K => Self::F16,
        }
    }

    /// The type of one tensor, and whether it is larger than the mixture asks for.
    pub(super) fn kind(self, tensor: &Planned, config: &Config) -> (GgmlType, bool) {
        // Norms and biases are small, and every implementation computes with them in 32 bits.
        if tensor.shape.len() < 2 {
            return (GgmlType::F32, false);
        }
        let recipe = if tensor.is_vision { self.of_vision() } else { self };
        let wanted = match recipe {
            Self::F32 => GgmlType::F32,
            Self::F16 => GgmlType::F16,
            Self::Q8_0 => GgmlType::Q8_0,
            Self::Q6_K => GgmlType::Q6K,
            Self::Q4_0 if is_output(tensor, config) => GgmlType::Q6K,
            Self::Q4_0 => GgmlType::Q4_0,
            Self::Q4_K_M | Self::Q5_K_M if is_output(tensor, config) || is_sensitive(tensor, config) => {
                GgmlType::Q6K
            }
            Self::Q4_K_M => GgmlType::Q4K,
            Self::Q5_K_M => GgmlType::Q5K,
        };
        // Patch kernels have rows of one patch's width: they stay halves in every quantised file.
        let wanted = if tensor.shape.len() > 2 && wanted.is_quantized() { GgmlType::F16 } else { wanted };
        let n_col = tensor.shape[tensor.shape.len() - 1];
        let kind =
            [wanted, GgmlType::Q8_0, GgmlType::F16].into_iter().find(|kind| kind.row_bytes(n_col).is_some());
        let kind = kind.expect("halves take rows of any length");
        (kind, kind != wanted)
    }
}

/// The matrix that makes the logits.
fn is_output(tensor: &Planned, config: &Config) -> bool {
    tensor.name == if config.is_tied { "token_embd.weight" } else { "output.weight" }
}

/// Values and ways down of the first and last eighth of the layers and of each third between.
fn is_sensitive(tensor: &Planned, config: &Config) -> bool {
    let Some(layer) = tensor.layer.filter(|_| !tensor.is_vision) else { return false };
    let (eighth, n_layer) = (config.n_layer / 8, config.n_layer);
    (tensor.name.ends_with(".attn_v.weight") || tensor.name.ends_with(".ffn_down.weight"))
        && (layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2)
}

impl fmt::Display for Recipe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|recipe| recipe.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("unknown type, expected one of {names}")
        })
    }
}
