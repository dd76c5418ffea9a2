//! Evaluation, held to outside values and to what must not happen: the statistics are scipy's; an exam scores
//! what it is told and takes up answers only where nothing changed that decides them.

#![expect(clippy::unwrap_used, reason = "tests panic where the program must not")]

#[path = "support/kit.rs"]
#[expect(dead_code, reason = "each test uses its part of the kit")]
mod kit;

use std::sync::Arc;

use burn::tensor::Device;
use eosin_core::{DeviceChoice, RgbTile, Role};
use eosin_model::prepare::Preprocess;
use eosin_session::ModelBundle;
use eosin_training::batch::RowEncoder;
use eosin_training::data::{Files, IMAGE_MARK, Message, Picture, Sample, Skip, Source, Task};
use eosin_training::evaluate::Said;
use eosin_training::evaluate::exam::{About, Decoding, Exam, Shown, Subject};
use eosin_training::evaluate::model::Model;
use eosin_training::evaluate::session::Bundle;
use eosin_training::evaluate::statistics::{
    ClusterBootstrap, Mean, N_DRAW, Share, exact_mcnemar, student_t_quantile,
};
use eosin_training::evaluate::store::Evaluation;
use eosin_training::evaluate::table::{Rule, Table};
use eosin_training::{TrainError, vocabulary};
use serde_json::{Value, json};

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn count(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} in {value}")) as usize
}

fn near(found: f64, expected: f64, tolerance: f64, of: &Value) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-3), "{found} for {expected}: {of}");
}

#[test]
fn statistics_are_scipys() {
    let vectors = kit::json(&kit::golden("statistics/statistics.json"));
    let each = |part: &str| vectors[part].as_array().filter(|list| list.len() >= 3).unwrap().clone();
    for case in each("wilson") {
        let [low, high] = Share::new(count(&case, "right"), count(&case, "n")).interval_95;
        near(low, number(&case, "low"), 1e-9, &case);
        near(high, number(&case, "high"), 1e-9, &case);
    }
    for case in each("mcnemar") {
        let p = exact_mcnemar(count(&case, "first"), count(&case, "second"));
        near(p, number(&case, "p"), 1e-8, &case);
    }
    for case in each("quantile") {
        let t = student_t_quantile(number(&case, "probability"), count(&case, "n_degree"));
        near(t, number(&case, "t"), 1e-8, &case);
    }
    for case in each("interval") {
        let runs = case["runs"].as_array().unwrap().iter().map(|run| run.as_f64().unwrap()).collect();
        let mean = Mean::of(runs);
        let [low, high] = mean.interval_95;
        let found = [mean.mean, mean.std, low, high];
        for (found, key) in found.into_iter().zip(["mean", "std", "low", "high"]) {
            near(found, number(&case, key), 1e-8, &case);
        }
    }
    for case in each("bootstrap") {
        let pictures = case["pictures"].as_array().unwrap();
        let names: Vec<String> = (0..pictures.len()).map(|idx| idx.to_string()).collect();
        let values = names.iter().zip(pictures).flat_map(|(name, picture)| {
            picture.as_array().unwrap().iter().map(|right| (name.as_str(), right.as_f64().unwrap()))
        });
        let [low, high] = ClusterBootstrap::new(values).interval_95(N_DRAW, 1);
        let tolerance = number(&case, "tolerance");
        assert!((low - number(&case, "low")).abs() < tolerance, "{low}");
        assert!((high - number(&case, "high")).abs() < tolerance, "{high}");
    }
}

/// Questions about pictures of one colour: which of four colours it is.
#[derive(Debug)]
struct Colours {
    n_picture: u64,
    n_question: u64,
}

const NAMES: [&str; 4] = ["red", "green", "blue", "white"];

impl Source for Colours {
    fn n_sample(&self) -> u64 {
        self.n_picture * self.n_question
    }

    fn sample(&self, idx: u64) -> Result<Sample, Skip> {
        let picture = idx / self.n_question;
        let gold = picture as usize % 4;
        if picture == 5 {
            return Err(Skip { id: format!("{idx}"), reason: "torn".into() });
        }
        let pixel: [u8; 3] = [[200, 0, 0], [0, 200, 0], [0, 0, 200], [255, 255, 255]][gold];
        let tile = RgbTile::new([56, 56], pixel.repeat(56 * 56)).unwrap();
        let asked = format!("{IMAGE_MARK}Which colour? /n A. red /n B. green /n C. blue /n D. white");
        let image = if picture == 6 {
            Picture::File("/nowhere/at-all.png".into())
        } else {
            Picture::Tile(Arc::new(tile))
        };
        Ok(Sample {
            id: format!("{idx}"),
            group: format!("picture-{picture}"),
            messages: vec![Message::new(Role::User, asked), Message::new(Role::Assistant, NAMES[gold])],
            images: vec![image],
            task: Some(Task {
                gold: NAMES[gold].into(),
                options: NAMES.map(str::to_owned).to_vec(),
                ..Task::default()
            }),
            tags: [("tier".to_owned(), "easy".to_owned())].into(),
        })
    }
}

