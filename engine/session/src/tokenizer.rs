//! Words to ids and back, exactly as the reference tokenizer does it, and safe against smuggled tokens.
//!
//! A tokenizer is kept in two parts: the byte-level BPE model, which knows no added tokens, and our own
//! list of added tokens. So it is this file that decides which literal becomes a control token: in
//! [`Tokenizer::encode`] all of them, in [`Tokenizer::encode_plain`] none. Text that a user wrote passes
//! through [`Tokenizer::shield`] before a template joins it with the template's own control tokens.
//! Decoding works on bytes, because a character may be spread over several tokens.
//!
//! Held true by the unit tests and by `tests/session.rs` (all tokenizer cases of the conformance kit).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use serde_json::{Value, json};

/// No tokenizer file is larger; Qwen2.5-VL's has 7 MB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The split of Qwen2's tokenizer: contractions, words, single digits, marks, line ends, spaces.
const QWEN2_SPLIT: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Tokenizers that cannot be read or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// No file to make one of.
    #[error("the model has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt is in {}", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("cannot read the tokenizer file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the tokenizer is not usable: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// A family of tokenizers that is not implemented.
    #[error("the model's tokenizer is of kind `{kind}`; only byte-level BPE as in Qwen2 is known")]
    OtherKind {
        /// What the file says.
        kind: String,
    },
}

impl eosin_core::Hint for TokenizerError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some("copy tokenizer.json of the original model into the folder"),
            Self::Malformed { .. } => Some("fetch the tokenizer files again, they may be incomplete"),
            Self::Read { .. } | Self::OtherKind { .. } => None,
        }
    }
}

/// Which added tokens a text may not contain; see [`Tokenizer::shield`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shield {
    /// None of them: for text that somebody typed.
    All,
    /// None of the control tokens, such as the end of a turn; tokens that stand for a piece of text, such as
    /// `<tool_call>` or a tag of the answer, may be there: for text of the model and of the program itself.
    Control,
}

/// What becomes of control tokens when ids are turned into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Specials {
    /// Written out as their literals.
    Keep,
    /// Left out.
    Skip,
}

/// A token outside the BPE model.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Added {
    literal: String,
    id: u32,
    control: bool,
}

/// A byte-level BPE tokenizer with its added tokens.
pub struct Tokenizer {
    model: tokenizers::Tokenizer,
    /// Longest literals first, so that the first match is the longest.
    added: Vec<Added>,
    /// Bytes of every id; none for ids that the vocabulary leaves out.
    bytes: Vec<Option<Box<[u8]>>>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokenizer({} ids, {} added)", self.bytes.len(), self.added.len())
    }
}

