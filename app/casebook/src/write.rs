//! Questions and answers into the record; each change goes into the audit trail with the digest of what was written.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde_json::json;

use crate::audit::{self, Action, Subject};
use crate::book::{Alive, CaseBook, Inner};
use crate::chat::{AnswerEnd, AnswerId, AnswerState, ChatId, NewAnswer, NewImage, NewTurn, TurnId};
use crate::digest::{self, Part};
use crate::error::{CaseError, Outcome, at};
use crate::picture;

/// Most bytes of a text: a question, a system prompt, the words of an answer.
const MAX_TEXT_BYTES: usize = 8 << 20;
/// Most options of a question.
const MAX_CHOICES: usize = 256;
/// Most pictures of a question.
const MAX_IMAGES: usize = 256;
/// Most tokens of a prompt or an answer.
const MAX_TOKENS: usize = 4 << 20;
/// The progress of an answer is written this often: what a kill may cost.
const PROGRESS: Duration = Duration::from_millis(500);

/// Now, UTC, RFC 3339, to the millisecond: always as many letters, so that their order is that of time.
pub(crate) fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Random bytes of a row, so that its digest cannot be guessed.
pub(crate) fn salt() -> [u8; 16] {
    rand::random()
}

fn bounded(what: &'static str, size: usize, most: usize) -> Result<(), CaseError> {
    if size > most {
        return Err(CaseError::TooLarge { what, size: size as u64, most: most as u64 });
    }
    Ok(())
}

impl CaseBook {
    /// Begins a chat.
    pub fn new_chat(&self, title: &str) -> Result<ChatId, CaseError> {
        bounded("a title", title.len(), MAX_TEXT_BYTES)?;
        self.writing(&mut self.lock(), |transaction| {
            transaction.execute(
                "INSERT INTO chat (at, title, salt) VALUES (?1, ?2, ?3)",
                params![now(), title, salt()],
            )?;
            let chat = ChatId(transaction.last_insert_rowid());
            index(transaction, chat, None, None, title)?;
            let digest = digest::of_chat(transaction, chat)?;
            audit::append(transaction, Action::ChatBegun, Subject::of(chat), digest, json!({}))?;
            Ok(chat)
        })
    }

    /// Gives a chat another title.
    pub fn rename(&self, chat: ChatId, title: &str) -> Result<(), CaseError> {
        bounded("a title", title.len(), MAX_TEXT_BYTES)?;
        self.writing(&mut self.lock(), |transaction| {
            if transaction.execute("UPDATE chat SET title = ?2 WHERE id = ?1", params![chat.0, title])? == 0 {
                return Err(absent("chat", chat).into());
            }
            transaction.execute("DELETE FROM passage WHERE chat = ?1 AND turn IS NULL", [chat.0])?;
            index(transaction, chat, None, None, title)?;
            let digest = digest::of_chat(transaction, chat)?;
            audit::append(transaction, Action::ChatRenamed, Subject::of(chat), digest, json!({}))
        })
    }

