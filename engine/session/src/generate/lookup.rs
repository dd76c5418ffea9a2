//! Tokens read ahead of the one who chooses them, copied from what was said before (prompt lookup, Saxena 2023).
//!
//! Answers repeat their prompts: options, findings, the question's own words. Where the last tokens stood before, in the
//! prompt or in the answer, those that followed them are likely to follow again. They are read together with the token
//! that was just chosen: several rows cost little more than one, because the weights are read once for all of them. Each
//! row's scores then choose as they would have one after another, and the first choice that is not the one that was
//! copied ends the pass; what was read beyond it is forgotten. So nothing about an answer changes, greedy or drawn: the
//! same scores meet the same choice in the same order. It needs a model whose scores do not depend on how many rows it
//! reads at once ([`eosin_model::qwen::Qwen::verifies_exactly`]).
//!
//! Copies are trusted only as far as they have just been right: as long as nothing was copied they are compared with what
//! was chosen, which costs nothing, so that a text that does not repeat itself loses nothing. Held true by the tests below
//! and by `tests/session_lookup.rs`.

use std::collections::{HashMap, VecDeque};

use eosin_model::qwen::MAX_VERIFY;

/// Tokens that were right in a row before any is read ahead.
const N_NEEDED: usize = 2;
/// The same after copies that were wrong at once, again and again.
const MAX_NEEDED: usize = 64;

/// Says what may come next.
#[derive(Debug)]
pub(super) struct Lookup {
    /// Prompt and answer.
    ids: Vec<u32>,
    /// Where the last token after a pair, and after a triple, stands.
    after_two: HashMap<[u32; 2], usize>,
    after_three: HashMap<[u32; 3], usize>,
    /// The place that the next token is copied from.
    source: Option<usize>,
    /// Stands for a picture and is never copied.
    placeholder: u32,
    /// Copies that were right in a row.
    n_right: usize,
    /// How many must have been.
    n_needed: usize,
}

impl Lookup {
    /// Knows a prompt.
    pub(super) fn new(prompt: &[u32], placeholder: u32) -> Self {
        let mut lookup = Self {
            ids: Vec::with_capacity(prompt.len() + 256),
            after_two: HashMap::new(),
            after_three: HashMap::new(),
            source: None,
            placeholder,
            n_right: 0,
            n_needed: N_NEEDED,
        };
        for id in prompt {
            lookup.append(*id);
        }
        lookup.source = lookup.find();
        lookup
    }

    /// Takes a token that was chosen.
    fn push(&mut self, id: u32) {
        let was_right = self.source.is_some_and(|source| self.ids[source] == id);
        self.append(id);
        if was_right {
            // On from there: the longer two places agree, the likelier they go on agreeing.
            self.source = self.source.map(|source| source + 1);
            self.n_right += 1;
        } else {
            self.source = self.find();
            self.n_right = 0;
        }
    }

    fn append(&mut self, id: u32) {
        let place = self.ids.len();
        if let Some(last) = self.ids.last_chunk() {
            self.after_two.insert(*last, place);
        }
        if let Some(last) = self.ids.last_chunk() {
            self.after_three.insert(*last, place);
        }
        self.ids.push(id);
    }

    /// The place after the last one where the last tokens stood before.
    fn find(&self) -> Option<usize> {
        let three = self.ids.last_chunk().and_then(|last| self.after_three.get(last));
        let two = || self.ids.last_chunk().and_then(|last| self.after_two.get(last));
        three.or_else(two).copied()
    }

    /// Tokens that are worth reading ahead, `n_most` at most.
    fn propose(&self, n_most: usize) -> Vec<u32> {
        let Some(source) = self.source.filter(|_| self.n_right >= self.n_needed) else { return Vec::new() };
        let n = n_most.min(2 * self.n_right).min(MAX_VERIFY - 1);
        let mut copied: Vec<u32> = Vec::with_capacity(n);
        while copied.len() < n {
            // A place near the end goes on in what is copied from it.
            let place = source + copied.len();
            let id = self.ids.get(place).copied().unwrap_or_else(|| copied[place - self.ids.len()]);
            if id == self.placeholder {
                break;
            }
            copied.push(id);
        }
        copied
    }

    /// Learns from a pass of which the first `n_taken` copies were right.
    fn judge(&mut self, n_taken: usize, refused: bool) {
        if !refused {
            self.n_needed = N_NEEDED;
        } else if n_taken == 0 {
            self.n_needed = (2 * self.n_needed).min(MAX_NEEDED);
        }
    }
}

/// What was read ahead and is not chosen yet.
#[derive(Debug, Default)]
pub(super) struct ReadAhead {
    lookup: Option<Lookup>,
    /// Tokens that were read, and the scores after each.
    waiting: VecDeque<(u32, Vec<f32>)>,
    /// Of the present pass, how many were chosen.
    n_taken: usize,
    /// Tokens read ahead in all.
    pub(super) n_proposed: usize,
    /// Of these, tokens that were chosen.
    pub(super) n_accepted: usize,
}

