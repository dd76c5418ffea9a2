//! The element types that tensors come in, and how many bytes they take.
//!
//! Numbers and block sizes are those of ggml (GGUF specification, "tensor info"); only the types that
//! Eosin computes with are known, everything else is refused by number where a file is read. The tests at
//! the end hold ids, sizes and names together.

use std::fmt;

/// How the elements of one tensor are stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GgmlType {
    /// 32-bit float.
    F32,
    /// IEEE half.
    F16,
    /// The upper 16 bits of a 32-bit float.
    Bf16,
    /// Blocks of 32: one half scale, 8-bit numbers.
    Q8_0,
    /// Blocks of 32: one half scale, 4-bit numbers.
    Q4_0,
    /// Blocks of 256: 4-bit numbers, 6-bit scales and minima for each 32.
    Q4K,
    /// Blocks of 256: 5-bit numbers, 6-bit scales and minima for each 32.
    Q5K,
    /// Blocks of 256: 6-bit numbers, 8-bit scales for each 16.
    Q6K,
}

impl GgmlType {
    /// Every known type.
    pub const ALL: [Self; 8] =
        [Self::F32, Self::F16, Self::Bf16, Self::Q8_0, Self::Q4_0, Self::Q4K, Self::Q5K, Self::Q6K];

    /// The type of a number in a GGUF file, where it is known.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }

    /// The number of this type in a GGUF file.
    pub fn id(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Bf16 => 30,
        }
    }

    /// The name that ggml prints, as in `Q4_K`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Elements in one block; 1 for plain floats.
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of `n_col` elements; `None` where rows of that length cannot be stored in this type
    /// (not whole blocks) or the number does not fit.
    pub fn row_bytes(self, n_col: usize) -> Option<usize> {
        if n_col.is_multiple_of(self.block_len()) {
            (n_col / self.block_len()).checked_mul(self.block_bytes())
        } else {
            None
        }
    }

    /// Whether elements share scales in blocks.
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_name_each_type_once() {
        for kind in GgmlType::ALL {
            assert_eq!(GgmlType::from_id(kind.id()), Some(kind));
        }
        for id in [3, 6, 7, 9, 10, 11, 15, 31, u32::MAX] {
            assert_eq!(GgmlType::from_id(id), None, "id {id}");
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        let check = |kind: GgmlType, n_col, expected| assert_eq!(kind.row_bytes(n_col), expected, "{kind}");
        check(GgmlType::F32, 3, Some(12));
        check(GgmlType::Bf16, 3, Some(6));
        check(GgmlType::Q8_0, 64, Some(68));
        check(GgmlType::Q4_0, 32, Some(18));
        check(GgmlType::Q4_0, 33, None);
        check(GgmlType::Q4K, 2048, Some(8 * 144));
        check(GgmlType::Q5K, 256, Some(176));
        check(GgmlType::Q6K, 3420, None);
        check(GgmlType::F32, usize::MAX, None);
    }
}
