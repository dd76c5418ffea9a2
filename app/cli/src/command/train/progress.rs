//! A run as somebody at a terminal sees it: one bar a stage with its rate and the time left, on a terminal;
//! a line now and then elsewhere, as logs want it. Ctrl-C asks for a stop after the step; a second one ends
//! the program at once, which costs what came after the last checkpoint and nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use eosin_training::metrics::Scalars;
use eosin_training::watch::Watch;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::printer::Printer;

/// Steps of a stage that are always told where there is no bar: one sees at once that it goes.
const N_FIRST: u64 = 3;
/// Between two lines where there is no bar.
const QUIET: Duration = Duration::from_secs(20);
/// Exit code of a program that Ctrl-C ended, as shells know it.
const INTERRUPTED: i32 = 130;

/// Shows a run on stderr.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    printer: &'a Printer,
    bar: indicatif::ProgressBar,
    stop: Arc<AtomicBool>,
    stage: String,
    /// When the stage was taken up, and at which share of it.
    since: (Instant, Option<f64>),
    told: Instant,
    n_told: u64,
}

impl<'a> Progress<'a> {
    /// Listens to Ctrl-C from here on.
    pub(super) fn new(printer: &'a Printer) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag that the first one set.
            flag::register_conditional_shutdown(signal, INTERRUPTED, stop.clone())
                .and_then(|_| flag::register(signal, stop.clone()))
                .context("cannot listen to Ctrl-C")?;
        }
        let now = Instant::now();
        let bar = indicatif::ProgressBar::hidden();
        Ok(Self { printer, bar, stop, stage: String::new(), since: (now, None), told: now, n_told: 0 })
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            self.printer.say(text);
        } else {
            self.bar.println(text);
        }
    }

    /// Time left by the share of the stage that was done since it was taken up.
    fn left(&self, share: f64) -> Option<Duration> {
        let (since, first) = self.since;
        let done = share - first?;
        let secs = since.elapsed().as_secs_f64() * (1.0 - share) / done;
        (done > 0.0 && secs < 1e8).then(|| Duration::from_secs_f64(secs.max(0.0)))
    }
}

impl Watch for Progress<'_> {
    fn stage(&mut self, stage: &str, step: u64, n_step: u64) {
        self.bar.finish_and_clear();
        stage.clone_into(&mut self.stage);
        (self.since, self.n_told) = ((Instant::now(), None), 0);
        self.printer.say(match step {
            0 => format!("{stage}: {n_step} steps"),
            step => format!("{stage}: going on after step {step} of {n_step}"),
        });
        // In thousandths, because a stage may end by the clock as well as by its steps.
        self.bar = self.printer.progress(1000);
        let template = "{prefix} {bar:24} {percent:>3} %  {msg}";
        if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
            self.bar.set_style(style.progress_chars("━━╌"));
        }
        self.bar.set_prefix(stage.to_owned());
    }

    fn step(&mut self, stage: &str, step: u64, n_step: u64, scalars: &Scalars) {
        let share = scalars.get("progress").unwrap_or(step as f64 / n_step.max(1) as f64).clamp(0.0, 1.0);
        let left = self.left(share).map(|left| format!("  {} left", words(left))).unwrap_or_default();
        if self.since.1.is_none() {
            // The first step pays for warming up and is no measure of the others.
            self.since = (Instant::now(), Some(share));
        }
        let text = format!("{step}/{n_step}  {}{left}", figures(scalars));
        self.bar.set_position((share * 1000.0) as u64);
        self.bar.set_message(text.clone());
        let due = self.n_told < N_FIRST || step == n_step || self.told.elapsed() >= QUIET;
        if self.bar.is_hidden() && due {
            (self.told, self.n_told) = (Instant::now(), self.n_told + 1);
            self.printer.say(format!("{stage}: step {text}"));
        }
    }

    fn evaluation(&mut self, stage: &str, step: u64, scalars: &Scalars) {
        let shown = scalars.iter().filter(|(name, _)| *name != "eval_runtime").take(6);
        let shown = shown.map(|(name, value)| {
            let name = name.strip_prefix("eval_").unwrap_or(name).replace('_', " ");
            format!("{name} {}", short(value))
        });
        self.say(&format!("{stage}: validation at step {step}: {}", shown.collect::<Vec<_>>().join(", ")));
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }

    fn wants_stop(&mut self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// The figures of a step that fit in a line.
fn figures(scalars: &Scalars) -> String {
    let mut parts = Vec::new();
    for (name, label) in [
        ("loss", "loss"),
        ("reward", "reward"),
        ("reward_std", "±"),
        ("frac_reward_zero_std", "flat groups"),
        ("completions/mean_length", "length"),
        ("kl", "KL"),
        ("mean_token_accuracy", "accuracy"),
    ] {
        parts.extend(scalars.get(name).map(|value| format!("{label} {}", short(value))));
    }
    let rate = [
        ("tokens_per_second", "tokens/s"),
        ("pairs_per_second", "pairs/s"),
        ("samples_per_second", "samples/s"),
    ];
    let rate = rate.into_iter().find_map(|(name, unit)| Some((scalars.get(name)?, unit)));
    parts.extend(rate.map(|(value, unit)| format!("{value:.0} {unit}")));
    parts.join("  ")
}

fn short(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && size < 1e-3 => format!("{value:.1e}"),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

fn words(time: Duration) -> String {
    let secs = time.as_secs();
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs.div_ceil(60)),
        _ => format!("{} h {:02} min", secs / 3600, secs % 3600 / 60),
    }
}
