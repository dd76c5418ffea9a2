//! Temporary.
#![allow(missing_docs, clippy::all, clippy::pedantic, reason = "temporary")]
use crate::data::*;
use crate::error::TrainError;
use crate::phantom::*;
use eosin_core::RgbTile;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Files {
    pub path: String,
}
impl Files {
    pub fn open(&self, _t: &mut Tally) -> Result<Box<dyn Source>, TrainError> {
        Err(TrainError::plan("no"))
    }
    pub fn rebase(&mut self, _: &std::path::Path) {}
}
#[derive(Debug)]
pub struct Mixture {
    parts: Vec<(Arc<dyn Source>, f64)>,
}
impl Mixture {
    pub fn new(parts: Vec<(Arc<dyn Source>, f64)>, _seed: u64) -> Result<Self, TrainError> {
        Ok(Self { parts })
    }
}
impl Source for Mixture {
    fn n_sample(&self) -> u64 {
        self.parts[0].0.n_sample()
    }
    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        self.parts[0].0.sample(idx)
    }
}
impl Picture {
    pub fn decode(&self) -> Result<Arc<RgbTile>, TrainError> {
        match self {
            Picture::Phantom { seed, settings } => Ok(Arc::new(Phantom::draw(*seed, settings).tile)),
            Picture::Tile(t) => Ok(t.clone()),
            _ => Err(TrainError::plan("no")),
        }
    }
}
pub mod clip {
    use crate::error::TrainError;
    use crate::pipeline::Context;
    use crate::run::Ended;
    use crate::watch::Watch;
    pub fn run(_: &Context<'_>, _: &mut dyn Watch) -> Result<Ended, TrainError> {
        Err(TrainError::plan("no"))
    }
    pub type ClipSettings = toml::Table;
    pub type ClipModelRecipe = toml::Table;
}
