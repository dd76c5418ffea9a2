//! A small vocabulary in CLIP's own form, trained on captions.
//!
//! What makes CLIP's tokenizer CLIP's is a list of merges and nothing else: the vocabulary is the 256 bytes,
//! the same at the end of a word, what each merge gives, and two special tokens. A shorter list learned from
//! the captions at hand is therefore read by our loader and by transformers' `CLIPTokenizer` alike, and any
//! text of a user can still be encoded. Training is deterministic; the tests below hold that, and
//! `tests/golden/clip/check_clip_export.py` compares ids with transformers.

use eosin_model::clip::ClipTokenizer;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::{Lowercase, NFC, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{SplitDelimiterBehavior, TokenizerBuilder};

use crate::error::TrainError;

/// Tokens that every vocabulary of this form has.
pub const N_FIXED: usize = 256 + 256 + 2;

/// Words, single digits, runs of other signs; English contractions apart.
const PIECES: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A list of merges: all there is to know about a vocabulary of CLIP's form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Merges {
    pairs: Vec<[String; 2]>,
}

impl Merges {
    /// Learns merges until the vocabulary has `n_vocab` tokens, or no pair occurs twice.
    ///
    /// # Errors
    /// [`TrainError::Plan`] where that is too few to hold all bytes.
    pub fn train<S: AsRef<str> + Send + Sync>(captions: &[S], n_vocab: usize) -> Result<Self, TrainError> {
        let Some(n_merge) = n_vocab.checked_sub(N_FIXED) else {
            return Err(TrainError::plan(format!(
                "a CLIP vocabulary of {n_vocab} cannot hold the {N_FIXED} tokens that all have"
            )));
        };
        learn(captions, n_merge).map_err(TrainError::engine("cannot train the vocabulary of CLIP"))
    }

    /// Reads a `merges.txt`.
    ///
    /// # Errors
    /// [`TrainError::Plan`] naming the line that is not two tokens.
    pub fn parse(text: &str) -> Result<Self, TrainError> {
        let mut pairs = Vec::new();
        for (line_idx, line) in text.lines().enumerate() {
            if line.is_empty() || (line_idx == 0 && line.starts_with("#version")) {
                continue;
            }
            match line.split_once(' ') {
                Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
                    pairs.push([left.to_owned(), right.to_owned()]);
                }
                _ => return Err(TrainError::plan(format!("line {} is not a merge", line_idx + 1))),
            }
        }
        Ok(Self { pairs })
    }

    /// Rows of the token embedding.
    pub fn n_vocab(&self) -> usize {
        self.tokens().len()
    }

    /// The `merges.txt`.
    pub fn to_merges_txt(&self) -> String {
        let lines = self.pairs.iter().map(|[left, right]| format!("{left} {right}\n"));
        std::iter::once("#version: 0.2\n".to_owned()).chain(lines).collect()
    }

    /// The `vocab.json`.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where it cannot be encoded.
    pub fn to_vocab_json(&self) -> Result<String, TrainError> {
        let ids: serde_json::Map<String, serde_json::Value> =
            self.tokens().into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
        serde_json::to_string(&ids).map_err(TrainError::engine("cannot encode the vocabulary of CLIP"))
    }

    /// The tokenizer for texts of up to `n_context` tokens.
    ///
    /// # Errors
    /// [`TrainError::Engine`] where the merges are not of one vocabulary.
    pub fn tokenizer(&self, n_context: usize) -> Result<ClipTokenizer, TrainError> {
        ClipTokenizer::from_vocab_and_merges(&self.to_vocab_json()?, &self.to_merges_txt(), n_context)
            .map_err(TrainError::engine("cannot build the tokenizer of CLIP"))
    }

    /// All tokens in the order of their ids.
    fn tokens(&self) -> Vec<String> {
        let letters = letters();
        let mut tokens: Vec<String> = letters.iter().map(char::to_string).collect();
        tokens.extend(letters.iter().map(|letter| format!("{letter}</w>")));
        let mut known: std::collections::HashSet<String> = tokens.iter().cloned().collect();
        for [left, right] in &self.pairs {
            let token = format!("{left}{right}");
            if known.insert(token.clone()) {
                tokens.push(token);
            }
        }
        tokens.extend(["<|startoftext|>".to_owned(), "<|endoftext|>".to_owned()]);
        tokens
    }
}

