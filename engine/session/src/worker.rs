//! One thread that owns device and model: questions in, events out, stop at any time.
//!
//! Callers never wait for the model: opening it happens on the thread, a question is put into a short queue,
//! and events come through a bounded channel. A listener that goes away stops its answer. A panic becomes
//! [`StreamEvent::Failed`] and the thread lives on. Held true by the tests below and `tests/session_reuse.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use eosin_core::DeviceChoice;

use crate::SessionError;
use crate::bundle::BundleSource;
use crate::generate::{Cancel, ModelInfo, Question, Session};
use crate::stream::StreamEvent;

/// Questions that may wait.
const MAX_WAITING: usize = 16;
/// Events that may wait for a listener.
const MAX_EVENTS: usize = 256;
/// How long the thread sleeps before it looks again whether a slow listener made room.
const PAUSE: Duration = Duration::from_millis(2);

/// How far the model is.
#[derive(Clone, Debug)]
pub enum LoadState {
    /// Being opened.
    Loading,
    /// Ready for questions.
    Ready(Arc<ModelInfo>),
    /// Could not be opened; questions fail with the same error.
    Failed(Arc<SessionError>),
    /// Put away: its memory is free, questions are refused.
    Unloaded,
}

enum Request {
    Load(BundleSource, DeviceChoice),
    Unload,
    Ask { question: Box<Question>, cancel: Cancel, events: SyncSender<StreamEvent> },
}

/// What the thread and its callers both see.
#[derive(Debug)]
struct Shared {
    state: Mutex<LoadState>,
    changed: Condvar,
    /// The answer that is being made, so that it can be stopped when the worker goes.
    current: Mutex<Option<Cancel>>,
    closing: AtomicBool,
}

impl Shared {
    fn set_state(&self, state: LoadState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }

    fn set_current(&self, cancel: Option<Cancel>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = cancel;
    }
}

/// The handle on the thread. Dropping it stops the answer that is being made and ends the thread.
#[derive(Debug)]
pub struct Worker {
    requests: Option<SyncSender<Request>>,
    shared: Arc<Shared>,
}

impl Worker {
    /// Starts the thread and has it open a model; returns at once.
    pub fn spawn(source: BundleSource, device: DeviceChoice) -> Self {
        let (requests, inbox) = sync_channel(MAX_WAITING);
        let shared = Arc::new(Shared {
            state: Mutex::new(LoadState::Loading),
            changed: Condvar::new(),
            current: Mutex::new(None),
            closing: AtomicBool::new(false),
        });
        let for_thread = shared.clone();
        let started = std::thread::Builder::new()
            .name("eosin-model".to_owned())
            .spawn(move || serve(&inbox, &for_thread, &source, device));
        if started.is_err() {
            shared.set_state(LoadState::Failed(Arc::new(SessionError::Gone)));
        }
        Self { requests: Some(requests), shared }
    }

    /// Has the thread open another model in place of the present one; returns at once.
    pub fn load(&self, source: BundleSource, device: DeviceChoice) -> Result<(), SessionError> {
        self.stop();
        self.shared.set_state(LoadState::Loading);
        self.send(Request::Load(source, device))
    }

    /// Stops the answer that is being made and frees the model's memory; returns at once.
    pub fn unload(&self) -> Result<(), SessionError> {
        self.stop();
        self.send(Request::Unload)
    }

    /// Stops the answer that is being made, if one is.
    fn stop(&self) {
        if let Some(cancel) = &*self.shared.current.lock().unwrap_or_else(PoisonError::into_inner) {
            cancel.cancel();
        }
    }

