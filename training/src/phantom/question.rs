//! Questions about a phantom and their answers, in the contract `<think>…</think><answer>…</answer>`.
//!
//! Six forms: two to six options (`question? /n A. … /n B. …`, a literal slash-n as Patho-R1's card
//! writes it, or PathVLM-R1's list of `A) …`), yes or no, a name, a diagnosis with its reasons, and a description.
//! Reasoning names what is seen first, then what it means, then what it rules out; the harder the tier, the
//! more of it. It never mentions the truth tables. Wordings and option order come from a random stream of
//! their own, so that a new wording changes no picture. Held true by the tests of `phantom.rs`.

use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedRandom, SliceRandom};
use serde::{Deserialize, Serialize};

use super::Draw;
use super::caption;
use super::topic::{Class, Topic};
use super::truth::{Tier, Truth};

/// Letters of the options.
pub const LETTERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// How much is written before the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Chain of thought: short sentences, more of them at the harder tiers.
    Cot,
    /// Chain of draft: at most five words a step, closed by `####`.
    Cod,
}

/// How options are listed and answered.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Listing {
    /// `/n A. text`, answered by the text.
    #[default]
    Words,
    /// Lines `A) text`, answered by `A) text`.
    Lettered,
}

/// What kind of answer is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// One of several options.
    Choice,
    /// `Yes` or `No`.
    YesNo,
    /// A name.
    Open,
    /// A diagnosis with the findings that prove it.
    Reasoning,
    /// A description.
    Caption,
}

impl Form {
    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::YesNo => "yes-no",
            Self::Open => "open",
            Self::Reasoning => "reasoning",
            Self::Caption => "caption",
        }
    }
}

/// A question with its answer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Question {
    /// What it is about; none for descriptions.
    pub topic: Option<Topic>,
    /// What kind of answer it asks for.
    pub form: Form,
    /// What the user says.
    pub user: String,
    /// What the assistant says: reasoning and answer in their tags.
    pub assistant: String,
    /// The reasoning alone.
    pub reasoning: String,
    /// The answer alone.
    pub gold: String,
    /// The right option's letter, where there are options.
    pub gold_letter: Option<char>,
    /// The options in order, where there are any.
    pub options: Vec<&'static str>,
}

/// Asks about one truth with random wordings.
#[derive(Clone, Debug)]
pub struct Examiner<'a> {
    truth: &'a Truth,
    style: Style,
    listing: Listing,
    rng: Draw,
}

/// Wordings of the question for a diagnosis with reasons.
pub(crate) const WHY: [&str; 3] =
    ["What is the diagnosis and why?", "Which findings lead to which diagnosis?", "Explain the diagnosis."];

/// Words that join the others.
pub(crate) const JOINTS: [&str; 8] = [
    "This fits ",
    "Best match: ",
    "Hallmark of : ",
    "Not , for lack of ",
    "So yes",
    "So no",
    " Is it ?",
    "because of and",
];

/// With the first letter raised.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

impl<'a> Examiner<'a> {
    /// An examiner whose wordings follow from `seed`, which may be that of the phantom.
    pub fn new(truth: &'a Truth, style: Style, seed: u64) -> Self {
        let mut rng = Draw::seed_from_u64(seed);
        rng.set_stream(1);
        Self { truth, style, listing: Listing::Words, rng }
    }

    /// The same with another way to list options.
    #[must_use]
    pub fn listing(mut self, listing: Listing) -> Self {
        self.listing = listing;
        self
    }

    /// Topics that are clear-cut here.
    pub fn topics(&self) -> Vec<Topic> {
        Topic::of(self.truth.subfield)
            .iter()
            .copied()
            .filter(|topic| topic.class_of(self.truth).is_some())
            .collect()
    }

    /// A question with two to six options, mostly four; none where the topic is not clear-cut.
    pub fn choice(&mut self, topic: Topic) -> Option<Question> {
        let n_option = match self.rng.random_range(0..100) {
            0..6 => 2,
            6..16 => 3,
            16..80 => 4,
            80..90 => 5,
            _ => 6,
        };
        self.choice_of(topic, n_option)
    }

    /// A question with `n_option` options, fewer where the topic has fewer.
    pub fn choice_of(&mut self, topic: Topic, n_option: usize) -> Option<Question> {
        let classes = topic.classes();
        let gold_idx = topic.class_of(self.truth)?;
        let wrong: Vec<usize> = (0..classes.len()).filter(|&idx| idx != gold_idx).collect();
        let n_wrong = n_option.clamp(2, LETTERS.len()).min(classes.len()) - 1;
        let mut chosen: Vec<usize> = wrong.choose_multiple(&mut self.rng, n_wrong).copied().collect();
        chosen.shuffle(&mut self.rng);
        let place = self.rng.random_range(0..=chosen.len());
        chosen.insert(place, gold_idx);
        let options: Vec<&'static str> = chosen.iter().map(|&idx| classes[idx].name).collect();
        let user = self.with_options(topic, &options);
        let steps = self.reasoning(topic, gold_idx, &chosen);
        let letter = LETTERS[place];
        let gold = match self.listing {
            Listing::Words => options[place].to_owned(),
            Listing::Lettered => format!("{letter}) {}", options[place]),
        };
        let mut question = self.question(Some(topic), Form::Choice, user, &steps, gold);
        question.gold_letter = letter.chars().next();
        question.options = options;
        Some(question)
    }

