//! The audit trail: entries that only grow in number, each with the hash of the one before.
//!
//! An entry says what happened to which row and holds the digest of that row. Its own hash is SHA-256 over the
//! hash before it and its fields as canonical JSON (keys in order, no spaces). So a changed, removed or inserted
//! entry breaks the chain, a changed or removed row does not match its digest, and an added row has no entry.
//! Whoever can write the file can also recompute the whole chain, or cut its end off; against that, number and
//! hash of the last entry are kept in a second place (`head`), which backups and other machines may hold too.
//!
//! What the chain cannot say: that an entry is true, or when, if the machine's clock was wrong. Held true by
//! `tests/audit.rs` of this crate.

mod head;
mod verify;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) use head::{Head, Kept, keep_head, read_head, write_head};
pub use verify::{Broken, Verified};
pub(crate) use verify::{Judged, faults};

use crate::book::CaseBook;
use crate::chat::{AnswerId, ChatId, TurnId};
use crate::digest::hex;
use crate::error::{CaseError, Outcome};
use crate::write::now;

/// The hash before the first entry.
pub(crate) const NO_HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    BookBegun,
    ChatBegun,
    ChatRenamed,
    ChatExported,
    ChatDeleted,
    TurnAsked,
    AnswerBegun,
    AnswerFinished,
    AnswerInterrupted,
    BackedUp,
    HeadMissing,
    Rebuilt,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BookBegun => "book_begun",
            Self::ChatBegun => "chat_begun",
            Self::ChatRenamed => "chat_renamed",
            Self::ChatExported => "chat_exported",
            Self::ChatDeleted => "chat_deleted",
            Self::TurnAsked => "turn_asked",
            Self::AnswerBegun => "answer_begun",
            Self::AnswerFinished => "answer_finished",
            Self::AnswerInterrupted => "answer_interrupted",
            Self::BackedUp => "backed_up",
            Self::HeadMissing => "head_missing",
            Self::Rebuilt => "rebuilt",
        }
    }
}

/// What it happened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) chat: Option<ChatId>,
    pub(crate) turn: Option<TurnId>,
    pub(crate) answer: Option<AnswerId>,
}

impl Subject {
    pub(crate) fn of(chat: ChatId) -> Self {
        Self { chat: Some(chat), ..Self::default() }
    }
}

/// An entry of the audit trail. It holds no words of a chat, so that it may be shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Entry {
    /// Its number, from 1 on without gaps.
    pub seq: u64,
    /// When, UTC, RFC 3339, by the machine's clock.
    pub at: String,
    /// What happened: `turn_asked`, `answer_finished`, `chat_exported`…
    pub action: String,
    /// The chat it happened to.
    pub chat: Option<ChatId>,
    /// The turn it happened to.
    pub turn: Option<TurnId>,
    /// The answer it happened to.
    pub answer: Option<AnswerId>,
    /// The digest of what was written; empty where nothing was.
    pub digest: String,
    /// What else there is to say, as JSON.
    pub detail: String,
    /// The hash of the entry before.
    pub prev: String,
    /// The hash of this one.
    pub hash: String,
}

impl Entry {
    /// The hash that the entry must have.
    pub(crate) fn computed_hash(&self) -> String {
        let fields = json!({
            "action": self.action,
            "answer": self.answer,
            "at": self.at,
            "chat": self.chat,
            "detail": self.detail,
            "digest": self.digest,
            "seq": self.seq,
            "turn": self.turn,
        });
        let mut hasher = Sha256::new();
        hasher.update(self.prev.as_bytes());
        hasher.update(canonical(&fields).as_bytes());
        hex(&hasher.finalize())
    }
}

/// JSON with the keys of every object in order and no spaces: one text for one value.
pub(crate) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields =
                keys.into_iter().map(|key| format!("{}:{}", Value::from(key.as_str()), canonical(&map[key])));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// Number and hash of the last entry.
pub(crate) fn last(connection: &Connection) -> Outcome<Head> {
    let query = "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1";
    let last = connection
        .query_row(query, [], |row| Ok(Head { seq: row.get::<_, i64>(0)? as u64, hash: row.get(1)? }));
    Ok(last.optional()?.unwrap_or_else(|| Head { seq: 0, hash: NO_HASH.to_owned() }))
}

