//! Which pictures and conversations a run sees, step by step.
//!
//! Training, validation and test draw from splits of seeds that cannot meet (`phantom/seed.rs`). What is
//! asked about a picture follows from the recipe's seed and the place in the run alone, so that a resumed
//! run asks the same. Descriptions come more often at the start: they name all that is seen at once, which
//! is the densest teacher that a vision tower without any training can have.

use eosin_core::RgbTile;
use eosin_model::prepare::Preprocess;
use eosin_model::qwen::Qwen;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::answer::{self, greedy};
use crate::batch::{Row, RowEncoder, Sample};
use crate::error::TrainError;
use crate::evaluate::{Case, Form, Item, keeps_form};
use crate::phantom::{self, Examiner, Phantom, Question, Settings, Split, Style};
use crate::recipe::{DataRecipe, Recipe, ValidateRecipe};

/// Draws samples for a run.
#[derive(Debug)]
pub struct Curriculum {
    data: DataRecipe,
    seed: u64,
    settings: Settings,
    preprocess: Preprocess,
    encoder: RowEncoder,
}

/// Outcomes of the looks at validation pictures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// Questions asked.
    pub n_question: usize,
    /// Answered right.
    pub n_right: usize,
    /// In the form of the contract.
    pub n_form: usize,
}

impl Answers {
    /// Share answered right.
    pub fn accuracy(&self) -> f64 {
        self.n_right as f64 / self.n_question.max(1) as f64
    }
}

/// How phantoms of a recipe are photographed.
pub fn settings(data: &DataRecipe) -> Settings {
    settings_of_size(data.image_px)
}

/// How square phantoms of a side are photographed.
pub fn settings_of_size(image_px: u32) -> Settings {
    Settings { size_px: [image_px; 2], ..Settings::default() }
}

impl Curriculum {
    /// The curriculum of a recipe.
    pub fn new(recipe: &Recipe, encoder: RowEncoder) -> Self {
        let n_pixel = u64::from(recipe.data.image_px).pow(2);
        let preprocess = Preprocess { min_pixels: n_pixel, max_pixels: n_pixel, ..Preprocess::default() };
        let settings = settings(&recipe.data);
        Self { data: recipe.data.clone(), seed: recipe.seed, settings, preprocess, encoder }
    }

    /// The sample at `cursor`, which belongs to `step`.
    ///
    /// # Errors
    /// Failures of the tokenizer or of the picture's preparation.
    pub fn train_sample(&self, step: u64, cursor: u64) -> Result<Sample, TrainError> {
        let done = (step as f64 / self.data.caption_steps.max(1) as f64).min(1.0);
        let [first, last] = self.data.caption_share;
        let seed = Split::Train.seed(cursor % self.data.phantoms);
        self.sample(seed, cursor, first + (last - first) * done)
    }

    /// Validation sample number `idx`: the questions of the end of the run.
    ///
    /// # Errors
    /// As [`Curriculum::train_sample`].
    pub fn validation_sample(&self, idx: u64) -> Result<Sample, TrainError> {
        self.sample(Split::Validation.seed(idx), idx, self.data.caption_share[1])
    }

    fn sample(&self, seed: u64, cursor: u64, caption_share: f64) -> Result<Sample, TrainError> {
        let phantom = Phantom::draw(seed, &self.settings);
        let image = self
            .preprocess
            .prepare(&phantom.tile)
            .map_err(TrainError::engine("cannot prepare a phantom for the model"))?;
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(cursor.wrapping_add(1));
        let mut rows = Vec::with_capacity(self.data.rows_per_image);
        for _ in 0..self.data.rows_per_image {
            let mut examiner = Examiner::new(&phantom.truth, Style::Cot, rng.random());
            let questions = if rng.random_bool(caption_share) {
                vec![examiner.caption()]
            } else {
                examiner.conversation(self.data.turns_per_row)
            };
            let turns = questions.into_iter().map(|question| [question.user, question.assistant]).collect();
            let row = Row { turns, ..Row::default() };
            let encoded = self.encoder.encode(&row, image.grid.n_token(), self.data.max_tokens)?;
            if !encoded.ids.is_empty() {
                rows.push(encoded);
            }
        }
        if rows.is_empty() {
            return Err(TrainError::plan("data.max_tokens leaves no room for a single question"));
        }
        Ok(Sample { seed, patches: image.patches, grid: image.grid, rows })
    }

