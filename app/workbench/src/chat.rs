//! Questions and answers: put together, answered, kept.
//!
//! A chat is a tree: editing a question starts a branch beside it, answering again adds a version, and nothing is
//! lost. The case book is told of a question before the model is, and of the answer while it grows, so that a
//! killed program has lost a second of it at most. Where the case book cannot be written, the answer still comes
//! and says that it is not kept. Held true by `tests/workbench.rs`.

mod growing;
mod settings;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use eosin_casebook::{Answer, AnswerId, CaseBook, Chat, ChatId, NewAnswer, NewImage, NewTurn, TurnId};
use eosin_core::{Conversation, Part, Role, Turn as CoreTurn};
use eosin_session::{
    AskOptions, Cancel, LoadState, ModelInfo, Question, SessionError, StreamEvent, Style, Worker,
};

use growing::Growing;

pub use growing::rate;
pub use settings::{options_of, settings_of};

use crate::error::{ErrorReport, WorkbenchError};
use crate::picture::{MOST_PICTURES, PictureSource, SeenPicture};
use crate::workbench::Workbench;

/// Letters of a question that become the title of a new chat.
const TITLE_LETTERS: usize = 80;
/// Temperature of another version of an answer that was greedy: at zero it would be the same again.
const AGAIN_TEMPERATURE: f32 = 0.7;

/// What a person asks.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    /// The chat; a new one without.
    pub chat: Option<ChatId>,
    /// The answer that it follows; a first question, or another version of the first, without.
    pub parent: Option<AnswerId>,
    /// The question.
    pub question: String,
    /// Options to choose from; none for an open question.
    pub choices: Vec<String>,
    /// How to answer; as the model wants to be asked without.
    pub style: Option<Style>,
    /// Instructions in place of the style's own.
    pub system: Option<String>,
    /// What it is about.
    pub pictures: Vec<PictureSource>,
    /// Settings otherwise than the model's own.
    pub options: AskOptions,
}

/// What happens while a question is answered; the last event is the stream's last.
#[derive(Debug)]
pub enum ChatEvent {
    /// The question is kept, and goes to the model with exactly these pictures.
    Began {
        /// The chat, new or old.
        chat: Option<ChatId>,
        /// The question.
        turn: Option<TurnId>,
        /// The answer to come.
        answer: Option<AnswerId>,
        /// Names the answer when it is to be stopped.
        run: RunId,
        /// What the model sees.
        pictures: Vec<SeenPicture>,
    },
    /// The case book could not be written; the answer comes nevertheless.
    Unkept(ErrorReport),
    /// What the model does.
    Stream(StreamEvent),
}

/// Names an answer that is being made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RunId(pub u64);

/// An old answer asked for again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rerun {
    /// Tokens of the old answer.
    pub old_ids: Vec<u32>,
    /// Tokens of the new one.
    pub new_ids: Vec<u32>,
    /// Tokens that both begin with.
    pub n_same: usize,
    /// Whether the loaded model is the one that answered then.
    pub same_model: bool,
}

impl Rerun {
    /// Whether every token is the same.
    pub fn is_same(&self) -> bool {
        self.old_ids == self.new_ids
    }
}

/// Questions, answers, and the model that makes them. Share it in an [`Arc`].
#[derive(Debug)]
pub struct Chats {
    workbench: Arc<Workbench>,
    book: Arc<CaseBook>,
    worker: Worker,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    cancels: HashMap<RunId, Cancel>,
}

/// One question on its way: kept or not, it is answered.
struct Kept {
    chat: Option<ChatId>,
    turn: Option<TurnId>,
    answer: Option<AnswerId>,
}

impl Chats {
    /// Chats that are answered by `worker` and kept in `book`.
    pub fn new(workbench: Arc<Workbench>, book: Arc<CaseBook>, worker: Worker) -> Self {
        Self { workbench, book, worker, running: Mutex::default() }
    }

    /// The case book.
    pub fn book(&self) -> &Arc<CaseBook> {
        &self.book
    }

    /// The model's thread.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// What a model would see of pictures, without asking.
    ///
    /// # Errors
    /// [`WorkbenchError`]: no model, a picture that cannot be read, too many of them.
    pub fn preview(
        &self,
        sources: &[PictureSource],
    ) -> Result<(Arc<ModelInfo>, Vec<SeenPicture>), WorkbenchError> {
        let model = self.model()?;
        let pictures = self.see(&model, sources)?;
        Ok((model, pictures))
    }

