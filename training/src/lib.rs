//! Training, headless: phantoms, recipes, stages, evaluation, export.
//!
//! The road is `Recipe → Plan → Run → Checkpoint → bundle`, with pictures and conversations from the
//! phantoms. Nothing here prints or reads a terminal: whoever looks on implements [`watch::Watch`].

pub mod batch;
pub mod checkpoint;
pub mod clip;
pub mod data;
mod error;
pub mod evaluate;
pub mod examples;
pub mod export;
pub mod folder;
pub mod judge;
pub mod metrics;
pub mod optim;
pub mod outlook;
pub mod phantom;
pub mod pipeline;
pub mod recipe;
pub mod report;
pub mod reward;
pub mod rl;
pub mod run;
pub mod sample;
pub mod sft;
pub mod stream;
pub mod tensorboard;
pub mod vocabulary;
pub mod watch;

pub use eosin_kernels::device;
pub use error::TrainError;