/// Adds an entry; the caller's transaction holds the write lock.
#[expect(clippy::needless_pass_by_value, reason = "details are made where the entry is")]
pub(crate) fn append(
    connection: &Connection,
    action: Action,
    subject: Subject,
    digest: Option<String>,
    detail: Value,
) -> Outcome<()> {
    let before = last(connection)?;
    let mut entry = Entry {
        seq: before.seq + 1,
        at: now(),
        action: action.name().to_owned(),
        chat: subject.chat,
        turn: subject.turn,
        answer: subject.answer,
        digest: digest.unwrap_or_default(),
        detail: canonical(&detail),
        prev: before.hash,
        hash: String::new(),
    };
    entry.hash = entry.computed_hash();
    connection.execute(
        "INSERT INTO audit (id, at, action, chat, turn, answer, digest, detail, prev, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            entry.seq as i64,
            entry.at,
            entry.action,
            entry.chat.map(|id| id.0),
            entry.turn.map(|id| id.0),
            entry.answer.map(|id| id.0),
            entry.digest,
            entry.detail,
            entry.prev,
            entry.hash
        ],
    )?;
    Ok(())
}

/// All entries, oldest first.
pub(crate) fn entries(connection: &Connection) -> Outcome<Vec<Entry>> {
    let mut query = connection.prepare(
        "SELECT id, at, action, chat, turn, answer, digest, detail, prev, hash FROM audit ORDER BY id",
    )?;
    let entries = query.query_map([], |row| {
        Ok(Entry {
            seq: row.get::<_, i64>(0)? as u64,
            at: row.get(1)?,
            action: row.get(2)?,
            chat: row.get::<_, Option<i64>>(3)?.map(ChatId),
            turn: row.get::<_, Option<i64>>(4)?.map(TurnId),
            answer: row.get::<_, Option<i64>>(5)?.map(AnswerId),
            digest: row.get(6)?,
            detail: row.get(7)?,
            prev: row.get(8)?,
            hash: row.get(9)?,
        })
    })?;
    Ok(entries.collect::<rusqlite::Result<_>>()?)
}

impl CaseBook {
    /// The audit trail, oldest entry first.
    pub fn audit(&self) -> Result<Vec<Entry>, CaseError> {
        self.reading(entries)
    }

    /// Recomputes the chain and the digests of everything in the record; the first fault found is the error.
    pub fn verify(&self) -> Result<Verified, Broken> {
        let judged = self.judge().map_err(|error| Broken {
            seq: 0,
            what: format!("the audit trail cannot be read: {}", eosin_core::error_chain(&error)),
        })?;
        match judged.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(judged.verified),
        }
    }

    /// [`Self::verify`], with every fault.
    pub fn faults(&self) -> Result<Vec<Broken>, CaseError> {
        Ok(self.judge()?.faults)
    }

    fn judge(&self) -> Result<Judged, CaseError> {
        // Read before the book is: what is added in between makes the book longer than this says, which is no fault.
        let head = read_head(&self.path);
        self.reading_aside(|connection| faults(connection, &head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let check = |text: &str, expected: &str| {
            assert_eq!(canonical(&serde_json::from_str(text).unwrap()), expected);
        };
        check(r#"{ "b": 1, "a": [1, {"z": null, "y": "ü\n"}] }"#, r#"{"a":[1,{"y":"ü\n","z":null}],"b":1}"#);
        check("{}", "{}");
        check(r#"{"seed":18446744073709551615}"#, r#"{"seed":18446744073709551615}"#);
    }

    #[test]
    fn every_field_is_in_the_hash() {
        let entry = Entry {
            seq: 7,
            at: "2026-11-21T16:00:00Z".to_owned(),
            action: "turn_asked".to_owned(),
            chat: Some(ChatId(1)),
            turn: Some(TurnId(2)),
            answer: None,
            digest: "d".to_owned(),
            detail: "{}".to_owned(),
            prev: NO_HASH.to_owned(),
            hash: String::new(),
        };
        let changes: [fn(&mut Entry); 9] = [
            |entry| entry.seq = 8,
            |entry| entry.at.push('0'),
            |entry| entry.action.push('0'),
            |entry| entry.chat = None,
            |entry| entry.turn = Some(TurnId(3)),
            |entry| entry.answer = Some(AnswerId(2)),
            |entry| entry.digest.push('0'),
            |entry| entry.detail.push('0'),
            |entry| entry.prev.push('0'),
        ];
        for (change_idx, change) in changes.iter().enumerate() {
            let mut other = entry.clone();
            change(&mut other);
            assert_ne!(other.computed_hash(), entry.computed_hash(), "change {change_idx}");
        }
    }
}
