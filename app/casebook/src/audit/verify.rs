//! Proves the audit trail: the chain, the digests of all rows, the pixels, and the second place.
//!
//! Faults that a rebuild has declared (its entry lists them) are part of the record and are not found again: a
//! disk that once failed does not leave a book that can never be verified.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::Serialize;
use serde_json::Value;

use super::head::Kept;
use super::{Action, Entry, Head, NO_HASH, entries, last};
use crate::chat::{AnswerId, ChatId, TurnId};
use crate::digest::{self, Part};
use crate::error::Outcome;
use crate::picture;

/// The audit trail is whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verified {
    /// Entries.
    pub n_entry: u64,
    /// The hash of the last one: who writes it down elsewhere can prove later that nothing before it was changed.
    pub head: String,
    /// What was lost when the book was rebuilt, as its entry declared it.
    pub declared: Vec<String>,
}

/// The audit trail and the record do not agree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, thiserror::Error)]
#[error("{what}")]
pub struct Broken {
    /// The entry that shows it; 0 where none does.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

/// The outcome of a proof.
pub(crate) struct Judged {
    pub(crate) faults: Vec<Broken>,
    pub(crate) verified: Verified,
}

/// A row of the record, as entries name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Row {
    Chat(ChatId),
    Turn(TurnId),
    /// What was fixed when the answer began.
    AnswerBegin(AnswerId),
    Answer(AnswerId),
}

impl Row {
    fn of(entry: &Entry) -> Option<Self> {
        let is = |action: Action| entry.action == action.name();
        if is(Action::ChatBegun) || is(Action::ChatRenamed) {
            entry.chat.map(Self::Chat)
        } else if is(Action::TurnAsked) {
            entry.turn.map(Self::Turn)
        } else if is(Action::AnswerBegun) {
            entry.answer.map(Self::AnswerBegin)
        } else if is(Action::AnswerFinished) || is(Action::AnswerInterrupted) {
            entry.answer.map(Self::Answer)
        } else {
            None
        }
    }

    fn digest(self, connection: &Connection) -> Outcome<Option<String>> {
        match self {
            Self::Chat(id) => digest::of_chat(connection, id),
            Self::Turn(id) => digest::of_turn(connection, id),
            Self::AnswerBegin(id) => digest::of_answer(connection, id, Part::Begin),
            Self::Answer(id) => digest::of_answer(connection, id, Part::Whole),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Chat(id) => format!("chat {id}"),
            Self::Turn(id) => format!("turn {id}"),
            Self::AnswerBegin(id) | Self::Answer(id) => format!("answer {id}"),
        }
    }
}

/// Every fault of the book, those of the trail itself first, each named once.
pub(crate) fn faults(connection: &Connection, kept: &Kept) -> Outcome<Judged> {
    let entries = entries(connection)?;
    let mut faults = Vec::new();
    chain(&entries, &mut faults);
    end(&entries, kept, &mut faults);
    rows(connection, &entries, &mut faults)?;
    pictures(connection, &mut faults)?;
    let declared: Vec<String> = entries.iter().flat_map(declared_by).collect();
    let known: BTreeSet<&str> = declared.iter().map(String::as_str).collect();
    faults.retain(|fault| !known.contains(fault.what.as_str()));
    let Head { hash: head, .. } = last(connection)?;
    Ok(Judged { faults, verified: Verified { n_entry: entries.len() as u64, head, declared } })
}

/// The faults that a rebuild found and wrote down.
fn declared_by(entry: &Entry) -> Vec<String> {
    if entry.action != Action::Rebuilt.name() {
        return Vec::new();
    }
    let detail: Value = serde_json::from_str(&entry.detail).unwrap_or_default();
    let faults = detail["faults"].as_array().map(Vec::as_slice).unwrap_or_default();
    faults.iter().filter_map(|fault| fault.as_str().map(str::to_owned)).collect()
}

fn chain(entries: &[Entry], faults: &mut Vec<Broken>) {
    let mut before: Option<&Entry> = None;
    for entry in entries {
        let seq = entry.seq;
        let (last_seq, last_hash) = before.map_or((0, NO_HASH), |entry| (entry.seq, entry.hash.as_str()));
        if seq > last_seq + 1 {
            let (first, last) = (last_seq + 1, seq - 1);
            let what = if first == last {
                format!("entry {first} of the audit trail is missing")
            } else {
                format!("entries {first} to {last} of the audit trail are missing")
            };
            faults.push(Broken { seq: first, what });
        } else if entry.prev != last_hash {
            faults.push(Broken {
                seq,
                what: format!(
                    "entry {seq} of the audit trail does not follow entry {last_seq}: one was changed"
                ),
            });
        }
        if entry.computed_hash() != entry.hash {
            faults.push(Broken { seq, what: format!("entry {seq} of the audit trail was changed") });
        }
        before = Some(entry);
    }
}