    /// Records a question that follows `parent`, or opens the chat. It becomes the one that is shown there.
    pub fn add_turn(
        &self,
        chat: ChatId,
        parent: Option<AnswerId>,
        turn: &NewTurn,
    ) -> Result<TurnId, CaseError> {
        bounded("a question", turn.question.len(), MAX_TEXT_BYTES)?;
        bounded("a system prompt", turn.system.as_ref().map_or(0, String::len), MAX_TEXT_BYTES)?;
        bounded("the list of options", turn.choices.len(), MAX_CHOICES)?;
        bounded("the text of the options", turn.choices.iter().map(String::len).sum(), MAX_TEXT_BYTES)?;
        bounded("the list of pictures", turn.images.len(), MAX_IMAGES)?;
        // Encoding takes long; it happens before anybody else is kept from the book.
        let images = turn.images.iter().map(Prepared::of).collect::<Result<Vec<_>, _>>()?;
        self.writing(&mut self.lock(), |transaction| {
            must_exist(transaction, "chat", chat.0)?;
            if let Some(parent) = parent {
                let of =
                    "SELECT turn.chat FROM answer JOIN turn ON turn.id = answer.turn WHERE answer.id = ?1";
                let home: Option<i64> = transaction.query_row(of, [parent.0], |row| row.get(0)).optional()?;
                if home.ok_or_else(|| absent("answer", parent))? != chat.0 {
                    return Err(CaseError::Misplaced("the answer that is followed is in another chat").into());
                }
            }
            let choices = json!(turn.choices).to_string();
            transaction.execute(
                "INSERT INTO turn (chat, parent, at, question, choices, style, system, salt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    chat.0,
                    parent.map(|parent| parent.0),
                    now(),
                    turn.question,
                    choices,
                    turn.style,
                    turn.system,
                    salt()
                ],
            )?;
            let id = TurnId(transaction.last_insert_rowid());
            for image in &images {
                image.insert(transaction, id)?;
            }
            index(transaction, chat, Some(id), None, &words_of_turn(turn))?;
            show_turn(transaction, id)?;
            let digest = digest::of_turn(transaction, id)?;
            let subject = Subject { turn: Some(id), ..Subject::of(chat) };
            audit::append(
                transaction,
                Action::TurnAsked,
                subject,
                digest,
                json!({ "n_image": images.len() }),
            )?;
            Ok(id)
        })
    }

    /// Records that a model begins to answer. The answer becomes the one that is shown.
    pub fn begin_answer(&self, turn: TurnId, answer: &NewAnswer) -> Result<AnswerId, CaseError> {
        let mut inner = self.lock();
        if inner.alive.is_none() {
            inner.alive = Some(live(&self.path, &inner.owner)?);
        }
        let owner = inner.owner.clone();
        self.writing(&mut inner, |transaction| {
            let chat = chat_of(transaction, turn)?;
            let settings = answer.settings.to_string();
            bounded("the settings", settings.len(), MAX_TEXT_BYTES)?;
            transaction.execute(
                "INSERT INTO answer (turn, at, state, owner, model_name, model_hash, device, settings, seed, salt)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    turn.0,
                    now(),
                    AnswerState::Running.name(),
                    owner,
                    answer.model_name,
                    answer.model_hash,
                    answer.device,
                    settings,
                    // SQLite's integers are signed: the bits are kept.
                    answer.seed.map(|seed| seed as i64),
                    salt()
                ],
            )?;
            let id = AnswerId(transaction.last_insert_rowid());
            transaction.execute("UPDATE turn SET selected_answer = ?2 WHERE id = ?1", params![turn.0, id.0])?;
            let digest = digest::of_answer(transaction, id, Part::Begin)?;
            let subject = Subject { turn: Some(turn), answer: Some(id), ..Subject::of(chat) };
            audit::append(transaction, Action::AnswerBegun, subject, digest, json!({}))?;
            Ok(id)
        })
    }

    /// Keeps what has been said so far, so that a kill loses no more than a second. Cheap to call for every token:
    /// it writes twice a second at most.
    pub fn progress(&self, answer: AnswerId, reasoning: &str, text: &str) -> Result<(), CaseError> {
        let mut inner = self.lock();
        if inner.written.get(&answer).is_some_and(|last| last.elapsed() < PROGRESS) {
            return Ok(());
        }
        bounded("an answer", reasoning.len() + text.len(), MAX_TEXT_BYTES)?;
        inner.written.insert(answer, Instant::now());
        let kept = inner.connection.execute(
            "UPDATE answer SET reasoning = ?2, answer = ?3 WHERE id = ?1 AND state = 'running'",
            params![answer.0, reasoning, text],
        );
        kept.map_err(|error| self.told(error.into()))?;
        Ok(())
    }

    /// Records how an answer ended.
    pub fn finish_answer(&self, answer: AnswerId, end: &AnswerEnd) -> Result<(), CaseError> {
        let n_byte = end.text.len() + end.reasoning.len() + end.answer.len();
        bounded("an answer", n_byte, 3 * MAX_TEXT_BYTES)?;
        bounded("the list of tokens", end.prompt_ids.len().max(end.token_ids.len()), MAX_TOKENS)?;
        let usage = end.usage.to_string();
        bounded("the figures of an answer", usage.len(), MAX_TEXT_BYTES)?;
        let mut inner = self.lock();
        inner.written.remove(&answer);
        self.writing(&mut inner, |transaction| {
            let changed = transaction.execute(
                "UPDATE answer SET state = 'finished', ended_at = ?2, reason = ?3, text = ?4, reasoning = ?5,
                 answer = ?6, prompt_ids = ?7, token_ids = ?8, usage = ?9, option_probabilities = ?10, error = ?11
                 WHERE id = ?1 AND state = 'running'",
                params![
                    answer.0,
                    now(),
                    end.reason,
                    end.text,
                    end.reasoning,
                    end.answer,
                    bytes_of(&end.prompt_ids, u32::to_le_bytes),
                    bytes_of(&end.token_ids, u32::to_le_bytes),
                    usage,
                    end.option_probabilities.as_ref().map(|values| bytes_of(values, f32::to_le_bytes)),
                    end.error
                ],
            )?;
            if changed == 0 {
                must_exist(transaction, "answer", answer.0)?;
                return Err(CaseError::Misplaced("the answer has ended already").into());
            }
            close(transaction, answer, Action::AnswerFinished)
        })
    }

    /// Remembers which turn is shown where there are several (the shown branch leads to it), and which of its
    /// answers.
    pub fn select(&self, turn: TurnId, answer: Option<AnswerId>) -> Result<(), CaseError> {
        self.writing(&mut self.lock(), |transaction| {
            must_exist(transaction, "turn", turn.0)?;
            if let Some(answer) = answer {
                let home = "SELECT turn FROM answer WHERE id = ?1";
                let home: Option<i64> =
                    transaction.query_row(home, [answer.0], |row| row.get(0)).optional()?;
                if home.ok_or_else(|| absent("answer", answer))? != turn.0 {
                    return Err(CaseError::Misplaced("the answer belongs to another turn").into());
                }
                transaction.execute(
                    "UPDATE turn SET selected_answer = ?2 WHERE id = ?1",
                    params![turn.0, answer.0],
                )?;
            }
            show_turn(transaction, turn)
        })
    }

    /// Removes a chat with all it holds; pictures that nothing else asks about go too. The audit trail keeps that
    /// it was there, and digests that say nothing about what it was.
    pub fn delete(&self, chat: ChatId) -> Result<(), CaseError> {
        let mut inner = self.lock();
        self.writing(&mut inner, |transaction| {
            must_exist(transaction, "chat", chat.0)?;
            let count = |query: &str| transaction.query_row(query, [chat.0], |row| row.get::<_, i64>(0));
            let n_turn = count("SELECT count(*) FROM turn WHERE chat = ?1")?;
            let n_answer =
                count("SELECT count(*) FROM answer JOIN turn ON turn.id = answer.turn WHERE turn.chat = ?1")?;
            for statement in [
                "DELETE FROM passage WHERE chat = ?1",
                "DELETE FROM answer WHERE turn IN (SELECT id FROM turn WHERE chat = ?1)",
                "DELETE FROM turn_image WHERE turn IN (SELECT id FROM turn WHERE chat = ?1)",
                "DELETE FROM turn WHERE chat = ?1",
                "DELETE FROM chat WHERE id = ?1",
            ] {
                transaction.execute(statement, [chat.0])?;
            }
            let n_image = transaction
                .execute("DELETE FROM image WHERE hash NOT IN (SELECT hash FROM turn_image)", [])?;
            let detail = json!({ "n_answer": n_answer, "n_image": n_image, "n_turn": n_turn });
            audit::append(transaction, Action::ChatDeleted, Subject::of(chat), None, detail)
        })?;
        // The log still has the old pages. Where somebody reads them, a later checkpoint takes them away.
        let _ = inner.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        Ok(())
    }

    /// Writes a whole copy, which opens and verifies by itself.
    pub fn backup_to(&self, path: &Path) -> Result<(), CaseError> {
        self.spare(path)?;
        self.writing(&mut self.lock(), |transaction| {
            audit::append(transaction, Action::BackedUp, Subject::default(), None, json!({}))
        })?;
        let unfinished = crate::open::beside(path, "unfinished");
        let _ = std::fs::remove_file(&unfinished);
        crate::open::create_private(&unfinished)?;
        let copied = (|| -> Outcome<_> {
            // Of its own, so that whoever answers meanwhile is not held up.
            let source = crate::open::connect(&self.path)?;
            let mut copy = Connection::open(&unfinished)?;
            let backup = rusqlite::backup::Backup::new(&source, &mut copy)?;
            // In one step: in several, each change by somebody else would begin it anew.
            backup.run_to_completion(i32::MAX, Duration::ZERO, None)?;
            drop(backup);
            copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
            let head = audit::last(&copy)?;
            copy.close().map_err(|(_, error)| error)?;
            Ok(head)
        })();
        let head = copied.map_err(|trouble| {
            let _ = std::fs::remove_file(&unfinished);
            self.told(trouble)
        })?;
        std::fs::rename(&unfinished, path).map_err(at(path))?;
        audit::write_head(path, head);
        Ok(())
    }
}

