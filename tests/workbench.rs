//! The application without a window: questions about views and pictures, kept as they are asked, answered by the
//! built-in demonstration, stopped, asked again, edited and re-run.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

use std::path::Path;
use std::sync::Arc;

use eosin_casebook::{AnswerId, AnswerState, CaseBook, ChatId};
use eosin_core::DeviceChoice;
use eosin_session::{AskOptions, BundleSource, SessionError, StreamEvent, Worker};
use eosin_workbench::chat::{Ask, ChatEvent, Chats};
use eosin_workbench::{FeedOptions, PictureSource, SlideKey, ViewRect, Workbench, WorkbenchError};

/// A desk in a folder of its own, with a picture of pink and violet on it.
struct Desk {
    chats: Chats,
    slide: SlideKey,
    _folder: tempfile::TempDir,
}

/// The desk; none where the build has no demonstration.
fn desk() -> Option<Desk> {
    let folder = tempfile::tempdir().unwrap();
    let workbench = Arc::new(Workbench::new(FeedOptions::default()).unwrap());
    let path = folder.path().join("tissue.png");
    picture(&path, 0);
    let slide = workbench.open(&path).unwrap().key.clone();
    let (book, _) = CaseBook::open(&folder.path().join("casebook.sqlite")).unwrap();
    let worker = Worker::spawn(BundleSource::Demo, DeviceChoice::Cpu);
    let chats = Chats::new(workbench, Arc::new(book), worker);
    match chats.model() {
        Err(WorkbenchError::Session(error)) if matches!(*error, SessionError::NoDemo) => {
            eprintln!("skipped: this build has no demonstration model");
            None
        }
        model => {
            model.unwrap();
            Some(Desk { chats, slide, _folder: folder })
        }
    }
}

fn picture(path: &Path, shade: u8) {
    let image = image::RgbImage::from_fn(640, 480, |x, y| {
        let cell = (x / 24 + y / 24) % 3 == 0;
        image::Rgb(if cell { [120 + shade, 60, 140] } else { [225, 160 + shade, 200] })
    });
    image.save(path).unwrap();
}

/// What was heard of an answer.
#[derive(Default)]
struct Heard {
    chat: Option<ChatId>,
    answer: Option<AnswerId>,
    n_picture: usize,
    n_token: usize,
    n_reused_image: usize,
    token_ids: Vec<u32>,
    reason: String,
    n_last: usize,
}

impl Heard {
    fn take(&mut self, event: ChatEvent) {
        match event {
            ChatEvent::Began { chat, answer, pictures, .. } => {
                (self.chat, self.answer) = (chat, answer);
                self.n_picture = pictures.len();
                self.n_token = pictures.iter().map(|picture| picture.n_token).sum();
            }
            ChatEvent::Unkept(report) => panic!("{report:?}"),
            ChatEvent::Stream(StreamEvent::Done { reason, usage, transcript }) => {
                self.reason = reason.name().to_owned();
                self.n_reused_image = usage.n_image_reused;
                self.token_ids.clone_from(&transcript.token_ids);
                self.n_last += 1;
            }
            ChatEvent::Stream(StreamEvent::Failed(error)) => panic!("{error}"),
            ChatEvent::Stream(_) => {}
        }
    }
}

impl Desk {
    fn ask(&self, ask: &Ask) -> Heard {
        let mut heard = Heard::default();
        self.chats.ask(ask, &mut |event| heard.take(event)).unwrap();
        assert_eq!(heard.n_last, 1);
        heard
    }

    fn view(&self) -> PictureSource {
        let view = ViewRect { origin_base_px: [40.0, 30.0], size_base_px: [320.0, 240.0] };
        PictureSource::View { slide: self.slide.clone(), view }
    }
}

fn question(text: &str, pictures: Vec<PictureSource>) -> Ask {
    let options = AskOptions { max_tokens: Some(24), ..AskOptions::default() };
    Ask { question: text.to_owned(), pictures, options, ..Ask::default() }
}

#[test]
fn what_is_shown_before_is_what_is_asked_and_kept() {
    let Some(desk) = desk() else { return };
    let (model, seen) =
        desk.chats.preview(&[desk.view(), PictureSource::Whole { slide: desk.slide.clone() }]).unwrap();
    let png = image::load_from_memory(&seen[0].png(&model).unwrap()).unwrap();
    assert_eq!([png.width(), png.height()], seen[0].size_px);
    let heard = desk.ask(&question("Describe the image.", vec![desk.view()]));
    assert_eq!((heard.n_picture, heard.n_token), (1, seen[0].n_token));

    let chat = desk.chats.book().chat(heard.chat.unwrap()).unwrap();
    let turn = &chat.turns[0];
    assert_eq!((chat.turns.len(), turn.question.as_str()), (1, "Describe the image."));
    assert_eq!(desk.chats.book().pixels(&turn.images[0].hash).unwrap(), *seen[0].tile);
    let answer = turn.shown().unwrap();
    assert_eq!((answer.state, &answer.token_ids), (AnswerState::Finished, &heard.token_ids));
    assert_eq!(answer.model_hash, model.hash);
    let figures = answer.figures();
    assert_eq!(figures.n_generated, Some(heard.token_ids.len() as u64));
    assert!(figures.first_token_secs.is_some() && figures.n_context.is_some(), "{figures:?}");
    desk.chats.book().verify().unwrap();
}

