//! Prompt lookup changes nothing but time: scores of several tokens read at once are those of one after another, bit
//! for bit, and answers are the same, greedy or drawn, however they end.
//!
//! Runs on the GGUF files of the conformance kit and on the built-in demonstration; says what it skips.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/shared.rs"]
mod shared;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Tensor;
use eosin_core::{DeviceChoice, RgbTile};
use eosin_model::qwen::{MAX_VERIFY, Positions, Qwen};
use eosin_session::{
    AskOptions, BundleSource, Cancel, EndOfTurn, ModelBundle, PromptLookup, Question, Session, SessionError,
    StopReason, StreamEvent, Transcript, Usage,
};
use eosin_weights::{GgmlType, Gguf, GgufWriter, RawTensor, WeightSource as _};
use shared::shared;

const KINDS: [&str; 5] = ["Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K"];

fn file(name: &str) -> Option<PathBuf> {
    let path = shared(&format!("conformance/kit/gguf/{name}"));
    if path.is_none() {
        eprintln!("skipped: the conformance kit is not here");
    }
    path
}

fn bits(scores: Tensor<2>) -> Vec<u32> {
    let scores: Vec<f32> = scores.into_data().try_into_vec().unwrap();
    scores.into_iter().map(f32::to_bits).collect()
}

/// Reads random tokens in passes of random width and one by one, from the same cache.
fn check_scores(qwen: &Qwen, name: &str) {
    assert!(qwen.verifies_exactly(), "{name}");
    let mut state = 5_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % n
    };
    let n_vocab = qwen.config().text.n_vocab;
    for n_prompt in [1, 7, 63, 300] {
        let ids: Vec<u32> = (0..n_prompt + 40).map(|_| below(256) as u32).collect();
        let mut cache = qwen.cache(512);
        let positions = Positions::text(0, n_prompt);
        drop(qwen.prefill(&ids[..n_prompt], None, &positions, &mut cache).unwrap());
        let mut at = n_prompt;
        while at + MAX_VERIFY < ids.len() {
            let n = 1 + below(MAX_VERIFY);
            let together = bits(qwen.verify(&ids[at..at + n], at as u32, &mut cache).unwrap());
            assert_eq!((together.len(), cache.n_token()), (n * n_vocab, at + n));
            cache.truncate(at);
            for idx in 0..n {
                let alone = qwen.decode(ids[at + idx], (at + idx) as u32, &mut cache).unwrap();
                let alone = bits(alone.unsqueeze());
                let n_other = alone.iter().zip(&together[idx * n_vocab..]).filter(|(a, b)| a != b).count();
                assert_eq!(n_other, 0, "{name}: token {} of {n} after {at} has other scores", idx + 1);
            }
            at += n;
        }
    }
}

#[test]
fn scores_of_several_tokens_are_those_of_each() {
    let device = eosin_kernels::select(DeviceChoice::Cpu).unwrap().device;
    for kind in KINDS {
        let Some(path) = file(&format!("realhead-{kind}.gguf")) else { return };
        check_scores(&ModelBundle::open(&path, None).unwrap().load(&device).unwrap(), kind);
    }
}

/// Matrices that are not rounded, in a model of their own.
#[test]
fn scores_in_half_floats_are_those_of_each() {
    let device = eosin_kernels::select(DeviceChoice::Cpu).unwrap().device;
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = file("realhead-Q8_0.gguf") else { return };
    for kind in [GgmlType::F16, GgmlType::Bf16] {
        let path = copy(&path, folder.path(), |name, tensor| {
            if tensor.shape.len() == 2 { tensor.to_kind(name, kind).unwrap() } else { tensor }
        });
        let qwen = ModelBundle::open(&path, None).unwrap().load(&device).unwrap();
        check_scores(&qwen, &kind.to_string());
    }
}

#[test]
fn scores_of_the_demonstration_are_those_of_each() {
    let device = eosin_kernels::select(DeviceChoice::Cpu).unwrap().device;
    match ModelBundle::demo() {
        Err(SessionError::NoDemo) => eprintln!("skipped: this build has no demonstration model"),
        bundle => check_scores(&bundle.unwrap().load(&device).unwrap(), "demonstration"),
    }
}

