//! The report of a run: made from a folder as stages leave it, whole or broken off, with hostile words in it.
//!
//! With `EOSIN_REPORT=FOLDER` the pages are kept there, to be looked at.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use eosin_training::data::Skip;
use eosin_training::evaluate::answers::{Answer, Baseline};
use eosin_training::evaluate::table::{Rule, Table};
use eosin_training::metrics::lines::{Completion, CompletionLog, Points, SkipLog};
use eosin_training::metrics::{Recorder, Scalars};
use eosin_training::{TrainError, report};

/// Noise that is the same on every machine.
fn noise(seed: u64) -> f64 {
    let mixed = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f64 / (1u64 << 24) as f64 - 0.5
}

fn fine_tuning(dir: &Path, n_step: u64) {
    fs::create_dir_all(dir).unwrap();
    let mut recorder = Recorder::open(dir, 0).unwrap();
    for step in 1..=n_step {
        let share = step as f64 / n_step as f64;
        let loss = 0.4 + 4.0 * (-6.0 * share).exp() + 0.25 * noise(step);
        let scalars = Scalars::new()
            .with("loss", if step == 40 { f64::NAN } else { loss })
            .with(
                "learning_rate",
                2e-3 * (share * 20.0).min(1.0) * (1.0 + (share * std::f64::consts::PI).cos()) / 2.0,
            )
            .with("grad_norm", 0.8 + 0.5 * noise(step + 9) + if step == 77 { 40.0 } else { 0.0 })
            .with("mean_token_accuracy", 0.9 - 0.8 * (-5.0 * share).exp() + 0.05 * noise(step + 5))
            .with("num_tokens", step as f64 * 2048.0)
            .with("tokens_per_second", 1900.0 + 200.0 * noise(step + 3))
            .with("elapsed_secs", step as f64 * 1.1);
        recorder.push(step, &scalars).unwrap();
        if step % (n_step / 8).max(1) == 0 {
            let looked = Scalars::new()
                .with("eval_loss", loss + 0.1)
                .with("eval_accuracy", 0.25 + 0.5 * share)
                .with("eval_recall@1", 0.1 + 0.3 * share)
                .with("eval_recall@5", 0.3 + 0.5 * share);
            recorder.push_evaluation(step, &looked).unwrap();
        }
    }
}

fn reinforcement(dir: &Path, n_step: u64) {
    fs::create_dir_all(dir).unwrap();
    let mut recorder = Recorder::open(dir, 0).unwrap();
    let mut completions = CompletionLog::open(dir, 0).unwrap();
    for step in 1..=n_step {
        let share = step as f64 / n_step as f64;
        let reward = 0.9 + 0.7 * share + 0.3 * noise(step);
        let length = 60.0 - 20.0 * share + 8.0 * noise(step + 1);
        let scalars = Scalars::new()
            .with("loss", 0.02 * noise(step + 2))
            .with("reward", reward)
            .with("reward_std", 0.5 - 0.3 * share)
            .with("frac_reward_zero_std", 0.2 + 0.5 * share + 0.1 * noise(step + 3))
            .with("rewards/accuracy/mean", 0.4 + 0.4 * share + 0.2 * noise(step + 4))
            .with("rewards/accuracy/std", 0.4)
            .with("rewards/format/mean", 0.7 + 0.3 * share)
            .with("completions/mean_length", length)
            .with("completions/min_length", length - 20.0)
            .with("completions/max_length", length + 35.0)
            .with("completions/clipped_ratio", 0.1 * (1.0 - share))
            .with("kl", 0.002 * step as f64)
            .with("entropy", 1.2 - 0.6 * share)
            .with("clip_ratio/low_mean", 0.01 * share)
            .with("clip_ratio/high_mean", 0.02 * share + 0.004 * noise(step + 6))
            .with("clip_ratio/region_mean", 0.03 * share)
            .with("learning_rate", 1e-5)
            .with("grad_norm", 0.3 + 0.2 * noise(step + 7))
            .with("num_tokens", step as f64 * 4096.0)
            .with("tokens_per_second", 310.0)
            .with("elapsed_secs", step as f64 * 9.0);
        recorder.push(step, &scalars).unwrap();
        for row in 0..2u32 {
            let right = f64::from(row);
            let answer = if row == 0 { "A" } else { "C" };
            completions
                .push(&Completion {
                    step,
                    id: format!("phantom-{step}"),
                    prompt: "Which structure lies in the centre?\nA. Gland\nB. Vessel\nC. Nerve".into(),
                    completion: format!("<think>Small dark nuclei in a ring.</think><answer>{answer}</answer><script>alert(1)</script>"),
                    gold: "C".into(),
                    rewards: Points::from([("accuracy".into(), right), ("format".into(), 1.0), ("reward".into(), 1.0 + right)]),
                    advantage: right - 0.5,
                    n_token: 31,
                    clipped: false,
                })
                .unwrap();
        }
    }
}

