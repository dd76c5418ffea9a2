//! What the judge is asked, and how its reply is read.
//!
//! Two versions. In the first (PathVLM-R1's paper and code) the judge itself scores integrity and knowledge. In the
//! second (the authors' revision) it only says yes or no to six questions and quotes its evidence, and the scores
//! are counted from that, so that an answer's rightness cannot leak into them. The wording is ours; criteria,
//! deductions and reading are theirs. `tests/train_judge.rs` holds the reading.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{JudgeRequest, Verdict};

/// Longest quotation of the second version, in characters.
const EVIDENCE_LIMIT: usize = 512;

/// What the reasoning should have, in the second version.
const PRESENT: [(&str, &str); 3] = [
    ("image_feature_analysis", "describes features that can be seen in this picture"),
    (
        "option_elimination",
        "weighs options against each other and rules some out, be it implicitly; no number of options is required",
    ),
    ("medical_knowledge_support", "supports its steps by medical knowledge"),
];

/// What the reasoning should be free of, in the second version.
const ABSENT: [(&str, &str); 3] = [
    ("histological_definition_error", "contradicts a basic histological definition"),
    ("logical_contradiction", "contradicts itself"),
    ("outdated_or_incorrect_criterion", "uses a criterion that is outdated or does not apply"),
];

/// Version of the criteria.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criteria {
    /// Two scores, as in the paper.
    #[default]
    V1,
    /// Six findings with evidence, as in the authors' revision.
    V2,
}

impl Criteria {
    /// As records and caches name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// Temperature of the judge.
    pub fn temperature(self) -> f64 {
        match self {
            Self::V1 => 0.1,
            Self::V2 => 0.0,
        }
    }

    /// Longest replies in tokens: the next one is allowed after a reply that could not be read.
    pub fn max_tokens(self) -> Vec<u32> {
        match self {
            Self::V1 => vec![200],
            Self::V2 => vec![320, 512, 768],
        }
    }

    /// Seconds to wait after each failed try; one try more than there are waits.
    pub fn wait_secs(self) -> Vec<f64> {
        match self {
            Self::V1 => vec![1.0, 2.0],
            Self::V2 => vec![15.0, 45.0, 90.0],
        }
    }

    /// Fields of the request that depend on the version.
    pub(super) fn fields(self) -> Map<String, Value> {
        let mut fields = Map::new();
        if self == Self::V2 {
            fields.insert("seed".into(), 42.into());
            let format = json!({"name": "verdict", "strict": true, "schema": schema()});
            fields.insert("response_format".into(), json!({"type": "json_schema", "json_schema": format}));
        }
        fields
    }

    /// The standing instruction.
    pub fn instruction(self) -> String {
        match self {
            Self::V1 => "You examine how a trainee pathologist reasons about a picture. Judge the reasoning, \
                not whether the final answer is right.\n\
                integrity_score starts at 1.0. Take off 0.4 for each of these that is missing: a description of \
                features in the picture; a step-by-step elimination of at least two options; a reference to \
                medical knowledge.\n\
                knowledge_score starts at 1.0. Take off 0.4 for each of these that occurs: a breach of a basic \
                histological definition; a logical contradiction; an outdated or inapplicable criterion.\n\
                Neither score falls below 0. Reply with one JSON object and nothing else: \
                {\"integrity_score\": number, \"knowledge_score\": number}"
                .to_owned(),
            Self::V2 => {
                use std::fmt::Write;
                let mut text = "You examine how a trainee pathologist reasons about a picture. The right answer is \
                    given as context only: a right final answer earns nothing here.\nFor each item say whether it \
                    is present in the reasoning and quote the words that show it, at most 160 characters; leave \
                    the quotation empty where it is not present.\n"
                    .to_owned();
                for (name, meaning) in PRESENT.into_iter().chain(ABSENT) {
                    // Writing to a string cannot fail.
                    let _ = writeln!(text, "- {name}: the reasoning {meaning}");
                }
                text.push_str(
                    "Reply with one JSON object that has for each item {\"present\": true or false, \
                     \"evidence\": text}.",
                );
                text
            }
        }
    }

    /// The case.
    pub fn case(self, request: &JudgeRequest<'_>) -> String {
        format!(
            "Question:\n{}\n\nRight answer:\n{}\n\nWhat the trainee wrote:\n{}",
            request.question, request.task.gold, request.output
        )
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// What is wrong with it; the words of the reply are not repeated.
    pub fn read(self, reply: &str) -> Result<Verdict, String> {
        let value = object(reply).ok_or("the reply holds no JSON object")?;
        match self {
            Self::V1 => {
                // A score that is missing counts as zero, as in the authors' code.
                let score = |name: &str| match value.get(name) {
                    Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0),
                    Some(Value::String(text)) => text.trim().parse().unwrap_or(0.0),
                    _ => 0.0,
                };
                Ok(Verdict::new(score("integrity_score"), score("knowledge_score")))
            }
            Self::V2 => {
                let count = |items: [(&str, &str); 3], counted: bool| -> Result<usize, String> {
                    let mut n = 0;
                    for (name, _) in items {
                        n += usize::from(finding(&value, name)? == counted);
                    }
                    Ok(n)
                };
                Ok(Verdict::of_faults(count(PRESENT, false)?, count(ABSENT, true)?))
            }
        }
    }
}

/// One of the six findings; strict, for there is no rule to fall back on.
fn finding(value: &Map<String, Value>, name: &str) -> Result<bool, String> {
    let item = value.get(name).ok_or_else(|| format!("the reply lacks {name}"))?;
    let present = item.get("present").and_then(Value::as_bool);
    let evidence = item.get("evidence").and_then(Value::as_str);
    let (Some(present), Some(evidence)) = (present, evidence) else {
        return Err(format!("{name} of the reply is not a finding"));
    };
    if evidence.chars().count() > EVIDENCE_LIMIT {
        return Err(format!("the evidence for {name} is too long"));
    }
    if !present && !evidence.trim().is_empty() {
        return Err(format!("there is evidence for {name}, which is not present"));
    }
    Ok(present)
}

fn schema() -> Value {
    let names: Vec<&str> = PRESENT.iter().chain(&ABSENT).map(|(name, _)| *name).collect();
    let item = json!({
        "type": "object",
        "properties": {"present": {"type": "boolean"}, "evidence": {"type": "string"}},
        "required": ["present", "evidence"],
        "additionalProperties": false,
    });
    let properties: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), item.clone())).collect();
    json!({
        "type": "object", "properties": properties, "required": names, "additionalProperties": false,
    })
}

/// The object of a reply: all of it, what stands between fences, or the first one in it.
fn object(reply: &str) -> Option<Map<String, Value>> {
    let parse = |text: &str| match serde_json::from_str(text.trim()) {
        Ok(Value::Object(map)) => Some(map),
        _ => None,
    };
    parse(reply)
        .or_else(|| {
            let (_, fenced) = reply.split_once("```")?;
            let fenced = fenced.strip_prefix("json").unwrap_or(fenced);
            parse(fenced.split_once("```")?.0)
        })
        .or_else(|| {
            reply.match_indices('{').find_map(|(start, _)| {
                let mut values =
                    serde_json::Deserializer::from_str(&reply[start..]).into_iter::<Map<String, Value>>();
                values.next()?.ok()
            })
        })
}
