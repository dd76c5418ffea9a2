//! Renders a conversation with the model's own chat template, in a Jinja as transformers gives it.
//!
//! A template is a program of the model's author: it gets a bound on its steps, no files and no network. The
//! functions that transformers adds (`raise_exception`, `strftime_now`, Python's string methods, a `tojson`
//! that escapes nothing) are here; two lists of blocks are trimmed as transformers trims them. Held true by
//! the tests below and by `tests/session.rs` (42 prompts of the conformance kit).

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value as JinjaValue};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::Value;

/// Used where a model brings no template, or one that does not know pictures.
const CHATML: &str = include_str!("../../../assets/prompts/chatml.jinja");

/// Steps a template may take: a long conversation needs some thousands.
const MAX_STEPS: u64 = 5_000_000;

/// Templates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is no Jinja, or uses what is not supported.
    #[error("the model's chat template cannot be read")]
    Malformed(#[source] Error),
    /// The template refused the conversation, or failed over it.
    #[error("the model's chat template does not take this conversation")]
    Refused(#[source] Error),
}

impl eosin_core::Hint for TemplateError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(_) => Some("remove the template from the model's folder to use plain ChatML"),
            Self::Refused(_) => {
                Some("turns must alternate between user and assistant, after at most one system turn")
            }
        }
    }
}

/// A chat template, checked.
pub struct ChatTemplate {
    environment: Environment<'static>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChatTemplate")
    }
}

impl ChatTemplate {
    /// Reads a template; `special_tokens` are the variables it may use, such as `eos_token`.
    pub fn new(source: &str, special_tokens: &[(String, String)]) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_syntax(as_in_transformers().map_err(TemplateError::Malformed)?);
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: &str| strftime(format, now_secs()));
        environment.add_filter("tojson", to_json);
        for (name, literal) in special_tokens {
            environment.add_global(name.clone(), literal.clone());
        }
        environment.add_template_owned("chat", source.to_owned()).map_err(TemplateError::Malformed)?;
        Ok(Self { environment })
    }

    /// Plain `ChatML` with Qwen2.5-VL's picture tokens.
    pub fn chatml() -> Self {
        #[expect(clippy::expect_used, reason = "a template of our own, rendered by the tests")]
        Self::new(CHATML, &[]).expect("the built-in template is sound")
    }

    /// Renders messages as transformers does with `add_generation_prompt`.
    pub fn render(&self, messages: &Value) -> Result<String, TemplateError> {
        let context = minijinja::context! {
            messages => JinjaValue::from(Serde(messages)),
            add_generation_prompt => true,
        };
        let template = self.environment.get_template("chat").map_err(TemplateError::Malformed)?;
        template.render(context).map_err(TemplateError::Refused)
    }
}

/// Renders one of our own one-variable templates.
pub(crate) fn render_own(source: &str, n_option: usize) -> Result<String, TemplateError> {
    let mut environment = Environment::new();
    environment.set_syntax(as_in_transformers().map_err(TemplateError::Malformed)?);
    environment.render_str(source, minijinja::context! { n_option }).map_err(TemplateError::Malformed)
}

/// The trimming around blocks that transformers sets.
fn as_in_transformers() -> Result<SyntaxConfig, Error> {
    SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()
}

fn raise_exception(message: &str) -> Result<JinjaValue, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.to_owned()))
}

/// JSON as Python's `json.dumps(…, ensure_ascii=False)` writes it: a space after `:` and `,`, no escapes for
/// HTML.
#[expect(clippy::needless_pass_by_value, reason = "the signature that filters have")]
fn to_json(value: &JinjaValue, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent").unwrap_or(None);
    let json = serde_json::to_value(value).map_err(|source| {
        Error::new(ErrorKind::BadSerialization, "cannot become JSON").with_source(source)
    })?;
    let mut text = String::new();
    write_json(&json, indent, 0, &mut text);
    Ok(text)
}