    /// The model, once it is loaded.
    ///
    /// # Errors
    /// [`WorkbenchError::Session`] where none is, or it could not be.
    pub fn model(&self) -> Result<Arc<ModelInfo>, WorkbenchError> {
        self.worker.wait().map_err(WorkbenchError::Session)
    }

    /// Asks, and tells `hear` what happens until the answer is there.
    ///
    /// # Errors
    /// [`WorkbenchError`]: the question was not sent; nothing was kept.
    pub fn ask(&self, ask: &Ask, hear: &mut dyn FnMut(ChatEvent)) -> Result<(), WorkbenchError> {
        if ask.question.trim().is_empty() {
            return Err(WorkbenchError::Session(Arc::new(SessionError::Prompt(
                eosin_session::prompt::PromptError::Empty,
            ))));
        }
        let model = self.model()?;
        let pictures = self.see(&model, &ask.pictures)?;
        let mut turns = match (ask.chat, ask.parent) {
            (Some(chat), Some(parent)) => self.history(&self.book.chat(chat)?, parent)?,
            _ => Vec::new(),
        };
        turns.push(question_turn(&ask.question, pictures.iter().map(|picture| picture.tile.clone())));
        let options = settled_options(&ask.options, &model);
        let question = complete(turns, &ask.choices, ask.style, ask.system.as_deref(), options.clone());
        let new_turn = NewTurn {
            question: ask.question.trim().to_owned(),
            choices: ask.choices.clone(),
            style: ask.style.map_or_else(String::new, |style| style.name().to_owned()),
            system: ask.system.clone(),
            images: pictures.iter().map(new_image).collect(),
        };
        let keep = || -> Result<Kept, WorkbenchError> {
            let chat = match ask.chat {
                Some(chat) => chat,
                None => self.book.new_chat(&title(&ask.question))?,
            };
            let turn = self.book.add_turn(chat, ask.parent, &new_turn)?;
            let answer = self.book.begin_answer(turn, &new_answer(&model, &options))?;
            Ok(Kept { chat: Some(chat), turn: Some(turn), answer: Some(answer) })
        };
        self.run(keep(), ask.chat, question, pictures, hear);
        Ok(())
    }

    /// Answers a kept question once more, beside its other answers.
    ///
    /// # Errors
    /// [`WorkbenchError`]: the question is not there, or was not sent.
    pub fn again(
        &self,
        chat: ChatId,
        turn: TurnId,
        options: &AskOptions,
        hear: &mut dyn FnMut(ChatEvent),
    ) -> Result<(), WorkbenchError> {
        let model = self.model()?;
        let kept = self.book.chat(chat)?;
        let own = kept.turns.iter().find(|own| own.id == turn).ok_or(WorkbenchError::NoSuchQuestion)?;
        let mut options = options.clone();
        if !options.greedy && options.temperature.or(model.sampler.temperature).is_none() {
            options.temperature = Some(AGAIN_TEMPERATURE);
        }
        let options = settled_options(&options, &model);
        let pictures = self.pictures_of(&model, own)?;
        let mut turns = match own.parent {
            Some(parent) => self.history(&kept, parent)?,
            None => Vec::new(),
        };
        turns.push(question_turn(&own.question, pictures.iter().map(|picture| picture.tile.clone())));
        let style = Style::from_name(&own.style);
        let question = complete(turns, &own.choices, style, own.system.as_deref(), options.clone());
        let begun = self.book.begin_answer(turn, &new_answer(&model, &options));
        let keep = begun.map(|answer| Kept { chat: Some(chat), turn: Some(turn), answer: Some(answer) });
        self.run(keep.map_err(WorkbenchError::from), Some(chat), question, pictures, hear);
        Ok(())
    }