    fn question(
        &self,
        topic: Option<Topic>,
        form: Form,
        user: String,
        steps: &[String],
        gold: String,
    ) -> Question {
        let reasoning = match self.style {
            Style::Cot => format!("{}.", steps.join(". ")),
            Style::Cod => format!("{}\n####", steps.join("\n")),
        };
        Question {
            topic,
            form,
            user,
            assistant: format!("<think>{reasoning}</think><answer>{gold}</answer>"),
            reasoning,
            gold,
            gold_letter: None,
            options: Vec::new(),
        }
    }

    /// What is seen, what it means and what it rules out, by the tier.
    ///
    /// The reasoning names options in words and not their letters: decoders of the demonstration's size learn
    /// within minutes to name what they see, and stay at chance for hours when they must find the letter
    /// in front of a name (`training/LOG.md`).
    fn reasoning(&mut self, topic: Topic, gold_idx: usize, options: &[usize]) -> Vec<String> {
        let gold = &topic.classes()[gold_idx];
        if self.style == Style::Cod {
            return vec![sentence(gold.hallmark), format!("Fits {}", gold.name)];
        }
        let mut steps = vec![self.pick(gold.findings).to_owned()];
        let tier = self.truth.tier;
        if tier == Tier::Easy {
            steps.push(format!("This fits {}", gold.name));
            return steps;
        }
        if tier == Tier::Hard {
            steps.extend(self.further_finding(topic));
        }
        steps.push(format!("Hallmark of {}: {}", gold.name, gold.hallmark));
        let n_most = 2 + usize::from(tier == Tier::Hard);
        let ruled_out = options
            .iter()
            .filter(|&&idx| idx != gold_idx && !topic.is_evident(idx, self.truth))
            .take(n_most)
            .map(|&idx| &topic.classes()[idx])
            .map(|class| format!("Not {}, for lack of {}", class.name, class.hallmark));
        steps.extend(ruled_out);
        steps
    }

    /// What is seen of another topic.
    fn further_finding(&mut self, topic: Topic) -> Option<String> {
        let own = topic.class_of(self.truth).map(|idx| topic.classes()[idx].hallmark);
        let others: Vec<&Class> = Topic::of(self.truth.subfield)
            .iter()
            .filter(|other| **other != topic && **other != Topic::diagnosis_of(self.truth.subfield))
            .filter_map(|other| other.class_of(self.truth).map(|idx| &other.classes()[idx]))
            .filter(|class| Some(class.hallmark) != own)
            .collect();
        let class = others.choose(&mut self.rng)?;
        Some(self.pick(class.findings).to_owned())
    }

    fn with_options(&mut self, topic: Topic, options: &[&str]) -> String {
        let mut user = self.pick(topic.questions()).to_owned();
        if self.listing == Listing::Lettered {
            user.push_str("\nOptions:");
        }
        for (letter, option) in LETTERS.iter().zip(options) {
            match self.listing {
                Listing::Words => user.extend([" /n ", letter, ". ", option]),
                Listing::Lettered => user.extend(["\n", letter, ") ", option]),
            }
        }
        user
    }

    /// The question of a topic without options; none where the topic is not clear-cut.
    pub fn open(&mut self, topic: Topic) -> Option<Question> {
        let gold_idx = topic.class_of(self.truth)?;
        let gold = &topic.classes()[gold_idx];
        let user = self.pick(topic.questions()).to_owned();
        let steps = match self.style {
            Style::Cod => vec![sentence(gold.hallmark), format!("Fits {}", gold.name)],
            Style::Cot => vec![self.pick(gold.findings).to_owned(), format!("This fits {}", gold.name)],
        };
        Some(self.question(Some(topic), Form::Open, user, &steps, gold.name.to_owned()))
    }

