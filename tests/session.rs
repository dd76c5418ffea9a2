//! Holds the session's words against the references: token ids of transformers and of the real tokenizers,
//! and the prompts of every case of the conformance kit.
//!
//! The references are not part of the repository; where they are absent the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/shared.rs"]
mod shared;

use std::path::Path;

use eosin_core::{Conversation, Part, RgbTile, Role, Turn};
use eosin_session::prompt::PromptMaker;
use eosin_session::template::ChatTemplate;
use eosin_session::tokenizer::{Specials, Tokenizer};
use serde_json::Value;
use shared::shared;

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

const VARIANTS: [&str; 3] = ["tied", "untied", "realhead"];

#[test]
fn ids_equal_those_of_transformers() {
    for variant in VARIANTS {
        let Some(folder) = shared(&format!("conformance/kit/qwen/{variant}")) else { return };
        let tokenizer = Tokenizer::open(&folder.join("model")).unwrap();
        let cases = json(&folder.join("tokenizer_cases.json"));
        assert!(!cases.as_array().unwrap().is_empty());
        for case in cases.as_array().unwrap() {
            let (text, expected) = (case["text"].as_str().unwrap(), ids(&case["ids"]));
            assert_eq!(tokenizer.encode(text).unwrap(), expected, "{variant}: {text:?}");
            assert_eq!(tokenizer.decode(&expected, Specials::Keep), case["decoded"].as_str().unwrap());
        }
    }
}

#[test]
fn vocab_and_merges_make_the_same_tokenizer_as_the_whole_file() {
    let Some(folder) = shared("conformance/kit/qwen/tied") else { return };
    let parts = tempfile::tempdir().unwrap();
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
        std::fs::write(parts.path().join(name), std::fs::read(folder.join("model").join(name)).unwrap())
            .unwrap();
    }
    let [whole, rebuilt] =
        [&folder.join("model"), parts.path()].map(|folder| Tokenizer::open(folder).unwrap());
    for case in json(&folder.join("tokenizer_cases.json")).as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        assert_eq!(rebuilt.encode(text).unwrap(), whole.encode(text).unwrap(), "{text:?}");
    }
}

#[test]
fn ids_equal_the_golden_ones_of_the_real_tokenizer() {
    let Some(folder) = shared("data/tokenizers/qwen2.5-vl") else { return };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    let template = json(&folder.join("chat_template.json"))["chat_template"].as_str().unwrap().to_owned();
    let template = ChatTemplate::new(&template, &[]).unwrap();
    let mut n_case = 0;
    for case in json(&folder.join("golden_encodings.dev.json")).as_array().unwrap() {
        if let (Some(text), Some(_)) = (case["text"].as_str(), case["ids"].as_array()) {
            assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["ids"]), "{text:?}");
            n_case += 1;
        }
        // The template is rendered as our prompts are: with the start of the answer, without picture numbers.
        let plain =
            case["add_generation_prompt"] == Value::Bool(true) && case["add_vision_id"] != Value::Bool(true);
        if case["messages"].is_array() && plain {
            assert_eq!(template.render(&case["messages"]).unwrap(), case["text"].as_str().unwrap());
            n_case += 1;
        }
    }
    assert!(n_case > 0);
}

#[test]
fn prompts_equal_those_of_transformers() {
    for variant in VARIANTS {
        let Some(folder) = shared(&format!("conformance/kit/qwen/{variant}")) else { return };
        let model = folder.join("model");
        let image_pad = json(&model.join("config.json"))["image_token_id"].as_u64().unwrap() as u32;
        let template = json(&model.join("chat_template.json"))["chat_template"].as_str().unwrap().to_owned();
        // With the model's template and with the built-in one, which is to be the same.
        for template in [Some(ChatTemplate::new(&template, &[]).unwrap()), None] {
            let maker = PromptMaker::new(Tokenizer::open(&model).unwrap(), template, image_pad);
            let mut n_case = 0;
            for case in std::fs::read_dir(folder.join("cases")).unwrap() {
                let case = json(&case.unwrap().path().join("case.json"));
                let expected = ids(&case["input_ids"]);
                let image_tokens: Vec<usize> = expected
                    .chunk_by(|a, b| a == b)
                    .filter(|run| run[0] == image_pad)
                    .map(<[u32]>::len)
                    .collect();
                let prompt = maker.prompt(&conversation(&case["messages"]), &image_tokens).unwrap();
                assert_eq!(prompt.ids, expected, "{variant}/{}", case["name"]);
                assert_eq!(prompt.image_spans.len(), image_tokens.len());
                n_case += 1;
            }
            assert_eq!(n_case, 14);
        }
    }
}

/// Messages in transformers' form; the pictures are blank, their number is what counts.
fn conversation(messages: &Value) -> Conversation {
    let part = |part: &Value| match part["type"].as_str() {
        Some("image") => Part::Image(RgbTile::new([1, 1], vec![0; 3]).unwrap().into()),
        _ => Part::Text(part["text"].as_str().unwrap().to_owned()),
    };
    let turn = |message: &Value| Turn {
        role: serde_json::from_value::<Role>(message["role"].clone()).unwrap(),
        parts: match &message["content"] {
            Value::String(text) => vec![Part::Text(text.clone())],
            parts => parts.as_array().unwrap().iter().map(part).collect(),
        },
    };
    Conversation { turns: messages.as_array().unwrap().iter().map(turn).collect() }
}