fn write_json(value: &Value, indent: Option<usize>, depth: usize, text: &mut String) {
    let line = |depth: usize, text: &mut String| {
        if let Some(indent) = indent {
            text.push('\n');
            text.push_str(&" ".repeat(indent * depth));
        }
    };
    let comma = if indent.is_some() { "," } else { ", " };
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (idx, item) in items.iter().enumerate() {
                text.push_str(if idx > 0 { comma } else { "" });
                line(depth + 1, text);
                write_json(item, indent, depth + 1, text);
            }
            line(depth, text);
            text.push(']');
        }
        Value::Object(entries) if !entries.is_empty() => {
            text.push('{');
            for (idx, (key, item)) in entries.iter().enumerate() {
                text.push_str(if idx > 0 { comma } else { "" });
                line(depth + 1, text);
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push_str(": ");
                write_json(item, indent, depth + 1, text);
            }
            line(depth, text);
            text.push('}');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// The date in the letters of `strftime` that templates use; the time is UTC.
fn strftime(format: &str, unix_secs: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    let (n_day, secs) = (unix_secs / 86_400, unix_secs % 86_400);
    // Count years and months off; a conversation takes place within a few centuries of 1970.
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, n_day);
    while day >= 365 + u64::from(leap(year)) {
        day -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0_u64;
    for n in [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < n {
            break;
        }
        day -= n;
        month += 1;
    }
    let two = |n: u64| format!("{n:02}");
    let mut text = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match letters.next() {
            Some('Y') => text.push_str(&year.to_string()),
            Some('m') => text.push_str(&two(month + 1)),
            Some('d') => text.push_str(&two(day + 1)),
            Some('B') => text.push_str(MONTHS[month as usize]),
            Some('b') => text.push_str(&MONTHS[month as usize][..3]),
            Some('A') => text.push_str(DAYS[(n_day % 7) as usize]),
            Some('a') => text.push_str(&DAYS[(n_day % 7) as usize][..3]),
            Some('H') => text.push_str(&two(secs / 3600)),
            Some('M') => text.push_str(&two(secs / 60 % 60)),
            Some('S') => text.push_str(&two(secs % 60)),
            Some(other) => text.extend((other != '%').then_some('%').into_iter().chain([other])),
            None => text.push('%'),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(source: &str, messages: &Value) -> Result<String, TemplateError> {
        ChatTemplate::new(source, &[("eos_token".into(), "</s>".into())])?.render(messages)
    }

    #[test]
    fn the_built_in_template_is_chatml() {
        let messages =
            json!([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]);
        let expected = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n\
            <|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(ChatTemplate::chatml().render(&messages).unwrap(), expected);
        let messages = json!([
            {"role": "system", "content": "S"}, {"role": "user", "content": " q\n"}, {"role": "assistant", "content": "a"},
        ]);
        let expected = "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n q\n<|im_end|>\n\
            <|im_start|>assistant\na<|im_end|>\n<|im_start|>assistant\n";
        assert_eq!(ChatTemplate::chatml().render(&messages).unwrap(), expected);
    }

    #[test]
    fn templates_find_what_transformers_gives_them() {
        let messages = json!([{"role": "user", "content": " Hi <b>"}]);
        let check = |source: &str, expected: &str| {
            assert_eq!(render(source, &messages).unwrap(), expected, "{source}");
        };
        check("{{ messages[0].content.strip().upper() }}{{ eos_token }}", "HI <B></s>");
        check("{{ messages[0] | tojson }}", r#"{"role": "user", "content": " Hi <b>"}"#);
        check(
            "{% for m in messages %}\n  {% if m['role'].startswith('u') %}\nyes\n  {% endif %}\n{% endfor %}",
            "yes\n",
        );
        check(
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "1",
        );
        check("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01");
        check("{{ 'content' in messages[0] }}{{ messages[0]['content'] is string }}", "TrueTrue");
    }

    #[test]
    fn a_bad_template_is_an_error_and_an_endless_one_stops() {
        for source in ["{% if %}", "{{ raise_exception('no') }}", "{{ nothing.at.all }}", "{% include 'x' %}"]
        {
            assert!(render(source, &json!([])).is_err(), "{source}");
        }
        let endless = "{% for i in range(99999) %}{% for j in range(99999) %}{{ j }}{% endfor %}{% endfor %}";
        assert!(matches!(render(endless, &json!([])), Err(TemplateError::Refused(_))));
    }

    #[test]
    fn dates_are_dates() {
        let check =
            |secs: u64, expected: &str| assert_eq!(strftime("%a %d %b %Y %H:%M:%S %%%q", secs), expected);
        check(0, "Thu 01 Jan 1970 00:00:00 %%q");
        check(951_782_400, "Tue 29 Feb 2000 00:00:00 %%q");
        check(1_795_305_599, "Sat 21 Nov 2026 23:59:59 %%q");
    }
}
