//! A small byte-level BPE vocabulary, trained on the words of the phantoms.
//!
//! It splits and normalises as Qwen2.5's tokenizer does and has its special tokens by the same names, so
//! that the demonstration runs through the very code that runs the real model. Only the number of merges
//! differs: a network of a few million parameters cannot spare 150 000 rows. All 256 bytes are tokens,
//! hence any text of a user can be encoded. The tags of the answer contract are tokens of their own
//! (plain, not special: decoding must keep them), which makes answers short. Training is deterministic;
//! the tests below hold that, the round trip and the length of answers.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split as SplitBy, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer, TokenizerBuilder};

use crate::error::TrainError;
use crate::phantom::{self, Examiner, Phantom, Settings, Split, Style};
use crate::recipe::TokenizerRecipe;

/// How Qwen2 cuts text into words before merging (SPEC 10.5).
const WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Special tokens, as named in Qwen2.5-VL.
pub const SPECIAL_TOKENS: [&str; 8] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
];

/// Tags of the answer contract: tokens, but visible ones.
pub const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// Text that users and templates bring, besides what the phantoms say.
const COMMON: &str = "system\nuser\nassistant\nYou are a helpful assistant.\n\
    What is shown in this image? What is this? Please describe the tissue. Explain your reasoning. \
    Is there a tumour? Is there a tumor? Is this malignant or benign? Is this cancer? Which cells do you see? \
    How many cells are there? What is your diagnosis? Why? Are you sure? Thank you. \
    Options: A. B. C. D. E. F. A) B) C) D) 0 1 2 3 4 5 6 7 8 9 Yes. No. yes no";

/// Trains the vocabulary that a recipe asks for.
///
/// # Errors
/// [`TrainError::Plan`] where it is too small to hold all bytes, [`TrainError::Engine`] where the trainer
/// refuses.
pub fn train(recipe: &TokenizerRecipe) -> Result<Tokenizer, TrainError> {
    let n_added = SPECIAL_TOKENS.len() + TAGS.len();
    if recipe.vocabulary < 256 + n_added {
        return Err(TrainError::plan(format!(
            "tokenizer.vocabulary is {} but all bytes and special tokens need {}",
            recipe.vocabulary,
            256 + n_added
        )));
    }
    let refuse = TrainError::engine("cannot train the vocabulary");
    train_on(&corpus(recipe.phantoms), recipe.vocabulary - n_added).map_err(refuse)
}

/// Reads a `tokenizer.json`.
///
/// # Errors
/// [`TrainError::Engine`] where the file is missing or is no tokenizer.
pub fn open(path: &Path) -> Result<Tokenizer, TrainError> {
    Tokenizer::from_file(path).map_err(TrainError::engine("cannot read the tokenizer"))
}

/// What the phantoms' examiners say, and every wording that they may use.
fn corpus(n_phantom: u64) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    // Whatever the dice of the phantoms leave out is a whole token too.
    for _ in 0..4 {
        texts.push(COMMON.to_owned());
        texts.extend(
            phantom::wordings().into_iter().flat_map(|words| [format!(" {words}"), words.to_owned()]),
        );
    }
    // Small pictures: only the truth is needed here.
    let settings = Settings { size_px: [84, 84], ..Settings::default() };
    for idx in 0..n_phantom {
        let seed = Split::Train.seed(idx);
        let drawn = Phantom::draw(seed, &settings);
        let style = if idx % 4 == 3 { Style::Cod } else { Style::Cot };
        for question in Examiner::new(&drawn.truth, style, seed).conversation(6) {
            texts.push(question.user);
            // The tags are cut off as tokens of their own, so merges must not see them.
            texts.extend(question.assistant.split(['<', '>']).map(str::to_owned));
        }
    }
    texts
}

fn train_on(texts: &[String], n_token: usize) -> tokenizers::Result<Tokenizer> {
    let split = SplitBy::new(SplitPattern::Regex(WORDS.to_owned()), SplitDelimiterBehavior::Isolated, false)?;
    let bytes = ByteLevel::new(false, false, false);
    let mut typed = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(NFC))
        .with_pre_tokenizer(Some(Sequence::new(vec![split.into(), bytes.into()])))
        .with_post_processor(Some(bytes))
        .with_decoder(Some(bytes))
        .build()?;
    let mut trainer = BpeTrainerBuilder::new()
        .vocab_size(n_token)
        .min_frequency(2)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    typed.train(&mut trainer, texts.iter().map(String::as_str))?;
    let special: Vec<AddedToken> =
        SPECIAL_TOKENS.into_iter().map(|name| AddedToken::from(name, true)).collect();
    let tags: Vec<AddedToken> =
        TAGS.into_iter().map(|name| AddedToken::from(name, false).normalized(false)).collect();
    typed.add_special_tokens(&special);
    typed.add_tokens(&tags);
    Ok(typed.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Tokenizer {
        train_on(&corpus(60), 1500 - 12).unwrap()
    }

    #[test]
    fn training_is_deterministic() {
        assert_eq!(small().to_string(false).unwrap(), small().to_string(false).unwrap());
    }

    #[test]
    fn any_text_comes_back() {
        let tokenizer = small();
        for text in
            ["Is this a carcinoma?", "Größe 3 µm, 日本語 🙂\u{0}\u{1f}", "<think>a</think><answer>B</answer>"]
        {
            let ids = tokenizer.encode(text, false).unwrap();
            assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), text, "{text}");
        }
    }

    #[test]
    fn special_tokens_are_one_token_and_hidden() {
        let tokenizer = small();
        for name in SPECIAL_TOKENS.into_iter().chain(TAGS) {
            assert_eq!(tokenizer.encode(name, false).unwrap().len(), 1, "{name}");
        }
        let ids = tokenizer.encode("<|im_start|>user<|im_end|>", false).unwrap();
        assert_eq!(tokenizer.decode(ids.get_ids(), true).unwrap(), "user");
    }

    #[test]
    fn answers_are_short() {
        let tokenizer = small();
        let mut lengths = Vec::new();
        for idx in 0..60 {
            let seed = Split::Validation.seed(idx);
            let settings = Settings { size_px: [112, 112], ..Settings::default() };
            let drawn = Phantom::draw(seed, &settings);
            for question in Examiner::new(&drawn.truth, Style::Cot, seed).conversation(4) {
                lengths.push(tokenizer.encode(question.assistant, false).unwrap().len());
            }
        }
        let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
        assert!(mean < 40.0, "{mean} tokens an answer");
        assert!(lengths.iter().all(|&length| length < 110));
    }
}
