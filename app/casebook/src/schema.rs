//! The tables, and how an older file becomes a present one.
//!
//! `user_version` counts the steps of [`STEPS`] that a file has taken; each is taken once, inside a transaction.
//! Rows are never renumbered (`AUTOINCREMENT`), because the audit trail names them. Held true by the tests of
//! `open` and `repair`.

use rusqlite::Connection;

use crate::error::Outcome;

/// The version that this program writes.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// Marks the file as a case book: `Eosn` in ASCII.
pub(crate) const APPLICATION_ID: i64 = 0x456f_736e;

/// Pages are of one size in every case book, so that a file whose first page is lost can still be read.
pub(crate) const PAGE_BYTES: usize = 4096;

/// The tables whose rows are numbered, in the order in which they can be filled.
pub(crate) const TABLES: [&str; 6] = ["chat", "turn", "image", "turn_image", "answer", "audit"];

/// From nothing to version 1, from 1 to 2, and so on.
const STEPS: &[&str] = &["
CREATE TABLE chat (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    title TEXT NOT NULL,
    selected_turn INTEGER,
    salt BLOB NOT NULL
) STRICT;
CREATE TABLE turn (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    chat INTEGER NOT NULL REFERENCES chat(id),
    parent INTEGER,
    at TEXT NOT NULL,
    question TEXT NOT NULL,
    choices TEXT NOT NULL,
    style TEXT NOT NULL,
    system TEXT,
    selected_answer INTEGER,
    salt BLOB NOT NULL
) STRICT;
CREATE TABLE image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hash TEXT NOT NULL UNIQUE,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    png BLOB NOT NULL
) STRICT;
CREATE TABLE turn_image (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL REFERENCES turn(id),
    hash TEXT NOT NULL,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    region TEXT,
    slide_title TEXT,
    um_per_px REAL,
    seen_width_px INTEGER,
    seen_height_px INTEGER,
    n_token INTEGER
) STRICT;
CREATE TABLE answer (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    turn INTEGER NOT NULL REFERENCES turn(id),
    at TEXT NOT NULL,
    ended_at TEXT,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    model_name TEXT NOT NULL,
    model_hash TEXT NOT NULL,
    device TEXT NOT NULL,
    settings TEXT NOT NULL,
    seed INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL DEFAULT '',
    reasoning TEXT NOT NULL DEFAULT '',
    answer TEXT NOT NULL DEFAULT '',
    prompt_ids BLOB NOT NULL DEFAULT x'',
    token_ids BLOB NOT NULL DEFAULT x'',
    usage TEXT NOT NULL DEFAULT 'null',
    option_probabilities BLOB,
    error TEXT,
    selected_turn INTEGER,
    salt BLOB NOT NULL
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    action TEXT NOT NULL,
    chat INTEGER,
    turn INTEGER,
    answer INTEGER,
    digest TEXT NOT NULL,
    detail TEXT NOT NULL,
    prev TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;
CREATE TRIGGER audit_keeps_words BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows'); END;
CREATE INDEX turn_of_chat ON turn(chat);
CREATE INDEX answer_of_turn ON answer(turn);
CREATE INDEX image_of_turn ON turn_image(turn);
CREATE INDEX turn_of_image ON turn_image(hash);
CREATE INDEX running_answer ON answer(state) WHERE state = 'running';
-- What is searched: a copy, made anew from the rows above whenever it is doubted.
CREATE TABLE passage (
    id INTEGER PRIMARY KEY,
    chat INTEGER NOT NULL,
    turn INTEGER,
    answer INTEGER,
    text TEXT NOT NULL
) STRICT;
CREATE INDEX passage_of_chat ON passage(chat);
CREATE VIRTUAL TABLE words USING fts5(text, content='passage', content_rowid='id', tokenize='trigram');
CREATE TRIGGER passage_added AFTER INSERT ON passage
BEGIN INSERT INTO words(rowid, text) VALUES (new.id, new.text); END;
CREATE TRIGGER passage_removed AFTER DELETE ON passage
BEGIN INSERT INTO words(words, rowid, text) VALUES ('delete', old.id, old.text); END;
INSERT INTO words(words, rank) VALUES ('secure-delete', 1);
"];

/// Settings of a connection, and of a file that is still empty.
pub(crate) fn settle(connection: &Connection) -> Outcome<()> {
    // FULL: an answer that was said to be kept is kept when the power fails, and the audit trail's second place
    // never runs ahead of the file.
    // secure_delete: what was deleted is overwritten, because it may name a patient.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA foreign_keys = ON;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    ))?;
    Ok(())
}

/// Brings a file of an older version, or an empty one, to the present one.
pub(crate) fn migrate(connection: &mut Connection) -> Outcome<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version = version(&transaction)?;
    for (done, step) in (0_i64..).zip(STEPS) {
        if done >= version {
            transaction.execute_batch(step)?;
        }
    }
    if version < VERSION {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Steps that the file has taken.
pub(crate) fn version(connection: &Connection) -> Outcome<i64> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}
