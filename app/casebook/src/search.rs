//! Words found again: in titles, questions, options, slide names, answers and reasoning.
//!
//! The index cuts text into runs of three characters, which needs no knowledge of where words begin, so Chinese is
//! found like English. Words of one or two characters (most Chinese words) are looked for letter by letter. All
//! words must occur in one passage. Held true by the tests below.

use rusqlite::params_from_iter;
use rusqlite::types::Value;

use crate::book::CaseBook;
use crate::chat::{AnswerId, ChatId, Found, TurnId};
use crate::error::{CaseError, Outcome};

/// Most words that are looked at; more say nothing more.
const MAX_WORDS: usize = 16;
/// Characters of a snippet on either side of the first word found.
const AROUND: usize = 60;

impl CaseBook {
    /// The passages that hold all words of `text`, the latest first. Nothing is found by no words.
    pub fn search(&self, text: &str, limit: usize) -> Result<Vec<Found>, CaseError> {
        let words: Vec<String> = text.split_whitespace().take(MAX_WORDS).map(str::to_lowercase).collect();
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let (long, short): (Vec<&String>, Vec<&String>) =
            words.iter().partition(|word| word.chars().count() >= 3);
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        if !long.is_empty() {
            // A phrase in quotes is text, whatever it holds; a quote in it is doubled.
            let phrases = long.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\"")));
            conditions.push("passage.id IN (SELECT rowid FROM words WHERE words MATCH ?)".to_owned());
            values.push(Value::Text(phrases.collect::<Vec<_>>().join(" AND ")));
        }
        for word in short {
            conditions.push("passage.text LIKE ? ESCAPE '\\'".to_owned());
            let plain = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            values.push(Value::Text(format!("%{plain}%")));
        }
        values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let query = format!(
            "SELECT passage.chat, chat.title, passage.turn, passage.answer,
                coalesce(answer.at, turn.at, chat.at), passage.text
             FROM passage JOIN chat ON chat.id = passage.chat
             LEFT JOIN turn ON turn.id = passage.turn LEFT JOIN answer ON answer.id = passage.answer
             WHERE {} ORDER BY passage.id DESC LIMIT ?",
            conditions.join(" AND ")
        );
        self.reading(|connection| -> Outcome<_> {
            let mut query = connection.prepare(&query)?;
            let found = query.query_map(params_from_iter(&values), |row| {
                Ok(Found {
                    chat: ChatId(row.get(0)?),
                    title: row.get(1)?,
                    turn: row.get::<_, Option<i64>>(2)?.map(TurnId),
                    answer: row.get::<_, Option<i64>>(3)?.map(AnswerId),
                    at: row.get(4)?,
                    snippet: snippet(&row.get::<_, String>(5)?, &words),
                })
            })?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// One line around the first of the words.
fn snippet(text: &str, words: &[String]) -> String {
    let line: Vec<char> = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().collect();
    // Lower case may be longer; a character that is, is compared as it is.
    let lower: Vec<char> = line.iter().map(|c| one(c.to_lowercase()).unwrap_or(*c)).collect();
    let first = words.iter().filter_map(|word| {
        let word: Vec<char> = word.chars().collect();
        lower.windows(word.len()).position(|window| window == word).map(|at| (at, word.len()))
    });
    let (at, n_char) = first.min().unwrap_or((0, 0));
    let (mut start, mut end) = (at.saturating_sub(AROUND), (at + n_char + AROUND).min(line.len()));
    // A word at the edge is not cut, unless it is endless (or of a script without spaces).
    while start > 0 && at - start < AROUND + 12 && !line[start - 1].is_whitespace() {
        start -= 1;
    }
    while end < line.len() && end - at < n_char + AROUND + 12 && !line[end].is_whitespace() {
        end += 1;
    }
    let middle: String = line[start..end].iter().collect();
    let (before, after) = (if start > 0 { "… " } else { "" }, if end < line.len() { " …" } else { "" });
    format!("{before}{}{after}", middle.trim())
}

fn one(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let first = characters.next();
    if characters.next().is_some() { None } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnswerEnd, NewAnswer, NewTurn};

    #[test]
    fn words_are_found_in_every_script_and_nothing_is_syntax() {
        let folder = tempfile::tempdir().unwrap();
        let (book, _) = CaseBook::open(&folder.path().join("book")).unwrap();
        let chat = book.new_chat("Colon polyp").unwrap();
        let question = NewTurn {
            question: "这是什么组织？请描述腺体结构。".to_owned(),
            choices: vec!["Tubular adenoma".to_owned(), "100% \"normal\"".to_owned()],
            ..NewTurn::default()
        };
        let turn = book.add_turn(chat, None, &question).unwrap();
        let answer = book.begin_answer(turn, &NewAnswer::default()).unwrap();
        let end = AnswerEnd {
            answer: "Ein Adenom: GRÖSSE 12 mm".to_owned(),
            reasoning: "nuclear_atypia is mild".to_owned(),
            ..AnswerEnd::default()
        };
        book.finish_answer(answer, &end).unwrap();
        let check = |text: &str, expected: &[(Option<TurnId>, Option<AnswerId>)]| {
            let found = book.search(text, 10).unwrap();
            let places: Vec<_> = found.iter().map(|found| (found.turn, found.answer)).collect();
            assert_eq!(places, expected, "{text}: {found:?}");
        };
        let (title, asked, said) = ((None, None), (Some(turn), None), (Some(turn), Some(answer)));
        for (text, expected) in [
            ("POLYP", &[title][..]),
            ("腺体结构", &[asked]),
            ("腺体", &[asked]),
            ("织", &[asked]),
            ("组织 tubular", &[asked]),
            ("组织 polyp", &[]),
            ("100%", &[asked]),
            ("0%", &[asked]),
            ("%", &[asked]),
            ("_", &[said]),
            ("r_a", &[said]),
            ("xx_", &[]),
            ("\"normal\"", &[asked]),
            ("größe", &[]),
            ("grösse", &[said]),
            ("aden", &[said, asked]),
            ("aden OR zzz", &[]),
            ("NOT", &[]),
            ("words*", &[]),
            ("( ^ -", &[]),
            ("  ", &[]),
        ] {
            check(text, expected);
        }
        assert_eq!(book.search("aden", 1).unwrap().len(), 1);
        book.rename(chat, "Rectum").unwrap();
        check("polyp", &[]);
        check("rectum", &[title]);
        book.delete(chat).unwrap();
        check("aden", &[]);
    }

    #[test]
    fn a_snippet_is_a_line_around_the_words() {
        let check = |text: &str, word: &str, expected: &str| {
            assert_eq!(snippet(text, &[word.to_lowercase()]), expected);
        };
        check("one\ntwo  three", "two", "one two three");
        check("nothing here", "zzz", "nothing here");
        let long = format!("{} needle {}", "hay ".repeat(50), "straw ".repeat(50));
        let found = snippet(&long, &["needle".to_owned()]);
        assert!(
            found.starts_with("… hay") && found.ends_with("straw …") && found.contains(" needle "),
            "{found}"
        );
        assert!(found.chars().count() < 160, "{found}");
        check(&"腺".repeat(3), "腺", "腺腺腺");
        // A character whose lower case is two does not shift what follows.
        check("İİİ needle", "needle", "İİİ needle");
    }
}
