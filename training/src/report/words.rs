//! The report as Markdown: what can be said without plots, small enough to be committed.

use eosin_core::duration;
use std::fmt::Write as _;

use super::NOTICE;
use super::folder::{Run, Stage};
use super::numbers::{compact, count};
use super::page::{cut, road};
use crate::metrics::Kind;

/// Figures that a table of a stage does not repeat.
const TOLD: [&str; 3] = ["progress", "num_tokens", "elapsed_secs"];

/// A stage as the overview tells it.
pub(super) struct StageRow {
    pub(super) steps: String,
    pub(super) time: String,
    pub(super) tokens: String,
    pub(super) loss: String,
    pub(super) best: String,
    pub(super) skipped: String,
    pub(super) state: &'static str,
}

impl StageRow {
    pub(super) fn of(stage: &Stage) -> Self {
        let last = |name: &str| stage.last(Kind::Train, name).filter(|value| value.is_finite());
        let dash = || "–".to_owned();
        let steps = count(stage.step() as i64);
        let loss = stage.series(Kind::Train, "loss");
        let ends = loss.first().zip(loss.last());
        Self {
            steps: match stage.n_step {
                Some(n_step) if n_step != stage.step() => format!("{steps} of {}", count(n_step as i64)),
                _ => steps,
            },
            time: last("elapsed_secs").map_or_else(dash, duration),
            tokens: last("num_tokens").map_or_else(dash, |n| count(n as i64)),
            loss: ends
                .map_or_else(dash, |(first, last)| format!("{} → {}", compact(first.1), compact(last.1))),
            best: stage.best().map_or_else(dash, |(name, value, step)| {
                let name = name.strip_prefix("eval_").unwrap_or(name).replace('_', " ");
                format!("{name} {} at {}", compact(value), count(step as i64))
            }),
            skipped: count(stage.skipped.len() as i64),
            state: match (stage.finished, stage.rows.is_empty()) {
                (true, _) => "finished",
                (false, true) => "waiting",
                (false, false) => "unfinished",
            },
        }
    }
}

pub(super) fn markdown(run: &Run) -> String {
    let mut text = format!("# Training report: {}\n\n> {NOTICE}\n\n", run.name);
    let seed = run.seed.map(|seed| format!("Seed {seed}. ")).unwrap_or_default();
    let _ = writeln!(text, "{seed}Stages: {}.\n", road(run));
    for (stage, table) in &run.tables {
        let of = if stage.is_empty() { String::new() } else { format!(" of {stage}") };
        let _ = writeln!(text, "## Results{of}\n\n{}", table.to_markdown());
    }
    text.push_str(
        "## Stages\n\n| stage | kind | from | steps | time | tokens | loss, first → last | best look | left out | state |\n\
|---|---|---|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for stage in &run.stages {
        let StageRow { steps, time, tokens, loss, best, skipped, state } = StageRow::of(stage);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {steps} | {time} | {tokens} | {loss} | {best} | {skipped} | {state} |",
            cell(stage.title()),
            cell(&stage.kind),
            cell(&stage.from)
        );
    }
    for stage in &run.stages {
        stage_section(&mut text, stage);
    }
    if !run.recipe.is_empty() {
        let _ = write!(text, "\n## Recipe\n\n```toml\n{}\n```\n", run.recipe.trim_end());
    }
    text
}

fn stage_section(text: &mut String, stage: &Stage) {
    let _ = write!(text, "\n## {}\n", stage.title());
    for (kind, head) in [(Kind::Train, "training"), (Kind::Eval, "validation")] {
        let names: Vec<&str> = stage.names(kind).into_iter().filter(|name| !TOLD.contains(name)).collect();
        if names.is_empty() {
            continue;
        }
        let _ = write!(text, "\n| {head} | first | mean of the last tenth | last |\n|---|---:|---:|---:|\n");
        for name in names {
            let values: Vec<f64> = stage.series(kind, name).into_iter().map(|point| point.1).collect();
            let tail = &values[values.len() - values.len().div_ceil(10)..];
            let mean = tail.iter().sum::<f64>() / tail.len().max(1) as f64;
            let (first, last) = (values.first().copied(), values.last().copied());
            let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), compact);
            let _ =
                writeln!(text, "| {} | {} | {} | {} |", cell(name), shown(first), compact(mean), shown(last));
        }
    }
    for said in &stage.said {
        let points: Vec<String> =
            said.rewards.iter().map(|(name, points)| format!("{name} {}", compact(*points))).collect();
        let _ = write!(text, "\n{} ({}):\n\n", capital(&said.occasion), points.join(", "));
        quote(text, &[&said.prompt, &said.completion]);
        if !said.gold.is_empty() {
            let _ = writeln!(text, "\nRight: {}", cell(&cut(&said.gold)));
        }
    }
    if !stage.skipped.is_empty() {
        text.push_str("\n| left out because | samples |\n|---|---:|\n");
        for (reason, n) in stage.skip_reasons() {
            let _ = writeln!(text, "| {} | {} |", cell(&reason), count(n as i64));
        }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Indented by four, which Markdown takes as it is.
fn quote(text: &mut String, parts: &[&str]) {
    for part in parts.iter().filter(|part| !part.is_empty()) {
        for line in cut(part).lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
}

/// Words that cannot break out of their cell.
fn cell(words: &str) -> String {
    words.replace('|', "\\|").replace(['\n', '\r'], " ")
}