/// The 256 letters that stand for bytes, in the order of CLIP's vocabulary: printable ones, then the rest.
fn letters() -> Vec<char> {
    let printable = |byte: &u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let own = (0..256_u32).filter(printable);
    let moved = (256..).take((0..256_u32).filter(|byte| !printable(byte)).count());
    own.chain(moved).filter_map(char::from_u32).collect()
}

fn learn<S: AsRef<str> + Send + Sync>(captions: &[S], n_merge: usize) -> tokenizers::Result<Merges> {
    if n_merge == 0 {
        return Ok(Merges { pairs: Vec::new() });
    }
    let pieces = SplitPattern::Regex(PIECES.to_owned());
    let mut typed = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(Normalizers::new(vec![NFC.into(), Lowercase.into()])))
        .with_pre_tokenizer(Some(Sequence::new(vec![
            PreTokenizerWrapper::Split(Split::new(pieces, SplitDelimiterBehavior::Removed, true)?),
            PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, false)),
        ])))
        .with_post_processor(None::<ByteLevel>)
        .with_decoder(None::<ByteLevel>)
        .build()?;
    // The trainer counts its alphabet as tokens; which letters occur decides how many that are.
    let mut n_token = n_merge + 512;
    loop {
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(n_token)
            .min_frequency(2)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .end_of_word_suffix("</w>".to_owned())
            .build();
        typed.train(&mut trainer, captions.iter().map(AsRef::as_ref))?;
        let json = serde_json::to_value(typed.get_model())?;
        let found = json.get("merges").and_then(serde_json::Value::as_array).into_iter().flatten();
        let mut pairs: Vec<[String; 2]> = found.filter_map(pair_of).collect();
        if pairs.len() >= n_merge || pairs.len() + 512 < n_merge || n_token > n_merge + 1024 {
            pairs.truncate(n_merge);
            return Ok(Merges { pairs });
        }
        n_token += 512;
    }
}

/// A merge as the library writes it: two tokens in a list, or in one string.
fn pair_of(value: &serde_json::Value) -> Option<[String; 2]> {
    if let Some(text) = value.as_str() {
        let (left, right) = text.split_once(' ')?;
        return Some([left.to_owned(), right.to_owned()]);
    }
    match value.as_array()?.as_slice() {
        [left, right] => Some([left.as_str()?.to_owned(), right.as_str()?.to_owned()]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPTIONS: [&str; 4] = [
        "H&E: many glands with small regular nuclei.",
        "H&E: a solid sheet with large pleomorphic nuclei, with mitoses.",
        "DAB: nuclear staining 3+ in most cells.",
        "Glands, glands and more glands; nuclei and nuclei.",
    ];

    #[test]
    fn words_that_occur_often_are_one_token() {
        let merges = Merges::train(&CAPTIONS, N_FIXED + 60).unwrap();
        assert_eq!(merges, Merges::train(&CAPTIONS, N_FIXED + 60).unwrap(), "training is deterministic");
        assert!(merges.n_vocab() <= N_FIXED + 60, "{}", merges.n_vocab());
        let tokenizer = merges.tokenizer(16).unwrap();
        assert_eq!(tokenizer.encode("Glands").unwrap().len(), 3);
        assert_eq!(tokenizer.encode("GLANDS nuclei").unwrap().len(), 4);
        assert_eq!(tokenizer.encode(&"glands ".repeat(40)).unwrap().len(), 16, "cut to the context");
    }

    #[test]
    fn any_text_can_be_encoded() {
        let merges = Merges::train(&CAPTIONS, N_FIXED + 10).unwrap();
        let tokenizer = merges.tokenizer(77).unwrap();
        for text in ["", "Größe 3 µm", "日本語 🙂", "\u{0}"] {
            let ids = tokenizer.encode(text).unwrap();
            let unknown = ids[1..ids.len() - 1].contains(&tokenizer.end_id());
            assert!(!unknown, "{text}: {ids:?}");
        }
    }

    #[test]
    fn the_list_comes_back_from_its_file() {
        let merges = Merges::train(&CAPTIONS, N_FIXED + 30).unwrap();
        assert_eq!(Merges::parse(&merges.to_merges_txt()).unwrap(), merges);
        assert_eq!(Merges::train(&CAPTIONS, N_FIXED).unwrap().n_vocab(), N_FIXED);
        assert!(Merges::train(&CAPTIONS, N_FIXED - 1).is_err());
        assert!(Merges::parse("#version: 0.2\na b c\n").is_err());
    }
}
