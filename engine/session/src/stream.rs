//! What a caller hears while a model answers, and the parser that keeps the answer's tags out of it.
//!
//! A model trained on the contract `<think>…</think><answer>…</answer>` may split a tag over tokens, forget
//! to close it, nest, repeat or omit it. [`TagSplitter`] never shows a tag, whatever comes: text goes to the
//! channel that the last tag opened, text outside goes to the answer. The outcome does not depend on how the
//! text is cut into pieces. Held true by the property tests below.

use std::sync::Arc;

use crate::SessionError;
use crate::sampler::SamplerSettings;

/// Where a piece of text belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Step-by-step reasoning.
    Reasoning,
    /// The answer proper.
    Answer,
}

/// Why an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The model ended it.
    EndOfTurn,
    /// A stop string came up.
    StopString,
    /// The most tokens allowed were made.
    MaxTokens,
    /// The context is full.
    ContextFull,
    /// Somebody cancelled it.
    Cancelled,
}

impl StopReason {
    /// The name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::EndOfTurn => "end_of_turn",
            Self::StopString => "stop_string",
            Self::MaxTokens => "max_tokens",
            Self::ContextFull => "context_full",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What an answer took.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub n_prompt: usize,
    /// Of these, tokens whose keys and values were still there from the question before.
    pub n_reused: usize,
    /// Pictures of the prompt.
    pub n_image: usize,
    /// Of these, pictures whose vision output was still there.
    pub n_image_reused: usize,
    /// Tokens made.
    pub n_generated: usize,
    /// Tokens that were read ahead because they may repeat what was said.
    pub n_proposed: usize,
    /// Of these, tokens that the answer took.
    pub n_accepted: usize,
    /// Tokens that the context holds.
    pub n_context: usize,
    /// Cutting pictures into patches.
    pub prepare_secs: f32,
    /// Vision tower.
    pub vision_secs: f32,
    /// Reading the prompt, without the vision tower.
    pub prefill_secs: f32,
    /// Making tokens.
    pub decode_secs: f32,
    /// Scoring the options of a multiple-choice question.
    pub score_secs: f32,
}

/// The settings that an answer was made with, complete: with them it can be made again.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Settled {
    /// How tokens were chosen.
    pub sampler: SamplerSettings,
    /// Tokens made at most.
    pub max_tokens: usize,
    /// Fewest pixels of a picture after resizing.
    pub min_pixels: u64,
    /// Most pixels of a picture after resizing.
    pub max_pixels: u64,
}

/// All of one answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Transcript {
    /// Ids of the prompt, pictures included.
    pub prompt_ids: Vec<u32>,
    /// Ids made, the end of turn included where the model made one.
    pub token_ids: Vec<u32>,
    /// The words as the model made them, tags included.
    pub text: String,
    /// What went to [`Channel::Reasoning`].
    pub reasoning: String,
    /// What went to [`Channel::Answer`].
    pub answer: String,
    /// How likely the model held each option where it chose one, adding to 1; empty where it chose none of them or
    /// none were offered.
    pub option_probabilities: Vec<f32>,
    /// What it was made with.
    pub settled: Settled,
}

/// What happens while a model answers. The last event of a stream is `Done` or `Failed`, once.
#[derive(Clone, Debug)]
pub enum StreamEvent {
    /// What is going to happen, said before the work starts.
    Planned {
        /// Tokens of the prompt.
        n_prompt: usize,
        /// Tokens that the context holds.
        n_context: usize,
        /// Tokens wished for.
        asked_tokens: usize,
        /// Tokens that will be made at most; fewer than asked for where the context leaves no more room.
        max_tokens: usize,
    },
    /// The prompt was read; the first token is about to come.
    Prefilled {
        /// Tokens of the prompt.
        n_token: usize,
        /// Time it took, pictures included.
        secs: f32,
    },
    /// A piece of text.
    Text {
        /// Where it belongs.
        channel: Channel,
        /// The piece; never empty, never part of a tag.
        delta: String,
    },
    /// The answer is complete, or was stopped.
    Done {
        /// Why it ended.
        reason: StopReason,
        /// What it took.
        usage: Usage,
        /// All of it.
        transcript: Arc<Transcript>,
    },
    /// There is no answer.
    Failed(Arc<SessionError>),
}