    /// How far the model is, without waiting.
    pub fn state(&self) -> LoadState {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the model is open, or cannot be opened.
    pub fn wait(&self) -> Result<Arc<ModelInfo>, Arc<SessionError>> {
        let mut state = self.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match &*state {
                LoadState::Ready(info) => return Ok(info.clone()),
                LoadState::Failed(error) => return Err(error.clone()),
                LoadState::Unloaded => return Err(Arc::new(SessionError::Unloaded)),
                LoadState::Loading => {}
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks a question; returns at once. The events end with `Done` or `Failed`; dropping the receiver, or
    /// [`Cancel::cancel`], stops the answer.
    pub fn ask(&self, question: Question) -> (Cancel, Receiver<StreamEvent>) {
        let cancel = Cancel::default();
        let (events, listener) = sync_channel(MAX_EVENTS);
        let request =
            Request::Ask { question: Box::new(question), cancel: cancel.clone(), events: events.clone() };
        if let Err(error) = self.send(request) {
            // The channel is new and empty, so there is room.
            let _ = events.try_send(StreamEvent::Failed(Arc::new(error)));
        }
        (cancel, listener)
    }

    fn send(&self, request: Request) -> Result<(), SessionError> {
        let Some(requests) = &self.requests else { return Err(SessionError::Gone) };
        requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => SessionError::Busy,
            TrySendError::Disconnected(_) => SessionError::Gone,
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.requests = None;
        self.stop();
        // Not joined: a picture that is being read would hold the caller up.
    }
}

/// The thread: opens the model, then answers until nobody is left to ask.
fn serve(inbox: &Receiver<Request>, shared: &Shared, source: &BundleSource, device: DeviceChoice) {
    let mut session = load(shared, source, device);
    while let Ok(request) = inbox.recv() {
        match request {
            Request::Load(source, device) => {
                // The old model goes first: two may not fit.
                drop(session);
                session = load(shared, &source, device);
            }
            Request::Unload => {
                session = Err(Arc::new(SessionError::Unloaded));
                shared.set_state(LoadState::Unloaded);
            }
            Request::Ask { question, cancel, events } => {
                shared.set_current(Some(cancel.clone()));
                if shared.closing.load(Ordering::Relaxed) {
                    cancel.cancel();
                }
                answer(&mut session, &question, &cancel, &mut |event| send(&events, event, &cancel, shared));
                shared.set_current(None);
            }
        }
    }
}

fn load(shared: &Shared, source: &BundleSource, device: DeviceChoice) -> Result<Session, Arc<SessionError>> {
    shared.set_state(LoadState::Loading);
    let session = caught(|| Session::open(source, device)).map_err(Arc::new);
    shared.set_state(match &session {
        Ok(session) => LoadState::Ready(Arc::new(session.info().clone())),
        Err(error) => LoadState::Failed(error.clone()),
    });
    session
}

fn answer(
    session: &mut Result<Session, Arc<SessionError>>,
    question: &Question,
    cancel: &Cancel,
    emit: &mut dyn FnMut(StreamEvent),
) {
    let session = match session {
        Ok(session) => session,
        Err(error) => return emit(StreamEvent::Failed(error.clone())),
    };
    if let Err(error) = caught(|| session.answer(question, cancel, emit)) {
        if matches!(error, SessionError::Panic { .. }) {
            // What it kept may be half written.
            session.forget();
        }
        emit(StreamEvent::Failed(Arc::new(error)));
    }
}

/// Turns a panic, which is a bug, into an error.
fn caught<T>(work: impl FnOnce() -> Result<T, SessionError>) -> Result<T, SessionError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(ToString::to_string);
        let message = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(SessionError::Panic { message: message.unwrap_or_else(|| "no message".to_owned()) })
    })
}

/// Hands an event over. A slow listener slows the model; one that has gone stops it.
fn send(events: &SyncSender<StreamEvent>, event: StreamEvent, cancel: &Cancel, shared: &Shared) {
    let mut event = event;
    loop {
        match events.try_send(event) {
            Ok(()) => return,
            Err(TrySendError::Disconnected(_)) => return cancel.cancel(),
            Err(TrySendError::Full(returned)) => {
                // A stopped answer need not be read to its end, but its last event must arrive.
                let needless = cancel.is_cancelled() && !returned.is_last();
                if needless || shared.closing.load(Ordering::Relaxed) {
                    return;
                }
                event = returned;
                std::thread::sleep(PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn absent() -> BundleSource {
        BundleSource::Files { model: "/nowhere/at/all".into(), mmproj: None }
    }

    #[test]
    fn a_model_that_cannot_be_opened_fails_every_question_once() {
        let worker = Worker::spawn(absent(), DeviceChoice::Cpu);
        assert!(matches!(*worker.wait().unwrap_err(), SessionError::NotAModel { .. }));
        for _ in 0..2 {
            let (_, events) = worker.ask(Question::about(vec![], "q"));
            let events: Vec<StreamEvent> = events.iter().collect();
            assert!(matches!(events.as_slice(), [StreamEvent::Failed(_)]), "{events:?}");
        }
        worker.load(absent(), DeviceChoice::Cpu).unwrap();
        assert!(worker.wait().is_err());
        worker.unload().unwrap();
        let (_, events) = worker.ask(Question::about(vec![], "q"));
        let events: Vec<StreamEvent> = events.iter().collect();
        assert!(
            matches!(&events[..], [StreamEvent::Failed(error)] if matches!(**error, SessionError::Unloaded))
        );
        assert!(matches!(worker.state(), LoadState::Unloaded));
    }

    #[test]
    fn a_panic_is_an_error() {
        let error = caught::<()>(|| panic!("on purpose")).unwrap_err();
        assert!(matches!(error, SessionError::Panic { message } if message == "on purpose"));
    }

    #[test]
    fn a_stopped_listener_gets_the_last_event_and_a_gone_one_stops_the_answer() {
        let worker = Worker::spawn(absent(), DeviceChoice::Cpu);
        let cancel = Cancel::default();
        let (events, listener) = sync_channel(1);
        let planned = || StreamEvent::Planned { n_prompt: 1, n_context: 2, asked_tokens: 1, max_tokens: 1 };
        send(&events, planned(), &cancel, &worker.shared);
        cancel.cancel();
        // The channel is full, the answer stopped: this event is dropped instead of waited for.
        send(&events, planned(), &cancel, &worker.shared);
        assert_eq!(listener.try_iter().count(), 1);
        drop(listener);
        let cancel = Cancel::default();
        send(&events, planned(), &cancel, &worker.shared);
        assert!(cancel.is_cancelled());
    }
}
