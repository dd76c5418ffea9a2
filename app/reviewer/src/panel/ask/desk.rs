//! Where questions go: threads that ask the workbench's chats and send what comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use eframe::egui::{self, ColorImage};
use eosin_casebook::{AnswerId, ChatId, TurnId};
use eosin_session::{AskOptions, LoadState, ModelInfo, StreamEvent};
use eosin_workbench::chat::{Ask, ChatEvent, Chats, RunId};
use eosin_workbench::{ErrorReport, PictureSource, SeenPicture, SlideKey, ViewRect, WorkbenchError};

use super::Seen;
use crate::tiles::color_image;

/// Events that may wait for a frame; a window that is hidden takes them all the same.
const MAX_NEWS: usize = 512;

/// Which answer an event is about: the question, and which of its versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerPlace {
    /// The question in the panel.
    pub turn: usize,
    /// The version of its answer.
    pub version: usize,
}

/// What a thread has to tell.
#[derive(Debug)]
pub enum AskNews {
    /// What the model would see of a view.
    Preview {
        /// The view.
        view: (SlideKey, ViewRect),
        /// Its pixels, or why there are none.
        result: Result<(ColorImage, Seen), String>,
    },
    /// The question is on its way, and kept under these names.
    Began {
        /// The question.
        place: AnswerPlace,
        /// The chat.
        chat: Option<ChatId>,
        /// The question's name.
        turn: Option<TurnId>,
        /// The answer's name.
        answer: Option<AnswerId>,
        /// What the model sees of it.
        picture: Option<(ColorImage, Seen)>,
    },
    /// The answer goes on.
    Event {
        /// The question.
        place: AnswerPlace,
        /// What happened.
        event: StreamEvent,
    },
    /// The answer comes, and is not kept.
    Unkept(ErrorReport),
    /// The question could not be put.
    Refused {
        /// The question.
        place: AnswerPlace,
        /// Why, and what to do.
        report: ErrorReport,
    },
}

/// The answer that is being made.
#[derive(Default)]
struct Running {
    stopped: AtomicBool,
    run: Mutex<Option<RunId>>,
}

/// The way to the model.
pub struct Desk {
    chats: Option<Arc<Chats>>,
    options: AskOptions,
    ctx: egui::Context,
    sender: SyncSender<AskNews>,
    receiver: Receiver<AskNews>,
    reading: Arc<AtomicBool>,
    running: Option<Arc<Running>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk(answering: {})", self.answering())
    }
}

impl Desk {
    /// A desk over chats; without them nothing can be asked.
    pub fn new(chats: Option<Arc<Chats>>, options: AskOptions, ctx: egui::Context) -> Self {
        let (sender, receiver) = sync_channel(MAX_NEWS);
        let reading = Arc::new(AtomicBool::new(false));
        Self { chats, options, ctx, sender, receiver, reading, running: None }
    }

    /// How far the model is.
    pub fn state(&self) -> Option<LoadState> {
        self.chats.as_ref().map(|chats| chats.load_state())
    }

    /// The model, once it is there.
    pub fn model(&self) -> Option<Arc<ModelInfo>> {
        match self.state()? {
            LoadState::Ready(info) => Some(info),
            _ => None,
        }
    }

    /// Whether an answer is being made.
    pub fn answering(&self) -> bool {
        self.running.is_some()
    }

    /// The answer has come to its end.
    pub fn ended(&mut self) {
        self.running = None;
    }

    /// What has come.
    pub fn news(&self) -> Vec<AskNews> {
        self.receiver.try_iter().collect()
    }

    /// Stops the answer within a token.
    pub fn stop(&mut self) {
        if let (Some(running), Some(chats)) = (&self.running, &self.chats) {
            running.stopped.store(true, Ordering::SeqCst);
            if let Some(run) = *running.run.lock().unwrap_or_else(PoisonError::into_inner) {
                chats.stop(run);
            }
        }
    }

