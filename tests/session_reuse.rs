//! What a second question spares, and that it changes nothing: vision output and the common beginning of two
//! prompts are re-used, answers stay those of a fresh model. Also: stopping within a token, one last event.
//!
//! Runs on a checkpoint of the conformance kit, else on the built-in demonstration; without both it says so
//! and passes.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/shared.rs"]
mod shared;

use std::sync::Arc;

use eosin_core::{Conversation, DeviceChoice, Part, RgbTile, Role, Turn};
use eosin_session::{
    AskOptions, BundleSource, Cancel, EndOfTurn, Question, Session, SessionError, StopReason, StreamEvent,
    Transcript, Usage, Worker,
};
use shared::shared;

const N_TOKEN: usize = 12;

fn source() -> BundleSource {
    shared("conformance/kit/qwen/tied/model")
        .map_or(BundleSource::Demo, |model| BundleSource::Files { model, mmproj: None })
}

fn session() -> Option<Session> {
    match Session::open(&source(), DeviceChoice::Cpu) {
        Err(SessionError::NoDemo) => {
            eprintln!("skipped: neither the conformance kit nor a demonstration model is here");
            None
        }
        session => Some(session.unwrap()),
    }
}

/// A picture with some structure, different for each `shade`.
fn tile(shade: u8) -> Arc<RgbTile> {
    let pixels = (0..168 * 140 * 3).map(|idx: u32| (idx.wrapping_mul(2_654_435_761) >> 24) as u8 / 2 + shade);
    Arc::new(RgbTile::new([168, 140], pixels.collect()).unwrap())
}

fn question(turns: Vec<Turn>) -> Question {
    let options = AskOptions {
        greedy: true,
        max_tokens: Some(N_TOKEN),
        end_of_turn: EndOfTurn::Ignored,
        ..AskOptions::default()
    };
    Question { conversation: Conversation { turns }, options, ..Question::default() }
}

fn about(tile: &Arc<RgbTile>, text: &str) -> Question {
    question(vec![Turn { role: Role::User, parts: vec![Part::Image(tile.clone()), Part::Text(text.into())] }])
}

fn answer(session: &mut Session, question: &Question) -> (Usage, Arc<Transcript>) {
    let mut last = None;
    let mut n_last = 0;
    session
        .answer(question, &Cancel::default(), &mut |event| {
            n_last += usize::from(event.is_last());
            if let StreamEvent::Done { usage, transcript, .. } = event {
                last = Some((usage, transcript));
            }
        })
        .unwrap();
    assert_eq!(n_last, 1);
    last.unwrap()
}

#[test]
fn a_second_question_reads_only_its_own_words_and_answers_alike() {
    let Some(mut session) = session() else { return };
    let [first, other] = [tile(0), tile(90)];
    let (usage, transcript) = answer(&mut session, &about(&first, "What does the image show?"));
    assert_eq!((usage.n_reused, usage.n_image_reused, usage.n_generated), (0, 0, N_TOKEN));
    assert_eq!(transcript.token_ids.len(), N_TOKEN);

    // The same picture, another question: the picture is not read again, not even its tokens.
    let second = about(&first, "Describe the nuclear morphology.");
    let (usage, reused) = answer(&mut session, &second);
    assert_eq!(usage.n_image_reused, 1);
    assert!(usage.n_reused > 30 && usage.n_reused < usage.n_prompt, "{usage:?}");
    assert!(usage.vision_secs <= 0.0);
    session.forget();
    let (usage, fresh) = answer(&mut session, &second);
    assert_eq!((usage.n_reused, usage.n_image_reused), (0, 0));
    assert_eq!(reused, fresh);

    // Another picture of the same size has the same ids, and nothing of the first may be taken for it.
    let third = about(&other, "Describe the nuclear morphology.");
    let (usage, changed) = answer(&mut session, &third);
    assert_eq!(usage.n_image_reused, 0);
    assert_eq!(changed.prompt_ids, fresh.prompt_ids);
    // Back to the first picture: its vision output is still there, its keys and values are not.
    let (usage, again) = answer(&mut session, &second);
    assert_eq!(usage.n_image_reused, 1);
    assert_eq!(again, fresh);
    session.forget();
    assert_eq!(answer(&mut session, &third).1, changed);
    let (_, again) = answer(&mut session, &second);

    // A talk that goes on re-uses the picture and the turn before.
    let mut turns = second.conversation.turns.clone();
    turns.extend([Turn::text(Role::Assistant, "Benign."), Turn::text(Role::User, "Are you sure?")]);
    let talk = question(turns);
    let (usage, on) = answer(&mut session, &talk);
    assert!(usage.n_reused >= again.prompt_ids.len() - 1, "{usage:?}");
    session.forget();
    assert_eq!(answer(&mut session, &talk).1, on);
}

