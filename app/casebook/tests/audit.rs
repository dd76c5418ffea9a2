//! The audit trail proves what it says: every change behind its back is found and named.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions too")]

#[path = "support/sample.rs"]
mod sample;

use std::path::{Path, PathBuf};

use eosin_casebook::{CaseBook, NewAnswer, NewTurn};
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

/// A book with a case in it, closed, and what belongs to it.
fn closed_book() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("casebook.sqlite");
    let book = sample::open(&path);
    sample::case(&book);
    book.verify().unwrap();
    drop(book);
    (folder, path)
}

/// Does what somebody who knows SQLite would do.
fn attack(path: &Path, statements: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("DROP TRIGGER audit_keeps_rows; DROP TRIGGER audit_keeps_words;").unwrap();
    connection.execute_batch("PRAGMA foreign_keys = OFF;").unwrap();
    connection.execute_batch(statements).unwrap();
}

#[test]
fn every_change_behind_its_back_is_found_and_named() {
    let check = |statements: &str, seq: Option<u64>, expected: &str| {
        let (_folder, path) = closed_book();
        attack(&path, statements);
        let book = sample::open(&path);
        let broken = book.verify().expect_err(statements);
        assert!(broken.what.contains(expected), "{statements}: {broken:?}");
        if let Some(seq) = seq {
            assert_eq!(broken.seq, seq, "{statements}: {broken:?}");
        }
        assert!(book.faults().unwrap().contains(&broken));
    };
    // The entries: 1 book, 2 chat, 3 turn, 4 begun, 5 finished, 6 turn, 7 to 10 two answers, 11 turn, 12, 13.
    check("UPDATE answer SET answer = 'Normal.' WHERE id = 1", Some(5), "answer 1 was changed after entry 5");
    check("UPDATE answer SET seed = 7 WHERE id = 2", None, "answer 2 was changed");
    check("UPDATE answer SET settings = '{}' WHERE id = 2", None, "answer 2 was changed");
    check("UPDATE answer SET token_ids = x'01000000' WHERE id = 2", None, "answer 2 was changed");
    check("UPDATE answer SET option_probabilities = NULL WHERE id = 1", None, "answer 1 was changed");
    check(
        "UPDATE answer SET state = 'running' WHERE id = 1",
        None,
        "answer 1 ended twice, at entries 5 and 14",
    );
    check(
        "UPDATE turn SET question = 'Is it benign?' WHERE id = 1",
        Some(3),
        "turn 1 was changed after entry 3",
    );
    check("UPDATE turn SET choices = '[]' WHERE id = 1", None, "turn 1 was changed");
    check("UPDATE turn SET parent = NULL WHERE id = 2", None, "turn 2 was changed");
    check("UPDATE turn_image SET region = NULL WHERE turn = 1", None, "turn 1 was changed");
    check("UPDATE turn_image SET um_per_px = 0.25 WHERE turn = 1", None, "turn 1 was changed");
    check(
        "UPDATE turn_image SET hash = (SELECT hash FROM turn_image WHERE turn = 2) WHERE turn = 1",
        None,
        "turn 1 was",
    );
    check("UPDATE chat SET title = 'Another'", Some(2), "chat 1 was changed after entry 2");
    check("DELETE FROM answer WHERE id = 4", None, "answer 4 is missing, which entry 12 recorded");
    check("DELETE FROM turn_image WHERE turn = 2 AND id = 2", None, "turn 2 was changed");
    check("DELETE FROM image WHERE id = 1", None, "of turn 1 is missing");
    check("UPDATE image SET png = (SELECT png FROM image WHERE id = 2) WHERE id = 1", None, "was changed");
    check(
        "INSERT INTO turn (chat, at, question, choices, style, salt) VALUES (1, '', 'Slipped in', '[]', '', x'00')",
        None,
        "turn 4 is in no entry",
    );
    check(
        "UPDATE audit SET at = '2020-01-01T00:00:00Z' WHERE id = 4",
        Some(4),
        "entry 4 of the audit trail was changed",
    );
    check(
        "UPDATE audit SET detail = '{\"n_image\":9}' WHERE id = 6",
        Some(6),
        "entry 6 of the audit trail was changed",
    );
    check("DELETE FROM audit WHERE id = 4", Some(4), "entry 4 of the audit trail is missing");
    check(
        "DELETE FROM audit WHERE id IN (4, 5, 6)",
        Some(4),
        "entries 4 to 6 of the audit trail are missing",
    );
    check("DELETE FROM audit WHERE id = 1", Some(1), "entry 1 of the audit trail is missing");
    check(
        "DELETE FROM audit WHERE id >= 12; DELETE FROM answer WHERE id = 4; DELETE FROM turn WHERE id = 3",
        Some(12),
        "the end of the audit trail is missing: entries 12 to 13 were there",
    );
}

#[test]
fn what_sqlite_itself_refuses() {
    let (_folder, path) = closed_book();
    let connection = Connection::open(&path).unwrap();
    for statement in
        ["DELETE FROM audit WHERE id = 3", "UPDATE audit SET at = '' WHERE id = 3", "DELETE FROM audit"]
    {
        let error = connection.execute(statement, []).unwrap_err();
        assert!(error.to_string().contains("only grows"), "{statement}: {error}");
    }
}

