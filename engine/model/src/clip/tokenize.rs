//! Words to tokens, as CLIP counts them.
//!
//! Byte-level BPE over lower-cased text, where the last piece of a word carries `</w>` instead of the first
//! carrying a space. The pieces of a text stand between a start and an end token; a text too long for the
//! context is cut and still ends with the end token. Built from a `tokenizer.json`, from `vocab.json` and
//! `merges.txt`, or from the list of merges alone, which fixes the vocabulary. Text is normalised as
//! transformers does it (NFC, white space, lower case); `open_clip` also repairs broken encodings and HTML
//! entities first, which texts that a person types do not have. `tests/parity_clip.rs` compares ids with
//! transformers.

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as NormalizerSequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::ClipError;

const START: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";

/// Words, single digits, runs of other signs; English contractions apart.
const PIECES: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Merges in the published vocabulary; the file they come from lists five times as many.
const N_MERGE: usize = 49152 - 256 - 2;

/// The tokenizer of a CLIP model.
#[derive(Clone)]
pub struct ClipTokenizer {
    inner: Tokenizer,
    start_id: u32,
    end_id: u32,
    n_context: usize,
}

impl std::fmt::Debug for ClipTokenizer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClipTokenizer").field("n_context", &self.n_context).finish_non_exhaustive()
    }
}

impl ClipTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`ClipError::Tokenizer`] where it cannot be read or lacks CLIP's two special tokens.
    pub fn from_json(json: &[u8], n_context: usize) -> Result<Self, ClipError> {
        let inner =
            Tokenizer::from_bytes(json).map_err(|error| refused(format!("tokenizer.json: {error}")))?;
        Self::from_inner(inner, n_context)
    }

    /// Puts the tokenizer together from a `vocab.json` and a `merges.txt`.
    ///
    /// # Errors
    /// [`ClipError::Tokenizer`] where the two do not belong together.
    pub fn from_vocab_and_merges(vocab: &str, merges: &str, n_context: usize) -> Result<Self, ClipError> {
        let vocab = serde_json::from_str::<std::collections::HashMap<String, u32>>(vocab)
            .map_err(|error| refused(format!("vocab.json: {error}")))?;
        Self::from_parts(vocab.into_iter().collect(), parse_merges(merges)?, n_context)
    }

    /// Puts the tokenizer together from merges alone: a `merges.txt`, or `OpenAI`'s unpacked
    /// `bpe_simple_vocab_16e6.txt`.
    ///
    /// The vocabulary follows from them: 256 bytes, the same at the end of a word, each merge's result, the
    /// two special tokens.
    ///
    /// # Errors
    /// [`ClipError::Tokenizer`] where a line is not a merge.
    pub fn from_merges(merges: &str, n_context: usize) -> Result<Self, ClipError> {
        let mut merges = parse_merges(merges)?;
        merges.truncate(N_MERGE);
        let bytes = byte_letters();
        let ends = bytes.iter().map(|letter| format!("{letter}</w>")).collect::<Vec<_>>();
        let results = merges.iter().map(|(left, right)| format!("{left}{right}"));
        let mut vocab = Vocab::new();
        for token in bytes.iter().map(char::to_string).chain(ends).chain(results) {
            let id = vocab.len() as u32;
            vocab.entry(token).or_insert(id);
        }
        for token in [START, END] {
            let id = vocab.len() as u32;
            vocab.insert(token.to_owned(), id);
        }
        Self::from_parts(vocab, merges, n_context)
    }

    fn from_parts(vocab: Vocab, merges: Vec<(String, String)>, n_context: usize) -> Result<Self, ClipError> {
        let build = || -> tokenizers::Result<Tokenizer> {
            let model = BPE::builder()
                .vocab_and_merges(vocab, merges)
                .unk_token(END.to_owned())
                .end_of_word_suffix("</w>".to_owned())
                .build()?;
            let mut inner = Tokenizer::new(model);
            let spaces = tokenizers::normalizers::replace::ReplacePattern::Regex(r"\s+".to_owned());
            inner.with_normalizer(Some(NormalizerSequence::new(vec![
                NFC.into(),
                Replace::new(spaces, " ")?.into(),
                Lowercase.into(),
            ])));
            let pieces = SplitPattern::Regex(PIECES.to_owned());
            inner.with_pre_tokenizer(Some(Sequence::new(vec![
                PreTokenizerWrapper::Split(Split::new(pieces, SplitDelimiterBehavior::Removed, true)?),
                PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, true)),
            ])));
            Ok(inner)
        };
        let mut inner = build().map_err(|error| refused(error.to_string()))?;
        // Only those that the vocabulary has: a special token must not be given a new number.
        let special = [START, END].into_iter().filter(|token| inner.token_to_id(token).is_some());
        let special =
            special.map(|token| AddedToken::from(token, true).normalized(false)).collect::<Vec<_>>();
        inner.add_special_tokens(&special);
        Self::from_inner(inner, n_context)
    }

    fn from_inner(mut inner: Tokenizer, n_context: usize) -> Result<Self, ClipError> {
        // Length is this type's business: a file may ask for another cut, or for padding.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| refused(error.to_string()))?;
        let id = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| refused(format!("`{token}` is not in the vocabulary")))
        };
        let (start_id, end_id) = (id(START)?, id(END)?);
        Ok(Self { inner, start_id, end_id, n_context: n_context.max(2) })
    }

    /// The end token.
    pub fn end_id(&self) -> u32 {
        self.end_id
    }

    /// Ids of a text between start and end token, at most the context long and not padded.
    ///
    /// # Errors
    /// [`ClipError::Tokenizer`] where the library fails; no text is known to make it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ClipError> {
        let encoding = self.inner.encode(text, false).map_err(|error| refused(error.to_string()))?;
        let pieces = encoding.get_ids();
        let kept = &pieces[..pieces.len().min(self.n_context - 2)];
        let mut ids = Vec::with_capacity(kept.len() + 2);
        ids.push(self.start_id);
        ids.extend_from_slice(kept);
        ids.push(self.end_id);
        Ok(ids)
    }
}