impl Tokenizer {
    /// Reads the tokenizer of a model folder: `tokenizer.json`, or `vocab.json` and `merges.txt`.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let whole = folder.join("tokenizer.json");
        if whole.is_file() {
            return Self::from_json(parse(&read(&whole)?, "tokenizer.json")?);
        }
        let [vocab, merges] = ["vocab.json", "merges.txt"].map(|name| folder.join(name));
        if !vocab.is_file() || !merges.is_file() {
            return Err(TokenizerError::Missing { path: folder.to_owned() });
        }
        let vocab = parse(&read(&vocab)?, "vocab.json")?;
        let merges = read(&merges)?;
        let merges = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
        let mut added = Vec::new();
        let config = folder.join("tokenizer_config.json");
        if config.is_file() {
            let config = parse(&read(&config)?, "tokenizer_config.json")?;
            for (id, token) in config["added_tokens_decoder"].as_object().into_iter().flatten() {
                let (Ok(id), Some(literal)) = (id.parse::<u32>(), token["content"].as_str()) else {
                    return Err(malformed("an entry of added_tokens_decoder has no id or no content"));
                };
                added.push(
                    json!({"id": id, "content": literal, "special": token["special"] == Value::Bool(true)}),
                );
            }
        }
        Self::from_json(qwen2_json(&vocab, merges, &added))
    }

    /// Takes the text of a `tokenizer.json`.
    pub fn from_json_text(text: &str) -> Result<Self, TokenizerError> {
        Self::from_json(parse(text, "tokenizer.json")?)
    }

    /// Rebuilds the tokenizer from the lists of a GGUF file (`tokenizer.ggml.*`).
    ///
    /// `kinds` are llama.cpp's token types: 1 ordinary, 3 control, 4 user-defined; the rest stands for rows
    /// that no text uses.
    pub fn from_gguf(tokens: &[String], kinds: &[u32], merges: &[String]) -> Result<Self, TokenizerError> {
        if !kinds.is_empty() && kinds.len() != tokens.len() {
            return Err(malformed(format!("{} tokens but {} token types", tokens.len(), kinds.len())));
        }
        let mut vocab = serde_json::Map::new();
        let mut added = Vec::new();
        for (id, token) in tokens.iter().enumerate() {
            match kinds.get(id).copied().unwrap_or(1) {
                1 => drop(vocab.insert(token.clone(), json!(id))),
                kind @ (3 | 4) => added.push(json!({"id": id, "content": token, "special": kind == 3})),
                _ => {}
            }
        }
        Self::from_json(qwen2_json(&Value::Object(vocab), merges.iter().map(String::as_str), &added))
    }

    fn from_json(mut json: Value) -> Result<Self, TokenizerError> {
        let kind = json["model"]["type"].as_str().unwrap_or("unknown").to_owned();
        if kind != "BPE" {
            return Err(TokenizerError::OtherKind { kind });
        }
        let mut added = Vec::new();
        for token in json["added_tokens"].as_array().into_iter().flatten() {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let (Some(id), Some(literal)) = (id, token["content"].as_str()) else {
                return Err(malformed("an added token has no id or no content"));
            };
            if !literal.is_empty() {
                let control = token["special"] == Value::Bool(true);
                added.push(Added { literal: literal.to_owned(), id, control });
            }
        }
        added.sort_by(|a, b| b.literal.len().cmp(&a.literal.len()).then_with(|| a.literal.cmp(&b.literal)));
        json["added_tokens"] = json!([]);
        // Nothing may be put around a text behind our back, nor a text be cut.
        json["post_processor"] = Value::Null;
        json["truncation"] = Value::Null;
        json["padding"] = Value::Null;
        let mut ids: Vec<(u32, Box<[u8]>)> = Vec::new();
        for (token, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            ids.push((id.ok_or_else(|| malformed("a vocabulary entry has no id"))?, token_bytes(token)));
        }
        let n_entry = ids.len() + added.len();
        ids.extend(added.iter().map(|token| (token.id, token.literal.as_bytes().into())));
        let n_id = ids.iter().map(|(id, _)| *id as usize + 1).max().unwrap_or(0);
        // Ids index tables: a file that lies about one must not make us allocate for it.
        if n_entry == 0 || n_id > 16 * n_entry + 65_536 {
            return Err(malformed(format!("{n_entry} tokens with ids up to {n_id}")));
        }
        let mut bytes = vec![None; n_id];
        for (id, token) in ids {
            bytes[id as usize] = Some(token);
        }
        let model = tokenizers::Tokenizer::from_str(&json.to_string())
            .map_err(|source| TokenizerError::Malformed { reason: source.to_string() })?;
        Ok(Self { model, added, bytes })
    }

    /// One more than the largest id; rows of the model beyond it stand for nothing.
    pub fn n_id(&self) -> usize {
        self.bytes.len()
    }

    /// Whether an id stands for anything.
    pub fn knows(&self, id: u32) -> bool {
        self.bytes.get(id as usize).is_some_and(Option::is_some)
    }

    /// The id of an added token, by its literal.
    pub fn added_id(&self, literal: &str) -> Option<u32> {
        self.added.iter().find(|token| token.literal == literal).map(|token| token.id)
    }

    /// The ids of all control tokens.
    pub fn control_ids(&self) -> impl Iterator<Item = u32> {
        self.added.iter().filter(|token| token.control).map(|token| token.id)
    }

    /// Ids of a text in which the literals of added tokens mean these tokens. Trusted text only.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.split(text, |piece| self.encode_plain(piece))
    }

    /// Ids of a text in which nothing means an added token.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = self
            .model
            .encode_fast(text, false)
            .map_err(|source| TokenizerError::Malformed { reason: source.to_string() })?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Ids of a text in which `mark` shields literals: see [`Tokenizer::shield`].
    pub fn encode_shielded(&self, text: &str, mark: char) -> Result<Vec<u32>, TokenizerError> {
        self.split(text, |piece| self.encode_plain(&piece.replace(mark, "")))
    }

    /// Cuts a text at the literals of added tokens, longest first, and encodes the pieces between.
    fn split(
        &self,
        text: &str,
        plain: impl Fn(&str) -> Result<Vec<u32>, TokenizerError>,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        let (mut plain_from, mut at) = (0, 0);
        while at < text.len() {
            let rest = &text[at..];
            if let Some(token) = self.added.iter().find(|token| rest.starts_with(&token.literal)) {
                ids.extend(plain(&text[plain_from..at])?);
                ids.push(token.id);
                at += token.literal.len();
                plain_from = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        ids.extend(plain(&text[plain_from..])?);
        Ok(ids)
    }

    /// Puts `mark` into each literal of an added token in `text`, and into what could become one when more
    /// text is appended, so that [`Tokenizer::encode_shielded`] reads it as the words it is.
    pub fn shield(&self, text: &str, shield: Shield, mark: char) -> String {
        let mut shielded = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            shielded.push(c);
            let rest = &text[at..];
            let smuggled = self.added.iter().any(|token| {
                let guarded = shield == Shield::All || token.control;
                guarded && (rest.starts_with(&token.literal) || token.literal.starts_with(rest))
            });
            if smuggled {
                shielded.push(mark);
            }
        }
        shielded
    }

    /// The bytes of one token; none for control tokens when they are skipped and for ids without a meaning.
    pub fn bytes_of(&self, id: u32, specials: Specials) -> &[u8] {
        let skipped =
            specials == Specials::Skip && self.added.iter().any(|token| token.control && token.id == id);
        match self.bytes.get(id as usize) {
            Some(Some(bytes)) if !skipped => bytes,
            _ => &[],
        }
    }

    /// The words of a list of ids; bytes that are no text become U+FFFD.
    pub fn decode(&self, ids: &[u32], specials: Specials) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| self.bytes_of(*id, specials)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A character that none of the texts contains, to shield literals with: one of Unicode's noncharacters,
/// which no interchange text has. `None` if all 32 are used, which only an attack does.
pub fn free_mark<'a>(texts: impl Iterator<Item = &'a str>) -> Option<char> {
    let mut free: BTreeSet<char> = ('\u{FDD0}'..='\u{FDEF}').collect();
    for text in texts {
        for c in text.chars().filter(|c| ('\u{FDD0}'..='\u{FDEF}').contains(c)) {
            free.remove(&c);
        }
    }
    free.first().copied()
}