#[test]
fn an_answer_stops_within_a_token() {
    let Some(mut session) = session() else { return };
    let mut long = about(&tile(0), "Describe it.");
    long.options.max_tokens = Some(100_000);
    let cancel = Cancel::default();
    let mut n_after = 0;
    let mut outcome = None;
    session
        .answer(&long, &cancel, &mut |event| match event {
            StreamEvent::Text { .. } => {
                n_after += usize::from(cancel.is_cancelled());
                cancel.cancel();
            }
            StreamEvent::Done { reason, transcript, .. } => outcome = Some((reason, transcript)),
            _ => {}
        })
        .unwrap();
    let (reason, transcript) = outcome.unwrap();
    assert_eq!(reason, StopReason::Cancelled);
    // Only what was held back for a character or a tag may still come.
    assert!(n_after <= 1, "{n_after} pieces after the stop");
    assert!(transcript.token_ids.len() < 64);
    // The model is as good as new.
    let (_, stopped) = answer(&mut session, &about(&tile(0), "Describe it."));
    session.forget();
    assert_eq!(answer(&mut session, &about(&tile(0), "Describe it.")).1, stopped);
}

#[test]
fn the_context_is_told_before_it_fails() {
    let Some(mut session) = session() else { return };
    let n_context = session.info().n_context;
    let mut planned = None;
    let mut long = question(vec![Turn::text(Role::User, "hm")]);
    long.options.max_tokens = Some(n_context);
    let cancel = Cancel::default();
    session
        .answer(&long, &cancel, &mut |event| {
            if let StreamEvent::Planned { n_prompt, max_tokens, .. } = event {
                planned = Some((n_prompt, max_tokens));
                cancel.cancel();
            }
        })
        .unwrap();
    let (n_prompt, max_tokens) = planned.unwrap();
    assert_eq!(n_prompt + max_tokens, n_context);
    let endless = question(vec![Turn::text(Role::User, "1".repeat(n_context + 1))]);
    let error = session.answer(&endless, &Cancel::default(), &mut |event| panic!("{event:?}")).unwrap_err();
    assert!(matches!(error, SessionError::Context { .. }), "{error}");
}

#[test]
fn a_worker_answers_stops_and_says_one_last_thing() {
    if session().is_none() {
        return;
    }
    let worker = Worker::spawn(source(), DeviceChoice::Cpu);
    let info = worker.wait().unwrap();
    assert!(info.sees && info.hash.starts_with("sha256:"));
    let (_, events) = worker.ask(about(&tile(0), "What is it?"));
    let events: Vec<StreamEvent> = events.iter().collect();
    assert!(matches!(events.first(), Some(StreamEvent::Planned { .. })));
    assert!(matches!(events.last(), Some(StreamEvent::Done { .. })));
    assert_eq!(events.iter().filter(|event| event.is_last()).count(), 1);

    // A listener that goes away does not keep the worker from the next question.
    let mut long = about(&tile(0), "What is it?");
    long.options.max_tokens = Some(100_000);
    drop(worker.ask(long.clone()));
    let (cancel, events) = worker.ask(long);
    let mut last = None;
    for event in &events {
        if matches!(event, StreamEvent::Prefilled { .. }) {
            cancel.cancel();
        }
        last = Some(event);
    }
    assert!(matches!(last, Some(StreamEvent::Done { reason: StopReason::Cancelled, .. })), "{last:?}");
    let (_, events) = worker.ask(Question::about(vec![], " "));
    let events: Vec<StreamEvent> = events.iter().collect();
    assert!(matches!(events.as_slice(), [StreamEvent::Failed(_)]), "{events:?}");
}

/// The demonstration answers with one of the options it is offered; each then has a probability, and asking again
/// gives the same ones, although other words were read in the answer's place meanwhile.
#[test]
fn every_option_has_a_probability_where_the_model_chose_one() {
    let mut session = match Session::open(&BundleSource::Demo, DeviceChoice::Cpu) {
        Err(SessionError::NoDemo) => return eprintln!("skipped: this build has no demonstration model"),
        session => session.unwrap(),
    };
    let mut question = Question::about(vec![tile(120)], "Which inflammatory cell dominates?");
    question.choices = ["no cells", "few cells", "many cells", "lymphocytes"].map(String::from).into();
    question.options.greedy = true;
    let (usage, transcript) = answer(&mut session, &question);
    let probabilities = &transcript.option_probabilities;
    assert_eq!(probabilities.len(), 4, "the model answered {:?}", transcript.answer);
    assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-4, "{probabilities:?}");
    assert!(usage.score_secs > 0.0);
    // Greedy words are the likeliest ones, and these options differ in their first.
    let likeliest = (0..4).max_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b])).unwrap();
    assert!(transcript.answer.to_lowercase().contains(&question.choices[likeliest]), "{transcript:?}");

    let (again, second) = answer(&mut session, &question);
    assert_eq!(second.token_ids, transcript.token_ids);
    assert!(again.n_reused > usage.n_prompt / 2 && again.n_image_reused == 1, "{again:?}");
    for (one, other) in probabilities.iter().zip(&second.option_probabilities) {
        assert!((one - other).abs() < 1e-3, "{probabilities:?} and {:?}", second.option_probabilities);
    }

    question.choices.clear();
    assert!(answer(&mut session, &question).1.option_probabilities.is_empty());
}