    /// Asks an old answer's question again with its own settings, keeps nothing, and compares the tokens.
    ///
    /// # Errors
    /// [`WorkbenchError`]: the answer is not there, or the model does not answer.
    pub fn rerun(&self, answer: AnswerId) -> Result<Rerun, WorkbenchError> {
        let model = self.model()?;
        let record = self.book.record(answer)?;
        let Some((last, before)) = record.path.split_last() else {
            return Err(WorkbenchError::NoSuchQuestion);
        };
        let mut turns: Vec<CoreTurn> = before
            .iter()
            .flat_map(|step| said(&step.turn, step.pixels.iter().cloned(), &step.answer))
            .collect();
        // As they were read then; how they are resized is among the settings.
        turns.push(question_turn(&last.turn.question, last.pixels.iter().cloned()));
        let (own, old) = (&last.turn, &last.answer);
        let options = options_of(&old.settings);
        let style = Style::from_name(&own.style);
        let question = complete(turns, &own.choices, style, own.system.as_deref(), options);
        let (_, events) = self.worker.ask(question);
        let mut new_ids = Vec::new();
        for event in events {
            match event {
                StreamEvent::Done { transcript, .. } => new_ids = transcript.token_ids.clone(),
                StreamEvent::Failed(error) => return Err(WorkbenchError::Session(error)),
                _ => {}
            }
        }
        let old_ids = old.token_ids.clone();
        let n_same = old_ids.iter().zip(&new_ids).take_while(|(old, new)| old == new).count();
        Ok(Rerun { n_same, same_model: old.model_hash == model.hash, old_ids, new_ids })
    }

    /// Stops an answer within a token; its text so far is kept.
    pub fn stop(&self, run: RunId) {
        if let Some(cancel) = self.running().cancels.get(&run) {
            cancel.cancel();
        }
    }

    /// Stops every answer.
    pub fn stop_all(&self) {
        self.running().cancels.values().for_each(Cancel::cancel);
    }

    /// Whether an answer is being made.
    pub fn is_answering(&self) -> bool {
        !self.running().cancels.is_empty()
    }

    /// How far the model is, without waiting.
    pub fn load_state(&self) -> LoadState {
        self.worker.state()
    }

    /// The pictures of a kept question, as the model will see them.
    ///
    /// # Errors
    /// [`WorkbenchError::Case`], [`WorkbenchError::Unseeable`].
    pub fn pictures_of(
        &self,
        model: &ModelInfo,
        turn: &eosin_casebook::Turn,
    ) -> Result<Vec<SeenPicture>, WorkbenchError> {
        let sources = turn.images.iter().map(|image| self.kept(image));
        let sources = sources.collect::<Result<Vec<_>, WorkbenchError>>()?;
        self.see(model, &sources)
    }

    /// A picture of a kept question, to ask about again.
    ///
    /// # Errors
    /// [`WorkbenchError::NoSuchQuestion`], [`WorkbenchError::Case`].
    pub fn kept_picture(
        &self,
        chat: ChatId,
        turn: TurnId,
        index: usize,
    ) -> Result<PictureSource, WorkbenchError> {
        let chat = self.book.chat(chat)?;
        let turn = chat.turns.iter().find(|own| own.id == turn);
        let image = turn.and_then(|turn| turn.images.get(index)).ok_or(WorkbenchError::NoSuchQuestion)?;
        self.kept(image)
    }

    fn kept(&self, image: &eosin_casebook::Picture) -> Result<PictureSource, WorkbenchError> {
        Ok(PictureSource::Kept {
            tile: Arc::new(self.book.pixels(&image.hash)?),
            region: image.region.clone(),
            title: image.slide_title.clone(),
            um_per_px: image.um_per_px,
        })
    }

    fn see(&self, model: &ModelInfo, sources: &[PictureSource]) -> Result<Vec<SeenPicture>, WorkbenchError> {
        if sources.len() > MOST_PICTURES {
            return Err(WorkbenchError::TooManyPictures { n: sources.len(), most: MOST_PICTURES });
        }
        sources.iter().map(|source| self.workbench.see(model, source)).collect()
    }

    /// What was said up to an answer, that answer included.
    fn history(&self, chat: &Chat, answer: AnswerId) -> Result<Vec<CoreTurn>, WorkbenchError> {
        let mut turns = Vec::new();
        for (turn, answer) in path(chat, answer) {
            let tiles = turn.images.iter().map(|image| self.book.pixels(&image.hash).map(Arc::new));
            let tiles = tiles.collect::<Result<Vec<_>, _>>()?;
            turns.extend(said(turn, tiles.into_iter(), answer));
        }
        Ok(turns)
    }

