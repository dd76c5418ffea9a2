//! The judge behind a server: a real HTTP server on loopback that answers rightly, rambles, stalls, refuses or
//! dies in the middle, and what ledger and cache make of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/chat.rs"]
mod chat;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use chat::{Reply, Server};
use eosin_core::RgbTile;
use eosin_training::data::{Source, Task};
use eosin_training::judge::criteria::Criteria;
use eosin_training::judge::endpoint::{Endpoint, EndpointSettings, OnFailure};
use eosin_training::judge::{
    Judge, JudgeError, JudgeRequest, JudgeSettings, OfflineSettings, Origin, Verdict, score_all,
};
use eosin_training::phantom::{Content, Domain, Listing, PhantomSource, Split, Style};
use serde_json::{Value, json};

const GOOD: Reply = Reply::Say(r#"{"integrity_score": 0.6, "knowledge_score": 1.0}"#);

fn settings(server: &Server) -> EndpointSettings {
    EndpointSettings {
        url: server.url.clone(),
        model: "judge".into(),
        criteria: Criteria::V1,
        api_key_env: None,
        temperature: None,
        max_tokens: Vec::new(),
        wait_secs: Some(vec![0.0, 0.0]),
        timeout_secs: 2.0,
        on_failure: OnFailure::Stop,
        max_calls: 100,
        max_total_tokens: 0,
    }
}

fn tile(value: u8) -> Arc<RgbTile> {
    Arc::new(RgbTile::new([4, 4], vec![value; 48]).unwrap())
}

static TASK: LazyLock<Task> =
    LazyLock::new(|| Task { gold: "B) y".into(), gold_letter: Some('B'), ..Task::default() });

fn request<'a>(images: &'a [Arc<RgbTile>], output: &'a str) -> JudgeRequest<'a> {
    JudgeRequest { images, question: "Which?\nA) x\nB) y", task: &TASK, output }
}

/// One answer judged by a fresh judge; the verdict's reward or the failure's words, and the calls.
fn judged(replies: Vec<Reply>, change: impl FnOnce(&mut EndpointSettings)) -> (Result<f64, String>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(replies);
    let mut settings = settings(&server);
    change(&mut settings);
    let judge = Endpoint::open(&settings, dir.path()).unwrap();
    let found = judge.score(&request(&[tile(9)], "<think>a</think>"));
    (found.map(|verdict| verdict.reward()).map_err(|error| error.to_string()), server.n_call())
}

#[test]
fn verdicts_are_read_however_they_are_wrapped() {
    let check = |said: &'static str, expected: f64| {
        let (found, n_call) = judged(vec![Reply::Say(said)], |_| ());
        assert!((found.unwrap() - expected).abs() < 1e-9, "{said}");
        assert_eq!(n_call, 1, "{said}");
    };
    check(r#"{"integrity_score": 0.6, "knowledge_score": 1.0}"#, 0.8);
    check("```json\n{\"integrity_score\": 0.2, \"knowledge_score\": 0}\n```", 0.1);
    check("```\n{\"integrity_score\": 1, \"knowledge_score\": 1}\n```", 1.0);
    check("My verdict: {\"integrity_score\": 1.0, \"knowledge_score\": 0.6}. Bye {", 0.8);
    check(r#"{"integrity_score": "0.6", "knowledge_score": 1.0}"#, 0.8);
    // A missing score is zero; scores are held within 0…1.
    check(r#"{"integrity_score": 1.0}"#, 0.5);
    check(r#"{"integrity_score": 7, "knowledge_score": -3}"#, 0.5);
    check("{}", 0.0);
}

#[test]
fn passing_trouble_is_tried_again() {
    let check = |replies: Vec<Reply>, expected_calls: usize| {
        let (found, n_call) = judged(replies.clone(), |_| ());
        assert!((found.unwrap() - 0.8).abs() < 1e-9, "{replies:?}");
        assert_eq!(n_call, expected_calls, "{replies:?}");
    };
    check(vec![Reply::Status(500), GOOD], 2);
    check(vec![Reply::Status(429), Reply::Status(503), GOOD], 3);
    check(vec![Reply::Die, GOOD], 2);
    check(vec![Reply::Say("I would rather not."), GOOD], 2);
    check(vec![Reply::Raw("<html>"), GOOD], 2);
    check(vec![Reply::Raw(r#"{"choices": []}"#), GOOD], 2);
}

#[test]
fn trouble_that_stays_is_what_the_recipe_says() {
    for reply in [Reply::Status(500), Reply::Die, Reply::Say("no"), Reply::Raw("rubbish")] {
        let (found, n_call) = judged(vec![reply.clone()], |_| ());
        let error = found.unwrap_err();
        assert!(error.contains("after 3 tries"), "{error}");
        assert_eq!(n_call, 3, "{reply:?}");
        let (found, _) = judged(vec![reply], |settings| settings.on_failure = OnFailure::Zero);
        assert!(found.unwrap().abs() < 1e-9);
    }
    // A wrong key or address is never a score.
    for status in [400, 401, 403, 404] {
        let zero = |settings: &mut EndpointSettings| settings.on_failure = OnFailure::Zero;
        let (found, n_call) = judged(vec![Reply::Status(status)], zero);
        assert!(found.unwrap_err().contains(&status.to_string()));
        assert_eq!(n_call, 1);
    }
}

#[test]
fn a_server_that_stalls_is_left() {
    let since = Instant::now();
    let (found, n_call) = judged(vec![Reply::Stall, GOOD], |settings| settings.timeout_secs = 0.3);
    assert!((found.unwrap() - 0.8).abs() < 1e-9);
    assert_eq!(n_call, 2);
    assert!(since.elapsed() < Duration::from_secs(4));
}

#[test]
fn the_second_version_counts_findings_strictly() {
    let finding =
        |present: bool| json!({"present": present, "evidence": if present { "the words" } else { "" }});
    let reply = |present: [bool; 6]| {
        let names = [
            "image_feature_analysis",
            "option_elimination",
            "medical_knowledge_support",
            "histological_definition_error",
            "logical_contradiction",
            "outdated_or_incorrect_criterion",
        ];
        let map: serde_json::Map<String, Value> =
            names.iter().zip(present).map(|(name, present)| ((*name).to_owned(), finding(present))).collect();
        Value::Object(map)
    };
    let check = |value: &Value, expected: Option<f64>| {
        let found = Criteria::V2.read(&value.to_string()).map(|verdict| verdict.reward()).ok();
        match (found, expected) {
            (Some(found), Some(expected)) => assert!((found - expected).abs() < 1e-9, "{value}: {found}"),
            (found, expected) => assert_eq!(found, expected, "{value}"),
        }
    };
    check(&reply([true, true, true, false, false, false]), Some(1.0));
    check(&reply([true, false, true, false, false, false]), Some(0.8));
    check(&reply([false, false, true, true, true, true]), Some(0.1));
    check(&reply([false, false, false, true, true, true]), Some(0.0));
    let mut lacking = reply([true; 6]);
    lacking.as_object_mut().unwrap().remove("logical_contradiction");
    check(&lacking, None);
    let mut wordy = reply([true; 6]);
    wordy["option_elimination"]["evidence"] = "x".repeat(513).into();
    check(&wordy, None);
    let mut sly = reply([true, true, true, false, false, false]);
    sly["logical_contradiction"]["evidence"] = "something".into();
    check(&sly, None);
    check(&json!({"integrity_score": 1}), None);

    // A reply that was cut off is asked for again with more room.
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![Reply::Say("{\"image_feature"), Reply::Say("{"), Reply::Say("{}")]);
    let settings = EndpointSettings { criteria: Criteria::V2, ..settings(&server) };
    let judge = Endpoint::open(&settings, dir.path()).unwrap();
    assert!(judge.score(&request(&[], "x")).is_err());
    let bodies = server.bodies.lock().unwrap();
    let caps: Vec<u64> = bodies.iter().map(|body| body["max_tokens"].as_u64().unwrap()).collect();
    assert_eq!(caps, [320, 512, 768]);
    assert_eq!(bodies[0]["response_format"]["json_schema"]["strict"], true);
    assert_eq!(bodies[0]["seed"], 42);
}

#[test]
fn scores_are_those_of_the_vectors() {
    let golden: Value = serde_json::from_str(include_str!("golden/rl/rl.json")).unwrap();
    for case in golden["judge"].as_array().unwrap() {
        let count = |name: &str| case[name].as_u64().unwrap() as usize;
        let verdict = Verdict::of_faults(count("missing"), count("errors"));
        for (found, name) in
            [(verdict.integrity, "integrity"), (verdict.knowledge, "knowledge"), (verdict.reward(), "reward")]
        {
            assert!((found - case[name].as_f64().unwrap()).abs() < 1e-12, "{case}: {name} is {found}");
        }
    }
}

#[test]
fn pictures_and_words_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![GOOD]);
    let judge = Endpoint::open(&settings(&server), dir.path()).unwrap();
    judge.score(&request(&[tile(1), tile(2)], "what it wrote")).unwrap();
    let body = server.bodies.lock().unwrap()[0].clone();
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("judge"), &json!(0.1), &json!(200))
    );
    let parts = body["messages"][1]["content"].as_array().unwrap();
    assert_eq!(parts.len(), 3);
    assert!(parts[0]["image_url"]["url"].as_str().unwrap().starts_with("data:image/png;base64,iVBOR"));
    let text = parts[2]["text"].as_str().unwrap();
    assert!(text.contains("Which?") && text.contains("B) y") && text.contains("what it wrote"));
    assert!(!server.heads.lock().unwrap()[0].to_lowercase().contains("authorization"));
}

#[test]
fn nothing_is_paid_twice() {
    let dir = tempfile::tempdir().unwrap();
    let images = [tile(7)];
    let server = Server::start(vec![GOOD]);
    let outputs = ["one", "two", "one", "one", "three"];
    let requests: Vec<JudgeRequest<'_>> = outputs.iter().map(|output| request(&images, output)).collect();
    {
        let judge = Endpoint::open(&settings(&server), dir.path()).unwrap();
        let verdicts = score_all(&judge, &requests, 4).unwrap();
        assert!(verdicts.iter().all(|verdict| (verdict.reward() - 0.8).abs() < 1e-9));
        assert_eq!(server.n_call(), 3);
        assert_eq!((judge.spent().n_call, judge.spent().n_token), (3, 300));
    }
    // A kill in the middle of a line.
    for name in ["judge-verdicts.jsonl", "judge-ledger.jsonl"] {
        let path = dir.path().join(name);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("{\"key\": \"ab");
        std::fs::write(&path, text).unwrap();
    }
    let judge = Endpoint::open(&settings(&server), dir.path()).unwrap();
    let verdicts = score_all(&judge, &requests, 4).unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.origin == Origin::Cached));
    assert_eq!(server.n_call(), 3);
    // What is new is asked, and what is written after the torn line is found again.
    judge.score(&request(&images, "four")).unwrap();
    judge.score(&request(&[tile(8)], "one")).unwrap();
    assert_eq!(server.n_call(), 5);
    drop(judge);
    let judge = Endpoint::open(&settings(&server), dir.path()).unwrap();
    assert_eq!(judge.score(&request(&images, "four")).unwrap().origin, Origin::Cached);
    assert_eq!(judge.spent().n_call, 5);
    // Other criteria and another model are other verdicts.
    let other = EndpointSettings { model: "other".into(), ..settings(&server) };
    Endpoint::open(&other, dir.path()).unwrap().score(&requests[0]).unwrap();
    assert_eq!(server.n_call(), 6);
    let text = std::fs::read_to_string(dir.path().join("judge-verdicts.jsonl")).unwrap();
    assert!(!text.contains("Which?") && !text.contains("four"), "no words on disk");
}