#[test]
fn a_second_question_re_uses_the_image_and_an_edit_loses_nothing() {
    let Some(desk) = desk() else { return };
    let first = desk.ask(&question("Describe the image.", vec![desk.view()]));
    let (chat, parent) = (first.chat, first.answer);
    let second = desk.ask(&Ask { chat, parent, ..question("Which organ is this?", vec![]) });
    assert_eq!(second.n_reused_image, 1, "the picture is not looked at again");
    // The first question in other words: a branch beside it.
    let edited = desk.ask(&Ask { chat, ..question("What do you see?", vec![desk.view()]) });
    let kept = desk.chats.book().chat(chat.unwrap()).unwrap();
    assert_eq!(kept.turns.len(), 3);
    assert_eq!(
        kept.shown().iter().map(|turn| turn.question.as_str()).collect::<Vec<_>>(),
        ["What do you see?"]
    );
    // The first branch is still there, with what followed.
    desk.chats.book().select(kept.turns[0].id, None).unwrap();
    let kept = desk.chats.book().chat(chat.unwrap()).unwrap();
    assert_eq!(kept.shown().len(), 2);
    assert!(edited.answer != first.answer);
}

#[test]
fn an_answer_can_be_made_again_and_is_the_same_when_re_run() {
    let Some(desk) = desk() else { return };
    let drawn = AskOptions { temperature: Some(0.9), max_tokens: Some(32), ..AskOptions::default() };
    let first =
        desk.ask(&Ask { options: drawn.clone(), ..question("Describe the image.", vec![desk.view()]) });
    let chat = first.chat.unwrap();
    let turn = desk.chats.book().chat(chat).unwrap().turns[0].id;
    let mut again = Heard::default();
    desk.chats.again(chat, turn, &drawn, &mut |event| again.take(event)).unwrap();
    let kept = desk.chats.book().chat(chat).unwrap();
    let seeds: Vec<_> = kept.turns[0].answers.iter().map(|answer| answer.seed).collect();
    assert!(seeds.len() == 2 && seeds[0] != seeds[1] && seeds.iter().all(Option::is_some), "{seeds:?}");
    assert_eq!(kept.turns[0].shown().unwrap().id, again.answer.unwrap());
    for (answer, heard) in [(first.answer, &first), (again.answer, &again)] {
        let rerun = desk.chats.rerun(answer.unwrap()).unwrap();
        assert!(rerun.is_same() && rerun.same_model, "{rerun:?}");
        assert_eq!(rerun.new_ids, heard.token_ids);
    }
}

#[test]
fn a_stopped_answer_keeps_its_words() {
    let Some(desk) = desk() else { return };
    let mut heard = Heard::default();
    let mut words = String::new();
    let options = AskOptions {
        max_tokens: Some(400),
        end_of_turn: eosin_session::EndOfTurn::Ignored,
        ..AskOptions::default()
    };
    let mut run = None;
    desk.chats
        .ask(&Ask { options, ..question("Describe the image.", vec![desk.view()]) }, &mut |event| {
            if let ChatEvent::Began { run: own, .. } = &event {
                run = Some(*own);
            }
            if let ChatEvent::Stream(StreamEvent::Text { delta, .. }) = &event {
                words += delta;
                desk.chats.stop(run.unwrap());
            }
            heard.take(event);
        })
        .unwrap();
    assert_eq!(heard.reason, "cancelled");
    assert!(heard.token_ids.len() < 300 && !desk.chats.is_answering());
    let kept = desk.chats.book().chat(heard.chat.unwrap()).unwrap();
    let answer = kept.turns[0].shown().unwrap();
    let said = format!("{}{}", answer.reasoning, answer.answer);
    assert!(
        !said.is_empty() && words.trim().starts_with(said.trim().get(..1).unwrap()),
        "{said:?} of {words:?}"
    );
}

#[test]
fn what_cannot_be_asked_is_refused_and_not_kept() {
    let Some(desk) = desk() else { return };
    let code = |ask: Ask| desk.chats.ask(&ask, &mut |_| {}).unwrap_err().code();
    assert_eq!(code(question("  ", vec![desk.view()])), "model");
    assert_eq!(code(question("?", vec![desk.view(); 17])), "too_many_pictures");
    assert_eq!(code(question("?", vec![PictureSource::File { path: "/nowhere.png".into() }])), "slide_open");
    desk.chats.worker().unload().unwrap();
    while !matches!(desk.chats.load_state(), eosin_session::LoadState::Unloaded) {
        std::thread::yield_now();
    }
    assert_eq!(code(question("?", vec![])), "no_model");
    assert!(desk.chats.book().chats(9).unwrap().is_empty());
    desk.chats.worker().load(BundleSource::Demo, DeviceChoice::Cpu).unwrap();
    desk.ask(&question("Describe the image.", vec![desk.view()]));
}