    /// Has what the model would see of a view read; `false` while another view is being read.
    pub fn preview(&self, slide: &SlideKey, view: ViewRect) -> bool {
        let Some(chats) = self.chats.clone().filter(|_| self.model().is_some()) else { return false };
        if self.reading.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (sender, ctx, slide) = (self.sender.clone(), self.ctx.clone(), slide.clone());
        let reading = Arc::clone(&self.reading);
        let work = move || {
            let source = PictureSource::View { slide: slide.clone(), view };
            let result = match chats.preview(std::slice::from_ref(&source)) {
                Ok((model, seen)) => {
                    seen.first().map(|seen| picture(seen, &model)).ok_or_else(|| "…".to_owned())
                }
                Err(error) => Err(error.report().message),
            };
            reading.store(false, Ordering::Relaxed);
            // A window that has gone wants nothing.
            let _ = sender.send(AskNews::Preview { view: (slide, view), result });
            ctx.request_repaint();
        };
        let started = std::thread::Builder::new().name("eosin-preview".to_owned()).spawn(work);
        if started.is_err() {
            self.reading.store(false, Ordering::Relaxed);
        }
        started.is_ok()
    }

    /// Puts a question; the answer comes as news.
    pub fn ask(&mut self, place: AnswerPlace, ask: Ask) {
        let ask = Ask { options: self.options.clone(), ..ask };
        self.begin(place, move |chats, hear| chats.ask(&ask, hear));
    }

    /// Has a kept question answered once more.
    pub fn again(&mut self, place: AnswerPlace, chat: ChatId, turn: TurnId) {
        // The same settings would say the same again: another version is drawn.
        let options = AskOptions { greedy: false, ..self.options.clone() };
        self.begin(place, move |chats, hear| chats.again(chat, turn, &options, hear));
    }

    fn begin(
        &mut self,
        place: AnswerPlace,
        work: impl FnOnce(&Chats, &mut dyn FnMut(ChatEvent)) -> Result<(), WorkbenchError> + Send + 'static,
    ) {
        let Some((chats, model)) = self.chats.clone().zip(self.model()) else { return };
        let running = Arc::new(Running::default());
        self.running = Some(Arc::clone(&running));
        let (sender, ctx) = (self.sender.clone(), self.ctx.clone());
        let job = move || {
            let mut hear = |event: ChatEvent| {
                if let ChatEvent::Began { run, .. } = &event {
                    *running.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(*run);
                    // Stop may have been pressed before the answer had a name.
                    if running.stopped.load(Ordering::SeqCst) {
                        chats.stop(*run);
                    }
                }
                // A window that has gone hears nothing; its answer is kept all the same.
                let _ = sender.send(news(place, event, &model));
                ctx.request_repaint();
            };
            if let Err(error) = work(&chats, &mut hear) {
                let _ = sender.send(AskNews::Refused { place, report: error.report() });
                ctx.request_repaint();
            }
        };
        if std::thread::Builder::new().name("eosin-question".to_owned()).spawn(job).is_err() {
            let message = "the system starts no thread".to_owned();
            let report = ErrorReport { code: "thread".to_owned(), message, hint: None };
            // The channel has room, and if not, the frame that empties it finds the question without an answer.
            let _ = self.sender.try_send(AskNews::Refused { place, report });
        }
    }
}

fn news(place: AnswerPlace, event: ChatEvent, model: &ModelInfo) -> AskNews {
    match event {
        ChatEvent::Began { chat, turn, answer, pictures, .. } => {
            let picture = pictures.first().map(|seen| picture(seen, model));
            AskNews::Began { place, chat, turn, answer, picture }
        }
        ChatEvent::Unkept(report) => AskNews::Unkept(report),
        ChatEvent::Stream(event) => AskNews::Event { place, event },
    }
}

/// Exactly the pixels that the model gets, and their figures.
fn picture(seen: &SeenPicture, model: &ModelInfo) -> (ColorImage, Seen) {
    let resized = model.preprocess.resized(&seen.tile);
    let image = color_image(resized.as_ref().unwrap_or(&seen.tile));
    (image, Seen { size_px: seen.size_px, n_token: seen.n_token, um_per_px: seen.um_per_px })
}
