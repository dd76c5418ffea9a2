//! Takes out of a chat what may name a patient, before a document is made of it.
//!
//! Slides' names go; they also go out of every text that repeats them, whole or without the file's ending, in
//! upper or lower case. Of paths, which appear in settings, errors and model names, the last part stays at most. What
//! somebody typed into a question in other words than the slide's name cannot be known to be a name, and stays.

use serde_json::Value;

use super::{Labels, Names};
use crate::chat::{Answer, Chat, Turn};

/// A stem shorter than this is not looked for: it would take words apart.
const LEAST_STEM: usize = 3;

/// The chat as it may go out.
pub(super) fn stripped(mut chat: Chat, names: Names, labels: &Labels) -> Chat {
    if names == Names::Shown {
        return chat;
    }
    let veil = Veil::of(&chat, &labels.hidden);
    veil.text(&mut chat.title);
    for turn in &mut chat.turns {
        veil.turn(turn);
    }
    chat
}

/// The names to hide, longest first, in lower case.
struct Veil {
    names: Vec<Vec<char>>,
    instead: String,
}

impl Veil {
    fn of(chat: &Chat, instead: &str) -> Self {
        let titles =
            chat.turns.iter().flat_map(|turn| &turn.images).filter_map(|image| image.slide_title.as_deref());
        let mut names: Vec<Vec<char>> = Vec::new();
        for title in titles {
            let last = last_part(title);
            let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
            for name in [title, last, stem] {
                let name: Vec<char> = name.trim().chars().map(lower).collect();
                if name.len() >= LEAST_STEM && !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.sort_by_key(|name| std::cmp::Reverse(name.len()));
        Self { names, instead: instead.to_owned() }
    }

    fn turn(&self, turn: &mut Turn) {
        self.text(&mut turn.question);
        turn.choices.iter_mut().for_each(|choice| self.text(choice));
        turn.system.iter_mut().for_each(|system| self.text(system));
        for image in &mut turn.images {
            image.slide_title = None;
        }
        for answer in &mut turn.answers {
            self.answer(answer);
        }
    }

    fn answer(&self, answer: &mut Answer) {
        for text in [&mut answer.text, &mut answer.reasoning, &mut answer.answer, &mut answer.reason] {
            self.text(text);
        }
        for text in [&mut answer.model_name, &mut answer.device] {
            *text = last_part(text).to_owned();
            self.text(text);
        }
        if let Some(error) = &mut answer.error {
            *error = without_path(error, &self.instead);
            self.text(error);
        }
        self.value(&mut answer.settings);
        self.value(&mut answer.usage);
    }

    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if is_path(text) {
                    *text = last_part(text).to_owned();
                }
                self.text(text);
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.value(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Hides names that stand alone: a name inside a longer word is another word.
    fn text(&self, text: &mut String) {
        for name in &self.names {
            let whole: Vec<char> = text.chars().collect();
            let small: Vec<char> = whole.iter().copied().map(lower).collect();
            let mut out = String::with_capacity(text.len());
            let mut at = 0;
            while at < whole.len() {
                let end = at + name.len();
                let alone = small.get(at..end) == Some(name.as_slice())
                    && !joined(small.get(at.wrapping_sub(1)), name.first())
                    && !joined(name.last(), small.get(end));
                if alone {
                    out.push_str(&self.instead);
                    at = end;
                } else {
                    out.push(whole[at]);
                    at += 1;
                }
            }
            *text = out;
        }
    }
}

fn lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    let first = lower.next().unwrap_or(c);
    if lower.next().is_some() { c } else { first }
}

/// Whether two characters are of one word. Scripts without spaces have no such edges.
fn joined(left: Option<&char>, right: Option<&char>) -> bool {
    let of_word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() && (*c as u32) < 0x2e80);
    of_word(left) && of_word(right)
}

fn last_part(path: &str) -> &str {
    path.rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or(path)
}

fn is_path(text: &str) -> bool {
    let mut start = text.chars();
    let drive = start.next().is_some_and(|c| c.is_ascii_alphabetic()) && start.next() == Some(':');
    text.starts_with(['/', '~', '\\'])
        || (drive && text[2..].starts_with(['/', '\\']))
        || text.contains("://")
}

/// An error's words up to its path, which is last by this program's custom and may hold spaces.
fn without_path(error: &str, instead: &str) -> String {
    let words = error.split(' ').scan(0, |at, word| {
        let start = *at;
        *at += word.len() + 1;
        Some((start, word))
    });
    let bare = |word: &str| word.trim_start_matches(['"', '\'', '`', '(']).to_owned();
    match words.into_iter().find(|(_, word)| is_path(&bare(word))) {
        Some((start, _)) => format!("{}{instead}", &error[..start]),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_wherever_it_stands_alone() {
        let veil = Veil {
            names: ["smith_john 1.svs", "smith_john 1", "李雷"].map(|name| name.chars().collect()).to_vec(),
            instead: "[?]".to_owned(),
        };
        let check = |text: &str, expected: &str| {
            let mut text = text.to_owned();
            veil.text(&mut text);
            assert_eq!(text, expected);
        };
        check("Smith_John 1.svs: a polyp", "[?]: a polyp");
        check("about SMITH_JOHN 1", "about [?]");
        check("(smith_john 1)", "([?])");
        check("smith_john 12 is another", "smith_john 12 is another");
        check("asmith_john 1", "asmith_john 1");
        check("这是李雷的切片", "这是[?]的切片");
        check("", "");
        check("ſMITH_JOHN 1 İ", "ſMITH_JOHN 1 İ");
    }

    #[test]
    fn paths_lose_their_folders() {
        for (path, expected) in [
            ("/home/a/m.gguf", true),
            ("~/m.gguf", true),
            ("C:\\m.gguf", true),
            ("\\\\server\\m", true),
            ("file:///m", true),
            ("m/n", false),
            ("C: major", false),
            ("é:/", false),
            ("", false),
        ] {
            assert_eq!(is_path(path), expected, "{path}");
        }
        assert_eq!(last_part("/a/b c/m.gguf"), "m.gguf");
        assert_eq!(last_part("C:\\a\\m\\"), "m");
        assert_eq!(last_part("/"), "/");
        let check = |error: &str, expected: &str| assert_eq!(without_path(error, "[?]"), expected);
        check("cannot open the slide /data/Smith John/1.svs", "cannot open the slide [?]");
        check("no space: \"/data/Smith\"", "no space: [?]");
        check("1/2 of the tokens", "1/2 of the tokens");
    }
}