impl ReadAhead {
    /// Reads ahead what `lookup` says; without one, nothing.
    pub(super) fn new(lookup: Option<Lookup>) -> Self {
        Self { lookup, ..Self::default() }
    }

    /// The scores after a token that was chosen, if it was read already; otherwise all that was read ahead is void.
    pub(super) fn take(&mut self, id: u32) -> Option<Vec<f32>> {
        let lookup = self.lookup.as_mut()?;
        lookup.push(id);
        let (copied, scores) = self.waiting.pop_front()?;
        if copied != id {
            self.waiting.clear();
            lookup.judge(self.n_taken, true);
            return None;
        }
        self.n_taken += 1;
        self.n_accepted += 1;
        if self.waiting.is_empty() {
            lookup.judge(self.n_taken, false);
        }
        Some(scores)
    }

    /// Tokens to be read with the next one, `n_most` at most.
    pub(super) fn propose(&self, n_most: usize) -> Vec<u32> {
        self.lookup.as_ref().map(|lookup| lookup.propose(n_most)).unwrap_or_default()
    }

    /// Keeps what was read: the tokens and the scores after each.
    pub(super) fn put(&mut self, copied: &[u32], scores: impl Iterator<Item = Vec<f32>>) {
        self.n_taken = 0;
        self.n_proposed += copied.len();
        self.waiting = copied.iter().copied().zip(scores).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACEHOLDER: u32 = 99;

    /// Says a text token by token as a model would that wants to say it; what each pass read ahead.
    fn said(prompt: &[u32], text: &[u32]) -> (Vec<Vec<u32>>, ReadAhead) {
        let mut ahead = ReadAhead::new(Some(Lookup::new(prompt, PLACEHOLDER)));
        let mut passes = Vec::new();
        for (idx, id) in text.iter().enumerate() {
            if ahead.take(*id).is_none() {
                let copied = ahead.propose(text.len() - idx - 1);
                ahead.put(&copied, copied.iter().map(|id| vec![*id as f32]));
                passes.push(copied);
            }
        }
        (passes, ahead)
    }

    #[test]
    fn a_repeated_text_is_read_in_few_passes() {
        let words: Vec<u32> = (1..40).collect();
        let (passes, ahead) = said(&words, &words);
        // A pair to be found by, two that were right unread, then what fits.
        let widths: Vec<usize> = passes.iter().map(Vec::len).collect();
        assert_eq!(widths, [0, 0, 0, 4, 7, 7, 7, 6]);
        assert_eq!((ahead.n_proposed, ahead.n_accepted), (31, 31));
        assert_eq!(passes[3], [5, 6, 7, 8]);
    }

    #[test]
    fn a_place_near_the_end_goes_on_in_its_own_copy() {
        let check = |prompt: &[u32], text: &[u32], expected: &[u32]| {
            let (passes, _) = said(prompt, text);
            assert!(passes.iter().any(|pass| pass == expected), "{passes:?}");
        };
        check(&[1, 2], &[7; 20], &[7; 7]);
        let turns: Vec<u32> = [5, 6, 7].repeat(9);
        check(&[1, 2], &turns, &[5, 6, 7, 5, 6, 7, 5]);
    }

    #[test]
    fn nothing_is_read_for_texts_that_mislead_or_are_new() {
        let check = |prompt: &[u32], text: &[u32]| {
            let (passes, ahead) = said(prompt, text);
            assert_eq!((passes.len(), ahead.n_proposed), (text.len(), 0));
        };
        let text: Vec<u32> = (1..60).collect();
        check(&[], &[]);
        check(&[], &text);
        let pairs: Vec<u32> = text.iter().flat_map(|id| [*id, *id + 1, 1000 + *id]).collect();
        check(&pairs, &text);
        // A picture is never copied.
        let pictures = [&[1, 2, 3, 4, 5, 6], &[PLACEHOLDER; 30][..]].concat();
        assert!(said(&pictures, &pictures).0.iter().flatten().all(|id| *id != PLACEHOLDER));
    }

    #[test]
    fn copies_that_were_wrong_are_trusted_later() {
        // Four words of the prompt, then another one, over and over.
        let prompt: Vec<u32> = (1..90).collect();
        let text: Vec<u32> =
            (0..20).flat_map(|idx| [4 * idx + 1, 4 * idx + 2, 4 * idx + 3, 4 * idx + 4, 500 + idx]).collect();
        let (_, ahead) = said(&prompt, &text);
        assert!(ahead.n_proposed <= 4, "{} of {} tokens were read in vain", ahead.n_proposed, text.len());
    }
}
