//! Settings of an answer as the case book keeps them, and back.

use eosin_session::AskOptions;
use serde_json::{Value, json};

/// The settings of an answer as the case book keeps them.
pub fn settings_of(options: &AskOptions) -> Value {
    json!({
        "greedy": options.greedy,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "repetition_penalty": options.repetition_penalty,
        "seed": options.seed,
        "max_tokens": options.max_tokens,
        "stop": options.stop,
        "min_pixels": options.min_pixels,
        "max_pixels": options.max_pixels,
    })
}

/// The settings out of the case book; what is missing is as the model says.
pub fn options_of(settings: &Value) -> AskOptions {
    let float = |key: &str| settings[key].as_f64().map(|value| value as f32);
    let count = |key: &str| settings[key].as_u64().map(|value| value as usize);
    let words = settings["stop"].as_array().into_iter().flatten();
    AskOptions {
        greedy: settings["greedy"].as_bool().unwrap_or_default(),
        temperature: float("temperature"),
        top_k: count("top_k"),
        top_p: float("top_p"),
        repetition_penalty: float("repetition_penalty"),
        seed: settings["seed"].as_u64(),
        max_tokens: count("max_tokens"),
        stop: words.filter_map(|word| word.as_str().map(str::to_owned)).collect(),
        min_pixels: settings["min_pixels"].as_u64(),
        max_pixels: settings["max_pixels"].as_u64(),
        ..AskOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_kept() {
        let options = AskOptions {
            temperature: Some(0.625),
            top_k: Some(40),
            top_p: Some(0.75),
            repetition_penalty: Some(1.125),
            seed: Some(7),
            max_tokens: Some(300),
            stop: vec!["</answer>".to_owned()],
            max_pixels: Some(501_760),
            ..AskOptions::default()
        };
        for options in [options, AskOptions::default(), AskOptions { greedy: true, ..AskOptions::default() }]
        {
            let text = settings_of(&options).to_string();
            assert_eq!(options_of(&serde_json::from_str(&text).unwrap()), options, "{text}");
        }
    }
}
