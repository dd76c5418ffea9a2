//! The training monitor's window without the window.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "tests panic where the program must not, and say what they measured"
)]

#[path = "support/harness.rs"]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use eosin_reviewer::Lettering;
use eosin_reviewer::monitor::{Monitor, MonitorSource, Progress, RunState, Sample, Series, StageState};
use support::{Harness, Queryable, Theme, adapter, picture, whole};

/// A run that a test writes.
#[derive(Clone, Default)]
struct Written {
    state: Arc<Mutex<RunState>>,
    n_look: Arc<AtomicUsize>,
}

impl MonitorSource for Written {
    fn look(&mut self) -> RunState {
        self.n_look.fetch_add(1, Ordering::Relaxed);
        self.state.lock().unwrap().clone()
    }
}

fn curve(n_step: u32, of: impl Fn(f64) -> f64) -> Series {
    let mut series = Series::default();
    for step in 1..=n_step {
        series.push(f64::from(step), of(f64::from(step)));
    }
    series
}

fn run() -> RunState {
    let wave = |step: f64| (step * 1.7).sin() * 0.08;
    let sft = StageState {
        name: "sft".into(),
        title: "SFT, first round".into(),
        kind: "sft".into(),
        progress: Progress::Finished,
        step: 300,
        n_step: Some(300),
        share: 1.0,
        elapsed_secs: Some(421.0),
        curves: vec![
            ("loss".into(), curve(300, |step| 2.0 / (1.0 + step / 40.0) + wave(step) + 0.1)),
            ("eval_loss".into(), curve(4, |step| 1.6 / step + 0.2)),
            ("learning_rate".into(), curve(300, |step| 1e-3 * (1.0 - step / 300.0))),
            ("grad_norm".into(), curve(300, |step| 1.0 + wave(step) * 3.0)),
        ],
        ..StageState::default()
    };
    let rl = StageState {
        name: "grpo".into(),
        title: "GRPO".into(),
        kind: "rl".into(),
        progress: Progress::Running,
        step: 12,
        n_step: Some(30),
        share: 0.4,
        elapsed_secs: Some(50.0),
        left_secs: Some(75.0),
        curves: vec![
            ("reward".into(), curve(12, |step| 1.2 + step / 30.0 + wave(step))),
            ("kl".into(), curve(12, |step| step * 1e-3)),
            ("entropy".into(), curve(12, |step| 0.14 + wave(step) * 0.1)),
        ],
        samples: vec![Sample {
            step: 12,
            prompt: "What do the nuclei look like?".into(),
            completion:
                "<think>Long and thin nuclei lie between fibres.</think><answer>thin spindles</answer>".into(),
            gold: "thin spindles".into(),
            rewards: vec![("accuracy".into(), 1.0), ("format".into(), 1.0)],
        }],
        ..StageState::default()
    };
    let later =
        StageState { name: "dapo".into(), kind: "rl".into(), n_step: Some(30), ..StageState::default() };
    RunState { name: "demo".into(), stages: vec![sft, rl, later], fault: None }
}

type MonitorWindow = Harness<'static, Option<Monitor>>;

fn monitor(source: Written, theme: Theme) -> Option<MonitorWindow> {
    if !adapter() {
        return None;
    }
    let harness = Harness::builder()
        .with_size([1160.0, 740.0])
        .with_theme(theme)
        .with_step_dt(1.0 / 60.0)
        .with_max_steps(240)
        .with_context_setup(|ctx| eosin_reviewer::install(ctx, Lettering::BuiltIn))
        .wgpu()
        .build_ui_state(
            move |ui, monitor: &mut Option<Monitor>| {
                let source = source.clone();
                let monitor =
                    monitor.get_or_insert_with(|| Monitor::new(ui.ctx(), Box::new(source)).unwrap());
                whole(ui, |ui| monitor.ui(ui));
            },
            None,
        );
    Some(harness)
}

fn wait_for(window: &mut MonitorWindow, what: &str, holds: impl Fn(&MonitorWindow) -> bool) {
    let begun = std::time::Instant::now();
    loop {
        window.step();
        if holds(window) {
            return;
        }
        assert!(begun.elapsed().as_secs() < 30, "not within half a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn the_stage_that_runs_is_followed_until_another_is_chosen() {
    let source = Written::default();
    let state = Arc::clone(&source.state);
    let Some(mut window) = monitor(source, Theme::Light) else { return };
    wait_for(&mut window, "an empty run", |window| window.query_by_label("No stage has begun").is_none());
    *state.lock().unwrap() = run();
    wait_for(&mut window, "the run", |window| window.query_all_by_label("GRPO").next().is_some());
    window.run_steps(3);
    assert!(window.query_by_label("Reward").is_some() && window.query_by_label("KL").is_some());
    assert!(window.query_by_label("What the model wrote").is_some());
    assert!(window.query_by_label("thin spindles").is_some(), "the answer stands without its tags");

    window.get_by_label_contains("SFT, first round, 7 min").click();
    window.run_steps(3);
    assert!(window.query_by_label("Gradient").is_some() && window.query_by_label("KL").is_none());

    // The next stage begins; the chosen one stays in front.
    {
        let mut state = state.lock().unwrap();
        state.stages[1].progress = Progress::Finished;
        state.stages[2].progress = Progress::Running;
        state.stages[2].curves = vec![("loss".into(), curve(3, |step| step))];
    }
    wait_for(&mut window, "the next stage", |window| {
        window.state().as_ref().unwrap().state().stages[2].progress == Progress::Running
    });
    window.run_steps(3);
    assert!(window.query_by_label("Gradient").is_some());
    window.get_by_label_contains("dapo, running").click();
    window.run_steps(3);
    assert!(window.query_by_label("Gradient").is_none() && window.query_by_label("Loss").is_some());
    window.check_accessibility();
}

fn look(theme: Theme, name: &str) {
    let source = Written::default();
    *source.state.lock().unwrap() = run();
    let Some(mut window) = monitor(source, theme) else { return };
    wait_for(&mut window, "the run", |window| window.query_all_by_label("GRPO").next().is_some());
    window.run_steps(8);
    picture(&mut window, name);
}

#[test]
fn it_looks_as_it_should_by_day() {
    look(Theme::Light, "monitor-light");
}

#[test]
fn it_looks_as_it_should_by_night() {
    look(Theme::Dark, "monitor-dark");
}

#[test]
fn a_fault_is_told_and_the_window_stays() {
    let source = Written::default();
    *source.state.lock().unwrap() = RunState { fault: Some("cannot read runs/x: no".into()), ..run() };
    let Some(mut window) = monitor(source, Theme::Light) else { return };
    wait_for(&mut window, "the fault", |window| window.query_by_label("cannot read runs/x: no").is_some());
    assert!(window.query_all_by_label("GRPO").next().is_some());
}