/// A picture that is ready to be written.
struct Prepared<'a> {
    image: &'a NewImage,
    hash: String,
    png: Vec<u8>,
}

impl<'a> Prepared<'a> {
    fn of(image: &'a NewImage) -> Result<Self, CaseError> {
        Ok(Self { image, hash: picture::hash(&image.pixels).0, png: picture::encode(&image.pixels)? })
    }

    fn insert(&self, transaction: &Transaction<'_>, turn: TurnId) -> Outcome<()> {
        let [width_px, height_px] = self.image.pixels.size_px();
        transaction.execute(
            "INSERT INTO image (hash, width_px, height_px, png) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (hash) DO NOTHING",
            params![self.hash, width_px, height_px, self.png],
        )?;
        let image = self.image;
        transaction.execute(
            "INSERT INTO turn_image (turn, hash, width_px, height_px, region, slide_title, um_per_px, seen_width_px,
             seen_height_px, n_token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                turn.0,
                self.hash,
                width_px,
                height_px,
                image.region.as_ref().map(|region| json!(region).to_string()),
                image.slide_title,
                // SQLite keeps no NaN, and no scale is one.
                image.um_per_px.filter(|scale| scale.is_finite()),
                image.seen_size_px.map(|size| size[0]),
                image.seen_size_px.map(|size| size[1]),
                image.n_token
            ],
        )?;
        Ok(())
    }
}

