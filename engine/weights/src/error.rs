//! What can go wrong with a file of weights.
//!
//! Files are untrusted, so most variants are refusals: they name the file and the cause on one line, and
//! never show its contents beyond the names of tensors and keys (printed through [`quoted`], which keeps
//! control characters and endless names out of a terminal).

use std::path::PathBuf;

use eosin_core::Hint;

use crate::GgmlType;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The file could not be opened, mapped or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file contradicts its format or itself.
    #[error("not a sound {container} file: {cause}: {}", path.display())]
    Malformed {
        /// The format it was read as.
        container: &'static str,
        /// The first contradiction found.
        cause: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is sound, but holds something that Eosin does not read.
    #[error("this {container} file holds {what}, which is not supported: {}", path.display())]
    Unsupported {
        /// The format.
        container: &'static str,
        /// What was met.
        what: String,
        /// The file.
        path: PathBuf,
    },
    /// A pickle names code that no file of weights needs.
    #[error("refused: the pickle asks for `{global}`, which is not part of a plain state dict: {}", path.display())]
    Global {
        /// Module and name.
        global: String,
        /// The file.
        path: PathBuf,
    },
    /// No tensor of this name.
    #[error("no tensor `{name}` in {}", path.display())]
    MissingTensor {
        /// The name asked for.
        name: String,
        /// The file or folder.
        path: PathBuf,
    },
    /// No metadata of this name.
    #[error("no key `{key}` in {}", path.display())]
    MissingKey {
        /// The key asked for.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A metadata value of another type.
    #[error("key `{key}` is {found}, expected {expected}: {}", path.display())]
    WrongType {
        /// The key asked for.
        key: String,
        /// What was asked for.
        expected: &'static str,
        /// What the file has.
        found: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A tensor's shape, type and size disagree.
    #[error("tensor `{name}` of shape {shape:?} in {kind} cannot have {n_byte} bytes")]
    Size {
        /// The tensor.
        name: String,
        /// Its shape, outermost first.
        shape: Vec<usize>,
        /// Its type.
        kind: GgmlType,
        /// Its bytes.
        n_byte: usize,
    },
    /// A model that cannot be converted.
    #[error("cannot convert the model: {cause}")]
    Convert {
        /// What stands in the way.
        cause: String,
    },
}

impl Hint for WeightError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Malformed { .. } => {
                Some("the file may be cut short or damaged: copy it again and compare its checksum")
            }
            Self::Global { .. } => Some(
                "pickles can run code: use a safetensors copy, or save the bare state dict again with torch",
            ),
            Self::Unsupported { container: "GGUF", .. } => {
                Some("quantise again to F16, Q8_0, Q4_0, Q4_K_M, Q5_K_M or Q6_K")
            }
            Self::MissingTensor { .. } | Self::MissingKey { .. } | Self::WrongType { .. } => {
                Some("see what the file holds with `eosin bundle inspect`")
            }
            _ => None,
        }
    }
}

/// A name out of an untrusted file, fit for one line of an error: escaped, and cut at 80 characters.
pub(crate) fn quoted(name: &str) -> String {
    let mut text: String = name.chars().take(80).flat_map(char::escape_debug).collect();
    if name.chars().count() > 80 {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_short_and_on_one_line() {
        assert_eq!(quoted("blk.0.attn_q.weight"), "blk.0.attn_q.weight");
        assert_eq!(quoted("a\nb\u{1b}[2J"), "a\\nb\\u{1b}[2J");
        assert_eq!(quoted(&"x".repeat(1000)).chars().count(), 81);
    }
}
