//! Chats, turns, answers and pixels out of the record.

use std::sync::Arc;

use eosin_core::RgbTile;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::book::CaseBook;
use crate::chat::{
    Answer, AnswerId, AnswerState, Chat, ChatId, ChatSummary, Picture, PictureHash, Record, Step, Turn,
    TurnId,
};
use crate::error::{CaseError, Outcome};
use crate::picture;
use crate::write::absent;

impl CaseBook {
    /// The latest chats, the one that something was last said in first.
    pub fn chats(&self, limit: usize) -> Result<Vec<ChatSummary>, CaseError> {
        self.reading(|connection| {
            let mut query = connection.prepare(
                "SELECT chat.id, chat.title, chat.at,
                    max(chat.at, coalesce((SELECT max(at) FROM turn WHERE chat = chat.id), ''),
                        coalesce((SELECT max(coalesce(answer.ended_at, answer.at)) FROM answer
                                  JOIN turn ON turn.id = answer.turn WHERE turn.chat = chat.id), '')) AS last_at,
                    (SELECT count(*) FROM turn WHERE chat = chat.id),
                    (SELECT count(*) FROM answer JOIN turn ON turn.id = answer.turn WHERE turn.chat = chat.id),
                    (SELECT count(DISTINCT hash) FROM turn_image
                     JOIN turn ON turn.id = turn_image.turn WHERE turn.chat = chat.id)
                 FROM chat ORDER BY last_at DESC, chat.id DESC LIMIT ?1",
            )?;
            let chats = query.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                Ok(ChatSummary {
                    id: ChatId(row.get(0)?),
                    title: row.get(1)?,
                    at: row.get(2)?,
                    last_at: row.get(3)?,
                    n_turn: row.get::<_, i64>(4)? as u64,
                    n_answer: row.get::<_, i64>(5)? as u64,
                    n_image: row.get::<_, i64>(6)? as u64,
                })
            })?;
            Ok(chats.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// A whole chat, every branch of it.
    pub fn chat(&self, chat: ChatId) -> Result<Chat, CaseError> {
        self.reading(|connection| whole(connection, chat))
    }

    /// The pixels of a picture, checked against their name.
    pub fn pixels(&self, hash: &PictureHash) -> Result<RgbTile, CaseError> {
        let outcome = self.reading(|connection| pixels(connection, hash));
        if let Err(CaseError::Misplaced(_)) = &outcome {
            let _ = std::fs::write(crate::open::beside(self.path(), "suspect"), b"");
        }
        outcome
    }

    /// All that is needed to ask again what `answer` answered, and the tokens that must come.
    pub fn record(&self, answer: AnswerId) -> Result<Record, CaseError> {
        self.reading(|connection| {
            let mut path: Vec<Step> = Vec::new();
            let mut chat = ChatId(0);
            let mut next = Some(answer);
            while let Some(id) = next {
                // A damaged book may hold a circle.
                if path.iter().any(|step| step.answer.id == id) {
                    return Err(CaseError::Misplaced("the record of the answer leads back to itself").into());
                }
                let (turn_id, answer) = one_answer(connection, id)?.ok_or_else(|| absent("answer", id))?;
                let turn = one_turn(connection, turn_id)?.ok_or_else(|| absent("turn", turn_id))?;
                let pixels = turn.1.images.iter().map(|image| Ok(Arc::new(pixels(connection, &image.hash)?)));
                let pixels = pixels.collect::<Outcome<_>>()?;
                next = turn.1.parent;
                chat = turn.0;
                path.push(Step { turn: turn.1, pixels, answer });
            }
            path.reverse();
            Ok(Record { chat, path })
        })
    }
}

/// A whole chat, every branch of it.
pub(crate) fn whole(connection: &Connection, id: ChatId) -> Outcome<Chat> {
    let row = "SELECT title, at, selected_turn FROM chat WHERE id = ?1";
    let head: Option<(String, String, Option<i64>)> =
        connection.query_row(row, [id.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    let (title, at, selected_turn) = head.ok_or_else(|| absent("chat", id))?;
    let mut turns = Vec::new();
    let mut query = connection.prepare(&format!("{TURN} WHERE chat = ?1 ORDER BY id"))?;
    let mut rows = query.query([id.0])?;
    while let Some(row) = rows.next()? {
        let mut turn = turn_of(row)?;
        turn.images = images(connection, turn.id)?;
        turn.answers = answers(connection, turn.id)?;
        turns.push(turn);
    }
    Ok(Chat { id, title, at, selected_turn: selected_turn.map(TurnId), turns })
}

/// Pixels by their name.
pub(crate) fn pixels(connection: &Connection, hash: &PictureHash) -> Outcome<RgbTile> {
    let png: Option<Vec<u8>> = connection
        .query_row("SELECT png FROM image WHERE hash = ?1", [&hash.0], |row| row.get(0))
        .optional()?;
    let tile = picture::decode(&png.ok_or_else(|| absent("picture", hash))?);
    let tile = tile.filter(|tile| picture::hash(tile) == *hash);
    Ok(tile.ok_or(CaseError::Misplaced("a picture of the case book is damaged"))?)
}

const TURN: &str = "SELECT id, parent, at, question, choices, style, system, selected_answer, chat FROM turn";

fn turn_of(row: &Row<'_>) -> rusqlite::Result<Turn> {
    Ok(Turn {
        id: TurnId(row.get(0)?),
        parent: row.get::<_, Option<i64>>(1)?.map(AnswerId),
        at: row.get(2)?,
        question: row.get(3)?,
        choices: serde_json::from_str(&row.get::<_, String>(4)?).unwrap_or_default(),
        style: row.get(5)?,
        system: row.get(6)?,
        images: Vec::new(),
        answers: Vec::new(),
        selected: row.get::<_, Option<i64>>(7)?.map(AnswerId),
    })
}

/// A turn without its answers, and its chat.
fn one_turn(connection: &Connection, id: TurnId) -> Outcome<Option<(ChatId, Turn)>> {
    let mut query = connection.prepare(&format!("{TURN} WHERE id = ?1"))?;
    let found = query.query_row([id.0], |row| Ok((ChatId(row.get(8)?), turn_of(row)?))).optional()?;
    let Some((chat, mut turn)) = found else { return Ok(None) };
    turn.images = images(connection, id)?;
    Ok(Some((chat, turn)))
}

fn images(connection: &Connection, turn: TurnId) -> Outcome<Vec<Picture>> {
    let mut query = connection.prepare(
        "SELECT hash, width_px, height_px, region, slide_title, um_per_px, seen_width_px, seen_height_px, n_token
         FROM turn_image WHERE turn = ?1 ORDER BY id",
    )?;
    let images = query.query_map([turn.0], |row| {
        let seen: (Option<u32>, Option<u32>) = (row.get(6)?, row.get(7)?);
        Ok(Picture {
            hash: PictureHash(row.get(0)?),
            size_px: [row.get(1)?, row.get(2)?],
            region: row
                .get::<_, Option<String>>(3)?
                .and_then(|json: String| serde_json::from_str(&json).ok()),
            slide_title: row.get(4)?,
            um_per_px: row.get(5)?,
            seen_size_px: seen.0.zip(seen.1).map(|(width_px, height_px)| [width_px, height_px]),
            n_token: row.get(8)?,
        })
    })?;
    Ok(images.collect::<rusqlite::Result<_>>()?)
}

const ANSWER: &str = "SELECT id, turn, at, ended_at, state, model_name, model_hash, device, settings, seed, reason,
    text, reasoning, answer, prompt_ids, token_ids, usage, option_probabilities, error, selected_turn FROM answer";

fn answers(connection: &Connection, turn: TurnId) -> Outcome<Vec<Answer>> {
    let mut query = connection.prepare(&format!("{ANSWER} WHERE turn = ?1 ORDER BY id"))?;
    let answers = query.query_map([turn.0], |row| Ok(answer_of(row)?.1))?;
    Ok(answers.collect::<rusqlite::Result<_>>()?)
}

fn one_answer(connection: &Connection, id: AnswerId) -> Outcome<Option<(TurnId, Answer)>> {
    let mut query = connection.prepare(&format!("{ANSWER} WHERE id = ?1"))?;
    Ok(query.query_row(params![id.0], answer_of).optional()?)
}

fn answer_of(row: &Row<'_>) -> rusqlite::Result<(TurnId, Answer)> {
    let json = |column_idx: usize| -> rusqlite::Result<serde_json::Value> {
        Ok(serde_json::from_str(&row.get::<_, String>(column_idx)?).unwrap_or_default())
    };
    let four = |bytes: Vec<u8>| {
        bytes.chunks_exact(4).map(|four| [four[0], four[1], four[2], four[3]]).collect::<Vec<_>>()
    };
    let ids = |column_idx: usize| -> rusqlite::Result<Vec<u32>> {
        Ok(four(row.get(column_idx)?).into_iter().map(u32::from_le_bytes).collect())
    };
    let probabilities: Option<Vec<u8>> = row.get(17)?;
    let answer = Answer {
        id: AnswerId(row.get(0)?),
        state: AnswerState::of(&row.get::<_, String>(4)?),
        at: row.get(2)?,
        ended_at: row.get(3)?,
        model_name: row.get(5)?,
        model_hash: row.get(6)?,
        device: row.get(7)?,
        settings: json(8)?,
        seed: row.get::<_, Option<i64>>(9)?.map(|seed| seed as u64),
        reason: row.get(10)?,
        text: row.get(11)?,
        reasoning: row.get(12)?,
        answer: row.get(13)?,
        prompt_ids: ids(14)?,
        token_ids: ids(15)?,
        usage: json(16)?,
        option_probabilities: probabilities
            .map(|bytes| four(bytes).into_iter().map(f32::from_le_bytes).collect()),
        error: row.get(18)?,
        selected_turn: row.get::<_, Option<i64>>(19)?.map(TurnId),
    };
    Ok((TurnId(row.get(1)?), answer))
}
