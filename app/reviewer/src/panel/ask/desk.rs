//! Where questions go: threads that read the view, ask the worker and send what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use eframe::egui::{self, ColorImage};
use eosin_session::{AskOptions, Cancel, LoadState, ModelInfo, StreamEvent, Worker};
use eosin_workbench::{SlideKey, ViewQuestion, ViewRect, Workbench};

use super::{Seen, decode};

/// Events that may wait for a frame; a window that is hidden takes them all the same.
const MAX_NEWS: usize = 512;

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
    /// What the model sees of a question.
    Seen {
        /// The question.
        turn: usize,
        /// Its pixels.
        picture: ColorImage,
        /// Their size.
        seen: Seen,
    },
    /// The answer goes on.
    Event {
        /// The question.
        turn: usize,
        /// What happened.
        event: StreamEvent,
    },
    /// The question could not be put.
    Refused {
        /// The question.
        turn: usize,
        /// Why.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

/// The way to the model.
pub struct Desk {
    workbench: Arc<Workbench>,
    worker: Option<Arc<Worker>>,
    options: AskOptions,
    ctx: egui::Context,
    sender: SyncSender<AskNews>,
    receiver: Receiver<AskNews>,
    reading: Arc<AtomicBool>,
    /// The answer that is being made. Its flag is set once it has one.
    running: Option<Running>,
}

/// An answer that is being made.
struct Running {
    stopped: Arc<AtomicBool>,
    cancel: Arc<std::sync::Mutex<Option<Cancel>>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk(answering: {})", self.answering())
    }
}

impl Desk {
    /// A desk over a worker; without one nothing can be asked.
    pub fn new(
        workbench: Arc<Workbench>,
        worker: Option<Arc<Worker>>,
        options: AskOptions,
        ctx: egui::Context,
    ) -> Self {
        let (sender, receiver) = sync_channel(MAX_NEWS);
        let reading = Arc::new(AtomicBool::new(false));
        Self { workbench, worker, options, ctx, sender, receiver, reading, running: None }
    }

    /// How far the model is.
    pub fn state(&self) -> Option<LoadState> {
        self.worker.as_ref().map(|worker| worker.state())
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
        if let Some(running) = &self.running {
            running.stopped.store(true, Ordering::Relaxed);
            let cancel = running.cancel.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(cancel) = &*cancel {
                cancel.cancel();
            }
        }
    }

    /// Has what the model would see of a view read; `false` while another view is being read.
    pub fn preview(&self, slide: &SlideKey, view: ViewRect) -> bool {
        let Some(model) = self.model() else { return false };
        if self.reading.swap(true, Ordering::Relaxed) {
            return false;
        }
        let (workbench, sender, ctx) = (Arc::clone(&self.workbench), self.sender.clone(), self.ctx.clone());
        let (slide, reading) = (slide.clone(), Arc::clone(&self.reading));
        let work = move || {
            let ask = view_question(&slide, view, "?".to_owned(), Vec::new(), AskOptions::default());
            let result = match workbench.question(&model, ask) {
                Ok((_, seen)) => picture(seen).ok_or_else(|| "…".to_owned()),
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
    pub fn ask(
        &mut self,
        turn: usize,
        slide: SlideKey,
        view: ViewRect,
        question: String,
        choices: Vec<String>,
    ) {
        let Some((model, worker)) = self.model().zip(self.worker.clone()) else { return };
        let stopped = Arc::new(AtomicBool::new(false));
        let cancel = Arc::new(std::sync::Mutex::new(None));
        self.running = Some(Running { stopped: Arc::clone(&stopped), cancel: Arc::clone(&cancel) });
        let (workbench, sender, ctx) = (Arc::clone(&self.workbench), self.sender.clone(), self.ctx.clone());
        let options = self.options.clone();
        let work = move || {
            let tell = |news: AskNews| {
                let heard = sender.send(news).is_ok();
                ctx.request_repaint();
                heard
            };
            let ask = view_question(&slide, view, question, choices, options);
            let (question, seen) = match workbench.question(&model, ask) {
                Ok(both) => both,
                Err(error) => {
                    let report = error.report();
                    tell(AskNews::Refused { turn, message: report.message, hint: report.hint });
                    return;
                }
            };
            if let Some((picture, seen)) = picture(seen) {
                tell(AskNews::Seen { turn, picture, seen });
            }
            let (own, events) = worker.ask(question);
            if stopped.load(Ordering::Relaxed) {
                own.cancel();
            }
            *cancel.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(own.clone());
            // Between the look at the flag and here it may have been set.
            if stopped.load(Ordering::Relaxed) {
                own.cancel();
            }
            for event in events {
                // A window that has gone ends the answer, because the listener goes.
                if !tell(AskNews::Event { turn, event }) {
                    return;
                }
            }
        };
        if std::thread::Builder::new().name("eosin-question".to_owned()).spawn(work).is_err() {
            let message = "the system starts no thread".to_owned();
            // The channel has room, and if not, the frame that empties it finds the question without an answer.
            let _ = self.sender.try_send(AskNews::Refused { turn, message, hint: None });
        }
    }
}

fn view_question(
    slide: &SlideKey,
    view: ViewRect,
    text: String,
    choices: Vec<String>,
    options: AskOptions,
) -> ViewQuestion {
    ViewQuestion { slide: slide.clone(), view, text, choices, options }
}

fn picture(seen: eosin_workbench::SeenView) -> Option<(ColorImage, Seen)> {
    let picture = decode(&seen.jpeg)?;
    Some((picture, Seen { size_px: seen.size_px, n_token: seen.n_token, um_per_px: seen.um_per_px }))
}