/// Says the colour that it sees, in the form of the contract, or always the same.
struct Fake {
    sees: bool,
    n_asked: usize,
    dies_after: usize,
}

impl Fake {
    fn new(sees: bool) -> Self {
        Self { sees, n_asked: 0, dies_after: usize::MAX }
    }
}

impl Subject for Fake {
    fn about(&self) -> About {
        About { model: "fake".into(), weights: format!("{}", self.sees), ..About::default() }
    }

    fn n_batch(&self) -> usize {
        3
    }

    fn answer(&mut self, questions: &[Shown<'_>], _: &Decoding, _: u64) -> Result<Vec<Said>, TrainError> {
        if self.n_asked >= self.dies_after {
            return Err(TrainError::Plan { what: "killed".into() });
        }
        self.n_asked += questions.len();
        let say = |shown: &Shown<'_>| {
            let pixel = &shown.pictures[0].1.pixels()[..3];
            let seen =
                [[200, 0, 0], [0, 200, 0], [0, 0, 200], [255, 255, 255]].iter().position(|own| own == pixel);
            let name = if self.sees { NAMES[seen.unwrap()] } else { "I say red" };
            Said { text: format!("<think>It looks so</think><answer>{name}</answer>"), n_token: 7 }
        };
        Ok(questions.iter().map(say).collect())
    }
}

fn exam(n_picture: u64) -> Exam {
    let mut exam = Exam::default();
    exam.add("in-domain", &Colours { n_picture, n_question: 2 }, u64::MAX);
    exam.learn(&Colours { n_picture: 4, n_question: 1 }, u64::MAX);
    exam
}

#[test]
fn an_exam_asks_scores_and_tells_what_it_could_not_ask() {
    let exam = exam(8);
    assert_eq!(exam.questions().len(), 12, "one picture is torn, one missing");
    assert!(exam.questions().iter().all(|question| question.messages.len() == 1), "the answer is not shown");
    let decoding = Decoding::greedy(20);
    let seeing = exam.ask(&mut Fake::new(true), &decoding, None, &mut |_| ()).unwrap();
    assert_eq!(seeing.n_missing["in-domain"], 4);
    assert_eq!(seeing.tally.skips.len(), 4);
    let blind = exam.ask(&mut Fake::new(false), &decoding, None, &mut |_| ()).unwrap();
    let variants = [("blind".to_owned(), blind.answers), ("seeing".to_owned(), seeing.answers.clone())];
    let table = Table::of(Rule::Lenient, &variants, &[["blind".to_owned(), "seeing".to_owned()]]);
    let all = |idx: usize| &table.variants[idx].domains["in-domain"].all;
    let right =
        |idx: usize| (all(idx).exact.share.n_right, all(idx).lenient.share.n_right, all(idx).n_picture);
    // Pictures 0 and 4 are red; "I say red" is understood, but is not the papers' answer.
    assert_eq!([right(0), right(1)], [(0, 4, 6), (12, 12, 6)]);
    let baseline = all(1).baseline;
    assert!((baseline.chance - 0.25).abs() < 1e-9 && (baseline.colour_histogram - 1.0).abs() < 1e-9);
    assert_eq!(all(1).in_form.n_right, 12);
    assert_eq!(table.comparisons[0].pairs.only_second, 8);
    assert!((table.comparisons[0].p - 2.0 / 256.0).abs() < 1e-12);

    let dir = tempfile::tempdir().unwrap();
    let evaluation = Evaluation::of("seeing", &seeing);
    evaluation.write(dir.path(), &seeing).unwrap();
    assert_eq!(Evaluation::read(dir.path()).unwrap(), (evaluation, seeing.answers));
    table.write(dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("table.md")).unwrap();
    assert!(text.contains("| seeing | 100.0 ("), "{text}");
}

#[test]
fn answers_are_taken_up_again_and_only_where_nothing_that_decides_them_changed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("answers.jsonl");
    let decoding = Decoding::greedy(20);
    let ask = |exam: &Exam, fake: &mut Fake, decoding: &Decoding| {
        exam.ask(fake, decoding, Some(&cache), &mut |_| ()).map(|outcome| outcome.answers)
    };
    let mut dying = Fake { dies_after: 6, ..Fake::new(true) };
    ask(&exam(8), &mut dying, &decoding).unwrap_err();
    let mut fake = Fake::new(true);
    let answers = ask(&exam(8), &mut fake, &decoding).unwrap();
    assert_eq!((fake.n_asked, answers.len()), (6, 12), "what was answered before the death stays");
    let whole = exam(8).ask(&mut Fake::new(true), &decoding, None, &mut |_| ()).unwrap().answers;
    assert_eq!(answers, whole);
    // Again: nothing is asked. More questions: only those. Another model or other decoding: everything.
    let count = |exam: &Exam, sees, decoding: &Decoding| {
        let mut fake = Fake::new(sees);
        ask(exam, &mut fake, decoding).unwrap();
        fake.n_asked
    };
    assert_eq!(count(&exam(8), true, &decoding), 0);
    assert_eq!(count(&exam(9), true, &decoding), 2);
    assert_eq!(count(&exam(8), false, &decoding), 12);
    assert_eq!(count(&exam(8), false, &Decoding::greedy(21)), 12);
    let repeated = Decoding { seeds: vec![1, 2, 3], ..Decoding::repeated() };
    assert_eq!(count(&exam(8), false, &repeated), 36);
}