/// Turns tokens into text as they come: holds back the bytes of a character until it is whole.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Detokenizer {
    held: Vec<u8>,
}

impl Detokenizer {
    /// Takes the bytes of one token, gives the text that is certain by now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let mut text = String::new();
        loop {
            match std::str::from_utf8(&self.held) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.held.clear();
                    return text;
                }
                Err(error) => {
                    let n_valid = error.valid_up_to();
                    text.push_str(&String::from_utf8_lossy(&self.held[..n_valid]));
                    let Some(n_bad) = error.error_len() else {
                        self.held.drain(..n_valid);
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    self.held.drain(..n_valid + n_bad);
                }
            }
        }
    }

    /// Ends the text: what is still held is no character any more.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// The bytes that a vocabulary entry stands for, undoing GPT-2's printable alphabet for bytes; entries
/// outside this alphabet stand for themselves.
fn token_bytes(token: &str) -> Box<[u8]> {
    let bytes: Option<Vec<u8>> = token.chars().map(byte_of_letter).collect();
    bytes.map_or_else(|| token.as_bytes().into(), Vec::into_boxed_slice)
}

/// GPT-2 writes printable bytes as themselves and the others, in order, as the letters from U+0100 on.
fn byte_of_letter(letter: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(letter);
    match u8::try_from(code) {
        Ok(byte) if printable(byte) => Some(byte),
        Ok(_) => None,
        Err(_) => (0..=255).filter(|byte| !printable(*byte)).nth((code - 0x100) as usize),
    }
}

/// A `tokenizer.json` with Qwen2's normaliser and split.
fn qwen2_json<'a>(vocab: &Value, merges: impl Iterator<Item = &'a str>, added: &[Value]) -> Value {
    json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": QWEN2_SPLIT}, "behavior": "Isolated", "invert": false},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        ]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            "vocab": vocab, "merges": merges.collect::<Vec<_>>(),
        },
    })
}

fn malformed(reason: impl Into<String>) -> TokenizerError {
    TokenizerError::Malformed { reason: reason.into() }
}

fn parse(text: &str, name: &str) -> Result<Value, TokenizerError> {
    serde_json::from_str(text).map_err(|source| malformed(format!("{name}: {source}")))
}