/// Ends an answer whose row says already how: into the index and the audit trail.
pub(crate) fn close(transaction: &Connection, answer: AnswerId, action: Action) -> Outcome<()> {
    let row = "SELECT turn.chat, turn.id, answer.answer, answer.reasoning
               FROM answer JOIN turn ON turn.id = answer.turn WHERE answer.id = ?1";
    let (chat, turn, said, reasoning): (i64, i64, String, String) =
        transaction
            .query_row(row, [answer.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let (chat, turn) = (ChatId(chat), TurnId(turn));
    index(transaction, chat, Some(turn), Some(answer), &format!("{said}\n{reasoning}"))?;
    let digest = digest::of_answer(transaction, answer, Part::Whole)?;
    let subject = Subject { turn: Some(turn), answer: Some(answer), ..Subject::of(chat) };
    audit::append(transaction, action, subject, digest, json!({}))
}

/// Puts words where they are searched.
pub(crate) fn index(
    connection: &Connection,
    chat: ChatId,
    turn: Option<TurnId>,
    answer: Option<AnswerId>,
    text: &str,
) -> Outcome<()> {
    if !text.trim().is_empty() {
        connection.execute(
            "INSERT INTO passage (chat, turn, answer, text) VALUES (?1, ?2, ?3, ?4)",
            params![chat.0, turn.map(|turn| turn.0), answer.map(|answer| answer.0), text],
        )?;
    }
    Ok(())
}

fn words_of_turn(turn: &NewTurn) -> String {
    let titles = turn.images.iter().filter_map(|image| image.slide_title.as_deref());
    let lines = std::iter::once(turn.question.as_str()).chain(turn.choices.iter().map(String::as_str));
    lines.chain(titles).collect::<Vec<_>>().join("\n")
}

/// Makes a turn the one that is shown among its siblings.
fn show_turn(transaction: &Connection, turn: TurnId) -> Outcome<()> {
    let changed = transaction.execute(
        "UPDATE answer SET selected_turn = ?1 WHERE id = (SELECT parent FROM turn WHERE id = ?1)",
        [turn.0],
    )?;
    if changed == 0 {
        transaction.execute(
            "UPDATE chat SET selected_turn = ?1 WHERE id = (SELECT chat FROM turn WHERE id = ?1)",
            [turn.0],
        )?;
    }
    Ok(())
}

fn chat_of(connection: &Connection, turn: TurnId) -> Outcome<ChatId> {
    let chat =
        connection.query_row("SELECT chat FROM turn WHERE id = ?1", [turn.0], |row| row.get(0)).optional()?;
    Ok(ChatId(chat.ok_or_else(|| absent("turn", turn))?))
}

/// Fails where there is no such row.
pub(crate) fn must_exist(connection: &Connection, table: &'static str, id: i64) -> Outcome<()> {
    // The table's name is one of ours.
    let query = format!("SELECT 1 FROM {table} WHERE id = ?1");
    let found = connection.query_row(&query, [id], |_| Ok(())).optional()?;
    Ok(found.ok_or_else(|| absent(table, id))?)
}

pub(crate) fn absent(what: &'static str, id: impl std::fmt::Display) -> CaseError {
    CaseError::Absent { what, id: id.to_string() }
}

fn bytes_of<T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; 4]) -> Vec<u8> {
    values.iter().flat_map(|value| bytes(*value)).collect()
}

