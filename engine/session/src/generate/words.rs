//! The way of a token to the listener: bytes become characters, stop strings end the text, tags choose channels.
//!
//! Each stage holds back what is not certain yet, and says it at the end. Held true by the test below and by
//! those of the three stages.

use crate::prompt::Prompt;
use crate::stop::{Found, StopFinder};
use crate::stream::{Channel, StopReason, StreamEvent, TagSplitter, Transcript};
use crate::tokenizer::Detokenizer;

/// The way of a token to the listener: bytes, characters, stop strings, channels.
pub(super) struct Words {
    detokenizer: Detokenizer,
    stop: StopFinder,
    splitter: TagSplitter,
}

impl Words {
    pub(super) fn new(stop: &[String], prompt: &Prompt) -> Self {
        let channel = if prompt.opens_reasoning { Channel::Reasoning } else { Channel::Answer };
        Self {
            detokenizer: Detokenizer::default(),
            stop: StopFinder::new(stop),
            splitter: TagSplitter::new(channel),
        }
    }

    /// Takes a token's bytes; whether a stop string came up.
    pub(super) fn push(
        &mut self,
        bytes: &[u8],
        transcript: &mut Transcript,
        emit: &mut dyn FnMut(StreamEvent),
    ) -> bool {
        let text = self.detokenizer.push(bytes);
        self.text(&text, transcript, emit)
    }

    fn text(&mut self, text: &str, transcript: &mut Transcript, emit: &mut dyn FnMut(StreamEvent)) -> bool {
        let (text, stopped) = match self.stop.push(text) {
            Found::Text(text) => (text, false),
            Found::Stop(text) => (text, true),
        };
        transcript.text.push_str(&text);
        show(self.splitter.push(&text), transcript, emit);
        stopped
    }

    /// Ends the answer: whatever was held back is said now.
    pub(super) fn finish(
        &mut self,
        reason: StopReason,
        transcript: &mut Transcript,
        emit: &mut dyn FnMut(StreamEvent),
    ) {
        if reason != StopReason::StopString {
            let rest = self.detokenizer.finish();
            if !self.text(&rest, transcript, emit) {
                let rest = self.stop.finish();
                transcript.text.push_str(&rest);
                show(self.splitter.push(&rest), transcript, emit);
            }
        }
        show(self.splitter.finish(), transcript, emit);
    }
}

fn show(pieces: Vec<(Channel, String)>, transcript: &mut Transcript, emit: &mut dyn FnMut(StreamEvent)) {
    for (channel, delta) in pieces {
        match channel {
            Channel::Reasoning => transcript.reasoning.push_str(&delta),
            Channel::Answer => transcript.answer.push_str(&delta),
        }
        emit(StreamEvent::Text { channel, delta });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_held_back_letter_is_said_at_the_end() {
        let prompt = Prompt { ids: vec![], image_spans: vec![], opens_reasoning: true };
        let mut words = Words::new(&["stop".to_owned()], &prompt);
        let (mut transcript, mut shown) = (Transcript::default(), String::new());
        let mut emit = |event| {
            if let StreamEvent::Text { delta, .. } = event {
                shown += &delta;
            }
        };
        for bytes in [b"why</thi".as_slice(), b"nk>B st", "µ".as_bytes(), &"µ".as_bytes()[..1]] {
            assert!(!words.push(bytes, &mut transcript, &mut emit));
        }
        words.finish(StopReason::MaxTokens, &mut transcript, &mut emit);
        assert_eq!(transcript.text, "why</think>B stµ\u{FFFD}");
        assert_eq!((transcript.reasoning.as_str(), transcript.answer.as_str()), ("why", "B stµ\u{FFFD}"));
        assert_eq!(shown, "whyB stµ\u{FFFD}");
    }
}
