//! Questions about a phantom and their answers, in the contract `<think>…</think><answer>…</answer>`.
//!
//! Four forms: four options (user text of SPEC 3.6, `question? /n A. … /n B. …`, the answer is the right
//! option's text), yes or no, open, and a caption. Reasoning names what is seen first, then what it means; it
//! never mentions the truth tables. Wordings and option order come from a random
//! stream of their own, so that a new wording changes no picture.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde::Serialize;

use super::Draw;
use super::caption;
use super::claim::{self, Claim};
use super::topic::{Class, Topic};
use super::truth::Truth;

/// Letters of the four options.
pub const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// How much is written before the answer (SPEC 3.6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Chain of thought: short sentences.
    Cot,
    /// Chain of draft: at most five words a step, closed by `####`.
    Cod,
}

/// What kind of answer is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One of four options.
    Choice,
    /// `Yes` or `No`.
    YesNo,
    /// A name.
    Open,
    /// A description.
    Caption,
}

/// A question with its answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Question {
    /// What it is about; none for captions and claims.
    pub topic: Option<Topic>,
    /// What kind of answer it asks for.
    pub form: Form,
    /// What the user says.
    pub user: String,
    /// What the assistant says: reasoning and answer in their tags.
    pub assistant: String,
    /// The answer alone.
    pub gold: String,
    /// The options in order, where there are any.
    pub options: Vec<&'static str>,
}

/// Asks about one truth with random wordings.
#[derive(Clone, Debug)]
pub struct Examiner<'a> {
    truth: &'a Truth,
    style: Style,
    rng: Draw,
}

impl<'a> Examiner<'a> {
    /// An examiner whose wordings follow from `seed`, which may be that of the phantom.
    pub fn new(truth: &'a Truth, style: Style, seed: u64) -> Self {
        let mut rng = Draw::seed_from_u64(seed);
        rng.set_stream(1);
        Self { truth, style, rng }
    }

    /// Topics that are clear-cut here.
    pub fn topics(&self) -> Vec<Topic> {
        Topic::ALL.into_iter().filter(|topic| topic.class_of(self.truth).is_some()).collect()
    }

    /// A four-option question; none where the topic is not clear-cut.
    pub fn choice(&mut self, topic: Topic) -> Option<Question> {
        let classes = topic.classes();
        let gold_idx = topic.class_of(self.truth)?;
        let wrong: Vec<usize> = (0..classes.len())
            .filter(|&idx| idx != gold_idx && topic.is_distractor(idx, self.truth))
            .collect();
        let mut chosen: Vec<usize> = wrong.choose_multiple(&mut self.rng, 3).copied().collect();
        if chosen.len() < 3 {
            return None;
        }
        chosen.shuffle(&mut self.rng);
        let place = self.rng.random_range(0..4);
        chosen.insert(place, gold_idx);
        let user = self.with_options(topic, classes, &chosen);
        let gold = &classes[gold_idx];
        let reasoning = self.choice_reasoning(gold);
        Some(Question {
            topic: Some(topic),
            form: Form::Choice,
            user,
            assistant: self.contract(&reasoning, gold.name),
            gold: gold.name.to_owned(),
            options: chosen.into_iter().map(|idx| classes[idx].name).collect(),
        })
    }

    /// The finding, then the option that fits, named in words.
    ///
    /// The answer names the option too and not its letter: decoders of this size learn within minutes to
    /// name what they see, and stay at chance for hours when they must find the letter in front of a name
    /// (`training/LOG.md`). Evaluations accept the option's text (SPEC 6.8, step 4).
    fn choice_reasoning(&mut self, gold: &Class) -> Vec<String> {
        match self.style {
            Style::Cod => vec![gold.draft.to_owned(), format!("Fits {}", gold.name)],
            Style::Cot => {
                let opening = self.pick(&["Best match:", "The answer is", "This fits"]);
                vec![self.pick(gold.findings).to_owned(), format!("{opening} {}", gold.name)]
            }
        }
    }

    fn with_options(&mut self, topic: Topic, classes: &[Class], chosen: &[usize]) -> String {
        let mut user = self.pick(topic.questions()).to_owned();
        for (letter, &idx) in LETTERS.iter().zip(chosen) {
            user.extend([" /n ", letter, ". ", classes[idx].name]);
        }
        user
    }