/// What an answer was, without what it took.
type Said = (StopReason, Arc<Transcript>, Usage);

fn answer(session: &mut Session, question: &Question, lookup: PromptLookup) -> Said {
    let mut question = question.clone();
    question.options.prompt_lookup = lookup;
    let mut said = None;
    let mut hear = |event| {
        if let StreamEvent::Done { reason, usage, transcript } = event {
            said = Some((reason, transcript, usage));
        }
    };
    session.answer(&question, &Cancel::default(), &mut hear).unwrap();
    said.unwrap()
}

/// Answers with and without lookup; how many tokens were read ahead and taken.
fn check_answer(session: &mut Session, question: &Question) -> usize {
    // The second time the prompt is still there, and nothing of what was read ahead may be left behind it.
    let mut twice = |lookup| {
        session.forget();
        [answer(session, question, lookup), answer(session, question, lookup)]
    };
    let (plain, found) = (twice(PromptLookup::Off), twice(PromptLookup::On));
    for ((plain_reason, plain, plain_usage), (reason, found, usage)) in plain.iter().zip(&found) {
        let options = &question.options;
        assert_eq!(found.token_ids, plain.token_ids, "{options:?}");
        assert_eq!((reason, found), (plain_reason, plain), "{options:?}");
        assert_eq!((plain_usage.n_proposed, plain_usage.n_accepted), (0, 0));
        assert!(usage.n_accepted <= usage.n_proposed, "{usage:?}");
        assert!(usage.n_accepted < found.token_ids.len().max(1), "{usage:?}");
        assert_eq!(usage.n_reused, plain_usage.n_reused, "{options:?}");
    }
    found[0].2.n_accepted
}

fn greedy(n_token: usize) -> AskOptions {
    AskOptions {
        greedy: true,
        max_tokens: Some(n_token),
        end_of_turn: EndOfTurn::Ignored,
        ..AskOptions::default()
    }
}

/// Every way in which an answer can be made and end.
fn all_options(plain: &Transcript) -> Vec<AskOptions> {
    let drawn = |temperature, seed| AskOptions {
        greedy: false,
        temperature: Some(temperature),
        seed: Some(seed),
        ..greedy(40)
    };
    let middle: String = plain.text.chars().skip(plain.text.chars().count() / 2).take(3).collect();
    let mut all: Vec<AskOptions> = [1, 2, 3, 9, 64].map(greedy).into();
    all.push(AskOptions { end_of_turn: EndOfTurn::Stops, ..greedy(64) });
    all.push(AskOptions { repetition_penalty: Some(1.05), ..greedy(48) });
    all.push(AskOptions { repetition_penalty: Some(1.5), ..greedy(48) });
    all.push(AskOptions { stop: vec![middle], ..greedy(64) });
    all.extend([drawn(0.05, 1), drawn(0.3, 2), drawn(1.0, 3)]);
    all
}

fn check_session(source: &BundleSource, texts: &[&str], tile: Option<&Arc<RgbTile>>) -> usize {
    let mut session = match Session::open(source, DeviceChoice::Cpu) {
        Err(SessionError::NoDemo) => {
            eprintln!("skipped: this build has no demonstration model");
            return 1;
        }
        session => session.unwrap(),
    };
    let mut n_accepted = 0;
    for text in texts {
        let mut question = Question::about(tile.into_iter().cloned().collect(), text);
        question.options = greedy(64);
        let (_, plain, _) = answer(&mut session, &question, PromptLookup::Off);
        for options in all_options(&plain) {
            question.options = options;
            n_accepted += check_answer(&mut session, &question);
        }
    }
    n_accepted
}

const REPEATING: &str =
    "gland stroma gland stroma gland stroma gland stroma gland stroma gland stroma gland stroma";

