//! Kills, two programs at once, a lock that stays, a disk that fills: nothing that was said to be kept is lost.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/sample.rs"]
mod sample;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use eosin_casebook::{AnswerId, AnswerState, CaseBook, CaseError, ChatId, NewTurn, Opening};
use eosin_core::Hint as _;

/// Names the book to a child of this test.
const BOOK: &str = "EOSIN_TEST_BOOK";

/// Starts this very program as another one that works on the book as the named test says.
fn child(test: &str, book: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(BOOK, book);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// The lines that a child prints and that are for us.
fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let reader = BufReader::new(child.stdout.take().unwrap());
    reader.lines().map_while(Result::ok).filter_map(|line| Some(line.split_once("said: ")?.1.to_owned()))
}

fn hang() {
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn child_answers_and_hangs() {
    let Some(path) = std::env::var_os(BOOK) else { return };
    let book = sample::open(Path::new(&path));
    let chat = book.new_chat("killed").unwrap();
    let question = NewTurn { question: "Is this lost?".to_owned(), ..NewTurn::default() };
    let turn = book.add_turn(chat, None, &question).unwrap();
    let answer = book.begin_answer(turn, &sample::model()).unwrap();
    book.progress(answer, "I think", "It is n").unwrap();
    // Too soon after the last: kept with the next.
    book.progress(answer, "I think", "It is not").unwrap();
    println!("said: {answer}");
    hang();
}

#[test]
fn an_answer_whose_maker_was_killed_keeps_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let mut maker = child("child_answers_and_hangs", &path);
    let answer: i64 = lines(&mut maker).next().unwrap().parse().unwrap();
    let state = || {
        let (book, opening) = CaseBook::open(&path).unwrap();
        assert_eq!(opening, Opening::Whole);
        book.verify().unwrap();
        let answers = &book.chat(ChatId(1)).unwrap().turns[0].answers;
        (answers[0].id, answers[0].state, answers[0].reason.clone(), answers[0].answer.clone())
    };
    // Opened by a second program while the first still answers.
    assert_eq!(state(), (AnswerId(answer), AnswerState::Running, String::new(), "It is n".to_owned()));
    maker.kill().unwrap();
    maker.wait().unwrap();
    let expected =
        (AnswerId(answer), AnswerState::Interrupted, "interrupted".to_owned(), "It is n".to_owned());
    assert_eq!(state(), expected);
    let book = sample::open(&path);
    assert_eq!(book.audit().unwrap().last().unwrap().action, "answer_interrupted");
    assert_eq!(book.search("It is n", 9).unwrap().len(), 1, "what was said is found");
    let left = std::fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().file_name());
    assert!(!left.into_iter().any(|name| name.to_string_lossy().contains("answering")), "its lock is gone");
}

#[test]
fn child_writes_without_end() {
    let Some(path) = std::env::var_os(BOOK) else { return };
    let book = sample::open(Path::new(&path));
    let chat = book.new_chat("busy").unwrap();
    let mut parent = None;
    loop {
        let question = NewTurn {
            question: "Which tissue?".to_owned(),
            images: vec![sample::image([64, 48], parent.map_or(0, |AnswerId(id)| id as u32), "s")],
            ..NewTurn::default()
        };
        let turn = book.add_turn(chat, parent, &question).unwrap();
        let answer = book.begin_answer(turn, &sample::model()).unwrap();
        book.progress(answer, "r", "a").unwrap();
        book.finish_answer(answer, &sample::end("r", "done")).unwrap();
        println!("said: {answer}");
        parent = Some(answer);
    }
}