#[test]
fn the_budget_holds_over_resumptions_and_failures() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![GOOD, Reply::Status(500), GOOD, GOOD]);
    let settings = EndpointSettings { max_calls: 3, on_failure: OnFailure::Zero, ..settings(&server) };
    let open = || Endpoint::open(&settings, dir.path()).unwrap();
    open().score(&request(&[], "one")).unwrap();
    // A failed call counts, too.
    open().score(&request(&[], "two")).unwrap();
    let judge = open();
    let error = judge.score(&request(&[], "three")).unwrap_err();
    assert!(matches!(error, JudgeError::Budget { .. }), "{error}");
    // What is known is still given.
    assert_eq!(judge.score(&request(&[], "one")).unwrap().origin, Origin::Cached);
    assert_eq!(server.n_call(), 3);

    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![GOOD]);
    let settings = EndpointSettings { max_calls: 0, max_total_tokens: 150, ..self::settings(&server) };
    let judge = Endpoint::open(&settings, dir.path()).unwrap();
    let found: Vec<bool> =
        ["a", "b", "c"].iter().map(|output| judge.score(&request(&[], output)).is_ok()).collect();
    assert_eq!(found, [true, true, false]);
}

#[test]
fn settings_without_a_meaning_are_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(vec![GOOD]);
    let check = |change: &dyn Fn(&mut EndpointSettings), expected: &str| {
        let mut settings = settings(&server);
        change(&mut settings);
        let error = Endpoint::open(&settings, Path::new(dir.path())).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|settings| settings.url = "ftp://somewhere/v1".into(), "url");
    check(&|settings| settings.timeout_secs = f64::NAN, "timeout_secs");
    check(&|settings| settings.wait_secs = Some(vec![-1.0]), "wait_secs");
    check(&|settings| settings.api_key_env = Some("EOSIN_NO_SUCH_KEY".into()), "EOSIN_NO_SUCH_KEY");
    let read = |text: &str| toml_like(text).is_ok();
    assert!(read(r#"{"endpoint": {"url": "http://localhost/v1", "model": "m", "max_calls": 5}}"#));
    assert!(read(r#"{"offline": {}}"#));
    assert!(!read(r#"{"endpoint": {"url": "http://localhost/v1", "model": "m"}}"#), "a bound must be named");
    assert!(!read(r#"{"endpoint": {"url": "u", "model": "m", "max_calls": 5, "apikey": "x"}}"#));
    assert_eq!(server.n_call(), 0);
}

#[test]
fn drawn_pictures_are_judged_by_their_truth() {
    let judge = JudgeSettings::Offline(OfflineSettings::default()).open(Path::new("")).unwrap();
    assert!(!judge.looks());
    // Without a truth there is nothing to hold the words against.
    assert!(matches!(judge.score(&request(&[], "x")), Err(JudgeError::NoTruth)));
    let content = Content::Choices { style: Style::Cot, listing: Listing::Lettered };
    let source =
        PhantomSource { split: Split::Train, n_sample: 4, domain: Domain::In, image_px: 112, content };
    for idx in 0..4 {
        let sample = source.sample(idx).unwrap();
        let task = sample.task.as_ref().unwrap();
        let said = sample.caption().unwrap();
        let score = |output: &str| {
            judge.score(&JudgeRequest { images: &[], question: "", task, output }).unwrap().reward()
        };
        // What the examiner says himself is better than nothing said.
        assert!(score(said) > score("<think></think><answer></answer>"), "{said}");
    }
}

fn toml_like(text: &str) -> Result<JudgeSettings, serde_json::Error> {
    serde_json::from_str(text)
}
