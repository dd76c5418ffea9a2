//! Rewards of both papers, edge by edge.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use eosin_training::data::Task;
use eosin_training::reward::answer::{Choice, Letter, choose, is_right, letter};
use eosin_training::reward::patho_r1::Gate;
use eosin_training::reward::{Answer, Kind, RewardSettings, pathvlm_r1};
use eosin_training::rl::overlong::OverlongSettings;

fn task() -> Task {
    Task {
        gold: "D) squamous cell carcinoma".into(),
        gold_letter: Some('D'),
        options: ["adenoma", "adenocarcinoma", "melanoma", "squamous cell carcinoma"]
            .map(str::to_owned)
            .to_vec(),
        ..Task::default()
    }
}

fn score(settings: RewardSettings, text: &str, n_token: usize) -> f64 {
    let task = task();
    let answer = Answer { text, n_token, task: &task };
    settings.score(&answer, &OverlongSettings::default()).unwrap()
}

fn check(kind: Kind, text: &str, expected: f64) {
    let found = score(RewardSettings::of(kind), text, 10);
    assert!((found - expected).abs() < 1e-12, "{kind:?} of {text}: {found}");
}

#[test]
fn form_of_patho_r1() {
    let check = |text: &str, expected| check(Kind::Format, text, expected);
    check("<think>a</think><answer>D</answer>", 1.0);
    check("  <think>a</think>\n\n<answer>D</answer>\n", 1.0);
    check("<think></think><answer></answer>", 1.0);
    check("<think>a</think>so<answer>D</answer>", 0.0);
    check("Well: <think>a</think><answer>D</answer>", 0.0);
    check("<think>a</think><answer>D</answer>.", 0.0);
    check("<answer>D</answer><think>a</think>", 0.0);
    check("<think>a</think><answer>D</answer><answer>D</answer>", 0.0);
    check("<think>a</think><think>b</think><answer>D</answer>", 0.0);
    check("<think>a<think>b</think></think><answer>D</answer>", 0.0);
    check("<think>a<answer>D</think></answer>", 0.0);
    check("<think>a</think><answer>D", 0.0);
    check("<Think>a</Think><Answer>D</Answer>", 0.0);
    check("<answer>D</answer>", 0.0);
    check("", 0.0);
}

