//! An answer as one JSON object, and its cost as one line.

use eosin_session::{ModelInfo, StopReason, Transcript, Usage};
use serde_json::{Value, json};

/// Everything about an answer that a machine may want.
pub(super) fn json(info: &ModelInfo, reason: StopReason, usage: &Usage, transcript: &Transcript) -> Value {
    let settled = &transcript.settled;
    json!({
        "prompt_ids": transcript.prompt_ids,
        "token_ids": transcript.token_ids,
        "text": transcript.text,
        "reasoning": transcript.reasoning,
        "answer": transcript.answer,
        "stop_reason": reason.name(),
        "option_probabilities": transcript.option_probabilities,
        "usage": {
            "prompt_tokens": usage.n_prompt,
            "reused_tokens": usage.n_reused,
            "generated_tokens": usage.n_generated,
            "proposed_tokens": usage.n_proposed,
            "accepted_tokens": usage.n_accepted,
            "context_tokens": usage.n_context,
            "images": usage.n_image,
            "reused_images": usage.n_image_reused,
        },
        "timings": {
            "load_secs": info.load_secs,
            "prepare_secs": usage.prepare_secs,
            "vision_secs": usage.vision_secs,
            "prefill_secs": usage.prefill_secs,
            "decode_secs": usage.decode_secs,
            "score_secs": usage.score_secs,
            "prefill_tokens_per_sec": rate(usage.n_prompt - usage.n_reused, usage.prefill_secs),
            "decode_tokens_per_sec": rate(usage.n_generated, usage.decode_secs),
        },
        "settings": {
            "temperature": settled.sampler.temperature,
            "top_k": settled.sampler.top_k,
            "top_p": settled.sampler.top_p,
            "repetition_penalty": settled.sampler.repetition_penalty,
            "seed": settled.sampler.seed,
            "max_tokens": settled.max_tokens,
            "min_pixels": settled.min_pixels,
            "max_pixels": settled.max_pixels,
        },
        "device": {"choice": info.device.to_string(), "name": info.device_name, "why": info.device_why},
        "model": {"name": info.name, "hash": info.hash, "weight_bytes": info.weight_bytes},
        "notice": info.notice,
    })
}

/// The cost of an answer, for people.
pub(super) fn line(reason: StopReason, usage: &Usage) -> String {
    let speed = rate(usage.n_generated, usage.decode_secs)
        .map_or_else(String::new, |rate| format!(", {rate:.1} a second"));
    let why = match reason {
        StopReason::EndOfTurn => "",
        StopReason::StopString => "; a stop string ended it",
        StopReason::MaxTokens => "; cut off at the most tokens allowed (`--max-tokens`)",
        StopReason::ContextFull => "; cut off: the context is full",
        StopReason::Cancelled => "; stopped",
    };
    let (n_used, n_context) = (usage.n_prompt + usage.n_generated, usage.n_context);
    format!("{} tokens{speed}; {n_used} of {n_context} in the context{why}", usage.n_generated)
}

/// Per second, where time was taken at all.
fn rate(n: usize, secs: f32) -> Option<f32> {
    (secs > 0.0).then(|| n as f32 / secs)
}