fn answers(skill: f64, seed: u64) -> Vec<Answer> {
    let one = |idx: u64, domain: &str, skill: f64| {
        let right = noise(idx + 1000 * seed) + 0.5 < skill;
        let tags = BTreeMap::from(
            [
                ("domain", domain),
                ("subfield", ["histopathology", "gross", "ihc", "cytology", "fish"][idx as usize % 5]),
                ("tier", ["easy", "medium", "hard"][idx as usize % 3]),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        Answer {
            id: format!("{domain}-{idx}"),
            group: format!("{}", idx / 3),
            tags,
            seed: 0,
            key: String::new(),
            said: "<think>Pale.</think><answer>B</answer>".into(),
            chosen: None,
            gold: "A".into(),
            exact: right,
            lenient: right || idx.is_multiple_of(11),
            in_form: !idx.is_multiple_of(17),
            n_token: 30 + (idx % 9) as usize,
            words: None,
            baseline: Baseline { chance: 0.25, majority: 0.31, colour_histogram: 0.38 },
        }
    };
    let inside = (0..300).map(|idx| one(idx, "in-domain", skill));
    inside.chain((0..200).map(|idx| one(idx + 7000, "out-of-domain", skill - 0.12))).collect()
}

fn run(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::write(
        dir.join("recipe.toml"),
        "schema = 2\nname = \"demo <b>\"\nseed = 17\n\n[[stage]]\nname = \"sft\"\ntitle = \"beta\"\nkind = \"sft\"\nfrom = \"init\"\n\
[stage.optim]\nlr = 2e-3\nsteps = 400\n\n[[stage]]\nname = \"grpo\"\nkind = \"rl\"\nfrom = \"sft\"\n[stage.optim]\nsteps = 120\n\n\
[[stage]]\nname = \"process\"\nkind = \"rl\"\nfrom = \"grpo\"\n",
    )
    .unwrap();
    fine_tuning(&dir.join("sft"), 400);
    fs::create_dir(dir.join("sft/final")).unwrap();
    let mut skipped = SkipLog::open(&dir.join("sft")).unwrap();
    for idx in 0..30 {
        let reason = if idx % 3 == 0 {
            "cannot decode the image: /secret/p.png"
        } else {
            "1 image marks but 2 images"
        };
        skipped.push(&Skip { id: format!("row {idx}"), reason: reason.into() }).unwrap();
    }
    reinforcement(&dir.join("grpo"), 100);
    let variants: Vec<(String, Vec<Answer>)> = [("CPT", 0.33), ("SFT", 0.62), ("GRPO", 0.71), ("R1", 0.78)]
        .iter()
        .zip(1..)
        .map(|((name, skill), seed)| ((*name).to_owned(), answers(*skill, seed)))
        .collect();
    fs::create_dir(dir.join("sft/evaluation")).unwrap();
    let lines: String =
        variants[1].1.iter().map(|answer| serde_json::to_string(answer).unwrap() + "\n").collect();
    fs::write(dir.join("sft/evaluation/answers.jsonl"), lines).unwrap();
    let pairs = [["CPT", "SFT"], ["SFT", "GRPO"], ["GRPO", "R1"]].map(|pair| pair.map(str::to_owned));
    let table = Table::of(Rule::Exact, &variants, &pairs);
    fs::write(dir.join("evaluation.json"), serde_json::to_string(&table).unwrap()).unwrap();
}

#[test]
fn a_page_holds_all_and_needs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("demo");
    run(&dir);
    let [html, markdown] = report::write(&dir).unwrap();
    if let Some(kept) = std::env::var_os("EOSIN_REPORT") {
        fs::create_dir_all(&kept).unwrap();
        fs::copy(&html, Path::new(&kept).join("report.html")).unwrap();
        fs::copy(&markdown, Path::new(&kept).join("report.md")).unwrap();
    }
    let (html, markdown) = (fs::read_to_string(html).unwrap(), fs::read_to_string(markdown).unwrap());
    for words in ["demo &lt;b&gt;", "seed 17", "beta → grpo → process"] {
        assert!(html.contains(words), "{words} is not in the page");
    }
    for title in [
        "Loss",
        "Reward",
        "Rewards",
        "Accuracy",
        "Groups that teach nothing",
        "Length of completions",
        "Cut completions",
        "KL",
        "Entropy",
        "Clipped ratios",
        "Learning rate",
        "Gradient",
        "Speed",
        "Validation: recall",
    ] {
        assert!(html.contains(&format!("<b>{title}</b>")), "no plot of {title}");
    }
    // Nothing runs, nothing is fetched, and no drawing has a hole in it.
    for forbidden in ["<script", "http:", "https:", "url(", "@import", " src=", "NaN", "inf,"] {
        assert!(!html.contains(forbidden), "{forbidden} is in the page");
    }
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(
        html.contains("state finished")
            && html.contains("state unfinished")
            && html.contains("state waiting")
    );
    assert!(html.len() < 400_000, "{} bytes", html.len());
    for words in [
        "# Training report: demo <b>",
        "| beta | sft | init | 400 |",
        "| grpo | rl | sft | 100 of 120 |",
        "| SFT → GRPO | in-domain, 300 |",
        "| 1 image marks but 2 images | 20 |",
        "| cannot decode the image | 10 |",
        "    <think>Small dark nuclei",
        "Exam, in-domain (right 0):",
        "    <think>Pale.</think><answer>B</answer>",
        "lr = 2e-3",
    ] {
        assert!(markdown.contains(words), "{words} is not in\n{markdown}");
    }
    assert!(!markdown.contains("/secret"), "what can be committed names no file");
    assert!(markdown.len() < 40_000, "{} bytes", markdown.len());
}

#[test]
fn a_run_that_broke_at_once_has_a_page_and_an_empty_folder_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(report::write(dir.path()), Err(TrainError::NoRun { .. })));
    fs::write(dir.path().join("recipe.toml"), "name = \"x\"\n[[stage]]\nname = \"a\"\n").unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/metrics.jsonl"), "{\"step\":1,\"kind\":\"train\",\"lo").unwrap();
    fs::write(dir.path().join("evaluation.json"), "{").unwrap();
    let [html, _] = report::write(dir.path()).unwrap();
    assert!(fs::read_to_string(html).unwrap().contains("Nothing was measured yet"));
}