    /// Asks one multiple-choice question about each of the first validation pictures.
    ///
    /// # Errors
    /// Failures of the tokenizer or the model.
    pub fn ask(&self, model: &Qwen, settings: &ValidateRecipe) -> Result<Answers, TrainError> {
        let mut answers = Answers::default();
        for idx in 0..settings.answer_images as u64 {
            let case = case(Split::Validation.seed(idx), &self.settings);
            let choices: Vec<&Item> =
                case.items.iter().filter(|item| item.form == Form::MultipleChoice).collect();
            // Each picture another of its questions, so that all topics are looked at.
            let Some(item) = choices.get(idx as usize % choices.len().max(1)) else { continue };
            let text = self.answer(model, &case.tile, &item.prompt, settings.max_new_tokens)?;
            answers.n_question += 1;
            answers.n_right += usize::from(item.is_right(&text));
            answers.n_form += usize::from(keeps_form(&text));
        }
        Ok(answers)
    }

    /// The model's greedy answer to a question about a picture.
    ///
    /// # Errors
    /// As [`Curriculum::ask`].
    pub fn answer(
        &self,
        model: &Qwen,
        tile: &RgbTile,
        prompt: &str,
        max_new_tokens: usize,
    ) -> Result<String, TrainError> {
        let image = self
            .preprocess
            .prepare(tile)
            .map_err(TrainError::engine("cannot prepare a picture for the model"))?;
        let features = model.encode_image(&image).map_err(TrainError::engine("the model cannot see"))?;
        let ids = self.encoder.encode_question(prompt, image.grid.n_token())?;
        let special = self.encoder.special();
        let question = answer::Question { ids: &ids, features: &features, grid: image.grid };
        let ends = [special.im_end, special.end_of_text];
        let said = greedy(model, &question, &ends, max_new_tokens)
            .map_err(TrainError::engine("the model cannot answer"))?;
        let text = self.encoder.tokenizer().decode(&said, false);
        text.map_err(TrainError::engine("cannot decode an answer"))
    }
}

/// A phantom with every question that is clear-cut there: each topic as a four-option question, one yes-or-no
/// question, and each topic open.
pub fn case(seed: u64, settings: &Settings) -> Case {
    let phantom = Phantom::draw(seed, settings);
    let mut examiner = Examiner::new(&phantom.truth, Style::Cot, seed);
    let topics = examiner.fair_topics();
    let mut questions: Vec<Question> = Vec::new();
    questions.extend(topics.iter().filter_map(|topic| examiner.choice(*topic)));
    questions.extend(examiner.yes_no());
    questions.extend(topics.iter().filter_map(|topic| examiner.open(*topic)));
    let items = questions.into_iter().filter_map(item).collect();
    Case { seed, tile: phantom.tile, items }
}

/// A question as the evaluation scores it; captions have no single right answer.
fn item(question: Question) -> Option<Item> {
    let form = match question.form {
        phantom::Form::Choice => Form::MultipleChoice,
        phantom::Form::YesNo => Form::YesNo,
        phantom::Form::Open => Form::Open,
        phantom::Form::Reasoning | phantom::Form::Caption => return None,
    };
    // Yes-or-no questions have no topic of their own: the question itself is it.
    let topic = question.topic.map_or_else(
        || question.user.clone(),
        |topic| {
            serde_json::to_value(topic)
                .ok()
                .and_then(|name| name.as_str().map(str::to_owned))
                .unwrap_or_default()
        },
    );
    let options = question.options.iter().map(|option| (*option).to_owned()).collect();
    Some(Item { topic, form, prompt: question.user, options, answer: question.gold })
}