#[test]
fn what_was_said_to_be_kept_is_kept_whenever_the_kill_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    for round in 0..8_u64 {
        let mut maker = child("child_writes_without_end", &path);
        let mut said = lines(&mut maker);
        let first = said.next().unwrap();
        std::thread::sleep(Duration::from_millis(7 * round));
        maker.kill().unwrap();
        maker.wait().unwrap();
        let last: i64 = said.last().unwrap_or(first).parse().unwrap();
        let (book, opening) = CaseBook::open(&path).unwrap();
        assert_eq!(opening, Opening::Whole);
        book.verify().unwrap();
        let record = book.record(AnswerId(last)).unwrap();
        assert_eq!((record.answer().state, record.answer().answer.as_str()), (AnswerState::Finished, "done"));
    }
}

#[test]
fn two_programs_share_a_book() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let mut maker = child("child_writes_without_end", &path);
    let mut said = lines(&mut maker);
    said.next().unwrap();
    let book = sample::open(&path);
    let chat = book.new_chat("mine").unwrap();
    for _ in 0..20 {
        sample::ask(&book, chat, None, "q");
    }
    said.next().unwrap();
    maker.kill().unwrap();
    maker.wait().unwrap();
    book.verify().unwrap();
    assert_eq!(book.chat(chat).unwrap().turns.len(), 20);
    // A second handle in one program is another program.
    let other = sample::open(&path);
    let turn = book.add_turn(chat, None, &NewTurn::default()).unwrap();
    let answer = book.begin_answer(turn, &sample::model()).unwrap();
    drop(sample::open(&path));
    other.finish_answer(answer, &sample::end("", "by the other")).unwrap();
    book.verify().unwrap();
}

#[test]
fn a_lock_that_stays_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let book = sample::open(&path);
    let chat = sample::case(&book);
    let holder = rusqlite::Connection::open(&path).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = book.new_chat("blocked").unwrap_err();
    assert!(matches!(error, CaseError::Locked { .. }), "{error:?}");
    assert!(error.to_string().starts_with("another program holds the case book"), "{error}");
    assert!(error.hint().unwrap().contains("close the other program"));
    // Reading goes on meanwhile, and writing afterwards.
    book.chat(chat).unwrap();
    holder.execute_batch("ROLLBACK").unwrap();
    book.new_chat("free again").unwrap();
    book.verify().unwrap();
}

/// On a disk of one MiB, where this program may make one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this program may not mount a small disk");
        return;
    }
    let outcome = std::panic::catch_unwind(|| fill(&disk));
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    outcome.unwrap();
}

#[cfg(target_os = "linux")]
fn fill(disk: &Path) {
    let path = disk.join("book");
    let book = sample::open(&path);
    let chat = book.new_chat("full").unwrap();
    let mut n_kept = 0;
    let error = loop {
        let question = NewTurn { images: vec![sample::image([200, 200], n_kept, "s")], ..NewTurn::default() };
        match book.add_turn(chat, None, &question) {
            Ok(_) => n_kept += 1,
            Err(error) => break error,
        }
        assert!(n_kept < 100, "the disk does not fill");
    };
    assert!(matches!(error, CaseError::Full { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("free some space"));
    // Other things fail with words too, and none of them harms the book.
    let document = disk.join("case.pdf");
    let options = eosin_casebook::ExportOptions::default();
    let exported = book.export(chat, eosin_casebook::Format::Pdf, &options, &document);
    assert!(exported.is_err() && !document.exists());
    assert!(book.backup_to(&disk.join("copy")).is_err());
    drop(book);
    let check = |at: &Path| {
        let (book, opening) = CaseBook::open(at).unwrap();
        assert_eq!(opening, Opening::Whole);
        book.verify().unwrap();
        assert_eq!(book.chat(chat).unwrap().turns.len() as u32, n_kept);
        book
    };
    check(&path);
    // With room again, work goes on.
    let roomy = tempfile::tempdir().unwrap();
    for item in std::fs::read_dir(disk).unwrap() {
        let item = item.unwrap();
        std::fs::copy(item.path(), roomy.path().join(item.file_name())).unwrap();
    }
    check(&roomy.path().join("book")).add_turn(chat, None, &NewTurn::default()).unwrap();
}