fn refused(cause: String) -> ClipError {
    ClipError::Tokenizer { cause }
}

/// One merge a line, two tokens and a space; the first line may be a version.
fn parse_merges(text: &str) -> Result<Vec<(String, String)>, ClipError> {
    let mut merges = Vec::new();
    for (line_idx, line) in text.lines().enumerate() {
        let versioned =
            line_idx == 0 && (line.starts_with("#version") || line.starts_with("\"bpe_simple_vocab"));
        if versioned || line.is_empty() {
            continue;
        }
        match line.split_once(' ') {
            Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
                merges.push((left.to_owned(), right.to_owned()));
            }
            _ => return Err(refused(format!("line {} of the merges is not two tokens", line_idx + 1))),
        }
    }
    Ok(merges)
}

/// The 256 letters that stand for bytes: printable ones for themselves, then the others from U+0100 on.
fn byte_letters() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let own = (0..256).filter(printable);
    let moved = 256..256 + (0..256).filter(|byte| !printable(byte)).count() as u32;
    own.chain(moved).filter_map(char::from_u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGES: &str = "#version: 0.2\nt h\nth e</w>\n";

    #[test]
    fn merges_fix_the_vocabulary() {
        let tokenizer = ClipTokenizer::from_merges(MERGES, 6).unwrap();
        let (start, end) = (514, 515);
        assert_eq!(tokenizer.end_id(), end);
        let check = |text: &str, expected: &[u32]| {
            let expected = [&[start], expected, &[end]].concat();
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text}");
        };
        check("", &[]);
        check(" \t\n", &[]);
        check("The", &[513]); // 256 + 256 + second merge
        check("th", &[u32::from(b't') - 33, 256 + u32::from(b'h') - 33]);
        check("7", &[256 + u32::from(b'7') - 33]);
        check("a b c d e", &[256 + 64, 256 + 65, 256 + 66, 256 + 67]); // cut to six
    }

    #[test]
    fn bytes_have_one_letter_each() {
        let letters = byte_letters();
        assert_eq!(letters.len(), 256);
        assert_eq!((letters[0], letters[93], letters[94], letters[188]), ('!', '~', '¡', 'Ā'));
    }

    #[test]
    fn unusable_files_are_refused_with_the_cause() {
        let check = |result: Result<ClipTokenizer, ClipError>, expected: &str| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(expected), "{error} does not say {expected}");
        };
        check(ClipTokenizer::from_json(b"", 77), "tokenizer.json");
        check(ClipTokenizer::from_json(b"{}", 77), "tokenizer.json");
        check(ClipTokenizer::from_merges("#version\nt h e\n", 77), "line 2");
        check(ClipTokenizer::from_merges("zz q\n", 77), "zz");
        check(ClipTokenizer::from_vocab_and_merges("[]", "", 77), "vocab.json");
        check(ClipTokenizer::from_vocab_and_merges("{\"a\": 0}", "", 77), "startoftext");
        check(ClipTokenizer::from_vocab_and_merges("{\"<|startoftext|>\": 0}", "", 77), "endoftext");
        check(ClipTokenizer::from_vocab_and_merges("{\"a\": 0}", "a b\n", 77), "out of vocabulary");
    }
}