impl StreamEvent {
    /// Whether nothing comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed(_))
    }
}

const TAGS: [(&str, Channel); 4] = [
    ("<think>", Channel::Reasoning),
    ("</think>", Channel::Answer),
    ("<answer>", Channel::Answer),
    ("</answer>", Channel::Answer),
];

/// Splits streamed text into channels and drops the tags.
///
/// Space at the start and end of a channel is dropped; where a tag interrupts a channel, at least one space
/// character stands for it, so that no new tag can come together from the pieces around it.
#[derive(Clone, Debug)]
pub struct TagSplitter {
    channel: Channel,
    /// The start of what may become a tag.
    held: String,
    reasoning: Piece,
    answer: Piece,
}

#[derive(Clone, Debug, Default)]
struct Piece {
    started: bool,
    /// Space that is shown only if something follows it.
    space: String,
}

/// Receives the text of one channel.
type Sink<'a> = &'a mut dyn FnMut(Channel, &str);

impl TagSplitter {
    /// A splitter whose text belongs to `channel` until a tag says otherwise: `Reasoning` where the prompt
    /// itself ends with an open `<think>`.
    pub fn new(channel: Channel) -> Self {
        Self { channel, held: String::new(), reasoning: Piece::default(), answer: Piece::default() }
    }

    /// Takes a piece of text and gives what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<(Channel, String)> {
        let mut pieces = Vec::new();
        let mut sink = |channel, text: &str| append(&mut pieces, channel, text);
        for c in text.chars() {
            self.take(c, &mut sink);
        }
        pieces
    }

    /// Ends the text. The beginning of a tag that was cut off is dropped; a lone `<` is text.
    pub fn finish(&mut self) -> Vec<(Channel, String)> {
        let mut pieces = Vec::new();
        let held = std::mem::take(&mut self.held);
        if held == "<" {
            self.show('<', &mut |channel, text: &str| append(&mut pieces, channel, text));
        }
        pieces
    }

    fn take(&mut self, c: char, sink: Sink<'_>) {
        if self.held.is_empty() {
            match c {
                '<' => self.held.push(c),
                c => self.show(c, sink),
            }
            return;
        }
        let n_held = self.held.len();
        self.held.push(c);
        if let Some((_, channel)) = TAGS.iter().find(|(tag, _)| tag.eq_ignore_ascii_case(&self.held)) {
            self.held.clear();
            self.channel = *channel;
            self.reasoning.interrupt();
            self.answer.interrupt();
        } else if !TAGS.iter().any(|(tag, _)| begins(tag, &self.held)) {
            // No tag begins inside another one, so what was held is plain text up to this character.
            self.held.truncate(n_held);
            for c in std::mem::take(&mut self.held).chars() {
                self.show(c, sink);
            }
            self.take(c, sink);
        }
    }

    fn show(&mut self, c: char, sink: Sink<'_>) {
        let piece = match self.channel {
            Channel::Reasoning => &mut self.reasoning,
            Channel::Answer => &mut self.answer,
        };
        if !c.is_whitespace() {
            piece.started = true;
            piece.space.push(c);
            sink(self.channel, &std::mem::take(&mut piece.space));
        } else if piece.started {
            piece.space.push(c);
        }
    }
}

impl Piece {
    fn interrupt(&mut self) {
        if self.started && self.space.is_empty() {
            self.space.push('\n');
        }
    }
}

/// Whether `tag` begins with `start`, upper and lower case alike.
fn begins(tag: &str, start: &str) -> bool {
    tag.get(..start.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(start))
}