#[test]
fn accuracy_of_patho_r1() {
    let check = |text: &str, expected| check(Kind::PathoR1Accuracy, text, expected);
    check("<think>a</think><answer>D</answer>", 1.0);
    check("<answer> D\n</answer>", 1.0);
    check("<answer>D.</answer>", 0.0);
    check("<answer>D) squamous cell carcinoma</answer>", 0.0);
    check("<answer>d</answer>", 0.0);
    check("<answer>G</answer>", 0.0);
    check("<answer>A</answer>", 0.0);
    check("<answer></answer>", 0.0);
    check("<answer>D</answer><answer>D</answer>", 0.0);
    check("<answer>A</answer><answer>D</answer>", 0.0);
    check("<answer>D", 0.0);
    check("D", 0.0);
    check(r#"<answer>["A","B","C","D"]</answer>"#, 0.0);
}

#[test]
fn combined_rewards_of_patho_r1() {
    let right = "<think>a</think><answer>D</answer>";
    let check = |kind, gate, text: &str, n_token, expected: f64| {
        let found = score(RewardSettings { gate, ..RewardSettings::of(kind) }, text, n_token);
        assert!((found - expected).abs() < 1e-12, "{kind:?} {gate:?} of {text}: {found}");
    };
    let formless = "<answer>D</answer>";
    let wrong = "<think>a</think><answer>A</answer>";
    for (text, gated, graded) in [(right, 1.0, 1.0), (formless, 0.0, 0.9), (wrong, 0.0, 0.1), ("", 0.0, 0.0)]
    {
        check(Kind::PathoR1Grpo, Gate::Gated, text, 10, gated);
        check(Kind::PathoR1Grpo, Gate::Graded, text, 10, graded);
    }
    // The length must be proper as well: 1536 of 2048 tokens, of which 512 are the cache.
    check(Kind::PathoR1Dapo, Gate::Gated, right, 1536, 1.0);
    check(Kind::PathoR1Dapo, Gate::Gated, right, 1537, -1.0);
    check(Kind::PathoR1Dapo, Gate::Gated, formless, 10, 1.0);
    check(Kind::PathoR1Dapo, Gate::Gated, wrong, 10, -1.0);
    check(Kind::PathoR1Dapo, Gate::Graded, right, 1792, 0.75);
    check(Kind::PathoR1Dapo, Gate::Graded, wrong, 10, 0.5);
    check(Kind::PathoR1Dapo, Gate::Graded, wrong, 4096, 0.0);
    check(Kind::Length, Gate::Gated, "", 1537, 1.0 - 1.0 / 512.0);
    check(Kind::SoftOverlong, Gate::Gated, "", 2049, -1.0);
}

#[test]
fn rules_of_pathvlm_r1() {
    let gold = "<think>a</think><answer>D) squamous cell carcinoma</answer>";
    let form = |text: &str, expected| check(Kind::PathvlmR1Format, text, expected);
    form(gold, 1.0);
    form(" <Think>a\nb</THINK> \n <answer>x</Answer> ", 1.0);
    form("<think>a</think>so<answer>x</answer>", 0.0);
    form("<think>a</think><answer>x</answer>!", 0.0);
    form("<think>a</think><answer>x</answer><answer>y</answer>", 1.0);
    form("<think>a</answer>", 0.0);
    form("<think>a</think><answer>", 0.0);
    form("", 0.0);

    let code = |text: &str, expected| check(Kind::PathvlmR1AccuracyCode, text, expected);
    code(gold, 1.0);
    code("<answer>D)  squamous\n cell carcinoma </answer>", 1.0);
    code("<answer>A) adenoma</answer><answer>D) squamous cell carcinoma</answer>", 1.0);
    code("<answer>D) squamous cell carcinoma</answer><answer>A) adenoma</answer>", 0.0);
    code("<answer>D) Squamous cell carcinoma</answer>", 0.0);
    code("<answer>D</answer>", 0.0);
    code("D) squamous cell carcinoma", 0.0);
    code("<answer></answer>", 0.0);

    let paper = |text: &str, expected| check(Kind::PathvlmR1Accuracy, text, expected);
    paper(gold, 1.0);
    paper("<answer>D. Squamous cell carcinoma</answer>", 1.0);
    paper("<answer>(D) squamous cell carcinoma.</answer>", 1.0);
    paper("<answer>D</answer>", 0.0);
    paper("<answer>squamous cell carcinoma</answer>", 0.0);
    paper("<answer>D) adenoma</answer>", 0.0);
    paper("<answer>A) squamous cell carcinoma</answer>", 0.0);
    paper("D) squamous cell carcinoma", 0.0);

    // A gold of nothing is matched by nothing.
    let blank = Task::default();
    assert!(!pathvlm_r1::is_block_right("<answer></answer>", &blank));
    assert!(!pathvlm_r1::is_letter_and_content_right("<answer></answer>", &blank));
}

#[test]
fn listing_the_options_earns_nothing() {
    let all = "A) adenoma B) adenocarcinoma C) melanoma D) squamous cell carcinoma";
    for said in [all, r#"{"options": ["A", "B", "C", "D"]}"#, "A, B, C, D", "A/B/C/D"] {
        let text = format!("<think>a</think><answer>{said}</answer>");
        for kind in
            [Kind::Accuracy, Kind::PathoR1Accuracy, Kind::PathvlmR1Accuracy, Kind::PathvlmR1AccuracyCode]
        {
            check(kind, &text, 0.0);
        }
    }
    check(Kind::Accuracy, r#"<answer>{"answer": "D", "options": ["A", "B", "C", "D"]}</answer>"#, 1.0);
}

#[test]
fn shapes() {
    let at = |text: &str, n_token| score(RewardSettings::of(Kind::Cosine), text, n_token);
    let (right, wrong) = ("<answer>D</answer>", "<answer>A</answer>");
    assert!((at(right, 0) - 1.0).abs() < 1e-12 && (at(right, 2048) - 0.5).abs() < 1e-12);
    assert!((at(wrong, 0) + 0.5).abs() < 1e-12 && at(wrong, 4096).abs() < 1e-12);
    assert!((at(right, 1024) - 0.75).abs() < 1e-12);
    check(Kind::Repetition, "one two three four", 0.0);
    check(Kind::Repetition, "a a a a a", -2.0 / 3.0);
    check(Kind::Repetition, "a a", 0.0);
}

#[test]
fn recipes_name_rewards_and_misspelt_ones_are_refused() {
    let check = |text: &str, expected: Option<(Kind, f64)>| {
        let found = serde_json::from_str::<RewardSettings>(text).ok();
        assert_eq!(found.map(|found| (found.name, found.weight)), expected, "{text}");
        // What is written is read again.
        if let Some(found) = found {
            assert_eq!(serde_json::to_value(found.name).unwrap(), found.name.name());
        }
    };
    check(r#"{"name": "accuracy"}"#, Some((Kind::Accuracy, 1.0)));
    check(r#"{"name": "soft_overlong", "weight": 0.5}"#, Some((Kind::SoftOverlong, 0.5)));
    check(r#"{"name": "patho-r1-dapo", "gate": "graded"}"#, Some((Kind::PathoR1Dapo, 1.0)));
    check(r#"{"name": "pathvlm-r1-accuracy-code"}"#, Some((Kind::PathvlmR1AccuracyCode, 1.0)));
    check(r#"{"name": "process", "weight": 0.5}"#, Some((Kind::Process, 0.5)));
    check(r#"{"name": "acuracy"}"#, None);
    check(r#"{"name": "accuracy", "wieght": 2}"#, None);
    // No rule gives the judge's reward.
    let task = task();
    let answer = Answer { text: "", n_token: 0, task: &task };
    assert_eq!(RewardSettings::of(Kind::Process).score(&answer, &OverlongSettings::default()), None);
}

#[test]
fn a_letter_counts_where_it_is_named_marked_or_alone() {
    use Letter::{Missing, One, Several};
    let check = |said: &str, expected| assert_eq!(letter(said, 4), expected, "{said}");
    check("B", One('B'));
    check(" (B). ", One('B'));
    check("B) glands", One('B'));
    check("(C) glands and stroma", One('C'));
    check("B. glands", One('B'));
    check("answer: B", One('B'));
    check("The answer is B because glands are seen", One('B'));
    check("The correct option is (C)", One('C'));
    check("**Answer:** D", One('D'));
    check("Answer: B. Option A is wrong.", One('B'));
    check(r#"{"answer": "B", "options": ["A) x", "B) y"]}"#, One('B'));
    check(r#"{"choice": "C) sheet"}"#, One('C'));
    check(r#"{"answer": "B", "option": "B"}"#, One('B'));
    // Lists of options are no answer.
    check("A) x B) y C) z D) w", Several);
    check("A. x\nB. y\nC. z", Several);
    check("A, B, C", Several);
    check(r#"["A) x", "B) y"]"#, Several);
    check(r#"{"A": "x", "B": "y"}"#, Several);
    check(r#"{"options": ["A", "B"]}"#, Several);
    check(r#"{"answer": ["A", "B"]}"#, Several);
    check("Option A: x. Option B: y.", Several);
    check("The answer is A or the answer is B", Several);
    // Neither named nor marked.
    check("B glands", Missing);
    check("hepatitis B.", Missing);
    check("The answer is A carcinoma", Missing);
    check("the answers are unclear", Missing);
    check("E) beyond the options", Missing);
    check("b", Missing);
    check("", Missing);
}

#[test]
fn an_answer_is_right_by_text_or_letter_but_not_against_itself() {
    let options = ["stroma", "glands", "a sheet", "necrosis"].map(str::to_owned).to_vec();
    let choice = Task { gold: "B) glands".into(), gold_letter: Some('B'), options, ..Task::default() };
    let yes = Task { gold: "yes".into(), ..Task::default() };
    let open = Task { gold: "plasma cells".into(), ..Task::default() };
    let check = |task: &Task, said: &str, expected| assert_eq!(is_right(said, task), expected, "{said}");
    check(&choice, "<think>x</think><answer>B</answer>", true);
    check(&choice, "<think>A?</think><answer> B. glands </answer>", true);
    check(&choice, "<answer>A</answer><answer>Glands</answer>", true);
    check(&choice, "<answer>B glands</answer>", true);
    check(&choice, "stroma is absent #### B", true);
    check(&choice, "<think>B</think><answer>A</answer>", false);
    check(&choice, "<think>B</think>", false);
    check(&choice, "", false);
    check(&choice, "<answer></answer>", false);
    check(&choice, "<answer>B. stroma</answer>", false);
    check(&choice, "<answer>Best is B</answer>", false);
    check(&choice, "<answer>A) stroma B) glands C) a sheet D) necrosis</answer>", false);
    check(&choice, r#"<answer>{"options": ["A) stroma", "B) glands"]}</answer>"#, false);
    check(&choice, "<ANSWER>B</ANSWER>", true);
    check(&yes, "<answer>Yes.</answer>", true);
    check(&yes, "<answer>Yes, it does</answer>", true);
    check(&yes, "<answer>yes and no</answer>", false);
    check(&yes, "<answer>not sure</answer>", false);
    check(&open, "<answer>Plasma  cells</answer>", true);
    check(&open, "<answer>cells</answer>", false);
}

#[test]
fn an_examination_looks_further_but_never_guesses() {
    let options = ["stroma", "glands", "a sheet", "necrosis"].map(str::to_owned).to_vec();
    let check = |said: &str, expected: Option<char>| {
        let found = choose(said, &options).map(|choice| match choice {
            Choice::Letter(letter) => letter,
            Choice::Refused => 'Z',
        });
        assert_eq!(found, expected, "{said}");
    };
    check("<answer>B</answer>", Some('B'));
    check("Best is B", Some('B'));
    check("B is what one two three four five", None);
    check("I see glands here", Some('B'));
    check("glands or necrosis", None);
    check("The answer is **c**", Some('C'));
    check("Cannot determine the answer from this.", Some('Z'));
    check("Z", Some('Z'));
    check("A) stroma B) glands", None);
    check("", None);
}