#[test]
fn a_model_in_memory_says_what_its_bundle_says() {
    let path = kit::workspace().join("assets/demo/vlm");
    let decoding = Decoding::greedy(48);
    let exam = exam(8);
    let mut bundle = Bundle::open(&path, DeviceChoice::Cpu).unwrap();
    let asked = exam.ask(&mut bundle, &decoding, None, &mut |_| ()).unwrap();
    let qwen = ModelBundle::open(&path, None).unwrap().load(&Device::flex()).unwrap();
    let encoder = RowEncoder::new(vocabulary::open(&path.join("tokenizer.json")).unwrap()).unwrap();
    let about = asked.settings.about.clone();
    let own = about.preprocessing;
    let preprocess = Preprocess::default().with_pixels(own.min_pixels, own.max_pixels);
    for n_batch in [1, 5, 48] {
        let model = Model::new(&qwen, &encoder, &preprocess).named(&about.model, &about.weights);
        let mut model = model.in_batches(n_batch);
        let answers = exam.ask(&mut model, &decoding, None, &mut |_| ()).unwrap().answers;
        assert_eq!(answers.len(), asked.answers.len());
        for (found, expected) in answers.iter().zip(&asked.answers) {
            assert_eq!((&found.said, found.n_token), (&expected.said, expected.n_token), "{n_batch} at once");
        }
    }
    // Drawn answers follow from seed and question, whatever else is in the batch.
    let drawn = Decoding { max_new_tokens: 12, seeds: vec![1, 2], ..Decoding::repeated() };
    let draw = |n_batch| {
        let mut model = Model::new(&qwen, &encoder, &preprocess).in_batches(n_batch);
        let answers = exam.ask(&mut model, &drawn, None, &mut |_| ()).unwrap().answers;
        answers.into_iter().map(|answer| (answer.seed, answer.said)).collect::<Vec<_>>()
    };
    let (few, many) = (draw(2), draw(48));
    assert_eq!(few, many);
    assert!(few[..12].iter().zip(&few[12..]).any(|(first, second)| first.1 != second.1), "seeds differ");
}

#[test]
fn benchmark_files_are_asked_and_missing_pictures_are_counted_by_subset() {
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    std::fs::create_dir(&images).unwrap();
    for (name, pixel) in [("a.png", [200, 0, 0]), ("b.png", [0, 0, 200]), ("copy-of-a.png", [200, 0, 0])] {
        image::RgbImage::from_pixel(56, 56, image::Rgb(pixel)).save(images.join(name)).unwrap();
    }
    let row = |no: u32, img: &str, answer: &str| {
        json!({"No": no, "img": img, "question": "Which colour?", "answer": answer, "explanation": "",
            "options": ["A) red", "B) green", "C) blue", "D) white"]})
    };
    let data = json!({
        "PubMed": {"test": [row(0, "a.png", "A) red"), row(1, "b.png", "C) blue"), row(2, "copy-of-a.png", "A) red")]},
        "SocialPath": {"test": [row(0, "gone.png", "A) red"), row(1, "gone-too.png", "B) green")]},
    });
    let path = dir.path().join("data.json");
    std::fs::write(&path, data.to_string()).unwrap();
    let mut exam = Exam::default();
    exam.add_files("pathmmu", &Files::new(&path), u64::MAX).unwrap();
    let outcome = exam.ask(&mut Fake::new(true), &Decoding::greedy(8), None, &mut |_| ()).unwrap();
    assert_eq!(outcome.n_missing, [("SocialPath".to_owned(), 2)].into());
    let variant = Evaluation::of("fake", &outcome).scores;
    let scores = &variant.domains["pathmmu"];
    assert_eq!((scores.all.n, scores.all.n_picture), (3, 2), "a copy is the same picture");
    assert_eq!(scores.by["subset"]["PubMed"].exact.share.n_right, 3, "the option's text is right, too");
    // The same pictures elsewhere are the same questions.
    let other = tempfile::tempdir().unwrap();
    let elsewhere = other.path().join("moved");
    std::fs::rename(dir.path().join("images"), other.path().join("images")).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::rename(&path, elsewhere.join("data.json")).unwrap();
    std::fs::rename(other.path().join("images"), elsewhere.join("images")).unwrap();
    let mut moved = Exam::default();
    moved.add_files("pathmmu", &Files::new(elsewhere.join("data.json")), u64::MAX).unwrap();
    assert_eq!(moved.sha256(), exam.sha256());
}