    /// The question of a topic without options; none where the topic is not clear-cut.
    pub fn open(&mut self, topic: Topic) -> Option<Question> {
        // "Which of these" needs something to choose from.
        if topic == Topic::Finding {
            return None;
        }
        let gold = topic.classes()[topic.class_of(self.truth)?];
        let user = self.pick(topic.questions()).to_owned();
        let reasoning = match self.style {
            Style::Cod => vec![gold.draft.to_owned(), format!("Fits {}", gold.name)],
            Style::Cot => vec![self.pick(gold.findings).to_owned(), format!("This fits {}", gold.name)],
        };
        let assistant = self.contract(&reasoning, gold.name);
        Some(Question {
            topic: Some(topic),
            form: Form::Open,
            user,
            assistant,
            gold: gold.name.to_owned(),
            options: Vec::new(),
        })
    }

    /// A yes-or-no question, over many phantoms as often yes as no.
    pub fn yes_no(&mut self) -> Option<Question> {
        let truth = self.truth;
        let fair: Vec<&'static Claim> =
            claim::CLAIMS.iter().filter(|claim| self.rng.random_bool(claim.fairness(truth))).collect();
        let claim = *fair.choose(&mut self.rng)?;
        let (gold, finding, draft) = if claim.holds(self.truth)? {
            ("Yes", claim.when_true, claim.draft_true)
        } else {
            ("No", claim.when_false, claim.draft_false)
        };
        let user = self.pick(claim.questions).to_owned();
        let reasoning = match self.style {
            Style::Cod => vec![draft.to_owned(), format!("So {}", gold.to_lowercase())],
            Style::Cot => vec![finding.to_owned(), format!("The answer is {}", gold.to_lowercase())],
        };
        let assistant = self.contract(&reasoning, gold);
        Some(Question {
            topic: None,
            form: Form::YesNo,
            user,
            assistant,
            gold: gold.to_owned(),
            options: Vec::new(),
        })
    }

    /// A request for a description.
    pub fn caption(&mut self) -> Question {
        let user = self.pick(&caption::REQUESTS).to_owned();
        let gold = caption::describe(self.truth);
        let reasoning = match self.style {
            Style::Cod => caption::drafts(self.truth),
            Style::Cot => caption::findings(self.truth, &mut self.rng),
        };
        let assistant = self.contract(&reasoning, &gold);
        Question { topic: None, form: Form::Caption, user, assistant, gold, options: Vec::new() }
    }

    /// Clear-cut topics in random order, drawn so that over many phantoms the classes of each topic come
    /// equally often. May be empty.
    pub fn fair_topics(&mut self) -> Vec<Topic> {
        let truth = self.truth;
        let mut topics: Vec<Topic> =
            Topic::ALL.into_iter().filter(|topic| self.rng.random_bool(topic.fairness(truth))).collect();
        topics.shuffle(&mut self.rng);
        topics
    }

    /// An examination: four-option questions on up to `n_question` fair topics. May be empty.
    pub fn examination(&mut self, n_question: usize) -> Vec<Question> {
        let topics = self.fair_topics();
        topics.into_iter().filter_map(|topic| self.choice(topic)).take(n_question).collect()
    }

    /// A conversation about different things, at most `n_question` and at least one: mostly four-option
    /// questions, then yes-or-no, open ones and descriptions.
    pub fn conversation(&mut self, n_question: usize) -> Vec<Question> {
        let mut topics = self.fair_topics();
        let mut questions: Vec<Question> = Vec::with_capacity(n_question);
        for _ in 0..n_question * 3 {
            if questions.len() == n_question {
                break;
            }
            let question = match self.rng.random_range(0..100) {
                0..64 => topics.pop().and_then(|topic| self.choice(topic)),
                64..80 => self.yes_no(),
                80..92 => topics.pop().and_then(|topic| self.open(topic)),
                _ => Some(self.caption()),
            };
            let is_new = |new: &Question| {
                questions
                    .iter()
                    .all(|old| old.user != new.user && (old.form, new.form) != (Form::Caption, Form::Caption))
            };
            questions.extend(question.filter(is_new));
        }
        if questions.is_empty() {
            questions.push(self.caption());
        }
        questions.shuffle(&mut self.rng);
        questions
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.rng.random_range(0..from.len())]
    }

    fn contract(&self, steps: &[String], answer: &str) -> String {
        match self.style {
            Style::Cot => format!("<think>{}.</think><answer>{answer}</answer>", steps.join(". ")),
            Style::Cod => format!("<think>{}\n####</think><answer>{answer}</answer>", steps.join("\n")),
        }
    }
}
