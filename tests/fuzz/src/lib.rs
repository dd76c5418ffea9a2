//! What each fuzz target does with its bytes: opens them, and reads every tensor or row of what opens.
//!
//! The bodies are here, so that libFuzzer (`fuzz_targets/`) and the plain driver (`src/bin/mutate.rs`) run
//! the same. Each returns how the bytes fared: novelty for the driver, nothing for libFuzzer.

#[cfg(feature = "training")]
pub mod rows;

use bytes::Bytes;
use eosin_weights::{Gguf, SafetensorsFolder, TorchCheckpoint, WeightError, WeightSource};

/// A fuzz target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A GGUF file.
    Gguf,
    /// A zip archive with the pickle of a checkpoint.
    Pickle,
    /// A safetensors file.
    SafetensorsHeader,
    /// Training data; the first byte chooses the container.
    #[cfg(feature = "training")]
    Rows,
}

impl Target {
    /// Every target.
    pub const ALL: &[Self] = &[
        Self::Gguf,
        Self::Pickle,
        Self::SafetensorsHeader,
        #[cfg(feature = "training")]
        Self::Rows,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gguf => "gguf",
            Self::Pickle => "pickle",
            Self::SafetensorsHeader => "safetensors_header",
            #[cfg(feature = "training")]
            Self::Rows => "rows",
        }
    }

    /// Reads the bytes as this target. Panics only where there is a fault to be found.
    pub fn run(self, bytes: Bytes) -> String {
        match self {
            Self::Gguf => outcome(Gguf::from_bytes(bytes).map(|gguf| {
                for (_, value) in gguf.meta().iter() {
                    value.to_json();
                }
                gguf
            })),
            Self::Pickle => outcome(TorchCheckpoint::from_bytes(&bytes)),
            Self::SafetensorsHeader => outcome(SafetensorsFolder::from_bytes(&bytes)),
            #[cfg(feature = "training")]
            Self::Rows => rows::outcome(&bytes),
        }
    }
}

/// Reads all tensors; says how it went, as the number of tensors or the kind of refusal.
fn outcome(opened: Result<impl WeightSource, WeightError>) -> String {
    match opened {
        Ok(source) => {
            let mut kinds = Vec::new();
            for name in source.names() {
                let tensor = source.tensor(name).expect("a tensor that is listed can be read");
                assert_eq!(tensor.to_f32().len(), tensor.n_element());
                kinds.push(format!("{}{}", tensor.kind, tensor.shape.len().min(5)));
            }
            kinds.sort();
            kinds.dedup();
            format!("read {}", kinds.join(" "))
        }
        Err(error) => {
            let text = error.to_string();
            assert!(
                !text.contains('\n') && text.len() < 2000,
                "a refusal is one line of sensible length: {text:?}"
            );
            kind_of(&text)
        }
    }
}

/// Numbers and names differ between inputs of one kind; the letters before and behind do not.
fn kind_of(text: &str) -> String {
    let (first, last) = (text.split('`').next(), text.rsplit('`').next());
    let around = first.into_iter().chain(last.filter(|_| text.contains('`'))).flat_map(str::chars);
    around.filter(char::is_ascii_alphabetic).take(52).collect()
}

/// Reads one file, for the programs in `fuzz_targets` when libFuzzer does not drive them.
pub fn replay(target: Target) {
    for path in std::env::args_os().skip(1) {
        let bytes = std::fs::read(&path).expect("the file to replay can be read");
        println!("{}", target.run(Bytes::from(bytes)));
    }
}
