//! Chats are trees: versions of answers and of questions beside each other, and all that is needed to ask again.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/sample.rs"]
mod sample;

use std::sync::Arc;

use eosin_casebook::{
    AnswerEnd, AnswerId, AnswerState, CaseError, ChatId, NewAnswer, NewImage, NewTurn, TurnId,
};
use eosin_core::{Hint as _, RgbTile};

#[test]
fn versions_stay_beside_each_other_and_the_chosen_branch_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let book = sample::open(&folder.path().join("book"));
    let chat = book.new_chat("t").unwrap();
    let shown = || -> Vec<TurnId> { book.chat(chat).unwrap().shown().iter().map(|turn| turn.id).collect() };
    assert_eq!(shown(), []);
    let (first, answer) = sample::ask(&book, chat, None, "first");
    let again = book.begin_answer(first, &sample::model()).unwrap();
    book.finish_answer(again, &sample::end("", "again")).unwrap();
    let (on_old, _) = sample::ask(&book, chat, Some(answer), "follows the old version");
    assert_eq!(shown(), [first], "the latest version is shown, and nothing follows it");
    book.select(first, Some(answer)).unwrap();
    assert_eq!(shown(), [first, on_old]);
    // An edited question is a sibling, with all that followed it.
    let (edited, edited_answer) = sample::ask(&book, chat, None, "first, edited");
    assert_eq!(shown(), [edited]);
    let (later, _) = sample::ask(&book, chat, Some(edited_answer), "later");
    assert_eq!(shown(), [edited, later]);
    book.select(first, None).unwrap();
    assert_eq!(shown(), [first, on_old]);
    let whole = book.chat(chat).unwrap();
    assert_eq!(whole.after(None).map(|turn| turn.id).collect::<Vec<_>>(), [first, edited]);
    assert_eq!(whole.turns[0].answers.len(), 2);
    book.verify().unwrap();
}

#[test]
fn a_record_has_all_that_is_needed_to_ask_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let chat = sample::case(&sample::open(&path));
    // After a restart, too.
    let book = sample::open(&path);
    let whole = book.chat(chat).unwrap();
    let last = whole.turns[1].answers[0].id;
    let record = book.record(last).unwrap();
    assert_eq!((record.chat, record.answer().id, record.path.len()), (chat, last, 2));
    assert_eq!(record.path[0].answer, whole.turns[0].answers[0]);
    let answer = record.answer();
    let (model, end) = (sample::model(), sample::end("", ""));
    assert_eq!(
        (&answer.settings, answer.seed, &answer.model_hash),
        (&model.settings, model.seed, &model.model_hash)
    );
    assert_eq!((&answer.token_ids, &answer.prompt_ids), (&end.token_ids, &end.prompt_ids));
    assert_eq!(answer.figures().tokens_per_sec, Some(41.6));
    assert_eq!(record.path[1].turn.system.as_deref(), Some("请用中文回答。先描述所见，再给出结论。"));
    assert_eq!(record.path[0].turn.choices.len(), 4);
    let probabilities = record.path[0].answer.option_probabilities.as_ref().unwrap();
    assert_eq!(probabilities, &[0.041, 0.862, 0.09, 0.007]);
    let pixels: Vec<&RgbTile> = record.path[1].pixels.iter().map(Arc::as_ref).collect();
    assert_eq!(pixels, [&*sample::tissue([512, 512], 2), &*sample::tissue([512, 384], 3)]);
    let expected = sample::image([640, 480], 1, "Smith_John_0417.svs");
    let image = &record.path[0].turn.images[0];
    assert_eq!((&image.region, image.um_per_px), (&expected.region, expected.um_per_px));
    assert_eq!((image.seen_size_px, image.n_token), (expected.seen_size_px, expected.n_token));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let book = sample::open(&folder.path().join("book"));
    let (chat, other) = (book.new_chat("a").unwrap(), book.new_chat("b").unwrap());
    let (turn, answer) = sample::ask(&book, chat, None, "q");
    let (other_turn, _) = sample::ask(&book, other, None, "q");
    let before = book.audit().unwrap();
    let question = NewTurn::default();
    let check = |outcome: Result<(), CaseError>, expected: &str| {
        assert_eq!(outcome.unwrap_err().to_string(), expected);
    };
    check(book.add_turn(ChatId(77), None, &question).map(drop), "the case book has no chat 77");
    check(book.add_turn(chat, Some(AnswerId(77)), &question).map(drop), "the case book has no answer 77");
    let misplaced = "the answer that is followed is in another chat";
    check(book.add_turn(other, Some(answer), &question).map(drop), misplaced);
    check(book.begin_answer(TurnId(77), &NewAnswer::default()).map(drop), "the case book has no turn 77");
    check(book.finish_answer(AnswerId(77), &AnswerEnd::default()), "the case book has no answer 77");
    check(book.finish_answer(answer, &AnswerEnd::default()), "the answer has ended already");
    check(book.select(other_turn, Some(answer)), "the answer belongs to another turn");
    check(book.select(TurnId(77), None), "the case book has no turn 77");
    check(book.rename(ChatId(77), "x"), "the case book has no chat 77");
    check(book.record(AnswerId(77)).map(drop), "the case book has no answer 77");
    let huge = NewTurn { question: "x".repeat(9 << 20), ..NewTurn::default() };
    let error = book.add_turn(chat, None, &huge).unwrap_err();
    assert!(error.to_string().starts_with("a question is larger than a case book takes"), "{error}");
    let wide = Arc::new(RgbTile::new([9000, 8000], vec![0; 9000 * 8000 * 3]).unwrap());
    let huge = NewTurn { images: vec![NewImage::of(wide)], ..NewTurn::default() };
    let error = book.add_turn(chat, None, &huge).unwrap_err();
    assert_eq!(error.hint(), Some("ask about a smaller region"), "{error}");
    assert_eq!(book.audit().unwrap(), before);
    assert_eq!(book.chat(chat).unwrap().turns.iter().map(|turn| turn.id).collect::<Vec<_>>(), [turn]);
    book.verify().unwrap();
}

#[test]
fn a_chat_is_listed_with_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let book = sample::open(&folder.path().join("book"));
    let chat = sample::case(&book);
    let empty = book.new_chat("empty").unwrap();
    let chats = book.chats(10).unwrap();
    assert_eq!(chats.iter().map(|chat| chat.id).collect::<Vec<_>>(), [empty, chat], "the latest first");
    assert_eq!((chats[1].n_turn, chats[1].n_answer, chats[1].n_image), (3, 4, 3));
    assert!(chats[1].last_at >= chats[1].at && chats[1].at.ends_with('Z'), "{chats:?}");
    assert_eq!(book.chats(1).unwrap().len(), 1);
    // The same pixels are kept once.
    let same = NewTurn { images: vec![sample::image([640, 480], 1, "x"); 3], ..NewTurn::default() };
    book.add_turn(empty, None, &same).unwrap();
    assert_eq!(book.chats(1).unwrap()[0].n_image, 1);
    let running = book.begin_answer(book.chat(empty).unwrap().turns[0].id, &NewAnswer::default()).unwrap();
    book.progress(running, "thinking", "so far").unwrap();
    let answer = book.chat(empty).unwrap().turns[0].answers[0].clone();
    assert_eq!((answer.state, answer.answer.as_str()), (AnswerState::Running, "so far"));
    book.verify().unwrap();
}
