//! Reinforcement learning: the formulas, each in its file, as pure functions of numbers and tensors.
//!
//! Formulas follow DAPO (Yu et al. 2025), GRPO (Shao et al. 2024), Dr.GRPO (Liu et al. 2025) and the places
//! where verl and TRL had to decide what the papers leave open; each file names its source.
//! `tests/train_formulas.rs` holds values and gradients against vectors made in `PyTorch`.

pub mod advantage;
pub mod aggregate;
pub mod filter;
pub mod kl;
pub mod overlong;
pub mod policy;
