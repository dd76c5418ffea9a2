//! What a document says about pictures and answers, the same in every format.

use super::labels::fill;
use super::{Case, Labels};
use crate::chat::{Answer, AnswerState, Picture, Turn};

/// `2026-11-21 16:54 UTC` of a time stamp; what is none stays as it is.
pub(super) fn minute(at: &str) -> String {
    let is_stamp = at.len() >= 16 && at.is_ascii() && at.as_bytes()[10] == b'T';
    if is_stamp { format!("{} {} UTC", &at[..10], &at[11..16]) } else { at.to_owned() }
}

/// The case's title: the chat's, or its number.
pub(super) fn title(case: &Case) -> String {
    let title = case.chat.title.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.is_empty() { fill(&case.labels.case, &[("n", &case.chat.id.to_string())]) } else { title }
}

/// When it began, how much there is, when it left.
pub(super) fn summary(case: &Case, n_question: usize) -> String {
    let labels = &case.labels;
    let n_question = match n_question {
        1 => labels.one_question.clone(),
        n => fill(&labels.n_questions, &[("n", &n.to_string())]),
    };
    let begun = fill(&labels.begun, &[("name", &minute(&case.chat.at))]);
    let exported = fill(&labels.exported, &[("name", &minute(&case.exported_at))]);
    [begun, n_question, exported].join(" · ")
}

/// A number with as many digits as are worth reading.
pub(super) fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}

/// A micrometre length, in millimetres where that is shorter.
pub(super) fn length(um: f64) -> String {
    if um >= 1000.0 { format!("{} mm", trimmed(um / 1000.0)) } else { format!("{} µm", trimmed(um)) }
}

fn trimmed(value: f64) -> String {
    let text = figure(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What a picture is: size, scale, extent.
pub(super) fn extent(image: &Picture, labels: &Labels) -> String {
    let [width_px, height_px] = image.size_px;
    let size = format!("{width_px} × {height_px} px");
    match image.um_per_px.filter(|scale| scale.is_finite() && *scale > 0.0) {
        Some(scale) => {
            let extent = [width_px, height_px].map(|side| length(f64::from(side) * scale));
            format!("{size} · {} µm/px · {} × {}", figure(scale), extent[0], extent[1])
        }
        None => format!("{size} · {}", labels.no_scale),
    }
}

/// Where a picture is from and how the model saw it.
pub(super) fn origin(image: &Picture, labels: &Labels) -> String {
    let mut words = Vec::new();
    if let Some(title) = &image.slide_title {
        words.push(title.clone());
    }
    if let Some(region) = &image.region {
        let id = short(&region.slide.0);
        words.push(fill(&labels.slide, &[("name", id)]));
        let [left, top] = region.origin_base_px.map(|side| side.to_string());
        words.push(fill(&labels.region, &[("n", &left), ("m", &top)]));
    }
    if let Some([width_px, height_px]) = image.seen_size_px {
        words.push(fill(&labels.seen_as, &[("name", &format!("{width_px} × {height_px}"))]));
    }
    if let Some(n_token) = image.n_token {
        words.push(fill(&labels.tokens, &[("n", &n_token.to_string())]));
    }
    words.push(format!("sha256 {}", short(&image.hash.0)));
    words.join(" · ")
}

/// The first letters of a hash.
pub(super) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The letter of an option.
pub(super) fn letter(choice_idx: usize) -> String {
    match u8::try_from(choice_idx) {
        Ok(idx) if idx < 26 => char::from(b'A' + idx).to_string(),
        _ => (choice_idx + 1).to_string(),
    }
}

/// Which of a turn's answers this is, where it has several.
pub(super) fn version(turn: &Turn, answer: &Answer, labels: &Labels) -> Option<String> {
    let n_answer = turn.answers.len();
    let at = turn.answers.iter().position(|other| other.id == answer.id)? + 1;
    (n_answer > 1).then(|| fill(&labels.version, &[("n", &at.to_string()), ("m", &n_answer.to_string())]))
}

/// What has to be said about an answer that is not simply one.
pub(super) fn caveat(answer: &Answer, labels: &Labels) -> Option<String> {
    let said = match answer.state {
        AnswerState::Running => Some(labels.running.clone()),
        AnswerState::Interrupted => Some(labels.interrupted.clone()),
        AnswerState::Finished => None,
    };
    match (said, &answer.error) {
        (Some(said), Some(error)) => Some(format!("{said} {error}")),
        (None, Some(error)) => Some(error.clone()),
        (said, None) => said,
    }
}

/// The words of an answer: of its own channel, or all it said where it used none.
pub(super) fn words<'a>(answer: &'a Answer, labels: &'a Labels) -> &'a str {
    if !answer.answer.trim().is_empty() {
        answer.answer.trim()
    } else if answer.reasoning.trim().is_empty() && !answer.text.trim().is_empty() {
        answer.text.trim()
    } else {
        &labels.no_answer
    }
}

/// The reasoning's heading, with its duration.
pub(super) fn reasoning(answer: &Answer, labels: &Labels) -> String {
    match answer.figures().reasoning_secs {
        Some(secs) => format!("{} · {} s", labels.reasoning, figure(secs)),
        None => labels.reasoning.clone(),
    }
}

/// How much of a model's hash is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HashLength {
    Short,
    Whole,
}

/// The first letters of a model's hash, whose kind goes before them.
fn short_model(hash: &str) -> String {
    match hash.rsplit_once(':') {
        Some((kind, hash)) => format!("{kind}:{}", short(hash)),
        None => short(hash).to_owned(),
    }
}

/// The models of all answers that are shown, each once, with the whole of its hash.
pub(super) fn models(case: &Case) -> Vec<String> {
    let mut models: Vec<String> = Vec::new();
    for answer in case.chat.shown().into_iter().filter_map(Turn::shown) {
        let model = format!("{} · {}", answer.model_name, answer.model_hash);
        if !answer.model_hash.is_empty() && !models.contains(&model) {
            models.push(model);
        }
    }
    models
}

/// What answered, how, and what it took: lines of name and words.
pub(super) fn provenance(answer: &Answer, labels: &Labels, length: HashLength) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let hash = match length {
        HashLength::Short => short_model(&answer.model_hash),
        HashLength::Whole => answer.model_hash.clone(),
    };
    let model = [&answer.model_name, &hash, &answer.device];
    let model: Vec<&str> = model.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    if !model.is_empty() {
        lines.push((labels.model.clone(), model.join(" · ")));
    }
    let mut settings = settings(&answer.settings);
    if let Some(seed) = answer.seed {
        settings.push(fill(&labels.seed, &[("n", &seed.to_string())]));
    }
    if !settings.is_empty() {
        lines.push((labels.settings.clone(), settings.join(" · ")));
    }
    let figures = answer.figures();
    let mut timing = vec![minute(&answer.at)];
    if let Some(secs) = figures.total_secs {
        timing.push(format!("{} s", figure(secs)));
    }
    if let Some(secs) = figures.first_token_secs {
        timing.push(fill(&labels.first_token, &[("n", &figure(secs))]));
    }
    if let Some(speed) = figures.tokens_per_sec {
        timing.push(fill(&labels.per_second, &[("n", &figure(speed))]));
    }
    if let Some(n_generated) = figures.n_generated {
        timing.push(fill(&labels.tokens, &[("n", &n_generated.to_string())]));
    }
    if let (Some(n_prompt), Some(n_context)) = (figures.n_prompt, figures.n_context) {
        let used = (n_prompt + figures.n_generated.unwrap_or(0)).to_string();
        timing.push(fill(&labels.context, &[("n", &used), ("m", &n_context.to_string())]));
    }
    if !answer.reason.is_empty() {
        timing.push(fill(&labels.ended, &[("name", &answer.reason.replace('_', " "))]));
    }
    lines.push((labels.timing.clone(), timing.join(" · ")));
    lines
}