    /// The diagnosis with two findings that lead to it; none where it is not clear-cut.
    pub fn why(&mut self) -> Option<Question> {
        let topic = Topic::diagnosis_of(self.truth.subfield);
        let gold_idx = topic.class_of(self.truth)?;
        let gold = &topic.classes()[gold_idx];
        let other = self
            .topics()
            .into_iter()
            .filter(|other| *other != topic)
            .filter_map(|other| other.class_of(self.truth).map(|idx| &other.classes()[idx]))
            .filter(|other| other.hallmark != gold.hallmark)
            .collect::<Vec<_>>()
            .choose(&mut self.rng)
            .copied()?;
        let user = self.pick(&WHY).to_owned();
        let answer = format!("{}, because of {} and {}", gold.name, gold.hallmark, other.hallmark);
        let mut steps = match self.style {
            Style::Cod => vec![sentence(gold.hallmark), sentence(other.hallmark)],
            Style::Cot => vec![self.pick(gold.findings).to_owned(), self.pick(other.findings).to_owned()],
        };
        match (self.style, self.truth.tier) {
            (Style::Cod, _) => steps.push(format!("Fits {}", gold.name)),
            (Style::Cot, Tier::Easy) => steps.push(format!("This fits {}", gold.name)),
            (Style::Cot, _) => {
                let all: Vec<usize> = (0..topic.classes().len()).filter(|&idx| idx != gold_idx).collect();
                let wrong =
                    all.choose(&mut self.rng).copied().filter(|&idx| !topic.is_evident(idx, self.truth));
                steps.push(format!("Hallmark of {}: {}", gold.name, gold.hallmark));
                steps.extend(wrong.map(|idx| {
                    let class = &topic.classes()[idx];
                    format!("Not {}, for lack of {}", class.name, class.hallmark)
                }));
            }
        }
        Some(self.question(Some(topic), Form::Reasoning, user, &steps, answer))
    }

    /// A yes-or-no question, as often yes as no.
    pub fn yes_no(&mut self) -> Option<Question> {
        let topic = *self.fair_topics().first()?;
        let gold_idx = topic.class_of(self.truth)?;
        let is_yes = self.rng.random_bool(0.5);
        let others: Vec<usize> = (0..topic.classes().len()).filter(|&idx| idx != gold_idx).collect();
        let asked = if is_yes { gold_idx } else { *others.choose(&mut self.rng)? };
        let user = format!("{} Is it {}?", self.pick(topic.questions()), topic.classes()[asked].name);
        let gold = &topic.classes()[gold_idx];
        let (answer, verdict) = if is_yes { ("Yes", "So yes") } else { ("No", "So no") };
        let finding = match self.style {
            Style::Cod => sentence(gold.hallmark),
            Style::Cot => self.pick(gold.findings).to_owned(),
        };
        let steps = [finding, format!("This fits {}", gold.name), verdict.to_owned()];
        let steps = if self.style == Style::Cod { &steps[..1] } else { &steps[..] };
        Some(self.question(Some(topic), Form::YesNo, user, steps, answer.to_owned()))
    }

    /// A request for a description.
    pub fn caption(&mut self) -> Question {
        let user = self.pick(&caption::REQUESTS).to_owned();
        let gold = caption::describe(self.truth, &mut self.rng);
        let n_most = 1 + self.truth.tier as usize;
        let steps = match self.style {
            Style::Cod => caption::drafts(self.truth),
            Style::Cot => caption::findings(self.truth, n_most, &mut self.rng),
        };
        self.question(None, Form::Caption, user, &steps, gold)
    }

    /// A caption alone.
    pub fn description(&mut self) -> String {
        caption::describe(self.truth, &mut self.rng)
    }

    /// Clear-cut topics in random order, drawn so that over many phantoms the classes of each topic come
    /// equally often. May be empty.
    pub fn fair_topics(&mut self) -> Vec<Topic> {
        let truth = self.truth;
        let mut topics: Vec<Topic> = Topic::of(truth.subfield)
            .iter()
            .copied()
            .filter(|topic| self.rng.random_bool(topic.fairness(truth)))
            .collect();
        topics.shuffle(&mut self.rng);
        topics
    }

    /// An examination: questions with options on up to `n_question` fair topics. May be empty.
    pub fn examination(&mut self, n_question: usize) -> Vec<Question> {
        let topics = self.fair_topics();
        topics.into_iter().filter_map(|topic| self.choice(topic)).take(n_question).collect()
    }

    /// A conversation about different things, at most `n_question` and at least one: mostly questions with
    /// options, then yes-or-no, open ones, reasons and descriptions.
    pub fn conversation(&mut self, n_question: usize) -> Vec<Question> {
        let mut topics = self.fair_topics();
        let mut questions: Vec<Question> = Vec::with_capacity(n_question);
        for _ in 0..n_question * 3 {
            if questions.len() == n_question {
                break;
            }
            let question = match self.rng.random_range(0..100) {
                0..60 => topics.pop().and_then(|topic| self.choice(topic)),
                60..72 => self.yes_no(),
                72..80 => topics.pop().and_then(|topic| self.open(topic)),
                80..90 => self.why(),
                _ => Some(self.caption()),
            };
            let is_new = |new: &Question| {
                questions.iter().all(|old| {
                    let once = matches!(new.form, Form::Caption | Form::Reasoning);
                    old.user != new.user && !(once && old.form == new.form)
                })
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
}