fn rows(connection: &Connection, entries: &[Entry], faults: &mut Vec<Broken>) -> Outcome<()> {
    let deleted: BTreeSet<ChatId> = entries
        .iter()
        .filter(|entry| entry.action == Action::ChatDeleted.name())
        .filter_map(|entry| entry.chat)
        .collect();
    // The latest entry of a row says what it must be.
    let mut said: BTreeMap<Row, &Entry> = BTreeMap::new();
    let mut found: BTreeSet<(u64, String)> = BTreeSet::new();
    for entry in entries {
        let Some(row) = Row::of(entry) else { continue };
        // Of an answer that is made to seem unfinished again, the next opening says that it ended, in good faith.
        if let (Some(before), Row::Answer(id)) = (said.insert(row, entry), row) {
            let seq = entry.seq;
            found.insert((seq, format!("answer {id} ended twice, at entries {} and {seq}", before.seq)));
        }
    }
    for (row, entry) in &said {
        let seq = entry.seq;
        let gone = entry.chat.is_some_and(|chat| deleted.contains(&chat));
        let what = match row.digest(connection)? {
            None if gone => continue,
            None if matches!(row, Row::Answer(_)) => continue, // said of its beginning
            None => format!("{} is missing, which entry {seq} recorded", row.name()),
            Some(_) if gone => format!("{} is there, though its chat was deleted", row.name()),
            Some(digest) if digest == entry.digest => continue,
            Some(_) => format!("{} was changed after entry {seq}", row.name()),
        };
        found.insert((seq, what));
    }
    faults.extend(found.into_iter().map(|(seq, what)| Broken { seq, what }));
    let ids = |query: &str| -> Outcome<Vec<i64>> {
        let mut query = connection.prepare(query)?;
        let ids = query.query_map([], |row| row.get(0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    };
    let there = [
        ids("SELECT id FROM chat")?.into_iter().map(|id| Row::Chat(ChatId(id))).collect::<Vec<_>>(),
        ids("SELECT id FROM turn")?.into_iter().map(|id| Row::Turn(TurnId(id))).collect(),
        ids("SELECT id FROM answer")?.into_iter().map(|id| Row::AnswerBegin(AnswerId(id))).collect(),
    ];
    for row in there.into_iter().flatten().filter(|row| !said.contains_key(row)) {
        faults.push(Broken { seq: 0, what: format!("{} is in no entry of the audit trail", row.name()) });
    }
    for id in ids("SELECT id FROM answer WHERE state <> 'running'")? {
        let began = said.contains_key(&Row::AnswerBegin(AnswerId(id)));
        if began && !said.contains_key(&Row::Answer(AnswerId(id))) {
            faults.push(Broken {
                seq: 0,
                what: format!("no entry of the audit trail says that answer {id} ended"),
            });
        }
    }
    Ok(())
}

fn pictures(connection: &Connection, faults: &mut Vec<Broken>) -> Outcome<()> {
    let lost =
        "SELECT DISTINCT turn, hash FROM turn_image WHERE hash NOT IN (SELECT hash FROM image) ORDER BY id";
    let mut lost = connection.prepare(lost)?;
    let mut rows = lost.query([])?;
    while let Some(row) = rows.next()? {
        let (turn, hash): (i64, String) = (row.get(0)?, row.get(1)?);
        faults.push(Broken { seq: 0, what: format!("picture {} of turn {turn} is missing", short(&hash)) });
    }
    let mut all = connection.prepare("SELECT hash, png FROM image ORDER BY id")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let hash: String = row.get(0)?;
        let pixels = picture::decode(row.get_ref(1)?.as_blob().unwrap_or_default());
        if pixels.is_none_or(|pixels| picture::hash(&pixels).0 != hash) {
            faults.push(Broken { seq: 0, what: format!("picture {} was changed", short(&hash)) });
        }
    }
    Ok(())
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

fn end(entries: &[Entry], kept: &Kept, faults: &mut Vec<Broken>) {
    let last_seq = entries.last().map_or(0, |entry| entry.seq);
    let (seq, what) = match kept {
        Kept::Head(head) if head.seq > last_seq => (
            last_seq + 1,
            format!(
                "the end of the audit trail is missing: entries {} to {} were there, as the file beside it says",
                last_seq + 1,
                head.seq
            ),
        ),
        Kept::Head(head) => match entries.iter().find(|entry| entry.seq == head.seq) {
            // A missing one is a fault of the chain, and named there.
            Some(entry) if entry.hash != head.hash => (
                head.seq,
                format!("entry {} of the audit trail is another than the file beside it says", head.seq),
            ),
            _ => return,
        },
        Kept::Unreadable => {
            (0, "the file beside the case book that guards the end of its audit trail is damaged".into())
        }
        Kept::Absent if entries.is_empty() => return,
        Kept::Absent => {
            (0, "the file beside the case book that guards the end of its audit trail is missing".into())
        }
    };
    faults.push(Broken { seq, what });
}