/// Settings as `name value`, whatever they are nested in.
fn settings(value: &serde_json::Value) -> Vec<String> {
    fn walk(name: &str, value: &serde_json::Value, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    walk(&key.replace('_', " "), value, out);
                }
            }
            serde_json::Value::Null => {}
            serde_json::Value::String(text) if text.is_empty() => {}
            serde_json::Value::Array(items) if items.is_empty() => {}
            serde_json::Value::String(text) => out.push(format!("{name} {text}").trim().to_owned()),
            // A number that came from 32 bits has digits that say nothing.
            serde_json::Value::Number(number) => {
                let shown =
                    number.as_f64().filter(|_| number.is_f64()).map(|value| (value as f32).to_string());
                out.push(format!("{name} {}", shown.unwrap_or_else(|| number.to_string())).trim().to_owned());
            }
            other => out.push(format!("{name} {other}").trim().to_owned()),
        }
    }
    let mut out = Vec::new();
    walk("", value, &mut out);
    out
}

/// Where the audit trail stood.
pub(super) fn audit(case: &Case) -> String {
    fill(&case.labels.audit, &[("n", &case.head.seq.to_string()), ("name", &case.head.hash)])
}

/// The most probable option.
pub(super) fn most_probable(values: &[f32]) -> Option<usize> {
    let best =
        values.iter().enumerate().filter(|(_, value)| value.is_finite()).max_by(|a, b| a.1.total_cmp(b.1));
    best.map(|(idx, _)| idx)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        for (value, expected) in [(0.2514, "0.25"), (12.34, "12.3"), (123.4, "123")] {
            assert_eq!(figure(value), expected);
        }
        for (um, expected) in [(128.0, "128 µm"), (50.0, "50 µm"), (2500.0, "2.5 mm"), (0.5, "0.5 µm")] {
            assert_eq!(length(um), expected);
        }
        assert_eq!(minute("2026-11-21T16:54:24.123Z"), "2026-11-21 16:54 UTC");
        for odd in ["", "yesterday", "2026-11-21T16:5", "二〇二六年十一月二十一日"] {
            assert_eq!(minute(odd), odd);
        }
        let nested = json!({ "sampler": { "temperature": 0.7_f32, "top_k": 0 }, "stop": [], "style": "" });
        assert_eq!(settings(&nested), ["temperature 0.7", "top k 0"]);
        assert_eq!(settings(&json!(null)), Vec::<String>::new());
        assert_eq!([letter(0), letter(25), letter(26)], ["A", "Z", "27"]);
        assert_eq!(most_probable(&[0.2, f32::NAN, 0.7, 0.1]), Some(2));
        assert_eq!(most_probable(&[]), None);
    }
}