    /// Has the worker answer, keeps what comes, and passes it on.
    fn run(
        &self,
        kept: Result<Kept, WorkbenchError>,
        chat: Option<ChatId>,
        question: Question,
        pictures: Vec<SeenPicture>,
        hear: &mut dyn FnMut(ChatEvent),
    ) {
        let begun = Instant::now();
        let (cancel, events) = self.worker.ask(question);
        let run = {
            let mut running = self.running();
            running.next += 1;
            let run = RunId(running.next);
            running.cancels.insert(run, cancel);
            run
        };
        let kept = kept.unwrap_or_else(|error| {
            hear(ChatEvent::Unkept(error.report()));
            Kept { chat, turn: None, answer: None }
        });
        hear(ChatEvent::Began { chat: kept.chat, turn: kept.turn, answer: kept.answer, run, pictures });
        let mut growing = Growing::new(begun);
        for event in events {
            if let Some(answer) = kept.answer
                && let Err(error) = growing.keep(&self.book, answer, &event)
            {
                hear(ChatEvent::Unkept(WorkbenchError::from(error).report()));
            }
            if event.is_last() {
                self.running().cancels.remove(&run);
            }
            hear(ChatEvent::Stream(event));
        }
        self.running().cancels.remove(&run);
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions and answers from the first to `answer`.
pub fn path(chat: &Chat, answer: AnswerId) -> Vec<(&eosin_casebook::Turn, &Answer)> {
    let mut path = Vec::new();
    let mut next = Some(answer);
    while let Some(id) = next {
        let found = chat
            .turns
            .iter()
            .find_map(|turn| Some((turn, turn.answers.iter().find(|answer| answer.id == id)?)));
        // A tree has no circles; a book that was tampered with may: no answer stands twice in a path.
        let Some((turn, answer)) = found
            .filter(|(turn, _)| !path.iter().any(|(old, _): &(&eosin_casebook::Turn, _)| old.id == turn.id))
        else {
            break;
        };
        path.push((turn, answer));
        next = turn.parent;
    }
    path.reverse();
    path
}

/// A question that was answered, and its answer without the reasoning: models are trained on such conversations.
fn said(
    turn: &eosin_casebook::Turn,
    tiles: impl Iterator<Item = Arc<eosin_core::RgbTile>>,
    answer: &Answer,
) -> [CoreTurn; 2] {
    let mut asked = question_turn(&turn.question, tiles);
    if let (false, Some(Part::Text(text))) = (turn.choices.is_empty(), asked.parts.last_mut()) {
        *text = eosin_session::prompt::question_with_options(text, &turn.choices);
    }
    [asked, CoreTurn::text(Role::Assistant, answer.answer.as_str())]
}

fn question_turn(text: &str, tiles: impl Iterator<Item = Arc<eosin_core::RgbTile>>) -> CoreTurn {
    let mut parts: Vec<Part> = tiles.map(Part::Image).collect();
    parts.push(Part::Text(text.trim().to_owned()));
    CoreTurn { role: Role::User, parts }
}

fn complete(
    mut turns: Vec<CoreTurn>,
    choices: &[String],
    style: Option<Style>,
    system: Option<&str>,
    options: AskOptions,
) -> Question {
    if let Some(system) = system.filter(|system| !system.trim().is_empty()) {
        turns.insert(0, CoreTurn::text(Role::System, system));
    }
    Question { conversation: Conversation { turns }, choices: choices.to_vec(), style, options }
}

fn new_image(picture: &SeenPicture) -> NewImage {
    NewImage {
        pixels: picture.tile.clone(),
        region: picture.region.clone(),
        slide_title: picture.title.clone(),
        um_per_px: picture.tile_um_per_px(),
        seen_size_px: Some(picture.size_px),
        n_token: Some(picture.n_token as u32),
    }
}

fn new_answer(model: &ModelInfo, options: &AskOptions) -> NewAnswer {
    NewAnswer {
        model_name: model.name.clone(),
        model_hash: model.hash.clone(),
        device: format!("{} ({})", model.device, model.device_name),
        settings: settings_of(options),
        seed: options.seed,
    }
}

/// The settings with nothing left to chance: a drawn answer has its seed stated.
fn settled_options(options: &AskOptions, model: &ModelInfo) -> AskOptions {
    let drawn = !options.greedy && options.temperature.or(model.sampler.temperature).is_some_and(|t| t > 0.0);
    let mut options = options.clone();
    if drawn && options.seed.is_none() {
        // Below 2^32, so that every program can read it back.
        options.seed = Some(u64::from(rand::random::<u32>()));
    }
    options
}

/// The first line of a question, short.
fn title(question: &str) -> String {
    let line = question.trim().lines().next().unwrap_or_default();
    let mut title: String = line.chars().take(TITLE_LETTERS).collect();
    if title.len() < line.len() {
        title.push('…');
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_short_line() {
        assert_eq!(title("  Which tissue?\nPlease."), "Which tissue?");
        assert_eq!(title(&"组织".repeat(60)).chars().count(), TITLE_LETTERS + 1);
        assert_eq!(title(""), "");
    }
}