fn read(path: &Path) -> Result<String, TokenizerError> {
    let failed = |source| TokenizerError::Read { path: path.to_owned(), source };
    let n_byte = std::fs::metadata(path).map_err(failed)?.len();
    if n_byte > MAX_FILE_BYTES {
        return Err(malformed(format!("a file of {n_byte} bytes is no tokenizer")));
    }
    std::fs::read_to_string(path).map_err(failed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn from_parts(pieces: &[&str], merges: &[&str], added: &[(&str, u32)]) -> Tokenizer {
        let letter =
            |byte: u8| (0..0x200).filter_map(char::from_u32).find(|c| byte_of_letter(*c) == Some(byte));
        let mut tokens: Vec<String> = (0..=255).map(|byte| letter(byte).unwrap().to_string()).collect();
        tokens.extend(pieces.iter().map(ToString::to_string));
        let mut kinds = vec![1; tokens.len()];
        for (literal, kind) in added {
            tokens.push((*literal).to_owned());
            kinds.push(*kind);
        }
        let merges: Vec<String> = merges.iter().map(ToString::to_string).collect();
        Tokenizer::from_gguf(&tokens, &kinds, &merges).unwrap()
    }

    /// All bytes, three merges, a control token, a text token and an unused row.
    fn toy() -> Tokenizer {
        let added = [("<|end|>", 3), ("<think>", 4), ("[PAD1]", 5)];
        from_parts(&["ab", "abc", "<x"], &["a b", "ab c", "< x"], &added)
    }

    /// All bytes and the control tokens of a chat with pictures.
    pub(crate) fn chat_toy() -> Tokenizer {
        let literals = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"];
        from_parts(&[], &[], &literals.map(|literal| (literal, 3)))
    }

    #[test]
    fn every_byte_has_one_letter() {
        let letters: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of_letter).collect();
        let distinct: BTreeSet<u8> = letters.iter().copied().collect();
        assert_eq!((letters.len(), distinct.len()), (256, 256));
    }

    #[test]
    fn literals_are_tokens_only_where_they_may_be() {
        let tokenizer = toy();
        assert_eq!(tokenizer.encode("abc<|end|>ab").unwrap(), [257, 259, 256]);
        let plain = tokenizer.encode_plain("<|end|>").unwrap();
        assert!(!plain.contains(&259));
        assert_eq!(tokenizer.decode(&plain, Specials::Skip), "<|end|>");
        let mark = free_mark([""].into_iter()).unwrap();
        for (shield, has_think) in [(Shield::All, false), (Shield::Control, true)] {
            // The last piece would become a token only together with what a template appends.
            let text = tokenizer.shield("a<|end|>b<think>c<|en", shield, mark) + "d|>";
            let ids = tokenizer.encode_shielded(&text, mark).unwrap();
            assert!(!ids.contains(&259), "{ids:?}");
            assert_eq!(ids.contains(&260), has_think, "{ids:?}");
            assert_eq!(tokenizer.decode(&ids, Specials::Keep), "a<|end|>b<think>c<|end|>");
        }
    }

    #[test]
    fn control_tokens_can_be_skipped() {
        let tokenizer = toy();
        assert_eq!(tokenizer.decode(&[256, 259, 260, 261, 9999], Specials::Skip), "ab<think>");
        assert_eq!(tokenizer.decode(&[256, 259], Specials::Keep), "ab<|end|>");
    }

    #[test]
    fn text_is_the_same_whatever_the_pieces() {
        let bytes = "µm² 病 🔬 ".bytes().chain([0xF0, 0x9F, b'a', 0xFF, 0xE7]).collect::<Vec<_>>();
        let expected = String::from_utf8_lossy(&bytes).into_owned();
        for n in 1..=bytes.len() {
            let mut detokenizer = Detokenizer::default();
            let mut text: String = bytes.chunks(n).map(|piece| detokenizer.push(piece)).collect();
            text += &detokenizer.finish();
            assert_eq!(text, expected, "in pieces of {n}");
        }
    }

    #[test]
    fn lying_files_are_refused() {
        for json in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"model": {"type": "WordPiece", "vocab": {}}}"#,
            r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#,
            r#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["b c"]}}"#,
            r#"{"added_tokens": [{"id": 0}], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}"#,
        ] {
            assert!(Tokenizer::from_json_text(json).is_err(), "{json}");
        }
    }
}
