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
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Domain {
    #[default]
    In,
    Out,
}
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    Train,
    Validation,
    Test,
}
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    Captions,
    Conversations,
    Choices,
}
#[derive(Debug)]
pub struct PhantomSource {
    n: u64,
    px: u32,
    split: Split,
}
impl PhantomSource {
    pub fn new(r: &crate::recipe::PhantomRecipe) -> Self {
        Self {
            n: r.count,
            px: r.image_px,
            split: match r.split {
                SplitName::Train => Split::Train,
                SplitName::Validation => Split::Validation,
                _ => Split::HeldOut,
            },
        }
    }
}
impl Source for PhantomSource {
    fn n_sample(&self) -> u64 {
        self.n
    }
    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let seed = self.split.seed(idx);
        let settings = Settings { size_px: [self.px; 2], ..Settings::default() };
        let p = Phantom::draw(seed, &settings);
        let mut ex = Examiner::new(&p.truth, Style::Cot, seed);
        let q = ex.conversation(1);
        let mut messages = vec![];
        for (i, q) in q.iter().enumerate() {
            messages.push(Message::new(
                eosin_core::Role::User,
                if i == 0 { format!("<image>{}", q.user) } else { q.user.clone() },
            ));
            messages.push(Message::new(eosin_core::Role::Assistant, q.assistant.clone()));
        }
        Ok(Sample {
            id: format!("p{idx}"),
            group: format!("{seed}"),
            messages,
            images: vec![Picture::Phantom { seed, settings }],
            task: Some(Task { gold: q[0].gold.clone(), ..Task::default() }),
            tags: Default::default(),
        })
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
pub mod rl {
    use crate::error::TrainError;
    use crate::pipeline::Context;
    use crate::run::Ended;
    use crate::watch::Watch;
    pub fn run(_: &Context<'_>, _: &mut dyn Watch) -> Result<Ended, TrainError> {
        Err(TrainError::plan("no"))
    }
    pub type RlSettings = toml::Table;
}
