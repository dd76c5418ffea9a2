//! The facade over the models: bundles, prompts, generation, streaming.
//!
//! [`Worker`] is the way in for windows and command lines: one thread owns device and model, questions go
//! in, [`StreamEvent`]s come out. [`Session`] is the same without a thread. Neither knows a window, a slide
//! or a network. Held true by the unit tests, by `tests/session.rs` (words against the references) and by
//! `tests/cli.rs` (answers against them).

pub mod bundle;
pub mod embed;
mod error;
pub mod generate;
pub mod manifest;
pub mod memory;
pub mod prompt;
pub mod sampler;
pub mod stop;
pub mod stream;
pub mod template;
pub mod tokenizer;
pub mod worker;

pub use bundle::{BundleSource, ModelBundle, ModelCard};
pub use error::SessionError;
pub use generate::{AskOptions, Cancel, EndOfTurn, ModelInfo, PromptLookup, Question, Session};
pub use prompt::Style;
pub use sampler::SamplerSettings;
pub use stream::{Channel, Settled, StopReason, StreamEvent, TagSplitter, Transcript, Usage};
pub use worker::{LoadState, Worker};

/// Devices of this machine, for those who ask what there is.
pub mod device {
    pub use eosin_kernels::{CpuPath, DeviceClass, DeviceReport, probe, select};
}