/// Shows to others that this handle is there.
fn live(book: &Path, owner: &str) -> Result<Alive, CaseError> {
    let path = crate::open::beside(book, &format!("answering-{owner}"));
    crate::open::create_private(&path)?;
    let lock = File::options().read(true).write(true).open(&path).map_err(at(&path))?;
    // A file system without locks cannot tell the living from the dead; the answer is still recorded.
    let _ = lock.try_lock();
    Ok(Alive { path, _lock: lock })
}

/// Ends the answers whose makers are gone, with what they had said.
pub(crate) fn end_orphans(inner: &mut Inner, book: &CaseBook) -> Result<u64, CaseError> {
    let own = inner.owner.clone();
    book.writing(inner, |transaction| {
        let orphans: Vec<(i64, String)> = transaction
            .prepare("SELECT id, owner FROM answer WHERE state = 'running'")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        let mut n_ended = 0;
        for (id, owner) in orphans {
            if owner == own || lives(&book.path, &owner) {
                continue;
            }
            transaction.execute(
                "UPDATE answer SET state = 'interrupted', reason = 'interrupted', ended_at = ?2 WHERE id = ?1",
                params![id, now()],
            )?;
            close(transaction, AnswerId(id), Action::AnswerInterrupted)?;
            n_ended += 1;
        }
        Ok(n_ended)
    })
}

fn lives(book: &Path, owner: &str) -> bool {
    // The name is from the file, which may be damaged: it must not lead elsewhere.
    if owner.is_empty() || !owner.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return false;
    }
    let path = crate::open::beside(book, &format!("answering-{owner}"));
    let Ok(file) = File::options().read(true).write(true).open(&path) else { return false };
    if matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)) {
        return true;
    }
    let _ = std::fs::remove_file(&path);
    false
}
