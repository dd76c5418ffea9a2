//! An answer on its way into the case book, while it grows.

use std::time::{Duration, Instant};

use eosin_casebook::{AnswerEnd, AnswerId, CaseBook};
use eosin_core::error_chain;
use eosin_session::StreamEvent;
use serde_json::json;

/// How often the case book hears of an answer that grows.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// An answer while it grows, on its way into the case book.
pub(super) struct Growing {
    begun: Instant,
    kept: Instant,
    first_token_secs: Option<f32>,
    /// When the answer proper began.
    answered_secs: Option<f32>,
    reasoning: String,
    answer: String,
}

impl Growing {
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            kept: begun,
            first_token_secs: None,
            answered_secs: None,
            reasoning: String::new(),
            answer: String::new(),
        }
    }

    /// Time from the first word to the answer proper, where there was reasoning.
    fn reasoning_secs(&self) -> Option<f32> {
        (!self.reasoning.is_empty()).then(|| {
            let end = self.answered_secs.unwrap_or_else(|| self.begun.elapsed().as_secs_f32());
            end - self.first_token_secs.unwrap_or(end)
        })
    }

    pub(super) fn keep(
        &mut self,
        book: &CaseBook,
        id: AnswerId,
        event: &StreamEvent,
    ) -> Result<(), eosin_casebook::CaseError> {
        match event {
            StreamEvent::Text { channel, delta } => {
                let secs = self.begun.elapsed().as_secs_f32();
                self.first_token_secs.get_or_insert(secs);
                match channel {
                    eosin_session::Channel::Reasoning => self.reasoning += delta,
                    eosin_session::Channel::Answer => {
                        self.answered_secs.get_or_insert(secs);
                        self.answer += delta;
                    }
                }
                if self.kept.elapsed() < KEEP_EVERY {
                    return Ok(());
                }
                self.kept = Instant::now();
                book.progress(id, &self.reasoning, &self.answer)
            }
            StreamEvent::Done { reason, usage, transcript } => {
                let settled = &transcript.settled;
                let probabilities = Some(transcript.option_probabilities.clone());
                let n_read = usage.n_prompt - usage.n_reused;
                book.finish_answer(
                    id,
                    &AnswerEnd {
                        reason: reason.name().to_owned(),
                        text: transcript.text.clone(),
                        reasoning: transcript.reasoning.clone(),
                        answer: transcript.answer.clone(),
                        prompt_ids: transcript.prompt_ids.clone(),
                        token_ids: transcript.token_ids.clone(),
                        usage: json!({
                            "n_prompt": usage.n_prompt,
                            "n_reused": usage.n_reused,
                            "n_image": usage.n_image,
                            "n_image_reused": usage.n_image_reused,
                            "n_generated": usage.n_generated,
                            "n_proposed": usage.n_proposed,
                            "n_accepted": usage.n_accepted,
                            "n_context": usage.n_context,
                            "prepare_secs": usage.prepare_secs,
                            "vision_secs": usage.vision_secs,
                            "prefill_secs": usage.prefill_secs,
                            "decode_secs": usage.decode_secs,
                            "score_secs": usage.score_secs,
                            "first_token_secs": self.first_token_secs,
                            "reasoning_secs": self.reasoning_secs(),
                            "total_secs": self.begun.elapsed().as_secs_f32(),
                            "prefill_tokens_per_sec": rate(n_read, usage.prefill_secs),
                            "tokens_per_sec": rate(usage.n_generated, usage.decode_secs),
                            "max_tokens": settled.max_tokens,
                            "min_pixels": settled.min_pixels,
                            "max_pixels": settled.max_pixels,
                        }),
                        option_probabilities: probabilities.filter(|probabilities| !probabilities.is_empty()),
                        error: None,
                    },
                )
            }
            StreamEvent::Failed(error) => book.finish_answer(
                id,
                &AnswerEnd {
                    reason: "failed".to_owned(),
                    reasoning: std::mem::take(&mut self.reasoning),
                    answer: std::mem::take(&mut self.answer),
                    error: Some(error_chain(error.as_ref())),
                    ..AnswerEnd::default()
                },
            ),
            StreamEvent::Planned { .. } | StreamEvent::Prefilled { .. } => Ok(()),
        }
    }
}

/// Per second, where time was taken at all.
pub fn rate(n: usize, secs: f32) -> Option<f32> {
    (secs > 0.0).then(|| n as f32 / secs)
}