/// A copy of a model with other tensors.
fn copy(model: &Path, folder: &Path, change: impl Fn(&str, RawTensor) -> RawTensor) -> PathBuf {
    let gguf = Gguf::open(model).unwrap();
    let mut writer = GgufWriter::new();
    for (key, value) in gguf.meta().iter() {
        writer.set(key, value.clone());
    }
    for name in gguf.names() {
        let tensor = change(name, gguf.tensor(name).unwrap());
        writer.tensor(name, tensor.kind, &tensor.shape, tensor.bytes).unwrap();
    }
    let path = folder.join("copy.gguf");
    writer.write(&path).unwrap();
    path
}

/// A copy of a model whose blocks add nothing to the stream: each token then has one successor, and before long the
/// answer goes round in a circle.
fn circling(model: &Path, folder: &Path) -> PathBuf {
    copy(model, folder, |name, tensor| {
        let is_silent = name.ends_with("attn_output.weight") || name.ends_with("ffn_down.weight");
        // Blocks of zero bytes have a scale of zero, whatever their type.
        let bytes = if is_silent { vec![0; tensor.bytes.len()] } else { tensor.bytes.to_vec() };
        RawTensor { bytes: bytes.into(), ..tensor }
    })
}

#[test]
fn answers_of_packed_models_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["Q8_0", "Q4_K_M"] {
        let Some(model) = file(&format!("realhead-{kind}.gguf")) else { return };
        let circling = circling(&model, folder.path());
        let texts = [REPEATING, "What is it? What is it? What is it?"];
        check_session(&BundleSource::Files { model, mmproj: None }, &texts, None);
        let n_accepted = check_session(&BundleSource::Files { model: circling, mmproj: None }, &texts, None);
        assert!(n_accepted > 0, "nothing was ever read ahead and taken: this test shows nothing");
    }
}

#[test]
fn answers_of_the_demonstration_about_a_picture_stay_as_they_are() {
    let pixels = (0..168 * 140 * 3).map(|idx: u32| (idx.wrapping_mul(2_654_435_761) >> 24) as u8);
    let tile = Arc::new(RgbTile::new([168, 140], pixels.collect()).unwrap());
    check_session(&BundleSource::Demo, &["Describe the tissue.", REPEATING], Some(&tile));
}

/// A model whose products depend on the number of rows is read token by token.
#[test]
fn dense_models_are_read_token_by_token() {
    let Some(model) = shared("conformance/kit/qwen/tied/model") else { return };
    let mut session = Session::open(&BundleSource::Files { model, mmproj: None }, DeviceChoice::Cpu).unwrap();
    let mut question = Question::about(vec![], REPEATING);
    question.options = greedy(32);
    check_answer(&mut session, &question);
}

#[test]
fn an_answer_that_reads_ahead_stops_within_a_token() {
    let Some(model) = file("realhead-Q8_0.gguf") else { return };
    let folder = tempfile::tempdir().unwrap();
    let model = circling(&model, folder.path());
    let mut session = Session::open(&BundleSource::Files { model, mmproj: None }, DeviceChoice::Cpu).unwrap();
    let mut question = Question::about(vec![], REPEATING);
    question.options = greedy(64);
    let (_, whole, _) = answer(&mut session, &question, PromptLookup::Off);
    for n_piece in [1, 4, 9, 17] {
        let cancel = Cancel::default();
        let (mut n_heard, mut n_after, mut said) = (0, 0, None);
        session
            .answer(&question, &cancel, &mut |event| match event {
                StreamEvent::Text { .. } => {
                    n_after += usize::from(cancel.is_cancelled());
                    n_heard += 1;
                    if n_heard == n_piece {
                        cancel.cancel();
                    }
                }
                StreamEvent::Done { reason, transcript, .. } => said = Some((reason, transcript)),
                _ => {}
            })
            .unwrap();
        let (reason, transcript) = said.unwrap();
        assert!(n_after <= 1, "{n_after} pieces after the stop");
        assert!(reason == StopReason::Cancelled || transcript.token_ids.len() == 64);
        assert_eq!(transcript.token_ids, whole.token_ids[..transcript.token_ids.len()]);
        assert_eq!(answer(&mut session, &question, PromptLookup::On).1, whole);
    }
}
