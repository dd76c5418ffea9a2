//! The commands, one file each: `Args` says what was asked, `run` does it.

pub(crate) mod annotate;
pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod bundle;
pub(crate) mod case;
pub(crate) mod classify;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod embed;
pub(crate) mod index;
pub(crate) mod library;
pub(crate) mod open;
pub(crate) mod review;
pub(crate) mod search;
pub(crate) mod slide;
pub(crate) mod train;
pub(crate) mod window;
