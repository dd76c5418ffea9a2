//! Digests of what the case book holds, taken from the rows as they are stored.
//!
//! Writing and verifying use the same function on the same row, so that a difference can only come from the row.
//! Every field goes in with its kind and its length: no two contents run together to the same bytes. A row's salt
//! goes in too and is deleted with the row, so that a digest that stays behind says nothing about what was there
//! (a patient's name could be guessed otherwise).

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row};
use sha2::{Digest as _, Sha256};

use crate::chat::{AnswerId, ChatId, TurnId};
use crate::error::Outcome;

/// What of an answer is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// What was fixed when it began.
    Begin,
    /// That, and all that came of it.
    Whole,
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The digest of a chat's title.
pub(crate) fn of_chat(connection: &Connection, id: ChatId) -> Outcome<Option<String>> {
    let query = "SELECT 'chat', id, at, title, salt FROM chat WHERE id = ?1";
    Ok(connection.query_row(query, [id.0], |row| of_row(&mut Sha256::new(), row)).optional()?)
}

/// The digest of a question with its pictures, which are named by the hash of their pixels.
pub(crate) fn of_turn(connection: &Connection, id: TurnId) -> Outcome<Option<String>> {
    let mut hasher = Sha256::new();
    let mut images = connection.prepare(
        "SELECT 'image', hash, width_px, height_px, region, slide_title, um_per_px, seen_width_px, seen_height_px,
         n_token FROM turn_image WHERE turn = ?1 ORDER BY id",
    )?;
    let mut rows = images.query([id.0])?;
    while let Some(row) = rows.next()? {
        feed(&mut hasher, row)?;
    }
    let query =
        "SELECT 'turn', id, chat, parent, at, question, choices, style, system, salt FROM turn WHERE id = ?1";
    Ok(connection.query_row(query, [id.0], |row| of_row(&mut hasher, row)).optional()?)
}

/// The digest of an answer.
pub(crate) fn of_answer(connection: &Connection, id: AnswerId, part: Part) -> Outcome<Option<String>> {
    let query = match part {
        Part::Begin => {
            "SELECT 'begin', id, turn, at, model_name, model_hash, device, settings, seed, salt
             FROM answer WHERE id = ?1"
        }
        Part::Whole => {
            "SELECT 'whole', id, turn, at, model_name, model_hash, device, settings, seed, ended_at, state, reason,
             text, reasoning, answer, prompt_ids, token_ids, usage, option_probabilities, error, salt
             FROM answer WHERE id = ?1"
        }
    };
    Ok(connection.query_row(query, [id.0], |row| of_row(&mut Sha256::new(), row)).optional()?)
}

fn of_row(hasher: &mut Sha256, row: &Row<'_>) -> rusqlite::Result<String> {
    feed(hasher, row)?;
    Ok(hex(&hasher.finalize_reset()))
}

fn feed(hasher: &mut Sha256, row: &Row<'_>) -> rusqlite::Result<()> {
    for column_idx in 0..row.as_ref().column_count() {
        let number;
        let (kind, bytes): (u8, &[u8]) = match row.get_ref(column_idx)? {
            ValueRef::Null => (0, &[]),
            ValueRef::Integer(value) => {
                number = value.to_le_bytes();
                (1, &number)
            }
            ValueRef::Real(value) => {
                number = value.to_bits().to_le_bytes();
                (2, &number)
            }
            ValueRef::Text(bytes) => (3, bytes),
            ValueRef::Blob(bytes) => (4, bytes),
        };
        hasher.update([kind]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    Ok(())
}