fn append(pieces: &mut Vec<(Channel, String)>, channel: Channel, text: &str) {
    match pieces.last_mut() {
        Some((last, piece)) if *last == channel => piece.push_str(text),
        _ => pieces.push((channel, text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(pieces: impl IntoIterator<Item = &'a str>) -> (String, String) {
        let mut splitter = TagSplitter::new(Channel::Answer);
        let (mut reasoning, mut answer) = (String::new(), String::new());
        let mut all = Vec::new();
        for piece in pieces {
            all.extend(splitter.push(piece));
        }
        all.extend(splitter.finish());
        for (channel, text) in all {
            assert!(!text.is_empty());
            match channel {
                Channel::Reasoning => reasoning += &text,
                Channel::Answer => answer += &text,
            }
        }
        (reasoning, answer)
    }

    #[test]
    fn text_goes_where_the_tags_say() {
        let check = |text: &str, reasoning: &str, answer: &str| {
            let expected = (reasoning.to_owned(), answer.to_owned());
            assert_eq!(split([text]), expected, "{text}");
            let letters: Vec<String> = text.chars().map(String::from).collect();
            assert_eq!(split(letters.iter().map(String::as_str)), expected, "{text}, letter by letter");
        };
        check("", "", "");
        check("plain  text\n", "", "plain  text");
        check("<think>\nwhy\n</think>\n<answer>B</answer>", "why", "B");
        check("<think>why</think><answer>B", "why", "B");
        check("<think>never closed", "never closed", "");
        check("<think>why<answer>B</answer>", "why", "B");
        check("why</think>B", "", "why\nB");
        check("before <think>why</think> after", "why", "before  after");
        check("<think>a<think>b</think>c</think>d", "a\nb", "c\nd");
        check("<answer>A</answer><answer>B</answer>", "", "A\nB");
        check("<think>a</think>x<think>b</think>y", "a\nb", "x\ny");
        check("<THINK>a</Think>b", "a", "b");
        check("cut off </answ", "", "cut off");
        check("1 <", "", "1 <");
        check("a < b <c> <<think>x", "x", "a < b <c> <");
        check("<thi</think>nk>x", "", "<thi\nnk>x");
        check("<thi <answer>nk>x", "", "<thi nk>x");
        check("</thinking><think >", "", "</thinking><think >");
    }

    #[test]
    fn a_prompt_may_have_opened_the_reasoning() {
        let mut splitter = TagSplitter::new(Channel::Reasoning);
        let pieces = splitter.push("why</think>B");
        assert_eq!(pieces, [(Channel::Reasoning, "why".into()), (Channel::Answer, "B".into())]);
    }

    /// Texts rich in tags, parts of tags and space.
    fn texts() -> impl Strategy<Value = Vec<String>> {
        let piece = prop_oneof![
            Just("<think>".to_owned()),
            Just("</think>".to_owned()),
            Just("<answer>".to_owned()),
            Just("</answer>".to_owned()),
            Just("</ANSWER>".to_owned()),
            "[</>a-kn-t \n]{0,6}",
            "\\PC{0,4}",
        ];
        prop::collection::vec(piece, 0..12)
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_and_no_tag_is_shown(texts in texts(), cuts in prop::collection::vec(0..64usize, 0..12)) {
            let text = texts.concat();
            let whole = split([text.as_str()]);
            let mut ends: Vec<usize> = cuts.into_iter().filter(|end| text.is_char_boundary(*end)).collect();
            ends.push(text.len());
            ends.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for end in ends.into_iter().filter(|end| *end <= text.len()) {
                pieces.push(&text[from..end]);
                from = end;
            }
            prop_assert_eq!(&split(pieces), &whole);
            for shown in [whole.0, whole.1] {
                let shown = shown.to_ascii_lowercase();
                for (tag, _) in TAGS {
                    prop_assert!(!shown.contains(tag), "{} shows {}", text, tag);
                }
                prop_assert_eq!(shown.trim(), &shown);
            }
        }
    }
}