/// Edits an answer and makes every entry anew that has to fit: the chain is whole again.
fn forge(path: &Path) {
    attack(path, "UPDATE audit SET at = '2020-01-01T00:00:00.000Z' WHERE id = 4");
    let connection = Connection::open(path).unwrap();
    let mut prev = "0".repeat(64);
    for seq in 1.. {
        let query = "SELECT at, action, chat, turn, answer, digest, detail FROM audit WHERE id = ?1";
        let fields = connection.query_row(query, [seq], |row| {
            let (at, action): (String, String) = (row.get(0)?, row.get(1)?);
            let (chat, turn, answer): (Option<i64>, Option<i64>, Option<i64>) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let (digest, detail): (String, String) = (row.get(5)?, row.get(6)?);
            let json = |value: &dyn Fn() -> serde_json::Value| value().to_string();
            Ok(format!(
                "{{\"action\":{},\"answer\":{},\"at\":{},\"chat\":{},\"detail\":{},\"digest\":{},\"seq\":{seq},\"turn\":{}}}",
                json(&|| action.clone().into()),
                json(&|| answer.into()),
                json(&|| at.clone().into()),
                json(&|| chat.into()),
                json(&|| detail.clone().into()),
                json(&|| digest.clone().into()),
                json(&|| turn.into()),
            ))
        });
        let Ok(fields) = fields else { break };
        let hash = format!("{:x}", Sha256::digest(format!("{prev}{fields}")));
        connection
            .execute(
                "UPDATE audit SET prev = ?2, hash = ?3 WHERE id = ?1",
                rusqlite::params![seq, prev, hash],
            )
            .unwrap();
        prev = hash;
    }
}

#[test]
fn a_forged_chain_is_held_against_the_second_place() {
    let (_folder, path) = closed_book();
    forge(&path);
    let book = sample::open(&path);
    let broken = book.verify().unwrap_err();
    assert_eq!(broken.what, "entry 13 of the audit trail is another than the file beside it says");
    // Work goes on, and the fault stays.
    book.new_chat("later").unwrap();
    assert_eq!(book.verify(), Err(broken));
}

#[test]
fn a_second_place_that_is_taken_away_is_written_down() {
    let (folder, path) = closed_book();
    let head = folder.path().join("casebook.sqlite.audit-head");
    let n_entry = sample::open(&path).verify().unwrap().n_entry;
    let book = sample::open(&path);
    std::fs::remove_file(&head).unwrap();
    assert!(book.verify().unwrap_err().what.contains("is missing"));
    drop(book);
    let book = sample::open(&path);
    assert_eq!(book.verify().unwrap().n_entry, n_entry + 1);
    assert_eq!(book.audit().unwrap().last().unwrap().action, "head_missing");
    drop(book);
    std::fs::write(&head, "what?").unwrap();
    assert!(sample::open(&path).verify().unwrap_err().what.contains("is damaged"));
    // A kill between the book and the second place is no fault.
    std::fs::write(&head, "").unwrap();
    let book = sample::open(&path);
    let first = &book.audit().unwrap()[0];
    std::fs::write(&head, format!("{:020} {}\n", 1, first.hash)).unwrap();
    book.verify().unwrap();
    // Another book in its place is.
    drop(book);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.path().join(format!("casebook.sqlite{ending}")));
    }
    assert!(sample::open(&path).verify().is_err());
}

#[test]
fn a_deleted_chat_leaves_its_entries_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("book");
    let book = sample::open(&path);
    let kept = book.new_chat("kept").unwrap();
    let shared = sample::image([64, 64], 9, "shared.svs");
    let turn = |question: &str| NewTurn {
        question: question.to_owned(),
        images: vec![shared.clone(), sample::image([64, 64], question.len() as u32, "Own_Name.svs")],
        ..NewTurn::default()
    };
    book.add_turn(kept, None, &turn("kept question")).unwrap();
    let gone = book.new_chat("Confidential_Title").unwrap();
    let asked = book.add_turn(gone, None, &turn("Confidential_Question, long")).unwrap();
    book.begin_answer(asked, &NewAnswer::default()).unwrap();
    let entries = book.audit().unwrap();
    book.delete(gone).unwrap();
    book.verify().unwrap();
    assert!(book.chat(gone).is_err() && book.delete(gone).is_err());
    assert_eq!(book.chats(9).unwrap().len(), 1);
    assert_eq!(book.search("confidential", 9).unwrap(), []);
    let after = book.audit().unwrap();
    assert_eq!(after[..entries.len()], entries[..], "what was said stays said");
    assert_eq!(after.last().unwrap().action, "chat_deleted");
    assert!(after.last().unwrap().detail.contains("\"n_image\":1"), "the shared picture stays: {after:?}");
    assert!(after.iter().all(|entry| !format!("{entry:?}").to_lowercase().contains("confidential")));
    let picture = &book.chat(kept).unwrap().turns[0].images[0];
    assert_eq!(book.pixels(&picture.hash).unwrap(), *shared.pixels);
    drop(book);
    // Not in any byte of any file either.
    for item in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(item.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("Confidential_"), "deleted words are still in a file");
    }
}

#[test]
fn a_copy_verifies_by_itself() {
    let (folder, path) = closed_book();
    let copy = folder.path().join("copy.sqlite");
    let book = sample::open(&path);
    book.backup_to(&copy).unwrap();
    let last = book.audit().unwrap();
    let (other, opening) = CaseBook::open(&copy).unwrap();
    assert_eq!(opening, eosin_casebook::Opening::Whole);
    assert_eq!(other.audit().unwrap(), last);
    assert_eq!(other.verify().unwrap(), book.verify().unwrap());
    assert!(book.backup_to(&folder.path().join("nowhere/copy.sqlite")).is_err());
    assert!(book.backup_to(&path).unwrap_err().to_string().contains("the case book itself"));
    // Again over the old copy.
    drop(other);
    book.backup_to(&copy).unwrap();
    sample::open(&copy).verify().unwrap();
}
