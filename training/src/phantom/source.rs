//! Phantoms as training samples: captions, conversations and single questions with their truth.
//!
//! Sample `idx` is a function of the split and `idx` alone. Seeds go through the five subfields and the three
//! tiers in turn (`seed.rs`), so any fifteen samples in a row hold each once. Pictures are not drawn
//! here but where they are decoded; the truth that questions need comes from drawing the same seed. Held true
//! by `sources_are_repeatable_and_even` in the tests of `phantom.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use eosin_core::Role;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::question::{Examiner, Form, Listing, Question, Style};
use super::topic::Topic;
use super::truth::{Domain, Truth};
use super::{Draw, Phantom, Settings, Split};
use crate::data::{IMAGE_MARK, Message, Picture, Sample, Skip, Source, Task};

/// What a sample asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Content {
    /// A picture and its caption.
    Captions,
    /// Questions of all forms, some of them in one conversation.
    Conversations {
        /// Most questions.
        n_question: usize,
        /// How they reason.
        style: Style,
        /// How options are listed.
        listing: Listing,
    },
    /// One question with options.
    Choices {
        /// How it reasons.
        style: Style,
        /// How options are listed.
        listing: Listing,
    },
}

/// Drawn samples of one split.
#[derive(Clone, Debug)]
pub struct PhantomSource {
    /// Whose seeds.
    pub split: Split,
    /// Number of samples.
    pub n_sample: u64,
    /// Whether they look as those of training.
    pub domain: Domain,
    /// Side of the pictures in pixels.
    pub image_px: u32,
    /// What is asked.
    pub content: Content,
}

impl Settings {
    /// How phantoms of a domain are drawn; those of another laboratory follow from the seed.
    pub fn of_domain(domain: Domain, image_px: u32, seed: u64) -> Self {
        let settings = Self { size_px: [image_px; 2], ..Self::default() };
        if domain == Domain::In {
            return settings;
        }
        let mut rng = Draw::seed_from_u64(seed);
        rng.set_stream(7);
        let hue_turn_deg = rng.random_range(9.0..16.0) * if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        Self {
            stain_strength: rng.random_range(0.55..0.75),
            blur: rng.random_range(0.8..1.0),
            scale: rng.random_range(1.16..1.30),
            hue_turn_deg,
            noise: 18.0,
            ..settings
        }
    }
}

impl PhantomSource {
    /// Settings and truth of sample `idx`: a drawing, so not free.
    pub fn draw(&self, idx: u64) -> (u64, Settings, Phantom) {
        let seed = self.split.seed(idx);
        let settings = Settings::of_domain(self.domain, self.image_px, seed);
        (seed, settings, Phantom::draw(seed, &settings))
    }

    /// The sample of a phantom that has been drawn already.
    pub fn sample_of(&self, seed: u64, settings: Settings, truth: &Arc<Truth>) -> Sample {
        let id = format!("phantom-{}-{:06}", self.split.name(), Split::index(seed));
        let picture = Picture::Phantom { seed, settings };
        let tags = |form: &str, topic: Option<Topic>| -> BTreeMap<String, String> {
            [
                ("subfield", truth.subfield.name()),
                ("tier", truth.tier.name()),
                ("domain", self.domain.name()),
                ("form", form),
                ("topic", topic.map_or("none", Topic::name)),
            ]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
        };
        let (questions, form) = match self.content {
            Content::Captions => {
                let caption = Examiner::new(truth, Style::Cot, seed).description();
                let mut sample = Sample::pair(id.clone(), id, picture, &caption);
                sample.tags = tags("caption", None);
                return sample;
            }
            Content::Conversations { n_question, style, listing } => {
                let mut examiner = Examiner::new(truth, style, seed).listing(listing);
                let questions = examiner.conversation(n_question.max(1));
                let form = if questions.len() > 1 { "conversation" } else { questions[0].form.name() };
                (questions, form)
            }
            Content::Choices { style, listing } => {
                let mut examiner = Examiner::new(truth, style, seed).listing(listing);
                (vec![single_choice(truth, &mut examiner)], Form::Choice.name())
            }
        };
        let topic = questions.last().and_then(|question| question.topic);
        let task = questions.last().map(|question| task(question, truth));
        let mut messages = Vec::with_capacity(questions.len() * 2);
        for (idx, question) in questions.into_iter().enumerate() {
            let mark = if idx == 0 { IMAGE_MARK } else { "" };
            messages.push(Message::new(Role::User, format!("{mark}{}", question.user)));
            messages.push(Message::new(Role::Assistant, question.assistant));
        }
        Sample { group: id.clone(), id, messages, images: vec![picture], task, tags: tags(form, topic) }
    }
}

/// A question with options about a fair topic; where chance leaves none, about any that is clear-cut.
fn single_choice(truth: &Truth, examiner: &mut Examiner<'_>) -> Question {
    let topic = (0..8).find_map(|_| examiner.fair_topics().first().copied());
    topic
        .or_else(|| examiner.topics().first().copied())
        .and_then(|topic| examiner.choice(topic))
        // Every subfield has a topic that is clear-cut always; were it not so, a description is right too.
        .unwrap_or_else(|| Examiner::new(truth, Style::Cot, 0).caption())
}

fn task(question: &Question, truth: &Arc<Truth>) -> Task {
    Task {
        gold: question.gold.clone(),
        gold_letter: question.gold_letter,
        options: question.options.iter().map(|option| (*option).to_owned()).collect(),
        reasoning: Some(question.reasoning.clone()),
        truth: Some(Arc::clone(truth)),
    }
}

impl Source for PhantomSource {
    fn n_sample(&self) -> u64 {
        self.n_sample
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        if idx >= self.n_sample {
            let reason = format!("there are only {} samples", self.n_sample);
            return Err(Skip { id: format!("phantom-{}-{idx:06}", self.split.name()), reason });
        }
        let (seed, settings, phantom) = self.draw(idx);
        Ok(self.sample_of(seed, settings, &Arc::new(phantom.truth)))
    }
}
